//! What a model said to a finding, for as long as nothing changes that the answer rests on: a pull request
//! that is open for days is no reason to ask the same again in every pass. Pure.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::{SignedDuration, Timestamp};
use sha2::{Digest as _, Sha256};

use crate::case::Case;
use crate::evidence::Evidence;
use crate::propose::Answer;
use crate::propose::scope::Scope;

/// So long an answer counts.
const DAY: SignedDuration = SignedDuration::from_hours(24);
/// A "no" counts less long: the next logs may say more.
const HOUR: SignedDuration = SignedDuration::from_hours(1);
/// The most answers that are remembered.
const MOST: usize = 1_000;

/// The answers of one process, for all of its passes.
#[derive(Debug, Clone, Default)]
pub struct Memory(Arc<Mutex<BTreeMap<String, Remembered>>>);

#[derive(Debug)]
struct Remembered {
    at: Timestamp,
    answer: Answer,
}

impl Remembered {
    fn counts(&self, now: Timestamp) -> bool {
        let age = match self.answer {
            Answer::Fix(_) | Answer::Ask(_) => DAY,
            Answer::Refuse(_) => HOUR,
        };
        now.duration_since(self.at) < age
    }
}

impl Memory {
    /// What was said before.
    pub fn recall(&self, key: &str, now: Timestamp) -> Option<Answer> {
        let all = self.all();
        let hit = all.get(key).filter(|r| r.counts(now))?;
        Some(hit.answer.clone())
    }

    /// What was said does not count any more.
    pub fn forget(&self, key: &str) {
        self.all().remove(key);
    }

    /// Remembers what is said now.
    pub fn keep(&self, key: String, answer: Answer, now: Timestamp) {
        let mut all = self.all();
        all.retain(|_, r| r.counts(now));
        if all.len() >= MOST {
            let oldest = all.iter().min_by_key(|(_, r)| r.at);
            let oldest = oldest.map(|(key, _)| key.clone());
            oldest.map(|key| all.remove(&key));
        }
        all.insert(key, Remembered { at: now, answer });
    }

    fn all(&self) -> MutexGuard<'_, BTreeMap<String, Remembered>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What an answer rests on: what is wrong, what Git says of all that may be changed, what people said, and
/// what it cites. Only the counts and times in what changes all the time are left out.
pub fn key(case: &Case<'_>, scope: &Scope, evidence: &Evidence) -> String {
    let finding = case.finding;
    let mut hash = Sha256::new();
    let mut add = |text: &str| {
        hash.update(text.len().to_be_bytes());
        hash.update(text);
    };
    add(&finding.class.to_string());
    add(&finding.object.to_string());
    add(finding.container.as_deref().unwrap_or_default());
    add(&finding.reason);
    for desired in case.desired {
        if scope
            .objects
            .iter()
            .any(|o| o.same_object(&desired.object.reference()))
        {
            add(&desired.file);
            add(&desired.object.value.to_string());
        }
    }
    case.said.hints.iter().for_each(|hint| add(hint));
    for item in &evidence.items {
        let title = item.title.as_str();
        add(&item.id);
        add(title);
        match RESTLESS.iter().any(|r| title.starts_with(r)) {
            true => add(&without_numbers(item.text.as_str())),
            false => add(item.text.as_str()),
        }
    }
    hash.finalize().iter().map(|b| format!("{b:02x}")).collect()
}

/// Evidence that says the same with other numbers in every pass.
const RESTLESS: &[&str] = &[
    "finding: ",
    "status of ",
    "containers of ",
    "log of ",
    "events",
    "other findings",
];

fn without_numbers(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c.is_ascii_digit() {
            true if out.ends_with('#') => {}
            true => out.push('#'),
            false => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::code::{Code, Refusal};

    fn at(minutes: i64) -> Timestamp {
        Timestamp::from_second(1_767_355_200 + minutes * 60).unwrap()
    }

    fn no() -> Answer {
        Answer::Refuse(Refusal::new(Code::NoSafeFix, "no"))
    }

    #[test]
    fn a_no_counts_for_an_hour() {
        let memory = Memory::default();
        memory.keep("a".to_owned(), no(), at(0));
        assert_eq!(memory.recall("a", at(59)), Some(no()));
        assert_eq!(memory.recall("a", at(60)), None);
        assert_eq!(memory.recall("b", at(0)), None);
    }

    #[test]
    fn the_oldest_goes_first() {
        let memory = Memory::default();
        for n in 0..=MOST {
            let at = Timestamp::from_second(1_767_355_200 + i64::try_from(n).unwrap()).unwrap();
            memory.keep(n.to_string(), no(), at);
        }
        assert_eq!(memory.recall("0", at(0)), None);
        assert!(memory.recall("1", at(0)).is_some());
    }
}
