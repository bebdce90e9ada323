//! The assertions that say when a repository is mended.

use regex::Regex;
use serde::Deserialize;
use serde_json::Value;

use super::compare::{as_number, same};
use super::reading::{Document, plain_text};
use super::{Reading, covers, policy};
use crate::quantity::Quantity;

/// One assertion about one object or file.
#[derive(Debug, Clone, Deserialize)]
pub struct Assertion {
    /// `Kind/name` or `Kind/*`.
    #[serde(default)]
    pub object: Option<String>,
    /// A file: of its first document with a `path`, of its text without.
    #[serde(default)]
    pub file: Option<String>,
    /// Segments separated by `/`.
    #[serde(default)]
    pub path: Option<String>,
    /// What has to hold.
    pub op: Op,
    /// The value that it is compared with.
    #[serde(default)]
    pub value: Value,
}

/// What an [`Assertion`] says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs, reason = "the names are the case format's own words")]
pub enum Op {
    Equals,
    NotEquals,
    Absent,
    Present,
    Contains,
    NotContains,
    SubsetOf,
    Gte,
    Lte,
    QtyGte,
    QtyLte,
    JsonEqualsGold,
    Matches,
    NotMatches,
    Binds,
    EgressAllows,
    IngressAllows,
    EgressNotOpen,
    #[serde(rename = "memory_emptydir_at")]
    MemoryEmptyDirAt,
    PsaRestricted,
}

/// Whether the assertion holds on a repository.
pub(super) fn holds(assertion: &Assertion, world: &Reading, gold: &Reading) -> bool {
    if let (Some(file), None) = (&assertion.file, &assertion.path) {
        let text = world.texts.get(file).map_or("", String::as_str);
        return text_matches(assertion, text) == (assertion.op == Op::Matches);
    }
    let meant: Vec<&Value> = candidates(assertion, &world.documents);
    match assertion.op {
        Op::Binds => policy::binds(&meant, &assertion.value),
        Op::EgressAllows => policy::egress_allows(&meant, &assertion.value),
        Op::IngressAllows => policy::ingress_allows(&meant, &assertion.value),
        Op::EgressNotOpen => policy::egress_not_open(&meant),
        _ => meant.first().is_some_and(|document| {
            let path = assertion.path.as_deref().unwrap_or_default();
            on_values(assertion, &values_at(document, path), gold)
        }),
    }
}

fn text_matches(assertion: &Assertion, text: &str) -> bool {
    let pattern = assertion.value.as_str().unwrap_or_default();
    Regex::new(pattern).is_ok_and(|regex| regex.is_match(text))
}

fn candidates<'d>(assertion: &Assertion, documents: &'d [Document]) -> Vec<&'d Value> {
    let meant = |d: &&Document| match (&assertion.file, &assertion.object) {
        (Some(file), _) => d.file == *file,
        (None, Some(object)) => covers(object, &d.reference),
        (None, None) => false,
    };
    documents.iter().filter(meant).map(|d| &d.value).collect()
}

/// All values at a path. Nothing below null or a missing key is looked at.
fn values_at<'v>(document: &'v Value, path: &str) -> Vec<&'v Value> {
    let mut at = vec![document];
    for segment in path.split('/').filter(|s| !s.is_empty()) {
        at = match segment {
            "*" => at.iter().filter_map(|v| v.as_array()).flatten().collect(),
            _ => at.iter().filter_map(|v| step(v, segment)).collect(),
        };
    }
    at
}

fn step<'v>(value: &'v Value, segment: &str) -> Option<&'v Value> {
    let segment = segment.replace("~1", "/").replace("~0", "~");
    match value {
        Value::Object(map) => map.get(&segment),
        Value::Array(items) => match segment.split_once('=') {
            Some((key, wanted)) => items
                .iter()
                .find(|i| i.is_object() && i.get(key).is_some_and(|v| plain_text(v) == wanted)),
            None => items.get(segment.parse::<usize>().ok()?),
        },
        _ => None,
    }
}

fn on_values(assertion: &Assertion, values: &[&Value], gold: &Reading) -> bool {
    let wanted = &assertion.value;
    match assertion.op {
        Op::Absent => values.iter().all(|v| is_nothing(v)),
        Op::Present => !values.is_empty(),
        Op::NotEquals => !values.iter().any(|v| same(v, wanted)),
        Op::NotContains => !values.iter().any(|v| has(v, wanted)),
        Op::Contains => values.iter().any(|v| has(v, wanted)),
        Op::JsonEqualsGold => equals_gold(assertion, values, gold),
        _ => values
            .first()
            .is_some_and(|value| on_value(assertion.op, value, wanted)),
    }
}

fn on_value(op: Op, value: &Value, wanted: &Value) -> bool {
    let numbers = || Some((as_number(value)?, as_number(wanted)?));
    let quantities = || Some((quantity(value)?, quantity(wanted)?));
    match op {
        Op::Equals => same(value, wanted),
        Op::SubsetOf => value
            .as_array()
            .is_some_and(|items| items.iter().all(|item| has(wanted, item))),
        Op::Gte => numbers().is_some_and(|(a, b)| a >= b),
        Op::Lte => numbers().is_some_and(|(a, b)| a <= b),
        Op::QtyGte => quantities().is_some_and(|(a, b)| a >= b),
        Op::QtyLte => quantities().is_some_and(|(a, b)| a <= b),
        Op::MemoryEmptyDirAt => policy::memory_empty_dir_at(value, wanted),
        Op::PsaRestricted => policy::restricted(value),
        _ => false,
    }
}

pub(super) fn quantity(value: &Value) -> Option<Quantity> {
    Quantity::of(value).filter(|q| q.is_zero() || q.is_positive())
}

fn is_nothing(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(items) => items.is_empty(),
        Value::Object(map) => map.is_empty(),
        _ => false,
    }
}

/// Membership: an item of a list, a key of a mapping, a part of a text.
fn has(container: &Value, wanted: &Value) -> bool {
    match container {
        Value::Array(items) => items.iter().any(|item| same(item, wanted)),
        Value::Object(map) => wanted.as_str().is_some_and(|key| map.contains_key(key)),
        Value::String(text) => wanted.as_str().is_some_and(|part| text.contains(part)),
        _ => false,
    }
}

/// The text, read as JSON, equals the one of the known answer.
fn equals_gold(assertion: &Assertion, values: &[&Value], gold: &Reading) -> bool {
    let path = assertion.path.as_deref().unwrap_or_default();
    let json = |value: &&Value| serde_json::from_str::<Value>(value.as_str()?).ok();
    let golden = candidates(assertion, &gold.documents);
    let wanted = golden.first().map(|document| values_at(document, path));
    let wanted = wanted.and_then(|values| json(values.first()?));
    let mine = values.first().and_then(json);
    matches!((mine, wanted), (Some(mine), Some(wanted)) if same(&mine, &wanted))
}
