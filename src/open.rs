//! Opening: what was decided, carried out on the forge; and the reading that comes before.
//!
//! [`observe`] reads everything of ours. [`carry_out`] writes, one call after the other, in an order
//! in which a kill at any point leaves something that the next pass recognises: commit objects,
//! branch, pull request (with its marker from the first moment), labels and people, notices. Every
//! request that makes something new comes after a look whether it is there already.

mod observe;
mod owners;
mod trailers;

pub use observe::{observe, reread};
