//! What keeps pods from all nodes where no manifest field can be proven wrong; and helpers for
//! going back to an earlier placement.

use serde_json::Value;

use super::Waiting;
use crate::case::Case;
use crate::code::Code;
use crate::detect::scheduling::{CAUSE, claims_of};
use crate::lock::equivalent;
use crate::near::misspelled;
use crate::object::{Object, at, list};
use crate::placement::{is_up, node_matches};
use crate::propose::playbook::build::{after, ask, by_hand, edit, refuse};
use crate::propose::{Answer, Choice, Op, ProposedEdit, Unlock};

pub(super) fn run(case: &Case<'_>) -> Option<Answer> {
    let cause = case.finding.fact(CAUSE)?;
    let waiting = Waiting::of(case)?;
    match cause {
        "node-name" => Some(node_name(&waiting)),
        "scheduler-name" => Some(scheduler_name(&waiting)),
        "spread" => Some(spread(&waiting)),
        "scale-up" => Some(refuse(
            Code::NothingWrong,
            format!(
                "{}; wait for the node, and look again if the pods are Pending after 15 minutes",
                case.finding.summary
            ),
        )),
        "volume-node" | "volume" | "volume-conflict" => Some(volumes(&waiting)),
        _ => {
            let nodes = waiting.nodes();
            let down = nodes.iter().filter(|n| !is_up(n)).take(10);
            let down: Vec<&str> = down.map(|n| n.name()).collect();
            let down = if down.is_empty() {
                String::new()
            } else {
                format!("; cordoned or not ready: {}", down.join(", "))
            };
            let count = waiting.node_count(&waiting.admitted(waiting.spec));
            let symptom = waiting.symptom();
            Some(refuse(
                Code::InfrastructureFault,
                format!(
                    "{symptom}; {count}{down}; the nodes have to take pods again (kubectl uncordon, or new nodes), no manifest is at fault"
                ),
            ))
        }
    }
}

/// The pod spec of the manifest with edits carried out.
pub(super) fn spec_after(waiting: &Waiting<'_>, edits: &[ProposedEdit]) -> Option<Value> {
    let value = after(&waiting.manifest.object.value, edits);
    waiting.base.get(&value).cloned()
}

/// The edits that bring keys of the pod spec, and one part of its affinity, back to an earlier one.
pub(super) fn revert(
    waiting: &Waiting<'_>,
    earlier: &Value,
    keys: &[&str],
    part: &str,
    basis: &str,
) -> Vec<ProposedEdit> {
    let mut out = Vec::new();
    for key in keys {
        out.extend(revert_map(waiting, earlier, key, basis));
    }
    out.extend(revert_affinity(waiting, earlier, part, basis));
    out
}

fn revert_map(waiting: &Waiting<'_>, earlier: &Value, key: &str, basis: &str) -> Vec<ProposedEdit> {
    let map = |spec: &Value| {
        spec.get(key)
            .and_then(Value::as_object)
            .cloned()
            .unwrap_or_default()
    };
    let (now, then) = (map(waiting.spec), map(earlier));
    let path = waiting.base.key(key);
    let make = |path, op| {
        edit(
            &waiting.target(),
            path,
            op,
            Unlock::UnschedulablePlacement,
            basis,
        )
    };
    if now.is_empty() || now == then {
        return Vec::new();
    }
    if then.is_empty() {
        return vec![make(path, Op::Remove)];
    }
    let gone = now.keys().filter(|k| !then.contains_key(*k));
    let mut out: Vec<ProposedEdit> = gone.map(|k| make(path.key(k), Op::Remove)).collect();
    for (k, value) in &then {
        match now.get(k) {
            Some(old) if old == value => {}
            Some(_) => out.push(make(path.key(k), Op::Set(value.clone()))),
            None => out.push(make(path.key(k), Op::Add(value.clone()))),
        }
    }
    out
}

fn revert_affinity(
    waiting: &Waiting<'_>,
    earlier: &Value,
    part: &str,
    basis: &str,
) -> Option<ProposedEdit> {
    let affinity = waiting.spec.get("affinity")?.as_object()?;
    let now = affinity.get(part)?;
    let path = waiting.base.key("affinity");
    let make = |path, op| {
        edit(
            &waiting.target(),
            path,
            op,
            Unlock::UnschedulablePlacement,
            basis,
        )
    };
    match at(earlier, "affinity").and_then(|a| a.get(part)) {
        None if affinity.len() == 1 => Some(make(path, Op::Remove)),
        None => Some(make(path.key(part), Op::Remove)),
        Some(then) if equivalent(now, then) => None,
        Some(then) => Some(make(path.key(part), Op::Set(then.clone()))),
    }
}

fn node_name(waiting: &Waiting<'_>) -> Answer {
    let name = waiting.name();
    let node = waiting
        .spec
        .get("nodeName")
        .and_then(Value::as_str)
        .unwrap_or_default();
    let nodes = waiting.nodes();
    let names: Vec<&str> = nodes.iter().map(|n| n.name()).take(10).collect();
    let diagnosis = vec![
        waiting.symptom(),
        format!(
            "spec.nodeName of the pods is {node:?}, which bypasses the scheduler; the nodes are {}",
            names.join(", ")
        ),
    ];
    let mut options = vec![by_hand(format!(
        "remove nodeName from {name} and let the scheduler choose (rule D12: a person makes the change)"
    ))];
    if let Some(near) = misspelled(node, names.iter().copied()) {
        options.push(by_hand(format!(
            "set nodeName to {near}, the nearest name (rule D12: a person makes the change)"
        )));
    }
    let title = format!(
        "{name} is bound to node {node}, which does not exist: should the scheduler choose?"
    );
    ask(Code::ForbiddenByRule, title, diagnosis, options)
}

fn scheduler_name(waiting: &Waiting<'_>) -> Answer {
    let name = waiting.name();
    let scheduler = waiting
        .spec
        .get("schedulerName")
        .and_then(Value::as_str)
        .unwrap_or_default();
    let mut diagnosis = vec![
        waiting.symptom(),
        format!(
            "schedulerName is {scheduler:?}; no event shows that a scheduler of that name exists"
        ),
    ];
    diagnosis.extend(waiting.known_good().iter().find_map(|good| {
        let earlier = waiting
            .spec_of(good)?
            .get("schedulerName")
            .and_then(Value::as_str);
        let earlier = earlier.unwrap_or("default-scheduler");
        (earlier != scheduler).then(|| format!("{} had schedulerName {earlier}", good.basis))
    }));
    let options = vec![
        by_hand(format!(
            "remove schedulerName from {name} (the default scheduler takes over; rule D15: a person makes the change)"
        )),
        by_hand(format!(
            "install or start the scheduler {scheduler} (outside this repository)"
        )),
    ];
    let title = format!(
        "{name} waits for scheduler {scheduler}, which nobody runs: should the default scheduler place it?"
    );
    ask(Code::ForbiddenByRule, title, diagnosis, options)
}

fn spread(waiting: &Waiting<'_>) -> Answer {
    let name = waiting.name();
    let mut diagnosis = vec![
        waiting.symptom(),
        format!("{name} wants {} replicas", waiting.replicas()),
    ];
    let mut keys = Vec::new();
    for constraint in list(waiting.spec, "topologySpreadConstraints") {
        let text = |key: &str| {
            constraint
                .get(key)
                .and_then(Value::as_str)
                .unwrap_or_default()
        };
        let skew = constraint
            .get("maxSkew")
            .and_then(Value::as_i64)
            .unwrap_or(1);
        let with_label = waiting
            .nodes()
            .iter()
            .filter(|n| n.label(text("topologyKey")).is_some())
            .count();
        diagnosis.push(format!(
            "topologySpreadConstraints: topologyKey {}, maxSkew {skew}, whenUnsatisfiable {}; {with_label} nodes have that label",
            text("topologyKey"),
            text("whenUnsatisfiable")
        ));
        keys.push(text("topologyKey").to_owned());
    }
    diagnosis.push(waiting.node_count(&waiting.admitted(waiting.spec)));
    let options = vec![
        by_hand(format!(
            "set whenUnsatisfiable: ScheduleAnyway, or a greater maxSkew, in {name} (rule D13: a person makes the change)"
        )),
        by_hand(format!(
            "label the nodes with {} (outside this repository)",
            keys.join(", ")
        )),
        by_hand("add nodes in the domains that lack room (outside this repository)".to_owned()),
    ];
    let title =
        format!("{name}: the topology spread constraints rule out every node: which gives way?");
    ask(Code::OwnerDecision, title, diagnosis, options)
}

fn volumes(waiting: &Waiting<'_>) -> Answer {
    let name = waiting.name();
    let mut diagnosis = vec![
        waiting.symptom(),
        format!("{name} wants {} replicas", waiting.replicas()),
    ];
    let claims = claims(waiting);
    let mut down: Vec<String> = Vec::new();
    for reference in &claims {
        diagnosis.push(claim_facts(waiting, reference));
        down.extend(nodes_down(waiting, reference));
    }
    down.sort_unstable();
    down.dedup();
    if !down.is_empty() {
        let facts = diagnosis.join("; ");
        let down = down.join(", ");
        return refuse(
            Code::InfrastructureFault,
            format!(
                "{facts}; the volume can be used only on node {down}, which is cordoned or not ready: the node has to come back (kubectl uncordon), no manifest is at fault"
            ),
        );
    }
    let options: Vec<Choice> = vec![
        by_hand("let the pod run where the volume is: relax the node selector or affinity that keeps it away".to_owned()),
        by_hand("use a volume that is reachable from the nodes that the pod may use (ReadWriteMany, or another zone); data has to be moved by hand".to_owned()),
        by_hand("run one replica, or give each replica a claim of its own (needs approval, rule D01)".to_owned()),
    ];
    let title = format!(
        "{name}: its volume cannot be used on any node that the pod may run on: which gives way?"
    );
    ask(Code::OwnerDecision, title, diagnosis, options)
}

/// The claims of a pod that waits, as the cluster has them; else those of the manifest.
fn claims(waiting: &Waiting<'_>) -> Vec<crate::object::ObjectRef> {
    let pods = &waiting.case.finding.pods;
    let live = pods.iter().find_map(|p| waiting.case.snapshot.get(p));
    match live {
        Some(pod) => claims_of(pod),
        None => waiting
            .pod(waiting.spec)
            .map(|p| claims_of(&p))
            .unwrap_or_default(),
    }
}

/// The nodes that a claim's volume is bound to, where none of them takes pods now.
fn nodes_down(waiting: &Waiting<'_>, reference: &crate::object::ObjectRef) -> Vec<String> {
    let snapshot = waiting.case.snapshot;
    let volume = snapshot
        .get(reference)
        .and_then(|claim| snapshot.find("PersistentVolume", None, claim.str("spec.volumeName")?));
    let Some(required) = volume.and_then(|v| v.get("spec.nodeAffinity.required")) else {
        return Vec::new();
    };
    let place = serde_json::json!({"affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": required}}});
    let nodes = waiting.nodes();
    let holders: Vec<&&Object> = nodes.iter().filter(|n| node_matches(&place, n)).collect();
    if holders.iter().any(|n| is_up(n)) {
        return Vec::new();
    }
    holders.iter().map(|n| n.name().to_owned()).collect()
}

/// Access modes, volume and the volume's node affinity, in one sentence.
fn claim_facts(waiting: &Waiting<'_>, reference: &crate::object::ObjectRef) -> String {
    let snapshot = waiting.case.snapshot;
    let Some(claim) = snapshot.get(reference) else {
        return format!("{reference} is not in the dump");
    };
    let modes: Vec<&str> = claim
        .list("spec.accessModes")
        .iter()
        .filter_map(Value::as_str)
        .collect();
    let volume = claim.str("spec.volumeName").unwrap_or_default();
    let phase = claim.str("status.phase").unwrap_or("of unknown phase");
    let bound = snapshot.find("PersistentVolume", None, volume);
    let place = bound.and_then(node_affinity_text).unwrap_or_default();
    format!(
        "{reference} ({}) is {phase}, volume {volume:?}{place}",
        modes.join(", ")
    )
}

fn node_affinity_text(volume: &Object) -> Option<String> {
    let terms = volume.list("spec.nodeAffinity.required.nodeSelectorTerms");
    let expressions = terms.iter().flat_map(|t| list(t, "matchExpressions"));
    let texts: Vec<String> = expressions
        .map(|e| {
            let values: Vec<&str> = list(e, "values").iter().filter_map(Value::as_str).collect();
            format!(
                "{} {}",
                e.get("key").and_then(Value::as_str).unwrap_or_default(),
                values.join("|")
            )
        })
        .collect();
    (!texts.is_empty()).then(|| format!(", usable only on nodes with {}", texts.join(" and ")))
}
