//! A live cluster: watched for signs, read for facts. The only user of `kube`.
//!
//! Everything here reads, but for three modules that each write one kind of kubemend's own: `lease`,
//! `remediation` and `event`. Secrets are never asked for. Answers are parsed one by one and leniently:
//! one poisoned object does not hide the others.

use std::path::Path;
use std::time::Duration;

use kube::config::{KubeConfigOptions, Kubeconfig};

mod bill;
pub mod event;
mod keeper;
pub mod lease;
mod lenient;
mod page;
pub mod read;
pub mod remediation;
mod slim;
pub mod watch;

pub use bill::Bill;
pub use event::Events;
pub use keeper::Keeper;
pub use lease::{Campaign, Leases};
pub use read::Reading;
pub use remediation::Remediations;
pub use watch::Watch;

/// How long one answer of the API server may take to begin.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long a connection may be silent in the middle of an answer: a dead one does not say that it is.
/// Longer than an idle watch, which the server ends after 290 seconds, and the watcher after 295.
const SILENCE: Duration = Duration::from_secs(305);

/// A connection to one cluster.
#[derive(Clone)]
pub struct Cluster {
    client: kube::Client,
    /// What it was made from: the watch has a client of its own.
    config: kube::Config,
    /// Namespaces that may be read; empty for all.
    namespaces: Vec<String>,
    /// Whether its version streams lists: less memory on both sides.
    streams: bool,
}

/// How to reach a cluster.
#[derive(Debug, Clone, Default)]
pub struct Access<'a> {
    /// A kubeconfig; by default what kubectl would use, else the pod's own service account.
    pub kubeconfig: Option<&'a Path>,
    /// A context of it.
    pub context: Option<&'a str>,
    /// Namespaces that may be read; empty for all.
    pub namespaces: &'a [String],
}

/// The cluster did not answer, or not what was expected. Bodies are never part of it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ClusterError {
    /// How to reach it cannot be told.
    #[error("cluster access: {0}")]
    Access(String),
    /// It does not answer.
    #[error("the API server: {0}")]
    Unreachable(String),
    /// It answered with an error.
    #[error("the API server answered {status} to {what}: {reason}")]
    Status {
        /// What was asked.
        what: String,
        /// The HTTP status.
        status: u16,
        /// `Forbidden`, `NotFound`, `Expired`, …
        reason: String,
    },
    /// More than is read at once.
    #[error("{0}")]
    TooMuch(String),
    /// The watch has not seen everything yet.
    #[error("the first lists of the watch are not complete: {0}")]
    NotReady(String),
}

impl ClusterError {
    /// Whether somebody else wrote, or made it, in between.
    pub fn is_conflict(&self) -> bool {
        matches!(self, Self::Status { status: 409, .. })
    }

    /// Whether this very request is refused: another one may be answered.
    pub fn is_refusal(&self) -> bool {
        let is = |status: u16| (400..500).contains(&status) && ![401, 408, 429].contains(&status);
        matches!(self, Self::Status { status, .. } if is(*status))
    }

    /// Whether it is not there.
    pub fn is_gone(&self) -> bool {
        matches!(self, Self::Status { status: 404, .. })
    }
}

impl Cluster {
    /// Connects: one request, so that a wrong address or credential is told at the start.
    pub async fn connect(access: &Access<'_>) -> Result<Self, ClusterError> {
        let mut config = config(access).await?;
        config.connect_timeout = Some(PATIENCE);
        config.read_timeout = Some(SILENCE);
        // or the time that a connection waited for its next request would count
        config.reset_reader_on_write = true;
        let client = kube::Client::try_from(config.clone());
        let client = client.map_err(|e| ClusterError::Access(e.to_string()))?;
        let version = answered("its version", client.apiserver_version()).await?;
        let minor = version.minor.trim_end_matches('+').parse().unwrap_or(0);
        Ok(Self {
            client,
            config,
            namespaces: access.namespaces.to_vec(),
            streams: minor >= STREAMING,
        })
    }

    /// The namespaces that are watched and read one by one; one empty name means all at once.
    fn scopes(&self) -> Vec<String> {
        match self.namespaces.is_empty() {
            true => vec![String::new()],
            false => self.namespaces.clone(),
        }
    }
}

/// The first minor version of Kubernetes 1 that streams lists by default.
const STREAMING: u32 = 34;

async fn config(access: &Access<'_>) -> Result<kube::Config, ClusterError> {
    let options = KubeConfigOptions {
        context: access.context.map(str::to_owned),
        ..KubeConfigOptions::default()
    };
    let config = match access.kubeconfig {
        Some(path) => {
            let read = Kubeconfig::read_from(path);
            let read =
                read.map_err(|e| ClusterError::Access(format!("{}: {e}", path.display())))?;
            kube::Config::from_custom_kubeconfig(read, &options).await
        }
        None if access.context.is_some() => kube::Config::from_kubeconfig(&options).await,
        None => {
            let inferred = kube::Config::infer().await;
            return inferred.map_err(|e| ClusterError::Access(e.to_string()));
        }
    };
    config.map_err(|e| ClusterError::Access(e.to_string()))
}

/// The answer to a call, which does not take for ever.
async fn answered<T>(
    what: &str,
    call: impl Future<Output = Result<T, kube::Error>>,
) -> Result<T, ClusterError> {
    match tokio::time::timeout(PATIENCE, call).await {
        Ok(answer) => answer.map_err(|e| failure(what, &e)),
        Err(_) => Err(ClusterError::Unreachable(format!("{what}: no answer"))),
    }
}

/// What an error of the client means. Its own text may hold bodies.
fn failure(what: &str, error: &kube::Error) -> ClusterError {
    match error {
        kube::Error::Api(status) => ClusterError::Status {
            what: what.to_owned(),
            status: status.code,
            reason: word(&status.reason),
        },
        kube::Error::SerdeError(e) => ClusterError::Unreachable(format!("{what}: {}", shape(e))),
        kube::Error::FromUtf8(_) => ClusterError::Unreachable(format!("{what}: not UTF-8")),
        other => ClusterError::Unreachable(format!("{what}: {}", chain(other))),
    }
}

/// Where the JSON is wrong, without what it holds.
fn shape(error: &serde_json::Error) -> String {
    format!(
        "no JSON as expected at line {}, column {}",
        error.line(),
        error.column()
    )
}

fn word(text: &str) -> String {
    let letters = text.chars().filter(|c| c.is_ascii_alphanumeric());
    letters.take(64).collect()
}

/// An error and its causes, in one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        let said = next.to_string();
        if !text.contains(&said) {
            text = format!("{text}: {said}");
        }
        cause = next.source();
    }
    text.chars().take(500).collect()
}
