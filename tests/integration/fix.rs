//! The whole flow as a person runs it: every text is a snapshot.

use std::path::Path;
use std::process::Command;

use crate::cli::{kubemend, stdout};

fn git(dir: &Path, args: &[&str]) -> String {
    let mut command = Command::new("git");
    command
        .current_dir(dir)
        .args(args)
        .env("GIT_CONFIG_GLOBAL", "/dev/null");
    let output = command.output().unwrap();
    assert!(
        output.status.success(),
        "{args:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}

/// Writes the sample repository and dump; no renderer, so that the result is the same everywhere.
fn sample() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let shop = dir.path().join("shop");
    let output = kubemend(&["demo", "--keep", shop.to_str().unwrap()]);
    assert_eq!(
        output.status.code(),
        Some(0),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    dir
}

fn arguments<'a>(repo: &'a str, cluster: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let mut args = vec!["fix", "--repo", repo, "--snapshot", cluster];
    args.extend(more);
    args
}

/// The program's texts without what differs from run to run.
fn stable(text: &str, dir: &Path) -> String {
    let text = text.replace(dir.to_str().unwrap(), "DIR");
    if text.starts_with('{') {
        return text;
    }
    let mut out = String::new();
    for line in text.lines() {
        // the base commit holds the time of its making
        let line = line.split(" · base ").next().unwrap_or(line);
        let version = line.starts_with("A sample shop:");
        out.push_str(if version { "A sample shop: …" } else { line });
        out.push('\n');
    }
    out
}

/// Runs `fix` on the sample with a fake `PATH`, so that no renderer is found.
fn fix_without_renderer(dir: &Path, more: &[&str]) -> String {
    let (repo, cluster) = (dir.join("shop/repo"), dir.join("shop/cluster"));
    let args = arguments(repo.to_str().unwrap(), cluster.to_str().unwrap(), more);
    let mut command = Command::new(env!("CARGO_BIN_EXE_kubemend"));
    let output = command
        .args(args)
        .env_clear()
        .env("PATH", dir)
        .output()
        .unwrap();
    assert_eq!(
        output.status.code(),
        Some(0),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    stable(&stdout(&output), dir)
}

#[test]
fn every_ending_has_its_text() {
    let dir = sample();
    insta::assert_snapshot!("fix_text", fix_without_renderer(dir.path(), &[]));
}

#[test]
fn without_a_renderer_overlays_are_refused_and_the_rest_works() {
    let dir = sample();
    let json = fix_without_renderer(dir.path(), &["--output", "json"]);
    let report: serde_json::Value = serde_json::from_str(&json).unwrap();
    let endings: Vec<(&str, &str)> = report["results"]
        .as_array()
        .unwrap()
        .iter()
        .map(|r| {
            (
                r["finding"]["object"]["name"].as_str().unwrap(),
                r["code"].as_str().unwrap_or("-"),
            )
        })
        .collect();
    assert!(endings.contains(&("api", "RendererMissing")), "{endings:?}");
    assert!(endings.contains(&("web", "-")), "{endings:?}");
    assert_eq!(report["outcome"], "pr");
    // the contract holds for what is really printed
    let schema = serde_json::to_value(schemars::schema_for!(kubemend::output::Report)).unwrap();
    let problems: Vec<String> = jsonschema::validator_for(&schema)
        .unwrap()
        .iter_errors(&report)
        .map(|e| e.to_string())
        .collect();
    assert_eq!(problems, Vec::<String>::new());
}

#[test]
fn a_patch_applies_and_heals() {
    let dir = sample();
    let repo = dir.path().join("shop/repo");
    let patch = fix_without_renderer(dir.path(), &["--output", "patch"]);
    std::fs::write(dir.path().join("p.diff"), &patch).unwrap();
    git(&repo, &["apply", "--check", "../../p.diff"]);
    git(&repo, &["apply", "../../p.diff"]);
    git(
        &repo,
        &[
            "-c",
            "user.name=a",
            "-c",
            "user.email=a@b",
            "commit",
            "-qam",
            "fix",
        ],
    );
    // what is fixed in Git is no news
    let json = fix_without_renderer(dir.path(), &["--output", "json"]);
    let report: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(report["patch"], "", "{json}");
    let outcomes: Vec<&str> = report["results"]
        .as_array()
        .unwrap()
        .iter()
        .map(|r| r["outcome"].as_str().unwrap())
        .collect();
    assert!(!outcomes.contains(&"pr"), "{outcomes:?}");
}

#[test]
fn commit_makes_branches_and_touches_nothing_else() {
    let dir = sample();
    let repo = dir.path().join("shop/repo");
    let before = (
        git(&repo, &["rev-parse", "HEAD"]),
        git(&repo, &["status", "--porcelain"]),
    );
    let branches = git(&repo, &["branch", "--list", "kubemend/*"]);
    assert!(branches.lines().count() >= 2, "{branches}");
    let again = fix_without_renderer(dir.path(), &["--commit"]);
    assert!(again.contains("branch kubemend/"), "{again}");
    assert_eq!(
        git(&repo, &["branch", "--list", "kubemend/*"]),
        branches,
        "the same work twice is one branch"
    );
    assert_eq!(
        (
            git(&repo, &["rev-parse", "HEAD"]),
            git(&repo, &["status", "--porcelain"])
        ),
        before
    );
    let log = git(
        &repo,
        &[
            "log",
            "-1",
            "--format=%B",
            branches.lines().next().unwrap().trim(),
        ],
    );
    assert!(
        log.contains("Kubemend-Fingerprint: ") && log.contains("Kubemend-Target: Deployment/shop/"),
        "{log}"
    );
}

#[test]
fn a_report_narrows_the_run() {
    let dir = sample();
    let json = fix_without_renderer(
        dir.path(),
        &["--output", "json", "--report", "the cart is slow"],
    );
    let report: serde_json::Value = serde_json::from_str(&json).unwrap();
    let names: Vec<&str> = report["results"]
        .as_array()
        .unwrap()
        .iter()
        .map(|r| r["finding"]["object"]["name"].as_str().unwrap())
        .collect();
    assert!(
        !names.is_empty() && names.iter().all(|n| *n == "cart"),
        "{names:?}"
    );
    assert!(report["listed"].as_array().unwrap().len() >= 3, "{json}");
}

#[test]
fn no_credential_reaches_any_output() {
    let dir = sample();
    let token = ["ghp", "_0123456789abcdefghijABCDEFGHIJ012345"].concat();
    let log = dir
        .path()
        .join("shop/cluster/logs/shop_worker-7b9d5f6c7d-r9c2m_worker_previous.log");
    let text = format!(
        "Traceback: login with {token} failed\nError: postgres://app:hunter2secret@db/x refused\n"
    );
    std::fs::write(log, text).unwrap();
    for output in ["text", "json"] {
        let shown = fix_without_renderer(dir.path(), &["--output", output]);
        assert!(shown.contains("Traceback"), "the log is shown");
        assert!(
            !shown.contains(&token) && !shown.contains("hunter2secret"),
            "{output}: {shown}"
        );
    }
}

#[test]
fn broken_files_are_listed_and_the_run_goes_on() {
    let dir = sample();
    let repo = dir.path().join("shop/repo");
    std::fs::create_dir_all(repo.join("broken")).unwrap();
    std::fs::write(
        repo.join("broken/kustomization.yaml"),
        "resources: [missing.yaml\n",
    )
    .unwrap();
    std::fs::write(repo.join("broken.yaml"), "kind: Deployment\n  name: [\n").unwrap();
    std::fs::write(
        repo.join("odd.yaml"),
        "apiVersion: v1\nkind: Service\nmetadata: []\nspec: 7\n",
    )
    .unwrap();
    git(&repo, &["add", "-A"]);
    git(
        &repo,
        &[
            "-c",
            "user.name=a",
            "-c",
            "user.email=a@b",
            "commit",
            "-qm",
            "broken",
        ],
    );
    let shown = fix_without_renderer(dir.path(), &["--output", "json"]);
    let report: serde_json::Value = serde_json::from_str(&shown).unwrap();
    assert_eq!(report["outcome"], "pr", "{shown}");
}
