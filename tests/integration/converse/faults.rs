//! Whatever GitHub answers at whatever request, and wherever a pass is killed while people wait for
//! answers: no command is lost, none is answered twice, and there is one pull request for a finding.

use std::cell::RefCell;
use std::collections::BTreeMap;

use kubemend::forge::marker;

use super::kills::answers;
use super::stage::{FILE, Stage, fingerprint};
use crate::lifecycle_faults::faults;
use crate::support::github::{Kind, Moment, On, State};

const PASSES: usize = 6;

/// What somebody says: who, where, and what. What is no command is said to a line.
type Said = (&'static str, fn(&Stage) -> u64, &'static str);

/// What people do before the pass. What they say in comments waits for one answer each; a box that
/// they tick is never to be ticked twice.
struct Story {
    name: &'static str,
    prepare: fn(&Stage),
    said: &'static [Said],
}

const PROPOSE: Story = Story {
    name: "propose",
    prepare: |stage| {
        let bob = stage.github.human("bob");
        bob.tick_box(stage.open, "kubemend:rebase");
    },
    said: &[
        ("bob", |s| s.open, "say why"),
        ("bob", |s| s.open, "/kubemend set limit.memory=512Mi"),
        ("bob", |s| s.question, "/kubemend choose 2"),
        ("bob", |s| s.closed, "/kubemend retry"),
        ("mia", |s| s.merged, "/kubemend revert"),
    ],
};

const AGAIN: Story = Story {
    name: "again",
    prepare: |stage| {
        let bob = stage.github.human("bob");
        let branch = stage.branch_of(stage.open);
        bob.push(&branch, &[(FILE, "kind: Deployment\nmemory: 3Gi\n")]);
        bob.tick_box(stage.question, "kubemend:choose=2");
        bob.tick_box(stage.dashboard, "kubemend:unignore=");
    },
    said: &[
        ("bob", |s| s.open, "/kubemend recreate"),
        ("bob", |s| s.question, "/kubemend retry"),
    ],
};

const IGNORE: Story = Story {
    name: "ignore",
    prepare: |_| (),
    said: &[
        ("bob", |s| s.open, "/kubemend ignore 7d"),
        ("bob", |s| s.question, "/kubemend explain"),
    ],
};

// alone: what is heard after a pause is refused
const PAUSE: Story = Story {
    name: "pause",
    prepare: |_| (),
    said: &[("bob", |s| s.question, "/kubemend pause")],
};

/// Says it; the key of its answer.
fn say(stage: &Stage, (who, place, text): Said) -> String {
    let (who, place) = (stage.github.human(who), place(stage));
    match text.starts_with('/') {
        true => format!("issue:{}", who.comment(place, text)),
        false => format!("review_line:{}", who.line_comment(place, FILE, 2, text)),
    }
}

/// What is there in the end, without numbers, times and answers.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct End {
    what: String,
    open: bool,
    draft: bool,
    labels: Vec<String>,
    content: Vec<String>,
    state: String,
}

fn end(stage: &Stage) -> Vec<End> {
    let mut all: Vec<End> = Vec::new();
    for item in stage.github.items() {
        let pull = item.pull.as_ref();
        let content = pull.filter(|_| item.open).map(|p| {
            let names = ["open", "closed", "merged", "question"];
            let file = |n: &&str| {
                stage
                    .github
                    .file(&p.head_ref, &format!("apps/web-{n}.yaml"))
            };
            names.iter().filter_map(file).collect()
        });
        let m = stage.marker(item.number);
        let mut labels = item.labels.clone();
        labels.sort();
        all.push(End {
            what: format!("{} {:?}", item.title, pull.map(|p| &p.head_ref)),
            open: item.open,
            draft: pull.is_some_and(|p| p.draft),
            labels,
            content: content.unwrap_or_default(),
            state: format!(
                "{:?}",
                (
                    (m.chosen, m.set, m.hints, m.pending, m.told),
                    (
                        m.labels,
                        m.closed,
                        m.ignored_until.is_some(),
                        m.paused.is_some()
                    ),
                )
            ),
        });
    }
    all.sort();
    all
}

/// What is wrong with the answers, or with the pull requests that are open.
fn wrong_now(stage: &Stage, keys: &[String], answered: bool) -> Option<String> {
    let counts = answers(stage);
    if let Some((key, n)) = counts.iter().find(|(_, n)| **n > 1) {
        return Some(format!("{key} was answered {n} times"));
    }
    let mut open: BTreeMap<String, usize> = BTreeMap::new();
    for pull in stage.github.open_pulls() {
        let revert = pull.pull.as_ref().is_some_and(|p| is_revert(&p.head_ref));
        let of = format!("{} {revert}", stage.marker(pull.number).fingerprint);
        *open.entry(of).or_default() += 1;
    }
    if let Some(of) = open.iter().find(|(_, n)| **n > 1) {
        return Some(format!("doubled: {of:?}"));
    }
    let lost = |key: &&String| !counts.contains_key(*key) && !is_refused(stage, key);
    let lost = keys.iter().find(lost).filter(|_| answered);
    lost.map(|key| format!("{key} has no answer"))
}

fn is_revert(branch: &str) -> bool {
    branch.contains("/revert/")
}

/// Where GitHub forbids the comment, or does not know who asks, the reaction alone is the answer.
fn is_refused(stage: &Stage, key: &str) -> bool {
    let (kind, id) = key.split_once(':').unwrap();
    let kind = match kind {
        "issue" => Kind::Issue,
        _ => Kind::Line,
    };
    let all = stage.github.reactions(kind, id.parse().unwrap());
    let ends = ["rocket", "-1"];
    all.iter()
        .any(|(who, what)| who == "kubemend-bot" && ends.contains(&what.as_str()))
}

/// Whether who said it was told that it was not done, and to say it again; or was not answered.
fn is_undone(stage: &Stage, key: &str) -> bool {
    let undone = [
        "say it again",
        "could not be taken back",
        "there is no dashboard issue",
    ];
    match answer_to(stage, key) {
        Some(told) => undone.iter().any(|u| told.to_lowercase().contains(u)),
        None => true,
    }
}

fn answer_to(stage: &Stage, key: &str) -> Option<String> {
    let numbers = stage.numbers().into_iter();
    let mut said = numbers.flat_map(|n| stage.github.item(n).comments);
    let answer = said.find(|comment| {
        let read = marker::read(&comment.body, stage.key.as_ref());
        let keys = read.marker().and_then(|m| m.answers.clone());
        keys.is_some_and(|keys| keys.split(',').any(|k| k == key))
    });
    answer.map(|comment| comment.body)
}

struct Lab {
    stage: Stage,
    start: State,
    keys: Vec<String>,
    story: &'static Story,
    /// The requests of an undisturbed pass.
    routes: Vec<String>,
    expected: Vec<End>,
    /// States from which the end was reached: the same state has the same end.
    good: RefCell<Vec<State>>,
}

impl Lab {
    async fn new(story: &'static Story) -> Self {
        let mut stage = Stage::whole().await;
        stage.impatient = true;
        (story.prepare)(&stage);
        let said = story.said.iter();
        let keys: Vec<String> = said.map(|said| say(&stage, *said)).collect();
        let start = stage.github.world().state.clone();
        stage.github.forget();
        stage.run_well().await;
        let journal = stage.github.journal();
        let routes = journal.iter().map(|e| format!("{} {}", e.method, e.path));
        let routes: Vec<String> = routes.collect();
        let mut lab = Self {
            stage,
            start,
            keys,
            story,
            routes,
            expected: Vec::new(),
            good: RefCell::default(),
        };
        assert_eq!(lab.settled().await, None);
        lab.expected = end(&lab.stage);
        lab
    }

    fn reset(&self) {
        let mut world = self.stage.github.world();
        world.state = self.start.clone();
        world.limits.used = 0;
        world.faults.clear();
    }

    fn heal(&self) {
        self.stage.github.heal();
        self.stage.github.world().limits.used = 0;
    }

    /// Passes until nothing is written any more.
    async fn settled(&self) -> Option<String> {
        for _ in 0..PASSES {
            self.stage.github.forget();
            let report = self.stage.run().await;
            if let Some(error) = report.frozen {
                return Some(format!("a clean pass froze: {error}"));
            }
            if self.stage.github.writes().is_empty() {
                return None;
            }
        }
        Some(format!("still writing: {:?}", self.stage.github.writes()))
    }

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
        let now = wrong_now(&self.stage, &self.keys, false);
        if let Some(wrong) = now.or(self.settled().await) {
            return Some(wrong);
        }
        if let Some(wrong) = wrong_now(&self.stage, &self.keys, true) {
            return Some(wrong);
        }
        let said = self.keys.iter().zip(self.story.said);
        let undone = said.filter(|(key, _)| is_undone(&self.stage, key));
        let undone: Vec<Said> = undone.map(|(_, said)| *said).collect();
        if !undone.is_empty() && end(&self.stage) != self.expected {
            let again: Vec<String> = undone.iter().map(|said| say(&self.stage, *said)).collect();
            if let Some(wrong) = self.settled().await {
                return Some(wrong);
            }
            if let Some(wrong) = wrong_now(&self.stage, &again, true) {
                return Some(format!("said again: {wrong}"));
            }
        }
        let found = end(&self.stage);
        let only = |some: &[End], others: &[End]| -> Vec<End> {
            some.iter()
                .filter(|e| !others.contains(e))
                .cloned()
                .collect()
        };
        let (new, lost) = (only(&found, &self.expected), only(&self.expected, &found));
        (found != self.expected).then(|| format!("found {new:#?}, expected {lost:#?}"))
    }
}

/// A read has no effect that could be there before or after, or twice; what it is refused with is one
/// thing to kubemend, and every limit ends the pass.
const SAME_FOR_READS: [&str; 7] = [
    "409",
    "422",
    "429 without a time",
    "403 limit",
    "502 after",
    "cut after",
    "twice",
];

fn is_read(route: &str) -> bool {
    route.starts_with("GET ")
}

/// An answer that nobody can tell from the truth: that somebody may do nothing, that a label is off.
fn is_believed(route: &str, fault: &str) -> bool {
    match fault {
        "403" => route.contains("/collaborators/"),
        "404" => {
            let unlabels = route.starts_with("DELETE ") && route.contains("/labels/");
            unlabels || route.contains("/collaborators/")
        }
        _ => false,
    }
}

async fn every_fault(story: &'static Story) {
    let lab = Lab::new(story).await;
    let (mut cases, mut failures) = (0, Vec::new());
    for at in 1..=lab.routes.len() {
        for (name, fault) in faults() {
            let route = &lab.routes[at - 1];
            if is_believed(route, name) || (is_read(route) && SAME_FOR_READS.contains(&name)) {
                continue;
            }
            lab.reset();
            let fault = fault(lab.stage.github.now());
            lab.stage.github.fault(On::all().nth(at), fault);
            lab.stage.run().await;
            lab.heal();
            cases += 1;
            if let Some(wrong) = lab.wrong().await {
                let route = &lab.routes[at - 1];
                failures.push(format!("{name} at request {at} ({route}): {wrong}"));
            }
        }
    }
    for at in 1..=lab.routes.len() {
        for moment in [Moment::Before, Moment::After] {
            if moment == Moment::After && is_read(&lab.routes[at - 1]) {
                continue;
            }
            lab.reset();
            let pass = lab.stage.run();
            lab.stage.github.kill_at(at, moment, pass).await;
            cases += 1;
            if let Some(wrong) = lab.wrong().await {
                let route = &lab.routes[at - 1];
                failures.push(format!("killed at {at} ({route}) {moment:?}: {wrong}"));
            }
        }
    }
    assert!(cases > 200, "{cases}");
    assert!(
        failures.is_empty(),
        "{}: {} of {cases}: {}",
        story.name,
        failures.len(),
        failures.join("\n")
    );
}

#[tokio::test]
async fn every_fault_while_people_ignore_it() {
    every_fault(&IGNORE).await;
}

#[tokio::test]
async fn every_fault_while_people_stop_everything() {
    every_fault(&PAUSE).await;
}

#[tokio::test]
async fn every_fault_while_people_want_something_else() {
    every_fault(&PROPOSE).await;
}

#[tokio::test]
async fn every_fault_while_people_ask_again() {
    every_fault(&AGAIN).await;
}

/// The checks themselves: what is planted is found.
#[tokio::test]
async fn what_is_planted_is_found() {
    let lab = Lab::new(&PROPOSE).await;
    let (stage, keys) = (&lab.stage, &lab.keys);
    let settled = stage.github.world().state.clone();
    let back = || stage.github.world().state = settled.clone();
    assert_eq!(wrong_now(stage, keys, true), None);
    let of_bot = |number: u64| {
        let mut all = stage.github.item(number).comments;
        all.retain(|c| answers_of(stage, &c.body));
        all.pop().unwrap()
    };

    let answer = of_bot(stage.question);
    stage
        .github
        .human("kubemend-bot")
        .comment(stage.question, &answer.body);
    let wrong = wrong_now(stage, keys, true).unwrap_or_default();
    assert!(wrong.contains("2 times"), "{wrong}");

    back();
    let unheard = stage
        .github
        .human("bob")
        .comment(stage.question, "/kubemend status");
    let unheard = [format!("issue:{unheard}")];
    let wrong = wrong_now(stage, &unheard, true).unwrap_or_default();
    assert!(wrong.contains("no answer"), "{wrong}");

    back();
    let mine = stage.github.open_pulls();
    let one = mine
        .iter()
        .find(|p| stage.marker(p.number).fingerprint == fingerprint("open"))
        .unwrap();
    let bot = stage.github.human("kubemend-bot");
    bot.push("kubemend/shop/other-0a1b2c3d", &[("x.yaml", "x: 1\n")]);
    bot.open_pull(
        "kubemend/shop/other-0a1b2c3d",
        "main",
        &one.title,
        &one.body,
    );
    let wrong = wrong_now(stage, keys, true).unwrap_or_default();
    assert!(wrong.contains("doubled"), "{wrong}");

    // a command that was answered and did nothing: an end without it
    back();
    let body = stage.github.item(stage.open).body;
    let mut marker = stage.marker(stage.open);
    marker.set.clear();
    let text = marker::strip(&body);
    let hidden = marker::write(&marker, stage.key.as_ref());
    bot.edit_body(stage.open, &format!("{text}\n\n{hidden}"));
    assert_ne!(end(stage), lab.expected);
    let wrong = lab.wrong().await.unwrap_or_default();
    assert!(wrong.contains("expected"), "{wrong}");
}

fn answers_of(stage: &Stage, body: &str) -> bool {
    let read = marker::read(body, stage.key.as_ref());
    read.marker().is_some_and(|m| m.answers.is_some())
}
