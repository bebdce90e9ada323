//! Rows 15 to 18, 20, 21, 36: caps, clocks, order; questions; the dashboard; dry runs.

use super::*;

/// Row 15: a storm stays under the caps, and goes on when there is room.
#[tokio::test]
async fn a_storm_stays_under_the_caps() {
    let mut stage = stage(super::APPS.into_iter().map(app).collect()).await;
    stage.rules.max_open_per_namespace = 5;
    stage.clean().await;
    assert_eq!(stage.open().len(), 2, "two in an hour");
    stage.idle().await;
    stage.minutes(61);
    stage.clean().await;
    assert_eq!(stage.open().len(), 4);
    stage.minutes(61);
    stage.clean().await;
    assert_eq!(stage.open().len(), 5, "five open");
    stage.minutes(61);
    stage.idle().await;
    stage.github.human("alice").merge(stage.open()[0], "merge");
    stage.clean().await;
    assert_eq!(stage.all().len(), 6);
}

/// Row 17: the worst first.
#[tokio::test]
async fn the_worst_comes_first() {
    let mut stage = stage(super::APPS.into_iter().map(app).collect()).await;
    stage.apps[4].severity = Severity::Critical;
    stage.rules.max_prs_per_hour = 1;
    let report = stage.clean().await;
    assert!(
        report.pulls[0].branch.contains("auth"),
        "{:?}",
        report.pulls
    );
    assert_eq!(report.pulls.len(), 1);
}

/// Row 16.
#[tokio::test]
async fn what_fails_for_a_short_time_waits() {
    let mut stage = stage(vec![app("cart")]).await;
    stage.apps[0].failing_since = Some(stage.github.now());
    stage.minutes(9);
    stage.idle().await;
    stage.minutes(1);
    stage.clean().await;
    assert_eq!(stage.open().len(), 1);
}

/// Row 20: three closes in a row, and only the dashboard tells.
#[tokio::test]
async fn after_three_closes_in_a_row_only_the_dashboard_tells() {
    let mut stage = stage(super::APPS.into_iter().take(3).map(app).collect()).await;
    stage.rules.max_prs_per_hour = 9;
    stage.rules.max_open_per_namespace = 9;
    stage.clean().await;
    for number in stage.open() {
        stage.github.human("alice").close(number);
    }
    stage.apps.push(app("web"));
    stage.clean().await;
    assert_eq!(stage.all().len(), 3);
    stage.idle().await;
}

/// Questions: one issue, updated in place, closed when there is a pull request; a close by people
/// is an answer.
#[tokio::test]
async fn a_question_lives_until_it_is_answered() {
    let mut stage = stage(vec![app("cart")]).await;
    stage.apps[0].asks = true;
    let report = stage.clean().await;
    assert_eq!(report.questions.len(), 1);
    let number = report.questions[0].number;
    stage.idle().await;
    stage.apps[0].evidence = "killed 9 times";
    stage.clean().await;
    let issue = &stage.github.issues()[0];
    assert!(issue.body.contains("killed 9 times"));
    assert_eq!(issue.labels, ["kubemend/question"]);
    stage.apps[0].asks = false;
    stage.clean().await;
    let issue = stage.github.item(number);
    assert!(!issue.open);
    let pull = stage.open()[0];
    assert!(
        stage.github.comments(number)[0]
            .1
            .contains(&format!("#{pull}"))
    );
    stage.idle().await;
}

#[tokio::test]
async fn a_question_that_people_closed_is_not_asked_again() {
    let mut stage = stage(vec![app("cart")]).await;
    stage.apps[0].asks = true;
    stage.clean().await;
    let number = stage.github.issues()[0].number;
    stage.github.human("bob").close(number);
    for _ in 0..3 {
        stage.hours(24 * 30);
        stage.idle().await;
    }
    assert_eq!(stage.github.issues().len(), 1);
}

#[tokio::test]
async fn a_question_is_closed_when_its_cause_is_gone_and_opened_when_it_returns() {
    let mut stage = stage(vec![app("cart")]).await;
    stage.apps[0].asks = true;
    stage.clean().await;
    let number = stage.github.issues()[0].number;
    let cart = stage.apps.clone();
    stage.apps.clear();
    for minutes in [1, 1, 31, 1] {
        stage.clean().await;
        stage.minutes(minutes);
    }
    assert!(!stage.github.item(number).open);
    stage.idle().await;
    stage.apps = cart;
    stage.clean().await;
    assert!(stage.github.item(number).open);
    assert_eq!(stage.github.issues().len(), 1);
    stage.idle().await;
}

#[tokio::test]
async fn without_issues_there_are_pull_requests_all_the_same() {
    let mut stage = stage_on(seed().without_issues(), vec![app("cart"), app("pay")]).await;
    stage.rules.dashboard = true;
    stage.apps[1].asks = true;
    stage.clean().await;
    assert_eq!(stage.open().len(), 1);
    stage.idle().await;
}

/// Row 18: one dashboard, written when something changed or after six hours.
#[tokio::test]
async fn the_dashboard_is_written_when_it_says_something_new() {
    let mut stage = stage(vec![app("cart")]).await;
    stage.rules.dashboard = true;
    stage.clean().await;
    assert_eq!(stage.github.issues().len(), 1);
    let number = stage.github.issues()[0].number;
    stage.clean().await;
    stage.idle().await;
    stage.hours(5);
    stage.idle().await;
    stage.hours(2);
    stage.clean().await;
    assert_eq!(stage.github.writes().len(), 1, "the heartbeat");
    stage.idle().await;
    stage.apps.push(app("pay"));
    stage.clean().await;
    stage.clean().await;
    let body = stage.github.item(number).body;
    assert!(body.contains("Raise the memory of pay"), "{body}");
    assert_eq!(stage.github.issues().len(), 1);
    // who closes it does not want it
    stage.github.human("alice").close(number);
    stage.hours(7);
    stage.idle().await;
    assert_eq!(stage.github.issues().len(), 1);
}

/// Row 61: a dry run decides the same, and writes nothing.
#[tokio::test]
async fn a_dry_run_writes_nothing() {
    let mut stage = stage(vec![app("cart"), app("pay")]).await;
    stage.apps[1].asks = true;
    stage.rules.dashboard = true;
    let dry = stage.pass_with(true).await;
    stage.github.assert_no_writes();
    assert_eq!(dry.frozen, None);
    let wet = stage.clean().await;
    assert_eq!(dry.actions, wet.actions);
}
