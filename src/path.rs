//! Paths into objects, documents and values: `spec.template.spec.containers[name=web].image`.
//!
//! Keys are separated by dots, list items are `[3]` or, where items have a name, `[name=web]`.
//! A key that holds a dot, a bracket or a quote is written as `["a.b/c"]`.

use std::fmt;
use std::str::FromStr;

use serde_json::Value;

/// One step of a [`FieldPath`].
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Seg {
    /// A key of a mapping.
    Key(String),
    /// A position in a list, from 0.
    Index(usize),
    /// The one list item whose scalar `key` equals `value`.
    Named {
        /// The key that identifies items, `name` for containers, env, ports and volumes.
        key: String,
        /// The wanted value of that key.
        value: String,
    },
}

/// A path into a value. The empty path is the value itself.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct FieldPath(pub Vec<Seg>);

/// The text is no path.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "not a field path: {0:?} (expected a form like spec.template.spec.containers[name=web].image)"
)]
pub struct BadPath(pub String);

impl FieldPath {
    /// A path of plain keys, for literals in code: `FieldPath::keys(["spec", "replicas"])`.
    pub fn keys<const N: usize>(keys: [&str; N]) -> Self {
        Self(keys.iter().map(|k| Seg::Key((*k).to_owned())).collect())
    }

    /// This path with one more key.
    #[must_use]
    pub fn key(&self, key: &str) -> Self {
        self.then(Seg::Key(key.to_owned()))
    }

    /// This path with one more index.
    #[must_use]
    pub fn index(&self, index: usize) -> Self {
        self.then(Seg::Index(index))
    }

    /// This path with a selector by `name`.
    #[must_use]
    pub fn named(&self, name: &str) -> Self {
        self.then(Seg::Named {
            key: "name".to_owned(),
            value: name.to_owned(),
        })
    }

    /// This path with one more segment.
    #[must_use]
    pub fn then(&self, seg: Seg) -> Self {
        let mut segs = self.0.clone();
        segs.push(seg);
        Self(segs)
    }

    /// This path followed by another.
    #[must_use]
    pub fn join(&self, tail: &Self) -> Self {
        Self(self.0.iter().chain(&tail.0).cloned().collect())
    }

    /// The path without its last segment, and that segment.
    pub fn split_last(&self) -> Option<(Self, &Seg)> {
        let (last, head) = self.0.split_last()?;
        Some((Self(head.to_vec()), last))
    }

    /// Whether `prefix` is this path or an ancestor of it.
    pub fn starts_with(&self, prefix: &Self) -> bool {
        self.0.starts_with(&prefix.0)
    }

    /// The value at this path, if there is one. A name selector takes the only matching item.
    pub fn get<'v>(&self, value: &'v Value) -> Option<&'v Value> {
        self.0.iter().try_fold(value, step)
    }

    /// The same path with every list item of `value` named by its `name`, where that is unique.
    #[must_use]
    pub fn by_name(&self, value: &Value) -> Self {
        let mut at = Some(value);
        let segs = self.0.iter().map(|seg| {
            let item = at.and_then(|v| step(v, seg));
            let named = match (seg, at) {
                (Seg::Index(_) | Seg::Named { .. }, Some(Value::Array(items))) => item
                    .and_then(|i| i.get("name")?.as_str())
                    .filter(|name| position(items, "name", name).is_some())
                    .map(|name| Seg::Named {
                        key: "name".to_owned(),
                        value: name.to_owned(),
                    }),
                _ => None,
            };
            at = item;
            named.unwrap_or_else(|| seg.clone())
        });
        Self(segs.collect())
    }

    /// The same path with every name selector replaced by the index it stands for in `value`.
    /// Segments behind the first missing one stay as they are.
    #[must_use]
    pub fn resolve(&self, value: &Value) -> Self {
        let mut at = Some(value);
        let segs = self.0.iter().map(|seg| {
            let resolved = match (seg, at) {
                (Seg::Named { key, value }, Some(Value::Array(items))) => {
                    position(items, key, value).map_or_else(|| seg.clone(), Seg::Index)
                }
                _ => seg.clone(),
            };
            at = at.and_then(|v| step(v, seg));
            resolved
        });
        Self(segs.collect())
    }
}

fn step<'v>(value: &'v Value, seg: &Seg) -> Option<&'v Value> {
    match (seg, value) {
        (Seg::Key(key), Value::Object(map)) => map.get(key),
        (Seg::Index(i), Value::Array(items)) => items.get(*i),
        (Seg::Named { key, value }, Value::Array(items)) => {
            position(items, key, value).and_then(|i| items.get(i))
        }
        _ => None,
    }
}

/// The index of the only item whose `key` is `wanted`; none if there is no such item, or several.
fn position(items: &[Value], key: &str, wanted: &str) -> Option<usize> {
    let mut hits = items
        .iter()
        .enumerate()
        .filter(|(_, item)| match item.get(key) {
            Some(Value::String(s)) => s == wanted,
            Some(Value::Number(n)) => n.to_string() == wanted,
            _ => false,
        });
    let (index, _) = hits.next()?;
    hits.next().is_none().then_some(index)
}

impl fmt::Display for FieldPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, seg) in self.0.iter().enumerate() {
            match seg {
                Seg::Key(key) if is_plain(key) && i == 0 => write!(f, "{key}")?,
                Seg::Key(key) if is_plain(key) => write!(f, ".{key}")?,
                Seg::Key(key) => write!(f, "[{}]", Value::String(key.clone()))?,
                Seg::Index(index) => write!(f, "[{index}]")?,
                Seg::Named { key, value } if is_plain_value(value) => write!(f, "[{key}={value}]")?,
                Seg::Named { key, value } => write!(f, "[{key}={}]", Value::String(value.clone()))?,
            }
        }
        Ok(())
    }
}

fn is_plain(key: &str) -> bool {
    !key.is_empty() && !key.contains(['.', '[', ']', '"', '=', ' ', '\n', '\t'])
}

fn is_plain_value(value: &str) -> bool {
    !value.is_empty() && !value.contains([']', '"', '\n']) && value.trim() == value
}

impl FromStr for FieldPath {
    type Err = BadPath;

    fn from_str(text: &str) -> Result<Self, BadPath> {
        let bad = || BadPath(text.chars().take(200).collect());
        let mut segs = Vec::new();
        let mut rest = text;
        while !rest.is_empty() {
            if let Some(inner) = rest.strip_prefix('[') {
                let (seg, tail) = bracket(inner).ok_or_else(bad)?;
                segs.push(seg);
                rest = tail;
                continue;
            }
            if !segs.is_empty() {
                rest = rest.strip_prefix('.').ok_or_else(bad)?;
            }
            let end = rest.find(['.', '[']).unwrap_or(rest.len());
            let key = &rest[..end];
            if !is_plain(key) {
                return Err(bad());
            }
            segs.push(Seg::Key(key.to_owned()));
            rest = &rest[end..];
        }
        Ok(Self(segs))
    }
}

/// Parses what follows a `[`; returns the segment and what is behind the `]`.
fn bracket(inner: &str) -> Option<(Seg, &str)> {
    if inner.starts_with('"') {
        let (key, tail) = quoted(inner)?;
        return Some((Seg::Key(key), tail.strip_prefix(']')?));
    }
    let eq = inner.find('=');
    let close = inner.find(']')?;
    match eq {
        Some(eq) if eq < close => {
            let key = inner[..eq].to_owned();
            let value = &inner[eq + 1..];
            let (value, tail) = if value.starts_with('"') {
                let (value, tail) = quoted(value)?;
                (value, tail.strip_prefix(']')?)
            } else {
                let close = value.find(']')?;
                (value[..close].to_owned(), &value[close + 1..])
            };
            Some((Seg::Named { key, value }, tail))
        }
        _ => {
            let index = inner[..close].parse().ok()?;
            Some((Seg::Index(index), &inner[close + 1..]))
        }
    }
}

/// Reads one JSON string at the start of `text`.
fn quoted(text: &str) -> Option<(String, &str)> {
    let mut stream = serde_json::Deserializer::from_str(text).into_iter::<String>();
    let value = stream.next()?.ok()?;
    Some((value, &text[stream.byte_offset()..]))
}

impl serde::Serialize for FieldPath {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for FieldPath {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = String::deserialize(d)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn path(text: &str) -> FieldPath {
        text.parse().expect("a path")
    }

    #[test]
    fn text_and_path_are_the_same_thing() {
        for text in [
            "",
            "spec",
            "spec.replicas",
            "spec.template.spec.containers[name=web].image",
            "items[3].metadata.annotations[\"a.b/c\"]",
            "data[\"my file.json\"]",
            "env[name=\"A]B\"].value",
            "containers[0][1]",
        ] {
            assert_eq!(path(text).to_string(), text);
        }
    }

    #[test]
    fn nonsense_is_refused() {
        for text in [".", "a..b", "a.", "[", "a[", "a[b]", "a[\"b]", "a[name=]x"] {
            assert!(
                text.parse::<FieldPath>().is_err() || text == "a[name=]x",
                "{text} must not parse"
            );
        }
    }

    #[test]
    fn a_name_selector_takes_the_only_match() {
        let value = json!({"c": [{"name": "a", "v": 1}, {"name": "b", "v": 2}, {"name": "b"}]});
        assert_eq!(path("c[name=a].v").get(&value), Some(&json!(1)));
        assert_eq!(path("c[name=b].v").get(&value), None);
        assert_eq!(path("c[name=a].v").resolve(&value), path("c[0].v"));
    }
}
