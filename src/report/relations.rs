//! What an object depends on, and what depends on it.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use crate::case::Desired;
use crate::object::{Object, ObjectRef, list};
use crate::snapshot::{Existence, Snapshot, map_selects, selector_matches};

/// The most objects that one walk returns, and the most steps it takes downwards.
const MAX_RELATED: usize = 200;
const MAX_DEPTH: usize = 5;

/// Everything that is known, each object once; the live form wins over the one in Git.
#[derive(Debug)]
pub struct Known<'a> {
    objects: Vec<&'a Object>,
    by_key: BTreeMap<(&'a str, Option<&'a str>, &'a str), usize>,
    snapshot: &'a Snapshot,
    /// The top-level objects with a pod template, by namespace.
    workloads: BTreeMap<Option<&'a str>, Vec<&'a Object>>,
}

impl<'a> Known<'a> {
    /// Live objects, and those of Git that are not live.
    pub fn new(snapshot: &'a Snapshot, desired: &'a [Desired]) -> Self {
        let mut known = Self {
            objects: Vec::new(),
            by_key: BTreeMap::new(),
            snapshot,
            workloads: BTreeMap::new(),
        };
        let in_git = desired.iter().map(|d| &d.object);
        for object in snapshot.objects().iter().chain(in_git) {
            let key = (object.kind(), object.namespace(), object.name());
            if !known.by_key.contains_key(&key) {
                known.by_key.insert(key, known.objects.len());
                known.objects.push(object);
            }
        }
        let mut workloads: BTreeMap<Option<&'a str>, Vec<&'a Object>> = BTreeMap::new();
        for object in &known.objects {
            if object.pod_spec_path().is_some() && known.is_top(object) {
                workloads
                    .entry(object.namespace())
                    .or_default()
                    .push(object);
            }
        }
        known.workloads = workloads;
        known
    }

    /// One object.
    pub fn find(&self, kind: &str, namespace: Option<&str>, name: &str) -> Option<&'a Object> {
        let index = self.by_key.get(&(kind, namespace, name))?;
        self.objects.get(*index).copied()
    }

    /// All of one kind in one namespace.
    pub fn of<'s>(
        &'s self,
        kind: &'s str,
        namespace: Option<&'s str>,
    ) -> impl Iterator<Item = &'a Object> + use<'a, 's> {
        self.objects
            .iter()
            .copied()
            .filter(move |o| o.kind() == kind && o.namespace() == namespace)
    }

    /// All of one kind in one namespace, in the order in which they were found.
    pub fn all(&self, kind: &str, namespace: Option<&str>) -> Vec<&'a Object> {
        let fits = |o: &&Object| o.kind() == kind && o.namespace() == namespace;
        self.objects.iter().copied().filter(fits).collect()
    }

    /// All of one kind in all namespaces.
    pub fn everywhere(&self, kind: &str) -> Vec<&'a Object> {
        let fits = |o: &&Object| o.kind() == kind;
        self.objects.iter().copied().filter(fits).collect()
    }

    /// Whether an object exists, in the cluster or in Git.
    pub fn existence(&self, kind: &str, namespace: Option<&str>, name: &str) -> Existence {
        match self.find(kind, namespace, name) {
            Some(_) => Existence::Exists,
            None => self.snapshot.existence(kind, namespace, name),
        }
    }

    /// The top owner of an object where it is known, else the object itself.
    pub fn owner_of(&self, object: &'a Object) -> &'a Object {
        let owner = self.snapshot.top_owner(object);
        self.find(&owner.kind, owner.namespace.as_deref(), &owner.name)
            .unwrap_or(object)
    }

    /// The top-level objects with a pod template in one namespace: workloads, and Pods and Jobs
    /// that nothing controls.
    pub fn workloads(&self, namespace: Option<&str>) -> Vec<&'a Object> {
        self.workloads.get(&namespace).cloned().unwrap_or_default()
    }

    /// Nothing controls it, or what controls it is unknown (then a Pod stands for its owner).
    fn is_top(&self, object: &Object) -> bool {
        if object.controller().is_none() {
            return true;
        }
        let owner = self.snapshot.top_owner(object);
        object.kind() == "Pod"
            && self
                .find(&owner.kind, owner.namespace.as_deref(), &owner.name)
                .is_none()
    }

    /// The workloads that a Service selects; where it selects none, those that it nearly selects.
    pub fn behind(&self, service: &Object) -> Vec<&'a Object> {
        let selector = service.map("spec.selector");
        let workloads = self.workloads(service.namespace());
        let hits: Vec<&Object> = workloads
            .iter()
            .copied()
            .filter(|w| map_selects(selector, w.pod_labels()))
            .collect();
        if !hits.is_empty() {
            return hits;
        }
        nearly_selected(selector, &workloads, service.name())
    }

    /// Everything but what a step can go to, for one object: what it needs to work.
    fn down(&self, object: &'a Object) -> Vec<&'a Object> {
        let ns = object.namespace();
        let get = |kind: &str, name: &str| self.find(kind, ns, name);
        match object.kind() {
            "Ingress" => backends(object)
                .iter()
                .filter_map(|name| get("Service", name))
                .collect(),
            "Service" => self.behind(object),
            "HorizontalPodAutoscaler" | "ScaledObject" => target(object, "spec.scaleTargetRef")
                .and_then(|(kind, name)| get(kind, name))
                .into_iter()
                .collect(),
            "PodDisruptionBudget" => self.matching(object, "spec.selector"),
            "NetworkPolicy" => self.matching(object, "spec.podSelector"),
            "RoleBinding" | "ClusterRoleBinding" => self.role_of(object).into_iter().collect(),
            "ServiceAccount" => self.bindings_of(ns, object.name()),
            "PersistentVolumeClaim" => object
                .str("spec.storageClassName")
                .and_then(|class| self.find("StorageClass", None, class))
                .into_iter()
                .collect(),
            "Application" => self.listed(object, "status.resources"),
            "Kustomization" => {
                let mut out = self.flux_needs(object);
                out.extend(self.inventory(object));
                out
            }
            "HelmRelease" => self.flux_needs(object),
            _ if object.pod_spec_path().is_some() => self.needs_of_pods(object),
            _ => Vec::new(),
        }
    }

    /// What leads to an object, or holds it: Services, Ingresses, scalers, budgets, policies.
    fn up(&self, object: &'a Object) -> Vec<&'a Object> {
        let ns = object.namespace();
        let point_here = |kind: &'static str| {
            self.of(kind, ns)
                .filter(|o| self.down(o).iter().any(|d| same(d, object)))
                .collect::<Vec<_>>()
        };
        match object.kind() {
            "Service" => point_here("Ingress"),
            "ConfigMap" | "Secret" | "PersistentVolumeClaim" => self.users_of(object),
            "ServiceAccount" => self
                .workloads(ns)
                .into_iter()
                .filter(|w| account(w) == object.name())
                .collect(),
            "Role" | "ClusterRole" => self.bindings_with_role(object),
            "RoleBinding" | "ClusterRoleBinding" => self.subjects_of(object),
            _ if object.pod_spec_path().is_some() => [
                "Service",
                "HorizontalPodAutoscaler",
                "PodDisruptionBudget",
                "NetworkPolicy",
            ]
            .into_iter()
            .flat_map(point_here)
            .collect(),
            _ => Vec::new(),
        }
    }

    fn matching(&self, object: &Object, selector: &str) -> Vec<&'a Object> {
        self.workloads(object.namespace())
            .into_iter()
            .filter(|w| selector_matches(object.get(selector), w.pod_labels()))
            .collect()
    }

    fn needs_of_pods(&self, workload: &'a Object) -> Vec<&'a Object> {
        let ns = workload.namespace();
        let mut out: Vec<&Object> = references(workload)
            .into_iter()
            .filter_map(|(kind, name)| self.find(kind, ns, name))
            .collect();
        out.extend(self.find("ServiceAccount", ns, account(workload)));
        out.extend(self.claims_of_templates(workload));
        out.extend(self.of("ResourceQuota", ns));
        out.extend(self.of("LimitRange", ns));
        out
    }

    fn claims_of_templates(&self, workload: &Object) -> Vec<&'a Object> {
        let prefixes: Vec<String> = workload
            .list("spec.volumeClaimTemplates")
            .iter()
            .filter_map(|t| crate::object::at(t, "metadata.name")?.as_str())
            .map(|claim| format!("{claim}-{}-", workload.name()))
            .collect();
        let ns = workload.namespace().map(str::to_owned);
        self.of("PersistentVolumeClaim", ns.as_deref())
            .filter(|c| prefixes.iter().any(|p| c.name().starts_with(p)))
            .collect()
    }

    fn users_of(&self, object: &Object) -> Vec<&'a Object> {
        let wanted = (object.kind(), object.name());
        self.workloads(object.namespace())
            .into_iter()
            .filter(|w| references(w).contains(&wanted))
            .collect()
    }

    fn bindings_of(&self, namespace: Option<&str>, account: &str) -> Vec<&'a Object> {
        let names = |s: &Value| {
            text(s, "kind") == "ServiceAccount"
                && text(s, "name") == account
                && (text(s, "namespace").is_empty() || Some(text(s, "namespace")) == namespace)
        };
        self.objects
            .iter()
            .copied()
            .filter(|o| o.kind() == "ClusterRoleBinding" || o.kind() == "RoleBinding")
            .filter(|o| o.list("subjects").iter().any(names))
            .collect()
    }

    fn role_of(&self, binding: &Object) -> Option<&'a Object> {
        let kind = binding.str("roleRef.kind")?;
        let ns = (kind == "Role").then(|| binding.namespace()).flatten();
        self.find(kind, ns, binding.str("roleRef.name")?)
    }

    fn bindings_with_role(&self, role: &Object) -> Vec<&'a Object> {
        self.objects
            .iter()
            .copied()
            .filter(|o| matches!(o.kind(), "RoleBinding" | "ClusterRoleBinding"))
            .filter(|o| self.role_of(o).is_some_and(|r| same(r, role)))
            .collect()
    }

    fn subjects_of(&self, binding: &Object) -> Vec<&'a Object> {
        let accounts = binding.list("subjects").iter().filter_map(|s| {
            let ns = match text(s, "namespace") {
                "" => binding.namespace(),
                ns => Some(ns),
            };
            self.find(text(s, "kind"), ns, text(s, "name"))
        });
        accounts.collect()
    }

    fn listed(&self, application: &Object, dotted: &str) -> Vec<&'a Object> {
        let resources = application.list(dotted).iter();
        let found = resources.filter_map(|r| {
            let ns = Some(text(r, "namespace")).filter(|n| !n.is_empty());
            self.find(text(r, "kind"), ns, text(r, "name"))
        });
        found.take(MAX_RELATED).collect()
    }

    /// What a Flux object waits for: its source and its dependencies.
    fn flux_needs(&self, object: &'a Object) -> Vec<&'a Object> {
        let own = object.namespace();
        let place = |v: &'a Value| Some(text(v, "namespace")).filter(|n| !n.is_empty()).or(own);
        let depends = object.list("spec.dependsOn").iter();
        let mut out: Vec<&Object> = depends
            .filter_map(|d| self.find(object.kind(), place(d), text(d, "name")))
            .collect();
        let sources = [
            "spec.sourceRef",
            "spec.chart.spec.sourceRef",
            "spec.chartRef",
        ];
        let sources = sources.iter().filter_map(|at| object.get(at));
        out.extend(sources.filter_map(|s| self.find(text(s, "kind"), place(s), text(s, "name"))));
        out
    }

    /// Flux inventory ids are `namespace_name_group_Kind`.
    fn inventory(&self, kustomization: &Object) -> Vec<&'a Object> {
        let entries = kustomization.list("status.inventory.entries").iter();
        let found = entries.filter_map(|e| {
            let parts: Vec<&str> = text(e, "id").split('_').collect();
            let [ns, name, _, kind] = parts.as_slice() else {
                return None;
            };
            self.find(kind, Some(*ns).filter(|n| !n.is_empty()), name)
        });
        found.take(MAX_RELATED).collect()
    }

    /// The Services that a workload names in its environment, arguments or configuration.
    pub fn called_by(&self, workload: &Object) -> Vec<&'a Object> {
        let ns = workload.namespace();
        let mut texts: Vec<String> = Vec::new();
        for container in workload.containers() {
            for item in list(container.value, "env") {
                texts.push(text(item, "value").to_owned());
            }
            for field in ["command", "args"] {
                let items = list(container.value, field).iter();
                texts.extend(items.filter_map(Value::as_str).map(str::to_owned));
            }
        }
        for (kind, name) in references(workload) {
            let config = self
                .find(kind, ns, name)
                .filter(|o| o.kind() == "ConfigMap");
            let data = config.and_then(|o| o.map("data"));
            let values = data.into_iter().flat_map(Map::values);
            texts.extend(values.filter_map(Value::as_str).map(str::to_owned));
        }
        self.of("Service", ns)
            .filter(|s| texts.iter().any(|t| names_host(t, s.name())))
            .collect()
    }
}

/// The objects around one, the nearest first, without the object itself: first what it needs and
/// what leads to it, then what its pods call.
///
/// The walk never goes up again after it went down, so that two applications that share a
/// ConfigMap are not related.
pub fn related(object: &ObjectRef, snapshot: &Snapshot, desired: &[Desired]) -> Vec<ObjectRef> {
    let known = Known::new(snapshot, desired);
    let Some(start) = known.find(&object.kind, object.namespace.as_deref(), &object.name) else {
        return Vec::new();
    };
    let mut walk = Walk::default();
    walk.seen.insert(object.clone().into_key());
    walk.spread(&known, start, Known::down);
    let mut above = vec![start];
    if is_entry(start) {
        above.extend(known.down(start)); // what holds the pods behind a Service or an Ingress
        let second: Vec<&Object> = above.iter().flat_map(|o| known.down(o)).collect();
        above.extend(second);
    }
    for item in above {
        walk.spread(&known, item, Known::up);
    }
    let workloads: Vec<&Object> = std::iter::once(start)
        .chain(walk.found.iter().copied())
        .filter(|o| o.pod_spec_path().is_some())
        .collect();
    for workload in workloads {
        for service in known.called_by(workload) {
            walk.visit(service);
            walk.spread(&known, service, Known::down);
        }
    }
    walk.found
        .iter()
        .map(|o| known.snapshot.top_owner(o))
        .filter(|r| !r.same_object(object))
        .collect()
}

#[derive(Default)]
struct Walk<'a> {
    seen: BTreeSet<(String, Option<String>, String)>,
    found: Vec<&'a Object>,
}

impl<'a> Walk<'a> {
    fn visit(&mut self, object: &'a Object) -> bool {
        let new = self.found.len() < MAX_RELATED && self.seen.insert(object.reference().into_key());
        if new {
            self.found.push(object);
        }
        new
    }

    fn spread(
        &mut self,
        known: &Known<'a>,
        start: &'a Object,
        step: fn(&Known<'a>, &'a Object) -> Vec<&'a Object>,
    ) {
        let mut front = vec![start];
        for _ in 0..MAX_DEPTH {
            let next: Vec<&Object> = front.iter().flat_map(|o| step(known, o)).collect();
            front = next.into_iter().filter(|o| self.visit(o)).collect();
        }
    }
}

impl ObjectRef {
    fn into_key(self) -> (String, Option<String>, String) {
        (self.kind, self.namespace, self.name)
    }
}

fn is_entry(object: &Object) -> bool {
    matches!(object.kind(), "Service" | "Ingress")
}

fn same(a: &Object, b: &Object) -> bool {
    a.reference().same_object(&b.reference())
}

fn text<'v>(value: &'v Value, key: &str) -> &'v str {
    value.get(key).and_then(Value::as_str).unwrap_or_default()
}

fn target<'o>(object: &'o Object, dotted: &str) -> Option<(&'o str, &'o str)> {
    let reference = object.get(dotted)?;
    Some((text(reference, "kind"), text(reference, "name")))
}

fn account(workload: &Object) -> &str {
    workload
        .pod_spec()
        .and_then(|s| s.get("serviceAccountName"))
        .and_then(Value::as_str)
        .unwrap_or("default")
}

/// The Services that an Ingress names.
fn backends(ingress: &Object) -> BTreeSet<&str> {
    let mut out = BTreeSet::new();
    for backend in ingress
        .get("spec.defaultBackend")
        .or_else(|| ingress.get("spec.backend"))
        .into_iter()
        .chain(
            ingress
                .list("spec.rules")
                .iter()
                .flat_map(|r| list(r, "http.paths"))
                .filter_map(|p| p.get("backend")),
        )
    {
        out.extend(service_of(backend));
    }
    out
}

fn service_of(backend: &Value) -> Option<&str> {
    crate::object::at(backend, "service.name")
        .or_else(|| backend.get("serviceName"))
        .and_then(Value::as_str)
}

/// ConfigMaps, Secrets and claims that a pod template names.
fn references(workload: &Object) -> Vec<(&str, &str)> {
    let mut out = Vec::new();
    let Some(spec) = workload.pod_spec() else {
        return out;
    };
    for volume in list(spec, "volumes") {
        volume_references(volume, &mut out);
    }
    for container in workload.containers() {
        for item in list(container.value, "env") {
            let from = |kind: &str| crate::object::at(item, &format!("valueFrom.{kind}.name"));
            push(&mut out, "ConfigMap", from("configMapKeyRef"));
            push(&mut out, "Secret", from("secretKeyRef"));
        }
        for item in list(container.value, "envFrom") {
            push(
                &mut out,
                "ConfigMap",
                crate::object::at(item, "configMapRef.name"),
            );
            push(
                &mut out,
                "Secret",
                crate::object::at(item, "secretRef.name"),
            );
        }
    }
    for secret in list(spec, "imagePullSecrets") {
        push(&mut out, "Secret", secret.get("name"));
    }
    out
}

fn volume_references<'v>(volume: &'v Value, out: &mut Vec<(&'v str, &'v str)>) {
    let get = |dotted: &str| crate::object::at(volume, dotted);
    push(out, "ConfigMap", get("configMap.name"));
    push(out, "Secret", get("secret.secretName"));
    push(
        out,
        "PersistentVolumeClaim",
        get("persistentVolumeClaim.claimName"),
    );
    for source in list(volume, "projected.sources") {
        push(
            out,
            "ConfigMap",
            crate::object::at(source, "configMap.name"),
        );
        push(out, "Secret", crate::object::at(source, "secret.name"));
    }
}

fn push<'v>(out: &mut Vec<(&'v str, &'v str)>, kind: &'static str, name: Option<&'v Value>) {
    out.extend(name.and_then(Value::as_str).map(|n| (kind, n)));
}

/// The workloads that share the most labels with a selector, at least one; else the one that is
/// called like the Service.
fn nearly_selected<'a>(
    selector: Option<&Map<String, Value>>,
    workloads: &[&'a Object],
    name: &str,
) -> Vec<&'a Object> {
    let shared = |w: &Object| {
        let labels = w.pod_labels();
        selector
            .into_iter()
            .flatten()
            .filter(|(k, v)| labels.and_then(|l| l.get(k.as_str())) == Some(*v))
            .count()
    };
    let best = workloads.iter().map(|w| shared(w)).max().unwrap_or(0);
    let near = |w: &&&Object| match best {
        0 => w.name() == name,
        _ => shared(w) == best,
    };
    workloads.iter().filter(near).copied().collect()
}

/// Whether a text names a host `name`, `name.ns…` or `name:port`, as a whole word.
pub(crate) fn names_host(text: &str, name: &str) -> bool {
    let mut rest = text;
    let inside = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    while let Some(at) = rest.find(name) {
        let (before, from) = rest.split_at(at);
        let after = from.get(name.len()..).unwrap_or_default();
        let free = |c: Option<char>| !c.is_some_and(inside);
        let left = before.chars().next_back();
        if free(left) && left != Some('.') && free(after.chars().next()) {
            return true;
        }
        rest = after;
    }
    false
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn snapshot(docs: &[&str]) -> Snapshot {
        let objects = docs
            .iter()
            .map(|d| Object::new(serde_saphyr::from_str(d).unwrap()).unwrap());
        Snapshot::new(objects.collect(), BTreeMap::new())
    }

    const INGRESS: &str = "{kind: Ingress, metadata: {name: in, namespace: ns}, spec: {rules: [{http: {paths: [{backend: {service: {name: svc}}}]}}]}}";
    const SERVICE: &str =
        "{kind: Service, metadata: {name: svc, namespace: ns}, spec: {selector: {app: w}}}";
    const WORKLOAD: &str = "{kind: Deployment, metadata: {name: w, namespace: ns}, spec: {template: {metadata: {labels: {app: w}}, spec: {serviceAccountName: sa, containers: [{name: c, env: [{name: DB, value: 'db.ns:5432'}], envFrom: [{configMapRef: {name: cm}}]}]}}}}";
    const OTHER: &str = "{kind: Deployment, metadata: {name: o, namespace: ns}, spec: {template: {metadata: {labels: {app: o}}, spec: {containers: [{name: c, envFrom: [{configMapRef: {name: cm}}]}]}}}}";
    const CONFIG: &str = "{kind: ConfigMap, metadata: {name: cm, namespace: ns}}";
    const ACCOUNT: &str = "{kind: ServiceAccount, metadata: {name: sa, namespace: ns}}";
    const BINDING: &str = "{kind: RoleBinding, metadata: {name: b, namespace: ns}, roleRef: {kind: Role, name: r}, subjects: [{kind: ServiceAccount, name: sa, namespace: ns}]}";
    const ROLE: &str = "{kind: Role, metadata: {name: r, namespace: ns}}";
    const POLICY: &str = "{kind: NetworkPolicy, metadata: {name: np, namespace: ns}, spec: {podSelector: {matchLabels: {app: w}}}}";
    const DATABASE: &str =
        "{kind: Service, metadata: {name: db, namespace: ns}, spec: {selector: {app: db}}}";

    fn names(kind: &str, name: &str) -> Vec<String> {
        let snapshot = snapshot(&[
            INGRESS, SERVICE, WORKLOAD, OTHER, CONFIG, ACCOUNT, BINDING, ROLE, POLICY, DATABASE,
        ]);
        related(&ObjectRef::new("", kind, Some("ns"), name), &snapshot, &[])
            .iter()
            .map(|o| o.name.clone())
            .collect()
    }

    #[test]
    fn an_ingress_leads_to_everything_behind_it() {
        let all = names("Ingress", "in");
        for name in ["svc", "w", "cm", "sa", "b", "r", "np", "db"] {
            assert!(all.contains(&name.to_owned()), "{name} in {all:?}");
        }
        assert!(!all.contains(&"o".to_owned()), "{all:?}");
    }

    #[test]
    fn a_workload_knows_what_leads_to_it_and_no_neighbour() {
        let all = names("Deployment", "w");
        for name in ["svc", "in", "cm", "np", "r"] {
            assert!(all.contains(&name.to_owned()), "{name} in {all:?}");
        }
        assert!(!all.contains(&"o".to_owned()), "{all:?}");
        assert_eq!(names("ConfigMap", "nope"), Vec::<String>::new());
    }

    #[test]
    fn a_service_without_pods_is_related_to_the_nearest_workload() {
        let broken = "{kind: Service, metadata: {name: svc, namespace: ns}, spec: {selector: {app: w, extra: x}}}";
        let snapshot = snapshot(&[broken, WORKLOAD, OTHER]);
        let all = related(
            &ObjectRef::new("", "Service", Some("ns"), "svc"),
            &snapshot,
            &[],
        );
        assert!(all.iter().any(|o| o.name == "w") && !all.iter().any(|o| o.name == "o"));
    }

    #[test]
    fn a_host_is_a_whole_word() {
        assert!(names_host("http://db:80/", "db"));
        assert!(names_host("db.ns.svc", "db"));
        assert!(!names_host("mydb:80", "db") && !names_host("x.db:80", "db"));
    }
}
