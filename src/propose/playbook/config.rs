//! Plays: ConfigMaps and Secrets that containers need, and the content of mounted ConfigMaps.

use crate::finding::Class;
use crate::propose::playbook::Play;

mod content;
mod family;
mod missing;
mod refs;

/// The plays of this module.
pub const PLAYS: &[Play] = &[
    Play {
        name: "missing-config",
        about: "points a reference at the ConfigMap or key that it misspells, or asks",
        classes: &[Class::MissingConfig],
        run: missing::config,
    },
    Play {
        name: "missing-secret",
        about: "points a reference at the existing key that it misspells, or asks for the Secret",
        classes: &[Class::MissingSecret],
        run: missing::secret,
    },
    Play {
        name: "config-syntax",
        about: "repairs a mounted configuration file that the container cannot parse",
        classes: &[Class::CrashLoopBackOff, Class::InitContainerFailing],
        run: content::unparsable,
    },
    Play {
        name: "config-missing-address",
        about: "adds the address that a mounted configuration file lacks, where siblings and a Service prove it",
        classes: &[Class::CrashLoopBackOff, Class::InitContainerFailing],
        run: family::missing_address,
    },
];
