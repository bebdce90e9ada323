//! Delivery ids that were accepted already. Pure, bounded in number and age.
//!
//! Best effort: it is lost with the process, and that is harmless, because a delivery only wakes
//! the worker, and a pass over a repository that needs nothing writes nothing.

use std::collections::{BTreeSet, VecDeque};

use jiff::{SignedDuration, Timestamp};

/// How long an id is kept.
pub const AGE: SignedDuration = SignedDuration::from_hours(7 * 24);

/// The ids, oldest first.
#[derive(Debug)]
pub struct Seen {
    most: usize,
    order: VecDeque<(Timestamp, Box<str>)>,
    ids: BTreeSet<Box<str>>,
}

impl Seen {
    /// Keeps at most `most` ids; the oldest go first.
    pub fn new(most: usize) -> Self {
        Self {
            most,
            order: VecDeque::new(),
            ids: BTreeSet::new(),
        }
    }

    /// Whether this id was accepted within the last seven days.
    pub fn contains(&mut self, id: &str, now: Timestamp) -> bool {
        self.forget(now);
        self.ids.contains(id)
    }

    /// Remembers an id. Only what was accepted is remembered, so that a delivery that was turned
    /// away can be sent again.
    pub fn insert(&mut self, id: &str, now: Timestamp) {
        self.forget(now);
        if self.most == 0 || !self.ids.insert(id.into()) {
            return;
        }
        if self.order.len() >= self.most {
            self.drop_oldest();
        }
        self.order.push_back((now, id.into()));
    }

    /// How many are kept.
    pub fn len(&self) -> usize {
        self.order.len()
    }

    /// Whether none is kept.
    pub fn is_empty(&self) -> bool {
        self.order.is_empty()
    }

    fn forget(&mut self, now: Timestamp) {
        while self
            .order
            .front()
            .is_some_and(|(at, _)| now.duration_since(*at) > AGE)
        {
            self.drop_oldest();
        }
    }

    fn drop_oldest(&mut self) {
        if let Some((_, id)) = self.order.pop_front() {
            self.ids.remove(&id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(hours: i64) -> Timestamp {
        Timestamp::UNIX_EPOCH + SignedDuration::from_hours(hours)
    }

    #[test]
    fn an_id_counts_for_seven_days() {
        let mut seen = Seen::new(10);
        seen.insert("a", at(0));
        assert!(seen.contains("a", at(7 * 24)));
        assert!(!seen.contains("b", at(1)));
        assert!(!seen.contains("a", at(7 * 24 + 1)));
        assert!(seen.is_empty());
    }

    #[test]
    fn a_flood_keeps_the_newest() {
        let mut seen = Seen::new(3);
        for n in 0..1_000 {
            seen.insert(&n.to_string(), at(0));
            seen.insert(&n.to_string(), at(0));
        }
        assert_eq!((seen.len(), seen.ids.len()), (3, 3));
        assert!(seen.contains("999", at(0)) && seen.contains("997", at(0)));
        assert!(!seen.contains("996", at(0)));
        let mut none = Seen::new(0);
        none.insert("a", at(0));
        assert!(!none.contains("a", at(0)) && none.is_empty());
    }

    #[test]
    fn a_clock_that_goes_back_forgets_nothing() {
        let mut seen = Seen::new(3);
        seen.insert("a", at(100));
        assert!(seen.contains("a", at(0)));
    }
}
