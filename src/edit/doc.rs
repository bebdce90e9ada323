//! One document in the middle of an edit: its text, its tree, and where things are on lines.

use std::ops::Range;

use super::emit::{Layout, Place};
use crate::code::{Code, Refusal};
use crate::manifest::tree::skip_blank;
use crate::manifest::{Entry, Kind, Node, Trail, Tree, strip_bom};
use crate::path::Seg;

/// Replaces a range of bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Splice {
    pub(super) range: Range<usize>,
    pub(super) with: String,
}

/// A document.
pub(super) struct Doc<'d> {
    pub(super) text: &'d str,
    pub(super) tree: Tree,
    json: bool,
    /// The habits of the document as it was before the first edit of a batch.
    pub(super) habits: Option<(usize, usize)>,
}

/// The indicator in front of a node, and the node's own place.
pub(super) struct Slot<'t> {
    pub(super) node: &'t Node,
    /// The byte behind the colon or dash and behind anchor and tag.
    pub(super) lead: usize,
    /// The column that content below is counted from: of the key or of the dash.
    pub(super) column: usize,
    /// Whether it is a list item.
    pub(super) item: bool,
    /// The key is written with `?`, or has no colon.
    pub(super) odd: bool,
}

pub(super) fn unsupported(message: impl Into<String>) -> Refusal {
    Refusal::new(Code::UnsupportedShape, message)
}

impl<'d> Doc<'d> {
    pub(super) fn read(text: &'d str, line: usize) -> Result<Self, Refusal> {
        let tree = Tree::parse_at(text, line)?;
        Ok(Self {
            text,
            tree,
            json: is_json(text),
            habits: None,
        })
    }

    /// How scalars are written below the last of these nodes.
    pub(super) fn place(&self, nodes: &[&Node]) -> Place {
        match nodes.iter().any(|n| n.is_flow()) {
            true if self.json => Place::Json,
            true => Place::Flow,
            false => Place::Block,
        }
    }

    /// How the last node of a trail hangs below its parent; none for the top node.
    pub(super) fn slot<'t>(&self, trail: &Trail<'t>) -> Option<Slot<'t>> {
        let [.., parent, node] = trail.nodes.as_slice() else {
            return None;
        };
        let (indicator, column, item, odd) = match trail.path.0.last()? {
            Seg::Index(index) => {
                let dash = parent.items().get(*index)?.dash;
                let odd = !parent.is_flow() && dash.is_none();
                (dash, dash.map_or(0, |d| self.column(d)), true, odd)
            }
            _ => {
                let entry = entry_of(parent, node)?;
                let column = parent
                    .entries()
                    .first()
                    .map_or(0, |e| self.column(e.key.outer));
                let odd = entry.explicit || entry.colon.is_none();
                (entry.colon, column, false, odd)
            }
        };
        let behind_indicator = indicator.map_or(node.outer, |at| at + 1);
        let lead = if node.outer < node.start {
            self.behind_properties(node)
        } else {
            behind_indicator
        };
        Some(Slot {
            node,
            lead,
            column,
            item,
            odd,
        })
    }

    /// The byte behind the anchor or tag of a node.
    fn behind_properties(&self, node: &Node) -> usize {
        let mut at = node.outer;
        while at < node.start && matches!(self.text.as_bytes().get(at), Some(b'&' | b'!')) {
            let word = self.text.get(at..node.start).unwrap_or_default();
            let end = at + word.find(char::is_whitespace).unwrap_or(word.len());
            let next = skip_blank(self.text, end);
            if next >= node.start || !matches!(self.text.as_bytes().get(next), Some(b'&' | b'!')) {
                return end;
            }
            at = next;
        }
        at
    }

    /// The first byte of the line that holds a place; a byte order mark is not part of it.
    pub(super) fn line_start(&self, at: usize) -> usize {
        let before = self.text.get(..at).unwrap_or(self.text);
        let bom = self.text.len() - strip_bom(self.text).len();
        before.rfind('\n').map_or(bom.min(at), |i| i + 1)
    }

    /// The end of the line that holds a place, before its line ending.
    pub(super) fn line_end(&self, at: usize) -> usize {
        let rest = self.text.get(at..).unwrap_or_default();
        let line = rest.split('\n').next().unwrap_or_default();
        at + line.strip_suffix('\r').unwrap_or(line).len()
    }

    /// The first byte of the line behind the one that holds a place.
    pub(super) fn next_line(&self, at: usize) -> usize {
        let rest = self.text.get(at..).unwrap_or_default();
        at + rest.find('\n').map_or(rest.len(), |i| i + 1)
    }

    pub(super) fn column(&self, at: usize) -> usize {
        at - self.line_start(at)
    }

    /// What stands before a place on its line.
    pub(super) fn prefix(&self, at: usize) -> &'d str {
        self.text.get(self.line_start(at)..at).unwrap_or_default()
    }

    /// What stands behind a place on its line.
    pub(super) fn rest_of_line(&self, at: usize) -> &'d str {
        self.text.get(at..self.line_end(at)).unwrap_or_default()
    }

    /// The line ending of the line that holds a place, or of the one before if it has none.
    fn eol(&self, at: usize) -> &'static str {
        let end = self.line_end(at);
        let rest = self.text.get(end..).unwrap_or_default();
        if rest.starts_with("\r\n") {
            return "\r\n";
        }
        let before = self.text.get(..self.line_start(at)).unwrap_or_default();
        if rest.is_empty() && before.ends_with("\r\n") {
            "\r\n"
        } else {
            "\n"
        }
    }

    /// How new lines behind `at` are laid out.
    pub(super) fn layout(&self, at: usize) -> Layout {
        let (step, dash) = self.habits.unwrap_or_else(|| self.count_habits());
        Layout {
            step,
            dash,
            eol: self.eol(at),
        }
    }

    /// The most frequent columns from a key to the keys, and to the dashes, below it.
    pub(super) fn count_habits(&self) -> (usize, usize) {
        let (mut steps, mut dashes) = (Votes::default(), Votes::default());
        self.tree.root.visit(&mut |node| {
            for entry in node.entries().iter().filter(|_| !node.is_flow()) {
                let Some(first) = first_child(&entry.value) else {
                    continue;
                };
                let (column, child) = (self.column(entry.key.outer), self.column(first));
                match &entry.value.kind {
                    Kind::Map { .. } if child > column => steps.add(child - column),
                    Kind::Seq { .. } if child >= column => dashes.add(child - column),
                    _ => {}
                }
            }
        });
        (steps.winner().unwrap_or(2), dashes.winner().unwrap_or(0))
    }
}

/// The entry whose value is this very node.
pub(super) fn entry_of<'t>(parent: &'t Node, node: &Node) -> Option<&'t Entry> {
    parent
        .entries()
        .iter()
        .find(|e| std::ptr::eq(&e.value, node))
}

/// Whether a slice is a JSON document.
pub(super) fn is_json(slice: &str) -> bool {
    let text = strip_bom(slice).trim_start();
    text.starts_with(['{', '[']) && serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok()
}

/// Where a block collection starts.
fn first_child(node: &Node) -> Option<usize> {
    let block = !node.is_flow() && matches!(node.kind, Kind::Map { .. } | Kind::Seq { .. });
    block.then_some(node.start)
}

#[derive(Default)]
struct Votes(Vec<(usize, usize)>);

impl Votes {
    fn add(&mut self, value: usize) {
        match self.0.iter_mut().find(|(v, _)| *v == value) {
            Some((_, count)) => *count += 1,
            None => self.0.push((value, 1)),
        }
    }

    /// The value with the most votes, on a tie the larger.
    fn winner(&self) -> Option<usize> {
        self.0
            .iter()
            .max_by_key(|(value, count)| (*count, *value))
            .map(|(value, _)| *value)
    }
}
