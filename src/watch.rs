//! Which namespaces need a look, from what a watch shows. Pure.
//!
//! A watch only decides *when* and *where* the cluster is read; findings come from [`crate::detect`]
//! on a fresh snapshot. So nothing is kept of what is well, and of what is not only its name, a sign
//! and a time.

pub mod board;
pub mod sign;

pub use board::{Board, Id};
pub use sign::{Sighting, Sign, Watched};
