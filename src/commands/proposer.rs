//! Builds the proposer that the user chose.

use std::path::PathBuf;
use std::time::Duration;

use crate::case::Case;
use crate::cli::{Eval, ProposerArgs, ProposerChoice};
use crate::commands::Failure;
use crate::config::{Config, ModelConfig, SchemaMode};
use crate::evidence::Evidence;
use crate::evidence::redact::Secret;
use crate::propose::chain::Chain;
use crate::propose::llm::{Model, Settings, Tape};
use crate::propose::{Playbook, ProposeError, Proposed, Proposer};

/// What the user chose, from any command.
pub(super) struct Chosen {
    pub(super) who: ProposerChoice,
    pub(super) model: Option<String>,
    pub(super) base_url: Option<String>,
    pub(super) record: Option<PathBuf>,
    pub(super) replay: Option<PathBuf>,
}

impl Chosen {
    pub(super) fn from_fix(args: &ProposerArgs) -> Self {
        Self {
            who: args.proposer,
            model: args.model.clone(),
            base_url: args.base_url.clone(),
            record: args.record.clone(),
            replay: args.replay.clone(),
        }
    }

    pub(super) fn from_eval(args: &Eval) -> Self {
        Self {
            who: ProposerChoice::Model,
            model: args.model.clone(),
            base_url: args.base_url.clone(),
            record: args.record.clone(),
            replay: args.replay.clone(),
        }
    }
}

/// The playbook first, then the model.
struct Both {
    model: Model,
}

impl Proposer for Both {
    fn propose(
        &self,
        case: &Case<'_>,
        evidence: &Evidence,
        feedback: &[String],
    ) -> Result<Proposed, ProposeError> {
        let both: Vec<&dyn Proposer> = vec![&Playbook, &self.model];
        Chain(both).propose(case, evidence, feedback)
    }
}

pub(super) fn choose(chosen: &Chosen, config: &Config) -> Result<Box<dyn Proposer>, Failure> {
    let model = model(chosen, config)?;
    match (chosen.who, model) {
        (ProposerChoice::Playbook, _) | (ProposerChoice::Both, None) => Ok(Box::new(Playbook)),
        (ProposerChoice::Both, Some(model)) => Ok(Box::new(Both { model })),
        (ProposerChoice::Model, Some(model)) => Ok(Box::new(model)),
        (ProposerChoice::Model, None) => {
            let message = "no model is configured: set --model (and --base-url or --replay), or `model` in the file given with --config";
            Err(Failure::Input(message.to_owned()))
        }
    }
}

fn model(chosen: &Chosen, config: &Config) -> Result<Option<Model>, Failure> {
    let configured = config.model.as_ref();
    let name = chosen
        .model
        .clone()
        .or_else(|| configured.map(|m| m.name.clone()));
    let name = name.or_else(|| chosen.replay.as_ref().map(|_| "replay".to_owned()));
    let Some(name) = name else { return Ok(None) };
    let key_env = configured.map_or("OPENAI_API_KEY", |m| m.api_key_env.as_str());
    let tape = match (&chosen.record, &chosen.replay) {
        (_, Some(replay)) => Tape::Replay(replay.clone()),
        (Some(record), None) => Tape::Record(record.clone()),
        (None, None) => Tape::Off,
    };
    let defaults = Settings::default();
    let base_url = chosen
        .base_url
        .clone()
        .or_else(|| configured.map(|m| m.base_url.clone()));
    let settings = Settings {
        base_url: base_url.unwrap_or_else(|| defaults.base_url.clone()),
        key: Secret::new(&std::env::var(key_env).unwrap_or_default()),
        model: name,
        schema_mode: configured.map_or(SchemaMode::Strict, |m: &ModelConfig| m.schema_mode),
        timeout: configured.map_or(defaults.timeout, |m| Duration::from_secs(m.timeout_seconds)),
        tape,
        ..defaults
    };
    if let Some(replay) = chosen.replay.as_ref().filter(|r| !r.is_dir()) {
        return Err(Failure::Input(format!(
            "{}: no such folder of recorded answers",
            replay.display()
        )));
    }
    Ok(Some(Model::new(settings)))
}
