//! What an operator sees: numbers, and traces as a collector receives them.

use std::sync::Arc;

use kubemend::cli::LogFormat;
use kubemend::code::Code;
use kubemend::cycle::Open;
use kubemend::finding::Severity;
use kubemend::metrics::Metrics;
use kubemend::phase::{self, Phase};
use kubemend::tally::Tally;
use kubemend::telemetry::Telemetry;

use crate::collector::{Collector, spans};

/// A pass and its phases, linked, with nothing of the log in them.
pub(crate) fn traces_reach_a_collector() {
    let collector = Collector::start();
    let metrics = Arc::new(Metrics::default());
    let telemetry =
        Telemetry::start(LogFormat::Json, &metrics, Some(&collector.endpoint())).unwrap();
    let pass = phase::pass("acme/gitops");
    pass.in_scope(|| Phase::Detect.run(|| tracing::info!("a log line")));
    pass.record("outcome", "done");
    drop(pass);
    drop(telemetry); // sends what is left

    let requests = collector.requests();
    let resource = format!("{:?}", requests[0].resource_spans[0].resource);
    assert!(resource.contains("kubemend"), "{resource}");
    let spans = spans(&requests);
    let named = |name: &str| *spans.iter().find(|s| s.name == name).unwrap();
    let (pass, detect) = (named("pass"), named("detect"));
    assert_eq!(spans.len(), 2);
    assert_eq!(detect.parent_span_id, pass.span_id);
    assert_eq!(detect.trace_id, pass.trace_id);
    let facts = format!("{:?}", pass.attributes);
    assert!(
        facts.contains("acme/gitops") && facts.contains("done"),
        "{facts}"
    );
    assert!(spans.iter().all(|s| s.events.is_empty()));
    let counted = "kubemend_phase_duration_seconds_count{phase=\"detect\"} 1";
    assert!(metrics.text().contains(counted));
}

/// Every number once: what has labels is not told before.
pub(crate) fn everything_counted() -> Metrics {
    let metrics = Metrics::default();
    metrics.delivery(Some("push"), "queued");
    metrics.pass("done", 0.1, jiff::Timestamp::UNIX_EPOCH);
    metrics.phase("lock", 0.1);
    metrics.sweep("done");
    metrics.open(1, Open::default());
    metrics.pull("created");
    metrics.question("created");
    metrics.reverted("command");
    metrics.verdict("healed");
    metrics.tally(&Tally {
        blocked: vec![Code::NotUnlocked],
        risks: vec![Severity::Low],
        ..Tally::default()
    });
    metrics.forge_request("GET", Some(200));
    metrics.forge_remaining("core", 1);
    metrics.model_left(kubemend::propose::ration::Left { hour: 1, day: 1 });
    metrics.command("retry", "done");
    metrics.refusal("NoSafeFix");
    metrics.fetch("done");
    metrics
}
