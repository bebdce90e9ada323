//! What is special about workflows on a pull request: the checkout is a stranger's, so settings come
//! from the base branch.

use std::collections::{BTreeMap, BTreeSet};

use super::{Online, Stop, Workflow, configured};
use crate::commands::Failure;
use crate::config::{Loaded, REPOSITORY_FILES};
use crate::files::Files;

/// The settings that count for the event.
pub(super) fn configuration(workflow: &Workflow<'_>) -> Result<Loaded, Stop> {
    let overrides = &workflow.inputs.overrides;
    let Some(base) = base_of(workflow) else {
        let operator = workflow.operator(false);
        let files = &workflow.checkout.files;
        return configured(Loaded::read(operator.as_deref(), files, overrides));
    };
    let files = base_files(workflow, base)?;
    let operator = workflow.operator(true);
    configured(Loaded::read(operator.as_deref(), &files, overrides))
}

/// The base commit of the event's pull request.
fn base_of<'w>(workflow: &'w Workflow<'_>) -> Option<&'w str> {
    let sha = workflow.event.pointer("/pull_request/base/sha")?;
    sha.as_str()
}

/// The configuration files of the base: from Git where it is there, else through the API.
fn base_files(workflow: &Workflow<'_>, base: &str) -> Result<Files, Stop> {
    let checkout = &workflow.checkout;
    let base = checkout
        .merge()
        .map_or_else(|| base.to_owned(), |merge| merge.base);
    let mut by_path = BTreeMap::new();
    if checkout.has(&base) {
        let found = REPOSITORY_FILES
            .iter()
            .filter_map(|name| Some(((*name).to_owned(), checkout.file_at(&base, name)?)));
        by_path.extend(found);
        return Ok(Files { by_path });
    }
    let Some(Online { runtime, github }) = workflow.github()? else {
        return Err(Stop::Failure(Failure::Input(
            "the configuration of the base branch cannot be read: check out with `fetch-depth: 2`, or give a token".to_owned(),
        )));
    };
    for name in REPOSITORY_FILES {
        let file = runtime
            .block_on(github.file(name, &base))
            .map_err(Failure::from)?;
        by_path.extend(file.map(|bytes| (name.to_owned(), bytes)));
    }
    Ok(Files { by_path })
}

/// The files that a pull request changes; `None` when nobody can say, and then all are looked at.
pub(super) fn changed(workflow: &Workflow<'_>, number: u64) -> Result<BTreeSet<String>, Stop> {
    if let Some(merge) = workflow.checkout.merge() {
        return Ok(merge.changed);
    }
    let Some(Online { runtime, github }) = workflow.github()? else {
        return Err(Stop::Failure(Failure::Input(
            "it cannot be told which files the pull request changes: check out with `fetch-depth: 2`, or give a token".to_owned(),
        )));
    };
    let files = runtime
        .block_on(github.files_of(number))
        .map_err(Failure::from)?;
    Ok(files.into_iter().collect())
}
