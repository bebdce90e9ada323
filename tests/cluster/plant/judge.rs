//! Judges how a planted fault ended: from Git and from the cluster, not from what kubemend says of itself.

use std::collections::{BTreeMap, BTreeSet};

use kubemend::object::Object;
use kubemend::path::Seg;
use serde_json::Value;

use super::app::{WORKLOADS, documents};
use super::plan::{Plant, leaves};
use crate::plane::Plane;
use crate::shop::{has_endpoint, is_rolled_out};

/// How it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// The file is what it was, byte for byte, and the app is well.
    PutBack,
    /// Other values of the same fields, and the app is well.
    Mended(String),
    /// A question with a right code.
    Asked(String),
    /// A refusal with a right code.
    Refused(String),
    /// A question or refusal with another code.
    OtherCode(String),
    /// Neither a pull request nor a word; and how the app is.
    Nothing(String),
    /// A pull request that is none of the above.
    Wrong(String),
    /// The app was not well before: nothing was planted.
    NotWell(String),
}

impl End {
    /// Whether nobody has to be ashamed of it.
    pub fn is_right(&self) -> bool {
        !matches!(
            self,
            Self::OtherCode(_) | Self::Nothing(_) | Self::Wrong(_) | Self::NotWell(_)
        )
    }
}

/// A plant and its end.
#[derive(Debug, Clone)]
pub struct Judged {
    pub kind: &'static str,
    pub plant: String,
    pub end: End,
}

impl Judged {
    pub fn new(plant: &Plant, end: End) -> Self {
        Self {
            kind: plant.kind.name,
            plant: plant.shown(),
            end,
        }
    }

    pub fn shown(&self) -> String {
        format!("{:?}: {}", self.end, self.plant)
    }
}

/// What kubemend did in one namespace.
#[derive(Debug, Clone, Default)]
pub struct Deed {
    /// Merged pull requests, and what was said of their rollout.
    pub merged: Vec<(u64, String)>,
    /// Pull requests that are open at the end.
    pub open: Vec<u64>,
    /// Files that pull requests changed.
    pub files: BTreeSet<String>,
    /// Codes of questions and of refusals.
    pub asked: BTreeSet<String>,
    pub refused: BTreeSet<String>,
    /// Findings, for people.
    pub about: Vec<String>,
}

impl Deed {
    /// Whether there was a pull request.
    pub fn touches(&self) -> bool {
        !self.merged.is_empty() || !self.open.is_empty()
    }
}

/// How it ended: `file` is the file of the fault as it is in Git at last.
pub fn judge(plant: &Plant, deed: &Deed, file: &[u8], before: &Health, after: &Health) -> End {
    if deed.merged.is_empty() {
        return without_change(plant, deed, after);
    }
    let wrong = |why: String| End::Wrong(format!("{why} ({deed:?})"));
    if deed.merged.len() > 1 || !deed.open.is_empty() {
        return wrong("more than one pull request".to_owned());
    }
    if deed.files != BTreeSet::from([plant.place()]) {
        return wrong("another file".to_owned());
    }
    if after != before {
        return wrong(format!("not healed: {before:?} became {after:?}"));
    }
    let said: Vec<&str> = deed.merged.iter().map(|(_, s)| s.as_str()).collect();
    if !said.iter().all(|s| s.contains("**Verified.**")) {
        return wrong("the verdict is another one".to_owned());
    }
    let healthy = plant.files.get(&plant.file).unwrap_or_default();
    if file == healthy {
        return End::PutBack;
    }
    let changed = changes(&plant.broken, file);
    let is_meant = |path: &&String| {
        let mut fields = plant.kind.fields.iter();
        fields.any(|f| format!(".{path}.").contains(&format!(".{f}.")))
    };
    match changed.iter().find(|p| !is_meant(p)) {
        Some(other) => wrong(format!("{other} changed")),
        None => End::Mended(changed.into_iter().collect::<Vec<_>>().join(", ")),
    }
}

fn without_change(plant: &Plant, deed: &Deed, after: &Health) -> End {
    if !deed.open.is_empty() {
        return End::Wrong(format!("never merged: {deed:?}"));
    }
    let is_right = |code: &&String| plant.kind.right.contains(&code.as_str());
    if let Some(code) = deed.asked.iter().find(is_right) {
        return End::Asked(code.clone());
    }
    if let Some(code) = deed.refused.iter().find(is_right) {
        return End::Refused(code.clone());
    }
    let all: Vec<&str> = deed
        .asked
        .union(&deed.refused)
        .map(String::as_str)
        .collect();
    match all.is_empty() {
        true => End::Nothing(format!("{after:?}")),
        false => End::OtherCode(format!("{} ({})", all.join(", "), deed.about.join("; "))),
    }
}

/// The paths, without positions and names, at which two files differ.
fn changes(a: &[u8], b: &[u8]) -> BTreeSet<String> {
    let flat = |bytes: &[u8]| -> BTreeMap<String, (String, String)> {
        let documents = documents(bytes);
        let of = |(i, d): (usize, &Value)| {
            let all = leaves(d).into_iter();
            all.map(move |(path, value)| {
                let keys = path.0.iter().filter_map(|s| match s {
                    Seg::Key(key) => Some(key.as_str()),
                    _ => None,
                });
                let keys: Vec<&str> = keys.collect();
                (format!("{i} {path}"), (keys.join("."), value.to_string()))
            })
            .collect::<Vec<_>>()
        };
        documents.iter().enumerate().flat_map(of).collect()
    };
    let (a, b) = (flat(a), flat(b));
    let all = a.keys().chain(b.keys());
    let differs = all.filter(|k| a.get(*k) != b.get(*k));
    let name = |k: &String| a.get(k).or(b.get(k)).map(|(keys, _)| keys.clone());
    differs.filter_map(name).collect()
}

/// How an app is in the cluster.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Health {
    /// Workloads that do not run as they should.
    pub ill: BTreeSet<String>,
    /// Services with a place to send traffic to.
    pub served: BTreeSet<String>,
}

impl Health {
    /// Looks at a namespace; `app` is what has to be there.
    pub fn of(plane: &Plane, namespace: &str, app: &[Object]) -> Result<Self, String> {
        let kinds = "deployments,statefulsets,daemonsets,endpointslices";
        let all = plane.kubectl.get(namespace, kinds)?;
        let items: Vec<&Value> = all["items"].as_array().into_iter().flatten().collect();
        let find = |kind: &str, name: &str| {
            let mut hits = items.iter();
            hits.find(|i| i["kind"] == kind && i["metadata"]["name"] == name)
        };
        let mut health = Self::default();
        for object in app.iter().filter(|o| WORKLOADS.contains(&o.kind())) {
            let live = find(object.kind(), object.name());
            if !live.is_some_and(|l| runs(l)) {
                health
                    .ill
                    .insert(format!("{}/{}", object.kind(), object.name()));
            }
        }
        let slices = items
            .iter()
            .filter(|i| i["kind"] == "EndpointSlice" && has_endpoint(i));
        let of = |s: &&Value| {
            s.pointer("/metadata/labels/kubernetes.io~1service-name")?
                .as_str()
                .map(str::to_owned)
        };
        health.served = slices.filter_map(of).collect();
        Ok(health)
    }
}

/// Whether a workload runs what it says, everywhere.
fn runs(workload: &Value) -> bool {
    let status = &workload["status"];
    let number = |at: &str| status[at].as_i64().unwrap_or(0);
    let is_current = status["observedGeneration"] == workload["metadata"]["generation"];
    match workload["kind"].as_str() {
        Some("DaemonSet") => {
            let wanted = number("desiredNumberScheduled");
            is_current
                && wanted == number("numberAvailable")
                && wanted == number("updatedNumberScheduled")
        }
        Some("StatefulSet") => {
            let wanted = workload["spec"]["replicas"].as_i64().unwrap_or(1);
            is_current && wanted == number("readyReplicas") && wanted == number("updatedReplicas")
        }
        _ => is_rolled_out(workload),
    }
}
