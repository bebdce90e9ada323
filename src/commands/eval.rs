//! `kubemend eval`: connects the judge with the pipeline that `fix` runs.

use std::time::{Duration, Instant};

use jiff::Timestamp;

use crate::case::Report as Trigger;
use crate::cli::{Eval, EvalProposer, ProposerChoice, TextOrJson};
use crate::commands::Failure;
use crate::commands::proposer::{self, Chosen};
use crate::commands::session::Session;
use crate::dump::{self, Dump};
use crate::eval::oracle::Oracle;
use crate::eval::{self, CaseInput, Ending, Outcome, Settings};
use crate::locate::Repository;
use crate::output;
use crate::pipeline::{self, Context, Run};
use crate::propose::{Playbook, Proposer};
use crate::snapshot::Snapshot;
use crate::terminal::{self, Progress};

pub(super) fn run(args: &Eval, progress: Progress) -> Result<u8, Failure> {
    let settings = Settings {
        proposer: match args.proposer {
            EvalProposer::Playbook => "playbook",
            EvalProposer::Model => "model",
            EvalProposer::Oracle => "oracle",
        },
        oracle: args.proposer == EvalProposer::Oracle,
        filter: args.filter.as_deref(),
        runs: args.runs.into(),
        progress: &|case| progress.say(case),
    };
    let runner = |input: &CaseInput| one(args, input).map_err(|e| e.to_string());
    let report = eval::run(&args.dir, &settings, &runner)?;
    terminal::out(&match args.output {
        TextOrJson::Text => report.text(),
        TextOrJson::Json => {
            let json = serde_json::to_string_pretty(&report);
            json.map_err(|e| Failure::Input(e.to_string()))? + "\n"
        }
    });
    Ok(0)
}

/// One run of the pipeline over one case's inputs.
fn one(args: &Eval, input: &CaseInput) -> Result<Ending, Failure> {
    let start = Instant::now();
    let (trigger, time) = trigger(input)?;
    let dump = dump(input)?;
    let session = Session::open(
        &input.repo,
        args.operator.config.as_deref(),
        args.operator.renderer.as_deref(),
    )?;
    let mut repository = Repository::open(
        &session.checkout.files,
        session.renderer.as_ref(),
        trigger.as_ref().and_then(|t| t.namespace.as_deref()),
        session.config.locate_policy(),
    );
    repository.keep_applied(&dump.snapshot);
    let proposer = proposer(args, &session, input)?;
    let ctx = Context {
        checkout: &session.checkout,
        repository: &repository,
        snapshot: &dump.snapshot,
        report: trigger.as_ref(),
        now: time.or(dump.newest).unwrap_or_else(Timestamp::now),
        grace: Duration::from_secs(session.config.grace_seconds),
        policy: &session.config.policy(),
        proposer: proposer.as_ref(),
        answers: &crate::case::NO_ANSWERS,
        style: session.style(),
    };
    let run = pipeline::run(&ctx);
    if !run.silent.is_empty() {
        return Err(Failure::Infrastructure(super::fix::silent(&run.silent)));
    }
    Ok(ending(&ctx, &run, start))
}

fn trigger(input: &CaseInput) -> Result<(Option<Trigger>, Option<Timestamp>), Failure> {
    let Some(file) = &input.trigger else {
        return Ok((None, None));
    };
    let (trigger, time) = dump::read_trigger(file)?;
    Ok((Some(trigger), time))
}

fn dump(input: &CaseInput) -> Result<Dump, Failure> {
    match &input.snapshot {
        Some(file) => Ok(dump::read(file, input.logs.as_deref())?),
        None => Ok(Dump {
            snapshot: Snapshot::default(),
            newest: None,
            notes: Vec::new(),
        }),
    }
}

fn proposer(
    args: &Eval,
    session: &Session,
    input: &CaseInput,
) -> Result<Box<dyn Proposer>, Failure> {
    match (args.proposer, &input.gold) {
        (EvalProposer::Oracle, Some(gold)) => {
            Ok(Box::new(Oracle::new(&session.checkout.files, gold)))
        }
        (EvalProposer::Model, _) => {
            let chosen = Chosen {
                who: ProposerChoice::Model,
                model: args.model.clone(),
                base_url: args.base_url.clone(),
                record: args.record.clone(),
                replay: args.replay.clone(),
                ration: None,
            };
            proposer::choose(&chosen, &session.config)
        }
        _ => Ok(Box::new(Playbook)),
    }
}

/// What the public report says, taken together: the texts of all results with the overall outcome.
fn ending(ctx: &Context<'_>, run: &Run, start: Instant) -> Ending {
    let files = &ctx.checkout.files;
    let report = output::report(run, files, &|f| pipeline::fingerprint(ctx, f, None));
    let mine = || {
        report
            .results
            .iter()
            .filter(|r| r.outcome == report.outcome)
    };
    let join = |texts: Vec<&str>| texts.join("\n");
    Ending {
        outcome: match report.outcome {
            output::Outcome::Pr => Outcome::Pr,
            output::Outcome::Ask => Outcome::Ask,
            output::Outcome::Refuse => Outcome::Refuse,
            output::Outcome::None => Outcome::None,
        },
        code: mine().find_map(|r| r.code.clone()),
        title: join(mine().map(|r| r.title.as_str()).collect()),
        message: join(mine().map(|r| r.message.as_str()).collect()),
        options: mine()
            .flat_map(|r| r.options.iter().map(|o| o.title.clone()))
            .collect(),
        patched: run.union.clone(),
        millis: start.elapsed().as_millis().try_into().unwrap_or(u64::MAX),
        tokens: run.usage.prompt_tokens + run.usage.completion_tokens,
    }
}
