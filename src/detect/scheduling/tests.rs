#![allow(clippy::unwrap_used)]
use std::time::Duration;

use serde_json::json;

use super::*;
use crate::snapshot::Snapshot;

const NOW: &str = "2026-05-01T12:00:00Z";

fn object(value: Value) -> Object {
    Object::new(value).unwrap()
}

fn pending(name: &str, message: &str, spec: Value) -> Object {
    object(json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": name, "namespace": "shop", "creationTimestamp": "2026-05-01T11:00:00Z",
            "labels": {"pod-template-hash": "6f"},
            "ownerReferences": [{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web-6f", "uid": "rs", "controller": true}]},
        "spec": spec,
        "status": {"phase": "Pending", "conditions": [
            {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message}]}
    }))
}

fn run(objects: Vec<Object>) -> Vec<Finding> {
    let snapshot = Snapshot::new(objects, BTreeMap::new());
    findings(&View {
        snapshot: &snapshot,
        desired: &[],
        report: None,
        now: NOW.parse().unwrap(),
        grace: Duration::from_secs(300),
    })
}

#[test]
fn pods_of_one_owner_are_one_finding() {
    let text = "0/3 nodes are available: 3 Insufficient cpu.";
    let found = run(vec![
        pending("web-a", text, json!({})),
        pending("web-b", text, json!({})),
    ]);
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].class, Class::UnschedulableResources);
    assert_eq!(found[0].object.to_string(), "Deployment shop/web");
    assert_eq!(found[0].pods.len(), 2);
    assert_eq!(found[0].fact(RESOURCE), Some("cpu"));
    assert_eq!(found[0].fact(NODES), Some("3"));
}

#[test]
fn what_is_young_scheduled_or_leaving_is_no_finding() {
    let text = "0/3 nodes are available: 3 Insufficient cpu.";
    let changed = |path: &str, value: Value| {
        let mut pod = pending("web-a", text, json!({}));
        let mut at = &mut pod.value;
        for key in path.split('.') {
            at = at.as_object_mut().unwrap().entry(key).or_insert(json!({}));
        }
        *at = value;
        run(vec![pod]).len()
    };
    assert_eq!(changed("metadata.name", json!("x")), 1);
    assert_eq!(
        changed("metadata.creationTimestamp", json!("2026-05-01T11:58:00Z")),
        0
    );
    assert_eq!(changed("spec.nodeName", json!("n1")), 0);
    assert_eq!(changed("metadata.deletionTimestamp", json!(NOW)), 0);
    assert_eq!(changed("status.phase", json!("Running")), 0);
}

#[test]
fn the_event_speaks_where_the_condition_does_not() {
    let mut pod = pending("web-a", "", json!({}));
    let event = object(json!({
        "kind": "Event", "metadata": {"name": "e"}, "reason": "FailedScheduling", "type": "Warning",
        "regarding": {"kind": "Pod", "namespace": "shop", "name": "web-a"},
        "note": "0/1 nodes are available: 1 node(s) didn't match Pod's node affinity/selector."
    }));
    pod.value["status"]["conditions"] = json!([]);
    let found = run(vec![pod, event]);
    assert_eq!(found[0].fact(CAUSE), Some("selector"));
}

#[test]
fn a_missing_claim_is_named() {
    let found = run(vec![pending(
        "web-a",
        "0/3 nodes are available: persistentvolumeclaim \"cart\" not found.",
        json!({}),
    )]);
    assert_eq!(found[0].class, Class::ClaimNotFound);
    assert_eq!(found[0].fact(fact::MISSING_NAME), Some("cart"));
}

#[test]
fn a_node_that_meets_the_selector_makes_its_taint_the_cause() {
    let text = "0/2 nodes are available: 1 node(s) had untolerated taint {team: a}, 1 node(s) didn't match Pod's node affinity/selector.";
    let node = |name: &str, disk: &str, taints: Value| {
        object(
            json!({"kind": "Node", "metadata": {"name": name, "labels": {"disk": disk}}, "spec": {"taints": taints}}),
        )
    };
    let nodes = |disk: &str| {
        vec![
            node(
                "n1",
                disk,
                json!([{"key": "team", "value": "a", "effect": "NoSchedule"}]),
            ),
            node("n2", "hdd", json!([])),
            pending("web-a", text, json!({"nodeSelector": {"disk": "ssd"}})),
        ]
    };
    assert_eq!(run(nodes("ssd"))[0].class, Class::UnschedulableTaint);
    assert_eq!(run(nodes("hdd"))[0].class, Class::UnschedulablePlacement);
}

#[test]
fn a_pod_for_another_scheduler_is_found_when_nobody_looks_at_it() {
    let mut pod = pending("web-a", "", json!({"schedulerName": "fancy"}));
    pod.value["status"]["conditions"] = json!([]);
    let found = run(vec![pod.clone()]);
    assert_eq!(found[0].fact(CAUSE), Some("scheduler-name"));
    pod.value["spec"]["schedulerName"] = json!("default-scheduler");
    assert_eq!(run(vec![pod]).len(), 0);
}

#[test]
fn a_pod_bound_to_no_node_is_found_where_nodes_are_listed() {
    let pod = pending("web-a", "", json!({"nodeName": "gone"}));
    let node = object(json!({"kind": "Node", "metadata": {"name": "n1"}}));
    assert_eq!(
        run(vec![pod.clone(), node])[0].fact(CAUSE),
        Some("node-name")
    );
    assert_eq!(run(vec![pod]).len(), 0);
}
