//! Reads YAML as version 1.1, scalar by scalar, on the tree with its styles and tags.

use std::collections::{BTreeMap, HashMap};
use std::sync::LazyLock;

use regex::Regex;
use serde_json::{Map, Number, Value};

use crate::files::Files;
use crate::manifest::{self, Kind, Node, Style, Tree};

/// One document of a plain YAML file.
#[derive(Debug, Clone, PartialEq)]
pub struct Document {
    /// Its file.
    pub file: String,
    /// `Kind/name`; `unparseable` for a file that is no YAML.
    pub reference: String,
    /// Its value.
    pub value: Value,
}

/// Aliases can multiply; no honest document has more nodes.
const MAX_NODES: usize = 500_000;

/// The files as texts with plain line ends.
pub fn texts(files: &Files) -> BTreeMap<String, String> {
    let text = |bytes: &[u8]| {
        String::from_utf8_lossy(bytes)
            .replace("\r\n", "\n")
            .replace('\r', "\n")
    };
    let entries = files.by_path.iter();
    entries
        .map(|(path, bytes)| (path.clone(), text(bytes)))
        .collect()
}

/// The documents of all plain YAML files, in the order of their paths. Templates have none.
pub fn documents(texts: &BTreeMap<String, String>) -> Vec<Document> {
    texts
        .iter()
        .filter(|(path, text)| is_yaml(path) && !text.contains("{{"))
        .flat_map(|(path, text)| file_documents(path, text))
        .collect()
}

/// Reads every document of a text, empty ones left out.
pub fn read_all(text: &str) -> Result<Vec<Value>, String> {
    let mut out = Vec::new();
    for slice in manifest::split(text) {
        let value = read(slice.of(text))?;
        if !is_empty(&value) {
            out.push(value);
        }
    }
    Ok(out)
}

/// Reads one document.
pub fn read(slice: &str) -> Result<Value, String> {
    let tree = Tree::parse(slice).map_err(|r| r.message)?;
    Reader::default().value(&tree.root)
}

/// Marks the text of a plain scalar that is neither text nor anything that JSON has.
const SPECIAL: &str = "!!special ";

/// A scalar as it is printed in a reference or a path.
pub fn plain_text(value: &Value) -> String {
    match value {
        Value::String(text) => text.strip_prefix(SPECIAL).unwrap_or(text).to_owned(),
        Value::Null => "None".to_owned(),
        Value::Bool(true) => "True".to_owned(),
        Value::Bool(false) => "False".to_owned(),
        other => other.to_string(),
    }
}

fn is_yaml(path: &str) -> bool {
    path.ends_with(".yaml") || path.ends_with(".yml")
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(map) => map.is_empty(),
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::Bool(true) => false,
    }
}

fn file_documents(path: &str, text: &str) -> Vec<Document> {
    let document = |value: Value| Document {
        file: path.to_owned(),
        reference: reference(&value),
        value,
    };
    match read_all(text) {
        Ok(values) if values.iter().all(Value::is_object) => {
            values.into_iter().map(document).collect()
        }
        _ => vec![Document {
            file: path.to_owned(),
            reference: "unparseable".to_owned(),
            value: Value::Object(Map::new()),
        }],
    }
}

fn reference(value: &Value) -> String {
    let kind = value.get("kind").map_or("None".to_owned(), plain_text);
    let name = value.pointer("/metadata/name").map(plain_text);
    format!("{kind}/{}", name.unwrap_or_default())
}

#[derive(Default)]
struct Reader {
    anchors: HashMap<usize, Value>,
    nodes: usize,
}

impl Reader {
    fn value(&mut self, node: &Node) -> Result<Value, String> {
        self.count(1)?;
        let value = match &node.kind {
            Kind::Scalar { value, style } => scalar(value, *style, node.tag.as_deref())?,
            Kind::Seq { items, .. } => self.list(node.tag.as_deref(), items)?,
            Kind::Map { entries, .. } => self.map(node.tag.as_deref(), entries)?,
            Kind::Alias { anchor } => self.alias(anchor.id)?,
        };
        if let Some(anchor) = &node.anchor {
            self.anchors.insert(anchor.id, value.clone());
        }
        Ok(value)
    }

    fn count(&mut self, nodes: usize) -> Result<(), String> {
        self.nodes += nodes;
        let fits = self.nodes <= MAX_NODES;
        fits.then_some(())
            .ok_or_else(|| "too many nodes".to_owned())
    }

    fn alias(&mut self, id: usize) -> Result<Value, String> {
        let value = self.anchors.get(&id).cloned().ok_or("unknown alias")?;
        self.count(size(&value))?;
        Ok(value)
    }

    fn list(&mut self, tag: Option<&str>, items: &[manifest::Item]) -> Result<Value, String> {
        expect_tag(tag, "seq")?;
        let values: Result<Vec<Value>, String> =
            items.iter().map(|item| self.value(&item.node)).collect();
        values.map(Value::Array)
    }

    fn map(&mut self, tag: Option<&str>, entries: &[manifest::Entry]) -> Result<Value, String> {
        expect_tag(tag, "map")?;
        let mut merged = Map::new();
        let mut own = Map::new();
        for entry in entries {
            if is_merge(&entry.key) {
                merge(&mut merged, self.value(&entry.value)?)?;
                continue;
            }
            let key = match self.value(&entry.key)? {
                Value::Array(_) | Value::Object(_) => {
                    return Err("a key is a collection".to_owned());
                }
                scalar => plain_text(&scalar),
            };
            let value = self.value(&entry.value)?;
            own.insert(key, value);
        }
        merged.extend(own);
        Ok(Value::Object(merged))
    }
}

fn size(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(size).sum::<usize>(),
        Value::Object(map) => 1 + map.values().map(size).sum::<usize>(),
        _ => 1,
    }
}

fn is_merge(key: &Node) -> bool {
    key.text() == Some("<<") && key.style() == Some(Style::Plain)
}

/// Of several merged mappings the first that has a key wins.
fn merge(into: &mut Map<String, Value>, from: Value) -> Result<(), String> {
    match from {
        Value::Object(map) => {
            for (key, value) in map {
                into.entry(key).or_insert(value);
            }
            Ok(())
        }
        Value::Array(items) => items.into_iter().try_for_each(|item| merge(into, item)),
        _ => Err("a merge key needs a mapping".to_owned()),
    }
}

fn expect_tag(tag: Option<&str>, name: &str) -> Result<(), String> {
    match tag.map(short_tag) {
        None | Some("!") => Ok(()),
        Some(tag) if tag == name => Ok(()),
        Some(tag) => Err(format!("unknown tag {tag}")),
    }
}

fn short_tag(tag: &str) -> &str {
    let core = tag.strip_prefix("tag:yaml.org,2002:");
    core.or_else(|| tag.strip_prefix("!!")).unwrap_or(tag)
}

fn scalar(text: &str, style: Style, tag: Option<&str>) -> Result<Value, String> {
    match tag.map(short_tag) {
        Some("!" | "str") => Ok(Value::String(text.to_owned())),
        Some("int" | "float" | "bool" | "null" | "timestamp") => Ok(resolve(text)),
        Some("binary") => Ok(Value::String(format!("!!binary {text}"))),
        Some(tag) => Err(format!("unknown tag {tag}")),
        None if style == Style::Plain => Ok(resolve(text)),
        None => Ok(Value::String(text.to_owned())),
    }
}

/// The value of a plain scalar. What JSON cannot hold (dates, infinities) becomes a marked text
/// that equals only itself.
fn resolve(text: &str) -> Value {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => Value::Null,
        "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => Value::Bool(true),
        "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => {
            Value::Bool(false)
        }
        _ => number(text).unwrap_or_else(|| {
            let special = TIMESTAMP.is_match(text) || NOT_FINITE.is_match(text);
            Value::String(if special {
                format!("{SPECIAL}{text}")
            } else {
                text.to_owned()
            })
        }),
    }
}

fn pattern(text: &str) -> Regex {
    Regex::new(text).expect("a valid pattern")
}

static INTEGER: LazyLock<Regex> = LazyLock::new(|| {
    pattern(
        r"^[-+]?(0b[01_]+|0[0-7_]+|0|[1-9][0-9_]*|0x[0-9a-fA-F_]+|[1-9][0-9_]*(:[0-5]?[0-9])+)$",
    )
});
static FLOAT: LazyLock<Regex> = LazyLock::new(|| {
    pattern(
        r"^([-+]?[0-9][0-9_]*\.[0-9_]*([eE][-+][0-9]+)?|\.[0-9][0-9_]*([eE][-+][0-9]+)?|[-+]?[0-9][0-9_]*(:[0-5]?[0-9])+\.[0-9_]*)$",
    )
});
static NOT_FINITE: LazyLock<Regex> =
    LazyLock::new(|| pattern(r"^([-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN))$"));
static TIMESTAMP: LazyLock<Regex> = LazyLock::new(|| {
    pattern(
        r"^([0-9]{4}-[0-9]{2}-[0-9]{2}|[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}([Tt]|[ \t]+)[0-9]{1,2}:[0-9]{2}:[0-9]{2}(\.[0-9]*)?([ \t]*(Z|[-+][0-9]{1,2}(:[0-9]{2})?))?)$",
    )
});

fn number(text: &str) -> Option<Value> {
    if INTEGER.is_match(text) {
        return integer(&text.replace('_', ""));
    }
    FLOAT
        .is_match(text)
        .then(|| float(&text.replace('_', "")))?
}

fn integer(text: &str) -> Option<Value> {
    let (negative, digits) = sign(text);
    let magnitude = if let Some(binary) = digits.strip_prefix("0b") {
        i128::from_str_radix(binary, 2).ok()?
    } else if let Some(hex) = digits.strip_prefix("0x") {
        i128::from_str_radix(hex, 16).ok()?
    } else if digits.contains(':') {
        sexagesimal(digits)? as i128
    } else if digits.len() > 1 && digits.starts_with('0') {
        i128::from_str_radix(digits, 8).ok()?
    } else {
        digits.parse().ok()?
    };
    let value = if negative { -magnitude } else { magnitude };
    Number::from_i128(value).map(Value::Number)
}

fn float(text: &str) -> Option<Value> {
    let (negative, digits) = sign(text);
    let magnitude = if digits.contains(':') {
        sexagesimal(digits)?
    } else {
        digits.parse().ok()?
    };
    Number::from_f64(if negative { -magnitude } else { magnitude }).map(Value::Number)
}

fn sign(text: &str) -> (bool, &str) {
    match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    }
}

fn sexagesimal(text: &str) -> Option<f64> {
    text.split(':').try_fold(0.0, |sum, part| {
        Some(sum * 60.0 + part.parse::<f64>().ok()?)
    })
}
