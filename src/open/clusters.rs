//! The list of those who report what a pull request mends. Several processes write it, and GitHub has
//! no compare-and-swap for a body: each reads it right before it writes, changes nothing but its own
//! entry, and looks whether that stayed.

use super::writer::Writer;
use crate::forge::decide::{IGNORED, STOP_UPDATING, has_label, word};
use crate::forge::marker::{self, ClosedBecause, Marker, What};
use crate::forge::reporters::MOST;
use crate::forge::{Pull, PullState};
use crate::github::Result;
use crate::message::clusters;

/// How often an entry is written that another process overwrites at the same time.
const TRIES: u32 = 3;

impl Writer<'_> {
    /// Joins the list, or gives its word again.
    pub(super) async fn enlist(&mut self, fingerprint: &str, number: u64) -> Result<()> {
        let Some(wanted) = self.wanted(fingerprint) else {
            return Ok(());
        };
        let (analysis, now) = (self.analysis, self.work.now);
        let join = |marker: &mut Marker| {
            let word = word(analysis, wanted, marker, now);
            marker.lacks(&word, now) && marker.enlist(word, now)
        };
        if self.amend(number, join).await? {
            self.touched(number, "updated", fingerprint);
        }
        if !self.marker(number).lists(&analysis.scope) {
            self.note(format!(
                "#{number} is not joined: it lists {MOST} already, or changed during this pass"
            ));
        }
        Ok(())
    }

    /// Leaves the list.
    pub(super) async fn part(&mut self, number: u64) -> Result<()> {
        let (scope, now) = (&self.analysis.scope, self.work.now);
        let leave = |marker: &mut Marker| marker.part(scope, now);
        self.amend(number, leave).await.map(drop)
    }

    /// Changes the marker of an open pull request as it is now, until nothing is left to change.
    /// Whether something was written.
    async fn amend(&mut self, number: u64, change: impl Fn(&mut Marker) -> bool) -> Result<bool> {
        for tried in 0..=TRIES {
            let now = self.work.github.pull(number).await?;
            let Some(mut marker) = self.said(&now).filter(|_| is_free(&now)) else {
                if tried > 0 {
                    self.closed_meanwhile(&now).await?;
                }
                return Ok(tried > 0);
            };
            if !change(&mut marker) {
                self.know(&now);
                self.remember(number, &now.title, now.body.clone(), &marker);
                return Ok(tried > 0);
            }
            if tried < TRIES {
                let body = self.listed(&now.body, &marker);
                self.work
                    .github
                    .edit_pull(number, &now.title, &body)
                    .await?;
            }
        }
        self.note(format!(
            "#{number} is written by others at the same time; left to the next pass"
        ));
        Ok(true)
    }

    /// Another process of ours may have closed it right before we wrote: what it wrote about that is
    /// lost, and without it the close would be taken for a person's no.
    async fn closed_meanwhile(&self, now: &Pull) -> Result<()> {
        let lost = self.said(now).filter(|m| m.closed.is_none());
        let (Some(mut marker), PullState::Closed) = (lost, now.state) else {
            return Ok(());
        };
        let by = self.work.github.issue(now.number).await?.closed_by;
        if by.is_some_and(|by| by.id == self.observed.me.id) {
            marker.closed = Some(ClosedBecause::Resolved);
            let body = self.listed(&now.body, &marker);
            self.work
                .github
                .edit_pull(now.number, &now.title, &body)
                .await?;
        }
        Ok(())
    }

    /// Takes over what other runs wrote about themselves in an open pull request since it was read.
    pub(super) async fn heed(&self, number: u64, marker: &mut Marker) -> Result<()> {
        let ended = self
            .ours(number)
            .is_some_and(|o| o.pull.state != PullState::Open);
        if marker.what != What::Fix || ended {
            return Ok(());
        }
        let now = self.work.github.pull(number).await?;
        if let Some(fresh) = self.said(&now) {
            marker.heed(&fresh, &self.analysis.scope);
        }
        Ok(())
    }

    /// The body of a pull request with another marker, and with the list that is made from it.
    pub(super) fn listed(&self, body: &str, marker: &Marker) -> String {
        let list = clusters::list(marker, self.work.now);
        let text = clusters::replaced(&marker::strip(body), &list);
        self.with(&text, marker)
    }

    /// What a pull request of ours says about itself, where it can be believed.
    fn said(&self, pull: &Pull) -> Option<Marker> {
        let read = marker::read(&pull.body, self.work.key);
        let fits = |m: &&Marker| marker::fits(m, self.observed.repo_id, &pull.head_ref);
        let said = read.marker().filter(fits).cloned();
        said.filter(|_| pull.author.id == self.observed.me.id)
    }
}

/// Open, and not frozen or ignored by people.
fn is_free(pull: &Pull) -> bool {
    let held = [STOP_UPDATING, IGNORED];
    pull.state == PullState::Open && !held.iter().any(|l| has_label(&pull.labels, l))
}
