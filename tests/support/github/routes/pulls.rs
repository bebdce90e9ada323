//! Pull requests and their reviews.

use serde_json::{Value, json};

use super::super::json;
use super::super::seed::ACTIONS;
use super::super::state::{Holder, Item, Kind, State};
use super::super::wire::{Answer, Call, Reply};
use super::issues::{add_reaction, change_item, in_state, list_reactions, may_edit, shown, sorted};
use super::{Route, route};

const READ: &str = "pull_requests:read";
const WRITE: &str = "pull_requests:write";

pub static ROUTES: &[Route] = &[
    route("GET", "/repos/{owner}/{repo}/pulls", READ, list),
    route("POST", "/repos/{owner}/{repo}/pulls", WRITE, open),
    route(
        "GET",
        "/repos/{owner}/{repo}/pulls/comments/{comment_id}",
        READ,
        line_comment,
    ),
    route(
        "PATCH",
        "/repos/{owner}/{repo}/pulls/comments/{comment_id}",
        WRITE,
        edit_line_comment,
    ),
    route(
        "GET",
        "/repos/{owner}/{repo}/pulls/comments/{comment_id}/reactions",
        READ,
        reactions,
    ),
    route(
        "POST",
        "/repos/{owner}/{repo}/pulls/comments/{comment_id}/reactions",
        WRITE,
        react,
    ),
    route(
        "GET",
        "/repos/{owner}/{repo}/pulls/{pull_number}",
        READ,
        one,
    ),
    route(
        "PATCH",
        "/repos/{owner}/{repo}/pulls/{pull_number}",
        WRITE,
        change,
    ),
    route(
        "PUT",
        "/repos/{owner}/{repo}/pulls/{pull_number}/merge",
        "contents:write",
        merge,
    ),
    route(
        "GET",
        "/repos/{owner}/{repo}/pulls/{pull_number}/merge",
        READ,
        is_merged,
    ),
    route(
        "PUT",
        "/repos/{owner}/{repo}/pulls/{pull_number}/update-branch",
        WRITE,
        update_branch,
    ),
    route(
        "GET",
        "/repos/{owner}/{repo}/pulls/{pull_number}/commits",
        READ,
        commits,
    ),
    route(
        "GET",
        "/repos/{owner}/{repo}/pulls/{pull_number}/files",
        READ,
        files,
    ),
    route(
        "GET",
        "/repos/{owner}/{repo}/pulls/{pull_number}/reviews",
        READ,
        reviews,
    ),
    route(
        "POST",
        "/repos/{owner}/{repo}/pulls/{pull_number}/reviews",
        WRITE,
        review,
    ),
    route(
        "GET",
        "/repos/{owner}/{repo}/pulls/{pull_number}/comments",
        READ,
        line_comments,
    ),
    route(
        "POST",
        "/repos/{owner}/{repo}/pulls/{pull_number}/comments",
        WRITE,
        add_line_comment,
    ),
    route(
        "POST",
        "/repos/{owner}/{repo}/pulls/{pull_number}/comments/{comment_id}/replies",
        WRITE,
        reply,
    ),
    route(
        "POST",
        "/repos/{owner}/{repo}/pulls/{pull_number}/requested_reviewers",
        WRITE,
        request_reviewers,
    ),
];

fn list(state: &mut State, call: &Call) -> Answer {
    let repo = state.repo(&call.repo())?;
    // GitHub ignores a head without an owner, and lists everything
    let head = call.asked("head").and_then(|h| h.split_once(':'));
    let fits = |item: &&Item| {
        let Some(part) = &item.pull else { return false };
        in_state(call, item)
            && head.is_none_or(|(owner, branch)| {
                part.head_owner.eq_ignore_ascii_case(owner) && part.head_ref == branch
            })
            && call.asked("base").is_none_or(|b| b == part.base_ref)
    };
    let items = sorted(call, repo.items.values().filter(fits).collect());
    let shown = items
        .into_iter()
        .filter_map(|i| Some(json::pull(state, repo, i, i.pull.as_ref()?, false)));
    Ok(Reply::list(shown.collect::<Vec<_>>()))
}

fn show(state: &State, name: &str, number: u64) -> Result<Value, Reply> {
    let (item, part) = state.pull(name, number)?;
    Ok(json::pull(state, state.repo(name)?, item, part, true))
}

/// `mergeable` is null until GitHub thought about it; asking makes it think.
fn one(state: &mut State, call: &Call) -> Answer {
    let (name, number) = (call.repo(), call.number("pull_number")?);
    let value = show(state, &name, number)?;
    let part = state.pull_mut(&name, number)?;
    part.thinking = part.thinking.saturating_sub(1);
    Ok(Reply::ok(value))
}

fn open(state: &mut State, call: &Call) -> Answer {
    let name = call.repo();
    let title = call.required("title")?;
    let (head, base) = (call.required("head")?, call.required("base")?);
    let body = call.text("body").unwrap_or_default();
    let draft = call
        .body
        .get("draft")
        .and_then(Value::as_bool)
        .unwrap_or(false);
    if draft && !state.repo(&name)?.drafts {
        let message = "Draft pull requests are not supported in this repository.";
        return Err(Reply::error(422, message));
    }
    let actions = matches!(call.holder, Holder::Installation { app: ACTIONS, .. });
    if actions && !state.repo(&name)?.actions_may_open {
        let message = "GitHub Actions is not permitted to create or approve pull requests.";
        return Err(Reply::error(403, message));
    }
    let number = state.open_pull(&name, head, base, title, body, draft, call.actor)?;
    Ok(Reply::created(show(state, &name, number)?))
}

fn change(state: &mut State, call: &Call) -> Answer {
    let (name, number) = (call.repo(), call.number("pull_number")?);
    state.pull(&name, number)?;
    change_item(state, call, number)?;
    if let Some(base) = call.text("base") {
        state.retarget(&name, number, base)?;
    }
    Ok(Reply::ok(show(state, &name, number)?))
}

fn merge(state: &mut State, call: &Call) -> Answer {
    let (name, number) = (call.repo(), call.number("pull_number")?);
    let method = call.text("merge_method").unwrap_or("merge");
    let sha = state.merge(&name, number, method, call.text("sha"), call.actor)?;
    Ok(Reply::ok(
        json!({"sha": sha, "merged": true, "message": "Pull Request successfully merged"}),
    ))
}

fn is_merged(state: &mut State, call: &Call) -> Answer {
    let (_, part) = state.pull(&call.repo(), call.number("pull_number")?)?;
    part.merged_at
        .map(|_| Reply::no_content())
        .ok_or_else(Reply::not_found)
}

fn update_branch(state: &mut State, call: &Call) -> Answer {
    let (name, number) = (call.repo(), call.number("pull_number")?);
    state.update_branch(&name, number, call.text("expected_head_sha"), call.actor)?;
    let message = "Updating pull request branch.";
    Ok(Reply {
        status: 202,
        ..Reply::ok(json!({"message": message, "url": ""}))
    })
}

/// The commits that are its own.
fn own_commits(state: &State, name: &str, number: u64) -> Result<Vec<String>, Reply> {
    let repo = state.repo(name)?;
    let (item, part) = state.pull(name, number)?;
    let base = repo
        .branches
        .get(&part.base_ref)
        .filter(|_| item.open)
        .unwrap_or(&part.base_sha);
    Ok(repo.git.between(base, &part.head_sha))
}

fn commits(state: &mut State, call: &Call) -> Answer {
    let name = call.repo();
    let own = own_commits(state, &name, call.number("pull_number")?)?;
    let repo = state.repo(&name)?;
    let all: Result<Vec<Value>, Reply> = own
        .iter()
        .map(|sha| json::commit(state, repo, sha))
        .collect();
    Ok(Reply::list(all?))
}

fn files(state: &mut State, call: &Call) -> Answer {
    let repo = state.repo(&call.repo())?;
    let (item, part) = state.pull(&call.repo(), call.number("pull_number")?)?;
    let base = repo
        .branches
        .get(&part.base_ref)
        .filter(|_| item.open)
        .unwrap_or(&part.base_sha);
    let all = repo.git.proposed(base, &part.head_sha);
    Ok(Reply::list(
        all.iter()
            .map(|d| json::difference(repo, d))
            .collect::<Vec<_>>(),
    ))
}

// ---- reviews

fn reviews(state: &mut State, call: &Call) -> Answer {
    let repo = state.repo(&call.repo())?;
    let (item, part) = state.pull(&call.repo(), call.number("pull_number")?)?;
    let one = |c| json::comment(state, repo, item.number, Kind::Review, c);
    Ok(Reply::list(
        part.reviews.iter().map(one).collect::<Vec<_>>(),
    ))
}

fn review(state: &mut State, call: &Call) -> Answer {
    let (name, number) = (call.repo(), call.number("pull_number")?);
    let verdict = match call.text("event") {
        Some("APPROVE") => "APPROVED",
        Some("REQUEST_CHANGES") => "CHANGES_REQUESTED",
        _ => "COMMENTED",
    };
    let body = call.text("body").unwrap_or_default();
    let id = state.review(&name, number, verdict, body, call.actor)?;
    let comments = call.body.get("comments").and_then(Value::as_array);
    for comment in comments.into_iter().flatten() {
        let text = |key: &str| comment.get(key).and_then(Value::as_str).unwrap_or_default();
        let line = comment.get("line").and_then(Value::as_u64).unwrap_or(1);
        let (path, body) = (text("path"), text("body"));
        state.line_comment(&name, number, path, line, body, None, call.actor)?;
    }
    Ok(Reply::ok(shown(state, &name, Kind::Review, id)?))
}

fn line_comments(state: &mut State, call: &Call) -> Answer {
    let repo = state.repo(&call.repo())?;
    let (item, part) = state.pull(&call.repo(), call.number("pull_number")?)?;
    let one = |c| json::comment(state, repo, item.number, Kind::Line, c);
    Ok(Reply::list(
        part.review_comments.iter().map(one).collect::<Vec<_>>(),
    ))
}

fn add_line_comment(state: &mut State, call: &Call) -> Answer {
    let (name, number) = (call.repo(), call.number("pull_number")?);
    let line = call.body.get("line").and_then(Value::as_u64).unwrap_or(1);
    let path = call.required("path")?;
    let id = state.line_comment(
        &name,
        number,
        path,
        line,
        call.required("body")?,
        None,
        call.actor,
    )?;
    Ok(Reply::created(shown(state, &name, Kind::Line, id)?))
}

fn reply(state: &mut State, call: &Call) -> Answer {
    let (name, number, to) = (
        call.repo(),
        call.number("pull_number")?,
        call.number("comment_id")?,
    );
    let (_, first) = state.find_comment(&name, Kind::Line, to)?;
    let (path, line) = (first.path.clone(), first.line);
    let id = state.line_comment(
        &name,
        number,
        &path,
        line,
        call.required("body")?,
        Some(to),
        call.actor,
    )?;
    Ok(Reply::created(shown(state, &name, Kind::Line, id)?))
}

fn line_comment(state: &mut State, call: &Call) -> Answer {
    Ok(Reply::ok(shown(
        state,
        &call.repo(),
        Kind::Line,
        call.number("comment_id")?,
    )?))
}

fn edit_line_comment(state: &mut State, call: &Call) -> Answer {
    let (name, id) = (call.repo(), call.number("comment_id")?);
    may_edit(state, call, Kind::Line, id)?;
    state.edit_comment(&name, Kind::Line, id, call.required("body")?)?;
    Ok(Reply::ok(shown(state, &name, Kind::Line, id)?))
}

fn reactions(state: &mut State, call: &Call) -> Answer {
    list_reactions(state, call, Kind::Line)
}

fn react(state: &mut State, call: &Call) -> Answer {
    add_reaction(state, call, Kind::Line)
}

fn request_reviewers(state: &mut State, call: &Call) -> Answer {
    let (name, number) = (call.repo(), call.number("pull_number")?);
    let wanted = call.texts("reviewers");
    for login in &wanted {
        let id = state.account(login);
        let author = state.item(&name, number)?.author == id;
        if author
            || state.role(&name, id) == "none"
            || !state.repo(&name)?.roles.contains_key(&login.to_lowercase())
        {
            let message = "Reviews may only be requested from collaborators. One or more of the users or teams you specified is not a collaborator of this repository.";
            return Err(Reply::error(422, message));
        }
    }
    state.pull_mut(&name, number)?.reviewers.extend(wanted);
    Ok(Reply::created(show(state, &name, number)?))
}
