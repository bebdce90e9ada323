//! What a plain scalar means, by which YAML, and which texts must not be written plain.

/// What the YAML 1.2 core schema makes of a plain scalar.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Core {
    /// `null`, `~`, nothing.
    Null,
    /// `true`, `false`.
    Bool(bool),
    /// A number, the special floats included.
    Number,
    /// Anything else.
    Text,
}

/// Reads a plain scalar by the YAML 1.2 core schema.
pub fn core(text: &str) -> Core {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => Core::Null,
        "true" | "True" | "TRUE" => Core::Bool(true),
        "false" | "False" | "FALSE" => Core::Bool(false),
        _ if is_core_number(text) => Core::Number,
        _ => Core::Text,
    }
}

fn is_core_number(text: &str) -> bool {
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    if matches!(unsigned, ".inf" | ".Inf" | ".INF") || matches!(text, ".nan" | ".NaN" | ".NAN") {
        return true;
    }
    if let Some(hex) = text.strip_prefix("0x") {
        return all(hex, |b| b.is_ascii_hexdigit());
    }
    if let Some(octal) = text.strip_prefix("0o") {
        return all(octal, |b| matches!(b, b'0'..=b'7'));
    }
    is_decimal(unsigned)
}

/// `(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?`
pub(super) fn is_decimal(text: &str) -> bool {
    let (mantissa, exponent) = match text.find(['e', 'E']) {
        Some(at) => (&text[..at], Some(&text[at + 1..])),
        None => (text, None),
    };
    let exponent_ok = exponent.is_none_or(|e| {
        let digits = e.strip_prefix(['-', '+']).unwrap_or(e);
        all(digits, |b| b.is_ascii_digit())
    });
    let mantissa_ok = match mantissa.split_once('.') {
        Some(("", fraction)) => all(fraction, |b| b.is_ascii_digit()),
        Some((whole, fraction)) => {
            all(whole, |b| b.is_ascii_digit()) && fraction.bytes().all(|b| b.is_ascii_digit())
        }
        None => all(mantissa, |b| b.is_ascii_digit()),
    };
    exponent_ok && mantissa_ok
}

fn all(text: &str, test: impl Fn(u8) -> bool) -> bool {
    !text.is_empty() && text.bytes().all(test)
}

const WORDS: [&str; 21] = [
    "y", "n", "yes", "no", "on", "off", "true", "false", "null", "~", "=", "<<", ".nan", ".inf",
    "-.inf", "+.inf", "nan", "inf", "-inf", "+inf", "",
];

/// Whether every YAML reads this plain scalar as a text. Only such texts are written plain.
pub fn is_text_everywhere(text: &str) -> bool {
    let lower = text.to_ascii_lowercase();
    if core(text) != Core::Text || WORDS.contains(&lower.as_str()) {
        return false;
    }
    let unsigned = lower.strip_prefix(['-', '+']).unwrap_or(&lower);
    let bare: String = unsigned.chars().filter(|c| *c != '_').collect();
    if matches!(bare.as_str(), "0x" | "0o" | "0b") {
        return false;
    }
    !(numeric_start(text) && looks_numeric(text, &bare))
}

/// A digit, or a sign or dot with a digit, dot or underscore behind it.
fn numeric_start(text: &str) -> bool {
    let mut bytes = text.bytes();
    match bytes.next() {
        Some(b'0'..=b'9') => true,
        Some(b'-' | b'+' | b'.') => {
            matches!(bytes.next(), Some(b'0'..=b'9' | b'.' | b'_'))
        }
        _ => false,
    }
}

/// `bare` is lower case and has neither sign nor underscores.
fn looks_numeric(text: &str, bare: &str) -> bool {
    let only = |set: &[u8]| bare.bytes().all(|b| b.is_ascii_digit() || set.contains(&b));
    let binary = bare
        .strip_prefix("0b")
        .is_some_and(|b| b.bytes().all(|b| matches!(b, b'0' | b'1')));
    let octal = bare
        .strip_prefix("0o")
        .is_some_and(|o| o.bytes().all(|b| b.is_ascii_digit()));
    let hex = bare
        .strip_prefix("0x")
        .is_some_and(|h| h.bytes().all(|b| b.is_ascii_hexdigit()));
    let sexagesimal = bare.contains(':') && only(b":.,");
    let number_or_date = bare.matches('.').count() <= 1 && only(b".e+-,");
    is_core_number(bare)
        || binary
        || octal
        || hex
        || sexagesimal
        || number_or_date
        || is_timestamp_like(text)
}

fn is_timestamp_like(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.len() >= 8 && bytes.iter().take(4).all(u8::is_ascii_digit) && bytes.get(4) == Some(&b'-')
}

/// Whether two YAML readers may see different things in this plain scalar, or one of them a thing
/// that a person would not expect. Such a scalar is refused in a changed line.
pub fn is_ambiguous(text: &str) -> bool {
    if is_text_everywhere(text) {
        return false;
    }
    match core(text) {
        Core::Null | Core::Bool(_) => false,
        Core::Text => true,
        Core::Number => !is_clean_number(text),
    }
}

/// A decimal number without a superfluous zero, within what every reader holds.
fn is_clean_number(text: &str) -> bool {
    let unsigned = text.strip_prefix('-').unwrap_or(text);
    let whole = unsigned.split(['.', 'e', 'E']).next().unwrap_or_default();
    let octal_like = whole.len() > 1 && whole.starts_with('0');
    let in_range = if unsigned.bytes().all(|b| b.is_ascii_digit()) {
        text.parse::<i64>().is_ok()
    } else {
        text.parse::<f64>().is_ok_and(f64::is_finite)
    };
    is_decimal(unsigned) && !octal_like && in_range
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_texts_that_are_texts_for_all_are_written_plain() {
        for text in [
            "1.2.3",
            "v1",
            "500m",
            "1Gi",
            "nginx:1.0",
            "10.0.0.1",
            "a",
            "e",
            "-x",
            "0m",
        ] {
            assert!(is_text_everywhere(text), "{text}");
        }
        for text in [
            "",
            "1.10",
            "0755",
            "yes",
            "Y",
            "oN",
            "null",
            "~",
            "=",
            "<<",
            "1_000",
            "+1_",
            "+_1",
            "0o_7",
            "0X1F",
            "0O755",
            "0b101",
            "0x_",
            "1:30",
            "12:30:45",
            "2024-01-01",
            ".5",
            "1e3",
            "2024-01-01T00:00:00Z",
            ".inf",
            "-.INF",
            "NaN",
            "1,000",
            "0b",
            "1e",
            "08",
        ] {
            assert!(!is_text_everywhere(text), "{text}");
        }
    }

    #[test]
    fn ordinary_numbers_booleans_and_nulls_are_not_ambiguous() {
        for text in [
            "1", "-5", "0", "1.5", "0.5", "true", "False", "null", "", "web", "1e3",
        ] {
            assert!(!is_ambiguous(text), "{text}");
        }
        for text in [
            "yes",
            "0644",
            "00",
            "0o17",
            "0x1F",
            "1_000",
            "1:30",
            ".inf",
            "=",
            "2001-01-01",
            "9223372036854775808",
            "1e1000",
            "off",
            "0b1",
            "+1",
        ] {
            assert!(is_ambiguous(text), "{text}");
        }
    }
}
