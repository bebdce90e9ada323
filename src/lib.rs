//! kubemend: from a failing workload to a proven change in Git.
//!
//! ```text
//! detect → gather → locate → propose → lock → edit → open → verify
//! ```
//!
//! # Layout
//!
//! - nouns: [`path`], [`object`], [`snapshot`], [`finding`], [`case`], [`code`], [`files`], [`manifest`], [`quantity`]
//! - phases: [`detect`], [`propose`], [`locate`], [`edit`]
//! - edges: [`render`]

pub mod case;
pub mod code;
pub mod detect;
pub mod dump;
pub mod edit;
pub mod evidence;
pub mod files;
pub mod finding;
pub mod locate;
pub mod lock;
pub mod manifest;
pub mod message;
pub mod object;
pub mod patch;
pub mod path;
pub mod propose;
pub mod quantity;
pub mod render;
pub mod repo;
pub mod schema;
pub mod snapshot;
