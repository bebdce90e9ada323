//! The text of a question. Pure.

use std::fmt::Write as _;

use super::markdown::fenced;
use super::{Text, claims, code, evidence_details, footer, prose, redacted, section};
use crate::evidence::Evidence;
use crate::finding::Finding;
use crate::propose::Question;

/// The text of a question. `patches` holds each option's proven diff, where there is one.
pub fn question(
    finding: &Finding,
    evidence: &Evidence,
    question: &Question,
    patches: &[Option<String>],
    fingerprint: &str,
) -> Text {
    let mut body = String::new();
    let _ = writeln!(body, "**{}**", prose(&finding.summary));
    section(&mut body, "What is known");
    claims(&mut body, &question.diagnosis);
    section(&mut body, "The question");
    let _ = writeln!(
        body,
        "{} ({}: {})\n",
        prose(&question.title),
        code(question.code.as_str()),
        question.code.sentence()
    );
    for (i, option) in question.options.iter().enumerate() {
        let _ = writeln!(body, "{}. {}", i + 1, prose(&option.title));
        if let Some(Some(patch)) = patches.get(i) {
            let _ = writeln!(body, "\n{}\n", fenced("diff", patch, 8_000));
        }
    }
    let _ = writeln!(
        body,
        "\nNothing was changed. Answer by making one of these changes, or by a change of your own."
    );
    evidence_details(&mut body, evidence);
    footer(&mut body, None, fingerprint, None);
    redacted(evidence, &question.title, &body)
}
