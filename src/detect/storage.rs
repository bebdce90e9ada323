//! Findings: storage.

use crate::detect::View;
use crate::finding::Finding;

/// Runs the detectors of this module.
pub fn findings(_view: &View<'_>) -> Vec<Finding> {
    Vec::new()
}

/// Whether this module reports the claim as a cause of its own.
pub fn reports(_view: &View<'_>, _claim: &crate::object::ObjectRef) -> bool {
    false
}
