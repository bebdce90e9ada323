//! Faults of source files that keep an object, or a whole root, from being rendered. Pure.
//!
//! Objects that cannot be rendered are in no list of desired objects, so these faults are looked
//! for in the files themselves: kustomizations that the current kustomize does not read, and Helm
//! templates that a tool complains about. A fix is a set of file edits; it still has to be proven
//! by rendering (it failed before, and works after).

use std::collections::BTreeMap;

use crate::case::Report;
use crate::code::Refusal;
use crate::detect::manifest::complaint::{self, Complaint, Problem};
use crate::edit::FileEdit;
use crate::files::Files;
use crate::finding::{Class, Finding, Severity};
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
    if out.is_empty() && !complaints.is_empty() {
        out = chart::faults(files, &complaints);
    }
    out
}

/// Whether a fault tells the story of a finding that a detector made of the report alone.
pub fn supersedes(fault: &Fault, finding: &Finding) -> bool {
    finding.class == Class::RenderError || finding.object.same_object(&fault.finding.object)
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
