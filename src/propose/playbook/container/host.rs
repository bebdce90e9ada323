//! A program asks for a host that is no Service: the name in its configuration is wrong, or the
//! Service is missing.

use std::sync::LazyLock;

use regex::Regex;
use serde_json::Value;

use super::subject::{Subject, after_merge, diagnosis, settle};
use crate::case::Case;
use crate::code::Code;
use crate::finding::fact;
use crate::near::misspelled;
use crate::object::{Object, at, list};
use crate::path::FieldPath;
use crate::propose::playbook::build::{Words, and, ask, by_hand, edit, proposal};
use crate::propose::{Answer, Op, Unlock};
use crate::snapshot::Existence;

pub(super) fn unknown(case: &Case<'_>) -> Option<Answer> {
    let subject = Subject::of(case)?;
    let host = unresolved(case.finding.fact(fact::LOG_TAIL)?)?;
    let own = subject.manifest.object.namespace().unwrap_or("default");
    let (service, namespace) = as_service(case, &host, own)?;
    if case.snapshot.existence("Service", Some(namespace), service) != Existence::Absent {
        return None;
    }
    let services = case.snapshot.in_namespace("Service", Some(namespace));
    let near = misspelled(service, services.iter().map(|s| s.name()));
    let places = places(case, &subject, &host);
    if let (Some(near), [Place::Config(place)]) = (near, places.as_slice()) {
        return Some(corrected(case, place, &host, service, near));
    }
    Some(which(
        case,
        &subject,
        &host,
        (service, namespace),
        near,
        &places,
    ))
}

/// The host name that the log says is unknown.
fn unresolved(log: &str) -> Option<String> {
    log.lines().rev().find_map(|line| {
        UNRESOLVED
            .iter()
            .find_map(|r| r.captures(line))
            .and_then(|c| c.get(1))
            .map(|m| m.as_str().trim_end_matches('.').to_owned())
    })
}

static UNRESOLVED: LazyLock<Vec<Regex>> = LazyLock::new(|| {
    [
        r"lookup ([a-z0-9][a-z0-9.-]*)(?: on \S+)?: no such host",
        r"getaddrinfo (?:ENOTFOUND|EAI_AGAIN) ([a-z0-9][a-z0-9.-]*)",
        r#"could not translate host name "([a-z0-9][a-z0-9.-]*)""#,
        r#"host not found in upstream "([a-z0-9][a-z0-9.-]*)"#,
        r"UnknownHostException:? ([a-z0-9][a-z0-9.-]*)",
        r"(?i:could not resolve host|unknown host):? '?([a-z0-9][a-z0-9.-]*)",
        r"(?i:bad address|can't resolve|cannot resolve|unknown mysql server host) '([a-z0-9][a-z0-9.-]*)",
    ]
    .iter()
    .map(|p| Regex::new(p).expect("a literal pattern compiles"))
    .collect()
});

/// The Service and namespace that a host name means inside a cluster; none for outside hosts.
fn as_service<'h>(case: &Case<'_>, host: &'h str, own: &'h str) -> Option<(&'h str, &'h str)> {
    let mut labels = host.split('.');
    let service = labels.next().filter(|s| !s.is_empty())?;
    let Some(namespace) = labels.next() else {
        return Some((service, own));
    };
    let inside = labels.next() == Some("svc")
        || case.snapshot.find("Namespace", None, namespace).is_some() && labels.next().is_none();
    inside.then_some((service, namespace))
}

/// Where Git writes the host name.
enum Place<'c> {
    /// A field of the workload, for people.
    Workload(String),
    /// A value of a ConfigMap.
    Config(InConfig<'c>),
}

struct InConfig<'c> {
    config: &'c Object,
    file: &'c str,
    key: &'c str,
    value: &'c str,
}

fn places<'c>(case: &Case<'c>, subject: &Subject<'c>, host: &str) -> Vec<Place<'c>> {
    let container = &subject.container;
    let mut out: Vec<Place<'c>> = Vec::new();
    for item in container.list("env") {
        let value = item
            .get("value")
            .and_then(Value::as_str)
            .unwrap_or_default();
        if names(value, host) {
            let name = item.get("name").and_then(Value::as_str).unwrap_or_default();
            out.push(Place::Workload(format!(
                "environment variable {name} of container {} ({value})",
                container.name
            )));
        }
    }
    for field in ["command", "args"] {
        let words = container.list(field).iter().filter_map(Value::as_str);
        if words.clone().any(|w| names(w, host)) {
            out.push(Place::Workload(format!(
                "{field} of container {}",
                container.name
            )));
        }
    }
    out.extend(
        in_configs(case, subject, host)
            .into_iter()
            .map(Place::Config),
    );
    out
}

fn in_configs<'c>(case: &Case<'c>, subject: &Subject<'c>, host: &str) -> Vec<InConfig<'c>> {
    let used = used_configs(subject);
    let mut out = Vec::new();
    for desired in case.desired {
        let config = &desired.object;
        let here = config.kind() == "ConfigMap"
            && config.namespace() == subject.manifest.object.namespace()
            && used.iter().any(|n| n == config.name());
        for (key, value) in here
            .then(|| config.map("data"))
            .flatten()
            .into_iter()
            .flatten()
        {
            if let Some(value) = value.as_str().filter(|v| names(v, host)) {
                out.push(InConfig {
                    config,
                    file: &desired.file,
                    key,
                    value,
                });
            }
        }
    }
    out
}

/// The ConfigMaps that the container gets variables or files from.
fn used_configs(subject: &Subject<'_>) -> Vec<String> {
    let name = |v: &Value, dotted: &str| at(v, dotted).and_then(Value::as_str).map(str::to_owned);
    let container = &subject.container;
    let mut out: Vec<String> = Vec::new();
    out.extend(
        container
            .list("env")
            .iter()
            .filter_map(|e| name(e, "valueFrom.configMapKeyRef.name")),
    );
    out.extend(
        container
            .list("envFrom")
            .iter()
            .filter_map(|e| name(e, "configMapRef.name")),
    );
    let volumes = subject
        .manifest
        .object
        .pod_spec()
        .map(|s| list(s, "volumes"));
    out.extend(
        volumes
            .unwrap_or_default()
            .iter()
            .filter_map(|v| name(v, "configMap.name")),
    );
    out
}

/// Whether a text holds a host as a whole name.
fn names(text: &str, host: &str) -> bool {
    spots(text, host).next().is_some()
}

/// Where a text holds a host as a whole name.
fn spots<'t>(text: &'t str, host: &'t str) -> impl Iterator<Item = usize> + 't {
    let part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    text.match_indices(host).map(|(i, _)| i).filter(move |i| {
        let before = text.get(..*i).and_then(|t| t.chars().next_back());
        let after = text.get(i + host.len()..).and_then(|t| t.chars().next());
        !before.is_some_and(part) && !after.is_some_and(part)
    })
}

/// The text with the Service of every occurrence of the host put right.
fn respelled(text: &str, host: &str, service: &str, near: &str) -> String {
    let right = format!("{near}{}", host.strip_prefix(service).unwrap_or_default());
    let mut out = String::new();
    let mut from = 0;
    for i in spots(text, host) {
        out.push_str(text.get(from..i).unwrap_or_default());
        out.push_str(&right);
        from = i + host.len();
    }
    out.push_str(text.get(from..).unwrap_or_default());
    out
}

fn corrected(
    case: &Case<'_>,
    place: &InConfig<'_>,
    host: &str,
    service: &str,
    near: &str,
) -> Answer {
    let object = place.config.reference();
    let mut facts = diagnosis(case);
    facts.push(format!(
        "key {} of {object} ({}) names {host}; no Service {service} exists, and Service {near} is the only one with a name that near",
        place.key, place.file
    ));
    let right = respelled(place.value, host, service, near);
    let words = Words {
        play: "unknown-host",
        title: format!(
            "name Service {near} instead of {service} in key {} of {object}",
            place.key
        ),
        diagnosis: facts,
        reason: format!(
            "{host} cannot be resolved, because there is no Service {service}; {near} is the only Service that it can mean"
        ),
        after_merge: std::iter::once(format!(
            "restart the pods of {}: running and crashing ones may keep the old value",
            case.finding.object
        ))
        .chain(after_merge(&case.finding.object))
        .collect(),
    };
    let path = FieldPath::keys(["data"]).key(place.key);
    let basis = format!("Service {near}");
    let edits = vec![edit(
        &object,
        path,
        Op::Set(Value::String(right)),
        Unlock::ConfigContent,
        basis,
    )];
    settle(case, proposal(words, edits), Vec::new())
}

fn which(
    case: &Case<'_>,
    subject: &Subject<'_>,
    host: &str,
    (service, namespace): (&str, &str),
    near: Option<&str>,
    places: &[Place<'_>],
) -> Answer {
    let mut facts = diagnosis(case);
    facts.push(format!(
        "the program asks for host {host}, and no Service {service} exists in namespace {namespace}, so the name cannot be resolved"
    ));
    let written: Vec<String> = places.iter().map(Place::text).collect();
    if !written.is_empty() {
        facts.push(format!("the name is written in {}", and(&written)));
    }
    let elsewhere = other_namespaces(case, service, namespace);
    if !elsewhere.is_empty() {
        facts.push(format!(
            "Service {service} exists in namespace {}",
            and(&elsewhere)
        ));
    }
    let spot = if written.is_empty() {
        "its configuration".to_owned()
    } else {
        and(&written)
    };
    let mut options = Vec::new();
    if let Some(near) = near {
        facts.push(format!("Service {near} exists in namespace {namespace}, and is the only one with a name that near"));
        options.push(by_hand(format!("name {near} instead of {service} in {spot} (rule C11: a person changes where a program connects to)")));
    }
    options.extend(
        elsewhere
            .iter()
            .map(|ns| by_hand(format!("name {service}.{ns} instead of {host} in {spot}"))),
    );
    options.push(by_hand(format!("create Service {service} in namespace {namespace} (rule G02: kubemend never creates objects)")));
    options.push(by_hand(format!("correct the host name in {spot}")));
    let title = format!(
        "{} cannot resolve {host}: which Service is meant?",
        subject.name()
    );
    ask(Code::MissingValue, title, facts, options)
}

impl Place<'_> {
    fn text(&self) -> String {
        match self {
            Self::Workload(text) => text.clone(),
            Self::Config(c) => format!("key {} of {}", c.key, c.config.reference()),
        }
    }
}

fn other_namespaces(case: &Case<'_>, service: &str, namespace: &str) -> Vec<String> {
    let all = case.snapshot.of_kind("Service");
    let others = all.filter(|s| s.name() == service && s.namespace() != Some(namespace));
    others
        .filter_map(|s| s.namespace().map(str::to_owned))
        .take(3)
        .collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn hosts_that_a_log_calls_unknown_are_read() {
        let cases = [
            (
                "dial tcp: lookup cache-x on 10.0.0.10:53: no such host",
                Some("cache-x"),
            ),
            (
                "Error: getaddrinfo ENOTFOUND cache-x.shop",
                Some("cache-x.shop"),
            ),
            (
                "could not translate host name \"db\" to address",
                Some("db"),
            ),
            (
                "nginx: [emerg] host not found in upstream \"api\" in /etc/nginx/x.conf:3",
                Some("api"),
            ),
            ("java.net.UnknownHostException: queue", Some("queue")),
            ("wget: bad address 'web:80'", Some("web")),
            ("connected to db", None),
        ];
        for (log, host) in cases {
            assert_eq!(unresolved(log).as_deref(), host, "{log}");
        }
    }

    #[test]
    fn only_whole_host_names_are_respelled() {
        let text = "a=cach:1 b=cach-x:2 c=cach.shop d=tcp://cach/0";
        assert_eq!(
            respelled(text, "cach", "cach", "cache"),
            "a=cache:1 b=cach-x:2 c=cach.shop d=tcp://cache/0"
        );
        assert_eq!(
            respelled("cach.shop:1", "cach.shop", "cach", "cache"),
            "cache.shop:1"
        );
    }
}
