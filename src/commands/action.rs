//! `kubemend action`: the entry point of the GitHub Action. Reads the environment of a workflow,
//! does what its event asks for, and writes outputs, summary and annotations.

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::action::outcome::{Ended, Outputs, plain};
use crate::action::{Inputs, Mode, Surroundings, Task, event, inputs, summary, task};
use crate::cli::{Action as Args, ForgeArgs};
use crate::commands::Failure;
use crate::commands::forge::{self, Online};
use crate::config::{ConfigError, Loaded};
use crate::github::Mode as Rights;
use crate::repo::Checkout;
use crate::terminal;

mod pass;
mod pulls;
mod validate;

/// The largest event that is read; GitHub's own bound is 25 MB.
const MAX_EVENT: u64 = 32 << 20;

/// What every task works with.
struct Workflow<'a> {
    args: &'a Args,
    inputs: Inputs,
    event: Value,
    root: PathBuf,
    checkout: Checkout,
}

/// What a task leaves behind.
struct Done {
    outputs: Outputs,
    summary: String,
    /// Workflow commands for the log.
    annotations: String,
}

impl Done {
    fn ended(ended: Ended, summary: String) -> Self {
        Self {
            outputs: Outputs {
                ended,
                ..Outputs::default()
            },
            summary,
            annotations: String::new(),
        }
    }
}

/// How a run ended before it was complete.
enum Stop {
    /// A configuration that cannot be used; it is told with its lines.
    Config(ConfigError),
    /// Anything else.
    Failure(Failure),
}

impl<E: Into<Failure>> From<E> for Stop {
    fn from(error: E) -> Self {
        Self::Failure(error.into())
    }
}

pub(super) fn run(args: &Args) -> Result<u8, Failure> {
    // JSON: no line of it can be taken for a command to the runner
    crate::telemetry::logs(crate::cli::LogFormat::Json);
    let done = match prepared(args).and_then(|workflow| act(&workflow)) {
        Ok(done) => done,
        Err(Stop::Config(error)) => Done {
            annotations: summary::annotations_of_config(&error),
            ..Done::ended(Ended::Unusable, summary::of_config(&error))
        },
        Err(Stop::Failure(failure)) => failed(&failure),
    };
    write(args, &done)?;
    Ok(done.outputs.ended.exit_code())
}

fn failed(failure: &Failure) -> Done {
    let ended = match failure {
        Failure::Input(_) => Ended::Unusable,
        Failure::Infrastructure(_) => Ended::Frozen,
    };
    let message = failure.to_string();
    let annotation = crate::annotations::Annotation {
        level: crate::annotations::Level::Error,
        place: None,
        title: "kubemend",
        message: &message,
    };
    Done {
        annotations: annotation.command() + "\n",
        ..Done::ended(ended, summary::of_failure(&message))
    }
}

fn prepared(args: &Args) -> Result<Workflow<'_>, Stop> {
    event::admit(known(&args.event_name)).map_err(|e| Failure::Input(e.to_string()))?;
    let inputs = inputs::read(&raw(args)).map_err(Failure::Input)?;
    let event = payload(&args.event_path)?;
    let workspace = PathBuf::from(given(&args.workspace).unwrap_or("."));
    let root = given(&args.path).map_or(workspace.clone(), |path| workspace.join(path));
    let checkout = Checkout::open(&root)?;
    for note in &checkout.notes {
        say(note);
    }
    Ok(Workflow {
        args,
        inputs,
        event,
        root,
        checkout,
    })
}

fn raw(args: &Args) -> inputs::Raw<'_> {
    inputs::Raw {
        mode: known(&args.mode),
        paths: known(&args.paths),
        target_version: known(&args.target_version),
        max_prs: known(&args.max_prs),
        draft: known(&args.draft),
        fail_on: known(&args.fail_on),
        dry_run: known(&args.dry_run),
        sarif: known(&args.sarif),
        snapshot: known(&args.snapshot),
        logs: known(&args.logs),
        cluster: known(&args.cluster),
        namespace: known(&args.namespace),
        report: known(&args.report),
    }
}

/// An input that is left out is an empty text.
fn known(value: &Option<String>) -> &str {
    value.as_deref().unwrap_or_default()
}

fn given(value: &Option<String>) -> Option<&str> {
    Some(known(value).trim()).filter(|t| !t.is_empty())
}

fn payload(path: &Option<String>) -> Result<Value, Failure> {
    let Some(path) = given(path) else {
        return Ok(Value::Null);
    };
    let named =
        |e: &dyn std::fmt::Display| Failure::Input(format!("GITHUB_EVENT_PATH: {path}: {e}"));
    let size = std::fs::metadata(path).map_err(|e| named(&e))?.len();
    if size > MAX_EVENT {
        return Err(named(&"the event is too large"));
    }
    let bytes = std::fs::read(path).map_err(|e| named(&e))?;
    serde_json::from_slice(&bytes).map_err(|e| named(&e))
}

fn act(workflow: &Workflow<'_>) -> Result<Done, Stop> {
    let loaded = pulls::configuration(workflow).inspect_err(|stop| shown(workflow, stop))?;
    for note in &loaded.notes {
        say(note);
    }
    let rules = &loaded.config.pull_requests;
    let mut prefixes = rules.prefix_old.clone();
    prefixes.push(rules.branch_prefix.clone());
    let around = Surroundings {
        name: known(&workflow.args.event_name),
        payload: &workflow.event,
        reference: known(&workflow.args.reference),
        prefixes: &prefixes,
        base_branch: rules.base_branch.as_deref(),
    };
    let task = task(&around, &workflow.inputs).map_err(|e| Failure::Input(e.to_string()))?;
    let mut done = match task {
        Task::Nothing(why) => {
            say(&why);
            Done::ended(Ended::Skipped, summary::of_nothing(&why))
        }
        Task::Validate { pull } => validate::run(workflow, &loaded, pull.as_ref(), false)?,
        Task::Review { pull } => validate::run(workflow, &loaded, Some(&pull), true)?,
        Task::Propose | Task::Converse => pass::run(workflow, loaded, None)?,
        Task::Start { report, revision } => {
            let about = pass::told_of(revision.as_deref(), workflow.checkout.head.as_deref());
            pass::run(workflow, loaded, Some((report, about)))?
        }
    };
    let head = done.outputs.head.take();
    done.outputs.head = head.or_else(|| workflow.checkout.head.clone());
    Ok(done)
}

/// A pass whose configuration cannot be used says so on the dashboard, where it writes at all.
fn shown(workflow: &Workflow<'_>, stop: &Stop) {
    let passes =
        workflow.inputs.mode == Mode::Propose && workflow.event.pointer("/pull_request").is_none();
    let Stop::Config(error) = stop else {
        return;
    };
    if let (true, Err(failure)) = (passes, pass::tell(workflow, error)) {
        say(&format!("the dashboard does not show it: {failure}"));
    }
}

/// One line of the log.
fn say(text: &str) {
    terminal::out(&(plain(text) + "\n"));
}

fn write(args: &Args, done: &Done) -> Result<(), Failure> {
    terminal::out(&done.annotations);
    append(given(&args.output), &done.outputs.file())?;
    append(given(&args.step_summary), &done.summary)
}

/// The runner's files are appended to: other steps wrote into them before.
fn append(path: Option<&str>, text: &str) -> Result<(), Failure> {
    use std::io::Write as _;
    let Some(path) = path else {
        return Ok(());
    };
    let file = std::fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(path);
    file.and_then(|mut f| f.write_all(text.as_bytes()))
        .map_err(|e| Failure::Infrastructure(format!("{path}: {e}")))
}

impl Workflow<'_> {
    fn forge(&self) -> &ForgeArgs {
        &self.args.forge
    }

    /// A runtime, and GitHub; `None` where there are no credentials.
    fn github(&self) -> Result<Option<Online>, Failure> {
        let rights = match self.inputs.mode {
            _ if self.inputs.dry_run => Rights::Read,
            Mode::Propose => Rights::Propose,
            Mode::Review => Rights::Review,
            Mode::Validate => Rights::Read,
        };
        forge::online(self.forge(), rights)
    }

    /// Where pull requests of this repository are.
    fn pulls_url(&self) -> String {
        let server = given(&self.args.server_url).unwrap_or("https://github.com");
        let name = self.forge().github_repo.first().map_or("", String::as_str);
        format!("{}/{name}/pull/", server.trim_end_matches('/'))
    }

    /// The operator's file; a pull request cannot bring its own.
    fn operator(&self, of_pull: bool) -> Option<PathBuf> {
        let path = PathBuf::from(given(&self.args.config)?);
        let path = if path.is_absolute() {
            path
        } else {
            self.root.join(path)
        };
        if of_pull && inside(&path, &self.root) {
            say(
                "config: a file of a pull request is not read as the operator's; the base branch's own configuration counts",
            );
            return None;
        }
        Some(path)
    }
}

fn inside(path: &Path, root: &Path) -> bool {
    match (path.canonicalize(), root.canonicalize()) {
        (Ok(path), Ok(root)) => path.starts_with(root),
        _ => true,
    }
}

/// What configuration problems are told as.
fn configured(loaded: Result<Loaded, ConfigError>) -> Result<Loaded, Stop> {
    loaded.map_err(Stop::Config)
}
