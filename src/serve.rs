//! The server: webhooks wake the worker of a repository, and a sweep wakes all of them.
//!
//! A delivery decides nothing but *when* a repository is looked at. Nothing depends on its arrival:
//! what was missed, lost in a full queue or in a killed process is found by the next sweep.

use std::future::Future;
use std::hash::BuildHasher as _;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::metrics::Metrics;

pub mod envelope;
pub mod listener;
pub mod missed;
pub mod outcomes;
pub mod queue;
pub mod seen;
pub mod signature;
pub mod web;
pub mod worker;

pub use signature::Secrets;
pub use worker::{Failed, Pending, Place, Runner};

use worker::{Job, Worker};

/// How the server behaves.
#[derive(Debug, Clone)]
pub struct Settings {
    /// What signs deliveries; without it there is no webhook, only sweeps.
    pub secrets: Option<Secrets>,
    /// How often all repositories are looked at.
    pub sweep: Duration,
    /// Bounds of the work.
    pub work: worker::Limits,
    /// Bounds of bodies.
    pub bodies: web::Limits,
    /// Bounds of connections.
    pub connections: listener::Limits,
}

/// How often all repositories are looked at.
pub const SWEEP: Duration = Duration::from_secs(15 * 60);

impl Default for Settings {
    fn default() -> Self {
        Self {
            secrets: None,
            sweep: SWEEP,
            work: worker::Limits::default(),
            bodies: web::Limits::default(),
            connections: listener::Limits::default(),
        }
    }
}

/// Serves until `stop` is ready; then no connection and no work is taken any more, and what runs
/// may end, within its bound. Returns whether everything ended by itself.
pub async fn run(
    listener: TcpListener,
    settings: Settings,
    runner: Arc<dyn Runner>,
    metrics: Arc<Metrics>,
    stop: impl Future<Output = ()>,
) -> bool {
    let worker = Arc::new(Worker::new(runner, metrics, settings.work));
    let routes = web::routes(
        Arc::clone(&worker),
        settings.secrets.clone(),
        settings.bodies,
    );
    let mut tasks = JoinSet::new(); // aborts what is left when it is dropped
    for _ in 0..settings.work.workers.max(1) {
        tasks.spawn(Arc::clone(&worker).work());
    }
    tasks.spawn(sweeps(Arc::clone(&worker), settings.sweep));
    tasks.spawn(disturbances(Arc::clone(&worker)));
    let until = worker.until_stopped();
    tasks.spawn(listener::serve(
        listener,
        routes,
        settings.connections,
        until,
    ));
    stop.await;
    tracing::info!("stopping");
    worker.stop();
    let ended = async { while tasks.join_next().await.is_some() {} };
    let clean = tokio::time::timeout(settings.work.drain, ended)
        .await
        .is_ok();
    if clean {
        tracing::info!("stopped");
    } else {
        tracing::warn!("stopped while passes were running; the next start looks again");
    }
    clean
}

/// Wakes all repositories, at once and then again and again.
async fn sweeps(worker: Arc<Worker>, every: Duration) {
    let mut stop = worker.until_stopped();
    loop {
        worker.push_known(Job::Sweep);
        tokio::select! {
            biased;
            () = listener::stopped(&mut stop) => return,
            () = tokio::time::sleep(jittered(every)) => {}
        }
    }
}

/// Wakes all repositories whenever something outside the forge (the cluster) asks for it.
async fn disturbances(worker: Arc<Worker>) {
    let mut stop = worker.until_stopped();
    loop {
        tokio::select! {
            biased;
            () = listener::stopped(&mut stop) => return,
            () = worker.disturbed() => worker.push_known(Job::Sweep),
        }
    }
}

/// Up to a tenth longer, so that many servers do not ask at the same moment.
fn jittered(every: Duration) -> Duration {
    let random = std::hash::RandomState::new().hash_one(every);
    let tenth = u64::try_from(every.as_millis() / 10).unwrap_or(u64::MAX);
    every + Duration::from_millis(random.checked_rem(tenth).unwrap_or(0))
}
