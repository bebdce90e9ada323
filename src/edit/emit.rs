//! Writing values as YAML: quotes, block and flow form. Nothing else writes into manifests.

use std::fmt::Write as _;

use serde_json::Value;

use crate::manifest::Style;
use crate::manifest::plain::is_text_everywhere;

/// Where a scalar is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// On lines of its own collection.
    Block,
    /// Between brackets.
    Flow,
    /// Between brackets of a JSON document.
    Json,
}

/// How new lines are laid out.
#[derive(Debug, Clone, Copy)]
pub(super) struct Layout {
    /// Columns from a key to the keys below it.
    pub(super) step: usize,
    /// Columns from a key to the dashes below it.
    pub(super) dash: usize,
    /// The line ending.
    pub(super) eol: &'static str,
}

/// A scalar on one line; `style` is that of the token it replaces.
pub(super) fn scalar(value: &Value, style: Style, place: Place) -> String {
    match value {
        Value::String(text) => string(text, style, place),
        Value::Array(_) => "[]".to_owned(),
        Value::Object(_) => "{}".to_owned(),
        other => other.to_string(),
    }
}

/// A text on one line, in the wanted style if that is safe.
pub(super) fn string(text: &str, style: Style, place: Place) -> String {
    let quiet = !text.chars().any(needs_escape);
    match (style, place) {
        (_, Place::Json) | (Style::Double, _) => double(text),
        (Style::Single, _) if quiet => format!("'{}'", text.replace('\'', "''")),
        (Style::Single, _) => double(text),
        _ if plain_is_safe(text, place == Place::Flow) => text.to_owned(),
        _ => double(text),
    }
}

/// A key.
pub(super) fn key(text: &str, place: Place) -> String {
    string(text, Style::Plain, place)
}

/// A value between brackets.
pub(super) fn flow(value: &Value, place: Place) -> String {
    match value {
        Value::Array(items) => {
            let items: Vec<_> = items.iter().map(|v| flow(v, place)).collect();
            format!("[{}]", items.join(", "))
        }
        Value::Object(map) => {
            let pair = |(k, v): (&String, &Value)| format!("{}: {}", key(k, place), flow(v, place));
            let pairs: Vec<_> = map.iter().map(pair).collect();
            format!("{{{}}}", pairs.join(", "))
        }
        other => scalar(other, Style::Plain, place),
    }
}

impl Layout {
    /// What follows the colon of a key at `column`, the space or line break included.
    pub(super) fn below_key(&self, value: &Value, column: usize) -> String {
        match value {
            Value::Object(map) if !map.is_empty() => {
                let column = column + self.step;
                map.iter()
                    .map(|(k, v)| self.line(column, &self.entry(k, v, column)))
                    .collect()
            }
            Value::Array(items) if !items.is_empty() => {
                let column = column + self.dash;
                items
                    .iter()
                    .map(|v| self.line(column, &self.item(v, column, 1)))
                    .collect()
            }
            other => format!(" {}", self.text(other, column + self.step, Style::Plain)),
        }
    }

    /// A key at `column` and its value, without the indentation of the first line.
    pub(super) fn entry(&self, name: &str, value: &Value, column: usize) -> String {
        format!(
            "{}:{}",
            key(name, Place::Block),
            self.below_key(value, column)
        )
    }

    /// An item whose dash is at `column`, without the indentation of the first line.
    pub(super) fn item(&self, value: &Value, column: usize, gap: usize) -> String {
        let inner = column + 1 + gap;
        let lines: Vec<String> = match value {
            Value::Object(map) => map.iter().map(|(k, v)| self.entry(k, v, inner)).collect(),
            Value::Array(items) => items.iter().map(|v| self.item(v, inner, 1)).collect(),
            _ => Vec::new(),
        };
        let body = if lines.is_empty() {
            self.text(value, column + self.step, Style::Plain)
        } else {
            lines.join(&format!("{}{}", self.eol, " ".repeat(inner)))
        };
        format!("-{}{body}", " ".repeat(gap))
    }

    /// A scalar: a literal block for a text of several lines if that is possible.
    pub(super) fn text(&self, value: &Value, column: usize, style: Style) -> String {
        let quoted = matches!(style, Style::Single | Style::Double);
        match value {
            Value::String(text) if !quoted && literal_is_safe(text) => self.literal(text, column),
            other => scalar(other, style, Place::Block),
        }
    }

    fn literal(&self, text: &str, column: usize) -> String {
        let mut out = if text.ends_with('\n') { "|" } else { "|-" }.to_owned();
        for line in text.strip_suffix('\n').unwrap_or(text).split('\n') {
            out += self.eol;
            if !line.is_empty() {
                let _ = write!(out, "{}{line}", " ".repeat(column));
            }
        }
        out
    }

    fn line(&self, column: usize, text: &str) -> String {
        format!("{}{}{text}", self.eol, " ".repeat(column))
    }
}

/// Several lines that a literal block can hold without an indentation digit, and with at most one
/// final line break: blank lines behind the block would become part of a text that keeps more.
fn literal_is_safe(text: &str) -> bool {
    let line_breaks = text.len() - text.trim_end_matches('\n').len();
    text.contains('\n')
        && line_breaks <= 1
        && !text.trim_end_matches('\n').is_empty()
        && !text.starts_with([' ', '\t', '\n'])
        && text.chars().all(fits_literal)
}

/// Whether a literal block can hold this character.
pub(super) fn fits_literal(c: char) -> bool {
    matches!(c, '\n' | '\t') || !needs_escape(c)
}

fn needs_escape(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}'
        )
}

fn double(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\r' => out.push_str("\\r"),
            '\0' => out.push_str("\\u0000"),
            c if needs_escape(c) => {
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// Whether every reader reads this text back when it stands without quotes.
fn plain_is_safe(text: &str, flow: bool) -> bool {
    let mut chars = text.chars();
    let (Some(first), second) = (chars.next(), chars.next()) else {
        return false;
    };
    let starts_well = match first {
        ',' | '[' | ']' | '{' | '}' | '#' | '&' | '*' | '!' | '|' | '>' | '\'' | '"' | '%'
        | '@' | '`' => false,
        // libyaml reads both as indicators between brackets.
        ':' | '?' if flow => false,
        '-' | '?' | ':' => second.is_some_and(|c| c != ' ' && !(flow && is_bracket(c))),
        _ => true,
    };
    starts_well
        && !text.starts_with(char::is_whitespace)
        && !text.ends_with(char::is_whitespace)
        && !text.chars().any(|c| needs_escape(c) || c == '\u{a0}')
        && !text.starts_with("---")
        && !text.starts_with("...")
        && !text.contains(": ")
        && !text.contains(" #")
        && !text.ends_with(':')
        && !(flow && (text.contains(is_bracket) || text.contains(":\"") || text.contains(":'")))
        && is_text_everywhere(text)
}

fn is_bracket(c: char) -> bool {
    matches!(c, ',' | '[' | ']' | '{' | '}')
}
