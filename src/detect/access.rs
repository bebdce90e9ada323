//! Findings: requests that the API server denied to a ServiceAccount.

use std::collections::{BTreeMap, BTreeSet};

use crate::detect::View;
use crate::finding::{Class, Finding, MAX_PODS, Severity};
use crate::object::{Object, ObjectRef};
use crate::report::Known;

pub(crate) mod rbac;

use rbac::Denial;

/// The most lines of one log that are looked at, from the end.
const MAX_LINES: usize = 500;

/// Who was denied what, and where it was seen.
#[derive(Default)]
struct Seen {
    denials: BTreeSet<Denial>,
    pods: Vec<ObjectRef>,
    line: String,
}

/// Runs the detectors of this module.
pub fn findings(view: &View<'_>) -> Vec<Finding> {
    let known = Known::new(view.snapshot, view.desired);
    let mut by_account: BTreeMap<(String, String), Seen> = BTreeMap::new();
    from_logs(view, &mut by_account);
    for event in view.snapshot.events() {
        note(&event.message, None, &mut by_account);
    }
    if let Some(report) = view.report {
        note(&report.text, None, &mut by_account);
    }
    by_account
        .into_iter()
        .filter_map(|((ns, name), seen)| finding(view, &known, &ns, &name, seen))
        .collect()
}

fn from_logs(view: &View<'_>, seen: &mut BTreeMap<(String, String), Seen>) {
    for (key, log) in view.snapshot.logs() {
        let pod = ObjectRef::new("v1", "Pod", Some(&key.namespace), &key.pod);
        for line in log.lines().rev().take(MAX_LINES) {
            note(line, Some(&pod), seen);
        }
    }
}

fn note(text: &str, pod: Option<&ObjectRef>, seen: &mut BTreeMap<(String, String), Seen>) {
    for denial in rbac::denials(text) {
        let key = (denial.account_namespace.clone(), denial.account.clone());
        let entry = seen.entry(key).or_default();
        if entry.line.is_empty() {
            entry.line = text.trim().chars().take(500).collect();
        }
        if let Some(pod) = pod.filter(|p| !entry.pods.contains(p) && entry.pods.len() < MAX_PODS) {
            entry.pods.push(pod.clone());
        }
        if entry.denials.len() < 20 {
            entry.denials.insert(denial);
        }
    }
}

fn finding(
    view: &View<'_>,
    known: &Known<'_>,
    namespace: &str,
    account: &str,
    seen: Seen,
) -> Option<Finding> {
    // a log may be older than the permission
    let open: Vec<&Denial> = seen
        .denials
        .iter()
        .filter(|d| !rbac::is_allowed(d, known))
        .collect();
    let first = open.first()?;
    let object = subject(view, known, namespace, account, &seen.pods);
    let summary = format!(
        "ServiceAccount {namespace}/{account} may not {}",
        open.iter()
            .map(|d| d.to_string())
            .collect::<Vec<_>>()
            .join(", nor ")
    );
    let mut finding = Finding::new(Class::RbacDenied, Severity::High, object, summary);
    finding.message = seen.line;
    finding.pods = seen.pods;
    finding.related = vec![ObjectRef::new(
        "v1",
        "ServiceAccount",
        Some(namespace),
        account,
    )];
    finding.reason = "Forbidden".to_owned();
    let text: Vec<String> = open.iter().map(|d| d.as_message()).collect();
    let _ = first;
    Some(finding.with_fact("denials", text.join("\n")))
}

/// The workload that was denied: the one whose log says so, else the only one that runs as the
/// account, else the account.
fn subject(
    view: &View<'_>,
    known: &Known<'_>,
    namespace: &str,
    account: &str,
    pods: &[ObjectRef],
) -> ObjectRef {
    let owners: BTreeSet<ObjectRef> = pods
        .iter()
        .filter_map(|p| view.snapshot.get(p))
        .map(|p| view.snapshot.top_owner(p))
        .collect();
    let users = known
        .workloads(Some(namespace))
        .into_iter()
        .filter(|w| account_of(w) == account)
        .map(Object::reference);
    let candidates: Vec<ObjectRef> = if owners.is_empty() {
        users.collect()
    } else {
        owners.into_iter().collect()
    };
    match candidates.as_slice() {
        [only] => only.clone(),
        _ => ObjectRef::new("v1", "ServiceAccount", Some(namespace), account),
    }
}

fn account_of(workload: &Object) -> &str {
    workload
        .pod_spec()
        .and_then(|s| s.get("serviceAccountName"))
        .and_then(serde_json::Value::as_str)
        .unwrap_or("default")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::snapshot::{LogKey, Snapshot};

    const LINE: &str = "E0301 reflector: User \"system:serviceaccount:ops:scout\" cannot list resource \"pods\" in API group \"\" in the namespace \"ops\"";

    fn classes(role_verbs: &str, line: &str) -> Vec<(Class, String)> {
        let docs = [
            "{kind: Deployment, metadata: {name: scout, namespace: ops, uid: d}, spec: {template: {spec: {serviceAccountName: scout}}}}".to_owned(),
            "{kind: Pod, metadata: {name: scout-1, namespace: ops, ownerReferences: [{controller: true, uid: d, kind: Deployment, name: scout}]}}".to_owned(),
            format!("{{kind: Role, metadata: {{name: r, namespace: ops}}, rules: [{{apiGroups: [''], resources: [pods], verbs: {role_verbs}}}]}}"),
            "{kind: RoleBinding, metadata: {name: b, namespace: ops}, roleRef: {kind: Role, name: r}, subjects: [{kind: ServiceAccount, name: scout}]}".to_owned(),
        ];
        let objects = docs
            .iter()
            .map(|d| Object::new(serde_saphyr::from_str(d).unwrap()).unwrap())
            .collect();
        let key = LogKey {
            namespace: "ops".to_owned(),
            pod: "scout-1".to_owned(),
            container: "c".to_owned(),
            previous: false,
        };
        let snapshot = Snapshot::new(objects, BTreeMap::from([(key, line.to_owned())]));
        let view = View {
            snapshot: &snapshot,
            desired: &[],
            report: None,
            now: jiff::Timestamp::UNIX_EPOCH,
            grace: std::time::Duration::ZERO,
        };
        findings(&view)
            .into_iter()
            .map(|f| (f.class, f.object.to_string()))
            .collect()
    }

    #[test]
    fn a_denial_in_a_log_is_a_finding_on_the_workload() {
        let want = vec![(Class::RbacDenied, "Deployment ops/scout".to_owned())];
        assert_eq!(classes("[get]", LINE), want);
        assert!(
            classes("[get, list]", LINE).is_empty(),
            "granted since then"
        );
        assert!(classes("['*']", LINE).is_empty(), "granted by a wildcard");
        assert!(classes("[get]", "cannot list resource").is_empty());
    }
}
