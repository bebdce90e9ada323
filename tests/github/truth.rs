//! One truth for Git and API: what one of them learns, the other is told, with the same ids.

use std::collections::{BTreeMap, HashSet};
use std::sync::{Mutex, PoisonError};

use base64::Engine as _;
use git2::{ObjectType, Oid, Repository};
use serde_json::{Value, json};

use crate::support::github::git::{Entry, Object, encode};
use crate::upstream::Upstream;

/// Reads and writes behind everybody's back.
pub const ADMIN: &str = "ghp_admin";
/// Reads what every look at a pull request wants to know: a token has only so many requests.
pub const READER: &str = "ghp_reader";

pub struct Truth {
    pub upstream: Upstream,
    pub folder: std::path::PathBuf,
    pub repo: String,
    /// Blobs and trees that the API knows, as a push sends only what is new.
    pub told: Mutex<HashSet<String>>,
}

type Done<T> = Result<T, String>;

fn text<'v>(value: &'v Value, pointer: &str) -> Done<&'v str> {
    value
        .pointer(pointer)
        .and_then(Value::as_str)
        .ok_or_else(|| format!("{pointer} in {value}"))
}

fn said(error: git2::Error) -> String {
    error.to_string()
}

/// GitHub's time as Git's: whole seconds, UTC.
fn seconds(date: &str) -> Done<i64> {
    let at: jiff::Timestamp = date.parse().map_err(|e| format!("{date}: {e}"))?;
    Ok(at.as_second())
}

impl Truth {
    fn at(&self, rest: &str) -> String {
        format!("/repos/{}{rest}", self.repo)
    }

    pub fn git(&self) -> Done<Repository> {
        Repository::open(&self.folder).map_err(said)
    }

    async fn get(&self, rest: &str) -> Done<Value> {
        self.upstream.must(ADMIN, "GET", &self.at(rest), None).await
    }

    async fn api_heads(&self) -> Done<BTreeMap<String, String>> {
        let refs = self.get("/git/matching-refs/heads/?per_page=100").await?;
        let one = |r: &Value| {
            Ok((
                text(r, "/ref")?.to_owned(),
                text(r, "/object/sha")?.to_owned(),
            ))
        };
        refs.as_array().into_iter().flatten().map(one).collect()
    }

    fn git_heads(&self) -> Done<BTreeMap<String, String>> {
        let git = self.git()?;
        let refs = git.references_glob("refs/heads/*").map_err(said)?;
        let mut heads = BTreeMap::new();
        for reference in refs {
            let reference = reference.map_err(said)?;
            let name = String::from_utf8_lossy(reference.name_bytes()).into_owned();
            let target = reference.target().ok_or("a symbolic branch")?;
            heads.insert(name, target.to_string());
        }
        Ok(heads)
    }

    // ---- API → Git

    /// After something was done through the API.
    pub async fn pull_from_api(&self) -> Done<()> {
        let (api, git) = (self.api_heads().await?, self.git_heads()?);
        for (name, sha) in api.iter().filter(|(name, sha)| git.get(*name) != Some(sha)) {
            self.bring_commit(sha).await?;
            let id = Oid::from_str(sha).map_err(said)?;
            self.git()?.reference(name, id, true, "api").map_err(said)?;
        }
        for name in git.keys().filter(|name| !api.contains_key(*name)) {
            let git = self.git()?;
            git.find_reference(name)
                .and_then(|mut r| r.delete())
                .map_err(said)?;
        }
        Ok(())
    }

    fn has(&self, sha: &str) -> Done<bool> {
        let id = Oid::from_str(sha).map_err(said)?;
        Ok(self.git()?.odb().map_err(said)?.exists(id))
    }

    /// Writes an object; its id must be the API's.
    fn put(&self, kind: ObjectType, bytes: &[u8], sha: &str) -> Done<bool> {
        if Oid::hash_object(kind, bytes).map_err(said)?.to_string() != sha {
            return Ok(false);
        }
        self.git()?
            .odb()
            .and_then(|odb| odb.write(kind, bytes))
            .map_err(said)?;
        Ok(true)
    }

    async fn bring_commit(&self, sha: &str) -> Done<()> {
        let mut todo = vec![sha.to_owned()];
        while let Some(sha) = todo.pop() {
            if self.has(&sha)? {
                continue;
            }
            let commit = self.get(&format!("/git/commits/{sha}")).await?;
            self.bring_tree(text(&commit, "/tree/sha")?).await?;
            let mut head = format!("tree {}\n", text(&commit, "/tree/sha")?);
            for parent in commit["parents"].as_array().into_iter().flatten() {
                let parent = text(parent, "/sha")?;
                head += &format!("parent {parent}\n");
                todo.push(parent.to_owned());
            }
            for who in ["author", "committer"] {
                let part = &commit[who];
                let at = seconds(text(part, "/date")?)?;
                head += &format!(
                    "{who} {} <{}> {at} +0000\n",
                    text(part, "/name")?,
                    text(part, "/email")?
                );
            }
            let message = text(&commit, "/message")?;
            // the API may or may not show the last line end
            let bodies = [message.to_owned(), format!("{message}\n")];
            let written = bodies
                .iter()
                .map(|m| self.put(ObjectType::Commit, format!("{head}\n{m}").as_bytes(), &sha));
            if !written.collect::<Done<Vec<bool>>>()?.contains(&true) {
                return Err(format!("commit {sha} has another id in Git: {commit}"));
            }
        }
        Ok(())
    }

    async fn bring_tree(&self, sha: &str) -> Done<()> {
        let all = self.get(&format!("/git/trees/{sha}?recursive=1")).await?;
        let entries = all["tree"].as_array().cloned().unwrap_or_default();
        let mut trees: Vec<String> = vec![sha.to_owned()];
        for entry in &entries {
            let id = text(entry, "/sha")?.to_owned();
            match text(entry, "/type")? {
                "tree" => trees.push(id),
                _ if self.has(&id)? => {}
                _ => self.bring_blob(&id).await?,
            }
        }
        for tree in trees {
            let one = self.get(&format!("/git/trees/{tree}")).await?;
            let mut entries = BTreeMap::new();
            for entry in one["tree"].as_array().into_iter().flatten() {
                let mode = text(entry, "/mode")?.trim_start_matches('0').to_owned();
                let sha = text(entry, "/sha")?.to_owned();
                entries.insert(text(entry, "/path")?.to_owned(), Entry { mode, sha });
            }
            let (_, bytes) = encode(&Object::Tree(entries));
            if !self.put(ObjectType::Tree, &bytes, &tree)? {
                return Err(format!("tree {tree} has another id in Git"));
            }
        }
        Ok(())
    }

    async fn bring_blob(&self, sha: &str) -> Done<()> {
        let blob = self.get(&format!("/git/blobs/{sha}")).await?;
        let packed: String = text(&blob, "/content")?.split_whitespace().collect();
        let bytes = base64::engine::general_purpose::STANDARD
            .decode(packed)
            .map_err(|e| e.to_string())?;
        match self.put(ObjectType::Blob, &bytes, sha)? {
            true => Ok(()),
            false => Err(format!("blob {sha} has another id in Git")),
        }
    }

    // ---- Git → API

    /// After a push, as the one who pushed.
    pub async fn push_to_api(&self, token: &str) -> Done<()> {
        let (api, git) = (self.api_heads().await?, self.git_heads()?);
        for (name, sha) in git.iter().filter(|(name, sha)| api.get(*name) != Some(sha)) {
            for commit in self.new_commits(sha, &api)? {
                self.tell_commit(commit, token).await?;
            }
            let (method, route, body) = match api.contains_key(name) {
                true => {
                    let route = format!("/git/{name}");
                    ("PATCH", route, json!({"sha": sha, "force": true}))
                }
                false => (
                    "POST",
                    "/git/refs".to_owned(),
                    json!({"ref": name, "sha": sha}),
                ),
            };
            self.upstream
                .must(token, method, &self.at(&route), Some(body))
                .await?;
        }
        for name in api.keys().filter(|name| !git.contains_key(*name)) {
            let route = self.at(&format!("/git/{name}"));
            self.upstream.must(token, "DELETE", &route, None).await?;
        }
        Ok(())
    }

    fn new_commits(&self, sha: &str, known: &BTreeMap<String, String>) -> Done<Vec<Oid>> {
        let git = self.git()?;
        let mut walk = git.revwalk().map_err(said)?;
        walk.set_sorting(git2::Sort::TOPOLOGICAL | git2::Sort::REVERSE)
            .map_err(said)?;
        walk.push(Oid::from_str(sha).map_err(said)?).map_err(said)?;
        for old in known.values() {
            let id = Oid::from_str(old).map_err(said)?;
            if git.odb().map_err(said)?.exists(id) {
                walk.hide(id).map_err(said)?;
            }
        }
        walk.collect::<Result<Vec<Oid>, _>>().map_err(said)
    }

    async fn post(&self, rest: &str, body: Value, token: &str, sha: &str) -> Done<()> {
        let answer = self
            .upstream
            .must(token, "POST", &self.at(rest), Some(body))
            .await?;
        match text(&answer, "/sha")? {
            same if same == sha => Ok(()),
            other => Err(format!("{rest}: {sha} in Git is {other} in the API")),
        }
    }

    async fn tell_commit(&self, id: Oid, token: &str) -> Done<()> {
        let (objects, body) = self.describe(id)?;
        for (rest, body, sha) in objects {
            let told = || self.told.lock().unwrap_or_else(PoisonError::into_inner);
            if told().contains(&sha) {
                continue;
            }
            self.post(rest, body, token, &sha).await?;
            told().insert(sha);
        }
        self.post("/git/commits", body, token, &id.to_string())
            .await
    }

    /// Blobs and trees of a commit, innermost first, and the commit.
    #[allow(clippy::type_complexity)]
    fn describe(&self, id: Oid) -> Done<(Vec<(&'static str, Value, String)>, Value)> {
        let git = self.git()?;
        let commit = git.find_commit(id).map_err(said)?;
        let mut objects = Vec::new();
        describe_tree(&git, commit.tree_id(), &mut objects)?;
        let who = |s: &git2::Signature<'_>| {
            let at = jiff::Timestamp::from_second(s.when().seconds()).map_err(|e| e.to_string())?;
            let (name, email) = (
                String::from_utf8_lossy(s.name_bytes()).into_owned(),
                String::from_utf8_lossy(s.email_bytes()).into_owned(),
            );
            Done::Ok(json!({"name": name, "email": email, "date": at}))
        };
        let message = String::from_utf8_lossy(commit.message_raw_bytes()).into_owned();
        let parents: Vec<String> = commit.parent_ids().map(|p| p.to_string()).collect();
        let body = json!({
            "message": message.strip_suffix('\n').unwrap_or(&message),
            "tree": commit.tree_id().to_string(), "parents": parents,
            "author": who(&commit.author())?, "committer": who(&commit.committer())?,
        });
        Ok((objects, body))
    }
}

fn describe_tree(
    git: &Repository,
    id: Oid,
    out: &mut Vec<(&'static str, Value, String)>,
) -> Done<()> {
    let tree = git.find_tree(id).map_err(said)?;
    let mut entries = Vec::new();
    for entry in &tree {
        let kind = if entry.kind() == Some(ObjectType::Tree) {
            "tree"
        } else {
            "blob"
        };
        if kind == "tree" {
            describe_tree(git, entry.id(), out)?;
        } else {
            let blob = git.find_blob(entry.id()).map_err(said)?;
            let content = base64::engine::general_purpose::STANDARD.encode(blob.content());
            out.push((
                "/git/blobs",
                json!({"content": content, "encoding": "base64"}),
                entry.id().to_string(),
            ));
        }
        let name = String::from_utf8_lossy(entry.name_bytes()).into_owned();
        let mode = format!("{:06o}", entry.filemode());
        entries
            .push(json!({"path": name, "mode": mode, "type": kind, "sha": entry.id().to_string()}));
    }
    out.push(("/git/trees", json!({"tree": entries}), id.to_string()));
    Ok(())
}
