//! How fast we may go: one writer, budgets of what is created, and GitHub's limits. All waiting for
//! them is done here. One governor belongs to one installation.

use std::collections::VecDeque;
use std::sync::Mutex as StdMutex;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::{Mutex, MutexGuard, Semaphore, SemaphorePermit};
use tokio::time::{Instant, sleep_until};

use super::{Error, Result};

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);
/// The longest time that a limit is believed.
const LONGEST: Duration = Duration::from_secs(24 * 3600);
/// How long to wait on a limit that names no time, and the most after several in a row.
const UNNAMED: Duration = MINUTE;
const UNNAMED_MOST: Duration = Duration::from_secs(900);

/// How fast we may go, and how long we wait.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pace {
    /// The pause between two writes of one installation.
    pub between_writes: Duration,
    /// The most creations in a minute.
    pub per_minute: usize,
    /// The most creations in an hour.
    pub per_hour: usize,
    /// The most requests at the same time.
    pub concurrent: usize,
    /// The longest wait for a limit; a longer one is returned as [`Error::Limited`].
    pub patience: Duration,
    /// How often what is safe to repeat is sent, the first time included.
    pub attempts: u32,
    /// The wait before the first repetition; it doubles, and varies by chance.
    pub backoff: Duration,
    /// The longest that one request may take.
    pub timeout: Duration,
}

impl Default for Pace {
    /// What GitHub asks for.
    fn default() -> Self {
        Self {
            between_writes: Duration::from_secs(1),
            per_minute: 80,
            per_hour: 500,
            concurrent: 100,
            patience: MINUTE,
            attempts: 3,
            backoff: Duration::from_millis(500),
            timeout: MINUTE,
        }
    }
}

impl Pace {
    /// No pauses and no budgets: for a server on this very machine, which is ours alone.
    pub fn unhurried() -> Self {
        Self {
            between_writes: Duration::ZERO,
            per_minute: usize::MAX,
            per_hour: usize::MAX,
            backoff: Duration::ZERO,
            ..Self::default()
        }
    }
}

/// Which of GitHub's limits a request counts against.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Resource {
    Rest,
    GraphQl,
}

/// A limit that was met.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Limit {
    /// For how long; `None` when GitHub does not say.
    pub(super) wait: Option<Duration>,
    /// Whether it holds for everything, or for one resource.
    pub(super) only: Option<Resource>,
    pub(super) message: String,
}

/// What a request does, as far as pacing goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Load {
    /// Reads, or makes a token: many at the same time.
    Light,
    /// Changes something: one after the other.
    Write,
    /// Creates something that people are told about: within the budgets.
    Create,
}

/// The right to send one request. Given back by dropping it.
pub(super) struct Pass<'g> {
    _slot: SemaphorePermit<'g>,
    writer: Option<MutexGuard<'g, Writer>>,
}

impl Drop for Pass<'_> {
    fn drop(&mut self) {
        if let Some(writer) = &mut self.writer {
            writer.last = Some(Instant::now());
        }
    }
}

pub(super) struct Governor {
    pace: Pace,
    slots: Semaphore,
    writer: Mutex<Writer>,
    limits: StdMutex<Limits>,
}

#[derive(Default)]
struct Writer {
    last: Option<Instant>,
    creations: VecDeque<Instant>,
}

#[derive(Default)]
struct Limits {
    /// For everything, for REST, for GraphQL.
    until: [Option<(Instant, String)>; 3],
    /// Limits without a time in a row.
    strikes: u32,
}

impl Governor {
    pub(super) fn new(pace: Pace) -> Self {
        let slots = Semaphore::new(pace.concurrent.clamp(1, Semaphore::MAX_PERMITS));
        Self {
            pace,
            slots,
            writer: Mutex::default(),
            limits: StdMutex::default(),
        }
    }

    pub(super) fn pace(&self) -> &Pace {
        &self.pace
    }

    /// Waits for a turn. An error when the wait would be too long.
    pub(super) async fn enter(&self, load: Load, resource: Resource) -> Result<Pass<'_>> {
        let mut writer = match load {
            Load::Light => None,
            Load::Write | Load::Create => Some(self.writer.lock().await),
        };
        if let Some(writer) = &mut writer {
            self.wait_for_turn(writer, load).await?;
        }
        let slot = self.slots.acquire().await;
        let slot = slot.map_err(|_| Error::Unavailable("shutting down".to_owned()))?;
        self.wait_for_limits(resource).await?;
        if let (Some(writer), Load::Create) = (&mut writer, load) {
            writer.creations.push_back(Instant::now());
        }
        Ok(Pass {
            _slot: slot,
            writer,
        })
    }

    async fn wait_for_turn(&self, writer: &mut Writer, load: Load) -> Result<()> {
        let now = Instant::now();
        let mut turn = writer
            .last
            .map_or(now, |last| last + self.pace.between_writes);
        if load == Load::Create {
            writer.forget_before(now);
            turn = turn.max(writer.budget(self.pace.per_minute, MINUTE).unwrap_or(now));
            turn = turn.max(writer.budget(self.pace.per_hour, HOUR).unwrap_or(now));
        }
        self.wait_until(turn, "kubemend's own budget of writes is used up")
            .await
    }

    async fn wait_for_limits(&self, resource: Resource) -> Result<()> {
        // somebody else may meet a longer one while we wait
        while let Some((until, message)) = self.limit(resource) {
            self.wait_until(until, &message).await?;
        }
        Ok(())
    }

    async fn wait_until(&self, until: Instant, message: &str) -> Result<()> {
        let wait = until.saturating_duration_since(Instant::now());
        if wait > self.pace.patience {
            return Err(limited(wait, message));
        }
        if !wait.is_zero() {
            tracing::info!(seconds = wait.as_secs_f32(), message, "waiting for GitHub");
            sleep_until(until).await;
        }
        Ok(())
    }

    /// The longest limit that holds now.
    fn limit(&self, resource: Resource) -> Option<(Instant, String)> {
        let mut limits = self.limits();
        let now = Instant::now();
        for until in &mut limits.until {
            until.take_if(|(at, _)| *at <= now);
        }
        let own = slot_of(Some(resource));
        let holding = limits
            .until
            .iter()
            .enumerate()
            .filter(|(n, _)| *n == 0 || *n == own);
        let holding = holding.filter_map(|(_, until)| until.as_ref());
        holding.max_by_key(|(at, _)| *at).cloned()
    }

    /// Nobody sends before this is over. Returns the error for whoever does not wait.
    pub(super) fn met(&self, limit: &Limit) -> Error {
        let mut limits = self.limits();
        let wait = limit.wait.unwrap_or_else(|| {
            limits.strikes = limits.strikes.saturating_add(1);
            let factor = 1 << (limits.strikes - 1).min(8);
            (UNNAMED * factor).min(UNNAMED_MOST)
        });
        let wait = wait.min(LONGEST);
        let until = Instant::now() + wait;
        if let Some(slot) = limits.until.get_mut(slot_of(limit.only)) {
            let longer = slot.take().filter(|(at, _)| *at > until);
            *slot = longer.or_else(|| Some((until, limit.message.clone())));
        }
        limited(wait, &limit.message)
    }

    /// An answer that was no limit.
    pub(super) fn passed(&self) {
        self.limits().strikes = 0;
    }

    fn limits(&self) -> std::sync::MutexGuard<'_, Limits> {
        // plain data: whatever a panicking holder left is usable
        self.limits
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

fn slot_of(only: Option<Resource>) -> usize {
    match only {
        None => 0,
        Some(Resource::Rest) => 1,
        Some(Resource::GraphQl) => 2,
    }
}

impl Writer {
    fn forget_before(&mut self, now: Instant) {
        while self
            .creations
            .front()
            .is_some_and(|at| now.duration_since(*at) >= HOUR)
        {
            self.creations.pop_front();
        }
    }

    /// When one more fits into a budget.
    fn budget(&self, most: usize, window: Duration) -> Option<Instant> {
        let oldest_that_counts = self.creations.len().checked_sub(most.max(1))?;
        self.creations
            .get(oldest_that_counts)
            .map(|at| *at + window)
    }
}

fn limited(wait: Duration, message: &str) -> Error {
    let now = Timestamp::now();
    Error::Limited {
        until: now.checked_add(wait).unwrap_or(now),
        message: message.to_owned(),
    }
}

/// A wait that doubles with each attempt, and differs between callers.
pub(super) fn backoff(first: Duration, attempt: u32) -> Duration {
    use std::hash::{BuildHasher as _, Hasher as _};
    let chance = std::hash::RandomState::new().build_hasher().finish() % 512;
    let half = first * (1 << attempt.min(6)) / 2;
    half + half.mul_f64(f64::from(u32::try_from(chance).unwrap_or(0)) / 512.0)
}

#[cfg(test)]
mod tests;
