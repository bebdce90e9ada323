//! Sets of settings with a name, for `extends:`. They come with kubemend: nothing is fetched. Pure.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{ConfigError, check};

/// A preset. Its settings lie under those of the file that extends it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Preset {
    /// Few pull requests, each a draft; no memory is raised, and no shared line is changed.
    #[serde(rename = "kubemend:careful")]
    Careful,
    /// No pull request and no question: only the dashboard tells.
    #[serde(rename = "kubemend:observe")]
    Observe,
}

impl Preset {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Careful, Self::Observe];

    /// The settings, as a repository could write them.
    pub fn text(self) -> &'static str {
        match self {
            Self::Careful => include_str!("presets/careful.yaml"),
            Self::Observe => include_str!("presets/observe.yaml"),
        }
    }
}

/// The settings of the preset that a file extends, if it extends one; the file was checked.
pub(super) fn below(file: &Value) -> Result<Option<Value>, ConfigError> {
    let Some(name) = file.get("extends") else {
        return Ok(None);
    };
    let preset =
        Preset::deserialize(name).map_err(|e| ConfigError::of("extends", e.to_string()))?;
    check::read("preset", preset.text()).map(Some)
}
