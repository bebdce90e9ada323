#![allow(clippy::unwrap_used)]
use std::collections::BTreeMap;

use super::*;
use crate::code::Code;
use crate::cycle::{Analysis, Report, Touched};
use crate::forge::decide::{Action, Observed, OurPull, Wanted, WantedEnding, Why};
use crate::forge::marker::Marker;
use crate::forge::{Actor, Pull, PullState, RepositoryFacts};
use crate::object::ObjectRef;

const SITE: &str = "https://github.example.com";
const PRINT: &str = "aaaaaaaa1111";

fn at(minutes: i64) -> Timestamp {
    Timestamp::from_second(1_767_355_200 + minutes * 60).unwrap()
}

fn days(n: i64) -> i64 {
    n * 24 * 60
}

fn wanted(fingerprint: &str, ending: WantedEnding) -> Wanted {
    Wanted {
        key: format!("key-{fingerprint}"),
        fingerprint: fingerprint.to_owned(),
        severity: Severity::High,
        namespace: Some("shop".to_owned()),
        object: Some(ObjectRef::new(
            "apps/v1",
            "Deployment",
            Some("shop"),
            "cart",
        )),
        class: None,
        summary: "cart fails".to_owned(),
        failing_since: None,
        unheard: None,
        ending,
    }
}

fn refused(code: &str) -> WantedEnding {
    WantedEnding::Refused {
        code: code.to_owned(),
        reason: "no".to_owned(),
    }
}

fn fix() -> WantedEnding {
    WantedEnding::Fix(Box::new(crate::forge::decide::Fix {
        branch: "kubemend/shop/cart-aaaaaaaa".to_owned(),
        target: String::new(),
        change: String::new(),
        result: String::new(),
        title: String::new(),
        body: String::new(),
        commit: String::new(),
        files: BTreeMap::new(),
        base: String::new(),
        draft: false,
        asked_for: false,
        checks: crate::forge::decide::Checks::default(),
        proposer: String::new(),
        expects: Vec::new(),
        baseline: None,
    }))
}

fn analysis(wanted: Vec<Wanted>) -> Analysis {
    Analysis {
        wanted,
        scope: "cluster blue".to_owned(),
        complete: true,
        ..Analysis::default()
    }
}

fn observed() -> Observed {
    Observed {
        me: me(),
        facts: RepositoryFacts {
            full_name: "acme/shop".to_owned(),
            ..RepositoryFacts::default()
        },
        base_branch: "main".to_owned(),
        complete: true,
        ..Observed::default()
    }
}

fn me() -> Actor {
    Actor {
        id: 7,
        login: "kubemend".to_owned(),
        bot: true,
    }
}

fn with_pull(number: u64, state: PullState, author: Actor) -> Observed {
    let pull = Pull {
        number,
        node_id: String::new(),
        title: "raise the limit".to_owned(),
        body: String::new(),
        state,
        draft: false,
        head_ref: "kubemend/shop/cart-aaaaaaaa".to_owned(),
        head_sha: String::new(),
        head_repo_id: None,
        base_ref: "main".to_owned(),
        labels: Vec::new(),
        author,
        merge_commit: Some("c0ffee".to_owned()),
        mergeable: None,
        created_at: at(0),
        updated_at: at(0),
        closed_at: (state != PullState::Open).then(|| at(5)),
    };
    let marker = Marker {
        fingerprint: PRINT.to_owned(),
        object: "Deployment shop/cart".to_owned(),
        scope: "cluster blue".to_owned(),
        attempt: 2,
        ..Marker::default()
    };
    Observed {
        pulls: vec![OurPull {
            pull,
            closed_by: None,
            foreign_commits: None,
            tree: None,
        }],
        markers: BTreeMap::from([(number, marker)]),
        ..observed()
    }
}

fn seen(analysis: &Analysis, observed: &Observed, report: &Report) -> Survey {
    survey(analysis, observed, report)
}

fn quiet(wanted: Vec<Wanted>) -> Survey {
    seen(&analysis(wanted), &observed(), &Report::default())
}

/// The records after a pass, as if all was written.
fn kept(known: &[Record], survey: &Survey, minutes: i64) -> Vec<Record> {
    let changes = changes(known, survey, SITE, at(minutes));
    let mut all: BTreeMap<String, Record> =
        known.iter().map(|r| (r.name.clone(), r.clone())).collect();
    for record in changes.write {
        all.insert(record.name.clone(), record);
    }
    for name in changes.delete {
        all.remove(&name);
    }
    all.into_values().collect()
}

fn condition<'r>(record: &'r Record, kind: &str) -> &'r Condition {
    let all = &record.status.conditions;
    all.iter().find(|c| c.kind == kind).unwrap()
}

#[test]
fn a_refusal_is_written_once_and_not_again() {
    let survey = quiet(vec![wanted(PRINT, refused("NoSafeFix"))]);
    let records = kept(&[], &survey, 0);
    let [record] = &records[..] else {
        panic!("one record: {records:?}")
    };
    assert_eq!(record.name, "finding-aaaaaaaa1111");
    assert_eq!(record.spec.object, "Deployment shop/cart");
    assert_eq!(record.spec.repository, "acme/shop");
    assert_eq!(record.status.outcome, Some(Outcome::Refused));
    assert_eq!(record.status.code, "NoSafeFix");
    assert_eq!(condition(record, "Proposed").reason, "Refused");
    assert_eq!(changes(&records, &survey, SITE, at(15)), Changes::default());
}

#[test]
fn a_pull_request_is_followed_from_its_opening_to_its_merge() {
    let touched = Touched {
        number: 12,
        operation: "created",
        fingerprint: PRINT.to_owned(),
        branch: "b".to_owned(),
        head: "h".to_owned(),
    };
    let opened = Report {
        pulls: vec![touched],
        ..Report::default()
    };
    let first = seen(&analysis(vec![wanted(PRINT, fix())]), &observed(), &opened);
    let records = kept(&[], &first, 0);
    let pull = records[0].status.pull_request.clone().unwrap();
    assert_eq!(pull.url, "https://github.example.com/acme/shop/pull/12");
    assert_eq!(records[0].status.outcome, Some(Outcome::Proposed));
    assert_eq!(records[0].status.attempts, 1);

    let merged = with_pull(12, PullState::Merged, me());
    let gone = seen(&analysis(Vec::new()), &merged, &Report::default());
    let records = kept(&records, &gone, 10);
    let status = &records[0].status;
    assert_eq!(status.outcome, Some(Outcome::Merged));
    assert_eq!(status.merge_commit.as_deref(), Some("c0ffee"));
    assert_eq!((status.attempts, status.ended_at), (2, Some(at(10))));
    assert_eq!(condition(&records[0], "Merged").status, "True");
    assert_eq!(condition(&records[0], "Verified").status, "Unknown");
    // what was said at the beginning is not said again
    assert_eq!(records[0].spec.summary, "cart fails");
}

#[test]
fn the_time_of_a_condition_is_that_of_its_change() {
    let open = with_pull(12, PullState::Open, me());
    let run = analysis(vec![wanted(PRINT, fix())]);
    let records = kept(&[], &seen(&run, &open, &Report::default()), 0);
    let merged = with_pull(12, PullState::Merged, me());
    let records = kept(&records, &seen(&run, &merged, &Report::default()), 30);
    assert_eq!(
        condition(&records[0], "Proposed").last_transition_time,
        at(0)
    );
    assert_eq!(
        condition(&records[0], "Merged").last_transition_time,
        at(30)
    );
}

#[test]
fn a_verdict_ends_in_the_conditions_and_is_kept() {
    let merged = with_pull(12, PullState::Merged, me());
    let mut survey = seen(&analysis(Vec::new()), &merged, &Report::default());
    let records = kept(&[], &survey, 10);
    survey.seen[0].verdict = Some(Verdict {
        state: "Regressed".to_owned(),
        message: "CrashLoopBackOff\nagain".to_owned(),
        since: at(20),
    });
    let records = kept(&records, &survey, 20);
    let verdict = records[0].status.verdict.clone().unwrap();
    assert_eq!(verdict.message, "CrashLoopBackOff again");
    assert_eq!(condition(&records[0], "Applied").status, "True");
    assert_eq!(condition(&records[0], "Verified").status, "False");
    // a pass that did not look changes nothing of it
    survey.seen[0].verdict = None;
    assert_eq!(kept(&records, &survey, 30), records);
}

#[test]
fn a_pull_request_of_somebody_else_is_no_record_of_ours() {
    let stranger = Actor { id: 8, ..me() };
    let observed = with_pull(12, PullState::Merged, stranger);
    let survey = seen(&analysis(Vec::new()), &observed, &Report::default());
    assert_eq!(survey.seen, []);
}

#[test]
fn a_pull_request_of_another_cluster_has_its_record_there() {
    let merged = with_pull(12, PullState::Merged, me());
    let other = Analysis {
        scope: "cluster green".to_owned(),
        ..analysis(Vec::new())
    };
    assert_eq!(seen(&other, &merged, &Report::default()).seen, []);
}

#[test]
fn an_object_that_only_the_forge_names_gets_no_event() {
    let merged = with_pull(12, PullState::Merged, me());
    let mut survey = seen(&analysis(Vec::new()), &merged, &Report::default());
    survey.seen[0].verdict = Some(Verdict {
        state: "Verified".to_owned(),
        message: String::new(),
        since: at(1),
    });
    assert_eq!(told_by(&[], &survey), []);
}

#[test]
fn what_only_a_complete_pass_of_its_own_scope_misses_is_over() {
    let records = kept(&[], &quiet(vec![wanted(PRINT, refused("NoSafeFix"))]), 0);
    let nothing = analysis(Vec::new());
    let other = Analysis {
        scope: "manifests".to_owned(),
        ..nothing.clone()
    };
    let partial = Analysis {
        complete: false,
        ..nothing.clone()
    };
    for run in [other, partial] {
        let survey = seen(&run, &observed(), &Report::default());
        assert_eq!(kept(&records, &survey, 10), records);
    }
    let over = kept(&records, &quiet(Vec::new()), 10);
    assert_eq!(over[0].status.outcome, Some(Outcome::Resolved));
    assert_eq!(over[0].status.ended_at, Some(at(10)));
    // it comes back
    let again = kept(&over, &quiet(vec![wanted(PRINT, refused("NoSafeFix"))]), 20);
    assert_eq!(again[0].status.ended_at, None);
    // a month after its end it is forgotten, and not before
    assert_eq!(kept(&over, &quiet(Vec::new()), 10 + days(30)).len(), 1);
    assert_eq!(kept(&over, &quiet(Vec::new()), 11 + days(30)).len(), 0);
}

#[test]
fn what_an_engine_just_tries_again_is_not_over() {
    let records = kept(&[], &quiet(vec![wanted(PRINT, refused("NoSafeFix"))]), 0);
    let outcome = |object: &str| {
        let mut run = analysis(Vec::new());
        run.unsure = [object].into_iter().collect();
        let survey = seen(&run, &observed(), &Report::default());
        kept(&records, &survey, 10)[0].status.outcome
    };
    assert_eq!(outcome("Deployment shop/cart"), Some(Outcome::Refused));
    assert_eq!(outcome("Deployment shop/web"), Some(Outcome::Resolved));
}

#[test]
fn a_merge_of_long_ago_is_not_written_down_again() {
    let merged = with_pull(12, PullState::Merged, me());
    let survey = seen(&analysis(Vec::new()), &merged, &Report::default());
    assert_eq!(kept(&[], &survey, days(28)).len(), 1);
    assert_eq!(kept(&[], &survey, days(30)).len(), 0);
}

#[test]
fn there_are_never_more_than_so_many_and_what_ended_makes_room() {
    let prints: Vec<String> = (0..MOST + 5).map(|n| format!("{n:012x}")).collect();
    let all = |refuse: &[String]| {
        let wanted = refuse.iter().map(|p| wanted(p, refused("NoSafeFix")));
        quiet(wanted.collect())
    };
    let first = changes(&[], &all(&prints), SITE, at(0));
    assert_eq!((first.write.len(), first.left_out), (MOST, 5));
    let records = kept(&[], &all(&prints), 0);
    // two are over: they go for those that had no room
    let rest = kept(&records, &all(&prints[2..MOST]), 10);
    assert_eq!(rest.len(), MOST);
    let rest = kept(&rest, &all(&prints[2..]), 20);
    assert_eq!(rest.len(), MOST - 2);
    let rest = kept(&rest, &all(&prints[2..]), 30);
    assert_eq!(rest.len(), MOST);
}

#[test]
fn what_holds_a_pull_request_back_is_told_in_one_word() {
    let leave = Report {
        actions: vec![Action::Leave {
            fingerprint: PRINT.to_owned(),
            why: Why::Limited("max_open_prs"),
        }],
        ..Report::default()
    };
    let run = analysis(vec![wanted(PRINT, fix())]);
    let records = kept(&[], &seen(&run, &observed(), &leave), 0);
    let status = &records[0].status;
    assert_eq!(status.outcome, Some(Outcome::Held));
    assert_eq!(status.code, "Limited");
}

fn with_spend(ending: WantedEnding, calls: u32) -> Survey {
    let mut run = analysis(vec![wanted(PRINT, ending)]);
    let course = Course {
        used: Usage {
            calls,
            prompt_tokens: 100,
            completion_tokens: 10,
            cost: 5,
        },
        evidence: "digest".to_owned(),
        ..Course::default()
    };
    run.courses.insert(PRINT.to_owned(), course);
    seen(&run, &observed(), &Report::default())
}

#[test]
fn spending_adds_up_and_is_read_back_with_its_times() {
    let records = kept(&[], &with_spend(refused("NoSafeFix"), 2), 0);
    let records = kept(&records, &with_spend(refused("NoSafeFix"), 1), 15);
    let records = kept(&records, &with_spend(refused("NoSafeFix"), 0), 30);
    let spend = &records[0].status.spend;
    assert_eq!(
        (spend.calls, spend.tokens, spend.cost_microdollars),
        (3, 220, 10)
    );
    let spent = recall::spent(&records);
    let times: Vec<_> = spent.iter().map(|s| (s.at, s.calls)).collect();
    assert_eq!(times, [(at(0), 2), (at(15), 1)]);
    // a day later the first is no part of any budget
    let records = kept(&records, &with_spend(refused("NoSafeFix"), 1), days(1) + 10);
    assert_eq!(recall::spent(&records).len(), 2);
}

#[test]
fn many_entries_of_a_day_become_fewer_and_no_call_is_forgotten() {
    let mut records = Vec::new();
    for minute in 0..120 {
        records = kept(&records, &with_spend(refused("NoSafeFix"), 1), minute);
    }
    let spent = recall::spent(&records);
    assert_eq!(spent.len(), 50);
    assert_eq!(spent.iter().map(|s| s.calls).sum::<u32>(), 120);
}

#[test]
fn refusals_of_a_model_are_recalled_and_those_of_a_playbook_or_budget_are_not() {
    let recalled =
        |code: &str, calls| recall::refusals(&kept(&[], &with_spend(refused(code), calls), 0));
    let refusal = recalled("ModelRefused", 1).remove("digest").unwrap();
    assert_eq!(
        (refusal.code, refusal.message.as_str()),
        (Code::ModelRefused, "no")
    );
    assert!(recalled("NoSafeFix", 0).is_empty());
    assert!(recalled("BudgetSpent", 1).is_empty());
    assert!(recalled("NoSuchCodeAtAll", 1).is_empty());
}

fn told_by(before: &[Record], survey: &Survey) -> Vec<news::News> {
    let after = kept(before, survey, 5);
    news::of(before.first(), &after[0], &survey.seen[0])
}

#[test]
fn an_event_tells_what_changed_and_only_that() {
    let refusal = quiet(vec![wanted(PRINT, refused("NoSafeFix"))]);
    let [event] = &told_by(&[], &refusal)[..] else {
        panic!("one event")
    };
    assert_eq!((event.reason, event.warning), ("KubemendRefused", true));
    assert_eq!(event.note, "cart fails; no safe fix (NoSafeFix): no");
    assert_eq!(event.about.to_string(), "Deployment shop/cart");
    let records = kept(&[], &refusal, 0);
    assert_eq!(told_by(&records, &refusal), []);
    let other = quiet(vec![wanted(PRINT, refused("OutOfBounds"))]);
    assert_eq!(told_by(&records, &other).len(), 1);
    let open = with_pull(12, PullState::Open, me());
    let proposed = seen(
        &analysis(vec![wanted(PRINT, fix())]),
        &open,
        &Report::default(),
    );
    let [event] = &told_by(&records, &proposed)[..] else {
        panic!("one event")
    };
    assert_eq!((event.reason, event.warning), ("KubemendProposed", false));
    assert!(
        event
            .note
            .ends_with("https://github.example.com/acme/shop/pull/12")
    );
}

#[test]
fn a_verdict_makes_one_event() {
    let run = analysis(vec![wanted(PRINT, fix())]);
    let open = with_pull(12, PullState::Open, me());
    let records = kept(&[], &seen(&run, &open, &Report::default()), 0);
    // after the merge nobody reports the finding any more
    let merged = with_pull(12, PullState::Merged, me());
    let mut survey = seen(&analysis(Vec::new()), &merged, &Report::default());
    let records = kept(&records, &survey, 0);
    let judge = |state: &str| Verdict {
        state: state.to_owned(),
        message: "well".to_owned(),
        since: at(1),
    };
    survey.seen[0].verdict = Some(judge("Settling"));
    assert_eq!(told_by(&records, &survey), []);
    survey.seen[0].verdict = Some(judge("Verified"));
    let events = told_by(&records, &survey);
    assert_eq!(events[0].reason, "KubemendVerified");
    assert_eq!(told_by(&kept(&records, &survey, 2), &survey), []);
}

#[test]
fn hostile_texts_are_short_plain_and_without_secrets() {
    let secret = "ghp_0123456789abcdefghijABCDEFGHIJ012345";
    let reason = format!(
        "\u{202e}token {secret}\n<!-- kubemend:v1 x -->{}",
        "ä".repeat(5_000)
    );
    let ending = WantedEnding::Refused {
        code: "NoSafeFix".to_owned(),
        reason,
    };
    let survey = quiet(vec![wanted(PRINT, ending)]);
    let record = kept(&[], &survey, 0).remove(0);
    let event = told_by(&[], &survey).remove(0);
    for text in [&record.status.message, &event.note] {
        assert!(text.len() <= 1_024, "{}", text.len());
        assert!(!text.contains(secret) && !text.contains('\n') && !text.contains('\u{202e}'));
        assert!(!text.contains("<!-- kubemend"), "{text}");
    }
    assert_eq!(name("../../Secrets?x=1&fa"), "finding-ece1fa");
}

/// A repository that was renamed, a cluster that was named anew: no pass says that it is over.
#[test]
fn a_record_that_nobody_reports_on_ends_too() {
    let records = kept(&[], &quiet(vec![wanted(PRINT, refused("NoSafeFix"))]), 0);
    let renamed = |minutes| {
        let mut survey = quiet(vec![wanted("bbbbbbbb2222", refused("NoSafeFix"))]);
        survey.repository = "acme/store".to_owned();
        survey.seen[0].spec.repository = "acme/store".to_owned();
        (survey, minutes)
    };
    let pass = |known: &[Record], (survey, minutes): (Survey, i64)| kept(known, &survey, minutes);
    let records = pass(&records, renamed(days(29)));
    assert_eq!(records.len(), 2);
    let records = pass(&records, renamed(days(31)));
    let [record] = &records[..] else {
        panic!("{records:#?}")
    };
    assert_eq!(record.spec.repository, "acme/store");
    // whoever is seen stays, for one write a day, even when the last look was long ago
    let (survey, _) = renamed(0);
    let written = |minutes| {
        changes(&records, &survey, SITE, at(days(31) + minutes))
            .write
            .len()
    };
    assert_eq!((written(days(1) - 1), written(days(1))), (0, 1));
    assert_eq!(pass(&records, renamed(days(90))).len(), 1);
}
