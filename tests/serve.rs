//! The server against what is not always there: `git http-backend`, and GitHub's own example
//! deliveries. What is missing is reported as ignored, by name.
//!
//! `cargo test --test serve -- kills [N]` kills the program N times (100) on its way, and starts it again.
#![allow(clippy::unwrap_used, clippy::print_stdout, clippy::type_complexity)]

use libtest_mimic::{Arguments, Trial};

#[allow(dead_code, reason = "shared with the integration tests")]
#[path = "support/api_server.rs"]
mod api_server;
#[path = "support/collector.rs"]
mod collector;
#[path = "serve/corpus.rs"]
mod corpus;
#[path = "serve/git_server.rs"]
mod git_server;
#[path = "serve/mirror.rs"]
mod mirror;
#[path = "serve/model.rs"]
mod model;
#[path = "serve/program.rs"]
mod program;
#[allow(dead_code, reason = "shared with the integration tests")]
#[path = "integration/serve_stub.rs"]
mod serve_stub;
#[path = "support/mod.rs"]
mod support;

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    if let Some((mode, rest)) = words.split_first()
        && mode == "kills"
    {
        let number = rest.first().map_or(Ok(100), |n| n.parse());
        return program::kills(number.expect("a number of kills"));
    }
    let mut trials: Vec<Trial> = mirror::trials();
    trials.extend(corpus::trials());
    trials.extend(program::trials());
    trials.extend(model::trials());
    libtest_mimic::run(&Arguments::from_args(), trials).exit();
}

/// A trial that is ignored, with the reason in its name, when something is missing.
fn trial(name: &str, missing: Option<&str>, test: fn()) -> Trial {
    let named = match missing {
        Some(what) => format!("{name} [missing: {what}]"),
        None => name.to_owned(),
    };
    Trial::test(named, move || {
        test();
        Ok(())
    })
    .with_ignored_flag(missing.is_some())
}
