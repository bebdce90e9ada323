//! Findings: pods that no node takes.
//!
//! The scheduler's message says which filters failed; the nodes of the dump decide between them.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::Value;

use crate::detect::View;
use crate::finding::{Class, Finding, MAX_PODS, Severity, fact};
use crate::object::{Object, ObjectRef, list};
use crate::placement::node_matches;
use crate::snapshot::{Event, Existence};

mod message;

use message::{Message, Reason};

/// What keeps the pods from all nodes, in a word: `resource`, `selector`, `taint`, …
pub const CAUSE: &str = "cause";
/// The resource that is short.
pub const RESOURCE: &str = "resource";
/// The taint as the scheduler writes it, `team: a`.
pub const TAINT: &str = "taint";
/// How many nodes the scheduler looked at.
pub const NODES: &str = "nodes";

/// Runs the detectors of this module.
pub fn findings(view: &View<'_>) -> Vec<Finding> {
    let mut groups = Groups::new();
    let pods = view.snapshot.of_kind("Pod");
    for pod in pods.filter(|p| waits_for_a_node(p) && is_old(view, p)) {
        let Some(text) = scheduler_text(view, pod) else {
            continue;
        };
        let message = message::read(&text);
        let Some(reason) = message.binding(some_node_matches(view, pod)).cloned() else {
            continue;
        };
        let owner = view.snapshot.top_owner(pod);
        let group = groups.entry((owner, reason)).or_default();
        group.push((pod, message, text));
    }
    let mut out: Vec<Finding> = one_for_an_owner(groups)
        .into_iter()
        .filter_map(|((owner, reason), pods)| finding(view, owner, &reason, &pods))
        .collect();
    out.extend(never_looked_at(view));
    out
}

type Groups<'s> = BTreeMap<(ObjectRef, Reason), Vec<(&'s Object, Message, String)>>;

/// Pods of one owner may fail for different reasons on the way; what most of them say counts.
fn one_for_an_owner(groups: Groups<'_>) -> Groups<'_> {
    let mut most: BTreeMap<ObjectRef, (usize, Reason)> = BTreeMap::new();
    for ((owner, reason), pods) in &groups {
        let best = most.entry(owner.clone()).or_insert((0, reason.clone()));
        if pods.len() >= best.0 {
            *best = (pods.len(), reason.clone());
        }
    }
    let kept = groups
        .into_iter()
        .filter(|((owner, reason), _)| most.get(owner).is_some_and(|(_, best)| best == reason));
    kept.collect()
}

fn waits_for_a_node(pod: &Object) -> bool {
    pod.str("status.phase").unwrap_or("Pending") == "Pending"
        && pod.str("spec.nodeName").is_none_or(str::is_empty)
        && pod.get("metadata.deletionTimestamp").is_none()
}

fn is_old(view: &View<'_>, pod: &Object) -> bool {
    let created = pod.str("metadata.creationTimestamp");
    let Some(created) = created.and_then(|t| t.parse::<Timestamp>().ok()) else {
        return true;
    };
    let age = view.now.duration_since(created);
    age.as_secs() >= i64::try_from(view.grace.as_secs()).unwrap_or(i64::MAX)
}

/// The scheduler's last word on a pod: its condition, else its newest event.
fn scheduler_text(view: &View<'_>, pod: &Object) -> Option<String> {
    let condition = pod.list("status.conditions").iter().find(|c| {
        let is = |key: &str, text: &str| c.get(key).and_then(Value::as_str) == Some(text);
        is("type", "PodScheduled") && is("status", "False") && is("reason", "Unschedulable")
    });
    if let Some(text) = condition.and_then(|c| c.get("message")?.as_str())
        && !text.trim().is_empty()
    {
        return Some(text.to_owned());
    }
    let events = view.snapshot.events_for(&pod.reference());
    let last = events.iter().rev().find(|e| e.reason == "FailedScheduling");
    last.map(|e| e.message.clone())
}

fn some_node_matches(view: &View<'_>, pod: &Object) -> Option<bool> {
    let spec = pod.pod_spec()?;
    let mut nodes = view.snapshot.of_kind("Node").peekable();
    nodes.peek()?;
    Some(nodes.any(|n| node_matches(spec, n)))
}

fn finding(
    view: &View<'_>,
    owner: ObjectRef,
    reason: &Reason,
    pods: &[(&Object, Message, String)],
) -> Option<Finding> {
    let (pod, message, text) = pods.first()?;
    if *reason == Reason::UnboundClaims && waits_for_a_reported_claim(view, pod) {
        return None;
    }
    if let Some(event) = scale_up(view, pods) {
        return Some(waits_for_a_new_node(owner, pods, event));
    }
    let (class, cause, words) = describe(reason, message);
    let count = pods.len();
    let plural = if count == 1 { "pod" } else { "pods" };
    let mut finding = Finding::new(
        class,
        Severity::High,
        owner.clone(),
        format!("{owner}: {count} {plural} cannot be scheduled: {words}"),
    )
    .with_fact(CAUSE, cause);
    finding.reason = "FailedScheduling".to_owned();
    finding.message = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let listed = pods.iter().take(MAX_PODS);
    finding.pods = listed.map(|(p, _, _)| p.reference()).collect();
    if let Some(total) = message.total {
        finding = finding.with_fact(NODES, total.to_string());
    }
    Some(with_details(finding, reason, pod))
}

/// For so many seconds an autoscaler's promise of a node counts.
const SCALE_UP_SECONDS: i64 = 15 * 60;

/// An autoscaler that is about to add a node for one of the pods.
fn scale_up<'v>(view: &View<'v>, pods: &[(&Object, Message, String)]) -> Option<&'v Event> {
    let fresh = |e: &&Event| {
        let promise = matches!(e.reason.as_str(), "TriggeredScaleUp" | "Nominated");
        let young = e
            .last
            .is_some_and(|at| view.now.duration_since(at).as_secs() <= SCALE_UP_SECONDS);
        promise && young
    };
    pods.iter().find_map(|(pod, _, _)| {
        let events = view.snapshot.events_for(&pod.reference());
        events.into_iter().rev().find(fresh)
    })
}

/// Nothing is wrong yet: said to whoever asks, and no fault.
fn waits_for_a_new_node(
    owner: ObjectRef,
    pods: &[(&Object, Message, String)],
    event: &Event,
) -> Finding {
    let words = event
        .message
        .split_whitespace()
        .collect::<Vec<_>>()
        .join(" ");
    let summary = format!(
        "{owner}: {} pods wait for a node that the autoscaler adds ({}: {words})",
        pods.len(),
        event.reason
    );
    let mut finding = Finding::new(Class::UnschedulablePlacement, Severity::Low, owner, summary)
        .with_fact(CAUSE, "scale-up");
    finding.reason.clone_from(&event.reason);
    finding.pods = pods
        .iter()
        .take(MAX_PODS)
        .map(|(p, _, _)| p.reference())
        .collect();
    finding
}

fn with_details(finding: Finding, reason: &Reason, pod: &Object) -> Finding {
    match reason {
        Reason::Resource(name) => finding.with_fact(RESOURCE, name),
        Reason::Taint(taint) => finding.with_fact(TAINT, taint),
        Reason::ClaimNotFound(name) => missing(finding, "PersistentVolumeClaim", pod, name),
        Reason::ClassNotFound(name) => finding
            .with_fact(fact::MISSING_KIND, "StorageClass")
            .with_fact(fact::MISSING_NAME, name),
        Reason::UnboundClaims => {
            let mut finding = finding;
            finding.related = claims_of(pod);
            finding
        }
        _ => finding,
    }
}

fn missing(finding: Finding, kind: &str, pod: &Object, name: &str) -> Finding {
    let mut finding = finding
        .with_fact(fact::MISSING_KIND, kind)
        .with_fact(fact::MISSING_NAME, name);
    let related = ObjectRef::new("v1", kind, pod.namespace(), name);
    finding.related.push(related);
    finding
}

/// The class, a stable word for the cause, and what to say.
fn describe(reason: &Reason, message: &Message) -> (Class, &'static str, String) {
    let resources = || message.resources().join(" and ");
    let (class, cause, words) = match reason {
        Reason::Resource(_) => {
            let words = format!("no node has enough {}", resources());
            return (Class::UnschedulableResources, "resource", words);
        }
        Reason::Taint(taint) => {
            let words =
                format!("every fitting node has a taint that the pod does not tolerate: {taint}");
            return (Class::UnschedulableTaint, "taint", words);
        }
        Reason::ClaimNotFound(name) => {
            let words = format!("PersistentVolumeClaim {name} not found");
            return (Class::ClaimNotFound, "claim", words);
        }
        Reason::ClassNotFound(name) => {
            return (
                Class::UnboundClaim,
                "class",
                format!("StorageClass {name} not found"),
            );
        }
        Reason::HostPort => (
            Class::HostPortConflict,
            "host-port",
            "no node has the wanted host port free",
        ),
        Reason::UnboundClaims => (
            Class::UnboundClaim,
            "unbound",
            "a PersistentVolumeClaim is not bound",
        ),
        other => {
            let (cause, words) = placement(other);
            (Class::UnschedulablePlacement, cause, words)
        }
    };
    (class, cause, words.to_owned())
}

fn placement(reason: &Reason) -> (&'static str, &str) {
    match reason {
        Reason::Selector => ("selector", "no node meets the node selector or affinity"),
        Reason::NodeName => ("node-name", "no node has the name in spec.nodeName"),
        Reason::PodAntiAffinity => (
            "anti-affinity",
            "the required podAntiAffinity rules out every node",
        ),
        Reason::PodAffinity => (
            "pod-affinity",
            "no node runs the pods that the required podAffinity names",
        ),
        Reason::Spread => (
            "spread",
            "the topology spread constraints rule out every node",
        ),
        Reason::VolumeNodeAffinity => (
            "volume-node",
            "the volume is bound to a node or zone that the pod cannot use",
        ),
        Reason::VolumeUnavailable => ("volume", "no persistent volume fits the claim"),
        Reason::VolumeConflict => (
            "volume-conflict",
            "the volume is in use, or the node holds too many volumes",
        ),
        Reason::Cordoned => ("infrastructure", "every node is cordoned"),
        Reason::TooManyPods => ("infrastructure", "every node holds as many pods as it may"),
        Reason::Other(text) => ("infrastructure", text),
        _ => ("infrastructure", "no node takes them"),
    }
}

/// The storage detector reports a pending claim itself; the pod that waits for it is no second cause.
fn waits_for_a_reported_claim(view: &View<'_>, pod: &Object) -> bool {
    let mut claims = claims_of(pod).into_iter();
    claims.any(|claim| crate::detect::storage::reports(view, &claim))
}

/// The claims that a pod mounts.
pub fn claims_of(pod: &Object) -> Vec<ObjectRef> {
    let volumes = pod.pod_spec().map(|s| list(s, "volumes")).unwrap_or(&[]);
    let name = |v: &Value| {
        let claim = v.get("persistentVolumeClaim")?.get("claimName")?.as_str()?;
        Some(ObjectRef::new(
            "v1",
            "PersistentVolumeClaim",
            pod.namespace(),
            claim,
        ))
    };
    volumes.iter().filter_map(name).collect()
}

/// Pods that no scheduler has looked at: another scheduler's name, or bound to a node that is not there.
fn never_looked_at(view: &View<'_>) -> Vec<Finding> {
    let mut out: BTreeMap<(ObjectRef, &str), Finding> = BTreeMap::new();
    for pod in view.snapshot.of_kind("Pod").filter(|p| is_old(view, p)) {
        let Some((cause, words)) = foreign_scheduler(view, pod).or_else(|| lost_node(view, pod))
        else {
            continue;
        };
        let owner = view.snapshot.top_owner(pod);
        let entry = out.entry((owner.clone(), cause)).or_insert_with(|| {
            let summary = format!("{owner}: pods are never scheduled: {words}");
            Finding::new(
                Class::UnschedulablePlacement,
                Severity::High,
                owner,
                summary,
            )
            .with_fact(CAUSE, cause)
        });
        if entry.pods.len() < MAX_PODS {
            entry.pods.push(pod.reference());
        }
    }
    out.into_values().collect()
}

fn foreign_scheduler(view: &View<'_>, pod: &Object) -> Option<(&'static str, String)> {
    let name = pod.str("spec.schedulerName")?;
    let silent = waits_for_a_node(pod)
        && pod.list("status.conditions").is_empty()
        && view.snapshot.events_for(&pod.reference()).is_empty();
    (silent && name != "default-scheduler" && !name.is_empty()).then(|| {
        let words =
            format!("spec.schedulerName is {name}, and no scheduler of that name took the pod");
        ("scheduler-name", words)
    })
}

fn lost_node(view: &View<'_>, pod: &Object) -> Option<(&'static str, String)> {
    let node = pod.str("spec.nodeName").filter(|n| !n.is_empty())?;
    let untouched = pod.str("status.phase").unwrap_or("Pending") == "Pending"
        && pod.list("status.containerStatuses").is_empty();
    let gone = view.snapshot.existence("Node", None, node) == Existence::Absent;
    (untouched && gone).then(|| {
        (
            "node-name",
            format!("spec.nodeName is {node}, and there is no such node"),
        )
    })
}

#[cfg(test)]
mod tests;
