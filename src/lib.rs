//! kubemend: from a failing workload to a proven change in Git.
//!
//! ```text
//! detect → gather → locate → propose → lock → edit → open → verify
//! ```
//!
//! # Layout
//!
//! - nouns: [`path`], [`object`], [`snapshot`], [`finding`], [`case`], [`code`], [`files`], [`manifest`], [`quantity`]
//! - the story: [`pipeline`]
//! - phases: [`detect`], [`evidence`], [`locate`], [`propose`], [`lock`], [`edit`]; what a report is about: [`report`], [`narrow`]
//! - what Kubernetes says: [`schema`], [`placement`], [`near`]
//! - texts: [`message`], [`patch`], [`output`]
//! - the forge: [`forge`] (nouns, identity, life cycle), [`command`] (what people say), [`converse`] (hearing and answering), [`github`] (its API)
//! - running for long: [`serve`] (webhooks, sweeps), [`metrics`]
//! - without a cluster: [`scan`], [`sarif`], [`annotations`]
//! - in a cluster: [`watch`] (what looks ill), [`cluster`] (its API), [`unsure`] (what cannot be told just now), [`verify`]
//! - edges: [`dump`], [`repo`], [`render`], [`config`], [`commands`], [`terminal`]

pub mod action;
pub mod annotations;
pub mod audit;
mod broken_sources;
pub mod case;
pub mod cli;
pub mod cluster;
pub mod code;
pub mod command;
pub mod commands;
pub mod config;
pub mod converse;
mod count;
mod culprit;
pub mod cycle;
pub mod destination;
pub mod detect;
pub mod dump;
pub mod edit;
pub mod election;
pub mod environment;
pub mod eval;
pub mod evidence;
pub mod files;
pub mod finding;
pub mod forge;
pub mod github;
mod history;
mod incident;
pub mod locate;
pub mod lock;
pub mod manifest;
pub mod meaning;
pub mod message;
pub mod metrics;
pub mod narrow;
pub mod near;
pub mod object;
pub mod open;
pub mod output;
mod pack;
pub mod patch;
pub mod path;
pub mod phase;
pub mod pipeline;
pub mod placement;
pub mod propose;
pub mod quantity;
pub mod remediation;
pub mod render;
pub mod repo;
pub mod report;
pub mod revert;
pub mod sarif;
pub mod scan;
pub mod schema;
pub mod serve;
pub mod snapshot;
pub mod source;
pub mod tally;
pub mod telemetry;
pub mod terminal;
pub mod unsure;
pub mod verify;
pub mod watch;
