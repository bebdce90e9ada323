//! Plays: PodDisruptionBudgets. A budget is never weakened by kubemend (rule D03).

use serde_json::{Map, Value};

use crate::case::Case;
use crate::code::Code;
use crate::detect::disruption::rule;
use crate::detect::scheduling::CAUSE;
use crate::finding::Class;
use crate::near::misspelled;
use crate::object::Object;
use crate::propose::Answer;
use crate::propose::playbook::Play;
use crate::propose::playbook::build::{and, ask, by_hand, refuse};

/// The plays of this module.
pub const PLAYS: &[Play] = &[Play {
    name: "disruption-budget",
    about: "asks about a budget that blocks every eviction, or protects nothing",
    classes: &[Class::PdbBlocking],
    run,
}];

fn run(case: &Case<'_>) -> Option<Answer> {
    let live = case.snapshot.get(&case.finding.object);
    let pdb = live.or_else(|| case.manifest().map(|m| &m.object))?;
    match case.finding.fact(CAUSE)? {
        "blocks" => Some(blocks(case, pdb)),
        "selects-nothing" => Some(selects_nothing(case, pdb)),
        _ => Some(refuse(Code::NoSafeFix, case.finding.summary.clone())),
    }
}

fn blocks(case: &Case<'_>, pdb: &Object) -> Answer {
    let name = &case.finding.object;
    let rule = rule(pdb);
    let mut diagnosis = vec![case.finding.summary.clone()];
    for owner in &case.finding.related {
        let live = case.snapshot.get(owner);
        let replicas = live.and_then(|o| o.int("spec.replicas"));
        diagnosis.push(match replicas {
            Some(count) => format!("it protects {owner}, which has {count} replicas"),
            None => format!("it protects {owner}"),
        });
    }
    let options = vec![
        by_hand(format!("let {name} allow one disruption: maxUnavailable 1, or a smaller minAvailable (now {rule}; a budget is never weakened by kubemend, rule D03: a person makes the change)")),
        by_hand("run more replicas than the budget demands (changes capacity, needs approval, rule D01)".to_owned()),
        by_hand("keep it, and take the pods down by hand for the drain".to_owned()),
    ];
    let title =
        format!("{name} ({rule}) allows no disruption: is that meant, or should drains work?");
    ask(Code::OwnerDecision, title, diagnosis, options)
}

fn selects_nothing(case: &Case<'_>, pdb: &Object) -> Answer {
    let name = &case.finding.object;
    let mut diagnosis = vec![case.finding.summary.clone()];
    let wanted = pdb.map("spec.selector.matchLabels");
    let near = wanted
        .map(|w| near_labels(case, pdb, w))
        .unwrap_or_default();
    if !near.is_empty() {
        diagnosis.push(format!("pods of the namespace have {}", and(&near)));
    }
    let options = vec![
        by_hand(format!(
            "correct the selector of {name} to the labels of the pods that it should protect (rule D03: a person makes the change)"
        )),
        by_hand(format!(
            "remove {name}, if its workload is gone (rule D03: a person makes the change)"
        )),
    ];
    let title = format!("{name} selects no pod: which pods should it protect?");
    ask(Code::OwnerDecision, title, diagnosis, options)
}

/// Labels of pods that are one slip away from what the selector asks for.
fn near_labels(case: &Case<'_>, pdb: &Object, wanted: &Map<String, Value>) -> Vec<String> {
    let pods = case.snapshot.in_namespace("Pod", pdb.namespace());
    let mut out = Vec::new();
    for (key, value) in wanted {
        let values = pods.iter().filter_map(|p| p.label(key));
        if let Some(near) = value.as_str().and_then(|v| misspelled(v, values)) {
            out.push(format!("{key}={near}"));
        }
    }
    out
}
