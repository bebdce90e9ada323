//! Which kinds live in a namespace.

/// Kinds of Kubernetes and of common operators that belong to the whole cluster.
const CLUSTER: &[&str] = &[
    "APIService",
    "CSIDriver",
    "CSINode",
    "CertificateSigningRequest",
    "ClusterRole",
    "ClusterRoleBinding",
    "ClusterTrustBundle",
    "CustomResourceDefinition",
    "DeviceClass",
    "FlowSchema",
    "GatewayClass",
    "IngressClass",
    "IPAddress",
    "MutatingAdmissionPolicy",
    "MutatingAdmissionPolicyBinding",
    "MutatingWebhookConfiguration",
    "Namespace",
    "Node",
    "PersistentVolume",
    "PodSecurityPolicy",
    "PriorityClass",
    "PriorityLevelConfiguration",
    "ResourceSlice",
    "RuntimeClass",
    "SecurityContextConstraints",
    "SelfSubjectReview",
    "ServiceCIDR",
    "StorageClass",
    "StorageVersion",
    "StorageVersionMigration",
    "ValidatingAdmissionPolicy",
    "ValidatingAdmissionPolicyBinding",
    "ValidatingWebhookConfiguration",
    "VolumeAttachment",
    "VolumeAttributesClass",
    "VolumeSnapshotClass",
    "VolumeSnapshotContent",
];

/// Namespaced kinds whose name looks like one of the whole cluster.
const NAMESPACED: &[&str] = &["ClusterServiceVersion"];

/// Whether objects of this kind have no namespace. Custom kinds follow the convention that
/// `ClusterSomething` belongs to the cluster.
pub(crate) fn is_cluster_scoped(kind: &str) -> bool {
    let by_convention = kind
        .strip_prefix("Cluster")
        .is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_uppercase()));
    CLUSTER.contains(&kind) || (by_convention && !NAMESPACED.contains(&kind))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_know_their_scope() {
        for kind in ["Namespace", "ClusterRole", "ClusterIssuer", "StorageClass"] {
            assert!(is_cluster_scoped(kind), "{kind}");
        }
        for kind in [
            "Deployment",
            "Role",
            "Cluster",
            "ClusterServiceVersion",
            "Kustomization",
        ] {
            assert!(!is_cluster_scoped(kind), "{kind}");
        }
    }
}
