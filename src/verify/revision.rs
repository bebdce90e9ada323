//! What Argo CD and Flux write as revisions, and whether one contains a commit. Pure.

/// A revision as an engine names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Revision {
    /// A Git commit, 40 (or 64) hexadecimal digits.
    Commit(String),
    /// A chart version, an OCI digest: not a Git commit.
    Other(String),
}

impl Revision {
    /// Reads `<sha>`, `main@sha1:<sha>`, `tag@sha1:<sha>`, `sha1:<sha>`, `main/<sha>`.
    pub fn read(text: &str) -> Option<Self> {
        let text = text.trim();
        if text.is_empty() {
            return None;
        }
        let after_at = text.rsplit_once('@').map_or(text, |(_, rest)| rest);
        let digest = match after_at.split_once(':') {
            Some(("sha1", digest)) => Some(digest),
            Some(_) => None,
            None => after_at.rsplit('/').next(),
        };
        let commit = digest.filter(|d| is_commit(d));
        Some(commit.map_or_else(
            || Self::Other(text.to_owned()),
            |c| Self::Commit(c.to_ascii_lowercase()),
        ))
    }

    /// The commit.
    pub fn commit(&self) -> Option<&str> {
        match self {
            Self::Commit(commit) => Some(commit),
            Self::Other(_) => None,
        }
    }
}

fn is_commit(text: &str) -> bool {
    (text.len() == 40 || text.len() == 64) && text.bytes().all(|b| b.is_ascii_hexdigit())
}

/// Whether one commit is an ancestor of another: `None` when the repository does not know one of them.
pub type IsAncestor<'a> = dyn Fn(&str, &str) -> Option<bool> + 'a;

/// Whether a revision contains a commit: it is that commit, or a descendant of it. Equality alone
/// fails in a busy repository, where a later commit is applied.
pub fn contains(revision: &Revision, commit: &str, is_ancestor: &IsAncestor<'_>) -> Option<bool> {
    let at = revision.commit()?;
    if at.eq_ignore_ascii_case(commit) {
        return Some(true);
    }
    is_ancestor(commit, at)
}

/// What a source follows that is no branch, as far as the name of it tells: one tag, the newest of some,
/// or a commit. A branch may be named like a short version, so that is not taken for a tag.
pub fn pinned(target: &str) -> Option<String> {
    let shown: String = target.chars().take(MAX_SHOWN).collect();
    if let Some(tag) = shown.strip_prefix("refs/tags/") {
        return Some(format!("tag `{tag}`"));
    }
    if is_commit(target) || is_short(target) {
        return Some(format!("commit `{shown}`"));
    }
    if is_range(target) {
        return Some(format!("the newest tag in `{shown}`"));
    }
    is_version(target).then(|| format!("tag `{shown}`"))
}

/// The beginning of a commit. A word or a date may be spelled like one, and name a branch.
fn is_short(target: &str) -> bool {
    (7..40).contains(&target.len())
        && target.bytes().all(|b| b.is_ascii_hexdigit())
        && target.bytes().any(|b| b.is_ascii_digit())
        && target.bytes().any(|b| b.is_ascii_alphabetic())
}

/// The longest name of a tag that is shown, in characters.
const MAX_SHOWN: usize = 60;

/// `>=1.2`, `^1.0`, `1.2.*`, `1.2.x`
fn is_range(target: &str) -> bool {
    let is_wild = |part: &str| matches!(part, "*" | "x" | "X");
    let version = target.strip_prefix('v').unwrap_or(target);
    let mut parts = version.split('.');
    target.starts_with(['^', '~', '>', '<', '='])
        || target == "*"
        || parts.next().is_some_and(is_number) && parts.any(is_wild)
}

/// `1.2.3`, `v1.2.3-rc.1`
fn is_version(target: &str) -> bool {
    let version = target.strip_prefix('v').unwrap_or(target);
    let core = version.split(['-', '+']).next().unwrap_or_default();
    let parts: Vec<&str> = core.split('.').collect();
    parts.len() == 3 && parts.into_iter().all(is_number)
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const SHA: &str = "0123456789abcdef0123456789abcdef01234567";

    #[test]
    fn all_spellings_of_a_commit_are_read() {
        for text in [
            SHA.to_owned(),
            format!("main@sha1:{SHA}"),
            format!("v1.2@sha1:{SHA}"),
            format!("sha1:{SHA}"),
            format!("main/{SHA}"),
            format!("feature/x@sha1:{SHA}"),
            SHA.to_uppercase(),
        ] {
            assert_eq!(Revision::read(&text).unwrap().commit(), Some(SHA), "{text}");
        }
    }

    #[test]
    fn charts_and_images_are_no_commits() {
        let oci = format!("latest@sha256:{}", "0".repeat(64));
        for text in [
            "1.2.3",
            "v1",
            oci.as_str(),
            "main",
            "@",
            "sha1:",
            "main@sha1:xyz",
        ] {
            assert_eq!(Revision::read(text).unwrap().commit(), None, "{text}");
        }
        assert_eq!(Revision::read(" "), None);
    }

    #[test]
    fn tags_and_commits_are_no_branches() {
        for (target, wanted) in [
            ("refs/tags/stable", "tag `stable`"),
            ("v1.2.3", "tag `v1.2.3`"),
            ("1.2.3-rc.1", "tag `1.2.3-rc.1`"),
            (">=1.2 <2", "the newest tag in `>=1.2 <2`"),
            ("1.2.*", "the newest tag in `1.2.*`"),
            ("v1.x", "the newest tag in `v1.x`"),
            ("0123abc", "commit `0123abc`"),
            (SHA, &format!("commit `{SHA}`")),
        ] {
            assert_eq!(pinned(target).as_deref(), Some(wanted), "{target}");
        }
        for branch in [
            "",
            "HEAD",
            "main",
            "refs/heads/v1.2.3",
            "release/v1.2.3",
            "v1.2",
            "1.0",
            "v1",
            "2026.1.x-lts-branch/fix",
            "deadbeef",
            "20260102",
            "feature-1.2.3",
        ] {
            assert_eq!(pinned(branch), None, "{branch}");
        }
    }

    #[test]
    fn a_later_commit_contains_an_earlier_one_and_a_sibling_does_not() {
        let line = |a: &str, b: &str| match (a, b) {
            ("old", _) => Some(true),
            ("lost", _) => None,
            _ => Some(false),
        };
        let at = Revision::read(SHA).unwrap();
        assert_eq!(contains(&at, SHA, &line), Some(true));
        assert_eq!(contains(&at, "old", &line), Some(true));
        assert_eq!(contains(&at, "sibling", &line), Some(false));
        assert_eq!(contains(&at, "lost", &line), None);
        assert_eq!(contains(&Revision::Other("1.2".into()), SHA, &line), None);
    }
}
