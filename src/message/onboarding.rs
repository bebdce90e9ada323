//! The pull request that asks a repository whether kubemend may work there. Pure.

use std::fmt::Write as _;

use super::{code, prose};
use crate::config::{REPOSITORY_FILES, Rules};
use crate::cycle::Analysis;
use crate::forge::decide::{Wanted, WantedEnding};

/// The most findings that are named.
const MAX_NAMED: usize = 10;

/// The title, and the subject of the commit.
pub const TITLE: &str = "chore: configure kubemend";

/// The commit message.
pub fn commit() -> String {
    let file = REPOSITORY_FILES[0];
    format!(
        "{TITLE}\n\nAdds {file} with the defaults explained. Merging it lets kubemend work here.\n"
    )
}

/// The body: what merging and closing mean, and what would come of it now.
pub fn body(analysis: &Analysis, rules: &Rules) -> String {
    let mut out = format!(
        "**Merge this to let kubemend work in this repository. Close it to say no.**\n\n\
         Until it is merged nothing else is written here. {} holds the defaults, explained; change it here before you merge, or later.\n\n\
         ### What kubemend would do now\n\n",
        code(REPOSITORY_FILES[0])
    );
    would_do(&mut out, &analysis.wanted);
    let _ = write!(
        out,
        "\nHowever many there are: at most {} new pull requests in an hour, {} open in all and {} for one namespace. \
         What is over a limit waits on the dashboard.\n\n\
         ### What it may do\n\n\
         It writes branches that start with {}, pull requests, issues and comments. It never merges, never pushes to {}, and never writes to a cluster. \
         With {} only the dashboard tells, and nothing is proposed.\n\n\
         ### Later\n\n\
         Closed means no: it is not asked again. Reopen this, or add the file yourself, when you change your mind. \
         {} in the file stops everything. {} comments are answered once this is merged.\n",
        rules.max_prs_per_hour,
        rules.max_open_prs,
        rules.max_open_per_namespace,
        code(&rules.branch_prefix),
        rules
            .base_branch
            .as_deref()
            .map_or_else(|| "the default branch".to_owned(), code),
        code("extends: kubemend:observe"),
        code("enabled: false"),
        code("/kubemend"),
    );
    out
}

fn would_do(out: &mut String, wanted: &[Wanted]) {
    let told: Vec<(&str, &str)> = wanted.iter().filter_map(told).collect();
    if told.is_empty() {
        out.push_str("Nothing: it finds no fault that it could mend or ask about.\n");
    }
    for (what, title) in told.iter().take(MAX_NAMED) {
        let _ = writeln!(out, "- {what}: {}", prose(title));
    }
    let more = told.len().saturating_sub(MAX_NAMED);
    if more > 0 {
        let _ = writeln!(out, "- … and {more} more");
    }
}

/// What would be written for a finding; a refusal is only listed, and not here.
fn told(wanted: &Wanted) -> Option<(&'static str, &str)> {
    match &wanted.ending {
        WantedEnding::Fix(fix) if fix.draft => Some(("draft", &fix.title)),
        WantedEnding::Fix(fix) => Some(("pull request", &fix.title)),
        WantedEnding::Question(query) => Some(("question", &query.title)),
        _ => None,
    }
}
