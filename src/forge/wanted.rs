//! From a pipeline's run to what is wanted on the forge. Pure.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde_json::Value;

use crate::config::Config;
use crate::cycle::Analysis;
use crate::evidence::redact;
use crate::finding::Finding;
use crate::forge::decide::{Checks, Fix, Query, Wanted, WantedEnding};
use crate::forge::identity;
use crate::locate::Status;
use crate::lock::Change;
use crate::message::commit::heading;
use crate::pipeline::{Asked, Ended, Ending, Mended, PullRequest, Run, Silent};
use crate::remediation::{Course, Location};
use crate::repo::Checkout;
use crate::snapshot::Snapshot;
use crate::tally::Tally;
use crate::unsure::Unsure;
use crate::verify::expect::Expected;

/// What people see of an object and its failure in a list.
const MAX_SUMMARY: usize = 300;

/// What a run wants; `scope` is `manifests`, or `cluster` and its name.
pub fn analysis(run: &Run, checkout: &Checkout, snapshot: &Snapshot, scope: &str) -> Analysis {
    let one = |ended: &Ended| Wanted {
        failing_since: since(&ended.finding, snapshot),
        ..of(ended, checkout)
    };
    let mut wanted: Vec<Wanted> = run.results.iter().map(one).collect();
    wanted.extend(run.silent.iter().map(unknown));
    let courses = run.results.iter().map(|ended| {
        let course = course(run, ended, snapshot);
        (ended.fingerprint.clone(), course)
    });
    let problem = |p: &crate::locate::Problem| format!("{}: {}", p.place, p.message);
    Analysis {
        wanted,
        courses: courses.collect(),
        listed: run.listed.clone(),
        reads: BTreeSet::new(),
        scope: scope.to_owned(),
        complete: run.silent.is_empty(),
        unsure: Unsure::default(),
        retry: run.silent.iter().any(|s| s.passes),
        silent: run.silent.iter().map(|s| cut(&s.to_string())).collect(),
        problems: run.problems.iter().map(problem).collect(),
        tally: Tally::of(run),
    }
}

/// How a finding was handled.
fn course(run: &Run, ended: &Ended, snapshot: &Snapshot) -> Course {
    let location = match &ended.ending {
        Ending::PullRequest(pull) => Some(Location {
            file: pull.mended.site.file.clone(),
            line: u32::try_from(pull.mended.site.line).unwrap_or(u32::MAX),
        }),
        _ => None,
    };
    let object = snapshot.get(&ended.finding.object);
    Course {
        used: run.spent.get(&ended.key).copied().unwrap_or_default(),
        evidence: ended.evidence.clone(),
        location,
        uid: object.and_then(|o| o.uid()).map(str::to_owned),
        objects: objects(&ended.finding),
    }
}

/// How many objects show it: a finding lists only some of its pods.
fn objects(finding: &Finding) -> u32 {
    let counted = finding.fact("podCount").and_then(|n| n.parse().ok());
    let listed = || u32::try_from(finding.pods.len()).unwrap_or(u32::MAX);
    counted.unwrap_or_else(listed).max(1)
}

/// Makes drafts of the fixes that the configuration's `rules` want as drafts.
pub fn drafts(run: &Run, config: &Config, analysis: &mut Analysis) {
    for (ended, wanted) in run.results.iter().zip(&mut analysis.wanted) {
        if let WantedEnding::Fix(fix) = &mut wanted.ending {
            let files: Vec<&str> = fix.files.keys().map(String::as_str).collect();
            fix.draft |= config.is_draft(&ended.finding, &files);
        }
    }
}

fn of(ended: &Ended, checkout: &Checkout) -> Wanted {
    let ending = match &ended.ending {
        Ending::PullRequest(pull) => WantedEnding::Fix(Box::new(fix(ended, pull, checkout))),
        Ending::Question(asked) => WantedEnding::Question(Box::new(query(asked))),
        Ending::Refused { refusal, .. } => WantedEnding::Refused {
            code: refusal.code.to_string(),
            reason: cut(&refusal.message),
        },
        Ending::Nothing { .. } => WantedEnding::Settled,
    };
    Wanted {
        key: ended.key.clone(),
        fingerprint: ended.fingerprint.clone(),
        unheard: ended.unheard.as_ref().map(ToString::to_string),
        ..about(&ended.finding, ending)
    }
}

/// Since when the finding's pods (or the object itself) are not well: the oldest moment at which a
/// condition turned bad.
fn since(finding: &Finding, snapshot: &Snapshot) -> Option<Timestamp> {
    let objects = finding.pods.iter().chain([&finding.object]);
    objects
        .filter_map(|o| snapshot.get(o))
        .flat_map(|o| bad_conditions(&o.value))
        .min()
}

fn bad_conditions(object: &Value) -> Vec<Timestamp> {
    let conditions = object
        .pointer("/status/conditions")
        .and_then(Value::as_array);
    let is_bad = |c: &&Value| {
        let text = |key: &str| c.get(key).and_then(Value::as_str).unwrap_or_default();
        matches!(
            text("type"),
            "Ready" | "Available" | "Progressing" | "PodScheduled"
        ) && text("status") == "False"
    };
    let time = |c: &Value| c.get("lastTransitionTime")?.as_str()?.parse().ok();
    conditions
        .into_iter()
        .flatten()
        .filter(is_bad)
        .filter_map(time)
        .collect()
}

fn unknown(silent: &Silent) -> Wanted {
    Wanted {
        key: silent.key.clone(),
        fingerprint: silent.key.clone(),
        ..about(&silent.finding, WantedEnding::Unknown)
    }
}

fn about(finding: &Finding, ending: WantedEnding) -> Wanted {
    Wanted {
        key: String::new(),
        fingerprint: String::new(),
        severity: finding.severity,
        namespace: finding.object.namespace.clone(),
        object: Some(finding.object.clone()),
        class: Some(finding.class),
        summary: cut(&finding.summary),
        failing_since: None,
        unheard: None,
        ending,
    }
}

/// Redacted before it is cut: half a token has no shape any more.
fn cut(text: &str) -> String {
    redact::text(text).chars().take(MAX_SUMMARY).collect()
}

fn fix(ended: &Ended, pull: &PullRequest, checkout: &Checkout) -> Fix {
    let here = &checkout.identity;
    let mended = &pull.mended;
    Fix {
        branch: pull.branch.clone(),
        target: identity::target_key(&here.repository, &here.base, places(mended)),
        change: identity::change_key(values(mended, |c| c.before.as_ref())),
        result: identity::result_key(values(mended, |c| c.after.as_ref())),
        title: heading(&pull.text.title, pull.style),
        body: pull.text.body.clone(),
        commit: pull.commit.clone(),
        files: mended.changed.clone(),
        base: checkout.head.clone().unwrap_or_default(),
        draft: !mended.plan.confirmations().is_empty(),
        asked_for: pull.answered,
        checks: Checks {
            failed: mended.checks.iter().any(|c| c.status == Status::Fail),
            title: pull.checks.title.clone(),
            summary: pull.checks.body.clone(),
        },
        proposer: pull.proposer.clone(),
        expects: expects(ended, mended),
        baseline: None,
    }
}

/// What the cluster shall hold afterwards; nothing where one of the fields cannot be recorded.
fn expects(ended: &Ended, mended: &Mended) -> Vec<Expected> {
    let namespace = ended.finding.object.namespace.as_deref();
    let changes = mended.plan.changes().iter().zip(&mended.sites);
    let all = changes.map(|(change, site)| Expected::of(change, &site.file, namespace));
    all.collect::<Option<Vec<_>>>().unwrap_or_default()
}

/// The file and field of each change.
fn places(mended: &Mended) -> impl Iterator<Item = (&str, String)> {
    let changes = mended.plan.changes().iter().zip(&mended.sites);
    changes.map(|(change, site)| (site.file.as_str(), place(change)))
}

fn values(
    mended: &Mended,
    side: impl Fn(&Change) -> Option<&Value>,
) -> impl Iterator<Item = (&str, String, String)> {
    let changes = mended.plan.changes().iter().zip(&mended.sites);
    changes.map(move |(change, site)| {
        // whole values: two long ones may differ only at the end
        let value = side(change).map(ToString::to_string).unwrap_or_default();
        (site.file.as_str(), place(change), value)
    })
}

fn place(change: &Change) -> String {
    format!("{} {}", change.edit.object, change.edit.path)
}

fn query(asked: &Asked) -> Query {
    let options = asked.question.options.iter().zip(&asked.patches);
    Query {
        title: asked.text.title.clone(),
        body: asked.text.body.clone(),
        options: options
            .map(|(option, patch)| (option.title.clone(), patch.is_some()))
            .collect(),
        keys: asked.keys.clone(),
    }
}
