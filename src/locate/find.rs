//! Which of the repository's objects a reference means, and why it may mean none.

use serde_json::Value;

use super::diff::stem;
use super::index::Definition;
use super::kustomization::Use;
use super::rendered::shown;
use super::{Repository, Source};
use crate::code::{Code, Refusal};
use crate::object::ObjectRef;

impl Repository<'_> {
    /// The position in `desired` of the only object that a reference means.
    pub(super) fn find(&self, object: &ObjectRef) -> Result<usize, Refusal> {
        let mut hits = self.exact(object);
        if hits.is_empty() {
            hits = self.generated(object);
        }
        match hits.as_slice() {
            [one] => Ok(*one),
            [] => Err(self.absent(object)),
            many => Err(self.ambiguous(object, many)),
        }
    }

    /// The same among the objects of one root.
    pub(super) fn find_in(&self, root: &str, object: &ObjectRef) -> Result<usize, Refusal> {
        let fits = |i: &usize| {
            let desired = &self.desired[*i];
            desired.root.as_deref() == Some(root) && desired.object.reference().same_object(object)
        };
        let hits: Vec<usize> = (0..self.desired.len()).filter(fits).collect();
        match hits.as_slice() {
            [one] => Ok(*one),
            [] => {
                self.baseline(root)?;
                let message = format!("root {} renders no {object}", shown(root));
                Err(Refusal::new(Code::NotRendered, message))
            }
            many => Err(self.ambiguous(object, many)),
        }
    }

    fn exact(&self, object: &ObjectRef) -> Vec<usize> {
        let same_name = |i: &usize| {
            let o = &self.desired[*i].object;
            o.kind() == object.kind && o.name() == object.name
        };
        let named: Vec<usize> = (0..self.desired.len()).filter(same_name).collect();
        let in_namespace =
            |i: &&usize| self.desired[**i].object.namespace() == object.namespace.as_deref();
        let mut hits: Vec<usize> = named.iter().filter(in_namespace).copied().collect();
        if hits.is_empty() {
            // One side does not say; the other one must then be unique.
            let unsaid = |i: &usize| {
                object.namespace.is_none() || self.desired[*i].object.namespace().is_none()
            };
            hits = named.into_iter().filter(unsaid).collect();
        }
        if !object.api_version.is_empty() {
            let group = |i: &usize| self.desired[*i].object.reference().group() == object.group();
            let same_group: Vec<usize> = hits.iter().copied().filter(group).collect();
            if !same_group.is_empty() {
                return same_group;
            }
        }
        hits
    }

    /// A generated object under the hash of another content.
    fn generated(&self, object: &ObjectRef) -> Vec<usize> {
        let Some(wanted) = stem(&object.name) else {
            return Vec::new();
        };
        let fits = |i: &usize| {
            let desired = &self.desired[*i].object;
            self.is_generated(*i)
                && desired.kind() == object.kind
                && stem(desired.name()) == Some(wanted)
                && (desired.namespace() == object.namespace.as_deref()
                    || desired.namespace().is_none())
        };
        (0..self.desired.len()).filter(fits).collect()
    }

    fn is_generated(&self, i: usize) -> bool {
        match self.sources.get(i) {
            Some(Source::Rendered { root, object }) => self
                .baseline(root)
                .ok()
                .and_then(|objects| objects.get(*object))
                .is_some_and(|r| r.generated),
            _ => false,
        }
    }

    fn ambiguous(&self, object: &ObjectRef, hits: &[usize]) -> Refusal {
        let places: Vec<String> = hits
            .iter()
            .filter_map(|i| self.desired.get(*i))
            .map(|d| match &d.root {
                Some(root) => format!("{} (rendered by {})", d.file, shown(root)),
                None => format!("{} (document {})", d.file, d.document + 1),
            })
            .collect();
        let message = format!(
            "{object} is defined {} times: {}",
            hits.len(),
            places.join(", ")
        );
        Refusal::new(Code::Ambiguous, message)
    }

    /// Why an object is nowhere in `desired`.
    fn absent(&self, object: &ObjectRef) -> Refusal {
        self.in_broken_root(object)
            .or_else(|| self.in_orphan(object))
            .or_else(|| self.made_by_helm(object))
            .unwrap_or_else(|| self.not_managed(object))
    }

    /// A root that does not build, and one of whose sources looks like the object.
    fn in_broken_root(&self, object: &ObjectRef) -> Option<Refusal> {
        for (root, outcome) in &self.renders {
            let Err(refusal) = outcome else { continue };
            let sources = self.sources_of(root);
            if let Some(file) = sources.iter().find_map(|d| self.looks_like(d, object)) {
                let message = format!("{object} comes from {file}; {}", refusal.message);
                return Some(Refusal::new(refusal.code, message));
            }
        }
        None
    }

    fn sources_of(&self, root: &str) -> Vec<Definition> {
        let files = self.index.roots.get(root).map(|c| &c.files);
        let read = files.into_iter().flatten();
        let objects =
            read.filter(|(_, uses)| uses.contains(&Use::Resource) || uses.contains(&Use::Patch));
        objects
            .flat_map(|(file, _)| self.index.definitions(file))
            .collect()
    }

    /// The file, if a definition has the kind and (with a prefix or suffix) the name.
    fn looks_like(&self, definition: &Definition, object: &ObjectRef) -> Option<String> {
        let (kind, name) = self.kind_and_name(definition)?;
        let fits = kind == object.kind && !name.is_empty() && object.name.contains(name);
        fits.then(|| definition.file.clone())
    }

    fn in_orphan(&self, object: &ObjectRef) -> Option<Refusal> {
        let hit = self.index.orphans.iter().find(|d| {
            self.kind_and_name(d) == Some((object.kind.as_str(), object.name.as_str()))
        })?;
        let message = format!(
            "{} defines {object}, but the kustomization beside it does not list that file, so it is not applied",
            hit.file
        );
        Some(Refusal::new(Code::NotRendered, message))
    }

    /// A release or chart of this repository that may have made the object.
    fn made_by_helm(&self, object: &ObjectRef) -> Option<Refusal> {
        let is_release = |i: &usize| {
            let o = &self.desired[*i].object;
            let release = match o.kind() {
                "HelmRelease" => o.str("spec.releaseName").unwrap_or(o.name()),
                "Application" if has_chart(&o.value) => o.name(),
                _ => return false,
            };
            object.name == release || object.name.starts_with(&format!("{release}-"))
        };
        if let Some(i) = (0..self.desired.len()).find(is_release) {
            let release = &self.desired[i];
            let message = format!(
                "{object} looks like a part of {} in {}; places in Helm values are not found by this version",
                release.object.reference(),
                release.file
            );
            return Some(Refusal::new(Code::NotYetSupported, message));
        }
        let chart = self
            .index
            .charts
            .iter()
            .find(|c| c.kinds.contains_key(&object.kind))?;
        let template = chart.kinds.get(&object.kind)?;
        let message = format!(
            "{object} is in no manifest of this repository; {template} of the Helm chart in {} makes objects of this kind, and charts are not rendered by this version",
            shown(&chart.dir)
        );
        Some(Refusal::new(Code::NotYetSupported, message))
    }

    fn not_managed(&self, object: &ObjectRef) -> Refusal {
        let mut similar: Vec<String> = self
            .desired
            .iter()
            .filter(|d| d.object.kind() == object.kind || d.object.name() == object.name)
            .map(|d| format!("{} in {}", d.object.reference(), d.file))
            .take(5)
            .collect();
        similar.dedup();
        let message = match similar.is_empty() {
            true => {
                format!("{object} is in no manifest of this repository, nor is anything like it")
            }
            false => format!(
                "{object} is in no manifest of this repository; it has {}",
                similar.join(", ")
            ),
        };
        self.may_be_unrendered(&message)
            .unwrap_or_else(|| Refusal::new(Code::NotManaged, message))
    }

    /// What nobody could render may hold the object.
    fn may_be_unrendered(&self, message: &str) -> Option<Refusal> {
        let broken: Vec<(&String, &Refusal)> = self
            .renders
            .iter()
            .filter_map(|(root, outcome)| Some((root, outcome.as_ref().err()?)))
            .collect();
        let (_, first) = broken.first()?;
        let told: Vec<String> = broken
            .iter()
            .take(3)
            .map(|(root, why)| format!("{}: {}", shown(root), why.message))
            .collect();
        let rest = broken.len().saturating_sub(told.len());
        let more = if rest > 0 {
            format!(", and {rest} more")
        } else {
            String::new()
        };
        let all = format!(
            "{message}. It may come from what could not be rendered ({}{more})",
            told.join("; ")
        );
        Some(Refusal::new(first.code, all))
    }
}

fn has_chart(application: &Value) -> bool {
    let helm = |source: &Value| source.get("chart").is_some() || source.get("helm").is_some();
    let one = application.pointer("/spec/source").is_some_and(helm);
    let many = application
        .pointer("/spec/sources")
        .and_then(Value::as_array);
    one || many.is_some_and(|sources| sources.iter().any(helm))
}
