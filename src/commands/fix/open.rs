//! `fix --open`: one pass whose endings go to GitHub.

use std::sync::{Mutex, PoisonError};

use super::{Failure, Fix, Progress, read, silent, text};
use crate::case::Answers;
use crate::commands::forge::{self, Online};
use crate::count;
use crate::cycle::{self, Analysis, Report, Stale, Touched, Work};
use crate::finding::Severity;
use crate::forge::decide::Action;
use crate::github::{Mode, NewFiles};
use crate::message::answer::left;
use crate::pipeline::Run;
use crate::repo::Checkout;
use crate::terminal::{self, bold};
use crate::verify::expect::Expected;

/// What the run was, for the terminal.
#[derive(Default)]
struct Seen {
    text: String,
    severities: Vec<Severity>,
    silent: String,
}

impl Seen {
    fn of(run: &Run) -> Self {
        Self {
            text: text(run, &[], false),
            severities: super::severities(run),
            silent: silent(&run.silent),
        }
    }
}

pub(super) fn run(args: &Fix, progress: Progress) -> Result<u8, Failure> {
    let rights = match args.dry_run {
        true => Mode::Read,
        false => Mode::Propose,
    };
    let Some(Online { runtime, github }) = forge::online(&args.forge, rights)? else {
        return Err(Failure::Input(
            "--open needs credentials for GitHub: set GITHUB_TOKEN, or KUBEMEND_APP_ID and KUBEMEND_APP_KEY_FILE".to_owned(),
        ));
    };
    crate::telemetry::logs(crate::cli::LogFormat::Text);
    let key = forge::marker_key(&args.forge)?;
    // what cannot be used is told before anything is asked
    let (mut pass, notes) = read(args, progress)?;
    let checkout = &pass.session.checkout;
    let reads = forge::commit_of(checkout, &github.full_name())?;
    for note in notes.iter().chain(&checkout.notes) {
        terminal::note(note);
    }
    let rules = pass.session.config.pull_requests.clone();
    let scope = pass.scope.clone();
    progress.say("reading GitHub");
    pass.session.checkout.identity = runtime.block_on(forge::identity(&github, &rules))?;
    let pass = Mutex::new(pass); // a Git repository is for one thread at a time
    let seen = Mutex::new(Seen::default());
    let analyse = |answers: &Answers| -> Analysis {
        let mut pass = pass.lock().unwrap_or_else(PoisonError::into_inner);
        let run = pass.run(answers);
        *seen.lock().unwrap_or_else(PoisonError::into_inner) = Seen::of(&run);
        pass.wanted(&run)
    };
    let prove = |expects: &[Expected], files: &NewFiles| {
        let pass = pass.lock().unwrap_or_else(PoisonError::into_inner);
        pass.prove(expects, files)
    };
    let work = Work {
        github: &github,
        rules: &rules,
        scope: &scope,
        key: key.as_ref(),
        now: jiff::Timestamp::now(),
        dry_run: args.dry_run,
        workflow_token: false,
        reads: &reads,
        analyse: &analyse,
        verify: None,
        prove: Some(&prove),
    };
    let report = runtime.block_on(cycle::run(&work));
    if let Some(stale) = &report.stale {
        let pass = pass.lock().unwrap_or_else(PoisonError::into_inner);
        return Err(refused(stale, &pass.session.checkout));
    }
    let seen = seen.into_inner().unwrap_or_else(PoisonError::into_inner);
    terminal::out(&seen.text);
    terminal::out(&told(&report, &github.full_name(), args.dry_run));
    match &report.frozen {
        Some(error) => Err(Failure::Infrastructure(format!(
            "the pass ended early, and nothing was closed or deleted: {error}"
        ))),
        None if !seen.silent.is_empty() => Err(Failure::Infrastructure(seen.silent)),
        None => Ok(u8::from(super::at_least(args.fail_on, &seen.severities))),
    }
}

/// Why nothing was written, and what helps.
fn refused(stale: &Stale, checkout: &Checkout) -> Failure {
    let todo = match checkout.is_ahead_of(&stale.head) {
        true => "push HEAD first",
        false => "check out that commit first",
    };
    Failure::Input(format!("{stale}: {todo}; nothing was written"))
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
        out += &format!("{} answered\n", count::of(report.answered, "command"));
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
