//! detect: what is wrong, from facts alone. Pure.
//!
//! Each detector looks at a [`View`] and returns findings; [`detect`] runs them all, then keeps one
//! finding for one root cause.

use std::time::Duration;

use jiff::Timestamp;

use crate::case::{Desired, Report};
use crate::finding::Finding;
use crate::object::Object;
use crate::snapshot::Snapshot;

pub mod access;
pub mod admission;
pub mod autoscaling;
mod cause;
pub mod container;
pub mod disruption;
pub mod gitops;
pub mod manifest;
pub mod network;
pub mod node;
pub mod scheduling;
pub mod storage;
pub mod workload;

/// What a detector may look at.
#[derive(Debug, Clone, Copy)]
pub struct View<'a> {
    /// The cluster.
    pub snapshot: &'a Snapshot,
    /// What Git defines.
    pub desired: &'a [Desired],
    /// What a person or an alert reports.
    pub report: Option<&'a Report>,
    /// The moment of the snapshot.
    pub now: Timestamp,
    /// How long a state that heals by itself (Pending, ContainerCreating, not ready) may last
    /// before it is a finding.
    pub grace: Duration,
}

impl View<'_> {
    /// Whether the dump says anything about a namespace. What Git holds for another one is not
    /// known to run, or to fail; without any namespaced object the dump says nothing at all.
    pub fn covers(&self, namespace: Option<&str>) -> bool {
        let mut namespaced = self
            .snapshot
            .objects()
            .iter()
            .filter_map(Object::namespace)
            .peekable();
        namespaced.peek().is_none()
            || namespaced.any(|n| namespace.is_none_or(|wanted| wanted == n))
    }
}

/// A detector: pure, independent of the others.
pub type Detector = fn(&View<'_>) -> Vec<Finding>;

/// All detectors, in the order in which their findings win when two name the same cause.
pub const DETECTORS: &[(&str, Detector)] = &[
    ("manifest", manifest::findings),
    ("container", container::findings),
    ("scheduling", scheduling::findings),
    ("node", node::findings),
    ("storage", storage::findings),
    ("admission", admission::findings),
    ("workload", workload::findings),
    ("network", network::findings),
    ("access", access::findings),
    ("autoscaling", autoscaling::findings),
    ("disruption", disruption::findings),
    ("gitops", gitops::findings),
];

/// All findings, one for one root cause, worst first.
pub fn detect(view: &View<'_>) -> Vec<Finding> {
    let all = DETECTORS
        .iter()
        .flat_map(|(_, detector)| detector(view))
        .collect();
    let mut findings = cause::one_for_each(all);
    findings.sort_by_key(|f| std::cmp::Reverse(f.severity));
    findings
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn a_dump_covers_the_namespaces_that_it_holds_something_of() {
        let pod =
            serde_json::json!({"kind": "Pod", "metadata": {"name": "a", "namespace": "shop"}});
        let one = Snapshot::new(vec![Object::new(pod).unwrap()], BTreeMap::new());
        let empty = Snapshot::default();
        let view = |snapshot| View {
            snapshot,
            desired: &[],
            report: None,
            now: Timestamp::UNIX_EPOCH,
            grace: Duration::ZERO,
        };
        assert!(view(&one).covers(Some("shop")));
        assert!(!view(&one).covers(Some("other")));
        assert!(view(&empty).covers(Some("other")));
    }
}
