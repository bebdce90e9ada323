//! What a command changes in the hidden state of a pull request, question or dashboard. Pure.
//!
//! Every change gives the same result when it is made twice: a pass that was killed before it
//! answered makes it again.

use jiff::Timestamp;

use crate::command::{MAX_TEXT, MAX_VALUES};
use crate::evidence::redact;
use crate::forge::decide::IGNORED;
use crate::forge::marker::{Marker, Paused};
use crate::message;

/// The most hints that are kept, the newest.
pub const MAX_HINTS: usize = 5;

/// A change of a marker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// An option was chosen.
    Chosen(usize),
    /// Values were given.
    Set(Vec<(String, String)>),
    /// A hint was given.
    Hint(String),
    /// Ignored until then.
    Ignore(Timestamp),
    /// Not ignored any more; what is open goes on.
    Unignore,
    /// Not ignored any more; a pull request that people closed may come back, now or later. The marker says that
    /// the label was set, and the label is not there: this is how the life cycle knows.
    Allow,
    /// `recreate@<head>`, `approve=<fingerprint>@`.
    Pending(String),
    /// Something that was pending is done.
    Settled(String),
    /// The dashboard: paused.
    Pause(Paused),
    /// The dashboard: not paused any more.
    Resume,
}

/// Makes one change.
pub fn apply(marker: &mut Marker, change: &Change) {
    match change {
        Change::Chosen(option) => {
            marker.chosen = Some(*option);
            marker.chosen_of = marker.options.clone();
            // the last answer counts
            marker.set.clear();
        }
        Change::Set(values) => {
            marker.chosen = None;
            marker.chosen_of.clear();
            values.iter().for_each(|(k, v)| set(marker, k, v));
        }
        Change::Hint(text) => hint(marker, text),
        Change::Ignore(until) => {
            marker.ignored_until = Some(*until);
            add(&mut marker.labels, IGNORED);
        }
        Change::Unignore => {
            marker.ignored_until = None;
            marker.labels.retain(|l| l != IGNORED);
        }
        Change::Allow => {
            marker.ignored_until = None;
            add(&mut marker.labels, IGNORED);
        }
        Change::Pending(what) => pending(marker, what),
        Change::Settled(what) => marker.pending.retain(|p| p != what),
        Change::Pause(paused) => {
            // who was first stays
            marker.paused.get_or_insert_with(|| paused.clone());
        }
        Change::Resume => marker.paused = None,
    }
}

fn set(marker: &mut Marker, key: &str, value: &str) {
    let same = |pair: &String| pair.split_once('=').is_some_and(|(k, _)| k == key);
    marker.set.retain(|pair| !same(pair));
    marker.set.push(format!("{key}={value}"));
    let extra = marker.set.len().saturating_sub(MAX_VALUES);
    marker.set.drain(..extra);
}

fn hint(marker: &mut Marker, text: &str) {
    let text = safe_hint(text);
    if text.is_empty() {
        return;
    }
    marker.hints.retain(|h| *h != text);
    marker.hints.push(text);
    let extra = marker.hints.len().saturating_sub(MAX_HINTS);
    marker.hints.drain(..extra);
}

/// The first entry of a kind stays as long as its head does: it names the head that was there when
/// it was asked for.
fn pending(marker: &mut Marker, what: &str) {
    let kind = what.split('@').next().unwrap_or_default();
    let same_kind = |p: &String| p.split('@').next() == Some(kind);
    if !marker.pending.iter().any(same_kind) {
        marker.pending.push(what.to_owned());
    }
}

fn add(list: &mut Vec<String>, item: &str) {
    if !list.iter().any(|l| l == item) {
        list.push(item.to_owned());
    }
}

/// A hint as it is stored: no credential, nothing unseen, capped.
pub fn safe_hint(text: &str) -> String {
    let text = redact::text(&message::clean(text)).into_string();
    text.chars()
        .take(MAX_TEXT)
        .collect::<String>()
        .trim()
        .to_owned()
}

/// Whether a value (or what its key says about it) is a credential.
pub fn is_secret(key: &str, value: &str) -> bool {
    let pair = format!("{key}={value}");
    redact::is_secret_name(key)
        || *redact::text(value) != *value
        || *redact::text(&pair) != *pair.as_str()
        || redact::holds_placeholder(value)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn after(changes: &[Change]) -> Marker {
        let mut marker = Marker {
            options: "0123456789ab".into(),
            ..Marker::default()
        };
        changes.iter().for_each(|c| apply(&mut marker, c));
        marker
    }

    fn values(pairs: &[(&str, &str)]) -> Change {
        Change::Set(
            pairs
                .iter()
                .map(|(k, v)| ((*k).into(), (*v).into()))
                .collect(),
        )
    }

    #[test]
    fn every_change_is_the_same_when_made_twice() {
        let all = [
            Change::Chosen(2),
            values(&[("a", "1"), ("b", "2")]),
            Change::Hint("more".into()),
            Change::Ignore(Timestamp::MAX),
            Change::Unignore,
            Change::Allow,
            Change::Pending("retry@abc".into()),
            Change::Settled("retry@abc".into()),
            Change::Pause(Paused {
                by: "ann".into(),
                since: Timestamp::UNIX_EPOCH,
            }),
            Change::Resume,
        ];
        for change in all {
            let once = after(std::slice::from_ref(&change));
            assert_eq!(after(&[change.clone(), change.clone()]), once, "{change:?}");
        }
    }

    #[test]
    fn the_last_answer_counts() {
        let marker = after(&[values(&[("a", "1")]), Change::Chosen(2)]);
        assert_eq!((marker.chosen, marker.set.len()), (Some(2), 0));
        assert_eq!(marker.chosen_of, "0123456789ab");
        let marker = after(&[
            Change::Chosen(2),
            values(&[("a", "1")]),
            values(&[("a", "3")]),
        ]);
        assert_eq!((marker.chosen, marker.set), (None, vec!["a=3".to_owned()]));
    }

    #[test]
    fn hints_are_few_short_and_hold_no_credential() {
        let many: Vec<Change> = (0..9).map(|i| Change::Hint(format!("hint {i}"))).collect();
        assert_eq!(after(&many).hints.len(), MAX_HINTS);
        let long = after(&[Change::Hint("x".repeat(9_000))]);
        assert_eq!(long.hints[0].chars().count(), MAX_TEXT);
        let token = format!("ghp_{}", "Ab1".repeat(12));
        let secret = after(&[Change::Hint(format!("use {token}"))]);
        assert!(!secret.hints[0].contains(&token));
    }

    #[test]
    fn credentials_are_no_values() {
        assert!(is_secret("DB_PASSWORD", "hunter2"));
        assert!(is_secret("url", "postgres://u:s3cr3tpw@db/x"));
        assert!(is_secret("x", &format!("ghp_{}", "Ab1".repeat(12))));
        assert!(!is_secret("limit.memory", "512Mi"));
        assert!(!is_secret("image", "registry.example/app:1.2.3"));
    }

    #[test]
    fn the_first_head_of_something_pending_stays() {
        let marker = after(&[
            Change::Pending("retry@one".into()),
            Change::Pending("retry@two".into()),
            Change::Pending("recreate@two".into()),
        ]);
        assert_eq!(marker.pending, ["retry@one", "recreate@two"]);
    }
}
