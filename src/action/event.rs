//! From the event that started a workflow to what is to be done.

use serde_json::Value;

use super::dispatch;
use super::inputs::{Inputs, Mode};
use crate::case::Report;

/// What GitHub's runner says about a run.
#[derive(Debug, Clone, Copy)]
pub struct Surroundings<'a> {
    /// `GITHUB_EVENT_NAME`.
    pub name: &'a str,
    /// What `GITHUB_EVENT_PATH` holds.
    pub payload: &'a Value,
    /// `GITHUB_REF`.
    pub reference: &'a str,
    /// What our branches start with, earlier prefixes too.
    pub prefixes: &'a [String],
    /// The branch that pull requests go to, where the configuration names one.
    pub base_branch: Option<&'a str>,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Task {
    /// Look at manifests and tell.
    Validate {
        /// The pull request, where it is one.
        pull: Option<Pull>,
    },
    /// The same, and suggestions on the lines of a pull request.
    Review {
        /// The pull request.
        pull: Pull,
    },
    /// One pass over the repository.
    Propose,
    /// One pass that answers what people said.
    Converse,
    /// One pass that starts from what a tool or a person reports.
    Start {
        /// The report.
        report: Report,
        /// What the tool ran on, where it says so.
        revision: Option<String>,
    },
    /// Nothing, and why.
    Nothing(String),
}

/// A pull request of the event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pull {
    /// Its number.
    pub number: u64,
    /// Whether its branch is in another repository: no secrets, no model, nothing is written.
    pub fork: bool,
    /// The commit at its head.
    pub head: String,
    /// The branch that it goes to.
    pub base: Place,
}

/// A branch and its commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The branch.
    pub branch: String,
    /// The commit.
    pub sha: String,
}

/// An event on which kubemend does not run.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Refused(pub String);

/// Whether an event must not even be looked at: known before anything is read.
pub fn admit(name: &str) -> Result<(), Refused> {
    match name {
        "" => Err(Refused(
            "GITHUB_EVENT_NAME is not set: this command runs inside a workflow of GitHub Actions"
                .to_owned(),
        )),
        "pull_request_target" | "workflow_run" => Err(unsafe_event(name)),
        _ => Ok(()),
    }
}

/// What is to be done for an event.
pub fn task(around: &Surroundings<'_>, inputs: &Inputs) -> Result<Task, Refused> {
    admit(around.name)?;
    match around.name {
        "pull_request" => pull_request(around, inputs),
        "merge_group" => Ok(Task::Validate { pull: None }),
        "push" => push(around, inputs),
        "schedule" => Ok(pass(inputs)),
        "workflow_dispatch" => dispatched(around, inputs),
        "repository_dispatch" => Ok(started(around, inputs)),
        "issue_comment" => Ok(comment(around, inputs, "/comment/body")),
        "pull_request_review_comment" => Ok(comment(around, inputs, "/comment/body")),
        "pull_request_review" => Ok(comment(around, inputs, "/review/body")),
        "issues" => Ok(edited(around, inputs, "/issue/body")),
        other => {
            let shown: String = other.chars().take(60).collect();
            Ok(Task::Nothing(format!("nothing is done on {shown:?}")))
        }
    }
}

impl Surroundings<'_> {
    fn text(&self, pointer: &str) -> &str {
        let value = self.payload.pointer(pointer).and_then(Value::as_str);
        value.unwrap_or_default()
    }

    fn is_ours(&self, branch: &str) -> bool {
        let mut prefixes = self.prefixes.iter().filter(|p| !p.is_empty());
        prefixes.any(|p| branch.starts_with(p.as_str()))
    }

    fn default_branch(&self) -> &str {
        self.text("/repository/default_branch")
    }

    /// The branch that pull requests go to.
    fn base(&self) -> &str {
        self.base_branch.unwrap_or_else(|| self.default_branch())
    }

    /// Whether the pull request of the event is one of ours.
    fn is_our_pull(&self) -> bool {
        self.is_ours(self.text("/pull_request/head/ref")) && !self.is_fork()
    }

    /// A head whose repository is not known to be this one counts as a fork.
    fn is_fork(&self) -> bool {
        let id = |pointer: &str| self.payload.pointer(pointer).and_then(Value::as_u64);
        let head = id("/pull_request/head/repo/id");
        head.is_none() || head != id("/pull_request/base/repo/id")
    }

    /// A machine account does not command by ticking and commenting in a workflow; those that may
    /// are heard by the next pass.
    fn is_by_machine(&self) -> bool {
        self.text("/sender/type") == "Bot"
    }
}

fn unsafe_event(name: &str) -> Refused {
    Refused(format!(
        "kubemend does not run on {name}: it would look at a stranger's files in a workflow that holds secrets. Use `pull_request`; pull requests of forks are validated there without secrets"
    ))
}

fn pass(inputs: &Inputs) -> Task {
    match inputs.mode {
        Mode::Propose => Task::Propose,
        Mode::Validate | Mode::Review => Task::Validate { pull: None },
    }
}

fn pull_request(around: &Surroundings<'_>, inputs: &Inputs) -> Result<Task, Refused> {
    let action = around.text("/action");
    if action == "edited" && around.is_our_pull() {
        return Ok(edited(around, inputs, "/pull_request/body"));
    }
    if around.is_our_pull() {
        let why = "this pull request is kubemend's own; it was proven before it was opened";
        return Ok(Task::Nothing(why.to_owned()));
    }
    if !["opened", "synchronize", "reopened", "ready_for_review"].contains(&action) {
        let shown: String = action.chars().take(40).collect();
        return Ok(Task::Nothing(format!("the files are the same ({shown})")));
    }
    let Some(pull) = pull(around) else {
        return Err(Refused(
            "the event holds no pull request that can be read".to_owned(),
        ));
    };
    Ok(match inputs.mode {
        Mode::Review if !pull.fork => Task::Review { pull },
        _ => Task::Validate { pull: Some(pull) },
    })
}

fn pull(around: &Surroundings<'_>) -> Option<Pull> {
    let sha = |pointer: &str| {
        let text = around.text(pointer);
        is_sha(text).then(|| text.to_owned())
    };
    Some(Pull {
        number: around.payload.pointer("/pull_request/number")?.as_u64()?,
        fork: around.is_fork(),
        head: sha("/pull_request/head/sha")?,
        base: Place {
            branch: around.text("/pull_request/base/ref").to_owned(),
            sha: sha("/pull_request/base/sha")?,
        },
    })
}

fn is_sha(text: &str) -> bool {
    [40, 64].contains(&text.len()) && text.bytes().all(|b| b.is_ascii_hexdigit())
}

fn push(around: &Surroundings<'_>, inputs: &Inputs) -> Result<Task, Refused> {
    let Some(branch) = around.reference.strip_prefix("refs/heads/") else {
        return Ok(Task::Nothing(
            "only branches are looked at, not tags".to_owned(),
        ));
    };
    if around.is_ours(branch) {
        return Ok(Task::Nothing("this branch is kubemend's own".to_owned()));
    }
    if around.payload.get("deleted") == Some(&Value::Bool(true)) {
        return Ok(Task::Nothing("the branch was deleted".to_owned()));
    }
    let elsewhere = inputs.mode == Mode::Propose && branch != around.base();
    if elsewhere {
        return Ok(Task::Nothing(format!(
            "pull requests go to {}; other branches are not looked at",
            around.base()
        )));
    }
    Ok(pass(inputs))
}

fn dispatched(around: &Surroundings<'_>, inputs: &Inputs) -> Result<Task, Refused> {
    let on_base = around.reference.strip_prefix("refs/heads/") == Some(around.base());
    if inputs.mode == Mode::Propose && !on_base {
        return Err(Refused(format!(
            "started on {:?}: configuration and manifests are read from {} only; choose that branch",
            around.reference.chars().take(100).collect::<String>(),
            around.base()
        )));
    }
    let Some(text) = inputs.report.as_deref() else {
        return Ok(pass(inputs));
    };
    Ok(Task::Start {
        report: Report {
            kind: "user-report".to_owned(),
            namespace: inputs.namespace.clone(),
            text: dispatch::bounded(text),
        },
        revision: None,
    })
}

fn started(around: &Surroundings<'_>, inputs: &Inputs) -> Task {
    if inputs.mode != Mode::Propose {
        return pass(inputs);
    }
    let payload = around.payload.get("client_payload").unwrap_or(&Value::Null);
    match dispatch::read(around.text("/action"), payload) {
        Ok(told) => Task::Start {
            report: told.report,
            revision: told.revision,
        },
        Err(why) => Task::Nothing(why),
    }
}

/// A comment counts when it is new, by a person, and a command, or a review of our pull request.
fn comment(around: &Surroundings<'_>, inputs: &Inputs, body: &str) -> Task {
    let nothing = |why: &str| Task::Nothing(why.to_owned());
    if inputs.mode != Mode::Propose {
        return nothing("comments are answered in mode propose only");
    }
    if !["created", "submitted"].contains(&around.text("/action")) {
        return nothing("only new comments are commands");
    }
    let text = around.text(body);
    if around.is_by_machine() || text.contains(MARK) {
        return nothing("this comment is a machine's");
    }
    // an issue comment does not say which branch its pull request has
    let on_our_pull = around.payload.get("pull_request").is_some() && around.is_our_pull();
    if on_our_pull || has_command(text) {
        return Task::Converse;
    }
    nothing("the comment holds no /kubemend command")
}

/// A box that was ticked in a text of ours.
fn edited(around: &Surroundings<'_>, inputs: &Inputs, body: &str) -> Task {
    let ours = around.text(body).contains(MARK) && !around.is_by_machine();
    match ours && around.text("/action") == "edited" && inputs.mode == Mode::Propose {
        true => Task::Converse,
        false => Task::Nothing("nobody changed a text of kubemend's".to_owned()),
    }
}

/// What hidden markers start with; whoever forges one starts a pass, which checks signatures.
const MARK: &str = "<!-- kubemend:v1 ";

/// Whether a line looks like a command. What counts is decided by the pass; this only saves it.
fn has_command(text: &str) -> bool {
    let starts = |line: &str| {
        let word = line.trim_start().get(.."/kubemend".len());
        word.is_some_and(|w| w.eq_ignore_ascii_case("/kubemend"))
    };
    text.lines().any(starts)
}
