//! Row 9: healthy again, answered, branches left over; row 10: only on positive evidence.

use super::*;
use crate::finding::Finding;

fn observes(number: u64, healthy: bool) -> Action {
    Action::Observe { number, healthy }
}

/// N observations over half an hour, then a draft, then a day, then closed.
#[test]
fn what_looks_resolved_is_closed_slowly() {
    let gone = |change: fn(&mut Marker)| {
        let forge = Forge::new().with(1, 10, |_, m| change(m));
        forge.for_wanted(vec![])
    };
    assert_eq!(gone(|_| {}), [observes(10, true)]);
    assert_eq!(
        gone(|m| m.healthy = healthy(2, now())),
        [observes(10, true)]
    );
    assert_eq!(
        gone(|m| m.healthy = healthy(3, now())),
        [],
        "enough, but too soon: nothing to write"
    );
    assert_eq!(
        gone(|m| m.healthy = healthy(1, ago(9))),
        [observes(10, true)]
    );
    let retire = [Action::Retire { number: 10 }];
    assert_eq!(gone(|m| m.healthy = healthy(2, ago(1))), retire);
    let drafted = |m: &mut Marker| {
        m.retired = Some(ago(23));
        m.told.push(DRAFTED.to_owned());
    };
    assert_eq!(gone(drafted), []);
    assert_eq!(
        gone(|m| m.retired = Some(ago(23))),
        retire,
        "making it a draft was refused: again"
    );
    let closed = [closes(10, ClosedBecause::Resolved, None)];
    assert_eq!(gone(|m| m.retired = Some(ago(24))), closed);
}

#[test]
fn what_fails_again_starts_again() {
    let forge = Forge::new().with(1, 10, |_, m| m.healthy = healthy(2, ago(1)));
    let actions = forge.for_wanted(vec![wants(1)]);
    assert_eq!(actions, [leaves(1, Why::Current(10)), observes(10, false)]);
    let refused = wanted(
        1,
        WantedEnding::Refused {
            code: "no-safe-fix".to_owned(),
            reason: String::new(),
        },
    );
    let actions = forge.for_wanted(vec![refused]);
    let left = leaves(1, Why::Refused("no-safe-fix".to_owned()));
    assert_eq!(actions, [left, observes(10, false)]);
}

/// Row 10: only a complete run of the same scope is evidence.
#[test]
fn what_is_not_known_does_not_count() {
    let forge = || Forge::new().with(1, 10, |_, m| m.retired = Some(ago(100)));
    let quiet = |a: &Analysis| forge().decide(a);
    assert_eq!(
        quiet(&analysis(vec![])).len(),
        1,
        "this one would be closed"
    );
    let mut partial = analysis(vec![]);
    partial.complete = false;
    assert_eq!(quiet(&partial), []);
    let mut elsewhere = analysis(vec![]);
    elsewhere.scope = "cluster west".to_owned();
    assert_eq!(quiet(&elsewhere), []);
    let unknown = wanted(1, WantedEnding::Unknown);
    assert_eq!(
        quiet(&analysis(vec![unknown])),
        [leaves(1, Why::Unreadable)]
    );
    let mut listed = analysis(vec![]);
    let object = wants(1).object.unwrap();
    listed.listed = vec![Finding::new(
        Class::OOMKilled,
        Severity::High,
        object,
        "app1 fails",
    )];
    assert_eq!(quiet(&listed), []);
    // rebuilt without a key
    let lost = Forge::new().with(1, 10, |_, m| {
        m.retired = Some(ago(100));
        m.key.clear();
    });
    assert_eq!(lost.for_wanted(vec![]), []);
}

/// What one engine says nothing of holds up nothing else.
#[test]
fn what_an_engine_just_tries_again_does_not_count() {
    let forge = Forge::new()
        .with(1, 10, |_, m| m.retired = Some(ago(100)))
        .with(2, 11, |_, m| m.retired = Some(ago(100)))
        .question(3, 20, |_, m| m.healthy = healthy(2, ago(1)))
        .question(4, 21, |_, m| m.healthy = healthy(2, ago(1)));
    let mut run = analysis(vec![]);
    run.unsure = ["Deployment shop/app1", "Deployment shop/app3"]
        .into_iter()
        .collect();
    let closed = |number| closes(number, ClosedBecause::Resolved, None);
    assert_eq!(forge.decide(&run), [closed(11), closed(21)]);
}

/// Rows 7 and 8: what people work on or froze is never closed.
#[test]
fn people_are_not_closed_upon() {
    let table: [fn(&mut OurPull); 5] = [
        |p| p.foreign_commits = Some(1),
        |p| p.foreign_commits = None,
        |p| p.pull.base_ref = "release".to_owned(),
        |p| p.pull.labels.push(STOP_UPDATING.to_owned()),
        |p| p.pull.author = actor(HUMAN),
    ];
    for change in table {
        let forge = Forge::new().with(1, 10, |p, m| {
            m.retired = Some(ago(100));
            change(p);
        });
        assert_eq!(forge.for_wanted(vec![]), []);
    }
}

#[test]
fn git_that_is_right_already_counts_as_healthy() {
    let forge = Forge::new().open(1, 10);
    let actions = forge.for_wanted(vec![wanted(1, WantedEnding::Settled)]);
    assert_eq!(actions, [leaves(1, Why::Settled), observes(10, true)]);
}

#[test]
fn questions_are_closed_when_answered_or_gone() {
    let forge = Forge::new().question(1, 20, |_, _| {});
    assert_eq!(
        forge.for_wanted(vec![wants(1)]),
        [opens(1), closes(20, ClosedBecause::Answered, Some(1))]
    );
    let limited = Forge::new()
        .question(1, 20, |_, _| {})
        .set(|f| f.rules.max_open_prs = 0);
    assert_eq!(
        limited.for_wanted(vec![wants(1)]),
        [leaves(1, Why::Limited("max_open_prs"))],
        "the question stays until the pull request is there"
    );
    assert_eq!(forge.for_wanted(vec![]), [observes(20, true)]);
    let gone = Forge::new().question(1, 20, |_, m| m.healthy = healthy(2, ago(1)));
    let resolved = [closes(20, ClosedBecause::Resolved, None)];
    assert_eq!(gone.for_wanted(vec![]), resolved);
}

/// Row 9: a branch is kept for days, and only deleted where nobody moved it.
#[test]
fn branches_are_deleted_late_and_only_unmoved() {
    let name = || branch(1, "shop");
    let deleted = |hours, head: &'static str, change: fn(&mut Forge)| {
        let forge = Forge::new()
            .closed(1, 10, HUMAN, hours, |_, _| {})
            .set(|f| {
                f.observed.branches.insert(name(), head.to_owned());
                change(f);
            });
        forge.for_wanted(vec![])
    };
    let delete = [Action::DeleteBranch {
        branch: name(),
        sha: "head1".to_owned(),
    }];
    let week = 24 * 7;
    assert_eq!(deleted(week, "head1", |_| {}), delete);
    assert_eq!(deleted(week - 1, "head1", |_| {}), []);
    assert_eq!(deleted(week, "moved", |_| {}), []);
    let foreign = |f: &mut Forge| f.observed.pulls[0].pull.author = actor(HUMAN);
    assert_eq!(deleted(week, "head1", foreign), []);
    let reopened = |f: &mut Forge| f.observed.pulls.push(pull(1, 11));
    assert_eq!(deleted(week, "head1", reopened), []);
    let orphan = Forge::new().set(|f| {
        f.observed.branches.insert(name(), "head1".to_owned());
        f.observed
            .branches
            .insert("feature/x".to_owned(), "x".to_owned());
    });
    assert_eq!(
        orphan.for_wanted(vec![]),
        [],
        "no pull request, no proof that it is ours"
    );
}
