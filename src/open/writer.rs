//! One pass's writes: what is known of each pull request and issue while it is changed.

use std::collections::BTreeMap;

use super::Outcome;
use crate::audit::Reason;
use crate::cycle::{Analysis, Touched, Work};
use crate::forge::decide::{Action, Fix, Observed, OurPull, Query, Wanted, WantedEnding, Why};
use crate::forge::marker::{self, Marker};
use crate::forge::ticks::{reticked, ticked};
use crate::forge::{Pull, PullState};
use crate::github::Result;
use crate::message::forge::with_marker;

/// The state of one pass while it writes.
pub(super) struct Writer<'a> {
    pub(super) work: &'a Work<'a>,
    pub(super) observed: &'a Observed,
    pub(super) analysis: &'a Analysis,
    pub(super) outcome: Outcome,
    /// What each thing says about itself now.
    markers: BTreeMap<u64, Marker>,
    /// Title and body of each thing as we know it.
    pub(super) texts: BTreeMap<u64, Text>,
    /// Pull requests as read right before they were changed; `None`: not to be changed any more.
    current: BTreeMap<u64, Option<Pull>>,
    /// Pull requests of this pass by what they write.
    pub(super) targets: BTreeMap<String, u64>,
    unsigned_told: bool,
}

/// A title and a body.
#[derive(Debug, Clone)]
pub(super) struct Text {
    pub(super) title: String,
    pub(super) body: String,
}

impl<'a> Writer<'a> {
    pub(super) fn new(work: &'a Work<'a>, observed: &'a Observed, analysis: &'a Analysis) -> Self {
        let text = |title: &String, body: &String| Text {
            title: title.clone(),
            body: body.clone(),
        };
        let pulls = observed.pulls.iter().map(|p| &p.pull);
        let pulls = pulls.map(|p| (p.number, text(&p.title, &p.body)));
        let issues = observed.questions.iter();
        let issues = issues.map(|i| (i.number, text(&i.title, &i.body)));
        Self {
            work,
            observed,
            analysis,
            outcome: Outcome::default(),
            markers: observed.markers.clone(),
            texts: pulls.chain(issues).collect(),
            current: BTreeMap::new(),
            targets: BTreeMap::new(),
            unsigned_told: false,
        }
    }

    pub(super) async fn one(&mut self, action: &Action) -> Result<()> {
        match action {
            Action::Open { fingerprint } => match self.fix(fingerprint) {
                Some((wanted, fix)) => self.open(wanted, fix).await,
                None => Ok(()),
            },
            Action::Refresh {
                fingerprint,
                number,
                commit,
            } => match self.fix(fingerprint) {
                Some((wanted, fix)) => self.refresh(wanted, fix, *number, *commit).await,
                None => Ok(()),
            },
            Action::Join {
                fingerprint,
                number,
            } => self.join(fingerprint, *number).await,
            Action::Enlist {
                fingerprint,
                number,
            } => self.enlist(fingerprint, *number).await,
            Action::Part { number } => self.part(*number).await,
            Action::Ask {
                fingerprint,
                number,
            } => match self.query(fingerprint) {
                Some((wanted, query)) => self.ask(wanted, query, *number).await,
                None => Ok(()),
            },
            Action::Notice { number, topic } => self.notice(*number, *topic).await,
            Action::Retire { number } => self.retire(*number).await,
            Action::Observe { number, healthy } => self.count(*number, *healthy).await,
            Action::Close {
                number,
                because,
                replaced_by,
            } => self.close(*number, *because, replaced_by.as_deref()).await,
            Action::DeleteBranch { branch, sha } => self.delete_branch(branch, sha).await,
            Action::Leave { fingerprint, why } => {
                self.left(fingerprint, why);
                Ok(())
            }
        }
    }

    /// Why an action is carried out, for the audit log.
    pub(super) fn why(&self, action: &Action) -> Reason {
        let fingerprint = match action {
            Action::Open { fingerprint }
            | Action::Refresh { fingerprint, .. }
            | Action::Join { fingerprint, .. }
            | Action::Enlist { fingerprint, .. }
            | Action::Ask { fingerprint, .. }
            | Action::Leave { fingerprint, .. } => fingerprint.clone(),
            Action::Notice { number, .. }
            | Action::Retire { number }
            | Action::Part { number }
            | Action::Observe { number, .. }
            | Action::Close { number, .. } => self.marker(*number).fingerprint,
            Action::DeleteBranch { .. } => String::new(),
        };
        let proposer = self.fix(&fingerprint).map(|(_, fix)| fix.proposer.clone());
        Reason {
            fingerprint,
            proposer: proposer.unwrap_or_default(),
            ..Reason::default()
        }
    }

    // ---- what is wanted

    pub(super) fn wanted(&self, fingerprint: &str) -> Option<&'a Wanted> {
        let mut all = self.analysis.wanted.iter();
        all.find(|w| w.fingerprint == fingerprint)
    }

    pub(super) fn fix(&self, fingerprint: &str) -> Option<(&'a Wanted, &'a Fix)> {
        let wanted = self.wanted(fingerprint)?;
        match &wanted.ending {
            WantedEnding::Fix(fix) => Some((wanted, fix)),
            _ => None,
        }
    }

    fn query(&self, fingerprint: &str) -> Option<(&'a Wanted, &'a Query)> {
        let wanted = self.wanted(fingerprint)?;
        match &wanted.ending {
            WantedEnding::Question(query) => Some((wanted, query)),
            _ => None,
        }
    }

    // ---- what is there

    pub(super) fn ours(&self, number: u64) -> Option<&'a OurPull> {
        let mut all = self.observed.pulls.iter();
        all.find(|p| p.pull.number == number)
    }

    pub(super) fn marker(&self, number: u64) -> Marker {
        let known = self.markers.get(&number).cloned();
        let mut marker = known.unwrap_or_default();
        marker.repo = self.observed.repo_id;
        marker
    }

    /// A pull request of ours as it is now; `None` when it changed since it was observed: then the
    /// next pass decides again. Somebody may just have ticked a box in its body.
    pub(super) async fn unchanged(&mut self, number: u64) -> Result<Option<Pull>> {
        if let Some(known) = self.current.get(&number) {
            return Ok(known.clone());
        }
        let now = self.work.github.pull(number).await?;
        let seen = self.ours(number).is_some_and(|o| {
            now.state == o.pull.state
                && now.head_sha == o.pull.head_sha
                && now.base_ref == o.pull.base_ref
                && same_text(&now.body, &o.pull.body)
                && same_labels(&now.labels, &o.pull.labels)
        });
        if !seen {
            self.note(format!(
                "#{number} changed during this pass; left to the next one"
            ));
        }
        let now = Some(now).filter(|_| seen);
        self.current.insert(number, now.clone());
        Ok(now)
    }

    /// Takes a pull request for known: we just made or read it.
    pub(super) fn know(&mut self, pull: &Pull) {
        let text = Text {
            title: pull.title.clone(),
            body: pull.body.clone(),
        };
        self.texts.insert(pull.number, text);
        self.current.insert(pull.number, Some(pull.clone()));
    }

    // ---- writing bodies

    /// Writes another marker into a pull request, and nothing else of it but the list that is made
    /// from the marker.
    pub(super) async fn mark_pull(&mut self, number: u64, marker: &Marker) -> Result<()> {
        let Some(text) = self.texts.get(&number).cloned() else {
            return Ok(());
        };
        let listed = |w: &Self, m: &Marker| w.listed(&text.body, m);
        self.write_pull(number, &text.title, marker, listed).await
    }

    /// Writes a text that is made from its marker. What other runs wrote about themselves since it was
    /// read stays.
    pub(super) async fn write_pull(
        &mut self,
        number: u64,
        title: &str,
        marker: &Marker,
        text: impl Fn(&Self, &Marker) -> String,
    ) -> Result<()> {
        // what was ticked and could not be acted on is tried again in the next pass
        let known = self.texts.get(&number);
        let left = known.map(|t| ticked(&t.body)).unwrap_or_default();
        let text = |w: &Self, m: &Marker| reticked(&text(w, m), &left);
        let is_written = |w: &Self, m: &Marker| {
            let known = w.texts.get(&number);
            known.is_some_and(|t| t.title == title && same_text(&t.body, &text(w, m)))
        };
        let mut marker = marker.clone();
        if !is_written(self, &marker) {
            self.heed(number, &mut marker).await?;
            let body = text(self, &marker);
            self.work.github.edit_pull(number, title, &body).await?;
        }
        let body = text(self, &marker);
        self.remember(number, title, body, &marker);
        Ok(())
    }

    pub(super) fn remember(&mut self, number: u64, title: &str, body: String, marker: &Marker) {
        let title = title.to_owned();
        self.texts.insert(number, Text { title, body });
        self.markers.insert(number, marker.clone());
    }

    /// A text with a marker.
    pub(super) fn with(&self, text: &str, marker: &Marker) -> String {
        with_marker(text, &marker::write(marker, self.work.key))
    }

    // ---- what is told

    pub(super) fn note(&mut self, note: String) {
        if !self.outcome.notes.contains(&note) {
            self.outcome.notes.push(note);
        }
    }

    /// Once a pass: branch rules that want signatures will refuse what is not signed.
    pub(super) fn note_unsigned(&mut self, verified: bool) {
        if !verified && !self.unsigned_told {
            self.unsigned_told = true;
            self.note("GitHub did not sign the commit: a branch rule that demands signed commits will refuse to merge it".to_owned());
        }
    }

    /// An outage goes on; anything else is a note.
    pub(super) fn tolerate(&mut self, what: &str, result: Result<()>) -> Result<bool> {
        match result {
            Ok(()) => Ok(true),
            Err(error) if error.is_outage() => Err(error),
            Err(error) => {
                self.note(format!("{what}: {error}"));
                Ok(false)
            }
        }
    }

    pub(super) fn touched(&mut self, number: u64, operation: &'static str, fingerprint: &str) {
        let pull = self.current.get(&number).cloned().flatten();
        let pull = pull.or_else(|| self.ours(number).map(|o| o.pull.clone()));
        let marker = self.marker(number);
        let (branch, head) = pull.map_or_else(Default::default, |p| (p.head_ref, p.head_sha));
        let head = if marker.head.is_empty() {
            head
        } else {
            marker.head
        };
        let fingerprint = fingerprint.to_owned();
        self.outcome.numbers.insert(fingerprint.clone(), number);
        self.outcome.pulls.retain(|t| t.number != number);
        self.outcome.pulls.push(Touched {
            number,
            operation,
            fingerprint,
            branch,
            head,
        });
    }

    fn left(&mut self, fingerprint: &str, why: &Why) {
        let (Why::Current(number)
        | Why::HandsOff(number)
        | Why::Frozen(number)
        | Why::Loop(number)) = why
        else {
            return;
        };
        let is_open = self
            .ours(*number)
            .is_some_and(|o| o.pull.state == PullState::Open);
        if is_open {
            self.touched(*number, "none", fingerprint);
        } else if self.observed.questions.iter().any(|q| q.number == *number) {
            self.asked(*number, "none", fingerprint);
        }
    }

    pub(super) fn asked(&mut self, number: u64, operation: &'static str, fingerprint: &str) {
        if let Some(wanted) = self.wanted(fingerprint) {
            self.outcome.numbers.insert(wanted.key.clone(), number);
        }
        self.outcome.questions.push(Touched {
            number,
            operation,
            fingerprint: fingerprint.to_owned(),
            branch: String::new(),
            head: String::new(),
        });
    }
}

/// GitHub may give line ends back in another form.
pub(super) fn same_text(one: &str, other: &str) -> bool {
    let plain = |text: &str| text.replace("\r\n", "\n").trim_end().to_owned();
    plain(one) == plain(other)
}

fn same_labels(one: &[String], other: &[String]) -> bool {
    let sorted = |labels: &[String]| {
        let mut labels = labels.to_vec();
        labels.sort();
        labels
    };
    sorted(one) == sorted(other)
}

/// What an action is about, for notes.
pub(super) fn named(action: &Action) -> String {
    match action {
        Action::Open { fingerprint } => format!("opening for {fingerprint}"),
        Action::Refresh { number, .. } => format!("bringing #{number} up to date"),
        Action::Join { fingerprint, .. } => format!("joining {fingerprint}"),
        Action::Enlist { number, .. } => format!("joining the list in #{number}"),
        Action::Part { number } => format!("leaving the list in #{number}"),
        Action::Ask { fingerprint, .. } => format!("asking for {fingerprint}"),
        Action::Notice { number, .. } => format!("a notice in #{number}"),
        Action::Retire { number } => format!("making #{number} a draft"),
        Action::Observe { number, .. } => format!("counting in #{number}"),
        Action::Close { number, .. } => format!("closing #{number}"),
        Action::DeleteBranch { branch, .. } => format!("deleting {branch}"),
        Action::Leave { fingerprint, .. } => format!("leaving {fingerprint}"),
    }
}
