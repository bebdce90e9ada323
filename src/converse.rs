//! The conversation on the forge: what people said and kubemend has not answered yet, what comes of
//! it, and the one answer.
//!
//! [`hear`] reads comments and boxes, asks who may, stores what must be remembered in the hidden
//! state of pull requests, questions and the dashboard, and mirrors it into the observation.
//! [`answer`] tells after the pass what came of it. A command counts as answered when a comment of
//! ours says so in its marker, or when we reacted with 👎 or 🚀; until then it is heard again in
//! every pass, and everything that it does gives the same result when it is done twice.

use std::collections::BTreeSet;

use crate::case::Answers;
use crate::command::{Command, Mistake};
use crate::forge::{Comment, CommentKind};

pub mod effect;
pub mod judge;
pub mod said;

mod ear;
mod hidden;
mod people;
mod threads;
mod voice;

pub use ear::hear;
pub use voice::answer;

use judge::{Place, Verdict};

/// What was heard in one pass.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Heard {
    /// What people said so far, by the finding's key.
    pub answers: Answers,
    /// What waits for an answer, oldest first.
    pub requests: Vec<Request>,
    /// Pull requests and issues in whose hidden state something is pending.
    pub pending: BTreeSet<u64>,
    /// Pull requests that another run keeps: what proposes again there waits for that one.
    pub left: BTreeSet<u64>,
}

/// What waits for one answer: the commands of a comment, or the free review comments of one pull
/// request.
#[derive(Debug, Clone, PartialEq)]
pub struct Request {
    /// The pull request or issue.
    pub number: u64,
    /// What that is.
    pub place: Place,
    /// What is answered.
    pub comments: Vec<Comment>,
    /// What they say.
    pub items: Vec<Item>,
    /// The head when it was heard for the first time; empty where nothing is proposed again.
    pub head: String,
}

/// One thing that was said.
#[derive(Debug, Clone, PartialEq)]
pub struct Item {
    /// What.
    pub what: What,
    /// What becomes of it.
    pub verdict: Verdict,
}

/// What was said.
#[derive(Debug, Clone, PartialEq)]
pub enum What {
    /// A command.
    Command(Command),
    /// A line that is none.
    Mistake(Mistake),
    /// A free review comment.
    Hint,
}

impl Heard {
    /// Verb and outcome of each command, for numbers.
    pub fn commands(&self) -> Vec<(&'static str, &'static str)> {
        let items = self.requests.iter().flat_map(|r| &r.items);
        let verb = |item: &Item| match &item.what {
            What::Command(command) => command.verb(),
            What::Mistake(_) => "mistake",
            What::Hint => "hint",
        };
        items.map(|i| (verb(i), i.verdict.word())).collect()
    }
}

impl Request {
    /// The name under which its answer is found again.
    pub fn answers(&self) -> String {
        let keys: Vec<String> = self.comments.iter().map(answers).collect();
        keys.join(",")
    }
}

/// `issue:12`.
pub fn answers(comment: &Comment) -> String {
    let kind = match comment.kind {
        CommentKind::Issue => "issue",
        CommentKind::ReviewLine => "review_line",
        CommentKind::Review => "review",
    };
    format!("{kind}:{}", comment.id)
}
