//! The inputs of the Action, as texts of the environment. An input that a workflow leaves out is an
//! empty text.

use crate::config::Overrides;
use crate::config::rules::Draft;
use crate::finding::Severity;
use crate::near;
use crate::scan::Version;

/// What is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Mode {
    /// Open and look after pull requests; pull requests of people are only validated.
    #[default]
    Propose,
    /// Look at manifests and tell: annotations, summary, exit code. Nothing is written.
    Validate,
    /// As `validate`, and suggestions on lines that a pull request changes, in one review.
    Review,
}

/// The inputs, checked.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Inputs {
    /// What is done.
    pub mode: Mode,
    /// Only these files, as globs; all when empty.
    pub paths: Vec<String>,
    /// The version of Kubernetes that the manifests are for.
    pub target: Option<Version>,
    /// What comes over the configuration.
    pub overrides: Overrides,
    /// The lowest severity that makes the exit code 1.
    pub fail_on: Option<Severity>,
    /// Look only: no write at all.
    pub dry_run: bool,
    /// Where to write SARIF.
    pub sarif: Option<String>,
    /// A dump of the cluster.
    pub snapshot: Option<String>,
    /// Its logs.
    pub logs: Option<String>,
    /// The name of the dump's cluster.
    pub cluster: String,
    /// Namespace of manifests that name none.
    pub namespace: Option<String>,
    /// What a person reports, for `workflow_dispatch`.
    pub report: Option<String>,
}

/// The same, as texts.
#[derive(Debug, Clone, Default)]
pub struct Raw<'t> {
    /// `propose`, `validate`, `review`.
    pub mode: &'t str,
    /// Globs, one a line or separated by commas.
    pub paths: &'t str,
    /// `1.37`.
    pub target_version: &'t str,
    /// A number.
    pub max_prs: &'t str,
    /// `auto`, `always`, `never`.
    pub draft: &'t str,
    /// `never`, `error`, `warning`, or a severity.
    pub fail_on: &'t str,
    /// `true` or `false`.
    pub dry_run: &'t str,
    /// A path.
    pub sarif: &'t str,
    /// A path.
    pub snapshot: &'t str,
    /// A path.
    pub logs: &'t str,
    /// A name.
    pub cluster: &'t str,
    /// A namespace.
    pub namespace: &'t str,
    /// A text.
    pub report: &'t str,
}

/// The most globs.
const MAX_PATHS: usize = 200;

/// Checks the inputs; the error names the input.
pub fn read(raw: &Raw<'_>) -> Result<Inputs, String> {
    let max = given(raw.max_prs).map(|t| {
        let wrong = |_| format!("max-prs: {t:?} is no whole number");
        t.parse().map_err(wrong)
    });
    let draft = given(raw.draft).map(|t| one_of("draft", t, &DRAFTS));
    Ok(Inputs {
        mode: given(raw.mode).map_or(Ok(Mode::default()), |t| one_of("mode", t, &MODES))?,
        paths: paths(raw.paths),
        target: given(raw.target_version).map(version).transpose()?,
        overrides: Overrides {
            max_open_prs: max.transpose()?,
            draft: draft.transpose()?,
        },
        fail_on: given(raw.fail_on).map_or(Ok(None), |t| one_of("fail-on", t, &LEVELS))?,
        dry_run: given(raw.dry_run).map_or(Ok(false), |t| one_of("dry-run", t, &SWITCH))?,
        sarif: owned(raw.sarif),
        snapshot: owned(raw.snapshot),
        logs: owned(raw.logs),
        cluster: cluster(raw.cluster)?,
        namespace: owned(raw.namespace),
        report: owned(raw.report),
    })
}

const MODES: [(&str, Mode); 3] = [
    ("propose", Mode::Propose),
    ("validate", Mode::Validate),
    ("review", Mode::Review),
];
const DRAFTS: [(&str, Draft); 3] = [
    ("auto", Draft::Auto),
    ("always", Draft::Always),
    ("never", Draft::Never),
];
const SWITCH: [(&str, bool); 2] = [("true", true), ("false", false)];
const LEVELS: [(&str, Option<Severity>); 8] = [
    ("never", None),
    ("error", Some(Severity::High)),
    ("warning", Some(Severity::Medium)),
    ("notice", Some(Severity::Low)),
    ("low", Some(Severity::Low)),
    ("medium", Some(Severity::Medium)),
    ("high", Some(Severity::High)),
    ("critical", Some(Severity::Critical)),
];

fn one_of<T: Copy>(input: &str, text: &str, all: &[(&str, T)]) -> Result<T, String> {
    let found = all.iter().find(|(name, _)| name.eq_ignore_ascii_case(text));
    if let Some((_, value)) = found {
        return Ok(*value);
    }
    let names = || all.iter().map(|(name, _)| *name);
    let near = near::misspelled(text, names());
    let hint = near.map_or_else(String::new, |n| format!("; did you mean {n}?"));
    let names: Vec<&str> = names().collect();
    let shown: String = text.chars().take(60).collect();
    Err(format!(
        "{input}: {shown:?} is not one of {}{hint}",
        names.join(", ")
    ))
}

/// The scope of a dump: part of what decides whether a workload is healthy again.
fn cluster(text: &str) -> Result<String, String> {
    let name = given(text).unwrap_or("default");
    let usable = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    if name.len() <= 60 && name.chars().all(usable) {
        return Ok(name.to_owned());
    }
    Err("cluster: a name has at most 60 letters, digits, `-`, `_` and `.`".to_owned())
}

fn version(text: &str) -> Result<Version, String> {
    text.parse().map_err(|e| format!("target-version: {e}"))
}

fn paths(text: &str) -> Vec<String> {
    let parts = text.split(['\n', ',']).map(str::trim);
    let parts = parts.filter(|p| !p.is_empty()).take(MAX_PATHS);
    parts.map(str::to_owned).collect()
}

fn given(text: &str) -> Option<&str> {
    Some(text.trim()).filter(|t| !t.is_empty())
}

fn owned(text: &str) -> Option<String> {
    given(text).map(str::to_owned)
}
