//! The GitHub of the tests on the wire: limits, pages, tokens, and everything that can go wrong.

use std::time::Duration;

use base64::Engine as _;
use kubemend::github::NewFiles;
use serde_json::{Value, json};

use crate::support::github::{
    APP_ID, APP_KEY, APP_TOKEN, Fault, GitHub, INSTALLATION, MACHINE_TOKEN, Moment, On, Seed,
    WORKFLOW_TOKEN,
};

const REPO: &str = "/repos/acme/gitops";
const PULLS: &str = "/repos/{owner}/{repo}/pulls";
const ISSUES: &str = "/repos/{owner}/{repo}/issues";

async fn start() -> GitHub {
    GitHub::start(Seed::new("acme/gitops")).await
}

fn issue() -> Option<Value> {
    Some(json!({"title": "A question"}))
}

fn jwt(issuer: &str, from: i64, to: i64) -> String {
    let engine = base64::engine::general_purpose::URL_SAFE_NO_PAD;
    let now = jiff::Timestamp::now().as_second();
    let header = engine.encode(json!({"alg": "RS256", "typ": "JWT"}).to_string());
    let claims = json!({"iss": issuer, "iat": now + from, "exp": now + to});
    let signed = format!("{header}.{}", engine.encode(claims.to_string()));
    let packed: String = APP_KEY.lines().filter(|l| !l.starts_with("---")).collect();
    let der = base64::engine::general_purpose::STANDARD
        .decode(packed)
        .unwrap();
    let pair = ring::signature::RsaKeyPair::from_der(&der).unwrap();
    let mut signature = vec![0; pair.public().modulus_len()];
    let random = ring::rand::SystemRandom::new();
    pair.sign(
        &ring::signature::RSA_PKCS1_SHA256,
        &random,
        signed.as_bytes(),
        &mut signature,
    )
    .unwrap();
    format!("{signed}.{}", engine.encode(signature))
}

#[tokio::test]
async fn an_unchanged_answer_is_304_and_free() {
    let github = start().await;
    let first = github.ask(MACHINE_TOKEN, "GET", REPO, None).await.unwrap();
    let tag = first.header("etag").unwrap().to_owned();
    let again = github
        .ask_with(MACHINE_TOKEN, "GET", REPO, None, &[("if-none-match", &tag)])
        .await
        .unwrap();
    assert_eq!((again.status, again.body.is_null()), (304, true));
    assert_eq!(
        again.header("x-ratelimit-remaining"),
        first.header("x-ratelimit-remaining")
    );
    github.human("alice").archive();
    let changed = github
        .ask_with(MACHINE_TOKEN, "GET", REPO, None, &[("if-none-match", &tag)])
        .await
        .unwrap();
    assert_eq!(changed.status, 200);
}

#[tokio::test]
async fn lists_come_in_pages() {
    let github = start().await;
    for n in 0..5 {
        github.human("bob").open_issue(&format!("Issue {n}"), "");
    }
    let path = format!("{REPO}/issues?state=all&per_page=2&labels=");
    let first = github.ask(MACHINE_TOKEN, "GET", &path, None).await.unwrap();
    assert_eq!(first.body.as_array().unwrap().len(), 2);
    assert_eq!(first.body[0]["title"], "Issue 4");
    let link = first.header("link").unwrap();
    assert!(
        link.contains("rel=\"next\"") && !link.contains("rel=\"prev\""),
        "{link}"
    );
    let last = link.split(['<', '>']).nth(3).unwrap().to_owned();
    let last = github.ask(MACHINE_TOKEN, "GET", &last, None).await.unwrap();
    assert_eq!(last.body.as_array().unwrap().len(), 1);
    assert!(!last.header("link").unwrap().contains("next"));
}

#[tokio::test]
async fn a_head_without_an_owner_filters_nothing() {
    let github = start().await;
    github.human("bob").push("one", &[("a", "1")]);
    github.human("bob").push("two", &[("a", "2")]);
    github.human("bob").open_pull("one", "main", "One", "");
    github.human("bob").open_pull("two", "main", "Two", "");
    let count = async |query: &str| {
        let answer = github
            .ask(MACHINE_TOKEN, "GET", &format!("{REPO}/pulls?{query}"), None)
            .await;
        answer.unwrap().body.as_array().unwrap().len()
    };
    assert_eq!(count("head=acme:one").await, 1);
    assert_eq!(count("head=one").await, 2);
    assert_eq!(count("head=acme%3Anone").await, 0);
}

#[tokio::test]
async fn the_primary_limit_ends_after_an_hour() {
    let github = start().await;
    github.leave_requests(1);
    assert_eq!(
        github
            .ask(MACHINE_TOKEN, "GET", REPO, None)
            .await
            .unwrap()
            .status,
        200
    );
    let limited = github.ask(MACHINE_TOKEN, "GET", REPO, None).await.unwrap();
    assert_eq!(
        (limited.status, limited.header("x-ratelimit-remaining")),
        (403, Some("0"))
    );
    github.advance(Duration::from_secs(3_700));
    assert_eq!(
        github
            .ask(MACHINE_TOKEN, "GET", REPO, None)
            .await
            .unwrap()
            .status,
        200
    );
}

#[tokio::test]
async fn apps_get_tokens_by_jwt_and_may_ask_for_less() {
    let github = start().await;
    let jwt = jwt(&APP_ID.to_string(), -60, 540);
    let app = github.ask(&jwt, "GET", "/app", None).await.unwrap();
    assert_eq!(app.body["slug"], "kubemend");
    let found = github
        .ask(&jwt, "GET", &format!("{REPO}/installation"), None)
        .await
        .unwrap();
    assert_eq!(found.body["id"], INSTALLATION);
    let path = format!("/app/installations/{INSTALLATION}/access_tokens");
    let narrow =
        json!({"permissions": {"contents": "read", "issues": "write"}, "repositories": ["gitops"]});
    let token = github.ask(&jwt, "POST", &path, Some(narrow)).await.unwrap();
    assert_eq!(
        (token.status, &token.body["permissions"]["contents"]),
        (201, &json!("read"))
    );
    let token = token.body["token"].as_str().unwrap().to_owned();
    assert_eq!(
        github
            .ask(&token, "POST", &format!("{REPO}/issues"), issue())
            .await
            .unwrap()
            .status,
        201
    );
    let blob = Some(json!({"content": "x", "encoding": "utf-8"}));
    let refused = github
        .ask(&token, "POST", &format!("{REPO}/git/blobs"), blob)
        .await
        .unwrap();
    assert_eq!(
        (refused.status, refused.message()),
        (403, "Resource not accessible by integration")
    );
    let more = json!({"permissions": {"workflows": "write"}});
    assert_eq!(
        github
            .ask(&jwt, "POST", &path, Some(more))
            .await
            .unwrap()
            .status,
        422
    );
    github.advance(Duration::from_secs(3_601));
    assert_eq!(
        github.ask(&token, "GET", REPO, None).await.unwrap().status,
        401
    );
    assert_eq!(github.item(1).author, 9_100);
}

#[tokio::test]
async fn wrong_jwts_are_refused() {
    let github = start().await;
    let good = jwt(&APP_ID.to_string(), -60, 540);
    let broken = format!("{}AAAA", &good[..good.len() - 4]);
    for (token, status) in [
        (broken.as_str(), 401),
        (jwt("999", -60, 540).as_str(), 404),
        (jwt(&APP_ID.to_string(), -60, 3_600).as_str(), 401),
        (jwt(&APP_ID.to_string(), 300, 540).as_str(), 401),
        (jwt(&APP_ID.to_string(), -600, -1).as_str(), 401),
        (APP_TOKEN, 401),
    ] {
        assert_eq!(
            github.ask(token, "GET", "/app", None).await.unwrap().status,
            status,
            "{token}"
        );
    }
    assert_eq!(
        github.ask(&good, "GET", REPO, None).await.unwrap().status,
        401
    );
    assert_eq!(
        github
            .ask("nonsense", "GET", REPO, None)
            .await
            .unwrap()
            .status,
        401
    );
}

#[tokio::test]
async fn installations_are_nobody_for_user() {
    let github = start().await;
    for token in [APP_TOKEN, WORKFLOW_TOKEN] {
        assert_eq!(
            github
                .ask(token, "GET", "/user", None)
                .await
                .unwrap()
                .status,
            403
        );
    }
    assert_eq!(
        github
            .ask(MACHINE_TOKEN, "GET", "/user", None)
            .await
            .unwrap()
            .body["login"],
        "kubemend-bot"
    );
}

#[tokio::test]
async fn only_unnamed_commits_of_apps_are_signed() {
    let github = start().await;
    let head = github.branch("main").unwrap();
    let tree = github
        .ask(
            APP_TOKEN,
            "GET",
            &format!("{REPO}/git/commits/{head}"),
            None,
        )
        .await
        .unwrap();
    let plain = json!({"message": "x", "tree": tree.body["tree"]["sha"], "parents": [head]});
    let mut named = plain.clone();
    named["author"] = json!({"name": "me", "email": "me@example.com"});
    let signed = async |token: &str, body: &Value| {
        let answer = github
            .ask(
                token,
                "POST",
                &format!("{REPO}/git/commits"),
                Some(body.clone()),
            )
            .await;
        answer.unwrap().body["verification"]["verified"] == json!(true)
    };
    assert!(signed(APP_TOKEN, &plain).await);
    assert!(!signed(APP_TOKEN, &named).await);
    assert!(!signed(MACHINE_TOKEN, &plain).await);
}

#[tokio::test]
async fn workflows_need_their_own_permission() {
    let github = start().await;
    let head = github
        .human("bob")
        .push("w", &[(".github/workflows/ci.yaml", "on: push\n")]);
    let body = json!({"ref": "refs/heads/kubemend/x", "sha": head});
    let refused = github
        .ask(APP_TOKEN, "POST", &format!("{REPO}/git/refs"), Some(body))
        .await
        .unwrap();
    assert!(
        refused.message().contains("without `workflows` permission"),
        "{refused:?}"
    );
}

#[tokio::test]
async fn a_workflow_may_be_kept_from_opening() {
    let github = GitHub::start(Seed::new("acme/gitops").actions_may_not_open()).await;
    github.human("bob").push("one", &[("a", "1")]);
    let pull = json!({"title": "t", "head": "one", "base": "main"});
    let refused = github
        .ask(
            WORKFLOW_TOKEN,
            "POST",
            &format!("{REPO}/pulls"),
            Some(pull.clone()),
        )
        .await
        .unwrap();
    assert!(refused.message().contains("not permitted"), "{refused:?}");
    assert_eq!(
        github
            .ask(APP_TOKEN, "POST", &format!("{REPO}/pulls"), Some(pull))
            .await
            .unwrap()
            .status,
        201
    );
}

#[tokio::test]
async fn people_without_rights_can_talk_but_not_write() {
    let github = start().await;
    github
        .world()
        .state
        .repo_mut("acme/gitops")
        .unwrap()
        .private = false;
    let mallory = github.human("mallory");
    let number = github.human("alice").open_issue("Q", "");
    mallory.comment(number, "/kubemend merge");
    let all = github
        .ask(
            MACHINE_TOKEN,
            "GET",
            &format!("{REPO}/issues/{number}/comments"),
            None,
        )
        .await
        .unwrap();
    assert_eq!(all.body[0]["author_association"], "NONE");
    github.human("alice").lock(number);
    let role = github
        .ask(
            MACHINE_TOKEN,
            "GET",
            &format!("{REPO}/collaborators/mallory/permission"),
            None,
        )
        .await;
    assert_eq!(role.unwrap().body["role_name"], "read");
}

#[tokio::test]
async fn long_texts_are_refused() {
    let github = start().await;
    let long = |n: usize| Some(json!({"title": "t", "body": "x".repeat(n)}));
    let path = format!("{REPO}/issues");
    assert_eq!(
        github
            .ask(MACHINE_TOKEN, "POST", &path, long(65_536))
            .await
            .unwrap()
            .status,
        201
    );
    let refused = github
        .ask(MACHINE_TOKEN, "POST", &path, long(65_537))
        .await
        .unwrap();
    assert!(
        refused.body["errors"].to_string().contains("too long"),
        "{refused:?}"
    );
    let title = Some(json!({"title": "x".repeat(257)}));
    assert_eq!(
        github
            .ask(MACHINE_TOKEN, "POST", &path, title)
            .await
            .unwrap()
            .status,
        422
    );
}

// ---- faults

#[tokio::test]
async fn a_fault_hits_only_its_operation_and_its_turn() {
    let github = start().await;
    github.fault(
        On::route("POST", ISSUES).nth(2),
        Fault::status(502, "Server Error"),
    );
    let mut seen = Vec::new();
    for _ in 0..3 {
        seen.push(
            github
                .ask(MACHINE_TOKEN, "POST", &format!("{REPO}/issues"), issue())
                .await
                .unwrap()
                .status,
        );
    }
    assert_eq!(seen, [201, 502, 201]);
    assert_eq!(github.count("POST", ISSUES), 2);
    let last = github.journal().pop().unwrap();
    assert_eq!(
        (last.status, last.effects, last.write),
        (Some(201), 1, true)
    );
}

#[tokio::test]
async fn an_error_can_hide_an_effect() {
    let github = start().await;
    github.fault(On::route("POST", ISSUES).once(), Fault::done_but_502());
    let answer = github
        .ask(MACHINE_TOKEN, "POST", &format!("{REPO}/issues"), issue())
        .await
        .unwrap();
    assert_eq!((answer.status, github.issues().len()), (502, 1));
    assert_eq!(github.writes().len(), 1);
}

#[tokio::test]
async fn connections_are_cut_before_or_after() {
    let github = start().await;
    for (moment, there) in [(Moment::Before, 0), (Moment::After, 1)] {
        github.fault(On::route("POST", ISSUES).once(), Fault::Cut(moment));
        let path = format!("{REPO}/issues");
        assert!(
            github
                .ask(MACHINE_TOKEN, "POST", &path, issue())
                .await
                .is_none()
        );
        github.heal();
        assert_eq!(github.issues().len(), there, "{moment:?}");
    }
    assert!(github.journal().iter().all(|e| e.status.is_none()));
}

#[tokio::test]
async fn a_request_can_arrive_twice() {
    let github = start().await;
    github.fault(On::method("POST"), Fault::Twice);
    github
        .ask(MACHINE_TOKEN, "POST", &format!("{REPO}/issues"), issue())
        .await
        .unwrap();
    assert_eq!(
        (github.issues().len(), github.count("POST", ISSUES)),
        (2, 2)
    );
}

#[tokio::test]
async fn limits_say_when_to_come_back() {
    let github = start().await;
    let reset = github.now();
    github.fault(On::all().once(), Fault::secondary_limit(429, Some(7)));
    github.fault(On::all().once(), Fault::primary_limit(reset));
    let first = github.ask(MACHINE_TOKEN, "GET", REPO, None).await.unwrap();
    assert_eq!(
        (first.status, first.header("retry-after")),
        (429, Some("7"))
    );
    assert!(first.message().contains("secondary rate limit"));
    let second = github.ask(MACHINE_TOKEN, "GET", REPO, None).await.unwrap();
    assert_eq!(
        (second.status, second.header("x-ratelimit-remaining")),
        (403, Some("0"))
    );
}

#[tokio::test]
async fn answers_can_take_their_time() {
    let github = start().await;
    github.fault(
        On::route("GET", ISSUES),
        Fault::Delay(Duration::from_secs(3_600)),
    );
    let path = format!("{REPO}/issues");
    let slow = github.ask(MACHINE_TOKEN, "GET", &path, None);
    tokio::select! {
        biased;
        _ = slow => panic!("it did not wait"),
        other = github.ask(MACHINE_TOKEN, "GET", REPO, None) => assert_eq!(other.unwrap().status, 200),
    }
}

/// Opens a pull request without looking first.
async fn careless(github: &GitHub) {
    let client = github.client();
    let base = client.branch_head("main").await.unwrap().unwrap();
    let files = NewFiles::from([("a.yaml".to_owned(), b"a: 1\n".to_vec())]);
    let commit = client.make_commit(&base, &files, "Mend").await.unwrap();
    client
        .create_branch("kubemend/a", &commit.sha)
        .await
        .unwrap();
    client
        .open_pull("kubemend/a", "main", "A", "", false)
        .await
        .unwrap();
}

#[tokio::test]
async fn a_run_can_be_killed_at_every_request() {
    let github = start().await;
    assert!(
        github
            .kill_at(usize::MAX, Moment::Before, careless(&github))
            .await
            .is_some()
    );
    let requests = github.journal().len();
    assert_eq!(github.count("POST", PULLS), 1);
    for moment in [Moment::Before, Moment::After] {
        for n in 1..=requests {
            let github = start().await;
            let ended = github.kill_at(n, moment, careless(&github)).await;
            assert!(ended.is_none(), "{n} {moment:?}");
            let opened = usize::from(n == requests && moment == Moment::After);
            assert_eq!(github.count("POST", PULLS), opened, "{n} {moment:?}");
            assert_eq!(github.journal().len(), n);
        }
    }
}

// ---- the contract

#[tokio::test]
async fn requests_that_github_does_not_describe_fail_the_test() {
    let github = start().await;
    let sha = github.branch("main").unwrap();
    let broken = [
        (
            "POST",
            "/issues",
            json!({"title": "t", "bdy": "x"}),
            "/bdy is not described",
        ),
        (
            "POST",
            "/pulls",
            json!({"title": 5, "head": "a", "base": "main"}),
            "/title",
        ),
        (
            "POST",
            "/pulls",
            json!({"title": "t", "head": "a"}),
            "\"base\" is a required",
        ),
        (
            "POST",
            "/check-runs",
            json!({"name": "n", "head_sha": sha, "status": "completed"}),
            "conclusion",
        ),
        (
            "POST",
            "/check-runs",
            json!({"name": "n", "head_sha": sha, "status": "completed", "conclusion": "odd"}),
            "",
        ),
        (
            "POST",
            "/git/trees",
            json!({"tree": [{"path": "a", "mod": "100644"}]}),
            "/tree/0/mod",
        ),
        ("GET", "/issues?sort=odd", Value::Null, "?sort=odd"),
        (
            "GET",
            "/pulls?labels=a",
            Value::Null,
            "?labels is not described",
        ),
        ("GET", "/issues?per_page=1000", Value::Null, "over 100"),
        ("GET", "/no/such/thing", Value::Null, "no operation"),
    ];
    for (method, path, body, what) in broken {
        let body = Some(body).filter(|b| !b.is_null());
        github
            .ask(APP_TOKEN, method, &format!("{REPO}{path}"), body)
            .await
            .unwrap();
        let violations = github.take_violations();
        assert!(
            matches!(violations.as_slice(), [one] if one.contains(what)),
            "{path} {what}: {violations:?}"
        );
    }
    github.assert_no_writes();
}

#[tokio::test]
async fn mutations_are_checked_against_the_schema() {
    let github = start().await;
    let ask = async |query: &str, variables: Value| {
        let body = json!({"query": query, "variables": variables});
        github
            .ask(MACHINE_TOKEN, "POST", "/graphql", Some(body))
            .await
            .unwrap();
        github.take_violations().concat()
    };
    let good = "mutation($id: ID!) { minimizeComment(input: {subjectId: $id, classifier: OUTDATED}) { minimizedComment { isMinimized } } }";
    assert_eq!(ask(good, json!({"id": "IC_1"})).await, "");
    assert!(ask(good, json!({})).await.contains("$id is not given"));
    for (old, new, what) in [
        ("isMinimized", "isMinimised", "does not exist"),
        ("OUTDATED", "OLD", "is no ReportedContentClassifiers!"),
        ("subjectId", "id", "does not exist"),
        (", classifier: OUTDATED", "", "(classifier) is missing"),
        ("$id: ID!", "$id: String!", "is no ID!"),
        (" { isMinimized }", "", "needs a selection"),
        ("minimizeComment", "hideComment", "does not exist"),
    ] {
        let found = ask(&good.replace(old, new), json!({"id": "IC_1"})).await;
        assert!(found.contains(what), "{new}: {found}");
    }
}
