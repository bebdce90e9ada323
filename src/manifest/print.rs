//! Values of our own as YAML, for files that are generated. What was read is never written this way.

use serde_json::Value;

/// The value as one YAML document.
pub fn yaml(value: &Value) -> Result<String, String> {
    serde_saphyr::to_string(value).map_err(|e| e.to_string())
}
