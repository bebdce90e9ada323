//! Configuration in layers: defaults → the operator's file (`--config`) → `.github/kubemend.yaml` or
//! `.kubemend.yaml` of the repository → flags and environment → the operator's caps. Under each file
//! lies the preset that it extends.
//!
//! A manifest repository is untrusted input: it may tighten what the operator allows, never loosen
//! it. What decides where data goes or what is run (`model`, `renderer`) and the caps themselves
//! count only in the operator's file. The repository's file is read from the branch that pull
//! requests go to, never from a pull request.

use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::files::Files;
use crate::finding::Finding;
use crate::locate;
use crate::lock::Policy;
use crate::propose::ration::Budget;

mod caps;
mod check;
pub(crate) mod glob;
mod layers;
mod period;
mod presets;
pub mod rules;

pub use caps::Caps;
pub use check::{ConfigError, Problem};
pub use layers::{Loaded, Overrides};
pub use presets::Preset;
use rules::PathRule;
pub use rules::{BRANCH_PREFIX, Rules};

/// Names under which a repository keeps its configuration, the first that exists counts.
pub const REPOSITORY_FILES: [&str; 2] = [".github/kubemend.yaml", ".kubemend.yaml"];

/// What a repository starts with: the defaults, explained.
pub const STARTER: &str = include_str!("config/starter.yaml");

/// The version of the configuration's form.
pub const VERSION: u32 = 1;

/// All settings. Every key is optional.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Version of this form: 1.
    pub version: u32,
    /// A preset of kubemend; what the file itself says counts more.
    pub extends: Option<Preset>,
    /// Namespaces in which nothing is ever changed, beside `kube-*`. A repository adds to the
    /// operator's list (or the default one).
    pub protected_namespaces: Vec<String>,
    /// Whether a memory limit may be raised after an OOM kill (by 1.25 to 2 times).
    pub raise_memory: bool,
    /// What to do when a line feeds several environments: `overlay` writes into the environment's
    /// own overlay, `base` changes the line for all, `refuse` refuses.
    pub shared_base: SharedBase,
    /// Seconds that a state which heals by itself (Pending, not ready) may last before it counts.
    pub grace_seconds: u64,
    /// Pull requests and their life cycle.
    pub pull_requests: Rules,
    /// What is done differently for some findings. Of several that match, the last one that says
    /// something counts; the operator's come last.
    pub rules: Vec<PathRule>,
    /// Path of kustomize or kubectl; by default the first one on PATH. Operator's file only.
    pub renderer: Option<PathBuf>,
    /// `true`: a repository without configuration is asked by a pull request first, and nothing
    /// else is written there until it is merged. Operator's file of `serve` only.
    pub onboarding: bool,
    /// The language model; none by default. Operator's file only.
    pub model: Option<ModelConfig>,
    /// What a repository may not loosen. Operator's file only.
    pub caps: Caps,
}

/// What to do when a line feeds several environments, from loose to strict.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum SharedBase {
    /// The line itself, for all environments.
    Base,
    /// A new entry or patch in the environment's own overlay.
    #[default]
    Overlay,
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
    /// `serve`: the most calls in any 60 minutes, over all repositories.
    #[serde(default = "default_per_hour")]
    pub calls_per_hour: u32,
    /// `serve`: the most calls in any 24 hours, over all repositories.
    #[serde(default = "default_per_day")]
    pub calls_per_day: u32,
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

fn default_per_hour() -> u32 {
    100
}

fn default_per_day() -> u32 {
    1_000
}

impl ModelConfig {
    /// What `serve` may ask over all findings. A model that only flags name has the same.
    pub fn budget(model: Option<&Self>) -> Budget {
        Budget {
            per_hour: model.map_or_else(default_per_hour, |m| m.calls_per_hour),
            per_day: model.map_or_else(default_per_day, |m| m.calls_per_day),
        }
    }
}

impl Default for Config {
    fn default() -> Self {
        let policy = Policy::default();
        Self {
            version: VERSION,
            extends: None,
            protected_namespaces: policy.protected_namespaces,
            raise_memory: policy.raise_memory,
            shared_base: SharedBase::Overlay,
            grace_seconds: 120,
            pull_requests: Rules::default(),
            rules: Vec::new(),
            renderer: None,
            onboarding: false,
            model: None,
            caps: Caps::default(),
        }
    }
}

impl Config {
    /// Parses one configuration; `file` is for messages.
    pub fn parse(file: &str, text: &str) -> Result<Self, ConfigError> {
        check::read(file, text).and_then(|value| check::typed(file, text, &value))
    }

    /// What counts for a repository: see [`Loaded`], which also says what is odd.
    pub fn load(operator: Option<&Path>, files: &Files) -> Result<Self, ConfigError> {
        Ok(Loaded::read(operator, files, &Overrides::default())?.config)
    }

    /// Why a finding that is mended in these files is never proposed; `None` when it may be.
    pub fn ignored(&self, finding: &Finding, files: &[&str]) -> Option<String> {
        if let Some(entry) = self.pull_requests.ignored(finding) {
            return Some(because("`pull_requests.ignore`", entry.reason.as_deref()));
        }
        let says = |r: &&PathRule| r.ignore.is_some() && r.matches.covers(finding, files);
        let last = self.rules.iter().rfind(says)?;
        (last.ignore == Some(true)).then(|| because("`rules`", last.reason.as_deref()))
    }

    /// Whether the last of the `rules` that says something wants a draft for a finding that is
    /// mended in these files.
    pub fn is_draft(&self, finding: &Finding, files: &[&str]) -> bool {
        let says = |r: &&PathRule| r.draft.is_some() && r.matches.covers(finding, files);
        let last = self.rules.iter().rfind(says).and_then(|r| r.draft);
        last == Some(true)
    }

    /// The part that lock decides by, and how branches are named.
    pub fn policy(&self) -> Policy {
        Policy {
            protected_namespaces: self.protected_namespaces.clone(),
            raise_memory: self.raise_memory,
            branch_prefix: self.pull_requests.branch_prefix.clone(),
        }
    }

    /// The part that locate decides by.
    pub fn locate_policy(&self) -> locate::Policy {
        let shared_base = match self.shared_base {
            SharedBase::Overlay => locate::SharedBase::Overlay,
            SharedBase::Base => locate::SharedBase::Base,
            SharedBase::Refuse => locate::SharedBase::Refuse,
        };
        locate::Policy { shared_base }
    }

    /// The JSON schema of this file.
    pub fn schema() -> String {
        serde_json::to_string_pretty(&schema()).unwrap_or_default()
    }
}

fn slurp(path: &Path) -> Result<String, ConfigError> {
    let name = path.display().to_string();
    let unreadable =
        |e: &dyn std::fmt::Display| ConfigError::of(&name, format!("cannot be read: {e}"));
    let size = std::fs::metadata(path).map_err(|e| unreadable(&e))?.len();
    if size > layers::MAX_BYTES as u64 {
        return Err(unreadable(&"it is over 256 KiB"));
    }
    std::fs::read_to_string(path).map_err(|e| unreadable(&e))
}

fn schema() -> Value {
    schemars::schema_for!(Config).to_value()
}

fn because(key: &str, reason: Option<&str>) -> String {
    let said: String = reason.unwrap_or_default().chars().take(200).collect();
    let said = if said.is_empty() {
        said
    } else {
        format!(": {said}")
    };
    format!("{key} of the configuration says so{said}")
}

#[cfg(test)]
mod tests;
