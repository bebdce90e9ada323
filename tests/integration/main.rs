//! One test binary for everything that crosses module borders.
#![allow(clippy::unwrap_used)]

mod answers;
mod architecture;
mod cli;
mod config;
mod contract;
mod converse;
mod fix;
mod github;
mod github_wire;
mod llm;
mod poison;
mod scan;
#[path = "../support/mod.rs"]
mod support;
