//! Row 10 and the kills: whatever GitHub answers at whatever request, and wherever a pass is killed,
//! nothing is closed, doubled or lost, and the next passes end where an undisturbed one ends.

use std::cell::RefCell;
use std::collections::BTreeMap;

use kubemend::forge::marker::{self, ClosedBecause};

use crate::lifecycle::{App, Stage, app, seed, stage_on};
use crate::support::github::{Fault, Moment, On, State, wire::Reply};

/// What is there in the end, without numbers and times.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct End {
    what: String,
    open: bool,
    draft: bool,
    assignees: usize,
    files: Vec<String>,
    labels: Vec<String>,
    /// Comments by their first words.
    comments: Vec<String>,
    closed: String,
    /// What the marker says that was told and labelled.
    done: Vec<String>,
}

/// A repository in which every kind of action is due: one pull request to open, one to open as a
/// draft and assign, one to change, one to make again on the new base, one with a person's commit,
/// one that a person closed, one that looks resolved, one whose grace is over, one that moved, a
/// branch to delete, a question to ask, one to bring up to date, one that is answered.
async fn busy() -> Stage {
    let seed = NAMES.iter().fold(seed(), |seed, name| {
        let text = format!("name: {name}\nmemory: 256Mi\n");
        seed.file(&format!("apps/{name}.yaml"), text)
    });
    let seed = seed.file("CODEOWNERS", "* @alice\n");
    let mut stage = stage_on(seed, Vec::new()).await;
    stage.rules.dashboard = true;
    stage.rules.max_open_prs = 50;
    stage.rules.hard_cap = 50;
    stage.rules.max_open_per_namespace = 50;
    stage.rules.max_prs_per_hour = 50;
    stage.rules.assign_code_owners = 1;
    stage.rules.inactivity_pause = 0;
    stage.rules.cooldown_after_close = jiff::SignedDuration::ZERO;
    let asks = |name| App {
        asks: true,
        ..app(name)
    };
    stage.apps = vec![
        app("b-change"),
        app("c-conflict"),
        app("d-pushed"),
        app("e-closed"),
        app("f-resolved"),
        app("g-over"),
        app("h-moved"),
        app("i-branch"),
        app("o-fresh"),
        asks("k-stale"),
        asks("l-answered"),
        asks("n-gone"),
    ];
    stage.clean().await;
    let of = |name: &str| {
        let pulls = stage.github.open_pulls();
        pulls
            .iter()
            .find(|p| p.title.contains(name))
            .unwrap()
            .number
    };
    let (pushed, closed) = (stage.branch_of(of("d-pushed")), of("e-closed"));
    let gone = of("i-branch");
    stage.github.human("alice").close(gone);
    // one looks resolved for long, another one for a shorter time
    let without = |stage: &mut Stage, names: &[&str]| {
        stage.apps.retain(|a| !names.contains(&a.name));
    };
    without(&mut stage, &["g-over", "n-gone", "i-branch"]);
    for minutes in [1, 31, 1] {
        stage.clean().await;
        stage.minutes(minutes);
    }
    stage.clean().await;
    without(&mut stage, &["f-resolved"]);
    for minutes in [10, 10] {
        stage.minutes(minutes);
        stage.clean().await;
    }
    stage.hours(24 * 7);
    let (alice, bob) = (stage.github.human("alice"), stage.github.human("bob"));
    alice.close(closed);
    bob.push(&pushed, &[("x.yaml", "x: 1\n")]);
    bob.push(
        "main",
        &[
            ("apps/c-conflict.yaml", "name: changed\nmemory: 256Mi\n"),
            ("new/h-moved.yaml", "name: h-moved\nmemory: 256Mi\n"),
        ],
    );
    without(&mut stage, &["o-fresh"]);
    for one in &mut stage.apps {
        match one.name {
            "b-change" => one.memory = "1Gi",
            "h-moved" => one.file = "new/h-moved.yaml".to_owned(),
            "k-stale" => one.evidence = "killed 9 times",
            "l-answered" => one.asks = false,
            _ => {}
        }
    }
    stage.apps.push(app("a-new"));
    stage.apps.push(App {
        draft: true,
        ..app("j-draft")
    });
    stage.apps.push(asks("m-asked"));
    // GitHub has thought about conflicts by now
    let client = stage.client();
    for number in stage.open() {
        client.pull(number).await.unwrap();
    }
    stage.github.forget();
    stage
}

const NAMES: [&str; 15] = [
    "a-new",
    "b-change",
    "c-conflict",
    "d-pushed",
    "e-closed",
    "f-resolved",
    "g-over",
    "h-moved",
    "i-branch",
    "j-draft",
    "k-stale",
    "l-answered",
    "m-asked",
    "n-gone",
    "o-fresh",
];

/// Without numbers: they differ with the order in which things were opened.
fn first_words(text: &str) -> String {
    let start = text.chars().take(20);
    start.filter(|c| !c.is_ascii_digit()).collect()
}

fn end(stage: &Stage) -> Vec<End> {
    let mut all: Vec<End> = Vec::new();
    for item in stage.github.items() {
        let read = marker::read(&item.body, stage.key.as_ref());
        let said = read.marker().cloned().unwrap_or_default();
        let mut done = [said.told, said.labels].concat();
        done.sort();
        let files = item.pull.as_ref().filter(|_| item.open).map(|p| {
            let files = NAMES
                .iter()
                .flat_map(|n| ["apps", "new"].map(|folder| format!("{folder}/{n}.yaml")));
            let of = |f: &String| stage.github.file(&p.head_ref, f);
            files.filter_map(|f| of(&f)).collect()
        });
        all.push(End {
            what: format!("{} {}", item.title, item.pull.is_some()),
            open: item.open,
            draft: item.pull.as_ref().is_some_and(|p| p.draft),
            assignees: item.assignees.len(),
            files: files.unwrap_or_default(),
            labels: item.labels.clone(),
            comments: item
                .comments
                .iter()
                .filter(|c| !c.minimized)
                .map(|c| first_words(&c.body))
                .collect(),
            closed: format!("{:?}", said.closed),
            done,
        });
    }
    // what was delivered twice was closed as a double
    all.retain(|e| !(e.what.starts_with("How much") && e.closed == "Some(Superseded)"));
    all.sort();
    all
}

/// More than one open pull request for one finding.
fn doubled(stage: &Stage) -> Option<String> {
    let mut open: BTreeMap<String, usize> = BTreeMap::new();
    for pull in stage.github.open_pulls() {
        let read = marker::read(&pull.body, stage.key.as_ref());
        let fingerprint = read.marker().map(|m| m.fingerprint.clone());
        *open.entry(fingerprint.unwrap_or_default()).or_default() += 1;
    }
    let doubled: Vec<_> = open.iter().filter(|(_, n)| **n > 1).collect();
    (!doubled.is_empty()).then(|| format!("doubled: {doubled:?}"))
}

/// Passes until nothing is written any more.
async fn settle(stage: &Stage, context: &str) {
    for _ in 0..6 {
        stage.github.forget();
        let report = stage.pass().await;
        assert_eq!(report.frozen, None, "{context}: {report:#?}");
        if stage.github.writes().is_empty() {
            return;
        }
    }
    let writes = stage.github.writes();
    panic!("{context}: still writing: {writes:#?}");
}

#[tokio::test]
async fn the_busy_pass_does_everything_at_once() {
    let stage = busy().await;
    let report = stage.clean().await;
    let mut kinds: Vec<String> = report
        .actions
        .iter()
        .map(|a| {
            let text = format!("{a:?}");
            text.split([' ', '{']).next().unwrap_or_default().to_owned()
        })
        .collect();
    kinds.sort();
    kinds.dedup();
    assert_eq!(
        kinds,
        [
            "Ask",
            "Close",
            "DeleteBranch",
            "Leave",
            "Notice",
            "Observe",
            "Open",
            "Refresh",
            "Retire"
        ],
        "{:#?}",
        report.actions
    );
}

/// Row 4, for every way in which something can stand or end.
#[tokio::test]
async fn a_repeated_pass_over_every_state_writes_nothing() {
    let stage = busy().await;
    stage.clean().await;
    let of = |name: &str| {
        let mut pulls = stage.github.pulls();
        pulls.retain(|p| p.title.contains(name));
        pulls.pop().unwrap()
    };
    stage
        .github
        .human("alice")
        .merge(of("a-new").number, "squash");
    settle(&stage, "merged").await;
    stage.idle().await;
    stage.idle().await;
    let closed = |name: &str| {
        let pull = of(name);
        (pull.open, stage.marker(pull.number).closed)
    };
    assert!(of("a-new").pull.unwrap().merged_at.is_some());
    assert!(of("d-pushed").open);
    assert_eq!(closed("e-closed"), (false, None), "by a person");
    assert_eq!(closed("g-over"), (false, Some(ClosedBecause::Resolved)));
    let questions = stage.github.issues().into_iter();
    let questions = questions.filter(|i| i.title.contains("l-answered"));
    let because: Vec<_> = questions
        .map(|q| (q.open, stage.marker(q.number).closed))
        .collect();
    assert_eq!(because, [(false, Some(ClosedBecause::Answered))]);
}

pub(crate) fn faults() -> Vec<(&'static str, fn(jiff::Timestamp) -> Fault)> {
    vec![
        ("403", |_| {
            Fault::status(403, "Resource not accessible by integration")
        }),
        ("404", |_| Fault::status(404, "Not Found")),
        ("409", |_| Fault::status(409, "Conflict")),
        ("422", |_| Fault::status(422, "Validation Failed")),
        ("429", |_| Fault::secondary_limit(429, Some(7200))),
        ("429 without a time", |_| Fault::secondary_limit(429, None)),
        ("403 limit", |now| {
            Fault::primary_limit(
                now.checked_add(jiff::SignedDuration::from_hours(1))
                    .unwrap(),
            )
        }),
        ("500", |_| Fault::status(500, "Server Error")),
        ("502 after", |_| Fault::done_but_502()),
        ("cut before", |_| Fault::Cut(Moment::Before)),
        ("cut after", |_| Fault::Cut(Moment::After)),
        ("twice", |_| Fault::Twice),
        ("nonsense", |_| {
            Fault::Answer(
                Moment::Before,
                Reply::error(200, "no JSON that anybody expects"),
            )
        }),
    ]
}

/// The busy repository, and where it was before the pass: each case starts there.
struct Lab {
    stage: Stage,
    start: State,
    requests: usize,
    expected: Vec<End>,
    /// States from which the end was reached. A pass is a fresh process, so the same state has the
    /// same end.
    good: RefCell<Vec<State>>,
}

impl Lab {
    async fn new() -> Self {
        let stage = busy().await;
        let start = stage.github.world().state.clone();
        stage.clean().await;
        let requests = stage.github.journal().len();
        settle(&stage, "undisturbed").await;
        let expected = end(&stage);
        Self {
            stage,
            start,
            requests,
            expected,
            good: RefCell::default(),
        }
    }

    fn reset(&self) {
        let mut world = self.stage.github.world();
        world.state = self.start.clone();
        world.limits.used = 0;
        world.faults.clear();
    }

    /// What is wrong after a disturbed pass, if anything is: doubled right away, or another end
    /// than that of an undisturbed pass.
    async fn wrong(&self) -> Option<String> {
        let left = self.stage.github.world().state.clone();
        if self.good.borrow().contains(&left) {
            return None;
        }
        let wrong = self.wrong_from_here().await;
        if wrong.is_none() {
            self.good.borrow_mut().push(left);
        }
        wrong
    }

    async fn wrong_from_here(&self) -> Option<String> {
        if let Some(doubled) = doubled(&self.stage) {
            return Some(doubled);
        }
        for _ in 0..6 {
            let report = self.stage.pass().await;
            if let Some(error) = report.frozen {
                return Some(format!("a clean pass froze: {error}"));
            }
            if let Some(doubled) = doubled(&self.stage) {
                return Some(doubled);
            }
            if end(&self.stage) == self.expected {
                settle(&self.stage, "the end").await;
                let still = end(&self.stage) == self.expected;
                return (!still).then(|| "it does not stay so".to_owned());
            }
        }
        let found = end(&self.stage);
        let new: Vec<_> = found
            .iter()
            .filter(|e| !self.expected.contains(e))
            .collect();
        let lost: Vec<_> = self
            .expected
            .iter()
            .filter(|e| !found.contains(e))
            .collect();
        Some(format!("found {new:?}, expected {lost:?}"))
    }

    async fn check(&self, context: &str) {
        let wrong = self.wrong().await;
        assert_eq!(wrong, None, "{context}");
    }
}

/// A 404 to this one says that there is no CODEOWNERS file: true in most repositories, and nobody can
/// tell it from a lie. Then nobody is assigned.
fn asked_for_owners(stage: &Stage, at: usize) -> bool {
    let asked = stage.github.journal();
    asked.get(at - 1).is_some_and(|e| {
        e.method == "GET" && e.path.contains("/contents/") && e.path.contains("CODEOWNERS")
    })
}

/// Every fault at every request of the pass. In several tests, so that they run side by side.
async fn every_fault(shard: usize) {
    let mut lab = Lab::new().await;
    lab.stage.impatient = true;
    let faults = faults();
    let (mut cases, mut lies, mut failures) = (0, 0, Vec::new());
    for at in 1..=lab.requests + 5 {
        for (nth, (name, fault)) in faults.iter().enumerate() {
            if (at * faults.len() + nth) % SHARDS != shard {
                continue;
            }
            lab.reset();
            let now = lab.stage.github.now();
            lab.stage.github.forget();
            lab.stage.github.fault(On::all().nth(at), fault(now));
            lab.stage.pass().await;
            lab.stage.github.heal();
            lab.stage.github.world().limits.used = 0;
            if *name == "404" && asked_for_owners(&lab.stage, at) {
                lies += 1;
                continue;
            }
            cases += 1;
            if let Some(wrong) = lab.wrong().await {
                failures.push(format!("{name} at request {at}: {wrong}"));
            }
        }
    }
    assert!(cases > 100 && lies < 10, "{cases}, {lies}");
    assert!(
        failures.is_empty(),
        "{} of {cases}: {failures:#?}",
        failures.len()
    );
}

const SHARDS: usize = 4;

#[tokio::test]
async fn every_fault_at_every_request_1() {
    every_fault(0).await;
}

#[tokio::test]
async fn every_fault_at_every_request_2() {
    every_fault(1).await;
}

#[tokio::test]
async fn every_fault_at_every_request_3() {
    every_fault(2).await;
}

#[tokio::test]
async fn every_fault_at_every_request_4() {
    every_fault(3).await;
}

/// Killed at every request, before and after it took effect.
#[tokio::test]
async fn a_kill_at_every_request_converges() {
    let lab = Lab::new().await;
    let mut killed = 0;
    for at in 1..=lab.requests {
        for moment in [Moment::Before, Moment::After] {
            lab.reset();
            let pass = lab.stage.pass();
            let ended = lab.stage.github.kill_at(at, moment, pass).await;
            killed += usize::from(ended.is_none());
            lab.check(&format!("killed at {at}, {moment:?}")).await;
        }
    }
    assert!(killed >= 2 * lab.requests - 2, "{killed}");
}

/// More than 500 kills at random requests, several in a row, with time passing in between.
#[tokio::test]
async fn five_hundred_random_kills_converge() {
    let lab = Lab::new().await;
    let mut seed = 20_261_124_u64;
    let mut random = |most: usize| {
        seed = seed
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(seed >> 33).unwrap() % most
    };
    let mut kills = 0;
    while kills < 510 {
        lab.reset();
        let mut story = Vec::new();
        for _ in 0..=random(4) {
            let at = 1 + random(lab.requests);
            let moment = [Moment::Before, Moment::After][random(2)];
            let pass = lab.stage.pass();
            let ended = lab.stage.github.kill_at(at, moment, pass).await;
            kills += usize::from(ended.is_none());
            story.push((at, moment));
            assert_eq!(doubled(&lab.stage), None, "{story:?}");
        }
        lab.check(&format!("{story:?}")).await;
    }
}

/// The checks themselves: what is planted is found.
#[tokio::test]
async fn what_is_planted_is_found() {
    let lab = Lab::new().await;
    let bot = || lab.stage.github.human("kubemend-bot");
    let settled = lab.stage.github.world().state.clone();
    let of = |name: &str| {
        let mut items = lab.stage.github.items();
        items.retain(|i| i.title.contains(name));
        items.pop().unwrap()
    };
    assert_eq!(doubled(&lab.stage), None);
    let new = of("a-new");
    bot().push("kubemend/shop/other-0a1b2c3d", &[("x.yaml", "x: 1\n")]);
    bot().open_pull(
        "kubemend/shop/other-0a1b2c3d",
        "main",
        &new.title,
        &new.body,
    );
    assert!(doubled(&lab.stage).is_some(), "two for one finding");

    let alice = || lab.stage.github.human("alice");
    type Plant<'a> = (&'a str, &'a dyn Fn());
    let plants: [Plant<'_>; 6] = [
        ("a label is gone", &|| {
            alice().unlabel(of("a-new").number, "kubemend")
        }),
        ("a pull request is closed", &|| {
            alice().close(of("a-new").number)
        }),
        ("a question is closed", &|| {
            alice().close(of("m-asked").number)
        }),
        ("a notice is gone", &|| {
            let closed = of("e-closed");
            alice().delete_comment(closed.comments.last().unwrap().id);
        }),
        ("a draft is ready", &|| {
            alice().set_draft(of("f-resolved").number, false)
        }),
        ("a closed one is back", &|| {
            alice().reopen(of("e-closed").number)
        }),
    ];
    for (what, plant) in plants {
        lab.stage.github.world().state = settled.clone();
        assert_eq!(end(&lab.stage), lab.expected);
        plant();
        assert_ne!(end(&lab.stage), lab.expected, "{what}");
        if what == "a label is gone" {
            assert!(lab.wrong().await.is_some(), "nobody sets it again: {what}");
        }
    }
}
