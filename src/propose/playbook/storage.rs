//! Plays: claims and volumes.

use crate::finding::Class;
use crate::propose::playbook::Play;

mod attach;
mod claims;
mod classes;

/// The plays of this module.
pub const PLAYS: &[Play] = &[
    Play {
        name: "storage-class",
        about: "points an unbound claim at a StorageClass that exists, or asks which one",
        classes: &[Class::PvcPending],
        run: classes::run,
    },
    Play {
        name: "claim-not-found",
        about: "corrects the name of a claim to the one that exists, or asks",
        classes: &[Class::ClaimNotFound],
        run: claims::not_found,
    },
    Play {
        name: "unbound-claim",
        about: "says which claims a pod waits for",
        classes: &[Class::UnboundClaim],
        run: claims::unbound,
    },
    Play {
        name: "volume-on-two-nodes",
        about: "asks when pods on two nodes want one ReadWriteOnce volume",
        classes: &[Class::FailedAttachVolume],
        run: attach::run,
    },
];

#[cfg(test)]
mod tests;
