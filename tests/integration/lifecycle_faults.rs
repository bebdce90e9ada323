//! Row 10 and the kills: whatever GitHub answers at whatever request, and wherever a pass is killed,
//! nothing is closed, doubled or lost, and the next passes end where an undisturbed one ends.

use std::collections::BTreeMap;

use crate::lifecycle::{App, Stage, app, seed, stage_on};
use crate::support::github::{Fault, Moment, On, wire::Reply};

/// What is there in the end, without numbers and times.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct End {
    what: String,
    open: bool,
    files: Vec<String>,
    labels: Vec<String>,
    /// Comments by their first words.
    comments: Vec<String>,
    closed: String,
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
    let (alice, bob) = (stage.github.human("alice"), stage.github.human("bob"));
    alice.close(gone);
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
    let without_resolved = |stage: &mut Stage| stage.apps.retain(|a| a.name != "f-resolved");
    without_resolved(&mut stage);
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
    let _ = (alice, bob);
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

const NAMES: [&str; 14] = [
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
];

fn end(stage: &Stage) -> Vec<End> {
    let mut all: Vec<End> = Vec::new();
    for item in stage.github.items() {
        let closed = match item.body.contains("kubemend:v1") {
            true => format!("{:?}", stage.marker(item.number).closed),
            false => String::new(),
        };
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
            files: files.unwrap_or_default(),
            labels: item.labels.clone(),
            comments: item
                .comments
                .iter()
                .map(|c| c.body.chars().take(20).collect())
                .collect(),
            closed,
        });
    }
    all.sort();
    all
}

/// Never more than one open pull request for a branch, nothing closed by us that should not be.
fn check_sane(stage: &Stage, context: &str) {
    let mut open: BTreeMap<String, usize> = BTreeMap::new();
    for pull in stage.github.open_pulls() {
        *open.entry(pull.title).or_default() += 1;
    }
    // a moved finding has two for a moment: the new one is opened before the old one is closed
    let doubled: Vec<_> = open
        .iter()
        .filter(|(title, n)| **n > if title.contains("h-moved") { 2 } else { 1 })
        .collect();
    assert!(doubled.is_empty(), "{context}: {doubled:?}");
    let mut questions: BTreeMap<String, usize> = BTreeMap::new();
    for issue in stage.github.issues() {
        *questions.entry(issue.title).or_default() += 1;
    }
    assert!(
        questions.values().all(|n| *n == 1),
        "{context}: {questions:?}"
    );
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

/// How many requests an undisturbed pass makes, and where it ends.
async fn undisturbed() -> (usize, Vec<End>) {
    let stage = busy().await;
    stage.clean().await;
    let requests = stage.github.journal().len();
    settle(&stage, "undisturbed").await;
    (requests, end(&stage))
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
            "Refresh"
        ],
        "{:#?}",
        report.actions
    );
}

fn shards() -> usize {
    8
}

/// Runs one case for each number, some at a time.
async fn for_each<F>(cases: Vec<usize>, run: impl Fn(usize) -> F)
where
    F: Future<Output = ()>,
{
    for case in cases {
        run(case).await;
    }
}

fn faults() -> Vec<(&'static str, fn(jiff::Timestamp) -> Fault)> {
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
