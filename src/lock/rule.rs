//! The guardrail rules by the numbers that refusals and notices name, for `explain`.

/// One rule: its number, or the numbers that one check covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Guardrail {
    /// `D07`, or `A01-A21`.
    pub id: &'static str,
    /// What it protects, one sentence.
    pub about: &'static str,
}

impl Guardrail {
    /// `explain ID`.
    pub fn explain(&self) -> String {
        format!("{}\n  {}\n", self.id, self.about)
    }
}

/// The rule with a number, whatever its case.
pub fn guardrail(id: &str) -> Option<Guardrail> {
    let id = id.to_ascii_uppercase();
    let exact = GUARDRAILS.iter().find(|(known, _)| *known == id);
    let covers = |known: &str| {
        let ends = known.split_once('-');
        ends.is_some_and(|(first, last)| {
            id.len() == 3 && first <= id.as_str() && id.as_str() <= last
        })
    };
    let hit = exact.or_else(|| GUARDRAILS.iter().find(|(known, _)| covers(known)));
    hit.map(|(id, about)| Guardrail { id, about })
}

/// All rules, in the order of their numbers.
pub fn guardrails() -> impl Iterator<Item = Guardrail> {
    GUARDRAILS.iter().map(|(id, about)| Guardrail { id, about })
}

const GUARDRAILS: &[(&str, &str)] = &[
    (
        "A01-A21",
        "Security contexts are never changed: privileges, capabilities, users, groups, profiles, the root file system.",
    ),
    (
        "A01-A26",
        "No change makes a pod less isolated: security contexts, namespaces and paths of the host, block devices, the runtime class.",
    ),
    ("A02", "A pod never joins the network of its node."),
    ("A03", "A pod never sees the processes of its node."),
    ("A04", "A pod never shares the IPC namespace of its node."),
    ("A05", "A pod keeps its user namespace."),
    (
        "A06",
        "Containers of a pod do not begin to share their processes.",
    ),
    ("A07", "No hostPath volume is added or changed."),
    (
        "A08",
        "Host ports are never added or changed; a conflicting one may be given up.",
    ),
    ("A09", "No capability is added."),
    (
        "A12",
        "A container that must not run as root keeps that guard.",
    ),
    ("A20", "A read-only root file system stays read-only."),
    ("A22", "Probes and hooks never call another host."),
    ("A24", "Block devices are never changed."),
    ("A25", "Mount propagation is never changed."),
    ("A26", "The runtime class is never changed."),
    ("A27", "Ephemeral containers do not belong to Git."),
    ("A28", "Claims of devices are never changed."),
    ("B01", "A pod keeps its service account."),
    (
        "B02",
        "Whether a pod gets a token of the API is never changed.",
    ),
    (
        "B03",
        "Projected tokens and certificates are never changed.",
    ),
    (
        "B04",
        "Pull secrets change only where an image cannot be pulled, to a name that exists, and a person confirms it.",
    ),
    ("B06", "Secrets, and what makes them, are never changed."),
    ("B07", "No credential stands in text that is added."),
    (
        "B08",
        "A reference to a Secret changes only where it leads nowhere, to a name and key that exist, and a person confirms it.",
    ),
    (
        "B09",
        "A reference to a Secret or ConfigMap is never replaced with a literal value.",
    ),
    ("B12", "Inline CSI volumes are never changed."),
    ("B13", "What is immutable stays immutable."),
    (
        "B15",
        "Nothing begins to ask the metadata service of a cloud.",
    ),
    (
        "C01",
        "The registry and repository of an image change only back to what ran before.",
    ),
    (
        "C02",
        "The tag of an image changes only to one that is proven to exist, or back to what ran before.",
    ),
    ("C03", "The pull policy is no way to mend a failure."),
    (
        "C05",
        "A command changes only where it is a misspelling, or back to what ran before, and a person confirms it.",
    ),
    ("C06", "Lifecycle hooks are never changed."),
    ("C07", "What a probe or hook executes is never changed."),
    ("C08", "No container is added."),
    (
        "C09",
        "Containers are never renamed, removed or put into another order.",
    ),
    (
        "C10",
        "Variables that decide what code a process loads, or where its traffic goes, are never changed.",
    ),
    (
        "C11",
        "A value that names an endpoint changes only to a Service that exists.",
    ),
    (
        "C12",
        "Of a ConfigMap only the one missing or misspelled entry changes, and never a script.",
    ),
    (
        "C14",
        "No switch of security is turned off in arguments, variables or configuration.",
    ),
    (
        "C15",
        "Kind and API version change only from a deprecated version to one with the same meaning.",
    ),
    (
        "C17",
        "Ports of containers change only where a name or number does not match, and never to one that needs privileges.",
    ),
    ("D01", "Replica counts are changed by people."),
    (
        "D02",
        "Target and bounds of an autoscaler are changed by people.",
    ),
    ("D03", "Disruption budgets are never changed."),
    ("D04", "A probe is never removed."),
    (
        "D05",
        "A probe changes within bounds (its delay, timeout, failures and total time), to a port that is declared and a path that is proven.",
    ),
    ("D06", "A limit or request is never removed."),
    (
        "D07",
        "Resources grow at most twice in one change, within limits, quotas and the largest node; to lower them takes a person.",
    ),
    ("D08", "The rollout strategy is changed by people."),
    ("D10", "The time that a pod gets to end is never changed."),
    ("D11", "The restart policy is never changed."),
    ("D12", "A pod is never bound to a node by name."),
    (
        "D13",
        "Selectors, affinity and spreading change only where a pod fits nowhere, and a person confirms it.",
    ),
    (
        "D14",
        "A toleration is added only for a specific taint that is there, and a person confirms it.",
    ),
    ("D15", "The scheduler is never changed."),
    ("D16", "The priority of pods is never changed."),
    ("D17", "Names of hosts and DNS settings are never changed."),
    ("D18", "Readiness gates are never changed."),
    ("D19", "Bounds of a Job are changed by people."),
    (
        "D21",
        "Ephemeral storage grows at most twice where pods are evicted; its medium stays.",
    ),
    ("D22", "Quotas and limit ranges are never changed."),
    ("E01", "Network policies are never changed."),
    ("E02", "The type of a Service is never changed."),
    (
        "E04",
        "The selector of a Service changes only to labels of pods that exist, and a person confirms it.",
    ),
    (
        "E05",
        "Of the ports of a Service only the target port changes, to one that the pods declare.",
    ),
    (
        "E08",
        "Hosts, TLS and class of an Ingress are never changed; a backend changes to a Service that exists.",
    ),
    ("E13", "Endpoints are never written by hand."),
    ("F01", "Rules of roles are never changed."),
    ("F02", "Role bindings are never changed."),
    ("F03", "Namespaces are never changed."),
    (
        "F04",
        "Service accounts are never made, changed or deleted.",
    ),
    ("F05", "Custom resource definitions are never changed."),
    ("F06", "Admission is never changed."),
    ("F07", "Policies of policy engines are never changed."),
    ("F09", "Classes and nodes of a cluster are never changed."),
    ("F12", "Objects in protected namespaces are never changed."),
    (
        "G01",
        "Name, namespace and kind of an object are invariants.",
    ),
    (
        "G02",
        "Objects and documents of a file keep their number and order; nothing is made or deleted.",
    ),
    ("G03", "Nothing is deleted."),
    ("G04", "The selector of a workload is immutable."),
    ("G05", "Labels of pods are invariants."),
    ("G07", "Finalizers and owners are never changed."),
    ("G08", "Fields that the server sets do not belong to Git."),
    (
        "G09",
        "Immutable fields of a StatefulSet are never changed.",
    ),
    ("G10", "The template of a Job that exists is immutable."),
    ("G11", "Most fields of a Pod are immutable."),
    (
        "G12",
        "Claims change only where they are unbound or too small, and a person confirms it.",
    ),
    ("G13", "Persistent volumes are never changed."),
    (
        "G15",
        "Fields that the API server refuses to change are never changed.",
    ),
    ("G17", "Labels and annotations are invariants."),
    ("H01", "Objects of Argo CD are never changed."),
    ("I02", "Objects of Flux are never changed."),
    ("J09", "Templates of charts are never changed."),
    ("J11", "A value never brings in a template."),
    ("J19", "Text holds no characters that hide what it says."),
    (
        "L01",
        "A claim is never taken from a pod; a reference changes only where it leads nowhere.",
    ),
    (
        "L02",
        "Paths of mounts change only where a mount fails, and a person confirms it.",
    ),
    (
        "L05",
        "Jobs that run once, migrations and scripts are never changed.",
    ),
];
