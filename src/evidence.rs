//! gather: everything that is known around a finding, bounded, ordered and citable. Pure.
//!
//! Nothing leaves this module that did not go through [`redact`].

use std::collections::BTreeSet;

use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::case::Case;

pub mod redact;

mod cluster;
pub(crate) mod difference;
mod git;
mod print;
mod signs;

pub use signs::{Sign, signs};

use redact::{Redacted, Redactor};

/// The most characters of one item.
pub const MAX_ITEM: usize = 3_000;
/// The most characters of all items together: about 3,500 tokens at four characters a token.
pub const MAX_TOTAL: usize = 14_000;
/// The most items.
pub const MAX_ITEMS: usize = 40;

/// One citable piece of evidence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// `E1`, `E2`, …
    pub id: String,
    /// What it is.
    pub title: Redacted,
    /// The text, redacted and capped.
    pub text: Redacted,
}

/// Everything that is known around a finding.
#[derive(Debug, Clone, Default)]
pub struct Evidence {
    /// The pieces, in order.
    pub items: Vec<Item>,
    redactor: Redactor,
}

impl Evidence {
    /// SHA-256 over all items, in hex.
    pub fn digest(&self) -> String {
        let hash = Sha256::digest(self.to_text().as_bytes());
        hash.iter().map(|b| format!("{b:02x}")).collect()
    }

    /// All items as plain text.
    pub fn to_text(&self) -> String {
        self.items
            .iter()
            .map(|i| format!("{} {}\n{}\n\n", i.id, i.title, i.text))
            .collect()
    }

    /// One item by its id.
    pub fn item(&self, id: &str) -> Option<&Item> {
        self.items.iter().find(|i| i.id == id)
    }

    /// Redaction that knows the secrets of this case: for every other text about it.
    pub fn redactor(&self) -> &Redactor {
        &self.redactor
    }
}

/// Gathers the evidence for a case.
pub fn gather(case: &Case<'_>) -> Evidence {
    let redactor = redactor(case);
    let mut drafts = finding(case);
    drafts.extend(cluster::drafts(case, &redactor));
    drafts.extend(git::drafts(case, &redactor));
    drafts.retain(|d| !d.text.trim().is_empty());
    for draft in &mut drafts {
        draft.text = visible(&draft.text);
        draft.title = visible(&draft.title);
    }
    drafts.sort_by_key(|d| d.rank);
    let redactor = redactor.learn(drafts.iter().map(|d| d.text.as_str()), []);
    let items = number(fit(drafts), &redactor);
    Evidence { items, redactor }
}

/// The names of the objects of one kind that a value refers to.
pub(crate) fn referenced(value: &Value, kind: &str) -> BTreeSet<String> {
    let mut all = BTreeSet::new();
    cluster::collect(value, &mut all, 0);
    let wanted = all.into_iter().filter(|(k, _)| k == kind);
    wanted.map(|(_, name)| name).collect()
}

/// A piece of evidence before it is redacted and numbered. Private: a draft may hold secrets.
struct Draft {
    /// Order, and what is kept when space is short: the lower the better.
    rank: u8,
    title: String,
    text: String,
    /// The most characters of it, at most [`MAX_ITEM`].
    cap: usize,
    /// Which end is kept when it is cut.
    keep: Keep,
}

/// Which end of a text says more.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Keep {
    Front,
    /// The last lines of a log.
    End,
}

impl Draft {
    fn new(rank: u8, title: impl Into<String>, text: impl Into<String>) -> Self {
        Self {
            rank,
            title: title.into(),
            text: text.into(),
            cap: MAX_ITEM,
            keep: Keep::Front,
        }
    }

    fn cap(self, cap: usize) -> Self {
        Self { cap, ..self }
    }

    fn keep_end(self) -> Self {
        Self {
            keep: Keep::End,
            ..self
        }
    }
}

/// The finding itself and the report that started the run.
fn finding(case: &Case<'_>) -> Vec<Draft> {
    let f = case.finding;
    // no colon behind the class: `MissingSecret: x` would read like a secret and its value
    let mut text = format!("{} - {}\n", f.class, f.summary);
    for (name, value) in [("reason", &f.reason), ("message", &f.message)] {
        if !value.is_empty() {
            text.push_str(&format!("{name}: {value}\n"));
        }
    }
    for (name, value) in &f.facts {
        if name != crate::finding::fact::LOG_TAIL {
            text.push_str(&format!("{name}: {value}\n"));
        }
    }
    let mut out = vec![Draft::new(0, format!("finding: {}", f.object), text)];
    if let Some(report) = case.report.filter(|r| !r.text.is_empty()) {
        let title = format!("report ({})", report.kind);
        out.push(Draft::new(1, title, report.text.as_str()).cap(2_000));
    }
    let others: Vec<String> = case
        .others
        .iter()
        .filter(|o| *o != f)
        .map(other)
        .take(8)
        .collect();
    out.push(Draft::new(9, "other findings of the same run", others.join("\n")).cap(1_000));
    out
}

fn other(f: &crate::finding::Finding) -> String {
    format!("{} - {}", f.class, f.summary)
}

/// Redaction that has seen every object of the case, shown or not.
fn redactor(case: &Case<'_>) -> Redactor {
    let git = case.desired.iter().map(|d| &d.object.value);
    let live = case.snapshot.objects().iter().map(|o| &o.value);
    let before = case.earlier.iter().map(|e| &e.object.value);
    Redactor::default().learn([], git.chain(live).chain(before).take(MAX_LEARNED))
}

/// The most objects that are searched for secrets.
const MAX_LEARNED: usize = 5_000;

/// The drafts that fit into the caps, best first.
fn fit(drafts: Vec<Draft>) -> Vec<Draft> {
    let mut left = MAX_TOTAL;
    let mut out = Vec::new();
    for mut draft in drafts.into_iter().take(MAX_ITEMS) {
        draft.title = capped(&draft.title, 200, Keep::Front);
        let room = left.saturating_sub(draft.title.len() + 8);
        if room < 80 {
            break;
        }
        draft.text = capped(draft.text.trim_end(), draft.cap.min(room), draft.keep);
        left -= draft.title.len() + 8 + draft.text.len().min(room);
        out.push(draft);
    }
    out
}

/// At most `max` bytes of a text, whole lines where possible, with a mark where it was cut.
fn capped(text: &str, max: usize, keep: Keep) -> String {
    const MARK: &str = "[cut]";
    if text.len() <= max {
        return text.to_owned();
    }
    let room = max.saturating_sub(MARK.len() + 1);
    match keep {
        Keep::Front => {
            let end = (0..=room).rev().find(|i| text.is_char_boundary(*i));
            let front = text.get(..end.unwrap_or(0)).unwrap_or_default();
            let whole = front.rfind('\n').filter(|i| *i > room / 2);
            let front = whole.map_or(front, |i| front.get(..i).unwrap_or_default());
            format!("{front}\n{MARK}")
        }
        Keep::End => {
            let from = text.len() - room;
            let start = (from..text.len()).find(|i| text.is_char_boundary(*i));
            let end = text.get(start.unwrap_or(from)..).unwrap_or_default();
            let whole = end.find('\n').filter(|i| *i < room / 2);
            let end = whole.map_or(end, |i| end.get(i + 1..).unwrap_or_default());
            format!("{MARK}\n{end}")
        }
    }
}

/// Characters that a person does not see, or that change the order of others.
pub fn is_unseen(c: char) -> bool {
    (c.is_control() && c != '\n' && c != '\t')
        || matches!(c,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}'
            | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}'
            | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}')
}

/// A text without characters that are not seen. It comes before redaction: a secret with a
/// zero-width space inside is a secret.
pub fn visible(text: &str) -> String {
    text.chars().filter(|c| !is_unseen(*c)).collect()
}

fn number(drafts: Vec<Draft>, redactor: &Redactor) -> Vec<Item> {
    drafts
        .into_iter()
        .enumerate()
        .map(|(i, draft)| Item {
            id: format!("E{}", i + 1),
            title: redactor.text(&draft.title),
            text: redactor.text(&draft.text),
        })
        .collect()
}

/// An object as YAML, for reading only: without the server's bookkeeping, secrets masked.
pub(crate) fn yaml(object: &Value, redactor: &Redactor) -> String {
    let mut shown = redactor.object(object);
    crate::snapshot::drop_secret_values(&mut shown);
    if let Some(meta) = shown.get_mut("metadata").and_then(Value::as_object_mut) {
        for noise in [
            "managedFields",
            "resourceVersion",
            "generation",
            "uid",
            "creationTimestamp",
            "selfLink",
        ] {
            meta.shift_remove(noise);
        }
        if let Some(Value::Object(annotations)) = meta.get_mut("annotations") {
            annotations.shift_remove("kubectl.kubernetes.io/last-applied-configuration");
        }
    }
    print::yaml(&shown)
}

#[cfg(test)]
mod tests;
