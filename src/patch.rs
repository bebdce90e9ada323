//! Unified diffs that `git apply` takes in the repository's root. Pure.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use similar::TextDiff;

use crate::files::Files;

/// The difference between a repository's files and their changed versions, as one unified diff.
/// Files that are not UTF-8 are left out: nothing of them is ever edited.
pub fn unified(files: &Files, changed: &BTreeMap<String, Vec<u8>>) -> String {
    let mut out = String::new();
    for (path, new) in changed {
        let old = files.get(path).unwrap_or_default();
        if let (Ok(old), Ok(new)) = (std::str::from_utf8(old), std::str::from_utf8(new))
            && old != new
        {
            file_diff(&mut out, path, old, new);
        }
    }
    out
}

/// What is different between two unified diffs, as a diff; empty where nothing is. Line numbers of
/// hunks do not count.
pub fn between(old: &str, new: &str) -> String {
    let plain = |patch: &str| -> String {
        let lines = patch.lines().map(|l| match l.starts_with("@@ ") {
            true => "@@\n".to_owned(),
            false => format!("{l}\n"),
        });
        lines.collect()
    };
    let (old, new) = (plain(old), plain(new));
    let diff = TextDiff::from_lines(&old, &new);
    diff.unified_diff().context_radius(3).to_string()
}

/// Which lines of a text (from 0, end excluded) are replaced by what.
pub fn replacements(old: &str, new: &str) -> Vec<(std::ops::Range<usize>, String)> {
    let diff = TextDiff::from_lines(old, new);
    let lines: Vec<&str> = new.split_inclusive('\n').collect();
    let changed = diff
        .ops()
        .iter()
        .filter(|op| op.tag() != similar::DiffTag::Equal);
    changed
        .map(|op| {
            let text = lines.get(op.new_range()).unwrap_or_default().concat();
            (op.old_range(), text)
        })
        .collect()
}

/// The change from `base` to `wanted`, made in `now`, which is another child of `base`. `None` where
/// both change the same lines or lines next to each other.
pub fn rebased(base: &str, wanted: &str, now: &str) -> Option<String> {
    let mut all = replacements(base, wanted);
    let theirs = replacements(base, now);
    let apart =
        |a: &std::ops::Range<usize>, b: &std::ops::Range<usize>| a.end < b.start || b.end < a.start;
    if !all
        .iter()
        .all(|(a, _)| theirs.iter().all(|(b, _)| apart(a, b)))
    {
        return None;
    }
    all.extend(theirs);
    all.sort_by_key(|(range, _)| range.start);
    let lines: Vec<&str> = base.split_inclusive('\n').collect();
    let (mut out, mut at) = (String::new(), 0);
    for (range, text) in all {
        out.push_str(&lines.get(at..range.start)?.concat());
        out.push_str(&text);
        at = range.end;
    }
    out.push_str(&lines.get(at..)?.concat());
    Some(out)
}

fn file_diff(out: &mut String, path: &str, old: &str, new: &str) {
    let (a, b) = (quoted("a/", path), quoted("b/", path));
    let diff = TextDiff::from_lines(old, new);
    let body = diff
        .unified_diff()
        .context_radius(3)
        .header(&a, &b)
        .to_string();
    // writing to a String cannot fail
    let _ = write!(out, "diff --git {a} {b}\n{body}");
    if !out.ends_with('\n') {
        out.push('\n');
    }
}

/// The difference between two texts without a file's header, for reading only.
pub fn difference(old: &str, new: &str) -> String {
    TextDiff::from_lines(old, new)
        .unified_diff()
        .context_radius(3)
        .to_string()
}

/// A path as git writes it in a diff: quoted in C style when it holds unusual bytes.
fn quoted(prefix: &str, path: &str) -> String {
    let plain = path
        .bytes()
        .all(|b| (0x20..0x7f).contains(&b) && b != b'"' && b != b'\\');
    if plain {
        return format!("{prefix}{path}");
    }
    let mut out = format!("\"{prefix}");
    for b in path.bytes() {
        match b {
            b'"' => out.push_str("\\\""),
            b'\\' => out.push_str("\\\\"),
            b'\n' => out.push_str("\\n"),
            b'\t' => out.push_str("\\t"),
            0x20..0x7f => out.push(b as char),
            _ => {
                let _ = write!(out, "\\{b:03o}");
            }
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn apply_with_git(path: &str, old: &str, new: &str) {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join(path), old).unwrap();
        let files = Files {
            by_path: BTreeMap::from([(path.to_owned(), old.as_bytes().to_vec())]),
        };
        let patch = unified(
            &files,
            &BTreeMap::from([(path.to_owned(), new.as_bytes().to_vec())]),
        );
        std::fs::write(dir.path().join("p.diff"), &patch).unwrap();
        let done = std::process::Command::new("git")
            .args(["apply", "p.diff"])
            .current_dir(dir.path())
            .output()
            .unwrap();
        assert!(
            done.status.success(),
            "{patch}\n{}",
            String::from_utf8_lossy(&done.stderr)
        );
        assert_eq!(std::fs::read_to_string(dir.path().join(path)).unwrap(), new);
    }

    #[test]
    fn the_difference_of_two_diffs_ignores_line_numbers() {
        let old = "--- a/x\n+++ b/x\n@@ -1,2 +1,2 @@\n-a: 1\n+a: 2\n";
        assert_eq!(between(old, &old.replace("-1,2 +1,2", "-9,2 +9,2")), "");
        let new = old.replace("+a: 2", "+a: 3");
        assert!(between(old, &new).ends_with("-+a: 2\n++a: 3\n"));
    }

    #[test]
    fn git_applies_what_we_write() {
        apply_with_git("a.yaml", "a: 1\nb: 2\n", "a: 1\nb: 3\n");
        apply_with_git("a.yaml", "a: 1\nb: 2", "a: 1\nb: 3");
        apply_with_git("a.yaml", "a: 1\r\nb: 2\r\n", "a: 1\r\nb: 3\r\n");
        apply_with_git("\u{fc}ml\"aut.yaml", "a: 1\n", "a: 2\n");
    }
}
