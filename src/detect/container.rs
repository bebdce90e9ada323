//! Findings of containers: everything that a pod's own status, events and logs show.
//!
//! Only what is wrong now counts: events of pods that are well are history.

use crate::detect::View;
use crate::finding::{Class, Finding, MAX_PODS, Severity};
use crate::object::{Object, ObjectRef};

mod status;
mod symptom;
pub mod text;

use symptom::Symptom;

/// Runs the detectors of this module.
pub fn findings(view: &View<'_>) -> Vec<Finding> {
    let mut groups: Vec<Group<'_>> = Vec::new();
    for pod in view.snapshot.of_kind("Pod").filter(|p| counts(view, p)) {
        let owner = view.snapshot.top_owner(pod);
        if is_taken_away(pod) {
            // how its containers ended says nothing: they were killed with the pod
            if let Some(symptom) = evicted(view, pod) {
                place(&mut groups, &owner, pod, symptom);
            }
            continue;
        }
        for symptom in symptom::of_pod(view, pod) {
            place(&mut groups, &owner, pod, symptom);
        }
    }
    groups.iter().map(|g| finding(view, g)).collect()
}

/// Pods of one owner with the same cause.
struct Group<'a> {
    owner: ObjectRef,
    pods: Vec<&'a Object>,
    symptom: Symptom,
}

/// Whether a pod is a witness of the present.
fn counts(view: &View<'_>, pod: &Object) -> bool {
    let leaving = pod.get("metadata.deletionTimestamp").is_some();
    let done = pod.str("status.phase") == Some("Succeeded");
    !leaving && !done && !is_of_settled_job(view, pod) && !is_replaced(view, pod)
}

/// A pod that was not ended by its containers: evicted, refused by its node, or shut down with it.
fn is_taken_away(pod: &Object) -> bool {
    const REASONS: &[&str] = &[
        "Evicted",
        "Preempting",
        "Shutdown",
        "NodeShutdown",
        "Terminated",
        "NodeAffinity",
        "NodeLost",
        "UnexpectedAdmissionError",
        "OutOfcpu",
        "OutOfmemory",
        "OutOfpods",
    ];
    let reason = pod.str("status.reason").unwrap_or_default();
    pod.str("status.phase") == Some("Failed") && REASONS.contains(&reason)
}

/// A failed pod that stays behind after its owner has made another one.
fn is_replaced(view: &View<'_>, pod: &Object) -> bool {
    let failed = pod.str("status.phase") == Some("Failed");
    let evicted = pod.str("status.reason") == Some("Evicted");
    let owner = view.snapshot.top_owner(pod);
    let makes_others = matches!(
        owner.kind.as_str(),
        "Deployment" | "StatefulSet" | "DaemonSet" | "ReplicaSet"
    );
    failed && !evicted && makes_others && view.snapshot.get(&owner).is_some_and(is_available)
}

/// A pod of a Job that has ended well, or of a Job that its CronJob has followed up with another.
fn is_of_settled_job(view: &View<'_>, pod: &Object) -> bool {
    let Some(job) = view.snapshot.owner(pod).filter(|o| o.kind() == "Job") else {
        return false;
    };
    if is_complete(job) {
        return true;
    }
    let Some(cron) = view.snapshot.owner(job) else {
        return false;
    };
    newest_job(view, cron).is_some_and(|newest| newest.name() != job.name())
}

/// Whether a Job ended well.
pub(super) fn is_complete(job: &Object) -> bool {
    has_condition(job, "Complete", "True")
}

/// Whether an object has this condition in this state.
pub(super) fn has_condition(object: &Object, kind: &str, status: &str) -> bool {
    object.list("status.conditions").iter().any(|c| {
        let text = |key: &str| c.get(key).and_then(serde_json::Value::as_str);
        text("type") == Some(kind) && text("status") == Some(status)
    })
}

/// The newest Job of a CronJob.
pub(super) fn newest_job<'a>(view: &View<'a>, cron: &Object) -> Option<&'a Object> {
    let mut jobs: Vec<&Object> = view
        .snapshot
        .children(cron)
        .into_iter()
        .filter(|o| o.kind() == "Job")
        .collect();
    jobs.sort_by_key(|j| {
        j.str("metadata.creationTimestamp")
            .unwrap_or_default()
            .to_owned()
    });
    jobs.pop()
}

/// Keeps one group for one owner and container: the more telling symptom wins.
fn place<'a>(groups: &mut Vec<Group<'a>>, owner: &ObjectRef, pod: &'a Object, symptom: Symptom) {
    let same = groups.iter_mut().find(|g| {
        g.owner.same_object(owner)
            && (is_same_image(&g.symptom, &symptom)
                || g.symptom.container == symptom.container
                    && (g.symptom.detail == symptom.detail || g.symptom.container.is_some()))
    });
    let Some(group) = same else {
        groups.push(Group {
            owner: owner.clone(),
            pods: vec![pod],
            symptom,
        });
        return;
    };
    if symptom.container != group.symptom.container {
        also(&mut group.symptom, &symptom);
        if !group.pods.iter().any(|p| p.name() == pod.name()) {
            group.pods.push(pod);
        }
        return;
    }
    let better = rank(symptom.class) < rank(group.symptom.class)
        || (rank(symptom.class) == rank(group.symptom.class)
            && knows_more(&symptom, &group.symptom));
    let mild = group.symptom.mild && symptom.mild;
    if better {
        group.pods.insert(0, pod);
        group.symptom = symptom;
    } else {
        group.pods.push(pod);
    }
    group.symptom.mild = mild;
}

/// Two containers that cannot pull one and the same image: one cause.
fn is_same_image(a: &Symptom, b: &Symptom) -> bool {
    let pulls = matches!(
        a.class,
        Class::ImagePullNotFound
            | Class::ImagePullAuth
            | Class::ImagePullFailed
            | Class::ImagePlatform
            | Class::InvalidImageName
    );
    pulls
        && a.class == b.class
        && a.facts.contains_key("image")
        && a.facts.get("image") == b.facts.get("image")
}

/// Remembers another container with the same cause.
fn also(kept: &mut Symptom, other: &Symptom) {
    let Some(name) = &other.container else { return };
    let names = kept.facts.entry("alsoContainers".to_owned()).or_default();
    if !names.split(", ").any(|n| n == name) {
        if !names.is_empty() {
            names.push_str(", ");
        }
        names.push_str(name);
    }
}

fn knows_more(a: &Symptom, b: &Symptom) -> bool {
    a.facts.len() > b.facts.len()
}

/// How telling a class is: the cause before its effect.
fn rank(class: Class) -> u8 {
    match class {
        Class::MissingConfig | Class::MissingSecret => 0,
        Class::OOMKilled | Class::ImagePlatform | Class::RunContainerError => 1,
        Class::ImagePullNotFound | Class::ImagePullAuth | Class::InvalidImageName => 2,
        Class::StartupProbeFailing | Class::LivenessProbeFailing => 3,
        Class::ImagePullFailed | Class::CreateContainerError => 4,
        Class::InitContainerFailing | Class::CrashLoopBackOff => 5,
        Class::ReadinessProbeFailing => 6,
        _ => 7,
    }
}

fn evicted(view: &View<'_>, pod: &Object) -> Option<Symptom> {
    if pod.str("status.reason") != Some("Evicted") {
        return None;
    }
    let message = pod.str("status.message").unwrap_or_default();
    let owner = view.snapshot.top_owner(pod);
    let replaced = view.snapshot.get(&owner).is_some_and(is_available);
    let when = pod
        .list("status.conditions")
        .iter()
        .filter_map(|c| status::time(c.get("lastTransitionTime")))
        .max()
        .or_else(|| status::time(pod.get("status.startTime")));
    let age = when.and_then(|t| status::seconds_between(t, view.now));
    if replaced && age.is_none_or(|age| age > 3_600) {
        return None;
    }
    Some(
        Symptom::bare(Class::Evicted, "Evicted", message)
            .clause(format!("was evicted: {}", text::one_line(message, 240)))
            .fact("replaced", replaced.to_string()),
    )
}

/// Whether a workload has every replica that it wants.
pub(super) fn is_available(owner: &Object) -> bool {
    let wanted = owner.int("spec.replicas").unwrap_or(1);
    owner.int("status.availableReplicas").unwrap_or(0) >= wanted
}

fn finding(view: &View<'_>, group: &Group<'_>) -> Finding {
    let symptom = &group.symptom;
    let object = named_version(view, &group.owner);
    let who = symptom.container.as_ref().map_or_else(String::new, |c| {
        match symptom.facts.get("alsoContainers") {
            Some(more) => format!(", containers {c}, {more}"),
            None => format!(", container {c}"),
        }
    });
    let summary = format!("{object}{who}: {}", symptom.clause);
    let mut finding = Finding::new(symptom.class, severity(view, group), object, summary);
    finding.container.clone_from(&symptom.container);
    finding.reason.clone_from(&symptom.reason);
    finding.message.clone_from(&symptom.message);
    finding.related.clone_from(&symptom.related);
    finding.facts.clone_from(&symptom.facts);
    let count = group.pods.len().to_string();
    finding.facts.insert("podCount".to_owned(), count);
    let pods = group.pods.iter().take(MAX_PODS);
    finding.pods = pods.map(|p| p.reference()).collect();
    finding
}

/// The owner with the API version of its object in the dump, where it is there.
fn named_version(view: &View<'_>, owner: &ObjectRef) -> ObjectRef {
    view.snapshot
        .get(owner)
        .map_or_else(|| owner.clone(), Object::reference)
}

fn severity(view: &View<'_>, group: &Group<'_>) -> Severity {
    let serves = view
        .snapshot
        .get(&group.owner)
        .is_some_and(|o| o.int("status.availableReplicas").unwrap_or(0) > 0);
    if group.symptom.mild || serves {
        Severity::Medium
    } else {
        Severity::High
    }
}
