//! Rows 1 to 4, 9, 11 to 14: opened, current, refreshed, replaced, merged, adopted, rebuilt.

use kubemend::forge::marker::ClosedBecause;

use super::*;
use crate::support::github::{Fault, On};

/// Rows 1 and 4: the same input twice is one branch, one pull request, and no further write.
#[tokio::test]
async fn the_same_input_twice_is_one_pull_request() {
    let stage = stage(vec![app("cart")]).await;
    let report = stage.clean().await;
    assert_eq!(report.pulls.len(), 1);
    assert_eq!(report.pulls[0].operation, "created");
    let number = report.pulls[0].number;
    assert_eq!(stage.open(), [number]);
    let branch = stage.branch_of(number);
    let file = stage.github.file(&branch, "apps/cart.yaml").unwrap();
    assert_eq!(file, "name: cart\nlabel: a\nlabel2: b\nmemory: 512Mi\n");
    let marker = stage.marker(number);
    assert_eq!(marker.head, stage.github.branch(&branch).unwrap());
    assert_eq!(marker.base, stage.github.branch("main").unwrap());
    assert_eq!(stage.labels(number), ["kubemend"]);
    let report = stage.idle().await;
    assert_eq!(report.pulls[0].operation, "none");
    assert_eq!((report.pulls[0].number, stage.commits_made()), (number, 0));
    stage.hours(48);
    stage.idle().await;
}

/// Row 2: three findings that write the same places are one pull request.
#[tokio::test]
async fn three_apps_that_share_an_overlay_are_one_pull_request() {
    let sharing = |name| App {
        file: "apps/cart.yaml".to_owned(),
        ..app(name)
    };
    let stage = stage(vec![sharing("cart"), sharing("pay"), sharing("mail")]).await;
    stage.clean().await;
    let number = stage.open()[0];
    assert_eq!(stage.open().len(), 1);
    let body = stage.github.item(number).body;
    assert!(body.contains("It also mends"), "{body}");
    assert_eq!(body.matches("needs memory").count(), 2, "{body}");
    stage.idle().await;
    assert_eq!(stage.all().len(), 1);
}

/// Row 12: a question's marker belongs to its issue; a copy in another question says nothing there,
/// be it of what the question says now or of what it said before it had a number.
#[tokio::test]
async fn a_marker_that_was_copied_into_another_question_counts_for_nothing() {
    let asking = |name| App {
        asks: true,
        ..app(name)
    };
    let stage = stage(vec![asking("cart"), asking("pay")]).await;
    stage.clean().await;
    let numbers: Vec<u64> = stage.github.issues().iter().map(|i| i.number).collect();
    let [first, second] = numbers[..] else {
        panic!("two questions: {numbers:?}")
    };
    let before = [first, second].map(|n| stage.github.item(n).body);
    let theirs = [first, second].map(|n| stage.marker(n));
    assert_eq!(theirs.each_ref().map(|m| m.issue), [first, second]);
    let unnamed = Marker {
        issue: 0,
        ..theirs[0].clone()
    };
    for copied in [&theirs[0], &unnamed] {
        let text = marker::strip(&before[1]);
        let copied = marker::write(copied, stage.key.as_ref());
        let alice = stage.github.human("alice");
        alice.edit_body(second, &format!("{text}\n\n{copied}"));
        stage.clean().await;
        let open = stage.github.issues().into_iter().filter(|i| i.open);
        let keys = open.map(|i| stage.marker(i.number).key);
        let keys: std::collections::BTreeSet<String> = keys.collect();
        assert!(theirs.iter().all(|m| keys.contains(&m.key)), "{keys:?}");
        let kept = stage.marker(first);
        assert_eq!((kept.issue, &kept.key), (first, &theirs[0].key));
        alice.edit_body(second, &before[1]);
    }
}

/// Row 12: a kill between the issue and its number is mended by the next pass.
#[tokio::test]
async fn a_question_that_does_not_know_its_number_learns_it() {
    let stage = stage(vec![App {
        asks: true,
        ..app("cart")
    }])
    .await;
    let edit = On::route("PATCH", "/repos/{owner}/{repo}/issues/{issue_number}");
    stage.github.fault(edit, Fault::status(403, "Not now"));
    stage.pass().await;
    stage.github.heal();
    let number = stage.github.issues()[0].number;
    assert_eq!(stage.marker(number).issue, 0);
    stage.clean().await;
    assert_eq!(stage.marker(number).issue, number);
    assert_eq!(stage.github.issues().len(), 1);
    stage.idle().await;
}

/// Row 21: a close of the one pull request is a no for everything that it mended, and each way back
/// is one for all.
#[tokio::test]
async fn what_shares_a_pull_request_is_closed_with_it() {
    let sharing = |name| App {
        file: "apps/cart.yaml".to_owned(),
        ..app(name)
    };
    let mut stage = stage(vec![sharing("cart"), sharing("pay"), sharing("mail")]).await;
    stage.rules.cooldown_after_close = jiff::SignedDuration::ZERO;
    stage.clean().await;
    let number = stage.open()[0];
    stage.github.human("alice").close(number);
    stage.clean().await;
    for names in [vec!["cart", "pay", "mail"], vec!["mail", "pay"]] {
        stage.apps = names.into_iter().map(sharing).collect();
        stage.hours(24 * 100);
        // the branch is collected
        stage.clean().await;
        stage.idle().await;
        assert_eq!(stage.all(), [number], "nothing of it comes alone");
    }
    stage
        .github
        .human("bob")
        .unlabel(number, "kubemend/ignored");
    stage.clean().await;
    assert_eq!(stage.open().len(), 1);
    assert_eq!(stage.all().len(), 2, "again one for all");
    stage.idle().await;
}

/// Row 3: new evidence edits the body; a new fix is one new commit in the same pull request.
#[tokio::test]
async fn what_changed_is_updated_in_place() {
    let mut stage = stage(vec![app("cart")]).await;
    stage.clean().await;
    let number = stage.open()[0];
    let head = stage.marker(number).head;
    stage.apps[0].evidence = "killed 9 times";
    let report = stage.clean().await;
    assert_eq!(report.pulls[0].operation, "updated");
    assert!(stage.github.item(number).body.contains("killed 9 times"));
    assert_eq!(stage.marker(number).head, head);
    stage.apps[0].memory = "1Gi";
    stage.clean().await;
    assert_eq!(stage.all(), [number]);
    let branch = stage.branch_of(number);
    let file = stage.github.file(&branch, "apps/cart.yaml").unwrap();
    assert!(file.contains("memory: 1Gi"));
    let commits = stage.client().commits_of(number).await.unwrap();
    assert_eq!(commits.len(), 1, "one commit on the base");
    assert_eq!(stage.marker(number).attempt, 2);
    stage.idle().await;
}

/// Row 8: approvals survive base moves; a conflict is the only reason to make the commit again.
#[tokio::test]
async fn only_a_conflict_is_a_reason_to_rebase() {
    let stage = stage(vec![app("cart")]).await;
    stage.clean().await;
    let number = stage.open()[0];
    let head = stage.marker(number).head;
    let bob = stage.github.human("bob");
    bob.push("main", &[("other.yaml", "x: 1\n")]);
    stage.clean().await;
    stage.idle().await;
    assert_eq!(stage.marker(number).head, head, "only behind");
    // the tests' GitHub merges whole files: this is a conflict
    bob.push(
        "main",
        &[(
            "apps/cart.yaml",
            "name: cart\nlabel: changed\nmemory: 256Mi\n",
        )],
    );
    stage.clean().await;
    stage.clean().await;
    assert_ne!(stage.marker(number).head, head);
    let branch = stage.branch_of(number);
    assert_eq!(
        stage.github.file(&branch, "apps/cart.yaml").unwrap(),
        "name: cart\nlabel: changed\nmemory: 512Mi\n"
    );
    assert_eq!(stage.all(), [number]);
    let head = stage.marker(number).head;
    stage.clean().await;
    stage.clean().await;
    assert_eq!(stage.marker(number).head, head);
}

/// Row 14: A, B, A: the third is not written, and is explained once.
#[tokio::test]
async fn an_oscillation_stops_at_two() {
    let mut stage = stage(vec![app("cart")]).await;
    stage.clean().await;
    let number = stage.open()[0];
    for memory in ["1Gi", "512Mi", "1Gi", "512Mi"] {
        stage.apps[0].memory = memory;
        stage.clean().await;
    }
    let branch = stage.branch_of(number);
    let file = stage.github.file(&branch, "apps/cart.yaml").unwrap();
    assert!(file.contains("memory: 1Gi"), "{file}");
    assert_eq!(stage.marker(number).attempt, 2);
    let comments = stage.github.comments(number);
    assert_eq!(comments.len(), 1, "{comments:?}");
    assert!(comments[0].1.contains("two states take turns"));
}

/// Row 9: the finding moved to another file: links both ways, the old one closed by us.
#[tokio::test]
async fn a_moved_finding_supersedes_its_pull_request() {
    let mut stage = stage(vec![app("cart")]).await;
    stage.clean().await;
    let old = stage.open()[0];
    stage.github.human("bob").push(
        "main",
        &[(
            "new/cart.yaml",
            "name: cart\nlabel: a\nlabel2: b\nmemory: 256Mi\n",
        )],
    );
    stage.apps[0].file = "new/cart.yaml".to_owned();
    stage.clean().await;
    let new = stage.open()[0];
    assert_eq!(stage.open(), [new]);
    assert_ne!(new, old);
    assert!(
        stage
            .github
            .item(new)
            .body
            .contains(&format!("replaces #{old}"))
    );
    assert!(stage.github.comments(old)[0].1.contains(&format!("#{new}")));
    assert_eq!(stage.marker(old).closed, Some(ClosedBecause::Superseded));
    stage.idle().await;
}

/// A workflow on a review checks out the merge of a pull request, and one that is run again an old
/// commit: what is read there is proposed for nothing, and counts as healthy for nothing.
#[tokio::test]
async fn another_commit_than_the_base_decides_nothing() {
    let mut stage = stage(vec![app("cart")]).await;
    let old = stage.github.branch("main").unwrap();
    let bob = stage.github.human("bob");
    let text = "name: pay\nlabel: unreviewed\nlabel2: b\nmemory: 256Mi\n";
    let feature = bob.push("feature", &[("apps/pay.yaml", text)]);
    bob.push("main", &[("README", "news")]);
    for read in [&feature, &old] {
        stage.reads = Some(read.clone());
        let report = stage.idle().await;
        assert_eq!(&report.stale.unwrap().read, read);
    }
    stage.reads = None;
    stage.clean().await;
    let open = stage.open();
    stage.apps.clear();
    stage.reads = Some(feature);
    for _ in 0..5 {
        stage.hours(24);
        stage.idle().await;
    }
    assert_eq!(stage.open(), open, "not healthy because of that");
}

/// Row 9: a merged pull request is not opened again, nor is what people took back; a problem that
/// returns with other values is.
#[tokio::test]
async fn merged_and_returned() {
    let mut stage = stage(vec![app("cart")]).await;
    stage.rules.cooldown_after_close = jiff::SignedDuration::ZERO;
    stage.clean().await;
    let first = stage.open()[0];
    let before = stage.github.branch("main").unwrap();
    stage.github.human("alice").merge(first, "squash");
    // a run that has not seen the merge yet
    stage.reads = Some(before);
    let stale = stage.idle().await.stale.unwrap();
    assert_eq!(stale.head, stage.github.branch("main").unwrap());
    stage.reads = None;
    stage.idle().await;
    assert_eq!(stage.open(), [0; 0], "Git is right now");
    // people take it back: never fight them
    let original = "name: cart\nlabel: a\nlabel2: b\nmemory: 256Mi\n";
    stage
        .github
        .human("bob")
        .push("main", &[("apps/cart.yaml", original)]);
    stage.idle().await;
    assert_eq!(stage.open(), [0; 0]);
    // it was not enough: other values, from the branch that nobody deleted
    let merged = original.replace("256Mi", "512Mi");
    stage
        .github
        .human("bob")
        .push("main", &[("apps/cart.yaml", &merged)]);
    stage.apps[0].memory = "2Gi";
    stage.clean().await;
    let second = stage.open()[0];
    assert_eq!(stage.branch_of(second), stage.branch_of(first));
    assert_eq!(stage.client().commits_of(second).await.unwrap().len(), 1);
    stage.idle().await;
}

/// Rows 6 and 9: healthy again: observed, a draft, a day of grace, closed by us; and the problem that
/// returns gets its pull request again.
#[tokio::test]
async fn resolved_slowly_and_back_again() {
    let mut stage = stage(vec![app("cart")]).await;
    stage.clean().await;
    let number = stage.open()[0];
    let cart = stage.apps.clone();
    stage.apps.clear();
    for _ in 0..2 {
        stage.clean().await;
        stage.minutes(1);
    }
    stage.clean().await;
    assert!(!stage.github.item(number).pull.unwrap().draft, "too soon");
    stage.minutes(30);
    stage.clean().await;
    assert!(stage.github.item(number).pull.unwrap().draft);
    assert!(
        stage.github.comments(number)[0]
            .1
            .contains("appears to be resolved")
    );
    stage.hours(23);
    stage.idle().await;
    // it fails again before the grace is over
    stage.apps = cart.clone();
    stage.clean().await;
    assert!(!stage.github.item(number).pull.unwrap().draft);
    stage.idle().await;
    stage.apps.clear();
    for minutes in [1, 1, 31] {
        stage.clean().await;
        stage.minutes(minutes);
    }
    stage.clean().await;
    stage.hours(24);
    stage.clean().await;
    assert_eq!(stage.open(), [0; 0]);
    assert_eq!(stage.marker(number).closed, Some(ClosedBecause::Resolved));
    stage.idle().await;
    let visible = stage.github.comments(number);
    assert!(visible.len() <= 2, "{visible:?}");
    stage.apps = cart;
    stage.clean().await;
    assert_eq!(stage.open().len(), 1);
    assert_ne!(stage.open()[0], number);
    stage.idle().await;
}

/// Row 10 in its own words: what a partial run or another scope does not report is not healthy.
#[tokio::test]
async fn a_partial_run_closes_nothing() {
    let mut stage = stage(vec![app("cart")]).await;
    stage.clean().await;
    stage.apps.clear();
    stage.complete = false;
    for _ in 0..5 {
        stage.idle().await;
        stage.hours(12);
    }
    stage.complete = true;
    stage.scope = "cluster west";
    for _ in 0..5 {
        stage.idle().await;
        stage.hours(12);
    }
    assert_eq!(stage.open().len(), 1);
}

/// Row 9: the branch of what is closed is kept for days, and never deleted when somebody moved it.
#[tokio::test]
async fn branches_are_collected_late() {
    let stage = stage(vec![app("cart"), app("pay")]).await;
    stage.clean().await;
    let (one, other) = (stage.open()[0], stage.open()[1]);
    for number in [one, other] {
        stage.github.human("alice").close(number);
    }
    stage.clean().await;
    let (kept, moved) = (stage.branch_of(one), stage.branch_of(other));
    stage
        .github
        .human("bob")
        .push(&moved, &[("x.yaml", "x: 1\n")]);
    stage.hours(24 * 7 - 1);
    stage.idle().await;
    assert!(stage.github.branch(&kept).is_some());
    stage.hours(1);
    stage.clean().await;
    assert_eq!(stage.github.branch(&kept), None);
    assert!(stage.github.branch(&moved).is_some());
    stage.idle().await;
}

/// Row 11: nothing but the forge is left, and the branch is there without its pull request.
#[tokio::test]
async fn what_is_there_is_adopted() {
    let stage = stage(vec![app("cart")]).await;
    stage.clean().await;
    let number = stage.open()[0];
    let head = stage.marker(number).head;
    stage.github.human("bob").edit_body(number, "all gone");
    stage.clean().await;
    assert_eq!(stage.all(), [number]);
    let marker = stage.marker(number);
    assert_eq!((marker.head, marker.key.len()), (head, 12));
    stage.idle().await;
}

/// Row 12: a signed marker that was changed, copied from elsewhere, or unsigned is not believed, and
/// is rebuilt from the branch and its commit.
#[tokio::test]
async fn tampered_state_is_rebuilt() {
    let stage = stage(vec![app("cart"), app("pay")]).await;
    stage.clean().await;
    let (one, other) = (stage.open()[0], stage.open()[1]);
    let good = stage.marker(one);
    let lie = Marker {
        closed: Some(ClosedBecause::Resolved),
        change: "0".repeat(12),
        ignored_until: Some(jiff::Timestamp::MAX),
        ..good.clone()
    };
    let bodies = [
        marker::write(&lie, None),
        marker::write(
            &lie,
            marker::key_from(&SecretString::from("wrong")).as_ref(),
        ),
        marker::write(&stage.marker(other), stage.key.as_ref()),
        format!(
            "{}{}",
            marker::write(&good, stage.key.as_ref()),
            marker::write(&lie, None)
        ),
        "<!-- kubemend:v9 xyz -->".to_owned(),
    ];
    for body in bodies {
        stage.github.human("bob").edit_body(one, &body);
        stage.clean().await;
        let now = stage.marker(one);
        assert_eq!(now.closed, None);
        assert_eq!(
            (now.key, now.change),
            (good.key.clone(), good.change.clone())
        );
        assert_eq!(now.head, good.head, "nothing was committed for it");
        stage.idle().await;
    }
    assert_eq!(stage.all().len(), 2);
}

/// Row 12: somebody may throw the marker away after a close; it is still a no.
#[tokio::test]
async fn a_close_stays_a_no_without_its_marker() {
    let stage = stage(vec![app("cart")]).await;
    stage.clean().await;
    let number = stage.open()[0];
    stage.github.human("alice").edit_body(number, "gone");
    stage.github.human("alice").close(number);
    stage.clean().await;
    stage.idle().await;
    assert_eq!(stage.all(), [number]);
}

/// Row 13: after a change of the prefix, old pull requests are found.
#[tokio::test]
async fn an_old_prefix_is_still_found() {
    let mut stage = stage(vec![app("cart")]).await;
    stage.clean().await;
    let number = stage.open()[0];
    stage.rules.branch_prefix = "fixes/".to_owned();
    stage.rules.prefix_old = vec!["kubemend/".to_owned()];
    stage.idle().await;
    stage.apps[0].memory = "1Gi";
    stage.clean().await;
    assert_eq!(stage.all(), [number]);
    assert_eq!(stage.marker(number).attempt, 2);
}

/// Without a key the state is a hint, and everything works the same (`GITHUB_TOKEN`).
#[tokio::test]
async fn a_workflow_without_a_key_lives_the_same_life() {
    let mut stage = stage(vec![app("cart"), app("pay")]).await;
    stage.key = None;
    stage.token = Some(crate::support::github::WORKFLOW_TOKEN);
    stage.clean().await;
    let (one, other) = (stage.open()[0], stage.open()[1]);
    assert!(stage.github.item(one).body.contains("GITHUB_TOKEN"));
    stage.idle().await;
    stage.apps[0].memory = "1Gi";
    stage.clean().await;
    stage.idle().await;
    stage.github.human("alice").close(other);
    stage.clean().await;
    stage.idle().await;
    stage.github.human("bob").edit_body(one, "gone");
    stage.clean().await;
    stage.idle().await;
    assert_eq!(stage.all(), [one, other]);
}

/// Row 39: one check on the head; only where Apps alone may write check runs, it is a status.
#[tokio::test]
async fn a_head_has_one_check_whoever_writes_it() {
    let checks = |stage: &Stage| {
        let world = stage.github.world();
        let repo = world.state.repo(stage.github.repo()).unwrap();
        (repo.check_runs.clone(), repo.statuses.clone())
    };
    for token in [None, Some(crate::support::github::WORKFLOW_TOKEN)] {
        let mut stage = stage(vec![app("cart")]).await;
        stage.token = token;
        let report = stage.clean().await;
        let complains = |note: &String| note.contains("the check of");
        assert!(!report.notes.iter().any(complains), "{:?}", report.notes);
        let head = stage.marker(stage.open()[0]).head;
        let (runs, statuses) = checks(&stage);
        let one = match token {
            None => &statuses,
            Some(_) => &runs,
        };
        assert_eq!((runs.len() + statuses.len(), one.len()), (1, 1));
        assert_eq!(one[0].sha, head);
        match token {
            None => assert_eq!(one[0].sent["state"], "success"),
            Some(_) => assert_eq!(one[0].sent["conclusion"], "success"),
        }
        stage.idle().await;
        // a new head, and a person has to decide now
        stage.apps[0].memory = "1Gi";
        stage.apps[0].draft = true;
        stage.clean().await;
        let head = stage.marker(stage.open()[0]).head;
        let (runs, statuses) = checks(&stage);
        let last = runs.last().or(statuses.last()).unwrap();
        assert_eq!((runs.len() + statuses.len(), &last.sha), (2, &head));
        if token.is_some() {
            assert_eq!(last.sent["conclusion"], "neutral");
        }
        stage.idle().await;
    }
}

/// Row 39: whoever may write neither gets the pull request and one note, and is not asked again.
#[tokio::test]
async fn a_check_that_is_not_allowed_stops_nothing() {
    let stage = stage(vec![app("cart")]).await;
    for route in ["check-runs", "statuses/{sha}"] {
        let on = On::route("POST", &format!("/repos/{{owner}}/{{repo}}/{route}"));
        let fault = Fault::status(403, "Resource not accessible by integration");
        stage.github.fault(on, fault);
    }
    let report = stage.clean().await;
    assert_eq!(stage.open().len(), 1);
    let complains = |note: &&String| note.contains("the check of");
    assert_eq!(report.notes.iter().filter(complains).count(), 1);
    assert!(stage.idle().await.notes.is_empty());
}
