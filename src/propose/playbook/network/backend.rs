//! Backends of Ingresses.

use serde_json::Value;

use crate::case::Case;
use crate::code::Code;
use crate::detect::network::ingress::{
    self, Backend, Fault, backend_text, backends, fault, fault_text, has_port, ports_text,
};
use crate::detect::network::service::stem;
use crate::detect::network::shown;
use crate::near;
use crate::object::Object;
use crate::path::FieldPath;
use crate::propose::playbook::build::{Words, ask, by_hand, change, edit, proposal};
use crate::propose::{Answer, Choice, Op, Proposal, ProposedEdit, Unlock};
use crate::report::{Known, mentions};

use super::object_of;

/// The most faulty backends that one proposal mends.
const MAX_EDITS: usize = 10;

pub(super) fn missing(case: &Case<'_>) -> Option<Answer> {
    let ingress = object_of(case)?;
    let known = Known::new(case.snapshot, case.desired);
    let ns = ingress.namespace();
    let all = backends(ingress);
    let faulty: Vec<(&Backend<'_>, Fault)> = all
        .iter()
        .filter_map(|b| Some((b, fault(b, ns, &known)?)))
        .take(MAX_EDITS)
        .collect();
    let sentences: Vec<String> = faulty
        .iter()
        .map(|(b, f)| fault_text(b, *f, ns, &known))
        .collect();
    let mut edits = Vec::new();
    for (backend, fault) in &faulty {
        match mend(case, ingress, backend, *fault, &known) {
            Some(edit) => edits.push(edit),
            None => return Some(question(ingress, backend, *fault, sentences, &known)),
        }
    }
    (!edits.is_empty()).then(|| Answer::Fix(fix(ingress, sentences, edits)))
}

fn fix(ingress: &Object, diagnosis: Vec<String>, edits: Vec<ProposedEdit>) -> Proposal {
    let changes: Vec<String> = edits
        .iter()
        .map(|e| match &e.op {
            Op::Set(v) | Op::Add(v) => shown(v),
            Op::Remove => String::new(),
        })
        .collect();
    let basis: Vec<String> = edits.iter().map(|e| e.basis.clone()).collect();
    proposal(
        Words {
            play: "ingress-backend",
            title: format!(
                "send the Ingress {} to an existing backend ({})",
                ingress
                    .reference()
                    .to_string()
                    .trim_start_matches("Ingress "),
                changes.join(", ")
            ),
            diagnosis,
            reason: format!("Only one backend fits: {}.", basis.join("; ")),
            after_merge: Vec::new(),
        },
        edits,
    )
}

fn mend(
    case: &Case<'_>,
    ingress: &Object,
    backend: &Backend<'_>,
    fault: Fault,
    known: &Known<'_>,
) -> Option<ProposedEdit> {
    if let Some(edit) = from_history(case, ingress, backend, known) {
        return Some(edit);
    }
    match fault {
        Fault::NoPort => mend_port(ingress, backend, known),
        Fault::NoService => mend_name(ingress, backend, known),
        Fault::Unknown => None,
    }
}

/// Git's earlier value of the one field that is wrong now.
fn from_history(
    case: &Case<'_>,
    ingress: &Object,
    backend: &Backend<'_>,
    known: &Known<'_>,
) -> Option<ProposedEdit> {
    case.manifest()?;
    let ns = ingress.namespace();
    for earlier in case.earlier_of(&case.finding.object) {
        let same_place =
            |b: &&Backend<'_>| b.host == backend.host && b.http_path == backend.http_path;
        let all = backends(&earlier.object);
        let Some(old) = all.iter().find(same_place) else {
            continue;
        };
        if ingress::fault(old, ns, known).is_some() {
            continue;
        }
        let (path, value) = match (old.service == backend.service, old.port == backend.port) {
            (true, false) => (port_path(ingress, backend)?, old.port.clone()),
            (false, true) => (name_path(ingress, backend)?, Value::from(old.service)),
            _ => continue,
        };
        let commit: String = earlier.replaced_by.id.chars().take(10).collect();
        let basis = format!("Git before {commit} ({})", earlier.replaced_by.subject);
        return Some(set(ingress, path, value, basis));
    }
    None
}

fn set(ingress: &Object, path: FieldPath, value: Value, basis: String) -> ProposedEdit {
    edit(
        &ingress.reference(),
        path,
        Op::Set(value),
        Unlock::BackendMissing,
        basis,
    )
}

fn existing(ingress: &Object, candidates: [FieldPath; 3]) -> Option<FieldPath> {
    candidates
        .into_iter()
        .find(|p| p.get(&ingress.value).is_some())
}

fn name_path(ingress: &Object, backend: &Backend<'_>) -> Option<FieldPath> {
    let new = backend.path.key("service").key("name");
    let old = backend.path.key("serviceName");
    existing(ingress, [new.clone(), old, new])
}

fn port_path(ingress: &Object, backend: &Backend<'_>) -> Option<FieldPath> {
    let port = backend.path.key("service").key("port");
    let old = backend.path.key("servicePort");
    existing(ingress, [port.key("number"), port.key("name"), old])
}

fn mend_port(ingress: &Object, backend: &Backend<'_>, known: &Known<'_>) -> Option<ProposedEdit> {
    let service = known.find("Service", ingress.namespace(), backend.service)?;
    let ports = service.list("spec.ports");
    let field = if backend.port.is_string() {
        "name"
    } else {
        "port"
    };
    let names = ports
        .iter()
        .filter_map(|p| p.get("name").and_then(Value::as_str));
    let slip = backend
        .port
        .as_str()
        .and_then(|w| near::misspelled(w, names));
    let by_target = || unique_target(ports, &backend.port);
    let value = match (slip, ports) {
        (Some(name), _) => Value::from(name),
        (None, [only]) => only.get(field)?.clone(),
        (None, _) => by_target()?,
    };
    let basis = format!("{} has {}", service.reference(), ports_text(service));
    Some(set(ingress, port_path(ingress, backend)?, value, basis))
}

/// The Ingress names the target port instead of the Service's own port.
fn unique_target(ports: &[Value], wrong: &Value) -> Option<Value> {
    let number = wrong.as_i64()?;
    let mut hits = ports
        .iter()
        .filter(|p| p.get("targetPort").and_then(Value::as_i64) == Some(number));
    let only = hits.next()?;
    if hits.next().is_some() {
        return None;
    }
    only.get("port").cloned()
}

fn mend_name(ingress: &Object, backend: &Backend<'_>, known: &Known<'_>) -> Option<ProposedEdit> {
    let services: Vec<&Object> = known
        .all("Service", ingress.namespace())
        .into_iter()
        .filter(|s| has_port(s, &backend.port))
        .collect();
    let names = || services.iter().map(|s| s.name());
    let same_stem: Vec<&str> = names()
        .filter(|n| stem(n) == stem(backend.service))
        .collect();
    let name = match same_stem.as_slice() {
        [only] => *only,
        [] => near::misspelled(backend.service, names())?,
        _ => return None,
    };
    let basis = format!(
        "Service {name} exists, has port {}, and is the only one with a name like {}",
        shown(&backend.port),
        backend.service
    );
    let path = name_path(ingress, backend)?;
    Some(set(ingress, path, Value::from(name), basis))
}

fn question(
    ingress: &Object,
    backend: &Backend<'_>,
    fault: Fault,
    mut diagnosis: Vec<String>,
    known: &Known<'_>,
) -> Answer {
    let reference = ingress.reference();
    let (code, options) = match fault {
        Fault::Unknown => (
            Code::UnknownExistence,
            vec![by_hand(format!(
                "give a dump with the Services of the namespace; then {} can be judged",
                backend.service
            ))],
        ),
        Fault::NoPort => (Code::OwnerDecision, port_options(ingress, backend, known)),
        Fault::NoService => (Code::OwnerDecision, name_options(ingress, backend, known)),
    };
    let all: Vec<String> = known
        .all("Service", ingress.namespace())
        .iter()
        .take(12)
        .map(|s| format!("{} ({})", s.name(), ports_text(s)))
        .collect();
    diagnosis.push(format!(
        "the Services of the namespace are {}",
        all.join(", ")
    ));
    ask(
        code,
        format!(
            "Where should {} of {reference} lead?",
            backend_text(backend)
                .split(" → ")
                .next()
                .unwrap_or_default()
        ),
        diagnosis,
        options,
    )
}

fn port_options(ingress: &Object, backend: &Backend<'_>, known: &Known<'_>) -> Vec<Choice> {
    let service = known.find("Service", ingress.namespace(), backend.service);
    let field = if backend.port.is_string() {
        "name"
    } else {
        "port"
    };
    let ports = service.map(|s| s.list("spec.ports")).unwrap_or_default();
    let choices = ports.iter().filter_map(|p| {
        let value = p.get(field)?.clone();
        let path = port_path(ingress, backend)?;
        let basis = format!("a port of Service {}", backend.service);
        let edits = vec![set(ingress, path, value, basis)];
        Some(change(fix(ingress, vec![backend_text(backend)], edits)))
    });
    let mut out: Vec<Choice> = choices.take(5).collect();
    out.push(by_hand(format!(
        "add port {} to Service {} (rule E05)",
        shown(&backend.port),
        backend.service
    )));
    out
}

fn name_options(ingress: &Object, backend: &Backend<'_>, known: &Known<'_>) -> Vec<Choice> {
    let services = known.all("Service", ingress.namespace());
    let choices = services
        .iter()
        .filter(|s| has_port(s, &backend.port))
        .filter_map(|s| {
            let path = name_path(ingress, backend)?;
            let basis = format!("Service {} has port {}", s.name(), shown(&backend.port));
            let edits = vec![set(ingress, path, Value::from(s.name()), basis)];
            Some(change(fix(ingress, vec![backend_text(backend)], edits)))
        });
    let mut out: Vec<Choice> = choices.take(5).collect();
    out.push(by_hand(format!(
        "create the Service {} (rule G02: kubemend creates no objects)",
        backend.service
    )));
    out
}

pub(super) fn misroute(case: &Case<'_>) -> Option<Answer> {
    let ingress = object_of(case)?;
    let report = case.report?;
    let known = Known::new(case.snapshot, case.desired);
    let look = |text: &str| {
        let found = mentions(text, ingress.namespace(), case.snapshot, case.desired);
        [found.strong, found.weak].concat()
    };
    let route = ingress::misroute(ingress, &known, &report.text, &look)?;
    let path = name_path(ingress, &route.backend)?;
    let earlier = from_history(case, ingress, &route.backend, &known)
        .filter(|e| matches!(&e.op, Op::Set(Value::String(s)) if route.wanted.iter().any(|w| w.name() == s)));
    let diagnosis = vec![
        case.finding.summary.clone(),
        format!(
            "{} answers, but it serves something else",
            backend_text(&route.backend)
        ),
        format!(
            "the report says: {}",
            report.text.chars().take(400).collect::<String>()
        ),
    ];
    let to = |service: &Object| {
        let basis = format!(
            "the report names it for this path, and Service {} has port {}",
            service.name(),
            shown(&route.backend.port)
        );
        set(ingress, path.clone(), Value::from(service.name()), basis)
    };
    match (earlier, route.wanted.as_slice()) {
        (Some(edit), _) => Some(Answer::Fix(reroute(ingress, diagnosis, edit))),
        (None, [only]) => Some(Answer::Fix(reroute(ingress, diagnosis, to(only)))),
        (None, many) => Some(ask(
            Code::OwnerDecision,
            format!(
                "Which Service should {} of {} lead to?",
                backend_text(&route.backend)
                    .split(" → ")
                    .next()
                    .unwrap_or_default(),
                ingress.reference()
            ),
            diagnosis.clone(),
            many.iter()
                .take(5)
                .map(|s| change(reroute(ingress, diagnosis.clone(), to(s))))
                .collect(),
        )),
    }
}

fn reroute(ingress: &Object, diagnosis: Vec<String>, edit: ProposedEdit) -> Proposal {
    let mut proposal = fix(ingress, diagnosis, vec![edit]);
    proposal.source = crate::propose::Source::Playbook("ingress-route");
    proposal
}
