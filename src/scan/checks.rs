//! The checks: pure functions from what is applied together to drafts of findings.

use crate::scan::draft::{Draft, Look};

pub(super) use config::GIVEN;

mod access;
mod config;
mod network;
mod scaling;
pub(super) mod schema;

/// A check.
type Check = fn(&Look<'_>) -> Vec<Draft>;

const CHECKS: &[Check] = &[
    network::services,
    network::routes,
    network::policies,
    network::probes,
    config::references,
    scaling::autoscalers,
    scaling::budgets,
    access::bindings,
];

/// All drafts about references between objects.
pub(super) fn references(look: &Look<'_>) -> Vec<Draft> {
    CHECKS.iter().flat_map(|check| check(look)).collect()
}
