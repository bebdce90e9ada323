//! Notices: one comment for one topic, edited in place; older ones are hidden.

use super::writer::{Writer, same_text};
use crate::forge::Comment;
use crate::forge::decide::{IGNORED, Topic, has_label};
use crate::forge::marker::{self, Marker, What};
use crate::github::Result;
use crate::message::forge::{About, notice};

impl Writer<'_> {
    /// Says once what a topic is about, and remembers in the marker that it was said.
    pub(super) async fn notice(&mut self, number: u64, topic: Topic) -> Result<()> {
        let Some(pull) = self.unchanged(number).await? else {
            return Ok(());
        };
        let by = match topic {
            Topic::Closed => self.work.github.issue(number).await?.closed_by,
            _ => None,
        };
        let mut marker = self.marker(number);
        let about = About {
            fingerprint: &marker.fingerprint.clone(),
            by: by.as_ref().map(|a| a.login.as_str()),
            suppress_days: self.work.rules.suppress_days,
            base: &pull.base_ref,
            head: &pull.head_sha,
            keep_branch_days: self.work.rules.keep_branch_days,
            ..About::default()
        };
        let comment = self.comment_marker(topic);
        let text = notice(topic, &about, &marker::write(&comment, self.work.key));
        self.sticky(number, topic, &text).await?;
        if topic == Topic::Closed && !has_label(&marker.labels, IGNORED) {
            let set = self
                .work
                .github
                .add_labels(number, &[IGNORED.to_owned()])
                .await;
            // only where it is there, its absence says something
            if self.tolerate(&format!("labels of #{number}"), set)? {
                marker.labels.push(IGNORED.to_owned());
            }
        }
        tell_once(&mut marker, topic);
        self.mark_pull(number, &marker).await
    }

    pub(super) fn comment_marker(&self, topic: Topic) -> Marker {
        Marker {
            what: What::Comment,
            repo: self.observed.repo_id,
            topic: Some(topic.as_str().to_owned()),
            ..Marker::default()
        }
    }

    /// The one visible comment of a topic.
    pub(super) async fn sticky(&mut self, number: u64, topic: Topic, text: &str) -> Result<()> {
        let mut ours = self.ours_of(number, topic).await?;
        let Some(last) = ours.pop() else {
            self.work.github.add_comment(number, text).await?;
            // a proxy may have sent it twice
            let mut ours = self.ours_of(number, topic).await?;
            ours.pop();
            return self.minimize(&ours).await.map(drop);
        };
        if !same_text(&last.body, text) {
            self.work.github.edit_comment(last.id, text).await?;
        }
        self.minimize(&ours).await.map(drop)
    }

    /// What was said about a topic does not hold any more. Whether all of it is hidden now.
    pub(super) async fn hide(&mut self, number: u64, topic: Topic) -> Result<bool> {
        let ours = self.ours_of(number, topic).await?;
        self.minimize(&ours).await
    }

    async fn minimize(&mut self, comments: &[Comment]) -> Result<bool> {
        let mut all = true;
        for comment in comments {
            let hidden = self.work.github.minimize(&comment.node_id).await;
            all &= self.tolerate("hiding an old notice", hidden)?;
        }
        Ok(all)
    }

    /// Our comments about a topic, oldest first: by author and by marker.
    pub(super) async fn ours_of(&self, number: u64, topic: Topic) -> Result<Vec<Comment>> {
        let all = self.work.github.comments(number).await?;
        let is_ours = |c: &Comment| {
            let read = marker::read(&c.body, self.work.key);
            c.author.id == self.observed.me.id
                && read.marker().is_some_and(|m| {
                    m.what == What::Comment
                        && m.topic.as_deref() == Some(topic.as_str())
                        && marker::fits(m, self.observed.repo_id, "")
                })
        };
        Ok(all.into_iter().filter(is_ours).collect())
    }
}

pub(super) fn tell_once(marker: &mut Marker, topic: Topic) {
    remember(marker, topic.as_str());
}

pub(super) fn remember(marker: &mut Marker, what: &str) {
    if !marker.told.iter().any(|t| t == what) {
        marker.told.push(what.to_owned());
    }
}
