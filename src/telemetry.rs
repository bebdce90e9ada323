//! What is told of a run while it goes on: log lines, durations of phases, traces. The only user of
//! tracing-subscriber and OpenTelemetry.
//!
//! Spans come from `phase`; here is the clock. Traces hold the phases, the repository and how the
//! pass ended, nothing else: no log line goes into them.

use std::sync::Arc;
use std::time::{Duration, Instant};

use opentelemetry::trace::TracerProvider as _;
use opentelemetry_otlp::{SpanExporter, WithExportConfig as _, WithHttpConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{SdkTracerProvider, Tracer};
use tracing::Subscriber;
use tracing::span::{Attributes, Id};
use tracing_opentelemetry::OpenTelemetryLayer;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Registry, fmt};

use crate::cli::LogFormat;
use crate::metrics::Metrics;
use crate::phase;

/// How long a collector may take for one answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// Lets log lines through to standard error: our own from `info`, others' from `warn`, or what
/// KUBEMEND_LOG says.
pub fn logs(format: LogFormat) {
    // a second call changes nothing
    let _ = tracing_subscriber::registry()
        .with(lines(format))
        .try_init();
}

fn lines<S>(format: LogFormat) -> impl Layer<S>
where
    S: Subscriber + for<'s> LookupSpan<'s>,
{
    let filter = EnvFilter::try_from_env("KUBEMEND_LOG")
        .unwrap_or_else(|_| EnvFilter::new("warn,kubemend=info,audit=info"));
    let lines = fmt::layer().with_writer(std::io::stderr).with_ansi(false);
    let lines = match format {
        LogFormat::Text => lines.boxed(),
        LogFormat::Json => lines.json().flatten_event(true).boxed(),
    };
    lines.with_filter(filter)
}

/// Where traces go cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("--otlp-endpoint {endpoint}: {why}")]
pub struct Unusable {
    endpoint: String,
    why: String,
}

/// Traces under way; what is left of them is sent when this value goes.
#[derive(Debug)]
pub struct Telemetry {
    traces: Option<SdkTracerProvider>,
}

impl Telemetry {
    /// Logs, durations into `metrics`, and traces to an OTLP collector where one is given. Must not
    /// be called inside of an asynchronous task: the exporter has a thread of its own.
    pub fn start(
        format: LogFormat,
        metrics: &Arc<Metrics>,
        otlp: Option<&str>,
    ) -> Result<Self, Unusable> {
        let traces = otlp.map(exporter).transpose()?;
        let phases = Targets::new().with_target(phase::TARGET, LevelFilter::INFO);
        let spans = phases.clone().with_target(phase::PASS, LevelFilter::INFO);
        let traced = traces.as_ref().map(|t| to_collector(t).with_filter(spans));
        let _ = tracing_subscriber::registry()
            .with(traced)
            .with(lines(format))
            .with(Durations(Arc::clone(metrics)).with_filter(phases))
            .try_init();
        Ok(Self { traces })
    }
}

impl Drop for Telemetry {
    fn drop(&mut self) {
        if let Some(traces) = &self.traces
            && let Err(error) = traces.shutdown()
        {
            tracing::warn!(%error, "the last traces were not sent");
        }
    }
}

fn exporter(endpoint: &str) -> Result<SdkTracerProvider, Unusable> {
    let unusable = |why: &dyn std::fmt::Display| Unusable {
        endpoint: endpoint.to_owned(),
        why: why.to_string(),
    };
    // a second call changes nothing
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = reqwest::blocking::Client::builder().timeout(PATIENCE);
    let client = client.build().map_err(|e| unusable(&e))?;
    let exporter = SpanExporter::builder()
        .with_http()
        .with_http_client(client)
        .with_endpoint(format!("{}/v1/traces", endpoint.trim_end_matches('/')))
        .with_timeout(PATIENCE)
        .build()
        .map_err(|e| unusable(&e))?;
    let resource = Resource::builder()
        .with_service_name("kubemend")
        .with_attribute(opentelemetry::KeyValue::new(
            "service.version",
            env!("CARGO_PKG_VERSION"),
        ));
    Ok(SdkTracerProvider::builder()
        .with_resource(resource.build())
        .with_batch_exporter(exporter)
        .build())
}

fn to_collector(traces: &SdkTracerProvider) -> OpenTelemetryLayer<Registry, Tracer> {
    tracing_opentelemetry::layer()
        .with_tracer(traces.tracer("kubemend"))
        .with_location(false)
        .with_threads(false)
        .with_target(false)
}

/// Measures how long phases take.
struct Durations(Arc<Metrics>);

impl<S> Layer<S> for Durations
where
    S: Subscriber + for<'s> LookupSpan<'s>,
{
    fn on_new_span(&self, _: &Attributes<'_>, id: &Id, ctx: Context<'_, S>) {
        if let Some(span) = ctx.span(id) {
            span.extensions_mut().insert(Instant::now());
        }
    }

    fn on_close(&self, id: Id, ctx: Context<'_, S>) {
        let Some(span) = ctx.span(&id) else { return };
        let begun = span.extensions().get::<Instant>().copied();
        if let Some(begun) = begun {
            self.0.phase(span.name(), begun.elapsed().as_secs_f64());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::phase::Phase;

    #[test]
    fn each_phase_is_measured_once() {
        let metrics = Arc::new(Metrics::default());
        let spans = Targets::new().with_target(phase::TARGET, LevelFilter::INFO);
        let watched =
            tracing_subscriber::registry().with(Durations(Arc::clone(&metrics)).with_filter(spans));
        tracing::subscriber::with_default(watched, || {
            Phase::Detect.run(|| Phase::Lock.run(|| ()));
            Phase::Lock.run(|| ());
            tracing::info_span!("of somebody else").in_scope(|| ());
        });
        let text = metrics.text();
        let counts = text
            .lines()
            .filter(|l| l.starts_with("kubemend_phase_duration_seconds_count"));
        let mut counts: Vec<&str> = counts.collect();
        counts.sort_unstable();
        assert_eq!(
            counts,
            [
                "kubemend_phase_duration_seconds_count{phase=\"detect\"} 1",
                "kubemend_phase_duration_seconds_count{phase=\"lock\"} 2",
            ]
        );
    }
}
