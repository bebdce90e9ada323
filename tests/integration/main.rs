//! One test binary for everything that crosses module borders.
#![allow(clippy::unwrap_used)]

mod answers;
mod architecture;
mod cli;
mod contract;
mod fix;
mod github;
mod github_wire;
mod llm;
mod poison;
#[path = "../support/mod.rs"]
mod support;
mod transport;
mod transport_script;
