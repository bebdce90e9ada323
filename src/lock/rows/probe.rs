//! Probes.

use super::{bounds, container_after, not_unlocked};
use crate::code::Code;
use crate::finding::Class;
use crate::lock::Attempt;
use crate::lock::Judged;
use crate::lock::Verdict;
use crate::lock::facts::was_good;
use crate::object::at;
use crate::object::list;
use serde_json::Value;

pub(super) fn probe(attempt: &Attempt<'_>) -> Judged {
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
    let failing = match attempt.case.finding.class {
        Class::LivenessProbeFailing => "livenessProbe",
        Class::ReadinessProbeFailing => "readinessProbe",
        _ => "startupProbe",
    };
    if *kind != failing && attempt.source.is_words() {
        return Err((Code::NotUnlocked, format!("only the {failing} fails")));
    }
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

pub(super) fn container_name(container: &Value) -> &str {
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
