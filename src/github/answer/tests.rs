#![allow(clippy::unwrap_used)]

use super::*;

fn answer(status: u16, headers: &[(&str, &str)], body: &str) -> Answer {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        map.insert(
            http::HeaderName::from_bytes(name.as_bytes()).unwrap(),
            value.parse().unwrap(),
        );
    }
    Answer {
        status: StatusCode::from_u16(status).unwrap(),
        headers: map,
        body: Bytes::copy_from_slice(body.as_bytes()),
    }
}

fn now() -> Timestamp {
    Timestamp::from_second(1_000_000).unwrap()
}

fn wait(status: u16, headers: &[(&str, &str)], body: &str) -> Option<Option<u64>> {
    let limit = answer(status, headers, body).limit(Resource::Rest, now())?;
    Some(limit.wait.map(|w| w.as_secs()))
}

const SECONDARY: &str = r#"{"message": "You have exceeded a secondary rate limit. Please wait a few minutes before you try again."}"#;
const PRIMARY: &str = r#"{"message": "API rate limit exceeded for installation ID 7."}"#;
const ABUSE: &str = r#"{"message": "You have triggered an abuse detection mechanism and have been temporarily blocked."}"#;

/// Scorecard row 58: every sign of a limit, on 403 and on 429.
#[test]
fn every_limit_is_seen_and_how_long_it_lasts() {
    for code in [403, 429] {
        assert_eq!(
            wait(code, &[("retry-after", "17")], SECONDARY),
            Some(Some(17))
        );
        assert_eq!(wait(code, &[("retry-after", "17")], ""), Some(Some(17)));
        assert_eq!(wait(code, &[], SECONDARY), Some(None), "no time is named");
        assert_eq!(wait(code, &[], ABUSE), Some(None));
        let spent = [
            ("x-ratelimit-remaining", "0"),
            ("x-ratelimit-reset", "1000090"),
        ];
        assert_eq!(wait(code, &spent, PRIMARY), Some(Some(91)));
        assert_eq!(wait(code, &spent, "{}"), Some(Some(91)));
        // requests are left: the reset is not what a secondary limit waits for
        let left = [
            ("x-ratelimit-remaining", "4000"),
            ("x-ratelimit-reset", "1003000"),
        ];
        assert_eq!(wait(code, &left, SECONDARY), Some(None));
        let dated = [
            ("retry-after", "Mon, 12 Jan 1970 13:48:10 GMT"),
            ("date", "Mon, 12 Jan 1970 13:48:00 GMT"),
        ];
        assert_eq!(wait(code, &dated, ""), Some(Some(10)));
    }
    assert_eq!(wait(429, &[], ""), Some(None));
    // our clock is an hour wrong; theirs counts
    let skewed = [
        ("x-ratelimit-remaining", "0"),
        ("x-ratelimit-reset", "1003700"),
        ("date", "Mon, 12 Jan 1970 14:46:40 GMT"),
    ];
    assert_eq!(wait(403, &skewed, PRIMARY), Some(Some(101)));
    for bad in ["-5", "soon", "99999999999999999999999"] {
        assert!(wait(403, &[("retry-after", bad)], "").is_some(), "{bad}");
    }
    let past = [("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", "5")];
    assert_eq!(wait(403, &past, PRIMARY), Some(Some(1)));
}

#[test]
fn other_answers_are_no_limit() {
    let forbidden = r#"{"message": "Resource not accessible by integration"}"#;
    assert_eq!(
        wait(403, &[("x-ratelimit-remaining", "4999")], forbidden),
        None
    );
    for code in [200, 304, 401, 404, 409, 422, 500, 503] {
        assert_eq!(
            wait(code, &[("retry-after", "5")], SECONDARY),
            None,
            "{code}"
        );
    }
}

#[test]
fn every_error_says_what_was_asked_and_what_github_says() {
    let id = ("x-github-request-id", "AB12:34");
    let validation = r#"{"message":"Validation Failed","errors":[
        {"resource":"PullRequest","code":"custom","message":"A pull request already exists for acme:kubemend/x."},
        {"resource":"PullRequest","field":"head","code":"invalid"},
        "a plain one", {"code":"missing_field","field":"title"}, 7]}"#;
    let permissions = (
        "x-accepted-github-permissions",
        "contents=write; contents=write,workflows=write",
    );
    let cases = [
        answer(401, &[id], r#"{"message":"Bad credentials"}"#),
        answer(
            403,
            &[id, permissions],
            r#"{"message":"Resource not accessible by integration"}"#,
        ),
        answer(
            403,
            &[("x-accepted-oauth-scopes", "repo")],
            r#"{"message":"Must have push access"}"#,
        ),
        answer(
            403,
            &[(
                "x-github-sso",
                "required; url=https://github.com/orgs/a/sso?authorization_request=SECRET",
            )],
            r#"{"message":"Resource protected by organization SAML enforcement."}"#,
        ),
        answer(
            403,
            &[],
            r#"{"message":"GitHub Actions is not permitted to create or approve pull requests."}"#,
        ),
        answer(404, &[id], r#"{"message":"Not Found"}"#),
        answer(405, &[], r#"{"message":"Pull Request is not mergeable"}"#),
        answer(409, &[], r#"{"message":"Git Repository is empty."}"#),
        answer(
            410,
            &[],
            r#"{"message":"Issues are disabled for this repo"}"#,
        ),
        answer(422, &[id], validation),
        answer(422, &[], r#"{"message":"Reference already exists"}"#),
        answer(422, &[], r#"{"message":"x","errors":"just a text"}"#),
        answer(451, &[], r#"{"message":"Repository access blocked"}"#),
        answer(418, &[], "teapot"),
        answer(500, &[id], ""),
        answer(502, &[], "<html>bad gateway</html>"),
        answer(503, &[], "{\"message\":\"line\\none\\u001b[31m\"}"),
    ];
    let said: Vec<String> = cases
        .iter()
        .map(|a| a.error("POST /x").to_string())
        .collect();
    insta::assert_snapshot!(said.join("\n"), @r#"
    GitHub does not accept the credentials: POST /x: 401 Bad credentials (request AB12:34)
    GitHub forbids it: POST /x: 403 Resource not accessible by integration (request AB12:34). It needs contents=write, or contents=write and workflows=write
    GitHub forbids it: POST /x: 403 Must have push access. The token needs one of the scopes repo
    GitHub forbids it: POST /x: 403 Resource protected by organization SAML enforcement. The token is not authorised for the organisation's single sign-on
    GitHub forbids it: POST /x: 403 GitHub Actions is not permitted to create or approve pull requests. Switch on "Allow GitHub Actions to create and approve pull requests" (Settings, Actions, General; of the organisation too), or use a GitHub App
    not found: POST /x: 404 Not Found (request AB12:34)
    refused: POST /x: 405 Pull Request is not mergeable
    conflict: POST /x: 409 Git Repository is empty
    gone: POST /x: 410 Issues are disabled for this repo
    refused: POST /x: 422 Validation Failed; PullRequest: A pull request already exists for acme:kubemend/x.; PullRequest.head invalid; a plain one; title missing field (request AB12:34)
    refused: POST /x: 422 Reference already exists
    refused: POST /x: 422 x; just a text
    GitHub forbids it: POST /x: 451 Repository access blocked
    unexpected answer of GitHub: POST /x: 418
    GitHub does not answer: POST /x: 500 (request AB12:34)
    GitHub does not answer: POST /x: 502
    GitHub does not answer: POST /x: 503 line one [31m
    "#);
    assert!(!said.join(" ").contains("SECRET"));
    let outages: Vec<u16> = cases
        .iter()
        .filter(|a| a.error("").is_outage())
        .map(|a| a.status.as_u16())
        .collect();
    assert_eq!(outages, [401, 418, 500, 502, 503]);
}

#[test]
fn words_of_any_length_are_cut() {
    let long = format!(r#"{{"message":"{}"}}"#, "ü".repeat(100_000));
    let said = answer(422, &[], &long).error("GET /x").to_string();
    assert!(said.chars().count() < 900);
    let many: Vec<String> = (0..5_000).map(|n| format!("e{n}")).collect();
    let body = serde_json::json!({"message": "m", "errors": many}).to_string();
    assert!(answer(422, &[], &body).error("GET /x").to_string().len() < 200);
}

#[test]
fn errors_of_graphql_have_their_kinds() {
    let of = |kind: &str, message: &str| {
        let value =
            serde_json::json!({"data": null, "errors": [{"type": kind, "message": message}]});
        graphql_error(&value).unwrap()
    };
    assert!(matches!(of("NOT_FOUND", "x"), Error::NotFound(_)));
    assert!(matches!(of("FORBIDDEN", "x"), Error::Forbidden(_)));
    assert!(matches!(of("UNPROCESSABLE", "x"), Error::Invalid(_)));
    let timeout = "Something went wrong while executing your query. Please include `AB` when reporting this issue.";
    assert!(matches!(of("", timeout), Error::Unavailable(_)));
    assert_eq!(graphql_error(&serde_json::json!({"data": {}})), None);
    let limited = serde_json::json!({"errors": [{"type": "RATE_LIMITED", "message": "API rate limit exceeded"}]});
    let headers = [
        ("x-ratelimit-remaining", "0"),
        ("x-ratelimit-reset", "1000010"),
    ];
    let limit = graphql_limit(&answer(200, &headers, ""), &limited, now()).unwrap();
    assert_eq!(limit.wait.unwrap().as_secs(), 11);
    assert_eq!(limit.only, Some(Resource::GraphQl));
}
