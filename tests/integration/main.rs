//! One test binary for everything that crosses module borders.
#![allow(clippy::unwrap_used)]

mod answers;
mod architecture;
mod cli;
mod contract;
mod fix;
mod llm;
mod poison;
mod serve;
mod serve_stub;
