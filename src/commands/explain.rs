//! `kubemend explain` and `kubemend completions`.

use clap::CommandFactory as _;

use crate::cli::{Cli, Explain};
use crate::commands::Failure;
use crate::meaning;
use crate::terminal;

pub(super) fn run(args: &Explain) -> Result<u8, Failure> {
    let Some(word) = &args.code else {
        terminal::out(&meaning::all());
        return Ok(0);
    };
    let Some(meaning) = meaning::of(word) else {
        let near =
            meaning::nearest(word).map_or_else(String::new, |c| format!("; did you mean {c}?"));
        return Err(Failure::Input(format!(
            "unknown code {word:?}{near} (`kubemend explain` lists all of them)"
        )));
    };
    terminal::out(&meaning.text);
    Ok(0)
}

pub(super) fn completions(shell: clap_complete::Shell) -> u8 {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "kubemend", &mut script);
    terminal::out(&String::from_utf8_lossy(&script));
    0
}
