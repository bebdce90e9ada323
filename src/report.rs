//! Which objects a report names. (Interface; the module lands with the network detectors.)

use crate::case::Desired;
use crate::object::ObjectRef;
use crate::snapshot::Snapshot;

/// What a text names.
#[derive(Debug, Clone, Default)]
pub struct Mentions {
    /// By their names.
    pub strong: Vec<ObjectRef>,
    /// Loosely.
    pub weak: Vec<ObjectRef>,
    /// Namespaces.
    pub namespaces: Vec<String>,
}

/// What a text names.
pub fn mentions(
    _text: &str,
    namespace: Option<&str>,
    _snapshot: &Snapshot,
    _desired: &[Desired],
) -> Mentions {
    Mentions {
        namespaces: namespace.map(str::to_owned).into_iter().collect(),
        ..Mentions::default()
    }
}

/// What an object depends on, and what depends on it.
pub fn related(_object: &ObjectRef, _snapshot: &Snapshot, _desired: &[Desired]) -> Vec<ObjectRef> {
    Vec::new()
}
