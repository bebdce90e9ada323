//! What shows that something is broken: conditions, containers and events as rows of a table. Pure.

use jiff::Timestamp;
use serde_json::Value;

use super::Evidence;
use super::cluster::{self, Group};
use crate::case::Case;
use crate::object::{Object, ObjectRef, at, list};

/// The most rows.
const MAX_SIGNS: usize = 6;
/// The most characters of a detail.
const MAX_DETAIL: usize = 400;

/// One sign of what is broken. Foreign text, as it was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sign {
    /// The object that shows it.
    pub object: ObjectRef,
    /// The reason as Kubernetes gives it.
    pub reason: String,
    /// The message or state behind it.
    pub detail: String,
    /// How often, where something counts.
    pub count: Option<i64>,
    /// When it was seen first, where that is known.
    pub first: Option<Timestamp>,
    /// When it was seen last.
    pub last: Option<Timestamp>,
    /// The id of the evidence that holds it.
    pub cites: Option<String>,
}

/// The signs of a case, those that say most first.
pub fn signs(case: &Case<'_>, evidence: &Evidence) -> Vec<Sign> {
    let mut out = Vec::new();
    for pod in cluster::pods(case).into_iter().take(2) {
        let cites = cited(evidence, &format!("containers of {}", pod.reference()));
        out.extend(containers(pod, cites.as_deref()));
    }
    let events = cluster::grouped_events(case);
    let warnings = events.iter().filter(|g| g.last.kind == "Warning").take(3);
    let cites = cited(evidence, "events");
    out.extend(warnings.map(|g| event(g, cites.clone())));
    if let Some(object) = case.snapshot.get(&case.finding.object) {
        let cites = cited(evidence, &format!("status of {}", case.finding.object));
        out.extend(conditions(object, cites.as_deref()));
    }
    let mut seen = Vec::new();
    out.retain(|s: &Sign| {
        let key = (s.object.kind.clone(), s.reason.clone());
        let new = !seen.contains(&key);
        seen.push(key);
        new
    });
    out.truncate(MAX_SIGNS);
    out
}

fn cited(evidence: &Evidence, title: &str) -> Option<String> {
    let item = evidence.items.iter().find(|i| *i.title == *title)?;
    Some(item.id.clone())
}

fn capped(text: &str) -> String {
    text.chars().take(MAX_DETAIL).collect()
}

fn text<'v>(value: &'v Value, path: &str) -> &'v str {
    at(value, path).and_then(Value::as_str).unwrap_or_default()
}

/// Containers that wait, or whose last run ended badly.
fn containers(pod: &Object, cites: Option<&str>) -> Vec<Sign> {
    let fields = ["status.initContainerStatuses", "status.containerStatuses"];
    let statuses = fields.iter().flat_map(|f| pod.list(f));
    let one = |status: &Value| {
        let waiting = text(status, "state.waiting.reason");
        let ended = ["state.terminated", "lastState.terminated"]
            .iter()
            .find_map(|p| at(status, p))
            .filter(|t| at(t, "exitCode").and_then(Value::as_i64) != Some(0));
        let ended_reason = ended.map_or("", |t| text(t, "reason"));
        let reason = match ended_reason {
            "" | "Error" if !waiting.is_empty() => waiting,
            "" => return None,
            reason => reason,
        };
        Some(Sign {
            object: pod.reference(),
            reason: reason.to_owned(),
            detail: capped(&detail(status, ended)),
            count: at(status, "restartCount")
                .and_then(Value::as_i64)
                .filter(|n| *n > 0),
            first: None,
            last: ended.and_then(|t| text(t, "finishedAt").parse().ok()),
            cites: cites.map(str::to_owned),
        })
    };
    statuses.filter_map(one).collect()
}

fn detail(status: &Value, ended: Option<&Value>) -> String {
    let name = text(status, "name");
    let message = text(status, "state.waiting.message");
    match ended
        .and_then(|t| at(t, "exitCode"))
        .and_then(Value::as_i64)
    {
        Some(code) => format!("container {name} ended with code {code}"),
        None if message.is_empty() => format!("container {name}"),
        None => format!("container {name}: {message}"),
    }
}

fn event(group: &Group<'_>, cites: Option<String>) -> Sign {
    let last = group.last;
    Sign {
        object: last.object.clone(),
        reason: last.reason.clone(),
        detail: capped(&last.message),
        count: Some(group.count),
        first: group.first.last.filter(|t| Some(*t) != last.last),
        last: last.last,
        cites,
    }
}

/// Conditions of the failing object that say no.
fn conditions(object: &Object, cites: Option<&str>) -> Vec<Sign> {
    let all = list(&object.value, "status.conditions");
    let bad = all.iter().filter(|c| is_bad(c));
    bad.map(|c| Sign {
        object: object.reference(),
        reason: text(c, "reason").to_owned(),
        detail: capped(&condition(c)),
        count: None,
        first: text(c, "lastTransitionTime").parse().ok(),
        last: None,
        cites: cites.map(str::to_owned),
    })
    .take(2)
    .collect()
}

fn condition(c: &Value) -> String {
    let state = format!("{}={}", text(c, "type"), text(c, "status"));
    match text(c, "message") {
        "" => state,
        message => format!("{state}: {message}"),
    }
}

fn is_bad(condition: &Value) -> bool {
    let (kind, status) = (text(condition, "type"), text(condition, "status"));
    match kind {
        "ReplicaFailure" | "Failed" | "Stalled" => status == "True",
        _ => status == "False",
    }
}
