//! The story: detect → gather → locate → propose → lock → edit → open.
//!
//! [`run`] handles all findings of one pass; [`heal`] tells the story of one. Expected endings are
//! variants of [`Ending`], not errors; an [`Error`] means that infrastructure did not answer.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use jiff::Timestamp;
use sha2::{Digest, Sha256};

use crate::case::{Answers, Case, Earlier, NOTHING_SAID, Report};
use crate::code::{Code, Refusal};
use crate::count;
use crate::culprit::culprit;
use crate::detect::{View, detect};
use crate::edit::{self, FileEdit};
use crate::environment;
use crate::evidence::{self, Evidence};
use crate::finding::{Class, Finding, Severity};
use crate::history;
use crate::locate::{
    ChangedObject, Check, Problem, Repository, RootEffect, Site, Status, Strategy,
};
use crate::lock::{Blocked, Change, Plan, Policy, RowInfo, apply_op, equivalent, lock, row_infos};
use crate::message::{self, PullRequestParts, Text};
use crate::narrow::{Narrowed, narrow};
use crate::patch;
use crate::path::FieldPath;
use crate::phase::Phase;
use crate::propose::{
    Answer, Choice, Claim, Proposal, ProposeError, ProposedEdit, Proposer, Question, Unlock, Usage,
    person,
};
use crate::repo::Checkout;
use crate::scan::worse::{Applied, Worse, worse};
use crate::schema;
use crate::snapshot::Snapshot;

/// How often lock's objections go back to the proposer.
const MAX_ROUNDS: usize = 2;

/// The most findings that one pass handles; in a storm the rest is listed, worst first.
const MAX_HANDLED: usize = 200;
/// The most other findings that one finding is told about.
const MAX_OTHERS: usize = 30;

/// Everything that one pass works with.
#[derive(Clone, Copy)]
pub struct Context<'a> {
    /// The repository, as read from Git.
    pub checkout: &'a Checkout,
    /// The repository, indexed and rendered.
    pub repository: &'a Repository<'a>,
    /// The cluster.
    pub snapshot: &'a Snapshot,
    /// What a person or an alert reports.
    pub report: Option<&'a Report>,
    /// The moment of the snapshot.
    pub now: Timestamp,
    /// How long a state that heals by itself may last.
    pub grace: Duration,
    /// What the operator allows.
    pub policy: &'a Policy,
    /// Who proposes.
    pub proposer: &'a dyn Proposer,
    /// What people answered on the forge.
    pub answers: &'a Answers,
    /// How subjects and titles are written.
    pub style: message::commit::Style,
}

/// A phase that needs the outside world did not get an answer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// propose: the model.
    #[error(transparent)]
    Propose(#[from] ProposeError),
}

/// How a finding ends for the people who own the manifest.
#[derive(Debug, Clone, PartialEq)]
pub enum Ending {
    /// One safe fix, proven.
    PullRequest(Box<PullRequest>),
    /// One question.
    Question(Asked),
    /// A reason.
    Refused {
        /// Code and reason.
        refusal: Refusal,
        /// Changes that were wanted and blocked.
        blocked: Vec<Blocked>,
        /// What a person reads.
        text: Text,
    },
    /// Nothing to do: fixed in Git already.
    Nothing {
        /// Why.
        refusal: Refusal,
        /// What a person reads.
        text: Text,
    },
}

/// A proven fix.
#[derive(Debug, Clone, PartialEq)]
pub struct PullRequest {
    /// Title and body.
    pub text: Text,
    /// The branch.
    pub branch: String,
    /// The commit message.
    pub commit: String,
    /// The fix itself.
    pub mended: Mended,
    /// Whether it is what a person chose or gave a value for.
    pub answered: bool,
    /// What was checked, in short.
    pub checks: Text,
    /// Who proposed it, and with which prompt, in a word.
    pub proposer: String,
    /// How risky the proposer thinks it is.
    pub risk: Severity,
    /// How its title is written on the forge.
    pub style: message::commit::Style,
}

/// A question, and each option's proven change where there is one.
#[derive(Debug, Clone, PartialEq)]
pub struct Asked {
    /// The question.
    pub question: Question,
    /// For each option, its diff.
    pub patches: Vec<Option<String>>,
    /// Keys that a person may answer with.
    pub keys: Vec<String>,
    /// What a person reads.
    pub text: Text,
}

/// Edits by file.
pub type FileEdits = BTreeMap<String, Vec<FileEdit>>;

/// Changed files with their proof.
#[derive(Debug, Clone, PartialEq)]
pub struct Mended {
    /// The locked plan.
    pub plan: Plan,
    /// The place of the first change.
    pub site: Site,
    /// The place of each change of the plan, in its order.
    pub sites: Vec<Site>,
    /// Edits by file.
    pub edits: FileEdits,
    /// New content by file.
    pub changed: BTreeMap<String, Vec<u8>>,
    /// What was proven.
    pub checks: Vec<Check>,
    /// How much changes in each root.
    pub roots: Vec<RootEffect>,
    /// Some of the rendered objects that change.
    pub objects: Vec<ChangedObject>,
    /// The unified diff.
    pub patch: String,
}

/// A finding and how it ended.
#[derive(Debug, Clone, PartialEq)]
pub struct Ended {
    /// The finding.
    pub finding: Finding,
    /// Its identity before it is located: the same whatever the ending.
    pub key: String,
    /// Its identity: with the file, where one is known.
    pub fingerprint: String,
    /// Digest of the evidence.
    pub evidence: String,
    /// Why what a person chose, or gave a value for, did not become a fix.
    pub unheard: Option<Refusal>,
    /// How it ended.
    pub ending: Ending,
}

/// One pass.
#[derive(Debug, Clone, PartialEq)]
pub struct Run {
    /// What was handled.
    pub results: Vec<Ended>,
    /// What else is wrong and was not touched.
    pub listed: Vec<Finding>,
    /// What could not be read in the repository.
    pub problems: Vec<Problem>,
    /// What the proposers used up.
    pub usage: Usage,
    /// The same by the finding's key, where anything was used.
    pub spent: BTreeMap<String, Usage>,
    /// All pull requests' changes together: new content by file.
    pub union: BTreeMap<String, Vec<u8>>,
    /// Findings without an answer, because infrastructure did not give one.
    pub silent: Vec<Silent>,
}

/// A finding without an answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Silent {
    /// The finding.
    pub finding: Finding,
    /// Its identity before it is located.
    pub key: String,
    /// What did not answer.
    pub error: String,
    /// Whether it may answer a while later.
    pub passes: bool,
}

impl std::fmt::Display for Silent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.finding.object, self.error)
    }
}

/// Runs one pass over a snapshot and a repository. What does not get an answer is told in
/// [`Run::silent`], and does not stop the rest.
pub fn run(ctx: &Context<'_>) -> Run {
    let view = View {
        snapshot: ctx.snapshot,
        desired: &ctx.repository.desired,
        report: ctx.report,
        now: ctx.now,
        grace: ctx.grace,
    };
    let (mut results, findings) =
        crate::broken_sources::settle(ctx, Phase::Detect.run(|| detect(&view)));
    let Narrowed { chosen, mut listed } = match results.is_empty() || !told_of_sources(ctx) {
        true => narrow(findings, &view),
        false => Narrowed {
            chosen: Vec::new(),
            listed: findings,
        },
    };
    // a source that is broken elsewhere, and that nobody asks about, does not hide what fails
    if !chosen.is_empty() {
        listed.extend(results.drain(..).map(|r| r.finding));
    }
    let (mut usage, mut silent) = (Usage::default(), Vec::new());
    let mut spent: BTreeMap<String, Usage> = BTreeMap::new();
    let (chosen, mut listed) = (chosen, listed);
    let handled = &chosen[..chosen.len().min(MAX_HANDLED)];
    listed.extend_from_slice(&chosen[handled.len()..]);
    for finding in handled {
        let others = handled.iter().filter(|f| *f != finding).take(MAX_OTHERS);
        let others: Vec<Finding> = others.cloned().collect();
        match heal_isolated(ctx, finding, &others) {
            Ok((ended, used)) => {
                usage += used;
                if used != Usage::default() {
                    *spent.entry(ended.key.clone()).or_default() += used;
                }
                results.push(ended);
            }
            Err(error) => silent.push(Silent {
                finding: finding.clone(),
                key: fingerprint(ctx, finding, None),
                error: error.to_string(),
                passes: matches!(&error, Error::Propose(e) if e.passes),
            }),
        }
    }
    let results = crate::incident::settle(ctx, results);
    let problems = ctx.repository.problems.clone();
    let union = union(ctx, &results);
    Run {
        results,
        listed,
        problems,
        usage,
        spent,
        union,
        silent,
    }
}

/// Whether a tool that builds or applies manifests started this run.
fn told_of_sources(ctx: &Context<'_>) -> bool {
    ctx.report
        .is_some_and(|r| matches!(r.kind.as_str(), "apply-error" | "render-error"))
}

/// All pull requests' changes planned and applied together. Where one does not fit to those before
/// it, it stands alone.
fn union(ctx: &Context<'_>, results: &[Ended]) -> BTreeMap<String, Vec<u8>> {
    let plans = results.iter().filter_map(|r| match &r.ending {
        Ending::PullRequest(pull_request) => Some(pull_request.mended.plan.changes()),
        _ => None,
    });
    let plans: Vec<&[Change]> = plans.collect();
    if let Some(changed) = together(ctx, &plans.concat()) {
        return changed;
    }
    let (mut accepted, mut out) = (Vec::new(), BTreeMap::new());
    for plan in plans {
        let more = [accepted.as_slice(), plan].concat();
        if let Some(changed) = together(ctx, &more) {
            (accepted, out) = (more, changed);
        }
    }
    out
}

fn together(ctx: &Context<'_>, changes: &[Change]) -> Option<BTreeMap<String, Vec<u8>>> {
    edited(ctx, &located(ctx, changes).ok()?.1).ok()
}

/// [`heal`], but a panic ends this finding only.
fn heal_isolated(
    ctx: &Context<'_>,
    finding: &Finding,
    others: &[Finding],
) -> Result<(Ended, Usage), Error> {
    catch_unwind(AssertUnwindSafe(|| heal(ctx, finding, others))).unwrap_or_else(|_| {
        let refusal = Refusal::new(
            Code::InternalFault,
            format!("while handling {}", finding.summary),
        );
        Ok((
            refused(ctx, finding, &Evidence::default(), refusal, Vec::new()),
            Usage::default(),
        ))
    })
}

/// The story of one finding.
pub fn heal(
    ctx: &Context<'_>,
    finding: &Finding,
    others: &[Finding],
) -> Result<(Ended, Usage), Error> {
    let earlier = Phase::Gather.run(|| history::earlier(ctx, finding));
    let case = case(ctx, finding, others, &earlier);
    let evidence = Phase::Gather.run(|| evidence::gather(&case));
    let mut usage = Usage::default();
    let mut feedback = Vec::new();
    let mut blocked: Vec<Blocked> = Vec::new();
    let mut wanted: Option<Proposal> = None;
    while feedback.len() <= MAX_ROUNDS {
        let proposed = Phase::Propose.run(|| ctx.proposer.propose(&case, &evidence, &feedback))?;
        usage += proposed.usage;
        // untrusted from here …
        let unheard = match answered(ctx, &case, &evidence, proposed.answer.as_ref()) {
            Some(Ok(ended)) => return Ok((ended, usage)),
            Some(Err(refusal)) => Some(refusal),
            None => None,
        };
        let ended = match proposed.answer {
            None => break,
            Some(Answer::Refuse(refusal)) if is_no_news(refusal.code) => {
                nothing(ctx, finding, &evidence, refusal)
            }
            Some(Answer::Refuse(refusal)) => refused(ctx, finding, &evidence, refusal, blocked),
            Some(Answer::Ask(question)) => asked(ctx, &case, &evidence, question),
            Some(Answer::Fix(proposal)) => match mend(ctx, &case, &proposal) {
                // … to here: a plan that lock let through, edited and proven
                Ok(mended) => opened(ctx, &case, &evidence, &proposal, mended, false),
                Err(Setback::Blocked(now)) => {
                    feedback.push(objections(&now));
                    blocked.extend(now);
                    wanted = Some(proposal);
                    continue;
                }
                Err(Setback::Refused(refusal)) if is_no_news(refusal.code) => {
                    nothing(ctx, finding, &evidence, refusal)
                }
                Err(Setback::Refused(refusal)) => {
                    refused(ctx, finding, &evidence, refusal, Vec::new())
                }
            },
        };
        return Ok((Ended { unheard, ..ended }, usage));
    }
    if let Some(question) = wanted.and_then(|w| beyond_bounds(&w, &blocked)) {
        return Ok((asked(ctx, &case, &evidence, question), usage));
    }
    let refusal = several_places(ctx, finding, &blocked)
        .unwrap_or_else(|| unanswered(ctx, finding, &blocked));
    Ok((refused(ctx, finding, &evidence, refusal, blocked), usage))
}

/// What a person chose or gave a value for. An answer that lock blocks changes nothing, and its
/// reason is told.
fn answered(
    ctx: &Context<'_>,
    case: &Case<'_>,
    evidence: &Evidence,
    answer: Option<&Answer>,
) -> Option<Result<Ended, Refusal>> {
    let question = match answer {
        Some(Answer::Ask(question)) => Some(question),
        _ => None,
    };
    // Git is right already: there is nothing to answer
    if matches!(answer, Some(Answer::Refuse(r)) if is_no_news(r.code)) {
        return None;
    }
    let proposal = match person::proposal(case.said, case, question)? {
        Ok(proposal) => proposal,
        Err(refusal) => return Some(Err(refusal)),
    };
    let mended = mend(ctx, case, &proposal).map_err(|setback| match setback {
        Setback::Refused(refusal) => refusal,
        Setback::Blocked(blocked) => {
            let code = blocked.first().map_or(Code::NotUnlocked, |b| b.code);
            Refusal::new(code, objections(&blocked))
        }
    });
    Some(mended.map(|mended| opened(ctx, case, evidence, &proposal, mended, true)))
}

/// Endings that mean that Git is right already.
fn is_no_news(code: Code) -> bool {
    code == Code::AlreadyFixed
}

fn case<'a>(
    ctx: &Context<'a>,
    finding: &'a Finding,
    others: &'a [Finding],
    earlier: &'a [Earlier],
) -> Case<'a> {
    Case {
        finding,
        others,
        snapshot: ctx.snapshot,
        desired: &ctx.repository.desired,
        earlier,
        report: ctx.report,
        now: ctx.now,
        said: ctx
            .answers
            .get(&fingerprint(ctx, finding, None))
            .unwrap_or(&NOTHING_SAID),
    }
}

/// A fix whose only fault is a value outside the bounds: a person may want exactly that.
fn beyond_bounds(wanted: &Proposal, blocked: &[Blocked]) -> Option<Question> {
    if blocked.is_empty() || blocked.iter().any(|b| b.code != Code::OutOfBounds) {
        return None;
    }
    let mut diagnosis = wanted.diagnosis.clone();
    let reasons = blocked.iter().map(|b| {
        Claim::fact(format!(
            "{} at {} is outside what may be changed by itself: {}",
            b.wanted, b.path, b.reason
        ))
    });
    diagnosis.extend(reasons);
    let by_hand = |b: &Blocked| Choice {
        title: format!("by hand: {} at {}", b.wanted, b.path),
        proposal: None,
    };
    let mut options: Vec<Choice> = blocked.iter().map(by_hand).collect();
    options.dedup();
    Some(Question {
        code: Code::OutOfBounds,
        title: format!("Is this change wanted: {}?", wanted.title),
        diagnosis,
        options,
    })
}

/// An object that several places define, and the cluster does not tell which one it runs.
fn several_places(ctx: &Context<'_>, finding: &Finding, blocked: &[Blocked]) -> Option<Refusal> {
    let places = environment::places_of(&ctx.repository.desired, &finding.object)?;
    blocked.is_empty().then(|| {
        let message = format!(
            "{}; {} is defined several times, and the cluster does not tell which of them it runs: {places}",
            finding.summary, finding.object
        );
        Refusal::new(Code::Ambiguous, message)
    })
}

/// Nobody had an answer that lock lets through.
fn unanswered(ctx: &Context<'_>, finding: &Finding, blocked: &[Blocked]) -> Refusal {
    if finding.class == Class::Reported {
        return Refusal::new(Code::NothingWrong, finding.summary.clone());
    }
    if let Some(first) = blocked.first() {
        let message = format!(
            "{} was wanted at {}, and was blocked: {}",
            first.wanted, first.path, first.reason
        );
        return Refusal::new(first.code, message);
    }
    let detail = if finding.message.is_empty() {
        &finding.reason
    } else {
        &finding.message
    };
    let detail = match finding.summary.contains(detail.as_str()) {
        true => "",
        false => detail,
    };
    let with = |told: &str| match detail {
        "" => told.to_owned(),
        detail => format!("{told}. {detail}"),
    };
    // an object that cannot be found in Git is the better reason
    match ctx
        .repository
        .locate(&finding.object, &FieldPath::default())
    {
        Err(refusal) => Refusal::new(refusal.code, with(&refusal.message)),
        Ok(_) => Refusal::new(Code::NoSafeFix, with(&finding.summary)),
    }
}

fn objections(blocked: &[Blocked]) -> String {
    blocked
        .iter()
        .map(|b| {
            format!(
                "{} at {} was blocked ({}): {}",
                b.wanted, b.path, b.code, b.reason
            )
        })
        .collect::<Vec<_>>()
        .join("\n")
}

/// Why a proposal did not become a fix.
enum Setback {
    Blocked(Vec<Blocked>),
    Refused(Refusal),
}

impl From<Refusal> for Setback {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

/// lock → locate → edit → prove.
fn mend(ctx: &Context<'_>, case: &Case<'_>, proposal: &Proposal) -> Result<Mended, Setback> {
    let plan = Phase::Lock.run(|| lock(proposal, case, ctx.policy));
    let plan = plan.map_err(Setback::Blocked)?;
    for change in plan.changes() {
        anchored(ctx, change)?;
    }
    let (mut sites, edits) = Phase::Locate.run(|| located(ctx, plan.changes()))?;
    let changed = Phase::Edit.run(|| edited(ctx, &edits))?;
    for site in sites
        .iter_mut()
        .filter(|s| s.strategy == Strategy::OverlayNew)
    {
        site.line = first_new_line(ctx, &site.file, &changed).unwrap_or(site.line);
    }
    let first = sites.first().cloned();
    let site = first.ok_or_else(|| Refusal::new(Code::NoSafeFix, "the plan is empty"))?;
    let intended: Vec<_> = plan.changes().iter().map(|c| c.edit.clone()).collect();
    let mut checks = vec![policy_check(&plan), yaml_check(&changed)];
    let proven = Phase::Prove.run(|| ctx.repository.prove(&changed, &intended))?;
    checks.extend(proven.checks);
    checks.push(schema_check(case, &plan)?);
    checks.push(reference_check(ctx, &plan, &changed, &proven.objects)?);
    if let Some(failed) = checks.iter().find(|c| c.status == Status::Fail) {
        return Err(Refusal::new(
            Code::NotVerifiable,
            format!("{}: {}", failed.name, failed.detail),
        )
        .into());
    }
    let patch = patch::unified(ctx.repository.files, &changed);
    Ok(Mended {
        plan,
        site,
        sites,
        edits,
        changed,
        checks,
        roots: proven.roots,
        objects: proven.objects,
        patch,
    })
}

/// The new content of each file.
fn edited(ctx: &Context<'_>, edits: &FileEdits) -> Result<BTreeMap<String, Vec<u8>>, Refusal> {
    let apply = |(file, edits): (&String, &Vec<FileEdit>)| {
        let source = ctx.repository.files.get(file).unwrap_or_default();
        Ok((file.clone(), edit::apply(source, edits)?.bytes))
    };
    edits.iter().map(apply).collect()
}

/// A new entry is where the changed file begins to differ, not where the value was written so far.
fn first_new_line(
    ctx: &Context<'_>,
    file: &str,
    changed: &BTreeMap<String, Vec<u8>>,
) -> Option<usize> {
    let before = ctx.repository.files.get(file)?;
    let after = changed.get(file)?;
    let same = before
        .split(|b| *b == b'\n')
        .zip(after.split(|b| *b == b'\n'))
        .take_while(|(a, b)| a == b)
        .count();
    Some(same + 1)
}

/// The places and file edits of changes; the same change is planned once.
fn located(ctx: &Context<'_>, changes: &[Change]) -> Result<(Vec<Site>, FileEdits), Refusal> {
    let mut wanted: Vec<ProposedEdit> = Vec::new();
    for change in changes {
        let same = |w: &ProposedEdit| {
            w.object == change.edit.object && w.path == change.edit.path && w.op == change.edit.op
        };
        if !wanted.iter().any(same) {
            wanted.push(change.edit.clone());
        }
    }
    let mut sites = Vec::new();
    let mut edits = FileEdits::new();
    for located in ctx.repository.plan_all(&wanted)? {
        for (file, more) in located.edits {
            let list = edits.entry(file).or_default();
            for edit in more {
                if !list.contains(&edit) {
                    list.push(edit);
                }
            }
        }
        sites.push(located.site);
    }
    Ok((sites, edits))
}

/// The value in Git must be the one that the cluster runs; otherwise something else writes it, or
/// Git was changed and the change is not applied yet.
fn anchored(ctx: &Context<'_>, change: &Change) -> Result<(), Refusal> {
    let Some(before) = &change.before else {
        return Ok(());
    };
    // what the API server refused, or read through another version, is not what runs
    if matches!(
        change.edit.unlock,
        Unlock::InvalidManifest | Unlock::DeprecatedApi
    ) {
        return Ok(());
    }
    let Some(live) = ctx.snapshot.get(&change.edit.object) else {
        return Ok(());
    };
    let Some(live_value) = change.edit.path.get(&live.value) else {
        return Ok(());
    };
    if equivalent(before, live_value) || before.is_null() {
        return Ok(());
    }
    let (git, cluster) = (crate::lock::short(before), crate::lock::short(live_value));
    let place = format!(
        "{} {}: Git has {git}, the cluster runs {cluster}",
        change.edit.object, change.edit.path
    );
    Err(Refusal::new(Code::PendingSync, place))
}

/// What let the changes through: nothing gets here that lock blocks.
fn policy_check(plan: &Plan) -> Check {
    let changes = plan.changes();
    let used = |row: &RowInfo| changes.iter().any(|c| c.edit.unlock == row.unlock);
    let rows = row_infos().filter(used);
    let rows: Vec<String> = rows
        .map(|row| format!("{:?} unlocks {}", row.unlock, row.about))
        .collect();
    let detail = format!(
        "{}: {}; no guardrail rule forbids it",
        count::of(changes.len(), "field"),
        rows.join("; ")
    );
    Check {
        name: "policy".to_owned(),
        status: Status::Pass,
        detail,
    }
}

fn yaml_check(changed: &BTreeMap<String, Vec<u8>>) -> Check {
    let files: Vec<&str> = changed.keys().map(String::as_str).collect();
    let detail = format!(
        "two independent YAML readers agree before and after; only the planned paths differ in {}",
        files.join(", ")
    );
    Check {
        name: "yaml".to_owned(),
        status: Status::Pass,
        detail,
    }
}

/// The changed objects have no schema issue that they did not have before.
fn schema_check(case: &Case<'_>, plan: &Plan) -> Result<Check, Refusal> {
    let mut objects = 0;
    for (i, change) in plan.changes().iter().enumerate() {
        let seen = plan.changes()[..i]
            .iter()
            .any(|c| c.edit.object == change.edit.object);
        let Some(before) = case.desired(&change.edit.object).filter(|_| !seen) else {
            continue;
        };
        let mut after = before.object.clone();
        for c in plan
            .changes()
            .iter()
            .filter(|c| c.edit.object == change.edit.object)
        {
            apply_op(&mut after.value, &c.edit.path, &c.edit.op);
        }
        schema::validate_change(&before.object, &after).map_err(|issues| {
            let first = issues.first().map(ToString::to_string).unwrap_or_default();
            Refusal::new(
                Code::NotVerifiable,
                format!("{} would be invalid: {first}", change.edit.object),
            )
        })?;
        objects += 1;
    }
    let detail = format!(
        "{} against the Kubernetes {} schema: no new issue",
        count::of(objects, "changed object"),
        schema::VERSION
    );
    Ok(Check {
        name: "schema".to_owned(),
        status: Status::Pass,
        detail,
    })
}

/// Whatever names, selects or routes to a changed object still finds in it what it needs.
fn reference_check(
    ctx: &Context<'_>,
    plan: &Plan,
    changed: &BTreeMap<String, Vec<u8>>,
    rendered: &[ChangedObject],
) -> Result<Check, Refusal> {
    let edits: Vec<&ProposedEdit> = plan.changes().iter().map(|c| &c.edit).collect();
    let applied = Applied::new(ctx.repository, ctx.snapshot, changed, &edits, rendered);
    match worse(applied) {
        Worse::Nothing { objects: 0 } => Ok(Check {
            name: "references".to_owned(),
            status: Status::Skipped,
            detail: "nothing that is applied today changes".to_owned(),
        }),
        Worse::Nothing { objects } => Ok(Check {
            name: "references".to_owned(),
            status: Status::Pass,
            detail: format!(
                "{} that are applied together: no name, selector or port that leads somewhere today leads nowhere after it",
                count::of(objects, "object")
            ),
        }),
        Worse::Breaks(fault) => Err(Refusal::new(
            Code::NotVerifiable,
            format!(
                "with the edit, {}, and that is not so today",
                message::clean(&fault)
            ),
        )),
    }
}

/// The finding as it may leave the process.
fn told(finding: &Finding, evidence: &Evidence) -> Finding {
    let redact = |text: &str| message::clean(&evidence.redactor().text(text));
    Finding {
        summary: redact(&finding.summary),
        message: redact(&finding.message),
        ..finding.clone()
    }
}

fn opened(
    ctx: &Context<'_>,
    case: &Case<'_>,
    evidence: &Evidence,
    proposal: &Proposal,
    mended: Mended,
    answered: bool,
) -> Ended {
    let finding = case.finding;
    let fingerprint = fingerprint(ctx, finding, Some(&mended.site.file));
    let signs = evidence::signs(case, evidence);
    let culprit = culprit(mended.plan.changes(), case.earlier);
    let parts = PullRequestParts {
        finding,
        evidence,
        proposal,
        mended: &mended,
        signs: &signs,
        culprit: culprit.as_ref(),
        fingerprint: &fingerprint,
        base: ctx.checkout.head.as_deref(),
    };
    let text = message::pull_request(&parts);
    let checks = message::checks(&parts);
    let commit = message::commit(
        &proposal.title,
        proposal,
        finding,
        &fingerprint,
        evidence,
        ctx.style,
    );
    let branch = branch(&ctx.policy.branch_prefix, finding, &fingerprint);
    let finding = &told(finding, evidence);
    let ending = Ending::PullRequest(Box::new(PullRequest {
        text,
        branch,
        commit,
        mended,
        answered,
        checks,
        proposer: proposal.source.word(),
        risk: proposal.risk,
        style: ctx.style,
    }));
    Ended {
        finding: told(finding, evidence),
        key: self::fingerprint(ctx, finding, None),
        fingerprint,
        evidence: evidence.digest(),
        unheard: None,
        ending,
    }
}

fn asked(ctx: &Context<'_>, case: &Case<'_>, evidence: &Evidence, question: Question) -> Ended {
    let proven = |proposal: &Proposal| mend(ctx, case, proposal).ok().map(|m| m.patch);
    let patches: Vec<Option<String>> = question
        .options
        .iter()
        .map(|o| o.proposal.as_ref().and_then(proven))
        .collect();
    let file = case.manifest().map(|m| m.file.clone());
    let fingerprint = fingerprint(ctx, case.finding, file.as_deref());
    let text = message::question(case.finding, evidence, &question, &patches, &fingerprint);
    Ended {
        finding: told(case.finding, evidence),
        key: self::fingerprint(ctx, case.finding, None),
        fingerprint,
        evidence: evidence.digest(),
        unheard: None,
        ending: Ending::Question(Asked {
            question,
            patches,
            keys: person::keys(case),
            text,
        }),
    }
}

fn refused(
    ctx: &Context<'_>,
    finding: &Finding,
    evidence: &Evidence,
    refusal: Refusal,
    blocked: Vec<Blocked>,
) -> Ended {
    let fingerprint = fingerprint(ctx, finding, None);
    let text = message::refusal(finding, evidence, &refusal, &blocked, &fingerprint);
    Ended {
        finding: told(finding, evidence),
        key: self::fingerprint(ctx, finding, None),
        fingerprint,
        evidence: evidence.digest(),
        unheard: None,
        ending: Ending::Refused {
            refusal,
            blocked,
            text,
        },
    }
}

fn nothing(ctx: &Context<'_>, finding: &Finding, evidence: &Evidence, refusal: Refusal) -> Ended {
    let fingerprint = fingerprint(ctx, finding, None);
    let text = message::refusal(finding, evidence, &refusal, &[], &fingerprint);
    Ended {
        finding: told(finding, evidence),
        key: self::fingerprint(ctx, finding, None),
        fingerprint,
        evidence: evidence.digest(),
        unheard: None,
        ending: Ending::Nothing { refusal, text },
    }
}

/// The identity of a finding: the same problem has the same one in every run.
pub fn fingerprint(ctx: &Context<'_>, finding: &Finding, file: Option<&str>) -> String {
    let object = &finding.object;
    let parts = [
        ctx.checkout.identity.repository.as_str(),
        ctx.checkout.identity.base.as_str(),
        file.unwrap_or("-"),
        &object.api_version,
        &object.kind,
        object.namespace.as_deref().unwrap_or("-"),
        &object.name,
        finding.container.as_deref().unwrap_or("-"),
        &finding.class.to_string(),
    ];
    let hash = Sha256::digest(parts.join("|").as_bytes());
    hash.iter().take(6).map(|b| format!("{b:02x}")).collect()
}

/// `<prefix><namespace>/<kind>-<name>-<class>-<fp8>`; what follows the prefix has at most 111
/// characters of `[a-z0-9-/]`.
fn branch(prefix: &str, finding: &Finding, fingerprint: &str) -> String {
    let scope = slug(finding.object.namespace.as_deref().unwrap_or("cluster"), 38);
    let name = slug(
        &format!(
            "{}-{}-{}",
            finding.object.kind, finding.object.name, finding.class
        ),
        63,
    );
    format!(
        "{prefix}{scope}/{name}-{}",
        fingerprint.chars().take(8).collect::<String>()
    )
}

fn slug(text: &str, most: usize) -> String {
    let lower = text.to_lowercase();
    let dashed: String = lower
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '-' })
        .collect();
    dashed
        .chars()
        .take(most)
        .collect::<String>()
        .trim_matches('-')
        .to_owned()
}
