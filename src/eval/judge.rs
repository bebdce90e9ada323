//! The judge of an evaluation case: does a changed repository satisfy it, and is nothing else
//! changed? Pure.
//!
//! Judges meaning, never text: comments, key order and quoting are free. Reads YAML as version 1.1
//! (`yes` is true, `010` is 8, the last of two equal keys wins), because the known answers are
//! written for such a reader.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use serde_json::Value;

use crate::files::Files;

mod assertion;
mod compare;
mod policy;
pub mod reading;

pub use assertion::{Assertion, Op};
pub use compare::{differing_paths, same};
use reading::Document;

/// What a case says about a right repository.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Rules {
    /// Alternatives; the repository is mended when every assertion of one holds.
    pub any_of: Vec<Vec<Assertion>>,
    /// `Kind/name path` or `file:path path`: the path and all below it may change.
    pub may_change: Vec<String>,
    /// `Kind/name` or `Kind/*`: objects that may be new.
    pub may_add: Vec<String>,
    /// `Kind/name`: objects that may be gone.
    pub may_delete: Vec<String>,
}

/// The two verdicts.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Verdict {
    /// Some alternative holds.
    pub fixed: bool,
    /// What changed although it must not: `Kind/name path`, `added Kind/name`, `deleted Kind/name`,
    /// `file path`.
    pub collateral: Vec<String>,
}

/// Judges a changed repository against the one before and the known answer.
pub fn judge(rules: &Rules, before: &Files, after: &Files, gold: &Files) -> Verdict {
    let (before, after, gold) = (Reading::of(before), Reading::of(after), Reading::of(gold));
    let holds = |alternative: &Vec<Assertion>| {
        alternative
            .iter()
            .all(|assertion| assertion::holds(assertion, &after, &gold))
    };
    Verdict {
        fixed: rules.any_of.iter().any(holds),
        collateral: collateral(rules, &before, &after),
    }
}

/// A repository as texts and as documents.
struct Reading {
    texts: BTreeMap<String, String>,
    documents: Vec<Document>,
}

impl Reading {
    fn of(files: &Files) -> Self {
        let texts = reading::texts(files);
        let documents = reading::documents(&texts);
        Self { texts, documents }
    }

    /// Documents by file and reference; of several with the same name in one file the last counts.
    fn by_place(&self) -> BTreeMap<(&str, &str), &Value> {
        self.documents
            .iter()
            .map(|d| ((d.file.as_str(), d.reference.as_str()), &d.value))
            .collect()
    }

    fn references(&self) -> BTreeSet<&str> {
        self.documents
            .iter()
            .map(|d| d.reference.as_str())
            .collect()
    }

    fn files_with_documents(&self) -> BTreeSet<&str> {
        self.documents.iter().map(|d| d.file.as_str()).collect()
    }
}

fn collateral(rules: &Rules, before: &Reading, after: &Reading) -> Vec<String> {
    let mut out = changed_documents(rules, before, after);
    out.extend(added_documents(rules, before, after));
    out.extend(changed_texts(rules, before, after));
    out
}

fn changed_documents(rules: &Rules, before: &Reading, after: &Reading) -> Vec<String> {
    let (old, new) = (before.by_place(), after.by_place());
    let mut out = Vec::new();
    for ((file, reference), value) in &old {
        let counterpart = new
            .get(&(*file, *reference))
            .or_else(|| moved(reference, &old, &new));
        match counterpart {
            Some(now) => {
                let paths = differing_paths(value, now);
                let strays = paths
                    .iter()
                    .filter(|path| !may_change(rules, file, reference, path));
                out.extend(strays.map(|path| format!("{reference} {path}")));
            }
            // its identity may legally change: a kustomization often names no kind at first
            None if file.ends_with("kustomization.yaml") && after.texts.contains_key(*file) => {}
            None if rules.may_delete.iter().any(|r| r == reference) => {}
            None => out.push(format!("deleted {reference}")),
        }
    }
    out
}

/// The same object in another file, where its name occurs only once before.
fn moved<'v>(
    reference: &str,
    old: &BTreeMap<(&str, &str), &'v Value>,
    new: &'v BTreeMap<(&str, &str), &'v Value>,
) -> Option<&'v &'v Value> {
    let only = old.keys().filter(|(_, r)| *r == reference).count() == 1;
    let found = new.iter().rfind(|((_, r), _)| *r == reference);
    found.filter(|_| only).map(|(_, value)| value)
}

fn added_documents(rules: &Rules, before: &Reading, after: &Reading) -> Vec<String> {
    let known = before.references();
    let allowed = |reference: &str| rules.may_add.iter().any(|r| covers(r, reference));
    let stray = |(_, reference): &(&str, &str)| !known.contains(reference) && !allowed(reference);
    let places = after.by_place();
    let strays = places.keys().filter(|place| stray(place));
    strays
        .map(|(_, reference)| format!("added {reference}"))
        .collect()
}

/// Files without a document on either side are compared as texts.
fn changed_texts(rules: &Rules, before: &Reading, after: &Reading) -> Vec<String> {
    let (old, new) = (before.files_with_documents(), after.files_with_documents());
    let names: BTreeSet<&String> = before.texts.keys().chain(after.texts.keys()).collect();
    let differs = |name: &&String| before.texts.get(*name) != after.texts.get(*name);
    let free = |name: &str| {
        rules
            .may_change
            .iter()
            .any(|r| *r == format!("file:{name}"))
    };
    names
        .into_iter()
        .filter(|name| !old.contains(name.as_str()) && !new.contains(name.as_str()))
        .filter(differs)
        .filter(|name| !free(name))
        .map(|name| format!("file {name}"))
        .collect()
}

fn may_change(rules: &Rules, file: &str, reference: &str, path: &str) -> bool {
    rules.may_change.iter().any(|rule| {
        let (subject, prefix) = rule.split_once(' ').unwrap_or((rule, ""));
        let meant = subject.strip_prefix("file:") == Some(file) || covers(subject, reference);
        meant && below(path, prefix)
    })
}

/// Whether `path` is `prefix` or below it.
fn below(path: &str, prefix: &str) -> bool {
    prefix.is_empty()
        || path
            .strip_prefix(prefix)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Whether `Kind/name` or `Kind/*` means this reference.
fn covers(pattern: &str, reference: &str) -> bool {
    pattern == reference
        || pattern
            .strip_suffix('*')
            .is_some_and(|kind| kind.ends_with('/') && reference.starts_with(kind))
}

#[cfg(test)]
mod tests;
