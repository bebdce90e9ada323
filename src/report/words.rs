//! A text as words, and what the words say about kinds.

/// The most of a text that is looked at.
const MAX_TEXT: usize = 20_000;
const MAX_WORDS: usize = 2_000;

/// A word: letters, digits, `-`, `_`, `.` inside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Word<'t> {
    pub text: &'t str,
    /// Whether a `/` joins it to the word before.
    pub slash: bool,
    /// The character in front of it.
    before: Option<char>,
}

impl Word<'_> {
    /// `/menu`, not `shop/menu`.
    pub(super) fn is_url_path(&self) -> bool {
        !self.slash && self.before == Some('/')
    }
}

/// The words of a text, in order.
pub(super) fn words(text: &str) -> Vec<Word<'_>> {
    let text = text
        .char_indices()
        .nth(MAX_TEXT)
        .map_or(text, |(end, _)| text.get(..end).unwrap_or(text));
    let mut out = Vec::new();
    let mut last_end = None;
    let mut in_path = false;
    let mut rest = text;
    while let Some(start) = rest.find(is_word) {
        let (gap, tail) = rest.split_at(start);
        let end = tail.find(|c| !is_word(c)).unwrap_or(tail.len());
        let (raw, after) = tail.split_at(end);
        let before = gap.chars().last();
        let touching = gap == "/" && last_end.is_some();
        // after a URL path or a host the next segments are path segments too
        in_path = (gap.ends_with('/') && !touching) || (touching && in_path);
        let word = raw.trim_matches(['.', '-', '_']);
        if !word.is_empty() && out.len() < MAX_WORDS {
            out.push(Word {
                text: word,
                slash: touching && !in_path,
                before: if in_path && gap != "://" {
                    Some('/')
                } else {
                    before.filter(|c| *c != '/')
                },
            });
        }
        last_end = Some(());
        rest = after;
    }
    out
}

fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.')
}

/// The kind that a word means, in any of its usual forms.
pub(super) fn kind_of(word: &str) -> Option<&'static str> {
    Some(match word {
        "pod" | "pods" | "po" => "Pod",
        "deployment" | "deployments" | "deploy" | "deployment.apps" => "Deployment",
        "statefulset" | "statefulsets" | "sts" | "statefulset.apps" => "StatefulSet",
        "daemonset" | "daemonsets" | "ds" | "daemonset.apps" => "DaemonSet",
        "replicaset" | "replicasets" | "rs" => "ReplicaSet",
        "job" | "jobs" => "Job",
        "cronjob" | "cronjobs" | "cj" => "CronJob",
        "service" | "services" | "svc" => "Service",
        "ingress" | "ingresses" | "ing" => "Ingress",
        "networkpolicy" | "networkpolicies" | "netpol" => "NetworkPolicy",
        "configmap" | "configmaps" | "cm" => "ConfigMap",
        "secret" | "secrets" => "Secret",
        "serviceaccount" | "serviceaccounts" | "sa" => "ServiceAccount",
        "persistentvolumeclaim" | "persistentvolumeclaims" | "pvc" | "pvcs" => {
            "PersistentVolumeClaim"
        }
        "persistentvolume" | "pv" => "PersistentVolume",
        "horizontalpodautoscaler" | "hpa" => "HorizontalPodAutoscaler",
        "poddisruptionbudget" | "pdb" => "PodDisruptionBudget",
        "role" | "roles" => "Role",
        "rolebinding" | "rolebindings" => "RoleBinding",
        "clusterrole" | "clusterroles" => "ClusterRole",
        "clusterrolebinding" | "clusterrolebindings" => "ClusterRoleBinding",
        "application" | "applications" => "Application",
        "kustomization" | "kustomizations" => "Kustomization",
        "helmrelease" | "helmreleases" | "hr" => "HelmRelease",
        "gitrepository" | "gitrepositories" => "GitRepository",
        "helmrepository" | "helmrepositories" => "HelmRepository",
        "ocirepository" => "OCIRepository",
        "storageclass" => "StorageClass",
        "ingressclass" => "IngressClass",
        "resourcequota" | "quota" => "ResourceQuota",
        "limitrange" => "LimitRange",
        "node" | "nodes" => "Node",
        "rollout" | "rollouts" => "Rollout",
        _ => return None,
    })
}

/// Words that are in every report and in many names, and say nothing.
const FILLER: &[&str] = &[
    "about",
    "after",
    "answer",
    "answers",
    "application",
    "because",
    "been",
    "before",
    "cannot",
    "change",
    "check",
    "cluster",
    "connect",
    "connecting",
    "container",
    "critical",
    "does",
    "down",
    "error",
    "errors",
    "fail",
    "failed",
    "failing",
    "fails",
    "from",
    "have",
    "high",
    "host",
    "image",
    "into",
    "issue",
    "issues",
    "last",
    "local",
    "message",
    "name",
    "namespace",
    "node",
    "none",
    "other",
    "path",
    "port",
    "problem",
    "ready",
    "request",
    "requests",
    "restart",
    "restarting",
    "running",
    "since",
    "some",
    "start",
    "state",
    "status",
    "system",
    "test",
    "that",
    "their",
    "they",
    "this",
    "through",
    "time",
    "timeout",
    "timeouts",
    "user",
    "volume",
    "what",
    "when",
    "where",
    "which",
    "while",
    "with",
    "wrong",
];

/// Whether a word is no hint.
pub(super) fn is_filler(word: &str) -> bool {
    word.len() < 3 || FILLER.contains(&word) || kind_of(word).is_some()
}

/// A word and its likely singular forms.
pub(super) fn singulars(word: &str) -> Vec<String> {
    let mut out = vec![word.to_owned()];
    for (ending, instead) in [("ies", "y"), ("es", ""), ("s", "")] {
        if let Some(stem) = word.strip_suffix(ending).filter(|s| s.len() >= 3) {
            out.push(format!("{stem}{instead}"));
        }
    }
    out
}
