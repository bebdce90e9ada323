//! Plays: scheduling.

use crate::propose::playbook::Play;

/// The plays of this module.
pub const PLAYS: &[Play] = &[];
