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
    if let Some(todo) = by_hand(live, &names) {
        message += &format!(": {todo}");
    }
    let code = match names.iter().any(|pod| hold(live, pod).is_some()) {
        true => Code::RolloutHeld,
        false => Code::PendingSync,
    };
    Some(refuse(code, message))
}

/// What keeps a pod on its template by intention.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Hold {
    /// It is replaced when somebody deletes it.
    OnDelete,
    /// It is made from the same template again, even when somebody deletes it.
    Partition(i64),
}

fn hold(live: &Object, pod: &str) -> Option<Hold> {
    if live.str("spec.updateStrategy.type") == Some("OnDelete") {
        return Some(Hold::OnDelete);
    }
    let partition = live.int("spec.updateStrategy.rollingUpdate.partition")?;
    let ordinal: i64 = pod.rsplit_once('-')?.1.parse().ok()?;
    let first = live.int("spec.ordinals.start").unwrap_or(0);
    let is_below = ordinal < first.saturating_add(partition);
    (live.kind() == "StatefulSet" && is_below).then_some(Hold::Partition(partition))
}

/// What people have to do after a fix of this failure is applied: an ordered StatefulSet does not
/// replace a pod that never became ready (kubernetes#67250), and an update strategy may keep it.
pub(super) fn after_merge(case: &Case<'_>) -> Option<String> {
    let live = case.snapshot.get(&case.finding.object)?;
    let pods = case.finding.pods.iter();
    let failing: Vec<String> = pods
        .filter_map(|p| case.snapshot.get(p))
        .filter(|p| !is_ready(p))
        .map(|p| p.name().to_owned())
        .collect();
    let todo = by_hand(live, &failing)?;
    Some(format!("once it is applied, {todo}"))
}

/// What people have to do until these pods run another template; `None` where the controller does it.
fn by_hand(live: &Object, pods: &[String]) -> Option<String> {
    let held = |wanted: fn(Option<Hold>) -> bool| -> Vec<String> {
        let all = pods.iter().filter(|pod| wanted(hold(live, pod)));
        all.cloned().collect()
    };
    let below = held(|h| matches!(h, Some(Hold::Partition(_))));
    let deleted = held(|h| h == Some(Hold::OnDelete));
    let rest = held(|h| h.is_none());
    let is_ordered =
        live.kind() == "StatefulSet" && live.str("spec.podManagementPolicy") != Some("Parallel");
    let mut all = Vec::new();
    if let Some(Hold::Partition(partition)) = below.first().and_then(|pod| hold(live, pod)) {
        all.push(format!(
            "lower partition {partition} of its update strategy, which keeps {} on the earlier template even when deleted",
            and(&below)
        ));
    }
    if !deleted.is_empty() {
        let why = "pods get a new template only when they are deleted (OnDelete)";
        all.push(delete(live, &deleted, why));
    }
    if is_ordered && !rest.is_empty() {
        let why = "an ordered StatefulSet does not replace a pod that is not ready";
        all.push(delete(live, &rest, why));
    }
    (!all.is_empty()).then(|| all.join("; "))
}

fn delete(live: &Object, pods: &[String], why: &str) -> String {
    let namespace = live.namespace().unwrap_or("default");
    format!(
        "delete the {} {} of namespace {namespace} by hand: {why}",
        if pods.len() == 1 { "pod" } else { "pods" },
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
