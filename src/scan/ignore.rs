//! What people do not want to be told: comments in the manifests, and rules of the configuration.

use crate::config::rules::Ignore;
use crate::files::Files;
use crate::manifest;
use crate::object::ObjectRef;
use crate::scan::place::{Place, text};
use crate::scan::rules::Rule;

const MARK: &str = "kubemend:ignore";

/// Why a finding is not told, if it is not.
pub(super) fn reason(
    files: &Files,
    ignores: &[Ignore],
    rule: &Rule,
    object: &ObjectRef,
    place: &Place,
) -> Option<String> {
    by_comment(files, rule, place).or_else(|| by_configuration(ignores, rule, object))
}

fn by_configuration(ignores: &[Ignore], rule: &Rule, object: &ObjectRef) -> Option<String> {
    let fits =
        |pattern: &Option<String>, is: &str| pattern.as_deref().is_none_or(|p| matches(p, is));
    let hit = ignores.iter().find(|i| {
        let something = [&i.namespace, &i.kind, &i.name, &i.class]
            .iter()
            .any(|p| p.is_some());
        something
            && fits(
                &i.namespace,
                object.namespace.as_deref().unwrap_or("default"),
            )
            && fits(&i.kind, &object.kind)
            && fits(&i.name, &object.name)
            && i.class.as_deref().is_none_or(|c| rule.is_called(c))
    })?;
    let reason = hit.reason.clone().unwrap_or_default();
    Some(format!("configuration: {reason}"))
}

fn by_comment(files: &Files, rule: &Rule, place: &Place) -> Option<String> {
    let text = text(files, &place.file)?;
    if !text.contains(MARK) {
        return None;
    }
    let lines: Vec<&str> = text.lines().collect();
    let at = |number: usize| number.checked_sub(1).and_then(|i| lines.get(i).copied());
    let own = at(place.line).and_then(|l| marked(l, rule));
    let above = || {
        let mut number = place.line;
        while let Some(line) = number.checked_sub(1).and_then(at) {
            if !line.trim_start().starts_with('#') {
                return None;
            }
            if let Some(reason) = marked(line, rule) {
                return Some(reason);
            }
            number -= 1;
        }
        None
    };
    let head = || {
        let slice = *manifest::split(text).get(place.document)?;
        let comments = slice.of(text).lines().take_while(|l| {
            let l = l.trim();
            l.is_empty() || l.starts_with('#') || l.starts_with("---")
        });
        comments.into_iter().find_map(|l| marked(l, rule))
    };
    own.or_else(above).or_else(head)
}

/// The reason, if a line has a comment that silences the rule. `none` gives no reason of its own.
fn marked(line: &str, rule: &Rule) -> Option<String> {
    let (before, rest) = line.split_once(MARK)?;
    let before = before.trim_end();
    let hash = before.strip_suffix('#')?;
    (hash.is_empty() || hash.ends_with([' ', '\t', '-'])).then_some(())?;
    let rest = rest.trim();
    let (words, reason) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
    let silences = words.split(',').any(|w| rule.is_called(w.trim()));
    silences.then(|| format!("comment: {}", reason.trim()))
}

/// Whether a text has the form of a pattern with `*` for anything.
pub(super) fn matches(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut rest) = parts.next().and_then(|first| text.strip_prefix(first)) else {
        return false;
    };
    let mut tail: Option<&str> = None;
    for part in parts {
        if let Some(middle) = tail.replace(part) {
            let Some((_, after)) = rest.split_once(middle).filter(|_| !middle.is_empty()) else {
                if middle.is_empty() {
                    continue;
                }
                return false;
            };
            rest = after;
        }
    }
    match tail {
        None => rest.is_empty(),
        Some(last) => rest.ends_with(last),
    }
}

/// Whether a path has the form of a glob: `*` within a part, `**` over parts, `?` one character.
/// A glob without a separator is tried on the file's name, and a folder means all that it holds.
pub fn path_matches(glob: &str, path: &str) -> bool {
    let glob = glob.trim_start_matches("./").trim_end_matches('/');
    if !glob.contains('/') && !glob.contains("**") {
        let name = path.rsplit('/').next().unwrap_or(path);
        if parts_match(&[glob], &[name]) {
            return true;
        }
    }
    let (globs, parts): (Vec<&str>, Vec<&str>) =
        (glob.split('/').collect(), path.split('/').collect());
    let folder: Vec<&str> = globs.iter().copied().chain(["**"]).collect();
    parts_match(&globs, &parts) || parts_match(&folder, &parts)
}

/// Position by position, so that no pattern costs more than its length times the path's.
fn parts_match(globs: &[&str], parts: &[&str]) -> bool {
    let mut reached = vec![false; parts.len() + 1];
    reached[0] = true;
    for glob in globs {
        let mut next = vec![false; parts.len() + 1];
        let mut open = false;
        for i in 0..=parts.len() {
            if *glob == "**" {
                open |= reached[i];
                next[i] = open;
            } else if reached[i] && parts.get(i).is_some_and(|p| word_matches(glob, p)) {
                next[i + 1] = true;
            }
        }
        reached = next;
    }
    reached.last().copied().unwrap_or(false)
}

fn word_matches(glob: &str, word: &str) -> bool {
    let word: Vec<char> = word.chars().collect();
    let mut reached = vec![false; word.len() + 1];
    reached[0] = true;
    for c in glob.chars() {
        let mut next = vec![false; word.len() + 1];
        let mut open = false;
        for i in 0..=word.len() {
            if c == '*' {
                open |= reached[i];
                next[i] = open;
            } else if reached[i] && word.get(i).is_some_and(|w| *w == c || c == '?') {
                next[i + 1] = true;
            }
        }
        reached = next;
    }
    reached.last().copied().unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scan::rules;
    use proptest::prelude::*;

    #[test]
    fn globs_name_files_and_folders() {
        for (glob, path) in [
            ("apps/**", "apps/web/a.yaml"),
            ("apps", "apps/web/a.yaml"),
            ("*.yaml", "apps/web/a.yaml"),
            ("**/a.yaml", "a.yaml"),
            ("apps/*/a.yaml", "apps/web/a.yaml"),
            ("apps/web/?.yaml", "apps/web/a.yaml"),
            ("./apps/", "apps/web/a.yaml"),
        ] {
            assert!(path_matches(glob, path), "{glob} {path}");
        }
        for (glob, path) in [
            ("apps/*.yaml", "apps/web/a.yaml"),
            ("app", "apps/web/a.yaml"),
            ("b.yaml", "apps/web/a.yaml"),
            ("", "a.yaml"),
        ] {
            assert!(!path_matches(glob, path), "{glob} {path}");
        }
    }

    #[test]
    fn a_comment_needs_the_rule_and_a_hash() {
        let rule = &rules::UNKNOWN_FIELD;
        assert_eq!(
            marked("  foo: 1 # kubemend:ignore unknown-field told so", rule),
            Some("comment: told so".to_owned())
        );
        assert_eq!(
            marked("# kubemend:ignore KM205,KM101 x", rule),
            Some("comment: x".to_owned())
        );
        for line in [
            "# kubemend:ignore probe-port x",
            "# kubemend:ignore",
            "kubemend:ignore unknown-field",
            "a: b#kubemend:ignore unknown-field",
        ] {
            assert_eq!(marked(line, rule), None, "{line}");
        }
    }

    proptest! {
        #[test]
        fn no_pattern_panics(glob in ".{0,20}", path in ".{0,30}") {
            let _ = path_matches(&glob, &path);
            let _ = matches(&glob, &path);
            prop_assert!(matches("*", &path));
            prop_assert!(path_matches("**", &path));
        }
    }
}
