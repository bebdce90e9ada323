//! Branches, commits and files of one repository. Commits are made of blobs, a tree and a commit;
//! a branch only moves from the head that was looked at.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::Method;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::{Error, GitHub, Result, encode, encode_path, read};
use crate::forge::Actor;
use crate::forge::codeowners::{self, CodeOwners};

/// The largest file of a commit. GitHub takes 40 MiB; no manifest is near it.
const MAX_FILE: usize = 10 << 20;
/// The most files of a commit.
const MAX_FILES: usize = 300;
/// How often GitHub is given time to see what it just stored.
const RACES: u32 = 3;
/// Stands for "no commit" where a commit is expected.
const NO_COMMIT: &str = "0000000000000000000000000000000000000000";

const UPDATE_REF: &str = "mutation($repository: ID!, $name: GitRefname!, $before: GitObjectID!, $after: GitObjectID!) { updateRefs(input: {repositoryId: $repository, refUpdates: [{name: $name, beforeOid: $before, afterOid: $after, force: true}]}) { clientMutationId } }";

/// A file of a new commit; the mode is always 100644.
pub type NewFiles = BTreeMap<String, Vec<u8>>;

/// A commit as GitHub stores it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommitFacts {
    /// Its id.
    pub sha: String,
    /// Its tree.
    pub tree: String,
    /// Its parents.
    pub parents: Vec<String>,
    /// Its message.
    pub message: String,
    /// When it was committed.
    pub committed_at: Timestamp,
    /// The account of its author, where GitHub knows one.
    pub author: Option<Actor>,
    /// The account of its committer, where GitHub knows one: whoever amends a commit is its committer.
    pub committer: Option<Actor>,
    /// Whether GitHub says that its signature is good.
    pub verified: bool,
}

/// How a move of a branch ended.
enum Swap {
    Done,
    /// Somebody else moved it.
    Moved,
    /// This GitHub has no such mutation.
    Unknown,
}

impl GitHub {
    /// The commit that a branch points to; `None` when there is no such branch.
    pub async fn branch_head(&self, branch: &str) -> Result<Option<String>> {
        let route = format!("/git/ref/heads/{}", encode_path(branch));
        match self.get::<Value>(&route).await {
            Ok(value) => read::string(&value, "/object/sha").map(Some),
            Err(Error::NotFound(_)) => self.absent().await,
            Err(error) => Err(error),
        }
    }

    /// Nothing is there, if the repository itself can be seen. When the App was taken off it,
    /// everything answers 404, and that says nothing about branches and files.
    async fn absent<T>(&self) -> Result<Option<T>> {
        match self.get::<Value>("").await {
            Ok(_) => Ok(None),
            Err(Error::NotFound(said)) => Err(Error::Unauthorized(format!(
                "{} cannot be seen any more ({said})",
                self.full_name()
            ))),
            Err(error) => Err(error),
        }
    }

    /// Branches whose name starts with a prefix, with their heads.
    pub async fn branches(&self, prefix: &str) -> Result<BTreeMap<String, String>> {
        let route = format!("/git/matching-refs/heads/{}", encode_path(prefix));
        read::refs(&self.pages(&route, 10).await?)
    }

    /// A commit.
    pub async fn commit(&self, sha: &str) -> Result<CommitFacts> {
        read::commit(&self.get(&format!("/commits/{}", encode(sha))).await?)
    }

    /// When a branch was pointed to a commit, by GitHub's own clock: the time of a commit is set by
    /// whoever makes it. `None` where that cannot be told.
    pub async fn pushed_at(&self, branch: &str, sha: &str) -> Result<Option<Timestamp>> {
        let name = format!("refs/heads/{branch}");
        let route = format!("/activity?per_page=100&ref={}", encode(&name));
        match self.get::<Vec<Value>>(&route).await {
            Ok(newest_first) => Ok(read::pushed(&newest_first, &name, sha)),
            Err(error) if error.is_outage() => Err(error),
            Err(_) => Ok(None),
        }
    }

    /// A file at a commit or branch; `None` when it is not there.
    pub async fn file(&self, path: &str, at: &str) -> Result<Option<Vec<u8>>> {
        let route = format!("/contents/{}?ref={}", encode_path(path), encode(at));
        match self.get::<Value>(&route).await {
            Ok(value) => read::content(&value).map(Some),
            Err(Error::NotFound(_)) => self.absent().await,
            Err(error) => Err(error),
        }
    }

    /// CODEOWNERS at a commit or branch: the first place that has one counts alone.
    pub async fn code_owners(&self, at: &str) -> Result<CodeOwners> {
        for place in codeowners::PLACES {
            if let Some(bytes) = self.file(place, at).await? {
                return Ok(CodeOwners::parse(&bytes));
            }
        }
        Ok(CodeOwners::default())
    }

    /// A commit with `parent` as its only parent: blobs, a tree on the parent's tree, the commit.
    /// No author is given, so that GitHub signs it; `verified` says whether it did. Nothing points
    /// to it yet.
    pub async fn make_commit(
        &self,
        parent: &str,
        files: &NewFiles,
        message: &str,
    ) -> Result<CommitFacts> {
        check_files(files)?;
        let route = format!("/git/commits/{}", encode(parent));
        let base = read::string(&self.get::<Value>(&route).await?, "/tree/sha")?;
        let mut entries = Vec::new();
        for (path, bytes) in files {
            let blob = json!({"content": STANDARD.encode(bytes), "encoding": "base64"});
            let sha = read::string(&self.post("/git/blobs", blob).await?, "/sha")?;
            entries.push(json!({"path": path, "mode": "100644", "type": "blob", "sha": sha}));
        }
        let tree = json!({"base_tree": base, "tree": entries});
        let tree = read::string(&self.post_when_seen("/git/trees", tree).await?, "/sha")?;
        let commit = json!({"message": message, "tree": tree, "parents": [parent]});
        let made = self.post_when_seen("/git/commits", commit).await?;
        let facts = self.with_signature(&made).await?;
        if !facts.verified {
            let sha = &facts.sha;
            tracing::warn!(sha, "not signed: branches that demand signatures refuse it");
        }
        Ok(facts)
    }

    /// Where the answer leaves open whether the signature is good, the commit is read again.
    async fn with_signature(&self, made: &Value) -> Result<CommitFacts> {
        let facts = read::git_commit(made)?;
        let reason = made.pointer("/verification/reason").and_then(Value::as_str);
        if facts.verified || reason == Some("unsigned") {
            return Ok(facts);
        }
        let route = format!("/git/commits/{}", encode(&facts.sha));
        read::git_commit(&self.get(&route).await?)
    }

    /// A creation that names objects which were made a moment ago, and which not every server of
    /// GitHub may know yet. Such a refusal created nothing, so it is safe to ask again.
    async fn post_when_seen(&self, rest: &str, body: Value) -> Result<Value> {
        let mut tries = 1;
        loop {
            match self.post(rest, body.clone()).await {
                Err(Error::Invalid(said)) if tries < RACES && is_race(&said) => {}
                answer => return answer,
            }
            self.transport.breathe(tries).await;
            tries += 1;
        }
    }

    /// Makes a branch. `false` when it exists already.
    pub async fn create_branch(&self, branch: &str, sha: &str) -> Result<bool> {
        let body = json!({"ref": format!("refs/heads/{branch}"), "sha": sha});
        match self.post_when_seen("/git/refs", body).await {
            Ok(said) => read::points_to(&said, sha).map(|()| true),
            Err(Error::Invalid(m)) if m.to_lowercase().contains("already exists") => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Moves a branch, but only if its head is `expected`. `false` when it moved meanwhile.
    ///
    /// A commit on top of `expected` goes through REST, which refuses it when it is no
    /// fast-forward. Anything else replaces what is there, and goes through GraphQL, which compares
    /// and swaps in one step. Only where a server lacks that, the head is read right before; what
    /// somebody pushes between the two requests is then replaced.
    pub async fn move_branch(
        &self,
        branch: &str,
        expected: &str,
        to: &CommitFacts,
    ) -> Result<bool> {
        let forward = to.parents.iter().any(|p| p == expected);
        if !forward {
            match self.swap(branch, expected, &to.sha).await? {
                Swap::Done => return Ok(true),
                Swap::Moved => return Ok(false),
                Swap::Unknown => {}
            }
        }
        if self.branch_head(branch).await?.as_deref() != Some(expected) {
            return Ok(false);
        }
        let route = self.at(&format!("/git/refs/heads/{}", encode_path(branch)));
        let body = json!({"sha": to.sha, "force": !forward});
        let sent = self
            .transport
            .json_once::<Value>(Method::PATCH, &route, Some(body));
        match sent.await {
            Ok(said) => read::points_to(&said, &to.sha).map(|()| true),
            Err(error) => {
                self.moved_after(error, branch, expected, Some(&to.sha))
                    .await
            }
        }
    }

    /// Deletes a branch, but only if its head is `expected`. `false` when it moved meanwhile. One
    /// that is gone already is fine.
    pub async fn delete_branch_at(&self, branch: &str, expected: &str) -> Result<bool> {
        match self.swap(branch, expected, NO_COMMIT).await? {
            Swap::Done => return Ok(true),
            Swap::Moved => return Ok(self.branch_head(branch).await?.is_none()),
            Swap::Unknown => {}
        }
        match self.branch_head(branch).await? {
            None => Ok(true),
            Some(head) if head == expected => self.delete_branch(branch).await.map(|()| true),
            Some(_) => Ok(false),
        }
    }

    /// Deletes a branch; one that is gone already is fine.
    pub async fn delete_branch(&self, branch: &str) -> Result<()> {
        let route = self.at(&format!("/git/refs/heads/{}", encode_path(branch)));
        match self
            .transport
            .json::<Value>(Method::DELETE, &route, None)
            .await
        {
            Ok(said) => read::is_nothing(&said),
            Err(Error::NotFound(_)) => Ok(()),
            Err(Error::Invalid(m)) if m.contains("does not exist") => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Compare and swap of a branch's head in one step.
    async fn swap(&self, branch: &str, before: &str, after: &str) -> Result<Swap> {
        let Some(repository) = self.node_id().await? else {
            return Ok(Swap::Unknown);
        };
        let name = format!("refs/heads/{branch}");
        let variables =
            json!({"repository": repository, "name": name, "before": before, "after": after});
        let error = match self.graphql(UPDATE_REF, variables).await {
            Ok(_) => return Ok(Swap::Done),
            Err(error) => error,
        };
        match &error {
            Error::NotFound(_) => return Ok(Swap::Unknown),
            Error::Invalid(said) if said.contains("doesn't exist on type") => {
                return Ok(Swap::Unknown);
            }
            _ => {}
        }
        let wanted = Some(after).filter(|a| *a != NO_COMMIT);
        match self.moved_after(error, branch, before, wanted).await? {
            true => Ok(Swap::Done),
            false => Ok(Swap::Moved),
        }
    }

    /// What an error of a move means: the branch itself tells.
    async fn moved_after(
        &self,
        error: Error,
        branch: &str,
        before: &str,
        wanted: Option<&str>,
    ) -> Result<bool> {
        if !matches!(
            error,
            Error::Invalid(_) | Error::Conflict(_) | Error::Unavailable(_)
        ) {
            return Err(error);
        }
        match self.branch_head(branch).await? {
            head if head.as_deref() == wanted => Ok(true),
            Some(head) if head == before => Err(error),
            _ => Ok(false),
        }
    }

    async fn node_id(&self) -> Result<Option<String>> {
        let repository: Value = self.get("").await?;
        let id = repository.get("node_id").and_then(Value::as_str);
        Ok(id.filter(|id| !id.is_empty()).map(str::to_owned))
    }
}

fn is_race(said: &str) -> bool {
    let signs = [
        "SHA does not exist",
        "Object does not exist",
        "BadObjectState",
    ];
    signs.iter().any(|sign| said.contains(sign))
}

/// The last wall before something is written: no path that means anything but a plain file.
fn check_files(files: &NewFiles) -> Result<()> {
    if files.is_empty() || files.len() > MAX_FILES {
        let count = files.len();
        return Err(Error::Invalid(format!(
            "a commit of {count} files is not made"
        )));
    }
    for (path, bytes) in files {
        let refused = |why: &str| Err(Error::Invalid(format!("{path:?} is not written: {why}")));
        if let Some(why) = forbidden(path) {
            return refused(why);
        }
        if bytes.len() > MAX_FILE {
            return refused("it is too large");
        }
    }
    Ok(())
}

fn forbidden(path: &str) -> Option<&'static str> {
    let lower = path.to_lowercase();
    let odd = |c: char| c.is_control() || c == '\\' || c == ':';
    if path.is_empty() || path.len() > 4096 || path.contains(odd) {
        return Some("no plain path");
    }
    // file systems that ignore case, trailing dots and short names see `.git` in these too
    let is_git = |part: &str| {
        let part = part.trim_end_matches(['.', ' ']);
        part == ".git" || part.starts_with("git~")
    };
    if lower
        .split('/')
        .any(|part| ["", ".", ".."].contains(&part) || is_git(part))
    {
        return Some("no plain path");
    }
    if lower.starts_with(".github/workflows/") || lower.starts_with(".github/actions/") {
        return Some("workflows are never changed");
    }
    None
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn only_plain_files_are_written() {
        for good in [
            "a.yaml",
            "apps/web/.config.yaml",
            ".github/kubemend.yaml",
            "a/..b",
            "gits/x",
        ] {
            assert_eq!(forbidden(good), None, "{good}");
        }
        for bad in [
            "",
            "/etc/passwd",
            "../x",
            "a/../../x",
            "a//b",
            "a/",
            "./a",
            "a/.",
            ".git/config",
            "sub/.GIT/hooks/pre-commit",
            ".git./config",
            "git~1/config",
            "a\\b",
            "c:x",
            "a\nb",
            "a\0",
            ".github/workflows/ci.yml",
            ".GitHub/Workflows/ci.yml",
            ".github/actions/x/action.yml",
        ] {
            assert!(forbidden(bad).is_some(), "{bad:?}");
        }
    }
}
