//! `docs/scorecard.md` is true: every row is there once, has a state, and each test that it names
//! exists.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// How many rows the scorecard has.
const ROWS: usize = 68;
/// What the state of a row starts with.
const STATES: [&str; 3] = ["done", "not yet: ", "not planned: "];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &Path) -> Option<String> {
    std::fs::read_to_string(path).ok()
}

struct Row {
    number: usize,
    state: String,
    tests: Vec<String>,
}

fn rows(text: &str) -> Vec<Row> {
    let cells = |line: &str| -> Vec<String> {
        let line = line.trim().trim_matches('|');
        line.split(" | ").map(|c| c.trim().to_owned()).collect()
    };
    let row = |line: &str| {
        let cells = cells(line);
        let number = cells.first()?.parse().ok()?;
        assert_eq!(cells.len(), 5, "{line}");
        let named = cells[4].split('`').skip(1).step_by(2);
        Some(Row {
            number,
            state: cells[3].clone(),
            tests: named.map(str::to_owned).collect(),
        })
    };
    text.lines().filter_map(row).collect()
}

#[test]
fn every_row_is_there_and_says_where_it_stands() {
    let text = read(&root().join("docs/scorecard.md")).unwrap();
    let rows = rows(&text);
    let numbers: Vec<usize> = rows.iter().map(|r| r.number).collect();
    assert_eq!(numbers, (1..=ROWS).collect::<Vec<_>>());
    for row in &rows {
        let number = row.number;
        assert!(
            STATES.iter().any(|s| row.state.starts_with(s)),
            "row {number}: {}",
            row.state
        );
        if row.state.starts_with("done") {
            assert!(!row.tests.is_empty(), "row {number} is done without a test");
        }
    }
}

#[test]
fn every_test_that_it_names_exists() {
    let text = read(&root().join("docs/scorecard.md")).unwrap();
    let named: BTreeSet<String> = rows(&text).into_iter().flat_map(|r| r.tests).collect();
    assert!(named.len() > 100, "{}", named.len());
    let missing: Vec<&String> = named.iter().filter(|name| !exists(name)).collect();
    assert_eq!(missing, [""; 0]);
}

#[test]
fn a_name_of_no_test_is_noticed() {
    assert!(exists(
        "integration scorecard::a_name_of_no_test_is_noticed"
    ));
    for name in [
        "integration scorecard::exists",
        "integration scorecard::gone",
        "integration gone::a_name_of_no_test_is_noticed",
        "lib config::tests::gone",
        "serve gone",
        "gone it_opens_pull_requests_and_answers",
    ] {
        assert!(!exists(name), "{name}");
    }
}

/// `integration a::b::test`, `lib a::tests::test`, or the name of a trial of `golden`, `github`,
/// `serve`, `scan`, `cluster`.
fn exists(name: &str) -> bool {
    let Some((target, test)) = name.split_once(' ') else {
        return false;
    };
    match target {
        "lib" => is_function(&root().join("src"), test),
        "integration" => is_function(&root().join("tests/integration"), test),
        "golden" => match test.strip_prefix("trap_") {
            Some(trap) => is_trial(target, trap),
            None => is_trial(target, test),
        },
        "cluster" | "deploy" | "github" | "serve" | "scan" => is_trial(target, test),
        _ => false,
    }
}

/// Whether the file of the module holds a test function of that name. An inner module `tests` is
/// either in a file of its own or at the end of its parent.
fn is_function(folder: &Path, path: &str) -> bool {
    let mut modules: Vec<&str> = path.split("::").collect();
    let Some(test) = modules.pop() else {
        return false;
    };
    let file = |modules: &[&str]| modules.iter().fold(folder.to_owned(), |p, m| p.join(m));
    let mut candidates: Vec<PathBuf> = vec![file(&modules).with_extension("rs")];
    if let Some(("tests", parent)) = modules.split_last().map(|(l, p)| (*l, p)) {
        candidates.push(file(parent).with_extension("rs"));
    }
    candidates
        .iter()
        .filter_map(|p| read(p))
        .any(|text| holds_test(&text, test))
}

/// Whether a function stands behind an attribute that makes it a test.
fn holds_test(text: &str, test: &str) -> bool {
    let head = format!("fn {test}(");
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    let attributed = |at: usize| {
        let before = lines[..at].iter().rev();
        let mut attributes = before.take_while(|l| l.starts_with("#[") || l.starts_with("//"));
        attributes.any(|l| l.starts_with("#[test") || l.starts_with("#[tokio::test"))
    };
    let is_head = |line: &&str| line.contains(&head);
    let found = lines.iter().position(is_head);
    found.is_some_and(attributed)
}

/// Whether the sources of a target with a harness of its own list a trial of that name.
fn is_trial(target: &str, test: &str) -> bool {
    let tests = root().join("tests");
    let inside = std::fs::read_dir(tests.join(target)).into_iter().flatten();
    let mut files: Vec<PathBuf> = inside.flatten().map(|entry| entry.path()).collect();
    files.push(tests.join(target).with_extension("rs"));
    let quoted = format!("\"{test}\"");
    files
        .iter()
        .filter_map(|p| read(p))
        .any(|text| text.contains(&quoted))
}
