//! From facts, sample by sample, to one verdict. Pure: the memory is carried by the caller (in the
//! pull request's marker, in a `Remediation`), and losing it costs time, never truth.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::verify::rollout::Rollout;
use crate::verify::{Applied, Wait};

/// How long things may take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timing {
    /// From the merge until the engine has applied it.
    pub apply: SignedDuration,
    /// From the apply until the workload is well.
    pub heal: SignedDuration,
    /// How long it must stay well.
    pub settle: SignedDuration,
    /// In how many samples in a row.
    pub samples: u32,
    /// How long it must stay well at least, where it failed only now and then.
    pub rare: SignedDuration,
}

impl Timing {
    /// The same for a workload that was well for a while between two failures.
    #[must_use]
    pub fn after(mut self, before: Option<&Baseline>) -> Self {
        let seconds = before.map_or(0, |b| b.stays_well);
        let seconds = i64::try_from(seconds).unwrap_or(i64::MAX);
        self.rare = SignedDuration::from_secs(seconds).min(RAREST);
        self
    }

    /// How long it must stay well.
    pub fn well(&self) -> SignedDuration {
        self.settle.max(self.rare)
    }

    /// How long a cluster that looks from the merge on needs at most where nothing makes it wait.
    pub fn longest(&self) -> SignedDuration {
        let healed = self.apply.saturating_add(self.heal);
        healed.saturating_add(self.settle)
    }
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            apply: SignedDuration::from_mins(30),
            heal: SignedDuration::from_mins(15),
            settle: SignedDuration::from_mins(5),
            samples: 3,
            rare: SignedDuration::ZERO,
        }
    }
}

/// Nobody waits longer for a verdict, however seldom it failed.
const RAREST: SignedDuration = SignedDuration::from_hours(12);

/// One look at everything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// How far the merge commit got.
    pub applied: Applied,
    /// Whether a failed resource is one that our pull request changed.
    pub failed_is_ours: bool,
    /// Whether the changed field holds the new value in the cluster.
    pub live: Live,
    /// The rollout; `None` where the change starts no pods.
    pub rollout: Option<Rollout>,
    /// Whether the failure that was mended still shows.
    pub symptom: Symptom,
    /// What else of the same app fails that did not before.
    pub newly_broken: Vec<String>,
    /// What fails, and nobody knows whether it did before: more did than is noted.
    pub unclear: Vec<String>,
    /// What a changed object that starts no pods still lacks: a claim its volume, a Service its endpoints.
    pub lacks: Option<String>,
    /// Restarts of the workload's pods, all together.
    pub restarts: u64,
    /// Pods of the workload that are ready.
    pub ready: u64,
    /// Why what goes wrong may be somebody else's: then nothing is taken back.
    pub excuse: Option<&'static str>,
    /// Whether Git holds something else by now where our change was.
    pub overtaken: bool,
}

/// The changed field in the cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Live {
    /// It holds the new value.
    Holds,
    /// It holds something else; who wrote it, where that is known.
    Differs {
        /// The field manager.
        manager: Option<String>,
    },
    /// It cannot be read.
    Unknown,
}

/// The failure that was mended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Symptom {
    /// It is gone.
    Absent,
    /// It is there, and how it shows.
    Present(String),
    /// It is gone, and the same object fails in another way.
    Another(String),
    /// Pods may be ready while it lasts, and nobody looks at the signal that raised it.
    Unobservable(String),
}

/// What was so before the merge.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Baseline {
    /// When the oldest of these looks was.
    pub at: Option<Timestamp>,
    /// What of the app failed lately.
    pub failing: Vec<String>,
    /// What failed in the hours before that.
    pub failed: Vec<String>,
    /// Whether the last attempts before ours succeeded, as far as one was seen at its end.
    pub last_attempt_succeeded: Option<bool>,
    /// How the workload failed.
    pub symptom: String,
    /// Pods of the workload that were ready.
    pub ready: u64,
    /// Whether all of its pods ran its template.
    pub rolled_out: bool,
    /// How many seconds without a failure say nothing yet: it was well for half as long between two failures.
    pub stays_well: u64,
}

/// What is remembered between samples.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Memory {
    /// From when the time to apply counts; moves on while something waits.
    pub counting_since: Option<Timestamp>,
    /// When it was first seen applied.
    pub applied_at: Option<Timestamp>,
    /// Since when each look finds that our commit cannot be applied.
    pub failing_since: Option<Timestamp>,
    /// From when the time to heal counts.
    pub healing_since: Option<Timestamp>,
    /// The first of the good samples in a row.
    pub good_since: Option<Timestamp>,
    /// How many good samples in a row.
    pub good: u32,
    /// How many bad samples in a row, as far as that matters.
    pub bad: u32,
    /// When it had been well for as long as others must be, and may fail again only later.
    pub well_at: Option<Timestamp>,
    /// How often it was well for so long, and then not.
    pub relapses: u32,
    /// Restarts at the last sample.
    pub restarts: Option<u64>,
    /// Where it stood (see [`State::name`]).
    pub state: String,
    /// What it waits for, in short: people are told when that changes.
    pub waits_for: String,
    /// The verdict; it is final.
    pub verdict: Option<Verdict>,
}

impl Baseline {
    /// Whether it is from shortly before a merge: an older one says little about it.
    pub fn is_before(&self, merged: Timestamp) -> bool {
        let age = self.at.map(|at| merged.duration_since(at));
        age.is_some_and(|age| age < FRESH)
    }

    /// What is seen now, with what was seen since the change was proposed: what failed hours ago, or was as
    /// bad, is not the fault of a merge that comes later.
    #[must_use]
    pub fn following(mut self, before: &Self) -> Self {
        if self.at < before.at {
            return before.clone();
        }
        self.stays_well = self.stays_well.max(before.stays_well);
        let succeeded = [self.last_attempt_succeeded, before.last_attempt_succeeded];
        if self.is_older_than(before, RENEWAL) {
            self.failed.clone_from(&before.failing);
            // an attempt that runs says nothing
            self.last_attempt_succeeded = succeeded.into_iter().flatten().next();
            return self;
        }
        let mut failing = before.failing.clone();
        failing.extend(
            self.failing
                .into_iter()
                .filter(|f| !before.failing.contains(f)),
        );
        failing.truncate(MAX_FAILING);
        Self {
            // or whoever looks often enough would never take it anew
            at: before.at,
            failing,
            failed: before.failed.clone(),
            ready: self.ready.min(before.ready),
            rolled_out: self.rolled_out && before.rolled_out,
            last_attempt_succeeded: succeeded.into_iter().flatten().min(),
            ..self
        }
    }

    /// Whether it says something that the one before does not, or that one grows old.
    pub fn is_news(&self, before: &Self) -> bool {
        let is_full = before.failing.len() >= MAX_FAILING;
        let fails = !is_full && self.failing.iter().any(|f| !before.failing.contains(f));
        let attempts_tell = before
            .last_attempt_succeeded
            .is_none_or(|did| did && self.last_attempt_succeeded == Some(false));
        let worse = fails
            || self.ready < before.ready
            || (before.rolled_out && !self.rolled_out)
            || (self.last_attempt_succeeded.is_some() && attempts_tell)
            || self.stays_well > before.stays_well;
        self.at >= before.at && (worse || self.is_older_than(before, RENEWAL))
    }

    /// Whether something is noted as failing.
    pub fn notes(&self, what: &str) -> bool {
        let mut all = self.failing.iter().chain(&self.failed);
        all.any(|f| f == what)
    }

    /// Whether more may have failed than is noted.
    pub fn is_full(&self) -> bool {
        let mut lists = [&self.failing, &self.failed].into_iter();
        lists.any(|l| l.len() >= MAX_FAILING)
    }

    /// Whether the one before is older than this one by so much.
    fn is_older_than(&self, before: &Self, by: SignedDuration) -> bool {
        let between = self.at.zip(before.at);
        between.is_some_and(|(now, then)| now.duration_since(then) >= by)
    }
}

/// The most entries of what failed before.
pub const MAX_FAILING: usize = 20;
/// When a baseline is taken anew though nothing is worse: well before it is too old to say anything.
const RENEWAL: SignedDuration = SignedDuration::from_hours(6);

/// How old a baseline may be at the merge.
const FRESH: SignedDuration = SignedDuration::from_hours(24);

/// The end, given once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Applied, rolled out, the symptom is gone, and it stayed so.
    Verified,
    /// Applied, and worse than before or no better: a revert is right.
    Regressed(String),
    /// Our commit breaks the apply itself: a revert is right.
    ApplyFailed(String),
    /// Nobody can tell: a comment, and no revert.
    Inconclusive(String),
}

/// Where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// The source has not reached the commit.
    Merged,
    /// The engine works on it.
    Applying(String),
    /// A person or time has to move first; no timer runs.
    Waiting(Wait),
    /// Applied, and the workload is not well yet.
    Healing(String),
    /// Well, so many samples in a row.
    Settling(u32),
    /// The end.
    Ended(Verdict),
}

impl State {
    /// Whether people took the change back, or changed it again.
    pub fn is_overtaken(&self) -> bool {
        matches!(self, Self::Ended(Verdict::Inconclusive(why)) if why == OVERTAKEN)
    }

    /// One word, for memory and labels.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Merged => "merged",
            Self::Applying(_) => "applying",
            Self::Waiting(_) => "waiting",
            Self::Healing(_) => "healing",
            Self::Settling(_) => "settling",
            Self::Ended(verdict) => verdict.name(),
        }
    }
}

impl Verdict {
    /// Whether it was our change that made it worse.
    pub fn is_bad(&self) -> bool {
        matches!(self, Self::Regressed(_) | Self::ApplyFailed(_))
    }

    /// Its reason, in the words of the cluster.
    pub fn why_mut(&mut self) -> Option<&mut String> {
        match self {
            Self::Verified => None,
            Self::Regressed(why) | Self::ApplyFailed(why) | Self::Inconclusive(why) => Some(why),
        }
    }

    /// One word, for markers and labels.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Verified => "verified",
            Self::Regressed(_) => "regressed",
            Self::ApplyFailed(_) => "apply_failed",
            Self::Inconclusive(_) => "inconclusive",
        }
    }
}

/// Takes one sample into account. What is remembered changes only when something happened, so that
/// waiting writes nothing.
pub fn step(
    memory: &Memory,
    facts: &Facts,
    baseline: Option<&Baseline>,
    timing: &Timing,
    now: Timestamp,
) -> (Memory, State) {
    if let Some(verdict) = &memory.verdict {
        return (memory.clone(), State::Ended(verdict.clone()));
    }
    let mut next = memory.clone();
    next.counting_since.get_or_insert(now);
    if !matches!(facts.applied, Applied::Failed { .. }) {
        next.failing_since = None;
    }
    // what is being applied anew is neither a good look nor a bad one; all else ends the row
    if !matches!(
        facts.applied,
        Applied::Applied { .. } | Applied::Applying { .. }
    ) {
        (next.good, next.good_since, next.bad) = (0, None, 0);
    }
    let state = match &facts.applied {
        _ if facts.overtaken => State::Ended(Verdict::Inconclusive(OVERTAKEN.to_owned())),
        applied if next.applied_at.is_some() && lacks(applied) => stepped_back(&next, timing, now),
        Applied::Waiting { why } => waiting(&mut next, why.clone()),
        Applied::NotSeen { .. } => {
            let what = "the source did not reach the commit";
            in_time(&next, State::Merged, what, timing, now)
        }
        Applied::Applying { detail } => {
            in_time(&next, State::Applying(detail.clone()), detail, timing, now)
        }
        Applied::Unknown { why } => in_time(&next, State::Applying(why.clone()), why, timing, now),
        Applied::Failed { message, .. } => failed(&mut next, facts, baseline, message, timing, now),
        Applied::Applied { at, .. } => {
            let is_first = next.applied_at.is_none();
            let applied_at = *next.applied_at.get_or_insert(at.unwrap_or(now));
            // no look may have been possible before
            let seen = applied_at.max(next.counting_since.unwrap_or(now));
            next.healing_since
                .get_or_insert(if is_first { seen } else { now });
            // whatever is applied after it has a time of its own
            next.counting_since = None;
            workload(&mut next, facts, baseline, timing, now)
        }
    };
    if let State::Ended(verdict) = &state {
        next.verdict = Some(verdict.clone());
    }
    next.state = state.name().to_owned();
    (next, state)
}

/// Why nobody looks any more at what people took back.
pub(crate) const OVERTAKEN: &str =
    "Git holds something else there by now: somebody took the change back, or changed it again";

/// Whether what the source holds lacks our commit.
fn lacks(applied: &Applied) -> bool {
    matches!(
        applied,
        Applied::NotSeen { .. }
            | Applied::Waiting {
                why: Wait::Pinned { .. } | Wait::NotPolled { .. }
            }
    )
}

/// Revisions only grow, unless somebody moves a branch or a tag back, or an engine takes an old one.
fn stepped_back(memory: &Memory, timing: &Timing, now: Timestamp) -> State {
    const WHAT: &str =
        "its source stepped back to a revision without it: was a branch or a tag moved?";
    match is_over(memory.counting_since, timing.apply, now) {
        true => State::Ended(Verdict::Inconclusive(format!("applied, and then {WHAT}"))),
        false => State::Healing(format!("applied, and then {WHAT}")),
    }
}

/// Nothing counts while a person or time has to move first: every clock begins anew after it.
fn waiting(next: &mut Memory, why: Wait) -> State {
    (next.counting_since, next.healing_since, next.well_at) = (None, None, None);
    (next.good, next.good_since, next.bad) = (0, None, 0);
    State::Waiting(why)
}

/// A state that may last for the time to apply.
fn in_time(memory: &Memory, state: State, what: &str, timing: &Timing, now: Timestamp) -> State {
    let was_applied = memory.applied_at.is_some();
    match is_over(memory.counting_since, timing.apply, now) {
        true if was_applied => State::Ended(Verdict::Inconclusive(format!(
            "applied, and hidden since by what is applied after it: {what}"
        ))),
        true => State::Ended(Verdict::Inconclusive(format!(
            "not applied in time: {what}"
        ))),
        false if was_applied && memory.good > 0 => State::Settling(memory.good),
        false if was_applied => State::Healing(format!("applied, and now {what}")),
        false => state,
    }
}

fn is_over(since: Option<Timestamp>, period: SignedDuration, now: Timestamp) -> bool {
    since.is_some_and(|since| now.duration_since(since) >= period)
}

/// The apply failed: with our commit to blame only where it is ours that failed, and the attempt
/// before it did not.
fn failed(
    memory: &mut Memory,
    facts: &Facts,
    baseline: Option<&Baseline>,
    message: &str,
    timing: &Timing,
    now: Timestamp,
) -> State {
    let worked_before = baseline.is_some_and(|b| b.last_attempt_succeeded == Some(true));
    let is_ours = facts.failed_is_ours && worked_before && facts.excuse.is_none();
    // a webhook that did not answer fails an attempt, and not the next one
    let persists =
        memory.failing_since.is_some() && is_over(memory.failing_since, timing.settle, now);
    memory.failing_since.get_or_insert(now);
    if is_ours && persists {
        return State::Ended(Verdict::ApplyFailed(message.to_owned()));
    }
    in_time(
        memory,
        State::Applying(message.to_owned()),
        message,
        timing,
        now,
    )
}

fn workload(
    next: &mut Memory,
    facts: &Facts,
    baseline: Option<&Baseline>,
    timing: &Timing,
    now: Timestamp,
) -> State {
    if let Some(Rollout::Waiting(why)) = &facts.rollout {
        return waiting(next, why.clone());
    }
    let sample = sample(next, facts);
    // to be scaled up or moved is no failure
    let restarted = next.restarts.is_some_and(|r| facts.restarts > r);
    let fails = restarted || matches!(sample, Sample::Bad(_));
    next.restarts = Some(facts.restarts);
    if next.well_at.is_some()
        && next.good > 0
        && fails
        && let Sample::Bad(why) | Sample::Open(why) = &sample
    {
        next.relapses = next.relapses.saturating_add(1);
        if next.relapses > 1 {
            return State::Ended(Verdict::Inconclusive(format!("{why}; {AGAIN}")));
        }
    }
    match sample {
        Sample::Good => {
            next.bad = 0;
            next.good = next.good.saturating_add(1).min(timing.samples.max(1));
            next.good_since.get_or_insert(now);
            if next.good >= timing.samples && is_over(next.good_since, timing.settle, now) {
                // what is bad from now on has all of its time
                next.healing_since = None;
                next.well_at.get_or_insert(now);
            }
            if next.good >= timing.samples && is_over(next.good_since, timing.well(), now) {
                return State::Ended(Verdict::Verified);
            }
            State::Settling(next.good)
        }
        Sample::Bad(why) => bad(next, why, facts, baseline, timing, now),
        Sample::Open(why) => {
            // one look after good ones may fall into a scaling
            let time = match next.good > 0 {
                true => timing.heal.saturating_mul(2),
                false => timing.heal,
            };
            (next.good, next.good_since, next.bad) = (0, None, 0);
            if is_over(next.healing_since, time, now) {
                return State::Ended(Verdict::Inconclusive(why));
            }
            State::Healing(why)
        }
    }
}

/// A moment of trouble is none; what lasts past the time to heal is judged.
fn bad(
    next: &mut Memory,
    why: String,
    facts: &Facts,
    baseline: Option<&Baseline>,
    timing: &Timing,
    now: Timestamp,
) -> State {
    next.bad = next.bad.saturating_add(1).min(PERSISTS);
    (next.good, next.good_since) = (0, None);
    let persists = next.bad >= PERSISTS && is_over(next.healing_since, timing.heal, now);
    if !persists {
        return State::Healing(why);
    }
    let lasts = matches!(facts.symptom, Symptom::Present(_));
    let verdict = judged(&why, facts, baseline);
    let is_late = next.well_at.is_some() && (!lasts || verdict.is_bad());
    State::Ended(match is_late {
        true => Verdict::Inconclusive(format!("{why}; {LATE}")),
        false => verdict,
    })
}

/// A change does its harm soon; a node that is drained, or a registry that is down, may come at any time.
const LATE: &str = "it was well for long after the change, so something else may be the reason";

/// It fails too seldom for a deadline, and too often to be well.
const AGAIN: &str = "it was well for a while after the change, and not for good, twice";

/// Bad samples in a row that are more than a moment.
const PERSISTS: u32 = 2;

/// What one look says.
enum Sample {
    Good,
    Bad(String),
    Open(String),
}

fn sample(memory: &Memory, facts: &Facts) -> Sample {
    match &facts.live {
        Live::Holds => {}
        Live::Differs { manager } => {
            let who = manager.as_deref().unwrap_or("somebody else");
            return Sample::Open(format!(
                "applied, but the field holds another value: {who} writes it"
            ));
        }
        Live::Unknown => return Sample::Open("the changed field cannot be read".to_owned()),
    }
    match &facts.rollout {
        Some(Rollout::Failing(why)) => return Sample::Bad(why.clone()),
        Some(Rollout::Progressing(why)) => return Sample::Open(why.clone()),
        Some(Rollout::Done | Rollout::Waiting(_)) | None => {}
    }
    if let Some(first) = facts.newly_broken.first() {
        return Sample::Bad(format!("{first} fails since the change"));
    }
    if let Some(first) = facts.unclear.first() {
        return Sample::Open(format!(
            "{first} fails, and so much failed before the change that nobody knows whether it did"
        ));
    }
    match &facts.symptom {
        Symptom::Present(why) => Sample::Bad(why.clone()),
        Symptom::Another(what) => Sample::Open(format!("it fails in another way now: {what}")),
        Symptom::Unobservable(why) => Sample::Open(why.clone()),
        Symptom::Absent if memory.restarts.is_some_and(|r| facts.restarts > r) => {
            Sample::Open("containers still restart".to_owned())
        }
        Symptom::Absent => match &facts.lacks {
            Some(what) => Sample::Open(what.clone()),
            None => Sample::Good,
        },
    }
}

/// Bad for too long: our fault only where it was better before and nobody else touched it.
fn judged(why: &str, facts: &Facts, baseline: Option<&Baseline>) -> Verdict {
    let Some(baseline) = baseline else {
        return Verdict::Inconclusive(format!("{why}; how it was before the merge is not known"));
    };
    if let Some(excuse) = facts.excuse {
        return Verdict::Inconclusive(format!("{why}; {excuse}"));
    }
    match is_worse(facts, baseline) {
        true => Verdict::Regressed(why.to_owned()),
        false => Verdict::Inconclusive(format!("{why}; it is no worse than before the merge")),
    }
}

/// Something fails that did not, or the workload does in another way and fewer pods are ready. That
/// the failure is another one is no proof: a mended image shows what was hidden behind it. And where
/// the old one lasts, the pods that ran a moment before the merge were between two failures.
fn is_worse(facts: &Facts, baseline: &Baseline) -> bool {
    let failing = matches!(facts.rollout, Some(Rollout::Failing(_)));
    let lasts = matches!(facts.symptom, Symptom::Present(_));
    let had_more = baseline.rolled_out || facts.ready < baseline.ready;
    !facts.newly_broken.is_empty() || (failing && !lasts && had_more)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn at(minutes: i64) -> Timestamp {
        Timestamp::from_second(1_767_355_200 + minutes * 60).unwrap()
    }

    fn applied() -> Applied {
        Applied::Applied {
            at: Some(at(1)),
            revision: "r".to_owned(),
        }
    }

    fn good() -> Facts {
        Facts {
            applied: applied(),
            failed_is_ours: false,
            live: Live::Holds,
            rollout: Some(Rollout::Done),
            symptom: Symptom::Absent,
            newly_broken: Vec::new(),
            unclear: Vec::new(),
            lacks: None,
            restarts: 0,
            ready: 2,
            excuse: None,
            overtaken: false,
        }
    }

    fn bad() -> Facts {
        Facts {
            rollout: Some(Rollout::Failing("web crashes".to_owned())),
            ..good()
        }
    }

    fn baseline() -> Baseline {
        Baseline {
            at: None,
            failing: Vec::new(),
            failed: Vec::new(),
            last_attempt_succeeded: Some(true),
            symptom: "OOMKilled".to_owned(),
            ready: 2,
            rolled_out: true,
            stays_well: 0,
        }
    }

    /// Samples one a minute; the state after the last.
    fn play(samples: &[Facts], baseline: Option<&Baseline>) -> State {
        let mut memory = Memory::default();
        let mut state = State::Merged;
        for (minute, facts) in (0..).zip(samples) {
            (memory, state) = step(&memory, facts, baseline, &Timing::default(), at(minute));
        }
        state
    }

    fn ended(state: State) -> Verdict {
        match state {
            State::Ended(verdict) => verdict,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn well_for_the_whole_window_is_verified_and_not_a_sample_earlier() {
        assert_eq!(play(&vec![good(); 5], None), State::Settling(3));
        assert_eq!(ended(play(&vec![good(); 6], None)), Verdict::Verified);
    }

    #[test]
    fn a_bad_sample_starts_the_window_again() {
        let mut samples = vec![good(); 5];
        samples.push(bad());
        samples.extend(vec![good(); 5]);
        assert_eq!(play(&samples, None), State::Settling(3));
        let restarting: Vec<Facts> = (0..9)
            .map(|restarts| Facts { restarts, ..good() })
            .collect();
        assert!(matches!(play(&restarting, None), State::Healing(_)));
    }

    #[test]
    fn bad_past_the_deadline_is_a_regression_only_with_a_better_baseline() {
        let samples = vec![bad(); 18];
        let base = baseline();
        assert_eq!(
            ended(play(&samples, Some(&base))),
            Verdict::Regressed("web crashes".to_owned())
        );
        assert!(matches!(
            ended(play(&samples, None)),
            Verdict::Inconclusive(_)
        ));
        let as_bad = Baseline {
            rolled_out: false,
            ..base.clone()
        };
        let as_before = ended(play(&samples, Some(&as_bad)));
        assert!(
            matches!(as_before, Verdict::Inconclusive(_)),
            "{as_before:?}"
        );
        let fewer = vec![Facts { ready: 1, ..bad() }; 18];
        let worse = ended(play(&fewer, Some(&as_bad)));
        assert!(matches!(worse, Verdict::Regressed(_)), "{worse:?}");
        let touched = vec![
            Facts {
                excuse: Some("another commit changed the app meanwhile"),
                ..bad()
            };
            18
        ];
        assert!(matches!(
            ended(play(&touched, Some(&base))),
            Verdict::Inconclusive(_)
        ));
        assert!(matches!(
            play(&samples[..14], Some(&base)),
            State::Healing(_)
        ));
    }

    #[test]
    fn waiting_stops_every_clock() {
        let pinned = Wait::Pinned {
            to: "tag `v1`".to_owned(),
        };
        let not_polled = Wait::NotPolled { how: String::new() };
        for why in [
            Wait::ManualSync,
            Wait::OldOperation,
            Wait::Suspended,
            Wait::NotStarted { windows: None },
            Wait::SyncWindow { windows: None },
            pinned,
            not_polled,
        ] {
            let wait = Facts {
                applied: Applied::Waiting { why: why.clone() },
                ..good()
            };
            let mut samples = vec![wait; 600];
            assert_eq!(
                play(&samples, Some(&baseline())),
                State::Waiting(why.clone())
            );
            // the time to apply begins when it does not wait any more
            samples.extend(vec![applying(); 29]);
            let state = play(&samples, Some(&baseline()));
            assert!(matches!(state, State::Applying(_)), "{why:?}: {state:?}");
        }
        let paused = Facts {
            rollout: Some(Rollout::Waiting(Wait::BrokenPodBlocks)),
            ..bad()
        };
        let mut samples = vec![paused; 600];
        assert_eq!(
            play(&samples, Some(&baseline())),
            State::Waiting(Wait::BrokenPodBlocks)
        );
        samples.extend(vec![bad(); 10]);
        assert!(matches!(
            play(&samples, Some(&baseline())),
            State::Healing(_)
        ));
    }

    /// What is remembered is written somewhere: it must not change for ever.
    #[test]
    fn waiting_and_failing_come_to_rest_in_memory() {
        let wait = Facts {
            applied: Applied::Waiting {
                why: Wait::Suspended,
            },
            ..good()
        };
        for facts in [wait, bad()] {
            let mut memories = vec![Memory::default()];
            for minute in 0..14 {
                let last = memories.last().unwrap();
                memories.push(step(last, &facts, None, &Timing::default(), at(minute)).0);
            }
            assert_eq!(memories[3], memories[14], "{facts:?}");
        }
    }

    #[test]
    fn a_failed_apply_is_ours_only_when_ours_failed_and_it_worked_before() {
        let failed = |failed_is_ours| Facts {
            applied: Applied::Failed {
                message: "immutable".to_owned(),
                resources: Vec::new(),
            },
            failed_is_ours,
            ..good()
        };
        let base = baseline();
        assert_eq!(
            ended(play(&vec![failed(true); 6], Some(&base))),
            Verdict::ApplyFailed("immutable".to_owned())
        );
        let mut passing = vec![failed(true); 5];
        passing.push(good());
        passing.extend(vec![failed(true); 5]);
        assert!(matches!(play(&passing, Some(&base)), State::Healing(_)));
        let by_others = Facts {
            excuse: Some("another commit changed the app meanwhile"),
            ..failed(true)
        };
        assert!(matches!(
            play(&vec![by_others; 20], Some(&base)),
            State::Applying(_)
        ));
        assert!(matches!(
            play(&vec![failed(false); 20], Some(&base)),
            State::Applying(_)
        ));
        assert!(matches!(
            play(&vec![failed(true); 20], None),
            State::Applying(_)
        ));
        let broken_before = Baseline {
            last_attempt_succeeded: Some(false),
            ..base
        };
        assert!(matches!(
            ended(play(&vec![failed(true); 31], Some(&broken_before))),
            Verdict::Inconclusive(_)
        ));
    }

    #[test]
    fn what_cannot_be_seen_is_never_verified() {
        for facts in [
            Facts {
                live: Live::Differs {
                    manager: Some("hpa".to_owned()),
                },
                ..good()
            },
            Facts {
                live: Live::Unknown,
                ..good()
            },
            Facts {
                symptom: Symptom::Unobservable("no endpoint is watched".to_owned()),
                ..good()
            },
            Facts {
                applied: Applied::NotSeen { at: None },
                ..good()
            },
            Facts {
                applied: Applied::Unknown {
                    why: "rewritten".to_owned(),
                },
                ..good()
            },
        ] {
            let verdict = ended(play(&vec![facts.clone(); 40], Some(&baseline())));
            assert!(
                matches!(verdict, Verdict::Inconclusive(_)),
                "{facts:?}: {verdict:?}"
            );
        }
        let other = Facts {
            newly_broken: vec!["Deployment shop/api".to_owned()],
            ..good()
        };
        assert!(matches!(
            ended(play(&vec![other; 40], Some(&baseline()))),
            Verdict::Regressed(_)
        ));
    }

    #[test]
    fn a_verdict_is_final() {
        let mut samples = vec![good(); 6];
        samples.extend(vec![bad(); 60]);
        assert_eq!(ended(play(&samples, Some(&baseline()))), Verdict::Verified);
    }

    fn applying() -> Facts {
        Facts {
            applied: Applied::Applying {
                detail: "reconciling".to_owned(),
            },
            ..good()
        }
    }

    #[test]
    fn a_failed_apply_within_the_window_begins_it_anew() {
        let failed = Facts {
            applied: Applied::Failed {
                message: "somebody's".to_owned(),
                resources: Vec::new(),
            },
            ..good()
        };
        let mut looks = vec![good(); 4];
        looks.push(failed);
        looks.extend(vec![good(); 2]);
        assert_eq!(play(&looks, None), State::Settling(2));
        // a later commit on its way is neither good nor bad
        let mut looks = vec![good(); 4];
        looks.extend(vec![applying(); 3]);
        assert_eq!(play(&looks, None), State::Settling(3));
        looks.push(good());
        assert_eq!(ended(play(&looks, None)), Verdict::Verified);
    }

    #[test]
    fn a_revision_that_steps_back_is_told_and_ends_inconclusive() {
        let pinned = Wait::Pinned {
            to: "tag `v1`".to_owned(),
        };
        for applied in [
            Applied::NotSeen { at: None },
            Applied::Waiting { why: pinned },
        ] {
            let back = Facts { applied, ..good() };
            let mut looks = vec![good(); 4];
            looks.push(back.clone());
            let State::Healing(said) = play(&looks, None) else {
                panic!("{looks:?}")
            };
            assert!(said.contains("stepped back"), "{said}");
            looks.extend(vec![good(); 2]);
            assert_eq!(play(&looks, None), State::Settling(2), "it begins anew");
            looks.extend(vec![back; 32]);
            let said = format!("{:?}", ended(play(&looks, Some(&baseline()))));
            assert!(
                said.starts_with("Inconclusive") && said.contains("stepped back"),
                "{said}"
            );
        }
    }

    #[test]
    fn what_was_applied_late_has_all_of_its_time() {
        let mut looks = vec![applying(); 28];
        looks.extend(vec![good(); 2]);
        looks.extend(vec![applying(); 10]);
        assert_eq!(play(&looks, None), State::Settling(2));
        looks.extend(vec![applying(); 30]);
        let said = format!("{:?}", ended(play(&looks, None)));
        assert!(said.contains("applied, and hidden since"), "{said}");
    }

    #[test]
    fn a_failure_that_lasts_is_no_regression_because_pods_ran_a_moment_before() {
        let lasts = Facts {
            symptom: Symptom::Present("OOMKilled again".to_owned()),
            ready: 0,
            ..bad()
        };
        let said = ended(play(&vec![lasts; 18], Some(&baseline())));
        assert!(matches!(said, Verdict::Inconclusive(_)), "{said:?}");
    }

    #[test]
    fn what_failed_now_and_then_must_stay_well_for_longer() {
        let timing = |stays_well| {
            Timing::default().after(Some(&Baseline {
                stays_well,
                ..baseline()
            }))
        };
        let ends = |timing: &Timing| {
            let mut memory = Memory::default();
            let end = (0..2_000).find(|minute| {
                let (next, state) = step(&memory, &good(), None, timing, at(*minute));
                memory = next;
                matches!(state, State::Ended(Verdict::Verified))
            });
            end.unwrap()
        };
        assert_eq!(ends(&timing(0)), 5);
        assert_eq!(ends(&timing(60 * 60)), 60);
        assert_eq!(ends(&timing(10 * 24 * 60 * 60)), 12 * 60);
    }

    /// It waited for a night, and was never well.
    #[test]
    fn what_waited_for_long_may_regress_all_the_same() {
        let waits = Facts {
            rollout: Some(Rollout::Waiting(Wait::NextRun)),
            ..good()
        };
        let mut looks = vec![waits; 900];
        looks.extend(vec![bad(); 20]);
        assert!(matches!(
            ended(play(&looks, Some(&baseline()))),
            Verdict::Regressed(_)
        ));
    }

    /// Three good looks within a flap of some minutes are no stretch.
    #[test]
    fn what_flaps_is_judged_in_its_time() {
        let flap = [vec![good(); 4], vec![bad(); 4]].concat();
        let looks: Vec<Facts> = std::iter::repeat_n(flap, 4).flatten().collect();
        assert!(matches!(
            ended(play(&looks, Some(&baseline()))),
            Verdict::Regressed(_)
        ));
    }

    /// With a long window a drained node, hours later, is not the fault of the change.
    #[test]
    fn what_goes_wrong_long_after_the_change_has_its_time_and_is_not_blamed_on_it() {
        let timing = Timing {
            rare: SignedDuration::from_hours(6),
            ..Timing::default()
        };
        let play = |looks: &[Facts]| {
            let mut memory = Memory::default();
            let mut state = State::Merged;
            for (minute, facts) in (0..).zip(looks) {
                (memory, state) = step(&memory, facts, Some(&baseline()), &timing, at(minute));
            }
            state
        };
        let mut looks = vec![good(); 200];
        looks.extend(vec![bad(); 10]);
        assert!(
            matches!(play(&looks), State::Healing(_)),
            "its time begins anew"
        );
        looks.extend(vec![bad(); 10]);
        let said = ended(play(&looks));
        assert!(
            matches!(&said, Verdict::Inconclusive(why) if why.contains(LATE)),
            "{said:?}"
        );
        let both = Facts {
            newly_broken: vec!["Deployment shop/other".to_owned()],
            symptom: Symptom::Present("OOMKilled again".to_owned()),
            ..good()
        };
        let mut with_others = vec![good(); 200];
        with_others.extend(vec![both; 20]);
        let said = ended(play(&with_others));
        assert!(
            matches!(&said, Verdict::Inconclusive(why) if why.contains(LATE)),
            "{said:?}"
        );
        let mut again = vec![good(); 20];
        again.extend(vec![bad(); 3]);
        again.extend(vec![good(); 20]);
        assert_eq!(play(&again), State::Settling(3), "once is an accident");
        again.push(bad());
        let said = ended(play(&again));
        assert!(
            matches!(&said, Verdict::Inconclusive(why) if why.contains(AGAIN)),
            "{said:?}"
        );
        let scaled = Facts {
            rollout: Some(Rollout::Progressing("2 of 3 replicas".to_owned())),
            ..good()
        };
        let mut often = vec![good(); 20];
        for _ in 0..3 {
            often.push(scaled.clone());
            often.extend(vec![good(); 20]);
        }
        assert_eq!(play(&often), State::Settling(3), "scaling is no failure");
        let mut soon = vec![good(); 4];
        soon.extend(vec![bad(); 18]);
        assert!(matches!(ended(play(&soon)), Verdict::Regressed(_)));
    }

    #[test]
    fn what_was_ever_bad_before_the_merge_stays_in_the_baseline() {
        let seen = |hours: i64, ready, failing: &[&str]| Baseline {
            at: Some(at(hours * 60)),
            ready,
            failing: failing.iter().map(|f| (*f).to_owned()).collect(),
            ..baseline()
        };
        let first = seen(0, 2, &["Service shop/a"]);
        let same = seen(1, 2, &["Service shop/a"]);
        assert!(!same.is_news(&first), "nothing to write");
        let worse = seen(1, 1, &["Service shop/b"]);
        assert!(worse.is_news(&first));
        let held = worse.following(&first);
        assert_eq!(held.failing, ["Service shop/a", "Service shop/b"]);
        assert!(
            !first.is_news(&held) && first.following(&held) == held,
            "an old look"
        );
        let better = seen(2, 2, &[]);
        assert!(!better.is_news(&held));
        assert_eq!(better.clone().following(&held).ready, 1);
        let later = seen(8, 2, &[]);
        assert!(later.is_news(&held), "it grows old");
        let held = later.following(&held);
        assert_eq!((held.ready, held.failing.len()), (2, 0));
        assert!(held.notes("Service shop/b"), "hours ago");
        let much: Vec<String> = (0..MAX_FAILING)
            .map(|n| format!("Service shop/{n}"))
            .collect();
        let full = Baseline {
            failing: much,
            ..seen(9, 2, &[])
        };
        assert!(
            !seen(10, 2, &["Service shop/x"]).is_news(&full),
            "no write each time"
        );
        assert!(full.is_full());
    }

    #[test]
    fn an_attempt_that_runs_says_nothing_about_the_attempts_before_the_merge() {
        let seen = |minutes: i64, succeeded| Baseline {
            at: Some(at(minutes)),
            last_attempt_succeeded: succeeded,
            ..baseline()
        };
        let runs = seen(1, None);
        let went = seen(0, Some(true));
        assert!(!runs.is_news(&went), "nothing to write");
        for later in [1, 8 * 60] {
            let held = seen(later, None).following(&went);
            assert_eq!(held.last_attempt_succeeded, Some(true), "{later}");
        }
        assert!(seen(2, Some(true)).is_news(&runs));
        let known = seen(2, Some(true)).following(&runs);
        assert_eq!(known.last_attempt_succeeded, Some(true));
        let failed = seen(3, Some(false));
        assert!(failed.is_news(&known));
        let held = failed.following(&known);
        assert_eq!(held.last_attempt_succeeded, Some(false));
        let again = seen(4, Some(true));
        assert!(!again.is_news(&held));
        assert_eq!(again.following(&held).last_attempt_succeeded, Some(false));
    }

    /// However often it is written down in between.
    #[test]
    fn what_was_bad_is_forgotten_after_its_hours() {
        let seen = |hours: i64, failing: &[&str]| Baseline {
            at: Some(at(hours * 60)),
            failing: failing.iter().map(|f| (*f).to_owned()).collect(),
            ..baseline()
        };
        let mut held = seen(0, &["Service shop/a"]);
        for hours in 1..14 {
            held = seen(hours, &[]).following(&held);
        }
        assert!(!held.notes("Service shop/a"), "{held:?}");
    }

    #[test]
    fn where_nobody_knows_whether_it_failed_before_nothing_is_verified_or_blamed() {
        let unclear = Facts {
            unclear: vec!["Service shop/x".to_owned()],
            ..good()
        };
        let said = ended(play(&vec![unclear; 20], Some(&baseline())));
        assert!(
            matches!(&said, Verdict::Inconclusive(why) if why.contains("nobody knows")),
            "{said:?}"
        );
    }

    #[test]
    fn one_look_at_a_scaling_ends_nothing() {
        let scaled = Facts {
            rollout: Some(Rollout::Progressing("2 of 3 replicas".to_owned())),
            ..good()
        };
        let healing = vec![scaled.clone(); 12];
        let mut looks = [healing, vec![good(); 4], vec![scaled.clone()]].concat();
        assert!(matches!(play(&looks, None), State::Healing(_)));
        looks.push(scaled.clone());
        assert!(matches!(
            ended(play(&looks, None)),
            Verdict::Inconclusive(_)
        ));
        // not for ever
        let flap = [vec![good(); 3], vec![scaled]].concat();
        let looks: Vec<Facts> = std::iter::repeat_n(flap, 9).flatten().collect();
        assert!(matches!(
            ended(play(&looks, None)),
            Verdict::Inconclusive(_)
        ));
    }
}
