//! What a watched object shows of itself, and whether it looks ill.

/// A kind that is watched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Watched {
    /// `v1 Pod`
    Pod,
    /// `apps/v1 Deployment`
    Deployment,
    /// `apps/v1 StatefulSet`
    StatefulSet,
    /// `apps/v1 DaemonSet`
    DaemonSet,
    /// `batch/v1 Job`
    Job,
    /// `autoscaling/v2 HorizontalPodAutoscaler`
    Autoscaler,
    /// `argoproj.io/v1alpha1 Application`
    Application,
    /// `kustomize.toolkit.fluxcd.io/v1 Kustomization`
    Kustomization,
    /// `helm.toolkit.fluxcd.io/v2 HelmRelease`
    HelmRelease,
}

impl Watched {
    /// Every kind.
    pub const ALL: [Self; 9] = [
        Self::Pod,
        Self::Deployment,
        Self::StatefulSet,
        Self::DaemonSet,
        Self::Job,
        Self::Autoscaler,
        Self::Application,
        Self::Kustomization,
        Self::HelmRelease,
    ];

    /// Group, version, kind and plural.
    pub fn names(self) -> (&'static str, &'static str, &'static str, &'static str) {
        match self {
            Self::Pod => ("", "v1", "Pod", "pods"),
            Self::Deployment => ("apps", "v1", "Deployment", "deployments"),
            Self::StatefulSet => ("apps", "v1", "StatefulSet", "statefulsets"),
            Self::DaemonSet => ("apps", "v1", "DaemonSet", "daemonsets"),
            Self::Job => ("batch", "v1", "Job", "jobs"),
            Self::Autoscaler => (
                "autoscaling",
                "v2",
                "HorizontalPodAutoscaler",
                "horizontalpodautoscalers",
            ),
            Self::Application => ("argoproj.io", "v1alpha1", "Application", "applications"),
            Self::Kustomization => (
                "kustomize.toolkit.fluxcd.io",
                "v1",
                "Kustomization",
                "kustomizations",
            ),
            Self::HelmRelease => (
                "helm.toolkit.fluxcd.io",
                "v2",
                "HelmRelease",
                "helmreleases",
            ),
        }
    }

    /// Whether every cluster has this kind.
    pub fn is_builtin(self) -> bool {
        !matches!(
            self,
            Self::Application | Self::Kustomization | Self::HelmRelease
        )
    }
}

/// What is read of an object on the wire. What has another shape than expected reads as absent.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Sighting {
    /// `metadata.generation`
    pub generation: i64,
    /// `metadata.deletionTimestamp` is set.
    pub leaving: bool,
    /// `spec.replicas`
    pub replicas: Option<i64>,
    /// `spec.suspend`, `spec.paused`
    pub resting: bool,
    /// `status.phase`, or the health that Argo CD computed.
    pub phase: Option<String>,
    /// `status.reason`
    pub reason: Option<String>,
    /// `status.observedGeneration`
    pub observed: Option<i64>,
    /// `status.availableReplicas`, `numberAvailable`, `readyReplicas`: the first that is there.
    pub available: Option<i64>,
    /// `status.desiredNumberScheduled`
    pub scheduled: Option<i64>,
    /// Conditions: type, status, reason.
    pub conditions: Vec<(String, String, String)>,
    /// Init containers, containers.
    pub containers: Vec<Container>,
}

/// One container's state.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Container {
    /// Whether it is ready.
    pub ready: bool,
    /// Why it waits.
    pub waiting: Option<String>,
    /// How it or its run before ended, when it ended badly.
    pub ended: Option<String>,
}

/// The most bytes of a sign: reasons are words, but they come from outside.
const MAX_SIGN: usize = 64;

/// Why an object looks ill: a reason of Kubernetes, like `CrashLoopBackOff`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Sign(Box<str>);

impl Sign {
    fn of(reason: &str) -> Option<Self> {
        let end = reason.floor_char_boundary(MAX_SIGN.min(reason.len()));
        let word = reason.get(..end).unwrap_or_default();
        (!word.is_empty()).then(|| Self(word.into()))
    }

    /// The reason.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Whether an object looks ill, and why.
pub fn sign(kind: Watched, seen: &Sighting) -> Option<Sign> {
    if seen.leaving || seen.resting {
        return None;
    }
    let reason = match kind {
        Watched::Pod => pod(seen),
        // the pods of before may serve on while no new one can be made
        Watched::Deployment => condition(seen, "ReplicaFailure", "True")
            .or(condition(seen, "Progressing", "False"))
            .or(unavailable(seen, seen.replicas.unwrap_or(1))),
        Watched::StatefulSet => unavailable(seen, seen.replicas.unwrap_or(1)),
        Watched::DaemonSet => unavailable(seen, seen.scheduled.unwrap_or(0)),
        Watched::Job => condition(seen, "Failed", "True"),
        Watched::Autoscaler => {
            condition(seen, "ScalingActive", "False").or(condition(seen, "AbleToScale", "False"))
        }
        Watched::Application => match seen.phase.as_deref() {
            Some(health @ ("Degraded" | "Missing")) => Some(health),
            _ => seen
                .conditions
                .iter()
                .map(|(kind, ..)| kind.as_str())
                .find(|kind| kind.ends_with("Error")),
        },
        Watched::Kustomization | Watched::HelmRelease => condition(seen, "Ready", "False"),
    };
    reason.and_then(Sign::of)
}

fn pod(seen: &Sighting) -> Option<&str> {
    let starting = |reason: &&str| matches!(*reason, "ContainerCreating" | "PodInitializing");
    let waiting = seen.containers.iter().filter_map(|c| c.waiting.as_deref());
    let ended = seen.containers.iter().filter_map(|c| c.ended.as_deref());
    let stuck = waiting
        .filter(|reason| !starting(reason))
        .chain(ended)
        .next();
    match seen.phase.as_deref() {
        Some("Succeeded") => None,
        Some("Failed") => stuck.or(seen.reason.as_deref()).or(Some("Failed")),
        _ => stuck
            .or(condition(seen, "PodScheduled", "False"))
            .or((seen.phase.as_deref() == Some("Pending")).then_some("Pending"))
            .or(condition(seen, "Ready", "False").map(|_| "NotReady")),
    }
}

fn unavailable(seen: &Sighting, wanted: i64) -> Option<&'static str> {
    let stale = seen.observed.is_some_and(|o| o < seen.generation);
    (stale || seen.available.unwrap_or(0) < wanted).then_some("Unavailable")
}

/// The reason of a condition with this status; its type where it gives none.
fn condition<'s>(seen: &'s Sighting, kind: &str, status: &str) -> Option<&'s str> {
    let mut all = seen.conditions.iter();
    let found = all.find(|(k, s, _)| k == kind && s == status)?;
    Some(if found.2.is_empty() {
        &found.0
    } else {
        &found.2
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn waits(reason: &str) -> Sighting {
        Sighting {
            phase: Some("Running".to_owned()),
            containers: vec![Container {
                waiting: Some(reason.to_owned()),
                ..Container::default()
            }],
            ..Sighting::default()
        }
    }

    fn said(kind: Watched, seen: &Sighting) -> Option<String> {
        sign(kind, seen).map(|s| s.as_str().to_owned())
    }

    #[test]
    fn a_pod_shows_why_it_does_not_run() {
        let crash = waits("CrashLoopBackOff");
        assert_eq!(
            said(Watched::Pod, &crash).as_deref(),
            Some("CrashLoopBackOff")
        );
        assert_eq!(said(Watched::Pod, &waits("ContainerCreating")), None);
        let leaving = Sighting {
            leaving: true,
            ..crash
        };
        assert_eq!(said(Watched::Pod, &leaving), None);
        let done = Sighting {
            phase: Some("Succeeded".to_owned()),
            conditions: vec![("Ready".into(), "False".into(), "PodCompleted".into())],
            ..Sighting::default()
        };
        assert_eq!(said(Watched::Pod, &done), None);
    }

    #[test]
    fn a_container_that_runs_again_after_running_out_of_memory_is_shown() {
        let seen = Sighting {
            phase: Some("Running".to_owned()),
            containers: vec![Container {
                ready: true,
                ended: Some("OOMKilled".to_owned()),
                ..Container::default()
            }],
            ..Sighting::default()
        };
        assert_eq!(said(Watched::Pod, &seen).as_deref(), Some("OOMKilled"));
    }

    #[test]
    fn a_workload_is_ill_when_it_has_less_than_it_wants() {
        let seen = |replicas, available| Sighting {
            replicas,
            available,
            ..Sighting::default()
        };
        let ill = |r, a| sign(Watched::Deployment, &seen(r, a)).is_some();
        assert!(ill(None, None));
        assert!(ill(Some(3), Some(2)));
        assert!(!ill(Some(3), Some(3)));
        assert!(!ill(Some(0), None));
        assert!(!ill(None, Some(1)));
        let late = Sighting {
            generation: 2,
            observed: Some(1),
            ..seen(Some(1), Some(1))
        };
        assert!(sign(Watched::Deployment, &late).is_some());
        let told = |kind: &str, status: &str, reason: &str| Sighting {
            conditions: vec![(kind.into(), status.into(), reason.into())],
            ..seen(Some(1), Some(1))
        };
        let refused = told("ReplicaFailure", "True", "FailedCreate");
        assert_eq!(
            said(Watched::Deployment, &refused).as_deref(),
            Some("FailedCreate"),
            "the pods of before serve on"
        );
        let stuck = told("Progressing", "False", "ProgressDeadlineExceeded");
        assert!(sign(Watched::Deployment, &stuck).is_some());
        let well = told("Progressing", "True", "NewReplicaSetAvailable");
        assert!(sign(Watched::Deployment, &well).is_none());
    }

    #[test]
    fn engines_and_autoscalers_are_read_by_their_conditions() {
        let with = |kind: &str, status: &str, reason: &str| Sighting {
            conditions: vec![(kind.into(), status.into(), reason.into())],
            ..Sighting::default()
        };
        let flux = with("Ready", "False", "HealthCheckFailed");
        assert_eq!(
            said(Watched::Kustomization, &flux).as_deref(),
            Some("HealthCheckFailed")
        );
        assert_eq!(
            said(
                Watched::Kustomization,
                &with("Ready", "Unknown", "Progressing")
            ),
            None
        );
        let hpa = with("ScalingActive", "False", "FailedGetResourceMetric");
        assert_eq!(
            said(Watched::Autoscaler, &hpa).as_deref(),
            Some("FailedGetResourceMetric")
        );
        let app = Sighting {
            phase: Some("Degraded".to_owned()),
            ..Sighting::default()
        };
        assert_eq!(
            said(Watched::Application, &app).as_deref(),
            Some("Degraded")
        );
    }

    #[test]
    fn a_sign_is_short_and_whole_characters() {
        let long = said(Watched::Pod, &waits(&"ü".repeat(1_000))).unwrap();
        assert!(long.len() <= MAX_SIGN && long.chars().all(|c| c == 'ü'));
    }
}
