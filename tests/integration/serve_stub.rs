//! A server with a scripted runner behind it, and a plain HTTP client on loopback.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hmac::{Hmac, KeyInit as _, Mac as _};
use kubemend::cycle::Report;
use kubemend::github;
use kubemend::metrics::Metrics;
use kubemend::serve::{Failed, Pending, Place, Runner, Secrets, Settings};
use secrecy::SecretString;
use sha2::Sha256;
use tokio::runtime::Runtime;
use tokio::sync::{Semaphore, oneshot, watch};
use tokio::task::JoinHandle;

pub(crate) const SECRET: &str = "a webhook secret for tests";
/// So long a test waits for something that must happen; nothing is concluded from the time.
const PATIENCE: Duration = Duration::from_secs(60);

/// What a pass does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Behaviour {
    Panics,
    Hangs,
}

/// Counts passes, and lets each one through only when it is told to.
pub(crate) struct Script {
    pub(crate) places: Vec<Place>,
    /// What "the forge" holds now, and what the last finished pass of a repository saw of it.
    pub(crate) truth: AtomicU64,
    /// Whether the list of repositories cannot be read now.
    pub(crate) outage: AtomicBool,
    pub(crate) observed: Mutex<BTreeMap<u64, u64>>,
    pub(crate) behaviour: Mutex<BTreeMap<u64, Behaviour>>,
    /// Whether this process leads.
    pub(crate) leads: watch::Sender<bool>,
    /// How often the leader was asked to look.
    pub(crate) rings: AtomicUsize,
    gate: Semaphore,
    pub(crate) running: Mutex<BTreeSet<u64>>,
    pub(crate) most_at_a_time: AtomicUsize,
    begun: Mutex<Sender<u64>>,
    ended: Mutex<Sender<u64>>,
}

/// What happened, in order.
pub(crate) struct Events {
    pub(crate) begun: Receiver<u64>,
    pub(crate) ended: Receiver<u64>,
}

impl Script {
    pub(crate) fn new(ids: &[u64]) -> (Arc<Self>, Events) {
        let place = |id: &u64| Place {
            id: *id,
            full_name: format!("acme/shop-{id}"),
            installation: None,
        };
        let ((begun, begun_out), (ended, ended_out)) = (channel(), channel());
        let script = Self {
            places: ids.iter().map(place).collect(),
            truth: AtomicU64::new(0),
            outage: AtomicBool::new(false),
            observed: Mutex::default(),
            behaviour: Mutex::default(),
            leads: watch::Sender::new(true),
            rings: AtomicUsize::new(0),
            gate: Semaphore::new(Semaphore::MAX_PERMITS / 2),
            running: Mutex::default(),
            most_at_a_time: AtomicUsize::new(0),
            begun: Mutex::new(begun),
            ended: Mutex::new(ended),
        };
        let events = Events {
            begun: begun_out,
            ended: ended_out,
        };
        (Arc::new(script), events)
    }

    /// From now on passes wait at the gate.
    pub(crate) fn shut(&self) {
        self.gate.forget_permits(usize::MAX);
    }

    /// Lets so many passes through.
    pub(crate) fn admit(&self, passes: usize) {
        self.gate.add_permits(passes);
    }

    async fn one(&self, place: Place) -> Report {
        let saw = self.truth.load(Ordering::SeqCst);
        let _inside = Inside::enter(self, place.id);
        self.begun.lock().unwrap().send(place.id).ok();
        let behaviour = self.behaviour.lock().unwrap().get(&place.id).copied();
        match behaviour {
            Some(Behaviour::Panics) => panic!("scripted"),
            Some(Behaviour::Hangs) => std::future::pending().await,
            None => self.gate.acquire().await.unwrap().forget(),
        }
        self.observed.lock().unwrap().insert(place.id, saw);
        Report::default()
    }
}

/// A pass that is under way; it is told to have ended also when it is dropped in the middle.
struct Inside<'s>(&'s Script, u64);

impl<'s> Inside<'s> {
    fn enter(script: &'s Script, id: u64) -> Self {
        let mut running = script.running.lock().unwrap();
        assert!(running.insert(id), "two passes over one repository");
        script
            .most_at_a_time
            .fetch_max(running.len(), Ordering::SeqCst);
        Self(script, id)
    }
}

impl Drop for Inside<'_> {
    fn drop(&mut self) {
        self.0.running.lock().unwrap().remove(&self.1);
        self.0.ended.lock().unwrap().send(self.1).ok();
    }
}

impl Runner for Script {
    fn repositories(&self) -> Pending<'_, Result<Vec<Place>, github::Error>> {
        Box::pin(async {
            match self.outage.load(Ordering::SeqCst) {
                true => Err(github::Error::Unavailable("scripted".to_owned())),
                false => Ok(self.places.clone()),
            }
        })
    }

    fn serves(&self, full_name: &str) -> bool {
        !full_name.starts_with("other/")
    }

    fn pass(&self, place: Place) -> Pending<'_, Result<Report, Failed>> {
        Box::pin(async { Ok(self.one(place).await) })
    }

    fn redeliver(&self) -> Pending<'_, Result<usize, github::Error>> {
        Box::pin(async { Ok(0) })
    }

    fn leads(&self) -> watch::Receiver<bool> {
        self.leads.subscribe()
    }

    fn ring(&self) {
        self.rings.fetch_add(1, Ordering::SeqCst);
    }

    fn me(&self) -> Option<u64> {
        Some(1)
    }
}

/// The next thing that happens; the test fails when nothing does.
pub(crate) fn next(events: &Receiver<u64>) -> u64 {
    events.recv_timeout(PATIENCE).expect("a pass")
}

/// A server on loopback.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    pub(crate) metrics: Arc<Metrics>,
    runtime: Option<Runtime>,
    stop: Option<oneshot::Sender<()>>,
    task: Option<JoinHandle<bool>>,
}

/// Settings with the test's secret, sweeping only at the start.
pub(crate) fn settings() -> Settings {
    Settings {
        secrets: Some(secrets(SECRET)),
        sweep: Duration::from_secs(24 * 3_600),
        ..Settings::default()
    }
}

pub(crate) fn secrets(text: &str) -> Secrets {
    Secrets::parse(&SecretString::from(text)).unwrap()
}

impl Server {
    pub(crate) fn start(settings: Settings, runner: Arc<dyn Runner>) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        let listener = runtime
            .block_on(tokio::net::TcpListener::bind("127.0.0.1:0"))
            .unwrap();
        let address = listener.local_addr().unwrap();
        let metrics = Arc::new(Metrics::default());
        let (stop, stopped) = oneshot::channel::<()>();
        let told = async {
            stopped.await.ok();
        };
        let server = kubemend::serve::run(listener, settings, runner, Arc::clone(&metrics), told);
        let task = runtime.spawn(server);
        Self {
            address,
            metrics,
            runtime: Some(runtime),
            stop: Some(stop),
            task: Some(task),
        }
    }

    /// Asks the server to stop, as SIGTERM does.
    pub(crate) fn ask_to_stop(&mut self) {
        self.stop.take().unwrap().send(()).unwrap();
    }

    /// Waits until it has stopped; whether everything ended by itself.
    pub(crate) fn wait(&mut self) -> bool {
        let task = self.task.take().unwrap();
        self.runtime.as_ref().unwrap().block_on(task).unwrap()
    }

    /// Ends it in the middle of whatever it does.
    pub(crate) fn kill(mut self) {
        self.runtime.take().unwrap().shutdown_background();
    }

    pub(crate) fn get(&self, path: &str) -> (u16, String) {
        let (status, body) = Client::new(self.address)
            .send(&format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n"), b"")
            .unwrap();
        (status, String::from_utf8(body).unwrap())
    }

    /// A delivery, signed.
    pub(crate) fn deliver(&self, event: &str, id: &str, body: &[u8]) -> (u16, String) {
        let head = head(event, id, &sign(SECRET, body), body.len());
        let (status, word) = Client::new(self.address).send(&head, body).unwrap();
        (status, String::from_utf8(word).unwrap())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// The head of a delivery.
pub(crate) fn head(event: &str, id: &str, signature: &str, length: usize) -> String {
    format!(
        "POST /webhook/github HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: {length}\r\nx-github-event: {event}\r\nx-github-delivery: {id}\r\nx-hub-signature-256: {signature}\r\n\r\n"
    )
}

pub(crate) fn sign(secret: &str, body: &[u8]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(body);
    let digits = mac.finalize().into_bytes();
    let digits: String = digits.iter().map(|b| format!("{b:02x}")).collect();
    format!("sha256={digits}")
}

/// One connection.
pub(crate) struct Client {
    pub(crate) stream: BufReader<TcpStream>,
}

impl Client {
    pub(crate) fn new(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Self {
            stream: BufReader::new(stream),
        }
    }

    /// One request and its answer. A server may answer, and hang up, before it has read all.
    pub(crate) fn send(&mut self, head: &str, body: &[u8]) -> std::io::Result<(u16, Vec<u8>)> {
        let stream = self.stream.get_mut();
        let written = stream
            .write_all(head.as_bytes())
            .and_then(|()| stream.write_all(body));
        self.answer().or_else(|e| written.and(Err(e)))
    }

    pub(crate) fn answer(&mut self) -> std::io::Result<(u16, Vec<u8>)> {
        let mut line = String::new();
        self.stream.read_line(&mut line)?;
        let status = line.split(' ').nth(1).and_then(|s| s.parse().ok());
        let status = status.ok_or(std::io::ErrorKind::UnexpectedEof)?;
        let mut length = 0;
        loop {
            line.clear();
            self.stream.read_line(&mut line)?;
            if line.trim().is_empty() {
                break;
            }
            if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().unwrap();
            }
        }
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body)?;
        Ok((status, body))
    }
}

/// The payload of an event in a repository of the script.
pub(crate) fn payload(id: u64, action: &str) -> Vec<u8> {
    serde_json::json!({
        "action": action,
        "repository": {"id": id, "full_name": format!("acme/shop-{id}"), "default_branch": "main"},
        "sender": {"id": 7, "type": "User"},
        "comment": {"body": "/kubemend retry"},
    })
    .to_string()
    .into_bytes()
}
