//! locate against the golden answers over real repositories (`shared/corpus`).
//!
//! Precision must be 100 %: a wrong file or line fails; a refusal is counted by its code. Without
//! the corpus or a renderer the trials are reported as ignored, by name and with the reason.

#![allow(
    clippy::print_stdout,
    reason = "the measured shares are the result of these trials"
)]

mod answers;
mod round_trip;
mod traps;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::{Arc, LazyLock, Mutex};

use kubemend::files::Files;
use kubemend::locate::{Policy, Repository};
use kubemend::render::Renderer;
use libtest_mimic::{Arguments, Trial};
use serde_json::Value;

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let no_tool = RENDERER
        .is_none()
        .then_some("neither kustomize nor kubectl on PATH or in KUBEMEND_RENDERER");
    let missing = no_tool.or((!corpus().is_dir()).then_some("corpus not present"));
    // `all`, or a number of records.
    let wanted = std::env::var("KUBEMEND_GOLDEN").ok();
    let count = wanted.as_deref().and_then(|v| v.parse().ok());
    let mut trials = vec![
        trial("origins", missing, answers::origins),
        trial("broken_roots", missing, answers::broken_roots),
        trial("fields", missing, answers::fields),
        trial("round_trip_sample", missing, || round_trip::run(Some(24))),
        trial(
            "round_trip_all",
            missing.or(wanted.is_none().then_some("only with KUBEMEND_GOLDEN=all")),
            move || round_trip::run(count),
        ),
    ];
    let traps = traps::ALL
        .iter()
        .map(|(name, run)| trial(&format!("trap_{name}"), no_tool, *run));
    trials.extend(traps);
    libtest_mimic::run(&arguments, trials).exit_code()
}

fn trial(
    name: &str,
    missing: Option<&str>,
    run: impl FnOnce() -> Result<(), String> + Send + 'static,
) -> Trial {
    let shown = match missing {
        Some(reason) => format!("{name} [skipped: {reason}]"),
        None => name.to_owned(),
    };
    Trial::test(shown, || run().map_err(Into::into)).with_ignored_flag(missing.is_some())
}

static RENDERER: LazyLock<Option<Renderer>> = LazyLock::new(|| {
    let given = std::env::var_os("KUBEMEND_RENDERER").map(PathBuf::from);
    Renderer::find(given.as_deref()).expect("KUBEMEND_RENDERER is no renderer")
});

fn shared() -> PathBuf {
    std::env::var_os("KUBEMEND_SHARED").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared"),
        PathBuf::from,
    )
}

fn corpus() -> PathBuf {
    shared().join("corpus/gitops")
}

/// Golden records by tree.
fn records(file: &str) -> BTreeMap<String, Vec<Value>> {
    let text = std::fs::read_to_string(corpus().join("golden").join(file)).expect("golden file");
    let mut by_tree: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for line in text.lines() {
        let record: Value = serde_json::from_str(line).expect("a record");
        let tree = text_of(&record, "repo").to_owned();
        by_tree.entry(tree).or_default().push(record);
    }
    by_tree
}

fn text_of<'v>(record: &'v Value, key: &str) -> &'v str {
    record.get(key).and_then(Value::as_str).unwrap_or_default()
}

/// All files of a tree.
fn tree(name: &str) -> Files {
    let root = corpus().join(name);
    let mut files = Files::default();
    let mut todo = vec![root.clone()];
    while let Some(dir) = todo.pop() {
        for entry in std::fs::read_dir(&dir).expect("a directory") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                todo.push(path);
                continue;
            }
            let name = path
                .strip_prefix(&root)
                .expect("below")
                .display()
                .to_string();
            files
                .by_path
                .insert(name, std::fs::read(&path).expect("a file"));
        }
    }
    files
}

fn open(files: &Files, policy: Policy) -> Repository<'_> {
    Repository::open(files, RENDERER.as_ref(), None, policy)
}

/// A tree, opened once for all trials.
fn opened(name: &str) -> Arc<Repository<'static>> {
    static OPENED: Mutex<BTreeMap<String, Arc<Repository<'static>>>> = Mutex::new(BTreeMap::new());
    let mut opened = OPENED
        .lock()
        .expect("no trial panics while it opens a tree");
    let make = || {
        let files: &'static Files = Box::leak(Box::new(tree(name)));
        Arc::new(open(files, Policy::default()))
    };
    opened.entry(name.to_owned()).or_insert_with(make).clone()
}
