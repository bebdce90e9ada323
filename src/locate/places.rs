//! Places in sources that may write a field: scalars of definitions, patches, transformer entries
//! and generator literals; and the texts that make one of them recognisable in a rendering.

use std::collections::BTreeSet;

use serde_json::Value;

use super::image::Image;
use super::index::{Closure, Index};
use super::kustomization::{Kustomization, Use};
use crate::files::Files;
use crate::manifest::{self, Node, Slice, Tree};
use crate::object::list;
use crate::path::{FieldPath, Seg};

/// What part of the source text becomes the field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Part {
    /// All of it.
    Whole,
    /// An `image:` of an object: all of it, but only tag and digest may be dyed, because kustomize
    /// finds images by their name.
    Image,
    /// `images[].newTag`.
    Tag,
    /// `images[].digest`.
    Digest,
    /// `images[].newName`; never dyed, because later entries find images by it.
    Name,
    /// What follows the `=` of a literal.
    Literal,
    /// The content of a whole file.
    Content,
    /// One line of an env file.
    Env,
}

/// What kind of source a place is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Role {
    /// A document that defines an object.
    Definition,
    /// A strategic merge patch.
    Merge,
    /// A list of JSON6902 operations.
    Json,
    /// An entry of the kustomization itself.
    Entry,
    /// A file that a generator reads.
    Data,
}

/// One scalar of a source.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Place {
    pub(super) file: String,
    pub(super) document: usize,
    pub(super) path: FieldPath,
    /// Document and path inside the text at `path`.
    pub(super) inner: Option<(usize, FieldPath)>,
    /// In the file, from 1.
    pub(super) line: usize,
    pub(super) part: Part,
    pub(super) role: Role,
    /// The value as it is read.
    pub(super) value: Value,
    /// Whether it may be dyed together with all the others. Names and merge keys may not: they
    /// decide what else happens.
    pub(super) dyeable: bool,
    /// Where its text is in the file, or in the inner text.
    span: (usize, usize),
}

impl Place {
    /// Where it is, as an identity over several roots.
    pub(super) fn key(&self) -> (&str, usize, &FieldPath, &Option<(usize, FieldPath)>, usize) {
        (
            &self.file,
            self.document,
            &self.path,
            &self.inner,
            self.line,
        )
    }

    /// The path in the object that a definition or a merge patch writes.
    pub(super) fn object_path(&self) -> Option<&FieldPath> {
        match (self.role, &self.inner) {
            (Role::Definition, None) | (Role::Merge, None) => Some(&self.path),
            (Role::Merge, Some((_, path))) => Some(path),
            _ => None,
        }
    }

    /// The value that the field gets from it, as far as text goes.
    pub(super) fn written(&self) -> Value {
        match (self.part, self.value.as_str()) {
            (Part::Literal | Part::Env, Some(text)) => {
                let (_, value) = text.split_once('=').unwrap_or(("", ""));
                Value::String(unquoted(value).to_owned())
            }
            _ => self.value.clone(),
        }
    }
}

/// kustomize strips one pair of quotes around a literal's value.
fn unquoted(text: &str) -> &str {
    for quote in ['"', '\''] {
        let inner = text.strip_prefix(quote).and_then(|t| t.strip_suffix(quote));
        if let Some(inner) = inner {
            return inner;
        }
    }
    text
}

/// All places that a root reads, in the order of its files.
pub(super) fn places(index: &Index, files: &Files, closure: &Closure) -> Vec<Place> {
    let mut found = Vec::new();
    for dir in &closure.dirs {
        if let Some(k) = index.kustomizations.get(dir) {
            entries(files, k, &mut found);
        }
    }
    for (file, uses) in &closure.files {
        let Some(text) = files.get(file).and_then(|b| std::str::from_utf8(b).ok()) else {
            continue;
        };
        if index.forbidden.contains_key(file) {
            continue;
        }
        if uses.contains(&Use::Resource) || uses.contains(&Use::Patch) {
            let patch = !uses.contains(&Use::Resource);
            document_places(file, text, patch, &mut found);
        }
        if uses.contains(&Use::Content) {
            found.push(content(file, text));
        }
        if uses.contains(&Use::Env) {
            found.extend(env_lines(file, text));
        }
    }
    found
}

fn document_places(file: &str, text: &str, patch: bool, found: &mut Vec<Place>) {
    for (i, slice) in manifest::split(text).iter().enumerate() {
        let Some(read) = Source::read(slice.of(text)) else {
            continue;
        };
        let role = role(&read.value, patch);
        for (path, node) in read.tree.scalars() {
            let Some(mut place) = read.place(&path, node, role) else {
                continue;
            };
            place.file = file.to_owned();
            place.document = i;
            place.line = slice.line + place.line - 1;
            place.span = shift(place.span, slice);
            found.push(place);
        }
    }
}

fn role(value: &Value, patch: bool) -> Role {
    match (patch, value) {
        (false, _) => Role::Definition,
        (true, Value::Array(_)) => Role::Json,
        (true, _) => Role::Merge,
    }
}

fn shift(span: (usize, usize), slice: &Slice) -> (usize, usize) {
    (span.0 + slice.start, span.1 + slice.start)
}

/// One document, read twice.
struct Source<'s> {
    text: &'s str,
    tree: Tree,
    value: Value,
}

impl<'s> Source<'s> {
    fn read(text: &'s str) -> Option<Self> {
        let value = manifest::read_value(text).ok()?;
        let secret = value.get("kind").and_then(Value::as_str) == Some("Secret");
        (!secret && !value.is_null()).then_some(())?;
        Some(Self {
            text,
            tree: Tree::parse(text).ok()?,
            value,
        })
    }

    /// The place of one scalar; none where it writes nothing.
    fn place(&self, path: &FieldPath, node: &Node, role: Role) -> Option<Place> {
        if node.is_absent() || node.tag.is_some() || is_directive(path) {
            return None;
        }
        let value = path.get(&self.value)?.clone();
        if role == Role::Json && !writes(path, &self.value) {
            return None;
        }
        let target = match role {
            Role::Json => json_target(path, &self.value)?,
            _ => path.clone(),
        };
        let is_image = target.0.last() == Some(&Seg::Key("image".to_owned()));
        let image = is_image && value.as_str().is_some_and(|t| Image::parse(t).is_some());
        let part = if image { Part::Image } else { Part::Whole };
        Some(Place {
            file: String::new(),
            document: 0,
            path: path.clone(),
            inner: None,
            line: manifest::line_of(self.text, node.start),
            part,
            role,
            dyeable: !value.is_null() && is_free(&target, &self.value),
            value,
            span: (node.start, node.end),
        })
    }
}

/// `$patch: delete` and its like.
fn is_directive(path: &FieldPath) -> bool {
    path.0
        .iter()
        .any(|seg| matches!(seg, Seg::Key(key) if key.starts_with('$')))
}

/// Whether a scalar of a JSON6902 patch is part of a value that it writes.
fn writes(path: &FieldPath, patch: &Value) -> bool {
    let [operation, Seg::Key(key), ..] = path.0.as_slice() else {
        return false;
    };
    let operation = FieldPath(vec![operation.clone()]);
    let op = operation.key("op");
    let op = op.get(patch).and_then(Value::as_str);
    key == "value" && matches!(op, Some("add" | "replace"))
}

/// Where in the object a scalar of a JSON6902 patch ends up.
fn json_target(path: &FieldPath, patch: &Value) -> Option<FieldPath> {
    let (operation, inside) = path.0.split_first()?;
    let pointer = FieldPath(vec![operation.clone()]).key("path");
    let pointer = pointer.get(patch)?.as_str()?;
    let head = pointer.split('/').skip(1).map(|part| {
        let part = part.replace("~1", "/").replace("~0", "~");
        match part.parse() {
            Ok(index) => Seg::Index(index),
            Err(_) => Seg::Key(part),
        }
    });
    Some(FieldPath(
        head.chain(inside.iter().skip(1).cloned()).collect(),
    ))
}

/// Keys that kustomize itself looks at, wherever they are.
const READ_BY_KUSTOMIZE: [&str; 7] = [
    "apiVersion",
    "kind",
    "name",
    "namespace",
    "generateName",
    "namePrefix",
    "nameSuffix",
];
/// Keys by which kustomize finds the item of a list.
const MERGE_KEYS: [&str; 11] = [
    "containerPort",
    "mountPath",
    "devicePath",
    "ip",
    "topologyKey",
    "whenUnsatisfiable",
    "port",
    "protocol",
    "key",
    "type",
    "uid",
];
/// Mappings of labels and annotations, by which patches find objects.
const SELECTING: [&str; 5] = [
    "labels",
    "annotations",
    "matchLabels",
    "selector",
    "metadata",
];

/// Whether a change of the scalar changes nothing but itself.
fn is_free(target: &FieldPath, document: &Value) -> bool {
    let kind = document.get("kind").and_then(Value::as_str);
    if kind == Some("CustomResourceDefinition") {
        return false;
    }
    let keys: Vec<&str> = target
        .0
        .iter()
        .filter_map(|seg| match seg {
            Seg::Key(key) => Some(key.as_str()),
            _ => None,
        })
        .collect();
    let data = keys
        .first()
        .is_some_and(|k| *k == "data" || *k == "binaryData");
    if data && kind == Some("ConfigMap") {
        return true;
    }
    let Some(last) = keys.last() else {
        return false;
    };
    if READ_BY_KUSTOMIZE.contains(last) || keys.iter().any(|k| SELECTING.contains(k)) {
        return false;
    }
    let in_item = matches!(target.0.as_slice(), [.., Seg::Index(_), Seg::Key(_)]);
    !(in_item && MERGE_KEYS.contains(last))
}

/// Places in the kustomization file itself.
fn entries(files: &Files, k: &Kustomization, found: &mut Vec<Place>) {
    let Some(text) = files.get(&k.file).and_then(|b| std::str::from_utf8(b).ok()) else {
        return;
    };
    let slices = manifest::split(text);
    let Some(slice) = slices.first() else { return };
    let Some(read) = Source::read(slice.of(text)) else {
        return;
    };
    let wanted = entry_paths(&k.value);
    let inline: BTreeSet<String> = k.inline.iter().map(|i| i.path.to_string()).collect();
    for (path, node) in read.tree.scalars() {
        let shown = path.to_string();
        let Some(mut place) = read.place(&path, node, Role::Entry) else {
            continue;
        };
        place.file = k.file.clone();
        place.line = slice.line + place.line - 1;
        place.span = shift(place.span, slice);
        if let Some((_, part)) = wanted.iter().find(|(p, _)| *p == path) {
            place.part = *part;
            place.dyeable = *part != Part::Name;
            found.push(place);
        } else if inline.contains(&shown) {
            inline_places(&place, node, found);
        }
    }
}

/// Entries of transformers and generators whose text becomes a field.
fn entry_paths(value: &Value) -> Vec<(FieldPath, Part)> {
    let mut paths = Vec::new();
    let items = |key: &str| {
        (0..list(value, key).len())
            .map(|i| FieldPath::keys([key]).index(i))
            .collect::<Vec<_>>()
    };
    for image in items("images") {
        paths.push((image.key("newTag"), Part::Tag));
        paths.push((image.key("digest"), Part::Digest));
        paths.push((image.key("newName"), Part::Name));
    }
    for replica in items("replicas") {
        paths.push((replica.key("count"), Part::Whole));
    }
    for generator in items("configMapGenerator") {
        let literals = generator.key("literals");
        let count = literals
            .get(value)
            .and_then(Value::as_array)
            .map_or(0, Vec::len);
        paths.extend((0..count).map(|i| (literals.index(i), Part::Literal)));
    }
    paths
}

/// Places in a patch that is a text of the kustomization.
fn inline_places(outer: &Place, node: &Node, found: &mut Vec<Place>) {
    let Some(text) = outer.value.as_str() else {
        return;
    };
    let literal = node.style() == Some(manifest::Style::Literal);
    for (i, slice) in manifest::split(text).iter().enumerate() {
        let Some(read) = Source::read(slice.of(text)) else {
            continue;
        };
        let role = role(&read.value, true);
        for (path, node) in read.tree.scalars() {
            let Some(mut place) = read.place(&path, node, role) else {
                continue;
            };
            let inside = slice.line + place.line - 1;
            place.file.clone_from(&outer.file);
            place.inner = Some((i, place.path));
            place.path = outer.path.clone();
            place.line = outer.line + if literal { inside } else { 0 };
            place.span = shift(place.span, slice);
            found.push(place);
        }
    }
}

fn content(file: &str, text: &str) -> Place {
    Place {
        part: Part::Content,
        span: (0, text.len()),
        ..data(file, 1, text)
    }
}

fn data(file: &str, line: usize, text: &str) -> Place {
    Place {
        file: file.to_owned(),
        document: 0,
        path: FieldPath::default(),
        inner: None,
        line,
        part: Part::Env,
        role: Role::Data,
        value: Value::String(text.to_owned()),
        dyeable: true,
        span: (0, 0),
    }
}

fn env_lines(file: &str, text: &str) -> Vec<Place> {
    let mut at = 0;
    let mut found = Vec::new();
    for (i, line) in text.split_inclusive('\n').enumerate() {
        let content = line.trim_end_matches(['\n', '\r']);
        if content.contains('=') && !content.trim_start().starts_with('#') {
            found.push(Place {
                span: (at, at + content.len()),
                ..data(file, i + 1, content)
            });
        }
        at += line.len();
    }
    found
}

/// A range of a text and what replaces it.
type Splice = ((usize, usize), String);

/// New texts for places of one file, written into a private copy of it.
pub(super) fn paint(text: &str, changes: &[(&Place, Paint)]) -> String {
    let mut splices: Vec<Splice> = Vec::new();
    let mut nested: Vec<(&FieldPath, Vec<Splice>)> = Vec::new();
    for (place, paint) in changes {
        let new = (place.span, paint.text(place));
        match &place.inner {
            None => splices.push(new),
            Some(_) => match nested.iter_mut().find(|(p, _)| *p == &place.path) {
                Some((_, list)) => list.push(new),
                None => nested.push((&place.path, vec![new])),
            },
        }
    }
    for (path, inner) in nested {
        splices.extend(repaint_inline(text, path, inner));
    }
    splice(text, splices)
}

/// The whole inline patch as one quoted text, with its changes.
fn repaint_inline(text: &str, path: &FieldPath, inner: Vec<Splice>) -> Option<Splice> {
    let slices = manifest::split(text);
    let slice = slices.first()?;
    let tree = Tree::parse(slice.of(text)).ok()?;
    let node = tree.at(path).ok()?;
    let patch = splice(node.text()?, inner);
    Some((shift((node.start, node.end), slice), quoted(&patch)))
}

fn splice(text: &str, mut splices: Vec<Splice>) -> String {
    splices.sort_by_key(|(span, _)| *span);
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    for ((start, end), new) in splices {
        if start < at {
            continue; // never: scalars do not overlap
        }
        out.push_str(text.get(at..start).unwrap_or_default());
        out.push_str(&new);
        at = end;
    }
    out.push_str(text.get(at..).unwrap_or_default());
    out
}

/// What to write at a place.
#[derive(Debug, Clone)]
pub(super) enum Paint {
    /// The token with this number.
    Token(usize),
    /// A value.
    Value(Value),
}

const TOKEN: &str = "kmdye";
const DIGEST_TOKEN: &str = "sha256:d7e0";
const NUMBER: i64 = 1_700_000_000;

impl Paint {
    fn text(&self, place: &Place) -> String {
        let raw = matches!(place.part, Part::Content | Part::Env);
        let value = match self {
            Self::Token(id) => token(place, *id),
            Self::Value(value) => value.clone(),
        };
        match value {
            Value::String(text) if raw => text,
            Value::String(text) => quoted(&text),
            other => other.to_string(),
        }
    }
}

/// A JSON string, which is a double-quoted YAML string in every YAML.
fn quoted(text: &str) -> String {
    Value::String(text.to_owned()).to_string()
}

fn token(place: &Place, id: usize) -> Value {
    let text = format!("{TOKEN}{id:06}x");
    let digest = format!("{DIGEST_TOKEN}{id:060x}");
    match (place.part, &place.value) {
        (Part::Digest, _) => Value::String(digest),
        (Part::Image, Value::String(image)) => Value::String(dyed_image(image, &text, &digest)),
        (Part::Literal | Part::Env, Value::String(pair)) => {
            let key = pair.split('=').next().unwrap_or_default();
            Value::String(format!("{key}={text}"))
        }
        (Part::Whole, Value::Number(n)) if n.is_i64() || n.is_u64() => {
            Value::from(NUMBER + i64::try_from(id).unwrap_or(0))
        }
        _ => Value::String(text),
    }
}

fn dyed_image(image: &str, tag: &str, digest: &str) -> String {
    let Some(parts) = Image::parse(image) else {
        return tag.to_owned();
    };
    let painted = Image {
        name: parts.name,
        tag: (parts.tag.is_some() || parts.digest.is_none()).then(|| tag.to_owned()),
        digest: parts.digest.is_some().then(|| digest.to_owned()),
    };
    painted.to_string()
}

/// The tokens in a rendered scalar: their numbers, and whether one is all of it.
pub(super) fn tokens(value: &Value) -> Vec<(usize, bool)> {
    match value {
        Value::Number(n) => {
            let id = n
                .as_i64()
                .map(|n| n - NUMBER)
                .filter(|id| (0..10_000_000).contains(id));
            let id = id.and_then(|id| usize::try_from(id).ok());
            id.map(|id| (id, true)).into_iter().collect()
        }
        Value::String(text) => text_tokens(text),
        _ => Vec::new(),
    }
}

fn text_tokens(text: &str) -> Vec<(usize, bool)> {
    let mut found = Vec::new();
    for (at, _) in text.match_indices(TOKEN) {
        let digits = text.get(at + TOKEN.len()..at + TOKEN.len() + 6);
        let closed = text
            .get(at + TOKEN.len() + 6..)
            .is_some_and(|t| t.starts_with('x'));
        if let Some(id) = digits.filter(|_| closed).and_then(|d| d.parse().ok()) {
            found.push((id, text.len() == TOKEN.len() + 7));
        }
    }
    for (at, _) in text.match_indices(DIGEST_TOKEN) {
        let start = at + DIGEST_TOKEN.len();
        let digits = text.get(start..start + 60);
        if let Some(id) = digits.and_then(|d| usize::from_str_radix(d, 16).ok())
            && found.iter().all(|(known, _)| *known != id)
        {
            found.push((id, false));
        }
    }
    found
}
