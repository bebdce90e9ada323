//! What NetworkPolicies allow. Pure evaluation, shared with the plays.

use serde_json::{Map, Value};

use crate::object::{Object, list};
use crate::report::Known;
use crate::snapshot::selector_matches;

/// The direction of traffic, seen from the pods that a policy selects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Direction {
    Ingress,
    Egress,
}

impl Direction {
    pub(crate) fn key(self) -> &'static str {
        match self {
            Self::Ingress => "ingress",
            Self::Egress => "egress",
        }
    }
    fn peers(self) -> &'static str {
        match self {
            Self::Ingress => "from",
            Self::Egress => "to",
        }
    }
}

/// The other side of a connection.
#[derive(Debug, Clone)]
pub(crate) struct Peer {
    pub labels: Map<String, Value>,
    pub namespace: String,
    pub namespace_labels: Map<String, Value>,
}

/// The port of a connection, on the side that listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Port {
    pub number: i64,
    pub name: Option<String>,
    pub protocol: String,
}

impl Peer {
    /// The pods of a workload.
    pub(crate) fn of(workload: &Object, known: &Known<'_>) -> Self {
        let namespace = workload.namespace().unwrap_or("default").to_owned();
        Self {
            labels: workload.pod_labels().cloned().unwrap_or_default(),
            namespace_labels: namespace_labels(&namespace, known),
            namespace,
        }
    }

    /// The cluster's DNS, as practically every cluster labels it.
    /// Somebody unknown in a namespace.
    pub(crate) fn somebody_in(namespace: &str, known: &Known<'_>) -> Self {
        Self {
            labels: Map::new(),
            namespace_labels: namespace_labels(namespace, known),
            namespace: namespace.to_owned(),
        }
    }

    pub(crate) fn dns(known: &Known<'_>) -> Self {
        let mut labels = Map::new();
        labels.insert("k8s-app".to_owned(), Value::from("kube-dns"));
        Self {
            labels,
            namespace: "kube-system".to_owned(),
            namespace_labels: namespace_labels("kube-system", known),
        }
    }
}

fn namespace_labels(namespace: &str, known: &Known<'_>) -> Map<String, Value> {
    let mut labels = known
        .find("Namespace", None, namespace)
        .and_then(|n| n.map("metadata.labels"))
        .cloned()
        .unwrap_or_default();
    labels.insert(
        "kubernetes.io/metadata.name".to_owned(),
        Value::from(namespace),
    );
    labels
}

/// Whether a policy restricts a direction.
pub(crate) fn restricts(policy: &Object, direction: Direction) -> bool {
    let types = policy.list("spec.policyTypes");
    let named = |name: &str| types.iter().any(|t| t.as_str() == Some(name));
    match (direction, types.is_empty()) {
        (Direction::Ingress, true) => true,
        (Direction::Egress, true) => !policy.list("spec.egress").is_empty(),
        (Direction::Ingress, false) => named("Ingress"),
        (Direction::Egress, false) => named("Egress"),
    }
}

/// The policies that restrict the pods of a workload in a direction.
pub(crate) fn policies_on<'a>(
    workload: &Object,
    direction: Direction,
    known: &Known<'a>,
) -> Vec<&'a Object> {
    known
        .all("NetworkPolicy", workload.namespace())
        .into_iter()
        .filter(|p| selector_matches(p.get("spec.podSelector"), workload.pod_labels()))
        .filter(|p| restricts(p, direction))
        .collect()
}

/// Whether a policy has no rule at all for a direction.
pub(crate) fn denies_all(policy: &Object, direction: Direction) -> bool {
    restricts(policy, direction) && policy.list(&format!("spec.{}", direction.key())).is_empty()
}

/// The policies that block a connection of the workload's pods; empty when it is allowed.
pub(crate) fn blocking<'a>(
    workload: &Object,
    direction: Direction,
    peer: &Peer,
    port: Option<&Port>,
    known: &Known<'a>,
) -> Vec<&'a Object> {
    let policies = policies_on(workload, direction, known);
    let allowed = policies.iter().any(|p| {
        let rules = p.list(&format!("spec.{}", direction.key()));
        rules
            .iter()
            .any(|r| peer_fits(r, direction, peer, p.namespace()) && port_fits(r, port))
    });
    if allowed { Vec::new() } else { policies }
}

fn peer_fits(rule: &Value, direction: Direction, peer: &Peer, home: Option<&str>) -> bool {
    let peers = list(rule, direction.peers());
    peers.is_empty()
        || peers.iter().any(|p| {
            // addresses of pods change: a block may well hold them
            if p.get("ipBlock").is_some() {
                return true;
            }
            let namespace = match p.get("namespaceSelector") {
                Some(selector) => selector_matches(Some(selector), Some(&peer.namespace_labels)),
                None => home.unwrap_or("default") == peer.namespace,
            };
            namespace && selector_matches(p.get("podSelector"), Some(&peer.labels))
        })
}

/// Whether an ingress rule of a policy lets a peer in. Whoever is in a namespace that the rule
/// selects by itself counts, as pods of other namespaces are often not in a dump.
pub(crate) fn may_come(rule: &Value, peer: &Peer, policy: &Object) -> bool {
    let whole_namespace = list(rule, "from").iter().any(|p| {
        let selector = p.get("namespaceSelector").filter(|s| !s.is_null());
        selector.is_some_and(|s| selector_matches(Some(s), Some(&peer.namespace_labels)))
    });
    whole_namespace || peer_fits(rule, Direction::Ingress, peer, policy.namespace())
}

fn port_fits(rule: &Value, port: Option<&Port>) -> bool {
    let ports = list(rule, "ports");
    let Some(port) = port.filter(|_| !ports.is_empty()) else {
        return true;
    };
    ports.iter().any(|p| {
        let protocol = p.get("protocol").and_then(Value::as_str).unwrap_or("TCP");
        let number = match p.get("port") {
            None | Some(Value::Null) => true,
            Some(Value::String(name)) => port.name.as_deref() == Some(name),
            Some(value) => value.as_i64().is_some_and(|from| {
                let to = p.get("endPort").and_then(Value::as_i64).unwrap_or(from);
                (from..=to).contains(&port.number)
            }),
        };
        protocol == port.protocol && number
    })
}
