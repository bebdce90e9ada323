//! The walls between modules: each outside library in its own place, IO and async at the edges.

use std::fs;
use std::path::{Path, PathBuf};

/// Production code only: what stands before the test module of a file, and no file that is one.
fn sources() -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    collect(&root, &mut files);
    let texts: Vec<(PathBuf, String)> = files
        .into_iter()
        .map(|p| (p.clone(), fs::read_to_string(p).unwrap()))
        .collect();
    let tests: Vec<String> = texts
        .iter()
        .flat_map(|(_, text)| test_modules(text))
        .collect();
    let stem = |path: &Path| path.file_stem().unwrap().to_string_lossy().into_owned();
    // also what lies below a test module
    let below = |path: &Path| path.iter().any(|part| part == "tests");
    let production = texts.into_iter().filter(|(path, _)| {
        !tests.contains(&stem(path)) && !below(path.strip_prefix(&root).unwrap())
    });
    production
        .map(|(path, text)| {
            let name = path
                .strip_prefix(&root)
                .unwrap()
                .to_string_lossy()
                .replace('\\', "/");
            let code: Vec<&str> = production_part(&text)
                .lines()
                .filter(|l| !l.trim_start().starts_with("//"))
                .collect();
            (name, code.join("\n"))
        })
        .collect()
}

/// What stands before the first test module that is written out in the file.
fn production_part(text: &str) -> &str {
    let mut ends = text.match_indices("#[cfg(test)]").filter(|(at, _)| {
        let mut lines = text[*at..]
            .lines()
            .skip(1)
            .filter(|l| !l.trim_start().starts_with("#["));
        lines
            .next()
            .is_some_and(|l| l.contains("mod ") && l.trim_end().ends_with('{'))
    });
    ends.next().map_or(text, |(at, _)| &text[..at])
}

/// The modules that a file declares for tests only: `#[cfg(test)] mod stage;`
fn test_modules(text: &str) -> Vec<String> {
    let after = text.split("#[cfg(test)]").skip(1);
    let declared = after.filter_map(|rest| rest.trim_start().lines().next()?.strip_suffix(';'));
    declared
        .filter_map(|line| line.rsplit_once("mod ").map(|(_, name)| name.to_owned()))
        .collect()
}

fn collect(folder: &Path, out: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, out);
        } else if path.extension().is_some_and(|e| e == "rs") {
            out.push(path);
        }
    }
}

/// Whether a text holds `what` with no letter in front of it.
fn names(text: &str, what: &str) -> bool {
    let mut places = text.match_indices(what);
    places.any(|(at, _)| !text[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_'))
}

/// `what` may be named only in files that start with one of `places`.
fn only_in(what: &str, places: &[&str]) {
    let hits: Vec<String> = sources()
        .into_iter()
        .filter(|(name, text)| names(text, what) && !places.iter().any(|p| name.starts_with(p)))
        .map(|(name, _)| name)
        .collect();
    assert!(
        hits.is_empty(),
        "{what} belongs to {places:?}, but is named in {hits:?}"
    );
}

/// Where something waits for the outside.
const ASYNC: [&str; 10] = [
    "audit.rs",
    "cluster",
    "propose/llm",
    "github",
    "open",
    "converse",
    "cycle",
    "serve",
    "repo/gateway.rs",
    "commands",
];

#[test]
fn each_outside_library_has_one_place() {
    only_in("git2::", &["repo"]);
    only_in("granit_parser", &["manifest/"]);
    only_in("serde_saphyr", &["manifest/"]);
    only_in("serde_yaml", &["edit/"]);
    only_in("async_openai", &["propose/llm"]);
    only_in(
        "reqwest",
        &[
            "propose/llm",
            "repo/gateway.rs",
            "github/transport.rs",
            "telemetry.rs",
        ],
    );
    only_in("tokio", &ASYNC);
    only_in("octocrab", &["github/transport.rs"]);
    only_in("axum", &["serve", "repo/gateway.rs"]);
    only_in("tower_http", &["serve"]);
    only_in("hyper::", &["serve/listener.rs"]);
    only_in("hyper_util", &["serve/listener.rs"]);
    only_in(
        "ring::",
        &[
            "github/app.rs",
            "propose/llm/http.rs",
            "repo/gateway.rs",
            "telemetry.rs",
        ],
    );
    only_in("hmac::", &["forge/marker.rs", "serve/signature.rs"]);
    only_in("pulldown_cmark", &["command"]);
    only_in("prometheus_client", &["metrics.rs"]);
    only_in("tracing_subscriber", &["telemetry.rs"]);
    only_in("opentelemetry", &["telemetry.rs"]);
    only_in("info_span!", &["phase.rs"]);
    only_in("similar::", &["patch.rs", "edit/"]);
    only_in("flate2", &["pack.rs"]);
    only_in("anstream", &["terminal.rs"]);
    only_in("kube::", &["cluster"]);
    only_in(
        "k8s_openapi",
        &["cluster/lease.rs", "cluster/event.rs", "cluster/slim.rs"],
    );
    only_in("clap", &["cli.rs", "main.rs", "commands/explain.rs"]);
}

#[test]
fn only_the_edges_do_io() {
    only_in("async fn", &ASYNC);
    only_in(".await", &ASYNC);
    only_in("process::Command", &["render"]);
    only_in(
        "std::env",
        &["render", "propose/llm", "commands", "cli.rs", "terminal.rs"],
    );
    only_in(
        "fs::",
        &[
            "dump.rs",
            "repo",
            "config.rs",
            "render",
            "propose/llm",
            "commands",
            "eval",
        ],
    );
    only_in("println!", &["terminal.rs"]);
    only_in(
        "Timestamp::now",
        &["cluster/", "commands", "github/", "serve"],
    );
}

#[test]
fn only_lock_makes_a_plan() {
    only_in("Plan {", &["lock.rs"]);
}

/// What changes something on GitHub.
const WRITES: [&str; 19] = [
    "make_commit",
    "create_branch",
    "move_branch",
    "delete_branch_at",
    "delete_branch",
    "open_pull",
    "edit_pull",
    "close_pull",
    "set_draft",
    "open_issue",
    "edit_issue",
    "set_issue_open",
    "add_comment",
    "edit_comment",
    "minimize",
    "react",
    "add_labels",
    "remove_label",
    "assign",
];

#[test]
fn only_open_and_converse_write_on_github() {
    let github = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/github.rs"));
    let github = github.unwrap()
        + &fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/github/git.rs"))
            .unwrap();
    for write in WRITES {
        let there = github.contains(&format!("pub async fn {write}("));
        assert!(there, "{write} is called otherwise now");
        called_only_in(write, &["open", "converse"]);
    }
    // the mode `review` of the Action writes one review with suggestions, and nothing else
    called_only_in("review", &["commands/action/validate.rs"]);
}

/// The method `name` of GitHub may be called only in files that start with one of `places`.
fn called_only_in(name: &str, places: &[&str]) {
    let call = format!(".{name}(");
    let hits: Vec<String> = sources()
        .into_iter()
        .filter(|(_, text)| text.contains(&call))
        .map(|(file, _)| file)
        .filter(|file| !places.iter().any(|p| file.starts_with(p)) && !file.starts_with("github"))
        .collect();
    assert!(
        hits.is_empty(),
        "{name} belongs to {places:?}, but is called in {hits:?}"
    );
}

#[test]
fn deciding_knows_no_transport() {
    for (file, text) in sources() {
        let pure = file.starts_with("forge") || file.starts_with("message");
        assert!(
            !(pure && (names(&text, "crate::github") || names(&text, "crate::open"))),
            "{file} is pure"
        );
    }
}

/// The client has no way to merge or to approve, so nothing can make it do so.
#[test]
fn github_offers_no_merge() {
    for (file, text) in sources() {
        for word in [
            "/merge\"",
            "/merges",
            "mergePullRequest",
            "enablePullRequestAutoMerge",
            "enqueuePullRequest",
            "\"APPROVE\"",
        ] {
            assert!(!text.contains(word), "{file} names {word}");
        }
    }
}

/// What changes something in a cluster.
const CLUSTER_WRITES: [&str; 14] = [
    "create(",
    "create_",
    "patch(",
    "patch_",
    "replace(",
    "replace_",
    "delete(",
    "delete_",
    "evict(",
    "exec(",
    "Request::post",
    "Request::put",
    "Request::patch",
    "Request::delete",
];

/// kubemend writes nothing into a cluster but its own: one module for each kind, and no other can.
/// None of them knows a kind but its own, or a request that is not of one.
#[test]
fn only_leases_events_and_remediations_are_written_into_a_cluster() {
    let writers: [(&str, &[&str]); 3] = [
        ("cluster/lease.rs", &["Api<Object>"]),
        ("cluster/remediation.rs", &["Api<Remediation>"]),
        ("cluster/event.rs", &[]),
    ];
    let of_cluster = |(name, _): &(String, String)| name.starts_with("cluster");
    let sources: Vec<_> = sources().into_iter().filter(of_cluster).collect();
    for (name, text) in &sources {
        let Some((_, kinds)) = writers.iter().find(|(writer, _)| writer == name) else {
            for verb in CLUSTER_WRITES {
                assert!(!text.contains(verb), "{name} names {verb}");
            }
            assert!(!text.contains("Recorder"), "{name} makes Events");
            continue;
        };
        for (at, _) in text.match_indices("Api<") {
            let known = kinds.iter().any(|kind| text[at..].starts_with(kind));
            let line = text[at..].lines().next();
            assert!(known, "{name} knows another kind: {line:?}");
        }
        for other in [
            "Dynamic",
            "Secret",
            "::core::v1::Pod",
            "Request::",
            ".request",
        ] {
            assert!(!text.contains(other), "{name} names {other}");
        }
    }
    for (writer, kinds) in writers {
        let (_, text) = sources.iter().find(|(name, _)| name == writer).unwrap();
        assert!(kinds.iter().all(|kind| text.contains(kind)), "{writer}");
    }
    let (_, lease) = sources
        .iter()
        .find(|(name, _)| name == "cluster/lease.rs")
        .unwrap();
    assert!(lease.contains("coordination::v1::{Lease as Object"));
}

/// What kubemend is in a cluster stays in one hand.
#[test]
fn only_the_servers_presence_writes_into_a_cluster() {
    for what in ["cluster.lease(", "cluster.remediations(", "cluster.events("] {
        let hits = sources()
            .into_iter()
            .filter(|(_, text)| text.contains(what));
        let hits: Vec<String> = hits.map(|(name, _)| name).collect();
        assert_eq!(hits, ["commands/serve/presence.rs"], "{what}");
    }
}
