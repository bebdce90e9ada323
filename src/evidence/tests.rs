#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;

use serde_json::json;

use super::*;
use crate::case::{Commit, Desired, Earlier};
use crate::finding::{Class, Finding, Severity};
use crate::object::{Object, ObjectRef};
use crate::snapshot::{LogKey, Snapshot};

fn deployment(image: &str) -> Object {
    Object::new(json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": "cart", "namespace": "shop", "managedFields": [{"a": "noise"}]},
        "spec": {"template": {"spec": {"containers": [{
            "name": "web", "image": image,
            "env": [{"name": "DB_PASSWORD", "value": "Sup3r-S3cret-9"}],
            "envFrom": [{"configMapRef": {"name": "cart-settings"}}],
        }]}}},
    }))
    .unwrap()
}

fn pod() -> Object {
    Object::new(json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": "cart-1", "namespace": "shop"},
        "spec": {"containers": [{"name": "web"}]},
        "status": {"phase": "Running", "containerStatuses": [{
            "name": "web", "restartCount": 7, "ready": false,
            "state": {"waiting": {"reason": "CrashLoopBackOff"}},
            "lastState": {"terminated": {"reason": "Error", "exitCode": 1}},
        }]},
    }))
    .unwrap()
}

fn event(message: &str, count: i64, last: &str) -> Object {
    Object::new(json!({
        "kind": "Event", "reason": "BackOff", "message": message, "type": "Warning",
        "count": count, "lastTimestamp": last,
        "involvedObject": {"kind": "Pod", "namespace": "shop", "name": "cart-1"},
    }))
    .unwrap()
}

fn snapshot() -> Snapshot {
    let config = json!({"apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": "cart-config", "namespace": "shop"}, "data": {"A": "1"}});
    let logs = BTreeMap::from([(
        LogKey {
            namespace: "shop".to_owned(),
            pod: "cart-1".to_owned(),
            container: "web".to_owned(),
            previous: true,
        },
        "starting\nretry\nretry\nretry\nlogin Sup3r-S3cret-9 refused\n".to_owned(),
    )]);
    Snapshot::new(
        vec![
            pod(),
            Object::new(config).unwrap(),
            event("Back-off restarting", 3, "2026-01-02T10:00:00Z"),
            event("Back-off restarting", 4, "2026-01-02T11:00:00Z"),
        ],
        logs,
    )
}

fn finding_of(class: Class) -> Finding {
    let object = ObjectRef::new("apps/v1", "Deployment", Some("shop"), "cart");
    let mut f = Finding::new(class, Severity::High, object, "container web keeps exiting");
    f.container = Some("web".to_owned());
    f.pods = vec![ObjectRef::new("v1", "Pod", Some("shop"), "cart-1")];
    f
}

fn with_case<T>(use_it: impl FnOnce(&Case<'_>) -> T) -> T {
    let finding = finding_of(Class::CrashLoopBackOff);
    let desired = [Desired {
        object: deployment("shop/cart:2"),
        file: "apps/cart.yaml".to_owned(),
        document: 0,
        root: None,
    }];
    let earlier = [Earlier {
        replaced_by: Commit {
            id: "0123456789abcdef".to_owned(),
            author: "Ann".to_owned(),
            time: None,
            subject: "bump cart".to_owned(),
        },
        object: deployment("shop/cart:1"),
    }];
    let snapshot = snapshot();
    use_it(&Case {
        finding: &finding,
        others: &[],
        snapshot: &snapshot,
        desired: &desired,
        earlier: &earlier,
        report: None,
        now: "2026-01-02T12:00:00Z".parse().unwrap(),
        said: &crate::case::NOTHING_SAID,
    })
}

fn text_of(evidence: &Evidence, title: &str) -> String {
    let item = evidence.items.iter().find(|i| i.title.contains(title));
    item.unwrap_or_else(|| panic!("no {title} in {}", evidence.to_text()))
        .text
        .to_string()
}

#[test]
fn every_source_is_told() {
    let evidence = with_case(gather);
    assert!(text_of(&evidence, "finding").contains("container web keeps exiting"));
    assert!(text_of(&evidence, "containers of").contains("restarts=7"));
    assert!(text_of(&evidence, "events").contains("x7"));
    assert!(text_of(&evidence, "events").contains("first 2026-01-02T10:00:00Z"));
    assert!(text_of(&evidence, "previous run").contains("retry (x3)"));
    assert!(text_of(&evidence, "manifest of").contains("image: shop/cart:2"));
    assert!(!text_of(&evidence, "manifest of").contains("noise"));
    let change = text_of(&evidence, "change of");
    assert!(
        change.contains("[name=web].image: \"shop/cart:1\" -> \"shop/cart:2\""),
        "{change}"
    );
    let refs = text_of(&evidence, "refers to");
    assert!(
        refs.contains("ConfigMap cart-settings: DOES NOT EXIST"),
        "{refs}"
    );
    assert!(
        refs.contains("existing ConfigMap objects: cart-config"),
        "{refs}"
    );
}

#[test]
fn ids_are_in_order_and_the_digest_is_stable() {
    let (a, b) = (with_case(gather), with_case(gather));
    assert_eq!(a.digest(), b.digest());
    for (i, item) in a.items.iter().enumerate() {
        assert_eq!(item.id, format!("E{}", i + 1));
    }
}

#[test]
fn a_secret_of_the_manifest_is_hidden_in_the_log_too() {
    let evidence = with_case(gather);
    assert!(
        !evidence.to_text().contains("Sup3r"),
        "{}",
        evidence.to_text()
    );
    let error = evidence
        .redactor()
        .text("cannot log in with Sup3r-S3cret-9");
    assert!(!error.contains("Sup3r"));
}

#[test]
fn caps_hold_whatever_comes_in() {
    let drafts: Vec<Draft> = (0..100)
        .map(|i| Draft::new(1, format!("t{i}"), "\u{e9}x\n".repeat(4_000)))
        .collect();
    let kept = fit(drafts);
    let total: usize = kept.iter().map(|d| d.text.len() + d.title.len()).sum();
    assert!(total <= MAX_TOTAL, "{total}");
    assert!(kept.iter().all(|d| d.text.len() <= MAX_ITEM));
}

#[test]
fn a_cut_log_keeps_its_end_and_a_cut_manifest_its_front() {
    let text = (0..500).map(|i| format!("line {i}\n")).collect::<String>();
    assert!(capped(&text, 200, Keep::End).ends_with("line 499\n"));
    assert!(capped(&text, 200, Keep::Front).starts_with("line 0\n"));
    assert!(capped(&text, 200, Keep::Front).ends_with("[cut]"));
}
