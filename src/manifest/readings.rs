//! The two readings that decide what a manifest means: YAML 1.1 as the Go decoder of `kubectl`,
//! Helm and the API server reads it, and the mixed reading of `kustomize`.
//!
//! No crate gives either, so both are resolver tables over the tree of [`super::tree`].

use std::collections::HashMap;

use serde_json::{Map, Number, Value};

use super::node::{Anchor, Entry, Kind, Node, Style};
use super::plain::is_decimal;
use super::tree::Tree;
use crate::code::{Code, Refusal};

/// Who reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reading {
    /// `sigs.k8s.io/yaml`: `yes` is true, the last of two equal keys wins.
    Go,
    /// `kustomize build`: `yes` is a text, dates are timestamps, keys must be texts.
    Kustomize,
}

/// More nodes than this, aliases expanded, are an attack.
const MAX_EXPANDED: usize = 1_000_000;

/// Deeper than this, aliases expanded, is an attack as well.
const MAX_DEPTH: usize = 256;

/// Reads one slice as one of the two does.
pub fn read(slice: &str, reading: Reading) -> Result<Value, Refusal> {
    if slice.contains(['\u{85}', '\u{2028}', '\u{2029}']) {
        return Err(Refusal::new(
            Code::ReadersDisagree,
            "the document holds a U+0085, U+2028 or U+2029, which some readers take for a line break",
        ));
    }
    let tree = Tree::parse(slice)?;
    of_node(&tree, &tree.root, reading)
}

/// Reads one node of a document.
pub fn of_node(tree: &Tree, node: &Node, reading: Reading) -> Result<Value, Refusal> {
    let mut reader = Reader {
        tree,
        anchors: None,
        reading,
        left: MAX_EXPANDED,
        depth: 0,
    };
    reader
        .value(node)
        .map_err(|m| Refusal::new(Code::AmbiguousScalar, m))
}

struct Reader<'t> {
    tree: &'t Tree,
    anchors: Option<HashMap<usize, &'t Node>>,
    reading: Reading,
    left: usize,
    depth: usize,
}

impl<'t> Reader<'t> {
    fn value(&mut self, node: &'t Node) -> Result<Value, String> {
        self.left = self
            .left
            .checked_sub(1)
            .ok_or("aliases expand to over a million nodes")?;
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err("aliases nest deeper than 256 levels".to_owned());
        }
        let value = self.below(node);
        self.depth -= 1;
        value
    }

    fn below(&mut self, node: &'t Node) -> Result<Value, String> {
        match &node.kind {
            Kind::Scalar { value, style } => self.scalar(value, *style, node.tag.as_deref()),
            Kind::Alias { anchor } => {
                let target = self.target(anchor)?;
                self.value(target)
            }
            Kind::Seq { items, .. } => {
                let items = items.iter().map(|i| self.value(&i.node));
                Ok(Value::Array(items.collect::<Result<_, _>>()?))
            }
            Kind::Map { entries, .. } => self.mapping(entries),
        }
    }

    fn target(&mut self, anchor: &Anchor) -> Result<&'t Node, String> {
        let tree = self.tree;
        let anchors = self.anchors.get_or_insert_with(|| {
            let mut found = HashMap::new();
            tree.root.visit(&mut |node| {
                if let Some(anchor) = &node.anchor {
                    found.insert(anchor.id, node);
                }
            });
            found
        });
        let found = anchors.get(&anchor.id).copied();
        found.ok_or_else(|| format!("the alias *{} has no anchor", anchor.name))
    }

    fn mapping(&mut self, entries: &'t [Entry]) -> Result<Value, String> {
        let mut map = Map::new();
        let mut merged = Map::new();
        for entry in entries {
            if is_merge(&entry.key) {
                self.merge(&entry.value, &mut merged)?;
                // The Go decoder writes merged keys at once, over keys that stand before.
                if self.reading == Reading::Go {
                    map.extend(std::mem::take(&mut merged));
                }
                continue;
            }
            let key = self.key(&entry.key)?;
            let value = self.value(&entry.value)?;
            let twice = map.insert(key.clone(), value).is_some();
            if twice && self.reading == Reading::Kustomize {
                return Err(format!("the key {key} occurs twice"));
            }
        }
        for (key, value) in merged {
            map.entry(key).or_insert(value);
        }
        Ok(Value::Object(map))
    }

    /// What `<<` brings; of several mappings the earlier wins.
    fn merge(&mut self, node: &'t Node, into: &mut Map<String, Value>) -> Result<(), String> {
        let node = match &node.kind {
            Kind::Alias { anchor } => self.target(anchor)?,
            _ => node,
        };
        match &node.kind {
            Kind::Map { .. } => {
                if let Value::Object(found) = self.value(node)? {
                    for (key, value) in found {
                        into.entry(key).or_insert(value);
                    }
                }
                Ok(())
            }
            Kind::Seq { items, .. } => {
                let mut each = items.iter();
                each.try_for_each(|item| self.merge(&item.node, into))
            }
            _ => Err("<< needs a mapping".to_owned()),
        }
    }

    fn key(&self, key: &'t Node) -> Result<String, String> {
        let Kind::Scalar { value, style } = &key.kind else {
            return Err("a key is no scalar".to_owned());
        };
        match (
            self.scalar(value, *style, key.tag.as_deref())?,
            self.reading,
        ) {
            (Value::String(text), _) => Ok(text),
            (Value::Bool(_) | Value::Number(_), Reading::Kustomize) | (_, Reading::Kustomize) => {
                Err(format!("the key {value} is no text"))
            }
            (Value::Bool(b), _) => Ok(b.to_string()),
            (Value::Number(n), _) => Ok(n.to_string()),
            _ => Err(format!("the key {value} is no text")),
        }
    }

    fn scalar(&self, text: &str, style: Style, tag: Option<&str>) -> Result<Value, String> {
        let plain = style == Style::Plain;
        let tag = tag.map(|t| {
            t.strip_prefix("!!")
                .unwrap_or(if t == "!" { "str" } else { "" })
        });
        match tag {
            None if plain => self.resolve(text),
            None | Some("str" | "") => Ok(text.into()),
            Some("binary") => binary(text),
            Some(wanted) => {
                let value = self.resolve(text)?;
                let fits = match wanted {
                    "bool" => value.is_boolean(),
                    "int" => value.is_i64() || value.is_u64(),
                    "float" => value.is_number(),
                    "null" => value.is_null(),
                    _ => value.is_string(),
                };
                let error = || format!("{text} is no {wanted}");
                fits.then_some(value).ok_or_else(error)
            }
        }
    }

    fn resolve(&self, text: &str) -> Result<Value, String> {
        let kustomize = self.reading == Reading::Kustomize;
        match text {
            "" | "~" | "null" | "Null" | "NULL" => return Ok(Value::Null),
            "true" | "True" | "TRUE" => return Ok(true.into()),
            "false" | "False" | "FALSE" => return Ok(false.into()),
            "y" | "Y" | "yes" | "Yes" | "YES" | "on" | "On" | "ON" if !kustomize => {
                return Ok(true.into());
            }
            "n" | "N" | "no" | "No" | "NO" | "off" | "Off" | "OFF" if !kustomize => {
                return Ok(false.into());
            }
            ".nan" | ".NaN" | ".NAN" | ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF"
            | "-.inf" | "-.Inf" | "-.INF" => return Err(format!("{text} is no JSON number")),
            _ => {}
        }
        if kustomize && let Some(time) = timestamp(text) {
            return Ok(time.into());
        }
        Ok(number(text).map_or_else(|| text.into(), Value::Number))
    }
}

fn is_merge(key: &Node) -> bool {
    key.text() == Some("<<") && key.style() == Some(Style::Plain)
}

/// A number as Go's `ParseInt` with base 0 and `ParseFloat` read it, underscores removed.
fn number(text: &str) -> Option<Number> {
    let first = text.bytes().next()?;
    if !(first.is_ascii_digit() || matches!(first, b'-' | b'+' | b'.')) {
        return None;
    }
    let bare: String = text.chars().filter(|c| *c != '_').collect();
    let (negative, digits) = match bare.strip_prefix(['-', '+']) {
        Some(rest) => (bare.starts_with('-'), rest),
        None => (false, bare.as_str()),
    };
    if let Some(magnitude) = integer(digits) {
        if !negative {
            return Some(magnitude.into());
        }
        // One below the largest positive number is still in range.
        return 0i64.checked_sub_unsigned(magnitude).map(Number::from);
    }
    let float = is_decimal(digits).then(|| bare.parse::<f64>().ok())??;
    Number::from_f64(float)
}

fn integer(digits: &str) -> Option<u64> {
    let lower = digits.to_ascii_lowercase();
    let (digits, radix) = match lower.get(..2) {
        Some("0x") => (&lower[2..], 16),
        Some("0o") => (&lower[2..], 8),
        Some("0b") => (&lower[2..], 2),
        Some(two) if two.starts_with('0') => (&lower[1..], 8),
        _ => (lower.as_str(), 10),
    };
    let signed = digits.starts_with(['+', '-']);
    (!signed).then(|| u64::from_str_radix(digits, radix).ok())?
}

fn binary(text: &str) -> Result<Value, String> {
    let error = || "a !!binary value is no base64 text".to_owned();
    let mut bytes = Vec::new();
    let (mut bits, mut count) = (0u32, 0u32);
    for symbol in text
        .bytes()
        .filter(|b| !b.is_ascii_whitespace() && *b != b'=')
    {
        let value = match symbol {
            b'A'..=b'Z' => symbol - b'A',
            b'a'..=b'z' => symbol - b'a' + 26,
            b'0'..=b'9' => symbol - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return Err(error()),
        };
        bits = (bits << 6) | u32::from(value);
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push(u8::try_from((bits >> count) & 0xff).unwrap_or_default());
        }
    }
    String::from_utf8(bytes)
        .map(Value::from)
        .map_err(|_| error())
}

/// `2001-1-2`, `2001-01-02T03:04:05Z` and their like in the spelling of RFC 3339.
fn timestamp(text: &str) -> Option<String> {
    let (date, time) = match text.find(['T', 't', ' ']) {
        Some(at) => (&text[..at], Some(&text[at + 1..])),
        None => (text, None),
    };
    let mut parts = date.split('-');
    let year = parts.next().filter(|y| y.len() == 4)?.parse::<i16>().ok()?;
    let (month, day) = (short(parts.next()?)?, short(parts.next()?)?);
    let date = jiff::civil::Date::new(year, month, day).ok()?;
    if parts.next().is_some() {
        return None;
    }
    let Some(time) = time else {
        return Some(format!("{date}T00:00:00Z"));
    };
    let spaced = text.contains(' ');
    let at = time.find(['Z', '+', '-']);
    let (clock, zone) = time.split_at(at.unwrap_or(time.len()));
    let zone_fits = if spaced {
        zone.is_empty()
    } else {
        zone == "Z" || zone.len() == 6
    };
    if !zone_fits {
        return None;
    }
    let mut parts = clock.split(':');
    let (hour, minute) = (short(parts.next()?)?, short(parts.next()?)?);
    let (second, fraction) = parts
        .next()?
        .split_once('.')
        .unwrap_or((clock.rsplit(':').next()?, ""));
    let second = short(second)?;
    jiff::civil::Time::new(hour, minute, second, 0).ok()?;
    let fraction = match fraction.trim_end_matches('0') {
        "" => String::new(),
        f if f.bytes().all(|b| b.is_ascii_digit()) => format!(".{f}"),
        _ => return None,
    };
    let zone = if spaced { "Z" } else { zone };
    Some(format!(
        "{date}T{hour:02}:{minute:02}:{second:02}{fraction}{zone}"
    ))
}

/// One or two digits.
fn short(digits: &str) -> Option<i8> {
    let fits = matches!(digits.len(), 1 | 2) && digits.bytes().all(|b| b.is_ascii_digit());
    fits.then(|| digits.parse().ok())?
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use serde_json::json;

    fn both(slice: &str) -> (Value, Value) {
        let read = |reading| read(slice, reading).unwrap_or_else(|_| "error".into());
        (read(Reading::Go), read(Reading::Kustomize))
    }

    #[test]
    fn the_readings_agree_on_ordinary_documents() {
        let source = "a: [1, -2, 1.5, true, null, text, '1', \"x\"]\nb: {c: 0x10, d: 010}\n";
        let wanted =
            json!({"a": [1, -2, 1.5, true, null, "text", "1", "x"], "b": {"c": 16, "d": 8}});
        assert_eq!(both(source), (wanted.clone(), wanted));
    }

    #[test]
    fn the_readings_differ_where_yaml_1_1_and_1_2_do() {
        assert_eq!(both("a: YES"), (json!({"a": true}), json!({"a": "YES"})));
        assert_eq!(both("off: 1"), (json!({"false": 1}), json!({"off": 1})));
        assert_eq!(both("5: 1"), (json!({"5": 1}), json!("error")));
        assert_eq!(both("a: 1\na: 2"), (json!({"a": 2}), json!("error")));
        assert_eq!(
            both("a: 2020-2-3\nb: 2020-02-03T4:05:06.70+01:00"),
            (
                json!({"a": "2020-2-3", "b": "2020-02-03T4:05:06.70+01:00"}),
                json!({"a": "2020-02-03T00:00:00Z", "b": "2020-02-03T04:05:06.7+01:00"})
            )
        );
    }

    #[test]
    fn merges_and_aliases_are_expanded_within_a_bound() {
        let source = "a: &a {x: 1, w: 2}\nb: &b {x: 3, z: 4}\nc:\n  <<: [*a, *b]\n  w: 5\n";
        let (go, kustomize) = both(source);
        assert_eq!(go["c"], json!({"x": 1, "w": 5, "z": 4}));
        assert_eq!(go, kustomize);
        let mut bomb = "a0: &a0 [x]\n".to_owned();
        for i in 1..30 {
            bomb += &format!("a{i}: &a{i} [*a{0}, *a{0}, *a{0}]\n", i - 1);
        }
        assert_eq!(both(&bomb), (json!("error"), json!("error")));
        let chain: String = (1..5000)
            .map(|i| format!("a{i}: &a{i} [*a{}]\n", i - 1))
            .collect();
        assert_eq!(
            both(&format!("a0: &a0 x\n{chain}")),
            (json!("error"), json!("error"))
        );
        assert_eq!(both("a: &a [*a]\n"), (json!("error"), json!("error")));
    }

    #[test]
    fn a_key_before_a_merge_is_overwritten_by_go_only() {
        let (go, kustomize) = both("a: &a {x: 1}\nb:\n  x: 2\n  <<: *a\n");
        assert_eq!(
            (&go["b"]["x"], &kustomize["b"]["x"]),
            (&json!(1), &json!(2))
        );
    }
}
