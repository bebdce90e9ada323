//! One pull request for several clusters: who joins its list, and who leaves it.

use std::iter::successors;

use jiff::Timestamp;

use super::healthy;
use super::view::{Health, Known, View};
use super::{Action, Fix, Wanted, WantedEnding};
use crate::code::Code;
use crate::cycle::Analysis;
use crate::forge::identity;
use crate::forge::marker::Marker;
use crate::forge::reporters::{ASKS, Reporter, cluster};

/// What a run says about a finding of its own in a pull request.
pub(crate) fn word(
    analysis: &Analysis,
    wanted: &Wanted,
    held: &Marker,
    now: Timestamp,
) -> Reporter {
    let course = analysis.courses.get(&wanted.fingerprint);
    let known = held.reporter(&analysis.scope);
    let fix = fix_of(wanted);
    let seen = fix.and_then(|f| f.baseline.clone());
    let baseline = match (seen, known.and_then(|k| k.baseline.as_ref())) {
        (Some(now), Some(before)) => Some(now.following(before)),
        (now, before) => now.or(before.cloned()),
    };
    let before = known.filter(|_| is_passing(&wanted.ending));
    Reporter {
        scope: analysis.scope.clone(),
        objects: course.map_or(0, |c| c.objects),
        since: wanted.failing_since.or(known.and_then(|k| k.since)),
        seen: now,
        healthy: None,
        instead: match before {
            Some(word) => word.instead.clone(),
            None => fix.map_or_else(String::new, |fix| instead(fix, held)),
        },
        without: match (&wanted.ending, before) {
            (_, Some(word)) => word.without.clone(),
            (WantedEnding::Question(_), _) => ASKS.to_owned(),
            (WantedEnding::Refused { code, .. }, _) => code.clone(),
            _ => String::new(),
        },
        baseline,
    }
    .bounded()
}

/// Whether a refusal says nothing about the change: what was said before still counts.
fn is_passing(ending: &WantedEnding) -> bool {
    let passing = [Code::BudgetSpent, Code::ModelUnusable, Code::InternalFault];
    match ending {
        WantedEnding::Refused { code, .. } => passing.iter().any(|c| c.as_str() == code),
        _ => false,
    }
}

/// The title of a fix that is another one than what is held.
fn instead(fix: &Fix, held: &Marker) -> String {
    let holds = identity::fix_id(&held.target, &held.change, &held.result);
    let same = holds == identity::fix_id(&fix.target, &fix.change, &fix.result);
    match same {
        true => String::new(),
        false => fix.title.clone(),
    }
}

fn fix_of(wanted: &Wanted) -> Option<&Fix> {
    match &wanted.ending {
        WantedEnding::Fix(fix) => Some(fix),
        _ => None,
    }
}

/// The finding that speaks for its run in a pull request: of several that it mends one does, its own
/// where this run has it, too; and where the run has no fix for it, the finding that it is about.
fn speaker<'a>(analysis: &'a Analysis, held: &Marker) -> Option<&'a Wanted> {
    let own = |w: &Wanted| w.fingerprint == held.fingerprint;
    let mended = |w: &&Wanted| {
        fix_of(w).is_some_and(|f| own(w) || !f.target.is_empty() && f.target == held.target)
    };
    let all = || analysis.wanted.iter();
    let first = all()
        .filter(mended)
        .min_by_key(|w| (!own(w), w.fingerprint.as_str()));
    let stuck = |w: &&Wanted| {
        let ends = matches!(
            w.ending,
            WantedEnding::Question(_) | WantedEnding::Refused { .. }
        );
        ends && (own(w) || w.key == held.key) && is_reached(analysis, held)
    };
    first.or_else(|| all().filter(stuck).min_by_key(|w| w.fingerprint.as_str()))
}

/// Whether a change reaches what this run looks at: an object of the same name may come from another
/// overlay. Where nobody knows, it does.
fn is_reached(analysis: &Analysis, held: &Marker) -> bool {
    let (reads, expects) = (&analysis.reads, &held.expects);
    let is_read = |file: &str| {
        let mut around = successors(Some(file), |f| Some(f.rsplit_once('/')?.0));
        reads.contains("") || around.any(|f| reads.contains(f))
    };
    reads.is_empty() || expects.is_empty() || expects.iter().any(|e| is_read(&e.file))
}

/// Whether a finding speaks for its run in a pull request.
pub(crate) fn speaks(analysis: &Analysis, wanted: &Wanted, held: &Marker) -> bool {
    speaker(analysis, held).is_none_or(|first| first.fingerprint == wanted.fingerprint)
}

/// The run joins the list of an open pull request, or gives its word again.
pub(super) fn enlist(view: &View<'_>, wanted: &Wanted, open: &Known<'_>) -> Option<Action> {
    let (scope, marker) = (&view.analysis.scope, &open.marker);
    if !speaks(view.analysis, wanted, marker) {
        return None;
    }
    let joins = cluster(scope).is_some() || marker.is_reported_by(scope, view.now);
    let sound = !view.observed.unsound.contains(&open.number());
    let word = word(view.analysis, wanted, marker, view.now);
    (joins && sound && marker.lacks(&word, view.now)).then(|| Action::Enlist {
        fingerprint: wanted.fingerprint.clone(),
        number: open.number(),
    })
}

/// What a run does about a pull request that others report, too: it joins their list or leaves it.
pub(super) fn company(view: &View<'_>, pull: &Known<'_>, health: Health) -> Vec<Action> {
    match health {
        Health::Sick => stays(view, pull),
        Health::Healthy => part(view, pull).into_iter().collect(),
        Health::Unknown => Vec::new(),
    }
}

/// What a run does about its own entry where nothing else may change: it leaves once it is well for
/// long enough. A draft stays one.
pub(super) fn own_word(view: &View<'_>, pull: &Known<'_>, health: Health) -> Option<Action> {
    let mine = pull.marker.reporter(&view.analysis.scope)?;
    let counted = mine.healthy.is_some() && !healthy::looked_resolved(&pull.marker);
    match health {
        Health::Healthy => part(view, pull),
        Health::Sick => counted.then_some(Action::Observe {
            number: pull.number(),
            healthy: false,
        }),
        Health::Unknown => None,
    }
}

/// Whoever is listed and sees it takes back that it looked resolved. One that is not listed, and does
/// not join, has no say: the others would count on as often as it starts them again.
fn stays(view: &View<'_>, pull: &Known<'_>) -> Vec<Action> {
    let (number, marker, scope) = (pull.number(), &pull.marker, &view.analysis.scope);
    let speaker = speaker(view.analysis, marker);
    let enlisted = speaker.and_then(|w| enlist(view, w, pull));
    let counts = enlisted.is_some() || marker.is_reported_by(scope, view.now);
    let counted = marker.reporter(scope).is_some_and(|m| m.healthy.is_some());
    let looked = marker.healthy.is_some() || healthy::looked_resolved(marker);
    let again = (counts && (counted || looked)).then_some(Action::Observe {
        number,
        healthy: false,
    });
    // one that has a fix joined along with it
    let joins = enlisted.filter(|_| speaker.is_some_and(|w| fix_of(w).is_none()));
    joins.into_iter().chain(again).collect()
}

fn part(view: &View<'_>, pull: &Known<'_>) -> Option<Action> {
    let number = pull.number();
    let mine = pull.marker.reporter(&view.analysis.scope)?;
    match healthy::is_settled(view, mine.healthy.as_ref()) {
        true => Some(Action::Part { number }),
        false => healthy::counts_on(view, number, mine.healthy.as_ref()),
    }
}
