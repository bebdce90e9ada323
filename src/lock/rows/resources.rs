//! Requests, limits and what quotas publish.

use super::probe::probe;
use super::{bounds, container_after, not_unlocked};
use crate::code::Code;
use crate::lock::Attempt;
use crate::lock::Judged;
use crate::lock::Verdict;
use crate::lock::facts::largest_node;
use crate::lock::short;
use crate::object::at;
use crate::propose::Op;
use crate::quantity::Quantity;
use serde_json::Value;

pub(super) fn memory(attempt: &Attempt<'_>) -> Judged {
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

pub(super) fn text(value: Option<&Value>) -> String {
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

pub(super) fn cpu(attempt: &Attempt<'_>) -> Judged {
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

pub(super) fn requests_down(attempt: &Attempt<'_>) -> Judged {
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

pub(super) fn ephemeral(attempt: &Attempt<'_>) -> Judged {
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

pub(super) fn within_quota(attempt: &Attempt<'_>) -> Judged {
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
    quota_holds(attempt)?;
    let amounts = [attempt.before, attempt.after].map(|v| v.and_then(Quantity::of));
    match amounts {
        [Some(before), Some(after)] if after > before.times(2) => {
            bounds("resources grow at most twice (rule D07)")
        }
        // what a workload had, it may need
        [Some(before), Some(after)] if after < before => Ok(Verdict::Human("D07")),
        _ => Ok(Verdict::Allow),
    }
}

/// `resources` itself, where it is missing.
fn whole_resources(attempt: &Attempt<'_>) -> Judged {
    match (attempt.place.container().as_deref(), &attempt.edit.op) {
        (Some(["resources"]), Op::Add(Value::Object(lists)))
            if lists
                .iter()
                .all(|(k, v)| ["limits", "requests"].contains(&k.as_str()) && are_amounts(v)) =>
        {
            plain_resources_hold(attempt)
        }
        (Some(["resources", "limits" | "requests"]), Op::Add(v)) if are_amounts(v) => {
            plain_resources_hold(attempt)
        }
        _ => not_unlocked(attempt),
    }
}

fn plain_resources_hold(attempt: &Attempt<'_>) -> Judged {
    for resource in PLAIN {
        resources_hold(attempt, resource)?;
    }
    quota_holds(attempt)?;
    Ok(Verdict::Allow)
}

/// What one pod of the workload then asks for is within every quota of the namespace and every
/// maximum of its limit ranges.
fn quota_holds(attempt: &Attempt<'_>) -> Result<(), (Code, String)> {
    let namespace = attempt.manifest.object.namespace();
    let Some(container) = container_after(attempt) else {
        return Ok(());
    };
    for list in ["requests", "limits"] {
        for resource in PLAIN {
            let amount = at(container, &format!("resources.{list}"))
                .and_then(|m| m.get(resource))
                .and_then(Quantity::of);
            let Some(amount) = amount else { continue };
            if let Some((holder, most)) = published_most(attempt, namespace, list, resource)
                && amount > most
            {
                return Err((
                    Code::OutOfBounds,
                    format!("{list}.{resource} would be over what {holder} allows"),
                ));
            }
        }
    }
    Ok(())
}

/// The smallest maximum that a quota or limit range publishes for a resource of one container.
fn published_most(
    attempt: &Attempt<'_>,
    namespace: Option<&str>,
    list: &str,
    resource: &str,
) -> Option<(String, Quantity)> {
    let snapshot = attempt.case.snapshot;
    let quotas = snapshot
        .in_namespace("ResourceQuota", namespace)
        .into_iter()
        .flat_map(|quota| {
            let long = format!("{list}.{resource}");
            let keys = if list == "requests" {
                vec![long, resource.to_owned()]
            } else {
                vec![long]
            };
            let hard = quota.map("spec.hard").cloned().unwrap_or_default();
            let name = format!("ResourceQuota {}", quota.name());
            keys.into_iter()
                .filter_map(move |k| Some((name.clone(), Quantity::of(hard.get(&k)?)?)))
        });
    let ranges = snapshot
        .in_namespace("LimitRange", namespace)
        .into_iter()
        .flat_map(|range| {
            let name = format!("LimitRange {}", range.name());
            let most = |item: &Value| {
                let container = item.get("type").and_then(Value::as_str) == Some("Container");
                let most = item
                    .get("max")
                    .and_then(|m| m.get(resource))
                    .and_then(Quantity::of);
                most.filter(|_| container).map(|q| (name.clone(), q))
            };
            range
                .list("spec.limits")
                .iter()
                .filter_map(most)
                .collect::<Vec<_>>()
        });
    quotas.chain(ranges).min_by(|a, b| a.1.cmp(&b.1))
}

const PLAIN: [&str; 3] = ["cpu", "memory", "ephemeral-storage"];

/// Positive amounts of plain resources, and nothing else.
fn are_amounts(value: &Value) -> bool {
    let fits = |(name, amount): (&String, &Value)| {
        PLAIN.contains(&name.as_str()) && Quantity::of(amount).is_some_and(|q| q.is_positive())
    };
    value.as_object().is_some_and(|map| map.iter().all(fits))
}

pub(super) fn hpa(attempt: &Attempt<'_>) -> Judged {
    if attempt.manifest.object.kind() == "HorizontalPodAutoscaler" {
        return match attempt.place.object().as_deref() {
            Some(["spec", "metrics", "*", "resource", "name"]) => Ok(Verdict::Human("D02")),
            // how far a workload may be driven is a wish, not a fact that a model can read
            Some(["spec", "metrics", "*", "resource", "target", ..])
                if !attempt.source.is_words() =>
            {
                Ok(Verdict::Human("D02"))
            }
            _ => not_unlocked(attempt),
        };
    }
    match (attempt.place.container().as_deref(), &attempt.edit.op) {
        (Some(["resources"]), Op::Add(Value::Object(lists)))
            if !lists.keys().all(|k| k == "requests") || !lists.values().all(are_amounts) =>
        {
            not_unlocked(attempt)
        }
        (Some(["resources", "requests"]), Op::Add(v)) if !are_amounts(v) => not_unlocked(attempt),
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
            quota_holds(attempt)?;
            modest_requests(attempt)?;
            Ok(Verdict::Human("D07"))
        }
        _ => not_unlocked(attempt),
    }
}

/// A request that is added where there was none is at most the limit, or, without one, a size that
/// any node has.
fn modest_requests(attempt: &Attempt<'_>) -> Result<(), (Code, String)> {
    let Some(container) = container_after(attempt) else {
        return Ok(());
    };
    for (resource, most) in [("cpu", "1"), ("memory", "1Gi")] {
        let amount = |list: &str| {
            at(container, &format!("resources.{list}"))
                .and_then(|m| m.get(resource))
                .and_then(Quantity::of)
        };
        let most = amount("limits").or_else(|| Quantity::parse(most));
        if let (Some(request), Some(most)) = (amount("requests"), most)
            && request > most
        {
            return Err((
                Code::OutOfBounds,
                format!("a new {resource} request of that size needs a person (rule D07)"),
            ));
        }
    }
    Ok(())
}
