//! References to ConfigMaps and Secrets, and the content of mounted files.

use super::{bounds, not_unlocked};
use crate::code::Code;
use crate::lock::Attempt;
use crate::lock::Judged;
use crate::lock::Verdict;
use crate::lock::facts::{find, was_good};
use crate::lock::hygiene;
use crate::object::Object;
use serde_json::Value;

pub(super) fn config_reference(attempt: &Attempt<'_>) -> Judged {
    if config_place(attempt).is_none() {
        return config_content(attempt);
    }
    let namespace = attempt.manifest.object.namespace();
    let base = attempt
        .edit
        .path
        .split_last()
        .map(|(p, _)| p)
        .unwrap_or_default();
    let whole = base.get(&attempt.result.value);
    let field = |key: &str| whole.and_then(|w| w.get(key)).and_then(Value::as_str);
    let name = field("name")
        .or_else(|| name_of_items(attempt, &base))
        .or_else(|| {
            attempt
                .after
                .and_then(|v| v.get("name"))
                .and_then(Value::as_str)
        });
    let Some(config) = name.and_then(|n| find(attempt.case, "ConfigMap", namespace, n)) else {
        return bounds("the ConfigMap is not known to exist");
    };
    if let Some(key) = field("key") {
        let has = ["data", "binaryData"]
            .iter()
            .any(|d| config.map(d).is_some_and(|m| m.contains_key(key)));
        let unseen = config.map("data").is_none() && config.map("binaryData").is_none();
        if !has && !unseen {
            return bounds(format!("ConfigMap {} has no key {key}", config.name()));
        }
    }
    Ok(Verdict::Human("MissingConfig"))
}

/// The ConfigMap of a volume, for the path of one of its items.
fn name_of_items<'a>(attempt: &'a Attempt<'_>, item: &crate::path::FieldPath) -> Option<&'a str> {
    let (items, _) = item.split_last()?;
    let (source, _) = items.split_last()?;
    source.key("name").get(&attempt.result.value)?.as_str()
}

fn config_place(attempt: &Attempt<'_>) -> Option<()> {
    let container = attempt.place.container();
    let pod = attempt.place.pod_spec();
    let fits = matches!(
        container.as_deref(),
        Some(
            ["env", "*", "valueFrom", "configMapKeyRef", "name" | "key"]
                | ["envFrom", "*", "configMapRef", "name"]
        )
    ) || matches!(
        pod.as_deref(),
        Some(["volumes", "*", "configMap", "name" | "items", ..])
    );
    fits.then_some(())
}

pub(super) fn secret_reference(attempt: &Attempt<'_>) -> Judged {
    let Some(
        [
            "env",
            "*",
            "valueFrom",
            "secretKeyRef",
            part @ ("name" | "key"),
        ],
    ) = attempt
        .place
        .container()
        .as_deref()
        .map(<[&str]>::to_vec)
        .as_deref()
        .map(|w| <&[&str; 5]>::try_from(w).ok())
        .and_then(|w| w.copied())
    else {
        return not_unlocked(attempt);
    };
    let base = attempt
        .edit
        .path
        .split_last()
        .map(|(p, _)| p)
        .unwrap_or_default();
    let whole = base.get(&attempt.result.value);
    let field = |key: &str| {
        whole
            .and_then(|w| w.get(key))
            .and_then(Value::as_str)
            .unwrap_or_default()
    };
    let namespace = attempt.manifest.object.namespace();
    let Some(secret) = find(attempt.case, "Secret", namespace, field("name")) else {
        return bounds(format!(
            "Secret {} is not known to exist ({part} changed)",
            field("name")
        ));
    };
    let has = ["data", "stringData"]
        .iter()
        .any(|d| secret.map(d).is_some_and(|m| m.contains_key(field("key"))));
    if !has {
        return bounds(format!(
            "Secret {} has no key {}",
            secret.name(),
            field("key")
        ));
    }
    Ok(Verdict::Human("B08"))
}

pub(super) fn config_content(attempt: &Attempt<'_>) -> Judged {
    let (Some(["data", key]), Some(new)) = (
        attempt
            .place
            .object()
            .as_deref()
            .and_then(|w| <[&str; 2]>::try_from(w).ok()),
        attempt.after.and_then(Value::as_str),
    ) else {
        return not_unlocked(attempt);
    };
    if attempt.manifest.object.kind() != "ConfigMap" {
        return not_unlocked(attempt);
    }
    if attempt.manifest.object.get("immutable") == Some(&Value::Bool(true)) {
        return Err((
            Code::ForbiddenByRule,
            "the ConfigMap is immutable (rule B13)".to_owned(),
        ));
    }
    let old = attempt.before.and_then(Value::as_str).unwrap_or_default();
    if is_script(key, new) || is_script(key, old) || hygiene::adds_a_command(old, new) {
        return Err((
            Code::ForbiddenByRule,
            "scripts and executable configuration are never changed (rule C12)".to_owned(),
        ));
    }
    content_bounds(key, old, new)?;
    content_follows(attempt, old, new)?;
    Ok(Verdict::Human("C12"))
}

/// A new value follows from facts: the file did not parse before, an earlier version had it, or it
/// names a Service that exists.
fn content_follows(attempt: &Attempt<'_>, old: &str, new: &str) -> Result<(), (Code, String)> {
    let parses = |text: &str| serde_json::from_str::<Value>(text).is_ok();
    let repaired = !parses(old) && parses(new);
    let edit = attempt.edit;
    let was = attempt
        .after
        .is_some_and(|v| was_good(attempt.case, &edit.object, &edit.path, v));
    let services: Vec<&str> = attempt
        .case
        .snapshot
        .of_kind("Service")
        .chain(
            attempt
                .case
                .desired
                .iter()
                .map(|d| &d.object)
                .filter(|o| o.kind() == "Service"),
        )
        .filter(|s| s.namespace() == attempt.manifest.object.namespace())
        .map(Object::name)
        .collect();
    let old_lines: Vec<&str> = old
        .lines()
        .map(|l| l.trim().trim_end_matches(','))
        .collect();
    let added = new
        .lines()
        .map(|l| l.trim().trim_end_matches(','))
        .filter(|l| !old_lines.contains(l));
    let names_service = |line: &str| {
        let mut words = line.split(|c: char| !(c.is_ascii_alphanumeric() || c == '-'));
        words.any(|w| services.contains(&w))
    };
    if repaired || was || added.clone().count() > 0 && added.clone().all(names_service) {
        return Ok(());
    }
    Err((
        Code::OutOfBounds,
        "nothing in the cluster or in Git says that this value is right".to_owned(),
    ))
}

fn is_script(key: &str, text: &str) -> bool {
    text.contains("#!")
        || [".sh", ".lua", ".py", ".js", ".pl", ".rb"]
            .iter()
            .any(|end| key.ends_with(end))
        || text.contains("_by_lua")
}

/// At most one entry of a JSON file, or one line of any other, may differ.
fn content_bounds(key: &str, old: &str, new: &str) -> Result<(), (Code, String)> {
    let outside = |reason: &str| Err((Code::OutOfBounds, reason.to_owned()));
    let json = |t: &str| serde_json::from_str::<Value>(t).ok();
    let looks_json =
        key.ends_with(".json") || matches!(old.trim_start().chars().next(), Some('{' | '['));
    if looks_json {
        let Some(after) = json(new) else {
            return outside("the file would not parse as JSON");
        };
        return match json(old) {
            Some(before) if differing_leaves(&before, &after) > 1 => {
                outside("more than one key of the file would change")
            }
            _ => Ok(()),
        };
    }
    let (a, b): (Vec<&str>, Vec<&str>) = (old.lines().collect(), new.lines().collect());
    let same_head = a.iter().zip(&b).take_while(|(x, y)| x == y).count();
    let same_tail = a
        .iter()
        .rev()
        .zip(b.iter().rev())
        .take_while(|(x, y)| x == y)
        .count();
    let changed = b
        .len()
        .saturating_sub(same_head + same_tail)
        .max(a.len().saturating_sub(same_head + same_tail));
    if changed > 1 {
        outside("more than one line of the file would change")
    } else {
        Ok(())
    }
}

fn differing_leaves(a: &Value, b: &Value) -> usize {
    match (a, b) {
        _ if a == b => 0,
        (Value::Object(x), Value::Object(y)) => {
            let null = Value::Null;
            let keys: std::collections::BTreeSet<&String> = x.keys().chain(y.keys()).collect();
            keys.into_iter()
                .map(|k| differing_leaves(x.get(k).unwrap_or(&null), y.get(k).unwrap_or(&null)))
                .sum()
        }
        (Value::Array(x), Value::Array(y)) if x.len() == y.len() => {
            x.iter().zip(y).map(|(v, w)| differing_leaves(v, w)).sum()
        }
        _ => 1,
    }
}
