//! One pull request for several clusters: who joins its list, and who leaves it.

use jiff::Timestamp;

use super::healthy;
use super::view::{Health, Known, View};
use super::{Action, Fix, Wanted, WantedEnding};
use crate::cycle::Analysis;
use crate::forge::identity;
use crate::forge::marker::Marker;
use crate::forge::reporters::{Reporter, cluster};

/// What a run says about a fix in a pull request.
pub(crate) fn word(
    analysis: &Analysis,
    wanted: &Wanted,
    fix: &Fix,
    held: &Marker,
    now: Timestamp,
) -> Reporter {
    let course = analysis.courses.get(&wanted.fingerprint);
    let holds = identity::fix_id(&held.target, &held.change, &held.result);
    let same = holds == identity::fix_id(&fix.target, &fix.change, &fix.result);
    let known = held.reporter(&analysis.scope);
    let word = Reporter {
        scope: analysis.scope.clone(),
        objects: course.map_or(0, |c| c.objects),
        since: wanted.failing_since,
        seen: now,
        healthy: None,
        instead: if same {
            String::new()
        } else {
            fix.title.clone()
        },
        baseline: fix.baseline.clone(),
    };
    Reporter {
        since: word.since.or(known.and_then(|k| k.since)),
        baseline: word
            .baseline
            .clone()
            .or(known.and_then(|k| k.baseline.clone())),
        ..word
    }
    .bounded()
}

/// Whether a finding speaks for its run in a pull request: of several that it mends one does, its own
/// where this run has it, too.
pub(crate) fn speaks(analysis: &Analysis, wanted: &Wanted, held: &Marker) -> bool {
    let mended = |w: &&Wanted| {
        let own = w.fingerprint == held.fingerprint;
        matches!(&w.ending, WantedEnding::Fix(fix)
            if own || !fix.target.is_empty() && fix.target == held.target)
    };
    let all = analysis.wanted.iter().filter(mended);
    let first = all.min_by_key(|w| (w.fingerprint != held.fingerprint, w.fingerprint.as_str()));
    first.is_none_or(|first| first.fingerprint == wanted.fingerprint)
}

/// The run joins the list of an open pull request, or gives its word again.
pub(super) fn enlist(
    view: &View<'_>,
    wanted: &Wanted,
    fix: &Fix,
    open: &Known<'_>,
) -> Option<Action> {
    let (scope, marker) = (&view.analysis.scope, &open.marker);
    if !speaks(view.analysis, wanted, marker) {
        return None;
    }
    let joins = cluster(scope).is_some() || marker.is_reported_by(scope, view.now);
    let sound = !view.observed.unsound.contains(&open.number());
    let word = word(view.analysis, wanted, fix, marker, view.now);
    (joins && sound && marker.lacks(&word, view.now)).then(|| Action::Enlist {
        fingerprint: wanted.fingerprint.clone(),
        number: open.number(),
    })
}

/// What a run does about a pull request that others report, too: nothing but to leave their list.
pub(super) fn part(view: &View<'_>, pull: &Known<'_>, health: Health) -> Option<Action> {
    let (number, marker) = (pull.number(), &pull.marker);
    let mine = marker.reporter(&view.analysis.scope);
    match (health, mine) {
        // whoever sees it takes back that it looked resolved
        (Health::Sick, mine) => {
            let counted = mine.is_some_and(|m| m.healthy.is_some());
            let looked = marker.healthy.is_some() || healthy::looked_resolved(marker);
            (counted || looked).then_some(Action::Observe {
                number,
                healthy: false,
            })
        }
        (Health::Healthy, Some(mine)) => match healthy::is_settled(view, mine.healthy.as_ref()) {
            true => Some(Action::Part { number }),
            false => healthy::counts_on(view, number, mine.healthy.as_ref()),
        },
        _ => None,
    }
}
