//! Commit messages: as the repository writes them, with machine-readable trailers. Pure.

use std::fmt::Write as _;

use super::markdown::one_line;
use super::plain::{front, inert, title, wrap};
use crate::config::rules::Conventional;
use crate::evidence::Evidence;
use crate::finding::Finding;
use crate::forge::Actor;
use crate::propose::Proposal;

/// The most characters of a subject.
pub const MAX_SUBJECT: usize = 72;
/// The most characters of a pull request's title.
pub const MAX_TITLE: usize = 92;
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
    let title = title(&redact(title_text));
    let subject = subject(&title, style);
    let mut out = format!("{subject}\n\n");
    if subject.ends_with('…') {
        for line in wrap(&title, MAX_SUBJECT) {
            let _ = writeln!(out, "{line}");
        }
        out.push('\n');
    }
    for line in wrap(&inert(&redact(&proposal.reason)), MAX_SUBJECT) {
        let _ = writeln!(out, "{line}");
    }
    let object = &finding.object;
    let namespace = object.namespace.as_deref().unwrap_or("-");
    let _ = writeln!(out, "\nKubemend-Fingerprint: {fingerprint}");
    let parts = [&object.kind, namespace, &object.name].map(inert);
    out += &trailer("Kubemend-Target", &parts.join("/"));
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

/// The title of a pull request in a style. Room is left for the number that a squash adds.
pub fn heading(title: &str, style: Style) -> String {
    cut(styled(title, style), MAX_TITLE)
}

/// A title as a style has it. Conventional text begins small, and has no second `type(scope): `.
fn styled(title: &str, style: Style) -> String {
    let title = match title.trim_end_matches(['.', ' ']) {
        "" => "mend the manifests",
        title => title,
    };
    let mut letters = title.chars();
    match (style, letters.next()) {
        (Style::Conventional, _) => {
            let title = title.replace(")!:", ")!").replace("):", ")");
            format!("{PREFIX}{}", begun_small(&title))
        }
        (Style::Capital, Some(c)) => c.to_uppercase().chain(letters).collect(),
        _ => title.to_owned(),
    }
}

/// A text that begins with a small letter, where it begins with a letter that has a case. A name
/// that is written with capitals keeps them.
fn begun_small(title: &str) -> String {
    let word = title.split(' ').next().unwrap_or_default();
    let small: String = title.chars().take(1).flat_map(char::to_lowercase).collect();
    let has_case = |text: &str| text.to_uppercase() != text.to_lowercase();
    let is_name = word.chars().skip(1).any(char::is_uppercase);
    let begins = title.chars().next().map(String::from).unwrap_or_default();
    let is_cased =
        has_case(&begins) || begins.chars().any(|c| c.is_uppercase() || c.is_lowercase());
    match () {
        () if !is_cased => title.to_owned(),
        () if small == begins && has_case(&begins) => title.to_owned(),
        () if is_name || !has_case(&small) => format!("the {title}"),
        () => small + &title.chars().skip(1).collect::<String>(),
    }
}

fn subject(title: &str, style: Style) -> String {
    cut(styled(title, style), MAX_SUBJECT)
}

/// At most so many characters, cut between words; inside of one that is half of it.
pub(super) fn cut(text: String, most: usize) -> String {
    if front(&text, most).len() == text.len() {
        return text;
    }
    let front = front(&text, most - 1);
    let words = front.rsplit_once(' ').map_or(front, |(w, _)| w);
    let kept = match words.len() * 2 < front.len() {
        true => front,
        false => words,
    };
    format!("{}…", kept.trim_end_matches([',', ';', ':', '.', ' ']))
}

/// A trailer; a long value goes on in lines that begin with a space, as Git has it.
pub fn trailer(name: &str, value: &str) -> String {
    let mut out = format!("{name}: ");
    let mut rest = value;
    loop {
        let line = front(rest, MAX_SUBJECT);
        let line = match line.rfind(' ') {
            Some(at) if line.len() < rest.len() && at > 0 => line.get(..at).unwrap_or(line),
            _ => line,
        };
        out.push_str(line);
        out.push('\n');
        rest = rest.get(line.len()..).unwrap_or_default();
        if rest.is_empty() {
            return out;
        }
        out.push(' ');
    }
}

/// A message whose trailers are lines again.
pub fn unfolded(message: &str) -> String {
    message.replace("\n ", "")
}
