//! Which of several roots that render the same object the cluster runs, as far as a snapshot can
//! say. Pure.
//!
//! Repositories hold variants beside each other: overlays without a namespace of their own, test
//! roots, a released copy of what another folder builds. An object that several of them define can
//! be repaired in none of them until it is clear which one is applied.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use crate::case::Desired;
use crate::lock::equivalent;
use crate::object::{Object, ObjectRef};
use crate::snapshot::{Existence, Snapshot};

/// For each of `desired`, whether it stays: where the cluster tells apart the places that define an
/// object, it stays in the one that is applied only. A place that is applied for none of the objects
/// which it shares goes as a whole: what it defines alone is not applied either.
///
/// A place is a kustomize root, or a folder of plain files. The one that is applied has its objects
/// in the cluster, as they are in Git; of the others some are missing or differ. A tie says nothing.
pub fn applied(desired: &[Desired], snapshot: &Snapshot) -> Vec<bool> {
    let mut keep = vec![true; desired.len()];
    let mut twins: BTreeMap<Identity<'_>, Vec<usize>> = BTreeMap::new();
    for (i, d) in desired.iter().enumerate() {
        twins.entry(identity(&d.object)).or_default().push(i);
    }
    let mut misfits: BTreeMap<Place<'_>, usize> = BTreeMap::new();
    let (mut won, mut lost) = (BTreeSet::new(), BTreeSet::new());
    for hits in twins.values().filter(|hits| several_places(desired, hits)) {
        let Some(winner) = winner(desired, snapshot, hits, &mut misfits) else {
            continue;
        };
        for i in hits {
            if let (Some(flag), Some(d)) = (keep.get_mut(*i), desired.get(*i)) {
                *flag = place(d) == winner;
                lost.extend((!*flag).then(|| place(d)));
            }
        }
        won.insert(winner);
    }
    for (flag, d) in keep.iter_mut().zip(desired) {
        *flag &= won.contains(&place(d)) || !lost.contains(&place(d));
    }
    keep
}

/// Where an object that is defined several times is defined; none if it is defined once or not.
pub fn places_of(desired: &[Desired], object: &ObjectRef) -> Option<String> {
    let hits: Vec<String> = desired
        .iter()
        .filter(|d| d.object.reference().same_object(object))
        .map(|d| match &d.root {
            Some(root) => format!("{} rendered by {}", d.file, shown(root)),
            None => format!("{} (document {})", d.file, d.document + 1),
        })
        .collect();
    (hits.len() > 1).then(|| hits.join(", "))
}

type Identity<'a> = (&'a str, String, Option<&'a str>, &'a str);
type Place<'a> = (bool, &'a str);

fn identity(object: &Object) -> Identity<'_> {
    let group = object.reference().group().to_owned();
    (object.kind(), group, object.namespace(), object.name())
}

fn place(desired: &Desired) -> Place<'_> {
    match &desired.root {
        Some(root) => (true, root),
        None => (
            false,
            desired.file.rsplit_once('/').map_or("", |(dir, _)| dir),
        ),
    }
}

fn shown(root: &str) -> &str {
    if root.is_empty() { "." } else { root }
}

fn several_places(desired: &[Desired], hits: &[usize]) -> bool {
    let mut places: Vec<Place<'_>> = hits
        .iter()
        .filter_map(|i| desired.get(*i))
        .map(place)
        .collect();
    places.sort_unstable();
    let all = places.len();
    places.dedup();
    // twice in one place is a fault of that place, and no choice
    places.len() > 1 && places.len() == all
}

/// The only place with the fewest misfits, if the object itself speaks for it as well.
fn winner<'d>(
    desired: &'d [Desired],
    snapshot: &Snapshot,
    hits: &[usize],
    misfits: &mut BTreeMap<Place<'d>, usize>,
) -> Option<Place<'d>> {
    let candidates: Vec<&Desired> = hits.iter().filter_map(|i| desired.get(*i)).collect();
    let fitting: Vec<&Desired> = candidates
        .iter()
        .copied()
        .filter(|d| {
            snapshot
                .get(&d.object.reference())
                .is_some_and(|l| as_in_git(&d.object, l))
        })
        .collect();
    let mut counted: Vec<(usize, Place<'d>)> = fitting
        .iter()
        .map(|d| {
            let at = place(d);
            let n = *misfits
                .entry(at)
                .or_insert_with(|| misfits_of(desired, snapshot, at));
            (n, at)
        })
        .collect();
    counted.sort_unstable();
    match counted.as_slice() {
        [(_, only)] => Some(*only),
        [(least, best), (next, _), ..] if least < next => Some(*best),
        _ => None,
    }
}

fn misfits_of(desired: &[Desired], snapshot: &Snapshot, at: Place<'_>) -> usize {
    let misfit = |d: &&Desired| {
        let object = d.object.reference();
        match snapshot.get(&object) {
            Some(live) => !as_in_git(&d.object, live),
            None => {
                let (ns, name) = (object.namespace.as_deref(), object.name.as_str());
                snapshot.existence(&object.kind, ns, name) == Existence::Absent
            }
        }
    };
    desired
        .iter()
        .filter(|d| place(d) == at)
        .filter(misfit)
        .count()
}

/// Whether the cluster has all that Git says of an object; what it has in addition does not count.
fn as_in_git(git: &Object, live: &Object) -> bool {
    let (Some(git), Some(live)) = (git.value.as_object(), live.value.as_object()) else {
        return false;
    };
    git.iter()
        .filter(|(key, _)| speaks(key))
        .all(|(key, mine)| {
            let theirs = live.get(key).unwrap_or(&Value::Null);
            fits(&without_metadata(key, mine), theirs)
        })
}

/// The server answers in the version that was asked for, and writes the status itself.
fn speaks(key: &str) -> bool {
    !matches!(key, "apiVersion" | "kind" | "status" | "stringData")
}

/// Of the metadata, labels and annotations say which variant it is.
fn without_metadata(key: &str, mine: &Value) -> Value {
    if key != "metadata" {
        return mine.clone();
    }
    let kept = ["labels", "annotations"]
        .iter()
        .filter_map(|k| Some(((*k).to_owned(), mine.get(k)?.clone())));
    Value::Object(kept.collect::<Map<String, Value>>())
}

fn fits(mine: &Value, live: &Value) -> bool {
    match (mine, live) {
        (Value::Null, _) => true,
        // the server drops what is empty
        (Value::Object(a), Value::Null) if a.is_empty() => true,
        (Value::Array(a), Value::Null) if a.is_empty() => true,
        (Value::Object(a), Value::Object(b)) => a
            .iter()
            .all(|(k, v)| fits(v, b.get(k).unwrap_or(&Value::Null))),
        (Value::Array(a), Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(v, w)| fits(v, w))
        }
        _ => equivalent(mine, live),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use serde_json::json;

    fn web(memory: &str) -> Value {
        json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web", "namespace": "shop"},
            "spec": {"template": {"spec": {"containers": [{"name": "web", "resources": {"limits": {"memory": memory}}}]}}}})
    }

    fn map(name: &str) -> Value {
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": "shop"}})
    }

    fn desired(root: Option<&str>, file: &str, value: Value) -> Desired {
        Desired {
            object: Object::new(value).unwrap(),
            file: file.into(),
            document: 0,
            root: root.map(str::to_owned),
        }
    }

    fn snapshot(values: &[Value]) -> Snapshot {
        let objects = values.iter().cloned().filter_map(Object::new).collect();
        Snapshot::new(objects, BTreeMap::new())
    }

    fn live() -> Value {
        let mut live = web("134217728");
        live["metadata"]["labels"] = json!({"added": "by-somebody"});
        live
    }

    #[test]
    fn the_root_that_differs_from_the_cluster_goes() {
        let both = [
            desired(Some("prod"), "base/web.yaml", web("128Mi")),
            desired(Some("test"), "base/web.yaml", web("64Mi")),
        ];
        assert_eq!(applied(&both, &snapshot(&[live()])), [true, false]);
    }

    #[test]
    fn an_object_that_is_missing_tells_equal_ones_apart() {
        let all = [
            desired(Some("prod"), "base/web.yaml", web("128Mi")),
            desired(Some("test"), "base/web.yaml", web("128Mi")),
            desired(Some("test"), "test/extra.yaml", map("extra")),
        ];
        let told = snapshot(&[live(), map("other")]);
        assert_eq!(applied(&all, &told), [true, false, false]);
        // without a list of ConfigMaps nobody knows
        assert_eq!(applied(&all, &snapshot(&[live()])), [true, true, true]);
    }

    #[test]
    fn a_tie_or_a_cluster_that_runs_something_else_says_nothing() {
        let equal = [
            desired(Some("prod"), "base/web.yaml", web("128Mi")),
            desired(Some("test"), "base/web.yaml", web("128Mi")),
        ];
        assert_eq!(applied(&equal, &snapshot(&[live()])), [true, true]);
        let ahead = [
            desired(Some("prod"), "base/web.yaml", web("256Mi")),
            desired(Some("test"), "base/web.yaml", web("512Mi")),
        ];
        assert_eq!(applied(&ahead, &snapshot(&[live()])), [true, true]);
    }

    #[test]
    fn twice_in_one_folder_is_no_choice() {
        let twice = [
            desired(None, "apps/a.yaml", web("128Mi")),
            desired(None, "apps/b.yaml", web("64Mi")),
        ];
        assert_eq!(applied(&twice, &snapshot(&[live()])), [true, true]);
        let object = ObjectRef::new("apps/v1", "Deployment", Some("shop"), "web");
        let said = places_of(&twice, &object).unwrap();
        assert!(said.contains("apps/a.yaml (document 1), apps/b.yaml"));
        assert_eq!(places_of(&twice[..1], &object), None);
    }
}
