//! `kubemend config`.

use crate::cli::ConfigCommand;
use crate::commands::Failure;
use crate::config::Config;
use crate::files::Files;
use crate::repo::Checkout;
use crate::terminal;

pub(super) fn run(command: &ConfigCommand) -> Result<u8, Failure> {
    match command {
        ConfigCommand::Check { file } => {
            Config::load(Some(file), &Files::default())?;
            terminal::out(&format!("{}: fine\n", file.display()));
        }
        ConfigCommand::Schema => terminal::out(&(Config::schema() + "\n")),
        ConfigCommand::Print { repo, config } => {
            let checkout = Checkout::open(repo)?;
            let config = Config::load(config.as_deref(), &checkout.files)?;
            // printed as JSON, which is YAML too
            terminal::out(
                &(serde_json::to_string_pretty(&config)
                    .map_err(|e| Failure::Input(e.to_string()))?
                    + "\n"),
            );
        }
    }
    Ok(0)
}
