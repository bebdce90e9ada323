//! What the GitHub of the tests holds, and what can happen to it, whoever does it.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{Timestamp, ToSpan as _};
use serde_json::{Value, json};

use super::git::{Commit, Entry, Flat, Object, Signature, Store};
use super::wire::Reply;

/// An account. Compared by `id`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    pub id: u64,
    pub login: String,
    /// `User`, `Bot`, `Organization`.
    pub kind: &'static str,
}

/// Who a token speaks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Holder {
    /// A person, or a machine user.
    User(u64),
    /// An installation of an App, with what it may do: `contents` → `write`.
    Installation {
        app: u64,
        may: BTreeMap<String, String>,
        repositories: Option<BTreeSet<String>>,
    },
    /// An App itself, by JWT.
    App(u64),
}

/// A token that somebody holds.
#[derive(Debug, Clone, PartialEq)]
pub struct Token {
    pub holder: Holder,
    pub until: Option<Timestamp>,
}

/// A GitHub App.
#[derive(Debug, Clone, PartialEq)]
pub struct App {
    pub id: u64,
    pub client_id: String,
    pub slug: String,
    /// The account that its writes are attributed to.
    pub bot: u64,
    /// DER of the public key.
    pub public_key: Vec<u8>,
    pub installation: u64,
    pub may: BTreeMap<String, String>,
    pub suspended: bool,
}

/// A comment, a review, or a comment of a review.
#[derive(Debug, Clone, PartialEq)]
pub struct Comment {
    pub id: u64,
    pub author: u64,
    pub body: String,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
    pub minimized: bool,
    /// Who reacted with what.
    pub reactions: Vec<(u64, u64, String)>,
    /// For a review: `APPROVED`, `CHANGES_REQUESTED`, `COMMENTED`.
    pub state: String,
    /// For a comment on a line.
    pub path: String,
    pub line: u64,
    pub commit: String,
    pub review: Option<u64>,
    pub reply_to: Option<u64>,
}

/// Something that happened to an issue.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    pub id: u64,
    pub what: &'static str,
    pub actor: u64,
    pub at: Timestamp,
    pub label: Option<String>,
    pub commit: Option<String>,
}

/// An issue or a pull request: they count together.
#[derive(Debug, Clone, PartialEq)]
pub struct Item {
    pub number: u64,
    pub id: u64,
    pub title: String,
    pub body: String,
    pub author: u64,
    pub open: bool,
    pub state_reason: Option<String>,
    pub closed_by: Option<u64>,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
    pub closed_at: Option<Timestamp>,
    pub labels: Vec<String>,
    pub assignees: Vec<u64>,
    pub locked: bool,
    pub comments: Vec<Comment>,
    pub events: Vec<Event>,
    pub pull: Option<PullPart>,
}

/// What only a pull request has.
#[derive(Debug, Clone, PartialEq)]
pub struct PullPart {
    pub head_owner: String,
    pub head_ref: String,
    pub head_sha: String,
    pub head_deleted: bool,
    pub base_ref: String,
    pub base_sha: String,
    pub draft: bool,
    pub merged_at: Option<Timestamp>,
    pub merge_commit: Option<String>,
    /// How many more times `mergeable` is asked before it is known.
    pub thinking: u32,
    pub reviews: Vec<Comment>,
    pub review_comments: Vec<Comment>,
    pub reviewers: Vec<String>,
}

/// A check run or a commit status, as it was sent.
#[derive(Debug, Clone, PartialEq)]
pub struct Check {
    pub id: u64,
    pub sha: String,
    pub app: Option<u64>,
    pub creator: u64,
    pub sent: Value,
    pub at: Timestamp,
}

/// A repository.
#[derive(Debug, Clone, PartialEq)]
pub struct Repo {
    pub id: u64,
    pub owner: String,
    pub name: String,
    pub default_branch: String,
    pub private: bool,
    pub archived: bool,
    pub has_issues: bool,
    pub delete_branch_on_merge: bool,
    pub git: Store,
    /// Heads by branch; a branch of a fork is `owner:branch`.
    pub branches: BTreeMap<String, String>,
    /// What happened to branches, in order.
    pub activities: Vec<Activity>,
    pub items: BTreeMap<u64, Item>,
    pub labels: BTreeMap<String, Value>,
    /// Role by login: `admin`, `maintain`, `write`, `triage`, `read`.
    pub roles: BTreeMap<String, String>,
    pub check_runs: Vec<Check>,
    pub statuses: Vec<Check>,
    /// How often `mergeable` is asked for before it is known.
    pub thinking: u32,
    /// Whether drafts are to be had.
    pub drafts: bool,
    /// Whether `GITHUB_TOKEN` may open pull requests.
    pub actions_may_open: bool,
}

/// A change of a branch, as GitHub keeps it.
#[derive(Debug, Clone, PartialEq)]
pub struct Activity {
    pub branch: String,
    pub before: Option<String>,
    pub after: Option<String>,
    pub at: Timestamp,
    pub actor: u64,
}

/// Everything.
#[derive(Clone, PartialEq)]
pub struct State {
    pub now: Timestamp,
    /// How far tests moved the clock.
    pub moved: jiff::SignedDuration,
    pub url: String,
    pub users: Vec<User>,
    pub tokens: BTreeMap<String, Token>,
    pub apps: Vec<App>,
    pub repos: BTreeMap<String, Repo>,
    pub ids: u64,
    /// What `GET /app/hook/deliveries` lists.
    pub deliveries: Vec<Value>,
}

/// Refused as GitHub does.
pub fn validation(resource: &str, errors: Value) -> Reply {
    let _ = resource;
    Reply::error(422, "Validation Failed").with("errors", errors)
}

fn custom(resource: &str, message: &str) -> Reply {
    validation(
        resource,
        json!([{"resource": resource, "code": "custom", "message": message}]),
    )
}

fn invalid(resource: &str, field: &str) -> Reply {
    validation(
        resource,
        json!([{"resource": resource, "field": field, "code": "invalid"}]),
    )
}

/// Titles end at 256 characters, bodies at 65,536.
pub fn check_lengths(resource: &str, title: Option<&str>, body: Option<&str>) -> Result<(), Reply> {
    let too_long =
        |text: Option<&str>, most: usize| text.is_some_and(|t| t.encode_utf16().count() > most);
    if title.is_some_and(|t| t.trim().is_empty()) {
        let errors = json!([{"resource": resource, "code": "missing_field", "field": "title"}]);
        return Err(validation(resource, errors));
    }
    if too_long(title, 256) {
        return Err(custom(
            resource,
            "title is too long (maximum is 256 characters)",
        ));
    }
    if too_long(body, 65_536) {
        return Err(custom(
            resource,
            "body is too long (maximum is 65536 characters)",
        ));
    }
    Ok(())
}

impl State {
    /// One second later: nothing happens twice in the same second, unless a test wants it.
    pub fn tick(&mut self) -> Timestamp {
        self.now = self.now.checked_add(1.second()).unwrap();
        self.now
    }

    /// The time of the wire (limits, tokens): what clients' own clocks say, as far as tests moved it.
    pub fn wire_now(&self) -> Timestamp {
        Timestamp::now().checked_add(self.moved).unwrap()
    }

    pub fn id(&mut self) -> u64 {
        self.ids += 1;
        self.ids
    }

    pub fn user(&self, id: u64) -> &User {
        self.users
            .iter()
            .find(|u| u.id == id)
            .expect("every author is known")
    }

    pub fn login(&self, id: u64) -> String {
        self.user(id).login.clone()
    }

    /// The account with a name; made when there is none.
    pub fn account(&mut self, login: &str) -> u64 {
        if let Some(user) = self
            .users
            .iter()
            .find(|u| u.login.eq_ignore_ascii_case(login))
        {
            return user.id;
        }
        let id = self.id();
        self.users.push(User {
            id,
            login: login.to_owned(),
            kind: "User",
        });
        id
    }

    /// The account that a token writes as.
    pub fn writer(&self, holder: &Holder) -> u64 {
        match holder {
            Holder::User(id) => *id,
            Holder::Installation { app, .. } | Holder::App(app) => {
                self.apps.iter().find(|a| a.id == *app).map_or(0, |a| a.bot)
            }
        }
    }

    pub fn repo(&self, full_name: &str) -> Result<&Repo, Reply> {
        self.repos
            .get(&full_name.to_lowercase())
            .ok_or_else(Reply::not_found)
    }

    pub fn repo_mut(&mut self, full_name: &str) -> Result<&mut Repo, Reply> {
        self.repos
            .get_mut(&full_name.to_lowercase())
            .ok_or_else(Reply::not_found)
    }

    pub fn item(&self, repo: &str, number: u64) -> Result<&Item, Reply> {
        self.repo(repo)?
            .items
            .get(&number)
            .ok_or_else(Reply::not_found)
    }

    pub fn item_mut(&mut self, repo: &str, number: u64) -> Result<&mut Item, Reply> {
        self.repo_mut(repo)?
            .items
            .get_mut(&number)
            .ok_or_else(Reply::not_found)
    }

    pub fn pull(&self, repo: &str, number: u64) -> Result<(&Item, &PullPart), Reply> {
        let item = self.item(repo, number)?;
        Ok((item, item.pull.as_ref().ok_or_else(Reply::not_found)?))
    }

    pub fn pull_mut(&mut self, repo: &str, number: u64) -> Result<&mut PullPart, Reply> {
        let item = self.item_mut(repo, number)?;
        item.pull.as_mut().ok_or_else(Reply::not_found)
    }

    pub fn role(&self, repo: &str, user: u64) -> String {
        let login = self.login(user).to_lowercase();
        let repo = self.repo(repo).ok();
        let given = repo.and_then(|r| r.roles.get(&login).cloned());
        let everybody = if repo.is_some_and(|r| !r.private) {
            "read"
        } else {
            "none"
        };
        given.unwrap_or_else(|| everybody.to_owned())
    }

    // ---- Git

    /// A commit on top of `parent` with some files changed (`None` deletes).
    pub fn commit_files(
        &mut self,
        repo: &str,
        parents: &[String],
        files: &[(&str, Option<&[u8]>)],
        message: &str,
        author: u64,
    ) -> Result<String, Reply> {
        let at = self.tick();
        let author = self.signature(author, at);
        let repo = self.repo_mut(repo)?;
        let mut flat = parents
            .first()
            .map(|p| repo.git.files(p))
            .unwrap_or_default();
        for (path, content) in files {
            match content {
                Some(bytes) => {
                    let sha = repo.git.put(Object::Blob(bytes.to_vec()));
                    flat.insert(
                        (*path).to_owned(),
                        Entry {
                            mode: "100644".to_owned(),
                            sha,
                        },
                    );
                }
                None => {
                    flat.remove(*path);
                }
            }
        }
        let tree = repo.git.put_files(&flat);
        Ok(repo.git.put(Object::Commit(Commit {
            tree,
            parents: parents.to_vec(),
            author: author.clone(),
            committer: author,
            message: message.to_owned(),
            verified: false,
        })))
    }

    pub fn signature(&self, user: u64, at: Timestamp) -> Signature {
        let user = self.user(user);
        Signature {
            name: user.login.clone(),
            email: format!("{}+{}@users.noreply.github.com", user.id, user.login),
            at,
        }
    }

    /// Who wrote a commit, as far as GitHub knows the address.
    pub fn account_of(&self, signature: &Signature) -> Option<u64> {
        let (id, _) = signature
            .email
            .strip_suffix("@users.noreply.github.com")?
            .split_once('+')?;
        let id: u64 = id.parse().ok()?;
        self.users.iter().find(|u| u.id == id).map(|u| u.id)
    }

    /// A branch points somewhere else (or nowhere); pull requests follow.
    pub fn set_branch(
        &mut self,
        repo: &str,
        branch: &str,
        to: Option<&str>,
        actor: u64,
    ) -> Result<(), Reply> {
        let at = self.tick();
        let thinking = self.repo(repo)?.thinking;
        let inner = self.repo_mut(repo)?;
        let before = match to {
            Some(sha) => inner.branches.insert(branch.to_owned(), sha.to_owned()),
            None => inner.branches.remove(branch),
        };
        inner.activities.push(Activity {
            branch: branch.to_owned(),
            before,
            after: to.map(str::to_owned),
            at,
            actor,
        });
        let (owner, name) = match branch.split_once(':') {
            Some((owner, name)) => (owner.to_owned(), name.to_owned()),
            None => (inner.owner.clone(), branch.to_owned()),
        };
        let mut closed = Vec::new();
        let mut merged = Vec::new();
        for (number, item) in &mut inner.items {
            let Some(pull) = item.pull.as_mut().filter(|_| item.open) else {
                continue;
            };
            let is_head = pull.head_ref == name && pull.head_owner == owner;
            if pull.base_ref == branch {
                match to {
                    None => closed.push(*number),
                    Some(sha) if inner.git.is_ancestor(&pull.head_sha, sha) => {
                        merged.push((*number, sha.to_owned()));
                    }
                    Some(_) => pull.thinking = thinking,
                }
            }
            match to {
                None if is_head => closed.push(*number),
                Some(sha) if is_head && pull.head_sha != sha => {
                    pull.head_sha = sha.to_owned();
                    pull.thinking = thinking;
                    item.updated_at = at;
                    let base = inner.branches.get(&pull.base_ref);
                    if base.is_some_and(|base| inner.git.is_ancestor(sha, base)) {
                        closed.push(*number);
                    }
                }
                _ => {}
            }
        }
        for number in closed {
            self.close(repo, number, actor, None)?;
        }
        for (number, commit) in merged {
            self.mark_merged(repo, number, actor, &commit)?;
        }
        Ok(())
    }

    // ---- issues and pull requests

    fn new_item(
        &mut self,
        repo: &str,
        title: &str,
        body: &str,
        author: u64,
    ) -> Result<Item, Reply> {
        let at = self.tick();
        let id = self.id();
        let number = self
            .repo(repo)?
            .items
            .keys()
            .next_back()
            .map_or(1, |n| n + 1);
        Ok(Item {
            number,
            id,
            title: title.to_owned(),
            body: body.to_owned(),
            author,
            open: true,
            state_reason: None,
            closed_by: None,
            created_at: at,
            updated_at: at,
            closed_at: None,
            labels: Vec::new(),
            assignees: Vec::new(),
            locked: false,
            comments: Vec::new(),
            events: Vec::new(),
            pull: None,
        })
    }

    pub fn open_issue(
        &mut self,
        repo: &str,
        title: &str,
        body: &str,
        labels: &[String],
        author: u64,
    ) -> Result<u64, Reply> {
        if !self.repo(repo)?.has_issues {
            return Err(Reply::error(
                410,
                "Issues has been disabled in this repository.",
            ));
        }
        check_lengths("Issue", Some(title), Some(body))?;
        let item = self.new_item(repo, title, body, author)?;
        let number = item.number;
        self.repo_mut(repo)?.items.insert(number, item);
        self.add_labels(repo, number, labels, author)?;
        Ok(number)
    }

    /// `head` is `branch` or `owner:branch`.
    #[allow(clippy::too_many_arguments)]
    pub fn open_pull(
        &mut self,
        repo: &str,
        head: &str,
        base: &str,
        title: &str,
        body: &str,
        draft: bool,
        author: u64,
    ) -> Result<u64, Reply> {
        let inner = self.repo(repo)?;
        let (owner, branch) = head.split_once(':').unwrap_or((&inner.owner, head));
        let own = owner.eq_ignore_ascii_case(&inner.owner);
        let key = if own {
            branch.to_owned()
        } else {
            format!("{owner}:{branch}")
        };
        let base_sha = inner
            .branches
            .get(base)
            .cloned()
            .filter(|_| !base.contains(':'));
        let base_sha = base_sha.ok_or_else(|| invalid("PullRequest", "base"))?;
        let head_sha = inner.branches.get(&key).cloned();
        let head_sha = head_sha.ok_or_else(|| invalid("PullRequest", "head"))?;
        check_lengths("PullRequest", Some(title), Some(body))?;
        self.refuse_second(repo, owner, branch, base, None)?;
        let inner = self.repo(repo)?;
        if inner.git.between(&base_sha, &head_sha).is_empty() {
            let message = format!("No commits between {base} and {branch}");
            return Err(custom("PullRequest", &message));
        }
        let (owner, branch, thinking) = (owner.to_owned(), branch.to_owned(), inner.thinking);
        let mut item = self.new_item(repo, title, body, author)?;
        let number = item.number;
        item.pull = Some(PullPart {
            head_owner: owner,
            head_ref: branch,
            head_sha,
            head_deleted: false,
            base_ref: base.to_owned(),
            base_sha,
            draft,
            merged_at: None,
            merge_commit: None,
            thinking,
            reviews: Vec::new(),
            review_comments: Vec::new(),
            reviewers: Vec::new(),
        });
        self.repo_mut(repo)?.items.insert(number, item);
        Ok(number)
    }

    fn refuse_second(
        &self,
        repo: &str,
        owner: &str,
        branch: &str,
        base: &str,
        except: Option<u64>,
    ) -> Result<(), Reply> {
        let twin = self.repo(repo)?.items.values().any(|i| {
            i.open
                && Some(i.number) != except
                && i.pull.as_ref().is_some_and(|p| {
                    p.head_owner == owner && p.head_ref == branch && p.base_ref == base
                })
        });
        match twin {
            true => Err(custom(
                "PullRequest",
                &format!("A pull request already exists for {owner}:{branch}."),
            )),
            false => Ok(()),
        }
    }

    pub fn event(
        &mut self,
        repo: &str,
        number: u64,
        what: &'static str,
        actor: u64,
    ) -> Result<(), Reply> {
        self.event_with(repo, number, what, actor, None, None)
    }

    fn event_with(
        &mut self,
        repo: &str,
        number: u64,
        what: &'static str,
        actor: u64,
        label: Option<String>,
        commit: Option<String>,
    ) -> Result<(), Reply> {
        let (at, id) = (self.tick(), self.id());
        let item = self.item_mut(repo, number)?;
        item.events.push(Event {
            id,
            what,
            actor,
            at,
            label,
            commit,
        });
        item.updated_at = at;
        Ok(())
    }

    pub fn close(
        &mut self,
        repo: &str,
        number: u64,
        actor: u64,
        reason: Option<&str>,
    ) -> Result<(), Reply> {
        if !self.item(repo, number)?.open {
            return Ok(());
        }
        self.event(repo, number, "closed", actor)?;
        let item = self.item_mut(repo, number)?;
        item.open = false;
        item.closed_by = Some(actor);
        item.closed_at = Some(item.updated_at);
        if item.pull.is_none() {
            item.state_reason = Some(reason.unwrap_or("completed").to_owned());
        }
        Ok(())
    }

    pub fn reopen(&mut self, repo: &str, number: u64, actor: u64) -> Result<(), Reply> {
        if self.item(repo, number)?.open {
            return Ok(());
        }
        if self.item(repo, number)?.pull.is_some() {
            self.may_reopen(repo, number)?;
        }
        self.event(repo, number, "reopened", actor)?;
        let item = self.item_mut(repo, number)?;
        item.open = true;
        item.closed_by = None;
        item.closed_at = None;
        item.state_reason = item.pull.is_none().then(|| "reopened".to_owned());
        let Some((owner, name)) = item
            .pull
            .as_ref()
            .map(|p| (p.head_owner.clone(), p.head_ref.clone()))
        else {
            return Ok(());
        };
        let inner = self.repo(repo)?;
        let key = if owner == inner.owner {
            name
        } else {
            format!("{owner}:{name}")
        };
        let head = inner.branches.get(&key).cloned();
        if let Some(head) = head {
            self.pull_mut(repo, number)?.head_sha = head;
        }
        Ok(())
    }

    fn may_reopen(&self, repo: &str, number: u64) -> Result<(), Reply> {
        let inner = self.repo(repo)?;
        let (_, pull) = self.pull(repo, number)?;
        let refuse = |message: &str| {
            Err(validation(
                "PullRequest",
                json!([{"resource": "PullRequest", "code": "invalid", "field": "state", "message": message}]),
            ))
        };
        if pull.merged_at.is_some() {
            return refuse("state cannot be changed. The pull request has been merged.");
        }
        let key = match pull.head_owner == inner.owner {
            true => pull.head_ref.clone(),
            false => format!("{}:{}", pull.head_owner, pull.head_ref),
        };
        let name = &pull.head_ref;
        match inner.branches.get(&key) {
            None => {
                return refuse(&format!(
                    "state cannot be changed. The {name} branch has been deleted."
                ));
            }
            Some(head) if !inner.git.is_ancestor(&pull.head_sha, head) => {
                return refuse(&format!(
                    "state cannot be changed. The {name} branch was force-pushed or recreated."
                ));
            }
            Some(head) => {
                let base = inner.branches.get(&pull.base_ref);
                if base.is_none_or(|base| inner.git.between(base, head).is_empty()) {
                    return refuse(&format!(
                        "state cannot be changed. There are no new commits on the {name} branch."
                    ));
                }
            }
        }
        self.refuse_second(
            repo,
            &pull.head_owner,
            &pull.head_ref,
            &pull.base_ref,
            Some(number),
        )
    }

    fn mark_merged(
        &mut self,
        repo: &str,
        number: u64,
        actor: u64,
        commit: &str,
    ) -> Result<(), Reply> {
        self.event_with(repo, number, "merged", actor, None, Some(commit.to_owned()))?;
        self.close(repo, number, actor, None)?;
        let at = self.item(repo, number)?.closed_at;
        let pull = self.pull_mut(repo, number)?;
        pull.merged_at = at;
        pull.merge_commit = Some(commit.to_owned());
        Ok(())
    }

    /// Whether a pull request can be merged: 405 with the reason if not.
    pub fn merge(
        &mut self,
        repo: &str,
        number: u64,
        method: &str,
        expected: Option<&str>,
        actor: u64,
    ) -> Result<String, Reply> {
        let (item, pull) = self.pull(repo, number)?;
        let refuse = |message: &str| Err(Reply::error(405, message));
        if !item.open {
            return refuse("Pull Request is not mergeable");
        }
        if pull.draft {
            return refuse("Pull Request is still a draft");
        }
        if expected.is_some_and(|sha| sha != pull.head_sha) {
            let message = "Head branch was modified. Review and try the merge again.";
            return Err(Reply::error(409, message));
        }
        let (title, pull) = (item.title.clone(), pull.clone());
        let inner = self.repo(repo)?;
        let base = inner
            .branches
            .get(&pull.base_ref)
            .cloned()
            .ok_or_else(Reply::not_found)?;
        let Ok(files) = inner.git.merged(&base, &pull.head_sha) else {
            return refuse("Pull Request is not mergeable");
        };
        let commit =
            self.merge_commit(repo, number, &title, &pull, &base, &files, method, actor)?;
        self.mark_merged(repo, number, actor, &commit)?;
        self.set_branch(repo, &pull.base_ref, Some(&commit), actor)?;
        if self.repo(repo)?.delete_branch_on_merge && pull.head_owner == self.repo(repo)?.owner {
            self.set_branch(repo, &pull.head_ref, None, actor)?;
        }
        Ok(commit)
    }

    #[allow(clippy::too_many_arguments)]
    fn merge_commit(
        &mut self,
        repo: &str,
        number: u64,
        title: &str,
        pull: &PullPart,
        base: &str,
        files: &Flat,
        method: &str,
        actor: u64,
    ) -> Result<String, Reply> {
        let at = self.tick();
        let signature = self.signature(actor, at);
        let inner = self.repo_mut(repo)?;
        let tree = inner.git.put_files(files);
        let from = format!("{}/{}", pull.head_owner, pull.head_ref);
        let commits = inner.git.between(base, &pull.head_sha);
        let bodies: Vec<String> = commits
            .iter()
            .filter_map(|sha| inner.git.commit(sha))
            .map(|c| c.message.trim_end().to_owned())
            .collect();
        let (parents, message) = match method {
            "squash" if bodies.len() == 1 => {
                let (first, rest) = bodies[0].split_once('\n').unwrap_or((&bodies[0], ""));
                (
                    vec![base.to_owned()],
                    format!("{first} (#{number})\n{rest}"),
                )
            }
            "squash" => {
                let list: Vec<String> = bodies.iter().map(|b| format!("* {b}\n")).collect();
                (
                    vec![base.to_owned()],
                    format!("{title} (#{number})\n\n{}", list.join("\n")),
                )
            }
            "rebase" => (
                vec![base.to_owned()],
                bodies.last().cloned().unwrap_or_default(),
            ),
            _ => (
                vec![base.to_owned(), pull.head_sha.clone()],
                format!("Merge pull request #{number} from {from}\n\n{title}"),
            ),
        };
        let author = match method {
            "rebase" | "squash" => commits
                .last()
                .and_then(|sha| inner.git.commit(sha))
                .map_or(signature.clone(), |c| c.author.clone()),
            _ => signature,
        };
        let committer = Signature {
            name: "GitHub".to_owned(),
            email: "noreply@github.com".to_owned(),
            at,
        };
        let commit = Commit {
            tree,
            parents,
            author,
            committer,
            message,
            verified: true,
        };
        Ok(inner.git.put(Object::Commit(commit)))
    }

    pub fn retarget(&mut self, repo: &str, number: u64, base: &str) -> Result<(), Reply> {
        let thinking = self.repo(repo)?.thinking;
        let Some(sha) = self.repo(repo)?.branches.get(base).cloned() else {
            return Err(invalid("PullRequest", "base"));
        };
        let (_, pull) = self.pull(repo, number)?;
        if pull.base_ref == base {
            return Ok(());
        }
        self.refuse_second(repo, &pull.head_owner, &pull.head_ref, base, Some(number))?;
        let at = self.tick();
        let pull = self.pull_mut(repo, number)?;
        pull.base_ref = base.to_owned();
        pull.base_sha = sha;
        pull.thinking = thinking;
        self.item_mut(repo, number)?.updated_at = at;
        Ok(())
    }

    /// Merges the base into the head, as the button does.
    pub fn update_branch(
        &mut self,
        repo: &str,
        number: u64,
        expected: Option<&str>,
        actor: u64,
    ) -> Result<(), Reply> {
        let (_, pull) = self.pull(repo, number)?;
        let pull = pull.clone();
        if expected.is_some_and(|sha| sha != pull.head_sha) {
            return Err(Reply::error(
                422,
                "expected head sha didn't match current head ref.",
            ));
        }
        let inner = self.repo(repo)?;
        let base = inner
            .branches
            .get(&pull.base_ref)
            .cloned()
            .ok_or_else(Reply::not_found)?;
        let Ok(files) = inner.git.merged(&base, &pull.head_sha) else {
            return Err(Reply::error(422, "merge conflict between base and head"));
        };
        let at = self.tick();
        let author = self.signature(actor, at);
        let git = &mut self.repo_mut(repo)?.git;
        let tree = git.put_files(&files);
        let message = format!("Merge branch '{}' into {}", pull.base_ref, pull.head_ref);
        let parents = vec![pull.head_sha.clone(), base];
        let committer = author.clone();
        let commit = Commit {
            tree,
            parents,
            author,
            committer,
            message,
            verified: true,
        };
        let sha = git.put(Object::Commit(commit));
        self.set_branch(repo, &pull.head_ref, Some(&sha), actor)
    }

    pub fn review(
        &mut self,
        repo: &str,
        number: u64,
        verdict: &str,
        body: &str,
        author: u64,
    ) -> Result<u64, Reply> {
        let (item, pull) = self.pull(repo, number)?;
        if item.author == author && verdict != "COMMENTED" {
            let message = "Review Can not approve your own pull request";
            return Err(Reply::error(422, "Unprocessable Entity").with("errors", json!([message])));
        }
        let head = pull.head_sha.clone();
        let mut review = self.new_comment(author, body);
        review.state = verdict.to_owned();
        review.commit = head;
        let (id, at) = (review.id, review.created_at);
        self.pull_mut(repo, number)?.reviews.push(review);
        self.item_mut(repo, number)?.updated_at = at;
        Ok(id)
    }

    #[allow(clippy::too_many_arguments)]
    pub fn line_comment(
        &mut self,
        repo: &str,
        number: u64,
        path: &str,
        line: u64,
        body: &str,
        reply_to: Option<u64>,
        author: u64,
    ) -> Result<u64, Reply> {
        let head = self.pull(repo, number)?.1.head_sha.clone();
        // a comment of its own is a review without text: drafted first, and touched when that is sent
        let mut comment = self.new_comment(author, body);
        let review = self.review(repo, number, "COMMENTED", "", author)?;
        comment.updated_at = self.now;
        comment.path = path.to_owned();
        comment.line = line;
        comment.commit = head;
        comment.review = Some(review);
        comment.reply_to = reply_to;
        let (id, at) = (comment.id, comment.updated_at);
        self.pull_mut(repo, number)?.review_comments.push(comment);
        self.item_mut(repo, number)?.updated_at = at;
        Ok(id)
    }

    // ---- conversation

    pub fn new_comment(&mut self, author: u64, body: &str) -> Comment {
        let (at, id) = (self.tick(), self.id());
        Comment {
            id,
            author,
            body: body.to_owned(),
            created_at: at,
            updated_at: at,
            minimized: false,
            reactions: Vec::new(),
            state: "COMMENTED".to_owned(),
            path: String::new(),
            line: 1,
            commit: String::new(),
            review: None,
            reply_to: None,
        }
    }

    pub fn comment(
        &mut self,
        repo: &str,
        number: u64,
        body: &str,
        author: u64,
    ) -> Result<u64, Reply> {
        if body.trim().is_empty() {
            return Err(custom("IssueComment", "Body cannot be blank"));
        }
        check_lengths("IssueComment", None, Some(body))?;
        self.item(repo, number)?;
        if self.item(repo, number)?.locked && !self.may_write(repo, author) {
            return Err(Reply::error(
                403,
                "Unable to create comment because issue is locked.",
            ));
        }
        let comment = self.new_comment(author, body);
        let id = comment.id;
        let item = self.item_mut(repo, number)?;
        item.updated_at = comment.created_at;
        item.comments.push(comment);
        Ok(id)
    }

    pub fn may_write(&self, repo: &str, user: u64) -> bool {
        ["admin", "maintain", "write"].contains(&self.role(repo, user).as_str())
    }

    pub fn add_labels(
        &mut self,
        repo: &str,
        number: u64,
        labels: &[String],
        actor: u64,
    ) -> Result<(), Reply> {
        for name in labels {
            let name = self.known_label(repo, name)?;
            if !self.item(repo, number)?.labels.contains(&name) {
                self.item_mut(repo, number)?.labels.push(name.clone());
                self.event_with(repo, number, "labeled", actor, Some(name), None)?;
            }
        }
        Ok(())
    }

    /// A label with its spelling; GitHub makes the ones that are missing.
    fn known_label(&mut self, repo: &str, name: &str) -> Result<String, Reply> {
        if name.is_empty() || name.chars().count() > 50 {
            return Err(invalid("Label", "name"));
        }
        let id = self.id();
        let labels = &mut self.repo_mut(repo)?.labels;
        let label = labels.entry(name.to_lowercase()).or_insert_with(|| {
            json!({"id": id, "node_id": format!("LA_{id}"), "name": name, "color": "ededed", "default": false, "description": null})
        });
        Ok(label["name"].as_str().unwrap_or(name).to_owned())
    }

    pub fn remove_label(
        &mut self,
        repo: &str,
        number: u64,
        name: &str,
        actor: u64,
    ) -> Result<(), Reply> {
        let labels = &self.item(repo, number)?.labels;
        let Some(at) = labels.iter().position(|l| l.eq_ignore_ascii_case(name)) else {
            return Err(Reply::error(404, "Label does not exist"));
        };
        let name = self.item_mut(repo, number)?.labels.remove(at);
        self.event_with(repo, number, "unlabeled", actor, Some(name), None)
    }

    /// The comment of any kind with an id.
    pub fn find_comment(
        &mut self,
        repo: &str,
        kind: Kind,
        id: u64,
    ) -> Result<(u64, &mut Comment), Reply> {
        let items = self.repo_mut(repo)?.items.values_mut();
        for item in items {
            let number = item.number;
            let list = match (kind, item.pull.as_mut()) {
                (Kind::Issue, _) => &mut item.comments,
                (Kind::Line, Some(pull)) => &mut pull.review_comments,
                (Kind::Review, Some(pull)) => &mut pull.reviews,
                _ => continue,
            };
            if let Some(comment) = list.iter_mut().find(|c| c.id == id) {
                return Ok((number, comment));
            }
        }
        Err(Reply::not_found())
    }

    pub fn edit_comment(
        &mut self,
        repo: &str,
        kind: Kind,
        id: u64,
        body: &str,
    ) -> Result<(), Reply> {
        check_lengths("IssueComment", None, Some(body))?;
        let at = self.tick();
        let (number, comment) = self.find_comment(repo, kind, id)?;
        comment.body = body.to_owned();
        comment.updated_at = at;
        self.item_mut(repo, number)?.updated_at = at;
        Ok(())
    }
}

/// The three lists of comments.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Issue,
    Line,
    Review,
}
