//! What a pass spent is written down even when the pass ends early, hangs, or panics.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use tokio::runtime::Handle;

use super::Keeper;
use crate::remediation::Survey;

/// The spending of one pass, from when it is known until it is written down. Dropped before that, it
/// is written by a task of its own.
pub struct Bill {
    keeper: Arc<Keeper>,
    term: u64,
    /// The pass's time in the ledger and in records.
    begun: Timestamp,
    spent: Mutex<Survey>,
}

impl Bill {
    /// The bill of the pass that begins now.
    pub fn new(keeper: Arc<Keeper>, term: u64, begun: Timestamp) -> Self {
        Self {
            keeper,
            term,
            begun,
            spent: Mutex::default(),
        }
    }

    /// What was spent, as soon as it is known.
    pub fn add(&self, spent: Survey) {
        *self.spent() = spent;
    }

    /// Writes down what the pass saw; where it ended too early to see anything, what it spent.
    pub async fn settle(self, survey: &Survey) {
        let spent = self.spent().clone();
        let survey = match survey.repository.is_empty() {
            true => &spent,
            false => survey,
        };
        self.keeper.keep(survey, self.term, self.begun).await;
        self.add(Survey::default());
    }

    fn spent(&self) -> MutexGuard<'_, Survey> {
        self.spent.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Bill {
    fn drop(&mut self) {
        let spent = std::mem::take(&mut *self.spent());
        let Ok(runtime) = Handle::try_current() else {
            return;
        };
        if spent.seen.is_empty() {
            return;
        }
        let (keeper, term, begun) = (Arc::clone(&self.keeper), self.term, self.begun);
        runtime.spawn(async move { keeper.keep(&spent, term, begun).await });
    }
}
