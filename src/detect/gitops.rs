//! Findings: what Argo CD and Flux say about their own objects.

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use crate::detect::View;
use crate::finding::{Class, Finding, Severity};
use crate::object::{Object, ObjectRef};

/// The most resources that one finding lists.
const MAX_RELATED: usize = 50;

/// Runs the detectors of this module.
pub fn findings(view: &View<'_>) -> Vec<Finding> {
    view.snapshot
        .objects()
        .iter()
        .filter_map(|o| match is_application(o) {
            true => argo(o),
            false => flux(o, flux_class(o)?),
        })
        .collect()
}

// -- Argo CD

fn is_application(object: &Object) -> bool {
    object.kind() == "Application" && object.reference().group() == "argoproj.io"
}

fn argo(app: &Object) -> Option<Finding> {
    comparison(app)
        .or_else(|| sync(app))
        .or_else(|| degraded(app))
}

fn comparison(app: &Object) -> Option<Finding> {
    let errors = ["ComparisonError", "InvalidSpecError", "UnknownError"];
    let (kind, message) = app.list("status.conditions").iter().find_map(|c| {
        let kind = text(c, "type");
        errors.contains(&kind).then(|| (kind, text(c, "message")))
    })?;
    Some(finding(
        app,
        Class::ArgoComparisonError,
        kind,
        message,
        "cannot be compared",
    ))
}

/// Attempts of one sync after which it is no passing trouble. Argo CD goes on for minutes.
const ATTEMPTS: i64 = 3;

/// Whether the last sync failed, or fails again and again. An attempt that goes well so far is no failure.
pub(super) fn sync_fails(app: &Object) -> bool {
    match app.str("status.operationState.phase") {
        Some("Failed" | "Error") => true,
        Some("Running") => {
            let attempts = app.int("status.operationState.retryCount");
            let message = app.str("status.operationState.message").unwrap_or_default();
            let waits = message.contains(RETRYING);
            let lasts = LASTING.iter().any(|w| message.contains(w));
            let again = attempts >= Some(ATTEMPTS);
            (waits && lasts) || (again && (waits || failed_resources(app).next().is_some()))
        }
        _ => false,
    }
}

/// What no further attempt mends: the API server does not take what is in Git.
const LASTING: &[&str] = &[
    "Invalid value",
    "unknown field",
    "strict decoding error",
    "field is immutable",
];

/// What Argo CD says while it waits for the next attempt, behind why the last one failed.
const RETRYING: &str = "Retrying attempt";

/// When the next attempt is changes all the time, and says nothing.
fn without_attempt(message: &str) -> &str {
    let end = message.find(RETRYING).unwrap_or(message.len());
    message.get(..end).unwrap_or(message).trim_end()
}

fn failed_resources(app: &Object) -> impl Iterator<Item = &Value> {
    let results = app.list("status.operationState.syncResult.resources");
    results.iter().filter(|r| {
        text(r, "status") == "SyncFailed" || matches!(text(r, "hookPhase"), "Failed" | "Error")
    })
}

/// The objects that the last sync could not apply, and what was said of each; none while it may still go well.
pub(super) fn refused_resources(app: &Object) -> Vec<(ObjectRef, &str)> {
    if !sync_fails(app) {
        return Vec::new();
    }
    failed_resources(app)
        .filter(|r| text(r, "status") == "SyncFailed")
        .map(|r| (reference(r), text(r, "message")))
        .collect()
}

fn sync(app: &Object) -> Option<Finding> {
    let failed_phase = sync_fails(app);
    let condition = app
        .list("status.conditions")
        .iter()
        .find(|c| text(c, "type") == "SyncError")
        .map(|c| text(c, "message"));
    if !failed_phase && condition.is_none() {
        return None;
    }
    let failed: Vec<&Value> = failed_resources(app).collect();
    let parts: Vec<String> = failed
        .iter()
        .take(5)
        .map(|r| format!("{}: {}", reference(r), one_line(text(r, "message"))))
        .collect();
    let message = if parts.is_empty() {
        app.str("status.operationState.message")
            .filter(|_| failed_phase)
            .map(without_attempt)
            .or(condition)
            .unwrap_or_default()
            .to_owned()
    } else {
        parts.join("; ")
    };
    let mut out = finding(
        app,
        Class::ArgoSyncFailed,
        "SyncFailed",
        &message,
        "failed to sync",
    );
    let failed = failed.iter().map(|r| reference(r));
    out.related = failed.take(MAX_RELATED).collect();
    Some(out)
}

fn degraded(app: &Object) -> Option<Finding> {
    let health = app.str("status.health.status")?;
    if !matches!(health, "Degraded" | "Missing") {
        return None;
    }
    let bad: Vec<&Value> = app
        .list("status.resources")
        .iter()
        .filter(|r| {
            let status = r.get("health").map(|h| text(h, "status"));
            matches!(status, Some("Degraded" | "Missing"))
        })
        .collect();
    let parts: Vec<String> = bad
        .iter()
        .take(5)
        .map(|r| {
            let health = r.get("health");
            let get = |key: &str| health.map(|h| text(h, key)).unwrap_or_default();
            format!(
                "{} is {} ({})",
                reference(r),
                get("status"),
                one_line(get("message"))
            )
        })
        .collect();
    let message = match app.str("status.health.message") {
        Some(message) if parts.is_empty() => message.to_owned(),
        _ => parts.join("; "),
    };
    let what = format!("is {health}");
    let mut out = finding(app, Class::ArgoDegraded, health, &message, &what);
    out.related = bad.iter().map(|r| reference(r)).take(MAX_RELATED).collect();
    if out.related.is_empty() {
        // older versions keep no health of resources in the Application
        out.related = resources(app).take(MAX_RELATED).collect();
    }
    Some(out)
}

/// What an Application manages, applied or not.
fn resources(app: &Object) -> impl Iterator<Item = ObjectRef> {
    app.list("status.resources").iter().map(reference)
}

/// When the sync began that is tried again just now.
fn argo_attempt(app: &Object) -> Option<&str> {
    let is_running = app.str("status.operationState.phase") == Some("Running");
    let is_again = app.int("status.operationState.retryCount") >= Some(1);
    app.str("status.operationState.startedAt")
        .filter(|_| is_running && is_again)
}

// -- Flux

/// How an object of Flux fails, if it says anything of its own.
fn flux_class(object: &Object) -> Option<Class> {
    if object.get("spec.suspend").and_then(Value::as_bool) == Some(true) {
        return None;
    }
    match (object.reference().group(), object.kind()) {
        ("kustomize.toolkit.fluxcd.io", "Kustomization") => Some(Class::FluxKustomizationNotReady),
        ("helm.toolkit.fluxcd.io", "HelmRelease") => Some(Class::FluxHelmReleaseNotReady),
        // made by the controller for a release, which tells the same
        ("source.toolkit.fluxcd.io", "HelmChart") if is_made_for_release(object) => None,
        ("source.toolkit.fluxcd.io", _) => Some(Class::FluxSourceNotReady),
        _ => None,
    }
}

/// The helm controller makes a chart for each release that names a source.
fn is_made_for_release(chart: &Object) -> bool {
    chart.label("helm.toolkit.fluxcd.io/name").is_some()
}

fn flux(object: &Object, class: Class) -> Option<Finding> {
    if flux_attempt(object).is_some() {
        return None;
    }
    let ready = condition(object, "Ready", "False");
    let condition = ready.or_else(|| condition(object, "Stalled", "True"))?;
    let reason = text(condition, "reason");
    let message = text(condition, "message");
    let mut out = finding(object, class, reason, message, "is not ready");
    out.related = match class {
        Class::FluxKustomizationNotReady => inventory(object).take(MAX_RELATED).collect(),
        _ => Vec::new(),
    };
    if let Some(waits) = waits_for(object, reason, message) {
        out.related.push(waits);
    }
    Some(out)
}

fn condition<'o>(object: &'o Object, kind: &str, status: &str) -> Option<&'o Value> {
    let mut all = object.list("status.conditions").iter();
    all.find(|c| text(c, "type") == kind && text(c, "status") == status)
}

/// Since when an object of Flux is at work, whatever it said before; empty where it does not say.
fn flux_attempt(object: &Object) -> Option<&str> {
    if condition(object, "Stalled", "True").is_some() {
        return None;
    }
    let is_at_work =
        |c: &&Value| matches!(text(c, "reason"), "Progressing" | "ProgressingWithRetry");
    let ready = condition(object, "Ready", "Unknown")
        .or_else(|| condition(object, "Ready", "False").filter(is_at_work))?;
    Some(text(ready, "lastTransitionTime"))
}

/// Flux inventory ids are `namespace_name_group_Kind`.
fn inventory(object: &Object) -> impl Iterator<Item = ObjectRef> {
    let entries = object.list("status.inventory.entries").iter();
    entries.filter_map(|e| {
        let parts: Vec<&str> = text(e, "id").split('_').collect();
        let [ns, name, group, kind] = parts.as_slice() else {
            return None;
        };
        let version = text(e, "v");
        let api = if group.is_empty() {
            version.to_owned()
        } else {
            format!("{group}/{version}")
        };
        Some(ObjectRef::new(&api, kind, Some(ns), name))
    })
}

/// The object of Flux that this one waits for: its source, or a dependency.
fn waits_for(object: &Object, reason: &str, message: &str) -> Option<ObjectRef> {
    let ns = object.namespace();
    if reason == "DependencyNotReady" {
        let named = object
            .list("spec.dependsOn")
            .iter()
            .find(|d| message.contains(text(d, "name")))?;
        let place = Some(text(named, "namespace"))
            .filter(|n| !n.is_empty())
            .or(ns);
        return Some(ObjectRef::new(
            object.api_version(),
            object.kind(),
            place,
            text(named, "name"),
        ));
    }
    let of_source = matches!(
        reason,
        "ArtifactFailed" | "SourceNotReady" | "ArtifactNotFound"
    ) || message.contains("Source artifact not found")
        || message.contains("SourceRef");
    let source = object
        .get("spec.sourceRef")
        .or_else(|| object.get("spec.chart.spec.sourceRef"))
        .or_else(|| object.get("spec.chartRef"))
        .filter(|_| of_source)?;
    let place = Some(text(source, "namespace"))
        .filter(|n| !n.is_empty())
        .or(ns);
    Some(ObjectRef::new(
        "source.toolkit.fluxcd.io/v1",
        text(source, "kind"),
        place,
        text(source, "name"),
    ))
}

// -- both

/// So long an attempt counts: one that never ends, or nobody makes any more, must not hold up the rest.
const ATTEMPT: SignedDuration = SignedDuration::from_hours(1);

/// Whether an engine tries again right now. It says nothing of its last failure then, and what fails
/// because of it looks well for a moment.
pub fn is_trying_again(object: &Object, now: Timestamp) -> bool {
    let begun = match is_application(object) {
        true => argo_attempt(object),
        false => flux_class(object).and_then(|_| flux_attempt(object)),
    };
    let begun: Option<Timestamp> = begun.and_then(|at| at.parse().ok());
    begun.is_some_and(|at| now.duration_since(at) < ATTEMPT)
}

/// The objects that an engine's object lists as its own.
pub fn listed(object: &Object) -> Vec<ObjectRef> {
    match is_application(object) {
        true => resources(object).collect(),
        false => inventory(object).collect(),
    }
}

fn finding(object: &Object, class: Class, reason: &str, message: &str, what: &str) -> Finding {
    let reference = object.reference();
    let message = one_line(message);
    let because = if message.is_empty() {
        String::new()
    } else {
        format!(": {}", message.chars().take(600).collect::<String>())
    };
    let mut out = Finding::new(
        class,
        Severity::High,
        reference.clone(),
        format!("{reference} {what} ({reason}){because}"),
    );
    out.reason = reason.to_owned();
    out.message = message;
    out
}

fn reference(resource: &Value) -> ObjectRef {
    let (group, version) = (text(resource, "group"), text(resource, "version"));
    let api = if group.is_empty() {
        version.to_owned()
    } else {
        format!("{group}/{version}")
    };
    let ns = Some(text(resource, "namespace"));
    ObjectRef::new(&api, text(resource, "kind"), ns, text(resource, "name"))
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn text<'v>(value: &'v Value, key: &str) -> &'v str {
    value.get(key).and_then(Value::as_str).unwrap_or_default()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::snapshot::Snapshot;
    use std::collections::BTreeMap;

    fn found(doc: &str) -> Vec<Finding> {
        let object = Object::new(serde_saphyr::from_str(doc).unwrap()).unwrap();
        let snapshot = Snapshot::new(vec![object], BTreeMap::new());
        findings(&View {
            snapshot: &snapshot,
            desired: &[],
            report: None,
            now: jiff::Timestamp::UNIX_EPOCH,
            grace: std::time::Duration::ZERO,
        })
    }

    fn class(doc: &str) -> Option<Class> {
        found(doc).first().map(|f| f.class)
    }

    const APP: &str = "apiVersion: argoproj.io/v1alpha1\nkind: Application\nmetadata: {name: a, namespace: argocd}\nstatus: ";

    fn tries_again(doc: &str) -> bool {
        let object = Object::new(serde_saphyr::from_str(doc).unwrap()).unwrap();
        let at = |time: &str| is_trying_again(&object, time.parse().unwrap());
        assert!(!at("2026-01-02T14:00:00Z"), "not for ever");
        at("2026-01-02T12:10:00Z")
    }

    const KUSTOMIZATION: &str = "kustomize.toolkit.fluxcd.io/v1, kind: Kustomization";
    const RELEASE: &str = "helm.toolkit.fluxcd.io/v2, kind: HelmRelease";
    const CHART: &str = "source.toolkit.fluxcd.io/v1, kind: HelmChart";

    fn of_flux(what: &str, rest: &str, ready: &str, reason: &str) -> String {
        format!(
            "{{apiVersion: {what}, metadata: {{name: a, namespace: f{rest}}}, status: {{conditions: [{{type: Ready, status: '{ready}', reason: {reason}, message: m, lastTransitionTime: '2026-01-02T12:00:00Z'}}]}}}}"
        )
    }

    #[test]
    fn whatever_of_flux_makes_findings_keeps_silent_while_it_is_at_work() {
        for what in [KUSTOMIZATION, RELEASE, CHART] {
            let doc = |ready: &str, reason: &str| of_flux(what, "", ready, reason);
            for (ready, reason) in [
                ("Unknown", "Progressing"),
                ("False", "ProgressingWithRetry"),
            ] {
                assert!(tries_again(&doc(ready, reason)), "{what} {ready}");
                assert_eq!(class(&doc(ready, reason)), None);
            }
            assert!(!tries_again(&doc("False", "Failed")), "it says why");
            assert!(class(&doc("False", "Failed")).is_some());
            assert!(!tries_again(&doc("True", "Succeeded")));
        }
        let made = ", labels: {helm.toolkit.fluxcd.io/name: web}";
        assert!(!tries_again(&of_flux(
            CHART,
            made,
            "Unknown",
            "Progressing"
        )));
    }

    /// What was applied and became ill later is looked at again in the same way.
    #[test]
    fn a_check_of_what_is_applied_says_nothing_either() {
        let doc = of_flux(KUSTOMIZATION, "", "Unknown", "Progressing").replace(
            "status: {cond",
            "status: {lastAttemptedRevision: b, lastAppliedRevision: b, cond",
        );
        assert!(tries_again(&doc));
    }

    #[test]
    fn what_is_suspended_or_stalled_does_not_try() {
        let doc = of_flux(RELEASE, "", "Unknown", "Progressing");
        let suspended = doc.replace("status: {cond", "spec: {suspend: true}, status: {cond");
        assert!(!tries_again(&suspended));
        let stalled = doc.replace(
            "conditions: [",
            "conditions: [{type: Stalled, status: 'True', reason: RetriesExceeded, message: m}, ",
        );
        assert!(!tries_again(&stalled));
        assert!(class(&stalled).is_some());
    }

    #[test]
    fn argo_tries_again_while_it_runs_and_not_the_first_time() {
        let argo = |phase: &str, count: u32| {
            tries_again(&format!(
                "{APP}{{operationState: {{phase: {phase}, startedAt: '2026-01-02T12:00:00Z', retryCount: {count}}}}}"
            ))
        };
        assert!(argo("Running", 1));
        assert!(!argo("Running", 0) && !argo("Failed", 5));
    }

    #[test]
    fn the_next_attempt_is_left_out() {
        let told = found(&format!(
            "{APP}{{operationState: {{phase: Running, retryCount: 5, message: 'no such kind. Retrying attempt #5 at 9:05AM.'}}}}"
        ));
        assert_eq!(told[0].message, "no such kind.");
    }

    #[test]
    fn the_chart_of_a_release_is_told_by_the_release() {
        let chart = |labels: &str| {
            class(&format!(
                "{{apiVersion: source.toolkit.fluxcd.io/v1, kind: HelmChart, metadata: {{name: c, namespace: flux-system, labels: {labels}}}, status: {{conditions: [{{type: Ready, status: 'False', reason: ChartPullError, message: x}}]}}}}"
            ))
        };
        assert_eq!(chart("{}"), Some(Class::FluxSourceNotReady));
        assert_eq!(chart("{helm.toolkit.fluxcd.io/name: web}"), None);
    }

    #[test]
    fn argo_states_are_told_apart() {
        let app = |status: &str| class(&format!("{APP}{status}"));
        assert_eq!(app("{health: {status: Healthy}}"), None);
        assert_eq!(app("{health: {status: Progressing}}"), None);
        assert_eq!(
            app("{health: {status: Degraded}}"),
            Some(Class::ArgoDegraded)
        );
        assert_eq!(
            app("{operationState: {phase: Failed, message: x}, health: {status: Degraded}}"),
            Some(Class::ArgoSyncFailed)
        );
        let attempt = |count: u32, message: &str| {
            app(&format!(
                "{{operationState: {{phase: Running, retryCount: {count}, message: '{message}'}}}}"
            ))
        };
        let waits = "one or more objects failed to apply. Retrying attempt #4 at 9:05AM.";
        assert_eq!(attempt(3, waits), Some(Class::ArgoSyncFailed));
        let early = "what it needs may not be there yet";
        assert_eq!(attempt(2, waits), None, "{early}");
        let lasts = "error when patching: Invalid value: unrecognized type: int32. Retrying attempt #1 at 9:05AM.";
        assert_eq!(attempt(1, lasts), Some(Class::ArgoSyncFailed));
        let hook = "waiting for completion of hook batch/Job/migrate";
        assert_eq!(attempt(3, hook), None, "an attempt that goes well so far");
        assert_eq!(
            app("{conditions: [{type: ComparisonError, message: 'app path does not exist'}]}"),
            Some(Class::ArgoComparisonError)
        );
    }

    #[test]
    fn a_degraded_application_names_its_resources() {
        let doc = format!(
            "{APP}{{health: {{status: Degraded}}, resources: [{{group: apps, version: v1, kind: Deployment, namespace: s, name: web, health: {{status: Degraded, message: boom}}}}, {{version: v1, kind: Service, namespace: s, name: web}}]}}"
        );
        let all = found(&doc);
        let first = all.first().unwrap();
        assert_eq!(first.related.len(), 1);
        assert!(
            first
                .summary
                .contains("Deployment s/web is Degraded (boom)")
        );
    }

    #[test]
    fn flux_is_a_finding_when_it_says_so() {
        let doc = |suspend: bool, status: &str, reason: &str| {
            format!(
                "{{apiVersion: helm.toolkit.fluxcd.io/v2, kind: HelmRelease, metadata: {{name: a, namespace: f}}, spec: {{suspend: {suspend}}}, status: {{conditions: [{{type: Ready, status: '{status}', reason: {reason}, message: m}}]}}}}"
            )
        };
        let want = Some(Class::FluxHelmReleaseNotReady);
        assert_eq!(class(&doc(false, "False", "InstallFailed")), want);
        assert_eq!(class(&doc(true, "False", "InstallFailed")), None);
        assert_eq!(class(&doc(false, "True", "Succeeded")), None);
        assert_eq!(class(&doc(false, "False", "Progressing")), None);
    }
}
