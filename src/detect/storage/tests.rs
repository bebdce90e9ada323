#![allow(clippy::unwrap_used)]
use std::time::Duration;

use serde_json::json;

use super::*;
use crate::snapshot::Snapshot;

fn object(value: Value) -> Object {
    Object::new(value).unwrap()
}

fn claim(name: &str, class: Value) -> Object {
    object(json!({
        "apiVersion": "v1", "kind": "PersistentVolumeClaim",
        "metadata": {"name": name, "namespace": "shop", "creationTimestamp": "2026-05-01T11:00:00Z"},
        "spec": {"accessModes": ["ReadWriteOnce"], "storageClassName": class},
        "status": {"phase": "Pending"}
    }))
}

fn class(name: &str) -> Object {
    object(json!({"kind": "StorageClass", "metadata": {"name": name}}))
}

fn event(reason: &str, kind: &str, name: &str, message: &str) -> Object {
    object(
        json!({"kind": "Event", "metadata": {"name": "e"}, "reason": reason, "message": message,
        "involvedObject": {"kind": kind, "namespace": "shop", "name": name}}),
    )
}

fn run(objects: Vec<Object>) -> Vec<Finding> {
    let snapshot = Snapshot::new(objects, BTreeMap::new());
    findings(&View {
        snapshot: &snapshot,
        desired: &[],
        report: None,
        now: "2026-05-01T12:00:00Z".parse().unwrap(),
        grace: Duration::from_secs(300),
    })
}

fn cause(objects: Vec<Object>) -> Option<String> {
    Some(run(objects).first()?.fact(CAUSE)?.to_owned())
}

#[test]
fn a_missing_class_is_found_by_event_or_by_list() {
    let said = event(
        "ProvisioningFailed",
        "PersistentVolumeClaim",
        "data",
        "storageclass.storage.k8s.io \"quick\" not found",
    );
    assert_eq!(
        cause(vec![claim("data", json!("quick")), said]).as_deref(),
        Some("no-class")
    );
    assert_eq!(
        cause(vec![claim("data", json!("quick")), class("slow")]).as_deref(),
        Some("no-class")
    );
    assert_eq!(cause(vec![claim("data", json!("quick"))]), None);
    assert_eq!(
        cause(vec![claim("data", json!("slow")), class("slow")]),
        None
    );
}

#[test]
fn waiting_for_the_first_consumer_is_no_fault() {
    let waits = event(
        "WaitForFirstConsumer",
        "PersistentVolumeClaim",
        "data",
        "waiting for first consumer to be created before binding",
    );
    assert_eq!(
        cause(vec![claim("data", json!("slow")), class("slow"), waits]),
        None
    );
}

#[test]
fn volumes_made_by_hand_need_no_class() {
    let volume = object(
        json!({"kind": "PersistentVolume", "metadata": {"name": "v"}, "spec": {"storageClassName": "manual"}}),
    );
    assert_eq!(
        cause(vec![claim("data", json!("manual")), class("slow"), volume]).as_deref(),
        Some("no-volume-fits")
    );
}

#[test]
fn no_class_and_no_default_is_found() {
    let failed = event(
        "FailedBinding",
        "PersistentVolumeClaim",
        "data",
        "no persistent volumes available for this claim and no storage class is set",
    );
    assert_eq!(
        cause(vec![claim("data", Value::Null), failed.clone()]).as_deref(),
        Some("no-class-set")
    );
    assert_eq!(
        cause(vec![claim("data", json!("")), failed]).as_deref(),
        Some("static-only")
    );
    assert_eq!(
        cause(vec![claim("data", Value::Null), class("slow")]).as_deref(),
        Some("no-class-set")
    );
}

#[test]
fn bound_and_young_claims_are_fine() {
    let mut bound = claim("data", json!("quick"));
    bound.value["status"]["phase"] = json!("Bound");
    assert_eq!(cause(vec![bound, class("slow")]), None);
    let mut young = claim("data", json!("quick"));
    young.value["metadata"]["creationTimestamp"] = json!("2026-05-01T11:58:00Z");
    assert_eq!(cause(vec![young, class("slow")]), None);
}

#[test]
fn claims_of_a_template_are_one_finding_of_their_stateful_set() {
    let set = object(
        json!({"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": "db", "namespace": "shop"},
        "spec": {"volumeClaimTemplates": [{"metadata": {"name": "data"}}]}}),
    );
    let found = run(vec![
        set,
        claim("data-db-0", json!("quick")),
        claim("data-db-1", json!("quick")),
        class("slow"),
    ]);
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].object.to_string(), "StatefulSet shop/db");
    assert_eq!(found[0].fact(TEMPLATE), Some("data"));
}

#[test]
fn a_volume_wanted_by_two_nodes_is_found() {
    let pod = object(
        json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "web-1", "namespace": "shop"},
        "spec": {"nodeName": "n2", "volumes": [{"name": "d", "persistentVolumeClaim": {"claimName": "data"}}]},
        "status": {"phase": "Pending"}}),
    );
    let said = event(
        "FailedAttachVolume",
        "Pod",
        "web-1",
        "Multi-Attach error for volume \"pv-1\" Volume is already used by pod(s) web-0",
    );
    let found = run(vec![pod, said]);
    assert_eq!(found[0].class, Class::FailedAttachVolume);
    assert_eq!(found[0].fact(CLAIM), Some("data"));
}
