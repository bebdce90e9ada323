//! What must hold of everything that is rendered.

use serde::Deserialize as _;
use serde_json::{Value, json};

/// The documents of a stream.
pub(crate) fn objects(text: &str) -> Vec<Value> {
    let documents = serde_yaml::Deserializer::from_str(text);
    let values = documents.map(|d| Value::deserialize(d).unwrap());
    values.filter(|v| !v.is_null()).collect()
}

/// The one object of a kind.
pub(crate) fn one<'o>(objects: &'o [Value], kind: &str) -> &'o Value {
    let of: Vec<&Value> = objects.iter().filter(|o| o["kind"] == kind).collect();
    assert_eq!(of.len(), 1, "{kind}");
    of[0]
}

pub(crate) fn named<'o>(objects: &'o [Value], kind: &str, name: &str) -> &'o Value {
    let is = |o: &&Value| o["kind"] == kind && o["metadata"]["name"] == name;
    objects.iter().find(is).unwrap()
}

pub(crate) fn args(deployment: &Value) -> Vec<String> {
    let args = &deployment["spec"]["template"]["spec"]["containers"][0]["args"];
    serde_json::from_value(args.clone()).unwrap()
}

/// No Secret comes with it, no rule names one, and what is written is kubemend's own.
pub(crate) fn holds(objects: &[Value]) {
    for object in objects {
        assert_ne!(object["kind"], "Secret");
        for rule in object["rules"].as_array().into_iter().flatten() {
            if object["kind"].as_str().is_some_and(|k| k.ends_with("Role")) {
                harmless(object, rule);
            }
        }
    }
    container(one(objects, "Deployment"));
}

fn words<'r>(rule: &'r Value, key: &str) -> Vec<&'r str> {
    let list = rule[key].as_array().into_iter().flatten();
    list.map(|v| v.as_str().unwrap()).collect()
}

/// What may be written, and only in its own namespace but for Events: objects of its own.
const OWN: [&str; 4] = ["leases", "remediations", "remediations/status", "events"];

fn harmless(role: &Value, rule: &Value) {
    let (resources, verbs) = (words(rule, "resources"), words(rule, "verbs"));
    assert!(!resources.is_empty() && !verbs.is_empty(), "{rule}");
    for word in ["*", "secrets"] {
        assert!(!resources.contains(&word), "{rule}");
    }
    let reads = |v: &&str| matches!(*v, "get" | "list" | "watch");
    if !verbs.iter().all(reads) {
        assert!(resources.iter().all(|r| OWN.contains(r)), "{rule}");
        let only_events = resources == ["events"];
        assert!(role["kind"] == "Role" || only_events, "{rule}");
    }
}

/// Nothing that is secret in variables, nothing of the host, and only empty directories to write in.
fn container(deployment: &Value) {
    let pod = &deployment["spec"]["template"]["spec"];
    let containers = pod["containers"].as_array().unwrap();
    for container in containers {
        let security = &container["securityContext"];
        assert_eq!(security["readOnlyRootFilesystem"], true);
        assert_eq!(security["capabilities"], json!({"drop": ["ALL"]}));
        assert!(!container["env"].to_string().contains("secretKeyRef"));
        assert!(!container["envFrom"].to_string().contains("secretRef"));
        assert_eq!(container["livenessProbe"]["httpGet"]["path"], "/healthz");
        assert_eq!(container["readinessProbe"]["httpGet"]["path"], "/readyz");
        assert!(container["resources"]["limits"]["memory"].is_string());
    }
    for volume in pod["volumes"].as_array().unwrap() {
        let known = ["secret", "configMap", "emptyDir"];
        assert!(known.iter().any(|k| volume[*k].is_object()), "{volume}");
    }
    for key in ["hostNetwork", "hostPID", "hostIPC"] {
        assert!(pod[key].is_null());
    }
}
