//! The primitives: each turns one wanted change of one document into one splice.

use serde_json::Value;

use super::doc::{Doc, Slot, Splice, entry_of, unsupported};
use super::emit::{self, Place};
use super::literal;
use crate::code::Refusal;
use crate::manifest::{Entry, Kind, Node, Style, Trail};
use crate::path::Seg;

/// Puts a value at an existing place.
pub(super) fn set(doc: &Doc<'_>, trail: &Trail<'_>, value: &Value) -> Result<Splice, Refusal> {
    let node = trail.node();
    if let Some(tag) = &node.tag {
        return Err(unsupported(format!("{} carries the tag {tag}", trail.path)));
    }
    let Some(slot) = doc.slot(trail) else {
        return root(doc, node, value);
    };
    if slot.odd && (node.is_absent() || is_filled(value)) {
        return Err(unsupported(format!(
            "{} is written with an explicit ? key or without a colon",
            trail.path
        )));
    }
    if let (Some(Style::Literal), Value::String(text)) = (node.style(), value)
        && let Some(with) = literal::rewrite(doc, node, text, slot.column)?
    {
        return Ok(Splice {
            range: node.start..node.end,
            with,
        });
    }
    let parents = trail
        .nodes
        .split_last()
        .map_or(&[][..], |(_, parents)| parents);
    let place = doc.place(parents);
    let block_collection =
        matches!(node.kind, Kind::Map { .. } | Kind::Seq { .. }) && !node.is_flow();
    Ok(match (place, is_filled(value)) {
        (Place::Flow | Place::Json, true) => inline(node, emit::flow(value, place)),
        (Place::Flow | Place::Json, false) => {
            inline(node, emit::scalar(value, style_of(node), place))
        }
        (Place::Block, true) if block_collection => other_block(doc, &slot, value),
        (Place::Block, true) => token_to_block(doc, &slot, value)?,
        (Place::Block, false) if block_collection => block_to_token(doc, &slot, value),
        (Place::Block, false) => token_to_token(doc, &slot, value),
    })
}

fn root(doc: &Doc<'_>, node: &Node, value: &Value) -> Result<Splice, Refusal> {
    let block = matches!(node.style(), Some(Style::Literal | Style::Folded));
    if node.is_absent() || is_filled(value) || block {
        return Err(unsupported("a whole document is not replaced"));
    }
    let place = doc.place(&[node]);
    Ok(inline(node, emit::scalar(value, style_of(node), place)))
}

/// A collection that needs lines of its own.
fn is_filled(value: &Value) -> bool {
    match value {
        Value::Array(items) => !items.is_empty(),
        Value::Object(map) => !map.is_empty(),
        _ => false,
    }
}

fn style_of(node: &Node) -> Style {
    node.style().unwrap_or(Style::Plain)
}

fn inline(node: &Node, token: String) -> Splice {
    let with = if node.is_absent() {
        format!(" {token}")
    } else {
        token
    };
    Splice {
        range: node.start..node.end,
        with,
    }
}

/// The comment behind a token on its line, for a block scalar the one in its header.
fn comment_behind<'d>(doc: &Doc<'d>, node: &Node) -> &'d str {
    let rest = match node.style() {
        Some(Style::Literal | Style::Folded) => {
            let header = doc.rest_of_line(node.start);
            header
                .find([' ', '\t'])
                .and_then(|at| header.get(at..))
                .unwrap_or_default()
        }
        _ => doc.rest_of_line(node.end),
    };
    if rest.trim().is_empty() { "" } else { rest }
}

fn token_to_token(doc: &Doc<'_>, slot: &Slot<'_>, value: &Value) -> Splice {
    let (node, style) = (slot.node, style_of(slot.node));
    let comment = comment_behind(doc, node);
    let layout = doc.layout(node.end);
    let last_line = doc.next_line(node.end) == doc.text.len() && !doc.text.ends_with('\n');
    let ends_lines = matches!(value, Value::String(text) if text.ends_with('\n'));
    let mut token = if comment.is_empty() && !(last_line && ends_lines) {
        layout.text(value, slot.column + layout.step, style)
    } else {
        emit::scalar(value, style, Place::Block)
    };
    if matches!(style, Style::Literal | Style::Folded) {
        token.push_str(comment);
    }
    inline(node, token)
}

fn token_to_block(doc: &Doc<'_>, slot: &Slot<'_>, value: &Value) -> Result<Splice, Refusal> {
    let comment = comment_behind(doc, slot.node);
    if !(comment.is_empty() || comment.trim_start().starts_with('#')) {
        return Err(unsupported("something follows the value on its line"));
    }
    let layout = doc.layout(slot.node.end);
    let range = slot.lead..doc.line_end(slot.node.end);
    let with = if slot.item {
        below_dash(
            &layout,
            slot,
            value,
            !comment.is_empty() || slot.node.outer < slot.node.start,
        )
    } else {
        layout.below_key(value, slot.column)
    };
    Ok(Splice {
        range,
        with: format!("{comment}{with}"),
    })
}

/// What follows a dash, on its line or on the lines below.
fn below_dash(layout: &emit::Layout, slot: &Slot<'_>, value: &Value, next_line: bool) -> String {
    let item = layout.item(value, slot.column, 1);
    let behind = item.strip_prefix('-').unwrap_or(&item);
    match next_line {
        true => format!("{}{} {behind}", layout.eol, " ".repeat(slot.column)),
        false => behind.to_owned(),
    }
}

fn starts_on_lead_line(doc: &Doc<'_>, slot: &Slot<'_>) -> bool {
    slot.node.start <= doc.line_end(slot.lead)
}

/// Where a block collection ends, with the comment behind its last entry: that one must not move
/// to another line.
fn whole_end(doc: &Doc<'_>, slot: &Slot<'_>) -> usize {
    let end = slot.node.end;
    if end <= doc.line_end(slot.lead) {
        end
    } else {
        doc.line_end(end)
    }
}

fn block_to_token(doc: &Doc<'_>, slot: &Slot<'_>, value: &Value) -> Splice {
    let token = emit::scalar(value, Style::Plain, Place::Block);
    if starts_on_lead_line(doc, slot) {
        return Splice {
            range: slot.node.start..whole_end(doc, slot),
            with: token,
        };
    }
    let comment = doc.rest_of_line(slot.lead);
    Splice {
        range: slot.lead..whole_end(doc, slot),
        with: format!(" {token}{comment}"),
    }
}

fn other_block(doc: &Doc<'_>, slot: &Slot<'_>, value: &Value) -> Splice {
    let layout = doc.layout(slot.node.end);
    let same_line = starts_on_lead_line(doc, slot);
    let start = if same_line {
        slot.lead
    } else {
        doc.line_end(slot.lead)
    };
    let with = if slot.item {
        below_dash(&layout, slot, value, !same_line)
    } else {
        layout.below_key(value, slot.column)
    };
    Splice {
        range: start..whole_end(doc, slot),
        with,
    }
}

/// Adds a key to a mapping that has none such.
pub(super) fn add_key(
    doc: &Doc<'_>,
    trail: &Trail<'_>,
    key: &str,
    value: &Value,
) -> Result<Splice, Refusal> {
    let (node, place) = (trail.node(), doc.place(&trail.nodes));
    if place != Place::Block {
        let token = format!("{}: {}", emit::key(key, place), emit::flow(value, place));
        return flow_insert(doc, node, &token);
    }
    refuse_explicit(node)?;
    let column = node
        .entries()
        .first()
        .map_or(0, |e| doc.column(e.key.outer));
    let layout = doc.layout(node.end);
    Ok(insert_below(
        doc,
        node.end,
        column,
        &layout.entry(key, value, column),
    ))
}

/// Adds an item at the end of a list.
pub(super) fn append(doc: &Doc<'_>, trail: &Trail<'_>, value: &Value) -> Result<Splice, Refusal> {
    let (node, place) = (trail.node(), doc.place(&trail.nodes));
    if place != Place::Block {
        return flow_insert(doc, node, &emit::flow(value, place));
    }
    let last = node
        .items()
        .last()
        .ok_or_else(|| unsupported("a list without items"))?;
    let dash = last
        .dash
        .ok_or_else(|| unsupported("the dash of the last item was not found"))?;
    let same_line = !last.node.is_absent() && last.node.outer <= doc.line_end(dash);
    let gap = if same_line {
        last.node.outer - dash - 1
    } else {
        1
    };
    let column = doc.column(dash);
    let layout = doc.layout(node.end);
    Ok(insert_below(
        doc,
        node.end,
        column,
        &layout.item(value, column, gap),
    ))
}

/// Inserts lines below the line that holds `at`.
fn insert_below(doc: &Doc<'_>, at: usize, column: usize, text: &str) -> Splice {
    let next = doc.next_line(at);
    let eol = doc.layout(at).eol;
    let unfinished = next == doc.text.len() && !doc.text.ends_with('\n');
    let indent = " ".repeat(column);
    let with = match unfinished {
        true => format!("{eol}{indent}{text}"),
        false => format!("{indent}{text}{eol}"),
    };
    Splice {
        range: next..next,
        with,
    }
}

fn flow_insert(doc: &Doc<'_>, node: &Node, token: &str) -> Result<Splice, Refusal> {
    let brackets = doc.text.get(node.start..node.end).unwrap_or_default();
    if !brackets.starts_with(['{', '[']) || brackets.len() < 2 {
        return Err(unsupported("a single pair in brackets cannot grow"));
    }
    let Some((first, end)) = last_child(node) else {
        if !brackets
            .get(1..brackets.len() - 1)
            .is_some_and(|t| t.trim().is_empty())
        {
            return Err(unsupported("a comment stands between the brackets"));
        }
        return Ok(Splice {
            range: node.start + 1..node.end - 1,
            with: token.to_owned(),
        });
    };
    let own_line = doc.prefix(first).trim().is_empty() && doc.line_start(first) > node.start;
    let alone = matches!(doc.rest_of_line(end).trim(), "" | ",");
    let with = match own_line && alone {
        true => format!(",{}{}{token}", doc.layout(first).eol, doc.prefix(first)),
        false => format!(", {token}"),
    };
    Ok(Splice {
        range: end..end,
        with,
    })
}

/// Start and end of the last entry or item.
fn last_child(node: &Node) -> Option<(usize, usize)> {
    match &node.kind {
        Kind::Map { entries, .. } => entries
            .last()
            .map(|e| (e.key.outer, e.value.end.max(e.key.end))),
        Kind::Seq { items, .. } => items.last().map(|i| (i.node.outer, i.node.end)),
        _ => None,
    }
}

/// Another key for the last node of a trail.
pub(super) fn rename(trail: &Trail<'_>, name: &str) -> Result<Splice, Refusal> {
    let [.., parent, node] = trail.nodes.as_slice() else {
        return Err(unsupported("the top of a document has no key"));
    };
    let entry = entry_of(parent, node).ok_or_else(|| unsupported("a list item has no key"))?;
    Ok(Splice {
        range: entry.key.start..entry.key.end,
        with: name.to_owned(),
    })
}

fn refuse_explicit(node: &Node) -> Result<(), Refusal> {
    match node.entries().iter().any(|e| e.explicit) {
        true => Err(unsupported("the mapping has keys written with ?")),
        false => Ok(()),
    }
}

/// Removes the last node of a trail with its key or dash.
pub(super) fn remove(doc: &Doc<'_>, trail: &Trail<'_>) -> Result<Splice, Refusal> {
    let [.., parent, node] = trail.nodes.as_slice() else {
        return Err(unsupported("a whole document is not removed"));
    };
    refuse_explicit(parent)?;
    let spans = spans(parent);
    let index =
        position(trail, parent, node).ok_or_else(|| unsupported("the entry was not found"))?;
    if parent.is_flow() {
        return Ok(flow_remove(parent, &spans, index));
    }
    if spans.len() == 1 {
        return only_entry(doc, trail);
    }
    let (start, end) = spans.get(index).copied().unwrap_or_default();
    if doc.prefix(start).trim_matches(' ').is_empty() {
        return Ok(remove_lines(doc, start, end));
    }
    let next = spans.get(index + 1).filter(|_| index == 0);
    let (next, _) = next.ok_or_else(|| unsupported("the entry does not start its line"))?;
    Ok(Splice {
        range: start..*next,
        with: String::new(),
    })
}

/// Start (of the key or dash) and end of each entry or item.
fn spans(parent: &Node) -> Vec<(usize, usize)> {
    match &parent.kind {
        Kind::Map { entries, .. } => entries
            .iter()
            .map(|e: &Entry| (e.key.outer, e.value.end.max(e.key.end)))
            .collect(),
        Kind::Seq { items, .. } => items
            .iter()
            .map(|i| (i.dash.unwrap_or(i.node.outer), i.node.end))
            .collect(),
        _ => Vec::new(),
    }
}

fn position(trail: &Trail<'_>, parent: &Node, node: &Node) -> Option<usize> {
    match trail.path.0.last()? {
        Seg::Index(index) => Some(*index),
        _ => {
            let entry = entry_of(parent, node)?;
            parent.entries().iter().position(|e| std::ptr::eq(e, entry))
        }
    }
}

fn flow_remove(parent: &Node, spans: &[(usize, usize)], index: usize) -> Splice {
    let (start, end) = spans.get(index).copied().unwrap_or_default();
    let before = index.checked_sub(1).and_then(|i| spans.get(i));
    let range = match (spans.get(index + 1), before) {
        (Some((next, _)), _) => start..*next,
        (None, Some((_, before))) => *before..end,
        (None, None) => parent.start + 1..parent.end - 1,
    };
    Splice {
        range,
        with: String::new(),
    }
}

/// The container keeps its place and becomes `{}` or `[]`.
fn only_entry(doc: &Doc<'_>, trail: &Trail<'_>) -> Result<Splice, Refusal> {
    let mut parent = trail.clone();
    parent.nodes.pop();
    parent.path.0.pop();
    let empty = match parent.node().kind {
        Kind::Map { .. } => Value::Object(serde_json::Map::new()),
        _ => Value::Array(Vec::new()),
    };
    set(doc, &parent, &empty)
}

fn remove_lines(doc: &Doc<'_>, start: usize, end: usize) -> Splice {
    let mut from = doc.line_start(start);
    let to = doc.next_line(end);
    if to == doc.text.len() && !doc.text.ends_with('\n') {
        let before = doc.text.get(..from).unwrap_or_default();
        let before = before.strip_suffix('\n').unwrap_or(before);
        from = before.strip_suffix('\r').unwrap_or(before).len();
    }
    Splice {
        range: from..to,
        with: String::new(),
    }
}
