//! Mechanical conversions from removed API versions to their replacements (rule C15).
//!
//! Only moves that keep the meaning are made. Where the new version needs a decision, the
//! conversion says which, and nobody may call it mechanical.

use serde_json::{Map, Value, json};

use crate::lock::apply_op;
use crate::object::{Object, list};
use crate::path::FieldPath;
use crate::propose::Op;
use crate::schema::deprecated::deprecated;

/// One step of a conversion.
#[derive(Debug, Clone, PartialEq)]
pub struct Move {
    /// The field.
    pub path: FieldPath,
    /// What to do there.
    pub op: Op,
    /// Why, for people.
    pub why: String,
}

/// An object in the version that replaces its own.
#[derive(Debug, Clone, PartialEq)]
pub struct Converted {
    /// The object after all moves.
    pub object: Object,
    /// The moves, `apiVersion` first.
    pub moves: Vec<Move>,
    /// What a person has to decide before the conversion means the same; empty if it is mechanical.
    pub open: Vec<String>,
    /// Defaults that differ between the versions, where the object relies on them.
    pub notes: Vec<String>,
}

/// Converts an object whose API version was removed; none if its version is served, or nothing
/// replaces it.
pub fn convert(object: &Object) -> Option<Converted> {
    let gone = deprecated(object.api_version(), object.kind())?;
    let new = gone.replacement?;
    let mut plan = Moves::default();
    plan.set(
        FieldPath::keys(["apiVersion"]),
        json!(new),
        format!(
            "{} {} was removed in Kubernetes {}; {new} replaces it",
            object.api_version(),
            object.kind(),
            gone.removed_in
        ),
    );
    body(object, &mut plan);
    let mut converted = object.clone();
    for step in &plan.moves {
        apply_op(&mut converted.value, &step.path, &step.op);
    }
    Some(Converted {
        object: converted,
        moves: plan.moves,
        open: plan.open,
        notes: plan.notes,
    })
}

/// The moves that give an Ingress of `networking.k8s.io/v1` its own form, where it still has the
/// fields of the beta version.
pub fn ingress_moves(object: &Object) -> Vec<Move> {
    let mut plan = Moves::default();
    ingress(object, &mut plan);
    plan.moves
}

#[derive(Default)]
struct Moves {
    moves: Vec<Move>,
    open: Vec<String>,
    notes: Vec<String>,
}

impl Moves {
    fn push(&mut self, path: FieldPath, op: Op, why: impl Into<String>) {
        self.moves.push(Move {
            path,
            op,
            why: why.into(),
        });
    }
    fn set(&mut self, path: FieldPath, value: Value, why: impl Into<String>) {
        self.push(path, Op::Set(value), why);
    }
    fn add(&mut self, path: FieldPath, value: Value, why: impl Into<String>) {
        self.push(path, Op::Add(value), why);
    }
    fn remove(&mut self, object: &Object, path: FieldPath, why: impl Into<String>) {
        if path.get(&object.value).is_some() {
            self.push(path, Op::Remove, why);
        }
    }
    fn open(&mut self, what: impl Into<String>) {
        self.open.push(what.into());
    }
    fn note(&mut self, what: impl Into<String>) {
        self.notes.push(what.into());
    }
}

fn body(object: &Object, plan: &mut Moves) {
    match object.kind() {
        "Deployment" | "DaemonSet" | "ReplicaSet" | "StatefulSet" => workload(object, plan),
        "Ingress" => ingress(object, plan),
        "PodDisruptionBudget" => budget(object, plan),
        "HorizontalPodAutoscaler" if object.api_version() == "autoscaling/v2beta1" => autoscaler(object, plan),
        "CustomResourceDefinition" => plan.open(
            "apiextensions.k8s.io/v1 needs a structural schema for each version (spec.versions[].schema), and spec.version, spec.validation, spec.subresources and spec.additionalPrinterColumns move below spec.versions",
        ),
        "MutatingWebhookConfiguration" | "ValidatingWebhookConfiguration" => webhooks(object, plan),
        "CertificateSigningRequest" if object.get("spec.signerName").is_none() => {
            plan.open("certificates.k8s.io/v1 needs spec.signerName, which has no default any more");
        }
        "RuntimeClass" if object.api_version() == "node.k8s.io/v1alpha1" => {
            plan.open("the handler moves from spec.runtimeHandler to handler, which is immutable");
        }
        "EndpointSlice" if list(&object.value, "endpoints").iter().any(|e| e.get("topology").is_some()) => {
            plan.open("endpoints[].topology became nodeName, zone and deprecatedTopology");
        }
        "Event" => plan.open("events are written by components, they do not belong to a repository"),
        "PriorityLevelConfiguration" => shares(object, plan),
        "RoleBinding" | "ClusterRoleBinding" if object.api_version().ends_with("v1alpha1") => {
            plan.open("subjects[].apiVersion became subjects[].apiGroup");
        }
        _ => {}
    }
}

/// Deployment, DaemonSet, ReplicaSet, StatefulSet to `apps/v1`: the selector lost its default.
fn workload(object: &Object, plan: &mut Moves) {
    let spec = FieldPath::keys(["spec"]);
    plan.remove(
        object,
        spec.key("rollbackTo"),
        "apps/v1 has no rollbackTo; kubectl rollout undo replaces it",
    );
    plan.remove(
        object,
        spec.key("templateGeneration"),
        "apps/v1 has no templateGeneration",
    );
    let selector = object
        .get("spec.selector")
        .filter(|s| s.as_object().is_some_and(|m| !m.is_empty()));
    let labels = object
        .pod_labels()
        .filter(|l| !l.is_empty() && l.values().all(Value::is_string));
    match (selector, labels) {
        (Some(_), _) => {}
        (None, Some(labels)) => {
            let value = json!({ "matchLabels": labels });
            let path = spec.key("selector");
            let why = "apps/v1 demands a selector; the removed version took the labels of the pod template";
            match object.get("spec.selector") {
                Some(_) => plan.set(path, value, why),
                None => plan.add(path, value, why),
            }
        }
        (None, None) => plan.open(
            "apps/v1 demands spec.selector, and the pod template has no labels to take it from",
        ),
    }
    let strategy = if object.kind() == "Deployment" {
        "spec.strategy"
    } else {
        "spec.updateStrategy"
    };
    let defaulted = object.get(strategy).is_none();
    if defaulted
        && matches!(object.kind(), "DaemonSet" | "StatefulSet")
        && !object.api_version().ends_with("v1beta2")
    {
        plan.note(format!(
            "{strategy} is not set: the removed version meant OnDelete, apps/v1 means RollingUpdate"
        ));
    }
    if defaulted && object.kind() == "Deployment" && !object.api_version().ends_with("v1beta2") {
        plan.note(
            "spec.strategy is not set: maxSurge and maxUnavailable meant 1, apps/v1 means 25%",
        );
    }
}

fn ingress(object: &Object, plan: &mut Moves) {
    let spec = FieldPath::keys(["spec"]);
    if let Some(backend) = object.get("spec.backend") {
        plan.remove(
            object,
            spec.key("backend"),
            "networking.k8s.io/v1 calls it defaultBackend",
        );
        plan.add(
            spec.key("defaultBackend"),
            new_backend(backend),
            "networking.k8s.io/v1 calls it defaultBackend",
        );
    }
    for (r, rule) in object.list("spec.rules").iter().enumerate() {
        for (p, path) in list(rule, "http.paths").iter().enumerate() {
            let at = spec.key("rules").index(r).key("http").key("paths").index(p);
            if path.get("pathType").is_none() {
                let why = "networking.k8s.io/v1 demands pathType; the removed version meant ImplementationSpecific";
                plan.add(at.key("pathType"), json!("ImplementationSpecific"), why);
            }
            let old = path
                .get("backend")
                .filter(|b| b.get("serviceName").is_some() || b.get("servicePort").is_some());
            if let Some(backend) = old {
                let why =
                    "networking.k8s.io/v1 names the Service and port of a backend under service";
                plan.set(at.key("backend"), new_backend(backend), why);
            }
        }
    }
}

/// `serviceName` and `servicePort` below `service`; what else is there stays.
fn new_backend(old: &Value) -> Value {
    let mut new: Map<String, Value> = old.as_object().cloned().unwrap_or_default();
    let name = new.shift_remove("serviceName");
    let port = new.shift_remove("servicePort");
    let mut service = Map::new();
    if let Some(name) = name {
        service.insert("name".to_owned(), name);
    }
    if let Some(port) = port {
        let number = port
            .as_str()
            .and_then(|t| t.parse::<u16>().ok())
            .map(Value::from);
        let key = if port.is_string() && number.is_none() {
            "name"
        } else {
            "number"
        };
        service.insert("port".to_owned(), json!({ key: number.unwrap_or(port) }));
    }
    if !service.is_empty() {
        new.insert("service".to_owned(), Value::Object(service));
    }
    Value::Object(new)
}

fn budget(object: &Object, plan: &mut Moves) {
    let empty = object
        .get("spec.selector")
        .is_none_or(|s| s.as_object().is_some_and(Map::is_empty));
    if empty {
        plan.open("an empty selector selected no pod in policy/v1beta1, and selects every pod of the namespace in policy/v1");
    }
}

fn webhooks(object: &Object, plan: &mut Moves) {
    for hook in object.list("webhooks") {
        let name = hook.get("name").and_then(Value::as_str).unwrap_or_default();
        let pure = matches!(
            hook.get("sideEffects").and_then(Value::as_str),
            Some("None" | "NoneOnDryRun")
        );
        for (field, there) in [
            ("sideEffects (None or NoneOnDryRun)", pure),
            (
                "admissionReviewVersions",
                hook.get("admissionReviewVersions").is_some(),
            ),
            (
                "failurePolicy (its default changed from Ignore to Fail)",
                hook.get("failurePolicy").is_some(),
            ),
        ] {
            if !there {
                plan.open(format!("webhook {name} has to say {field}"));
            }
        }
    }
}

fn shares(object: &Object, plan: &mut Moves) {
    let limited = FieldPath::keys(["spec", "limited"]);
    if let Some(old) = object.get("spec.limited.assuredConcurrencyShares") {
        let why = "assuredConcurrencyShares is called nominalConcurrencyShares now";
        plan.remove(object, limited.key("assuredConcurrencyShares"), why);
        plan.add(limited.key("nominalConcurrencyShares"), old.clone(), why);
    }
}

/// `autoscaling/v2beta1` to `v2`: metric and target became mappings of their own.
fn autoscaler(object: &Object, plan: &mut Moves) {
    for (i, metric) in object.list("spec.metrics").iter().enumerate() {
        let at = FieldPath::keys(["spec", "metrics"]).index(i);
        for (key, kind) in [
            ("resource", "Resource"),
            ("pods", "Pods"),
            ("object", "Object"),
            ("external", "External"),
            ("containerResource", "ContainerResource"),
        ] {
            if let Some(source) = metric.get(key).and_then(Value::as_object) {
                let why = format!("autoscaling/v2 gives a {kind} metric a target of its own");
                plan.set(at.key(key), new_metric(kind, source), why);
            }
        }
    }
}

fn new_metric(kind: &str, old: &Map<String, Value>) -> Value {
    let mut new = Map::new();
    let mut metric = Map::new();
    let mut target = Map::new();
    for (key, value) in old {
        let value = value.clone();
        match key.as_str() {
            "targetAverageUtilization" => {
                target.insert("type".to_owned(), json!("Utilization"));
                target.insert("averageUtilization".to_owned(), value);
            }
            "targetAverageValue" | "averageValue" => {
                target.insert("type".to_owned(), json!("AverageValue"));
                target.insert("averageValue".to_owned(), value);
            }
            "targetValue" => {
                target.entry("type").or_insert(json!("Value"));
                target.insert("value".to_owned(), value);
            }
            "target" if kind == "Object" => {
                new.insert("describedObject".to_owned(), value);
            }
            "metricName" => {
                metric.insert("name".to_owned(), value);
            }
            "metricSelector" | "selector" => {
                metric.insert("selector".to_owned(), value);
            }
            _ => {
                new.insert(key.clone(), value);
            }
        }
    }
    if !metric.is_empty() {
        new.insert("metric".to_owned(), Value::Object(metric));
    }
    if !target.is_empty() {
        new.insert("target".to_owned(), Value::Object(target));
    }
    Value::Object(new)
}
