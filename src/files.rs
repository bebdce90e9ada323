//! The files of one commit, or of a plain directory, in memory. Pure.

use std::collections::BTreeMap;

/// Files by path relative to the repository's root, with `/`. Only regular files; nothing outside
/// the tree; nothing over the size limit.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Files {
    /// Path to content.
    pub by_path: BTreeMap<String, Vec<u8>>,
}

impl Files {
    /// The content of one file.
    pub fn get(&self, path: &str) -> Option<&[u8]> {
        self.by_path.get(path).map(Vec::as_slice)
    }

    /// A copy with some files replaced.
    #[must_use]
    pub fn with(&self, changed: &BTreeMap<String, Vec<u8>>) -> Self {
        let mut by_path = self.by_path.clone();
        by_path.extend(changed.iter().map(|(k, v)| (k.clone(), v.clone())));
        Self { by_path }
    }
}
