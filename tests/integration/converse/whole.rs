//! The conversation in whole passes: what was said becomes what is on the forge.

use std::time::Duration;

use kubemend::cycle::Report;
use kubemend::forge::decide::{Action, Why};
use kubemend::forge::marker::{self, Marker};

use super::stage::{BROKEN, FILE, Stage, fingerprint, proposed};
use crate::support::github::{Fault, On};

const OPEN: &str = "kubemend/shop/web-open-aaaaaaaa";

/// Scorecard rows 41 and 44: a hint, a value, and the difference in the answer.
#[tokio::test]
async fn what_is_said_is_proposed() {
    let stage = Stage::whole().await;
    let before = stage.github.branch(OPEN).unwrap();
    stage
        .github
        .human("bob")
        .comment(stage.open, "/kubemend set limit.memory=512Mi");
    stage
        .github
        .human("bob")
        .line_comment(stage.open, FILE, 2, "say why");
    let report = stage.run_well().await;
    assert_eq!(report.answered, 2, "{:?}", report.notes);
    let text = stage.github.file(OPEN, FILE).unwrap();
    assert!(
        text.contains("memory: 512Mi\nname: web\n# say why\n"),
        "{text}"
    );
    assert_ne!(stage.github.branch(OPEN).unwrap(), before);
    let answers = stage.answers(stage.open).join("\n");
    assert!(
        answers.contains("was made again") && answers.contains("++# say why"),
        "{answers}"
    );
    let marker = stage.marker(stage.open);
    assert_eq!(
        (marker.set, marker.hints),
        (
            vec!["limit.memory=512Mi".to_owned()],
            vec!["say why".to_owned()]
        )
    );
    quiet(&stage).await;
    assert_eq!(stage.github.file(OPEN, FILE).unwrap(), text, "kept");
}

/// After at most one more pass (for the dashboard), nothing is written any more.
async fn quiet(stage: &Stage) {
    stage.run_well().await;
    stage.run_well().await;
    stage.github.forget();
    stage.run_well().await;
    stage.github.assert_no_writes();
}

#[tokio::test]
async fn a_question_is_answered_by_a_pull_request() {
    for by_box in [false, true] {
        let stage = Stage::whole().await;
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
        stage.run_well().await;
        let pull = stage.github.open_pulls().pop().unwrap();
        assert!(!stage.github.item(stage.question).open, "answered");
        if !by_box {
            let answer = stage.answers(stage.question).join("\n");
            assert!(
                answer.contains(&format!("See #{}", pull.number)),
                "{answer}"
            );
        }
        assert_eq!(
            stage.marker(pull.number).chosen,
            Some(2),
            "kept with the pull request"
        );
        quiet(&stage).await;
        assert_eq!(stage.github.open_pulls().len(), 2);
    }
}

/// A person chose, saw what came of it, and closed it: that no is newer than the answer.
#[tokio::test]
async fn a_pull_request_from_an_answer_stays_closed() {
    for way in ["retry", "label"] {
        let stage = Stage::whole().await;
        let bob = stage.github.human("bob");
        bob.comment(stage.question, "/kubemend choose 2");
        stage.run_well().await;
        let number = stage.github.open_pulls().pop().unwrap().number;
        stage.github.human("alice").close(number);
        let pulls = stage.github.pulls().len();
        for _ in 0..3 {
            stage.github.advance(Duration::from_secs(60));
            let report = stage.run_well().await;
            let left = Action::Leave {
                fingerprint: fingerprint("question"),
                why: Why::ClosedByHuman(number),
            };
            assert!(report.actions.contains(&left), "{:#?}", report.actions);
        }
        assert_eq!(stage.github.pulls().len(), pulls, "nothing is opened");
        assert!(!stage.github.item(stage.question).open, "nor asked again");
        let told = stage.github.comments(number);
        let told = told.iter().filter(|(_, b)| b.contains("Closed by `alice`"));
        assert_eq!(told.count(), 1);
        quiet(&stage).await;
        match way {
            "label" => {
                bob.unlabel(number, "kubemend/ignored");
                stage.run_well().await;
                assert!(stage.github.item(stage.question).open, "asked again");
                assert_eq!(stage.marker(stage.question).chosen, None, "from new");
                quiet(&stage).await;
                assert_eq!(stage.github.pulls().len(), pulls);
                stage.github.advance(Duration::from_secs(60));
                bob.comment(stage.question, "/kubemend choose 1");
            }
            _ => drop(bob.comment(number, "/kubemend retry")),
        }
        stage.run_well().await;
        assert_eq!(stage.github.open_pulls().len(), 2, "{way}");
        quiet(&stage).await;
        assert_eq!(stage.github.pulls().len(), pulls + 1, "{way}");
    }
}

/// A choice counts only for the options that were offered.
#[tokio::test]
async fn a_choice_names_its_options() {
    let stage = Stage::whole().await;
    stage
        .github
        .human("bob")
        .comment(stage.question, "/kubemend choose 1");
    stage.run_well().await;
    let offered = kubemend::forge::identity::options_key(["one", "two"]);
    assert_eq!(stage.marker(stage.question).chosen_of, offered);
}

/// A pass that offered other options was killed before its answer: the comment is heard again, and
/// its number means the options that its author saw.
#[tokio::test]
async fn a_choice_among_other_options_does_not_count() {
    let stage = Stage::whole().await;
    let offered = stage.marker(stage.question).offered;
    assert!(offered.is_some_and(|at| at <= stage.github.now()));
    let bob = stage.github.human("bob");
    bob.comment(stage.question, "/kubemend choose 2");
    stage.github.advance(Duration::from_secs(60));
    let changed = Marker {
        offered: Some(stage.github.now()),
        ..stage.marker(stage.question)
    };
    let body = marker::strip(&stage.github.item(stage.question).body);
    let hidden = marker::write(&changed, stage.key.as_ref());
    bob.edit_body(stage.question, &format!("{body}\n{hidden}"));
    stage.run_well().await;
    assert_eq!(stage.marker(stage.question).chosen, None);
    assert!(stage.github.item(stage.question).open);
    let answers = stage.answers(stage.question).join("\n");
    assert!(answers.contains("options were others"), "{answers}");
    stage.github.advance(Duration::from_secs(60));
    bob.comment(stage.question, "/kubemend choose 2");
    stage.run_well().await;
    assert!(!stage.github.item(stage.question).open, "answered");
}

/// Scorecard row 5: three ways back, in whole passes.
#[tokio::test]
async fn what_people_closed_comes_back_when_they_say_so() {
    for way in ["retry", "unignore", "recreate", "box", "label"] {
        let stage = Stage::whole().await;
        let bob = stage.github.human("bob");
        assert_eq!(stage.github.open_pulls().len(), 1);
        match way {
            "box" => bob.tick_box(
                stage.dashboard,
                &format!("kubemend:unignore={} ", stage.closed),
            ),
            "label" => bob.unlabel(stage.closed, "kubemend/ignored"),
            way => drop(bob.comment(stage.closed, &format!("/kubemend {way}"))),
        }
        stage.run_well().await;
        assert_eq!(stage.github.open_pulls().len(), 2, "{way}");
        if ["retry", "unignore", "recreate"].contains(&way) {
            let answer = stage.answers(stage.closed).pop().unwrap();
            let new = stage.github.open_pulls().pop().unwrap().number;
            assert!(answer.contains(&format!("See #{new}")), "{way}: {answer}");
        }
        quiet(&stage).await;
        assert_eq!(stage.github.open_pulls().len(), 2, "{way}");
    }
}

/// Nobody is told what became of a box: it is kept until it was carried out.
#[tokio::test]
async fn a_tick_is_kept_until_it_was_carried_out() {
    for what in ["no answer", "refused"] {
        let mut stage = Stage::whole().await;
        stage.github.human("bob").tick_box(
            stage.dashboard,
            &format!("kubemend:unignore={} ", stage.closed),
        );
        stage.silent = what == "no answer";
        if what == "refused" {
            let opening = On::route("POST", "/repos/{owner}/{repo}/pulls");
            stage
                .github
                .fault(opening, Fault::status(422, "Validation Failed"));
        }
        for _ in 0..2 {
            stage.run_well().await;
            assert_eq!(stage.github.open_pulls().len(), 1, "{what}");
            let pending = stage.marker(stage.closed).pending;
            assert!(!pending.is_empty(), "{what}");
        }
        stage.silent = false;
        stage.github.heal();
        stage.run_well().await;
        assert_eq!(stage.github.open_pulls().len(), 2, "{what}");
        assert_eq!(stage.marker(stage.closed).pending, [""; 0], "{what}");
        quiet(&stage).await;
    }
}

/// What is allowed while the problem is away may come back when the problem does.
#[tokio::test]
async fn a_hands_off_branch_is_made_again_when_asked() {
    let stage = Stage::whole().await;
    stage.github.human("bob").push(OPEN, &[(FILE, "mine: 1\n")]);
    stage
        .github
        .human("bob")
        .comment(stage.open, "/kubemend retry");
    stage.run_well().await;
    assert_eq!(stage.github.file(OPEN, FILE).unwrap(), "mine: 1\n");
    let answers = stage.answers(stage.open).join("\n");
    assert!(answers.contains("A person works on"), "{answers}");
    stage
        .github
        .human("bob")
        .comment(stage.open, "/kubemend recreate");
    stage.run_well().await;
    assert_eq!(stage.github.file(OPEN, FILE).unwrap(), proposed(None));
    quiet(&stage).await;
}

/// Scorecard row 68: paused at once, everywhere, and only until somebody resumes.
#[tokio::test]
async fn a_pause_stops_everything() {
    let stage = Stage::whole().await;
    stage
        .github
        .human("bob")
        .comment(stage.question, "/kubemend pause");
    stage.run_well().await;
    stage
        .github
        .human("bob")
        .comment(stage.closed, "/kubemend retry");
    stage.run_well().await;
    assert_eq!(stage.github.open_pulls().len(), 1);
    let body = stage.github.item(stage.dashboard).body;
    assert!(body.contains("Paused by `bob`"), "{body}");
    stage
        .github
        .human("bob")
        .tick_box(stage.dashboard, "kubemend:resume");
    stage.run_well().await;
    assert!(
        !stage
            .github
            .item(stage.dashboard)
            .body
            .contains("Paused by")
    );
    // by label, and resumed by command
    stage
        .github
        .human("bob")
        .label(stage.dashboard, "kubemend/paused");
    let report = stage.run_well().await;
    assert!(report.pulls.is_empty() || stage.github.open_pulls().len() == 1);
    stage
        .github
        .human("bob")
        .comment(stage.dashboard, "/kubemend resume");
    stage.run_well().await;
    assert!(
        !stage
            .labels(stage.dashboard)
            .contains(&"kubemend/paused".to_owned())
    );
    quiet(&stage).await;
}

/// Scorecard row 54, by hand: a merged fix is taken back, is not proposed again, and comes back
/// only when people allow it.
#[tokio::test]
async fn a_merged_fix_is_taken_back() {
    let path = "apps/web-merged.yaml";
    for how in ["same", "elsewhere"] {
        let stage = Stage::whole().await;
        if how == "elsewhere" {
            let text = format!("{}---\nkind: Other\n", proposed(None));
            stage.github.human("alice").push("main", &[(path, &text)]);
        }
        let id = stage
            .github
            .human("mia")
            .comment(stage.merged, "/kubemend revert");
        stage.run_well().await;
        assert_eq!(stage.reactions(id), ["eyes", "rocket"]);
        let pull = stage.github.open_pulls().pop().unwrap();
        let branch = "kubemend/revert/cccccccc";
        assert_eq!(pull.pull.as_ref().unwrap().head_ref, branch);
        let text = stage.github.file(branch, path).unwrap();
        match how {
            "same" => assert_eq!(text, BROKEN, "the same bytes"),
            _ => assert_eq!(text, format!("{BROKEN}---\nkind: Other\n")),
        }
        assert!(pull.labels.contains(&"kubemend/revert".to_owned()));
        let answer = stage.answers(stage.merged).pop().unwrap();
        assert!(
            answer.contains(&format!("#{} takes it back", pull.number)),
            "{answer}"
        );
        quiet(&stage).await;
        stage.github.human("alice").merge(pull.number, "squash");
        quiet(&stage).await;
        assert_eq!(stage.github.open_pulls().len(), 1, "not proposed again");
        stage
            .github
            .human("bob")
            .tick_box(stage.dashboard, "kubemend:approve=cccccccc3333");
        stage.run_well().await;
        assert_eq!(stage.github.open_pulls().len(), 2, "allowed again");
        quiet(&stage).await;
    }
}

/// A command that GitHub refuses to carry out is answered once: with what failed, and how to ask
/// again. Said again, it is done.
#[tokio::test]
async fn a_command_that_failed_is_told_with_its_reason() {
    let stage = Stage::whole().await;
    let bob = stage.github.human("bob");
    bob.push(OPEN, &[(FILE, "kind: Deployment\nmemory: 3Gi\n")]);
    let head = stage.github.branch(OPEN);
    let route = On::route("POST", "/repos/{owner}/{repo}/git/commits");
    let label = On::route("POST", "/repos/{owner}/{repo}/issues/{issue_number}/labels");
    stage
        .github
        .fault(route, Fault::status(422, "no such tree"));
    stage.github.fault(label, Fault::status(403, "no labels"));
    bob.comment(stage.open, "/kubemend recreate");
    stage.run_well().await;
    assert_eq!(stage.github.branch(OPEN), head);
    let answers = stage.answers(stage.open);
    let told: Vec<_> = answers
        .iter()
        .filter(|a| a.contains("recreate`:"))
        .collect();
    assert_eq!(told.len(), 1, "{answers:?}");
    assert!(
        told[0].contains("It did not succeed: bringing `#") && told[0].contains("no such tree"),
        "{told:?}"
    );
    assert!(told[0].contains("Say it again"), "{told:?}");
    assert!(!told[0].contains("no labels"), "about something else");
    stage.github.heal();
    stage.run_well().await;
    assert_eq!(
        stage.github.branch(OPEN),
        head,
        "asked for once, tried once"
    );
    bob.comment(stage.open, "/kubemend recreate");
    stage.run_well().await;
    assert_ne!(stage.github.branch(OPEN), head);
    quiet(&stage).await;
}

/// Somebody touches the pull request while the run computes: the command waits for the next run, and
/// is not answered before it is done.
#[tokio::test]
async fn a_command_waits_where_the_pull_request_changed_meanwhile() {
    let stage = Stage::whole().await;
    let bob = stage.github.human("bob");
    let theirs = bob.push(OPEN, &[(FILE, "kind: Deployment\nmemory: 3Gi\n")]);
    stage.run_well().await;
    let id = bob.comment(stage.open, "/kubemend recreate");
    let answers = stage.answers(stage.open).len();
    *stage.meanwhile.lock().unwrap() = Some(|stage| {
        stage.github.human("mia").label(stage.open, "team/shop");
    });
    stage.run_well().await;
    assert_eq!(stage.github.branch(OPEN), Some(theirs.clone()));
    assert_eq!(stage.answers(stage.open).len(), answers);
    assert_eq!(stage.reactions(id), ["eyes"]);
    stage.run_well().await;
    assert_ne!(stage.github.branch(OPEN), Some(theirs));
    let answer = stage.answers(stage.open).pop().unwrap();
    assert!(answer.contains("was made again"), "{answer}");
    assert_eq!(stage.reactions(id), ["eyes", "rocket"]);
    quiet(&stage).await;
    // a box, too, which nobody answers
    let theirs = bob.push(OPEN, &[(FILE, "kind: Deployment\nmemory: 3Gi\n")]);
    bob.tick_box(stage.open, "kubemend:recreate");
    *stage.meanwhile.lock().unwrap() = Some(|stage| {
        stage.github.human("mia").unlabel(stage.open, "team/shop");
    });
    stage.run_well().await;
    assert_eq!(stage.github.branch(OPEN), Some(theirs.clone()));
    stage.run_well().await;
    assert_ne!(stage.github.branch(OPEN), Some(theirs));
    quiet(&stage).await;
}

/// A box whose wish could not be stored stays ticked, though the text around it is written again.
#[tokio::test]
async fn a_box_that_could_not_be_stored_stays_ticked() {
    let stage = Stage::whole().await;
    let bob = stage.github.human("bob");
    bob.tick_box(stage.dashboard, "kubemend:unignore=");
    let route = On::route("PATCH", "/repos/{owner}/{repo}/pulls/{pull_number}");
    stage.github.fault(route, Fault::status(403, "no"));
    let before = stage.github.item(stage.dashboard).body;
    stage.github.advance(Duration::from_secs(25 * 3600));
    stage.run_well().await;
    let after = stage.github.item(stage.dashboard).body;
    assert_ne!(before, after, "written again");
    assert!(after.contains("[x] <!-- kubemend:unignore="), "{after}");
    let open = stage.github.open_pulls().len();
    stage.github.heal();
    stage.run_well().await;
    assert_eq!(stage.github.open_pulls().len(), open + 1);
    let after = stage.github.item(stage.dashboard).body;
    assert!(!after.contains("[x]"), "{after}");
    quiet(&stage).await;
}

/// A label that GitHub did not take is set by the next pass, and one that people took off stays off.
#[tokio::test]
async fn the_labels_of_a_revert_are_set_once_whatever_comes_between() {
    let stage = Stage::whole().await;
    let route = On::route("POST", "/repos/{owner}/{repo}/issues/{issue_number}/labels");
    let fault = Fault::status(403, "Resource not accessible by integration");
    stage.github.fault(route, fault);
    stage
        .github
        .human("mia")
        .comment(stage.merged, "/kubemend revert");
    stage.run_well().await;
    let number = stage.github.open_pulls().pop().unwrap().number;
    assert!(stage.labels(number).is_empty());
    stage.github.heal();
    stage.run_well().await;
    assert_eq!(stage.labels(number), ["kubemend", "kubemend/revert"]);
    quiet(&stage).await;
    stage.github.human("bob").unlabel(number, "kubemend/revert");
    quiet(&stage).await;
    assert_eq!(stage.labels(number), ["kubemend"]);
}

/// A revert that a person already made is respected, and one that cannot be made says why.
#[tokio::test]
async fn a_revert_that_is_not_to_be_made_says_why() {
    let path = "apps/web-merged.yaml";
    for (text, why) in [
        (BROKEN.to_owned(), "is back already"),
        (proposed(None).replace("128Mi", "1Gi"), "at the same place"),
    ] {
        let stage = Stage::whole().await;
        stage.github.human("alice").push("main", &[(path, &text)]);
        stage.run_well().await;
        stage
            .github
            .human("mia")
            .comment(stage.merged, "/kubemend revert");
        stage.run_well().await;
        let answer = stage.answers(stage.merged).pop().unwrap();
        assert!(answer.contains(why), "{answer}");
        assert!(
            stage
                .github
                .branches()
                .iter()
                .all(|b| !b.contains("revert"))
        );
        quiet(&stage).await;
    }
}

/// A revert that met an error is told with it, and done when it is asked for again.
#[tokio::test]
async fn a_revert_that_failed_is_told_and_asked_for_again() {
    let stage = Stage::whole().await;
    let mia = stage.github.human("mia");
    let route = On::route("POST", "/repos/{owner}/{repo}/git/commits");
    stage
        .github
        .fault(route, Fault::status(422, "no such tree"));
    mia.comment(stage.merged, "/kubemend revert");
    stage.run_well().await;
    let answer = stage.answers(stage.merged).pop().unwrap();
    assert!(answer.contains("could not be taken back"), "{answer}");
    assert!(answer.contains("no such tree"), "{answer}");
    assert!(answer.contains("say it again to try once more"), "{answer}");
    stage.github.heal();
    let open = stage.github.open_pulls().len();
    quiet(&stage).await;
    assert_eq!(stage.github.open_pulls().len(), open);
    mia.comment(stage.merged, "/kubemend revert");
    stage.run_well().await;
    let answer = stage.answers(stage.merged).pop().unwrap();
    assert!(answer.contains("takes it back"), "{answer}");
    quiet(&stage).await;
}

/// A revert that was tampered with is still a revert.
#[tokio::test]
async fn a_revert_without_its_marker_still_counts() {
    let stage = Stage::whole().await;
    stage
        .github
        .human("mia")
        .comment(stage.merged, "/kubemend revert");
    stage.run_well().await;
    let pull = stage.github.open_pulls().pop().unwrap();
    stage
        .github
        .human("bob")
        .edit_body(pull.number, &marker::strip(&pull.body));
    let left = |report: &Report| {
        let reverted = Action::Leave {
            fingerprint: fingerprint("merged"),
            why: Why::Reverted(pull.number),
        };
        assert!(report.actions.contains(&reverted), "{:#?}", report.actions);
    };
    stage.run_well().await;
    assert!(stage.github.item(pull.number).open, "left to people");
    stage.github.human("alice").merge(pull.number, "squash");
    let path = "apps/web-merged.yaml";
    assert_eq!(stage.github.file("main", path).unwrap(), BROKEN);
    let pulls = stage.github.pulls().len();
    for _ in 0..3 {
        left(&stage.run_well().await);
    }
    assert_eq!(stage.github.pulls().len(), pulls, "not proposed again");
    assert_eq!(stage.github.file("main", path).unwrap(), BROKEN);
    quiet(&stage).await;
}
