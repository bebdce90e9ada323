//! What a body could do on a forge, as a Markdown parser and GitHub's own rules see it.

use std::sync::LazyLock;

use pulldown_cmark::{Event, Options, Parser, Tag, TagEnd};
use regex::Regex;

/// HTML that kubemend writes itself.
fn is_ours(html: &str) -> bool {
    let html = html.trim();
    let tags = ["</details>", "</summary>", "<details>", "<summary>"];
    let rest = tags.iter().fold(html.to_owned(), |h, t| h.replace(t, ""));
    static COMMENTS: LazyLock<Regex> =
        LazyLock::new(|| Regex::new("(?s)<!-- kubemend:[a-z0-9= A-Z._-]* -->").unwrap());
    let rest = COMMENTS.replace_all(&rest, "").into_owned();
    !rest.contains('<')
}

fn options() -> Options {
    let mut options = Options::all();
    // not of GitHub's Markdown
    for other in [
        Options::ENABLE_SMART_PUNCTUATION,
        Options::ENABLE_HEADING_ATTRIBUTES,
        Options::ENABLE_DEFINITION_LIST,
        Options::ENABLE_YAML_STYLE_METADATA_BLOCKS,
        Options::ENABLE_PLUSES_DELIMITED_METADATA_BLOCKS,
        Options::ENABLE_OLD_FOOTNOTES,
        Options::ENABLE_WIKILINKS,
        Options::ENABLE_SUPERSCRIPT,
        Options::ENABLE_SUBSCRIPT,
    ] {
        options.remove(other);
    }
    options
}

/// Everything in a body that would do something.
pub(super) fn powers(markdown: &str) -> Vec<String> {
    let mut found = Vec::new();
    let (mut code, mut text, mut html) = (0, String::new(), String::new());
    for event in Parser::new_ext(markdown, options()) {
        match event {
            Event::Start(Tag::CodeBlock(_)) => code += 1,
            Event::End(TagEnd::CodeBlock) => code -= 1,
            Event::Start(
                tag @ (Tag::Link { .. } | Tag::Image { .. } | Tag::FootnoteDefinition(_)),
            ) => {
                found.push(format!("{tag:?}"));
            }
            Event::Html(h) | Event::InlineHtml(h) => html.push_str(&h),
            Event::InlineMath(m) | Event::DisplayMath(m) => found.push(format!("math {m}")),
            Event::FootnoteReference(f) => found.push(format!("footnote {f}")),
            Event::Text(t) if code == 0 => text.push_str(&t),
            Event::Code(_) => text.push('\u{1}'),
            Event::SoftBreak | Event::HardBreak | Event::End(_) => text.push('\n'),
            _ => {}
        }
    }
    if !is_ours(&html) {
        found.push(format!("html {html}"));
    }
    found.extend(in_text(&text));
    found.extend(in_raw(markdown));
    found
}

fn all(rules: &[&str]) -> Vec<Regex> {
    rules.iter().map(|r| Regex::new(r).unwrap()).collect()
}

fn found(rules: &[Regex], text: &str) -> Vec<String> {
    rules
        .iter()
        .filter_map(|r| r.find(text).map(|m| format!("{:?}", m.as_str())))
        .collect()
}

/// What GitHub makes of plain text.
fn in_text(text: &str) -> Vec<String> {
    static RULES: LazyLock<Vec<Regex>> = LazyLock::new(|| {
        all(&[
            r"[@\x{ff20}\x{fe6b}]",
            r"#[0-9]",
            r"(?i)\bgh-[0-9]",
            r"(?i)(https?|ftp)://",
            r"(?i)www\.",
            r"(?i)(mailto|xmpp):",
            r"\b[0-9a-f]{7,40}\b",
            r":[a-zA-Z0-9_+-]+:",
            r"(?i)\b[a-z0-9-]+\.(example|com|org|io|net|dev)\b",
        ])
    });
    // what kubemend says itself, with numbers of its own
    let ours = ["see #", "by #", "Takes back #12"];
    let text = ours
        .iter()
        .fold(text.to_owned(), |t, o| t.replace(o, &o.replace('#', "")));
    found(&RULES, &text)
}

/// What line-by-line readers make of the raw text.
fn in_raw(markdown: &str) -> Vec<String> {
    static RULES: LazyLock<Vec<Regex>> = LazyLock::new(|| {
        all(&[
            r"(?m)^/[a-zA-Z]",
            "[\u{200b}-\u{200f}\u{202a}-\u{202e}\u{2066}-\u{2069}\u{e0000}-\u{e007f}\r]",
        ])
    });
    found(&RULES, markdown)
}

pub(super) fn no_powers(markdown: &str) {
    assert_eq!(powers(markdown), Vec::<String>::new(), "{markdown}");
}

/// Whether a piece of HTML is seen as HTML, so that no fence is open around it.
pub(super) fn is_outside_code(markdown: &str, html: &str) -> bool {
    let mut seen = String::new();
    for event in Parser::new_ext(markdown, options()) {
        if let Event::Html(h) | Event::InlineHtml(h) = event {
            seen.push_str(&h);
        }
    }
    seen.contains(html)
}
