//! The second reading of the proof: another scanner's opinion.
//!
//! This is the only module that knows it.

use serde_json::Number;
use serde_yaml::Value;

use super::model::Model;
use crate::code::{Code, Refusal};
use crate::manifest::strip_bom;

/// Reads one slice that the first reader has accepted: this one needs very long for some hostile
/// texts that the first one refuses at once.
pub(super) fn read(slice: &str) -> Result<Model, Refusal> {
    let value: Value =
        serde_yaml::from_str(strip_bom(slice)).map_err(|e| explain(&e.to_string()))?;
    Ok(model(value))
}

/// The one spelling of a number in this reading.
pub(super) fn spell(number: &Number) -> String {
    match (number.as_i64(), number.as_u64()) {
        (Some(n), _) => n.to_string(),
        (_, Some(n)) => n.to_string(),
        _ => format!("{:?}", number.as_f64().unwrap_or(f64::NAN)),
    }
}

fn explain(message: &str) -> Refusal {
    let code = match message {
        m if m.contains("recursion limit") || m.contains("repetition limit") => Code::InputTooLarge,
        _ => Code::ReadersDisagree,
    };
    Refusal::new(
        code,
        format!("the second YAML reader refuses the document: {message}"),
    )
}

fn model(value: Value) -> Model {
    match value {
        Value::Null => Model::Null,
        Value::Bool(b) => Model::Bool(b),
        Value::Number(n) => Model::Number(match (n.as_i64(), n.as_u64()) {
            (Some(n), _) => n.to_string(),
            (_, Some(n)) => n.to_string(),
            _ => format!("{:?}", n.as_f64().unwrap_or(f64::NAN)),
        }),
        Value::String(s) => Model::Text(s),
        Value::Sequence(items) => Model::Seq(items.into_iter().map(model).collect()),
        Value::Mapping(map) => Model::Map {
            entries: map.into_iter().map(|(k, v)| (model(k), model(v))).collect(),
            planned: false,
        },
        Value::Tagged(tagged) => {
            Model::Tagged(tagged.tag.to_string(), Box::new(model(tagged.value)))
        }
    }
}
