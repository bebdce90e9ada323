//! Foreign text as Markdown that does nothing: no mention, reference, link, image, HTML, command,
//! marker or closing keyword survives. Pure.
//!
//! Every way in ([`prose`], [`code`], blocks, titles) goes through [`hushed`]: redacted before anything
//! is cut or neutralised, for half a token has no shape any more.
//!
//! One rule: outside code stands only what an allow-list of characters and word forms lets through;
//! every other word becomes a code span. Code does nothing on a forge.

use crate::evidence::{is_unseen, redact};

/// GitHub's limit for a body, in characters.
pub const MAX_BODY: usize = 65_536;
/// The most characters of a text, so that controls and hidden state fit below it.
pub(crate) const MAX_TEXT: usize = 58_000;
/// The most characters of one foreign sentence.
const MAX_PROSE: usize = 2_000;
/// The most characters of one code span.
const MAX_CODE: usize = 500;

/// The length of a text as the strictest reading of GitHub's limit counts it.
pub(crate) fn length(text: &str) -> usize {
    text.encode_utf16().count()
}

/// Without characters that nobody sees or that change the order of others, and without anything
/// that could be taken for kubemend's own hidden state.
pub fn clean(text: &str) -> String {
    defused(text.chars().filter(|c| !is_unseen(*c)).collect())
}

/// Breaks `<!-- kubemend` apart wherever it stands, in code too: only kubemend writes that.
fn defused(text: String) -> String {
    const OPEN: &str = "<!--";
    if !text.contains(OPEN) {
        return text;
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = text.as_str();
    while let Some((before, after)) = rest.split_once(OPEN) {
        out.push_str(before);
        let ours = after
            .trim_start()
            .get(..8)
            .is_some_and(|word| word.eq_ignore_ascii_case("kubemend"));
        out.push_str(if ours { "< !--" } else { OPEN });
        rest = after;
    }
    out.push_str(rest);
    out
}

/// A clean text without credentials. Redacting what is redacted changes nothing, so a text whose case
/// knows more secrets goes through its own redaction before.
fn hushed(text: &str) -> String {
    redact::text(&clean(text)).into_string()
}

/// One line without anything unseen and without credentials, white space folded.
pub(crate) fn one_line(text: &str) -> String {
    hushed(text)
        .split_whitespace()
        .collect::<Vec<_>>()
        .join(" ")
}

/// At most so many characters; what is cut is shown as cut.
pub(crate) fn shortened(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        Some(_) => {
            let keep = text.chars().take(most.saturating_sub(1));
            keep.chain(['…']).collect()
        }
        None => text.to_owned(),
    }
}

/// The front of a foreign text, to be remembered: one line without credentials.
pub(crate) fn excerpt(text: &str, most: usize) -> String {
    shortened(&one_line(text), most)
}

/// Foreign text as one line of Markdown.
pub fn prose(text: &str) -> String {
    brief(text, MAX_PROSE)
}

/// The same of at most so many characters.
pub(crate) fn brief(text: &str, most: usize) -> String {
    let text = excerpt(text, most);
    let mut out = String::with_capacity(text.len());
    for (is_code, part) in own_spans(&text) {
        if is_code {
            push_code(&mut out, &part);
            continue;
        }
        for (i, word) in part.split(' ').enumerate() {
            if i > 0 {
                out.push(' ');
            }
            push_word(&mut out, word);
        }
    }
    out
}

/// A text's own code spans, where they are simple; otherwise its backticks become apostrophes.
fn own_spans(text: &str) -> Vec<(bool, String)> {
    let simple = text.matches('`').count().is_multiple_of(2) && !text.contains("``");
    if !simple {
        return vec![(false, text.replace('`', "'"))];
    }
    let parts = text.split('`').enumerate();
    parts
        .map(|(i, part)| (i % 2 == 1, part.to_owned()))
        .filter(|(_, part)| !part.is_empty())
        .collect()
}

fn push_code(out: &mut String, text: &str) {
    if out.ends_with('`') {
        out.push(' '); // two spans side by side would be one with other borders
    }
    out.push_str(&code(text));
}

fn push_word(out: &mut String, word: &str) {
    let first = out.is_empty();
    if word.is_empty() {
        return;
    }
    if first && starts_a_block(word) {
        push_code(out, word);
        return;
    }
    let body = word.trim_start_matches(['(', '"', '\'']);
    let core = body.trim_end_matches(['.', ',', ';', ':', ')', '"', '\'', '!', '?']);
    if is_harmless(core) && !is_shortcode(word) && !has_a_scheme(word) {
        out.push_str(word);
        return;
    }
    let (before, after) = (
        word.len() - body.len(),
        body.get(core.len()..).unwrap_or(""),
    );
    out.push_str(word.get(..before).unwrap_or(""));
    push_code(out, core);
    out.push_str(after);
}

/// Whether a line that starts with this word could be a list, a quote, a rule or a heading.
fn starts_a_block(word: &str) -> bool {
    let marks = word.chars().all(|c| c.is_ascii_punctuation());
    let number = word
        .strip_suffix(['.', ')'])
        .is_some_and(|n| n.bytes().all(|b| b.is_ascii_digit()));
    marks || number || word.starts_with('>')
}

/// Whether a word can neither mention, link, refer, embed, command nor format.
fn is_harmless(word: &str) -> bool {
    const COMPARISONS: [&str; 6] = ["", "<", "<=", ">", ">=", "&"];
    if COMPARISONS.contains(&word) {
        return true;
    }
    let lower = word.to_ascii_lowercase();
    word.chars().all(may_stand_open)
        && !word.starts_with('/')
        && !lower.contains("://")
        && !looks_like_a_host(word)
        && !lower.contains("www.")
        && underscores_are_inside(word)
        && !refers_to_an_issue(&lower)
        && !has_a_commit_id(word)
}

/// Schemes that are linked without `//`.
fn has_a_scheme(word: &str) -> bool {
    let lower = word.to_ascii_lowercase();
    lower.contains("mailto:") || lower.contains("xmpp:")
}

/// `:name:` is an emoji.
fn is_shortcode(word: &str) -> bool {
    let parts: Vec<&str> = word.split(':').collect();
    let inner = parts.get(1..parts.len().saturating_sub(1));
    let is_name = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '+');
    let named = |part: &&str| !part.is_empty() && part.chars().all(is_name);
    inner.is_some_and(|inner| inner.iter().any(named))
}

/// `example.com`, `app.yaml`, `spec.replicas`: some renderers link what looks like a host.
fn looks_like_a_host(word: &str) -> bool {
    let mut before = ' ';
    let mut letters = word.chars().peekable();
    while let Some(c) = letters.next() {
        let next_is_letter = letters.peek().is_some_and(|n| n.is_alphabetic());
        if c == '.' && before.is_alphanumeric() && next_is_letter {
            return true;
        }
        before = c;
    }
    false
}

fn may_stand_open(c: char) -> bool {
    match c {
        c if c.is_alphanumeric() => true,
        '.' | ',' | ';' | ':' | '(' | ')' | '\'' | '"' | '/' | '-' | '+' | '=' | '%' | '?'
        | '!' | '_' | '>' | '{' | '}' => true,
        // full-width and small forms of the marks that were left out
        '\u{fe50}'..='\u{fe6f}' | '\u{ff00}'..='\u{ffef}' => false,
        c => !c.is_ascii(),
    }
}

/// `a_b` is a word, `_a_` is emphasis.
fn underscores_are_inside(word: &str) -> bool {
    let chars: Vec<char> = word.chars().collect();
    let inside = |i: usize| {
        let neighbour = |at: Option<usize>| {
            at.and_then(|i| chars.get(i))
                .is_some_and(|c| c.is_alphanumeric())
        };
        neighbour(i.checked_sub(1)) && neighbour(i.checked_add(1))
    };
    chars
        .iter()
        .enumerate()
        .all(|(i, c)| *c != '_' || inside(i))
}

/// `GH-12`; `#12` has a mark that never stands open.
fn refers_to_an_issue(lower: &str) -> bool {
    lower
        .match_indices("gh-")
        .filter_map(|(at, mark)| lower.get(at + mark.len()..))
        .any(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
}

/// Seven to forty hexadecimal digits: GitHub links the commit where there is one.
fn has_a_commit_id(word: &str) -> bool {
    word.split(|c: char| !c.is_ascii_alphanumeric())
        .any(|part| (7..=40).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_hexdigit()))
}

/// A code span that nothing inside can leave.
pub fn code(text: &str) -> String {
    let inside = shortened(&one_line(text).replace('`', "'"), MAX_CODE);
    match inside.as_str() {
        "" => "(empty)".to_owned(),
        inside => format!("`{inside}`"),
    }
}

/// A table cell: no bar ends it.
pub(crate) fn cell(markdown: &str) -> String {
    // a backslash in front of a bar would take the place of ours
    markdown.replace("\\|", "\\ |").replace('|', "\\|")
}

/// One row of a table.
pub(crate) fn row(cells: &[String]) -> String {
    let cells: Vec<String> = cells.iter().map(|c| cell(c)).collect();
    format!("| {} |\n", cells.join(" | "))
}

/// A code block with a fence longer than any run of backticks inside, cut at a line end.
pub(crate) fn fenced(language: &str, text: &str, most: usize) -> String {
    let text = without_commands(&hushed(text));
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

/// Machines that read comments line by line know no code blocks: a line that starts like a command
/// is moved in by one space.
fn without_commands(text: &str) -> String {
    let lines = text.split('\n').map(|line| {
        if line.starts_with('/') {
            format!(" {line}")
        } else {
            line.to_owned()
        }
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// At most `most` bytes, whole lines where there are any.
pub(crate) fn cut_at_line(text: &str, most: usize) -> &str {
    if text.len() <= most {
        return text;
    }
    let end = (0..=most).rev().find(|i| text.is_char_boundary(*i));
    let front = text.get(..end.unwrap_or(0)).unwrap_or_default();
    front
        .rfind('\n')
        .map_or(front, |line| front.get(..line).unwrap_or(front))
}

/// What is open at a place of a body.
#[derive(Default)]
struct Open {
    /// The fence, moved in as it is.
    fence: Option<String>,
    /// Inside a block of HTML, which ends with an empty line and knows no fences.
    html: bool,
    details: usize,
}

impl Open {
    fn read(&mut self, line: &str) {
        let inner = line.trim_start();
        let indent = line.len() - inner.len();
        let run: String = inner.chars().take_while(|c| *c == '`').collect();
        let html = ["<details>", "</details>"]
            .iter()
            .any(|t| inner.starts_with(t));
        match &self.fence {
            Some(fence) if run.len() >= fence.trim().len() && inner.trim_end() == run => {
                self.fence = None;
            }
            Some(_) => {}
            None if run.len() >= 3 && !self.html => {
                self.fence = Some(format!("{}{run}", " ".repeat(indent)));
            }
            None => {
                self.html = (self.html || html) && !inner.trim().is_empty();
                self.details += inner.matches("<details>").count();
                self.details = self
                    .details
                    .saturating_sub(inner.matches("</details>").count());
            }
        }
    }

    fn closed(&self) -> String {
        let fence = self.fence.as_ref().map(|f| format!("{f}\n"));
        let details = "\n</details>\n".repeat(self.details);
        format!("{}{details}{CUT}", fence.unwrap_or_default())
    }
}

const CUT: &str = "\n(cut: the rest is over the limit of the forge)\n";

/// At most `most` characters. Whole lines only: half a line could leave a code span open, and let
/// out what is in it. Fences and details that were open are closed.
pub(crate) fn cut_closed(body: &str, most: usize) -> String {
    if length(body) <= most {
        return body.to_owned();
    }
    let (mut open, mut used) = (Open::default(), 0);
    let (mut kept, mut end, mut closers) = (0, 0, CUT.to_owned());
    for line in body.split_inclusive('\n') {
        used += length(line);
        open.read(line);
        end += line.len();
        let closed = open.closed();
        if used + length(&closed) <= most {
            (kept, closers) = (end, closed);
        }
        if used > most {
            break;
        }
    }
    let text = body.get(..kept).unwrap_or_default();
    if length(&closers) > most {
        return String::new();
    }
    format!("{text}{closers}")
}
