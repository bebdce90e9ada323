//! Test help: a cluster and a repository as YAML, one detector, one answer. Only for tests.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;

use crate::case::{Case, Commit, Desired, Earlier};
use crate::detect::{Detector, View};
use crate::lock::{Policy, lock};
use crate::object::Object;
use crate::propose::playbook::answer;
use crate::propose::{Answer, Op, Proposal, Question};
use crate::snapshot::Snapshot;

/// Documents of a YAML text.
pub(super) fn objects(yaml: &str) -> Vec<Object> {
    let documents = yaml.split("\n---\n").filter(|d| !d.trim().is_empty());
    let read = |d: &str| Object::new(serde_saphyr::from_str::<Value>(d).unwrap()).unwrap();
    documents.map(read).collect()
}

fn now() -> Timestamp {
    "2026-05-01T12:00:00Z".parse().unwrap()
}

/// The answer to the only finding of a detector.
pub(super) fn ask(detector: Detector, live: &str, git: &str, before: &str) -> Answer {
    let snapshot = Snapshot::new(objects(live), BTreeMap::new());
    let place = |object| Desired {
        object,
        file: "a.yaml".to_owned(),
        document: 0,
        root: None,
    };
    let desired: Vec<Desired> = objects(git).into_iter().map(place).collect();
    let commit = |object| Earlier {
        replaced_by: Commit {
            id: "c0ffee0000".to_owned(),
            author: String::new(),
            time: None,
            subject: "change".to_owned(),
        },
        object,
    };
    let earlier: Vec<Earlier> = objects(before).into_iter().map(commit).collect();
    let view = View {
        snapshot: &snapshot,
        desired: &desired,
        report: None,
        now: now(),
        grace: Duration::from_secs(300),
    };
    let findings = detector(&view);
    assert_eq!(findings.len(), 1, "{findings:#?}");
    let case = Case {
        finding: &findings[0],
        others: &[],
        snapshot: &snapshot,
        desired: &desired,
        earlier: &earlier,
        report: None,
        now: now(),
        said: &crate::case::NOTHING_SAID,
    };
    let (_, answer) = answer(&case).expect("a play answers");
    each_change_is_let_through(&answer, &case);
    answer
}

/// Whatever a play proposes has to pass lock.
fn each_change_is_let_through(answer: &Answer, case: &Case<'_>) {
    let check = |p: &Proposal| {
        assert!(
            (10..=500).contains(&p.reason.chars().count()),
            "{}",
            p.reason
        );
        lock(p, case, &Policy::default()).unwrap_or_else(|b| panic!("{}: {b:#?}", p.title));
    };
    match answer {
        Answer::Fix(proposal) => check(proposal),
        Answer::Ask(question) => question
            .options
            .iter()
            .filter_map(|o| o.proposal.as_ref())
            .for_each(check),
        Answer::Refuse(_) => {}
    }
}

/// The edits of a fix, `path = value` (or `path gone`).
pub(super) fn fixed(answer: &Answer) -> Vec<String> {
    let Answer::Fix(proposal) = answer else {
        panic!("no fix: {answer:#?}");
    };
    edits(proposal)
}

/// The edits of a proposal as text.
pub(super) fn edits(proposal: &Proposal) -> Vec<String> {
    let text = |op: &Op| match op {
        Op::Set(v) | Op::Add(v) => format!(
            "= {}",
            v.as_str().map_or_else(|| v.to_string(), str::to_owned)
        ),
        Op::Remove => "gone".to_owned(),
    };
    proposal
        .edits
        .iter()
        .map(|e| format!("{} {}", e.path, text(&e.op)))
        .collect()
}

/// The question of an answer.
pub(super) fn asked(answer: &Answer) -> &Question {
    match answer {
        Answer::Ask(question) => question,
        other => panic!("no question: {other:#?}"),
    }
}

/// All texts of a question, for searching.
pub(super) fn words(question: &Question) -> String {
    let claims = question.diagnosis.iter().map(|c| c.text.as_str());
    let options = question.options.iter().map(|o| o.title.as_str());
    std::iter::once(question.title.as_str())
        .chain(claims)
        .chain(options)
        .collect::<Vec<_>>()
        .join("\n")
}
