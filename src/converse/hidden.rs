//! Reading and changing the hidden state inside bodies.

use crate::forge::marker::{self, Key, Marker};

/// The marker of a body, where it can be read and its signature does not speak against it.
pub(super) fn read(body: &str, key: Option<&Key>) -> Option<Marker> {
    marker::read(body, key).marker().cloned()
}

/// A text with this marker and no other.
pub(super) fn with(body: &str, marker: &Marker, key: Option<&Key>) -> String {
    format!("{}\n\n{}", marker::strip(body), marker::write(marker, key))
}
