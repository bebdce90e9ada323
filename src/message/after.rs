//! How a person sees that a fix works, and how they take it back. Pure.

use std::collections::BTreeSet;

use super::voice::Voice;
use crate::object::ObjectRef;
use crate::pipeline::Mended;

/// Commands that only read. None where a name could be more than a name to a shell.
pub(super) fn look_commands(object: &ObjectRef) -> Vec<String> {
    let namespace = match object.namespace.as_deref() {
        Some(n) if is_plain(n) => format!(" -n {n}"),
        Some(_) => return Vec::new(),
        None => String::new(),
    };
    if !is_plain(&object.name) || !object.kind.bytes().all(|b| b.is_ascii_alphanumeric()) {
        return Vec::new();
    }
    let kind = object.kind.to_lowercase();
    let thing = format!("{kind}/{}", object.name);
    let name = &object.name;
    match object.kind.as_str() {
        "Deployment" | "StatefulSet" | "DaemonSet" => vec![
            format!("kubectl{namespace} rollout status {thing} --timeout=5m"),
            format!("kubectl{namespace} get {thing} -o wide"),
            format!("kubectl{namespace} get events --for {thing}"),
        ],
        "Service" => vec![
            format!("kubectl{namespace} get endpointslices -l kubernetes.io/service-name={name}"),
            format!("kubectl{namespace} describe {thing}"),
        ],
        "Job" | "CronJob" => vec![
            format!("kubectl{namespace} get {thing}"),
            format!("kubectl{namespace} get jobs --sort-by=.metadata.creationTimestamp"),
        ],
        _ => vec![
            format!("kubectl{namespace} get {thing} -o yaml"),
            format!("kubectl{namespace} describe {thing}"),
        ],
    }
}

/// Letters, digits, dots and dashes, as Kubernetes allows them in names; no option of a command.
fn is_plain(name: &str) -> bool {
    (1..=253).contains(&name.len())
        && name
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'.'))
        && name.starts_with(|c: char| c.is_ascii_alphanumeric())
}

pub(super) fn roll_back(mended: &Mended, voice: Voice<'_>) -> String {
    let files: BTreeSet<&str> = mended.changed.keys().map(String::as_str).collect();
    let files: Vec<String> = files.iter().take(10).map(|f| voice.code(f)).collect();
    format!(
        "**Roll back**: revert the merge commit (`git revert`, or the Revert button); only {} is touched.",
        files.join(", ")
    )
}
