//! `kubemend explain` and `kubemend completions`.

use clap::CommandFactory as _;

use crate::cli::{Cli, Explain};
use crate::code::Code;
use crate::commands::Failure;
use crate::lock::row_infos;
use crate::message;
use crate::near;
use crate::scan::{RULES, rule};
use crate::terminal;

pub(super) fn run(args: &Explain) -> Result<u8, Failure> {
    let Some(text) = &args.code else {
        let all: String = Code::ALL.iter().map(|c| message::explain(*c)).collect();
        let rules: String = RULES.iter().map(|r| r.explain()).collect();
        terminal::out(&(all + &rules));
        return Ok(0);
    };
    if let Ok(code) = text.parse::<Code>() {
        terminal::out(&message::explain(code));
        return Ok(0);
    }
    if let Some(rule) = rule(text) {
        terminal::out(&rule.explain());
        return Ok(0);
    }
    let row = row_infos().find(|r| format!("{:?}", r.unlock).eq_ignore_ascii_case(text));
    let Some(row) = row else {
        let near = nearest(text).map_or_else(String::new, |c| format!("; did you mean {c}?"));
        return Err(Failure::Input(format!(
            "unknown code {text:?}{near} (`kubemend explain` lists all of them)"
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

/// The code, row or rule that a misspelled one probably means.
fn nearest(text: &str) -> Option<String> {
    let codes = Code::ALL.iter().map(ToString::to_string);
    let rules = RULES.iter().map(|r| r.name.to_owned());
    let all = codes
        .chain(row_infos().map(|r| format!("{:?}", r.unlock)))
        .chain(rules);
    let far = |name: &String| near::distance(&name.to_lowercase(), &text.to_lowercase());
    all.min_by_key(far).filter(|name| far(name) <= 2)
}

pub(super) fn completions(shell: clap_complete::Shell) -> u8 {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "kubemend", &mut script);
    terminal::out(&String::from_utf8_lossy(&script));
    0
}
