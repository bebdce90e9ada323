//! Foreign text on its way into Markdown: redacted first, neutralised second. Pure.

use serde_json::Value;

use super::markdown;
use crate::evidence::Evidence;
use crate::evidence::redact::Redactor;
use crate::lock::short;

/// Speaks with the redaction of one case. A placeholder that came later would stand in open Markdown.
#[derive(Clone, Copy)]
pub(super) struct Voice<'a> {
    redactor: &'a Redactor,
}

impl<'a> Voice<'a> {
    pub(super) fn of(evidence: &'a Evidence) -> Self {
        Self {
            redactor: evidence.redactor(),
        }
    }

    /// A sentence.
    pub(super) fn prose(self, text: &str) -> String {
        markdown::prose(&self.redactor.text(text))
    }

    /// A sentence of at most so many characters.
    pub(super) fn brief(self, text: &str, most: usize) -> String {
        markdown::brief(&self.redactor.text(text), most)
    }

    /// A code span.
    pub(super) fn code(self, text: &str) -> String {
        markdown::code(&self.redactor.text(text))
    }

    /// A value, or that there is none.
    pub(super) fn value(self, value: Option<&Value>) -> String {
        value.map_or_else(|| "(absent)".to_owned(), |v| self.code(&short(v)))
    }

    /// A code block of at most so many bytes.
    pub(super) fn block(self, language: &str, text: &str, most: usize) -> String {
        markdown::fenced(language, &self.redactor.text(text), most)
    }
}
