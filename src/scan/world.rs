//! What the whole repository knows, so that nothing is said to be missing that is only elsewhere.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use serde_json::{Map, Value};

use crate::case::Desired;
use crate::files::Files;
use crate::locate::Repository;
use crate::object::{Object, list};
use crate::schema;
use crate::snapshot::{map_selects, selector_matches};

/// The most words that are remembered, so that a hostile repository costs no memory.
const MAX_MENTIONS: usize = 500_000;
/// The longest word that can be a name.
const MAX_NAME: usize = 253;
/// The largest file of a chart that is searched for names.
const MAX_TEXT: usize = 256 * 1024;

type Namespaces = Vec<Option<String>>;

/// What differs once a change is made.
#[derive(Debug, Default)]
pub(super) struct Change<'c> {
    /// Objects by their position in `Repository::desired`.
    pub objects: BTreeMap<usize, Object>,
    /// The documents of changed files.
    pub documents: BTreeMap<&'c str, Vec<Value>>,
}

/// Everything that any file defines or mentions.
#[derive(Debug, Default)]
pub(super) struct World {
    names: HashMap<(String, String), Namespaces>,
    /// How many documents define an object of a kind and name.
    written: HashMap<(String, String), usize>,
    /// Namespace and labels of everything that makes pods.
    pods: Vec<(Option<String>, Map<String, Value>)>,
    /// Words that may be names of objects which something else makes.
    mentions: HashSet<String>,
    /// Namespaces in which custom resources may make objects.
    operated: BTreeSet<Option<String>>,
    /// Charts, releases and what could not be rendered may make anything.
    open: bool,
}

impl World {
    pub(super) fn new(repository: &Repository<'_>) -> Self {
        Self::after(repository, &Change::default())
    }

    /// The same once a change is made.
    pub(super) fn after(repository: &Repository<'_>, change: &Change<'_>) -> Self {
        let mut world = Self {
            open: repository.charts().next().is_some()
                || repository.roots().any(|(_, why)| why.is_some()),
            ..Self::default()
        };
        for (i, desired) in repository.desired.iter().enumerate() {
            world.add(change.objects.get(&i).unwrap_or(&desired.object));
        }
        for (file, _, value) in repository.written() {
            if !change.documents.contains_key(file) {
                world.write(value);
            }
        }
        for value in change.documents.values().flatten() {
            world.write(value);
        }
        for (_, value) in repository.kustomizations() {
            world.generators(value);
        }
        world.charts(repository);
        for problem in &repository.problems {
            if let Some(bytes) = repository.files.get(&problem.place) {
                world.open = true;
                world.words(&String::from_utf8_lossy(bytes));
            }
        }
        world
    }

    /// What a document says as it stands.
    fn write(&mut self, value: &Value) {
        if let Some(object) = Object::new(value.clone()) {
            let key = (object.kind().to_owned(), object.name().to_owned());
            *self.written.entry(key).or_default() += 1;
            self.add(&object);
        }
    }

    fn add(&mut self, object: &Object) {
        let key = (object.kind().to_owned(), object.name().to_owned());
        let namespace = object.namespace().map(str::to_owned);
        let known = self.names.entry(key).or_default();
        if !known.contains(&namespace) {
            known.push(namespace.clone());
        }
        if let Some(labels) = object.pod_labels() {
            self.pods.push((namespace.clone(), labels.clone()));
        }
        // a template whose own selector misses it is one fault, not one of all that select it
        if let Some(labels) = object.map("spec.selector.matchLabels")
            && object.pod_spec_path().is_some()
        {
            self.pods.push((namespace.clone(), labels.clone()));
        }
        if schema::type_at(object.api_version(), object.kind()).is_none()
            && schema::deprecated(object.api_version(), object.kind()).is_none()
        {
            self.custom(object, namespace);
        } else {
            self.built_in(object);
        }
    }

    /// What is in a cluster is there, and makes nothing new.
    pub(super) fn add_live(&mut self, object: &Object) {
        let key = (object.kind().to_owned(), object.name().to_owned());
        let namespace = object.namespace().map(str::to_owned);
        if let Some(labels) = object.pod_labels() {
            self.pods.push((namespace.clone(), labels.clone()));
        }
        self.names.entry(key).or_default().push(namespace);
    }

    /// A name that something else may make stays one when the text that mentions it changes.
    pub(super) fn remember(&mut self, other: &Self) {
        self.mentions.extend(other.mentions.iter().cloned());
    }

    /// A custom resource may make objects with every name that it holds.
    fn custom(&mut self, object: &Object, namespace: Option<String>) {
        self.open |= matches!(
            object.kind(),
            "HelmRelease" | "HelmChart" | "Application" | "ApplicationSet" | "Kustomization"
        ) && makes_elsewhere(object);
        self.operated.insert(namespace);
        self.leaves(&object.value);
    }

    /// Of a built-in object annotations, arguments and contents may name what something else makes.
    fn built_in(&mut self, object: &Object) {
        if let Some(annotations) = object.get("metadata.annotations") {
            self.leaves(annotations);
        }
        for rule in object.list("rules") {
            self.leaves(rule.get("resourceNames").unwrap_or(&Value::Null));
        }
        if object.kind() == "ConfigMap" {
            self.leaves(object.get("data").unwrap_or(&Value::Null));
        }
        for container in object.containers() {
            for field in ["args", "command"] {
                self.leaves(container.get(field).unwrap_or(&Value::Null));
            }
            for var in container.list("env") {
                self.leaves(var.get("value").unwrap_or(&Value::Null));
            }
        }
    }

    fn leaves(&mut self, value: &Value) {
        match value {
            Value::String(text) => self.words(text),
            Value::Array(items) => items.iter().for_each(|v| self.leaves(v)),
            Value::Object(map) => map.values().for_each(|v| self.leaves(v)),
            _ => {}
        }
    }

    fn words(&mut self, text: &str) {
        let is_name = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '.';
        for word in text.split(|c| !is_name(c)) {
            let fits = (2..=MAX_NAME).contains(&word.len());
            if fits && self.mentions.len() < MAX_MENTIONS {
                self.mentions.insert(word.to_owned());
            }
        }
    }

    fn generators(&mut self, kustomization: &Value) {
        for (field, kind) in [
            ("configMapGenerator", "ConfigMap"),
            ("secretGenerator", "Secret"),
        ] {
            for generator in list(kustomization, field) {
                if let Some(name) = generator.get("name").and_then(Value::as_str) {
                    let key = (kind.to_owned(), name.to_owned());
                    self.names.entry(key).or_default().push(None);
                }
            }
        }
    }

    fn charts(&mut self, repository: &Repository<'_>) {
        let dirs: Vec<String> = repository.charts().map(|d| format!("{d}/")).collect();
        let files: &Files = repository.files;
        for (path, bytes) in &files.by_path {
            let inside = dirs
                .iter()
                .any(|d| d == "/" || path.starts_with(d.as_str()));
            if inside && bytes.len() <= MAX_TEXT {
                self.words(&String::from_utf8_lossy(bytes));
            }
        }
    }

    /// Whether any file may define an object of this name that reaches the namespace.
    pub(super) fn defines(&self, kind: &str, namespace: Option<&str>, name: &str) -> bool {
        let key = (kind.to_owned(), name.to_owned());
        let known = self.names.get(&key).map_or(&[][..], Vec::as_slice);
        known.iter().any(|ns| may_be_same(ns.as_deref(), namespace))
    }

    /// How many documents define an object of this kind and name.
    pub(super) fn count(&self, kind: &str, name: &str) -> usize {
        let key = (kind.to_owned(), name.to_owned());
        self.written.get(&key).copied().unwrap_or_default()
    }

    /// Whether something else may make an object of this name.
    pub(super) fn mentions(&self, name: &str) -> bool {
        self.mentions.contains(name)
    }

    /// Whether pods of any file have the labels that a plain selector asks for.
    pub(super) fn has_pods(&self, namespace: Option<&str>, selector: &Map<String, Value>) -> bool {
        self.pods.iter().any(|(ns, labels)| {
            may_be_same(ns.as_deref(), namespace) && map_selects(Some(selector), Some(labels))
        })
    }

    /// The same for a selector with expressions.
    pub(super) fn has_pods_for(&self, namespace: Option<&str>, selector: &Value) -> bool {
        self.pods.iter().any(|(ns, labels)| {
            may_be_same(ns.as_deref(), namespace) && selector_matches(Some(selector), Some(labels))
        })
    }

    /// Whether the repository evidently defines all of a namespace: the Namespace itself is here,
    /// and nothing is that makes objects of its own.
    pub(super) fn is_whole(&self, namespace: Option<&str>) -> bool {
        let Some(namespace) = namespace else {
            return false;
        };
        let operated = |ns: &Option<String>| ns.as_deref().is_none_or(|n| n == namespace);
        let key = ("Namespace".to_owned(), namespace.to_owned());
        !self.open && self.names.contains_key(&key) && !self.operated.iter().any(operated)
    }
}

/// Where one side does not say its namespace, the two may share one.
fn may_be_same(a: Option<&str>, b: Option<&str>) -> bool {
    a.is_none() || b.is_none() || a == b
}

/// Releases of charts, and sources that may lie outside this repository.
fn makes_elsewhere(object: &Object) -> bool {
    object.api_version() != "kustomize.config.k8s.io/v1beta1"
}

/// What is looked at together: what one root renders, or what one directory holds.
#[derive(Debug)]
pub(super) struct Scope {
    /// The kustomize root; none for plain files.
    pub root: Option<String>,
    /// Positions in `Repository::desired` of what is judged.
    pub members: Vec<usize>,
    /// Positions of plain objects elsewhere that name the same namespace.
    pub neighbours: Vec<usize>,
}

impl Scope {
    /// The objects, those that are judged first.
    pub(super) fn objects(&self, desired: &[Desired]) -> Vec<Desired> {
        let all = self.members.iter().chain(&self.neighbours);
        all.filter_map(|i| desired.get(*i).cloned()).collect()
    }
}

/// Root, namespace and folder.
type Group<'d> = (Option<&'d str>, Option<&'d str>, &'d str);

/// What tells plain objects apart.
type Identity = (String, Option<String>, String);

/// All scopes of a repository: one a root, one for the plain objects of each namespace, and one
/// for each folder whose objects name no namespace or are defined elsewhere as well.
pub(super) fn scopes(repository: &Repository<'_>) -> Vec<Scope> {
    let broken: BTreeSet<&str> = repository
        .roots()
        .filter_map(|(root, why)| why.map(|_| root))
        .collect();
    let plain = Plain::new(&repository.desired);
    let mut groups: BTreeMap<Group<'_>, Vec<usize>> = BTreeMap::new();
    for (i, desired) in repository.desired.iter().enumerate() {
        let key = match desired.root.as_deref() {
            Some(root) if broken.contains(root) => continue,
            Some(root) => (Some(root), None, ""),
            None => {
                let (namespace, dir) = home(desired);
                match namespace {
                    Some(_) if !plain.repeated.contains(&(namespace, dir)) => (None, namespace, ""),
                    _ => (None, namespace, dir),
                }
            }
        };
        groups.entry(key).or_default().push(i);
    }
    let groups = groups.into_iter();
    groups
        .map(|((root, namespace, _), members)| Scope {
            neighbours: plain.neighbours(namespace, &members),
            root: root.map(str::to_owned),
            members,
        })
        .collect()
}

/// Where a plain object belongs: its namespace, and the folder of its file.
fn home(desired: &Desired) -> (Option<&str>, &str) {
    let dir = desired.file.rsplit_once('/').map_or("", |(dir, _)| dir);
    (desired.object.namespace(), dir)
}

fn identity(object: &Object) -> Identity {
    let namespace = object.namespace().map(str::to_owned);
    (
        object.kind().to_owned(),
        namespace,
        object.name().to_owned(),
    )
}

/// The plain objects that name a namespace.
struct Plain<'d> {
    /// Namespaces and folders that hold an object which is defined elsewhere as well.
    repeated: BTreeSet<(Option<&'d str>, &'d str)>,
    /// What only one place defines, by namespace.
    unique: BTreeMap<&'d str, Vec<usize>>,
}

impl<'d> Plain<'d> {
    fn new(desired: &'d [Desired]) -> Self {
        let mut all: HashMap<Identity, Vec<usize>> = HashMap::new();
        for (i, one) in desired.iter().enumerate().filter(|(_, d)| d.root.is_none()) {
            all.entry(identity(&one.object)).or_default().push(i);
        }
        let mut plain = Self {
            repeated: BTreeSet::new(),
            unique: BTreeMap::new(),
        };
        for hits in all.into_values() {
            let several = hits.len() > 1;
            for (i, one) in hits.iter().filter_map(|i| Some((*i, desired.get(*i)?))) {
                let (namespace, dir) = home(one);
                match namespace {
                    _ if several => drop(plain.repeated.insert((namespace, dir))),
                    Some(namespace) => plain.unique.entry(namespace).or_default().push(i),
                    None => {}
                }
            }
        }
        plain
    }

    /// What else only one place defines in a namespace.
    fn neighbours(&self, namespace: Option<&str>, members: &[usize]) -> Vec<usize> {
        let Some(all) = namespace.and_then(|n| self.unique.get(n)) else {
            return Vec::new();
        };
        let own: HashSet<usize> = members.iter().copied().collect();
        let mut out: Vec<usize> = all.iter().copied().filter(|i| !own.contains(i)).collect();
        out.sort_unstable();
        out
    }
}
