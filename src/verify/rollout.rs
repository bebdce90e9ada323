//! What the workload itself says after a change was applied. Pure.
//!
//! This is what `kubectl rollout status` checks, without its traps: conditions that are older than
//! the change do not count, and new pods must exist and be ready before anything is good.

use jiff::Timestamp;
use serde_json::Value;

use crate::object::Object;
use crate::verify::Wait;

/// What the workload says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rollout {
    /// The new template runs, on all pods.
    Done,
    /// It is on its way, and what is missing.
    Progressing(String),
    /// Nothing moves until a person or time lets it.
    Waiting(Wait),
    /// The controller gave up, or new pods fail: which way.
    Failing(String),
}

/// A workload with the objects that its controller made.
pub struct Observed<'a> {
    /// The Deployment, StatefulSet or DaemonSet.
    pub workload: &'a Object,
    /// What its controller made: ReplicaSets of a Deployment, Jobs of a CronJob.
    pub children: &'a [&'a Object],
    /// Its pods, old ones too.
    pub pods: &'a [&'a Object],
    /// When the change was applied.
    pub applied_at: Option<Timestamp>,
    /// Whether the change is in content that its pods read only when they start.
    pub reads_anew: bool,
}

/// Waiting reasons of a container that do not heal by themselves.
const BROKEN: [&str; 7] = [
    "ImagePullBackOff",
    "ErrImagePull",
    "InvalidImageName",
    "CrashLoopBackOff",
    "CreateContainerConfigError",
    "CreateContainerError",
    "RunContainerError",
];

/// What a workload says.
pub fn assess(observed: &Observed<'_>) -> Rollout {
    match observed.workload.kind() {
        "CronJob" => next_run(observed),
        "Job" => job(observed),
        "Pod" => pod(observed.workload),
        "Rollout" => progressive(observed.workload),
        _ => match controlled(observed) {
            Rollout::Done if observed.reads_anew && !all_restarted(observed) => {
                Rollout::Waiting(Wait::Restart)
            }
            rollout => rollout,
        },
    }
}

/// Whether every container started after the change.
fn all_restarted(observed: &Observed<'_>) -> bool {
    let Some(applied) = observed.applied_at else {
        return false;
    };
    let statuses = observed.pods.iter();
    let mut statuses = statuses.flat_map(|p| p.list("status.containerStatuses"));
    statuses.all(|s| {
        let started = s.pointer("/state/running/startedAt");
        let started: Option<Timestamp> = started.and_then(|t| t.as_str()?.parse().ok());
        started.is_some_and(|t| t >= applied)
    })
}

/// A CronJob is judged on the runs that it begins after the change.
fn next_run(observed: &Observed<'_>) -> Rollout {
    let is_new = |job: &&&Object| made_after(job, observed.applied_at);
    let new: Vec<&Object> = observed.children.iter().filter(is_new).copied().collect();
    // the newest one that ended counts: an earlier one may have failed for what is over
    let made = |job: &&&Object| job.str("metadata.creationTimestamp").map(str::to_owned);
    let ended = new
        .iter()
        .filter(|j| holds(j, "Failed") || holds(j, "Complete"));
    match ended.max_by_key(made) {
        Some(job) if holds(job, "Failed") => Rollout::Failing(format!("Job {} failed", job.name())),
        Some(_) => Rollout::Done,
        None => Rollout::Waiting(Wait::NextRun),
    }
}

/// A Job's template cannot be changed: a new one must be there.
fn job(observed: &Observed<'_>) -> Rollout {
    let job = observed.workload;
    if !made_after(job, observed.applied_at) {
        return Rollout::Progressing("the Job was not made anew".to_owned());
    }
    if holds(job, "Failed") {
        return Rollout::Failing(format!("Job {} failed", job.name()));
    }
    match holds(job, "Complete") {
        true => Rollout::Done,
        false => Rollout::Progressing("the Job runs".to_owned()),
    }
}

/// A pod that nobody controls.
fn pod(pod: &Object) -> Rollout {
    if let Some(failing) = broken(&[pod]) {
        return Rollout::Failing(failing);
    }
    match pod.str("status.phase") {
        Some("Failed") => Rollout::Failing(format!("pod {} failed", pod.name())),
        Some("Succeeded") => Rollout::Done,
        _ if is_ready(pod) => Rollout::Done,
        _ => Rollout::Progressing(format!("pod {} is not ready", pod.name())),
    }
}

/// A Rollout of Argo Rollouts: healthy is also what runs its old template.
fn progressive(rollout: &Object) -> Rollout {
    // it counts generations as text
    let seen = rollout.str("status.observedGeneration");
    let seen = seen.and_then(|text| text.parse().ok());
    if seen < rollout.int("metadata.generation") {
        return Rollout::Progressing("its controller has not seen the change yet".to_owned());
    }
    if wanted(rollout) == 0 {
        return Rollout::Waiting(Wait::NoPods);
    }
    let message = rollout.str("status.message").unwrap_or_default();
    let is_stable = rollout.str("status.currentPodHash") == rollout.str("status.stableRS");
    match rollout.str("status.phase").unwrap_or_default() {
        "Healthy" if is_stable => Rollout::Done,
        "Degraded" => Rollout::Failing(format!("Rollout {}: {message}", rollout.name())),
        "Paused" => Rollout::Waiting(Wait::Canary),
        phase => Rollout::Progressing(
            format!("the Rollout is {phase} {message}")
                .trim()
                .to_owned(),
        ),
    }
}

fn holds(object: &Object, condition: &str) -> bool {
    let mut all = object.list("status.conditions").iter();
    all.any(|c| text(c, "type") == condition && text(c, "status") == "True")
}

/// Creation times have whole seconds.
fn made_after(object: &Object, moment: Option<Timestamp>) -> bool {
    let made: Option<Timestamp> = object
        .str("metadata.creationTimestamp")
        .and_then(|t| t.parse().ok());
    made.zip(moment)
        .is_some_and(|(made, moment)| made.as_second() >= moment.as_second())
}

/// Whether a controller counts all of its pods as new and well.
pub fn is_settled(workload: &Object) -> bool {
    let count = |path: &str| workload.int(path);
    let seen = count("status.observedGeneration") >= count("metadata.generation");
    let (wanted, fields) = match workload.kind() {
        "DaemonSet" => (
            count("status.desiredNumberScheduled"),
            ["updatedNumberScheduled", "numberReady"],
        ),
        "StatefulSet" if count("status.updatedReplicas").is_none() => (
            count("spec.replicas").or(Some(1)),
            ["currentReplicas", "readyReplicas"],
        ),
        _ => (
            count("spec.replicas").or(Some(1)),
            ["updatedReplicas", "readyReplicas"],
        ),
    };
    let all = |field: &&str| count(&format!("status.{field}")) == wanted;
    seen && wanted.is_some_and(|w| w > 0) && fields.iter().all(all)
}

/// Pods that are wanted; nothing can be told from none.
fn wanted(workload: &Object) -> i64 {
    match workload.kind() {
        "DaemonSet" => workload.int("status.desiredNumberScheduled").unwrap_or(0),
        _ => workload.int("spec.replicas").unwrap_or(1),
    }
}

fn controlled(observed: &Observed<'_>) -> Rollout {
    let workload = observed.workload;
    let generation = workload.int("metadata.generation").unwrap_or(0);
    if workload.int("status.observedGeneration").unwrap_or(-1) < generation {
        return Rollout::Progressing("its controller has not seen the change yet".to_owned());
    }
    match workload.kind() {
        "Deployment" | "StatefulSet" | "DaemonSet" if wanted(workload) == 0 => {
            Rollout::Waiting(Wait::NoPods)
        }
        "Deployment" => deployment(observed),
        "StatefulSet" => stateful_set(observed),
        "DaemonSet" => daemon_set(observed),
        other => Rollout::Progressing(format!("a {other} has no rollout")),
    }
}

fn deployment(observed: &Observed<'_>) -> Rollout {
    let workload = observed.workload;
    if workload.get("spec.paused").and_then(Value::as_bool) == Some(true) {
        return Rollout::Waiting(Wait::Paused);
    }
    let Some(current) = current_replica_set(workload, observed.children) else {
        return Rollout::Progressing("there is no ReplicaSet of the new template yet".to_owned());
    };
    let pods = pods_with(
        observed,
        "pod-template-hash",
        current.label("pod-template-hash"),
    );
    if let Some(failing) = broken(&pods) {
        return Rollout::Failing(failing);
    }
    if let Some(failing) = deadline_exceeded(observed, current) {
        return Rollout::Failing(failing);
    }
    let wanted = workload.int("spec.replicas").unwrap_or(1);
    let count = |field: &str| workload.int(&format!("status.{field}")).unwrap_or(0);
    if count("updatedReplicas") < wanted {
        return progress(count("updatedReplicas"), wanted, "replicas are updated");
    }
    if count("replicas") > count("updatedReplicas") {
        let old = count("replicas") - count("updatedReplicas");
        return Rollout::Progressing(format!("{old} old pods are still there"));
    }
    if count("availableReplicas") < count("updatedReplicas") {
        return progress(
            count("availableReplicas"),
            count("updatedReplicas"),
            "replicas are available",
        );
    }
    enough_ready(&pods, wanted)
}

/// The ReplicaSet of the template that a Deployment has now.
pub fn current_replica_set<'a>(workload: &Object, children: &[&'a Object]) -> Option<&'a Object> {
    let wanted = workload.get("spec.template.spec");
    let revision = workload.annotation("deployment.kubernetes.io/revision");
    let same_revision = |set: &&&Object| {
        revision.is_some() && set.annotation("deployment.kubernetes.io/revision") == revision
    };
    // the API server fills in the same defaults on both, so the specs can be compared as they are
    let same_template =
        |set: &&&Object| set.kind() == "ReplicaSet" && set.get("spec.template.spec") == wanted;
    let sets = children;
    sets.iter()
        .find(|s| same_revision(s) && same_template(s))
        .or_else(|| sets.iter().find(same_template))
        .copied()
}

/// The deadline's condition, where it is about the new ReplicaSet: it is often left from the
/// failure that the change mends (kubernetes#124264).
fn deadline_exceeded(observed: &Observed<'_>, current: &Object) -> Option<String> {
    let conditions = observed.workload.list("status.conditions");
    let condition = conditions.iter().find(|c| {
        text(c, "type") == "Progressing" && text(c, "reason") == "ProgressDeadlineExceeded"
    })?;
    let message = text(condition, "message");
    let names_new = message.contains(&format!("\"{}\"", current.name()));
    let updated: Option<Timestamp> = text(condition, "lastUpdateTime").parse().ok();
    let is_newer = observed
        .applied_at
        .zip(updated)
        .is_some_and(|(applied, updated)| updated > applied);
    (names_new || (is_newer && !names_other_set(message, observed, current)))
        .then(|| message.to_owned())
}

fn names_other_set(message: &str, observed: &Observed<'_>, current: &Object) -> bool {
    let others = observed
        .children
        .iter()
        .filter(|s| s.name() != current.name());
    others
        .into_iter()
        .any(|s| message.contains(&format!("\"{}\"", s.name())))
}

fn stateful_set(observed: &Observed<'_>) -> Rollout {
    let workload = observed.workload;
    if workload.str("spec.updateStrategy.type") == Some("OnDelete") {
        return on_delete(observed, workload.str("status.updateRevision"));
    }
    let update = workload.str("status.updateRevision");
    let pods = pods_with(observed, "controller-revision-hash", update);
    let wanted = workload.int("spec.replicas").unwrap_or(1);
    let partition = workload
        .int("spec.updateStrategy.rollingUpdate.partition")
        .unwrap_or(0)
        .max(0);
    if let Some(failing) = broken(&pods) {
        return Rollout::Failing(failing);
    }
    let settled = workload.str("status.currentRevision") == update;
    // a settled StatefulSet may leave the count out (kubernetes#76748)
    let updated = workload
        .int("status.updatedReplicas")
        .unwrap_or(if settled { wanted } else { 0 });
    if updated < (wanted - partition).max(0) {
        return blocked(observed, update)
            .unwrap_or_else(|| progress(updated, wanted - partition, "replicas are updated"));
    }
    if partition > 0 && !settled {
        return Rollout::Waiting(Wait::Partition);
    }
    let ready = workload.int("status.readyReplicas").unwrap_or(0);
    if ready < wanted {
        // also where it went back to the revision that it had before the broken one
        return blocked(observed, update)
            .unwrap_or_else(|| progress(ready, wanted, "replicas are ready"));
    }
    if !settled && partition == 0 {
        return Rollout::Progressing("the new revision is not the current one yet".to_owned());
    }
    enough_ready(&pods, wanted - partition)
}

/// An old pod that is not ready keeps an ordered StatefulSet from going on (kubernetes#67250).
fn blocked(observed: &Observed<'_>, update: Option<&str>) -> Option<Rollout> {
    let ordered = observed.workload.str("spec.podManagementPolicy") != Some("Parallel");
    let is_old = |pod: &&&Object| pod.label("controller-revision-hash") != update;
    let stuck = observed
        .pods
        .iter()
        .filter(is_old)
        .any(|pod| !is_ready(pod));
    (ordered && stuck).then_some(Rollout::Waiting(Wait::BrokenPodBlocks))
}

fn daemon_set(observed: &Observed<'_>) -> Rollout {
    let workload = observed.workload;
    let newest = newest_revision(observed);
    if workload.str("spec.updateStrategy.type") == Some("OnDelete") {
        return on_delete(observed, newest);
    }
    let pods = pods_with(observed, "controller-revision-hash", newest);
    if let Some(failing) = broken(&pods) {
        return Rollout::Failing(failing);
    }
    let count = |field: &str| workload.int(&format!("status.{field}")).unwrap_or(0);
    let wanted = count("desiredNumberScheduled");
    if count("updatedNumberScheduled") < wanted {
        return progress(count("updatedNumberScheduled"), wanted, "pods are updated");
    }
    if count("numberAvailable") < wanted {
        return progress(count("numberAvailable"), wanted, "pods are available");
    }
    Rollout::Done
}

/// The hash of the newest pod: a DaemonSet's status names no revision.
fn newest_revision<'a>(observed: &Observed<'a>) -> Option<&'a str> {
    let created = |pod: &&&Object| pod.str("metadata.creationTimestamp").map(str::to_owned);
    let newest = observed.pods.iter().max_by_key(created)?;
    newest.label("controller-revision-hash")
}

/// With OnDelete the controller is done at once, and only people bring the new template to pods.
fn on_delete(observed: &Observed<'_>, newest: Option<&str>) -> Rollout {
    let is_new =
        |pod: &&Object| newest.is_some() && pod.label("controller-revision-hash") == newest;
    let after = |pod: &&Object| {
        let created: Option<Timestamp> = pod
            .str("metadata.creationTimestamp")
            .and_then(|t| t.parse().ok());
        observed
            .applied_at
            .zip(created)
            .is_none_or(|(applied, created)| created > applied)
    };
    let all_new = !observed.pods.is_empty() && observed.pods.iter().all(|p| is_new(p) && after(p));
    match all_new {
        true => enough_ready(observed.pods, wanted(observed.workload)),
        false => Rollout::Waiting(Wait::OnDelete),
    }
}

fn pods_with<'a>(observed: &Observed<'a>, label: &str, hash: Option<&str>) -> Vec<&'a Object> {
    let fits = |pod: &&&Object| hash.is_some() && pod.label(label) == hash;
    observed.pods.iter().filter(fits).copied().collect()
}

/// The first container of the new pods that does not heal by itself.
fn broken(pods: &[&Object]) -> Option<String> {
    pods.iter().find_map(|pod| {
        let statuses = pod.list("status.initContainerStatuses").iter();
        let statuses = statuses.chain(pod.list("status.containerStatuses"));
        let waits = statuses.filter_map(|s| Some((s, s.pointer("/state/waiting")?)));
        let mut bad = waits.filter(|(_, w)| BROKEN.contains(&text(w, "reason")));
        let (status, waiting) = bad.next()?;
        Some(format!(
            "pod {}, container {}: {}",
            pod.name(),
            text(status, "name"),
            text(waiting, "reason")
        ))
    })
}

fn enough_ready(pods: &[&Object], wanted: i64) -> Rollout {
    let ready = pods.iter().filter(|p| is_ready(p)).count();
    let ready = i64::try_from(ready).unwrap_or(i64::MAX);
    if ready < wanted {
        return progress(ready, wanted, "new pods are ready");
    }
    Rollout::Done
}

/// Whether a pod is ready, and stays.
pub fn is_ready(pod: &Object) -> bool {
    let conditions = pod.list("status.conditions");
    conditions
        .iter()
        .any(|c| text(c, "type") == "Ready" && text(c, "status") == "True")
        && pod.get("metadata.deletionTimestamp").is_none()
}

fn progress(have: i64, wanted: i64, what: &str) -> Rollout {
    Rollout::Progressing(format!("{have} of {wanted} {what}"))
}

fn text<'v>(value: &'v Value, key: &str) -> &'v str {
    value.get(key).and_then(Value::as_str).unwrap_or_default()
}

#[cfg(test)]
mod tests;
