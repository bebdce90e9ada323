//! The positive allow-list: for each incident class, which fields a fix may touch, with bounds.
//!
//! One row for each [`Unlock`]. A path that the row does not name is blocked, a value outside its
//! bounds is blocked, and a row that does not fit the finding's class is blocked.

use serde_json::Value;

use crate::code::Code;
use crate::finding::Class;
use crate::lock::facts::{equivalent, exists, find, largest_node, was_absent, was_good};
use crate::lock::{Attempt, Judged, Verdict, short};
use crate::object::{Object, at, list};
use crate::propose::{Op, Source, Unlock};
use crate::quantity::Quantity;
use crate::snapshot::map_selects;

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
    if row.info.playbook_only && matches!(attempt.source, Source::Model(_)) {
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

/// Repository and tag of an image; a digest counts as the tag.
fn split_image(image: &str) -> (&str, Option<&str>) {
    if let Some((repository, digest)) = image.split_once('@') {
        return (repository, Some(digest));
    }
    match image.rsplit_once(':') {
        Some((repository, tag)) if !tag.contains('/') => (repository, Some(tag)),
        _ => (image, None),
    }
}

const FLOATING: &[&str] = &[
    "latest", "main", "master", "stable", "edge", "dev", "nightly",
];

fn image_tag(attempt: &Attempt<'_>) -> Judged {
    let (Some(["image"]), Some(Value::String(new))) =
        (attempt.place.container().as_deref(), attempt.after)
    else {
        return not_unlocked(attempt);
    };
    let old = attempt.before.and_then(Value::as_str).unwrap_or_default();
    let ((old_repository, old_tag), (repository, tag)) = (split_image(old), split_image(new));
    if repository != old_repository {
        return Err((
            Code::ForbiddenByRule,
            format!("the repository would change from {old_repository} to {repository} (rule C01)"),
        ));
    }
    let Some(tag) = tag.filter(|t| !FLOATING.contains(t)) else {
        return Err((
            Code::ForbiddenByRule,
            "a floating or empty tag (rule C02)".to_owned(),
        ));
    };
    if old_tag.is_some_and(|t| t.starts_with("sha256:")) && !tag.starts_with("sha256:") {
        return Err((
            Code::ForbiddenByRule,
            "a digest is never replaced by a tag (rule C02)".to_owned(),
        ));
    }
    if was_good(
        attempt.case,
        &attempt.edit.object,
        &attempt.edit.path,
        &Value::String(new.clone()),
    ) || runs_somewhere(attempt, new)
    {
        return Ok(Verdict::Human("C02"));
    }
    bounds(format!(
        "nothing proves that {new} exists: no earlier revision and no running container has it"
    ))
}

/// Whether some container in the dump runs exactly this image.
fn runs_somewhere(attempt: &Attempt<'_>, image: &str) -> bool {
    attempt.case.snapshot.of_kind("Pod").any(|pod| {
        list(&pod.value, "status.containerStatuses")
            .iter()
            .any(|s| {
                let named = s.get("image").and_then(Value::as_str) == Some(image);
                named && at(s, "state.running").is_some()
            })
    })
}

fn pull_secret(attempt: &Attempt<'_>) -> Judged {
    let (Some(["imagePullSecrets", ..]), Some(after)) =
        (attempt.place.pod_spec().as_deref(), attempt.after)
    else {
        return not_unlocked(attempt);
    };
    let namespace = attempt.manifest.object.namespace();
    let mut names: Vec<&str> = list_or_one(after)
        .iter()
        .filter_map(|v| v.get("name").and_then(Value::as_str).or_else(|| v.as_str()))
        .collect();
    names.dedup();
    if names.is_empty()
        || !names
            .iter()
            .all(|n| exists(attempt.case, "Secret", namespace, n))
    {
        return bounds("the pull secret is not known to exist");
    }
    Ok(Verdict::Human("B04"))
}

fn list_or_one(value: &Value) -> &[Value] {
    value
        .as_array()
        .map_or(std::slice::from_ref(value), Vec::as_slice)
}

fn memory(attempt: &Attempt<'_>) -> Judged {
    if !attempt.policy.raise_memory {
        return Err((
            Code::ForbiddenByRule,
            "raising memory is switched off by policy".to_owned(),
        ));
    }
    let Some(["resources", "limits" | "requests", "memory"]) = attempt.place.container().as_deref()
    else {
        return not_unlocked(attempt);
    };
    let (Some(old), Some(new)) = (
        attempt.before.and_then(Quantity::of),
        attempt.after.and_then(Quantity::of),
    ) else {
        return bounds("a memory value is changed only where there is one");
    };
    if new > old.times(2) || new.times(4) < old.times(5) {
        return bounds(format!(
            "{} is not 1.25 to 2 times {}",
            text(attempt.after),
            text(attempt.before)
        ));
    }
    resources_hold(attempt, "memory")?;
    Ok(Verdict::Allow)
}

fn text(value: Option<&Value>) -> String {
    value.map(short).unwrap_or_default()
}

/// After the change: requests at most limits, within the largest node, and written sanely.
fn resources_hold(attempt: &Attempt<'_>, resource: &str) -> Result<(), (Code, String)> {
    let outside = |reason: String| Err((Code::OutOfBounds, reason));
    let Some(written) = attempt.after.and_then(Value::as_str).or(Some("")) else {
        return Ok(());
    };
    let is_edited =
        matches!(attempt.edit.path.0.last(), Some(crate::path::Seg::Key(k)) if k == resource);
    if resource == "memory" && is_edited && written.ends_with('m') {
        return outside(format!("{written} is a fraction of a byte (rule D07)"));
    }
    let container = container_after(attempt);
    let amount = |list: &str| {
        container
            .and_then(|c| at(c, "resources")?.get(list)?.get(resource))
            .and_then(Quantity::of)
    };
    let (request, limit) = (amount("requests"), amount("limits"));
    if let (Some(request), Some(limit)) = (&request, &limit)
        && request > limit
    {
        return outside(format!("the {resource} request would be over the limit"));
    }
    let wanted = request.or(limit);
    if let (Some(wanted), Some(node)) = (wanted, largest_node(attempt.case, resource))
        && wanted > node
    {
        return outside(format!("no node has that much {resource}"));
    }
    Ok(())
}

/// The container that the path is in, after the change.
fn container_after<'a>(attempt: &Attempt<'a>) -> Option<&'a Value> {
    let crate::lock::Place::Container { name, .. } = &attempt.place else {
        return None;
    };
    attempt.result.container(name).map(|c| c.value)
}

fn cpu(attempt: &Attempt<'_>) -> Judged {
    match attempt.place.container().as_deref() {
        Some(["resources", "limits" | "requests", "cpu"]) => {
            let (Some(old), Some(new)) = (
                attempt.before.and_then(Quantity::of),
                attempt.after.and_then(Quantity::of),
            ) else {
                return bounds("a cpu value is changed only where there is one");
            };
            if new > old.times(2) || new < old {
                return bounds("cpu grows at most twice");
            }
            resources_hold(attempt, "cpu")?;
            Ok(Verdict::Allow)
        }
        Some(["startupProbe", ..]) => probe(attempt),
        _ => not_unlocked(attempt),
    }
}

fn config_reference(attempt: &Attempt<'_>) -> Judged {
    if config_place(attempt).is_none() {
        return config_content(attempt);
    }
    let namespace = attempt.manifest.object.namespace();
    let base = attempt
        .edit
        .path
        .split_last()
        .map(|(p, _)| p)
        .unwrap_or_default();
    let whole = base.get(&attempt.result.value);
    let field = |key: &str| whole.and_then(|w| w.get(key)).and_then(Value::as_str);
    let name = field("name").or_else(|| {
        attempt
            .after
            .and_then(|v| v.get("name"))
            .and_then(Value::as_str)
    });
    let Some(config) = name.and_then(|n| find(attempt.case, "ConfigMap", namespace, n)) else {
        return bounds("the ConfigMap is not known to exist");
    };
    if let Some(key) = field("key") {
        let has = ["data", "binaryData"]
            .iter()
            .any(|d| config.map(d).is_some_and(|m| m.contains_key(key)));
        let unseen = config.map("data").is_none() && config.map("binaryData").is_none();
        if !has && !unseen {
            return bounds(format!("ConfigMap {} has no key {key}", config.name()));
        }
    }
    Ok(Verdict::Human("MissingConfig"))
}

fn config_place(attempt: &Attempt<'_>) -> Option<()> {
    let container = attempt.place.container();
    let pod = attempt.place.pod_spec();
    let fits = matches!(
        container.as_deref(),
        Some(
            ["env", "*", "valueFrom", "configMapKeyRef", "name" | "key"]
                | ["envFrom", "*", "configMapRef", "name"]
        )
    ) || matches!(
        pod.as_deref(),
        Some(["volumes", "*", "configMap", "name" | "items", ..])
    );
    fits.then_some(())
}

fn secret_reference(attempt: &Attempt<'_>) -> Judged {
    let Some(
        [
            "env",
            "*",
            "valueFrom",
            "secretKeyRef",
            part @ ("name" | "key"),
        ],
    ) = attempt
        .place
        .container()
        .as_deref()
        .map(<[&str]>::to_vec)
        .as_deref()
        .map(|w| <&[&str; 5]>::try_from(w).ok())
        .and_then(|w| w.copied())
    else {
        return not_unlocked(attempt);
    };
    let base = attempt
        .edit
        .path
        .split_last()
        .map(|(p, _)| p)
        .unwrap_or_default();
    let whole = base.get(&attempt.result.value);
    let field = |key: &str| {
        whole
            .and_then(|w| w.get(key))
            .and_then(Value::as_str)
            .unwrap_or_default()
    };
    let namespace = attempt.manifest.object.namespace();
    let Some(secret) = find(attempt.case, "Secret", namespace, field("name")) else {
        return bounds(format!(
            "Secret {} is not known to exist ({part} changed)",
            field("name")
        ));
    };
    let has = ["data", "stringData"]
        .iter()
        .any(|d| secret.map(d).is_some_and(|m| m.contains_key(field("key"))));
    if !has {
        return bounds(format!(
            "Secret {} has no key {}",
            secret.name(),
            field("key")
        ));
    }
    Ok(Verdict::Human("B08"))
}

fn command(attempt: &Attempt<'_>) -> Judged {
    match attempt.place.container().as_deref() {
        Some(["command" | "args", ..]) if attempt.after.is_some() => Ok(Verdict::Human("C05")),
        _ => not_unlocked(attempt),
    }
}

fn last_healthy(attempt: &Attempt<'_>) -> Judged {
    let edit = attempt.edit;
    let removes = matches!(edit.op, Op::Remove);
    let whole_container =
        matches!(&attempt.place, crate::lock::Place::Container { rest, .. } if rest.is_empty());
    if whole_container {
        if removes && was_absent(attempt.case, &edit.object, &edit.path) {
            return Ok(Verdict::Human("C09"));
        }
        return bounds("a container is only removed where the earlier revision lacks it");
    }
    let allowed = matches!(
        attempt.place.container().as_deref(),
        Some([
            "image"
                | "command"
                | "args"
                | "workingDir"
                | "env"
                | "resources"
                | "livenessProbe"
                | "readinessProbe"
                | "startupProbe",
            ..
        ])
    ) || matches!(
        attempt.place.pod_spec().as_deref(),
        Some([
            "affinity" | "nodeSelector" | "tolerations" | "topologySpreadConstraints",
            ..
        ])
    );
    if !allowed {
        return not_unlocked(attempt);
    }
    let proven = match attempt.after {
        Some(value) => {
            was_good(attempt.case, &edit.object, &edit.path, value) || item_was_good(attempt, value)
        }
        None => was_absent(attempt.case, &edit.object, &edit.path),
    };
    if !proven {
        return bounds("no earlier revision and no earlier version in Git has this value");
    }
    Ok(Verdict::Human("LastHealthyTemplate"))
}

/// An added list item (an environment variable) that an earlier revision has at another index.
fn item_was_good(attempt: &Attempt<'_>, value: &Value) -> bool {
    let Some((list_path, crate::path::Seg::Index(_))) = attempt.edit.path.split_last() else {
        return false;
    };
    crate::lock::known_good(attempt.case, &attempt.edit.object)
        .iter()
        .any(|good| {
            list_path
                .get(&good.object)
                .and_then(Value::as_array)
                .is_some_and(|items| items.iter().any(|i| equivalent(value, i)))
        })
}

fn probe(attempt: &Attempt<'_>) -> Judged {
    let words = attempt.place.container();
    let Some(
        [
            kind @ ("livenessProbe" | "readinessProbe" | "startupProbe"),
            ..,
        ],
    ) = words
        .as_deref()
        .and_then(|w| w.first().map(|_| w))
        .map(|w| &w[..1])
    else {
        return not_unlocked(attempt);
    };
    let Some(container) = container_after(attempt) else {
        return not_unlocked(attempt);
    };
    let Some(probe) = container.get(*kind) else {
        return bounds("the probe would be gone (rule D04)");
    };
    probe_timings(probe)?;
    probe_port(probe, container)?;
    probe_path(attempt, probe, kind)?;
    let old = attempt
        .manifest
        .object
        .container(container_name(container))
        .and_then(|c| c.value.get(*kind).cloned());
    let became_tcp = old.as_ref().is_some_and(|o| o.get("httpGet").is_some())
        && probe.get("tcpSocket").is_some();
    Ok(if became_tcp {
        Verdict::Human("D05")
    } else {
        Verdict::Allow
    })
}

fn container_name(container: &Value) -> &str {
    container
        .get("name")
        .and_then(Value::as_str)
        .unwrap_or_default()
}

fn probe_timings(probe: &Value) -> Result<(), (Code, String)> {
    let seconds =
        |key: &str, default: i64| probe.get(key).and_then(Value::as_i64).unwrap_or(default);
    let (delay, period) = (
        seconds("initialDelaySeconds", 0),
        seconds("periodSeconds", 10),
    );
    let (timeout, failures) = (seconds("timeoutSeconds", 1), seconds("failureThreshold", 3));
    let total = delay.saturating_add(period.saturating_mul(failures));
    let fits = (0..=300).contains(&delay)
        && (1..=30).contains(&timeout)
        && (1..=30).contains(&failures)
        && period >= 1
        && total <= 600;
    if fits {
        return Ok(());
    }
    Err((
        Code::OutOfBounds,
        format!(
            "probe timings outside the bounds of rule D05 (delay {delay}, timeout {timeout}, failures {failures}, total {total} s)"
        ),
    ))
}

/// A path is only known to be served where it is asked for: on another port it is a guess, unless
/// another probe of the container asks there for the same path.
fn probe_path(attempt: &Attempt<'_>, probe: &Value, kind: &str) -> Result<(), (Code, String)> {
    let place = |p: &Value| {
        Some((
            at(p, "httpGet.path").cloned(),
            at(p, "httpGet.port")?.clone(),
        ))
    };
    let crate::lock::Place::Container { name, .. } = &attempt.place else {
        return Ok(());
    };
    let Some(before) = attempt.manifest.object.container(name) else {
        return Ok(());
    };
    let old = before.get(kind).and_then(place);
    let Some(new) = place(probe).filter(|new| old.as_ref() != Some(new)) else {
        return Ok(());
    };
    let others = ["livenessProbe", "readinessProbe", "startupProbe"];
    let asked = others
        .iter()
        .filter(|k| **k != kind)
        .any(|k| before.get(k).and_then(place) == Some(new.clone()));
    // a misspelled port name means the port that it misspells
    let moved = old
        .as_ref()
        .is_some_and(|(_, port)| *port != new.1 && !port.is_string());
    if asked
        || !moved
        || was_good(
            attempt.case,
            &attempt.edit.object,
            &attempt.edit.path,
            attempt.after.unwrap_or(&Value::Null),
        )
    {
        return Ok(());
    }
    Err((Code::OutOfBounds, "nothing shows that the path is served on that port: a tcpSocket probe, or a person's word (rule D05)".to_owned()))
}

/// The port must be one that the container declares, by number or name.
fn probe_port(probe: &Value, container: &Value) -> Result<(), (Code, String)> {
    let port = ["httpGet", "tcpSocket", "grpc"]
        .iter()
        .find_map(|h| probe.get(*h)?.get("port"));
    let Some(port) = port else { return Ok(()) };
    let declared = list(container, "ports")
        .iter()
        .any(|p| p.get("containerPort") == Some(port) || p.get("name") == Some(port));
    if declared {
        return Ok(());
    }
    Err((
        Code::OutOfBounds,
        format!("the container does not declare port {port} (rule D05)"),
    ))
}

fn port(attempt: &Attempt<'_>) -> Judged {
    if attempt.manifest.object.kind() != "Service" {
        return container_port(attempt);
    }
    match attempt.place.object().as_deref() {
        Some(["spec", "ports", "*", "targetPort"]) => target_port(attempt),
        Some(["spec", "selector", ..]) => selector(attempt),
        _ => not_unlocked(attempt),
    }
}

fn container_port(attempt: &Attempt<'_>) -> Judged {
    match attempt.place.container().as_deref() {
        Some(["ports", "*", "containerPort" | "name"]) => {
            if attempt
                .after
                .and_then(Value::as_i64)
                .is_some_and(|p| p < 1024 && p != 80 && p != 443)
            {
                return bounds("a privileged port (rule C17)");
            }
            Ok(Verdict::Human("C17"))
        }
        _ => not_unlocked(attempt),
    }
}

/// The workloads of Git and cluster whose pods a Service selects after the change.
fn selected<'c>(attempt: &'c Attempt<'_>) -> Vec<&'c Object> {
    let wanted = attempt.result.map("spec.selector");
    let namespace = attempt.manifest.object.namespace();
    let workloads = attempt
        .case
        .desired
        .iter()
        .map(|d| &d.object)
        .filter(|o| o.pod_spec_path().is_some());
    let mut hits: Vec<&Object> = workloads
        .filter(|o| o.namespace() == namespace && map_selects(wanted, o.pod_labels()))
        .collect();
    if hits.is_empty() {
        let pods = attempt.case.snapshot.of_kind("Pod");
        hits = pods
            .filter(|p| p.namespace() == namespace && map_selects(wanted, p.pod_labels()))
            .collect();
        hits.dedup_by_key(|p| attempt.case.snapshot.top_owner(p));
    }
    hits
}

fn target_port(attempt: &Attempt<'_>) -> Judged {
    let Some(port) = attempt.after else {
        return not_unlocked(attempt);
    };
    let workloads = selected(attempt);
    let declares = |o: &&Object| {
        o.containers().iter().any(|c| {
            c.list("ports")
                .iter()
                .any(|p| p.get("containerPort") == Some(port) || p.get("name") == Some(port))
        })
    };
    if workloads.is_empty() || !workloads.iter().all(declares) {
        return bounds(format!("the selected pods do not all declare port {port}"));
    }
    // declaring a port is only documentation: a person confirms when a number is replaced
    let number = attempt.before.is_some_and(Value::is_number);
    Ok(if number {
        Verdict::Human("E05")
    } else {
        Verdict::Allow
    })
}

fn selector(attempt: &Attempt<'_>) -> Judged {
    let hits = selected(attempt);
    match hits.as_slice() {
        [_one] => Ok(Verdict::Human("E04")),
        [] => bounds("the selector would match no pod"),
        many => bounds(format!("the selector would match {} workloads", many.len())),
    }
}

fn requests_down(attempt: &Attempt<'_>) -> Judged {
    let Some(["resources", "requests", resource]) = attempt
        .place
        .container()
        .as_deref()
        .and_then(|w| <[&str; 3]>::try_from(w).ok())
    else {
        return not_unlocked(attempt);
    };
    let (Some(old), Some(new)) = (
        attempt.before.and_then(Quantity::of),
        attempt.after.and_then(Quantity::of),
    ) else {
        return bounds("a request is changed only where there is one");
    };
    if new >= old || new.is_zero() {
        return bounds("requests go down only, and not to zero");
    }
    resources_hold(attempt, resource)?;
    Ok(Verdict::Human("D07"))
}

fn placement(attempt: &Attempt<'_>) -> Judged {
    match attempt.place.pod_spec().as_deref() {
        Some(["nodeSelector" | "affinity", ..]) => Ok(Verdict::Human("D13")),
        Some(["tolerations", ..]) => toleration(attempt),
        _ => not_unlocked(attempt),
    }
}

fn toleration(attempt: &Attempt<'_>) -> Judged {
    let Some(after) = attempt.after else {
        return bounds("tolerations are not removed");
    };
    // an edit of one field of a toleration is judged as the whole toleration that it makes
    let whole = toleration_path(&attempt.edit.path).get(&attempt.result.value);
    for t in list_or_one(whole.unwrap_or(after)) {
        let field = |key: &str| t.get(key).and_then(Value::as_str).unwrap_or_default();
        let key = field("key");
        let control_plane = key.starts_with("node-role.kubernetes.io/");
        let forever = field("effect") == "NoExecute" && t.get("tolerationSeconds").is_none();
        if key.is_empty() || control_plane || forever {
            return Err((
                Code::ForbiddenByRule,
                "a toleration must name one key, no control plane, no endless NoExecute (rule D14)"
                    .to_owned(),
            ));
        }
    }
    Ok(Verdict::Human("D14"))
}

/// `tolerations[i]`, however deep below it the path goes.
fn toleration_path(path: &crate::path::FieldPath) -> crate::path::FieldPath {
    let segs = &path.0;
    let list = |s: &crate::path::Seg| matches!(s, crate::path::Seg::Key(k) if k == "tolerations");
    let end = segs.iter().position(list).map_or(segs.len(), |i| i + 2);
    crate::path::FieldPath(segs.iter().take(end).cloned().collect())
}

fn ephemeral(attempt: &Attempt<'_>) -> Judged {
    let container = attempt.place.container();
    let pod = attempt.place.pod_spec();
    let fits = matches!(
        container.as_deref(),
        Some(["resources", "limits" | "requests", "ephemeral-storage"])
    ) || matches!(
        pod.as_deref(),
        Some(["volumes", "*", "emptyDir", "sizeLimit"])
    );
    let (Some(old), Some(new), true) = (
        attempt.before.and_then(Quantity::of),
        attempt.after.and_then(Quantity::of),
        fits,
    ) else {
        return not_unlocked(attempt);
    };
    if new > old.times(2) || new <= old {
        return bounds("ephemeral storage grows at most twice");
    }
    Ok(Verdict::Allow)
}

fn storage_class(attempt: &Attempt<'_>) -> Judged {
    let object = &attempt.manifest.object;
    match (object.kind(), attempt.place.object().as_deref()) {
        ("PersistentVolumeClaim", Some(["spec", "storageClassName"])) => {
            class_of_unbound(attempt, &[object.name().to_owned()])
        }
        (
            "StatefulSet",
            Some(
                [
                    "spec",
                    "volumeClaimTemplates",
                    "*",
                    "spec",
                    "storageClassName",
                ],
            ),
        ) => class_of_unbound(attempt, &claims_of_template(attempt)),
        ("PersistentVolumeClaim", Some(["spec", "resources", "requests", "storage"])) => {
            let (Some(old), Some(new)) = (
                attempt.before.and_then(Quantity::of),
                attempt.after.and_then(Quantity::of),
            ) else {
                return not_unlocked(attempt);
            };
            if new <= old || new > old.times(2) {
                return bounds("storage grows at most twice (rule G12)");
            }
            Ok(Verdict::Human("G12"))
        }
        _ => not_unlocked(attempt),
    }
}

fn claims_of_template(attempt: &Attempt<'_>) -> Vec<String> {
    let template = attempt.edit.path.0.iter().find_map(|s| match s {
        crate::path::Seg::Named { value, .. } => Some(value.clone()),
        // a template's name is in its metadata, so plays name it by position
        crate::path::Seg::Index(index) => {
            let templates = attempt.manifest.object.list("spec.volumeClaimTemplates");
            let name = at(templates.get(*index)?, "metadata.name")?;
            name.as_str().map(str::to_owned)
        }
        crate::path::Seg::Key(_) => None,
    });
    let prefix = format!(
        "{}-{}-",
        template.unwrap_or_default(),
        attempt.manifest.object.name()
    );
    let claims = attempt
        .case
        .snapshot
        .in_namespace("PersistentVolumeClaim", attempt.manifest.object.namespace());
    claims
        .iter()
        .filter(|c| c.name().starts_with(&prefix))
        .map(|c| c.name().to_owned())
        .collect()
}

fn class_of_unbound(attempt: &Attempt<'_>, claims: &[String]) -> Judged {
    let namespace = attempt.manifest.object.namespace();
    let bound = claims.iter().any(|name| {
        let claim = attempt
            .case
            .snapshot
            .find("PersistentVolumeClaim", namespace, name);
        claim.is_some_and(|c| {
            c.str("status.phase") == Some("Bound")
                || c.str("spec.volumeName").is_some_and(|v| !v.is_empty())
        })
    });
    if bound {
        return Err((
            Code::BlockedImmutable,
            "a claim is bound: its storage class is immutable (rule G12)".to_owned(),
        ));
    }
    let old = attempt.before.and_then(Value::as_str);
    if old.is_some_and(|o| !o.is_empty() && exists(attempt.case, "StorageClass", None, o)) {
        return bounds("the storage class exists: it is not what is wrong");
    }
    let is_default =
        |c: &Object| c.annotation("storageclass.kubernetes.io/is-default-class") == Some("true");
    let fits = match attempt.after.and_then(Value::as_str) {
        Some(new) => exists(attempt.case, "StorageClass", None, new),
        None => attempt
            .case
            .snapshot
            .of_kind("StorageClass")
            .any(is_default),
    };
    if !fits {
        return bounds("the new storage class is not known to exist");
    }
    Ok(Verdict::Human("G12"))
}

fn claim_name(attempt: &Attempt<'_>) -> Judged {
    let Some(["volumes", "*", "persistentVolumeClaim", "claimName"]) =
        attempt.place.pod_spec().as_deref()
    else {
        return not_unlocked(attempt);
    };
    let namespace = attempt.manifest.object.namespace();
    let old = attempt.before.and_then(Value::as_str).unwrap_or_default();
    let new = attempt.after.and_then(Value::as_str).unwrap_or_default();
    if exists(attempt.case, "PersistentVolumeClaim", namespace, old) {
        return Err((
            Code::ForbiddenByRule,
            format!("claim {old} exists: claims are not swapped (rule L01)"),
        ));
    }
    if !exists(attempt.case, "PersistentVolumeClaim", namespace, new) {
        return bounds(format!("claim {new} is not known to exist"));
    }
    Ok(Verdict::Human("L01"))
}

fn host_port(attempt: &Attempt<'_>) -> Judged {
    match (attempt.place.container().as_deref(), &attempt.edit.op) {
        (Some(["ports", "*", "hostPort"]), Op::Remove) => Ok(Verdict::Human("A08")),
        _ => not_unlocked(attempt),
    }
}

fn config_content(attempt: &Attempt<'_>) -> Judged {
    let (Some(["data", key]), Some(new)) = (
        attempt
            .place
            .object()
            .as_deref()
            .and_then(|w| <[&str; 2]>::try_from(w).ok()),
        attempt.after.and_then(Value::as_str),
    ) else {
        return not_unlocked(attempt);
    };
    if attempt.manifest.object.kind() != "ConfigMap" {
        return not_unlocked(attempt);
    }
    if attempt.manifest.object.get("immutable") == Some(&Value::Bool(true)) {
        return Err((
            Code::ForbiddenByRule,
            "the ConfigMap is immutable (rule B13)".to_owned(),
        ));
    }
    if is_script(key, new) {
        return Err((
            Code::ForbiddenByRule,
            "scripts and executable configuration are never changed (rule C12)".to_owned(),
        ));
    }
    let old = attempt.before.and_then(Value::as_str).unwrap_or_default();
    content_bounds(key, old, new)?;
    Ok(Verdict::Human("C12"))
}

fn is_script(key: &str, text: &str) -> bool {
    text.starts_with("#!")
        || [".sh", ".lua", ".py", ".js", ".pl", ".rb"]
            .iter()
            .any(|end| key.ends_with(end))
        || text.contains("_by_lua")
}

/// At most one entry of a JSON file, or one line of any other, may differ.
fn content_bounds(key: &str, old: &str, new: &str) -> Result<(), (Code, String)> {
    let outside = |reason: &str| Err((Code::OutOfBounds, reason.to_owned()));
    let json = |t: &str| serde_json::from_str::<Value>(t).ok();
    let looks_json =
        key.ends_with(".json") || matches!(old.trim_start().chars().next(), Some('{' | '['));
    if looks_json {
        let Some(after) = json(new) else {
            return outside("the file would not parse as JSON");
        };
        return match json(old) {
            Some(before) if differing_leaves(&before, &after) > 1 => {
                outside("more than one key of the file would change")
            }
            _ => Ok(()),
        };
    }
    let (a, b): (Vec<&str>, Vec<&str>) = (old.lines().collect(), new.lines().collect());
    let same_head = a.iter().zip(&b).take_while(|(x, y)| x == y).count();
    let same_tail = a
        .iter()
        .rev()
        .zip(b.iter().rev())
        .take_while(|(x, y)| x == y)
        .count();
    let changed = b
        .len()
        .saturating_sub(same_head + same_tail)
        .max(a.len().saturating_sub(same_head + same_tail));
    if changed > 1 {
        outside("more than one line of the file would change")
    } else {
        Ok(())
    }
}

fn differing_leaves(a: &Value, b: &Value) -> usize {
    match (a, b) {
        _ if a == b => 0,
        (Value::Object(x), Value::Object(y)) => {
            let null = Value::Null;
            let keys: std::collections::BTreeSet<&String> = x.keys().chain(y.keys()).collect();
            keys.into_iter()
                .map(|k| differing_leaves(x.get(k).unwrap_or(&null), y.get(k).unwrap_or(&null)))
                .sum()
        }
        (Value::Array(x), Value::Array(y)) if x.len() == y.len() => {
            x.iter().zip(y).map(|(v, w)| differing_leaves(v, w)).sum()
        }
        _ => 1,
    }
}

fn within_quota(attempt: &Attempt<'_>) -> Judged {
    let Some(["resources", "limits" | "requests", resource]) = attempt
        .place
        .container()
        .as_deref()
        .and_then(|w| <[&str; 3]>::try_from(w).ok())
    else {
        return whole_resources(attempt);
    };
    if resource.contains('/') || resource.starts_with("hugepages") {
        return Err((
            Code::LockedField,
            "extended resources are invariants (rule D07)".to_owned(),
        ));
    }
    if attempt
        .after
        .and_then(Quantity::of)
        .is_none_or(|q| q.is_zero())
    {
        return bounds("not a positive quantity");
    }
    resources_hold(attempt, resource)?;
    Ok(Verdict::Allow)
}

/// `resources` itself, where it is missing.
fn whole_resources(attempt: &Attempt<'_>) -> Judged {
    match (attempt.place.container().as_deref(), &attempt.edit.op) {
        (Some(["resources"] | ["resources", "limits" | "requests"]), Op::Add(v))
            if v.is_object() =>
        {
            Ok(Verdict::Allow)
        }
        _ => not_unlocked(attempt),
    }
}

fn hpa(attempt: &Attempt<'_>) -> Judged {
    if attempt.manifest.object.kind() == "HorizontalPodAutoscaler" {
        return match attempt.place.object().as_deref() {
            Some(["spec", "metrics", "*", "resource", "name" | "target", ..]) => {
                Ok(Verdict::Human("D02"))
            }
            _ => not_unlocked(attempt),
        };
    }
    match (attempt.place.container().as_deref(), &attempt.edit.op) {
        (
            Some(
                ["resources"]
                | ["resources", "requests"]
                | ["resources", "requests", "cpu" | "memory"],
            ),
            Op::Add(_),
        ) => {
            resources_hold(attempt, "cpu")?;
            resources_hold(attempt, "memory")?;
            Ok(Verdict::Human("D07"))
        }
        _ => not_unlocked(attempt),
    }
}

fn backend(attempt: &Attempt<'_>) -> Judged {
    let Some(
        [
            "spec",
            "rules",
            "*",
            "http",
            "paths",
            "*",
            "backend",
            "service",
            ..,
        ]
        | ["spec", "defaultBackend", "service", ..],
    ) = attempt.place.object().as_deref()
    else {
        return not_unlocked(attempt);
    };
    let Some(service_path) = service_of_backend(attempt) else {
        return not_unlocked(attempt);
    };
    let Some(backend) = service_path.get(&attempt.result.value) else {
        return bounds("the backend would be gone");
    };
    let name = backend
        .get("name")
        .and_then(Value::as_str)
        .unwrap_or_default();
    let Some(service) = find(
        attempt.case,
        "Service",
        attempt.manifest.object.namespace(),
        name,
    ) else {
        return bounds(format!("Service {name} is not known to exist"));
    };
    let (number, port_name) = (at(backend, "port.number"), at(backend, "port.name"));
    let served = service.list("spec.ports").iter().any(|p| {
        number.is_some_and(|n| p.get("port") == Some(n))
            || port_name.is_some_and(|n| p.get("name") == Some(n))
    });
    if !served {
        return bounds(format!("Service {name} does not have that port"));
    }
    Ok(Verdict::Human("E08"))
}

/// The path of `backend.service` above or at the edited field.
fn service_of_backend(attempt: &Attempt<'_>) -> Option<crate::path::FieldPath> {
    let segs = &attempt.edit.path.0;
    let at = segs
        .iter()
        .position(|s| matches!(s, crate::path::Seg::Key(k) if k == "service"))?;
    Some(crate::path::FieldPath(segs[..=at].to_vec()))
}

fn invalid(attempt: &Attempt<'_>) -> Judged {
    let before = crate::schema::check(&attempt.manifest.object);
    let after = crate::schema::check(attempt.result);
    if before.is_empty()
        && attempt.edit.unlock == Unlock::InvalidManifest
        && attempt.case.finding.class != Class::RenderError
    {
        return bounds("the object is valid as it is");
    }
    if let Some(issue) = after.first() {
        return bounds(format!("the object would still be invalid: {issue}"));
    }
    Ok(Verdict::Human("InvalidManifest"))
}

fn deprecated(attempt: &Attempt<'_>) -> Judged {
    let object = &attempt.manifest.object;
    if crate::schema::deprecated(object.api_version(), object.kind()).is_none() {
        return bounds(format!(
            "{} {} is not a removed API version",
            object.api_version(),
            object.kind()
        ));
    }
    if let Some(issue) = crate::schema::check(attempt.result).first() {
        return bounds(format!("the object would be invalid: {issue}"));
    }
    Ok(Verdict::Human("C15"))
}
