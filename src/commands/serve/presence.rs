//! What kubemend itself is in the cluster: leader or not, and where it keeps what.

use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;

use jiff::Timestamp;
use tokio::sync::watch;

use crate::cli::Serve;
use crate::cluster::{Bill, Campaign, Cluster, Keeper};
use crate::commands::Failure;
use crate::config::{Config, ModelConfig};
use crate::election::Timing;
use crate::propose::memory::Memory;
use crate::propose::ration::Ration;

/// Where a pod finds its own namespace.
const NAMESPACE: &str = "/var/run/secrets/kubernetes.io/serviceaccount/namespace";
/// The most characters of a replica's name.
const MAX_NAME: usize = 128;

/// What kubemend is in the cluster; without one it always leads.
pub(super) struct Presence {
    campaign: Option<Campaign>,
    keeper: Arc<Keeper>,
    /// What a model said.
    memory: Memory,
}

impl Presence {
    /// Stands for election and finds its place, as far as the operator wants it.
    pub(super) fn open(
        args: &Serve,
        cluster: Option<&Cluster>,
        website: &str,
    ) -> Result<Self, Failure> {
        let me = name();
        let own = own_namespace(args);
        let campaign = match (cluster, &args.lease, &own) {
            (Some(cluster), Some(lease), Some(own)) => {
                let lease = cluster.lease(own, lease);
                Some(Campaign::begin(lease, &me, Timing::default()))
            }
            (Some(_), Some(_), None) => {
                let message = "--lease-namespace NS is missing: this is no pod with a namespace";
                return Err(Failure::Input(message.to_owned()));
            }
            _ => None,
        };
        let place = cluster.zip(own).filter(|_| !args.dry_run);
        if cluster.is_some() && place.is_none() {
            tracing::info!("no records and Events are written: --dry-run, or no --lease-namespace");
        }
        let records = place
            .as_ref()
            .map(|(cluster, own)| cluster.remediations(own));
        let events = place.as_ref().map(|(cluster, _)| cluster.events(&me));
        let leads = leads(campaign.as_ref());
        let keeper = Arc::new(Keeper::new(records, events, leads, website));
        Ok(Self {
            campaign,
            keeper,
            memory: Memory::default(),
        })
    }

    pub(super) fn leads(&self) -> watch::Receiver<bool> {
        leads(self.campaign.as_ref())
    }

    pub(super) fn ring(&self) {
        if let Some(campaign) = &self.campaign {
            campaign.ring();
        }
    }

    /// Waits until all repositories shall be looked at, because it leads now or somebody rang.
    pub(super) async fn called(&self) {
        match &self.campaign {
            Some(campaign) => campaign.called().await,
            None => std::future::pending().await,
        }
    }

    /// Gives the lease back.
    pub(super) async fn resign(&self) {
        if let Some(campaign) = &self.campaign {
            campaign.resign().await;
        }
    }

    /// What the pass that begins now may ask a model.
    pub(super) async fn ration(&self, config: &Config, now: Timestamp) -> Ration {
        let budget = ModelConfig::budget(config.model.as_ref());
        let (ledger, refusals) = self.keeper.recall(self.term()).await;
        Ration::new(budget, ledger, refusals, now).remembering(self.memory.clone())
    }

    /// Writes down what the pass that begins now spends and sees, and tells what is new.
    pub(super) fn bill(&self, begun: Timestamp) -> Bill {
        Bill::new(Arc::clone(&self.keeper), self.term(), begun)
    }

    fn term(&self) -> u64 {
        self.campaign.as_ref().map_or(0, Campaign::term)
    }
}

fn leads(campaign: Option<&Campaign>) -> watch::Receiver<bool> {
    match campaign {
        Some(campaign) => campaign.leads(),
        None => watch::Sender::new(true).subscribe(),
    }
}

/// kubemend's own namespace: as the operator says, else the pod's.
fn own_namespace(args: &Serve) -> Option<String> {
    let given = args.lease_namespace.clone();
    let own = given.or_else(|| std::fs::read_to_string(NAMESPACE).ok())?;
    Some(own.trim().to_owned()).filter(|own| !own.is_empty())
}

/// The name of this replica alone: the pod's, and something that no other start has.
fn name() -> String {
    let host = std::env::var("HOSTNAME").unwrap_or_else(|_| "kubemend".to_owned());
    let once = RandomState::new().hash_one(Timestamp::now().as_nanosecond());
    let most = MAX_NAME - 17;
    let host: String = host.chars().filter(char::is_ascii).take(most).collect();
    format!("{host}-{once:016x}")
}
