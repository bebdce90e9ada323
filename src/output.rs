//! `--output json`: the public contract of `fix`. Every field is always present.

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use crate::evidence::redact::Redactor;
use crate::files::Files;
use crate::finding::{Class, Finding, Severity};
use crate::locate::{Check, Site};
use crate::lock::{Blocked, Plan};
use crate::message::Text;
use crate::object::ObjectRef;
use crate::patch;
use crate::pipeline::{Asked, Ended, Ending, PullRequest, Run};

/// The result of one run of `kubemend fix`.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Report {
    /// Version of this contract.
    pub version: u32,
    /// The first of `pr`, `ask`, `refuse`, `none` that occurs in `results`.
    pub outcome: Outcome,
    /// What was handled.
    pub results: Vec<ResultEntry>,
    /// What else is wrong and was not touched.
    pub listed: Vec<FindingEntry>,
    /// All pull requests' changes as one unified diff; empty when there is none.
    pub patch: String,
}

/// How something ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// One safe fix, proven.
    Pr,
    /// One question.
    Ask,
    /// A refusal with a code.
    Refuse,
    /// Nothing to do.
    None,
}

/// One finding and how it ended.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct ResultEntry {
    /// The finding.
    pub finding: FindingEntry,
    /// Where the change is; null without one.
    pub location: Option<Location>,
    /// How it ended.
    pub outcome: Outcome,
    /// The code of a refusal or a question; null otherwise.
    pub code: Option<String>,
    /// One line.
    pub title: String,
    /// The complete Markdown that a person would get.
    pub message: String,
    /// The options of a question; empty otherwise.
    pub options: Vec<OptionEntry>,
    /// The unified diff of a pull request; empty otherwise.
    pub patch: String,
    /// The changed fields; empty without a pull request.
    pub changed: Vec<ChangedEntry>,
    /// Changes that were wanted and blocked.
    pub blocked: Vec<BlockedEntry>,
    /// What was proven.
    pub checks: Vec<Check>,
}

/// A finding.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct FindingEntry {
    /// The same problem has the same fingerprint in every run.
    pub fingerprint: String,
    /// The failure class.
    pub class: Class,
    /// How bad it is.
    pub severity: Severity,
    /// The failing object.
    pub object: ObjectRef,
    /// The failing container.
    pub container: Option<String>,
    /// One sentence.
    pub summary: String,
}

/// A place in Git.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Location {
    /// File, relative to the repository's root.
    pub file: String,
    /// Line, from 1.
    pub line: usize,
    /// Document in the file, from 0.
    pub document: usize,
    /// Path in the document.
    pub path: String,
}

/// An option of a question.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct OptionEntry {
    /// From 1.
    pub id: usize,
    /// What choosing it means.
    pub title: String,
    /// Its proven unified diff; null where none can be made.
    pub patch: Option<String>,
}

/// A changed field.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct ChangedEntry {
    /// The file.
    pub file: String,
    /// The object, `Deployment shop/cart`.
    pub object: String,
    /// The field of the object.
    pub path: String,
    /// Before; null for an addition.
    pub old: Value,
    /// After; null for a removal.
    pub new: Value,
}

/// A blocked change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct BlockedEntry {
    /// Stable code.
    pub code: String,
    /// Object and field.
    pub path: String,
    /// The value that was wanted.
    pub wanted: String,
    /// Rule and reason.
    pub reason: String,
}

/// Turns a run into the public report.
pub fn report(run: &Run, files: &Files, fingerprint: &dyn Fn(&Finding) -> String) -> Report {
    let results: Vec<ResultEntry> = run.results.iter().map(result).collect();
    let outcome = results
        .iter()
        .map(|r| r.outcome)
        .min()
        .unwrap_or(Outcome::None);
    let listed = run
        .listed
        .iter()
        .map(|f| finding(f, fingerprint(f)))
        .collect();
    Report {
        version: 1,
        outcome,
        results,
        listed,
        patch: patch::unified(files, &run.union),
    }
}

/// The pull requests of a run.
pub fn pull_requests(run: &Run) -> impl Iterator<Item = &PullRequest> {
    run.results.iter().filter_map(|r| match &r.ending {
        Ending::PullRequest(pull_request) => Some(pull_request.as_ref()),
        _ => None,
    })
}

/// Names of files and objects stay; whatever looks like a credential does not.
fn redact(text: &str) -> String {
    crate::evidence::redact::text(text).into_string()
}

fn finding(finding: &Finding, fingerprint: String) -> FindingEntry {
    FindingEntry {
        fingerprint,
        class: finding.class,
        severity: finding.severity,
        object: finding.object.clone(),
        container: finding.container.clone(),
        summary: redact(&finding.summary),
    }
}

fn result(ended: &Ended) -> ResultEntry {
    let entry = |outcome, code: Option<String>, text: &Text| ResultEntry {
        finding: finding(&ended.finding, ended.fingerprint.clone()),
        location: None,
        outcome,
        code,
        title: text.title.clone(),
        message: text.body.clone(),
        options: Vec::new(),
        patch: String::new(),
        changed: Vec::new(),
        blocked: Vec::new(),
        checks: Vec::new(),
    };
    match &ended.ending {
        Ending::PullRequest(pull_request) => {
            let mended = &pull_request.mended;
            ResultEntry {
                location: Some(location(&mended.site)),
                patch: mended.patch.clone(),
                changed: changed(&mended.plan, &mended.sites),
                blocked: blocked(mended.plan.blocked()),
                checks: mended.checks.clone(),
                ..entry(Outcome::Pr, None, &pull_request.text)
            }
        }
        Ending::Question(asked) => ResultEntry {
            options: options(asked),
            ..entry(
                Outcome::Ask,
                Some(asked.question.code.to_string()),
                &asked.text,
            )
        },
        Ending::Refused {
            refusal,
            blocked: b,
            text,
        } => ResultEntry {
            blocked: blocked(b),
            ..entry(Outcome::Refuse, Some(refusal.code.to_string()), text)
        },
        Ending::Nothing { text, .. } => entry(Outcome::None, None, text),
    }
}

fn location(site: &Site) -> Location {
    Location {
        file: site.file.clone(),
        line: site.line,
        document: site.document,
        path: site.path.to_string(),
    }
}

fn changed(plan: &Plan, sites: &[Site]) -> Vec<ChangedEntry> {
    let values = Redactor::default();
    let entry = |(c, site): (&crate::lock::Change, &Site)| ChangedEntry {
        file: site.file.clone(),
        object: c.edit.object.to_string(),
        path: c.edit.path.to_string(),
        old: values.object(&c.before.clone().unwrap_or_default()),
        new: values.object(&c.after.clone().unwrap_or_default()),
    };
    plan.changes().iter().zip(sites).map(entry).collect()
}

fn blocked(blocked: &[Blocked]) -> Vec<BlockedEntry> {
    let entry = |b: &Blocked| BlockedEntry {
        code: b.code.to_string(),
        path: b.path.clone(),
        wanted: redact(&b.wanted),
        reason: redact(&b.reason),
    };
    blocked.iter().map(entry).collect()
}

fn options(asked: &Asked) -> Vec<OptionEntry> {
    let titles = asked.question.options.iter().map(|o| redact(&o.title));
    titles
        .zip(&asked.patches)
        .enumerate()
        .map(|(i, (title, patch))| OptionEntry {
            id: i + 1,
            title,
            patch: patch.clone(),
        })
        .collect()
}
