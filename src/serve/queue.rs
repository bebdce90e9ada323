//! Which repository is looked at next. Pure.
//!
//! One key waits at most once, and is worked on at most once at a time. A wake that arrives while
//! its key is worked on causes one more run afterwards: what it told may have come too late for
//! the run that is under way.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// What became of a wake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pushed {
    /// It waits now.
    Queued,
    /// It was waiting already, or runs once more after the run that is under way.
    Merged,
    /// There is no room. Nothing was kept.
    Full,
}

/// Keys that wait, in their order, and keys that are worked on.
#[derive(Debug)]
pub struct Queue<K> {
    most: usize,
    waiting: VecDeque<K>,
    known: BTreeSet<K>,
    /// What is worked on, and whether it runs once more.
    running: BTreeMap<K, bool>,
}

impl<K: Ord + Clone> Queue<K> {
    /// At most `most` keys wait.
    pub fn new(most: usize) -> Self {
        Self {
            most,
            waiting: VecDeque::new(),
            known: BTreeSet::new(),
            running: BTreeMap::new(),
        }
    }

    /// A wake.
    pub fn push(&mut self, key: K) -> Pushed {
        if let Some(again) = self.running.get_mut(&key) {
            *again = true;
            return Pushed::Merged;
        }
        if self.known.contains(&key) {
            return Pushed::Merged;
        }
        if self.waiting.len() >= self.most {
            return Pushed::Full;
        }
        self.enqueue(key);
        Pushed::Queued
    }

    /// A wake for which there is always room: of the sweep, whose keys are few and known. With a
    /// bound, the last of them would never have their turn.
    pub fn push_known(&mut self, key: K) -> Pushed {
        match self.push(key.clone()) {
            Pushed::Full => {
                self.enqueue(key);
                Pushed::Queued
            }
            pushed => pushed,
        }
    }

    /// The key that waits longest; it is worked on from now until [`Queue::done`].
    pub fn take(&mut self) -> Option<K> {
        let key = self.waiting.pop_front()?;
        self.known.remove(&key);
        self.running.insert(key.clone(), false);
        Some(key)
    }

    /// The run of a key ended. It goes to the end of the queue if it was woken meanwhile; there is
    /// always room for that, since at most as many keys come back as there are workers.
    pub fn done(&mut self, key: &K) {
        if self.running.remove(key) == Some(true) {
            self.enqueue(key.clone());
        }
    }

    /// How many keys wait.
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// How many keys are worked on.
    pub fn running(&self) -> usize {
        self.running.len()
    }

    fn enqueue(&mut self, key: K) {
        self.known.insert(key.clone());
        self.waiting.push_back(key);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn keys_come_in_their_order_and_once() {
        let mut queue = Queue::new(10);
        assert_eq!(queue.push("a"), Pushed::Queued);
        assert_eq!(queue.push("b"), Pushed::Queued);
        assert_eq!(queue.push("a"), Pushed::Merged);
        assert_eq!(queue.take(), Some("a"));
        assert_eq!(queue.take(), Some("b"));
        assert_eq!(queue.take(), None);
    }

    /// Row 57: what arrives while the worker runs is not lost, and is one run, not many.
    #[test]
    fn a_wake_during_the_run_causes_one_more_run() {
        let mut queue = Queue::new(10);
        queue.push("a");
        queue.take();
        queue.push("b");
        for _ in 0..100 {
            assert_eq!(queue.push("a"), Pushed::Merged);
        }
        assert_eq!(queue.take(), Some("b"), "never twice at a time");
        assert_eq!(queue.take(), None);
        queue.done(&"a");
        assert_eq!(queue.take(), Some("a"));
        queue.done(&"a");
        queue.done(&"b");
        assert_eq!((queue.take(), queue.running()), (None, 0));
    }

    #[test]
    fn a_full_queue_keeps_nothing_new_but_still_merges() {
        let mut queue = Queue::new(1);
        queue.push("a");
        assert_eq!(queue.push("b"), Pushed::Full);
        assert_eq!(queue.push("a"), Pushed::Merged);
        assert_eq!(queue.push_known("a"), Pushed::Merged);
        assert_eq!(queue.waiting(), 1);
        queue.take();
        assert_eq!(queue.push("b"), Pushed::Queued);
        assert_eq!(queue.push("a"), Pushed::Merged);
        queue.done(&"a");
        assert_eq!(queue.waiting(), 2, "a run that is owed is never dropped");
    }

    #[test]
    fn the_sweep_has_room_for_all() {
        let mut queue = Queue::new(1);
        for key in 0..100 {
            assert_eq!(queue.push_known(key), Pushed::Queued);
        }
        assert_eq!((queue.waiting(), queue.push(100)), (100, Pushed::Full));
    }

    #[derive(Debug, Clone)]
    enum Step {
        Push(u8),
        Next,
        Done(usize),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            3 => (0..6_u8).prop_map(Step::Push),
            2 => Just(Step::Next),
            2 => any::<usize>().prop_map(Step::Done),
        ]
    }

    proptest! {
        /// Each accepted wake is followed by the start of a run, no key runs twice at a time, and
        /// the queue stays within its bound (and what is owed to running keys).
        #[test]
        fn every_wake_is_followed_by_a_run(steps in proptest::collection::vec(step(), 0..80)) {
            let mut queue = Queue::new(3);
            let mut running: Vec<u8> = Vec::new();
            let mut owed: BTreeSet<u8> = BTreeSet::new();
            for step in steps {
                match step {
                    Step::Push(key) => if queue.push(key) != Pushed::Full { owed.insert(key); },
                    Step::Next => if let Some(key) = queue.take() {
                        prop_assert!(!running.contains(&key));
                        prop_assert!(owed.remove(&key), "nothing runs unasked");
                        running.push(key);
                    },
                    Step::Done(at) if !running.is_empty() => {
                        let key = running.swap_remove(at % running.len());
                        queue.done(&key);
                    }
                    Step::Done(_) => {}
                }
                prop_assert!(queue.waiting() <= 3 + 6);
                prop_assert_eq!(queue.running(), running.len());
            }
            for _ in 0..20 {
                for key in std::mem::take(&mut running) { queue.done(&key); }
                while let Some(key) = queue.take() { owed.remove(&key); running.push(key); }
            }
            prop_assert!(owed.is_empty(), "lost: {:?}", owed);
        }
    }
}
