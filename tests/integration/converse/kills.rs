//! T11 for what people say: killed at any request, no command is lost and none is answered twice.

use std::collections::BTreeMap;

use kubemend::forge::marker;

use super::stage::{FILE, Stage, key};
use crate::support::github::{Fault, Moment, On};

/// A small generator: the same numbers in every run.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }
}

/// How often each comment was answered, in comments that are to be seen.
pub(super) fn answers(stage: &Stage) -> BTreeMap<String, usize> {
    let mut out = BTreeMap::new();
    for number in stage.numbers() {
        let said = stage.github.item(number).comments;
        for comment in said.iter().filter(|c| !c.minimized) {
            let read = marker::read(&comment.body, stage.key.as_ref());
            let keys = read.marker().and_then(|m| m.answers.clone());
            for key in keys.iter().flat_map(|k| k.split(',')) {
                *out.entry(key.to_owned()).or_default() += 1;
            }
        }
    }
    out
}

/// Comments that wait for an answer, by the key of their answer.
fn speak(stage: &Stage, dice: &mut Dice) -> Vec<String> {
    let all = [
        (stage.open, "/kubemend retry hint=\"more\""),
        (stage.open, "/kubemend set limit.memory=512Mi"),
        (stage.open, "/kubemend rebase\n/kubemend status"),
        (stage.open, "/kubemend recreate"),
        (stage.question, "/kubemend choose 2"),
        (stage.question, "/kubemend status"),
        (stage.closed, "/kubemend retry"),
        (stage.closed, "/kubemend ignore 7d"),
        (stage.merged, "/kubemend verify"),
        (stage.dashboard, "/kubemend help\n/kubemend hlep"),
        (stage.dashboard, "/kubemend resume"),
    ];
    let mut keys = Vec::new();
    for _ in 0..=dice.roll(3) {
        let (number, text) = all[usize::try_from(dice.roll(all.len() as u64)).unwrap()];
        keys.push(format!(
            "issue:{}",
            stage.github.human("alice").comment(number, text)
        ));
    }
    if dice.roll(3) == 0 {
        let id = stage
            .github
            .human("bob")
            .line_comment(stage.open, FILE, 2, "explain the value");
        keys.push(format!("review_line:{id}"));
    }
    keys
}

/// 500 passes that are killed at a random request, before or after it took effect, with commands
/// waiting: the next pass without a kill answers everything exactly once.
#[tokio::test]
async fn five_hundred_kills_lose_no_command_and_answer_none_twice() {
    let mut dice = Dice(20_261_124);
    let (mut kills, mut worlds, mut commands) = (0, 0, 0);
    while kills < 500 {
        let stage = Stage::new().await;
        let mut keys = Vec::new();
        for _ in 0..6 {
            keys.extend(speak(&stage, &mut dice));
            let at = usize::try_from(1 + dice.roll(60)).unwrap();
            let moment = if dice.roll(2) == 0 {
                Moment::Before
            } else {
                Moment::After
            };
            let killed = stage
                .github
                .kill_at(at, moment, stage.try_pass())
                .await
                .is_none();
            kills += usize::from(killed);
        }
        stage.pass().await;
        let answered = answers(&stage);
        for key in &keys {
            assert_eq!(
                answered.get(key),
                Some(&1),
                "{key} in world {worlds}: {answered:?}"
            );
        }
        assert_eq!(answered.len(), keys.len());
        stage.pass().await;
        stage.github.forget();
        stage.pass().await;
        stage.github.assert_no_writes();
        worlds += 1;
        commands += keys.len();
    }
    assert!(
        worlds > 50 && commands > 500,
        "{worlds} worlds, {commands} commands"
    );
}

/// Killed at every single request of one pass, before and after.
#[tokio::test]
async fn a_kill_at_every_step_loses_nothing() {
    for moment in [Moment::Before, Moment::After] {
        for step in 1.. {
            let stage = Stage::new().await;
            let a = stage
                .github
                .human("bob")
                .comment(stage.open, "/kubemend retry hint=\"x\"");
            let b = stage
                .github
                .human("bob")
                .comment(stage.question, "/kubemend choose 2");
            stage
                .github
                .human("bob")
                .tick_box(stage.open, "kubemend:rebase");
            stage
                .github
                .human("bob")
                .tick_box(stage.dashboard, "approve=eeee");
            let ended = stage
                .github
                .kill_at(step, moment, stage.try_pass())
                .await
                .is_some();
            let done = stage.pass().await;
            let answered = answers(&stage);
            assert_eq!(answered.len(), 2, "step {step}: {answered:?}");
            for id in [a, b] {
                assert_eq!(answered[&format!("issue:{id}")], 1, "step {step}");
            }
            assert_eq!(stage.marker(stage.question).chosen, Some(2));
            assert_eq!(done.heard.answers[&key("open")].hints, ["x"], "step {step}");
            assert!(stage.marker(stage.open).pending.is_empty(), "step {step}");
            assert_eq!(stage.github.open_pulls().len(), 2, "step {step}");
            if ended {
                break;
            }
        }
    }
}

/// An answer that GitHub took, and said it did not: it is not written twice.
#[tokio::test]
async fn an_answer_with_an_unclear_end_is_looked_up() {
    let stage = Stage::new().await;
    stage
        .github
        .human("bob")
        .comment(stage.open, "/kubemend status");
    let route = On::route(
        "POST",
        "/repos/{owner}/{repo}/issues/{issue_number}/comments",
    );
    stage
        .github
        .fault(route.clone().once(), Fault::done_but_502());
    let first = stage.try_pass().await;
    assert!(first.is_err_and(|e| e.is_outage()));
    stage.pass().await;
    assert_eq!(stage.answers(stage.open).len(), 1);
    // two passes at once: the one that comes second sees the answer of the first
    stage
        .github
        .human("bob")
        .comment(stage.open, "/kubemend help");
    stage.pass().await;
    stage.pass().await;
    assert_eq!(stage.answers(stage.open).len(), 2);
}

/// Where nobody may comment, the reaction alone ends it.
#[tokio::test]
async fn a_locked_conversation_is_not_heard_for_ever() {
    let stage = Stage::new().await;
    let id = stage
        .github
        .human("bob")
        .comment(stage.open, "/kubemend retry");
    let route = On::route(
        "POST",
        "/repos/{owner}/{repo}/issues/{issue_number}/comments",
    );
    stage.github.fault(
        route,
        Fault::status(403, "Unable to create comment because issue is locked."),
    );
    stage.pass().await;
    assert_eq!(stage.reactions(id), ["eyes", "rocket"]);
    stage.github.heal();
    let done = stage.pass().await;
    assert!(done.heard.requests.is_empty());
}

/// The same with whole passes: 500 kills, and everything that was asked for is there in the end:
/// one pull request for a finding, the value that was set, the option that was chosen.
#[tokio::test]
async fn five_hundred_kills_of_whole_passes() {
    let mut dice = Dice(54_321);
    let (mut kills, mut commands) = (0, 0);
    while kills < 500 {
        let stage = Stage::whole().await;
        let mut keys = Vec::new();
        for _ in 0..10 {
            keys.extend(speak(&stage, &mut dice));
            let at = usize::try_from(1 + dice.roll(70)).unwrap();
            let moment = match dice.roll(2) {
                0 => Moment::Before,
                _ => Moment::After,
            };
            kills += usize::from(
                stage
                    .github
                    .kill_at(at, moment, stage.run())
                    .await
                    .is_none(),
            );
        }
        stage.run_well().await;
        stage.run_well().await;
        let answered = answers(&stage);
        for key in &keys {
            assert_eq!(answered.get(key), Some(&1), "{key}: {answered:?}");
        }
        let mut branches: Vec<String> = stage
            .github
            .open_pulls()
            .into_iter()
            .filter_map(|p| p.pull.map(|p| p.head_ref))
            .collect();
        let all = branches.len();
        branches.sort();
        branches.dedup();
        assert_eq!(branches.len(), all, "one pull request for a finding");
        commands += keys.len();
    }
    assert!(commands > 300, "{commands}");
}
