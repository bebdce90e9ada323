//! Findings: PodDisruptionBudgets that block every eviction, or protect nothing.
//!
//! A budget that allows no disruption can be meant, so it is a problem only when something asks for
//! an eviction: a report, or an event of a drain. Otherwise it is listed.

use serde_json::Value;

use crate::detect::View;
use crate::detect::scheduling::CAUSE;
use crate::finding::{Class, Finding, Severity};
use crate::object::Object;
use crate::snapshot::selector_matches;

/// Runs the detectors of this module.
pub fn findings(view: &View<'_>) -> Vec<Finding> {
    let wanted = somebody_evicts(view);
    let budgets = view.snapshot.of_kind("PodDisruptionBudget");
    budgets
        .filter_map(|pdb| finding(view, pdb, wanted))
        .collect()
}

fn finding(view: &View<'_>, pdb: &Object, wanted: bool) -> Option<Finding> {
    let pods = selected(view, pdb);
    let (cause, words) = selects_nothing(view, pdb, &pods)
        .or_else(|| broken(pdb))
        .or_else(|| blocks(pdb, &pods))?;
    let name = pdb.reference();
    let severity = if wanted && cause != "selects-nothing" {
        Severity::High
    } else {
        Severity::Low
    };
    let summary = format!("{name} {words}");
    let mut finding =
        Finding::new(Class::PdbBlocking, severity, name, summary).with_fact(CAUSE, cause);
    let mut owners: Vec<_> = pods.iter().map(|p| view.snapshot.top_owner(p)).collect();
    owners.sort_unstable();
    owners.dedup();
    finding.related = owners;
    Some(finding)
}

fn selected<'s>(view: &View<'s>, pdb: &Object) -> Vec<&'s Object> {
    let Some(selector) = pdb.get("spec.selector") else {
        return Vec::new(); // no selector selects nothing; an empty one everything
    };
    let pods = view
        .snapshot
        .in_namespace("Pod", pdb.namespace())
        .into_iter();
    let live = pods.filter(|p| !matches!(p.str("status.phase"), Some("Succeeded" | "Failed")));
    live.filter(|p| selector_matches(Some(selector), p.map("metadata.labels")))
        .collect()
}

/// Only where pods of the namespace are listed.
fn selects_nothing(
    view: &View<'_>,
    pdb: &Object,
    pods: &[&Object],
) -> Option<(&'static str, String)> {
    let there = view.snapshot.in_namespace("Pod", pdb.namespace()).len();
    let counted = pdb.int("status.expectedPods").unwrap_or(0);
    (pods.is_empty() && there > 0 && counted == 0).then(|| {
        let selector = pdb
            .get("spec.selector")
            .map(Value::to_string)
            .unwrap_or_default();
        (
            "selects-nothing",
            format!("protects nothing: no pod of its namespace matches {selector}"),
        )
    })
}

fn broken(pdb: &Object) -> Option<(&'static str, String)> {
    let condition = pdb.list("status.conditions").iter().find(|c| {
        let is = |key: &str, text: &str| c.get(key).and_then(Value::as_str) == Some(text);
        is("type", "DisruptionAllowed") && is("status", "False") && is("reason", "SyncFailed")
    })?;
    let message = condition.get("message")?.as_str()?;
    Some(("broken", format!("cannot be computed: {message}")))
}

/// All pods are healthy, and still none may be evicted.
fn blocks(pdb: &Object, pods: &[&Object]) -> Option<(&'static str, String)> {
    let number = |path: &str| pdb.int(&format!("status.{path}"));
    let expected = number("expectedPods")
        .or_else(|| i64::try_from(pods.len()).ok())
        .unwrap_or(0);
    let desired = number("desiredHealthy").or_else(|| least_healthy(pdb, expected))?;
    let healthy = number("currentHealthy").unwrap_or(expected);
    let allowed = number("disruptionsAllowed").unwrap_or_else(|| (healthy - desired).max(0));
    if expected == 0 || allowed > 0 || healthy < expected {
        return None;
    }
    let rule = rule(pdb);
    Some((
        "blocks",
        format!(
            "allows no disruption: {rule} demands {desired} healthy pods of {expected}, so no pod can ever be evicted and a node drain hangs"
        ),
    ))
}

/// `minAvailable 2` or `maxUnavailable 0`
pub fn rule(pdb: &Object) -> String {
    ["minAvailable", "maxUnavailable"]
        .iter()
        .find_map(|key| {
            let value = pdb.get("spec")?.get(*key)?;
            let text = value
                .as_str()
                .map_or_else(|| value.to_string(), str::to_owned);
            Some(format!("{key} {text}"))
        })
        .unwrap_or_else(|| "the budget".to_owned())
}

fn least_healthy(pdb: &Object, expected: i64) -> Option<i64> {
    let amount = |value: &Value| match value {
        Value::Number(n) => n.as_i64(),
        Value::String(s) => {
            let percent: i64 = s.strip_suffix('%')?.parse().ok()?;
            Some(expected.saturating_mul(percent).saturating_add(99) / 100)
        }
        _ => None,
    };
    let spec = pdb.get("spec")?;
    match (spec.get("minAvailable"), spec.get("maxUnavailable")) {
        (Some(least), _) => amount(least),
        (None, Some(most)) => Some((expected - amount(most)?).max(0)),
        _ => None,
    }
}

/// A report or an event about a drain, an eviction or a budget.
fn somebody_evicts(view: &View<'_>) -> bool {
    let about = |text: &str| {
        let low = text.to_lowercase();
        ["evict", "drain", "disruption", "pdb", "cordon"]
            .iter()
            .any(|w| low.contains(w))
    };
    let reported = view.report.is_some_and(|r| about(&r.text));
    let refused = |text: &str| text.contains("violate the pod's disruption budget");
    reported
        || view.snapshot.events().iter().any(|e| {
            refused(&e.message) || e.reason == "FailedDraining" || e.reason == "FailedEviction"
        })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::collections::BTreeMap;
    use std::time::Duration;

    use serde_json::json;

    use super::*;
    use crate::case::Report;
    use crate::snapshot::Snapshot;

    fn pdb(spec: Value, status: Value) -> Object {
        Object::new(
            json!({"apiVersion": "policy/v1", "kind": "PodDisruptionBudget",
            "metadata": {"name": "web", "namespace": "shop"}, "spec": spec, "status": status}),
        )
        .unwrap()
    }

    fn pod(name: &str) -> Object {
        Object::new(json!({"apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": name, "namespace": "shop", "labels": {"app": "web"}},
            "status": {"phase": "Running"}}))
        .unwrap()
    }

    fn run(objects: Vec<Object>, text: &str) -> Vec<Finding> {
        let snapshot = Snapshot::new(objects, BTreeMap::new());
        let report = Report {
            text: text.to_owned(),
            ..Report::default()
        };
        findings(&View {
            snapshot: &snapshot,
            desired: &[],
            report: Some(&report),
            now: "2026-05-01T12:00:00Z".parse().unwrap(),
            grace: Duration::from_secs(300),
        })
    }

    fn web(rule: Value) -> Value {
        let mut spec = json!({"selector": {"matchLabels": {"app": "web"}}});
        spec.as_object_mut()
            .unwrap()
            .extend(rule.as_object().unwrap().clone());
        spec
    }

    #[test]
    fn a_budget_that_never_allows_an_eviction_is_found() {
        let objects = |rule: Value| vec![pdb(web(rule), json!({})), pod("a"), pod("b")];
        let severity =
            |rule: Value, text: &str| run(objects(rule), text).first().map(|f| f.severity);
        assert_eq!(
            severity(json!({"minAvailable": 2}), "kubectl drain n1 hangs"),
            Some(Severity::High)
        );
        assert_eq!(
            severity(json!({"minAvailable": "100%"}), ""),
            Some(Severity::Low)
        );
        assert_eq!(
            severity(json!({"maxUnavailable": 0}), "cannot evict pod"),
            Some(Severity::High)
        );
        assert_eq!(
            severity(json!({"minAvailable": 1}), "kubectl drain n1 hangs"),
            None
        );
    }

    #[test]
    fn pods_that_are_down_are_the_other_fault() {
        let status = json!({"expectedPods": 2, "desiredHealthy": 2, "currentHealthy": 1, "disruptionsAllowed": 0});
        assert_eq!(
            run(
                vec![
                    pdb(web(json!({"minAvailable": 2})), status),
                    pod("a"),
                    pod("b")
                ],
                "drain"
            )
            .len(),
            0
        );
    }

    #[test]
    fn a_selector_that_matches_nothing_is_listed() {
        let spec = json!({"minAvailable": 1, "selector": {"matchLabels": {"app": "wob"}}});
        let found = run(vec![pdb(spec.clone(), json!({})), pod("a")], "drain");
        assert_eq!(found[0].fact(CAUSE), Some("selects-nothing"));
        assert_eq!(
            run(vec![pdb(spec, json!({}))], "drain").len(),
            0,
            "no pods in the dump"
        );
    }
}
