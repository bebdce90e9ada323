//! What a change breaks elsewhere: what leads somewhere before it, and nowhere after it. Pure.

use std::collections::{BTreeMap, HashMap, HashSet};

use serde_json::Value;

use crate::case::Desired;
use crate::finding::Severity;
use crate::locate::{ChangedObject, Repository, shown};
use crate::lock::apply_op;
use crate::manifest;
use crate::object::{Object, ObjectRef, list};
use crate::propose::ProposedEdit;
use crate::report::Known;
use crate::scan::checks;
use crate::scan::draft::{Draft, Look};
use crate::scan::refs::{Reference, references};
use crate::scan::rules;
use crate::scan::world::{Change, Scope, World, scopes};
use crate::schema;
use crate::snapshot::{Existence, Snapshot, selector_matches};

/// What a change does to what is applied together with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Worse {
    /// So many objects lead to each other as before, or better.
    Nothing { objects: usize },
    /// A sentence on what breaks.
    Breaks(String),
}

/// A change as it is applied.
pub(crate) struct Applied<'c> {
    /// The repository before it.
    pub repository: &'c Repository<'c>,
    /// The cluster; what only it holds counts as there, and takes part.
    pub snapshot: &'c Snapshot,
    /// New content by file.
    pub files: &'c BTreeMap<String, Vec<u8>>,
    /// Changed objects by their position in `Repository::desired`.
    pub objects: BTreeMap<usize, Object>,
    /// The roots, or none for plain files, that the snapshot is of.
    pub homes: Vec<Option<&'c str>>,
}

impl<'c> Applied<'c> {
    /// Edits of objects of Git, as they were located and rendered.
    pub(crate) fn new(
        repository: &'c Repository<'c>,
        snapshot: &'c Snapshot,
        files: &'c BTreeMap<String, Vec<u8>>,
        edits: &[&ProposedEdit],
        rendered: &[ChangedObject],
    ) -> Self {
        let desired = &repository.desired;
        let meant = edits
            .iter()
            .filter_map(|e| Some((only(desired, &e.object)?, *e)));
        let meant: Vec<(usize, &ProposedEdit)> = meant.collect();
        Self {
            repository,
            snapshot,
            files,
            objects: after(desired, &meant, rendered),
            homes: meant
                .iter()
                .map(|(i, _)| desired[*i].root.as_deref())
                .collect(),
        }
    }
}

/// Where an object is defined; none if Git has it not, or several times.
fn only(desired: &[Desired], object: &ObjectRef) -> Option<usize> {
    let same = |d: &Desired| d.object.reference().same_object(object);
    let first = desired.iter().position(same)?;
    (!desired[first + 1..].iter().any(same)).then_some(first)
}

/// The changed objects by their position: plain ones with the edits, those of roots as they render.
fn after(
    desired: &[Desired],
    meant: &[(usize, &ProposedEdit)],
    rendered: &[ChangedObject],
) -> BTreeMap<usize, Object> {
    let mut out: BTreeMap<usize, Object> = BTreeMap::new();
    for (i, edit) in meant {
        let object = out.entry(*i).or_insert_with(|| desired[*i].object.clone());
        apply_op(&mut object.value, &edit.path, &edit.op);
    }
    // a generated name follows its content; what it names is the same object
    let names: BTreeMap<&str, &str> = rendered.iter().filter_map(ChangedObject::renamed).collect();
    let mut by_name: BTreeMap<(&str, &str), Vec<&ChangedObject>> = BTreeMap::new();
    for one in rendered {
        let name = (one.root.as_str(), one.object.name.as_str());
        by_name.entry(name).or_default().push(one);
    }
    for (i, one) in desired.iter().enumerate() {
        let Some(root) = one.root.as_deref().map(shown) else {
            continue;
        };
        let all = by_name.get(&(root, one.object.name()));
        let mut then = all.into_iter().flatten();
        if let Some(mut object) = then.find_map(|c| c.of(root, &one.object)) {
            rename(&mut object.value, &names);
            out.insert(i, object);
        }
    }
    out
}

/// Replaces every text that is one of these.
fn rename(value: &mut Value, names: &BTreeMap<&str, &str>) {
    match value {
        Value::String(text) => {
            if let Some(name) = names.get(text.as_str()) {
                (*name).clone_into(text);
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|v| rename(v, names)),
        Value::Object(map) => map.values_mut().for_each(|v| rename(v, names)),
        _ => {}
    }
}

/// Looks at everything that is applied together with the changed objects.
pub(crate) fn worse(applied: Applied<'_>) -> Worse {
    let (repository, nothing) = (applied.repository, Snapshot::default());
    let changed = applied.files.iter();
    let change = Change {
        documents: changed
            .filter_map(|(file, bytes)| Some((file.as_str(), manifest::values(bytes).ok()?)))
            .collect(),
        objects: applied.objects,
    };
    let live = live(repository, applied.snapshot, &change);
    let [today, then] = worlds(repository, &change, &live);
    let mut looked = 0;
    for scope in scopes(repository) {
        let all = scope.members.iter().chain(&scope.neighbours);
        if !all.clone().any(|i| change.objects.contains_key(i)) {
            continue;
        }
        looked += all.count();
        let is_home = applied.homes.contains(&scope.root.as_deref());
        let (live, snapshot) = match is_home {
            true => (&live[..], applied.snapshot),
            false => (&[][..], &nothing),
        };
        let before = Side::new(repository, &scope, &Change::default(), live, &today);
        let after = Side::new(repository, &scope, &change, live, &then);
        let lost = lost_name(&before, &after, snapshot);
        let lost = lost.or_else(|| lost_pods(&before, &after));
        if let Some(fault) = lost.or_else(|| new_fault(&before, &after)) {
            return Worse::Breaks(fault);
        }
    }
    Worse::Nothing { objects: looked }
}

fn key(object: &Object) -> (&str, Option<&str>, &str) {
    (object.kind(), object.namespace(), object.name())
}

/// What is in the cluster beside the changed objects, but for what controllers make of it; as Git has
/// it, where it says so in one place.
fn live(repository: &Repository<'_>, snapshot: &Snapshot, change: &Change<'_>) -> Vec<Desired> {
    let mut in_git: HashMap<_, Vec<&Desired>> = HashMap::new();
    for desired in &repository.desired {
        in_git
            .entry(key(&desired.object))
            .or_default()
            .push(desired);
    }
    let namespaces: HashSet<_> = change.objects.values().map(Object::namespace).collect();
    let changed: HashSet<_> = change.objects.values().map(key).collect();
    let stands = |o: &&Object| {
        let made = matches!(o.kind(), "Pod" | "Event") || o.controller().is_some();
        namespaces.contains(&o.namespace()) && !made && !changed.contains(&key(o))
    };
    let as_it_will_be = |object: &Object| match in_git.get(&key(object)).map(Vec::as_slice) {
        Some([only]) => (*only).clone(),
        _ => Desired {
            object: object.clone(),
            file: String::new(),
            document: 0,
            root: None,
        },
    };
    let objects = snapshot.objects().iter().filter(stands);
    objects.map(as_it_will_be).collect()
}

/// Everything that is known before and after.
fn worlds(repository: &Repository<'_>, change: &Change<'_>, live: &[Desired]) -> [World; 2] {
    let mut today = World::new(repository);
    let mut then = World::after(repository, change);
    for desired in live {
        today.add_live(&desired.object);
        then.add_live(&desired.object);
    }
    then.remember(&today);
    [today, then]
}

/// What is applied together, before or after the change.
struct Side<'w> {
    /// The objects of the scope, what only the cluster holds, and what shares the namespace.
    objects: Vec<Desired>,
    /// So many of them are judged.
    judged: usize,
    world: &'w World,
}

impl<'w> Side<'w> {
    fn new(
        repository: &Repository<'_>,
        scope: &Scope,
        change: &Change<'_>,
        live: &[Desired],
        world: &'w World,
    ) -> Self {
        let of = |i: &usize| {
            let mut desired = repository.desired.get(*i)?.clone();
            if let Some(object) = change.objects.get(i) {
                desired.object = object.clone();
            }
            Some(desired)
        };
        let mut objects: Vec<Desired> = scope.members.iter().filter_map(of).collect();
        let neighbours: Vec<Desired> = scope.neighbours.iter().filter_map(of).collect();
        // as it is before the change, so that both sides hold the same objects in the same order
        let all = scope.members.iter().chain(&scope.neighbours);
        let written = all.filter_map(|i| repository.desired.get(*i));
        let written: HashSet<_> = written.map(|d| key(&d.object)).collect();
        let only_live = live.iter().filter(|d| !written.contains(&key(&d.object)));
        let only_live: Vec<Desired> = only_live.cloned().collect();
        objects.extend(only_live);
        let judged = objects.len();
        objects.extend(neighbours);
        Self {
            objects,
            judged,
            world,
        }
    }

    fn judged(&self) -> &[Desired] {
        self.objects.get(..self.judged).unwrap_or_default()
    }

    fn find(&self, object: &ObjectRef) -> Option<&Object> {
        let mut all = self.objects.iter().map(|d| &d.object);
        all.find(|o| o.reference().same_object(object))
    }

    fn defines(&self, object: &Object, reference: &Reference<'_>) -> bool {
        let (kind, name, ns) = (reference.kind, reference.name, object.namespace());
        let is_it = |d: &Desired| key(&d.object) == (kind, ns, name);
        self.objects.iter().any(is_it) || self.world.defines(kind, ns, name)
    }

    /// Whether a selector finds pods of any workload.
    fn finds(&self, object: &Object, selector: &Value) -> bool {
        let mut all = self.objects.iter().map(|d| &d.object);
        all.any(|workload| chooses(object, selector, workload))
    }

    /// What is wrong for sure.
    fn faults(&self) -> Vec<Draft> {
        let nothing = Snapshot::default();
        let known = Known::new(&nothing, &self.objects);
        let mut drafts = checks::references(&Look {
            members: self.judged(),
            known: &known,
            world: self.world,
        });
        drafts.retain(|d| d.severity >= Severity::Medium);
        drafts
    }
}

/// The selector of what needs pods; none where it chooses nothing, or everything.
fn selector(object: &Object) -> Option<Value> {
    let selector = match object.kind() {
        "Service" => serde_json::json!({"matchLabels": object.map("spec.selector")?}),
        "PodDisruptionBudget" => object.get("spec.selector")?.clone(),
        "NetworkPolicy" => object.get("spec.podSelector")?.clone(),
        _ => return None,
    };
    let labels = selector.get("matchLabels").and_then(Value::as_object);
    let is_plain = labels.is_none_or(serde_json::Map::is_empty);
    (!is_plain || !list(&selector, "matchExpressions").is_empty()).then_some(selector)
}

/// Whether the selector of an object chooses the pods of a workload.
fn chooses(object: &Object, selector: &Value, workload: &Object) -> bool {
    let labels = workload.pod_labels();
    labels.is_some()
        && workload.namespace() == object.namespace()
        && selector_matches(Some(selector), labels)
}

/// A name that the change brings in, and that the cluster evidently does not have.
fn lost_name(before: &Side<'_>, after: &Side<'_>, snapshot: &Snapshot) -> Option<String> {
    let pairs = before.judged().iter().zip(after.judged());
    for (old, new) in pairs.filter(|(old, new)| old.object != new.object) {
        let namespace = new.object.namespace();
        let is_absent = |side: &Side<'_>, object: &Object, r: &Reference<'_>| {
            let known = snapshot.existence(r.kind, namespace, r.name);
            let given = checks::GIVEN.contains(&(r.kind, r.name));
            known == Existence::Absent && !given && !side.defines(object, r)
        };
        let needed = references(&old.object);
        let is_new = |r: &&Reference<'_>| {
            let mut same = needed.iter().filter(|o| o.kind == r.kind);
            same.all(|o| {
                let in_vain = o.path == r.path && is_absent(before, &old.object, o);
                o.name != r.name && !in_vain
            })
        };
        let all = references(&new.object);
        let mut lost = all.iter().filter(is_new);
        if let Some(r) = lost.find(|r| is_absent(after, &new.object, r)) {
            let object = new.object.reference();
            return Some(format!(
                "{object}: {} needs {} {}, which is neither in Git nor in the cluster",
                r.place, r.kind, r.name
            ));
        }
    }
    None
}

/// Pods or a port that a selector leads to before the change and not after it.
fn lost_pods(before: &Side<'_>, after: &Side<'_>) -> Option<String> {
    let pairs = || before.judged().iter().zip(after.judged());
    let changed: Vec<(&Object, &Object)> = pairs()
        .map(|(old, new)| (&old.object, &new.object))
        .filter(|(old, new)| old != new)
        .collect();
    for (old, new) in pairs().map(|(old, new)| (&old.object, &new.object)) {
        let (Some(was), Some(is)) = (selector(old), selector(new)) else {
            continue;
        };
        if was != is {
            if before.finds(old, &was) && !after.finds(new, &is) {
                let object = new.reference();
                return Some(format!("{object}: its selector matches no pods any more"));
            }
            continue;
        }
        let led = changed.iter().filter(|(old, _)| chooses(new, &was, old));
        for (old, workload) in led {
            let (object, pods) = (new.reference(), workload.reference());
            if !chooses(new, &is, workload) {
                return Some(format!(
                    "{object}: its selector does not match the pods of {pods} any more"
                ));
            }
            if let Some(port) = lost_port(new, old, workload) {
                return Some(format!(
                    "{object}: {pods} does not declare port {port} any more"
                ));
            }
        }
    }
    None
}

/// A named port that a Service leads to.
fn lost_port<'o>(service: &'o Object, old: &Object, new: &Object) -> Option<&'o str> {
    let declares = |workload: &Object, name: &str| {
        let mut ports = workload.containers().into_iter();
        ports.any(|c| {
            let ports = list(c.value, "ports").iter();
            let mut names = ports.filter_map(|p| p.get("name")?.as_str());
            names.any(|n| n == name)
        })
    };
    let ports = service.list("spec.ports").iter();
    let mut targets = ports.filter_map(|p| p.get("targetPort")?.as_str());
    targets.find(|name| declares(old, name) && !declares(new, name))
}

/// A fault that was not there before, and was not hidden either.
fn new_fault(before: &Side<'_>, after: &Side<'_>) -> Option<String> {
    let new = after.faults();
    if new.is_empty() {
        return None;
    }
    let old = before.faults();
    let is_old =
        |fault: &Draft| old.iter().any(|o| covers(o, fault)) || is_hidden(fault, before, after);
    let found = new.into_iter().find(|fault| !is_old(fault));
    found.map(|fault| fault.message)
}

/// The same rule at the same field, or a fault of the very thing that the new one is about.
fn covers(old: &Draft, new: &Draft) -> bool {
    let parent = |d: &Draft| d.path.split_last().map(|(parent, _)| parent);
    let meet = old.path.starts_with(&new.path) || new.path.starts_with(&old.path);
    let same =
        (old.rule.id == new.rule.id && old.path == new.path) || meet || parent(old) == parent(new);
    same && old.object.same_object(&new.object)
}

/// Where the change mends an object that the API server does not take, or that led to no pods, what it
/// lacks besides is no news.
fn is_hidden(fault: &Draft, before: &Side<'_>, after: &Side<'_>) -> bool {
    let idle = |o: &Object| {
        let selector = selector(o);
        fault.rule.id == rules::SERVICE_PORT.id && !selector.is_some_and(|s| before.finds(o, &s))
    };
    let issues = |side: &Side<'_>, o| side.find(o).map_or(0, |o| schema::check(o).len());
    let mut objects = std::iter::once(&fault.object).chain(&fault.related);
    before.find(&fault.object).is_some_and(idle)
        || objects.any(|o| issues(before, o) > issues(after, o))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::files::Files;
    use crate::locate::Policy;

    const WORKLOAD: &str = "\
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: shop}
spec:
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
        - name: web
          image: web:1
          ports: [{name: http, containerPort: 8080}]
          envFrom: [{configMapRef: {name: settings}}]
";
    const SERVICE: &str = "\
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop}
spec:
  selector: {app: web}
  ports: [{port: 80, targetPort: http}]
";
    const SETTINGS: &str = "\
apiVersion: v1
kind: ConfigMap
metadata: {name: settings, namespace: shop}
data: {mode: fast}
";

    /// Changes one text of the workload, in a repository of these files.
    fn change(others: &[(&str, &str)], from: &str, to: &str, live: &str) -> Worse {
        change_of(WORKLOAD, others, from, to, live)
    }

    fn change_of(web: &str, others: &[(&str, &str)], from: &str, to: &str, live: &str) -> Worse {
        let mut files = Files::default();
        for (path, text) in others.iter().chain([&("web.yaml", web)]) {
            let bytes = text.as_bytes().to_vec();
            files.by_path.insert((*path).to_owned(), bytes);
        }
        let changed = web.replace(from, to).into_bytes();
        let object = Object::new(manifest::values(&changed).unwrap().remove(0)).unwrap();
        let repository = Repository::open(&files, None, None, Policy::default());
        let is_web = |d: &Desired| d.file == "web.yaml";
        let position = repository.desired.iter().position(is_web).unwrap();
        let live = manifest::values(live.as_bytes()).unwrap();
        let objects = live.into_iter().filter_map(Object::new).collect();
        let snapshot = Snapshot::new(objects, BTreeMap::new());
        worse(Applied {
            repository: &repository,
            snapshot: &snapshot,
            files: &BTreeMap::from([("web.yaml".to_owned(), changed)]),
            objects: BTreeMap::from([(position, object)]),
            homes: vec![None],
        })
    }

    fn breaks(worse: &Worse) -> &str {
        match worse {
            Worse::Breaks(fault) => fault,
            Worse::Nothing { objects } => panic!("nothing among {objects}"),
        }
    }

    #[test]
    fn a_port_that_a_service_leads_to_may_not_lose_its_name() {
        let others = [("net/service.yaml", SERVICE), ("settings.yaml", SETTINGS)];
        let same = change(&others, "image: web:1", "image: web:2", "");
        assert_eq!(same, Worse::Nothing { objects: 3 });
        let renamed = change(&others, "name: http", "name: web", "");
        assert!(breaks(&renamed).contains("Service shop/web"), "{renamed:?}");
        // what leads nowhere today does not get worse
        let astray = SERVICE.replace("targetPort: http", "targetPort: gone");
        let others = [
            ("service.yaml", astray.as_str()),
            ("settings.yaml", SETTINGS),
        ];
        let still = change(&others, "name: http", "name: web", "");
        assert_eq!(still, Worse::Nothing { objects: 3 });
    }

    #[test]
    fn pods_that_a_service_selects_may_not_lose_their_labels() {
        let service = SERVICE.replace("{app: web}", "{app: web, tier: front}");
        let labelled = "labels: {app: web, tier: front}";
        let others = [
            ("service.yaml", service.as_str()),
            ("settings.yaml", SETTINGS),
        ];
        let lost = change(&others, "labels: {app: web}", labelled, "");
        assert_eq!(lost, Worse::Nothing { objects: 3 }); // it gains them
        let others = [("service.yaml", SERVICE), ("settings.yaml", SETTINGS)];
        let lost = change(&others, "{app: web}", "{app: wbe}", "");
        assert!(breaks(&lost).contains("Service shop/web"), "{lost:?}");
    }

    #[test]
    fn what_only_the_cluster_holds_is_there() {
        let namespace = "apiVersion: v1\nkind: Namespace\nmetadata: {name: shop}\n";
        let others = [("settings.yaml", SETTINGS), ("namespace.yaml", namespace)];
        let to = "configMapRef: {name: settingz}";
        let gone = change(&others, "configMapRef: {name: settings}", to, "");
        assert!(breaks(&gone).contains("settingz"), "{gone:?}");
        let live = SETTINGS.replace("name: settings", "name: settingz");
        let there = change(&others, "configMapRef: {name: settings}", to, &live);
        assert!(matches!(there, Worse::Nothing { .. }), "{there:?}");
    }

    const NAMESPACE: (&str, &str) = (
        "namespace.yaml",
        "apiVersion: v1\nkind: Namespace\nmetadata: {name: shop}\n",
    );

    /// Nobody knows of a name that the cluster was not asked for; one that it does not list is gone.
    #[test]
    fn a_name_that_the_cluster_does_not_list_leads_nowhere() {
        let others = [("settings.yaml", SETTINGS)];
        let (from, to) = (
            "configMapRef: {name: settings}",
            "configMapRef: {name: old-conf}",
        );
        let unknown = change(&others, from, to, "");
        assert_eq!(unknown, Worse::Nothing { objects: 2 });
        // an operator in the cluster makes no ConfigMap that is not there
        let live = format!(
            "{SETTINGS}---\napiVersion: kustomize.toolkit.fluxcd.io/v1\nkind: Kustomization\nmetadata: {{name: shop, namespace: flux-system}}\n"
        );
        let absent = change(&others, from, to, &live);
        assert!(breaks(&absent).contains("ConfigMap old-conf"), "{absent:?}");
        // whatever else this object lacks
        let account = WORKLOAD.replace(
            "      containers",
            "      serviceAccountName: nobody\n      containers",
        );
        let others = [("settings.yaml", SETTINGS), NAMESPACE];
        let masked = change_of(&account, &others, from, to, &live);
        assert!(breaks(&masked).contains("ConfigMap old-conf"), "{masked:?}");
    }

    #[test]
    fn an_old_fault_of_an_object_in_a_new_version_is_old() {
        let others = [("service.yaml", SERVICE), NAMESPACE];
        let web = WORKLOAD.replace("apps/v1", "apps/v1beta2");
        let moved = change_of(&web, &others, "apps/v1beta2", "apps/v1", "");
        assert_eq!(moved, Worse::Nothing { objects: 2 });
    }

    #[test]
    fn what_an_invalid_object_hid_is_no_news() {
        let astray = SERVICE.replace("targetPort: http", "targetPort: gone");
        let others = [
            ("service.yaml", astray.as_str()),
            ("settings.yaml", SETTINGS),
        ];
        let web = WORKLOAD.replace("{labels: {app: web}}", "{lables: {app: web}}");
        let mended = change_of(&web, &others, "{lables:", "{labels:", "");
        assert_eq!(mended, Worse::Nothing { objects: 3 });
    }

    /// A Service of another root is in the cluster, and loses its pods there.
    #[test]
    fn what_the_cluster_holds_takes_part() {
        let others = [("settings.yaml", SETTINGS)];
        let lost = change(&others, "name: http", "name: web", SERVICE);
        assert!(breaks(&lost).contains("Service shop/web"), "{lost:?}");
        let budget = "apiVersion: policy/v1\nkind: PodDisruptionBudget\nmetadata: {name: web, namespace: shop}\nspec: {maxUnavailable: 1, selector: {matchLabels: {app: web}}}\n";
        let lost = change(&others, "{app: web}", "{app: other}", budget);
        assert!(breaks(&lost).contains("PodDisruptionBudget"), "{lost:?}");
    }
}
