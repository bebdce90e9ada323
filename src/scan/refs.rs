//! What the pods of a workload need by name: ConfigMaps, Secrets, claims, a ServiceAccount.

use serde_json::Value;

use crate::object::{Container, Object, at, list};
use crate::path::FieldPath;
use crate::scan::draft::is_literal;

/// One name that a pod spec refers to.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Reference<'o> {
    pub kind: &'static str,
    pub name: &'o str,
    /// Where the name is.
    pub path: FieldPath,
    /// The keys that are needed, and where they are.
    pub keys: Vec<(&'o str, FieldPath)>,
    /// `environment variable URL of container web`
    pub place: String,
    pub container: Option<&'o str>,
}

/// All required references of a workload, or of a Pod.
pub(super) fn references(object: &Object) -> Vec<Reference<'_>> {
    let (Some(base), Some(spec)) = (object.pod_spec_path(), object.pod_spec()) else {
        return Vec::new();
    };
    let mut out = Vec::new();
    for container in object.containers() {
        of_container(&container, &mut out);
    }
    let claimed = |volume: &&Value| {
        let name = volume.get("name");
        let mut templates = object.list("spec.volumeClaimTemplates").iter();
        !templates.any(|t| at(t, "metadata.name") == name)
    };
    // a claim template replaces the volume of its name
    for volume in list(spec, "volumes").iter().filter(claimed) {
        of_volume(volume, &base.key("volumes"), &mut out);
    }
    for (i, secret) in list(spec, "imagePullSecrets").iter().enumerate() {
        let path = base.key("imagePullSecrets").index(i);
        let place = "imagePullSecrets".to_owned();
        out.extend(named("Secret", secret, "name", &path, place, None));
    }
    let account = "serviceAccountName";
    let place = account.to_owned();
    out.extend(named("ServiceAccount", spec, account, &base, place, None));
    out
}

fn of_container<'o>(container: &Container<'o>, out: &mut Vec<Reference<'o>>) {
    let name = container.name;
    for (i, var) in list(container.value, "env").iter().enumerate() {
        let env = container.path.key("env");
        let called = var.get("name").and_then(Value::as_str);
        let item = called.map_or_else(|| env.index(i), |n| env.named(n));
        let place = format!(
            "environment variable {} of container {name}",
            called.unwrap_or_default()
        );
        for (kind, field) in [("ConfigMap", "configMapKeyRef"), ("Secret", "secretKeyRef")] {
            let Some(source) = at(var, &format!("valueFrom.{field}")) else {
                continue;
            };
            let path = item.key("valueFrom").key(field);
            let found = named(kind, source, "name", &path, place.clone(), Some(name));
            out.extend(found.map(|mut r| {
                let key = source.get("key").and_then(Value::as_str);
                r.keys.extend(key.map(|k| (k, path.key("key"))));
                r
            }));
        }
    }
    for (i, from) in list(container.value, "envFrom").iter().enumerate() {
        for (kind, field) in [("ConfigMap", "configMapRef"), ("Secret", "secretRef")] {
            let Some(source) = from.get(field) else {
                continue;
            };
            let path = container.path.key("envFrom").index(i).key(field);
            let place = format!("envFrom of container {name}");
            out.extend(named(kind, source, "name", &path, place, Some(name)));
        }
    }
}

fn of_volume<'o>(volume: &'o Value, volumes: &FieldPath, out: &mut Vec<Reference<'o>>) {
    let Some(name) = volume.get("name").and_then(Value::as_str) else {
        return;
    };
    let base = volumes.named(name);
    let place = format!("volume {name}");
    for (kind, field, key) in [
        ("ConfigMap", "configMap", "name"),
        ("Secret", "secret", "secretName"),
        (
            "PersistentVolumeClaim",
            "persistentVolumeClaim",
            "claimName",
        ),
    ] {
        if let Some(source) = volume.get(field) {
            out.extend(of_source(kind, source, key, &base.key(field), &place));
        }
    }
    for (i, source) in list(volume, "projected.sources").iter().enumerate() {
        let path = base.key("projected").key("sources").index(i);
        for (kind, field) in [("ConfigMap", "configMap"), ("Secret", "secret")] {
            if let Some(source) = source.get(field) {
                out.extend(of_source(kind, source, "name", &path.key(field), &place));
            }
        }
    }
}

fn of_source<'o>(
    kind: &'static str,
    source: &'o Value,
    key: &str,
    path: &FieldPath,
    place: &str,
) -> Option<Reference<'o>> {
    let mut found = named(kind, source, key, path, place.to_owned(), None)?;
    for (i, item) in list(source, "items").iter().enumerate() {
        let key = item.get("key").and_then(Value::as_str);
        let at = path.key("items").index(i).key("key");
        found.keys.extend(key.map(|k| (k, at)));
    }
    Some(found)
}

/// A reference, unless it is optional or has no literal name.
fn named<'o>(
    kind: &'static str,
    source: &'o Value,
    key: &str,
    path: &FieldPath,
    place: String,
    container: Option<&'o str>,
) -> Option<Reference<'o>> {
    let optional = source.get("optional").and_then(Value::as_bool) == Some(true);
    let name = source.get(key)?.as_str()?;
    let literal = !name.is_empty() && is_literal(name);
    (literal && !optional).then(|| Reference {
        kind,
        name,
        path: path.key(key),
        keys: Vec::new(),
        place,
        container,
    })
}
