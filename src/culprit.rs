//! Who wrote the value that is wrong now, from Git. Pure.

use serde_json::Value;

use crate::case::{Commit, Earlier};
use crate::lock::Change;
use crate::object::ObjectRef;
use crate::path::FieldPath;

/// The commit that brought a value in.
#[derive(Debug, Clone, PartialEq)]
pub struct Culprit {
    /// The commit.
    pub commit: Commit,
    /// The object.
    pub object: ObjectRef,
    /// The field.
    pub path: FieldPath,
    /// What stood there before; none when nothing did.
    pub before: Option<Value>,
    /// What it wrote; none when it took the value away.
    pub after: Option<Value>,
}

/// The commit that wrote what the first of these changes mends, where history shows it.
pub(crate) fn culprit(changes: &[Change], earlier: &[Earlier]) -> Option<Culprit> {
    changes.iter().find_map(|change| of(change, earlier))
}

fn of(change: &Change, earlier: &[Earlier]) -> Option<Culprit> {
    let object = &change.edit.object;
    let versions = earlier
        .iter()
        .filter(|e| e.object.reference().same_object(object));
    // newest first: the first version with another value is the one before the commit
    versions
        .map(|e| (e, change.edit.path.get(&e.object.value)))
        .find(|(_, value)| *value != change.before.as_ref())
        .map(|(e, value)| Culprit {
            commit: e.replaced_by.clone(),
            object: object.clone(),
            path: change.edit.path.clone(),
            before: value.cloned(),
            after: change.before.clone(),
        })
}
