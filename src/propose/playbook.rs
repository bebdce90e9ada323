//! The built-in playbook: deterministic answers from facts alone. Pure.
//!
//! A play is a small function over a [`Case`] with its own tests. [`PLAYBOOK`] lists them all, in
//! the order in which they are tried; the first that answers wins.

use crate::case::Case;
use crate::finding::Class;
use crate::propose::Answer;

pub mod access;
pub mod admission;
pub mod autoscaling;
mod build;
pub mod config;
pub mod container;
pub mod disruption;
pub mod gitops;
pub mod last_good;
pub mod manifest;
pub mod network;
pub mod probe;
pub mod resources;
pub mod scheduling;
pub mod stale;
pub mod storage;
#[cfg(test)]
mod testing;
pub mod workload;

/// One play.
#[derive(Debug, Clone, Copy)]
pub struct Play {
    /// Stable name, `last-healthy-template`.
    pub name: &'static str,
    /// What it does, one sentence.
    pub about: &'static str,
    /// The classes of findings that it answers.
    pub classes: &'static [Class],
    /// The answer; none when the facts do not suffice for this play.
    pub run: fn(&Case<'_>) -> Option<Answer>,
}

/// Every play, grouped by module; within a class the first that answers wins.
pub const PLAYBOOK: &[&[Play]] = &[
    manifest::PLAYS,
    // before anything is concluded from pods that run another template
    stale::PLAYS,
    last_good::PLAYS,
    config::PLAYS,
    // a volume that two nodes want is told apart before a volume that cannot be mounted
    storage::PLAYS,
    container::PLAYS,
    probe::PLAYS,
    resources::PLAYS,
    scheduling::PLAYS,
    admission::PLAYS,
    workload::PLAYS,
    network::PLAYS,
    access::PLAYS,
    autoscaling::PLAYS,
    disruption::PLAYS,
    gitops::PLAYS,
];

/// The first answer of the playbook, and the play that gave it.
pub fn answer(case: &Case<'_>) -> Option<(&'static Play, Answer)> {
    PLAYBOOK
        .iter()
        .flat_map(|plays| plays.iter())
        .filter(|play| play.classes.contains(&case.finding.class))
        .find_map(|play| (play.run)(case).map(|answer| (play, told(case, answer))))
}

/// The answer, with what people have to do after the merge of any change.
fn told(case: &Case<'_>, mut answer: Answer) -> Answer {
    let options = match &mut answer {
        Answer::Fix(fix) => vec![fix],
        Answer::Ask(question) => {
            let options = question.options.iter_mut();
            options.filter_map(|o| o.proposal.as_mut()).collect()
        }
        Answer::Refuse(_) => Vec::new(),
    };
    for proposal in options {
        proposal.after_merge.extend(stale::after_merge(case));
    }
    answer
}
