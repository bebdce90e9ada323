//! Earlier versions of the objects that a finding names, from Git.
//!
//! For a plain file the earlier document counts; for a kustomize root the earlier tree is rendered
//! again, so that patches and transformers are in the answer.

use std::collections::BTreeSet;

use crate::case::{Desired, Earlier};
use crate::finding::Finding;
use crate::locate::Repository;
use crate::object::ObjectRef;
use crate::pipeline::Context;
use crate::repo::FileVersion;

/// The most earlier versions of one object.
const MOST_VERSIONS: usize = 5;
/// The most earlier trees that are rendered again.
const MOST_RENDERS: usize = 3;

/// Earlier versions of the failing object and the objects it names, newest first.
pub(crate) fn earlier(ctx: &Context<'_>, finding: &Finding) -> Vec<Earlier> {
    let wanted: Vec<&ObjectRef> = std::iter::once(&finding.object)
        .chain(&finding.related)
        .collect();
    let named = |d: &&Desired| wanted.iter().any(|w| d.object.reference().same_object(w));
    let targets: Vec<&Desired> = ctx.repository.desired.iter().filter(named).collect();
    let mut files: BTreeSet<String> = targets.iter().map(|d| d.file.clone()).collect();
    for root in targets.iter().filter_map(|d| d.root.as_deref()) {
        files.extend(ctx.repository.files_of_root(root));
    }
    let Ok(versions) = ctx.checkout.history(&files, MOST_VERSIONS) else {
        return Vec::new();
    };
    let mut out = Vec::new();
    for target in targets {
        out.extend(match &target.root {
            None => from_file(ctx, target, &versions),
            Some(root) => from_root(ctx, target, root, &versions),
        });
    }
    out
}

fn from_file(ctx: &Context<'_>, target: &Desired, versions: &[FileVersion]) -> Vec<Earlier> {
    let reference = target.object.reference();
    versions
        .iter()
        .filter(|v| v.path == target.file)
        .filter_map(|v| {
            let object = ctx
                .repository
                .objects_in(&v.path, &v.bytes)
                .into_iter()
                .find(|o| o.reference().same_object(&reference))?;
            Some(Earlier {
                replaced_by: v.replaced_by.clone(),
                object,
            })
        })
        .filter(|e| e.object != target.object)
        .collect()
}

fn from_root(
    ctx: &Context<'_>,
    target: &Desired,
    root: &str,
    versions: &[FileVersion],
) -> Vec<Earlier> {
    let mut commits: Vec<&FileVersion> = Vec::new();
    for version in versions {
        if commits
            .iter()
            .all(|c| c.replaced_by.id != version.replaced_by.id)
        {
            commits.push(version);
        }
    }
    let reference = target.object.reference();
    let mut out = Vec::new();
    for version in commits.into_iter().take(MOST_RENDERS) {
        let Ok(files) = ctx.checkout.files_before(&version.replaced_by.id) else {
            continue;
        };
        let before = Repository::open_root(&files, ctx.repository, root);
        let hit = before
            .into_iter()
            .find(|d| d.object.reference().same_object(&reference));
        if let Some(desired) = hit.filter(|d| d.object != target.object) {
            out.push(Earlier {
                replaced_by: version.replaced_by.clone(),
                object: desired.object,
            });
        }
    }
    out
}
