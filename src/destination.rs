//! In which namespace manifests that name none are applied, as far as a snapshot can say. Pure.

use std::collections::BTreeMap;

use crate::case::Desired;
use crate::snapshot::Snapshot;

/// The namespace that holds more of these objects than any other, and how many.
///
/// Only objects that name no namespace count. A tie says nothing.
pub fn infer(desired: &[Desired], snapshot: &Snapshot) -> Option<(String, usize)> {
    let mut votes: BTreeMap<&str, usize> = BTreeMap::new();
    for object in desired
        .iter()
        .map(|d| &d.object)
        .filter(|o| o.namespace().is_none())
    {
        for live in snapshot
            .of_kind(object.kind())
            .filter(|l| l.name() == object.name())
        {
            if let Some(namespace) = live.namespace() {
                *votes.entry(namespace).or_default() += 1;
            }
        }
    }
    let most = votes.values().copied().max()?;
    let mut winners = votes.iter().filter(|(_, n)| **n == most);
    let (namespace, count) = winners.next()?;
    winners
        .next()
        .is_none()
        .then(|| ((*namespace).to_owned(), *count))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::object::Object;

    fn object(kind: &str, namespace: Option<&str>, name: &str) -> Object {
        Object::new(
            serde_json::json!({"kind": kind, "metadata": {"name": name, "namespace": namespace}}),
        )
        .unwrap()
    }

    fn desired(kind: &str, namespace: Option<&str>, name: &str) -> Desired {
        Desired {
            object: object(kind, namespace, name),
            file: "a.yaml".into(),
            document: 0,
            root: None,
        }
    }

    #[test]
    fn the_namespace_that_holds_the_objects_wins() {
        let live = |ns: &str, name: &str| object("Deployment", Some(ns), name);
        let snapshot = Snapshot::new(
            vec![live("a", "web"), live("a", "api"), live("b", "web")],
            BTreeMap::new(),
        );
        let both = [
            desired("Deployment", None, "web"),
            desired("Deployment", None, "api"),
        ];
        assert_eq!(infer(&both, &snapshot), Some(("a".to_owned(), 2)));
        assert_eq!(infer(&both[..1], &snapshot), None, "a tie says nothing");
        assert_eq!(
            infer(&[desired("Deployment", Some("a"), "web")], &snapshot),
            None
        );
    }
}
