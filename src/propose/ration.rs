//! How often a model may be asked, over all findings and passes. Pure.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::{SignedDuration, Timestamp};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::code::Refusal;
use crate::propose::Answer;
use crate::propose::memory::Memory;

/// Calls that were made at one time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Spent {
    /// When.
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub at: Timestamp,
    /// How many.
    pub calls: u32,
}

/// The most calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budget {
    /// In any 60 minutes.
    pub per_hour: u32,
    /// In any 24 hours.
    pub per_day: u32,
}

/// How many calls are left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Left {
    /// Of this hour's.
    pub hour: u32,
    /// Of this day's.
    pub day: u32,
}

impl Budget {
    /// How many calls are left now.
    pub fn left<'s>(&self, spent: impl Iterator<Item = &'s Spent>, now: Timestamp) -> Left {
        let (mut hour, mut day) = (0_u32, 0_u32);
        for one in spent {
            let age = now.duration_since(one.at);
            if age < SignedDuration::from_hours(24) {
                day = day.saturating_add(one.calls);
            }
            if age < SignedDuration::from_hours(1) {
                hour = hour.saturating_add(one.calls);
            }
        }
        Left {
            hour: self.per_hour.saturating_sub(hour),
            day: self.per_day.saturating_sub(day),
        }
    }

    /// How many calls may be made now.
    pub fn allowed<'s>(&self, spent: impl Iterator<Item = &'s Spent>, now: Timestamp) -> u32 {
        let Left { hour, day } = self.left(spent, now);
        hour.min(day)
    }
}

/// What was spent in the last day, by all passes of this process and, as far as records tell, by
/// those before it.
#[derive(Debug, Clone, Default)]
pub struct Ledger(Arc<Mutex<Vec<Spent>>>);

impl Ledger {
    /// Adds what records tell. A pass spends at one time, which tells its entry from others': what
    /// this process spent itself and what is recorded of it count once.
    pub fn restore(&self, spent: Vec<Spent>) {
        let mut recorded: BTreeMap<Timestamp, u32> = BTreeMap::new();
        for one in spent {
            let calls = recorded.entry(one.at).or_default();
            *calls = calls.saturating_add(one.calls);
        }
        let mut entries = self.entries();
        for own in entries.iter() {
            let calls = recorded.entry(own.at).or_default();
            *calls = own.calls.max(*calls);
        }
        let all = recorded.into_iter();
        *entries = all.map(|(at, calls)| Spent { at, calls }).collect();
    }

    fn entries(&self) -> MutexGuard<'_, Vec<Spent>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What one pass may ask a model.
#[derive(Debug, Clone)]
pub struct Ration {
    budget: Budget,
    ledger: Ledger,
    now: Timestamp,
    /// What a model had no safe answer to, by the digest of the evidence.
    refusals: BTreeMap<String, Refusal>,
    memory: Memory,
}

impl Ration {
    /// The ration of the pass that begins now.
    pub fn new(
        budget: Budget,
        ledger: Ledger,
        refusals: BTreeMap<String, Refusal>,
        now: Timestamp,
    ) -> Self {
        Self {
            budget,
            ledger,
            now,
            refusals,
            memory: Memory::default(),
        }
    }

    /// With what was said in earlier passes of this process.
    #[must_use]
    pub fn remembering(self, memory: Memory) -> Self {
        Self { memory, ..self }
    }

    /// What was said before to a finding like this, see [`memory::key`](crate::propose::memory::key).
    pub fn recall(&self, key: &str) -> Option<Answer> {
        self.memory.recall(key, self.now)
    }

    /// What was said does not count any more.
    pub fn forget(&self, key: &str) {
        self.memory.forget(key);
    }

    /// Remembers what is said now.
    pub fn keep(&self, key: String, answer: &Answer) {
        self.memory.keep(key, answer.clone(), self.now);
    }

    /// What no pass has set aside.
    pub fn left(&self) -> Left {
        self.budget.left(self.ledger.entries().iter(), self.now)
    }

    /// What was refused before on the same evidence.
    pub fn refused(&self, evidence: &str) -> Option<&Refusal> {
        self.refusals.get(evidence)
    }

    /// Sets up to `most` calls aside; several passes run at a time. Returns how many.
    pub fn reserve(&self, most: u32) -> u32 {
        let mut entries = self.ledger.entries();
        let day = SignedDuration::from_hours(24);
        entries.retain(|s| self.now.duration_since(s.at) < day);
        let granted = most.min(self.budget.allowed(entries.iter(), self.now));
        match entries.iter_mut().find(|s| s.at == self.now) {
            Some(entry) => entry.calls = entry.calls.saturating_add(granted),
            None if granted > 0 => entries.push(Spent {
                at: self.now,
                calls: granted,
            }),
            None => {}
        }
        granted
    }

    /// Gives back what was set aside and not used.
    pub fn give_back(&self, calls: u32) {
        let mut entries = self.ledger.entries();
        if let Some(entry) = entries.iter_mut().find(|s| s.at == self.now) {
            entry.calls = entry.calls.saturating_sub(calls);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const BUDGET: Budget = Budget {
        per_hour: 10,
        per_day: 15,
    };

    fn at(minutes: i64) -> Timestamp {
        Timestamp::from_second(1_767_355_200 + minutes * 60).unwrap()
    }

    fn spent(minutes: i64, calls: u32) -> Spent {
        Spent {
            at: at(minutes),
            calls,
        }
    }

    #[test]
    fn the_tighter_of_hour_and_day_counts() {
        let all = [spent(0, 4), spent(55, 3), spent(70, 2)];
        assert_eq!(BUDGET.allowed(all.iter(), at(59)), 1, "9 in this hour");
        assert_eq!(BUDGET.allowed(all.iter(), at(75)), 5);
        let all = [spent(0, 14)];
        assert_eq!(BUDGET.allowed(all.iter(), at(600)), 1);
        assert_eq!(BUDGET.allowed(all.iter(), at(24 * 60)), 10);
        assert_eq!(BUDGET.allowed([].iter(), at(0)), 10);
    }

    #[test]
    fn passes_at_the_same_time_share_one_ledger() {
        let ledger = Ledger::default();
        ledger.restore(vec![spent(0, 6)]);
        let ration = |minutes| Ration::new(BUDGET, ledger.clone(), BTreeMap::new(), at(minutes));
        let (one, other) = (ration(10), ration(10));
        assert_eq!(
            (one.reserve(3), other.reserve(3), one.reserve(3)),
            (3, 1, 0)
        );
        other.give_back(1);
        assert_eq!(one.reserve(3), 1);
        let left = ration(61).left();
        assert_eq!(left, Left { hour: 6, day: 5 });
        assert_eq!(ration(61).reserve(100), 5, "the day counts: 15 without 10");
        assert_eq!(ration(61).left(), Left { hour: 1, day: 0 });
    }
}
