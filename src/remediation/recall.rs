//! What records bring back after a restart or a change of leader: spending and refusals.

use std::collections::BTreeMap;

use super::{Outcome, Record};
use crate::code::{Code, Refusal};
use crate::propose::ration::Spent;

/// What was spent lately, of all records.
pub fn spent(records: &[Record]) -> Vec<Spent> {
    let all = records.iter().flat_map(|r| &r.status.spend.recent);
    all.cloned().collect()
}

/// What a model had no safe answer to, by the digest of the evidence: asked again about the same,
/// it costs the same and says no more. Not what only a budget refused.
pub fn refusals(records: &[Record]) -> BTreeMap<String, Refusal> {
    let refusal = |r: &Record| {
        let status = &r.status;
        let counts = status.outcome == Some(Outcome::Refused)
            && status.spend.calls > 0
            && !status.evidence.is_empty();
        let code: Code = status.code.parse().ok()?;
        let refusal = || Refusal::new(code, status.message.clone());
        (counts && code != Code::BudgetSpent).then(|| (status.evidence.clone(), refusal()))
    };
    records.iter().filter_map(refusal).collect()
}
