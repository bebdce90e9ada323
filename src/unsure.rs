//! Objects of which a pass cannot tell whether they are well: an engine that applies again says nothing
//! of its last failure, and what fails because of it looks well for that moment. Pure.

use std::collections::BTreeSet;
use std::path::Path;

use jiff::Timestamp;

use crate::case::Desired;
use crate::detect::gitops;
use crate::object::{Object, ObjectRef};
use crate::snapshot::Snapshot;
use crate::verify::app::Carrier;

/// Objects as texts, `Deployment shop/cart`: what is kept of a finding names its object so.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Unsure(BTreeSet<String>);

/// What is looked at.
pub struct World<'a> {
    /// The cluster.
    pub snapshot: &'a Snapshot,
    /// What Git defines.
    pub desired: &'a [Desired],
    /// Whether an address is that of our repository.
    pub is_ours: &'a dyn Fn(&str) -> bool,
    /// The moment of the snapshot.
    pub now: Timestamp,
}

impl Unsure {
    /// The objects of engines that try again, and what each of them applies.
    pub fn of(world: &World<'_>) -> Self {
        let all = world.snapshot.objects().iter();
        let trying: Vec<&Object> = all
            .filter(|o| gitops::is_trying_again(o, world.now))
            .collect();
        if trying.is_empty() {
            return Self::default();
        }
        let themselves = trying.iter().map(|engine| engine.reference());
        let listed = trying.iter().flat_map(|engine| gitops::listed(engine));
        let refused = trying
            .iter()
            .flat_map(|engine| never_applied(world, engine));
        let all = themselves.chain(listed).chain(refused);
        all.chain(marked(world.snapshot, &trying)).collect()
    }

    /// Whether an object is one of them; where nobody knows which object is meant, it may be.
    pub fn holds(&self, object: &str) -> bool {
        match object.is_empty() {
            true => !self.0.is_empty(),
            false => self.0.contains(object),
        }
    }
}

impl<T: ToString> FromIterator<T> for Unsure {
    fn from_iter<I: IntoIterator<Item = T>>(objects: I) -> Self {
        Self(objects.into_iter().map(|o| o.to_string()).collect())
    }
}

/// What bears the marks of one of the engines' objects.
fn marked<'w>(
    snapshot: &'w Snapshot,
    engines: &'w [&'w Object],
) -> impl Iterator<Item = ObjectRef> + 'w {
    let marked = snapshot.objects().iter().filter(move |o| {
        let carrier = Carrier::marked_on(o, snapshot).map(Carrier::object);
        carrier.is_some_and(|carrier| engines.iter().any(|e| std::ptr::eq(*e, carrier)))
    });
    marked.map(Object::reference)
}

/// What Git holds for an engine's object and the cluster does not: what is refused from its first day
/// is in no list of Flux, and bears no mark.
fn never_applied(world: &World<'_>, engine: &Object) -> Vec<ObjectRef> {
    let carrier = carrier(engine).filter(|c| c.is_of(world.snapshot, world.is_ours));
    let folders = carrier.map_or_else(Vec::new, |c| c.folders(world.is_ours));
    let is_read = |d: &&Desired| {
        let place = Path::new(d.root.as_ref().unwrap_or(&d.file));
        folders.iter().any(|folder| place.starts_with(folder))
    };
    let read = world.desired.iter().filter(is_read);
    let read = read.map(|d| d.object.reference());
    read.filter(|o| world.snapshot.get(o).is_none()).collect()
}

fn carrier(engine: &Object) -> Option<Carrier<'_>> {
    match engine.kind() {
        "Application" => Some(Carrier::Application(engine)),
        "Kustomization" => Some(Carrier::Kustomization(engine)),
        "HelmRelease" => Some(Carrier::Release(engine)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::collections::BTreeMap;

    use super::*;

    const NOW: &str = "2026-01-02T12:10:00Z";
    const OURS: &str = "https://github.example.com/acme/shop";

    fn object(doc: &str) -> Object {
        Object::new(serde_saphyr::from_str(doc).unwrap()).unwrap()
    }

    fn kustomization(name: &str, source: &str, ready: &str, inventory: &str) -> Object {
        object(&format!(
            "{{apiVersion: kustomize.toolkit.fluxcd.io/v1, kind: Kustomization, metadata: {{name: {name}, namespace: flux-system}}, spec: {{path: ./{name}, sourceRef: {{kind: GitRepository, name: {source}}}}}, status: {{conditions: [{{type: Ready, status: '{ready}', reason: Progressing, lastTransitionTime: '2026-01-02T12:08:00Z'}}], inventory: {{entries: [{inventory}]}}}}}}"
        ))
    }

    fn source(name: &str, url: &str) -> Object {
        object(&format!(
            "{{apiVersion: source.toolkit.fluxcd.io/v1, kind: GitRepository, metadata: {{name: {name}, namespace: flux-system}}, spec: {{url: '{url}'}}}}"
        ))
    }

    fn deployment(name: &str, labels: &str) -> Object {
        object(&format!(
            "{{apiVersion: apps/v1, kind: Deployment, metadata: {{name: {name}, namespace: shop, labels: {labels}}}}}"
        ))
    }

    fn desired(name: &str, root: Option<&str>, file: &str) -> Desired {
        Desired {
            object: deployment(name, "{}"),
            file: file.to_owned(),
            document: 0,
            root: root.map(str::to_owned),
        }
    }

    fn unsure(objects: Vec<Object>, desired: &[Desired]) -> Unsure {
        Unsure::of(&World {
            snapshot: &Snapshot::new(objects, BTreeMap::new()),
            desired,
            is_ours: &|url| url == OURS,
            now: NOW.parse().unwrap(),
        })
    }

    fn of(names: &[&str]) -> Unsure {
        names.iter().collect()
    }

    const LISTED: &str = "{id: shop_listed_apps_Deployment, v: v1}";

    #[test]
    fn only_what_tries_again_and_what_it_applies_is_unsure() {
        let mark = |of: &str| {
            format!(
                "{{kustomize.toolkit.fluxcd.io/name: {of}, kustomize.toolkit.fluxcd.io/namespace: flux-system}}"
            )
        };
        let objects = vec![
            kustomization("tenant", "theirs", "Unknown", LISTED),
            kustomization(
                "well",
                "ours",
                "True",
                "{id: shop_web_apps_Deployment, v: v1}",
            ),
            deployment("marked", &mark("tenant")),
            deployment("web", &mark("well")),
            deployment("bare", "{}"),
        ];
        let expected = [
            "Kustomization flux-system/tenant",
            "Deployment shop/listed",
            "Deployment shop/marked",
        ];
        assert_eq!(unsure(objects, &[]), of(&expected));
    }

    #[test]
    fn while_no_engine_tries_again_all_is_sure() {
        let well = kustomization("well", "ours", "True", LISTED);
        let none = unsure(vec![well], &[]);
        assert_eq!(none, Unsure::default());
        assert!(!none.holds("Deployment shop/listed") && !none.holds(""));
    }

    #[test]
    fn where_the_object_is_not_known_it_may_be_one_of_them() {
        let some = of(&["Deployment shop/web"]);
        assert!(some.holds("Deployment shop/web") && some.holds(""));
        assert!(!some.holds("Deployment shop/web-2"));
    }

    #[test]
    fn what_was_refused_from_the_first_day_is_known_by_its_folder() {
        let git = [
            desired("new", Some("apps/prod"), "base/new.yaml"),
            desired("plain", None, "apps/plain.yaml"),
            desired("runs", Some("apps/prod"), "base/runs.yaml"),
            desired("beside", Some("apps-2"), "apps-2/x.yaml"),
        ];
        let objects = |at: &str| {
            vec![
                source("ours", at),
                kustomization("apps", "ours", "Unknown", ""),
                deployment("runs", "{}"),
            ]
        };
        let itself = "Kustomization flux-system/apps";
        let expected = [itself, "Deployment shop/new", "Deployment shop/plain"];
        assert_eq!(unsure(objects(OURS), &git), of(&expected));
        let elsewhere = unsure(objects("https://github.example.com/else/where"), &git);
        assert_eq!(elsewhere, of(&[itself]), "another repository");
    }

    #[test]
    fn a_release_and_an_application_speak_for_what_they_apply() {
        let release = object(
            "{apiVersion: helm.toolkit.fluxcd.io/v2, kind: HelmRelease, metadata: {name: web, namespace: shop}, status: {conditions: [{type: Ready, status: Unknown, reason: Progressing, message: \"Running 'upgrade' action with timeout of 5m0s\", lastTransitionTime: '2026-01-02T12:08:00Z'}]}}",
        );
        let of_release =
            "{helm.toolkit.fluxcd.io/name: web, helm.toolkit.fluxcd.io/namespace: shop}";
        let app = object(
            "{apiVersion: argoproj.io/v1alpha1, kind: Application, metadata: {name: cart, namespace: argocd}, status: {operationState: {phase: Running, retryCount: 2, startedAt: '2026-01-02T12:08:00Z'}, resources: [{group: apps, version: v1, kind: Deployment, namespace: shop, name: cart}]}}",
        );
        let objects = vec![
            release,
            deployment("web", of_release),
            app,
            deployment("bare", "{}"),
        ];
        let expected = [
            "HelmRelease shop/web",
            "Deployment shop/web",
            "Application argocd/cart",
            "Deployment shop/cart",
        ];
        assert_eq!(unsure(objects, &[]), of(&expected));
    }
}
