//! Nodes that are down while workloads wait for the pods that were on them.

use serde_json::Value;

use crate::detect::View;
use crate::detect::container::has_condition;
use crate::finding::{Class, Finding, MAX_PODS, Severity};
use crate::object::{Object, ObjectRef};

/// Runs the detectors of this module.
pub fn findings(view: &View<'_>) -> Vec<Finding> {
    view.snapshot
        .of_kind("Node")
        .filter_map(|node| down(view, node))
        .collect()
}

fn down(view: &View<'_>, node: &Object) -> Option<Finding> {
    let ready = condition(node, "Ready")?;
    let text = |key: &str| ready.get(key).and_then(Value::as_str).unwrap_or_default();
    if text("status") == "True" {
        return None;
    }
    let pods: Vec<&Object> = view
        .snapshot
        .of_kind("Pod")
        .filter(|p| p.str("spec.nodeName") == Some(node.name()) && is_lost(p))
        .collect();
    if pods.is_empty() {
        return None;
    }
    let owners = owners(view, &pods);
    let names: Vec<String> = owners.iter().map(ToString::to_string).collect();
    let object = node.reference();
    let summary = format!(
        "{object} is not ready since {} ({}: {}); pods of {} on it do not serve",
        text("lastTransitionTime"),
        text("reason"),
        text("message"),
        names.join(", ")
    );
    let mut finding = Finding::new(
        Class::NodeNotReady,
        severity(view, &owners),
        object,
        summary,
    );
    finding.reason = text("reason").to_owned();
    finding.message = text("message").to_owned();
    finding.pods = pods.iter().take(MAX_PODS).map(|p| p.reference()).collect();
    finding.related = owners;
    Some(finding)
}

fn condition<'o>(object: &'o Object, kind: &str) -> Option<&'o Value> {
    let all = object.list("status.conditions").iter();
    all.into_iter()
        .find(|c| c.get("type").and_then(Value::as_str) == Some(kind))
}

/// A pod that has not ended and does not serve.
fn is_lost(pod: &Object) -> bool {
    let ended = matches!(pod.str("status.phase"), Some("Succeeded" | "Failed"));
    !ended && !has_condition(pod, "Ready", "True")
}

fn owners(view: &View<'_>, pods: &[&Object]) -> Vec<ObjectRef> {
    let mut out: Vec<ObjectRef> = Vec::new();
    for pod in pods {
        let owner = view.snapshot.top_owner(pod);
        if !out.iter().any(|o| o.same_object(&owner)) {
            out.push(owner);
        }
    }
    out
}

/// Replicas that run elsewhere make it a degradation.
fn severity(view: &View<'_>, owners: &[ObjectRef]) -> Severity {
    let serves = |o: &ObjectRef| {
        let live = view.snapshot.get(o);
        live.is_some_and(|l| l.int("status.availableReplicas").unwrap_or(0) > 0)
    };
    if owners.iter().all(serves) {
        Severity::Medium
    } else {
        Severity::High
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::collections::BTreeMap;
    use std::time::Duration;

    use super::*;
    use crate::snapshot::Snapshot;

    fn classes(node_ready: &str, pod_ready: &str) -> Vec<Class> {
        let node = format!(
            "{{kind: Node, metadata: {{name: n1}}, status: {{conditions: [{{type: Ready, status: '{node_ready}', reason: R, message: m}}]}}}}"
        );
        let pod = format!(
            "{{kind: Pod, metadata: {{name: p, namespace: a}}, spec: {{nodeName: n1}}, status: {{phase: Running, conditions: [{{type: Ready, status: '{pod_ready}'}}]}}}}"
        );
        let read = |t: &str| Object::new(serde_saphyr::from_str::<Value>(t).unwrap()).unwrap();
        let snapshot = Snapshot::new(vec![read(&node), read(&pod)], BTreeMap::new());
        let view = View {
            snapshot: &snapshot,
            desired: &[],
            report: None,
            now: "2026-01-05T11:00:00Z".parse().unwrap(),
            grace: Duration::from_secs(120),
        };
        findings(&view).iter().map(|f| f.class).collect()
    }

    #[test]
    fn a_node_counts_while_pods_of_it_do_not_serve() {
        assert_eq!(classes("Unknown", "False"), [Class::NodeNotReady]);
        assert_eq!(classes("False", "False"), [Class::NodeNotReady]);
        assert_eq!(classes("True", "False"), []);
        assert_eq!(classes("Unknown", "True"), []);
    }
}
