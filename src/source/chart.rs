//! Helm templates that a tool complains about. They are never changed (rule J09), but the place
//! and the change are named.

use super::{Answer, Fault, finding, is_render, text};
use crate::code::{Code, Refusal};
use crate::detect::manifest::complaint::{Complaint, Problem};
use crate::files::Files;
use crate::finding::Class;
use crate::manifest;
use crate::object::{Object, ObjectRef};
use crate::propose::{Choice, Claim, Question};
use crate::schema;

/// What the current Helm no longer knows: `(text, what it was, what to do)`.
const REMOVED: &[(&str, &str, &str)] = &[
    (
        ".Release.Time",
        "a value that Helm 3 removed, so it renders as nothing",
        "remove it, or use {{ now }}",
    ),
    (
        "crd-install",
        "a hook that Helm 3 removed, so Helm leaves the object out",
        "remove the helm.sh/hook annotation, or move custom resource definitions to crds/",
    ),
    (
        ".Capabilities.TillerVersion",
        "a value that Helm 3 removed",
        "remove it, or use .Capabilities.HelmVersion",
    ),
];

/// The most places that one message lists.
const MAX_PLACES: usize = 20;

pub(super) fn faults(files: &Files, complaints: &[Complaint]) -> Vec<Fault> {
    let mut out = Vec::new();
    for complaint in complaints {
        out.extend(document(files, complaint));
    }
    if out.is_empty() {
        out.extend(
            complaints
                .iter()
                .find(|c| is_render(c))
                .and_then(|c| removed(files, c)),
        );
    }
    out
}

/// Files below a `templates` folder beside a `Chart.yaml`.
fn templates(files: &Files) -> Vec<(&str, &str)> {
    let in_chart = |path: &str| {
        path.match_indices("templates/").any(|(i, _)| {
            let chart = path.get(..i).unwrap_or_default();
            (chart.is_empty() || chart.ends_with('/'))
                && files.get(&format!("{chart}Chart.yaml")).is_some()
        })
    };
    files
        .by_path
        .keys()
        .filter(|p| in_chart(p))
        .filter_map(|p| Some((p.as_str(), text(files, p)?)))
        .collect()
}

/// The document of a template that defines the object of a complaint, where it is plain YAML.
fn document(files: &Files, complaint: &Complaint) -> Option<Fault> {
    let (kind, name) = (complaint.kind.as_deref()?, complaint.name.as_deref()?);
    for (path, text) in templates(files) {
        for (i, slice) in manifest::split(text).iter().enumerate() {
            let Some(object) = manifest::read_value(slice.of(text))
                .ok()
                .and_then(Object::new)
            else {
                continue;
            };
            if object.kind() == kind && object.name() == name {
                return Some(of_document(path, i, slice.line, &object, complaint));
            }
        }
    }
    None
}

fn of_document(
    path: &str,
    index: usize,
    line: usize,
    object: &Object,
    complaint: &Complaint,
) -> Fault {
    let namespace = complaint.namespace.as_deref();
    let reference = ObjectRef::new(
        object.api_version(),
        object.kind(),
        namespace,
        object.name(),
    );
    let issues = schema::check(object);
    let place = format!("{path}, {} document (from line {line})", ordinal(index));
    let first = issues
        .first()
        .map_or_else(|| complaint.text.clone(), ToString::to_string);
    let class = if complaint.problem == Problem::NoMatch {
        Class::DeprecatedApi
    } else {
        Class::InvalidManifest
    };
    let finding = finding(
        class,
        reference,
        format!(
            "the {} {:?} in {place} is refused: {first}",
            object.kind(),
            object.name()
        ),
        Some(complaint),
    );
    let identity = matches!(
        complaint.field.as_deref(),
        Some("metadata.name" | "metadata.namespace")
    );
    let answer = if identity {
        ask_name(object, &place, complaint, index)
    } else {
        refuse(&place, complaint, &issues)
    };
    Fault { finding, answer }
}

fn ask_name(object: &Object, place: &str, complaint: &Complaint, index: usize) -> Answer {
    let field = complaint.field.as_deref().unwrap_or("metadata.name");
    let (kind, name) = (object.kind(), object.name());
    Answer::Ask(Question {
        code: Code::BlockedIdentity,
        title: format!("What should {field} of the {kind} {name:?} in {place} be?"),
        diagnosis: vec![
            Claim::fact(format!("The tool says: {}", complaint.text)),
            Claim::fact(format!(
                "The {} document of the file, a {kind}, has {field} {name:?}, which is no valid name.",
                ordinal(index)
            )),
            Claim::fact(
                "Workloads may refer to it by the name that was meant, and nothing in Git says which one that is.",
            ),
            Claim::fact("Rules G01 and J09: kubemend changes neither names nor Helm templates."),
        ],
        options: vec![Choice {
            title: format!("Give the {kind} a valid {field} in {place} by hand"),
            proposal: None,
        }],
    })
}

fn refuse(place: &str, complaint: &Complaint, issues: &[schema::Issue]) -> Answer {
    let faults: Vec<String> = issues.iter().map(ToString::to_string).collect();
    let faults = if faults.is_empty() {
        String::new()
    } else {
        format!(". The faults are: {}", faults.join("; "))
    };
    Answer::Refuse(Refusal::new(
        Code::BlockedTemplate,
        format!(
            "{place} is refused: {}{faults}. Rule J09: Helm templates are changed by people",
            complaint.text.trim_end_matches('.')
        ),
    ))
}

fn ordinal(index: usize) -> String {
    match ["first", "second", "third", "fourth", "fifth"].get(index) {
        Some(word) => (*word).to_owned(),
        None => format!("{}th", index + 1),
    }
}

/// Constructs that Helm removed, where a render error is reported.
fn removed(files: &Files, complaint: &Complaint) -> Option<Fault> {
    let mut places = Vec::new();
    for (path, text) in templates(files) {
        for (i, line) in text.lines().enumerate() {
            for (gone, what, instead) in REMOVED {
                let hook = *gone != "crd-install" || line.contains("helm.sh/hook");
                if hook && line.contains(gone) && places.len() < MAX_PLACES {
                    places.push(format!(
                        "{path}, line {}: `{}` is {what}; {instead}",
                        i + 1,
                        line.trim()
                    ));
                }
            }
        }
    }
    let first = places.first()?.clone();
    let object = ObjectRef::new("", "Chart", None, chart_name(files));
    let finding = finding(
        Class::RenderError,
        object,
        format!("the chart does not render as written: {first}"),
        Some(complaint),
    );
    let message = format!(
        "the tool says: {}. {}. Rule J09: Helm templates are changed by people",
        complaint.text.trim_end_matches('.'),
        places.join(". ")
    );
    Some(Fault {
        finding,
        answer: Answer::Refuse(Refusal::new(Code::BlockedTemplate, message)),
    })
}

fn chart_name(files: &Files) -> &str {
    let chart = files
        .by_path
        .keys()
        .find(|p| *p == "Chart.yaml" || p.ends_with("/Chart.yaml"));
    chart.map_or("chart", |p| p.as_str())
}
