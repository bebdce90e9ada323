//! Proof that what takes a fix back changes what the fix changed, and nothing else. Pure.
//!
//! A fix went through lock; the fields that it set are on record. Here its way back is held against them:
//! rendered before and after, exactly those fields differ.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::case::Desired;
use crate::code::{Code, Refusal};
use crate::locate::{Check, Repository, Status};
use crate::path::{FieldPath, Seg};
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
    let mut roots = BTreeSet::new();
    for expected in expects {
        let today = match defined(repository, expected) {
            Ok(today) => today,
            Err(why) => return Ok(unproven(&why)),
        };
        let Some(then) = after.desired.iter().find(|d| is_same_place(d, today)) else {
            return Err(unprovable(format!("{} would be gone", expected.object)));
        };
        roots.insert(today.root.as_deref());
        edits.extend(edit(expected, &today.object.value, &then.object.value)?);
    }
    // objects that several roots make are told apart by theirs
    let root = match Vec::from_iter(&roots)[..] {
        [only] => *only,
        _ => None,
    };
    let proven = match repository.prove_in(root, files, &edits) {
        Err(refusal) if refusal.code == Code::RendererMissing => {
            return Ok(unproven(&refusal.message));
        }
        proven => proven?,
    };
    let edits: Vec<&ProposedEdit> = edits.iter().collect();
    let applied = Applied::new(repository, snapshot, files, &edits, &proven.objects);
    let breaks = match worse(applied) {
        Worse::Nothing { .. } => None,
        Worse::Breaks(fault) => Some(fault),
    };
    Ok(Proof {
        checks: proven.checks,
        breaks,
    })
}

impl Proof {
    /// Whether the way back was held against the fields at all.
    pub fn is_proven(&self) -> bool {
        self.checks.iter().any(|c| c.status == Status::Pass)
    }
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

fn unprovable(why: String) -> Refusal {
    Refusal::new(Code::NotVerifiable, why)
}

/// Where the fix changed an object: of several definitions the one that is made from the changed file.
fn defined<'d>(repository: &'d Repository<'_>, expected: &Expected) -> Result<&'d Desired, String> {
    let object = &expected.object;
    let is_it = |d: &&Desired| d.object.reference().same_object(object);
    let all: Vec<&Desired> = repository.desired.iter().filter(is_it).collect();
    let reads = |d: &&Desired| match &d.root {
        Some(root) => repository.files_of_root(root).contains(&expected.file),
        None => d.file == expected.file,
    };
    let made: Vec<&Desired> = all.iter().copied().filter(reads).collect();
    match (&all[..], &made[..]) {
        ([], _) => Err(format!("{object} is not in Git under this name")),
        ([only], _) | (_, [only]) => Ok(only),
        _ => Err(format!("{object} is in Git more than once")),
    }
}

fn is_same_place(one: &Desired, other: &Desired) -> bool {
    let same = one
        .object
        .reference()
        .same_object(&other.object.reference());
    let place = |d: &Desired| match d.root {
        Some(_) => None,
        None => Some((d.file.clone(), d.document)),
    };
    same && one.root == other.root && place(one) == place(other)
}

/// The edit that takes one field back; none where it has its old value already.
fn edit(expected: &Expected, today: &Value, then: &Value) -> Result<Option<ProposedEdit>, Refusal> {
    if expected.path.get(today) == expected.path.get(then) {
        return Ok(None);
    }
    let path = changed(&expected.path, today, then)?;
    let op = match (path.get(today), path.get(then)) {
        (_, None) => Op::Remove,
        (Some(_), Some(was)) => Op::Set(was.clone()),
        (None, Some(was)) => Op::Add(was.clone()),
    };
    Ok(Some(ProposedEdit {
        object: expected.object.clone(),
        path,
        op,
        // nobody proposes it: it is only held against what is there
        unlock: Unlock::InvalidManifest,
        basis: "what the fix changed".to_owned(),
    }))
}

/// The place that is there on both sides, or can be added or removed as a whole: with a field go the mappings
/// that were made for it alone, and an item is one of a list in which the others stay.
fn changed(field: &FieldPath, today: &Value, then: &Value) -> Result<FieldPath, Refusal> {
    let mut path = field.clone();
    while path.get(today).is_none() || path.get(then).is_none() {
        let Some((parent, last)) = path.split_last() else {
            break;
        };
        let around = (parent.get(today), parent.get(then));
        let alone = match (last, around) {
            (Seg::Key(_), (Some(_), Some(_))) => return Ok(path),
            (Seg::Key(_), (one, other)) => one.or(other).is_none_or(has_one_entry),
            (item, (is, was)) => others_stay(item, is, was),
        };
        if !alone {
            return Err(unprovable(format!(
                "more than {field} would change beside it"
            )));
        }
        path = parent;
    }
    Ok(path)
}

fn has_one_entry(value: &Value) -> bool {
    value.as_object().is_some_and(|map| map.len() == 1)
}

/// Whether two lists are the same but for one item.
fn others_stay(item: &Seg, is: Option<&Value>, was: Option<&Value>) -> bool {
    let items = |list: Option<&Value>| list.and_then(Value::as_array).cloned().unwrap_or_default();
    let (mut is, mut was) = (items(is), items(was));
    match item {
        Seg::Named { key, value } => {
            let is_other = |i: &Value| i.get(key).and_then(Value::as_str) != Some(value);
            is.retain(is_other);
            was.retain(is_other);
            is == was
        }
        _ => {
            let (short, long) = match is.len() < was.len() {
                true => (is, was),
                false => (was, is),
            };
            let mut rest = long.iter();
            short.iter().all(|s| rest.any(|l| l == s))
        }
    }
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

    fn both(field: &str, today: &Value, then: &Value) -> Result<String, Refusal> {
        let path: FieldPath = field.parse().unwrap();
        changed(&path, today, then).map(|p| p.to_string())
    }

    #[test]
    fn what_was_made_for_a_field_goes_with_it() {
        use serde_json::json;
        let with = json!({"a": {"resources": {"limits": {"memory": "1Gi"}}}});
        let (without, field) = (json!({"a": {}}), "a.resources.limits.memory");
        assert_eq!(both(field, &with, &without).unwrap(), "a.resources");
        assert_eq!(both(field, &without, &with).unwrap(), "a.resources");
        let more = json!({"a": {"resources": {"limits": {"memory": "1Gi"}, "requests": {}}}});
        assert!(
            both(field, &more, &without).is_err(),
            "requests would go, too"
        );
    }

    #[test]
    fn an_item_is_one_of_a_list_in_which_the_others_stay() {
        use serde_json::json;
        let env = |names: &[&str]| json!({"env": names.iter().map(|n| json!({"name": n})).collect::<Vec<_>>()});
        let all = env(&["A", "B", "C"]);
        for field in ["env[name=B]", "env[1]"] {
            assert_eq!(
                both("env[name=B]", &env(&["A", "C"]), &all).unwrap(),
                "env",
                "{field}"
            );
        }
        assert_eq!(
            both("env[3]", &env(&["A", "B", "C", "D"]), &all).unwrap(),
            "env[3]".replace("[3]", "")
        );
        assert!(both("env[name=B]", &env(&["A"]), &all).is_err());
        assert_eq!(
            both("env[name=B]", &json!({}), &env(&["B"])).unwrap(),
            "env"
        );
    }

    #[test]
    fn without_a_record_nothing_is_claimed() {
        let proof = proven(&[], &[("web:1.2.0", "web:1.1.0")]).unwrap();
        assert_eq!(proof.checks[0].status, Status::Skipped);
    }
}
