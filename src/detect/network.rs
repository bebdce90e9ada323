//! Findings: Services, Ingresses and NetworkPolicies.

use crate::detect::View;
use crate::finding::Finding;
use crate::report::Known;

pub(crate) mod ingress;
pub(crate) mod policy;
mod policy_evidence;
pub(crate) mod service;

/// Runs the detectors of this module.
pub fn findings(view: &View<'_>) -> Vec<Finding> {
    let known = Known::new(view.snapshot, view.desired);
    let mut out = service::findings(view, &known);
    out.extend(ingress::findings(view, &known));
    out.extend(policy_evidence::findings(view, &known));
    out
}

/// A JSON value as it stands in a sentence.
pub(crate) fn shown(value: &serde_json::Value) -> String {
    value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_owned)
}
