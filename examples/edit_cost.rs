//! What an edit costs, by size of the file: `cargo run --release --example edit_cost -- FOLDER`.
//!
//! Edits each YAML file of a folder at up to 40 scalars and prints the time of the engine and of
//! the proof, then the same for 10,000 lines in one document and in many.

#![allow(clippy::print_stdout, clippy::unwrap_used)]

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use kubemend::edit::{self, FileEdit, proof};
use kubemend::manifest::{Tree, split};
use kubemend::path::FieldPath;
use kubemend::propose::Op;

const CLASSES: [(&str, usize); 4] = [
    ("< 5 KB", 5_000),
    ("5-50 KB", 50_000),
    ("50 KB-1 MB", 1_000_000),
    ("> 1 MB", usize::MAX),
];

#[derive(Default)]
struct Times {
    engine: Vec<Duration>,
    proof: Vec<Duration>,
}

fn main() {
    let folder = std::env::args()
        .nth(1)
        .unwrap_or_else(|| "../shared/corpus".to_owned());
    let mut files = Vec::new();
    yaml_files(Path::new(&folder), &mut files);
    let mut classes: Vec<Times> = CLASSES.iter().map(|_| Times::default()).collect();
    let mut all = Times::default();
    for file in files {
        let Ok(text) = std::fs::read_to_string(file) else {
            continue;
        };
        let class = CLASSES
            .iter()
            .position(|(_, most)| text.len() < *most)
            .unwrap();
        for edit in edits(&text, 40) {
            measure(&text, &edit, &mut [&mut classes[class], &mut all]);
        }
    }
    println!(
        "{:12} {:>7}  engine p50/mean/p99 µs     proof p50/mean/p99 µs",
        "size", "edits"
    );
    for ((name, _), times) in CLASSES.iter().zip(&mut classes) {
        row(name, times);
    }
    row("all", &mut all);
    let lines = |name: &str, text: &str| {
        let mut times = Times::default();
        for edit in edits(text, 20) {
            measure(text, &edit, &mut [&mut times]);
        }
        println!(
            "{name}: {} lines, {} KB",
            text.lines().count(),
            text.len() / 1000
        );
        row(name, &mut times);
    };
    lines("one document", &list(358));
    lines("documents", &documents(345));
}

fn yaml_files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            yaml_files(&path, found);
        } else if path.extension().is_some_and(|e| e == "yaml" || e == "yml") {
            found.push(path);
        }
    }
}

/// A set of a new text at evenly spread scalars.
fn edits(text: &str, most: usize) -> Vec<FileEdit> {
    let slices = split(text);
    let sites: Vec<(usize, FieldPath)> = slices
        .iter()
        .enumerate()
        .filter_map(|(d, s)| Some((d, Tree::parse(s.of(text)).ok()?)))
        .flat_map(|(d, tree)| {
            tree.scalars()
                .into_iter()
                .map(|(p, _)| (d, p))
                .collect::<Vec<_>>()
        })
        .collect();
    let stride = sites.len().div_ceil(most).max(1);
    let edit = |(document, path): (usize, FieldPath)| FileEdit {
        document,
        path,
        op: Op::Set("changed".into()),
        expected: None,
        inner: None,
    };
    sites.into_iter().step_by(stride).map(edit).collect()
}

fn measure(text: &str, edit: &FileEdit, into: &mut [&mut Times]) {
    let edits = std::slice::from_ref(edit);
    let start = Instant::now();
    let Ok(edited) = edit::unproven(text.as_bytes(), edits) else {
        return;
    };
    let engine = start.elapsed();
    let start = Instant::now();
    let proven = proof::check(text.as_bytes(), edits, &edited.bytes);
    let proof = start.elapsed();
    if proven.is_ok() {
        for times in into {
            times.engine.push(engine);
            times.proof.push(proof);
        }
    }
}

fn row(name: &str, times: &mut Times) {
    let count = times.engine.len();
    println!(
        "{name:12} {count:>7}  {:26} {}",
        figures(&mut times.engine),
        figures(&mut times.proof)
    );
}

fn figures(times: &mut [Duration]) -> String {
    times.sort();
    let Some(last) = times.last() else {
        return "-".to_owned();
    };
    let at = |percent: usize| {
        times
            .get(times.len() * percent / 100)
            .unwrap_or(last)
            .as_micros()
    };
    let mean = times.iter().sum::<Duration>().as_micros() / times.len() as u128;
    format!("{} / {mean} / {}", at(50), at(99))
}

fn list(count: usize) -> String {
    let body: String = deployment(0).lines().map(|l| format!("  {l}\n")).collect();
    let items: String = (0..count)
        .map(|i| {
            body.replacen("  ", "- ", 1)
                .replace("web-0", &format!("web-{i}"))
        })
        .collect();
    format!("apiVersion: v1\nkind: List\nitems:\n{items}")
}

fn documents(count: usize) -> String {
    (0..count)
        .map(|i| format!("---\n{}", deployment(i)))
        .collect()
}

fn deployment(index: usize) -> String {
    format!(
        "apiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: web-{index}\n  labels:\n    app: web\nspec:\n  replicas: 2\n  selector:\n    matchLabels:\n      app: web\n  template:\n    metadata:\n      labels:\n        app: web\n    spec:\n      containers:\n      - name: web\n        image: registry.example/web:1.0\n        resources:\n          limits:\n            cpu: 100m\n            memory: 128Mi\n        env:\n        - name: MODE\n          value: \"prod\"\n        ports:\n        - containerPort: 8080\n"
    )
}
