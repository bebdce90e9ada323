//! One document as a tree of nodes with byte spans, built on the event parser.
//!
//! This is the only module that knows the event parser.

use std::collections::HashSet;
use std::ops::Range;

use granit_parser::{ErrorKind, Event, Parser, ScalarStyle, ScanError, Span, StructureStyle};

use super::node::{Anchor, Entry, Item, Kind, Node, Style};
use super::strip_bom;
use crate::code::{Code, Refusal};

const MAX_DEPTH: usize = 128;
const MAX_NODES: usize = 2_000_000;
const MAX_EVENTS: usize = 8_000_000;
const MAX_ANCHORS: usize = 100_000;
const MAX_COMMENTS_IN_A_ROW: usize = 1_000_000;

/// A document.
#[derive(Debug, Clone, PartialEq)]
pub struct Tree {
    /// The top node; an absent scalar in an empty document.
    pub root: Node,
    /// The comments, in order, each from its `#` to the end of its line.
    pub comments: Vec<Range<usize>>,
    /// A key that occurs twice in one mapping, and where it is the second time.
    pub duplicate: Option<(String, usize)>,
    /// How many aliases each anchor has, by its number.
    alias_counts: Vec<usize>,
}

impl Tree {
    /// Reads one slice.
    pub fn parse(slice: &str) -> Result<Self, Refusal> {
        Self::parse_at(slice, 1)
    }

    /// Reads one slice whose first line has this number in its file; messages then name lines of
    /// the file.
    pub fn parse_at(slice: &str, first_line: usize) -> Result<Self, Refusal> {
        if slice.len() > super::MAX_BYTES {
            return Err(too_large("the document is over 16 MB"));
        }
        let mut builder = Builder::new(slice);
        for event in parser(slice) {
            let (event, span) = event.map_err(|e| explain(slice, first_line, &e))?;
            builder.event(event, span)?;
        }
        Ok(builder.finish())
    }

    /// How many aliases mean this anchor.
    pub fn aliases_of(&self, anchor: &Anchor) -> usize {
        self.alias_counts.get(anchor.id).copied().unwrap_or(0)
    }
}

/// The top mapping of a slice, read only as far as `apiVersion`, `kind` and `metadata` go.
pub(super) fn head(slice: &str) -> Option<Node> {
    let mut builder = Builder::new(slice);
    for event in parser(slice) {
        let (event, span) = event.ok()?;
        builder.event(event, span).ok()?;
        if builder.identifying == 3 {
            break;
        }
    }
    Some(builder.finish().root)
}

type StrParser<'s> = Parser<'s, granit_parser::StrInput<'s>>;

fn parser(slice: &str) -> StrParser<'_> {
    Parser::new_from_str_with_options(
        slice,
        granit_parser::options! {
            emit_anchor_events: true,
            emit_comments: true,
            max_buffered_comment_events: MAX_COMMENTS_IN_A_ROW,
            emit_unresolved_aliases: false,
            flow_nesting_limit: MAX_DEPTH,
            block_nesting_limit: MAX_DEPTH,
        },
    )
}

fn too_large(what: &str) -> Refusal {
    Refusal::new(Code::InputTooLarge, what)
}

fn explain(slice: &str, first_line: usize, error: &ScanError) -> Refusal {
    if matches!(
        error.kind(),
        ErrorKind::RecursionLimitExceeded | ErrorKind::TooManyComments
    ) {
        return too_large(
            "the document nests deeper than 128 levels, or has a million comments in a row",
        );
    }
    let line = first_line + error.marker().line().saturating_sub(1);
    if slice.contains("{{") {
        return Refusal::new(
            Code::Templated,
            format!("line {line}: the text holds {{{{ }}}} and is not YAML before it is rendered"),
        );
    }
    let column = error.marker().col() + 1;
    Refusal::new(
        Code::NotYaml,
        format!("line {line}, column {column}: {}", error.info()),
    )
}

/// An open collection: the node so far, and what has been read of its next child.
struct Open {
    node: Node,
    bracketed: bool,
    key: Option<Node>,
    colon: Option<usize>,
    explicit: bool,
    dash: Option<usize>,
}

/// Makes nodes of events. The event parser gives no place for indicators, block headers and
/// absent values, so `cursor` follows the text: it is always behind the last token seen.
struct Builder<'s> {
    text: &'s str,
    cursor: usize,
    open: Vec<Open>,
    root: Option<Node>,
    waiting: Option<(Event<'s>, Span)>,
    comments: Vec<Range<usize>>,
    duplicate: Option<(String, usize)>,
    alias_counts: Vec<usize>,
    names: Vec<String>,
    documents: usize,
    nodes: usize,
    events: usize,
    identifying: usize,
}

impl<'s> Builder<'s> {
    fn new(text: &'s str) -> Self {
        Self {
            text,
            cursor: text.len() - strip_bom(text).len(),
            open: Vec::new(),
            root: None,
            waiting: None,
            comments: Vec::new(),
            duplicate: None,
            alias_counts: vec![0],
            names: vec![String::new()],
            documents: 0,
            nodes: 0,
            events: 0,
            identifying: 0,
        }
    }

    /// An anchor comes behind its node's event, so such a node waits for one event.
    fn event(&mut self, event: Event<'s>, span: Span) -> Result<(), Refusal> {
        self.events += 1;
        if self.events > MAX_EVENTS || self.nodes > MAX_NODES || self.names.len() > MAX_ANCHORS {
            return Err(too_large(
                "the document has over 2,000,000 nodes or 100,000 anchors",
            ));
        }
        if let Some((node, node_span)) = self.waiting.take() {
            let anchor = match event {
                Event::Anchor(id, ref name) => Some((self.define(id, name), bytes(&span))),
                _ => None,
            };
            return self.node(node, &node_span, anchor);
        }
        match event {
            Event::Comment(..) => self.comments.push(bytes(&span)),
            Event::DocumentStart(..) => self.document(&span)?,
            Event::SequenceEnd | Event::MappingEnd => self.close(&span),
            ref node if anchor_id(node) != 0 => self.waiting = Some((event, span)),
            ref node if node.is_node() => return self.node(event, &span, None),
            _ => {}
        }
        Ok(())
    }

    fn define(&mut self, id: usize, name: &str) -> Anchor {
        let name = name.to_owned();
        if id >= self.names.len() {
            self.names.resize(id + 1, String::new());
            self.alias_counts.resize(id + 1, 0);
        }
        if let Some(slot) = self.names.get_mut(id) {
            slot.clone_from(&name);
        }
        Anchor { name, id }
    }

    fn document(&mut self, span: &Span) -> Result<(), Refusal> {
        self.documents += 1;
        self.cursor = self.cursor.max(bytes(span).end);
        if self.documents > 1 {
            return Err(Refusal::new(
                Code::ReadersDisagree,
                "the text between two --- lines is read as more than one document",
            ));
        }
        Ok(())
    }

    fn node(
        &mut self,
        event: Event<'s>,
        span: &Span,
        anchor: Option<(Anchor, Range<usize>)>,
    ) -> Result<(), Refusal> {
        self.nodes += 1;
        self.indicators();
        let mut outer = usize::MAX;
        let properties = [
            span.tag_span().map(|s| bytes(&s)),
            anchor.as_ref().map(|(_, range)| range.clone()),
        ];
        for property in properties.into_iter().flatten() {
            outer = outer.min(property.start);
            self.cursor = self.cursor.max(property.end);
        }
        let mut node = Node {
            tag: tag_of(&event, span, self.text),
            anchor: anchor.map(|(anchor, _)| anchor),
            kind: Kind::Scalar {
                value: String::new(),
                style: Style::Plain,
            },
            outer,
            start: bytes(span).start,
            end: bytes(span).end,
        };
        match event {
            Event::SequenceStart(style, ..) => {
                let flow = style == StructureStyle::Flow;
                node.kind = Kind::Seq {
                    items: Vec::new(),
                    flow,
                };
                self.push(node, flow)
            }
            Event::MappingStart(style, ..) => {
                let flow = style == StructureStyle::Flow;
                node.kind = Kind::Map {
                    entries: Vec::new(),
                    flow,
                };
                self.push(node, flow)
            }
            Event::Alias(id) => {
                node.kind = Kind::Alias {
                    anchor: self.alias(id),
                };
                self.leaf(node);
                Ok(())
            }
            Event::Scalar(value, style, ..) => {
                self.scalar(&mut node, value.into_owned(), style);
                self.leaf(node);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Steps over what stands between the last token and the coming node.
    fn indicators(&mut self) {
        let Some(mut open) = self.open.pop() else {
            return;
        };
        match &open.node.kind {
            Kind::Seq { flow: false, .. } => open.dash = self.take(b'-'),
            Kind::Map { .. } if open.key.is_some() => open.colon = self.take(b':'),
            _ => {
                self.take(b',');
                open.explicit = self.take(b'?').is_some();
            }
        }
        self.open.push(open);
    }

    /// Takes one indicator if it is the next token; returns its place.
    fn take(&mut self, indicator: u8) -> Option<usize> {
        let at = skip_blank(self.text, self.cursor);
        (self.text.as_bytes().get(at) == Some(&indicator)).then(|| {
            self.cursor = at + 1;
            at
        })
    }

    fn alias(&mut self, id: usize) -> Anchor {
        if let Some(count) = self.alias_counts.get_mut(id) {
            *count += 1;
        }
        let name = self.names.get(id).cloned().unwrap_or_default();
        Anchor { name, id }
    }

    fn scalar(&mut self, node: &mut Node, mut value: String, style: ScalarStyle) {
        let style = match style {
            ScalarStyle::Plain => Style::Plain,
            ScalarStyle::SingleQuoted => Style::Single,
            ScalarStyle::DoubleQuoted => Style::Double,
            ScalarStyle::Literal => Style::Literal,
            ScalarStyle::Folded => Style::Folded,
        };
        if matches!(style, Style::Literal | Style::Folded) {
            let unfinished = node.end >= self.text.len() && !self.text.ends_with(['\n', '\r']);
            if unfinished && value.ends_with('\n') {
                // At the end of a file without a line break, only this parser adds one.
                value.pop();
            }
            node.start = skip_blank(self.text, self.cursor);
            node.end = block_end(self.text, node.start, node.end);
        } else if style == Style::Plain && node.start == node.end {
            value.clear();
            node.start = self.cursor;
            node.end = self.cursor;
        }
        node.kind = Kind::Scalar { value, style };
    }

    fn push(&mut self, mut node: Node, flow: bool) -> Result<(), Refusal> {
        if self.open.len() >= MAX_DEPTH {
            return Err(too_large("the document nests deeper than 128 levels"));
        }
        let bracketed = flow && node.end > node.start;
        if bracketed {
            self.cursor = node.end;
        } else {
            // The first child gives the start of a block collection and of `[a: b]`.
            node.start = usize::MAX;
            node.end = 0;
        }
        self.open.push(Open {
            node,
            bracketed,
            key: None,
            colon: None,
            explicit: false,
            dash: None,
        });
        Ok(())
    }

    fn leaf(&mut self, mut node: Node) {
        node.outer = node.outer.min(node.start);
        self.cursor = self.cursor.max(node.end);
        self.attach(node);
    }

    fn attach(&mut self, node: Node) {
        let Some(open) = self.open.last_mut() else {
            self.root = Some(node);
            return;
        };
        if !open.bracketed {
            let first = open.dash.unwrap_or(node.outer);
            open.node.start = open.node.start.min(first);
            open.node.end = open.node.end.max(node.end);
        }
        match (&mut open.node.kind, open.key.take()) {
            (Kind::Seq { items, .. }, _) => items.push(Item {
                node,
                dash: open.dash.take(),
            }),
            (Kind::Map { .. }, None) => open.key = Some(node),
            (Kind::Map { entries, .. }, Some(key)) => {
                entries.push(Entry {
                    key,
                    value: node,
                    colon: open.colon.take(),
                    explicit: std::mem::take(&mut open.explicit),
                });
                self.count_identifying();
            }
            _ => {}
        }
    }

    fn count_identifying(&mut self) {
        if let [root] = self.open.as_slice()
            && let Some(entry) = root.node.entries().last()
            && matches!(entry.key.text(), Some("apiVersion" | "kind" | "metadata"))
        {
            self.identifying += 1;
        }
    }

    fn close(&mut self, span: &Span) {
        let Some(mut open) = self.open.pop() else {
            return;
        };
        let closing = bytes(span);
        if open.bracketed {
            open.node.end = closing.end;
            self.cursor = self.cursor.max(closing.end);
        }
        open.node.start = open.node.start.min(open.node.end);
        open.node.outer = open.node.outer.min(open.node.start);
        self.note_duplicate(&open.node);
        self.attach(open.node);
    }

    fn note_duplicate(&mut self, map: &Node) {
        if self.duplicate.is_some() {
            return;
        }
        let mut seen = HashSet::new();
        for key in map.entries().iter().map(|e| &e.key) {
            let Some(text) = key.text() else { continue };
            if !seen.insert(text) {
                self.duplicate = Some((text.to_owned(), key.start));
                return;
            }
        }
    }

    fn finish(mut self) -> Tree {
        while let Some(mut open) = self.open.pop() {
            open.node.start = open.node.start.min(open.node.end);
            open.node.outer = open.node.outer.min(open.node.start);
            self.attach(open.node);
        }
        let nothing = Node {
            kind: Kind::Scalar {
                value: String::new(),
                style: Style::Plain,
            },
            anchor: None,
            tag: None,
            outer: self.cursor,
            start: self.cursor,
            end: self.cursor,
        };
        Tree {
            root: self.root.unwrap_or(nothing),
            comments: self.comments,
            duplicate: self.duplicate,
            alias_counts: self.alias_counts,
        }
    }
}

fn bytes(span: &Span) -> Range<usize> {
    span.byte_range().unwrap_or(0..0)
}

fn anchor_id(event: &Event<'_>) -> usize {
    match event {
        Event::Scalar(_, _, id, _)
        | Event::SequenceStart(_, id, _)
        | Event::MappingStart(_, id, _) => *id,
        _ => 0,
    }
}

fn tag_of(event: &Event<'_>, span: &Span, text: &str) -> Option<String> {
    let tag = event.tag()?;
    let written = span.tag_span().and_then(|s| text.get(bytes(&s)));
    Some(written.map_or_else(|| tag.to_string(), str::to_owned))
}

/// The first place from `at` that is neither white space nor in a comment.
pub(crate) fn skip_blank(text: &str, mut at: usize) -> usize {
    let bytes = text.as_bytes();
    loop {
        match bytes.get(at) {
            Some(b' ' | b'\t' | b'\r' | b'\n') => at += 1,
            Some(b'#') => {
                let rest = bytes.get(at..).unwrap_or_default();
                at += rest.iter().position(|b| *b == b'\n').unwrap_or(rest.len());
            }
            _ => return at,
        }
    }
}

/// Where a block scalar ends: without the blank lines behind it, unless its header keeps them.
fn block_end(text: &str, header: usize, parsed_end: usize) -> usize {
    let rest = text.get(header..).unwrap_or_default();
    let indicator = rest
        .find([' ', '\t', '\r', '\n', '#'])
        .unwrap_or(rest.len());
    let keep = rest.get(..indicator).is_some_and(|h| h.contains('+'));
    let body = header + rest.find('\n').map_or(rest.len(), |i| i + 1);
    let Some(content) = text.get(body..parsed_end.min(text.len())) else {
        return header + indicator;
    };
    if keep {
        return without_break(text, parsed_end.min(text.len()));
    }
    let indent = content
        .lines()
        .find(|l| !l.trim().is_empty())
        .map_or(usize::MAX, |l| l.len() - l.trim_start_matches(' ').len());
    let blank = |l: &str| {
        l.trim_matches([' ', '\t', '\r', '\n']).is_empty()
            && l.trim_end_matches(['\r', '\n']).len() <= indent
    };
    let trailing: usize = content
        .split_inclusive('\n')
        .rev()
        .take_while(|l| blank(l))
        .map(str::len)
        .sum();
    if trailing == content.len() {
        return header + indicator;
    }
    without_break(text, body + content.len() - trailing)
}

fn without_break(text: &str, end: usize) -> usize {
    let head = text.get(..end).unwrap_or(text);
    let head = head.strip_suffix('\n').unwrap_or(head);
    head.strip_suffix('\r').unwrap_or(head).len()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::path::FieldPath;

    /// What stands in the source at a path.
    fn raw<'s>(source: &'s str, path: &str) -> &'s str {
        let tree = Tree::parse(source).unwrap();
        let path: FieldPath = path.parse().unwrap();
        let node = tree.at(&path).unwrap();
        &source[node.start..node.end]
    }

    #[test]
    fn spans_cover_values_and_nothing_else() {
        let source = "a: 1 # c\nb: 'x' \nc: [1, {d: e}] # c\nf:\n- g\n- h: i\n  j: k\n\n# c\nl: two\n  words\n";
        assert_eq!(raw(source, "a"), "1");
        assert_eq!(raw(source, "b"), "'x'");
        assert_eq!(raw(source, "c"), "[1, {d: e}]");
        assert_eq!(raw(source, "c[1]"), "{d: e}");
        assert_eq!(raw(source, "c[1].d"), "e");
        assert_eq!(raw(source, "f"), "- g\n- h: i\n  j: k");
        assert_eq!(raw(source, "f[1]"), "h: i\n  j: k");
        assert_eq!(raw(source, "l"), "two\n  words");
    }

    #[test]
    fn block_scalars_span_from_their_header_to_their_last_line() {
        let source = "a: | # note\n  one\n\n  two  \n\n# c\nb: |+\n  x\n\nc:\n- >-\n  y\n- |\n";
        assert_eq!(raw(source, "a"), "| # note\n  one\n\n  two  ");
        assert_eq!(raw(source, "b"), "|+\n  x\n");
        assert_eq!(raw(source, "c[0]"), ">-\n  y");
        assert_eq!(raw(source, "c[1]"), "|");
        assert_eq!(raw("a: &x !!str |\n  b", "a"), "|\n  b");
    }

    #[test]
    fn a_block_scalar_that_ends_the_file_has_no_line_break() {
        let text = |source| {
            Tree::parse(source)
                .unwrap()
                .root
                .get("a")
                .unwrap()
                .text()
                .unwrap()
                .to_owned()
        };
        assert_eq!(text("a: |\n  b"), "b");
        assert_eq!(text("a: |\n  b\n"), "b\n");
    }

    #[test]
    fn absent_values_are_directly_behind_their_indicator() {
        let start = |source: &str, path: &str| {
            let path: FieldPath = path.parse().unwrap();
            let tree = Tree::parse(source).unwrap();
            assert!(tree.at(&path).unwrap().is_absent(), "{source} {path}");
            tree.at(&path).unwrap().start
        };
        assert_eq!(start("a: # c\nb: 1\n", "a"), 2);
        assert_eq!(start("a:\n- # c\n-\n- x\n", "a[0]"), 4);
        assert_eq!(start("a:\n- # c\n-\n- x\n", "a[1]"), 10);
        assert_eq!(start("- -\n  - b\n", "[0][0]"), 3);
        assert_eq!(start("a: &x\nb: 1\n", "a"), 5);
        assert_eq!(start("{a, b: }", "a"), 2);
        assert_eq!(start("{a, b: }", "b"), 6);
        assert_eq!(start("--- # c\n", ""), 3);
        assert_eq!(start("# c\n", ""), 0);
    }

    #[test]
    fn dashes_colons_and_question_marks_are_found() {
        let tree = Tree::parse("- - a\n  -   b\n-\n  c : d\n  ? e\n  : f\n").unwrap();
        let items = tree.root.items();
        let dashes: Vec<_> = items.iter().map(|i| i.dash.unwrap()).collect();
        assert_eq!(dashes, [0, 14]);
        let inner: Vec<_> = items[0]
            .node
            .items()
            .iter()
            .map(|i| i.dash.unwrap())
            .collect();
        assert_eq!(inner, [2, 8]);
        let entries = items[1].node.entries();
        assert_eq!(entries[0].colon, Some(20));
        assert!(!entries[0].explicit && entries[1].explicit);
    }

    #[test]
    fn anchors_know_their_aliases() {
        let tree = Tree::parse("a: &x 1\nb: &x 2\nc: *x\nd: [*x]\n").unwrap();
        let anchor = |key| tree.root.get(key).unwrap().anchor.clone().unwrap();
        assert_eq!(tree.aliases_of(&anchor("a")), 0);
        assert_eq!(tree.aliases_of(&anchor("b")), 2);
        let code = |path: &str| tree.at(&path.parse().unwrap()).unwrap_err().code;
        assert_eq!(code("b"), Code::AnchoredYaml);
        assert_eq!(code("c"), Code::AnchoredYaml);
        assert_eq!(Tree::parse("a: *x\n").unwrap_err().code, Code::NotYaml);
    }

    #[test]
    fn broken_text_is_refused_with_a_line() {
        let refusal = Tree::parse_at("a:\n\tb: 1\n", 10).unwrap_err();
        assert_eq!(refusal.code, Code::NotYaml);
        assert!(refusal.message.starts_with("line 11"), "{refusal}");
        let templated = Tree::parse("{{- if x }}\na: 1\n{{- end }}\n").unwrap_err();
        assert_eq!(templated.code, Code::Templated);
        let deep = "[".repeat(200) + &"]".repeat(200);
        assert_eq!(Tree::parse(&deep).unwrap_err().code, Code::InputTooLarge);
        let mixed =
            "a:\n".to_owned() + &(1..200).map(|i| " ".repeat(i) + "a:\n").collect::<String>();
        assert_eq!(Tree::parse(&mixed).unwrap_err().code, Code::InputTooLarge);
    }

    #[test]
    fn duplicate_keys_are_noted() {
        assert_eq!(
            Tree::parse("a: 1\nb: 2\na: 3\n").unwrap().duplicate,
            Some(("a".into(), 10))
        );
        assert_eq!(Tree::parse("a: {b: 1}\nb: 2\n").unwrap().duplicate, None);
    }
}
