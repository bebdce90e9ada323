//! Findings: claims that stay Pending, and volumes that two nodes want at once.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use jiff::Timestamp;
use regex::Regex;
use serde_json::Value;

use crate::detect::View;
use crate::detect::scheduling::{CAUSE, claims_of};
use crate::finding::{Class, Finding, MAX_PODS, Severity, fact};
use crate::object::{Object, ObjectRef};
use crate::snapshot::{Event, Existence};

/// The claim that the finding is about.
pub const CLAIM: &str = "claim";
/// The claim template of a StatefulSet that made the claim.
pub const TEMPLATE: &str = "template";
/// The volume that two nodes want.
pub const VOLUME: &str = "volume";

/// Runs the detectors of this module.
pub fn findings(view: &View<'_>) -> Vec<Finding> {
    let mut out = pending_claims(view);
    out.extend(attached_twice(view));
    out
}

/// Whether this module reports the claim as a cause of its own.
pub fn reports(view: &View<'_>, claim: &ObjectRef) -> bool {
    let live = view.snapshot.get(claim);
    live.is_some_and(|c| why_pending(view, c).is_some())
}

fn pending_claims(view: &View<'_>) -> Vec<Finding> {
    let mut out: BTreeMap<(ObjectRef, &str, String), Finding> = BTreeMap::new();
    for claim in view.snapshot.of_kind("PersistentVolumeClaim") {
        let Some(why) = why_pending(view, claim) else {
            continue;
        };
        let template = template_of(view, claim);
        let subject = match &template {
            Some((set, _)) => set.clone(),
            None => claim.reference(),
        };
        let key = (subject.clone(), why.cause, why.missing.clone());
        let finding = out
            .entry(key)
            .or_insert_with(|| pending(claim, subject, &why, template.map(|(_, name)| name)));
        add_users(view, finding, claim);
    }
    out.into_values().collect()
}

fn pending(claim: &Object, subject: ObjectRef, why: &Why, template: Option<String>) -> Finding {
    let name = claim.reference();
    let summary = format!("{name} stays Pending: {}", why.words);
    let mut finding = Finding::new(Class::PvcPending, Severity::High, subject, summary)
        .with_fact(CAUSE, why.cause)
        .with_fact(CLAIM, claim.name());
    finding.reason = why.reason.clone();
    finding.message = why.message.clone();
    if !why.missing.is_empty() {
        finding = finding
            .with_fact(fact::MISSING_KIND, why.missing_kind)
            .with_fact(fact::MISSING_NAME, &why.missing);
    }
    if let Some(template) = template {
        finding = finding.with_fact(TEMPLATE, template);
    }
    finding
}

/// The pods that mount the claim, and their owners.
fn add_users(view: &View<'_>, finding: &mut Finding, claim: &Object) {
    let name = claim.reference();
    if !finding.related.contains(&name) && !finding.object.same_object(&name) {
        finding.related.push(name.clone());
    }
    for pod in view.snapshot.of_kind("Pod") {
        if !claims_of(pod).iter().any(|c| c.same_object(&name)) {
            continue;
        }
        if finding.pods.len() < MAX_PODS {
            finding.pods.push(pod.reference());
        }
        let owner = view.snapshot.top_owner(pod);
        if !finding.related.contains(&owner) && !owner.same_object(&finding.object) {
            finding.related.push(owner);
        }
    }
}

/// The StatefulSet and claim template that a claim was made from: `<template>-<set>-<ordinal>`.
fn template_of(view: &View<'_>, claim: &Object) -> Option<(ObjectRef, String)> {
    let (stem, ordinal) = claim.name().rsplit_once('-')?;
    ordinal.parse::<u32>().ok()?;
    let sets = view.snapshot.in_namespace("StatefulSet", claim.namespace());
    let desired = view.desired.iter().map(|d| &d.object);
    let desired =
        desired.filter(|o| o.kind() == "StatefulSet" && o.namespace() == claim.namespace());
    sets.into_iter().chain(desired).find_map(|set| {
        let template = stem.strip_suffix(set.name())?.strip_suffix('-')?;
        let known = set.list("spec.volumeClaimTemplates").iter().any(|t| {
            crate::object::at(t, "metadata.name").and_then(Value::as_str) == Some(template)
        });
        known.then(|| (set.reference(), template.to_owned()))
    })
}

/// Why a claim stays Pending.
struct Why {
    cause: &'static str,
    words: String,
    reason: String,
    message: String,
    missing_kind: &'static str,
    missing: String,
}

impl Why {
    fn new(cause: &'static str, words: String) -> Self {
        Self {
            cause,
            words,
            reason: String::new(),
            message: String::new(),
            missing_kind: "",
            missing: String::new(),
        }
    }

    fn said_by(mut self, event: Option<&Event>) -> Self {
        if let Some(event) = event {
            self.reason.clone_from(&event.reason);
            self.message = flat(&event.message);
        }
        self
    }

    fn missing(mut self, kind: &'static str, name: &str) -> Self {
        self.missing_kind = kind;
        name.clone_into(&mut self.missing);
        self
    }
}

fn flat(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

static NO_CLASS: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r#"storageclass(?:\.storage\.k8s\.io)? "([^"]+)" not found"#)
        .expect("a constant pattern")
});

/// The cause, or none where the claim is bound, young, or waits for its first consumer.
fn why_pending(view: &View<'_>, claim: &Object) -> Option<Why> {
    let phase = claim.str("status.phase").unwrap_or("Pending");
    if phase == "Lost" {
        let volume = claim.str("spec.volumeName").unwrap_or_default();
        let words = format!("phase Lost: its volume {volume} is gone");
        return Some(Why::new("lost", words).missing("PersistentVolume", volume));
    }
    if phase != "Pending" || !is_old(view, claim) {
        return None;
    }
    let events = view.snapshot.events_for(&claim.reference());
    let last = |reason: &str| events.iter().rev().find(|e| e.reason == reason).copied();
    no_class(view, claim, last("ProvisioningFailed"))
        .or_else(|| missing_volume(view, claim))
        .or_else(|| no_default_class(claim, last("FailedBinding")))
        .or_else(|| {
            let event = last("ProvisioningFailed")?;
            let words = format!("provisioning failed: {}", flat(&event.message));
            Some(Why::new("provisioning", words).said_by(Some(event)))
        })
        .or_else(|| waits_for_provisioner(last("ExternalProvisioning")))
        .or_else(|| no_event(view, claim))
}

fn is_old(view: &View<'_>, object: &Object) -> bool {
    let created = object.str("metadata.creationTimestamp");
    let Some(created) = created.and_then(|t| t.parse::<Timestamp>().ok()) else {
        return true;
    };
    let grace = i64::try_from(view.grace.as_secs()).unwrap_or(i64::MAX);
    view.now.duration_since(created).as_secs() >= grace
}

fn class_name(claim: &Object) -> Option<&str> {
    claim
        .str("spec.storageClassName")
        .or_else(|| claim.annotation("volume.beta.kubernetes.io/storage-class"))
}

/// The class does not exist: the provisioner says so, or the dump lists classes without it. A
/// class of that name need not exist where a volume carries it (static provisioning).
fn no_class(view: &View<'_>, claim: &Object, failed: Option<&Event>) -> Option<Why> {
    let class = class_name(claim).filter(|c| !c.is_empty())?;
    let said = failed.is_some_and(|e| {
        NO_CLASS
            .captures(&flat(&e.message))
            .is_some_and(|c| c.get(1).map(|m| m.as_str()) == Some(class))
    });
    let listed = view.snapshot.existence("StorageClass", None, class) == Existence::Absent;
    if !said && !listed {
        return None;
    }
    let volumes = view.snapshot.of_kind("PersistentVolume");
    let made_by_hand = volumes
        .filter(|v| v.str("spec.storageClassName") == Some(class))
        .count();
    if made_by_hand > 0 {
        let words = format!(
            "{made_by_hand} PersistentVolumes of class {class} exist, and none of them fits or is free"
        );
        return Some(Why::new("no-volume-fits", words).said_by(failed));
    }
    let words = format!("StorageClass {class} not found");
    Some(
        Why::new("no-class", words)
            .said_by(failed)
            .missing("StorageClass", class),
    )
}

fn missing_volume(view: &View<'_>, claim: &Object) -> Option<Why> {
    let volume = claim.str("spec.volumeName").filter(|v| !v.is_empty())?;
    let gone = view.snapshot.existence("PersistentVolume", None, volume) == Existence::Absent;
    gone.then(|| {
        let words = format!("it names PersistentVolume {volume}, which does not exist");
        Why::new("no-volume", words).missing("PersistentVolume", volume)
    })
}

/// `no persistent volumes available for this claim and no storage class is set`
fn no_default_class(claim: &Object, failed: Option<&Event>) -> Option<Why> {
    let event = failed?;
    let unset = class_name(claim).is_none_or(str::is_empty);
    if unset && flat(&event.message).contains("no storage class is set") {
        let cause = if class_name(claim) == Some("") {
            "static-only"
        } else {
            "no-class-set"
        };
        let words = match cause {
            "static-only" => {
                "storageClassName is empty, which allows no provisioning, and no free PersistentVolume fits"
            }
            _ => {
                "it names no StorageClass, the cluster has no default one, and no free PersistentVolume fits"
            }
        };
        return Some(Why::new(cause, words.to_owned()).said_by(Some(event)));
    }
    let words = format!("binding failed: {}", flat(&event.message));
    Some(Why::new("no-volume-fits", words).said_by(Some(event)))
}

fn waits_for_provisioner(event: Option<&Event>) -> Option<Why> {
    let event = event?;
    let words = format!("no provisioner answers: {}", flat(&event.message));
    Some(Why::new("no-provisioner", words).said_by(Some(event)))
}

/// Events have expired: without a class and with classes listed, none of which is the default.
fn no_event(view: &View<'_>, claim: &Object) -> Option<Why> {
    let mut classes = view.snapshot.of_kind("StorageClass").peekable();
    let any = classes.peek().is_some();
    if class_name(claim).is_some() || !any || classes.any(is_default) {
        return None;
    }
    let words = "it names no StorageClass, and the cluster has no default one".to_owned();
    Some(Why::new("no-class-set", words))
}

/// Whether a StorageClass is the cluster's default.
pub fn is_default(class: &Object) -> bool {
    [
        "storageclass.kubernetes.io/is-default-class",
        "storageclass.beta.kubernetes.io/is-default-class",
    ]
    .iter()
    .any(|key| class.annotation(key) == Some("true"))
}

static MULTI_ATTACH: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r#"Multi-Attach error for volume "([^"]+)""#).expect("a constant pattern")
});

/// A ReadWriteOnce volume that pods on two nodes want.
fn attached_twice(view: &View<'_>) -> Vec<Finding> {
    let mut out: BTreeMap<(ObjectRef, String), Finding> = BTreeMap::new();
    for event in view.snapshot.events() {
        let message = flat(&event.message);
        let Some(volume) = MULTI_ATTACH.captures(&message).and_then(|c| c.get(1)) else {
            continue;
        };
        let Some(pod) = view.snapshot.get(&event.object).filter(|p| is_waiting(p)) else {
            continue;
        };
        let volume = volume.as_str().to_owned();
        let owner = view.snapshot.top_owner(pod);
        let entry = out.entry((owner.clone(), volume.clone()));
        let finding = entry.or_insert_with(|| multi_attach(view, owner, pod, &volume));
        finding.reason.clone_from(&event.reason);
        finding.message = message.clone();
        if finding.pods.len() < MAX_PODS && !finding.pods.contains(&event.object) {
            finding.pods.push(pod.reference());
        }
    }
    out.into_values().collect()
}

fn is_waiting(pod: &Object) -> bool {
    pod.str("status.phase").unwrap_or("Pending") == "Pending"
        && pod.get("metadata.deletionTimestamp").is_none()
}

fn multi_attach(view: &View<'_>, owner: ObjectRef, pod: &Object, volume: &str) -> Finding {
    let claims = claims_of(pod);
    let bound = |c: &&ObjectRef| {
        view.snapshot
            .get(c)
            .is_some_and(|o| o.str("spec.volumeName") == Some(volume))
    };
    let claim = match (claims.iter().find(bound), claims.as_slice()) {
        (Some(claim), _) | (None, [claim]) => Some(claim.clone()),
        _ => None,
    };
    let named = claim
        .as_ref()
        .map_or_else(|| format!("volume {volume}"), ToString::to_string);
    let summary = format!(
        "{owner}: {named} is attached to another node, and a pod on a second node waits for it"
    );
    let mut finding = Finding::new(Class::FailedAttachVolume, Severity::High, owner, summary)
        .with_fact(CAUSE, "multi-attach")
        .with_fact(VOLUME, volume);
    if let Some(claim) = claim {
        finding = finding.with_fact(CLAIM, &claim.name);
        finding.related.push(claim);
    }
    finding
}

#[cfg(test)]
mod tests;
