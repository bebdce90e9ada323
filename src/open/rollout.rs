//! The one comment about a rollout: each cluster that looks has its entry in it, and changes no other.

use super::notices::remember;
use super::trials::VERDICT;
use super::writer::Writer;
use crate::cycle::Trialed;
use crate::forge::decide::{OurPull, Topic};
use crate::forge::marker::{self, Marker};
use crate::github::{CheckReport, Result};
use crate::message::rollout::{self as words, Revert, Told};
use crate::verify::machine::{State, Verdict};
use crate::verify::together::{self, Trial};

/// How often an entry is written that another cluster overwrites at the same time.
const TRIES: usize = 3;
/// The check on the head of the pull request.
const CHECK: &str = "kubemend/rollout";

impl Writer<'_> {
    /// What earlier looks left behind, of each cluster.
    pub(super) async fn rollout(&self, fix: &OurPull) -> Result<Vec<Trial>> {
        let number = fix.pull.number;
        let ours = self.ours_of(number, Topic::Rollout).await?;
        let read = ours.last().map(|c| marker::read(&c.body, self.work.key));
        // what was copied from another rollout says nothing about this one
        let belongs =
            |m: &&Marker| m.issue == number && Some(&m.base) == fix.pull.merge_commit.as_ref();
        let said = read.as_ref().and_then(|r| r.marker()).filter(belongs);
        let mut trials = said.map(|m| m.trials.clone()).unwrap_or_default();
        let mine = &self.analysis.scope;
        for other in trials.iter_mut().filter(|t| t.scope != *mine) {
            let verdict = &mut other.memory.verdict;
            if self.work.key.is_none() && verdict.as_ref().is_some_and(Verdict::is_bad) {
                // without a signature it is a hint: whoever saw it takes the change back
                *verdict = None;
            }
        }
        Ok(trials)
    }

    /// Tells what a look found. What people took back before anything was said of it is theirs.
    pub(super) async fn follow(&mut self, trial: &mut Trialed) -> Result<()> {
        match self.stays_silent(trial).await? {
            true => Ok(()),
            false => self.tell(trial, Revert::None).await,
        }
    }

    async fn stays_silent(&self, trial: &Trialed) -> Result<bool> {
        let is_only = trial.jury.is_only(&self.analysis.scope);
        if !is_only || !trial.state.is_overtaken() {
            return Ok(false);
        }
        let told = self.ours_of(trial.number, Topic::Rollout).await?;
        Ok(told.is_empty())
    }

    /// Keeps the comment about the rollout up to date.
    pub(super) async fn tell(&mut self, trial: &mut Trialed, revert: Revert<'_>) -> Result<()> {
        let scope = &self.analysis.scope;
        let is_only = trial.jury.is_only(scope);
        let fix = self.ours(trial.number).filter(|_| !is_only);
        let Some(fix) = fix else {
            return self.told(trial, revert).await;
        };
        let mine = trial.trials.iter().find(|t| t.scope == *scope).cloned();
        let mine = mine.unwrap_or_default();
        let mut now = self.rollout(fix).await?;
        for _ in 0..TRIES {
            trial.trials = together::with(now, mine.clone());
            self.told(trial, revert).await?;
            // another cluster may have written at the same moment
            now = self.rollout(fix).await?;
            if now.contains(&mine) {
                trial.trials = now;
                return Ok(());
            }
        }
        self.note(format!(
            "the rollout of #{}: others write there at the same time; left to the next pass",
            trial.number
        ));
        Ok(())
    }

    async fn told(&mut self, trial: &Trialed, revert: Revert<'_>) -> Result<()> {
        let marker = Marker {
            trials: trial.trials.clone(),
            issue: trial.number,
            base: trial.commit.clone(),
            ..self.comment_marker(Topic::Rollout)
        };
        let text = self.with(&self.text(trial, revert), &marker);
        self.sticky(trial.number, Topic::Rollout, &text).await
    }

    fn text(&self, trial: &Trialed, revert: Revert<'_>) -> String {
        words::comment(&Told {
            commit: &trial.commit,
            state: &trial.state,
            evidence: &trial.sight.evidence,
            timing: &trial.timing,
            revert,
            is_revert: trial.is_revert,
            late: trial.late,
            clusters: match trial.jury.is_only(&self.analysis.scope) {
                true => None,
                false => Some((&trial.jury, &trial.trials)),
            },
        })
    }

    /// The verdict: comment, check, and the mark that ends it.
    pub(super) async fn give(
        &mut self,
        trial: &mut Trialed,
        verdict: &Verdict,
        revert: Revert<'_>,
    ) -> Result<()> {
        if self.stays_silent(trial).await? {
            return self.mark(trial.number, verdict).await;
        }
        self.tell(trial, revert).await?;
        let head = self.ours(trial.number).map(|o| o.pull.head_sha.clone());
        let report = CheckReport {
            name: CHECK.to_owned(),
            sha: head.unwrap_or_default(),
            conclusion: match verdict {
                Verdict::Verified => "success",
                Verdict::Regressed(_) | Verdict::ApplyFailed(_) => "failure",
                Verdict::Inconclusive(_) => "neutral",
            },
            title: words::title(&State::Ended(verdict.clone())).to_owned(),
            summary: self.text(trial, revert),
            external_id: trial.fingerprint.clone(),
        };
        let reported = self.work.github.check(&report).await;
        self.tolerate(&format!("the check of #{}", trial.number), reported)?;
        self.mark(trial.number, verdict).await
    }

    /// Nobody looks at it any more.
    async fn mark(&mut self, number: u64, verdict: &Verdict) -> Result<()> {
        let mut marker = self.marker(number);
        remember(&mut marker, &format!("{VERDICT}{}", verdict.name()));
        self.mark_pull(number, &marker).await
    }
}
