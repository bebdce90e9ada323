//! How GitHub writes down what it holds.

use serde_json::{Value, json};

use super::git::{Difference, Object};
use super::state::{Check, Comment, Event, Item, Kind, PullPart, Repo, State, User};
use super::wire::Reply;

fn base64(bytes: &[u8]) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

pub fn user(state: &State, user: &User) -> Value {
    let api = format!("{}/users/{}", state.url, user.login);
    json!({
        "login": user.login, "id": user.id, "node_id": format!("U_{}", user.id),
        "avatar_url": format!("{api}/avatar"), "gravatar_id": "", "url": api,
        "html_url": format!("{}/{}", state.url, user.login),
        "followers_url": format!("{api}/followers"), "following_url": format!("{api}/following{{/other_user}}"),
        "gists_url": format!("{api}/gists{{/gist_id}}"), "starred_url": format!("{api}/starred{{/owner}}{{/repo}}"),
        "subscriptions_url": format!("{api}/subscriptions"), "organizations_url": format!("{api}/orgs"),
        "repos_url": format!("{api}/repos"), "events_url": format!("{api}/events{{/privacy}}"),
        "received_events_url": format!("{api}/received_events"),
        "type": user.kind, "site_admin": false,
    })
}

pub fn account(state: &State, id: u64) -> Value {
    user(state, state.user(id))
}

pub fn repo(state: &State, repo: &Repo) -> Value {
    let full = format!("{}/{}", repo.owner, repo.name);
    let owner = state.users.iter().find(|u| u.login == repo.owner);
    json!({
        "id": repo.id, "node_id": format!("R_{}", repo.id), "name": repo.name, "full_name": full,
        "private": repo.private, "owner": owner.map(|o| user(state, o)),
        "html_url": format!("{}/{full}", state.url), "url": format!("{}/repos/{full}", state.url),
        "description": null, "fork": false, "default_branch": repo.default_branch,
        "clone_url": format!("{}/{full}.git", state.url),
        "archived": repo.archived, "disabled": false, "has_issues": repo.has_issues,
        "visibility": if repo.private { "private" } else { "public" },
        "delete_branch_on_merge": repo.delete_branch_on_merge,
        "allow_merge_commit": true, "allow_squash_merge": true, "allow_rebase_merge": true,
    })
}

fn labels(state: &State, repo: &Repo, item: &Item) -> Vec<Value> {
    let url = format!("{}/repos/{}/{}/labels", state.url, repo.owner, repo.name);
    let one = |name: &String| {
        let mut label = repo.labels.get(&name.to_lowercase()).cloned()?;
        label["url"] = json!(format!("{url}/{}", name.replace('/', "%2F")));
        Some(label)
    };
    item.labels.iter().filter_map(one).collect()
}

fn association(state: &State, repo: &Repo, author: u64) -> &'static str {
    let login = state.login(author);
    match repo.roles.get(&login.to_lowercase()).map(String::as_str) {
        _ if login == repo.owner => "OWNER",
        Some("admin" | "maintain" | "write" | "triage") => "COLLABORATOR",
        _ => "NONE",
    }
}

fn reactions(comment: &Comment) -> Value {
    let count = |what: &str| {
        comment
            .reactions
            .iter()
            .filter(|(_, _, c)| c == what)
            .count()
    };
    json!({
        "total_count": comment.reactions.len(), "+1": count("+1"), "-1": count("-1"), "laugh": count("laugh"),
        "confused": count("confused"), "heart": count("heart"), "hooray": count("hooray"),
        "eyes": count("eyes"), "rocket": count("rocket"),
    })
}

pub fn issue(state: &State, repo: &Repo, item: &Item, whole: bool) -> Value {
    let base = format!("{}/repos/{}/{}", state.url, repo.owner, repo.name);
    let kind = if item.pull.is_some() {
        "pull"
    } else {
        "issues"
    };
    let html = format!(
        "{}/{}/{}/{kind}/{}",
        state.url, repo.owner, repo.name, item.number
    );
    let people: Vec<Value> = item
        .assignees
        .iter()
        .map(|id| account(state, *id))
        .collect();
    let mut value = json!({
        "url": format!("{base}/issues/{}", item.number), "repository_url": base,
        "comments_url": format!("{base}/issues/{}/comments", item.number),
        "html_url": html, "id": item.id, "node_id": node("I", item.id), "number": item.number,
        "title": item.title, "user": account(state, item.author), "labels": labels(state, repo, item),
        "state": if item.open { "open" } else { "closed" }, "locked": item.locked,
        "assignee": people.first(), "assignees": people, "milestone": null,
        "comments": item.comments.len(), "created_at": item.created_at, "updated_at": item.updated_at,
        "closed_at": item.closed_at, "author_association": association(state, repo, item.author),
        "state_reason": item.state_reason, "body": some(&item.body),
    });
    if whole {
        value["closed_by"] = item.closed_by.map_or(Value::Null, |id| account(state, id));
    }
    if let Some(pull) = &item.pull {
        value["node_id"] = json!(node("PR", item.id));
        value["draft"] = json!(pull.draft);
        value["pull_request"] = json!({
            "url": format!("{base}/pulls/{}", item.number), "html_url": html,
            "merged_at": pull.merged_at,
        });
    }
    value
}

/// An empty body is null.
fn some(text: &str) -> Option<&str> {
    Some(text).filter(|t| !t.is_empty())
}

pub fn node(kind: &str, id: u64) -> String {
    format!("{kind}_{id}")
}

fn end(state: &State, repo: &Repo, owner: &str, branch: &str, sha: &str, gone: bool) -> Value {
    let fork = owner != repo.owner;
    let account = state.users.iter().find(|u| u.login == owner);
    let mut of = self::repo(state, repo);
    if fork {
        // another repository, with another id
        of["id"] = json!(repo.id + 1_000_000);
        of["full_name"] = json!(format!("{owner}/{}", repo.name));
        of["fork"] = json!(true);
    }
    json!({
        "label": format!("{owner}:{branch}"), "ref": branch, "sha": sha,
        "user": account.map(|o| user(state, o)),
        "repo": if gone { Value::Null } else { of },
    })
}

pub fn pull(state: &State, repo: &Repo, item: &Item, part: &PullPart, whole: bool) -> Value {
    let base = format!("{}/repos/{}/{}", state.url, repo.owner, repo.name);
    let mut value = issue(state, repo, item, false);
    value["url"] = json!(format!("{base}/pulls/{}", item.number));
    if let Some(fields) = value.as_object_mut() {
        for name in ["pull_request", "repository_url", "state_reason", "comments"] {
            fields.remove(name);
        }
    }
    let base_sha = repo
        .branches
        .get(&part.base_ref)
        .filter(|_| item.open)
        .unwrap_or(&part.base_sha);
    value["head"] = end(
        state,
        repo,
        &part.head_owner,
        &part.head_ref,
        &part.head_sha,
        part.head_deleted,
    );
    value["base"] = end(state, repo, &repo.owner, &part.base_ref, base_sha, false);
    value["merged_at"] = json!(part.merged_at);
    value["merge_commit_sha"] = json!(part.merge_commit);
    value["auto_merge"] = Value::Null;
    value["requested_reviewers"] = json!([]);
    value["requested_teams"] = json!([]);
    if !whole {
        return value;
    }
    let known = item.open && part.thinking == 0;
    let clean = repo.git.merged(base_sha, &part.head_sha).is_ok();
    value["mergeable"] = if known { json!(clean) } else { Value::Null };
    value["mergeable_state"] = json!(match (known, clean) {
        (false, _) => "unknown",
        (_, false) => "dirty",
        _ if part.draft => "draft",
        _ => "clean",
    });
    value["rebaseable"] = value["mergeable"].clone();
    let changed = repo.git.proposed(base_sha, &part.head_sha).len();
    value["merged"] = json!(part.merged_at.is_some());
    value["merged_by"] = match part.merged_at.and(item.closed_by) {
        Some(id) => account(state, id),
        None => Value::Null,
    };
    value["comments"] = json!(item.comments.len());
    value["review_comments"] = json!(part.review_comments.len());
    value["commits"] = json!(repo.git.between(base_sha, &part.head_sha).len());
    value["changed_files"] = json!(changed);
    value["maintainer_can_modify"] = json!(false);
    value
}

pub fn comment(state: &State, repo: &Repo, number: u64, kind: Kind, comment: &Comment) -> Value {
    let base = format!("{}/repos/{}/{}", state.url, repo.owner, repo.name);
    let html = format!("{}/{}/{}/issues/{number}", state.url, repo.owner, repo.name);
    let author = account(state, comment.author);
    let association = association(state, repo, comment.author);
    match kind {
        Kind::Issue => json!({
            "url": format!("{base}/issues/comments/{}", comment.id),
            "html_url": format!("{html}#issuecomment-{}", comment.id),
            "issue_url": format!("{base}/issues/{number}"),
            "id": comment.id, "node_id": node("IC", comment.id), "user": author,
            "created_at": comment.created_at, "updated_at": comment.updated_at,
            "author_association": association, "body": comment.body, "reactions": reactions(comment),
            "performed_via_github_app": null,
        }),
        Kind::Line => json!({
            "url": format!("{base}/pulls/comments/{}", comment.id),
            "html_url": format!("{html}#discussion_r{}", comment.id),
            "pull_request_url": format!("{base}/pulls/{number}"),
            "pull_request_review_id": comment.review, "in_reply_to_id": comment.reply_to,
            "id": comment.id, "node_id": node("PRRC", comment.id), "user": author,
            "path": comment.path, "line": comment.line, "side": "RIGHT", "commit_id": comment.commit,
            "original_commit_id": comment.commit, "diff_hunk": "@@ -1 +1 @@",
            "created_at": comment.created_at, "updated_at": comment.updated_at,
            "author_association": association, "body": comment.body, "reactions": reactions(comment),
        }),
        // a review has no `created_at`
        Kind::Review => json!({
            "id": comment.id, "node_id": node("PRR", comment.id), "user": author, "body": comment.body,
            "state": comment.state, "html_url": format!("{html}#pullrequestreview-{}", comment.id),
            "pull_request_url": format!("{base}/pulls/{number}"),
            "submitted_at": comment.created_at, "commit_id": comment.commit,
            "author_association": association,
        }),
    }
}

pub fn reaction(state: &State, one: &(u64, u64, String)) -> Value {
    json!({"id": one.0, "node_id": node("REA", one.0), "user": account(state, one.1), "content": one.2, "created_at": state.now})
}

pub fn event(state: &State, event: &Event) -> Value {
    let mut value = json!({
        "id": event.id, "node_id": node("EV", event.id), "actor": account(state, event.actor),
        "event": event.what, "created_at": event.at, "commit_id": event.commit,
    });
    if let Some(label) = &event.label {
        value["label"] = json!({"name": label, "color": "ededed"});
    }
    value
}

fn signature(of: &super::git::Signature) -> Value {
    json!({"name": of.name, "email": of.email, "date": of.at})
}

fn verification(verified: bool) -> Value {
    let reason = if verified { "valid" } else { "unsigned" };
    json!({"verified": verified, "reason": reason, "signature": null, "payload": null, "verified_at": null})
}

/// A commit of `/git/commits`.
pub fn git_commit(state: &State, repo: &Repo, sha: &str) -> Result<Value, Reply> {
    let commit = repo.git.commit(sha).ok_or_else(Reply::not_found)?;
    let base = format!("{}/repos/{}/{}/git", state.url, repo.owner, repo.name);
    let parent = |p: &String| json!({"sha": p, "url": format!("{base}/commits/{p}"), "html_url": format!("{base}/commit/{p}")});
    Ok(json!({
        "sha": sha, "node_id": format!("C_{sha}"), "url": format!("{base}/commits/{sha}"),
        "html_url": format!("{}/{}/{}/commit/{sha}", state.url, repo.owner, repo.name),
        "author": signature(&commit.author), "committer": signature(&commit.committer),
        "message": commit.message.trim_end_matches('\n'),
        "tree": {"sha": commit.tree, "url": format!("{base}/trees/{}", commit.tree)},
        "parents": commit.parents.iter().map(parent).collect::<Vec<_>>(),
        "verification": verification(commit.verified),
    }))
}

/// A commit of `/commits` and of a pull request.
pub fn commit(state: &State, repo: &Repo, sha: &str) -> Result<Value, Reply> {
    let inner = git_commit(state, repo, sha)?;
    let commit = repo.git.commit(sha).ok_or_else(Reply::not_found)?;
    let known = |s| state.account_of(s).map(|id| account(state, id));
    let web_flow = state
        .users
        .iter()
        .find(|u| u.login == "web-flow")
        .filter(|_| commit.committer.name == "GitHub");
    let mut detail = inner.clone();
    if let Some(fields) = detail.as_object_mut() {
        for name in ["sha", "node_id", "html_url", "parents"] {
            fields.remove(name);
        }
    }
    detail["comment_count"] = json!(0);
    Ok(json!({
        "sha": sha, "node_id": inner["node_id"],
        "url": format!("{}/repos/{}/{}/commits/{sha}", state.url, repo.owner, repo.name),
        "html_url": inner["html_url"], "commit": detail,
        "author": known(&commit.author),
        "committer": web_flow.map(|u| user(state, u)).or_else(|| known(&commit.committer)),
        "parents": inner["parents"],
    }))
}

fn text(repo: &Repo, entry: Option<&super::git::Entry>) -> Option<String> {
    let bytes = repo.git.blob(&entry?.sha)?;
    std::str::from_utf8(bytes).ok().map(str::to_owned)
}

/// A file of a diff.
pub fn difference(repo: &Repo, difference: &Difference) -> Value {
    let old = text(repo, difference.before.as_ref()).unwrap_or_default();
    let new = text(repo, difference.after.as_ref()).unwrap_or_default();
    let diff = similar::TextDiff::from_lines(&old, &new);
    let count = |tag| diff.iter_all_changes().filter(|c| c.tag() == tag).count();
    let (added, removed) = (
        count(similar::ChangeTag::Insert),
        count(similar::ChangeTag::Delete),
    );
    let patch = diff.unified_diff().context_radius(3).to_string();
    let sha = difference
        .after
        .as_ref()
        .or(difference.before.as_ref())
        .map(|e| e.sha.clone());
    json!({
        "sha": sha, "filename": difference.path, "status": difference.status(),
        "additions": added, "deletions": removed, "changes": added + removed, "patch": patch,
    })
}

pub fn reference(state: &State, repo: &Repo, branch: &str, sha: &str) -> Value {
    let base = format!("{}/repos/{}/{}/git", state.url, repo.owner, repo.name);
    json!({
        "ref": format!("refs/heads/{branch}"), "node_id": format!("REF_{branch}"),
        "url": format!("{base}/refs/heads/{branch}"),
        "object": {"type": "commit", "sha": sha, "url": format!("{base}/commits/{sha}")},
    })
}

pub fn tree(state: &State, repo: &Repo, sha: &str, recursive: bool) -> Result<Value, Reply> {
    let tree = repo.git.tree_of(sha).ok_or_else(Reply::not_found)?;
    let mut entries = Vec::new();
    walk(repo, &tree, "", recursive, &mut entries);
    let url = format!(
        "{}/repos/{}/{}/git/trees/{tree}",
        state.url, repo.owner, repo.name
    );
    Ok(json!({"sha": tree, "url": url, "tree": entries, "truncated": false}))
}

fn walk(repo: &Repo, tree: &str, prefix: &str, recursive: bool, out: &mut Vec<Value>) {
    for (name, entry) in repo.git.tree(tree).into_iter().flatten() {
        let path = format!("{prefix}{name}");
        let folder = entry.mode == "40000";
        let mode = format!("{:0>6}", entry.mode);
        let kind = if folder { "tree" } else { "blob" };
        let mut value = json!({"path": path, "mode": mode, "type": kind, "sha": entry.sha});
        if let Some(bytes) = repo.git.blob(&entry.sha) {
            value["size"] = json!(bytes.len());
        }
        out.push(value);
        if folder && recursive {
            walk(repo, &entry.sha, &format!("{path}/"), true, out);
        }
    }
}

pub fn blob(repo: &Repo, sha: &str) -> Result<Value, Reply> {
    let bytes = repo.git.blob(sha).ok_or_else(Reply::not_found)?;
    Ok(
        json!({"sha": sha, "node_id": format!("B_{sha}"), "size": bytes.len(), "url": "", "content": lines(bytes), "encoding": "base64"}),
    )
}

/// Base64 in lines, as GitHub sends it.
fn lines(bytes: &[u8]) -> String {
    let packed = base64(bytes);
    let lines = packed
        .as_bytes()
        .chunks(60)
        .map(|c| String::from_utf8_lossy(c).into_owned());
    lines.map(|l| l + "\n").collect()
}

/// A file or folder at a commit.
pub fn content(state: &State, repo: &Repo, path: &str, commit: &str) -> Result<Value, Reply> {
    let url = format!(
        "{}/repos/{}/{}/contents/{path}",
        state.url, repo.owner, repo.name
    );
    let mut sha = repo.git.tree_of(commit).ok_or_else(Reply::not_found)?;
    for part in path.split('/').filter(|p| !p.is_empty()) {
        let entry = repo
            .git
            .tree(&sha)
            .and_then(|t| t.get(part))
            .ok_or_else(Reply::not_found)?;
        sha = entry.sha.clone();
    }
    let name = path.rsplit('/').next().unwrap_or_default();
    let file = |name: &str, path: &str, sha: &str, size: usize, kind: &str| json!({"type": kind, "size": size, "name": name, "path": path, "sha": sha, "url": url, "git_url": null, "html_url": null, "download_url": null, "_links": {"self": url, "git": null, "html": null}});
    match repo.git.get(&sha) {
        Some(Object::Blob(bytes)) => {
            let mut value = file(name, path, &sha, bytes.len(), "file");
            let large = bytes.len() > 1 << 20;
            value["encoding"] = json!(if large { "none" } else { "base64" });
            value["content"] = json!(if large { String::new() } else { lines(bytes) });
            Ok(value)
        }
        Some(Object::Tree(entries)) => {
            let one = |(name, entry): (&String, &super::git::Entry)| {
                let below = format!("{path}/{name}");
                let kind = if entry.mode == "40000" { "dir" } else { "file" };
                let size = repo.git.blob(&entry.sha).map_or(0, <[u8]>::len);
                file(name, below.trim_start_matches('/'), &entry.sha, size, kind)
            };
            Ok(Value::Array(entries.iter().map(one).collect()))
        }
        _ => Err(Reply::not_found()),
    }
}

pub fn check_run(state: &State, check: &Check) -> Value {
    let sent = |name: &str| check.sent.get(name).cloned().unwrap_or_default();
    let output = check.sent.get("output").cloned().unwrap_or_default();
    let app = state.apps.iter().find(|a| Some(a.id) == check.app);
    let done = sent("status") == json!("completed");
    json!({
        "id": check.id, "node_id": node("CR", check.id), "head_sha": check.sha, "name": sent("name"),
        "external_id": sent("external_id"), "status": sent("status"), "conclusion": sent("conclusion"),
        "url": "", "html_url": "", "details_url": sent("details_url"), "started_at": check.at,
        "completed_at": done.then_some(check.at), "check_suite": {"id": check.id}, "pull_requests": [],
        "output": {
            "title": output.get("title"), "summary": output.get("summary"), "text": output.get("text"),
            "annotations_count": 0, "annotations_url": format!("{}/annotations", state.url),
        },
        "app": app.map(|a| json!({"id": a.id, "slug": a.slug})),
    })
}

pub fn status(state: &State, check: &Check) -> Value {
    json!({
        "id": check.id, "node_id": node("ST", check.id), "url": "", "avatar_url": null,
        "state": check.sent["state"], "context": check.sent.get("context").cloned().unwrap_or(json!("default")),
        "description": check.sent.get("description"), "target_url": check.sent.get("target_url"),
        "created_at": check.at, "updated_at": check.at, "creator": account(state, check.creator),
    })
}
