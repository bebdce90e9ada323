//! The example files, and `kubemend config` as a person runs it.

use std::collections::BTreeSet;
use std::path::Path;

use kubemend::config::{Config, Loaded, Overrides};
use kubemend::files::Files;
use serde_json::Value;

use crate::cli::{kubemend, stdout};

fn example(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("examples")
        .join(name);
    std::fs::read_to_string(path).unwrap()
}

/// Every path of keys that the schema knows: `pull_requests.quiet_hours.from`.
fn keys_of_schema(root: &Value, schema: &Value, at: &str, out: &mut BTreeSet<String>) {
    if let Some(name) = schema["$ref"].as_str() {
        let target = root.pointer(name.trim_start_matches('#')).unwrap();
        return keys_of_schema(root, target, at, out);
    }
    for sub in schema["anyOf"].as_array().into_iter().flatten() {
        keys_of_schema(root, sub, at, out);
    }
    if schema["items"].is_object() {
        keys_of_schema(root, &schema["items"], at, out);
    }
    for (key, sub) in schema["properties"].as_object().into_iter().flatten() {
        let at = format!("{at}.{key}");
        out.insert(at.clone());
        keys_of_schema(root, sub, &at, out);
    }
}

fn keys_of_value(value: &Value, at: &str, out: &mut BTreeSet<String>) {
    match value {
        Value::Object(map) => {
            for (key, inner) in map {
                let at = format!("{at}.{key}");
                out.insert(at.clone());
                keys_of_value(inner, &at, out);
            }
        }
        Value::Array(items) => items.iter().for_each(|i| keys_of_value(i, at, out)),
        _ => {}
    }
}

/// Scorecard row 60.
#[test]
fn the_examples_hold_every_key() {
    let schema: Value = serde_json::from_str(&Config::schema()).unwrap();
    let (mut wanted, mut found) = (BTreeSet::new(), BTreeSet::new());
    keys_of_schema(&schema, &schema, "", &mut wanted);
    for name in ["kubemend.yaml", "operator.yaml"] {
        let value = kubemend::manifest::read_value(&example(name)).unwrap();
        keys_of_value(&value, "", &mut found);
    }
    assert!(wanted.len() > 50, "{wanted:?}");
    assert_eq!(found, wanted);
}

#[test]
fn the_examples_are_read_without_a_remark() {
    let repository = example("kubemend.yaml").into_bytes();
    let files = Files {
        by_path: [(".github/kubemend.yaml".to_owned(), repository)].into(),
    };
    let operator = example("operator.yaml");
    let alone = Loaded::of(None, &files, &Overrides::default()).unwrap();
    assert_eq!(alone.notes, Vec::<String>::new());
    Loaded::of(
        Some(("operator.yaml", &operator)),
        &files,
        &Overrides::default(),
    )
    .unwrap();
}

/// What the example calls a default is one: keys without a default are told apart by hand.
#[test]
fn values_of_the_example_are_the_defaults() {
    let shown = kubemend::manifest::read_value(&example("kubemend.yaml")).unwrap();
    let defaults = serde_json::to_value(Config::default()).unwrap();
    let illustrated = [
        "extends",
        "protected_namespaces",
        "paused_namespaces",
        "ignore",
        "base_branch",
        "prefix_old",
        "suppress_days",
        "quiet_hours",
        "labels",
        "allowed_bots",
        "rules",
        "pull_requests",
    ];
    let levels = [
        (&shown, &defaults),
        (&shown["pull_requests"], &defaults["pull_requests"]),
    ];
    for (shown, defaults) in levels {
        for (key, value) in shown.as_object().unwrap() {
            if !illustrated.contains(&key.as_str()) {
                assert_eq!(Some(value), defaults.get(key), "{key}");
            }
        }
    }
}

fn repository(files: &[(&str, &str)]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = dir.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    dir
}

/// Scorecard rows 60 and 61.
#[test]
fn check_says_line_and_column_and_ends_with_2() {
    let repo = repository(&[(
        ".github/kubemend.yaml",
        "version: 1\npull_requests:\n  max_open_pr: 3\n",
    )]);
    let output = kubemend(&["config", "check", "--repo", repo.path().to_str().unwrap()]);
    let message = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(
        message.contains(
            ".github/kubemend.yaml:3:3: there is no key `max_open_pr`; did you mean `max_open_prs`?"
        ),
        "{message}"
    );
}

#[test]
fn strict_makes_remarks_errors() {
    let repo = repository(&[
        (".github/kubemend.yaml", "version: 1\n"),
        (".github/kubemend.yml", "version: 1\n"),
    ]);
    let repo = repo.path().to_str().unwrap();
    let relaxed = kubemend(&["config", "check", "--repo", repo]);
    assert_eq!(relaxed.status.code(), Some(0));
    assert_eq!(stdout(&relaxed), ".github/kubemend.yaml: fine\n");
    assert!(String::from_utf8_lossy(&relaxed.stderr).contains("kubemend.yml is not read"));
    let strict = kubemend(&["config", "check", "--repo", repo, "--strict"]);
    assert_eq!(strict.status.code(), Some(2));
}

#[test]
fn print_shows_what_counts() {
    let repo = repository(&[(
        ".kubemend.yaml",
        "pull_requests: {max_open_prs: 50, cooldown_after_close: 36h}\n",
    )]);
    let operator = repository(&[("op.yaml", "caps: {max_open_prs: 3}\n")]);
    let operator = operator.path().join("op.yaml");
    let args = [
        "config",
        "print",
        "--repo",
        repo.path().to_str().unwrap(),
        "--config",
        operator.to_str().unwrap(),
    ];
    let output = kubemend(&args);
    let value: Value = serde_json::from_str(&stdout(&output)).unwrap();
    assert_eq!(value["pull_requests"]["max_open_prs"], 3);
    assert_eq!(value["pull_requests"]["cooldown_after_close"], "36h");
    assert!(String::from_utf8_lossy(&output.stderr).contains("over the operator's cap"));
}
