//! Rules that span several fields, and names whose form depends on the kind.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use crate::object::{Object, at, list};
use crate::path::FieldPath;
use crate::quantity::Quantity;
use crate::schema::nearest::nearest;
use crate::schema::values::{NameRule, is_placeholder};
use crate::schema::{Issue, IssueKind};
use crate::snapshot::selector_matches;

/// All broken rules of an object.
pub(super) fn check(object: &Object) -> Vec<Issue> {
    let mut issues = Vec::new();
    metadata(object, &mut issues);
    labels(object, &mut issues);
    selector(object, &mut issues);
    pod(object, &mut issues);
    kind_rules(object, &mut issues);
    issues
}

fn issue(path: FieldPath, kind: IssueKind) -> Issue {
    Issue { path, kind }
}

fn broken(path: FieldPath, rule: impl Into<String>) -> Issue {
    issue(path, IssueKind::BadValue { rule: rule.into() })
}

fn metadata(object: &Object, issues: &mut Vec<Issue>) {
    let path = FieldPath::keys(["metadata", "name"]);
    let Some(name) = object.str("metadata.name").filter(|n| !n.is_empty()) else {
        let generated = object.get("metadata.generateName").is_some();
        if !generated
            && object.get("metadata.name").is_none_or(Value::is_string)
            && is_stored(object)
        {
            issues.push(issue(path, IssueKind::MissingRequired));
        }
        return;
    };
    if is_placeholder(name) {
        return;
    }
    if let Some(rule) = name_rule(object).and_then(|rule| rule.broken_by(name)) {
        let value = name.to_owned();
        issues.push(issue(path.clone(), IssueKind::BadName { value, rule }));
    } else if object.kind() == "CronJob" && name.len() > 52 {
        issues.push(broken(
            path,
            format!(
                "{name:?} has {} characters, and a CronJob's name at most 52",
                name.len()
            ),
        ));
    }
}

/// Kinds that are stored, so that they need a name.
fn is_stored(object: &Object) -> bool {
    object.pod_spec_path().is_some()
        || matches!(
            object.kind(),
            "Service"
                | "ConfigMap"
                | "Secret"
                | "Ingress"
                | "PersistentVolumeClaim"
                | "PersistentVolume"
                | "Namespace"
                | "ServiceAccount"
                | "Role"
                | "RoleBinding"
                | "ClusterRole"
                | "ClusterRoleBinding"
                | "NetworkPolicy"
                | "HorizontalPodAutoscaler"
                | "PodDisruptionBudget"
                | "StorageClass"
        )
}

fn name_rule(object: &Object) -> Option<NameRule> {
    match object.kind() {
        "Role" | "ClusterRole" | "RoleBinding" | "ClusterRoleBinding" => None,
        "Namespace" | "Service" => Some(NameRule::Label),
        _ => Some(NameRule::Subdomain),
    }
}

/// Label values, wherever the object carries labels of its own or for its pods.
fn labels(object: &Object, issues: &mut Vec<Issue>) {
    let places = [
        "metadata.labels",
        "spec.template.metadata.labels",
        "spec.jobTemplate.spec.template.metadata.labels",
        "spec.selector.matchLabels",
    ];
    for dotted in places {
        let path = FieldPath(
            dotted
                .split('.')
                .map(|k| crate::path::Seg::Key(k.to_owned()))
                .collect(),
        );
        for (key, value) in object.map(dotted).into_iter().flatten() {
            let Some(text) = value.as_str().filter(|t| !is_placeholder(t)) else {
                continue;
            };
            if !is_label_value(text) {
                let value = text.to_owned();
                issues.push(issue(
                    path.key(key),
                    IssueKind::BadName {
                        value,
                        rule: LABEL_VALUE,
                    },
                ));
            }
        }
    }
}

const LABEL_VALUE: &str = "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', must start and end with an alphanumeric character, and must be no more than 63 characters";

fn is_label_value(text: &str) -> bool {
    let edge = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
    text.is_empty()
        || (text.len() <= 63
            && edge(text.chars().next())
            && edge(text.chars().last())
            && text
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c)))
}

/// The selector of a workload has to match the labels of its own template.
fn selector(object: &Object, issues: &mut Vec<Issue>) {
    if !matches!(
        object.kind(),
        "Deployment" | "ReplicaSet" | "StatefulSet" | "DaemonSet"
    ) {
        return;
    }
    let (Some(selector), Some(_)) = (object.get("spec.selector"), object.get("spec.template"))
    else {
        return;
    };
    let is_empty = |v: &Value| {
        v.as_object()
            .is_some_and(|m| m.values().all(is_empty_value))
    };
    if is_empty(selector) {
        issues.push(broken(
            FieldPath::keys(["spec", "selector"]),
            format!("an empty selector is invalid for a {}", object.kind()),
        ));
        return;
    }
    let wanted = selector.get("matchLabels").and_then(Value::as_object);
    let have = object.pod_labels();
    let texts = |m: Option<&Map<String, Value>>| {
        m.into_iter()
            .flatten()
            .all(|(_, v)| v.as_str().is_some_and(|t| !is_placeholder(t)))
    };
    if !texts(wanted) || !texts(have) {
        return; // a wrong type is an issue of its own
    }
    let missing: Vec<(String, String)> = wanted
        .into_iter()
        .flatten()
        .filter(|(k, v)| have.and_then(|l| l.get(*k)) != Some(*v))
        .filter_map(|(k, v)| Some((k.clone(), v.as_str()?.to_owned())))
        .collect();
    let path = FieldPath::keys(["spec", "template", "metadata", "labels"]);
    if !missing.is_empty() {
        issues.push(issue(path, IssueKind::SelectorMismatch { missing }));
    } else if is_known_selector(selector) && !selector_matches(Some(selector), have) {
        issues.push(broken(
            path,
            "the labels of the pod template do not match the selector's expressions",
        ));
    }
}

fn is_empty_value(value: &Value) -> bool {
    value.is_null()
        || value.as_object().is_some_and(Map::is_empty)
        || value.as_array().is_some_and(Vec::is_empty)
}

/// Only operators that we understand.
fn is_known_selector(selector: &Value) -> bool {
    list(selector, "matchExpressions").iter().all(|e| {
        matches!(
            e.get("operator").and_then(Value::as_str),
            Some("In" | "NotIn" | "Exists" | "DoesNotExist")
        )
    })
}

fn pod(object: &Object, issues: &mut Vec<Issue>) {
    let (Some(base), Some(spec)) = (object.pod_spec_path(), object.pod_spec()) else {
        return;
    };
    if object.kind() == "Rollout" {
        return;
    }
    restart_policy(object, &base, spec, issues);
    if spec
        .get("containers")
        .is_some_and(|c| c.as_array().is_some_and(Vec::is_empty))
    {
        issues.push(issue(base.key("containers"), IssueKind::MissingRequired));
    }
    volumes(spec, &base, issues);
    duplicates(spec, &base, issues);
    let defined = defined_volumes(object, spec);
    for container in object.containers() {
        container_rules(container.value, &container.path, &defined, issues);
    }
}

fn restart_policy(object: &Object, base: &FieldPath, spec: &Value, issues: &mut Vec<Issue>) {
    let path = base.key("restartPolicy");
    let policy = spec
        .get("restartPolicy")
        .and_then(Value::as_str)
        .unwrap_or("Always");
    match (object.kind(), policy) {
        ("Job" | "CronJob", "Always") => issues.push(broken(
            path,
            "a Job's pods need restartPolicy OnFailure or Never (absent means Always)",
        )),
        (
            "Deployment" | "ReplicaSet" | "StatefulSet" | "DaemonSet" | "ReplicationController",
            "Never" | "OnFailure",
        ) => {
            issues.push(issue(
                path,
                IssueKind::BadEnum {
                    value: policy.to_owned(),
                    allowed: &["Always"],
                    nearest: None,
                },
            ));
        }
        _ => {}
    }
}

fn volumes(spec: &Value, base: &FieldPath, issues: &mut Vec<Issue>) {
    for (i, volume) in list(spec, "volumes").iter().enumerate() {
        let sources = volume.as_object().map_or(0, |m| {
            m.iter()
                .filter(|(k, v)| *k != "name" && !v.is_null())
                .count()
        });
        if sources > 1 {
            issues.push(broken(
                base.key("volumes").index(i),
                "may not specify more than 1 volume type",
            ));
        }
    }
}

fn duplicates(spec: &Value, base: &FieldPath, issues: &mut Vec<Issue>) {
    let mut seen = BTreeSet::new();
    for field in ["initContainers", "containers"] {
        repeated(spec, field, base, &mut seen, issues);
    }
    repeated(spec, "volumes", base, &mut BTreeSet::new(), issues);
}

fn repeated<'v>(
    spec: &'v Value,
    field: &str,
    base: &FieldPath,
    seen: &mut BTreeSet<&'v str>,
    issues: &mut Vec<Issue>,
) {
    for (i, item) in list(spec, field).iter().enumerate() {
        let Some(name) = item.get("name").and_then(Value::as_str) else {
            continue;
        };
        if !seen.insert(name) && !is_placeholder(name) {
            let path = base.key(field).index(i).key("name");
            issues.push(broken(path, format!("{name:?} is there twice")));
        }
    }
}

/// Names of volumes that containers may mount; none if one of them is not known before the server.
fn defined_volumes(object: &Object, spec: &Value) -> Option<Vec<String>> {
    let claims = list(&object.value, "spec.volumeClaimTemplates")
        .iter()
        .map(|c| at(c, "metadata.name"));
    let volumes = list(spec, "volumes").iter().map(|v| v.get("name"));
    volumes
        .chain(claims)
        .map(|n| {
            n.and_then(Value::as_str)
                .filter(|t| !is_placeholder(t))
                .map(str::to_owned)
        })
        .collect()
}

fn container_rules(
    container: &Value,
    path: &FieldPath,
    defined: &Option<Vec<String>>,
    issues: &mut Vec<Issue>,
) {
    if container
        .get("image")
        .is_none_or(|i| i.is_null() || i.as_str() == Some(""))
    {
        issues.push(issue(path.key("image"), IssueKind::MissingRequired));
    }
    mounts(container, path, defined, issues);
    requests(container, path, issues);
    env(container, path, issues);
    for probe in ["livenessProbe", "readinessProbe", "startupProbe"] {
        if let Some(value) = container.get(probe).filter(|v| v.is_object()) {
            probe_rules(probe, value, &path.key(probe), issues);
        }
    }
}

fn mounts(
    container: &Value,
    path: &FieldPath,
    defined: &Option<Vec<String>>,
    issues: &mut Vec<Issue>,
) {
    let mut paths = BTreeSet::new();
    for (i, mount) in list(container, "volumeMounts").iter().enumerate() {
        let at = path.key("volumeMounts").index(i);
        let text = |key: &str| {
            mount
                .get(key)
                .and_then(Value::as_str)
                .filter(|t| !is_placeholder(t))
        };
        if let (Some(name), Some(defined)) = (text("name"), defined)
            && !defined.iter().any(|d| d == name)
        {
            let kind = IssueKind::Unresolved {
                value: name.to_owned(),
                known: defined.clone(),
                nearest: nearest(name, defined.iter().map(String::as_str)).map(str::to_owned),
            };
            issues.push(issue(at.key("name"), kind));
        }
        if let Some(target) = text("mountPath")
            && !paths.insert(target)
        {
            issues.push(broken(
                at.key("mountPath"),
                format!("{target:?} has to be unique, and is mounted twice"),
            ));
        }
    }
}

fn requests(container: &Value, path: &FieldPath, issues: &mut Vec<Issue>) {
    for (resource, request) in at(container, "resources.requests")
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
    {
        let limit = at(container, "resources.limits").and_then(|l| l.get(resource));
        let (Some(asked), Some(most)) = (Quantity::of(request), limit.and_then(Quantity::of))
        else {
            continue;
        };
        if asked > most {
            let place = path.key("resources").key("requests").key(resource);
            let (request, limit) = (plain(request), plain(limit.unwrap_or(&Value::Null)));
            issues.push(broken(
                place,
                format!("the request {request} has to be at most the {resource} limit {limit}"),
            ));
        }
    }
}

fn plain(value: &Value) -> String {
    value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_owned)
}

fn env(container: &Value, path: &FieldPath, issues: &mut Vec<Issue>) {
    for (i, var) in list(container, "env").iter().enumerate() {
        let has = |key: &str| {
            var.get(key)
                .is_some_and(|v| !v.is_null() && v.as_str() != Some(""))
        };
        let at = path.key("env").index(i);
        if has("value") && has("valueFrom") {
            issues.push(broken(
                at.key("valueFrom"),
                "may not be specified when `value` is not empty",
            ));
        }
    }
}

fn probe_rules(name: &str, probe: &Value, path: &FieldPath, issues: &mut Vec<Issue>) {
    let known = ["exec", "httpGet", "tcpSocket", "grpc"];
    let handlers = known
        .iter()
        .filter(|k| probe.get(**k).is_some_and(|v| !v.is_null()))
        .count();
    // with an unknown field the handler is most likely there under a mistyped name
    let only_known = probe.as_object().is_some_and(|m| {
        m.keys().all(|k| {
            known.contains(&k.as_str()) || k.ends_with("Seconds") || k.ends_with("Threshold")
        })
    });
    if handlers == 0 && only_known {
        issues.push(broken(
            path.clone(),
            "must specify a handler (exec, httpGet, tcpSocket or grpc)",
        ));
    } else if handlers > 1 {
        issues.push(broken(
            path.clone(),
            "may not specify more than 1 handler type",
        ));
    }
    let threshold = probe.get("successThreshold").and_then(Value::as_i64);
    if name != "readinessProbe" && threshold.is_some_and(|t| t > 1) {
        issues.push(broken(path.key("successThreshold"), "must be 1"));
    }
}

fn kind_rules(object: &Object, issues: &mut Vec<Issue>) {
    match object.kind() {
        "Deployment" => recreate(object, issues),
        "Service" => service(object, issues),
        "Ingress" => ingress(object, issues),
        "CronJob" => schedule(object, issues),
        "ConfigMap" => keys(object, issues),
        "PodDisruptionBudget" => budget(object, issues),
        _ => {}
    }
}

fn recreate(object: &Object, issues: &mut Vec<Issue>) {
    let rolling = object
        .get("spec.strategy.rollingUpdate")
        .is_some_and(|v| !v.is_null());
    if object.str("spec.strategy.type") == Some("Recreate") && rolling {
        issues.push(broken(
            FieldPath::keys(["spec", "strategy", "rollingUpdate"]),
            "may not be specified when strategy `type` is 'Recreate'",
        ));
    }
}

fn service(object: &Object, issues: &mut Vec<Issue>) {
    let ports = object.list("spec.ports");
    let path = FieldPath::keys(["spec", "ports"]);
    let mut names = BTreeSet::new();
    let mut numbers = BTreeSet::new();
    for (i, port) in ports.iter().enumerate() {
        let name = port.get("name").and_then(Value::as_str).unwrap_or_default();
        if ports.len() > 1 && name.is_empty() {
            issues.push(issue(path.index(i).key("name"), IssueKind::MissingRequired));
        } else if !name.is_empty() && !names.insert(name) {
            issues.push(broken(
                path.index(i).key("name"),
                format!("{name:?} is there twice"),
            ));
        }
        let number = port.get("port").and_then(Value::as_i64);
        let protocol = port
            .get("protocol")
            .and_then(Value::as_str)
            .unwrap_or("TCP");
        if let Some(number) = number
            && !numbers.insert((number, protocol))
        {
            issues.push(broken(
                path.index(i).key("port"),
                format!("port {number}/{protocol} is there twice"),
            ));
        }
    }
}

fn ingress(object: &Object, issues: &mut Vec<Issue>) {
    for (r, rule) in object.list("spec.rules").iter().enumerate() {
        for (p, path) in list(rule, "http.paths").iter().enumerate() {
            let text = path.get("path").and_then(Value::as_str).unwrap_or_default();
            let exact = matches!(
                path.get("pathType").and_then(Value::as_str),
                Some("Exact" | "Prefix")
            );
            if exact && !text.starts_with('/') && !is_placeholder(text) {
                let at = FieldPath::keys(["spec", "rules"])
                    .index(r)
                    .key("http")
                    .key("paths")
                    .index(p)
                    .key("path");
                issues.push(broken(at, format!("{text:?} has to be an absolute path")));
            }
        }
    }
}

fn schedule(object: &Object, issues: &mut Vec<Issue>) {
    let Some(text) = object.str("spec.schedule").filter(|t| !is_placeholder(t)) else {
        return;
    };
    let macros = text.starts_with('@') || text.starts_with("TZ=") || text.starts_with("CRON_TZ=");
    let found = text.split_whitespace().count();
    if !macros && found != 5 {
        let path = FieldPath::keys(["spec", "schedule"]);
        issues.push(broken(
            path,
            format!("{text:?}: expected exactly 5 fields, found {found}"),
        ));
    }
}

fn keys(object: &Object, issues: &mut Vec<Issue>) {
    for field in ["data", "binaryData"] {
        for key in object.map(field).into_iter().flatten().map(|(k, _)| k) {
            let valid = !key.is_empty()
                && key.len() <= 253
                && key
                    .chars()
                    .all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c));
            if !valid && !is_placeholder(key) {
                let rule =
                    "a valid config key must consist of alphanumeric characters, '-', '_' or '.'";
                let kind = IssueKind::BadName {
                    value: key.clone(),
                    rule,
                };
                issues.push(issue(FieldPath::keys([field]).key(key), kind));
            }
        }
    }
}

fn budget(object: &Object, issues: &mut Vec<Issue>) {
    let has = |key: &str| object.get(key).is_some_and(|v| !v.is_null());
    if has("spec.minAvailable") && has("spec.maxUnavailable") {
        let path = FieldPath::keys(["spec"]);
        issues.push(broken(
            path,
            "minAvailable and maxUnavailable are mutually exclusive",
        ));
    }
}
