//! The commands: each resolves what the user typed, calls the library, and prints.

use std::process::ExitCode;

use crate::cli::{Cli, Command};
use crate::terminal;

mod action;
mod config;
mod crd;
mod demo;
mod eval;
mod explain;
mod fix;
mod forge;
mod live;
mod locate;
mod pass;
mod proposer;
mod rollback;
mod scan;
mod serve;
mod session;

/// How a command failed, and with which exit code.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// Usage, configuration, or unusable input: exit code 2.
    #[error("{0}")]
    Input(String),
    /// Infrastructure does not answer: exit code 3.
    #[error("{0}")]
    Infrastructure(String),
}

impl Failure {
    fn code(&self) -> u8 {
        match self {
            Self::Input(_) => 2,
            Self::Infrastructure(_) => 3,
        }
    }
}

macro_rules! unusable {
    ($($error:ty),+) => { $(impl From<$error> for Failure { fn from(e: $error) -> Self { Self::Input(e.to_string()) } })+ };
}
unusable!(
    crate::dump::DumpError,
    crate::repo::RepoError,
    crate::config::ConfigError,
    crate::render::RenderError,
    crate::eval::EvalError
);

/// Runs what the user typed.
pub fn main(cli: Cli) -> ExitCode {
    terminal::choose_color(cli.color);
    let progress = terminal::Progress::new(cli.quiet);
    let done = match cli.command {
        Command::Fix(args) => fix::run(&args, progress),
        Command::Scan(args) => scan::run(&args, progress),
        Command::Action(args) => action::run(&args),
        Command::Serve(args) => serve::run(args),
        Command::Rollback(args) => rollback::run(&args),
        Command::Locate(args) => locate::run(&args),
        Command::Eval(args) => eval::run(&args, progress),
        Command::Demo(args) => demo::run(&args),
        Command::Explain(args) => explain::run(&args),
        Command::Config(command) => config::run(&command),
        Command::Crd => crd::run(),
        Command::Completions { shell } => Ok(explain::completions(shell)),
    };
    match done {
        Ok(code) => ExitCode::from(code),
        Err(failure) => {
            terminal::error(&failure.to_string());
            ExitCode::from(failure.code())
        }
    }
}
