//! What only GraphQL has.

use serde_json::{Value, json};

use super::super::state::State;
use super::super::wire::{Answer, Call, Reply};
use super::{Route, route};

pub static ROUTES: &[Route] = &[route("POST", "/graphql", "", graphql)];

const KNOWN: [&str; 5] = [
    "convertPullRequestToDraft",
    "markPullRequestReadyForReview",
    "minimizeComment",
    "updateRefs",
    "viewer",
];

fn graphql(state: &mut State, call: &Call) -> Answer {
    let query = call.text("query").unwrap_or_default();
    let variable = |name: &str| call.body["variables"][name].as_str().unwrap_or_default();
    let Some(name) = KNOWN.into_iter().find(|k| query.contains(k)) else {
        let message = "Field doesn't exist on type 'Mutation'";
        return Ok(Reply::ok(json!({"errors": [{"message": message}]})));
    };
    let done = match name {
        "viewer" => Ok(json!({"login": state.login(call.actor)})),
        "updateRefs" => swap(state, call, variable),
        "minimizeComment" => minimize(state, call, variable("id")),
        "convertPullRequestToDraft" => draft(state, call, variable("id"), true),
        _ => draft(state, call, variable("id"), false),
    };
    // GraphQL answers 200 whatever went wrong
    Ok(Reply::ok(match done {
        Ok(data) => json!({"data": {name: data}}),
        Err((kind, message)) => {
            json!({"data": {name: null}, "errors": [{"type": kind, "path": [name], "message": message}]})
        }
    }))
}

type Refused = (&'static str, String);

fn unknown(id: &str) -> Refused {
    (
        "NOT_FOUND",
        format!("Could not resolve to a node with the global id of '{id}'"),
    )
}

fn forbidden(call: &Call, what: &str) -> Refused {
    let who = if call.is_app() {
        "Resource not accessible by integration"
    } else {
        ""
    };
    let message = if who.is_empty() {
        format!(
            "{} does not have the correct permissions to execute `{what}`",
            call.actor
        )
    } else {
        who.to_owned()
    };
    ("FORBIDDEN", message)
}

fn draft(state: &mut State, call: &Call, node: &str, draft: bool) -> Result<Value, Refused> {
    let id: u64 = node
        .strip_prefix("PR_")
        .and_then(|i| i.parse().ok())
        .ok_or_else(|| unknown(node))?;
    let found = state.repos.iter().find_map(|(name, r)| {
        let item = r.items.values().find(|i| i.id == id && i.pull.is_some())?;
        Some((name.clone(), item.number, item.author, item.open))
    });
    let (name, number, author, open) = found.ok_or_else(|| unknown(node))?;
    if author != call.actor && !call.is_app() && !state.may_write(&name, call.actor) {
        return Err(forbidden(call, "MarkPullRequestReadyForReview"));
    }
    if !open {
        return Err(("UNPROCESSABLE", "Pull request is closed.".to_owned()));
    }
    let what = if draft {
        "convert_to_draft"
    } else {
        "ready_for_review"
    };
    let gone = |_: Reply| unknown(node);
    if state.pull_mut(&name, number).map_err(gone)?.draft != draft {
        state.pull_mut(&name, number).map_err(gone)?.draft = draft;
        state.event(&name, number, what, call.actor).map_err(gone)?;
    }
    Ok(json!({"pullRequest": {"isDraft": draft}}))
}

const NO_COMMIT: &str = "0000000000000000000000000000000000000000";

/// Compare and swap of one branch: `repository`, `name`, `before`, `after`. No commit stands for no branch.
fn swap<'c>(
    state: &mut State,
    call: &Call,
    variable: impl Fn(&str) -> &'c str,
) -> Result<Value, Refused> {
    let refuse = |message: String| Err(("UNPROCESSABLE", message));
    let id = variable("repository");
    let found = state
        .repos
        .iter()
        .find(|(_, r)| format!("R_{}", r.id) == id);
    let name = found
        .map(|(name, _)| name.clone())
        .ok_or_else(|| unknown(id))?;
    if !call.is_app() && !state.may_write(&name, call.actor) {
        return Err(forbidden(call, "UpdateRefs"));
    }
    let gone = |_: Reply| unknown(id);
    let repo = state.repo(&name).map_err(gone)?;
    let Some(branch) = variable("name").strip_prefix("refs/heads/") else {
        return refuse("Reference name is not valid".to_owned());
    };
    let (before, after) = (variable("before"), variable("after"));
    let now = repo.branches.get(branch).map_or(NO_COMMIT, String::as_str);
    if now != before {
        return refuse(format!(
            "Reference cannot be updated: {branch} is at {now}, not at {before}"
        ));
    }
    if after == NO_COMMIT && branch == repo.default_branch {
        return refuse("Cannot delete the default branch".to_owned());
    }
    if after != NO_COMMIT && repo.git.commit(after).is_none() {
        return refuse("Object does not exist".to_owned());
    }
    if after != NO_COMMIT {
        let mut named = call.clone();
        named.params = repo_params(&name);
        super::code::guard_workflows(state, &named, after)
            .map_err(|r| ("UNPROCESSABLE", r.body["message"].to_string()))?;
    }
    let to = Some(after).filter(|a| *a != NO_COMMIT);
    state
        .set_branch(&name, branch, to, call.actor)
        .map_err(gone)?;
    Ok(json!({"clientMutationId": null}))
}

fn repo_params(full_name: &str) -> std::collections::BTreeMap<String, String> {
    let (owner, repo) = full_name.split_once('/').unwrap_or_default();
    [("owner", owner), ("repo", repo)]
        .map(|(k, v)| (k.to_owned(), v.to_owned()))
        .into()
}

fn minimize(state: &mut State, call: &Call, node: &str) -> Result<Value, Refused> {
    let id: u64 = node
        .rsplit('_')
        .next()
        .and_then(|i| i.parse().ok())
        .ok_or_else(|| unknown(node))?;
    let items = state.repos.values_mut().flat_map(|r| r.items.values_mut());
    let all = items.flat_map(|i| {
        let lines = i
            .pull
            .as_mut()
            .map(|p| p.review_comments.iter_mut().chain(p.reviews.iter_mut()));
        i.comments.iter_mut().chain(lines.into_iter().flatten())
    });
    let comment = all
        .into_iter()
        .find(|c| c.id == id)
        .ok_or_else(|| unknown(node))?;
    if comment.author != call.actor && !call.is_app() {
        return Err(forbidden(call, "MinimizeComment"));
    }
    comment.minimized = true;
    Ok(json!({"minimizedComment": {"isMinimized": true}}))
}
