//! Proof that what takes a fix back changes what the fix changed, and nothing else. Pure.
//!
//! A fix went through lock; the fields that it set are on record. Here its way back is held against them:
//! rendered before and after, exactly those fields differ.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::case::Desired;
use crate::code::{Code, Refusal};
use crate::locate::{Check, Repository, Status};
use crate::lock::apply_op;
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
    let mut objects: BTreeMap<String, Vec<&Expected>> = BTreeMap::new();
    for expected in expects {
        let name = expected.object.to_string();
        objects.entry(name).or_default().push(expected);
    }
    let mut edits = Vec::new();
    let mut roots = BTreeSet::new();
    for fields in objects.values() {
        let today = match defined(repository, fields) {
            Ok(today) => today,
            Err(why) => return Ok(unproven(&why)),
        };
        let then = then(&after, today)?;
        roots.insert(today.root.as_deref());
        edits.extend(way_back(fields, &today.object.value, &then.object.value)?);
    }
    // objects that several roots make are told apart by theirs
    let root = match Vec::from_iter(&roots)[..] {
        [only] => *only,
        _ => None,
    };
    let proven = match repository.prove_in(root, files, &edits) {
        Err(refusal) if gave_up(&refusal) => {
            return Err(Refusal::new(Code::RenderFailed, refusal.message));
        }
        Err(refusal) if matches!(refusal.code, Code::RendererMissing | Code::Ambiguous) => {
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
fn defined<'d>(
    repository: &'d Repository<'_>,
    fields: &[&Expected],
) -> Result<&'d Desired, String> {
    let Some(first) = fields.first() else {
        return Err("nothing was set".to_owned());
    };
    let (object, file) = (&first.object, &first.file);
    let is_it = |d: &&Desired| d.object.reference().same_object(object);
    let all: Vec<&Desired> = repository.desired.iter().filter(is_it).collect();
    let reads = |d: &&Desired| match &d.root {
        Some(root) => repository.files_of_root(root).contains(file),
        None => d.file == *file,
    };
    let made: Vec<&Desired> = all.iter().copied().filter(reads).collect();
    match (&all[..], &made[..]) {
        ([], _) => Err(format!("{object} is not in Git under this name")),
        ([only], _) | (_, [only]) => Ok(only),
        _ => Err(format!("{object} is in Git more than once")),
    }
}

/// The same object afterwards.
fn then<'d>(after: &'d Repository<'_>, today: &Desired) -> Result<&'d Desired, Refusal> {
    if let Some(then) = after.desired.iter().find(|d| is_same_place(d, today)) {
        return Ok(then);
    }
    let mut roots = after.roots();
    let refused = roots.find(|(root, _)| Some(*root) == today.root.as_deref());
    Err(match refused.and_then(|(_, refusal)| refusal) {
        Some(refusal) if gave_up(refusal) => refusal.clone(),
        // it renders today: what does not render then never will
        Some(refusal) => unprovable(format!("with it, {}", refusal.message)),
        None => unprovable(format!("{} would be gone", today.object.reference())),
    })
}

/// What is said of a renderer that was ended, or never began. All else is its own word about what it reads.
const GAVE_UP: [&str; 4] = [
    ": no answer within ",
    "it closed its output and did not end",
    "it failed and said nothing",
    "(os error ",
];

/// Whether the same may render at another time.
fn gave_up(refusal: &Refusal) -> bool {
    GAVE_UP.iter().any(|said| refusal.message.contains(said))
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

/// The edits that take the fields of one object back, where nothing else of it changes.
fn way_back(
    fields: &[&Expected],
    today: &Value,
    then: &Value,
) -> Result<Vec<ProposedEdit>, Refusal> {
    let paths: Vec<&FieldPath> = fields.iter().map(|e| &e.path).collect();
    if !only_these(&paths, today, then) {
        let object = fields.first().map(|e| e.object.to_string());
        let object = object.unwrap_or_default();
        return Err(unprovable(format!(
            "more of {object} would change than the fix did"
        )));
    }
    let places: Vec<FieldPath> = paths.iter().map(|p| place(p, today, then)).collect();
    let is_part = |path: &FieldPath| places.iter().any(|p| p != path && path.starts_with(p));
    let mut edits: Vec<ProposedEdit> = Vec::new();
    for (path, field) in places.iter().zip(fields) {
        let (is, was) = (path.get(today), path.get(then));
        if is == was || is_part(path) || edits.iter().any(|e| e.path == *path) {
            continue;
        }
        edits.push(ProposedEdit {
            object: field.object.clone(),
            path: path.clone(),
            op: match (is, was) {
                (_, None) => Op::Remove,
                (Some(_), Some(was)) => Op::Set(was.clone()),
                (None, Some(was)) => Op::Add(was.clone()),
            },
            // nobody proposes it: it is only held against what is there
            unlock: Unlock::InvalidManifest,
            basis: "what the fix changed".to_owned(),
        });
    }
    Ok(edits)
}

/// The place of a field that is there on both sides, or is added or removed as a whole: with it go the mappings
/// that were made for it, and an item is part of its list.
fn place(field: &FieldPath, today: &Value, then: &Value) -> FieldPath {
    let mut path = field.clone();
    while let Some((parent, last)) = path.split_last() {
        let lacks = |value: &Value| path.get(value).is_none();
        let is_there = |value: &Value| parent.get(value).is_some();
        let stays = match last {
            Seg::Key(_) => {
                let one_lacks = lacks(today) || lacks(then);
                !one_lacks || (is_there(today) && is_there(then))
            }
            Seg::Named { .. } => !lacks(today) && !lacks(then),
            // another item may stand there
            Seg::Index(_) => false,
        };
        if stays {
            break;
        }
        path = parent;
    }
    path
}

/// Whether two states of an object are the same but for some fields, and the mappings that hold nothing else.
fn only_these(fields: &[&FieldPath], today: &Value, then: &Value) -> bool {
    // how many items of a list are told by their place
    let mut lists: BTreeMap<String, (FieldPath, usize)> = BTreeMap::new();
    for (list, last) in fields.iter().filter_map(|f| f.split_last()) {
        if matches!(last, Seg::Index(_)) {
            lists.entry(list.to_string()).or_insert((list, 0)).1 += 1;
        }
    }
    let without = |value: &Value| {
        let mut rest = value.clone();
        let lists = lists.values().map(|(list, _)| list);
        fields
            .iter()
            .copied()
            .chain(lists)
            .for_each(|f| prune(&mut rest, f));
        rest
    };
    let differ_by =
        |(list, items): &(FieldPath, usize)| others_stay(list.get(today), list.get(then), *items);
    without(today) == without(then) && lists.values().all(differ_by)
}

/// Takes a field out, and all around it that is empty then.
fn prune(value: &mut Value, field: &FieldPath) {
    let mut path = field.clone();
    apply_op(value, &path, &Op::Remove);
    while let Some((parent, _)) = path.split_last() {
        let is_empty = match parent.get(value) {
            Some(Value::Object(map)) => map.is_empty(),
            Some(Value::Array(items)) => items.is_empty(),
            Some(_) => false,
            None => true,
        };
        if !is_empty || parent.0.is_empty() {
            return;
        }
        apply_op(value, &parent, &Op::Remove);
        path = parent;
    }
}

/// Whether two lists are the same but for so many items of one of them.
fn others_stay(is: Option<&Value>, was: Option<&Value>, items: usize) -> bool {
    let list = |value: Option<&Value>| value.and_then(Value::as_array).cloned().unwrap_or_default();
    let (is, was) = (list(is), list(was));
    let (short, long) = match is.len() < was.len() {
        true => (is, was),
        false => (was, is),
    };
    let mut rest = long.iter();
    long.len() - short.len() <= items && short.iter().all(|s| rest.any(|l| l == s))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::json;

    use super::*;
    use crate::files::Files;
    use crate::locate::Policy;
    use crate::object::{Object, ObjectRef};
    use crate::render::{Limits, Renderer};
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

    /// A renderer that runs a shell text; what it renders is in `$text`.
    fn renderer(script: &str) -> Renderer {
        let read = r#"text=$(/bin/cat "$2/../repository/web.yaml")"#;
        let script = format!("{read}; {script}");
        let command = ["/bin/sh", "-c", &script, "sh"];
        Renderer {
            command: command.map(str::to_owned).to_vec(),
            version: "kustomize v9.9.9".to_owned(),
            limits: Limits::default(),
        }
    }

    /// What is said where the way back is rendered in another way than what is there.
    fn rendered_back(instead: &str) -> Result<Proof, Refusal> {
        let renders = r#"printf '%s\n' "$text""#;
        let renderer = renderer(&format!(
            "case $text in *web:1.1.0*) {instead};; *) {renders};; esac"
        ));
        let files = |text: &str| BTreeMap::from([("web.yaml".to_owned(), text.into())]);
        let root = BTreeMap::from([(
            "kustomization.yaml".to_owned(),
            b"resources: [web.yaml]\n".to_vec(),
        )]);
        let today = Files::default().with(&files(WEB)).with(&root);
        let repository = Repository::open(&today, Some(&renderer), None, Policy::default());
        let snapshot = Snapshot::new(Vec::new(), BTreeMap::new());
        let back = WEB.replace("web:1.2.0", "web:1.1.0");
        let fix = expects(IMAGE, "registry.example.com/web:1.2.0");
        prove(&repository, &snapshot, &fix, &files(&back))
    }

    #[test]
    fn what_does_not_render_afterwards_is_refused() {
        let fails = "echo 'Error: replace operation does not apply' >&2; exit 1";
        let refused = rendered_back(fails).unwrap_err();
        assert_eq!(refused.code, Code::NotVerifiable, "{refused:?}");
        let said = "does not build: replace operation does not apply";
        assert!(refused.message.contains(said), "{refused:?}");
        let killed = rendered_back("kill -9 $$").unwrap_err();
        assert_eq!(killed.code, Code::RenderFailed, "{killed:?}");
    }

    #[test]
    fn a_renderer_that_gave_up_may_do_better() {
        let said = |renderer: &Renderer| {
            let error = renderer.render(&BTreeMap::new(), "").unwrap_err();
            gave_up(&Refusal::new(Code::RenderFailed, error.to_string()))
        };
        let missing = Renderer {
            command: vec!["/nonexistent/kustomize".to_owned()],
            ..renderer("")
        };
        assert!(said(&missing));
        let mut stuck = renderer("while :; do :; done");
        stuck.limits.time = std::time::Duration::from_millis(50);
        assert!(said(&stuck));
        assert!(!said(&renderer("echo 'Error: no such file' >&2; exit 1")));
    }

    /// The edits of the way back, from JSON to JSON.
    fn back(fields: &[&str], today: &Value, then: &Value) -> Option<Vec<String>> {
        let fields: Vec<Expected> = fields.iter().flat_map(|f| expects(f, "")).collect();
        let fields: Vec<&Expected> = fields.iter().collect();
        let edits = way_back(&fields, today, then).ok()?;
        let mut undone = today.clone();
        edits
            .iter()
            .for_each(|e| apply_op(&mut undone, &e.path, &e.op));
        assert_eq!(undone, *then, "{edits:?}");
        Some(edits.iter().map(|e| e.path.to_string()).collect())
    }

    #[test]
    fn what_was_made_for_a_field_goes_with_it() {
        let with = json!({"a": {"resources": {"limits": {"memory": "1Gi"}}}});
        let (without, field) = (json!({"a": {}}), "a.resources.limits.memory");
        assert_eq!(back(&[field], &with, &without).unwrap(), ["a.resources"]);
        assert_eq!(back(&[field], &without, &with).unwrap(), ["a.resources"]);
        let more =
            json!({"a": {"resources": {"limits": {"memory": "1Gi"}, "requests": {"cpu": 1}}}});
        assert_eq!(
            back(&[field], &more, &without),
            None,
            "requests would go, too"
        );
        let both = [field, "a.resources.requests.cpu"];
        let edits = back(&both, &more, &without).unwrap();
        assert_eq!(edits, ["a.resources"], "they are the fix's, too");
    }

    #[test]
    fn an_item_is_one_of_a_list_in_which_the_others_stay() {
        let env = |names: &[&str]| {
            let items = names.iter().map(|n| json!({"name": n, "value": "x"}));
            json!({"env": items.collect::<Vec<_>>()})
        };
        let all = env(&["A", "B", "C"]);
        let by_name = |fields: &[&str], names: &[&str]| back(fields, &env(names), &all);
        assert_eq!(by_name(&["env[name=B]"], &["A", "C"]).unwrap(), ["env"]);
        assert_eq!(by_name(&["env[name=B]"], &["A"]), None);
        let two = ["env[name=B]", "env[name=C]"];
        assert_eq!(by_name(&two, &["A"]).unwrap(), ["env"]);
        assert_eq!(
            by_name(&["env[3]"], &["D", "A", "B", "C"]).unwrap(),
            ["env"]
        );
        assert_eq!(by_name(&["env[3]"], &["D", "E", "A", "B", "C"]), None);
        assert_eq!(
            back(&["env[name=B]"], &json!({}), &env(&["B"])).unwrap(),
            ["env"]
        );
    }

    #[test]
    fn a_value_within_an_item_goes_back_alone() {
        let with = |value: &str| json!({"env": [{"name": "A", "value": value}, {"name": "B"}]});
        let field = ["env[name=A].value"];
        assert_eq!(back(&field, &with("2"), &with("1")).unwrap(), field);
    }

    #[test]
    fn without_a_record_nothing_is_claimed() {
        let proof = proven(&[], &[("web:1.2.0", "web:1.1.0")]).unwrap();
        assert_eq!(proof.checks[0].status, Status::Skipped);
    }
}
