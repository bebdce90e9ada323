//! What is told of a merged change in the cluster: one comment that follows it. Pure.

use jiff::SignedDuration;

use super::markdown::{brief, code, row};
use crate::verify::machine::{State, Timing, Verdict};

/// The longest evidence that is shown in one cell.
const MAX_CELL: usize = 500;

/// What a rollout's comment is made from.
#[derive(Debug, Clone)]
pub struct Told<'a> {
    /// The merge commit.
    pub commit: &'a str,
    /// Where it stands.
    pub state: &'a State,
    /// What the cluster says.
    pub evidence: &'a [(&'static str, String)],
    /// The clocks.
    pub timing: &'a Timing,
    /// What became of the pull request that takes it back.
    pub revert: Revert<'a>,
    /// Whether this is the rollout of a revert.
    pub is_revert: bool,
}

/// What became of the pull request that takes a change back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Revert<'a> {
    /// None is wanted.
    None,
    /// Its number.
    Opened(u64),
    /// It could not be made, and why.
    Refused(&'a str),
}

/// The comment, without its marker.
pub fn comment(told: &Told<'_>) -> String {
    let mut out = format!("{}\n\n| | |\n|---|---|\n", headline(told));
    let merged = code(told.commit.get(..12).unwrap_or(told.commit));
    out.push_str(&row(&["Merged as".to_owned(), merged]));
    for (what, said) in told.evidence {
        out.push_str(&row(&[(*what).to_owned(), brief(said, MAX_CELL)]));
    }
    out.push_str(&format!("\n{}\n", last_line(told)));
    out
}

fn last_line(told: &Told<'_>) -> String {
    match told.state {
        State::Ended(_) => {
            "These are facts of the cluster at the last look; no model judges them.".to_owned()
        }
        _ => format!(
            "This comment follows the rollout. It ends as verified after {} looks in a row over {:#} that find everything well.",
            told.timing.samples, told.timing.settle
        ),
    }
}

/// Title of the check on the head.
pub fn title(state: &State) -> &'static str {
    match state {
        State::Merged | State::Applying(_) => "Merged, not applied yet",
        State::Waiting(_) => "Merged, waiting",
        State::Healing(_) => "Applied, not well yet",
        State::Settling(_) => "Applied and well, watching",
        State::Ended(Verdict::Verified) => "Applied, and the workload is well",
        State::Ended(Verdict::Regressed(_)) => "Applied, and it got worse",
        State::Ended(Verdict::ApplyFailed(_)) => "It could not be applied",
        State::Ended(Verdict::Inconclusive(_)) => "It cannot be told whether it helped",
    }
}

fn headline(told: &Told<'_>) -> String {
    let what = if told.is_revert { "revert" } else { "change" };
    match told.state {
        State::Merged => format!(
            "**Merged, not applied yet.** The GitOps engine has not fetched this {what}; without a webhook that takes it some minutes."
        ),
        State::Applying(detail) => {
            format!("**Merged, not applied yet**: {}.", sentence(detail))
        }
        State::Waiting(why) => {
            format!(
                "**Waiting**, and no time runs: {}.",
                sentence(why.sentence())
            )
        }
        State::Healing(why) => format!("**Applied, not well yet**: {}.", sentence(why)),
        State::Settling(n) => format!(
            "**Applied and well**, seen {n} of {} times; kubemend goes on looking for {:#}.",
            told.timing.samples, told.timing.settle
        ),
        State::Ended(Verdict::Verified) => format!(
            "**Verified.** This {what} is applied, what failed is gone, and it stayed so for {:#}.",
            told.timing.settle
        ),
        State::Ended(Verdict::Regressed(why)) => format!(
            "**Regression.** This {what} is applied, and it is worse than before: {}.{}",
            sentence(why),
            taken_back(told)
        ),
        State::Ended(Verdict::ApplyFailed(why)) => format!(
            "**It could not be applied**, and it worked before: {}.{}",
            sentence(why),
            taken_back(told)
        ),
        State::Ended(Verdict::Inconclusive(why)) => format!(
            "**Inconclusive**: {}. kubemend does not take it back by itself; {} in a comment does.",
            sentence(why),
            code("/kubemend revert")
        ),
    }
}

fn taken_back(told: &Told<'_>) -> String {
    match told.revert {
        Revert::None if told.is_revert => {
            " A revert is never taken back by kubemend: a person has to look.".to_owned()
        }
        Revert::None => format!(" {} in a comment takes it back.", code("/kubemend revert")),
        Revert::Opened(number) => format!(" #{number} takes it back."),
        Revert::Refused(why) => {
            format!(" It cannot be taken back by kubemend: {}.", sentence(why))
        }
    }
}

/// Foreign text as the rest of a sentence.
fn sentence(text: &str) -> String {
    brief(text.trim().trim_end_matches('.'), MAX_CELL)
}

/// How long until it is worth another look.
pub(crate) fn pause(state: &State, timing: &Timing) -> Option<SignedDuration> {
    let samples = i32::try_from(timing.samples.max(1)).unwrap_or(i32::MAX);
    let (shortest, longest) = (SignedDuration::from_secs(2), SignedDuration::from_mins(1));
    match state {
        State::Ended(_) => None,
        State::Waiting(_) => Some(SignedDuration::from_mins(5)),
        State::Merged | State::Applying(_) => Some((timing.apply / 20).clamp(shortest, longest)),
        State::Healing(_) | State::Settling(_) => {
            Some((timing.settle / samples).clamp(shortest, longest))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verify::Wait;

    #[test]
    fn the_comments_of_a_rollout() {
        let evidence = [
            (
                "Applied",
                "yes, revision 0123456789ab (Kustomization flux-system/apps)".to_owned(),
            ),
            (
                "The failure",
                "still there: @alice `web` | crashes\nfixes #3".to_owned(),
            ),
        ];
        let why = || "pod web-1, container web: CrashLoopBackOff".to_owned();
        let all = [
            (State::Merged, Revert::None, false),
            (
                State::Applying("being applied".to_owned()),
                Revert::None,
                true,
            ),
            (State::Waiting(Wait::Suspended), Revert::None, false),
            (State::Healing(why()), Revert::None, false),
            (State::Settling(2), Revert::None, false),
            (State::Ended(Verdict::Verified), Revert::None, false),
            (
                State::Ended(Verdict::Regressed(why())),
                Revert::Opened(12),
                false,
            ),
            (State::Ended(Verdict::Regressed(why())), Revert::None, true),
            (
                State::Ended(Verdict::ApplyFailed("field is immutable".to_owned())),
                Revert::Refused("web.yaml changed since"),
                false,
            ),
            (
                State::Ended(Verdict::Inconclusive(why())),
                Revert::None,
                false,
            ),
        ];
        let texts = all.map(|(state, revert, is_revert)| {
            let told = Told {
                commit: "0123456789abcdef0123456789abcdef01234567",
                state: &state,
                evidence: &evidence,
                timing: &Timing::default(),
                revert,
                is_revert,
            };
            format!("# {}\n{}", title(&state), comment(&told))
        });
        insta::assert_snapshot!(texts.join("\n"));
    }
}
