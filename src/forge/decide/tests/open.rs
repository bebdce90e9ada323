//! Rows 1 to 4, 7, 8, 14: what is opened, refreshed, joined, left.

use super::*;

/// Rows 1 and 4.
#[test]
fn one_fix_is_opened_once_and_then_left_alone() {
    let forge = Forge::new();
    assert_eq!(forge.for_wanted(vec![wants(1)]), [opens(1)]);
    assert_eq!(
        forge.for_wanted(vec![wants(1), wants(1)]),
        [opens(1)],
        "two findings with one fingerprint are one"
    );
    let forge = Forge::new().open(1, 10);
    assert_eq!(
        forge.for_wanted(vec![wants(1)]),
        [leaves(1, Why::Current(10))]
    );
    // found by the digits of the fingerprint when the rest of the branch's name changed
    let renamed = Forge::new().with(1, 10, |p, _| {
        p.pull.head_ref = format!("old-bot/x-{}", identity::short(&fp(1)));
    });
    assert_eq!(
        renamed.for_wanted(vec![wants(1)]),
        [leaves(1, Why::Current(10))]
    );
}

type Change = fn(&mut OurPull, &mut Marker);

/// Row 3: each difference leads to exactly the write that it needs.
#[test]
fn what_differs_is_brought_up_to_date() {
    let table: [(&str, Change, Action); 11] = [
        (
            "other value",
            |_, m| m.result = "x".to_owned(),
            refreshes(1, 10, true),
        ),
        (
            "other place",
            |_, m| m.target = "x".to_owned(),
            refreshes(1, 10, true),
        ),
        (
            "value in Git",
            |_, m| m.change = "x".to_owned(),
            refreshes(1, 10, true),
        ),
        (
            "new evidence",
            |_, m| m.body = "x".to_owned(),
            refreshes(1, 10, false),
        ),
        (
            "head unknown",
            |_, m| m.head = "x".to_owned(),
            refreshes(1, 10, false),
        ),
        (
            "label missing",
            |_, m| m.labels.clear(),
            refreshes(1, 10, false),
        ),
        (
            "nearly closed",
            |_, m| m.closed = Some(ClosedBecause::Resolved),
            refreshes(1, 10, false),
        ),
        (
            "only behind",
            |_, m| m.base = "older".to_owned(),
            leaves(1, Why::Current(10)),
        ),
        (
            "conflict",
            |p, m| {
                p.pull.mergeable = Some(false);
                m.base = "older".to_owned();
            },
            refreshes(1, 10, true),
        ),
        (
            "conflict on the newest base",
            |p, _| p.pull.mergeable = Some(false),
            leaves(1, Why::Current(10)),
        ),
        (
            "still computing",
            |p, m| {
                p.pull.mergeable = None;
                m.base = "older".to_owned();
            },
            leaves(1, Why::Current(10)),
        ),
    ];
    for (name, change, expected) in table {
        let forge = Forge::new().with(1, 10, |p, m| {
            m.trees.clear();
            change(p, m);
        });
        assert_eq!(forge.for_wanted(vec![wants(1)]), [expected], "{name}");
    }
}

/// Row 12: what cannot be believed is written again.
#[test]
fn a_marker_that_cannot_be_believed_is_written_again() {
    let forge = Forge::new().open(1, 10).set(|f| {
        f.observed.unsound.insert(10);
    });
    assert_eq!(forge.for_wanted(vec![wants(1)]), [refreshes(1, 10, false)]);
}

/// Rows 7 and 8: people are left alone, and told once.
#[test]
fn what_people_took_over_is_left() {
    let table: [(&str, Change, Why, Option<Topic>); 6] = [
        (
            "foreign commit",
            |p, _| p.foreign_commits = Some(1),
            Why::HandsOff(10),
            Some(Topic::HandsOff),
        ),
        (
            "other base",
            |p, _| p.pull.base_ref = "release".to_owned(),
            Why::HandsOff(10),
            Some(Topic::Retargeted),
        ),
        (
            "frozen",
            |p, _| p.pull.labels.push(STOP_UPDATING.to_owned()),
            Why::Frozen(10),
            None,
        ),
        (
            "ignored by label",
            |p, _| p.pull.labels.push("KubeMend/Ignored".to_owned()),
            Why::Ignored,
            None,
        ),
        (
            "ignored for a time",
            |_, m| m.ignored_until = Some(at("2026-11-25T00:00:00Z")),
            Why::Ignored,
            None,
        ),
        (
            "somebody else's pull request",
            |p, _| p.pull.author = actor(HUMAN),
            Why::HandsOff(10),
            None,
        ),
    ];
    for (name, change, why, topic) in table {
        let forge = Forge::new().with(1, 10, |p, m| {
            m.result = "differs".to_owned();
            change(p, m);
        });
        let mut expected = vec![leaves(1, why.clone())];
        expected.extend(topic.map(|t| notice(10, t)));
        assert_eq!(forge.for_wanted(vec![wants(1)]), expected, "{name}");
        let told = Forge::new().with(1, 10, |p, m| {
            m.told = topic.iter().map(|t| t.as_str().to_owned()).collect();
            change(p, m);
        });
        assert_eq!(
            told.for_wanted(vec![wants(1)]),
            [leaves(1, why)],
            "{name}, told"
        );
    }
    let unread = Forge::new().with(1, 10, |p, _| p.foreign_commits = None);
    assert_eq!(
        unread.for_wanted(vec![wants(1)]),
        [leaves(1, Why::Unreadable)]
    );
}

/// Row 7: `recreate` throws away what people did; `unignore` and `rebase` do what they say.
#[test]
fn people_can_ask_for_it() {
    let forge = Forge::new()
        .with(1, 10, |p, _| p.foreign_commits = Some(2))
        .set(|f| {
            f.observed.asked.recreate.insert(10);
        });
    assert_eq!(forge.for_wanted(vec![wants(1)]), [refreshes(1, 10, true)]);
    let ignored = |p: &mut OurPull, m: &mut Marker| {
        p.pull.labels.push(IGNORED.to_owned());
        m.body = "old".to_owned();
    };
    let forge = Forge::new().with(1, 10, ignored).set(|f| {
        f.observed.asked.unignore.insert(10);
    });
    assert_eq!(forge.for_wanted(vec![wants(1)]), [refreshes(1, 10, false)]);
    let rebase = |base: &'static str| {
        let forge = Forge::new().with(1, 10, |_, m| m.base = base.to_owned());
        let forge = forge.set(|f| {
            f.observed.asked.rebase.insert(10);
        });
        forge.for_wanted(vec![wants(1)])
    };
    assert_eq!(rebase("older"), [refreshes(1, 10, true)]);
    assert_eq!(
        rebase("base0"),
        [leaves(1, Why::Current(10))],
        "it is there already"
    );
}

/// Row 14: A, then B, then A again: the third is not written.
#[test]
fn a_fix_that_comes_back_is_a_loop() {
    let other = identity::fix_id("target1", "change1", "other");
    let looping = |m: &mut Marker| {
        m.result = "other".to_owned();
        m.trees.push(other.clone());
    };
    let forge = Forge::new().with(1, 10, |_, m| looping(m));
    let expected = [leaves(1, Why::Loop(10)), notice(10, Topic::Loop)];
    assert_eq!(forge.for_wanted(vec![wants(1)]), expected);
    let asked = wants_with(1, |f| f.asked_for = true);
    assert_eq!(forge.for_wanted(vec![asked]), [refreshes(1, 10, true)]);
}

/// Row 2: one pull request for one write target.
#[test]
fn findings_that_write_the_same_places_share_a_pull_request() {
    let same = |n| wants_with(n, |f| f.target = "target1".to_owned());
    let forge = Forge::new();
    let join = |n, number| Action::Join {
        fingerprint: fp(n),
        number,
    };
    assert_eq!(
        forge.for_wanted(vec![wants(1), same(2), same(3)]),
        [opens(1), join(2, None), join(3, None)]
    );
    let forge = Forge::new().open(1, 10);
    assert_eq!(
        forge.for_wanted(vec![wants(1), same(2)]),
        [leaves(1, Why::Current(10)), join(2, Some(10))]
    );
    let joined = Forge::new().with(1, 10, |_, m| m.also.push(fp(2)));
    assert_eq!(
        joined.for_wanted(vec![wants(1), same(2)]),
        [leaves(1, Why::Current(10)), leaves(2, Why::Current(10))]
    );
    // it goes on while one of them fails
    assert_eq!(
        joined.for_wanted(vec![same(2)]),
        [leaves(2, Why::Current(10))]
    );
}

/// Row 9: the same finding in another file, and the same object that fails in another way.
#[test]
fn a_pull_request_is_replaced_when_the_finding_moved() {
    let moved = || Wanted {
        key: "key1".to_owned(),
        ..wants(2)
    };
    let superseded = closes(10, ClosedBecause::Superseded, Some(2));
    let forge = Forge::new().open(1, 10);
    assert_eq!(
        forge.for_wanted(vec![moved()]),
        [opens(2), superseded.clone()]
    );
    // killed in between
    let forge = Forge::new().open(1, 10).open(2, 11);
    assert_eq!(
        forge.for_wanted(vec![moved()]),
        [leaves(2, Why::Current(11)), superseded.clone()]
    );
    let edited = Forge::new().with(1, 10, |p, _| p.foreign_commits = Some(1));
    assert_eq!(
        edited.for_wanted(vec![moved()]),
        [leaves(2, Why::HandsOff(10))]
    );
    let frozen = Forge::new().with(1, 10, |p, _| p.pull.labels.push(STOP_UPDATING.to_owned()));
    assert_eq!(
        frozen.for_wanted(vec![moved()]),
        [leaves(2, Why::Frozen(10))]
    );
    // another class: only when the old one is gone for more than one pass
    let other_class = || Wanted {
        object: wants(1).object,
        ..wants(2)
    };
    let seen = |m: &mut Marker| m.healthy = healthy(1, ago(1));
    let forge = Forge::new().with(1, 10, |_, m| seen(m)).open(2, 11);
    assert_eq!(
        forge.for_wanted(vec![other_class()]),
        [leaves(2, Why::Current(11)), superseded]
    );
    let first = Forge::new().open(1, 10);
    let actions = first.for_wanted(vec![other_class()]);
    assert_eq!(
        actions,
        [
            opens(2),
            Action::Observe {
                number: 10,
                healthy: true
            }
        ]
    );
}

/// Two clusters with one overlay: whoever opened it keeps it up to date.
#[test]
fn another_scope_leaves_it_as_it_is() {
    let forge = Forge::new().with(1, 10, |_, m| {
        m.scope = "cluster east".to_owned();
        m.body = "other".to_owned();
        m.result = "other".to_owned();
    });
    assert_eq!(
        forge.for_wanted(vec![wants(1)]),
        [leaves(1, Why::Current(10))]
    );
}
