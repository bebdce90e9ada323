//! A collector of traces: what is sent over OTLP, request by request.
#![allow(unreachable_pub)]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message as _;

/// So long a test waits for something that must happen; nothing is concluded from the time.
const PATIENCE: Duration = Duration::from_secs(300);
/// What a test sends when everybody else is done.
const END: &str = "/end";

/// Listens on a port of loopback.
pub struct Collector {
    address: SocketAddr,
    received: Receiver<(String, Vec<u8>)>,
}

impl Collector {
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (send, received) = channel();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let _ = send.send(answered(stream.unwrap()));
            }
        });
        Self { address, received }
    }

    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Everything that was sent by those who have ended.
    pub fn requests(self) -> Vec<ExportTraceServiceRequest> {
        let mut last = TcpStream::connect(self.address).unwrap();
        let end = format!("POST {END} HTTP/1.1\r\ncontent-length: 0\r\n\r\n");
        last.write_all(end.as_bytes()).unwrap();
        let mut requests = Vec::new();
        loop {
            let (path, body) = self.received.recv_timeout(PATIENCE).unwrap();
            if path == END {
                return requests;
            }
            assert_eq!(path, "/v1/traces");
            requests.push(ExportTraceServiceRequest::decode(body.as_slice()).unwrap());
        }
    }
}

/// All spans of some requests.
pub fn spans(requests: &[ExportTraceServiceRequest]) -> Vec<&Span> {
    let resources = requests.iter().flat_map(|r| &r.resource_spans);
    let scopes = resources.flat_map(|r| &r.scope_spans);
    scopes.flat_map(|s| &s.spans).collect()
}

/// Path and body of one request, which is answered with 200.
fn answered(mut stream: TcpStream) -> (String, Vec<u8>) {
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
