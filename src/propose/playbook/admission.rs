//! Plays: pods that the API server refuses to create.

use crate::finding::Class;
use crate::propose::playbook::Play;

mod limits;
mod policy;
mod quota;

/// The plays of this module.
pub const PLAYS: &[Play] = &[
    Play {
        name: "quota",
        about: "declares a limit that follows from the request and fits the quota, or asks with the numbers",
        classes: &[Class::QuotaRejected],
        run: quota::run,
    },
    Play {
        name: "limit-range",
        about: "moves a request or limit to the nearest value that the LimitRange allows, or asks",
        classes: &[Class::LimitRangeRejected],
        run: limits::run,
    },
    Play {
        name: "admission",
        about: "says which policy refuses the pods, and what would satisfy it",
        classes: &[
            Class::PodSecurityRejected,
            Class::MissingServiceAccount,
            Class::AdmissionRejected,
            Class::FailedCreate,
        ],
        run: policy::run,
    },
];

#[cfg(test)]
mod tests;
