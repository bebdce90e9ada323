//! What one pass saw of each finding, as far as records want to know it.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use super::{Location, Outcome, PullRequest, RETENTION, Record, Spec, Verdict, told};
use crate::cycle::{Analysis, Report, Touched, Trialed};
use crate::forge::PullState;
use crate::forge::decide::{Action, Observed, OurPull, Wanted, WantedEnding, Why};
use crate::forge::marker::{Marker, What};
use crate::message::rollout;
use crate::open::Trials;
use crate::propose::Usage;
use crate::unsure::Unsure;
use crate::verify::machine::{State, Verdict as End};

/// How a finding was handled, beside what is wanted for it.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Course {
    /// What the proposers used up.
    pub used: Usage,
    /// Digest of the evidence.
    pub evidence: String,
    /// The first line that is changed.
    pub location: Option<Location>,
    /// The object's uid in the cluster.
    pub uid: Option<String>,
    /// How many objects show it.
    pub objects: u32,
}

/// What one pass saw.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Survey {
    /// `owner/name`; empty where the pass saw nothing.
    pub repository: String,
    /// Which runs report these findings.
    pub scope: String,
    /// Whether everything could be read: what is not seen then is gone.
    pub complete: bool,
    /// Objects of which the pass cannot tell whether they are well.
    pub unsure: Unsure,
    /// One for each fingerprint.
    pub seen: Vec<Seen>,
}

/// One finding.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Seen {
    /// The finding.
    pub spec: Spec,
    /// The object's uid in the cluster.
    pub uid: Option<String>,
    /// How the pass ended for it; `None` where it cannot tell.
    pub outcome: Option<Outcome>,
    /// Why.
    pub code: String,
    /// In one line.
    pub message: String,
    /// Where it is mended.
    pub location: Option<Location>,
    /// Digest of the evidence.
    pub evidence: String,
    /// What the proposers used up in this pass.
    pub spent: Usage,
    /// The pull request, without its address.
    pub pull: Option<PullRequest>,
    /// When it was closed or merged.
    pub closed_at: Option<Timestamp>,
    /// Which attempt it is.
    pub attempt: u32,
    /// The commit that merged it.
    pub merge_commit: Option<String>,
    /// Whether the merge was applied and helped, where this pass looked.
    pub verdict: Option<Verdict>,
    /// The issue with the question.
    pub question: Option<u64>,
    /// Whether the pass itself reports the finding.
    pub reported: bool,
}

impl Seen {
    /// Old news are not written down again where there is no record of them.
    pub(super) fn is_worth_a_record(&self, now: Timestamp) -> bool {
        let recent =
            |at: Timestamp| now.duration_since(at) < RETENTION - SignedDuration::from_hours(24);
        let is_told = self.outcome.is_some()
            && self.outcome != Some(Outcome::Resolved)
            && (self.reported || self.closed_at.is_none_or(recent));
        is_told || self.spent.calls > 0
    }

    /// Whether nothing is left to do.
    pub(super) fn is_over(&self) -> bool {
        let is_open = self.pull.as_ref().is_some_and(|p| p.state == "open");
        match self.reported {
            true => self.outcome == Some(Outcome::Resolved) && !is_open,
            false => !is_open,
        }
    }
}

impl Survey {
    /// Says how far the merged fixes got.
    pub(crate) fn judge(&mut self, trials: &Trials, now: Timestamp) {
        for trial in trials.seen.iter().filter(|t| !t.is_revert) {
            let of = |s: &&mut Seen| s.spec.fingerprint == trial.fingerprint;
            if let Some(seen) = self.seen.iter_mut().find(of) {
                seen.verdict = Some(verdict(trial, now));
            }
        }
    }

    /// Whether a finding about an object that is not seen is gone.
    pub fn tells_of(&self, object: &str) -> bool {
        self.complete && !self.unsure.holds(object)
    }

    /// Whether the pass would have seen the finding of a record, and did not.
    pub(super) fn misses(&self, record: &Record) -> bool {
        let spec = &record.spec;
        let here = spec.repository == self.repository && spec.scope == self.scope;
        here && self.tells_of(&spec.object)
            && !self
                .seen
                .iter()
                .any(|s| s.spec.fingerprint == spec.fingerprint)
    }
}

/// A look at a merged fix, as it is recorded.
fn verdict(trial: &Trialed, now: Timestamp) -> Verdict {
    let memory = &trial.memory;
    let since = match &trial.state {
        State::Merged | State::Applying(_) => memory.counting_since,
        State::Healing(_) => memory.healing_since,
        State::Settling(_) => memory.good_since,
        State::Waiting(_) | State::Ended(_) => None,
    };
    let message = match &trial.state {
        State::Waiting(why) => why.sentence().to_owned(),
        State::Applying(why) | State::Healing(why) => why.clone(),
        State::Ended(End::Regressed(why) | End::ApplyFailed(why) | End::Inconclusive(why)) => {
            why.clone()
        }
        State::Merged | State::Settling(_) | State::Ended(End::Verified) => {
            rollout::title(&trial.state).to_owned()
        }
    };
    Verdict {
        state: pascal(trial.state.name()),
        message: told(&message),
        since: since.unwrap_or(now),
    }
}

/// `apply_failed` as `ApplyFailed`.
fn pascal(word: &str) -> String {
    let parts = word.split('_').map(|part| {
        let (first, rest) = part.split_at_checked(1).unwrap_or((part, ""));
        first.to_uppercase() + rest
    });
    parts.collect()
}

/// What a pass saw: what it wanted, and the pull requests of ours.
pub fn survey(analysis: &Analysis, observed: &Observed, report: &Report) -> Survey {
    let mut seen: BTreeMap<String, Seen> = BTreeMap::new();
    let here = Here {
        analysis,
        observed,
        report,
    };
    for wanted in &analysis.wanted {
        let first = || here.wanted(wanted);
        seen.entry(wanted.fingerprint.clone()).or_insert_with(first);
    }
    for our in &observed.pulls {
        if let Some(marker) = here.fix_of(our)
            && marker.lists(&analysis.scope)
            && here.latest(&marker.fingerprint).map(|p| p.pull.number) == Some(our.pull.number)
        {
            let fingerprint = marker.fingerprint.clone();
            seen.entry(fingerprint)
                .or_insert_with(|| here.pulled(our, marker));
        }
    }
    Survey {
        repository: observed.facts.full_name.clone(),
        scope: analysis.scope.clone(),
        complete: analysis.complete && observed.complete,
        unsure: analysis.unsure.clone(),
        seen: seen.into_values().collect(),
    }
}

/// What the proposers used up in a repository, and nothing else: known before the pass ends, if it
/// ends at all.
pub fn spending(analysis: &Analysis, repository: &str, branch: &str) -> Survey {
    let mut observed = Observed {
        base_branch: branch.to_owned(),
        ..Observed::default()
    };
    repository.clone_into(&mut observed.facts.full_name);
    let mut survey = survey(analysis, &observed, &Report::default());
    survey.complete = false;
    survey.seen.retain(|s| s.spent.calls > 0);
    for seen in &mut survey.seen {
        *seen = Seen {
            spec: std::mem::take(&mut seen.spec),
            uid: seen.uid.take(),
            spent: seen.spent,
            reported: true,
            ..Seen::default()
        };
    }
    survey
}

struct Here<'a> {
    analysis: &'a Analysis,
    observed: &'a Observed,
    report: &'a Report,
}

impl Here<'_> {
    /// What a pull request says about the fix that it is, if it is one of ours.
    fn fix_of(&self, our: &OurPull) -> Option<&Marker> {
        let marker = self.observed.markers.get(&our.pull.number)?;
        let is_fix = marker.what == What::Fix && !marker.fingerprint.is_empty();
        (is_fix && our.pull.author.id == self.observed.me.id).then_some(marker)
    }

    /// The pull request of a fingerprint: the open one, else the newest.
    fn latest(&self, fingerprint: &str) -> Option<&OurPull> {
        let of = |p: &&OurPull| self.fix_of(p).is_some_and(|m| m.fingerprint == fingerprint);
        let all = self.observed.pulls.iter().filter(of);
        all.max_by_key(|p| (p.pull.state == PullState::Open, p.pull.number))
    }

    fn spec(&self) -> Spec {
        Spec {
            scope: self.analysis.scope.clone(),
            repository: self.observed.facts.full_name.clone(),
            branch: self.observed.base_branch.clone(),
            ..Spec::default()
        }
    }

    fn wanted(&self, wanted: &Wanted) -> Seen {
        let course = self.analysis.courses.get(&wanted.fingerprint);
        let course = course.cloned().unwrap_or_default();
        let pull = self.latest(&wanted.fingerprint);
        let seen = Seen {
            spec: Spec {
                fingerprint: wanted.fingerprint.clone(),
                key: wanted.key.clone(),
                class: wanted.class.map(|c| c.to_string()).unwrap_or_default(),
                severity: Some(wanted.severity),
                api_version: wanted
                    .object
                    .as_ref()
                    .map(|o| o.api_version.clone())
                    .unwrap_or_default(),
                object: wanted
                    .object
                    .as_ref()
                    .map(ToString::to_string)
                    .unwrap_or_default(),
                summary: told(&wanted.summary),
                ..self.spec()
            },
            uid: course.uid,
            evidence: course.evidence,
            location: course.location,
            spent: course.used,
            question: self
                .touched(&self.report.questions, wanted)
                .map(|t| t.number),
            reported: true,
            ..pull.map(|our| self.of_pull(our)).unwrap_or_default()
        };
        self.ended(wanted, seen)
    }

    fn ended(&self, wanted: &Wanted, mut seen: Seen) -> Seen {
        let (outcome, code, message) = match &wanted.ending {
            WantedEnding::Unknown => (None, String::new(), String::new()),
            WantedEnding::Settled => {
                let is_merged = seen.pull.as_ref().is_some_and(|p| p.state == "merged");
                let outcome = if is_merged {
                    Outcome::Merged
                } else {
                    Outcome::Resolved
                };
                (Some(outcome), String::new(), String::new())
            }
            WantedEnding::Question(_) => (Some(Outcome::Asked), String::new(), String::new()),
            WantedEnding::Refused { code, reason } => {
                (Some(Outcome::Refused), code.clone(), told(reason))
            }
            WantedEnding::Fix(fix) => {
                let touched = self.touched(&self.report.pulls, wanted);
                if let Some(touched) = touched
                    && seen.pull.as_ref().is_none_or(|p| p.number < touched.number)
                {
                    seen.pull = Some(PullRequest {
                        number: touched.number,
                        state: "open".to_owned(),
                        branch: fix.branch.clone(),
                        ..PullRequest::default()
                    });
                    (seen.merge_commit, seen.closed_at) = (None, None);
                    seen.attempt += 1;
                }
                let held = self.held(wanted).unwrap_or_default();
                let outcome = match seen.pull.as_ref().map(|p| p.state.as_str()) {
                    Some("open") => Outcome::Proposed,
                    Some("merged") => Outcome::Merged,
                    Some(_) => Outcome::Closed,
                    None => Outcome::Held,
                };
                (Some(outcome), held, String::new())
            }
        };
        Seen {
            outcome,
            code,
            message,
            ..seen
        }
    }

    fn touched<'t>(&self, all: &'t [Touched], wanted: &Wanted) -> Option<&'t Touched> {
        let same = |t: &&Touched| t.fingerprint == wanted.fingerprint && t.operation != "closed";
        all.iter().find(same)
    }

    /// Why there is no pull request now, in one word.
    fn held(&self, wanted: &Wanted) -> Option<String> {
        let why = self.report.actions.iter().find_map(|a| match a {
            Action::Leave { fingerprint, why } if *fingerprint == wanted.fingerprint => Some(why),
            _ => None,
        })?;
        if let Why::Current(_) | Why::Merged(_) = why {
            return None;
        }
        let word = format!("{why:?}");
        word.split(|c: char| !c.is_ascii_alphanumeric())
            .next()
            .map(str::to_owned)
    }

    /// A pull request whose finding this pass does not report.
    fn pulled(&self, our: &OurPull, marker: &Marker) -> Seen {
        let seen = self.of_pull(our);
        Seen {
            spec: Spec {
                fingerprint: marker.fingerprint.clone(),
                key: marker.key.clone(),
                object: told(&marker.object),
                summary: told(&our.pull.title),
                ..self.spec()
            },
            outcome: Some(match our.pull.state {
                PullState::Open => Outcome::Proposed,
                PullState::Merged => Outcome::Merged,
                PullState::Closed if marker.closed.is_some() => Outcome::Resolved,
                PullState::Closed => Outcome::Closed,
            }),
            ..seen
        }
    }

    /// What a pull request says for itself.
    fn of_pull(&self, our: &OurPull) -> Seen {
        let pull = &our.pull;
        let state = match pull.state {
            PullState::Open => "open",
            PullState::Merged => "merged",
            PullState::Closed => "closed",
        };
        let marker = self.observed.markers.get(&pull.number);
        Seen {
            pull: Some(PullRequest {
                number: pull.number,
                url: String::new(),
                state: state.to_owned(),
                branch: pull.head_ref.clone(),
            }),
            closed_at: pull.closed_at,
            attempt: marker.map_or(0, |m| m.attempt),
            merge_commit: pull
                .merge_commit
                .clone()
                .filter(|_| pull.state == PullState::Merged),
            ..Seen::default()
        }
    }
}
