//! `kubemend config`.

use std::path::Path;

use crate::cli::ConfigCommand;
use crate::commands::Failure;
use crate::config::{Config, Loaded, Overrides};
use crate::files::Files;
use crate::repo::Checkout;
use crate::terminal;

pub(super) fn run(command: &ConfigCommand) -> Result<u8, Failure> {
    match command {
        ConfigCommand::Check {
            file: Some(file), ..
        } => {
            // as the operator's file, which may hold every key
            Config::load(Some(file), &Files::default())?;
            terminal::out(&format!("{}: fine\n", file.display()));
        }
        ConfigCommand::Check {
            repo,
            config,
            strict,
            ..
        } => {
            let loaded = load(repo, config.as_deref())?;
            if *strict && !loaded.notes.is_empty() {
                return Err(Failure::Input("--strict: there are remarks".to_owned()));
            }
            let file = loaded.file.as_deref();
            terminal::out(&format!(
                "{}\n",
                file.map_or_else(
                    || "there is no configuration; the defaults count".to_owned(),
                    |f| format!("{f}: fine")
                )
            ));
        }
        ConfigCommand::Schema => terminal::out(&(Config::schema() + "\n")),
        ConfigCommand::Print { repo, config } => {
            let config = load(repo, config.as_deref())?.config;
            // printed as JSON, which is YAML too
            let json = serde_json::to_string_pretty(&config);
            terminal::out(&(json.map_err(|e| Failure::Input(e.to_string()))? + "\n"));
        }
    }
    Ok(0)
}

fn load(repo: &Path, config: Option<&Path>) -> Result<Loaded, Failure> {
    let checkout = Checkout::open(repo)?;
    let loaded = Loaded::read(config, &checkout.files, &Overrides::default())?;
    for note in &loaded.notes {
        terminal::note(note);
    }
    Ok(loaded)
}
