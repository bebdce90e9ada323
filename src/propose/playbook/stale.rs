//! Plays: pods that are left from an earlier revision of their workload.

use crate::case::Case;
use crate::code::Code;
use crate::finding::Class;
use crate::object::Object;
use crate::propose::Answer;
use crate::propose::playbook::Play;
use crate::propose::playbook::build::{and, refuse};
use crate::propose::playbook::container::subject::{current_set, diagnosis};

/// The plays of this module.
pub const PLAYS: &[Play] = &[Play {
    name: "pods-of-an-earlier-revision",
    about: "says that what fails is left from a revision that was replaced already",
    classes: &[
        Class::CrashLoopBackOff,
        Class::OOMKilled,
        Class::ImagePullNotFound,
        Class::ImagePullAuth,
        Class::ImagePlatform,
        Class::InvalidImageName,
        Class::ImagePullFailed,
        Class::MissingConfig,
        Class::MissingSecret,
        Class::CreateContainerError,
        Class::RunContainerError,
        Class::FailedMount,
        Class::InitContainerFailing,
        Class::LivenessProbeFailing,
        Class::ReadinessProbeFailing,
        Class::StartupProbeFailing,
        Class::UnschedulableResources,
        Class::UnschedulablePlacement,
        Class::UnschedulableTaint,
        Class::HostPortConflict,
        Class::ClaimNotFound,
    ],
    run: left_over,
}];

/// What fails does not run the template that the workload has now: an earlier revision, even the one
/// before it, says nothing about that template.
fn left_over(case: &Case<'_>) -> Option<Answer> {
    let live = case.snapshot.get(&case.finding.object)?;
    let current = current_revision(case, live)?;
    let is_current = |pod: &Object| pod.label(current.label) == Some(current.hash);
    let failing = case.finding.pods.iter();
    let failing: Vec<&Object> = failing.filter_map(|p| case.snapshot.get(p)).collect();
    let is_left = !failing.is_empty() && !failing.iter().any(|p| is_current(p));
    let pods = case.snapshot.pods_of(&case.finding.object);
    let mut others = pods.into_iter().filter(|p| is_current(p));
    if !is_left || others.any(|p| !is_ready(p)) {
        return None;
    }
    let names: Vec<String> = failing.iter().map(|p| p.name().to_owned()).collect();
    let mut message = format!(
        "{}. {} {} left from an earlier revision; {} is at {} now",
        diagnosis(case).join("; "),
        and(&names),
        if names.len() == 1 { "is" } else { "are" },
        case.finding.object,
        current.hash
    );
    if waits_for_people(live) {
        message += &format!(": {}", delete(live, &names));
    }
    Some(refuse(Code::PendingSync, message))
}

/// What people have to do after a fix of this failure is applied: an ordered StatefulSet does not
/// replace a pod that never became ready (kubernetes#67250).
pub(super) fn after_merge(case: &Case<'_>) -> Option<String> {
    let live = case.snapshot.get(&case.finding.object)?;
    let pods = case.finding.pods.iter();
    let failing: Vec<String> = pods
        .filter_map(|p| case.snapshot.get(p))
        .filter(|p| !is_ready(p))
        .map(|p| p.name().to_owned())
        .collect();
    let is_needed = waits_for_people(live) && !failing.is_empty();
    is_needed.then(|| format!("once it is applied, {}", delete(live, &failing)))
}

fn waits_for_people(live: &Object) -> bool {
    let on_delete = live.str("spec.updateStrategy.type") == Some("OnDelete");
    let is_ordered = live.str("spec.podManagementPolicy") != Some("Parallel");
    match live.kind() {
        "StatefulSet" => on_delete || is_ordered,
        _ => on_delete,
    }
}

fn delete(live: &Object, pods: &[String]) -> String {
    let one = pods.len() == 1;
    let why = match live.str("spec.updateStrategy.type") {
        Some("OnDelete") => "pods get a new template only when they are deleted (OnDelete)",
        _ => "an ordered StatefulSet does not replace a pod that is not ready",
    };
    let namespace = live.namespace().unwrap_or("default");
    format!(
        "delete the {} {} of namespace {namespace} by hand: {why}",
        if one { "pod" } else { "pods" },
        and(pods)
    )
}

/// How pods of the newest revision are labelled.
struct Revision<'c> {
    label: &'static str,
    hash: &'c str,
}

fn current_revision<'c>(case: &Case<'c>, live: &'c Object) -> Option<Revision<'c>> {
    let is_seen = live.int("status.observedGeneration") == live.int("metadata.generation");
    let (label, hash) = match live.kind() {
        _ if !is_seen => return None,
        "StatefulSet" => (
            "controller-revision-hash",
            live.str("status.updateRevision")?,
        ),
        "DaemonSet" => {
            let children = case.snapshot.children(live).into_iter();
            let revisions = children.filter(|o| o.kind() == "ControllerRevision");
            let newest = revisions.max_by_key(|o| o.int("revision").unwrap_or(0))?;
            let label = "controller-revision-hash";
            (label, newest.label(label)?)
        }
        "Deployment" => {
            let label = "pod-template-hash";
            (label, current_set(case, live)?.label(label)?)
        }
        _ => return None,
    };
    Some(Revision { label, hash })
}

fn is_ready(pod: &Object) -> bool {
    pod.list("status.conditions").iter().any(|c| {
        let is = |key: &str, value: &str| c.get(key).and_then(|v| v.as_str()) == Some(value);
        is("type", "Ready") && is("status", "True")
    })
}

#[cfg(test)]
mod tests;
