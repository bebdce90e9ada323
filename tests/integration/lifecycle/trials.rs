//! After the merge: one comment follows the rollout, a verdict is given once, a regression is taken
//! back once. The cluster's facts are the test's.

use kubemend::cycle::RolledBack;
use kubemend::forge::marker::{self, What};
use kubemend::verify::machine::{Facts, Live, Symptom};
use kubemend::verify::rollout::Rollout;
use kubemend::verify::{Applied, Wait};

use super::{App, Stage, app, stage};
use crate::lifecycle_faults::faults;
use crate::support::github::{Fault, Moment, On, State};

pub(super) fn well() -> Facts {
    Facts {
        applied: Applied::Applied {
            at: None,
            revision: "r".to_owned(),
        },
        failed_is_ours: false,
        live: Live::Holds,
        rollout: Some(Rollout::Done),
        symptom: Symptom::Absent,
        newly_broken: Vec::new(),
        unclear: Vec::new(),
        lacks: None,
        restarts: 0,
        ready: 2,
        excuse: None,
        overtaken: false,
    }
}

pub(super) fn ill() -> Facts {
    Facts {
        rollout: Some(Rollout::Failing("pod cart-1 crashes".to_owned())),
        ..well()
    }
}

/// A merged fix of one app, and its number; nothing fails any more that the run could see.
pub(super) async fn merged(facts: Facts) -> (Stage, u64) {
    let mut stage = stage(vec![app("cart")]).await;
    stage.facts = Some(facts);
    stage.scope = "cluster test";
    stage.clean().await;
    let number = stage.open()[0];
    stage.github.human("alice").merge(number, "squash");
    (stage, number)
}

/// What a person sees about the rollout.
pub(super) fn told(stage: &Stage, number: u64) -> Vec<String> {
    let item = stage.github.item(number);
    let comments = item.comments.iter().filter(|c| !c.minimized);
    let ours = comments.filter(|c| c.body.contains("Merged as"));
    ours.map(|c| marker::strip(&c.body)).collect()
}

pub(super) fn verdict(stage: &Stage, number: u64) -> Vec<String> {
    let all = stage.marker(number).told;
    let verdicts = all.iter().filter_map(|t| t.strip_prefix("verdict:"));
    verdicts.map(str::to_owned).collect()
}

fn headline(stage: &Stage, number: u64) -> String {
    let told = told(stage, number);
    assert_eq!(told.len(), 1, "{told:#?}");
    told[0].lines().next().unwrap().to_owned()
}

#[tokio::test]
async fn what_stays_well_is_verified_once() {
    let (stage, number) = merged(well()).await;
    let report = stage.clean().await;
    assert!(report.trials.again.is_some(), "{report:#?}");
    assert!(headline(&stage, number).starts_with("**Applied and well**"));
    assert_eq!(verdict(&stage, number), Vec::<String>::new());
    let mut given = Vec::new();
    for _ in 0..3 {
        stage.minutes(2);
        given.extend(stage.clean().await.trials.given);
    }
    assert_eq!(given, ["verified"], "it is counted once");
    assert!(headline(&stage, number).starts_with("**Verified.**"));
    assert_eq!(verdict(&stage, number), ["verified"]);
    let statuses = "/repos/{owner}/{repo}/statuses/{sha}";
    let checks = stage.github.count("POST", statuses);
    assert_eq!(checks, 2, "its proposal, and its rollout");
    let report = stage.idle().await;
    assert_eq!(report.trials.again, None);
    assert_eq!(stage.open(), Vec::<u64>::new());
}

/// Row 48: the commit that is looked for is the one that the merge made, and it is the one that is
/// taken back. A queue merges first and tells its commit later.
#[tokio::test]
async fn the_merge_commit_is_known_however_it_was_merged() {
    for how in ["merge", "squash", "rebase", "queue"] {
        let mut stage = stage(vec![app("cart")]).await;
        stage.facts = Some(ill());
        stage.scope = "cluster test";
        let before = stage.github.file("main", "apps/cart.yaml").unwrap();
        stage.clean().await;
        let number = stage.open()[0];
        let bob = stage.github.human("bob");
        bob.push("main", &[("README", "before")]);
        let method = if how == "queue" { "merge" } else { how };
        let merge = stage.github.human("alice").merge(number, method);
        bob.push("main", &[("README", "after")]);
        let tells = |commit: Option<String>| {
            let repo = stage.github.repo().to_owned();
            let mut world = stage.github.world();
            world.state.pull_mut(&repo, number).unwrap().merge_commit = commit;
        };
        if how == "queue" {
            tells(None);
            stage.idle().await;
            tells(Some(merge.clone()));
        }
        stage.clean().await;
        let told = told(&stage, number);
        assert!(told[0].contains(&merge[..12]), "{how}: {merge}: {told:?}");
        regressed(&stage).await;
        let revert = stage.branch_of(stage.open()[0]);
        let back = stage.github.file(&revert, "apps/cart.yaml").unwrap();
        assert_eq!(back, before, "{how}");
        assert_eq!(stage.github.file(&revert, "README").unwrap(), "after");
    }
}

#[tokio::test]
async fn waiting_says_so_once_and_writes_nothing_more() {
    let (mut stage, number) = merged(Facts {
        applied: Applied::Waiting {
            why: Wait::ManualSync,
        },
        ..well()
    })
    .await;
    stage.clean().await;
    assert!(headline(&stage, number).starts_with("**Waiting**"));
    for _ in 0..20 {
        stage.hours(6);
        stage.idle().await;
    }
    stage.facts = Some(well());
    for _ in 0..4 {
        stage.clean().await;
        stage.minutes(3);
    }
    assert_eq!(verdict(&stage, number), ["verified"]);
}

/// People are told what to do now, and not what they did already.
#[tokio::test]
async fn another_wait_is_told_and_the_same_one_is_not_told_again() {
    let waits = |why| Facts {
        applied: Applied::Waiting { why },
        ..well()
    };
    let polled = |how: &str| {
        waits(Wait::NotPolled {
            how: how.to_owned(),
        })
    };
    let depends = |on: &str| waits(Wait::Dependency { on: on.to_owned() });
    let (mut stage, number) = merged(polled("it is in 9 minutes")).await;
    stage.clean().await;
    let said = headline(&stage, number);
    assert!(said.contains("was not asked since the merge"), "{said}");
    stage.facts = Some(polled("it is in 8 minutes"));
    stage.minutes(1);
    stage.idle().await;
    for on in ["flux-system/db", "flux-system/cache"] {
        stage.facts = Some(depends(on));
        stage.minutes(10);
        stage.clean().await;
        let said = headline(&stage, number);
        assert!(said.contains(on) && !said.contains("not asked"), "{said}");
        stage.hours(6);
        stage.idle().await;
    }
}

pub(super) async fn regressed(stage: &Stage) {
    for _ in 0..3 {
        stage.clean().await;
        stage.minutes(9);
    }
}

#[tokio::test]
async fn a_regression_is_taken_back_once_and_not_proposed_again() {
    let (mut stage, number) = merged(ill()).await;
    regressed(&stage).await;
    let [revert] = stage.open()[..] else {
        panic!("{:?}", stage.open());
    };
    assert!(headline(&stage, number).contains(&format!("#{revert} takes it back")));
    assert_eq!(verdict(&stage, number), ["regressed"]);
    assert_eq!(stage.marker(revert).what, What::Revert);
    let body = stage.github.item(revert).body;
    assert!(
        body.contains("the cluster got worse: pod cart-1 crashes"),
        "{body}"
    );
    stage.idle().await;

    // while it is open, nothing is built on what it takes back
    stage.apps = vec![App {
        memory: "1Gi",
        ..app("cart")
    }];
    stage.hours(3);
    stage.clean().await;
    assert_eq!(stage.open(), [revert]);

    // merged: the fix is not proposed again, and the revert is looked at, and never taken back
    stage.apps = vec![app("cart")];
    stage.github.human("alice").merge(revert, "merge");
    for _ in 0..4 {
        stage.clean().await;
        stage.minutes(9);
    }
    assert_eq!(stage.open(), Vec::<u64>::new());
    assert_eq!(verdict(&stage, revert), ["regressed"]);
    assert!(headline(&stage, revert).contains("never taken back"));
    stage.idle().await;
}

#[tokio::test]
async fn people_may_close_the_revert_or_switch_it_off() {
    let (stage, number) = merged(ill()).await;
    regressed(&stage).await;
    let revert = stage.open()[0];
    stage.github.human("alice").close(revert);
    stage.hours(1);
    stage.clean().await;
    assert_eq!(stage.open(), Vec::<u64>::new());
    stage.idle().await;

    let (mut stage, other) = merged(ill()).await;
    stage.rules.verify.revert = false;
    regressed(&stage).await;
    assert_eq!(stage.open(), Vec::<u64>::new());
    assert_eq!(verdict(&stage, other), ["regressed"]);
    assert!(headline(&stage, other).contains("/kubemend revert"));
    assert_eq!(verdict(&stage, number), ["regressed"]);
}

#[tokio::test]
async fn a_revert_that_cannot_be_made_is_told_and_not_tried_for_ever() {
    let (stage, number) = merged(ill()).await;
    let alice = stage.github.human("alice");
    let text = "name: cart\nlabel: a\nlabel2: b\nmemory: 256Mi\n";
    alice.push("main", &[("apps/cart.yaml", text)]);
    regressed(&stage).await;
    assert_eq!(stage.open(), Vec::<u64>::new());
    let said = headline(&stage, number);
    assert!(said.contains("its content is back already"), "{said}");
    assert_eq!(verdict(&stage, number), ["regressed"]);
    stage.idle().await;
}

#[tokio::test]
async fn nothing_else_is_proposed_while_a_fix_is_on_trial() {
    let (mut stage, number) = merged(well()).await;
    stage.apps = vec![App {
        memory: "1Gi",
        ..app("cart")
    }];
    stage.clean().await;
    assert_eq!(stage.open(), Vec::<u64>::new(), "on trial");
    for _ in 0..3 {
        stage.minutes(2);
        stage.clean().await;
    }
    assert_eq!(verdict(&stage, number), ["verified"]);
    stage.clean().await;
    assert_eq!(stage.open().len(), 1, "a new failure after the verdict");
}

#[tokio::test]
async fn a_pause_and_a_dry_run_write_nothing() {
    let (mut stage, number) = merged(well()).await;
    stage.github.forget();
    stage.pass_with(true).await;
    stage.github.assert_no_writes();
    stage.rules.verify.enabled = false;
    stage.idle().await;
    assert_eq!(told(&stage, number), Vec::<String>::new());
}

// ---- faults and kills

/// What counts in the end: open reverts, what people see, the verdict.
type End = (usize, Vec<String>, Vec<String>);

fn end(stage: &Stage, number: u64) -> End {
    (
        stage.open().len(),
        told(stage, number),
        verdict(stage, number),
    )
}

/// Right before the pass that finds the regression.
async fn before_the_verdict() -> (Stage, u64, State) {
    let (stage, number) = merged(ill()).await;
    for _ in 0..2 {
        stage.clean().await;
        stage.minutes(9);
    }
    let state = stage.github.world().state.clone();
    stage.github.forget();
    (stage, number, state)
}

fn reset(stage: &Stage, state: &State) {
    let mut world = stage.github.world();
    world.state = state.clone();
    world.limits.used = 0;
    world.faults.clear();
}

async fn converges(stage: &Stage, number: u64, expected: &End, context: &str) {
    stage.github.heal();
    for _ in 0..4 {
        assert!(stage.open().len() <= 1, "{context}: {:?}", stage.open());
        stage.clean().await;
    }
    assert_eq!(&end(stage, number), expected, "{context}");
    stage.idle().await;
}

#[tokio::test]
async fn a_verdict_survives_every_fault_at_every_request() {
    let (mut stage, number, state) = before_the_verdict().await;
    stage.clean().await;
    let requests = stage.github.journal().len();
    let expected = end(&stage, number);
    assert_eq!((expected.0, expected.2.len()), (1, 1), "{expected:#?}");
    stage.impatient = true;
    for at in 1..=requests {
        for (name, fault) in faults() {
            reset(&stage, &state);
            stage.github.forget();
            let now = stage.github.now();
            stage.github.fault(On::all().nth(at), fault(now));
            stage.pass().await;
            let asked = stage.github.journal().get(at - 1).map(|e| e.path.clone());
            // a 404 says that the file is not there: true for many, and nobody can tell it from a lie
            if name == "404" && asked.as_ref().is_some_and(|a| a.contains("/contents/")) {
                continue;
            }
            let context = format!("{name} at {at} of {requests}: {asked:?}");
            converges(&stage, number, &expected, &context).await;
        }
    }
}

#[tokio::test]
async fn a_verdict_survives_a_kill_at_every_request() {
    let (stage, number, state) = before_the_verdict().await;
    stage.clean().await;
    let requests = stage.github.journal().len();
    let expected = end(&stage, number);
    for at in 1..=requests {
        for moment in [Moment::Before, Moment::After] {
            reset(&stage, &state);
            let told = stage.github.world().faults.kill_at(at, moment);
            tokio::select! {
                _ = stage.pass() => {}
                () = told.notified() => {}
            }
            stage.github.world().faults.revive();
            let context = format!("killed {moment:?} {at} of {requests}");
            converges(&stage, number, &expected, &context).await;
        }
    }
}

// ---- by hand, from the command line

async fn roll_back(stage: &Stage, what: &str) -> RolledBack {
    stage.rolled_back(&what.parse().unwrap()).await
}

#[tokio::test]
async fn a_fix_is_rolled_back_by_number_fingerprint_or_object_and_once() {
    for what in ["number", "fingerprint", "deployment/shop/cart"] {
        let (stage, number) = merged(well()).await;
        let fingerprint = stage.marker(number).fingerprint;
        let what = match what {
            "number" => number.to_string(),
            "fingerprint" => fingerprint,
            object => object.to_owned(),
        };
        let RolledBack::Opened { fix, revert } = roll_back(&stage, &what).await else {
            panic!("{what}");
        };
        assert_eq!((fix, stage.open()), (number, vec![revert]));
        let again = roll_back(&stage, &what).await;
        assert_eq!(again, RolledBack::Opened { fix, revert }, "the same one");
        stage.github.human("alice").merge(revert, "squash");
        let RolledBack::Refused(why) = roll_back(&stage, &what).await else {
            panic!("twice");
        };
        assert!(why.contains("back already"), "{why}");
        assert_eq!(
            roll_back(&stage, "deployment/shop/mail").await,
            RolledBack::Nothing
        );
    }
}

// ---- what speaks against a verdict

#[tokio::test]
async fn a_baseline_that_is_old_at_the_merge_takes_nothing_back() {
    let mut stage = stage(vec![app("cart")]).await;
    stage.facts = Some(ill());
    stage.scope = "cluster test";
    stage.clean().await;
    let number = stage.open()[0];
    stage.hours(30);
    stage.github.human("alice").merge(number, "squash");
    regressed(&stage).await;
    assert_eq!(verdict(&stage, number), ["inconclusive"]);
    assert_eq!(stage.open(), Vec::<u64>::new());
}

/// A verdict blames the merge; what people added to it is theirs to take back.
#[tokio::test]
async fn what_people_pushed_to_a_fix_is_not_taken_back_without_their_word() {
    let mut stage = stage(vec![app("cart")]).await;
    stage.facts = Some(ill());
    stage.scope = "cluster test";
    let alice = stage.github.human("alice");
    alice.push("main", &[("apps/other.yaml", "kind: List")]);
    stage.clean().await;
    let number = stage.open()[0];
    let branch = stage.branch_of(number);
    alice.push(&branch, &[("apps/other.yaml", "kind: List # mine")]);
    alice.merge(number, "squash");
    regressed(&stage).await;
    assert_eq!(verdict(&stage, number), ["regressed"]);
    assert_eq!(stage.open(), Vec::<u64>::new());
    let told = told(&stage, number).join("\n");
    assert!(
        told.contains("people pushed to it before the merge"),
        "{told}"
    );
}

/// What people take back before anything was said of it is theirs: not a word.
#[tokio::test]
async fn a_fix_that_people_take_back_at_once_is_not_talked_about() {
    let taken_back = || Facts {
        overtaken: true,
        ..well()
    };
    let (stage, number) = merged(taken_back()).await;
    stage.clean().await;
    assert_eq!(told(&stage, number), Vec::<String>::new());
    assert_eq!(verdict(&stage, number), ["inconclusive"]);
    stage.idle().await;

    let (mut stage, number) = merged(well()).await;
    stage.clean().await;
    stage.facts = Some(taken_back());
    stage.clean().await;
    let said = headline(&stage, number);
    assert!(
        said.starts_with("**Ended**"),
        "what was begun is ended: {said}"
    );
}

/// Nobody looks for ever, and nobody is left without a word.
#[tokio::test]
async fn a_fix_that_waits_for_more_than_a_week_ends_with_a_word() {
    let waits = Facts {
        applied: Applied::Waiting {
            why: Wait::ManualSync,
        },
        ..well()
    };
    let (stage, number) = merged(waits).await;
    stage.clean().await;
    assert_eq!(verdict(&stage, number), Vec::<String>::new());
    stage.hours(7 * 24 + 1);
    stage.clean().await;
    assert_eq!(verdict(&stage, number), ["inconclusive"]);
    let said = headline(&stage, number);
    assert!(said.contains("a week after the merge"), "{said}");
}

/// What was said of another pull request, copied into our comment by somebody who may edit it.
#[tokio::test]
async fn a_memory_that_was_copied_from_another_rollout_counts_for_nothing() {
    let (stage, number) = merged(well()).await;
    for _ in 0..4 {
        stage.clean().await;
        stage.minutes(2);
    }
    assert_eq!(verdict(&stage, number), ["verified"]);
    let verified = stage.github.item(number).comments;
    let verified = verified.last().unwrap().body.clone();

    let mut stage = stage;
    stage.apps = vec![app("pay")];
    stage.facts = Some(ill());
    stage.clean().await;
    let other = stage.open()[0];
    stage.github.human("alice").merge(other, "squash");
    stage.clean().await;
    let comment = stage.github.item(other).comments.last().unwrap().id;
    stage.github.human("alice").edit_comment(comment, &verified);
    stage.clean().await;
    assert_eq!(verdict(&stage, other), Vec::<String>::new());
    assert!(headline(&stage, other).starts_with("**Applied, not well yet**"));
}

/// A conversation that is locked holds nothing else up.
#[tokio::test]
async fn a_comment_that_is_refused_holds_nothing_up() {
    let (mut stage, _) = merged(well()).await;
    stage.apps = vec![app("pay")];
    let comments = "/repos/{owner}/{repo}/issues/{issue_number}/comments";
    let locked = Fault::status(403, "Unable to create comment because issue is locked.");
    stage.github.fault(On::route("POST", comments), locked);
    let report = stage.pass().await;
    assert_eq!(report.frozen, None, "{report:#?}");
    assert_eq!(stage.open().len(), 1, "the other fix is proposed");
    assert!(
        report.notes.iter().any(|n| n.contains("the rollout of #")),
        "{:?}",
        report.notes
    );
}

#[tokio::test]
async fn a_revert_that_people_closed_does_not_come_back_after_a_kill() {
    let (stage, number, state) = before_the_verdict().await;
    stage.clean().await;
    let requests = stage.github.journal().len();
    for at in [requests - 2, requests - 1, requests] {
        reset(&stage, &state);
        let told = stage.github.world().faults.kill_at(at, Moment::Before);
        tokio::select! {
            _ = stage.pass() => {}
            () = told.notified() => {}
        }
        stage.github.world().faults.revive();
        stage.github.heal();
        for revert in stage.open() {
            stage.github.human("alice").close(revert);
        }
        for _ in 0..3 {
            stage.clean().await;
        }
        assert_eq!(stage.open(), Vec::<u64>::new(), "killed at {at}");
        assert_eq!(verdict(&stage, number), ["regressed"]);
    }
}

/// What started a revert, and how much is open, whether a pass touched it or not.
#[tokio::test]
async fn a_revert_is_counted_by_what_started_it_and_while_it_is_open() {
    let (stage, number) = merged(well()).await;
    stage.clean().await;
    let alice = stage.github.human("alice");
    alice.comment(number, "/kubemend revert");
    let report = stage.clean().await;
    assert_eq!(report.reverts().collect::<Vec<_>>(), ["command"]);
    assert_eq!(report.open.pulls, 1);
    let report = stage.clean().await;
    assert_eq!(report.open.pulls, 1, "nobody touched it: {report:#?}");
    alice.close(stage.open()[0]);
    assert_eq!(stage.clean().await.open.pulls, 0);

    let (stage, _) = merged(ill()).await;
    let mut started = Vec::new();
    for _ in 0..3 {
        started.extend(stage.clean().await.reverts());
        stage.minutes(9);
    }
    assert_eq!(started, ["regression"]);
}

#[tokio::test]
async fn what_a_run_used_is_counted_when_the_pass_ends_early() {
    let (mut stage, _) = merged(well()).await;
    stage.impatient = true;
    stage.calls = 3;
    stage.clean().await;
    stage.minutes(2);
    // the look is remembered in the comment, long after the run
    let comment = "/repos/{owner}/{repo}/issues/comments/{comment_id}";
    let outage = Fault::status(502, "Bad Gateway");
    stage.github.fault(On::route("PATCH", comment), outage);
    let report = stage.pass().await;
    assert!(report.frozen.is_some(), "{report:#?}");
    assert_eq!(report.tally.usage.calls, 3);
}
