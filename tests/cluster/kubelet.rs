//! Plays the kubelets: says of every pod that a node takes what a kubelet would say of it, from what
//! is in the cluster and from the [`Registry`]. kwok keeps the nodes alive.
//!
//! Nothing here knows what was planted. ConfigMaps and Secrets are looked up where the pod names them;
//! scheduling, quotas, accounts, endpoints and rollouts are judged by the real controllers.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, RwLock};
use std::time::Duration;

use futures::StreamExt as _;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ConfigMap, Event, Pod, Secret, Service};
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::runtime::{WatchStreamExt as _, watcher};
use kubemend::object::{Container, Object, list};
use serde_json::{Value, json};

use crate::registry::{DIES_OF_TRAFFIC, Registry, Running};

/// Pause before something that is missing is looked for again.
const AGAIN: Duration = Duration::from_secs(2);

/// All kubelets of a cluster.
pub struct Kubelets {
    client: kube::Client,
    registry: Arc<RwLock<Registry>>,
    /// Pods that are looked after, by uid.
    taken: Mutex<BTreeSet<String>>,
    addresses: AtomicU32,
}

/// Stands in [`Found`] where a Service sends requests to a pod that dies of them.
const TRAFFIC: &str = "traffic";

/// What a pod names, and the keys that it has; none where it does not exist.
type Found = BTreeMap<(&'static str, String), Option<BTreeSet<String>>>;

impl Kubelets {
    pub fn new(client: kube::Client, registry: Arc<RwLock<Registry>>) -> Arc<Self> {
        Arc::new(Self {
            client,
            registry,
            taken: Mutex::default(),
            addresses: AtomicU32::default(),
        })
    }

    /// Looks after all pods, for ever.
    pub async fn run(self: Arc<Self>) {
        let pods: Api<Pod> = Api::all(self.client.clone());
        let changes = watcher(pods, watcher::Config::default()).default_backoff();
        let mut changes = std::pin::pin!(changes.touched_objects());
        while let Some(change) = changes.next().await {
            let Some(pod) = change.ok().and_then(|p| object(&p)) else {
                continue;
            };
            let is_new = pod.get("spec.nodeName").is_some()
                && (pod.get("metadata.deletionTimestamp").is_some()
                    || pod.get("status.containerStatuses").is_none());
            if is_new && self.takes(&pod) {
                tokio::spawn(Arc::clone(&self).look_after(pod));
            }
        }
    }

    fn takes(&self, pod: &Object) -> bool {
        self.taken.lock().unwrap().insert(hold(pod))
    }

    async fn look_after(self: Arc<Self>, mut pod: Object) {
        let held = hold(&pod);
        let namespace = pod.namespace().unwrap_or_default().to_owned();
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), &namespace);
        let mut said = None;
        loop {
            if pod.get("metadata.deletionTimestamp").is_some() {
                let now = DeleteParams::default().grace_period(0);
                let _ = pods.delete(pod.name(), &now).await;
                break;
            }
            let found = self.find(&namespace, &pod).await;
            let state = State::of(&pod, &self.registry.read().unwrap(), &found);
            if said.as_ref() != Some(&state) && self.tell(&pods, &pod, &state).await.is_ok() {
                let event = state.ill.values().find_map(|i| i.event.as_ref());
                if let Some(event) = state.unmounted.as_ref().or(event) {
                    self.tell_news(&namespace, &pod, "Warning", event).await;
                }
                for kill in state.ill.iter().filter_map(Ill::kill) {
                    self.tell_news(&namespace, &pod, "Normal", &kill).await;
                }
                said = Some(state.clone());
            }
            if said.as_ref() == Some(&state) && !state.waits {
                break;
            }
            tokio::time::sleep(AGAIN).await;
            match pods.get_opt(pod.name()).await {
                Ok(Some(now)) => match object(&now).filter(|o| o.uid() == pod.uid()) {
                    Some(now) => pod = now,
                    None => break,
                },
                Ok(None) => break,
                Err(_) => {}
            }
        }
        self.taken.lock().unwrap().remove(&held);
    }

    /// What the pod needs from the cluster.
    async fn find(&self, namespace: &str, pod: &Object) -> Found {
        let mut found = Found::new();
        let named: BTreeSet<(&'static str, String)> = references(pod)
            .iter()
            .map(|r| (r.kind, r.name.to_owned()))
            .collect();
        for (kind, name) in named {
            let keys = match kind {
                "ConfigMap" => {
                    let api: Api<ConfigMap> = Api::namespaced(self.client.clone(), namespace);
                    let map = api.get_opt(&name).await.ok().flatten();
                    map.map(|m| {
                        let binary = m.binary_data.unwrap_or_default().into_keys();
                        m.data
                            .unwrap_or_default()
                            .into_keys()
                            .chain(binary)
                            .collect()
                    })
                }
                _ => {
                    let api: Api<Secret> = Api::namespaced(self.client.clone(), namespace);
                    let secret = api.get_opt(&name).await.ok().flatten();
                    secret.map(|s| s.data.unwrap_or_default().into_keys().collect())
                }
            };
            found.insert((kind, name), keys);
        }
        if pod.annotation(DIES_OF_TRAFFIC).is_some() && self.is_selected(namespace, pod).await {
            found.insert((TRAFFIC, String::new()), None);
        }
        found
    }

    async fn is_selected(&self, namespace: &str, pod: &Object) -> bool {
        let api: Api<Service> = Api::namespaced(self.client.clone(), namespace);
        let Ok(all) = api.list(&ListParams::default()).await else {
            return false;
        };
        all.iter().any(|service| {
            let selector = service.spec.as_ref().and_then(|s| s.selector.clone());
            let selector = selector.unwrap_or_default();
            !selector.is_empty() && selector.iter().all(|(k, v)| pod.label(k) == Some(v))
        })
    }

    async fn tell(&self, pods: &Api<Pod>, pod: &Object, state: &State) -> Result<(), kube::Error> {
        let number = self.addresses.fetch_add(1, Ordering::Relaxed);
        let address = format!("10.1.{}.{}", number / 250 % 250, number % 250 + 1);
        let status = json!({"status": state.status(pod, &address)});
        let (params, patch) = (PatchParams::default(), Patch::Merge(&status));
        let told = pods.patch_status(pod.name(), &params, &patch).await;
        told.map(drop)
    }

    async fn tell_news(
        &self,
        namespace: &str,
        pod: &Object,
        kind: &str,
        (reason, message): &(String, String),
    ) {
        let now = now();
        let event = json!({
            "apiVersion": "v1", "kind": "Event",
            "metadata": {"generateName": format!("{}.", pod.name()), "namespace": namespace},
            "involvedObject": {"apiVersion": "v1", "kind": "Pod", "namespace": namespace, "name": pod.name(), "uid": pod.uid()},
            "type": kind, "reason": reason, "message": message, "count": 4,
            "firstTimestamp": now, "lastTimestamp": now, "source": {"component": "kubelet"},
        });
        let events: Api<Event> = Api::namespaced(self.client.clone(), namespace);
        if let Ok(event) = serde_json::from_value(event) {
            let _ = events.create(&PostParams::default(), &event).await;
        }
    }
}

/// What is looked after: the pod's life, and its end.
fn hold(pod: &Object) -> String {
    let ends = pod.get("metadata.deletionTimestamp").is_some();
    format!("{} {ends}", pod.uid().unwrap_or_default())
}

fn object(pod: &Pod) -> Option<Object> {
    Object::new(serde_json::to_value(pod).ok()?)
}

fn now() -> String {
    Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// A reference of a pod to a ConfigMap or Secret.
pub struct Reference<'p> {
    pub kind: &'static str,
    pub name: &'p str,
    pub keys: Vec<&'p str>,
    pub is_optional: bool,
}

impl<'p> Reference<'p> {
    fn of(kind: &'static str, name_at: &str, value: &'p Value) -> Option<Self> {
        let key = value.get("key").and_then(Value::as_str);
        let items = list(value, "items").iter();
        let keys = items.filter_map(|i| i.get("key")?.as_str());
        Some(Self {
            kind,
            name: value.get(name_at)?.as_str()?,
            keys: keys.chain(key).collect(),
            is_optional: value.get("optional") == Some(&Value::Bool(true)),
        })
    }

    /// The name or the key that is missing.
    fn lacks(&self, found: &Found) -> Option<Lack<'p>> {
        if self.is_optional {
            return None;
        }
        let keys = found.get(&(self.kind, self.name.to_owned()))?;
        let Some(keys) = keys else {
            return Some(Lack::Object);
        };
        let missing = self.keys.iter().find(|k| !keys.contains(**k));
        missing.map(|k| Lack::Key(k))
    }
}

enum Lack<'p> {
    Object,
    Key(&'p str),
}

/// The references in the environment of a container.
fn of_environment<'p>(container: &Container<'p>) -> Vec<Reference<'p>> {
    let value = container.value;
    let whole = list(value, "envFrom").iter().filter_map(|e| {
        let map = e
            .get("configMapRef")
            .and_then(|r| Reference::of("ConfigMap", "name", r));
        map.or_else(|| Reference::of("Secret", "name", e.get("secretRef")?))
    });
    let single = list(value, "env").iter().filter_map(|e| {
        let from = e.get("valueFrom")?;
        let map = from.get("configMapKeyRef");
        let map = map.and_then(|r| Reference::of("ConfigMap", "name", r));
        map.or_else(|| Reference::of("Secret", "name", from.get("secretKeyRef")?))
    });
    whole.chain(single).collect()
}

/// The references of a volume.
fn of_volume(volume: &Value) -> Vec<Reference<'_>> {
    let direct = |v| {
        let map = Value::get(v, "configMap").and_then(|r| Reference::of("ConfigMap", "name", r));
        let name =
            |r| Reference::of("Secret", "secretName", r).or(Reference::of("Secret", "name", r));
        [map, Value::get(v, "secret").and_then(name)]
    };
    let projected = list(volume, "projected.sources").iter();
    std::iter::once(volume)
        .chain(projected)
        .flat_map(direct)
        .flatten()
        .collect()
}

fn volumes(pod: &Object) -> &[Value] {
    pod.pod_spec().map_or(&[], |spec| list(spec, "volumes"))
}

/// The ConfigMaps and Secrets that a pod, or what makes pods, names.
pub fn references(of: &Object) -> Vec<Reference<'_>> {
    let containers = of.containers();
    let mut all: Vec<Reference<'_>> = containers.iter().flat_map(of_environment).collect();
    all.extend(volumes(of).iter().flat_map(of_volume));
    let pull = of
        .pod_spec()
        .map_or(&[][..], |s| list(s, "imagePullSecrets"));
    all.extend(
        pull.iter()
            .filter_map(|s| Reference::of("Secret", "name", s)),
    );
    all
}

/// What a kubelet says of a pod.
#[derive(Debug, Clone, PartialEq)]
struct State {
    /// What is wrong, by container; all others are well as far as these let them.
    ill: BTreeMap<String, Ill>,
    /// Whether nothing starts, or only the first of the init containers.
    blocked: Option<Blocked>,
    /// Whether a kubelet would look again for what is missing.
    waits: bool,
    /// The event of a volume that cannot be mounted.
    unmounted: Option<(String, String)>,
    /// Whether a program that is well is done.
    ends: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Blocked {
    Mounts,
    Init,
}

/// What is wrong with a container.
#[derive(Debug, Clone, PartialEq)]
struct Ill {
    status: Value,
    event: Option<(String, String)>,
    /// Something may appear in the cluster.
    waits: bool,
}

impl Ill {
    fn waiting(reason: &str, message: String, waits: bool) -> Self {
        Self {
            status: json!({"ready": false, "started": false, "restartCount": 0,
                "state": {"waiting": {"reason": reason, "message": message}}}),
            event: Some(("Failed".to_owned(), format!("Error: {message}"))),
            waits,
        }
    }

    /// The event of a kubelet that kills a container because of a probe.
    fn kill((name, ill): (&String, &Self)) -> Option<(String, String)> {
        let (_, message) = ill.event.as_ref()?;
        let probe = ["Startup", "Liveness"]
            .into_iter()
            .find(|p| message.starts_with(&format!("{p} probe failed")))?;
        let message = format!(
            "Container {name} failed {} probe, will be restarted",
            probe.to_lowercase()
        );
        Some(("Killing".to_owned(), message))
    }

    fn crashing(name: &str, restarts: u32, last: Value, event: Option<(String, String)>) -> Self {
        let message = format!("back-off 2m40s restarting failed container={name}");
        let back_off = (
            "BackOff",
            format!("Back-off restarting failed container {name}"),
        );
        Self {
            status: json!({"ready": false, "started": false, "restartCount": restarts,
                "state": {"waiting": {"reason": "CrashLoopBackOff", "message": message}},
                "lastState": {"terminated": last}}),
            event: event.or(Some((back_off.0.to_owned(), back_off.1))),
            waits: false,
        }
    }
}

impl State {
    fn of(pod: &Object, registry: &Registry, found: &Found) -> Self {
        let mut state = Self {
            ill: BTreeMap::new(),
            blocked: None,
            waits: false,
            unmounted: None,
            ends: pod.str("spec.restartPolicy").is_some_and(|p| p != "Always"),
        };
        if let Some(message) = volumes(pod).iter().find_map(|v| unmountable(v, found)) {
            state.blocked = Some(Blocked::Mounts);
            state.waits = true;
            state.unmounted = Some(("FailedMount".to_owned(), message));
            return state;
        }
        for container in pod.containers() {
            if container.init && state.blocked.is_some() {
                continue;
            }
            if !container.init && state.blocked.is_some() {
                break;
            }
            if let Some(ill) = ill(pod, &container, registry, found) {
                state.blocked = container.init.then_some(Blocked::Init);
                state.waits |= ill.waits;
                state.ill.insert(container.name.to_owned(), ill);
            }
        }
        if pod.annotation(DIES_OF_TRAFFIC).is_some() {
            state.waits = true;
            if found.contains_key(&(TRAFFIC, String::new())) {
                state.overload(pod);
            }
        }
        state
    }

    /// All programs crash that are well otherwise.
    fn overload(&mut self, pod: &Object) {
        let at = pod.str("metadata.creationTimestamp");
        let last = json!({"exitCode": 139, "reason": "Error", "startedAt": at, "finishedAt": at});
        for container in pod.containers().into_iter().filter(|c| !c.init) {
            let last = last.clone();
            let ill = Ill::crashing(container.name, 4, last, None);
            self.ill.entry(container.name.to_owned()).or_insert(ill);
        }
    }

    fn status(&self, pod: &Object, address: &str) -> Value {
        let now = now();
        let is_well = self.blocked.is_none() && self.ill.is_empty();
        let is_done = is_well && self.ends;
        let condition = |kind: &str, is_so: bool, reason: &str| {
            let status = if is_so { "True" } else { "False" };
            let mut c = json!({"type": kind, "status": status, "lastTransitionTime": now});
            if !is_so {
                c["reason"] = json!(reason);
            }
            c
        };
        let of = |init: bool| -> Vec<Value> {
            let all = pod.containers().into_iter().filter(|c| c.init == init);
            all.map(|c| self.container(&c, &now)).collect()
        };
        let starts = self.ill.values().all(|i| i.status["restartCount"] == 0);
        let phase = match () {
            () if is_done => "Succeeded",
            () if is_well => "Running",
            () if self.blocked.is_some() => "Pending",
            // it was created, and never ran
            () if starts && self.ill.values().all(|i| i.status["started"] == false) => "Pending",
            () => "Running",
        };
        let is_ready = is_well && !is_done;
        json!({
            "phase": phase, "startTime": now, "podIP": address, "podIPs": [{"ip": address}],
            "conditions": [
                condition("PodScheduled", true, ""),
                condition("Initialized", self.blocked != Some(Blocked::Init), "ContainersNotInitialized"),
                condition("ContainersReady", is_ready, "ContainersNotReady"),
                condition("Ready", is_ready, if is_done { "PodCompleted" } else { "ContainersNotReady" }),
            ],
            "initContainerStatuses": of(true),
            "containerStatuses": of(false),
        })
    }

    fn container(&self, container: &Container<'_>, now: &str) -> Value {
        let image = container.str("image").unwrap_or_default();
        let waiting = |reason: &str| json!({"ready": false, "started": false, "restartCount": 0, "state": {"waiting": {"reason": reason}}});
        let done = json!({"ready": container.init, "started": false, "restartCount": 0,
            "state": {"terminated": {"exitCode": 0, "reason": "Completed", "startedAt": now, "finishedAt": now}}});
        let mut status = match (self.ill.get(container.name), self.blocked) {
            (Some(ill), _) => ill.status.clone(),
            (None, Some(Blocked::Mounts)) if container.init => waiting("PodInitializing"),
            (None, Some(Blocked::Mounts)) => waiting("ContainerCreating"),
            (None, Some(Blocked::Init)) if !container.init => waiting("PodInitializing"),
            (None, _) if container.init => done,
            (None, _) if self.ends && self.ill.is_empty() => done,
            (None, _) => {
                json!({"ready": true, "started": true, "restartCount": 0, "state": {"running": {"startedAt": now}}})
            }
        };
        status["name"] = json!(container.name);
        status["image"] = json!(image);
        status["imageID"] = json!("");
        status
    }
}

fn unmountable(volume: &Value, found: &Found) -> Option<String> {
    let name = volume.get("name")?.as_str()?;
    of_volume(volume).iter().find_map(|r| {
        let kind = r.kind.to_lowercase();
        let why = match r.lacks(found)? {
            Lack::Object => format!("{kind} \"{}\" not found", r.name),
            Lack::Key(key) => format!(
                "{kind} references non-existent {} key: {key}",
                key_of(&kind)
            ),
        };
        Some(format!(
            "MountVolume.SetUp failed for volume \"{name}\" : {why}"
        ))
    })
}

fn key_of(kind: &str) -> &str {
    if kind == "configmap" {
        "config"
    } else {
        "secret"
    }
}

/// The first thing that is wrong with a container.
fn ill(pod: &Object, container: &Container<'_>, registry: &Registry, found: &Found) -> Option<Ill> {
    let image = container.str("image").unwrap_or_default();
    let Some(program) = registry.pull(image) else {
        let message = format!(
            "Back-off pulling image \"{image}\": ErrImagePull: rpc error: code = NotFound desc = failed to pull and unpack image \"{image}\": failed to resolve reference \"{image}\": {image}: not found"
        );
        return Some(Ill::waiting("ImagePullBackOff", message, false));
    };
    if program.is_private() && !has_pull_secret(pod, found) {
        let host = image.split('/').next().unwrap_or_default();
        let message = format!(
            "Back-off pulling image \"{image}\": ErrImagePull: failed to pull and unpack image \"{image}\": failed to resolve reference \"{image}\": failed to authorize: failed to fetch anonymous token: unexpected status from GET request to https://{host}/token: 401 Unauthorized"
        );
        return Some(Ill::waiting("ImagePullBackOff", message, true));
    }
    let namespace = pod.namespace().unwrap_or_default();
    let lacks = of_environment(container).into_iter().find_map(|r| {
        Some(match r.lacks(found)? {
            Lack::Object => format!("{} \"{}\" not found", r.kind.to_lowercase(), r.name),
            Lack::Key(key) => format!(
                "couldn't find key {key} in {} {namespace}/{}",
                r.kind, r.name
            ),
        })
    });
    if let Some(message) = lacks {
        return Some(Ill::waiting("CreateContainerConfigError", message, true));
    }
    failing(pod, container, &program)
}

fn has_pull_secret(pod: &Object, found: &Found) -> bool {
    let mut all = pod.list("spec.imagePullSecrets").iter();
    all.any(|s| {
        let name = s.get("name").and_then(Value::as_str).unwrap_or_default();
        matches!(found.get(&("Secret", name.to_owned())), Some(Some(_)))
    })
}

/// What goes wrong once it is created.
fn failing(pod: &Object, container: &Container<'_>, program: &Running) -> Option<Ill> {
    let (name, now) = (container.name, now());
    if !program.starts(container) {
        let words = container.list("command");
        let word = words.first().and_then(Value::as_str).unwrap_or_default();
        let problem = match word.contains('/') {
            true => format!("stat {word}: no such file or directory"),
            false => "executable file not found in $PATH".to_owned(),
        };
        let message = format!(
            "failed to create containerd task: failed to create shim task: OCI runtime create failed: runc create failed: unable to start container process: error during container init: exec: \"{word}\": {problem}"
        );
        let last = json!({"exitCode": 128, "reason": "StartError", "message": message, "startedAt": "1970-01-01T00:00:00Z", "finishedAt": now});
        return Some(Ill::crashing(name, 4, last, None));
    }
    if program.ends(container) {
        let last = json!({"exitCode": 1, "reason": "Error", "startedAt": now, "finishedAt": now});
        return Some(Ill::crashing(name, 5, last, None));
    }
    if program.is_too_big(container, pod) {
        let last =
            json!({"exitCode": 137, "reason": "OOMKilled", "startedAt": now, "finishedAt": now});
        return Some(Ill::crashing(name, 3, last, None));
    }
    let sees = |probe: &str| {
        let saw = program.refuses(container.get(probe)?, container)?;
        Some(saw)
    };
    let event = |what: &str, saw: &str| {
        let message = format!("{what} probe failed: {saw}");
        Some(("Unhealthy".to_owned(), message))
    };
    for (probe, what) in [("startupProbe", "Startup"), ("livenessProbe", "Liveness")] {
        if let Some(saw) = sees(probe) {
            let last =
                json!({"exitCode": 137, "reason": "Error", "startedAt": now, "finishedAt": now});
            return Some(Ill::crashing(name, 4, last, event(what, &saw)));
        }
    }
    let saw = sees("readinessProbe")?;
    Some(Ill {
        status: json!({"ready": false, "started": true, "restartCount": 0, "state": {"running": {"startedAt": now}}}),
        event: event("Readiness", &saw),
        waits: false,
    })
}
