#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;

use super::*;
use crate::finding::Class;
use crate::forge::decide::{Checks, OurPull, Query};
use crate::forge::marker::Paused;
use crate::forge::ticks::{Tick, ticked};
use crate::forge::{Actor, Issue};
use crate::message::MAX_BODY;
use crate::object::ObjectRef;

fn now() -> Timestamp {
    "2026-05-04T09:30:12Z".parse().unwrap()
}

fn me() -> Actor {
    Actor {
        id: 1,
        login: "kubemend[bot]".to_owned(),
        bot: true,
    }
}

fn pull(number: u64, title: &str) -> OurPull {
    OurPull {
        pull: Pull {
            number,
            node_id: String::new(),
            title: title.to_owned(),
            body: String::new(),
            state: PullState::Open,
            draft: number == 12,
            head_ref: "kubemend/shop/x".to_owned(),
            head_sha: String::new(),
            head_repo_id: Some(1),
            base_ref: "main".to_owned(),
            labels: Vec::new(),
            author: me(),
            merge_commit: None,
            mergeable: None,
            created_at: now(),
            updated_at: now(),
            closed_at: None,
        },
        closed_by: None,
        foreign_commits: None,
        tree: None,
    }
}

fn question(number: u64, title: &str) -> Issue {
    Issue {
        number,
        title: title.to_owned(),
        body: String::new(),
        open: true,
        labels: Vec::new(),
        author: me(),
        closed_by: None,
        created_at: now(),
        updated_at: now(),
        closed_at: None,
    }
}

fn wanted(fingerprint: &str, severity: Severity, summary: &str) -> Wanted {
    Wanted {
        key: format!("key{fingerprint}"),
        fingerprint: fingerprint.to_owned(),
        severity,
        namespace: Some("shop".to_owned()),
        summary: summary.to_owned(),
        failing_since: Some("2026-05-04T09:25:00Z".parse().unwrap()),
        ending: WantedEnding::Settled,
        object: None,
        class: None,
        unheard: None,
    }
}

fn fix(title: &str) -> Fix {
    Fix {
        branch: "kubemend/shop/x".to_owned(),
        target: String::new(),
        change: String::new(),
        result: String::new(),
        title: title.to_owned(),
        body: String::new(),
        commit: String::new(),
        files: BTreeMap::new(),
        base: String::new(),
        draft: true,
        asked_for: false,
        checks: Checks::default(),
        proposer: String::new(),
        expects: Vec::new(),
        baseline: None,
    }
}

fn leave(fingerprint: &str, why: Why) -> Action {
    Action::Leave {
        fingerprint: fingerprint.to_owned(),
        why,
    }
}

/// A repository on a bad day.
struct Day {
    wanted: Vec<Wanted>,
    actions: Vec<Action>,
    observed: Observed,
    opened: BTreeMap<String, u64>,
    rules: Rules,
    listed: Vec<Finding>,
    problems: Vec<String>,
}

impl Day {
    fn quiet() -> Self {
        Self {
            wanted: Vec::new(),
            actions: Vec::new(),
            observed: Observed {
                complete: true,
                ..Observed::default()
            },
            opened: BTreeMap::new(),
            rules: Rules::default(),
            listed: Vec::new(),
            problems: Vec::new(),
        }
    }

    fn with(mut self, fingerprint: &str, severity: Severity, summary: &str, why: Why) -> Self {
        self.wanted.push(wanted(fingerprint, severity, summary));
        self.actions.push(leave(fingerprint, why));
        self
    }

    fn bad() -> Self {
        let mut day = Self::quiet()
            .with(
                "aaaa01",
                Severity::High,
                "Deployment shop/cart: was OOMKilled",
                Why::Current(11),
            )
            .with(
                "aaaa02",
                Severity::High,
                "Deployment shop/api: ConfigMap api-setings does not exist",
                Why::HandsOff(12),
            )
            .with(
                "aaaa03",
                Severity::Medium,
                "Service shop/web has no endpoints",
                Why::Limited("max_prs_per_hour"),
            )
            .with(
                "aaaa04",
                Severity::Critical,
                "Deployment pay/api: image not found",
                Why::QuietHours,
            )
            .with(
                "aaaa05",
                Severity::Low,
                "PodDisruptionBudget shop/web allows no disruption",
                Why::TooYoung,
            )
            .with(
                "aaaa06",
                Severity::High,
                "Deployment shop/search: was OOMKilled",
                Why::CoolingDown,
            )
            .with(
                "aaaa07",
                Severity::High,
                "Deployment shop/mail: MissingConfig",
                Why::ClosedByHuman(7),
            )
            .with(
                "aaaa08",
                Severity::High,
                "CronJob ops/backup: fails",
                Why::Ignored,
            )
            .with(
                "aaaa15",
                Severity::High,
                "CronJob ops/report: fails",
                Why::IgnoredByRules,
            )
            .with(
                "aaaa09",
                Severity::High,
                "Deployment shop/worker: exits with code 1",
                Why::Refused("ApplicationFault".to_owned()),
            )
            .with(
                "aaaa10",
                Severity::High,
                "Deployment shop/flip: two states",
                Why::Loop(5),
            )
            .with(
                "aaaa11",
                Severity::High,
                "Deployment shop/done: was OOMKilled",
                Why::Merged(9),
            )
            .with(
                "aaaa12",
                Severity::High,
                "Deployment infra/dns: crash",
                Why::Paused,
            );
        if let Some(w) = day.wanted.iter_mut().find(|w| w.fingerprint == "aaaa09") {
            w.ending = WantedEnding::Refused {
                code: "ApplicationFault".to_owned(),
                reason: "ZeroDivisionError: division by zero; no manifest is at fault".to_owned(),
            };
        }
        let mut unknown = wanted(
            "aaaa13",
            Severity::High,
            "Deployment shop/slow: readiness fails",
        );
        unknown.ending = WantedEnding::Unknown;
        day.wanted.push(unknown);
        let mut opened = wanted(
            "aaaa14",
            Severity::High,
            "Deployment shop/web: image web:2.4.O not found",
        );
        opened.ending = WantedEnding::Fix(Box::new(fix("restore image web:2.3.1")));
        day.wanted.push(opened);
        day.actions.push(Action::Open {
            fingerprint: "aaaa14".to_owned(),
        });
        day.opened.insert("aaaa14".to_owned(), 14);
        day.observed.pulls = vec![
            pull(
                11,
                "raise the memory limit of Deployment shop/cart to 256Mi",
            ),
            pull(12, "use ConfigMap api-settings in Deployment shop/api"),
        ];
        day.observed.questions = vec![question(13, "Who supplies Secret mail-relay?")];
        let object = ObjectRef::new("v1", "Service", Some("shop"), "old");
        day.listed = vec![Finding::new(
            Class::ServiceNoEndpoints,
            Severity::Low,
            object,
            "Service shop/old has no endpoints",
        )];
        day.problems =
            vec!["apps/old/kustomization.yaml: resource ../gone does not exist".to_owned()];
        day
    }

    fn render(&self) -> String {
        render(&self.dashboard())
    }

    fn dashboard(&self) -> Dashboard<'_> {
        Dashboard {
            scope: "manifests",
            wanted: &self.wanted,
            actions: &self.actions,
            observed: &self.observed,
            opened: &self.opened,
            rules: &self.rules,
            listed: &self.listed,
            problems: &self.problems,
            now: now(),
        }
    }
}

/// Scorecard 18: everything is listed, each row once, with the box that changes it.
#[test]
fn a_bad_day_is_listed_completely() {
    let body = Day::bad().render();
    insta::assert_snapshot!(
        "bad_day",
        body.replace(env!("CARGO_PKG_VERSION"), "VERSION")
    );
    for w in Day::bad().wanted {
        let shown = body.matches(w.summary.as_str()).count();
        let by_title = ["aaaa01", "aaaa02", "aaaa14"].contains(&w.fingerprint.as_str());
        assert!(shown == 1 || by_title, "{}: {shown}\n{body}", w.summary);
    }
}

/// The next pass finds what this one opened, and has nothing to write.
#[test]
fn what_is_new_reads_like_what_is_there() {
    let mut day = Day::quiet();
    for (fingerprint, number) in [("aaaa01", 11), ("aaaa02", 12)] {
        let mut opened = wanted(fingerprint, Severity::Critical, "Deployment shop/web");
        opened.ending = WantedEnding::Fix(Box::new(Fix {
            draft: number == 12,
            ..fix(&format!("restore image {number}"))
        }));
        day.wanted.push(opened);
        day.opened.insert(fingerprint.to_owned(), number);
        day.actions.push(Action::Open {
            fingerprint: fingerprint.to_owned(),
        });
    }
    let first = day.render();
    day.actions = vec![
        leave("aaaa01", Why::Current(11)),
        leave("aaaa02", Why::Current(12)),
    ];
    day.opened.clear();
    day.observed.pulls = vec![pull(12, "restore image 12"), pull(11, "restore image 11")];
    assert_eq!(first, day.render());
    assert!(first.contains("- #12 restore image 12 (draft)\n- #11 restore image 11\n"));
}

/// A question that gets no issue is listed.
#[test]
fn a_question_without_an_issue_is_listed() {
    let mut day = Day::quiet();
    let mut asked = wanted(
        "aaaa01",
        Severity::High,
        "Deployment shop/mail: MissingSecret",
    );
    asked.ending = WantedEnding::Question(Box::new(Query {
        title: "Who supplies it?".to_owned(),
        body: String::new(),
        options: Vec::new(),
        keys: Vec::new(),
    }));
    day.wanted.push(asked);
    let row = "- Who supplies it? (Deployment shop/mail: MissingSecret)";
    assert!(day.render().contains(row));
}

#[test]
fn a_good_day_is_short() {
    let body = Day::quiet().render();
    insta::assert_snapshot!(
        "good_day",
        body.replace(env!("CARGO_PKG_VERSION"), "VERSION")
    );
}

#[test]
fn a_pause_is_shown_first_and_can_be_ended() {
    let mut day = Day::quiet();
    day.observed.paused = Some(Paused {
        by: "mara".to_owned(),
        since: now(),
    });
    let body = day.render();
    assert!(
        body.contains("> Paused by `mara` since 2026-05-04 09:30 UTC"),
        "{body}"
    );
    assert!(body.contains("- [ ] <!-- kubemend:resume -->") && !body.contains("kubemend:pause "));
}

/// Scorecard 4: another minute alone is no reason to write.
#[test]
fn the_heartbeat_alone_changes_nothing_that_counts() {
    let day = Day::bad();
    let one = day.render();
    let later = one.replace("09:30 UTC**", "11:45 UTC**");
    assert_ne!(one, later);
    assert_eq!(without_heartbeat(&one), without_heartbeat(&later));
    assert_eq!(
        without_heartbeat(&one),
        without_heartbeat(&one.replace('\n', "\r\n"))
    );
    let other = Day::quiet().render();
    assert_ne!(without_heartbeat(&one), without_heartbeat(&other));
}

/// Scorecard 15: 500 failing workloads fit, and the rest is counted.
#[test]
fn a_storm_fits() {
    let mut day = Day::quiet();
    let whys = [
        Why::Limited("max_open_prs"),
        Why::ClosedByHuman(3),
        Why::Refused("NoSafeFix".to_owned()),
        Why::Paused,
        Why::Merged(4),
    ];
    for i in 0..2_000 {
        let long = format!("Deployment ns/{i}: {}", "\u{1f600}x ".repeat(100));
        let why = whys[i % whys.len()].clone();
        day = day.with(&format!("f{i:05}"), Severity::High, &long, why);
    }
    day.problems = (0..500)
        .map(|i| format!("file-{i}: {}", "broken ".repeat(200)))
        .collect();
    day.observed.pulls = (0..500).map(|i| pull(i, &"t".repeat(300))).collect();
    day.observed.questions = (0..500).map(|i| question(i, &"q".repeat(300))).collect();
    let body = day.render();
    assert!(
        body.encode_utf16().count() < MAX_BODY - 5_000,
        "{}",
        body.len()
    );
    for heading in [
        "Waiting (400)",
        "Open pull requests (500)",
        "Problems in this repository (500)",
    ] {
        assert!(body.contains(heading), "{heading}");
    }
    assert!(body.contains("more"));
}

/// Scorecard 18: a tick is read back, whatever an editor does to line ends and case.
#[test]
fn ticks_are_read_back() {
    let body = Day::bad().render();
    assert_eq!(ticked(&body), []);
    let all = body.replace("- [ ]", "- [X]").replace('\n', "\r\n");
    let ticks = ticked(&all);
    for (name, of) in [
        ("approve", "aaaa03"),
        ("approve", "aaaa04"),
        ("unignore", "7"),
        ("unignore", "aaaa08"),
        ("approve", "aaaa10"),
        ("pause", ""),
    ] {
        let tick = Tick {
            name: name.to_owned(),
            of: of.to_owned(),
        };
        assert!(ticks.contains(&tick), "{tick:?} not in {ticks:?}");
    }
    // no box where none would act: refused, without an answer, ignored by configuration
    for of in ["aaaa09", "aaaa13", "aaaa15"] {
        assert!(ticks.iter().all(|t| t.of != of), "{of} in {ticks:?}");
    }
}
