//! Where a finding is: file, line and column, from the field of an object.

use crate::case::Desired;
use crate::files::Files;
use crate::locate::Repository;
use crate::manifest::{self, Node, Tree};
use crate::path::{FieldPath, Seg};

/// A place in a file. Lines and columns count from 1, columns in characters.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The file, relative to the repository's root.
    pub file: String,
    /// First line.
    pub line: usize,
    /// First column.
    pub column: usize,
    /// Last line.
    pub end_line: usize,
    /// The column behind the last character.
    pub end_column: usize,
    /// The document in the file, from 0.
    pub document: usize,
}

impl Place {
    /// A whole line.
    pub(super) fn line(files: &Files, file: &str, line: usize) -> Self {
        let text = text(files, file).unwrap_or_default();
        let line = line.max(1);
        let content = text.lines().nth(line - 1).unwrap_or_default();
        let indent = content.chars().take_while(|c| *c == ' ').count();
        Self {
            file: file.to_owned(),
            line,
            column: indent + 1,
            end_line: line,
            end_column: (content.trim_end().chars().count() + 1).max(indent + 1),
            document: 0,
        }
    }
}

/// Where a field of an object is written. What no source writes is shown at its parent.
pub(super) fn place(
    repository: &Repository<'_>,
    desired: &Desired,
    path: &FieldPath,
    on_key: bool,
) -> Place {
    let files = repository.files;
    let resolved = path.resolve(&desired.object.value);
    let direct = || in_document(files, &desired.file, desired.document, &resolved, on_key);
    if let Some((whole, place)) = direct().filter(|_| desired.root.is_none())
        && whole
    {
        return place;
    }
    let Ok(site) = repository.locate(&desired.object.reference(), path) else {
        let found = direct().map(|(_, place)| place);
        return found.unwrap_or_else(|| Place::line(files, &desired.file, 1));
    };
    let inside = match site.inner {
        None => in_document(files, &site.file, site.document, &site.path, on_key),
        Some(_) => None,
    };
    inside.map_or_else(
        || Place::line(files, &site.file, site.line),
        |(_, place)| place,
    )
}

/// The place of a path in a document, and whether all of it is there.
pub(super) fn in_document(
    files: &Files,
    file: &str,
    document: usize,
    path: &FieldPath,
    on_key: bool,
) -> Option<(bool, Place)> {
    let text = text(files, file)?;
    let slice = *manifest::split(text).get(document)?;
    let tree = Tree::parse(slice.of(text)).ok()?;
    let trail = tree.reach(path).ok()?;
    let whole = trail.nodes.len() > path.0.len();
    let (start, end) = span(&trail.nodes, &trail.path, on_key && whole);
    let (line, column) = position(text, slice.start + start);
    let (end_line, end_column) = position(text, slice.start + end);
    let place = Place {
        file: file.to_owned(),
        line,
        column,
        end_line,
        end_column,
        document,
    };
    Some((whole, place))
}

/// A value that is one line is shown itself, anything larger by its key.
fn span(nodes: &[&Node], path: &FieldPath, on_key: bool) -> (usize, usize) {
    let Some(node) = nodes.last() else {
        return (0, 0);
    };
    let one_line = matches!(
        node.style(),
        Some(manifest::Style::Plain | manifest::Style::Single | manifest::Style::Double)
    ) && !node.is_absent();
    if one_line && !on_key {
        return (node.start, node.end);
    }
    // the nearest key above: a list item has none of its own
    let parents = nodes.iter().rev().skip(1);
    let keys = path.0.iter().rev().zip(parents).find_map(|(seg, parent)| {
        let Seg::Key(key) = seg else { return None };
        parent.entry(key).map(|e| (e.key.start, e.key.end))
    });
    let first_key = || node.entries().first().map(|e| (e.key.start, e.key.end));
    let item = matches!(path.0.last(), Some(Seg::Index(_) | Seg::Named { .. }));
    let found = if item {
        first_key().or(keys)
    } else {
        keys.or_else(first_key)
    };
    found.unwrap_or((node.start, node.start))
}

fn position(text: &str, offset: usize) -> (usize, usize) {
    let before = text.get(..offset).unwrap_or(text);
    let line = before.rsplit_once('\n').map_or(before, |(_, line)| line);
    let number = before.bytes().filter(|b| *b == b'\n').count() + 1;
    (number, line.chars().count() + 1)
}

pub(super) fn text<'f>(files: &'f Files, path: &str) -> Option<&'f str> {
    std::str::from_utf8(files.get(path)?).ok()
}
