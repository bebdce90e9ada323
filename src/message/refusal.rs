//! The text of a refusal. Pure.

use std::fmt::Write as _;

use super::voice::Voice;
use super::{Text, blocked_list, evidence_details, footer, redacted, section};
use crate::code::Refusal;
use crate::evidence::Evidence;
use crate::finding::Finding;
use crate::lock::Blocked;

/// The text of a refusal.
pub fn refusal(
    finding: &Finding,
    evidence: &Evidence,
    refusal: &Refusal,
    blocked: &[Blocked],
    fingerprint: &str,
) -> Text {
    let voice = Voice::of(evidence);
    let mut body = String::new();
    let _ = writeln!(body, "**{}**", voice.prose(&finding.summary));
    section(&mut body, "Why nothing was changed");
    let _ = writeln!(
        body,
        "{}: {}\n",
        voice.code(refusal.code.as_str()),
        refusal.code.sentence()
    );
    let _ = writeln!(body, "{}", voice.prose(&refusal.message));
    blocked_list(&mut body, blocked, voice);
    section(&mut body, "What to do next");
    let _ = writeln!(body, "{}", refusal.code.next_step());
    evidence_details(&mut body, evidence, voice);
    footer(&mut body, None, fingerprint, None, voice);
    redacted(evidence, &finding.summary, &body)
}
