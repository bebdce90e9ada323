//! The mutations that only GraphQL has.

use serde_json::{Value, json};

use super::super::state::State;
use super::super::wire::{Answer, Call, Reply};
use super::{Route, route};

pub static ROUTES: &[Route] = &[route("POST", "/graphql", "", graphql)];

const KNOWN: [&str; 3] = [
    "convertPullRequestToDraft",
    "markPullRequestReadyForReview",
    "minimizeComment",
];

fn graphql(state: &mut State, call: &Call) -> Answer {
    let query = call.text("query").unwrap_or_default();
    let id = call
        .body
        .pointer("/variables/id")
        .and_then(Value::as_str)
        .unwrap_or_default();
    let Some(name) = KNOWN.into_iter().find(|k| query.contains(k)) else {
        let message = "Field doesn't exist on type 'Mutation'";
        return Ok(Reply::ok(json!({"errors": [{"message": message}]})));
    };
    let done = match name {
        "minimizeComment" => minimize(state, call, id),
        "convertPullRequestToDraft" => draft(state, call, id, true),
        _ => draft(state, call, id, false),
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
