//! What is told of a merged change in the cluster: one comment that follows it. Pure.

use jiff::SignedDuration;

use super::markdown::{brief, code, prose, row};
use crate::forge::reporters::cluster;
use crate::verify::Wait;
use crate::verify::machine::{Memory, OVERTAKEN, State, Timing, Verdict};
use crate::verify::together::{Jury, Trial};

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
    /// Who is asked and what each says, where that is not this cluster alone.
    pub clusters: Option<(&'a Jury, &'a [Trial])>,
    /// Whether one of which nothing was heard is not waited for any more.
    pub late: bool,
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
    if let Some((jury, trials)) = told.clusters {
        return together(told, jury, trials);
    }
    let mut out = format!("{}\n\n| | |\n|---|---|\n", headline(told));
    let merged = code(told.commit.get(..12).unwrap_or(told.commit));
    out.push_str(&row(&["Merged as".to_owned(), merged]));
    for (what, said) in told.evidence {
        out.push_str(&row(&[(*what).to_owned(), brief(said, MAX_CELL)]));
    }
    out.push_str(&format!("\n{}\n", last_line(told)));
    out
}

/// The comment where several clusters look, or none was asked: a row for each.
fn together(told: &Told<'_>, jury: &Jury, trials: &[Trial]) -> String {
    let members = jury.members(trials);
    let of = |scope: &str| trials.iter().find(|t| t.scope == scope);
    let verified = members.iter().filter(|m| of(m).is_some_and(is_verified));
    let verdict = jury.verdict(trials, told.late);
    let headline = match &verdict {
        None => format!(
            "**Merged**, and verified in {} of {} clusters.",
            verified.count(),
            members.len()
        ),
        Some(Verdict::Verified) => {
            let clusters = match members.as_slice() {
                [_] => "this cluster".to_owned(),
                all => format!("all {} clusters", all.len()),
            };
            let what = if told.is_revert { "revert" } else { "change" };
            format!(
                "**Verified** in {clusters}. This {what} is applied, what failed is gone, and it stayed so for {:#}.",
                told.timing.settle
            )
        }
        Some(verdict) => {
            let state = &State::Ended(verdict.clone());
            headline(&Told {
                state,
                ..told.clone()
            })
        }
    };
    let merged = code(told.commit.get(..12).unwrap_or(told.commit));
    let mut out = format!(
        "{headline}\n\nMerged as {merged}.\n\n| cluster | where it stands | what it saw last |\n|---|---|---|\n"
    );
    for scope in &members {
        let (stands, says) = match of(scope) {
            Some(trial) => (stands(&trial.memory), prose(&trial.says)),
            None if told.late => ("Not seen", String::new()),
            None => ("Nothing heard yet", String::new()),
        };
        let name = code(cluster(scope).unwrap_or(scope));
        out.push_str(&row(&[name, stands.to_owned(), says]));
    }
    if *jury == Jury::Whoever {
        out.push_str("\nIt was proposed without a cluster. Whoever applies it from this repository, by Argo CD or Flux, looks.\n");
    }
    let last = match &verdict {
        Some(_) => LAST_LOOK.to_owned(),
        None => format!(
            "This comment follows the rollout. It ends as verified when each of these clusters found everything well in {} looks in a row over {:#}.",
            told.timing.samples, told.timing.settle
        ),
    };
    out.push_str(&format!("\n{last}\n"));
    out
}

fn is_verified(trial: &Trial) -> bool {
    trial.memory.verdict == Some(Verdict::Verified)
}

/// Where a cluster stands, from what it remembers.
fn stands(memory: &Memory) -> &'static str {
    match &memory.verdict {
        Some(verdict) => title(&State::Ended(verdict.clone())),
        None => match memory.state.as_str() {
            "waiting" => title(&State::Waiting(Wait::ManualSync)),
            "healing" => title(&State::Healing(String::new())),
            "settling" => title(&State::Settling(0)),
            _ => title(&State::Merged),
        },
    }
}

/// What a cluster saw, in one cell: why it stands where it does, and the evidence.
pub(crate) fn says(state: &State, evidence: &[(&'static str, String)]) -> String {
    let why = match state {
        State::Ended(
            Verdict::Regressed(why) | Verdict::ApplyFailed(why) | Verdict::Inconclusive(why),
        ) => Some(why.clone()),
        _ => None,
    };
    let shown = evidence
        .iter()
        .map(|(what, said)| format!("{what}: {said}"));
    let all: Vec<String> = why.into_iter().chain(shown).collect();
    all.join("; ")
}

const LAST_LOOK: &str = "These are facts of the cluster at the last look; no model judges them.";

fn last_line(told: &Told<'_>) -> String {
    match told.state {
        State::Ended(_) => LAST_LOOK.to_owned(),
        _ => format!(
            "This comment follows the rollout. It ends as verified after {} looks in a row over {:#} that find everything well.",
            told.timing.samples,
            told.timing.well()
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
                sentence(&why.sentence())
            )
        }
        State::Healing(why) => format!("**Applied, not well yet**: {}.", sentence(why)),
        State::Settling(n) => format!(
            "**Applied and well**, seen {n} of {} times; kubemend goes on looking for {:#}.",
            told.timing.samples,
            told.timing.well()
        ),
        State::Ended(Verdict::Verified) => format!(
            "**Verified.** This {what} is applied, what failed is gone, and it stayed so for {:#}.",
            told.timing.well()
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
        ended if ended.is_overtaken() => format!("**Ended**: {OVERTAKEN}."),
        State::Ended(Verdict::Inconclusive(why)) if told.is_revert => {
            format!("**Inconclusive**: {}. A person has to look.", sentence(why))
        }
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

/// How long until it is worth another look. What was well for a while only has to stay so.
pub(crate) fn pause(state: &State, was_well: bool, timing: &Timing) -> Option<SignedDuration> {
    let samples = i32::try_from(timing.samples.max(1)).unwrap_or(i32::MAX);
    let (shortest, longest) = (SignedDuration::from_secs(2), SignedDuration::from_mins(1));
    match state {
        State::Ended(_) => None,
        // it comes by itself, and soon
        State::Merged | State::Applying(_) | State::Waiting(Wait::NotPolled { .. }) => {
            Some((timing.apply / 20).clamp(shortest, longest))
        }
        State::Waiting(_) => Some(SignedDuration::from_mins(5)),
        State::Settling(_) if was_well => Some((timing.well() / 20).max(longest)),
        State::Healing(_) | State::Settling(_) => {
            Some((timing.settle / samples).clamp(shortest, longest))
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// Few looks, until the time to heal is over, could not tell a moment from a failure that lasts.
    #[test]
    fn looks_become_rare_only_after_it_was_well_for_a_while() {
        let timing = Timing {
            rare: SignedDuration::from_hours(12),
            ..Timing::default()
        };
        let looks = |state: State| {
            [false, true].map(|was_well| pause(&state, was_well, &timing).unwrap().as_mins())
        };
        assert_eq!(looks(State::Settling(3)), [1, 36]);
        assert_eq!(looks(State::Healing(String::new())), [1, 1]);
        let usual = Timing::default();
        let soon = pause(&State::Settling(1), false, &usual).unwrap();
        assert_eq!(soon.as_secs(), 60);
        assert!(pause(&State::Ended(Verdict::Verified), true, &usual).is_none());
    }

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
        let closed = Wait::NotStarted {
            windows: Some("deny `0 22 * * *` for 8h UTC".to_owned()),
        };
        let pinned = Wait::Pinned {
            to: "tag `v1.2.3`".to_owned(),
        };
        let all = [
            (State::Merged, Revert::None, false),
            (
                State::Applying("being applied".to_owned()),
                Revert::None,
                true,
            ),
            (State::Waiting(Wait::Suspended), Revert::None, false),
            (State::Waiting(closed), Revert::None, false),
            (State::Waiting(pinned), Revert::None, false),
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
                clusters: None,
                late: false,
            };
            format!("# {}\n{}", title(&state), comment(&told))
        });
        insta::assert_snapshot!(texts.join("\n"));
    }

    fn trial(name: &str, state: &str, verdict: Option<Verdict>, says: &str) -> Trial {
        let memory = Memory {
            state: state.to_owned(),
            verdict,
            ..Memory::default()
        };
        Trial::new(&format!("cluster {name}"), &memory, says)
    }

    #[test]
    fn the_comments_of_a_rollout_in_several_clusters() {
        let evidence = [
            ("Applied", "yes, revision 0123456789ab".to_owned()),
            ("The failure", "still there: @bob | fixes #3".to_owned()),
        ];
        let why = || "pod web-1 crashes".to_owned();
        let bad = || Some(Verdict::Regressed(why()));
        let open = || Some(Verdict::Inconclusive(why()));
        let good = || Some(Verdict::Verified);
        let says = says(&State::Ended(Verdict::Regressed(why())), &evidence);
        let a = |verdict| trial("a", "settling", verdict, &says);
        let b = |verdict| trial("b", "healing", verdict, &says);
        let listed = Jury::of(["manifests", "cluster a", "cluster b"]);
        let all = [
            (listed.clone(), vec![a(None)], Revert::None),
            (listed.clone(), vec![a(good()), b(None)], Revert::None),
            (listed.clone(), vec![a(good()), b(good())], Revert::None),
            (listed.clone(), vec![a(None), b(bad())], Revert::Opened(12)),
            (listed, vec![a(open()), b(good())], Revert::None),
            (Jury::Whoever, vec![a(good())], Revert::None),
            (Jury::Whoever, vec![a(good()), b(None)], Revert::None),
        ];
        let texts = all.map(|(jury, trials, revert)| {
            comment(&Told {
                commit: "0123456789abcdef0123456789abcdef01234567",
                state: &State::Settling(2),
                evidence: &evidence,
                timing: &Timing::default(),
                revert,
                is_revert: false,
                clusters: Some((&jury, &trials)),
                late: false,
            })
        });
        insta::assert_snapshot!(texts.join("\n---\n\n"));
    }
}
