//! What stands around a text on the forge: controls, warnings, notices, the hidden state. Pure.

use std::fmt::Write as _;

use jiff::Timestamp;

use super::markdown::{MAX_BODY, code, cut_closed, length, prose};
use crate::forge::decide::{Query, Topic};
use crate::forge::marker::ClosedBecause;

/// What a pull request gets below its text.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Controls {
    /// Where it fails (see `message::clusters::list`).
    pub clusters: String,
    /// Whether it is written with `GITHUB_TOKEN`, so that no workflow runs on it.
    pub workflow_token: bool,
    /// Summaries of other findings that it mends too.
    pub also: Vec<String>,
    /// The pull request that it replaces.
    pub replaces: Option<u64>,
    /// Hints of people that this version took into account, oldest first.
    pub hints: Vec<String>,
}

/// The body of a pull request: text, controls, hidden state. Never over the forge's limit; the
/// hidden state is never cut.
pub fn pull_body(body: &str, controls: &Controls, marker: &str) -> String {
    let mut below = String::new();
    if !controls.clusters.is_empty() {
        let _ = write!(below, "\n{}", controls.clusters);
    }
    token_warning(&mut below, controls.workflow_token);
    also_mends(&mut below, &controls.also);
    hints(&mut below, &controls.hints);
    if let Some(number) = controls.replaces {
        let _ = writeln!(below, "\nThis replaces #{number}.");
    }
    below.push_str("\n---\n\n");
    let rebase = "make the commit again on the current base";
    tick(&mut below, "rebase", rebase);
    let recreate = "throw away what people pushed here, and make it again";
    tick(&mut below, "recreate", recreate);
    let ignore = "do not propose this again";
    tick(&mut below, "ignore", ignore);
    below.push_str(PULL_COMMANDS);
    assembled(body, &below, marker)
}

/// The body of a question: text, one box for each option that has a proven change, hidden state.
/// `unheard` says why the last answer did not become a fix.
pub fn question_body(query: &Query, unheard: Option<&str>, marker: &str) -> String {
    let mut below = String::from("\n### Answer\n\n");
    if let Some(reason) = unheard {
        let _ = writeln!(
            below,
            "> [!WARNING]\n> The answer that was given did not become a fix: {}\n",
            prose(reason)
        );
    }
    let proven: Vec<(usize, &str)> = query
        .options
        .iter()
        .enumerate()
        .filter(|(_, (_, proven))| *proven)
        .map(|(i, (title, _))| (i + 1, title.as_str()))
        .take(MAX_OPTIONS)
        .collect();
    for (n, title) in &proven {
        tick(
            &mut below,
            &format!("choose={n}"),
            &format!("**{n}.** {}", prose(title)),
        );
    }
    for line in ways_to_answer(query, &proven) {
        let _ = writeln!(below, "\n{line}");
    }
    below.push('\n');
    tick(&mut below, "ignore", "do not ask this again");
    below.push_str(QUESTION_COMMANDS);
    assembled(&query.body, &below, marker)
}

/// The most options that get a box.
const MAX_OPTIONS: usize = 10;
/// The most keys that are named.
const MAX_KEYS: usize = 10;

fn ways_to_answer(query: &Query, proven: &[(usize, &str)]) -> Vec<String> {
    let mut ways = Vec::new();
    if let Some((n, _)) = proven.first() {
        ways.push(format!(
            "Tick one box, or write `/kubemend choose {n}` in a comment: the option becomes a pull request."
        ));
    }
    let keys = query.keys.iter().filter(|k| !holds_a_secret(k));
    let sets: Vec<String> = keys
        .take(MAX_KEYS)
        .map(|k| code(&format!("/kubemend set {k}=VALUE")))
        .collect();
    if !sets.is_empty() {
        ways.push(format!(
            "Or give the value in a comment: {}. It is checked like every other change. Never write a secret into a comment.",
            sets.join(", ")
        ));
    }
    ways.push("Or change it in Git yourself: this closes when the cause is gone.".to_owned());
    ways
}

/// Whether a key names something that must never be written into a comment.
fn holds_a_secret(key: &str) -> bool {
    const NAMES: [&str; 9] = [
        "secret",
        "password",
        "passwd",
        "token",
        "credential",
        "apikey",
        "api_key",
        "api-key",
        "private",
    ];
    let key = key.to_lowercase();
    NAMES.iter().any(|n| key.contains(n))
}

/// Any text with its hidden state: comments, the dashboard.
pub fn with_marker(body: &str, marker: &str) -> String {
    assembled(body, "", marker)
}

/// Text, what stands below it, hidden state. The text gives way first, then the controls.
fn assembled(body: &str, below: &str, marker: &str) -> String {
    let room = MAX_BODY.saturating_sub(length(marker) + 2);
    let below = cut_closed(below, room);
    let body = cut_closed(body, room.saturating_sub(length(&below) + 1));
    format!("{}\n{below}\n{marker}", body.trim_end())
}

fn tick(out: &mut String, name: &str, label: &str) {
    let _ = writeln!(out, "- [ ] <!-- kubemend:{name} -->{label}");
}

fn token_warning(out: &mut String, workflow_token: bool) {
    if workflow_token {
        out.push_str(
            "\n> [!WARNING]\n> This was written with `GITHUB_TOKEN`: GitHub starts no workflow on it, and required checks stay at \"Expected\". \
             Close and reopen it to start them, or give kubemend the token of a GitHub App.\n",
        );
    }
}

/// The most findings, hints, … that are listed.
const MAX_LISTED: usize = 20;

fn also_mends(out: &mut String, also: &[String]) {
    if also.is_empty() {
        return;
    }
    out.push_str("\n### It also mends\n\n");
    for summary in also.iter().take(MAX_LISTED) {
        let _ = writeln!(out, "- {}", prose(summary));
    }
    more(out, also.len(), MAX_LISTED);
}

fn hints(out: &mut String, hints: &[String]) {
    if hints.is_empty() {
        return;
    }
    out.push_str("\n### What people said to it\n\n");
    for hint in hints.iter().rev().take(5).rev() {
        let _ = writeln!(out, "- {}", prose(hint));
    }
}

/// `- and 3 more`, where there are more.
pub(crate) fn more(out: &mut String, all: usize, shown: usize) {
    if all > shown {
        let _ = writeln!(out, "- and {} more", all - shown);
    }
}

const PULL_COMMANDS: &str = "
<details><summary>Commands</summary>

Write one at the start of a line in a comment (write permission is needed).

| command | what it does |
|---|---|
| `/kubemend status` | what is known about this now |
| `/kubemend explain` | why this change, step by step |
| `/kubemend retry hint=\"…\"` | propose again, with your hint |
| `/kubemend set KEY=VALUE` | the same change with another value |
| `/kubemend rebase` | make the commit again on the current base |
| `/kubemend recreate` | throw away what people pushed, and make it again |
| `/kubemend ignore 7d` | do not propose this for 7 days; `forever` for good |
| `/kubemend unignore` | propose it again |
| `/kubemend pause`, `/kubemend resume` | stop writing in this repository, go on |
| `/kubemend help` | all commands |

The label `kubemend/stop-updating` freezes this pull request. A commit of a person on this branch does too.

</details>
";

const QUESTION_COMMANDS: &str = "
<details><summary>Commands</summary>

Write one at the start of a line in a comment (write permission is needed).

| command | what it does |
|---|---|
| `/kubemend choose N` | answer with an option |
| `/kubemend set KEY=VALUE` | answer with a value |
| `/kubemend explain` | why kubemend asks |
| `/kubemend retry hint=\"…\"` | think again, with your hint |
| `/kubemend ignore 7d` | do not ask this for 7 days; `forever` for good |
| `/kubemend help` | all commands |

</details>
";

/// What a notice says about its pull request.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct About<'a> {
    /// Closed: what is not proposed any more.
    pub fingerprint: &'a str,
    /// Closed: who closed it, by name.
    pub by: Option<&'a str>,
    /// Closed: for how many days; until the values in Git change when absent.
    pub suppress_days: Option<u32>,
    /// Retargeted: the base that a person chose.
    pub base: &'a str,
    /// Hands off: the commit of a person at the head.
    pub head: &'a str,
    /// Loop: the pull request that proposed the same tree before.
    pub earlier: Option<u64>,
    /// Resolved: since when it looks healthy.
    pub healthy_since: Option<Timestamp>,
    /// Days that the branch is kept after a close.
    pub keep_branch_days: u32,
}

/// The one comment of a topic.
pub fn notice(topic: Topic, about: &About<'_>, marker: &str) -> String {
    let text = match topic {
        Topic::Closed => closed_by_a_person(about),
        Topic::HandsOff => hands_off(about),
        Topic::Retargeted => format!(
            "The base of this pull request was changed to {}. kubemend leaves it alone from here on; \
             `/kubemend recreate` makes it again on the configured base.\n",
            code(about.base)
        ),
        Topic::Loop => same_tree(about),
        Topic::Resolved => resolved(about),
        Topic::Superseded => replaced(about),
        // follows the rollout, see `message::rollout`
        Topic::Rollout => String::new(),
    };
    with_marker(&text, marker)
}

fn closed_by_a_person(about: &About<'_>) -> String {
    let who = about.by.map_or_else(|| "a person".to_owned(), code);
    let until = match about.suppress_days {
        Some(days) => format!("for {days} days, or until the values in Git or the failure change"),
        None => "until the values in Git or the failure change".to_owned(),
    };
    format!(
        "Closed by {who}, and that means no: kubemend does not propose this again {until} (finding {}).\n\n\
         To get it back, one of these is enough:\n\n\
         - `/kubemend retry` in a comment here\n\
         - the box of this finding on the dashboard issue\n\
         - removing the label `kubemend/ignored` here\n\n\
         The branch is kept for {} days.\n",
        code(about.fingerprint),
        about.keep_branch_days
    )
}

fn hands_off(about: &About<'_>) -> String {
    let commit = match about.head {
        "" => String::new(),
        head => format!(" ({})", code(head.get(..12).unwrap_or(head))),
    };
    format!(
        "A person pushed to this branch{commit}, so kubemend does not touch it any more. \
         It goes on watching whether the problem is gone.\n\n\
         `/kubemend recreate` throws these commits away and makes the pull request again.\n"
    )
}

fn same_tree(about: &About<'_>) -> String {
    let earlier = about
        .earlier
        .map_or_else(String::new, |n| format!(" (see #{n})"));
    format!(
        "The change that is wanted now was proposed here before{earlier}: two states take turns, and \
         neither holds. kubemend stops here, because going on would only go round in circles.\n\n\
         Look for something else that writes these fields. `/kubemend retry hint=\"…\"` starts again.\n"
    )
}

fn replaced(about: &About<'_>) -> String {
    let by = about
        .earlier
        .map_or_else(|| "another pull request".to_owned(), |n| format!("#{n}"));
    format!("Replaced by {by}: the same problem is mended elsewhere now.\n")
}

fn resolved(about: &About<'_>) -> String {
    let since = about
        .healthy_since
        .map_or_else(String::new, |t| format!(" since {}", minute(t)));
    format!(
        "This appears to be resolved: what failed was seen healthy{since}, several times in a row. \
         The pull request is a draft now, and is closed if that stays so.\n\n\
         If the change is still wanted, set the label `kubemend/stop-updating`: then it stays as it is.\n"
    )
}

/// The comment with which kubemend closes something itself.
pub fn closing(because: ClosedBecause, replaced_by: Option<u64>, keep_branch_days: u32) -> String {
    let link = replaced_by.map_or_else(String::new, |n| format!(" by #{n}"));
    match because {
        ClosedBecause::Resolved => format!(
            "Closed by kubemend: the problem is gone. When it comes back, so does the proposal. \
             The branch is kept for {keep_branch_days} days.\n"
        ),
        ClosedBecause::Superseded => {
            format!("Closed by kubemend: replaced{link}. The failure or its fix changed.\n")
        }
        ClosedBecause::Answered => match replaced_by {
            Some(n) => format!("Answered: see #{n}.\n"),
            None => "Closed by kubemend: the question is settled, because its cause is gone.\n"
                .to_owned(),
        },
    }
}

/// A moment to the minute, in UTC.
pub(crate) fn minute(time: Timestamp) -> String {
    time.strftime("%Y-%m-%d %H:%M UTC").to_string()
}
