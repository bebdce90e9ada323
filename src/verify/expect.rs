//! What a merged fix makes of the cluster, field by field: recorded when it is proposed, compared
//! after it was applied. Pure.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::case::Desired;
use crate::locate::stem;
use crate::lock::{Change, equivalent};
use crate::object::{Object, ObjectRef};
use crate::path::{FieldPath, Seg};
use crate::propose::Op;
use crate::snapshot::Snapshot;
use crate::verify::machine::Live;

/// The longest value that is recorded; for a longer one Git is asked what it shall be.
const MAX_VALUE: usize = 300;
/// The longest place that is recorded.
const MAX_PLACE: usize = 400;

/// One field that a fix changes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Expected {
    /// The object.
    pub object: ObjectRef,
    /// The file in Git.
    pub file: String,
    /// The field, on the object as it is applied.
    pub path: FieldPath,
    /// What it shall be.
    pub to: Wished,
}

/// What a field shall be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Wished {
    /// This value, as JSON.
    Value(String),
    /// Not there.
    Gone,
    /// Whatever Git says now.
    AsInGit,
}

impl Expected {
    /// What a locked change makes of its field; `None` where that is too long to be recorded.
    /// `namespace` is that of objects whose manifests name none.
    pub fn of(change: &Change, file: &str, namespace: Option<&str>) -> Option<Self> {
        let edit = &change.edit;
        let mut object = edit.object.clone();
        let here = namespace.filter(|_| !is_cluster_scoped(&object.kind));
        object.namespace = object.namespace.or_else(|| here.map(str::to_owned));
        let (path, to) = match (&edit.op, edit.path.split_last()) {
            // after an item is gone, its place holds the next one
            (Op::Remove, Some((list, Seg::Index(_)))) => (list, Wished::AsInGit),
            (Op::Remove, _) => (edit.path.clone(), Wished::Gone),
            (Op::Set(value) | Op::Add(value), _) => (edit.path.clone(), recorded(value)),
        };
        let place = file.len() + path.to_string().len() + object.to_string().len();
        (place <= MAX_PLACE).then(|| Self {
            object,
            file: file.to_owned(),
            path,
            to,
        })
    }

    /// The same field, as Git has it.
    #[must_use]
    pub fn as_in_git(&self) -> Self {
        Self {
            to: Wished::AsInGit,
            ..self.clone()
        }
    }

    /// The same of the object as Git names it now: a generated name changes with its content.
    #[must_use]
    pub fn as_named_in_git(&self, desired: &[Desired]) -> Self {
        let is_it = |d: &&Desired| d.object.reference().same_object(&self.object);
        let Some(own) = generated_from(&self.object) else {
            return self.clone();
        };
        let is_twin = |o: &ObjectRef| {
            o.kind == self.object.kind
                && o.namespace == self.object.namespace
                && generated_from(o) == Some(own)
        };
        let all = desired.iter().map(|d| d.object.reference());
        let mut twins = all.filter(is_twin);
        match (desired.iter().find(is_it), twins.next(), twins.next()) {
            (None, Some(twin), None) => Self {
                object: twin,
                ..self.clone()
            },
            _ => self.clone(),
        }
    }

    /// When whoever owns the field wrote last, where the object says so.
    pub fn written_at(&self, snapshot: &Snapshot) -> Option<Timestamp> {
        let owner = owner(snapshot.get(&self.object)?, &self.path)?;
        owner.get("time")?.as_str()?.parse().ok()
    }

    /// Whether the cluster holds it.
    pub fn live(&self, snapshot: &Snapshot, desired: &[Desired]) -> Live {
        let Some(object) = snapshot.get(&self.object) else {
            return Live::Unknown;
        };
        let is = self.path.get(&object.value);
        let holds = match &self.to {
            Wished::Gone => Some(is.is_none()),
            Wished::Value(json) => wanted(json).map(|v| is.is_some_and(|i| equivalent(&v, i))),
            Wished::AsInGit => self.in_git(desired).map(|wish| same(wish, is)),
        };
        match holds {
            None => Live::Unknown,
            Some(true) => Live::Holds,
            Some(false) => Live::Differs {
                manager: manager(object, &self.path),
            },
        }
    }

    /// Whether Git says something else by now.
    pub fn is_overtaken(&self, desired: &[Desired]) -> bool {
        let Some(wish) = self.in_git(desired) else {
            return false;
        };
        match &self.to {
            Wished::AsInGit => false,
            Wished::Gone => wish.is_some(),
            Wished::Value(json) => {
                wanted(json).is_some_and(|v| !wish.is_some_and(|w| equivalent(&v, w)))
            }
        }
    }

    /// What Git says now; `None` where it does not define the object, or defines it twice.
    fn in_git<'d>(&self, desired: &'d [Desired]) -> Option<Option<&'d Value>> {
        let mut all = desired
            .iter()
            .filter(|d| d.object.reference().same_object(&self.object));
        let one = all.next()?;
        all.next()
            .is_none()
            .then(|| self.path.get(&one.object.value))
    }
}

/// The name that a generator of kustomize was given for an object: all before the hash of its content.
fn generated_from(object: &ObjectRef) -> Option<&str> {
    let own = stem(&object.name)?;
    let hash = object.name.get(own.len() + 1..)?;
    // the letters that its hashes are written in
    let is_hash = hash.bytes().all(|b| b"bcdfghkmt2456789".contains(&b));
    let is_generated = matches!(object.kind.as_str(), "ConfigMap" | "Secret");
    (is_hash && is_generated).then_some(own)
}

/// Kinds that have no namespace and that a fix may change.
fn is_cluster_scoped(kind: &str) -> bool {
    matches!(
        kind,
        "ClusterRole" | "ClusterRoleBinding" | "Namespace" | "PersistentVolume" | "StorageClass"
    )
}

fn same(wish: Option<&Value>, is: Option<&Value>) -> bool {
    match (wish, is) {
        (Some(wish), Some(is)) => equivalent(wish, is),
        (wish, is) => wish.is_none() && is.is_none(),
    }
}

fn recorded(value: &Value) -> Wished {
    let json = value.to_string();
    match json.len() <= MAX_VALUE {
        true => Wished::Value(json),
        false => Wished::AsInGit,
    }
}

fn wanted(json: &str) -> Option<Value> {
    serde_json::from_str(json).ok()
}

/// Who wrote a field last, where the object still says so.
fn manager(object: &Object, path: &FieldPath) -> Option<String> {
    let name = owner(object, path)?.get("manager")?.as_str()?;
    Some(name.chars().take(100).collect())
}

/// The newest entry of those who own a field.
fn owner<'o>(object: &'o Object, path: &FieldPath) -> Option<&'o Value> {
    let entries = object.list("metadata.managedFields").iter();
    let owners = entries.filter(|e| owns(e.get("fieldsV1"), &path.0));
    owners.max_by_key(|e| e.get("time").and_then(Value::as_str))
}

/// Whether a set of fields holds a path, or something below it.
fn owns(fields: Option<&Value>, path: &[Seg]) -> bool {
    let Some(Value::Object(fields)) = fields else {
        return false;
    };
    let Some((first, rest)) = path.split_first() else {
        return true;
    };
    fields
        .iter()
        .any(|(key, below)| is_segment(key, first) && owns(Some(below), rest))
}

/// `f:image`, `k:{"name":"web"}`, `i:2`.
fn is_segment(key: &str, segment: &Seg) -> bool {
    match (key.split_at_checked(2), segment) {
        (Some(("f:", name)), Seg::Key(wanted)) => name == wanted,
        (Some(("i:", index)), Seg::Index(wanted)) => index == wanted.to_string(),
        (Some(("k:", json)), Seg::Named { key, value }) => {
            let keys: Option<Value> = serde_json::from_str(json).ok();
            keys.is_some_and(|k| k.get(key).and_then(Value::as_str) == Some(value))
        }
        // a list item by its place: any item may be it
        (Some(("k:", _)), Seg::Index(_)) => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests;
