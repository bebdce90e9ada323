//! Git data, contents, comparisons, checks.

use base64::Engine as _;
use serde_json::{Value, json};

use super::super::git::{Commit, Entry, Flat, Object, Signature};
use super::super::json;
use super::super::state::{Activity, Check, Repo, State};
use super::super::wire::{Answer, Call, Reply};
use super::{Route, route};

pub static ROUTES: &[Route] = &[
    route(
        "POST",
        "/repos/{owner}/{repo}/git/blobs",
        "contents:write",
        put_blob,
    ),
    route(
        "GET",
        "/repos/{owner}/{repo}/git/blobs/{file_sha}",
        "contents:read",
        blob,
    ),
    route(
        "POST",
        "/repos/{owner}/{repo}/git/trees",
        "contents:write",
        put_tree,
    ),
    route(
        "GET",
        "/repos/{owner}/{repo}/git/trees/{tree_sha}",
        "contents:read",
        tree,
    ),
    route(
        "POST",
        "/repos/{owner}/{repo}/git/commits",
        "contents:write",
        put_commit,
    ),
    route(
        "GET",
        "/repos/{owner}/{repo}/git/commits/{commit_sha}",
        "contents:read",
        git_commit,
    ),
    route(
        "GET",
        "/repos/{owner}/{repo}/git/ref/{ref}",
        "contents:read",
        reference,
    ),
    route(
        "GET",
        "/repos/{owner}/{repo}/git/matching-refs/{ref}",
        "contents:read",
        matching,
    ),
    route(
        "POST",
        "/repos/{owner}/{repo}/git/refs",
        "contents:write",
        create_ref,
    ),
    route(
        "PATCH",
        "/repos/{owner}/{repo}/git/refs/{ref}",
        "contents:write",
        move_ref,
    ),
    route(
        "DELETE",
        "/repos/{owner}/{repo}/git/refs/{ref}",
        "contents:write",
        delete_ref,
    ),
    route(
        "GET",
        "/repos/{owner}/{repo}/activity",
        "contents:read",
        activities,
    ),
    route(
        "GET",
        "/repos/{owner}/{repo}/commits",
        "contents:read",
        commits,
    ),
    route(
        "GET",
        "/repos/{owner}/{repo}/commits/{ref}/check-runs",
        "checks:read",
        check_runs,
    ),
    route(
        "GET",
        "/repos/{owner}/{repo}/commits/{ref}/status",
        "statuses:read",
        combined,
    ),
    route(
        "GET",
        "/repos/{owner}/{repo}/commits/{commit_sha}/pulls",
        "pull_requests:read",
        pulls_of_commit,
    ),
    route(
        "GET",
        "/repos/{owner}/{repo}/commits/{ref}",
        "contents:read",
        commit,
    ),
    route(
        "GET",
        "/repos/{owner}/{repo}/branches/{branch}",
        "contents:read",
        branch,
    ),
    route(
        "PUT",
        "/repos/{owner}/{repo}/contents/{path}",
        "contents:write",
        put_content,
    ),
    route(
        "GET",
        "/repos/{owner}/{repo}/contents/{path}",
        "contents:read",
        content,
    ),
    route(
        "GET",
        "/repos/{owner}/{repo}/compare/{basehead}",
        "contents:read",
        compare,
    ),
    route(
        "POST",
        "/repos/{owner}/{repo}/check-runs",
        "checks:write",
        create_check,
    ),
    route(
        "PATCH",
        "/repos/{owner}/{repo}/check-runs/{check_run_id}",
        "checks:write",
        change_check,
    ),
    route(
        "POST",
        "/repos/{owner}/{repo}/statuses/{sha}",
        "statuses:write",
        create_status,
    ),
];

fn put_blob(state: &mut State, call: &Call) -> Answer {
    let content = call.required("content")?;
    let bytes = match call.text("encoding") {
        Some("base64") => {
            let packed: String = content.split_whitespace().collect();
            let decoded = base64::engine::general_purpose::STANDARD.decode(packed);
            decoded.map_err(|_| Reply::error(422, "content is not valid Base64"))?
        }
        _ => content.as_bytes().to_vec(),
    };
    let url = state.url.clone();
    let sha = state.repo_mut(&call.repo())?.git.put(Object::Blob(bytes));
    Ok(Reply::created(
        json!({"sha": sha, "url": format!("{url}/git/blobs/{sha}")}),
    ))
}

fn blob(state: &mut State, call: &Call) -> Answer {
    Ok(Reply::ok(json::blob(
        state.repo(&call.repo())?,
        call.param("file_sha"),
    )?))
}

fn put_tree(state: &mut State, call: &Call) -> Answer {
    let name = call.repo();
    let repo = state.repo_mut(&name)?;
    let mut files = match call.text("base_tree") {
        Some(base) if repo.git.tree_of(base).is_none() => {
            return Err(Reply::error(404, "Not Found"));
        }
        Some(base) => repo.git.files(base),
        None => Flat::new(),
    };
    for entry in call
        .body
        .get("tree")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
    {
        tree_entry(repo, &mut files, entry)?;
    }
    let sha = repo.git.put_files(&files);
    Ok(Reply::created(json::tree(
        state,
        state.repo(&name)?,
        &sha,
        false,
    )?))
}

fn tree_entry(repo: &mut Repo, files: &mut Flat, entry: &Value) -> Result<(), Reply> {
    let text = |name: &str| entry.get(name).and_then(Value::as_str);
    let path = text("path").ok_or_else(|| Reply::error(422, "tree.path is missing"))?;
    let bad = path
        .split('/')
        .any(|p| p.is_empty() || p == "." || p == ".." || p.eq_ignore_ascii_case(".git"));
    if bad {
        return Err(Reply::error(
            422,
            "tree.path contains a malformed path component",
        ));
    }
    let mode = text("mode")
        .unwrap_or("100644")
        .trim_start_matches('0')
        .to_owned();
    let sha = match (entry.get("sha"), text("content")) {
        (Some(Value::Null), _) => {
            files.remove(path);
            return Ok(());
        }
        (Some(sha), _) => sha.as_str().unwrap_or_default().to_owned(),
        (None, Some(content)) => repo.git.put(Object::Blob(content.as_bytes().to_vec())),
        (None, None) => {
            return Err(Reply::error(
                422,
                "Must supply either tree.sha or tree.content",
            ));
        }
    };
    if repo.git.get(&sha).is_none() {
        return Err(Reply::error(
            422,
            &format!(
                "tree.sha {sha} is not a valid {}",
                text("type").unwrap_or("blob")
            ),
        ));
    }
    if mode == "40000" {
        for (below, inner) in repo.git.files(&sha) {
            files.insert(format!("{path}/{below}"), inner);
        }
    } else {
        files.insert(path.to_owned(), Entry { mode, sha });
    }
    Ok(())
}

fn tree(state: &mut State, call: &Call) -> Answer {
    let repo = state.repo(&call.repo())?;
    let wanted = call.param("tree_sha");
    let sha = resolve(repo, wanted).unwrap_or_else(|| wanted.to_owned());
    Ok(Reply::ok(json::tree(
        state,
        repo,
        &sha,
        call.asked("recursive").is_some(),
    )?))
}

/// GitHub signs what a machine account commits, but only if it names no author and no committer.
fn put_commit(state: &mut State, call: &Call) -> Answer {
    let name = call.repo();
    let at = state.tick();
    let plain = call.body.get("author").is_none() && call.body.get("committer").is_none();
    let signed = call.is_app() && plain;
    let us = state.signature(call.actor, at);
    let author = given(&call.body, "author", at).unwrap_or_else(|| us.clone());
    let committer = match given(&call.body, "committer", at) {
        Some(given) => given,
        None if signed => Signature {
            name: "GitHub".to_owned(),
            email: "noreply@github.com".to_owned(),
            at,
        },
        None => author.clone(),
    };
    let message = call.required("message")?.to_owned();
    let tree = call.required("tree")?.to_owned();
    let parents = call.texts("parents");
    let repo = state.repo_mut(&name)?;
    if repo.git.tree(&tree).is_none() {
        return Err(Reply::error(422, "Tree SHA does not exist"));
    }
    if parents.iter().any(|p| repo.git.commit(p).is_none()) {
        return Err(Reply::error(
            422,
            "Parent SHA does not exist or is not a commit object",
        ));
    }
    let commit = Commit {
        tree,
        parents,
        author,
        committer,
        message,
        verified: signed,
    };
    let sha = repo.git.put(Object::Commit(commit));
    Ok(Reply::created(json::git_commit(
        state,
        state.repo(&name)?,
        &sha,
    )?))
}

fn given(body: &Value, who: &str, at: jiff::Timestamp) -> Option<Signature> {
    let text = |name: &str| body.get(who)?.get(name)?.as_str();
    Some(Signature {
        name: text("name")?.to_owned(),
        email: text("email").unwrap_or_default().to_owned(),
        at: text("date").and_then(|d| d.parse().ok()).unwrap_or(at),
    })
}

fn git_commit(state: &mut State, call: &Call) -> Answer {
    let repo = state.repo(&call.repo())?;
    Ok(Reply::ok(json::git_commit(
        state,
        repo,
        call.param("commit_sha"),
    )?))
}

fn branch_name(name: &str) -> Option<&str> {
    name.strip_prefix("heads/").filter(|b| !b.contains(':'))
}

fn reference(state: &mut State, call: &Call) -> Answer {
    let repo = state.repo(&call.repo())?;
    let branch = branch_name(call.param("ref")).unwrap_or_default();
    let sha = repo.branches.get(branch).ok_or_else(Reply::not_found)?;
    Ok(Reply::ok(json::reference(state, repo, branch, sha)))
}

fn matching(state: &mut State, call: &Call) -> Answer {
    let repo = state.repo(&call.repo())?;
    let prefix = call.param("ref").strip_prefix("heads/").unwrap_or("\0");
    let fits = |branch: &str| branch.starts_with(prefix) && !branch.contains(':');
    let refs = repo.branches.iter().filter(|(b, _)| fits(b));
    // GitHub gives all of them at once, whatever page is asked for
    let all: Vec<_> = refs
        .map(|(b, sha)| json::reference(state, repo, b, sha))
        .collect();
    Ok(Reply::ok(json!(all)))
}

/// An App may touch workflows only with a permission of its own.
pub fn guard_workflows(state: &State, call: &Call, sha: &str) -> Result<(), Reply> {
    let super::super::state::Holder::Installation { may, .. } = &call.holder else {
        return Ok(());
    };
    if may.get("workflows").is_some_and(|l| l == "write") {
        return Ok(());
    }
    let repo = state.repo(&call.repo())?;
    let main = repo
        .branches
        .get(&repo.default_branch)
        .cloned()
        .unwrap_or_default();
    let touched = repo.git.proposed(&main, sha);
    match touched
        .iter()
        .find(|d| d.path.starts_with(".github/workflows/"))
    {
        Some(d) => Err(Reply::error(
            403,
            &format!(
                "refusing to allow a GitHub App to create or update workflow `{}` without `workflows` permission",
                d.path
            ),
        )),
        None => Ok(()),
    }
}

fn create_ref(state: &mut State, call: &Call) -> Answer {
    let name = call.repo();
    let full = call.required("ref")?.to_owned();
    let sha = call.required("sha")?.to_owned();
    let Some(branch) = full.strip_prefix("refs/heads/").filter(|b| valid_branch(b)) else {
        return Err(Reply::error(422, "Reference name is not valid"));
    };
    let repo = state.repo(&name)?;
    if repo.branches.contains_key(branch) {
        return Err(Reply::error(422, "Reference already exists"));
    }
    let folder =
        |b: &String| b.starts_with(&format!("{branch}/")) || branch.starts_with(&format!("{b}/"));
    if repo.branches.keys().any(folder) {
        return Err(Reply::error(
            422,
            "Reference cannot be created: a reference with a conflicting name exists",
        ));
    }
    if repo.git.commit(&sha).is_none() {
        return Err(Reply::error(422, "Object does not exist"));
    }
    guard_workflows(state, call, &sha)?;
    state.set_branch(&name, branch, Some(&sha), call.actor)?;
    Ok(Reply::created(json::reference(
        state,
        state.repo(&name)?,
        branch,
        &sha,
    )))
}

/// What `git check-ref-format` allows, roughly.
fn valid_branch(name: &str) -> bool {
    let part = |p: &str| !p.is_empty() && !p.starts_with('.') && !p.ends_with(".lock");
    !name.contains("..")
        && !name.contains("@{")
        && !name.ends_with('.')
        && !name.starts_with('-')
        && !name.contains([' ', '~', '^', ':', '?', '*', '[', '\\'])
        && !name.contains(char::is_control)
        && name.split('/').all(part)
}

fn move_ref(state: &mut State, call: &Call) -> Answer {
    let name = call.repo();
    let sha = call.required("sha")?.to_owned();
    let force = call
        .body
        .get("force")
        .and_then(Value::as_bool)
        .unwrap_or(false);
    let branch = branch_name(call.param("ref"))
        .unwrap_or_default()
        .to_owned();
    let repo = state.repo(&name)?;
    let Some(old) = repo.branches.get(&branch) else {
        return Err(Reply::error(422, "Reference does not exist"));
    };
    if repo.git.commit(&sha).is_none() {
        return Err(Reply::error(422, "Object does not exist"));
    }
    if !force && !repo.git.is_ancestor(old, &sha) {
        return Err(Reply::error(422, "Update is not a fast forward"));
    }
    guard_workflows(state, call, &sha)?;
    state.set_branch(&name, &branch, Some(&sha), call.actor)?;
    Ok(Reply::ok(json::reference(
        state,
        state.repo(&name)?,
        &branch,
        &sha,
    )))
}

fn delete_ref(state: &mut State, call: &Call) -> Answer {
    let name = call.repo();
    let branch = branch_name(call.param("ref"))
        .unwrap_or_default()
        .to_owned();
    let repo = state.repo(&name)?;
    if !repo.branches.contains_key(&branch) {
        return Err(Reply::error(422, "Reference does not exist"));
    }
    if branch == repo.default_branch {
        return Err(Reply::error(422, "Cannot delete the default branch"));
    }
    state.set_branch(&name, &branch, None, call.actor)?;
    Ok(Reply::no_content())
}

/// A branch or a commit id, short ones too.
fn resolve(repo: &Repo, wanted: &str) -> Option<String> {
    let branch = wanted
        .strip_prefix("refs/heads/")
        .or_else(|| wanted.strip_prefix("heads/"))
        .unwrap_or(wanted);
    if let Some(sha) = repo.branches.get(branch) {
        return Some(sha.clone());
    }
    let hex = wanted.len() >= 7 && wanted.chars().all(|c| c.is_ascii_hexdigit());
    let mut found = repo
        .git
        .all()
        .filter(|(sha, o)| hex && matches!(o, Object::Commit(_)) && sha.starts_with(wanted));
    found.next().map(|(sha, _)| sha.clone())
}

fn must(repo: &Repo, wanted: &str) -> Result<String, Reply> {
    resolve(repo, wanted)
        .ok_or_else(|| Reply::error(422, &format!("No commit found for SHA: {wanted}")))
}

fn commit(state: &mut State, call: &Call) -> Answer {
    let repo = state.repo(&call.repo())?;
    let sha = must(repo, call.param("ref"))?;
    let mut value = json::commit(state, repo, &sha)?;
    let parent = repo
        .git
        .commit(&sha)
        .and_then(|c| c.parents.first().cloned())
        .unwrap_or_default();
    let files: Vec<Value> = repo
        .git
        .differences(&parent, &sha)
        .iter()
        .map(|d| json::difference(repo, d))
        .collect();
    value["files"] = json!(files);
    Ok(Reply::ok(value))
}

fn commits(state: &mut State, call: &Call) -> Answer {
    let repo = state.repo(&call.repo())?;
    let from = must(repo, call.asked("sha").unwrap_or(&repo.default_branch))?;
    let mut list = repo.git.history(&from);
    if let Some(path) = call.asked("path") {
        list.retain(|sha| {
            let parent = repo
                .git
                .commit(sha)
                .and_then(|c| c.parents.first().cloned())
                .unwrap_or_default();
            let below = format!("{path}/");
            repo.git
                .differences(&parent, sha)
                .iter()
                .any(|d| d.path == path || d.path.starts_with(&below))
        });
    }
    let all: Result<Vec<Value>, Reply> = list
        .iter()
        .map(|sha| json::commit(state, repo, sha))
        .collect();
    Ok(Reply::list(all?))
}

/// The newest first; what a branch was and is, and when.
fn activities(state: &mut State, call: &Call) -> Answer {
    let repo = state.repo(&call.repo())?;
    let wanted = call
        .asked("ref")
        .map(|r| r.trim_start_matches("refs/heads/"));
    let all = repo.activities.iter().enumerate().rev();
    let all = all.filter(|(_, a)| !a.branch.contains(':') && wanted.is_none_or(|w| w == a.branch));
    let none = "0".repeat(40);
    let one = |(id, a): (usize, &Activity)| {
        let kind = match (&a.before, &a.after) {
            (None, _) => "branch_creation",
            (_, None) => "branch_deletion",
            (Some(old), Some(new)) if repo.git.is_ancestor(old, new) => "push",
            _ => "force_push",
        };
        json!({
            "id": id + 1,
            "node_id": format!("A_{id}"),
            "before": a.before.as_ref().unwrap_or(&none),
            "after": a.after.as_ref().unwrap_or(&none),
            "ref": format!("refs/heads/{}", a.branch),
            "timestamp": a.at,
            "activity_type": kind,
            "actor": json::account(state, a.actor),
        })
    };
    Ok(Reply::list(all.map(one).collect::<Vec<_>>()))
}

fn pulls_of_commit(state: &mut State, call: &Call) -> Answer {
    let repo = state.repo(&call.repo())?;
    let sha = call.param("commit_sha");
    let mut list = Vec::new();
    for item in repo.items.values() {
        let Some(part) = &item.pull else { continue };
        let base = repo
            .branches
            .get(&part.base_ref)
            .cloned()
            .unwrap_or_default();
        let own = repo.git.between(&base, &part.head_sha);
        if own.iter().any(|c| c == sha) || part.merge_commit.as_deref() == Some(sha) {
            list.push(json::pull(state, repo, item, part, false));
        }
    }
    Ok(Reply::list(list))
}

fn branch(state: &mut State, call: &Call) -> Answer {
    let repo = state.repo(&call.repo())?;
    let name = call.param("branch");
    let sha = repo
        .branches
        .get(name)
        .ok_or_else(|| Reply::error(404, "Branch not found"))?;
    Ok(Reply::ok(
        json!({"name": name, "commit": json::commit(state, repo, sha)?, "protected": false}),
    ))
}

fn content(state: &mut State, call: &Call) -> Answer {
    let repo = state.repo(&call.repo())?;
    let at = call.asked("ref").unwrap_or(&repo.default_branch);
    let missing = || Reply::error(404, &format!("No commit found for the ref {at}"));
    let sha = resolve(repo, at).ok_or_else(missing)?;
    Ok(Reply::ok(json::content(
        state,
        repo,
        call.param("path"),
        &sha,
    )?))
}

/// One file, one commit: an existing file needs the id of what is replaced.
fn put_content(state: &mut State, call: &Call) -> Answer {
    let (name, path) = (call.repo(), call.param("path").to_owned());
    let packed: String = call.required("content")?.split_whitespace().collect();
    let decoded = base64::engine::general_purpose::STANDARD.decode(packed);
    let bytes = decoded.map_err(|_| Reply::error(422, "content is not valid Base64"))?;
    let repo = state.repo(&name)?;
    let branch = call
        .text("branch")
        .unwrap_or(&repo.default_branch)
        .to_owned();
    let missing = || Reply::error(404, &format!("Branch {branch} not found"));
    let parent = repo.branches.get(&branch).cloned().ok_or_else(missing)?;
    let old = repo.git.files(&parent).get(&path).map(|e| e.sha.clone());
    match (&old, call.text("sha")) {
        (Some(_), None) => {
            return Err(Reply::error(
                422,
                "Invalid request.\n\n\"sha\" wasn't supplied.",
            ));
        }
        (Some(old), Some(given)) if old != given => {
            return Err(Reply::error(409, &format!("{path} does not match {given}")));
        }
        _ => {}
    }
    let message = call.required("message")?;
    let files = [(path.as_str(), Some(bytes.as_slice()))];
    let sha = state.commit_files(&name, &[parent], &files, message, call.actor)?;
    guard_workflows(state, call, &sha)?;
    state.set_branch(&name, &branch, Some(&sha), call.actor)?;
    let repo = state.repo(&name)?;
    let body = json!({
        "content": json::content(state, repo, &path, &sha)?,
        "commit": json::git_commit(state, repo, &sha)?,
    });
    Ok(if old.is_some() {
        Reply::ok(body)
    } else {
        Reply::created(body)
    })
}

fn compare(state: &mut State, call: &Call) -> Answer {
    let repo = state.repo(&call.repo())?;
    let (base, head) = call
        .param("basehead")
        .split_once("...")
        .ok_or_else(Reply::not_found)?;
    let own = format!("{}:", repo.owner);
    let find = |name: &str| {
        resolve(repo, name.strip_prefix(&own).unwrap_or(name)).ok_or_else(Reply::not_found)
    };
    let (base, head) = (find(base)?, find(head)?);
    let ahead = repo.git.between(&base, &head);
    let behind = repo.git.between(&head, &base);
    let status = match (ahead.is_empty(), behind.is_empty()) {
        (true, true) => "identical",
        (false, true) => "ahead",
        (true, false) => "behind",
        (false, false) => "diverged",
    };
    let root = repo
        .git
        .merge_base(&base, &head)
        .ok_or_else(Reply::not_found)?;
    let commits: Result<Vec<Value>, Reply> = ahead
        .iter()
        .map(|sha| json::commit(state, repo, sha))
        .collect();
    let files: Vec<Value> = repo
        .git
        .differences(&root, &head)
        .iter()
        .map(|d| json::difference(repo, d))
        .collect();
    Ok(Reply::ok(json!({
        "status": status, "ahead_by": ahead.len(), "behind_by": behind.len(), "total_commits": ahead.len(),
        "base_commit": json::commit(state, repo, &base)?, "merge_base_commit": json::commit(state, repo, &root)?,
        "commits": commits?, "files": files,
    })))
}

// ---- checks

fn create_check(state: &mut State, call: &Call) -> Answer {
    if !call.is_app() {
        return Err(Reply::error(403, "You must authenticate via a GitHub App."));
    }
    let name = call.repo();
    let sha = call.required("head_sha")?.to_owned();
    if state.repo(&name)?.git.commit(&sha).is_none() {
        return Err(Reply::error(
            422,
            &format!("No commit found for SHA: {sha}"),
        ));
    }
    check_conclusion(&call.body)?;
    let app = match &call.holder {
        super::super::state::Holder::Installation { app, .. } => Some(*app),
        _ => None,
    };
    let (at, id) = (state.tick(), state.id());
    let check = Check {
        id,
        sha,
        app,
        creator: call.actor,
        sent: call.body.clone(),
        at,
    };
    let value = json::check_run(state, &check);
    state.repo_mut(&name)?.check_runs.push(check);
    Ok(Reply::created(value))
}

/// The description does not say it, GitHub does.
fn check_conclusion(body: &Value) -> Result<(), Reply> {
    let done = body.get("status").and_then(Value::as_str) == Some("completed");
    if done && body.get("conclusion").is_none_or(Value::is_null) {
        return Err(Reply::error(
            422,
            "Invalid request.\n\n\"conclusion\" wasn't supplied.",
        ));
    }
    Ok(())
}

fn change_check(state: &mut State, call: &Call) -> Answer {
    let (name, id) = (call.repo(), call.number("check_run_id")?);
    check_conclusion(&call.body)?;
    state.tick();
    let repo = state.repo_mut(&name)?;
    let check = repo
        .check_runs
        .iter_mut()
        .find(|c| c.id == id)
        .ok_or_else(Reply::not_found)?;
    for (field, value) in call.body.as_object().into_iter().flatten() {
        check.sent[field] = value.clone();
    }
    let check = check.clone();
    Ok(Reply::ok(json::check_run(state, &check)))
}

fn check_runs(state: &mut State, call: &Call) -> Answer {
    let repo = state.repo(&call.repo())?;
    let sha = must(repo, call.param("ref"))?;
    let named = |c: &&Check| {
        c.sha == sha
            && call
                .asked("check_name")
                .is_none_or(|n| c.sent["name"] == json!(n))
    };
    let runs: Vec<Value> = repo
        .check_runs
        .iter()
        .filter(named)
        .map(|c| json::check_run(state, c))
        .collect();
    Ok(Reply::ok(
        json!({"total_count": runs.len(), "check_runs": runs}),
    ))
}

fn create_status(state: &mut State, call: &Call) -> Answer {
    let name = call.repo();
    let sha = call.param("sha").to_owned();
    if state.repo(&name)?.git.commit(&sha).is_none() {
        return Err(Reply::error(
            422,
            &format!("No commit found for SHA: {sha}"),
        ));
    }
    let (at, id) = (state.tick(), state.id());
    let check = Check {
        id,
        sha,
        app: None,
        creator: call.actor,
        sent: call.body.clone(),
        at,
    };
    let value = json::status(state, &check);
    state.repo_mut(&name)?.statuses.push(check);
    Ok(Reply::created(value))
}

fn combined(state: &mut State, call: &Call) -> Answer {
    let repo = state.repo(&call.repo())?;
    let sha = must(repo, call.param("ref"))?;
    let mut seen = std::collections::BTreeSet::new();
    let newest = repo.statuses.iter().rev().filter(|s| s.sha == sha);
    let newest: Vec<&Check> = newest
        .filter(|s| seen.insert(s.sent["context"].to_string()))
        .collect();
    let any = |what: &[&str]| {
        newest
            .iter()
            .any(|s| what.iter().any(|w| s.sent["state"] == json!(w)))
    };
    let overall = match () {
        () if any(&["failure", "error"]) => "failure",
        () if newest.is_empty() || any(&["pending"]) => "pending",
        () => "success",
    };
    let list: Vec<Value> = newest.iter().map(|s| json::status(state, s)).collect();
    Ok(Reply::ok(
        json!({"state": overall, "sha": sha, "total_count": list.len(), "statuses": list}),
    ))
}
