//! The one boundary behind which no secret may be seen: prompt, pull request, commit, log, error.
//!
//! A text becomes [`Redacted`] here and nowhere else. Secrets are found by the shape of a token,
//! by the name of the key that they belong to, and as copies (whole, trimmed, or encoded) of a
//! value that was found before. Placeholders keep the length, so columns and offsets stay right;
//! the same secret gets the same pseudonym, so texts can still be compared.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::ops::Range;
use std::sync::LazyLock;

use regex::bytes::{Regex, RegexBuilder};
use serde_json::Value;
use sha2::{Digest, Sha256};

use self::known::Known;
use self::matcher::{Hit, Matcher};
use self::rules::{Check, RULES};

mod known;
mod matcher;
mod rules;

/// A text without secrets. Only this module makes one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Default, serde::Serialize)]
#[serde(transparent)]
pub struct Redacted(String);

impl Redacted {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The text, by value.
    pub fn into_string(self) -> String {
        self.0
    }
}

impl std::ops::Deref for Redacted {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Redacted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A credential of kubemend itself. It prints as nothing, whatever prints it.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Secret(String);

impl Secret {
    /// Takes a credential; white space around it (a key file's last line end) is dropped.
    pub fn new(text: &str) -> Self {
        Self(text.trim().to_owned())
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The credential itself, for the one place that sends it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        Ok(())
    }
}

/// Redacts one text that belongs to no case: an error, a log line.
pub fn text(input: &str) -> Redacted {
    Redactor::default().text(input)
}

/// Whether a text holds a placeholder of this module; such a text must never become a value.
pub fn holds_placeholder(text: &str) -> bool {
    text.contains(OPEN) || text.contains("***")
}

const OPEN: &str = "[REDACTED:";

/// The most bytes of one text that are looked at; the rest is dropped, not passed on.
const MAX_TEXT: usize = 1 << 20;

/// Redaction with a memory of the secrets of a case.
#[derive(Debug, Clone, Default)]
pub struct Redactor {
    key: Vec<u8>,
    values: BTreeSet<String>,
    known: Known,
}

impl Redactor {
    /// A redactor whose pseudonyms depend on a key.
    pub fn with_key(key: &[u8]) -> Self {
        Self {
            key: key.to_vec(),
            ..Self::default()
        }
    }

    /// Learns the secrets that texts and objects hold, so that copies of them are found elsewhere.
    #[must_use]
    pub fn learn<'t>(
        mut self,
        texts: impl IntoIterator<Item = &'t str>,
        objects: impl IntoIterator<Item = &'t Value>,
    ) -> Self {
        for text in texts {
            let text = cut(text);
            for hit in hits(text.as_bytes()) {
                self.remember(text.get(hit).unwrap_or_default());
            }
        }
        for object in objects {
            for value in secret_values(object) {
                self.remember(&value);
            }
        }
        self.known = Known::new(&self.values);
        self
    }

    /// Long values (keys in PEM form) are remembered line by line.
    fn remember(&mut self, value: &str) {
        let pieces = value.split_whitespace().take(64);
        for piece in pieces.filter(|p| is_distinctive(p)) {
            if self.values.len() < known::MAX_KNOWN {
                self.values.insert(piece.to_owned());
            }
        }
    }

    /// The text without secrets, of the same length in bytes (up to 1 MiB).
    pub fn text(&self, input: &str) -> Redacted {
        let input = cut(input);
        let mut spans = hits(input.as_bytes());
        spans.extend(self.known.find(input.as_bytes()));
        if spans.is_empty() {
            return Redacted(input.to_owned());
        }
        Redacted(self.replace(input.as_bytes(), merge(spans)))
    }

    /// An object with the values of secret-looking env variables and keys replaced; other texts
    /// in it are not looked at, so the printed form must still go through [`Redactor::text`].
    #[must_use]
    pub fn object(&self, object: &Value) -> Value {
        let mut masked = object.clone();
        mask(
            &mut masked,
            &|secret| self.placeholder(secret.as_bytes()),
            0,
        );
        masked
    }

    fn replace(&self, input: &[u8], spans: Vec<Range<usize>>) -> String {
        let mut out = Vec::with_capacity(input.len());
        let mut at = 0;
        for span in spans {
            out.extend_from_slice(input.get(at..span.start).unwrap_or_default());
            let secret = input.get(span.clone()).unwrap_or_default();
            out.extend_from_slice(self.placeholder(secret).as_bytes());
            at = span.end;
        }
        out.extend_from_slice(input.get(at..).unwrap_or_default());
        // A span that cuts a character in two leaves a broken one behind; it is replaced.
        String::from_utf8_lossy(&out).into_owned()
    }

    /// `[REDACTED:1f3a***]`, as long as the secret. Sixteen bits of a keyed hash tell two secrets
    /// apart, and are too few to confirm a guess.
    fn placeholder(&self, secret: &[u8]) -> String {
        let shortest = OPEN.len() + 5;
        if secret.len() < shortest {
            return "*".repeat(secret.len().max(3));
        }
        let digest = Sha256::new()
            .chain_update(&self.key)
            .chain_update([0])
            .chain_update(secret)
            .finalize();
        let name = digest.iter().take(2).fold(String::new(), |mut s, b| {
            s.push_str(&format!("{b:02x}"));
            s
        });
        let fill = "*".repeat(secret.len() - shortest);
        format!("{OPEN}{name}{fill}]")
    }
}

/// The front of a text, cut at a character's border.
fn cut(text: &str) -> &str {
    let mut end = text.len().min(MAX_TEXT);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or_default()
}

/// Where a text holds secrets, by shape and by key name. Unsorted, may overlap.
fn hits(text: &[u8]) -> Vec<Range<usize>> {
    let found = MATCHER.find(text).into_iter();
    found.filter_map(|hit| accept(text, hit)).collect()
}

/// The secret part of a match.
fn accept(text: &[u8], hit: Hit) -> Option<Range<usize>> {
    let value = String::from_utf8_lossy(text.get(hit.part.clone())?);
    let key = String::from_utf8_lossy(text.get(hit.whole.start..hit.part.start)?);
    let ok = match RULES.get(hit.rule)?.check {
        Check::Shape => !holds_placeholder(&value) && !is_reference(&value),
        Check::Random => !holds_placeholder(&value) && is_random(&value),
        Check::Keyed => is_keyed_secret(&key, &value, starts_entry(text, hit.whole.start)),
    };
    ok.then_some(hit.part)
}

/// Whether a key at `at` begins an entry (a line, a JSON member) and is no word of a sentence.
fn starts_entry(text: &[u8], at: usize) -> bool {
    let before = text.get(at.saturating_sub(80)..at).unwrap_or_default();
    let head = before
        .iter()
        .rev()
        .skip_while(|b| b.is_ascii_alphanumeric() || b"_.-/".contains(b))
        .find(|b| **b != b' ' && **b != b'\t');
    match head {
        None => at < 80,
        Some(b) => b"\n\r\"'{,;?&[(-".contains(b),
    }
}

/// Whether `key: value` or `key=value` holds a secret, where `key` ends in a secret-like word.
fn is_keyed_secret(key: &str, value: &str, starts_entry: bool) -> bool {
    if is_plain_value(value) || holds_placeholder(value) {
        return false;
    }
    let word = key
        .trim_end_matches(|c: char| !c.is_ascii_alphanumeric())
        .to_ascii_lowercase();
    let names_things = ["secret", "secretkey", "credential", "credentials", "auth"];
    if names_things.iter().any(|w| word.ends_with(w)) && is_name(value) {
        return false;
    }
    let assigned = key.contains('=') || key.contains('"') || key.starts_with('-');
    starts_entry || assigned || value.bytes().any(|b| b.is_ascii_digit())
}

/// Whether a template stands where a secret will be.
fn is_reference(value: &str) -> bool {
    ["${", "$(", "{{", "<"].iter().any(|r| value.starts_with(r))
}

/// Kinds of objects: what stands behind the `MissingSecret:` of our own texts.
const KINDS: &[&str] = &[
    "Pod",
    "Deployment",
    "StatefulSet",
    "DaemonSet",
    "ReplicaSet",
    "Job",
    "CronJob",
    "Service",
    "Ingress",
    "ConfigMap",
    "Secret",
    "ServiceAccount",
    "PersistentVolumeClaim",
    "Namespace",
    "Application",
    "HelmRelease",
    "Kustomization",
    "Rollout",
    "Node",
    "Opaque",
];

/// Values that stand beside a secret-like key and give nothing away.
fn is_plain_value(value: &str) -> bool {
    let lower = value.to_ascii_lowercase();
    let reference = ["$", "{{", "<", "%(", "vault:", "arn:", "ref+", "op://"];
    value.len() < 3
        || KINDS.contains(&value)
        || ["true", "false", "null", "none", "nil", "undefined", "empty"].contains(&lower.as_str())
        || reference.iter().any(|r| lower.starts_with(r))
        || value.bytes().all(|b| b == b'*' || b == b'.')
        || (value.len() < 6 && value.bytes().all(|b| b.is_ascii_digit()))
        || (value.starts_with('/') && value.bytes().all(is_path_byte))
}

fn is_path_byte(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b"/._-".contains(&b)
}

/// Whether a text is a name as Kubernetes and shells write names, and not a random string.
fn is_name(value: &str) -> bool {
    let rest = |b: u8| b.is_ascii_digit() || b"-./_".contains(&b);
    let lower = value.bytes().all(|b| b.is_ascii_lowercase() || rest(b));
    let upper = value.bytes().all(|b| b.is_ascii_uppercase() || rest(b));
    let mixed = |part: &str| {
        part.len() >= 10
            && part.bytes().any(|b| b.is_ascii_digit())
            && part.bytes().any(|b| b.is_ascii_alphabetic())
    };
    let mut parts = value.split(['-', '.', '/', '_']);
    value.len() <= 63 && (lower || upper) && !parts.any(mixed)
}

/// Whether a value is special enough to be looked for elsewhere: a word of the language is not.
fn is_distinctive(value: &str) -> bool {
    let has = |f: fn(&u8) -> bool| value.bytes().any(|b| f(&b));
    let classes = [
        has(u8::is_ascii_lowercase),
        has(u8::is_ascii_uppercase),
        has(u8::is_ascii_digit),
        has(u8::is_ascii_punctuation),
    ];
    let count = classes.into_iter().filter(|c| *c).count();
    let only_digits = value.bytes().all(|b| b.is_ascii_digit());
    let word = value.bytes().all(|b| b.is_ascii_alphabetic())
        || (is_name(value) && !has(u8::is_ascii_digit));
    let special = count >= 2 || value.len() >= 16;
    (8..=256).contains(&value.len()) && special && !only_digits && !word
}

/// Whether a string is random: many different characters, letters and digits mixed, no plain hex
/// (digests, uids and commit ids must stay readable).
fn is_random(value: &str) -> bool {
    let hex = value.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-');
    let digits = value.bytes().filter(u8::is_ascii_digit).count();
    let upper = value.bytes().filter(u8::is_ascii_uppercase).count();
    let lower = value.bytes().filter(u8::is_ascii_lowercase).count();
    !hex && digits >= 2 && upper >= 2 && lower >= 2 && entropy(value) >= 3.5
}

/// Shannon entropy in bits a character.
fn entropy(value: &str) -> f64 {
    let mut counts = BTreeMap::new();
    for b in value.bytes() {
        *counts.entry(b).or_insert(0_u32) += 1;
    }
    let total = f64::from(u32::try_from(value.len()).unwrap_or(u32::MAX)).max(1.0);
    counts
        .values()
        .map(|n| f64::from(*n) / total)
        .map(|p| -p * p.log2())
        .sum()
}

/// Sorted, without overlaps.
fn merge(mut spans: Vec<Range<usize>>) -> Vec<Range<usize>> {
    spans.retain(|s| !s.is_empty());
    spans.sort_by_key(|s| (s.start, s.end));
    let mut out: Vec<Range<usize>> = Vec::new();
    for span in spans {
        match out.last_mut() {
            Some(last) if span.start < last.end => last.end = last.end.max(span.end),
            _ => out.push(span),
        }
    }
    out
}

/// Whether the name of a key or an env variable says that its value is secret.
pub fn is_secret_name(name: &str) -> bool {
    static NAME: LazyLock<Regex> = LazyLock::new(|| {
        RegexBuilder::new(&format!("{}$", rules::KEY))
            .unicode(false)
            .case_insensitive(true)
            .build()
            .expect("the pattern is a constant and compiles")
    });
    NAME.is_match(name.as_bytes())
}

/// The values of an object that belong to a secret-looking name; all values of a Secret.
fn secret_values(object: &Value) -> Vec<String> {
    if object.get("kind").and_then(Value::as_str) == Some("Secret") {
        return of_secret(object);
    }
    let found = std::cell::RefCell::new(Vec::new());
    let mut copy = object.clone();
    mask(
        &mut copy,
        &|secret| {
            found.borrow_mut().push(secret.to_owned());
            String::new()
        },
        0,
    );
    found.into_inner()
}

/// The values of a Secret as it stands in Git, as written and decoded.
fn of_secret(secret: &Value) -> Vec<String> {
    let texts = |field: &str| {
        let map = secret.get(field).and_then(Value::as_object);
        map.into_iter()
            .flat_map(|m| m.values())
            .filter_map(Value::as_str)
    };
    let decoded = texts("data").filter_map(known::decode);
    texts("stringData")
        .chain(texts("data"))
        .map(str::to_owned)
        .chain(decoded)
        .collect()
}

/// Replaces the values of env entries and keys with secret-looking names.
fn mask(value: &mut Value, placeholder: &dyn Fn(&str) -> String, depth: usize) {
    if depth > 64 {
        *value = Value::Null;
        return;
    }
    match value {
        Value::Array(items) => {
            for item in items {
                mask(item, placeholder, depth + 1);
            }
        }
        Value::Object(map) => {
            let name = map.get("name").and_then(Value::as_str).unwrap_or_default();
            let entry = is_secret_name(name);
            for (key, inner) in map.iter_mut() {
                let secret = (entry && key == "value") || is_secret_name(key);
                match inner {
                    Value::String(text) if secret && is_keyed_secret(key, text, true) => {
                        *text = placeholder(text);
                    }
                    _ => mask(inner, placeholder, depth + 1),
                }
            }
        }
        _ => {}
    }
}

static MATCHER: LazyLock<Matcher> = LazyLock::new(|| {
    let patterns: Vec<String> = RULES.iter().map(|r| r.pattern()).collect();
    Matcher::new(&patterns).expect("the patterns are constants and compile")
});

#[cfg(test)]
mod tests;
