//! Text for places without Markdown: titles and commit messages. Pure.

use super::markdown::one_line;

/// A title: one line, no markup, at most 200 characters.
pub(crate) fn title(text: &str) -> String {
    let text = inert(text);
    if text.chars().count() <= 200 {
        text
    } else {
        text.chars().take(197).chain("...".chars()).collect()
    }
}

/// Text in which nothing mentions, links, closes, commands, skips a build or signs for somebody.
pub(crate) fn inert(text: &str) -> String {
    let words = one_line(text);
    let words = words.split(' ').map(|word| {
        let word = word
            .replace(['@', '[', ']', '<', '>', '`'], "")
            .replace("://", ":")
            .replace("www.", "");
        let word = without_trailer(word.trim_start_matches('/'));
        let mut out = String::with_capacity(word.len());
        for (i, c) in word.char_indices() {
            let next_is_digit = word
                .get(i + 1..)
                .is_some_and(|r| r.starts_with(|c: char| c.is_ascii_digit()));
            let reference = c == '#' || (c == '-' && word.get(..i).is_some_and(ends_in_gh));
            out.push(if reference && next_is_digit { ' ' } else { c });
        }
        out
    });
    one_line(&words.collect::<Vec<_>>().join(" "))
}

/// `GH` as a word of its own: with digits behind a dash it refers to an issue.
fn ends_in_gh(text: &str) -> bool {
    let lower = text.to_ascii_lowercase();
    let before = lower.strip_suffix("gh");
    before.is_some_and(|b| !b.ends_with(|c: char| c.is_alphanumeric()))
}

/// A word that begins no line of a commit's trailers: no sign-off, none of kubemend's own.
fn without_trailer(word: &str) -> String {
    let lower = word.to_ascii_lowercase();
    if lower.contains("-by:") || lower.starts_with("kubemend-") {
        word.replace(':', "")
    } else {
        word.to_owned()
    }
}

/// The first characters of a text, as many as are `most` units of UTF-16: so linters and forges count.
pub(crate) fn front(text: &str, most: usize) -> &str {
    let mut units = 0;
    let mut letters = text.char_indices();
    let over = letters.find(|(_, c)| {
        units += c.len_utf16();
        units > most
    });
    over.map_or(text, |(at, _)| text.get(..at).unwrap_or_default())
}

/// Lines of at most `width` characters. A longer word is cut: what follows would begin a line, where
/// it could be a trailer.
pub(crate) fn wrap(text: &str, width: usize) -> Vec<String> {
    let fits = |text: &str| front(text, width).len() == text.len();
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let word = match fits(word) {
            true => word.to_owned(),
            false => format!("{}…", front(word, width - 1)),
        };
        let last = lines.last_mut().expect("starts with one line");
        if last.is_empty() {
            last.push_str(&word);
        } else if fits(&format!("{last} {word}")) {
            last.push(' ');
            last.push_str(&word);
        } else {
            lines.push(word);
        }
    }
    lines
}
