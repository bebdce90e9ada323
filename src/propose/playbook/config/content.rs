//! A mounted configuration file does not parse.

use std::sync::LazyLock;

use regex::Regex;
use serde_json::Value;

use crate::case::{Case, Desired};
use crate::code::Code;
use crate::object::list;
use crate::path::FieldPath;
use crate::propose::playbook::build::{Words, ask, by_hand, edit, proposal};
use crate::propose::playbook::container::subject::{
    Subject, after_merge, diagnosis, log_says, settle,
};
use crate::propose::{Answer, Op, Unlock};

/// One file of a ConfigMap that the failing container mounts, as Git defines it.
pub(super) struct File<'c> {
    pub config: &'c Desired,
    pub key: &'c str,
    pub text: &'c str,
    /// Its name inside the container, `config.json`.
    pub shown_as: String,
    /// Whether it is mounted by `subPath`, which never refreshes.
    pub sub_path: bool,
}

impl File<'_> {
    pub(super) fn path(&self) -> FieldPath {
        FieldPath::keys(["data"]).key(self.key)
    }

    pub(super) fn is_json(&self) -> bool {
        self.shown_as.ends_with(".json")
            || self.key.ends_with(".json")
            || matches!(self.text.trim_start().chars().next(), Some('{' | '['))
    }

    /// What to do so that running pods see the new content.
    pub(super) fn after_merge(&self, case: &Case<'_>) -> Vec<String> {
        let why = if self.sub_path {
            "a subPath mount never refreshes"
        } else {
            "a running process does not read it again by itself"
        };
        let mut out = vec![format!(
            "restart the pods of {} ({why})",
            case.finding.object
        )];
        out.extend(after_merge(&case.finding.object));
        out
    }
}

pub(super) fn unparsable(case: &Case<'_>) -> Option<Answer> {
    let says = log_says(case)?;
    if !PARSE_ERROR.is_match(&says) {
        return None;
    }
    let broken: Vec<File<'_>> = mounted(case)
        .into_iter()
        .filter(|f| f.is_json() && serde_json::from_str::<Value>(f.text).is_err())
        .collect();
    let [file] = broken.as_slice() else {
        return None;
    };
    let error = serde_json::from_str::<Value>(file.text).err()?;
    let place = format!("key {} of {}", file.key, file.config.object.reference());
    let mut facts = diagnosis(case);
    facts.push(format!(
        "{place} ({}) is not valid JSON: {error}",
        file.config.file
    ));
    let repairs = repairs(file.text, error.line());
    let [(repaired, how)] = repairs.as_slice() else {
        let title = format!("How should {place} be written, so that it is valid JSON?");
        let options = vec![by_hand(format!(
            "correct line {} of the file",
            error.line()
        ))];
        return Some(ask(Code::MissingValue, title, facts, options));
    };
    facts.push(format!("{how} makes it parse, and nothing else changes"));
    let words = Words {
        play: "config-syntax",
        title: format!("mend the JSON in {place}"),
        diagnosis: facts,
        reason: format!(
            "the file cannot be parsed ({error}); {how} is the only single change that makes it parse"
        ),
        after_merge: file.after_merge(case),
    };
    let object = file.config.object.reference();
    let op = Op::Set(Value::String(repaired.clone()));
    let edits = vec![edit(
        &object,
        file.path(),
        op,
        Unlock::ConfigContent,
        "the parse error and the file itself",
    )];
    Some(settle(case, proposal(words, edits), Vec::new()))
}

/// The ConfigMap files that the failing container mounts.
pub(super) fn mounted<'c>(case: &Case<'c>) -> Vec<File<'c>> {
    let Some(subject) = Subject::of(case) else {
        return Vec::new();
    };
    let Some(spec) = subject.manifest.object.pod_spec() else {
        return Vec::new();
    };
    let mut out = Vec::new();
    for mount in subject.container.list("volumeMounts") {
        let name = mount
            .get("name")
            .and_then(Value::as_str)
            .unwrap_or_default();
        let volume = list(spec, "volumes")
            .iter()
            .find(|v| v.get("name").and_then(Value::as_str) == Some(name));
        let Some(source) = volume.and_then(|v| v.get("configMap")) else {
            continue;
        };
        out.extend(files(case, source, mount));
    }
    out
}

fn files<'c>(case: &Case<'c>, source: &'c Value, mount: &Value) -> Vec<File<'c>> {
    let name = source
        .get("name")
        .and_then(Value::as_str)
        .unwrap_or_default();
    let namespace = case.finding.object.namespace.as_deref();
    let mut configs = case.desired.iter().filter(|d| {
        d.object.kind() == "ConfigMap"
            && d.object.name() == name
            && d.object.namespace() == namespace
    });
    let (Some(config), None) = (configs.next(), configs.next()) else {
        return Vec::new();
    };
    let sub_path = mount.get("subPath").and_then(Value::as_str);
    let shown = |key: &str| -> Option<String> {
        let items = list(source, "items");
        if items.is_empty() {
            return Some(key.to_owned());
        }
        let item = items
            .iter()
            .find(|i| i.get("key").and_then(Value::as_str) == Some(key))?;
        item.get("path").and_then(Value::as_str).map(str::to_owned)
    };
    let data = config.object.map("data").into_iter().flatten();
    data.filter_map(|(key, value)| {
        let shown_as = shown(key)?;
        if sub_path.is_some_and(|s| s != shown_as) {
            return None;
        }
        Some(File {
            config,
            key,
            text: value.as_str()?,
            shown_as,
            sub_path: sub_path.is_some(),
        })
    })
    .collect()
}

/// Every single-place repair that makes the text parse, with its description.
fn repairs(text: &str, line: usize) -> Vec<(String, String)> {
    let lines: Vec<&str> = text.split('\n').collect();
    let mut out: Vec<(String, String)> = Vec::new();
    for at in line.saturating_sub(2)..=line {
        let Some(old) = lines.get(at) else { continue };
        for (new, how) in line_repairs(old, lines.get(at + 1).copied()) {
            let mut changed: Vec<&str> = lines.clone();
            if let Some(slot) = changed.get_mut(at) {
                *slot = &new;
            }
            let candidate = changed.join("\n");
            let same = |(c, _): &(String, String)| *c == candidate;
            if serde_json::from_str::<Value>(&candidate).is_ok() && !out.iter().any(same) {
                out.push((candidate, format!("{how} in line {}", at + 1)));
            }
        }
    }
    out
}

fn line_repairs(line: &str, _next: Option<&str>) -> Vec<(String, String)> {
    let mut out = Vec::new();
    if let Some(c) = BARE_VALUE.captures(line) {
        out.push((
            format!("{}\"{}\"{}", &c[1], &c[2], &c[3]),
            format!("quoting the value {}", &c[2]),
        ));
    }
    if let Some(c) = BARE_KEY.captures(line) {
        out.push((
            format!("{}\"{}\"{}", &c[1], &c[2], &c[3]),
            format!("quoting the key {}", &c[2]),
        ));
    }
    let end = line.trim_end();
    if let Some(head) = end.strip_suffix(',') {
        out.push((head.to_owned(), "removing the comma".to_owned()));
    } else if !end.trim().is_empty() && !end.ends_with(['{', '[']) {
        out.push((format!("{end},"), "adding a comma".to_owned()));
    }
    out
}

static BARE_VALUE: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r#"^(\s*(?:"(?:[^"\\]|\\.)*"\s*:\s*)?)([A-Za-z_][A-Za-z0-9_./-]*)(\s*,?\s*)$"#)
        .expect("a literal pattern compiles")
});
static BARE_KEY: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r#"^(\s*\{?\s*)([A-Za-z_][A-Za-z0-9_]*)(\s*:.*)$"#)
        .expect("a literal pattern compiles")
});
static PARSE_ERROR: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"(?i)\bpars(e|ing)\b|\bjson\b|unmarshal|decode|syntax|unexpected (token|character|end)|invalid character|expecting (value|property)|malformed")
        .expect("a literal pattern compiles")
});

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::repairs;

    #[test]
    fn a_bare_word_is_quoted() {
        let text = "{\n  \"mode\": fast,\n  \"n\": 1\n}\n";
        let found = repairs(text, 2);
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!(found.first().unwrap().0, text.replace("fast", "\"fast\""));
    }

    #[test]
    fn commas_are_mended() {
        let missing = "{\n  \"a\": 1\n  \"b\": 2\n}";
        assert_eq!(repairs(missing, 3).len(), 1);
        let surplus = "{\n  \"a\": 1,\n}";
        assert_eq!(repairs(surplus, 3).len(), 1);
    }

    #[test]
    fn two_faults_are_not_guessed_at() {
        assert_eq!(repairs("{\n  \"a\": x y,\n  b\n}", 2), []);
    }
}
