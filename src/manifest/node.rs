//! The nodes of a document, with their places in its text.

/// How a scalar is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// Without quotes.
    Plain,
    /// In single quotes.
    Single,
    /// In double quotes.
    Double,
    /// A `|` block.
    Literal,
    /// A `>` block.
    Folded,
}

/// What a node is.
#[derive(Debug, Clone, PartialEq)]
pub enum Kind {
    /// A scalar: its text after escapes and folding, and how it is written. A place without a
    /// value is a plain scalar with an empty text and an empty span.
    Scalar {
        /// The text.
        value: String,
        /// The notation.
        style: Style,
    },
    /// A mapping, in the order of the file.
    Map {
        /// Its keys and values.
        entries: Vec<Entry>,
        /// Whether it is written with braces.
        flow: bool,
    },
    /// A list.
    Seq {
        /// Its items.
        items: Vec<Item>,
        /// Whether it is written with brackets.
        flow: bool,
    },
    /// `*name`.
    Alias {
        /// The anchor that it means.
        anchor: Anchor,
    },
}

/// A named anchor. Two definitions of one name have different numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Anchor {
    /// The name without `&`.
    pub name: String,
    /// Which definition, from 1 in the order of the document.
    pub id: usize,
}

/// One key with its value.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// The key.
    pub key: Node,
    /// The value.
    pub value: Node,
    /// Where the `:` is; none in `{a}` and behind a lonely `? a`.
    pub colon: Option<usize>,
    /// Whether the key is written with `?`.
    pub explicit: bool,
}

/// One list item.
#[derive(Debug, Clone, PartialEq)]
pub struct Item {
    /// The item.
    pub node: Node,
    /// Where its `-` is; none in brackets.
    pub dash: Option<usize>,
}

/// A node. Offsets are bytes in the slice.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// What it is.
    pub kind: Kind,
    /// `&name` before it.
    pub anchor: Option<Anchor>,
    /// Its explicit tag, as written.
    pub tag: Option<String>,
    /// First byte, of the anchor or tag if there is one.
    pub outer: usize,
    /// First byte of the value: the block header for a literal, the first dash or key for a block
    /// collection.
    pub start: usize,
    /// The byte behind the last one. Never includes trailing comments or blank lines.
    pub end: usize,
}

impl Node {
    /// The text of a scalar.
    pub fn text(&self) -> Option<&str> {
        match &self.kind {
            Kind::Scalar { value, .. } => Some(value),
            _ => None,
        }
    }

    /// The value of a key; none when this is no mapping.
    pub fn get(&self, key: &str) -> Option<&Self> {
        self.entry(key).map(|e| &e.value)
    }

    /// The entry of a key.
    pub fn entry(&self, key: &str) -> Option<&Entry> {
        let mut entries = self.entries().iter();
        entries.find(|e| e.key.text() == Some(key))
    }

    /// The entries; empty when this is no mapping.
    pub fn entries(&self) -> &[Entry] {
        match &self.kind {
            Kind::Map { entries, .. } => entries,
            _ => &[],
        }
    }

    /// The items; empty when this is no list.
    pub fn items(&self) -> &[Item] {
        match &self.kind {
            Kind::Seq { items, .. } => items,
            _ => &[],
        }
    }

    /// Whether there is no text at all where a value could be.
    pub fn is_absent(&self) -> bool {
        self.start == self.end && self.style() == Some(Style::Plain)
    }

    /// The notation of a scalar.
    pub fn style(&self) -> Option<Style> {
        match self.kind {
            Kind::Scalar { style, .. } => Some(style),
            _ => None,
        }
    }

    /// Whether this is a collection in braces or brackets.
    pub fn is_flow(&self) -> bool {
        matches!(
            self.kind,
            Kind::Map { flow: true, .. } | Kind::Seq { flow: true, .. }
        )
    }

    /// The nodes directly below, keys included.
    pub fn children(&self) -> Vec<&Self> {
        match &self.kind {
            Kind::Map { entries, .. } => entries.iter().flat_map(|e| [&e.key, &e.value]).collect(),
            Kind::Seq { items, .. } => items.iter().map(|i| &i.node).collect(),
            _ => Vec::new(),
        }
    }

    /// Calls `see` for this node and all below it.
    pub fn visit<'n>(&'n self, see: &mut impl FnMut(&'n Self)) {
        see(self);
        for child in self.children() {
            child.visit(see);
        }
    }
}
