//! Findings: manifests that never reach the cluster as they are.
//!
//! A tool's message (kubectl, the API server, Argo CD, Flux, Helm, kustomize) says that something
//! is refused; the check of the objects in Git says everything that is. The message alone shows
//! only the first fault, and the check alone does not know whether anybody minds.

use crate::case::Desired;
use crate::detect::View;
use crate::finding::{Class, Finding, Severity};
use crate::object::{Object, ObjectRef};
use crate::schema::{self, Issue, IssueKind};
use crate::snapshot::Existence;

pub mod complaint;

use complaint::{Complaint, Problem};

/// Facts of this module's findings.
pub mod fact {
    /// The line of the tool's message that names the object.
    pub const COMPLAINT: &str = "complaint";
    /// The field that the message names, in its own words.
    pub const FIELD: &str = "complaintField";
    /// The file that the message names.
    pub const FILE: &str = "complaintFile";
    /// The line in that file.
    pub const LINE: &str = "complaintLine";
    /// The file that defines the object.
    pub const DEFINED_IN: &str = "definedIn";
    /// Number of schema issues of the object.
    pub const ISSUES: &str = "issues";
}

/// Runs the detectors of this module.
pub fn findings(view: &View<'_>) -> Vec<Finding> {
    let complaints = complaints(view);
    let mut used = vec![false; complaints.len()];
    let mut found: Vec<Finding> = Vec::new();
    for desired in view.desired {
        let matching = complaints.iter().position(|c| names(c, desired, view));
        if let Some(i) = matching {
            used[i] = true;
        }
        found.extend(of_object(desired, matching.map(|i| &complaints[i]), view));
    }
    for (complaint, used) in complaints.iter().zip(&used) {
        if *used || found.iter().any(|f| f.message == complaint.text) {
            continue;
        }
        match only_object_of(complaint, view) {
            Some(desired) => found.push(unknown_reason(desired, complaint)),
            None if names_nothing(complaint) && explains(&mut found, complaint) => {}
            None => found.extend(of_complaint(complaint)),
        }
    }
    once(found)
}

/// The object of a file that a message names, if the file holds one.
fn only_object_of<'d>(complaint: &Complaint, view: &View<'d>) -> Option<&'d Desired> {
    let file = complaint.file.as_deref()?;
    if complaint.problem == Problem::Render || complaint.kind.is_some() {
        return None;
    }
    let mut hits = view.desired.iter().filter(|d| same_file(file, &d.file));
    let only = hits.next()?;
    hits.next().is_none().then_some(only)
}

fn names_nothing(complaint: &Complaint) -> bool {
    complaint.problem != Problem::Render
        && complaint.kind.is_none()
        && complaint.name.is_none()
        && complaint.file.is_none()
}

/// A message that names nothing is about the objects with a fault; if there is one, it is its own.
fn explains(found: &mut [Finding], complaint: &Complaint) -> bool {
    let mut faulty = found.iter_mut().filter(|f| f.severity == Severity::High);
    let Some(first) = faulty.next() else {
        return false;
    };
    if faulty.next().is_none() && first.message.is_empty() {
        *first = explained(first.clone(), complaint);
    }
    true
}

/// The same object in two kustomize roots is one finding for people, unless it differs.
fn once(found: Vec<Finding>) -> Vec<Finding> {
    let mut kept: Vec<Finding> = Vec::new();
    for finding in found {
        if !kept
            .iter()
            .any(|k| k.object == finding.object && k.class == finding.class)
        {
            kept.push(finding);
        }
    }
    kept
}

/// What tools say: the report, and the messages of GitOps controllers whose sync fails.
fn complaints(view: &View<'_>) -> Vec<Complaint> {
    let mut out = Vec::new();
    if let Some(report) = view.report {
        let from_tool = matches!(report.kind.as_str(), "apply-error" | "render-error");
        out.extend(complaint::read(&report.text, from_tool));
    }
    for kind in ["Application", "Kustomization", "HelmRelease"] {
        for object in view.snapshot.of_kind(kind) {
            out.extend(of_controller(object));
        }
    }
    out
}

/// What a GitOps controller says in its own object. Argo CD says of each object why it was refused, and that
/// once more as a whole, where often nothing names the object.
fn of_controller(object: &Object) -> Vec<Complaint> {
    let refused = super::gitops::refused_resources(object);
    let mut out: Vec<Complaint> = Vec::new();
    for (subject, message) in &refused {
        let read = complaint::read(message, false).into_iter();
        out.extend(read.map(|c| c.about(subject)));
    }
    let is_told = !out.is_empty();
    let text = |c: &serde_json::Value, key: &str| {
        c.get(key)
            .and_then(serde_json::Value::as_str)
            .unwrap_or_default()
            .to_owned()
    };
    for condition in object.list("status.conditions") {
        let kind = text(condition, "type");
        let fails =
            kind.ends_with("Error") || (kind == "Ready" && text(condition, "status") == "False");
        if fails && !(is_told && kind == "SyncError") {
            out.extend(complaint::read(&text(condition, "message"), false));
        }
    }
    let whole = object.str("status.operationState.message");
    if let Some(message) = whole.filter(|_| super::gitops::sync_fails(object) && !is_told) {
        out.extend(complaint::read(message, false));
    }
    out
}

/// Whether a complaint is about an object of Git.
fn names(complaint: &Complaint, desired: &Desired, view: &View<'_>) -> bool {
    let object = &desired.object;
    let same = |said: &Option<String>, is: &str| said.as_deref().is_none_or(|s| s == is);
    let in_file = complaint
        .file
        .as_deref()
        .is_none_or(|f| same_file(f, &desired.file));
    if !same(&complaint.kind, object.kind()) || !same(&complaint.name, object.name()) {
        return false;
    }
    let default = view.report.and_then(|r| r.namespace.as_deref());
    let namespace = object.namespace().or(default);
    if complaint.namespace.is_some()
        && namespace.is_some()
        && complaint.namespace.as_deref() != namespace
    {
        return false;
    }
    if let (Problem::NoMatch, Some(version)) = (&complaint.problem, &complaint.api_version) {
        return version == object.api_version() && in_file;
    }
    if complaint.name.is_some() {
        return complaint.kind.is_some() || in_file;
    }
    if complaint.kind.is_none() && complaint.file.is_none() {
        let issues = schema::check(object);
        let field = complaint.field.as_deref().map(without_items);
        return field.is_some_and(|f| {
            issues
                .iter()
                .any(|i| without_items(&i.path.to_string()) == f)
        });
    }
    // without a name the file has to be the same, and the object has to have a fault
    in_file
        && (complaint.file.is_some() || complaint.kind.is_some())
        && !schema::check(object).is_empty()
}

/// `spec.containers[0].image` and `spec.containers[name=a].image` without the items.
fn without_items(path: &str) -> String {
    let mut depth = 0_usize;
    path.chars()
        .filter(|c| {
            depth += usize::from(*c == '[');
            let outside = depth == 0;
            depth = depth.saturating_sub(usize::from(*c == ']'));
            outside
        })
        .collect()
}

fn same_file(said: &str, is: &str) -> bool {
    let said = said.trim_start_matches("./");
    is == said || is.ends_with(&format!("/{said}")) || said.ends_with(&format!("/{is}"))
}

fn of_object(desired: &Desired, complaint: Option<&Complaint>, view: &View<'_>) -> Option<Finding> {
    let issues = schema::check(&desired.object);
    let object = desired.object.reference();
    if issues.is_empty() {
        let complaint = complaint.filter(|c| c.problem != Problem::Other)?;
        return Some(unknown_reason(desired, complaint));
    }
    let severity = if complaint.is_none() && is_patch_like(&issues) {
        Severity::Low
    } else {
        severity(&object, complaint, view)
    };
    let class = class_of(&issues);
    let mut finding = Finding::new(class, severity, object, summary(desired, &issues))
        .with_fact(fact::ISSUES, issues.len().to_string())
        .with_fact(fact::DEFINED_IN, desired.file.clone());
    if let Some(complaint) = complaint {
        finding = explained(finding, complaint);
    }
    Some(finding)
}

/// Only missing fields, and no tool minds: this reads like a patch that nothing refers to.
fn is_patch_like(issues: &[Issue]) -> bool {
    issues
        .iter()
        .any(|i| matches!(i.kind, IssueKind::MissingRequired))
}

/// The tool refuses an object in which the schema finds nothing.
fn unknown_reason(desired: &Desired, complaint: &Complaint) -> Finding {
    let object = desired.object.reference();
    let class = if complaint.problem == Problem::NoMatch {
        Class::DeprecatedApi
    } else {
        Class::InvalidManifest
    };
    let summary = format!(
        "{object} in {} is refused: {}",
        desired.file, complaint.text
    );
    explained(
        Finding::new(class, Severity::High, object, summary),
        complaint,
    )
}

fn explained(mut finding: Finding, complaint: &Complaint) -> Finding {
    finding.message = complaint.text.clone();
    finding = finding.with_fact(fact::COMPLAINT, complaint.text.clone());
    for (name, value) in [
        (fact::FIELD, complaint.field.clone()),
        (fact::FILE, complaint.file.clone()),
        (fact::LINE, complaint.line.map(|l| l.to_string())),
    ] {
        if let Some(value) = value {
            finding = finding.with_fact(name, value);
        }
    }
    finding
}

fn class_of(issues: &[Issue]) -> Class {
    if issues
        .iter()
        .any(|i| matches!(i.kind, IssueKind::RemovedApi { .. }))
    {
        Class::DeprecatedApi
    } else {
        Class::InvalidManifest
    }
}

/// What a tool refuses, or what never arrived, does not run; what runs although the schema objects
/// was let through by the server, and is worth a look only.
fn severity(object: &ObjectRef, complaint: Option<&Complaint>, view: &View<'_>) -> Severity {
    if complaint.is_some() {
        return Severity::High;
    }
    match view
        .snapshot
        .existence(&object.kind, object.namespace.as_deref(), &object.name)
    {
        Existence::Exists => Severity::Low,
        Existence::Absent => Severity::High,
        Existence::Unknown if view.snapshot.objects().is_empty() => Severity::High,
        // an apply error that names nothing that we know is about one of these
        Existence::Unknown if view.report.is_some_and(|r| r.kind == "apply-error") => {
            Severity::High
        }
        // the dump does not list the kind: it may run, and nobody complains
        Existence::Unknown => Severity::Low,
    }
}

fn summary(desired: &Desired, issues: &[Issue]) -> String {
    let object = desired.object.reference();
    let first = issues.first().map(ToString::to_string).unwrap_or_default();
    let more = match issues.len() {
        0 | 1 => String::new(),
        2 => " (and 1 more fault)".to_owned(),
        n => format!(" (and {} more faults)", n - 1),
    };
    format!("{object} in {} is invalid: {first}{more}", desired.file)
}

/// A complaint about something that Git does not hold as a readable object.
fn of_complaint(complaint: &Complaint) -> Option<Finding> {
    let class = match complaint.problem {
        Problem::NoMatch => Class::DeprecatedApi,
        Problem::Render => Class::RenderError,
        Problem::Other => return None,
        _ => Class::InvalidManifest,
    };
    let kind = complaint.kind.clone().unwrap_or_else(|| "File".to_owned());
    let name = complaint
        .name
        .clone()
        .or_else(|| complaint.file.clone())
        .unwrap_or_else(|| "source".to_owned());
    let version = complaint.api_version.clone().unwrap_or_default();
    let object = ObjectRef::new(&version, &kind, complaint.namespace.as_deref(), &name);
    let summary = format!("{object} is refused: {}", complaint.text);
    Some(explained(
        Finding::new(class, Severity::High, object, summary),
        complaint,
    ))
}

#[cfg(test)]
mod tests;
