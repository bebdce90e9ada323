//! What people say in a pull request that several clusters report: the run that keeps it does what
//! needs an opinion of the fix, once; the rest is anybody's.

use super::*;
use kubemend::forge::marker;

/// Both list it; b would mend it otherwise.
async fn both() -> (Stage, Stage, u64) {
    let (a, mut b) = two().await;
    a.clean().await;
    b.apps[0].memory = "2Gi";
    b.clean().await;
    let number = a.open()[0];
    (a, b, number)
}

/// Comments of kubemend that answer something.
fn answers(stage: &Stage, number: u64) -> Vec<String> {
    let all = stage.github.comments(number).into_iter();
    let ours = all.filter(|(who, _)| who == "kubemend-bot");
    let answer = |body: &String| {
        let read = marker::read(body, stage.key.as_ref());
        read.marker().is_some_and(|m| m.answers.is_some())
    };
    ours.map(|(_, body)| body).filter(answer).collect()
}

fn content(stage: &Stage, number: u64) -> String {
    let branch = stage.branch_of(number);
    stage.github.file(&branch, "apps/cart.yaml").unwrap()
}

#[tokio::test]
async fn the_run_that_keeps_it_makes_it_again_and_answers_once() {
    let (a, b, number) = both().await;
    let alice = a.github.human("alice");
    for command in ["/kubemend recreate", "/kubemend recreate\n/kubemend status"] {
        alice.push(&a.branch_of(number), &[("apps/cart.yaml", "memory: 3Gi\n")]);
        alice.comment(number, command);
        let before = answers(&a, number).len();
        b.clean().await; // it says once that a person pushed
        quiet(&[&b]).await;
        let report = a.clean().await;
        assert_eq!(report.answered, 1, "{command}");
        assert!(content(&a, number).contains("512Mi"), "{command}");
        assert_eq!(answers(&a, number).len(), before + 1, "{command}");
        quiet(&[&b, &a]).await;
    }
}

#[tokio::test]
async fn nobody_else_swallows_a_command() {
    let (a, mut b, number) = both().await;
    let manifests = a.beside("manifests");
    b.apps.clear();
    let c = Stage {
        apps: Vec::new(),
        ..a.beside("cluster c")
    };
    let alice = a.github.human("alice");
    for command in [
        "rebase",
        "retry",
        "set limit.memory=1Gi",
        "retry hint=\"more\"",
    ] {
        alice.push("main", &[("note.md", command)]);
        alice.comment(number, &format!("/kubemend {command}"));
        let before = answers(&a, number).len();
        for stage in [&manifests, &c, &b] {
            stage.clean().await;
        }
        assert_eq!(answers(&a, number).len(), before, "{command}");
        a.clean().await;
        assert_eq!(answers(&a, number).len(), before + 1, "{command}");
        for stage in [&manifests, &c, &b, &a] {
            stage.clean().await;
        }
        assert_eq!(answers(&a, number).len(), before + 1, "{command}");
    }
}

#[tokio::test]
async fn what_needs_no_opinion_is_answered_by_whoever_hears_it_first() {
    let (a, b, number) = both().await;
    let alice = a.github.human("alice");
    alice.comment(number, "/kubemend status");
    alice.comment(number, "/kubemend ignore");
    b.clean().await;
    assert_eq!(answers(&a, number).len(), 2);
    assert!(a.labels(number).contains(&"kubemend/ignored".to_owned()));
    quiet(&[&a, &b]).await;
}

#[tokio::test]
async fn a_box_stays_ticked_until_the_run_that_keeps_it_comes() {
    let (a, b, number) = both().await;
    let alice = a.github.human("alice");
    let before = a.branch_of(number);
    let head = a.github.branch(&before);
    alice.push("main", &[("note.md", "moved on")]);
    alice.tick_box(number, "rebase");
    let ticked = a.github.item(number).body;
    quiet(&[&b]).await;
    assert_eq!(a.github.item(number).body, ticked);
    a.clean().await;
    assert_ne!(a.github.branch(&before), head, "made again");
    assert!(!a.github.item(number).body.contains("[x]"));
    quiet(&[&b, &a]).await;
}

#[tokio::test]
async fn whoever_keeps_it_after_a_silent_one_does_it() {
    let (a, b, number) = both().await;
    for _ in 0..7 {
        a.hours(24);
        b.clean().await;
    }
    let alice = a.github.human("alice");
    alice.comment(number, "/kubemend recreate");
    b.clean().await;
    assert_eq!(answers(&a, number).len(), 1);
    assert!(content(&a, number).contains("2Gi"));
    b.clean().await;
    quiet(&[&b]).await;

    // one that nobody else lists, and its cluster is gone: after a week anybody answers
    let (a, _) = two().await;
    a.clean().await;
    let number = a.open()[0];
    let c = Stage {
        apps: Vec::new(),
        ..a.beside("cluster c")
    };
    alice_says(&a, number, "/kubemend retry");
    quiet(&[&c]).await;
    a.hours(7 * 24);
    c.clean().await;
    assert_eq!(answers(&a, number).len(), 1);
    quiet(&[&c]).await;
}

fn alice_says(stage: &Stage, number: u64, text: &str) {
    stage.github.human("alice").comment(number, text);
}

/// The one that keeps it sees the failure no more and is about to leave.
#[tokio::test]
async fn whoever_still_sees_it_does_what_the_one_that_leaves_cannot() {
    let (mut a, b, number) = both().await;
    a.apps.clear();
    alice_says(&a, number, "/kubemend recreate");
    a.clean().await;
    b.clean().await;
    assert_eq!(answers(&a, number), Vec::<String>::new());
    often(&a).await;
    assert_eq!(listed(&a, number), ["b"]);
    b.clean().await;
    assert_eq!(answers(&a, number).len(), 1);
    assert!(content(&a, number).contains("2Gi"));
    b.clean().await;
    quiet(&[&a, &b]).await;
    assert_eq!(answers(&a, number).len(), 1);
}

/// The same where people work on it: only the list changes.
#[tokio::test]
async fn one_that_sees_it_no_more_leaves_what_people_work_on_to_the_others() {
    let (mut a, mut b, number) = both().await;
    let alice = a.github.human("alice");
    alice.push(&a.branch_of(number), &[("apps/cart.yaml", "memory: 3Gi\n")]);
    a.clean().await;
    b.clean().await;
    quiet(&[&a, &b]).await;
    a.apps.clear();
    alice_says(&a, number, "/kubemend recreate");
    a.clean().await;
    b.clean().await;
    assert_eq!(answers(&a, number), Vec::<String>::new());
    often(&a).await;
    assert_eq!(listed(&a, number), ["b"]);
    assert!(content(&a, number).contains("3Gi"));
    b.clean().await;
    assert_eq!(answers(&a, number).len(), 1);
    assert!(content(&a, number).contains("2Gi"));
    b.clean().await;
    quiet(&[&a, &b]).await;

    // and nobody closes it when none is left
    alice.push(&a.branch_of(number), &[("apps/cart.yaml", "memory: 3Gi\n")]);
    b.clean().await;
    b.apps.clear();
    often(&b).await;
    a.hours(48);
    quiet(&[&b, &a]).await;
    assert_eq!(a.open(), [number]);
    assert!(!a.github.item(number).pull.unwrap().draft);
}

/// The cluster that keeps it has another name now, and `c` sees nothing of it.
async fn renamed(people: impl Fn(&Stage, u64)) -> (Stage, Stage, u64) {
    let (a, _) = two().await;
    a.clean().await;
    let number = a.open()[0];
    people(&a, number);
    let c = Stage {
        apps: Vec::new(),
        ..a.beside("cluster c")
    };
    let again = a.beside("cluster a-eu");
    again.clean().await;
    c.clean().await;
    (again, c, number)
}

fn push(stage: &Stage, number: u64) {
    let alice = stage.github.human("alice");
    let branch = stage.branch_of(number);
    alice.push(&branch, &[("apps/cart.yaml", "memory: 3Gi\n")]);
}

fn freeze(stage: &Stage, number: u64) {
    push(stage, number);
    let alice = stage.github.human("alice");
    alice.label(number, "kubemend/stop-updating");
}

fn close(stage: &Stage, number: u64) {
    stage.github.human("alice").close(number);
}

async fn a_week(stages: &[&Stage]) {
    for _ in 0..8 {
        stages[0].hours(24);
        for stage in stages {
            stage.clean().await;
        }
    }
}

#[tokio::test]
async fn a_box_waits_a_week_at_most_for_one_that_is_gone() {
    for people in [push, freeze] {
        let (a, c, number) = renamed(people).await;
        a.github.human("alice").tick_box(number, "recreate");
        a.clean().await;
        assert!(a.github.item(number).body.contains("[x]"), "it waits");
        a_week(&[&c, &a]).await;
        assert!(content(&a, number).contains("512Mi"));
        assert!(!a.github.item(number).body.contains("[x]"));
        assert_eq!(a.marker(number).pending, Vec::<String>::new());
        quiet(&[&c, &a]).await;
    }
}

#[tokio::test]
async fn a_box_of_a_closed_one_waits_a_week_at_most() {
    let (a, c, number) = renamed(close).await;
    a.github.human("alice").tick_box(number, "recreate");
    a.clean().await;
    assert_eq!(a.open(), Vec::<u64>::new(), "it waits");
    a_week(&[&c, &a]).await;
    let [new] = a.open()[..] else {
        panic!("{:?}", a.open());
    };
    assert!(new != number && content(&a, new).contains("512Mi"));
    assert!(!a.github.item(number).body.contains("[x]"));
    assert_eq!(a.marker(number).pending, Vec::<String>::new());
    quiet(&[&c, &a]).await;
}

/// An object of the same name comes from another file: whatever is asked there is not for that cluster.
#[tokio::test]
async fn a_cluster_with_another_overlay_takes_no_box_away() {
    let (a, _) = two().await;
    a.clean().await;
    let number = a.open()[0];
    close(&a, number);
    a.clean().await;
    a.hours(8 * 24);
    a.github.human("alice").tick_box(number, "recreate");
    let elsewhere = App {
        file: "apps/pay.yaml".to_owned(),
        ..app("cart")
    };
    let other = Stage {
        apps: vec![elsewhere],
        ..a.beside(B)
    };
    other.clean().await;
    a.clean().await;
    let mends = |n: &&u64| content(&a, **n).contains("512Mi");
    assert_eq!(a.open().iter().filter(mends).count(), 1, "{:?}", a.open());
    assert_eq!(a.marker(number).pending, Vec::<String>::new());
}

#[tokio::test]
async fn two_that_take_a_box_over_at_the_same_time_do_it_once() {
    for people in [freeze, close] {
        let (a, _, number) = renamed(people).await;
        let b = a.beside(B);
        a.hours(8 * 24);
        a.github.human("alice").tick_box(number, "recreate");
        let check = |context: &str| {
            let [open] = a.open()[..] else {
                panic!("{context}: {:?}", a.open());
            };
            assert!(content(&a, open).contains("512Mi"), "{context}");
            assert!(!a.github.item(number).body.contains("[x]"), "{context}");
            assert_eq!(a.marker(number).pending, Vec::<String>::new(), "{context}");
        };
        assert!(raced(&a, &b, check).await > 12);
    }
}

/// Interrupted after it heard, and gone since.
#[tokio::test]
async fn what_one_that_is_gone_left_undone_is_done_after_a_week() {
    let (mut a, _) = two().await;
    a.clean().await;
    let number = a.open()[0];
    push(&a, number);
    a.github.human("alice").tick_box(number, "recreate");
    a.impatient = true;
    let commits = On::route("POST", "/repos/{owner}/{repo}/git/commits");
    a.github.fault(commits, Fault::status(500, "down"));
    assert!(a.pass().await.frozen.is_some());
    a.github.heal();
    assert_eq!(a.marker(number).pending.len(), 1);
    let again = a.beside("cluster a-eu");
    let again = Stage {
        impatient: false,
        ..again
    };
    a_week(&[&again]).await;
    assert!(content(&a, number).contains("512Mi"));
    assert_eq!(a.marker(number).pending, Vec::<String>::new());
    quiet(&[&again]).await;
}

#[tokio::test]
async fn one_that_was_interrupted_does_it_later_and_nobody_calls_it_done() {
    let (mut a, b, number) = both().await;
    let alice = a.github.human("alice");
    alice.push("main", &[("note.md", "moved on")]);
    let branch = a.branch_of(number);
    let head = a.github.branch(&branch);
    alice.tick_box(number, "rebase");
    a.impatient = true;
    let commits = On::route("POST", "/repos/{owner}/{repo}/git/commits");
    a.github.fault(commits, Fault::status(500, "down"));
    assert!(a.pass().await.frozen.is_some());
    a.github.heal();
    assert!(!a.github.item(number).body.contains("[x]"), "heard");
    assert_eq!(a.marker(number).pending.len(), 1);
    quiet(&[&b]).await;
    alice_says(&a, number, "/kubemend unignore");
    b.clean().await;
    assert_eq!(a.github.branch(&branch), head);
    a.clean().await;
    assert_ne!(a.github.branch(&branch), head, "made again");
    assert_eq!(a.marker(number).pending, Vec::<String>::new());
    quiet(&[&b, &a]).await;
}

#[tokio::test]
async fn one_that_people_closed_comes_back_with_the_fix_of_the_run_that_kept_it() {
    let (a, b, number) = both().await;
    a.github.human("alice").close(number);
    a.clean().await;
    b.clean().await;
    alice_says(&a, number, "/kubemend retry");
    quiet(&[&b]).await;
    a.clean().await;
    assert_eq!(answers(&a, number).len(), 1);
    let [new] = a.open()[..] else {
        panic!("{:?}", a.open());
    };
    assert!(content(&a, new).contains("512Mi"));
    b.clean().await;
    quiet(&[&a, &b]).await;
}

/// A pause holds for whoever reads it, even where the rest of the comment waits.
#[tokio::test]
async fn a_pause_does_not_wait_with_the_rest_of_its_comment() {
    let (a, mut b, number) = both().await;
    alice_says(&a, number, "/kubemend pause\n/kubemend rebase");
    b.apps.push(app("pay"));
    quiet(&[&b]).await;
}

#[tokio::test]
async fn two_that_hear_it_at_the_same_time_answer_once() {
    let (a, b, number) = both().await;
    let alice = a.github.human("alice");
    alice.push("main", &[("note.md", "moved on")]);
    let base = a.github.branch("main").unwrap();
    alice.comment(number, "/kubemend rebase");
    let state = a.github.world().state.clone();
    let check = |context: &str| {
        assert_eq!(answers(&a, number).len(), 1, "{context}");
        assert_eq!(a.marker(number).base, base, "{context}");
        assert_eq!(a.marker(number).pending, Vec::<String>::new(), "{context}");
        assert!(content(&a, number).contains("512Mi"), "{context}");
    };
    assert!(raced(&a, &b, check).await > 12);
    reset(&a, &state);
    assert!(raced(&b, &a, check).await > 5);
}
