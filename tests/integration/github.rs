//! kubemend's client against the GitHub of the tests; and that GitHub itself, where it refuses.

use kubemend::forge::{Comment, CommentKind, PullState};
use kubemend::github::{CheckReport, Error, GitHub as Client, NewFiles};

use crate::support::github::{GitHub, Kind, Seed};

fn seed() -> Seed {
    Seed::new("acme/gitops").file("apps/web.yaml", "image: web:missing\n")
}

fn change(text: &str) -> NewFiles {
    NewFiles::from([("apps/web.yaml".to_owned(), text.as_bytes().to_vec())])
}

/// A branch with one commit, and its id.
async fn branch(client: &Client, name: &str, text: &str) -> String {
    let base = client.branch_head("main").await.unwrap().unwrap();
    let commit = client
        .make_commit(&base, &change(text), "Mend\n")
        .await
        .unwrap();
    assert!(client.create_branch(name, &commit.sha).await.unwrap());
    commit.sha
}

#[tokio::test]
async fn a_pull_request_lives_from_branch_to_merge() {
    let github = GitHub::start(seed()).await;
    let client = github.client();
    let head = branch(&client, "kubemend/web-12345678", "image: web:1\n").await;
    let pull = client
        .open_pull("kubemend/web-12345678", "main", "Mend web", "body", false)
        .await
        .unwrap();
    assert_eq!(
        (pull.head_sha.as_str(), pull.mergeable),
        (head.as_str(), None)
    );
    assert_eq!(client.pull(pull.number).await.unwrap().mergeable, None);
    assert_eq!(
        client.pull(pull.number).await.unwrap().mergeable,
        Some(true)
    );
    assert_eq!(
        client.files_of(pull.number).await.unwrap(),
        ["apps/web.yaml"]
    );
    assert_eq!(client.commits_of(pull.number).await.unwrap().len(), 1);
    let said = github
        .human("alice")
        .comment(pull.number, "/kubemend rebase");
    let heard = client.comments(pull.number).await.unwrap();
    assert_eq!(
        (heard[0].id, heard[0].created_at),
        (said, heard[0].updated_at)
    );
    client.react(&heard[0], "eyes").await.unwrap();
    let me = client.me().await.unwrap();
    assert!(client.reacted(&heard[0], "eyes", &me).await.unwrap());
    let merged = github.human("alice").merge(pull.number, "squash");
    let pull = client.pull(pull.number).await.unwrap();
    assert_eq!(
        (pull.state, pull.merge_commit),
        (PullState::Merged, Some(merged))
    );
    assert_eq!(
        github.file("main", "apps/web.yaml").unwrap(),
        "image: web:1\n"
    );
    assert_eq!(github.count("POST", "/repos/{owner}/{repo}/pulls"), 1);
}

#[tokio::test]
async fn what_git_refuses_is_refused() {
    let github = GitHub::start(seed()).await;
    let client = github.client();
    branch(&client, "kubemend/a", "image: web:1\n").await;
    client
        .open_pull("kubemend/a", "main", "A", "", false)
        .await
        .unwrap();
    let twice = client
        .open_pull("kubemend/a", "main", "A", "", false)
        .await
        .unwrap_err();
    assert!(
        matches!(&twice, Error::Invalid(m) if m.contains("already exists for acme:kubemend/a")),
        "{twice}"
    );
    let empty = client
        .open_pull("main", "main", "A", "", false)
        .await
        .unwrap_err();
    assert!(
        matches!(&empty, Error::Invalid(m) if m.contains("No commits between")),
        "{empty}"
    );
    let missing = client
        .open_pull("nowhere", "main", "A", "", false)
        .await
        .unwrap_err();
    assert!(
        matches!(&missing, Error::Invalid(m) if m.contains("PullRequest.head invalid")),
        "{missing}"
    );
    assert!(
        !client
            .create_branch(
                "kubemend/a",
                &client.branch_head("main").await.unwrap().unwrap()
            )
            .await
            .unwrap()
    );
    assert_eq!(github.open_pulls().len(), 1);
}

#[tokio::test]
async fn a_conflict_is_seen_after_a_while() {
    let github = GitHub::start(seed()).await;
    let client = github.client();
    branch(&client, "kubemend/a", "image: web:1\n").await;
    let number = client
        .open_pull("kubemend/a", "main", "A", "", false)
        .await
        .unwrap()
        .number;
    github
        .human("bob")
        .push("main", &[("apps/web.yaml", "image: web:2\n")]);
    assert_eq!(client.pull(number).await.unwrap().mergeable, None);
    assert_eq!(client.pull(number).await.unwrap().mergeable, Some(false));
    let refused = github
        .human("alice")
        .try_merge(number, "merge")
        .unwrap_err();
    assert_eq!(refused.status, 405);
}

#[tokio::test]
async fn who_closed_it_is_told_and_its_branch_decides_whether_it_opens_again() {
    let github = GitHub::start(seed()).await;
    let client = github.client();
    branch(&client, "kubemend/a", "image: web:1\n").await;
    let number = client
        .open_pull("kubemend/a", "main", "A", "", false)
        .await
        .unwrap()
        .number;
    github.human("alice").close(number);
    let closed = client.issue(number).await.unwrap();
    assert_eq!(closed.closed_by.unwrap().login, "alice");
    github.human("alice").reopen(number);
    client.close_pull(number).await.unwrap();
    client.delete_branch("kubemend/a").await.unwrap();
    let refused = github.human("alice").try_reopen(number).unwrap_err();
    assert!(
        refused.body.to_string().contains("has been deleted"),
        "{}",
        refused.body
    );
}

#[tokio::test]
async fn a_deleted_branch_closes_its_pull_request() {
    let github = GitHub::start(seed()).await;
    let client = github.client();
    branch(&client, "kubemend/a", "image: web:1\n").await;
    let number = client
        .open_pull("kubemend/a", "main", "A", "", false)
        .await
        .unwrap()
        .number;
    github.human("bob").delete_branch("kubemend/a");
    assert_eq!(client.pull(number).await.unwrap().state, PullState::Closed);
    assert_eq!(
        client.issue(number).await.unwrap().closed_by.unwrap().login,
        "bob"
    );
}

#[tokio::test]
async fn branches_move_forwards_only_unless_forced() {
    let github = GitHub::start(seed()).await;
    let client = github.client();
    let head = branch(&client, "kubemend/a", "image: web:1\n").await;
    let next = client
        .make_commit(&head, &change("image: web:2\n"), "More")
        .await
        .unwrap();
    github
        .human("bob")
        .push("kubemend/a", &[("apps/web.yaml", "image: web:9\n")]);
    assert!(
        !client
            .move_branch("kubemend/a", &head, &next)
            .await
            .unwrap()
    );
    assert_eq!(
        github.file("kubemend/a", "apps/web.yaml").unwrap(),
        "image: web:9\n"
    );
}

#[tokio::test]
async fn edited_comments_show_it() {
    let github = GitHub::start(seed()).await;
    let client = github.client();
    let issue = client
        .open_issue("Q", "body", &["kubemend/question".to_owned()])
        .await
        .unwrap();
    let said = github.human("bob").comment(issue.number, "hello");
    github.human("bob").edit_comment(said, "/kubemend ignore");
    let heard = client.comments(issue.number).await.unwrap();
    assert!(heard[0].updated_at > heard[0].created_at);
    assert_eq!(
        client
            .issues("kubemend/question", "open")
            .await
            .unwrap()
            .len(),
        1
    );
}

#[tokio::test]
async fn permissions_are_those_of_the_role() {
    let github = GitHub::start(seed()).await;
    let client = github.client();
    let issue = client.open_issue("Q", "", &[]).await.unwrap();
    for who in ["alice", "bob", "carol", "dave", "mallory"] {
        github.human(who).comment(issue.number, who);
    }
    let mut seen = Vec::new();
    for comment in client.comments(issue.number).await.unwrap() {
        seen.push(format!(
            "{:?}",
            client.permission(&comment.author).await.unwrap()
        ));
    }
    assert_eq!(seen, ["Admin", "Write", "Triage", "Read", "None"]);
}

#[tokio::test]
async fn only_apps_write_check_runs() {
    let github = GitHub::start(seed()).await;
    let client = github.client();
    let sha = client.branch_head("main").await.unwrap().unwrap();
    let report = CheckReport {
        name: "kubemend/validation".to_owned(),
        sha,
        conclusion: "success",
        title: "fine".to_owned(),
        summary: "all of it".to_owned(),
        external_id: "f".to_owned(),
    };
    client.check(&report).await.unwrap();
    let route = "/repos/{owner}/{repo}/check-runs";
    assert_eq!(github.count("POST", route), 0);
    assert_eq!(
        github.count("POST", "/repos/{owner}/{repo}/statuses/{sha}"),
        1
    );
}

#[tokio::test]
async fn reviews_and_drafts() {
    let github = GitHub::start(seed()).await;
    let client = github.client();
    branch(&client, "kubemend/a", "image: web:1\n").await;
    let pull = client
        .open_pull("kubemend/a", "main", "A", "", true)
        .await
        .unwrap();
    assert_eq!(
        github
            .human("alice")
            .try_merge(pull.number, "merge")
            .unwrap_err()
            .status,
        405
    );
    client.set_draft(&pull.node_id, false).await.unwrap();
    assert!(!client.pull(pull.number).await.unwrap().draft);
    github
        .human("alice")
        .review(pull.number, "CHANGES_REQUESTED", "use web:3");
    github
        .human("alice")
        .line_comment(pull.number, "apps/web.yaml", 1, "here");
    let all: Vec<Comment> = client.review_comments(pull.number).await.unwrap();
    let kinds: Vec<CommentKind> = all.iter().map(|c| c.kind).collect();
    assert_eq!(kinds, [CommentKind::ReviewLine, CommentKind::Review]);
    client.react(&all[0], "-1").await.unwrap();
    assert_eq!(
        github.reactions(Kind::Line, all[0].id),
        [("kubemend-bot".to_owned(), "-1".to_owned())]
    );
}

#[tokio::test]
async fn an_exported_branch_has_the_same_ids() {
    let github = GitHub::start(seed()).await;
    let folder = tempfile::tempdir().unwrap();
    github.export(folder.path(), "main");
    let head = git2::Repository::open(folder.path())
        .unwrap()
        .head()
        .unwrap()
        .target()
        .unwrap();
    assert_eq!(Some(head.to_string()), github.branch("main"));
    assert!(folder.path().join("apps/web.yaml").exists());
}

#[tokio::test]
async fn a_branch_is_replaced_only_where_it_is_expected() {
    let github = GitHub::start(seed()).await;
    let client = github.app_client();
    let head = branch(&client, "kubemend/a", "image: web:1\n").await;
    let base = client.branch_head("main").await.unwrap().unwrap();
    let other = client
        .make_commit(&base, &change("image: web:2\n"), "Again")
        .await
        .unwrap();
    assert!(
        client
            .move_branch("kubemend/a", &head, &other)
            .await
            .unwrap()
    );
    let pushed = github
        .human("bob")
        .push("kubemend/a", &[("b.yaml", "b: 1\n")]);
    let third = client
        .make_commit(&base, &change("image: web:3\n"), "Third")
        .await
        .unwrap();
    assert!(
        !client
            .move_branch("kubemend/a", &other.sha, &third)
            .await
            .unwrap()
    );
    assert_eq!(github.branch("kubemend/a"), Some(pushed));
    assert_eq!(client.me().await.unwrap().login, "kubemend[bot]");
}
