//! Who wrote it: every place gets a token, one rendering shows where the tokens end up.

use std::collections::BTreeMap;

use serde_json::Value;

use super::image::Image;
use super::places::{Paint, Part, Place, paint, tokens};
use super::rendered::Rendered;
use crate::files::Files;
use crate::path::{FieldPath, Seg};

/// A field of a rendered object: the object's position in the output, and the path without selectors.
pub(super) type Field = (usize, FieldPath);

/// A token found in a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Hit {
    /// The place that was dyed.
    pub(super) place: usize,
    /// Whether the source text is the rendered value, so that it may be edited as a literal.
    pub(super) sound: bool,
}

/// Which places write which fields of one root.
#[derive(Debug, Default)]
pub(super) struct Attribution {
    pub(super) places: Vec<Place>,
    /// Tokens by field.
    pub(super) writers: BTreeMap<Field, Vec<Hit>>,
    /// Fields by place.
    pub(super) effects: BTreeMap<usize, Vec<Field>>,
    /// Why there are no writers.
    pub(super) failure: Option<String>,
}

impl Attribution {
    /// Dyes all places and reads the tokens off one rendering (two, where the first does not build).
    pub(super) fn new(
        files: &Files,
        places: Vec<Place>,
        baseline: &[Rendered],
        render: impl Fn(&BTreeMap<String, Vec<u8>>) -> Result<Vec<Rendered>, String>,
    ) -> Self {
        let all = |place: &Place| place.dyeable;
        // A token in place of a boolean is of another type; most of kustomize does not mind.
        let typed = |p: &Place| p.dyeable && (p.value.is_string() || p.value.is_i64());
        let mut failure = String::new();
        let filters: [&dyn Fn(&Place) -> bool; 2] = [&all, &typed];
        for filter in filters {
            let dyed = dye(files, &places, filter);
            let outcome = render(&dyed).and_then(|o| pair(baseline, &o).map(|()| o));
            match outcome {
                Ok(objects) => return Self::read(places, baseline, &objects),
                Err(message) => failure = message,
            }
        }
        Self {
            places,
            failure: Some(failure),
            ..Self::default()
        }
    }

    fn read(places: Vec<Place>, baseline: &[Rendered], dyed: &[Rendered]) -> Self {
        let mut found = Self {
            places,
            ..Self::default()
        };
        for (i, (before, after)) in baseline.iter().zip(dyed).enumerate() {
            let (before, after) = (&before.object.value, &after.object.value);
            let whole = same_shape(before, after);
            for (path, value) in leaves(after) {
                for (id, exact) in tokens(value) {
                    let Some(place) = found.places.get(id) else {
                        continue;
                    };
                    let rendered = path.get(before);
                    let sound = whole && rendered.is_some_and(|b| is_sound(place, b, exact));
                    let field = (i, path.clone());
                    found.effects.entry(id).or_default().push(field.clone());
                    let hits = found.writers.entry(field).or_default();
                    hits.push(Hit { place: id, sound });
                }
            }
        }
        found
    }

    /// The number of a place that is the same as one of another root.
    pub(super) fn find(&self, place: &Place) -> Option<usize> {
        self.places.iter().position(|p| p.key() == place.key())
    }
}

/// Every scalar of a value with its path; empty collections count as scalars.
pub(super) fn leaves(value: &Value) -> Vec<(FieldPath, &Value)> {
    let mut found = Vec::new();
    collect(value, &mut FieldPath::default(), &mut found);
    found
}

fn collect<'v>(value: &'v Value, path: &mut FieldPath, found: &mut Vec<(FieldPath, &'v Value)>) {
    match value {
        Value::Object(map) if !map.is_empty() => {
            for (key, item) in map {
                path.0.push(Seg::Key(key.clone()));
                collect(item, path, found);
                path.0.pop();
            }
        }
        Value::Array(items) if !items.is_empty() => {
            for (i, item) in items.iter().enumerate() {
                path.0.push(Seg::Index(i));
                collect(item, path, found);
                path.0.pop();
            }
        }
        scalar => found.push((path.clone(), scalar)),
    }
}

/// The files with tokens at all places that pass the filter.
fn dye(
    files: &Files,
    places: &[Place],
    wanted: &dyn Fn(&Place) -> bool,
) -> BTreeMap<String, Vec<u8>> {
    let mut by_file: BTreeMap<&str, Vec<(&Place, Paint)>> = BTreeMap::new();
    for (id, place) in places.iter().enumerate().filter(|(_, p)| wanted(p)) {
        let changes = by_file.entry(place.file.as_str()).or_default();
        changes.push((place, Paint::Token(id)));
    }
    repaint(files, by_file)
}

/// The files with one place changed.
pub(super) fn with_value(files: &Files, place: &Place, value: Value) -> BTreeMap<String, Vec<u8>> {
    let change = (place, Paint::Value(value));
    repaint(files, BTreeMap::from([(place.file.as_str(), vec![change])]))
}

fn repaint(
    files: &Files,
    changes: BTreeMap<&str, Vec<(&Place, Paint)>>,
) -> BTreeMap<String, Vec<u8>> {
    let one = |(file, changes): (&str, Vec<(&Place, Paint)>)| {
        let text = std::str::from_utf8(files.get(file)?).ok()?;
        Some((file.to_owned(), paint(text, &changes).into_bytes()))
    };
    changes.into_iter().filter_map(one).collect()
}

/// Whether two renderings have the same objects in the same order.
fn pair(before: &[Rendered], after: &[Rendered]) -> Result<(), String> {
    let same = |(b, a): (&Rendered, &Rendered)| {
        b.object.kind() == a.object.kind()
            && (b.object.name() == a.object.name() || b.generated && a.generated)
    };
    if before.len() == after.len() && before.iter().zip(after).all(same) {
        return Ok(());
    }
    Err("the dyed rendering has other objects".to_owned())
}

/// Whether two values have the same keys and list lengths, whatever the scalars.
pub(super) fn same_shape(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len()
                && a.iter()
                    .all(|(k, v)| b.get(k).is_some_and(|w| same_shape(v, w)))
        }
        (Value::Array(a), Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(v, w)| same_shape(v, w))
        }
        (Value::Object(_) | Value::Array(_), _) | (_, Value::Object(_) | Value::Array(_)) => false,
        _ => true,
    }
}

/// Whether the source's own text is what is rendered. Where it is not (a variable, a replacement,
/// a rewritten name), the token hides the indirection.
fn is_sound(place: &Place, rendered: &Value, exact: bool) -> bool {
    let image = || rendered.as_str().and_then(Image::parse);
    let text = place.value.as_str();
    match place.part {
        Part::Tag => image().is_some_and(|i| i.tag.as_deref() == text),
        Part::Digest => image().is_some_and(|i| i.digest.as_deref() == text),
        Part::Name => false,
        Part::Image => rendered == &place.value,
        Part::Whole | Part::Content | Part::Literal | Part::Env => {
            exact && rendered == &place.written()
        }
    }
}
