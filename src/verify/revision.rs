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
