//! locate: from an object and a field to the one proven place in Git.

//!
//! Attribution may be heuristic, verification may not: [`Repository::locate`] says where a field is
//! written, [`Repository::plan`] chooses where to change it, and [`Repository::verify`] renders the
//! changed files and proves that nothing else moved.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use rayon::prelude::*;
use serde_json::Value;

use self::dye::Attribution;
use self::index::{Definition, Index};
use self::rendered::Rendered;
pub(crate) use self::rendered::shown;
use crate::case::Desired;
use crate::code::{Code, Refusal};
use crate::edit::FileEdit;
use crate::files::Files;
use crate::object::{Object, ObjectRef};
use crate::path::FieldPath;
use crate::propose::ProposedEdit;
use crate::render::Renderer;
use crate::snapshot::{Snapshot, drop_secret_values};

mod diff;
mod dye;
mod find;
mod flip;
mod image;
mod index;
mod kustomization;
mod overlay;
mod places;
mod plan;
mod rendered;
pub(crate) mod scope;
mod target;
mod verify;
mod write;

pub(crate) use diff::stem;

/// How a place is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub enum Strategy {
    /// The line that defines the value, feeding one root or none.
    Direct,
    /// An existing patch or transformer entry of the environment's own overlay.
    OverlayEdit,
    /// A new patch or transformer entry in the environment's own overlay.
    OverlayNew,
}

/// One proven place.
#[derive(Debug, Clone, PartialEq)]
pub struct Site {
    /// File, relative to the repository's root.
    pub file: String,
    /// Line, from 1.
    pub line: usize,
    /// Document in the file, from 0.
    pub document: usize,
    /// Path in that document.
    pub path: FieldPath,
    /// Path inside the text at `path`, for inline patches.
    pub inner: Option<FieldPath>,
    /// How it was reached.
    pub strategy: Strategy,
    /// The kustomize root it was proven for; none for plain files.
    pub root: Option<String>,
    /// All roots that read the file.
    pub affects: Vec<String>,
    /// The decision trail, one line a step, for `kubemend locate`.
    pub trail: Vec<String>,
}

/// An object-level edit turned into edits of files.
#[derive(Debug, Clone, PartialEq)]
pub struct Located {
    /// The place (of the first edit).
    pub site: Site,
    /// Edits by file.
    pub edits: BTreeMap<String, Vec<FileEdit>>,
}

/// Something in the repository that could not be read; the run goes on without it.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Problem {
    /// File or root.
    pub place: String,
    /// What is wrong with it.
    pub message: String,
}

/// What a rendering proved about a set of edits.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, schemars::JsonSchema)]
pub struct Check {
    /// Short name: `yaml`, `render`, `schema`.
    pub name: String,
    /// Whether it passed.
    pub status: Status,
    /// What was compared, with versions and counts; or why it was skipped.
    pub detail: String,
}

/// Result of a [`Check`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Proven.
    Pass,
    /// Disproven.
    Fail,
    /// Not checked.
    Skipped,
}

/// What was proven about a set of changed files.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Proven {
    /// What was compared.
    pub checks: Vec<Check>,
    /// The roots that read a changed file.
    pub roots: Vec<RootEffect>,
    /// Some of the rendered objects that change.
    pub objects: Vec<ChangedObject>,
}

/// How much of what a root renders changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RootEffect {
    /// The root.
    pub root: String,
    /// Fields that differ.
    pub fields: usize,
    /// Objects that they are in.
    pub objects: usize,
}

/// A rendered object that changes.
#[derive(Debug, Clone, PartialEq)]
pub struct ChangedObject {
    /// The root that renders it.
    pub root: String,
    /// The object.
    pub object: ObjectRef,
    /// As it was rendered; none for a new one.
    pub before: Option<Value>,
    /// As it is rendered now; none for a lost one.
    pub after: Option<Value>,
}

impl ChangedObject {
    /// The new and the old name of a generated object whose content changed.
    pub(crate) fn renamed(&self) -> Option<(&str, &str)> {
        fn name(value: Option<&Value>) -> Option<&str> {
            value?.pointer("/metadata/name")?.as_str()
        }
        let (old, new) = (name(self.before.as_ref())?, name(self.after.as_ref())?);
        (old != new).then_some((new, old))
    }

    /// An object of a root, with the namespace that it is applied to, as it is rendered now.
    pub(crate) fn of(&self, root: &str, object: &Object) -> Option<Object> {
        let is_it = self.root == root
            && self.object.kind == object.kind()
            && self.object.name == object.name()
            && (self.object.namespace.is_none()
                || self.object.namespace.as_deref() == object.namespace());
        let mut value = self.after.clone().filter(|_| is_it)?;
        let metadata = value.get_mut("metadata").and_then(Value::as_object_mut);
        if let (Some(metadata), Some(namespace)) = (metadata, object.namespace()) {
            metadata.insert("namespace".to_owned(), Value::from(namespace));
        }
        Object::new(value)
    }
}

/// What to do when a line feeds several roots.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SharedBase {
    /// A new entry or patch in the environment's own overlay.
    #[default]
    Overlay,
    /// The line itself, for all roots.
    Base,
    /// A refusal that lists the roots.
    Refuse,
}

/// What the operator decides about places.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Policy {
    /// What to do when a line feeds several roots.
    pub shared_base: SharedBase,
}

/// A repository, indexed and (where there are kustomize roots) rendered.
#[derive(Debug)]
pub struct Repository<'r> {
    /// Its files.
    pub files: &'r Files,
    /// What renders kustomize, if anything does.
    pub renderer: Option<&'r Renderer>,
    /// What every root and plain file defines. A root that does not build is here as its own
    /// kustomization, named like its directory.
    pub desired: Vec<Desired>,
    /// What could not be read.
    pub problems: Vec<Problem>,
    policy: Policy,
    destination: Option<String>,
    index: Index,
    /// Where each of `desired` comes from.
    sources: Vec<Source>,
    renders: BTreeMap<String, Result<Vec<Rendered>, Refusal>>,
    dyes: Mutex<BTreeMap<String, Arc<Attribution>>>,
}

/// Where an object comes from.
#[derive(Debug, Clone)]
enum Source {
    /// A document as it is.
    Plain(Definition),
    /// An object of a root's rendering, by its position.
    Rendered { root: String, object: usize },
}

impl<'r> Repository<'r> {
    /// Indexes the files and renders every kustomize root. `destination` is the namespace of
    /// manifests that name none.
    pub fn open(
        files: &'r Files,
        renderer: Option<&'r Renderer>,
        destination: Option<&str>,
        policy: Policy,
    ) -> Self {
        let mut repository = Self::indexed(files, renderer, destination, policy);
        let roots: Vec<String> = repository.index.roots.keys().cloned().collect();
        repository.renders = roots
            .into_par_iter()
            .map(|root| (root.clone(), repository.render(&root, &BTreeMap::new())))
            .collect();
        repository.define();
        repository
    }

    /// The same with other files.
    pub fn reopened<'f>(&self, files: &'f Files) -> Repository<'f>
    where
        'r: 'f,
    {
        Repository::open(
            files,
            self.renderer,
            self.destination.as_deref(),
            self.policy,
        )
    }

    /// The same repository under another policy, without rendering anything again.
    #[must_use]
    pub fn with_policy(&self, policy: Policy) -> Self {
        let dyes = self.dyes.lock().unwrap_or_else(PoisonError::into_inner);
        Self {
            files: self.files,
            renderer: self.renderer,
            desired: self.desired.clone(),
            problems: self.problems.clone(),
            policy,
            destination: self.destination.clone(),
            index: self.index.clone(),
            sources: self.sources.clone(),
            renders: self.renders.clone(),
            dyes: Mutex::new(dyes.clone()),
        }
    }

    fn indexed(
        files: &'r Files,
        renderer: Option<&'r Renderer>,
        destination: Option<&str>,
        policy: Policy,
    ) -> Self {
        let index = Index::new(files);
        Self {
            files,
            renderer,
            desired: Vec::new(),
            problems: index.problems.clone(),
            policy,
            destination: destination.map(str::to_owned),
            index,
            sources: Vec::new(),
            renders: BTreeMap::new(),
            dyes: Mutex::default(),
        }
    }

    /// Narrows `desired` to what the cluster runs where several places define an object. What the
    /// other places render still counts when an edit is proven.
    pub fn keep_applied(&mut self, snapshot: &Snapshot) {
        let keep = crate::environment::applied(&self.desired, snapshot);
        let mut flags = keep.iter();
        self.desired
            .retain(|_| flags.next().copied().unwrap_or(true));
        let mut flags = keep.iter();
        self.sources
            .retain(|_| flags.next().copied().unwrap_or(true));
    }

    /// The same repository with only some of `desired`: what one root renders, or one directory
    /// holds. What the other places render still counts when an edit is proven.
    #[must_use]
    pub fn narrowed(&self, policy: Policy, keep: &dyn Fn(usize, &Desired) -> bool) -> Self {
        let mut narrow = self.with_policy(policy);
        let kept: Vec<bool> = self
            .desired
            .iter()
            .enumerate()
            .map(|(i, d)| keep(i, d))
            .collect();
        let mut flags = kept.iter();
        narrow
            .desired
            .retain(|_| flags.next().copied().unwrap_or(true));
        let mut flags = kept.iter();
        narrow
            .sources
            .retain(|_| flags.next().copied().unwrap_or(true));
        narrow
    }

    /// Every object that a document of any file holds as it is written: plain manifests, and the
    /// sources and patches of roots. Templates of charts are not among them.
    pub fn written(&self) -> impl Iterator<Item = (&str, usize, &Value)> {
        self.index.documents.keys().flat_map(move |file| {
            let definitions = self.index.definitions(file);
            let object = move |d: Definition| Some((d.document, self.index.object(&d)?));
            definitions
                .into_iter()
                .filter_map(object)
                .map(move |(document, value)| (file.as_str(), document, value))
        })
    }

    /// The resources of a root as they are written, before anything changes them.
    pub fn sources_of_root(&self, root: &str) -> Vec<Desired> {
        let of = |d: Definition| {
            let value = self.index.object(&d)?.clone();
            Some(self.plain(&d, value, Some(root))?.0)
        };
        let listed = self.index.listed(root);
        listed.into_iter().filter_map(of).collect()
    }

    /// The names of charts' directories.
    pub fn charts(&self) -> impl Iterator<Item = &str> {
        self.index.charts.iter().map(|c| c.dir.as_str())
    }

    /// The kustomizations that are read, by directory, as they are written.
    pub fn kustomizations(&self) -> impl Iterator<Item = (&str, &Value)> {
        let all = self.index.kustomizations.values();
        all.map(|k| (k.file.as_str(), &k.value))
    }

    /// The roots that read a file.
    pub fn readers_of(&self, file: &str) -> Vec<String> {
        self.index.readers(file)
    }

    /// Finds the place that writes a field of an object, or where it would be added.
    pub fn locate(&self, object: &ObjectRef, path: &FieldPath) -> Result<Site, Refusal> {
        let target = self.target(object, path)?;
        Ok(self.site(&target))
    }

    /// The same for an object of one root, where several roots render it.
    pub fn locate_in(
        &self,
        root: &str,
        object: &ObjectRef,
        path: &FieldPath,
    ) -> Result<Site, Refusal> {
        let target = self.target_of(self.find_in(root, object)?, path)?;
        Ok(self.site(&target))
    }

    /// Turns an edit of an object into edits of files.
    pub fn plan(&self, edit: &ProposedEdit) -> Result<Located, Refusal> {
        let planned = self.plan_all(std::slice::from_ref(edit))?;
        plan::only(planned)
    }

    /// Turns edits into edits of files, one answer an edit. Edits that need a new patch of the same
    /// object share it: the same file edit is then in the answer of each of them.
    pub fn plan_all(&self, edits: &[ProposedEdit]) -> Result<Vec<Located>, Refusal> {
        plan::plan_all(self, None, edits)
    }

    /// The same for an object of one root, where several roots render it.
    pub fn plan_in(&self, root: &str, edit: &ProposedEdit) -> Result<Located, Refusal> {
        plan::only(plan::plan_all(
            self,
            Some(root),
            std::slice::from_ref(edit),
        )?)
    }

    /// All files that a root reads, itself included.
    pub fn files_of_root(&self, root: &str) -> Vec<String> {
        let closure = self.index.roots.get(root);
        closure.map_or_else(Vec::new, |c| c.files.keys().cloned().collect())
    }

    /// The roots, with the reason for each that does not build.
    pub fn roots(&self) -> impl Iterator<Item = (&str, Option<&Refusal>)> {
        self.renders
            .iter()
            .map(|(root, outcome)| (root.as_str(), outcome.as_ref().err()))
    }

    /// The objects that a file's content defines, with the destination namespace filled in.
    pub fn objects_in(&self, path: &str, bytes: &[u8]) -> Vec<Object> {
        let files = Files {
            by_path: BTreeMap::from([(path.to_owned(), bytes.to_vec())]),
        };
        let index = Index::new(&files);
        let definitions = index.definitions(path);
        definitions
            .iter()
            .filter_map(|d| Some(self.named(Object::new(index.object(d)?.clone())?)))
            .collect()
    }

    /// What one root of another state of the files defines, rendered like `like`'s.
    pub fn open_root(files: &Files, like: &Repository<'_>, root: &str) -> Vec<Desired> {
        let mut repository = Repository::indexed(
            files,
            like.renderer,
            like.destination.as_deref(),
            like.policy,
        );
        let render = repository.render(root, &BTreeMap::new());
        repository.renders.insert(root.to_owned(), render);
        repository.define();
        let of_root = |d: &Desired| d.root.as_deref() == Some(root);
        repository.desired.into_iter().filter(of_root).collect()
    }

    /// Renders before and after, and proves that exactly the intended fields of the intended
    /// objects changed, in exactly the intended roots.
    pub fn verify(
        &self,
        changed: &BTreeMap<String, Vec<u8>>,
        intended: &[ProposedEdit],
    ) -> Result<Vec<Check>, Refusal> {
        Ok(self.prove(changed, intended)?.checks)
    }

    /// The same, with what changes in each root.
    pub fn prove(
        &self,
        changed: &BTreeMap<String, Vec<u8>>,
        intended: &[ProposedEdit],
    ) -> Result<Proven, Refusal> {
        verify::prove(self, None, changed, intended)
    }

    /// The same for objects of one root, where several roots render them; `None` is any.
    pub fn prove_in(
        &self,
        root: Option<&str>,
        changed: &BTreeMap<String, Vec<u8>>,
        intended: &[ProposedEdit],
    ) -> Result<Proven, Refusal> {
        verify::prove(self, root, changed, intended)
    }

    /// [`Self::find`], or [`Self::find_in`] where a root is given.
    fn find_one(&self, root: Option<&str>, object: &ObjectRef) -> Result<usize, Refusal> {
        match root {
            Some(root) => self.find_in(root, object),
            None => self.find(object),
        }
    }

    /// How many leaves change in each root that reads a changed file; roots without a change are
    /// left out.
    pub fn effects(
        &self,
        changed: &BTreeMap<String, Vec<u8>>,
    ) -> Result<BTreeMap<String, usize>, Refusal> {
        verify::effects(self, changed)
    }

    /// Renders a root with some files replaced.
    fn render(
        &self,
        root: &str,
        changed: &BTreeMap<String, Vec<u8>>,
    ) -> Result<Vec<Rendered>, Refusal> {
        let Some(renderer) = self.renderer else {
            let message = format!("root {} needs kustomize", shown(root));
            return Err(Refusal::new(Code::RendererMissing, message));
        };
        let closure = self.index.roots.get(root).ok_or_else(|| {
            let message = format!("{} is no kustomize root", shown(root));
            Refusal::new(Code::RenderFailed, message)
        })?;
        rendered::render(renderer, self.files, closure, root, changed)
    }

    /// Who writes what in a root; made when it is asked for the first time.
    fn attribution(&self, root: &str) -> Result<Arc<Attribution>, Refusal> {
        let lock = || self.dyes.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = lock().get(root) {
            return Ok(known.clone());
        }
        let baseline = self.baseline(root)?;
        let Some(closure) = self.index.roots.get(root) else {
            return Ok(Arc::default());
        };
        let places = places::places(&self.index, self.files, closure);
        let made = Arc::new(Attribution::new(self.files, places, baseline, |changed| {
            self.render(root, changed).map_err(|r| r.message)
        }));
        lock().insert(root.to_owned(), made.clone());
        Ok(made)
    }

    /// What a root renders as it is.
    fn baseline(&self, root: &str) -> Result<&[Rendered], Refusal> {
        match self.renders.get(root) {
            Some(Ok(objects)) => Ok(objects),
            Some(Err(refusal)) => Err(refusal.clone()),
            None => Err(Refusal::new(
                Code::NotRendered,
                format!("{} was not rendered", shown(root)),
            )),
        }
    }

    /// Fills `desired` from plain files and renderings.
    fn define(&mut self) {
        let mut found: Vec<(Desired, Source)> = Vec::new();
        for definition in &self.index.plain {
            if let Some(value) = self.index.object(definition) {
                found.extend(self.plain(definition, value.clone(), None));
            }
        }
        let mut problems = Vec::new();
        for (root, outcome) in &self.renders {
            match outcome {
                Ok(objects) => found.extend(self.rendered_objects(root, objects)),
                Err(refusal) => {
                    problems.push(Problem {
                        place: shown(root).to_owned(),
                        message: refusal.to_string(),
                    });
                    found.extend(self.broken_root(root, refusal));
                }
            }
        }
        self.problems.extend(problems);
        (self.desired, self.sources) = found.into_iter().unzip();
    }

    fn plain(
        &self,
        definition: &Definition,
        value: Value,
        root: Option<&str>,
    ) -> Option<(Desired, Source)> {
        let desired = Desired {
            object: self.named(Object::new(value)?),
            file: definition.file.clone(),
            document: definition.document,
            root: root.map(str::to_owned),
        };
        Some((desired, Source::Plain(definition.clone())))
    }

    fn rendered_objects(&self, root: &str, objects: &[Rendered]) -> Vec<(Desired, Source)> {
        let one = |(i, rendered): (usize, &Rendered)| {
            let definition = self.definition(root, rendered);
            let file = definition.as_ref().map(|d| d.file.clone());
            let desired = Desired {
                object: self.named(rendered.object.clone()),
                file: file.or_else(|| rendered.origin.clone()).unwrap_or_default(),
                document: definition.map_or(0, |d| d.document),
                root: Some(root.to_owned()),
            };
            let source = Source::Rendered {
                root: root.to_owned(),
                object: i,
            };
            (desired, source)
        };
        objects.iter().enumerate().map(one).collect()
    }

    /// The kustomization of a root that does not build, so that it can be found and mended.
    fn broken_root(&self, root: &str, refusal: &Refusal) -> Option<(Desired, Source)> {
        let k = self.index.kustomizations.get(root)?;
        if refusal.code != Code::RenderFailed || !k.value.is_object() {
            return None;
        }
        let mut value = k.value.clone();
        let map = value.as_object_mut()?;
        let kind = ("kind", "Kustomization");
        let version = ("apiVersion", "kustomize.config.k8s.io/v1beta1");
        for (key, text) in [version, kind] {
            map.entry(key).or_insert_with(|| Value::from(text));
        }
        map.insert(
            "metadata".to_owned(),
            serde_json::json!({"name": shown(root)}),
        );
        let definition = Definition {
            file: k.file.clone(),
            document: 0,
            prefix: FieldPath::default(),
        };
        self.plain(&definition, value, Some(root))
    }

    /// The object with the destination namespace where it names none, and without secret values.
    fn named(&self, mut object: Object) -> Object {
        drop_secret_values(&mut object.value);
        let cluster = scope::is_cluster_scoped(object.kind())
            || self.index.cluster_kinds.contains(object.kind())
            || object.api_version().starts_with("kustomize.config.k8s.io/");
        if let Some(destination) = &self.destination
            && !cluster
            && object.namespace().is_none()
            && let Some(metadata) = object
                .value
                .get_mut("metadata")
                .and_then(Value::as_object_mut)
        {
            metadata.insert("namespace".to_owned(), Value::from(destination.as_str()));
        }
        object
    }

    /// The document that a rendered object is made of: of the origin's documents the one of the
    /// same kind whose name is in the rendered name.
    fn definition(&self, root: &str, rendered: &Rendered) -> Option<Definition> {
        if rendered.generated {
            return None;
        }
        let origin = rendered.origin.as_deref()?;
        let of_kind: Vec<Definition> = self
            .index
            .listed(root)
            .into_iter()
            .filter(|d| d.file == origin)
            .filter(|d| {
                self.kind_and_name(d)
                    .is_some_and(|(k, _)| k == rendered.object.kind())
            })
            .collect();
        let name = rendered.object.name();
        let score = |d: &&Definition| match self.kind_and_name(d) {
            Some((_, n)) if n == name => usize::MAX,
            Some((_, n)) if name.contains(n) => n.len(),
            _ => 0,
        };
        let best = of_kind.iter().max_by_key(score)?;
        (score(&best) > 0 || of_kind.len() == 1).then(|| best.clone())
    }

    fn kind_and_name(&self, definition: &Definition) -> Option<(&str, &str)> {
        let value = self.index.object(definition)?;
        let kind = value.get("kind")?.as_str()?;
        let name = value.pointer("/metadata/name").and_then(Value::as_str);
        Some((kind, name.unwrap_or_default()))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_changed_object_is_known_again_where_it_is_applied() {
        let value = |text: &str| crate::manifest::read_value(text).unwrap();
        let web = |namespace: &str| {
            let text =
                format!("apiVersion: v1\nkind: Service\nmetadata: {{name: web{namespace}}}\n");
            Object::new(value(&text)).unwrap()
        };
        let changed = ChangedObject {
            root: "envs/east".to_owned(),
            object: web("").reference(),
            before: None,
            after: Some(web("").value),
        };
        let east = web(", namespace: east");
        assert_eq!(changed.of("envs/east", &east), Some(east.clone()));
        assert_eq!(changed.of("envs/west", &east), None);
        let other = ChangedObject {
            object: web(", namespace: west").reference(),
            ..changed
        };
        assert_eq!(other.of("envs/east", &east), None);
    }
}
