//! YAML files as documents with byte spans: splitting, identity, trees. Pure.

use serde_json::Value;

/// Reads every document of a YAML text; an error says the line.
pub fn read_stream(text: &str) -> Result<Vec<Value>, String> {
    serde_saphyr::from_multiple(text.trim_start_matches('\u{feff}')).map_err(|e| e.to_string())
}
