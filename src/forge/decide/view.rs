//! The forge and the run side by side: what belongs to what.

use std::cmp::Reverse;

use jiff::Timestamp;

use super::{Fix, Observed, OurPull, Topic, Wanted, WantedEnding};
use crate::config::Rules;
use crate::cycle::Analysis;
use crate::forge::identity;
use crate::forge::marker::{ClosedBecause, Marker, What};
use crate::forge::{Issue, Pull, PullState};

/// Everything that is compared.
pub(super) struct View<'a> {
    pub(super) analysis: &'a Analysis,
    pub(super) observed: &'a Observed,
    pub(super) rules: &'a Rules,
    pub(super) now: Timestamp,
    pub(super) pulls: Vec<Known<'a>>,
    /// Pull requests that take a fix back.
    pub(super) reverts: Vec<Known<'a>>,
    pub(super) questions: Vec<KnownIssue<'a>>,
}

/// A pull request on a branch of ours, with what is known about it.
pub(super) struct Known<'a> {
    pub(super) our: &'a OurPull,
    pub(super) pull: &'a Pull,
    pub(super) marker: Marker,
    /// Opened by us; somebody may open one on a branch with our prefix.
    pub(super) mine: bool,
}

/// An issue of ours that asks something.
pub(super) struct KnownIssue<'a> {
    pub(super) issue: &'a Issue,
    pub(super) marker: Marker,
}

impl<'a> View<'a> {
    pub(super) fn new(
        analysis: &'a Analysis,
        observed: &'a Observed,
        rules: &'a Rules,
        now: Timestamp,
    ) -> Self {
        let marker = |n: u64| observed.markers.get(&n).cloned().unwrap_or_default();
        let pulls = observed.pulls.iter().map(|our| Known {
            our,
            pull: &our.pull,
            marker: marker(our.pull.number),
            mine: our.pull.author.id == observed.me.id,
        });
        // a revert takes a fix back; it is none
        let (reverts, pulls): (Vec<_>, Vec<_>) = pulls.partition(|p| p.marker.what == What::Revert);
        let mine = |i: &&Issue| i.author.id == observed.me.id;
        let questions = observed.questions.iter().filter(mine);
        let questions = questions.map(|issue| KnownIssue {
            issue,
            marker: marker(issue.number),
        });
        Self {
            analysis,
            observed,
            rules,
            now,
            pulls,
            reverts,
            questions: questions.collect(),
        }
    }

    /// Open pull requests of ours.
    pub(super) fn open(&self) -> impl Iterator<Item = &Known<'a>> {
        self.pulls.iter().filter(|p| p.mine && p.is_open())
    }

    /// Pull requests for one fingerprint, open ones first, then those that ended last. One that
    /// mended it along with another finding counts when it ended: a no to it is a no for both. What
    /// people made of the same change of the same places counts, too: they closed it, or merged it and
    /// may have taken it back. A close of ours says nothing about the change.
    pub(super) fn of_fingerprint(&self, wanted: &Wanted, fix: &Fix) -> Vec<&Known<'a>> {
        let short = identity::short(&wanted.fingerprint);
        let along = |p: &Known<'_>| p.mine && p.marker.also.contains(&wanted.fingerprint);
        let alike = |p: &Known<'_>| {
            let (target, change) = (&p.marker.target, &p.marker.change);
            let is_known = !target.is_empty() && !change.is_empty();
            let is_ended = p.mine && !p.is_open() && p.closed_by_us(self.observed.me.id).is_none();
            is_ended && is_known && *target == fix.target && *change == fix.change
        };
        let same = |p: &&Known<'_>| {
            p.pull.head_ref == fix.branch
                || identity::short_of_branch(&p.pull.head_ref) == Some(short)
                || (!p.is_open() && along(p))
                || alike(p)
        };
        let mut all: Vec<&Known<'_>> = self.pulls.iter().filter(same).collect();
        all.sort_by_key(|p| {
            (
                !p.is_open(),
                Reverse(p.pull.closed_at),
                Reverse(p.pull.number),
            )
        });
        all
    }

    /// Whether a complete run, one of those that reported it, still speaks about what a pull request
    /// or question is for.
    pub(super) fn health(&self, marker: &Marker, branch: Option<&str>) -> Health {
        let concerned = || {
            let all = self.analysis.wanted.iter();
            all.filter(|w| concerns(w, marker, branch))
        };
        let is_sick =
            |w: &Wanted| !matches!(w.ending, WantedEnding::Settled | WantedEnding::Unknown);
        if concerned().any(is_sick) {
            return Health::Sick;
        }
        let unknown = concerned().any(|w| w.ending == WantedEnding::Unknown)
            || !self.analysis.tells_of(&marker.object)
            || !self.observed.complete
            || marker.key.is_empty()
            || !marker.is_reported_by(&self.analysis.scope, self.now)
            || self.only_listed(marker);
        if unknown {
            Health::Unknown
        } else {
            Health::Healthy
        }
    }

    /// Whether other runs report what a pull request is for: it is not this one's to close.
    pub(super) fn has_company(&self, marker: &Marker) -> bool {
        marker.is_reported_beside(&self.analysis.scope, self.now)
    }

    /// Whether something about the same object was found and not handled.
    fn only_listed(&self, marker: &Marker) -> bool {
        let mut listed = self.analysis.listed.iter();
        listed.any(|f| marker.object.is_empty() || f.object.to_string() == marker.object)
    }

    /// Whether anybody asked for this finding again, on any of these.
    pub(super) fn asked_again(&self, mut numbers: impl Iterator<Item = u64>) -> bool {
        let asked = &self.observed.asked;
        numbers.any(|n| {
            asked.retry.contains(&n) || asked.unignore.contains(&n) || asked.recreate.contains(&n)
        })
    }
}

/// How something that was reported looks now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Health {
    /// Nobody reports it any more, or Git is right already.
    Healthy,
    /// Still reported.
    Sick,
    /// This run cannot tell.
    Unknown,
}

fn concerns(wanted: &Wanted, marker: &Marker, branch: Option<&str>) -> bool {
    let same_branch =
        branch.and_then(identity::short_of_branch) == Some(identity::short(&wanted.fingerprint));
    let same_target = matches!(&wanted.ending, WantedEnding::Fix(fix)
        if !fix.target.is_empty() && fix.target == marker.target);
    let named = |id: &String| *id == wanted.key || *id == wanted.fingerprint;
    same_branch || same_target || wanted.key == marker.key || marker.also.iter().any(named)
}

impl Known<'_> {
    pub(super) fn number(&self) -> u64 {
        self.pull.number
    }

    pub(super) fn is_open(&self) -> bool {
        self.pull.state == PullState::Open
    }

    pub(super) fn has_label(&self, label: &str) -> bool {
        has_label(&self.pull.labels, label)
    }

    pub(super) fn told(&self, topic: Topic) -> bool {
        self.marker.told.iter().any(|t| t == topic.as_str())
    }

    /// Closed by us: we are the actor, and we wrote down why. Everything else is a human's no.
    pub(super) fn closed_by_us(&self, me: u64) -> Option<ClosedBecause> {
        let actor = self.our.closed_by.as_ref()?;
        self.marker.closed.filter(|_| self.mine && actor.id == me)
    }

    /// Whether people have taken it over, so that it is neither changed nor closed.
    pub(super) fn is_hands_off(&self, base_branch: &str) -> bool {
        self.our.foreign_commits != Some(0) || self.pull.base_ref != base_branch
    }

    pub(super) fn is_ignored(&self, now: Timestamp) -> bool {
        self.has_label(super::IGNORED) || self.marker.ignored_until.is_some_and(|t| t > now)
    }
}

pub(crate) fn has_label(labels: &[String], label: &str) -> bool {
    // labels are compared as GitHub does
    labels.iter().any(|l| l.eq_ignore_ascii_case(label))
}
