//! Where in a comment commands are looked for, and what else the comment says.
//!
//! Only lines of paragraphs that stand in nothing else count: no quote, list, code, heading, link,
//! image, table, footnote or HTML element. What GitHub does not show can neither be a command nor
//! a part of one.

use std::ops::Range;

use pulldown_cmark::{Event, Options, Parser, Tag, TagEnd};

use super::line::PREFIX;
use super::{MAX_COMMANDS, MAX_TEXT};

/// The most bytes of a comment that are read; GitHub allows 65,536 characters.
const MAX_BODY: usize = 262_144;

/// A comment, taken apart.
#[derive(Debug, Default)]
pub(super) struct Reading {
    /// Lines that start like a command; at most one more than are executed.
    pub(super) lines: Vec<String>,
    /// Everything else that is plain to see.
    pub(super) text: String,
}

/// Whether a character is not seen, or changes the order in which others are seen.
pub fn is_invisible(c: char) -> bool {
    (c.is_control() && c != '\n' && c != '\t')
        || matches!(c,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}'
            | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{2800}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}'
            | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}')
}

/// Takes a comment apart.
pub(super) fn read(body: &str) -> Reading {
    let body = normalised(body);
    let events: Vec<(Event<'_>, Range<usize>)> = Parser::new_ext(&body, options())
        .into_offset_iter()
        .collect();
    let hidden = hidden(&events);
    let mut walk = Walk {
        body: &body,
        comments: comments(&events),
        stack: Vec::new(),
        taken: 0,
        out: Reading::default(),
    };
    for (event, range) in &events {
        let seen = !is_within(&hidden, range.start);
        walk.step(event, range, seen);
    }
    walk.out.text = tidy(&walk.out.text);
    walk.out
}

/// What GitHub understands in comments.
fn options() -> Options {
    Options::ENABLE_TABLES
        | Options::ENABLE_FOOTNOTES
        | Options::ENABLE_STRIKETHROUGH
        | Options::ENABLE_TASKLISTS
        | Options::ENABLE_MATH
        | Options::ENABLE_GFM
}

fn normalised(body: &str) -> String {
    let mut end = body.len().min(MAX_BODY);
    while !body.is_char_boundary(end) {
        end -= 1;
    }
    let body = body.get(..end).unwrap_or_default();
    body.replace("\r\n", "\n").replace('\r', "\n")
}

struct Walk<'b> {
    body: &'b str,
    /// HTML comments inside paragraphs.
    comments: Vec<Range<usize>>,
    /// What is open: whether it is a paragraph, and whether its text is left out.
    stack: Vec<(bool, bool)>,
    /// Up to where the text belongs to a command.
    taken: usize,
    out: Reading,
}

impl Walk<'_> {
    fn step(&mut self, event: &Event<'_>, range: &Range<usize>, seen: bool) {
        match event {
            Event::Start(tag) => self
                .stack
                .push((matches!(tag, Tag::Paragraph), is_silent(tag))),
            Event::End(end) => {
                self.stack.pop();
                if !is_inline(end) {
                    self.out.text.push('\n');
                }
            }
            Event::Text(text) if seen => {
                if self.is_plain() {
                    self.take_command(range.start);
                }
                self.say(text, range);
            }
            Event::Code(text) if seen => self.say(text, range),
            Event::SoftBreak | Event::HardBreak => self.out.text.push('\n'),
            _ => {}
        }
    }

    /// Directly in a paragraph that is in nothing.
    fn is_plain(&self) -> bool {
        matches!(self.stack.as_slice(), [(true, _)])
    }

    fn say(&mut self, text: &str, range: &Range<usize>) {
        let silent = self.stack.iter().any(|(_, silent)| *silent);
        if !silent && range.start >= self.taken {
            self.out.text.push_str(text);
        }
    }

    fn take_command(&mut self, at: usize) {
        let Some(end) = self.command_end(at) else {
            return;
        };
        if self.out.lines.len() <= MAX_COMMANDS {
            let line = self.without_comments(at..end);
            self.out.lines.push(line);
        }
        self.taken = self.taken.max(end);
    }

    /// The end of the line, if a command starts at `at`.
    fn command_end(&self, at: usize) -> Option<usize> {
        let before = self.body.get(..at)?;
        let indent = before.rsplit('\n').next()?;
        let starts_line = indent.len() <= 3 && indent.bytes().all(|b| b == b' ');
        let rest = self.body.get(at..)?;
        let line = rest.split('\n').next()?;
        let name = line.get(..PREFIX.len())?;
        let after = line.get(PREFIX.len()..)?;
        let ends = after.chars().next().is_none_or(char::is_whitespace);
        (starts_line && ends && name.eq_ignore_ascii_case(PREFIX)).then_some(at + line.len())
    }

    fn without_comments(&self, line: Range<usize>) -> String {
        let mut out = String::new();
        let mut at = line.start;
        let inside = self
            .comments
            .iter()
            .filter(|c| c.end > line.start && c.start < line.end);
        for comment in inside {
            out.push_str(self.body.get(at..comment.start).unwrap_or_default());
            out.push(' ');
            at = comment.end.min(line.end);
        }
        out.push_str(self.body.get(at..line.end).unwrap_or_default());
        out
    }
}

/// Containers whose text a person did not say, or that is not to be seen.
fn is_silent(tag: &Tag<'_>) -> bool {
    matches!(
        tag,
        Tag::BlockQuote(_)
            | Tag::Image { .. }
            | Tag::HtmlBlock
            | Tag::FootnoteDefinition(_)
            | Tag::MetadataBlock(_)
    )
}

fn is_inline(end: &TagEnd) -> bool {
    matches!(
        end,
        TagEnd::Emphasis | TagEnd::Strong | TagEnd::Strikethrough | TagEnd::Link | TagEnd::Image
    )
}

/// HTML comments inside paragraphs.
fn comments(events: &[(Event<'_>, Range<usize>)]) -> Vec<Range<usize>> {
    let comment = |(event, range): &(Event<'_>, Range<usize>)| match event {
        Event::InlineHtml(html) if html.starts_with("<!--") => Some(range.clone()),
        _ => None,
    };
    events.iter().filter_map(comment).collect()
}

/// Elements of HTML that hold text; others are dropped by GitHub, and their text is shown.
const ELEMENTS: &str = " a abbr address article aside audio b bdi bdo big blockquote body button \
    caption center cite code data datalist dd del details dfn dialog div dl dt em fieldset \
    figcaption figure font footer form h1 h2 h3 h4 h5 h6 head header hgroup html i iframe ins kbd \
    label legend li main map mark math menu meter nav noembed noframes noscript object ol optgroup \
    option output p picture plaintext pre progress q rp rt ruby s samp script search section select \
    slot small span strike strong style sub summary sup svg table tbody td template textarea tfoot \
    th thead time title tr tt u ul var video xmp ";

/// The most tags that are matched; where there are more, all text after them is hidden.
const MAX_TAGS: usize = 1_000;

/// Elements without content.
const VOID: &str =
    " area base br col embed frame hr img input link meta param source track wbr command keygen ";

struct HtmlTag {
    at: usize,
    name: String,
    closes: bool,
}

/// Places that stand inside an element of HTML: from its start to its end, or to the end of the
/// comment where nothing closes it.
fn hidden(events: &[(Event<'_>, Range<usize>)]) -> Vec<Range<usize>> {
    let tags = html_tags(events);
    let mut out: Vec<Range<usize>> = Vec::new();
    for (i, tag) in tags.iter().enumerate() {
        if i >= MAX_TAGS {
            out.push(tag.at..usize::MAX);
            break;
        }
        let covered = out.last().is_some_and(|r| r.contains(&tag.at));
        if tag.closes || covered || in_list(VOID, &tag.name) {
            continue;
        }
        let end = closing(tags.get(i + 1..).unwrap_or_default(), &tag.name);
        match end {
            Some(end) => out.push(tag.at..end),
            None if in_list(ELEMENTS, &tag.name) => out.push(tag.at..usize::MAX),
            None => {}
        }
    }
    out
}

/// Ranges are in order, and none overlaps another.
fn is_within(ranges: &[Range<usize>], at: usize) -> bool {
    let next = ranges.partition_point(|r| r.start <= at);
    next.checked_sub(1)
        .and_then(|i| ranges.get(i))
        .is_some_and(|r| r.contains(&at))
}

fn in_list(list: &str, name: &str) -> bool {
    list.contains(&format!(" {name} "))
}

/// Where the element ends: elements of the same name inside it count.
fn closing(rest: &[HtmlTag], name: &str) -> Option<usize> {
    let mut open = 1_usize;
    for tag in rest.iter().filter(|t| t.name == name) {
        open = if tag.closes { open - 1 } else { open + 1 };
        if open == 0 {
            return Some(tag.at);
        }
    }
    None
}

/// All tags, in their order; HTML of one block is read as one text.
fn html_tags(events: &[(Event<'_>, Range<usize>)]) -> Vec<HtmlTag> {
    let mut out = Vec::new();
    let mut block: Option<(usize, String)> = None;
    for (event, range) in events {
        match event {
            Event::Start(Tag::HtmlBlock) => block = Some((range.start, String::new())),
            Event::Html(html) => match &mut block {
                Some((_, text)) => text.push_str(html),
                None => tags_in(html, range.start, &mut out),
            },
            Event::End(TagEnd::HtmlBlock) => {
                if let Some((at, text)) = block.take() {
                    tags_in(&text, at, &mut out);
                }
            }
            Event::InlineHtml(html) => tags_in(html, range.start, &mut out),
            _ => {}
        }
    }
    out
}

fn tags_in(html: &str, at: usize, out: &mut Vec<HtmlTag>) {
    let mut rest = html;
    while let Some(open) = rest.find('<') {
        rest = rest.get(open + 1..).unwrap_or_default();
        if let Some(comment) = rest.strip_prefix("!--") {
            rest = comment
                .find("-->")
                .map_or("", |end| comment.get(end..).unwrap_or_default());
            continue;
        }
        let closes = rest.starts_with('/');
        let name: String = rest
            .trim_start_matches('/')
            .chars()
            .take_while(|c| c.is_ascii_alphanumeric() || *c == '-')
            .take(32)
            .collect();
        if name.starts_with(|c: char| c.is_ascii_alphabetic()) {
            out.push(HtmlTag {
                at,
                name: name.to_ascii_lowercase(),
                closes,
            });
            rest = after_attributes(rest);
        }
    }
}

/// What comes after the `>` of a tag; one in the quotes of an attribute does not count.
fn after_attributes(tag: &str) -> &str {
    let mut quote = None;
    for (i, c) in tag.char_indices() {
        match (quote, c) {
            (Some(q), c) if c == q => quote = None,
            (None, '"' | '\'') => quote = Some(c),
            (None, '>') => return tag.get(i..).unwrap_or_default(),
            _ => {}
        }
    }
    ""
}

/// One paragraph a line, without what is not seen, within the cap.
fn tidy(text: &str) -> String {
    let seen: String = text.chars().filter(|c| !is_invisible(*c)).collect();
    let lines: Vec<String> = seen
        .lines()
        .map(|l| l.split_whitespace().collect::<Vec<_>>().join(" "))
        .filter(|l| !l.is_empty())
        .collect();
    let text = lines.join("\n");
    match text.char_indices().nth(MAX_TEXT) {
        Some((end, _)) => text.get(..end).unwrap_or_default().to_owned(),
        None => text,
    }
}
