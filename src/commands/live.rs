//! A live cluster, for the commands that read one.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};

use crate::cli::Reach;
use crate::cluster::{Access, Cluster, ClusterError, Reading, Watch};
use crate::commands::Failure;

/// A cluster and the watch that says where to look.
pub(super) struct Live {
    cluster: Cluster,
    watch: Watch,
}

impl Live {
    /// Connects, and starts to watch; what looks ill for `age` is worth a look.
    pub(super) async fn open(reach: &Reach, age: std::time::Duration) -> Result<Self, Failure> {
        let access = Access {
            kubeconfig: reach.kubeconfig.as_deref(),
            context: reach.context.as_deref(),
            namespaces: &reach.namespaces,
        };
        let cluster = Cluster::connect(&access).await?;
        let age = SignedDuration::try_from(age).unwrap_or(SignedDuration::MAX);
        let watch = cluster.watch(age)?;
        Ok(Self { cluster, watch })
    }

    /// The cluster itself.
    pub(super) fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    /// The cluster now, and when that was.
    ///
    /// Of `whole` namespaces all pods are read, of others only where something looks ill.
    pub(super) async fn read(
        &self,
        whole: &BTreeSet<String>,
    ) -> Result<(Reading, Timestamp), ClusterError> {
        self.watch.ready().await?;
        let now = Timestamp::now();
        Ok((self.cluster.read(&self.watch, whole).await?, now))
    }

    /// Waits until something changed and came to rest.
    pub(super) async fn disturbed(&self) {
        let due = self.watch.due().await;
        tracing::info!(namespaces = due.len(), "the cluster changed");
    }
}

/// Reads once.
pub(super) fn read(reach: &Reach) -> Result<(Reading, Timestamp), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| Failure::Infrastructure(format!("no runtime: {e}")))?;
    runtime.block_on(async {
        let live = Live::open(reach, std::time::Duration::ZERO).await?;
        Ok(live.read(&BTreeSet::new()).await?)
    })
}

impl From<ClusterError> for Failure {
    fn from(error: ClusterError) -> Self {
        match error {
            ClusterError::Access(_) => Self::Input(error.to_string()),
            _ => Self::Infrastructure(error.to_string()),
        }
    }
}
