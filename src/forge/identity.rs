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

/// What a question offers: when its options change, an earlier choice does not count any more.
pub fn options_key<'a>(titles: impl IntoIterator<Item = &'a str>) -> String {
    digest(&titles.into_iter().collect::<Vec<_>>())
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

fn as_strs(parts: &[String]) -> Vec<&str> {
    parts.iter().map(String::as_str).collect()
}

/// Twelve hexadecimal digits of SHA-256 over the parts.
pub fn digest(parts: &[&str]) -> String {
    let hash = Sha256::digest(parts.join("|").as_bytes());
    hash.iter().take(6).map(|b| format!("{b:02x}")).collect()
}
