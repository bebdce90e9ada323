//! One look at a merged fix: from a snapshot of the cluster to the facts that the machine judges,
//! and the evidence that people read. Pure.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use crate::case::Desired;
use crate::finding::{Class, Severity};
use crate::object::{Object, ObjectRef};
use crate::path::{FieldPath, Seg};
use crate::snapshot::Snapshot;
use crate::verify::Applied;
use crate::verify::app::{self, Carrier, Question};
use crate::verify::expect::Expected;
use crate::verify::machine::{Baseline, Facts, Live, MAX_FAILING, Symptom};
use crate::verify::revision::{IsAncestor, Revision};
use crate::verify::rollout::{self, Observed, Rollout};

/// The most entries of lists that are remembered or shown.
const MAX_LISTED: usize = MAX_FAILING;

/// A merged pull request of ours.
#[derive(Debug, Clone, Copy)]
pub struct Merged<'a> {
    /// The merge commit.
    pub commit: &'a str,
    /// When it was merged.
    pub at: Timestamp,
    /// The key of the finding.
    pub key: &'a str,
    /// Other findings that it mends, by key.
    pub also: &'a [String],
    /// The object that failed, as text; empty where nobody knows.
    pub object: &'a str,
    /// How it failed; `None` where nobody knows.
    pub class: Option<Class>,
    /// What shall be so.
    pub expects: &'a [Expected],
    /// When it was first seen applied.
    pub applied_at: Option<Timestamp>,
    /// How it was before the merge, where that is known.
    pub before: Option<&'a Baseline>,
    /// Whether it takes a fix back: then what the fix mended may fail again.
    pub is_revert: bool,
    /// Whether no cluster reported what it mends: only where it is applied there is something to see.
    pub is_anywhere: bool,
}

/// Something that fails in this run.
#[derive(Debug, Clone, Copy)]
pub struct Failing<'a> {
    /// The finding's key; empty where it was not handled.
    pub key: &'a str,
    /// The object.
    pub object: &'a ObjectRef,
    /// How.
    pub class: Class,
    /// How bad that is.
    pub severity: Severity,
    /// Since when, where that is known.
    pub since: Option<Timestamp>,
    /// In one line.
    pub summary: &'a str,
}

/// What is known when a look is taken.
pub struct World<'a> {
    /// When that is.
    pub now: Timestamp,
    /// The cluster now.
    pub snapshot: &'a Snapshot,
    /// What fails there.
    pub failing: &'a [Failing<'a>],
    /// What of the cluster could not be read, if that hides failures.
    pub unread: Option<&'a str>,
    /// What Git says now.
    pub desired: &'a [Desired],
    /// The files that each root reads.
    pub feeds: &'a BTreeMap<String, Vec<String>>,
    /// The commit that Git is at.
    pub head: &'a str,
    /// Whether one commit is an ancestor of another.
    pub is_ancestor: &'a IsAncestor<'a>,
    /// Files that differ between two commits; `None` where one is not known.
    pub changed: &'a dyn Fn(&str, &str) -> Option<Vec<String>>,
    /// Whether an address is that of our repository.
    pub is_ours: &'a dyn Fn(&str) -> bool,
}

/// One look.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sight {
    /// What is judged.
    pub facts: Facts,
    /// What people read: a question, and what the cluster says to it.
    pub evidence: Vec<(&'static str, String)>,
}

/// The namespaces whose pods decide.
pub fn namespaces(merged: &Merged<'_>) -> BTreeSet<String> {
    let of_expected = merged
        .expects
        .iter()
        .filter_map(|e| e.object.namespace.clone());
    let of_failing = merged.object.split_once(' ').map(|(_, name)| name);
    let of_failing = of_failing
        .and_then(|n| n.split_once('/'))
        .map(|(ns, _)| ns.to_owned());
    of_expected.chain(of_failing).collect()
}

/// Takes a look.
pub fn look(merged: &Merged<'_>, world: &World<'_>) -> Sight {
    let snapshot = world.snapshot;
    let made = as_made(merged, world);
    let is_renamed = made.iter().zip(merged.expects).all(|(new, old)| new != old);
    let recorded = carrier(merged, snapshot);
    let merged = &Merged {
        expects: &made,
        ..*merged
    };
    // a new name is not in the cluster before it is applied
    let carrier = carrier(merged, snapshot).or(recorded);
    let live = live(merged, world);
    let applied = applied(merged, world, carrier, &live);
    let applied_at = moment(merged, snapshot, &applied);
    let applied = at_the_moment(applied, applied_at);
    let workloads = workloads(merged, snapshot);
    let reads_anew = starts_no_pods(merged) && !is_renamed;
    let rollout = rolled(merged, &workloads, snapshot, applied_at, reads_anew);
    let pods: Vec<&Object> = workloads
        .iter()
        .flat_map(|w| snapshot.pods_of(&w.reference()))
        .collect();
    let (newly_broken, unclear) = others(merged, world, carrier);
    let facts = Facts {
        failed_is_ours: is_ours(merged, world, &applied, carrier),
        excuse: excuse(merged, world, &applied, carrier),
        symptom: symptom(merged, world),
        newly_broken,
        unclear,
        lacks: lacks(merged, snapshot),
        overtaken: merged.expects.iter().any(|e| e.is_overtaken(world.desired)),
        restarts: restarts(&pods),
        ready: ready(&workloads),
        applied,
        live,
        rollout,
    };
    let evidence = evidence(&facts, applied_at, carrier, &workloads, snapshot);
    Sight { facts, evidence }
}

/// What is expected of the objects as Git makes them now: a generated name changes with its content.
fn as_made(merged: &Merged<'_>, world: &World<'_>) -> Vec<Expected> {
    let all = merged.expects.iter();
    all.map(|e| e.as_named_in_git(world.desired)).collect()
}

/// Whether this cluster applies what was merged: every object is there, and one object of Argo CD or
/// Flux applies all of them from the very files of this repository.
pub fn applies(merged: &Merged<'_>, world: &World<'_>) -> bool {
    let made = as_made(merged, world);
    let merged = &Merged {
        expects: &made,
        ..*merged
    };
    let carrier = carrier(merged, world.snapshot);
    let carrier = carrier.filter(|c| c.is_of(world.snapshot, world.is_ours));
    let reads = |folder: &str, file: &str| {
        let fed = world
            .feeds
            .get(folder)
            .is_some_and(|f| f.iter().any(|f| f == file));
        fed || Reads::Folder(folder).covers(file)
    };
    let is_here = |carrier: &Carrier<'_>, e: &Expected| {
        world.snapshot.get(&e.object).is_some()
            && Carrier::of(&e.object, world.snapshot) == Some(*carrier)
            && carrier
                .folders(world.is_ours)
                .iter()
                .any(|f| reads(f, &e.file))
    };
    let all = |c: Carrier<'_>| merged.expects.iter().all(|e| is_here(&c, e));
    !merged.expects.is_empty() && carrier.is_some_and(all)
}

/// How things are before the merge.
pub fn baseline(merged: &Merged<'_>, world: &World<'_>) -> Baseline {
    let snapshot = world.snapshot;
    let carrier = carrier(merged, snapshot);
    let workloads = workloads(merged, snapshot);
    Baseline {
        at: Some(merged.at),
        failing: shaky(merged, world, carrier),
        failed: Vec::new(),
        last_attempt_succeeded: last_attempts_succeeded(carrier, snapshot),
        symptom: match symptom(merged, world) {
            Symptom::Present(what) => what.chars().take(200).collect(),
            _ => String::new(),
        },
        ready: ready(&workloads),
        rolled_out: !workloads.is_empty() && workloads.iter().all(|w| rollout::is_settled(w)),
        stays_well: workloads
            .iter()
            .map(|w| stays_well(w, &snapshot.pods_of(&w.reference()), merged))
            .max()
            .unwrap_or(0),
    }
}

/// How many seconds without a failure say nothing: twice what its containers ran for between two failures,
/// and what its pods need to count as available.
fn stays_well(workload: &Object, pods: &[&Object], merged: &Merged<'_>) -> u64 {
    let now = merged.at;
    // what fails every few hours was restarted once or twice, and runs
    let is_mended = mended(merged, workload);
    let fails = |s: &Value| {
        let count = s.get("restartCount").and_then(Value::as_u64);
        let name = s.get("name").and_then(Value::as_str);
        count >= Some(SHAKY)
            || s.pointer("/state/running").is_none()
            || name.is_some_and(&is_mended)
    };
    let statuses = pods.iter().flat_map(|p| {
        let made: Option<Timestamp> = p
            .str("metadata.creationTimestamp")
            .and_then(|t| t.parse().ok());
        let all = p.list("status.containerStatuses").iter();
        all.map(move |s| (made, s))
    });
    let ran = statuses.filter(|(_, s)| fails(s)).filter_map(|(made, s)| {
        let time = |field: &str| -> Option<Timestamp> {
            let at = s.pointer("/lastState/terminated")?.get(field)?;
            at.as_str()?.parse().ok()
        };
        let (begun, ended) = (time("startedAt")?, time("finishedAt")?);
        // what never started is said to have started in 1970
        made.filter(|made| *made <= begun)?;
        // what ended long ago is not what fails now
        let ran = Some(ended.duration_since(begun));
        let ran = ran.filter(|_| now.duration_since(ended) < SignedDuration::from_hours(24))?;
        u64::try_from(ran.as_secs()).ok()
    });
    let needs = workload.int("spec.minReadySeconds").unwrap_or(0);
    let between = ran.max().unwrap_or(0).saturating_mul(2);
    between.max(u64::try_from(needs).unwrap_or(0))
}

/// Whether a container is one that failed by ending, as far as the change tells which.
fn mended(merged: &Merged<'_>, workload: &Object) -> impl Fn(&str) -> bool {
    let ends = merged.class.is_some_and(ends_containers);
    let is_it = ends && workload.reference().to_string() == merged.object;
    let of_it = |e: &&Expected| e.object.same_object(&workload.reference());
    let changed = merged.expects.iter().filter(of_it);
    let names: BTreeSet<String> = changed.filter_map(|e| container(e, workload)).collect();
    move |name| is_it && (names.is_empty() || names.contains(name))
}

/// The name of the container that a field is of.
fn container(expected: &Expected, workload: &Object) -> Option<String> {
    let segs = &expected.path.0;
    let is_list = |seg: &Seg| {
        let Seg::Key(key) = seg else { return false };
        key == "containers" || key == "initContainers"
    };
    let list = segs.iter().position(is_list)?;
    let item = FieldPath(segs.get(..list + 2)?.to_vec());
    let name = item.get(&workload.value)?.get("name")?.as_str()?;
    Some(name.to_owned())
}

/// Failures in which a container ends, and runs again a moment later.
fn ends_containers(class: Class) -> bool {
    matches!(
        class,
        Class::OOMKilled
            | Class::CrashLoopBackOff
            | Class::LivenessProbeFailing
            | Class::StartupProbeFailing
            | Class::ApplicationError
    )
}

/// Of what applies it, and of what applies that.
fn last_attempts_succeeded(carrier: Option<Carrier<'_>>, snapshot: &Snapshot) -> Option<bool> {
    let carrier = carrier?;
    let by = match carrier {
        Carrier::Release(release) => Carrier::of(&release.reference(), snapshot),
        _ => None,
    };
    let all = [Some(carrier), by].into_iter().flatten();
    let all: Option<Vec<bool>> = all.map(Carrier::last_attempt_succeeded).collect();
    all?.into_iter().min()
}

fn carrier<'s>(merged: &Merged<'_>, snapshot: &'s Snapshot) -> Option<Carrier<'s>> {
    let mut objects = merged.expects.iter().map(|e| &e.object);
    objects.find_map(|o| Carrier::of(o, snapshot))
}

/// All fields, the worst first.
fn live(merged: &Merged<'_>, world: &World<'_>) -> Live {
    let all = merged.expects.iter();
    let all: Vec<Live> = all.map(|e| e.live(world.snapshot, world.desired)).collect();
    let differs = all.iter().find(|l| matches!(l, Live::Differs { .. }));
    match differs {
        Some(differs) => differs.clone(),
        None if all.is_empty() || all.contains(&Live::Unknown) => Live::Unknown,
        None => Live::Holds,
    }
}

/// Without an engine the fields themselves are all there is to see.
fn applied(
    merged: &Merged<'_>,
    world: &World<'_>,
    carrier: Option<Carrier<'_>>,
    live: &Live,
) -> Applied {
    let objects: Vec<&ObjectRef> = merged.expects.iter().map(|e| &e.object).collect();
    let files: Vec<&str> = merged.expects.iter().map(|e| e.file.as_str()).collect();
    let question = Question {
        commit: merged.commit,
        objects: &objects,
        files: &files,
        merged_at: merged.at,
        now: world.now,
        is_ancestor: world.is_ancestor,
        is_ours: world.is_ours,
    };
    match (carrier, live) {
        (Some(carrier), _) => carrier.applied(world.snapshot, &question),
        (None, Live::Holds) => Applied::Applied {
            at: None,
            revision: merged.commit.to_owned(),
        },
        (None, _) => Applied::Unknown {
            why: "no object of Flux or Argo CD is known to apply it".to_owned(),
        },
    }
}

/// When it was applied, as far as that is known: never before the merge. An engine may say so only after
/// its health checks, and the object says when its field was written.
fn moment(merged: &Merged<'_>, snapshot: &Snapshot, applied: &Applied) -> Option<Timestamp> {
    let Applied::Applied { at, .. } = applied else {
        return merged.applied_at;
    };
    let told = merged.applied_at.or(at.map(|at| at.max(merged.at)));
    let times = merged.expects.iter().map(|e| e.written_at(snapshot));
    let written = times.collect::<Option<Vec<_>>>().unwrap_or_default();
    // Kubernetes counts in whole seconds
    let is_ours = |at: &Timestamp| at.as_second() >= merged.at.as_second();
    let written = written.into_iter().max().filter(is_ours);
    let written = written.map(|at| at.max(merged.at));
    [written, told].into_iter().flatten().min()
}

fn at_the_moment(applied: Applied, moment: Option<Timestamp>) -> Applied {
    match applied {
        Applied::Applied { at, revision } => Applied::Applied {
            at: moment.or(at),
            revision,
        },
        other => other,
    }
}

const WORKLOADS: [&str; 7] = [
    "Deployment",
    "StatefulSet",
    "DaemonSet",
    "CronJob",
    "Job",
    "Pod",
    "Rollout",
];

/// The workloads whose pods tell: those that were changed, and the one that failed.
fn workloads<'s>(merged: &Merged<'_>, snapshot: &'s Snapshot) -> Vec<&'s Object> {
    let failed = |o: &&Object| o.reference().to_string() == merged.object;
    let changed =
        |o: &&Object| (merged.expects.iter()).any(|e| e.object.same_object(&o.reference()));
    let all = WORKLOADS.iter().flat_map(|k| snapshot.of_kind(k));
    all.filter(|o| failed(o) || changed(o)).collect()
}

/// The worst of the workloads; `None` where the change concerns none.
fn rolled(
    merged: &Merged<'_>,
    workloads: &[&Object],
    snapshot: &Snapshot,
    applied_at: Option<Timestamp>,
    reads_anew: bool,
) -> Option<Rollout> {
    let all = workloads.iter().map(|workload| {
        let children = snapshot.children(workload);
        let pods = snapshot.pods_of(&workload.reference());
        // the engine makes a Job anew before it says that everything is applied
        let is_job = workload.kind() == "Job";
        rollout::assess(&Observed {
            workload,
            children: &children,
            pods: &pods,
            applied_at: applied_at.map(|at| if is_job { merged.at } else { at }),
            reads_anew,
        })
    });
    let gone = || {
        let (kind, _) = merged.object.split_once(' ')?;
        let what = match kind {
            // of another engine: it is in dumps, and not among what is read
            "Rollout" => "is not read, so nobody sees whether it rolls out",
            _ => "is not there",
        };
        let is_workload = WORKLOADS.contains(&kind);
        is_workload.then(|| Rollout::Progressing(format!("{} {what}", merged.object)))
    };
    all.max_by_key(rank).or_else(gone)
}

/// What a changed object that starts no pods says of itself; `None` while nothing speaks against it.
fn lacks(merged: &Merged<'_>, snapshot: &Snapshot) -> Option<String> {
    // what the fix mended may lack it again
    if merged.is_revert {
        return None;
    }
    merged.expects.iter().find_map(|e| {
        let object = snapshot.get(&e.object)?;
        let what = match object.kind() {
            "PersistentVolumeClaim" => claim_lacks(object),
            "Service" => service_lacks(object, snapshot),
            _ => None,
        };
        Some(format!("{}: {}", object.reference(), what?))
    })
}

fn claim_lacks(claim: &Object) -> Option<&'static str> {
    if claim.str("status.phase") != Some("Bound") {
        return Some("it is not bound");
    }
    let size = |path: &str| claim.str(path).and_then(crate::quantity::Quantity::parse);
    let sizes = size("spec.resources.requests.storage").zip(size("status.capacity.storage"));
    let is_small = sizes.is_some_and(|(wanted, has)| has < wanted);
    is_small.then_some("it is not resized yet")
}

/// Pods may be ready and not those of the Service: its endpoints tell, where they can be seen.
fn service_lacks(service: &Object, snapshot: &Snapshot) -> Option<&'static str> {
    service.get("spec.selector")?.as_object()?;
    let is_its = |slice: &&Object| {
        slice.namespace() == service.namespace()
            && slice.label("kubernetes.io/service-name") == Some(service.name())
    };
    let mut slices = snapshot.of_kind("EndpointSlice").filter(is_its).peekable();
    slices.peek()?;
    let mut endpoints = slices.flat_map(|s| s.list("endpoints"));
    // not told means ready
    let is_ready = |e: &Value| e.pointer("/conditions/ready") != Some(&Value::Bool(false));
    (!endpoints.any(is_ready)).then_some("none of its endpoints is ready")
}

fn rank(rollout: &Rollout) -> u8 {
    match rollout {
        Rollout::Done => 0,
        Rollout::Progressing(_) => 1,
        Rollout::Waiting(_) => 2,
        Rollout::Failing(_) => 3,
    }
}

/// Content that pods read when they start, under a name that stays: nothing restarts them.
fn starts_no_pods(merged: &Merged<'_>) -> bool {
    let mut kinds = merged.expects.iter().map(|e| e.object.kind.as_str());
    !merged.expects.is_empty() && kinds.all(|k| k == "ConfigMap")
}

/// Whether a failed apply names what we changed, or could be nobody else's.
fn is_ours(
    merged: &Merged<'_>,
    world: &World<'_>,
    applied: &Applied,
    carrier: Option<Carrier<'_>>,
) -> bool {
    let Applied::Failed { message, resources } = applied else {
        return false;
    };
    let names = |e: &Expected| {
        let namespace = e.object.namespace.as_deref().unwrap_or("-");
        let full = format!("{}/{namespace}/{}", e.object.kind, e.object.name);
        resources.contains(&full) || has_word(message, &full)
    };
    if nobody_answered(message) {
        return false;
    }
    // a release that fails is named, and none of its objects
    if carrier.is_some_and(|c| fails_by_itself(merged, world, c, message)) {
        return true;
    }
    let builds = message.starts_with("BuildFailed");
    let alone = || {
        let at = attempted(merged, world);
        at.is_some_and(|at| {
            let others = (world.changed)(merged.commit, &at);
            others.is_some_and(|files| files.is_empty())
        })
    };
    merged.expects.iter().any(names) || (builds && alone())
}

/// Whether a release of everything that was changed failed, and not what applies the release: with the chart that
/// it had before, which is none of our repository.
fn fails_by_itself(
    merged: &Merged<'_>,
    world: &World<'_>,
    carrier: Carrier<'_>,
    message: &str,
) -> bool {
    let Carrier::Release(release) = carrier else {
        return false;
    };
    let is_its = |e: &Expected| Carrier::of(&e.object, world.snapshot) == Some(carrier);
    let by = Carrier::of(&release.reference(), world.snapshot);
    let by_applied = by.map(|by| applied(merged, world, Some(by), &Live::Unknown));
    let version = release.str("status.lastAttemptedRevision");
    let history = release.list("status.history").iter();
    let mut versions = history.filter_map(|h| h.get("chartVersion")?.as_str());
    merged.expects.iter().all(is_its)
        && matches!(by_applied, Some(Applied::Applied { .. }))
        && !carrier.is_of_our_chart(world.snapshot, world.is_ours)
        && versions.all(|v| Some(v) == version)
        // the objects of the release are there, and a test may fail for anything
        && !message.starts_with("TestFailed")
}

/// Whether somebody did not answer, such as an admission webhook: the next attempt may succeed, and the
/// engine may show this one for as long as its interval is.
fn nobody_answered(message: &str) -> bool {
    const SIGNS: [&str; 19] = [
        "failed calling webhook",
        "internalerror",
        "internal error",
        "connection refused",
        "connection reset",
        "i/o timeout",
        "timed out",
        "deadline exceeded",
        "context canceled",
        "etcdserver",
        "no endpoints available",
        "no such host",
        "tls handshake",
        "x509:",
        "too many requests",
        "service unavailable",
        "the object has been modified",
        "another operation",
        "exceeded quota",
    ];
    let message = message.to_lowercase();
    SIGNS.iter().any(|sign| message.contains(sign))
}

/// The revision that was attempted last.
fn attempted(merged: &Merged<'_>, world: &World<'_>) -> Option<String> {
    match carrier(merged, world.snapshot)? {
        // it tells the version of its chart
        release @ Carrier::Release(object) => {
            let by = Carrier::of(&object.reference(), world.snapshot);
            by.unwrap_or(release).attempted()
        }
        carrier => carrier.attempted(),
    }
}

/// Whether a name stands in a text, and not as part of a longer one.
fn has_word(text: &str, word: &str) -> bool {
    let is_part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_' | '/');
    text.match_indices(word).any(|(at, _)| {
        let before = text.get(..at).and_then(|t| t.chars().next_back());
        let after = text.get(at + word.len()..).and_then(|t| t.chars().next());
        !before.is_some_and(is_part) && !after.is_some_and(is_part)
    })
}

/// Why what goes wrong may be somebody else's.
fn excuse(
    merged: &Merged<'_>,
    world: &World<'_>,
    applied: &Applied,
    carrier: Option<Carrier<'_>>,
) -> Option<&'static str> {
    if world.unread.is_some() {
        return Some("not everything of the cluster can be read");
    }
    let mut objects = merged.expects.iter().map(|e| &e.object);
    if carrier.is_none() && objects.any(|o| app::is_marked(o, world.snapshot)) {
        return Some("what applies it is not seen from here");
    }
    let commit = match applied {
        // without an engine everything that Git holds may be applied
        Applied::Applied { .. } if carrier.is_none() => Some(world.head.to_owned()),
        Applied::Applied { revision, .. } => {
            Revision::read(revision).and_then(|r| r.commit().map(str::to_owned))
        }
        Applied::Failed { .. } => attempted(merged, world),
        _ => return None,
    };
    let Some(files) = commit.and_then(|c| (world.changed)(merged.commit, &c)) else {
        return Some("it is not known what else was changed since");
    };
    let reads = reads(merged, world, carrier);
    let touched = files.iter().any(|f| reads.iter().any(|r| r.covers(f)));
    touched.then_some("another commit changed the app meanwhile")
}

/// A file, or a folder and everything below it.
enum Reads<'a> {
    File(&'a str),
    Folder(&'a str),
}

impl Reads<'_> {
    fn covers(&self, file: &str) -> bool {
        match self {
            Self::File(one) => *one == file,
            Self::Folder(folder) => app::is_below(file, folder),
        }
    }
}

fn reads<'a>(
    merged: &'a Merged<'_>,
    world: &'a World<'_>,
    carrier: Option<Carrier<'a>>,
) -> Vec<Reads<'a>> {
    let is_expected =
        |d: &&Desired| (merged.expects.iter()).any(|e| e.object.same_object(&d.object.reference()));
    let roots = world.desired.iter().filter(is_expected);
    let roots: BTreeSet<&str> = roots.filter_map(|d| d.root.as_deref()).collect();
    let fed = roots.iter().filter_map(|root| world.feeds.get(*root));
    let fed = fed.flatten().map(|f| Reads::File(f.as_str()));
    let own = merged.expects.iter().map(|e| Reads::File(e.file.as_str()));
    let mut folders = carrier.map_or_else(Vec::new, |c| c.folders(world.is_ours));
    if folders.is_empty() {
        folders.push(""); // nobody knows: all of it
    }
    let folders = folders.into_iter().map(Reads::Folder);
    fed.chain(own).chain(folders).collect()
}

/// What pods may hide: they are ready while it lasts, and only a person, a log or an alert told it.
fn hides(class: Class) -> bool {
    matches!(
        class,
        Class::ApplicationError
            | Class::Reported
            | Class::NetworkPolicyBlocking
            | Class::RbacDenied
            | Class::IngressMisroute
    )
}

fn symptom(merged: &Merged<'_>, world: &World<'_>) -> Symptom {
    let is_it = |f: &&Failing<'_>| {
        let also = || merged.also.iter().any(|key| key == f.key);
        let same_key = !f.key.is_empty() && (f.key == merged.key || also());
        let same = Some(f.class) == merged.class && f.object.to_string() == merged.object;
        same_key || same
    };
    let found = world.failing.iter().find(is_it);
    if let Some(failing) = found.filter(|_| !merged.is_revert) {
        return Symptom::Present(failing.summary.to_owned());
    }
    if let Some(another) = another(merged, world).filter(|_| !merged.is_revert) {
        return Symptom::Another(another.summary.to_owned());
    }
    match (world.unread, merged.class) {
        (Some(why), _) => Symptom::Unobservable(why.to_owned()),
        (None, Some(class)) if hides(class) => Symptom::Unobservable(format!(
            "the pods may be ready while {class} lasts: whoever reported it has to look again"
        )),
        _ => Symptom::Absent,
    }
}

/// A failure of the very object that was mended, in what was noted before the merge.
fn in_another_way(failing: &Failing<'_>) -> String {
    format!("{}: {}", failing.object, failing.class)
}

/// What is wrong with the same object in another way, and was not before. Of a workload its pods tell.
fn another<'w>(merged: &Merged<'_>, world: &'w World<'_>) -> Option<&'w Failing<'w>> {
    let kind = merged.object.split_once(' ')?.0;
    if WORKLOADS.contains(&kind) {
        return None;
    }
    let noted = |f: &Failing<'_>| merged.before.is_some_and(|b| b.notes(&in_another_way(f)));
    of_the_same(merged, world).find(|f| !noted(f))
}

/// What fails of the very object, whether it was mended or not.
fn of_the_same<'w>(
    merged: &Merged<'_>,
    world: &'w World<'_>,
) -> impl Iterator<Item = &'w Failing<'w>> {
    let object = merged.object.to_owned();
    let is_it = move |f: &&Failing<'_>| {
        let counts = f.severity > Severity::Low && f.class != Class::HpaCannotScale;
        counts && f.object.to_string() == object
    };
    world.failing.iter().filter(is_it)
}

/// The roots that make an object; `None` for a plain file.
fn roots_of<'a>(
    world: &'a World<'_>,
    object: &'a ObjectRef,
) -> impl Iterator<Item = Option<&'a str>> {
    let all = world.desired.iter();
    let of = all.filter(move |d| object.same_object(&d.object.reference()));
    of.map(|d| d.root.as_deref())
}

/// What else of the same app fails and did not before the merge, and of what that is not known.
fn others(
    merged: &Merged<'_>,
    world: &World<'_>,
    carrier: Option<Carrier<'_>>,
) -> (Vec<String>, Vec<String>) {
    // Kubernetes counts in whole seconds
    let merged_at = merged.at.as_second();
    let is_new = |f: &&Failing<'_>| f.since.is_none_or(|since| since.as_second() >= merged_at);
    let names = beside(merged, world, carrier).filter(is_new);
    let names: BTreeSet<String> = names.map(|f| f.object.to_string()).collect();
    let noted = |n: &String| merged.before.is_some_and(|b| b.notes(n));
    let others = names
        .into_iter()
        .filter(|n| n != merged.object && !noted(n));
    let others = others.take(MAX_LISTED).collect();
    match merged.before.is_some_and(Baseline::is_full) {
        true => (Vec::new(), others),
        false => (others, Vec::new()),
    }
}

/// What else of the same app fails; without an engine, what Git makes with it in the same namespaces.
/// What is merely worth a look may show just because all is well again.
fn beside<'a>(
    merged: &'a Merged<'_>,
    world: &'a World<'_>,
    carrier: Option<Carrier<'a>>,
) -> impl Iterator<Item = &'a Failing<'a>> {
    let here = namespaces(merged);
    let expected = merged.expects.iter().map(|e| &e.object);
    let roots: BTreeSet<_> = expected.flat_map(|o| roots_of(world, o)).collect();
    let in_app = move |f: &&Failing<'_>| match carrier {
        Some(carrier) => {
            Carrier::of(f.object, world.snapshot).is_some_and(|other| other == carrier)
                || f.object.same_object(&carrier.object().reference())
        }
        None => {
            let is_here = (f.object.namespace.as_ref()).is_some_and(|n| here.contains(n));
            is_here && roots_of(world, f.object).any(|root| roots.contains(&root))
        }
    };
    // the engine's own finding tells of the same failure; an autoscaler that gets no numbers yet, as after
    // each rollout, makes nothing fail
    let is_told = |f: &&Failing<'_>| {
        matches!(
            f.class,
            Class::HpaCannotScale
                | Class::ArgoDegraded
                | Class::ArgoSyncFailed
                | Class::ArgoComparisonError
                | Class::FluxKustomizationNotReady
                | Class::FluxHelmReleaseNotReady
                | Class::FluxSourceNotReady
        )
    };
    let is_ours = |f: &&Failing<'_>| {
        !f.key.is_empty() && (f.key == merged.key || merged.also.iter().any(|key| key == f.key))
    };
    let all = world.failing.iter();
    let all = all.filter(move |f| !is_ours(f) && f.severity > Severity::Low);
    all.filter(move |f| !is_told(f)).filter(in_app)
}

/// What fails before the merge, and what fails again and again: it may be well at that very moment.
fn shaky(merged: &Merged<'_>, world: &World<'_>, carrier: Option<Carrier<'_>>) -> Vec<String> {
    let snapshot = world.snapshot;
    let all = WORKLOADS.iter().flat_map(|k| snapshot.of_kind(k));
    let restarting = all.filter(|w| {
        let is_shaky = || restarts(&snapshot.pods_of(&w.reference())) >= SHAKY;
        let in_app = || carrier.is_some() && Carrier::of(&w.reference(), snapshot) == carrier;
        w.controller().is_none() && is_shaky() && in_app()
    });
    let failing = beside(merged, world, carrier).map(|f| f.object.to_string());
    let failing: BTreeSet<String> = failing.filter(|n| *n != merged.object).collect();
    let same: BTreeSet<String> = of_the_same(merged, world).map(in_another_way).collect();
    let mut names: Vec<String> = same.into_iter().chain(failing).collect();
    let restarting = restarting.map(|w| w.reference().to_string());
    let new: Vec<String> = restarting.filter(|n| *n != merged.object).collect();
    names.extend(
        new.into_iter()
            .filter(|n| !names.contains(n))
            .collect::<Vec<_>>(),
    );
    names.truncate(MAX_LISTED);
    names
}

/// Restarts of a workload's pods that are more than an accident.
const SHAKY: u64 = 3;

fn restarts(pods: &[&Object]) -> u64 {
    let counts = pods.iter().flat_map(|p| {
        let statuses = p.list("status.containerStatuses").iter();
        statuses.chain(p.list("status.initContainerStatuses"))
    });
    let counts = counts.filter_map(|s| s.get("restartCount")?.as_u64());
    counts.fold(0, u64::saturating_add)
}

/// As the controllers count: not all pods may have been read.
fn ready(workloads: &[&Object]) -> u64 {
    let counts = workloads.iter().filter_map(|w| {
        let count = w.int("status.readyReplicas");
        count.or_else(|| w.int("status.numberReady"))
    });
    counts.fold(0, |all, n| {
        all.saturating_add(u64::try_from(n).unwrap_or(0))
    })
}

fn evidence(
    facts: &Facts,
    applied_at: Option<Timestamp>,
    carrier: Option<Carrier<'_>>,
    workloads: &[&Object],
    snapshot: &Snapshot,
) -> Vec<(&'static str, String)> {
    let mut all = vec![(
        "Applied",
        said_of_apply(&facts.applied, applied_at, carrier),
    )];
    all.push((
        "In the cluster",
        match &facts.live {
            Live::Holds => "every changed field holds its new value".to_owned(),
            Live::Differs { manager } => match manager {
                Some(name) => format!("a changed field holds another value; {name} wrote it"),
                None => "a changed field holds another value".to_owned(),
            },
            Live::Unknown => "a changed field cannot be read".to_owned(),
        },
    ));
    for workload in workloads.iter().take(MAX_LISTED) {
        all.push(("Rollout", said_of_workload(workload, snapshot)));
    }
    if let Some(rollout) = &facts.rollout {
        all.push(("Pods", said_of_rollout(rollout, facts)));
    }
    all.push((
        "The failure",
        match &facts.symptom {
            Symptom::Absent => "does not show any more".to_owned(),
            Symptom::Present(what) => format!("still there: {what}"),
            Symptom::Another(what) => format!("is gone, and there is another: {what}"),
            Symptom::Unobservable(why) => format!("cannot be seen: {why}"),
        },
    ));
    if !facts.newly_broken.is_empty() {
        all.push(("Fails since", facts.newly_broken.join(", ")));
    }
    if let Some(what) = &facts.lacks {
        all.push(("Not yet", what.clone()));
    }
    if !facts.unclear.is_empty() {
        all.push(("Fails, maybe since long", facts.unclear.join(", ")));
    }
    all
}

fn said_of_apply(
    applied: &Applied,
    applied_at: Option<Timestamp>,
    carrier: Option<Carrier<'_>>,
) -> String {
    let by = carrier.map_or_else(|| "no engine known".to_owned(), Carrier::name);
    let what = match applied {
        Applied::NotSeen { at: Some(at) } => format!("not yet; its source is at {}", short(at)),
        Applied::NotSeen { at: None } => "not yet".to_owned(),
        Applied::Applying { detail } => format!("not yet: {detail}"),
        Applied::Waiting { why } => format!("waits: {}", why.sentence()),
        Applied::Applied { revision, .. } => {
            let when =
                applied_at.map(|t| format!(", seen {}", t.strftime("%Y-%m-%d %H:%M:%S UTC")));
            let when = when.unwrap_or_default();
            format!("yes, revision {}{when}", short(revision))
        }
        Applied::Failed { message, .. } => format!("failed: {message}"),
        Applied::Unknown { why } => format!("unknown: {why}"),
    };
    format!("{what} ({by})")
}

fn short(revision: &str) -> String {
    match Revision::read(revision) {
        Some(Revision::Commit(commit)) => commit.chars().take(12).collect(),
        _ => revision.chars().take(80).collect(),
    }
}

fn said_of_workload(workload: &Object, snapshot: &Snapshot) -> String {
    let number = |path: &str| {
        workload
            .int(path)
            .map_or_else(|| "-".to_owned(), |n| n.to_string())
    };
    let mut said = format!(
        "{}: generation {}, observed {}",
        workload.reference(),
        number("metadata.generation"),
        number("status.observedGeneration")
    );
    let children = snapshot.children(workload);
    if let Some(set) = rollout::current_replica_set(workload, &children) {
        said.push_str(&format!(", ReplicaSet {}", set.name()));
    } else if let Some(revision) = workload.str("status.updateRevision") {
        said.push_str(&format!(", revision {revision}"));
    }
    said
}

fn said_of_rollout(rollout: &Rollout, facts: &Facts) -> String {
    let state = match rollout {
        Rollout::Done => "all pods run the new template".to_owned(),
        Rollout::Progressing(what) => what.clone(),
        Rollout::Waiting(why) => why.sentence(),
        Rollout::Failing(what) => format!("failing: {what}"),
    };
    format!(
        "{state}; {} ready, {} restarts",
        facts.ready, facts.restarts
    )
}

#[cfg(test)]
mod tests;
