//! Invalid manifests and removed API versions.

use super::bounds;
use crate::code::Code;
use crate::finding::Class;
use crate::lock::Attempt;
use crate::lock::Judged;
use crate::lock::Verdict;
use crate::path::FieldPath;
use crate::propose::Op;
use crate::propose::Unlock;
use serde_json::Value;

pub(super) fn invalid(attempt: &Attempt<'_>) -> Judged {
    let before = crate::schema::check(&attempt.manifest.object);
    let after = crate::schema::check(attempt.result);
    if before.is_empty()
        && attempt.edit.unlock == Unlock::InvalidManifest
        && attempt.case.finding.class != Class::RenderError
    {
        return bounds("the object is valid as it is");
    }
    if let Some(issue) = after.first() {
        return bounds(format!("the object would still be invalid: {issue}"));
    }
    if !before
        .iter()
        .any(|issue| is_repair_of(attempt, &issue.path))
    {
        return Err((
            Code::NotUnlocked,
            "only the invalid field itself is unlocked".to_owned(),
        ));
    }
    Ok(Verdict::Human("InvalidManifest"))
}

/// Whether an edit is at the invalid path, makes what is missing on the way to it, or is the other
/// half of a key's renaming.
fn is_repair_of(attempt: &Attempt<'_>, issue: &FieldPath) -> bool {
    let issue = issue.by_name(&attempt.manifest.object.value);
    let path = &attempt.edit.path;
    let parent = |p: &FieldPath| p.split_last().map(|(parent, _)| parent);
    let renamed = attempt.siblings.iter().any(|other| {
        other.path == issue
            && matches!(other.op, Op::Remove)
            && parent(path) == parent(&issue)
            && other.path.get(&attempt.manifest.object.value) == attempt.after
    });
    let made = matches!(attempt.edit.op, Op::Add(_))
        && issue.starts_with(path)
        && attempt
            .after
            .is_some_and(|v| is_chain(v, issue.0.len() - path.0.len()));
    path.starts_with(&issue) || made || renamed
}

/// Whether a value is nothing but the way to one field: mappings of one key each.
fn is_chain(value: &Value, depth: usize) -> bool {
    match (value, depth) {
        (_, 0) => true,
        (Value::Object(map), _) => map.len() == 1 && map.values().all(|v| is_chain(v, depth - 1)),
        _ => false,
    }
}

pub(super) fn deprecated(attempt: &Attempt<'_>) -> Judged {
    let object = &attempt.manifest.object;
    let Some(converted) = crate::schema::convert(object) else {
        return bounds(format!(
            "{} {} has no mechanical conversion to a newer API version",
            object.api_version(),
            object.kind()
        ));
    };
    if let Some(open) = converted.open.first() {
        return bounds(format!("the conversion leaves a question: {open}"));
    }
    // the conversion decides, not the proposer: the field ends as the conversion leaves it
    if attempt.edit.path.get(&converted.object.value)
        != attempt.edit.path.get(&attempt.result.value)
    {
        return Err((
            Code::NotUnlocked,
            "only the API version and the moves of its conversion are unlocked".to_owned(),
        ));
    }
    if let Some(issue) = crate::schema::check(attempt.result).first() {
        return bounds(format!("the object would be invalid: {issue}"));
    }
    Ok(Verdict::Human("C15"))
}
