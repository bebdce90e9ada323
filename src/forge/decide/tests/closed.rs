//! Rows 5, 6, 9, 20, 68: closed, merged, ignored, paused.

use super::*;

const NOTHING: fn(&mut OurPull, &mut Marker) = |_, _| {};

fn by_us(_: &mut OurPull, m: &mut Marker) {
    m.closed = Some(ClosedBecause::Resolved);
}

/// Row 5: closed by people is a no for the same values, and is told once.
#[test]
fn closed_by_people_means_no() {
    let no = leaves(1, Why::ClosedByHuman(10));
    let forge = Forge::new().closed(1, 10, HUMAN, 1, NOTHING);
    assert_eq!(
        forge.for_wanted(vec![wants(1)]),
        [no.clone(), notice(10, Topic::Closed)]
    );
    let told = |hours, m: fn(&mut OurPull, &mut Marker)| {
        Forge::new().closed(1, 10, HUMAN, hours, |p, marker| {
            marker.told.push("closed".to_owned());
            marker.labels.push(IGNORED.to_owned());
            p.pull.labels.push(IGNORED.to_owned());
            m(p, marker);
        })
    };
    assert_eq!(told(1, NOTHING).for_wanted(vec![wants(1)]), [no.clone()]);
    assert_eq!(
        told(24 * 400, NOTHING).for_wanted(vec![wants(1)]),
        [no.clone()]
    );
    // told, but the label was refused: it is tried again
    let unlabelled = told(1, |p, m| {
        m.labels.retain(|l| l != IGNORED);
        p.pull.labels.retain(|l| l != IGNORED);
    });
    let again = [no.clone(), notice(10, Topic::Closed)];
    assert_eq!(unlabelled.for_wanted(vec![wants(1)]), again);
    // the marker was thrown away: a no to everything
    let unknown = told(24 * 30, |_, m| m.change.clear());
    assert_eq!(unknown.for_wanted(vec![wants(1)]), [no.clone()]);
    // we are the actor, but did not write why: somebody used our token
    let token = Forge::new().closed(1, 10, ME, 1, |p, m| {
        m.told.push("closed".to_owned());
        m.labels.push(IGNORED.to_owned());
        p.pull.labels.push(IGNORED.to_owned());
    });
    assert_eq!(token.for_wanted(vec![wants(1)]), [no.clone()]);
    // we wrote why, but a human was faster
    let race = Forge::new().closed(1, 10, HUMAN, 1, |p, m| {
        by_us(p, m);
        m.told.push("closed".to_owned());
        m.labels.push(IGNORED.to_owned());
        p.pull.labels.push(IGNORED.to_owned());
    });
    assert_eq!(race.for_wanted(vec![wants(1)]), [no.clone()]);
    // nobody knows who
    let ghost = told(1, |p, _| p.closed_by = None);
    assert_eq!(ghost.for_wanted(vec![wants(1)]), [no]);
}

/// Row 5: the ways back.
#[test]
fn there_are_ways_back() {
    let forge = || {
        Forge::new().closed(1, 10, HUMAN, 1, |p, m| {
            m.told.push("closed".to_owned());
            m.labels.push(IGNORED.to_owned());
            p.pull.labels.push(IGNORED.to_owned());
        })
    };
    assert_eq!(
        forge().for_wanted(vec![wants(1)]),
        [leaves(1, Why::ClosedByHuman(10))]
    );
    let asked: [fn(&mut Asked) -> &mut BTreeSet<u64>; 3] =
        [|a| &mut a.retry, |a| &mut a.unignore, |a| &mut a.recreate];
    for set in asked {
        let mut forge = forge();
        set(&mut forge.observed.asked).insert(10);
        assert_eq!(forge.for_wanted(vec![wants(1)]), [opens(1)]);
    }
    let mut unlabelled = forge();
    unlabelled.observed.pulls[0].pull.labels.clear();
    assert_eq!(unlabelled.for_wanted(vec![wants(1)]), [opens(1)]);
    let mut late = forge();
    late.rules.suppress_days = Some(3);
    late.observed.pulls[0].pull.closed_at = Some(ago(24 * 8));
    assert_eq!(late.for_wanted(vec![wants(1)]), [opens(1)]);
}

/// Rows 5 and 16: other values are another question, after the cool-down.
#[test]
fn other_values_are_another_question() {
    let closed = |hours| {
        Forge::new().closed(1, 10, HUMAN, hours, |_, m| {
            m.change = "other values".to_owned()
        })
    };
    assert_eq!(
        closed(1).for_wanted(vec![wants(1)]),
        [leaves(1, Why::CoolingDown)]
    );
    assert_eq!(closed(24 * 8).for_wanted(vec![wants(1)]), [opens(1)]);
    let forge = closed(1).set(|f| f.rules.cooldown_after_close = jiff::SignedDuration::ZERO);
    assert_eq!(forge.for_wanted(vec![wants(1)]), [opens(1)]);
    let asked = wants_with(1, |f| f.asked_for = true);
    assert_eq!(closed(1).for_wanted(vec![asked]), [opens(1)]);
}

/// An answer lifts limits and a no that is older, never a no that is newer.
#[test]
fn an_answer_does_not_outlive_a_no() {
    let closed = |by, hours, change: fn(&mut OurPull, &mut Marker)| {
        let asked = Forge::new().question(1, 20, |_, m| m.offered = Some(ago(10)));
        let forge = asked.closed(1, 10, by, hours, change);
        forge.for_wanted(vec![wants_with(1, |f| f.asked_for = true)])
    };
    let opened = [opens(1), closes(20, ClosedBecause::Answered, Some(1))];
    let left = [leaves(1, Why::ClosedByHuman(10)), notice(10, Topic::Closed)];
    assert_eq!(closed(HUMAN, 20, NOTHING), opened);
    assert_eq!(closed(HUMAN, 5, NOTHING), left);
    assert_eq!(closed(ME, 5, by_us), opened);
}

/// Who closed what came of an answer is not asked the same again.
#[test]
fn a_question_does_not_come_back_after_a_no() {
    let closed = |by, change: fn(&mut OurPull, &mut Marker)| {
        let answered = Forge::new().question(1, 20, |i, m| {
            i.open = false;
            i.closed_at = Some(ago(10));
            i.closed_by = Some(actor(ME));
            m.closed = Some(ClosedBecause::Answered);
        });
        answered.closed(1, 10, by, 5, change)
    };
    let again = [Action::Ask {
        fingerprint: fp(1),
        number: Some(20),
    }];
    let no = closed(HUMAN, NOTHING);
    let left = [leaves(1, Why::ClosedByHuman(10)), notice(10, Topic::Closed)];
    assert_eq!(no.for_wanted(vec![asks(1)]), left);
    let retried = no.set(|f| {
        f.observed.asked.retry.insert(10);
    });
    assert_eq!(retried.for_wanted(vec![asks(1)]), again);
    assert_eq!(closed(ME, by_us).for_wanted(vec![asks(1)]), again);
}

/// Row 6: what we closed ourselves returns with the problem.
#[test]
fn closed_by_us_returns() {
    let forge = Forge::new().closed(1, 10, ME, 1, by_us);
    assert_eq!(forge.for_wanted(vec![wants(1)]), [opens(1)]);
    // people said no before, and it was opened again on request: the last word counts
    let forge = Forge::new()
        .closed(1, 9, HUMAN, 100, NOTHING)
        .closed(1, 10, ME, 1, by_us)
        .set(|f| f.rules.cooldown_after_close = jiff::SignedDuration::ZERO);
    assert_eq!(forge.for_wanted(vec![wants(1)]), [opens(1)]);
}

/// Row 9 and lesson 21: merged, merged but not seen yet, taken back by people, returned.
#[test]
fn merged_is_not_opened_again() {
    let same = Forge::new().merged(1, 10, 1);
    assert_eq!(
        same.for_wanted(vec![wants(1)]),
        [leaves(1, Why::Merged(10))],
        "the same values again: somebody took it back"
    );
    let returned = wants_with(1, |f| f.change = "new values".to_owned());
    assert_eq!(same.for_wanted(vec![returned.clone()]), [opens(1)]);
    let stale = wants_with(1, |f| {
        f.change = "new values".to_owned();
        f.base = "older".to_owned();
    });
    assert_eq!(same.for_wanted(vec![stale]), [leaves(1, Why::Merged(10))]);
    // A was merged, then B, and now A is wanted again
    let two = Forge::new().merged(1, 10, 50).merged(1, 11, 1).set(|f| {
        let second = f.observed.markers.get_mut(&11).unwrap();
        second.change = "new values".to_owned();
    });
    assert_eq!(two.for_wanted(vec![wants(1)]), [leaves(1, Why::Loop(10))]);
}

/// With a revert of the fix of finding 1, which people merged.
fn taken_back(forge: Forge) -> Forge {
    forge.merged(1, 10, 50).with(1, 11, |p, m| {
        p.pull.state = PullState::Merged;
        p.pull.closed_at = Some(ago(40));
        p.pull.head_ref = identity::revert_branch("kubemend/", &fp(1));
        m.what = What::Revert;
    })
}

/// The same change of the same places, for another failure of the object.
fn for_another_failure(change: &'static str) -> Wanted {
    wants_with(2, move |f| {
        f.target = "target1".to_owned();
        f.change = change.to_owned();
    })
}

/// A change that people took back is not proposed again because the object fails in another way.
#[test]
fn what_was_taken_back_stays_so_for_another_failure() {
    let again = for_another_failure("change1");
    let reverted = taken_back(Forge::new()).for_wanted(vec![again.clone()]);
    assert_eq!(reverted, [leaves(2, Why::Reverted(11))]);
    let by_hand = Forge::new().merged(1, 10, 50);
    assert_eq!(
        by_hand.for_wanted(vec![again]),
        [leaves(2, Why::Merged(10))]
    );
    let other = for_another_failure("other values");
    assert_eq!(taken_back(Forge::new()).for_wanted(vec![other]), [opens(2)]);
}

/// What kubemend closed itself says nothing about what people took back before.
#[test]
fn a_close_of_ours_does_not_bring_back_what_was_taken_back() {
    let later = |by, change: fn(&mut OurPull, &mut Marker)| {
        let forge = taken_back(Forge::new()).closed(2, 12, by, 1, |p, m| {
            m.target = "target1".to_owned();
            m.change = "change1".to_owned();
            change(p, m);
        });
        forge.for_wanted(vec![wants(1)])
    };
    assert_eq!(later(ME, by_us), [leaves(1, Why::Reverted(11))]);
    let no = [leaves(1, Why::ClosedByHuman(12)), notice(12, Topic::Closed)];
    assert_eq!(later(HUMAN, NOTHING), no);
}

#[test]
fn ignored_until_then() {
    let until = |text| {
        Forge::new().closed(1, 10, ME, 1, move |p, m| {
            by_us(p, m);
            m.ignored_until = Some(at(text));
        })
    };
    let ignored = until("2026-11-24T12:00:01Z");
    assert_eq!(
        ignored.for_wanted(vec![wants(1)]),
        [leaves(1, Why::Ignored)]
    );
    assert_eq!(
        until("2026-11-24T12:00:00Z").for_wanted(vec![wants(1)]),
        [opens(1)]
    );
}

/// Row 68: each switch stops everything, closing and deleting included.
#[test]
fn the_kill_switch_stops_everything() {
    let switches: [fn(&mut Forge); 3] = [
        |f| f.rules.enabled = false,
        |f| {
            f.observed.paused = Some(Paused {
                by: "ann".to_owned(),
                since: now(),
            });
        },
        |f| f.observed.facts.archived = true,
    ];
    for switch in switches {
        let forge = Forge::new()
            .with(2, 10, |_, m| m.retired = Some(ago(100)))
            .closed(3, 11, ME, 24 * 30, by_us)
            .set(|f| {
                f.observed
                    .branches
                    .insert(branch(3, "shop"), "head3".to_owned());
                switch(f);
            });
        assert_eq!(forge.for_wanted(vec![wants(1)]), [leaves(1, Why::Paused)]);
    }
    let namespace = Forge::new().open(1, 10).set(|f| {
        f.rules.paused_namespaces = vec!["sh*".to_owned()];
    });
    let changed = wants_with(1, |f| f.result = "other".to_owned());
    assert_eq!(
        namespace.for_wanted(vec![changed]),
        [leaves(1, Why::Paused)]
    );
}

/// Nothing new, nothing closed, nothing deleted when not everything could be read.
#[test]
fn what_could_not_be_read_is_left() {
    let forge = Forge::new()
        .with(2, 10, |_, m| m.retired = Some(ago(100)))
        .closed(3, 11, ME, 24 * 30, by_us)
        .question(4, 12, |_, m| m.healthy = healthy(9, ago(9)))
        .set(|f| {
            f.observed
                .branches
                .insert(branch(3, "shop"), "head3".to_owned());
            f.observed.complete = false;
        });
    assert_eq!(
        forge.for_wanted(vec![wants(1)]),
        [leaves(1, Why::Unreadable)]
    );
}
