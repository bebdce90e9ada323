//! Node selectors, affinity, tolerations.

use super::{bounds, list_or_one, not_unlocked};
use crate::code::Code;
use crate::lock::Attempt;
use crate::lock::Judged;
use crate::lock::Verdict;
use serde_json::Value;

pub(super) fn placement(attempt: &Attempt<'_>) -> Judged {
    match attempt.place.pod_spec().as_deref() {
        Some(["nodeSelector" | "affinity", ..]) => Ok(Verdict::Human("D13")),
        Some(["tolerations", ..]) => toleration(attempt),
        _ => not_unlocked(attempt),
    }
}

fn toleration(attempt: &Attempt<'_>) -> Judged {
    let Some(after) = attempt.after else {
        return bounds("tolerations are not removed");
    };
    // an edit of one field of a toleration is judged as the whole toleration that it makes
    let whole = toleration_path(&attempt.edit.path).get(&attempt.result.value);
    for t in list_or_one(whole.unwrap_or(after)) {
        let field = |key: &str| t.get(key).and_then(Value::as_str).unwrap_or_default();
        let key = field("key");
        let control_plane = key.starts_with("node-role.kubernetes.io/");
        let forever = field("effect") == "NoExecute" && t.get("tolerationSeconds").is_none();
        if key.is_empty() || field("effect").is_empty() || control_plane || forever {
            return Err((
                Code::ForbiddenByRule,
                "a toleration must name one key and its effect, no control plane, no endless NoExecute (rule D14)"
                    .to_owned(),
            ));
        }
    }
    Ok(Verdict::Human("D14"))
}

/// `tolerations[i]`, however deep below it the path goes.
fn toleration_path(path: &crate::path::FieldPath) -> crate::path::FieldPath {
    let segs = &path.0;
    let list = |s: &crate::path::Seg| matches!(s, crate::path::Seg::Key(k) if k == "tolerations");
    let end = segs.iter().position(list).map_or(segs.len(), |i| i + 2);
    crate::path::FieldPath(segs.iter().take(end).cloned().collect())
}
