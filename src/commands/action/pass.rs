//! `propose`: one pass over the repository.

use std::path::{Path, PathBuf};

use super::{Done, Online, Stop, Workflow};
use crate::action::outcome::{Ended, Outputs, fails};
use crate::action::summary;
use crate::case::{Answers, Report};
use crate::code::{Code, Refusal};
use crate::commands::Failure;
use crate::commands::forge;
use crate::commands::pass::{MANIFESTS, Pass, Rendered};
use crate::commands::proposer::{self, Chosen};
use crate::commands::session::Session;
use crate::config::{Config, ConfigError, Loaded, Rules};
use crate::cycle::{self, Analysis, Work};
use crate::dump;
use crate::github::{GitHub, NewFiles};
use crate::render::Renderer;
use crate::repo::{Checkout, Identity};
use crate::snapshot::Snapshot;
use crate::verify::expect::Expected;

pub(super) fn run(
    workflow: &Workflow<'_>,
    loaded: Loaded,
    start: Option<(Report, String)>,
) -> Result<Done, Stop> {
    let Some(Online { runtime, github }) = workflow.github()? else {
        return Err(Stop::Failure(Failure::Input(
            "mode propose needs a token: the input `token`, or an App's id and key".to_owned(),
        )));
    };
    let key = forge::marker_key(workflow.forge())?;
    let (report, about) = start.map_or((None, String::new()), |(r, about)| (Some(r), about));
    let reads = runtime.block_on(reads(workflow, &github, &loaded.config.pull_requests))?;
    let recipe = Recipe::new(workflow, loaded.config, report, reads)?;
    // what cannot be used is told before anything is asked
    recipe.pass()?;
    let identity = runtime.block_on(forge::identity(&github, &recipe.config.pull_requests))?;
    let seen = std::sync::Mutex::new(Analysis::default());
    let analyse = |answers: &Answers| {
        let analysis = recipe.analyse(answers, &identity);
        if let Ok(mut seen) = seen.lock() {
            seen.clone_from(&analysis);
        }
        analysis
    };
    let prove = |expects: &[Expected], files: &NewFiles| match recipe.pass() {
        Ok(pass) => pass.prove(expects, files),
        Err(failure) => Err(Refusal::new(Code::InternalFault, failure.to_string())),
    };
    let work = Work {
        github: &github,
        rules: &recipe.config.pull_requests,
        scope: &recipe.scope,
        key: key.as_ref(),
        now: jiff::Timestamp::now(),
        dry_run: workflow.inputs.dry_run,
        workflow_token: super::known(&workflow.args.default_token) == "true",
        reads: &recipe.reads,
        analyse: &analyse,
        verify: None,
        prove: Some(&prove),
    };
    let report = runtime.block_on(cycle::run(&work));
    if let Some(stale) = &report.stale {
        let why = format!("{stale}; a run on that commit does what is to be done");
        super::say(&why);
        return Ok(Done::ended(Ended::Skipped, summary::of_nothing(&why)));
    }
    let analysis = seen.into_inner().unwrap_or_default();
    let mut done = done(workflow, &report, &analysis, &about);
    done.outputs.head = Some(recipe.reads);
    Ok(done)
}

/// The commit to look at: the head of the base branch, where the clone holds it. On events of a pull
/// request HEAD is another one: there it merges the pull request into its base.
async fn reads(workflow: &Workflow<'_>, github: &GitHub, rules: &Rules) -> Result<String, Failure> {
    let Some(head) = &workflow.checkout.head else {
        return Err(Failure::Input(
            "mode propose needs a Git repository with a commit, as actions/checkout leaves it"
                .to_owned(),
        ));
    };
    let branch = match &rules.base_branch {
        Some(branch) => branch.clone(),
        None => github.facts().await?.default_branch,
    };
    let base = github.branch_head(&branch).await?;
    let here = base.filter(|sha| workflow.checkout.has(sha));
    Ok(here.unwrap_or_else(|| head.clone()))
}

fn done(workflow: &Workflow<'_>, report: &cycle::Report, analysis: &Analysis, about: &str) -> Done {
    let wanted = analysis.wanted.iter().map(|w| w.severity);
    let severities = wanted.chain(analysis.listed.iter().map(|f| f.severity));
    let ended = if report.frozen.is_some() {
        Ended::Frozen
    } else if fails(workflow.inputs.fail_on, severities) {
        Ended::Findings
    } else {
        Ended::Success
    };
    let url = workflow.pulls_url();
    let outputs = Outputs {
        ended,
        findings: analysis.wanted.len() + analysis.listed.len(),
        pulls: report.pulls.clone(),
        pulls_url: url.clone(),
        ..Outputs::default()
    };
    Done {
        outputs,
        summary: summary::of_pass(report, analysis, &url, about),
        annotations: String::new(),
    }
}

/// Shows on the dashboard that the configuration cannot be used; nothing else is written. Which
/// branches and limits are ours is unknown then, so the defaults count.
pub(super) fn tell(workflow: &Workflow<'_>, error: &ConfigError) -> Result<(), Failure> {
    let Some(Online { runtime, github }) = workflow.github()? else {
        return Ok(());
    };
    let key = forge::marker_key(workflow.forge())?;
    let work = Work {
        github: &github,
        rules: &Rules::default(),
        scope: "",
        key: key.as_ref(),
        now: jiff::Timestamp::now(),
        dry_run: workflow.inputs.dry_run,
        workflow_token: false,
        reads: "",
        analyse: &|_| Analysis::default(),
        verify: None,
        prove: None,
    };
    let problems = error.to_string().lines().map(str::to_owned).collect();
    runtime.block_on(cycle::tell_problems(&work, problems))?;
    Ok(())
}

/// Everything that a pass is made of, as plain values.
struct Recipe {
    root: PathBuf,
    /// The commit.
    reads: String,
    config: Config,
    renderer: Option<Renderer>,
    snapshot: Snapshot,
    report: Option<Report>,
    namespace: Option<String>,
    now: jiff::Timestamp,
    scope: String,
    who: Chosen,
}

impl Recipe {
    fn new(
        workflow: &Workflow<'_>,
        config: Config,
        report: Option<Report>,
        reads: String,
    ) -> Result<Self, Failure> {
        let inputs = &workflow.inputs;
        let logs = inputs.logs.as_deref().map(Path::new);
        let dump = inputs.snapshot.as_deref().map(Path::new);
        let dump = dump.map(|path| dump::read(path, logs)).transpose()?;
        let given = super::given(&workflow.args.renderer).map(Path::new);
        let scope = match dump {
            Some(_) => format!("cluster {}", inputs.cluster),
            None => MANIFESTS.to_owned(),
        };
        let newest = dump.as_ref().and_then(|d| d.newest);
        let namespace = inputs.namespace.clone();
        Ok(Self {
            root: workflow.root.clone(),
            reads,
            renderer: Renderer::find(given.or(config.renderer.as_deref()))?,
            config,
            namespace: namespace.or_else(|| report.as_ref().and_then(|r| r.namespace.clone())),
            report,
            now: newest.unwrap_or_else(jiff::Timestamp::now),
            snapshot: dump.map_or_else(Snapshot::default, |d| d.snapshot),
            scope,
            who: chosen(workflow),
        })
    }

    /// The pass. Git and the proposer belong to one thread, so each pass has its own.
    fn pass(&self) -> Result<Pass, Failure> {
        Ok(Pass {
            proposer: proposer::choose(&self.who, &self.config)?,
            session: Session {
                checkout: Checkout::open_at(&self.root, &self.reads)?,
                config: self.config.clone(),
                configured: true,
                renderer: self.renderer.clone(),
            },
            snapshot: self.snapshot.clone(),
            report: self.report.clone(),
            now: self.now,
            namespace: self.namespace.clone(),
            scope: self.scope.clone(),
            unread: Vec::new(),
            whole: None,
            rendered: Rendered::default(),
        })
    }

    /// What is wanted; nothing counts as healthy when it cannot be told.
    fn analyse(&self, answers: &Answers, identity: &Identity) -> Analysis {
        match self.pass() {
            Ok(mut pass) => {
                pass.session.checkout.identity = identity.clone();
                pass.analyse(answers)
            }
            Err(failure) => Analysis {
                scope: self.scope.clone(),
                problems: vec![failure.to_string()],
                ..Analysis::default()
            },
        }
    }
}

fn chosen(workflow: &Workflow<'_>) -> Chosen {
    let text = |value: &Option<String>| super::given(value).map(str::to_owned);
    Chosen {
        who: crate::cli::ProposerChoice::Both,
        model: text(&workflow.args.model),
        base_url: text(&workflow.args.base_url),
        record: None,
        replay: None,
        ration: None,
    }
}

/// What the summary says about the report that started the pass.
pub(super) fn told_of(revision: Option<&str>, head: Option<&str>) -> String {
    let short = |sha: &str| sha.chars().take(12).collect::<String>();
    match (revision, head) {
        (Some(told), Some(head)) if told != head => format!(
            "Started by a report about {}; the branch is at {} now.",
            short(told),
            short(head)
        ),
        _ => "Started by a report.".to_owned(),
    }
}
