//! What the API server says to a manifest before it stores it: unknown fields, wrong types, wrong
//! values, removed API versions. Pure.
//!
//! The field tables are those of Kubernetes [`VERSION`], with every field that a version from 1.25
//! on knew. What the published schemas do not say (enumerations, names, ports, unions) is in
//! [`values`] and [`rules`]. Kinds that are not built in are not checked. A wrong complaint is
//! worse than a missed one: text with a template or substitution mark is never judged.

use std::fmt;

use serde_json::Value;

use crate::object::Object;
use crate::path::FieldPath;

mod convert;
mod deprecated;
mod nearest;
mod rules;
mod table;
mod values;
mod walk;

pub use convert::{Converted, Move, convert, ingress_moves};
pub use deprecated::{Deprecation, deprecated};
pub use nearest::{distance, nearest};
pub use table::{Field, Shape, kind_spelled_like, shape_at, type_at, versions_of};
pub use walk::fits;

/// Version of the embedded schema.
pub const VERSION: &str = "1.37";

/// One thing that the API server refuses.
#[derive(Debug, Clone, PartialEq)]
pub struct Issue {
    /// Where. List items are selected by name where the name is unique.
    pub path: FieldPath,
    /// What.
    pub kind: IssueKind,
}

/// What is wrong at a path.
#[derive(Debug, Clone, PartialEq)]
pub enum IssueKind {
    /// The schema has no such field here.
    UnknownField {
        /// The one field that was probably meant.
        nearest: Option<String>,
    },
    /// The value has another type than the schema demands.
    WrongType {
        /// `integer`, `string`, `boolean`, `object`, `array`, `quantity`, …
        expected: &'static str,
        /// The type that is there.
        found: &'static str,
        /// The same value in the demanded type, where there is exactly one.
        fixed: Option<Value>,
    },
    /// The value is none of the allowed ones.
    BadEnum {
        /// The value that is there.
        value: String,
        /// What is allowed.
        allowed: &'static [&'static str],
        /// The one allowed value that was probably meant.
        nearest: Option<&'static str>,
    },
    /// A required field is missing.
    MissingRequired,
    /// The text is no Kubernetes quantity.
    BadQuantity {
        /// The text.
        value: String,
    },
    /// A name breaks the rules for names at this place.
    BadName {
        /// The name.
        value: String,
        /// The rule, as the API server words it.
        rule: &'static str,
    },
    /// Another rule is broken.
    BadValue {
        /// The rule and the value, one sentence without an end.
        rule: String,
    },
    /// A name refers to something that the object does not define.
    Unresolved {
        /// The name.
        value: String,
        /// What the object defines.
        known: Vec<String>,
        /// The one that was probably meant.
        nearest: Option<String>,
    },
    /// The selector does not match the labels of the pod template.
    SelectorMismatch {
        /// Labels that the template lacks, or has with another value.
        missing: Vec<(String, String)>,
    },
    /// The API version is not served any more.
    RemovedApi {
        /// What replaces it; none if nothing does.
        replacement: Option<&'static str>,
        /// The Kubernetes version that removed it.
        removed_in: &'static str,
    },
}

impl fmt::Display for Issue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = &self.path;
        match &self.kind {
            IssueKind::UnknownField { nearest: Some(n) } => {
                write!(f, "{path} is an unknown field (the schema has {n})")
            }
            IssueKind::UnknownField { nearest: None } => write!(f, "{path} is an unknown field"),
            IssueKind::WrongType {
                expected, found, ..
            } => write!(
                f,
                "{path} has to be of type {expected}, and is of type {found}"
            ),
            IssueKind::BadEnum { value, allowed, .. } => {
                let allowed = allowed.join(", ");
                write!(
                    f,
                    "{path} is {value:?}, and the allowed values are {allowed}"
                )
            }
            IssueKind::MissingRequired => write!(f, "{path} is required and missing"),
            IssueKind::BadQuantity { value } => {
                write!(f, "{path} is {value:?}, which is no quantity")
            }
            IssueKind::BadName { value, rule } => write!(f, "{path} is {value:?}: {rule}"),
            IssueKind::BadValue { rule } => write!(f, "{path}: {rule}"),
            IssueKind::Unresolved { value, known, .. } => {
                let known = known.join(", ");
                write!(
                    f,
                    "{path} is {value:?}, which is not defined (defined: {known})"
                )
            }
            IssueKind::SelectorMismatch { missing } => {
                let pairs: Vec<String> = missing.iter().map(|(k, v)| format!("{k}={v}")).collect();
                let pairs = pairs.join(", ");
                write!(f, "{path} does not have the selector's labels {pairs}")
            }
            IssueKind::RemovedApi {
                replacement: Some(new),
                removed_in,
            } => {
                write!(
                    f,
                    "{path} was removed in Kubernetes {removed_in}; it is {new} now"
                )
            }
            IssueKind::RemovedApi {
                replacement: None,
                removed_in,
            } => {
                write!(
                    f,
                    "{path} was removed in Kubernetes {removed_in} without a replacement"
                )
            }
        }
    }
}

/// Everything that the API server would refuse about an object, in the order of its fields.
pub fn check(object: &Object) -> Vec<Issue> {
    if let Some(gone) = deprecated(object.api_version(), object.kind()) {
        return vec![Issue {
            path: FieldPath::keys(["apiVersion"]),
            kind: IssueKind::RemovedApi {
                replacement: gone.replacement,
                removed_in: gone.removed_in,
            },
        }];
    }
    let Some(root) = type_at(object.api_version(), object.kind()) else {
        return Vec::new();
    };
    let mut issues = walk::check(&object.value, root);
    issues.extend(rules::check(object));
    issues
}

/// Whether a change brings in no issue that was not there before.
pub fn validate_change(before: &Object, after: &Object) -> Result<(), Vec<Issue>> {
    let old = check(before);
    let new: Vec<Issue> = check(after)
        .into_iter()
        .filter(|issue| !old.contains(issue))
        .collect();
    if new.is_empty() { Ok(()) } else { Err(new) }
}

#[cfg(test)]
mod tests;
