//! What a change breaks elsewhere: references that hold before it and not after it. Pure.

use std::collections::{BTreeMap, HashSet};

use serde_json::Value;

use crate::case::Desired;
use crate::finding::Severity;
use crate::locate::Repository;
use crate::manifest;
use crate::object::Object;
use crate::report::Known;
use crate::scan::checks;
use crate::scan::draft::{Draft, Look};
use crate::scan::world::{Change, Scope, World, scopes};
use crate::snapshot::Snapshot;

/// Where references were looked at, before and after a change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Worse {
    /// So many objects name each other as before, or better.
    Nothing { objects: usize },
    /// A sentence on what breaks.
    Breaks(String),
}

/// Looks at everything that is applied together with the changed objects, which are given by their
/// position in `Repository::desired`. What only the cluster holds counts as there.
pub(crate) fn worse(
    repository: &Repository<'_>,
    snapshot: &Snapshot,
    files: &BTreeMap<String, Vec<u8>>,
    objects: BTreeMap<usize, Object>,
) -> Worse {
    let change = Change {
        documents: files
            .iter()
            .filter_map(|(file, bytes)| Some((file.as_str(), documents(bytes)?)))
            .collect(),
        objects,
    };
    let live = only_live(repository, snapshot);
    let mut worlds = [World::new(repository), World::after(repository, &change)];
    for world in &mut worlds {
        live.iter().for_each(|d| world.add(&d.object));
    }
    let [today, then] = worlds;
    let nothing = Change::default();
    let mut looked = 0;
    for scope in scopes(repository) {
        let all = scope.members.iter().chain(&scope.neighbours);
        if !all.clone().any(|i| change.objects.contains_key(i)) {
            continue;
        }
        looked += all.count();
        let before = faults(repository, &scope, &nothing, &live, &today);
        let after = faults(repository, &scope, &change, &live, &then);
        if let Some(fault) = after.iter().find(|f| is_new(f, &before)) {
            return Worse::Breaks(fault.message.clone());
        }
    }
    Worse::Nothing { objects: looked }
}

/// All documents of a file, where they can be read.
fn documents(bytes: &[u8]) -> Option<Vec<Value>> {
    let text = std::str::from_utf8(bytes).ok()?;
    let all = manifest::split(text);
    all.iter()
        .map(|slice| manifest::read_value(slice.of(text)).ok())
        .collect()
}

/// What is in the cluster and not in Git, but for what controllers make of something else.
fn only_live(repository: &Repository<'_>, snapshot: &Snapshot) -> Vec<Desired> {
    fn key(object: &Object) -> (&str, Option<&str>, &str) {
        (object.kind(), object.namespace(), object.name())
    }
    let in_git: HashSet<_> = repository.desired.iter().map(|d| key(&d.object)).collect();
    let alone = |o: &&Object| {
        !matches!(o.kind(), "Pod" | "Event")
            && o.controller().is_none()
            && !in_git.contains(&key(o))
    };
    let objects = snapshot.objects().iter().filter(alone);
    objects
        .map(|object| Desired {
            object: object.clone(),
            file: String::new(),
            document: 0,
            root: None,
        })
        .collect()
}

/// What is wrong with the objects of one scope for sure.
fn faults(
    repository: &Repository<'_>,
    scope: &Scope,
    change: &Change<'_>,
    live: &[Desired],
    world: &World,
) -> Vec<Draft> {
    let mut desired = scope.objects(&repository.desired);
    let positions = scope.members.iter().chain(&scope.neighbours);
    for (one, position) in desired.iter_mut().zip(positions) {
        if let Some(object) = change.objects.get(position) {
            one.object = object.clone();
        }
    }
    desired.extend_from_slice(live);
    let nothing = Snapshot::default();
    let known = Known::new(&nothing, &desired);
    let look = Look {
        members: desired.get(..scope.members.len()).unwrap_or_default(),
        known: &known,
        world,
    };
    let mut drafts = checks::references(&look);
    drafts.retain(|d| d.severity >= Severity::Medium);
    drafts
}

/// An object that was at fault before shows other faults once the first one is mended: they were
/// hidden behind it, and nothing gets worse.
fn is_new(fault: &Draft, before: &[Draft]) -> bool {
    !before.iter().any(|b| b.object == fault.object)
}

#[cfg(test)]
mod tests {
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
        let mut files = Files::default();
        for (path, text) in others.iter().chain([&("web.yaml", WORKLOAD)]) {
            let bytes = text.as_bytes().to_vec();
            files.by_path.insert((*path).to_owned(), bytes);
        }
        let changed = WORKLOAD.replace(from, to).into_bytes();
        let object = Object::new(documents(&changed).unwrap().remove(0)).unwrap();
        let repository = Repository::open(&files, None, None, Policy::default());
        let is_web = |d: &Desired| d.file == "web.yaml";
        let position = repository.desired.iter().position(is_web).unwrap();
        let live = documents(live.as_bytes()).unwrap();
        let objects = live.into_iter().filter_map(Object::new).collect();
        let snapshot = Snapshot::new(objects, BTreeMap::new());
        worse(
            &repository,
            &snapshot,
            &BTreeMap::from([("web.yaml".to_owned(), changed)]),
            BTreeMap::from([(position, object)]),
        )
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
}
