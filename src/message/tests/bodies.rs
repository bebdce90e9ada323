//! Texts with the same foreign text in every field.

use std::collections::BTreeMap;

use serde_json::json;

use crate::case::{Case, Commit, Desired, NOTHING_SAID};
use crate::code::{Code, Refusal};
use crate::culprit::Culprit;
use crate::evidence::{Evidence, Item, Sign};
use crate::finding::{Class, Finding, Severity};
use crate::locate::{ChangedObject, Check, RootEffect, Site, Status, Strategy};
use crate::lock::{Blocked, Plan, Policy, lock};
use crate::message::commit::{Style, commit};
use crate::message::{PullRequestParts, Text, pull_request, question, refusal};
use crate::object::{Object, ObjectRef};
use crate::path::FieldPath;
use crate::pipeline::Mended;
use crate::propose::{Choice, Claim, Op, Proposal, ProposedEdit, Question, Source, Unlock};
use crate::snapshot::Snapshot;

fn object() -> ObjectRef {
    ObjectRef::new("apps/v1", "Deployment", Some("shop"), "web")
}

fn manifest() -> Object {
    let container =
        json!({"name": "app", "image": "r/web:1", "resources": {"limits": {"memory": "100Mi"}}});
    Object::new(json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": "web", "namespace": "shop"},
        "spec": {"template": {"spec": {"containers": [container]}}},
    }))
    .unwrap()
}

fn finding(text: &str) -> Finding {
    let mut finding = Finding::new(Class::OOMKilled, Severity::High, object(), text);
    finding.container = Some("app".to_owned());
    finding.reason = text.to_owned();
    finding.message = text.to_owned();
    finding
}

fn path() -> FieldPath {
    "spec.template.spec.containers[0].resources.limits.memory"
        .parse()
        .unwrap()
}

fn proposal(text: &str) -> Proposal {
    let claim = Claim {
        text: text.to_owned(),
        cites: vec![text.to_owned()],
    };
    Proposal {
        source: Source::Model(text.to_owned()),
        title: text.to_owned(),
        diagnosis: vec![claim.clone(), claim],
        reason: format!("it is needed: {text}"),
        risk: Severity::Medium,
        after_merge: vec![text.to_owned()],
        edits: vec![ProposedEdit {
            object: object(),
            path: path(),
            op: Op::Set(json!("150Mi")),
            unlock: Unlock::OOMKilled,
            basis: text.to_owned(),
        }],
    }
}

fn evidence(text: &str) -> Evidence {
    let mut evidence = Evidence::default();
    let redacted = evidence.redactor().text(text);
    evidence.items.push(Item {
        id: "E1".to_owned(),
        title: redacted.clone(),
        text: redacted,
    });
    evidence
}

fn plan(proposal: &Proposal) -> Plan {
    let finding = finding("x");
    let snapshot = Snapshot::new(Vec::new(), BTreeMap::new());
    let desired = [Desired {
        object: manifest(),
        file: "web.yaml".to_owned(),
        document: 0,
        root: None,
    }];
    let case = Case {
        finding: &finding,
        others: &[],
        snapshot: &snapshot,
        desired: &desired,
        earlier: &[],
        report: None,
        now: "2026-05-01T12:00:00Z".parse().unwrap(),
        said: &NOTHING_SAID,
    };
    lock(proposal, &case, &Policy::default()).unwrap()
}

fn mended(text: &str, proposal: &Proposal) -> Mended {
    let site = Site {
        file: text.to_owned(),
        line: 7,
        document: 0,
        path: path(),
        inner: None,
        strategy: Strategy::Direct,
        root: None,
        affects: Vec::new(),
        trail: Vec::new(),
    };
    let check = |name: &str| Check {
        name: name.to_owned(),
        status: Status::Pass,
        detail: text.to_owned(),
    };
    let mut after = manifest().value;
    after["metadata"]["annotations"] = json!({"a": text});
    Mended {
        plan: plan(proposal),
        site: site.clone(),
        sites: vec![site],
        edits: BTreeMap::new(),
        changed: BTreeMap::from([(text.to_owned(), Vec::new())]),
        checks: vec![check("yaml"), check("render"), check(text)],
        roots: vec![RootEffect {
            root: text.to_owned(),
            fields: 1,
            objects: 1,
        }],
        objects: vec![ChangedObject {
            root: text.to_owned(),
            object: object(),
            before: Some(manifest().value),
            after: Some(after),
        }],
        patch: format!("--- a\n+++ b\n@@ -1 +1 @@\n-x\n+{text}\n"),
    }
}

pub(super) fn pull_request_of(text: &str) -> Text {
    let proposal = proposal(text);
    let culprit = Culprit {
        commit: Commit {
            id: "c0ffee0000".to_owned(),
            author: text.to_owned(),
            time: None,
            subject: text.to_owned(),
        },
        object: object(),
        path: path(),
        before: Some(json!(text)),
        after: None,
    };
    let sign = Sign {
        object: object(),
        reason: text.to_owned(),
        detail: text.to_owned(),
        count: Some(3),
        first: None,
        last: None,
        cites: Some("E1".to_owned()),
    };
    pull_request(&PullRequestParts {
        finding: &finding(text),
        evidence: &evidence(text),
        proposal: &proposal,
        mended: &mended(text, &proposal),
        signs: &[sign],
        culprit: Some(&culprit),
        fingerprint: "3f9c1a2b7d10",
        base: Some("0123456789abcdef"),
    })
}

pub(super) fn question_of(text: &str) -> Text {
    let choice = Choice {
        title: text.to_owned(),
        proposal: None,
    };
    let asked = Question {
        code: Code::MissingValue,
        title: text.to_owned(),
        diagnosis: vec![Claim::fact(text)],
        options: vec![choice.clone(), choice],
    };
    let patches = [Some(text.to_owned()), None];
    question(
        &finding(text),
        &evidence(text),
        &asked,
        &patches,
        "3f9c1a2b7d10",
    )
}

pub(super) fn refusal_of(text: &str) -> Text {
    let blocked = Blocked {
        code: Code::OutOfBounds,
        path: text.to_owned(),
        wanted: text.to_owned(),
        reason: text.to_owned(),
    };
    let refused = Refusal::new(Code::NoSafeFix, text);
    refusal(
        &finding(text),
        &evidence(text),
        &refused,
        &[blocked],
        "3f9c1a2b7d10",
    )
}

pub(super) fn commit_of(text: &str, style: Style) -> String {
    let mut finding = finding(text);
    finding.object.name = text.to_owned();
    let proposal = proposal(text);
    commit(
        text,
        &proposal,
        &finding,
        "3f9c1a2b7d10",
        &evidence(text),
        style,
    )
}
