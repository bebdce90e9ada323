//! Where a pod spec names ConfigMaps and Secrets.

use serde_json::Value;

use crate::object::{Object, at, list};
use crate::path::FieldPath;

/// One reference to a ConfigMap or Secret.
pub(super) struct Reference {
    /// Where its name is.
    pub name_path: FieldPath,
    /// Where its key is, if it names one.
    pub key_path: Option<FieldPath>,
    /// Where else its keys are: the items of a volume.
    pub item_paths: Vec<(FieldPath, String)>,
    /// The keys that it needs.
    pub keys: Vec<String>,
    /// For people: `environment variable DB_PASSWORD of container web`, `volume tls`.
    pub place: String,
}

/// All references of a workload to one ConfigMap or Secret.
pub(super) fn to(object: &Object, kind: &str, name: &str) -> Vec<Reference> {
    let mut out = Vec::new();
    for container in object.containers() {
        for (i, item) in container.list("env").iter().enumerate() {
            out.extend(of_env(
                kind,
                name,
                &container.path.key("env"),
                i,
                item,
                container.name,
            ));
        }
        let field = if kind == "Secret" {
            "secretRef"
        } else {
            "configMapRef"
        };
        for (i, item) in container.list("envFrom").iter().enumerate() {
            if at(item, &format!("{field}.name")).and_then(Value::as_str) == Some(name) {
                out.push(Reference {
                    name_path: container
                        .path
                        .key("envFrom")
                        .index(i)
                        .key(field)
                        .key("name"),
                    key_path: None,
                    item_paths: Vec::new(),
                    keys: Vec::new(),
                    place: format!("envFrom of container {}", container.name),
                });
            }
        }
    }
    let (Some(base), Some(spec)) = (object.pod_spec_path(), object.pod_spec()) else {
        return out;
    };
    for volume in list(spec, "volumes") {
        out.extend(of_volume(kind, name, &base.key("volumes"), volume));
    }
    out
}

fn of_env(
    kind: &str,
    name: &str,
    path: &FieldPath,
    index: usize,
    item: &Value,
    container: &str,
) -> Option<Reference> {
    let field = if kind == "Secret" {
        "secretKeyRef"
    } else {
        "configMapKeyRef"
    };
    let reference = at(item, &format!("valueFrom.{field}"))?;
    if reference.get("name").and_then(Value::as_str) != Some(name) {
        return None;
    }
    let variable = item.get("name").and_then(Value::as_str).unwrap_or_default();
    let item = if variable.is_empty() {
        path.index(index)
    } else {
        path.named(variable)
    };
    let path = item.key("valueFrom").key(field);
    Some(Reference {
        name_path: path.key("name"),
        key_path: Some(path.key("key")),
        item_paths: Vec::new(),
        keys: reference
            .get("key")
            .and_then(Value::as_str)
            .map(str::to_owned)
            .into_iter()
            .collect(),
        place: format!("environment variable {variable} of container {container}"),
    })
}

fn of_volume(kind: &str, name: &str, path: &FieldPath, volume: &Value) -> Option<Reference> {
    let (field, name_key) = if kind == "Secret" {
        ("secret", "secretName")
    } else {
        ("configMap", "name")
    };
    let label = volume.get("name").and_then(Value::as_str)?;
    let source = volume.get(field)?;
    if source.get(name_key).and_then(Value::as_str) != Some(name) {
        return None;
    }
    let base = path.named(label).key(field);
    let items: Vec<(FieldPath, String)> = list(source, "items")
        .iter()
        .enumerate()
        .filter_map(|(i, item)| {
            let key = item.get("key").and_then(Value::as_str)?;
            Some((base.key("items").index(i).key("key"), key.to_owned()))
        })
        .collect();
    Some(Reference {
        name_path: base.key(name_key),
        key_path: None,
        keys: items.iter().map(|(_, key)| key.clone()).collect(),
        item_paths: items,
        place: format!("volume {label}"),
    })
}

/// The keys of a ConfigMap or Secret; none if its content is not known.
pub(super) fn keys(object: &Object) -> Option<Vec<&str>> {
    let maps: Vec<_> = ["data", "binaryData", "stringData"]
        .iter()
        .filter_map(|f| object.map(f))
        .collect();
    (!maps.is_empty()).then(|| {
        maps.iter()
            .flat_map(|m| m.keys().map(String::as_str))
            .collect()
    })
}
