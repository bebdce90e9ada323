//! What looks mended: counted, turned into a draft, closed; and branches that nobody needs.

use jiff::SignedDuration;

use super::clusters;
use super::gates::prefixes;
use super::view::{Health, Known, View};
use super::{Action, DRAFTED, STOP_UPDATING, Topic};
use crate::forge::marker::{ClosedBecause, Healthy, Marker};
use crate::forge::{PullState, identity};

/// How long something must look healthy, whatever the number of observations.
const LEAST: SignedDuration = SignedDuration::from_mins(30);
/// How long a pull request stays open as a draft before it is closed.
const GRACE: SignedDuration = SignedDuration::from_hours(24);

/// What is done for open pull requests whose finding is gone, or is there again.
pub(super) fn pulls(view: &View<'_>) -> Vec<Action> {
    let mine = view.open().filter(|p| may_change(view, p));
    mine.flat_map(|p| one(view, p)).collect()
}

/// A pull request that people froze is not touched.
fn may_change(view: &View<'_>, pull: &Known<'_>) -> bool {
    !pull.has_label(STOP_UPDATING) && !pull.is_ignored(view.now)
}

/// One that people work on is never closed; who reports it may change all the same.
fn one(view: &View<'_>, pull: &Known<'_>) -> Vec<Action> {
    let health = view.health(&pull.marker, Some(&pull.pull.head_ref));
    let hands_off = pull.is_hands_off(&view.observed.base_branch);
    match (view.has_company(&pull.marker), hands_off) {
        (true, false) => clusters::company(view, pull, health),
        (true, true) => clusters::own_word(view, pull, health).into_iter().collect(),
        (false, false) => alone(view, pull, health).into_iter().collect(),
        (false, true) => Vec::new(),
    }
}

fn alone(view: &View<'_>, pull: &Known<'_>, health: Health) -> Option<Action> {
    let number = pull.number();
    match (health, pull.marker.retired) {
        (Health::Healthy, Some(at)) if view.now.duration_since(at) >= GRACE => {
            Some(Action::Close {
                number,
                because: ClosedBecause::Resolved,
                replaced_by: None,
            })
        }
        (Health::Healthy, Some(_)) => undrafted(pull).then_some(Action::Retire { number }),
        (Health::Healthy, None) if is_settled(view, pull.marker.healthy.as_ref()) => {
            Some(Action::Retire { number })
        }
        _ => observe(view, number, &pull.marker, health),
    }
}

/// Making it a draft was refused. One that people made ready again stays so.
fn undrafted(pull: &Known<'_>) -> bool {
    !pull.pull.draft && !pull.marker.told.iter().any(|t| t == DRAFTED)
}

/// Enough observations, over enough time.
pub(super) fn is_settled(view: &View<'_>, healthy: Option<&Healthy>) -> bool {
    healthy.is_some_and(|h| {
        // this pass is an observation too
        h.count.saturating_add(1) >= view.rules.resolved_after
            && view.now.duration_since(h.since) >= LEAST
    })
}

/// Counts on, or starts again; writes nothing that changes nothing.
pub(super) fn observe(
    view: &View<'_>,
    number: u64,
    marker: &Marker,
    health: Health,
) -> Option<Action> {
    let counted = marker.healthy.is_some();
    match health {
        Health::Healthy => counts_on(view, number, marker.healthy.as_ref()),
        Health::Sick => (counted || looked_resolved(marker)).then_some(Action::Observe {
            number,
            healthy: false,
        }),
        Health::Unknown => None,
    }
}

/// One more healthy observation, where it is worth a write.
pub(super) fn counts_on(view: &View<'_>, number: u64, healthy: Option<&Healthy>) -> Option<Action> {
    let counted = healthy.map_or(0, |h| h.count);
    (counted < view.rules.resolved_after.max(1)).then_some(Action::Observe {
        number,
        healthy: true,
    })
}

/// Whether it was retired, and what came of that is not taken back yet.
pub(super) fn looked_resolved(marker: &Marker) -> bool {
    let told = marker.told.iter().any(|t| t == Topic::Resolved.as_str());
    marker.retired.is_some() || told
}

/// Branches of pull requests that ended long ago, if nobody moved them since.
pub(super) fn branches(view: &View<'_>, actions: &[Action]) -> Vec<Action> {
    if !view.observed.complete {
        return Vec::new();
    }
    let prefixes = prefixes(view);
    let ours = |branch: &str| prefixes.iter().any(|p| branch.starts_with(p));
    let all = view.observed.branches.iter().filter(|(b, _)| ours(b));
    all.filter(|(branch, sha)| is_left_over(view, actions, branch, sha))
        .map(|(branch, sha)| Action::DeleteBranch {
            branch: branch.clone(),
            sha: sha.clone(),
        })
        .collect()
}

fn is_left_over(view: &View<'_>, actions: &[Action], branch: &str, sha: &str) -> bool {
    let all: Vec<&Known<'_>> = view
        .pulls
        .iter()
        .filter(|p| p.pull.head_ref == branch)
        .collect();
    if all
        .iter()
        .any(|p| p.pull.state == PullState::Open || !p.mine)
        || opens(actions, branch)
    {
        return false;
    }
    let last = all.iter().max_by_key(|p| (p.pull.closed_at, p.pull.number));
    let keep = i64::from(view.rules.keep_branch_days).saturating_mul(24);
    last.is_some_and(|p| {
        let age = p.pull.closed_at.map(|at| view.now.duration_since(at));
        p.pull.head_sha == sha && age.is_some_and(|a| a.as_hours() >= keep)
    })
}

/// Whether this run is about to use the branch.
fn opens(actions: &[Action], branch: &str) -> bool {
    let short = identity::short_of_branch(branch);
    actions.iter().any(|a| {
        matches!(a, Action::Open { fingerprint } if short == Some(identity::short(fingerprint)))
    })
}
