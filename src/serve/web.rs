//! What the server answers: deliveries, health, metrics.
//!
//! A body is hashed while it arrives. It is kept only as long as it may still be genuine, within
//! a limit for one body and a budget for all of them, so a flood costs time but no memory.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use http_body_util::BodyExt as _;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tower_http::catch_panic::CatchPanicLayer;

use super::envelope::{Envelope, Interest};
use super::queue::Pushed;
use super::signature::{Checker, Secrets};
use super::worker::{Job, Worker};
use crate::metrics::{self, Metrics};

/// Bounds of what is read.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// The largest body; GitHub sends no larger one.
    pub body: usize,
    /// The most bytes of all bodies that are read at a time.
    pub bodies: usize,
    /// How long a body may take. GitHub waits for 10 seconds.
    pub patience: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            body: 25 << 20,
            bodies: 64 << 20,
            patience: Duration::from_secs(9),
        }
    }
}

/// What became of a request to the webhook.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Queued,
    Merged,
    Duplicate,
    Ignored,
    Pong,
    Forged,
    TooLarge,
    Slow,
    Cut,
    Unreadable,
    Nameless,
    WrongType,
    Full,
    Busy,
    Stopping,
    PassedOn,
}

impl Outcome {
    /// What the sender and the metrics are told.
    const fn word(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Merged => "merged",
            Self::Duplicate => "duplicate",
            Self::Ignored => "ignored",
            Self::Pong => "pong",
            Self::Forged => "forged",
            Self::TooLarge => "too large",
            Self::Slow => "slow",
            Self::Cut => "cut",
            Self::Unreadable => "unreadable",
            Self::Nameless => "nameless",
            Self::WrongType => "wrong type",
            Self::Full => "full",
            Self::Busy => "busy",
            Self::Stopping => "stopping",
            Self::PassedOn => "passed on",
        }
    }

    const fn status(self) -> StatusCode {
        match self {
            Self::Queued | Self::Merged | Self::Duplicate | Self::Ignored | Self::PassedOn => {
                StatusCode::ACCEPTED
            }
            Self::Pong => StatusCode::OK,
            Self::Forged => StatusCode::UNAUTHORIZED,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Slow => StatusCode::REQUEST_TIMEOUT,
            Self::Cut | Self::Unreadable | Self::Nameless => StatusCode::BAD_REQUEST,
            Self::WrongType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            // red in GitHub's list of deliveries, and found by the next sweep
            Self::Full | Self::Busy | Self::Stopping => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    fn response(self) -> Response {
        match self {
            Self::Forged => self.status().into_response(),
            _ => (self.status(), self.word()).into_response(),
        }
    }
}

/// What the handlers share.
#[derive(Clone)]
struct Web {
    worker: Arc<Worker>,
    secrets: Option<Secrets>,
    limits: Limits,
    budget: Arc<Semaphore>,
}

/// All routes. Without secrets there is no webhook.
pub(super) fn routes(worker: Arc<Worker>, secrets: Option<Secrets>, limits: Limits) -> Router {
    let mut routes = Router::new()
        .route("/healthz", get(|| async { "ok" }))
        .route("/readyz", get(ready))
        .route("/metrics", get(numbers));
    if secrets.is_some() {
        routes = routes.route("/webhook/github", post(webhook));
    }
    let budget = Arc::new(Semaphore::new(limits.bodies));
    routes.layer(CatchPanicLayer::new()).with_state(Web {
        worker,
        secrets,
        limits,
        budget,
    })
}

async fn ready(State(web): State<Web>) -> Response {
    if web.worker.is_stopping() {
        (StatusCode::SERVICE_UNAVAILABLE, "stopping").into_response()
    } else {
        "ready".into_response()
    }
}

async fn numbers(State(web): State<Web>) -> Response {
    let metrics = web.worker.metrics();
    metrics.leader(web.worker.leads());
    let text = metrics.text();
    ([(header::CONTENT_TYPE, metrics::CONTENT_TYPE)], text).into_response()
}

async fn webhook(State(web): State<Web>, headers: HeaderMap, body: Body) -> Response {
    let received = tokio::time::timeout(web.limits.patience, receive(&web, &headers, body));
    let outcome = match received.await.unwrap_or(Err(Outcome::Slow)) {
        Ok(bytes) => accept(&web, &headers, &bytes),
        Err(outcome) => {
            refused(web.worker.metrics(), outcome);
            outcome
        }
    };
    outcome.response()
}

/// A body that was signed with one of the secrets.
async fn receive(web: &Web, headers: &HeaderMap, body: Body) -> Result<Kept, Outcome> {
    let checker = single(headers, "x-hub-signature-256")
        .and_then(|claim| web.secrets.as_ref()?.check(claim))
        .ok_or(Outcome::Forged)?;
    if declared(headers).is_some_and(|n| n > web.limits.body as u64) {
        return Err(Outcome::TooLarge);
    }
    let kept = Kept::new(web.limits.body, Arc::clone(&web.budget));
    let (checker, kept) = read(checker, kept, body).await?;
    if checker.fits() {
        Ok(kept)
    } else {
        Err(Outcome::Forged)
    }
}

async fn read(
    mut checker: Checker,
    mut kept: Kept,
    mut body: Body,
) -> Result<(Checker, Kept), Outcome> {
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| Outcome::Cut)?;
        if let Some(bytes) = frame.data_ref() {
            checker.update(bytes);
            kept.push(bytes)?;
        }
    }
    Ok((checker, kept))
}

/// What a genuine delivery leads to.
fn accept(web: &Web, headers: &HeaderMap, bytes: &Kept) -> Outcome {
    let event = single(headers, "x-github-event").unwrap_or_default();
    let id = single(headers, "x-github-delivery").unwrap_or_default();
    let outcome = match read_envelope(headers, event, id, &bytes.bytes) {
        Ok(envelope) => enqueue(&web.worker, &envelope, event, id),
        Err(outcome) => outcome,
    };
    let event = clean(event);
    web.worker.metrics().delivery(Some(&event), outcome.word());
    tracing::info!(
        event,
        delivery = clean(id),
        outcome = outcome.word(),
        "delivery"
    );
    outcome
}

fn read_envelope(
    headers: &HeaderMap,
    event: &str,
    id: &str,
    bytes: &[u8],
) -> Result<Envelope, Outcome> {
    if event.is_empty() || !is_delivery_id(id) {
        return Err(Outcome::Nameless);
    }
    let kind = single(headers, "content-type").unwrap_or_default();
    if !kind.trim_start().starts_with("application/json") {
        return Err(Outcome::WrongType);
    }
    Envelope::parse(bytes).map_err(|_| Outcome::Unreadable)
}

fn enqueue(worker: &Worker, envelope: &Envelope, event: &str, id: &str) -> Outcome {
    let job = match envelope.interest(event, worker.me()) {
        Interest::Ping => return Outcome::Pong,
        Interest::Ignored => return Outcome::Ignored,
        Interest::Installations => Job::Reload,
        Interest::Repository(named) => match worker.job_for(&named) {
            Some(job) => job,
            None => return Outcome::Ignored,
        },
    };
    if worker.is_stopping() {
        return Outcome::Stopping;
    }
    if !worker.leads() {
        // the leader looks at everything at its next renewal; nothing is lost when it does not
        worker.ring();
        return Outcome::PassedOn;
    }
    match worker.push_once(job, id) {
        Some(Pushed::Queued) => Outcome::Queued,
        Some(Pushed::Merged) => Outcome::Merged,
        Some(Pushed::Full) => Outcome::Full,
        None => Outcome::Duplicate,
    }
}

/// Counts what nobody vouches for. Only each tenfold number is logged, so that a flood does not
/// fill the disk.
fn refused(metrics: &Metrics, outcome: Outcome) {
    let number = metrics.delivery(None, outcome.word());
    if number
        .checked_ilog10()
        .is_some_and(|e| 10_u64.pow(e) == number)
    {
        tracing::warn!(outcome = outcome.word(), number, "delivery refused");
    }
}

/// The value of a header that is there exactly once, as text.
fn single<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    let mut values = headers.get_all(name).iter();
    let first = values.next()?;
    values.next().is_none().then_some(first)?.to_str().ok()
}

fn declared(headers: &HeaderMap) -> Option<u64> {
    single(headers, "content-length")?.parse().ok()
}

/// GitHub sends UUIDs.
fn is_delivery_id(id: &str) -> bool {
    (1..=64).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
}

/// A header as it may stand in a log.
fn clean(text: &str) -> String {
    let word = text.chars().take(64);
    word.map(|c| if c.is_ascii_graphic() { c } else { '?' })
        .collect()
}

/// Bytes of a body, with their share of the budget for all bodies.
struct Kept {
    bytes: Vec<u8>,
    most: usize,
    budget: Arc<Semaphore>,
    share: Option<OwnedSemaphorePermit>,
}

impl Kept {
    fn new(most: usize, budget: Arc<Semaphore>) -> Self {
        Self {
            bytes: Vec::new(),
            most,
            budget,
            share: None,
        }
    }

    fn push(&mut self, bytes: &[u8]) -> Result<(), Outcome> {
        let length = self.bytes.len() + bytes.len();
        if length > self.most {
            return Err(Outcome::TooLarge);
        }
        if length > self.bytes.capacity() {
            self.grow(length)?;
        }
        self.bytes.extend_from_slice(bytes);
        Ok(())
    }

    /// Room for `length` bytes, and some more so that it is seldom needed. What is reserved is paid
    /// for, also while it is empty. Nobody waits for the budget: two that wait for each other would
    /// wait until both are late.
    fn grow(&mut self, length: usize) -> Result<(), Outcome> {
        let room = length
            .max(self.bytes.capacity() * 2)
            .max(4_096)
            .min(self.most);
        let more = room - self.bytes.capacity();
        let share = u32::try_from(more).map_err(|_| Outcome::TooLarge)?;
        let share = Arc::clone(&self.budget).try_acquire_many_owned(share);
        let share = share.map_err(|_| Outcome::Busy)?;
        match &mut self.share {
            Some(all) => all.merge(share),
            None => self.share = Some(share),
        }
        self.bytes.reserve_exact(room - self.bytes.len());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn all_bodies_together_stay_within_the_budget() {
        let budget = Arc::new(Semaphore::new(10_000));
        let mut first = Kept::new(9_000, Arc::clone(&budget));
        first.push(&[0; 6_000]).unwrap();
        let mut second = Kept::new(9_000, Arc::clone(&budget));
        assert_eq!(second.push(&[0; 5_000]), Err(Outcome::Busy));
        drop(first);
        for _ in 0..9 {
            second.push(&[0; 1_000]).unwrap();
        }
        assert_eq!(second.push(&[0]), Err(Outcome::TooLarge));
        assert_eq!(budget.available_permits(), 10_000 - second.bytes.capacity());
        drop(second);
        assert_eq!(budget.available_permits(), 10_000);
    }

    #[test]
    fn headers_in_logs_are_short_and_plain() {
        assert_eq!(clean("push\n{\"level\":\"x\"}"), "push?{\"level\":\"x\"}");
        assert_eq!(clean(&"é".repeat(100)), "?".repeat(64));
        assert!(is_delivery_id("72d3162e-cc78-11e3-81ab-4c9367dc0958"));
        assert!(!is_delivery_id("") && !is_delivery_id("a b") && !is_delivery_id(&"a".repeat(65)));
    }
}
