//! What an operator sees: numbers, and traces as a collector receives them.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::Duration;

use kubemend::cli::LogFormat;
use kubemend::code::Code;
use kubemend::cycle::Open;
use kubemend::finding::Severity;
use kubemend::metrics::Metrics;
use kubemend::phase::{self, Phase};
use kubemend::tally::Tally;
use kubemend::telemetry::Telemetry;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message as _;

/// A pass and its phases, linked, with nothing of the log in them.
pub(crate) fn traces_reach_a_collector() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let (send, received) = channel();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let _ = send.send(answered(stream.unwrap()));
        }
    });

    let metrics = Arc::new(Metrics::default());
    let telemetry = Telemetry::start(LogFormat::Json, &metrics, Some(&endpoint)).unwrap();
    let pass = phase::pass("acme/gitops");
    pass.in_scope(|| Phase::Detect.run(|| tracing::info!("a log line")));
    pass.record("outcome", "done");
    drop(pass);
    drop(telemetry); // sends what is left

    let (path, body) = received.recv_timeout(Duration::from_secs(60)).unwrap();
    assert_eq!(path, "/v1/traces");
    let request = ExportTraceServiceRequest::decode(body.as_slice()).unwrap();
    let resource = format!("{:?}", request.resource_spans[0].resource);
    assert!(resource.contains("kubemend"), "{resource}");
    let scopes = request.resource_spans.iter().flat_map(|r| &r.scope_spans);
    let spans: Vec<&Span> = scopes.flat_map(|s| &s.spans).collect();
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

/// Path and body of one request, which is answered with 200.
fn answered(mut stream: std::net::TcpStream) -> (String, Vec<u8>) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let (mut line, mut length) = (String::new(), 0);
    reader.read_line(&mut line).unwrap();
    let path = line.split(' ').nth(1).unwrap_or_default().to_owned();
    loop {
        let mut header = String::new();
        reader.read_line(&mut header).unwrap();
        if header.trim().is_empty() {
            break;
        }
        let (name, value) = header.split_once(':').unwrap();
        if name.eq_ignore_ascii_case("content-length") {
            length = value.trim().parse().unwrap();
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    let said = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
    stream.write_all(said).unwrap();
    (path, body)
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
