//! Names that are the same in every run: branches and write targets. Pure.

use sha2::{Digest, Sha256};

/// What a pull request writes: two findings that want the same paths of the same file share one.
/// Twelve hexadecimal digits, like a fingerprint.
pub fn target_key<'a>(
    repo_id: &str,
    base_branch: &str,
    places: impl IntoIterator<Item = (&'a str, String)>,
) -> String {
    let mut places: Vec<String> = places
        .into_iter()
        .map(|(file, path)| format!("{file}#{path}"))
        .collect();
    places.sort();
    places.dedup();
    digest(&[&[repo_id, base_branch], as_strs(&places).as_slice()].concat())
}

/// What a human said no to, when a pull request is closed: the same places with the same values
/// before. When a value in Git changes, it is another question.
pub fn change_key<'a>(changes: impl IntoIterator<Item = (&'a str, String, String)>) -> String {
    let mut parts: Vec<String> = changes
        .into_iter()
        .map(|(file, path, before)| format!("{file}#{path}={before}"))
        .collect();
    parts.sort();
    digest(&as_strs(&parts))
}

/// What a fix makes of the places that it writes. Same target, same values before and same values
/// after: the same fix, whatever else moved in the files around it.
pub fn result_key<'a>(changes: impl IntoIterator<Item = (&'a str, String, String)>) -> String {
    change_key(changes)
}

/// One name for a whole fix: what is written, from which values, to which.
pub fn fix_id(target: &str, change: &str, result: &str) -> String {
    digest(&[target, change, result])
}

/// The digits of a fingerprint that a branch ends in.
pub fn short(fingerprint: &str) -> &str {
    fingerprint.get(..8).unwrap_or(fingerprint)
}

/// The digits of the fingerprint in a branch of ours: what follows the last dash.
pub fn short_of_branch(branch: &str) -> Option<&str> {
    let (_, last) = branch.rsplit_once('-')?;
    let is_short = last.len() == 8 && last.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    is_short.then_some(last)
}

/// The branch of the pull request that takes a fix back.
pub fn revert_branch(prefix: &str, fingerprint: &str) -> String {
    format!("{prefix}revert/{}", short(fingerprint))
}

/// The digits of the fingerprint of the fix that a branch takes back.
pub fn reverted_of_branch(branch: &str) -> Option<&str> {
    let (before, last) = branch.rsplit_once('/')?;
    let is_short = last.len() == 8 && last.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    let named = before == "revert" || before.ends_with("/revert");
    (is_short && named).then_some(last)
}

/// The branch of the pull request that asks whether kubemend may work in a repository.
pub fn onboarding_branch(prefix: &str) -> String {
    format!("{prefix}onboarding")
}

/// Where a branch of ours belongs: its first part after the prefix, the namespace as a slug.
pub fn scope_of_branch<'b>(branch: &'b str, prefixes: &[&str]) -> Option<&'b str> {
    let rest = prefixes.iter().find_map(|p| branch.strip_prefix(p))?;
    rest.split_once('/').map(|(scope, _)| scope)
}

/// A hash of a title and body, as far as a change of them is worth a write: a base that moved and
/// nothing else is not.
pub fn text_hash(title: &str, body: &str) -> String {
    let lines = body.lines().map(|line| match line.rsplit_once(" · base ") {
        Some((before, _)) => before,
        None => line,
    });
    let body: Vec<&str> = lines.map(str::trim_end).collect();
    digest(&[title.trim(), body.join("\n").trim()])
}

/// The same for a question, with what was not heard of an answer.
pub fn question_hash(title: &str, body: &str, unheard: Option<&str>) -> String {
    match unheard {
        None => text_hash(title, body),
        Some(unheard) => text_hash(title, &format!("{body}\n{unheard}")),
    }
}

/// What a question offers: when its options change, an earlier choice does not count any more.
pub fn options_key<'a>(titles: impl IntoIterator<Item = &'a str>) -> String {
    digest(&titles.into_iter().collect::<Vec<_>>())
}

fn as_strs(parts: &[String]) -> Vec<&str> {
    parts.iter().map(String::as_str).collect()
}

/// Twelve hexadecimal digits of SHA-256 over the parts.
pub fn digest(parts: &[&str]) -> String {
    let hash = Sha256::digest(parts.join("|").as_bytes());
    hash.iter().take(6).map(|b| format!("{b:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_branch_tells_its_fingerprint_and_scope() {
        let branch = "kubemend/shop/deployment-cart-oomkilled-3f9c1a2b";
        assert_eq!(short_of_branch(branch), Some("3f9c1a2b"));
        assert_eq!(short_of_branch("kubemend/shop/cart-3f9c1a2"), None);
        assert_eq!(short_of_branch("kubemend/shop/cart-3F9C1A2B"), None);
        assert_eq!(
            scope_of_branch(branch, &["old/", "kubemend/"]),
            Some("shop")
        );
        assert_eq!(scope_of_branch("feature/x", &["kubemend/"]), None);
    }

    #[test]
    fn a_branch_tells_what_it_takes_back() {
        let branch = revert_branch("kubemend/", "3f9c1a2b7d10");
        assert_eq!(branch, "kubemend/revert/3f9c1a2b");
        assert_eq!(reverted_of_branch(&branch), Some("3f9c1a2b"));
        assert_eq!(short_of_branch(&branch), None, "it is no fix");
        let fix = "kubemend/revert/deployment-cart-oomkilled-3f9c1a2b";
        assert_eq!(reverted_of_branch(fix), None, "a namespace of that name");
    }

    #[test]
    fn the_base_in_the_footer_is_not_worth_a_write() {
        let body = |base: &str| format!("text\n\nkubemend 1 · playbook x · abc{base}\n");
        let hash = |base: &str| text_hash("t", &body(base));
        assert_eq!(hash(" · base 123"), hash(" · base 456"));
        assert_ne!(text_hash("t", "a"), text_hash("t", "b"));
        assert_ne!(text_hash("t", "a"), text_hash("u", "a"));
    }

    #[test]
    fn places_in_any_order_are_one_target() {
        let place = |f: &'static str, p: &str| (f, p.to_owned());
        let one = target_key("r", "main", [place("a", "x"), place("b", "y")]);
        let other = target_key(
            "r",
            "main",
            [place("b", "y"), place("a", "x"), place("a", "x")],
        );
        assert_eq!(one, other);
        assert_ne!(
            one,
            target_key("r", "dev", [place("a", "x"), place("b", "y")])
        );
        assert_eq!(one.len(), 12);
    }
}
