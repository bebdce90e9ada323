//! `kubemend explain` and `kubemend completions`.

use clap::CommandFactory as _;

use crate::cli::{Cli, Explain};
use crate::code::Code;
use crate::commands::Failure;
use crate::lock::row_infos;
use crate::message;
use crate::terminal;

pub(super) fn run(args: &Explain) -> Result<u8, Failure> {
    let Some(text) = &args.code else {
        let all: String = Code::ALL.iter().map(|c| message::explain(*c)).collect();
        terminal::out(&all);
        return Ok(0);
    };
    if let Ok(code) = text.parse::<Code>() {
        terminal::out(&message::explain(code));
        return Ok(0);
    }
    let row = row_infos().find(|r| format!("{:?}", r.unlock).eq_ignore_ascii_case(text));
    let Some(row) = row else {
        return Err(Failure::Input(format!(
            "unknown code {text:?}; `kubemend explain` lists all of them"
        )));
    };
    let classes: Vec<String> = row.classes.iter().map(ToString::to_string).collect();
    let who = if row.playbook_only {
        " Only a playbook may use it."
    } else {
        ""
    };
    terminal::out(&format!(
        "{:?}\n  Allow-list row: {}.{who}\n  For findings of class {}.\n",
        row.unlock,
        row.about,
        classes.join(", ")
    ));
    Ok(0)
}

pub(super) fn completions(shell: clap_complete::Shell) -> u8 {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "kubemend", &mut script);
    terminal::out(&String::from_utf8_lossy(&script));
    0
}
