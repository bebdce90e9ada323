//! Services, routes, policies and probes.

use serde_json::Value;

use crate::code::Code;
use crate::detect::network::ingress::{self, backends, has_port, ports_text};
use crate::detect::network::service::{
    declared_ports, declared_text, is_served_elsewhere, labels_text, leads_to, miss_text,
    near_workloads, port_faults, port_text, renamed_key, selected,
};
use crate::detect::network::shown;
use crate::finding::{Class, Severity};
use crate::near;
use crate::object::{Container, Object, at, list};
use crate::path::FieldPath;
use crate::propose::Unlock;
use crate::scan::draft::{Draft, Look, is_literal};
use crate::scan::rules;

pub(super) fn services(look: &Look<'_>) -> Vec<Draft> {
    let selecting = |o: &&Object| {
        o.kind() == "Service"
            && o.str("spec.type") != Some("ExternalName")
            && o.map("spec.selector").is_some_and(|s| !s.is_empty())
    };
    let all = look.members.iter().map(|d| &d.object).filter(selecting);
    all.flat_map(|service| match selected(service, look.known) {
        none if none.is_empty() => no_pods(look, service).into_iter().collect(),
        workloads => ports(service, &workloads),
    })
    .collect()
}

/// A Service whose selector no pod template of the repository matches.
fn no_pods(look: &Look<'_>, service: &Object) -> Option<Draft> {
    let (ns, selector) = (service.namespace(), service.map("spec.selector")?);
    let templated = |v: &Value| !v.as_str().is_some_and(is_literal);
    if look.world.has_pods(ns, selector) || selector.values().any(templated) {
        return None;
    }
    let all = near_workloads(service, look.known);
    let meant = all.iter().find(|n| {
        let one = n.differing.len() == 1;
        let near =
            n.slips() || (one && n.alike && n.ports != Some(false)) || renamed_key(n).is_some();
        near && !is_served_elsewhere(service, n, look.known)
    });
    let at = FieldPath::keys(["spec", "selector"]);
    let text = labels_text(Some(selector));
    let reference = service.reference();
    if let Some(near) = meant {
        let key = near.differing.first().map(|(key, ..)| key.clone())?;
        let message = format!(
            "{reference}: no pod matches the selector {text}; {}",
            miss_text(near)
        );
        let mut draft = Draft::new(&rules::SERVICE_SELECTOR, service, at.key(&key), message)
            .because(near.workload)
            .play(&[]);
        draft.only_fixed = true;
        return Some(draft);
    }
    look.world.is_whole(ns).then(|| {
        let message =
            format!("{reference}: no pod template of the repository matches the selector {text}");
        Draft::new(&rules::SERVICE_SELECTOR, service, at, message).severity(Severity::Medium)
    })
}

/// Ports that lead to none of the selected workloads.
fn ports(service: &Object, workloads: &[&Object]) -> Vec<Draft> {
    let headless = service.str("spec.clusterIP") == Some("None");
    let nobody = |target: &Value| {
        let leads = |w: &&Object| leads_to(target, &declared_ports(w)) || w.containers().is_empty();
        !workloads.iter().any(leads)
    };
    let faults = port_faults(service, workloads);
    let told = faults
        .iter()
        .filter(|f| nobody(&f.target) && (f.target.is_string() || !headless))
        .filter(|f| f.target.as_str().is_none_or(is_literal));
    told.map(|fault| {
        let path = FieldPath::keys(["spec", "ports"])
            .index(fault.index)
            .key("targetPort");
        let message = format!("{}: {}", service.reference(), port_text(fault));
        // a program may listen on a port that it does not declare
        let severity = match fault.target.is_string() {
            true => Severity::High,
            false => Severity::Low,
        };
        Draft::new(&rules::SERVICE_PORT, service, path, message)
            .severity(severity)
            .because(fault.workload)
            .play(&[])
    })
    .collect()
}

pub(super) fn routes(look: &Look<'_>) -> Vec<Draft> {
    let objects = look.members.iter().map(|d| &d.object);
    objects
        .flat_map(|o| match o.kind() {
            "Ingress" => ingress_backends(look, o),
            "HTTPRoute" | "GRPCRoute" => route_backends(look, o),
            _ => Vec::new(),
        })
        .collect()
}

fn ingress_backends(look: &Look<'_>, object: &Object) -> Vec<Draft> {
    let all = backends(object);
    all.iter()
        .filter_map(|backend| {
            let base = match at(&object.value, "spec").is_some() {
                true => &backend.path,
                false => return None,
            };
            let service = base.key("service");
            let (name, port) = match service.get(&object.value) {
                Some(_) => (service.key("name"), service.key("port")),
                None => (base.key("serviceName"), base.key("servicePort")),
            };
            let wanted = Wanted {
                object,
                text: ingress::backend_text(backend),
                service: backend.service,
                port: &backend.port,
                name_path: name,
                port_path: deepest(&object.value, port),
                namespace: object.namespace(),
                playable: true,
            };
            wanted.judge(look)
        })
        .collect()
}

/// `port.number` or `port.name`, whichever is there.
fn deepest(object: &Value, port: FieldPath) -> FieldPath {
    let inner = ["number", "name"].map(|key| port.key(key));
    let found = inner.into_iter().find(|p| p.get(object).is_some());
    found.unwrap_or(port)
}

fn route_backends(look: &Look<'_>, object: &Object) -> Vec<Draft> {
    let mut out = Vec::new();
    for (r, rule) in object.list("spec.rules").iter().enumerate() {
        for (b, backend) in list(rule, "backendRefs").iter().enumerate() {
            let text = |key: &str| backend.get(key).and_then(Value::as_str);
            let is_service = text("kind").is_none_or(|k| k == "Service")
                && text("group").is_none_or(str::is_empty);
            let Some(service) = text("name").filter(|_| is_service) else {
                continue;
            };
            let base = FieldPath::keys(["spec", "rules"])
                .index(r)
                .key("backendRefs")
                .index(b);
            let port = backend.get("port").cloned().unwrap_or(Value::Null);
            let wanted = Wanted {
                object,
                text: format!("Service {service}:{}", shown(&port)),
                service,
                port: &port,
                name_path: base.key("name"),
                port_path: base.key("port"),
                namespace: text("namespace").or(object.namespace()),
                playable: false,
            };
            out.extend(wanted.judge(look));
        }
    }
    out
}

/// A backend of a route.
struct Wanted<'o> {
    object: &'o Object,
    text: String,
    service: &'o str,
    port: &'o Value,
    name_path: FieldPath,
    port_path: FieldPath,
    namespace: Option<&'o str>,
    /// Whether the playbook knows this kind.
    playable: bool,
}

impl Wanted<'_> {
    fn judge(&self, look: &Look<'_>) -> Option<Draft> {
        if !is_literal(self.service) || !self.port.as_str().is_none_or(is_literal) {
            return None;
        }
        match look.known.find("Service", self.namespace, self.service) {
            Some(service) => self.port(service),
            None => self.name(look),
        }
    }

    fn port(&self, service: &Object) -> Option<Draft> {
        if has_port(service, self.port) || service.str("spec.type") == Some("ExternalName") {
            return None;
        }
        let ports = ports_text(service);
        let why = format!("{} has no such port; it has {ports}", service.reference());
        Some(self.draft(self.port_path.clone(), &why))
    }

    fn name(&self, look: &Look<'_>) -> Option<Draft> {
        let world = look.world;
        if world.defines("Service", self.namespace, self.service) {
            return None;
        }
        let services = look.known.all("Service", self.namespace);
        let near = near::misspelled(self.service, services.iter().map(|s| s.name()));
        let path = self.name_path.clone();
        if let Some(right) = near.filter(|_| !world.mentions(self.service)) {
            let why = format!("no Service has that name; {right} is one slip away");
            let draft = self.draft(path, &why);
            let basis = format!("Service {right} exists");
            return Some(match self.playable {
                true => draft.respell(Value::from(right), Unlock::BackendMissing, &basis),
                false => draft,
            });
        }
        let why = "no Service of the repository has that name";
        world
            .is_whole(self.namespace)
            .then(|| self.draft(path, why).severity(Severity::Medium))
    }

    fn draft(&self, path: FieldPath, why: &str) -> Draft {
        let message = format!("{}: {}: {why}", self.object.reference(), self.text);
        let draft = Draft::new(&rules::BACKEND, self.object, path, message);
        match self.playable {
            true => draft.play(&[]),
            false => draft.person(
                Code::NotUnlocked,
                "no row of the allow-list unlocks this kind",
            ),
        }
    }
}

pub(super) fn policies(look: &Look<'_>) -> Vec<Draft> {
    let policies = look.members.iter().map(|d| &d.object);
    let policies = policies.filter(|o| o.kind() == "NetworkPolicy");
    policies
        .filter_map(|policy| {
            let near = unmatched(look, policy, policy.get("spec.podSelector")?)?;
            let path = FieldPath::keys(["spec", "podSelector"]);
            let message = format!("{}: podSelector matches no pods{near}", policy.reference());
            let draft = Draft::new(&rules::POLICY_SELECTOR, policy, path, message);
            Some(draft.person(
                Code::BlockedNetworkPolicy,
                "network policies are never changed by kubemend (rule E01)",
            ))
        })
        .collect()
}

/// A selector that no pods match, where that is evident; the label that was probably meant.
pub(super) fn unmatched(look: &Look<'_>, object: &Object, selector: &Value) -> Option<String> {
    let ns = object.namespace();
    let labels = selector.get("matchLabels").and_then(Value::as_object);
    let empty = labels.is_none_or(serde_json::Map::is_empty)
        && list(selector, "matchExpressions").is_empty();
    if empty || look.world.has_pods_for(ns, selector) {
        return None;
    }
    let workloads = look.known.workloads(ns);
    for (key, value) in labels.into_iter().flatten() {
        let Some(wrong) = value.as_str() else {
            continue;
        };
        let values = workloads
            .iter()
            .filter_map(|w| w.pod_labels()?.get(key)?.as_str());
        if let Some(right) = near::misspelled(wrong, values) {
            return Some(format!(
                "; it asks for {key}={wrong}, and pods have {key}={right}"
            ));
        }
    }
    look.world.is_whole(ns).then(String::new)
}

const PROBES: [(&str, Class); 3] = [
    ("livenessProbe", Class::LivenessProbeFailing),
    ("readinessProbe", Class::ReadinessProbeFailing),
    ("startupProbe", Class::StartupProbeFailing),
];

pub(super) fn probes(look: &Look<'_>) -> Vec<Draft> {
    let mut out = Vec::new();
    for object in look.members.iter().map(|d| &d.object) {
        for container in object.containers() {
            for (field, class) in PROBES {
                out.extend(probe(object, &container, field, class));
            }
        }
    }
    out
}

fn probe(object: &Object, container: &Container<'_>, field: &str, class: Class) -> Option<Draft> {
    let handlers = ["httpGet", "tcpSocket"];
    let (handler, port) = handlers.iter().find_map(|h| {
        let port = at(container.value, &format!("{field}.{h}.port"))?;
        Some((*h, port.as_str()?))
    })?;
    let ports = list(container.value, "ports");
    let names = || ports.iter().filter_map(|p| p.get("name")?.as_str());
    // a number in quotes is the schema's business, a template nobody's
    let literal = port.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
        && port.chars().any(|c| c.is_ascii_alphabetic());
    if !literal || names().any(|n| n == port) {
        return None;
    }
    let path = container.path.key(field).key(handler).key("port");
    let declared = declared_text(&own_ports(object, container.name));
    let message = format!(
        "{}: {field} of container {} asks port {port}, and the container declares {declared}",
        object.reference(),
        container.name
    );
    let mut draft = Draft::new(&rules::PROBE_PORT, object, path, message)
        .container(Some(container.name))
        .because(object)
        .play(&[]);
    if let Some(right) = near::misspelled(port, names()) {
        let basis = format!("container {} declares port {right}", container.name);
        draft = draft.respell(Value::from(right), Unlock::ProbeFailure, &basis);
    }
    draft.with_class(class).into()
}

fn own_ports<'o>(
    object: &'o Object,
    container: &str,
) -> Vec<crate::detect::network::service::Declared<'o>> {
    let mut all = declared_ports(object);
    all.retain(|d| d.container == container);
    all
}
