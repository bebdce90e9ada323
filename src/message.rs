//! Every text that people read: pull requests, questions, refusals, commits. Pure.
//!
//! Foreign text (logs, events, names, model prose) is data: it is shown in code spans, code
//! blocks, or through [`prose`], which leaves no mention, link, image, HTML or closing keyword alive.

use std::fmt::Write as _;

use crate::code::{Code, Refusal};
use crate::evidence::Evidence;
use crate::finding::Finding;
use crate::locate::{Check, Site, Status};
use crate::lock::{Blocked, Plan, short};
use crate::propose::{Claim, Proposal, Question, Source};

/// GitHub's limit for a body, in characters.
pub const MAX_BODY: usize = 65_536;

/// What a pull request would say and be called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Text {
    /// One line.
    pub title: String,
    /// Markdown.
    pub body: String,
}

/// Everything that a pull request's text is made of.
#[derive(Debug)]
pub struct PullRequestParts<'a> {
    /// What is wrong.
    pub finding: &'a Finding,
    /// The evidence.
    pub evidence: &'a Evidence,
    /// Title, diagnosis, reason.
    pub proposal: &'a Proposal,
    /// The locked changes.
    pub plan: &'a Plan,
    /// Where they are, one place a change.
    pub sites: &'a [Site],
    /// What was proven.
    pub checks: &'a [Check],
    /// The unified diff.
    pub patch: &'a str,
    /// The identity of the finding.
    pub fingerprint: &'a str,
    /// The commit that the change is based on.
    pub base: Option<&'a str>,
}

/// The text of a pull request.
pub fn pull_request(parts: &PullRequestParts<'_>) -> Text {
    let PullRequestParts {
        finding,
        evidence,
        proposal,
        plan,
        sites,
        checks,
        patch,
        fingerprint,
        base,
    } = parts;
    let mut body = String::new();
    let _ = writeln!(body, "**{}**", prose(&finding.summary));
    confirmations(&mut body, plan);
    section(&mut body, "What is broken");
    claims(&mut body, &proposal.diagnosis);
    section(&mut body, "What changes");
    changes(&mut body, plan, sites);
    let _ = writeln!(body, "\n{}", fenced("diff", patch, 20_000));
    section(&mut body, "Why this fixes it");
    let _ = writeln!(body, "{}", prose(&proposal.reason));
    after_merge(&mut body, proposal);
    section(&mut body, "What was checked");
    check_table(&mut body, checks);
    blocked_list(&mut body, plan.blocked());
    section(&mut body, "Roll back");
    let files: std::collections::BTreeSet<String> = sites.iter().map(|s| code(&s.file)).collect();
    let files: Vec<String> = files.into_iter().collect();
    let _ = writeln!(
        body,
        "Revert the merge commit; the change touches {} and nothing else.",
        files.join(", ")
    );
    evidence_details(&mut body, evidence);
    footer(&mut body, Some(&proposal.source), fingerprint, *base);
    redacted(evidence, &proposal.title, &body)
}

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

/// The text of a refusal.
pub fn refusal(
    finding: &Finding,
    evidence: &Evidence,
    refusal: &Refusal,
    blocked: &[Blocked],
    fingerprint: &str,
) -> Text {
    let mut body = String::new();
    let _ = writeln!(body, "**{}**", prose(&finding.summary));
    section(&mut body, "Why nothing was changed");
    let _ = writeln!(
        body,
        "{}: {}\n",
        code(refusal.code.as_str()),
        refusal.code.sentence()
    );
    let _ = writeln!(body, "{}", prose(&refusal.message));
    blocked_list(&mut body, blocked);
    section(&mut body, "What to do next");
    let _ = writeln!(body, "{}", refusal.code.next_step());
    evidence_details(&mut body, evidence);
    footer(&mut body, None, fingerprint, None);
    redacted(evidence, &finding.summary, &body)
}

/// The commit message of a fix, with machine-readable trailers.
pub fn commit(
    title_text: &str,
    proposal: &Proposal,
    finding: &Finding,
    fingerprint: &str,
    evidence: &Evidence,
) -> String {
    let redact = |text: &str| evidence.redactor().text(text).into_string();
    let mut out = format!("fix(k8s): {}\n\n", redact(&title(title_text)));
    for line in wrap(&redact(&inert(&proposal.reason)), 72) {
        let _ = writeln!(out, "{line}");
    }
    let object = &finding.object;
    let namespace = object.namespace.as_deref().unwrap_or("-");
    let _ = writeln!(out, "\nKubemend-Fingerprint: {fingerprint}");
    let _ = writeln!(
        out,
        "Kubemend-Target: {}/{namespace}/{}",
        one_line(&object.kind),
        one_line(&object.name)
    );
    let _ = writeln!(out, "Kubemend-Evidence: sha256:{}", evidence.digest());
    out
}

/// The one boundary that every text for people passes: no credential, one line of title, GitHub's limit.
fn redacted(evidence: &Evidence, heading: &str, body: &str) -> Text {
    let redactor = evidence.redactor();
    Text {
        title: title(&redactor.text(heading)),
        body: budget(redactor.text(body).into_string()),
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

fn confirmations(body: &mut String, plan: &Plan) {
    if plan.confirmations().is_empty() {
        return;
    }
    let _ = writeln!(body, "\n> Needs a person's confirmation before merging:");
    for reason in plan.confirmations() {
        let _ = writeln!(body, "> - {}", prose(reason));
    }
}

fn changes(body: &mut String, plan: &Plan, sites: &[Site]) {
    let _ = writeln!(
        body,
        "| place | object | field | before | after | from |\n|---|---|---|---|---|---|"
    );
    for (change, site) in plan.changes().iter().zip(sites) {
        let value = |v: &Option<serde_json::Value>| {
            v.as_ref()
                .map_or_else(|| "(absent)".to_owned(), |v| code(&short(v)))
        };
        let cells = [
            code(&format!("{}:{}", site.file, site.line)),
            code(&change.edit.object.to_string()),
            code(&change.edit.path.to_string()),
            value(&change.before),
            value(&change.after),
            prose(&change.edit.basis),
        ];
        let cells: Vec<String> = cells.iter().map(|c| cell(c)).collect();
        let _ = writeln!(body, "| {} |", cells.join(" | "));
    }
}

fn after_merge(body: &mut String, proposal: &Proposal) {
    if proposal.after_merge.is_empty() {
        return;
    }
    section(body, "After the merge");
    for step in &proposal.after_merge {
        let _ = writeln!(body, "- {}", prose(step));
    }
}

fn check_table(body: &mut String, checks: &[Check]) {
    let _ = writeln!(body, "| check | result | detail |\n|---|---|---|");
    for check in checks {
        let status = match check.status {
            Status::Pass => "pass",
            Status::Fail => "FAIL",
            Status::Skipped => "skipped",
        };
        let _ = writeln!(
            body,
            "| {} | {status} | {} |",
            cell(&check.name),
            cell(&prose(&check.detail))
        );
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

/// A title: one line, no markup, at most 200 characters.
fn title(text: &str) -> String {
    let text = inert(text);
    if text.chars().count() <= 200 {
        text
    } else {
        text.chars().take(197).chain("...".chars()).collect()
    }
}

/// Text for places without Markdown (titles, commits): nothing in it mentions, links, closes,
/// commands, skips a build or signs for somebody.
fn inert(text: &str) -> String {
    let words = one_line(text);
    let words = words.split(' ').map(|word| {
        let word = word.trim_start_matches(['/', '@']);
        let word = word
            .replace(['@', '[', ']', '<', '>', '`'], "")
            .replace("://", ":")
            .replace("www.", "");
        let word = word.replace("-by:", "-by");
        let mut out = String::with_capacity(word.len());
        for (i, c) in word.char_indices() {
            let next_is_digit = word
                .get(i + 1..)
                .is_some_and(|r| r.starts_with(|c: char| c.is_ascii_digit()));
            let reference = c == '#'
                || (c == '-' && word.get(..i).is_some_and(|h| h.eq_ignore_ascii_case("gh")));
            out.push(if reference && next_is_digit { ' ' } else { c });
        }
        out
    });
    one_line(&words.collect::<Vec<_>>().join(" "))
}

fn one_line(text: &str) -> String {
    clean(text).split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Without control, bidirectional, zero-width and tag characters.
pub fn clean(text: &str) -> String {
    text.chars()
        .filter(|c| *c == '\n' || *c == '\t' || !c.is_control())
        .filter(|c| !matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}' | '\u{e0000}'..='\u{e007f}'))
        .collect()
}

/// Foreign text as one line of Markdown that can neither mention, link, embed, nor close anything.
pub fn prose(text: &str) -> String {
    let mut text = one_line(text);
    // a code span of the text's own could be closed by ours, and let its inside out
    let odd = text.matches('`').count() % 2 == 1;
    if odd || text.split(' ').any(is_risky) {
        text = text.replace('`', "'");
    }
    let shown = |word| {
        if is_risky(word) {
            code(word)
        } else {
            word.to_owned()
        }
    };
    text.split(' ').map(shown).collect::<Vec<_>>().join(" ")
}

/// Whether a word could mention, link, embed, close or escape something.
fn is_risky(word: &str) -> bool {
    word.len() > 1
        && (word.contains(['@', '<', '[', ']', '!', '\\', '&'])
            || word.contains("://")
            || word.contains("www.")
            || has_number_reference(word))
}

fn has_number_reference(word: &str) -> bool {
    word.as_bytes()
        .windows(2)
        .any(|w| w[0] == b'#' && w[1].is_ascii_digit())
}

/// A code span that no backtick inside can leave.
pub fn code(text: &str) -> String {
    format!("`{}`", one_line(text).replace('`', "'"))
}

/// A table cell.
fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}

/// A code block with a fence longer than any run of backticks inside, cut at a line end.
fn fenced(language: &str, text: &str, most: usize) -> String {
    let text = clean(text);
    let cut = cut_at_line(&text, most);
    let longest = cut.split(|c| c != '`').map(str::len).max().unwrap_or(0);
    let fence = "`".repeat(longest.max(2) + 1);
    let note = if cut.len() < text.len() {
        "\n(cut)"
    } else {
        ""
    };
    format!(
        "{fence}{language}\n{}{note}\n{fence}",
        cut.trim_end_matches('\n')
    )
}

fn cut_at_line(text: &str, most: usize) -> &str {
    if text.len() <= most {
        return text;
    }
    let mut end = most;
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text[..end]
        .rfind('\n')
        .map_or(&text[..end], |line| &text[..line])
}

/// Keeps the body within GitHub's limit; each section has its own budget, so this is a last resort.
fn budget(body: String) -> String {
    if body.chars().count() <= MAX_BODY {
        return body;
    }
    body.chars()
        .take(MAX_BODY - 40)
        .chain("\n\n(cut: over the limit of GitHub)".chars())
        .collect()
}

fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let last = lines.last_mut().expect("starts with one line");
        if !last.is_empty() && last.chars().count() + 1 + word.chars().count() > width {
            lines.push(word.to_owned());
        } else {
            if !last.is_empty() {
                last.push(' ');
            }
            last.push_str(word);
        }
    }
    lines
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
mod tests {
    use super::*;

    #[test]
    fn foreign_text_loses_its_powers() {
        for hostile in [
            "@admin",
            "see https://evil.example/x",
            "![x](http://e/x.png)",
            "[a](http://e)",
            "<img src=x>",
            "fixes #12",
            "a `b @c` d",
            "www.evil.example",
            "acme/repo#7",
            "&#64;admin",
            "x ` @y",
            "\u{202e}evil",
        ] {
            let shown = prose(hostile);
            let outside: String = shown.split('`').step_by(2).collect();
            for power in ["@", "://", "](", "<", "#1", "#7", "www.", "&#"] {
                assert!(!outside.contains(power), "{hostile} -> {shown}");
            }
        }
    }

    #[test]
    fn a_commit_speaks_to_nobody() {
        for (hostile, inert_form) in [
            ("/lgtm this", "lgtm this"),
            ("fixes #12 and acme/x#7", "fixes 12 and acme/x 7"),
            ("GH-8 [skip ci]", "GH 8 skip ci"),
            (
                "see @octocat at https://evil.example",
                "see octocat at https:evil.example",
            ),
            ("Signed-off-by: Someone", "Signed-off-by Someone"),
            ("nginx:1.25-alpine", "nginx:1.25-alpine"),
            ("web-1 and 12", "web-1 and 12"),
        ] {
            assert_eq!(inert(hostile), inert_form);
        }
    }

    #[test]
    fn a_fence_is_longer_than_what_it_holds() {
        let shown = fenced("text", "a\n`````\nb", 100);
        assert!(
            shown.starts_with("``````text\n") && shown.ends_with("\n``````"),
            "{shown}"
        );
    }

    #[test]
    fn long_text_is_cut_between_characters() {
        assert_eq!(cut_at_line("\u{e9}\u{e9}\u{e9}", 3), "\u{e9}");
        assert_eq!(cut_at_line("ab\ncd\nef", 7), "ab\ncd");
    }
}
