//! `fix --open`: one pass whose endings go to GitHub.

use std::sync::Mutex;

use super::{Failure, Fix, Progress, read, text};
use crate::case::Answers;
use crate::commands::forge::{self, Online};
use crate::cycle::{self, Analysis, Report, Touched, Work};
use crate::finding::Severity;
use crate::forge::decide::Action;
use crate::message::answer::left;
use crate::pipeline;
use crate::repo::Identity;
use crate::terminal::{self, bold};

/// What the run was, for the terminal.
#[derive(Default)]
struct Seen {
    text: String,
    severities: Vec<Severity>,
    failure: Option<String>,
}

pub(super) fn run(args: &Fix, progress: Progress) -> Result<u8, Failure> {
    let Some(Online { runtime, github }) = forge::online(&args.forge)? else {
        return Err(Failure::Input(
            "--open needs credentials for GitHub: set GITHUB_TOKEN, or KUBEMEND_APP_ID and KUBEMEND_APP_KEY_FILE".to_owned(),
        ));
    };
    terminal::logs(crate::cli::LogFormat::Text);
    let key = forge::marker_key(&args.forge)?;
    // what cannot be used is told before anything is asked
    let (pass, notes) = read(args, progress)?;
    if pass.session.checkout.head.is_none() {
        return Err(Failure::Input(format!(
            "{}: --open needs a Git repository whose HEAD is on GitHub",
            args.repo.display()
        )));
    }
    for note in &notes {
        terminal::note(note);
    }
    let rules = pass.session.config.pull_requests.clone();
    drop(pass);
    let seen = Mutex::new(Seen::default());
    progress.say("reading GitHub");
    let identity = runtime.block_on(forge::identity(&github, &rules))?;
    let work = Work {
        github: &github,
        rules: &rules,
        key: key.as_ref(),
        now: jiff::Timestamp::now(),
        dry_run: args.dry_run,
        workflow_token: false,
        analyse: &|answers| analyse(args, answers, &identity, &seen),
    };
    let report = runtime.block_on(cycle::run(&work));
    let seen = seen.into_inner().unwrap_or_default();
    if let Some(failure) = seen.failure {
        return Err(Failure::Input(failure));
    }
    terminal::out(&seen.text);
    terminal::out(&told(&report, &github.full_name(), args.dry_run));
    match &report.frozen {
        Some(error) => Err(Failure::Infrastructure(format!(
            "the pass ended early, and nothing was closed or deleted: {error}"
        ))),
        None => Ok(u8::from(super::at_least(args.fail_on, &seen.severities))),
    }
}

/// The run. Git and the proposer belong to one thread, so everything is read here.
fn analyse(args: &Fix, answers: &Answers, identity: &Identity, seen: &Mutex<Seen>) -> Analysis {
    let (mut pass, _) = match read(args, Progress::new(true)) {
        Ok(read) => read,
        Err(failure) => {
            if let Ok(mut seen) = seen.lock() {
                seen.failure = Some(failure.to_string());
            }
            return Analysis::default();
        }
    };
    pass.session.checkout.identity = identity.clone();
    let prepared = pass.prepare();
    let run = pipeline::run(&prepared.context(answers));
    if let Ok(mut seen) = seen.lock() {
        seen.text = text(&run, &[], false);
        seen.severities = super::severities(&run);
    }
    pass.wanted(&run)
}

/// What happened on GitHub, for people.
fn told(report: &Report, repository: &str, dry_run: bool) -> String {
    let mut out = String::from("\n");
    for pull in &report.pulls {
        out += &line(repository, "pull request", pull);
    }
    for question in &report.questions {
        out += &line(repository, "question", question);
    }
    if report.answered > 0 {
        out += &format!("{} command(s) answered\n", report.answered);
    }
    for note in &report.notes {
        out += &format!("note: {note}\n");
    }
    if dry_run {
        let would = match (&report.frozen, report.actions.is_empty()) {
            (Some(_), true) => "",
            (None, true) => " There is nothing to do.",
            (_, false) => " What would be done:",
        };
        out += &format!("Dry run: nothing was written.{would}\n");
        for action in &report.actions {
            out += &format!("  {}\n", words(action));
        }
    }
    out
}

fn line(repository: &str, what: &str, touched: &Touched) -> String {
    let operation = match touched.operation {
        "none" => "unchanged",
        other => other,
    };
    let name = bold(&format!("{repository}#{}", touched.number));
    format!("{what} {name} {operation}\n")
}

/// What an action would do, in a line.
fn words(action: &Action) -> String {
    match action {
        Action::Open { fingerprint } => format!("open a pull request for {fingerprint}"),
        Action::Refresh {
            fingerprint,
            number,
            commit,
        } => {
            let what = if *commit { "commit and text" } else { "text" };
            format!("bring #{number} for {fingerprint} up to date ({what})")
        }
        Action::Join {
            fingerprint,
            number,
        } => {
            let number =
                number.map_or_else(|| "the new pull request".to_owned(), |n| format!("#{n}"));
            format!("tell {fingerprint} in {number}, which writes the same lines")
        }
        Action::Ask {
            fingerprint,
            number,
        } => match number {
            Some(number) => format!("keep the question #{number} for {fingerprint}"),
            None => format!("ask about {fingerprint}"),
        },
        Action::Leave { fingerprint, why } => format!("leave {fingerprint}: {}", left(why)),
        other => format!("{other:?}"),
    }
}
