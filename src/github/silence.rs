//! Threads in which nothing waits for an answer: nothing of them is read again as long as GitHub says
//! that nothing changed there. Bounded, and never for long: what is read is the truth.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use jiff::{SignedDuration, Timestamp};

/// The most threads.
const MOST: usize = 20_000;
/// So long after its last change a thread counts as silent: the times of GitHub are whole seconds, and
/// its lists may lag behind.
const SETTLED: SignedDuration = SignedDuration::from_secs(60);
/// After so long it is read again, whatever the lists say.
const AGAIN: SignedDuration = SignedDuration::from_mins(10);

/// What was silent when it was read last, by repository and number.
#[derive(Default)]
pub(super) struct Silence(Mutex<HashMap<(String, u64), Silent>>);

struct Silent {
    /// When the thread was changed last.
    updated: Timestamp,
    read: Timestamp,
}

impl Silence {
    fn known(&self) -> MutexGuard<'_, HashMap<(String, u64), Silent>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether nothing can have been said since it was read.
    pub(super) fn holds(
        &self,
        repository: &str,
        number: u64,
        updated: Timestamp,
        now: Timestamp,
    ) -> bool {
        let known = self.known();
        let silent = known.get(&(repository.to_owned(), number));
        silent.is_some_and(|s| s.updated == updated && now.duration_since(s.read) < AGAIN)
    }

    /// It was read now, and something or nothing waits there.
    pub(super) fn note(
        &self,
        repository: &str,
        number: u64,
        updated: Timestamp,
        now: Timestamp,
        waits: bool,
    ) {
        let mut known = self.known();
        let key = (repository.to_owned(), number);
        if waits || now.duration_since(updated) < SETTLED {
            known.remove(&key);
            return;
        }
        if known.len() >= MOST {
            known.clear();
        }
        let read = now;
        known.insert(key, Silent { updated, read });
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_767_355_200 + seconds).unwrap()
    }

    #[test]
    fn silence_ends_with_a_change_and_with_time() {
        let silence = Silence::default();
        let holds = |updated, now| silence.holds("acme/gitops", 7, at(updated), at(now));
        assert!(!holds(0, 100), "never read");
        silence.note("acme/gitops", 7, at(0), at(100), false);
        assert!(holds(0, 101));
        assert!(!holds(90, 101), "changed");
        assert!(!silence.holds("acme/gitops", 8, at(0), at(101)));
        assert!(!silence.holds("acme/other", 7, at(0), at(101)));
        assert!(!holds(0, 100 + 600), "read long ago");
    }

    #[test]
    fn what_changed_just_now_or_waits_is_read_again() {
        let silence = Silence::default();
        let holds = || silence.holds("acme/gitops", 7, at(0), at(120));
        silence.note("acme/gitops", 7, at(0), at(59), false);
        assert!(!holds(), "another comment may have the same second");
        silence.note("acme/gitops", 7, at(0), at(60), false);
        assert!(holds());
        silence.note("acme/gitops", 7, at(0), at(70), true);
        assert!(!holds(), "a command waits there");
    }
}
