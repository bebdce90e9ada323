//! The watch: a stream for each kind, into one board.
//!
//! It has a thread and connections of its own. To wake up costs more than to read a change, and each packet
//! wakes up who waits for it: so the thread sleeps a moment before it waits, and then reads what has come.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::StreamExt as _;
use futures::stream::BoxStream;
use jiff::{SignedDuration, Timestamp};
use kube::Api;
use kube::runtime::WatchStreamExt as _;
use kube::runtime::watcher::{self, Event, watcher};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::{Notify, oneshot};
use tokio::task::JoinSet;

use super::slim::{Kind, Slim};
use super::{Cluster, ClusterError, chain, failure};
use crate::watch::sign::sign;
use crate::watch::{Board, Id, Watched};

/// Objects of one page of a list, where lists are not streamed.
const PAGE: u32 = 500;
/// How often a kind that the cluster does not have is asked for again.
const ABSENT: Duration = Duration::from_secs(300);
/// How long changes gather before they are read.
const GATHER: Duration = Duration::from_millis(100);
/// How long the first lists may take before a pass gives up.
const FIRST_LISTS: Duration = Duration::from_secs(120);

/// A running watch; it ends when it is dropped.
pub struct Watch {
    shared: Arc<Shared>,
    scopes: Vec<String>,
    _owner: oneshot::Sender<()>,
}

struct Shared {
    board: Mutex<Board>,
    changed: Notify,
    /// Lists that are being read: as fast as they come.
    lists: AtomicUsize,
}

impl Shared {
    fn board(&self) -> MutexGuard<'_, Board> {
        self.board.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Cluster {
    /// Starts to watch, in a thread that ends with the watch. What looks ill for `age` is worth a look.
    pub fn watch(&self, age: SignedDuration) -> Result<Watch, ClusterError> {
        let (watch, driver) = self.watching(age);
        let shared = Arc::clone(&watch.shared);
        let run = move || match runtime(shared) {
            Ok(runtime) => runtime.block_on(driver),
            Err(error) => tracing::error!(problem = chain(&error), "nothing is watched"),
        };
        let thread = std::thread::Builder::new().name("watch".to_owned());
        let started = thread.spawn(run).map(drop);
        started.map_err(|e| ClusterError::Access(format!("no thread: {e}")))?;
        Ok(watch)
    }

    /// A watch, and what drives it until its owner is gone.
    pub fn watching(&self, age: SignedDuration) -> (Watch, impl Future<Output = ()> + use<>) {
        let shared = Arc::new(Shared {
            board: Mutex::new(Board::new(age)),
            changed: Notify::new(),
            lists: AtomicUsize::new(0),
        });
        let (owner, gone) = oneshot::channel();
        let watch = Watch {
            shared: Arc::clone(&shared),
            scopes: self.scopes(),
            _owner: owner,
        };
        let cluster = self.clone();
        let driver = async move {
            tokio::select! {
                () = cluster.follow_all(&shared) => {}
                _ = gone => {}
            }
        };
        (watch, driver)
    }

    /// Follows all kinds forever, with a client of the runtime that this runs in.
    async fn follow_all(self, shared: &Arc<Shared>) {
        let own = match kube::Client::try_from(self.config.clone()) {
            Ok(client) => Self { client, ..self },
            Err(error) => {
                tracing::error!(problem = chain(&error), "nothing is watched");
                return;
            }
        };
        let mut tasks = JoinSet::new();
        for kind in Watched::ALL {
            for scope in own.scopes() {
                tasks.spawn(follow(own.clone(), kind, scope, Arc::clone(shared)));
            }
        }
        while tasks.join_next().await.is_some() {}
    }

    async fn has(&self, kind: Watched) -> Result<bool, ClusterError> {
        let (group, version, _, plural) = kind.names();
        let path = format!("{group}/{version}");
        match self.client.list_api_group_resources(&path).await {
            Ok(list) => Ok(list.resources.iter().any(|r| r.name == plural)),
            Err(kube::Error::Api(status)) if status.code == 404 => Ok(false),
            Err(error) => Err(failure(plural, &error)),
        }
    }
}

impl Watch {
    /// Waits until namespaces are due for a look, and takes them.
    pub async fn due(&self) -> BTreeSet<String> {
        loop {
            let changed = self.shared.changed.notified();
            let (due, next) = {
                let mut board = self.shared.board();
                (board.take_due(Timestamp::now()), board.next())
            };
            if !due.is_empty() {
                return due;
            }
            let left = next.map(|at| {
                at.duration_since(Timestamp::now())
                    .max(SignedDuration::ZERO)
            });
            tokio::select! {
                () = changed => {}
                () = sleep(left) => {}
            }
        }
    }

    /// Waits until the first lists of the kinds that every cluster has are complete: before, what
    /// looks well may only be unread.
    pub async fn ready(&self) -> Result<(), ClusterError> {
        let complete = async {
            loop {
                let changed = self.shared.changed.notified();
                if self.missing().is_empty() {
                    return;
                }
                changed.await;
            }
        };
        let waited = tokio::time::timeout(FIRST_LISTS, complete).await;
        waited.map_err(|_| ClusterError::NotReady(self.missing().join(", ")))
    }

    /// The kinds whose first list is not complete.
    pub fn missing(&self) -> Vec<&'static str> {
        let board = self.shared.board();
        let complete = |kind| self.scopes.iter().all(|scope| board.is_synced(kind, scope));
        let builtin = Watched::ALL.into_iter().filter(|kind| kind.is_builtin());
        builtin
            .filter(|kind| !complete(*kind))
            .map(|kind| kind.names().3)
            .collect()
    }

    /// Namespaces in which something looks ill.
    pub fn ill_namespaces(&self) -> BTreeSet<String> {
        self.shared.board().namespaces()
    }

    /// Whether a pod looks ill.
    pub fn is_ill(&self, namespace: &str, pod: &str) -> bool {
        self.shared.board().is_ill(Watched::Pod, namespace, pod)
    }

    /// How much looks ill, by sign.
    pub fn signs(&self) -> Vec<(String, usize)> {
        let board = self.shared.board();
        let signs = board.signs().into_iter();
        signs.map(|(sign, n)| (sign.to_owned(), n)).collect()
    }
}

/// A runtime of one thread that sleeps before it waits, unless a list is being read.
fn runtime(shared: Arc<Shared>) -> std::io::Result<Runtime> {
    let gather = move || {
        if shared.lists.load(Ordering::Relaxed) == 0 {
            std::thread::sleep(GATHER);
        }
    };
    let mut runtime = Builder::new_current_thread();
    runtime.enable_all().on_thread_park(gather).build()
}

/// A list that is being read.
struct List<'s>(&'s AtomicUsize);

impl<'s> List<'s> {
    fn begin(shared: &'s Shared) -> Self {
        shared.lists.fetch_add(1, Ordering::Relaxed);
        Self(&shared.lists)
    }
}

impl Drop for List<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

async fn sleep(left: Option<SignedDuration>) {
    match left {
        Some(left) => tokio::time::sleep(left.unsigned_abs()).await,
        None => std::future::pending().await,
    }
}

/// Follows one kind forever. Errors are told and waited out: the stream starts again by itself.
async fn follow(cluster: Cluster, kind: Watched, scope: String, shared: Arc<Shared>) {
    if !kind.is_builtin() {
        until_there(&cluster, kind).await;
    }
    let api: Api<Slim> = match scope.as_str() {
        "" => Api::all_with(cluster.client.clone(), &Kind(kind)),
        namespace => Api::namespaced_with(cluster.client.clone(), namespace, &Kind(kind)),
    };
    let mut streams = cluster.streams;
    let mut events = events_of(api.clone(), streams);
    let mut list = Some(List::begin(&shared));
    let mut told = false;
    while let Some(event) = events.next().await {
        list = match event {
            Ok(Event::Init | Event::InitApply(_)) => list.or_else(|| Some(List::begin(&shared))),
            _ => None,
        };
        match event {
            Ok(event) => {
                told = false;
                take(&shared, kind, &scope, event);
            }
            // for good: who asks again is refused again
            Err(error) if streams && refuses_streams(&error) => {
                streams = false;
                events = events_of(api.clone(), streams);
                tracing::info!(
                    kind = kind.names().3,
                    scope,
                    "lists are not streamed here: they are read in pages"
                );
            }
            // the first of a series; the text of the error may hold bodies
            Err(error) if !told => {
                told = true;
                tracing::warn!(
                    kind = kind.names().3,
                    scope,
                    problem = problem(&error),
                    "watch interrupted"
                );
            }
            Err(_) => {}
        }
    }
}

/// Lists and then changes of a kind; after an error again, a little later.
fn events_of(api: Api<Slim>, streams: bool) -> BoxStream<'static, watcher::Result<Event<Slim>>> {
    let config = watcher::Config::default();
    let config = match streams {
        true => config.streaming_lists(),
        false => config.page_size(PAGE),
    };
    watcher(api, config).default_backoff().boxed()
}

/// Whether the server does not stream lists, whatever its version says: the feature can be turned
/// off. It calls the request invalid then; what may not be read is refused in other words.
fn refuses_streams(error: &watcher::Error) -> bool {
    match error {
        watcher::Error::WatchStartFailed(kube::Error::Api(status)) => {
            status.code == 422 || status.message.contains("sendInitialEvents")
        }
        _ => false,
    }
}

async fn until_there(cluster: &Cluster, kind: Watched) {
    while !matches!(cluster.has(kind).await, Ok(true)) {
        tokio::time::sleep(ABSENT).await;
    }
}

fn problem(error: &watcher::Error) -> String {
    match error {
        watcher::Error::InitialListFailed(e)
        | watcher::Error::WatchStartFailed(e)
        | watcher::Error::WatchFailed(e) => failure("a watch", e).to_string(),
        watcher::Error::WatchError(status) => {
            format!("{} {}", status.code, super::word(&status.reason))
        }
        watcher::Error::NoResourceVersion => "an object without resourceVersion".to_owned(),
    }
}

fn take(shared: &Shared, kind: Watched, scope: &str, event: Event<Slim>) {
    let now = Timestamp::now();
    let mut board = shared.board();
    let before = board.next();
    let mut complete = false;
    match event {
        Event::Init => board.begin(kind, scope),
        Event::InitDone => {
            board.finish(kind, scope, now);
            complete = true;
        }
        Event::Apply(object) | Event::InitApply(object) => {
            if let Some(id) = id(kind, &object) {
                board.seen(id, sign(kind, &object.sighting), now);
            }
        }
        Event::Delete(object) => {
            if let Some(id) = id(kind, &object) {
                board.gone(&id, now);
            }
        }
    }
    if complete || board.next() != before {
        shared.changed.notify_waiters();
    }
}

fn id(kind: Watched, object: &Slim) -> Option<Id> {
    let meta = kube::Resource::meta(object);
    Some(Id {
        kind,
        namespace: meta.namespace.as_deref().unwrap_or_default().into(),
        name: meta.name.as_deref()?.into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const GATE: &str =
        "sendInitialEvents is forbidden for watch unless the WatchList feature gate is enabled";

    #[test]
    fn what_may_not_be_read_or_is_too_old_does_not_refuse_streams() {
        let answers = [
            (422, "Invalid", GATE, true),
            (422, "Invalid", "", true),
            (403, "Forbidden", GATE, true),
            (403, "Forbidden", "cannot watch resource \"pods\"", false),
            (404, "NotFound", "", false),
            (410, "Expired", "too old resource version", false),
            (429, "TooManyRequests", "", false),
            (500, "InternalError", "", false),
        ];
        for (code, reason, message, refuses) in answers {
            let status = || {
                kube::core::Status::failure(message, reason)
                    .with_code(code)
                    .boxed()
            };
            let start = watcher::Error::WatchStartFailed(kube::Error::Api(status()));
            assert_eq!(refuses_streams(&start), refuses, "{code} {message}");
            // lists and running watches do not ask for streams
            let list = watcher::Error::InitialListFailed(kube::Error::Api(status()));
            assert!(!refuses_streams(&list), "{code} {message}");
        }
    }
}
