//! The text of a question. Pure.

use std::fmt::Write as _;

use super::voice::Voice;
use super::{Text, claims, evidence_details, footer, redacted, section};
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
    let voice = Voice::of(evidence);
    let mut body = String::new();
    let _ = writeln!(body, "**{}**", voice.prose(&finding.summary));
    section(&mut body, "What is known");
    claims(&mut body, &question.diagnosis, voice);
    section(&mut body, "The question");
    let _ = writeln!(
        body,
        "{} ({}: {})\n",
        voice.prose(&question.title),
        voice.code(question.code.as_str()),
        question.code.sentence()
    );
    for (i, option) in question.options.iter().enumerate() {
        let _ = writeln!(body, "{}. {}", i + 1, voice.prose(&option.title));
        if let Some(Some(patch)) = patches.get(i) {
            let _ = writeln!(body, "\n{}\n", voice.block("diff", patch, 8_000));
        }
    }
    let _ = writeln!(
        body,
        "\nNothing was changed. Answer by making one of these changes, or by a change of your own."
    );
    evidence_details(&mut body, evidence, voice);
    footer(&mut body, None, fingerprint, None, voice);
    redacted(evidence, &question.title, &body)
}
