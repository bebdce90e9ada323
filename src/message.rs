//! Every text that people read: pull requests, questions, refusals, commits. Pure.
//!
//! Foreign text (logs, events, names, model prose) is data: it is shown in code spans, code
//! blocks, or through [`prose`], which leaves no mention, link, image, HTML or closing keyword alive.

use std::fmt::Write as _;

use crate::code::Code;
use crate::evidence::Evidence;
use crate::lock::Blocked;
use crate::propose::{Claim, Source};

mod after;
pub mod answer;
pub mod clusters;
pub mod commit;
pub mod forge;
mod invariants;
mod markdown;
pub mod onboarding;
mod plain;
mod pull_request;
mod question;
mod refusal;
pub mod revert;
pub mod rollout;
mod voice;

pub use commit::commit;
pub use markdown::{MAX_BODY, clean, code, prose};
pub(crate) use markdown::{excerpt, fenced, row};
pub use pull_request::{PullRequestParts, checks, pull_request};
pub use question::question;
pub use refusal::refusal;

use markdown::{MAX_TEXT, cut_closed};
use plain::title;
use voice::Voice;

/// What a pull request would say and be called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Text {
    /// One line.
    pub title: String,
    /// Markdown.
    pub body: String,
}

/// The one boundary that every text for people passes: no credential, one line of title, GitHub's limit.
fn redacted(evidence: &Evidence, heading: &str, body: &str) -> Text {
    let redactor = evidence.redactor();
    Text {
        title: title(&redactor.text(heading)),
        body: cut_closed(&redactor.text(body), MAX_TEXT),
    }
}

fn section(body: &mut String, heading: &str) {
    let _ = writeln!(body, "\n### {heading}\n");
}

/// The statements of a diagnosis, with what they cite.
fn claims<'c>(body: &mut String, claims: impl Iterator<Item = &'c Claim>, voice: Voice<'_>) {
    for claim in claims.take(12) {
        let cites = pull_request::cites(claim, voice);
        let _ = writeln!(body, "- {}{cites}", voice.brief(&claim.text, 600));
    }
}

fn blocked_list(body: &mut String, blocked: &[Blocked], voice: Voice<'_>) {
    if blocked.is_empty() {
        return;
    }
    section(body, "What was wanted and is blocked");
    for b in blocked.iter().take(10) {
        let _ = write!(
            body,
            "- 🚫 {} at {}: wanted {}",
            voice.code(b.code.as_str()),
            voice.code(&b.path),
            voice.code(&b.wanted)
        );
        if !b.reason.is_empty() {
            let _ = write!(body, ": {}", voice.brief(&b.reason, 500));
        }
        body.push('\n');
    }
}

fn evidence_details(body: &mut String, evidence: &Evidence, voice: Voice<'_>) {
    let text = evidence.to_text();
    if text.is_empty() {
        return;
    }
    let _ = writeln!(
        body,
        "\n<details><summary>Evidence (redacted)</summary>\n\n{}\n\n</details>",
        voice.block("text", &text, 18_000)
    );
}

/// Who made it, and from what.
fn footer(
    body: &mut String,
    source: Option<&Source>,
    fingerprint: &str,
    base: Option<&str>,
    voice: Voice<'_>,
) {
    let who = match source {
        Some(Source::Playbook(name)) => format!("playbook {} · ", voice.code(name)),
        Some(Source::Model(name)) => format!(
            "model {}, prompt {} · ",
            voice.code(name),
            code(&crate::propose::prompt::version())
        ),
        Some(Source::Oracle) => "oracle · ".to_owned(),
        Some(Source::Person) => "a person's value · ".to_owned(),
        None => String::new(),
    };
    let base = base.map_or_else(String::new, |b| {
        let short: String = b.chars().take(12).collect();
        format!(" · base {}", code(&short))
    });
    let version = env!("CARGO_PKG_VERSION");
    let _ = writeln!(
        body,
        "\nkubemend {version} · {who}finding {}{base}",
        code(fingerprint)
    );
}

/// `explain CODE`.
pub fn explain(code: Code) -> String {
    format!(
        "{code}\n  {}\n  Next: {}\n",
        code.sentence(),
        code.next_step()
    )
}

#[cfg(test)]
mod tests;
