//! API versions that Kubernetes no longer serves, and what became of them (rule C15).

/// What became of an API version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deprecation {
    /// The version that replaces it; none if nothing does.
    pub replacement: Option<&'static str>,
    /// The Kubernetes version that removed it.
    pub removed_in: &'static str,
    /// What to use where nothing replaces it; else empty.
    pub instead: &'static str,
}

/// What became of an API version of a kind; none if it is still served, or never was.
pub fn deprecated(api_version: &str, kind: &str) -> Option<Deprecation> {
    TABLE
        .iter()
        .find(|(version, kinds, ..)| *version == api_version && kinds.contains(&kind))
        .map(|(_, _, replacement, removed_in)| Deprecation {
            replacement: (!replacement.is_empty()).then_some(*replacement),
            removed_in,
            instead: if replacement.is_empty() {
                instead(kind)
            } else {
                ""
            },
        })
}

fn instead(kind: &str) -> &'static str {
    match kind {
        "PodSecurityPolicy" => {
            "Pod Security admission (labels of the Namespace) or a policy engine"
        }
        "PodPreset" => "a mutating admission policy or webhook",
        _ => "nothing of the same form",
    }
}

type Row = (
    &'static str,
    &'static [&'static str],
    &'static str,
    &'static str,
);

/// `(version, kinds, replacement, removed in)`.
const TABLE: &[Row] = &[
    ("extensions/v1beta1", WORKLOADS, "apps/v1", "1.16"),
    ("apps/v1beta1", WORKLOADS, "apps/v1", "1.16"),
    ("apps/v1beta2", WORKLOADS, "apps/v1", "1.16"),
    ("apps/v1beta1", &["ControllerRevision"], "apps/v1", "1.16"),
    ("apps/v1beta2", &["ControllerRevision"], "apps/v1", "1.16"),
    (
        "extensions/v1beta1",
        &["Ingress"],
        "networking.k8s.io/v1",
        "1.22",
    ),
    (
        "networking.k8s.io/v1beta1",
        &["Ingress", "IngressClass"],
        "networking.k8s.io/v1",
        "1.22",
    ),
    (
        "extensions/v1beta1",
        &["NetworkPolicy"],
        "networking.k8s.io/v1",
        "1.16",
    ),
    ("extensions/v1beta1", &["PodSecurityPolicy"], "", "1.16"),
    ("policy/v1beta1", &["PodSecurityPolicy"], "", "1.25"),
    ("settings.k8s.io/v1alpha1", &["PodPreset"], "", "1.20"),
    (
        "policy/v1beta1",
        &["PodDisruptionBudget"],
        "policy/v1",
        "1.25",
    ),
    ("policy/v1beta1", &["Eviction"], "policy/v1", "1.22"),
    ("batch/v2alpha1", &["CronJob"], "batch/v1", "1.21"),
    ("batch/v1beta1", &["CronJob"], "batch/v1", "1.25"),
    (
        "autoscaling/v2beta1",
        &["HorizontalPodAutoscaler"],
        "autoscaling/v2",
        "1.25",
    ),
    (
        "autoscaling/v2beta2",
        &["HorizontalPodAutoscaler"],
        "autoscaling/v2",
        "1.26",
    ),
    (
        "rbac.authorization.k8s.io/v1alpha1",
        RBAC,
        "rbac.authorization.k8s.io/v1",
        "1.22",
    ),
    (
        "rbac.authorization.k8s.io/v1beta1",
        RBAC,
        "rbac.authorization.k8s.io/v1",
        "1.22",
    ),
    (
        "storage.k8s.io/v1beta1",
        &["StorageClass", "VolumeAttachment", "CSIDriver", "CSINode"],
        "storage.k8s.io/v1",
        "1.22",
    ),
    (
        "storage.k8s.io/v1beta1",
        &["CSIStorageCapacity"],
        "storage.k8s.io/v1",
        "1.27",
    ),
    (
        "apiextensions.k8s.io/v1beta1",
        &["CustomResourceDefinition"],
        "apiextensions.k8s.io/v1",
        "1.22",
    ),
    (
        "admissionregistration.k8s.io/v1beta1",
        &[
            "MutatingWebhookConfiguration",
            "ValidatingWebhookConfiguration",
        ],
        "admissionregistration.k8s.io/v1",
        "1.22",
    ),
    (
        "apiregistration.k8s.io/v1beta1",
        &["APIService"],
        "apiregistration.k8s.io/v1",
        "1.22",
    ),
    (
        "certificates.k8s.io/v1beta1",
        &["CertificateSigningRequest"],
        "certificates.k8s.io/v1",
        "1.22",
    ),
    (
        "coordination.k8s.io/v1beta1",
        &["Lease"],
        "coordination.k8s.io/v1",
        "1.22",
    ),
    (
        "scheduling.k8s.io/v1alpha1",
        &["PriorityClass"],
        "scheduling.k8s.io/v1",
        "1.22",
    ),
    (
        "scheduling.k8s.io/v1beta1",
        &["PriorityClass"],
        "scheduling.k8s.io/v1",
        "1.22",
    ),
    (
        "node.k8s.io/v1alpha1",
        &["RuntimeClass"],
        "node.k8s.io/v1",
        "1.22",
    ),
    (
        "node.k8s.io/v1beta1",
        &["RuntimeClass"],
        "node.k8s.io/v1",
        "1.25",
    ),
    (
        "discovery.k8s.io/v1beta1",
        &["EndpointSlice"],
        "discovery.k8s.io/v1",
        "1.25",
    ),
    (
        "events.k8s.io/v1beta1",
        &["Event"],
        "events.k8s.io/v1",
        "1.25",
    ),
    (
        "flowcontrol.apiserver.k8s.io/v1alpha1",
        FLOW,
        "flowcontrol.apiserver.k8s.io/v1",
        "1.21",
    ),
    (
        "flowcontrol.apiserver.k8s.io/v1beta1",
        FLOW,
        "flowcontrol.apiserver.k8s.io/v1",
        "1.26",
    ),
    (
        "flowcontrol.apiserver.k8s.io/v1beta2",
        FLOW,
        "flowcontrol.apiserver.k8s.io/v1",
        "1.29",
    ),
    (
        "flowcontrol.apiserver.k8s.io/v1beta3",
        FLOW,
        "flowcontrol.apiserver.k8s.io/v1",
        "1.32",
    ),
];

const WORKLOADS: &[&str] = &["Deployment", "DaemonSet", "ReplicaSet", "StatefulSet"];
const RBAC: &[&str] = &["Role", "ClusterRole", "RoleBinding", "ClusterRoleBinding"];
const FLOW: &[&str] = &["FlowSchema", "PriorityLevelConfiguration"];
