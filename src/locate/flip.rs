//! Who wrote it, one place at a time: for names, keys and other texts that cannot be dyed together
//! with all the rest. A candidate is changed alone, and the field must follow.

use serde_json::Value;

use super::Repository;
use super::diff::{Difference, differences};
use super::dye::{Attribution, Field, with_value};
use super::image::Image;
use super::places::{Part, Place, Role};
use super::rendered::Rendered;
use super::target::Writer;
use crate::code::{Code, Refusal};
use crate::path::{FieldPath, Seg};

/// More candidates than this are not tried: each costs a rendering.
const MAX_CANDIDATES: usize = 24;

impl Repository<'_> {
    /// The only candidate that moves a field when it is changed alone.
    pub(super) fn flipped_writer(
        &self,
        root: &str,
        dye: &Attribution,
        field: &Field,
        value: &Value,
    ) -> Result<Writer, Refusal> {
        let rendered = self.at_position(root, field.0)?;
        let candidates = self.candidates(root, dye, rendered, field, value);
        if candidates.len() > MAX_CANDIDATES {
            let message = format!(
                "{} texts could write {} ({value}); that is too many to try",
                candidates.len(),
                field.1
            );
            return Err(Refusal::new(Code::UnknownWriter, message));
        }
        let moved = |place: &&Place| self.moves(root, place, rendered, field);
        let movers: Vec<(&Place, usize)> = candidates
            .into_iter()
            .filter_map(|place| moved(&place).map(|effects| (place, effects)))
            .collect();
        match movers.as_slice() {
            [(place, effects)] => Ok(Writer {
                others: self.other_roots(root, place, |other| self.reaches(other, place)),
                place: (*place).clone(),
                effects: *effects,
                how: "it was changed alone, and the field followed".to_owned(),
            }),
            [] => {
                let message = format!(
                    "nothing in the sources of this root was proven to write {} ({value})",
                    field.1
                );
                Err(Refusal::new(Code::UnknownWriter, message))
            }
            many => {
                let places: Vec<String> = many
                    .iter()
                    .map(|(p, _)| format!("{}:{}", p.file, p.line))
                    .collect();
                let message = format!("{} follows each of {}", field.1, places.join(", "));
                Err(Refusal::new(Code::Ambiguous, message))
            }
        }
    }

    /// Texts with the field's value under the field's own key. Of definitions only the object's own.
    fn candidates<'d>(
        &self,
        root: &str,
        dye: &'d Attribution,
        rendered: &Rendered,
        field: &Field,
        value: &Value,
    ) -> Vec<&'d Place> {
        let definition = self.definition(root, rendered);
        let undyed = |p: &&Place| !p.dyeable || dye.failure.is_some();
        let fits = |p: &&Place| match p.role {
            Role::Definition => definition
                .as_ref()
                .is_some_and(|d| d.file == p.file && d.document == p.document),
            Role::Data => false,
            _ => true,
        };
        let named = |p: &&Place| {
            p.role == Role::Entry || same_key(&p.path, p.inner.as_ref().map(|(_, i)| i), &field.1)
        };
        dye.places
            .iter()
            .filter(undyed)
            .filter(fits)
            .filter(|p| &p.written() == value || is_image_part(p, value))
            .filter(named)
            .collect()
    }

    /// How many leaves move when a place is changed alone; none if the field does not follow.
    fn moves(
        &self,
        root: &str,
        place: &Place,
        rendered: &Rendered,
        field: &Field,
    ) -> Option<usize> {
        let changes = self.changes(root, place)?;
        let object = rendered.object.reference();
        let expected = perturbed(place)?;
        let follows = |d: &Difference| {
            d.object == object
                && d.path == field.1
                && d.after
                    .as_ref()
                    .is_some_and(|a| ends_up(place, a, &expected))
        };
        changes.iter().any(follows).then_some(changes.len())
    }

    fn reaches(&self, root: &str, place: &Place) -> Option<bool> {
        Some(!self.changes(root, place)?.is_empty())
    }

    fn changes(&self, root: &str, place: &Place) -> Option<Vec<Difference>> {
        let changed = with_value(self.files, place, perturbed(place)?);
        let after = self.render(root, &changed).ok()?;
        Some(differences(self.baseline(root).ok()?, &after))
    }
}

/// Whether a place and a field have the same last key.
fn same_key(outer: &FieldPath, inner: Option<&FieldPath>, field: &FieldPath) -> bool {
    let last = |path: &FieldPath| {
        path.0.iter().rev().find_map(|seg| match seg {
            Seg::Key(key) => Some(key.clone()),
            _ => None,
        })
    };
    let own = last(inner.unwrap_or(outer));
    own == last(field) || own.as_deref() == Some("value")
}

fn is_image_part(place: &Place, value: &Value) -> bool {
    let image = value.as_str().and_then(Image::parse);
    let text = place.value.as_str();
    match (place.part, image) {
        (Part::Tag, Some(image)) => image.tag.as_deref() == text,
        (Part::Digest, Some(image)) => image.digest.as_deref() == text,
        (Part::Name, Some(image)) => Some(image.name.as_str()) == text,
        _ => false,
    }
}

/// Another value of the same type.
fn perturbed(place: &Place) -> Option<Value> {
    Some(match (&place.part, &place.value) {
        (Part::Digest, _) => Value::from(format!("sha256:{:064x}", 0xd7e0)),
        (Part::Image, Value::String(text)) => {
            let mut image = Image::parse(text)?;
            image.digest = None;
            image.tag = Some("kmflip".to_owned());
            Value::from(image.to_string())
        }
        (_, Value::Bool(b)) => Value::from(!b),
        (_, Value::Number(n)) => match n.as_i64() {
            Some(n) => Value::from(n.checked_add(1)?),
            None => Value::from(n.as_f64()? + 0.5),
        },
        (_, Value::String(text)) => Value::from(format!("{}x", text.trim_end())),
        _ => return None,
    })
}

/// Whether the new value is what the field became.
fn ends_up(place: &Place, after: &Value, expected: &Value) -> bool {
    match place.part {
        Part::Tag | Part::Digest => {
            let text = expected.as_str().unwrap_or_default();
            after.as_str().is_some_and(|a| a.ends_with(text))
        }
        Part::Name => {
            let image = after.as_str().and_then(Image::parse);
            image.map(|i| i.name).as_deref() == expected.as_str()
        }
        Part::Literal => {
            let pair = expected.as_str().unwrap_or_default();
            pair.split_once('=').map(|(_, v)| v) == after.as_str()
        }
        _ => after == expected,
    }
}
