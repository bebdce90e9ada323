//! The worker: one pass at a time for a repository, several repositories at a time.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tracing::Instrument as _;

use super::envelope::Named;
use super::jittered;
use super::listener::stopped;
use super::outcomes::Outcomes;
use super::queue::{Pushed, Queue};
use super::seen::Seen;
use crate::config::ConfigError;
use crate::cycle::{Report, Touched};
use crate::evidence::redact;
use crate::github;
use crate::message;
use crate::metrics::Metrics;
use crate::phase;

/// The most characters of a text from outside in one log line.
const MAX_LOGGED: usize = 2_000;
/// After a push that came in the middle of a pass: the time until Git and API say the same.
const SETTLE: Duration = Duration::from_secs(5);

/// Whoever did not answer is asked again after so long, then after twice that, and so on.
const FIRST_PAUSE: Duration = Duration::from_secs(5);
/// And at least as often as this.
const LAST_PAUSE: Duration = Duration::from_secs(600);

/// A result that is being waited for.
pub type Pending<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// What the server calls. The command behind it knows the forge, Git and the proposer.
pub trait Runner: Send + Sync + 'static {
    /// All repositories that are looked after.
    fn repositories(&self) -> Pending<'_, Result<Vec<Place>, github::Error>>;
    /// Whether a repository of this name would be looked after.
    fn serves(&self, full_name: &str) -> bool;
    /// One pass over one repository. It may be dropped at any point where it waits: the next pass
    /// converges.
    fn pass(&self, place: Place) -> Pending<'_, Result<Report, Failed>>;
    /// Asks the forge to send failed deliveries again; how many.
    fn redeliver(&self) -> Pending<'_, Result<usize, github::Error>>;
    /// Waits until something outside the forge asks for a look at all repositories.
    fn disturbed(&self) -> Pending<'_, ()> {
        Box::pin(std::future::pending())
    }
    /// Whether this process leads, and every change of that. Only a leader makes passes. Where
    /// nobody is elected, it always leads.
    fn leads(&self) -> watch::Receiver<bool> {
        watch::Sender::new(true).subscribe()
    }
    /// Asks whoever leads to look at all repositories.
    fn ring(&self) {}
    /// Our own id on the forge, once it is known.
    fn me(&self) -> Option<u64>;
}

/// A repository that is looked after.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The stable numeric id.
    pub id: u64,
    /// `owner/name`, as the forge said last.
    pub full_name: String,
    /// The App's installation there.
    pub installation: Option<u64>,
}

/// Why there was no pass.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Failed {
    /// The forge did not answer.
    #[error(transparent)]
    Forge(#[from] github::Error),
    /// Git could not be read.
    #[error("git: {0}")]
    Git(String),
    /// The cluster could not be read.
    #[error("{0}")]
    Cluster(String),
    /// The repository's configuration cannot be used.
    #[error(transparent)]
    Config(ConfigError),
    /// Another input cannot be used.
    #[error("{0}")]
    Input(String),
    /// Another repository has this name now.
    #[error("{0} is another repository now")]
    Renamed(String),
}

/// What waits in the queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Job {
    /// Read which repositories there are, and look at the new ones.
    Reload,
    /// The same, and look at all of them.
    Sweep,
    /// Look at one.
    Pass(u64),
}

/// Bounds of the work.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Repositories that are worked on at a time.
    pub workers: usize,
    /// Repositories that wait at most.
    pub waiting: usize,
    /// Delivery ids that are remembered at most.
    pub seen: usize,
    /// How long one pass may take.
    pub pass: Duration,
    /// How long running passes may take to end when the server is stopped.
    pub drain: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            workers: 4,
            waiting: 4_096,
            seen: 100_000,
            pass: Duration::from_secs(900),
            drain: Duration::from_secs(25),
        }
    }
}

/// What is shared by the server's tasks.
pub struct Worker {
    runner: Arc<dyn Runner>,
    metrics: Arc<Metrics>,
    limits: Limits,
    queue: Mutex<Queue<Job>>,
    places: Mutex<BTreeMap<u64, Place>>,
    /// How often each job was to be done again later.
    wishes: Mutex<BTreeMap<Job, u64>>,
    /// How often each job failed in a row.
    failures: Mutex<BTreeMap<Job, u32>>,
    seen: Mutex<Seen>,
    outcomes: Mutex<Outcomes>,
    wake: Notify,
    stop: watch::Sender<bool>,
}

impl Worker {
    pub(super) fn new(runner: Arc<dyn Runner>, metrics: Arc<Metrics>, limits: Limits) -> Self {
        Self {
            runner,
            metrics,
            limits,
            queue: Mutex::new(Queue::new(limits.waiting)),
            places: Mutex::default(),
            wishes: Mutex::default(),
            failures: Mutex::default(),
            seen: Mutex::new(Seen::new(limits.seen)),
            outcomes: Mutex::default(),
            wake: Notify::new(),
            stop: watch::Sender::new(false),
        }
    }

    pub(super) fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    pub(super) fn me(&self) -> Option<u64> {
        self.runner.me()
    }

    pub(super) async fn disturbed(&self) {
        self.runner.disturbed().await;
    }

    pub(super) fn stop(&self) {
        self.stop.send_replace(true);
    }

    pub(super) fn until_stopped(&self) -> watch::Receiver<bool> {
        self.stop.subscribe()
    }

    pub(super) fn is_stopping(&self) -> bool {
        *self.stop.borrow()
    }

    /// Whether passes are made here, or by another process.
    pub(super) fn leads(&self) -> bool {
        *self.runner.leads().borrow()
    }

    /// Asks whoever leads to look at all repositories.
    pub(super) fn ring(&self) {
        self.runner.ring();
    }

    /// What an event in this repository asks for. A payload is only a hint: of a repository that is
    /// not known, or has another name, the truth is read first.
    pub(super) fn job_for(&self, named: &Named) -> Option<Job> {
        let known = self.place(named.id);
        match known {
            Some(place) if place.full_name.eq_ignore_ascii_case(&named.full_name) => {
                Some(Job::Pass(named.id))
            }
            Some(_) => Some(Job::Sweep),
            None => self.runner.serves(&named.full_name).then_some(Job::Reload),
        }
    }

    /// Wakes somebody for a delivery; `None` when that delivery was accepted before.
    pub(super) fn push_once(&self, job: Job, delivery: &str) -> Option<Pushed> {
        let now = Timestamp::now();
        let mut seen = lock(&self.seen);
        if seen.contains(delivery, now) {
            return None;
        }
        let pushed = self.push(job);
        if pushed != Pushed::Full {
            seen.insert(delivery, now);
        }
        Some(pushed)
    }

    /// Wakes somebody, if there is room.
    fn push(&self, job: Job) -> Pushed {
        let pushed = self.change(|queue| queue.push(job));
        self.wake.notify_one();
        pushed
    }

    /// Wakes somebody for ourselves.
    pub(super) fn push_known(&self, job: Job) {
        self.change(|queue| queue.push_known(job));
        self.wake.notify_one();
    }

    fn change<T>(&self, change: impl FnOnce(&mut Queue<Job>) -> T) -> T {
        let mut queue = lock(&self.queue);
        let changed = change(&mut queue);
        self.metrics.queue(queue.waiting(), queue.running());
        changed
    }

    fn place(&self, id: u64) -> Option<Place> {
        lock(&self.places).get(&id).cloned()
    }

    /// Works until the server stops.
    pub(super) async fn work(self: Arc<Self>) {
        let (mut stop, mut leads) = (self.until_stopped(), self.runner.leads());
        loop {
            let job = tokio::select! {
                biased;
                () = stopped(&mut stop) => return,
                job = self.next(&mut leads) => job,
            };
            self.run(job).await;
            self.done(job);
        }
    }

    async fn next(&self, leads: &mut watch::Receiver<bool>) -> Job {
        loop {
            stands(leads, true).await;
            let woken = self.wake.notified();
            if let Some(job) = self.change(Queue::take) {
                // another worker may take what else waits
                self.wake.notify_one();
                return job;
            }
            tokio::select! {
                () = woken => {}
                () = stands(leads, false) => {}
            }
        }
    }

    fn done(&self, job: Job) {
        self.change(|queue| queue.done(&job));
        self.wake.notify_one();
    }

    async fn run(self: &Arc<Self>, job: Job) {
        match job {
            Job::Reload => self.reload(false).await,
            Job::Sweep => self.reload(true).await,
            Job::Pass(id) => match self.place(id) {
                Some(place) => self.pass(place).await,
                None => tracing::debug!(id, "not looked after any more"),
            },
        }
    }

    /// Reads which repositories there are, and wakes the new ones, or all.
    async fn reload(self: &Arc<Self>, all: bool) {
        let outcome = match self.runner.repositories().await {
            Ok(found) => {
                tracing::info!(repositories = found.len(), "repositories read");
                self.went_well(Job::Reload);
                self.keep(found, all);
                "done"
            }
            Err(error) => {
                // those that are known are looked at nevertheless: each pass tells for itself
                tracing::warn!(error = plain(&error), "repositories not read");
                self.later(Job::Reload, &error);
                // the lock must be free again before `keep` takes it
                let known = lock(&self.places).values().cloned().collect();
                self.keep(known, all);
                "failed"
            }
        };
        self.metrics.sweep(outcome);
        if all && self.leads() {
            self.redeliver().await;
        }
    }

    fn keep(&self, found: Vec<Place>, all: bool) {
        let found: BTreeMap<u64, Place> = found.into_iter().map(|p| (p.id, p)).collect();
        let ids: Vec<u64> = found.keys().copied().collect();
        self.metrics.looked_after(&ids);
        let before = std::mem::replace(&mut *lock(&self.places), found.clone());
        for (id, place) in found {
            if all || before.get(&id) != Some(&place) {
                self.push_known(Job::Pass(id));
            }
        }
    }

    async fn redeliver(&self) {
        match self.runner.redeliver().await {
            Ok(0) => {}
            Ok(deliveries) => tracing::info!(deliveries, "failed deliveries asked for again"),
            Err(error) => tracing::warn!(error = plain(&error), "failed deliveries not asked for"),
        }
    }

    async fn pass(self: &Arc<Self>, place: Place) {
        let begun = Instant::now();
        let span = phase::pass(&place.full_name);
        let ended = self.bounded(place.clone(), &span).await;
        span.record("outcome", ended.outcome());
        drop(span);
        let seconds = begun.elapsed().as_secs_f64();
        // counted first: whoever reads the log line finds it in the numbers
        self.metrics
            .pass(ended.outcome(), seconds, Timestamp::now());
        match &ended {
            Ended::Report(report) => self.told(&place, report, seconds),
            Ended::Failed(failed) => self.failed(&place, failed, seconds),
            Ended::Lost => {
                let (repository, outcome) = (place.full_name, ended.outcome());
                tracing::warn!(repository, outcome, seconds, "pass");
            }
            Ended::Late | Ended::Panicked => {
                let (repository, outcome) = (&place.full_name, ended.outcome());
                tracing::error!(repository, outcome, seconds, "pass");
                self.again(Job::Pass(place.id));
            }
        }
    }

    /// The pass in a task of its own, so that a panic ends nothing else.
    async fn bounded(&self, place: Place, span: &tracing::Span) -> Ended {
        let runner = Arc::clone(&self.runner);
        let mut leads = self.runner.leads();
        let mut task = JoinSet::new(); // aborts what is in it when it is dropped
        task.spawn(async move { runner.pass(place).await }.instrument(span.clone()));
        let joined = tokio::select! {
            biased;
            () = stands(&mut leads, false) => {
                // whoever leads now makes it again; it ends where it waits next
                task.shutdown().await;
                return Ended::Lost;
            }
            joined = tokio::time::timeout(self.limits.pass, task.join_next()) => joined,
        };
        match joined {
            Ok(Some(Ok(Ok(report)))) => Ended::Report(Box::new(report)),
            Ok(Some(Ok(Err(failed)))) => Ended::Failed(failed),
            Ok(Some(Err(_)) | None) => Ended::Panicked,
            Err(_) => Ended::Late,
        }
    }

    /// The numbers of a pass.
    fn counted(&self, place: &Place, report: &Report) {
        for pull in &report.pulls {
            self.metrics.pull(pull.operation);
        }
        for question in &report.questions {
            self.metrics.question(question.operation);
        }
        if report.stale.is_none() && report.frozen.is_none() {
            self.metrics.open(place.id, report.open);
        }
        self.metrics.answered(report.answered);
        for (verb, outcome) in &report.commands {
            self.metrics.command(verb, outcome);
        }
        for verdict in &report.trials.given {
            self.metrics.verdict(verdict);
        }
        for trigger in report.reverts() {
            self.metrics.reverted(trigger);
        }
        for code in &report.refused {
            self.metrics.refusal(code);
        }
        self.metrics.tally(&report.tally);
        self.metrics.notes(report.notes.len());
    }

    /// One log line for each outcome that is new.
    fn outcomes(&self, place: &Place, report: &Report) {
        let news = lock(&self.outcomes).news(place.id, &report.survey, Timestamp::now());
        for one in news {
            tracing::info!(
                target: "outcome",
                repository = place.full_name,
                fingerprint = one.fingerprint,
                object = plain(&one.object),
                class = one.class,
                outcome = ?one.outcome,
                code = plain(&one.code),
                number = one.number,
                "finding"
            );
        }
    }

    /// One log line for a pass and for each outcome, and its numbers.
    fn told(self: &Arc<Self>, place: &Place, report: &Report, seconds: f64) {
        self.counted(place, report);
        self.outcomes(place, report);
        let repository = &place.full_name;
        let changed = |all: &[Touched]| all.iter().filter(|t| t.operation != "none").count();
        let (pulls, questions) = (changed(&report.pulls), changed(&report.questions));
        let (answered, notes) = (report.answered, plain(&report.notes.join("; ")));
        if let Some(stale) = &report.stale {
            tracing::info!(
                repository,
                outcome = "stale",
                seconds,
                why = plain(stale),
                "pass"
            );
            self.wake_in(Job::Pass(place.id), SETTLE);
            return;
        }
        let job = Job::Pass(place.id);
        let look = report.trials.again.map(|pause| pause.unsigned_abs());
        // what froze it is asked again below
        let retry = (report.retry && report.frozen.is_none()).then(|| self.pause(job));
        if report.frozen.is_none() && retry.is_none() {
            self.went_well(job);
        }
        if let Some(pause) = look.into_iter().chain(retry).min() {
            self.wake_in(job, pause);
        }
        let silent = (!report.silent.is_empty()).then(|| report.silent.join("; "));
        let frozen = report.frozen.as_ref().map(ToString::to_string);
        let outcome = outcome_of(report);
        match frozen.or(silent) {
            None => {
                tracing::info!(
                    repository, outcome, seconds, pulls, questions, answered, notes, "pass"
                );
            }
            Some(error) => {
                let error = plain(&error);
                tracing::warn!(
                    repository, outcome, seconds, pulls, questions, answered, notes, error, "pass"
                );
            }
        }
        if let Some(error) = &report.frozen {
            self.later(job, error);
        }
    }

    fn failed(self: &Arc<Self>, place: &Place, failed: &Failed, seconds: f64) {
        let repository = &place.full_name;
        let error = plain(failed);
        tracing::warn!(repository, outcome = "failed", seconds, error, "pass");
        match failed {
            Failed::Forge(error) => self.later(Job::Pass(place.id), error),
            Failed::Renamed(_) => self.push_known(Job::Reload),
            Failed::Git(_) | Failed::Cluster(_) => self.again(Job::Pass(place.id)),
            // somebody has to write something else first, and that wakes us
            Failed::Config(_) | Failed::Input(_) => {}
        }
    }

    /// Looks again when a limit of the forge is over, or a while after an outage.
    fn later(self: &Arc<Self>, job: Job, error: &github::Error) {
        let github::Error::Limited { until, .. } = error else {
            // what is forbidden or gone stays so until somebody changes it
            if error.is_outage() {
                self.again(job);
            }
            return;
        };
        let wait = until
            .duration_since(Timestamp::now())
            .max(jiff::SignedDuration::from_secs(1));
        self.wake_in(job, wait.unsigned_abs().min(Duration::from_secs(3_600)));
    }

    /// Does a job again that failed, after a pause that grows.
    fn again(self: &Arc<Self>, job: Job) {
        self.wake_in(job, self.pause(job));
    }

    /// How long a job waits after another failure.
    fn pause(&self, job: Job) -> Duration {
        let before = {
            let mut failures = lock(&self.failures);
            let times = failures.entry(job).or_default();
            std::mem::replace(times, times.saturating_add(1))
        };
        let pause = FIRST_PAUSE.saturating_mul(2_u32.saturating_pow(before));
        jittered(pause.min(LAST_PAUSE))
    }

    /// It need not be done again.
    fn went_well(&self, job: Job) {
        if lock(&self.failures).remove(&job).is_some() {
            self.wish(job);
        }
    }

    /// A new wish for a job; the one before it does not count any more.
    fn wish(&self, job: Job) -> u64 {
        let mut wishes = lock(&self.wishes);
        let wish = wishes.entry(job).or_default();
        *wish = wish.wrapping_add(1);
        *wish
    }

    /// Does something later. The last wish counts: every pass says anew when that is.
    fn wake_in(self: &Arc<Self>, job: Job, wait: Duration) {
        let worker = Arc::downgrade(self);
        let mine = self.wish(job);
        tokio::spawn(async move {
            tokio::time::sleep(wait).await;
            let Some(worker) = worker.upgrade() else {
                return;
            };
            if lock(&worker.wishes).get(&job) == Some(&mine) {
                worker.push_known(job);
            }
        });
    }
}

/// Waits until this process leads, or until it does not. Where nobody tells, nothing changes.
async fn stands(leads: &mut watch::Receiver<bool>, wanted: bool) {
    if leads.wait_for(|leads| *leads == wanted).await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// How a pass ended.
enum Ended {
    Report(Box<Report>),
    Failed(Failed),
    Late,
    Lost,
    Panicked,
}

impl Ended {
    /// As logs and numbers name it.
    fn outcome(&self) -> &'static str {
        match self {
            Self::Report(report) => outcome_of(report),
            Self::Failed(_) => "failed",
            Self::Late => "late",
            Self::Lost => "lost",
            Self::Panicked => "panicked",
        }
    }
}

fn outcome_of(report: &Report) -> &'static str {
    match report {
        Report { stale: Some(_), .. } => "stale",
        Report {
            frozen: Some(_), ..
        } => "frozen",
        Report { silent, .. } if !silent.is_empty() => "incomplete",
        _ => "done",
    }
}

/// A text as it may stand in a log: one line, not endless, without secrets.
fn plain(text: &dyn std::fmt::Display) -> String {
    let text = message::clean(&redact::text(&text.to_string()));
    let words = text.chars().map(|c| if c.is_control() { ' ' } else { c });
    words.take(MAX_LOGGED).collect()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // a panic while it was held leaves no half-done change behind that matters
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
