//! Opening: what was decided, carried out on the forge; and the reading that comes before.
//!
//! [`observe`] reads everything of ours. [`carry_out`] writes, one call after the other, in an order
//! in which a kill at any point leaves something that the next pass recognises: commit objects,
//! branch, pull request (with its marker from the first moment), labels and people, notices. Every
//! request that makes something new comes after a look whether it is there already.

use std::collections::{BTreeMap, BTreeSet};

use crate::audit::because;
use crate::cycle::{Analysis, Touched, Work};
use crate::forge::decide::{Action, Observed};
use crate::github::Error;

mod branch;
mod clusters;
mod dashboard;
mod ends;
mod notices;
mod observe;
mod onboard;
mod pulls;
mod questions;
mod revert;
mod rollout;
mod trailers;
mod trials;
mod writer;

pub use dashboard::tell;
pub use observe::{observe, recall, reread};
pub use onboard::{Onboarding, onboard};
pub use revert::revert;
pub(crate) use trials::verdict_of;
pub use trials::{Trials, conclude, verify};

/// What was carried out.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Outcome {
    /// Pull requests that are open for a finding now.
    pub pulls: Vec<Touched>,
    /// Questions that are open now.
    pub questions: Vec<Touched>,
    /// Numbers of what is open, by fingerprint (pull requests) or key (questions).
    pub numbers: BTreeMap<String, u64>,
    /// What went wrong without ending the pass.
    pub notes: Vec<String>,
    /// Pull requests whose revert met an error: worth another try, unlike a refusal.
    pub unreverted: BTreeSet<u64>,
    /// The outage that ended it.
    pub frozen: Option<Error>,
}

/// Carries out what was decided, in its order. An outage ends it; another error is a note, and does
/// not stop the rest.
pub async fn carry_out(
    work: &Work<'_>,
    observed: &Observed,
    analysis: &Analysis,
    actions: &[Action],
) -> Outcome {
    let mut writer = writer::Writer::new(work, observed, analysis);
    for action in actions {
        if work.dry_run && !matches!(action, Action::Leave { .. }) {
            continue;
        }
        match because(writer.why(action), writer.one(action)).await {
            Ok(()) => {}
            Err(error) if error.is_outage() => {
                writer.outcome.frozen = Some(error);
                break;
            }
            Err(error) => writer.note(format!("{}: {error}", writer::named(action))),
        }
    }
    writer.outcome
}
