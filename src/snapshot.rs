//! What a cluster looked like at one moment, as plain values: objects, events and logs.
//!
//! Pure. A snapshot comes from `kubectl get … -o yaml|json` output (module [`crate::dump`]), from a
//! live cluster, or from literals in a test. What a dump does not list is unknown, not absent:
//! see [`Snapshot::existence`].

use std::collections::{BTreeMap, BTreeSet, HashMap};

use jiff::Timestamp;
use serde_json::{Map, Value};

use crate::object::{Object, ObjectRef, list};

/// Whether an object exists, as far as a snapshot can say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Existence {
    /// It is in the snapshot.
    Exists,
    /// The snapshot lists objects of its kind, and it is not among them.
    Absent,
    /// The snapshot does not list objects of its kind, so nobody knows.
    Unknown,
}

/// Names the log of one container run.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct LogKey {
    /// Namespace of the pod.
    pub namespace: String,
    /// Name of the pod.
    pub pod: String,
    /// Name of the container.
    pub container: String,
    /// Whether it is the log of the run before the current one.
    pub previous: bool,
}

/// One Event, in either of the two APIs, with the new one's gaps filled.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// `FailedScheduling`, `BackOff`, …
    pub reason: String,
    /// The message, folded lines joined.
    pub message: String,
    /// `Normal` or `Warning`.
    pub kind: String,
    /// How often it was seen, at least 1.
    pub count: i64,
    /// When it was seen last.
    pub last: Option<Timestamp>,
    /// The object that it is about.
    pub object: ObjectRef,
    /// `spec.containers{web}`, when it is about a container.
    pub field_path: Option<String>,
}

/// Who kubemend's own Events are from.
pub const REPORTER: &str = "kubemend.dev/kubemend";

/// Whether an Event is one of kubemend's own: what it said itself is no evidence.
pub fn is_own_event(event: &Value) -> bool {
    let fields = ["reportingComponent", "reportingController"];
    let by = fields.iter().filter_map(|f| event.get(f)?.as_str());
    let source = event.pointer("/source/component").and_then(Value::as_str);
    by.chain(source).any(|by| by == REPORTER)
}

/// A cluster at one moment.
#[derive(Debug, Clone, Default)]
pub struct Snapshot {
    objects: Vec<Object>,
    by_key: HashMap<(String, Option<String>, String), usize>,
    by_uid: HashMap<String, usize>,
    by_kind: BTreeMap<String, Vec<usize>>,
    children: HashMap<String, Vec<usize>>,
    /// Pods by kind, namespace and name of their top owner, and by themselves.
    pods: HashMap<(String, Option<String>, String), Vec<usize>>,
    /// Events by the object that they are about.
    events_of: HashMap<(String, Option<String>, String), Vec<usize>>,
    listed: BTreeMap<String, BTreeSet<Option<String>>>,
    events: Vec<Event>,
    logs: BTreeMap<LogKey, String>,
}

impl Snapshot {
    /// Builds a snapshot. Values of Secrets are dropped here, whatever their source.
    pub fn new(objects: Vec<Object>, logs: BTreeMap<LogKey, String>) -> Self {
        let mut snapshot = Self {
            logs,
            ..Self::default()
        };
        for mut object in objects {
            drop_secret_values(&mut object.value);
            snapshot.add(object);
        }
        snapshot.events.sort_by_key(|e| (e.last, e.count));
        snapshot.index();
        snapshot
    }

    /// What would be searched for again and again on a large dump.
    fn index(&mut self) {
        for (i, event) in self.events.iter().enumerate() {
            self.events_of
                .entry(key_of(&event.object))
                .or_default()
                .push(i);
        }
        let pods = self.by_kind.get("Pod").cloned().unwrap_or_default();
        for i in pods {
            let Some(pod) = self.objects.get(i) else {
                continue;
            };
            let (owner, itself) = (key_of(&self.top_owner(pod)), key_of(&pod.reference()));
            if owner != itself {
                self.pods.entry(owner).or_default().push(i);
            }
            self.pods.entry(itself).or_default().push(i);
        }
    }

    /// Records that a dump asked for a kind and got nothing (an empty `List` of that kind).
    pub fn listed_empty(&mut self, kind: &str, namespace: Option<&str>) {
        self.listed
            .entry(kind.to_owned())
            .or_default()
            .insert(namespace.map(str::to_owned));
    }

    fn add(&mut self, object: Object) {
        let kind = object.kind().to_owned();
        let namespace = object.namespace().map(str::to_owned);
        if kind == "Event" {
            self.listed.entry(kind).or_default().insert(namespace);
            if !is_own_event(&object.value) {
                self.events.extend(read_event(&object));
            }
            return;
        }
        let key = (kind.clone(), namespace.clone(), object.name().to_owned());
        if self.by_key.contains_key(&key) {
            return; // the same object in two dumps: the first one counts
        }
        let index = self.objects.len();
        self.by_key.insert(key, index);
        self.listed
            .entry(kind.clone())
            .or_default()
            .insert(namespace);
        self.by_kind.entry(kind).or_default().push(index);
        if let Some(uid) = object.uid() {
            self.by_uid.insert(uid.to_owned(), index);
        }
        if let Some(owner) = object
            .controller()
            .and_then(|o| o.get("uid"))
            .and_then(Value::as_str)
        {
            self.children
                .entry(owner.to_owned())
                .or_default()
                .push(index);
        }
        self.objects.push(object);
    }

    /// All objects but Events, in the order of the dump.
    pub fn objects(&self) -> &[Object] {
        &self.objects
    }

    /// All objects of one kind, in the order of the dump.
    pub fn of_kind<'s>(&'s self, kind: &str) -> impl Iterator<Item = &'s Object> + use<'s> {
        self.by_kind
            .get(kind)
            .map_or(&[][..], Vec::as_slice)
            .iter()
            .map(|i| &self.objects[*i])
    }

    /// All objects of one kind in one namespace.
    pub fn in_namespace<'s>(&'s self, kind: &str, namespace: Option<&str>) -> Vec<&'s Object> {
        self.of_kind(kind)
            .filter(|o| o.namespace() == namespace)
            .collect()
    }

    /// One object.
    pub fn find(&self, kind: &str, namespace: Option<&str>, name: &str) -> Option<&Object> {
        let key = (
            kind.to_owned(),
            namespace.map(str::to_owned),
            name.to_owned(),
        );
        self.by_key.get(&key).map(|i| &self.objects[*i])
    }

    /// The object behind a reference (any API version).
    pub fn get(&self, object: &ObjectRef) -> Option<&Object> {
        self.find(&object.kind, object.namespace.as_deref(), &object.name)
    }

    /// Whether an object exists. It counts as absent only where the dump lists its kind: in the
    /// same namespace, or in at least two (then the dump was made over all of them).
    pub fn existence(&self, kind: &str, namespace: Option<&str>, name: &str) -> Existence {
        if self.find(kind, namespace, name).is_some() {
            return Existence::Exists;
        }
        match self.listed.get(kind) {
            Some(seen) if seen.contains(&namespace.map(str::to_owned)) || seen.len() > 1 => {
                Existence::Absent
            }
            _ => Existence::Unknown,
        }
    }

    /// Events about one object, oldest first.
    pub fn events_for(&self, object: &ObjectRef) -> Vec<&Event> {
        let places = self
            .events_of
            .get(&key_of(object))
            .map_or(&[][..], Vec::as_slice);
        places.iter().filter_map(|i| self.events.get(*i)).collect()
    }

    /// All events, oldest first.
    pub fn events(&self) -> &[Event] {
        &self.events
    }

    /// The log of one container run.
    pub fn log(&self, namespace: &str, pod: &str, container: &str, previous: bool) -> Option<&str> {
        let key = LogKey {
            namespace: namespace.to_owned(),
            pod: pod.to_owned(),
            container: container.to_owned(),
            previous,
        };
        self.logs.get(&key).map(String::as_str)
    }

    /// All logs.
    pub fn logs(&self) -> &BTreeMap<LogKey, String> {
        &self.logs
    }

    /// The controlling owner of an object, verified by uid.
    pub fn owner(&self, object: &Object) -> Option<&Object> {
        let reference = object.controller()?;
        let uid = reference.get("uid").and_then(Value::as_str)?;
        self.by_uid.get(uid).map(|i| &self.objects[*i])
    }

    /// The objects that this one controls.
    pub fn children(&self, object: &Object) -> Vec<&Object> {
        let Some(uid) = object.uid() else {
            return Vec::new();
        };
        self.children
            .get(uid)
            .map_or_else(Vec::new, |c| c.iter().map(|i| &self.objects[*i]).collect())
    }

    /// The top of the owner chain as a reference. Where the chain leaves the snapshot, the last
    /// owner reference counts (with a ReplicaSet's hash stripped to its Deployment).
    pub fn top_owner(&self, object: &Object) -> ObjectRef {
        let mut at = object;
        for _ in 0..10 {
            match self.owner(at) {
                Some(owner) => at = owner,
                None => {
                    return at
                        .controller()
                        .map_or_else(|| at.reference(), |o| dangling_owner(at, o));
                }
            }
        }
        at.reference()
    }

    /// All pods below a workload, through ReplicaSets and Jobs; a Pod is its own pod.
    pub fn pods_of(&self, owner: &ObjectRef) -> Vec<&Object> {
        let places = self.pods.get(&key_of(owner)).map_or(&[][..], Vec::as_slice);
        places.iter().filter_map(|i| self.objects.get(*i)).collect()
    }
}

fn key_of(object: &ObjectRef) -> (String, Option<String>, String) {
    (
        object.kind.clone(),
        object.namespace.clone(),
        object.name.clone(),
    )
}

/// The owner that a reference names, when the owner itself is not in the snapshot.
fn dangling_owner(child: &Object, reference: &Value) -> ObjectRef {
    let text = |key: &str| {
        reference
            .get(key)
            .and_then(Value::as_str)
            .unwrap_or_default()
    };
    let (kind, name) = (text("kind"), text("name"));
    if kind == "ReplicaSet"
        && let Some(hash) = child.label("pod-template-hash")
        && let Some(deployment) = name.strip_suffix(&format!("-{hash}"))
    {
        return ObjectRef::new("apps/v1", "Deployment", child.namespace(), deployment);
    }
    ObjectRef::new(text("apiVersion"), kind, child.namespace(), name)
}

fn read_event(object: &Object) -> Option<Event> {
    let about = object
        .get("involvedObject")
        .or_else(|| object.get("regarding"))?;
    let text = |key: &str| about.get(key).and_then(Value::as_str);
    let time = |dotted: &str| object.str(dotted).and_then(|t| t.parse::<Timestamp>().ok());
    Some(Event {
        reason: object.str("reason").unwrap_or_default().to_owned(),
        message: object
            .str("message")
            .or_else(|| object.str("note"))
            .unwrap_or_default()
            .trim()
            .to_owned(),
        kind: object.str("type").unwrap_or("Normal").to_owned(),
        count: object
            .int("count")
            .or_else(|| object.int("deprecatedCount"))
            .or_else(|| object.int("series.count"))
            .unwrap_or(1)
            .max(1),
        last: time("series.lastObservedTime")
            .or_else(|| time("lastTimestamp"))
            .or_else(|| time("deprecatedLastTimestamp"))
            .or_else(|| time("eventTime"))
            .or_else(|| time("metadata.creationTimestamp")),
        object: ObjectRef::new(
            text("apiVersion").unwrap_or_default(),
            text("kind").unwrap_or_default(),
            text("namespace"),
            text("name").unwrap_or_default(),
        ),
        field_path: text("fieldPath").map(str::to_owned),
    })
}

/// Removes the values of a Secret (and copies of them in `last-applied-configuration`), keeping
/// the names of its keys. Lists of Secrets are handled too.
pub fn drop_secret_values(value: &mut Value) {
    if value.get("kind").and_then(Value::as_str) == Some("Secret") {
        for field in ["data", "stringData"] {
            if let Some(Value::Object(data)) = value.get_mut(field) {
                for v in data.values_mut() {
                    *v = Value::Null;
                }
            }
        }
        if let Some(annotations) = value
            .pointer_mut("/metadata/annotations")
            .and_then(Value::as_object_mut)
        {
            annotations.remove("kubectl.kubernetes.io/last-applied-configuration");
        }
    }
    if let Some(Value::Array(items)) = value.get_mut("items") {
        items.iter_mut().for_each(drop_secret_values);
    }
}

/// Whether a label selector (`matchLabels` and `matchExpressions`) matches labels. An empty or
/// absent selector matches everything.
pub fn selector_matches(selector: Option<&Value>, labels: Option<&Map<String, Value>>) -> bool {
    let Some(selector) = selector else {
        return true;
    };
    let label = |key: &str| labels.and_then(|l| l.get(key)).and_then(Value::as_str);
    let equal = selector
        .get("matchLabels")
        .and_then(Value::as_object)
        .is_none_or(|wanted| {
            wanted
                .iter()
                .all(|(k, v)| v.as_str().is_some_and(|v| label(k) == Some(v)))
        });
    equal
        && list(selector, "matchExpressions").iter().all(|e| {
            let have = e.get("key").and_then(Value::as_str).and_then(label);
            let within = || {
                list(e, "values")
                    .iter()
                    .any(|v| v.as_str().is_some() && v.as_str() == have)
            };
            match e.get("operator").and_then(Value::as_str) {
                Some("In") => have.is_some() && within(),
                Some("NotIn") => have.is_none() || !within(),
                Some("Exists") => have.is_some(),
                Some("DoesNotExist") => have.is_none(),
                _ => false,
            }
        })
}

/// Whether a plain map selector (`Service.spec.selector`) matches labels; an empty one selects nothing.
pub fn map_selects(
    selector: Option<&Map<String, Value>>,
    labels: Option<&Map<String, Value>>,
) -> bool {
    selector.is_some_and(|s| {
        !s.is_empty()
            && s.iter()
                .all(|(k, v)| labels.and_then(|l| l.get(k)) == Some(v) && v.is_string())
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::json;

    use super::*;

    #[test]
    fn what_kubemend_said_itself_is_no_evidence() {
        let event = |field: &str, by: &str| {
            let mut event = json!({
                "apiVersion": "v1", "kind": "Event", "reason": "Said", "type": "Warning",
                "metadata": {"name": "e", "namespace": "shop"},
                "involvedObject": {"kind": "Deployment", "namespace": "shop", "name": "cart"},
            });
            event[field] = json!(by);
            Object::new(event).unwrap()
        };
        let all = vec![
            event("reportingComponent", REPORTER),
            event("reportingController", REPORTER),
            event("reportingComponent", "deployment-controller"),
        ];
        let snapshot = Snapshot::new(all, BTreeMap::new());
        assert_eq!(snapshot.events().len(), 1);
        let source = json!({"source": {"component": REPORTER}});
        assert!(is_own_event(&source));
    }
}
