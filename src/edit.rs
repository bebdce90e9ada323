//! edit: format-preserving changes of YAML files, as byte splices with a proof. Pure.

use serde_json::Value;

use crate::code::Refusal;
use crate::path::FieldPath;
use crate::propose::Op;

mod doc;
mod emit;
mod engine;
mod guard;
mod literal;
mod model;
pub mod proof;
#[cfg(test)]
mod properties;
mod region;
mod second;
mod splice;
#[cfg(test)]
mod tests;

/// One edit of one document of a file.
#[derive(Debug, Clone, PartialEq)]
pub struct FileEdit {
    /// The document, from 0, as [`crate::manifest::split`] counts.
    pub document: usize,
    /// The place in the document. For [`Op::Add`] the last segment is the new key, or, in a list,
    /// the index of the new item, which is the list's length.
    pub path: FieldPath,
    /// What to do.
    pub op: Op,
    /// The value that must be there before a set or remove; another one is `StaleTarget`.
    pub expected: Option<Value>,
    /// When the place is a text that holds YAML itself (an inline patch): the edit inside that text.
    /// Then `op` is ignored.
    pub inner: Option<Box<Self>>,
}

/// One changed path, for people and for the JSON output.
#[derive(Debug, Clone, PartialEq)]
pub struct Changed {
    /// The document in the file.
    pub document: usize,
    /// The path in the document.
    pub path: FieldPath,
    /// The value before; none for an addition.
    pub old: Option<Value>,
    /// The value after; none for a removal.
    pub new: Option<Value>,
    /// Line in the old file, from 1.
    pub line: usize,
}

/// A proven edit of one file.
#[derive(Debug, Clone, PartialEq)]
pub struct Edited {
    /// The whole new file.
    pub bytes: Vec<u8>,
    /// What changed.
    pub changed: Vec<Changed>,
}

/// Applies edits to one file, all or nothing, and proves that exactly they happened.
///
/// All paths and indexes mean the file as it is before the edits. A set of the value that is there
/// already leaves the bytes as they are and is not among the changes.
pub fn apply(source: &[u8], edits: &[FileEdit]) -> Result<Edited, Refusal> {
    let edited = unproven(source, edits)?;
    proof::check(source, edits, &edited.bytes)?;
    Ok(edited)
}

/// The engine without its proof, to measure it and to show that the proof is needed.
#[doc(hidden)]
pub fn unproven(source: &[u8], edits: &[FileEdit]) -> Result<Edited, Refusal> {
    let text = guard::text(source)?;
    let (text, changed) = engine::run(text, edits, 0)?;
    Ok(Edited {
        bytes: text.into_bytes(),
        changed,
    })
}
