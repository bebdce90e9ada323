//! How far a commit got in an Argo CD Application. Pure.
//!
//! `status.sync.revision` is what was compared last, not what was applied, and health can be older
//! than the sync: every field is read together with the moment that it is from.

use jiff::Timestamp;
use serde_json::Value;

use crate::object::{Object, ObjectRef, at};
use crate::verify::revision::{IsAncestor, Revision, contains};
use crate::verify::{Applied, Wait};

/// What is looked for.
pub struct Question<'a> {
    /// The merge commit.
    pub commit: &'a str,
    /// The repository's URL, to find the source among several.
    pub repo_url: &'a str,
    /// Whether one commit is an ancestor of another.
    pub is_ancestor: &'a IsAncestor<'a>,
    /// The repository and path of a source name the same repository.
    pub same_repo: &'a dyn Fn(&str, &str) -> bool,
    /// What the commit changes: an Application that is never in sync may be so for others.
    pub objects: &'a [&'a ObjectRef],
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
        return hydrated(app, question);
    }
    if let Some(failed) = failed(app, source, question) {
        return failed;
    }
    let Some(compared) = revision(app, "status.sync", source) else {
        return Applied::Applying {
            detail: not_compared(app),
        };
    };
    match contains(&compared, question.commit, question.is_ancestor) {
        None => unknown_history(&compared),
        Some(false) => not_seen(app, source, &compared, question),
        Some(true) => operation(app, source, &compared, question),
    }
}

/// Which of the sources is the repository; the first one where they name it several times.
fn source(app: &Object, question: &Question<'_>) -> Option<usize> {
    let is_ours = |source: &Value| {
        let url = source.get("repoURL").and_then(Value::as_str);
        let is_chart = source.get("chart").is_some();
        !is_chart && url.is_some_and(|u| (question.same_repo)(u, question.repo_url))
    };
    if app.get("spec.sourceHydrator").is_some() {
        let dry = app.get("spec.sourceHydrator.drySource");
        return dry.filter(|d| is_ours(d)).map(|_| 0);
    }
    if app.get("spec.sources").is_some() {
        return app.list("spec.sources").iter().position(is_ours);
    }
    app.get("spec.source").filter(|s| is_ours(s)).map(|_| 0)
}

/// The revision of a source under a prefix: `revisions[i]` for several sources, else `revision`.
fn revision(app: &Object, prefix: &str, source: usize) -> Option<Revision> {
    let base = app.get(prefix)?;
    let of_many = base.get("revisions").and_then(Value::as_array);
    let text = match of_many.and_then(|r| r.get(source)) {
        Some(one) => one.as_str(),
        None => base.get("revision").and_then(Value::as_str),
    };
    Revision::read(text?)
}

fn not_compared(app: &Object) -> String {
    let conditions = app.list("status.conditions");
    let error = conditions.iter().find_map(|c| {
        let kind = c.get("type")?.as_str()?;
        let told = c.get("message")?.as_str()?;
        kind.ends_with("Error").then(|| format!("{kind}: {told}"))
    });
    error.unwrap_or_else(|| "nothing was compared yet".to_owned())
}

fn unknown_history(revision: &Revision) -> Applied {
    Applied::Unknown {
        why: format!(
            "the history between the merge and {} is not known (was the branch rewritten?)",
            revision.commit().unwrap_or("a chart version")
        ),
    }
}

/// The source does not hold our commit: an operation that is stuck on an older revision can block it.
fn not_seen(app: &Object, source: usize, compared: &Revision, question: &Question<'_>) -> Applied {
    let stuck = app.str("status.operationState.phase") == Some("Running")
        && app.int("status.operationState.retryCount").unwrap_or(0) > 0;
    let old = revision(app, "status.operationState.operation.sync", source)
        .and_then(|r| contains(&r, question.commit, question.is_ancestor));
    if stuck && old == Some(false) {
        return Applied::Waiting {
            why: Wait::OldOperation,
        };
    }
    Applied::NotSeen {
        at: compared.commit().map(str::to_owned),
    }
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
        "OutOfSync" if is_drift_elsewhere(app, question) => synced(app, source, compared, question),
        "OutOfSync" if !is_automated(app) => Applied::Waiting {
            why: Wait::ManualSync,
        },
        other => Applied::Applying {
            detail: format!("sync status is {other}"),
        },
    }
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
    let pinned = revision(app, "status.operationState.operation.sync", source)
        .and_then(|r| contains(&r, question.commit, question.is_ancestor));
    if pinned == Some(false) {
        return Applied::Waiting {
            why: Wait::OldOperation,
        };
    }
    let message = app
        .str("status.operationState.message")
        .unwrap_or("a sync is running");
    Applied::Applying {
        detail: message.to_owned(),
    }
}

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
    let carried = revision(app, "status.operationState.syncResult", source)
        .and_then(|r| contains(&r, question.commit, question.is_ancestor));
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
    let tried = revision(app, "status.operationState.syncResult", source)
        .or_else(|| revision(app, "status.operationState.operation.sync", source))?;
    if contains(&tried, question.commit, question.is_ancestor) != Some(true) {
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

/// With a hydrator the synced revision is a commit of its own; ours is the dry one.
fn hydrated(app: &Object, question: &Question<'_>) -> Applied {
    let last = app.get("status.sourceHydrator.lastSuccessfulOperation");
    let text = |key: &str| last.and_then(|l| at(l, key)).and_then(Value::as_str);
    let Some(dry) = text("drySHA").and_then(Revision::read) else {
        return Applied::Applying {
            detail: "nothing was hydrated yet".to_owned(),
        };
    };
    match contains(&dry, question.commit, question.is_ancestor) {
        None => return unknown_history(&dry),
        Some(false) => {
            return Applied::NotSeen {
                at: dry.commit().map(str::to_owned),
            };
        }
        Some(true) => {}
    }
    let wanted = text("hydratedSHA").and_then(Revision::read);
    let synced_to = revision(app, "status.sync", 0);
    if wanted.is_none() || wanted != synced_to || app.str("status.sync.status") != Some("Synced") {
        return Applied::Applying {
            detail: "hydrated, and not synced yet".to_owned(),
        };
    }
    synced(app, 0, &dry, question)
}

fn time(app: &Object, path: &str) -> Option<Timestamp> {
    app.str(path)?.parse().ok()
}

#[cfg(test)]
mod tests;
