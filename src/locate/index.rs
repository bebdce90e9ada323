//! What each file of a repository is: a definition, a patch, a kustomization, part of a chart, or
//! nothing of ours. Broken files become problems; the rest is indexed all the same.

use std::collections::{BTreeMap, BTreeSet};

use rayon::prelude::*;
use serde_json::Value;

use super::Problem;
use super::kustomization::{
    Kustomization, Listed, NAMES, Use, any_leads_out, base_name, parent, resolve,
};
use crate::code::{Code, Refusal};
use crate::files::Files;
use crate::manifest::{self, Slice};
use crate::object::list;
use crate::path::FieldPath;

/// Files over this size are no manifests that anybody writes.
const MAX_FILE: usize = 1024 * 1024;
/// Directories whose content is not meant for a cluster.
const NOT_OURS: [&str; 5] = ["node_modules", "vendor", "testdata", ".git", ".github"];

/// One document of a file.
#[derive(Debug, Clone)]
pub(super) struct Document {
    /// Where it is in its file.
    pub(super) slice: Slice,
    /// Its content; null where it is empty or unreadable.
    pub(super) value: Value,
}

/// One object that a file defines.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Definition {
    pub(super) file: String,
    pub(super) document: usize,
    /// Where in the document: empty, or `items[3]` of a List.
    pub(super) prefix: FieldPath,
}

/// A Helm chart in the repository.
#[derive(Debug, Clone)]
pub(super) struct Chart {
    pub(super) dir: String,
    /// Kinds that its templates name, with the template file.
    pub(super) kinds: BTreeMap<String, String>,
}

/// All that a root reads.
#[derive(Debug, Clone, Default)]
pub(super) struct Closure {
    /// Its files and what they are used for.
    pub(super) files: BTreeMap<String, BTreeSet<Use>>,
    /// The directories of its kustomizations, the root first.
    pub(super) dirs: Vec<String>,
    /// Why it cannot be rendered, if its files already say so.
    pub(super) blocked: Option<Refusal>,
}

/// The repository's files, by what they are.
#[derive(Debug, Default, Clone)]
pub(super) struct Index {
    pub(super) documents: BTreeMap<String, Vec<Document>>,
    pub(super) kustomizations: BTreeMap<String, Kustomization>,
    /// Roots in order, with what they read.
    pub(super) roots: BTreeMap<String, Closure>,
    /// Definitions that no kustomization lists.
    pub(super) plain: Vec<Definition>,
    /// Definitions beside a kustomization that does not list them.
    pub(super) orphans: Vec<Definition>,
    pub(super) charts: Vec<Chart>,
    /// Kinds that a CustomResourceDefinition of this repository declares for the whole cluster.
    pub(super) cluster_kinds: BTreeSet<String>,
    /// Files that must not be edited, and why.
    pub(super) forbidden: BTreeMap<String, Refusal>,
    pub(super) problems: Vec<Problem>,
}

impl Index {
    /// Indexes all files.
    pub(super) fn new(files: &Files) -> Self {
        let mut index = Self {
            charts: charts(files),
            ..Self::default()
        };
        index.read_documents(files);
        index.read_kustomizations(files);
        index.find_roots();
        index.sort_definitions();
        index.forbid(files);
        index
    }

    /// The roots that read a file.
    pub(super) fn readers(&self, file: &str) -> Vec<String> {
        let reads = |(_, closure): &(&String, &Closure)| closure.files.contains_key(file);
        let roots = self.roots.iter().filter(reads);
        roots.map(|(root, _)| root.clone()).collect()
    }

    /// All definitions in the files that roots read as resources.
    pub(super) fn listed(&self, root: &str) -> Vec<Definition> {
        let Some(closure) = self.roots.get(root) else {
            return Vec::new();
        };
        let resources = closure
            .files
            .iter()
            .filter(|(_, uses)| uses.contains(&Use::Resource));
        resources
            .flat_map(|(file, _)| self.definitions(file))
            .collect()
    }

    /// What a file defines, were it applied as it is.
    pub(super) fn definitions(&self, file: &str) -> Vec<Definition> {
        let documents = self.documents.get(file).map_or(&[][..], Vec::as_slice);
        let of = |(i, document): (usize, &Document)| -> Vec<Definition> {
            prefixes(&document.value)
                .into_iter()
                .map(|prefix| Definition {
                    file: file.to_owned(),
                    document: i,
                    prefix,
                })
                .collect()
        };
        documents.iter().enumerate().flat_map(of).collect()
    }

    /// The object of a definition.
    pub(super) fn object(&self, definition: &Definition) -> Option<&Value> {
        let document = self.document(&definition.file, definition.document)?;
        definition.prefix.get(&document.value)
    }

    /// One document.
    pub(super) fn document(&self, file: &str, document: usize) -> Option<&Document> {
        self.documents.get(file)?.get(document)
    }

    fn read_documents(&mut self, files: &Files) {
        let wanted: Vec<(&String, &Vec<u8>)> = files
            .by_path
            .iter()
            .filter(|(path, _)| is_yaml(path) && self.chart_template(path).is_none())
            .collect();
        let read: Vec<_> = wanted
            .into_par_iter()
            .map(|(path, bytes)| (path.clone(), read_file(path, bytes)))
            .collect();
        for (path, (documents, problem)) in read {
            if let Some(problem) = problem {
                self.problems.push(problem);
            }
            self.cluster_kinds
                .extend(documents.iter().filter_map(|d| cluster_kind(&d.value)));
            self.documents.insert(path, documents);
        }
    }

    /// The chart whose template a file is.
    fn chart_template(&self, path: &str) -> Option<&Chart> {
        self.charts.iter().find(|c| {
            below(path, &c.dir).is_some_and(|inside| {
                inside.starts_with("templates/") || inside.starts_with("charts/")
            })
        })
    }

    fn read_kustomizations(&mut self, files: &Files) {
        for (path, documents) in &self.documents {
            if !NAMES.contains(&base_name(path)) {
                continue;
            }
            let value = documents.first().map_or(Value::Null, |d| d.value.clone());
            let version = value.get("apiVersion").and_then(Value::as_str);
            if version.is_some_and(|v| v.starts_with("kustomize.toolkit.fluxcd.io/")) {
                continue;
            }
            let mut read = Kustomization::new(path, value);
            if read.value.is_null() && files.get(path).is_some_and(|b| !b.is_empty()) {
                let known = self.problems.iter().find(|p| &p.place == path);
                let message = known.map_or("it has no content", |p| p.message.as_str());
                read.blocked = Some(Refusal::new(
                    Code::RenderFailed,
                    format!("{path}: {message}"),
                ));
            }
            self.kustomizations.insert(read.dir.clone(), read);
        }
    }

    fn find_roots(&mut self) {
        let children: BTreeSet<&str> = self
            .kustomizations
            .values()
            .flat_map(|k| k.listed.iter().filter(|l| l.path != k.dir))
            .filter(|l| self.kustomizations.contains_key(&l.path))
            .map(|l| l.path.as_str())
            .collect();
        let is_root = |k: &&Kustomization| !k.component && !children.contains(k.dir.as_str());
        let roots: BTreeMap<String, Closure> = self
            .kustomizations
            .values()
            .filter(is_root)
            .map(|k| (k.dir.clone(), self.closure(&k.dir)))
            .collect();
        let reached: BTreeSet<&String> = roots.values().flat_map(|c| &c.dirs).collect();
        for k in self.kustomizations.values() {
            if !k.component && !reached.contains(&k.dir) {
                self.problems.push(Problem {
                    place: k.file.clone(),
                    message: "no root reaches this kustomization: the ones that list it list each other in a circle".to_owned(),
                });
            }
        }
        self.roots = roots;
    }

    fn closure(&self, root: &str) -> Closure {
        let mut closure = Closure::default();
        let mut todo = vec![root.to_owned()];
        while let Some(dir) = todo.pop() {
            let Some(k) = self.kustomizations.get(&dir) else {
                continue;
            };
            if closure.dirs.contains(&dir) {
                continue;
            }
            closure.dirs.push(dir);
            closure.add(&k.file, Use::Config);
            if let Some(blocked) = &k.blocked {
                closure.blocked.get_or_insert_with(|| blocked.clone());
            }
            for listed in &k.listed {
                if self.kustomizations.contains_key(&listed.path) {
                    todo.push(listed.path.clone());
                } else {
                    self.read_listed(&mut closure, k, listed);
                }
            }
        }
        closure
    }

    fn read_listed(&self, closure: &mut Closure, k: &Kustomization, listed: &Listed) {
        closure.add(&listed.path, listed.using);
        if listed.using != Use::Plugin {
            return;
        }
        for document in self.documents.get(&listed.path).into_iter().flatten() {
            if let Some(refusal) = plugin(&listed.path, &document.value) {
                closure.blocked.get_or_insert(refusal);
            }
            for path in paths_in(&document.value) {
                if let Some(path) = resolve(&k.dir, path) {
                    closure.add(&path, Use::Config);
                }
            }
        }
    }

    fn sort_definitions(&mut self) {
        let listed: BTreeSet<&str> = self
            .kustomizations
            .values()
            .flat_map(|k| k.listed.iter().map(|l| l.path.as_str()))
            .chain(
                self.roots
                    .values()
                    .flat_map(|c| c.files.keys().map(String::as_str)),
            )
            .collect();
        let mut plain = Vec::new();
        let mut orphans = Vec::new();
        for file in self.documents.keys() {
            let is_kustomization = self.kustomizations.values().any(|k| &k.file == file);
            if listed.contains(file.as_str()) || is_kustomization || !self.may_define(file) {
                continue;
            }
            if self.kustomizations.contains_key(parent(file)) {
                orphans.extend(self.definitions(file));
            } else {
                plain.extend(self.definitions(file));
            }
        }
        self.plain = plain;
        self.orphans = orphans;
    }

    fn may_define(&self, file: &str) -> bool {
        let ours = !file.split('/').any(|part| NOT_OURS.contains(&part));
        let in_chart = self.charts.iter().any(|c| below(file, &c.dir).is_some());
        ours && !in_chart
    }

    fn forbid(&mut self, files: &Files) {
        let hydrated: Vec<&str> = files
            .by_path
            .keys()
            .filter(|p| base_name(p) == "hydrator.metadata")
            .map(|p| parent(p))
            .collect();
        let mut forbidden = BTreeMap::new();
        for (file, documents) in &self.documents {
            let head = files.get(file).map_or("", text_head);
            let refusal = if documents.iter().any(|d| is_encrypted(&d.value)) {
                Refusal::new(
                    Code::SopsEncrypted,
                    format!("{file} is encrypted with sops"),
                )
            } else if hydrated.iter().any(|dir| below(file, dir).is_some()) {
                let message = format!("{file} is the output of a hydrator (hydrator.metadata)");
                Refusal::new(Code::HydratedBranch, message)
            } else if is_generated(file, head) {
                let message = format!("{file} says that it is generated");
                Refusal::new(Code::GeneratedFile, message)
            } else {
                continue;
            };
            forbidden.insert(file.clone(), refusal);
        }
        self.forbidden = forbidden;
    }
}

impl Closure {
    fn add(&mut self, file: &str, using: Use) {
        self.files.entry(file.to_owned()).or_default().insert(using);
    }
}

/// The part of a path below a directory.
fn below<'p>(path: &'p str, dir: &str) -> Option<&'p str> {
    if dir.is_empty() {
        return Some(path);
    }
    path.strip_prefix(dir)?.strip_prefix('/')
}

fn is_yaml(path: &str) -> bool {
    let extension = path.rsplit_once('.').map_or("", |(_, e)| e);
    matches!(extension, "yaml" | "yml" | "json") || base_name(path) == "Kustomization"
}

fn charts(files: &Files) -> Vec<Chart> {
    let dirs = files
        .by_path
        .keys()
        .filter(|p| base_name(p) == "Chart.yaml")
        .map(|p| parent(p).to_owned());
    dirs.map(|dir| Chart {
        kinds: template_kinds(files, &dir),
        dir,
    })
    .collect()
}

/// Kinds at the start of a line of a chart's templates.
fn template_kinds(files: &Files, dir: &str) -> BTreeMap<String, String> {
    let mut kinds = BTreeMap::new();
    for (path, bytes) in &files.by_path {
        let template = below(path, dir).is_some_and(|inside| inside.starts_with("templates/"));
        if !template || bytes.len() > MAX_FILE {
            continue;
        }
        for line in String::from_utf8_lossy(bytes).lines() {
            let kind = line.strip_prefix("kind:").map(str::trim);
            if let Some(kind) = kind.filter(|k| k.chars().all(|c| c.is_ascii_alphanumeric())) {
                kinds.entry(kind.to_owned()).or_insert_with(|| path.clone());
            }
        }
    }
    kinds
}

/// The documents of a file, unreadable ones as null, and the first thing that is wrong with it.
fn read_file(path: &str, bytes: &[u8]) -> (Vec<Document>, Option<Problem>) {
    let problem = |message: String| Problem {
        place: path.to_owned(),
        message,
    };
    if bytes.len() > MAX_FILE {
        let message = format!("{} bytes, over the limit of {MAX_FILE}", bytes.len());
        return (Vec::new(), Some(problem(message)));
    }
    let Ok(text) = std::str::from_utf8(bytes) else {
        return (Vec::new(), Some(problem("not UTF-8 text".to_owned())));
    };
    let mut first = None;
    let mut documents = Vec::new();
    for slice in manifest::split(text) {
        let value = manifest::read_value(slice.of(text)).unwrap_or_else(|refusal| {
            if first.is_none() && says_kind(slice.of(text)) {
                let message = format!("document at line {}: {refusal}", slice.line);
                first = Some(problem(message));
            }
            Value::Null
        });
        documents.push(Document { slice, value });
    }
    (documents, first)
}

/// Whether an unreadable text looks like a manifest at all. In JSON a `kind` alone says little: the
/// settings of editors have one, and comments that make them unreadable.
fn says_kind(text: &str) -> bool {
    let json = text.contains("\"kind\"") && text.contains("\"apiVersion\"");
    text.contains("kind:") || json || text.contains("resources:")
}

/// Where the objects of a document are.
fn prefixes(value: &Value) -> Vec<FieldPath> {
    let is_list = |v: &Value| {
        v.get("kind")
            .and_then(Value::as_str)
            .is_some_and(|k| k.ends_with("List"))
            && v.get("items").is_some_and(Value::is_array)
    };
    if is_list(value) {
        let items = FieldPath::keys(["items"]);
        return list(value, "items")
            .iter()
            .enumerate()
            .filter(|(_, item)| is_object(item))
            .map(|(i, _)| items.index(i))
            .collect();
    }
    match is_object(value) {
        true => vec![FieldPath::default()],
        false => Vec::new(),
    }
}

/// Whether a value has what every object has: `apiVersion`, `kind` and a name.
fn is_object(value: &Value) -> bool {
    let text = |pointer: &str| {
        let text = value.pointer(pointer).and_then(Value::as_str);
        text.is_some_and(|t| !t.is_empty())
    };
    let named = text("/metadata/name") || text("/metadata/generateName");
    text("/apiVersion") && text("/kind") && named
}

fn cluster_kind(value: &Value) -> Option<String> {
    let is_crd = value.get("kind")?.as_str()? == "CustomResourceDefinition";
    let cluster = value.pointer("/spec/scope")?.as_str()? == "Cluster";
    let kind = value.pointer("/spec/names/kind")?.as_str()?;
    (is_crd && cluster).then(|| kind.to_owned())
}

/// A generator or transformer that runs something else.
fn plugin(file: &str, value: &Value) -> Option<Refusal> {
    let kind = value.get("kind").and_then(Value::as_str)?;
    if kind == "HelmChartInflationGenerator" {
        let message = format!("{file} renders a Helm chart");
        return Some(Refusal::new(Code::ChartUnavailable, message));
    }
    if any_leads_out(value) {
        let message = format!("{file} reads something outside the repository");
        return Some(Refusal::new(Code::RemoteBase, message));
    }
    let function = value.pointer("/metadata/annotations/config.kubernetes.io~1function");
    let builtin = value.get("apiVersion").and_then(Value::as_str) == Some("builtin");
    if builtin && function.is_none() {
        return None;
    }
    let message = format!("{file} is a configuration of the plugin {kind}, which is not run");
    Some(Refusal::new(Code::PluginSource, message))
}

/// Texts under keys that hold file names in kustomize's own plugins.
fn paths_in(value: &Value) -> Vec<&str> {
    let keys = [
        "path",
        "paths",
        "files",
        "valuesFile",
        "envs",
        "patchesStrategicMerge",
    ];
    let values = keys.iter().filter_map(|key| value.get(*key));
    values
        .flat_map(|v| match v {
            Value::Array(items) => items.iter().collect(),
            other => vec![other],
        })
        .filter_map(Value::as_str)
        .map(|text| text.split_once('=').map_or(text, |(_, path)| path))
        .collect()
}

fn is_encrypted(value: &Value) -> bool {
    value
        .get("sops")
        .is_some_and(|s| s.get("mac").is_some() || s.get("lastmodified").is_some())
}

/// The first lines of a file, where a generator would name itself.
fn text_head(bytes: &[u8]) -> &str {
    let head = bytes.get(..600).unwrap_or(bytes);
    match std::str::from_utf8(head) {
        Ok(text) => text,
        Err(e) => std::str::from_utf8(&head[..e.valid_up_to()]).unwrap_or_default(),
    }
}

fn is_generated(file: &str, head: &str) -> bool {
    let comment = |line: &&str| line.starts_with('#') || line.starts_with("//");
    let says = head
        .lines()
        .take_while(|l| l.is_empty() || *l == "---" || comment(l))
        .filter(comment)
        .map(str::to_ascii_lowercase)
        .any(|line| {
            line.contains("do not edit")
                || line.contains("code generated")
                || line.contains("auto-generated")
                || line.contains("autogenerated")
        });
    says || parent(file).split('/').any(|part| part == "generated")
}
