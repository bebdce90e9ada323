//! Questions against the issues that are there.

use std::cmp::Reverse;

use super::fixes::leave;
use super::gates::{self, Tally};
use super::view::{Health, KnownIssue, View, has_label};
use super::{Action, Query, STOP_UPDATING, Wanted, WantedEnding, Why};
use crate::forge::identity;
use crate::forge::marker::ClosedBecause;

/// What is done for one question.
pub(super) fn judge(
    view: &View<'_>,
    tally: &mut Tally,
    wanted: &Wanted,
    query: &Query,
) -> Option<Action> {
    if !view.rules.questions || !view.observed.facts.has_issues {
        return None;
    }
    if let Some(why) = gates::configured(view, wanted) {
        return Some(leave(wanted, why));
    }
    let pull = view.open().find(|p| p.marker.key == wanted.key);
    if let Some(pull) = pull {
        // one thing at a time: the pull request is there already
        return Some(leave(wanted, Why::Current(pull.number())));
    }
    let ask = |number| Action::Ask {
        fingerprint: wanted.fingerprint.clone(),
        number,
    };
    let known = latest(view, wanted, query);
    if let Some(open) = known.filter(|q| q.issue.open) {
        return Some(match kept(view, wanted, query, open) {
            Some(why) => leave(wanted, why),
            None => ask(Some(open.issue.number)),
        });
    }
    if !view.observed.complete {
        return Some(leave(wanted, Why::Unreadable));
    }
    let again = view.observed.asked.approve.contains(&wanted.fingerprint)
        || view.asked_again(known.iter().map(|q| q.issue.number));
    if !again {
        let closed = known.filter(|q| still_no(view, q));
        let why = closed.map(|q| Why::ClosedByHuman(q.issue.number));
        if let Some(why) = why.or_else(|| held_back(view, tally, wanted)) {
            return Some(leave(wanted, why));
        }
    }
    tally.asked();
    Some(ask(known.map(|q| q.issue.number)))
}

/// The open issue of a finding, else the one that was closed last. One whose marker was thrown away
/// is known by its title.
fn latest<'v, 'a>(
    view: &'v View<'a>,
    wanted: &Wanted,
    query: &Query,
) -> Option<&'v KnownIssue<'a>> {
    let same = |q: &&KnownIssue<'_>| {
        q.marker.key == wanted.key || q.marker.key.is_empty() && q.issue.title == query.title
    };
    let mut all: Vec<&KnownIssue<'_>> = view.questions.iter().filter(same).collect();
    // of two open ones the older counts
    let older = |q: &KnownIssue<'_>| Reverse(if q.issue.open { q.issue.number } else { 0 });
    all.sort_by_key(|q| (q.issue.open, older(q), q.issue.closed_at, q.issue.number));
    all.last().copied()
}

/// Why an open question stays as it is.
fn kept(view: &View<'_>, wanted: &Wanted, query: &Query, open: &KnownIssue<'_>) -> Option<Why> {
    let number = open.issue.number;
    if has_label(&open.issue.labels, STOP_UPDATING) {
        return Some(Why::Frozen(number));
    }
    let elsewhere = !open.marker.scope.is_empty() && open.marker.scope != view.analysis.scope;
    let unheard = wanted.unheard.as_deref();
    let same = open.marker.body == identity::question_hash(&query.title, &query.body, unheard)
        && open.marker.closed.is_none()
        && !view.observed.unsound.contains(&number);
    (same || elsewhere).then_some(Why::Current(number))
}

/// Closed by people: answered no.
fn still_no(view: &View<'_>, closed: &KnownIssue<'_>) -> bool {
    let me = view.observed.me.id;
    let by_us = closed.issue.closed_by.as_ref().is_some_and(|a| a.id == me);
    let ignored = closed.marker.ignored_until.is_some_and(|t| t > view.now);
    let days = view.rules.suppress_days.map(i64::from);
    let over = days.zip(closed.issue.closed_at).is_some_and(|(days, at)| {
        view.now.duration_since(at).as_hours() >= days.saturating_mul(24)
    });
    ignored || !(by_us && closed.marker.closed.is_some() || over)
}

fn held_back(view: &View<'_>, tally: &Tally, wanted: &Wanted) -> Option<Why> {
    gates::timing(view, wanted).or_else(|| tally.question_cap(view, wanted).map(Why::Limited))
}

/// Questions that are answered: their finding has a pull request.
pub(super) fn answered(view: &View<'_>, actions: &[Action]) -> Vec<Action> {
    let is_question = |q: &&KnownIssue<'_>| is_ours_to_close(view, q);
    let close = |q: &KnownIssue<'_>| {
        let mended = view.analysis.wanted.iter().find(|w| {
            w.key == q.marker.key
                && matches!(w.ending, WantedEnding::Fix(_))
                && actions.iter().any(|a| has_pull(a, &w.fingerprint))
        })?;
        Some(Action::Close {
            number: q.issue.number,
            because: ClosedBecause::Answered,
            replaced_by: Some(mended.fingerprint.clone()),
        })
    };
    let open = view.questions.iter().filter(is_question);
    open.filter_map(close).collect()
}

/// Whether there is a pull request for a finding when this action is done.
fn has_pull(action: &Action, of: &str) -> bool {
    match action {
        Action::Open { fingerprint }
        | Action::Refresh { fingerprint, .. }
        | Action::Join { fingerprint, .. } => fingerprint == of,
        Action::Leave { fingerprint, why } => {
            let is_there = matches!(
                why,
                Why::Current(_) | Why::HandsOff(_) | Why::Frozen(_) | Why::Merged(_)
            );
            fingerprint == of && is_there
        }
        _ => false,
    }
}

fn is_ours_to_close(view: &View<'_>, question: &KnownIssue<'_>) -> bool {
    question.issue.open
        && view.observed.complete
        && !has_label(&question.issue.labels, STOP_UPDATING)
}

/// One question asked twice (a request that was delivered twice): the older one stays.
pub(super) fn doubled(view: &View<'_>) -> Vec<Action> {
    let open = || view.questions.iter().filter(|q| is_ours_to_close(view, q));
    let is_second = |q: &&KnownIssue<'_>| {
        let same =
            |o: &KnownIssue<'_>| o.marker.key == q.marker.key && o.issue.number < q.issue.number;
        !q.marker.key.is_empty() && open().any(same)
    };
    let close = |q: &KnownIssue<'_>| Action::Close {
        number: q.issue.number,
        because: ClosedBecause::Superseded,
        replaced_by: None,
    };
    open().filter(is_second).map(close).collect()
}

/// Questions whose cause is gone are closed after as many observations as pull requests are.
pub(super) fn gone(view: &View<'_>) -> Vec<Action> {
    let open = view.questions.iter().filter(|q| is_ours_to_close(view, q));
    open.filter_map(|q| {
        let number = q.issue.number;
        match view.health(&q.marker, None) {
            Health::Healthy if super::healthy::is_settled(view, &q.marker) => Some(Action::Close {
                number,
                because: ClosedBecause::Resolved,
                replaced_by: None,
            }),
            health => super::healthy::observe(view, number, &q.marker, health),
        }
    })
    .collect()
}
