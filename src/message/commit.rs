//! Commit messages: as the repository writes them, with machine-readable trailers. Pure.

use std::fmt::Write as _;

use super::markdown::one_line;
use super::plain::{inert, title, wrap};
use crate::config::rules::Conventional;
use crate::evidence::Evidence;
use crate::finding::Finding;
use crate::forge::Actor;
use crate::propose::Proposal;

/// The most characters of a subject.
pub const MAX_SUBJECT: usize = 72;
/// How many subjects of a repository say how it writes them.
pub const SUBJECTS: usize = 20;
/// What a conventional subject starts with.
const PREFIX: &str = "fix(k8s): ";
/// Name and address of who commits to a local repository.
pub const LOCAL_AUTHOR: (&str, &str) = ("kubemend[bot]", "kubemend[bot]@users.noreply.github.com");

/// How a repository writes subjects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// `fix(k8s): raise the limit`.
    Conventional,
    /// `Raise the limit`.
    Capital,
    /// `raise the limit`.
    Plain,
}

/// How the newest subjects of a repository are written; conventional where there are too few to tell.
fn style<'s>(subjects: impl IntoIterator<Item = &'s str>) -> Style {
    let own = |s: &&str| !s.starts_with("Merge ") && !s.starts_with("Revert ");
    let subjects: Vec<&str> = subjects.into_iter().filter(own).take(SUBJECTS).collect();
    let share = |of: &dyn Fn(&str) -> bool| subjects.iter().filter(|s| of(s)).count() * 2;
    if subjects.len() < 3 || share(&is_conventional) >= subjects.len() {
        return Style::Conventional;
    }
    let capital = |s: &str| s.starts_with(char::is_uppercase);
    if share(&capital) >= subjects.len() {
        Style::Capital
    } else {
        Style::Plain
    }
}

/// What the configuration says, or the repository where it leaves that open.
pub fn chosen<'s>(rule: Conventional, subjects: impl IntoIterator<Item = &'s str>) -> Style {
    match (rule, style(subjects)) {
        (Conventional::Always, _) => Style::Conventional,
        (Conventional::Auto, found) => found,
        (Conventional::Never, Style::Conventional) => Style::Plain,
        (Conventional::Never, found) => found,
    }
}

/// `type(scope)!: text`.
pub(super) fn is_conventional(subject: &str) -> bool {
    const TYPES: [&str; 11] = [
        "build", "chore", "ci", "docs", "feat", "fix", "perf", "refactor", "revert", "style",
        "test",
    ];
    let Some((head, text)) = subject.split_once(": ") else {
        return false;
    };
    let head = head.strip_suffix('!').unwrap_or(head);
    let (kind, scope) = match head.split_once('(') {
        Some((kind, scope)) => (kind, scope.ends_with(')')),
        None => (head, true),
    };
    scope && !text.is_empty() && TYPES.contains(&kind)
}

/// The commit message of a fix, with machine-readable trailers.
pub fn commit(
    title_text: &str,
    proposal: &Proposal,
    finding: &Finding,
    fingerprint: &str,
    evidence: &Evidence,
    style: Style,
) -> String {
    let redact = |text: &str| evidence.redactor().text(text).into_string();
    let title = redact(&title(title_text));
    let subject = subject(&title, style);
    let mut out = format!("{subject}\n\n");
    if subject.ends_with('…') {
        for line in wrap(&title, MAX_SUBJECT) {
            let _ = writeln!(out, "{line}");
        }
        out.push('\n');
    }
    for line in wrap(&redact(&inert(&proposal.reason)), MAX_SUBJECT) {
        let _ = writeln!(out, "{line}");
    }
    let object = &finding.object;
    let namespace = object.namespace.as_deref().unwrap_or("-");
    let _ = writeln!(out, "\nKubemend-Fingerprint: {fingerprint}");
    let _ = writeln!(
        out,
        "Kubemend-Target: {}/{}/{}",
        inert(&object.kind),
        inert(namespace),
        inert(&object.name)
    );
    let _ = writeln!(out, "Kubemend-Evidence: sha256:{}", evidence.digest());
    out
}

/// The same message, signed off by the account on the forge that commits it.
pub fn signed_off(message: &str, by: &Actor) -> String {
    let login = one_line(&by.login).replace(['<', '>', '@'], "");
    let address = format!("{}+{login}@users.noreply.github.com", by.id);
    signed(message, &login, &address)
}

/// The same message, signed off by the author of local commits.
pub fn signed_off_locally(message: &str) -> String {
    signed(message, LOCAL_AUTHOR.0, LOCAL_AUTHOR.1)
}

/// The one place where an `@` stands in a commit: a sign-off needs an address. It comes last.
fn signed(message: &str, name: &str, address: &str) -> String {
    format!(
        "{}\nSigned-off-by: {name} <{address}>\n",
        message.trim_end()
    )
}

/// A title in a style, uncut.
pub fn styled(title: &str, style: Style) -> String {
    let mut letters = title.chars();
    match (style, letters.next()) {
        (Style::Conventional, _) => format!("{PREFIX}{title}"),
        (Style::Capital, Some(c)) => c.to_uppercase().chain(letters).collect(),
        _ => title.to_owned(),
    }
}

/// At most [`MAX_SUBJECT`] characters, cut between words.
fn subject(title: &str, style: Style) -> String {
    let text = styled(title, style);
    if text.chars().count() <= MAX_SUBJECT {
        return text;
    }
    let front: String = text.chars().take(MAX_SUBJECT - 1).collect();
    let words = front.rsplit_once(' ').map_or(front.as_str(), |(w, _)| w);
    format!("{}…", words.trim_end_matches([',', ';', ':', ' ']))
}
