//! From a field of an object to the text that writes it, or beside which it would be written.

use std::collections::BTreeSet;

use serde_json::Value;

use super::dye::{Attribution, Field, leaves};
use super::index::Definition;
use super::places::{Part, Place, Role};
use super::rendered::{Rendered, shown};
use super::{Repository, Site, Source, Strategy};
use crate::code::{Code, Refusal};
use crate::count;
use crate::manifest::{self, Tree};
use crate::object::ObjectRef;
use crate::path::{FieldPath, Seg};

/// Where a text is: a document, or a document inside a text of it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Spot {
    pub(super) file: String,
    pub(super) document: usize,
    pub(super) path: FieldPath,
    /// Document and path inside the text at `path`.
    pub(super) inner: Option<(usize, FieldPath)>,
}

impl Spot {
    pub(super) fn of(place: &Place) -> Self {
        Self {
            file: place.file.clone(),
            document: place.document,
            path: place.path.clone(),
            inner: place.inner.clone(),
        }
    }

    /// The path in the innermost document.
    pub(super) fn deepest(&self) -> &FieldPath {
        self.inner.as_ref().map_or(&self.path, |(_, path)| path)
    }

    /// The same spot with another innermost path.
    pub(super) fn at(&self, path: FieldPath) -> Self {
        let mut spot = self.clone();
        match &mut spot.inner {
            Some((_, inner)) => *inner = path,
            None => spot.path = path,
        }
        spot
    }

    /// Some segments up, if there are so many.
    fn up(&self, count: usize) -> Option<Self> {
        let path = self.deepest();
        let keep = path.0.len().checked_sub(count)?;
        Some(self.at(FieldPath(path.0.get(..keep)?.to_vec())))
    }
}

/// A field and its text.
#[derive(Debug, Clone)]
pub(super) struct Target {
    /// The object.
    pub(super) object: ObjectRef,
    /// Root and position in its rendering; none for plain files.
    pub(super) rendered: Option<(String, usize)>,
    /// The field, without selectors.
    pub(super) field: FieldPath,
    /// What it is now.
    pub(super) current: Option<Value>,
    /// The text, or the deepest text above it that exists.
    pub(super) spot: Spot,
    /// What is missing below the spot.
    pub(super) gap: Vec<Seg>,
    pub(super) part: Part,
    pub(super) role: Role,
    /// The value at the spot, as the source has it; none where there is a gap.
    pub(super) written: Option<Value>,
    /// From 1.
    pub(super) line: usize,
    /// How many leaves of its own root the text writes.
    pub(super) effects: usize,
    /// Other roots that the text reaches.
    pub(super) others: Vec<String>,
    pub(super) trail: Vec<String>,
}

/// A proven writer.
#[derive(Debug, Clone)]
pub(super) struct Writer {
    pub(super) place: Place,
    pub(super) effects: usize,
    pub(super) others: Vec<String>,
    pub(super) how: String,
}

impl Repository<'_> {
    /// Where a field of an object is written, or would be.
    pub(super) fn target(&self, object: &ObjectRef, path: &FieldPath) -> Result<Target, Refusal> {
        self.target_of(self.find(object)?, path)
    }

    /// The same for an object of `desired`, by its position.
    pub(super) fn target_of(&self, i: usize, path: &FieldPath) -> Result<Target, Refusal> {
        let (Some(desired), Some(source)) = (self.desired.get(i), self.sources.get(i)) else {
            return Err(Refusal::new(Code::NotManaged, "the object is not indexed"));
        };
        let reference = desired.object.reference();
        let target = match source {
            Source::Plain(definition) => self.plain_target(reference, definition, path),
            Source::Rendered { root, object } => {
                self.rendered_target(reference, root, *object, path)
            }
        }?;
        self.permit(&target)?;
        Ok(target)
    }

    /// The place of a target, for people.
    pub(super) fn site(&self, target: &Target) -> Site {
        let strategy = match target.role {
            Role::Definition => Strategy::Direct,
            _ => Strategy::OverlayEdit,
        };
        let root = target.rendered.as_ref().map(|(root, _)| root.clone());
        let mut affects: Vec<String> = root.iter().chain(&target.others).cloned().collect();
        affects.sort();
        let below = target
            .spot
            .at(target.spot.deepest().join(&FieldPath(target.gap.clone())));
        Site {
            file: target.spot.file.clone(),
            line: target.line,
            document: target.spot.document,
            path: below.path,
            inner: below.inner.map(|(_, path)| path),
            strategy,
            root,
            affects,
            trail: target.trail.clone(),
        }
    }

    fn plain_target(
        &self,
        object: ObjectRef,
        definition: &Definition,
        path: &FieldPath,
    ) -> Result<Target, Refusal> {
        let value = self.index.object(definition).unwrap_or(&Value::Null);
        let mut trail = vec![format!(
            "{object} is document {} of {}, which no kustomization lists",
            definition.document + 1,
            definition.file
        )];
        let field = path.resolve(value);
        let (reached, gap) = reach(value, path)?;
        let current = gap
            .is_empty()
            .then(|| reached.get(value).cloned())
            .flatten();
        let spot = Spot {
            file: definition.file.clone(),
            document: definition.document,
            path: definition.prefix.join(&reached),
            inner: None,
        };
        let line = self.line(&spot);
        trail.push(match gap.is_empty() {
            true => format!("{path} is at line {line}"),
            false => format!("{path} is not there; it belongs below line {line}"),
        });
        Ok(Target {
            object,
            rendered: None,
            field,
            written: current.clone(),
            current,
            spot,
            gap,
            part: Part::Whole,
            role: Role::Definition,
            line,
            effects: 1,
            others: Vec::new(),
            trail,
        })
    }

    fn rendered_target(
        &self,
        object: ObjectRef,
        root: &str,
        position: usize,
        path: &FieldPath,
    ) -> Result<Target, Refusal> {
        let rendered = self.at_position(root, position)?;
        let value = &rendered.object.value;
        let (reached, gap) = reach(value, path)?;
        let current = gap.is_empty().then(|| reached.get(value)).flatten();
        let field: Field = (position, path.resolve(value));
        let mut target = match current {
            Some(v) if !is_full(v) && !is_empty_collection(v) => {
                self.leaf(&object, root, &field, v)?
            }
            Some(v) if is_full(v) => self.subtree(&object, root, &field, v)?,
            _ => self.gap(&object, root, (position, &reached), &gap)?,
        };
        target.current = current.cloned();
        target.trail.insert(
            0,
            format!(
                "{object} is rendered by root {}{}",
                shown(root),
                origin_text(rendered)
            ),
        );
        Ok(target)
    }

    pub(super) fn at_position(&self, root: &str, position: usize) -> Result<&Rendered, Refusal> {
        self.baseline(root)?.get(position).ok_or_else(|| {
            Refusal::new(
                Code::NotRendered,
                format!("{} renders no such object", shown(root)),
            )
        })
    }

    /// A scalar: the one text that ends up in it.
    fn leaf(
        &self,
        object: &ObjectRef,
        root: &str,
        field: &Field,
        value: &Value,
    ) -> Result<Target, Refusal> {
        let writer = self.writer(root, field, value)?;
        let place = &writer.place;
        let trail = vec![
            writer.how.clone(),
            format!("{}:{} writes {}", place.file, place.line, field.1),
            reach_text(writer.effects, &writer.others),
        ];
        Ok(Target {
            object: object.clone(),
            rendered: Some((root.to_owned(), field.0)),
            field: field.1.clone(),
            current: None,
            spot: Spot::of(place),
            gap: Vec::new(),
            part: place.part,
            role: place.role,
            written: Some(place.value.clone()),
            line: place.line,
            effects: writer.effects,
            others: writer.others,
            trail,
        })
    }

    fn writer(&self, root: &str, field: &Field, value: &Value) -> Result<Writer, Refusal> {
        let attribution = self.attribution(root)?;
        let hits = attribution
            .writers
            .get(field)
            .map_or(&[][..], Vec::as_slice);
        let sound: BTreeSet<usize> = hits.iter().filter(|h| h.sound).map(|h| h.place).collect();
        if let Some(id) = sound.first() {
            if sound.len() > 1 {
                return Err(several(&attribution, &sound, &field.1));
            }
            return self.dyed_writer(root, &attribution, *id);
        }
        let is_image = field.1.0.last() == Some(&Seg::Key("image".to_owned()));
        if is_image
            && !hits.is_empty()
            && let Ok(writer) = self.flipped_writer(root, &attribution, field, value)
        {
            return Ok(writer); // the name comes from an images entry, the tag from elsewhere
        }
        if let Some(place) = hits.first().and_then(|h| attribution.places.get(h.place)) {
            let message = format!(
                "{} is {value} as rendered, but {}:{} says {}: kustomize changes it on the way",
                field.1, place.file, place.line, place.value
            );
            return Err(Refusal::new(Code::Templated, message));
        }
        self.flipped_writer(root, &attribution, field, value)
    }

    fn dyed_writer(&self, root: &str, dye: &Attribution, id: usize) -> Result<Writer, Refusal> {
        let place = dye
            .places
            .get(id)
            .cloned()
            .ok_or_else(|| Refusal::new(Code::UnknownWriter, "a token without a place"))?;
        let others = self.other_roots(root, &place, |other| {
            let dye = self.attribution(other).ok()?;
            dye.failure.is_none().then_some(())?;
            let id = dye.find(&place)?;
            Some(dye.effects.contains_key(&id))
        });
        Ok(Writer {
            effects: dye.effects.get(&id).map_or(0, Vec::len),
            place,
            others,
            how: "a token written there came out in the field (one dyed rendering)".to_owned(),
        })
    }

    /// Other roots that a place reaches; one that nobody can tell counts.
    pub(super) fn other_roots(
        &self,
        root: &str,
        place: &Place,
        reaches: impl Fn(&str) -> Option<bool>,
    ) -> Vec<String> {
        let readers = self.index.readers(&place.file);
        let other = readers.into_iter().filter(|r| r != root);
        other.filter(|r| reaches(r).unwrap_or(true)).collect()
    }

    /// A mapping or list: all of it must come from one text.
    fn subtree(
        &self,
        object: &ObjectRef,
        root: &str,
        field: &Field,
        value: &Value,
    ) -> Result<Target, Refusal> {
        let mut spots: BTreeSet<Spot> = BTreeSet::new();
        let mut writers: Vec<Writer> = Vec::new();
        let attribution = self.attribution(root)?;
        for (below, leaf) in leaves(value) {
            let path = (field.0, field.1.join(&below));
            if !attribution.writers.contains_key(&path) {
                continue; // names and keys: the comparison below covers them
            }
            let writer = self.writer(root, &path, leaf)?;
            spots.extend(Spot::of(&writer.place).up(below.0.len()));
            writers.push(writer);
        }
        if writers.is_empty() {
            let Some((below, leaf)) = leaves(value).into_iter().next() else {
                return Err(unknown(&field.1));
            };
            let writer = self.writer(root, &(field.0, field.1.join(&below)), leaf)?;
            spots.extend(Spot::of(&writer.place).up(below.0.len()));
            writers.push(writer);
        }
        let [spot] = spots.iter().collect::<Vec<_>>()[..] else {
            return Err(composed(&field.1, &writers));
        };
        if self.value_at(spot).as_ref() != Some(value) {
            return Err(composed(&field.1, &writers));
        }
        let first = writers.first().ok_or_else(|| unknown(&field.1))?;
        let mut others: Vec<String> = writers.iter().flat_map(|w| w.others.clone()).collect();
        others.sort();
        others.dedup();
        let effects = writers.iter().map(|w| w.effects).max().unwrap_or(1);
        let line = self.line(spot);
        Ok(Target {
            object: object.clone(),
            rendered: Some((root.to_owned(), field.0)),
            field: field.1.clone(),
            current: None,
            spot: spot.clone(),
            gap: Vec::new(),
            part: Part::Whole,
            role: first.place.role,
            written: Some(value.clone()),
            line,
            effects,
            trail: vec![
                format!("all of {} comes from {}:{line}", field.1, spot.file),
                reach_text(effects, &others),
            ],
            others,
        })
    }

    /// A field that is not there: beside its nearest relative.
    fn gap(
        &self,
        object: &ObjectRef,
        root: &str,
        (position, reached): (usize, &FieldPath),
        gap: &[Seg],
    ) -> Result<Target, Refusal> {
        let rendered = self.at_position(root, position)?;
        let mut missing = gap.to_vec();
        let mut ancestor = reached.clone();
        loop {
            if let Some(writer) = self.relative(root, position, &ancestor, rendered)? {
                return self.beside(object, root, position, &ancestor, missing, writer);
            }
            let Some((parent, last)) = ancestor.split_last() else {
                break;
            };
            missing.insert(0, last.clone());
            ancestor = parent;
        }
        let message = format!(
            "no text could be proven to be near {} of {object}",
            FieldPath(gap.to_vec())
        );
        Err(Refusal::new(Code::UnknownWriter, message))
    }

    /// A writer of something below an ancestor, and how far below it is: one of this root alone if
    /// there is one, else one in the definition, else the only one.
    fn relative(
        &self,
        root: &str,
        position: usize,
        ancestor: &FieldPath,
        rendered: &Rendered,
    ) -> Result<Option<(Writer, usize)>, Refusal> {
        let attribution = self.attribution(root)?;
        let below =
            |path: &FieldPath| path.starts_with(ancestor) && path.0.len() > ancestor.0.len();
        let start = (position, ancestor.clone());
        let near = attribution
            .writers
            .range(start..)
            .take_while(|((p, _), _)| *p == position)
            .filter(|((_, path), _)| below(path));
        let mut best: Option<(usize, Writer, usize)> = None;
        for ((_, path), hits) in near {
            for hit in hits.iter().filter(|h| h.sound) {
                let writer = self.dyed_writer(root, &attribution, hit.place)?;
                let depth = path.0.len() - ancestor.0.len();
                if writer.place.object_path().is_none() && writer.place.role != Role::Json {
                    continue;
                }
                if Spot::of(&writer.place)
                    .up(depth)
                    .is_none_or(|s| !self.is_collection(&s))
                {
                    continue;
                }
                let rank = rank(&writer, rendered);
                if best
                    .as_ref()
                    .is_none_or(|(r, _, d)| (rank, depth) < (*r, *d))
                {
                    best = Some((rank, writer, depth));
                }
            }
        }
        Ok(best.map(|(_, writer, depth)| (writer, depth)))
    }

    fn beside(
        &self,
        object: &ObjectRef,
        root: &str,
        position: usize,
        ancestor: &FieldPath,
        missing: Vec<Seg>,
        (writer, depth): (Writer, usize),
    ) -> Result<Target, Refusal> {
        let near = Spot::of(&writer.place)
            .up(depth)
            .ok_or_else(|| unknown(ancestor))?;
        let source = self.document_value(&near).unwrap_or(Value::Null);
        let (reached, gap) = reach(&source, &near.deepest().join(&FieldPath(missing.clone())))?;
        let gap = appended(&source, &reached, gap);
        let spot = near.at(reached);
        let line = self.line(&spot);
        let trail = vec![
            format!(
                "{} is not there",
                ancestor.join(&FieldPath(missing.clone()))
            ),
            format!(
                "its nearest relative is written at {}:{}",
                writer.place.file, writer.place.line
            ),
            reach_text(writer.effects, &writer.others),
        ];
        Ok(Target {
            object: object.clone(),
            rendered: Some((root.to_owned(), position)),
            field: ancestor.join(&FieldPath(missing)),
            current: None,
            spot,
            gap,
            part: Part::Whole,
            role: writer.place.role,
            written: None,
            line,
            effects: writer.effects,
            others: writer.others,
            trail,
        })
    }

    /// Refuses places that are never edited.
    fn permit(&self, target: &Target) -> Result<(), Refusal> {
        if let Some(refusal) = self.index.forbidden.get(&target.spot.file) {
            return Err(refusal.clone());
        }
        let bytes = self.files.get(&target.spot.file).unwrap_or_default();
        let text = String::from_utf8_lossy(bytes);
        let line = text
            .lines()
            .nth(target.line.saturating_sub(1))
            .unwrap_or_default();
        let place = format!("{}:{}", target.spot.file, target.line);
        if line.contains("\"$imagepolicy\"") {
            let message = format!("{place} carries an image policy setter");
            return Err(Refusal::new(Code::ImageAutomation, message));
        }
        if line.contains("# kpt-set:") {
            let message = format!("{place} carries a kpt setter");
            return Err(Refusal::new(Code::Templated, message));
        }
        Ok(())
    }

    /// The innermost document of a spot.
    pub(super) fn document_value(&self, spot: &Spot) -> Option<Value> {
        let document = self.index.document(&spot.file, spot.document)?;
        let Some((inner, _)) = &spot.inner else {
            return Some(document.value.clone());
        };
        let text = spot.path.get(&document.value)?.as_str()?;
        let slices = manifest::split(text);
        manifest::read_value(slices.get(*inner)?.of(text)).ok()
    }

    /// The value at a spot.
    pub(super) fn value_at(&self, spot: &Spot) -> Option<Value> {
        spot.deepest().get(&self.document_value(spot)?).cloned()
    }

    fn is_collection(&self, spot: &Spot) -> bool {
        self.value_at(spot)
            .is_some_and(|v| v.is_object() || v.is_array())
    }

    /// The line of a spot, from 1.
    fn line(&self, spot: &Spot) -> usize {
        let line = || -> Option<usize> {
            let text = std::str::from_utf8(self.files.get(&spot.file)?).ok()?;
            let slice = self.index.document(&spot.file, spot.document)?.slice;
            let tree = Tree::parse(slice.of(text)).ok()?;
            let node = tree.reach(&spot.path).ok()?.node().clone();
            let outer = slice.line + manifest::line_of(slice.of(text), node.start) - 1;
            let Some((inner, path)) = &spot.inner else {
                return Some(outer);
            };
            if node.style() != Some(manifest::Style::Literal) {
                return Some(outer);
            }
            let patch = node.text()?;
            let slice = *manifest::split(patch).get(*inner)?;
            let tree = Tree::parse(slice.of(patch)).ok()?;
            let start = tree.reach(path).ok()?.node().start;
            Some(outer + slice.line + manifest::line_of(slice.of(patch), start) - 1)
        };
        line().unwrap_or(1)
    }
}

/// How far a path goes, and what is missing.
pub(super) fn reach(value: &Value, path: &FieldPath) -> Result<(FieldPath, Vec<Seg>), Refusal> {
    let resolved = path.resolve(value);
    let exists = (0..=resolved.0.len())
        .rev()
        .map(|n| FieldPath(resolved.0.get(..n).unwrap_or_default().to_vec()))
        .find(|p| {
            p.get(value)
                .is_some_and(|v| p.0.len() == resolved.0.len() || !v.is_null())
        })
        .unwrap_or_default();
    let gap = resolved
        .0
        .get(exists.0.len()..)
        .unwrap_or_default()
        .to_vec();
    if let Some(Seg::Named { key, value: name }) = gap.first() {
        let message = format!("{exists} has no item, or several, with {key} {name}");
        return Err(Refusal::new(Code::PathNotFound, message));
    }
    if !gap.is_empty()
        && exists
            .get(value)
            .is_some_and(|v| !v.is_object() && !v.is_array())
    {
        let message = format!("{path}: {exists} is a value, nothing can be below it");
        return Err(Refusal::new(Code::PathNotFound, message));
    }
    Ok((exists, gap))
}

/// A new list item goes to the end of the list that the source has, however long the rendered one is.
fn appended(source: &Value, reached: &FieldPath, mut gap: Vec<Seg>) -> Vec<Seg> {
    if let (Some(Value::Array(items)), Some(Seg::Index(i))) = (reached.get(source), gap.first_mut())
    {
        *i = items.len();
    }
    gap
}

/// A text of this root alone first, then the definition, then others.
fn rank(writer: &Writer, rendered: &Rendered) -> usize {
    let private = writer.others.is_empty() && writer.effects == 1;
    let origin = rendered.origin.as_deref() == Some(writer.place.file.as_str());
    match (private, origin) {
        (true, true) => 0,
        (true, false) => 1,
        (false, true) => 2,
        (false, false) => 3,
    }
}

fn is_full(value: &Value) -> bool {
    match value {
        Value::Object(map) => !map.is_empty(),
        Value::Array(items) => !items.is_empty(),
        _ => false,
    }
}

fn is_empty_collection(value: &Value) -> bool {
    matches!(value, Value::Object(_) | Value::Array(_)) && !is_full(value)
}

fn origin_text(rendered: &Rendered) -> String {
    match &rendered.origin {
        Some(file) if rendered.generated => format!(", generated by {file}"),
        Some(file) => format!(" from {file}"),
        None => String::new(),
    }
}

fn reach_text(effects: usize, others: &[String]) -> String {
    let fields = count::of(effects, "field");
    match others {
        [] => format!("it writes {fields} of this root and nothing else"),
        others => format!(
            "it writes {fields} of this root, and reaches {}",
            others.join(", ")
        ),
    }
}

fn unknown(path: &FieldPath) -> Refusal {
    Refusal::new(
        Code::UnknownWriter,
        format!("nothing was proven to write {path}"),
    )
}

fn several(dye: &Attribution, ids: &BTreeSet<usize>, path: &FieldPath) -> Refusal {
    let places: Vec<String> = ids
        .iter()
        .filter_map(|id| dye.places.get(*id))
        .map(|p| format!("{}:{}", p.file, p.line))
        .collect();
    let message = format!("{path} is put together from {}", places.join(" and "));
    Refusal::new(Code::Ambiguous, message)
}

fn composed(path: &FieldPath, writers: &[Writer]) -> Refusal {
    let places: BTreeSet<&str> = writers.iter().map(|w| w.place.file.as_str()).collect();
    let places: Vec<&str> = places.into_iter().collect();
    let message = format!(
        "{path} as a whole is put together from several texts ({}); only single values of it can be changed",
        places.join(", ")
    );
    Refusal::new(Code::Ambiguous, message)
}
