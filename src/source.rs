//! Faults of source files that keep an object, or a whole root, from being rendered. Pure.
//!
//! Objects that cannot be rendered are in no list of desired objects, so these faults are looked
//! for in the files themselves: kustomizations that the current kustomize does not read, and Helm
//! templates that a tool complains about. A fix is a set of file edits; it still has to be proven
//! by rendering (it failed before, and works after).

use std::collections::BTreeMap;

use crate::case::Report;
use crate::code::{Code, Refusal};
use crate::detect::manifest::complaint::{self, Complaint, Problem};
use crate::detect::manifest::fact;
use crate::edit::FileEdit;
use crate::files::Files;
use crate::finding::{Class, Finding, Severity};
use crate::manifest;
use crate::object::ObjectRef;
use crate::propose::{Claim, Question};

mod chart;
mod kustomization;

/// One fault of a source, and how it ends.
#[derive(Debug, Clone, PartialEq)]
pub struct Fault {
    /// What is wrong; its object is the Kustomization, or the object of the template.
    pub finding: Finding,
    /// How it ends.
    pub answer: Answer,
}

/// What to do about a fault.
#[derive(Debug, Clone, PartialEq)]
pub enum Answer {
    /// Mechanical edits that make the source readable again.
    Fix(Box<Fix>),
    /// A person has to decide.
    Ask(Question),
    /// Not for kubemend.
    Refuse(Refusal),
}

/// Mechanical edits of files.
#[derive(Debug, Clone, PartialEq)]
pub struct Fix {
    /// Imperative, a subject line.
    pub title: String,
    /// What is broken and why.
    pub diagnosis: Vec<Claim>,
    /// Why the edits mend it, 10–500 characters.
    pub reason: String,
    /// What becomes visible once the source renders again.
    pub after_merge: Vec<String>,
    /// The directory of the kustomize root that has to render after the fix.
    pub root: String,
    /// Edits by file.
    pub edits: BTreeMap<String, Vec<FileEdit>>,
}

/// All faults that a report's tool message, or the files themselves, show.
///
/// `broken` are the kustomize roots that do not render, as directories; without a renderer it is
/// empty, and the report alone says that something does not render.
pub fn faults(files: &Files, report: Option<&Report>, broken: &[String]) -> Vec<Fault> {
    let complaints = complaints(report);
    let mut out = kustomization::faults(files, &complaints, broken);
    if out.is_empty() {
        out = chart::faults(files, &complaints);
    }
    if out.is_empty() {
        out = complaints.iter().filter_map(|c| syntax(files, c)).collect();
    }
    out
}

/// A file that is no YAML, with the line that the reader stopped at.
fn syntax(files: &Files, complaint: &Complaint) -> Option<Fault> {
    let said = complaint.file.as_deref()?.trim_start_matches("./");
    let mut hits = files.by_path.keys().filter(|p| {
        *p == said || p.ends_with(&format!("/{said}")) || said.ends_with(&format!("/{p}"))
    });
    let path = hits.next().filter(|_| hits.next().is_none())?;
    let text = text(files, path)?;
    // a template is no YAML before it is rendered, and that is no fault
    if text.contains("{{") {
        return None;
    }
    let broken = manifest::split(text)
        .into_iter()
        .find_map(|s| manifest::read_value(s.of(text)).err())?;
    let line = complaint
        .line
        .and_then(|l| text.lines().nth(l.saturating_sub(1)).map(|t| (l, t)));
    let quoted = line
        .map(|(l, t)| format!(" Line {l} is: {}", t.trim_end()))
        .unwrap_or_default();
    let object = ObjectRef::new("", "File", None, path);
    let finding = finding(
        Class::RenderError,
        object,
        format!("{path} is no valid YAML"),
        Some(complaint),
    );
    let message = format!("{path} is no valid YAML: {}.{quoted}", broken.message);
    Some(Fault {
        finding,
        answer: Answer::Refuse(Refusal::new(Code::NotYaml, message)),
    })
}

/// Whether a fault tells the story of a finding that a detector made of the report alone.
pub fn supersedes(fault: &Fault, finding: &Finding) -> bool {
    let mended = match (&fault.answer, finding.fact(fact::DEFINED_IN)) {
        (Answer::Fix(fix), Some(file)) => fix.edits.contains_key(file),
        _ => false,
    };
    mended
        || finding.class == Class::RenderError
        || finding.object.same_object(&fault.finding.object)
}

fn complaints(report: Option<&Report>) -> Vec<Complaint> {
    report
        .filter(|r| matches!(r.kind.as_str(), "apply-error" | "render-error"))
        .map_or_else(Vec::new, |r| complaint::read(&r.text, true))
}

fn finding(
    class: Class,
    object: ObjectRef,
    summary: String,
    complaint: Option<&Complaint>,
) -> Finding {
    let mut finding = Finding::new(class, Severity::High, object, summary);
    finding.message = complaint.map(|c| c.text.clone()).unwrap_or_default();
    finding
}

/// The directory of a file; empty for the root of the repository.
fn dir(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(dir, _)| dir)
}

/// A path relative to a directory, with `.` and `..` resolved; none outside the repository.
fn join(dir: &str, relative: &str) -> Option<String> {
    let mut parts: Vec<&str> = dir.split('/').filter(|p| !p.is_empty()).collect();
    if relative.starts_with('/') {
        return None;
    }
    for part in relative.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            name => parts.push(name),
        }
    }
    Some(parts.join("/"))
}

fn text<'f>(files: &'f Files, path: &str) -> Option<&'f str> {
    std::str::from_utf8(files.get(path)?).ok()
}

fn is_render(complaint: &Complaint) -> bool {
    complaint.problem == Problem::Render
}

#[cfg(test)]
mod tests;
