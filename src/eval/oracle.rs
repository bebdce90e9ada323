//! The known answer as a proposer: measures locate, lock and edit alone. Pure.
//!
//! The difference between the repository and its known answer becomes edits of objects, as small as
//! they can be. They are untrusted like any proposal.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use crate::case::Case;
use crate::code::{Code, Refusal};
use crate::evidence::Evidence;
use crate::files::Files;
use crate::finding::{Class, Finding, Severity};
use crate::lock::row_infos;
use crate::manifest;
use crate::object::{Object, ObjectRef};
use crate::path::{FieldPath, Seg};
use crate::propose::{
    Answer, Claim, Op, Proposal, ProposeError, Proposed, ProposedEdit, Proposer, Source, Unlock,
    Usage,
};

/// The known answer as edits.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Oracle {
    /// What can be said as edits of existing objects.
    pub edits: Vec<KnownEdit>,
    /// What cannot, with the refusal that is right for it.
    pub inexpressible: Vec<Refusal>,
}

/// One field of one object that the known answer changes.
#[derive(Debug, Clone, PartialEq)]
pub struct KnownEdit {
    /// The object, as the file names it.
    pub object: ObjectRef,
    /// The field.
    pub path: FieldPath,
    /// What happens there.
    pub op: Op,
}

impl Oracle {
    /// The difference between a repository and its known answer; nothing where none is known.
    pub fn new(before: &Files, gold: &Files) -> Self {
        let mut oracle = Self::default();
        if gold.by_path.is_empty() {
            return oracle;
        }
        let names: BTreeSet<&String> = before.by_path.keys().chain(gold.by_path.keys()).collect();
        let mut old = BTreeMap::new();
        let mut new = BTreeMap::new();
        for name in names {
            let sides = (text(before, name), text(gold, name));
            if sides.0 == sides.1 {
                continue;
            }
            match (objects(name, &sides.0), objects(name, &sides.1)) {
                (Ok(a), Ok(b)) => {
                    old.extend(a);
                    new.extend(b);
                }
                (Err(refusal), _) | (_, Err(refusal)) => oracle.inexpressible.push(refusal),
            }
        }
        oracle.compare(&old, &new);
        oracle
    }

    fn compare(&mut self, old: &Objects, new: &Objects) {
        for (key, object) in old {
            match new.get(key) {
                Some(after) => {
                    let edits = differences(&object.value, &after.value);
                    let known = edits.into_iter().map(|(path, op)| KnownEdit {
                        object: object.reference(),
                        path,
                        op,
                    });
                    self.edits.extend(known);
                }
                None => self.inexpressible.push(existence(object, "is deleted")),
            }
        }
        let added = new.iter().filter(|(key, _)| !old.contains_key(*key));
        self.inexpressible
            .extend(added.map(|(_, object)| existence(object, "is new")));
    }

    /// The answer to one finding; each round claims the next rows of the allow-list that fit.
    pub fn answer(&self, case: &Case<'_>, round: usize) -> Option<Answer> {
        if let Some(refusal) = self.inexpressible.first() {
            return Some(Answer::Refuse(refusal.clone()));
        }
        if self.edits.is_empty() || !self.concerns(case) {
            return None;
        }
        let class = case.finding.class;
        let edits = self.edits.iter().map(|edit| ProposedEdit {
            object: as_rendered(case, &edit.object),
            path: edit.path.clone(),
            op: edit.op.clone(),
            unlock: unlock(class, &edit.object.kind, &edit.path, round),
            basis: "the known answer of the case".to_owned(),
        });
        Some(Answer::Fix(Proposal {
            source: Source::Oracle,
            title: format!("apply the known answer to {}", case.finding.object),
            diagnosis: vec![Claim::fact(case.finding.summary.clone())],
            reason: "the known answer of an evaluation case".to_owned(),
            risk: Severity::Medium,
            after_merge: Vec::new(),
            edits: edits.collect(),
        }))
    }

    /// Whether the answer is about this finding: about its object or one that it names, or about no
    /// object of any finding.
    fn concerns(&self, case: &Case<'_>) -> bool {
        let touches = |finding: &Finding| {
            let mut named = std::iter::once(&finding.object).chain(&finding.related);
            named.any(|o| self.edits.iter().any(|e| loosely_same(&e.object, o)))
        };
        touches(case.finding) || !case.others.iter().any(touches)
    }
}

impl Proposer for Oracle {
    fn propose(
        &self,
        case: &Case<'_>,
        _evidence: &Evidence,
        feedback: &[String],
    ) -> Result<Proposed, ProposeError> {
        Ok(Proposed {
            answer: self.answer(case, feedback.len()),
            usage: Usage::default(),
        })
    }
}

type Objects = BTreeMap<(String, Option<String>, String), Object>;

fn text(files: &Files, name: &str) -> Option<String> {
    let bytes = files.get(name)?;
    Some(String::from_utf8_lossy(bytes).into_owned())
}

/// The objects of a file by identity, or why a change of it cannot be an edit of an object.
fn objects(name: &str, text: &Option<String>) -> Result<Objects, Refusal> {
    let Some(text) = text else {
        return Ok(Objects::new());
    };
    let yaml = name.ends_with(".yaml") || name.ends_with(".yml");
    if text.contains("{{") || name.ends_with(".tpl") {
        let message = format!("the known answer changes the template {name}");
        return Err(Refusal::new(Code::BlockedTemplate, message));
    }
    if !yaml {
        let message = format!("the known answer changes {name}, which is no manifest");
        return Err(Refusal::new(Code::PathNotAllowed, message));
    }
    let mut out = Objects::new();
    for slice in manifest::split(text) {
        let value = manifest::read_value(slice.of(text))?;
        if value.is_null() {
            continue;
        }
        let object = Object::new(value).filter(|o| !o.name().is_empty());
        let object = object.ok_or_else(|| {
            let message = format!("the known answer changes {name}, which is no object");
            Refusal::new(Code::UnsupportedShape, message)
        })?;
        let r = object.reference();
        out.insert((r.kind, r.namespace, r.name), object);
    }
    Ok(out)
}

fn existence(object: &Object, how: &str) -> Refusal {
    let message = format!("{} {how} in the known answer", object.reference());
    Refusal::new(Code::BlockedNewObject, message)
}

/// The object under the name that rendering gives it, where exactly one fits.
fn as_rendered(case: &Case<'_>, object: &ObjectRef) -> ObjectRef {
    let fits = |r: &ObjectRef| loosely_same(object, r);
    let mut hits = case
        .desired
        .iter()
        .map(|d| d.object.reference())
        .filter(fits);
    match (hits.next(), hits.next()) {
        (Some(only), None) => only,
        _ => object.clone(),
    }
}

/// The same object, where a namespace that is not named fits any.
fn loosely_same(a: &ObjectRef, b: &ObjectRef) -> bool {
    let namespaces = a.namespace.is_none() || b.namespace.is_none() || a.namespace == b.namespace;
    a.kind == b.kind && a.name == b.name && namespaces
}

/// The smallest edits that make the second value of the first.
pub fn differences(before: &Value, after: &Value) -> Vec<(FieldPath, Op)> {
    let mut out = Vec::new();
    walk(before, after, &FieldPath::default(), &mut out);
    out
}

fn walk(before: &Value, after: &Value, path: &FieldPath, out: &mut Vec<(FieldPath, Op)>) {
    if before == after {
        return;
    }
    match (before, after) {
        (Value::Object(x), Value::Object(y)) if !y.is_empty() => maps(x, y, path, out),
        (Value::Array(x), Value::Array(y)) if matched_by_name(x, y) => named(x, y, path, out),
        (Value::Array(x), Value::Array(y)) if matched_by_place(x, y) => {
            for (i, (x, y)) in x.iter().zip(y).enumerate() {
                walk(x, y, &path.index(i), out);
            }
        }
        _ => out.push((path.clone(), Op::Set(after.clone()))),
    }
}

fn maps(
    x: &Map<String, Value>,
    y: &Map<String, Value>,
    path: &FieldPath,
    out: &mut Vec<(FieldPath, Op)>,
) {
    for (key, value) in x {
        match y.get(key) {
            Some(after) => walk(value, after, &path.key(key), out),
            None => out.push((path.key(key), Op::Remove)),
        }
    }
    let new = y.iter().filter(|(key, _)| !x.contains_key(*key));
    out.extend(new.map(|(key, value)| (path.key(key), Op::Add(value.clone()))));
}

/// Lists of mappings with unique names, of which one has items that the other lacks, but not both,
/// and the common ones in the same order.
fn matched_by_name(x: &[Value], y: &[Value]) -> bool {
    let (Some(x), Some(y)) = (names(x), names(y)) else {
        return false;
    };
    let common = |a: &[&str], b: &[&str]| -> Vec<String> {
        let both = a.iter().filter(|n| b.contains(n));
        both.map(|n| (*n).to_owned()).collect()
    };
    let (kept, same_order) = (common(&x, &y), common(&x, &y) == common(&y, &x));
    let one_sided = kept.len() == x.len() || kept.len() == y.len();
    // new items can only be appended
    let appended = kept.len() == y.len() || y.iter().take(kept.len()).eq(kept.iter());
    !kept.is_empty() && same_order && one_sided && appended
}

fn matched_by_place(x: &[Value], y: &[Value]) -> bool {
    x.len() == y.len() && x.iter().chain(y).all(Value::is_object)
}

fn names(list: &[Value]) -> Option<Vec<&str>> {
    let names: Vec<&str> = list
        .iter()
        .map(|item| item.get("name")?.as_str())
        .collect::<Option<_>>()?;
    let unique: BTreeSet<&&str> = names.iter().collect();
    (unique.len() == names.len()).then_some(names)
}

fn named(x: &[Value], y: &[Value], path: &FieldPath, out: &mut Vec<(FieldPath, Op)>) {
    let name = |item: &Value| item.get("name").and_then(Value::as_str).map(str::to_owned);
    for item in x {
        let at = name(item).map_or_else(|| path.clone(), |n| path.named(&n));
        match y.iter().find(|other| name(other) == name(item)) {
            Some(after) => walk(item, after, &at, out),
            None => out.push((at, Op::Remove)),
        }
    }
    let new = y
        .iter()
        .filter(|item| !x.iter().any(|o| name(o) == name(item)));
    for (i, item) in new.enumerate() {
        out.push((path.index(x.len() + i), Op::Add(item.clone())));
    }
}

/// The row of the allow-list that fits the path and serves the finding's class, in the order of
/// their precision; where none does, one that fits the path: lock will say what is wrong with it.
fn unlock(class: Class, kind: &str, path: &FieldPath, round: usize) -> Unlock {
    let rows = rows_for(kind, path);
    let serves = |unlock: &Unlock| {
        row_infos().any(|row| row.unlock == *unlock && row.classes.contains(&class))
    };
    let serving: Vec<Unlock> = rows.iter().copied().filter(serves).collect();
    let last = serving.len().saturating_sub(1);
    let chosen = serving.get(round.min(last)).or(rows.first());
    chosen.copied().unwrap_or(Unlock::InvalidManifest)
}

/// The rows that may fit a path, the more precise ones first.
fn rows_for(kind: &str, path: &FieldPath) -> Vec<Unlock> {
    use Unlock::*;
    let keys: Vec<&str> = path
        .0
        .iter()
        .filter_map(|seg| match seg {
            Seg::Key(key) => Some(key.as_str()),
            _ => None,
        })
        .collect();
    let has = |key: &str| keys.contains(&key);
    let by_path: &[Unlock] = match kind {
        _ if keys.first() == Some(&"apiVersion") => &[DeprecatedApi],
        "Service" => &[PortMismatch],
        "Ingress" => &[BackendMissing],
        "HorizontalPodAutoscaler" => &[HpaMisconfig],
        "PersistentVolumeClaim" => &[PvcPending],
        "ConfigMap" => &[ConfigContent, MissingConfig],
        _ if has("hostPort") => &[HostPortConflict],
        _ if has("resources") && has("ephemeral-storage") => &[Evicted],
        _ if has("resources") => &[
            OOMKilled,
            UnschedulableResources,
            QuotaRejected,
            HpaMisconfig,
            CpuThrottling,
        ],
        _ if keys.iter().any(|k| k.ends_with("Probe")) => &[ProbeFailure, CpuThrottling],
        _ if has("image") => &[ImagePullNotFound],
        _ if has("imagePullSecrets") => &[ImagePullAuth],
        _ if has("command") || has("args") => &[BadCommand],
        _ if has("secretKeyRef") || has("secretRef") => &[MissingSecret],
        _ if has("configMapKeyRef") || has("configMapRef") || has("configMap") => &[MissingConfig],
        _ if has("volumeClaimTemplates") => &[PvcPending],
        _ if has("claimName") => &[ClaimNotFound],
        _ if has("emptyDir") => &[Evicted],
        _ if has("nodeSelector") || has("affinity") || has("tolerations") => {
            &[UnschedulablePlacement]
        }
        _ => &[],
    };
    let general = [
        LastHealthyTemplate,
        CrashLoopAfterChange,
        InvalidManifest,
        DeprecatedApi,
    ];
    by_path.iter().copied().chain(general).collect()
}

#[cfg(test)]
mod tests;
