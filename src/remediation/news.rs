//! Events for the people who look at a workload with kubectl: only what changed, and not too many.

use super::{Outcome, Record, Seen, cut, told};
use crate::object::ObjectRef;

/// The most bytes of a note; the API server takes no more.
const MAX_NOTE: usize = 1_024;
/// The most Events of one pass.
pub const MOST: usize = 20;

/// One Event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct News {
    /// The workload.
    pub about: ObjectRef,
    /// Its uid, where it is known.
    pub uid: Option<String>,
    /// What happened.
    pub reason: &'static str,
    /// Whether somebody should look.
    pub warning: bool,
    /// What tells it from another of the same reason: the pull request, the code.
    pub action: String,
    /// For people.
    pub note: String,
}

/// What is new for a finding whose record was `before` and is `after` now.
pub fn of(before: Option<&Record>, after: &Record, seen: &Seen) -> Vec<News> {
    let Some(about) = after.spec.about() else {
        return Vec::new();
    };
    let told = [ended(before, after), judged(before, after)];
    let told = told.into_iter().flatten();
    told.map(|told| News {
        about: about.clone(),
        uid: seen.uid.clone(),
        reason: told.reason,
        warning: told.warning,
        action: cut(&told.action, 128),
        note: noted(&told.what, &told.then),
    })
    .collect()
}

/// What is told, before it is known to whom.
struct Told {
    reason: &'static str,
    warning: bool,
    action: String,
    what: String,
    then: String,
}

fn ended(before: Option<&Record>, after: &Record) -> Option<Told> {
    let is_same = |b: &Record| {
        let sign = |r: &Record| {
            let pull = r.status.pull_request.as_ref().map(|p| p.number);
            (r.status.outcome, r.status.code.clone(), pull)
        };
        sign(b) == sign(after)
    };
    if before.is_some_and(is_same) {
        return None;
    }
    let status = &after.status;
    let url = status.pull_request.as_ref().map_or("", |p| p.url.as_str());
    let (reason, warning, action, then) = match status.outcome? {
        Outcome::Proposed => {
            let number = status.pull_request.as_ref().map_or(0, |p| p.number);
            let note = format!("a fix is proposed in {url}");
            ("KubemendProposed", false, format!("Propose{number}"), note)
        }
        Outcome::Asked => {
            let asked = match status.question {
                Some(n) => format!("issue {n} of {} asks a question", after.spec.repository),
                None => format!("a question waits in {}", after.spec.repository),
            };
            ("KubemendAsked", false, "Ask".to_owned(), asked)
        }
        Outcome::Refused => {
            let note = format!("no safe fix ({}): {}", status.code, status.message);
            (
                "KubemendRefused",
                true,
                format!("Refuse{}", status.code),
                note,
            )
        }
        _ => return None,
    };
    Some(Told {
        reason,
        warning,
        action,
        what: after.spec.summary.clone(),
        then,
    })
}

/// What is new when a verdict was given.
fn judged(before: Option<&Record>, after: &Record) -> Option<Told> {
    let verdict = after.status.verdict.as_ref()?;
    let before = before.and_then(|b| b.status.verdict.as_ref());
    if before.is_some_and(|b| b.state == verdict.state) {
        return None;
    }
    let (reason, warning) = match verdict.state.as_str() {
        "Verified" => ("KubemendVerified", false),
        "Regressed" | "ApplyFailed" => ("KubemendRegressed", true),
        _ => return None,
    };
    let pull = after.status.pull_request.as_ref();
    let url = pull.map_or("", |p| p.url.as_str());
    Some(Told {
        reason,
        warning,
        action: format!("Verify{}", pull.map_or(0, |p| p.number)),
        what: verdict.message.clone(),
        then: format!("after the merge of {url}"),
    })
}

/// The address at the end is never cut off.
fn noted(what: &str, then: &str) -> String {
    let then = told(then);
    let room = MAX_NOTE.saturating_sub(then.len() + 2);
    match cut(&told(what), room) {
        what if what.is_empty() => cut(&then, MAX_NOTE),
        what => format!("{what}; {then}"),
    }
}
