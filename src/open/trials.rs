//! After the merge: every merged fix is looked at until the cluster's facts give a verdict.
//!
//! What is remembered between looks stands in the marker of the one comment about the rollout. A
//! verdict is remembered first, then the revert is opened, then the pull request itself is marked:
//! killed in between, the next pass goes on from there.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};

use super::notices::remember;
use super::writer::Writer;
use super::{Outcome, revert};
use crate::audit::{Reason, because};
use crate::cycle::{Analysis, Look, Trialed, Work};
use crate::forge::decide::{Observed, OurPull, Topic};
use crate::forge::marker::{self, Marker, What};
use crate::forge::{PullState, identity};
use crate::github::{CheckReport, Result};
use crate::message::excerpt;
use crate::message::rollout::{self as words, Revert, Told};
use crate::verify::machine::{Memory, State, Verdict, step};
use crate::verify::sight::Merged;

/// How long after its merge a fix is looked at.
const PERIOD: SignedDuration = SignedDuration::from_hours(7 * 24);
/// The most merged fixes that one pass looks at, those that were merged last.
const MOST: usize = 20;
/// The longest reason of a verdict that is remembered, in characters.
const MAX_WHY: usize = 500;
/// What a marker says when the verdict was given, and which one.
const VERDICT: &str = "verdict:";
/// The check on the head of the pull request.
const CHECK: &str = "kubemend/rollout";

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
    /// Those that could not be looked at: nothing waits for them.
    given_up: Vec<u64>,
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
    for number in candidates(work, observed, analysis) {
        observed.on_trial.insert(number);
        let mut writer = Writer::new(work, observed, analysis);
        let Some(ours) = writer.ours(number) else {
            continue;
        };
        let marker = writer.marker(number);
        let remembered = writer.remembered(ours).await;
        let Some(memory) = trials.tolerated(number, remembered)? else {
            continue;
        };
        let merged = merged(ours, &marker, &memory);
        let sight = match look(&merged, analysis) {
            Look::Seen(sight) => sight,
            Look::Blind(namespaces) => {
                trials.blind.extend(namespaces);
                trials.again(SignedDuration::from_secs(1));
                continue;
            }
        };
        trials
            .blind
            .extend(crate::verify::sight::namespaces(&merged));
        let timing = work.rules.verify.timing();
        let baseline = marker.baseline.as_ref();
        let baseline = baseline.filter(|b| b.is_before(merged.at));
        let (mut next, mut state) = step(&memory, &sight.facts, baseline, &timing, work.now);
        let told = [next.verdict.as_mut(), ended(&mut state)];
        told.into_iter().flatten().for_each(shorten);
        let trial = Trialed {
            number,
            fingerprint: marker.fingerprint.clone(),
            commit: merged.commit.to_owned(),
            is_revert: marker.what == What::Revert,
            sight: *sight,
            state,
            memory: next,
        };
        if trial.memory != memory {
            let told = writer.tell(&trial, Revert::None);
            let told = because(reason(&trial), told).await;
            if trials.tolerated(number, told)?.is_none() {
                continue;
            }
        }
        if let Some(pause) = words::pause(&trial.state, &timing) {
            trials.again(pause);
        }
        trials.notes.append(&mut writer.outcome.notes);
        if ask_back(work, observed, &trial) {
            trials.taken_back.insert(trial.fingerprint.clone());
        }
        trials.seen.push(trial);
    }
    for number in &trials.given_up {
        observed.on_trial.remove(number);
    }
    Ok(trials)
}

fn is_allowed(work: &Work<'_>, observed: &Observed) -> bool {
    let rules = work.rules;
    !work.dry_run && rules.enabled && rules.verify.enabled && observed.paused.is_none()
}

impl Trials {
    /// An outage ends the pass. Another error (a conversation that is locked) ends the trial: it must
    /// not hold anything up.
    fn tolerated<T>(&mut self, number: u64, result: Result<T>) -> Result<Option<T>> {
        match result {
            Ok(value) => Ok(Some(value)),
            Err(error) if error.is_outage() => Err(error),
            Err(error) => {
                self.given_up.push(number);
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

fn ended(state: &mut State) -> Option<&mut Verdict> {
    match state {
        State::Ended(verdict) => Some(verdict),
        _ => None,
    }
}

/// The cluster's words go into the hidden state, where nobody redacts or cuts them any more.
fn shorten(verdict: &mut Verdict) {
    if let Some(why) = marker::why(verdict) {
        *why = excerpt(why, MAX_WHY);
    }
}

/// Merged ones without a verdict that say what the cluster shall hold. One that cannot be believed
/// is left alone.
fn candidates(work: &Work<'_>, observed: &Observed, analysis: &Analysis) -> Vec<u64> {
    let is_one = |p: &&OurPull| {
        let pull = &p.pull;
        let recent = pull
            .closed_at
            .is_some_and(|at| work.now.duration_since(at) < PERIOD);
        let says = observed.markers.get(&pull.number).is_some_and(|m| {
            // who proposed it judges it: another cluster may not even run it
            m.scope == analysis.scope
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
    all.iter().take(MOST).map(|p| p.pull.number).collect()
}

fn merged<'a>(ours: &'a OurPull, marker: &'a Marker, memory: &Memory) -> Merged<'a> {
    Merged {
        commit: ours.pull.merge_commit.as_deref().unwrap_or_default(),
        at: ours.pull.closed_at.unwrap_or(Timestamp::MIN),
        key: &marker.key,
        object: &marker.object,
        class: marker.class,
        expects: &marker.expects,
        applied_at: memory.applied_at,
        was_failing: marker
            .baseline
            .as_ref()
            .map_or(&[], |b| b.failing.as_slice()),
        is_revert: marker.what == What::Revert,
    }
}

fn reason(trial: &Trialed) -> Reason {
    Reason {
        fingerprint: trial.fingerprint.clone(),
        ..Reason::default()
    }
}

/// A proven regression of a fix is taken back; a revert never is.
fn ask_back(work: &Work<'_>, observed: &mut Observed, trial: &Trialed) -> bool {
    let State::Ended(Verdict::Regressed(why) | Verdict::ApplyFailed(why)) = &trial.state else {
        return false;
    };
    let wanted = work.rules.verify.revert && !trial.is_revert;
    if wanted {
        observed.asked.revert.insert(trial.number);
        observed.regressed.insert(trial.number, why.clone());
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
    for trial in &trials.seen {
        let State::Ended(verdict) = &trial.state else {
            continue;
        };
        let asked = observed.regressed.contains_key(&trial.number);
        if outcome.unreverted.contains(&trial.number) {
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
        let given = because(reason(trial), writer.give(trial, verdict, revert)).await;
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

impl Writer<'_> {
    /// What the last look left behind.
    async fn remembered(&self, fix: &OurPull) -> Result<Memory> {
        let number = fix.pull.number;
        let ours = self.ours_of(number, Topic::Rollout).await?;
        let read = ours.last().map(|c| marker::read(&c.body, self.work.key));
        // what was copied from another rollout says nothing about this one
        let belongs =
            |m: &&Marker| m.issue == number && Some(&m.base) == fix.pull.merge_commit.as_ref();
        let said = read.as_ref().and_then(|r| r.marker()).filter(belongs);
        let mut memory = said.and_then(|m| m.trial.clone()).unwrap_or_default();
        if self.work.key.is_none() {
            // without a signature it is a hint, and a verdict has to be found again
            memory.verdict = None;
        }
        Ok(memory)
    }

    /// Keeps the comment about the rollout up to date.
    async fn tell(&mut self, trial: &Trialed, revert: Revert<'_>) -> Result<()> {
        let marker = Marker {
            trial: Some(trial.memory.clone()),
            issue: trial.number,
            base: trial.commit.clone(),
            ..self.comment_marker(Topic::Rollout)
        };
        let text = self.with(&self.text(trial, revert), &marker);
        self.sticky(trial.number, Topic::Rollout, &text).await
    }

    fn text(&self, trial: &Trialed, revert: Revert<'_>) -> String {
        words::comment(&Told {
            commit: &trial.commit,
            state: &trial.state,
            evidence: &trial.sight.evidence,
            timing: &self.work.rules.verify.timing(),
            revert,
            is_revert: trial.is_revert,
        })
    }

    /// The verdict: comment, check, and the mark that ends it.
    async fn give(&mut self, trial: &Trialed, verdict: &Verdict, revert: Revert<'_>) -> Result<()> {
        self.tell(trial, revert).await?;
        let head = self.ours(trial.number).map(|o| o.pull.head_sha.clone());
        let report = CheckReport {
            name: CHECK.to_owned(),
            sha: head.unwrap_or_default(),
            conclusion: match verdict {
                Verdict::Verified => "success",
                Verdict::Regressed(_) | Verdict::ApplyFailed(_) => "failure",
                Verdict::Inconclusive(_) => "neutral",
            },
            title: words::title(&trial.state).to_owned(),
            summary: self.text(trial, revert),
            external_id: trial.fingerprint.clone(),
        };
        let reported = self.work.github.check(&report).await;
        self.tolerate(&format!("the check of #{}", trial.number), reported)?;
        let mut marker = self.marker(trial.number);
        remember(&mut marker, &format!("{VERDICT}{}", verdict.name()));
        self.mark_pull(trial.number, &marker).await
    }
}
