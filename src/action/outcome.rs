//! The end of a run: outputs for later steps, and the exit code.

use serde_json::json;
use sha2::{Digest as _, Sha256};

use crate::cycle::{Report, Touched};
use crate::finding::Severity;

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Ended {
    /// Everything was done; no finding is as bad as `fail-on`.
    #[default]
    Success,
    /// A finding is as bad as `fail-on`, or worse.
    Findings,
    /// An input or the configuration cannot be used.
    Unusable,
    /// GitHub or the model did not answer; what was done holds.
    Frozen,
    /// There was nothing to do for the event.
    Skipped,
}

impl Ended {
    /// The output `result`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Findings => "findings",
            Self::Unusable => "unusable",
            Self::Frozen => "frozen",
            Self::Skipped => "skipped",
        }
    }

    /// 0 fine, 1 findings, 2 usage or configuration, 3 infrastructure.
    pub fn exit_code(self) -> u8 {
        match self {
            Self::Success | Self::Skipped => 0,
            Self::Findings => 1,
            Self::Unusable => 2,
            Self::Frozen => 3,
        }
    }
}

/// Whether one of these is as bad as the bound.
pub fn fails(fail_on: Option<Severity>, severities: impl IntoIterator<Item = Severity>) -> bool {
    fail_on.is_some_and(|least| severities.into_iter().any(|s| s >= least))
}

/// What later steps can read.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Outputs {
    /// How it ended.
    pub ended: Ended,
    /// Findings, listed ones included.
    pub findings: usize,
    /// Our pull requests after the run.
    pub pulls: Vec<Touched>,
    /// Where pull requests are: `https://github.com/owner/name/pull/`.
    pub pulls_url: String,
    /// The file with SARIF.
    pub sarif: Option<String>,
    /// The commit that was looked at.
    pub head: Option<String>,
}

impl Outputs {
    /// The pull requests of a pass.
    pub fn of_pass(report: &Report, server_url: &str, repository: &str) -> Self {
        Self {
            pulls: report.pulls.clone(),
            pulls_url: format!("{}/{repository}/pull/", server_url.trim_end_matches('/')),
            ..Self::default()
        }
    }

    /// The text for `GITHUB_OUTPUT`. No value can end its own block, whatever it holds.
    pub fn file(&self) -> String {
        let url = |t: &Touched| format!("{}{}", self.pulls_url, t.number);
        let all: Vec<_> = self
            .pulls
            .iter()
            .map(|t| {
                json!({
                    "number": t.number,
                    "url": url(t),
                    "operation": t.operation,
                    "branch": t.branch,
                    "head-sha": t.head,
                    "fingerprint": t.fingerprint,
                })
            })
            .collect();
        // the one that people want to hear of: made or changed in this run
        let changed = |t: &&Touched| t.operation != "none";
        let first = self.pulls.iter().find(changed).or(self.pulls.first());
        let pairs = [
            ("result", self.ended.name().to_owned()),
            ("findings-count", self.findings.to_string()),
            ("pull-requests", json!(all).to_string()),
            (
                "pull-request-number",
                first.map_or_else(String::new, |t| t.number.to_string()),
            ),
            ("pull-request-url", first.map_or_else(String::new, url)),
            (
                "pull-request-operation",
                first.map_or_else(String::new, |t| t.operation.to_owned()),
            ),
            ("sarif-file", self.sarif.clone().unwrap_or_default()),
            ("head-sha", self.head.clone().unwrap_or_default()),
        ];
        pairs
            .iter()
            .map(|(name, value)| block(name, value))
            .collect()
    }
}

/// `name<<delimiter`, the value, and a delimiter that the value cannot know before it is complete.
fn block(name: &str, value: &str) -> String {
    let hash = Sha256::digest(value.as_bytes());
    let end: String = hash.iter().take(12).map(|b| format!("{b:02x}")).collect();
    format!("{name}<<kubemend_{end}\n{value}\nkubemend_{end}\n")
}

/// A line for the log of a run. The runner reads commands out of it, so nothing that could begin
/// one stays.
pub fn plain(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        let splits = (c == ':' && out.ends_with(':')) || (c == '[' && out.ends_with("##"));
        if splits {
            out.push(' ');
        }
        out.push(if c.is_control() && c != '\n' { ' ' } else { c });
    }
    out
}
