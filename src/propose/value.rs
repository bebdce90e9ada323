//! A value in a model's words, read as one meaning or refused. Pure.

use serde_json::Value;

use crate::evidence::is_unseen;
use crate::evidence::redact::holds_placeholder;
use crate::path::{FieldPath, Seg};

/// The most bytes of one value.
const MAX_VALUE: usize = 8 << 10;

/// Reads a value for a path. The value that is there now decides about the type.
pub fn read(text: &str, current: Option<&Value>, path: &FieldPath) -> Result<Value, String> {
    let text = unfenced(text);
    let at = format!("the value for {path}");
    if text.len() > MAX_VALUE {
        return Err(format!("{at} is too long"));
    }
    if holds_placeholder(text) {
        return Err(format!("{at} holds a redaction placeholder"));
    }
    if text.chars().any(is_unseen) {
        return Err(format!("{at} holds an invisible character"));
    }
    let wants_text = matches!(current, Some(Value::String(_))) || is_text(path);
    let line = text.trim();
    match line.chars().next() {
        None if wants_text => Ok(Value::from("")),
        None => Err(format!("{at} is empty")),
        Some('"') => quoted(line).ok_or(format!("{at} is no valid JSON string")),
        Some('{' | '[') if !wants_text => structure(line).ok_or(format!("{at} is no valid JSON")),
        _ if wants_text => Ok(Value::from(lines(text, current))),
        _ => scalar(line, current).ok_or(format!("{at} is ambiguous: {line:?}")),
    }
}

/// A text as it is written; a file's last line end, which models forget, stays.
fn lines(text: &str, current: Option<&Value>) -> String {
    if !text.contains('\n') {
        return text.trim().to_owned();
    }
    let ended = current
        .and_then(Value::as_str)
        .is_some_and(|t| t.ends_with('\n'));
    match (ended, text.ends_with('\n')) {
        (true, false) => format!("{text}\n"),
        _ => text.to_owned(),
    }
}

/// A text without a Markdown fence around it.
pub fn unfenced(text: &str) -> &str {
    let trimmed = text.trim();
    let Some(inner) = trimmed
        .strip_prefix("```")
        .and_then(|t| t.strip_suffix("```"))
    else {
        return text;
    };
    match inner.split_once('\n') {
        Some((language, body)) if !language.trim().contains(' ') => body.trim_end_matches('\n'),
        _ => inner.trim(),
    }
}

/// A JSON string.
fn quoted(line: &str) -> Option<Value> {
    let text: String = serde_json::from_str(line).ok()?;
    (!text.chars().any(is_unseen)).then_some(Value::from(text))
}

/// A JSON list or mapping that a YAML reader understands in the same way (which also rejects
/// repeated keys).
fn structure(line: &str) -> Option<Value> {
    let json: Value = serde_json::from_str(line).ok()?;
    let yaml = crate::manifest::read_stream(line).ok()?;
    (yaml == [json.clone()] && depth(&json) <= 16).then_some(json)
}

fn depth(value: &Value) -> usize {
    let deepest = match value {
        Value::Array(items) => items.iter().map(depth).max(),
        Value::Object(map) => map.values().map(depth).max(),
        _ => return 0,
    };
    1 + deepest.unwrap_or(0)
}

/// A plain scalar with one meaning in every YAML version.
fn scalar(line: &str, current: Option<&Value>) -> Option<Value> {
    if line.contains('\n') {
        return None;
    }
    let truth = match line {
        "true" => Some(true),
        "false" => Some(false),
        _ => None,
    };
    match (truth, current) {
        (Some(truth), None | Some(Value::Bool(_))) => return Some(Value::from(truth)),
        (Some(_), _) | (None, Some(Value::Bool(_))) => return None,
        _ => {}
    }
    if is_integer(line) {
        return line.parse::<i64>().ok().map(Value::from);
    }
    is_plain_text(line).then(|| Value::from(line))
}

fn is_integer(line: &str) -> bool {
    let digits = line.strip_prefix('-').unwrap_or(line);
    let plain = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    plain && (digits == "0" || !digits.starts_with('0')) && line != "-0"
}

/// Whether a text is a text to YAML 1.1 and 1.2, unquoted.
fn is_plain_text(line: &str) -> bool {
    const WORDS: &[&str] = &[
        "y", "n", "yes", "no", "on", "off", "true", "false", "null", "~", ".nan", ".inf",
    ];
    let lower = line.to_ascii_lowercase();
    let starts = line.starts_with(|c: char| c.is_ascii_alphanumeric() || "/_.".contains(c));
    let numeric = |c: char| c.is_ascii_digit() || "+-._:eExXoObBaAcCdDfF".contains(c);
    let like_a_number =
        line.starts_with(|c: char| c.is_ascii_digit() || c == '.') && line.chars().all(numeric);
    let special = line.contains(": ") || line.contains(" #") || line.ends_with(':');
    starts && !WORDS.contains(&lower.as_str()) && !like_a_number && !special
}

/// Places whose value is always a text, whatever it looks like.
fn is_text(path: &FieldPath) -> bool {
    const PARENTS: &[&str] = &[
        "data",
        "labels",
        "annotations",
        "matchLabels",
        "nodeSelector",
        "selector",
        "limits",
        "requests",
    ];
    let mut ends = path.0.iter().rev();
    let (last, parent) = (ends.next(), ends.next());
    let named = |seg: Option<&Seg>, wanted: &[&str]| matches!(seg, Some(Seg::Key(key)) if wanted.contains(&key.as_str()));
    match last {
        Some(Seg::Index(_)) => named(parent, &["command", "args"]),
        Some(Seg::Key(key)) if key == "value" => true,
        Some(Seg::Key(key)) => {
            ["image", "name", "key", "path"].contains(&key.as_str())
                || (named(parent, PARENTS) && !["matchLabels"].contains(&key.as_str()))
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use serde_json::json;

    fn at(path: &str, text: &str, current: Option<Value>) -> Result<Value, String> {
        read(text, current.as_ref(), &path.parse().unwrap())
    }

    #[test]
    fn the_type_follows_from_the_place() {
        let cases = [
            ("spec.replicas", "3", Some(json!(2)), json!(3)),
            ("env[name=A].value", "3", None, json!("3")),
            ("spec.x", "8080", None, json!(8080)),
            ("spec.targetPort", "http", Some(json!(80)), json!("http")),
            (
                "c.image",
                "shop/cart:1.2",
                Some(json!("shop/cart:1")),
                json!("shop/cart:1.2"),
            ),
            ("c.resources.limits.cpu", "1", None, json!("1")),
            (
                "c.resources.limits.memory",
                "256Mi",
                Some(json!("128Mi")),
                json!("256Mi"),
            ),
            (
                "data.conf",
                "a: 1\nb: yes\n",
                Some(json!("a: 0\n")),
                json!("a: 1\nb: yes\n"),
            ),
            (
                "data.conf",
                "a: 1\nb: 2",
                Some(json!("a: 0\n")),
                json!("a: 1\nb: 2\n"),
            ),
            ("c.args[0]", "--n=yes", None, json!("--n=yes")),
            (
                "c.args",
                "[\"a\", \"b\"]",
                Some(json!(["x"])),
                json!(["a", "b"]),
            ),
            ("spec.on", "true", Some(json!(false)), json!(true)),
            (
                "c.image",
                "```yaml\nshop/cart:1.2\n```",
                None,
                json!("shop/cart:1.2"),
            ),
            ("spec.mode", "\"0644\"", None, json!("0644")),
        ];
        for (path, text, current, wanted) in cases {
            assert_eq!(at(path, text, current), Ok(wanted), "{path} {text}");
        }
    }

    #[test]
    fn what_has_two_meanings_is_refused() {
        for text in [
            "yes",
            "NO",
            "on",
            "~",
            "null",
            "0644",
            "0x1f",
            "1_000",
            "12:30:45",
            "1e3",
            "1.5",
            "2024-01-02",
            "-0",
            "a: b",
            "{\"a\": 1, \"a\": 2}",
            "[1",
            "\"a",
            "",
            "*x",
            "&y z",
            "!!int 3",
            "x\u{202e}y",
            "[REDACTED:12ab***]",
        ] {
            assert!(at("spec.x", text, None).is_err(), "{text}");
        }
        assert!(at("spec.on", "maybe", Some(json!(true))).is_err());
        let deep = format!("{}1{}", "[".repeat(40), "]".repeat(40));
        assert!(at("spec.x", &deep, None).is_err());
    }
}
