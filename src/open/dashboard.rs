//! The dashboard: the one issue that lists everything, and the heartbeat.

use jiff::Timestamp;

use super::Outcome;
use super::writer::same_text;
use crate::cycle::{Analysis, Work};
use crate::forge::dashboard::{Dashboard, HEARTBEAT, TITLE, render, without_heartbeat};
use crate::forge::decide::{Action, DASHBOARD, Observed};
use crate::forge::marker::{self, Marker, What};
use crate::forge::ticks::{reticked, ticked};
use crate::forge::{Issue, identity};
use crate::github::{Error, Result};
use crate::message::forge::with_marker;

/// Writes the dashboard when it says something else than before, or when its heartbeat is old. An
/// idle pass writes nothing. Of several runs with different eyes one keeps it, as long as it lives:
/// otherwise they would overwrite each other in every pass.
pub async fn tell(
    work: &Work<'_>,
    observed: &Observed,
    analysis: &Analysis,
    actions: &[Action],
    outcome: &Outcome,
) -> Result<()> {
    let rules = work.rules;
    let facts = &observed.facts;
    if work.dry_run || !rules.enabled || !rules.dashboard || facts.archived || !facts.has_issues {
        return Ok(());
    }
    // somebody who closed it does not want it
    if observed.dashboard.as_ref().is_some_and(|d| !d.open) {
        return Ok(());
    }
    let known = observed.dashboard.as_ref().map(|d| d.number);
    let known = known.filter(|n| !observed.unsound.contains(n));
    let known = known.and_then(|n| observed.markers.get(&n));
    if known.is_some_and(|m| is_of_another(m, analysis, work.now)) {
        return Ok(());
    }
    let text = render(&Dashboard {
        scope: &analysis.scope,
        wanted: &analysis.wanted,
        actions,
        observed,
        opened: &outcome.numbers,
        rules,
        listed: &analysis.listed,
        problems: &analysis.problems,
        now: work.now,
    });
    let hash = identity::text_hash(TITLE, &without_heartbeat(&text));
    match &observed.dashboard {
        Some(issue) => update(work, observed, analysis, issue, &text, hash).await,
        None => create(work, observed, analysis, &text, hash).await,
    }
}

/// Whether another run keeps it, and gave a sign of life not long ago.
fn is_of_another(marker: &Marker, analysis: &Analysis, now: Timestamp) -> bool {
    let both = [&marker.scope, &analysis.scope];
    let other = both.iter().all(|s| !s.is_empty()) && marker.scope != analysis.scope;
    let beats = marker.beat.map(|beat| now.duration_since(beat));
    other && beats.is_some_and(|age| age < HEARTBEAT * 2)
}

async fn update(
    work: &Work<'_>,
    observed: &Observed,
    analysis: &Analysis,
    issue: &Issue,
    text: &str,
    hash: String,
) -> Result<()> {
    let known = observed.markers.get(&issue.number);
    let fresh = known
        .and_then(|m| m.beat)
        .is_some_and(|beat| work.now.duration_since(beat) < HEARTBEAT && beat <= work.now);
    let sound = !observed.unsound.contains(&issue.number);
    if fresh && sound && known.is_some_and(|m| m.body == hash) {
        return Ok(());
    }
    let now = work.github.issue(issue.number).await?;
    // somebody just ticked a box: that is heard first
    if !now.open || !same_text(&now.body, &issue.body) {
        return Ok(());
    }
    let before = known.cloned().unwrap_or_default();
    let marker = beat(work, observed, analysis, before, hash);
    // what was ticked and could not be acted on is tried again in the next pass
    let text = reticked(text, &ticked(&issue.body));
    let body = with_marker(&text, &marker::write(&marker, work.key));
    work.github.edit_issue(issue.number, TITLE, &body).await
}

fn beat(
    work: &Work<'_>,
    observed: &Observed,
    analysis: &Analysis,
    before: Marker,
    hash: String,
) -> Marker {
    Marker {
        scope: match analysis.scope.as_str() {
            "" => before.scope.clone(), // no run at all: a problem is told
            scope => scope.to_owned(),
        },
        what: What::Dashboard,
        repo: observed.repo_id,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        body: hash,
        beat: Some(work.now),
        ..before
    }
}

async fn create(
    work: &Work<'_>,
    observed: &Observed,
    analysis: &Analysis,
    text: &str,
    hash: String,
) -> Result<()> {
    // another process of ours may have made it since the observation
    if there(work, observed).await? {
        return Ok(());
    }
    let marker = beat(work, observed, analysis, Marker::default(), hash);
    let body = with_marker(text, &marker::write(&marker, work.key));
    let opened = work
        .github
        .open_issue(TITLE, &body, &[DASHBOARD.to_owned()])
        .await;
    match opened {
        Ok(_) => Ok(()),
        Err(Error::Gone(_)) => Ok(()),
        // it may be there all the same
        Err(error @ (Error::Unavailable(_) | Error::Unexpected(_))) => {
            match there(work, observed).await? {
                true => Ok(()),
                false => Err(error),
            }
        }
        Err(error) => Err(error),
    }
}

async fn there(work: &Work<'_>, observed: &Observed) -> Result<bool> {
    let all = work.github.issues(DASHBOARD, "all").await?;
    Ok(all.iter().any(|i| i.author.id == observed.me.id))
}
