//! Suggestions on other people's pull requests: only lines that the diff shows can be commented on,
//! and one line that cannot makes GitHub refuse the whole review.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use sha2::{Digest as _, Sha256};

use crate::evidence::redact;
use crate::message::{code, prose};
use crate::patch;

/// The most suggestions of one review.
const MAX_SUGGESTIONS: usize = 20;
/// The most lines that one suggestion replaces or writes.
const MAX_LINES: usize = 30;

/// A proven fix of one file.
#[derive(Debug, Clone, Copy)]
pub struct Wish<'a> {
    /// The file.
    pub file: &'a str,
    /// Its text at the head of the pull request.
    pub before: &'a str,
    /// Its text with the fix.
    pub after: &'a str,
    /// One line about the fix.
    pub title: &'a str,
    /// What is wrong.
    pub message: &'a str,
    /// The finding.
    pub fingerprint: &'a str,
}

/// One comment of the review.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Suggestion {
    /// The file.
    pub path: String,
    /// First and last line, from 1, in the file at the head.
    pub lines: RangeInclusive<usize>,
    /// Markdown with a suggestion block.
    pub body: String,
    /// Names path, lines and content: the same suggestion is made once.
    pub id: String,
}

/// The suggestions that the diff of a pull request has room for. `shown` holds, for each file, the
/// lines of the new text that the diff shows.
pub fn suggestions(
    wishes: &[Wish<'_>],
    shown: &BTreeMap<String, Vec<RangeInclusive<usize>>>,
    made: &[String],
) -> Vec<Suggestion> {
    let mut out: Vec<Suggestion> = Vec::new();
    for wish in wishes {
        let Some(ranges) = shown.get(wish.file) else {
            continue;
        };
        let Some(suggestion) = suggestion(wish).filter(|s| fits(&s.lines, ranges)) else {
            continue;
        };
        let known = made.contains(&suggestion.id)
            || out
                .iter()
                .any(|s| s.path == suggestion.path && overlap(&s.lines, &suggestion.lines));
        if !known && out.len() < MAX_SUGGESTIONS {
            out.push(suggestion);
        }
    }
    out
}

fn overlap(a: &RangeInclusive<usize>, b: &RangeInclusive<usize>) -> bool {
    a.start() <= b.end() && b.start() <= a.end()
}

/// A comment lies within one hunk.
fn fits(lines: &RangeInclusive<usize>, shown: &[RangeInclusive<usize>]) -> bool {
    let inside = |r: &RangeInclusive<usize>| r.contains(lines.start()) && r.contains(lines.end());
    shown.iter().any(inside)
}

fn suggestion(wish: &Wish<'_>) -> Option<Suggestion> {
    let replacements = patch::replacements(wish.before, wish.after);
    // a fix in several places is no single suggestion, and half of one is no fix
    let [(lines, text)] = replacements.as_slice() else {
        return None;
    };
    let (lines, text) = anchored(wish.before, lines.clone(), text)?;
    // what is suggested is committed as it stands, and must not be redacted on its way
    if *redact::text(&text) != *text {
        return None;
    }
    let long = lines.end() - lines.start() + 1 > MAX_LINES || text.lines().count() > MAX_LINES;
    if long
        || text
            .chars()
            .any(|c| c.is_control() && !matches!(c, '\n' | '\t'))
    {
        return None;
    }
    let hash = Sha256::digest(format!("{}|{lines:?}|{text}", wish.file).as_bytes());
    let id: String = hash.iter().take(8).map(|b| format!("{b:02x}")).collect();
    Some(Suggestion {
        path: wish.file.to_owned(),
        body: body(wish, &text, &id),
        lines,
        id,
    })
}

/// Lines that are only inserted stand behind the line above them, which the suggestion repeats.
fn anchored(
    before: &str,
    lines: std::ops::Range<usize>,
    text: &str,
) -> Option<(RangeInclusive<usize>, String)> {
    if !lines.is_empty() {
        return Some((lines.start + 1..=lines.end, text.to_owned()));
    }
    let above = before.lines().nth(lines.start.checked_sub(1)?)?;
    Some((lines.start..=lines.start, format!("{above}\n{text}")))
}

fn body(wish: &Wish<'_>, text: &str, id: &str) -> String {
    let longest = text
        .split(|c| c != '`')
        .map(str::len)
        .max()
        .unwrap_or_default();
    let fence = "`".repeat(longest.max(2) + 1);
    let end = if text.ends_with('\n') || text.is_empty() {
        ""
    } else {
        "\n"
    };
    format!(
        "{}\n\n{}\n\n{fence}suggestion\n{text}{end}{fence}\n\n<sub>kubemend · proven: nothing else changes in what is rendered · {}</sub>\n<!-- kubemend-suggestion {id} -->",
        prose(wish.message),
        prose(wish.title),
        code(wish.fingerprint),
    )
}

/// The ids of suggestions in comments that stand there already.
pub fn made<'c>(bodies: impl IntoIterator<Item = &'c str>) -> Vec<String> {
    let mark = "<!-- kubemend-suggestion ";
    let id = |body: &str| {
        let (_, rest) = body.rsplit_once(mark)?;
        rest.split_whitespace().next().map(str::to_owned)
    };
    bodies.into_iter().filter_map(id).collect()
}

/// The lines of the new text that a diff of GitHub shows, by its hunk headers.
pub fn shown(diff: &str) -> Vec<RangeInclusive<usize>> {
    let mut out = Vec::new();
    let header = |line: &str| {
        let rest = line.strip_prefix("@@ -")?;
        let (_, rest) = rest.split_once(" +")?;
        let (numbers, _) = rest.split_once(" @@")?;
        let (start, count) = numbers.split_once(',').unwrap_or((numbers, "1"));
        let (start, count): (usize, usize) = (start.parse().ok()?, count.parse().ok()?);
        let last = start.checked_add(count)?.checked_sub(1)?;
        (count > 0).then_some(start..=last)
    };
    out.extend(diff.lines().filter_map(header));
    out
}
