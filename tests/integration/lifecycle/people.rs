//! Rows 5 to 8, 19, 68: what people do, and what kubemend leaves alone.

use super::*;

fn comments_with(stage: &Stage, number: u64, text: &str) -> usize {
    let all = stage.github.comments(number);
    all.iter().filter(|(_, body)| body.contains(text)).count()
}

/// Rows 5 and 19: a close is a no, told once, with the ways back; taking off the label is one.
#[tokio::test]
async fn closed_by_people_is_a_no_with_ways_back() {
    let mut stage = stage(vec![app("cart")]).await;
    stage.rules.cooldown_after_close = jiff::SignedDuration::ZERO;
    stage.clean().await;
    let number = stage.open()[0];
    stage.github.human("alice").close(number);
    stage.clean().await;
    assert_eq!(stage.all(), [number]);
    assert_eq!(comments_with(&stage, number, "Closed by `alice`"), 1);
    assert_eq!(stage.labels(number), ["kubemend", "kubemend/ignored"]);
    for _ in 0..3 {
        stage.hours(24 * 100);
        stage.clean().await;
        stage.idle().await;
    }
    assert_eq!(stage.all(), [number]);
    stage
        .github
        .human("bob")
        .unlabel(number, "kubemend/ignored");
    stage.clean().await;
    assert_eq!(stage.open().len(), 1);
    assert_eq!(stage.all().len(), 2);
    stage.idle().await;
}

/// Row 6: hundreds of pull requests that were closed later hide neither a no of people, nor that
/// kubemend itself closed one.
#[tokio::test]
async fn a_close_is_remembered_behind_six_hundred_later_ones() {
    for by_people in [true, false] {
        let mut stage = stage(vec![app("cart")]).await;
        stage.rules.cooldown_after_close = jiff::SignedDuration::ZERO;
        stage.clean().await;
        let number = stage.open()[0];
        match by_people {
            true => stage.github.human("alice").close(number),
            false => {
                let gone = std::mem::take(&mut stage.apps);
                for minutes in [1, 1, 31, 24 * 60] {
                    stage.clean().await;
                    stage.minutes(minutes);
                }
                stage.clean().await;
                stage.apps = gone;
            }
        }
        assert_eq!(stage.open(), [0; 0]);
        for n in 0..600 {
            let (branch, bob) = (format!("other-{n}"), stage.github.human("bob"));
            bob.push(&branch, &[("other.md", &n.to_string())]);
            bob.close(bob.open_pull(&branch, "main", "Other", ""));
        }
        stage.hours(24);
        stage.clean().await;
        assert_eq!(stage.open().len(), usize::from(!by_people));
        stage.idle().await;
    }
}

/// Row 5: the values in Git changed: it is another question.
#[tokio::test]
async fn other_values_in_git_are_another_question() {
    let mut stage = stage(vec![app("cart")]).await;
    stage.clean().await;
    let number = stage.open()[0];
    stage.github.human("alice").close(number);
    stage.clean().await;
    let text = "name: cart\nlabel: a\nlabel2: b\nmemory: 128Mi\n";
    stage
        .github
        .human("bob")
        .push("main", &[("apps/cart.yaml", text)]);
    stage.idle().await;
    assert_eq!(stage.all(), [number], "the cool-down");
    stage.hours(24 * 7);
    stage.rules.keep_branch_days = 30;
    stage.clean().await;
    assert_eq!(stage.open().len(), 1);
}

/// Row 7: a commit of a person: no push, one notice, not even a close when it looks healthy.
#[tokio::test]
async fn a_commit_of_a_person_means_hands_off() {
    let mut stage = stage(vec![app("cart")]).await;
    stage.clean().await;
    let number = stage.open()[0];
    let branch = stage.branch_of(number);
    let pushed = stage
        .github
        .human("bob")
        .push(&branch, &[("apps/cart.yaml", "memory: 3Gi\n")]);
    stage.apps[0].memory = "1Gi";
    stage.clean().await;
    stage.idle().await;
    assert_eq!(stage.github.branch(&branch), Some(pushed.clone()));
    assert_eq!(comments_with(&stage, number, "A person pushed"), 1);
    stage.apps.clear();
    for _ in 0..5 {
        stage.hours(12);
        stage.idle().await;
    }
    assert_eq!(stage.open(), [number]);
    assert_eq!(stage.github.branch(&branch), Some(pushed));
}

/// Row 7: a person's commit with our message, and one that pretends to be us, are people's.
#[tokio::test]
async fn a_commit_that_looks_like_ours_is_not_overwritten() {
    let mut stage = stage(vec![app("cart")]).await;
    stage.clean().await;
    let number = stage.open()[0];
    let branch = stage.branch_of(number);
    let message = stage.client().commits_of(number).await.unwrap()[0]
        .message
        .clone();
    let pushed = stage.github.human("bob").push_with(
        &branch,
        &[("apps/cart.yaml", "memory: 3Gi\n")],
        &message,
    );
    stage.apps[0].memory = "1Gi";
    stage.clean().await;
    assert_eq!(stage.github.branch(&branch), Some(pushed));
}

/// A branch with our name that somebody else made is not touched.
#[tokio::test]
async fn a_branch_of_somebody_else_is_not_taken() {
    let stage = stage(vec![app("cart")]).await;
    let probe = super::stage(vec![app("cart")]).await;
    probe.clean().await;
    let branch = probe.branch_of(probe.open()[0]);
    let base = stage.github.branch("main").unwrap();
    stage.github.human("bob").force(&branch, &base);
    let theirs = stage
        .github
        .human("bob")
        .push(&branch, &[("x.yaml", "x: 1\n")]);
    let report = stage.clean().await;
    assert!(
        report.notes.iter().any(|n| n.contains("commits of others")),
        "{:?}",
        report.notes
    );
    assert_eq!(stage.github.branch(&branch), Some(theirs));
    assert_eq!(stage.all(), [0; 0]);
    // and a pull request of theirs from it is left alone as well
    let number = stage
        .github
        .human("bob")
        .open_pull(&branch, "main", "mine", "");
    stage.clean().await;
    stage.idle().await;
    assert_eq!(stage.all(), [number]);
}

/// Row 8: frozen by label; another base chosen by a person.
#[tokio::test]
async fn frozen_and_retargeted_are_left() {
    let mut stage = stage(vec![app("cart"), app("pay")]).await;
    stage.clean().await;
    let (one, other) = (stage.open()[0], stage.open()[1]);
    let base = stage.github.branch("main").unwrap();
    stage.github.human("bob").force("release", &base);
    stage
        .github
        .human("alice")
        .label(one, "kubemend/stop-updating");
    stage.github.human("alice").retarget(other, "release");
    stage.apps.iter_mut().for_each(|a| a.memory = "1Gi");
    stage.clean().await;
    stage.idle().await;
    for number in [one, other] {
        let branch = stage.branch_of(number);
        let name = if branch.contains("cart") {
            "cart"
        } else {
            "pay"
        };
        let file = stage
            .github
            .file(&branch, &format!("apps/{name}.yaml"))
            .unwrap();
        assert!(file.contains("512Mi"), "{file}");
    }
    assert_eq!(comments_with(&stage, other, "base of this pull request"), 1);
    assert_eq!(stage.github.comments(one).len(), 0);
    // frozen ones are not closed either
    stage.apps.clear();
    for _ in 0..5 {
        stage.hours(24);
        stage.idle().await;
    }
    assert_eq!(stage.open(), [one, other]);
}

/// Row 68: a label on the dashboard stops everything within one pass.
#[tokio::test]
async fn a_label_on_the_dashboard_stops_everything() {
    let mut stage = stage(vec![app("cart")]).await;
    stage.rules.dashboard = true;
    stage.clean().await;
    let dashboard = stage.github.issues()[0].number;
    stage
        .github
        .human("alice")
        .label(dashboard, "kubemend/paused");
    stage.apps = vec![app("cart"), app("pay")];
    stage.apps[0].memory = "1Gi";
    stage.clean().await;
    stage.idle().await;
    assert_eq!(stage.all().len(), 1);
    let branch = stage.branch_of(stage.open()[0]);
    assert!(
        stage
            .github
            .file(&branch, "apps/cart.yaml")
            .unwrap()
            .contains("512Mi")
    );
    stage
        .github
        .human("alice")
        .unlabel(dashboard, "kubemend/paused");
    stage.clean().await;
    assert_eq!(stage.all().len(), 2);
}

/// A pull request whose body somebody edited a moment ago (a ticked box) is not written over.
#[tokio::test]
async fn labels_that_people_take_off_stay_off() {
    let mut stage = stage(vec![app("cart")]).await;
    stage.clean().await;
    let number = stage.open()[0];
    stage.github.human("alice").unlabel(number, "kubemend");
    stage.idle().await;
    stage.apps[0].evidence = "more";
    stage.clean().await;
    assert_eq!(stage.labels(number), [""; 0]);
}

/// Row 46: owners of the file are assigned, drafts and labels follow policy.
#[tokio::test]
async fn owners_drafts_and_labels_follow_the_rules() {
    let owned = seed().file("CODEOWNERS", "*.yaml @alice @bob @acme/team\n");
    let mut stage = stage_on(owned, vec![app("cart")]).await;
    stage.apps[0].draft = true;
    stage.rules.assign_code_owners = 1;
    stage.rules.labels = vec!["team/shop".to_owned()];
    stage.clean().await;
    let item = stage.github.item(stage.open()[0]);
    assert!(item.pull.unwrap().draft);
    assert_eq!(
        item.labels,
        ["kubemend", "kubemend/needs-confirmation", "team/shop"]
    );
    assert_eq!(item.assignees.len(), 1);
    stage.idle().await;
}

#[tokio::test]
async fn without_drafts_a_label_tells() {
    let mut stage = stage_on(seed().without_drafts(), vec![app("cart")]).await;
    stage.apps[0].draft = true;
    stage.clean().await;
    let item = stage.github.item(stage.open()[0]);
    assert!(!item.pull.unwrap().draft);
    assert_eq!(item.labels, ["kubemend", "kubemend/needs-confirmation"]);
    stage.idle().await;
}
