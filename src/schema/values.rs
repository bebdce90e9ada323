//! Allowed values that the published schemas do not state.

/// `(type, field, values)`: a text field, or a list of texts. An empty text always means the default.
const ENUMS: &[(&str, &str, &[&str])] = &[
    ("core.v1.Container", "imagePullPolicy", PULL),
    ("core.v1.EphemeralContainer", "imagePullPolicy", PULL),
    (
        "core.v1.Container",
        "terminationMessagePolicy",
        &["File", "FallbackToLogsOnError"],
    ),
    ("core.v1.Container", "restartPolicy", RESTART),
    ("core.v1.PodSpec", "restartPolicy", RESTART),
    (
        "core.v1.PodSpec",
        "dnsPolicy",
        &["ClusterFirst", "ClusterFirstWithHostNet", "Default", "None"],
    ),
    (
        "core.v1.PodSpec",
        "preemptionPolicy",
        &["Never", "PreemptLowerPriority"],
    ),
    ("core.v1.PodOS", "name", &["linux", "windows"]),
    ("core.v1.ContainerPort", "protocol", PROTOCOL),
    ("core.v1.ServicePort", "protocol", PROTOCOL),
    ("networking.v1.NetworkPolicyPort", "protocol", PROTOCOL),
    ("discovery.v1.EndpointPort", "protocol", PROTOCOL),
    ("core.v1.EndpointPort", "protocol", PROTOCOL),
    (
        "core.v1.ServiceSpec",
        "type",
        &["ClusterIP", "NodePort", "LoadBalancer", "ExternalName"],
    ),
    (
        "core.v1.ServiceSpec",
        "sessionAffinity",
        &["ClientIP", "None"],
    ),
    ("core.v1.ServiceSpec", "externalTrafficPolicy", TRAFFIC),
    ("core.v1.ServiceSpec", "internalTrafficPolicy", TRAFFIC),
    (
        "core.v1.ServiceSpec",
        "ipFamilyPolicy",
        &["SingleStack", "PreferDualStack", "RequireDualStack"],
    ),
    ("core.v1.ServiceSpec", "ipFamilies", &["IPv4", "IPv6"]),
    ("core.v1.PersistentVolumeClaimSpec", "accessModes", ACCESS),
    ("core.v1.PersistentVolumeSpec", "accessModes", ACCESS),
    (
        "core.v1.PersistentVolumeClaimSpec",
        "volumeMode",
        VOLUME_MODE,
    ),
    ("core.v1.PersistentVolumeSpec", "volumeMode", VOLUME_MODE),
    (
        "core.v1.PersistentVolumeSpec",
        "persistentVolumeReclaimPolicy",
        &["Retain", "Delete", "Recycle"],
    ),
    ("core.v1.HTTPGetAction", "scheme", &["HTTP", "HTTPS"]),
    (
        "core.v1.Toleration",
        "operator",
        &["Exists", "Equal", "Lt", "Gt"],
    ),
    ("core.v1.Toleration", "effect", EFFECT),
    ("core.v1.Taint", "effect", EFFECT),
    (
        "core.v1.NodeSelectorRequirement",
        "operator",
        &["In", "NotIn", "Exists", "DoesNotExist", "Gt", "Lt"],
    ),
    (
        "meta.v1.LabelSelectorRequirement",
        "operator",
        &["In", "NotIn", "Exists", "DoesNotExist"],
    ),
    (
        "core.v1.TopologySpreadConstraint",
        "whenUnsatisfiable",
        &["DoNotSchedule", "ScheduleAnyway"],
    ),
    (
        "core.v1.TopologySpreadConstraint",
        "nodeAffinityPolicy",
        HONOR,
    ),
    (
        "core.v1.TopologySpreadConstraint",
        "nodeTaintsPolicy",
        HONOR,
    ),
    (
        "core.v1.HostPathVolumeSource",
        "type",
        &[
            "DirectoryOrCreate",
            "Directory",
            "FileOrCreate",
            "File",
            "Socket",
            "CharDevice",
            "BlockDevice",
        ],
    ),
    (
        "core.v1.VolumeMount",
        "mountPropagation",
        &["None", "HostToContainer", "Bidirectional"],
    ),
    ("core.v1.SeccompProfile", "type", PROFILE),
    ("core.v1.AppArmorProfile", "type", PROFILE),
    (
        "core.v1.SecurityContext",
        "procMount",
        &["Default", "Unmasked"],
    ),
    (
        "core.v1.PodSecurityContext",
        "fsGroupChangePolicy",
        &["OnRootMismatch", "Always"],
    ),
    (
        "core.v1.PodSecurityContext",
        "supplementalGroupsPolicy",
        &["Merge", "Strict"],
    ),
    (
        "apps.v1.DeploymentStrategy",
        "type",
        &["Recreate", "RollingUpdate"],
    ),
    ("apps.v1.DaemonSetUpdateStrategy", "type", UPDATE),
    ("apps.v1.StatefulSetUpdateStrategy", "type", UPDATE),
    (
        "apps.v1.StatefulSetSpec",
        "podManagementPolicy",
        &["OrderedReady", "Parallel"],
    ),
    (
        "apps.v1.StatefulSetPersistentVolumeClaimRetentionPolicy",
        "whenDeleted",
        RETENTION,
    ),
    (
        "apps.v1.StatefulSetPersistentVolumeClaimRetentionPolicy",
        "whenScaled",
        RETENTION,
    ),
    (
        "batch.v1.CronJobSpec",
        "concurrencyPolicy",
        &["Allow", "Forbid", "Replace"],
    ),
    (
        "batch.v1.JobSpec",
        "completionMode",
        &["NonIndexed", "Indexed"],
    ),
    (
        "batch.v1.JobSpec",
        "podReplacementPolicy",
        &["TerminatingOrFailed", "Failed"],
    ),
    (
        "batch.v1.PodFailurePolicyRule",
        "action",
        &["FailJob", "FailIndex", "Ignore", "Count"],
    ),
    (
        "networking.v1.HTTPIngressPath",
        "pathType",
        &["Exact", "Prefix", "ImplementationSpecific"],
    ),
    (
        "networking.v1.NetworkPolicySpec",
        "policyTypes",
        &["Ingress", "Egress"],
    ),
    (
        "autoscaling.v2.MetricSpec",
        "type",
        &[
            "Object",
            "Pods",
            "Resource",
            "ContainerResource",
            "External",
        ],
    ),
    (
        "autoscaling.v2.MetricTarget",
        "type",
        &["Utilization", "Value", "AverageValue"],
    ),
    (
        "autoscaling.v2.HPAScalingRules",
        "selectPolicy",
        &["Max", "Min", "Disabled"],
    ),
    (
        "autoscaling.v2.HPAScalingPolicy",
        "type",
        &["Pods", "Percent"],
    ),
    (
        "policy.v1.PodDisruptionBudgetSpec",
        "unhealthyPodEvictionPolicy",
        &["IfHealthyBudget", "AlwaysAllow"],
    ),
    (
        "rbac.v1.Subject",
        "kind",
        &["User", "Group", "ServiceAccount"],
    ),
    ("rbac.v1.RoleRef", "kind", &["Role", "ClusterRole"]),
    ("storage.v1.StorageClass", "reclaimPolicy", RETENTION),
    (
        "storage.v1.StorageClass",
        "volumeBindingMode",
        &["Immediate", "WaitForFirstConsumer"],
    ),
    (
        "admissionregistration.v1.ValidatingWebhook",
        "failurePolicy",
        FAILURE,
    ),
    (
        "admissionregistration.v1.MutatingWebhook",
        "failurePolicy",
        FAILURE,
    ),
    (
        "admissionregistration.v1.ValidatingWebhook",
        "sideEffects",
        &["None", "NoneOnDryRun"],
    ),
    (
        "admissionregistration.v1.MutatingWebhook",
        "sideEffects",
        &["None", "NoneOnDryRun"],
    ),
    (
        "apiextensions-apiserver.pkg.apis.apiextensions.v1.CustomResourceDefinitionSpec",
        "scope",
        &["Namespaced", "Cluster"],
    ),
];

const PULL: &[&str] = &["Always", "IfNotPresent", "Never"];
const RESTART: &[&str] = &["Always", "OnFailure", "Never"];
const PROTOCOL: &[&str] = &["TCP", "UDP", "SCTP"];
const TRAFFIC: &[&str] = &["Cluster", "Local"];
const ACCESS: &[&str] = &[
    "ReadWriteOnce",
    "ReadOnlyMany",
    "ReadWriteMany",
    "ReadWriteOncePod",
];
const VOLUME_MODE: &[&str] = &["Filesystem", "Block"];
const EFFECT: &[&str] = &["NoSchedule", "PreferNoSchedule", "NoExecute"];
const HONOR: &[&str] = &["Honor", "Ignore"];
const PROFILE: &[&str] = &["Unconfined", "RuntimeDefault", "Localhost"];
const UPDATE: &[&str] = &["RollingUpdate", "OnDelete"];
const RETENTION: &[&str] = &["Retain", "Delete"];
const FAILURE: &[&str] = &["Ignore", "Fail"];

/// The allowed values of a field; none if any text is allowed.
pub(super) fn allowed(of: &str, field: &str) -> Option<&'static [&'static str]> {
    ENUMS
        .iter()
        .find(|(t, f, _)| *t == of && *f == field)
        .map(|(_, _, values)| *values)
}

/// Integer fields that hold a port.
pub(super) fn is_port(of: &str, field: &str) -> bool {
    matches!(
        (of, field),
        ("core.v1.ContainerPort", "containerPort" | "hostPort")
            | ("core.v1.ServicePort", "port" | "targetPort" | "nodePort")
            | (
                "core.v1.HTTPGetAction" | "core.v1.TCPSocketAction" | "core.v1.GRPCAction",
                "port"
            )
            | ("networking.v1.ServiceBackendPort", "number")
    )
}

/// The shortest form of a port field that may be 0 for "none".
pub(super) fn zero_port_is_none(of: &str, field: &str) -> bool {
    matches!(
        (of, field),
        (_, "hostPort" | "nodePort" | "targetPort")
            | ("networking.v1.ServiceBackendPort", "number")
    )
}

/// How names at a place have to look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NameRule {
    /// Label of RFC 1123.
    Label,
    /// Subdomain of RFC 1123.
    Subdomain,
    /// Name of a port.
    Port,
}

/// The rule for a text field that holds a name.
pub(super) fn name_rule(of: &str, field: &str) -> Option<NameRule> {
    Some(match (of, field) {
        (
            "core.v1.Container"
            | "core.v1.EphemeralContainer"
            | "core.v1.Volume"
            | "core.v1.ServicePort",
            "name",
        )
        | ("meta.v1.ObjectMeta", "namespace") => NameRule::Label,
        ("core.v1.ContainerPort", "name")
        | ("core.v1.ServicePort", "targetPort")
        | ("core.v1.HTTPGetAction" | "core.v1.TCPSocketAction", "port")
        | ("networking.v1.ServiceBackendPort", "name") => NameRule::Port,
        _ => return None,
    })
}

impl NameRule {
    /// What a name breaks, in the API server's words.
    pub(super) fn broken_by(self, name: &str) -> Option<&'static str> {
        match self {
            Self::Label if !is_label(name) => Some(LABEL),
            Self::Subdomain if !is_subdomain(name) => Some(SUBDOMAIN),
            Self::Port if !is_port_name(name) => Some(PORT),
            _ => None,
        }
    }
}

const LABEL: &str = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', must start and end with an alphanumeric character, and must be no more than 63 characters";
const SUBDOMAIN: &str = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', must start and end with an alphanumeric character, and must be no more than 253 characters";
const PORT: &str = "a port name must be no more than 15 characters, contain only lower case alphanumeric characters or '-', contain at least one letter, not have '--', and not start or end with '-'";

fn is_label(name: &str) -> bool {
    let edge = |c: Option<char>| c.is_some_and(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
    name.len() <= 63
        && edge(name.chars().next())
        && edge(name.chars().last())
        && name.chars().all(|c| c == '-' || edge(Some(c)))
}

fn is_subdomain(name: &str) -> bool {
    let part = |p: &str| {
        let edge =
            |c: Option<char>| c.is_some_and(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
        edge(p.chars().next())
            && edge(p.chars().last())
            && p.chars().all(|c| c == '-' || edge(Some(c)))
    };
    name.len() <= 253 && name.split('.').all(part)
}

fn is_port_name(name: &str) -> bool {
    (1..=15).contains(&name.len())
        && is_label(name)
        && !name.contains("--")
        && name.chars().any(|c| c.is_ascii_lowercase())
}

/// Text that something replaces before the API server sees it: nothing can be said about it.
pub(super) fn is_placeholder(text: &str) -> bool {
    ["${", "$(", "{{", "<path:", "$[", "[[", "<%"]
        .iter()
        .any(|mark| text.contains(mark))
}
