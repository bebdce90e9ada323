//! The rules of commitlint's conventional configuration, from its documentation: what is an error or
//! a warning there is told here.

use std::sync::LazyLock;

use proptest::prelude::*;
use regex::Regex;

const TYPES: [&str; 11] = [
    "build", "chore", "ci", "docs", "feat", "fix", "perf", "refactor", "revert", "style", "test",
];

/// `header-max-length`, `body-max-line-length`, `footer-max-line-length`.
const MAX_LENGTH: usize = 100;

/// Titles with the capitals and stops that people, playbooks and models write.
pub(super) fn titles() -> impl Strategy<Value = String> {
    let words = prop_oneof![
        Just("Raise"),
        Just("raise"),
        Just("DNS"),
        Just("ConfigMap"),
        Just("A"),
        Just("ĸ"),
        Just("ǅ"),
        Just("\u{1d400}"),
        Just("größe"),
        Just("12"),
        Just("fix(k8s): Mend"),
        Just("(x): Y"),
        Just("feat!:"),
        Just("..."),
        Just("shop/cart."),
    ];
    proptest::collection::vec(words, 0..40).prop_map(|all| all.join(" "))
}

/// What is wrong with a message whatever its style.
pub(super) fn lengths(message: &str) -> Vec<&'static str> {
    let mut found = Vec::new();
    let mut rule = |name, holds: bool| {
        if !holds {
            found.push(name);
        }
    };
    let (header, rest) = message.split_once('\n').unwrap_or((message, ""));
    rule("header-trim", header.trim() == header);
    rule("header-max-length", length(header) <= MAX_LENGTH);
    rule(
        "body-leading-blank",
        rest.is_empty() || rest.starts_with('\n'),
    );
    rule(
        "body-max-line-length",
        rest.lines().all(|l| length(l) <= MAX_LENGTH),
    );
    found
}

/// What is wrong with a conventional message.
pub(super) fn conventional(message: &str) -> Vec<&'static str> {
    static HEADER: LazyLock<Regex> =
        LazyLock::new(|| Regex::new(r"^(\w*)(?:\((.*)\))?!?: (.*)$").unwrap());
    let mut found = lengths(message);
    let header = message.lines().next().unwrap_or_default();
    let Some(parts) = HEADER.captures(header) else {
        found.push("type-empty");
        return found;
    };
    let (kind, subject) = (&parts[1], &parts[3]);
    if !TYPES.contains(&kind) {
        found.push("type-enum");
    }
    if subject.is_empty() {
        found.push("subject-empty");
    }
    if subject.ends_with('.') {
        found.push("subject-full-stop");
    }
    if has_wrong_case(subject) {
        found.push("subject-case");
    }
    found
}

/// Sentence, start, Pascal or upper case; what stands in quotes does not count.
fn has_wrong_case(subject: &str) -> bool {
    static LETTER: LazyLock<Regex> =
        LazyLock::new(|| Regex::new(r"^[\p{Ll}\p{Lu}\p{Lt}]").unwrap());
    static QUOTED: LazyLock<Regex> = LazyLock::new(|| Regex::new("`.*?`|\".*?\"|'.*?'").unwrap());
    if !LETTER.is_match(subject) {
        return false;
    }
    let text = QUOTED.replace_all(subject, "");
    let text = text.trim();
    let Some(first) = text.chars().next() else {
        return false;
    };
    // start and Pascal case begin as a sentence does
    let sentence = first
        .to_uppercase()
        .chain(text.chars().skip(1))
        .eq(text.chars());
    let upper = text.to_uppercase() == text;
    !first.is_ascii_digit() && (sentence || upper)
}

fn length(text: &str) -> usize {
    text.encode_utf16().count()
}

/// The rules see what they are for.
#[test]
fn the_linter_finds_what_is_wrong() {
    for (message, rules) in [
        ("fix(k8s): raise the limit\n\nwhy", &[][..]),
        ("fix(k8s): Raise the limit", &["subject-case"]),
        ("fix(k8s): DNS", &["subject-case"]),
        ("fix(k8s): raise.", &["subject-full-stop"]),
        ("mend(k8s): raise", &["type-enum"]),
        ("Raise the limit", &["type-empty"]),
        ("fix: ", &["header-trim", "subject-empty"]),
        ("fix: raise\nwhy", &["body-leading-blank"]),
    ] {
        assert_eq!(conventional(message), rules, "{message}");
    }
    let long = "x".repeat(MAX_LENGTH + 1);
    assert_eq!(
        lengths(&format!("{long}\n\n{long}")),
        ["header-max-length", "body-max-line-length"]
    );
}
