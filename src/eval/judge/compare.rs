//! Compares two documents by meaning.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use super::reading::plain_text;

/// Whether two values mean the same: numbers by value (a boolean is 0 or 1), mappings without order.
pub fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Array(x), Value::Array(y)) => {
            x.len() == y.len() && x.iter().zip(y).all(|(x, y)| same(x, y))
        }
        (Value::Object(x), Value::Object(y)) => {
            x.len() == y.len()
                && x.iter()
                    .all(|(key, value)| y.get(key).is_some_and(|other| same(value, other)))
        }
        _ => match (as_number(a), as_number(b)) {
            (Some(x), Some(y)) => x == y,
            _ => a == b,
        },
    }
}

/// A number, or a boolean as 0 or 1.
pub(super) fn as_number(value: &Value) -> Option<f64> {
    match value {
        Value::Bool(true) => Some(1.0),
        Value::Bool(false) => Some(0.0),
        Value::Number(number) => number.as_f64(),
        _ => None,
    }
}

/// The paths at which two documents differ, as deep as they can be matched. Lists of mappings with
/// unique names are matched by name, other lists of equal length by position.
pub fn differing_paths(before: &Value, after: &Value) -> Vec<String> {
    let mut out = Vec::new();
    walk(Some(before), Some(after), "", &mut out);
    out
}

/// Absent and null are the same.
fn walk(before: Option<&Value>, after: Option<&Value>, path: &str, out: &mut Vec<String>) {
    let before = before.unwrap_or(&Value::Null);
    let after = after.unwrap_or(&Value::Null);
    if same(before, after) {
        return;
    }
    match (before, after) {
        (Value::Object(x), Value::Object(y)) => maps(x, y, path, out),
        (Value::Object(x), Value::Null) => one_sided(out, path, |out| {
            maps(x, &Map::new(), path, out);
        }),
        (Value::Null, Value::Object(y)) => one_sided(out, path, |out| {
            maps(&Map::new(), y, path, out);
        }),
        (Value::Array(x), Value::Array(y)) if by_name(x) && by_name(y) => named(x, y, path, out),
        (Value::Array(x), Value::Array(y)) if x.len() == y.len() => {
            for (i, (x, y)) in x.iter().zip(y).enumerate() {
                walk(Some(x), Some(y), &format!("{path}/{i}"), out);
            }
        }
        (Value::Array(x), Value::Null) if !x.is_empty() && by_name(x) => named(x, &[], path, out),
        (Value::Null, Value::Array(y)) if !y.is_empty() && by_name(y) => named(&[], y, path, out),
        _ => out.push(path.to_owned()),
    }
}

/// A mapping that is there on one side only: its keys, or itself when it has none that count.
fn one_sided(out: &mut Vec<String>, path: &str, keys: impl FnOnce(&mut Vec<String>)) {
    let before = out.len();
    keys(out);
    if out.len() == before {
        out.push(path.to_owned());
    }
}

fn maps(x: &Map<String, Value>, y: &Map<String, Value>, path: &str, out: &mut Vec<String>) {
    let new = y.keys().filter(|key| !x.contains_key(*key));
    for key in x.keys().chain(new) {
        walk(x.get(key), y.get(key), &join(path, key), out);
    }
}

fn named(x: &[Value], y: &[Value], path: &str, out: &mut Vec<String>) {
    let mut pairs: Vec<(String, [Option<&Value>; 2])> = Vec::new();
    let mut places: BTreeMap<String, usize> = BTreeMap::new();
    for (side, list) in [x, y].into_iter().enumerate() {
        for item in list {
            let name = item.get("name").unwrap_or(&Value::Null);
            let place = *places.entry(name.to_string()).or_insert_with(|| {
                pairs.push((plain_text(name), [None, None]));
                pairs.len() - 1
            });
            if let Some(slot) = pairs.get_mut(place).and_then(|(_, p)| p.get_mut(side)) {
                *slot = Some(item);
            }
        }
    }
    for (name, [old, new]) in pairs {
        walk(old, new, &format!("{path}/name={name}"), out);
    }
}

/// Whether every item has a name of its own; an empty list counts.
fn by_name(list: &[Value]) -> bool {
    let names: Option<BTreeSet<String>> = list
        .iter()
        .map(|item| Some(item.as_object()?.get("name")?.to_string()))
        .collect();
    names.is_some_and(|names| names.len() == list.len())
}

fn join(path: &str, key: &str) -> String {
    let key = key.replace('/', "~1");
    if path.is_empty() {
        key
    } else {
        format!("{path}/{key}")
    }
}
