//! What a forge holds, as plain values: pull requests, issues, comments, and who wrote them. Pure.
//!
//! The forge is kubemend's only memory. [`marker`] is the hidden state inside bodies, [`identity`]
//! names branches and write targets, [`decide`] compares what a run wants with what is there.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

pub mod codeowners;
pub mod dashboard;
pub mod decide;
pub mod identity;
pub mod marker;
pub mod reporters;
pub mod rollback;
pub mod ticks;
pub mod wanted;

/// A repository on the forge.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct RepositoryFacts {
    /// The stable numeric id.
    pub id: u64,
    /// `owner/name`, as the forge spells it.
    pub full_name: String,
    /// The branch that pull requests go to.
    pub default_branch: String,
    /// Whether the repository is archived (nothing can be written).
    pub archived: bool,
    /// Whether issues can be opened.
    pub has_issues: bool,
    /// Whether anyone may read it.
    pub private: bool,
}

/// Whoever wrote or did something. Compared by `id`, never by name.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub struct Actor {
    /// The stable numeric id.
    pub id: u64,
    /// The name, for texts only.
    pub login: String,
    /// Whether the forge says that it is a machine account.
    pub bot: bool,
}

/// Where a pull request stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum PullState {
    /// Open, drafts included.
    Open,
    /// Closed without merge.
    Closed,
    /// Merged.
    Merged,
}

/// A pull request.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Pull {
    /// Its number.
    pub number: u64,
    /// The forge's global id, for GraphQL.
    pub node_id: String,
    /// Title.
    pub title: String,
    /// Body, with the marker.
    pub body: String,
    /// Where it stands.
    pub state: PullState,
    /// Whether it is a draft.
    pub draft: bool,
    /// The branch that it comes from.
    pub head_ref: String,
    /// The commit at its head.
    pub head_sha: String,
    /// The repository of the head; `None` when it was deleted.
    pub head_repo_id: Option<u64>,
    /// The branch that it goes to.
    pub base_ref: String,
    /// Names of its labels.
    pub labels: Vec<String>,
    /// Who opened it.
    pub author: Actor,
    /// Known for a merged one.
    pub merge_commit: Option<String>,
    /// `None` while the forge is still computing it.
    pub mergeable: Option<bool>,
    /// When it was opened.
    pub created_at: Timestamp,
    /// When anything about it changed last.
    pub updated_at: Timestamp,
    /// When it was closed or merged.
    pub closed_at: Option<Timestamp>,
}

/// An issue: a question, or the dashboard.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Issue {
    /// Its number.
    pub number: u64,
    /// Title.
    pub title: String,
    /// Body, with the marker.
    pub body: String,
    /// Whether it is open.
    pub open: bool,
    /// Names of its labels.
    pub labels: Vec<String>,
    /// Who opened it.
    pub author: Actor,
    /// Who closed it, where the forge says so.
    pub closed_by: Option<Actor>,
    /// When it was opened.
    pub created_at: Timestamp,
    /// When anything about it changed last.
    pub updated_at: Timestamp,
    /// When it was closed.
    pub closed_at: Option<Timestamp>,
}

/// A comment on an issue or pull request, or a review's comment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Comment {
    /// Its numeric id; comments, review comments and reviews count apart: see `kind`.
    pub id: u64,
    /// The forge's global id, for GraphQL.
    pub node_id: String,
    /// What it hangs on.
    pub kind: CommentKind,
    /// Who wrote it.
    pub author: Actor,
    /// Markdown.
    pub body: String,
    /// When it was written; a comment of a review: when its draft was begun.
    pub created_at: Timestamp,
    /// When others could read it first; a comment of a review: when that was sent.
    pub said_at: Timestamp,
    /// When it was changed last.
    pub updated_at: Timestamp,
    /// How often anybody reacted with 👎 or 🚀, where the forge tells it with the comment.
    pub marks: Option<u64>,
}

/// Which list of comments a comment belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CommentKind {
    /// In the conversation.
    Issue,
    /// On a line of the diff.
    ReviewLine,
    /// The text of a review.
    Review,
}

/// What somebody may do in a repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Permission {
    /// Nothing, or unknown.
    None,
    /// May read.
    Read,
    /// May triage.
    Triage,
    /// May push.
    Write,
    /// May maintain.
    Maintain,
    /// May do everything.
    Admin,
}
