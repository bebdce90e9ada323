//! One test binary for everything that crosses module borders.
#![allow(clippy::unwrap_used, clippy::print_stdout, clippy::type_complexity)]

mod action;
mod action_install;
mod answers;
#[allow(dead_code, reason = "shared with the bench of the watch")]
#[path = "../support/api_server.rs"]
mod api_server;
mod applied;
mod architecture;
mod cli;
mod cluster;
mod cluster_watch;
mod config;
mod contract;
mod converse;
mod fix;
mod github;
mod github_wire;
mod lifecycle;
mod lifecycle_faults;
mod llm;
mod poison;
mod presence;
mod scan;
mod scorecard;
mod serve;
mod serve_flood;
mod serve_stub;
#[path = "../support/mod.rs"]
mod support;
mod transport;
mod transport_script;
mod worse;
