//! Facts that bounds rest on: values that were healthy before, objects that exist, nodes that fit.

use serde_json::Value;

use crate::case::Case;
use crate::object::{Object, ObjectRef};
use crate::path::{FieldPath, Seg};
use crate::quantity::Quantity;

/// An earlier revision of an object that is known to have worked, or that Git had before.
#[derive(Debug, Clone)]
pub struct KnownGood {
    /// Where it is from, for people.
    pub basis: String,
    /// The object (a ReplicaSet's or ControllerRevision's template under the owner's paths).
    pub object: Value,
}

/// Earlier revisions of one object: ReplicaSets and ControllerRevisions of the live owner that are
/// or were available, then Git's earlier versions, newest first.
pub fn known_good(case: &Case<'_>, object: &ObjectRef) -> Vec<KnownGood> {
    let mut out = Vec::new();
    if let Some(live) = case.snapshot.get(object) {
        out.extend(replica_sets(case, live));
        out.extend(controller_revisions(case, live));
        out.extend(completed_jobs(case, live));
    }
    for earlier in case.earlier_of(object) {
        let commit = &earlier.replaced_by;
        let id: String = commit.id.chars().take(10).collect();
        out.push(KnownGood {
            basis: format!("Git before commit {id} ({})", commit.subject),
            object: earlier.object.value.clone(),
        });
    }
    out
}

const REVISION: &str = "deployment.kubernetes.io/revision";

fn revision(object: &Object) -> i64 {
    object
        .annotation(REVISION)
        .and_then(|r| r.parse().ok())
        .unwrap_or(0)
}

fn replica_sets(case: &Case<'_>, live: &Object) -> Vec<KnownGood> {
    let mut sets: Vec<&Object> = case
        .snapshot
        .children(live)
        .into_iter()
        .filter(|o| o.kind() == "ReplicaSet")
        .collect();
    sets.sort_by_key(|o| std::cmp::Reverse(revision(o)));
    let current = sets.iter().map(|o| revision(o)).max().unwrap_or(0);
    sets.into_iter()
        .filter(|set| {
            set.int("status.availableReplicas").unwrap_or(0) > 0 || revision(set) < current
        })
        .map(|set| {
            let ready = set.int("status.readyReplicas").unwrap_or(0);
            let state = if ready > 0 {
                format!("{ready} ready")
            } else {
                "an earlier revision".to_owned()
            };
            KnownGood {
                basis: format!(
                    "ReplicaSet {} (revision {}, {state})",
                    set.name(),
                    revision(set)
                ),
                object: set.value.clone(),
            }
        })
        .collect()
}

fn controller_revisions(case: &Case<'_>, live: &Object) -> Vec<KnownGood> {
    let mut revisions: Vec<&Object> = case
        .snapshot
        .children(live)
        .into_iter()
        .filter(|o| o.kind() == "ControllerRevision")
        .collect();
    revisions.sort_by_key(|o| std::cmp::Reverse(o.int("revision").unwrap_or(0)));
    revisions
        .into_iter()
        .skip(1) // the newest one is what fails
        .filter_map(|r| {
            let object = r.get("data")?.clone();
            Some(KnownGood {
                basis: format!("ControllerRevision {}", r.name()),
                object,
            })
        })
        .collect()
}

/// Jobs of a CronJob that ended well, under the paths of the CronJob, newest first.
fn completed_jobs(case: &Case<'_>, live: &Object) -> Vec<KnownGood> {
    if live.kind() != "CronJob" {
        return Vec::new();
    }
    let completed = |job: &&Object| {
        job.list("status.conditions").iter().any(|c| {
            let is = |key: &str, value: &str| c.get(key).and_then(Value::as_str) == Some(value);
            is("type", "Complete") && is("status", "True")
        })
    };
    let jobs = case.snapshot.children(live).into_iter();
    let mut jobs: Vec<&Object> = jobs
        .filter(|o| o.kind() == "Job")
        .filter(completed)
        .collect();
    jobs.sort_by_key(|j| std::cmp::Reverse(j.str("metadata.creationTimestamp").map(str::to_owned)));
    let good = |job: &Object| KnownGood {
        basis: format!("Job {} (completed)", job.name()),
        object: serde_json::json!({ "spec": { "jobTemplate": { "spec": job.get("spec") } } }),
    };
    jobs.into_iter().map(good).collect()
}

/// Whether some earlier revision has this value at this path. Defaults that the server filled in
/// and quantities in another spelling do not count as differences.
pub(super) fn was_good(
    case: &Case<'_>,
    object: &ObjectRef,
    path: &FieldPath,
    value: &Value,
) -> bool {
    known_good(case, object)
        .iter()
        .any(|good| path.get(&good.object).is_some_and(|v| equivalent(value, v)))
}

/// Whether some earlier revision has the parent of this path, but nothing at it. Of a list item the
/// list may be missing too: a revision without the item need not have the list.
pub(super) fn was_absent(case: &Case<'_>, object: &ObjectRef, path: &FieldPath) -> bool {
    let Some((parent, last)) = path.split_last() else {
        return false;
    };
    let list_owner = parent
        .split_last()
        .filter(|_| matches!(last, Seg::Named { .. }))
        .map(|(owner, _)| owner);
    known_good(case, object).iter().any(|good| {
        let has = |p: &FieldPath| p.get(&good.object).is_some();
        let around = has(&parent) || list_owner.as_ref().is_some_and(has);
        around && !has(path)
    })
}

/// Whether a value means the same as one from a cluster: equal, an equal quantity, or a mapping
/// whose every entry means the same (the cluster's may have more: defaults).
pub fn equivalent(mine: &Value, live: &Value) -> bool {
    if mine == live {
        return true;
    }
    match (mine, live) {
        (Value::Object(a), Value::Object(b)) => a
            .iter()
            .all(|(k, v)| b.get(k).is_some_and(|w| equivalent(v, w))),
        (Value::Array(a), Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(v, w)| equivalent(v, w))
        }
        (Value::String(_) | Value::Number(_), Value::String(_) | Value::Number(_)) => {
            let (a, b) = (Quantity::of(mine), Quantity::of(live));
            a.is_some() && a == b
        }
        _ => false,
    }
}

/// The largest allocatable amount of a resource over all nodes of the dump.
pub(super) fn largest_node(case: &Case<'_>, resource: &str) -> Option<Quantity> {
    case.snapshot
        .of_kind("Node")
        .filter_map(|node| {
            node.map("status.allocatable")?
                .get(resource)
                .and_then(Quantity::of)
        })
        .max()
}

/// Whether Git or the cluster has this object.
pub(super) fn exists(case: &Case<'_>, kind: &str, namespace: Option<&str>, name: &str) -> bool {
    case.snapshot.find(kind, namespace, name).is_some()
        || case.desired.iter().any(|d| {
            d.object.kind() == kind && d.object.name() == name && d.object.namespace() == namespace
        })
}

/// One object from the cluster, else from Git.
pub(super) fn find<'c>(
    case: &'c Case<'_>,
    kind: &str,
    namespace: Option<&str>,
    name: &str,
) -> Option<&'c Object> {
    case.snapshot.find(kind, namespace, name).or_else(|| {
        let hit = |d: &&crate::case::Desired| {
            d.object.kind() == kind && d.object.name() == name && d.object.namespace() == namespace
        };
        case.desired.iter().find(hit).map(|d| &d.object)
    })
}
