//! What people tell kubemend in comments: `/kubemend retry hint="…"`. Pure.

use jiff::SignedDuration;

/// A command, understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// What can be said.
    Help,
    /// What kubemend knows about this.
    Status,
    /// Why: the decision trail, or what a code means.
    Explain {
        /// A code.
        code: Option<String>,
    },
    /// Propose again, with a hint or without.
    Retry {
        /// Untrusted text for the proposer.
        hint: Option<String>,
    },
    /// Answer a question with one of its options.
    Choose {
        /// From 1.
        option: usize,
    },
    /// Answer with a value.
    Set {
        /// Keys and values, in their order.
        values: Vec<(String, String)>,
    },
    /// Make the commit again on the current base.
    Rebase,
    /// Throw away what people pushed, and make the pull request again.
    Recreate,
    /// Do not propose this any more.
    Ignore {
        /// For how long; for ever when absent.
        period: Option<SignedDuration>,
    },
    /// Propose it again.
    Unignore,
    /// Look at the cluster whether the fix works.
    Verify,
    /// Open a pull request that takes the fix back.
    Revert,
    /// Write nothing in this repository until `resume`.
    Pause,
    /// Go on.
    Resume,
}

/// A line that starts like a command and is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Mistake {
    /// No such command.
    #[error("there is no command `{found}`{}", did_you_mean(near.as_deref()))]
    Unknown {
        /// What was written.
        found: String,
        /// The nearest command.
        near: Option<String>,
    },
    /// Something is missing.
    #[error("`{command}` needs {what}")]
    MissingArg {
        /// The command.
        command: String,
        /// What it needs.
        what: String,
    },
    /// Something that the command does not take.
    #[error("`{command}` does not take `{found}`{}", did_you_mean(near.as_deref()))]
    UnknownArg {
        /// The command.
        command: String,
        /// What was written.
        found: String,
        /// The nearest argument.
        near: Option<String>,
    },
    /// The same key twice.
    #[error("`{0}` is given twice")]
    Duplicate(String),
    /// A quote that is not closed.
    #[error("a quote is not closed")]
    UnclosedQuote,
    /// A value of the wrong form.
    #[error("`{value}` is not {what}")]
    BadValue {
        /// What was written.
        value: String,
        /// What it should be.
        what: String,
    },
}

fn did_you_mean(near: Option<&str>) -> String {
    near.map_or_else(String::new, |n| format!("; did you mean `{n}`?"))
}
