//! CODEOWNERS: whom a pull request is assigned to. Pure.

use sha2::{Digest, Sha256};

/// Where GitHub looks, in its order.
pub(super) const PLACES: [&str; 3] = [".github/CODEOWNERS", "CODEOWNERS", "docs/CODEOWNERS"];
const MAX_LINES: usize = 3_000;

/// At most `most` owners of the files, always the same ones for the same finding. Teams and mail
/// addresses cannot be assigned.
pub(super) fn chosen<'f>(
    text: &str,
    files: impl Iterator<Item = &'f str>,
    fingerprint: &str,
    most: usize,
) -> Vec<String> {
    let rules: Vec<(&str, Vec<&str>)> = text.lines().take(MAX_LINES).filter_map(rule).collect();
    let mut people: Vec<String> = Vec::new();
    for file in files {
        // the last rule that fits counts
        let last = rules.iter().rev().find(|(p, _)| fits(p, file));
        for owner in last
            .map(|(_, owners)| owners.as_slice())
            .unwrap_or_default()
        {
            let login = owner.strip_prefix('@').filter(|l| is_login(l));
            if let Some(login) = login.filter(|l| !people.iter().any(|p| p == l)) {
                people.push(login.to_owned());
            }
        }
    }
    people.sort_by_key(|p| Sha256::digest(format!("{fingerprint}{p}")).to_vec());
    people.truncate(most);
    people
}

fn is_login(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= 39
        && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
}

fn rule(line: &str) -> Option<(&str, Vec<&str>)> {
    let line = line.split(" #").next().unwrap_or_default().trim();
    let mut words = line.split_whitespace();
    let pattern = words.next().filter(|p| !p.starts_with('#'))?;
    Some((pattern, words.collect()))
}

/// Whether a pattern of CODEOWNERS fits to a file: as in `.gitignore`, without `!` and `[]`.
fn fits(pattern: &str, file: &str) -> bool {
    let is_folder = pattern.ends_with('/');
    let trimmed = pattern.trim_end_matches('/');
    let anchored = trimmed.trim_start_matches('/').contains('/') || trimmed.starts_with('/');
    let wanted: Vec<&str> = trimmed.trim_start_matches('/').split('/').collect();
    let parts: Vec<&str> = file.split('/').collect();
    let starts = if anchored { 1 } else { parts.len() };
    (0..starts).any(|start| {
        let rest = parts.get(start..).unwrap_or_default();
        (1..=rest.len()).any(|end| {
            // `docs/*` is not the folders below, and `docs/` is not a file
            let whole = end == rest.len();
            let below = !whole && !pattern.ends_with("/*");
            let usable = if is_folder { !whole } else { whole || below };
            usable && same(&wanted, rest.get(..end).unwrap_or_default())
        })
    })
}

fn same(pattern: &[&str], parts: &[&str]) -> bool {
    match (pattern.split_first(), parts.split_first()) {
        (None, None) => true,
        (Some((&"**", rest)), _) => {
            same(rest, parts) || parts.split_first().is_some_and(|(_, p)| same(pattern, p))
        }
        (Some((one, rest)), Some((part, others))) => star(one, part) && same(rest, others),
        _ => false,
    }
}

fn star(pattern: &str, text: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == text,
        Some((before, after)) => text.strip_prefix(before).is_some_and(|rest| {
            let mut ends = rest.char_indices().map(|(i, _)| i).chain([rest.len()]);
            ends.any(|i| star(after, rest.get(i..).unwrap_or_default()))
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_are_those_of_github() {
        for (pattern, file, yes) in [
            ("*", "a/b.yaml", true),
            ("*.yaml", "a/b.yaml", true),
            ("*.yaml", "a/b.yml", false),
            ("/apps/", "apps/x/y.yaml", true),
            ("/apps/", "other/apps/y.yaml", false),
            ("apps/", "other/apps/y.yaml", true),
            ("apps/", "apps", false),
            ("docs/*", "docs/a.md", true),
            ("docs/*", "docs/a/b.md", false),
            ("/apps/**/base", "apps/x/y/base/k.yaml", true),
            ("/apps/cart", "apps/cart/d.yaml", true),
            ("/apps/cart", "apps/cart2/d.yaml", false),
        ] {
            assert_eq!(fits(pattern, file), yes, "{pattern} {file}");
        }
    }

    #[test]
    fn the_last_rule_counts_and_only_people_are_chosen() {
        let text = "# who\n* @all\n/apps/ @ann @bob @acme/team x@y.z # shop\n/apps/free\n";
        let of = |file: &str, most| chosen(text, [file].into_iter(), "f", most);
        let mut both = of("apps/a.yaml", 9);
        both.sort();
        assert_eq!(both, ["ann", "bob"]);
        assert_eq!(of("apps/a.yaml", 1), of("apps/a.yaml", 1));
        assert_eq!(of("apps/a.yaml", 1).len(), 1);
        assert_eq!(of("x.yaml", 9), ["all"]);
        assert!(of("apps/free/x.yaml", 9).is_empty());
    }
}
