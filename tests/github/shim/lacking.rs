//! What the emulator does not have, and what it allows though GitHub does not.

use bytes::Bytes;
use serde_json::{Value, json};

use super::{Shared, pulls};
use crate::support::github::wire::Call;
use crate::truth::{ADMIN, READER};
use crate::upstream::Answer;

type Maybe = Result<Option<Answer>, String>;

pub fn plain(status: u16, body: &Value) -> Answer {
    let mut headers = axum::http::HeaderMap::new();
    headers.insert(
        "content-type",
        axum::http::HeaderValue::from_static("application/json"),
    );
    Answer {
        status,
        headers,
        bytes: Bytes::from(body.to_string()),
    }
}

pub fn refused(status: u16, message: &str) -> Answer {
    plain(
        status,
        &json!({"message": message, "documentation_url": "https://docs.github.com/rest"}),
    )
}

pub fn invalid(error: &Value) -> Answer {
    plain(
        422,
        &json!({"message": "Validation Failed", "errors": [error], "documentation_url": "https://docs.github.com/rest"}),
    )
}

fn custom(message: &str) -> Answer {
    invalid(&json!({"resource": "PullRequest", "code": "custom", "message": message}))
}

/// An answer instead of the emulator's.
pub async fn answer(shared: &Shared, route: &str, call: &Call) -> Maybe {
    let base = "/repos/{owner}/{repo}";
    let rest = route.strip_prefix(base).unwrap_or(route);
    match (call.method.as_str(), rest) {
        ("GET", "/issues/{issue_number}") => pulls::issue_of(shared, call).await,
        ("POST", "/pulls") => refuse_pull(shared, call).await,
        ("PATCH", "/pulls/{pull_number}") => pulls::refuse_reopen(shared, call).await,
        ("PUT", "/pulls/{pull_number}/merge") => pulls::merge(shared, call).await,
        ("GET", "/pulls/{pull_number}/files") => pulls::of_compare(shared, call, "files").await,
        ("GET", "/pulls/{pull_number}/commits") => pulls::of_compare(shared, call, "commits").await,
        ("POST", "/statuses/{sha}") => Ok(Some(plain(
            201,
            &json!({"id": 1, "state": call.body["state"]}),
        ))),
        (
            "POST",
            "/issues/comments/{comment_id}/reactions" | "/pulls/comments/{comment_id}/reactions",
        ) => react(shared, call).await,
        (
            "GET",
            "/issues/comments/{comment_id}/reactions" | "/pulls/comments/{comment_id}/reactions",
        ) => {
            let memory = shared.memory();
            let ours = memory
                .reactions
                .iter()
                .filter(|(path, _)| *path == call.path);
            let list: Vec<Value> = ours.map(|(_, r)| r.clone()).collect();
            Ok(Some(plain(200, &json!(list))))
        }
        ("POST", "/graphql") => graphql(shared, call).await,
        ("POST", "/check-runs") if token(call).starts_with("ghp_") => Ok(Some(refused(
            403,
            "You must authenticate via a GitHub App.",
        ))),
        _ => Ok(None),
    }
}

/// What is wrong in an answer of the emulator, or has to be remembered.
pub fn correct(
    shared: &Shared,
    route: &str,
    call: &Call,
    answer: &mut Answer,
) -> Result<(), String> {
    if route.ends_with("/access_tokens") && answer.status < 300 {
        let token = answer.json()["token"].as_str().map(str::to_owned);
        shared.memory().tokens.extend(token);
    }
    if route.contains("/pulls")
        && answer.status < 300
        && answer.json().get("number").is_some_and(Value::is_u64)
        || route.ends_with("/pulls") && call.method == "GET"
    {
        pulls::correct(shared, answer)?;
    }
    // GitHub tells a missing reference apart
    if call.method == "DELETE" && route.ends_with("/git/refs/{ref}") && answer.status == 404 {
        *answer = refused(422, "Reference does not exist");
    }
    Ok(())
}

pub fn token(call: &Call) -> &str {
    let header = call.headers.get("authorization").map_or("", String::as_str);
    header.split_once(' ').map_or("", |(_, token)| token)
}

async fn get(shared: &Shared, call: &Call, rest: &str) -> Result<Answer, String> {
    let target = format!("/repos/{}{rest}", call.repo());
    shared.upstream.ask(READER, "GET", &target, None).await
}

/// No head, nothing new, or one like it already.
async fn refuse_pull(shared: &Shared, call: &Call) -> Maybe {
    let text = |name: &str| call.text(name).unwrap_or_default();
    let (head, base) = (text("head"), text("base"));
    let branch = head.rsplit(':').next().unwrap_or_default();
    if get(shared, call, &format!("/git/ref/heads/{branch}"))
        .await?
        .status
        == 404
    {
        return Ok(Some(invalid(
            &json!({"resource": "PullRequest", "field": "head", "code": "invalid"}),
        )));
    }
    let owner = call.param("owner");
    let open = get(
        shared,
        call,
        &format!("/pulls?state=open&head={owner}:{branch}"),
    )
    .await?
    .json();
    let twin = open
        .as_array()
        .into_iter()
        .flatten()
        .any(|p| p["base"]["ref"] == base);
    if twin {
        return Ok(Some(custom(&format!(
            "A pull request already exists for {owner}:{branch}."
        ))));
    }
    let compare = get(shared, call, &format!("/compare/{base}...{branch}"))
        .await?
        .json();
    if compare["total_commits"] == 0 || compare["ahead_by"] == 0 {
        return Ok(Some(custom(&format!(
            "No commits between {base} and {branch}"
        ))));
    }
    Ok(None)
}

/// Who a token speaks for; an installation is nobody for /user.
pub async fn holder(shared: &Shared, token: &str) -> Result<Value, String> {
    let me = shared
        .upstream
        .ask(token, "GET", "/user", None)
        .await?
        .json();
    if me.get("login").is_some() && me["type"] != "Organization" {
        return Ok(me);
    }
    let bot = shared
        .upstream
        .ask(ADMIN, "GET", "/users/kubemend%5Bbot%5D", None)
        .await?;
    Ok(bot.json())
}

async fn react(shared: &Shared, call: &Call) -> Maybe {
    let user = holder(shared, token(call)).await?;
    let mut memory = shared.memory();
    let same = memory.reactions.iter().any(|(path, r)| {
        *path == call.path && r["user"]["id"] == user["id"] && r["content"] == call.body["content"]
    });
    let one =
        json!({"id": memory.reactions.len() + 1, "user": user, "content": call.body["content"]});
    if !same {
        memory.reactions.push((call.path.clone(), one.clone()));
    }
    Ok(Some(plain(if same { 200 } else { 201 }, &one)))
}

/// The three mutations, by what REST can do.
async fn graphql(shared: &Shared, call: &Call) -> Maybe {
    let query = call.text("query").unwrap_or_default();
    let id = call.body["variables"]["id"].as_str().unwrap_or_default();
    if query.contains("viewer") {
        let who = holder(shared, token(call)).await?;
        let data = json!({"data": {"viewer": {"login": who["login"]}}});
        return Ok(Some(plain(200, &data)));
    }
    if query.contains("updateRefs") {
        // as on a server that is older than the mutation: REST does it
        let message = "Field 'updateRefs' doesn't exist on type 'Mutation'";
        return Ok(Some(plain(200, &json!({"errors": [{"message": message}]}))));
    }
    if query.contains("minimizeComment") {
        let data =
            json!({"data": {"minimizeComment": {"minimizedComment": {"isMinimized": true}}}});
        return Ok(Some(plain(200, &data)));
    }
    let draft = query.contains("convertPullRequestToDraft");
    let name = if draft {
        "convertPullRequestToDraft"
    } else {
        "markPullRequestReadyForReview"
    };
    let pulls = format!("/repos/{}/pulls", shared.truth.repo);
    let all = shared
        .upstream
        .must(
            ADMIN,
            "GET",
            &format!("{pulls}?state=all&per_page=100"),
            None,
        )
        .await?;
    let found = all
        .as_array()
        .into_iter()
        .flatten()
        .find(|p| p["node_id"] == id);
    let Some(number) = found.and_then(|p| p["number"].as_u64()) else {
        let message = format!("Could not resolve to a node with the global id of '{id}'");
        return Ok(Some(plain(
            200,
            &json!({"data": {name: null}, "errors": [{"type": "NOT_FOUND", "message": message}]}),
        )));
    };
    let body = Some(json!({"draft": draft}));
    shared
        .upstream
        .must(token(call), "PATCH", &format!("{pulls}/{number}"), body)
        .await?;
    Ok(Some(plain(
        200,
        &json!({"data": {name: {"pullRequest": {"isDraft": draft}}}}),
    )))
}
