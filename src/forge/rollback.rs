//! Which merged fix a person means who wants it taken back: a number, a fingerprint, or an object. Pure.

use crate::forge::PullState;
use crate::forge::decide::{Observed, OurPull};
use crate::forge::marker::{Marker, What};

/// What was typed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wish {
    /// `12` or `#12`.
    Number(u64),
    /// At least eight digits of a fingerprint.
    Fingerprint(String),
    /// `deployment/shop/web`; without a namespace for what has none.
    Object {
        /// Kind, in any case.
        kind: String,
        /// Namespace.
        namespace: Option<String>,
        /// Name.
        name: String,
    },
}

/// Why no fix is meant.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoFix {
    /// Not understood.
    #[error(
        "{0}: give a pull request (12), a fingerprint (eight digits or more), or KIND/NAMESPACE/NAME"
    )]
    Unreadable(String),
    /// Nothing was merged for it.
    #[error("no merged fix of kubemend is known for {0}")]
    Unknown(String),
}

impl std::str::FromStr for Wish {
    type Err = NoFix;

    fn from_str(text: &str) -> Result<Self, NoFix> {
        let unreadable = || NoFix::Unreadable(text.to_owned());
        let parts: Vec<&str> = text.trim().split('/').collect();
        if parts.iter().any(|p| p.is_empty()) {
            return Err(unreadable());
        }
        match parts.as_slice() {
            [one] => {
                let digits = one.strip_prefix('#').unwrap_or(one);
                let is_hex = digits.bytes().all(|b| b.is_ascii_hexdigit());
                match digits.parse() {
                    Ok(number) if digits.len() < 8 => Ok(Self::Number(number)),
                    _ if is_hex && (8..=64).contains(&digits.len()) => {
                        Ok(Self::Fingerprint(digits.to_lowercase()))
                    }
                    _ => Err(unreadable()),
                }
            }
            [kind, name] => Ok(object(kind, None, name)),
            [kind, namespace, name] => Ok(object(kind, Some(namespace), name)),
            _ => Err(unreadable()),
        }
    }
}

fn object(kind: &str, namespace: Option<&str>, name: &str) -> Wish {
    Wish::Object {
        kind: kind.to_lowercase(),
        namespace: namespace.map(str::to_owned),
        name: name.to_owned(),
    }
}

impl Wish {
    /// The merged fix that is meant: of several the one that was merged last.
    pub fn find(&self, observed: &Observed) -> Option<u64> {
        let merged = observed.pulls.iter().filter(|p| {
            let marker = observed.markers.get(&p.pull.number);
            p.pull.state == PullState::Merged
                && marker.is_some_and(|m| m.what == What::Fix && self.means(p, m))
        });
        merged
            .max_by_key(|p| (p.pull.closed_at, p.pull.number))
            .map(|p| p.pull.number)
    }

    fn means(&self, ours: &OurPull, marker: &Marker) -> bool {
        match self {
            Self::Number(number) => ours.pull.number == *number,
            Self::Fingerprint(digits) => marker.fingerprint.starts_with(digits.as_str()),
            Self::Object {
                kind,
                namespace,
                name,
            } => {
                let Some((its_kind, rest)) = marker.object.split_once(' ') else {
                    return false;
                };
                let wanted = match namespace {
                    Some(namespace) => format!("{namespace}/{name}"),
                    None => name.clone(),
                };
                its_kind.to_lowercase() == *kind && rest == wanted
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn what_is_typed_is_a_number_a_fingerprint_or_an_object() {
        let read = |text: &str| text.parse::<Wish>();
        assert_eq!(read("#12").unwrap(), Wish::Number(12));
        assert_eq!(read("12").unwrap(), Wish::Number(12));
        let fingerprint = Wish::Fingerprint("3f9c1a2b7d10".to_owned());
        assert_eq!(read("3F9C1A2B7D10").unwrap(), fingerprint);
        assert_eq!(
            read("Deployment/shop/web").unwrap(),
            object("deployment", Some("shop"), "web")
        );
        assert_eq!(
            read("clusterrole/reader").unwrap(),
            object("clusterrole", None, "reader")
        );
        for bad in [
            "",
            "web",
            "a/b/c/d",
            "//",
            "deployment//web",
            "3f9c1a2",
            "#x",
        ] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }
}
