//! What a model may propose for one finding: objects, fields and allow-list rows. Pure.
//!
//! The scope narrows the schema of the answer, so that constrained decoding cannot express what
//! `lock` would block anyway. `lock` checks everything again as if the scope did not exist.

use serde_json::Value;

use crate::case::Case;
use crate::evidence::{difference, referenced};
use crate::lock::{RowInfo, known_good, row_infos};
use crate::object::{Object, ObjectRef};
use crate::path::{FieldPath, Seg};
use crate::propose::Unlock;

/// One editable field.
#[derive(Debug, Clone, PartialEq)]
pub struct Place {
    /// The object that has it.
    pub object: ObjectRef,
    /// The field.
    pub path: FieldPath,
    /// Its value in Git; none for a field that may be added.
    pub current: Option<Value>,
    /// The allow-list rows that unlock it, at least one.
    pub unlocks: Vec<Unlock>,
}

/// Everything that a model may propose for one finding.
#[derive(Debug, Clone, Default)]
pub struct Scope {
    /// The editable objects of Git.
    pub objects: Vec<ObjectRef>,
    /// The rows of the allow-list for this class of finding.
    pub rows: Vec<RowInfo>,
    /// The editable fields; not all of them where `open`.
    pub places: Vec<Place>,
    /// Whether other fields may be named too: which one is wrong is not known by its name.
    pub open: bool,
    manifests: Vec<Object>,
}

/// The most objects and the most fields of one scope (Azure allows 500 enum values in all).
const MAX_OBJECTS: usize = 6;
const MAX_PLACES: usize = 120;
/// The most characters of all paths (Azure allows 15,000 for the whole schema).
const MAX_CHARACTERS: usize = 8_000;

impl Scope {
    /// The scope of a case.
    pub fn of(case: &Case<'_>) -> Self {
        let class = case.finding.class;
        let rows: Vec<RowInfo> = row_infos()
            .filter(|r| r.classes.contains(&class) && !r.playbook_only)
            .collect();
        let manifests = manifests(case);
        let mut scope = Self {
            objects: manifests.iter().map(Object::reference).collect(),
            open: rows.iter().any(|r| is_open(r.unlock)),
            rows,
            places: Vec::new(),
            manifests,
        };
        for object in scope.manifests.clone() {
            scope.add_places(case, &object);
        }
        scope.bound();
        scope
    }

    /// Keeps the schema small; a scope that was cut is an open one.
    fn bound(&mut self) {
        let mut characters = 0;
        let fits = |place: &Place| {
            characters += place.path.to_string().len();
            characters <= MAX_CHARACTERS
        };
        let keep = self.places.iter().map(fits).take_while(|ok| *ok).count();
        let keep = keep.min(MAX_PLACES);
        self.open |= keep < self.places.len();
        self.places.truncate(keep);
    }

    /// Whether a model could propose any edit at all.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty() || self.objects.is_empty() || (self.places.is_empty() && !self.open)
    }

    /// The value that Git has at a path.
    pub fn current(&self, object: &ObjectRef, path: &FieldPath) -> Option<&Value> {
        let same = |o: &&Object| o.reference().same_object(object);
        path.get(&self.manifests.iter().find(same)?.value)
    }

    /// The rows that unlock a path; none where the path is outside of the scope.
    pub fn unlocks(&self, object: &ObjectRef, path: &FieldPath) -> Vec<Unlock> {
        let place = self
            .places
            .iter()
            .find(|p| p.object == *object && p.path == *path);
        match place {
            Some(place) => place.unlocks.clone(),
            None if self.open => self.rows.iter().map(|r| r.unlock).collect(),
            None => Vec::new(),
        }
    }

    fn add_places(&mut self, case: &Case<'_>, object: &Object) {
        let paths = nodes(&object.value);
        for row in self.rows.clone() {
            for pattern in patterns(row.unlock) {
                for path in pattern.select(case, object, &paths) {
                    self.add(object, path, row.unlock);
                }
            }
            if row.unlock == Unlock::CrashLoopAfterChange {
                for path in changed(case, object) {
                    self.add(object, path, row.unlock);
                }
            }
        }
    }

    fn add(&mut self, object: &Object, path: FieldPath, unlock: Unlock) {
        let reference = object.reference();
        if !is_printable(&path.to_string()) {
            return;
        }
        let known = self
            .places
            .iter_mut()
            .find(|p| p.object == reference && p.path == path);
        match known {
            Some(place) if place.unlocks.contains(&unlock) => {}
            Some(place) => place.unlocks.push(unlock),
            None => self.places.push(Place {
                current: path.get(&object.value).cloned(),
                object: reference,
                path,
                unlocks: vec![unlock],
            }),
        }
    }
}

/// Rows whose field follows from the fault and not from the class.
fn is_open(unlock: Unlock) -> bool {
    matches!(unlock, Unlock::InvalidManifest | Unlock::DeprecatedApi)
}

/// Paths become part of the schema, so only plain ones are offered.
fn is_printable(path: &str) -> bool {
    !path.is_empty() && path.len() <= 200 && path.bytes().all(|b| (0x20..0x7f).contains(&b))
}

/// The object of the finding, what it names, and the ConfigMaps that its pods read.
fn manifests(case: &Case<'_>) -> Vec<Object> {
    let mut wanted = vec![case.finding.object.clone()];
    wanted.extend(case.finding.related.iter().cloned());
    if let Some(spec) = case.manifest().and_then(|d| d.object.pod_spec()) {
        let namespace = case.finding.object.namespace.as_deref();
        let names = referenced(spec, "ConfigMap");
        let refer = |n: &String| ObjectRef::new("v1", "ConfigMap", namespace, n);
        wanted.extend(names.iter().map(refer));
    }
    let mut out: Vec<Object> = Vec::new();
    for object in wanted {
        let known = out.iter().any(|o| o.reference().same_object(&object));
        if let (false, Some(desired)) = (known, case.desired(&object))
            && !["Secret", "Node", "Namespace"].contains(&object.kind.as_str())
        {
            out.push(desired.object.clone());
        }
    }
    out.truncate(MAX_OBJECTS);
    out
}

/// The fields in which an earlier version that worked differs.
fn changed(case: &Case<'_>, object: &Object) -> Vec<FieldPath> {
    let Some(base) = object.pod_spec_path() else {
        return Vec::new();
    };
    let Some(now) = base.get(&object.value) else {
        return Vec::new();
    };
    known_good(case, &object.reference())
        .iter()
        .filter_map(|good| base.get(&good.object))
        .flat_map(|then| difference::fields(then, now))
        .filter(|d| d.after.is_some() && can_go_back(&d.path))
        .map(|d| base.join(&d.path))
        .take(40)
        .collect()
}

/// Fields of a pod spec that may be set back to what they were.
fn can_go_back(path: &FieldPath) -> bool {
    const OF_CONTAINER: &[&str] = &[
        "image",
        "command",
        "args",
        "workingDir",
        "env",
        "resources",
        "livenessProbe",
        "readinessProbe",
        "startupProbe",
    ];
    const OF_POD: &[&str] = &[
        "affinity",
        "nodeSelector",
        "tolerations",
        "topologySpreadConstraints",
    ];
    match path.0.as_slice() {
        [
            Seg::Key(list),
            Seg::Named { .. } | Seg::Index(_),
            Seg::Key(field),
            ..,
        ] => {
            ["containers", "initContainers"].contains(&list.as_str())
                && OF_CONTAINER.contains(&field.as_str())
        }
        [Seg::Key(field), ..] => OF_POD.contains(&field.as_str()),
        _ => false,
    }
}

/// Every node of a value with its path, list items by name where they have one.
fn nodes(value: &Value) -> Vec<(FieldPath, Vec<String>)> {
    let mut out = Vec::new();
    walk(value, &FieldPath::default(), &mut Vec::new(), &mut out);
    out
}

const MAX_NODES: usize = 3_000;

fn walk(
    value: &Value,
    path: &FieldPath,
    words: &mut Vec<String>,
    out: &mut Vec<(FieldPath, Vec<String>)>,
) {
    if out.len() >= MAX_NODES || words.len() > 24 {
        return;
    }
    if !words.is_empty() {
        out.push((path.clone(), words.clone()));
    }
    let children: Vec<(FieldPath, String, &Value)> = match value {
        Value::Object(map) => map
            .iter()
            .map(|(k, v)| (path.key(k), k.clone(), v))
            .collect(),
        Value::Array(items) => items
            .iter()
            .enumerate()
            .map(|(i, v)| (item(path, items, i, v), "*".to_owned(), v))
            .collect(),
        _ => Vec::new(),
    };
    for (path, word, child) in children {
        words.push(word);
        walk(child, &path, words, out);
        words.pop();
    }
}

/// The path of a list item: by name where the name is unique, else by index.
fn item(path: &FieldPath, items: &[Value], index: usize, value: &Value) -> FieldPath {
    let name_of = |v: &Value| v.get("name").and_then(Value::as_str).map(str::to_owned);
    match name_of(value) {
        Some(name)
            if items
                .iter()
                .filter(|v| name_of(v).as_ref() == Some(&name))
                .count()
                == 1 =>
        {
            path.named(&name)
        }
        _ => path.index(index),
    }
}

/// A family of fields: `C.` below a container, `P.` below the pod spec, `Kind.` below an object
/// of that kind. `*` is a list item or a key, `**` at the end is everything there and below;
/// a leading `+` also offers the field where it is absent.
struct Pattern(&'static str);

impl Pattern {
    fn select(
        &self,
        case: &Case<'_>,
        object: &Object,
        nodes: &[(FieldPath, Vec<String>)],
    ) -> Vec<FieldPath> {
        let addable = self.0.starts_with('+');
        let (root, tail) = self
            .0
            .trim_start_matches('+')
            .split_once('.')
            .unwrap_or_default();
        let wanted: Vec<&str> = tail.split('.').collect();
        let mut out = Vec::new();
        for base in bases(root, case, object) {
            for (path, words) in nodes {
                if path.starts_with(&base) && fits(&wanted, words.get(base.0.len()..)) {
                    out.push(path.clone());
                }
            }
            if addable && has_its_probe(&base, &wanted, object) {
                let path = wanted.iter().fold(base, |p, word| p.key(word));
                if path.get(&object.value).is_none() {
                    out.push(path);
                }
            }
        }
        out
    }
}

/// Whether a field of a probe would be added to a probe that there is.
fn has_its_probe(base: &FieldPath, wanted: &[&str], object: &Object) -> bool {
    match wanted.first() {
        Some(probe) if probe.ends_with("Probe") => base.key(probe).get(&object.value).is_some(),
        _ => true,
    }
}

/// The paths that a pattern's root stands for.
fn bases(root: &str, case: &Case<'_>, object: &Object) -> Vec<FieldPath> {
    match root {
        "P" => object.pod_spec_path().into_iter().collect(),
        "C" => object
            .containers()
            .into_iter()
            .filter(|c| {
                let failing = case.finding.container.as_deref();
                failing.is_none_or(|name| name == c.name)
            })
            .map(|c| c.path)
            .collect(),
        kind if kind == object.kind() => vec![FieldPath::default()],
        _ => Vec::new(),
    }
}

fn fits(wanted: &[&str], words: Option<&[String]>) -> bool {
    let words = words.unwrap_or_default();
    match wanted.split_last() {
        Some((&"**", front)) => {
            words.len() >= front.len() && front.iter().zip(words).all(|(w, have)| one(w, have))
        }
        _ => wanted.len() == words.len() && wanted.iter().zip(words).all(|(w, have)| one(w, have)),
    }
}

fn one(wanted: &str, have: &str) -> bool {
    wanted == "*" || wanted == have
}

/// The fields that each row unlocks.
fn patterns(unlock: Unlock) -> Vec<Pattern> {
    let table: &[&'static str] = match unlock {
        Unlock::ImagePullNotFound => &["C.image"],
        Unlock::ImagePullAuth => &["+P.imagePullSecrets"],
        Unlock::OOMKilled => &["C.resources.limits.memory", "C.resources.requests.memory"],
        Unlock::CpuThrottling => &[
            "C.resources.limits.cpu",
            "C.resources.requests.cpu",
            "C.startupProbe.*",
        ],
        Unlock::MissingConfig => &[
            "C.env.*.valueFrom.configMapKeyRef.name",
            "C.env.*.valueFrom.configMapKeyRef.key",
            "C.envFrom.*.configMapRef.name",
            "P.volumes.*.configMap.name",
            "P.volumes.*.configMap.items.**",
            "ConfigMap.data.*",
        ],
        Unlock::MissingSecret => &[
            "C.env.*.valueFrom.secretKeyRef.name",
            "C.env.*.valueFrom.secretKeyRef.key",
        ],
        Unlock::BadCommand => &["C.command.**", "C.args.**"],
        Unlock::ProbeFailure => &[
            "C.livenessProbe.**",
            "C.readinessProbe.**",
            "C.startupProbe.**",
            "+C.livenessProbe.initialDelaySeconds",
            "+C.readinessProbe.initialDelaySeconds",
        ],
        Unlock::PortMismatch => &[
            "Service.spec.ports.*.targetPort",
            "Service.spec.selector.**",
            "C.ports.*.containerPort",
            "C.ports.*.name",
        ],
        Unlock::UnschedulableResources => &["C.resources.requests.*"],
        Unlock::UnschedulablePlacement => &["P.nodeSelector.**", "P.affinity.**", "+P.tolerations"],
        Unlock::Evicted => &[
            "C.resources.limits.ephemeral-storage",
            "C.resources.requests.ephemeral-storage",
            "P.volumes.*.emptyDir.sizeLimit",
        ],
        Unlock::PvcPending => &[
            "+PersistentVolumeClaim.spec.storageClassName",
            "PersistentVolumeClaim.spec.resources.requests.storage",
            "StatefulSet.spec.volumeClaimTemplates.*.spec.storageClassName",
        ],
        Unlock::ClaimNotFound => &["P.volumes.*.persistentVolumeClaim.claimName"],
        Unlock::HostPortConflict => &["C.ports.*.hostPort"],
        Unlock::ConfigContent => &["ConfigMap.data.*"],
        Unlock::QuotaRejected => &[
            "+C.resources",
            "+C.resources.limits.cpu",
            "+C.resources.limits.memory",
            "+C.resources.requests.cpu",
            "+C.resources.requests.memory",
        ],
        Unlock::HpaMisconfig => &[
            "HorizontalPodAutoscaler.spec.metrics.*.resource.**",
            "+C.resources.requests.cpu",
            "+C.resources.requests.memory",
        ],
        Unlock::BackendMissing => &[
            "Ingress.spec.rules.*.http.paths.*.backend.service.**",
            "Ingress.spec.defaultBackend.service.**",
        ],
        // Values that follow from facts, or fields that follow from the fault.
        _ => &[],
    };
    table.iter().map(|p| Pattern(p)).collect()
}
