//! The way out to GitHub: what is repeated and what never is, limits, pages, conditional requests,
//! redirects, identities. Scorecard rows 33, 39, 58 and 59.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::Method;
use kubemend::forge::{Comment, CommentKind};
use kubemend::github::{
    CheckReport, CommitFacts, Credentials, Endpoint, Error, GitHub, Mode, NewFiles, Observer, Pace,
    Settings, Transport,
};
use secrecy::SecretString;
use serde_json::{Value, json};
use tokio::time::Instant;
use wiremock::matchers::{header, method, path};
use wiremock::{Mock, MockServer, ResponseTemplate};

use crate::support::github::{self as double, APP_KEY, Fault, On, Seed};
use crate::transport_script::{Reply, Script, TOKEN, error, reply, token};

fn fine() -> Reply {
    reply(200, json!({"ok": true}))
}

async fn ask(script: &Script, verb: Method) -> Result<Value, Error> {
    let body = (verb != Method::GET).then(|| json!({"a": 1}));
    script.transport().json(verb, "/x", body).await
}

fn app(installation: Option<u64>) -> Credentials {
    Credentials::App {
        id: "12345".to_owned(),
        key: SecretString::from(APP_KEY),
        installation,
    }
}

fn installation() -> Reply {
    let permissions = json!({"metadata": "read", "contents": "write", "pull_requests": "write", "issues": "write", "workflows": "write"});
    reply(
        200,
        json!({"id": 7, "account": {"login": "acme"}, "suspended_at": null, "permissions": permissions}),
    )
}

fn minted(token: &str) -> Reply {
    reply(
        201,
        json!({"token": token, "expires_at": "2999-01-01T00:00:00Z"}),
    )
}

// ---- errors

#[tokio::test(start_paused = true)]
async fn every_status_has_its_kind_of_error() {
    let kind = async |status| {
        let said = ask(&Script::always(error(status, "no")), Method::GET).await;
        match said.unwrap_err() {
            Error::Unauthorized(_) => "unauthorized",
            Error::Forbidden(_) => "forbidden",
            Error::NotFound(_) => "not found",
            Error::Conflict(_) => "conflict",
            Error::Gone(_) => "gone",
            Error::Invalid(_) => "invalid",
            Error::Limited { .. } => "limited",
            Error::Unavailable(_) => "unavailable",
            Error::Unexpected(_) => "unexpected",
        }
    };
    let mut all = Vec::new();
    for status in [
        400, 401, 403, 404, 405, 408, 409, 410, 422, 429, 451, 500, 502, 503, 504, 418,
    ] {
        all.push(format!("{status} {}", kind(status).await));
    }
    insta::assert_snapshot!(all.join("\n"), @r#"
    400 invalid
    401 unauthorized
    403 forbidden
    404 not found
    405 invalid
    408 unavailable
    409 conflict
    410 gone
    422 invalid
    429 limited
    451 forbidden
    500 unavailable
    502 unavailable
    503 unavailable
    504 unavailable
    418 unexpected
    "#);
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_is_no_json_or_too_large_is_unexpected() {
    for body in ["<html>", "", "{\"id\":"] {
        let script = Script::always(Reply::Answer(200, Vec::new(), body.to_owned().into()));
        let said = script.github().facts().await.unwrap_err();
        assert!(said.is_outage(), "{body}: {said}");
    }
    let huge = Reply::Answer(200, Vec::new(), vec![b' '; (32 << 20) + 1].into());
    let script = Script::always(huge);
    let said = ask(&script, Method::GET).await.unwrap_err();
    assert!(matches!(said, Error::Unexpected(_)), "{said}");
    assert_eq!(script.asked().len(), 1, "not asked again");
}

// ---- repeating

fn failures() -> [Reply; 6] {
    [
        error(500, "Server Error"),
        error(502, "Bad Gateway"),
        error(503, "Unavailable"),
        error(504, "Timeout"),
        Reply::Cut,
        Reply::Never,
    ]
}

/// Scorecard row 58: no duplicate POST, whatever happens to the first.
#[tokio::test(start_paused = true)]
async fn a_creation_is_never_sent_twice() {
    for failure in failures() {
        let script = Script::new([failure.clone()]);
        let said = ask(&script, Method::POST).await.unwrap_err();
        assert!(
            matches!(&said, Error::Unavailable(m) if m.contains("not known whether it took effect")),
            "{failure:?}: {said}"
        );
        assert_eq!(script.journal(), ["POST x"], "{failure:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_creation_that_never_left_is_sent_again() {
    let script = Script::new([Reply::Refused, Reply::Refused, fine()]);
    assert!(ask(&script, Method::POST).await.is_ok());
    let script = Script::new([Reply::Refused, Reply::Refused, Reply::Refused]);
    let said = ask(&script, Method::POST).await.unwrap_err();
    assert!(matches!(said, Error::Unavailable(_)), "{said}");
}

#[tokio::test(start_paused = true)]
async fn reads_and_writes_that_say_the_same_are_tried_three_times() {
    for verb in [Method::GET, Method::PATCH, Method::PUT, Method::DELETE] {
        for failure in failures() {
            let script = Script::new([failure.clone(), failure.clone(), fine()]);
            assert!(
                ask(&script, verb.clone()).await.is_ok(),
                "{verb} {failure:?}"
            );
            let script = Script::new([failure.clone(), failure.clone(), failure]);
            let said = ask(&script, verb.clone()).await.unwrap_err();
            assert!(said.is_outage(), "{said}");
            assert_eq!(script.asked().len(), 3);
        }
    }
    // what GitHub means is final
    for status in [400, 404, 409, 422] {
        let script = Script::new([error(status, "no")]);
        assert!(ask(&script, Method::GET).await.is_err());
    }
}

#[tokio::test(start_paused = true)]
async fn a_mutation_is_sent_once_and_a_query_is_a_read() {
    let script = Script::new([error(502, "x"), reply(200, json!({"data": {"a": 1}}))]);
    let query = script
        .transport()
        .graphql(None, "query { a }", json!({}))
        .await;
    assert_eq!(query.unwrap(), json!({"a": 1}));
    let script = Script::new([error(502, "x")]);
    let change = script
        .transport()
        .graphql(Some("acme/gitops"), "mutation { a }", json!({}))
        .await;
    assert!(change.unwrap_err().is_outage());
    let limited =
        json!({"errors": [{"type": "RATE_LIMITED", "message": "API rate limit exceeded"}]});
    let script = Script::new([
        reply(200, limited).with("retry-after", "9"),
        reply(200, json!({"data": {}})),
    ]);
    let before = Instant::now();
    script
        .transport()
        .graphql(Some("acme/gitops"), "mutation { a }", json!({}))
        .await
        .unwrap();
    assert_eq!(before.elapsed().as_secs(), 9);
}

// ---- limits

/// Scorecard row 58: a limit is never anything else, on 403 and 429, with and without a time.
#[tokio::test(start_paused = true)]
async fn a_short_limit_is_waited_for() {
    let secondary = "You have exceeded a secondary rate limit";
    let cases = [
        (error(403, secondary).with("retry-after", "30"), 30),
        (error(429, secondary).with("retry-after", "5"), 5),
        (error(403, secondary), 60),
        (error(429, ""), 60),
        (
            error(403, "You have triggered an abuse detection mechanism"),
            60,
        ),
    ];
    for (limit, seconds) in cases {
        for verb in [Method::GET, Method::POST, Method::PATCH] {
            let script = Script::new([limit.clone(), fine()]);
            let before = Instant::now();
            ask(&script, verb.clone()).await.unwrap();
            assert_eq!(before.elapsed().as_secs(), seconds, "{verb} {limit:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_long_limit_is_told_and_nothing_is_sent_until_then() {
    let reset = jiff::Timestamp::now().as_second() + 1_800;
    let primary = error(403, "API rate limit exceeded for installation ID 7")
        .with("x-ratelimit-remaining", "0")
        .with("x-ratelimit-reset", &reset.to_string());
    let script = Script::new([primary, fine()]);
    let transport = script.transport();
    for _ in 0..3 {
        let said = transport
            .json::<Value>(Method::GET, "/x", None)
            .await
            .unwrap_err();
        let Error::Limited { until, message } = &said else {
            panic!("{said}");
        };
        assert!((until.as_second() - reset).abs() < 5, "{until}");
        assert!(message.contains("API rate limit exceeded"));
        assert!(said.is_outage());
    }
    assert_eq!(script.asked().len(), 1);
    tokio::time::advance(Duration::from_secs(1_802)).await;
    transport
        .json::<Value>(Method::GET, "/x", None)
        .await
        .unwrap();
}

#[tokio::test(start_paused = true)]
async fn the_last_request_before_the_reset_stops_the_next_one() {
    let reset = jiff::Timestamp::now().as_second() + 1_000;
    let last = fine()
        .with("x-ratelimit-remaining", "0")
        .with("x-ratelimit-reset", &reset.to_string());
    let script = Script::new([last]);
    let transport = script.transport();
    transport
        .json::<Value>(Method::GET, "/x", None)
        .await
        .unwrap();
    let said = transport.json::<Value>(Method::GET, "/x", None).await;
    assert!(matches!(said, Err(Error::Limited { .. })));
}

#[tokio::test(start_paused = true)]
async fn a_limit_again_and_again_ends() {
    let script = Script::always(error(429, "").with("retry-after", "10"));
    let said = ask(&script, Method::GET).await;
    assert!(matches!(said, Err(Error::Limited { .. })));
    assert_eq!(script.asked().len(), 3);
}

/// Scorecard row 58: one writer, a second between two writes, however many callers there are.
#[tokio::test(start_paused = true)]
async fn a_hundred_callers_are_one_paced_writer() {
    let script = Script::always(fine());
    let transport = script.transport();
    let before = Instant::now();
    let tasks: Vec<_> = (0..100)
        .map(|n| {
            let transport = transport.clone();
            let verb = if n % 2 == 0 {
                Method::PATCH
            } else {
                Method::DELETE
            };
            tokio::spawn(async move { transport.json::<Value>(verb, "/x", None).await })
        })
        .collect();
    for task in tasks {
        task.await.unwrap().unwrap();
    }
    assert_eq!(before.elapsed().as_secs(), 99);
    // another installation has a pace of its own
    let other = transport.installation(8);
    let before = Instant::now();
    other
        .json::<Value>(Method::PATCH, "/x", None)
        .await
        .unwrap();
    assert_eq!(before.elapsed().as_secs(), 0);
}

// ---- conditional requests

#[tokio::test(start_paused = true)]
async fn what_did_not_change_is_free() {
    let page = reply(200, json!([{"n": 1}])).with("etag", "W/\"abc\"");
    let script = Script::new([page.clone(), Reply::Answer(304, Vec::new(), "".into())]);
    let transport = script.transport();
    let first = transport.pages("/list?per_page=100", 3).await.unwrap();
    let second = transport.pages("/list?per_page=100", 3).await.unwrap();
    assert_eq!(first, second);
    let asked = script.asked();
    assert_eq!(asked[0].header("if-none-match"), "");
    assert_eq!(asked[1].header("if-none-match"), "W/\"abc\"");
    // another address, and another installation, know nothing of it
    script.then([page.clone(), page]);
    transport.pages("/list?per_page=50", 3).await.unwrap();
    transport
        .installation(8)
        .pages("/list?per_page=100", 3)
        .await
        .unwrap();
    assert!(
        script.asked()[2..]
            .iter()
            .all(|a| a.header("if-none-match").is_empty())
    );
}

// ---- pages and redirects

#[tokio::test(start_paused = true)]
async fn pages_are_followed_on_the_same_host_only() {
    let next = |url: &str| format!("<{url}>; rel=\"next\", <https://x/>; rel=\"last\"");
    let script = Script::new([
        reply(200, json!([1])).with("link", &next("https://api.github.com/list?page=2")),
        reply(200, json!([2])),
    ]);
    let all = script.transport().pages("/list", 9).await.unwrap();
    assert_eq!(all, [json!(1), json!(2)]);
    assert_eq!(script.journal(), ["GET list", "GET list?page=2"]);
    for foreign in [
        "https://evil.example/list?page=2",
        "http://api.github.com/list",
        "http://169.254.169.254/x",
    ] {
        let script = Script::new([reply(200, json!([1])).with("link", &next(foreign))]);
        let said = script.transport().pages("/list", 9).await.unwrap_err();
        assert!(
            said.is_outage() && said.to_string().contains("another host"),
            "{said}"
        );
    }
    // a list without an end is not read for ever
    let endless = reply(200, json!([1])).with("link", &next("https://api.github.com/list?page=2"));
    let script = Script::always(endless);
    assert_eq!(script.transport().pages("/list", 4).await.unwrap().len(), 4);
}

#[tokio::test(start_paused = true)]
async fn a_renamed_repository_is_read_where_it_is_now_but_not_written() {
    let moved = |status: u16, to: &str| error(status, "Moved Permanently").with("location", to);
    let facts = json!({"id": 1, "full_name": "acme/new", "default_branch": "main"});
    for status in [301, 302, 307, 308] {
        let script = Script::new([
            moved(status, "https://api.github.com/repositories/1"),
            reply(200, facts.clone()),
        ]);
        let seen = script.github().facts().await.unwrap();
        assert_eq!(seen.full_name, "acme/new");
        assert_eq!(
            script.journal(),
            ["GET repos/acme/gitops", "GET repositories/1"]
        );
        let script = Script::new([moved(status, "https://api.github.com/repositories/1")]);
        let said = script.github().open_issue("t", "b", &[]).await.unwrap_err();
        assert!(said.to_string().contains("new name"), "{said}");
        let script = Script::new([moved(status, "https://evil.example/?steal=1")]);
        let said = script.github().facts().await.unwrap_err();
        assert!(
            said.is_outage() && !said.to_string().contains("steal"),
            "{said}"
        );
    }
    let script = Script::always(moved(301, "/repos/acme/gitops"));
    assert!(script.github().facts().await.unwrap_err().is_outage());
    assert_eq!(script.asked().len(), 3);
}

/// When the App is taken off a repository, everything there answers 404: that is no absence.
#[tokio::test(start_paused = true)]
async fn nothing_is_absent_in_a_repository_that_cannot_be_seen() {
    let facts = json!({"id": 1, "full_name": "acme/gitops", "default_branch": "main"});
    let script = Script::new([error(404, "Not Found"), reply(200, facts.clone())]);
    assert_eq!(
        script.github().branch_head("kubemend/x").await.unwrap(),
        None
    );
    let script = Script::new([error(404, "Not Found"), reply(200, facts)]);
    assert_eq!(
        script.github().file("CODEOWNERS", "main").await.unwrap(),
        None
    );
    let script = Script::always(error(404, "Not Found"));
    for said in [
        script.github().branch_head("kubemend/x").await.unwrap_err(),
        script
            .github()
            .file("CODEOWNERS", "main")
            .await
            .unwrap_err(),
    ] {
        assert!(said.is_outage(), "{said}");
    }
}

// ---- identities

/// Scorecard row 59: the App's bot, a person's token, and the token of a workflow.
#[tokio::test(start_paused = true)]
async fn we_know_who_we_are() {
    let bot = |login: &str, id: u64| reply(200, json!({"login": login, "id": id, "type": "Bot"}));
    let script = Script::new([
        reply(200, json!({"slug": "kubemend"})),
        installation(),
        minted("ghs_1"),
        bot("kubemend[bot]", 900),
    ]);
    let transport = script.transport_with(app(Some(7)), Settings::default());
    let me = transport.me().await.unwrap();
    assert_eq!((me.id, me.bot), (900, true));
    assert_eq!(transport.me().await.unwrap(), me, "asked once");
    assert_eq!(
        script.journal(),
        [
            "GET app",
            "GET app/installations/7",
            "POST app/installations/7/access_tokens",
            "GET users/kubemend%5Bbot%5D"
        ]
    );

    let script = Script::new([reply(
        200,
        json!({"login": "octocat", "id": 1, "type": "User"}),
    )]);
    assert_eq!(script.transport().me().await.unwrap().login, "octocat");

    let no_user = || error(403, "Resource not accessible by integration");
    let viewer = reply(
        200,
        json!({"data": {"viewer": {"login": "other-app[bot]"}}}),
    );
    let script = Script::new([no_user(), viewer, bot("other-app[bot]", 55)]);
    assert_eq!(
        script.transport().me().await.unwrap().id,
        55,
        "a token somebody else minted"
    );

    let script = Script::new([
        no_user(),
        error(404, "Not Found"),
        bot("github-actions[bot]", 41_898_282),
    ]);
    assert_eq!(script.transport().me().await.unwrap().id, 41_898_282);
    assert_eq!(script.journal()[2], "GET users/github-actions%5Bbot%5D");

    // who we are is never guessed from a failure
    let script = Script::new([no_user(), error(502, ""), error(502, ""), error(502, "")]);
    assert!(script.transport().me().await.unwrap_err().is_outage());
}

/// Scorecard row 59.
#[tokio::test(start_paused = true)]
async fn an_app_gets_a_token_for_one_repository_and_no_more_rights_than_it_needs() {
    let script = Script::new([
        installation(),
        minted("ghs_1"),
        fine(),
        minted("ghs_2"),
        fine(),
    ]);
    let transport = script.transport_with(app(None), Settings::default());
    for transport in [transport.clone(), transport.in_mode(Mode::Read)] {
        let github = GitHub::new(transport, "acme/GitOps").unwrap();
        let _ = github.facts().await;
    }
    let asked = script.asked();
    assert_eq!(
        script.journal()[..2],
        [
            "GET repos/acme/gitops/installation",
            "POST app/installations/7/access_tokens"
        ]
    );
    // `workflows` was granted, and is not asked for; `checks` was not
    assert_eq!(
        asked[1].body,
        json!({"repositories": ["gitops"], "permissions": {"metadata": "read", "contents": "write", "pull_requests": "write", "issues": "write"}})
    );
    assert_eq!(asked[2].header("authorization"), "Bearer ghs_1");
    assert_eq!(
        asked[3].body["permissions"],
        json!({"metadata": "read", "contents": "read", "pull_requests": "read", "issues": "read"})
    );
    assert_eq!(asked[4].header("authorization"), "Bearer ghs_2");
}

#[tokio::test(start_paused = true)]
async fn a_token_that_expired_is_renewed_once() {
    let refused = || error(401, "Bad credentials");
    // a POST too: what was not let in had no effect
    let script = Script::new([
        installation(),
        minted("ghs_1"),
        refused(),
        installation(),
        minted("ghs_2"),
        fine(),
        fine(),
    ]);
    let transport = script.transport_with(app(Some(7)), Settings::default());
    transport
        .json::<Value>(Method::POST, "/x", None)
        .await
        .unwrap();
    transport
        .json::<Value>(Method::GET, "/x", None)
        .await
        .unwrap();
    let bearers: Vec<String> = script
        .asked()
        .iter()
        .map(|a| a.header("authorization").to_owned())
        .collect();
    assert_eq!(bearers[2], "Bearer ghs_1");
    assert_eq!(bearers[5..], ["Bearer ghs_2", "Bearer ghs_2"]);

    let script = Script::new([
        installation(),
        minted("a"),
        refused(),
        installation(),
        minted("b"),
        refused(),
    ]);
    let transport = script.transport_with(app(Some(7)), Settings::default());
    let said = transport
        .json::<Value>(Method::GET, "/x", None)
        .await
        .unwrap_err();
    assert!(matches!(said, Error::Unauthorized(_)), "{said}");

    let script = Script::new([refused()]);
    let said = ask(&script, Method::GET).await.unwrap_err();
    assert!(
        matches!(said, Error::Unauthorized(_)),
        "nothing to renew: {said}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_is_wrong_costs_one_more_request() {
    let theirs = jiff::Timestamp::now() + jiff::SignedDuration::from_mins(20);
    let date = jiff::fmt::rfc2822::DateTimePrinter::new()
        .timestamp_to_string(&theirs)
        .unwrap();
    let late = error(
        401,
        "'Expiration time' claim ('exp') must be a numeric value representing the future time",
    )
    .with("date", &date);
    let script = Script::new([late.clone(), reply(200, json!([])), reply(200, json!([]))]);
    let transport = script.transport_with(app(Some(7)), Settings::default());
    assert!(transport.installations().await.unwrap().is_empty());
    transport.installations().await.unwrap();
    assert_eq!(script.asked().len(), 3, "it is remembered");
    let script = Script::new([late.clone(), late]);
    let transport = script.transport_with(app(Some(7)), Settings::default());
    assert!(transport.installations().await.is_err());
}

#[tokio::test(start_paused = true)]
async fn an_app_that_is_not_there_is_told_plainly() {
    let ask = async |replies: Vec<Reply>| {
        let script = Script::new(replies);
        let transport = script.transport_with(app(None), Settings::default());
        let github = GitHub::new(transport, "acme/gitops").unwrap();
        let said = github.facts().await.unwrap_err();
        // not even a branch that is to be deleted counts as gone then
        assert!(said.is_outage(), "{said}");
        said.to_string()
    };
    let suspended =
        json!({"id": 7, "account": {"login": "acme"}, "suspended_at": "2026-01-01T00:00:00Z"});
    let said = [
        ask(vec![error(404, "Not Found")]).await,
        ask(vec![reply(200, suspended)]).await,
        ask(vec![installation(), error(422, "There is at least one repository that does not exist or is not accessible to the parent installation.")]).await,
    ];
    insta::assert_snapshot!(said.join("\n"), @r#"
    GitHub does not accept the credentials: the App is not installed on acme/gitops, or there is no such repository (GET /repos/acme/gitops/installation: 404 Not Found)
    GitHub does not accept the credentials: the App's installation on acme is suspended
    GitHub does not accept the credentials: the App's installation does not cover acme/gitops, or the repository has another name now (POST /app/installations/7/access_tokens: 422 There is at least one repository that does not exist or is not accessible to the parent installation)
    "#);
}

#[tokio::test(start_paused = true)]
async fn the_app_lists_installations_repositories_and_deliveries() {
    let delivery = |id: u64, at: &str, code: u64| json!({"id": id, "guid": format!("g{id}"), "delivered_at": at, "redelivery": false, "status_code": code, "event": "push", "action": null, "installation_id": 7, "repository_id": 1});
    let script = Script::new([
        reply(
            200,
            json!([{"id": 7, "account": {"login": "acme"}, "suspended_at": null, "permissions": {"contents": "write"}}]),
        ),
        installation(),
        minted("ghs_1"),
        reply(
            200,
            json!({"total_count": 1, "repositories": [{"id": 1, "full_name": "acme/gitops", "default_branch": "main"}]}),
        ),
        reply(
            200,
            json!([
                delivery(3, "2026-08-01T12:00:00Z", 502),
                delivery(2, "2026-08-01T11:00:00Z", 202)
            ]),
        )
        .with(
            "link",
            "<https://api.github.com/app/hook/deliveries?cursor=v1_2>; rel=\"next\"",
        ),
        reply(200, json!([delivery(1, "2026-08-01T09:00:00Z", 502)])).with(
            "link",
            "<https://api.github.com/app/hook/deliveries?cursor=v1_1>; rel=\"next\"",
        ),
        reply(202, json!({})),
    ]);
    let transport = script.transport_with(app(None), Settings::default());
    let installations = transport.installations().await.unwrap();
    assert_eq!(
        (installations[0].id, installations[0].account.as_str()),
        (7, "acme")
    );
    let repositories = transport.installation(7).repositories().await.unwrap();
    assert_eq!(repositories[0].full_name, "acme/gitops");
    let deliveries = transport
        .deliveries("2026-08-01T10:00:00Z".parse().unwrap())
        .await
        .unwrap();
    let seen: Vec<(u64, bool)> = deliveries.iter().map(|d| (d.id, d.arrived())).collect();
    assert_eq!(seen, [(3, false), (2, true)]);
    transport.redeliver(3).await.unwrap();
    assert_eq!(script.journal()[6], "POST app/hook/deliveries/3/attempts");
    assert_eq!(script.journal().len(), 7, "older pages are not read");
    let said = script
        .transport()
        .deliveries(jiff::Timestamp::UNIX_EPOCH)
        .await
        .unwrap_err();
    assert!(matches!(said, Error::Forbidden(_)), "{said}");
}

// ---- secrets

#[tokio::test(start_paused = true)]
async fn no_secret_is_ever_in_an_error_or_in_debug() {
    let echo = error(422, &format!("bad header: Bearer {TOKEN}"));
    let script = Script::always(echo);
    let github = script.github();
    let said = github.open_issue("t", "b", &[]).await.unwrap_err();
    let transport = script.transport();
    let odd = script.transport_with(
        Credentials::Token(SecretString::from(format!("{TOKEN}\n"))),
        Settings::default(),
    );
    let never = odd
        .json::<Value>(Method::GET, "/x", None)
        .await
        .unwrap_err();
    let bad_key = Credentials::App {
        id: "1".to_owned(),
        key: SecretString::from(format!("-----BEGIN RSA PRIVATE KEY-----\n{TOKEN}")),
        installation: None,
    };
    let key_error = Transport::new(Endpoint::default(), bad_key.clone())
        .err()
        .unwrap();
    let user = Endpoint::new(&format!("https://me:{TOKEN}@ghe.acme.com/api/v3"));
    let url_error = Transport::new(user, token()).err().unwrap();
    let all = format!(
        "{said} {said:?} {never} {never:?} {key_error} {url_error} {github:?} {transport:?} {:?} {bad_key:?} {:?}",
        token(),
        Settings::default()
    );
    assert!(!all.contains(TOKEN), "{all}");
    assert!(all.contains("***"), "{all}");
}

// ---- Git

fn commit(parents: &[&str]) -> CommitFacts {
    CommitFacts {
        sha: "new".to_owned(),
        tree: "tree".to_owned(),
        parents: parents.iter().map(|p| (*p).to_owned()).collect(),
        message: String::new(),
        committed_at: jiff::Timestamp::UNIX_EPOCH,
        author: None,
        committer: None,
        verified: true,
    }
}

fn repository() -> Reply {
    reply(
        200,
        json!({"id": 1, "node_id": "R_1", "full_name": "acme/gitops", "default_branch": "main"}),
    )
}

/// A person whose token this is may have begun a review: GitHub lists it without a time.
#[tokio::test(start_paused = true)]
async fn a_review_that_was_not_sent_yet_says_nothing() {
    let review = |id: u64, state: &str| {
        json!({"id": id, "node_id": "R", "state": state, "body": "more memory",
            "user": {"id": 7, "login": "ann", "type": "User"}})
    };
    let mut sent = review(2, "COMMENTED");
    sent["submitted_at"] = json!("2026-11-24T12:00:00Z");
    let lists = [
        reply(200, json!([])),
        reply(200, json!([review(1, "PENDING"), sent])),
    ];
    let script = Script::new(lists);
    let client = GitHub::new(script.transport(), "acme/gitops").unwrap();
    let said = client.review_comments(7).await.unwrap();
    assert_eq!(said.iter().map(|c| c.id).collect::<Vec<_>>(), [2]);
}

fn head(sha: &str) -> Reply {
    reply(200, json!({"ref": "refs/heads/b", "object": {"sha": sha}}))
}

/// Scorecard row 33: what replaces a branch is compared and swapped in one step.
#[tokio::test(start_paused = true)]
async fn a_branch_is_replaced_only_from_the_head_that_was_seen() {
    let swapped = reply(
        200,
        json!({"data": {"updateRefs": {"clientMutationId": null}}}),
    );
    let script = Script::new([repository(), swapped]);
    assert!(
        script
            .github()
            .move_branch("b", "old", &commit(&["base"]))
            .await
            .unwrap()
    );
    let sent = &script.asked()[1];
    assert!(sent.url.ends_with("/graphql"));
    assert_eq!(
        sent.body["variables"],
        json!({"repository": "R_1", "name": "refs/heads/b", "before": "old", "after": "new"})
    );

    let refused = || {
        reply(
            200,
            json!({"errors": [{"message": "Expected old, got human"}]}),
        )
    };
    let cases = [
        (refused(), head("human"), Some(false)),
        (refused(), head("old"), None),
        // it took effect, but nobody said so
        (error(502, ""), head("new"), Some(true)),
        (error(502, ""), head("human"), Some(false)),
        (error(502, ""), head("old"), None),
    ];
    for (answer, seen, expected) in cases {
        let script = Script::new([repository(), answer.clone(), seen]);
        let moved = script
            .github()
            .move_branch("b", "old", &commit(&["base"]))
            .await;
        assert_eq!(moved.ok(), expected, "{answer:?}");
        assert_eq!(script.asked().len(), 3, "no second attempt");
    }
}

#[tokio::test(start_paused = true)]
async fn without_that_mutation_the_head_is_read_right_before() {
    let unknown = || {
        reply(
            200,
            json!({"errors": [{"message": "Field 'updateRefs' doesn't exist on type 'Mutation'"}]}),
        )
    };
    for none in [unknown(), error(404, "Not Found")] {
        let script = Script::new([repository(), none.clone(), head("old"), head("new")]);
        assert!(
            script
                .github()
                .move_branch("b", "old", &commit(&["base"]))
                .await
                .unwrap()
        );
        let sent = &script.asked()[3];
        assert_eq!(
            (sent.method.as_str(), &sent.body),
            ("PATCH", &json!({"sha": "new", "force": true}))
        );
        let script = Script::new([repository(), none, head("human")]);
        assert!(
            !script
                .github()
                .move_branch("b", "old", &commit(&["base"]))
                .await
                .unwrap()
        );
    }
}

/// Scorecard row 33.
#[tokio::test(start_paused = true)]
async fn a_commit_on_top_is_never_forced_nor_repeated() {
    let script = Script::new([
        head("old"),
        error(422, "Update is not a fast forward"),
        head("human"),
    ]);
    assert!(
        !script
            .github()
            .move_branch("b", "old", &commit(&["old"]))
            .await
            .unwrap()
    );
    assert_eq!(
        script.asked()[1].body,
        json!({"sha": "new", "force": false})
    );
    let script = Script::new([head("old"), Reply::Cut, head("new")]);
    assert!(
        script
            .github()
            .move_branch("b", "old", &commit(&["old"]))
            .await
            .unwrap()
    );
    let script = Script::new([head("old"), Reply::Cut, head("old")]);
    assert!(
        script
            .github()
            .move_branch("b", "old", &commit(&["old"]))
            .await
            .unwrap_err()
            .is_outage()
    );
    let script = Script::new([head("human")]);
    assert!(
        !script
            .github()
            .move_branch("b", "old", &commit(&["old"]))
            .await
            .unwrap()
    );
}

#[tokio::test(start_paused = true)]
async fn a_branch_is_deleted_only_at_the_head_that_was_seen() {
    let swapped = || {
        reply(
            200,
            json!({"data": {"updateRefs": {"clientMutationId": null}}}),
        )
    };
    let script = Script::new([repository(), swapped()]);
    assert!(script.github().delete_branch_at("b", "old").await.unwrap());
    assert_eq!(script.asked()[1].body["variables"]["after"], "0".repeat(40));
    let refused = || reply(200, json!({"errors": [{"message": "no"}]}));
    let script = Script::new([repository(), refused(), head("human"), head("human")]);
    assert!(!script.github().delete_branch_at("b", "old").await.unwrap());
    let script = Script::new([repository(), error(404, ""), head("human")]);
    assert!(!script.github().delete_branch_at("b", "old").await.unwrap());
    let script = Script::new([
        repository(),
        error(404, ""),
        head("old"),
        reply(204, json!(null)),
    ]);
    assert!(script.github().delete_branch_at("b", "old").await.unwrap());
}

#[tokio::test(start_paused = true)]
async fn a_commit_waits_for_its_tree_and_says_whether_it_is_signed() {
    let made = |reason: &str| {
        reply(
            201,
            json!({"sha": "c", "tree": {"sha": "t"}, "parents": [{"sha": "p"}], "message": "m",
            "committer": {"date": "2026-08-01T10:00:00Z"}, "verification": {"verified": reason == "valid", "reason": reason}}),
        )
    };
    let start = || {
        vec![
            reply(200, json!({"tree": {"sha": "base"}})),
            reply(201, json!({"sha": "blob"})),
            reply(201, json!({"sha": "t"})),
        ]
    };
    let files = NewFiles::from([("a.yaml".to_owned(), b"a: 1\n".to_vec())]);
    let run = async |more: Vec<Reply>| {
        let script = Script::new(start().into_iter().chain(more));
        let commit = script.github().make_commit("p", &files, "m").await;
        (commit.map(|c| c.verified), script)
    };
    let race = || error(422, "Tree SHA does not exist");
    let (verified, script) = run(vec![race(), race(), made("valid")]).await;
    assert_eq!(verified, Ok(true));
    let sent = &script.asked()[3].body;
    assert!(
        sent.get("author").is_none() && sent.get("committer").is_none(),
        "or it is not signed"
    );
    assert_eq!(script.asked()[2].body["tree"][0]["mode"], "100644");
    let (verified, _) = run(vec![race(), race(), race()]).await;
    assert!(matches!(verified, Err(Error::Invalid(_))));
    let (verified, _) = run(vec![made("unsigned")]).await;
    assert_eq!(verified, Ok(false));
    let (verified, _) = run(vec![made("gpgverify_unavailable"), made("valid")]).await;
    assert_eq!(verified, Ok(true));
    // nothing is sent for a file that must not be written
    let script = Script::new([]);
    for bad in ["../x", "/x", ".git/config", ".github/workflows/ci.yml"] {
        let files = NewFiles::from([(bad.to_owned(), Vec::new())]);
        let said = script
            .github()
            .make_commit("p", &files, "m")
            .await
            .unwrap_err();
        assert!(matches!(said, Error::Invalid(_)), "{said}");
    }
}

/// Scorecard row 39: check runs are for Apps; a person's token writes a status instead.
#[tokio::test(start_paused = true)]
async fn a_check_is_a_run_or_a_status() {
    let report = CheckReport {
        name: "kubemend/validation".to_owned(),
        sha: "abc".to_owned(),
        conclusion: "neutral",
        title: "ü".repeat(300),
        summary: "s".to_owned(),
        external_id: "3f9c1a2b7d10".to_owned(),
    };
    let script = Script::new([reply(201, json!({"id": 1}))]);
    script.github().check(&report).await.unwrap();
    assert_eq!(script.asked()[0].body["external_id"], "3f9c1a2b7d10");
    for no in [
        error(403, "You must authenticate via a GitHub App."),
        error(404, "Not Found"),
    ] {
        let script = Script::new([no, reply(201, json!({"id": 1}))]);
        script.github().check(&report).await.unwrap();
        let status = &script.asked()[1];
        assert!(status.url.ends_with("/statuses/abc"));
        assert_eq!(status.body["state"], "success");
        assert_eq!(
            status.body["description"].as_str().unwrap().chars().count(),
            140
        );
    }
    let script = Script::new([error(403, "secondary rate limit").with("retry-after", "600")]);
    let said = script.github().check(&report).await;
    assert!(
        matches!(said, Err(Error::Limited { .. })),
        "a limit is no missing right"
    );
}

// ---- metrics

#[derive(Default)]
struct Counted(Mutex<Vec<String>>);

impl Observer for Counted {
    fn request(&self, method: &str, status: Option<u16>, _: Duration) {
        self.0.lock().unwrap().push(format!("{method} {status:?}"));
    }
    fn waited(&self, _: Duration) {}
    fn remaining(&self, resource: &str, remaining: u64) {
        self.0
            .lock()
            .unwrap()
            .push(format!("{resource} {remaining}"));
    }
}

#[tokio::test(start_paused = true)]
async fn every_attempt_is_told_to_the_observer() {
    let counted = Arc::new(Counted::default());
    let settings = Settings {
        observer: Some(counted.clone()),
        ..Settings::default()
    };
    let last = fine()
        .with("x-ratelimit-remaining", "41")
        .with("x-ratelimit-resource", "core");
    let script = Script::new([error(502, ""), Reply::Cut, last]);
    let transport = script.transport_with(token(), settings);
    transport
        .json::<Value>(Method::GET, "/x", None)
        .await
        .unwrap();
    assert_eq!(
        *counted.0.lock().unwrap(),
        ["GET Some(502)", "GET None", "GET Some(200)", "core 41"]
    );
}

// ---- over real sockets

fn unhurried() -> Settings {
    Settings {
        pace: Pace::unhurried(),
        ..Settings::default()
    }
}

/// octocrab itself must not retry, follow, or add anything.
#[tokio::test]
async fn nothing_below_us_repeats_or_follows() {
    let server = MockServer::start().await;
    for (route, answer) in [
        ("/fails", ResponseTemplate::new(503)),
        (
            "/moves",
            ResponseTemplate::new(307).insert_header("location", "/elsewhere"),
        ),
    ] {
        Mock::given(method("POST"))
            .and(path(route))
            .respond_with(answer)
            .expect(1)
            .mount(&server)
            .await;
    }
    Mock::given(path("/elsewhere"))
        .respond_with(ResponseTemplate::new(200))
        .expect(0)
        .mount(&server)
        .await;
    let transport = Transport::with(Endpoint::new(&server.uri()), token(), unhurried()).unwrap();
    for route in ["/fails", "/moves"] {
        let said = transport
            .json::<Value>(Method::POST, route, Some(json!({})))
            .await;
        assert!(said.unwrap_err().is_outage());
    }
}

/// Scorecard row 59: GitHub Enterprise Server has its REST API and GraphQL at different places.
#[tokio::test]
async fn an_enterprise_server_is_asked_at_its_own_places_and_told_who_asks() {
    let server = MockServer::start().await;
    let agent = concat!("kubemend/", env!("CARGO_PKG_VERSION"));
    let headers = |mock: wiremock::MockBuilder| {
        mock.and(header("user-agent", agent))
            .and(header("x-github-api-version", "2022-11-28"))
            .and(header("accept", "application/vnd.github+json"))
            .and(header("authorization", format!("Bearer {TOKEN}").as_str()))
    };
    headers(Mock::given(method("GET")).and(path("/api/v3/rate_limit")))
        .respond_with(ResponseTemplate::new(200).set_body_json(json!({"rest": true})))
        .expect(1)
        .mount(&server)
        .await;
    headers(Mock::given(method("POST")).and(path("/api/graphql")))
        .respond_with(ResponseTemplate::new(200).set_body_json(json!({"data": {"graphql": true}})))
        .expect(1)
        .mount(&server)
        .await;
    let endpoint = Endpoint::new(&format!("{}/api/v3/", server.uri()));
    let transport = Transport::with(endpoint, token(), unhurried()).unwrap();
    let rest = transport.json::<Value>(Method::GET, "/rate_limit", None);
    let rest = rest.await;
    let got = server.received_requests().await.unwrap();
    assert_eq!(rest, Ok(json!({"rest": true})), "{:?}", got[0].headers);
    let graphql = transport
        .graphql(None, "query { a }", json!({}))
        .await
        .unwrap();
    assert_eq!(graphql, json!({"graphql": true}));
}

#[tokio::test]
async fn a_refused_connection_is_known_not_to_have_arrived() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let counted = Arc::new(Counted::default());
    let settings = Settings {
        observer: Some(counted.clone()),
        ..unhurried()
    };
    let transport = Transport::with(Endpoint::new(&url), token(), settings).unwrap();
    let said = transport
        .json::<Value>(Method::POST, "/x", None)
        .await
        .unwrap_err();
    assert!(said.to_string().contains("connection refused"), "{said}");
    assert_eq!(counted.0.lock().unwrap().len(), 3, "safe to try again");
}

// ---- against the stateful double

fn seed() -> Seed {
    Seed::new("acme/gitops").file("apps/web.yaml", "image: web:missing\n")
}

fn change(text: &str) -> NewFiles {
    NewFiles::from([("apps/web.yaml".to_owned(), text.as_bytes().to_vec())])
}

/// Scorecard rows 33 and 59: the App's commits are signed, and a push in between is not lost.
#[tokio::test]
async fn an_apps_commit_is_verified_and_never_clobbers() {
    let server = double::GitHub::start(seed()).await;
    let client = server.app_client();
    let base = client.branch_head("main").await.unwrap().unwrap();
    let first = client
        .make_commit(&base, &change("image: web:1\n"), "Mend")
        .await
        .unwrap();
    assert!(first.verified);
    assert!(
        client
            .create_branch("kubemend/web-12345678", &first.sha)
            .await
            .unwrap()
    );
    let second = client
        .make_commit(&first.sha, &change("image: web:2\n"), "Mend")
        .await
        .unwrap();
    let replaced = client
        .make_commit(&base, &change("image: web:3\n"), "Mend")
        .await
        .unwrap();
    server.human("bob").push(
        "kubemend/web-12345678",
        &[("apps/web.yaml", "image: bob\n")],
    );
    for ours in [&second, &replaced] {
        assert!(
            !client
                .move_branch("kubemend/web-12345678", &first.sha, ours)
                .await
                .unwrap()
        );
    }
    let kept = server
        .file("kubemend/web-12345678", "apps/web.yaml")
        .unwrap();
    assert_eq!(kept, "image: bob\n");
    let me = client.me().await.unwrap();
    assert!(me.bot && me.login.ends_with("[bot]"), "{me:?}");
}

#[tokio::test]
async fn a_hundred_requests_at_once_share_one_new_token() {
    let server = double::GitHub::start(seed()).await;
    let client = server.app_client();
    client.facts().await.unwrap();
    server.expire_tokens();
    server.forget();
    let tasks: Vec<_> = (0..100)
        .map(|_| {
            let client = client.clone();
            tokio::spawn(async move { client.facts().await })
        })
        .collect();
    for task in tasks {
        task.await.unwrap().unwrap();
    }
    let route = "/app/installations/{installation_id}/access_tokens";
    let made = server.journal().iter().filter(|e| e.route == route).count();
    assert_eq!(made, 1);
}

/// Scorecard row 58: a POST that took effect although GitHub says 502 is there once, and is found.
#[tokio::test]
async fn an_effect_behind_an_error_is_there_once() {
    let server = double::GitHub::start(seed()).await;
    let client = server.client();
    let comments = "/repos/{owner}/{repo}/issues/{issue_number}/comments";
    let issue = client.open_issue("t", "b", &[]).await.unwrap();
    for fault in [Fault::done_but_502(), Fault::Cut(double::Moment::After)] {
        let before = server.comments(issue.number).len();
        server.fault(On::route("POST", comments).once(), fault.clone());
        let said = client.add_comment(issue.number, "hello").await.unwrap_err();
        assert!(said.is_outage(), "{fault:?}: {said}");
        assert_eq!(server.comments(issue.number).len(), before + 1, "{fault:?}");
        let seen = client.comments(issue.number).await.unwrap();
        assert_eq!(seen.len(), before + 1, "the caller can look it up");
    }
    let reacted = Comment {
        kind: CommentKind::Review,
        ..client.comments(issue.number).await.unwrap().remove(0)
    };
    server.forget();
    client.react(&reacted, "eyes").await.unwrap();
    server.assert_no_writes();
}
