//! What no incident class can lift: identities, authority, exposure, secrets, security settings.
//!
//! Each check names the guardrail rule that it stands for. This list is short on purpose: the
//! allow-list in [`super::rows`] already blocks whatever it does not name, so these checks exist to
//! give the right reason. Paths can be written wider than what they change; [`super::sensitive`] judges the
//! effect of an edit, whatever its path.

use crate::code::Code;
use crate::lock::{Attempt, Place};
use crate::propose::{Op, Unlock};

type Forbidden = Result<(), (Code, String)>;

pub(super) fn check(attempt: &Attempt<'_>) -> Forbidden {
    kind(attempt)?;
    namespace(attempt)?;
    identity(attempt)?;
    if is_rename(attempt) {
        return Ok(());
    }
    object_fields(attempt)?;
    pod_spec(attempt)?;
    container(attempt)
}

/// Half of a misspelled key's repair: the same value under the key that the schema has. It can
/// change nothing that its owner did not write, except where the field is about security.
fn is_rename(attempt: &Attempt<'_>) -> bool {
    if attempt.edit.unlock != Unlock::InvalidManifest || is_sensitive(&attempt.edit.path) {
        return false;
    }
    let Some((parent, _)) = attempt.edit.path.split_last() else {
        return false;
    };
    let value = attempt.after.or(attempt.before);
    attempt.siblings.iter().any(|other| {
        let same_parent = other.path != attempt.edit.path
            && other.path.split_last().is_some_and(|(p, _)| p == parent);
        match (&attempt.edit.op, &other.op) {
            (Op::Add(_), Op::Remove) => {
                same_parent && other.path.get(&attempt.manifest.object.value) == value
            }
            (Op::Remove, Op::Add(added)) => same_parent && Some(added) == value,
            _ => false,
        }
    })
}

fn is_sensitive(path: &crate::path::FieldPath) -> bool {
    const WORDS: &[&str] = &[
        "securityContext",
        "hostNetwork",
        "hostPID",
        "hostIPC",
        "privileged",
        "serviceAccountName",
        "hostPath",
        "exec",
        "lifecycle",
    ];
    path.0
        .iter()
        .any(|seg| matches!(seg, crate::path::Seg::Key(k) if WORDS.contains(&k.as_str())))
}

fn no(code: Code, rule: &str, reason: &str) -> Forbidden {
    Err((code, format!("{reason} (rule {rule})")))
}

/// Kinds that are never changed.
fn kind(attempt: &Attempt<'_>) -> Forbidden {
    let object = &attempt.manifest.object;
    let group = object.api_version().split_once('/').map_or("", |(g, _)| g);
    // an API version bump of such an object is a mechanical change of its spelling only
    if attempt.edit.unlock == Unlock::DeprecatedApi {
        return Ok(());
    }
    match object.kind() {
        "Secret"
        | "SealedSecret"
        | "ExternalSecret"
        | "SecretStore"
        | "ClusterSecretStore"
        | "SecretProviderClass" => no(Code::BlockedSecret, "B06", "secrets are never changed"),
        "Role" | "ClusterRole" => no(Code::BlockedRbac, "F01", "rules of roles are never changed"),
        "RoleBinding" | "ClusterRoleBinding" => {
            no(Code::BlockedRbac, "F02", "role bindings are never changed")
        }
        "NetworkPolicy"
        | "CiliumNetworkPolicy"
        | "CiliumClusterwideNetworkPolicy"
        | "GlobalNetworkPolicy"
        | "AdminNetworkPolicy" => no(
            Code::BlockedNetworkPolicy,
            "E01",
            "network policies are never changed",
        ),
        "ResourceQuota" | "LimitRange" => no(
            Code::BlockedQuota,
            "D22",
            "quotas and limit ranges are never changed",
        ),
        "Namespace" => no(Code::ForbiddenByRule, "F03", "namespaces are never changed"),
        "CustomResourceDefinition" => no(
            Code::ForbiddenByRule,
            "F05",
            "custom resource definitions are never changed",
        ),
        "MutatingWebhookConfiguration"
        | "ValidatingWebhookConfiguration"
        | "ValidatingAdmissionPolicy"
        | "ValidatingAdmissionPolicyBinding" => {
            no(Code::ForbiddenByRule, "F06", "admission is never changed")
        }
        "Node" | "StorageClass" | "PriorityClass" | "RuntimeClass" | "IngressClass"
        | "CSIDriver" => no(
            Code::ForbiddenByRule,
            "F09",
            "cluster-scoped classes and nodes are never changed",
        ),
        "PodDisruptionBudget" => no(
            Code::ForbiddenByRule,
            "D03",
            "disruption budgets are never changed",
        ),
        "PersistentVolume" => no(
            Code::ForbiddenByRule,
            "G13",
            "persistent volumes are never changed",
        ),
        "Endpoints" | "EndpointSlice" => no(
            Code::ForbiddenByRule,
            "E13",
            "endpoints are never written by hand",
        ),
        _ if group == "argoproj.io" && object.kind() != "Rollout" => no(
            Code::ForbiddenByRule,
            "H01",
            "Argo CD objects are never changed",
        ),
        _ if group.ends_with("toolkit.fluxcd.io") => no(
            Code::ForbiddenByRule,
            "I02",
            "Flux objects are never changed",
        ),
        _ => Ok(()),
    }
}

fn namespace(attempt: &Attempt<'_>) -> Forbidden {
    let Some(namespace) = attempt.manifest.object.namespace() else {
        return Ok(());
    };
    let listed = attempt
        .policy
        .protected_namespaces
        .iter()
        .any(|p| p == namespace);
    if namespace.starts_with("kube-") || listed {
        return Err((
            Code::ProtectedNamespace,
            format!("nothing is changed in namespace {namespace} (rule F12)"),
        ));
    }
    Ok(())
}

fn identity(attempt: &Attempt<'_>) -> Forbidden {
    let Some(words) = attempt.place.object() else {
        return Ok(());
    };
    match words.as_slice() {
        ["metadata", "name" | "namespace" | "generateName"] | ["kind"] => {
            no(Code::BlockedIdentity, "G01", "identities are never changed")
        }
        ["apiVersion"] if attempt.edit.unlock != Unlock::DeprecatedApi => no(
            Code::BlockedIdentity,
            "C15",
            "the API version is changed only when the old one is gone",
        ),
        [] => no(
            Code::BlockedNewObject,
            "G02",
            "objects are never replaced, created or deleted",
        ),
        _ => Ok(()),
    }
}

fn object_fields(attempt: &Attempt<'_>) -> Forbidden {
    let Some(words) = attempt.place.object() else {
        return Ok(());
    };
    let repairs = matches!(
        attempt.edit.unlock,
        Unlock::InvalidManifest | Unlock::DeprecatedApi
    );
    match words.as_slice() {
        [
            "metadata",
            "finalizers" | "ownerReferences" | "deletionTimestamp",
            ..,
        ] => no(
            Code::ForbiddenByRule,
            "G07",
            "finalizers and owners are never changed",
        ),
        ["status", ..]
        | [
            "metadata",
            "uid" | "resourceVersion" | "generation" | "managedFields" | "creationTimestamp"
            | "selfLink",
            ..,
        ] if !repairs => no(
            Code::ForbiddenByRule,
            "G08",
            "server-set fields do not belong to Git",
        ),
        ["metadata", "labels" | "annotations", ..] if !repairs => no(
            Code::LockedField,
            "G17",
            "labels and annotations are invariants",
        ),
        ["spec", "replicas"] if !matches!(attempt.edit.op, Op::Remove) || !repairs => no(
            Code::BlockedReplicas,
            "D01",
            "the replica count is an invariant",
        ),
        ["spec", "minReplicas" | "maxReplicas" | "scaleTargetRef", ..]
            if attempt.manifest.object.kind() == "HorizontalPodAutoscaler" && !repairs =>
        {
            no(
                Code::LockedField,
                "D02",
                "target and bounds of an autoscaler are invariants",
            )
        }
        ["spec", "selector", ..] if is_workload(attempt) && !repairs => no(
            Code::BlockedImmutable,
            "G04",
            "a workload's selector is immutable",
        ),
        ["spec", "template", "metadata", "labels", ..] if !repairs => {
            no(Code::LockedField, "G05", "pod labels are invariants")
        }
        ["spec", "strategy" | "updateStrategy", ..] if !repairs => no(
            Code::NotUnlocked,
            "D08",
            "the rollout strategy is changed by people",
        ),
        ["spec", "type"] if attempt.manifest.object.kind() == "Service" && !repairs => no(
            Code::ForbiddenByRule,
            "E02",
            "a Service's type is never changed",
        ),
        _ => Ok(()),
    }
}

fn is_workload(attempt: &Attempt<'_>) -> bool {
    attempt.manifest.object.kind() != "Pod" && attempt.manifest.object.pod_spec_path().is_some()
}

fn pod_spec(attempt: &Attempt<'_>) -> Forbidden {
    let Some(words) = attempt.place.pod_spec() else {
        return Ok(());
    };
    match words.as_slice() {
        [
            "hostNetwork"
            | "hostPID"
            | "hostIPC"
            | "hostUsers"
            | "shareProcessNamespace"
            | "securityContext"
            | "runtimeClassName",
            ..,
        ] => no(
            Code::BlockedSecurity,
            "A01-A26",
            "isolation settings are never changed",
        ),
        ["serviceAccountName" | "serviceAccount"] => no(
            Code::ForbiddenByRule,
            "B01",
            "the service account is never switched",
        ),
        ["automountServiceAccountToken"] => no(
            Code::BlockedSecurity,
            "B02",
            "token mounts are never changed",
        ),
        ["volumes", "*", "hostPath", ..] => {
            no(Code::BlockedSecurity, "A07", "host paths are never changed")
        }
        ["volumes", "*", "secret" | "projected" | "csi", ..] => no(
            Code::BlockedSecret,
            "B08",
            "secret volumes are never changed",
        ),
        ["restartPolicy"] => no(
            Code::ForbiddenByRule,
            "D11",
            "the restart policy is never changed",
        ),
        ["nodeName"] => no(
            Code::ForbiddenByRule,
            "D12",
            "pods are never bound to a node",
        ),
        [
            "schedulerName" | "priority" | "priorityClassName" | "preemptionPolicy"
            | "schedulingGates",
            ..,
        ] => no(
            Code::ForbiddenByRule,
            "D15",
            "scheduler and priority are never changed",
        ),
        ["ephemeralContainers", ..] => no(
            Code::ForbiddenByRule,
            "A27",
            "debug containers do not belong to Git",
        ),
        ["hostAliases", ..] => no(
            Code::ForbiddenByRule,
            "D17",
            "host aliases are never changed",
        ),
        ["containers" | "initContainers", ..]
            if matches!(attempt.edit.op, Op::Add(_)) && words.len() <= 2 =>
        {
            no(Code::ForbiddenByRule, "C08", "containers are never added")
        }
        _ => Ok(()),
    }
}

fn container(attempt: &Attempt<'_>) -> Forbidden {
    let Some(words) = attempt.place.container() else {
        return Ok(());
    };
    let removes = matches!(attempt.edit.op, Op::Remove);
    match words.as_slice() {
        ["securityContext", ..] => no(
            Code::BlockedSecurity,
            "A01-A21",
            "security contexts are never changed",
        ),
        ["volumeDevices", ..] => no(
            Code::BlockedSecurity,
            "A24",
            "block devices are never changed",
        ),
        ["name"] => no(Code::BlockedIdentity, "C09", "containers are never renamed"),
        ["livenessProbe" | "readinessProbe" | "startupProbe"] if removes => {
            no(Code::BlockedProbeRemoval, "D04", "a probe is never removed")
        }
        ["resources"]
        | ["resources", "limits" | "requests"]
        | ["resources", "limits" | "requests", _]
            if removes =>
        {
            no(
                Code::ForbiddenByRule,
                "D06",
                "a limit or request is never removed",
            )
        }
        ["lifecycle", ..] => no(
            Code::ForbiddenByRule,
            "C06",
            "lifecycle hooks are never changed",
        ),
        ["ports", "*", "hostPort" | "hostIP"] if !removes => no(
            Code::BlockedSecurity,
            "A08",
            "host ports are never added or changed",
        ),
        [
            "livenessProbe" | "readinessProbe" | "startupProbe",
            "exec",
            ..,
        ] => no(
            Code::ForbiddenByRule,
            "C07",
            "commands of probes are never changed",
        ),
        [
            "livenessProbe" | "readinessProbe" | "startupProbe",
            "httpGet" | "tcpSocket",
            "host",
        ] => no(
            Code::BlockedSecurity,
            "A22",
            "a probe never gets another host",
        ),
        ["imagePullPolicy"] => no(
            Code::NotUnlocked,
            "C03",
            "the pull policy is changed by people",
        ),
        _ => whole_probe(attempt, &words),
    }
}

/// A probe that is replaced as a whole must not bring a command or a host along.
fn whole_probe(attempt: &Attempt<'_>, words: &[&str]) -> Forbidden {
    let Place::Container { .. } = attempt.place else {
        return Ok(());
    };
    if let ["livenessProbe" | "readinessProbe" | "startupProbe"] = words {
        let (old, new) = (
            attempt.before.and_then(|v| v.get("exec")),
            attempt.after.and_then(|v| v.get("exec")),
        );
        if new.is_some() && new != old {
            return no(
                Code::ForbiddenByRule,
                "C07",
                "commands of probes are never changed",
            );
        }
    }
    Ok(())
}
