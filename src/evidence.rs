//! gather: everything that is known around a finding, bounded, ordered and citable. Pure.

use sha2::{Digest, Sha256};

use crate::case::Case;

/// One citable piece of evidence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// `E1`, `E2`, …
    pub id: String,
    /// What it is.
    pub title: String,
    /// The text, redacted and capped.
    pub text: String,
}

/// Everything that is known around a finding.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Evidence {
    /// The pieces, in order.
    pub items: Vec<Item>,
}

impl Evidence {
    /// SHA-256 over all items, in hex.
    pub fn digest(&self) -> String {
        let hash = Sha256::digest(self.to_text().as_bytes());
        hash.iter().map(|b| format!("{b:02x}")).collect()
    }

    /// All items as plain text.
    pub fn to_text(&self) -> String {
        self.items
            .iter()
            .map(|i| format!("{} {}\n{}\n\n", i.id, i.title, i.text))
            .collect()
    }
}

/// Gathers the evidence for a case.
pub fn gather(case: &Case<'_>) -> Evidence {
    let text = format!("{}\n{}", case.finding.reason, case.finding.message);
    Evidence {
        items: vec![Item {
            id: "E1".to_owned(),
            title: case.finding.summary.clone(),
            text,
        }],
    }
}
