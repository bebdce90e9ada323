//! What tests share: a GitHub that can be told what to do, and that remembers what was asked.
#![allow(
    dead_code,
    unused_imports,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::print_stderr
)]

pub mod github;
pub mod program;
