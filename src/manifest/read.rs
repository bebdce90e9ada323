//! The typed reading: one slice as a JSON value, as near to the API server's reading as a crate
//! comes.
//!
//! This is the only module that knows the deserialiser.

use serde_json::Value;

use super::strip_bom;
use crate::code::{Code, Refusal};

/// The largest stream of documents that is read, in bytes. A cluster dump may be larger than any
/// manifest.
const MAX_STREAM: usize = 256 * 1024 * 1024;

/// Reads one slice. An empty document is null. Merge keys are expanded, duplicate keys an error.
pub fn read_value(slice: &str) -> Result<Value, Refusal> {
    limit(slice, super::MAX_BYTES)?;
    read(slice)
}

/// Reads every document of a YAML text, empty ones left out; an error says the line.
pub fn read_stream(text: &str) -> Result<Vec<Value>, String> {
    limit(text, MAX_STREAM).map_err(|r| r.message)?;
    let read_one = |slice: super::Slice| {
        read(slice.of(text)).map_err(|r| {
            // a real dump can outgrow the YAML budget; JSON has no aliases and needs none
            let large = r.code == Code::InputTooLarge;
            let hint = if large {
                "; if this is a real dump, write it with -o json"
            } else {
                ""
            };
            format!("document at line {}: {}{hint}", slice.line, r.message)
        })
    };
    let values = super::split(text).into_iter().map(read_one);
    values.filter(|v| !matches!(v, Ok(Value::Null))).collect()
}

fn limit(text: &str, bytes: usize) -> Result<(), Refusal> {
    if text.len() <= bytes {
        return Ok(());
    }
    let message = format!("the text is over {} MB", bytes / 1024 / 1024);
    Err(Refusal::new(Code::InputTooLarge, message))
}

fn read(slice: &str) -> Result<Value, Refusal> {
    serde_saphyr::from_str_with_options(strip_bom(slice), options()).map_err(|e| explain(slice, &e))
}

fn options() -> serde_saphyr::Options {
    serde_saphyr::options! {
        // `defaultMode: 0400` is 256 for Kubernetes.
        legacy_octal_numbers: true,
        emit_comments: false,
        with_snippet: false,
        budget: serde_saphyr::budget! {
            max_nodes: 2_000_000,
            // 128 levels overflow the 2 MB stack of a worker thread in an unoptimised build.
            max_depth: 96,
            max_events: 8_000_000,
            max_anchors: 100_000,
        },
    }
}

fn explain(slice: &str, error: &serde_saphyr::Error) -> Refusal {
    let message = error.to_string();
    let code = match error {
        serde_saphyr::Error::DuplicateMappingKey { .. } => Code::DuplicateKeys,
        serde_saphyr::Error::Budget { .. } => Code::InputTooLarge,
        _ if slice.contains("{{") => Code::Templated,
        // the Go reader takes a quoted text at any indentation
        _ if message.contains("in multiline quoted scalar") => Code::ReadersDisagree,
        _ => Code::NotYaml,
    };
    Refusal::new(code, message)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use serde_json::json;

    #[test]
    fn values_are_read_as_kubernetes_reads_them() {
        let source = "\u{feff}a: 0400\nb: yes\nc: 1_000\nd: &x {e: 1}\nf: {<<: *x}\n";
        let wanted = json!({"a": 256, "b": true, "c": 1000, "d": {"e": 1}, "f": {"e": 1}});
        assert_eq!(read_value(source).unwrap(), wanted);
    }

    #[test]
    fn empty_documents_are_null() {
        for empty in ["", "# c\n", "---\n", "--- # c\n", "---\n# c\n...\n"] {
            assert_eq!(read_value(empty).unwrap(), Value::Null, "{empty:?}");
        }
        assert_eq!(read_value("a: 1\n...\n# c\n").unwrap(), json!({"a": 1}));
    }

    #[test]
    fn refusals_carry_their_code() {
        let code = |source: &str| read_value(source).unwrap_err().code;
        assert_eq!(code("a: 1\na: 2\n"), Code::DuplicateKeys);
        assert_eq!(code("a:\n\tb: 1\n"), Code::NotYaml);
        assert_eq!(code("a: {{ .x }}\n"), Code::Templated);
        assert_eq!(code("a:\n  b: 'x\n  y\n'\n"), Code::ReadersDisagree);
        assert_eq!(
            code(&("[".repeat(200) + &"]".repeat(200))),
            Code::InputTooLarge
        );
    }
}
