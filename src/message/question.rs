//! The text of a question. Pure.

use std::fmt::Write as _;

use super::pull_request::Told;
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
    let mut told = Told::default();
    told.is_new(&finding.summary);
    let mut body = format!("**{}**\n", voice.prose(&finding.summary));
    section(&mut body, "What is known");
    let new = question.diagnosis.iter().filter(|c| told.is_new(&c.text));
    claims(&mut body, new, voice);
    section(&mut body, "The question");
    let _ = writeln!(
        body,
        "**{}**\n\n{}: {}\n",
        voice.brief(&question.title, 500),
        voice.code(question.code.as_str()),
        question.code.sentence()
    );
    options(&mut body, question, patches, voice);
    let _ = writeln!(
        body,
        "Nothing was changed. Answer by making one of these changes, or by a change of your own."
    );
    evidence_details(&mut body, evidence, voice);
    footer(&mut body, None, fingerprint, None, voice);
    redacted(evidence, &question.title, &body)
}

/// The most options that are shown.
const MAX_OPTIONS: usize = 20;
/// The most bytes of all options' diffs.
const MAX_DIFFS: usize = 24_000;

fn options(body: &mut String, question: &Question, patches: &[Option<String>], voice: Voice<'_>) {
    let proven = patches.iter().flatten().count().max(1);
    let shown = question.options.iter().take(MAX_OPTIONS);
    for (i, option) in shown.enumerate() {
        let patch = patches.get(i).and_then(Option::as_ref);
        let mark = match patch {
            Some(_) => " — ✅ proven change",
            None => "",
        };
        let _ = writeln!(
            body,
            "{}. {}{mark}\n",
            i + 1,
            voice.brief(&option.title, 500)
        );
        if let Some(patch) = patch {
            // moved in: the number stays the item's
            let block = voice.block("diff", patch, MAX_DIFFS / proven);
            let indent = " ".repeat(format!("{}. ", i + 1).len());
            let moved: String = block.lines().map(|l| format!("{indent}{l}\n")).collect();
            let _ = writeln!(body, "{moved}");
        }
    }
}
