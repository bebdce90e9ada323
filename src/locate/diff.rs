//! What differs between two renderings of a root, leaf by leaf.

use std::collections::BTreeMap;
use std::fmt;

use serde_json::Value;

use super::dye::leaves;
use super::rendered::Rendered;
use crate::object::ObjectRef;
use crate::path::FieldPath;

/// One leaf that differs.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Difference {
    /// The object, as it was rendered before (or after, where it is new).
    pub(super) object: ObjectRef,
    /// The leaf.
    pub(super) path: FieldPath,
    pub(super) before: Option<Value>,
    pub(super) after: Option<Value>,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: ", self.object, self.path)?;
        show(f, self.before.as_ref())?;
        f.write_str(" → ")?;
        show(f, self.after.as_ref())
    }
}

fn show(f: &mut fmt::Formatter<'_>, value: Option<&Value>) -> fmt::Result {
    let Some(value) = value else {
        return f.write_str("(absent)");
    };
    let text = value.to_string();
    match text.char_indices().nth(80) {
        Some((cut, _)) => write!(f, "{}…", &text[..cut]),
        None => f.write_str(&text),
    }
}

/// All leaves that differ. A generated object whose hash suffix moved is the same object, and
/// references that moved with it do not count.
pub(super) fn differences(before: &[Rendered], after: &[Rendered]) -> Vec<Difference> {
    let renamed = renames(before, after);
    let mut found = Vec::new();
    for (old, new) in pairs(before, after, &renamed) {
        compare(old, new, &renamed, &mut found);
    }
    found
}

/// An object before and after; new and lost objects stand alone.
type Pair<'r> = (Option<&'r Rendered>, Option<&'r Rendered>);

/// The objects in which a leaf differs.
pub(super) fn changed_objects<'r>(before: &'r [Rendered], after: &'r [Rendered]) -> Vec<Pair<'r>> {
    let renamed = renames(before, after);
    let differs = |(old, new): &Pair<'_>| {
        let mut found = Vec::new();
        compare(*old, *new, &renamed, &mut found);
        !found.is_empty()
    };
    let all = pairs(before, after, &renamed);
    all.into_iter().filter(differs).collect()
}

fn pairs<'r>(
    before: &'r [Rendered],
    after: &'r [Rendered],
    renamed: &BTreeMap<String, String>,
) -> Vec<Pair<'r>> {
    let old = by_name(before, renamed);
    let new = by_name(after, &BTreeMap::new());
    let keys: std::collections::BTreeSet<_> = old.keys().chain(new.keys()).collect();
    keys.into_iter()
        .map(|key| (old.get(key).copied(), new.get(key).copied()))
        .collect()
}

/// The stem of a generated name: all before its hash suffix.
pub(crate) fn stem(name: &str) -> Option<&str> {
    let (stem, hash) = name.rsplit_once('-')?;
    let hashed = hash.len() == 10
        && hash
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    hashed.then_some(stem)
}

type Key = (String, Option<String>, String, usize);

/// New names by old names, for generated objects whose content changed.
fn renames(before: &[Rendered], after: &[Rendered]) -> BTreeMap<String, String> {
    let mut renamed = BTreeMap::new();
    for old in before.iter().filter(|r| r.generated) {
        let twin = |new: &&Rendered| {
            new.generated
                && new.object.kind() == old.object.kind()
                && new.object.namespace() == old.object.namespace()
                && stem(new.object.name()).is_some()
                && stem(new.object.name()) == stem(old.object.name())
        };
        if let Some(new) = after.iter().find(twin)
            && new.object.name() != old.object.name()
        {
            renamed.insert(old.object.name().to_owned(), new.object.name().to_owned());
        }
    }
    renamed
}

fn by_name<'r>(
    objects: &'r [Rendered],
    renamed: &BTreeMap<String, String>,
) -> BTreeMap<Key, &'r Rendered> {
    let mut map = BTreeMap::new();
    for r in objects {
        let name = r.object.name();
        let name = renamed
            .get(name)
            .filter(|_| r.generated)
            .map_or(name, String::as_str);
        let mut key = (
            r.object.kind().to_owned(),
            r.object.namespace().map(str::to_owned),
            name.to_owned(),
            0,
        );
        while map.contains_key(&key) {
            key.3 += 1;
        }
        map.insert(key, r);
    }
    map
}

fn compare(
    old: Option<&Rendered>,
    new: Option<&Rendered>,
    renamed: &BTreeMap<String, String>,
    found: &mut Vec<Difference>,
) {
    let Some(object) = old.or(new).map(|r| r.object.reference()) else {
        return;
    };
    let side = |r: Option<&Rendered>| -> BTreeMap<FieldPath, Value> {
        let all = r.map(|r| leaves(&r.object.value)).unwrap_or_default();
        all.into_iter().map(|(p, v)| (p, v.clone())).collect()
    };
    let (before, mut after) = (side(old), side(new));
    for (path, value) in &before {
        let now = after.remove(path);
        if now.as_ref() == Some(value) || is_rename(value, now.as_ref(), renamed) {
            continue;
        }
        found.push(Difference {
            object: object.clone(),
            path: path.clone(),
            before: Some(value.clone()),
            after: now,
        });
    }
    found.extend(after.into_iter().map(|(path, value)| Difference {
        object: object.clone(),
        path,
        before: None,
        after: Some(value),
    }));
}

fn is_rename(before: &Value, after: Option<&Value>, renamed: &BTreeMap<String, String>) -> bool {
    let after = after.and_then(Value::as_str);
    before
        .as_str()
        .is_some_and(|b| renamed.get(b).is_some_and(|new| after == Some(new)))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::object::Object;
    use serde_json::json;

    fn object(value: Value, generated: bool) -> Rendered {
        Rendered {
            object: Object::new(value).unwrap(),
            origin: None,
            generated,
        }
    }

    fn shown(before: &[Rendered], after: &[Rendered]) -> Vec<String> {
        differences(before, after)
            .iter()
            .map(ToString::to_string)
            .collect()
    }

    #[test]
    fn leaves_that_differ_are_named() {
        let old = [object(
            json!({"kind": "A", "metadata": {"name": "a"}, "x": [1, 2]}),
            false,
        )];
        let new = [object(
            json!({"kind": "A", "metadata": {"name": "a"}, "x": [1, 3], "y": {}}),
            false,
        )];
        assert_eq!(
            shown(&old, &new),
            ["A a x[1]: 2 → 3", "A a y: (absent) → {}"]
        );
        assert_eq!(shown(&old, &[]).len(), 4);
        assert!(shown(&old, &old).is_empty());
    }

    #[test]
    fn a_moved_hash_is_the_same_object() {
        let config = |name: &str, value: &str| {
            object(
                json!({"kind": "ConfigMap", "metadata": {"name": name}, "data": {"k": value}}),
                true,
            )
        };
        let user = |name: &str| {
            object(
                json!({"kind": "A", "metadata": {"name": "a"}, "ref": name}),
                false,
            )
        };
        let old = [config("c-aaaaaaaaaa", "1"), user("c-aaaaaaaaaa")];
        let new = [config("c-bbbbbbbbbb", "2"), user("c-bbbbbbbbbb")];
        assert_eq!(
            shown(&old, &new),
            ["ConfigMap c-aaaaaaaaaa data.k: \"1\" → \"2\""]
        );
        let wrong = [config("c-bbbbbbbbbb", "2"), user("c-cccccccccc")];
        assert_eq!(shown(&old, &wrong).len(), 2);
    }
}
