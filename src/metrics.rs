//! Numbers for operators, in the text format of Prometheus. The only user of prometheus-client.
//!
//! Every label has few values: what comes from outside (the name of an event) is mapped to a known
//! word or to `other` before it becomes one.

use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{EncodeLabelSet, LabelSetEncoder};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;

use crate::code::Code;

/// The content type of [`Metrics::text`].
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Events that are counted by their name.
const EVENTS: [&str; 14] = [
    "check_run",
    "check_suite",
    "installation",
    "installation_repositories",
    "issue_comment",
    "issues",
    "ping",
    "pull_request",
    "pull_request_review",
    "pull_request_review_comment",
    "push",
    "repository",
    "status",
    "workflow_run",
];

const METHODS: [&str; 5] = ["GET", "POST", "PATCH", "PUT", "DELETE"];
const RESOURCES: [&str; 3] = ["core", "graphql", "search"];

/// A label set of fixed names.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Labels<const N: usize>([(&'static str, &'static str); N]);

impl<const N: usize> EncodeLabelSet for Labels<N> {
    fn encode(&self, encoder: &mut LabelSetEncoder<'_>) -> Result<(), std::fmt::Error> {
        self.0.encode(encoder)
    }
}

type Counters<const N: usize> = Family<Labels<N>, Counter>;

/// What is counted.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    deliveries: Counters<2>,
    passes: Counters<1>,
    pass_seconds: Histogram,
    sweeps: Counters<1>,
    queue: Gauge,
    running: Gauge,
    repositories: Gauge,
    leader: Gauge,
    last_pass: Gauge,
    pulls: Counters<1>,
    questions: Counters<1>,
    answers: Counter,
    notes: Counter,
    forge_requests: Counters<2>,
    forge_remaining: Family<Labels<1>, Gauge>,
    forge_wait: Counter<f64, AtomicU64>,
    commands: Counters<2>,
    refusals: Counters<1>,
    fetches: Counters<1>,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut all = Self {
            registry: Registry::with_prefix("kubemend"),
            deliveries: Family::default(),
            passes: Family::default(),
            pass_seconds: Histogram::new(exponential_buckets(0.1, 2.0, 14)),
            sweeps: Family::default(),
            queue: Gauge::default(),
            running: Gauge::default(),
            repositories: Gauge::default(),
            leader: Gauge::default(),
            last_pass: Gauge::default(),
            pulls: Family::default(),
            questions: Family::default(),
            answers: Counter::default(),
            notes: Counter::default(),
            forge_requests: Family::default(),
            forge_remaining: Family::default(),
            forge_wait: Counter::default(),
            commands: Family::default(),
            refusals: Family::default(),
            fetches: Family::default(),
        };
        all.register();
        all
    }
}

impl Metrics {
    /// One webhook delivery; returns how many there were of this kind. `event` must come from a
    /// delivery whose signature fits; for others it is left out.
    pub fn delivery(&self, event: Option<&str>, outcome: &'static str) -> u64 {
        let event = event.map_or("unverified", known_event);
        let labels = Labels([("event", event), ("outcome", outcome)]);
        self.deliveries.get_or_create(&labels).inc() + 1
    }

    /// One pass over one repository ended.
    pub fn pass(&self, outcome: &'static str, seconds: f64, now: jiff::Timestamp) {
        count(&self.passes, [("outcome", outcome)]);
        self.pass_seconds.observe(seconds);
        self.last_pass.set(now.as_second());
    }

    /// All repositories were woken, or the list of them could not be read.
    pub fn sweep(&self, outcome: &'static str) {
        count(&self.sweeps, [("outcome", outcome)]);
    }

    /// How many repositories wait, and how many are worked on.
    pub fn queue(&self, waiting: usize, running: usize) {
        set(&self.queue, waiting);
        set(&self.running, running);
    }

    /// How many repositories are looked after.
    pub fn repositories(&self, number: usize) {
        set(&self.repositories, number);
    }

    /// Whether this process makes the passes, or another one does.
    pub fn leader(&self, leads: bool) {
        self.leader.set(i64::from(leads));
    }

    /// A pull request was `created`, `updated` or `closed`.
    pub fn pull(&self, operation: &'static str) {
        count(&self.pulls, [("operation", operation)]);
    }

    /// A question was `created`, `updated` or `closed`.
    pub fn question(&self, operation: &'static str) {
        count(&self.questions, [("operation", operation)]);
    }

    /// Commands were answered.
    pub fn answered(&self, number: usize) {
        self.answers.inc_by(number as u64);
    }

    /// Something went wrong without ending its pass.
    pub fn notes(&self, number: usize) {
        self.notes.inc_by(number as u64);
    }

    /// A request to the forge was answered, or not.
    pub fn forge_request(&self, method: &str, status: Option<u16>) {
        let method = METHODS.iter().find(|m| **m == method).copied();
        let status = match status {
            None => "none",
            Some(200..=299) => "2xx",
            Some(304) => "304",
            Some(300..=399) => "3xx",
            Some(401) => "401",
            Some(403) => "403",
            Some(404) => "404",
            Some(422) => "422",
            Some(429) => "429",
            Some(400..=499) => "4xx",
            Some(_) => "5xx",
        };
        let method = method.unwrap_or("other");
        count(
            &self.forge_requests,
            [("method", method), ("status", status)],
        );
    }

    /// How many requests the forge still takes before its next reset.
    pub fn forge_remaining(&self, resource: &str, remaining: u64) {
        let resource = RESOURCES.iter().find(|r| **r == resource).copied();
        let labels = Labels([("resource", resource.unwrap_or("other"))]);
        let remaining = i64::try_from(remaining).unwrap_or(i64::MAX);
        self.forge_remaining.get_or_create(&labels).set(remaining);
    }

    /// A request to the forge waited for its turn.
    pub fn forge_waited(&self, seconds: f64) {
        self.forge_wait.inc_by(seconds);
    }

    /// A command was answered.
    pub fn command(&self, verb: &'static str, outcome: &'static str) {
        count(&self.commands, [("verb", verb), ("outcome", outcome)]);
    }

    /// A finding got no change, with this reason; what is no code of ours is `other`.
    pub fn refusal(&self, code: &str) {
        let known = code.parse::<Code>().map_or("other", Code::as_str);
        count(&self.refusals, [("code", known)]);
    }

    /// The copy of a repository was brought up to date.
    pub fn fetch(&self, outcome: &'static str) {
        count(&self.fetches, [("outcome", outcome)]);
    }

    /// Everything, as text.
    pub fn text(&self) -> String {
        let mut text = String::new();
        // writing into a string does not fail
        let _ = encode(&mut text, &self.registry);
        text
    }

    fn register(&mut self) {
        let r = &mut self.registry;
        r.register("deliveries", "Webhook deliveries", self.deliveries.clone());
        r.register("passes", "Passes over a repository", self.passes.clone());
        r.register(
            "pass_duration_seconds",
            "Duration of a pass",
            self.pass_seconds.clone(),
        );
        r.register(
            "last_pass_timestamp_seconds",
            "When the last pass ended",
            self.last_pass.clone(),
        );
        r.register(
            "sweeps",
            "Times that all repositories were woken",
            self.sweeps.clone(),
        );
        r.register(
            "queue_length",
            "Repositories that wait for a pass",
            self.queue.clone(),
        );
        r.register("passes_running", "Passes under way", self.running.clone());
        r.register(
            "repositories",
            "Repositories that are looked after",
            self.repositories.clone(),
        );
        r.register(
            "leader",
            "1 where this process makes the passes, 0 where another one does",
            self.leader.clone(),
        );
        r.register(
            "pull_requests",
            "Pull requests by what was done",
            self.pulls.clone(),
        );
        r.register(
            "questions",
            "Question issues by what was done",
            self.questions.clone(),
        );
        r.register(
            "commands_answered",
            "Commands that were answered",
            self.answers.clone(),
        );
        r.register(
            "pass_notes",
            "What went wrong without ending a pass",
            self.notes.clone(),
        );
        r.register(
            "forge_requests",
            "Requests to the forge",
            self.forge_requests.clone(),
        );
        r.register(
            "forge_requests_remaining",
            "Requests that the forge takes before its next reset",
            self.forge_remaining.clone(),
        );
        r.register(
            "forge_wait_seconds",
            "Time that requests to the forge waited for their turn",
            self.forge_wait.clone(),
        );
        r.register(
            "commands",
            "Commands by verb and what came of them",
            self.commands.clone(),
        );
        r.register(
            "refusals",
            "Findings that got no change, by code, once for each pass",
            self.refusals.clone(),
        );
        r.register(
            "fetches",
            "Times that a copy was brought up to date",
            self.fetches.clone(),
        );
    }
}

fn known_event(event: &str) -> &'static str {
    EVENTS
        .iter()
        .find(|e| **e == event)
        .copied()
        .unwrap_or("other")
}

fn count<const N: usize>(family: &Counters<N>, labels: [(&'static str, &'static str); N]) {
    family.get_or_create(&Labels(labels)).inc();
}

fn set(gauge: &Gauge, number: usize) {
    gauge.set(i64::try_from(number).unwrap_or(i64::MAX));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_told_in_the_text_format() {
        let metrics = Metrics::default();
        metrics.delivery(Some("push"), "queued");
        metrics.delivery(Some("made_up\"} 1\n"), "ignored");
        metrics.delivery(None, "forged");
        metrics.pass("done", 0.3, jiff::Timestamp::UNIX_EPOCH);
        metrics.sweep("done");
        metrics.queue(2, 1);
        metrics.repositories(3);
        metrics.pull("created");
        metrics.question("closed");
        metrics.answered(2);
        metrics.notes(1);
        metrics.forge_request("GET", Some(200));
        metrics.forge_request("TRACE", Some(418));
        metrics.forge_request("POST", None);
        metrics.forge_remaining("core", 4_999);
        metrics.forge_remaining("made_up", 1);
        metrics.forge_waited(1.5);
        metrics.command("retry", "done");
        metrics.refusal("NoSafeFix");
        metrics.refusal("made_up\"} 1\n");
        metrics.fetch("done");
        let text = metrics.text();
        let mut lines: Vec<&str> = text.lines().filter(|l| !l.contains("bucket")).collect();
        lines.sort_unstable();
        insta::assert_snapshot!(lines.join("\n"));
    }
}
