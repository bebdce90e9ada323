//! Claims and storage classes.

use super::{bounds, not_unlocked};
use crate::code::Code;
use crate::lock::Attempt;
use crate::lock::Judged;
use crate::lock::Verdict;
use crate::lock::facts::exists;
use crate::object::Object;
use crate::object::at;
use crate::quantity::Quantity;
use serde_json::Value;

pub(super) fn storage_class(attempt: &Attempt<'_>) -> Judged {
    let object = &attempt.manifest.object;
    match (object.kind(), attempt.place.object().as_deref()) {
        ("PersistentVolumeClaim", Some(["spec", "storageClassName"])) => {
            class_of_unbound(attempt, &[object.name().to_owned()])
        }
        (
            "StatefulSet",
            Some(
                [
                    "spec",
                    "volumeClaimTemplates",
                    "*",
                    "spec",
                    "storageClassName",
                ],
            ),
        ) => class_of_unbound(attempt, &claims_of_template(attempt)),
        ("PersistentVolumeClaim", Some(["spec", "resources", "requests", "storage"])) => {
            let (Some(old), Some(new)) = (
                attempt.before.and_then(Quantity::of),
                attempt.after.and_then(Quantity::of),
            ) else {
                return not_unlocked(attempt);
            };
            if new <= old || new > old.times(2) {
                return bounds("storage grows at most twice (rule G12)");
            }
            Ok(Verdict::Human("G12"))
        }
        _ => not_unlocked(attempt),
    }
}

fn claims_of_template(attempt: &Attempt<'_>) -> Vec<String> {
    let template = attempt.edit.path.0.iter().find_map(|s| match s {
        crate::path::Seg::Named { value, .. } => Some(value.clone()),
        // a template's name is in its metadata, so plays name it by position
        crate::path::Seg::Index(index) => {
            let templates = attempt.manifest.object.list("spec.volumeClaimTemplates");
            let name = at(templates.get(*index)?, "metadata.name")?;
            name.as_str().map(str::to_owned)
        }
        crate::path::Seg::Key(_) => None,
    });
    let prefix = format!(
        "{}-{}-",
        template.unwrap_or_default(),
        attempt.manifest.object.name()
    );
    let claims = attempt
        .case
        .snapshot
        .in_namespace("PersistentVolumeClaim", attempt.manifest.object.namespace());
    claims
        .iter()
        .filter(|c| c.name().starts_with(&prefix))
        .map(|c| c.name().to_owned())
        .collect()
}

fn class_of_unbound(attempt: &Attempt<'_>, claims: &[String]) -> Judged {
    let namespace = attempt.manifest.object.namespace();
    let bound = claims.iter().any(|name| {
        let claim = attempt
            .case
            .snapshot
            .find("PersistentVolumeClaim", namespace, name);
        claim.is_some_and(|c| {
            c.str("status.phase") == Some("Bound")
                || c.str("spec.volumeName").is_some_and(|v| !v.is_empty())
        })
    });
    if bound {
        return Err((
            Code::BlockedImmutable,
            "a claim is bound: its storage class is immutable (rule G12)".to_owned(),
        ));
    }
    let old = attempt.before.and_then(Value::as_str);
    if old.is_some_and(|o| !o.is_empty() && exists(attempt.case, "StorageClass", None, o)) {
        return bounds("the storage class exists: it is not what is wrong");
    }
    let is_default =
        |c: &Object| c.annotation("storageclass.kubernetes.io/is-default-class") == Some("true");
    let fits = match attempt.after.and_then(Value::as_str) {
        Some(new) => exists(attempt.case, "StorageClass", None, new),
        None => attempt
            .case
            .snapshot
            .of_kind("StorageClass")
            .any(is_default),
    };
    if !fits {
        return bounds("the new storage class is not known to exist");
    }
    Ok(Verdict::Human("G12"))
}

pub(super) fn claim_name(attempt: &Attempt<'_>) -> Judged {
    let Some(["volumes", "*", "persistentVolumeClaim", "claimName"]) =
        attempt.place.pod_spec().as_deref()
    else {
        return not_unlocked(attempt);
    };
    let namespace = attempt.manifest.object.namespace();
    let old = attempt.before.and_then(Value::as_str).unwrap_or_default();
    let new = attempt.after.and_then(Value::as_str).unwrap_or_default();
    if exists(attempt.case, "PersistentVolumeClaim", namespace, old) {
        return Err((
            Code::ForbiddenByRule,
            format!("claim {old} exists: claims are not swapped (rule L01)"),
        ));
    }
    if !exists(attempt.case, "PersistentVolumeClaim", namespace, new) {
        return bounds(format!("claim {new} is not known to exist"));
    }
    Ok(Verdict::Human("L01"))
}
