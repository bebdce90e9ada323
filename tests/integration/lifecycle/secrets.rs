//! Whatever others wrote may hold a credential: none of it leaves in a request, not even hidden.

use kubemend::forge::marker;
use kubemend::verify::machine::{Facts, Verdict};
use kubemend::verify::rollout::Rollout;
use serde_json::Value;

use super::trials::{merged, regressed, well};
use crate::support::github::GitHub;

/// Built at run time, so that no scanner takes this file for a leak.
const SECRET: &str = "aB3dE5gH7jK9mN1pQ2rS";

fn foreign() -> String {
    format!(
        "; cannot clone https://oauth2:{0}{SECRET}@gitlab.example.com/x.git, used {0}{SECRET}",
        "glpat-"
    )
}

/// Every text that was sent, and what is hidden in it.
fn sent(github: &GitHub, key: &marker::Key) -> Vec<String> {
    let mut out = Vec::new();
    for entry in github.writes() {
        texts(&entry.body, &mut out);
    }
    let hidden = |text: &String| {
        let marker = marker::read(text, Some(key)).marker().cloned()?;
        Some(serde_json::to_string(&marker).unwrap())
    };
    let hidden: Vec<String> = out.iter().filter_map(hidden).collect();
    assert!(hidden.len() >= 3, "{hidden:#?}");
    out.extend(hidden);
    out
}

fn texts(value: &Value, out: &mut Vec<String>) {
    match value {
        Value::String(text) => out.push(text.clone()),
        Value::Array(all) => all.iter().for_each(|v| texts(v, out)),
        Value::Object(all) => all.values().for_each(|v| texts(v, out)),
        _ => {}
    }
}

#[tokio::test]
async fn no_request_holds_what_looks_like_a_credential() {
    let (mut stage, number) = merged(well()).await;
    stage.rules.dashboard = true;
    stage.foreign = foreign();
    // cut in the middle of a token, half of it would have no shape any more
    let long = format!("{}{}; {}", "x".repeat(345), foreign(), "y ".repeat(9_000));
    stage.facts = Some(Facts {
        rollout: Some(Rollout::Failing(long)),
        ..well()
    });
    regressed(&stage).await;
    let [revert] = stage.open()[..] else {
        panic!("{:?}", stage.open());
    };
    for text in sent(&stage.github, stage.key.as_ref().unwrap()) {
        assert!(!text.contains(&SECRET[..8]), "{text}");
    }
    // nothing was left out instead: each of them says that something was there
    let body = |n: u64| stage.github.item(n).body;
    assert!(body(revert).contains("[REDACTED:"), "{}", body(revert));
    let board = stage.github.issues();
    let board = &board.first().expect("a dashboard").body;
    assert!(board.matches("[REDACTED:").count() >= 3, "{board}");
    // what is redacted is the same each time
    stage.clean().await;
    stage.idle().await;

    // and the verdict is remembered in a few words, in the one comment that is there
    let comments = stage.github.item(number).comments;
    let ours = comments.iter().filter(|c| c.body.contains("| Merged as |"));
    let ours: Vec<_> = ours.collect();
    assert_eq!(ours.len(), 1, "{ours:#?}");
    let read = marker::read(&ours[0].body, stage.key.as_ref());
    let trial = read
        .marker()
        .and_then(|m| m.trials.first().cloned())
        .unwrap();
    let Some(Verdict::Regressed(why)) = trial.memory.verdict else {
        panic!("{trial:#?}");
    };
    assert!(
        why.starts_with("xxx") && why.chars().count() <= 400,
        "{why}"
    );
}
