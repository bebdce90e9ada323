//! Pull requests: opened, adopted, brought up to date.

use std::time::Duration;

use super::trailers;
use super::writer::Writer;
use crate::case::Said;
use crate::forge::decide::{ASSIGNED, Fix, Topic, Wanted, labels_missing, speaks, word};
use crate::forge::marker::{self, Marker, What};
use crate::forge::{Pull, PullState, identity};
use crate::github::{CheckReport, Error, Result};
use crate::message::clusters;
use crate::message::forge::{Controls, pull_body};

/// How often GitHub is given time to see the branch that was just made.
const TRIES: u32 = 3;
const PAUSE: Duration = Duration::from_millis(500);
/// The name of the check on a head of ours.
const CHECK: &str = "kubemend";

impl<'a> Writer<'a> {
    pub(super) async fn open(&mut self, wanted: &Wanted, fix: &Fix) -> Result<()> {
        let there = self.work.github.pulls_of(&fix.branch).await?;
        if let Some(open) = there.iter().find(|p| p.state == PullState::Open) {
            return self.adopt(wanted, fix, open);
        }
        // one that was closed since the observation is a no that nobody weighed yet
        let unseen = |p: &&Pull| self.ours(p.number).is_none_or(|o| o.pull.state != p.state);
        if let Some(new) = there.iter().find(unseen) {
            self.note(format!(
                "#{} ended during this pass; left to the next one",
                new.number
            ));
            return Ok(());
        }
        let marker = self.first_marker(wanted, fix);
        let by_force = there
            .iter()
            .any(|p| self.observed.asked.recreate.contains(&p.number));
        let Some(head) = self.branch(fix, &marker, &there, by_force).await? else {
            return Ok(());
        };
        let marker = Marker { head, ..marker };
        let Some(pull) = self.open_pull(wanted, fix, &marker).await? else {
            return Ok(());
        };
        let body = pull.body.clone();
        self.know(&pull);
        self.remember(pull.number, &pull.title, body, &marker);
        self.targets.insert(fix.target.clone(), pull.number);
        self.touched(pull.number, "created", &wanted.fingerprint);
        self.finish(wanted, fix, pull.number).await
    }

    /// It is there already: another process of ours, or an answer that got lost. The next pass
    /// brings it up to date.
    fn adopt(&mut self, wanted: &Wanted, fix: &Fix, open: &Pull) -> Result<()> {
        if open.author.id != self.observed.me.id {
            self.note(format!(
                "#{} of somebody else uses {}",
                open.number, fix.branch
            ));
            return Ok(());
        }
        if self.ours(open.number).is_none() {
            self.know(open);
        }
        self.targets.insert(fix.target.clone(), open.number);
        self.touched(open.number, "none", &wanted.fingerprint);
        Ok(())
    }

    fn first_marker(&self, wanted: &Wanted, fix: &Fix) -> Marker {
        let mut marker = Marker {
            what: What::Fix,
            repo: self.observed.repo_id,
            attempt: 1,
            replaces: self.replaces(wanted),
            ..Marker::default()
        };
        self.describe(&mut marker, wanted, fix);
        marker.base = fix.base.clone();
        marker.body = identity::text_hash(&fix.title, &fix.body);
        marker
    }

    /// What the marker says about the fix itself.
    fn describe(&self, marker: &mut Marker, wanted: &Wanted, fix: &Fix) {
        marker.key = wanted.key.clone();
        marker.fingerprint = wanted.fingerprint.clone();
        marker.scope = self.analysis.scope.clone();
        marker.object = wanted
            .object
            .as_ref()
            .map(ToString::to_string)
            .unwrap_or_default();
        marker.version = env!("CARGO_PKG_VERSION").to_owned();
        marker.target = fix.target.clone();
        marker.change = fix.change.clone();
        marker.result = fix.result.clone();
        marker.class = wanted.class;
        marker.expects.clone_from(&fix.expects);
        let word = word(self.analysis, wanted, marker, self.work.now);
        marker.enlist(word, self.work.now);
        trailers::remember(marker);
        if let Some(said) = self.observed.asked.said.get(&wanted.key) {
            keep_said(marker, said);
        }
    }

    /// Open pull requests for the same finding in another place: this one replaces them.
    fn replaces(&self, wanted: &Wanted) -> Vec<u64> {
        let (scope, now) = (&self.analysis.scope, self.work.now);
        let is_alone =
            |m: &Marker| m.is_reported_by(scope, now) && !m.is_reported_beside(scope, now);
        let older = self.observed.pulls.iter().filter(|p| {
            let marker = self.observed.markers.get(&p.pull.number);
            p.pull.state == PullState::Open
                && p.pull.author.id == self.observed.me.id
                && marker.is_some_and(|m| m.key == wanted.key && is_alone(m))
        });
        older.map(|p| p.pull.number).collect()
    }

    async fn open_pull(
        &mut self,
        wanted: &Wanted,
        fix: &Fix,
        marker: &Marker,
    ) -> Result<Option<Pull>> {
        let body = self.body(wanted, fix, marker);
        let mut draft = fix.is_draft(self.work.rules);
        let mut tries = 1;
        loop {
            let base = &self.observed.base_branch;
            let opened = self
                .work
                .github
                .open_pull(&fix.branch, base, &fix.title, &body, draft)
                .await;
            let error = match opened {
                Ok(pull) => return Ok(Some(pull)),
                Err(error) => error,
            };
            // it may be there all the same: the answer got lost, or somebody was faster
            if may_exist(&error) && self.found(wanted, fix).await? {
                return Ok(None);
            }
            match &error {
                Error::Invalid(m) if draft && m.to_lowercase().contains("draft") => draft = false,
                Error::Invalid(m) | Error::Conflict(m) if tries < TRIES && passes(m) => {
                    tokio::time::sleep(PAUSE * tries).await;
                    tries += 1;
                }
                _ => return Err(error),
            }
        }
    }

    async fn found(&mut self, wanted: &Wanted, fix: &Fix) -> Result<bool> {
        let there = self.work.github.pulls_of(&fix.branch).await?;
        match there.iter().find(|p| p.state == PullState::Open) {
            Some(open) => self.adopt(wanted, fix, open).map(|()| true),
            None => Ok(false),
        }
    }

    fn body(&self, wanted: &Wanted, fix: &Fix, marker: &Marker) -> String {
        let also = marker.also.iter().filter_map(|f| self.wanted(f));
        let controls = Controls {
            clusters: clusters::list(marker, self.work.now),
            workflow_token: self.work.workflow_token,
            also: also
                .filter(|w| w.fingerprint != wanted.fingerprint)
                .map(|w| w.summary.clone())
                .collect(),
            replaces: marker.replaces.last().copied(),
            hints: marker.hints.clone(),
        };
        pull_body(&fix.body, &controls, &marker::write(marker, self.work.key))
    }

    /// Labels and people. A failure of these never fails the pass.
    async fn finish(&mut self, wanted: &Wanted, fix: &Fix, number: u64) -> Result<()> {
        let mut marker = self.marker(number);
        let missing = labels_missing(self.work.rules, fix, &marker.labels);
        if !missing.is_empty() {
            let set = self.work.github.add_labels(number, &missing).await;
            // those that could not be set are tried again in the next pass
            if self.tolerate(&format!("labels of #{number}"), set)? {
                marker.labels.extend(missing);
            }
        }
        if self.assign(wanted, fix, number, &marker).await? {
            marker.told.push(ASSIGNED.to_owned());
        }
        self.report(fix, number, &mut marker).await;
        self.mark_pull(number, &marker).await
    }

    /// The check on the head, where it would say something new. An error never stops the pass; what
    /// is not allowed is not tried again before there is something new to say.
    async fn report(&mut self, fix: &Fix, number: u64, marker: &mut Marker) {
        let is_draft = fix.is_draft(self.work.rules);
        let mark = fix.checks.mark(&marker.head, is_draft);
        if marker.checked == mark {
            return;
        }
        let report = CheckReport {
            name: CHECK.to_owned(),
            sha: marker.head.clone(),
            conclusion: fix.checks.conclusion(is_draft),
            title: fix.checks.title.clone(),
            summary: fix.checks.summary.clone(),
            external_id: marker.fingerprint.clone(),
        };
        let reported = self.work.github.check(&report).await;
        if reported.as_ref().is_err_and(Error::is_outage) {
            self.note(format!("the check of #{number} is left to the next pass"));
            return;
        }
        if let Err(error) = reported {
            self.note(format!("the check of #{number}: {error}"));
        }
        marker.checked = mark;
    }

    /// Whether that is done with: they were assigned, or there is nobody.
    async fn assign(
        &mut self,
        wanted: &Wanted,
        fix: &Fix,
        number: u64,
        marker: &Marker,
    ) -> Result<bool> {
        let most = usize::try_from(self.work.rules.assign_code_owners).unwrap_or(usize::MAX);
        if most == 0 || marker.told.iter().any(|t| t == ASSIGNED) {
            return Ok(false);
        }
        let owners = match self.work.github.code_owners(&fix.base).await {
            Ok(owners) => owners,
            Err(error) => return self.tolerate("CODEOWNERS", Err(error)),
        };
        let files = fix.files.keys().map(String::as_str);
        let people = owners.people(files, &wanted.fingerprint, most);
        if people.is_empty() {
            return Ok(true);
        }
        let set = self.work.github.assign(number, &people).await;
        self.tolerate(&format!("assignees of #{number}"), set)
    }

    // ---- bringing up to date

    pub(super) async fn refresh(
        &mut self,
        wanted: &Wanted,
        fix: &Fix,
        number: u64,
        commit: bool,
    ) -> Result<()> {
        let Some(pull) = self.unchanged(number).await? else {
            self.touched(number, "none", &wanted.fingerprint);
            return Ok(());
        };
        let mut marker = self.marker(number);
        let before = marker.clone();
        self.describe(&mut marker, wanted, fix);
        marker.what = What::Fix;
        marker.closed = None;
        if commit {
            // an old prefix keeps its name
            let fix = &Fix {
                branch: pull.head_ref.clone(),
                ..fix.clone()
            };
            let Some(head) = self.replace(fix, &marker, &pull.head_sha).await? else {
                return Ok(());
            };
            marker.head = head;
            marker.base = fix.base.clone();
            marker.attempt = marker.attempt.saturating_add(1);
            self.taken_back(number, &mut marker).await?;
        } else {
            marker.head = pull.head_sha.clone();
        }
        marker.body = identity::text_hash(&fix.title, &fix.body);
        let body = |w: &Self, m: &Marker| w.body(wanted, fix, m);
        self.write_pull(number, &fix.title, &marker, body).await?;
        self.targets.insert(fix.target.clone(), number);
        self.finish(wanted, fix, number).await?;
        let changed = commit || self.marker(number) != before;
        let operation = if changed { "updated" } else { "none" };
        self.touched(number, operation, &wanted.fingerprint);
        Ok(())
    }

    /// After people asked for it again, nobody has it in hand any more.
    async fn taken_back(&mut self, number: u64, marker: &mut Marker) -> Result<()> {
        for topic in [Topic::HandsOff, Topic::Retargeted, Topic::Loop] {
            if marker.told.iter().any(|t| t == topic.as_str()) && self.hide(number, topic).await? {
                marker.told.retain(|t| t != topic.as_str());
            }
        }
        Ok(())
    }

    /// Tells in another finding's pull request that it mends this one too.
    pub(super) async fn join(&mut self, fingerprint: &str, number: Option<u64>) -> Result<()> {
        let Some((wanted, target)) = self.wanted(fingerprint).map(|w| (w, target(w))) else {
            return Ok(());
        };
        let Some(number) = number.or_else(|| self.targets.get(&target).copied()) else {
            return Ok(());
        };
        if self.unchanged(number).await?.is_none() {
            return Ok(());
        }
        let mut marker = self.marker(number);
        marker.name_also([&wanted.fingerprint, &wanted.key]);
        let speaks = speaks(self.analysis, wanted, &marker);
        if speaks {
            let word = word(self.analysis, wanted, &marker, self.work.now);
            marker.enlist(word, self.work.now);
        }
        match self.host(&marker) {
            Some((host, fix)) => {
                let body = |w: &Self, m: &Marker| w.body(host, fix, m);
                self.write_pull(number, &fix.title, &marker, body).await?;
            }
            None => self.mark_pull(number, &marker).await?,
        }
        self.outcome.numbers.insert(fingerprint.to_owned(), number);
        Ok(())
    }

    /// The fix of a pull request, where this run keeps its text.
    fn host(&self, marker: &Marker) -> Option<(&'a Wanted, &'a Fix)> {
        let keeps = marker.keeper(self.work.now) == self.analysis.scope;
        self.fix(&marker.fingerprint).filter(|_| keeps)
    }
}

fn target(wanted: &Wanted) -> String {
    match &wanted.ending {
        crate::forge::decide::WantedEnding::Fix(fix) => fix.target.clone(),
        _ => String::new(),
    }
}

/// What people said is kept where the next pass looks for it.
fn keep_said(marker: &mut Marker, said: &Said) {
    marker.chosen = said.chosen;
    marker.chosen_of = said.chosen_of.clone().unwrap_or_default();
    marker.set = said.set.iter().map(|(k, v)| format!("{k}={v}")).collect();
    marker.hints = said.hints.clone();
}

/// Whether the pull request may be there after this error.
fn may_exist(error: &Error) -> bool {
    match error {
        Error::Unavailable(_) | Error::Unexpected(_) => true,
        Error::Invalid(m) => m.to_lowercase().contains("already exists"),
        _ => false,
    }
}

/// Refusals that pass: GitHub does not see the new branch yet, or not yet that it may be used.
fn passes(message: &str) -> bool {
    let message = message.to_lowercase();
    let signs = [
        "\"head\"",
        "head sha",
        "not all refs are readable",
        "not authorized",
        "try again",
    ];
    signs.iter().any(|s| message.contains(s))
}
