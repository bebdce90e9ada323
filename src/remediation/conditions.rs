//! The standard conditions of a record: what its status says, in the words of Kubernetes.

use jiff::Timestamp;

use super::{Condition, Outcome, Record, Status};

/// One condition before its time is known.
struct Now(&'static str, Option<bool>, String, String);

/// All conditions; the time of one whose status did not change stays.
pub(super) fn of(record: &Record, now: Timestamp) -> Vec<Condition> {
    let status = &record.status;
    let all = [
        proposed(status),
        merged(status),
        applied(status),
        verified(status),
    ];
    let since = |kind: &str, is: &str| {
        let same = |c: &&Condition| c.kind == kind && c.status == is;
        let before = status.conditions.iter().find(same);
        before.map_or(now, |c| c.last_transition_time)
    };
    let condition = |Now(kind, is, reason, message): Now| {
        let is = match is {
            Some(true) => "True",
            Some(false) => "False",
            None => "Unknown",
        };
        Condition {
            kind: kind.to_owned(),
            status: is.to_owned(),
            last_transition_time: since(kind, is),
            reason,
            message,
            observed_generation: record.generation,
        }
    };
    all.into_iter().map(condition).collect()
}

fn proposed(status: &Status) -> Now {
    let outcome = status.outcome.map(|o| format!("{o:?}"));
    let reason = outcome.unwrap_or_else(|| "Unknown".to_owned());
    match &status.pull_request {
        Some(pull) => Now(
            "Proposed",
            Some(true),
            "PullRequest".to_owned(),
            pull.url.clone(),
        ),
        None => Now("Proposed", Some(false), reason, status.message.clone()),
    }
}

fn merged(status: &Status) -> Now {
    let state = status
        .pull_request
        .as_ref()
        .map_or("", |p| p.state.as_str());
    let (is, reason) = match state {
        "merged" => (true, "Merged"),
        "closed" => (false, "Closed"),
        "open" => (false, "Open"),
        _ => (false, "NotProposed"),
    };
    let commit = status.merge_commit.clone().unwrap_or_default();
    Now("Merged", Some(is), reason.to_owned(), commit)
}

fn applied(status: &Status) -> Now {
    let is = |state: &str| match state {
        "Settling" | "Healing" | "Verified" | "Regressed" => Some(true),
        "Merged" | "ApplyFailed" => Some(false),
        _ => None,
    };
    from_verdict("Applied", status, is)
}

fn verified(status: &Status) -> Now {
    let is = |state: &str| match state {
        "Verified" => Some(true),
        "Regressed" | "ApplyFailed" => Some(false),
        _ => None,
    };
    from_verdict("Verified", status, is)
}

fn from_verdict(kind: &'static str, status: &Status, is: impl Fn(&str) -> Option<bool>) -> Now {
    match &status.verdict {
        Some(verdict) => Now(
            kind,
            is(&verdict.state),
            word(&verdict.state),
            verdict.message.clone(),
        ),
        None if status.outcome == Some(Outcome::Merged) => {
            Now(kind, None, "NotLookedAt".to_owned(), String::new())
        }
        None => Now(kind, Some(false), "NotMerged".to_owned(), String::new()),
    }
}

/// A reason is one word and never empty.
fn word(text: &str) -> String {
    let letters = text.chars().filter(char::is_ascii_alphanumeric);
    let word: String = letters.take(64).collect();
    match word.is_empty() {
        true => "Unknown".to_owned(),
        false => word,
    }
}
