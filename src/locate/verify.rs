//! Proof by rendering: what the changed files give is exactly what was there, plus the edits.

use std::collections::{BTreeMap, BTreeSet};

use rayon::prelude::*;
use serde_json::Value;

use super::diff::{Difference, changed_objects, differences};
use super::index::Index;
use super::kustomization::{NAMES, base_name};
use super::rendered::{self, Rendered, shown};
use super::{ChangedObject, Check, Proven, Repository, RootEffect, SharedBase, Source, Status};
use crate::code::{Code, Refusal};
use crate::count;
use crate::lock::apply_op;
use crate::manifest;
use crate::object::Object;
use crate::path::{FieldPath, Seg};
use crate::propose::{Op, ProposedEdit};

/// Proves a set of changed files against the edits that they are meant to be.
pub(super) fn prove(
    repository: &Repository<'_>,
    root: Option<&str>,
    changed: &BTreeMap<String, Vec<u8>>,
    intended: &[ProposedEdit],
) -> Result<Proven, Refusal> {
    let proof = Proof::new(repository, root, changed, intended)?;
    let mut proven = Proven::default();
    proven.checks.extend(proof.documents()?);
    if let Some((check, outcomes)) = proof.renderings()? {
        proven.checks.push(check);
        for outcome in outcomes {
            proven.roots.push(RootEffect {
                root: shown(&outcome.root).to_owned(),
                fields: outcome.leaves,
                objects: outcome.objects,
            });
            let room = MAX_KEPT.saturating_sub(proven.objects.len());
            proven
                .objects
                .extend(outcome.changed.into_iter().take(room));
        }
    }
    Ok(proven)
}

/// The most changed objects that are kept to be looked at.
const MAX_KEPT: usize = 200;

/// How many leaves change in each root.
pub(super) fn effects(
    repository: &Repository<'_>,
    changed: &BTreeMap<String, Vec<u8>>,
) -> Result<BTreeMap<String, usize>, Refusal> {
    let proof = Proof::new(repository, None, changed, &[])?;
    let mut found = BTreeMap::new();
    for root in proof.roots() {
        let (Ok(before), after) = (repository.baseline(&root), proof.render(&root)?) else {
            continue;
        };
        let leaves = differences(before, &after).len();
        if leaves > 0 {
            found.insert(root, leaves);
        }
    }
    Ok(found)
}

struct Proof<'p> {
    repository: &'p Repository<'p>,
    changed: &'p BTreeMap<String, Vec<u8>>,
    /// The index of the changed files, where a kustomization is among them.
    index: Option<Index>,
    /// Edits by where their object comes from.
    edits: Vec<(&'p ProposedEdit, Source)>,
}

/// What changed in one root.
struct Outcome {
    root: String,
    leaves: usize,
    objects: usize,
    /// Some of them, before and after.
    changed: Vec<ChangedObject>,
    /// Says more than the counts.
    note: Option<(Status, String)>,
}

impl<'p> Proof<'p> {
    fn new(
        repository: &'p Repository<'p>,
        root: Option<&str>,
        changed: &'p BTreeMap<String, Vec<u8>>,
        intended: &'p [ProposedEdit],
    ) -> Result<Self, Refusal> {
        let mut edits = Vec::new();
        for edit in intended {
            let i = repository.find_one(root, &edit.object)?;
            edits.extend(repository.sources.get(i).map(|s| (edit, s.clone())));
        }
        let structural = changed.keys().any(|f| NAMES.contains(&base_name(f)));
        let index = structural.then(|| Index::new(&repository.files.with(changed)));
        Ok(Self {
            repository,
            changed,
            index,
            edits,
        })
    }

    /// Files that no kustomization lists: their documents, read again.
    fn documents(&self) -> Result<Option<Check>, Refusal> {
        let mut fields = 0;
        let mut files = Vec::new();
        for (file, bytes) in self.changed {
            let edits: Vec<&ProposedEdit> = self
                .edits
                .iter()
                .filter(|(_, s)| matches!(s, Source::Plain(d) if &d.file == file))
                .map(|(e, _)| *e)
                .collect();
            if edits.is_empty() {
                if self.repository.index.readers(file).is_empty() {
                    let message = format!("{file} changed, but none of its objects was meant");
                    return Err(Refusal::new(Code::NotVerifiable, message));
                }
                continue;
            }
            fields += self.file_is_as_intended(file, bytes)?;
            files.push(file.as_str());
        }
        Ok((!files.is_empty()).then(|| Check {
            name: "documents".to_owned(),
            status: Status::Pass,
            detail: format!(
                "{}: read again; nothing but {} differs, as intended, and nothing was added or lost",
                files.join(", "),
                count::of(fields, "field")
            ),
        }))
    }

    fn file_is_as_intended(&self, file: &str, bytes: &[u8]) -> Result<usize, Refusal> {
        let before = manifest::values(self.repository.files.get(file).unwrap_or_default())?;
        let after = manifest::values(bytes)?;
        let mut expected = before.clone();
        let mut fields = 0;
        for (edit, source) in &self.edits {
            let Source::Plain(definition) = source else {
                continue;
            };
            if definition.file != file {
                continue;
            }
            if let Some(value) = expected.get_mut(definition.document) {
                apply_op(value, &definition.prefix.join(&edit.path), &edit.op);
                fields += 1;
            }
        }
        if expected == after {
            return Ok(fields);
        }
        let message = format!("{file}: the changed documents are not the old ones plus the edits");
        Err(Refusal::new(Code::NotVerifiable, message))
    }

    /// The roots that read a changed file, before or after the change.
    fn roots(&self) -> BTreeSet<String> {
        let mut roots = BTreeSet::new();
        for file in self.changed.keys() {
            roots.extend(self.repository.index.readers(file));
            roots.extend(self.index.iter().flat_map(|i| i.readers(file)));
        }
        roots
    }

    /// Every root that reads a changed file, before and after.
    fn renderings(&self) -> Result<Option<(Check, Vec<Outcome>)>, Refusal> {
        let roots = self.roots();
        if roots.is_empty() {
            return Ok(None);
        }
        let Some(renderer) = self.repository.renderer else {
            let message =
                "the changed file is read by a kustomize root, and no kustomize was found";
            return Err(Refusal::new(Code::RendererMissing, message));
        };
        let outcomes: Vec<Outcome> = roots
            .into_par_iter()
            .map(|root| self.outcome(&root))
            .collect::<Result<_, _>>()?;
        Ok(Some((summary(&renderer.version, &outcomes), outcomes)))
    }

    fn outcome(&self, root: &str) -> Result<Outcome, Refusal> {
        let before = self.repository.baseline(root);
        let after = self.render(root);
        let outcome = |leaves, objects, note| Outcome {
            root: root.to_owned(),
            leaves,
            objects,
            changed: Vec::new(),
            note,
        };
        match (before, after) {
            (Ok(before), Ok(after)) => {
                let found = differences(before, &after);
                self.is_as_intended(root, before, &after)?;
                let objects: BTreeSet<_> = found.iter().map(|d| &d.object).collect();
                Ok(Outcome {
                    changed: shown_objects(root, before, &after),
                    ..outcome(found.len(), objects.len(), None)
                })
            }
            (Err(_), Ok(after)) => {
                let note = format!("{} builds now: {} objects", shown(root), after.len());
                Ok(outcome(0, 0, Some((Status::Pass, note))))
            }
            (Ok(_), Err(refusal)) => Err(Refusal::new(
                Code::NotVerifiable,
                format!("with the edit, {}", refusal.message),
            )),
            (Err(was), Err(now)) => self
                .still_broken(root, &was, &now)
                .map(|note| outcome(0, 0, Some((Status::Skipped, note)))),
        }
    }

    /// A root that did not build before and does not build now: whether the edit is meant for it.
    fn still_broken(&self, root: &str, was: &Refusal, now: &Refusal) -> Result<String, Refusal> {
        let meant = self.edits.iter().any(|(_, source)| match source {
            Source::Plain(d) => {
                let k = self.repository.index.kustomizations.get(root);
                k.is_some_and(|k| k.file == d.file)
            }
            Source::Rendered { root: r, .. } => r == root,
        });
        if meant {
            let message = format!("with the edit, {}", now.message);
            return Err(Refusal::new(Code::NotVerifiable, message));
        }
        Ok(format!(
            "not checked, because it did not build before either: {}",
            was.message
        ))
    }

    fn render(&self, root: &str) -> Result<Vec<Rendered>, Refusal> {
        let repository = self.repository;
        match (&self.index, repository.renderer) {
            (Some(index), Some(renderer)) => {
                let closure = index.roots.get(root).ok_or_else(|| {
                    let message = format!("with the edit, {} is no root any more", shown(root));
                    Refusal::new(Code::NotVerifiable, message)
                })?;
                rendered::render(renderer, repository.files, closure, root, self.changed)
            }
            _ => repository.render(root, self.changed),
        }
    }

    fn is_as_intended(
        &self,
        root: &str,
        before: &[Rendered],
        after: &[Rendered],
    ) -> Result<(), Refusal> {
        let edits: Vec<(usize, &ProposedEdit)> = self
            .edits
            .iter()
            .filter_map(|(edit, source)| match source {
                Source::Rendered { root: r, object } if r == root => Some((*object, *edit)),
                _ => None,
            })
            .collect();
        let shared = self.repository.policy.shared_base == SharedBase::Base;
        if edits.is_empty() && shared {
            return Ok(()); // the operator wants the base changed for all roots; the count is listed
        }
        let mut unwanted = differences(&expected(before, &edits, false), after);
        if !unwanted.is_empty() {
            // A merge puts a new list item first.
            let other = differences(&expected(before, &edits, true), after);
            if other.len() < unwanted.len() {
                unwanted = other;
            }
        }
        if unwanted.is_empty() {
            return Ok(());
        }
        Err(not_intended(root, &unwanted))
    }
}

/// Objects that differ, for people to look at.
fn shown_objects(root: &str, before: &[Rendered], after: &[Rendered]) -> Vec<ChangedObject> {
    let pairs = changed_objects(before, after);
    let one = |(old, new): (Option<&Rendered>, Option<&Rendered>)| {
        Some(ChangedObject {
            root: shown(root).to_owned(),
            object: old.or(new)?.object.reference(),
            before: old.map(|r| r.object.value.clone()),
            after: new.map(|r| r.object.value.clone()),
        })
    };
    pairs.into_iter().filter_map(one).take(MAX_KEPT).collect()
}

/// What a root should render: the old objects plus the edits.
fn expected(before: &[Rendered], edits: &[(usize, &ProposedEdit)], first: bool) -> Vec<Rendered> {
    let mut expected = before.to_vec();
    for (position, edit) in edits {
        let Some(rendered) = expected.get_mut(*position) else {
            continue;
        };
        let mut value = std::mem::take(&mut rendered.object.value);
        match (first, new_item(&value, edit)) {
            (true, Some((list, item))) => prepend(&mut value, &list, item),
            _ => apply_op(&mut value, &edit.path, &edit.op),
        }
        rendered.object = Object { value };
    }
    expected
}

/// The list and the new item, if an edit adds one to a list that exists.
fn new_item(value: &Value, edit: &ProposedEdit) -> Option<(FieldPath, Value)> {
    let Op::Add(item) = &edit.op else { return None };
    let path = edit.path.resolve(value);
    let (list, last) = path.split_last()?;
    (matches!(last, Seg::Index(_)) && list.get(value)?.is_array()).then(|| (list, item.clone()))
}

fn prepend(value: &mut Value, list: &FieldPath, item: Value) {
    let mut items = list
        .get(value)
        .and_then(Value::as_array)
        .cloned()
        .unwrap_or_default();
    items.insert(0, item);
    apply_op(value, list, &Op::Set(Value::Array(items)));
}

fn not_intended(root: &str, unwanted: &[Difference]) -> Refusal {
    let shown_first: Vec<String> = unwanted.iter().take(5).map(ToString::to_string).collect();
    let more = unwanted.len().saturating_sub(5);
    let rest = if more > 0 {
        format!("; and {more} more")
    } else {
        String::new()
    };
    let message = format!(
        "root {} would not be what is intended; wanted → rendered: {}{rest}",
        shown(root),
        shown_first.join("; ")
    );
    Refusal::new(Code::NotVerifiable, message)
}

fn summary(version: &str, outcomes: &[Outcome]) -> Check {
    let leaves: usize = outcomes.iter().map(|o| o.leaves).sum();
    let objects: usize = outcomes.iter().map(|o| o.objects).sum();
    let moved: Vec<&str> = outcomes
        .iter()
        .filter(|o| o.leaves > 0)
        .map(|o| shown(&o.root))
        .collect();
    let mut detail = format!(
        "{version}: {} rendered before and after; {} of {} changed{}{}, nothing else",
        count::of(outcomes.len(), "root"),
        count::of(leaves, "field"),
        count::of(objects, "object"),
        if moved.is_empty() { "" } else { " in " },
        moved.join(", ")
    );
    let notes = outcomes.iter().filter_map(|o| o.note.as_ref());
    for (_, note) in notes.clone() {
        detail.push_str("; ");
        detail.push_str(note);
    }
    let skipped = notes.clone().any(|(s, _)| *s == Status::Skipped);
    let all_skipped = skipped && outcomes.iter().all(|o| o.note.is_some());
    Check {
        name: "render".to_owned(),
        status: if all_skipped {
            Status::Skipped
        } else {
            Status::Pass
        },
        detail,
    }
}
