//! The branch of a fix: one commit of ours on the base that the run read.

use super::trailers;
use super::writer::Writer;
use crate::forge::decide::Fix;
use crate::forge::marker::Marker;
use crate::forge::{Pull, PullState};
use crate::github::{CommitFacts, Error, Result};

impl Writer<'_> {
    /// Makes sure that the branch holds the fix; returns its head. `None`: it belongs to somebody
    /// else, or moved right now.
    ///
    /// `there` are the pull requests of the branch; `by_force` says that a person asked to throw
    /// away whatever it holds.
    pub(super) async fn branch(
        &mut self,
        fix: &Fix,
        marker: &Marker,
        there: &[Pull],
        by_force: bool,
    ) -> Result<Option<String>> {
        let Some(head) = self.work.github.branch_head(&fix.branch).await? else {
            let made = self.commit(fix, marker).await?;
            if self
                .work
                .github
                .create_branch(&fix.branch, &made.sha)
                .await?
            {
                return Ok(Some(made.sha));
            }
            let moved = format!("{} was made by somebody else right now", fix.branch);
            self.note(moved);
            return Ok(None);
        };
        let at_head = self.work.github.commit(&head).await?;
        let ours = trailers::is_ours(&at_head, &self.observed.me);
        if ours && holds(&at_head, fix, marker) {
            return Ok(Some(head));
        }
        // what was merged with this head is in the base
        let merged = |p: &Pull| p.state == PullState::Merged && p.head_sha == head;
        if !ours && !by_force && !there.iter().any(merged) {
            self.note(format!(
                "{} holds commits of others: nothing is opened from it",
                fix.branch
            ));
            return Ok(None);
        }
        self.replace(fix, marker, &head).await
    }

    /// Moves the branch from a head that we looked at to a new commit.
    pub(super) async fn replace(
        &mut self,
        fix: &Fix,
        marker: &Marker,
        head: &str,
    ) -> Result<Option<String>> {
        let made = self.commit(fix, marker).await?;
        let moved = self
            .work
            .github
            .move_branch(&fix.branch, head, &made)
            .await?;
        if !moved {
            self.note(format!("{} moved during this pass", fix.branch));
        }
        Ok(moved.then_some(made.sha))
    }

    async fn commit(&mut self, fix: &Fix, marker: &Marker) -> Result<CommitFacts> {
        if fix.base.is_empty() {
            let why = "the run does not say which commit it read";
            return Err(Error::Invalid(why.to_owned()));
        }
        let signer = self.work.rules.signoff.then_some(&self.observed.me);
        let message = trailers::complete(&fix.commit, marker, signer);
        let made = self
            .work
            .github
            .make_commit(&fix.base, &fix.files, &message)
            .await?;
        self.note_unsigned(made.verified);
        Ok(made)
    }
}

/// Whether a commit of ours is the very one that would be made now.
fn holds(commit: &CommitFacts, fix: &Fix, marker: &Marker) -> bool {
    let said = trailers::read(&commit.message);
    let same = said.is_some_and(|s| {
        s.fingerprint == marker.fingerprint
            && (s.target, s.change, s.result)
                == (
                    marker.target.clone(),
                    marker.change.clone(),
                    marker.result.clone(),
                )
    });
    same && commit.parents.first() == Some(&fix.base)
}
