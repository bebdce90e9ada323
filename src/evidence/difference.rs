//! The fields in which two versions of an object differ, for people and prompts.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::path::{FieldPath, Seg};

/// One field that differs.
pub(crate) struct Differing<'v> {
    pub(crate) path: FieldPath,
    pub(crate) before: Option<&'v Value>,
    pub(crate) after: Option<&'v Value>,
}

/// The differing leaves, in the order of the newer version; at most [`MAX`].
pub(crate) fn fields<'v>(before: &'v Value, after: &'v Value) -> Vec<Differing<'v>> {
    let mut out = Vec::new();
    compare(&FieldPath::default(), Some(before), Some(after), &mut out);
    out
}

/// One line a field: `path: old -> new`.
pub(crate) fn lines(differences: &[Differing<'_>]) -> String {
    differences
        .iter()
        .map(|d| {
            let (old, new) = (shown(d.before), shown(d.after));
            format!("{}: {old} -> {new}\n", d.path)
        })
        .collect()
}

/// The most fields of one comparison.
pub(crate) const MAX: usize = 30;

fn shown(value: Option<&Value>) -> String {
    let Some(value) = value else {
        return "(absent)".to_owned();
    };
    let text = value.to_string();
    if text.chars().count() <= 300 {
        return text;
    }
    text.chars().take(297).chain("...".chars()).collect()
}

fn compare<'v>(
    path: &FieldPath,
    before: Option<&'v Value>,
    after: Option<&'v Value>,
    out: &mut Vec<Differing<'v>>,
) {
    if before == after || out.len() >= MAX || path.0.len() > 64 {
        return;
    }
    match (before, after) {
        (Some(Value::Object(old)), Some(Value::Object(new))) => {
            let gone = old.keys().filter(|k| !new.contains_key(*k));
            for key in new.keys().chain(gone) {
                compare(&path.key(key), old.get(key), new.get(key), out);
            }
        }
        (Some(Value::Array(old)), Some(Value::Array(new))) => match names(old).zip(names(new)) {
            Some((old_names, new_names)) => {
                let gone = old_names.difference(&new_names);
                let order = new.iter().filter_map(name);
                for item in order.chain(gone.copied()) {
                    let find = |list: &'v [Value]| list.iter().find(|v| name(v) == Some(item));
                    compare(&path.named(item), find(old), find(new), out);
                }
            }
            None => {
                for i in 0..old.len().max(new.len()) {
                    let at = path.then(Seg::Index(i));
                    compare(&at, old.get(i), new.get(i), out);
                }
            }
        },
        _ => out.push(Differing {
            path: path.clone(),
            before,
            after,
        }),
    }
}

fn name(value: &Value) -> Option<&str> {
    value.get("name")?.as_str()
}

/// The names of a list whose items all have one, each its own.
fn names(items: &[Value]) -> Option<BTreeSet<&str>> {
    let names: Option<BTreeSet<&str>> = items.iter().map(name).collect();
    names.filter(|n| n.len() == items.len() && !n.is_empty())
}
