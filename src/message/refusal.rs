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
    section(&mut body, "Why nothing was changed");
    let _ = writeln!(
        body,
        "{}: {}",
        voice.code(refusal.code.as_str()),
        refusal.code.sentence()
    );
    let news = news(finding, refusal);
    if !news.is_empty() {
        let _ = writeln!(body, "\n{}", voice.prose(&news));
    }
    blocked_list(&mut body, &untold(blocked, &refusal.message), voice);
    section(&mut body, "What to do next");
    let _ = writeln!(body, "{}", refusal.code.next_step());
    evidence_details(&mut body, evidence, voice);
    footer(&mut body, None, fingerprint, None, voice);
    redacted(evidence, &finding.summary, body.trim_start())
}

/// The message without what the title says already.
fn news(finding: &Finding, refusal: &Refusal) -> String {
    let message = refusal.message.as_str();
    let Some(rest) = message.strip_prefix(finding.summary.as_str()) else {
        return message.to_owned();
    };
    let rest = rest.trim_start_matches([';', ':', ',', '.', ' ']);
    let mut letters = rest.chars();
    let first = letters.next().into_iter().flat_map(char::to_uppercase);
    first.chain(letters).collect()
}

/// What is blocked, without reasons that were told above.
fn untold(blocked: &[Blocked], told: &str) -> Vec<Blocked> {
    let once = |b: &Blocked| Blocked {
        reason: match told.contains(&b.reason) {
            true => String::new(),
            false => b.reason.clone(),
        },
        ..b.clone()
    };
    blocked.iter().map(once).collect()
}
