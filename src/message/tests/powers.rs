//! What a body could do on a forge, as a Markdown parser and GitHub's own rules see it.

use std::sync::LazyLock;

use pulldown_cmark::{CodeBlockKind, Event, Options, Parser, Tag, TagEnd};
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
    // the old ones took them along
    options.insert(Options::ENABLE_FOOTNOTES);
    options
}

/// A block that GitHub draws, with links of its own, instead of showing it.
fn drawn(kind: &CodeBlockKind<'_>) -> Option<String> {
    let CodeBlockKind::Fenced(info) = kind else {
        return None;
    };
    let language = info.split([' ', ',', '{']).next()?.to_lowercase();
    let drawn = ["mermaid", "math", "geojson", "topojson", "stl"];
    drawn
        .contains(&language.as_str())
        .then(|| format!("drawn {language}"))
}

/// Everything in a body that would do something.
pub(super) fn powers(markdown: &str) -> Vec<String> {
    let mut found = Vec::new();
    let (mut code, mut text, mut html) = (0, String::new(), String::new());
    for event in Parser::new_ext(markdown, options()) {
        match event {
            Event::Start(Tag::CodeBlock(kind)) => {
                code += 1;
                found.extend(drawn(&kind));
            }
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

/// A rule, and a text on which nothing but it fires: what shows that the rule sees anything.
type Rule = (&'static str, &'static str);

/// What GitHub makes of plain text.
const IN_TEXT: [Rule; 10] = [
    (r"[@\x{ff20}\x{fe6b}]", "@x"),
    (r"#[0-9]", "#7"),
    (r"(?i)\bgh-[0-9]", "GH-7"),
    (r"(?i)(https?|ftp)://", "https://x"),
    (r"(?i)www\.", "www.x"),
    (r"(?i)(mailto|xmpp):", "mailto:x"),
    (r"\b[0-9a-f]{7,40}\b", "deadbeef"),
    (r":[a-zA-Z0-9_+-]+:", ":+1:"),
    (
        r"(?i)\b[a-z0-9-]+\.(example|com|org|io|net|dev)\b",
        "evil.example",
    ),
    // a host with a letter that is not of ASCII: of another alphabet, or one that only looks like ours
    (
        r"[\p{L}\p{N}-]*[[:^ascii:]&&\p{L}][\p{L}\p{N}-]*\.\p{L}{2,}|[\p{L}\p{N}]\.[[:^ascii:]&&\p{L}]{2,}",
        "\u{440}\u{430}\u{443}.\u{440}\u{444}",
    ),
];

/// What line-by-line readers make of the raw text.
const IN_RAW: [Rule; 2] = [
    (r"(?m)^/[a-zA-Z]", "/lgtm"),
    (
        "[\u{200b}-\u{200f}\u{202a}-\u{202e}\u{2066}-\u{2069}\u{e0000}-\u{e007f}\r]",
        "\u{200b}",
    ),
];

/// What a Markdown parser sees, and a text in which it sees nothing else.
const IN_MARKDOWN: [(&str, &str); 12] = [
    ("Link", "[a](b)"),
    ("Link", "[a]\n\n[a]: b"),
    ("Link", "<xx:a>"),
    ("Image", "![a](b)"),
    ("Image", "![a]\n\n[a]: b"),
    ("FootnoteDefinition", "[^1]\n\n[^1]: a"),
    ("footnote 1", "[^1]\n\n[^1]: a"),
    ("math a", "$a$"),
    ("math a", "$$a$$"),
    ("html", "<b>"),
    ("drawn mermaid", "```mermaid\na\n```"),
    ("drawn stl", "~~~~ STL\na\n~~~~"),
];

fn compiled(rules: &[Rule]) -> Vec<Regex> {
    let one = |(rule, _): &Rule| Regex::new(rule).unwrap();
    rules.iter().map(one).collect()
}

fn found(rules: &[Regex], text: &str) -> Vec<String> {
    rules
        .iter()
        .filter_map(|r| r.find(text).map(|m| format!("{:?}", m.as_str())))
        .collect()
}

fn in_text(text: &str) -> Vec<String> {
    static RULES: LazyLock<Vec<Regex>> = LazyLock::new(|| compiled(&IN_TEXT));
    // what kubemend says itself, with numbers of its own
    let ours = ["see #0", "by #0", "Takes back #12"];
    let text = ours
        .iter()
        .fold(text.to_owned(), |t, o| t.replace(o, &o.replace('#', "")));
    found(&RULES, &text)
}

fn in_raw(markdown: &str) -> Vec<String> {
    static RULES: LazyLock<Vec<Regex>> = LazyLock::new(|| compiled(&IN_RAW));
    found(&RULES, markdown)
}

/// The oracle's own control: a rule that saw nothing would let everything pass.
#[test]
fn every_rule_sees_what_it_is_for() {
    for (rule, raw) in IN_TEXT.iter().chain(&IN_RAW) {
        let seen = Regex::new(rule).unwrap().find(raw).map(|m| m.as_str());
        let seen = format!("{:?}", seen.expect(rule));
        assert_eq!(powers(raw), [seen], "{rule} and nothing else");
    }
    for hidden in "\u{200b}\u{200f}\u{202a}\u{202e}\u{2066}\u{2069}\u{e0000}\u{e007f}\r".chars() {
        assert_eq!(powers(&format!("a{hidden}")).len(), 1, "{hidden:?}");
    }
    for (what, raw) in IN_MARKDOWN {
        let seen = powers(raw);
        assert!(
            seen.iter().any(|s| s.starts_with(what)),
            "{what} in {raw:?}: {seen:?}"
        );
        let footnote = raw.contains("[^1]\n");
        assert_eq!(seen.len(), 1 + usize::from(footnote), "{raw:?}: {seen:?}");
    }
    for foreign in [
        "<details open>",
        "<!-- hidden -->",
        "<!-- kubemend:v1 e30.\n<b> -->",
    ] {
        assert_eq!(powers(foreign).len(), 1, "{foreign}");
    }
    no_powers(
        "<details>\n<summary>a</summary>\n\nb `@x` see #0\n\n</details>\n<!-- kubemend:v1 e30.c2ln -->",
    );
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
