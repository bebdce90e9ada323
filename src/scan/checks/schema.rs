//! What the API server says to an object itself.

use crate::case::Desired;
use crate::code::Code;
use crate::detect::manifest::fact;
use crate::finding::Severity;
use crate::object::Object;
use crate::path::FieldPath;
use crate::scan::Version;
use crate::scan::draft::{Draft, is_literal};
use crate::scan::rules::{self, Rule};
use crate::scan::world::World;
use crate::schema::{self, Issue, IssueKind};

/// How an object comes to be looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::scan) enum Form {
    /// As a root renders it.
    Rendered,
    /// As a plain file holds it: it may be a patch that nothing refers to.
    Plain,
    /// As a source of a root that was not rendered: a patch may complete it.
    Unrendered,
}

/// Everything that is wrong with one object.
pub(in crate::scan) fn check(
    desired: &Desired,
    form: Form,
    target: Version,
    world: &World,
) -> Vec<Draft> {
    let object = &desired.object;
    if let Some(gone) = schema::deprecated(object.api_version(), object.kind()) {
        return vec![removed(desired, gone, target)];
    }
    let mut issues = schema::check(object);
    issues.retain(|i| !is_replaced(object, &i.path) && !is_blank(object, i));
    if !is_literal(object.name()) || (form == Form::Plain && is_patch(object, &issues, world)) {
        return Vec::new();
    }
    let fragment = form != Form::Rendered && is_fragment(object, &issues);
    let kept = issues.iter().filter(|issue| {
        let missing = matches!(issue.kind, IssueKind::MissingRequired);
        !(missing && (fragment || form == Form::Unrendered))
    });
    let draft = |issue: &Issue| {
        let draft = of_issue(desired, issue, issues.len());
        match fragment {
            true => draft.severity(Severity::Low),
            false => draft,
        }
    };
    kept.map(draft).collect()
}

/// A workload without a single image, and without a selector where its kind needs one, is a part.
fn is_fragment(object: &Object, issues: &[Issue]) -> bool {
    let missing = |i: &Issue| matches!(i.kind, IssueKind::MissingRequired);
    let imageless = object
        .containers()
        .iter()
        .all(|c| c.str("image").is_none_or(str::is_empty));
    let selects = object.get("spec.selector").is_some();
    issues.iter().any(missing) && object.pod_spec_path().is_some() && imageless && !selects
}

/// An incomplete document whose object another one defines as well.
fn is_patch(object: &Object, issues: &[Issue], world: &World) -> bool {
    let missing = |i: &Issue| matches!(i.kind, IssueKind::MissingRequired);
    issues.iter().any(missing) && world.count(object.kind(), object.name()) > 1
}

/// A value that somebody replaces before it is applied.
fn is_replaced(object: &Object, path: &FieldPath) -> bool {
    let value = path.get(&object.value).and_then(serde_json::Value::as_str);
    value.is_some_and(|text| !is_literal(text))
}

/// `containerPort: PORT`: a blank of an example, where only a number can stand.
fn is_blank(object: &Object, issue: &Issue) -> bool {
    let of_number = matches!(issue.kind, IssueKind::WrongType { .. })
        || issue.path.to_string().ends_with("targetPort");
    let value = issue.path.get(&object.value);
    let value = value.and_then(serde_json::Value::as_str).unwrap_or("");
    of_number && value.len() > 2 && value.chars().all(|c| c.is_ascii_uppercase())
}

fn of_issue(desired: &Desired, issue: &Issue, all: usize) -> Draft {
    let rule = rule_of(&issue.kind);
    let count = all.to_string();
    let facts = [
        (fact::ISSUES, count.as_str()),
        (fact::DEFINED_IN, desired.file.as_str()),
    ];
    let message = format!("{}: {issue}", desired.object.reference());
    let mut draft = Draft::new(rule, &desired.object, issue.path.clone(), message)
        .container(container_of(&issue.path))
        .play(&facts);
    draft.on_key = matches!(issue.kind, IssueKind::UnknownField { .. });
    draft
}

fn container_of(path: &FieldPath) -> Option<&str> {
    path.0.windows(2).find_map(|pair| match pair {
        [
            crate::path::Seg::Key(list),
            crate::path::Seg::Named { value, .. },
        ] if list == "containers" || list == "initContainers" => Some(value.as_str()),
        _ => None,
    })
}

fn rule_of(kind: &IssueKind) -> &'static Rule {
    match kind {
        IssueKind::UnknownField { .. } => &rules::UNKNOWN_FIELD,
        IssueKind::WrongType { .. } => &rules::WRONG_TYPE,
        IssueKind::MissingRequired => &rules::MISSING_FIELD,
        IssueKind::Unresolved { .. } => &rules::UNRESOLVED_NAME,
        IssueKind::SelectorMismatch { .. } => &rules::SELECTOR_MISMATCH,
        IssueKind::RemovedApi { .. } => &rules::REMOVED_API,
        IssueKind::BadEnum { .. }
        | IssueKind::BadQuantity { .. }
        | IssueKind::BadName { .. }
        | IssueKind::BadValue { .. } => &rules::BAD_VALUE,
    }
}

fn removed(desired: &Desired, gone: schema::Deprecation, target: Version) -> Draft {
    let object = &desired.object;
    let served = gone
        .removed_in
        .parse()
        .is_ok_and(|removed: Version| removed > target);
    let rule = match served {
        true => &rules::DEPRECATED_API,
        false => &rules::REMOVED_API,
    };
    let instead = gone.replacement.map_or_else(
        || format!("nothing replaces it; use {}", gone.instead),
        |new| format!("use {new}"),
    );
    let message = format!(
        "{}: Kubernetes {} removed {} for {}; {instead}",
        object.reference(),
        gone.removed_in,
        object.api_version(),
        object.kind(),
    );
    let draft = Draft::new(rule, object, FieldPath::keys(["apiVersion"]), message);
    match gone.replacement {
        Some(_) => draft.play(&[(fact::DEFINED_IN, desired.file.as_str())]),
        None => draft.person(Code::NoSafeFix, "nothing of the same form replaces it"),
    }
}
