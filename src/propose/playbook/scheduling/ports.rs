//! A host port that every node has taken.

use serde_json::Value;

use super::Waiting;
use crate::case::Case;
use crate::code::Code;
use crate::object::{Container, Object};
use crate::path::FieldPath;
use crate::placement::{host_ports, pods_on};
use crate::propose::playbook::build::{Words, and, ask, by_hand, edit, proposal};
use crate::propose::{Answer, Op, Proposal, Unlock};
use crate::snapshot::map_selects;

const PLAY: &str = "host-port";

pub(super) fn run(case: &Case<'_>) -> Option<Answer> {
    let waiting = Waiting::of(case)?;
    let ports = wanted(&waiting);
    let taken: Vec<&HostPort<'_>> = ports
        .iter()
        .filter(|p| !holders(&waiting, p.number).is_empty())
        .collect();
    let one = match (taken.as_slice(), ports.as_slice()) {
        ([only], _) => Some(*only),
        ([], [only]) => Some(only),
        _ => None,
    };
    let fix = one.and_then(|port| removal(&waiting, port));
    Some(fix.map_or_else(|| question(&waiting, &ports), Answer::Fix))
}

/// One host port of the manifest.
struct HostPort<'c> {
    container: Container<'c>,
    path: FieldPath,
    number: i64,
    entry: &'c Value,
}

fn wanted<'c>(waiting: &Waiting<'c>) -> Vec<HostPort<'c>> {
    let mut out = Vec::new();
    for container in waiting.manifest.object.containers() {
        let list = container.path.key("ports");
        let Some(entries) = container.value.get("ports").and_then(Value::as_array) else {
            continue;
        };
        for (index, entry) in entries.iter().enumerate() {
            if let Some(number) = entry.get("hostPort").and_then(Value::as_i64) {
                let path = list.index(index).key("hostPort");
                out.push(HostPort {
                    container: container.clone(),
                    path,
                    number,
                    entry,
                });
            }
        }
    }
    out
}

/// Who holds a host port, on how many of the nodes that the pod may use.
fn holders(waiting: &Waiting<'_>, number: i64) -> Vec<(String, usize)> {
    let snapshot = waiting.case.snapshot;
    let mut out: Vec<(String, usize)> = Vec::new();
    for node in waiting.admitted(waiting.spec) {
        let holds = |pod: &&Object| {
            pod.pod_spec()
                .is_some_and(|s| host_ports(s).iter().any(|(p, _)| *p == number))
        };
        let Some(pod) = pods_on(snapshot, node).find(holds) else {
            continue;
        };
        let owner = snapshot.top_owner(pod).to_string();
        match out.iter_mut().find(|(o, _)| *o == owner) {
            Some((_, count)) => *count += 1,
            None => out.push((owner, 1)),
        }
    }
    out
}

/// The removal, where a Service reaches the container port and the workload is no DaemonSet (there
/// a port of the node is the purpose).
fn removal(waiting: &Waiting<'_>, port: &HostPort<'_>) -> Option<Proposal> {
    let service = service_for(waiting, port)?;
    let own = waiting.name().to_string();
    // it has the port already and wants it once more: it is what the port is for
    let holds_it = holders(waiting, port.number).iter().any(|(o, _)| *o == own);
    if holds_it
        || waiting.name().kind == "DaemonSet"
        || waiting.spec.get("hostNetwork") == Some(&Value::Bool(true))
    {
        return None;
    }
    let number = port.number;
    let basis = format!("Service {service} reaches the container port");
    let edits = vec![edit(
        &waiting.target(),
        port.path.clone(),
        Op::Remove,
        Unlock::HostPortConflict,
        basis,
    )];
    let mut diagnosis = diagnosis(waiting, std::slice::from_ref(port));
    diagnosis.push(format!(
        "Service {service} reaches container port {} without the host port",
        container_port(port)
    ));
    let words = Words {
        play: PLAY,
        title: format!(
            "remove hostPort {number} of container {} of {}",
            port.container.name,
            waiting.name()
        ),
        diagnosis,
        reason: format!(
            "host port {number} is taken on every node that would run the pod, and Service {service} reaches the container without it"
        ),
        after_merge: waiting.after_merge(),
    };
    Some(proposal(words, edits))
}

fn container_port(port: &HostPort<'_>) -> i64 {
    port.entry
        .get("containerPort")
        .and_then(Value::as_i64)
        .unwrap_or(0)
}

/// A Service of Git or cluster that selects the pods and targets the container port.
fn service_for(waiting: &Waiting<'_>, port: &HostPort<'_>) -> Option<String> {
    let labels = waiting.manifest.object.pod_labels();
    let namespace = waiting.manifest.object.namespace();
    let case = waiting.case;
    let all = case
        .desired
        .iter()
        .map(|d| &d.object)
        .chain(case.snapshot.objects());
    let mut services = all.filter(|o| o.kind() == "Service" && o.namespace() == namespace);
    let name = port.entry.get("name").and_then(Value::as_str);
    let targets = |entry: &Value| {
        let target = entry.get("targetPort").or_else(|| entry.get("port"));
        target.and_then(Value::as_i64) == Some(container_port(port))
            || (name.is_some() && target.and_then(Value::as_str) == name)
    };
    let hit = services.find(|s| {
        map_selects(s.map("spec.selector"), labels) && s.list("spec.ports").iter().any(targets)
    });
    hit.map(|s| s.name().to_owned())
}

fn diagnosis(waiting: &Waiting<'_>, ports: &[HostPort<'_>]) -> Vec<String> {
    let mut out = vec![waiting.symptom()];
    for port in ports {
        out.push(format!(
            "container {} asks for hostPort {} (containerPort {})",
            port.container.name,
            port.number,
            container_port(port)
        ));
        for (owner, count) in holders(waiting, port.number) {
            out.push(format!(
                "{owner} holds host port {} on {count} nodes",
                port.number
            ));
        }
    }
    out.push(format!(
        "{} wants {} replicas; {}",
        waiting.name(),
        waiting.replicas(),
        waiting.node_count(&waiting.admitted(waiting.spec))
    ));
    out
}

fn question(waiting: &Waiting<'_>, ports: &[HostPort<'_>]) -> Answer {
    let name = waiting.name();
    let numbers: Vec<String> = ports.iter().map(|p| p.number.to_string()).collect();
    let listed = if numbers.is_empty() {
        "a host port".to_owned()
    } else {
        format!("host port {}", and(&numbers))
    };
    let options = vec![
        by_hand(format!(
            "remove hostPort from {name}, if nothing outside the cluster uses it, and reach the pods through a Service"
        )),
        by_hand(
            "use another host port that is free on the nodes (rule A08: a person makes the change)"
                .to_owned(),
        ),
        by_hand("free the port: move or stop what holds it".to_owned()),
    ];
    let title = format!("{name} needs {listed}, which no node has free: does anything use it?");
    ask(
        Code::OwnerDecision,
        title,
        diagnosis(waiting, ports),
        options,
    )
}
