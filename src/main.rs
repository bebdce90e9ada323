//! Parses flags, calls one command, maps its end to an exit code.

use std::process::ExitCode;

use clap::Parser;
use kubemend::cli::Cli;

fn main() -> ExitCode {
    kubemend::commands::main(Cli::parse())
}
