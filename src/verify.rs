//! Was a merged commit applied, and is the workload well? Facts decide, no model. Pure.
//!
//! ```text
//! merged → fetched → applying → applied → settling → verified | regressed | inconclusive
//! ```
//!
//! Every link of the chain is a function over plain objects: [`revision`] reads what the GitOps
//! engines write as revisions, [`argo`] and [`flux`] say how far a commit got, [`rollout`] looks at
//! the workload itself.

use jiff::Timestamp;

pub mod app;
pub mod argo;
pub mod expect;
pub mod flux;
pub mod machine;
pub mod revision;
pub mod rollout;
pub mod sight;
pub mod together;

/// How far a commit got through a GitOps engine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Applied {
    /// The source has not reached a revision with our commit yet.
    NotSeen {
        /// The revision that the source holds.
        at: Option<String>,
    },
    /// The engine works on it.
    Applying {
        /// What it says.
        detail: String,
    },
    /// Nothing moves until a person (or time) lets it: no timer runs.
    Waiting {
        /// Why, and what a person can do.
        why: Wait,
    },
    /// The operation that carried our commit is finished.
    Applied {
        /// When.
        at: Option<Timestamp>,
        /// The revision that was applied.
        revision: String,
    },
    /// An operation with our commit failed.
    Failed {
        /// What the engine says.
        message: String,
        /// The resources that failed, `Kind/namespace/name`.
        resources: Vec<String>,
    },
    /// It cannot be told, and why.
    Unknown {
        /// Why.
        why: String,
    },
}

/// A state that is not a failure, however long it lasts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wait {
    /// Argo CD: automatic sync is off.
    ManualSync,
    /// Argo CD: automatic sync is on, and begins nothing.
    NotStarted {
        /// The sync windows that concern it, where they are known.
        windows: Option<String>,
    },
    /// Argo CD: it says itself that a closed window holds its operation back.
    SyncWindow {
        /// The sync windows that concern it, where they are known.
        windows: Option<String>,
    },
    /// Argo CD: an operation with an older revision is tried again and again.
    OldOperation,
    /// The source follows a tag or a commit, and no branch.
    Pinned {
        /// What it follows.
        to: String,
    },
    /// The source was not asked since the merge.
    NotPolled {
        /// When it is, and what asks it at once.
        how: String,
    },
    /// Flux: the source, the Kustomization or the HelmRelease is suspended.
    Suspended,
    /// Flux: a chart in Git is built anew only when its version is another one.
    ChartVersion,
    /// Flux: the health of an older revision is checked, and nothing else is begun meanwhile.
    HealthCheck {
        /// The older commit, shortened.
        of: String,
        /// When the check ends at the latest.
        until: Timestamp,
    },
    /// Flux: what it depends on is not ready.
    Dependency {
        /// `namespace/name`, as Flux names it.
        on: String,
    },
    /// A Deployment is paused.
    Paused,
    /// A Rollout of Argo Rollouts is paused at a step.
    Canary,
    /// `updateStrategy: OnDelete`: pods change when somebody deletes them.
    OnDelete,
    /// A StatefulSet's partition keeps the old template.
    Partition,
    /// A StatefulSet waits for its broken pod (kubernetes#67250).
    BrokenPodBlocks,
    /// No pod is wanted: nothing runs that could show anything.
    NoPods,
    /// A CronJob is judged on its next Job.
    NextRun,
    /// Pods must be restarted before they read the changed ConfigMap.
    Restart,
}

impl Wait {
    /// What a person reads: what is waited for and what they can do.
    pub fn sentence(&self) -> String {
        let fixed = match self {
            Self::NotStarted { windows } => return not_started(windows.as_deref()),
            Self::SyncWindow { windows } => return held_back(windows.as_deref()),
            Self::Pinned { to } => {
                return format!(
                    "the source follows {to} and no branch, and that does not hold the merge; point it to a later one, or make a tag that holds it"
                );
            }
            Self::NotPolled { how } => {
                return format!("the source was not asked since the merge; {how}");
            }
            Self::HealthCheck { of, until } => return checked(of, *until),
            Self::Dependency { on } => {
                return format!(
                    "it depends on `{on}`, which is not ready for it yet; mend what holds that up, and Flux goes on by itself"
                );
            }
            Self::ManualSync => "merged, and waiting for a sync: automatic sync is off",
            Self::OldOperation => {
                "Argo CD keeps trying an operation with an older revision; terminate it with `argocd app terminate-op`, and consider `syncPolicy.retry.refresh`"
            }
            Self::Suspended => "suspended in Flux; resume it with `flux resume`",
            Self::ChartVersion => {
                "the chart's version was not raised: Flux builds it anew when `version` in Chart.yaml changes, or for each commit with `reconcileStrategy: Revision`"
            }
            Self::Paused => "the Deployment is paused; resume it with `kubectl rollout resume`",
            Self::Canary => {
                "the Rollout is paused at a step; it goes on in its time, or with `kubectl argo rollouts promote`"
            }
            Self::OnDelete => {
                "the update strategy is OnDelete: pods get the new template when somebody deletes them"
            }
            Self::Partition => {
                "the partition of the StatefulSet keeps pods below it on the old template"
            }
            Self::BrokenPodBlocks => {
                "the StatefulSet waits for its broken pod; delete that pod so that it is made again from the new template"
            }
            Self::NoPods => {
                "it is scaled to zero, or no node takes it: nothing runs that could show whether the change works"
            }
            Self::NextRun => "waiting for the next run of the CronJob",
            Self::Restart => {
                "running pods keep the old content until they are restarted with `kubectl rollout restart`"
            }
        };
        fixed.to_owned()
    }
}

/// What a person can do about a closed window.
const SYNC_NOW: &str = "where the window lets a person through, `argocd app sync` applies it now";

fn not_started(windows: Option<&str>) -> String {
    let why = match windows {
        Some(windows) => format!("a sync window of its project may be closed ({windows})"),
        None => "a sync window may be closed, or its controller has much to do".to_owned(),
    };
    format!("Argo CD has seen the commit and has not begun to apply it: {why}; {SYNC_NOW}")
}

fn held_back(windows: Option<&str>) -> String {
    let named = windows.map(|w| format!(" ({w})")).unwrap_or_default();
    format!("Argo CD holds the sync back until a sync window opens{named}; {SYNC_NOW}")
}

fn checked(of: &str, until: Timestamp) -> String {
    let until = until.strftime("%Y-%m-%d %H:%M UTC");
    format!(
        "Flux still checks the health of an older revision ({of}) and begins nothing else; that ends with the `timeout` of the Kustomization, at {until}, or sooner when what it checks is mended"
    )
}

#[cfg(test)]
mod tests;
