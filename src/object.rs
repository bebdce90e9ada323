//! Kubernetes objects as plain JSON values, and references to them.
//!
//! Objects come from hostile places (a cluster, a repository), so nothing here assumes that a
//! field exists or has the right type: a wrong shape reads as absent.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::path::FieldPath;

/// Names one object: `apps/v1 Deployment shop/cart`.
#[derive(
    Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ObjectRef {
    /// Group and version, `apps/v1`; `v1` for the core group; empty when unknown.
    pub api_version: String,
    /// Kind, `Deployment`.
    pub kind: String,
    /// Namespace; none for cluster-scoped objects and for manifests that name none.
    pub namespace: Option<String>,
    /// Name.
    pub name: String,
}

impl ObjectRef {
    /// A reference from its parts.
    pub fn new(api_version: &str, kind: &str, namespace: Option<&str>, name: &str) -> Self {
        Self {
            api_version: api_version.to_owned(),
            kind: kind.to_owned(),
            namespace: namespace.filter(|n| !n.is_empty()).map(str::to_owned),
            name: name.to_owned(),
        }
    }

    /// The API group, empty for the core group.
    pub fn group(&self) -> &str {
        self.api_version
            .split_once('/')
            .map_or("", |(group, _)| group)
    }

    /// Same kind, namespace and name; the API version may differ.
    pub fn same_object(&self, other: &Self) -> bool {
        self.kind == other.kind && self.name == other.name && self.namespace == other.namespace
    }
}

/// `Deployment shop/cart`, the form for people.
impl fmt::Display for ObjectRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.namespace {
            Some(ns) => write!(f, "{} {ns}/{}", self.kind, self.name),
            None => write!(f, "{} {}", self.kind, self.name),
        }
    }
}

/// One object, as a cluster dump or a manifest holds it.
#[derive(Debug, Clone, PartialEq)]
pub struct Object {
    /// The whole object.
    pub value: Value,
}

impl Object {
    /// Wraps a value that has at least a `kind`.
    pub fn new(value: Value) -> Option<Self> {
        value.get("kind")?.as_str()?;
        Some(Self { value })
    }

    /// `apiVersion`, or an empty text.
    pub fn api_version(&self) -> &str {
        self.str("apiVersion").unwrap_or_default()
    }

    /// `kind`, or an empty text.
    pub fn kind(&self) -> &str {
        self.str("kind").unwrap_or_default()
    }

    /// `metadata.name`, or an empty text.
    pub fn name(&self) -> &str {
        self.str("metadata.name").unwrap_or_default()
    }

    /// `metadata.namespace`.
    pub fn namespace(&self) -> Option<&str> {
        self.str("metadata.namespace").filter(|ns| !ns.is_empty())
    }

    /// `metadata.uid`.
    pub fn uid(&self) -> Option<&str> {
        self.str("metadata.uid")
    }

    /// The reference to this object.
    pub fn reference(&self) -> ObjectRef {
        ObjectRef::new(
            self.api_version(),
            self.kind(),
            self.namespace(),
            self.name(),
        )
    }

    /// The value at a dotted path of plain keys; for name selectors use [`FieldPath::get`].
    pub fn get(&self, dotted: &str) -> Option<&Value> {
        at(&self.value, dotted)
    }

    /// The text at a dotted path.
    pub fn str(&self, dotted: &str) -> Option<&str> {
        self.get(dotted)?.as_str()
    }

    /// The integer at a dotted path.
    pub fn int(&self, dotted: &str) -> Option<i64> {
        self.get(dotted)?.as_i64()
    }

    /// The items of a list at a dotted path; empty when absent or of another type.
    pub fn list(&self, dotted: &str) -> &[Value] {
        list(&self.value, dotted)
    }

    /// The mapping at a dotted path.
    pub fn map(&self, dotted: &str) -> Option<&Map<String, Value>> {
        self.get(dotted)?.as_object()
    }

    /// One label of the object.
    pub fn label(&self, key: &str) -> Option<&str> {
        self.map("metadata.labels")?.get(key)?.as_str()
    }

    /// One annotation of the object.
    pub fn annotation(&self, key: &str) -> Option<&str> {
        self.map("metadata.annotations")?.get(key)?.as_str()
    }

    /// Where this kind keeps its pod spec; none for kinds without one.
    pub fn pod_spec_path(&self) -> Option<FieldPath> {
        pod_spec_path(self.kind())
    }

    /// The pod spec, for a Pod or any workload.
    pub fn pod_spec(&self) -> Option<&Value> {
        self.pod_spec_path()?.get(&self.value)
    }

    /// The labels that this workload gives its pods, or the labels of a Pod itself.
    pub fn pod_labels(&self) -> Option<&Map<String, Value>> {
        match self.kind() {
            "Pod" => self.map("metadata.labels"),
            "CronJob" => self.map("spec.jobTemplate.spec.template.metadata.labels"),
            _ => self.map("spec.template.metadata.labels"),
        }
    }

    /// All containers, init containers first.
    pub fn containers(&self) -> Vec<Container<'_>> {
        let (Some(base), Some(spec)) = (self.pod_spec_path(), self.pod_spec()) else {
            return Vec::new();
        };
        let mut out = Vec::new();
        for field in ["initContainers", "containers"] {
            for value in list(spec, field) {
                let Some(name) = value.get("name").and_then(Value::as_str) else {
                    continue;
                };
                let path = base.key(field).named(name);
                out.push(Container {
                    name,
                    init: field == "initContainers",
                    value,
                    path,
                });
            }
        }
        out
    }

    /// One container (or init container) by name.
    pub fn container(&self, name: &str) -> Option<Container<'_>> {
        self.containers().into_iter().find(|c| c.name == name)
    }

    /// The controlling owner: the `ownerReferences` entry with `controller: true`.
    pub fn controller(&self) -> Option<&Value> {
        self.list("metadata.ownerReferences")
            .iter()
            .find(|o| o.get("controller").and_then(Value::as_bool) == Some(true))
    }
}

/// One container of a pod spec.
#[derive(Debug, Clone)]
pub struct Container<'o> {
    /// Its name.
    pub name: &'o str,
    /// Whether it is an init container.
    pub init: bool,
    /// The container itself.
    pub value: &'o Value,
    /// Its path in the object.
    pub path: FieldPath,
}

impl Container<'_> {
    /// The text at a dotted path below the container.
    pub fn str(&self, dotted: &str) -> Option<&str> {
        at(self.value, dotted)?.as_str()
    }
    /// The value at a dotted path below the container.
    pub fn get(&self, dotted: &str) -> Option<&Value> {
        at(self.value, dotted)
    }
    /// The items of a list at a dotted path below the container.
    pub fn list(&self, dotted: &str) -> &[Value] {
        list(self.value, dotted)
    }
}

/// Where a kind keeps its pod spec.
pub fn pod_spec_path(kind: &str) -> Option<FieldPath> {
    Some(match kind {
        "Pod" => FieldPath::keys(["spec"]),
        "CronJob" => FieldPath::keys(["spec", "jobTemplate", "spec", "template", "spec"]),
        "Deployment"
        | "StatefulSet"
        | "DaemonSet"
        | "ReplicaSet"
        | "ReplicationController"
        | "Job"
        | "Rollout" => FieldPath::keys(["spec", "template", "spec"]),
        _ => return None,
    })
}

/// The value at a dotted path of plain keys.
pub fn at<'v>(value: &'v Value, dotted: &str) -> Option<&'v Value> {
    dotted.split('.').try_fold(value, |v, key| v.get(key))
}

/// The items of a list at a dotted path; empty when absent or of another type.
pub fn list<'v>(value: &'v Value, dotted: &str) -> &'v [Value] {
    at(value, dotted)
        .and_then(Value::as_array)
        .map_or(&[], Vec::as_slice)
}
