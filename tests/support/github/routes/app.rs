//! Who we are: users, Apps, installations, the repository itself.

use std::collections::{BTreeMap, BTreeSet};

use jiff::ToSpan as _;
use serde_json::{Value, json};

use super::super::json;
use super::super::state::{App, Holder, State, Token};
use super::super::wire::{Answer, Call, Reply};
use super::{Route, route};

pub static ROUTES: &[Route] = &[
    route("GET", "/user", "", me),
    route("GET", "/users/{username}", "", user),
    route("GET", "/rate_limit", "", rate_limit),
    route("GET", "/app", "jwt", app),
    route("GET", "/app/installations", "jwt", installations),
    route(
        "GET",
        "/app/installations/{installation_id}",
        "jwt",
        installation,
    ),
    route(
        "POST",
        "/app/installations/{installation_id}/access_tokens",
        "jwt",
        access_token,
    ),
    route(
        "GET",
        "/repos/{owner}/{repo}/installation",
        "jwt",
        installation_of,
    ),
    route("GET", "/app/hook/deliveries", "jwt", deliveries),
    route(
        "POST",
        "/app/hook/deliveries/{delivery_id}/attempts",
        "jwt",
        redeliver,
    ),
    route("GET", "/installation/repositories", "", repositories),
    route("GET", "/repos/{owner}/{repo}", "metadata:read", repo),
    route(
        "GET",
        "/repos/{owner}/{repo}/collaborators/{username}/permission",
        "metadata:read",
        permission,
    ),
];

fn me(state: &mut State, call: &Call) -> Answer {
    match &call.holder {
        Holder::User(id) => Ok(Reply::ok(json::account(state, *id))),
        _ => Err(Reply::error(403, "Resource not accessible by integration")),
    }
}

fn user(state: &mut State, call: &Call) -> Answer {
    let login = call.param("username");
    let found = state
        .users
        .iter()
        .find(|u| u.login.eq_ignore_ascii_case(login));
    found
        .map(|u| Reply::ok(json::user(state, u)))
        .ok_or_else(Reply::not_found)
}

fn rate_limit(_: &mut State, _: &Call) -> Answer {
    let core = json!({"limit": 5000, "remaining": 5000, "reset": 0, "used": 0});
    Ok(Reply::ok(
        json!({"resources": {"core": core, "search": core, "graphql": core}, "rate": core}),
    ))
}

fn our_app<'s>(state: &'s State, call: &Call) -> Result<&'s App, Reply> {
    let Holder::App(id) = &call.holder else {
        let message = "A JSON web token could not be decoded";
        return Err(Reply::error(401, message));
    };
    state
        .apps
        .iter()
        .find(|a| a.id == *id)
        .ok_or_else(Reply::not_found)
}

fn app(state: &mut State, call: &Call) -> Answer {
    let app = our_app(state, call)?;
    let owner = json::account(state, app.bot);
    Ok(Reply::ok(json!({
        "id": app.id, "client_id": app.client_id, "slug": app.slug, "node_id": format!("A_{}", app.id),
        "name": app.slug, "owner": owner, "description": null, "external_url": "", "html_url": "",
        "created_at": state.now, "updated_at": state.now, "permissions": app.may, "events": [],
        "installations_count": 1,
    })))
}

fn installation_json(state: &State, app: &App) -> Value {
    let owner = state
        .repos
        .values()
        .next()
        .map(|r| r.owner.clone())
        .unwrap_or_default();
    let account = state.users.iter().find(|u| u.login == owner);
    json!({
        "id": app.installation, "app_id": app.id, "app_slug": app.slug, "client_id": app.client_id,
        "account": account.map(|u| json::user(state, u)), "target_id": 1, "target_type": "Organization",
        "repository_selection": "all", "permissions": app.may, "events": [],
        "access_tokens_url": format!("{}/app/installations/{}/access_tokens", state.url, app.installation),
        "repositories_url": format!("{}/installation/repositories", state.url), "html_url": "",
        "created_at": state.now, "updated_at": state.now, "single_file_name": null,
        "suspended_at": app.suspended.then_some(state.now), "suspended_by": null,
    })
}

fn installations(state: &mut State, call: &Call) -> Answer {
    let app = our_app(state, call)?;
    Ok(Reply::list([installation_json(state, app)]))
}

fn installation(state: &mut State, call: &Call) -> Answer {
    let app = our_app(state, call)?;
    if call.number("installation_id")? != app.installation {
        return Err(Reply::not_found());
    }
    Ok(Reply::ok(installation_json(state, app)))
}

fn installation_of(state: &mut State, call: &Call) -> Answer {
    state.repo(&call.repo())?;
    let app = our_app(state, call)?;
    Ok(Reply::ok(installation_json(state, app)))
}

/// A token for an installation, with all of its rights or with some of them.
fn access_token(state: &mut State, call: &Call) -> Answer {
    let app = our_app(state, call)?.clone();
    if call.number("installation_id")? != app.installation {
        return Err(Reply::not_found());
    }
    if app.suspended {
        return Err(Reply::error(403, "This installation has been suspended"));
    }
    let mut may = app.may.clone();
    if let Some(asked) = call.body.get("permissions").and_then(Value::as_object) {
        may = BTreeMap::new();
        for (name, level) in asked {
            let level = level.as_str().unwrap_or_default();
            let granted = app.may.get(name).map_or("none", String::as_str);
            if !allows(granted, level) {
                let message = "The permissions requested are not granted to this installation.";
                return Err(Reply::error(422, message));
            }
            may.insert(name.clone(), level.to_owned());
        }
        may.entry("metadata".to_owned())
            .or_insert_with(|| "read".to_owned());
    }
    let repositories = call
        .body
        .get("repositories")
        .map(|_| call.texts("repositories"));
    if let Some(names) = &repositories {
        let known = |name: &String| {
            state
                .repos
                .values()
                .any(|r| r.name.eq_ignore_ascii_case(name))
        };
        if !names.iter().all(known) {
            let message = "There is at least one repository that does not exist or is not accessible to the parent installation.";
            return Err(Reply::error(422, message));
        }
    }
    let narrowed =
        repositories.map(|r| r.iter().map(|n| n.to_lowercase()).collect::<BTreeSet<_>>());
    let selection = if narrowed.is_some() {
        "selected"
    } else {
        "all"
    };
    let until = state.wire_now().checked_add(1.hour()).unwrap();
    let token = format!("ghs_{}", state.id());
    let holder = Holder::Installation {
        app: app.id,
        may: may.clone(),
        repositories: narrowed,
    };
    state.tokens.insert(
        token.clone(),
        Token {
            holder,
            until: Some(until),
        },
    );
    Ok(Reply::created(json!({
        "token": token, "expires_at": until.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
        "permissions": may, "repository_selection": selection,
    })))
}

/// Whether a granted level covers the one that is asked for.
pub fn allows(granted: &str, level: &str) -> bool {
    let rank = |l: &str| {
        ["none", "read", "write", "admin"]
            .iter()
            .position(|x| *x == l)
            .unwrap_or(0)
    };
    rank(granted) >= rank(level)
}

/// What a test put there: GitHub's own deliveries are not simulated.
fn deliveries(state: &mut State, _: &Call) -> Answer {
    Ok(Reply::list(state.deliveries.clone()))
}

fn redeliver(state: &mut State, call: &Call) -> Answer {
    let id = call.number("delivery_id")?;
    let known = state.deliveries.iter().any(|d| d["id"] == id);
    let accepted = || Reply {
        status: 202,
        ..Reply::ok(json!({}))
    };
    known.then(accepted).ok_or_else(Reply::not_found)
}

fn repositories(state: &mut State, call: &Call) -> Answer {
    let Holder::Installation { repositories, .. } = &call.holder else {
        return Err(Reply::error(
            403,
            "You must authenticate with an installation access token in order to list repositories for an installation.",
        ));
    };
    let seen = |name: &str| {
        repositories
            .as_ref()
            .is_none_or(|r| r.contains(&name.to_lowercase()))
    };
    let list: Vec<Value> = state
        .repos
        .values()
        .filter(|r| seen(&r.name))
        .map(|r| json::repo(state, r))
        .collect();
    Ok(Reply::ok(
        json!({"total_count": list.len(), "repositories": list, "repository_selection": "all"}),
    ))
}

fn repo(state: &mut State, call: &Call) -> Answer {
    Ok(Reply::ok(json::repo(state, state.repo(&call.repo())?)))
}

fn permission(state: &mut State, call: &Call) -> Answer {
    let login = call.param("username").to_owned();
    let found = state
        .users
        .iter()
        .find(|u| u.login.eq_ignore_ascii_case(&login));
    let Some(user) = found.cloned() else {
        return Err(Reply::error(404, &format!("{login} is not a user")));
    };
    let role = state.role(&call.repo(), user.id);
    // the old field knows four words only
    let old = match role.as_str() {
        "maintain" => "write",
        "triage" => "read",
        other => other,
    };
    let mut account = json::user(state, &user);
    account["role_name"] = json!(role);
    Ok(Reply::ok(
        json!({"permission": old, "user": account, "role_name": role}),
    ))
}
