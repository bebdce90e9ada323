//! Images and pull secrets.

use super::{bounds, list_or_one, not_unlocked};
use crate::code::Code;
use crate::lock::Attempt;
use crate::lock::Judged;
use crate::lock::Verdict;
use crate::lock::facts::{exists, was_good};
use crate::object::at;
use crate::object::list;
use serde_json::Value;

/// Repository and tag of an image; a digest counts as the tag.
fn split_image(image: &str) -> (&str, Option<&str>) {
    if let Some((repository, digest)) = image.split_once('@') {
        return (repository, Some(digest));
    }
    match image.rsplit_once(':') {
        Some((repository, tag)) if !tag.contains('/') => (repository, Some(tag)),
        _ => (image, None),
    }
}

const FLOATING: &[&str] = &[
    "latest", "main", "master", "stable", "edge", "dev", "nightly",
];

pub(super) fn image_tag(attempt: &Attempt<'_>) -> Judged {
    let (Some(["image"]), Some(Value::String(new))) =
        (attempt.place.container().as_deref(), attempt.after)
    else {
        return not_unlocked(attempt);
    };
    let old = attempt.before.and_then(Value::as_str).unwrap_or_default();
    let ((old_repository, old_tag), (repository, tag)) = (split_image(old), split_image(new));
    if repository != old_repository {
        return Err((
            Code::ForbiddenByRule,
            format!("the repository would change from {old_repository} to {repository} (rule C01)"),
        ));
    }
    let Some(tag) = tag.filter(|t| !FLOATING.contains(t)) else {
        return Err((
            Code::ForbiddenByRule,
            "a floating or empty tag (rule C02)".to_owned(),
        ));
    };
    if old_tag.is_some_and(|t| t.starts_with("sha256:")) && !tag.starts_with("sha256:") {
        return Err((
            Code::ForbiddenByRule,
            "a digest is never replaced by a tag (rule C02)".to_owned(),
        ));
    }
    if was_good(
        attempt.case,
        &attempt.edit.object,
        &attempt.edit.path,
        &Value::String(new.clone()),
    ) || runs_somewhere(attempt, new)
    {
        return Ok(Verdict::Human("C02"));
    }
    bounds(format!(
        "nothing proves that {new} exists: no earlier revision and no running container has it"
    ))
}

/// Whether some container in the dump runs exactly this image.
fn runs_somewhere(attempt: &Attempt<'_>, image: &str) -> bool {
    attempt.case.snapshot.of_kind("Pod").any(|pod| {
        list(&pod.value, "status.containerStatuses")
            .iter()
            .any(|s| {
                let named = s.get("image").and_then(Value::as_str) == Some(image);
                named && at(s, "state.running").is_some()
            })
    })
}

pub(super) fn pull_secret(attempt: &Attempt<'_>) -> Judged {
    let (Some(["imagePullSecrets", ..]), Some(after)) =
        (attempt.place.pod_spec().as_deref(), attempt.after)
    else {
        return not_unlocked(attempt);
    };
    let namespace = attempt.manifest.object.namespace();
    let mut names: Vec<&str> = list_or_one(after)
        .iter()
        .filter_map(|v| v.get("name").and_then(Value::as_str).or_else(|| v.as_str()))
        .collect();
    names.dedup();
    if names.is_empty()
        || !names
            .iter()
            .all(|n| exists(attempt.case, "Secret", namespace, n))
    {
        return bounds("the pull secret is not known to exist");
    }
    Ok(Verdict::Human("B04"))
}
