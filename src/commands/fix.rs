//! `kubemend fix`: one pass, offline.

use anstyle::AnsiColor;

use crate::case::{NO_ANSWERS, Report};
use crate::cli::{FailOn, Fix, Output};
use crate::commands::pass::{Pass, Rendered};
use crate::commands::proposer::{self, Chosen};
use crate::commands::session::Session;
use crate::commands::{Failure, live};
use crate::dump;
use crate::evidence::redact;
use crate::finding::Severity;
use crate::message;
use crate::output;
use crate::pipeline::{self, Context, Ended, Ending, Run};
use crate::report::{Mentions, mentions};
use crate::snapshot::Snapshot;
use crate::terminal::{self, Progress, bold, paint};

mod open;

pub(super) fn run(args: &Fix, progress: Progress) -> Result<u8, Failure> {
    if args.open {
        return open::run(args, progress);
    }
    let (pass, mut notes) = read(args, progress)?;
    progress.say("rendering");
    let prepared = pass.prepare();
    notes.extend(prepared.notes.iter().cloned());
    let ctx = prepared.context(&NO_ANSWERS);
    progress.say("diagnosing");
    let run = pipeline::run(&ctx);
    notes.extend(unfocused(&ctx));
    let branches = if args.commit {
        commit(&pass.session, &run)?
    } else {
        Vec::new()
    };
    print(args.output, &ctx, &run, &notes, &branches)?;
    if !run.silent.is_empty() {
        return Err(Failure::Infrastructure(silent(&run.silent)));
    }
    Ok(u8::from(fails(args.fail_on, &run)))
}

/// Reads what the user named; with it, notes about what was left out.
fn read(args: &Fix, progress: Progress) -> Result<(Pass, Vec<String>), Failure> {
    let situation = situation(args, progress)?;
    let (report, time) = report(args)?;
    progress.say("reading the repository");
    let session = Session::open(
        &args.repo,
        args.operator.config.as_deref(),
        args.operator.renderer.as_deref(),
    )?;
    let namespace = args
        .namespace
        .clone()
        .or_else(|| report.as_ref().and_then(|r| r.namespace.clone()));
    let now = args.now.or(time).or(situation.newest);
    let pass = Pass {
        proposer: proposer::choose(&Chosen::from_fix(&args.proposer), &session.config)?,
        session,
        snapshot: situation.snapshot,
        report,
        now: now.unwrap_or_else(jiff::Timestamp::now),
        namespace,
        scope: format!("cluster {}", args.cluster),
        unread: situation.unread,
        whole: None,
        rendered: Rendered::default(),
    };
    Ok((pass, situation.notes))
}

/// What a run knows of the cluster.
struct Situation {
    snapshot: Snapshot,
    newest: Option<jiff::Timestamp>,
    notes: Vec<String>,
    unread: Vec<String>,
}

fn situation(args: &Fix, progress: Progress) -> Result<Situation, Failure> {
    let Some(path) = &args.snapshot else {
        progress.say("reading the cluster");
        let (reading, now) = live::read(&args.reach)?;
        return Ok(Situation {
            snapshot: reading.snapshot,
            newest: Some(now),
            notes: reading
                .notes
                .into_iter()
                .chain(reading.problems.clone())
                .collect(),
            unread: reading.problems,
        });
    };
    progress.say("reading the dump");
    let dump = dump::read(path, args.logs.as_deref())?;
    Ok(Situation {
        snapshot: dump.snapshot,
        newest: dump.newest,
        notes: dump.notes,
        unread: Vec::new(),
    })
}

/// Says so when a report names nothing and therefore narrows nothing.
fn unfocused(ctx: &Context<'_>) -> Option<String> {
    let report = ctx.report.filter(|r| r.kind == "user-report")?;
    let namespace = report.namespace.as_deref();
    let named = mentions(
        &report.text,
        namespace,
        ctx.snapshot,
        &ctx.repository.desired,
    );
    let note = "the report names nothing that is in the dump or in Git; all findings are handled";
    (named == Mentions::default()).then(|| note.to_owned())
}

/// The report of `--trigger` or `--report`; `--namespace` overrides the trigger's.
fn report(args: &Fix) -> Result<(Option<Report>, Option<jiff::Timestamp>), Failure> {
    let (report, time) = match (&args.trigger, &args.report) {
        (Some(file), _) => {
            let (report, time) = dump::read_trigger(file)?;
            (Some(report), time)
        }
        (None, Some(text)) => (
            Some(Report {
                kind: "user-report".to_owned(),
                namespace: None,
                text: text.clone(),
            }),
            None,
        ),
        (None, None) => (None, None),
    };
    let namespace = args.namespace.clone();
    let report = report.map(|r| Report {
        namespace: namespace.or(r.namespace.clone()),
        ..r
    });
    Ok((report, time))
}

/// What did not get an answer, a line each.
pub(super) fn silent(silent: &[pipeline::Silent]) -> String {
    let lines: Vec<String> = silent.iter().map(ToString::to_string).collect();
    lines.join("\n")
}

/// One branch for each pull request; returns their names.
fn commit(session: &Session, run: &Run) -> Result<Vec<String>, Failure> {
    let branches = session.commit(&run.results)?;
    if branches.is_empty() && session.checkout.head.is_none() {
        // say it even when there was nothing to write: the next run may have something
        session
            .checkout
            .commit("kubemend/none", &std::collections::BTreeMap::new(), "", "")?;
    }
    Ok(branches)
}

fn fails(fail_on: FailOn, run: &Run) -> bool {
    at_least(fail_on, &severities(run))
}

/// How bad everything is that was found, handled or not.
fn severities(run: &Run) -> Vec<Severity> {
    let handled = run.results.iter().map(|r| r.finding.severity);
    handled
        .chain(run.listed.iter().map(|f| f.severity))
        .collect()
}

fn at_least(fail_on: FailOn, severities: &[Severity]) -> bool {
    let least = match fail_on {
        FailOn::Never => return false,
        FailOn::Low => Severity::Low,
        FailOn::Medium => Severity::Medium,
        FailOn::High => Severity::High,
        FailOn::Critical => Severity::Critical,
    };
    severities.iter().any(|s| *s >= least)
}

fn print(
    output: Output,
    ctx: &Context<'_>,
    run: &Run,
    notes: &[String],
    branches: &[String],
) -> Result<(), Failure> {
    let fingerprint = |f: &crate::finding::Finding| pipeline::fingerprint(ctx, f, None);
    let report = output::report(run, &ctx.checkout.files, &fingerprint);
    for note in notes.iter().chain(&ctx.checkout.notes) {
        terminal::note(note);
    }
    for problem in &run.problems {
        terminal::note(&format!("{}: {}", problem.place, problem.message));
    }
    match output {
        Output::Json => {
            let json =
                serde_json::to_string_pretty(&report).map_err(|e| Failure::Input(e.to_string()))?;
            terminal::out(&(json + "\n"));
        }
        Output::Patch => terminal::out(&report.patch),
        Output::Text => terminal::out(&(text(run, branches, true) + &hint(branches))),
    }
    Ok(())
}

/// The run for people; `full` shows the complete texts.
pub(super) fn text(run: &Run, branches: &[String], full: bool) -> String {
    let mut out = String::new();
    for ended in &run.results {
        out += &one(ended, full);
        out.push('\n');
    }
    if !run.listed.is_empty() {
        out += &bold("Listed, not touched\n");
        for finding in &run.listed {
            let summary = message::clean(&redact::text(&finding.summary));
            out += &format!("  {:?} {} {summary}\n", finding.severity, finding.class);
        }
        out.push('\n');
    }
    for branch in branches {
        out += &format!("branch {}\n", bold(branch));
    }
    out + &summary(run)
}

/// What to do with a branch.
fn hint(branches: &[String]) -> String {
    branches.first().map_or_else(String::new, |first| {
        format!("Look at one with `git show {first}`, publish it with `git push origin {first}`.\n")
    })
}

fn one(ended: &Ended, full: bool) -> String {
    let (label, color) = match &ended.ending {
        Ending::PullRequest(p) if p.mended.plan.confirmations().is_empty() => {
            ("PULL REQUEST", AnsiColor::Green)
        }
        Ending::PullRequest(_) => ("DRAFT PULL REQUEST", AnsiColor::Green),
        Ending::Question(_) => ("QUESTION", AnsiColor::Yellow),
        Ending::Refused { .. } => ("REFUSED", AnsiColor::Magenta),
        Ending::Nothing { .. } => ("NOTHING TO DO", AnsiColor::Blue),
    };
    let text = match &ended.ending {
        Ending::PullRequest(pull_request) => &pull_request.text,
        Ending::Question(asked) => &asked.text,
        Ending::Refused { text, .. } | Ending::Nothing { text, .. } => text,
    };
    let code = match &ended.ending {
        Ending::Question(asked) => format!(" {}", asked.question.code),
        Ending::Refused { refusal, .. } => format!(" {}", refusal.code),
        _ => String::new(),
    };
    let mut out = format!(
        "{}{code} {}\n",
        paint(color, true, label),
        bold(&text.title)
    );
    // a refusal has the finding as its title
    out += &match text.title == message::clean(&ended.finding.summary) {
        true => format!("  {}\n", ended.finding.class),
        false => format!("  {} {}\n", ended.finding.class, ended.finding.summary),
    };
    if let Ending::PullRequest(pull_request) = &ended.ending {
        out += &format!(
            "  {}:{}\n",
            pull_request.mended.site.file, pull_request.mended.site.line
        );
        if !full {
            out += &terminal::diff(&pull_request.mended.patch);
        }
    }
    if full {
        out += &indent(&text.body);
    }
    out
}

fn indent(text: &str) -> String {
    text.lines()
        .map(|l| {
            if l.is_empty() {
                "\n".to_owned()
            } else {
                format!("  {l}\n")
            }
        })
        .collect()
}

/// `2 pull requests, 1 question, 1 refused`.
fn summary(run: &Run) -> String {
    if run.results.is_empty() && run.silent.is_empty() {
        return "Nothing found.\n".to_owned();
    }
    let count = |f: fn(&Ending) -> bool| run.results.iter().filter(|r| f(&r.ending)).count();
    let parts = [
        (
            count(|e| matches!(e, Ending::PullRequest(_))),
            "pull request",
            "pull requests",
        ),
        (
            count(|e| matches!(e, Ending::Question(_))),
            "question",
            "questions",
        ),
        (
            count(|e| matches!(e, Ending::Refused { .. })),
            "refusal",
            "refusals",
        ),
        (
            count(|e| matches!(e, Ending::Nothing { .. })),
            "already settled",
            "already settled",
        ),
        (run.listed.len(), "listed", "listed"),
        (run.silent.len(), "without an answer", "without an answer"),
    ];
    let words: Vec<String> = parts
        .iter()
        .filter(|(n, ..)| *n > 0)
        .map(|(n, one, many)| format!("{n} {}", if *n == 1 { one } else { many }))
        .collect();
    format!("{}\n", words.join(", "))
}
