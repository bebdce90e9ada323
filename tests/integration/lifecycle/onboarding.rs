//! Row 60: a repository without configuration is asked first. Row 68: every switch of the
//! configuration.

use super::*;

const FILE: &str = ".github/kubemend.yaml";

#[tokio::test]
async fn a_new_repository_is_asked_once_and_nothing_else_is_written() {
    let mut stage = stage(vec![app("cart"), app("pay")]).await;
    stage.rules.dashboard = true;
    stage.apps[1].asks = true;
    let dry = stage.onboarding(true).await;
    assert_eq!(dry.frozen, None);
    stage.github.assert_no_writes();
    let asked = stage.onboarding(false).await;
    assert_eq!(asked.frozen, None);
    assert_eq!(stage.all().len(), 1, "{asked:?}");
    assert!(stage.github.issues().is_empty());
    let number = stage.open()[0];
    let branch = stage.branch_of(number);
    assert_eq!(branch, "kubemend/onboarding");
    let text = stage.github.file(&branch, FILE).unwrap();
    assert_eq!(text, kubemend::config::STARTER);
    insta::assert_snapshot!(stage.github.item(number).body);
    stage.github.forget();
    let again = stage.onboarding(false).await;
    assert_eq!(again.pulls[0].operation, "none");
    stage.github.assert_no_writes();
    // what would be done now is brought up to date
    stage.apps.push(app("mail"));
    stage.onboarding(false).await;
    assert!(stage.github.item(number).body.contains("memory of mail"));
    assert_eq!(stage.all(), [number]);
}

#[tokio::test]
async fn merged_means_yes_and_closed_means_no() {
    let yes = stage(vec![app("cart")]).await;
    yes.onboarding(false).await;
    yes.github.human("alice").merge(yes.open()[0], "merge");
    assert!(yes.github.file("main", FILE).is_some());
    yes.clean().await;
    assert_eq!(yes.open().len(), 1, "the fix");
    let no = stage(vec![app("cart")]).await;
    no.onboarding(false).await;
    let number = no.open()[0];
    no.github.human("alice").close(number);
    no.github.forget();
    for _ in 0..3 {
        no.hours(24 * 100);
        no.onboarding(false).await;
    }
    no.github.assert_no_writes();
    no.github.human("alice").reopen(number);
    assert_eq!(no.onboarding(false).await.pulls[0].number, number);
}

/// Killed after the branch, or a branch of somebody else: the first goes on, the second is left.
#[tokio::test]
async fn a_branch_that_is_there_is_used_only_when_it_is_ours() {
    let ours = stage(vec![app("cart")]).await;
    ours.onboarding(false).await;
    let number = ours.open()[0];
    // as after a kill: the branch is there, its pull request is not
    let kept = ours.github.branch("kubemend/onboarding").unwrap();
    let other = stage(vec![app("cart")]).await;
    other
        .github
        .human("alice")
        .push("kubemend/onboarding", &[(FILE, "version: 1\n")]);
    let report = other.onboarding(false).await;
    assert!(report.frozen.is_some(), "{report:?}");
    assert!(other.all().is_empty());
    assert_eq!(ours.onboarding(false).await.pulls[0].number, number);
    assert_eq!(ours.github.branch("kubemend/onboarding"), Some(kept));
}

/// Row 68: what is off by configuration, for the repository or for a namespace, stays as it is.
#[tokio::test]
async fn each_switch_of_the_configuration_stops_the_next_pass() {
    let switches: [fn(&mut Rules); 2] = [
        |r| r.enabled = false,
        |r| r.paused_namespaces = vec!["shop".to_owned()],
    ];
    for switch in switches {
        let mut stage = stage(vec![app("cart")]).await;
        stage.clean().await;
        let on = stage.rules.clone();
        switch(&mut stage.rules);
        stage.apps.push(app("pay"));
        stage.apps[0].memory = "1Gi";
        stage.idle().await;
        if !stage.rules.enabled {
            stage.onboarding(false).await;
            stage.github.assert_no_writes();
        }
        stage.rules = on;
        stage.clean().await;
        assert_eq!(stage.open().len(), 2);
    }
}
