//! Puts the layers together. Lists of what must not happen add up; everything else is replaced by
//! the later layer, and the caps count last.

use std::path::Path;

use serde_json::{Map, Value};

use super::rules::Draft;
use super::{Config, ConfigError, REPOSITORY_FILES, caps, check, presets};
use crate::files::Files;

/// The largest configuration file, in bytes.
pub(super) const MAX_BYTES: usize = 256 << 10;
/// The most near misses that are told.
const MAX_NEAR_MISSES: usize = 5;

/// What counts for a repository, and what is odd about it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Loaded {
    /// What counts.
    pub config: Config,
    /// The file of the repository that was read.
    pub file: Option<String>,
    /// What a person should know: files that are not read, values over a cap. One sentence each.
    pub notes: Vec<String>,
}

/// What flags and variables say; the caps still count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Overrides {
    /// For `pull_requests.max_open_prs`.
    pub max_open_prs: Option<u32>,
    /// For `pull_requests.draft`.
    pub draft: Option<Draft>,
}

/// Keys that only the operator may set, and why.
const OPERATOR_ONLY: [&str; 4] = ["model", "renderer", "onboarding", "caps"];

/// Lists that add up over the layers, as JSON pointers.
const ADDITIVE: [&str; 4] = [
    "/protected_namespaces",
    "/pull_requests/paused_namespaces",
    "/pull_requests/ignore",
    "/pull_requests/prefix_old",
];

impl Loaded {
    /// The operator's file where given, then the repository's, then what flags say.
    pub fn read(
        operator: Option<&Path>,
        files: &Files,
        overrides: &Overrides,
    ) -> Result<Self, ConfigError> {
        let operator = match operator {
            Some(path) => Some((path.display().to_string(), super::slurp(path)?)),
            None => None,
        };
        let operator = operator.as_ref().map(|(n, t)| (n.as_str(), t.as_str()));
        Self::of(operator, files, overrides)
    }

    /// As [`Self::read`], from texts.
    pub fn of(
        operator: Option<(&str, &str)>,
        files: &Files,
        overrides: &Overrides,
    ) -> Result<Self, ConfigError> {
        let mut notes = near_misses(files);
        let mut value = operator_layer(operator)?;
        let found = REPOSITORY_FILES
            .iter()
            .find_map(|name| files.get(name).map(|bytes| (*name, bytes)));
        let mut file = None;
        if let Some((name, bytes)) = found {
            value = overlay(value, repository_layer(name, bytes)?);
            file = Some(name.to_owned());
        }
        let where_ = file.as_deref().unwrap_or("configuration");
        let mut config = check::typed(where_, "", &value)?;
        overrides.apply(&mut config);
        notes.extend(caps::tighten(&mut config));
        Ok(Self {
            config,
            file,
            notes,
        })
    }
}

impl Overrides {
    fn apply(&self, config: &mut Config) {
        let rules = &mut config.pull_requests;
        rules.max_open_prs = self.max_open_prs.unwrap_or(rules.max_open_prs);
        rules.draft = self.draft.unwrap_or(rules.draft);
    }
}

/// Defaults, and the operator's file over them, inside its own caps.
fn operator_layer(operator: Option<(&str, &str)>) -> Result<Value, ConfigError> {
    let defaults = serde_json::to_value(Config::default()).unwrap_or_default();
    let Some((name, text)) = operator else {
        return Ok(defaults);
    };
    let value = check::read(name, text)?;
    check::typed(name, text, &value)?;
    let value = on_preset(value)?;
    let mut config = check::typed(name, text, &replaced(defaults, value))?;
    // not told: nobody asked for more
    caps::tighten(&mut config);
    serde_json::to_value(config).map_err(|e| ConfigError::of(name, e.to_string()))
}

fn repository_layer(name: &str, bytes: &[u8]) -> Result<Value, ConfigError> {
    if bytes.len() > MAX_BYTES {
        return Err(ConfigError::of(name, "a configuration is at most 256 KiB"));
    }
    let text = std::str::from_utf8(bytes).map_err(|_| ConfigError::of(name, "not UTF-8"))?;
    let value = check::read(name, text)?;
    check::typed(name, text, &value)?;
    let forbidden = OPERATOR_ONLY.iter().filter(|key| value.get(key).is_some());
    let problems: Vec<_> = forbidden
        .map(|key| {
            let message = format!(
                "`{key}` counts only in the operator's file (--config): it decides where data goes, what is run, or what a repository may do"
            );
            check::at_key(text, &format!("/{key}"), message)
        })
        .collect();
    match problems.is_empty() {
        true => on_preset(value),
        false => Err(ConfigError {
            file: name.to_owned(),
            problems,
        }),
    }
}

/// A file over the preset that it extends.
fn on_preset(file: Value) -> Result<Value, ConfigError> {
    Ok(match presets::below(&file)? {
        Some(preset) => replaced(preset, file),
        None => file,
    })
}

/// The later layer replaces values and lists; mappings are merged.
fn replaced(below: Value, above: Value) -> Value {
    match (below, above) {
        (Value::Object(mut below), Value::Object(above)) => {
            for (key, value) in above {
                let old = below.get(&key).cloned().unwrap_or_default();
                below.insert(key, replaced(old, value));
            }
            Value::Object(below)
        }
        (_, above) => above,
    }
}

/// The repository over the operator: what must not happen adds up, and off stays off.
fn overlay(operator: Value, repository: Value) -> Value {
    let mut out = replaced(operator.clone(), repository.clone());
    for pointer in ADDITIVE {
        add_up(&mut out, &operator, &repository, pointer, false);
    }
    // the last rule that matches counts, so the operator's come last
    add_up(&mut out, &operator, &repository, "/rules", true);
    if operator.pointer("/pull_requests/enabled") == Some(&Value::Bool(false)) {
        put(&mut out, "/pull_requests/enabled", Value::Bool(false));
    }
    out
}

fn add_up(
    out: &mut Value,
    operator: &Value,
    repository: &Value,
    pointer: &str,
    operator_last: bool,
) {
    let list = |v: &Value| {
        v.pointer(pointer)
            .and_then(Value::as_array)
            .cloned()
            .unwrap_or_default()
    };
    let (first, second) = if operator_last {
        (list(repository), list(operator))
    } else {
        (list(operator), list(repository))
    };
    let mut all: Vec<Value> = Vec::new();
    for item in first.into_iter().chain(second) {
        if operator_last || !all.contains(&item) {
            all.push(item);
        }
    }
    put(out, pointer, Value::Array(all));
}

fn put(out: &mut Value, pointer: &str, value: Value) {
    let mut at = out;
    for key in pointer.split('/').skip(1) {
        if !at.is_object() {
            *at = Value::Object(Map::new());
        }
        let Value::Object(map) = at else { return };
        at = map.entry(key).or_insert(Value::Null);
    }
    *at = value;
}

/// Files that look like a configuration and are not read.
fn near_misses(files: &Files) -> Vec<String> {
    let mut notes = Vec::new();
    if REPOSITORY_FILES
        .iter()
        .all(|name| files.get(name).is_some())
    {
        let [counts, other] = REPOSITORY_FILES;
        notes.push(format!(
            "both {counts} and {other} exist; only {counts} is read"
        ));
    }
    let missed = files.by_path.keys().filter(|path| is_near_miss(path));
    notes.extend(missed.take(MAX_NEAR_MISSES).map(|path| {
        let path: String = path.chars().take(100).collect();
        format!(
            "{path} is not read; the configuration is {}",
            REPOSITORY_FILES.join(" or ")
        )
    }));
    notes
}

fn is_near_miss(path: &str) -> bool {
    let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
    if REPOSITORY_FILES.contains(&path)
        || !["", ".github", ".github/workflows", ".kubemend"].contains(&folder)
    {
        return false;
    }
    let name = name.to_ascii_lowercase();
    let Some((stem, ending)) = name.rsplit_once('.') else {
        return false;
    };
    let stem = stem.trim_start_matches('.');
    let named = matches!(
        stem,
        "kubemend" | "kubemend.config" | "kube-mend" | "kubemendrc" | "config" | "kubemend-config"
    );
    // a workflow that is called kubemend.yaml is a workflow
    let elsewhere = folder == ".github/workflows" || (stem == "config" && folder != ".kubemend");
    named && !elsewhere && ["yaml", "yml", "toml", "json", "json5"].contains(&ending)
}
