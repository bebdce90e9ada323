//! Issues, which pull requests are too: comments, labels, people, reactions, search.

use serde_json::{Value, json};

use super::super::json;
use super::super::state::{Comment, Item, Kind, Repo, State, check_lengths};
use super::super::wire::{Answer, Call, Reply};
use super::{Route, route};

const TALK: &str = "issues:write|pull_requests:write";
const LISTEN: &str = "issues:read|pull_requests:read";

pub static ROUTES: &[Route] = &[
    route("GET", "/repos/{owner}/{repo}/issues", LISTEN, list),
    route("POST", "/repos/{owner}/{repo}/issues", "issues:write", open),
    route(
        "GET",
        "/repos/{owner}/{repo}/issues/comments",
        LISTEN,
        all_comments,
    ),
    route(
        "GET",
        "/repos/{owner}/{repo}/issues/comments/{comment_id}",
        LISTEN,
        comment,
    ),
    route(
        "PATCH",
        "/repos/{owner}/{repo}/issues/comments/{comment_id}",
        TALK,
        edit_comment,
    ),
    route(
        "DELETE",
        "/repos/{owner}/{repo}/issues/comments/{comment_id}",
        TALK,
        delete_comment,
    ),
    route(
        "GET",
        "/repos/{owner}/{repo}/issues/comments/{comment_id}/reactions",
        LISTEN,
        reactions,
    ),
    route(
        "POST",
        "/repos/{owner}/{repo}/issues/comments/{comment_id}/reactions",
        TALK,
        react,
    ),
    route(
        "GET",
        "/repos/{owner}/{repo}/issues/{issue_number}",
        LISTEN,
        one,
    ),
    route(
        "PATCH",
        "/repos/{owner}/{repo}/issues/{issue_number}",
        TALK,
        change,
    ),
    route(
        "GET",
        "/repos/{owner}/{repo}/issues/{issue_number}/comments",
        LISTEN,
        comments,
    ),
    route(
        "POST",
        "/repos/{owner}/{repo}/issues/{issue_number}/comments",
        TALK,
        add_comment,
    ),
    route(
        "GET",
        "/repos/{owner}/{repo}/issues/{issue_number}/labels",
        LISTEN,
        labels_of,
    ),
    route(
        "POST",
        "/repos/{owner}/{repo}/issues/{issue_number}/labels",
        TALK,
        add_labels,
    ),
    route(
        "DELETE",
        "/repos/{owner}/{repo}/issues/{issue_number}/labels/{name}",
        TALK,
        remove_label,
    ),
    route(
        "POST",
        "/repos/{owner}/{repo}/issues/{issue_number}/assignees",
        TALK,
        assign,
    ),
    route(
        "GET",
        "/repos/{owner}/{repo}/issues/{issue_number}/events",
        LISTEN,
        events,
    ),
    route(
        "GET",
        "/repos/{owner}/{repo}/issues/{issue_number}/timeline",
        LISTEN,
        events,
    ),
    route("GET", "/repos/{owner}/{repo}/labels", LISTEN, all_labels),
    route("POST", "/repos/{owner}/{repo}/labels", TALK, create_label),
    route("GET", "/repos/{owner}/{repo}/labels/{name}", LISTEN, label),
    route("GET", "/search/issues", "", search),
];

/// Sorted as asked; GitHub's default is by creation, newest first.
pub fn sorted<'i>(call: &Call, mut items: Vec<&'i Item>) -> Vec<&'i Item> {
    match call.asked("sort") {
        Some("updated") => items.sort_by_key(|i| (i.updated_at, i.number)),
        Some("comments" | "popularity") => items.sort_by_key(|i| i.comments.len()),
        _ => items.sort_by_key(|i| i.number),
    }
    // a sort that is named without a direction is descending too
    if call.asked("direction") != Some("asc") {
        items.reverse();
    }
    items
}

pub fn in_state(call: &Call, item: &Item) -> bool {
    match call.asked("state").unwrap_or("open") {
        "all" => true,
        "closed" => !item.open,
        _ => item.open,
    }
}

fn list(state: &mut State, call: &Call) -> Answer {
    let repo = state.repo(&call.repo())?;
    let labels: Vec<&str> = call
        .asked("labels")
        .map(|l| l.split(',').collect())
        .unwrap_or_default();
    let has = |item: &Item, label: &str| {
        item.labels
            .iter()
            .any(|l| l.eq_ignore_ascii_case(label.trim()))
    };
    let since = call
        .asked("since")
        .and_then(|s| s.parse::<jiff::Timestamp>().ok());
    let fits = |item: &&Item| {
        in_state(call, item)
            && labels.iter().all(|l| has(item, l))
            && since.is_none_or(|s| item.updated_at >= s)
            && call
                .asked("creator")
                .is_none_or(|c| state.login(item.author) == c)
            && (repo.has_issues || item.pull.is_some())
    };
    let items = sorted(call, repo.items.values().filter(fits).collect());
    Ok(Reply::list(
        items
            .into_iter()
            .map(|i| json::issue(state, repo, i, false))
            .collect::<Vec<_>>(),
    ))
}

fn show(state: &State, name: &str, number: u64) -> Result<Value, Reply> {
    let item = state.item(name, number)?;
    Ok(json::issue(state, state.repo(name)?, item, true))
}

fn one(state: &mut State, call: &Call) -> Answer {
    Ok(Reply::ok(show(
        state,
        &call.repo(),
        call.number("issue_number")?,
    )?))
}

fn open(state: &mut State, call: &Call) -> Answer {
    let name = call.repo();
    let title = call.required("title")?;
    let body = call.text("body").unwrap_or_default();
    let number = state.open_issue(&name, title, body, &call.texts("labels"), call.actor)?;
    assign_people(state, &name, number, &call.texts("assignees"))?;
    Ok(Reply::created(show(state, &name, number)?))
}

/// What both the issue's and the pull request's route change.
pub fn change_item(state: &mut State, call: &Call, number: u64) -> Result<(), Reply> {
    let name = call.repo();
    state.item(&name, number)?;
    may_change(state, call, number)?;
    check_lengths("Issue", call.text("title"), call.text("body"))?;
    let at = state.tick();
    let item = state.item_mut(&name, number)?;
    if let Some(title) = call.text("title").filter(|t| *t != item.title) {
        item.title = title.to_owned();
        item.updated_at = at;
    }
    if let Some(body) = call.text("body").filter(|b| *b != item.body) {
        item.body = body.to_owned();
        item.updated_at = at;
    }
    match call.text("state") {
        Some("closed") => state.close(&name, number, call.actor, call.text("state_reason"))?,
        Some("open") => state.reopen(&name, number, call.actor)?,
        _ => {}
    }
    Ok(())
}

fn may_change(state: &State, call: &Call, number: u64) -> Result<(), Reply> {
    let item = state.item(&call.repo(), number)?;
    let role = state.role(&call.repo(), call.actor);
    let may =
        call.is_app() || item.author == call.actor || !["read", "none"].contains(&role.as_str());
    may.then_some(())
        .ok_or_else(|| Reply::error(403, "Must have admin rights to Repository."))
}

fn change(state: &mut State, call: &Call) -> Answer {
    let (name, number) = (call.repo(), call.number("issue_number")?);
    change_item(state, call, number)?;
    if call.body.get("labels").is_some() {
        let wanted = call.texts("labels");
        let gone: Vec<String> = state
            .item(&name, number)?
            .labels
            .iter()
            .filter(|l| !wanted.contains(l))
            .cloned()
            .collect();
        for label in gone {
            state.remove_label(&name, number, &label, call.actor)?;
        }
        state.add_labels(&name, number, &wanted, call.actor)?;
    }
    if call.body.get("assignees").is_some() {
        state.item_mut(&name, number)?.assignees.clear();
        assign_people(state, &name, number, &call.texts("assignees"))?;
    }
    Ok(Reply::ok(show(state, &name, number)?))
}

// ---- comments

fn show_comments(state: &State, repo: &Repo, item: &Item, call: &Call) -> Vec<Value> {
    let since = call
        .asked("since")
        .and_then(|s| s.parse::<jiff::Timestamp>().ok());
    let new = item
        .comments
        .iter()
        .filter(|c| since.is_none_or(|s| c.updated_at >= s));
    new.map(|c| json::comment(state, repo, item.number, Kind::Issue, c))
        .collect()
}

fn comments(state: &mut State, call: &Call) -> Answer {
    let item = state.item(&call.repo(), call.number("issue_number")?)?;
    Ok(Reply::list(show_comments(
        state,
        state.repo(&call.repo())?,
        item,
        call,
    )))
}

fn all_comments(state: &mut State, call: &Call) -> Answer {
    let repo = state.repo(&call.repo())?;
    Ok(Reply::list(
        repo.items
            .values()
            .flat_map(|i| show_comments(state, repo, i, call))
            .collect::<Vec<_>>(),
    ))
}

/// A comment of any kind, as GitHub shows it.
pub fn shown(state: &mut State, name: &str, kind: Kind, id: u64) -> Result<Value, Reply> {
    let (number, comment) = state.find_comment(name, kind, id)?;
    let comment = comment.clone();
    Ok(json::comment(
        state,
        state.repo(name)?,
        number,
        kind,
        &comment,
    ))
}

fn comment(state: &mut State, call: &Call) -> Answer {
    Ok(Reply::ok(shown(
        state,
        &call.repo(),
        Kind::Issue,
        call.number("comment_id")?,
    )?))
}

fn add_comment(state: &mut State, call: &Call) -> Answer {
    let name = call.repo();
    let body = call.required("body")?;
    let id = state.comment(&name, call.number("issue_number")?, body, call.actor)?;
    Ok(Reply::created(shown(state, &name, Kind::Issue, id)?))
}

/// One's own comments, or any with write access.
pub fn may_edit(state: &mut State, call: &Call, kind: Kind, id: u64) -> Result<(), Reply> {
    let name = call.repo();
    let author = state.find_comment(&name, kind, id)?.1.author;
    let may = author == call.actor || call.is_app() || state.may_write(&name, call.actor);
    may.then_some(())
        .ok_or_else(|| Reply::error(403, "Must have admin rights to Repository."))
}

fn edit_comment(state: &mut State, call: &Call) -> Answer {
    let (name, id) = (call.repo(), call.number("comment_id")?);
    may_edit(state, call, Kind::Issue, id)?;
    state.edit_comment(&name, Kind::Issue, id, call.required("body")?)?;
    Ok(Reply::ok(shown(state, &name, Kind::Issue, id)?))
}

fn delete_comment(state: &mut State, call: &Call) -> Answer {
    let (name, id) = (call.repo(), call.number("comment_id")?);
    may_edit(state, call, Kind::Issue, id)?;
    let (number, _) = state.find_comment(&name, Kind::Issue, id)?;
    state.tick();
    state
        .item_mut(&name, number)?
        .comments
        .retain(|c| c.id != id);
    Ok(Reply::no_content())
}

// ---- reactions

pub fn list_reactions(state: &mut State, call: &Call, kind: Kind) -> Answer {
    let comment: Comment = state
        .find_comment(&call.repo(), kind, call.number("comment_id")?)?
        .1
        .clone();
    let fits = |r: &&(u64, u64, String)| call.asked("content").is_none_or(|c| c == r.2);
    Ok(Reply::list(
        comment
            .reactions
            .iter()
            .filter(fits)
            .map(|r| json::reaction(state, r))
            .collect::<Vec<_>>(),
    ))
}

/// Reacting twice is once: 201, then 200.
pub fn add_reaction(state: &mut State, call: &Call, kind: Kind) -> Answer {
    let content = call.required("content")?.to_owned();
    let known = [
        "+1", "-1", "laugh", "confused", "heart", "hooray", "rocket", "eyes",
    ];
    if !known.contains(&content.as_str()) {
        return Err(Reply::error(422, "Validation Failed"));
    }
    let (name, id, actor) = (call.repo(), call.number("comment_id")?, call.actor);
    let new = state.id();
    let (_, comment) = state.find_comment(&name, kind, id)?;
    let old = comment
        .reactions
        .iter()
        .find(|r| r.1 == actor && r.2 == content)
        .cloned();
    match old {
        Some(old) => Ok(Reply::ok(json::reaction(state, &old))),
        None => {
            let one = (new, actor, content);
            comment.reactions.push(one.clone());
            Ok(Reply::created(json::reaction(state, &one)))
        }
    }
}

fn reactions(state: &mut State, call: &Call) -> Answer {
    list_reactions(state, call, Kind::Issue)
}

fn react(state: &mut State, call: &Call) -> Answer {
    add_reaction(state, call, Kind::Issue)
}

// ---- labels and people

fn label_list(state: &State, name: &str, number: u64) -> Result<Vec<Value>, Reply> {
    let value = show(state, name, number)?;
    Ok(value["labels"].as_array().cloned().unwrap_or_default())
}

fn labels_of(state: &mut State, call: &Call) -> Answer {
    Ok(Reply::list(label_list(
        state,
        &call.repo(),
        call.number("issue_number")?,
    )?))
}

fn may_label(state: &State, call: &Call) -> Result<(), Reply> {
    let role = state.role(&call.repo(), call.actor);
    let may = call.is_app() || !["read", "none"].contains(&role.as_str());
    may.then_some(())
        .ok_or_else(|| Reply::error(403, "Must have admin rights to Repository."))
}

fn add_labels(state: &mut State, call: &Call) -> Answer {
    let (name, number) = (call.repo(), call.number("issue_number")?);
    may_label(state, call)?;
    let wanted = match &call.body {
        Value::Array(list) => list
            .iter()
            .filter_map(|v| v.as_str().map(str::to_owned))
            .collect(),
        _ => call.texts("labels"),
    };
    state.item(&name, number)?;
    state.add_labels(&name, number, &wanted, call.actor)?;
    Ok(Reply::ok(Value::Array(label_list(state, &name, number)?)))
}

fn remove_label(state: &mut State, call: &Call) -> Answer {
    let (name, number) = (call.repo(), call.number("issue_number")?);
    may_label(state, call)?;
    state.remove_label(&name, number, call.param("name"), call.actor)?;
    Ok(Reply::ok(Value::Array(label_list(state, &name, number)?)))
}

fn all_labels(state: &mut State, call: &Call) -> Answer {
    Ok(Reply::list(
        state
            .repo(&call.repo())?
            .labels
            .values()
            .cloned()
            .collect::<Vec<_>>(),
    ))
}

fn label(state: &mut State, call: &Call) -> Answer {
    let labels = &state.repo(&call.repo())?.labels;
    labels
        .get(&call.param("name").to_lowercase())
        .cloned()
        .map(Reply::ok)
        .ok_or_else(Reply::not_found)
}

fn create_label(state: &mut State, call: &Call) -> Answer {
    may_label(state, call)?;
    let label = call.required("name")?.to_owned();
    let id = state.id();
    let labels = &mut state.repo_mut(&call.repo())?.labels;
    if labels.contains_key(&label.to_lowercase()) {
        let errors = json!([{"resource": "Label", "code": "already_exists", "field": "name"}]);
        return Err(Reply::error(422, "Validation Failed").with("errors", errors));
    }
    let field = |name: &str| call.body.get(name).cloned().unwrap_or_default();
    let value = json!({"id": id, "node_id": format!("LA_{id}"), "name": label, "color": field("color"), "description": field("description"), "default": false});
    labels.insert(label.to_lowercase(), value.clone());
    Ok(Reply::created(value))
}

/// People who cannot be assigned are left out, silently.
fn assign_people(
    state: &mut State,
    name: &str,
    number: u64,
    logins: &[String],
) -> Result<(), Reply> {
    for login in logins {
        let role = state.repo(name)?.roles.get(&login.to_lowercase());
        let may = role.is_some_and(|r| r != "none");
        if may {
            let id = state.account(login);
            let item = state.item_mut(name, number)?;
            if !item.assignees.contains(&id) && item.assignees.len() < 10 {
                item.assignees.push(id);
            }
        }
    }
    Ok(())
}

fn assign(state: &mut State, call: &Call) -> Answer {
    let (name, number) = (call.repo(), call.number("issue_number")?);
    may_label(state, call)?;
    let logins: Vec<String> = call.texts("assignees");
    state.item(&name, number)?;
    state.tick();
    assign_people(state, &name, number, &logins)?;
    Ok(Reply::created(show(state, &name, number)?))
}

fn events(state: &mut State, call: &Call) -> Answer {
    let item = state.item(&call.repo(), call.number("issue_number")?)?;
    Ok(Reply::list(
        item.events
            .iter()
            .map(|e| json::event(state, e))
            .collect::<Vec<_>>(),
    ))
}

// ---- search

/// `repo:o/n is:pr is:open label:"a b" author:x head:branch in:body words`.
fn search(state: &mut State, call: &Call) -> Answer {
    let terms = terms(call.asked("q").unwrap_or_default());
    let mut found = Vec::new();
    for repo in state.repos.values() {
        for item in repo.items.values() {
            if terms.iter().all(|t| matches(state, repo, item, t)) {
                found.push((item.updated_at, json::issue(state, repo, item, false)));
            }
        }
    }
    found.sort_by_key(|(at, _)| std::cmp::Reverse(*at));
    let items: Vec<Value> = found.into_iter().map(|(_, v)| v).collect();
    Ok(Reply::ok(
        json!({"total_count": items.len(), "incomplete_results": false, "items": items}),
    ))
}

/// Words, with quotes respected.
fn terms(query: &str) -> Vec<String> {
    let mut all = vec![String::new()];
    let mut quoted = false;
    for c in query.chars() {
        match c {
            '"' => quoted = !quoted,
            ' ' if !quoted => all.push(String::new()),
            other => all.last_mut().unwrap().push(other),
        }
    }
    all.retain(|t| !t.is_empty());
    all
}

fn matches(state: &State, repo: &Repo, item: &Item, term: &str) -> bool {
    let (name, value) = term.split_once(':').unwrap_or(("", term));
    match (name, value) {
        ("is" | "type", "pr") => item.pull.is_some(),
        ("is" | "type", "issue") => item.pull.is_none(),
        ("is" | "state", "open") => item.open,
        ("is" | "state", "closed") => !item.open,
        ("is", "merged") => item.pull.as_ref().is_some_and(|p| p.merged_at.is_some()),
        ("repo", full) => full.eq_ignore_ascii_case(&format!("{}/{}", repo.owner, repo.name)),
        ("label", label) => item.labels.iter().any(|l| l.eq_ignore_ascii_case(label)),
        ("author", login) => {
            let bot = login.strip_prefix("app/").map(|a| format!("{a}[bot]"));
            state.login(item.author) == bot.unwrap_or_else(|| login.to_owned())
        }
        ("head", branch) => item.pull.as_ref().is_some_and(|p| p.head_ref == branch),
        ("base", branch) => item.pull.as_ref().is_some_and(|p| p.base_ref == branch),
        ("in", _) => true,
        _ => item.body.contains(term) || item.title.contains(term),
    }
}
