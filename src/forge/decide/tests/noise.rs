//! Rows 15 to 17, 20, 21, 46: caps, clocks, order.

use super::*;
use crate::config::rules::Ignore;

fn in_namespace(n: u32, namespace: &str) -> Wanted {
    let mut wanted = wants_with(n, |f| f.branch = branch(n, namespace));
    wanted.namespace = Some(namespace.to_owned());
    wanted
}

fn opened(actions: &[Action]) -> usize {
    actions
        .iter()
        .filter(|a| matches!(a, Action::Open { .. }))
        .count()
}

/// Row 15: fifty failing workloads, at most the caps, the rest listed.
#[test]
fn fifty_failing_workloads_stay_under_the_caps() {
    let storm: Vec<Wanted> = (1..=50)
        .map(|n| in_namespace(n, &format!("ns{n}")))
        .collect();
    let forge = Forge::new();
    let actions = forge.for_wanted(storm.clone());
    assert_eq!((opened(&actions), actions.len()), (2, 50));
    assert_eq!(actions[49], leaves(50, Why::Limited("max_prs_per_hour")));
    let many = Forge::new().set(|f| f.rules.max_prs_per_hour = 100);
    assert_eq!(opened(&many.for_wanted(storm.clone())), 5);
    // what people asked for is not limited
    let asked: Vec<Wanted> = (1..=12)
        .map(|n| wants_with(n, |f| f.asked_for = true))
        .collect();
    assert_eq!(opened(&forge.for_wanted(asked)), 12);
}

#[test]
fn a_namespace_has_its_own_cap() {
    let forge = Forge::new().set(|f| f.rules.max_prs_per_hour = 100);
    let actions = forge.for_wanted(vec![wants(1), wants(2), wants(3), in_namespace(4, "web")]);
    let limited = leaves(3, Why::Limited("max_open_per_namespace"));
    assert_eq!(actions, [opens(1), opens(2), limited, opens(4)]);
}

/// Row 17: critical findings break the caps, up to the hard one; they come first.
#[test]
fn critical_findings_come_first_up_to_the_hard_cap() {
    let critical = |n| Wanted {
        severity: Severity::Critical,
        ..in_namespace(n, "shop")
    };
    let storm: Vec<Wanted> = (1..=12).map(critical).collect();
    let actions = Forge::new().for_wanted(storm);
    assert_eq!(opened(&actions), 10);
    assert_eq!(actions[11], leaves(12, Why::Limited("hard_cap")));
    let old = Wanted {
        failing_since: Some(ago(9)),
        ..in_namespace(2, "b")
    };
    let young = Wanted {
        failing_since: Some(ago(1)),
        ..in_namespace(1, "a")
    };
    let low = Wanted {
        severity: Severity::Low,
        ..in_namespace(3, "c")
    };
    let asked = wants_with(5, |f| f.asked_for = true);
    let forge = Forge::new().set(|f| f.rules.max_prs_per_hour = 100);
    let order = forge.for_wanted(vec![low, young, old, critical(4), asked]);
    assert_eq!(order, [opens(5), opens(4), opens(2), opens(1), opens(3)]);
}

#[test]
fn the_last_hour_counts_whatever_became_of_them() {
    let young = |p: &mut OurPull, m: &mut Marker| {
        p.pull.created_at = now().checked_sub(59.minutes()).unwrap();
        m.closed = Some(ClosedBecause::Resolved);
    };
    let forge = Forge::new()
        .closed(2, 10, ME, 0, young)
        .closed(3, 11, ME, 0, young);
    let limited = leaves(1, Why::Limited("max_prs_per_hour"));
    assert_eq!(forge.for_wanted(vec![wants(1)]), [limited]);
}

/// Row 16.
#[test]
fn what_fails_for_a_short_time_waits() {
    let since = |minutes: i64| Wanted {
        failing_since: Some(now().checked_sub(minutes.minutes()).unwrap()),
        ..wants(1)
    };
    let forge = Forge::new();
    assert_eq!(forge.for_wanted(vec![since(9)]), [leaves(1, Why::TooYoung)]);
    assert_eq!(forge.for_wanted(vec![since(10)]), [opens(1)]);
}

/// Row 16: nothing new in quiet hours; what is there is kept up to date.
#[test]
fn quiet_hours_hold_back_what_is_new() {
    let quiet = crate::config::rules::QuietHours {
        from: "11:00".to_owned(),
        to: "13:00".to_owned(),
        days: Vec::new(),
        offset: None,
    };
    let forge = Forge::new()
        .with(2, 10, |_, m| {
            m.result = "x".to_owned();
            m.trees.clear();
        })
        .set(|f| f.rules.quiet_hours = vec![quiet.clone()]);
    assert_eq!(
        forge.for_wanted(vec![wants(1), wants(2)]),
        [leaves(1, Why::QuietHours), refreshes(2, 10, true)]
    );
}

/// Row 20: three in a row that people closed, then only the dashboard tells.
#[test]
fn nobody_cares_then_only_the_dashboard_tells() {
    let ignored =
        |forge: Forge, n: u32, hours| forge.closed(n, u64::from(n), HUMAN, hours, |_, _| {});
    let forge = ignored(ignored(ignored(Forge::new(), 2, 300), 3, 200), 4, 201);
    assert_eq!(forge.for_wanted(vec![wants(1)]), [leaves(1, Why::Inactive)]);
    let asked = wants_with(1, |f| f.asked_for = true);
    assert_eq!(forge.for_wanted(vec![asked]), [opens(1)]);
    let merged = forge.merged(5, 5, 199);
    assert_eq!(merged.for_wanted(vec![wants(1)]), [opens(1)]);
    let off = ignored(ignored(ignored(Forge::new(), 2, 300), 3, 200), 4, 201)
        .set(|f| f.rules.inactivity_pause = 0);
    assert_eq!(off.for_wanted(vec![wants(1)]), [opens(1)]);
}

#[test]
fn what_the_configuration_ignores_is_left() {
    let rule = |change: fn(&mut Ignore)| {
        let mut rule = Ignore::default();
        change(&mut rule);
        let forge = Forge::new().set(|f| f.rules.ignore = vec![rule.clone()]);
        forge.for_wanted(vec![wants(1)])
    };
    let yes = [leaves(1, Why::IgnoredByRules)];
    assert_eq!(rule(|r| r.class = Some("OOMKilled".to_owned())), yes);
    assert_eq!(rule(|r| r.name = Some("app*".to_owned())), yes);
    assert_eq!(rule(|r| r.namespace = Some("shop".to_owned())), yes);
    assert_eq!(rule(|_| {}), [opens(1)], "an empty rule ignores nothing");
    let both = rule(|r| {
        r.kind = Some("Deployment".to_owned());
        r.name = Some("other".to_owned());
    });
    assert_eq!(both, [opens(1)]);
}

/// Questions are limited too, and a finding has a question or a pull request, not both.
#[test]
fn questions_are_asked_within_the_caps() {
    let ask = |n, number| Action::Ask {
        fingerprint: fp(n),
        number,
    };
    let forge = Forge::new();
    assert_eq!(
        forge.for_wanted(vec![asks(1), asks(2), asks(3)]),
        [
            ask(1, None),
            ask(2, None),
            leaves(3, Why::Limited("max_prs_per_hour"))
        ]
    );
    let open = Forge::new().question(1, 20, |_, _| {});
    assert_eq!(
        open.for_wanted(vec![asks(1)]),
        [leaves(1, Why::Current(20))]
    );
    let stale = Forge::new().question(1, 20, |_, m| m.body = "x".to_owned());
    assert_eq!(stale.for_wanted(vec![asks(1)]), [ask(1, Some(20))]);
    let pull = Forge::new().open(1, 10);
    assert_eq!(
        pull.for_wanted(vec![asks(1)]),
        [leaves(1, Why::Current(10))]
    );
    let off = Forge::new().set(|f| f.rules.questions = false);
    assert_eq!(off.for_wanted(vec![asks(1)]), []);
}

#[test]
fn a_question_that_people_closed_is_answered_with_no() {
    let closed = |by, because: Option<ClosedBecause>| {
        Forge::new().question(1, 20, move |i, m| {
            i.open = false;
            i.closed_at = Some(ago(300));
            i.closed_by = Some(actor(by));
            m.closed = because;
        })
    };
    let no = [leaves(1, Why::ClosedByHuman(20))];
    assert_eq!(closed(HUMAN, None).for_wanted(vec![asks(1)]), no);
    assert_eq!(closed(ME, None).for_wanted(vec![asks(1)]), no);
    let again = [Action::Ask {
        fingerprint: fp(1),
        number: Some(20),
    }];
    let ours = closed(ME, Some(ClosedBecause::Resolved));
    assert_eq!(ours.for_wanted(vec![asks(1)]), again);
    let retried = closed(HUMAN, None).set(|f| {
        f.observed.asked.retry.insert(20);
    });
    assert_eq!(retried.for_wanted(vec![asks(1)]), again);
}
