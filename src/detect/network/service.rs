//! Services that lead nowhere, or to the wrong pods. The analysis is shared with the plays.

use serde_json::{Map, Value};

use crate::detect::View;
use crate::detect::network::{policy_evidence, shown};
use crate::finding::{Class, Finding, Severity};
use crate::near;
use crate::object::{Object, list};
use crate::report::{Known, mentions};
use crate::snapshot::{Existence, map_selects};

/// Label keys that say which application a pod belongs to, the plainest first.
pub(crate) const IDENTITY: &[&str] = &[
    "app",
    "app.kubernetes.io/name",
    "k8s-app",
    "name",
    "app.kubernetes.io/component",
    "component",
    "app.kubernetes.io/instance",
];

/// The number of a target port that no container declares: a hint, as programs may listen on more.
pub(crate) const UNDECLARED: &str = "undeclaredPort";

/// A workload that a selector misses.
#[derive(Debug)]
pub(crate) struct Near<'a> {
    pub workload: &'a Object,
    /// Keys of the selector whose value the pods do not have: wanted and actual value.
    pub differing: Vec<(String, String, Option<String>)>,
    /// Keys of the selector that fit.
    pub shared: usize,
    /// Whether one of these says which application it is.
    pub shares_identity: bool,
    /// Whether Service and workload are called alike.
    pub alike: bool,
    /// Whether the Service is called what it wants: `auth` means `app=auth`, however near `oauth` is.
    pub called_so: bool,
    /// Whether the pods declare the target ports; none when they declare no port at all.
    pub ports: Option<bool>,
}

impl Near<'_> {
    /// Whether all that keeps the Service from the pods are slips of the keyboard.
    pub(crate) fn slips(&self) -> bool {
        if self.called_so && !self.shares_identity {
            return false;
        }
        let slip = |(_, want, have): &(String, String, Option<String>)| {
            have.as_deref()
                .is_some_and(|h| near::is_misspelling(want, h))
        };
        !self.differing.is_empty() && self.differing.iter().all(slip)
    }
}

/// A port of a Service that the selected pods do not have.
#[derive(Debug)]
pub(crate) struct PortFault<'a> {
    /// Position in `spec.ports`.
    pub index: usize,
    pub port: i64,
    pub name: Option<&'a str>,
    pub target: Value,
    pub workload: &'a Object,
    pub declared: Vec<Declared<'a>>,
}

/// A port that a container declares.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Declared<'a> {
    pub container: &'a str,
    pub name: Option<&'a str>,
    pub number: i64,
    pub protocol: &'a str,
}

pub(super) fn findings(view: &View<'_>, known: &Known<'_>) -> Vec<Finding> {
    let mut services: Vec<&Object> = view.snapshot.of_kind("Service").collect();
    for d in view.desired.iter().filter(|d| d.object.kind() == "Service") {
        let (ns, name) = (d.object.namespace(), d.object.name());
        if view.covers(ns) && view.snapshot.existence("Service", ns, name) == Existence::Unknown {
            services.push(&d.object);
        }
    }
    let mut out: Vec<Finding> = services
        .iter()
        .filter_map(|s| no_address(view, s))
        .collect();
    let selecting = services.into_iter().filter(|s| selects_by_labels(s));
    out.extend(selecting.filter_map(|s| finding(view, known, s)));
    out
}

/// A load balancer without an address: a fault where its controller says so, or somebody complains.
fn no_address(view: &View<'_>, service: &Object) -> Option<Finding> {
    let waits = service.str("spec.type") == Some("LoadBalancer")
        && service.get("status").is_some()
        && service.list("status.loadBalancer.ingress").is_empty();
    if !waits {
        return None;
    }
    let reference = service.reference();
    let events = view.snapshot.events_for(&reference);
    let failure = events.iter().rev().find(|e| e.kind == "Warning");
    let complained = view.report.is_some_and(|r| {
        let text = r.text.to_ascii_lowercase();
        let words = ["external", "load balancer", "loadbalancer", "public ip"];
        words.iter().any(|w| text.contains(w))
    });
    if failure.is_none() && !complained {
        return None;
    }
    let summary = format!("{reference} of type LoadBalancer has no external address");
    let mut finding = Finding::new(
        Class::LoadBalancerPending,
        Severity::Medium,
        reference,
        summary,
    );
    if let Some(event) = failure {
        finding.reason.clone_from(&event.reason);
        finding.message = event
            .message
            .split_whitespace()
            .collect::<Vec<_>>()
            .join(" ");
    }
    Some(finding)
}

fn selects_by_labels(service: &Object) -> bool {
    service.str("spec.type") != Some("ExternalName")
        && service.map("spec.selector").is_some_and(|s| !s.is_empty())
}

fn finding(view: &View<'_>, known: &Known<'_>, service: &Object) -> Option<Finding> {
    let workloads = selected(service, known);
    if workloads.is_empty() {
        return no_endpoints(view, known, service);
    }
    if let Some(finding) = foreign_pods(view, known, service, &workloads) {
        return Some(finding);
    }
    port_mismatch(view, service, &workloads)
}

/// The workloads whose pods a Service selects.
pub(crate) fn selected<'a>(service: &Object, known: &Known<'a>) -> Vec<&'a Object> {
    let selector = service.map("spec.selector");
    known
        .workloads(service.namespace())
        .into_iter()
        .filter(|w| map_selects(selector, w.pod_labels()))
        .collect()
}

fn no_endpoints(view: &View<'_>, known: &Known<'_>, service: &Object) -> Option<Finding> {
    let ns = service.namespace();
    let selector = service.map("spec.selector");
    let by_pod = view
        .snapshot
        .of_kind("Pod")
        .any(|p| p.namespace() == ns && map_selects(selector, p.pod_labels()));
    let workloads = known.workloads(ns);
    if by_pod || workloads.is_empty() || has_ready_endpoints(view, service) {
        return None;
    }
    let near = near_workloads(service, known);
    let best = near.first();
    let severity = if best.is_some() {
        Severity::High
    } else {
        Severity::Low
    };
    let reference = service.reference();
    let why = best.map_or_else(|| "no workload has labels like these".to_owned(), miss_text);
    let summary = format!(
        "{reference} has no endpoints: no pod matches its selector {}; {why}",
        labels_text(selector)
    );
    Some(Finding::new(
        Class::ServiceNoEndpoints,
        severity,
        reference,
        summary,
    ))
}

/// A dump may hold the endpoints of pods that it does not hold.
fn has_ready_endpoints(view: &View<'_>, service: &Object) -> bool {
    let ns = service.namespace();
    let slices = view.snapshot.in_namespace("EndpointSlice", ns);
    let of_service = |s: &&Object| s.label("kubernetes.io/service-name") == Some(service.name());
    let sliced = slices
        .into_iter()
        .filter(of_service)
        .any(|s| !s.list("endpoints").is_empty());
    let classic = view
        .snapshot
        .find("Endpoints", ns, service.name())
        .is_some_and(|e| {
            e.list("subsets")
                .iter()
                .any(|s| !list(s, "addresses").is_empty())
        });
    sliced || classic
}

/// `deployment shop/web has app=web, not app=wev`
pub(crate) fn miss_text(near: &Near<'_>) -> String {
    let parts = near.differing.iter().map(|(key, want, have)| match have {
        Some(have) => format!("the selector wants {key}={want}, the pods have {key}={have}"),
        None => format!("the selector wants {key}={want}, the pods have no label {key}"),
    });
    format!(
        "the nearest workload is {} ({})",
        near.workload.reference(),
        parts.collect::<Vec<_>>().join("; ")
    )
}

/// `app=web,tier=front`
pub(crate) fn labels_text(labels: Option<&Map<String, Value>>) -> String {
    let pairs = labels
        .into_iter()
        .flatten()
        .map(|(k, v)| format!("{k}={}", shown(v)));
    pairs.collect::<Vec<_>>().join(",")
}

/// The workloads that a selector misses, those that it misses least first. A workload that shares
/// no label counts only where their names agree or the difference is a slip.
pub(crate) fn near_workloads<'a>(service: &Object, known: &Known<'a>) -> Vec<Near<'a>> {
    let mut out: Vec<Near<'a>> = known
        .workloads(service.namespace())
        .into_iter()
        .filter(|w| !matches!(w.kind(), "Job" | "CronJob"))
        .map(|w| near(service, w))
        .filter(|n| !n.differing.is_empty())
        .filter(|n| n.shared > 0 || n.alike || n.slips() || renamed_key(n).is_some())
        .collect();
    out.sort_by_key(|n| {
        (
            n.differing.len(),
            !n.alike,
            n.ports != Some(true),
            std::cmp::Reverse(n.shared),
        )
    });
    out
}

fn near<'a>(service: &Object, workload: &'a Object) -> Near<'a> {
    let selector = service.map("spec.selector");
    let labels = workload.pod_labels();
    let mut near = Near {
        workload,
        differing: Vec::new(),
        shared: 0,
        shares_identity: false,
        alike: called_alike(service.name(), workload),
        called_so: false,
        ports: ports_agree(service, workload),
    };
    for (key, want) in selector.into_iter().flatten() {
        let have = labels.and_then(|l| l.get(key)).and_then(Value::as_str);
        if have.is_some() && have == want.as_str() {
            near.shared += 1;
            near.shares_identity |= IDENTITY.contains(&key.as_str());
        } else {
            near.called_so |= service.name().split('-').any(|w| Some(w) == want.as_str())
                || Some(stem(service.name())) == want.as_str();
            near.differing
                .push((key.clone(), shown(want), have.map(str::to_owned)));
        }
    }
    near
}

/// Another Service sends to these pods already, and neither a name nor the rest of the selector says that
/// this one does: a second track (canary, blue and green) whose pods are not there yet, or another
/// application with a name that is near.
pub(crate) fn is_served_elsewhere(service: &Object, near: &Near<'_>, known: &Known<'_>) -> bool {
    let is_told = near.alike || near.slips() && near.shares_identity;
    !is_told
        && known.all("Service", service.namespace()).iter().any(|s| {
            !s.reference().same_object(&service.reference())
                && selected(s, known)
                    .iter()
                    .any(|w| w.reference().same_object(&near.workload.reference()))
        })
}

/// The label key that a selector of one key means: the pods lack its key, and have its value under
/// exactly one other key.
pub(crate) fn renamed_key(near: &Near<'_>) -> Option<String> {
    let [(_, want, None)] = near.differing.as_slice() else {
        return None;
    };
    let labels = near.workload.pod_labels()?;
    let mut hits = labels
        .iter()
        .filter(|(_, v)| v.as_str() == Some(want))
        .map(|(k, _)| k.clone());
    let only = hits.next()?;
    hits.next().is_none().then_some(only)
}

/// Names without the endings that say only what kind of object they are.
pub(crate) fn stem(name: &str) -> &str {
    let mut stem = name;
    for ending in [
        "-service",
        "-svc",
        "-deployment",
        "-deploy",
        "-app",
        "-statefulset",
        "-sts",
        "-pod",
        "-headless",
    ] {
        stem = stem.strip_suffix(ending).unwrap_or(stem);
    }
    stem
}

fn called_alike(service: &str, workload: &Object) -> bool {
    let wanted = stem(service);
    let own = stem(workload.name());
    let versioned = own
        .strip_prefix(wanted)
        .and_then(|r| r.strip_prefix("-v"))
        .is_some_and(|v| !v.is_empty() && v.bytes().all(|b| b.is_ascii_digit()));
    let labelled = IDENTITY.iter().any(|key| {
        workload
            .pod_labels()
            .and_then(|l| l.get(*key))
            .and_then(Value::as_str)
            .is_some_and(|v| stem(v) == wanted)
    });
    own == wanted || versioned || labelled
}

/// The ports that the containers of a workload declare.
pub(crate) fn declared_ports(workload: &Object) -> Vec<Declared<'_>> {
    let mut out = Vec::new();
    for container in workload.containers() {
        let sidecar = container.str("restartPolicy") == Some("Always");
        if container.init && !sidecar {
            continue;
        }
        for port in list(container.value, "ports") {
            let Some(number) = port.get("containerPort").and_then(Value::as_i64) else {
                continue;
            };
            out.push(Declared {
                container: container.name,
                name: port.get("name").and_then(Value::as_str),
                number,
                protocol: port
                    .get("protocol")
                    .and_then(Value::as_str)
                    .unwrap_or("TCP"),
            });
        }
    }
    out
}

/// The target of a Service port: `targetPort`, or `port` where there is none.
pub(crate) fn target_of(port: &Value) -> Value {
    port.get("targetPort")
        .filter(|t| !t.is_null())
        .or_else(|| port.get("port"))
        .cloned()
        .unwrap_or(Value::Null)
}

pub(crate) fn leads_to(target: &Value, declared: &[Declared<'_>]) -> bool {
    match target.as_str() {
        Some(name) => declared.iter().any(|d| d.name == Some(name)),
        None => declared.iter().any(|d| Some(d.number) == target.as_i64()),
    }
}

fn ports_agree(service: &Object, workload: &Object) -> Option<bool> {
    let declared = declared_ports(workload);
    let targets: Vec<Value> = service.list("spec.ports").iter().map(target_of).collect();
    (!declared.is_empty() && !targets.is_empty())
        .then(|| targets.iter().all(|t| leads_to(t, &declared)))
}

// -- ports

fn port_mismatch(view: &View<'_>, service: &Object, workloads: &[&Object]) -> Option<Finding> {
    let faults = port_faults(service, workloads);
    let first = faults.first()?;
    if service.str("spec.clusterIP") == Some("None") && !first.target.is_string() {
        return None; // a headless Service sends nobody through its ports
    }
    let reference = service.reference();
    // a program may listen on a port that it does not declare, so a number alone is only a hint
    let complained = view
        .report
        .is_some_and(|r| policy_evidence::speaks_of_traffic(&r.text));
    let proven = first.target.is_string() || complained;
    let mut finding = Finding::new(
        Class::ServicePortMismatch,
        if proven {
            Severity::High
        } else {
            Severity::Low
        },
        reference.clone(),
        format!("{reference}: {}", port_text(first)),
    );
    if !first.target.is_string() {
        finding = finding.with_fact(UNDECLARED, shown(&first.target));
    }
    finding.pods = view
        .snapshot
        .pods_of(&first.workload.reference())
        .iter()
        .map(|p| p.reference())
        .take(crate::finding::MAX_PODS)
        .collect();
    Some(finding)
}

/// `port 80 leads to targetPort 8081, but the pods of Deployment shop/web declare 8080 (http)`
pub(crate) fn port_text(fault: &PortFault<'_>) -> String {
    format!(
        "port {} leads to targetPort {}, but the containers of {} declare {}",
        fault.port,
        shown(&fault.target),
        fault.workload.reference(),
        declared_text(&fault.declared)
    )
}

pub(crate) fn declared_text(declared: &[Declared<'_>]) -> String {
    if declared.is_empty() {
        return "no port".to_owned();
    }
    let items = declared.iter().map(|d| match d.name {
        Some(name) => format!(
            "{} ({name}, {}, container {})",
            d.number, d.protocol, d.container
        ),
        None => format!("{} ({}, container {})", d.number, d.protocol, d.container),
    });
    items.collect::<Vec<_>>().join(", ")
}

/// The ports of a Service that lead nowhere. A number that is not declared counts only when the
/// pods declare ports, none of them is reached by another port of the Service, and nothing else
/// says that the container listens there.
pub(crate) fn port_faults<'a>(service: &'a Object, workloads: &[&'a Object]) -> Vec<PortFault<'a>> {
    let ports = service.list("spec.ports");
    let mut out = Vec::new();
    let Some(workload) = workloads
        .iter()
        .copied()
        .find(|w| !w.containers().is_empty())
    else {
        return out;
    };
    let declared = declared_ports(workload);
    let reached = |p: &Value| leads_to(&target_of(p), &declared);
    for (index, port) in ports.iter().enumerate() {
        let target = target_of(port);
        if workloads
            .iter()
            .any(|w| leads_to(&target, &declared_ports(w)))
        {
            continue;
        }
        let listens = target.as_i64().is_some_and(|number| {
            declared.is_empty()
                || ports.iter().any(reached)
                || workloads.iter().any(|w| speaks_of(w, number))
        });
        if listens || target.is_null() {
            continue;
        }
        out.push(PortFault {
            index,
            port: port.get("port").and_then(Value::as_i64).unwrap_or_default(),
            name: port.get("name").and_then(Value::as_str),
            target,
            workload,
            declared: declared.clone(),
        });
    }
    out
}

/// Whether probes, arguments or environment of a workload name a port number.
fn speaks_of(workload: &Object, number: i64) -> bool {
    let wanted = number.to_string();
    workload.containers().iter().any(|c| {
        let mut rest = c.value.clone();
        if let Some(map) = rest.as_object_mut() {
            map.retain(|k, _| {
                k.ends_with("Probe") || matches!(k.as_str(), "command" | "args" | "env")
            });
        }
        let text = rest.to_string();
        text.split(|c: char| !c.is_ascii_alphanumeric())
            .any(|w| w == wanted)
    })
}

// -- pods of another workload

fn foreign_pods(
    view: &View<'_>,
    known: &Known<'_>,
    service: &Object,
    workloads: &[&Object],
) -> Option<Finding> {
    let (own, foreign) = own_and_foreign(service, workloads)?;
    let reference = service.reference();
    let certain = !foreign
        .iter()
        .any(|w| ports_agree(service, w) != Some(false));
    if !certain && !is_reported(view, known, service) {
        return None;
    }
    let names: Vec<String> = foreign.iter().map(|w| w.reference().to_string()).collect();
    let declared: Vec<String> = foreign
        .iter()
        .map(|w| {
            format!(
                "{} declares {}",
                w.reference(),
                declared_text(&declared_ports(w))
            )
        })
        .collect();
    let summary = format!(
        "{reference} selects the pods of {} as well as those of {}: both carry {}; the Service sends to port {}, {}",
        names.join(", "),
        own.reference(),
        labels_text(service.map("spec.selector")),
        targets_text(service),
        declared.join("; ")
    );
    Some(Finding::new(
        Class::ServiceSelectsForeignPods,
        Severity::High,
        reference,
        summary,
    ))
}

fn targets_text(service: &Object) -> String {
    let targets = service
        .list("spec.ports")
        .iter()
        .map(|p| shown(&target_of(p)));
    targets.collect::<Vec<_>>().join(", ")
}

fn is_reported(view: &View<'_>, known: &Known<'_>, service: &Object) -> bool {
    let Some(report) = view.report else {
        return false;
    };
    let ns = report.namespace.as_deref();
    let found = mentions(&report.text, ns, view.snapshot, view.desired);
    let own = |o: &crate::object::ObjectRef| {
        o.same_object(&service.reference())
            || selected(service, known)
                .iter()
                .any(|w| w.reference().same_object(o))
    };
    found.strong.iter().any(own)
}

/// The workload that a Service is for, and the others that it selects. None when all belong
/// together (versions, tracks and shards of one application), or nobody can say whose it is.
pub(crate) fn own_and_foreign<'a>(
    service: &Object,
    workloads: &[&'a Object],
) -> Option<(&'a Object, Vec<&'a Object>)> {
    let mut mine = workloads
        .iter()
        .copied()
        .filter(|w| called_alike(service.name(), w) && ports_agree(service, w) != Some(false));
    let own = mine.next()?;
    if mine.next().is_some() {
        return None;
    }
    let foreign: Vec<&Object> = workloads
        .iter()
        .copied()
        .filter(|w| !w.reference().same_object(&own.reference()))
        .filter(|w| !matches!(w.kind(), "Job" | "CronJob"))
        .filter(|w| distinguishing(own, w).is_some() && !is_version_of(own, w))
        .collect();
    (!foreign.is_empty()).then_some((own, foreign))
}

/// `web` and `web-canary` are one application.
fn is_version_of(own: &Object, other: &Object) -> bool {
    let (a, b) = (stem(own.name()), stem(other.name()));
    a.starts_with(&format!("{b}-")) || b.starts_with(&format!("{a}-")) || near::shares_a_word(a, b)
}

/// A label of `own` that says who it is, and that `other` has with another value or not at all.
pub(crate) fn distinguishing(own: &Object, other: &Object) -> Option<(String, String)> {
    let labels = own.pod_labels()?;
    let selector = own.map("spec.selector.matchLabels").unwrap_or(labels);
    let theirs = other.pod_labels();
    let fits = |key: &&String| {
        labels
            .get(key.as_str())
            .is_some_and(|v| v.is_string() && theirs.and_then(|l| l.get(key.as_str())) != Some(v))
    };
    let mut keys: Vec<&String> = selector.keys().filter(fits).collect();
    keys.retain(|k| {
        !matches!(
            k.as_str(),
            "version" | "pod-template-hash" | "track" | "tier"
        )
    });
    keys.sort_by_key(|k| {
        IDENTITY
            .iter()
            .position(|i| i == k)
            .unwrap_or(IDENTITY.len())
    });
    let key = keys.first()?;
    let value = labels.get(key.as_str())?.as_str()?;
    Some(((*key).clone(), value.to_owned()))
}
