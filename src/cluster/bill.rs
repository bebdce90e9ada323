//! What a pass spent is written down as soon as it is known: the pass may end early, hang, panic, or be killed.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use tokio::runtime::Handle;

use super::Keeper;
use crate::remediation::Survey;

/// The spending of one pass. It is written down when it is known, by a task of its own, and with all else that
/// the pass saw in the end: records count the spending of a pass once.
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
        self.write_down();
    }

    /// Writes down what the pass saw; where it ended too early to see anything, what it spent.
    pub async fn settle(self, survey: &Survey) {
        let spent = self.spent().clone();
        let survey = match survey.repository.is_empty() {
            true => &spent,
            false => survey,
        };
        self.keeper.keep(survey, self.term, self.begun).await;
        *self.spent() = Survey::default();
    }

    fn write_down(&self) {
        let spent = self.spent().clone();
        let Ok(runtime) = Handle::try_current() else {
            return;
        };
        if spent.seen.is_empty() {
            return;
        }
        let (keeper, term, begun) = (Arc::clone(&self.keeper), self.term, self.begun);
        runtime.spawn(async move { keeper.keep(&spent, term, begun).await });
    }

    fn spent(&self) -> MutexGuard<'_, Survey> {
        self.spent.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Bill {
    fn drop(&mut self) {
        // the first time may have failed
        self.write_down();
    }
}
