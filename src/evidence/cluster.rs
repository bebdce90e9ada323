//! Evidence from the cluster: status, containers, events, logs, limits, and what exists.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::redact::Redactor;
use super::{Draft, yaml};
use crate::case::Case;
use crate::finding::{Class, fact};
use crate::object::{Object, ObjectRef, at, list};
use crate::snapshot::{Event, Existence};

pub(super) fn drafts(case: &Case<'_>, redactor: &Redactor) -> Vec<Draft> {
    let mut out = Vec::new();
    out.extend(statuses(case));
    out.extend(containers(case));
    out.push(events(case));
    out.extend(logs(case));
    out.push(references(case));
    out.extend(related(case, redactor));
    out.extend(limits(case, redactor));
    out.extend(nodes(case));
    out
}

/// Replicas and conditions of the failing object.
fn statuses(case: &Case<'_>) -> Option<Draft> {
    let object = case.snapshot.get(&case.finding.object)?;
    let status = object.get("status")?.as_object()?;
    let mut text = String::new();
    for (key, value) in status {
        let plain = value.is_number() || value.is_string() || value.is_boolean();
        if plain && key != "podIP" && key != "hostIP" {
            text.push_str(&format!("{key}: {}\n", short(value, 400)));
        }
    }
    text.push_str(&conditions(&object.value));
    let title = format!("status of {}", case.finding.object);
    Some(Draft::new(2, title, text).cap(1_200))
}

fn conditions(object: &Value) -> String {
    list(object, "status.conditions")
        .iter()
        .map(|c| {
            let part = |key: &str| c.get(key).and_then(Value::as_str).unwrap_or_default();
            format!(
                "condition {}={} {} {}\n",
                part("type"),
                part("status"),
                part("reason"),
                part("message")
            )
        })
        .collect()
}

/// The states of the containers of the first pods.
fn containers(case: &Case<'_>) -> Vec<Draft> {
    pods(case)
        .into_iter()
        .take(2)
        .map(|pod| {
            let mut text = String::new();
            if let Some(phase) = pod.str("status.phase") {
                text.push_str(&format!("phase: {phase}\n"));
            }
            for key in ["reason", "message"] {
                if let Some(value) = pod.str(&format!("status.{key}")) {
                    text.push_str(&format!("{key}: {value}\n"));
                }
            }
            for field in ["initContainerStatuses", "containerStatuses"] {
                for status in pod.list(&format!("status.{field}")) {
                    text.push_str(&container(status));
                }
            }
            if pod.str("status.phase") == Some("Pending") {
                text.push_str(&conditions(&pod.value));
            }
            Draft::new(2, format!("containers of {}", pod.reference()), text).cap(1_500)
        })
        .collect()
}

fn container(status: &Value) -> String {
    let name = at(status, "name").and_then(Value::as_str).unwrap_or("?");
    let restarts = at(status, "restartCount")
        .and_then(Value::as_i64)
        .unwrap_or(0);
    let ready = at(status, "ready")
        .and_then(Value::as_bool)
        .unwrap_or_default();
    let mut text = format!("container {name}: ready={ready} restarts={restarts}");
    for (key, word) in [("state", "now"), ("lastState", "before")] {
        let state = status.get(key).and_then(Value::as_object);
        for (kind, detail) in state.into_iter().flatten() {
            text.push_str(&format!("\n  {word}: {kind} {}", state_detail(detail)));
        }
    }
    text.push('\n');
    text
}

fn state_detail(detail: &Value) -> String {
    let keys = [
        "reason",
        "exitCode",
        "signal",
        "message",
        "startedAt",
        "finishedAt",
    ];
    keys.iter()
        .filter_map(|key| Some(format!("{key}={}", short(detail.get(*key)?, 600))))
        .collect::<Vec<_>>()
        .join(" ")
}

/// The pods of the finding, or of its object.
pub(super) fn pods<'a>(case: &Case<'a>) -> Vec<&'a Object> {
    let named: Vec<&Object> = case
        .finding
        .pods
        .iter()
        .filter_map(|p| case.snapshot.get(p))
        .collect();
    if named.is_empty() {
        return case.snapshot.pods_of(&case.finding.object);
    }
    named
}

/// Events about the object, its pods, what is between them, and what the finding names.
fn events(case: &Case<'_>) -> Draft {
    let grouped = grouped_events(case);
    let lines: Vec<String> = grouped.iter().take(15).map(Group::line).collect();
    Draft::new(3, "events", lines.join("\n")).cap(2_200)
}

/// The same, events with the same words together: warnings first, then the newest.
pub(super) fn grouped_events<'a>(case: &Case<'a>) -> Vec<Group<'a>> {
    let mut about: Vec<ObjectRef> = vec![case.finding.object.clone()];
    about.extend(pods(case).iter().map(|p| p.reference()));
    about.extend(case.finding.related.iter().take(5).cloned());
    if let Some(object) = case.snapshot.get(&case.finding.object) {
        let children = case.snapshot.children(object);
        about.extend(children.iter().map(|c| c.reference()).take(20));
    }
    let mut grouped: Vec<Group<'_>> = Vec::new();
    let concerned = |e: &&Event| about.iter().any(|o| e.object.same_object(o));
    for event in case.snapshot.events().iter().filter(concerned) {
        let same = |g: &Group<'_>| g.last.reason == event.reason && g.last.message == event.message;
        let full = grouped.len() >= 200;
        let known = grouped.iter().position(same);
        match known.and_then(|i| grouped.get_mut(i)) {
            Some(group) => group.add(event),
            None if !full => grouped.push(Group::of(event)),
            None => {}
        }
    }
    grouped.sort_by_key(|g| std::cmp::Reverse((g.last.kind == "Warning", g.last.last)));
    grouped
}

/// Events with the same words.
pub(super) struct Group<'e> {
    pub(super) first: &'e Event,
    pub(super) last: &'e Event,
    pub(super) count: i64,
}

impl<'e> Group<'e> {
    fn of(event: &'e Event) -> Self {
        Self {
            first: event,
            last: event,
            count: event.count,
        }
    }

    fn add(&mut self, event: &'e Event) {
        self.count = self.count.saturating_add(event.count);
        if event.last >= self.last.last {
            self.last = event;
        } else if event.last < self.first.last {
            self.first = event;
        }
    }

    fn line(&self) -> String {
        let e = self.last;
        let time = |e: &Event| e.last.map_or("?".to_owned(), |t| t.to_string());
        let since = if self.first.last == e.last {
            String::new()
        } else {
            format!(" (first {})", time(self.first))
        };
        let message: String = e.message.chars().take(600).collect();
        format!(
            "{} {} x{} {}: {message} [last {}{since}]",
            e.kind,
            e.reason,
            self.count,
            e.object,
            time(e)
        )
    }
}

/// The ends of the logs of the failing container, the previous run first.
fn logs(case: &Case<'_>) -> Vec<Draft> {
    let mut out = Vec::new();
    for pod in pods(case).into_iter().take(2) {
        for previous in [true, false] {
            out.extend(pod_logs(case, pod, previous));
        }
    }
    if out.is_empty()
        && let Some(tail) = case.finding.fact(fact::LOG_TAIL)
    {
        out.push(log_draft("log".to_owned(), tail));
    }
    out
}

fn pod_logs(case: &Case<'_>, pod: &Object, previous: bool) -> Vec<Draft> {
    let mut names: Vec<&str> = pod.containers().iter().map(|c| c.name).collect();
    if let Some(failing) = &case.finding.container {
        names.retain(|n| n == failing);
    }
    let namespace = pod.namespace().unwrap_or_default();
    let mut out = Vec::new();
    for name in names {
        if let Some(log) = case.snapshot.log(namespace, pod.name(), name, previous) {
            let run = if previous {
                "previous run"
            } else {
                "current run"
            };
            let title = format!("log of {} container {name}, {run}", pod.reference());
            out.push(log_draft(title, log));
        }
    }
    out
}

/// The last lines, with runs of the same line folded into one.
fn log_draft(title: String, log: &str) -> Draft {
    let mut lines: Vec<(&str, usize)> = Vec::new();
    let all: Vec<&str> = log.lines().rev().take(400).collect();
    for line in all.into_iter().rev() {
        match lines.last_mut() {
            Some((last, count)) if *last == line => *count += 1,
            _ => lines.push((line, 1)),
        }
    }
    let skip = lines.len().saturating_sub(40);
    let text: String = lines
        .into_iter()
        .skip(skip)
        .map(|(line, count)| {
            let line: String = line.chars().take(400).collect();
            match count {
                1 => format!("{line}\n"),
                n => format!("{line} (x{n})\n"),
            }
        })
        .collect();
    Draft::new(3, title, text).cap(1_800).keep_end()
}

/// What the manifest refers to, and whether it exists.
fn references(case: &Case<'_>) -> Draft {
    let wanted = case.manifest().map(|d| &d.object);
    let object = wanted.or_else(|| case.snapshot.get(&case.finding.object));
    let namespace = case.finding.object.namespace.as_deref();
    let mut names: BTreeSet<(String, String)> = BTreeSet::new();
    if let Some(object) = object {
        collect(&object.value, &mut names, 0);
    }
    for object in &case.finding.related {
        names.insert((object.kind.clone(), object.name.clone()));
    }
    let mut missing = BTreeSet::new();
    let mut text = String::new();
    for (kind, name) in names.into_iter().take(30) {
        let state = case
            .snapshot
            .existence(&kind, scope(&kind, namespace), &name);
        let in_git = case
            .desired
            .iter()
            .any(|d| d.object.kind() == kind && d.object.name() == name);
        let git = if in_git { ", in Git" } else { "" };
        let keys = keys_of(case, &kind, namespace, &name);
        text.push_str(&match state {
            Existence::Exists => format!("{kind} {name}: exists{keys}{git}\n"),
            Existence::Absent => format!("{kind} {name}: DOES NOT EXIST{git}\n"),
            Existence::Unknown => format!("{kind} {name}: unknown (not in the dump){git}\n"),
        });
        if state != Existence::Exists {
            missing.insert(kind);
        }
    }
    for kind in missing {
        text.push_str(&existing(case, &kind, namespace));
    }
    Draft::new(3, "objects that the manifest refers to", text).cap(1_800)
}

fn scope<'n>(kind: &str, namespace: Option<&'n str>) -> Option<&'n str> {
    let cluster_wide = [
        "StorageClass",
        "PriorityClass",
        "ClusterRole",
        "PersistentVolume",
        "Node",
        "IngressClass",
        "RuntimeClass",
        "Namespace",
    ];
    namespace.filter(|_| !cluster_wide.contains(&kind))
}

/// The keys of a ConfigMap or Secret that exists.
fn keys_of(case: &Case<'_>, kind: &str, namespace: Option<&str>, name: &str) -> String {
    if kind != "ConfigMap" && kind != "Secret" {
        return String::new();
    }
    let Some(object) = case.snapshot.find(kind, namespace, name) else {
        return String::new();
    };
    let keys: Vec<&str> = ["data", "binaryData", "stringData"]
        .iter()
        .filter_map(|field| object.map(field))
        .flat_map(|m| m.keys().map(String::as_str))
        .take(20)
        .collect();
    format!(" with keys [{}]", keys.join(", "))
}

/// What there is of a kind: a wrong name is most often close to a right one.
fn existing(case: &Case<'_>, kind: &str, namespace: Option<&str>) -> String {
    let objects = case.snapshot.in_namespace(kind, scope(kind, namespace));
    if objects.is_empty() {
        return String::new();
    }
    let names: Vec<&str> = objects.iter().map(|o| o.name()).take(12).collect();
    format!("existing {kind} objects: {}\n", names.join(", "))
}

/// Keys that hold the name of another object, and its kind.
const NAMES: &[(&str, &str)] = &[
    ("serviceAccountName", "ServiceAccount"),
    ("claimName", "PersistentVolumeClaim"),
    ("secretName", "Secret"),
    ("storageClassName", "StorageClass"),
    ("priorityClassName", "PriorityClass"),
    ("ingressClassName", "IngressClass"),
    ("runtimeClassName", "RuntimeClass"),
    ("serviceName", "Service"),
    ("volumeName", "PersistentVolume"),
];

/// Keys of objects with a `name`, and the kind that it names.
const REFERENCES: &[(&str, &str)] = &[
    ("configMapRef", "ConfigMap"),
    ("configMapKeyRef", "ConfigMap"),
    ("configMap", "ConfigMap"),
    ("secretRef", "Secret"),
    ("secretKeyRef", "Secret"),
    ("secret", "Secret"),
    ("service", "Service"),
    ("imagePullSecrets", "Secret"),
];

/// Walks an object for names of other objects.
pub(super) fn collect(value: &Value, out: &mut BTreeSet<(String, String)>, depth: usize) {
    if depth > 40 || out.len() >= 60 {
        return;
    }
    match value {
        Value::Object(map) => {
            for (key, inner) in map {
                let kind_of = |table: &[(&str, &str)]| {
                    table
                        .iter()
                        .find(|(k, _)| k == key)
                        .map(|(_, kind)| (*kind).to_owned())
                };
                if let (Some(kind), Some(name)) = (kind_of(NAMES), inner.as_str()) {
                    out.insert((kind, name.to_owned()));
                }
                if let Some(kind) = kind_of(REFERENCES) {
                    let items = inner.as_array().map_or(std::slice::from_ref(inner), |a| a);
                    let names = items.iter().filter_map(|i| i.get("name")?.as_str());
                    out.extend(names.map(|n| (kind.clone(), n.to_owned())));
                }
                if let (Some(kind), Some(name)) = (text(inner, "kind"), text(inner, "name"))
                    && ["scaleTargetRef", "roleRef", "targetRef"].contains(&key.as_str())
                {
                    out.insert((kind.to_owned(), name.to_owned()));
                }
                collect(inner, out, depth + 1);
            }
        }
        Value::Array(items) => items.iter().for_each(|i| collect(i, out, depth + 1)),
        _ => {}
    }
}

fn text<'v>(value: &'v Value, key: &str) -> Option<&'v str> {
    value.get(key)?.as_str()
}

/// Objects that the finding names and that only the cluster has.
fn related(case: &Case<'_>, redactor: &Redactor) -> Vec<Draft> {
    case.finding
        .related
        .iter()
        .filter(|o| o.kind != "Node" && o.kind != "Pod" && case.desired(o).is_none())
        .filter_map(|o| case.snapshot.get(o))
        .take(3)
        .map(|o| {
            let title = format!("{} in the cluster", o.reference());
            Draft::new(6, title, yaml(&o.value, redactor)).cap(1_200)
        })
        .collect()
}

/// Quotas and limit ranges of the namespace.
fn limits(case: &Case<'_>, redactor: &Redactor) -> Vec<Draft> {
    let namespace = case.finding.object.namespace.as_deref();
    let mut text = String::new();
    for quota in case.snapshot.in_namespace("ResourceQuota", namespace) {
        text.push_str(&format!("ResourceQuota {}:", quota.name()));
        let used = quota.get("status.used");
        for (resource, hard) in quota.map("spec.hard").into_iter().flatten().take(20) {
            let used = used
                .and_then(|u| u.get(resource))
                .map_or("?".to_owned(), |u| short(u, 40));
            text.push_str(&format!(" {resource} {used}/{};", short(hard, 40)));
        }
        text.push('\n');
    }
    for range in case.snapshot.in_namespace("LimitRange", namespace) {
        if let Some(spec) = range.get("spec") {
            text.push_str(&format!("LimitRange {}:\n", range.name()));
            text.push_str(&yaml(spec, redactor));
        }
    }
    vec![Draft::new(7, "quotas (used/hard) and limit ranges", text).cap(1_200)]
}

/// What the nodes offer, for findings in which nodes matter.
fn nodes(case: &Case<'_>) -> Option<Draft> {
    let relevant = [
        Class::UnschedulableResources,
        Class::UnschedulablePlacement,
        Class::UnschedulableTaint,
        Class::HostPortConflict,
        Class::UnboundClaim,
        Class::Evicted,
        Class::OOMKilled,
        Class::ImagePlatform,
    ];
    if !relevant.contains(&case.finding.class) {
        return None;
    }
    let text: String = case.snapshot.of_kind("Node").take(12).map(node).collect();
    Some(Draft::new(5, "nodes", text).cap(2_000))
}

fn node(node: &Object) -> String {
    let pick = |dotted: &str| node.get(dotted).map_or("?".to_owned(), |v| short(v, 40));
    let taints: Vec<String> = node
        .list("spec.taints")
        .iter()
        .map(|t| {
            let part = |key: &str| text(t, key).unwrap_or_default();
            format!("{}={}:{}", part("key"), part("value"), part("effect"))
        })
        .collect();
    let labels: BTreeMap<&str, &str> = node
        .map("metadata.labels")
        .into_iter()
        .flatten()
        .filter_map(|(k, v)| Some((k.as_str(), v.as_str()?)))
        .filter(|(k, _)| !k.starts_with("beta.kubernetes.io"))
        .take(15)
        .collect();
    let labels: Vec<String> = labels.iter().map(|(k, v)| format!("{k}={v}")).collect();
    format!(
        "{}: allocatable cpu={} memory={} taints=[{}] labels=[{}]\n",
        node.name(),
        pick("status.allocatable.cpu"),
        pick("status.allocatable.memory"),
        taints.join(", "),
        labels.join(", ")
    )
}

/// A value without quotes around plain text, cut.
fn short(value: &Value, max: usize) -> String {
    let text = match value {
        Value::String(s) => s.clone(),
        other => other.to_string(),
    };
    text.chars().take(max).collect()
}
