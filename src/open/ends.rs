//! How things end: counted healthy, made a draft, closed with a reason, branches deleted.

use super::notices::{remember, tell_once};
use super::writer::Writer;
use crate::config::rules::Draft;
use crate::forge::PullState;
use crate::forge::decide::{DRAFTED, NEEDS_CONFIRMATION, Topic};
use crate::forge::marker::{self, ClosedBecause, Healthy, Marker};
use crate::github::Result;
use crate::message::forge::{About, closing, notice, with_marker};

impl Writer<'_> {
    /// One more healthy observation, or none at all.
    pub(super) async fn count(&mut self, number: u64, healthy: bool) -> Result<()> {
        let is_pull = self.ours(number).is_some();
        if is_pull && self.unchanged(number).await?.is_none()
            || !is_pull && self.unchanged_issue(number).await?.is_none()
        {
            return Ok(());
        }
        let mut marker = self.marker(number);
        let scope = &self.analysis.scope;
        let company = marker.is_reported_beside(scope, self.work.now);
        match marker.reporter_mut(scope).filter(|_| company) {
            Some(mine) if healthy => mine.healthy = Some(self.counted(mine.healthy.take())),
            _ if healthy => marker.healthy = Some(self.counted(marker.healthy.take())),
            mine => {
                if let Some(mine) = mine {
                    mine.healthy = None;
                }
                if is_pull {
                    self.fails_again(number, &mut marker).await?;
                }
                marker.healthy = None;
            }
        }
        match is_pull {
            true => self.mark_pull(number, &marker).await,
            false => self.mark_issue(number, &marker).await,
        }
    }

    fn counted(&self, known: Option<Healthy>) -> Healthy {
        let since = known.as_ref().map_or(self.work.now, |h| h.since);
        let count = known.map_or(0, |h| h.count).saturating_add(1);
        Healthy { since, count }
    }

    /// It is no draft any more, unless policy wants one. What could not be done is tried again as
    /// long as the marker tells of the notice.
    async fn fails_again(&mut self, number: u64, marker: &mut Marker) -> Result<()> {
        let told = |t: &String| t == Topic::Resolved.as_str();
        if marker.retired.is_none() && !marker.told.iter().any(told) {
            return Ok(());
        }
        let policy = self.work.rules.draft == Draft::Always
            || marker.labels.iter().any(|l| l == NEEDS_CONFIRMATION);
        let pull = self.unchanged(number).await?;
        let mut done = true;
        if let Some(pull) = pull.filter(|p| p.draft && !policy) {
            let ready = self.work.github.set_draft(&pull.node_id, false).await;
            done = self.tolerate(&format!("making #{number} ready again"), ready)?;
        }
        done &= self.hide(number, Topic::Resolved).await?;
        marker.retired = None;
        if done {
            marker.told.retain(|t| !told(t) && t != DRAFTED);
        }
        Ok(())
    }

    /// It looks resolved: say so, and make it a draft. The marker comes last, so that a kill in
    /// between does it again.
    pub(super) async fn retire(&mut self, number: u64) -> Result<()> {
        let Some(pull) = self.unchanged(number).await? else {
            return Ok(());
        };
        let mut marker = self.marker(number);
        let about = About {
            healthy_since: marker.healthy.as_ref().map(|h| h.since),
            ..About::default()
        };
        let comment = self.comment_marker(Topic::Resolved);
        let text = notice(
            Topic::Resolved,
            &about,
            &marker::write(&comment, self.work.key),
        );
        self.sticky(number, Topic::Resolved, &text).await?;
        let is_draft = match pull.draft {
            true => true,
            false => {
                let draft = self.work.github.set_draft(&pull.node_id, true).await;
                self.tolerate(&format!("making #{number} a draft"), draft)?
            }
        };
        tell_once(&mut marker, Topic::Resolved);
        if is_draft {
            remember(&mut marker, DRAFTED);
        }
        marker.retired.get_or_insert(self.work.now);
        self.mark_pull(number, &marker).await
    }

    /// Closes something ourselves. What replaces it must be there.
    pub(super) async fn close(
        &mut self,
        number: u64,
        because: ClosedBecause,
        replaced_by: Option<&str>,
    ) -> Result<()> {
        let successor = replaced_by.map(|f| self.outcome.numbers.get(f).copied());
        if successor == Some(None) {
            self.note(format!(
                "#{number} stays: what replaces it is not there yet"
            ));
            return Ok(());
        }
        let successor = successor.flatten();
        if self.ours(number).is_some() {
            self.close_pull(number, because, successor).await
        } else {
            self.close_question(number, because, successor).await
        }
    }

    async fn close_pull(
        &mut self,
        number: u64,
        because: ClosedBecause,
        successor: Option<u64>,
    ) -> Result<()> {
        let Some(pull) = self.unchanged(number).await? else {
            return Ok(());
        };
        if pull.state != PullState::Open {
            return Ok(());
        }
        let topic = match because {
            ClosedBecause::Superseded => Topic::Superseded,
            ClosedBecause::Resolved | ClosedBecause::Answered => Topic::Resolved,
        };
        self.say_why(number, topic, because, successor).await?;
        let mut marker = self.marker(number);
        marker.closed = Some(because);
        self.mark_pull(number, &marker).await?;
        self.work.github.close_pull(number).await?;
        self.touched(number, "closed", &marker.fingerprint.clone());
        // it does not stand for its finding any more
        self.outcome.numbers.retain(|_, n| *n != number);
        Ok(())
    }

    async fn close_question(
        &mut self,
        number: u64,
        because: ClosedBecause,
        successor: Option<u64>,
    ) -> Result<()> {
        let open = self.unchanged_issue(number).await?;
        if open.is_none_or(|i| !i.open) {
            return Ok(());
        }
        self.say_why(number, Topic::Resolved, because, successor)
            .await?;
        let mut marker = self.marker(number);
        marker.closed = Some(because);
        self.mark_issue(number, &marker).await?;
        self.work
            .github
            .set_issue_open(number, false, "completed")
            .await?;
        self.asked(number, "closed", "");
        Ok(())
    }

    async fn say_why(
        &mut self,
        number: u64,
        topic: Topic,
        because: ClosedBecause,
        successor: Option<u64>,
    ) -> Result<()> {
        let text = closing(because, successor, self.work.rules.keep_branch_days);
        let comment = marker::write(&self.comment_marker(topic), self.work.key);
        self.sticky(number, topic, &with_marker(&text, &comment))
            .await
    }

    pub(super) async fn delete_branch(&mut self, branch: &str, sha: &str) -> Result<()> {
        let there = self.work.github.pulls_of(branch).await?;
        if there.iter().any(|p| p.state == PullState::Open) {
            return Ok(());
        }
        if !self.work.github.delete_branch_at(branch, sha).await? {
            self.note(format!("{branch} moved, and is kept"));
        }
        Ok(())
    }
}
