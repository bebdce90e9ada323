//! The one pull request in a repository without configuration that asks whether kubemend may work
//! there. Its branch has a name of its own, so it is found again from the forge alone.

use super::observe::prefixes;
use super::writer::same_text;
use crate::config::{REPOSITORY_FILES, STARTER};
use crate::cycle::{Analysis, Touched, Work};
use crate::forge::{Pull, PullState, identity};
use crate::github::{Error, NewFiles, Result};
use crate::message::onboarding as words;

/// What the people of a repository said so far.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Onboarding {
    /// It was merged once, or nothing may be written here anyway.
    Agreed,
    /// It is open; `None` in a dry run that would open it.
    Waiting(Option<Touched>),
    /// People closed it.
    Declined(u64),
}

/// Asks once. What a run would want is computed only where it is shown.
pub async fn onboard(work: &Work<'_>, analyse: impl FnOnce() -> Analysis) -> Result<Onboarding> {
    let github = work.github;
    let facts = github.facts().await?;
    if !work.rules.enabled || facts.archived {
        return Ok(Onboarding::Agreed);
    }
    let mut there = Vec::new();
    for prefix in prefixes(work.rules) {
        there.extend(
            github
                .pulls_of(&identity::onboarding_branch(prefix))
                .await?,
        );
    }
    let is = |state: PullState| move |p: &&Pull| p.state == state;
    if there.iter().any(|p| p.state == PullState::Merged) {
        return Ok(Onboarding::Agreed);
    }
    if let Some(open) = there.iter().find(is(PullState::Open)) {
        return refresh(work, open, &analyse()).await;
    }
    if let Some(closed) = there.iter().find(is(PullState::Closed)) {
        return Ok(Onboarding::Declined(closed.number));
    }
    if work.dry_run {
        return Ok(Onboarding::Waiting(None));
    }
    let body = words::body(&analyse(), work.rules);
    let branch = identity::onboarding_branch(&work.rules.branch_prefix);
    let head = branch_head(work, &branch, &facts.default_branch).await?;
    let opened = github
        .open_pull(&branch, &facts.default_branch, words::TITLE, &body, false)
        .await;
    let pull = match opened {
        Ok(pull) => pull,
        // the answer got lost, or another process of ours was faster
        Err(error) => match github.pulls_of(&branch).await?.pop() {
            Some(pull) => pull,
            None => return Err(error),
        },
    };
    Ok(touched(&pull, "created", &branch, &head))
}

/// The body tells what would be done now; what people changed in the file stays theirs.
async fn refresh(work: &Work<'_>, open: &Pull, analysis: &Analysis) -> Result<Onboarding> {
    let body = words::body(analysis, work.rules);
    let ours = open.author.id == work.github.me().await?.id;
    let changed = ours && !same_text(&body, &open.body);
    if changed && !work.dry_run {
        work.github
            .edit_pull(open.number, &open.title, &body)
            .await?;
    }
    let operation = if changed { "updated" } else { "none" };
    Ok(touched(open, operation, &open.head_ref, &open.head_sha))
}

/// The branch with the file: made, or left by a pass that was killed.
async fn branch_head(work: &Work<'_>, branch: &str, default: &str) -> Result<String> {
    let github = work.github;
    if let Some(head) = github.branch_head(branch).await? {
        let me = github.me().await?;
        let made = github.commit(&head).await?;
        let holds = github.file(REPOSITORY_FILES[0], &head).await?;
        let ours = made.author.is_some_and(|a| a.id == me.id);
        return match ours && holds.as_deref() == Some(STARTER.as_bytes()) {
            true => Ok(head),
            false => Err(Error::Conflict(format!(
                "{branch} belongs to somebody else"
            ))),
        };
    }
    let base = github.branch_head(default).await?;
    let base = base.ok_or_else(|| Error::NotFound(format!("the branch {default}")))?;
    let file = (REPOSITORY_FILES[0].to_owned(), STARTER.as_bytes().to_vec());
    let files = NewFiles::from([file]);
    let made = github.make_commit(&base, &files, &words::commit()).await?;
    match github.create_branch(branch, &made.sha).await? {
        true => Ok(made.sha),
        false => Err(Error::Conflict(format!("{branch} was made right now"))),
    }
}

fn touched(pull: &Pull, operation: &'static str, branch: &str, head: &str) -> Onboarding {
    Onboarding::Waiting(Some(Touched {
        number: pull.number,
        operation,
        fingerprint: String::new(),
        branch: branch.to_owned(),
        head: head.to_owned(),
    }))
}
