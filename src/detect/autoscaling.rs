//! Findings: HorizontalPodAutoscalers that cannot do their work.

use std::sync::LazyLock;

use regex::Regex;
use serde_json::Value;

use crate::detect::View;
use crate::detect::scheduling::CAUSE;
use crate::finding::{Class, Finding, Severity, fact};
use crate::object::{Object, ObjectRef};
use crate::snapshot::Existence;

/// The resource without a request, `cpu`.
pub const METRIC: &str = "metric";
/// The container without a request, where the message names it.
pub const CONTAINER: &str = "container";

/// Runs the detectors of this module.
pub fn findings(view: &View<'_>) -> Vec<Finding> {
    let scalers = view.snapshot.of_kind("HorizontalPodAutoscaler");
    scalers.filter_map(|hpa| finding(view, hpa)).collect()
}

/// The workload that an autoscaler scales.
pub fn target_of(hpa: &Object) -> ObjectRef {
    let text = |key: &str| {
        hpa.str(&format!("spec.scaleTargetRef.{key}"))
            .unwrap_or_default()
    };
    ObjectRef::new(
        text("apiVersion"),
        text("kind"),
        hpa.namespace(),
        text("name"),
    )
}

fn finding(view: &View<'_>, hpa: &Object) -> Option<Finding> {
    let Some(complaint) = complaint(view, hpa).or_else(|| missing_target(view, hpa)) else {
        return at_maximum(view, hpa);
    };
    let name = hpa.reference();
    let target = target_of(hpa);
    let (cause, words) = cause(&complaint);
    let summary = format!("{name} cannot scale {target}: {words}");
    let mut finding = Finding::new(Class::HpaCannotScale, Severity::Medium, name, summary)
        .with_fact(CAUSE, cause);
    finding.reason = complaint.reason;
    finding.message = complaint.message;
    finding.related.push(target);
    Some(with_details(finding))
}

/// It does its work, and may not go further: worth saying where somebody complains of load.
fn at_maximum(view: &View<'_>, hpa: &Object) -> Option<Finding> {
    let text = view.report?.text.to_ascii_lowercase();
    let complains = [
        "scal", "slow", "latency", "load", "replica", "hpa", "throttl",
    ]
    .iter()
    .any(|w| text.contains(w));
    let most = hpa.int("spec.maxReplicas")?;
    let limited = hpa.list("status.conditions").iter().any(|c| {
        let is = |key: &str, text: &str| c.get(key).and_then(Value::as_str) == Some(text);
        is("type", "ScalingLimited") && is("status", "True") && is("reason", "TooManyReplicas")
    });
    if !complains || !limited || hpa.int("status.currentReplicas") != Some(most) {
        return None;
    }
    let name = hpa.reference();
    let target = target_of(hpa);
    let usage: Vec<String> = hpa
        .list("status.currentMetrics")
        .iter()
        .filter_map(used)
        .collect();
    let usage = if usage.is_empty() {
        String::new()
    } else {
        format!(" ({})", usage.join(", "))
    };
    let summary = format!(
        "{name} works: {target} has {most} replicas, which is maxReplicas, and the metrics ask for more{usage}"
    );
    let mut finding = Finding::new(Class::HpaCannotScale, Severity::Low, name, summary)
        .with_fact(CAUSE, "maximum");
    finding.related.push(target);
    Some(finding)
}

/// `cpu at 141 %`
fn used(metric: &Value) -> Option<String> {
    let resource = metric.get("resource")?;
    let name = resource.get("name")?.as_str()?;
    let percent = crate::object::at(resource, "current.averageUtilization")?.as_i64()?;
    Some(format!("{name} at {percent} % of the request"))
}

/// What the controller says about itself.
struct Complaint {
    kind: String,
    reason: String,
    message: String,
}

/// The first condition that is False for a reason other than 0 replicas; else the newest warning.
fn complaint(view: &View<'_>, hpa: &Object) -> Option<Complaint> {
    let text = |c: &Value, key: &str| {
        c.get(key)
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned()
    };
    let conditions = hpa.list("status.conditions");
    let failed = ["AbleToScale", "ScalingActive"].iter().find_map(|kind| {
        conditions
            .iter()
            .find(|c| text(c, "type") == *kind && text(c, "status") == "False")
    });
    if let Some(condition) = failed {
        let reason = text(condition, "reason");
        return (reason != "ScalingDisabled").then(|| Complaint {
            kind: text(condition, "type"),
            reason,
            message: flat(&text(condition, "message")),
        });
    }
    if !conditions.is_empty() {
        return None;
    }
    let events = view.snapshot.events_for(&hpa.reference());
    let last = events.iter().rev().find(|e| e.kind == "Warning")?;
    Some(Complaint {
        kind: String::new(),
        reason: last.reason.clone(),
        message: flat(&last.message),
    })
}

/// The dump lists workloads of that kind, and not this one.
fn missing_target(view: &View<'_>, hpa: &Object) -> Option<Complaint> {
    let target = target_of(hpa);
    let namespace = target.namespace.as_deref();
    let absent = view
        .snapshot
        .existence(&target.kind, namespace, &target.name)
        == Existence::Absent;
    absent.then(|| Complaint {
        kind: "AbleToScale".to_owned(),
        reason: "FailedGetScale".to_owned(),
        message: format!("{target} not found"),
    })
}

fn flat(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn cause(complaint: &Complaint) -> (&'static str, String) {
    let said = &complaint.message;
    let low = said.to_lowercase();
    let has = |text: &str| low.contains(text);
    let word = if has("missing request for") {
        "missing-request"
    } else if complaint.reason == "FailedGetScale" || complaint.reason == "FailedGetScaleV1" {
        "target"
    } else if has("controlled by multiple hpas") || complaint.reason == "AmbiguousSelector" {
        "ambiguous"
    } else if has("custom metrics api")
        || has("external metrics api")
        || has("custom.metrics.k8s.io")
        || has("external.metrics.k8s.io")
    {
        "custom-metric"
    } else if has("could not find the requested resource")
        || has("metrics.k8s.io") && (has("unable to handle") || has("not found"))
    {
        "no-metrics-server"
    } else if has("unknown metric source") || complaint.reason == "InvalidMetricSourceType" {
        "metric-spec"
    } else if has("no metrics returned") || has("did not receive metrics") || has("no ready pods") {
        "no-metrics"
    } else if complaint.kind == "AbleToScale" && has("not found") {
        "target"
    } else {
        "other"
    };
    (word, said.clone())
}

static MISSING: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"missing request for ([a-z-]+)(?: in container (\S+))?(?: of [Pp]od (\S+))?")
        .expect("a constant pattern")
});

fn with_details(finding: Finding) -> Finding {
    let message = finding.message.clone();
    let target = finding.related.first().cloned();
    if let Some(found) = MISSING.captures(&message) {
        let part = |i: usize| {
            found
                .get(i)
                .map(|m| m.as_str().trim_end_matches([',', '.']))
        };
        let mut finding = finding.with_fact(METRIC, part(1).unwrap_or("cpu"));
        if let Some(container) = part(2) {
            finding = finding.with_fact(CONTAINER, container);
        }
        return finding;
    }
    match (finding.fact(CAUSE), target) {
        (Some("target"), Some(target)) => finding
            .with_fact(fact::MISSING_KIND, &target.kind)
            .with_fact(fact::MISSING_NAME, &target.name),
        _ => finding,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::collections::BTreeMap;
    use std::time::Duration;

    use serde_json::json;

    use super::*;
    use crate::snapshot::Snapshot;

    fn hpa(conditions: Value) -> Object {
        Object::new(json!({"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler",
            "metadata": {"name": "web", "namespace": "shop"},
            "spec": {"scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}},
            "status": {"conditions": conditions}}))
        .unwrap()
    }

    fn run(objects: Vec<Object>) -> Vec<Finding> {
        let snapshot = Snapshot::new(objects, BTreeMap::new());
        findings(&View {
            snapshot: &snapshot,
            desired: &[],
            report: None,
            now: "2026-05-01T12:00:00Z".parse().unwrap(),
            grace: Duration::from_secs(300),
        })
    }

    fn said(kind: &str, reason: &str, message: &str) -> Value {
        json!([{"type": kind, "status": "False", "reason": reason, "message": message}])
    }

    #[test]
    fn a_missing_request_names_resource_and_container() {
        let text =
            "failed to get cpu utilization: missing request for cpu in container app of Pod web-1";
        let found = run(vec![hpa(said(
            "ScalingActive",
            "FailedGetResourceMetric",
            text,
        ))]);
        assert_eq!(found[0].fact(CAUSE), Some("missing-request"));
        assert_eq!(found[0].fact(METRIC), Some("cpu"));
        assert_eq!(found[0].fact(CONTAINER), Some("app"));
        assert_eq!(found[0].related[0].to_string(), "Deployment shop/web");
    }

    #[test]
    fn causes_are_told_apart() {
        for (kind, reason, message, expected) in [
            (
                "AbleToScale",
                "FailedGetScale",
                "deployments/scale.apps \"web\" not found",
                "target",
            ),
            (
                "ScalingActive",
                "FailedGetResourceMetric",
                "unable to fetch metrics from resource metrics API: the server could not find the requested resource (get pods.metrics.k8s.io)",
                "no-metrics-server",
            ),
            (
                "ScalingActive",
                "FailedGetResourceMetric",
                "no metrics returned from resource metrics API",
                "no-metrics",
            ),
            (
                "ScalingActive",
                "FailedGetPodsMetric",
                "unable to get metric rps: unable to fetch metrics from custom metrics API",
                "custom-metric",
            ),
            ("ScalingActive", "Odd", "odd", "other"),
        ] {
            let found = run(vec![hpa(said(kind, reason, message))]);
            assert_eq!(found[0].fact(CAUSE), Some(expected), "{message}");
        }
    }

    #[test]
    fn one_that_scales_or_rests_is_fine() {
        let good = json!([{"type": "AbleToScale", "status": "True"}, {"type": "ScalingActive", "status": "True"}]);
        assert_eq!(run(vec![hpa(good)]).len(), 0);
        assert_eq!(
            run(vec![hpa(said(
                "ScalingActive",
                "ScalingDisabled",
                "scaling is disabled since the replica count is zero"
            ))])
            .len(),
            0
        );
        assert_eq!(run(vec![hpa(json!([]))]).len(), 0);
    }

    #[test]
    fn a_target_that_is_not_listed_is_missing() {
        let other = Object::new(
            json!({"kind": "Deployment", "metadata": {"name": "wob", "namespace": "shop"}}),
        )
        .unwrap();
        assert_eq!(
            run(vec![hpa(json!([])), other])[0].fact(CAUSE),
            Some("target")
        );
    }
}
