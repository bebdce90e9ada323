//! Builds the proposer that the user chose.

use std::path::PathBuf;
use std::time::Duration;

use crate::cli::{ProposerArgs, ProposerChoice};
use crate::commands::Failure;
use crate::config::Config;
use crate::evidence::redact::Secret;
use crate::propose::chain::{Chain, Obeying};
use crate::propose::llm::{Model, Settings, Tape};
use crate::propose::ration::Ration;
use crate::propose::{Playbook, Proposer};

/// What the user chose, from any command.
pub(super) struct Chosen {
    pub(super) who: ProposerChoice,
    pub(super) model: Option<String>,
    pub(super) base_url: Option<String>,
    pub(super) record: Option<PathBuf>,
    pub(super) replay: Option<PathBuf>,
    /// What may be asked over all findings.
    pub(super) ration: Option<Ration>,
}

impl Chosen {
    pub(super) fn from_fix(args: &ProposerArgs) -> Self {
        Self {
            who: args.proposer,
            model: args.model.clone(),
            base_url: args.base_url.clone(),
            record: args.record.clone(),
            replay: args.replay.clone(),
            ration: None,
        }
    }
}

/// Whoever is asked, the configuration's `ignore` and `rules` count first.
pub(super) fn choose(chosen: &Chosen, config: &Config) -> Result<Box<dyn Proposer>, Failure> {
    let inner = unfiltered(chosen, config)?;
    let config = config.clone();
    Ok(Box::new(Obeying { inner, config }))
}

fn unfiltered(chosen: &Chosen, config: &Config) -> Result<Box<dyn Proposer>, Failure> {
    let model = || settings(chosen, config).map(|s| s.map(Model::new));
    match chosen.who {
        ProposerChoice::Playbook => Ok(Box::new(Playbook)),
        ProposerChoice::Both => Ok(match model()? {
            Some(model) => Box::new(Chain(vec![Box::new(Playbook), Box::new(model)])),
            None => Box::new(Playbook),
        }),
        ProposerChoice::Model => match model()? {
            Some(model) => Ok(Box::new(model)),
            None => Err(Failure::Input(
                "no model is configured: set --model and --base-url, or `model` in --config"
                    .to_owned(),
            )),
        },
    }
}

/// The settings of the model; none where no model is named.
fn settings(chosen: &Chosen, config: &Config) -> Result<Option<Settings>, Failure> {
    let configured = config.model.as_ref();
    let Some(model) = chosen.model.clone().or(configured.map(|m| m.name.clone())) else {
        return Ok(None);
    };
    let variable = configured.map_or("OPENAI_API_KEY", |m| m.api_key_env.as_str());
    let key = key(variable)?;
    let default = Settings::default();
    let named = chosen.base_url.clone();
    let base_url = named.or(configured.map(|m| m.base_url.clone()));
    // Without a key there is no default endpoint; a tape needs none.
    let base_url = base_url.unwrap_or(if key.is_empty() {
        String::new()
    } else {
        default.base_url.clone()
    });
    let tape = match (&chosen.record, &chosen.replay) {
        (Some(directory), _) => Tape::Record(directory.clone()),
        (_, Some(directory)) => Tape::Replay(directory.clone()),
        _ => Tape::Off,
    };
    Ok(Some(Settings {
        base_url,
        key,
        model,
        schema_mode: configured.map(|m| m.schema_mode).unwrap_or_default(),
        timeout: configured.map_or(default.timeout, |m| Duration::from_secs(m.timeout_seconds)),
        tape,
        ration: chosen.ration.clone(),
        ..default
    }))
}

/// The key: from a variable, or from the file that `<variable>_FILE` names.
fn key(variable: &str) -> Result<Secret, Failure> {
    if let Ok(key) = std::env::var(variable) {
        return Ok(Secret::new(&key));
    }
    let Ok(path) = std::env::var(format!("{variable}_FILE")) else {
        return Ok(Secret::default());
    };
    let key = std::fs::read_to_string(&path)
        .map_err(|e| Failure::Input(format!("{variable}_FILE: {path}: {e}")))?;
    Ok(Secret::new(&key))
}
