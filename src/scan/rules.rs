//! The rules of `scan`: stable ids, what they mean, and what to do.

use crate::finding::{Class, Severity};

/// One rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rule {
    /// Stable id, `KM101`.
    pub id: &'static str,
    /// Stable name, `unknown-field`.
    pub name: &'static str,
    /// The failure class that a cluster would show.
    pub class: Class,
    /// How bad a finding is when nothing says otherwise.
    pub severity: Severity,
    /// What is wrong, one sentence.
    pub about: &'static str,
    /// What to do, one sentence.
    pub help: &'static str,
}

macro_rules! rules {
    ($($constant:ident $id:literal $name:literal $class:ident $severity:ident $about:literal $help:literal;)+) => {
        $(#[doc = $about] pub static $constant: Rule = Rule {
            id: $id, name: $name, class: Class::$class, severity: Severity::$severity, about: $about, help: $help,
        };)+

        /// All rules, in the order of their ids.
        pub static RULES: &[&Rule] = &[$(&$constant,)+];
    };
}

rules! {
    UNKNOWN_FIELD "KM101" "unknown-field" InvalidManifest High
        "The schema has no such field here." "Correct the key; the nearest valid one is in the message.";
    WRONG_TYPE "KM102" "wrong-type" InvalidManifest High
        "The value has another type than the schema demands." "Write the value in the type that the message names.";
    MISSING_FIELD "KM103" "missing-field" InvalidManifest High
        "A field that the API server demands is missing." "Add the field.";
    BAD_VALUE "KM104" "bad-value" InvalidManifest High
        "The API server refuses the value: outside an enumeration or a range, or no valid name or quantity." "Correct the value; what is allowed is in the message.";
    UNRESOLVED_NAME "KM105" "unresolved-name" InvalidManifest High
        "A name refers to something that the object itself does not define, as a mount of a volume that is not there." "Correct the name, or define what it names.";
    SELECTOR_MISMATCH "KM106" "selector-mismatch" InvalidManifest High
        "The selector of a workload does not match the labels of its own pod template." "Give the template the labels that the selector asks for.";
    REMOVED_API "KM110" "removed-api" DeprecatedApi High
        "The target version of Kubernetes does not serve this API version any more." "Move the object to the version that the message names.";
    DEPRECATED_API "KM111" "deprecated-api" DeprecatedApi Low
        "A later version of Kubernetes does not serve this API version any more." "Move the object to the version that the message names before you upgrade.";
    INVALID_YAML "KM120" "invalid-yaml" RenderError High
        "The document is no valid YAML, so nothing of it is applied." "Mend the syntax at the line of the message.";
    BROKEN_KUSTOMIZATION "KM121" "broken-kustomization" RenderError High
        "The kustomization does not build, so nothing of it is applied." "Mend what kustomize complains about.";
    DUPLICATE_OBJECT "KM122" "duplicate-object" InvalidManifest Medium
        "The same object is defined twice in what is applied together; the last one wins." "Remove or rename one of the two.";
    SERVICE_SELECTOR "KM201" "service-selector" ServiceNoEndpoints High
        "The selector of a Service matches the pods of no workload." "Correct the selector or the labels.";
    SERVICE_PORT "KM202" "service-port" ServicePortMismatch High
        "The target port of a Service leads to no port of the pods that it selects." "Correct targetPort, or declare the port.";
    BACKEND "KM203" "route-backend" IngressBackendMissing High
        "An Ingress or HTTPRoute leads to a Service or port that does not exist." "Correct the backend.";
    POLICY_SELECTOR "KM204" "network-policy-selector" NetworkPolicyBlocking Low
        "A NetworkPolicy selects the pods of no workload, so it protects nothing." "Correct podSelector.";
    PROBE_PORT "KM205" "probe-port" ReadinessProbeFailing High
        "A probe asks a port by a name that its container does not declare." "Correct the name, or declare the port.";
    MISSING_CONFIGMAP "KM301" "missing-configmap" MissingConfig Medium
        "A ConfigMap that a pod needs is not defined." "Correct the name, or add the ConfigMap.";
    MISSING_SECRET "KM302" "missing-secret" MissingSecret Medium
        "A Secret that a pod needs is not defined, and the repository defines one whose name is one slip away." "Correct the name.";
    MISSING_KEY "KM303" "missing-key" MissingConfig High
        "A ConfigMap or Secret of the repository lacks the key that a pod needs." "Correct the key, or add it.";
    MISSING_CLAIM "KM304" "missing-claim" ClaimNotFound Medium
        "A PersistentVolumeClaim that a pod needs is not defined." "Correct the name, or add the claim.";
    MISSING_ACCOUNT "KM305" "missing-service-account" MissingServiceAccount Medium
        "The ServiceAccount of a pod is not defined." "Correct the name, or add the ServiceAccount.";
    SCALE_TARGET "KM401" "scale-target" HpaCannotScale Medium
        "A HorizontalPodAutoscaler scales a workload that is not defined." "Correct scaleTargetRef.";
    FIXED_REPLICAS "KM402" "fixed-replicas" HpaCannotScale Low
        "A workload that an autoscaler scales has a fixed number of replicas in Git, which every sync sets again." "Remove replicas from the workload, or tell the GitOps engine to ignore the field.";
    BUDGET_SELECTOR "KM403" "budget-selector" PdbBlocking Low
        "A PodDisruptionBudget selects the pods of no workload, so it protects nothing." "Correct the selector.";
    BUDGET_BLOCKS "KM404" "budget-blocks" PdbBlocking Low
        "A PodDisruptionBudget never allows an eviction, so a node drain hangs." "Allow one disruption, or run more replicas.";
    ROLE_REF "KM501" "role-ref" RbacDenied Medium
        "A RoleBinding names a Role that is not defined." "Correct roleRef; kubemend never changes Roles and bindings.";
    BINDING_SUBJECT "KM502" "binding-subject" RbacDenied Medium
        "A binding names a ServiceAccount that is not defined." "Correct the subject; kubemend never changes Roles and bindings.";
}

impl Rule {
    /// Whether a word of a person names this rule: its id, its name, or its class.
    pub fn is_called(&self, word: &str) -> bool {
        let class = self.class.to_string();
        [self.id, self.name, class.as_str()]
            .iter()
            .any(|own| own.eq_ignore_ascii_case(word))
    }

    /// The text of `kubemend explain`.
    pub fn explain(&self) -> String {
        format!(
            "{} {}\n  {}\n  {}\n  Severity: {}. Class in a cluster: {}.\n  To silence it: `# kubemend:ignore {} reason` on the line, above it, or at the top of the document.\n",
            self.id,
            self.name,
            self.about,
            self.help,
            self.severity.as_str(),
            self.class,
            self.name,
        )
    }
}

/// The rule that a person calls by id or name.
pub fn rule(word: &str) -> Option<&'static Rule> {
    let same = |r: &&&Rule| r.id.eq_ignore_ascii_case(word) || r.name.eq_ignore_ascii_case(word);
    RULES.iter().find(same).copied()
}

/// The table of the documentation.
pub fn table() -> String {
    let mut out = String::from(
        "| id | name | severity | what is wrong | what to do | class in a cluster |\n|---|---|---|---|---|---|\n",
    );
    for rule in RULES {
        out += &format!(
            "| {} | `{}` | {} | {} | {} | {} |\n",
            rule.id,
            rule.name,
            rule.severity.as_str(),
            rule.about,
            rule.help,
            rule.class
        );
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_and_names_are_unique_and_sorted() {
        let ids: Vec<&str> = RULES.iter().map(|r| r.id).collect();
        let mut sorted = ids.clone();
        sorted.sort_unstable();
        sorted.dedup();
        assert_eq!(ids, sorted);
        let mut names: Vec<&str> = RULES.iter().map(|r| r.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), RULES.len());
    }

    #[test]
    fn a_rule_is_found_by_id_and_name_in_any_case() {
        assert_eq!(rule("km101"), rule("Unknown-Field"));
        assert!(UNKNOWN_FIELD.is_called("invalidmanifest"));
        assert_eq!(rule("nothing"), None);
    }
}
