//! What a proven change leaves alone, in words. Pure.
//!
//! The proof says that nothing but the planned fields differs; this only names what that covers.

use crate::locate::Status;
use crate::lock::Change;
use crate::path::Seg;
use crate::pipeline::Mended;

/// Names and the words in a path or kind that touch them.
const ASPECTS: [(&str, &[&str]); 11] = [
    ("images", &["image", "newTag", "newName", "digest"]),
    ("commands and arguments", &["command", "args"]),
    ("replicas", &["replicas", "minReplicas", "maxReplicas"]),
    (
        "ports",
        &[
            "port",
            "ports",
            "targetPort",
            "containerPort",
            "hostPort",
            "nodePort",
        ],
    ),
    (
        "labels and selectors",
        &[
            "labels",
            "selector",
            "matchLabels",
            "nodeSelector",
            "podSelector",
        ],
    ),
    ("resources", &["resources", "requests", "limits", "storage"]),
    (
        "environment and configuration",
        &[
            "env",
            "envFrom",
            "data",
            "configMap",
            "configMapRef",
            "configMapKeyRef",
        ],
    ),
    (
        "volumes",
        &[
            "volumes",
            "volumeMounts",
            "volumeClaimTemplates",
            "storageClassName",
            "volumeName",
        ],
    ),
    (
        "probes",
        &["livenessProbe", "readinessProbe", "startupProbe"],
    ),
    (
        "security context and service account",
        &[
            "securityContext",
            "serviceAccountName",
            "serviceAccount",
            "hostNetwork",
            "hostPID",
            "hostIPC",
            "automountServiceAccountToken",
        ],
    ),
    (
        "network policies and ingress rules",
        &["ingress", "egress", "rules", "policyTypes", "tls"],
    ),
];

/// Kinds that are named apart: a person wants to know that they are not among the changes.
const KINDS: [(&str, &[&str]); 2] = [
    (
        "roles and bindings (RBAC)",
        &[
            "Role",
            "ClusterRole",
            "RoleBinding",
            "ClusterRoleBinding",
            "ServiceAccount",
        ],
    ),
    ("Secrets", &["Secret", "SealedSecret", "ExternalSecret"]),
];

/// What was proven to stay as it is; empty when nothing was proven.
pub(super) fn unchanged(mended: &Mended) -> Vec<&'static str> {
    let is_proven = |name: &str| {
        mended
            .checks
            .iter()
            .any(|c| c.name == name && c.status == Status::Pass)
    };
    let skipped = mended.checks.iter().any(|c| c.status != Status::Pass);
    if !is_proven("yaml") || !(is_proven("render") || is_proven("documents")) || skipped {
        return Vec::new();
    }
    let changes = mended.plan.changes();
    let mut out = Vec::new();
    if !changes.iter().any(names_an_object) {
        out.push("names and namespaces");
    }
    let untouched = |words: &[&str]| !changes.iter().any(|c| touches(c, words));
    out.extend(
        ASPECTS
            .iter()
            .filter(|(_, w)| untouched(w))
            .map(|(n, _)| *n),
    );
    let other_kind = |kinds: &[&str]| !changes.iter().any(|c| is_of(c, kinds));
    out.extend(KINDS.iter().filter(|(_, k)| other_kind(k)).map(|(n, _)| *n));
    out
}

fn keys(change: &Change) -> impl Iterator<Item = &str> {
    change.edit.path.0.iter().filter_map(|seg| match seg {
        Seg::Key(key) => Some(key.as_str()),
        _ => None,
    })
}

fn names_an_object(change: &Change) -> bool {
    let first: Vec<&str> = keys(change).take(2).collect();
    matches!(
        first.as_slice(),
        ["metadata", "name" | "namespace"] | ["kind"] | ["metadata"]
    )
}

/// Whether the path or a value of a change holds one of these keys.
fn touches(change: &Change, words: &[&str]) -> bool {
    let holds =
        |value: &Option<serde_json::Value>| value.as_ref().is_some_and(|v| has_key(v, words, 0));
    keys(change).any(|k| words.contains(&k)) || holds(&change.before) || holds(&change.after)
}

fn has_key(value: &serde_json::Value, words: &[&str], depth: usize) -> bool {
    use serde_json::Value;
    if depth > 32 {
        return true; // too deep to tell: then it is not said to be unchanged
    }
    match value {
        Value::Object(map) => map
            .iter()
            .any(|(k, v)| words.contains(&k.as_str()) || has_key(v, words, depth + 1)),
        Value::Array(items) => items.iter().any(|v| has_key(v, words, depth + 1)),
        _ => false,
    }
}

fn is_of(change: &Change, kinds: &[&str]) -> bool {
    kinds.contains(&change.edit.object.kind.as_str())
}
