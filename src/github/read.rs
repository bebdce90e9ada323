//! GitHub's JSON into our own types. Tolerant of what is missing, strict about what decides.

use std::collections::BTreeMap;

use serde_json::Value;

use super::auth::Installation;
use super::installation::Delivery;
use super::{CommitFacts, Error, Result};
use crate::forge::{
    Actor, Comment, CommentKind, Issue, Permission, Pull, PullState, RepositoryFacts,
};

pub(super) const TO_DRAFT: &str = "mutation($id: ID!) { convertPullRequestToDraft(input: {pullRequestId: $id}) { pullRequest { isDraft } } }";
pub(super) const TO_READY: &str = "mutation($id: ID!) { markPullRequestReadyForReview(input: {pullRequestId: $id}) { pullRequest { isDraft } } }";
pub(super) const MINIMIZE: &str = "mutation($id: ID!) { minimizeComment(input: {subjectId: $id, classifier: OUTDATED}) { minimizedComment { isMinimized } } }";

pub(super) fn list<T>(values: &[Value], one: impl Fn(&Value) -> Result<T>) -> Result<Vec<T>> {
    values.iter().map(one).collect()
}

fn at<'v>(value: &'v Value, pointer: &str) -> Result<&'v Value> {
    value
        .pointer(pointer)
        .filter(|v| !v.is_null())
        .ok_or_else(|| Error::Unexpected(format!("{pointer} is missing")))
}

pub(super) fn string(value: &Value, pointer: &str) -> Result<String> {
    let text = at(value, pointer)?.as_str();
    text.map(str::to_owned)
        .ok_or_else(|| Error::Unexpected(format!("{pointer} is not a string")))
}

/// A write is done when its answer is about the very thing that was written.
pub(super) fn is_about(value: &Value, pointer: &str, wanted: u64) -> Result<()> {
    match number(value, pointer)? {
        found if found == wanted => Ok(()),
        found => Err(Error::Unexpected(format!(
            "{pointer} is {found} and not {wanted}"
        ))),
    }
}

/// What was made has an id.
pub(super) fn has_id(value: &Value) -> Result<()> {
    number(value, "/id").map(drop)
}

pub(super) fn is_in_state(value: &Value, wanted: &str) -> Result<()> {
    match string(value, "/state")? {
        found if found == wanted => Ok(()),
        found => Err(Error::Unexpected(format!("/state is {found:?}"))),
    }
}

pub(super) fn is_list(value: &Value) -> Result<()> {
    let unexpected = || Error::Unexpected("not a list".to_owned());
    value.as_array().map(drop).ok_or_else(unexpected)
}

/// A branch that was made or moved points to where it was sent.
pub(super) fn points_to(value: &Value, wanted: &str) -> Result<()> {
    match string(value, "/object/sha")? {
        found if found == wanted => Ok(()),
        found => Err(Error::Unexpected(format!("/object/sha is {found:?}"))),
    }
}

pub(super) fn is_nothing(value: &Value) -> Result<()> {
    let unexpected = || Error::Unexpected("an answer, where none is described".to_owned());
    value.is_null().then_some(()).ok_or_else(unexpected)
}

fn text(value: &Value, pointer: &str) -> String {
    value
        .pointer(pointer)
        .and_then(Value::as_str)
        .unwrap_or_default()
        .to_owned()
}

fn number(value: &Value, pointer: &str) -> Result<u64> {
    at(value, pointer)?
        .as_u64()
        .ok_or_else(|| Error::Unexpected(format!("{pointer} is not a number")))
}

fn flag(value: &Value, pointer: &str) -> bool {
    value
        .pointer(pointer)
        .and_then(Value::as_bool)
        .unwrap_or(false)
}

pub(super) fn time(value: &Value, pointer: &str) -> Result<jiff::Timestamp> {
    string(value, pointer)?
        .parse()
        .map_err(|e| Error::Unexpected(format!("{pointer}: {e}")))
}

fn maybe_time(value: &Value, pointer: &str) -> Option<jiff::Timestamp> {
    value.pointer(pointer)?.as_str()?.parse().ok()
}

pub(super) fn actor(value: &Value, pointer: &str) -> Result<Actor> {
    // the account of a deleted user is null: nobody, who may do nothing
    match value.pointer(pointer).filter(|v| !v.is_null()) {
        None => Ok(Actor {
            id: 0,
            login: "ghost".to_owned(),
            bot: false,
        }),
        Some(user) => Ok(Actor {
            id: number(user, "/id")?,
            login: string(user, "/login")?,
            bot: text(user, "/type") == "Bot",
        }),
    }
}

pub(super) fn repository(value: &Value) -> Result<RepositoryFacts> {
    Ok(RepositoryFacts {
        id: number(value, "/id")?,
        full_name: string(value, "/full_name")?,
        default_branch: string(value, "/default_branch")?,
        archived: flag(value, "/archived"),
        has_issues: value
            .pointer("/has_issues")
            .and_then(Value::as_bool)
            .unwrap_or(true),
        private: flag(value, "/private"),
    })
}

/// The answer must be about the same numeric id: a login can be given to somebody else.
pub(super) fn permission(value: &Value, user: &Actor) -> Result<Permission> {
    if number(value, "/user/id")? != user.id {
        return Ok(Permission::None);
    }
    // `role_name` tells maintain and triage apart, which `permission` folds into write and read
    let role = Some(text(value, "/role_name")).filter(|r| !r.is_empty());
    let known = |name: &str| match name {
        "admin" => Some(Permission::Admin),
        "maintain" => Some(Permission::Maintain),
        "write" => Some(Permission::Write),
        "triage" => Some(Permission::Triage),
        "read" => Some(Permission::Read),
        "none" => Some(Permission::None),
        _ => None,
    };
    // a role of the organisation's own is what `permission` folds it into
    let named = role.as_deref().and_then(known);
    Ok(named
        .or_else(|| known(&text(value, "/permission")))
        .unwrap_or(Permission::None))
}

pub(super) fn refs(values: &[Value]) -> Result<BTreeMap<String, String>> {
    let one = |v: &Value| {
        let name = string(v, "/ref")?;
        let name = name.strip_prefix("refs/heads/").unwrap_or(&name).to_owned();
        Ok((name, string(v, "/object/sha")?))
    };
    values.iter().map(one).collect()
}

/// A commit of `/commits` or `/pulls/N/commits`.
pub(super) fn commit(value: &Value) -> Result<CommitFacts> {
    let account = |pointer: &str| {
        let known = value
            .pointer(pointer)
            .is_some_and(|a| a.get("id").is_some());
        known.then(|| actor(value, pointer)).transpose()
    };
    Ok(CommitFacts {
        sha: string(value, "/sha")?,
        tree: string(value, "/commit/tree/sha")?,
        parents: parents(value)?,
        message: text(value, "/commit/message"),
        committed_at: time(value, "/commit/committer/date")?,
        author: account("/author")?,
        committer: account("/committer")?,
        verified: flag(value, "/commit/verification/verified"),
    })
}

/// A commit of `/git/commits`.
pub(super) fn git_commit(value: &Value) -> Result<CommitFacts> {
    Ok(CommitFacts {
        sha: string(value, "/sha")?,
        tree: string(value, "/tree/sha")?,
        parents: parents(value)?,
        message: text(value, "/message"),
        committed_at: time(value, "/committer/date")?,
        author: None,
        committer: None,
        verified: flag(value, "/verification/verified"),
    })
}

fn parents(value: &Value) -> Result<Vec<String>> {
    let list = value.pointer("/parents").and_then(Value::as_array);
    list.into_iter()
        .flatten()
        .map(|p| string(p, "/sha"))
        .collect()
}

/// The last time at which a branch was pointed to a commit, out of its activities.
pub(super) fn pushed(activities: &[Value], name: &str, sha: &str) -> Option<jiff::Timestamp> {
    let hit = |a: &&Value| text(a, "/ref") == name && text(a, "/after") == sha;
    let times = activities.iter().filter(hit);
    times.filter_map(|a| maybe_time(a, "/timestamp")).max()
}

pub(super) fn content(value: &Value) -> Result<Vec<u8>> {
    use base64::Engine as _;
    let packed: String = string(value, "/content")?.split_whitespace().collect();
    base64::engine::general_purpose::STANDARD
        .decode(packed)
        .map_err(|e| Error::Unexpected(format!("/content: {e}")))
}

fn labels(value: &Value) -> Vec<String> {
    let list = value.pointer("/labels").and_then(Value::as_array);
    let name = |l: &Value| l.get("name").unwrap_or(l).as_str().map(str::to_owned);
    list.into_iter().flatten().filter_map(name).collect()
}

pub(super) fn pull(value: &Value) -> Result<Pull> {
    let open = string(value, "/state")? == "open";
    let merged = flag(value, "/merged") || maybe_time(value, "/merged_at").is_some();
    Ok(Pull {
        number: number(value, "/number")?,
        node_id: text(value, "/node_id"),
        title: text(value, "/title"),
        body: text(value, "/body"),
        state: match (open, merged) {
            (true, _) => PullState::Open,
            (false, true) => PullState::Merged,
            (false, false) => PullState::Closed,
        },
        draft: flag(value, "/draft"),
        head_ref: string(value, "/head/ref")?,
        head_sha: string(value, "/head/sha")?,
        head_repo_id: value.pointer("/head/repo/id").and_then(Value::as_u64),
        base_ref: string(value, "/base/ref")?,
        labels: labels(value),
        author: actor(value, "/user")?,
        merge_commit: Some(text(value, "/merge_commit_sha")).filter(|s| merged && !s.is_empty()),
        mergeable: value.pointer("/mergeable").and_then(Value::as_bool),
        created_at: time(value, "/created_at")?,
        updated_at: time(value, "/updated_at")?,
        closed_at: maybe_time(value, "/closed_at"),
    })
}

pub(super) fn issue(value: &Value) -> Result<Issue> {
    let closed_by = value.pointer("/closed_by").filter(|v| !v.is_null());
    Ok(Issue {
        number: number(value, "/number")?,
        title: text(value, "/title"),
        body: text(value, "/body"),
        open: string(value, "/state")? == "open",
        labels: labels(value),
        author: actor(value, "/user")?,
        closed_by: closed_by.map(|_| actor(value, "/closed_by")).transpose()?,
        created_at: time(value, "/created_at")?,
        updated_at: time(value, "/updated_at")?,
        closed_at: maybe_time(value, "/closed_at"),
    })
}

pub(super) fn comment(value: &Value, kind: CommentKind) -> Result<Comment> {
    // a review has one time only
    let created = time(value, "/created_at").or_else(|_| time(value, "/submitted_at"))?;
    Ok(Comment {
        id: number(value, "/id")?,
        node_id: text(value, "/node_id"),
        kind,
        author: actor(value, "/user")?,
        body: text(value, "/body"),
        created_at: created,
        said_at: created,
        updated_at: maybe_time(value, "/updated_at").unwrap_or(created),
        marks: marks(value),
    })
}

/// A comment of a review is said when that is sent.
pub(super) fn line_comment(
    value: &Value,
    sent: &BTreeMap<u64, jiff::Timestamp>,
) -> Result<Comment> {
    let one = comment(value, CommentKind::ReviewLine)?;
    let review = value
        .pointer("/pull_request_review_id")
        .and_then(Value::as_u64);
    let said = review.and_then(|id| sent.get(&id));
    Ok(Comment {
        said_at: said.map_or(one.created_at, |sent| one.created_at.max(*sent)),
        ..one
    })
}

/// When reviews were sent.
pub(super) fn sent(reviews: &[Value]) -> BTreeMap<u64, jiff::Timestamp> {
    let one = |v: &Value| Some((number(v, "/id").ok()?, maybe_time(v, "/submitted_at")?));
    reviews.iter().filter_map(one).collect()
}

fn marks(comment: &Value) -> Option<u64> {
    let count = |content: &str| comment.pointer(&format!("/reactions/{content}"))?.as_u64();
    Some(count("-1")?.saturating_add(count("rocket")?))
}

pub(super) fn installation(value: &Value) -> Result<Installation> {
    let granted = value.pointer("/permissions").and_then(Value::as_object);
    let granted = granted.into_iter().flatten();
    let level = |(name, level): (&String, &Value)| Some((name.clone(), level.as_str()?.to_owned()));
    Ok(Installation {
        id: number(value, "/id")?,
        account: text(value, "/account/login"),
        suspended: value
            .pointer("/suspended_at")
            .is_some_and(|at| !at.is_null()),
        permissions: granted.filter_map(level).collect(),
    })
}

pub(super) fn delivery(value: &Value) -> Result<Delivery> {
    let maybe = |pointer: &str| value.pointer(pointer).and_then(Value::as_u64);
    Ok(Delivery {
        id: number(value, "/id")?,
        guid: text(value, "/guid"),
        at: time(value, "/delivered_at")?,
        repeated: flag(value, "/redelivery"),
        status: maybe("/status_code").unwrap_or(0),
        event: text(value, "/event"),
        action: Some(text(value, "/action")).filter(|a| !a.is_empty()),
        installation: maybe("/installation_id"),
        repository: maybe("/repository_id"),
    })
}
