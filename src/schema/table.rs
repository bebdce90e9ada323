//! The embedded field tables, read once.

use std::collections::{BTreeMap, HashMap};
use std::sync::OnceLock;

use crate::object::Object;
use crate::pack;
use crate::path::{FieldPath, Seg};

/// The shape of a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Shape {
    /// Text.
    Text,
    /// Base64 text.
    Bytes,
    /// A point in time, as text.
    Time,
    /// A 32-bit integer.
    Int32,
    /// A 64-bit integer.
    Int64,
    /// Any number.
    Number,
    /// A boolean.
    Bool,
    /// A quantity: text or a number.
    Quantity,
    /// An integer or text.
    IntOrText,
    /// Anything.
    Any,
    /// Any mapping.
    Mapping,
    /// A list.
    List(Box<Self>),
    /// A mapping with values of one shape.
    Map(Box<Self>),
    /// A type of the table.
    Type(String),
}

/// One field of a type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Field {
    /// Its shape.
    pub shape: Shape,
    /// Whether the API server demands it.
    pub required: bool,
    /// Whether only versions before the newest know it.
    pub old: bool,
    /// The keys that identify the items of a list.
    pub keys: Vec<String>,
}

/// The fields of one type.
pub(super) type Fields = BTreeMap<String, Field>;

#[derive(Debug, Default)]
struct Tables {
    kinds: HashMap<(String, String), String>,
    types: HashMap<String, Fields>,
}

const DATA: &[u8] = include_bytes!("data/kubernetes.txt.gz");
/// The unpacked tables are about 150 KB.
const MAX_TEXT: u64 = 4 << 20;

/// The name of the type behind an API version and kind; none for kinds that are not built in.
pub fn type_at(api_version: &str, kind: &str) -> Option<&'static str> {
    let key = (api_version.to_owned(), kind.to_owned());
    tables().kinds.get(&key).map(String::as_str)
}

/// The API versions that serve a built-in kind, stable ones first; empty for other kinds.
pub fn versions_of(kind: &str) -> Vec<&'static str> {
    let mut all: Vec<&str> = tables()
        .kinds
        .keys()
        .filter(|(_, k)| k == kind)
        .map(|(version, _)| version.as_str())
        .collect();
    all.sort_unstable();
    let stable: Vec<&str> = all
        .iter()
        .copied()
        .filter(|v| !v.contains("alpha") && !v.contains("beta"))
        .collect();
    if stable.is_empty() { all } else { stable }
}

/// The built-in kind that differs from a text in upper and lower case only.
pub fn kind_spelled_like(text: &str) -> Option<&'static str> {
    let kinds = tables().kinds.keys().map(|(_, kind)| kind.as_str());
    kinds
        .filter(|kind| *kind != text)
        .find(|kind| kind.eq_ignore_ascii_case(text))
}

/// The shape that the schema gives to a path of an object; none where it has no such field.
pub fn shape_at(object: &Object, path: &FieldPath) -> Option<Shape> {
    let root = type_at(object.api_version(), object.kind())?;
    let start = Shape::Type(root.to_owned());
    path.0
        .iter()
        .try_fold(start, |shape, seg| match (shape, seg) {
            (Shape::Type(name), Seg::Key(key)) => fields(&name)?.get(key).map(|f| f.shape.clone()),
            (Shape::Map(inner), Seg::Key(_)) => Some(*inner),
            (Shape::List(inner), Seg::Index(_) | Seg::Named { .. }) => Some(*inner),
            (Shape::Any | Shape::Mapping, _) => Some(Shape::Any),
            _ => None,
        })
}

/// The fields of a type.
pub(super) fn fields(name: &str) -> Option<&'static Fields> {
    tables().types.get(name)
}

fn tables() -> &'static Tables {
    static TABLES: OnceLock<Tables> = OnceLock::new();
    TABLES.get_or_init(|| parse(&unpack()))
}

/// A build whose data cannot be unpacked checks nothing; a test says so.
fn unpack() -> String {
    pack::gunzip(DATA, MAX_TEXT).unwrap_or_default()
}

fn parse(text: &str) -> Tables {
    let mut tables = Tables::default();
    let mut current = String::new();
    for line in text.lines() {
        let words: Vec<&str> = line.split(' ').collect();
        match words.as_slice() {
            ["K", version, kind, name] => {
                let key = ((*version).to_owned(), (*kind).to_owned());
                tables.kinds.insert(key, (*name).to_owned());
            }
            ["T", name] => {
                current = (*name).to_owned();
                tables.types.entry(current.clone()).or_default();
            }
            [sort @ ("F" | "O"), name, form, marks @ ..] => {
                let field = field(*sort == "O", form, marks);
                let of = tables.types.entry(current.clone()).or_default();
                of.insert((*name).to_owned(), field);
            }
            _ => {}
        }
    }
    tables
}

fn field(old: bool, form: &str, marks: &[&str]) -> Field {
    let keys = marks.iter().find_map(|m| m.strip_prefix('@'));
    Field {
        shape: shape(form),
        required: marks.contains(&"!"),
        old,
        keys: keys.map_or_else(Vec::new, |k| k.split(',').map(str::to_owned).collect()),
    }
}

fn shape(form: &str) -> Shape {
    let mut chars = form.chars();
    let first = chars.next();
    let rest = chars.as_str();
    match first {
        Some('s') => Shape::Text,
        Some('y') => Shape::Bytes,
        Some('t') => Shape::Time,
        Some('i') => Shape::Int32,
        Some('l') => Shape::Int64,
        Some('n') => Shape::Number,
        Some('b') => Shape::Bool,
        Some('q') => Shape::Quantity,
        Some('p') => Shape::IntOrText,
        Some('o') => Shape::Mapping,
        Some('[') => Shape::List(Box::new(shape(rest))),
        Some('{') => Shape::Map(Box::new(shape(rest))),
        Some('#') => Shape::Type(rest.to_owned()),
        _ => Shape::Any,
    }
}
