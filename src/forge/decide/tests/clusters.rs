//! One pull request for several clusters: joined, left, and closed only when nobody reports it.

use super::*;
use crate::code::Code;
use crate::forge::reporters::Reporter;

const A: &str = "cluster a";
const B: &str = "cluster b";

fn seen_by(scope: &str, wanted: Vec<Wanted>) -> Analysis {
    Analysis {
        scope: scope.to_owned(),
        ..analysis(wanted)
    }
}

fn reporter(scope: &str, hours: i64) -> Reporter {
    Reporter {
        scope: scope.to_owned(),
        seen: ago(hours),
        ..Reporter::default()
    }
}

/// A pull request for the usual fix that these reported so many hours ago; the first one opened it.
fn reported(by: &[(&str, i64)], change: impl Fn(&mut OurPull, &mut Marker)) -> Forge {
    Forge::new().with(1, 10, |p, m| {
        m.scope = by[0].0.to_owned();
        m.reporters = by.iter().map(|(s, hours)| reporter(s, *hours)).collect();
        change(p, m);
    })
}

fn both() -> Forge {
    reported(&[(A, 1), (B, 1)], |_, _| {})
}

fn enlists(n: u32) -> Action {
    Action::Enlist {
        fingerprint: fp(n),
        number: 10,
    }
}

fn observes(healthy: bool) -> Action {
    Action::Observe {
        number: 10,
        healthy,
    }
}

const PARTS: Action = Action::Part { number: 10 };

#[test]
fn the_second_cluster_joins_once() {
    let by_a = || reported(&[(A, 1)], |_, _| {});
    let current = leaves(1, Why::Current(10));
    let joins = by_a().decide(&seen_by(B, vec![wants(1)]));
    assert_eq!(joins, [current.clone(), enlists(1)]);
    let again = both().decide(&seen_by(B, vec![wants(1)]));
    assert_eq!(again, [current.clone()]);
    let opener = both().decide(&seen_by(A, vec![wants(1)]));
    assert_eq!(opener, [current.clone()]);
    // runs without a cluster say nothing about one
    let manifests = by_a().for_wanted(vec![wants(1)]);
    assert_eq!(manifests, [current.clone()]);
    // a word is worth something for a day; alone it always is
    let old = reported(&[(A, 30), (B, 1)], |_, _| {});
    let word = [current.clone(), enlists(1)];
    assert_eq!(old.decide(&seen_by(A, vec![wants(1)])), word);
    let alone = reported(&[(A, 3_000)], |_, _| {});
    assert_eq!(alone.decide(&seen_by(A, vec![wants(1)])), [current]);
}

/// Two runs with two opinions would go on for ever.
#[test]
fn only_one_of_them_keeps_the_text_and_the_change() {
    let other = || {
        let fix = |f: &mut Fix| {
            f.body = "what this cluster sees".to_owned();
            f.result = "more".to_owned();
        };
        vec![wants_with(1, fix)]
    };
    let in_b = both().decide(&seen_by(B, other()));
    assert_eq!(in_b, [leaves(1, Why::Current(10)), enlists(1)], "says so");
    let said = reported(&[(A, 1), (B, 1)], |_, m| {
        m.reporters[1].instead = "Fix 1".to_owned();
    });
    let WantedEnding::Fix(fix) = &other()[0].ending else {
        unreachable!()
    };
    assert_eq!(fix.title, "Fix 1");
    let again = said.decide(&seen_by(B, other()));
    assert_eq!(again, [leaves(1, Why::Current(10))], "once");
    let in_a = both().decide(&seen_by(A, other()));
    assert_eq!(in_a, [refreshes(1, 10, true)], "who opened it");
    // who opened it left, or was silent for a week
    let left = reported(&[(A, 1), (B, 1)], |_, m| {
        m.reporters.remove(0);
    });
    let silent = reported(&[(A, 7 * 24), (B, 1)], |_, _| {});
    for forge in [left, silent] {
        let in_b = forge.decide(&seen_by(B, other()));
        assert_eq!(in_b, [refreshes(1, 10, true)]);
    }
}

/// A hint of a person is taken up by one of them, too.
#[test]
fn an_answer_is_carried_out_by_one_of_them() {
    let answered = || {
        let fix = |f: &mut Fix| {
            f.result = "hinted".to_owned();
            f.asked_for = true;
        };
        vec![wants_with(1, fix)]
    };
    let in_b = both().decide(&seen_by(B, answered()));
    assert!(!in_b.contains(&refreshes(1, 10, true)), "{in_b:?}");
    let in_a = both().decide(&seen_by(A, answered()));
    assert_eq!(in_a, [refreshes(1, 10, true)]);
}

#[test]
fn who_does_not_see_it_any_more_leaves_slowly_and_the_last_one_closes() {
    let gone = |counted| {
        let forge = reported(&[(A, 1), (B, 1)], |_, m| {
            m.reporters[0].healthy.clone_from(&counted);
        });
        forge.decide(&seen_by(A, vec![]))
    };
    assert_eq!(gone(None), [observes(true)]);
    assert_eq!(gone(healthy(2, now())), [observes(true)]);
    assert_eq!(gone(healthy(3, now())), [], "enough, but too soon");
    assert_eq!(gone(healthy(2, ago(1))), [PARTS]);
    // not even a day as a draft closes it while another cluster is listed
    let retired = reported(&[(A, 1), (B, 1)], |_, m| m.retired = Some(ago(100)));
    let in_a = retired.decide(&seen_by(A, vec![]));
    assert_eq!(in_a, [observes(true)]);
    // gone: listed no more, and nothing to say about it
    let left = || {
        reported(&[(A, 1), (B, 1)], |_, m| {
            m.reporters.remove(0);
            m.retired = Some(ago(100));
        })
    };
    assert_eq!(left().decide(&seen_by(A, vec![])), []);
    let closed = [closes(10, ClosedBecause::Resolved, None)];
    assert_eq!(left().decide(&seen_by(B, vec![])), closed);
}

#[test]
fn silence_and_what_could_not_be_read_count_as_still_there() {
    let counted = |hours| {
        reported(&[(A, 1), (B, hours)], |_, m| {
            m.reporters[0].healthy = healthy(5, ago(9));
            m.retired = Some(ago(100));
        })
    };
    assert_eq!(counted(6 * 24).decide(&seen_by(A, vec![])), [PARTS]);
    let expired = counted(7 * 24).decide(&seen_by(A, vec![]));
    assert_eq!(expired, [closes(10, ClosedBecause::Resolved, None)]);
    let mut partial = seen_by(A, vec![]);
    partial.complete = false;
    assert_eq!(counted(1).decide(&partial), []);
    let other = seen_by("cluster c", vec![]);
    assert_eq!(counted(1).decide(&other), [], "not its business");
}

#[test]
fn whoever_sees_it_takes_back_that_it_looked_resolved() {
    let retired = reported(&[(A, 1)], |_, m| {
        m.retired = Some(ago(1));
        m.healthy = healthy(5, ago(9));
    });
    let in_b = retired.decide(&seen_by(B, vec![wants(1)]));
    let current = leaves(1, Why::Current(10));
    assert_eq!(in_b, [current, enlists(1), observes(false)]);
    let again = reported(&[(A, 1), (B, 1)], |_, m| {
        m.reporters[1].healthy = healthy(1, ago(1));
    });
    let in_b = again.decide(&seen_by(B, vec![wants(1)]));
    assert_eq!(in_b, [leaves(1, Why::Current(10)), observes(false)]);
}

/// Another class of failure that the same change mends.
#[test]
fn another_finding_with_the_same_target_joins_in_its_cluster_too() {
    let same_place = |result: &'static str| {
        let fix = fix(1);
        wants_with(2, move |f| {
            f.target = fix.target.clone();
            f.change = fix.change.clone();
            f.result = result.to_owned();
        })
    };
    let result = fix(1).result;
    let result: &'static str = Box::leak(result.into_boxed_str());
    let joins = reported(&[(A, 1)], |_, _| {}).decide(&seen_by(B, vec![same_place(result)]));
    let joined = Action::Join {
        fingerprint: fp(2),
        number: Some(10),
    };
    assert_eq!(joins, [joined]);
    let known = |by: &[(&str, i64)]| reported(by, |_, m| m.also = vec![fp(2), "key2".to_owned()]);
    let current = leaves(2, Why::Current(10));
    let in_b = known(&[(A, 1), (B, 1)]).decide(&seen_by(B, vec![same_place(result)]));
    assert_eq!(in_b, [current.clone()]);
    let in_b = known(&[(A, 1)]).decide(&seen_by(B, vec![same_place(result)]));
    assert_eq!(in_b, [current.clone(), enlists(2)]);
    let in_b = known(&[(A, 1), (B, 1)]).decide(&seen_by(B, vec![same_place("other")]));
    assert_eq!(in_b, [current, enlists(2)], "one for one place: it says so");
}

/// Rows 5, 8, 68: a no, a freeze, a pause hold everywhere.
#[test]
fn what_people_said_holds_in_every_cluster() {
    for label in [STOP_UPDATING, IGNORED] {
        let freeze = |p: &mut OurPull| p.pull.labels.push(label.to_owned());
        let forge = reported(&[(A, 1)], |p, _| freeze(p));
        let in_b = forge.decide(&seen_by(B, vec![wants(1)]));
        assert!(!in_b.contains(&enlists(1)), "{in_b:?}");
        let gone = reported(&[(A, 1), (B, 1)], |p, m| {
            m.reporters[0].healthy = healthy(5, ago(9));
            freeze(p);
        });
        assert_eq!(gone.decide(&seen_by(A, vec![])), []);
    }
    let no = Forge::new().closed(1, 10, HUMAN, 1, |_, m| {
        m.scope = A.to_owned();
        m.reporters = vec![reporter(A, 1)];
    });
    let in_b = no.decide(&seen_by(B, vec![wants(1)]));
    assert_eq!(in_b[0], leaves(1, Why::ClosedByHuman(10)));
    let paused = both().set(|f| {
        f.observed.paused = Some(Paused {
            by: "alice".to_owned(),
            since: now(),
        });
    });
    let in_b = paused.decide(&seen_by(B, vec![wants(1)]));
    assert_eq!(in_b, [leaves(1, Why::Paused)]);
}

/// Whoever keeps what people work on does what they ask for: who that is has to be known there, too.
#[test]
fn what_people_work_on_is_joined_and_left_and_nothing_else() {
    let in_hand: [fn(&mut OurPull); 2] = [
        |p| p.foreign_commits = Some(1),
        |p| p.pull.base_ref = "release".to_owned(),
    ];
    let topics = [Topic::HandsOff, Topic::Retargeted];
    fn counted(m: &mut Marker) {
        m.reporters[0].healthy = healthy(5, ago(9));
    }
    for (topic, in_hand) in topics.into_iter().zip(in_hand) {
        let told = |by: &[(&str, i64)], change: fn(&mut Marker)| {
            reported(by, |p, m| {
                m.told = vec![topic.as_str().to_owned()];
                in_hand(p);
                change(m);
            })
        };
        let hands_off = leaves(1, Why::HandsOff(10));
        let in_b = told(&[(A, 1)], |_| ()).decide(&seen_by(B, vec![wants(1)]));
        assert_eq!(in_b, [hands_off.clone(), enlists(1)]);
        let both = || [(A, 1), (B, 1)];
        let again = told(&both(), |_| ()).decide(&seen_by(B, vec![wants(1)]));
        assert_eq!(again, [hands_off.clone()]);
        // who sees it no more leaves slowly, and the last one closes nothing
        let gone = |by: &[(&str, i64)], change| told(by, change).decide(&seen_by(A, vec![]));
        assert_eq!(gone(&both(), |_| ()), [observes(true)]);
        assert_eq!(gone(&both(), counted), [PARTS]);
        assert_eq!(gone(&[(A, 1)], counted), []);
        let ill = told(&both(), counted).decide(&seen_by(A, vec![wants(1)]));
        assert_eq!(ill, [hands_off.clone(), observes(false)]);
        // a draft stays one
        let retired: fn(&mut Marker) = |m| {
            counted(m);
            m.retired = Some(ago(1));
        };
        let ill = told(&both(), retired).decide(&seen_by(A, vec![wants(1)]));
        assert_eq!(ill, [hands_off]);
    }
}

/// Whoever keeps it goes on giving its word where it writes nothing else.
#[test]
fn a_loop_does_not_silence_the_one_that_keeps_it() {
    let forge = reported(&[(A, 30), (B, 1)], |_, m| {
        m.told = vec![Topic::Loop.as_str().to_owned()];
        m.result = "other".to_owned();
    });
    let in_a = forge.decide(&seen_by(A, vec![wants(1)]));
    assert_eq!(in_a, [leaves(1, Why::Loop(10)), enlists(1)]);
}

fn refused(code: Code) -> WantedEnding {
    WantedEnding::Refused {
        code: code.as_str().to_owned(),
        reason: "so it is".to_owned(),
    }
}

/// A run whose model may not be asked for an hour has not changed its mind about a change.
#[test]
fn a_passing_refusal_takes_no_word_back() {
    let word = |before: &str, code: Code| {
        let forge = reported(&[(A, 1), (B, 1)], |_, m| {
            let mine = m.reporters.iter_mut().find(|r| r.scope == B);
            mine.unwrap().without = before.to_owned();
        });
        let held = forge.observed.markers[&10].clone();
        let analysis = seen_by(B, vec![wanted(1, refused(code))]);
        let said = super::super::clusters::word(&analysis, &analysis.wanted[0], &held, ago(0));
        said.without
    };
    assert_eq!(word("", Code::BudgetSpent), "");
    assert_eq!(word("", Code::ModelUnusable), "");
    assert_eq!(word("NoSafeFix", Code::BudgetSpent), "NoSafeFix");
    assert_eq!(word("", Code::NoSafeFix), "NoSafeFix");
}

/// The object has the same name in two overlays: only a change that reaches it is its business.
#[test]
fn one_without_a_fix_joins_where_the_change_reaches_it() {
    let joins = |edited: &[&str], reads: &[&str]| {
        let forge = reported(&[(A, 1), ("cluster c", 1)], |_, m| {
            let files = edited.iter();
            m.expects = files.map(|f| expected(f)).collect();
        });
        let analysis = Analysis {
            reads: reads.iter().map(|r| (*r).to_owned()).collect(),
            ..seen_by(B, vec![asks(1)])
        };
        forge.decide(&analysis).contains(&Action::Enlist {
            fingerprint: fp(1),
            number: 10,
        })
    };
    let staging = ["base/web.yaml", "overlays/staging"];
    assert!(!joins(&["overlays/prod/web.yaml"], &staging));
    assert!(!joins(&["overlays/staging-eu/web.yaml"], &staging));
    assert!(joins(&["base/web.yaml"], &staging), "both read it");
    assert!(
        joins(&["overlays/staging/new.yaml"], &staging),
        "a new patch"
    );
    assert!(joins(
        &["overlays/prod/web.yaml", "base/web.yaml"],
        &staging
    ));
    assert!(joins(&["web.yaml"], &[""]), "the root of the repository");
    assert!(joins(&["overlays/prod/web.yaml"], &[]), "nobody knows");
    assert!(joins(&[], &staging), "nobody knows");
}

fn expected(file: &str) -> Expected {
    Expected {
        object: ObjectRef::new("apps/v1", "Deployment", Some("shop"), "app1"),
        file: file.to_owned(),
        path: "spec.replicas".parse().unwrap(),
        to: crate::verify::expect::Wished::Gone,
    }
}

/// In one cluster the failure moved to another file, or became another one: others still need it.
#[test]
fn nothing_that_others_need_is_replaced() {
    let moved = || Wanted {
        key: "key1".to_owned(),
        ..wants(2)
    };
    let alone = reported(&[(A, 1)], |_, _| {}).decide(&seen_by(A, vec![moved()]));
    let superseded = closes(10, ClosedBecause::Superseded, Some(2));
    assert_eq!(alone, [opens(2), superseded]);
    let in_a = both().decide(&seen_by(A, vec![moved()]));
    assert_eq!(in_a, [opens(2)]);
}

#[test]
fn a_full_list_takes_no_more() {
    let names: Vec<String> = (0..16).map(|n| format!("cluster x{n}")).collect();
    let by: Vec<(&str, i64)> = names.iter().map(|n| (n.as_str(), 1)).collect();
    let full = reported(&by, |_, _| {});
    let marker = &full.observed.markers[&10];
    assert_eq!(marker.reporters.len(), crate::forge::reporters::MOST);
    let mut marker = marker.clone();
    assert!(!marker.enlist(reporter(B, 0), now()));
}
