//! The effect of an edit on what must never change, whatever paths it is written with.
//!
//! [`super::forbidden`] reads paths; a whole container or template that is replaced has one path and
//! many effects. So the object before and after the edit is compared here, field by field.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::code::Code;
use crate::lock::Attempt;
use crate::propose::Unlock;
use crate::schema::nearest;

/// Fields that stay equal wherever they stand, with the guardrail rule.
const ALWAYS: &[(&str, &str)] = &[
    ("securityContext", "A01-A21"),
    ("hostNetwork", "A02"),
    ("hostPID", "A03"),
    ("hostIPC", "A04"),
    ("hostUsers", "A05"),
    ("shareProcessNamespace", "A06"),
    ("hostPath", "A07"),
    ("runtimeClassName", "A26"),
    ("ephemeralContainers", "A27"),
    ("resourceClaims", "A28"),
    ("volumeDevices", "A24"),
    ("mountPropagation", "A25"),
    ("serviceAccountName", "B01"),
    ("serviceAccount", "B01"),
    ("automountServiceAccountToken", "B02"),
    ("projected", "B03"),
    ("csi", "B12"),
    ("lifecycle", "C06"),
    ("exec", "C07"),
    ("httpHeaders", "D05"),
    ("terminationGracePeriodSeconds", "D10"),
    ("nodeName", "D12"),
    ("schedulerName", "D15"),
    ("priorityClassName", "D16"),
    ("hostAliases", "D17"),
    ("readinessGates", "D18"),
    ("finalizers", "G07"),
    ("ownerReferences", "G07"),
];

/// Fields that some rows may change, and those rows.
const BY_ROW: &[(&str, &str, &[Unlock])] = &[
    ("hostPort", "A08", &[Unlock::HostPortConflict]),
    (
        "image",
        "C01",
        &[
            Unlock::ImagePullNotFound,
            Unlock::LastHealthyTemplate,
            Unlock::CrashLoopAfterChange,
        ],
    ),
    ("imagePullSecrets", "B04", &[Unlock::ImagePullAuth]),
    ("imagePullPolicy", "C03", &[Unlock::InvalidManifest]),
    ("restartPolicy", "D11", &[Unlock::InvalidManifest]),
    ("replicas", "D01", &[Unlock::InvalidManifest]),
    ("secretName", "B08", &[Unlock::InvalidManifest]),
    ("claimName", "L01", &[Unlock::ClaimNotFound]),
    (
        "secretKeyRef",
        "B08",
        &[
            Unlock::MissingSecret,
            Unlock::LastHealthyTemplate,
            Unlock::CrashLoopAfterChange,
        ],
    ),
    (
        "secretRef",
        "B08",
        &[Unlock::LastHealthyTemplate, Unlock::CrashLoopAfterChange],
    ),
    (
        "command",
        "C05",
        &[
            Unlock::BadCommand,
            Unlock::LastHealthyTemplate,
            Unlock::CrashLoopAfterChange,
            Unlock::InvalidManifest,
        ],
    ),
    (
        "args",
        "C05",
        &[
            Unlock::BadCommand,
            Unlock::LastHealthyTemplate,
            Unlock::CrashLoopAfterChange,
            Unlock::InvalidManifest,
        ],
    ),
];

/// Objects of these kinds keep everything but their spelling, whatever the row says.
pub(super) fn check(attempt: &Attempt<'_>) -> Result<(), (Code, String)> {
    // this edit alone: another one's effect is another one's fault
    let mut alone = attempt.manifest.object.value.clone();
    crate::lock::apply_op(&mut alone, &attempt.edit.path, &attempt.edit.op);
    let (before, after) = (&attempt.manifest.object.value, &alone);
    let unlocks = BTreeSet::from([attempt.edit.unlock]);
    identity(before, after)?;
    let containers = names_of_containers(after);
    let (old, new) = (view(before, &containers), view(after, &containers));
    let keys: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    for path in keys {
        let (was, is) = (old.get(path), new.get(path));
        if was.map(|w| &w.1) == is.map(|i| &i.1) {
            continue;
        }
        let field = was.or(is).map_or("", |f| f.0);
        if let Some(rule) = rule_against(field, &unlocks) {
            return Err((
                Code::BlockedSecurity,
                format!("{path} would change (rule {rule})"),
            ));
        }
    }
    removals(before, after, &containers)?;
    misspelled(before, &attempt.result.value)
}

fn identity(before: &Value, after: &Value) -> Result<(), (Code, String)> {
    for pointer in [
        "/kind",
        "/metadata/name",
        "/metadata/namespace",
        "/metadata/generateName",
    ] {
        if before.pointer(pointer) != after.pointer(pointer) {
            return Err((
                Code::BlockedIdentity,
                "identities are never changed (rule G01)".to_owned(),
            ));
        }
    }
    Ok(())
}

/// The rule that forbids a change of this field, unless a row of the proposal unlocks it.
fn rule_against(field: &str, unlocks: &BTreeSet<Unlock>) -> Option<&'static str> {
    if let Some((_, rule)) = ALWAYS.iter().find(|(f, _)| *f == field) {
        return Some(rule);
    }
    let (_, rule, rows) = BY_ROW.iter().find(|(f, ..)| *f == field)?;
    (!rows.iter().any(|r| unlocks.contains(r))).then_some(rule)
}

/// A container by the list it is in and its name.
type Place = (String, String);

fn names_of_containers(object: &Value) -> BTreeSet<Place> {
    let mut out = BTreeSet::new();
    walk(object, "", 0, &mut |path, key, value| {
        if key == "containers" || key == "initContainers" {
            for item in value.as_array().into_iter().flatten() {
                if let Some(name) = item.get("name").and_then(Value::as_str) {
                    out.insert((path.to_owned(), name.to_owned()));
                }
            }
        }
    });
    out
}

/// All sensitive fields with their place; those of containers that are gone are left out.
fn view<'v>(
    object: &'v Value,
    containers: &BTreeSet<Place>,
) -> BTreeMap<String, (&'static str, &'v Value)> {
    let mut out = BTreeMap::new();
    walk(object, "", 0, &mut |path, key, value| {
        let always = ALWAYS.iter().map(|(f, _)| *f);
        let field = always
            .chain(BY_ROW.iter().map(|(f, ..)| *f))
            .find(|f| *f == key);
        let host = (key == "host" && is_handler(path)).then_some("exec");
        if let Some(field) = field.or(host)
            && !is_in_removed_container(path, containers)
            && !path.contains(".annotations")
        {
            out.insert(path.to_owned(), (field, value));
        }
    });
    out
}

fn is_handler(path: &str) -> bool {
    [".httpGet.host", ".tcpSocket.host"]
        .iter()
        .any(|end| path.ends_with(end))
}

fn is_in_removed_container(path: &str, containers: &BTreeSet<Place>) -> bool {
    ["containers[", "initContainers["].iter().any(|list| {
        let Some(at) = path.find(&format!(".{list}")) else {
            return false;
        };
        let (head, tail) = path.split_at(at + 1);
        let Some((list, rest)) = tail.split_once('[') else {
            return false;
        };
        let name = rest.split(']').next().unwrap_or_default();
        !containers.contains(&(format!("{head}{list}"), name.to_owned()))
    })
}

/// Visits every key of every mapping; list items count by name where they have one.
fn walk<'v>(
    value: &'v Value,
    path: &str,
    depth: usize,
    see: &mut dyn FnMut(&str, &str, &'v Value),
) {
    if depth > 64 {
        return;
    }
    match value {
        Value::Object(map) => {
            for (key, inner) in map {
                let path = format!("{path}.{key}");
                see(&path, key, inner);
                walk(inner, &path, depth + 1, see);
            }
        }
        Value::Array(items) => {
            for (i, item) in items.iter().enumerate() {
                let name = item.get("name").and_then(Value::as_str);
                let step = name.map_or_else(|| i.to_string(), str::to_owned);
                walk(item, &format!("{path}[{step}]"), depth + 1, see);
            }
        }
        _ => {}
    }
}

/// The fields that are probes.
const PROBES: [&str; 3] = ["livenessProbe", "readinessProbe", "startupProbe"];

/// Probes, limits and requests of containers that stay are still there.
fn removals(
    before: &Value,
    after: &Value,
    containers: &BTreeSet<Place>,
) -> Result<(), (Code, String)> {
    let present = |object: &Value| {
        let mut out = BTreeSet::new();
        walk(object, "", 0, &mut |path, key, value| {
            let guarded = PROBES.contains(&key) || is_amount(path);
            if guarded && !value.is_null() && !is_in_removed_container(path, containers) {
                out.insert(path.to_owned());
            }
        });
        out
    };
    let (old, new) = (present(before), present(after));
    match old.difference(&new).next() {
        None => Ok(()),
        Some(path) if path.ends_with("Probe") => Err((
            Code::BlockedProbeRemoval,
            format!("{path} would be gone (rule D04)"),
        )),
        Some(path) => Err((
            Code::ForbiddenByRule,
            format!("{path} would be gone: limits and requests are never removed (rule D06)"),
        )),
    }
}

/// Fields that protect something, also where their name is mistyped: somebody wanted them.
const PROTECTIVE: [&str; 5] = [
    "livenessProbe",
    "readinessProbe",
    "startupProbe",
    "securityContext",
    "resources",
];

/// What a mistyped name held stands under the right one after the whole proposal, or is left alone.
fn misspelled(before: &Value, result: &Value) -> Result<(), (Code, String)> {
    let mut held = Vec::new();
    walk(before, "", 0, &mut |path, key, value| {
        let meant = nearest(key, PROTECTIVE).filter(|_| !PROTECTIVE.contains(&key));
        if let (Some(meant), Some(parent)) = (meant, path.strip_suffix(key))
            && value.is_object()
            && is_of_pods(parent)
        {
            held.push((path.to_owned(), format!("{parent}{meant}"), value));
        }
    });
    let mut there = BTreeMap::new();
    walk(result, "", 0, &mut |path, _, value| {
        there.insert(path.to_owned(), value);
    });
    let kept = |(path, meant, value): &&(String, String, &Value)| {
        there.get(path) == Some(value) || there.get(meant) == Some(value)
    };
    match held.iter().find(|one| !kept(one)) {
        None => Ok(()),
        Some((path, ..)) => Err((
            Code::ForbiddenByRule,
            format!("what {path} was meant to be would be gone (rules D04, D06)"),
        )),
    }
}

/// Where such fields belong: in a container, or beside the containers. Elsewhere a name like it is
/// another one (`resource` in the metrics of an autoscaler).
fn is_of_pods(parent: &str) -> bool {
    parent.ends_with(".spec.") || parent.contains("ontainers[")
}

/// `….resources.limits.memory`
fn is_amount(path: &str) -> bool {
    let mut parts = path.rsplit('.');
    let _resource = parts.next();
    matches!(parts.next(), Some("limits" | "requests")) && parts.next() == Some("resources")
}
