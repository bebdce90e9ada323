//! Findings: pods (and claims) that the API server refuses to create.
//!
//! A controller says `FailedCreate` once for each random pod name; what counts is the cause.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use regex::Regex;
use serde_json::Value;

use crate::detect::View;
use crate::detect::scheduling::CAUSE;
use crate::finding::{Class, Finding, Severity, fact};
use crate::object::{Object, ObjectRef};

/// The quota that refuses.
pub const QUOTA: &str = "quota";
/// What has to be declared, or is exceeded: `limits.cpu,limits.memory`.
pub const RESOURCES: &str = "resources";
/// The containers that lack a declaration, where the message names them.
pub const CONTAINERS: &str = "containers";
/// What one pod asks for, `requests.cpu=10m`.
pub const REQUESTED: &str = "requested";
/// What is used, `requests.cpu=20m`.
pub const USED: &str = "used";
/// What the quota allows, `requests.cpu=20m`.
pub const LIMITED: &str = "limited";
/// The Pod Security level, `restricted:latest`.
pub const LEVEL: &str = "level";

/// Runs the detectors of this module.
pub fn findings(view: &View<'_>) -> Vec<Finding> {
    let mut out: BTreeMap<(ObjectRef, String), Finding> = BTreeMap::new();
    for (object, text) in refusals(view) {
        let Some(text) = cause_text(&text) else {
            continue;
        };
        let owner = match view.snapshot.get(&object) {
            Some(live) => view.snapshot.top_owner(live),
            None => object,
        };
        let key = (owner.clone(), without_numbers_of_use(&text));
        out.entry(key).or_insert_with(|| finding(owner, &text));
    }
    out.into_values().collect()
}

/// Who could not create what, in the controllers' words or in the report's.
fn refusals(view: &View<'_>) -> Vec<(ObjectRef, String)> {
    // events come oldest first: of one controller only the last word counts
    let mut last: BTreeMap<ObjectRef, String> = BTreeMap::new();
    for event in view.snapshot.events() {
        let refused = event.reason == "FailedCreate" || event.reason == "ReplicaSetCreateError";
        let live = view.snapshot.get(&event.object);
        let text = flat(&event.message);
        if refused && live.is_none_or(is_short) && cause_text(&text).is_some() {
            last.insert(event.object.clone(), text);
        }
    }
    let mut out: Vec<(ObjectRef, String)> = last.into_iter().collect();
    for kind in ["ReplicaSet", "ReplicationController", "Deployment"] {
        for object in view.snapshot.of_kind(kind).filter(|o| is_short(o)) {
            out.extend(replica_failure(object).map(|text| (object.reference(), text)));
        }
    }
    out.extend(from_report(view));
    out
}

fn flat(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Whether a controller still has fewer pods than it wants.
fn is_short(object: &Object) -> bool {
    let number = |path: &str, default: i64| object.int(path).unwrap_or(default);
    match object.kind() {
        "ReplicaSet" | "ReplicationController" | "StatefulSet" | "Deployment" => {
            number("spec.replicas", 1) > number("status.replicas", 0)
        }
        "DaemonSet" => {
            number("status.desiredNumberScheduled", 1) > number("status.currentNumberScheduled", 0)
        }
        "Job" => {
            let done = |c: &Value| {
                let is = |key: &str, text: &str| c.get(key).and_then(Value::as_str) == Some(text);
                is("type", "Complete") && is("status", "True")
            };
            number("status.active", 0) < number("spec.parallelism", 1)
                && !object.list("status.conditions").iter().any(done)
        }
        _ => true,
    }
}

fn replica_failure(object: &Object) -> Option<String> {
    let condition = object.list("status.conditions").iter().find(|c| {
        let is = |key: &str, text: &str| c.get(key).and_then(Value::as_str) == Some(text);
        is("type", "ReplicaFailure") && is("status", "True")
    })?;
    Some(flat(condition.get("message")?.as_str()?))
}

static FORBIDDEN: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r#"(?s)([a-z]+)(?:\.[a-z.]+)? "([^"]+)" is forbidden: "#)
        .expect("a constant pattern")
});

/// A tool's error names an object of Git that was refused.
fn from_report(view: &View<'_>) -> Option<(ObjectRef, String)> {
    let report = view.report?;
    let found = FORBIDDEN.captures(&report.text)?;
    let plural = found.get(1)?.as_str();
    let name = found.get(2)?.as_str();
    let mut hits = view.desired.iter().map(|d| &d.object).filter(|o| {
        let kind = o.kind().to_lowercase();
        o.name() == name && (format!("{kind}s") == plural || format!("{kind}es") == plural)
    });
    let only = hits.next()?;
    hits.next()
        .is_none()
        .then(|| (only.reference(), flat(&report.text)))
}

static NAMED: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r#"^.*?(?:Error creating: )?[A-Za-z.]+ "[^"]*" is (?:forbidden|invalid): "#)
        .expect("a constant pattern")
});
static CREATES: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"^create (?:Pod|Claim) \S+ (?:for Pod \S+ )?in StatefulSet \S+ failed error: ")
        .expect("a constant pattern")
});

/// The message behind the random name; none for what is over soon (a cache that lags behind).
fn cause_text(text: &str) -> Option<String> {
    let rest = CREATES.replace(text, "");
    let rest = NAMED.replace(&rest, "");
    let rest = rest.trim().trim_start_matches("Error creating: ").trim();
    let passing = [
        "already exists",
        "timed out waiting",
        "etcdserver",
        "object has been modified",
        "is being deleted",
        "being terminated",
    ];
    let over = rest.is_empty() || passing.iter().any(|p| rest.contains(p));
    (!over).then(|| rest.chars().take(4000).collect())
}

/// Usage grows between two refusals of one cause: it must not split the group.
fn without_numbers_of_use(text: &str) -> String {
    let head = text.split(", used: ").next().unwrap_or(text);
    head.to_owned()
}

fn regex(pattern: &str) -> Regex {
    Regex::new(pattern).expect("a constant pattern")
}

static MUST: LazyLock<Regex> =
    LazyLock::new(|| regex(r"failed quota: ([^:\s]+): must specify (.+)$"));
static EXCEEDED: LazyLock<Regex> = LazyLock::new(|| {
    regex(r"exceeded quota: ([^,\s]+), requested: (.+?), used: (.+?), limited: (.+?)$")
});
static LIMIT_RANGE: LazyLock<Regex> = LazyLock::new(|| {
    regex(
        r"(?:minimum|maximum) \S+ usage per (?:Container|Pod|PersistentVolumeClaim)|max limit to request ratio per",
    )
});
/// The manifest is valid, and the pod is not: a default came in between.
static ABOVE_LIMIT: LazyLock<Regex> =
    LazyLock::new(|| regex(r"requests: Invalid value: .*must be less than or equal to \S+ limit"));
static POD_SECURITY: LazyLock<Regex> =
    LazyLock::new(|| regex(r#"violates PodSecurity "([^"]+)": (.+)$"#));
static ACCOUNT: LazyLock<Regex> = LazyLock::new(|| regex(r#"serviceaccount "([^"]+)" not found"#));
static WEBHOOK: LazyLock<Regex> =
    LazyLock::new(|| regex(r#"admission webhook "([^"]+)" denied the request"#));
static BROKEN_WEBHOOK: LazyLock<Regex> =
    LazyLock::new(|| regex(r#"failed calling webhook "([^"]+)""#));
static POLICY: LazyLock<Regex> =
    LazyLock::new(|| regex(r"ValidatingAdmissionPolicy '([^']+)'[^:]*denied request"));
static PRIORITY: LazyLock<Regex> =
    LazyLock::new(|| regex(r"no PriorityClass with name (\S+) was found"));
static RUNTIME: LazyLock<Regex> = LazyLock::new(|| regex(r#"RuntimeClass "([^"]+)" not found"#));

fn finding(owner: ObjectRef, text: &str) -> Finding {
    let refusal = quota(text)
        .or_else(|| by_policy(text))
        .or_else(|| missing_object(text))
        .unwrap_or_else(|| Refusal::new(Class::FailedCreate, "other", text.to_owned()));
    let own = [
        "Service",
        "PersistentVolumeClaim",
        "ConfigMap",
        "Secret",
        "Pod",
    ];
    let what = if own.contains(&owner.kind.as_str()) {
        "it is refused"
    } else {
        "pods are refused"
    };
    let summary = format!("{owner}: {what}: {}", refusal.words);
    let mut finding = Finding::new(refusal.class, Severity::High, owner, summary);
    finding.reason = "FailedCreate".to_owned();
    finding.message = text.to_owned();
    finding = finding.with_fact(CAUSE, refusal.cause);
    refusal
        .facts
        .into_iter()
        .fold(finding, |finding, (name, value)| {
            finding.with_fact(name, value)
        })
}

/// What a refusal message means.
struct Refusal {
    class: Class,
    cause: &'static str,
    words: String,
    facts: Vec<(&'static str, String)>,
}

impl Refusal {
    fn new(class: Class, cause: &'static str, words: String) -> Self {
        Self {
            class,
            cause,
            words,
            facts: Vec::new(),
        }
    }

    fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.facts.push((name, value.into()));
        self
    }
}

fn first(pattern: &Regex, text: &str) -> Option<String> {
    Some(pattern.captures(text)?.get(1)?.as_str().to_owned())
}

fn quota(text: &str) -> Option<Refusal> {
    if let Some(found) = MUST.captures(text) {
        let part = |i: usize| found.get(i).map_or("", |m| m.as_str());
        let (resources, containers) = must_specify(part(2));
        let words = format!(
            "ResourceQuota {} demands that {resources} is declared",
            part(1)
        );
        let refusal = Refusal::new(Class::QuotaRejected, "must-specify", words);
        return Some(
            refusal
                .with(QUOTA, part(1))
                .with(RESOURCES, resources)
                .with(CONTAINERS, containers),
        );
    }
    let found = EXCEEDED.captures(text)?;
    let part = |i: usize| found.get(i).map_or("", |m| m.as_str()).trim();
    let words = format!(
        "ResourceQuota {} is exceeded: requested {}, used {}, limited {}",
        part(1),
        part(2),
        part(3),
        part(4)
    );
    let refusal = Refusal::new(Class::QuotaRejected, "exceeded", words)
        .with(QUOTA, part(1))
        .with(RESOURCES, names(part(2)));
    Some(
        refusal
            .with(REQUESTED, part(2))
            .with(USED, part(3))
            .with(LIMITED, part(4)),
    )
}

fn by_policy(text: &str) -> Option<Refusal> {
    if let Some(level) = first(&POD_SECURITY, text) {
        let words = format!("they violate PodSecurity {level:?}");
        let refusal = Refusal::new(Class::PodSecurityRejected, "pod-security", words);
        return Some(refusal.with(LEVEL, level));
    }
    if LIMIT_RANGE.is_match(text) {
        return Some(Refusal::new(
            Class::LimitRangeRejected,
            "limit-range",
            text.to_owned(),
        ));
    }
    if ABOVE_LIMIT.is_match(text) {
        let words = format!("a request is above the limit that a LimitRange sets: {text}");
        return Some(Refusal::new(
            Class::LimitRangeRejected,
            "limit-range",
            words,
        ));
    }
    if let Some(name) = first(&BROKEN_WEBHOOK, text) {
        let words = format!("admission webhook {name} does not answer");
        return Some(Refusal::new(
            Class::AdmissionRejected,
            "broken-webhook",
            words,
        ));
    }
    let name = first(&WEBHOOK, text).or_else(|| first(&POLICY, text))?;
    let words = format!("{name} denies them: {text}");
    Some(Refusal::new(Class::AdmissionRejected, "policy", words))
}

/// A ServiceAccount or class that the pods name and that is not there.
fn missing_object(text: &str) -> Option<Refusal> {
    let kinds = [
        (
            &ACCOUNT,
            Class::MissingServiceAccount,
            "service-account",
            "ServiceAccount",
        ),
        (
            &PRIORITY,
            Class::AdmissionRejected,
            "missing-class",
            "PriorityClass",
        ),
        (
            &RUNTIME,
            Class::AdmissionRejected,
            "missing-class",
            "RuntimeClass",
        ),
    ];
    kinds.into_iter().find_map(|(pattern, class, cause, kind)| {
        let name = first(pattern, text)?;
        let refusal = Refusal::new(class, cause, format!("{kind} {name} not found"));
        Some(
            refusal
                .with(fact::MISSING_KIND, kind)
                .with(fact::MISSING_NAME, name),
        )
    })
}

/// `limits.cpu for: a,b; limits.memory for: a` or the older `limits.cpu,limits.memory`.
fn must_specify(text: &str) -> (String, String) {
    let (mut resources, mut containers) = (Vec::new(), Vec::new());
    for part in text.split(';') {
        let (what, who) = part.split_once(" for: ").unwrap_or((part, ""));
        resources.extend(what.split(',').map(|r| r.trim().to_owned()));
        containers.extend(who.split(',').map(|c| c.trim().to_owned()));
    }
    for list in [&mut resources, &mut containers] {
        list.retain(|s| !s.is_empty());
        list.sort_unstable();
        list.dedup();
    }
    (resources.join(","), containers.join(","))
}

/// `requests.cpu=10m,pods=1` → `requests.cpu,pods`
fn names(text: &str) -> String {
    let names: Vec<&str> = text
        .split(',')
        .filter_map(|p| Some(p.split_once('=')?.0.trim()))
        .collect();
    names.join(",")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::time::Duration;

    use serde_json::json;

    use super::*;
    use crate::snapshot::Snapshot;

    fn object(value: Value) -> Object {
        Object::new(value).unwrap()
    }

    fn replica_set(wanted: i64, there: i64) -> Object {
        object(json!({"apiVersion": "apps/v1", "kind": "ReplicaSet",
            "metadata": {"name": "web-6f", "namespace": "shop", "uid": "rs", "labels": {"pod-template-hash": "6f"},
                "ownerReferences": [{"apiVersion": "apps/v1", "kind": "Deployment", "name": "web", "uid": "d", "controller": true}]},
            "spec": {"replicas": wanted}, "status": {"replicas": there}}))
    }

    fn refused(pod: &str, why: &str) -> Object {
        object(
            json!({"kind": "Event", "metadata": {"name": pod}, "reason": "FailedCreate",
            "involvedObject": {"kind": "ReplicaSet", "namespace": "shop", "name": "web-6f"},
            "message": format!("Error creating: pods \"{pod}\" is forbidden: {why}")}),
        )
    }

    fn run(objects: Vec<Object>) -> Vec<Finding> {
        let snapshot = Snapshot::new(objects, BTreeMap::new());
        findings(&View {
            snapshot: &snapshot,
            desired: &[],
            report: None,
            now: "2026-05-01T12:00:00Z".parse().unwrap(),
            grace: Duration::from_secs(300),
        })
    }

    fn one(why: &str) -> Finding {
        let mut found = run(vec![replica_set(2, 0), refused("web-6f-a", why)]);
        assert_eq!(found.len(), 1, "{why}");
        found.remove(0)
    }

    #[test]
    fn one_cause_is_one_finding_of_the_owner() {
        let used = |n: i64| {
            format!("exceeded quota: team, requested: pods=1, used: pods={n}, limited: pods=3")
        };
        let found = run(vec![
            replica_set(4, 3),
            refused("web-6f-a", &used(3)),
            refused("web-6f-b", &used(3)),
            refused("web-6f-c", &used(4)),
        ]);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].object.to_string(), "Deployment shop/web");
        assert_eq!(found[0].fact(LIMITED), Some("pods=3"));
    }

    #[test]
    fn what_has_all_its_pods_is_over_it() {
        let why = "exceeded quota: team, requested: pods=1, used: pods=3, limited: pods=3";
        assert_eq!(
            run(vec![replica_set(2, 2), refused("web-6f-a", why)]).len(),
            0
        );
    }

    #[test]
    fn causes_are_told_apart() {
        let must =
            one("failed quota: team: must specify limits.cpu for: a,b; limits.memory for: a");
        assert_eq!(must.class, Class::QuotaRejected);
        assert_eq!(must.fact(RESOURCES), Some("limits.cpu,limits.memory"));
        assert_eq!(must.fact(CONTAINERS), Some("a,b"));
        assert_eq!(
            one("failed quota: team: must specify limits.cpu,requests.cpu").fact(RESOURCES),
            Some("limits.cpu,requests.cpu")
        );
        assert_eq!(one("violates PodSecurity \"baseline:v1.30\": hostPort (container \"a\" uses hostPort 80)").fact(LEVEL), Some("baseline:v1.30"));
        assert_eq!(
            one("error looking up service account shop/robot: serviceaccount \"robot\" not found")
                .class,
            Class::MissingServiceAccount
        );
        assert_eq!(
            one("[maximum memory usage per Container is 1Gi, but limit is 2Gi]").class,
            Class::LimitRangeRejected
        );
        assert_eq!(
            one("no PriorityClass with name gold was found").fact(fact::MISSING_NAME),
            Some("gold")
        );
        assert_eq!(one("something new").class, Class::FailedCreate);
    }

    #[test]
    fn webhooks_that_deny_and_webhooks_that_are_down_differ() {
        let event = |message: &str| {
            object(
                json!({"kind": "Event", "metadata": {"name": "e"}, "reason": "FailedCreate", "message": message,
            "involvedObject": {"kind": "ReplicaSet", "namespace": "shop", "name": "web-6f"}}),
            )
        };
        let cause = |message: &str| {
            run(vec![replica_set(1, 0), event(message)])[0]
                .fact(CAUSE)
                .unwrap()
                .to_owned()
        };
        assert_eq!(
            cause("Error creating: admission webhook \"p.example.com\" denied the request: no"),
            "policy"
        );
        assert_eq!(
            cause(
                "Error creating: Internal error occurred: failed calling webhook \"p.example.com\": connection refused"
            ),
            "broken-webhook"
        );
    }

    #[test]
    fn passing_conflicts_are_no_findings() {
        assert_eq!(
            run(vec![
                replica_set(1, 0),
                refused("web-6f-a", "object is being deleted")
            ])
            .len(),
            0
        );
    }
}
