//! eval: runs cases with a known answer and grades how they end.
//!
//! The thing under test is a function from a case's inputs to an [`Ending`]. It sees copies of the
//! inputs under neutral names, never the folder's name, `case.yaml` or `gold/`.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use crate::files::Files;
use crate::repo::Checkout;

pub mod definition;
pub mod grade;
pub mod judge;
pub mod oracle;
pub mod report;

pub use definition::{Definition, Outcome};
pub use report::Report;
use report::{CaseReport, Skipped};

/// The inputs of one case.
#[derive(Debug, Clone)]
pub struct CaseInput {
    /// The faulty repository.
    pub repo: PathBuf,
    /// The cluster, where there is one.
    pub snapshot: Option<PathBuf>,
    /// Container logs.
    pub logs: Option<PathBuf>,
    /// What started the work.
    pub trigger: Option<PathBuf>,
    /// The known answer, for [`oracle`] alone.
    pub gold: Option<Files>,
}

/// How one run ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ending {
    /// What it ended in.
    pub outcome: Outcome,
    /// The code of a question or refusal.
    pub code: Option<String>,
    /// One line.
    pub title: String,
    /// What a person reads.
    pub message: String,
    /// The options of a question.
    pub options: Vec<String>,
    /// New content of the changed files.
    pub patched: BTreeMap<String, Vec<u8>>,
    /// How long it took.
    pub millis: u64,
    /// What a model used.
    pub tokens: u64,
}

/// What is run and how.
pub struct Settings<'a> {
    /// The name of the proposer, for the report.
    pub proposer: &'a str,
    /// Whether the run may see the known answer.
    pub oracle: bool,
    /// Only folders whose name contains this.
    pub filter: Option<&'a str>,
    /// How often each case is run, at least once.
    pub runs: usize,
    /// Told the name of each case before it is run.
    pub progress: &'a dyn Fn(&str),
}

/// The thing under test.
pub type Runner<'a> = dyn Fn(&CaseInput) -> Result<Ending, String> + 'a;

/// A repository before, and as it should be.
#[derive(Debug, Clone, Default)]
pub struct Known {
    /// The faulty repository.
    pub before: Files,
    /// The repository after the reference fix; empty where there is none.
    pub gold: Files,
}

/// The folder of cases cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{}: {message}", path.display())]
pub struct EvalError {
    /// The folder.
    pub path: PathBuf,
    /// What is wrong with it.
    pub message: String,
}

/// Runs every case of a folder. A folder without `case.yaml` is skipped, a broken case is listed.
pub fn run(dir: &Path, settings: &Settings<'_>, runner: &Runner<'_>) -> Result<Report, EvalError> {
    let mut cases = Vec::new();
    let mut skipped = Vec::new();
    for folder in case_folders(dir, settings.filter)? {
        let id = name_of(&folder);
        if !folder.join("case.yaml").is_file() {
            let reason = "no case.yaml".to_owned();
            skipped.push(Skipped {
                id,
                reason,
                broken: false,
            });
            continue;
        }
        (settings.progress)(&id);
        match run_case(&folder, settings, runner) {
            Ok(Ok(case)) => cases.push(case),
            Ok(Err(reason)) => skipped.push(Skipped {
                id,
                reason,
                broken: false,
            }),
            Err(reason) => skipped.push(Skipped {
                id,
                reason,
                broken: true,
            }),
        }
    }
    if cases.is_empty() && skipped.iter().all(|s| !s.broken) {
        let path = dir.to_owned();
        let message = "no case here: a case is a folder with case.yaml and repo/".to_owned();
        return Err(EvalError { path, message });
    }
    Ok(Report::new(
        settings.proposer,
        settings.runs.max(1),
        cases,
        skipped,
    ))
}

/// The folders below, sorted; or the folder itself when it is a case.
fn case_folders(dir: &Path, filter: Option<&str>) -> Result<Vec<PathBuf>, EvalError> {
    if dir.join("case.yaml").is_file() {
        return Ok(vec![dir.to_owned()]);
    }
    let unreadable = |e: std::io::Error| EvalError {
        path: dir.to_owned(),
        message: format!("cannot be read: {e}"),
    };
    let mut folders = Vec::new();
    for entry in fs::read_dir(dir).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        let wanted = filter.is_none_or(|text| name_of(&path).contains(text));
        if path.is_dir() && wanted && !name_of(&path).starts_with('.') {
            folders.push(path);
        }
    }
    folders.sort();
    Ok(folders)
}

fn name_of(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default();
    name.to_string_lossy().into_owned()
}

/// Runs one case; the inner error says why it is left out, the outer one what is broken.
fn run_case(
    folder: &Path,
    settings: &Settings<'_>,
    runner: &Runner<'_>,
) -> Result<Result<CaseReport, String>, String> {
    let (definition, known) = load(folder)?;
    if settings.oracle && !definition.accepts(Outcome::Pr) {
        return Ok(Err(
            "no pull request is right here, so there is no answer to apply".to_owned(),
        ));
    }
    let mut runs = Vec::new();
    for _ in 0..settings.runs.max(1) {
        let place = tempfile::tempdir().map_err(|e| format!("no temporary folder: {e}"))?;
        let gold = settings.oracle.then(|| known.gold.clone());
        let input = neutral_copy(folder, place.path(), gold)?;
        runs.push(grade::grade(&definition, &known, &runner(&input)));
    }
    Ok(Ok(CaseReport {
        id: name_of(folder),
        class: definition.class,
        expect: definition.expect,
        also_accepted: definition.also_accepted,
        weak: definition.weak,
        runs,
    }))
}

/// Reads a case's known answer and its repositories.
pub fn load(folder: &Path) -> Result<(Definition, Known), String> {
    let file = folder.join("case.yaml");
    let text = fs::read_to_string(&file).map_err(|e| format!("case.yaml: {e}"))?;
    let definition = Definition::read(&text).map_err(|e| format!("case.yaml: {e}"))?;
    let files = |name: &str| Checkout::open(&folder.join(name)).map(|c| c.files);
    let before = files("repo").map_err(|e| format!("repo: {e}"))?;
    let gold = match folder.join("gold").is_dir() {
        true => files("gold").map_err(|e| format!("gold: {e}"))?,
        false => Files::default(),
    };
    Ok((definition, Known { before, gold }))
}

/// Copies a case's inputs to a place whose name says nothing.
fn neutral_copy(folder: &Path, place: &Path, gold: Option<Files>) -> Result<CaseInput, String> {
    let copy = |names: &[&str]| -> Result<Option<PathBuf>, String> {
        let Some(name) = names.iter().find(|n| folder.join(n).exists()) else {
            return Ok(None);
        };
        let target = place.join(name);
        copy_tree(&folder.join(name), &target).map_err(|e| format!("{name}: {e}"))?;
        Ok(Some(target))
    };
    Ok(CaseInput {
        repo: copy(&["repo"])?.ok_or("repo: not there")?,
        snapshot: copy(&["snapshot.yaml", "snapshot.json", "snapshot"])?,
        logs: copy(&["logs"])?,
        trigger: copy(&["trigger.yaml"])?,
        gold,
    })
}

/// Copies a file, or a folder with all below it; symlinks stay symlinks.
fn copy_tree(from: &Path, to: &Path) -> std::io::Result<()> {
    let kind = fs::symlink_metadata(from)?.file_type();
    if kind.is_symlink() {
        return std::os::unix::fs::symlink(fs::read_link(from)?, to);
    }
    if !kind.is_dir() {
        return fs::copy(from, to).map(|_| ());
    }
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        copy_tree(&entry.path(), &to.join(entry.file_name()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
