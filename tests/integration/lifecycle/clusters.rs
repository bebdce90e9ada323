//! The same manifest fails in several clusters: one pull request that lists them, one verdict of all.
//! Each cluster is a process of its own on the same GitHub.

use std::sync::Arc;

use kubemend::cycle::Report;
use kubemend::forge::marker::ClosedBecause;
use kubemend::forge::reporters::cluster;
use kubemend::verify::machine::Facts;
use kubemend::verify::{Applied, Wait};

use super::trials::{ill, told, verdict, well};
use super::{App, Stage, app, stage};
use crate::lifecycle_faults::faults;
use crate::support::github::{Fault, Gate, Moment, On, State};

mod commands;
mod shared;
mod silent;
mod stuck;

const A: &str = "cluster a";
const B: &str = "cluster b";

/// Two clusters that see the same.
async fn two() -> (Stage, Stage) {
    let since = |time: &str| time.parse().ok();
    let mut a = stage(vec![App {
        failing_since: since("2026-11-24T11:00:00Z"),
        ..app("cart")
    }])
    .await;
    a.scope = A;
    a.objects = 3;
    let mut b = a.beside(B);
    b.objects = 1;
    b.apps[0].failing_since = since("2026-11-24T11:30:00Z");
    b.apps[0].evidence = "killed twice";
    (a, b)
}

fn waiting() -> Facts {
    Facts {
        applied: Applied::Waiting {
            why: Wait::ManualSync,
        },
        ..well()
    }
}

/// The clusters that a pull request lists.
fn listed(stage: &Stage, number: u64) -> Vec<String> {
    let reporters = stage.marker(number).reporters;
    let names = reporters.iter().filter_map(|r| cluster(&r.scope));
    names.map(str::to_owned).collect()
}

/// What a person reads of them.
fn shown(stage: &Stage, number: u64) -> String {
    let body = stage.github.item(number).body;
    let (_, list) = body.split_once("<!-- kubemend:clusters -->").unwrap();
    let (list, _) = list.split_once("<!-- kubemend:clusters-end -->").unwrap();
    list.trim().to_owned()
}

async fn quiet(stages: &[&Stage]) {
    for stage in stages {
        stage.idle().await;
    }
}

#[tokio::test]
async fn the_second_cluster_joins_the_pull_request_of_the_first() {
    let (a, b) = two().await;
    a.clean().await;
    let number = a.open()[0];
    assert_eq!(shown(&a, number), "", "one is not worth a list");
    let report = b.clean().await;
    assert_eq!(report.pulls[0].operation, "updated");
    quiet(&[&a, &b, &a, &b]).await;
    assert_eq!(a.all(), [number]);
    assert_eq!(listed(&a, number), ["a", "b"]);
    insta::assert_snapshot!(shown(&a, number), @r"
    ### Where it fails

    - cluster `a`, 3 objects, since 2026-11-24 11:00 UTC
    - cluster `b`, 1 object, since 2026-11-24 11:30 UTC

    This is the one pull request for all of them. It is closed when none reports the failure any more; one that says nothing for 7 days does not count.
    ");
    let body = a.github.item(number).body;
    assert!(body.contains("killed 5 times") && !body.contains("killed twice"));
}

/// What the first cluster sees changes: its text, and the list stays.
#[tokio::test]
async fn the_list_survives_a_new_text_and_a_new_commit() {
    let (mut a, b) = two().await;
    a.clean().await;
    let number = a.open()[0];
    b.clean().await;
    let list = shown(&a, number);
    a.apps[0].evidence = "killed 9 times";
    a.clean().await;
    assert!(a.github.item(number).body.contains("killed 9 times"));
    assert_eq!(shown(&a, number), list);
    a.apps[0].memory = "1Gi";
    a.clean().await;
    assert_eq!(listed(&a, number), ["a", "b"]);
    b.clean().await;
    assert!(shown(&a, number).contains("in another way there"));
    quiet(&[&a, &b]).await;
}

#[tokio::test]
async fn a_word_is_given_again_once_a_day() {
    let (a, b) = two().await;
    a.clean().await;
    b.clean().await;
    a.hours(23);
    quiet(&[&a, &b]).await;
    a.hours(2);
    for stage in [&a, &b] {
        a.github.forget();
        stage.clean().await;
        let edits = a
            .github
            .count("PATCH", "/repos/{owner}/{repo}/pulls/{pull_number}");
        assert_eq!(edits, 1, "{}", stage.scope);
    }
    quiet(&[&a, &b]).await;
}

async fn often(stage: &Stage) {
    for _ in 0..4 {
        stage.minutes(15);
        stage.clean().await;
    }
}

#[tokio::test]
async fn it_is_closed_when_no_cluster_reports_it_any_more() {
    let (mut a, mut b) = two().await;
    a.clean().await;
    let number = a.open()[0];
    b.clean().await;
    let cart = std::mem::take(&mut a.apps);
    often(&a).await;
    assert_eq!(listed(&a, number), ["b"]);
    assert_eq!(shown(&a, number), "");
    // it is the other one's now, text and all
    b.clean().await;
    assert!(a.github.item(number).body.contains("killed twice"));
    a.hours(48);
    quiet(&[&a, &b]).await;
    assert_eq!(a.open(), [number]);

    // back again, and gone in both
    a.apps = cart;
    a.clean().await;
    assert_eq!(listed(&a, number), ["b", "a"]);
    a.apps.clear();
    b.apps.clear();
    for _ in 0..3 {
        often(&b).await;
        often(&a).await;
    }
    assert!(a.github.item(number).pull.unwrap().draft, "looks resolved");
    a.hours(25);
    a.clean().await;
    b.clean().await;
    assert_eq!(a.open(), Vec::<u64>::new());
    assert_eq!(a.marker(number).closed, Some(ClosedBecause::Resolved));
    // closed by kubemend: it comes back with the failure
    b.apps = vec![app("cart")];
    b.clean().await;
    assert_eq!(a.open().len(), 1);
}

#[tokio::test]
async fn a_silent_cluster_counts_for_a_week() {
    let (mut a, b) = two().await;
    a.clean().await;
    let number = a.open()[0];
    b.clean().await;
    a.apps.clear();
    often(&a).await;
    assert_eq!(listed(&a, number), ["b"], "it sees it no more");
    // b stays silent, and nobody else may close it
    for _ in 0..6 {
        a.hours(24);
        a.idle().await;
    }
    // c saw it along with b, and sees it no more
    let (mut a, b) = two().await;
    a.clean().await;
    let number = a.open()[0];
    b.clean().await;
    a.hours(8 * 24);
    a.clean().await; // its word of today; b gave none for a week
    a.apps.clear();
    often(&a).await;
    assert!(
        a.github.item(number).pull.unwrap().draft,
        "nobody else counts"
    );
    // and b is there again
    b.clean().await;
    assert!(!a.github.item(number).pull.unwrap().draft, "it fails there");
    assert!(listed(&a, number).contains(&"b".to_owned()));
    assert_eq!(a.open(), [number]);
}

#[tokio::test]
async fn a_cluster_that_wants_another_value_says_so_there() {
    let (a, mut b) = two().await;
    a.clean().await;
    let number = a.open()[0];
    b.apps[0].memory = "2Gi";
    b.clean().await;
    quiet(&[&a, &b, &a, &b]).await;
    assert_eq!(a.all(), [number]);
    assert_eq!(a.commits_made(), 0, "since then");
    assert!(
        a.github
            .file(&a.branch_of(number), "apps/cart.yaml")
            .unwrap()
            .contains("512Mi")
    );
    insta::assert_snapshot!(shown(&a, number), @r"
    ### Where it fails

    - cluster `a`, 3 objects, since 2026-11-24 11:00 UTC
    - cluster `b`, 1 object, since 2026-11-24 11:30 UTC. **It would be mended in another way there**: Raise the memory of cart. There is one pull request for one place, so this is not proposed.

    This is the one pull request for all of them. It is closed when none reports the failure any more; one that says nothing for 7 days does not count.
    ");
    b.apps[0].memory = "512Mi";
    b.clean().await;
    assert!(!shown(&a, number).contains("in another way"));
    quiet(&[&a, &b]).await;
}

/// Rows 5, 7, 8 and 68.
#[tokio::test]
async fn what_a_person_says_holds_for_every_cluster() {
    let (a, b) = two().await;
    a.clean().await;
    let number = a.open()[0];
    let alice = a.github.human("alice");
    alice.label(number, "kubemend/stop-updating");
    quiet(&[&b, &a]).await;
    alice.unlabel(number, "kubemend/stop-updating");
    b.clean().await;
    alice.close(number);
    a.hours(24 * 30);
    b.clean().await;
    a.clean().await;
    quiet(&[&a, &b]).await;
    assert_eq!(a.all(), [number], "closed means no, in b too");

    let (a, b) = two().await;
    a.clean().await;
    let number = a.open()[0];
    let alice = a.github.human("alice");
    alice.push(&a.branch_of(number), &[("apps/cart.yaml", "name: cart\n")]);
    b.clean().await;
    assert_eq!(listed(&a, number), ["a", "b"], "the list goes on");
    a.clean().await;
    quiet(&[&a, &b]).await;
    let branch = a.github.file(&a.branch_of(number), "apps/cart.yaml");
    assert_eq!(branch.unwrap(), "name: cart\n");
}

/// Whoever may edit a body cannot put a cluster on the list.
#[tokio::test]
async fn a_list_that_was_written_by_hand_counts_for_nothing() {
    let (mut a, b) = two().await;
    a.clean().await;
    let number = a.open()[0];
    b.clean().await;
    let signed = a.github.item(number).body;
    let forged = kubemend::forge::marker::Marker {
        reporters: vec![],
        ..a.marker(number)
    };
    let forged = kubemend::forge::marker::write(&forged, None);
    let text = kubemend::forge::marker::strip(&signed);
    let alice = a.github.human("alice");
    alice.edit_body(number, &format!("{text}\n{forged}"));
    a.apps.clear();
    a.clean().await;
    assert_eq!(a.open(), [number]);
    // the cluster that sees it is on the list again
    b.clean().await;
    assert_eq!(listed(&a, number).last().unwrap(), "b");
    often(&a).await;
    assert!(!a.github.item(number).pull.unwrap().draft);
    assert_eq!(listed(&a, number), ["b"]);
    // text alone is shown as it should be with the next write
    let body = a.github.item(number).body.replace("`b`", "`c`");
    alice.edit_body(number, &body);
    assert_eq!(listed(&a, number), ["b"]);
}

/// One of them keeps the dashboard, as long as it lives.
#[tokio::test]
async fn the_dashboard_is_not_written_in_turns() {
    let (mut a, mut b) = two().await;
    a.rules.dashboard = true;
    b.rules.dashboard = true;
    a.clean().await;
    b.clean().await;
    quiet(&[&a, &b, &a, &b]).await;
    let text = || {
        let mut issues = a.github.issues().into_iter();
        let dashboard = issues.find(|i| i.title == "kubemend dashboard");
        dashboard.unwrap().body
    };
    assert!(text().contains("Findings are those of cluster `a`."));
    a.hours(11);
    b.idle().await;
    a.hours(2);
    b.clean().await;
    assert!(text().contains("Findings are those of cluster `b`."));
    quiet(&[&a, &b]).await;
}

// ---- two at the same time

/// A pass of `one`, with a whole pass of `other` before its `at`th request. `None`: it has fewer.
async fn interleaved(one: &Stage, other: &Stage, at: usize) -> Option<(Report, Report)> {
    let gate = Arc::new(Gate::default());
    let hold = Fault::Hold(Arc::clone(&gate));
    one.github.fault(On::all().nth(at), hold);
    let between = async {
        gate.reached.notified().await;
        let report = other.pass().await;
        gate.open.notify_one();
        report
    };
    let first = one.pass();
    tokio::pin!(first, between);
    let end = tokio::select! {
        done = &mut first => {
            assert_eq!(done.frozen, None);
            None
        }
        second = &mut between => Some((first.await, second)),
    };
    one.github.heal();
    end
}

fn reset(stage: &Stage, state: &State) {
    let mut world = stage.github.world();
    world.state = state.clone();
    world.limits.used = 0;
    world.faults.clear();
}

/// Runs `one` with `other` at each of its requests, from the same state; afterwards both come to rest,
/// and `check` looks at what they made.
async fn raced(one: &Stage, other: &Stage, check: impl Fn(&str)) -> usize {
    let state = one.github.world().state.clone();
    let mut at = 1;
    loop {
        reset(one, &state);
        let Some((first, second)) = interleaved(one, other, at).await else {
            return at - 1;
        };
        let context = format!("{} in between at {at}", other.scope);
        assert_eq!((first.frozen, second.frozen), (None, None), "{context}");
        for _ in 0..3 {
            one.clean().await;
            other.clean().await;
        }
        quiet(&[one, other]).await;
        check(&context);
        at += 1;
    }
}

#[tokio::test]
async fn two_that_open_at_the_same_time_make_one_pull_request() {
    let (a, b) = two().await;
    let requests = raced(&a, &b, |context| {
        assert_eq!(a.all().len(), 1, "{context}");
        let mut listed = listed(&a, a.open()[0]);
        listed.sort();
        assert_eq!(listed, ["a", "b"], "{context}");
    })
    .await;
    assert!(requests > 15, "{requests}");
}

#[tokio::test]
async fn two_that_write_at_the_same_time_lose_nothing() {
    // a third one joins while the first one writes a new text and a new commit
    let (mut a, b) = two().await;
    a.clean().await;
    b.clean().await;
    let c = a.beside("cluster c");
    a.apps[0].memory = "1Gi";
    let number = a.open()[0];
    let there = |context: &str| {
        let mut listed = listed(&a, number);
        listed.sort();
        assert_eq!(listed, ["a", "b", "c"], "{context}");
        let branch = a.github.file(&a.branch_of(number), "apps/cart.yaml");
        assert!(branch.unwrap().contains("1Gi"), "{context}");
        assert!(
            shown(&a, number).contains("cluster `c`, 3 objects"),
            "{context}"
        );
    };
    let state = a.github.world().state.clone();
    assert!(raced(&a, &c, there).await > 10);
    reset(&a, &state);
    assert!(raced(&c, &a, there).await > 8);
}

#[tokio::test]
async fn two_that_leave_at_the_same_time_leave_one_behind() {
    let (mut a, mut b) = two().await;
    a.clean().await;
    b.clean().await;
    a.apps.clear();
    b.apps.clear();
    for _ in 0..2 {
        a.minutes(16);
        a.clean().await;
        b.clean().await;
    }
    a.minutes(16);
    let number = a.open()[0];
    assert_eq!(listed(&a, number), ["a", "b"], "both are about to leave");
    let requests = raced(&a, &b, |context| {
        assert_eq!(listed(&a, number).len(), 1, "{context}");
        assert_eq!(a.open(), [number], "{context}");
    })
    .await;
    assert!(requests > 8, "{requests}");
}

/// Closed by kubemend, however close the other one came: it is never taken for a no of a person.
#[tokio::test]
async fn one_that_closes_while_another_one_joins_says_no_to_nobody() {
    let (mut a, b) = two().await;
    a.clean().await;
    a.apps.clear();
    often(&a).await;
    a.hours(25);
    let number = a.open()[0];
    let check = |context: &str| {
        let open = a.open();
        assert_eq!(open.len(), 1, "{context}");
        assert_eq!(listed(&a, open[0]).last().unwrap(), "b", "{context}");
        let is_ours = open[0] == number || a.marker(number).closed.is_some();
        assert!(is_ours, "{context}");
    };
    let state = a.github.world().state.clone();
    assert!(raced(&a, &b, check).await > 8);
    reset(&a, &state);
    assert!(raced(&b, &a, check).await > 8);
}

#[tokio::test]
async fn joining_survives_every_fault_and_kill_at_every_request() {
    let (a, mut b) = two().await;
    a.clean().await;
    let number = a.open()[0];
    let state = a.github.world().state.clone();
    b.impatient = true;
    a.github.forget();
    b.clean().await;
    let requests = a.github.journal().len();
    let converges = async |context: &str| {
        a.github.world().faults.revive();
        a.github.heal();
        for _ in 0..2 {
            b.clean().await;
            a.clean().await;
        }
        assert_eq!(a.all(), [number], "{context}");
        assert_eq!(listed(&a, number), ["a", "b"], "{context}");
        quiet(&[&a, &b]).await;
    };
    for at in 1..=requests {
        for (name, fault) in faults() {
            reset(&a, &state);
            a.github.fault(On::all().nth(at), fault(a.github.now()));
            b.pass().await;
            converges(&format!("{name} at {at} of {requests}")).await;
        }
        for moment in [Moment::Before, Moment::After] {
            reset(&a, &state);
            let told = a.github.world().faults.kill_at(at, moment);
            tokio::select! {
                _ = b.pass() => {}
                () = told.notified() => {}
            }
            converges(&format!("killed {moment:?} {at} of {requests}")).await;
        }
    }
}

// ---- after the merge

/// A merged fix that both list, and what each sees now.
async fn merged(in_a: Facts, in_b: Facts) -> (Stage, Stage, u64) {
    let (mut a, mut b) = two().await;
    a.facts = Some(in_a);
    b.facts = Some(in_b);
    a.clean().await;
    b.clean().await;
    let number = a.open()[0];
    a.github.human("alice").merge(number, "squash");
    (a, b, number)
}

fn seen(stage: &Stage, number: u64) -> String {
    let told = told(stage, number);
    assert_eq!(told.len(), 1, "{told:#?}");
    told[0].clone()
}

/// The merge commit has another name in each run of the test.
fn without_commit(text: &str) -> String {
    let (before, rest) = text.split_once("Merged as `").unwrap();
    let (_, after) = rest.split_once('`').unwrap();
    format!("{before}Merged as `COMMIT`{after}")
}

async fn minutes_pass(stages: &[&Stage], times: usize) {
    for _ in 0..times {
        for stage in stages {
            stage.clean().await;
        }
        stages[0].minutes(9);
    }
}

#[tokio::test]
async fn it_is_verified_when_each_cluster_found_it_well() {
    let (a, mut b, number) = merged(well(), waiting()).await;
    minutes_pass(&[&a, &b], 4).await;
    assert_eq!(verdict(&a, number), Vec::<String>::new(), "b still waits");
    let after_a = seen(&a, number);
    assert!(
        after_a.starts_with("**Merged**, and verified in 1 of 2 clusters."),
        "{after_a}"
    );
    quiet(&[&a, &b, &a]).await;
    b.facts = Some(well());
    minutes_pass(&[&b, &a], 4).await;
    assert_eq!(verdict(&a, number), ["verified"]);
    insta::assert_snapshot!(without_commit(&seen(&a, number)), @r"
    **Verified** in all 2 clusters. This change is applied, what failed is gone, and it stayed so for 5m.

    Merged as `COMMIT`.

    | cluster | where it stands | what it saw last |
    |---|---|---|
    | `a` | Applied, and the workload is well | Applied: as the test says |
    | `b` | Applied, and the workload is well | Applied: as the test says |

    These are facts of the cluster at the last look; no model judges them.
    ");
    quiet(&[&a, &b]).await;
    assert_eq!(a.open(), Vec::<u64>::new());
}

/// One cluster is enough, and one revert.
#[tokio::test]
async fn a_regression_in_any_cluster_is_taken_back_once() {
    let (a, b, number) = merged(well(), ill()).await;
    minutes_pass(&[&a, &b], 3).await;
    let [revert] = a.open()[..] else {
        panic!("{:?}", a.open());
    };
    assert_eq!(verdict(&a, number), ["regressed"]);
    let said = seen(&a, number);
    assert!(said.contains("cluster b: pod cart-1 crashes"), "{said}");
    assert!(said.contains(&format!("#{revert} takes it back")), "{said}");
    quiet(&[&a, &b, &a]).await;
    // its revert is looked at by both, too
    a.github.human("alice").merge(revert, "merge");
    minutes_pass(&[&a, &b], 4).await;
    assert_eq!(verdict(&a, revert), ["regressed"]);
    assert!(seen(&a, revert).contains("never taken back"));
    assert_eq!(a.open(), Vec::<u64>::new());
    quiet(&[&a, &b]).await;
}

#[tokio::test]
async fn a_silent_cluster_gives_no_verdict_and_holds_nothing_up_elsewhere() {
    let (mut a, _b, number) = merged(well(), well()).await;
    minutes_pass(&[&a], 4).await;
    assert_eq!(verdict(&a, number), Vec::<String>::new());
    let said = seen(&a, number);
    assert!(said.contains("| `b` | Nothing heard yet |"), "{said}");
    quiet(&[&a]).await;
    // a new failure in the cluster that is through with it
    a.apps[0].memory = "1Gi";
    a.clean().await;
    assert_eq!(a.open().len(), 1);
}

#[tokio::test]
async fn two_that_look_at_the_same_time_give_one_verdict_and_one_revert() {
    for (in_b, end, reverts) in [(well(), "verified", 0), (ill(), "regressed", 1)] {
        let (a, b, number) = merged(well(), in_b).await;
        minutes_pass(&[&a, &b], 2).await;
        let state = a.github.world().state.clone();
        let check = |context: &str| {
            assert_eq!(verdict(&a, number), [end], "{context}");
            assert_eq!(a.open().len(), reverts, "{context}");
            let said = seen(&a, number);
            assert!(
                said.contains("| `a` | Applied") && said.contains("| `b` | Applied"),
                "{context}: {said}"
            );
        };
        assert!(raced(&a, &b, check).await > 12);
        reset(&a, &state);
        assert!(raced(&b, &a, check).await > 12);
    }
}

#[tokio::test]
async fn the_first_words_of_two_at_the_same_time_are_one_comment() {
    let (a, b, number) = merged(well(), well()).await;
    raced(&a, &b, |context| {
        let said = seen(&a, number);
        assert!(
            said.contains("| `a` | Applied") && said.contains("| `b` | Applied"),
            "{context}: {said}"
        );
    })
    .await;
}

/// Without a signature nobody takes anything back because of what stands in a comment.
#[tokio::test]
async fn without_a_key_each_cluster_believes_only_itself_about_a_regression() {
    let (mut a, mut b) = two().await;
    (a.key, b.key) = (None, None);
    a.facts = Some(well());
    b.facts = Some(ill());
    a.clean().await;
    b.clean().await;
    let number = a.open()[0];
    assert_eq!(listed(&a, number), ["a", "b"]);
    a.github.human("alice").merge(number, "squash");
    minutes_pass(&[&b], 2).await;
    // b is about to find it, and is killed before it takes it back
    let pulls = "/repos/{owner}/{repo}/pulls";
    a.github
        .fault(On::route("POST", pulls), Fault::status(500, "down"));
    b.impatient = true;
    b.pass().await;
    a.github.heal();
    minutes_pass(&[&a], 2).await;
    assert_eq!(a.open(), Vec::<u64>::new(), "a has only a hint");
    b.impatient = false;
    minutes_pass(&[&b], 3).await;
    assert_eq!(a.open().len(), 1);
}

// ---- proposed without a cluster

/// A merged fix that nobody saw fail, and two clusters.
async fn of_manifests() -> (Stage, Stage, u64) {
    let mut manifests = stage(vec![app("cart")]).await;
    manifests.records = true;
    manifests.clean().await;
    let number = manifests.open()[0];
    assert_eq!(manifests.marker(number).reporters[0].scope, "manifests");
    manifests.github.human("alice").merge(number, "squash");
    let (mut a, mut b) = (manifests.beside(A), manifests.beside(B));
    a.facts = Some(well());
    b.facts = Some(well());
    (a, b, number)
}

#[tokio::test]
async fn what_was_proposed_without_a_cluster_is_verified_where_it_is_applied() {
    let (a, mut b, number) = of_manifests().await;
    b.elsewhere = true;
    quiet(&[&b]).await;
    minutes_pass(&[&a, &b], 4).await;
    assert_eq!(verdict(&a, number), ["verified"]);
    insta::assert_snapshot!(without_commit(&seen(&a, number)), @r"
    **Verified** in this cluster. This change is applied, what failed is gone, and it stayed so for 5m.

    Merged as `COMMIT`.

    | cluster | where it stands | what it saw last |
    |---|---|---|
    | `a` | Applied, and the workload is well | Applied: as the test says |

    It was proposed without a cluster. Whoever applies it from this repository, by Argo CD or Flux, looks.

    These are facts of the cluster at the last look; no model judges them.
    ");
    quiet(&[&b, &a]).await;

    // it got no better: nobody knows how it was before, so nothing is taken back
    let (mut a, _, number) = of_manifests().await;
    a.facts = Some(ill());
    minutes_pass(&[&a], 4).await;
    assert_eq!(verdict(&a, number), ["inconclusive"]);
    assert_eq!(a.open(), Vec::<u64>::new());
}

#[tokio::test]
async fn where_nobody_or_more_than_one_applies_it_no_verdict_is_invented() {
    let (mut a, mut b, number) = of_manifests().await;
    (a.elsewhere, b.elsewhere) = (true, true);
    quiet(&[&a, &b]).await;
    assert_eq!(told(&a, number), Vec::<String>::new());

    let (a, b, number) = of_manifests().await;
    minutes_pass(&[&a, &b], 3).await;
    assert_eq!(verdict(&a, number), ["inconclusive"]);
    let said = seen(&a, number);
    assert!(
        said.contains("more than one applies it: cluster a, cluster b"),
        "{said}"
    );
    quiet(&[&a, &b]).await;
}
