//! A fresh snapshot of the cluster: everything that findings rest on, and of pods only what looks ill.

use std::collections::{BTreeMap, BTreeSet};

use futures::AsyncReadExt as _;
use kube::api::ListParams;
use serde_json::{Map, Value};

use super::page::Page;
use super::{Cluster, ClusterError, PATIENCE, Watch, failure, shape};
use crate::object::Object;
use crate::snapshot::{LogKey, Snapshot, is_own_event};

/// Objects of one page.
const PAGE: u32 = 250;
/// The most bytes of lists that one reading takes.
const MAX_BYTES: usize = 256 << 20;
/// Pods of one owner that are kept: the ill ones, and well ones to compare them with.
const ILL_PODS: usize = 20;
const WELL_PODS: usize = 2;
/// Pods of one owner that are kept where all of them count.
const WHOLE_PODS: usize = 2_000;
/// Events of one object that are kept, the newest.
const EVENTS: usize = 20;
/// Events without those that every pod has, and that say nothing: the server leaves them out.
const QUIET: &str = "reason!=Pulling,reason!=Pulled,reason!=Created,reason!=Started,reason!=Scheduled,\
reason!=SuccessfulCreate,reason!=SuccessfulDelete,reason!=ScalingReplicaSet";
/// Events of type Normal that findings rest on: a probe has a container killed, a node is on its way,
/// why a claim waits. All others of that type are news of what is well.
const TELLING: [&str; 5] = [
    "Killing",
    "TriggeredScaleUp",
    "Nominated",
    "FailedBinding",
    "ExternalProvisioning",
];
/// Logs that one reading takes, and the bytes and lines of each.
const LOGS: usize = 40;
const LOG_BYTES: usize = 64 << 10;
const LOG_LINES: usize = 400;

/// What was read.
#[derive(Debug, Default)]
pub struct Reading {
    /// The cluster now.
    pub snapshot: Snapshot,
    /// What could not be read and why, one sentence each. While there is any, nothing counts as
    /// healthy.
    pub problems: Vec<String>,
    /// What was left out of it, one sentence each.
    pub notes: Vec<String>,
}

/// A kind that is read: `apiVersion`, kind, plural, and whether its objects have a namespace.
struct Kind(&'static str, &'static str, &'static str, Within);

#[derive(Clone, Copy, PartialEq, Eq)]
enum Within {
    Cluster,
    Namespace,
}

const NODE: Within = Within::Cluster;
const SPACE: Within = Within::Namespace;

/// Everything that a detector looks at everywhere. No Secrets.
const KINDS: &[Kind] = &[
    Kind("v1", "Namespace", "namespaces", NODE),
    Kind("v1", "Node", "nodes", NODE),
    Kind("v1", "PersistentVolume", "persistentvolumes", NODE),
    Kind("storage.k8s.io/v1", "StorageClass", "storageclasses", NODE),
    Kind(
        "rbac.authorization.k8s.io/v1",
        "ClusterRole",
        "clusterroles",
        NODE,
    ),
    Kind(
        "rbac.authorization.k8s.io/v1",
        "ClusterRoleBinding",
        "clusterrolebindings",
        NODE,
    ),
    Kind("rbac.authorization.k8s.io/v1", "Role", "roles", SPACE),
    Kind(
        "rbac.authorization.k8s.io/v1",
        "RoleBinding",
        "rolebindings",
        SPACE,
    ),
    Kind("v1", "ServiceAccount", "serviceaccounts", SPACE),
    Kind("v1", "ConfigMap", "configmaps", SPACE),
    Kind(
        "v1",
        "PersistentVolumeClaim",
        "persistentvolumeclaims",
        SPACE,
    ),
    Kind("v1", "ResourceQuota", "resourcequotas", SPACE),
    Kind("v1", "LimitRange", "limitranges", SPACE),
    Kind("v1", "Service", "services", SPACE),
    Kind(
        "discovery.k8s.io/v1",
        "EndpointSlice",
        "endpointslices",
        SPACE,
    ),
    Kind("networking.k8s.io/v1", "Ingress", "ingresses", SPACE),
    Kind(
        "networking.k8s.io/v1",
        "NetworkPolicy",
        "networkpolicies",
        SPACE,
    ),
    Kind("apps/v1", "Deployment", "deployments", SPACE),
    Kind("apps/v1", "StatefulSet", "statefulsets", SPACE),
    Kind("apps/v1", "DaemonSet", "daemonsets", SPACE),
    Kind("batch/v1", "Job", "jobs", SPACE),
    Kind("batch/v1", "CronJob", "cronjobs", SPACE),
    Kind(
        "autoscaling/v2",
        "HorizontalPodAutoscaler",
        "horizontalpodautoscalers",
        SPACE,
    ),
    Kind(
        "policy/v1",
        "PodDisruptionBudget",
        "poddisruptionbudgets",
        SPACE,
    ),
    Kind("argoproj.io/v1alpha1", "Application", "applications", SPACE),
    Kind("argoproj.io/v1alpha1", "AppProject", "appprojects", SPACE),
    Kind(
        "kustomize.toolkit.fluxcd.io/v1",
        "Kustomization",
        "kustomizations",
        SPACE,
    ),
    Kind(
        "helm.toolkit.fluxcd.io/v2",
        "HelmRelease",
        "helmreleases",
        SPACE,
    ),
    Kind(
        "source.toolkit.fluxcd.io/v1",
        "GitRepository",
        "gitrepositories",
        SPACE,
    ),
    Kind(
        "source.toolkit.fluxcd.io/v1",
        "OCIRepository",
        "ocirepositories",
        SPACE,
    ),
    Kind(
        "source.toolkit.fluxcd.io/v1",
        "HelmChart",
        "helmcharts",
        SPACE,
    ),
];

const POD: Kind = Kind("v1", "Pod", "pods", SPACE);
/// Earlier templates: ten of each workload, so they are read where one is in trouble.
const REVISIONS: [Kind; 2] = [
    Kind("apps/v1", "ReplicaSet", "replicasets", SPACE),
    Kind(
        "apps/v1",
        "ControllerRevision",
        "controllerrevisions",
        SPACE,
    ),
];
const EVENT: Kind = Kind("v1", "Event", "events", SPACE);

impl Kind {
    fn path(&self, namespace: &str) -> String {
        let root = match self.0.contains('/') {
            true => "/apis",
            false => "/api",
        };
        match namespace {
            "" => format!("{root}/{}/{}", self.0, self.2),
            namespace => format!("{root}/{}/namespaces/{namespace}/{}", self.0, self.2),
        }
    }
}

impl Cluster {
    /// Reads what findings rest on. Pods, revisions, events and logs are read where the watch sees
    /// something ill, and in the `whole` namespaces, there all pods: nothing else needs them.
    pub async fn read(
        &self,
        watch: &Watch,
        whole: &BTreeSet<String>,
    ) -> Result<Reading, ClusterError> {
        let mut reader = Reader::new(self, whole);
        for kind in KINDS {
            for scope in self.scopes_of(kind) {
                reader.list(kind, &scope, "", |_| true).await?;
            }
        }
        let ill = watch.ill_namespaces().into_iter();
        let wanted: BTreeSet<String> = ill.chain(whole.iter().cloned()).collect();
        for namespace in wanted {
            if namespace.is_empty() || !self.may_read(&namespace) {
                continue;
            }
            let mut chosen = match whole.contains(&namespace) {
                true => Chosen::of_each(WHOLE_PODS, WHOLE_PODS),
                false => Chosen::of_each(ILL_PODS, WELL_PODS),
            };
            let keep = |pod: &Value| chosen.keeps(pod, |name| watch.is_ill(&namespace, name));
            reader.list(&POD, &namespace, "", keep).await?;
            if chosen.left_out > 0 {
                let (n, left) = (&namespace, chosen.left_out);
                reader.notes.push(format!(
                    "namespace {n}: {left} pods like the ones read were left out"
                ));
            }
            for kind in &REVISIONS {
                reader.list(kind, &namespace, "", |_| true).await?;
            }
            let mut news = Newest::default();
            reader
                .list(&EVENT, &namespace, QUIET, |event| news.take(event))
                .await?;
            reader.objects.extend(news.into_objects());
            reader.logs(&namespace, watch).await;
        }
        Ok(reader.finish())
    }

    fn scopes_of(&self, kind: &Kind) -> Vec<String> {
        match kind.3 {
            Within::Cluster => vec![String::new()],
            Within::Namespace => self.scopes(),
        }
    }

    fn may_read(&self, namespace: &str) -> bool {
        self.namespaces.is_empty() || self.namespaces.iter().any(|n| n == namespace)
    }
}

struct Reader<'c> {
    cluster: &'c Cluster,
    /// Namespaces in which it counts who wrote what.
    whole: &'c BTreeSet<String>,
    objects: Vec<Object>,
    /// What was listed completely, and where.
    listed: Vec<(&'static str, String)>,
    logs: BTreeMap<LogKey, String>,
    problems: BTreeSet<String>,
    notes: Vec<String>,
    bytes: usize,
}

impl<'c> Reader<'c> {
    fn new(cluster: &'c Cluster, whole: &'c BTreeSet<String>) -> Self {
        Self {
            cluster,
            whole,
            objects: Vec::new(),
            listed: Vec::new(),
            logs: BTreeMap::new(),
            problems: BTreeSet::new(),
            notes: Vec::new(),
            bytes: 0,
        }
    }

    fn finish(self) -> Reading {
        let spaces = |o: &&Object| o.kind() == "Namespace";
        let spaces: Vec<String> = self
            .objects
            .iter()
            .filter(spaces)
            .map(|o| o.name().to_owned())
            .collect();
        let mut snapshot = Snapshot::new(self.objects, self.logs);
        for (kind, scope) in self.listed {
            match scope.as_str() {
                "" => {
                    snapshot.listed_empty(kind, None);
                    // all of them were listed, also those that hold nothing
                    for space in &spaces {
                        snapshot.listed_empty(kind, Some(space));
                    }
                }
                namespace => snapshot.listed_empty(kind, Some(namespace)),
            }
        }
        Reading {
            snapshot,
            problems: self.problems.into_iter().collect(),
            notes: self.notes,
        }
    }

    /// Lists a kind page by page. A kind that the cluster does not have is absent; one that may not
    /// be read is unknown.
    async fn list(
        &mut self,
        kind: &Kind,
        namespace: &str,
        fields: &str,
        mut keep: impl FnMut(&Value) -> bool,
    ) -> Result<(), ClusterError> {
        let mut next = None;
        loop {
            let page = self.page(kind, namespace, fields, next.as_deref()).await;
            let page = match page {
                Ok(page) => page,
                Err(ClusterError::Status { status: 404, .. }) => return Ok(()),
                Err(ClusterError::Status {
                    status: status @ (401 | 403),
                    ..
                }) => {
                    let place = if namespace.is_empty() {
                        ""
                    } else {
                        " of one namespace"
                    };
                    self.problems.insert(format!(
                        "{}{place}: the API server answers {status} to list them",
                        kind.2
                    ));
                    return Ok(());
                }
                Err(error) => return Err(error),
            };
            self.take(kind, page.items, &mut keep);
            next = page.next;
            if next.is_none() {
                self.listed.push((kind.1, namespace.to_owned()));
                return Ok(());
            }
        }
    }

    fn take(&mut self, kind: &Kind, items: Vec<Value>, keep: &mut impl FnMut(&Value) -> bool) {
        for mut item in items {
            let Some(map) = item.as_object_mut() else {
                continue;
            };
            if !self.whole.contains(namespace_of(map)) {
                slim(map);
            }
            // items of a list do not name their kind
            map.insert("apiVersion".to_owned(), kind.0.into());
            map.insert("kind".to_owned(), kind.1.into());
            if keep(&item) {
                self.objects.extend(Object::new(item));
            }
        }
    }

    async fn page(
        &mut self,
        kind: &Kind,
        namespace: &str,
        fields: &str,
        next: Option<&str>,
    ) -> Result<Page, ClusterError> {
        let mut params = ListParams::default().limit(PAGE);
        if !fields.is_empty() {
            params = params.fields(fields);
        }
        if let Some(token) = next {
            params = params.continue_token(token);
        }
        let request = kube::core::Request::new(kind.path(namespace)).list(&params);
        let request = request.map_err(|e| ClusterError::Access(e.to_string()))?;
        // not `request`: that one logs what it cannot parse
        let answer = tokio::time::timeout(PATIENCE * 2, self.cluster.client.request_text(request));
        let answer = answer.await.map_err(|_| silent(kind.2))?;
        let text = answer.map_err(|e| failure(kind.2, &e))?;
        self.bytes += text.len();
        if self.bytes > MAX_BYTES {
            let most = MAX_BYTES >> 20;
            return Err(ClusterError::TooMuch(format!(
                "the lists of this cluster are larger than {most} MiB; narrow them with --namespaces"
            )));
        }
        Page::parse(&text)
            .map_err(|e| ClusterError::Unreachable(format!("{}: {}", kind.2, shape(&e))))
    }

    /// Logs of containers that ended badly or do not come up, of one pod for each owner.
    async fn logs(&mut self, namespace: &str, watch: &Watch) {
        let mut owners = BTreeSet::new();
        let mut wanted = Vec::new();
        for pod in self.objects.iter().filter(|o| o.kind() == "Pod") {
            let here = pod.namespace() == Some(namespace) && watch.is_ill(namespace, pod.name());
            if here && owners.insert(owner(&pod.value)) {
                wanted.extend(logs_of(namespace, &pod.value));
            }
        }
        for key in wanted {
            if self.logs.len() >= LOGS {
                self.notes
                    .push(format!("only the logs of {LOGS} containers were read"));
                return;
            }
            if let Some(text) = self.log(&key).await {
                self.logs.insert(key, text);
            }
        }
    }

    /// The end of a log; `None` when there is none (any more). Evidence may be short of logs.
    async fn log(&self, key: &LogKey) -> Option<String> {
        let path = format!("/api/v1/namespaces/{}/pods/{}/log", key.namespace, key.pod);
        let query = format!(
            "container={}&previous={}&tailLines={LOG_LINES}&limitBytes={LOG_BYTES}",
            key.container, key.previous
        );
        let request = http::Request::get(format!("{path}?{query}"))
            .body(Vec::new())
            .ok()?;
        let read = async {
            let stream = self.cluster.client.request_stream(request).await.ok()?;
            let mut stream = std::pin::pin!(stream);
            let mut bytes = Vec::new();
            let most = u64::try_from(LOG_BYTES).unwrap_or(u64::MAX);
            (&mut stream)
                .take(most)
                .read_to_end(&mut bytes)
                .await
                .ok()?;
            Some(String::from_utf8_lossy(&bytes).into_owned())
        };
        tokio::time::timeout(PATIENCE, read).await.ok().flatten()
    }
}

fn silent(what: &str) -> ClusterError {
    ClusterError::Unreachable(format!("{what}: no answer in time"))
}

fn namespace_of(object: &Map<String, Value>) -> &str {
    let metadata = object.get("metadata");
    let namespace = metadata.and_then(|m| m.get("namespace"));
    namespace.and_then(Value::as_str).unwrap_or_default()
}

/// What nobody looks at, and a fifth of the bytes.
fn slim(object: &mut Map<String, Value>) {
    if let Some(Value::Object(metadata)) = object.get_mut("metadata") {
        metadata.remove("managedFields");
    }
}

fn text<'v>(value: &'v Value, pointer: &str) -> &'v str {
    value
        .pointer(pointer)
        .and_then(Value::as_str)
        .unwrap_or_default()
}

fn owner(pod: &Value) -> String {
    let uid = text(pod, "/metadata/ownerReferences/0/uid");
    match uid {
        "" => text(pod, "/metadata/name").to_owned(),
        uid => uid.to_owned(),
    }
}

/// Which pods are kept of a namespace.
struct Chosen {
    most_ill: usize,
    most_well: usize,
    ill: BTreeMap<String, usize>,
    well: BTreeMap<String, usize>,
    left_out: usize,
}

impl Chosen {
    /// So many ill and well ones of each owner.
    fn of_each(most_ill: usize, most_well: usize) -> Self {
        Self {
            most_ill,
            most_well,
            ill: BTreeMap::new(),
            well: BTreeMap::new(),
            left_out: 0,
        }
    }

    fn keeps(&mut self, pod: &Value, is_ill: impl Fn(&str) -> bool) -> bool {
        let (counts, most) = match is_ill(text(pod, "/metadata/name")) {
            true => (&mut self.ill, self.most_ill),
            false => (&mut self.well, self.most_well),
        };
        let count = counts.entry(owner(pod)).or_default();
        *count += 1;
        let kept = *count <= most;
        self.left_out += usize::from(!kept);
        kept
    }
}

/// The newest events of each object.
#[derive(Default)]
struct Newest(BTreeMap<String, Vec<Value>>);

impl Newest {
    /// Takes it; it is never kept by the list itself.
    fn take(&mut self, event: &Value) -> bool {
        let is_telling = TELLING.contains(&text(event, "/reason"));
        let is_warning = text(event, "/type") == "Warning";
        if is_own_event(event) || !(is_warning || is_telling) {
            return false;
        }
        let about = text(event, "/involvedObject/uid");
        let of = self.0.entry(about.to_owned()).or_default();
        of.push(event.clone());
        if of.len() > 2 * EVENTS {
            Self::trim(of);
        }
        false
    }

    fn trim(events: &mut Vec<Value>) {
        events.sort_by_key(|e| std::cmp::Reverse(last(e)));
        events.truncate(EVENTS);
    }

    fn into_objects(self) -> Vec<Object> {
        let mut all: Vec<Vec<Value>> = self.0.into_values().collect();
        all.iter_mut().for_each(Self::trim);
        all.into_iter().flatten().filter_map(Object::new).collect()
    }
}

fn last(event: &Value) -> String {
    let times = [
        "/series/lastObservedTime",
        "/lastTimestamp",
        "/eventTime",
        "/metadata/creationTimestamp",
    ];
    let found = times.iter().map(|p| text(event, p)).find(|t| !t.is_empty());
    found.unwrap_or_default().to_owned()
}

fn logs_of(namespace: &str, pod: &Value) -> Vec<LogKey> {
    let lists = ["/status/initContainerStatuses", "/status/containerStatuses"];
    let statuses = lists
        .iter()
        .filter_map(|p| pod.pointer(p)?.as_array())
        .flatten();
    let mut keys = Vec::new();
    for status in statuses {
        let container = text(status, "/name");
        let name = text(pod, "/metadata/name");
        // names go into a path
        if ![container, name, namespace].iter().all(|n| is_name(n)) {
            continue;
        }
        let key = |previous| LogKey {
            namespace: namespace.to_owned(),
            pod: name.to_owned(),
            container: container.to_owned(),
            previous,
        };
        if status.pointer("/lastState/terminated").is_some() {
            keys.push(key(true));
        }
        let started = ["/state/running", "/state/terminated"];
        let ready = status.pointer("/ready") == Some(&Value::Bool(true));
        if !ready && started.iter().any(|p| status.pointer(p).is_some()) {
            keys.push(key(false));
        }
    }
    keys
}

/// A DNS name.
fn is_name(text: &str) -> bool {
    let letter = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-.".contains(c);
    !text.is_empty() && text.len() <= 253 && text.chars().all(letter)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use serde_json::json;

    #[test]
    fn of_many_pods_that_are_ill_alike_some_are_kept() {
        let mut chosen = Chosen::of_each(ILL_PODS, WELL_PODS);
        let pod = |n: usize| json!({"metadata": {"name": format!("p{n}"), "ownerReferences": [{"uid": "rs"}]}});
        let kept = (0..5_000)
            .filter(|n| chosen.keeps(&pod(*n), |_| true))
            .count();
        assert_eq!((kept, chosen.left_out), (ILL_PODS, 5_000 - ILL_PODS));
        let well = (0..100)
            .filter(|n| chosen.keeps(&pod(*n), |_| false))
            .count();
        assert_eq!(well, WELL_PODS);
    }

    #[test]
    fn the_newest_events_of_an_object_are_kept() {
        let mut newest = Newest::default();
        for n in 0..100 {
            let event = json!({"kind": "Event", "type": "Warning", "involvedObject": {"uid": "a"}, "lastTimestamp": format!("2026-01-01T00:00:{n:03}Z")});
            assert!(!newest.take(&event));
        }
        let kept = newest.into_objects();
        assert_eq!(kept.len(), EVENTS);
        assert_eq!(
            kept.first().unwrap().str("lastTimestamp"),
            Some("2026-01-01T00:00:099Z")
        );
    }

    #[test]
    fn a_hostile_name_never_becomes_part_of_a_path() {
        let pod = json!({"metadata": {"name": "a/../../secrets"}, "status": {"containerStatuses": [{"name": "c", "state": {"running": {}}}]}});
        assert_eq!(logs_of("shop", &pod), []);
    }

    #[test]
    fn paths_are_those_of_the_api() {
        assert_eq!(POD.path("shop"), "/api/v1/namespaces/shop/pods");
        assert_eq!(
            KINDS.iter().find(|k| k.1 == "Deployment").unwrap().path(""),
            "/apis/apps/v1/deployments"
        );
        assert!(KINDS.iter().all(|k| k.1 != "Secret"));
    }
}
