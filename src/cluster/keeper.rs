//! Keeps records and tells Events: from what a pass saw to what is written. No trouble here ends a
//! pass, for the forge holds the truth.

use std::collections::BTreeMap;

use jiff::Timestamp;
use tokio::sync::{Mutex, watch};

use super::{ClusterError, Events, Remediations};
use crate::code::Refusal;
use crate::propose::ration::Ledger;
use crate::remediation::news::{self, News};
use crate::remediation::{self, Record, Survey, recall};

/// Records and Events of one process. Without a place for them it remembers by itself.
pub struct Keeper {
    records: Option<Remediations>,
    events: Option<Events>,
    /// Where the forge's pages are.
    website: String,
    /// Only the leader writes.
    leads: watch::Receiver<bool>,
    ledger: Ledger,
    known: Mutex<Known>,
}

/// The records as they are, as far as is known.
#[derive(Default)]
struct Known {
    records: Vec<Record>,
    /// Whether they were read in this term, and nothing went wrong since.
    read: bool,
    /// For which term as a leader the spending was read back.
    term: Option<u64>,
    /// What was told last about records and Events that cannot be written.
    told: [Option<String>; 2],
}

impl Keeper {
    /// Without `records` and `events` nothing is written.
    pub fn new(
        records: Option<Remediations>,
        events: Option<Events>,
        leads: watch::Receiver<bool>,
        website: &str,
    ) -> Self {
        Self {
            records,
            events,
            website: website.to_owned(),
            leads,
            ledger: Ledger::default(),
            known: Mutex::default(),
        }
    }

    /// What earlier passes, also those of other leaders, spent and were refused. `term` counts how
    /// often this process began to lead.
    pub async fn recall(&self, term: u64) -> (Ledger, BTreeMap<String, Refusal>) {
        let mut known = self.known.lock().await;
        self.read(&mut known, term).await;
        (self.ledger.clone(), recall::refusals(&known.records))
    }

    /// The records as they are, for whoever goes on where another pass ended.
    pub async fn records(&self, term: u64) -> Vec<Record> {
        let mut known = self.known.lock().await;
        self.read(&mut known, term).await;
        known.records.clone()
    }

    /// Writes down what a pass saw, and tells what is new.
    pub async fn keep(&self, survey: &Survey, term: u64, now: Timestamp) {
        if survey.repository.is_empty() {
            return;
        }
        let mut known = self.known.lock().await;
        self.read(&mut known, term).await;
        let changes = remediation::changes(&known.records, survey, &self.website, now);
        if changes.left_out > 0 {
            tracing::warn!(findings = changes.left_out, "no room for more records");
        }
        let mut news = Vec::new();
        for record in changes.write {
            let before = known.find(&record.name).cloned();
            let written = match self.write(&mut known, record, survey, now).await {
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
            if let Some(seen) = survey.seen.iter().find(same) {
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
    async fn read(&self, known: &mut Known, term: u64) {
        let Some(store) = &self.records else { return };
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
        survey: &Survey,
        now: Timestamp,
    ) -> Result<Option<Record>, ClusterError> {
        let Some(store) = self.records.as_ref().filter(|_| known.read) else {
            return Ok(Some(record)); // remembered by this process alone
        };
        if !*self.leads.borrow() {
            return Ok(None);
        }
        match store.write(&record).await {
            Err(error) if error.is_conflict() || error.is_gone() => {}
            written => return written.map(Some),
        }
        let fresh = store.read(&record.name).await?;
        known.records.retain(|r| r.name != record.name);
        known.records.extend(fresh);
        let again = remediation::changes(&known.records, survey, &self.website, now);
        let again = again.write.into_iter().find(|r| r.name == record.name);
        match again {
            Some(record) => store.write(&record).await.map(Some),
            None => Ok(None),
        }
    }

    async fn forget(&self, known: &mut Known, name: &str) {
        if let Some(store) = self.records.as_ref().filter(|_| known.read)
            && let Err(error) = store.forget(name).await
        {
            known.tell(0, "records", &error);
            return;
        }
        known.records.retain(|r| r.name != name);
    }

    async fn spread(&self, known: &mut Known, news: Vec<News>) {
        let Some(events) = self.events.as_ref().filter(|_| !news.is_empty()) else {
            return;
        };
        let mut trouble = None;
        for one in news.iter().take(news::MOST) {
            let Err(error) = events.tell(one).await else {
                continue;
            };
            // one refused Event (a namespace that ends, a policy) says nothing about the next one
            let refused = error.is_refusal();
            trouble.get_or_insert(error);
            if !refused {
                break;
            }
        }
        match trouble {
            Some(error) => known.tell(1, "Events", &error),
            None => known.told[1] = None,
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
