//! Values as YAML for people and prompts. Nothing here is ever written into a file.

use serde_json::Value;

/// A value in block style.
pub(super) fn yaml(value: &Value) -> String {
    let mut out = String::new();
    block(value, 0, &mut out);
    out
}

const MAX_DEPTH: usize = 40;

fn block(value: &Value, depth: usize, out: &mut String) {
    match value {
        Value::Object(map) if !map.is_empty() && depth < MAX_DEPTH => {
            for (key, inner) in map {
                indent(depth, out);
                entry(&format!("{}:", scalar(key)), inner, depth, out);
            }
        }
        Value::Array(items) if !items.is_empty() && depth < MAX_DEPTH => {
            for inner in items {
                let mut text = String::new();
                block(inner, depth + 1, &mut text);
                let nested = matches!(inner, Value::Object(_) | Value::Array(_));
                let text = if nested { text.trim_start() } else { &text };
                indent(depth, out);
                out.push_str("- ");
                out.push_str(text);
            }
        }
        Value::String(text) => out.push_str(&(scalar(text) + "\n")),
        other => out.push_str(&format!("{other}\n")),
    }
}

fn entry(key: &str, value: &Value, depth: usize, out: &mut String) {
    out.push_str(key);
    match value {
        Value::Object(map) if !map.is_empty() => out.push('\n'),
        Value::Array(items) if !items.is_empty() => out.push('\n'),
        Value::String(text) if text.trim_end().contains('\n') => {
            return literal(text, depth + 1, out);
        }
        _ => out.push(' '),
    }
    block(value, depth + 1, out);
}

/// A text of several lines.
fn literal(text: &str, depth: usize, out: &mut String) {
    out.push_str(" |\n");
    for line in text.lines() {
        indent(depth, out);
        out.push_str(line);
        out.push('\n');
    }
}

fn indent(depth: usize, out: &mut String) {
    for _ in 0..depth {
        out.push_str("  ");
    }
}

/// A text without quotes where it can only be that text.
fn scalar(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:@ %=,+".contains(c);
    let words = ["true", "false", "null", "yes", "no", "on", "off", "y", "n"];
    let safe = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '/')
        && text.chars().all(plain)
        && !text.contains(": ")
        && !text.ends_with([':', ' '])
        && !words.contains(&text.to_ascii_lowercase().as_str());
    if safe {
        text.to_owned()
    } else {
        Value::from(text).to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn it_reads_like_a_manifest_and_means_the_same() {
        let value = json!({"kind": "Pod", "spec": {"containers": [
            {"name": "web", "args": ["--x=1", "yes", "8080"], "env": []},
            {"name": "b: c", "ports": [{"containerPort": 80}]}],
            "text": "a\nb: c\n", "none": null, "on": true, "lists": [["a"], [1, 2]]}});
        let text = yaml(&value);
        assert!(text.contains("    - name: web\n      args:\n"), "{text}");
        assert_eq!(
            crate::manifest::read_stream(&text),
            Ok(vec![value]),
            "{text}"
        );
    }
}
