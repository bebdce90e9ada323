//! Image references in their parts, as kustomize takes them apart.

use std::fmt;

/// `registry:5000/team/web:1.2@sha256:…`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Image {
    /// All before tag and digest, the registry and its port included.
    pub(super) name: String,
    /// Behind the `:`.
    pub(super) tag: Option<String>,
    /// Behind the `@`.
    pub(super) digest: Option<String>,
}

impl Image {
    /// Takes a reference apart; none for a text that is none (a template, a sentence).
    pub(super) fn parse(text: &str) -> Option<Self> {
        let odd = |c: char| c.is_whitespace() || matches!(c, '$' | '{' | '}' | '(' | ')');
        if text.is_empty() || text.contains(odd) {
            return None;
        }
        let (rest, digest) = match text.split_once('@') {
            Some((rest, digest)) => (rest, Some(digest.to_owned())),
            None => (text, None),
        };
        let slash = rest.rfind('/').map_or(0, |i| i + 1);
        let (name, tag) = match rest.get(slash..)?.find(':') {
            Some(colon) => (
                rest.get(..slash + colon)?,
                rest.get(slash + colon + 1..).map(str::to_owned),
            ),
            None => (rest, None),
        };
        (!name.is_empty()).then(|| Self {
            name: name.to_owned(),
            tag,
            digest,
        })
    }
}

impl fmt::Display for Image {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        if let Some(digest) = &self.digest {
            write!(f, "@{digest}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_taken_apart_and_put_together() {
        for (text, name, tag, digest) in [
            ("web", "web", None, None),
            ("a.io:5000/web", "a.io:5000/web", None, None),
            ("a.io:5000/web:1", "a.io:5000/web", Some("1"), None),
            ("web@sha256:00", "web", None, Some("sha256:00")),
            ("web:1@sha256:00", "web", Some("1"), Some("sha256:00")),
        ] {
            let image = Image::parse(text).expect("an image");
            assert_eq!(
                (
                    image.name.as_str(),
                    image.tag.as_deref(),
                    image.digest.as_deref()
                ),
                (name, tag, digest)
            );
            assert_eq!(image.to_string(), text);
        }
        for text in ["", "$(IMAGE)", "${IMAGE}", "{{ image }}", "two words"] {
            assert_eq!(Image::parse(text), None, "{text}");
        }
    }
}
