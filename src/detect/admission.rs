//! Findings: admission.

use crate::detect::View;
use crate::finding::Finding;

/// Runs the detectors of this module.
pub fn findings(_view: &View<'_>) -> Vec<Finding> {
    Vec::new()
}
