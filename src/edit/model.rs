//! Documents as plain data, to compare what was planned with what is there. Both readings of the
//! proof end here; the engine does not use it.

use std::collections::HashMap;

use serde_json::{Number, Value};

use super::FileEdit;
use crate::manifest::plain::{Core, core};
use crate::manifest::{Kind, Node, Style, Tree};
use crate::path::{FieldPath, Seg};
use crate::propose::Op;

/// A value.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Model {
    Null,
    Bool(bool),
    /// A number as spelled, or in one canonical spelling for the second reading.
    Number(String),
    Text(String),
    Seq(Vec<Self>),
    /// `planned` mappings come from the plan and have no order.
    Map {
        entries: Vec<(Self, Self)>,
        planned: bool,
    },
    Tagged(String, Box<Self>),
    /// An anchor that aliases use; the number tells definitions of one name apart.
    Anchored(String, usize, Box<Self>),
    Alias(String, usize),
}

/// A planned change of one document.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Planned {
    pub(super) path: FieldPath,
    pub(super) op: Op,
}

impl Planned {
    pub(super) fn new(edit: &FileEdit, op: Op) -> Self {
        Self {
            path: edit.path.clone(),
            op,
        }
    }
}

/// How numbers of the plan are spelled in a reading.
pub(super) type Spell = fn(&Number) -> String;

impl Model {
    /// The first reading: what the event parser saw.
    pub(super) fn of_tree(tree: &Tree) -> Self {
        of_node(tree, &tree.root)
    }

    /// A planned value.
    pub(super) fn of_value(value: &Value, spell: Spell) -> Self {
        match value {
            Value::Null => Self::Null,
            Value::Bool(b) => Self::Bool(*b),
            Value::Number(n) => Self::Number(spell(n)),
            Value::String(s) => Self::Text(s.clone()),
            Value::Array(items) => {
                Self::Seq(items.iter().map(|v| Self::of_value(v, spell)).collect())
            }
            Value::Object(map) => {
                let pair =
                    |(k, v): (&String, &Value)| (Self::Text(k.clone()), Self::of_value(v, spell));
                Self::Map {
                    entries: map.iter().map(pair).collect(),
                    planned: true,
                }
            }
        }
    }

    /// The path with selectors replaced by the indexes that they mean here.
    pub(super) fn resolve(&self, path: &FieldPath) -> FieldPath {
        let mut at = Some(self);
        let resolved = path.0.iter().map(|seg| {
            let seg = match (seg, at.map(Self::bare)) {
                (Seg::Named { key, value }, Some(Self::Seq(items))) => {
                    let fits = |i: &Self| {
                        i.child(&Seg::Key(key.clone())).and_then(Self::text) == Some(value.as_str())
                    };
                    let found: Vec<usize> = items
                        .iter()
                        .enumerate()
                        .filter(|(_, i)| fits(i))
                        .map(|(n, _)| n)
                        .collect();
                    match found.as_slice() {
                        [only] => Seg::Index(*only),
                        _ => seg.clone(),
                    }
                }
                _ => seg.clone(),
            };
            at = at.and_then(|m| m.child(&seg));
            seg
        });
        FieldPath(resolved.collect())
    }

    /// Whether the path leads to something.
    pub(super) fn has(&self, path: &FieldPath) -> bool {
        path.0.iter().try_fold(self, Self::child).is_some()
    }

    /// The text of a scalar, numbers included.
    fn text(&self) -> Option<&str> {
        match self.bare() {
            Self::Text(text) | Self::Number(text) => Some(text),
            _ => None,
        }
    }

    /// Without anchor and tag.
    fn bare(&self) -> &Self {
        match self {
            Self::Tagged(_, inner) | Self::Anchored(_, _, inner) => inner.bare(),
            other => other,
        }
    }

    fn bare_mut(&mut self) -> &mut Self {
        match self {
            Self::Tagged(_, inner) | Self::Anchored(_, _, inner) => inner.bare_mut(),
            other => other,
        }
    }

    fn child(&self, seg: &Seg) -> Option<&Self> {
        match (self.bare(), seg) {
            (Self::Seq(items), Seg::Index(i)) => items.get(*i),
            (Self::Map { entries, .. }, Seg::Key(key)) => {
                entries.iter().find(|(k, _)| k.is_key(key)).map(|(_, v)| v)
            }
            _ => None,
        }
    }

    fn child_mut(&mut self, seg: &Seg) -> Option<&mut Self> {
        match (self.bare_mut(), seg) {
            (Self::Seq(items), Seg::Index(i)) => items.get_mut(*i),
            (Self::Map { entries, .. }, Seg::Key(key)) => entries
                .iter_mut()
                .find(|(k, _)| k.is_key(key))
                .map(|(_, v)| v),
            _ => None,
        }
    }

    fn is_key(&self, key: &str) -> bool {
        match self.bare() {
            Self::Text(text) | Self::Number(text) => text == key,
            Self::Bool(b) => b.to_string() == key,
            _ => false,
        }
    }

    /// What the document should be after the plan; paths are resolved. None when the plan does not
    /// fit the document.
    pub(super) fn after(mut self, plan: &[Planned], spell: Spell) -> Option<Self> {
        let removes = |p: &&Planned| p.op == Op::Remove;
        for planned in plan.iter().filter(|p| !removes(p)) {
            self.put(&planned.path, &planned.op, spell)?;
        }
        let mut removals: Vec<&FieldPath> = plan.iter().filter(removes).map(|p| &p.path).collect();
        removals.sort();
        removals.dedup();
        for path in removals.into_iter().rev() {
            self.take(path)?;
        }
        Some(self)
    }

    /// The same, where a removed key and an added one with the same value are one key that changes
    /// its name in its place. None where nothing is renamed.
    pub(super) fn after_renames(mut self, plan: &[Planned], spell: Spell) -> Option<Self> {
        let mut rest: Vec<Planned> = plan.to_vec();
        let mut renamed = false;
        for removed in plan.iter().filter(|p| p.op == Op::Remove) {
            let (parent, Seg::Key(old)) = removed.path.split_last()? else {
                continue;
            };
            let value = removed.path.0.iter().try_fold(&self, Self::child);
            let mut hits = plan
                .iter()
                .filter_map(|p| match (&p.op, p.path.split_last()) {
                    (Op::Add(new), Some((above, Seg::Key(name)))) if above == parent => {
                        let planned = Self::of_value(new, spell);
                        value.is_some_and(|v| planned.is(v)).then_some((p, name))
                    }
                    _ => None,
                });
            let Some((added, name)) = hits.next().filter(|_| hits.next().is_none()) else {
                continue;
            };
            rest.retain(|p| p != removed && p != added);
            self.rename(&parent, old, name)?;
            renamed = true;
        }
        renamed.then(|| self.after(&rest, spell))?
    }

    fn rename(&mut self, parent: &FieldPath, old: &str, new: &str) -> Option<()> {
        let mut at = self;
        for seg in &parent.0 {
            at = at.child_mut(seg)?;
        }
        let Self::Map { entries, .. } = at.bare_mut() else {
            return None;
        };
        let (key, _) = entries.iter_mut().find(|(k, _)| k.is_key(old))?;
        *key = Self::Text(new.to_owned());
        Some(())
    }

    fn put(&mut self, path: &FieldPath, op: &Op, spell: Spell) -> Option<()> {
        let (Op::Set(value) | Op::Add(value)) = op else {
            return None;
        };
        let adds = matches!(op, Op::Add(_));
        let (mut at, mut made) = (self, false);
        for seg in &path.0 {
            if adds && at.child(seg).is_none() {
                at.make(seg)?;
                made = true;
            }
            at = at.child_mut(seg)?;
        }
        if adds && !made && *at.bare() != Self::Null {
            return None;
        }
        *at.bare_mut() = Self::of_value(value, spell);
        Some(())
    }

    /// Makes the missing child.
    fn make(&mut self, seg: &Seg) -> Option<()> {
        let here = self.bare_mut();
        if *here == Self::Null {
            *here = match seg {
                Seg::Index(_) => Self::Seq(Vec::new()),
                _ => Self::Map {
                    entries: Vec::new(),
                    planned: true,
                },
            };
        }
        match (here, seg) {
            (Self::Map { entries, .. }, Seg::Key(key)) => {
                entries.push((Self::Text(key.clone()), Self::Null))
            }
            (Self::Seq(items), Seg::Index(i)) if *i == items.len() => items.push(Self::Null),
            _ => return None,
        }
        Some(())
    }

    fn take(&mut self, path: &FieldPath) -> Option<()> {
        let (parent, last) = path.split_last()?;
        let mut at = self;
        for seg in &parent.0 {
            at = at.child_mut(seg)?;
        }
        match (at.bare_mut(), last) {
            (Self::Seq(items), Seg::Index(i)) if *i < items.len() => drop(items.remove(*i)),
            (Self::Map { entries, .. }, Seg::Key(key)) => {
                let index = entries.iter().position(|(k, _)| k.is_key(key))?;
                entries.remove(index);
            }
            _ => return None,
        }
        Some(())
    }

    /// Whether this, the expectation, is what the other is.
    pub(super) fn is(&self, other: &Self) -> bool {
        same(self, other, &mut HashMap::new())
    }

    /// The paths at which two documents differ, as deep as both have the same shape.
    pub(super) fn differences(&self, other: &Self) -> Vec<FieldPath> {
        let mut found = Vec::new();
        differ(self, other, &mut FieldPath::default(), &mut found);
        found
    }
}

fn of_node(tree: &Tree, node: &Node) -> Model {
    let mut model = match &node.kind {
        Kind::Scalar { value, style } => of_scalar(value, *style),
        Kind::Alias { anchor } => Model::Alias(anchor.name.clone(), anchor.id),
        Kind::Seq { items, .. } => {
            Model::Seq(items.iter().map(|i| of_node(tree, &i.node)).collect())
        }
        Kind::Map { entries, .. } => {
            let pair =
                |e: &crate::manifest::Entry| (of_node(tree, &e.key), of_node(tree, &e.value));
            Model::Map {
                entries: entries.iter().map(pair).collect(),
                planned: false,
            }
        }
    };
    if let Some(tag) = &node.tag {
        model = Model::Tagged(tag.clone(), Box::new(model));
    }
    match &node.anchor {
        Some(a) if tree.aliases_of(a) > 0 => Model::Anchored(a.name.clone(), a.id, Box::new(model)),
        _ => model,
    }
}

fn of_scalar(text: &str, style: Style) -> Model {
    match core(text) {
        _ if style != Style::Plain => Model::Text(text.to_owned()),
        Core::Null => Model::Null,
        Core::Bool(b) => Model::Bool(b),
        Core::Number => Model::Number(text.to_owned()),
        Core::Text => Model::Text(text.to_owned()),
    }
}

/// `bound` pairs the anchors of the one side with those of the other.
fn same(want: &Model, found: &Model, bound: &mut HashMap<usize, usize>) -> bool {
    match (want, found) {
        (Model::Seq(a), Model::Seq(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b, bound))
        }
        (
            Model::Map {
                entries: a,
                planned: true,
            },
            Model::Map { entries: b, .. },
        ) => {
            a.len() == b.len()
                && a.iter()
                    .all(|(k, v)| b.iter().any(|(l, w)| k == l && same(v, w, bound)))
        }
        (Model::Map { entries: a, .. }, Model::Map { entries: b, .. }) => {
            a.len() == b.len()
                && a.iter()
                    .zip(b)
                    .all(|(a, b)| same(&a.0, &b.0, bound) && same(&a.1, &b.1, bound))
        }
        (Model::Tagged(s, a), Model::Tagged(t, b)) => s == t && same(a, b, bound),
        (Model::Anchored(s, i, a), Model::Anchored(t, j, b)) => {
            s == t && *bound.entry(*i).or_insert(*j) == *j && same(a, b, bound)
        }
        (Model::Alias(s, i), Model::Alias(t, j)) => s == t && bound.get(i) == Some(j),
        _ => want == found,
    }
}

fn differ(a: &Model, b: &Model, path: &mut FieldPath, found: &mut Vec<FieldPath>) {
    match (a, b) {
        (Model::Seq(x), Model::Seq(y)) if x.len() == y.len() => {
            for (index, (x, y)) in x.iter().zip(y).enumerate() {
                path.0.push(Seg::Index(index));
                differ(x, y, path, found);
                path.0.pop();
            }
        }
        (Model::Map { entries: x, .. }, Model::Map { entries: y, .. }) => {
            let by_key: HashMap<String, &Model> = y.iter().map(|(k, v)| (key_text(k), v)).collect();
            let known: std::collections::HashSet<String> =
                x.iter().map(|(k, _)| key_text(k)).collect();
            for (key, value) in x {
                path.0.push(Seg::Key(key_text(key)));
                match by_key.get(&key_text(key)) {
                    Some(other) => differ(value, other, path, found),
                    None => found.push(path.clone()),
                }
                path.0.pop();
            }
            let new = y.iter().filter(|(k, _)| !known.contains(&key_text(k)));
            found.extend(new.map(|(k, _)| path.key(&key_text(k))));
        }
        (Model::Tagged(_, x), Model::Tagged(_, y))
        | (Model::Anchored(_, _, x), Model::Anchored(_, _, y)) => {
            differ(x, y, path, found);
        }
        (Model::Alias(s, _), Model::Alias(t, _)) if s == t => {}
        _ if a != b => found.push(path.clone()),
        _ => {}
    }
}

fn key_text(key: &Model) -> String {
    match key {
        Model::Text(text) | Model::Number(text) => text.clone(),
        Model::Bool(b) => b.to_string(),
        other => format!("{other:?}"),
    }
}
