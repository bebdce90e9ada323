//! Where in an object a path points, in the words of the rules: a container's field, a field of
//! the pod spec, or a field of the object itself.

use crate::object::pod_spec_path;
use crate::path::{FieldPath, Seg};

/// A classified path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    /// Below a container: `containers[name=web].image` is `Container { rest: ["image"] }`.
    Container {
        /// The container's name.
        name: String,
        /// Whether it is an init container.
        init: bool,
        /// The path below the container; list items of any kind are `*`.
        rest: Vec<String>,
    },
    /// In the pod spec, outside the containers.
    PodSpec(Vec<String>),
    /// Anywhere else in the object.
    Object(Vec<String>),
}

impl Place {
    /// Classifies a path of an object of this kind.
    pub(super) fn of(kind: &str, path: &FieldPath) -> Self {
        let below_pod = pod_spec_path(kind)
            .filter(|p| path.starts_with(p))
            .map(|p| &path.0[p.0.len()..]);
        match below_pod {
            Some([Seg::Key(list), Seg::Named { key, value }, rest @ ..])
                if key == "name" && is_container_list(list) =>
            {
                Self::Container {
                    name: value.clone(),
                    init: list == "initContainers",
                    rest: words(rest),
                }
            }
            Some(rest) => Self::PodSpec(words(rest)),
            None => Self::Object(words(&path.0)),
        }
    }

    /// The words behind a container, if it is one.
    pub(super) fn container(&self) -> Option<Vec<&str>> {
        match self {
            Self::Container { rest, .. } => Some(rest.iter().map(String::as_str).collect()),
            _ => None,
        }
    }

    /// The words in the pod spec, if it is there.
    pub(super) fn pod_spec(&self) -> Option<Vec<&str>> {
        match self {
            Self::PodSpec(rest) => Some(rest.iter().map(String::as_str).collect()),
            _ => None,
        }
    }

    /// The words in the object, if it is neither in a container nor in a pod spec.
    pub(super) fn object(&self) -> Option<Vec<&str>> {
        match self {
            Self::Object(rest) => Some(rest.iter().map(String::as_str).collect()),
            _ => None,
        }
    }
}

fn is_container_list(list: &str) -> bool {
    ["containers", "initContainers", "ephemeralContainers"].contains(&list)
}

fn words(segs: &[Seg]) -> Vec<String> {
    segs.iter()
        .map(|seg| match seg {
            Seg::Key(key) => key.clone(),
            Seg::Index(_) | Seg::Named { .. } => "*".to_owned(),
        })
        .collect()
}
