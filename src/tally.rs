//! What a run met and used up, for the numbers of an operator. Pure.

use crate::code::Code;
use crate::finding::Severity;
use crate::pipeline::{Ending, Run};
use crate::propose::Usage;

/// What a run met and used up.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Tally {
    /// What the proposers used up.
    pub usage: Usage,
    /// Changes that were wanted and that lock blocked, of findings that got no change.
    pub blocked: Vec<Code>,
    /// How risky each fix is.
    pub risks: Vec<Severity>,
}

impl Tally {
    /// Of one run.
    pub fn of(run: &Run) -> Self {
        let mut tally = Self {
            usage: run.usage,
            ..Self::default()
        };
        for ended in &run.results {
            match &ended.ending {
                Ending::PullRequest(pull) => tally.risks.push(pull.risk),
                Ending::Refused { blocked, .. } => {
                    tally.blocked.extend(blocked.iter().map(|b| b.code));
                }
                Ending::Question(_) | Ending::Nothing { .. } => {}
            }
        }
        tally
    }
}
