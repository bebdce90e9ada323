//! Target ports of Services.

use serde_json::Value;

use crate::case::Case;
use crate::code::Code;
use crate::detect::network::service::{Declared, PortFault, port_faults, port_text, selected};
use crate::detect::network::shown;
use crate::near;
use crate::object::Object;
use crate::path::FieldPath;
use crate::propose::playbook::build::{Words, ask, by_hand, change, edit, proposal, put};
use crate::propose::{Answer, Proposal, ProposedEdit, Unlock};
use crate::report::Known;

use super::object_of;

pub(super) fn run(case: &Case<'_>) -> Option<Answer> {
    let service = object_of(case)?;
    let known = Known::new(case.snapshot, case.desired);
    let workloads: Vec<&Object> = selected(service, &known)
        .into_iter()
        .map(|w| case.desired(&w.reference()).map_or(w, |d| &d.object))
        .collect();
    let faults = port_faults(service, &workloads);
    let mut edits = Vec::new();
    for fault in &faults {
        match meant(fault) {
            Some(target) => edits.push(retarget(service, fault, target)),
            None => return Some(question(case, service, fault)),
        }
    }
    let first = faults.first()?;
    Some(Answer::Fix(fix(service, first, edits)))
}

/// The only port that a target can mean: a slip in a name, the port of the same name or number as
/// the Service's own port, or the only port that there is.
fn meant(fault: &PortFault<'_>) -> Option<Value> {
    let names = fault.declared.iter().filter_map(|d| d.name);
    let by_slip = fault
        .target
        .as_str()
        .and_then(|wrong| near::misspelled(wrong, names));
    let by_name = || {
        let mut hits = fault
            .declared
            .iter()
            .filter(|d| d.name.is_some() && d.name == fault.name);
        hits.next().filter(|_| hits.next().is_none())
    };
    let by_number = || fault.declared.iter().find(|d| d.number == fault.port);
    let only = || match fault.declared.as_slice() {
        [only] => Some(only),
        _ => None,
    };
    if let Some(name) = by_slip {
        return Some(Value::from(name));
    }
    let port = only().or_else(by_name).or_else(by_number)?;
    Some(as_target(port, &fault.target))
}

/// A name stays a name where the port has one.
fn as_target(port: &Declared<'_>, old: &Value) -> Value {
    match port.name.filter(|_| old.is_string()) {
        Some(name) => Value::from(name),
        None => Value::from(port.number),
    }
}

fn retarget(service: &Object, fault: &PortFault<'_>, target: Value) -> ProposedEdit {
    let path = FieldPath::keys(["spec", "ports"])
        .index(fault.index)
        .key("targetPort");
    let op = put(&service.value, &path, target);
    let basis = format!("container ports of {}", fault.workload.reference());
    edit(&service.reference(), path, op, Unlock::PortMismatch, basis)
}

fn fix(service: &Object, fault: &PortFault<'_>, edits: Vec<ProposedEdit>) -> Proposal {
    let wanted = edits.first().map(|e| match &e.op {
        crate::propose::Op::Set(v) | crate::propose::Op::Add(v) => shown(v),
        crate::propose::Op::Remove => String::new(),
    });
    let wanted = wanted.unwrap_or_default();
    proposal(
        Words {
            play: "service-target-port",
            title: format!(
                "send port {} of {} to targetPort {wanted}",
                fault.port,
                service.reference()
            ),
            diagnosis: vec![format!("{}: {}", service.reference(), port_text(fault))],
            reason: format!(
                "Port {wanted} is the one that the pods of {} declare for it; the target {} leads nowhere.",
                fault.workload.reference(),
                shown(&fault.target)
            ),
            after_merge: Vec::new(),
        },
        edits,
    )
}

fn question(case: &Case<'_>, service: &Object, fault: &PortFault<'_>) -> Answer {
    let mut options: Vec<_> = fault
        .declared
        .iter()
        .take(6)
        .map(|d| {
            let target = as_target(d, &fault.target);
            change(fix(service, fault, vec![retarget(service, fault, target)]))
        })
        .collect();
    options.push(by_hand(format!(
        "declare the port {} in the container of {} that listens on it",
        shown(&fault.target),
        fault.workload.reference()
    )));
    ask(
        Code::OwnerDecision,
        format!(
            "To which port of {} should port {} of {} lead?",
            fault.workload.reference(),
            fault.port,
            service.reference()
        ),
        vec![case.finding.summary.clone(), port_text(fault)],
        options,
    )
}
