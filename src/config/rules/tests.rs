#![allow(clippy::unwrap_used)]
use super::*;
use crate::finding::{Class, Finding};
use crate::object::ObjectRef;

fn finding(namespace: Option<&str>, kind: &str, name: &str) -> Finding {
    Finding::new(
        Class::OOMKilled,
        crate::finding::Severity::High,
        ObjectRef::new("apps/v1", kind, namespace, name),
        "killed",
    )
}

fn quiet(from: &str, to: &str, days: &[&str], offset: Option<&str>, now: &str) -> bool {
    let rules = Rules {
        quiet_hours: vec![QuietHours {
            from: from.to_owned(),
            to: to.to_owned(),
            days: days.iter().map(ToString::to_string).collect(),
            offset: offset.map(str::to_owned),
        }],
        ..Rules::default()
    };
    rules.quiet(now.parse().unwrap())
}

/// Scorecard row 16 (settings). 2026-11-24 is a Tuesday.
#[test]
fn quiet_hours_know_offsets_days_and_midnight() {
    #[allow(clippy::type_complexity)]
    let table: [(&str, &str, &[&str], Option<&str>, &str, bool); 17] = [
        ("09:00", "17:00", &[], None, "2026-11-24T09:00:00Z", true),
        ("09:00", "17:00", &[], None, "2026-11-24T16:59:59Z", true),
        ("09:00", "17:00", &[], None, "2026-11-24T17:00:00Z", false),
        ("09:00", "17:00", &[], None, "2026-11-24T08:59:59Z", false),
        // over midnight
        ("22:00", "06:00", &[], None, "2026-11-24T23:30:00Z", true),
        ("22:00", "06:00", &[], None, "2026-11-24T05:59:00Z", true),
        ("22:00", "06:00", &[], None, "2026-11-24T12:00:00Z", false),
        // it began on Monday, and still holds on Tuesday morning; Tuesday evening is free
        (
            "22:00",
            "06:00",
            &["mon"],
            None,
            "2026-11-24T05:00:00Z",
            true,
        ),
        (
            "22:00",
            "06:00",
            &["mon"],
            None,
            "2026-11-24T23:00:00Z",
            false,
        ),
        (
            "22:00",
            "06:00",
            &["tue"],
            None,
            "2026-11-24T05:00:00Z",
            false,
        ),
        // local time decides, for the day too: 23:30Z on Monday is Tuesday 01:30 at +02:00
        (
            "01:00",
            "02:00",
            &["tue"],
            Some("+02:00"),
            "2026-11-23T23:30:00Z",
            true,
        ),
        (
            "01:00",
            "02:00",
            &["mon"],
            Some("+02:00"),
            "2026-11-23T23:30:00Z",
            false,
        ),
        (
            "20:00",
            "21:00",
            &["mon"],
            Some("-05:30"),
            "2026-11-24T01:45:00Z",
            true,
        ),
        // the same time twice is the whole day
        (
            "00:00",
            "00:00",
            &["tue"],
            None,
            "2026-11-24T13:00:00Z",
            true,
        ),
        (
            "00:00",
            "00:00",
            &["sat", "sun"],
            None,
            "2026-11-24T13:00:00Z",
            false,
        ),
        (
            "07:00",
            "07:00",
            &["tue"],
            None,
            "2026-11-25T06:59:00Z",
            true,
        ),
        (
            "07:00",
            "07:00",
            &["tue"],
            None,
            "2026-11-25T07:00:00Z",
            false,
        ),
    ];
    for (from, to, days, offset, now, wanted) in table {
        assert_eq!(
            quiet(from, to, days, offset, now),
            wanted,
            "{from}-{to} {days:?} {offset:?} {now}"
        );
    }
}

#[test]
fn quiet_hours_that_cannot_be_read_hold_never() {
    for (from, to, offset) in [
        ("24:00", "06:00", None),
        ("x", "y", None),
        ("00:00", "00:00", Some("2")),
        ("00:00", "00:00", Some("+99:00")),
    ] {
        assert!(!quiet(from, to, &[], offset, "2026-11-24T13:00:00Z"));
    }
}

#[test]
fn an_ignore_entry_needs_all_its_keys() {
    let rules = |text: &str| -> Rules {
        serde_json::from_value(crate::manifest::read_value(text).unwrap()).unwrap()
    };
    let web = finding(Some("shop"), "Deployment", "web");
    for (entry, wanted) in [
        ("{namespace: shop}", true),
        (
            "{namespace: 'sh*', kind: Deployment, name: 'w*', class: OOMKilled}",
            true,
        ),
        ("{namespace: 'sh*', class: 'Image*'}", false),
        ("{kind: StatefulSet}", false),
        ("{reason: all of it}", false),
        ("{}", false),
    ] {
        let rules = rules(&format!("ignore: [{entry}]"));
        assert_eq!(rules.ignored(&web).is_some(), wanted, "{entry}");
    }
    let cluster = finding(None, "ClusterRole", "web");
    assert!(
        rules("ignore: [{namespace: '*'}]")
            .ignored(&cluster)
            .is_none()
    );
}

#[test]
fn a_rule_needs_one_entry_of_each_list() {
    let web = finding(Some("shop"), "Deployment", "web");
    let covers = |text: &str| {
        let value = crate::manifest::read_value(text).unwrap();
        let m: Match = serde_json::from_value(value).unwrap();
        m.covers(&web, &["apps/shop/web.yaml"])
    };
    assert!(covers("{paths: ['legacy/*', 'apps/*']}"));
    assert!(covers(
        "{paths: ['apps/*'], kinds: [Deployment], namespaces: ['*'], classes: [OOMKilled]}"
    ));
    assert!(!covers("{paths: ['apps/*'], kinds: [Job]}"));
    assert!(!covers("{paths: ['web.yaml']}"));
    assert!(!covers("{}"));
}
