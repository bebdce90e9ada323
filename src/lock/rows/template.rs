//! Commands, and whole fields that go back to an earlier revision.

use super::probe::container_name;
use super::{bounds, not_unlocked};
use crate::lock::Attempt;
use crate::lock::Judged;
use crate::lock::Verdict;
use crate::lock::facts::{equivalent, was_absent, was_good};
use crate::propose::Op;
use serde_json::Value;

pub(super) fn command(attempt: &Attempt<'_>) -> Judged {
    let Some(["command" | "args", ..]) = attempt.place.container().as_deref() else {
        return not_unlocked(attempt);
    };
    let (edit, case) = (attempt.edit, attempt.case);
    let proven = match attempt.after {
        None => was_absent(case, &edit.object, &edit.path),
        Some(new) => {
            was_good(case, &edit.object, &edit.path, new)
                || attempt.before.is_some_and(|old| is_respelled(old, new))
        }
    };
    if proven {
        return Ok(Verdict::Human("C05"));
    }
    bounds("a command is corrected by a letter or two, or goes back to what it was (rule C05)")
}

/// One word of a command with a letter or two changed.
fn is_respelled(old: &Value, new: &Value) -> bool {
    match (old, new) {
        (Value::String(a), Value::String(b)) => {
            let longest = a.chars().count().max(b.chars().count());
            longest >= 3 && crate::near::distance(a, b) <= 2.min(longest / 3)
        }
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
            let differing: Vec<_> = a.iter().zip(b).filter(|(x, y)| x != y).collect();
            matches!(differing.as_slice(), [(x, y)] if is_respelled(x, y))
        }
        _ => false,
    }
}

pub(super) fn last_healthy(attempt: &Attempt<'_>) -> Judged {
    let edit = attempt.edit;
    let removes = matches!(edit.op, Op::Remove);
    let whole_container =
        matches!(&attempt.place, crate::lock::Place::Container { rest, .. } if rest.is_empty());
    if whole_container {
        if removes && was_absent(attempt.case, &edit.object, &edit.path) {
            return Ok(Verdict::Human("C09"));
        }
        return bounds("a container is only removed where the earlier revision lacks it");
    }
    if removes && is_surplus_list(attempt) {
        return Ok(Verdict::Human("C09"));
    }
    let allowed = matches!(
        attempt.place.container().as_deref(),
        Some([
            "image"
                | "command"
                | "args"
                | "workingDir"
                | "env"
                | "resources"
                | "livenessProbe"
                | "readinessProbe"
                | "startupProbe",
            ..
        ])
    ) || matches!(
        attempt.place.pod_spec().as_deref(),
        Some([
            "affinity" | "nodeSelector" | "tolerations" | "topologySpreadConstraints",
            ..
        ])
    );
    if !allowed {
        return not_unlocked(attempt);
    }
    let proven = match attempt.after {
        Some(value) => {
            was_good(attempt.case, &edit.object, &edit.path, value) || item_was_good(attempt, value)
        }
        None => was_absent(attempt.case, &edit.object, &edit.path),
    };
    if !proven {
        return bounds("no earlier revision and no earlier version in Git has this value");
    }
    Ok(Verdict::Human("LastHealthyTemplate"))
}

/// `initContainers` as a whole, where it holds one container and the earlier revision lacks that one.
fn is_surplus_list(attempt: &Attempt<'_>) -> bool {
    let whole = attempt.place.pod_spec().as_deref() == Some(&["initContainers"]);
    let Some([only]) = attempt.before.and_then(Value::as_array).map(Vec::as_slice) else {
        return false;
    };
    let path = attempt.edit.path.named(container_name(only));
    whole && was_absent(attempt.case, &attempt.edit.object, &path)
}

/// An added list item (an environment variable) that an earlier revision has at another index.
fn item_was_good(attempt: &Attempt<'_>, value: &Value) -> bool {
    let Some((list_path, crate::path::Seg::Index(_))) = attempt.edit.path.split_last() else {
        return false;
    };
    crate::lock::known_good(attempt.case, &attempt.edit.object)
        .iter()
        .any(|good| {
            list_path
                .get(&good.object)
                .and_then(Value::as_array)
                .is_some_and(|items| items.iter().any(|i| equivalent(value, i)))
        })
}
