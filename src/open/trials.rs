//! After the merge: every merged fix is looked at until the cluster's facts give a verdict.
//!
//! What is remembered between looks stands in the marker of the one comment about the rollout. A
//! verdict is remembered first, then the revert is opened, then the pull request itself is marked:
//! killed in between, the next pass goes on from there.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use tracing::Instrument as _;

use super::writer::Writer;
use super::{Outcome, revert};
use crate::audit::{Reason, because};
use crate::cycle::{Analysis, Look, Looks, Trialed, Work};
use crate::forge::decide::{Observed, OurPull};
use crate::forge::marker::{Marker, What};
use crate::forge::{PullState, identity};
use crate::github::Result;
use crate::message::excerpt;
use crate::message::rollout::{self as words, Revert};
use crate::phase::Phase;
use crate::verify::Wait;
use crate::verify::machine::{Baseline, Memory, State, Timing, Verdict, step};
use crate::verify::sight::{self, Merged, Sight};
use crate::verify::together::{self, Jury, MAX_SAYS, Trial};

/// How long after its merge a fix is looked at.
const PERIOD: SignedDuration = SignedDuration::from_hours(7 * 24);
/// When the last look, which ends it, may still be taken.
const LAST: SignedDuration = SignedDuration::from_hours(24);
/// The most merged fixes that one pass looks at, those that were merged last.
const MOST: usize = 20;
/// What a marker says when the verdict was given, and which one.
pub(super) const VERDICT: &str = "verdict:";

/// What one pass saw of merged fixes.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Trials {
    /// Each of them.
    pub seen: Vec<Trialed>,
    /// Namespaces whose pods have to be read for it.
    pub blind: BTreeSet<String>,
    /// How long until it is worth another look.
    pub again: Option<SignedDuration>,
    /// What went wrong without ending the pass.
    pub notes: Vec<String>,
    /// The verdicts that were given, in a word each.
    pub given: Vec<&'static str>,
    /// Fingerprints of fixes that a verdict, and no person, takes back.
    pub taken_back: BTreeSet<String>,
    /// Those that this cluster is through with, and how, while others still look.
    pub through: BTreeMap<u64, &'static str>,
    /// Those that cannot be looked at here: nothing waits for them.
    free: Vec<u64>,
}

/// Whether a pull request got its verdict, and which one.
pub(crate) fn verdict_of(marker: &Marker) -> Option<&str> {
    marker.told.iter().find_map(|t| t.strip_prefix(VERDICT))
}

/// Looks at every merged fix once. What people shall know is written; what has to be taken back is
/// asked for in `observed`.
pub async fn verify(
    work: &Work<'_>,
    observed: &mut Observed,
    analysis: &Analysis,
) -> Result<Trials> {
    let mut trials = Trials::default();
    let Some(look) = work.verify.filter(|_| is_allowed(work, observed)) else {
        return Ok(trials);
    };
    let numbers = candidates(work, observed, analysis, look);
    observed.on_trial.extend(&numbers);
    for number in numbers {
        let mut writer = Writer::new(work, observed, analysis);
        let trial = trials.one(&mut writer, look, number);
        let Some(trial) = trial.instrument(Phase::Verify.span()).await? else {
            continue;
        };
        if ask_back(work, observed, &trial) {
            trials.taken_back.insert(trial.fingerprint.clone());
        }
        trials.seen.push(trial);
    }
    for number in trials.free.iter().chain(trials.through.keys()) {
        observed.on_trial.remove(number);
    }
    Ok(trials)
}

fn is_allowed(work: &Work<'_>, observed: &Observed) -> bool {
    let rules = work.rules;
    !work.dry_run && rules.enabled && rules.verify.enabled && observed.paused.is_none()
}

impl Trials {
    /// How many of them have no verdict yet.
    pub fn on_trial(&self) -> usize {
        let is_open = |t: &&Trialed| !matches!(t.state, State::Ended(_));
        self.seen.iter().filter(is_open).count()
    }

    /// Looks at one of them, and tells what is new.
    async fn one(
        &mut self,
        writer: &mut Writer<'_>,
        look: &Looks<'_>,
        number: u64,
    ) -> Result<Option<Trialed>> {
        let (work, analysis) = (writer.work, writer.analysis);
        let Some(case) = self.case(writer, number).await? else {
            return Ok(None);
        };
        let merged = case.merged(&analysis.scope);
        let Some(sight) = self.seen_by(look(&merged, analysis), number) else {
            return Ok(None);
        };
        self.blind.extend(sight::namespaces(&merged));
        let before = case.memory.clone();
        let timing = work
            .rules
            .verify
            .timing()
            .after(case.baseline(&analysis.scope));
        let mut trial = case.judged(&analysis.scope, *sight, &timing, work.now);
        if trial.memory != before {
            let why = reason(&trial);
            let told = because(why, writer.follow(&mut trial)).await;
            if self.tolerated(number, told)?.is_none() {
                return Ok(None);
            }
        }
        if let Some(pause) = words::pause(&trial.state, trial.memory.well_at.is_some(), &timing) {
            self.again(pause);
        }
        self.notes.append(&mut writer.outcome.notes);
        Ok(Some(trial))
    }

    /// What is known of one before it is looked at; `None` where this cluster has nothing more to see.
    async fn case<'a>(&mut self, writer: &Writer<'a>, number: u64) -> Result<Option<Case<'a>>> {
        let scope = &writer.analysis.scope;
        let Some(ours) = writer.ours(number) else {
            return Ok(None);
        };
        let Some(told) = self.tolerated(number, writer.rollout(ours).await)? else {
            return Ok(None);
        };
        let case = Case::new(ours, writer.marker(number));
        let jury = &case.jury;
        let is_only = jury.is_only(scope);
        let mut memory = together::memory(&told, scope);
        let is_bad = memory.verdict.as_ref().is_some_and(Verdict::is_bad);
        if writer.work.key.is_none() && (is_only || is_bad) {
            // without a signature it is a hint, and a verdict has to be found again
            memory.verdict = None;
        }
        let merged = ours.pull.closed_at.unwrap_or(Timestamp::MIN);
        let waited = writer.work.now.duration_since(merged);
        let left = writer.work.rules.verify.timing().longest() - waited;
        let late = !left.is_positive();
        if let Some(verdict) = &memory.verdict
            && !is_only
            && jury.verdict(&told, late).is_none()
        {
            self.through.insert(number, verdict.name());
            if !late && jury.lacks_a_word(&told) {
                self.again(left);
            }
            return Ok(None);
        }
        Ok(Some(Case {
            late,
            told,
            memory,
            ..case
        }))
    }

    /// What can be judged of a look.
    fn seen_by(&mut self, look: Look, number: u64) -> Option<Box<Sight>> {
        match look {
            Look::Seen(sight) => return Some(sight),
            Look::Elsewhere => self.free.push(number),
            Look::Blind(namespaces) => {
                self.blind.extend(namespaces);
                self.again(SignedDuration::from_secs(1));
            }
        }
        None
    }

    /// An outage ends the pass. Another error (a conversation that is locked) ends the trial: it must
    /// not hold anything up.
    fn tolerated<T>(&mut self, number: u64, result: Result<T>) -> Result<Option<T>> {
        match result {
            Ok(value) => Ok(Some(value)),
            Err(error) if error.is_outage() => Err(error),
            Err(error) => {
                self.free.push(number);
                self.notes
                    .push(format!("the rollout of #{number}: {error}"));
                Ok(None)
            }
        }
    }

    fn again(&mut self, pause: SignedDuration) {
        self.again = Some(self.again.map_or(pause, |known| known.min(pause)));
    }
}

/// Who gives the verdict: those who reported it when it was merged, and had a fix for it where anybody
/// had. One that had none did not want this change, and it may not even reach it.
fn jury(ours: &OurPull, marker: &Marker) -> Jury {
    let merged = ours.pull.closed_at.unwrap_or(Timestamp::MIN);
    let all = marker.scopes(merged);
    let has_fix = |scope: &&&str| {
        let word = marker.reporter(scope);
        word.is_none_or(|w| w.without.is_empty())
    };
    let with_fix: Vec<&str> = all.iter().filter(has_fix).copied().collect();
    match with_fix.is_empty() {
        true => Jury::of(all),
        false => Jury::of(with_fix),
    }
}

/// The cluster's words go into the hidden state, where nobody redacts or cuts them any more.
fn shorten(verdict: &mut Verdict) {
    if let Some(why) = verdict.why_mut() {
        *why = excerpt(why, MAX_SAYS);
    }
}

/// Merged ones without a verdict that say what the cluster shall hold, and that can be seen here. One
/// that cannot be believed is left alone.
fn candidates(
    work: &Work<'_>,
    observed: &Observed,
    analysis: &Analysis,
    look: &Looks<'_>,
) -> Vec<u64> {
    let is_one = |p: &&OurPull| {
        let pull = &p.pull;
        let recent = pull
            .closed_at
            .is_some_and(|at| work.now.duration_since(at) < PERIOD + LAST);
        let says = observed.markers.get(&pull.number).is_some_and(|m| {
            // another cluster may not even run it
            jury(p, m).asks(&analysis.scope)
                && !m.expects.is_empty()
                && matches!(m.what, What::Fix | What::Revert)
                && verdict_of(m).is_none()
        });
        pull.state == PullState::Merged
            && pull.merge_commit.is_some()
            && pull.author.id == observed.me.id
            && pull.base_ref == observed.base_branch
            && !observed.unsound.contains(&pull.number)
            && recent
            && says
    };
    let mut all: Vec<&OurPull> = observed.pulls.iter().filter(is_one).collect();
    all.sort_by_key(|p| std::cmp::Reverse((p.pull.closed_at, p.pull.number)));
    // those of other clusters would take the places of our own
    let is_here = |p: &&&OurPull| {
        let marker = observed.markers.get(&p.pull.number);
        marker.is_some_and(|m| {
            let case = Case::new(p, m.clone());
            let is_foreign = || look(&case.merged(&analysis.scope), analysis) == Look::Elsewhere;
            case.jury != Jury::Whoever || !is_foreign()
        })
    };
    let here = all.iter().filter(is_here).take(MOST);
    here.map(|p| p.pull.number).collect()
}

/// A merged fix, and what earlier looks say of it.
struct Case<'a> {
    number: u64,
    ours: &'a OurPull,
    marker: Marker,
    jury: Jury,
    late: bool,
    told: Vec<Trial>,
    memory: Memory,
}

impl<'a> Case<'a> {
    /// Before anything is known of earlier looks.
    fn new(ours: &'a OurPull, marker: Marker) -> Self {
        Self {
            number: ours.pull.number,
            ours,
            jury: jury(ours, &marker),
            marker,
            late: false,
            told: Vec::new(),
            memory: Memory::default(),
        }
    }

    fn baseline(&self, scope: &str) -> Option<&Baseline> {
        self.marker.reporter(scope)?.baseline.as_ref()
    }

    fn merged(&self, scope: &str) -> Merged<'_> {
        let (pull, marker) = (&self.ours.pull, &self.marker);
        Merged {
            commit: pull.merge_commit.as_deref().unwrap_or_default(),
            at: pull.closed_at.unwrap_or(Timestamp::MIN),
            key: &marker.key,
            also: &marker.also,
            object: &marker.object,
            class: marker.class,
            expects: &marker.expects,
            applied_at: self.memory.applied_at,
            before: self.baseline(scope),
            is_revert: marker.what == What::Revert,
            is_anywhere: self.jury == Jury::Whoever,
        }
    }

    /// With what is seen now.
    fn judged(self, scope: &str, sight: Sight, timing: &Timing, now: Timestamp) -> Trialed {
        let merged = self.merged(scope);
        let (commit, is_revert) = (merged.commit.to_owned(), merged.is_revert);
        let baseline = self.baseline(scope).filter(|b| b.is_before(merged.at));
        let (mut memory, mut state) = step(&self.memory, &sight.facts, baseline, timing, now);
        if now.duration_since(merged.at) >= PERIOD && memory.verdict.is_none() {
            let verdict = overdue(&state);
            memory.verdict = Some(verdict.clone());
            state = State::Ended(verdict);
        }
        memory.waits_for = waits_for(&state);
        memory.verdict.iter_mut().for_each(shorten);
        if let State::Ended(verdict) = &mut state {
            shorten(verdict);
        }
        let says = excerpt(&words::says(&state, &sight.evidence), MAX_SAYS);
        let mine = Trial::new(scope, &memory, &says);
        Trialed {
            number: self.number,
            fingerprint: self.marker.fingerprint,
            commit,
            is_revert,
            sight,
            state,
            memory,
            jury: self.jury,
            late: self.late,
            timing: timing.clone(),
            trials: together::with(self.told, mine),
        }
    }
}

/// The longest name of what is waited for, in characters.
const MAX_NAME: usize = 100;

/// The kind of a wait, with the name that people have to act on, and without times and revisions: what is told
/// is written anew when they have to do something else, and not in each pass.
fn waits_for(state: &State) -> String {
    let State::Waiting(why) = state else {
        return String::new();
    };
    let all = format!("{why:?}");
    let kind = all.split([' ', '{']).next().unwrap_or_default();
    match why {
        Wait::Dependency { on: name } | Wait::Pinned { to: name } => {
            format!("{kind} {}", excerpt(name, MAX_NAME))
        }
        _ => kind.to_owned(),
    }
}

/// Nobody looks for ever: people are told where it stood at the end.
fn overdue(state: &State) -> Verdict {
    let stands = match state {
        State::Waiting(why) => why.sentence(),
        other => words::title(other).to_lowercase(),
    };
    Verdict::Inconclusive(format!(
        "a week after the merge the looks end; at the last one: {stands}"
    ))
}

fn reason(trial: &Trialed) -> Reason {
    Reason {
        fingerprint: trial.fingerprint.clone(),
        ..Reason::default()
    }
}

/// A proven regression of a fix is taken back; a revert never is.
fn ask_back(work: &Work<'_>, observed: &mut Observed, trial: &Trialed) -> bool {
    let Some(Verdict::Regressed(why) | Verdict::ApplyFailed(why)) = trial.verdict() else {
        return false;
    };
    let wanted = work.rules.verify.revert && !trial.is_revert;
    if wanted {
        observed.asked.revert.insert(trial.number);
        observed.regressed.insert(trial.number, why);
    }
    wanted
}

/// Gives the verdicts of this pass: what became of the revert is known now.
pub async fn conclude(
    work: &Work<'_>,
    observed: &Observed,
    analysis: &Analysis,
    trials: &mut Trials,
    outcome: &mut Outcome,
) -> Result<()> {
    for trial in &mut trials.seen {
        let Some(verdict) = trial.verdict() else {
            continue; // this cluster, or another one, still looks
        };
        let asked = observed.regressed.contains_key(&trial.number);
        let merged = observed
            .pulls
            .iter()
            .find(|p| p.pull.number == trial.number);
        let merged = merged.and_then(|p| p.pull.closed_at);
        let is_last = merged.is_some_and(|at| work.now.duration_since(at) >= PERIOD);
        if outcome.unreverted.contains(&trial.number) && !is_last {
            continue; // the next pass tries again
        }
        let refusal = revert::refusal(&outcome.notes, trial.number).map(str::to_owned);
        let revert = match (asked, opened(outcome, &trial.fingerprint), &refusal) {
            (false, ..) => Revert::None,
            (true, Some(number), _) => Revert::Opened(number),
            (true, None, Some(why)) => Revert::Refused(why),
            (true, None, None) => continue, // the next pass goes on
        };
        let mut writer = Writer::new(work, observed, analysis);
        let why = reason(trial);
        let given = because(why, writer.give(trial, &verdict, revert)).await;
        outcome.notes.append(&mut writer.outcome.notes);
        match given {
            Err(error) if error.is_outage() => return Err(error),
            Err(error) => outcome
                .notes
                .push(format!("the verdict on #{}: {error}", trial.number)),
            Ok(()) => trials.given.push(verdict.name()),
        }
    }
    Ok(())
}

fn opened(outcome: &Outcome, fingerprint: &str) -> Option<u64> {
    let short = identity::short(fingerprint);
    let is_it = |t: &&crate::cycle::Touched| {
        identity::reverted_of_branch(&t.branch).is_some_and(|digits| digits == short)
    };
    outcome.pulls.iter().find(is_it).map(|t| t.number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_is_known_by_what_people_have_to_do() {
        let key = |why: Wait| waits_for(&State::Waiting(why));
        let polled = |how: &str| {
            key(Wait::NotPolled {
                how: how.to_owned(),
            })
        };
        assert_eq!(polled("in 3m"), "NotPolled");
        assert_eq!(polled("in 2m"), "NotPolled", "time goes by");
        let checked = key(Wait::HealthCheck {
            of: "0123456".to_owned(),
            until: Timestamp::UNIX_EPOCH,
        });
        assert_eq!(checked, "HealthCheck");
        assert_eq!(key(Wait::ManualSync), "ManualSync");
        let depends = |on: &str| key(Wait::Dependency { on: on.to_owned() });
        assert_eq!(depends("flux-system/db"), "Dependency flux-system/db");
        assert!(depends(&"x".repeat(999)).len() < 200);
        assert_eq!(waits_for(&State::Merged), "");
    }
}
