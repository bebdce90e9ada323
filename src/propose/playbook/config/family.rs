//! A mounted JSON file lacks the address of a Service that its sibling keys show the form of.

use std::sync::LazyLock;

use regex::Regex;
use serde_json::{Map, Value};

use super::content::{File, mounted};
use crate::case::Case;
use crate::object::list;
use crate::propose::playbook::build::{Words, edit, proposal};
use crate::propose::playbook::container::subject::{diagnosis, log_says, settle};
use crate::propose::{Answer, Op, Unlock};

/// A key that is not there, with the value that siblings and a Service give it.
#[derive(Debug, PartialEq, Eq)]
struct Wanted {
    key: String,
    value: String,
    service: String,
    /// The keys whose form it follows.
    like: Vec<String>,
    /// The key before which it is written.
    before: String,
}

pub(super) fn missing_address(case: &Case<'_>) -> Option<Answer> {
    let says = log_says(case)?;
    if !ADDRESS_ERROR.is_match(&says) {
        return None;
    }
    let mut hits = Vec::new();
    for file in mounted(case).into_iter().filter(File::is_json) {
        let Ok(Value::Object(map)) = serde_json::from_str(file.text) else {
            continue;
        };
        hits.extend(
            wanted(case, &map)
                .into_iter()
                .map(|w| (w, file.key.to_owned())),
        );
    }
    let [(wanted, key)] = hits.as_slice() else {
        return None;
    };
    let file = mounted(case).into_iter().find(|f| f.key == key)?;
    let text = insert(file.text, wanted)?;
    let config = file.config.object.reference();
    let mut facts = diagnosis(case);
    facts.push(format!(
        "key {key} of {config} has {} but no {}",
        wanted.like.join(", "),
        wanted.key
    ));
    facts.push(format!("Service {} exists in the same namespace with that port, and the sibling keys have this form", wanted.service));
    let words = Words {
        play: "config-missing-address",
        title: format!("add {} {} to {key} of {config}", wanted.key, wanted.value),
        diagnosis: facts,
        reason: format!(
            "the program fails on an empty address; {} gives it, in the form of {}",
            wanted.service,
            wanted.like.join(", ")
        ),
        after_merge: file.after_merge(case),
    };
    let op = Op::Set(Value::String(text));
    let edits = vec![edit(
        &config,
        file.path(),
        op,
        Unlock::ConfigContent,
        format!("Service {}", wanted.service),
    )];
    Some(settle(case, proposal(words, edits), Vec::new()))
}

/// Keys of the workload's own prefix that a family of sibling keys has for other prefixes.
fn wanted(case: &Case<'_>, map: &Map<String, Value>) -> Vec<Wanted> {
    let own = case.finding.object.name.to_ascii_lowercase();
    let Some((before, prefix)) = map.keys().find_map(|k| {
        let prefix = k.get(..own.len())?;
        let boundary = k
            .get(own.len()..)?
            .starts_with(|c: char| c.is_ascii_uppercase() || c == '_' || c == '.');
        (prefix.to_ascii_lowercase() == own && boundary).then(|| (k.clone(), prefix.to_owned()))
    }) else {
        return Vec::new();
    };
    let mut out: Vec<Wanted> = Vec::new();
    for suffix in suffixes(map) {
        let key = format!("{prefix}{suffix}");
        if map.contains_key(&key) || out.iter().any(|w| w.key == key) {
            continue;
        }
        out.extend(
            from_family(case, map, &suffix, &own).map(|(value, service, like)| Wanted {
                key,
                value,
                service,
                like,
                before: before.clone(),
            }),
        );
    }
    out
}

/// The ends of keys whose values are addresses, cut at every word.
fn suffixes(map: &Map<String, Value>) -> Vec<String> {
    let mut out: Vec<String> = Vec::new();
    for (key, _) in map.iter().filter(|(_, v)| address(v).is_some()) {
        for (i, c) in key.char_indices().skip(1) {
            let suffix = key.get(i..).unwrap_or_default();
            if (c.is_ascii_uppercase() || c == '_' || c == '.')
                && suffix.len() > 3
                && !out.iter().any(|s| s == suffix)
            {
                out.push(suffix.to_owned());
            }
        }
    }
    out
}

fn address(value: &Value) -> Option<(&str, &str)> {
    let (host, port) = value.as_str()?.rsplit_once(':')?;
    let plain = host
        .chars()
        .all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '.');
    (plain && !host.is_empty() && port.parse::<u16>().is_ok()).then_some((host, port))
}

/// At least two siblings whose host is one form around their own prefix, with one port; and the
/// Service that the form gives for `own`.
fn from_family(
    case: &Case<'_>,
    map: &Map<String, Value>,
    suffix: &str,
    own: &str,
) -> Option<(String, String, Vec<String>)> {
    let mut forms: Vec<(String, String, Vec<String>)> = Vec::new();
    for (key, value) in map {
        let (Some(prefix), Some((host, port))) = (key.strip_suffix(suffix), address(value)) else {
            continue;
        };
        let prefix = prefix.to_ascii_lowercase();
        if prefix.len() < 2 || !host.split(['-', '.', '_']).any(|part| part == prefix) {
            continue;
        }
        let form = host.replace(&prefix, "\u{0}");
        match forms.iter_mut().find(|(f, p, _)| *f == form && p == port) {
            Some((_, _, keys)) => keys.push(key.clone()),
            None => forms.push((form, port.to_owned(), vec![key.clone()])),
        }
    }
    forms.retain(|(_, _, keys)| keys.len() >= 2);
    let [(form, port, keys)] = forms.as_slice() else {
        return None;
    };
    let host = form.replace('\u{0}', own);
    let service = host.split('.').next().unwrap_or_default().to_owned();
    serves(case, &service, port).then(|| (format!("{host}:{port}"), service, keys.clone()))
}

fn serves(case: &Case<'_>, service: &str, port: &str) -> bool {
    let namespace = case.finding.object.namespace.as_deref();
    let object = case.snapshot.find("Service", namespace, service);
    object.is_some_and(|s| {
        list(&s.value, "spec.ports").iter().any(|p| {
            p.get("port")
                .is_some_and(|n| n.as_u64() == port.parse().ok())
        })
    })
}

/// The text with the new entry on a line of its own before the other key of the same prefix.
fn insert(text: &str, wanted: &Wanted) -> Option<String> {
    let needle = format!("\"{}\"", wanted.before);
    let line = text
        .split_inclusive('\n')
        .find(|l| l.trim_start().starts_with(&needle))?;
    let indent: String = line.chars().take_while(|c| c.is_whitespace()).collect();
    let entry = format!(
        "{indent}{}: {},\n",
        Value::String(wanted.key.clone()),
        Value::String(wanted.value.clone())
    );
    let at = text.find(line)?;
    let (head, tail) = text.split_at(at);
    let out = format!("{head}{entry}{tail}");
    serde_json::from_str::<Value>(&out).is_ok().then_some(out)
}

static ADDRESS_ERROR: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"(?i)\b(uri|url|host|hosts|hostname|address|addr|dsn|endpoint|broker|connection string)\b.*\b(pars(e|ing)|empty|missing|invalid|required|not set|undefined|must have|no such|at least)\b|\b(pars(e|ing)|empty|missing|invalid|required|undefined)\b.*\b(uri|url|host|address|addr|dsn|endpoint|broker)\b")
        .expect("a literal pattern compiles")
});
