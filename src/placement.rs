//! Which nodes a pod could run on, as the scheduler's filters see it. Pure.
//!
//! A dump rarely holds every pod of a cluster, so what is free on a node is an upper bound; what a
//! node can ever offer (allocatable, labels, taints) is exact.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::object::{Object, at, list};
use crate::quantity::Quantity;
use crate::snapshot::{Snapshot, selector_matches};

/// Amounts by resource name.
pub type Amounts = BTreeMap<String, Quantity>;

/// What a pod asks for: the sum over its containers and sidecars, or the largest init container,
/// whichever is more, and the overhead.
pub fn pod_requests(spec: &Value) -> Amounts {
    let mut total = Amounts::new();
    for container in list(spec, "containers") {
        add(&mut total, &container_requests(container));
    }
    let mut sidecars = Amounts::new();
    let mut peak = Amounts::new();
    for container in list(spec, "initContainers") {
        let mut wanted = container_requests(container);
        if container.get("restartPolicy").and_then(Value::as_str) == Some("Always") {
            add(&mut sidecars, &wanted);
        } else {
            add(&mut wanted, &sidecars);
            raise(&mut peak, &wanted);
        }
    }
    add(&mut total, &sidecars);
    raise(&mut total, &peak);
    add(&mut total, &amounts(spec.get("overhead")));
    total
}

/// What one container asks for; where only a limit is given, the limit.
pub fn container_requests(container: &Value) -> Amounts {
    let mut out = amounts(at(container, "resources.limits"));
    out.extend(amounts(at(container, "resources.requests")));
    out
}

/// A mapping of resource names to quantities; what is no quantity is left out.
pub fn amounts(value: Option<&Value>) -> Amounts {
    let entries = value.and_then(Value::as_object).into_iter().flatten();
    entries
        .filter_map(|(name, v)| Some((name.clone(), Quantity::of(v)?)))
        .collect()
}

fn add(total: &mut Amounts, more: &Amounts) {
    for (name, amount) in more {
        let entry = total.entry(name.clone()).or_insert(Quantity::ZERO);
        *entry = *entry + *amount;
    }
}

fn raise(total: &mut Amounts, other: &Amounts) {
    for (name, amount) in other {
        let entry = total.entry(name.clone()).or_insert(Quantity::ZERO);
        *entry = (*entry).max(*amount);
    }
}

/// How much of a resource a node offers to pods at all; nothing for a resource that it has not.
pub fn allocatable(node: &Object, resource: &str) -> Quantity {
    let listed = node.map("status.allocatable").and_then(|m| m.get(resource));
    listed.and_then(Quantity::of).unwrap_or(Quantity::ZERO)
}

/// How much of a resource is left on a node, at most: what the pods of the dump do not ask for.
pub fn free(snapshot: &Snapshot, node: &Object, resource: &str) -> Quantity {
    let used: Quantity = pods_on(snapshot, node)
        .filter_map(|pod| pod_requests(pod.pod_spec()?).get(resource).copied())
        .sum();
    allocatable(node, resource) - used
}

/// The running pods of one node.
pub fn pods_on<'s>(
    snapshot: &'s Snapshot,
    node: &'s Object,
) -> impl Iterator<Item = &'s Object> + use<'s> {
    snapshot.of_kind("Pod").filter(|pod| {
        pod.str("spec.nodeName") == Some(node.name())
            && !matches!(pod.str("status.phase"), Some("Succeeded" | "Failed"))
    })
}

/// Whether a node is ready and not cordoned.
pub fn is_up(node: &Object) -> bool {
    let ready = node
        .list("status.conditions")
        .iter()
        .find(|c| c.get("type").and_then(Value::as_str) == Some("Ready"));
    let down = ready.is_some_and(|c| c.get("status").and_then(Value::as_str) != Some("True"));
    !down && node.get("spec.unschedulable") != Some(&Value::Bool(true))
}

/// The first taint of a node that keeps the pod away.
pub fn blocking_taint<'n>(spec: &Value, node: &'n Object) -> Option<&'n Value> {
    node.list("spec.taints").iter().find(|taint| {
        let effect = taint.get("effect").and_then(Value::as_str);
        matches!(effect, Some("NoSchedule" | "NoExecute"))
            && !list(spec, "tolerations")
                .iter()
                .any(|t| tolerates(t, taint))
    })
}

fn tolerates(toleration: &Value, taint: &Value) -> bool {
    let text = |v: &Value, key: &str| {
        v.get(key)
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned()
    };
    let effect = text(toleration, "effect");
    if !effect.is_empty() && effect != text(taint, "effect") {
        return false;
    }
    let key = text(toleration, "key");
    let exists = text(toleration, "operator") == "Exists";
    if key.is_empty() {
        return exists;
    }
    key == text(taint, "key") && (exists || text(toleration, "value") == text(taint, "value"))
}

/// `dedicated=gpu:NoSchedule`, as kubectl writes a taint.
pub fn taint_text(taint: &Value) -> String {
    let text = |key: &str| taint.get(key).and_then(Value::as_str).unwrap_or_default();
    let value = if text("value").is_empty() {
        String::new()
    } else {
        format!("={}", text("value"))
    };
    format!("{}{value}:{}", text("key"), text("effect"))
}

/// Whether a node meets the node selector and the required node affinity.
pub fn node_matches(spec: &Value, node: &Object) -> bool {
    let labels = node.map("metadata.labels");
    let selected = at(spec, "nodeSelector")
        .and_then(Value::as_object)
        .is_none_or(|wanted| wanted.iter().all(|(k, v)| label(labels, k) == v.as_str()));
    selected && affinity_matches(spec, node, labels)
}

fn label<'n>(labels: Option<&'n Map<String, Value>>, key: &str) -> Option<&'n str> {
    labels.and_then(|l| l.get(key)).and_then(Value::as_str)
}

fn affinity_matches(spec: &Value, node: &Object, labels: Option<&Map<String, Value>>) -> bool {
    let terms = node_terms(spec);
    terms.is_empty()
        || terms.iter().any(|term| {
            let expressions = list(term, "matchExpressions");
            let fields = list(term, "matchFields");
            (!expressions.is_empty() || !fields.is_empty())
                && expressions.iter().all(|e| expression_matches(e, labels))
                && fields.iter().all(|e| field_matches(e, node))
        })
}

/// The terms of the required node affinity.
pub fn node_terms(spec: &Value) -> &[Value] {
    list(
        spec,
        "affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms",
    )
}

fn expression_matches(expression: &Value, labels: Option<&Map<String, Value>>) -> bool {
    let key = expression
        .get("key")
        .and_then(Value::as_str)
        .unwrap_or_default();
    let first = || {
        list(expression, "values")
            .first()?
            .as_str()?
            .parse::<i64>()
            .ok()
    };
    let have = || label(labels, key)?.parse::<i64>().ok();
    match expression.get("operator").and_then(Value::as_str) {
        Some("Gt") => have().zip(first()).is_some_and(|(h, v)| h > v),
        Some("Lt") => have().zip(first()).is_some_and(|(h, v)| h < v),
        _ => {
            let selector = serde_json::json!({ "matchExpressions": [expression] });
            selector_matches(Some(&selector), labels)
        }
    }
}

fn field_matches(expression: &Value, node: &Object) -> bool {
    let name = Value::String(node.name().to_owned());
    let listed = list(expression, "values").contains(&name);
    (expression.get("operator").and_then(Value::as_str) == Some("NotIn")) != listed
}

/// The host ports that a pod takes: `(port, protocol)`.
pub fn host_ports(spec: &Value) -> Vec<(i64, String)> {
    let host_network = spec.get("hostNetwork") == Some(&Value::Bool(true));
    let ports = list(spec, "containers")
        .iter()
        .flat_map(|c| list(c, "ports"));
    ports
        .filter_map(|p| {
            let port = p.get("hostPort").and_then(Value::as_i64).or_else(|| {
                let container = p.get("containerPort").and_then(Value::as_i64);
                container.filter(|_| host_network)
            })?;
            let protocol = p.get("protocol").and_then(Value::as_str).unwrap_or("TCP");
            (port > 0).then(|| (port, protocol.to_owned()))
        })
        .collect()
}

/// The terms of the required pod anti-affinity.
pub fn anti_affinity_terms(spec: &Value) -> &[Value] {
    list(
        spec,
        "affinity.podAntiAffinity.requiredDuringSchedulingIgnoredDuringExecution",
    )
}

/// Whether an (anti-)affinity term of a pod in `namespace` is about another pod.
pub fn term_selects(term: &Value, namespace: Option<&str>, other: &Object) -> bool {
    let named = list(term, "namespaces");
    let within = if named.is_empty() && term.get("namespaceSelector").is_none() {
        other.namespace() == namespace
    } else {
        named.is_empty() || named.iter().any(|n| n.as_str() == other.namespace())
    };
    within
        && term.get("labelSelector").is_some()
        && selector_matches(term.get("labelSelector"), other.map("metadata.labels"))
}

/// What keeps a pod from one node, in the order in which people think of it: the wish for a node
/// first, then what the node offers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Obstacle {
    /// The node is cordoned or not ready.
    Down,
    /// Node selector or node affinity.
    Selector,
    /// A taint, as text.
    Taint(String),
    /// The node can never offer that much of a resource.
    TooLarge(String),
    /// A pod of the dump holds the host port.
    HostPort(i64),
    /// A pod that the anti-affinity excludes runs there.
    AntiAffinity,
    /// The node has that much, but not free.
    NotFree(String),
}

/// Everything that keeps a pod from a node, as far as the dump shows; empty when it would fit.
pub fn obstacles(snapshot: &Snapshot, pod: &Object, node: &Object) -> Vec<Obstacle> {
    let Some(spec) = pod.pod_spec() else {
        return Vec::new();
    };
    let mut out = Vec::new();
    if !is_up(node) {
        out.push(Obstacle::Down);
    }
    if !node_matches(spec, node) {
        out.push(Obstacle::Selector);
    }
    out.extend(blocking_taint(spec, node).map(|t| Obstacle::Taint(taint_text(t))));
    let requests = pod_requests(spec);
    let positive = requests.iter().filter(|(_, q)| q.is_positive());
    for (resource, wanted) in positive.filter(|(r, _)| is_node_resource(r)) {
        if *wanted > allocatable(node, resource) {
            out.push(Obstacle::TooLarge(resource.clone()));
        } else if *wanted > free(snapshot, node, resource) {
            out.push(Obstacle::NotFree(resource.clone()));
        }
    }
    out.extend(taken_port(snapshot, spec, node).map(Obstacle::HostPort));
    if anti_affine_pod(snapshot, pod, node).is_some() {
        out.push(Obstacle::AntiAffinity);
    }
    out
}

fn is_node_resource(resource: &str) -> bool {
    matches!(resource, "cpu" | "memory" | "ephemeral-storage")
        || resource.contains('/')
        || resource.starts_with("hugepages-")
}

/// The first host port of the pod that another pod on the node holds.
pub fn taken_port(snapshot: &Snapshot, spec: &Value, node: &Object) -> Option<i64> {
    let wanted = host_ports(spec);
    pods_on(snapshot, node)
        .filter_map(Object::pod_spec)
        .flat_map(host_ports)
        .find(|held| wanted.contains(held))
        .map(|(port, _)| port)
}

/// A pod on the node's own topology domain (host only) that the pod refuses to share it with.
pub fn anti_affine_pod<'s>(
    snapshot: &'s Snapshot,
    pod: &Object,
    node: &'s Object,
) -> Option<&'s Object> {
    let terms = anti_affinity_terms(pod.pod_spec()?);
    pods_on(snapshot, node).find(|other| {
        let excluded = |t: &Value| term_selects(t, pod.namespace(), other);
        !other.reference().same_object(&pod.reference()) && terms.iter().any(excluded)
    })
}

/// Nodes that are up, that the pod's selector and tolerations admit.
pub fn candidates<'s>(snapshot: &'s Snapshot, spec: &Value) -> Vec<&'s Object> {
    snapshot
        .of_kind("Node")
        .filter(|n| is_up(n) && node_matches(spec, n) && blocking_taint(spec, n).is_none())
        .collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use serde_json::json;

    fn node(labels: Value, taints: Value) -> Object {
        Object::new(json!({
            "kind": "Node", "metadata": {"name": "n1", "labels": labels},
            "spec": {"taints": taints},
            "status": {"allocatable": {"cpu": "2", "memory": "4Gi"}}
        }))
        .unwrap()
    }

    fn pod(spec: Value) -> Object {
        Object::new(
            json!({"kind": "Pod", "metadata": {"name": "p", "namespace": "shop"}, "spec": spec}),
        )
        .unwrap()
    }

    fn on(node: &Object, spec: Value) -> Vec<Obstacle> {
        obstacles(&Snapshot::default(), &pod(spec), node)
    }

    #[test]
    fn a_pod_asks_for_the_sum_or_the_largest_init_container() {
        let spec = json!({
            "initContainers": [
                {"resources": {"requests": {"memory": "3Gi"}}},
                {"restartPolicy": "Always", "resources": {"requests": {"cpu": "100m"}}}
            ],
            "containers": [
                {"resources": {"requests": {"cpu": "250m", "memory": "1Gi"}}},
                {"resources": {"limits": {"cpu": "250m"}}}
            ],
            "overhead": {"memory": "1Gi"}
        });
        let total = pod_requests(&spec);
        assert_eq!(total["cpu"], Quantity::milli(600));
        assert_eq!(total["memory"], Quantity::mebi(4096));
    }

    #[test]
    fn each_filter_stands_alone() {
        let plain = node(json!({"disk": "ssd"}), json!([]));
        assert_eq!(on(&plain, json!({})), []);
        assert_eq!(
            on(&plain, json!({"nodeSelector": {"disk": "hdd"}})),
            [Obstacle::Selector]
        );
        assert_eq!(on(&plain, json!({"nodeSelector": {"disk": "ssd"}})), []);
        let big = json!({"containers": [{"resources": {"requests": {"memory": "5Gi"}}}]});
        assert_eq!(on(&plain, big), [Obstacle::TooLarge("memory".into())]);
        let gpu = json!({"containers": [{"resources": {"limits": {"example.com/gpu": 1}}}]});
        assert_eq!(
            on(&plain, gpu),
            [Obstacle::TooLarge("example.com/gpu".into())]
        );
    }

    #[test]
    fn tolerations_match_by_key_value_and_effect() {
        let tainted = node(
            json!({}),
            json!([{"key": "team", "value": "a", "effect": "NoSchedule"}]),
        );
        let with = |t: Value| on(&tainted, json!({"tolerations": [t]})).is_empty();
        assert!(with(
            json!({"key": "team", "value": "a", "effect": "NoSchedule"})
        ));
        assert!(with(json!({"key": "team", "operator": "Exists"})));
        assert!(with(json!({"operator": "Exists"})));
        assert!(!with(json!({"key": "team", "value": "b"})));
        assert!(!with(
            json!({"key": "team", "value": "a", "effect": "NoExecute"})
        ));
        let soft = node(
            json!({}),
            json!([{"key": "a", "effect": "PreferNoSchedule"}]),
        );
        assert_eq!(on(&soft, json!({})), []);
    }

    #[test]
    fn node_affinity_terms_are_alternatives() {
        let host = node(json!({"zone": "x", "size": "8"}), json!([]));
        let terms = |terms: Value| {
            on(
                &host,
                json!({"affinity": {"nodeAffinity": {
                "requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}}}}),
            )
            .is_empty()
        };
        let is = |op: &str, key: &str, v: Value| json!({"matchExpressions": [{"key": key, "operator": op, "values": v}]});
        assert!(terms(json!([
            is("In", "zone", json!(["y"])),
            is("In", "zone", json!(["x"]))
        ])));
        assert!(!terms(json!([is("In", "zone", json!(["y"]))])));
        assert!(terms(json!([is("Gt", "size", json!(["4"]))])));
        assert!(!terms(json!([is("Lt", "size", json!(["4"]))])));
        assert!(!terms(json!([{}])), "an empty term matches nothing");
    }
}
