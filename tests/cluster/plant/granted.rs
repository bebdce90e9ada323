//! What a repository takes for granted: objects that its workloads name and that it does not define,
//! because people made them by hand, or the platform did.

use std::collections::{BTreeMap, BTreeSet};

use kubemend::object::Object;
use serde_json::{Value, json};

use crate::kubelet::references;

/// Objects of a namespace.
pub fn objects(app: &[Object]) -> Vec<Value> {
    let has = |kind: &str, name: &str| app.iter().any(|o| o.kind() == kind && o.name() == name);
    let mut named: BTreeMap<(&str, &str), BTreeSet<&str>> = BTreeMap::new();
    for object in app {
        for reference in references(object) {
            if !reference.is_optional && !has(reference.kind, reference.name) {
                let keys = named.entry((reference.kind, reference.name)).or_default();
                keys.extend(reference.keys);
            }
        }
        let account = object
            .pod_spec()
            .and_then(|s| s.get("serviceAccountName")?.as_str());
        if let Some(account) = account.filter(|a| *a != "default" && !has("ServiceAccount", a)) {
            named.entry(("ServiceAccount", account)).or_default();
        }
    }
    let made = named.into_iter().map(|((kind, name), keys)| {
        let mut object = json!({"apiVersion": "v1", "kind": kind, "metadata": {"name": name}});
        let data: BTreeMap<&str, &str> = keys.into_iter().map(|k| (k, "given")).collect();
        match kind {
            "Secret" => object["stringData"] = json!(data),
            "ConfigMap" => object["data"] = json!(data),
            _ => {}
        }
        object
    });
    made.collect()
}

/// Objects of the whole cluster.
pub fn of_the_cluster(app: &[Object]) -> Vec<Value> {
    let mut classes = BTreeSet::new();
    let mut priorities = BTreeSet::new();
    for object in app {
        let templates = object.list("spec.volumeClaimTemplates").iter();
        let claims = templates.filter_map(|t| t.pointer("/spec/storageClassName")?.as_str());
        classes.extend(claims.chain(object.str("spec.storageClassName")));
        let priority = object
            .pod_spec()
            .and_then(|s| s.get("priorityClassName")?.as_str());
        priorities.extend(priority.filter(|p| !p.starts_with("system-")));
    }
    let class = |name: &str, is_default: bool| {
        json!({
            "apiVersion": "storage.k8s.io/v1", "kind": "StorageClass",
            "metadata": {"name": name, "annotations": {"storageclass.kubernetes.io/is-default-class": is_default.to_string()}},
            "provisioner": "kubernetes.io/no-provisioner",
        })
    };
    let priority = |name: &&str| json!({"apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "metadata": {"name": name}, "value": 1000});
    classes.remove("standard");
    let classes = classes.iter().map(|c| class(c, false));
    std::iter::once(class("standard", true))
        .chain(classes)
        .chain(priorities.iter().map(priority))
        .collect()
}

/// Labels of nodes that workloads ask for.
pub fn node_labels(app: &[Object]) -> BTreeSet<(String, String)> {
    let selectors = app
        .iter()
        .filter_map(|o| o.pod_spec()?.get("nodeSelector")?.as_object());
    let pairs = selectors.flatten();
    pairs
        .filter_map(|(k, v)| Some((k.clone(), v.as_str()?.to_owned())))
        .collect()
}
