//! GitHub's own example deliveries (npm `@octokit/webhooks-examples`), signed and posted.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use libtest_mimic::Trial;
use serde_json::Value;

use crate::serve_stub::{Script, Server, settings};
use crate::trial;

fn file() -> PathBuf {
    let tools = Path::new(env!("CARGO_MANIFEST_DIR")).join("tools");
    tools.join("node_modules/@octokit/webhooks-examples/api.github.com/index.json")
}

/// A run that asks for GitHub's counterparts in `REQUIRE_ASSETS` has the trial fail where they are
/// missing, not skipped.
fn required() -> bool {
    let wanted = std::env::var("REQUIRE_ASSETS").unwrap_or_default();
    wanted.split(',').any(|asset| asset.trim() == "github")
}

pub(crate) fn trials() -> Vec<Trial> {
    let absent = !file().exists() && !required();
    let missing =
        absent.then_some("npm @octokit/webhooks-examples, run tools/install-github-emulator");
    vec![trial(
        "each_example_delivery_is_taken",
        missing,
        each_example_delivery_is_taken,
    )]
}

/// Row 57: no example is answered with an error, and those that people cause wake the worker.
fn each_example_delivery_is_taken() {
    let text = std::fs::read(file())
        .expect("npm @octokit/webhooks-examples, run tools/install-github-emulator");
    let all: Value = serde_json::from_slice(&text).unwrap();
    let (script, _events) = Script::new(&[]);
    let server = Server::start(settings(), Arc::clone(&script) as _);
    let mut counts = std::collections::BTreeMap::<String, usize>::new();
    let mut number = 0;
    for kind in all.as_array().unwrap() {
        let event = kind["name"].as_str().unwrap();
        for example in kind["examples"].as_array().unwrap() {
            number += 1;
            let body = example.to_string();
            let (status, word) =
                server.deliver(event, &format!("example-{number}"), body.as_bytes());
            assert!(
                status == 202 || (event == "ping" && status == 200),
                "{event}: {status} {word}"
            );
            *counts.entry(word).or_default() += 1;
        }
    }
    assert!(number >= 300, "{number}");
    println!("{number} examples: {counts:?}");
    let woken = ["queued", "merged"].map(|word| counts.get(word).copied().unwrap_or_default());
    assert!(woken.iter().sum::<usize>() >= 30, "{counts:?}");
}
