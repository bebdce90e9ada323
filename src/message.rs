//! Every text that people read: pull requests, questions, refusals, commits. Pure.
//!
//! Foreign text (logs, events, names, model prose) is data: it is shown in code spans, code
//! blocks, or through [`prose`], which leaves no mention, link, image, HTML or closing keyword alive.

use std::fmt::Write as _;

use crate::code::Code;
use crate::evidence::Evidence;
use crate::lock::Blocked;
use crate::propose::{Claim, Source};

pub mod commit;
pub mod forge;
mod markdown;
mod plain;
mod pull_request;
mod question;
mod refusal;

pub use commit::commit;
pub use markdown::{MAX_BODY, clean, code, prose};
pub use pull_request::{PullRequestParts, pull_request};
pub use question::question;
pub use refusal::refusal;

use markdown::{cut_closed, fenced};
use plain::title;

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
        body: cut_closed(&redactor.text(body), MAX_BODY),
    }
}

fn section(body: &mut String, heading: &str) {
    let _ = writeln!(body, "\n### {heading}\n");
}

fn claims(body: &mut String, claims: &[Claim]) {
    for claim in claims {
        let cites = if claim.cites.is_empty() {
            String::new()
        } else {
            format!(" ({})", claim.cites.join(", "))
        };
        let _ = writeln!(body, "- {}{}", prose(&claim.text), prose(&cites));
    }
}

fn blocked_list(body: &mut String, blocked: &[Blocked]) {
    if blocked.is_empty() {
        return;
    }
    section(body, "Blocked");
    for b in blocked {
        let _ = writeln!(
            body,
            "- {} at {}: wanted {}: {}",
            code(b.code.as_str()),
            code(&b.path),
            code(&b.wanted),
            prose(&b.reason)
        );
    }
}

fn evidence_details(body: &mut String, evidence: &Evidence) {
    let text = evidence.to_text();
    if text.is_empty() {
        return;
    }
    let _ = writeln!(
        body,
        "\n<details><summary>Evidence</summary>\n\n{}\n\n</details>",
        fenced("text", &text, 24_000)
    );
}

fn footer(body: &mut String, source: Option<&Source>, fingerprint: &str, base: Option<&str>) {
    let who = match source {
        Some(Source::Playbook(name)) => format!("playbook {name} · "),
        Some(Source::Model(name)) => format!("model {} · ", code(name)),
        Some(Source::Oracle) => "oracle · ".to_owned(),
        Some(Source::Person) => "a person's value · ".to_owned(),
        None => String::new(),
    };
    let base = base.map_or_else(String::new, |b| {
        format!(" · base {}", b.chars().take(12).collect::<String>())
    });
    let version = env!("CARGO_PKG_VERSION");
    let _ = writeln!(body, "\nkubemend {version} · {who}{fingerprint}{base}");
}

/// `explain CODE`.
pub fn explain(code: Code) -> String {
    format!(
        "{code}\n  {}\n  Next: {}\n",
        code.sentence(),
        code.next_step()
    )
}
