//! Kustomizations that the current kustomize does not read.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::{Answer, Fault, Fix, dir, finding, is_render, join, text};
use crate::code::{Code, Refusal};
use crate::detect::manifest::complaint::Complaint;
use crate::edit::FileEdit;
use crate::files::Files;
use crate::finding::Class;
use crate::manifest;
use crate::near;
use crate::object::{Object, ObjectRef, list};
use crate::path::{FieldPath, Seg};
use crate::propose::{Claim, Op};
use crate::schema;

const NAMES: [&str; 3] = ["kustomization.yaml", "kustomization.yml", "Kustomization"];
/// The most files that one root is followed through.
const MAX_FILES: usize = 500;

/// The faults of every root that the complaints or the renderer name.
pub(super) fn faults(files: &Files, complaints: &[Complaint], broken: &[String]) -> Vec<Fault> {
    let complaint = complaints.iter().find(|c| is_render(c));
    if complaint.is_none() && broken.is_empty() {
        return Vec::new();
    }
    let mut out = Vec::new();
    for path in roots(files) {
        let named =
            broken.iter().any(|b| b == dir(&path)) || (broken.is_empty() && complaint.is_some());
        if named {
            out.extend(Root::new(files, &path).fault(complaint));
        }
    }
    out
}

/// Kustomizations that no other one includes.
fn roots(files: &Files) -> Vec<String> {
    let all: Vec<String> = files
        .by_path
        .keys()
        .filter(|p| is_kustomization(p))
        .cloned()
        .collect();
    let included: BTreeSet<String> = all
        .iter()
        .flat_map(|path| {
            let value = read(files, path).unwrap_or_default();
            let at = dir(path).to_owned();
            entries(&value)
                .into_iter()
                .filter_map(move |(_, e)| join(&at, &e))
                .collect::<Vec<_>>()
        })
        .collect();
    all.into_iter()
        .filter(|p| !included.contains(dir(p)))
        .collect()
}

fn is_kustomization(path: &str) -> bool {
    NAMES.contains(&path.rsplit('/').next().unwrap_or_default())
}

fn read(files: &Files, path: &str) -> Option<Value> {
    read_with_place(files, path).map(|(_, value)| value)
}

/// The first document that is not empty, and its number.
fn read_with_place(files: &Files, path: &str) -> Option<(usize, Value)> {
    let text = text(files, path)?;
    manifest::split(text)
        .iter()
        .enumerate()
        .find_map(|(i, slice)| match manifest::read_value(slice.of(text)) {
            Ok(Value::Null) => None,
            read => Some(read.ok().map(|value| (i, value))),
        })?
}

/// What a kustomization includes as resources, with the field.
fn entries(value: &Value) -> Vec<(FieldPath, String)> {
    let mut out = Vec::new();
    for field in ["resources", "bases", "components"] {
        for (i, item) in list(value, field).iter().enumerate() {
            if let Some(entry) = item.as_str() {
                out.push((FieldPath::keys([field]).index(i), entry.to_owned()));
            }
        }
    }
    out
}

/// The files that a kustomization patches with.
fn patch_files(value: &Value) -> Vec<(FieldPath, String)> {
    let mut out = Vec::new();
    for field in ["patches", "patchesStrategicMerge", "patchesJson6902"] {
        for (i, item) in list(value, field).iter().enumerate() {
            let at = FieldPath::keys([field]).index(i);
            match (item.as_str(), item.get("path").and_then(Value::as_str)) {
                (Some(path), _) if !path.contains('\n') => out.push((at, path.to_owned())),
                (None, Some(path)) => out.push((at.key("path"), path.to_owned())),
                _ => {}
            }
        }
    }
    out
}

fn is_remote(entry: &str) -> bool {
    entry.contains("://")
        || entry.contains("?ref=")
        || entry.starts_with("git@")
        || entry.contains(".com/")
}

/// One root and everything that it reads.
struct Root<'f> {
    files: &'f Files,
    path: String,
    edits: BTreeMap<String, Vec<FileEdit>>,
    claims: Vec<String>,
    doubts: Vec<String>,
    after: Vec<String>,
    seen: BTreeSet<String>,
}

impl<'f> Root<'f> {
    fn new(files: &'f Files, path: &str) -> Self {
        Self {
            files,
            path: path.to_owned(),
            edits: BTreeMap::new(),
            claims: Vec::new(),
            doubts: Vec::new(),
            after: Vec::new(),
            seen: BTreeSet::new(),
        }
    }

    fn fault(mut self, complaint: Option<&Complaint>) -> Option<Fault> {
        let path = self.path.clone();
        self.kustomization(&path);
        if self.claims.is_empty() && self.doubts.is_empty() {
            return None;
        }
        let name = if dir(&path).is_empty() {
            "."
        } else {
            dir(&path)
        };
        let object = ObjectRef::new(
            "kustomize.config.k8s.io/v1beta1",
            "Kustomization",
            None,
            name,
        );
        let first = self
            .claims
            .first()
            .or(self.doubts.first())
            .cloned()
            .unwrap_or_default();
        let finding = finding(
            Class::RenderError,
            object,
            format!("{path} cannot be built: {first}"),
            complaint,
        );
        let answer = self.answer(complaint);
        Some(Fault { finding, answer })
    }

    fn answer(self, complaint: Option<&Complaint>) -> Answer {
        let said = complaint.map(|c| format!("The tool says: {}", c.text));
        if !self.doubts.is_empty() || self.edits.is_empty() {
            let all = said
                .into_iter()
                .chain(self.claims)
                .chain(self.doubts)
                .collect::<Vec<_>>();
            return Answer::Refuse(Refusal::new(Code::RenderFailed, all.join(". ")));
        }
        let diagnosis = said
            .into_iter()
            .chain(self.claims)
            .map(Claim::fact)
            .collect();
        Answer::Fix(Box::new(Fix {
            title: format!("Make {} readable for the current kustomize", self.path),
            diagnosis,
            reason: "The current kustomize does not read the old form. The new form means the same: file names become path entries, bases become resources, and removed API versions become the ones that replace them.".to_owned(),
            after_merge: self.after,
            root: dir(&self.path).to_owned(),
            edits: self.edits,
        }))
    }

    fn edit(
        &mut self,
        file: &str,
        document: usize,
        path: FieldPath,
        op: Op,
        expected: Option<Value>,
    ) {
        let edit = FileEdit {
            document,
            path,
            op,
            expected,
            inner: None,
        };
        let list = self.edits.entry(file.to_owned()).or_default();
        if !list.contains(&edit) {
            list.push(edit);
        }
    }

    /// An edit of a kustomization, in its only document.
    fn amend(&mut self, path: &str, at: FieldPath, op: Op, expected: Option<Value>) {
        let document = read_with_place(self.files, path).map_or(0, |(i, _)| i);
        self.edit(path, document, at, op, expected);
    }

    fn kustomization(&mut self, path: &str) {
        if self.seen.len() >= MAX_FILES || !self.seen.insert(path.to_owned()) {
            return;
        }
        let value = match self.files.get(path).map(|_| read(self.files, path)) {
            Some(Some(value)) => value,
            Some(None) => return self.doubts.push(format!("{path} is no valid YAML")),
            None => return,
        };
        self.unknown_fields(path, &value);
        self.legacy_patches(path, &value);
        self.legacy_bases(path, &value);
        for (at, entry) in entries(&value) {
            self.included(path, &at, &entry);
        }
        for (at, entry) in patch_files(&value) {
            if let Some(file) = self.existing(path, &at, &entry) {
                self.documents(&file, true);
            }
        }
    }

    /// A mistyped field of the kustomization itself.
    fn unknown_fields(&mut self, path: &str, value: &Value) {
        for (key, inner) in value.as_object().into_iter().flatten() {
            if FIELDS.contains(&key.as_str()) {
                continue;
            }
            let free = FIELDS.iter().copied().filter(|f| value.get(*f).is_none());
            match schema::nearest(key, free) {
                Some(right) => {
                    self.claims.push(format!(
                        "{path} has a field {key}, which kustomize does not know; it is {right}"
                    ));
                    self.amend(
                        path,
                        FieldPath::default().key(key),
                        Op::Remove,
                        Some(inner.clone()),
                    );
                    self.amend(path, FieldPath::keys([right]), Op::Add(inner.clone()), None);
                }
                None => self.doubts.push(format!(
                    "{path} has a field {key}, which kustomize does not know"
                )),
            }
        }
    }

    /// `patches: [file.yaml]` became `patches: [{path: file.yaml}]`.
    fn legacy_patches(&mut self, path: &str, value: &Value) {
        for (i, item) in list(value, "patches").iter().enumerate() {
            let Some(entry) = item.as_str() else { continue };
            let file = join(dir(path), entry).filter(|f| self.files.get(f).is_some());
            let Some(file) = file else {
                if !entry.contains('\n') {
                    self.doubts.push(format!(
                        "patches[{i}] of {path} is {entry:?}, and there is no such file"
                    ));
                }
                continue;
            };
            self.claims.push(format!("patches[{i}] of {path} is the file name {entry:?}; kustomize reads a mapping there: path: {entry}"));
            let at = FieldPath::keys(["patches"]).index(i);
            self.amend(
                path,
                at,
                Op::Set(json!({ "path": entry })),
                Some(item.clone()),
            );
            self.effects(&file);
        }
    }

    /// `bases` became `resources`, behind what is there.
    fn legacy_bases(&mut self, path: &str, value: &Value) {
        let bases = list(value, "bases");
        if bases.is_empty() {
            return;
        }
        self.claims.push(format!(
            "{path} names {} under bases, a field that is deprecated in favour of resources",
            joined(bases)
        ));
        self.amend(
            path,
            FieldPath::keys(["bases"]),
            Op::Remove,
            Some(json!(bases)),
        );
        let resources = list(value, "resources");
        if value.get("resources").is_none_or(Value::is_null) {
            self.amend(
                path,
                FieldPath::keys(["resources"]),
                Op::Add(json!(bases)),
                None,
            );
            return;
        }
        for (i, base) in bases.iter().enumerate() {
            let at = FieldPath::keys(["resources"]).index(resources.len() + i);
            self.amend(path, at, Op::Add(base.clone()), None);
        }
    }

    fn included(&mut self, path: &str, at: &FieldPath, entry: &str) {
        if is_remote(entry) {
            return;
        }
        let Some(target) = self.existing(path, at, entry) else {
            return;
        };
        if self.files.get(&target).is_some() {
            return self.documents(&target, false);
        }
        let inner = NAMES
            .iter()
            .map(|n| format!("{target}/{n}"))
            .find(|p| self.files.get(p).is_some());
        let here = NAMES
            .iter()
            .copied()
            .find(|n| target.is_empty() && self.files.get(n).is_some());
        match inner.or_else(|| here.map(str::to_owned)) {
            Some(next) => self.kustomization(&next),
            None => self.doubts.push(format!(
                "{at} of {path} is the directory {entry:?}, which has no kustomization"
            )),
        }
    }

    /// The file or directory that an entry names, or its only near namesake.
    fn existing(&mut self, path: &str, at: &FieldPath, entry: &str) -> Option<String> {
        let target = join(dir(path), entry)?;
        let is_dir = |d: &str| {
            self.files
                .by_path
                .keys()
                .any(|p| d.is_empty() || p.starts_with(&format!("{d}/")))
        };
        if self.files.get(&target).is_some() || is_dir(&target) {
            return Some(target);
        }
        let near = self.namesake(&target, path);
        match near {
            Some(right) => {
                let (old, new) = (file_name(&target), file_name(&right).to_owned());
                let entry_now = format!("{}{new}", entry.strip_suffix(old).unwrap_or_default());
                self.claims.push(format!("{at} of {path} is {entry:?}, and there is no such file; {right} is the only one of nearly that name"));
                self.amend(
                    path,
                    at.clone(),
                    Op::Set(json!(entry_now)),
                    Some(json!(entry)),
                );
                Some(right)
            }
            None => {
                self.doubts.push(format!(
                    "{at} of {path} is {entry:?}, and there is no such file or directory"
                ));
                None
            }
        }
    }

    /// A file of the same directory that a slip turns into `target`, and that nothing else names.
    fn namesake(&self, target: &str, path: &str) -> Option<String> {
        let value = read(self.files, path).unwrap_or_default();
        let named: BTreeSet<String> = entries(&value)
            .into_iter()
            .chain(patch_files(&value))
            .filter_map(|(_, e)| join(dir(path), &e))
            .collect();
        let free: Vec<&str> = self
            .files
            .by_path
            .keys()
            .filter(|p| dir(p) == dir(target) && !named.contains(*p) && !is_kustomization(p))
            .map(|p| file_name(p))
            .collect();
        let wanted = file_name(target);
        let stem = |n: &str| n.rsplit_once('.').map(|(s, _)| s.to_owned());
        let same_stem: Vec<&&str> = free
            .iter()
            .filter(|n| stem(n).is_some() && stem(n) == stem(wanted))
            .collect();
        let found = match same_stem.as_slice() {
            [only] => Some(**only),
            _ => near::misspelled(wanted, free.iter().copied()),
        }?;
        join(dir(target), found)
    }

    /// Removed API versions in a file that the root reads.
    fn documents(&mut self, file: &str, patch: bool) {
        if self.seen.len() >= MAX_FILES || !self.seen.insert(format!("{file}#{patch}")) {
            return;
        }
        let files = self.files;
        let Some(text) = text(files, file) else {
            return;
        };
        for (i, slice) in manifest::split(text).iter().enumerate() {
            let Ok(value) = manifest::read_value(slice.of(text)) else {
                continue;
            };
            let Some(object) = Object::new(value) else {
                continue;
            };
            self.removed_version(file, i, &object, patch);
        }
    }

    fn removed_version(&mut self, file: &str, document: usize, object: &Object, patch: bool) {
        let Some(converted) = schema::convert(object) else {
            return;
        };
        // a patch holds only a part, so nothing is missing in it
        if !patch && !converted.open.is_empty() {
            return self.doubts.extend(
                converted
                    .open
                    .iter()
                    .map(|o| format!("{} in {file}: {o}", object.reference())),
            );
        }
        self.after
            .extend(converted.notes.iter().filter(|_| !patch).cloned());
        for step in converted.moves {
            let is_version = step.path == FieldPath::keys(["apiVersion"]);
            if patch
                && !is_version
                && step
                    .path
                    .starts_with(&FieldPath::keys(["spec", "selector"]))
            {
                continue;
            }
            if is_version {
                self.claims
                    .push(format!("{} in {file}: {}", object.reference(), step.why));
            }
            let before = step.path.get(&object.value).cloned();
            self.edit(file, document, step.path, step.op, before);
        }
    }

    /// What a patch sets that had no effect as long as nothing rendered.
    fn effects(&mut self, file: &str) {
        let files = self.files;
        let Some(text) = text(files, file) else {
            return;
        };
        for slice in manifest::split(text) {
            let Ok(value) = manifest::read_value(slice.of(text)) else {
                continue;
            };
            let mut leaves = Vec::new();
            leaves_of(&value, &FieldPath::default(), &mut leaves);
            let leaves: Vec<String> = leaves
                .into_iter()
                .filter(|(p, _)| matches!(p.0.first(), Some(Seg::Key(k)) if k != "apiVersion" && k != "kind" && k != "metadata"))
                .filter(|(p, _)| !matches!(p.0.last(), Some(Seg::Key(k)) if k == "name"))
                .map(|(p, v)| format!("{p} = {v}"))
                .take(12)
                .collect();
            if !leaves.is_empty() {
                self.after.push(format!(
                    "{file} takes effect once the root renders; check that you want {}",
                    leaves.join(", ")
                ));
            }
        }
    }
}

fn leaves_of(value: &Value, at: &FieldPath, out: &mut Vec<(FieldPath, String)>) {
    if out.len() >= 40 || at.0.len() > 40 {
        return;
    }
    match value {
        Value::Object(map) => map.iter().for_each(|(k, v)| leaves_of(v, &at.key(k), out)),
        Value::Array(items) if items.iter().any(Value::is_object) => {
            items
                .iter()
                .enumerate()
                .for_each(|(i, v)| leaves_of(v, &at.index(i), out));
        }
        leaf => out.push((at.clone(), leaf.to_string().chars().take(80).collect())),
    }
}

fn file_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or_default()
}

fn joined(items: &[Value]) -> String {
    items
        .iter()
        .filter_map(Value::as_str)
        .collect::<Vec<_>>()
        .join(", ")
}

/// The fields of a Kustomization or Component, with those that are only deprecated.
const FIELDS: &[&str] = &[
    "apiVersion",
    "kind",
    "metadata",
    "openapi",
    "namePrefix",
    "nameSuffix",
    "namespace",
    "commonLabels",
    "labels",
    "commonAnnotations",
    "patchesStrategicMerge",
    "patchesJson6902",
    "patches",
    "images",
    "imageTags",
    "replacements",
    "replicas",
    "vars",
    "sortOptions",
    "resources",
    "components",
    "crds",
    "bases",
    "configMapGenerator",
    "secretGenerator",
    "helmGlobals",
    "helmCharts",
    "helmChartInflationGenerator",
    "generatorOptions",
    "configurations",
    "generators",
    "transformers",
    "validators",
    "buildMetadata",
    "inventory",
];
