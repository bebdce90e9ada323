//! `repository_dispatch`: what Flux, Argo CD, or anything else reports about a rollout. It arrives
//! through a token that may write to the repository, and repeats what a cluster says: a hint that
//! starts a pass, never a fact.

use serde_json::Value;

use crate::case::Report;

/// The longest report.
const MAX_TEXT: usize = 16 * 1024;
/// The most conditions or resources that are read.
const MAX_ITEMS: usize = 20;

/// A report, and what it was made on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// The report.
    pub report: Report,
    /// The commit that the tool had, where it says so.
    pub revision: Option<String>,
}

/// Reads a payload; the error says why there is nothing to do.
pub fn read(event_type: &str, payload: &Value) -> Result<Told, String> {
    if payload.get("involvedObject").is_some() {
        return flux(payload);
    }
    if payload.get("app").is_some() {
        return argo(payload);
    }
    if payload.get("text").is_some() {
        return plain(payload);
    }
    let shown: String = event_type.chars().take(60).collect();
    Err(format!(
        "the payload of {shown:?} is none of Flux, Argo CD or kubemend (`kind`, `namespace`, `text`)"
    ))
}

/// At most 16 KiB, without control characters but line ends and tabs.
pub fn bounded(text: &str) -> String {
    let kept = text
        .chars()
        .filter(|c| !c.is_control() || matches!(c, '\n' | '\t'));
    let mut out = String::new();
    for c in kept {
        if out.len() + c.len_utf8() > MAX_TEXT {
            break;
        }
        out.push(c);
    }
    out.trim().to_owned()
}

fn text<'v>(value: &'v Value, pointer: &str) -> &'v str {
    let found = value.pointer(pointer).and_then(Value::as_str);
    found.unwrap_or_default()
}

fn some(text: &str) -> Option<String> {
    Some(text.trim().to_owned()).filter(|t| !t.is_empty())
}

fn told(kind: &str, namespace: &str, message: &str, revision: &str) -> Result<Told, String> {
    let message = bounded(message);
    if message.is_empty() {
        return Err("the event holds no message".to_owned());
    }
    let name = |c: char| c.is_ascii_alphanumeric() || c == '-';
    Ok(Told {
        report: Report {
            kind: kind.to_owned(),
            namespace: some(namespace).filter(|n| n.len() <= 63 && n.chars().all(name)),
            text: message,
        },
        revision: sha_of(revision),
    })
}

/// The commit in `main@sha1:<id>`, `main/<id>` or `<id>`.
fn sha_of(revision: &str) -> Option<String> {
    let last = revision.rsplit([':', '/', '@']).next()?;
    let is_id = [40, 64].contains(&last.len()) && last.bytes().all(|b| b.is_ascii_hexdigit());
    is_id.then(|| last.to_ascii_lowercase())
}

// -- Flux: the `githubdispatch` provider sends its event as it is

fn flux(event: &Value) -> Result<Told, String> {
    if text(event, "/severity") != "error" {
        return Err("Flux reports no error".to_owned());
    }
    let (kind, reason) = (text(event, "/involvedObject/kind"), text(event, "/reason"));
    let message = text(event, "/message");
    let metadata = event.get("metadata").and_then(Value::as_object);
    // keys may carry the controller's group: `kustomize.toolkit.fluxcd.io/revision`
    let revision = metadata.into_iter().flatten().find_map(|(key, value)| {
        let name = key.rsplit('/').next().unwrap_or(key);
        (name == "revision" || name == "originRevision").then(|| value.as_str())?
    });
    // the object's namespace is Flux's own, not that of what it applies
    told(
        flux_kind(kind, reason, message),
        "",
        message,
        revision.unwrap_or_default(),
    )
}

fn flux_kind(kind: &str, reason: &str, message: &str) -> &'static str {
    match (kind, reason) {
        ("Kustomization", "BuildFailed") => "render-error",
        (_, "ArtifactFailed" | "HealthCheckFailed" | "DependencyNotReady" | "TestFailed") => {
            "alert"
        }
        ("Kustomization", _) if message.contains("kustomize build failed") => "render-error",
        ("Kustomization" | "HelmRelease", _) => "apply-error",
        _ => "alert",
    }
}

// -- Argo CD: the body of the template in docs/action.md

fn argo(payload: &Value) -> Result<Told, String> {
    let revision = text(payload, "/revision");
    let namespace = text(payload, "/namespace");
    if let Some(message) = condition(payload) {
        return told("render-error", namespace, &message, revision);
    }
    if matches!(text(payload, "/phase"), "Failed" | "Error") {
        let message =
            failed_resources(payload).unwrap_or_else(|| text(payload, "/message").to_owned());
        return told("apply-error", namespace, &message, revision);
    }
    let health = text(payload, "/health");
    if matches!(health, "Degraded" | "Missing") {
        let app: String = text(payload, "/app").chars().take(253).collect();
        let why = bounded(text(payload, "/message"));
        let message = format!("Application {app} is {health}. {why}");
        return told("alert", namespace, &message, revision);
    }
    Err("Argo CD reports no failure".to_owned())
}

/// A comparison that failed: the sources do not render.
fn condition(payload: &Value) -> Option<String> {
    let all = payload.get("conditions")?.as_array()?;
    let mut errors = all
        .iter()
        .take(MAX_ITEMS)
        .filter(|c| matches!(text(c, "/type"), "ComparisonError" | "InvalidSpecError"));
    errors.find_map(|c| some(text(c, "/message")))
}

fn failed_resources(payload: &Value) -> Option<String> {
    let all = payload.get("resources")?.as_array()?;
    let failed = all
        .iter()
        .take(MAX_ITEMS)
        .filter(|r| text(r, "/status") == "SyncFailed");
    let lines: Vec<String> = failed
        .map(|r| {
            format!(
                "{} {}/{}: {}",
                text(r, "/kind"),
                text(r, "/namespace"),
                text(r, "/name"),
                text(r, "/message")
            )
        })
        .collect();
    some(&lines.join("\n"))
}

// -- anything else: Alertmanager behind a small relay, a script, a person with `gh api`

fn plain(payload: &Value) -> Result<Told, String> {
    let known = ["alert", "apply-error", "render-error", "user-report"];
    let asked = text(payload, "/kind");
    let kind = known.iter().find(|k| **k == asked).unwrap_or(&"alert");
    told(
        kind,
        text(payload, "/namespace"),
        text(payload, "/text"),
        text(payload, "/revision"),
    )
}
