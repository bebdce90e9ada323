#![allow(clippy::unwrap_used)]
use super::*;

/// Each says what is waited for, and what a person can do.
#[test]
fn what_a_person_reads_of_each_wait() {
    let windows = || Some("deny `0 22 * * *` for 8h Europe/Paris".to_owned());
    let all = [
        Wait::ManualSync,
        Wait::NotStarted { windows: None },
        Wait::NotStarted { windows: windows() },
        Wait::SyncWindow { windows: None },
        Wait::SyncWindow { windows: windows() },
        Wait::OldOperation,
        Wait::Pinned {
            to: "tag `v1.2.3`".to_owned(),
        },
        Wait::NotPolled {
            how: "Flux asks it every 10m, and at once with `flux reconcile source git gitops -n flux-system`".to_owned(),
        },
        Wait::Suspended,
        Wait::ChartVersion,
        Wait::HealthCheck {
            of: "0123456789ab".to_owned(),
            until: "2026-01-02T13:00:00Z".parse().unwrap(),
        },
        Wait::Dependency {
            on: "flux-system/databases".to_owned(),
        },
        Wait::Paused,
        Wait::Canary,
        Wait::OnDelete,
        Wait::Partition,
        Wait::BrokenPodBlocks,
        Wait::NoPods,
        Wait::NextRun,
        Wait::Restart,
    ];
    let told: Vec<String> = all.iter().map(Wait::sentence).collect();
    insta::assert_snapshot!(told.join("\n"));
}
