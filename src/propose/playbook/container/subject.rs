//! The failing container as Git defines it, and what a play says about it.

use jiff::Timestamp;
use serde_json::Value;

use crate::case::{Case, Desired};
use crate::code::Code;
use crate::finding::fact;
use crate::lock::{KnownGood, Policy, known_good, lock, short};
use crate::object::{Container, Object, ObjectRef};
use crate::propose::playbook::build::{and, ask, by_hand, change};
use crate::propose::{Answer, Choice, Proposal};

/// The failing container as Git defines it.
pub(in crate::propose::playbook) struct Subject<'c> {
    pub(in crate::propose::playbook) manifest: &'c Desired,
    pub(in crate::propose::playbook) container: Container<'c>,
}

impl<'c> Subject<'c> {
    pub(in crate::propose::playbook) fn of(case: &Case<'c>) -> Option<Self> {
        let manifest = case.manifest()?;
        let container = manifest
            .object
            .container(case.finding.container.as_deref()?)?;
        Some(Self {
            manifest,
            container,
        })
    }

    pub(in crate::propose::playbook) fn object(&self) -> ObjectRef {
        self.manifest.object.reference()
    }

    /// `shop/cart, container web` for titles.
    pub(in crate::propose::playbook) fn name(&self) -> String {
        who(&self.object(), Some(self.container.name))
    }
}

/// `cart/web`: workload and container, for titles.
pub(in crate::propose::playbook) fn who(object: &ObjectRef, container: Option<&str>) -> String {
    match container {
        Some(container) => format!("{object}, container {container}"),
        None => object.to_string(),
    }
}

/// Name of the failing object and container.
pub(in crate::propose::playbook) fn whom(case: &Case<'_>) -> String {
    who(&case.finding.object, case.finding.container.as_deref())
}

/// What is known about the failure, statement by statement.
pub(in crate::propose::playbook) fn diagnosis(case: &Case<'_>) -> Vec<String> {
    let finding = case.finding;
    let mut out = vec![finding.summary.clone()];
    if !finding.message.is_empty() && !finding.summary.contains(&finding.message) {
        out.push(format!("Kubernetes says: {}", finding.message));
    }
    out.extend(pods(case));
    if let Some(code) = finding.fact(fact::EXIT_CODE) {
        let reason = finding.fact("terminationReason").unwrap_or_default();
        let after = finding
            .fact(fact::RUN_SECONDS)
            .map_or_else(String::new, |s| format!(" after {s} s"));
        let restarts = finding.fact(fact::RESTARTS).unwrap_or("0");
        out.push(format!(
            "the last run ended with exit code {code} ({reason}){after}; {restarts} restarts so far"
        ));
    }
    out.extend(log_says(case));
    out
}

fn pods(case: &Case<'_>) -> Option<String> {
    let names: Vec<String> = case.finding.pods.iter().map(|p| p.name.clone()).collect();
    let namespace = case
        .finding
        .object
        .namespace
        .as_deref()
        .unwrap_or("default");
    let count = case
        .finding
        .fact("podCount")
        .map_or(names.len(), |c| c.parse().unwrap_or(names.len()));
    (!names.is_empty() && case.finding.object.kind != "Pod").then(|| {
        let show = if count == 1 { "pod" } else { "pods" };
        let verb = if count == 1 { "shows" } else { "show" };
        format!(
            "{count} {show} of namespace {namespace} {verb} it: {}",
            and(&names)
        )
    })
}

/// The last lines of the log.
pub(in crate::propose::playbook) fn log_says(case: &Case<'_>) -> Option<String> {
    let tail = case.finding.fact(fact::LOG_TAIL)?;
    let errors = crate::detect::container::text::error_lines(tail, 3);
    let lines = if errors.is_empty() {
        tail.lines()
            .rev()
            .take(2)
            .map(str::to_owned)
            .collect::<Vec<_>>()
            .into_iter()
            .rev()
            .collect()
    } else {
        errors
    };
    Some(format!("its log says: {}", lines.join(" … ")))
}

/// What a person must do after the merge, because the field cannot be changed in place.
pub(in crate::propose::playbook) fn after_merge(object: &ObjectRef) -> Vec<String> {
    let why = match object.kind.as_str() {
        "Pod" => "the spec of a Pod is immutable (rule G11)",
        "Job" => "the template of a Job is immutable (rule G10)",
        _ => return Vec::new(),
    };
    vec![format!(
        "delete the live {object} and let it be created again: {why}"
    )]
}

/// Earlier revisions and earlier versions in Git, without the revision that fails, newest first.
pub(in crate::propose::playbook) fn goods(case: &Case<'_>) -> Vec<KnownGood> {
    let object = &case.finding.object;
    let live = case.snapshot.get(object);
    let current = live.and_then(|l| current_set(case, l));
    let changed = current
        .or(live)
        .and_then(|o| o.str("metadata.creationTimestamp"))
        .and_then(|t| t.parse::<Timestamp>().ok());
    let mut earlier = case.earlier_of(object).into_iter();
    known_good(case, object)
        .into_iter()
        .filter(|good| {
            let kind = good.object.get("kind").and_then(Value::as_str);
            let is_revision = kind == Some("ReplicaSet") || kind.is_none();
            if is_revision {
                return current.is_none_or(|c| {
                    good.object
                        .pointer("/metadata/name")
                        .and_then(Value::as_str)
                        != Some(c.name())
                });
            }
            let commit = earlier.next().and_then(|e| e.replaced_by.time);
            is_fresh(case, commit, changed)
        })
        .collect()
}

/// Two days before the failing revision was made, a commit is no longer its cause.
fn is_fresh(case: &Case<'_>, commit: Option<Timestamp>, changed: Option<Timestamp>) -> bool {
    let (Some(commit), Some(changed)) = (commit, changed) else {
        return true;
    };
    let late = commit.as_second() > case.now.as_second();
    late || commit.as_second().saturating_add(172_800) >= changed.as_second()
}

/// The ReplicaSet of the newest revision.
pub(in crate::propose::playbook) fn current_set<'c>(
    case: &Case<'c>,
    live: &Object,
) -> Option<&'c Object> {
    let sets = case.snapshot.children(live).into_iter();
    sets.filter(|o| o.kind() == "ReplicaSet").max_by_key(|o| {
        o.annotation("deployment.kubernetes.io/revision")
            .and_then(|r| r.parse::<i64>().ok())
            .unwrap_or(0)
    })
}

/// Whether the revision that fails now has been rolled out completely before: then an older
/// template is no proof of anything.
pub(in crate::propose::playbook) fn worked_once(case: &Case<'_>) -> bool {
    let Some(live) = case.snapshot.get(&case.finding.object) else {
        return false;
    };
    live.list("status.conditions")
        .iter()
        .any(|c| c.get("reason").and_then(Value::as_str) == Some("NewReplicaSetAvailable"))
}

/// A fix that the guardrail lets through, or a question that says what it forbids.
pub(in crate::propose::playbook) fn settle(
    case: &Case<'_>,
    proposal: Proposal,
    others: Vec<Choice>,
) -> Answer {
    match refused_by(case, &proposal) {
        None => Answer::Fix(proposal),
        Some((code, reason)) => {
            let diagnosis = proposal.diagnosis.iter().map(|c| c.text.clone());
            let mut options = vec![by_hand(format!(
                "{} (kubemend does not make this change: {reason})",
                proposal.title
            ))];
            options.extend(others);
            let title = format!(
                "{}: should a person {}?",
                case.finding.object, proposal.title
            );
            ask(
                code,
                title,
                diagnosis.chain([wanted(&proposal)]).collect(),
                options,
            )
        }
    }
}

fn wanted(proposal: &Proposal) -> String {
    let edits: Vec<String> = proposal
        .edits
        .iter()
        .map(|e| match &e.op {
            crate::propose::Op::Set(v) | crate::propose::Op::Add(v) => {
                format!("{} to {}", e.path, short(v))
            }
            crate::propose::Op::Remove => format!("{} removed", e.path),
        })
        .collect();
    format!("the change would be: {}", edits.join(", "))
}

/// An option with its change, where the guardrail lets it through; else in words.
pub(in crate::propose::playbook) fn option(case: &Case<'_>, proposal: Proposal) -> Choice {
    match refused_by(case, &proposal) {
        None => change(proposal),
        Some((_, reason)) => by_hand(format!(
            "{} ({}; kubemend does not make this change: {reason})",
            proposal.title,
            wanted(&proposal)
        )),
    }
}

fn refused_by(case: &Case<'_>, proposal: &Proposal) -> Option<(Code, String)> {
    let blocked = lock(proposal, case, &Policy::default()).err()?;
    let first = blocked.into_iter().next()?;
    Some((first.code, first.reason))
}
