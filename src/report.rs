//! Which objects a report names, and what is around them. Pure.
//!
//! A report is prose: "Why is the checkout pod restarting?", "front end of shop unreachable". A name
//! that stands there as a whole word is strong; a word that is only like a name is a weak hint.

use std::collections::{BTreeMap, BTreeSet};

use crate::case::Desired;
use crate::object::{Object, ObjectRef};
use crate::snapshot::Snapshot;

mod relations;
mod words;

pub(crate) use relations::names_host;
pub use relations::{Known, related};
use words::{Word, words};

/// What a text names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Mentions {
    /// Objects named by their very names, in the order of the text; pods stand for their owners.
    pub strong: Vec<ObjectRef>,
    /// Objects whose names are only like a word of the text, the likeliest first.
    pub weak: Vec<ObjectRef>,
    /// Namespaces that the text names, then the one that the report belongs to.
    pub namespaces: Vec<String>,
}

/// The objects and namespaces that a text names. `namespace` is where the report belongs.
pub fn mentions(
    text: &str,
    namespace: Option<&str>,
    snapshot: &Snapshot,
    desired: &[Desired],
) -> Mentions {
    let index = Index::new(namespace, snapshot, desired);
    let words = words(text);
    let mut namespaces = index.namespaces_in(&words);
    if let Some(own) = namespace.filter(|own| !namespaces.iter().any(|n| n == own)) {
        namespaces.push(own.to_owned());
    }
    let mut found = Found::default();
    for i in 0..words.len() {
        index.strong_at(&words, i, &namespaces, &mut found);
    }
    for i in 0..words.len() {
        index.weak_at(&words, i, &namespaces, &mut found);
    }
    found.finish(namespaces)
}

/// What is found so far; weak hits carry a rank, 0 is the likeliest.
#[derive(Default)]
struct Found {
    strong: Vec<ObjectRef>,
    weak: Vec<(u8, ObjectRef)>,
}

impl Found {
    fn strong(&mut self, object: &ObjectRef) {
        if !self.strong.iter().any(|o| o.same_object(object)) {
            self.strong.push(object.clone());
        }
    }

    fn finish(mut self, namespaces: Vec<String>) -> Mentions {
        self.weak.sort_by_key(|(rank, _)| *rank);
        let mut weak: Vec<ObjectRef> = Vec::new();
        for (_, object) in self.weak {
            let known = |list: &[ObjectRef]| list.iter().any(|o| o.same_object(&object));
            if !known(&self.strong) && !known(&weak) {
                weak.push(object);
            }
        }
        Mentions {
            strong: self.strong,
            weak,
            namespaces,
        }
    }
}

/// Names that can be mentioned.
struct Index {
    by_name: BTreeMap<String, Vec<ObjectRef>>,
    hosts: BTreeMap<String, Vec<ObjectRef>>,
    namespaces: BTreeSet<String>,
}

/// Kinds that nobody means by a name in prose.
const SILENT: &[&str] = &[
    "Event",
    "EndpointSlice",
    "Lease",
    "ControllerRevision",
    "IngressClass",
];

impl Index {
    fn new(namespace: Option<&str>, snapshot: &Snapshot, desired: &[Desired]) -> Self {
        let mut index = Self {
            by_name: BTreeMap::new(),
            hosts: BTreeMap::new(),
            namespaces: namespace.map(str::to_owned).into_iter().collect(),
        };
        for object in snapshot.objects() {
            index.add(object, snapshot.top_owner(object));
        }
        for d in desired {
            index.add(&d.object, d.object.reference());
        }
        index
    }

    fn add(&mut self, object: &Object, meant: ObjectRef) {
        self.namespaces
            .extend(object.namespace().map(str::to_owned));
        if object.kind() == "Namespace" {
            self.namespaces.insert(object.name().to_owned());
        }
        if SILENT.contains(&object.kind()) || object.kind() == "Namespace" {
            return;
        }
        insert(&mut self.by_name, object.name(), &meant);
        if object.kind() == "Ingress" {
            for rule in object.list("spec.rules") {
                let host = rule.get("host").and_then(serde_json::Value::as_str);
                insert(&mut self.hosts, host.unwrap_or_default(), &meant);
            }
        }
    }

    fn namespaces_in(&self, words: &[Word<'_>]) -> Vec<String> {
        let mut out: Vec<String> = Vec::new();
        for word in words {
            let name = word.text.to_ascii_lowercase();
            if self.namespaces.contains(&name) && !out.contains(&name) && !word.is_url_path() {
                out.push(name);
            }
        }
        // "default" is an English word too
        out.retain(|n| n != "default" || words.iter().any(|w| w.text == "namespace"));
        out
    }

    fn strong_at(&self, words: &[Word<'_>], i: usize, namespaces: &[String], found: &mut Found) {
        let Some(word) = words.get(i) else { return };
        let name = word.text.to_ascii_lowercase();
        for object in self.hosts.get(&name).into_iter().flatten() {
            found.strong(object);
        }
        let next = words.get(i + 1).map(|w| w.text.to_ascii_lowercase());
        let joined = next
            .and_then(|n| words::kind_of(&n))
            .map(|kind| format!("{name}-{}", kind.to_ascii_lowercase()));
        for (key, context) in [(Some(&name), true), (joined.as_ref(), false)] {
            let Some(candidates) = key.and_then(|k| self.by_name.get(k)) else {
                continue;
            };
            if context && (word.is_url_path() || self.means_something_else(words, i, &name)) {
                continue;
            }
            for object in meant(candidates, words, i, namespaces) {
                found.strong(object);
            }
        }
    }

    /// Whether the word is a namespace here, a kind, or plain English.
    fn means_something_else(&self, words: &[Word<'_>], i: usize, name: &str) -> bool {
        let before = i.checked_sub(1).and_then(|i| words.get(i));
        let after = words.get(i + 1);
        let kind_beside = [before, after]
            .iter()
            .flatten()
            .any(|w| words::kind_of(&w.text.to_ascii_lowercase()).is_some());
        let in_namespace_place = before.is_some_and(|w| {
            ["in", "namespace", "ns"].contains(&w.text.to_ascii_lowercase().as_str())
        }) || after.is_some_and(|w| {
            w.text.eq_ignore_ascii_case("namespace") || (w.slash && !is_kind(name))
        });
        let plain = words::kind_of(name).is_some() || name == "default";
        (self.namespaces.contains(name) && in_namespace_place) || (plain && !kind_beside)
    }

    fn weak_at(&self, words: &[Word<'_>], i: usize, namespaces: &[String], found: &mut Found) {
        let Some(word) = words.get(i) else { return };
        let name = word.text.to_ascii_lowercase();
        let next = words.get(i + 1).map(|w| w.text.to_ascii_lowercase());
        let joined = next.map_or_else(Vec::new, |n| {
            vec![format!("{name}{n}"), format!("{name}-{n}")]
        });
        for form in joined {
            self.weak_form(&form, 0, namespaces, found);
        }
        if self.namespaces.contains(&name) || words::is_filler(&name) {
            return;
        }
        for form in words::singulars(&name) {
            self.weak_form(&form, 1, namespaces, found);
        }
    }

    fn weak_form(&self, form: &str, rank: u8, namespaces: &[String], found: &mut Found) {
        let long = form.len() >= 4;
        for (name, objects) in &self.by_name {
            let parts = || name.split(['-', '.']);
            let rank = match () {
                () if name == form => rank,
                () if long && rank > 0 && parts().next() == Some(form) => rank + 1,
                () if long && rank > 0 && parts().any(|p| p == form) => rank + 2,
                () => continue,
            };
            let near = objects.iter().filter(|o| is_near(o, namespaces));
            found.weak.extend(near.map(|o| (rank, o.clone())));
        }
    }
}

/// Of the objects with one name those that the words around it mean.
fn meant<'o>(
    candidates: &'o [ObjectRef],
    words: &[Word<'_>],
    i: usize,
    namespaces: &[String],
) -> Vec<&'o ObjectRef> {
    let at = |back: usize| i.checked_sub(back).and_then(|i| words.get(i));
    let text = |w: Option<&Word<'_>>| w.map(|w| w.text.to_ascii_lowercase());
    let joined = words.get(i).is_some_and(|w| w.slash);
    let qualifier = text(at(1)).filter(|_| joined);
    let in_qualifier = |o: &&ObjectRef| qualifier.as_deref() == o.namespace.as_deref();
    let mut hits: Vec<&ObjectRef> = candidates.iter().collect();
    let qualified: Vec<&ObjectRef> = hits
        .iter()
        .copied()
        .filter(|o| qualifier.is_some() && in_qualifier(o))
        .collect();
    let has_namespace = !qualified.is_empty();
    if has_namespace {
        hits = qualified;
    }
    let before = text(if has_namespace { at(2) } else { at(1) });
    // `Application shop`: the kind counts more than where the report belongs
    let kind = before.as_deref().and_then(words::kind_of);
    if hits.iter().any(|o| kind == Some(o.kind.as_str())) {
        hits.retain(|o| kind == Some(o.kind.as_str()));
    }
    let near = hits.iter().copied().filter(|o| is_near(o, namespaces));
    let near: Vec<&ObjectRef> = near.collect();
    if !has_namespace && !near.is_empty() {
        hits = near;
    }
    let after = text(words.get(i + 1));
    for kind in [before, after].into_iter().flatten() {
        let of_kind = |o: &&ObjectRef| words::kind_of(&kind) == Some(o.kind.as_str());
        if hits.iter().any(of_kind) {
            hits.retain(of_kind);
            break;
        }
    }
    hits
}

/// The kind that a word means, short names included: `deploy`, `svc`, `ConfigMaps`.
pub fn kind_of(word: &str) -> Option<&'static str> {
    words::kind_of(&word.to_ascii_lowercase())
}

fn is_kind(word: &str) -> bool {
    words::kind_of(word).is_some()
}

fn is_near(object: &ObjectRef, namespaces: &[String]) -> bool {
    namespaces.is_empty()
        || object
            .namespace
            .as_ref()
            .is_none_or(|ns| namespaces.contains(ns))
}

fn insert(map: &mut BTreeMap<String, Vec<ObjectRef>>, key: &str, object: &ObjectRef) {
    if key.is_empty() {
        return;
    }
    let list = map.entry(key.to_ascii_lowercase()).or_default();
    if !list.iter().any(|o| o.same_object(object)) {
        list.push(object.clone());
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn snapshot() -> Snapshot {
        let docs = [
            "{apiVersion: apps/v1, kind: Deployment, metadata: {name: storefront, namespace: shop, uid: d1}}",
            "{apiVersion: v1, kind: Service, metadata: {name: storefront, namespace: shop}}",
            "{apiVersion: v1, kind: Service, metadata: {name: ledger-service, namespace: shop}}",
            "{apiVersion: apps/v1, kind: Deployment, metadata: {name: invoice, namespace: shop}}",
            "{apiVersion: apps/v1, kind: Deployment, metadata: {name: invoice, namespace: other}}",
            "{apiVersion: v1, kind: Pod, metadata: {name: storefront-7d9f-abcde, namespace: shop, labels: {pod-template-hash: 7d9f}, ownerReferences: [{controller: true, kind: ReplicaSet, apiVersion: apps/v1, name: storefront-7d9f, uid: r1}]}}",
            "{apiVersion: networking.k8s.io/v1, kind: Ingress, metadata: {name: ledger-ingress, namespace: shop}}",
            "{apiVersion: networking.k8s.io/v1, kind: Ingress, metadata: {name: public, namespace: shop}, spec: {rules: [{host: shop.example.org}]}}",
        ];
        let objects = docs
            .iter()
            .map(|d| Object::new(serde_saphyr::from_str(d).unwrap()).unwrap());
        Snapshot::new(objects.collect(), BTreeMap::new())
    }

    fn strong(text: &str) -> Vec<String> {
        let found = mentions(text, Some("shop"), &snapshot(), &[]);
        found.strong.iter().map(ToString::to_string).collect()
    }

    fn weak(text: &str) -> Vec<String> {
        let found = mentions(text, Some("shop"), &snapshot(), &[]);
        found.weak.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn names_as_whole_words_are_strong() {
        assert_eq!(
            strong("Why does invoice crash?"),
            ["Deployment shop/invoice"]
        );
        assert_eq!(
            strong("Deployment other/invoice hangs"),
            ["Deployment other/invoice"]
        );
        assert_eq!(
            strong("pod shop/storefront-7d9f-abcde is slow"),
            ["Deployment shop/storefront"]
        );
        assert_eq!(
            strong("Service shop/storefront has no endpoints"),
            ["Service shop/storefront"]
        );
        assert_eq!(
            strong("nobody reaches the ledger service"),
            ["Service shop/ledger-service"]
        );
        assert_eq!(
            strong("https://shop.example.org/invoice answers 503"),
            ["Ingress shop/public"]
        );
        assert_eq!(
            strong("through the ledger ingress nothing works"),
            ["Ingress shop/ledger-ingress"]
        );
    }

    #[test]
    fn a_part_of_a_word_a_namespace_and_a_kind_are_not_names() {
        assert!(strong("the invoices of shop are late").is_empty());
        assert!(strong("everything in shop is slow").is_empty());
        assert!(strong("a Service is down").is_empty());
        assert!(strong("the shop ingress is slow").is_empty());
    }

    #[test]
    fn loose_words_are_weak_hints() {
        assert!(weak("the store front is down").contains(&"Service shop/storefront".to_owned()));
        assert!(weak("the invoices are late").contains(&"Deployment shop/invoice".to_owned()));
        assert!(weak("the ledger is slow").contains(&"Service shop/ledger-service".to_owned()));
        assert!(weak("all is well").is_empty());
    }

    #[test]
    fn namespaces_are_found() {
        let found = mentions("pods in other fail", Some("shop"), &snapshot(), &[]);
        assert_eq!(found.namespaces, ["other", "shop"]);
    }
}
