//! The server: webhooks wake the worker of a repository, and a sweep wakes all of them.
//!
//! A delivery decides nothing but *when* a repository is looked at. Nothing depends on its arrival:
//! what was missed, lost in a full queue or in a killed process is found by the next sweep.

pub mod envelope;
pub mod queue;
pub mod seen;
pub mod signature;
