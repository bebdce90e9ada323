//! Trials over the shared reference material, which is not part of the project: YAML cases and
//! real manifest repositories. `KUBEMEND_SHARED` names the folder; where something is absent, its
//! trials are listed as ignored with the reason in their names.

#![allow(clippy::unwrap_used, clippy::print_stdout)]

use libtest_mimic::{Arguments, Trial};

#[path = "corpus/edits.rs"]
mod edits;
#[path = "corpus/nasty.rs"]
mod nasty;
#[path = "corpus/readings.rs"]
mod readings;
#[path = "corpus/shared.rs"]
mod shared;

fn main() {
    let arguments = Arguments::from_args();
    let mut trials: Vec<Trial> = Vec::new();
    trials.extend(nasty::trials());
    trials.extend(readings::trials());
    trials.extend(edits::trials());
    libtest_mimic::run(&arguments, trials).exit();
}
