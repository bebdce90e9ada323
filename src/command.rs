//! What people tell kubemend in comments: `/kubemend retry hint="…"`. Pure.
//!
//! A command stands at the start of a line of plain text. What Markdown shows as anything else
//! (code, quotes, lists, tables, HTML, …) is never one. See [`markdown`] for where commands are
//! looked for, [`line`] for their grammar, [`permit`] for who may give them.

use std::fmt;

use jiff::SignedDuration;

mod line;
mod markdown;
mod permit;
#[cfg(test)]
mod tests;

pub use markdown::is_invisible;
pub use permit::{Permitted, Who, least, permitted, trusted_bot};

/// The most commands of one comment.
pub const MAX_COMMANDS: usize = 10;
/// The most characters of a hint, or of the free text of a comment.
pub const MAX_TEXT: usize = 2_000;
/// The most characters of a value.
pub const MAX_VALUE: usize = 512;
/// The most values of one command.
pub const MAX_VALUES: usize = 20;

/// What a comment says.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Parsed {
    /// Its commands, in their order; a line that starts like one and is none is a mistake.
    pub commands: Vec<Result<Command, Mistake>>,
    /// What else it says in plain words, without hidden text: untrusted, a hint at most.
    pub text: String,
}

/// Reads a comment.
pub fn parse(body: &str) -> Parsed {
    let reading = markdown::read(body);
    let mut commands: Vec<_> = reading
        .lines
        .iter()
        .take(MAX_COMMANDS)
        .map(|l| line::command(l))
        .collect();
    if reading.lines.len() > MAX_COMMANDS {
        commands.push(Err(Mistake::TooMany));
    }
    Parsed {
        commands,
        text: reading.text,
    }
}

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

impl Command {
    /// All verbs, as they are written.
    pub const VERBS: [&'static str; 14] = [
        "help", "status", "explain", "retry", "choose", "set", "rebase", "recreate", "ignore",
        "unignore", "verify", "revert", "pause", "resume",
    ];

    /// The verb.
    pub fn verb(&self) -> &'static str {
        match self {
            Self::Help => "help",
            Self::Status => "status",
            Self::Explain { .. } => "explain",
            Self::Retry { .. } => "retry",
            Self::Choose { .. } => "choose",
            Self::Set { .. } => "set",
            Self::Rebase => "rebase",
            Self::Recreate => "recreate",
            Self::Ignore { .. } => "ignore",
            Self::Unignore => "unignore",
            Self::Verify => "verify",
            Self::Revert => "revert",
            Self::Pause => "pause",
            Self::Resume => "resume",
        }
    }

    /// Whether it changes what is at the head of a pull request, and so holds only for the head
    /// that its author saw.
    pub fn changes_head(&self) -> bool {
        matches!(
            self,
            Self::Retry { .. }
                | Self::Choose { .. }
                | Self::Set { .. }
                | Self::Rebase
                | Self::Recreate
        )
    }
}

/// As a person would write it; read again it is the same.
impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "/kubemend {}", self.verb())?;
        match self {
            Self::Explain { code: Some(code) } => write!(f, " {code}"),
            Self::Retry { hint: Some(hint) } => write!(f, " hint={}", line::quoted(hint)),
            Self::Choose { option } => write!(f, " {option}"),
            Self::Set { values } => values
                .iter()
                .try_for_each(|(k, v)| write!(f, " {k}={}", line::quoted(v))),
            Self::Ignore { period: Some(p) } => write!(f, " {}", line::period_text(*p)),
            _ => Ok(()),
        }
    }
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
    /// More commands than are read in one comment.
    #[error("only the first {MAX_COMMANDS} commands of a comment are read")]
    TooMany,
    /// Characters that nobody sees.
    #[error("the line holds invisible characters, so what it says is not what people see")]
    Invisible,
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
