//! Questions: one issue for one finding, found again by its marker.

use super::writer::{Writer, same_text};
use crate::forge::decide::{QUESTION, Query, Wanted};
use crate::forge::marker::{self, Marker, What};
use crate::forge::ticks::{reticked, ticked};
use crate::forge::{Issue, identity};
use crate::github::{Error, Result};
use crate::message::forge::question_body;

impl Writer<'_> {
    pub(super) async fn ask(
        &mut self,
        wanted: &Wanted,
        query: &Query,
        number: Option<u64>,
    ) -> Result<()> {
        if let Some(number) = number {
            return self.ask_again(wanted, query, number).await;
        }
        // another process of ours may have asked since the observation
        if let Some(known) = self.asked_already(wanted).await? {
            self.asked(known, "none", &wanted.fingerprint);
            return Ok(());
        }
        let mut marker = self.question_marker(Marker::default(), wanted, query);
        let body = |marker: &Marker| {
            let marker = marker::write(marker, self.work.key);
            question_body(query, wanted.unheard.as_deref(), &marker)
        };
        let labels = [QUESTION.to_owned()];
        let github = self.work.github;
        let opened = github
            .open_issue(&query.title, &body(&marker), &labels)
            .await;
        let number = match opened {
            Ok(issue) => issue.number,
            Err(error @ (Error::Unavailable(_) | Error::Unexpected(_))) => {
                // it may be there all the same
                self.asked_already(wanted).await?.ok_or(error)?
            }
            Err(error) => return Err(error),
        };
        // now that it has a number, its marker belongs there and nowhere else
        marker.issue = number;
        github
            .edit_issue(number, &query.title, &body(&marker))
            .await?;
        self.asked(number, "created", &wanted.fingerprint);
        Ok(())
    }

    async fn asked_already(&self, wanted: &Wanted) -> Result<Option<u64>> {
        let all = self.work.github.issues(QUESTION, "open").await?;
        let same = |issue: &&Issue| {
            let read = marker::read(&issue.body, self.work.key);
            issue.author.id == self.observed.me.id
                && read.marker().is_some_and(|m| {
                    m.key == wanted.key
                        && marker::fits_issue(m, self.observed.repo_id, issue.number)
                })
        };
        Ok(all.iter().find(same).map(|i| i.number))
    }

    async fn ask_again(&mut self, wanted: &Wanted, query: &Query, number: u64) -> Result<()> {
        let Some(now) = self.unchanged_issue(number).await? else {
            return Ok(());
        };
        let mut before = self.marker(number);
        if !now.open || before.closed.is_some() {
            before = self.asked_anew(number, before);
        }
        let offered = before.options.clone();
        let marker = Marker {
            issue: number,
            ..self.question_marker(before, wanted, query)
        };
        let mut body = question_body(
            query,
            wanted.unheard.as_deref(),
            &marker::write(&marker, self.work.key),
        );
        // a tick that could not be stored still means what it meant
        if now.open && marker.options == offered {
            body = reticked(&body, &ticked(&now.body));
        }
        if now.title != query.title || !same_text(&now.body, &body) {
            self.work
                .github
                .edit_issue(number, &query.title, &body)
                .await?;
        }
        if !now.open {
            self.work
                .github
                .set_issue_open(number, true, "reopened")
                .await?;
        }
        self.remember(number, &query.title, body, &marker);
        self.asked(number, "updated", &wanted.fingerprint);
        Ok(())
    }

    /// An answer of the past was carried out, or refused: a question that comes back waits for
    /// another. Only a hint that just came with the wish to try again still counts.
    fn asked_anew(&self, number: u64, mut before: Marker) -> Marker {
        if !self.observed.asked.retry.contains(&number) {
            before.hints.clear();
        }
        Marker {
            chosen: None,
            chosen_of: String::new(),
            set: Vec::new(),
            offered: None,
            ..before
        }
    }

    fn question_marker(&self, before: Marker, wanted: &Wanted, query: &Query) -> Marker {
        let titles = query.options.iter().map(|(title, _)| title.as_str());
        let options = identity::options_key(titles);
        let known = before.offered.filter(|_| before.options == options);
        Marker {
            offered: known.or(Some(self.work.now)),
            what: What::Question,
            repo: self.observed.repo_id,
            key: wanted.key.clone(),
            scope: self.analysis.scope.clone(),
            object: wanted
                .object
                .as_ref()
                .map(ToString::to_string)
                .unwrap_or_default(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            body: identity::question_hash(&query.title, &query.body, wanted.unheard.as_deref()),
            options,
            labels: vec![QUESTION.to_owned()],
            closed: None,
            healthy: None,
            ..before
        }
    }

    /// A question as it is now; `None` when it changed since it was observed.
    pub(super) async fn unchanged_issue(&mut self, number: u64) -> Result<Option<Issue>> {
        let now = self.work.github.issue(number).await?;
        let known = self.observed.questions.iter().find(|q| q.number == number);
        let text = self.texts.get(&number);
        let seen = known.is_some_and(|q| q.open == now.open)
            && text.is_some_and(|t| same_text(&t.body, &now.body));
        if !seen {
            self.note(format!(
                "#{number} changed during this pass; left to the next one"
            ));
        }
        Ok(Some(now).filter(|_| seen))
    }

    /// Writes another marker into a question, and nothing else of it.
    pub(super) async fn mark_issue(&mut self, number: u64, marker: &Marker) -> Result<()> {
        let Some(text) = self.texts.get(&number).cloned() else {
            return Ok(());
        };
        let body = self.with(&marker::strip(&text.body), marker);
        if !same_text(&text.body, &body) {
            self.work
                .github
                .edit_issue(number, &text.title, &body)
                .await?;
        }
        self.remember(number, &text.title, body, marker);
        Ok(())
    }
}
