//! End to end against real counterparts: npm `emulate` for GitHub's API and `git http-backend` for Git,
//! behind one address. What is not installed is reported as skipped, by name; a run that must have it
//! says so in `REQUIRE_ASSETS=github,git`, and fails without.
#![allow(
    unreachable_pub,
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::type_complexity,
    clippy::wrong_self_convention,
    reason = "a test binary; what is missing is part of its result"
)]

use std::process::ExitCode;

use assets::Assets;
use libtest_mimic::{Arguments, Failed, Trial};

/// Two values are the same, or the trial says which line, what they are, and why that matters.
macro_rules! same {
    ($left:expr, $right:expr) => {
        same!($left, $right, "")
    };
    ($left:expr, $right:expr, $why:expr) => {
        match (&$left, &$right) {
            (left, right) if left == right => {}
            (left, right) => {
                let line = line!();
                return Err(format!("{line}: {left:?} is not {right:?}: {:#?}", $why));
            }
        }
    };
}

mod assets;
mod child;
mod hook;
mod life;
mod pass;
mod program;
mod server;
mod shim;
#[path = "../support/mod.rs"]
mod support;
mod truth;
mod upstream;

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let found = Assets::find();
    let missing = found.as_ref().err().cloned();
    if let Some(reason) = missing.as_ref().filter(|_| required()) {
        println!("REQUIRE_ASSETS asks for what is missing: {reason}");
        return ExitCode::FAILURE;
    }
    let assets = found.ok();
    let all = life::TRIALS.iter().map(|(name, run)| {
        let assets = assets.clone();
        let shown = match &missing {
            Some(reason) => format!("{name} [missing: {reason}]"),
            None => (*name).to_owned(),
        };
        let run = move || run(assets.as_ref().ok_or("nothing installed")?).map_err(Failed::from);
        Trial::test(shown, run).with_ignored_flag(missing.is_some())
    });
    libtest_mimic::run(&arguments, all.collect()).exit_code()
}

/// Whether the run must not do without.
fn required() -> bool {
    let wanted = std::env::var("REQUIRE_ASSETS").unwrap_or_default();
    wanted
        .split(',')
        .any(|w| ["github", "git"].contains(&w.trim()))
}
