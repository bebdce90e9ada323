//! The positive allow-list: for each incident class, which fields a fix may touch, with bounds.
//!
//! One row for each [`Unlock`]. A path that the row does not name is blocked, a value outside its
//! bounds is blocked, and a row that does not fit the finding's class is blocked.

use serde_json::Value;

use crate::code::Code;
use crate::finding::Class;
use crate::lock::{Attempt, Judged};
use crate::propose::Unlock;

mod config;
mod image;
mod manifest;
mod network;
mod probe;
mod resources;
mod scheduling;
mod storage;
mod template;

use config::{config_content, config_reference, secret_reference};
use image::{image_tag, pull_secret};
use manifest::{deprecated, invalid};
use network::{backend, host_port, port};
use probe::probe;
use resources::{cpu, ephemeral, hpa, memory, requests_down, within_quota};
use scheduling::placement;
use storage::{claim_name, storage_class};
use template::{command, last_healthy};

/// One row, for the documentation and `explain`.
#[derive(Debug, Clone, Copy)]
pub struct RowInfo {
    /// The incident class.
    pub unlock: Unlock,
    /// The classes of findings that it serves.
    pub classes: &'static [Class],
    /// Whether only a playbook may use it.
    pub playbook_only: bool,
    /// What it unlocks and within which bounds, one sentence.
    pub about: &'static str,
}

struct Row {
    info: RowInfo,
    judge: fn(&Attempt<'_>) -> Judged,
}

const POD: &[Class] = &[
    Class::CrashLoopBackOff,
    Class::OOMKilled,
    Class::ImagePullNotFound,
    Class::ImagePullAuth,
    Class::ImagePlatform,
    Class::InvalidImageName,
    Class::ImagePullFailed,
    Class::MissingConfig,
    Class::MissingSecret,
    Class::CreateContainerError,
    Class::RunContainerError,
    Class::FailedMount,
    Class::FailedAttachVolume,
    Class::InitContainerFailing,
    Class::LivenessProbeFailing,
    Class::ReadinessProbeFailing,
    Class::StartupProbeFailing,
    Class::Evicted,
    Class::ApplicationError,
    Class::UnschedulableResources,
    Class::UnschedulablePlacement,
    Class::UnschedulableTaint,
    Class::HostPortConflict,
    Class::ProgressDeadlineExceeded,
    Class::StatefulSetStuck,
    Class::QuotaRejected,
    Class::LimitRangeRejected,
    Class::FailedCreate,
    Class::ArgoDegraded,
    Class::CronJobFailing,
];

macro_rules! row {
    ($unlock:ident, $classes:expr, $about:literal, $judge:expr) => {
        Row {
            info: RowInfo {
                unlock: Unlock::$unlock,
                classes: $classes,
                playbook_only: false,
                about: $about,
            },
            judge: $judge,
        }
    };
}

const ROWS: &[Row] = &[
    row!(
        ImagePullNotFound,
        &[
            Class::ImagePullNotFound,
            Class::InvalidImageName,
            Class::ImagePullFailed,
            Class::ArgoDegraded,
            Class::ProgressDeadlineExceeded
        ],
        "the tag or digest of the failing image, same repository, proven by an earlier revision or a running pod",
        image_tag
    ),
    row!(
        ImagePullAuth,
        &[Class::ImagePullAuth],
        "a pull secret that exists",
        pull_secret
    ),
    row!(
        OOMKilled,
        &[Class::OOMKilled],
        "memory limit and request, by 1.25 to 2 times, within the largest node, requests at most limits",
        memory
    ),
    row!(
        CpuThrottling,
        &[Class::StartupProbeFailing, Class::LivenessProbeFailing],
        "cpu limit and request, at most twice; startup probe inside the probe bounds",
        cpu
    ),
    row!(
        MissingConfig,
        &[
            Class::MissingConfig,
            Class::FailedMount,
            Class::CrashLoopBackOff,
            Class::CreateContainerError
        ],
        "a reference to a ConfigMap or key that exists",
        config_reference
    ),
    row!(
        MissingSecret,
        &[Class::MissingSecret, Class::FailedMount],
        "a reference to a Secret key that exists; values are never read",
        secret_reference
    ),
    row!(
        BadCommand,
        &[
            Class::RunContainerError,
            Class::CrashLoopBackOff,
            Class::InitContainerFailing
        ],
        "command and arguments of the failing container",
        command
    ),
    Row {
        info: RowInfo {
            unlock: Unlock::LastHealthyTemplate,
            classes: POD,
            playbook_only: true,
            about: "whole fields of the pod template, back to an earlier revision that worked",
        },
        judge: last_healthy,
    },
    row!(
        CrashLoopAfterChange,
        POD,
        "whole fields of the pod template, back to what Git had before",
        last_healthy
    ),
    row!(
        ProbeFailure,
        &[
            Class::LivenessProbeFailing,
            Class::ReadinessProbeFailing,
            Class::StartupProbeFailing
        ],
        "probe port, path and timings: delay at most 300 s, timeout at most 30 s, failures at most 30, port declared",
        probe
    ),
    row!(
        PortMismatch,
        &[
            Class::ServiceNoEndpoints,
            Class::ServicePortMismatch,
            Class::ServiceSelectsForeignPods,
            Class::IngressBackendMissing
        ],
        "a Service's target port or selector, where it resolves uniquely",
        port
    ),
    row!(
        UnschedulableResources,
        &[Class::UnschedulableResources],
        "requests, downwards only",
        requests_down
    ),
    row!(
        UnschedulablePlacement,
        &[Class::UnschedulablePlacement, Class::UnschedulableTaint],
        "node selector, affinity and specific tolerations",
        placement
    ),
    row!(
        Evicted,
        &[Class::Evicted],
        "ephemeral storage and size limits of emptyDirs, at most twice",
        ephemeral
    ),
    row!(
        PvcPending,
        &[
            Class::PvcPending,
            Class::UnboundClaim,
            Class::StatefulSetStuck
        ],
        "the storage class of unbound claims, to one that exists; storage requests only grow",
        storage_class
    ),
    row!(
        ClaimNotFound,
        &[Class::ClaimNotFound, Class::FailedMount],
        "the name of a claim, to one that exists",
        claim_name
    ),
    row!(
        HostPortConflict,
        &[Class::HostPortConflict],
        "removal of a host port that a Service makes unnecessary",
        host_port
    ),
    row!(
        ConfigContent,
        &[
            Class::CrashLoopBackOff,
            Class::InitContainerFailing,
            Class::ApplicationError,
            Class::MissingConfig
        ],
        "one key or line of a mounted ConfigMap file, which parses afterwards",
        config_content
    ),
    row!(
        QuotaRejected,
        &[Class::QuotaRejected, Class::LimitRangeRejected],
        "requests and limits within the published range",
        within_quota
    ),
    row!(
        HpaMisconfig,
        &[Class::HpaCannotScale],
        "metric names and targets; requests only where they are missing",
        hpa
    ),
    row!(
        BackendMissing,
        &[Class::IngressBackendMissing, Class::IngressMisroute],
        "the backend Service and port of an Ingress path, to ones that exist",
        backend
    ),
    row!(
        InvalidManifest,
        &[
            Class::InvalidManifest,
            Class::RenderError,
            Class::DeprecatedApi,
            Class::ArgoSyncFailed
        ],
        "the invalid path only; the object validates afterwards",
        invalid
    ),
    row!(
        DeprecatedApi,
        &[
            Class::DeprecatedApi,
            Class::InvalidManifest,
            Class::RenderError,
            Class::ArgoSyncFailed
        ],
        "the API version and the moves that its conversion demands",
        deprecated
    ),
];

/// All rows, in the order of the documentation.
pub fn row_infos() -> impl Iterator<Item = RowInfo> {
    ROWS.iter().map(|r| r.info)
}

pub(super) fn about(unlock: Unlock) -> &'static str {
    ROWS.iter()
        .find(|r| r.info.unlock == unlock)
        .map_or("", |r| r.info.about)
}

pub(super) fn check(attempt: &Attempt<'_>) -> Judged {
    let row = ROWS.iter().find(|r| r.info.unlock == attempt.edit.unlock);
    let Some(row) = row else {
        return not_unlocked(attempt);
    };
    if !row.info.classes.contains(&attempt.case.finding.class) {
        return Err((
            Code::NotUnlocked,
            format!(
                "{:?} does not apply to a {} finding",
                row.info.unlock, attempt.case.finding.class
            ),
        ));
    }
    if row.info.playbook_only && attempt.source.is_words() {
        return Err((
            Code::PlaybookOnly,
            format!(
                "{:?}: the value must follow from facts alone",
                row.info.unlock
            ),
        ));
    }
    (row.judge)(attempt)
}

fn not_unlocked(attempt: &Attempt<'_>) -> Judged {
    Err((
        Code::NotUnlocked,
        format!(
            "{:?} unlocks: {}",
            attempt.edit.unlock,
            about(attempt.edit.unlock)
        ),
    ))
}

fn bounds(reason: impl Into<String>) -> Judged {
    Err((Code::OutOfBounds, reason.into()))
}

fn list_or_one(value: &Value) -> &[Value] {
    value
        .as_array()
        .map_or(std::slice::from_ref(value), Vec::as_slice)
}

/// The container that the path is in, after the change.
fn container_after<'a>(attempt: &Attempt<'a>) -> Option<&'a Value> {
    let crate::lock::Place::Container { name, .. } = &attempt.place else {
        return None;
    };
    attempt.result.container(name).map(|c| c.value)
}
