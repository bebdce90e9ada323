//! The Lease by which replicas agree who leads. Writes nothing else.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease as Object, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::api::{Api, PostParams};
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::{Cluster, ClusterError, failure};
use crate::election::{Candidate, Lease, Moment, Step, Timing};

/// Where others ring.
const RINGS: &str = "kubemend.dev/rings";

/// One Lease.
#[derive(Clone)]
pub struct Leases {
    api: Api<Object>,
    name: String,
}

impl Cluster {
    /// The Lease of this name.
    pub fn lease(&self, namespace: &str, name: &str) -> Leases {
        Leases {
            api: Api::namespaced(self.client.clone(), namespace),
            name: name.to_owned(),
        }
    }
}

impl Leases {
    /// The Lease as it is now.
    pub async fn read(&self) -> Result<Option<Lease>, ClusterError> {
        let found = self.api.get_opt(&self.name).await;
        let found = found.map_err(|e| failure("the lease", &e))?;
        Ok(found.map(|object| lease(&object)))
    }

    /// Writes it, if nobody else wrote since it was read.
    pub async fn write(&self, lease: &Lease) -> Result<(), ClusterError> {
        let object = object(&self.name, lease);
        let params = PostParams::default();
        let written = match lease.version.is_empty() {
            true => self.api.create(&params, &object).await,
            false => self.api.replace(&self.name, &params, &object).await,
        };
        written.map(drop).map_err(|e| failure("the lease", &e))
    }
}

fn lease(object: &Object) -> Lease {
    let spec = object.spec.clone().unwrap_or_default();
    let time = |t: Option<MicroTime>| {
        let nanoseconds = t?.0.as_nanosecond();
        Timestamp::from_nanosecond(nanoseconds).ok()
    };
    let rings = object.metadata.annotations.as_ref();
    let rings = rings.and_then(|all| all.get(RINGS)?.parse().ok());
    Lease {
        holder: spec.holder_identity.unwrap_or_default(),
        seconds: spec
            .lease_duration_seconds
            .and_then(|s| s.try_into().ok())
            .unwrap_or(0),
        acquired: time(spec.acquire_time),
        renewed: time(spec.renew_time),
        transitions: spec.lease_transitions.unwrap_or(0),
        rings: rings.unwrap_or(0),
        version: object.metadata.resource_version.clone().unwrap_or_default(),
    }
}

fn object(name: &str, lease: &Lease) -> Object {
    let time = |t: Option<Timestamp>| {
        // the API keeps microseconds
        let micros = t?.as_microsecond();
        k8s_openapi::jiff::Timestamp::from_microsecond(micros)
            .ok()
            .map(MicroTime)
    };
    let mut object = Object::default();
    object.metadata.name = Some(name.to_owned());
    object.metadata.resource_version = Some(lease.version.clone()).filter(|v| !v.is_empty());
    let rings = (RINGS.to_owned(), lease.rings.to_string());
    object.metadata.annotations = Some(BTreeMap::from([rings]));
    object.spec = Some(LeaseSpec {
        holder_identity: Some(lease.holder.clone()),
        lease_duration_seconds: i32::try_from(lease.seconds).ok(),
        acquire_time: time(lease.acquired),
        renew_time: time(lease.renewed),
        lease_transitions: Some(lease.transitions),
        ..LeaseSpec::default()
    });
    object
}

/// A replica that wants to lead, as long as this value lives.
pub struct Campaign {
    leases: Leases,
    me: String,
    timing: Timing,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

struct Shared {
    leads: watch::Sender<bool>,
    /// How often it began to lead.
    term: AtomicU64,
    /// Somebody else asked the leader, us, to look at everything.
    rung: Notify,
    /// We want to ask the leader.
    rings: AtomicBool,
}

impl Campaign {
    /// Begins; `me` is the name of this replica alone.
    pub fn begin(leases: Leases, me: &str, timing: Timing) -> Self {
        let shared = Arc::new(Shared {
            leads: watch::Sender::new(false),
            term: AtomicU64::new(0),
            rung: Notify::new(),
            rings: AtomicBool::new(false),
        });
        let run = run(
            leases.clone(),
            Candidate::new(me, timing),
            timing,
            Arc::clone(&shared),
        );
        Self {
            leases,
            me: me.to_owned(),
            timing,
            shared,
            task: tokio::spawn(run),
        }
    }

    /// Whether it leads, and every change of that.
    pub fn leads(&self) -> watch::Receiver<bool> {
        self.shared.leads.subscribe()
    }

    /// How often it began to lead: what another leader wrote meanwhile is read again.
    pub fn term(&self) -> u64 {
        self.shared.term.load(Ordering::Relaxed)
    }

    /// Asks whoever leads to look at everything, at the next attempt.
    pub fn ring(&self) {
        self.shared.rings.store(true, Ordering::Relaxed);
    }

    /// Waits until it leads anew, or leads and is asked to look at everything.
    pub async fn called(&self) {
        let mut leads = self.leads();
        let gained = async {
            let _ = leads.wait_for(|l| !l).await;
            leads.wait_for(|l| *l).await.is_ok()
        };
        tokio::select! {
            () = self.shared.rung.notified() => {}
            _ = gained => {}
        }
    }

    /// Ends, and gives the Lease back: another one takes it at once.
    pub async fn resign(&self) {
        self.task.abort();
        self.shared.leads.send_replace(false);
        let give_back = async {
            let found = self.leases.read().await.ok().flatten()?;
            let mut candidate = Candidate::new(self.me.clone(), self.timing);
            let free = candidate.resigned(&found, now(Instant::now()))?;
            Some(self.leases.write(&free).await)
        };
        match tokio::time::timeout(self.timing.renew, give_back).await {
            Ok(Some(Ok(()))) => tracing::info!("the lease is given back"),
            Ok(None) => {}
            _ => tracing::warn!("the lease is not given back; it ends by itself"),
        }
    }
}

impl Drop for Campaign {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn now(start: Instant) -> Moment {
    Moment {
        steady: start.elapsed(),
        wall: Timestamp::now(),
    }
}

async fn run(leases: Leases, mut candidate: Candidate, timing: Timing, shared: Arc<Shared>) {
    let start = Instant::now();
    let mut trouble = None;
    loop {
        let left = candidate.leads_for(start.elapsed());
        // an attempt never lasts longer than we lead, and leaves time for another one
        let patience = left.unwrap_or(timing.renew).min(timing.renew / 2);
        let attempt = attempt(&leases, &mut candidate, start, &shared);
        let ended = tokio::time::timeout(patience, attempt).await;
        let ended =
            ended.unwrap_or_else(|_| Err(ClusterError::Unreachable("no answer".to_owned())));
        match ended {
            Ok(()) => trouble = None,
            Err(error) if error.is_conflict() => {}
            // the first of a series
            Err(error) if trouble.as_ref() != Some(&error) => {
                tracing::warn!(%error, "lease");
                trouble = Some(error);
            }
            Err(_) => {}
        }
        let left = candidate.leads_for(start.elapsed());
        stand(&shared, left.is_some());
        tokio::time::sleep(left.unwrap_or(timing.retry).min(timing.retry)).await;
    }
}

async fn attempt(
    leases: &Leases,
    candidate: &mut Candidate,
    start: Instant,
    shared: &Shared,
) -> Result<(), ClusterError> {
    let found = leases.read().await?;
    let sent = now(start);
    let rings = shared.rings.load(Ordering::Relaxed);
    let Step::Write(lease) = candidate.step(found.as_ref(), rings, sent) else {
        return Ok(());
    };
    leases.write(&lease).await?;
    if rings {
        shared.rings.store(false, Ordering::Relaxed);
    }
    if candidate.wrote(&lease, sent) {
        shared.rung.notify_one();
    }
    Ok(())
}

fn stand(shared: &Shared, leads: bool) {
    if leads && !*shared.leads.borrow() {
        shared.term.fetch_add(1, Ordering::Relaxed);
    }
    let changed = |now: &mut bool| std::mem::replace(now, leads) != leads;
    if shared.leads.send_if_modified(changed) {
        tracing::info!(leads, "election");
    }
}
