//! An API server on loopback, as far as lists and watches go: pages with continue tokens, lists as
//! streams, bookmarks, a history that ends, and whatever goes wrong with them.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::io::Write as _;
use std::sync::{Arc, Mutex, MutexGuard};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse as _, Response};
use futures::{StreamExt as _, stream};
use serde_json::{Value, json};
use tokio::sync::Notify;

/// So many events of a kind are remembered; who asks for older ones is told that they are gone.
const HISTORY: usize = 1_000;
/// So many objects of a streamed list are prepared at once.
const CHUNK: usize = 100;
/// Objects of a page, unless asked for less.
const PAGE: usize = 500;

/// A running server; it ends with this value.
pub(crate) struct ApiServer {
    pub(crate) world: Arc<World>,
    pub(crate) kubeconfig: tempfile::NamedTempFile,
    task: tokio::task::JoinHandle<()>,
}

/// What goes wrong, once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The next watch is told that what it asks for is gone.
    Gone,
    /// Every open watch ends in the middle of a line.
    Cut,
    /// The next list with a continue token is told that it is too old.
    Expired,
    /// These bytes come as a line of every open watch.
    Line(Vec<u8>),
    /// The next list, in pages or as a stream, begins and then is silent.
    Stall,
}

/// What the server has.
pub(crate) struct World {
    minor: u32,
    inner: Mutex<Inner>,
    changed: Notify,
}

#[derive(Default)]
struct Inner {
    version: u64,
    kinds: HashMap<String, Kind>,
    requests: Vec<String>,
    /// The status and reason that answer who asks for a list as a stream.
    refusal: Option<(u16, &'static str)>,
}

#[derive(Default)]
struct Kind {
    /// By `namespace/name`.
    objects: BTreeMap<String, Bytes>,
    /// Versions and lines of a watch.
    events: VecDeque<(u64, Bytes)>,
    /// Who asks for changes after an older version than this one is too late.
    forgotten: u64,
    /// Counts the ends of all watches, and the ends of streamed lists.
    cuts: u64,
    streamed: u64,
    is_gone: bool,
    is_expired: bool,
    is_stalling: bool,
}

impl ApiServer {
    /// Starts one that says it is Kubernetes 1.`minor`, on a runtime's thread.
    pub(crate) async fn start(minor: u32) -> Self {
        let world = Arc::new(World {
            minor,
            inner: Mutex::default(),
            changed: Notify::new(),
        });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let routes = Router::new()
            .fallback(answer)
            .with_state(Arc::clone(&world));
        let task = tokio::spawn(async move { axum::serve(listener, routes).await.unwrap() });
        let mut kubeconfig = tempfile::NamedTempFile::new().unwrap();
        write!(
            kubeconfig,
            "apiVersion: v1\nkind: Config\ncurrent-context: a\n\
             clusters: [{{name: a, cluster: {{server: '{url}'}}}}]\n\
             users: [{{name: a, user: {{}}}}]\ncontexts: [{{name: a, context: {{cluster: a, user: a}}}}]\n"
        )
        .unwrap();
        Self {
            world,
            kubeconfig,
            task,
        }
    }
}

impl Drop for ApiServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl World {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap()
    }

    /// Creates or changes an object of a kind like `/api/v1/pods`.
    pub(crate) fn put(&self, kind: &str, mut object: Value) {
        let key = key(&object);
        let mut inner = self.inner();
        inner.version += 1;
        if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
            let version = inner.version.to_string();
            metadata.insert("resourceVersion".to_owned(), version.into());
        }
        let version = inner.version;
        let bytes = Bytes::from(object.to_string());
        let of = inner.kinds.entry(kind.to_owned()).or_default();
        let known = of.objects.insert(key, bytes.clone()).is_some();
        of.tell(version, if known { "MODIFIED" } else { "ADDED" }, &bytes);
        drop(inner);
        self.changed.notify_waiters();
    }

    /// Takes an object away.
    pub(crate) fn delete(&self, kind: &str, namespace: &str, name: &str) {
        let mut inner = self.inner();
        inner.version += 1;
        let version = inner.version;
        let of = inner.kinds.entry(kind.to_owned()).or_default();
        let object = of.objects.remove(&format!("{namespace}/{name}"));
        let mut last: Value = serde_json::from_slice(&object.unwrap()).unwrap();
        last["metadata"]["resourceVersion"] = version.to_string().into();
        of.tell(version, "DELETED", last.to_string().as_bytes());
        drop(inner);
        self.changed.notify_waiters();
    }

    /// An object whose JSON is given as it is.
    pub(crate) fn put_raw(&self, kind: &str, key: &str, json: &[u8]) {
        let mut inner = self.inner();
        inner.version += 1;
        let version = inner.version;
        let of = inner.kinds.entry(kind.to_owned()).or_default();
        of.objects
            .insert(key.to_owned(), Bytes::copy_from_slice(json));
        of.tell(version, "MODIFIED", json);
        drop(inner);
        self.changed.notify_waiters();
    }

    /// Takes such an object away, without a word.
    pub(crate) fn delete_raw(&self, kind: &str, key: &str) {
        let mut inner = self.inner();
        let of = inner.kinds.entry(kind.to_owned()).or_default();
        of.objects.remove(key);
    }

    /// Lets something go wrong with a kind.
    pub(crate) fn fault(&self, kind: &str, fault: Fault) {
        let mut inner = self.inner();
        inner.version += 1;
        let version = inner.version;
        let of = inner.kinds.entry(kind.to_owned()).or_default();
        of.cuts += u64::from(matches!(fault, Fault::Gone | Fault::Cut));
        match fault {
            Fault::Gone => of.is_gone = true,
            Fault::Expired => of.is_expired = true,
            Fault::Stall => of.is_stalling = true,
            Fault::Line(bytes) => of.events.push_back((version, Bytes::from(bytes))),
            Fault::Cut => {}
        }
        drop(inner);
        self.changed.notify_waiters();
    }

    /// From now on lists are not streamed, as if the feature gate were off.
    pub(crate) fn refuse_streams(&self, code: u16, reason: &'static str) {
        self.inner().refusal = Some((code, reason));
    }

    /// Waits until a list of a kind is told to stall, and does.
    pub(crate) async fn stalled(&self, kind: &str) {
        loop {
            let changed = self.changed.notified();
            let mut changed = std::pin::pin!(changed);
            // from here on no change is missed
            changed.as_mut().enable();
            if !self.is_stalling(kind) {
                return;
            }
            changed.await;
        }
    }

    fn is_stalling(&self, kind: &str) -> bool {
        let inner = self.inner();
        inner.kinds.get(kind).is_some_and(|of| of.is_stalling)
    }

    /// Whether the list that is asked for now stalls.
    fn takes_stall(&self, kind: &str) -> bool {
        let mut inner = self.inner();
        let of = inner.kinds.get_mut(kind);
        let stalls = of.is_some_and(|of| std::mem::take(&mut of.is_stalling));
        drop(inner);
        if stalls {
            self.changed.notify_waiters();
        }
        stalls
    }

    fn refusal(&self) -> Option<Response> {
        let (code, reason) = self.inner().refusal?;
        let mut body = failure(code, reason);
        body["message"] = "ListOptions.meta.k8s.io \"\" is invalid: sendInitialEvents: Forbidden: \
            sendInitialEvents is forbidden for watch unless the WatchList feature gate is enabled"
            .into();
        let code = StatusCode::from_u16(code).unwrap();
        Some((code, json_of(&body)).into_response())
    }

    /// How often a list of a kind was streamed to its end.
    pub(crate) fn streamed(&self, kind: &str) -> u64 {
        self.inner().kinds.get(kind).map_or(0, |of| of.streamed)
    }

    /// The paths that were asked for, with their queries.
    pub(crate) fn requests(&self) -> Vec<String> {
        self.inner().requests.clone()
    }
}

impl Kind {
    fn tell(&mut self, version: u64, what: &str, object: &[u8]) {
        let mut line = format!("{{\"type\":\"{what}\",\"object\":").into_bytes();
        line.extend_from_slice(object);
        line.extend_from_slice(b"}\n");
        self.events.push_back((version, line.into()));
        while self.events.len() > HISTORY {
            self.forgotten = self.events.pop_front().map_or(0, |(version, _)| version);
        }
    }
}

fn key(object: &Value) -> String {
    let text = |at: &str| object.pointer(at).and_then(Value::as_str);
    let (namespace, name) = (text("/metadata/namespace"), text("/metadata/name"));
    format!(
        "{}/{}",
        namespace.unwrap_or_default(),
        name.unwrap_or_default()
    )
}

/// What a path names: the kind, and the prefix of the keys that are meant.
fn scope(path: &str) -> (String, String) {
    match path.split_once("/namespaces/") {
        Some((root, rest)) => match rest.split_once('/') {
            Some((namespace, plural)) => (format!("{root}/{plural}"), format!("{namespace}/")),
            None => (path.to_owned(), String::new()),
        },
        None => (path.to_owned(), String::new()),
    }
}

async fn answer(State(world): State<Arc<World>>, uri: Uri) -> Response {
    world.inner().requests.push(uri.to_string());
    let query: HashMap<String, String> = parameters(uri.query().unwrap_or_default());
    let is = |key: &str| query.get(key).is_some_and(|v| v == "true");
    let path = uri.path();
    if path == "/version" {
        let minor = world.minor;
        return json_of(
            &json!({"major": "1", "minor": minor.to_string(), "gitVersion": format!("v1.{minor}.0"),
            "gitCommit": "", "gitTreeState": "", "buildDate": "", "goVersion": "", "compiler": "", "platform": ""}),
        );
    }
    // there are no logs, and no definitions of GitOps engines
    if path.ends_with("/log") || path.contains("argoproj.io") || path.contains("fluxcd.io") {
        return status(404, "NotFound");
    }
    let (kind, prefix) = scope(path);
    let streams = is("sendInitialEvents");
    if streams && let Some(refusal) = world.refusal() {
        return refusal;
    }
    if (streams || !is("watch")) && world.takes_stall(&kind) {
        return half();
    }
    if !is("watch") {
        return list(&world, &kind, &prefix, &query);
    }
    let asked = query.get("resourceVersion").and_then(|v| v.parse().ok());
    // of all namespaces: nothing here watches a single one
    watch(world, kind, streams, asked.unwrap_or(0))
}

fn parameters(query: &str) -> HashMap<String, String> {
    let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    pairs
        .map(|(key, value)| (key.to_owned(), value.replace("%2F", "/")))
        .collect()
}

fn json_of(value: &Value) -> Response {
    ([("content-type", "application/json")], value.to_string()).into_response()
}

fn failure(code: u16, reason: &str) -> Value {
    json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "message": reason, "reason": reason, "code": code})
}

fn status(code: u16, reason: &str) -> Response {
    let code = StatusCode::from_u16(code).unwrap();
    (code, json_of(&failure(code.as_u16(), reason))).into_response()
}

/// The first bytes of an answer, and never the rest: not even its end.
fn half() -> Response {
    let first = Bytes::from_static(b"{\"kind\":\"List\",\"apiVersion\":\"v1\",\"items\":[{\"meta");
    let first = stream::iter([Ok::<_, std::io::Error>(first)]);
    Body::from_stream(first.chain(stream::pending())).into_response()
}

/// A page. The continue token is the key that the page before ended with.
fn list(world: &World, kind: &str, prefix: &str, query: &HashMap<String, String>) -> Response {
    let mut inner = world.inner();
    let version = inner.version;
    let of = inner.kinds.entry(kind.to_owned()).or_default();
    let after = query.get("continue");
    if after.is_some() && std::mem::take(&mut of.is_expired) {
        return status(410, "Expired");
    }
    let limit = query.get("limit").and_then(|l| l.parse().ok());
    let limit: usize = limit.unwrap_or(PAGE);
    let mut meant = of
        .objects
        .iter()
        .filter(|(key, _)| key.starts_with(prefix) && after.is_none_or(|a| *key > a));
    let mut body = Vec::new();
    let mut last = None;
    for (key, object) in meant.by_ref().take(limit) {
        body.push(if last.is_some() { b',' } else { b' ' });
        body.extend_from_slice(object);
        last = Some(key.clone());
    }
    let next = meant.next().and(last).unwrap_or_default();
    let mut text = format!(
        "{{\"kind\":\"List\",\"apiVersion\":\"v1\",\"metadata\":{{\"resourceVersion\":\"{version}\",\"continue\":\"{next}\"}},\"items\":["
    )
    .into_bytes();
    text.extend_from_slice(&body);
    text.extend_from_slice(b"]}");
    ([("content-type", "application/json")], text).into_response()
}

/// Where a watch is.
struct Watching {
    world: Arc<World>,
    kind: String,
    /// The key after which the list goes on, while there is a list.
    listing: Option<String>,
    version: u64,
    cuts: u64,
    ended: bool,
}

fn watch(world: Arc<World>, kind: String, lists: bool, from: u64) -> Response {
    let (gone, version, cuts) = {
        let mut inner = world.inner();
        let version = inner.version;
        let of = inner.kinds.entry(kind.clone()).or_default();
        let old = !lists && from < of.forgotten;
        (std::mem::take(&mut of.is_gone) || old, version, of.cuts)
    };
    if gone {
        let line = json!({"type": "ERROR", "object": failure(410, "Expired")});
        return Body::from(format!("{line}\n")).into_response();
    }
    let start = Watching {
        world,
        kind,
        listing: lists.then(String::new),
        version: if lists { version } else { from },
        cuts,
        ended: false,
    };
    Body::from_stream(stream::unfold(start, next).flatten()).into_response()
}

type Lines = stream::Iter<std::vec::IntoIter<std::io::Result<Bytes>>>;

/// The next lines of a watch; waits until there are some.
async fn next(mut at: Watching) -> Option<(Lines, Watching)> {
    if at.ended {
        return None;
    }
    let world = Arc::clone(&at.world);
    loop {
        let changed = world.changed.notified();
        let mut changed = std::pin::pin!(changed);
        // from here on no change is missed
        changed.as_mut().enable();
        let lines = at.ready();
        if !lines.is_empty() {
            return Some((stream::iter(lines), at));
        }
        changed.await;
    }
}

impl Watching {
    fn ready(&mut self) -> Vec<std::io::Result<Bytes>> {
        let mut inner = self.world.inner();
        let Some(of) = inner.kinds.get_mut(&self.kind) else {
            return Vec::new();
        };
        if of.cuts != self.cuts {
            self.ended = true;
            let half = Bytes::from_static(b"{\"type\":\"MODIFIED\",\"object\":{\"meta");
            return vec![Ok(half), Err(std::io::Error::other("cut"))];
        }
        if let Some(after) = self.listing.take() {
            let rest = of.objects.range(after.clone()..);
            let rest = rest.filter(|(key, _)| **key != after);
            let chunk: Vec<_> = rest.take(CHUNK).collect();
            let line = |object: &Bytes| {
                let parts = [b"{\"type\":\"ADDED\",\"object\":", &object[..], b"}\n"];
                Ok(Bytes::from(parts.concat()))
            };
            if let Some((last, _)) = chunk.last() {
                self.listing = Some((*last).clone());
                return chunk.iter().map(|(_, object)| line(object)).collect();
            }
            of.streamed += 1;
            let end = json!({"type": "BOOKMARK", "object": {"kind": "Pod", "apiVersion": "v1", "metadata": {
                "resourceVersion": self.version.to_string(), "annotations": {"k8s.io/initial-events-end": "true"}}}});
            return vec![Ok(Bytes::from(format!("{end}\n")))];
        }
        let new = of
            .events
            .iter()
            .filter(|(version, _)| *version > self.version);
        let new: Vec<_> = new.cloned().collect();
        if let Some((version, _)) = new.last() {
            self.version = *version;
        }
        new.into_iter().map(|(_, line)| Ok(line)).collect()
    }
}
