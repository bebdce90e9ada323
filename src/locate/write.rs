//! Small new YAML texts: the patches that are written into an overlay.

use serde_json::Value;

use crate::manifest::plain::is_text_everywhere;

/// A value as block YAML without a final line break.
pub(super) fn block(value: &Value) -> String {
    let mut out = String::new();
    write(value, 0, &mut out);
    out.trim_matches('\n').to_owned()
}

fn write(value: &Value, indent: usize, out: &mut String) {
    match value {
        Value::Object(map) if !map.is_empty() => {
            for (key, item) in map {
                line(out, indent);
                out.push_str(&scalar(&Value::from(key.as_str())));
                out.push(':');
                // A list sits below its key, as kubectl and kustomize print it.
                let deeper = if item.is_array() { indent } else { indent + 2 };
                below(item, deeper, out);
            }
        }
        Value::Array(items) if !items.is_empty() => {
            for item in items {
                line(out, indent);
                out.push('-');
                let mut inner = String::new();
                write(item, indent + 2, &mut inner);
                match item {
                    Value::Object(m) if !m.is_empty() => {
                        out.push(' ');
                        out.push_str(inner.trim_start());
                    }
                    _ => below(item, indent + 2, out),
                }
            }
        }
        scalar_value => out.push_str(&scalar(scalar_value)),
    }
}

fn below(item: &Value, indent: usize, out: &mut String) {
    let empty = match item {
        Value::Object(map) => map.is_empty(),
        Value::Array(items) => items.is_empty(),
        _ => true,
    };
    if empty {
        out.push(' ');
    }
    write(item, indent, out);
}

fn line(out: &mut String, indent: usize) {
    out.push('\n');
    out.push_str(&" ".repeat(indent));
}

/// One scalar: plain where every YAML reads it as this text, quoted like JSON otherwise.
fn scalar(value: &Value) -> String {
    match value {
        Value::String(text) if is_plain(text) => text.clone(),
        other => other.to_string(),
    }
}

fn is_plain(text: &str) -> bool {
    let safe =
        |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '/' | '-' | ':' | '$');
    text.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '/' || c == '$')
        && text.chars().all(safe)
        && !text.ends_with(':')
        && is_text_everywhere(text)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use serde_json::json;

    #[test]
    fn what_is_written_is_read_back() {
        let value = json!({
            "a": {"b": [1, "x: y", {"name": "n", "list": ["-c", "yes", "1.10", ""], "none": {}}], "c": null},
            "e": [], "f": "two\nlines", "g": [["x"], [{"k": true}]], "$patch": "delete",
        });
        let text = block(&value);
        assert_eq!(crate::manifest::read_value(&text).unwrap(), value, "{text}");
    }

    #[test]
    fn the_notation_is_the_usual_one() {
        let value = json!({"spec": {"containers": [{"name": "web", "resources": {"limits": {"memory": "256Mi"}}}]}});
        let wanted = "spec:\n  containers:\n  - name: web\n    resources:\n      limits:\n        memory: 256Mi";
        assert_eq!(block(&value), wanted);
    }
}
