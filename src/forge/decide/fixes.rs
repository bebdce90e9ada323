//! A proven fix against the pull requests that are there.

use super::clusters::enlist;
use super::gates::{self, Tally};
use super::view::{Health, Known, View, has_label};
use super::{
    ASSIGNED, Action, Fix, IGNORED, LABEL, NEEDS_CONFIRMATION, STOP_UPDATING, Topic, Wanted, Why,
};
use crate::config::Rules;
use crate::forge::marker::ClosedBecause;
use crate::forge::{PullState, identity};

/// What is done for one fix.
pub(super) fn judge(view: &View<'_>, tally: &mut Tally, wanted: &Wanted, fix: &Fix) -> Vec<Action> {
    let leave = |why| vec![leave(wanted, why)];
    if let Some(why) = gates::configured(view, wanted) {
        return leave(why);
    }
    let same = view.of_fingerprint(wanted, fix);
    if let Some(open) = same.iter().find(|p| p.is_open()) {
        return keep(view, wanted, fix, open);
    }
    if !view.observed.complete {
        return leave(Why::Unreadable);
    }
    let older = replaced(view, wanted);
    if let Some(why) = older.iter().find_map(|p| untouchable(view, p)) {
        return leave(why);
    }
    if let Some(joined) = join(view, tally, wanted, fix, &older) {
        return joined;
    }
    let answered = fix.asked_for && !ended_after_answer(view, wanted, &same);
    let again = answered || asked_again(view, wanted, &same);
    if !again {
        if let Some(actions) = refused_before(view, wanted, fix, &same) {
            return actions;
        }
        if let Some(why) = held_back(view, tally, wanted, fix, &same, !older.is_empty()) {
            return leave(why);
        }
    }
    tally.opened(view, &fix.branch, &fix.target, !older.is_empty());
    let mut actions = vec![Action::Open {
        fingerprint: wanted.fingerprint.clone(),
    }];
    actions.extend(supersede(wanted, &older));
    actions
}

pub(super) fn leave(wanted: &Wanted, why: Why) -> Action {
    Action::Leave {
        fingerprint: wanted.fingerprint.clone(),
        why,
    }
}

fn supersede(wanted: &Wanted, older: &[&Known<'_>]) -> Vec<Action> {
    let close = |p: &&Known<'_>| Action::Close {
        number: p.number(),
        because: ClosedBecause::Superseded,
        replaced_by: Some(wanted.fingerprint.clone()),
    };
    older.iter().map(close).collect()
}

/// Asked for on one of its pull requests, or on its question.
fn asked_again(view: &View<'_>, wanted: &Wanted, same: &[&Known<'_>]) -> bool {
    let pulls = same.iter().filter(|p| p.mine).map(|p| p.number());
    let questions = view
        .questions
        .iter()
        .filter(|q| q.marker.key == wanted.key)
        .map(|q| q.issue.number);
    view.observed.asked.approve.contains(&wanted.fingerprint)
        || view.asked_again(pulls.chain(questions))
}

/// Whether people closed or merged a pull request for it after they could give the answer: an answer
/// lifts limits, and never a no that is newer.
fn ended_after_answer(view: &View<'_>, wanted: &Wanted, same: &[&Known<'_>]) -> bool {
    let questions = view.questions.iter();
    let questions = questions.filter(|q| q.issue.open && q.marker.key == wanted.key);
    let asked = questions.map(|q| q.marker.offered.unwrap_or(q.issue.created_at));
    let pulls = view.open().filter(|p| p.marker.key == wanted.key);
    let since = asked.chain(pulls.map(|p| p.pull.created_at)).max();
    let by_people = |p: &&&Known<'_>| p.closed_by_us(view.observed.me.id).is_none();
    let ends = same.iter().filter(by_people).map(|p| p.pull.closed_at);
    since.is_some_and(|since| ends.flatten().any(|end| end > since))
}

/// An open pull request for this very finding.
fn keep(view: &View<'_>, wanted: &Wanted, fix: &Fix, open: &Known<'_>) -> Vec<Action> {
    let number = open.number();
    let refresh = |commit| Action::Refresh {
        fingerprint: wanted.fingerprint.clone(),
        number,
        commit,
    };
    if !open.mine {
        return vec![leave(wanted, Why::HandsOff(number))];
    }
    if view.observed.asked.recreate.contains(&number) {
        return vec![refresh(true)];
    }
    if let Some(why) = frozen(view, open) {
        return vec![leave(wanted, why)];
    }
    if open.our.foreign_commits.is_none() {
        return vec![leave(wanted, Why::Unreadable)];
    }
    let held = |why, topic| {
        // whoever keeps it does what people ask for: it is known who that is there, too
        let noticed = noticed(wanted, why, open, topic);
        noticed
            .into_iter()
            .chain(enlist(view, wanted, open))
            .collect()
    };
    if let Some(topic) = taken_over(view, open) {
        return held(Why::HandsOff(number), topic);
    }
    let mut actions = match needed(view, fix, open) {
        Need::Nothing => current(view, wanted, open),
        Need::Body => vec![refresh(false)],
        Need::Commit => vec![refresh(true)],
        Need::Loop => held(Why::Loop(number), Topic::Loop),
    };
    if view.observed.complete {
        let older = replaced(view, wanted);
        let free = older.into_iter().filter(|p| untouchable(view, p).is_none());
        actions.extend(supersede(wanted, &free.collect::<Vec<_>>()));
    }
    actions
}

/// It is there; the list of those who report it may not be.
fn current(view: &View<'_>, wanted: &Wanted, open: &Known<'_>) -> Vec<Action> {
    let left = leave(wanted, Why::Current(open.number()));
    let enlisted = enlist(view, wanted, open);
    std::iter::once(left).chain(enlisted).collect()
}

/// Leave it, and say so once.
pub(super) fn noticed(wanted: &Wanted, why: Why, about: &Known<'_>, topic: Topic) -> Vec<Action> {
    let mut actions = vec![leave(wanted, why)];
    // a label that could not be set is tried again; one that people took off stays off
    let labelled = topic != Topic::Closed || has_label(&about.marker.labels, IGNORED);
    if about.mine && !(about.told(topic) && labelled) {
        actions.push(Action::Notice {
            number: about.number(),
            topic,
        });
    }
    actions
}

fn frozen(view: &View<'_>, open: &Known<'_>) -> Option<Why> {
    let number = open.number();
    if open.has_label(STOP_UPDATING) {
        return Some(Why::Frozen(number));
    }
    let unignored = view.observed.asked.unignore.contains(&number);
    (open.is_ignored(view.now) && !unignored).then_some(Why::Ignored)
}

/// People pushed to it, or sent it elsewhere.
fn taken_over(view: &View<'_>, open: &Known<'_>) -> Option<Topic> {
    if open.our.foreign_commits.is_some_and(|n| n > 0) {
        Some(Topic::HandsOff)
    } else if open.pull.base_ref != view.observed.base_branch {
        Some(Topic::Retargeted)
    } else {
        None
    }
}

/// Why a pull request that would be replaced may not be closed; then its successor waits too.
fn untouchable(view: &View<'_>, open: &Known<'_>) -> Option<Why> {
    let hands_off = open.is_hands_off(&view.observed.base_branch);
    frozen(view, open).or_else(|| hands_off.then_some(Why::HandsOff(open.number())))
}

enum Need {
    Nothing,
    Body,
    Commit,
    Loop,
}

fn needed(view: &View<'_>, fix: &Fix, open: &Known<'_>) -> Need {
    let (marker, number) = (&open.marker, open.number());
    let asked = &view.observed.asked;
    let unsound = view.observed.unsound.contains(&number);
    let scope = &view.analysis.scope;
    let elsewhere = marker.is_kept_by_another(scope, view.now);
    let answers = fix.asked_for && marker.reporter(scope).is_none();
    if elsewhere && !unsound && !answers {
        // one run keeps it up to date: two runs with two opinions would go on for ever
        return Need::Nothing;
    }
    let held = identity::fix_id(&marker.target, &marker.change, &marker.result);
    let now = identity::fix_id(&fix.target, &fix.change, &fix.result);
    if held != now {
        let wished = fix.asked_for || asked.retry.contains(&number);
        let seen = marker.trees.contains(&now) && !wished;
        return if seen { Need::Loop } else { Need::Commit };
    }
    let behind = marker.base != fix.base;
    let conflicts = open.pull.mergeable == Some(false);
    if behind && (conflicts || asked.rebase.contains(&number)) {
        return Need::Commit;
    }
    let written = identity::text_hash(&fix.title, &fix.body);
    let stale = unsound
        || marker.body != written
        || marker.head != open.pull.head_sha
        || marker.checked != fix.checks.mark(&marker.head, fix.is_draft(view.rules))
        || marker.closed.is_some()
        || !labels_missing(view.rules, fix, &marker.labels).is_empty()
        || (view.rules.assign_code_owners > 0 && !open.marker.told.iter().any(|t| t == ASSIGNED));
    if stale { Need::Body } else { Need::Nothing }
}

/// Labels of a fix that were never set by us. What was set once stays with people: they may take
/// it off.
pub(crate) fn labels_missing(rules: &Rules, fix: &Fix, set: &[String]) -> Vec<String> {
    let policy = fix.draft.then_some(NEEDS_CONFIRMATION);
    let rest = rules.labels.iter().map(String::as_str);
    let wanted = [LABEL].into_iter().chain(policy).chain(rest);
    let missing = wanted.filter(|l| !has_label(set, l));
    missing.map(str::to_owned).collect()
}

/// Open pull requests that a new one for this finding would replace: the same finding in another
/// file, or the same object that fails in another way since at least one pass.
fn replaced<'v, 'a>(view: &'v View<'a>, wanted: &Wanted) -> Vec<&'v Known<'a>> {
    let short = identity::short(&wanted.fingerprint);
    let object = wanted.object.as_ref().map(ToString::to_string);
    let others = view
        .open()
        .filter(|p| identity::short_of_branch(&p.pull.head_ref) != Some(short));
    let is_older = |p: &&Known<'_>| {
        let moved =
            p.marker.key == wanted.key && p.marker.is_reported_by(&view.analysis.scope, view.now);
        let changed = p.marker.healthy.is_some()
            && object.as_ref() == Some(&p.marker.object)
            && view.health(&p.marker, Some(&p.pull.head_ref)) == Health::Healthy;
        (moved || changed) && !view.has_company(&p.marker)
    };
    others.filter(is_older).collect()
}

/// Another finding's pull request writes the same places: there is one pull request for both.
fn join(
    view: &View<'_>,
    tally: &Tally,
    wanted: &Wanted,
    fix: &Fix,
    older: &[&Known<'_>],
) -> Option<Vec<Action>> {
    let replaced = |p: &Known<'_>| older.iter().any(|o| o.number() == p.number());
    let mut hosts = view.open().filter(|p| !replaced(p));
    let host = hosts.find(|p| !fix.target.is_empty() && p.marker.target == fix.target);
    let joined = |number| Action::Join {
        fingerprint: wanted.fingerprint.clone(),
        number,
    };
    let Some(host) = host else {
        let opened = tally.targets.contains(&fix.target);
        return opened.then(|| vec![joined(None)]);
    };
    let mut marker = host.marker.clone();
    let is_new = !marker.also.contains(&wanted.fingerprint)
        && marker.name_also([&wanted.fingerprint, &wanted.key]);
    Some(match frozen(view, host) {
        Some(why) => vec![leave(wanted, why)],
        None if is_new => vec![joined(Some(host.number()))],
        None => current(view, wanted, host),
    })
}

/// What earlier pull requests for the same finding say: people said no, or it was merged.
fn refused_before(
    view: &View<'_>,
    wanted: &Wanted,
    fix: &Fix,
    same: &[&Known<'_>],
) -> Option<Vec<Action>> {
    let leave = |why| Some(vec![leave(wanted, why)]);
    let on_trial = |p: &&&Known<'_>| view.observed.on_trial.contains(&p.number());
    if let Some(tried) = same.iter().find(on_trial) {
        return leave(Why::Merged(tried.number()));
    }
    if let Some(revert) = reverted(view, wanted, fix, same) {
        return leave(Why::Reverted(revert));
    }
    if same
        .iter()
        .any(|p| p.marker.ignored_until.is_some_and(|t| t > view.now))
    {
        return leave(Why::Ignored);
    }
    // without a marker it is not known what a close said no to: then to everything
    let said = |p: &&&Known<'_>| p.marker.change.is_empty() || p.marker.change == fix.change;
    if let Some(last) = same.iter().find(said) {
        match last.pull.state {
            PullState::Merged if is_applied(view, fix, last) && came_back(same, last) => {
                return leave(Why::Loop(last.number()));
            }
            PullState::Merged => return leave(Why::Merged(last.number())),
            _ if still_no(view, last) => {
                let why = Why::ClosedByHuman(last.number());
                return Some(noticed(wanted, why, last, Topic::Closed));
            }
            _ => {}
        }
    }
    let last = same.first()?;
    if last.pull.state == PullState::Merged && !is_applied(view, fix, last) {
        return leave(Why::Merged(last.number()));
    }
    None
}

/// The pull request with which people take the same change back, or took it back, if nothing was
/// opened for the finding after it. The change may have been another finding's.
fn reverted(view: &View<'_>, wanted: &Wanted, fix: &Fix, same: &[&Known<'_>]) -> Option<u64> {
    let later = |number: u64| same.iter().any(|p| p.number() > number);
    let is_one = |digits: &str| {
        let mut all = same.iter();
        digits == identity::short(&wanted.fingerprint)
            || all.any(|p| identity::short_of_branch(&p.pull.head_ref) == Some(digits))
    };
    let counts = |p: &&Known<'_>| {
        // while it is open, nothing is built on what it takes back
        let said = p.is_open() || p.marker.change.is_empty() || p.marker.change == fix.change;
        p.mine
            && said
            && p.pull.state != PullState::Closed
            && identity::reverted_of_branch(&p.pull.head_ref).is_some_and(is_one)
            && !later(p.number())
    };
    view.reverts.iter().find(counts).map(Known::number)
}

/// Whether the run saw the repository with this merge in it.
fn is_applied(view: &View<'_>, fix: &Fix, merged: &Known<'_>) -> bool {
    fix.base == view.observed.base_sha || merged.pull.merge_commit.as_ref() == Some(&fix.base)
}

/// Whether something else was merged after it.
fn came_back(same: &[&Known<'_>], merged: &Known<'_>) -> bool {
    same.iter().any(|p| {
        p.pull.state == PullState::Merged
            && p.pull.closed_at > merged.pull.closed_at
            && p.marker.change != merged.marker.change
    })
}

/// Whether a close by people still counts.
pub(super) fn still_no(view: &View<'_>, closed: &Known<'_>) -> bool {
    if closed.closed_by_us(view.observed.me.id).is_some() {
        return false;
    }
    // we set the label when we saw the close; taking it off is one of the ways back
    let allowed = has_label(&closed.marker.labels, IGNORED);
    if closed.mine && allowed && !closed.has_label(IGNORED) {
        return false;
    }
    let days = view.rules.suppress_days.map(i64::from);
    let over = days.zip(closed.pull.closed_at).is_some_and(|(days, at)| {
        view.now.duration_since(at).as_hours() >= days.saturating_mul(24)
    });
    !over
}

fn held_back(
    view: &View<'_>,
    tally: &Tally,
    wanted: &Wanted,
    fix: &Fix,
    same: &[&Known<'_>],
    replaces: bool,
) -> Option<Why> {
    if let Some(why) = gates::timing(view, wanted) {
        return Some(why);
    }
    if cools_down(view, wanted, fix, same) {
        return Some(Why::CoolingDown);
    }
    tally
        .cap(view, wanted, &fix.branch, replaces)
        .map(Why::Limited)
}

/// The way back by label counts at once.
fn cools_down(view: &View<'_>, wanted: &Wanted, fix: &Fix, same: &[&Known<'_>]) -> bool {
    let said = |p: &&&Known<'_>| p.marker.change == fix.change;
    let allowed = same.iter().find(said).is_some_and(|p| {
        p.pull.state == PullState::Closed
            && has_label(&p.marker.labels, IGNORED)
            && !p.has_label(IGNORED)
    });
    !allowed && gates::is_cooling_down(view, wanted, same)
}
