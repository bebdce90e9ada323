//! Configuration: `.github/kubemend.yaml` or `.kubemend.yaml` of the repository, and the operator's
//! own file (`--config`), which may set more.
//!
//! What decides where data goes or what is run (`model`, `renderer`) counts only in the operator's
//! file: a manifest repository is untrusted input.

use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::files::Files;
use crate::locate;
use crate::lock::Policy;

pub mod rules;

pub use rules::Rules;

/// Names under which a repository keeps its configuration, the first that exists counts.
pub const REPOSITORY_FILES: [&str; 2] = [".github/kubemend.yaml", ".kubemend.yaml"];

/// All settings. Every key is optional.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Namespaces in which nothing is ever changed, beside `kube-*`.
    pub protected_namespaces: Vec<String>,
    /// Whether a memory limit may be raised after an OOM kill (by 1.25 to 2 times).
    pub raise_memory: bool,
    /// What to do when a line feeds several environments: `overlay` writes into the environment's
    /// own overlay, `base` changes the line for all, `refuse` refuses.
    pub shared_base: SharedBase,
    /// Seconds that a state which heals by itself (Pending, not ready) may last before it counts.
    pub grace_seconds: u64,
    /// Path of kustomize or kubectl; by default the first one on PATH. Operator's file only.
    pub renderer: Option<PathBuf>,
    /// The language model; none by default. Operator's file only.
    pub model: Option<ModelConfig>,
    /// Pull requests and their life cycle.
    pub pull_requests: Rules,
}

/// What to do when a line feeds several environments.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum SharedBase {
    /// A new entry or patch in the environment's own overlay.
    #[default]
    Overlay,
    /// The line itself, for all environments.
    Base,
    /// A refusal that lists the environments.
    Refuse,
}

/// An OpenAI-compatible endpoint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ModelConfig {
    /// Name of the model.
    pub name: String,
    /// Base URL, ending before `/chat/completions`.
    pub base_url: String,
    /// Name of the environment variable that holds the key.
    #[serde(default = "default_key_env")]
    pub api_key_env: String,
    /// How the answer's schema is sent.
    #[serde(default)]
    pub schema_mode: SchemaMode,
    /// Seconds to wait for one answer.
    #[serde(default = "default_timeout")]
    pub timeout_seconds: u64,
}

/// How the answer's schema is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SchemaMode {
    /// `json_schema`, strict: OpenAI, Azure.
    #[default]
    Strict,
    /// `json_schema` without the strict promise: Ollama, vLLM, Gemini.
    JsonSchema,
    /// `json_object`, the schema in the prompt.
    JsonObject,
    /// No response format, the schema in the prompt.
    Prompt,
}

fn default_key_env() -> String {
    "OPENAI_API_KEY".to_owned()
}

fn default_timeout() -> u64 {
    60
}

impl Default for Config {
    fn default() -> Self {
        let policy = Policy::default();
        Self {
            protected_namespaces: policy.protected_namespaces,
            raise_memory: policy.raise_memory,
            shared_base: SharedBase::Overlay,
            grace_seconds: 120,
            renderer: None,
            model: None,
            pull_requests: Rules::default(),
        }
    }
}

/// A configuration that cannot be used: file, key and reason.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{file}: {message}")]
pub struct ConfigError {
    /// The file.
    pub file: String,
    /// What is wrong.
    pub message: String,
}

impl Config {
    /// Parses a configuration; `file` is for messages.
    pub fn parse(file: &str, text: &str) -> Result<Self, ConfigError> {
        let error = |message: String| ConfigError {
            file: file.to_owned(),
            message,
        };
        let mut values = crate::manifest::read_stream(text).map_err(error)?;
        if values.len() > 1 {
            return Err(error("a configuration is one document".to_owned()));
        }
        match values.pop().unwrap_or(Value::Null) {
            Value::Null => Ok(Self::default()),
            value => serde_json::from_value(value).map_err(|e| error(e.to_string())),
        }
    }

    /// The operator's file where given, else the repository's, else the defaults.
    pub fn load(operator: Option<&Path>, files: &Files) -> Result<Self, ConfigError> {
        if let Some(path) = operator {
            let name = path.display().to_string();
            let text = std::fs::read_to_string(path).map_err(|e| ConfigError {
                file: name.clone(),
                message: format!("cannot be read: {e}"),
            })?;
            return Self::parse(&name, &text);
        }
        let found = REPOSITORY_FILES
            .iter()
            .find_map(|name| files.get(name).map(|bytes| (*name, bytes)));
        let Some((name, bytes)) = found else {
            return Ok(Self::default());
        };
        let config = Self::parse(name, &String::from_utf8_lossy(bytes))?;
        if config.model.is_some() || config.renderer.is_some() {
            let message = "`model` and `renderer` decide where data goes and what is run; they count only in the operator's file (--config)";
            return Err(ConfigError {
                file: name.to_owned(),
                message: message.to_owned(),
            });
        }
        Ok(config)
    }

    /// The part that lock decides by.
    pub fn policy(&self) -> Policy {
        Policy {
            protected_namespaces: self.protected_namespaces.clone(),
            raise_memory: self.raise_memory,
        }
    }

    /// The part that locate decides by.
    pub fn locate_policy(&self) -> locate::Policy {
        match self.shared_base {
            SharedBase::Overlay => locate::Policy {
                shared_base: locate::SharedBase::Overlay,
            },
            SharedBase::Base => locate::Policy {
                shared_base: locate::SharedBase::Base,
            },
            SharedBase::Refuse => locate::Policy {
                shared_base: locate::SharedBase::Refuse,
            },
        }
    }

    /// The JSON schema of this file.
    pub fn schema() -> String {
        let schema = schemars::schema_for!(Self);
        serde_json::to_string_pretty(&schema).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::collections::BTreeMap;

    #[test]
    fn an_unknown_key_names_itself() {
        let error = Config::parse("k.yaml", "raise_memroy: false\n")
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("k.yaml") && error.contains("raise_memroy"),
            "{error}"
        );
        assert!(
            !Config::parse("k.yaml", "raise_memory: false\n")
                .unwrap()
                .raise_memory
        );
        assert_eq!(
            Config::parse("k.yaml", "# nothing\n").unwrap(),
            Config::default()
        );
    }

    #[test]
    fn a_repository_cannot_choose_model_or_renderer() {
        for text in [
            "renderer: ./evil\n",
            "model: {name: m, base_url: http://evil}\n",
        ] {
            let files = Files {
                by_path: BTreeMap::from([(".kubemend.yaml".to_owned(), text.as_bytes().to_vec())]),
            };
            assert!(
                Config::load(None, &files)
                    .unwrap_err()
                    .message
                    .contains("--config")
            );
        }
    }
}
