//! Evidence from Git: the manifest, what changed in it, and what ran before.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::difference;
use super::redact::Redactor;
use super::{Draft, referenced, yaml};
use crate::case::{Case, Earlier};
use crate::lock::known_good;
use crate::object::{Object, ObjectRef};

pub(super) fn drafts(case: &Case<'_>, redactor: &Redactor) -> Vec<Draft> {
    let mut out = Vec::new();
    out.extend(manifests(case, redactor));
    out.extend(changes(case, redactor));
    out.extend(known_to_work(case, redactor));
    out
}

/// The failing object as Git defines it, then the objects that the finding names.
fn manifests(case: &Case<'_>, redactor: &Redactor) -> Vec<Draft> {
    let mut wanted = vec![case.finding.object.clone()];
    wanted.extend(case.finding.related.iter().take(4).cloned());
    wanted.extend(configurations(case));
    let mut shown = BTreeSet::new();
    let mut out = Vec::new();
    for (i, object) in wanted.iter().enumerate() {
        let Some(desired) = case.desired(object).filter(|_| shown.insert(object)) else {
            continue;
        };
        let rendered = desired.root.as_ref().map_or(String::new(), |root| {
            format!(", rendered by the kustomization in {root}")
        });
        let title = format!("manifest of {object} in {}{rendered}", desired.file);
        let text = yaml(&desired.object.value, redactor);
        let first = i == 0;
        let cap = if first { super::MAX_ITEM } else { 1_500 };
        out.push(Draft::new(if first { 2 } else { 6 }, title, text).cap(cap));
    }
    if out.is_empty() {
        out.extend(live(case, redactor));
    }
    out
}

/// The ConfigMaps that the pods read: what an application complains about is often in one.
fn configurations(case: &Case<'_>) -> Vec<ObjectRef> {
    let namespace = case.finding.object.namespace.as_deref();
    let spec = case.manifest().and_then(|d| d.object.pod_spec());
    let names = spec.map(|s| referenced(s, "ConfigMap")).unwrap_or_default();
    names
        .iter()
        .map(|name| ObjectRef::new("v1", "ConfigMap", namespace, name))
        .filter(|object| case.desired(object).is_some())
        .take(3)
        .collect()
}

/// The spec that the cluster has, when Git has none.
fn live(case: &Case<'_>, redactor: &Redactor) -> Option<Draft> {
    let object = case.snapshot.get(&case.finding.object)?;
    let mut value = object.value.clone();
    value.as_object_mut().map(|m| m.shift_remove("status"));
    let title = format!("{} as the cluster has it", object.reference());
    Some(Draft::new(2, title, yaml(&value, redactor)))
}

/// Who changed what, newest first.
fn changes(case: &Case<'_>, redactor: &Redactor) -> Vec<Draft> {
    let mut out = Vec::new();
    let named = std::iter::once(&case.finding.object).chain(case.finding.related.iter().take(4));
    for object in named {
        let Some(now) = case.desired(object) else {
            continue;
        };
        let mut newer = &now.object;
        for earlier in case.earlier_of(object).into_iter().take(3) {
            out.extend(change(object, earlier, newer, redactor));
            newer = &earlier.object;
        }
    }
    out.truncate(4);
    out
}

fn change(
    object: &ObjectRef,
    earlier: &Earlier,
    newer: &Object,
    redactor: &Redactor,
) -> Option<Draft> {
    let (old, new) = (
        redactor.object(&earlier.object.value),
        redactor.object(&newer.value),
    );
    let differing = difference::fields(&old, &new);
    if differing.is_empty() {
        return None;
    }
    let commit = &earlier.replaced_by;
    let id: String = commit.id.chars().take(10).collect();
    let time = commit.time.map_or(String::new(), |t| format!(" at {t}"));
    let title = format!("change of {object} in Git by commit {id}");
    let text = format!(
        "author: {}{time}\nsubject: {}\n{}",
        commit.author,
        commit.subject,
        difference::lines(&differing)
    );
    Some(Draft::new(4, title, text).cap(2_000))
}

/// Earlier revisions that worked, as differences to what Git wants now.
fn known_to_work(case: &Case<'_>, redactor: &Redactor) -> Option<Draft> {
    let object = &case.finding.object;
    let now = case
        .manifest()
        .map(|d| &d.object)
        .or_else(|| case.snapshot.get(object))?;
    let now = template(&redactor.object(&now.value))?;
    let mut text = String::new();
    for good in known_good(case, object).into_iter().take(3) {
        // Git's own earlier versions are told commit by commit.
        let from_git = good.basis.starts_with("Git ");
        let Some(then) = template(&redactor.object(&good.object)).filter(|_| !from_git) else {
            continue;
        };
        let lines = difference::lines(&difference::fields(&then, &now));
        let lines = if lines.is_empty() {
            "no difference to the manifest\n".to_owned()
        } else {
            lines
        };
        text.push_str(&format!("{} -> now:\n{lines}", good.basis));
    }
    let title = format!("earlier revisions of {object} in the cluster");
    Some(Draft::new(4, title, text).cap(2_000))
}

/// Only the pod template, under its path, without what the API server fills in.
fn template(object: &Value) -> Option<Value> {
    let spec = object.pointer("/spec/template/spec")?;
    let mut spec = spec.clone();
    drop_defaults(&mut spec, 0);
    let template = Map::from_iter([("spec".to_owned(), spec)]);
    let inner = Map::from_iter([("template".to_owned(), Value::Object(template))]);
    Some(Value::Object(Map::from_iter([(
        "spec".to_owned(),
        Value::Object(inner),
    )])))
}

/// Removes fields with the value that the API server gives them when a manifest has none.
fn drop_defaults(value: &mut Value, depth: usize) {
    const DEFAULTS: &[(&str, &str)] = &[
        ("terminationMessagePath", "/dev/termination-log"),
        ("terminationMessagePolicy", "File"),
        ("imagePullPolicy", "IfNotPresent"),
        ("imagePullPolicy", "Always"),
        ("dnsPolicy", "ClusterFirst"),
        ("restartPolicy", "Always"),
        ("schedulerName", "default-scheduler"),
        ("protocol", "TCP"),
        ("scheme", "HTTP"),
        ("terminationGracePeriodSeconds", "30"),
        ("successThreshold", "1"),
        ("failureThreshold", "3"),
        ("periodSeconds", "10"),
        ("timeoutSeconds", "1"),
        ("defaultMode", "420"),
        ("resources", "{}"),
        ("securityContext", "{}"),
        ("creationTimestamp", "null"),
    ];
    if depth > 64 {
        return;
    }
    match value {
        Value::Object(map) => {
            map.retain(|key, v| {
                // The old name of serviceAccountName, which the server fills in beside it.
                if key == "serviceAccount" {
                    return false;
                }
                let text = v.as_str().map_or_else(|| v.to_string(), str::to_owned);
                !DEFAULTS.contains(&(key.as_str(), text.as_str()))
            });
            map.values_mut().for_each(|v| drop_defaults(v, depth + 1));
        }
        Value::Array(items) => items.iter_mut().for_each(|v| drop_defaults(v, depth + 1)),
        _ => {}
    }
}
