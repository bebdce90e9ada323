//! How far a commit got through Flux: source, Kustomization, HelmRelease. Pure.
//!
//! `lastAppliedRevision` moves only after apply, prune and health checks passed; without `wait` and
//! health checks it says nothing about pods, so the workload is read in every case.

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use crate::object::Object;
use crate::verify::revision::{IsAncestor, Revision, contains};
use crate::verify::{Applied, Wait};

/// What is looked for.
pub struct Question<'a> {
    /// The merge commit.
    pub commit: &'a str,
    /// When it was merged.
    pub merged_at: Timestamp,
    /// When it is asked.
    pub now: Timestamp,
    /// Whether one commit is an ancestor of another.
    pub is_ancestor: &'a IsAncestor<'a>,
}

impl Question<'_> {
    fn holds(&self, revision: Option<&str>) -> Option<bool> {
        contains(&Revision::read(revision?)?, self.commit, self.is_ancestor)
    }

    /// Whether it is our commit, and none after it.
    fn is_at(&self, revision: Option<&str>) -> bool {
        let read = revision.and_then(Revision::read);
        let commit = read.as_ref().and_then(Revision::commit);
        commit.is_some_and(|c| c.eq_ignore_ascii_case(self.commit))
    }
}

/// How far the commit got in a Kustomization and its source.
pub fn kustomization(source: Option<&Object>, object: &Object, question: &Question<'_>) -> Applied {
    if is_suspended(object) || source.is_some_and(is_suspended) {
        return Applied::Waiting {
            why: Wait::Suspended,
        };
    }
    // an artifact tells the commit that it was made from beside its own digest
    let applied = object.str("status.lastAppliedOriginRevision");
    let applied = applied.or(object.str("status.lastAppliedRevision"));
    let attempted = attempted(source, object);
    if question.holds(applied) == Some(true) {
        return finished(object, applied.unwrap_or_default());
    }
    if question.holds(attempted) == Some(true) {
        return attempted_not_applied(object);
    }
    let fetched = source.and_then(made_of);
    if question.holds(fetched) == Some(true)
        && let Some(why) = held_up(object, attempted, question)
    {
        return Applied::Waiting { why };
    }
    not_attempted(source, applied, question)
}

/// The Git commit of the last attempt, as far as it is told.
fn attempted<'o>(source: Option<&'o Object>, object: &'o Object) -> Option<&'o str> {
    let attempted = object.str("status.lastAttemptedRevision")?;
    let of_source = source.filter(|s| s.str("status.artifact.revision") == Some(attempted));
    let of_history = || {
        let told = object.list("status.history").iter();
        let mut told = told.filter_map(|h| h.get("metadata"));
        let same = told.find(|m| text(m, "revision") == attempted)?;
        same.get("originRevision")?.as_str()
    };
    let of_applied = || {
        let is_applied = object.str("status.lastAppliedRevision") == Some(attempted);
        let origin = object.str("status.lastAppliedOriginRevision");
        origin.filter(|_| is_applied)
    };
    let origin = of_source.and_then(origin).or_else(of_history);
    Some(origin.or_else(of_applied).unwrap_or(attempted))
}

/// The Git commit that a source holds, as far as it is told.
fn made_of(source: &Object) -> Option<&str> {
    origin(source).or(source.str("status.artifact.revision"))
}

/// The Git commit that an artifact says it was made from.
fn origin(source: &Object) -> Option<&str> {
    let told = source.get("status.artifact.metadata")?;
    told.get("org.opencontainers.image.revision")?.as_str()
}

/// The address of the Git repository behind a source.
pub(super) fn git_url(source: &Object) -> Option<&str> {
    if source.kind() != "OCIRepository" {
        return source.str("spec.url");
    }
    let told = source.get("status.artifact.metadata")?;
    told.get("org.opencontainers.image.source")?.as_str()
}

/// A suspended object does nothing.
fn is_suspended(object: &Object) -> bool {
    object.get("spec.suspend").and_then(Value::as_bool) == Some(true)
}

fn finished(object: &Object, revision: &str) -> Applied {
    if is_behind(object) {
        return Applied::Applying {
            detail: "the changed object was not observed yet".to_owned(),
        };
    }
    let ready = condition(object, "Ready");
    if is_unhealthy(ready) {
        return unhealthy(ready, revision);
    }
    if ready.is_some_and(|c| text(c, "status") == "False") {
        // applied once, and failing now: a later attempt may not hold our commit
        return failure(object, ready).unwrap_or_else(|| Applied::Applying {
            detail: told(ready, "not ready"),
        });
    }
    if ready.is_none_or(|c| text(c, "status") != "True") {
        return Applied::Applying {
            detail: told(ready, "not ready yet"),
        };
    }
    Applied::Applied {
        at: ready.and_then(since),
        revision: revision.to_owned(),
    }
}

fn is_behind(object: &Object) -> bool {
    let observed = object.int("status.observedGeneration");
    object
        .int("metadata.generation")
        .zip(observed)
        .is_some_and(|(g, o)| o < g)
}

/// Attempted with our commit, and not applied: in progress, or failed.
fn attempted_not_applied(object: &Object) -> Applied {
    let ready = condition(object, "Ready");
    let reconciling = condition(object, "Reconciling").is_some_and(|c| text(c, "status") == "True");
    let stalled = condition(object, "Stalled").is_some_and(|c| text(c, "status") == "True");
    if is_unhealthy(ready) {
        let attempted = object.str("status.lastAttemptedRevision");
        return unhealthy(ready, attempted.unwrap_or_default());
    }
    match failure(object, ready) {
        // the attempts go on, but each of them fails: a build that fails stays failed
        Some(failed) if stalled || !reconciling || is_retry(object) => failed,
        _ => Applied::Applying {
            detail: told(ready, "being applied"),
        },
    }
}

/// Health checks come after everything was applied: what they say is for the workload to tell.
fn is_unhealthy(ready: Option<&Value>) -> bool {
    ready.is_some_and(|c| text(c, "status") == "False" && text(c, "reason") == "HealthCheckFailed")
}

fn unhealthy(ready: Option<&Value>, revision: &str) -> Applied {
    Applied::Applied {
        at: ready.and_then(since),
        revision: revision.to_owned(),
    }
}

fn is_retry(object: &Object) -> bool {
    condition(object, "Reconciling").is_some_and(|c| text(c, "reason") == "ProgressingWithRetry")
}

/// Conditions that mean that the attempt itself failed, not that something is awaited.
fn failure(object: &Object, ready: Option<&Value>) -> Option<Applied> {
    let stalled = condition(object, "Stalled").filter(|c| text(c, "status") == "True");
    let ready = ready.filter(|c| text(c, "status") == "False");
    let failed = ready.filter(|c| {
        matches!(
            text(c, "reason"),
            "BuildFailed"
                | "ReconciliationFailed"
                | "PruneFailed"
                | "InstallFailed"
                | "UpgradeFailed"
                | "TestFailed"
                | "RollbackSucceeded"
                | "UninstallSucceeded"
                | "RetriesExceeded"
        )
    });
    let told = stalled.or(failed)?;
    let both = match (stalled, ready) {
        (Some(stalled), Some(ready)) if stalled != ready => {
            format!("{}; {}", text(ready, "message"), text(stalled, "message"))
        }
        _ => text(told, "message").to_owned(),
    };
    Some(Applied::Failed {
        message: format!("{}: {both}", text(failed.unwrap_or(told), "reason")),
        resources: Vec::new(),
    })
}

/// What Flux waits for before it turns to our commit, which its source holds already.
fn held_up(object: &Object, attempted: Option<&str>, question: &Question<'_>) -> Option<Wait> {
    // an attempt of a commit that is not known may have been one with ours
    let is_untried = attempted.is_none() || question.holds(attempted) == Some(false);
    let stalled = condition(object, "Stalled").is_some_and(|c| text(c, "status") == "True");
    if stalled || !is_untried {
        return None;
    }
    dependency(object).or_else(|| health_check(object, attempted?, question.now))
}

/// The dependency that is not ready, as Flux names it: `dependency 'flux-system/infra' is not ready`.
fn dependency(object: &Object) -> Option<Wait> {
    let ready = condition(object, "Ready")?;
    let is_awaited = text(ready, "status") == "False"
        && text(ready, "reason") == "DependencyNotReady"
        && is_of_generation(object, ready);
    let named = text(ready, "message").split('\'').nth(1);
    let on = named.filter(|name| is_awaited && is_qualified(name))?;
    Some(Wait::Dependency { on: on.to_owned() })
}

/// Whether a condition tells of the object as it is now, where it says so.
fn is_of_generation(object: &Object, condition: &Value) -> bool {
    let observed = condition.get("observedGeneration").and_then(Value::as_i64);
    let both = observed.zip(object.int("metadata.generation"));
    both.is_none_or(|(observed, now)| observed >= now)
}

/// `namespace/name`; other messages have other things in quotes.
fn is_qualified(name: &str) -> bool {
    let is_part = |part: &str| {
        let is_fit = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-.".contains(&b);
        !part.is_empty() && part.bytes().all(is_fit)
    };
    name.split_once('/')
        .is_some_and(|(namespace, name)| is_part(namespace) && is_part(name))
}

/// How Flux says that it checks the health of what it applied, until its timeout.
const CHECKS: &str = "Running health checks for revision ";

/// The check of the last attempt, while it runs. One that should be over is none: a controller that
/// does not run leaves it written.
fn health_check(object: &Object, attempted: &str, now: Timestamp) -> Option<Wait> {
    // the message stays after a failed check, and the reason does not
    let checking = condition(object, "Reconciling")
        .filter(|c| text(c, "status") == "True" && text(c, "reason") == "Progressing")?;
    let told = text(checking, "message").strip_prefix(CHECKS)?;
    let (revision, timeout) = told.split_once(" with a timeout of ")?;
    if object.str("status.lastAttemptedRevision") != Some(revision) {
        return None;
    }
    let timeout: SignedDuration = timeout.parse().ok()?;
    let until = since(checking)?.checked_add(timeout).ok()?;
    let read = Revision::read(attempted)?;
    let of = read.commit()?.chars().take(SHORT).collect();
    (now < until).then_some(Wait::HealthCheck { of, until })
}

/// So many characters of a commit are shown.
const SHORT: usize = 12;

fn not_attempted(
    source: Option<&Object>,
    applied: Option<&str>,
    question: &Question<'_>,
) -> Applied {
    let held = source.and_then(made_of).or(applied);
    match (question.holds(held), held.and_then(Revision::read)) {
        (Some(true), _) => Applied::Applying {
            detail: "fetched, and not applied yet".to_owned(),
        },
        (Some(false), _) | (None, None) => not_fetched(source, held, question),
        (None, Some(Revision::Commit(at))) => Applied::Unknown {
            why: unknown_history(source, &at),
        },
        (None, Some(Revision::Other(at))) => Applied::Unknown {
            why: format!(
                "{at} does not tell the Git commit that it was made from (`flux push artifact --revision` does)"
            ),
        },
    }
}

fn unknown_history(source: Option<&Object>, at: &str) -> String {
    match source.and_then(pinned) {
        Some(to) => {
            format!("the source follows {to} and no branch, and the history to {at} is not known")
        }
        None => format!(
            "the history between the merge and {at} is not known (was the branch rewritten?)"
        ),
    }
}

/// The source holds something older: it follows no branch, cannot be fetched, or was not asked yet.
fn not_fetched(source: Option<&Object>, held: Option<&str>, question: &Question<'_>) -> Applied {
    if let Some(to) = source.and_then(pinned) {
        return Applied::Waiting {
            why: Wait::Pinned { to },
        };
    }
    let failed = source.and_then(|s| condition(s, "FetchFailed"));
    if let Some(failed) = failed.filter(|c| text(c, "status") == "True") {
        return Applied::Applying {
            detail: format!("the source cannot be fetched: {}", text(failed, "message")),
        };
    }
    if let Some(how) = source.and_then(|s| not_polled(s, question)) {
        return Applied::Waiting {
            why: Wait::NotPolled { how },
        };
    }
    Applied::NotSeen {
        at: held.map(str::to_owned),
    }
}

/// What a source follows that is no branch. Flux takes the first that is set of a commit, a name, a range
/// of versions, a tag and a branch.
fn pinned(source: &Object) -> Option<String> {
    let of = |key: &str| {
        let text = source.get("spec.ref")?.get(key)?.as_str()?;
        let text = text.chars().take(80).collect::<String>();
        (!text.is_empty()).then_some(text)
    };
    if source.kind() != "GitRepository" {
        // a tag of artifacts is moved with each of them
        return of("digest").map(|d| format!("digest `{d}`"));
    }
    if let Some(commit) = of("commit") {
        return Some(format!("commit `{commit}`"));
    }
    if let Some(name) = of("name") {
        let is_branch = name.starts_with("refs/heads/");
        return (!is_branch).then(|| format!("`{name}`"));
    }
    let range = of("semver").map(|range| format!("the newest tag in `{range}`"));
    range.or_else(|| of("tag").map(|tag| format!("tag `{tag}`")))
}

/// How a source is polled, if that is not due since the merge.
fn not_polled(source: &Object, question: &Question<'_>) -> Option<String> {
    let every: SignedDuration = source.str("spec.interval")?.parse().ok()?;
    let waited = question.now.duration_since(question.merged_at);
    let kind = match source.kind() {
        "OCIRepository" => "oci",
        _ => "git",
    };
    (waited < every).then(|| {
        format!(
            "Flux asks it every {every:#}, and at once with `flux reconcile source {kind} {} -n {}`",
            source.name(),
            source.namespace().unwrap_or("flux-system")
        )
    })
}

/// A HelmRelease whose values or chart our commit changed, after its Kustomization applied it.
/// `lastAttemptedRevision` is a chart version, so the chain goes over the Kustomization, the
/// observed generation and the release itself. The carrier must be the older reading of the two.
pub fn helm_release(carrier: Applied, release: &Object) -> Applied {
    let Applied::Applied { at, revision } = carrier else {
        return carrier;
    };
    if is_suspended(release) {
        return Applied::Waiting {
            why: Wait::Suspended,
        };
    }
    // while it waits for a dependency it does not say that it observed the change
    if let Some(why) = dependency(release).filter(|_| !is_tried(release)) {
        return Applied::Waiting { why };
    }
    if is_behind(release) {
        return Applied::Applying {
            detail: "the HelmRelease was not observed yet".to_owned(),
        };
    }
    let remediated = condition(release, "Remediated").filter(|c| text(c, "status") == "True");
    if let Some(condition) = remediated {
        return Applied::Failed {
            message: format!("rolled back: {}", text(condition, "message")),
            resources: vec![format!(
                "HelmRelease/{}/{}",
                release.namespace().unwrap_or("-"),
                release.name()
            )],
        };
    }
    let ready = condition(release, "Ready");
    if let Some(failed) = failure(release, ready) {
        return failed;
    }
    let newest = release.list("status.history").first();
    let deployed = newest.is_some_and(|h| text(h, "status") == "deployed");
    match (deployed, ready.is_some_and(|c| text(c, "status") == "True")) {
        (true, true) => Applied::Applied {
            at: newest
                .and_then(|h| text(h, "lastDeployed").parse().ok())
                .or(at),
            revision,
        },
        _ => Applied::Applying {
            detail: told(ready, "being released"),
        },
    }
}

/// Whether an attempt was made with the HelmRelease as it is now.
fn is_tried(release: &Object) -> bool {
    let tried = release.int("status.lastAttemptedGeneration");
    match tried.zip(release.int("metadata.generation")) {
        Some((tried, now)) => tried >= now,
        None => release.str("status.lastAttemptedRevision").is_some(),
    }
}

/// A release of a chart in Git, of which the commit changed files and not the HelmRelease. The source
/// controller builds a new chart from them by its strategy: for each revision, or only when the
/// version in `Chart.yaml` is another one.
pub fn chart(
    source: Option<&Object>,
    chart: &Object,
    release: &Object,
    question: &Question<'_>,
) -> Applied {
    if [source, Some(chart)]
        .into_iter()
        .flatten()
        .any(is_suspended)
    {
        return Applied::Waiting {
            why: Wait::Suspended,
        };
    }
    // recorded before the build, so a failed build is one of this revision
    let observed = chart.str("status.observedSourceArtifactRevision");
    if question.holds(observed) != Some(true) {
        return not_attempted(source, observed, question);
    }
    let failed = condition(chart, "BuildFailed").filter(|c| text(c, "status") == "True");
    if let Some(failed) = failed {
        return Applied::Failed {
            message: format!("BuildFailed: {}", text(failed, "message")),
            resources: Vec::new(),
        };
    }
    match built(source, chart, observed.unwrap_or_default(), question) {
        Ok(version) => released(release, version, observed.unwrap_or_default()),
        Err(not_yet) => not_yet,
    }
}

/// The version of the chart that holds what was observed, or why there is none.
fn built<'o>(
    source: Option<&Object>,
    chart: &'o Object,
    observed: &str,
    question: &Question<'_>,
) -> Result<&'o str, Applied> {
    let version = chart.str("status.artifact.revision");
    let version = version.ok_or_else(|| Applied::Applying {
        detail: told(condition(chart, "Ready"), "the chart is not built yet"),
    })?;
    if chart.str("spec.reconcileStrategy") == Some("Revision") {
        let commit = Revision::read(observed);
        let commit = commit
            .as_ref()
            .and_then(Revision::commit)
            .unwrap_or_default();
        let of = version.rsplit_once('+').map_or("", |(_, build)| build);
        let of = of.split('.').next().unwrap_or_default();
        return match !of.is_empty() && commit.starts_with(of) {
            true => Ok(version),
            false => Err(Applied::Applying {
                detail: format!("the chart is still that of {version}"),
            }),
        };
    }
    let at = chart.str("status.artifact.lastUpdateTime");
    let at: Option<Timestamp> = at.and_then(|t| t.parse().ok());
    match at {
        Some(at) if is_built_since(at, source, question) => Ok(version),
        Some(_) => Err(Applied::Waiting {
            why: Wait::ChartVersion,
        }),
        None => Err(Applied::Unknown {
            why: "it is not known when the chart was built".to_owned(),
        }),
    }
}

/// Whether a chart was built after the merge. Kubernetes counts in whole seconds: one of the very second
/// of the merge is older where the source was fetched later.
fn is_built_since(built: Timestamp, source: Option<&Object>, question: &Question<'_>) -> bool {
    let merged = question.merged_at.as_second();
    let is_later = || {
        let source = source.filter(|s| question.is_at(s.str("status.artifact.revision")));
        let fetched = source.and_then(|s| s.str("status.artifact.lastUpdateTime"));
        let fetched: Option<Timestamp> = fetched.and_then(|t| t.parse().ok());
        fetched.is_some_and(|at| at.as_second() > merged)
    };
    built.as_second() > merged || built.as_second() == merged && !is_later()
}

/// How far a version of the chart got; what is told of another version says nothing of this one.
fn released(release: &Object, version: &str, revision: &str) -> Applied {
    let ready = condition(release, "Ready");
    let is_settled = ready.is_some_and(|c| text(c, "status") != "Unknown");
    let is_attempted = release.str("status.lastAttemptedRevision") == Some(version);
    let is_told = is_suspended(release) || is_attempted && is_settled;
    if !is_told
        && !is_attempted
        && let Some(why) = dependency(release)
    {
        return Applied::Waiting { why };
    }
    if !is_told {
        return Applied::Applying {
            detail: format!("version {version} of the chart is not released yet"),
        };
    }
    let carried = Applied::Applied {
        at: None,
        revision: revision.to_owned(),
    };
    helm_release(carried, release)
}

fn condition<'o>(object: &'o Object, kind: &str) -> Option<&'o Value> {
    object
        .list("status.conditions")
        .iter()
        .find(|c| text(c, "type") == kind)
}

fn text<'v>(value: &'v Value, key: &str) -> &'v str {
    value.get(key).and_then(Value::as_str).unwrap_or_default()
}

fn told(condition: Option<&Value>, otherwise: &str) -> String {
    let message = condition.map(|c| text(c, "message")).unwrap_or_default();
    if message.is_empty() {
        otherwise.to_owned()
    } else {
        message.to_owned()
    }
}

fn since(condition: &Value) -> Option<Timestamp> {
    text(condition, "lastTransitionTime").parse().ok()
}

#[cfg(test)]
mod tests;
