//! Autoscalers and disruption budgets.

use serde_json::Value;

use super::network::unmatched;
use crate::code::Code;
use crate::detect::disruption::rule as budget_rule;
use crate::near;
use crate::object::Object;
use crate::path::FieldPath;
use crate::scan::draft::{Draft, Look, is_literal};
use crate::scan::rules;
use crate::snapshot::selector_matches;

const SCALABLE: [&str; 4] = [
    "Deployment",
    "StatefulSet",
    "ReplicaSet",
    "ReplicationController",
];

pub(super) fn autoscalers(look: &Look<'_>) -> Vec<Draft> {
    let objects = look.members.iter().map(|d| &d.object);
    let scalers = objects.filter(|o| o.kind() == "HorizontalPodAutoscaler");
    scalers.filter_map(|hpa| autoscaler(look, hpa)).collect()
}

fn autoscaler(look: &Look<'_>, hpa: &Object) -> Option<Draft> {
    let kind = hpa.str("spec.scaleTargetRef.kind")?;
    let name = hpa.str("spec.scaleTargetRef.name")?;
    if !SCALABLE.contains(&kind) || !is_literal(name) {
        return None;
    }
    match look.known.find(kind, hpa.namespace(), name) {
        Some(target) => fixed_replicas(hpa, target),
        None => lost_target(look, hpa, kind, name),
    }
}

fn fixed_replicas(hpa: &Object, target: &Object) -> Option<Draft> {
    let replicas = target.int("spec.replicas")?;
    let message = format!(
        "{} has replicas {replicas} in Git, and {} scales it: every sync sets the number back",
        target.reference(),
        hpa.reference()
    );
    let path = FieldPath::keys(["spec", "replicas"]);
    let draft = Draft::new(&rules::FIXED_REPLICAS, target, path, message);
    Some(draft.person(
        Code::BlockedReplicas,
        "removing replicas changes capacity once, so a person does it (rule D01)",
    ))
}

fn lost_target(look: &Look<'_>, hpa: &Object, kind: &str, name: &str) -> Option<Draft> {
    let ns = hpa.namespace();
    if look.world.defines(kind, ns, name) || look.world.mentions(name) {
        return None;
    }
    let all = look.known.all(kind, ns);
    let near = near::misspelled(name, all.iter().map(|o| o.name()));
    let text = |why: &str| format!("{}: there is no {kind} {name}{why}", hpa.reference());
    let path = FieldPath::keys(["spec", "scaleTargetRef", "name"]);
    let draft = |message: String| {
        Draft::new(&rules::SCALE_TARGET, hpa, path.clone(), message).person(
            Code::LockedField,
            "the target of an autoscaler is not changed by kubemend (rule D02)",
        )
    };
    match near {
        Some(right) => Some(draft(text(&format!("; {kind} {right} is one slip away")))),
        None => look
            .world
            .is_whole(ns)
            .then(|| draft(text(" in the repository"))),
    }
}

pub(super) fn budgets(look: &Look<'_>) -> Vec<Draft> {
    let objects = look.members.iter().map(|d| &d.object);
    let budgets = objects.filter(|o| o.kind() == "PodDisruptionBudget");
    budgets.filter_map(|pdb| budget(look, pdb)).collect()
}

fn budget(look: &Look<'_>, pdb: &Object) -> Option<Draft> {
    let selector = pdb.get("spec.selector")?;
    if let Some(near) = unmatched(look, pdb, selector) {
        let path = FieldPath::keys(["spec", "selector"]);
        let message = format!("{}: the selector matches no pods{near}", pdb.reference());
        let draft = Draft::new(&rules::BUDGET_SELECTOR, pdb, path, message);
        return Some(draft.person(
            Code::ForbiddenByRule,
            "a budget is changed by a person only (rule D03)",
        ));
    }
    let workloads = look.known.workloads(pdb.namespace());
    let protects = |w: &&Object| selector_matches(Some(selector), w.pod_labels());
    let mut protected = workloads.into_iter().filter(protects);
    let only = protected.next()?;
    if protected.next().is_some() {
        return None;
    }
    let replicas = replicas(look, only)?;
    let (path, needed) = demanded(pdb, replicas)?;
    (needed >= replicas).then(|| {
        let message = format!(
            "{}: {} demands {needed} of the {replicas} pods of {}, so none can ever be evicted and a node drain hangs",
            pdb.reference(),
            budget_rule(pdb),
            only.reference()
        );
        let draft = Draft::new(&rules::BUDGET_BLOCKS, pdb, path, message);
        draft.person(
            Code::ForbiddenByRule,
            "a budget is never weakened by kubemend (rule D03)",
        )
    })
}

/// The pods of a workload as Git says it; none where something else says it.
fn replicas(look: &Look<'_>, workload: &Object) -> Option<i64> {
    if !matches!(workload.kind(), "Deployment" | "StatefulSet") {
        return None;
    }
    let scaled = |o: &&Object| o.str("spec.scaleTargetRef.name") == Some(workload.name());
    let all = ["HorizontalPodAutoscaler", "ScaledObject"];
    let scaler = all.iter().find_map(|kind| {
        let here = look.known.all(kind, workload.namespace());
        here.into_iter().find(scaled)
    });
    match scaler {
        Some(hpa) => hpa.int("spec.minReplicas"),
        None => Some(workload.int("spec.replicas").unwrap_or(1)),
    }
    .filter(|n| *n > 0)
}

/// How many pods a budget demands of so many, and where it says so.
fn demanded(pdb: &Object, replicas: i64) -> Option<(FieldPath, i64)> {
    let spec = FieldPath::keys(["spec"]);
    let amount = |value: &Value| match value {
        Value::Number(n) => n.as_i64(),
        Value::String(text) => {
            let percent: i64 = text.strip_suffix('%')?.parse().ok()?;
            Some(replicas.saturating_mul(percent).saturating_add(99) / 100)
        }
        _ => None,
    };
    if let Some(least) = pdb.get("spec.minAvailable") {
        return Some((spec.key("minAvailable"), amount(least)?));
    }
    let most = amount(pdb.get("spec.maxUnavailable")?)?;
    Some((spec.key("maxUnavailable"), replicas.saturating_sub(most)))
}
