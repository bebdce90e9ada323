//! One pass over one repository on the forge: observe → hear → analyse → decide → open → answer → tell.
//!
//! The same pass serves the Action, the webhook server, polling and the watcher. It keeps nothing
//! in memory: killed at any point, the next pass converges (one pull request for a fingerprint, no
//! command lost, none answered twice).

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use tracing::Instrument as _;

use crate::case::Answers;
use crate::code::Refusal;
use crate::config::Rules;
use crate::converse;
use crate::finding::Finding;
use crate::forge::decide::{Action, Observed, Wanted, WantedEnding, decide};
use crate::forge::marker::Key;
use crate::forge::{PullState, identity, rollback};
use crate::github::{Error, GitHub};
use crate::open::{self, Trials};
use crate::phase::Phase;
use crate::remediation::{self, Course, Survey};
use crate::revert::Proof;
use crate::tally::Tally;
use crate::unsure::Unsure;
use crate::verify::expect::Expected;
use crate::verify::machine::{Memory, State, Timing, Verdict};
use crate::verify::sight::{Merged, Sight};
use crate::verify::together::{Jury, Trial};

/// What one pass works with.
#[derive(Clone, Copy)]
pub struct Work<'a> {
    /// The repository.
    pub github: &'a GitHub,
    /// How to behave there.
    pub rules: &'a Rules,
    /// Which run this is: `manifests`, or `cluster` and its name; empty where nothing is looked at.
    pub scope: &'a str,
    /// Signs the hidden state; without it the state is only a hint.
    pub key: Option<&'a Key>,
    /// Now.
    pub now: Timestamp,
    /// Look only: no write at all.
    pub dry_run: bool,
    /// Whether pull requests are written with `GITHUB_TOKEN`, so that no workflow runs on them.
    pub workflow_token: bool,
    /// The commit that the run reads. Where the base branch is at another one, nothing is written.
    pub reads: &'a str,
    /// The run itself: from what people said to what is wanted.
    pub analyse: &'a (dyn Fn(&Answers) -> Analysis + Send + Sync),
    /// A look at a merged fix in the cluster; none where no cluster is seen.
    pub verify: Option<&'a Looks<'a>>,
    /// Proves what takes a fix back; none where the repository was not read.
    pub prove: Option<&'a Proves<'a>>,
}

/// How a look at a merged fix is taken.
pub type Looks<'a> = dyn Fn(&Merged<'_>, &Analysis) -> Look + Send + Sync + 'a;

/// How the way back of a fix is proven: from the fields that it set, and the new content of files.
pub type Proves<'a> =
    dyn Fn(&[Expected], &BTreeMap<String, Vec<u8>>) -> Result<Proof, Refusal> + Send + Sync + 'a;

/// What a look at a merged fix gives.
#[derive(Debug, Clone, PartialEq)]
pub enum Look {
    /// What is seen.
    Seen(Box<Sight>),
    /// Nothing: the pods of these namespaces were not read.
    Blind(BTreeSet<String>),
    /// Nothing: no cluster reported it, and this one does not apply it.
    Elsewhere,
}

/// A merged fix after a look at it.
#[derive(Debug, Clone, PartialEq)]
pub struct Trialed {
    /// Its pull request.
    pub number: u64,
    /// The finding.
    pub fingerprint: String,
    /// The merge commit.
    pub commit: String,
    /// Whether it takes another one back.
    pub is_revert: bool,
    /// What was seen.
    pub sight: Sight,
    /// Where it stands.
    pub state: State,
    /// What is remembered for the next look.
    pub memory: Memory,
    /// Who gives the verdict.
    pub jury: Jury,
    /// Whether one of which nothing was heard is not waited for any more.
    pub late: bool,
    /// How long it may take here.
    pub timing: Timing,
    /// What each cluster saw, this one included.
    pub trials: Vec<Trial>,
}

impl Trialed {
    /// The verdict of all clusters together.
    pub fn verdict(&self) -> Option<Verdict> {
        self.jury.verdict(&self.trials, self.late)
    }
}

/// The run read another commit than the base branch's head: what it found, and what it did not find
/// any more, says nothing about the branch, and a fix would be proven on another state.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "the run read {}, but {branch} of {repository} is at {}",
    short(read),
    short(head)
)]
pub struct Stale {
    /// `owner/name`.
    pub repository: String,
    /// The base branch.
    pub branch: String,
    /// Its head.
    pub head: String,
    /// The commit that was read.
    pub read: String,
}

fn short(sha: &str) -> &str {
    sha.get(..12).unwrap_or(sha)
}

/// What a run wants on the forge.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Analysis {
    /// One for each finding that was handled.
    pub wanted: Vec<Wanted>,
    /// How the findings were handled, by fingerprint.
    pub courses: BTreeMap<String, Course>,
    /// What else is wrong and was not touched.
    pub listed: Vec<Finding>,
    /// The files, and folders of roots, that its manifests come from: of a cluster, only those that are
    /// applied there, as far as that can be told. Empty where nothing is known.
    pub reads: BTreeSet<String>,
    /// Which runs these findings belong to: `manifests`, or `cluster` and its name.
    pub scope: String,
    /// Whether every finding got its answer. If not, nothing counts as healthy.
    pub complete: bool,
    /// Objects that do not count as healthy either way.
    pub unsure: Unsure,
    /// Findings without an answer, and what did not answer.
    pub silent: Vec<String>,
    /// Whether the same run may have answers a while later.
    pub retry: bool,
    /// What could not be read, for the dashboard.
    pub problems: Vec<String>,
    /// What the run met and used up.
    pub tally: Tally,
}

impl Analysis {
    /// Whether a finding about an object that is not reported any more is gone.
    pub fn tells_of(&self, object: &str) -> bool {
        self.complete && !self.unsure.holds(object)
    }
}

/// What a pass did, for logs, job summaries and outputs.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Report {
    /// What was decided, in order.
    pub actions: Vec<Action>,
    /// Pull requests that are open for a finding after the pass.
    pub pulls: Vec<Touched>,
    /// Questions that are open after the pass.
    pub questions: Vec<Touched>,
    /// How much is open after the pass, whether it touched it or not.
    pub open: Open,
    /// Commands that were answered.
    pub answered: usize,
    /// Commands that were heard, and what came of each.
    pub commands: Vec<(&'static str, &'static str)>,
    /// Codes of findings that got no change.
    pub refused: Vec<String>,
    /// Findings without an answer, and what did not answer.
    pub silent: Vec<String>,
    /// Whether the same pass is worth another try.
    pub retry: bool,
    /// What was seen of each finding, for records.
    pub survey: Survey,
    /// What the run met and used up.
    pub tally: Tally,
    /// The base branch is not where the run read it: nothing was written.
    pub stale: Option<Stale>,
    /// Why the pass ended early; everything before it holds, and nothing was closed or deleted.
    pub frozen: Option<Error>,
    /// What went wrong without ending the pass (a label that could not be set).
    pub notes: Vec<String>,
    /// Merged fixes, as far as they are verified.
    pub trials: Trials,
}

impl Report {
    /// What started the reverts that this pass opened: a regression, or a command.
    pub fn reverts(&self) -> impl Iterator<Item = &'static str> {
        let opened = self.pulls.iter().filter(|t| {
            t.operation == "created" && identity::reverted_of_branch(&t.branch).is_some()
        });
        opened.map(|t| match self.trials.taken_back.contains(&t.fingerprint) {
            true => "regression",
            false => "command",
        })
    }
}

/// How much of ours is open after a pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Open {
    /// Pull requests.
    pub pulls: usize,
    /// Questions.
    pub questions: usize,
    /// Merged fixes that are looked at until their verdict.
    pub on_trial: usize,
}

impl Open {
    fn after(observed: &Observed, report: &Report) -> Self {
        let pulls = observed.pulls.iter().map(|p| &p.pull);
        let ours = pulls.filter(|p| p.author.id == observed.me.id);
        let open = ours.filter(|p| p.state == PullState::Open);
        let asked = observed.questions.iter().filter(|q| q.open);
        Self {
            pulls: still_open(open.map(|p| p.number), &report.pulls),
            questions: still_open(asked.map(|q| q.number), &report.questions),
            on_trial: report.trials.on_trial(),
        }
    }
}

fn still_open(before: impl Iterator<Item = u64>, touched: &[Touched]) -> usize {
    let mut open: BTreeSet<u64> = before.collect();
    for t in touched {
        match t.operation {
            "closed" => open.remove(&t.number),
            _ => open.insert(t.number),
        };
    }
    open.len()
}

/// A pull request or issue that the pass made or kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Touched {
    /// Its number.
    pub number: u64,
    /// `created`, `updated`, `none`, `closed`.
    pub operation: &'static str,
    /// The finding.
    pub fingerprint: String,
    /// The branch; empty for an issue.
    pub branch: String,
    /// The head commit; empty for an issue.
    pub head: String,
}

/// One pass. Nothing that it does depends on an earlier pass of this process.
pub async fn run(work: &Work<'_>) -> Report {
    let mut report = Report::default();
    if let Err(error) = pass(work, &mut report).await {
        report.frozen = Some(error);
    }
    report
}

/// One pass over a repository that has no configuration yet, where the operator wants its people to
/// be asked first: nothing but that one pull request is written until it is merged.
pub async fn onboard(work: &Work<'_>) -> Report {
    let analyse = || analysed(work, &Answers::default());
    match open::onboard(work, analyse).await {
        Ok(open::Onboarding::Agreed) => run(work).await,
        Ok(open::Onboarding::Waiting(pull)) => Report {
            open: Open {
                pulls: usize::from(pull.is_some()),
                ..Open::default()
            },
            pulls: pull.into_iter().collect(),
            notes: vec!["waiting for the pull request that configures kubemend".to_owned()],
            ..Report::default()
        },
        Ok(open::Onboarding::Declined(number)) => Report {
            notes: vec![format!(
                "people declined with #{number}; nothing is written"
            )],
            ..Report::default()
        },
        Err(error) => Report {
            frozen: Some(error),
            ..Report::default()
        },
    }
}

/// Shows on the dashboard why there was no pass (a configuration that cannot be used). Nothing else
/// is written.
pub async fn tell_problems(work: &Work<'_>, problems: Vec<String>) -> Result<(), Error> {
    let observed = open::observe(work).await?;
    let analysis = Analysis {
        problems,
        ..Analysis::default()
    };
    open::tell(work, &observed, &analysis, &[], &open::Outcome::default()).await
}

/// What became of a fix that a person wants taken back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RolledBack {
    /// No merged fix is meant.
    Nothing,
    /// A dry run: this one is meant.
    Would(u64),
    /// There is a pull request for it.
    Opened {
        /// The fix.
        fix: u64,
        /// What takes it back.
        revert: u64,
    },
    /// It cannot be taken back, and why.
    Refused(String),
}

/// Opens the pull request that takes a merged fix back, and nothing else.
pub async fn roll_back(work: &Work<'_>, wish: &rollback::Wish) -> Result<RolledBack, Error> {
    let mut observed = open::observe(work).await?;
    let Some(fix) = wish.find(&observed) else {
        return Ok(RolledBack::Nothing);
    };
    if work.dry_run {
        return Ok(RolledBack::Would(fix));
    }
    if observed.paused.is_some() || !work.rules.enabled {
        let why = "kubemend is paused in this repository";
        return Ok(RolledBack::Refused(why.to_owned()));
    }
    if work.prove.is_some() && observed.base_sha != work.reads {
        let (here, there) = (short(work.reads), short(&observed.base_sha));
        let branch = &observed.base_branch;
        return Ok(RolledBack::Refused(format!(
            "the clone is at {here}, and {branch} at {there}: check that one out first"
        )));
    }
    observed.asked.revert.insert(fix);
    let mut outcome = open::Outcome::default();
    open::revert(work, &observed, &mut outcome).await?;
    Ok(
        match (outcome.pulls.first(), outcome.notes.into_iter().next()) {
            (Some(touched), _) => RolledBack::Opened {
                fix,
                revert: touched.number,
            },
            (None, why) => RolledBack::Refused(why.unwrap_or_default()),
        },
    )
}

async fn pass(work: &Work<'_>, report: &mut Report) -> Result<(), Error> {
    let mut observed = open::observe(work).await?;
    if observed.base_sha != work.reads {
        report.stale = Some(Stale {
            repository: work.github.full_name(),
            branch: observed.base_branch,
            head: observed.base_sha,
            read: work.reads.to_owned(),
        });
        return Ok(());
    }
    // without what people said, the run would propose something else: any error ends the pass
    let heard = converse::hear(work, &mut observed).await?;
    open::reread(work, &mut observed);
    let analysis = analysed(work, &heard.answers);
    // spent is spent, whatever becomes of the rest
    report.tally.clone_from(&analysis.tally);
    report.silent.clone_from(&analysis.silent);
    report.retry = analysis.retry;
    // whoever stopped this pass while it computed stops it here, before it writes
    tokio::task::yield_now().await;
    open::recall(work, &mut observed, &analysis).await?;
    report.trials = open::verify(work, &mut observed, &analysis).await?;
    let actions = decide(&analysis, &observed, work.rules, work.now);
    let carried_out = open::carry_out(work, &observed, &analysis, &actions);
    let mut outcome = carried_out.instrument(Phase::Open.span()).await;
    if outcome.frozen.is_none() {
        let reverted = open::revert(work, &observed, &mut outcome).await;
        outcome.frozen = reverted.err();
    }
    if outcome.frozen.is_none() {
        let trials = &mut report.trials;
        let given = open::conclude(work, &observed, &analysis, trials, &mut outcome).await;
        let given = noted(report, "verdicts", given);
        outcome.frozen = given.err();
    }
    report.refused = refused(&analysis);
    report.actions.clone_from(&actions);
    report.pulls.clone_from(&outcome.pulls);
    report.questions.clone_from(&outcome.questions);
    report.open = Open::after(&observed, report);
    report.notes.extend(outcome.notes.iter().cloned());
    report.notes.extend(report.trials.notes.iter().cloned());
    report.survey = remediation::survey(&analysis, &observed, report);
    report.survey.judge(&report.trials, work.now);
    if let Some(error) = &outcome.frozen {
        return Err(error.clone());
    }
    if work.dry_run {
        return Ok(());
    }
    report.commands = heard.commands();
    let answered = converse::answer(work, &heard, &observed, &analysis, report).await;
    report.answered = noted(report, "answering", answered)?.unwrap_or_default();
    let told = open::tell(work, &observed, &analysis, &actions, &outcome).await;
    noted(report, "the dashboard", told)?;
    Ok(())
}

fn refused(analysis: &Analysis) -> Vec<String> {
    let code = |w: &Wanted| match &w.ending {
        WantedEnding::Refused { code, .. } => Some(code.clone()),
        _ => None,
    };
    analysis.wanted.iter().filter_map(code).collect()
}

fn analysed(work: &Work<'_>, answers: &Answers) -> Analysis {
    computing(|| (work.analyse)(answers))
}

/// This is computing, not waiting: other tasks of the runtime go on elsewhere.
pub(crate) fn computing<T>(compute: impl FnOnce() -> T) -> T {
    let handle = tokio::runtime::Handle::try_current();
    let several =
        handle.is_ok_and(|h| h.runtime_flavor() == tokio::runtime::RuntimeFlavor::MultiThread);
    match several {
        true => tokio::task::block_in_place(compute),
        false => compute(),
    }
}

/// An outage ends the pass; anything else is a note.
fn noted<T>(report: &mut Report, what: &str, result: Result<T, Error>) -> Result<Option<T>, Error> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.is_outage() => Err(error),
        Err(error) => {
            report.notes.push(format!("{what}: {error}"));
            Ok(None)
        }
    }
}
