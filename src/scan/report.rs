//! The public JSON contract of `scan`. Every field is always present.

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use crate::evidence::redact;
use crate::finding::{Class, Severity};
use crate::lock::{self, Change, Plan};
use crate::message;
use crate::object::ObjectRef;
use crate::output::{ChangedEntry, OptionEntry};
use crate::path::FieldPath;
use crate::pipeline::PullRequest;
use crate::propose::Op;
use crate::scan::{Found, Input, Outcome, Rule, Scan, rules};

/// The result of one run of `kubemend scan`.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(title = "ScanReport")]
pub struct Report {
    /// Version of this contract.
    pub version: u32,
    /// The version of Kubernetes that the manifests were checked for.
    pub target_version: String,
    /// What was looked at.
    pub seen: Seen,
    /// Findings, by file and line.
    pub findings: Vec<FindingEntry>,
    /// Findings that a comment or the configuration silences.
    pub silenced: Vec<SilencedEntry>,
    /// What was not looked at and is no fault: remote bases, charts, a missing renderer.
    pub unseen: Vec<String>,
    /// Findings that are not listed because there are too many.
    pub cut: usize,
    /// All proven fixes together as one unified diff; empty when there is none.
    pub patch: String,
}

/// What was looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Seen {
    /// Files of the repository.
    pub files: usize,
    /// Objects, as rendered or as plain files hold them.
    pub objects: usize,
    /// Kustomize roots.
    pub roots: usize,
}

/// One finding.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct FindingEntry {
    /// The same finding has the same fingerprint in every run; the line is no part of it.
    pub fingerprint: String,
    /// Stable id of the rule: `KM101`.
    pub rule: String,
    /// Stable name of the rule: `unknown-field`.
    pub name: String,
    /// The failure class that a cluster would show.
    pub class: Class,
    /// How bad it is.
    pub severity: Severity,
    /// The object.
    pub object: ObjectRef,
    /// The container; null where it is not about one.
    pub container: Option<String>,
    /// The field, on the object as rendered.
    pub path: String,
    /// One sentence.
    pub message: String,
    /// Where it is written.
    pub location: Span,
    /// The kustomize roots that show it; empty for plain files.
    pub roots: Vec<String>,
    /// The proven fix; null without one.
    pub fix: Option<FixEntry>,
    /// Why there is no fix; null with one.
    pub open: Option<OpenEntry>,
}

/// A place in a file. Lines and columns count from 1, columns in characters.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Span {
    /// File, relative to the repository's root.
    pub file: String,
    /// First line.
    pub line: usize,
    /// First column.
    pub column: usize,
    /// Last line.
    pub end_line: usize,
    /// The column behind the last character.
    pub end_column: usize,
}

/// A proven fix. Several findings of one object may share one.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct FixEntry {
    /// One line.
    pub title: String,
    /// The branch of `--fix commit`.
    pub branch: String,
    /// The unified diff.
    pub patch: String,
    /// The changed fields.
    pub changed: Vec<ChangedEntry>,
    /// Why a person has to confirm; empty when nobody has to.
    pub confirmations: Vec<String>,
    /// What was proven.
    pub checks: Vec<crate::locate::Check>,
}

/// Why there is no fix.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct OpenEntry {
    /// Stable code.
    pub code: String,
    /// The reason, or the question.
    pub reason: String,
    /// What a person may choose; each with its proven diff where there is one.
    pub options: Vec<OptionEntry>,
}

/// A finding that somebody silenced.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct SilencedEntry {
    /// Stable id of the rule.
    pub rule: String,
    /// The object.
    pub object: ObjectRef,
    /// Where.
    pub location: Span,
    /// Who says so, and why.
    pub reason: String,
}

/// Turns a scan into the public report.
pub fn report(scan: &Scan, input: &Input<'_>) -> Report {
    Report {
        version: 1,
        target_version: input.target.to_string(),
        seen: Seen {
            files: scan.stats.files,
            objects: scan.stats.objects,
            roots: scan.stats.roots,
        },
        findings: scan.findings.iter().map(|f| finding(scan, f)).collect(),
        silenced: scan.silenced.iter().map(silenced).collect(),
        unseen: scan.unseen.iter().map(|t| shown(t)).collect(),
        cut: scan.cut,
        patch: scan.patch(input),
    }
}

/// A text of a manifest as it may leave the process: redacted, without control characters.
pub fn shown(text: &str) -> String {
    message::clean(redact::text(text).as_ref())
}

fn span(place: &crate::scan::Place) -> Span {
    Span {
        file: place.file.clone(),
        line: place.line,
        column: place.column,
        end_line: place.end_line,
        end_column: place.end_column,
    }
}

fn finding(scan: &Scan, found: &Found) -> FindingEntry {
    FindingEntry {
        fingerprint: found.fingerprint.clone(),
        rule: found.rule.id.to_owned(),
        name: found.rule.name.to_owned(),
        class: found.rule.class,
        severity: found.severity,
        object: found.object.clone(),
        container: found.container.clone(),
        path: found.path.clone(),
        message: shown(&found.message),
        location: span(&found.place),
        roots: found.roots.clone(),
        fix: scan.fix(found).map(fix),
        open: open(&found.outcome),
    }
}

fn fix(pull_request: &PullRequest) -> FixEntry {
    let mended = &pull_request.mended;
    let plan: &Plan = &mended.plan;
    let changes = plan.changes().iter().zip(&mended.sites);
    let changed = changes.map(|(change, site)| ChangedEntry {
        file: site.file.clone(),
        object: change.edit.object.to_string(),
        path: change.edit.path.to_string(),
        old: change.before.clone().unwrap_or_default(),
        new: change.after.clone().unwrap_or_default(),
    });
    FixEntry {
        title: title(pull_request),
        branch: pull_request.branch.clone(),
        patch: mended.patch.clone(),
        changed: changed.collect(),
        confirmations: plan.confirmations().to_vec(),
        checks: mended.checks.clone(),
    }
}

/// `rename imagePullPolcy to imagePullPolicy in Deployment shop/web`
fn title(pull_request: &PullRequest) -> String {
    let changes = pull_request.mended.plan.changes();
    let mut words: Vec<String> = changes.iter().filter_map(|c| told(c, changes)).collect();
    let more = words.len().saturating_sub(MOST_CHANGES);
    words.truncate(MOST_CHANGES);
    let object = changes.first().map(|c| c.edit.object.to_string());
    let rest = match more {
        0 => String::new(),
        n => format!(", and {n} more"),
    };
    let text = words.join(", ") + &rest;
    shown(&format!("{text} in {}", object.unwrap_or_default()))
}

/// The most changes that a title names.
const MOST_CHANGES: usize = 3;

/// One change in words; none for the part of a rename that the other part tells.
fn told(change: &Change, all: &[Change]) -> Option<String> {
    let path = &change.edit.path;
    let value = |v: &Option<Value>| v.as_ref().map(lock::short).unwrap_or_default();
    let partner = all.iter().find(|other| {
        let beside =
            path.split_last().map(|(p, _)| p) == other.edit.path.split_last().map(|(p, _)| p);
        let renamed = |gone: &Change, new: &Change| {
            gone.edit.op == Op::Remove
                && matches!(&new.edit.op, Op::Add(v) if Some(v) == gone.before.as_ref())
        };
        beside && (renamed(change, other) || renamed(other, change))
    });
    match (&change.edit.op, partner) {
        (Op::Add(_), Some(_)) => None,
        (Op::Remove, Some(new)) => Some(format!(
            "rename {} to {}",
            end(path, 1),
            end(&new.edit.path, 1)
        )),
        (Op::Remove, None) => Some(format!("remove {}", end(path, 3))),
        (Op::Add(_), None) => Some(format!("add {} {}", end(path, 3), value(&change.after))),
        (Op::Set(_), _) => Some(format!("set {} to {}", end(path, 3), value(&change.after))),
    }
}

/// The last parts of a path.
fn end(path: &FieldPath, parts: usize) -> FieldPath {
    let from = path.0.len().saturating_sub(parts);
    FieldPath(path.0.iter().skip(from).cloned().collect())
}

fn open(outcome: &Outcome) -> Option<OpenEntry> {
    let Outcome::Open { refusal, options } = outcome else {
        return None;
    };
    let options = options
        .iter()
        .enumerate()
        .map(|(i, (title, patch))| OptionEntry {
            id: i + 1,
            title: shown(title),
            patch: patch.clone(),
        });
    Some(OpenEntry {
        code: refusal.code.to_string(),
        reason: shown(&refusal.message),
        options: options.collect(),
    })
}

fn silenced(silenced: &crate::scan::Silenced) -> SilencedEntry {
    SilencedEntry {
        rule: silenced.rule.id.to_owned(),
        object: silenced.object.clone(),
        location: span(&silenced.place),
        reason: shown(&silenced.reason),
    }
}

/// `error`, `warning` or `note`: how SARIF and workflow annotations call a severity.
pub fn level(severity: Severity) -> &'static str {
    match severity {
        Severity::High | Severity::Critical => "error",
        Severity::Medium => "warning",
        Severity::Low => "note",
    }
}

/// The rule behind an entry.
pub fn rule_of(entry: &FindingEntry) -> Option<&'static Rule> {
    rules::rule(&entry.rule)
}
