//! kubemend as a GitHub Action: from an event of a workflow to a task, and from its result to
//! outputs, a job summary and annotations. Pure; `commands/action.rs` reads and writes.
//!
//! What an event holds was written by people, or by programs that repeat what a cluster says. It
//! decides what is looked at, never what may be written: passes read the truth again.

pub mod dispatch;
pub mod event;
pub mod inputs;
pub mod outcome;
pub mod suggest;
pub mod summary;

pub use event::{Place, Pull, Refused, Surroundings, Task, task};
pub use inputs::{Inputs, Mode};

#[cfg(test)]
mod tests;
