//! NetworkPolicies that block traffic which logs or a report show to be needed. A policy alone is
//! never a finding: denying is what policies are for.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::detect::View;
use crate::detect::network::policy::{
    Direction, Peer, Port, blocking, denies_all, may_come, policies_on,
};
use crate::detect::network::service::{declared_ports, labels_text, selected, target_of};
use crate::finding::{Class, Finding, MAX_PODS, Severity};
use crate::object::{Object, ObjectRef};
use crate::report::{Known, mentions, names_host};

/// The most log lines of one container that are looked at, from the end.
const MAX_LINES: usize = 200;

/// A connection that is blocked.
struct Blocked<'a> {
    policies: Vec<&'a Object>,
    direction: Direction,
    /// The workload that the policies select.
    subject: &'a Object,
    /// The other workload; none for DNS.
    peer: Option<&'a Object>,
    port: Option<Port>,
    client: &'a Object,
    /// The log line or the report.
    evidence: String,
}

pub(super) fn findings(view: &View<'_>, known: &Known<'_>) -> Vec<Finding> {
    let live = view.snapshot.of_kind("NetworkPolicy").next().is_some();
    let in_git = view
        .desired
        .iter()
        .any(|d| d.object.kind() == "NetworkPolicy");
    if !live && !in_git {
        return Vec::new();
    }
    let mut blocked = from_logs(view, known);
    blocked.extend(from_report(view, known));
    let mut by_policy: BTreeMap<ObjectRef, Vec<Blocked<'_>>> = BTreeMap::new();
    for item in blocked {
        if let Some(policy) = item.policies.first() {
            by_policy.entry(policy.reference()).or_default().push(item);
        }
    }
    by_policy
        .iter()
        .filter_map(|(policy, items)| finding(view, known, policy, items))
        .collect()
}

fn finding(
    view: &View<'_>,
    known: &Known<'_>,
    policy: &ObjectRef,
    items: &[Blocked<'_>],
) -> Option<Finding> {
    let first = items.first()?;
    let mut sentences: Vec<String> = Vec::new();
    let mut rules: Vec<String> = Vec::new();
    for item in items {
        add_new(&mut sentences, blocked_text(item));
        add_new(&mut rules, rule_text(item));
        for policy in &item.policies {
            add_new(&mut sentences, policy_text(policy, item.subject));
        }
        if let Some(peer) = item.peer {
            add_new(&mut sentences, labels_of_peer(peer, known));
        }
    }
    let mut finding = Finding::new(
        Class::NetworkPolicyBlocking,
        Severity::High,
        policy.clone(),
        sentences.first().cloned().unwrap_or_default(),
    )
    .with_fact("sentences", sentences.join("\n"))
    .with_fact("rules", rules.join("\n"))
    .with_fact("evidence", first.evidence.clone());
    finding.message = first.evidence.clone();
    for item in items {
        for object in [Some(item.client), item.peer, Some(item.subject)] {
            let reference = object.map(Object::reference);
            finding
                .related
                .extend(reference.filter(|r| !finding.related.contains(r)));
        }
        let others = item.policies.iter().map(|p| p.reference());
        let fresh: Vec<ObjectRef> = others.filter(|r| r != policy).collect();
        finding.related.extend(fresh);
    }
    finding.related.dedup();
    finding.pods = view
        .snapshot
        .pods_of(&first.client.reference())
        .iter()
        .map(|p| p.reference())
        .take(MAX_PODS)
        .collect();
    Some(finding)
}

fn add_new(list: &mut Vec<String>, text: String) {
    if !list.contains(&text) && list.len() < 12 {
        list.push(text);
    }
}

fn blocked_text(item: &Blocked<'_>) -> String {
    let names: Vec<String> = item
        .policies
        .iter()
        .map(|p| p.reference().to_string())
        .collect();
    let port = item
        .port
        .as_ref()
        .map(|p| format!(" on {} port {}", p.protocol, p.number))
        .unwrap_or_default();
    let subject = item.subject.reference();
    let (own, peer) = (
        subject.to_string(),
        item.peer.map(|p| p.reference().to_string()),
    );
    let what = match (item.direction, peer) {
        (Direction::Egress, None) if port.is_empty() => format!("all egress of {own}"),
        (Direction::Egress, None) => format!("egress of {own} to DNS{port}"),
        (Direction::Ingress, None) => format!("all ingress to {own}{port}"),
        (Direction::Egress, Some(peer)) => format!("egress of {own} to {peer}{port}"),
        (Direction::Ingress, Some(peer)) => format!("ingress to {own} from {peer}{port}"),
    };
    let verb = if names.len() == 1 {
        "blocks"
    } else {
        "together block"
    };
    format!("{} {verb} {what}", names.join(" and "))
}

fn policy_text(policy: &Object, subject: &Object) -> String {
    let directions: Vec<String> = [Direction::Ingress, Direction::Egress]
        .into_iter()
        .filter(|d| policies_restrict(policy, *d))
        .map(|d| {
            let rules = policy.get(&format!("spec.{}", d.key()));
            if denies_all(policy, d) {
                format!("it denies all {} (no rule)", d.key())
            } else {
                let text = rules.map(Value::to_string).unwrap_or_default();
                let short: String = text.chars().take(300).collect();
                format!("its {} rules are `{short}`", d.key())
            }
        })
        .collect();
    format!(
        "{} selects the pods of {}; {}",
        policy.reference(),
        subject.reference(),
        directions.join(" and ")
    )
}

/// What a selector of the policy would have to match.
fn labels_of_peer(peer: &Object, known: &Known<'_>) -> String {
    let side = Peer::of(peer, known);
    format!(
        "the pods of {} carry {}; Namespace {} carries {}",
        peer.reference(),
        labels_text(Some(&side.labels)),
        side.namespace,
        labels_text(Some(&side.namespace_labels))
    )
}

fn policies_restrict(policy: &Object, direction: Direction) -> bool {
    crate::detect::network::policy::restricts(policy, direction)
}

/// The rule that would allow the connection.
fn rule_text(item: &Blocked<'_>) -> String {
    let port = match (&item.port, item.peer) {
        (Some(p), Some(_)) => format!(
            ", ports: [{{protocol: {}, port: {}}}]",
            p.protocol, p.number
        ),
        _ => String::new(),
    };
    let peer = |w: &Object| {
        let labels = w
            .map("spec.selector.matchLabels")
            .or_else(|| w.pod_labels());
        let pairs = labels_text(labels).replace('=', ": ").replace(',', ", ");
        let elsewhere = w.namespace() != item.subject.namespace();
        let namespace = if elsewhere {
            format!(
                "namespaceSelector: {{matchLabels: {{kubernetes.io/metadata.name: {}}}}}, ",
                w.namespace().unwrap_or("default")
            )
        } else {
            String::new()
        };
        format!("{{{namespace}podSelector: {{matchLabels: {{{pairs}}}}}}}")
    };
    match (item.direction, item.peer) {
        (Direction::Egress, None) => "spec.egress: - {to: [{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: kube-system}}}], ports: [{protocol: UDP, port: 53}, {protocol: TCP, port: 53}]} (DNS)".to_owned(),
        (Direction::Ingress, None) => "spec.ingress: a rule for each client that may call it".to_owned(),
        (Direction::Egress, Some(w)) => format!("spec.egress: - {{to: [{}]{port}}}", peer(w)),
        (Direction::Ingress, Some(w)) => format!("spec.ingress: - {{from: [{}]{port}}}", peer(w)),
    }
}

// -- logs

fn from_logs<'a>(view: &View<'a>, known: &Known<'a>) -> Vec<Blocked<'a>> {
    let mut out = Vec::new();
    for (key, log) in view.snapshot.logs() {
        let pod = view.snapshot.find("Pod", Some(&key.namespace), &key.pod);
        let Some(client) = pod.and_then(|p| workload_of(view, known, p)) else {
            continue;
        };
        let mut seen: Vec<&str> = Vec::new();
        for line in log.lines().rev().take(MAX_LINES) {
            if !is_blocked_traffic(line) || seen.contains(&line) || seen.len() > 20 {
                continue;
            }
            seen.push(line);
            out.extend(from_line(known, client, line));
        }
    }
    out
}

fn workload_of<'a>(view: &View<'a>, known: &Known<'a>, pod: &'a Object) -> Option<&'a Object> {
    let owner = view.snapshot.top_owner(pod);
    known
        .find(&owner.kind, owner.namespace.as_deref(), &owner.name)
        .filter(|o| o.pod_spec_path().is_some())
        .or(Some(pod))
}

/// Whether a line tells of packets that nobody answers: dropped traffic is silent.
fn is_blocked_traffic(line: &str) -> bool {
    let line = line.to_ascii_lowercase();
    is_dns(&line)
        || [
            "timed out",
            "timeout",
            "deadline exceeded",
            "etimedout",
            "unreachable",
            "no route to",
        ]
        .iter()
        .any(|w| line.contains(w))
}

fn is_dns(line: &str) -> bool {
    [
        "resolve",
        "name resolution",
        "eai_again",
        "unknownhost",
        "unknown host",
        "lookup ",
        "getaddrinfo",
        "bad address",
        "name or service not known",
        "nodename nor servname",
    ]
    .iter()
    .any(|w| line.contains(w))
}

fn from_line<'a>(known: &Known<'a>, client: &'a Object, line: &str) -> Vec<Blocked<'a>> {
    let mut out = Vec::new();
    if is_dns(&line.to_ascii_lowercase()) {
        out.extend(dns(known, client, line));
    }
    let home = client.namespace();
    for service in known.everywhere("Service") {
        let same = service.namespace() == home;
        let full = format!(
            "{}.{}",
            service.name(),
            service.namespace().unwrap_or_default()
        );
        let ip = service
            .str("spec.clusterIP")
            .filter(|ip| ip.contains(['.', ':']));
        let hit = (same && names_host(line, service.name()))
            || names_host(line, &full)
            || ip.is_some_and(|ip| names_host(line, ip));
        if hit {
            out.extend(to_service(known, client, service, line));
        }
    }
    let pods = if has_address(line) {
        known.everywhere("Pod")
    } else {
        Vec::new()
    };
    for pod in pods {
        let hit = pod
            .str("status.podIP")
            .is_some_and(|ip| names_host(line, ip));
        let owner = known.owner_of(pod);
        if hit && !owner.reference().same_object(&client.reference()) {
            out.extend(connection(
                known,
                client,
                owner,
                port_after(line, pod),
                line,
            ));
        }
    }
    out
}

/// Whether a line holds something like an IP address.
fn has_address(line: &str) -> bool {
    line.split(|c: char| !c.is_ascii_hexdigit() && !matches!(c, '.' | ':'))
        .any(|w| w.matches('.').count() >= 3 || w.matches(':').count() >= 3)
}

/// The port behind a pod's address in a line.
fn port_after(line: &str, pod: &Object) -> Option<Port> {
    let ip = pod.str("status.podIP")?;
    let (_, rest) = line.split_once(&format!("{ip}:"))?;
    let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
    let number = digits.parse().ok()?;
    let declared = declared_ports(pod);
    let name = declared.iter().find(|d| d.number == number);
    Some(Port {
        number,
        name: name.and_then(|d| d.name).map(str::to_owned),
        protocol: "TCP".to_owned(),
    })
}

fn dns<'a>(known: &Known<'a>, client: &'a Object, evidence: &str) -> Option<Blocked<'a>> {
    let peer = Peer::dns(known);
    let port = Port {
        number: 53,
        name: Some("dns".to_owned()),
        protocol: "UDP".to_owned(),
    };
    let policies = blocking(client, Direction::Egress, &peer, Some(&port), known);
    (!policies.is_empty()).then(|| Blocked {
        policies,
        direction: Direction::Egress,
        subject: client,
        peer: None,
        port: Some(port),
        client,
        evidence: evidence.to_owned(),
    })
}

/// What blocks the way from a workload to the pods behind a Service.
fn to_service<'a>(
    known: &Known<'a>,
    client: &'a Object,
    service: &'a Object,
    evidence: &str,
) -> Vec<Blocked<'a>> {
    let ports = service.list("spec.ports");
    let mut out = Vec::new();
    for target in selected(service, known) {
        if target.reference().same_object(&client.reference()) {
            continue;
        }
        let port = ports.first().and_then(|p| resolved(p, target));
        out.extend(connection(known, client, target, port, evidence));
    }
    out
}

fn resolved(port: &Value, workload: &Object) -> Option<Port> {
    let target = target_of(port);
    let declared = declared_ports(workload);
    let hit = declared.iter().find(|d| match target.as_str() {
        Some(name) => d.name == Some(name),
        None => Some(d.number) == target.as_i64(),
    });
    Some(Port {
        number: hit.map(|d| d.number).or_else(|| target.as_i64())?,
        name: hit.and_then(|d| d.name).map(str::to_owned),
        protocol: port
            .get("protocol")
            .and_then(Value::as_str)
            .unwrap_or("TCP")
            .to_owned(),
    })
}

fn connection<'a>(
    known: &Known<'a>,
    client: &'a Object,
    target: &'a Object,
    port: Option<Port>,
    evidence: &str,
) -> Vec<Blocked<'a>> {
    let sides = [
        (Direction::Egress, client, target),
        (Direction::Ingress, target, client),
    ];
    let mut out = Vec::new();
    for (direction, subject, other) in sides {
        let peer = Peer::of(other, known);
        let policies = blocking(subject, direction, &peer, port.as_ref(), known);
        if !policies.is_empty() {
            out.push(Blocked {
                policies,
                direction,
                subject,
                peer: Some(other),
                port: port.clone(),
                client,
                evidence: evidence.to_owned(),
            });
        }
    }
    out
}

// -- report

fn from_report<'a>(view: &View<'a>, known: &Known<'a>) -> Vec<Blocked<'a>> {
    let Some(report) = view.report else {
        return Vec::new();
    };
    if !speaks_of_traffic(&report.text) {
        return Vec::new();
    }
    let ns = report.namespace.as_deref();
    let named = mentions(&report.text, ns, view.snapshot, view.desired);
    let pairs = between(view, known, &named.strong, &report.text);
    if !pairs.is_empty() {
        return pairs;
    }
    let objects = if named.strong.iter().any(|o| !workloads(o, known).is_empty()) {
        named.strong
    } else {
        [named.strong, named.weak].concat()
    };
    let mut out = Vec::new();
    for workload in objects
        .iter()
        .take(20)
        .flat_map(|o| workloads(o, known))
        .filter(|w| all_ready(view, w))
    {
        out.extend(around(known, workload, &report.text));
    }
    out
}

/// Pods that do not even run have another trouble than a policy.
/// The traffic between the first two applications that a report names: the one named first calls,
/// unless the text says `from` in front of the second.
fn between<'a>(
    view: &View<'a>,
    known: &Known<'a>,
    named: &[ObjectRef],
    text: &str,
) -> Vec<Blocked<'a>> {
    let mut sides: Vec<&'a Object> = Vec::new();
    for object in named.iter().take(20) {
        let found = workloads(object, known);
        sides.extend(
            found
                .into_iter()
                .filter(|w| !sides.iter().any(|s| same(s, w)))
                .filter(|w| all_ready(view, w))
                .collect::<Vec<_>>(),
        );
    }
    let [first, second, ..] = sides.as_slice() else {
        return Vec::new();
    };
    let reversed = [
        second.name(),
        crate::detect::network::service::stem(second.name()),
    ]
    .iter()
    .any(|name| text.contains(&format!("from {name}")));
    let (client, target) = if reversed {
        (*second, *first)
    } else {
        (*first, *second)
    };
    let services = known.all("Service", target.namespace());
    let service = services
        .into_iter()
        .find(|s| selected(s, known).iter().any(|w| same(w, target)));
    let port = match service {
        Some(service) => service
            .list("spec.ports")
            .first()
            .and_then(|p| resolved(p, target)),
        None => declared_ports(target).first().map(|d| Port {
            number: d.number,
            name: d.name.map(str::to_owned),
            protocol: d.protocol.to_owned(),
        }),
    };
    connection(known, client, target, port, text)
}

fn all_ready(view: &View<'_>, workload: &Object) -> bool {
    let ready = |pod: &&Object| {
        pod.list("status.conditions").iter().all(|c| {
            let field = |key: &str| c.get(key).and_then(Value::as_str);
            field("type") != Some("Ready") || field("status") == Some("True")
        })
    };
    view.snapshot
        .pods_of(&workload.reference())
        .iter()
        .all(ready)
}

pub(super) fn speaks_of_traffic(text: &str) -> bool {
    let text = text.to_ascii_lowercase();
    is_blocked_traffic(&text)
        || [
            "time out",
            "times out",
            "timing out",
            "unable to",
            "cannot",
            "can't",
            "hang",
            "blocked",
            "connect",
            "reach",
            "network",
            "traffic",
            "dns",
            "down",
            "respond",
            "fail",
            "refus",
            "communicat",
            "access",
            "curl",
            "503",
            "504",
            "502",
        ]
        .iter()
        .any(|w| text.contains(w))
}

fn workloads<'a>(object: &ObjectRef, known: &Known<'a>) -> Vec<&'a Object> {
    let found = known.find(&object.kind, object.namespace.as_deref(), &object.name);
    match found {
        Some(o) if o.kind() == "Service" => selected(o, known),
        Some(o) if o.kind() == "Ingress" => crate::detect::network::ingress::backends(o)
            .iter()
            .filter_map(|b| known.find("Service", o.namespace(), b.service))
            .flat_map(|s| selected(s, known))
            .collect(),
        Some(o) if o.pod_spec_path().is_some() => vec![o],
        _ => Vec::new(),
    }
}

/// What blocks a workload's calls, and the calls of it by others.
fn around<'a>(known: &Known<'a>, workload: &'a Object, evidence: &str) -> Vec<Blocked<'a>> {
    let mut out: Vec<Blocked<'a>> = dns(known, workload, evidence).into_iter().collect();
    for service in known.called_by(workload) {
        out.extend(to_service(known, workload, service, evidence));
    }
    let ns = workload.namespace();
    let services: Vec<&Object> = known
        .all("Service", ns)
        .into_iter()
        .filter(|s| selected(s, known).iter().any(|w| same(w, workload)))
        .collect();
    for client in known
        .workloads(ns)
        .into_iter()
        .filter(|c| !same(c, workload))
    {
        for called in known.called_by(client) {
            if services.iter().any(|s| same(s, called)) {
                out.extend(to_service(known, client, called, evidence));
            }
        }
    }
    let closed = policies_on(workload, Direction::Ingress, known);
    let isolated = !closed.is_empty() && closed.iter().all(|p| lets_nobody_in(p, known));
    if out.iter().all(|b| b.direction == Direction::Egress) && isolated && !services.is_empty() {
        out.push(Blocked {
            policies: closed,
            direction: Direction::Ingress,
            subject: workload,
            peer: None,
            port: None,
            client: workload,
            evidence: evidence.to_owned(),
        });
    }
    out
}

/// No rule at all, or only rules whose selectors match no namespace and no workload that is known.
fn lets_nobody_in(policy: &Object, known: &Known<'_>) -> bool {
    if denies_all(policy, Direction::Ingress) {
        return true;
    }
    let peers: Vec<Peer> = known
        .everywhere("Namespace")
        .into_iter()
        .flat_map(|n| {
            let inside = known.workloads(Some(n.name()));
            let mut out: Vec<Peer> = inside.into_iter().map(|w| Peer::of(w, known)).collect();
            out.push(Peer::somebody_in(n.name(), known));
            out
        })
        .collect();
    !peers.is_empty()
        && policy
            .list("spec.ingress")
            .iter()
            .all(|rule| !peers.iter().any(|p| may_come(rule, p, policy)))
}

fn same(a: &Object, b: &Object) -> bool {
    a.reference().same_object(&b.reference())
}
