//! Ingress backends that do not exist, and paths that lead to the wrong Service.

use serde_json::Value;

use crate::detect::View;
use crate::detect::network::{service, shown};
use crate::finding::{Class, Finding, Severity};
use crate::object::{Object, at, list};
use crate::path::FieldPath;
use crate::report::{Known, mentions};
use crate::snapshot::Existence;

mod dangling;

pub(crate) use dangling::CERTIFICATE;

/// One backend of an Ingress.
#[derive(Debug)]
pub(crate) struct Backend<'o> {
    /// Where it stands in the Ingress.
    pub path: FieldPath,
    pub host: Option<&'o str>,
    pub http_path: Option<&'o str>,
    pub service: &'o str,
    /// Number or name; null when there is none.
    pub port: Value,
}

/// What is wrong with a backend.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The Service does not exist.
    NoService,
    /// Nobody knows whether it exists.
    Unknown,
    /// The Service has no such port.
    NoPort,
}

pub(super) fn findings(view: &View<'_>, known: &Known<'_>) -> Vec<Finding> {
    let mut ingresses: Vec<&Object> = view.snapshot.of_kind("Ingress").collect();
    for d in view.desired.iter().filter(|d| d.object.kind() == "Ingress") {
        let (ns, name) = (d.object.namespace(), d.object.name());
        if view.covers(ns) && view.snapshot.existence("Ingress", ns, name) == Existence::Unknown {
            ingresses.push(&d.object);
        }
    }
    ingresses
        .into_iter()
        .filter_map(|i| {
            missing(view, known, i)
                .or_else(|| dangling::finding(view, known, i))
                .or_else(|| misrouted(view, known, i))
        })
        .collect()
}

/// All backends, in the order of the Ingress.
pub(crate) fn backends(ingress: &Object) -> Vec<Backend<'_>> {
    let mut out = Vec::new();
    for key in ["defaultBackend", "backend"] {
        let path = FieldPath::keys(["spec", key]);
        if let Some(value) = path.get(&ingress.value) {
            out.extend(backend(value, path, None, None));
        }
    }
    for (r, rule) in ingress.list("spec.rules").iter().enumerate() {
        let host = rule.get("host").and_then(Value::as_str);
        for (p, item) in list(rule, "http.paths").iter().enumerate() {
            let path = FieldPath::keys(["spec", "rules"])
                .index(r)
                .key("http")
                .key("paths")
                .index(p)
                .key("backend");
            let http_path = item.get("path").and_then(Value::as_str);
            if let Some(value) = item.get("backend") {
                out.extend(backend(value, path, host, http_path));
            }
        }
    }
    out
}

fn backend<'o>(
    value: &'o Value,
    path: FieldPath,
    host: Option<&'o str>,
    http_path: Option<&'o str>,
) -> Option<Backend<'o>> {
    let name = at(value, "service.name").or_else(|| value.get("serviceName"))?;
    let port = at(value, "service.port.number")
        .or_else(|| at(value, "service.port.name"))
        .or_else(|| value.get("servicePort"));
    Some(Backend {
        path,
        host,
        http_path,
        service: name.as_str()?,
        port: port.cloned().unwrap_or(Value::Null),
    })
}

/// What is wrong with a backend, if anything.
pub(crate) fn fault(
    backend: &Backend<'_>,
    namespace: Option<&str>,
    known: &Known<'_>,
) -> Option<Fault> {
    match known.find("Service", namespace, backend.service) {
        Some(service) if !has_port(service, &backend.port) => Some(Fault::NoPort),
        Some(_) => None,
        None => match known.existence("Service", namespace, backend.service) {
            Existence::Exists => None,
            Existence::Absent => Some(Fault::NoService),
            Existence::Unknown => Some(Fault::Unknown),
        },
    }
}

/// Whether a Service has a port of this number or name. A Service without ports is not judged.
pub(crate) fn has_port(service: &Object, port: &Value) -> bool {
    let ports = service.list("spec.ports");
    let same = |p: &Value| match port {
        Value::String(name) => p.get("name").and_then(Value::as_str) == Some(name),
        number => p.get("port") == Some(number),
    };
    port.is_null() || ports.is_empty() || ports.iter().any(same)
}

/// The ports of a Service, for people.
pub(crate) fn ports_text(service: &Object) -> String {
    let ports = service.list("spec.ports").iter().map(|p| {
        let number = p.get("port").map(shown).unwrap_or_default();
        match p.get("name").and_then(Value::as_str) {
            Some(name) => format!("{number} ({name})"),
            None => number,
        }
    });
    ports.collect::<Vec<_>>().join(", ")
}

/// `path /orders → Service orders:8005`
pub(crate) fn backend_text(backend: &Backend<'_>) -> String {
    let host = backend.host.unwrap_or_default();
    let place = match backend.http_path {
        Some(path) => format!("path {host}{path}"),
        None if host.is_empty() => "the default backend".to_owned(),
        None => format!("host {host}"),
    };
    format!(
        "{place} → Service {}:{}",
        backend.service,
        shown(&backend.port)
    )
}

/// One sentence about a faulty backend.
pub(crate) fn fault_text(
    backend: &Backend<'_>,
    fault: Fault,
    namespace: Option<&str>,
    known: &Known<'_>,
) -> String {
    let what = match fault {
        Fault::NoService => format!(
            "Service {} does not exist in namespace {}",
            backend.service,
            namespace.unwrap_or("default")
        ),
        Fault::Unknown => format!(
            "Service {} is neither in the dump nor in Git, and the dump lists no Services of namespace {}",
            backend.service,
            namespace.unwrap_or("default")
        ),
        Fault::NoPort => {
            let ports = known
                .find("Service", namespace, backend.service)
                .map(ports_text)
                .unwrap_or_default();
            format!(
                "Service {} has no port {}; it has {ports}",
                backend.service,
                shown(&backend.port)
            )
        }
    };
    format!("{}: {what}", backend_text(backend))
}

fn missing(view: &View<'_>, known: &Known<'_>, ingress: &Object) -> Option<Finding> {
    let ns = ingress.namespace();
    let sentences: Vec<String> = backends(ingress)
        .iter()
        .filter_map(|b| {
            let fault = fault(b, ns, known)?;
            (fault != Fault::Unknown || view.report.is_some())
                .then(|| fault_text(b, fault, ns, known))
        })
        .collect();
    if sentences.is_empty() {
        return None;
    }
    let reference = ingress.reference();
    Some(Finding::new(
        Class::IngressBackendMissing,
        Severity::High,
        reference.clone(),
        format!("{reference}: {}", sentences.join("; ")),
    ))
}

// -- misrouted

/// A backend that the report complains about, and the Services that the report names for it.
#[derive(Debug)]
pub(crate) struct Misroute<'o, 'a> {
    pub backend: Backend<'o>,
    /// Services that a sentence of the report names together with the path.
    pub wanted: Vec<&'a Object>,
}

fn misrouted(view: &View<'_>, known: &Known<'_>, ingress: &Object) -> Option<Finding> {
    let report = view.report?;
    let named = mentions(
        &report.text,
        report.namespace.as_deref(),
        view.snapshot,
        view.desired,
    );
    let reference = ingress.reference();
    if !named.strong.iter().any(|o| o.same_object(&reference)) {
        return None;
    }
    let look = |text: &str| {
        let found = mentions(text, ingress.namespace(), view.snapshot, view.desired);
        [found.strong, found.weak].concat()
    };
    let route = misroute(ingress, known, &report.text, &look)?;
    let names: Vec<&str> = route.wanted.iter().map(|s| s.name()).collect();
    Some(Finding::new(
        Class::IngressMisroute,
        Severity::High,
        reference.clone(),
        format!(
            "{reference}: {}, but the report says that the path belongs to {}",
            backend_text(&route.backend),
            names.join(" or ")
        ),
    ))
}

/// The one path that a report names together with another Service than its backend. `look` gives
/// the objects that a text names.
pub(crate) fn misroute<'o, 'a>(
    ingress: &'o Object,
    known: &Known<'a>,
    text: &str,
    look: &dyn Fn(&str) -> Vec<crate::object::ObjectRef>,
) -> Option<Misroute<'o, 'a>> {
    let mut hits = backends(ingress).into_iter().filter_map(|backend| {
        let prefix = literal_prefix(backend.http_path?);
        let clauses = text
            .split(['.', ';', '\n', '!', '?'])
            .filter(|c| names_path(c, prefix));
        let mut wanted: Vec<&Object> = Vec::new();
        for clause in clauses.filter(|c| !c.contains(ingress.name())) {
            for object in look(clause) {
                wanted.extend(services_of(&object, known, ingress.namespace()));
            }
        }
        wanted.sort_by_key(|s| s.name().to_owned());
        wanted.dedup_by_key(|s| s.name().to_owned());
        wanted.retain(|s| has_port(s, &backend.port));
        let already = wanted.iter().any(|s| s.name() == backend.service);
        (!wanted.is_empty() && !already).then_some(Misroute { backend, wanted })
    });
    let first = hits.next()?;
    hits.next().is_none().then_some(first)
}

/// `/api` of `/api(/|$)(.*)`.
fn literal_prefix(path: &str) -> &str {
    let end = path
        .find(['(', '*', '[', '$', '|', '?', '\\', '^'])
        .unwrap_or(path.len());
    path.get(..end).unwrap_or(path).trim_end_matches('/')
}

fn names_path(text: &str, prefix: &str) -> bool {
    prefix.len() > 1
        && text
            .split_whitespace()
            .map(|w| w.trim_matches(|c: char| !c.is_ascii_alphanumeric() && c != '/'))
            .any(|w| w == prefix || w.strip_prefix(prefix).is_some_and(|r| r.starts_with('/')))
}

/// The Services that an object stands for: itself, or those that select it.
fn services_of<'a>(
    object: &crate::object::ObjectRef,
    known: &Known<'a>,
    namespace: Option<&str>,
) -> Vec<&'a Object> {
    if object.namespace.as_deref() != namespace {
        return Vec::new();
    }
    let all = known.all("Service", namespace).into_iter();
    let hits = all.filter(|s| match object.kind.as_str() {
        "Service" => s.name() == object.name,
        _ => service::selected(s, known)
            .iter()
            .any(|w| w.reference().same_object(object)),
    });
    hits.collect()
}
