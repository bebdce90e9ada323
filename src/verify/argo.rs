//! How far a commit got in an Argo CD Application. Pure.
//!
//! `status.sync.revision` is what was compared last, not what was applied, and health can be older
//! than the sync: every field is read together with the moment that it is from.

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use crate::object::{Object, ObjectRef, at};
use crate::verify::app::{folder, is_below};
use crate::verify::revision::{self, IsAncestor, Revision, contains};
use crate::verify::{Applied, Wait};

mod hydrator;
mod windows;

/// What is looked for.
#[derive(Clone, Copy)]
pub struct Question<'a> {
    /// The merge commit.
    pub commit: &'a str,
    /// When it was merged.
    pub merged_at: Timestamp,
    /// When it is asked.
    pub now: Timestamp,
    /// The files that it changes.
    pub files: &'a [&'a str],
    /// The repository's URL, to find the source among several.
    pub repo_url: &'a str,
    /// Whether one commit is an ancestor of another.
    pub is_ancestor: &'a IsAncestor<'a>,
    /// The repository and path of a source name the same repository.
    pub same_repo: &'a dyn Fn(&str, &str) -> bool,
    /// What the commit changes: an Application that is never in sync may be so for others.
    pub objects: &'a [&'a ObjectRef],
    /// The project, where it can be read.
    pub project: Option<&'a Object>,
}

impl Question<'_> {
    fn holds(&self, revision: &Revision) -> Option<bool> {
        contains(revision, self.commit, self.is_ancestor)
    }
}

/// What an Application says of an object of its own.
pub(super) fn resource<'a>(app: &'a Object, object: &ObjectRef) -> Option<&'a Value> {
    let text = |r: &'a Value, key: &str| r.get(key).and_then(Value::as_str).unwrap_or_default();
    let mut all = app.list("status.resources").iter();
    all.find(|r| {
        text(r, "kind") == object.kind
            && text(r, "group") == object.group()
            && text(r, "name") == object.name
            && text(r, "namespace") == object.namespace.as_deref().unwrap_or_default()
    })
}

/// How far the commit got.
pub fn applied(app: &Object, question: &Question<'_>) -> Applied {
    let Some(source) = source(app, question) else {
        return Applied::Unknown {
            why: format!(
                "Application {} has no source in this repository",
                app.name()
            ),
        };
    };
    if app.get("spec.sourceHydrator").is_some() {
        return hydrator::applied(app, question);
    }
    if let Some(failed) = failed(app, source, question) {
        return failed;
    }
    let Some(compared) = revision(app, "status.sync", source) else {
        return Applied::Applying {
            detail: error(app).unwrap_or_else(|| "nothing was compared yet".to_owned()),
        };
    };
    match question.holds(&compared) {
        None => unknown_history(app, source, &compared),
        Some(false) => not_seen(app, source, &compared, question),
        Some(true) => operation(app, source, &compared, question),
    }
}

/// Which of the sources reads the changed files. The repository may stand there several times, once
/// for the values of a chart, and its entries may disagree for a while: the one that lags decides.
fn source(app: &Object, question: &Question<'_>) -> Option<usize> {
    let all = sources(app);
    let is_ours = |source: &Value| {
        let url = source.get("repoURL").and_then(Value::as_str);
        let is_chart = source.get("chart").is_some();
        !is_chart && url.is_some_and(|u| (question.same_repo)(u, question.repo_url))
    };
    let ours: Vec<usize> = (0..all.len()).filter(|i| is_ours(all[*i])).collect();
    let readers = |file: &&str| {
        let of = ours.iter().copied().filter(|i| reads(&all, *i, file));
        of.collect::<Vec<_>>()
    };
    let by_file: Vec<Vec<usize>> = question.files.iter().map(readers).collect();
    let is_known = !by_file.is_empty() && by_file.iter().all(|r| !r.is_empty());
    // what follows no branch never gets there, and may have nothing to do with the files
    let moves = |i: &usize| pinned(app, *i).is_none();
    let asked = match (is_known, ours.iter().any(moves)) {
        (true, _) => by_file.concat(),
        (false, true) => ours.into_iter().filter(moves).collect(),
        (false, false) => ours,
    };
    let lags = |i: &usize| {
        let at = revision(app, "status.sync", *i);
        at.and_then(|r| question.holds(&r)) != Some(true)
    };
    let first = asked.first().copied();
    asked.into_iter().find(lags).or(first)
}

/// What it is made from, in the order of the revisions.
fn sources(app: &Object) -> Vec<&Value> {
    let hydrated = app.get("spec.sourceHydrator");
    if hydrated.is_some() {
        let dry = app.get("spec.sourceHydrator.drySource");
        return dry.into_iter().collect();
    }
    match app.get("spec.sources") {
        Some(_) => app.list("spec.sources").iter().collect(),
        None => app.get("spec.source").into_iter().collect(),
    }
}

/// Whether a source is known to read a file: below its path, or as values of a chart by its `ref`.
fn reads(all: &[&Value], source: usize, file: &str) -> bool {
    let text = |key: &str| all[source].get(key).and_then(Value::as_str);
    let values = all
        .iter()
        .filter_map(|s| at(s, "helm.valueFiles")?.as_array());
    let mut values = values.flatten().filter_map(Value::as_str);
    let is_named = |name: &str| {
        values.any(|value| {
            let rest = value.strip_prefix('$').and_then(|v| v.strip_prefix(name));
            rest.and_then(|r| r.strip_prefix('/')) == Some(file)
        })
    };
    text("path").is_some_and(|path| is_below(file, folder(path)))
        || text("ref").is_some_and(is_named)
}

/// The revision of a source under a prefix.
fn revision(app: &Object, prefix: &str, source: usize) -> Option<Revision> {
    of_source(app.get(prefix)?, source)
}

/// `revisions[i]` for several sources, else `revision`.
fn of_source(base: &Value, source: usize) -> Option<Revision> {
    let of_many = base.get("revisions").and_then(Value::as_array);
    let text = match of_many.and_then(|r| r.get(source)) {
        Some(one) => one.as_str(),
        None => base.get("revision").and_then(Value::as_str),
    };
    Revision::read(text?)
}

/// What Argo CD says that it could not do.
fn error(app: &Object) -> Option<String> {
    let conditions = app.list("status.conditions");
    conditions.iter().find_map(|c| {
        let kind = c.get("type")?.as_str()?;
        let told = c.get("message")?.as_str()?;
        kind.ends_with("Error").then(|| format!("{kind}: {told}"))
    })
}

/// Whether something stands in the way of a sync with our commit. What a sync before the merge failed
/// with stays written while a window is closed.
fn is_prevented(app: &Object, question: &Question<'_>) -> bool {
    let text = |c: &Value, key: &str| c.get(key).and_then(Value::as_str).map(str::to_owned);
    app.list("status.conditions").iter().any(|c| {
        let kind = text(c, "type").unwrap_or_default();
        let since = text(c, "lastTransitionTime").and_then(|t| t.parse::<Timestamp>().ok());
        let is_old = since.is_some_and(|t| t < question.merged_at);
        kind.ends_with("Error") && !(kind == "SyncError" && is_old)
    })
}

fn unknown_history(app: &Object, source: usize, revision: &Revision) -> Applied {
    let at = revision.commit().unwrap_or("a chart version");
    let why = match pinned(app, source) {
        Some(to) => {
            format!("the source follows {to} and no branch, and the history to {at} is not known")
        }
        None => format!(
            "the history between the merge and {at} is not known (was the branch rewritten?)"
        ),
    };
    Applied::Unknown { why }
}

/// The source does not hold our commit: an operation that is stuck on an older revision can block it,
/// it may follow no branch, and it may not have been asked yet.
fn not_seen(app: &Object, source: usize, compared: &Revision, question: &Question<'_>) -> Applied {
    let stuck = app.str("status.operationState.phase") == Some("Running")
        && app.int("status.operationState.retryCount").unwrap_or(0) > 0;
    let old = revision(app, "status.operationState.operation.sync", source)
        .and_then(|r| question.holds(&r));
    if stuck && old == Some(false) {
        return Applied::Waiting {
            why: Wait::OldOperation,
        };
    }
    if let Some(to) = pinned(app, source) {
        return Applied::Waiting {
            why: Wait::Pinned { to },
        };
    }
    let is_soon = question.now.duration_since(question.merged_at) < POLLED;
    if is_soon && time(app, "status.reconciledAt").is_some_and(|at| at < question.merged_at) {
        return Applied::Waiting {
            why: Wait::NotPolled {
                how: "without a webhook Argo CD looks every few minutes, and at once with `argocd app get --refresh`".to_owned(),
            },
        };
    }
    Applied::NotSeen {
        at: compared.commit().map(str::to_owned),
    }
}

/// So long an Application may not have been looked at; after that its controller does not look at all.
const POLLED: SignedDuration = SignedDuration::from_hours(1);

/// What a source follows that is no branch, as far as its name tells.
fn pinned(app: &Object, source: usize) -> Option<String> {
    let target = sources(app).get(source)?.get("targetRevision")?.as_str()?;
    revision::pinned(target)
}

/// The source holds our commit: was it applied?
fn operation(app: &Object, source: usize, compared: &Revision, question: &Question<'_>) -> Applied {
    // while it runs, and between its retries, the request stays
    let phase = app.str("status.operationState.phase").unwrap_or_default();
    if matches!(phase, "Running" | "Terminating") {
        return running(app, source, question);
    }
    if app.get("operation").is_some() {
        return Applied::Applying {
            detail: "a sync is requested".to_owned(),
        };
    }
    match app.str("status.sync.status").unwrap_or_default() {
        "Synced" => synced(app, source, compared, question),
        "OutOfSync" if is_drift_elsewhere(app, question) || is_only_left_over(app) => {
            synced(app, source, compared, question)
        }
        "OutOfSync" => out_of_sync(app, source, compared, question),
        other => Applied::Applying {
            detail: error(app).unwrap_or_else(|| format!("sync status is {other}")),
        },
    }
}

/// Compared with our commit, and nothing runs: who has to move?
fn out_of_sync(
    app: &Object,
    source: usize,
    compared: &Revision,
    question: &Question<'_>,
) -> Applied {
    let was_tried = carried(app, source, question) == Some(true);
    if was_tried && app.str("status.operationState.phase") == Some("Succeeded") {
        // some objects never are in sync, whatever is applied: their fields tell
        return synced(app, source, compared, question);
    }
    if !was_tried && let Some(at) = stepped_back(app, source, question) {
        return Applied::Unknown {
            why: format!(
                "Argo CD went back to {at}, which lacks it: a rollback, or a sync that took an old revision"
            ),
        };
    }
    if !is_automated(app) {
        return Applied::Waiting {
            why: Wait::ManualSync,
        };
    }
    if was_tried || is_prevented(app, question) {
        return Applied::Applying {
            detail: error(app).unwrap_or_else(|| "sync status is OutOfSync".to_owned()),
        };
    }
    let windows = windows::told(question.project, app);
    Applied::Waiting {
        why: Wait::NotStarted { windows },
    }
}

/// Whether the last operation was one with our commit.
fn carried(app: &Object, source: usize, question: &Question<'_>) -> Option<bool> {
    question.holds(&last(app, source)?)
}

/// The revision of the last operation.
fn last(app: &Object, source: usize) -> Option<Revision> {
    revision(app, "status.operationState.syncResult", source)
        .or_else(|| revision(app, "status.operationState.operation.sync", source))
}

/// The revision that was applied after one with our commit, and lacks it.
fn stepped_back(app: &Object, source: usize, question: &Question<'_>) -> Option<String> {
    let last = last(app, source).filter(|r| question.holds(r) == Some(false))?;
    let history = app.list("status.history").iter();
    let mut history = history.filter_map(|entry| of_source(entry, source));
    let was_there = history.any(|r| question.holds(&r) == Some(true));
    last.commit().filter(|_| was_there).map(str::to_owned)
}

/// Whether the only difference is what Git has no more, and automatic sync leaves it alone.
fn is_only_left_over(app: &Object) -> bool {
    let prunes = app.get("spec.syncPolicy.automated.prune") == Some(&Value::Bool(true));
    let text = |r: &Value| r.get("status").and_then(Value::as_str) == Some("OutOfSync");
    let differing = app.list("status.resources").iter().filter(|r| text(r));
    let differing: Vec<&Value> = differing.collect();
    let is_left_over = |r: &&Value| r.get("requiresPruning") == Some(&Value::Bool(true));
    is_automated(app) && !prunes && !differing.is_empty() && differing.iter().all(is_left_over)
}

/// Whether all that the commit changes is in sync, so that only other objects are not: for some fields
/// an Application never is.
fn is_drift_elsewhere(app: &Object, question: &Question<'_>) -> bool {
    let is_synced = |object: &&ObjectRef| {
        let told = resource(app, object).and_then(|r| r.get("status"));
        told.and_then(Value::as_str) == Some("Synced")
    };
    !question.objects.is_empty() && question.objects.iter().all(is_synced)
}

fn running(app: &Object, source: usize, question: &Question<'_>) -> Applied {
    let message = app.str("status.operationState.message");
    // the operation stays, whatever its revision, until the window opens
    if message.is_some_and(|m| m.contains(BLOCKED)) {
        let windows = windows::told(question.project, app);
        return Applied::Waiting {
            why: Wait::SyncWindow { windows },
        };
    }
    if runs_old(app, source, question) {
        return Applied::Waiting {
            why: Wait::OldOperation,
        };
    }
    Applied::Applying {
        detail: message.unwrap_or("a sync is running").to_owned(),
    }
}

/// Whether the operation that runs is one of an older revision. A commit that was asked for tells it; a
/// branch is resolved when the operation begins, and then stays what it was.
fn runs_old(app: &Object, source: usize, question: &Question<'_>) -> bool {
    let asked = revision(app, "status.operationState.operation.sync", source);
    match asked.filter(|r| r.commit().is_some()) {
        Some(commit) => question.holds(&commit) == Some(false),
        None => resolved(app, source).is_some_and(|r| is_older(&r, question)),
    }
}

/// What the running operation resolved. Argo CD merges a new operation into what is written of the one
/// before, so at first the result is still that one's, and a retry resolves anew. Once the operation waits
/// for something that it applied, the result is its own.
fn resolved(app: &Object, source: usize) -> Option<Revision> {
    let message = app.str("status.operationState.message")?;
    let is_over = app.str("status.operationState.finishedAt").is_some();
    if is_over || !message.starts_with(AWAITS) {
        return None;
    }
    revision(app, "status.operationState.syncResult", source)
}

/// How Argo CD says that an operation waits for a hook, for health or for a deletion.
const AWAITS: &str = "waiting for ";

/// Whether a revision comes before our commit. One beside it is not known to.
fn is_older(revision: &Revision, question: &Question<'_>) -> bool {
    let at = revision.commit();
    let is_before = at.and_then(|at| (question.is_ancestor)(at, question.commit));
    question.holds(revision) == Some(false) && is_before == Some(true)
}

/// How Argo CD says that a window holds an operation back.
const BLOCKED: &str = "blocked by sync window";

fn is_automated(app: &Object) -> bool {
    let automated = app.get("spec.syncPolicy.automated");
    automated.is_some_and(|a| a.get("enabled").and_then(Value::as_bool) != Some(false))
}

/// In sync: either an operation carried our commit, or none was needed because our commit does not
/// change what this Application renders. Health counts only from after the operation.
fn synced(app: &Object, source: usize, compared: &Revision, question: &Question<'_>) -> Applied {
    let finished = time(app, "status.operationState.finishedAt");
    let reconciled = time(app, "status.reconciledAt");
    if let (Some(finished), Some(reconciled)) = (finished, reconciled)
        && reconciled < finished
    {
        return Applied::Applying {
            detail: "the state was read before the sync ended".to_owned(),
        };
    }
    let carried =
        revision(app, "status.operationState.syncResult", source).and_then(|r| question.holds(&r));
    Applied::Applied {
        // without an operation the moment of the comparison is the best that there is
        at: if carried == Some(true) {
            finished
        } else {
            reconciled
        },
        revision: compared.commit().unwrap_or_default().to_owned(),
    }
}

/// An operation with our commit that failed. Automatic sync never tries the same revision again.
fn failed(app: &Object, source: usize, question: &Question<'_>) -> Option<Applied> {
    let phase = app.str("status.operationState.phase")?;
    if !matches!(phase, "Failed" | "Error") {
        return None;
    }
    if carried(app, source, question) != Some(true) {
        return None;
    }
    let results = app.list("status.operationState.syncResult.resources");
    let bad = results.iter().filter(|r| {
        let is = |key: &str, value: &[&str]| {
            r.get(key)
                .and_then(Value::as_str)
                .is_some_and(|v| value.contains(&v))
        };
        is("status", &["SyncFailed"]) || is("hookPhase", &["Failed", "Error"])
    });
    Some(Applied::Failed {
        message: app
            .str("status.operationState.message")
            .unwrap_or(phase)
            .to_owned(),
        resources: bad.map(name).take(20).collect(),
    })
}

fn name(resource: &Value) -> String {
    let text = |key: &str| resource.get(key).and_then(Value::as_str).unwrap_or("-");
    format!("{}/{}/{}", text("kind"), text("namespace"), text("name"))
}

fn time(app: &Object, path: &str) -> Option<Timestamp> {
    app.str(path)?.parse().ok()
}

#[cfg(test)]
mod tests;
