//! GitHub: the only module that speaks its API, and the only user of octocrab.
//!
//! [`GitHub`] is one repository seen with one installation's (or token's) eyes. Every call goes
//! through [`transport`]: authentication, pacing, limits, retries of what is safe to repeat,
//! conditional requests. Every answer is read into [`crate::forge`]'s own tolerant types; a write
//! whose answer is not about what was written (a proxy's page with a 200) counts as not done.

use std::collections::BTreeMap;

use http::Method;
use jiff::Timestamp;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::forge::{Actor, Comment, CommentKind, Issue, Permission, Pull, RepositoryFacts};

mod answer;
mod app;
mod auth;
mod etag;
mod git;
mod installation;
mod origin;
mod pace;
mod read;
mod silence;
pub mod transport;

pub use auth::{Credentials, Installation, Mode};
pub use git::{CommitFacts, NewFiles};
pub use installation::Delivery;
pub use origin::Endpoint;
pub use pace::Pace;
pub use transport::{Observer, Settings, Transport};

/// Why a call did not give what was asked for.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Error {
    /// 401: the credentials are not (or no longer) accepted.
    #[error("GitHub does not accept the credentials: {0}")]
    Unauthorized(String),
    /// 403 that is not a limit: a permission is missing.
    #[error("GitHub forbids it: {0}")]
    Forbidden(String),
    /// 404: not there, or not to be seen with these credentials.
    #[error("not found: {0}")]
    NotFound(String),
    /// 409.
    #[error("conflict: {0}")]
    Conflict(String),
    /// 410: switched off (issues), or deleted.
    #[error("gone: {0}")]
    Gone(String),
    /// 405 and 422: GitHub understands the request and refuses it.
    #[error("refused: {0}")]
    Invalid(String),
    /// 403 or 429 with a rate limit: when it may be tried again.
    #[error("rate limit of GitHub, until {until}: {message}")]
    Limited {
        /// Not before.
        until: jiff::Timestamp,
        /// What GitHub says.
        message: String,
    },
    /// 5xx, a cut connection, a timeout: it is not known whether a write took effect.
    #[error("GitHub does not answer: {0}")]
    Unavailable(String),
    /// An answer that cannot be read.
    #[error("unexpected answer of GitHub: {0}")]
    Unexpected(String),
}

impl Error {
    /// Whether nothing may be concluded from this answer: the run for this repository ends here,
    /// and nothing is closed or deleted.
    pub fn is_outage(&self) -> bool {
        matches!(
            self,
            Self::Limited { .. }
                | Self::Unavailable(_)
                | Self::Unexpected(_)
                | Self::Unauthorized(_)
        )
    }
}

/// A result of a call.
pub type Result<T> = std::result::Result<T, Error>;

/// One repository on GitHub.
#[derive(Clone)]
pub struct GitHub {
    transport: Transport,
    owner: String,
    name: String,
}

impl std::fmt::Debug for GitHub {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "GitHub({}/{})", self.owner, self.name)
    }
}

/// A check run, or a commit status where check runs are not to be had.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckReport {
    /// `kubemend/validation`.
    pub name: String,
    /// The commit.
    pub sha: String,
    /// `success`, `neutral`, `failure`, `action_required`.
    pub conclusion: &'static str,
    /// One line.
    pub title: String,
    /// Markdown.
    pub summary: String,
    /// The fingerprint.
    pub external_id: String,
}

/// A comment on lines of a pull request's new text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LineComment {
    /// The file.
    pub path: String,
    /// The first line, from 1.
    pub first: usize,
    /// The last line.
    pub last: usize,
    /// Markdown.
    pub body: String,
}

impl LineComment {
    fn json(&self) -> Value {
        let mut value =
            json!({"path": self.path, "line": self.last, "side": "RIGHT", "body": self.body});
        if self.first < self.last {
            value["start_line"] = json!(self.first);
            value["start_side"] = json!("RIGHT");
        }
        value
    }
}

impl GitHub {
    /// `full_name` is `owner/name`.
    pub fn new(transport: Transport, full_name: &str) -> Result<Self> {
        let parts: Vec<&str> = full_name.split('/').collect();
        let usable = |s: &str| {
            !s.is_empty()
                && s != "."
                && s != ".."
                && s.chars()
                    .all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
        };
        match parts.as_slice() {
            [owner, name] if usable(owner) && usable(name) => Ok(Self {
                transport: transport.of(full_name),
                owner: (*owner).to_owned(),
                name: (*name).to_owned(),
            }),
            _ => Err(Error::Invalid(format!("{full_name} is not owner/name"))),
        }
    }

    /// `owner/name`.
    pub fn full_name(&self) -> String {
        format!("{}/{}", self.owner, self.name)
    }

    fn at(&self, rest: &str) -> String {
        format!("/repos/{}/{}{rest}", self.owner, self.name)
    }

    async fn get<T: DeserializeOwned>(&self, rest: &str) -> Result<T> {
        self.transport.json(Method::GET, &self.at(rest), None).await
    }

    async fn pages(&self, rest: &str, most: usize) -> Result<Vec<Value>> {
        self.transport.pages(&self.at(rest), most).await
    }

    async fn post(&self, rest: &str, body: Value) -> Result<Value> {
        self.transport
            .json(Method::POST, &self.at(rest), Some(body))
            .await
    }

    async fn patch(&self, rest: &str, body: Value) -> Result<Value> {
        self.transport
            .json(Method::PATCH, &self.at(rest), Some(body))
            .await
    }

    // ---- who and where

    /// Who we are: the App's bot, or the token's user.
    pub async fn me(&self) -> Result<Actor> {
        self.transport.me().await
    }

    /// The repository.
    pub async fn facts(&self) -> Result<RepositoryFacts> {
        match self.get("").await {
            Err(Error::NotFound(said)) => Err(Error::NotFound(format!(
                "{}, or these credentials may not see it ({said})",
                self.full_name()
            ))),
            answer => read::repository(&answer?),
        }
    }

    /// What a user may do here. Every error means that nothing is allowed, and is returned.
    pub async fn permission(&self, user: &Actor) -> Result<Permission> {
        let route = format!("/collaborators/{}/permission", encode(&user.login));
        read::permission(&self.get(&route).await?, user)
    }

    // ---- pull requests

    /// Pull requests, the ones that changed last first, at most `pages` × 100.
    pub async fn pulls(&self, state: &str, pages: usize) -> Result<Vec<Pull>> {
        let route = format!("/pulls?state={state}&sort=updated&direction=desc&per_page=100");
        read::list(&self.pages(&route, pages).await?, read::pull)
    }

    /// Pull requests from one branch of this repository, whatever their state.
    pub async fn pulls_of(&self, branch: &str) -> Result<Vec<Pull>> {
        let head = encode(&format!("{}:{branch}", self.owner));
        let route = format!("/pulls?state=all&head={head}&per_page=100");
        read::list(&self.pages(&route, 1).await?, read::pull)
    }

    /// One pull request, with `mergeable`.
    pub async fn pull(&self, number: u64) -> Result<Pull> {
        read::pull(&self.get(&format!("/pulls/{number}")).await?)
    }

    /// Opens a pull request. "Already exists" is [`Error::Invalid`]: look it up and adopt it.
    pub async fn open_pull(
        &self,
        head: &str,
        base: &str,
        title: &str,
        body: &str,
        draft: bool,
    ) -> Result<Pull> {
        let body = json!({"title": title, "head": head, "base": base, "body": body, "draft": draft, "maintainer_can_modify": true});
        read::pull(&self.post("/pulls", body).await?)
    }

    /// Changes title and body.
    pub async fn edit_pull(&self, number: u64, title: &str, body: &str) -> Result<()> {
        let texts = json!({"title": title, "body": body});
        let said = self.patch(&format!("/pulls/{number}"), texts).await?;
        read::is_about(&said, "/number", number)
    }

    /// Closes a pull request.
    pub async fn close_pull(&self, number: u64) -> Result<()> {
        let wanted = json!({"state": "closed"});
        let said = self.patch(&format!("/pulls/{number}"), wanted).await?;
        read::is_about(&said, "/number", number)?;
        read::is_in_state(&said, "closed")
    }

    /// Draft or ready. Only GraphQL can do this.
    pub async fn set_draft(&self, node_id: &str, draft: bool) -> Result<()> {
        let query = if draft {
            read::TO_DRAFT
        } else {
            read::TO_READY
        };
        self.graphql(query, json!({"id": node_id})).await.map(drop)
    }

    /// The commits of a pull request that are not on its base.
    pub async fn commits_of(&self, number: u64) -> Result<Vec<CommitFacts>> {
        let route = format!("/pulls/{number}/commits?per_page=100");
        read::list(&self.pages(&route, 3).await?, read::commit)
    }

    /// Names of the files that a pull request changes.
    pub async fn files_of(&self, number: u64) -> Result<Vec<String>> {
        let route = format!("/pulls/{number}/files?per_page=100");
        read::list(&self.pages(&route, 30).await?, |v| {
            read::string(v, "/filename")
        })
    }

    /// The same, each with its diff; GitHub leaves the diff of a large or binary file out.
    pub async fn diffs_of(&self, number: u64) -> Result<BTreeMap<String, String>> {
        let route = format!("/pulls/{number}/files?per_page=100");
        let files = read::list(&self.pages(&route, 30).await?, |v| {
            let diff = v.get("patch").and_then(Value::as_str).unwrap_or_default();
            Ok((read::string(v, "/filename")?, diff.to_owned()))
        })?;
        Ok(files.into_iter().collect())
    }

    /// One review without a verdict, with comments on lines of the new text. One line that the diff
    /// does not show makes GitHub refuse all of it.
    pub async fn review(
        &self,
        number: u64,
        head: &str,
        body: &str,
        comments: &[LineComment],
    ) -> Result<()> {
        let comments: Vec<Value> = comments.iter().map(LineComment::json).collect();
        let review =
            json!({"commit_id": head, "event": "COMMENT", "body": body, "comments": comments});
        let route = format!("/pulls/{number}/reviews");
        read::has_id(&self.post(&route, review).await?)
    }

    // ---- issues, comments, labels

    /// Issues (and on GitHub pull requests too; those are left out) with a label.
    pub async fn issues(&self, label: &str, state: &str) -> Result<Vec<Issue>> {
        let route = format!(
            "/issues?labels={}&state={state}&per_page=100",
            encode(label)
        );
        let all = self.pages(&route, 10).await?;
        let issues: Vec<Value> = all
            .into_iter()
            .filter(|v| v.get("pull_request").is_none())
            .collect();
        read::list(&issues, read::issue)
    }

    /// An issue, or the issue side of a pull request (`closed_by`).
    pub async fn issue(&self, number: u64) -> Result<Issue> {
        read::issue(&self.get(&format!("/issues/{number}")).await?)
    }

    /// Opens an issue.
    pub async fn open_issue(&self, title: &str, body: &str, labels: &[String]) -> Result<Issue> {
        read::issue(
            &self
                .post(
                    "/issues",
                    json!({"title": title, "body": body, "labels": labels}),
                )
                .await?,
        )
    }

    /// Changes title and body.
    pub async fn edit_issue(&self, number: u64, title: &str, body: &str) -> Result<()> {
        let texts = json!({"title": title, "body": body});
        let said = self.patch(&format!("/issues/{number}"), texts).await?;
        read::is_about(&said, "/number", number)
    }

    /// Closes or reopens. `reason` is `completed`, `not_planned` or `reopened`.
    pub async fn set_issue_open(&self, number: u64, open: bool, reason: &str) -> Result<()> {
        let state = if open { "open" } else { "closed" };
        let wanted = json!({"state": state, "state_reason": reason});
        let said = self.patch(&format!("/issues/{number}"), wanted).await?;
        read::is_about(&said, "/number", number)?;
        read::is_in_state(&said, state)
    }

    /// Whether nothing can have been said in a thread since it was read last, and nothing waited then.
    pub fn is_silent(&self, number: u64, updated: Timestamp, now: Timestamp) -> bool {
        let silence = self.transport.silence();
        silence.holds(&self.full_name(), number, updated, now)
    }

    /// A thread was read now, and something or nothing waits there.
    pub fn heard(&self, number: u64, updated: Timestamp, now: Timestamp, waits: bool) {
        let silence = self.transport.silence();
        silence.note(&self.full_name(), number, updated, now, waits);
    }

    /// The conversation of an issue or pull request, oldest first.
    pub async fn comments(&self, number: u64) -> Result<Vec<Comment>> {
        let route = format!("/issues/{number}/comments?per_page=100");
        read::list(&self.pages(&route, 30).await?, |v| {
            read::comment(v, CommentKind::Issue)
        })
    }

    /// Comments on lines, and texts of reviews.
    pub async fn review_comments(&self, number: u64) -> Result<Vec<Comment>> {
        let lines = self
            .pages(&format!("/pulls/{number}/comments?per_page=100"), 30)
            .await?;
        let mut reviews = self
            .pages(&format!("/pulls/{number}/reviews?per_page=100"), 30)
            .await?;
        // a draft that only its author sees, who may be the person whose token this is: not said yet
        reviews.retain(|r| r.get("state").and_then(Value::as_str) != Some("PENDING"));
        let sent = read::sent(&reviews);
        let mut all = read::list(&lines, |v| read::line_comment(v, &sent))?;
        all.extend(read::list(&reviews, |v| {
            read::comment(v, CommentKind::Review)
        })?);
        all.retain(|c| !c.body.trim().is_empty());
        Ok(all)
    }

    /// Comments.
    pub async fn add_comment(&self, number: u64, body: &str) -> Result<Comment> {
        let value = self
            .post(&format!("/issues/{number}/comments"), json!({"body": body}))
            .await?;
        read::comment(&value, CommentKind::Issue)
    }

    /// Changes a comment of ours.
    pub async fn edit_comment(&self, id: u64, body: &str) -> Result<()> {
        let route = format!("/issues/comments/{id}");
        let said = self.patch(&route, json!({"body": body})).await?;
        read::is_about(&said, "/id", id)
    }

    /// Hides a comment of ours as outdated.
    pub async fn minimize(&self, node_id: &str) -> Result<()> {
        let id = json!({"id": node_id});
        self.graphql(read::MINIMIZE, id).await.map(drop)
    }

    async fn graphql(&self, query: &str, variables: Value) -> Result<Value> {
        let about = self.full_name();
        self.transport.graphql(Some(&about), query, variables).await
    }

    /// Reacts: `eyes`, `rocket`, `-1`. Reacting twice is once.
    pub async fn react(&self, comment: &Comment, content: &str) -> Result<()> {
        match reactions(comment) {
            Some(route) => {
                let said = self.post(&route, json!({"content": content})).await?;
                read::has_id(&said)
            }
            None => Ok(()),
        }
    }

    /// Whether `who` reacted with `content`.
    pub async fn reacted(&self, comment: &Comment, content: &str, who: &Actor) -> Result<bool> {
        let Some(route) = reactions(comment) else {
            return Ok(false);
        };
        let route = format!("{route}?content={}&per_page=100", encode(content));
        let all = self.pages(&route, 10).await?;
        Ok(all
            .iter()
            .any(|r| r.pointer("/user/id").and_then(Value::as_u64) == Some(who.id)))
    }

    /// Adds labels.
    pub async fn add_labels(&self, number: u64, labels: &[String]) -> Result<()> {
        let route = format!("/issues/{number}/labels");
        let said = self.post(&route, json!({"labels": labels})).await?;
        read::is_list(&said)
    }

    /// Takes a label off; one that is not there is fine.
    pub async fn remove_label(&self, number: u64, label: &str) -> Result<()> {
        let route = self.at(&format!("/issues/{number}/labels/{}", encode(label)));
        match self
            .transport
            .json::<Value>(Method::DELETE, &route, None)
            .await
        {
            Ok(said) => read::is_list(&said),
            Err(Error::NotFound(_)) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Assigns people; those who cannot be assigned are left out by GitHub.
    pub async fn assign(&self, number: u64, logins: &[String]) -> Result<()> {
        let route = format!("/issues/{number}/assignees");
        let said = self.post(&route, json!({"assignees": logins})).await?;
        read::is_about(&said, "/number", number)
    }

    // ---- checks

    /// A check run; a commit status where only Apps may write check runs.
    pub async fn check(&self, report: &CheckReport) -> Result<()> {
        let run = json!({
            "name": report.name, "head_sha": report.sha, "external_id": report.external_id,
            "status": "completed", "conclusion": report.conclusion,
            "output": {"title": report.title, "summary": report.summary},
        });
        match self.post("/check-runs", run).await {
            Err(Error::Forbidden(_) | Error::NotFound(_)) => {}
            other => return read::has_id(&other?),
        }
        let state = match report.conclusion {
            "failure" => "failure",
            "action_required" => "pending",
            _ => "success",
        };
        let description: String = report.title.chars().take(140).collect();
        let status = json!({"state": state, "context": report.name, "description": description});
        let route = format!("/statuses/{}", encode(&report.sha));
        read::has_id(&self.post(&route, status).await?)
    }
}

fn reactions(comment: &Comment) -> Option<String> {
    match comment.kind {
        CommentKind::Issue => Some(format!("/issues/comments/{}/reactions", comment.id)),
        CommentKind::ReviewLine => Some(format!("/pulls/comments/{}/reactions", comment.id)),
        CommentKind::Review => None,
    }
}

/// Percent-encodes one path segment or query value.
fn encode(text: &str) -> String {
    text.bytes().map(encoded).collect()
}

/// Percent-encodes a path, `/` kept.
fn encode_path(text: &str) -> String {
    text.split('/').map(encode).collect::<Vec<_>>().join("/")
}

fn encoded(byte: u8) -> String {
    match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
            char::from(byte).to_string()
        }
        _ => format!("%{byte:02X}"),
    }
}
