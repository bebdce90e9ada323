//! What each command does, and what it says. Scorecard rows 5, 12, 19, 41, 43, 44, 62.

use std::time::Duration;

use jiff::SignedDuration;
use kubemend::forge::marker;

use crate::support::github::{Fault, On};

use super::stage::{FILE, Stage, fingerprint, key, proposed};

const LABEL: &str = "kubemend/ignored";

/// Without what differs from run to run.
fn steady(text: &str) -> String {
    let sha = regex::Regex::new("`[0-9a-f]{12}`").unwrap();
    let time = regex::Regex::new(r"20\d\d-\d\d-\d\d \d\d:\d\d UTC").unwrap();
    time.replace_all(&sha.replace_all(text, "`SHA`"), "TIME")
        .into_owned()
}

/// Scorecard row 19: one answer for a comment, however many passes see it, and nothing is written
/// when there is nothing to say.
#[tokio::test]
async fn a_command_is_answered_once() {
    let stage = Stage::new().await;
    let id = stage
        .github
        .human("bob")
        .comment(stage.open, "/kubemend status");
    assert_eq!(stage.pass().await.answered, 1);
    stage.github.forget();
    assert_eq!(stage.pass().await.answered, 0);
    stage.github.assert_no_writes();
    assert_eq!(stage.reactions(id), ["eyes", "rocket"]);
    let (_, body) = stage.github.comments(stage.open).pop().unwrap();
    let read = marker::read(&body, stage.key.as_ref());
    assert_eq!(
        read.marker().unwrap().answers.as_deref(),
        Some(format!("issue:{id}").as_str())
    );
}

/// Scorecard row 61: looking only writes nothing, and hears the same.
#[tokio::test]
async fn a_dry_run_writes_nothing() {
    let stage = Stage::new().await;
    stage
        .github
        .human("bob")
        .comment(stage.open, "/kubemend retry hint=\"more\"");
    stage
        .github
        .human("bob")
        .comment(stage.question, "/kubemend choose 2");
    stage
        .github
        .human("dave")
        .comment(stage.question, "/kubemend pause");
    stage
        .github
        .human("bob")
        .tick_box(stage.open, "kubemend:rebase");
    let done = stage.dry_pass().await;
    stage.github.assert_no_writes();
    assert_eq!(done.answered, 0);
    assert_eq!(done.heard.requests.len(), 2);
    assert!(done.observed.asked.rebase.contains(&stage.open));
    assert_eq!(done.heard.answers[&key("question")].chosen, Some(2));
    assert_eq!(done.heard.answers[&key("open")].hints, ["more"]);
}

/// Scorecard row 44: a hint makes a new commit, and the answer shows the difference of the diffs.
#[tokio::test]
async fn a_hint_is_stored_proposed_and_answered_with_what_changed() {
    let stage = Stage::new().await;
    let body = "/kubemend retry hint=\"say *why* @alice fixes #1\"";
    stage.github.human("bob").comment(stage.open, body);
    stage.pass().await;
    assert_eq!(
        stage.marker(stage.open).hints,
        ["say *why* @alice fixes #1"]
    );
    assert!(stage.marker(stage.open).pending.is_empty(), "settled");
    let file = stage
        .github
        .file("kubemend/shop/web-open-aaaaaaaa", FILE)
        .unwrap();
    assert!(file.contains("say *why*"));
    let answer = stage.answers(stage.open).join("\n");
    insta::assert_snapshot!(steady(&answer));
    // the same hint again changes nothing, and that is said
    stage.github.human("bob").comment(stage.open, body);
    stage.pass().await;
    let answer = stage.answers(stage.open).pop().unwrap();
    assert!(answer.contains("Nothing changed"), "{answer}");
}

/// Scorecard row 44: free comments of a review are hints of those who may push; one answer for all.
#[tokio::test]
async fn review_comments_are_hints() {
    let stage = Stage::new().await;
    stage
        .github
        .human("bob")
        .line_comment(stage.open, FILE, 2, "Use 512Mi here <!-- hidden -->");
    stage
        .github
        .human("alice")
        .review(stage.open, "CHANGES_REQUESTED", "Too small.\n\n> quoted");
    stage
        .github
        .human("dave")
        .line_comment(stage.open, FILE, 2, "I may only read");
    stage
        .github
        .human("bob")
        .comment(stage.open, "A discussion is no hint");
    stage.pass().await;
    let hints = stage.marker(stage.open).hints;
    assert_eq!(hints, ["Use 512Mi here", "Too small."]);
    let answers = stage.answers(stage.open);
    assert_eq!(answers.len(), 1, "{answers:?}");
    assert!(answers[0].contains("2 hints"), "{answers:?}");
    stage.github.forget();
    stage.pass().await;
    stage.github.assert_no_writes();
}

/// Scorecard row 44: GitHub tells the time at which a comment's draft was begun, and touches it when
/// the review is sent.
#[tokio::test]
async fn a_comment_counts_as_written_when_its_review_is_sent() {
    let stage = Stage::new().await;
    let bob = stage.github.human("bob");
    bob.drafted_comment(stage.open, FILE, 2, "Use 512Mi here");
    let command = bob.drafted_comment(stage.open, FILE, 2, "/kubemend status");
    let edited = bob.line_comment(stage.open, FILE, 2, "nice");
    for _ in 0..9 {
        stage.github.world().state.tick();
    }
    bob.edit_comment(edited, "/kubemend pause");
    stage.pass().await;
    assert_eq!(stage.marker(stage.open).hints, ["Use 512Mi here"]);
    let answers = stage.answers(stage.open).join("\n");
    assert!(answers.contains("/kubemend status"), "{command}: {answers}");
    assert!(!answers.contains("/kubemend pause"), "{edited}: {answers}");
}

/// Scorecard row 12: what was chosen is in the signed marker; the pass after it proposes it.
#[tokio::test]
async fn an_option_is_chosen_by_command_or_box() {
    for by_box in [false, true] {
        let stage = Stage::new().await;
        match by_box {
            true => stage
                .github
                .human("bob")
                .tick_box(stage.question, "choose=2"),
            false => drop(
                stage
                    .github
                    .human("bob")
                    .comment(stage.question, "/kubemend choose 2"),
            ),
        }
        let done = stage.pass().await;
        let marker = stage.marker(stage.question);
        assert_eq!(marker.chosen, Some(2));
        assert_eq!(marker.chosen_of, "options of now");
        let said = &done.heard.answers[&key("question")];
        assert_eq!(
            (said.chosen, said.chosen_of.as_deref()),
            (Some(2), Some("options of now"))
        );
        let pull = stage.github.open_pulls().pop().unwrap();
        assert_eq!(
            stage.answers(stage.question).len(),
            usize::from(!by_box),
            "a box is not answered"
        );
        if !by_box {
            let answer = stage.answers(stage.question).pop().unwrap();
            assert!(
                answer.contains(&format!("See #{}", pull.number)),
                "{answer}"
            );
        }
        assert!(
            !stage.github.item(stage.question).body.contains("[x]"),
            "acted on once"
        );
        let again = stage.pass().await;
        assert_eq!(
            again.heard.answers[&key("question")].chosen,
            Some(2),
            "kept"
        );
        assert_eq!(stage.github.open_pulls().len(), 2);
    }
}

#[tokio::test]
async fn values_are_stored_and_credentials_are_not() {
    let stage = Stage::new().await;
    let token = format!("ghp_{}", "Ab1".repeat(12));
    stage
        .github
        .human("bob")
        .comment(stage.open, "/kubemend set limit.memory=512Mi");
    stage
        .github
        .human("bob")
        .comment(stage.open, "/kubemend set DB_PASSWORD=hunter2hunter2");
    stage
        .github
        .human("bob")
        .comment(stage.open, &format!("/kubemend set image={token}"));
    stage
        .github
        .human("bob")
        .comment(stage.open, &format!("/kubemend retry hint=\"use {token}\""));
    stage.pass().await;
    let marker = stage.marker(stage.open);
    assert_eq!(marker.set, ["limit.memory=512Mi"]);
    let file = stage
        .github
        .file("kubemend/shop/web-open-aaaaaaaa", FILE)
        .unwrap();
    assert!(file.contains("memory: 512Mi"));
    let all = stage.answers(stage.open).join("\n");
    assert_eq!(all.matches("looks like a credential").count(), 2, "{all}");
    for secret in ["hunter2", token.as_str()] {
        assert!(!all.contains(secret) && !file.contains(secret));
        assert!(!format!("{marker:?}").contains(secret));
    }
}

/// Scorecard row 43: a push between the comment and the pass.
#[tokio::test]
async fn a_push_after_the_comment_refuses_it() {
    for command in ["recreate", "rebase", "retry", "set limit.memory=1Gi"] {
        let stage = Stage::new().await;
        let branch = "kubemend/shop/web-open-aaaaaaaa";
        let id = stage
            .github
            .human("bob")
            .comment(stage.open, &format!("/kubemend {command}"));
        let theirs = stage
            .github
            .human("alice")
            .push(branch, &[(FILE, "mine: now\n")]);
        let done = stage.pass().await;
        assert_eq!(stage.github.branch(branch).unwrap(), theirs, "{command}");
        assert!(done.observed.asked.recreate.is_empty(), "{command}");
        let answer = stage.answers(stage.open).pop().unwrap();
        assert!(
            answer.contains("moved after your comment"),
            "{command}: {answer}"
        );
        assert_eq!(stage.reactions(id), ["eyes", "-1"]);
        // said again, after the push, it holds
        if command == "recreate" {
            stage
                .github
                .human("bob")
                .comment(stage.open, "/kubemend recreate");
            stage.pass().await;
            let file = stage.github.file(branch, FILE).unwrap();
            assert_eq!(file, proposed(None));
        }
    }
}

/// Scorecard row 43: the time of a commit is what its maker says; GitHub knows when it was pushed.
#[tokio::test]
async fn a_commit_that_claims_to_be_old_counts_from_its_push() {
    let branch = "kubemend/shop/web-open-aaaaaaaa";
    let stage = Stage::new().await;
    let before = stage.github.now();
    stage
        .github
        .human("bob")
        .comment(stage.open, "/kubemend recreate");
    let alice = stage.github.human("alice");
    let theirs = alice.push_dated(branch, &[(FILE, "mine: now\n")], before);
    let done = stage.pass().await;
    assert!(done.observed.asked.recreate.is_empty());
    assert_eq!(stage.github.branch(branch).unwrap(), theirs);
    let answer = stage.answers(stage.open).pop().unwrap();
    assert!(answer.contains("moved after your comment"), "{answer}");
}

/// Scorecard row 43: and one that claims to be of a later time was there when the comment was made.
#[tokio::test]
async fn a_commit_that_claims_to_be_new_counts_from_its_push() {
    let branch = "kubemend/shop/web-open-aaaaaaaa";
    let stage = Stage::new().await;
    let later = stage.github.now() + SignedDuration::from_hours(5);
    let alice = stage.github.human("alice");
    alice.push_dated(branch, &[(FILE, "mine: now\n")], later);
    stage
        .github
        .human("bob")
        .comment(stage.open, "/kubemend recreate");
    stage.pass().await;
    assert_eq!(stage.github.file(branch, FILE).unwrap(), proposed(None));
}

/// Scorecard row 43: a server that does not tell when something was pushed leaves the commit's own
/// time, and one from before the pull request cannot be true.
#[tokio::test]
async fn without_the_time_of_a_push_the_commits_own_counts_unless_it_cannot_be() {
    let branch = "kubemend/shop/web-open-aaaaaaaa";
    for (age, moved) in [
        (SignedDuration::ZERO, false),
        (SignedDuration::from_hours(99), true),
    ] {
        for status in [403, 404] {
            let stage = Stage::new().await;
            stage.github.fault(
                On::route("GET", "/repos/{owner}/{repo}/activity"),
                Fault::status(status, "Not here"),
            );
            let date = stage.github.now() - age;
            let alice = stage.github.human("alice");
            alice.push_dated(branch, &[(FILE, "mine: now\n")], date);
            stage
                .github
                .human("bob")
                .comment(stage.open, "/kubemend recreate");
            stage.pass().await;
            let answer = stage.answers(stage.open).pop().unwrap();
            let refused = answer.contains("moved after your comment");
            assert_eq!(refused, moved, "{status} {age}: {answer}");
        }
    }
}

/// A push between the observation and the command's execution: the next pass sees clearly.
#[tokio::test]
async fn a_push_during_the_pass_puts_the_command_off() {
    let stage = Stage::new().await;
    let branch = "kubemend/shop/web-open-aaaaaaaa";
    stage
        .github
        .human("alice")
        .push(branch, &[(FILE, "theirs: 1\n")]);
    let id = stage
        .github
        .human("bob")
        .comment(stage.open, "/kubemend recreate");
    let done = stage
        .pass_with(|s| {
            drop(
                s.github
                    .human("alice")
                    .push(branch, &[(FILE, "theirs: 2\n")]),
            )
        })
        .await;
    assert!(done.observed.asked.recreate.is_empty());
    assert!(stage.reactions(id).is_empty() && stage.answers(stage.open).is_empty());
    assert_eq!(stage.github.file(branch, FILE).unwrap(), "theirs: 2\n");
    stage.pass().await;
    let answer = stage.answers(stage.open).pop().unwrap();
    assert!(answer.contains("moved after your comment"), "{answer}");
}

/// Scorecard row 5: ignored by command, for a time, and the three ways back.
#[tokio::test]
async fn ignored_until_it_comes_back() {
    let stage = Stage::new().await;
    stage
        .github
        .human("bob")
        .comment(stage.closed, "/kubemend ignore 7d");
    stage.pass().await;
    assert!(stage.labels(stage.closed).contains(&LABEL.to_owned()));
    let marker = stage.marker(stage.closed);
    let days = marker
        .ignored_until
        .unwrap()
        .duration_since(stage.github.now());
    assert!(days > SignedDuration::from_hours(6 * 24) && days < SignedDuration::from_hours(8 * 24));
    assert!(marker.labels.contains(&LABEL.to_owned()), "we set it");
    stage.github.advance(Duration::from_secs(8 * 24 * 3600));
    let done = stage.pass().await;
    assert!(
        done.observed.asked.unignore.contains(&stage.closed),
        "the days are over"
    );
    assert!(!stage.labels(stage.closed).contains(&LABEL.to_owned()));
    assert_eq!(stage.marker(stage.closed).ignored_until, None);
}

/// Scorecard row 5: `/kubemend retry` and `unignore` on the closed one, or the dashboard's box.
#[tokio::test]
async fn what_was_closed_comes_back_in_three_ways() {
    for way in ["retry", "unignore", "box"] {
        let stage = Stage::new().await;
        stage
            .github
            .human("bob")
            .comment(stage.closed, "/kubemend ignore");
        stage.pass().await;
        assert!(stage.labels(stage.closed).contains(&LABEL.to_owned()));
        assert!(!stage.github.item(stage.closed).open);
        match way {
            "box" => stage
                .github
                .human("bob")
                .tick_box(stage.dashboard, "kubemend:unignore="),
            way => drop(
                stage
                    .github
                    .human("bob")
                    .comment(stage.closed, &format!("/kubemend {way}")),
            ),
        }
        let done = stage.pass().await;
        assert!(
            done.observed.asked.unignore.contains(&stage.closed),
            "{way}"
        );
        assert!(stage.github.item(stage.closed).open, "{way}");
        assert!(
            !stage.labels(stage.closed).contains(&LABEL.to_owned()),
            "{way}"
        );
        assert!(
            !stage.github.item(stage.dashboard).body.contains("[x]"),
            "{way}"
        );
        stage.pass().await;
        stage.github.forget();
        stage.pass().await;
        stage.github.assert_no_writes();
    }
}

/// A box is not answered: what could not be stored must not be unticked.
#[tokio::test]
async fn a_box_about_what_could_not_be_stored_stays_ticked() {
    let stage = Stage::new().await;
    let bob = stage.github.human("bob");
    bob.comment(stage.closed, "/kubemend ignore");
    stage.pass().await;
    bob.tick_box(stage.dashboard, "kubemend:unignore=");
    stage.github.fault(
        On::route("PATCH", "/repos/{owner}/{repo}/pulls/{pull_number}").once(),
        Fault::status(403, "Not now"),
    );
    stage.pass().await;
    let panel = || stage.github.item(stage.dashboard).body;
    assert!(panel().contains("[x]"), "{}", panel());
    assert!(!stage.github.item(stage.closed).open);
    stage.github.heal();
    stage.pass().await;
    assert!(!panel().contains("[x]"), "{}", panel());
    assert!(stage.github.item(stage.closed).open);
}

/// Scorecard row 68: paused and resumed by command and by box, anywhere; it holds at once.
#[tokio::test]
async fn a_pause_holds_until_somebody_resumes() {
    let stage = Stage::new().await;
    stage
        .github
        .human("bob")
        .comment(stage.open, "/kubemend pause\n/kubemend retry");
    stage
        .github
        .human("alice")
        .comment(stage.open, "/kubemend pause");
    let done = stage.pass().await;
    assert_eq!(done.observed.paused.as_ref().unwrap().by, "bob");
    assert_eq!(
        stage.marker(stage.dashboard).paused.unwrap().by,
        "bob",
        "the first one stays"
    );
    let answers = stage.answers(stage.open);
    assert!(
        answers[0].contains("is paused in this repository"),
        "{answers:?}"
    );
    assert!(answers[1].contains("paused already"), "{answers:?}");
    stage
        .github
        .human("bob")
        .tick_box(stage.open, "kubemend:rebase");
    let done = stage.pass().await;
    assert!(done.observed.asked.rebase.is_empty(), "a box waits");
    stage
        .github
        .human("bob")
        .tick_box(stage.dashboard, "kubemend:resume");
    let done = stage.pass().await;
    assert!(done.observed.paused.is_none() && stage.marker(stage.dashboard).paused.is_none());
    let done = stage.pass().await;
    assert!(
        done.observed.asked.rebase.contains(&stage.open)
            || !stage.github.item(stage.open).body.contains("[x]")
    );
}

/// Scorecard row 18: the dashboard's boxes act once.
#[tokio::test]
async fn boxes_of_the_dashboard_act_once() {
    let stage = Stage::new().await;
    stage
        .github
        .human("bob")
        .tick_box(stage.dashboard, "approve=eeee");
    stage
        .github
        .human("bob")
        .tick_box(stage.dashboard, "approve=ffff");
    let done = stage.pass().await;
    let approved: Vec<&String> = done.observed.asked.approve.iter().collect();
    assert_eq!(approved, ["eeeeeeee5555", "ffffffff6666"]);
    assert!(!stage.github.item(stage.dashboard).body.contains("[x]"));
    let done = stage.pass().await;
    assert!(done.observed.asked.approve.is_empty());
    stage.github.forget();
    stage.pass().await;
    stage.github.assert_no_writes();
}

/// Everything that a person can ask, and what it is told at each place.
#[tokio::test]
async fn every_answer_in_every_place() {
    let mut out = String::new();
    let stage = Stage::new().await;
    let places = [
        ("open", stage.open),
        ("closed", stage.closed),
        ("merged", stage.merged),
        ("question", stage.question),
        ("dashboard", stage.dashboard),
    ];
    for (name, number) in places {
        for command in [
            "status",
            "explain",
            "explain NoSafeFix",
            "choose 1",
            "set limit.memory=64Mi",
            "rebase",
            "recreate",
            "verify",
            "revert",
            "ignore 7d",
            "unignore",
            "merge",
        ] {
            stage
                .github
                .human("alice")
                .comment(number, &format!("/kubemend {command}"));
            stage.pass().await;
            let answer = stage.answers(number).pop().unwrap();
            out += &format!("== {command} in {name}\n{answer}\n");
        }
    }
    insta::assert_snapshot!(steady(&out));
}

/// Scorecard row 12: a marker that was tampered with stores nothing, and that is said.
#[tokio::test]
async fn a_broken_marker_is_not_written_over() {
    let stage = Stage::new().await;
    let body = stage
        .github
        .item(stage.question)
        .body
        .replace("kubemend:v1 ", "kubemend:v1 x");
    stage.github.human("bob").edit_body(stage.question, &body);
    stage
        .github
        .human("bob")
        .comment(stage.question, "/kubemend choose 1");
    let done = stage.pass().await;
    assert!(done.heard.answers.is_empty());
    assert_eq!(stage.github.item(stage.question).body, body);
    let answer = stage.answers(stage.question).pop().unwrap();
    assert!(answer.contains("could not be read"), "{answer}");
}

#[tokio::test]
async fn old_closed_threads_are_not_read() {
    let stage = Stage::new().await;
    stage.github.advance(Duration::from_secs(31 * 24 * 3600));
    stage.github.forget();
    stage.pass().await;
    let path = format!("/issues/{}/comments", stage.closed);
    assert!(
        stage
            .github
            .journal()
            .iter()
            .all(|e| !e.path.contains(&path))
    );
    assert_eq!(fingerprint("closed").len(), 12);
}

/// A server that runs on reads a thread again when GitHub says that something changed there, and from time
/// to time.
#[tokio::test]
async fn silent_threads_are_read_when_something_changes_and_now_and_then() {
    let mut stage = Stage::new().await;
    stage.lasting = Some(stage.github.client());
    let reads = |stage: &Stage| {
        let asked = stage.github.journal();
        let of_threads = |e: &&crate::support::github::Entry| {
            e.path.contains("/comments?") || e.path.contains("/reviews?")
        };
        let count = asked.iter().filter(of_threads).count();
        stage.github.forget();
        count
    };
    stage.pass().await;
    stage.github.advance(Duration::from_secs(120));
    stage.pass().await;
    stage.github.forget();
    stage.github.advance(Duration::from_secs(600));
    stage.pass().await;
    let all = reads(&stage);
    stage.pass().await;
    assert_eq!(reads(&stage), 0, "nothing changed");

    stage
        .github
        .human("mia")
        .comment(stage.open, "/kubemend status");
    stage.pass().await;
    assert_eq!(stage.answers(stage.open).len(), 1);
    let of_one = reads(&stage);
    assert!((1..all).contains(&of_one), "{of_one} of {all}");

    stage.github.advance(Duration::from_secs(600));
    stage.pass().await;
    assert_eq!(reads(&stage), all, "time went by");
    assert_eq!(stage.answers(stage.open).len(), 1);
}
