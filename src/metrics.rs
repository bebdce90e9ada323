//! Numbers for operators, in the text format of Prometheus. The only user of prometheus-client.
//!
//! Every label has few values: what comes from outside (the name of an event) is mapped to a known
//! word or to `other` before it becomes one.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicU64;
use std::sync::{Mutex, PoisonError};

use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{EncodeLabelSet, LabelSetEncoder};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;

use crate::code::Code;
use crate::cycle::Open;
use crate::propose::ration::Left;
use crate::tally::Tally;

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
    phase_seconds: Family<Labels<1>, Histogram>,
    pulls: Counters<1>,
    questions: Counters<1>,
    open: Mutex<BTreeMap<u64, Open>>,
    open_pulls: Gauge,
    on_trial: Gauge,
    open_questions: Gauge,
    reverts: Counters<1>,
    verdicts: Counters<1>,
    risks: Counters<1>,
    blocked: Counters<1>,
    model_requests: Counter,
    model_tokens: Counters<1>,
    model_cost: Counter<f64, AtomicU64>,
    model_left: Family<Labels<1>, Gauge>,
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
            phase_seconds: Family::new_with_constructor(|| {
                Histogram::new(exponential_buckets(0.000_25, 4.0, 11))
            }),
            pulls: Family::default(),
            questions: Family::default(),
            open: Mutex::default(),
            open_pulls: Gauge::default(),
            on_trial: Gauge::default(),
            open_questions: Gauge::default(),
            reverts: Family::default(),
            verdicts: Family::default(),
            risks: Family::default(),
            blocked: Family::default(),
            model_requests: Counter::default(),
            model_tokens: Family::default(),
            model_cost: Counter::default(),
            model_left: Family::default(),
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

    /// Whether this process makes the passes, or another one does, which then counts what is open and left.
    pub fn leader(&self, leads: bool) {
        self.leader.set(i64::from(leads));
        if !leads {
            self.model_left.clear();
            self.change_open(BTreeMap::clear);
        }
    }

    /// A phase of a pass ended.
    pub fn phase(&self, phase: &'static str, seconds: f64) {
        let labels = Labels([("phase", phase)]);
        self.phase_seconds.get_or_create(&labels).observe(seconds);
    }

    /// What is open in a repository after a pass.
    pub fn open(&self, repository: u64, open: Open) {
        self.change_open(|all| {
            all.insert(repository, open);
        });
    }

    /// Only these repositories are looked after: what is open elsewhere counts no more.
    pub fn looked_after(&self, repositories: &[u64]) {
        self.repositories(repositories.len());
        self.change_open(|all| all.retain(|id, _| repositories.contains(id)));
    }

    fn change_open(&self, change: impl FnOnce(&mut BTreeMap<u64, Open>)) {
        let mut all = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut all);
        set(&self.open_pulls, all.values().map(|o| o.pulls).sum());
        set(&self.on_trial, all.values().map(|o| o.on_trial).sum());
        set(
            &self.open_questions,
            all.values().map(|o| o.questions).sum(),
        );
    }

    /// A pull request that reverts one of ours was opened, for this reason: `command`, or what a
    /// verification found.
    pub fn reverted(&self, trigger: &'static str) {
        count(&self.reverts, [("trigger", trigger)]);
    }

    /// Whether a merged change helped.
    pub fn verdict(&self, verdict: &'static str) {
        count(&self.verdicts, [("verdict", verdict)]);
    }

    /// What a run met and used up.
    pub fn tally(&self, tally: &Tally) {
        for risk in &tally.risks {
            count(&self.risks, [("risk", risk.as_str())]);
        }
        for code in &tally.blocked {
            count(&self.blocked, [("code", code.as_str())]);
        }
        let usage = &tally.usage;
        self.model_requests.inc_by(u64::from(usage.calls));
        for (direction, tokens) in [
            ("sent", usage.prompt_tokens),
            ("received", usage.completion_tokens),
        ] {
            let labels = Labels([("direction", direction)]);
            self.model_tokens.get_or_create(&labels).inc_by(tokens);
        }
        #[allow(clippy::cast_precision_loss, reason = "money of one run")]
        self.model_cost.inc_by(usage.cost as f64 / 1e6);
    }

    /// How many requests to the model the budgets still allow.
    pub fn model_left(&self, left: Left) {
        for (window, calls) in [("hour", left.hour), ("day", left.day)] {
            let labels = Labels([("window", window)]);
            self.model_left.get_or_create(&labels).set(i64::from(calls));
        }
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
        macro_rules! register {
            ($($name:literal: $field:ident, $help:literal;)*) => {
                $(self.registry.register($name, $help, self.$field.clone());)*
            };
        }
        register! {
            "deliveries": deliveries, "Webhook deliveries";
            "passes": passes, "Passes over a repository";
            "pass_duration_seconds": pass_seconds, "Duration of a pass";
            "last_pass_timestamp_seconds": last_pass, "When the last pass ended";
            "sweeps": sweeps, "Times that all repositories were woken";
            "queue_length": queue, "Repositories that wait for a pass";
            "passes_running": running, "Passes under way";
            "leader": leader, "1 where this process makes the passes, 0 where another one does";
            "repositories": repositories, "Repositories that are looked after";
            "pull_requests": pulls, "Pull requests by what was done";
            "questions": questions, "Question issues by what was done";
            "commands_answered": answers, "Commands that were answered";
            "pass_notes": notes, "What went wrong without ending a pass";
            "forge_requests": forge_requests, "Requests to the forge";
            "forge_requests_remaining": forge_remaining, "Requests that the forge takes before its next reset";
            "forge_wait_seconds": forge_wait, "Time that requests to the forge waited for their turn";
            "commands": commands, "Commands by verb and what came of them";
            "refusals": refusals, "Findings that got no change, by code, once for each pass";
            "fetches": fetches, "Times that a copy was brought up to date";
            "phase_duration_seconds": phase_seconds, "Duration of a phase of a pass";
            "open_pull_requests": open_pulls, "Pull requests that are open after the last passes";
            "fixes_on_trial": on_trial, "Merged fixes that are looked at until their verdict";
            "open_questions": open_questions, "Questions that are open after the last passes";
            "reverts": reverts, "Pull requests that revert one of ours, by what started them";
            "verdicts": verdicts, "Whether merged changes helped";
            "fixes": risks, "Fixes that were proposed, by risk, once for each pass";
            "blocked_changes": blocked, "Changes that lock blocked for good, by code, once for each pass";
            "model_requests": model_requests, "Requests to the model";
            "model_tokens": model_tokens, "Tokens that went to the model and came back";
            "model_requests_remaining": model_left, "Requests to the model that its budgets still allow";
            "model_cost_dollars": model_cost, "What the model cost, where a price is known";
        }
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
    use crate::finding::Severity;
    use crate::propose::Usage;

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
        metrics.phase("lock", 0.001);
        let open = |pulls, questions| Open {
            pulls,
            questions,
            on_trial: 1,
        };
        metrics.open(1, open(2, 1));
        metrics.open(2, open(1, 1));
        metrics.open(3, open(5, 5));
        metrics.open(1, open(3, 0));
        metrics.looked_after(&[1, 2, 4]);
        metrics.reverted("command");
        metrics.verdict("healed");
        metrics.tally(&Tally {
            usage: Usage {
                calls: 2,
                prompt_tokens: 900,
                completion_tokens: 80,
                cost: 1_500_000,
            },
            blocked: vec![Code::NotUnlocked],
            risks: vec![Severity::Low, Severity::Low],
        });
        metrics.model_left(Left { hour: 3, day: 40 });
        let text = metrics.text();
        let mut lines: Vec<&str> = text.lines().filter(|l| !l.contains("bucket")).collect();
        lines.sort_unstable();
        insta::assert_snapshot!(lines.join("\n"));
    }

    #[test]
    fn who_does_not_lead_counts_nothing_as_open() {
        let metrics = Metrics::default();
        let open = Open {
            pulls: 2,
            questions: 1,
            on_trial: 1,
        };
        metrics.open(1, open);
        metrics.model_left(Left { hour: 3, day: 40 });
        metrics.leader(true);
        assert!(metrics.text().contains("kubemend_open_pull_requests 2"));
        assert!(
            metrics
                .text()
                .contains("requests_remaining{window=\"hour\"} 3")
        );
        metrics.leader(false);
        let text = metrics.text();
        assert!(text.contains("kubemend_open_pull_requests 0"), "{text}");
        assert!(text.contains("kubemend_open_questions 0"), "{text}");
        assert!(!text.contains("requests_remaining{window"), "{text}");
    }
}
