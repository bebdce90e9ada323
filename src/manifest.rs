//! YAML files as documents with byte spans: splitting, identity, trees. Pure.
//!
//! A file is cut into [`Slice`]s, one a document, and every reader sees one slice at a time, so
//! that no document index is ever carried from one parser to another.

use serde_json::Value;

use crate::code::{Code, Refusal};
use crate::object::ObjectRef;

pub mod lookup;
pub mod node;
pub mod plain;
pub mod print;
pub mod read;
pub mod readings;
pub mod tree;

pub use lookup::Trail;
pub use node::{Anchor, Entry, Item, Kind, Node, Style};
pub use read::{read_stream, read_value};
pub use tree::Tree;

/// The largest file that is read at all, in bytes.
pub const MAX_BYTES: usize = 16 * 1024 * 1024;

/// One document of a file with the comments and directives above it. The slices tile the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slice {
    /// First byte in the file.
    pub start: usize,
    /// The byte behind the last one.
    pub end: usize,
    /// The line of the first byte, from 1.
    pub line: usize,
}

impl Slice {
    /// The text of this slice.
    pub fn of<'s>(&self, file: &'s str) -> &'s str {
        file.get(self.start..self.end).unwrap_or_default()
    }
}

/// The values of all documents of a file.
pub(crate) fn values(bytes: &[u8]) -> Result<Vec<Value>, Refusal> {
    let text = std::str::from_utf8(bytes)
        .map_err(|_| Refusal::new(Code::NotUtf8, "the file is not UTF-8"))?;
    split(text)
        .iter()
        .map(|slice| read_value(slice.of(text)))
        .collect()
}

/// Cuts a file into documents at its `---` and `...` lines.
///
/// Such a line inside a scalar is forbidden by YAML at column 0, so no parser is needed.
pub fn split(file: &str) -> Vec<Slice> {
    let mut splitter = Splitter::default();
    let mut at = 0;
    for line in file.split_inclusive('\n') {
        let text = if at == 0 { strip_bom(line) } else { line };
        splitter.line(text, at, at + line.len());
        at += line.len();
    }
    splitter.finish(at);
    number_lines(file, splitter.bounds)
}

/// The object that a slice defines; none when it names no kind or no name.
///
/// Reads no further than needed, so a later syntax error goes unnoticed.
pub fn identity(slice: &str) -> Option<ObjectRef> {
    let root = tree::head(slice)?;
    let kind = root.get("kind")?.text()?;
    let metadata = root.get("metadata")?;
    let name = metadata.get("name")?.text()?;
    let namespace = metadata.get("namespace").and_then(Node::text);
    let version = root.get("apiVersion").and_then(Node::text);
    Some(ObjectRef::new(
        version.unwrap_or_default(),
        kind,
        namespace,
        name,
    ))
}

/// The line of a byte offset, from 1.
pub fn line_of(text: &str, offset: usize) -> usize {
    let before = text.as_bytes().get(..offset).unwrap_or(text.as_bytes());
    before.iter().filter(|b| **b == b'\n').count() + 1
}

/// The text without a byte order mark.
pub fn strip_bom(text: &str) -> &str {
    text.strip_prefix('\u{feff}').unwrap_or(text)
}

#[derive(Default)]
struct Splitter {
    bounds: Vec<(usize, usize)>,
    start: usize,
    explicit: bool,
    content: bool,
}

impl Splitter {
    fn line(&mut self, line: &str, start: usize, end: usize) {
        if let Some(rest) = marker(line, "---") {
            if self.content || self.explicit {
                self.close(start);
            }
            self.explicit = true;
            self.content = !blank_or_comment(rest);
        } else if marker(line, "...").is_some() {
            if self.content || self.explicit {
                self.close(end);
            }
            self.explicit = false;
            self.content = false;
        } else if !self.content {
            let directive = line.starts_with('%') && !self.explicit;
            self.content = !(blank_or_comment(line) || directive);
        }
    }

    fn close(&mut self, end: usize) {
        self.bounds.push((self.start, end));
        self.start = end;
    }

    fn finish(&mut self, end: usize) {
        match self.bounds.last_mut() {
            Some(last) if !(self.content || self.explicit) => last.1 = end,
            _ => self.bounds.push((self.start, end)),
        }
    }
}

/// What follows a marker on its line, if the line is one.
fn marker<'l>(line: &'l str, mark: &str) -> Option<&'l str> {
    let rest = line.strip_prefix(mark)?;
    (rest.is_empty() || rest.starts_with([' ', '\t', '\n', '\r'])).then_some(rest)
}

fn blank_or_comment(line: &str) -> bool {
    let text = line.trim_matches([' ', '\t', '\r', '\n']);
    text.is_empty() || text.starts_with('#')
}

fn number_lines(file: &str, bounds: Vec<(usize, usize)>) -> Vec<Slice> {
    let mut line = 1;
    let mut counted = 0;
    let number = |(start, end): (usize, usize)| {
        line += line_of(file.get(counted..).unwrap_or_default(), start - counted) - 1;
        counted = start;
        Slice { start, end, line }
    };
    bounds.into_iter().map(number).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn cut(file: &str) -> Vec<&str> {
        split(file).iter().map(|s| s.of(file)).collect()
    }

    #[test]
    fn slices_tile_the_file_and_keep_comments_with_their_document() {
        assert_eq!(cut(""), [""]);
        assert_eq!(cut("# only\n"), ["# only\n"]);
        assert_eq!(cut("a: 1\n---\nb: 2"), ["a: 1\n", "---\nb: 2"]);
        assert_eq!(
            cut("# h\n---\na: 1\n...\n# t\n---\nb: 2\n# end\n"),
            ["# h\n---\na: 1\n...\n", "# t\n---\nb: 2\n# end\n"]
        );
        assert_eq!(cut("---\n---\na: 1\n"), ["---\n", "---\na: 1\n"]);
        assert_eq!(cut("%YAML 1.1\n---\na: 1\n"), ["%YAML 1.1\n---\na: 1\n"]);
        assert_eq!(cut("a: 1\n...\n# tail\n"), ["a: 1\n...\n# tail\n"]);
        assert_eq!(cut("\u{feff}---\r\na: 1\r\n"), ["\u{feff}---\r\na: 1\r\n"]);
        assert_eq!(cut("--- a\n---b\n--- \n"), ["--- a\n---b\n", "--- \n"]);
    }

    #[test]
    fn slices_know_their_first_line() {
        let lines: Vec<usize> = split("a: 1\n\n---\nb: 2\n---\nc: 3\n")
            .iter()
            .map(|s| s.line)
            .collect();
        assert_eq!(lines, [1, 3, 5]);
    }

    #[test]
    fn identity_stops_reading_behind_the_metadata() {
        let slice = "apiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: web\n  namespace: shop\nspec: [\n";
        let found = identity(slice).unwrap();
        assert_eq!(found.to_string(), "Deployment shop/web");
        assert_eq!(found.api_version, "apps/v1");
        let json = identity(r#"{"kind": "Pod", "metadata": {"name": "a"}}"#).unwrap();
        assert_eq!(json.to_string(), "Pod a");
        assert_eq!(identity("kind: Kustomization\nresources: []\n"), None);
        assert_eq!(identity("- a\n"), None);
        assert_eq!(identity(""), None);
    }
}
