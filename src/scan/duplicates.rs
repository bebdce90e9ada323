//! The same object twice in what is applied together.
//!
//! kustomize itself refuses a duplicate in a root, so plain files are left: one file, or one
//! directory whose files are not alternatives of each other.

use std::collections::BTreeMap;

use crate::case::Desired;
use crate::code::Code;
use crate::finding::Severity;
use crate::locate::Repository;
use crate::path::FieldPath;
use crate::scan::Placed;
use crate::scan::draft::Draft;
use crate::scan::place;
use crate::scan::rules;
use crate::scan::world::Scope;

pub(super) fn check(repository: &Repository<'_>, scopes: &[Scope]) -> Vec<Placed> {
    let plain = scopes.iter().filter(|s| s.root.is_none());
    plain.flat_map(|s| of_scope(repository, s)).collect()
}

fn of_scope(repository: &Repository<'_>, scope: &Scope) -> Vec<Placed> {
    let mut groups: BTreeMap<_, Vec<&Desired>> = BTreeMap::new();
    let members = scope
        .members
        .iter()
        .filter_map(|i| repository.desired.get(*i));
    for desired in members.filter(|d| !d.object.name().is_empty()) {
        let r = desired.object.reference();
        let key = (
            r.group().to_owned(),
            r.kind.clone(),
            r.namespace.clone(),
            r.name,
        );
        groups.entry(key).or_default().push(desired);
    }
    let twice = groups.into_values().filter(|g| g.len() > 1);
    twice.filter_map(|g| duplicate(repository, &g)).collect()
}

fn duplicate(repository: &Repository<'_>, group: &[&Desired]) -> Option<Placed> {
    let [first, .., last] = group else {
        return None;
    };
    // files beside each other may be alternatives; two documents of one file are not
    if first.file != last.file || first.document == last.document {
        return None;
    }
    let path = FieldPath::keys(["metadata", "name"]);
    let (_, first_place) =
        place::in_document(repository.files, &first.file, first.document, &path, false)?;
    let (_, place) = place::in_document(repository.files, &last.file, last.document, &path, false)?;
    let same = first.object.value == last.object.value;
    let what = match same {
        true => "with the same content",
        false => "with another content, and the last one wins",
    };
    let message = format!(
        "{} is defined at line {} of this file already, {what}",
        last.object.reference(),
        first_place.line
    );
    let severity = match same {
        true => Severity::Low,
        false => Severity::Medium,
    };
    let draft = Draft::new(&rules::DUPLICATE_OBJECT, &last.object, path, message)
        .severity(severity)
        .person(
            Code::BlockedNewObject,
            "objects are not removed by kubemend (rule G03)",
        );
    Some(Placed {
        draft,
        place,
        scope: None,
        roots: Vec::new(),
        options: None,
    })
}
