//! The sync windows of a project that concern an Application. Pure.
//!
//! They are named, and not computed: whether one is open is for Argo CD to say.

use serde_json::Value;

use crate::config::glob::glob;
use crate::object::Object;

/// The most windows that are named.
const MAX_TOLD: usize = 3;
/// The longest part of one, in characters.
const MAX_TEXT: usize = 40;

/// What a person reads of them; `None` where none is known.
pub(super) fn told(project: Option<&Object>, app: &Object) -> Option<String> {
    let all = project?.list("spec.syncWindows").iter();
    let ours: Vec<String> = all.filter(|w| concerns(w, app)).map(one).collect();
    let left = ours.len().saturating_sub(MAX_TOLD);
    let mut named = ours;
    named.truncate(MAX_TOLD);
    if left > 0 {
        named.push(format!("{left} more"));
    }
    (!named.is_empty()).then(|| named.join(", "))
}

/// ``deny `0 22 * * *` for 8h UTC``
fn one(window: &Value) -> String {
    let text = |key: &str| {
        let text = window.get(key).and_then(Value::as_str).unwrap_or_default();
        text.chars().take(MAX_TEXT).collect::<String>()
    };
    let zone = match text("timeZone").as_str() {
        "" => "UTC".to_owned(),
        zone => zone.to_owned(),
    };
    format!(
        "{} `{}` for {} {zone}",
        text("kind"),
        text("schedule"),
        text("duration")
    )
}

/// By any of its lists, or by all of them where it says so.
fn concerns(window: &Value, app: &Object) -> bool {
    let fits = |key: &str, names: &[Option<&str>]| {
        let patterns = window.get(key)?.as_array()?.iter();
        let patterns: Vec<&str> = patterns.filter_map(Value::as_str).collect();
        let mut names = names.iter().flatten();
        (!patterns.is_empty()).then(|| names.any(|n| patterns.iter().any(|p| glob(p, n))))
    };
    let (server, name) = (
        app.str("spec.destination.server"),
        app.str("spec.destination.name"),
    );
    let lists = [
        fits("applications", &[Some(app.name())]),
        fits("namespaces", &[app.str("spec.destination.namespace")]),
        fits("clusters", &[server, name]),
    ];
    let lists: Vec<bool> = lists.into_iter().flatten().collect();
    match window.get("andOperator") == Some(&Value::Bool(true)) {
        true => !lists.is_empty() && lists.iter().all(|fits| *fits),
        false => lists.contains(&true),
    }
}
