//! Builds the proposer that the user chose.

use std::path::PathBuf;

use crate::cli::{ProposerArgs, ProposerChoice};
use crate::commands::Failure;
use crate::config::Config;
use crate::propose::{Playbook, Proposer};

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
}

pub(super) fn choose(chosen: &Chosen, config: &Config) -> Result<Box<dyn Proposer>, Failure> {
    let wants_model = chosen.model.is_some() || config.model.is_some();
    match chosen.who {
        ProposerChoice::Playbook => Ok(Box::new(Playbook)),
        ProposerChoice::Both if !wants_model => Ok(Box::new(Playbook)),
        _ => Err(Failure::Input(
            "no model is configured: set --model and --base-url, or `model` in --config".to_owned(),
        )),
    }
}
