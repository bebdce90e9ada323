//! Proof that what takes a fix back changes what the fix changed, and nothing else. Pure.
//!
//! A fix went through lock; the fields that it set are on record. Here its way back is held against them:
//! rendered before and after, exactly those fields differ.

use std::collections::BTreeMap;

use crate::case::Desired;
use crate::code::{Code, Refusal};
use crate::locate::{Check, Proven, Repository, Status};
use crate::propose::{Op, ProposedEdit, Unlock};
use crate::scan::worse::{Applied, Worse, worse};
use crate::snapshot::Snapshot;
use crate::verify::expect::Expected;

/// What is known of the way back.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Proof {
    /// What was proven.
    pub checks: Vec<Check>,
    /// What leads nowhere afterwards: as before the fix, or because of what happened since.
    pub breaks: Option<String>,
}

/// Holds new content against the fields that the fix set. A way back that does more is refused.
pub fn prove(
    repository: &Repository<'_>,
    snapshot: &Snapshot,
    expects: &[Expected],
    files: &BTreeMap<String, Vec<u8>>,
) -> Result<Proof, Refusal> {
    if expects.is_empty() {
        return Ok(unproven(
            "the pull request does not say which fields it set",
        ));
    }
    let all = repository.files.with(files);
    let after = repository.reopened(&all);
    let mut edits = Vec::new();
    for expected in expects {
        let Some(today) = defined(&repository.desired, expected) else {
            let object = &expected.object;
            return Ok(unproven(&format!("{object} is not in Git under this name")));
        };
        edits.extend(edit(expected, today, defined(&after.desired, expected))?);
    }
    let Proven {
        checks, objects, ..
    } = repository.prove(files, &edits)?;
    let edits: Vec<&ProposedEdit> = edits.iter().collect();
    let applied = Applied::new(repository, snapshot, files, &edits, &objects);
    let breaks = match worse(applied) {
        Worse::Nothing { .. } => None,
        Worse::Breaks(fault) => Some(fault),
    };
    Ok(Proof { checks, breaks })
}

fn unproven(why: &str) -> Proof {
    let check = Check {
        name: "rendering".to_owned(),
        status: Status::Skipped,
        detail: format!("{why}; what the files hold was compared"),
    };
    Proof {
        checks: vec![check],
        breaks: None,
    }
}

fn defined<'d>(desired: &'d [Desired], expected: &Expected) -> Option<&'d Desired> {
    let is_it = |d: &&Desired| d.object.reference().same_object(&expected.object);
    desired.iter().find(is_it)
}

/// The edit of one field that takes it back; none where it has its old value already.
fn edit(
    expected: &Expected,
    today: &Desired,
    then: Option<&Desired>,
) -> Result<Option<ProposedEdit>, Refusal> {
    let Some(then) = then else {
        let message = format!("{} would be gone", expected.object);
        return Err(Refusal::new(Code::NotVerifiable, message));
    };
    let path = &expected.path;
    let op = match (path.get(&today.object.value), path.get(&then.object.value)) {
        (is, was) if is == was => return Ok(None),
        (Some(_), Some(was)) => Op::Set(was.clone()),
        (None, Some(was)) => Op::Add(was.clone()),
        (_, None) => Op::Remove,
    };
    Ok(Some(ProposedEdit {
        object: expected.object.clone(),
        path: path.clone(),
        op,
        // nobody proposes it: it is only held against what is there
        unlock: Unlock::InvalidManifest,
        basis: "what the fix changed".to_owned(),
    }))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::files::Files;
    use crate::locate::Policy;
    use crate::object::{Object, ObjectRef};
    use crate::verify::expect::Wished;

    const WEB: &str = "\
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: shop}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
      - name: web
        image: registry.example.com/web:1.2.0
        envFrom: [{configMapRef: {name: settings}}]
---
apiVersion: v1
kind: ConfigMap
metadata: {name: settings, namespace: shop}
data: {mode: fast}
";
    const ENV: &str = "spec.template.spec.containers[name=web].envFrom[0].configMapRef.name";
    const IMAGE: &str = "spec.template.spec.containers[name=web].image";

    fn expects(path: &str, value: &str) -> Vec<Expected> {
        vec![Expected {
            object: ObjectRef::new("apps/v1", "Deployment", Some("shop"), "web"),
            file: "web.yaml".to_owned(),
            path: path.parse().unwrap(),
            to: Wished::Value(serde_json::json!(value).to_string()),
        }]
    }

    fn proven(expects: &[Expected], replace: &[(&str, &str)]) -> Result<Proof, Refusal> {
        let files = |text: &str| BTreeMap::from([("web.yaml".to_owned(), text.into())]);
        let today = Files::default().with(&files(WEB));
        let repository = Repository::open(&today, None, None, Policy::default());
        let back = replace.iter().fold(WEB.to_owned(), |t, (a, b)| {
            assert!(t.contains(a), "{a}");
            t.replacen(a, b, 1)
        });
        let settings = serde_json::json!({"apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {"name": "settings", "namespace": "shop"}});
        let snapshot = Snapshot::new(vec![Object::new(settings).unwrap()], BTreeMap::new());
        prove(&repository, &snapshot, expects, &files(&back))
    }

    #[test]
    fn exactly_what_the_fix_set_goes_back() {
        let fix = expects(IMAGE, "registry.example.com/web:1.2.0");
        let proof = proven(&fix, &[("web:1.2.0", "web:1.1.0")]).unwrap();
        assert_eq!(proof.checks.len(), 1, "{proof:?}");
        assert_eq!(proof.checks[0].status, Status::Pass);
        assert_eq!(proof.breaks, None);
    }

    #[test]
    fn anything_more_is_refused() {
        let fix = expects(IMAGE, "registry.example.com/web:1.2.0");
        let back = ("web:1.2.0", "web:1.1.0");
        for more in [
            ("replicas: 2", "replicas: 0"),
            ("mode: fast", "mode: slow"),
            (
                "name: settings, namespace: shop",
                "name: settings, namespace: other",
            ),
        ] {
            let refused = proven(&fix, &[back, more]).unwrap_err();
            assert_eq!(refused.code, Code::NotVerifiable, "{more:?}");
        }
        assert!(proven(&fix, &[("replicas: 2", "replicas: 0")]).is_err());
    }

    #[test]
    fn what_leads_nowhere_afterwards_is_told() {
        let fix = expects(ENV, "settings");
        let proof = proven(
            &fix,
            &[(
                "configMapRef: {name: settings}",
                "configMapRef: {name: gone}",
            )],
        );
        let told = proof.unwrap().breaks.unwrap();
        assert!(told.contains("gone"), "{told}");
    }

    #[test]
    fn without_a_record_nothing_is_claimed() {
        let proof = proven(&[], &[("web:1.2.0", "web:1.1.0")]).unwrap();
        assert_eq!(proof.checks[0].status, Status::Skipped);
    }
}
