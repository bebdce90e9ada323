//! What kubemend itself is and writes in the cluster: leader or not, records, Events.
//!
//! Nothing here decides what happens on the forge, and no trouble here ends a pass.

use std::hash::{BuildHasher as _, RandomState};

use jiff::Timestamp;
use tokio::sync::{Mutex, watch};

use crate::cli::Serve;
use crate::cluster::{Campaign, Cluster, ClusterError, Events, Remediations};
use crate::commands::Failure;
use crate::config::{Config, ModelConfig};
use crate::cycle::Report;
use crate::election::Timing;
use crate::propose::ration::{Ledger, Ration};
use crate::remediation::news::{self, News};
use crate::remediation::{self, Record, recall};

/// Where a pod finds its own namespace.
const NAMESPACE: &str = "/var/run/secrets/kubernetes.io/serviceaccount/namespace";
/// The most characters of a replica's name.
const MAX_NAME: usize = 128;

/// What kubemend is in the cluster; without one it always leads and remembers only by itself.
#[derive(Default)]
pub(super) struct Presence {
    campaign: Option<Campaign>,
    records: Option<Remediations>,
    events: Option<Events>,
    website: String,
    ledger: Ledger,
    known: Mutex<Known>,
}

/// The records as they are, as far as is known. Only the leader writes them.
#[derive(Default)]
struct Known {
    records: Vec<Record>,
    /// Whether they were read since this process leads, and nothing went wrong since.
    read: bool,
    /// For which term as a leader the spending was read back.
    term: Option<u64>,
    /// What was told last about records and Events that cannot be written.
    told: [Option<String>; 2],
}

impl Presence {
    /// Stands for election and finds its place, as far as the operator wants it.
    pub(super) fn open(
        args: &Serve,
        cluster: Option<&Cluster>,
        website: &str,
    ) -> Result<Self, Failure> {
        let Some(cluster) = cluster else {
            return Ok(Self::default());
        };
        let me = name();
        let given = args.lease_namespace.clone();
        let own = given.or_else(|| std::fs::read_to_string(NAMESPACE).ok());
        let own = own.map(|n| n.trim().to_owned()).filter(|n| !n.is_empty());
        let campaign = match (&args.lease, &own) {
            (None, _) => None,
            (Some(_), None) => {
                let message = "--lease-namespace NS is missing: this is no pod with a namespace";
                return Err(Failure::Input(message.to_owned()));
            }
            (Some(lease), Some(own)) => {
                let lease = cluster.lease(own, lease);
                Some(Campaign::begin(lease, &me, Timing::default()))
            }
        };
        let writes = own.filter(|_| !args.dry_run);
        if writes.is_none() {
            tracing::info!("no records and Events are written: --dry-run, or no --lease-namespace");
        }
        Ok(Self {
            campaign,
            records: writes.as_ref().map(|own| cluster.remediations(own)),
            events: writes.map(|_| cluster.events(&me)),
            website: website.to_owned(),
            ..Self::default()
        })
    }

    pub(super) fn leads(&self) -> watch::Receiver<bool> {
        match &self.campaign {
            Some(campaign) => campaign.leads(),
            None => watch::Sender::new(true).subscribe(),
        }
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
        let mut known = self.known.lock().await;
        self.read(&mut known).await;
        let budget = ModelConfig::budget(config.model.as_ref());
        let refusals = recall::refusals(&known.records);
        Ration::new(budget, self.ledger.clone(), refusals, now)
    }

    /// Writes down what a pass saw, and tells what is new.
    pub(super) async fn keep(&self, report: &Report, now: Timestamp) {
        if report.survey.repository.is_empty() {
            return;
        }
        let mut known = self.known.lock().await;
        self.read(&mut known).await;
        let changes = remediation::changes(&known.records, &report.survey, &self.website, now);
        if changes.left_out > 0 {
            tracing::warn!(findings = changes.left_out, "no room for more records");
        }
        let mut news = Vec::new();
        for record in changes.write {
            let before = known.find(&record.name).cloned();
            let written = match self.write(&mut known, record, report, now).await {
                Ok(Some(written)) => written,
                Ok(None) => continue,
                Err(error) => {
                    known.read = false;
                    known.tell(0, "records", &error);
                    break;
                }
            };
            let same =
                |s: &&remediation::Seen| remediation::name(&s.spec.fingerprint) == written.name;
            if let Some(seen) = report.survey.seen.iter().find(same) {
                news.extend(news::of(before.as_ref(), &written, seen));
            }
            known.put(written);
        }
        for name in &changes.delete {
            self.forget(&mut known, name).await;
        }
        self.spread(&mut known, news).await;
    }

    /// Reads the records where they may have changed: at the start, in each term, after trouble.
    async fn read(&self, known: &mut Known) {
        let Some(store) = &self.records else { return };
        let term = self.campaign.as_ref().map_or(0, Campaign::term);
        let is_new = known.term != Some(term);
        if known.read && !is_new {
            return;
        }
        match store.list().await {
            Ok(records) => {
                if is_new {
                    self.ledger.restore(recall::spent(&records));
                }
                (known.records, known.read, known.term) = (records, true, Some(term));
                known.told[0] = None;
            }
            Err(error) => known.tell(0, "records", &error),
        }
    }

    /// Writes one record. Somebody else's write in between is read once, and then counts.
    async fn write(
        &self,
        known: &mut Known,
        record: Record,
        report: &Report,
        now: Timestamp,
    ) -> Result<Option<Record>, ClusterError> {
        let Some(store) = self.records.as_ref().filter(|_| known.read) else {
            return Ok(Some(record)); // remembered by this process alone
        };
        if !*self.leads().borrow() {
            return Ok(None);
        }
        match store.write(&record).await {
            Err(error) if error.is_conflict() || error.is_gone() => {}
            written => return written.map(Some),
        }
        let fresh = store.read(&record.name).await?;
        known.records.retain(|r| r.name != record.name);
        known.records.extend(fresh);
        let again = remediation::changes(&known.records, &report.survey, &self.website, now);
        let again = again.write.into_iter().find(|r| r.name == record.name);
        match again {
            Some(record) => store.write(&record).await.map(Some),
            None => Ok(None),
        }
    }

    async fn forget(&self, known: &mut Known, name: &str) {
        if let Some(store) = self.records.as_ref().filter(|_| known.read)
            && let Err(error) = store.delete(name).await
        {
            known.tell(0, "records", &error);
            return;
        }
        known.records.retain(|r| r.name != name);
    }

    async fn spread(&self, known: &mut Known, news: Vec<News>) {
        let Some(events) = &self.events else { return };
        for one in news.iter().take(news::MOST) {
            match events.tell(one).await {
                Ok(()) => known.told[1] = None,
                Err(error) => {
                    known.tell(1, "Events", &error);
                    if error.is_closed() {
                        return;
                    }
                }
            }
        }
    }
}

impl Known {
    fn find(&self, name: &str) -> Option<&Record> {
        self.records.iter().find(|r| r.name == name)
    }

    fn put(&mut self, record: Record) {
        self.records.retain(|r| r.name != record.name);
        self.records.push(record);
    }

    /// One line for a trouble, not one for each pass.
    fn tell(&mut self, of: usize, what: &'static str, error: &ClusterError) {
        let error = error.to_string();
        if let Some(told) = self.told.get_mut(of)
            && told.as_ref() != Some(&error)
        {
            tracing::warn!(
                what,
                error,
                "not kept in the cluster; the forge holds the truth"
            );
            *told = Some(error);
        }
    }
}

/// The name of this replica alone: the pod's, and something that no other start has.
fn name() -> String {
    let host = std::env::var("HOSTNAME").unwrap_or_else(|_| "kubemend".to_owned());
    let once = RandomState::new().hash_one(Timestamp::now().as_nanosecond());
    let most = MAX_NAME - 17;
    let host: String = host.chars().filter(char::is_ascii).take(most).collect();
    format!("{host}-{once:016x}")
}
