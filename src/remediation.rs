//! What kubemend remembers of each finding in a cluster: one record for a fingerprint. Pure.
//!
//! The forge is the truth; records make it readable with kubectl, keep what the forge does not hold
//! (what the model cost, how a rollout goes), and may be lost at any time: the next pass writes
//! them anew.

use jiff::{SignedDuration, Timestamp};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::finding::Severity;
use crate::object::ObjectRef;
use crate::propose::Usage;
use crate::propose::ration::Spent;

mod conditions;
pub mod news;
pub mod recall;
mod survey;
#[cfg(test)]
mod tests;

pub use survey::{Course, Seen, Survey, spending, survey};

/// The most records.
pub const MOST: usize = 500;
/// How long the record of something that ended is kept.
pub const RETENTION: SignedDuration = SignedDuration::from_hours(30 * 24);
/// How old the time of the last look may become before it is written anew.
const LOOK: SignedDuration = SignedDuration::from_hours(24);
/// The most entries of spending that are kept in a record.
const MAX_SPENT: usize = 50;
/// The most bytes of a text.
const MAX_TEXT: usize = 1_024;

/// The finding and where it is mended, as it was when it was found.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Spec {
    /// The identity of the finding where it is mended.
    pub fingerprint: String,
    /// The identity of the finding before it is located.
    pub key: String,
    /// How it fails: `OOMKilled`, …
    pub class: String,
    /// How bad it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub severity: Option<Severity>,
    /// The object that fails: `Deployment shop/cart`.
    pub object: String,
    /// Its group and version: `apps/v1`.
    pub api_version: String,
    /// The failure in a few words.
    pub summary: String,
    /// Which runs report it: `cluster` and its name, or `manifests`.
    pub scope: String,
    /// `owner/name` of the repository.
    pub repository: String,
    /// The branch that pull requests go to.
    pub branch: String,
}

impl Spec {
    /// The object, where a run saw it itself; what only a body on the forge names is nobody's to
    /// speak about.
    fn about(&self) -> Option<ObjectRef> {
        let (kind, rest) = self.object.split_once(' ')?;
        let (namespace, name) = match rest.split_once('/') {
            Some((namespace, name)) => (Some(namespace), name),
            None => (None, rest),
        };
        let seen = !self.api_version.is_empty();
        seen.then(|| ObjectRef::new(&self.api_version, kind, namespace, name))
    }
}

/// What became of it.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Status {
    /// How the last pass ended for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outcome: Option<Outcome>,
    /// Why: the code of a refusal, or what holds a pull request back.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub code: String,
    /// The reason in one line.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// Where in Git it is mended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub location: Option<Location>,
    /// Which attempt the pull request is, from 1.
    #[serde(skip_serializing_if = "is_zero")]
    pub attempts: u32,
    /// What the model cost.
    pub spend: Spend,
    /// The pull request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pull_request: Option<PullRequest>,
    /// The number of the issue with the question.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub question: Option<u64>,
    /// The commit that merged it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub merge_commit: Option<String>,
    /// Whether the merge was applied and helped.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verdict: Option<Verdict>,
    /// Digest of the evidence of the last outcome.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub evidence: String,
    /// Since when nobody reports it any more.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", extend("format" = "date-time"))]
    pub ended_at: Option<Timestamp>,
    /// When a pass saw it last, to a day.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", extend("format" = "date-time"))]
    pub last_seen: Option<Timestamp>,
    /// `Proposed`, `Merged`, `Applied`, `Verified`.
    pub conditions: Vec<Condition>,
    /// The generation of the spec that this is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
}

/// How a pass ended for a finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[allow(missing_docs, reason = "the words are those of the pass")]
pub enum Outcome {
    /// A pull request is open.
    Proposed,
    /// A question is open.
    Asked,
    /// No safe change.
    Refused,
    /// There is a fix, and something holds its pull request back.
    Held,
    /// The pull request was merged.
    Merged,
    /// A person closed the pull request.
    Closed,
    /// Git is right, or nobody reports it any more.
    Resolved,
}

/// A line in Git.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Location {
    /// The file.
    pub file: String,
    /// The line, from 1.
    pub line: u32,
}

/// What the model cost for one finding.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Spend {
    /// Calls.
    pub calls: u32,
    /// Tokens sent and received.
    pub tokens: u64,
    /// Millionths of a dollar, where a price is known.
    #[serde(skip_serializing_if = "is_zero_cost")]
    pub cost_microdollars: u64,
    /// The newest calls with their times: budgets are counted from them after a restart.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub recent: Vec<Spent>,
}

/// The pull request of a finding.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct PullRequest {
    /// Its number.
    pub number: u64,
    /// Where people see it.
    pub url: String,
    /// `open`, `merged`, `closed`.
    pub state: String,
    /// The branch that it comes from.
    pub branch: String,
}

/// Whether a merge was applied and helped. Filled by whoever verifies.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Verdict {
    /// `Waiting`, `Applying`, `Settling`, …, and at the end `Verified`, `Regressed`, `ApplyFailed`
    /// or `Inconclusive`.
    pub state: String,
    /// For people.
    #[serde(default)]
    pub message: String,
    /// Since when it is so.
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub since: Timestamp,
}

/// A standard condition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Condition {
    /// Which.
    #[serde(rename = "type")]
    pub kind: String,
    /// `True`, `False`, `Unknown`.
    pub status: String,
    /// One word.
    pub reason: String,
    /// For people.
    #[serde(default)]
    pub message: String,
    /// When the status changed.
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub last_transition_time: Timestamp,
    /// The generation of the spec that it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
}

fn is_zero(n: &u32) -> bool {
    *n == 0
}

fn is_zero_cost(n: &u64) -> bool {
    *n == 0
}

/// A record as it is kept in the cluster.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Record {
    /// Its name.
    pub name: String,
    /// Tells whether somebody else wrote since it was read; empty when it is not there yet.
    pub version: String,
    /// The generation of its spec.
    pub generation: Option<i64>,
    /// The finding.
    pub spec: Spec,
    /// What became of it.
    pub status: Status,
}

/// The name of the record of a finding. What is in the repository's hands is never a name.
pub fn name(fingerprint: &str) -> String {
    let plain = |c: &char| c.is_ascii_hexdigit();
    let hex: String = fingerprint.chars().filter(plain).take(40).collect();
    format!("finding-{}", hex.to_ascii_lowercase())
}

/// What has to be written so that the records say what a pass saw.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Changes {
    /// Records to make, or whose status is another one now.
    pub write: Vec<Record>,
    /// Names of records that are not kept any longer.
    pub delete: Vec<String>,
    /// Findings for which there was no room.
    pub left_out: usize,
}

/// Compares what a pass saw with all records that are there. Nothing that is the same is written.
pub fn changes(known: &[Record], survey: &Survey, website: &str, now: Timestamp) -> Changes {
    let mut changes = Changes::default();
    let find = |fingerprint: &str| known.iter().find(|r| r.name == name(fingerprint));
    let mut room = MOST.saturating_sub(known.len());
    for seen in &survey.seen {
        let before = find(&seen.spec.fingerprint);
        if before.is_none() && !seen.is_worth_a_record(now) {
            continue;
        }
        if before.is_none() && room == 0 {
            changes.left_out += 1;
            continue;
        }
        let after = brought_up(before, seen, website, now);
        if before != Some(&after) {
            room = room.saturating_sub(usize::from(before.is_none()));
            changes.write.push(after);
        }
    }
    for record in known.iter().filter(|r| survey.misses(r)) {
        let after = over(record, now);
        if after != *record {
            changes.write.push(after);
        }
    }
    changes.delete = surplus(known, &changes, now);
    changes.write.retain(|w| !changes.delete.contains(&w.name));
    changes
}

/// A record as a pass saw its finding; made where there is none.
pub fn brought_up(before: Option<&Record>, seen: &Seen, website: &str, now: Timestamp) -> Record {
    let mut record = before.cloned().unwrap_or_else(|| Record {
        name: name(&seen.spec.fingerprint),
        spec: seen.spec.clone(),
        ..Record::default()
    });
    let status = &mut record.status;
    if let Some(outcome) = seen.outcome {
        status.outcome = Some(outcome);
        status.code.clone_from(&seen.code);
        status.message.clone_from(&seen.message);
        status.evidence.clone_from(&seen.evidence);
    }
    status.location = seen.location.clone().or_else(|| status.location.take());
    status.question = seen.question.or(status.question);
    if let Some(pull) = &seen.pull {
        let another = status
            .pull_request
            .as_ref()
            .is_some_and(|p| p.number != pull.number);
        if another {
            (status.verdict, status.merge_commit) = (None, None);
        }
        let url = format!("{website}/{}/pull/{}", record.spec.repository, pull.number);
        status.pull_request = Some(PullRequest {
            url,
            ..pull.clone()
        });
        status.attempts = seen.attempt.max(status.attempts);
    }
    status.merge_commit = seen
        .merge_commit
        .clone()
        .or_else(|| status.merge_commit.take());
    if let Some(verdict) = &seen.verdict {
        let old = status.verdict.as_ref();
        let same = old.filter(|old| old.state == verdict.state);
        status.verdict = Some(Verdict {
            message: told(&verdict.message),
            since: same.map_or(verdict.since, |old| old.since),
            ..verdict.clone()
        });
    }
    spend(&mut status.spend, seen.spent, now);
    status.ended_at = match seen.is_over() {
        true => status.ended_at.or(Some(now)),
        false => None,
    };
    if status.ended_at.is_none() {
        let is_fresh = |at: &Timestamp| now.duration_since(*at) < LOOK;
        status.last_seen = status.last_seen.filter(is_fresh).or(Some(now));
    }
    settled(record, now)
}

/// The record of a finding that a complete pass does not report any more.
fn over(record: &Record, now: Timestamp) -> Record {
    let mut record = record.clone();
    record.status.ended_at.get_or_insert(now);
    if !matches!(
        record.status.outcome,
        Some(Outcome::Merged | Outcome::Closed)
    ) {
        record.status.outcome = Some(Outcome::Resolved);
        record.status.code.clear();
        record.status.message.clear();
    }
    settled(record, now)
}

/// Brings what follows from the rest up to date.
fn settled(mut record: Record, now: Timestamp) -> Record {
    record.status.observed_generation = record.generation;
    record.status.conditions = conditions::of(&record, now);
    record
}

fn spend(spend: &mut Spend, used: Usage, now: Timestamp) {
    // a pass spends at one time: whatever writes it down twice counts it once
    if used.calls == 0 || spend.recent.iter().any(|s| s.at == now) {
        return;
    }
    spend.calls = spend.calls.saturating_add(used.calls);
    let tokens = used.prompt_tokens.saturating_add(used.completion_tokens);
    spend.tokens = spend.tokens.saturating_add(tokens);
    spend.cost_microdollars = spend.cost_microdollars.saturating_add(used.cost);
    spend.recent.push(Spent {
        at: now,
        calls: used.calls,
    });
    let old = now - SignedDuration::from_hours(24);
    spend.recent.retain(|s| s.at > old);
    while spend.recent.len() > MAX_SPENT {
        // as one at the later of both times: nothing is forgotten before its day is over
        let oldest = spend.recent.remove(0);
        if let Some(next) = spend.recent.first_mut() {
            next.calls = next.calls.saturating_add(oldest.calls);
        }
    }
}

/// The records to delete: those that ended too long ago, those whose repository or cluster nobody
/// reports on any more, and the oldest of those that ended where room is needed.
fn surplus(known: &[Record], changes: &Changes, now: Timestamp) -> Vec<String> {
    let old = now - RETENTION;
    let is_old = |at: Option<Timestamp>| at.is_some_and(|at| at < old);
    let (mut ended, open): (Vec<&Record>, Vec<&Record>) =
        known.iter().partition(|r| r.status.ended_at.is_some());
    ended.sort_by_key(|r| (r.status.ended_at, r.name.clone()));
    let is_back = |r: &Record| changes.write.iter().any(|w| w.name == r.name);
    let is_dead = |r: &&Record| is_old(last_look(r)) && !is_back(r);
    let dead: Vec<&Record> = open.into_iter().filter(is_dead).collect();
    let over = known.len().saturating_sub(MOST) + changes.left_out;
    let over = over.saturating_sub(dead.len());
    let ended = ended.into_iter().enumerate();
    let ended = ended.filter(|(i, r)| *i < over || is_old(r.status.ended_at));
    let all = dead.into_iter().chain(ended.map(|(_, r)| r));
    all.map(|r| r.name.clone()).collect()
}

/// When a pass saw it last, or what it says for itself changed last.
fn last_look(record: &Record) -> Option<Timestamp> {
    let conditions = record.status.conditions.iter();
    let changed = conditions.map(|c| c.last_transition_time).max();
    record.status.last_seen.or(changed)
}

/// A text as it may stand in the cluster: one line, not endless, without secrets, and of no
/// meaning to a forge or terminal.
pub fn told(text: &str) -> String {
    let text = crate::message::clean(&crate::evidence::redact::text(text));
    let line: String = text
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    cut(line.trim(), MAX_TEXT)
}

/// At most so many bytes, at the end of a character.
fn cut(text: &str, most: usize) -> String {
    let mut end = text.len().min(most);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or_default().to_owned()
}
