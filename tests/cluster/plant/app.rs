//! Apps: what belongs together in somebody's repository, and how it moves to a namespace of its own.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use kubemend::edit::{self, FileEdit};
use kubemend::files::Files;
use kubemend::locate::{Policy, Repository};
use kubemend::manifest;
use kubemend::object::Object;
use kubemend::path::FieldPath;
use kubemend::propose::Op;
use kubemend::render::Renderer;
use serde_json::{Value, json};

use super::field::Bed;

/// The most objects and pods of an app.
const MOST_OBJECTS: usize = 60;
const MOST_PODS: i64 = 14;
/// What this control plane runs without anything else.
const KINDS: &[&str] = &[
    "ConfigMap",
    "CronJob",
    "DaemonSet",
    "Deployment",
    "HorizontalPodAutoscaler",
    "Ingress",
    "Job",
    "LimitRange",
    "Namespace",
    "NetworkPolicy",
    "PersistentVolumeClaim",
    "PodDisruptionBudget",
    "ResourceQuota",
    "Role",
    "RoleBinding",
    "Secret",
    "Service",
    "ServiceAccount",
    "StatefulSet",
];
/// What keeps running: a fault in it shows.
pub const WORKLOADS: &[&str] = &["Deployment", "StatefulSet", "DaemonSet"];

/// What belongs together: a kustomize root with all that it reads, or the plain files of a folder.
#[derive(Debug, Clone)]
pub struct App {
    /// The tree and the folder in it.
    pub name: String,
    /// The folder that is applied.
    pub path: String,
    is_root: bool,
    files: Files,
}

/// What is not taken, and why.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct LeftOut {
    pub name: String,
    pub why: String,
}

/// The apps of a tree of files.
pub fn apps(tree: &str, folder: &Path, renderer: &Renderer) -> (Vec<App>, Vec<LeftOut>) {
    let files = read(folder);
    let repository = Repository::open(&files, Some(renderer), None, Policy::default());
    let mut found: BTreeMap<String, (bool, BTreeSet<String>)> = BTreeMap::new();
    let mut left_out = Vec::new();
    for (root, problem) in repository.roots() {
        if let Some(problem) = problem {
            left_out.push(LeftOut {
                name: name(tree, root),
                why: format!("does not build: {}", problem.code),
            });
            continue;
        }
        let files = repository.files_of_root(root).into_iter().collect();
        found.insert(root.to_owned(), (true, files));
    }
    for desired in repository.desired.iter().filter(|d| d.root.is_none()) {
        let dir = desired.file.rsplit_once('/').map_or("", |(dir, _)| dir);
        let app = found.entry(dir.to_owned()).or_default();
        if !app.0 {
            app.1.insert(desired.file.clone());
        }
    }
    let mut apps = Vec::new();
    for (path, (is_root, used)) in found {
        let mut files = files.clone();
        files.by_path.retain(|f, _| used.contains(f));
        let app = App {
            name: name(tree, &path),
            path,
            is_root,
            files,
        };
        match app.is_usable(renderer) {
            Ok(()) => apps.push(app),
            Err(why) => left_out.push(LeftOut {
                name: app.name,
                why,
            }),
        }
    }
    (apps, left_out)
}

fn name(tree: &str, path: &str) -> String {
    match path {
        "" => tree.to_owned(),
        path => format!("{tree}/{path}"),
    }
}

/// All files below a folder, by their path in it.
fn read(folder: &Path) -> Files {
    let mut files = Files::default();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        let entries = std::fs::read_dir(&next).into_iter().flatten();
        for entry in entries.filter_map(Result::ok) {
            let path = entry.path();
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => folders.push(path),
                Ok(kind) if kind.is_file() => {
                    let relative = path.strip_prefix(folder).ok().and_then(Path::to_str);
                    if let Some((relative, bytes)) = relative.zip(std::fs::read(&path).ok()) {
                        files.by_path.insert(relative.to_owned(), bytes);
                    }
                }
                _ => {}
            }
        }
    }
    files
}

impl App {
    /// Whether this control plane can run it, and it alone.
    fn is_usable(&self, renderer: &Renderer) -> Result<(), String> {
        let moved = self.moved("elsewhere")?;
        let objects = self.render(&moved, renderer)?;
        let mut kinds: Vec<&str> = objects.iter().map(Object::kind).collect();
        kinds.sort_unstable();
        kinds.dedup();
        let strange: Vec<&str> = kinds
            .iter()
            .copied()
            .filter(|k| !KINDS.contains(k))
            .collect();
        if !strange.is_empty() {
            return Err(format!("holds {}", strange.join(", ")));
        }
        if !kinds.iter().any(|k| WORKLOADS.contains(k)) {
            return Err("nothing in it keeps running".to_owned());
        }
        let is_elsewhere =
            |o: &&Object| o.kind() != "Namespace" && o.namespace() != Some("elsewhere");
        if let Some(object) = objects.iter().find(is_elsewhere) {
            return Err(format!("{} stays in its namespace", object.reference()));
        }
        let pods: i64 = objects
            .iter()
            .filter(|o| WORKLOADS.contains(&o.kind()))
            .map(|o| o.int("spec.replicas").unwrap_or(1))
            .sum();
        match objects.len() > MOST_OBJECTS || pods > MOST_PODS {
            true => Err(format!("{} objects and {pods} pods", objects.len())),
            false => Ok(()),
        }
    }

    /// Its files, with every object in this namespace.
    pub fn moved(&self, namespace: &str) -> Result<Files, String> {
        let mut files = self.files.clone();
        for (path, bytes) in &mut files.by_path {
            let edits = match self.is_root {
                true if !self.is_kustomization(path) => continue,
                true => vec![set(0, &read_document(bytes, 0), &["namespace"], namespace)],
                false => plain_moves(bytes, namespace),
            };
            let edited = edit::apply(bytes, &edits).map_err(|e| format!("{path}: {e}"))?;
            *bytes = edited.bytes;
        }
        Ok(files)
    }

    fn is_kustomization(&self, path: &str) -> bool {
        let (dir, file) = path.rsplit_once('/').unwrap_or(("", path));
        dir == self.path
            && ["kustomization.yaml", "kustomization.yml", "Kustomization"].contains(&file)
    }

    /// The app in this namespace.
    pub fn bed(&self, namespace: &str, renderer: &Renderer) -> Result<Bed, String> {
        let files = self.moved(namespace)?;
        Ok(Bed {
            namespace: namespace.to_owned(),
            path: self.path.clone(),
            objects: self.render(&files, renderer)?,
            files,
        })
    }

    /// What its files define.
    pub fn render(&self, files: &Files, renderer: &Renderer) -> Result<Vec<Object>, String> {
        let texts = match self.is_root {
            true => {
                let by_path = files.by_path.iter();
                let all = by_path.map(|(p, b)| (p.as_str(), b.as_slice())).collect();
                vec![
                    renderer
                        .render(&all, &self.path)
                        .map_err(|e| e.to_string())?,
                ]
            }
            false => files.by_path.values().map(|b| text(b)).collect(),
        };
        let mut objects = Vec::new();
        for text in texts {
            objects.extend(
                manifest::read_stream(&text)?
                    .into_iter()
                    .filter_map(Object::new),
            );
        }
        Ok(objects)
    }
}

pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The documents of a file, as values; null where one cannot be read.
pub fn documents(bytes: &[u8]) -> Vec<Value> {
    let text = text(bytes);
    let read = |s: &manifest::Slice| manifest::read_value(s.of(&text)).unwrap_or_default();
    manifest::split(&text).iter().map(read).collect()
}

fn read_document(bytes: &[u8], number: usize) -> Value {
    documents(bytes).into_iter().nth(number).unwrap_or_default()
}

fn plain_moves(bytes: &[u8], namespace: &str) -> Vec<FileEdit> {
    let mut edits = Vec::new();
    for (number, document) in documents(bytes).iter().enumerate() {
        match document["kind"].as_str() {
            None => {}
            Some("Namespace") => {
                edits.push(set(number, document, &["metadata", "name"], namespace))
            }
            Some(_) => edits.push(set(number, document, &["metadata", "namespace"], namespace)),
        }
    }
    edits
}

fn set(number: usize, document: &Value, keys: &[&str], value: &str) -> FileEdit {
    let path = keys.iter().fold(FieldPath::default(), |p, k| p.key(k));
    let value = json!(value);
    FileEdit {
        document: number,
        op: match path.get(document) {
            Some(_) => Op::Set(value),
            None => Op::Add(value),
        },
        path,
        expected: None,
        inner: None,
    }
}
