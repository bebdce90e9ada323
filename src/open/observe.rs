//! Reading the forge: everything of ours, once a pass.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use super::trailers;
use crate::config::Rules;
use crate::cycle::{Analysis, Work};
use crate::forge::decide::{DASHBOARD, Observed, OurPull, PAUSED, QUESTION, Wanted, WantedEnding};
use crate::forge::identity;
use crate::forge::marker::{self, Marker, Paused, What};
use crate::forge::{Issue, Pull, PullState};
use crate::github::{CommitFacts, Error, Result};

/// Pages of open pull requests: more are more than can be judged.
const OPEN_PAGES: usize = 30;
/// Pages of closed ones, those that changed last first.
const CLOSED_PAGES: usize = 5;
/// The most closed pull requests that are looked at one by one.
const MAX_CLOSER: usize = 200;

/// Reads everything that decides. An outage ends the pass; what only some of it cannot be read
/// for makes the observation incomplete.
pub async fn observe(work: &Work<'_>) -> Result<Observed> {
    let github = work.github;
    let me = github.me().await?;
    let facts = github.facts().await?;
    let base_branch = work.rules.base_branch.clone();
    let base_branch = base_branch.unwrap_or_else(|| facts.default_branch.clone());
    let mut observed = Observed {
        me,
        repo_id: facts.id,
        facts,
        complete: true,
        ..Observed::default()
    };
    let pulls = our_pulls(work, &mut observed).await?;
    // after the pull requests: whatever was merged by then is in this head
    let head = github.branch_head(&base_branch).await?;
    observed.base_sha =
        head.ok_or_else(|| Error::NotFound(format!("the branch {base_branch} of the base")))?;
    observed.base_branch = base_branch;
    for prefix in prefixes(work.rules) {
        observed.branches.extend(github.branches(prefix).await?);
    }
    for pull in pulls {
        look_at(work, &mut observed, pull).await?;
    }
    issues(work, &mut observed).await?;
    Ok(observed)
}

/// What names of branches of ours start with, now and in earlier times.
pub(super) fn prefixes(rules: &Rules) -> impl Iterator<Item = &str> {
    let old = rules.prefix_old.iter().map(String::as_str);
    let all = std::iter::once(rules.branch_prefix.as_str()).chain(old);
    all.filter(|p| !p.is_empty())
}

/// Pull requests from branches of this repository with our prefix. Those that are open first, then
/// those that were closed last.
async fn our_pulls(work: &Work<'_>, observed: &mut Observed) -> Result<Vec<Pull>> {
    let open = work.github.pulls("open", OPEN_PAGES).await?;
    observed.complete &= open.len() < OPEN_PAGES * 100;
    let closed = work.github.pulls("closed", CLOSED_PAGES).await?;
    observed.older_closed = closed.len() >= CLOSED_PAGES * 100;
    // one that was closed in between is in both lists: the later one counts
    let all: BTreeMap<u64, Pull> = open
        .into_iter()
        .chain(closed)
        .map(|p| (p.number, p))
        .collect();
    let ours = all.into_values().filter(|p| is_ours(work, observed, p));
    let mut pulls: Vec<Pull> = ours.collect();
    pulls.sort_by_key(|p| {
        (
            p.state != PullState::Open,
            Reverse(p.closed_at),
            Reverse(p.number),
        )
    });
    Ok(pulls)
}

/// From a branch of this repository with our prefix.
fn is_ours(work: &Work<'_>, observed: &Observed, pull: &Pull) -> bool {
    let named = |prefix: &str| {
        pull.head_ref.starts_with(prefix) && pull.head_ref != identity::onboarding_branch(prefix)
    };
    pull.head_repo_id == Some(observed.repo_id) && prefixes(work.rules).any(named)
}

/// Looks for what was closed too long ago to be listed: a no of people has no age. Where the list was
/// whole, there is nothing to look for.
pub async fn recall(work: &Work<'_>, observed: &mut Observed, analysis: &Analysis) -> Result<()> {
    if !observed.older_closed {
        return Ok(());
    }
    for branch in unseen(work, observed, analysis) {
        let pulls = work.github.pulls_of(&branch).await?;
        let known = |p: &Pull| observed.pulls.iter().any(|o| o.pull.number == p.number);
        let older =
            |p: &Pull| p.state != PullState::Open && !known(p) && is_ours(work, observed, p);
        let older: Vec<Pull> = pulls.into_iter().filter(older).collect();
        for pull in older {
            look_closer(work, observed, pull, true).await?;
        }
    }
    Ok(())
}

/// Branches of fixes of which no pull request was seen, under every prefix.
fn unseen(work: &Work<'_>, observed: &Observed, analysis: &Analysis) -> BTreeSet<String> {
    let seen = |branch: &str| observed.pulls.iter().any(|p| p.pull.head_ref == branch);
    let branch = |w: &Wanted| match &w.ending {
        WantedEnding::Fix(fix) if !seen(&fix.branch) => Some(fix.branch.clone()),
        _ => None,
    };
    let under_all = |branch: String| {
        let rest = branch
            .strip_prefix(&work.rules.branch_prefix)
            .map(str::to_owned);
        let named =
            prefixes(work.rules).filter_map(move |p| Some(format!("{p}{}", rest.as_ref()?)));
        named.collect::<Vec<_>>()
    };
    let branches = analysis.wanted.iter().filter_map(branch);
    branches.flat_map(under_all).collect()
}

async fn look_at(work: &Work<'_>, observed: &mut Observed, pull: Pull) -> Result<()> {
    let closer = observed.pulls.len() < MAX_CLOSER;
    look_closer(work, observed, pull, closer).await
}

/// What a pull request says; `closer`: also what costs a request for one that is closed.
async fn look_closer(
    work: &Work<'_>,
    observed: &mut Observed,
    pull: Pull,
    closer: bool,
) -> Result<()> {
    let number = pull.number;
    let mut ours = OurPull {
        pull,
        closed_by: None,
        foreign_commits: None,
        tree: None,
    };
    if ours.pull.author.id != observed.me.id {
        observed.pulls.push(ours);
        return Ok(());
    }
    let commits = match ours.pull.state {
        PullState::Open => look_at_open(work, observed, &mut ours).await?,
        _ => Vec::new(),
    };
    let (mut marker, sound) = believed(work, observed, &ours, &commits);
    if ours.pull.state == PullState::Closed && marker.closed.is_some() && closer {
        ours.closed_by =
            tolerated(observed, work.github.issue(number).await)?.and_then(|issue| issue.closed_by);
    }
    if ours.pull.state != PullState::Open && !sound && closer {
        let commits = tolerated(observed, work.github.commits_of(number).await)?;
        marker = believed(work, observed, &ours, &commits.unwrap_or_default()).0;
    }
    if !sound {
        observed.unsound.insert(number);
    }
    observed.markers.insert(number, marker);
    observed.pulls.push(ours);
    Ok(())
}

/// `mergeable` is only told for one at a time; commits tell whether people pushed.
async fn look_at_open(
    work: &Work<'_>,
    observed: &mut Observed,
    ours: &mut OurPull,
) -> Result<Vec<CommitFacts>> {
    let number = ours.pull.number;
    let pull = tolerated(observed, work.github.pull(number).await)?;
    let commits = tolerated(observed, work.github.commits_of(number).await)?;
    let (Some(pull), Some(commits)) = (pull, commits) else {
        return Ok(Vec::new());
    };
    let seen_at_head = commits.last().is_none_or(|c| c.sha == pull.head_sha);
    let is_foreign = |c: &&CommitFacts| !trailers::is_ours(c, &observed.me);
    // somebody pushed between the two answers: the next pass sees clearly
    ours.foreign_commits = seen_at_head.then(|| commits.iter().filter(is_foreign).count());
    ours.tree = commits.last().map(|c| c.tree.clone());
    ours.pull = pull;
    Ok(commits)
}

/// An outage ends the pass; anything else is something that could not be read.
fn tolerated<T>(observed: &mut Observed, result: Result<T>) -> Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.is_outage() => Err(error),
        Err(_) => {
            observed.complete = false;
            Ok(None)
        }
    }
}

/// What a pull request says about itself, as far as it can be believed, and whether its marker can.
fn believed(
    work: &Work<'_>,
    observed: &Observed,
    ours: &OurPull,
    commits: &[CommitFacts],
) -> (Marker, bool) {
    let pull = &ours.pull;
    let read = marker::read(&pull.body, work.key);
    let fits = |m: &&Marker| marker::fits(m, observed.repo_id, &pull.head_ref);
    let said = read.marker().filter(fits).cloned();
    let sound = said.is_some();
    let mut marker = said.unwrap_or_else(|| from_branch(observed, ours));
    let last = commits
        .last()
        .filter(|c| trailers::is_ours(c, &observed.me));
    if let Some(last) = last {
        // a hint, or from before the last commit: the commit knows better
        if !sound || work.key.is_none() || marker.head != last.sha {
            trailers::overlay(&mut marker, last);
        }
        if !sound {
            marker.head = last.sha.clone();
        }
    }
    (marker, sound)
}

/// All that is left when the marker cannot be believed.
fn from_branch(observed: &Observed, ours: &OurPull) -> Marker {
    let pull = &ours.pull;
    let reverted = identity::reverted_of_branch(&pull.head_ref);
    let digits = reverted.or_else(|| identity::short_of_branch(&pull.head_ref));
    let digits = digits.unwrap_or_default();
    Marker {
        what: match reverted {
            Some(_) => What::Revert,
            None => What::Fix,
        },
        repo: observed.repo_id,
        fingerprint: digits.to_owned(),
        labels: pull.labels.clone(),
        attempt: 1,
        ..Marker::default()
    }
}

// ---- issues

async fn issues(work: &Work<'_>, observed: &mut Observed) -> Result<()> {
    if !observed.facts.has_issues {
        return Ok(());
    }
    let Some(mut questions) = ours(work, observed, QUESTION).await? else {
        return Ok(());
    };
    for issue in &mut questions {
        let (marker, sound) = believed_issue(work, observed, issue, What::Question);
        // lists do not say who closed it
        if !issue.open && marker.closed.is_some() && issue.closed_by.is_none() {
            let closer = tolerated(observed, work.github.issue(issue.number).await)?;
            issue.closed_by = closer.and_then(|i| i.closed_by);
        }
        if !sound {
            observed.unsound.insert(issue.number);
        }
        observed.markers.insert(issue.number, marker);
    }
    observed.questions = questions;
    name_unbound(observed);
    let dashboards = ours(work, observed, DASHBOARD).await?.unwrap_or_default();
    // the oldest open one, else the one that was closed last
    let key = |i: &Issue| {
        (
            i.open,
            Reverse(if i.open { i.number } else { 0 }),
            i.closed_at,
        )
    };
    observed.dashboard = dashboards.into_iter().max_by_key(key);
    if let Some(dashboard) = observed.dashboard.clone() {
        let (marker, sound) = believed_issue(work, observed, &dashboard, What::Dashboard);
        observed.paused = paused(&dashboard, &marker);
        if !sound {
            observed.unsound.insert(dashboard.number);
        }
        observed.markers.insert(dashboard.number, marker);
    }
    Ok(())
}

/// A question's marker that names no issue was written before its number was known: it is written
/// again. Where another question of ours has the same finding, it was copied.
fn name_unbound(observed: &mut Observed) {
    let unbound = |m: &Marker| m.what == What::Question && m.issue == 0 && !m.key.is_empty();
    let bound = observed.markers.values().filter(|m| m.issue != 0);
    let bound: BTreeSet<String> = bound.map(|m| m.key.clone()).collect();
    for (number, marker) in observed.markers.iter_mut().filter(|(_, m)| unbound(m)) {
        observed.unsound.insert(*number);
        if bound.contains(&marker.key) {
            *marker = lost(marker.what, marker.repo);
        }
    }
}

/// Issues of ours with a label. Where issues are switched off or not allowed, there are none.
async fn ours(work: &Work<'_>, observed: &mut Observed, label: &str) -> Result<Option<Vec<Issue>>> {
    match work.github.issues(label, "all").await {
        Ok(all) => {
            let mine = all.into_iter().filter(|i| i.author.id == observed.me.id);
            Ok(Some(mine.collect()))
        }
        Err(Error::Gone(_) | Error::Forbidden(_)) => {
            observed.facts.has_issues = false;
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

fn believed_issue(
    work: &Work<'_>,
    observed: &Observed,
    issue: &Issue,
    what: What,
) -> (Marker, bool) {
    let read = marker::read(&issue.body, work.key);
    let fits =
        |m: &&Marker| m.what == what && marker::fits_issue(m, observed.repo_id, issue.number);
    let said = read.marker().filter(fits).cloned();
    let sound = said.is_some();
    (said.unwrap_or_else(|| lost(what, observed.repo_id)), sound)
}

fn lost(what: What, repo: u64) -> Marker {
    Marker {
        what,
        repo,
        ..Marker::default()
    }
}

/// By command or box (then it is in the marker), or by label.
fn paused(dashboard: &Issue, marker: &Marker) -> Option<Paused> {
    let by_label = || {
        let labelled = dashboard
            .labels
            .iter()
            .any(|l| l.eq_ignore_ascii_case(PAUSED));
        labelled.then(|| Paused {
            by: format!("the label {PAUSED}"),
            since: dashboard.updated_at,
        })
    };
    marker.paused.clone().or_else(by_label)
}

/// Takes over what people said in bodies that changed since [`observe`] (also by our own hand).
pub fn reread(work: &Work<'_>, observed: &mut Observed) {
    let pulls = observed.pulls.iter();
    let pulls = pulls.map(|p| (p.pull.number, &p.pull.body, p.pull.head_ref.as_str()));
    let issues = observed.questions.iter().chain(&observed.dashboard);
    let issues = issues.map(|i| (i.number, &i.body, ""));
    for (number, body, head_ref) in pulls.chain(issues) {
        let read = marker::read(body, work.key);
        let fits = |m: &&Marker| match head_ref {
            "" => marker::fits_issue(m, observed.repo_id, number),
            head_ref => marker::fits(m, observed.repo_id, head_ref),
        };
        let said = read.marker().filter(fits);
        if let (Some(said), Some(known)) = (said, observed.markers.get_mut(&number)) {
            take_over(known, said);
        }
    }
}

/// What `converse` may have changed.
fn take_over(known: &mut Marker, said: &Marker) {
    let said = said.clone();
    known.chosen = said.chosen;
    known.chosen_of = said.chosen_of;
    known.set = said.set;
    known.hints = said.hints;
    known.pending = said.pending;
    known.ignored_until = said.ignored_until;
    known.labels = said.labels;
    known.paused = said.paused;
}
