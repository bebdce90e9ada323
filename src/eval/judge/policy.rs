//! Assertions that need to know how Kubernetes reads network policies, bindings and pod specs.

use serde_json::{Value, json};

use super::assertion::quantity;
use super::compare::same;
use super::reading::plain_text;
use crate::object::{at, list};

/// Some binding binds exactly that role to exactly that one subject.
pub(super) fn binds(bindings: &[&Value], wanted: &Value) -> bool {
    bindings.iter().any(|binding| {
        let role = format!(
            "{}/{}",
            text(binding, "roleRef.kind"),
            text(binding, "roleRef.name")
        );
        let subjects = list(binding, "subjects");
        let own = text(binding, "metadata.namespace");
        subjects.len() == 1
            && wanted.get("role").and_then(Value::as_str) == Some(&role)
            && subjects.iter().any(|s| {
                let namespace = s.get("namespace").map_or(own.clone(), plain_text);
                let subject = format!("{}/{namespace}/{}", text(s, "kind"), text(s, "name"));
                wanted.get("subject").and_then(Value::as_str) == Some(&subject)
            })
    })
}

/// No egress rule is without both `to` and `ports`.
pub(super) fn egress_not_open(policies: &[&Value]) -> bool {
    let open = |rule: &Value| missing(rule, "to") && missing(rule, "ports");
    !policies
        .iter()
        .any(|policy| list(policy, "spec.egress").iter().any(open))
}

/// Over all policies that select the client, some egress rule allows the target and its ports.
pub(super) fn egress_allows(policies: &[&Value], wanted: &Value) -> bool {
    let client = json!({"app.kubernetes.io/name": "client"});
    let to_dns = wanted.get("to").and_then(Value::as_str) == Some("dns");
    let by_named_port = json!(["TCP/http-web-svc"]);
    let ports = |rule: &Value| {
        allows_ports(rule, wanted.get("ports"))
            || (!to_dns && allows_ports(rule, Some(&by_named_port)))
    };
    let reaches = |rule: &Value| {
        let peers = list(rule, "to");
        peers.is_empty()
            || peers.iter().any(|peer| {
                if to_dns {
                    reaches_dns(peer)
                } else {
                    reaches_pod(peer, wanted.get("pod"))
                }
            })
    };
    let mine: Vec<&&Value> = policies
        .iter()
        .filter(|p| selects(p, Some(&client)) && governs(p, "Egress"))
        .collect();
    mine.is_empty()
        || mine
            .iter()
            .flat_map(|p| list(p, "spec.egress"))
            .any(|rule| ports(rule) && reaches(rule))
}

/// Over all policies that select the target, some ingress rule allows the pod and its ports.
pub(super) fn ingress_allows(policies: &[&Value], wanted: &Value) -> bool {
    let mine: Vec<&&Value> = policies
        .iter()
        .filter(|p| selects(p, wanted.get("to")) && governs(p, "Ingress"))
        .collect();
    let from = |rule: &Value| {
        let peers = list(rule, "from");
        let meant = |peer: &Value| {
            peer.get("podSelector")
                .is_some_and(|s| selector_matches(s, wanted.get("pod")))
        };
        peers.is_empty() || peers.iter().any(meant)
    };
    mine.is_empty()
        || mine
            .iter()
            .flat_map(|p| list(p, "spec.ingress"))
            .any(|rule| allows_ports(rule, wanted.get("ports")) && from(rule))
}

fn selects(policy: &Value, labels: Option<&Value>) -> bool {
    let selector = at(policy, "spec.podSelector").unwrap_or(&Value::Null);
    selector_matches(selector, labels)
}

fn governs(policy: &Value, direction: &str) -> bool {
    match at(policy, "spec.policyTypes") {
        Some(types) => types
            .as_array()
            .is_some_and(|t| t.iter().any(|t| t.as_str() == Some(direction))),
        None => direction == "Ingress" || at(policy, "spec.egress").is_some(),
    }
}

fn reaches_dns(peer: &Value) -> bool {
    let namespace = json!({"kubernetes.io/metadata.name": "kube-system"});
    let pod = json!({"k8s-app": "kube-dns"});
    let pods = peer.get("podSelector").unwrap_or(&Value::Null);
    peer.get("ipBlock").is_none()
        && peer
            .get("namespaceSelector")
            .is_some_and(|s| selector_matches(s, Some(&namespace)))
        && selector_matches(pods, Some(&pod))
}

fn reaches_pod(peer: &Value, pod: Option<&Value>) -> bool {
    match (peer.get("podSelector"), peer.get("namespaceSelector")) {
        (Some(pods), _) => selector_matches(pods, pod),
        (None, Some(namespaces)) => !is_filled(namespaces),
        (None, None) => false,
    }
}

fn selector_matches(selector: &Value, labels: Option<&Value>) -> bool {
    let label = |key: &str| labels.and_then(|l| l.get(key)).filter(|v| !v.is_null());
    let equal = |(key, wanted): (&String, &Value)| label(key).is_some_and(|v| same(v, wanted));
    let wanted = selector.get("matchLabels").and_then(Value::as_object);
    wanted.is_none_or(|wanted| wanted.iter().all(equal))
        && list(selector, "matchExpressions").iter().all(|expression| {
            let have = label(&text(expression, "key"));
            let among = || {
                let values = list(expression, "values");
                values.iter().any(|v| have.is_some_and(|h| same(v, h)))
            };
            match text(expression, "operator").as_str() {
                "In" => among(),
                "NotIn" => !among(),
                "Exists" => have.is_some(),
                "DoesNotExist" => have.is_none(),
                _ => true,
            }
        })
}

/// Whether a rule lets all of `TCP/80`, … through. A rule without ports lets everything through.
fn allows_ports(rule: &Value, wanted: Option<&Value>) -> bool {
    let ports = list(rule, "ports");
    let lets_through = |protocol: &str, port: &str| {
        ports.iter().any(|p| {
            let same_protocol = p.get("protocol").map_or("TCP".to_owned(), plain_text) == protocol;
            same_protocol && p.get("port").is_none_or(|p| plain_text(p) == port)
        })
    };
    let wanted = wanted
        .and_then(Value::as_array)
        .map_or(&[][..], Vec::as_slice);
    ports.is_empty()
        || wanted.iter().all(|w| {
            let name = plain_text(w);
            name.split_once('/')
                .is_some_and(|(protocol, port)| lets_through(protocol, port))
        })
}

/// The container mounts at that path an emptyDir in memory that is large enough.
pub(super) fn memory_empty_dir_at(pod_spec: &Value, wanted: &Value) -> bool {
    let container = list(pod_spec, "containers")
        .iter()
        .find(|c| c.get("name") == wanted.get("container"));
    let path = wanted.get("path").and_then(Value::as_str);
    let mount = container.and_then(|c| {
        list(c, "volumeMounts").iter().find(|m| {
            let at = m.get("mountPath").and_then(Value::as_str);
            at.map(|p| p.trim_end_matches('/')) == path
        })
    });
    let volume = mount.and_then(|m| {
        list(pod_spec, "volumes")
            .iter()
            .find(|v| v.get("name") == m.get("name"))
    });
    let Some(directory) = volume.and_then(|v| v.get("emptyDir")) else {
        return false;
    };
    let least = wanted.get("min").and_then(quantity);
    let large_enough = match directory.get("sizeLimit") {
        None => true,
        Some(size) => matches!((quantity(size), least), (Some(size), Some(least)) if size >= least),
    };
    directory.get("medium").and_then(Value::as_str) == Some("Memory") && large_enough
}

/// The pod spec meets Pod Security `restricted`.
pub(super) fn restricted(pod_spec: &Value) -> bool {
    list(pod_spec, "containers")
        .iter()
        .chain(list(pod_spec, "initContainers"))
        .all(|container| restricted_container(pod_spec, container))
}

fn restricted_container(pod_spec: &Value, container: &Value) -> bool {
    let own = |key: &str| at(container, "securityContext").and_then(|s| s.get(key));
    let either = |key: &str| own(key).or_else(|| at(pod_spec, "securityContext")?.get(key));
    let drops_all = list(container, "securityContext.capabilities.drop")
        .iter()
        .any(|c| c.as_str() == Some("ALL"));
    let profile = either("seccompProfile").and_then(|p| p.get("type")?.as_str());
    either("runAsNonRoot") == Some(&Value::Bool(true))
        && own("allowPrivilegeEscalation") == Some(&Value::Bool(false))
        && drops_all
        && matches!(profile, Some("RuntimeDefault" | "Localhost"))
        && !either("runAsUser").is_some_and(|user| same(user, &json!(0)))
        && !own("privileged").is_some_and(is_filled)
}

fn text(value: &Value, dotted: &str) -> String {
    at(value, dotted).map_or_else(|| "None".to_owned(), plain_text)
}

fn missing(value: &Value, key: &str) -> bool {
    !value.get(key).is_some_and(is_filled)
}

/// Whether a value counts as something: not null, false, 0 or empty.
fn is_filled(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => false,
        Value::String(text) => !text.is_empty(),
        Value::Array(items) => !items.is_empty(),
        Value::Object(map) => !map.is_empty(),
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::Bool(true) => true,
    }
}
