//! Questions against the issues that are there.

use std::cmp::Reverse;

use super::fixes::{self, leave};
use super::gates::{self, Tally};
use super::view::{Health, Known, KnownIssue, View, has_label};
use super::{Action, Query, STOP_UPDATING, Topic, Wanted, WantedEnding, Why};
use crate::forge::marker::ClosedBecause;
use crate::forge::{PullState, identity};

/// What is done for one question.
pub(super) fn judge(
    view: &View<'_>,
    tally: &mut Tally,
    wanted: &Wanted,
    query: &Query,
) -> Vec<Action> {
    if !view.rules.questions || !view.observed.facts.has_issues {
        return Vec::new();
    }
    let leave = |why| vec![leave(wanted, why)];
    if let Some(why) = gates::configured(view, wanted) {
        return leave(why);
    }
    let pull = view.open().find(|p| p.marker.key == wanted.key);
    if let Some(pull) = pull {
        // one thing at a time: the pull request is there already
        return leave(Why::Current(pull.number()));
    }
    let ask = |number| {
        vec![Action::Ask {
            fingerprint: wanted.fingerprint.clone(),
            number,
        }]
    };
    let known = latest(view, wanted, query);
    if let Some(open) = known.filter(|q| q.issue.open) {
        return match kept(view, wanted, query, open) {
            Some(why) => leave(why),
            None => ask(Some(open.issue.number)),
        };
    }
    if !view.observed.complete {
        return leave(Why::Unreadable);
    }
    let pulls = ended(view, wanted);
    if !asked_again(view, wanted, known, &pulls) {
        if let Some(closed) = known.filter(|q| still_no(view, q)) {
            return leave(Why::ClosedByHuman(closed.issue.number));
        }
        if let Some(actions) = refused_before(view, wanted, &pulls) {
            return actions;
        }
        if let Some(why) = held_back(view, tally, wanted) {
            return leave(why);
        }
    }
    tally.asked();
    ask(known.map(|q| q.issue.number))
}

/// Pull requests of ours for a finding that are not open any more.
fn ended<'v, 'a>(view: &'v View<'a>, wanted: &Wanted) -> Vec<&'v Known<'a>> {
    let same = |p: &&Known<'_>| p.mine && !p.is_open() && p.marker.key == wanted.key;
    view.pulls.iter().filter(same).collect()
}

fn asked_again(
    view: &View<'_>,
    wanted: &Wanted,
    known: Option<&KnownIssue<'_>>,
    pulls: &[&Known<'_>],
) -> bool {
    let numbers = pulls.iter().map(|p| p.number());
    let numbers = numbers.chain(known.map(|q| q.issue.number));
    view.observed.asked.approve.contains(&wanted.fingerprint) || view.asked_again(numbers)
}

/// Who closed the last pull request, one that came from an answer above all, is not asked again.
fn refused_before(view: &View<'_>, wanted: &Wanted, pulls: &[&Known<'_>]) -> Option<Vec<Action>> {
    let last = pulls
        .iter()
        .max_by_key(|p| (p.pull.closed_at, p.number()))?;
    let is_no = last.pull.state == PullState::Closed && fixes::still_no(view, last);
    is_no.then(|| {
        let why = Why::ClosedByHuman(last.number());
        fixes::noticed(wanted, why, last, Topic::Closed)
    })
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
            Health::Healthy if super::healthy::is_settled(view, q.marker.healthy.as_ref()) => {
                Some(Action::Close {
                    number,
                    because: ClosedBecause::Resolved,
                    replaced_by: None,
                })
            }
            health => super::healthy::observe(view, number, &q.marker, health),
        }
    })
    .collect()
}
