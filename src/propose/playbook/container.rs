//! Plays: images, commands, and containers that exit.

use crate::finding::Class;
use crate::propose::playbook::Play;

mod command;
mod crash;
mod host;
pub(super) mod image;
#[cfg(test)]
pub(super) mod stage;
pub(super) mod subject;
#[cfg(test)]
mod tests;

/// The plays of this module.
pub const PLAYS: &[Play] = &[
    Play {
        name: "image-pull",
        about: "names what is wrong with an image reference, and asks for the right one",
        classes: &[
            Class::ImagePullNotFound,
            Class::ImagePullAuth,
            Class::ImagePullFailed,
            Class::ImagePlatform,
            Class::InvalidImageName,
        ],
        run: image::pull,
    },
    Play {
        name: "bad-command",
        about: "corrects a misspelled command that a sibling proves, or asks for the right one",
        classes: &[Class::RunContainerError],
        run: command::bad_command,
    },
    Play {
        name: "foreign-program",
        about: "asks whether a container should run its own program instead of a sibling's",
        classes: &[Class::ApplicationError],
        run: command::foreign_program,
    },
    Play {
        name: "creation-error",
        about: "explains why a container cannot be created",
        classes: &[Class::CreateContainerError],
        run: crash::creation,
    },
    Play {
        name: "volume-error",
        about: "explains why a volume cannot be mounted",
        classes: &[Class::FailedMount],
        run: crash::volume,
    },
    Play {
        name: "unknown-host",
        about: "names the Service that a host name in the log misspells, or asks which is meant",
        classes: &[
            Class::CrashLoopBackOff,
            Class::InitContainerFailing,
            Class::ApplicationError,
            Class::JobBackoffLimit,
            Class::CronJobFailing,
        ],
        run: host::unknown,
    },
    Play {
        name: "endless-init",
        about: "asks about an init container that fails or does not end",
        classes: &[Class::InitContainerFailing],
        run: crash::init,
    },
    Play {
        name: "missing-variable",
        about: "asks for the value of an environment variable that the log names as missing",
        classes: &[
            Class::CrashLoopBackOff,
            Class::InitContainerFailing,
            Class::JobBackoffLimit,
            Class::CronJobFailing,
        ],
        run: crash::missing_variable,
    },
    Play {
        name: "shared-memory",
        about: "names a memory volume at /dev/shm as the change that a full one needs",
        classes: &[
            Class::CrashLoopBackOff,
            Class::InitContainerFailing,
            Class::ApplicationError,
        ],
        run: crash::shared_memory,
    },
    Play {
        name: "crash",
        about: "says what the program's own last words are",
        classes: &[
            Class::CrashLoopBackOff,
            Class::InitContainerFailing,
            Class::ApplicationError,
        ],
        run: crash::application,
    },
    Play {
        name: "evicted",
        about: "names the resource that an evicted pod ran out of",
        classes: &[Class::Evicted],
        run: crash::evicted,
    },
];
