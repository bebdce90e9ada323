//! Ports, selectors, backends, host ports.

use super::{bounds, not_unlocked};
use crate::lock::Attempt;
use crate::lock::Judged;
use crate::lock::Verdict;
use crate::lock::facts::find;
use crate::object::Object;
use crate::object::at;
use crate::propose::Op;
use crate::snapshot::map_selects;
use serde_json::Value;

pub(super) fn port(attempt: &Attempt<'_>) -> Judged {
    if attempt.manifest.object.kind() != "Service" {
        return container_port(attempt);
    }
    match attempt.place.object().as_deref() {
        Some(["spec", "ports", "*", "targetPort"]) => target_port(attempt),
        Some(["spec", "selector", ..]) => selector(attempt),
        _ => not_unlocked(attempt),
    }
}

fn container_port(attempt: &Attempt<'_>) -> Judged {
    match attempt.place.container().as_deref() {
        Some(["ports", "*", "containerPort" | "name"]) => {
            if attempt
                .after
                .and_then(Value::as_i64)
                .is_some_and(|p| p < 1024 && p != 80 && p != 443)
            {
                return bounds("a privileged port (rule C17)");
            }
            Ok(Verdict::Human("C17"))
        }
        _ => not_unlocked(attempt),
    }
}

/// The workloads of Git and cluster whose pods a Service selects after the change.
fn selected<'c>(attempt: &'c Attempt<'_>) -> Vec<&'c Object> {
    let wanted = attempt.result.map("spec.selector");
    let namespace = attempt.manifest.object.namespace();
    let workloads = attempt
        .case
        .desired
        .iter()
        .map(|d| &d.object)
        .filter(|o| o.pod_spec_path().is_some());
    let mut hits: Vec<&Object> = workloads
        .filter(|o| o.namespace() == namespace && map_selects(wanted, o.pod_labels()))
        .collect();
    if hits.is_empty() {
        let pods = attempt.case.snapshot.of_kind("Pod");
        hits = pods
            .filter(|p| p.namespace() == namespace && map_selects(wanted, p.pod_labels()))
            .collect();
        hits.dedup_by_key(|p| attempt.case.snapshot.top_owner(p));
    }
    hits
}

fn target_port(attempt: &Attempt<'_>) -> Judged {
    let Some(port) = attempt.after else {
        return not_unlocked(attempt);
    };
    let workloads = selected(attempt);
    let declares = |o: &&Object| {
        o.containers().iter().any(|c| {
            c.list("ports")
                .iter()
                .any(|p| p.get("containerPort") == Some(port) || p.get("name") == Some(port))
        })
    };
    if workloads.is_empty() || !workloads.iter().all(declares) {
        return bounds(format!("the selected pods do not all declare port {port}"));
    }
    // declaring a port is only documentation: a person confirms when a number is replaced
    let number = attempt.before.is_some_and(Value::is_number);
    Ok(if number {
        Verdict::Human("E05")
    } else {
        Verdict::Allow
    })
}

pub(super) fn selector(attempt: &Attempt<'_>) -> Judged {
    let hits = selected(attempt);
    match hits.as_slice() {
        [_one] => Ok(Verdict::Human("E04")),
        [] => bounds("the selector would match no pod"),
        many => bounds(format!("the selector would match {} workloads", many.len())),
    }
}

pub(super) fn host_port(attempt: &Attempt<'_>) -> Judged {
    match (attempt.place.container().as_deref(), &attempt.edit.op) {
        (Some(["ports", "*", "hostPort"]), Op::Remove) if reached_by_service(attempt) => {
            Ok(Verdict::Human("A08"))
        }
        (Some(["ports", "*", "hostPort"]), Op::Remove) => {
            bounds("no Service is known to reach the container port without the host port")
        }
        _ => not_unlocked(attempt),
    }
}

/// Whether a Service selects the pods and targets the container port whose host port goes.
fn reached_by_service(attempt: &Attempt<'_>) -> bool {
    let object = &attempt.manifest.object;
    let Some(port) = attempt
        .edit
        .path
        .split_last()
        .and_then(|(entry, _)| entry.get(&object.value))
    else {
        return false;
    };
    let number = port.get("containerPort").and_then(Value::as_i64);
    let name = port.get("name").and_then(Value::as_str);
    let targets = |entry: &Value| {
        let target = entry
            .get("targetPort")
            .filter(|t| !t.is_null())
            .or_else(|| entry.get("port"));
        target.is_some_and(|t| match t.as_str() {
            Some(text) => name == Some(text),
            None => number.is_some() && t.as_i64() == number,
        })
    };
    let in_git = attempt.case.desired.iter().map(|d| &d.object);
    attempt
        .case
        .snapshot
        .objects()
        .iter()
        .chain(in_git)
        .filter(|s| s.kind() == "Service" && s.namespace() == object.namespace())
        .any(|s| {
            map_selects(s.map("spec.selector"), object.pod_labels())
                && s.list("spec.ports").iter().any(targets)
        })
}

pub(super) fn backend(attempt: &Attempt<'_>) -> Judged {
    let Some(
        [
            "spec",
            "rules",
            "*",
            "http",
            "paths",
            "*",
            "backend",
            "service",
            ..,
        ]
        | ["spec", "defaultBackend", "service", ..],
    ) = attempt.place.object().as_deref()
    else {
        return not_unlocked(attempt);
    };
    let Some(service_path) = service_of_backend(attempt) else {
        return not_unlocked(attempt);
    };
    let Some(backend) = service_path.get(&attempt.result.value) else {
        return bounds("the backend would be gone");
    };
    let name = backend
        .get("name")
        .and_then(Value::as_str)
        .unwrap_or_default();
    let Some(service) = find(
        attempt.case,
        "Service",
        attempt.manifest.object.namespace(),
        name,
    ) else {
        return bounds(format!("Service {name} is not known to exist"));
    };
    let (number, port_name) = (at(backend, "port.number"), at(backend, "port.name"));
    let served = service.list("spec.ports").iter().any(|p| {
        number.is_some_and(|n| p.get("port") == Some(n))
            || port_name.is_some_and(|n| p.get("name") == Some(n))
    });
    if !served {
        return bounds(format!("Service {name} does not have that port"));
    }
    Ok(Verdict::Human("E08"))
}

/// The path of `backend.service` above or at the edited field.
fn service_of_backend(attempt: &Attempt<'_>) -> Option<crate::path::FieldPath> {
    let segs = &attempt.edit.path.0;
    let at = segs
        .iter()
        .position(|s| matches!(s, crate::path::Seg::Key(k) if k == "service"))?;
    Some(crate::path::FieldPath(segs[..=at].to_vec()))
}
