//! The public JSON contract and the configuration's schema are generated and committed.

use std::path::Path;

/// Compares a generated text with its committed file; KUBEMEND_BLESS=1 writes it.
fn current(file: &str, generated: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("schema")
        .join(file);
    if std::env::var_os("KUBEMEND_BLESS").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, generated).unwrap();
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(
        committed, generated,
        "schema/{file} is out of date: run KUBEMEND_BLESS=1 cargo test contract"
    );
}

#[test]
fn the_schema_of_fix_is_current() {
    let schema = schemars::schema_for!(kubemend::output::Report);
    current(
        "fix.schema.json",
        &(serde_json::to_string_pretty(&schema).unwrap() + "\n"),
    );
}

#[test]
fn the_schema_of_scan_is_current() {
    let schema = schemars::schema_for!(kubemend::scan::report::Report);
    current(
        "scan.schema.json",
        &(serde_json::to_string_pretty(&schema).unwrap() + "\n"),
    );
}

#[test]
fn the_schema_of_the_configuration_is_current() {
    current(
        "kubemend.schema.json",
        &(kubemend::config::Config::schema() + "\n"),
    );
}

/// The CRD of the chart is what `kubemend crd` prints.
#[test]
fn the_definition_of_remediations_is_current() {
    let printed = crate::cli::stdout(&crate::cli::kubemend(&["crd"]));
    current("../deploy/chart/crds/remediations.yaml", &printed);
}

/// docs/commands.md tells what `/kubemend help` answers, and shows every command in a form that is read.
#[test]
fn the_document_of_commands_is_current() {
    use kubemend::command::{Command, parse};
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/commands.md");
    let text = std::fs::read_to_string(path).unwrap();
    let help = kubemend::message::answer::help(&kubemend::config::Rules::default());
    let rows = |text: &str| -> Vec<String> {
        let rows = text.lines().filter(|l| l.starts_with('|'));
        rows.map(str::to_owned).collect()
    };
    let told = text.split("<!-- help -->").nth(1).unwrap();
    let told = told.split("<!-- /help -->").next().unwrap();
    assert_eq!(rows(told), rows(&help));
    let shown = text.lines().filter(|l| l.starts_with("/kubemend"));
    let mut verbs: Vec<&str> = shown
        .map(|line| match parse(line).commands.as_slice() {
            [Ok(command)] => command.verb(),
            other => panic!("{line}: {other:?}"),
        })
        .collect();
    verbs.dedup();
    assert_eq!(verbs, Command::VERBS);
}

/// docs/serve.md names every flag of `serve` that has a value or a meaning of its own, and no other.
#[test]
fn the_document_of_serve_is_current() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/serve.md");
    let text = std::fs::read_to_string(path).unwrap();
    let table = text.split("## Flags and variables").nth(1).unwrap();
    let table = table.split("\n## ").next().unwrap();
    let help = crate::cli::stdout(&crate::cli::kubemend(&["serve", "--help"]));
    let everywhere = ["--help", "--version", "--color", "--quiet"];
    let flags = |text: &str| -> std::collections::BTreeSet<String> {
        let words = text.split(|c: char| !(c.is_ascii_lowercase() || c == '-'));
        let flags = words.filter(|w| w.starts_with("--") && w.len() > 3);
        flags.map(str::to_owned).collect()
    };
    let first_words = help.lines().map(|l| {
        let flag = match l.split_once(", --") {
            Some((_, long)) => format!("--{long}"),
            None => l.trim_start().to_owned(),
        };
        let first = flag.split(' ').next().filter(|w| w.starts_with("--"));
        first.unwrap_or_default().to_owned()
    });
    let mut real = flags(&first_words.collect::<Vec<_>>().join(" "));
    real.retain(|flag| !everywhere.contains(&flag.as_str()));
    assert_eq!(flags(table), real);
}

/// The image is built from what .dockerignore lets through, and cargo builds nothing where a target
/// of Cargo.toml is missing.
#[test]
fn the_image_is_built_from_everything_that_cargo_names() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let ignored = std::fs::read_to_string(root.join(".dockerignore")).unwrap();
    let lines: Vec<&str> = ignored.lines().filter(|l| !l.starts_with('#')).collect();
    assert_eq!(lines[0], "*", "{ignored}");
    let known = std::process::Command::new(env!("CARGO"))
        .args(["metadata", "--no-deps", "--offline", "--format-version=1"])
        .current_dir(root)
        .output()
        .unwrap();
    let known: serde_json::Value = serde_json::from_slice(&known.stdout).unwrap();
    let targets = known["packages"][0]["targets"].as_array().unwrap();
    // examples are found, not named: where there are none, none are missed
    let named = targets.iter().filter(|t| t["kind"][0] != "example");
    let sources = named.map(|t| t["src_path"].as_str().unwrap());
    let sources: Vec<&Path> = sources
        .map(|s| Path::new(s).strip_prefix(root).unwrap())
        .collect();
    assert!(sources.len() > 8, "{sources:?}");
    let others = ["Cargo.toml", "Cargo.lock", "README.md", "LICENSE", "NOTICE"];
    for path in sources.into_iter().chain(others.map(Path::new)) {
        let top = path.iter().next().unwrap().to_str().unwrap();
        assert!(lines.contains(&format!("!{top}").as_str()), "{path:?}");
    }
}
