//! Reads a configuration strictly: every problem with its line and column, and what was meant.
//!
//! The generated JSON schema is the one description of the form; this walks a file along it. Pure.

use std::fmt;

use serde_json::Value;

use super::{Config, VERSION};
use crate::manifest::{Node, Tree, split};

/// The most problems that are told at once.
const MAX_PROBLEMS: usize = 20;
/// The deepest nesting of the schema that is followed.
const MAX_DEPTH: usize = 12;

/// A configuration that cannot be used: file, and every problem.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct ConfigError {
    /// The file.
    pub file: String,
    /// What is wrong.
    pub problems: Vec<Problem>,
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// Line and column, from 1, where they are known.
    pub at: Option<(usize, usize)>,
    /// What is wrong.
    pub message: String,
}

impl ConfigError {
    /// A problem of the file as a whole.
    pub fn of(file: &str, message: impl Into<String>) -> Self {
        let problem = Problem {
            at: None,
            message: message.into(),
        };
        Self {
            file: file.to_owned(),
            problems: vec![problem],
        }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, problem) in self.problems.iter().enumerate() {
            let line = if i == 0 { "" } else { "\n" };
            match problem.at {
                Some((row, column)) => {
                    write!(f, "{line}{}:{row}:{column}: {}", self.file, problem.message)?;
                }
                None => write!(f, "{line}{}: {}", self.file, problem.message)?,
            }
        }
        Ok(())
    }
}

/// The file as a value that fits the schema; nulls (keys without a value) are left out.
pub(super) fn read(file: &str, text: &str) -> Result<Value, ConfigError> {
    let mut values = crate::manifest::read_stream(text).map_err(|m| unreadable(file, &m))?;
    if values.len() > 1 {
        return Err(ConfigError::of(file, "a configuration is one document"));
    }
    let value = without_nulls(values.pop().unwrap_or_default());
    let value = if value.is_null() {
        Value::Object(serde_json::Map::new())
    } else {
        value
    };
    settled(file, other_version(text, &value))?;
    let schema = super::schema();
    let mut walk = Walk {
        schema: &schema,
        text,
        problems: Vec::new(),
    };
    walk.check(&value, &schema, "", 0);
    settled(file, walk.problems)?;
    Ok(value)
}

/// The value as a configuration, with what no schema can say checked.
pub(super) fn typed(file: &str, text: &str, value: &Value) -> Result<Config, ConfigError> {
    let config: Config =
        serde_json::from_value(value.clone()).map_err(|e| ConfigError::of(file, e.to_string()))?;
    let problems: Vec<Problem> = faults(&config)
        .into_iter()
        .map(|(pointer, message)| at_value(text, &pointer, message))
        .collect();
    settled(file, problems)?;
    Ok(config)
}

/// An error that tells all problems in the order of the file; none without problems.
fn settled(file: &str, mut problems: Vec<Problem>) -> Result<(), ConfigError> {
    problems.sort();
    problems.truncate(MAX_PROBLEMS);
    match problems.is_empty() {
        true => Ok(()),
        false => Err(ConfigError {
            file: file.to_owned(),
            problems,
        }),
    }
}

/// What the YAML reader says, with its place in front instead of at the end.
fn unreadable(file: &str, message: &str) -> ConfigError {
    let inner = message
        .split_once(": ")
        .filter(|(head, _)| head.starts_with("document at line"));
    let message = inner.map_or(message, |(_, rest)| rest);
    let parts = message.rsplit_once(" at line ").and_then(|(what, place)| {
        let (row, column) = place.split_once(", column ")?;
        Some((what, (row.parse().ok()?, column.parse().ok()?)))
    });
    let (what, at) = parts.map_or((message, None), |(what, at)| (what, Some(at)));
    let what = what.split(", set ").next().unwrap_or(what);
    ConfigError {
        file: file.to_owned(),
        problems: vec![Problem {
            at,
            message: what.chars().take(300).collect(),
        }],
    }
}

/// A file of another version is told as that, and not as a list of unknown keys.
fn other_version(text: &str, value: &Value) -> Vec<Problem> {
    let version = value
        .get("version")
        .filter(|v| v.is_u64() && v.as_u64() != Some(VERSION.into()));
    let told = version.map(|v| {
        let message =
            format!("version {v} is not known to this kubemend, which reads version {VERSION}");
        at_value(text, "/version", message)
    });
    told.into_iter().collect()
}

/// A problem at the key that a pointer ends in.
pub(super) fn at_key(text: &str, pointer: &str, message: String) -> Problem {
    Problem {
        at: place(text, pointer, true),
        message,
    }
}

fn at_value(text: &str, pointer: &str, message: String) -> Problem {
    Problem {
        at: place(text, pointer, false),
        message,
    }
}

fn without_nulls(value: Value) -> Value {
    match value {
        Value::Object(map) => Value::Object(
            map.into_iter()
                .filter(|(_, v)| !v.is_null())
                .map(|(k, v)| (k, without_nulls(v)))
                .collect(),
        ),
        other => other,
    }
}

struct Walk<'a> {
    schema: &'a Value,
    text: &'a str,
    problems: Vec<Problem>,
}

impl Walk<'_> {
    fn check(&mut self, value: &Value, schema: &Value, at: &str, depth: usize) {
        let schema = resolve(self.schema, schema);
        if depth > MAX_DEPTH {
            return;
        }
        if let Some(choices) = choices(schema) {
            return self.choice(value, &choices, at);
        }
        if let Some(message) = unfit(value, schema) {
            return self.problems.push(at_value(
                self.text,
                at,
                format!("`{}`: {message}", last(at)),
            ));
        }
        match value {
            Value::Object(map) => {
                for (key, inner) in map {
                    let at = format!("{at}/{}", escape(key));
                    match schema.get("properties").and_then(|p| p.get(key)) {
                        Some(sub) => self.check(inner, sub, &at, depth + 1),
                        None => self.unknown(key, schema, &at),
                    }
                }
            }
            Value::Array(items) => {
                let none = Value::Null;
                let sub = schema.get("items").unwrap_or(&none);
                for (i, item) in items.iter().enumerate() {
                    self.check(item, sub, &format!("{at}/{i}"), depth + 1);
                }
            }
            _ => {}
        }
    }

    fn choice(&mut self, value: &Value, choices: &[&str], at: &str) {
        if value.as_str().is_some_and(|v| choices.contains(&v)) {
            return;
        }
        let near = value
            .as_str()
            .and_then(|v| crate::near::misspelled(v, choices.iter().copied()));
        let hint = near.map_or_else(String::new, |n| format!("; did you mean `{n}`?"));
        let message = format!(
            "`{}`: {} is not one of {}{hint}",
            last(at),
            show(value),
            choices.join(", ")
        );
        self.problems.push(at_value(self.text, at, message));
    }

    fn unknown(&mut self, key: &str, schema: &Value, at: &str) {
        let names = names(schema);
        let shown: String = key.chars().take(60).collect();
        let message = if let Some(near) = crate::near::misspelled(key, names.iter().copied()) {
            format!("there is no key `{shown}`; did you mean `{near}`?")
        } else if let Some(home) = home(self.schema, key) {
            format!("there is no key `{shown}` here; it belongs {home}")
        } else {
            format!("there is no key `{shown}`; there are {}", names.join(", "))
        };
        self.problems.push(at_key(self.text, at, message));
    }
}

/// Follows `$ref`, and looks through "or null".
fn resolve<'s>(root: &'s Value, schema: &'s Value) -> &'s Value {
    let mut schema = schema;
    for _ in 0..4 {
        if let Some(name) = schema.get("$ref").and_then(Value::as_str) {
            let pointer = name.trim_start_matches('#');
            schema = root.pointer(pointer).unwrap_or(&Value::Null);
        } else if let Some(list) = schema.get("anyOf").and_then(Value::as_array) {
            let some = list.iter().find(|s| s.get("type") != Some(&"null".into()));
            schema = some.unwrap_or(&Value::Null);
        } else {
            break;
        }
    }
    schema
}

/// The values of an enumeration.
fn choices(schema: &Value) -> Option<Vec<&str>> {
    if let Some(list) = schema.get("enum").and_then(Value::as_array) {
        return list.iter().map(Value::as_str).collect();
    }
    let list = schema.get("oneOf")?.as_array()?;
    list.iter().map(|s| s.get("const")?.as_str()).collect()
}

fn names(schema: &Value) -> Vec<&str> {
    let properties = schema.get("properties").and_then(Value::as_object);
    properties.map_or_else(Vec::new, |p| p.keys().map(String::as_str).collect())
}

/// Where a key that is wrong here would be right.
fn home(root: &Value, key: &str) -> Option<String> {
    if root.pointer("/properties")?.get(key).is_some() {
        return Some("at the top level".to_owned());
    }
    let sections = root.pointer("/properties")?.as_object()?;
    let holds = |schema: &Value| names(resolve(root, schema)).contains(&key);
    let section = sections
        .iter()
        .find(|(name, schema)| *name != "caps" && holds(schema))?;
    Some(format!("under `{}`", section.0))
}

/// Why a value does not fit its schema; what is inside is looked at elsewhere.
fn unfit(value: &Value, schema: &Value) -> Option<String> {
    let types = types(schema);
    if !types.is_empty() && !types.iter().any(|t| is_a(value, t)) {
        let wanted: Vec<&str> = types
            .iter()
            .filter(|t| **t != "null")
            .map(|t| spoken(t))
            .collect();
        return Some(format!("{} is not {}", show(value), wanted.join(" or ")));
    }
    let bound = |key: &str| schema.get(key).and_then(Value::as_f64);
    if let Some(number) = value.as_f64() {
        if let Some(least) = bound("minimum").filter(|least| number < *least) {
            return Some(format!("{} is less than {least}", show(value)));
        }
        let most = bound("maximum").or_else(|| ceiling(schema));
        if let Some(most) = most.filter(|most| number > *most) {
            return Some(format!("{} is more than {most}", show(value)));
        }
    }
    let pattern = schema.get("pattern").and_then(Value::as_str)?;
    let text = value.as_str()?;
    let fits = regex::Regex::new(pattern).is_ok_and(|re| re.is_match(text));
    (!fits).then(|| format!("{} does not fit; {}", show(value), examples(schema)))
}

fn ceiling(schema: &Value) -> Option<f64> {
    (schema.get("format").and_then(Value::as_str) == Some("uint32")).then_some(f64::from(u32::MAX))
}

fn types(schema: &Value) -> Vec<&str> {
    match schema.get("type") {
        Some(Value::String(one)) => vec![one],
        Some(Value::Array(several)) => several.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    }
}

fn is_a(value: &Value, name: &str) -> bool {
    match name {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_u64() || value.is_i64(),
        "number" => value.is_number(),
        _ => value.is_null(),
    }
}

fn spoken(name: &str) -> &str {
    match name {
        "object" => "a mapping",
        "array" => "a list",
        "string" => "a text",
        "boolean" => "true or false",
        "integer" => "a whole number",
        other => other,
    }
}

fn examples(schema: &Value) -> String {
    let list = schema.get("examples").and_then(Value::as_array);
    let list: Vec<&str> = list
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    format!("write it as {}", list.join(", "))
}

/// A value in a message: short, on one line.
fn show(value: &Value) -> String {
    match value {
        Value::Object(_) => "a mapping".to_owned(),
        Value::Array(_) => "a list".to_owned(),
        other => other.to_string().chars().take(60).collect(),
    }
}

fn last(pointer: &str) -> String {
    let mut parts = pointer.split('/').rev();
    let name = parts
        .find(|p| p.parse::<usize>().is_err())
        .unwrap_or_default();
    let name = if name.is_empty() { "the file" } else { name };
    name.replace("~1", "/").replace("~0", "~")
}

fn escape(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}

// -- places

/// Line and column of what a pointer names.
fn place(text: &str, pointer: &str, of_key: bool) -> Option<(usize, usize)> {
    let slices = split(text);
    let (slice, tree) = slices.iter().find_map(|slice| {
        let tree = Tree::parse(slice.of(text)).ok()?;
        (!tree.root.is_absent()).then_some((slice, tree))
    })?;
    let mut node = &tree.root;
    let mut at = node.start;
    for key in pointer.split('/').skip(1) {
        let (next, key_at) = step(node, key)?;
        at = if of_key { key_at } else { next.start };
        node = next;
    }
    Some(row_and_column(text, slice.start + at))
}

fn step<'n>(node: &'n Node, key: &str) -> Option<(&'n Node, usize)> {
    let name = key.replace("~1", "/").replace("~0", "~");
    if let Some(entry) = node.entry(&name) {
        return Some((&entry.value, entry.key.start));
    }
    let item = node.items().get(key.parse::<usize>().ok()?)?;
    Some((&item.node, item.node.start))
}

fn row_and_column(text: &str, offset: usize) -> (usize, usize) {
    let before = text.get(..offset).unwrap_or(text);
    let line = before.rsplit('\n').next().unwrap_or_default();
    (before.matches('\n').count() + 1, line.chars().count() + 1)
}

// -- what no schema says

/// Everything that is wrong although it has the right form: where, and what.
fn faults(config: &Config) -> Vec<(String, String)> {
    let rules = &config.pull_requests;
    let mut out = Vec::new();
    let prefixes = [(
        &rules.branch_prefix,
        "/pull_requests/branch_prefix".to_owned(),
    )]
    .into_iter()
    .chain(
        rules
            .prefix_old
            .iter()
            .enumerate()
            .map(|(i, p)| (p, format!("/pull_requests/prefix_old/{i}"))),
    );
    for (prefix, pointer) in prefixes {
        out.extend(unusable_prefix(prefix).map(|why| (pointer, why)));
    }
    let empty = rules
        .ignore
        .iter()
        .enumerate()
        .filter(|(_, e)| e.is_empty());
    for (i, _) in empty {
        let message =
            "an entry without namespace, kind, name and class would ignore nothing".to_owned();
        out.push((format!("/pull_requests/ignore/{i}"), message));
    }
    for (i, rule) in config.rules.iter().enumerate() {
        if rule.matches.is_empty() {
            out.push((
                format!("/rules/{i}"),
                "a rule without `match` would match nothing".to_owned(),
            ));
        } else if rule.ignore.is_none() && rule.draft.is_none() {
            out.push((
                format!("/rules/{i}"),
                "a rule says `ignore` or `draft`".to_owned(),
            ));
        }
    }
    for (i, label) in rules
        .labels
        .iter()
        .enumerate()
        .filter(|(_, l)| !is_label(l))
    {
        let shown: String = label.chars().take(60).collect();
        let message = format!("`{shown}` is no label: 1 to 50 characters on one line, no comma");
        out.push((format!("/pull_requests/labels/{i}"), message));
    }
    if rules.base_branch.as_deref().is_some_and(|b| !is_branch(b)) {
        out.push((
            "/pull_requests/base_branch".to_owned(),
            "this is no name of a branch".to_owned(),
        ));
    }
    out
}

fn unusable_prefix(prefix: &str) -> Option<String> {
    let ends = prefix.ends_with(['/', '-']) && prefix.len() > 1;
    let usable = is_branch(prefix.trim_end_matches(['/', '-'])) && prefix.len() <= 40;
    (!(ends && usable)).then(|| {
        "a prefix has at most 40 characters of a-z, 0-9, `.`, `_`, `-` and `/`, and ends in `/` or `-`".to_owned()
    })
}

fn is_branch(name: &str) -> bool {
    let usable = |c: char| c.is_ascii_alphanumeric() || "._-/".contains(c);
    let parts_fit = || {
        name.split('/')
            .all(|p| !p.is_empty() && !p.starts_with('.') && !p.ends_with(".lock"))
    };
    name.chars().all(usable)
        && name.len() <= 200
        && !name.contains("..")
        && !name.starts_with('-')
        && parts_fit()
}

fn is_label(label: &str) -> bool {
    let length = label.chars().count();
    (1..=50).contains(&length) && !label.contains(',') && !label.chars().any(char::is_control)
}
