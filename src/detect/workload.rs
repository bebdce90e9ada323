//! Findings of workloads as a whole: Jobs that gave up, rollouts that stand still, replicas at 0,
//! and faults that only a report and the logs show.

use serde_json::Value;

use crate::detect::View;
use crate::detect::container::{has_condition, is_complete, newest_job, text};
use crate::finding::{Class, Finding, Severity, fact};
use crate::object::{Container, Object, ObjectRef, at};
use crate::report::mentions;

mod job;
mod program;

/// Runs the detectors of this module.
pub fn findings(view: &View<'_>) -> Vec<Finding> {
    let mut out = job::findings(view);
    for kind in ["Deployment", "StatefulSet", "DaemonSet"] {
        out.extend(view.snapshot.of_kind(kind).filter_map(|o| stuck(view, o)));
    }
    let reported = reported(view);
    out.extend(
        view.snapshot
            .objects()
            .iter()
            .filter_map(|o| scaled_to_zero(&reported, o)),
    );
    out.extend(program::findings(view, &reported));
    out.extend(reported.iter().filter_map(|o| application_error(view, o)));
    out
}

/// The workloads and bare pods that the report names, or whose pods or Services it names.
fn reported(view: &View<'_>) -> Vec<ObjectRef> {
    let Some(report) = view.report else {
        return Vec::new();
    };
    let named = mentions(
        &report.text,
        report.namespace.as_deref(),
        view.snapshot,
        view.desired,
    );
    let mut out: Vec<ObjectRef> = Vec::new();
    for object in named.strong.iter().chain(&named.weak) {
        for workload in workloads_behind(view, object) {
            if !out.iter().any(|o| o.same_object(&workload)) {
                out.push(workload);
            }
        }
    }
    out
}

fn workloads_behind(view: &View<'_>, object: &ObjectRef) -> Vec<ObjectRef> {
    let Some(live) = view.snapshot.get(object) else {
        return Vec::new();
    };
    match live.kind() {
        "Service" => {
            let selector = live.map("spec.selector");
            let all = view.snapshot.objects().iter();
            all.filter(|o| o.kind() != "ReplicaSet" && o.kind() != "Pod")
                .filter(|o| o.namespace() == live.namespace() && o.pod_spec_path().is_some())
                .filter(|o| crate::snapshot::map_selects(selector, o.pod_labels()))
                .map(Object::reference)
                .collect()
        }
        _ if live.pod_spec_path().is_some() => vec![view.snapshot.top_owner(live)],
        _ => Vec::new(),
    }
}

/// A workload that does not get the replicas that it wants, though nothing more is known of why.
fn stuck(view: &View<'_>, workload: &Object) -> Option<Finding> {
    if workload.get("spec.paused").and_then(Value::as_bool) == Some(true) {
        return None;
    }
    let (class, wanted, ready) = match workload.kind() {
        "Deployment" => {
            let late = workload.list("status.conditions").iter().any(|c| {
                c.get("reason").and_then(Value::as_str) == Some("ProgressDeadlineExceeded")
            });
            let wanted = workload.int("spec.replicas").unwrap_or(1);
            let ready = workload.int("status.readyReplicas").unwrap_or(0);
            if !late && (ready > 0 || !is_old(view, workload)) {
                return None;
            }
            (Class::ProgressDeadlineExceeded, wanted, ready)
        }
        "StatefulSet" => (
            Class::StatefulSetStuck,
            workload.int("spec.replicas").unwrap_or(1),
            workload.int("status.readyReplicas").unwrap_or(0),
        ),
        _ => (
            Class::ProgressDeadlineExceeded,
            workload.int("status.desiredNumberScheduled").unwrap_or(0),
            workload.int("status.numberReady").unwrap_or(0),
        ),
    };
    let late_rollout = class == Class::ProgressDeadlineExceeded && workload.kind() == "Deployment";
    if wanted == 0 || (ready >= wanted && !late_rollout) || !is_old(view, workload) {
        return None;
    }
    let object = workload.reference();
    let how = if workload.kind() == "Deployment" {
        "its rollout makes no progress"
    } else {
        "it waits for pods that do not become ready"
    };
    let summary = format!("{object}: {how}, {ready} of {wanted} replicas are ready");
    let severity = if ready > 0 {
        Severity::Medium
    } else {
        Severity::High
    };
    let mut finding = Finding::new(class, severity, object, summary)
        .with_fact("ready", ready.to_string())
        .with_fact("wanted", wanted.to_string());
    finding.reason = format!("{class}");
    finding.pods = unready_pods(view, workload);
    Some(finding)
}

/// Older than the grace period, and not just rolled out.
fn is_old(view: &View<'_>, object: &Object) -> bool {
    let changed = object
        .list("status.conditions")
        .iter()
        .filter_map(|c| c.get("lastTransitionTime").and_then(Value::as_str))
        .chain(object.str("metadata.creationTimestamp"))
        .filter_map(|t| t.parse::<jiff::Timestamp>().ok())
        .max();
    changed.is_none_or(|t| {
        view.now.as_second().saturating_sub(t.as_second()) > view.grace.as_secs().cast_signed()
    })
}

fn unready_pods(view: &View<'_>, workload: &Object) -> Vec<ObjectRef> {
    let pods = view.snapshot.pods_of(&workload.reference());
    pods.into_iter()
        .filter(|p| !has_condition(p, "Ready", "True"))
        .map(Object::reference)
        .take(crate::finding::MAX_PODS)
        .collect()
}

fn scaled_to_zero(reported: &[ObjectRef], workload: &Object) -> Option<Finding> {
    let scalable = matches!(workload.kind(), "Deployment" | "StatefulSet" | "Rollout");
    if !scalable || workload.int("spec.replicas") != Some(0) {
        return None;
    }
    let object = workload.reference();
    if !reported.iter().any(|r| r.same_object(&object)) {
        return None;
    }
    let summary = format!("{object} is scaled to 0 replicas, so no pod of it runs");
    let mut finding = Finding::new(Class::ScaledToZero, Severity::High, object, summary);
    finding.reason = "ScaledToZero".to_owned();
    Some(finding.with_fact("replicas", "0"))
}

/// Pods that run and are ready, while their log tells of errors that no manifest explains.
fn application_error(view: &View<'_>, workload: &ObjectRef) -> Option<Finding> {
    for pod in view.snapshot.pods_of(workload) {
        for container in pod.containers() {
            let healthy = has_condition(pod, "Ready", "True") && !container.init;
            if let Some(finding) = healthy
                .then(|| logged_errors(view, workload, pod, &container))
                .flatten()
            {
                return Some(finding);
            }
        }
    }
    None
}

fn logged_errors(
    view: &View<'_>,
    workload: &ObjectRef,
    pod: &Object,
    container: &Container<'_>,
) -> Option<Finding> {
    let namespace = pod.namespace().unwrap_or_default();
    let log = view
        .snapshot
        .log(namespace, pod.name(), container.name, false)?;
    let errors: Vec<String> = text::error_lines(log, 50)
        .into_iter()
        .filter(|l| !is_of_something_else(l))
        .collect();
    let last = errors.last()?;
    let object = view
        .snapshot
        .get(workload)
        .map_or_else(|| workload.clone(), Object::reference);
    let summary = format!(
        "{object}, container {}: it runs, and its log tells of an error of the application: {last}",
        container.name
    );
    let mut finding = Finding::new(Class::ApplicationError, Severity::Medium, object, summary)
        .with_fact(fact::LOG_TAIL, text::tail(log, 20))
        .with_fact(
            "errorLines",
            errors
                .iter()
                .rev()
                .take(3)
                .rev()
                .cloned()
                .collect::<Vec<_>>()
                .join("\n"),
        );
    finding.container = Some(container.name.to_owned());
    finding.message.clone_from(last);
    finding.pods = vec![pod.reference()];
    Some(finding)
}

/// Errors of the network, of DNS and of access are for the detectors of those.
fn is_of_something_else(line: &str) -> bool {
    let line = line.to_ascii_lowercase();
    [
        "connection refused",
        "timed out",
        "timeout",
        "no such host",
        "dial tcp",
        "name resolution",
        "could not resolve",
        "unreachable",
        "forbidden",
        "unavailable",
        "connection reset",
        "eof",
    ]
    .iter()
    .any(|w| line.contains(w))
}

/// Whether a Job's newest state is a failure, and why.
fn failure(job: &Object) -> Option<(String, String)> {
    let failed = job.list("status.conditions").iter().find(|c| {
        let text = |key: &str| c.get(key).and_then(Value::as_str);
        text("type") == Some("Failed") && text("status") == Some("True")
    })?;
    let text = |key: &str| {
        at(failed, key)
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned()
    };
    Some((text("reason"), text("message")))
}

#[cfg(test)]
mod tests;
