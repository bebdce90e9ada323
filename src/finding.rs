//! What is wrong: one [`Finding`] for one root cause, however many pods show it.

use std::collections::BTreeMap;
use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::object::ObjectRef;

/// The failure class of a finding. The text form is stable: it is part of fingerprints, branch
/// names, and the JSON output.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
pub enum Class {
    // -- containers
    /// A container keeps exiting; no more specific class applies.
    CrashLoopBackOff,
    /// A container was killed because it reached its memory limit.
    OOMKilled,
    /// The registry says that the tag or repository does not exist.
    ImagePullNotFound,
    /// The registry refuses the pull (401, 403).
    ImagePullAuth,
    /// The image exists but not for the node's platform.
    ImagePlatform,
    /// The image reference cannot be parsed.
    InvalidImageName,
    /// The image cannot be pulled for another reason (network, rate limit, unknown).
    ImagePullFailed,
    /// A ConfigMap, or a key of one, that a container needs does not exist.
    MissingConfig,
    /// A Secret, or a key of one, that a container needs does not exist.
    MissingSecret,
    /// The container cannot be created for another reason.
    CreateContainerError,
    /// The container's command cannot be started.
    RunContainerError,
    /// A volume cannot be mounted.
    FailedMount,
    /// A volume cannot be attached.
    FailedAttachVolume,
    /// An init container fails or never ends.
    InitContainerFailing,
    /// The liveness probe kills the container.
    LivenessProbeFailing,
    /// The readiness probe fails.
    ReadinessProbeFailing,
    /// The startup probe kills the container.
    StartupProbeFailing,
    /// The pod was evicted.
    Evicted,
    /// A node is not ready, and pods on it do not serve.
    NodeNotReady,
    /// The logs show an error of the application itself; the pod may look healthy.
    ApplicationError,
    // -- scheduling
    /// No node has enough of a resource.
    UnschedulableResources,
    /// No node matches selector, affinity or spread constraints.
    UnschedulablePlacement,
    /// Every matching node has a taint that the pod does not tolerate.
    UnschedulableTaint,
    /// No node has the wanted host port free.
    HostPortConflict,
    /// The pod waits for a claim that is not bound.
    UnboundClaim,
    /// The pod names a claim that does not exist.
    ClaimNotFound,
    // -- workloads
    /// A ResourceQuota refuses the pods.
    QuotaRejected,
    /// A LimitRange refuses the pods.
    LimitRangeRejected,
    /// Pod Security admission refuses the pods.
    PodSecurityRejected,
    /// The ServiceAccount of the pods does not exist.
    MissingServiceAccount,
    /// An admission webhook or policy refuses the pods.
    AdmissionRejected,
    /// Pods cannot be created for another reason.
    FailedCreate,
    /// A Deployment made no progress before its deadline; no more specific class applies.
    ProgressDeadlineExceeded,
    /// A StatefulSet waits for a pod that cannot become ready.
    StatefulSetStuck,
    /// A Job used up its retries.
    JobBackoffLimit,
    /// A Job ran past its deadline.
    JobDeadline,
    /// The last runs of a CronJob failed.
    CronJobFailing,
    /// A PodDisruptionBudget allows no disruption, or selects nothing.
    PdbBlocking,
    /// A workload is scaled to 0 and a report says that this is a problem.
    ScaledToZero,
    // -- storage
    /// A claim stays Pending.
    PvcPending,
    // -- network
    /// A Service selects no pod.
    ServiceNoEndpoints,
    /// A Service's port or target port leads nowhere.
    ServicePortMismatch,
    /// A Service selects pods of another workload as well.
    ServiceSelectsForeignPods,
    /// An Ingress names a Service or port that does not exist.
    IngressBackendMissing,
    /// An Ingress path leads to a Service that does not serve it.
    IngressMisroute,
    /// An Ingress names a class or a TLS Secret that does not exist.
    IngressReferenceMissing,
    /// A Service of type LoadBalancer has no address.
    LoadBalancerPending,
    /// A NetworkPolicy blocks traffic that the workload needs.
    NetworkPolicyBlocking,
    // -- access
    /// The API server denied a request of the workload's ServiceAccount.
    RbacDenied,
    // -- autoscaling
    /// A HorizontalPodAutoscaler cannot compute its metrics or find its target.
    HpaCannotScale,
    // -- GitOps engines
    /// An Argo CD Application is Degraded; no more specific class applies.
    ArgoDegraded,
    /// An Argo CD sync failed.
    ArgoSyncFailed,
    /// Argo CD cannot render or compare.
    ArgoComparisonError,
    /// A Flux Kustomization is not ready.
    FluxKustomizationNotReady,
    /// A Flux HelmRelease is not ready.
    FluxHelmReleaseNotReady,
    /// A Flux source is not ready.
    FluxSourceNotReady,
    // -- before anything runs
    /// The API server refuses the manifest: unknown field, wrong type, wrong value.
    InvalidManifest,
    /// The manifest uses an API version that the server does not have.
    DeprecatedApi,
    /// kustomize or Helm cannot render the source.
    RenderError,
    /// A report names this object, and nothing wrong was found with it.
    Reported,
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:?}")
    }
}

/// How bad a finding is.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Worth a look.
    Low,
    /// Degraded: something still serves.
    Medium,
    /// A workload does not run or serve.
    High,
    /// Several workloads, or data, are affected.
    Critical,
}

impl Severity {
    /// As outputs and numbers name it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::Critical => "critical",
        }
    }
}

/// One root cause.
#[derive(Debug, Clone, PartialEq)]
pub struct Finding {
    /// What kind of failure it is.
    pub class: Class,
    /// How bad it is.
    pub severity: Severity,
    /// The object that fails: the top owner of the pods (Deployment, CronJob, …), or the object
    /// itself (Service, Ingress, PersistentVolumeClaim, …).
    pub object: ObjectRef,
    /// The container that fails.
    pub container: Option<String>,
    /// One sentence for people, with object, container and cause.
    pub summary: String,
    /// The reason as Kubernetes gives it (`CrashLoopBackOff`, `FailedScheduling`, …); may be empty.
    pub reason: String,
    /// The component's own message, unfolded to one line where it was folded; may be empty.
    pub message: String,
    /// The pods that show it, at most [`MAX_PODS`].
    pub pods: Vec<ObjectRef>,
    /// Other objects that the cause names: the missing ConfigMap, the quota, the selected Service.
    pub related: Vec<ObjectRef>,
    /// Named facts, see [`fact`].
    pub facts: BTreeMap<String, String>,
}

/// The most pods that one finding lists.
pub const MAX_PODS: usize = 5;

impl Finding {
    /// A finding with class, object and summary; everything else empty.
    pub fn new(
        class: Class,
        severity: Severity,
        object: ObjectRef,
        summary: impl Into<String>,
    ) -> Self {
        Self {
            class,
            severity,
            object,
            container: None,
            summary: summary.into(),
            reason: String::new(),
            message: String::new(),
            pods: Vec::new(),
            related: Vec::new(),
            facts: BTreeMap::new(),
        }
    }

    /// One named fact.
    pub fn fact(&self, name: &str) -> Option<&str> {
        self.facts.get(name).map(String::as_str)
    }

    /// Adds a named fact.
    #[must_use]
    pub fn with_fact(mut self, name: &str, value: impl Into<String>) -> Self {
        self.facts.insert(name.to_owned(), value.into());
        self
    }
}

/// Names of facts that several phases share. Others are private between a detector and its plays.
pub mod fact {
    /// Exit code of the last run.
    pub const EXIT_CODE: &str = "exitCode";
    /// Number of restarts.
    pub const RESTARTS: &str = "restarts";
    /// `ConfigMap` or `Secret` …: the kind of the missing object.
    pub const MISSING_KIND: &str = "missingKind";
    /// Its name.
    pub const MISSING_NAME: &str = "missingName";
    /// The missing key of an object that exists.
    pub const MISSING_KEY: &str = "missingKey";
    /// Last lines of the container's log, at most 20.
    pub const LOG_TAIL: &str = "logTail";
    /// Seconds from the start of the container to its end, in the last run.
    pub const RUN_SECONDS: &str = "runSeconds";
}
