#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::*;
use crate::case::{Case, Desired};
use crate::evidence::gather;
use crate::finding::{Class, Finding};
use crate::object::Object;
use crate::snapshot::Snapshot;

/// A case with a container that is out of memory, its scope and its evidence.
fn with_scope<T>(class: Class, use_it: impl FnOnce(&Scope, &Evidence) -> T) -> T {
    let object = Object::new(json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": "cart", "namespace": "shop"},
        "spec": {"replicas": 2, "template": {"spec": {"containers": [
            {"name": "web", "image": "shop/cart:1",
             "resources": {"limits": {"memory": "128Mi"}, "requests": {"memory": "64Mi"}}},
            {"name": "side", "resources": {"limits": {"memory": "32Mi"}}}]}}},
    }));
    let desired = [Desired {
        object: object.unwrap(),
        file: "cart.yaml".to_owned(),
        document: 0,
        root: None,
    }];
    let name = ObjectRef::new("apps/v1", "Deployment", Some("shop"), "cart");
    let mut finding = Finding::new(class, Severity::High, name, "web was killed");
    finding.container = Some("web".to_owned());
    let snapshot = Snapshot::new(Vec::new(), BTreeMap::new());
    let case = Case {
        finding: &finding,
        others: &[],
        snapshot: &snapshot,
        desired: &desired,
        earlier: &[],
        report: None,
        now: "2026-01-02T12:00:00Z".parse().unwrap(),
        said: &crate::case::NOTHING_SAID,
    };
    use_it(&Scope::of(&case), &gather(&case))
}

const MEMORY: &str = "spec.template.spec.containers[name=web].resources.limits.memory";

fn good() -> Value {
    json!({
        "diagnosis": [{"text": "web was killed at 128Mi", "cites": ["E1"]}],
        "summary": "raise the memory limit", "risk": "low",
        "reason": "The limit is too low for the load.",
        "edits": [{"object": "Deployment shop/cart", "path": MEMORY, "op": "set",
            "value": "256Mi", "unlock": "OOMKilled"}],
        "no_safe_fix": null, "question": null,
    })
}

fn read_text(text: &str) -> Result<Answer, Refusal> {
    with_scope(Class::OOMKilled, |scope, evidence| {
        read(text, scope, evidence, "m")
    })
}

fn changed(at: &str, value: Value) -> Value {
    let mut answer = good();
    *answer.pointer_mut(at).unwrap() = value;
    answer
}

#[test]
fn a_good_answer_becomes_a_proposal() {
    let Ok(Answer::Fix(proposal)) = read_text(&good().to_string()) else {
        panic!("no proposal");
    };
    assert_eq!(proposal.edits[0].op, Op::Set(json!("256Mi")));
    assert_eq!(proposal.edits[0].unlock, Unlock::OOMKilled);
    assert_eq!(proposal.source, Source::Model("m".to_owned()));
    let fenced = format!("```json\n{}\n```", good());
    assert!(read_text(&fenced).is_ok());
}

#[test]
fn each_breach_of_the_contract_refuses_the_answer() {
    let long = "x".repeat(MAX_ANSWER + 1);
    let breaches = [
        changed("/diagnosis", json!([])).to_string(),
        changed("/diagnosis/0/cites", json!([])).to_string(),
        changed("/diagnosis/0/cites", json!(["E99"])).to_string(),
        changed("/risk", json!("none")).to_string(),
        changed("/reason", json!("short")).to_string(),
        changed("/reason", json!("x".repeat(501))).to_string(),
        changed("/edits", json!([])).to_string(),
        changed("/edits/0/object", json!("Deployment shop/other")).to_string(),
        changed("/edits/0/path", json!("spec.replicas")).to_string(),
        changed("/edits/0/path", json!(MEMORY.replace("web", "side"))).to_string(),
        changed("/edits/0/unlock", json!("LastHealthyTemplate")).to_string(),
        changed("/edits/0/op", json!("replace")).to_string(),
        changed("/edits/0/value", Value::Null).to_string(),
        changed("/edits/0/value", json!("[REDACTED:12ab***]")).to_string(),
        changed("/edits", json!([good()["edits"][0], good()["edits"][0]])).to_string(),
        changed("/no_safe_fix", json!("there is none")).to_string(),
        good()
            .to_string()
            .replace("\"risk\"", "\"extra\":1,\"risk\""),
        good()
            .to_string()
            .replace("\"risk\"", "\"risk\":\"low\",\"risk\""),
        good().to_string() + "{}",
        good().to_string().chars().take(100).collect(),
        "I would raise the limit.".to_owned(),
        String::new(),
        "[".repeat(100_000).chars().take(60_000).collect(),
        long,
    ];
    for text in breaches {
        let shown: String = text.chars().take(300).collect();
        let refusal = read_text(&text).expect_err(&shown);
        assert_eq!(refusal.code, Code::ModelUnusable, "{shown}");
    }
}

#[test]
fn refusals_and_questions_are_answers() {
    let mut none = changed("/edits", json!([]));
    none["no_safe_fix"] = json!("the application leaks memory");
    let answer = read_text(&none.to_string()).unwrap();
    assert!(matches!(answer, Answer::Refuse(r) if r.code == Code::NoSafeFix));
    let mut ask = changed("/edits", json!([]));
    ask["question"] = json!({"title": "Which limit?", "options": ["256Mi", "512Mi"]});
    let answer = read_text(&ask.to_string()).unwrap();
    assert!(matches!(answer, Answer::Ask(q) if q.options.len() == 2));
}

#[test]
fn the_schema_is_strict_and_narrow_for_every_class() {
    let classes = [
        Class::OOMKilled,
        Class::CrashLoopBackOff,
        Class::InvalidManifest,
        Class::QuotaRejected,
        Class::ReadinessProbeFailing,
        Class::RbacDenied,
    ];
    for class in classes {
        with_scope(class, |scope, evidence| {
            let schema = schema(scope, evidence);
            assert_eq!(strict::lint(&schema), Vec::<String>::new(), "{class}");
        });
    }
    with_scope(Class::OOMKilled, |scope, evidence| {
        let schema = schema(scope, evidence);
        let paths = schema
            .pointer("/$defs/ModelEdit/properties/path/enum")
            .unwrap();
        assert_eq!(
            paths.as_array().unwrap().len(),
            2,
            "only the failing container: {paths}"
        );
    });
    with_scope(Class::RbacDenied, |scope, evidence| {
        assert!(scope.is_empty());
        let most = schema(scope, evidence);
        assert_eq!(most.pointer("/properties/edits/maxItems"), Some(&json!(0)));
    });
}

#[test]
fn the_schema_reads_like_this() {
    with_scope(Class::OOMKilled, |scope, evidence| {
        let text = serde_json::to_string_pretty(&schema(scope, evidence)).unwrap();
        insta::assert_snapshot!("schema", text);
    });
}
