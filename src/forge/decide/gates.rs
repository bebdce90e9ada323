//! What holds a new pull request or question back: pauses, ages, quiet hours, caps.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};

use super::view::{Known, View};
use super::{Wanted, Why};
use crate::config::rules::Ignore;
use crate::finding::Severity;
use crate::forge::{PullState, identity};

const HOUR: SignedDuration = SignedDuration::from_hours(1);

/// What this run opens, as far as it is decided.
pub(super) struct Tally {
    open: u32,
    last_hour: u32,
    by_scope: Vec<String>,
    /// Targets of the pull requests that this run opens.
    pub(super) targets: BTreeSet<String>,
    questions: u32,
    questions_last_hour: u32,
}

impl Tally {
    pub(super) fn new(view: &View<'_>) -> Self {
        let recent = |at: Timestamp| view.now.duration_since(at) < HOUR;
        let mine = || view.pulls.iter().filter(|p| p.mine);
        let asked = || view.questions.iter();
        let scopes = view.open().filter_map(|p| scope(view, &p.pull.head_ref));
        Self {
            open: count(view.open()),
            last_hour: count(mine().filter(|p| recent(p.pull.created_at))),
            by_scope: scopes.map(str::to_owned).collect(),
            targets: BTreeSet::new(),
            questions: count(asked().filter(|q| q.issue.open)),
            questions_last_hour: count(asked().filter(|q| recent(q.issue.created_at))),
        }
    }

    pub(super) fn opened(&mut self, view: &View<'_>, branch: &str, target: &str, replaces: bool) {
        self.open += u32::from(!replaces);
        self.last_hour += 1;
        self.targets.insert(target.to_owned());
        self.by_scope
            .extend(scope(view, branch).filter(|_| !replaces).map(str::to_owned));
    }

    pub(super) fn asked(&mut self) {
        self.questions += 1;
        self.questions_last_hour += 1;
    }

    /// The cap that a new pull request would break. One that replaces another adds none.
    pub(super) fn cap(
        &self,
        view: &View<'_>,
        wanted: &Wanted,
        branch: &str,
        replaces: bool,
    ) -> Option<&'static str> {
        let rules = view.rules;
        if !replaces && self.open >= rules.hard_cap {
            return Some("hard_cap");
        }
        if wanted.severity == Severity::Critical {
            return None;
        }
        let here = scope(view, branch);
        let same = |s: &&String| here == Some(s.as_str());
        let in_scope = count(self.by_scope.iter().filter(same));
        if !replaces && self.open >= rules.max_open_prs {
            Some("max_open_prs")
        } else if !replaces && in_scope >= rules.max_open_per_namespace {
            Some("max_open_per_namespace")
        } else if self.last_hour >= rules.max_prs_per_hour {
            Some("max_prs_per_hour")
        } else {
            None
        }
    }

    /// Questions have the caps of pull requests, counted apart.
    pub(super) fn question_cap(&self, view: &View<'_>, wanted: &Wanted) -> Option<&'static str> {
        let rules = view.rules;
        if self.questions >= rules.hard_cap {
            return Some("hard_cap");
        }
        if wanted.severity == Severity::Critical {
            None
        } else if self.questions >= rules.max_open_prs {
            Some("max_open_prs")
        } else if self.questions_last_hour >= rules.max_prs_per_hour {
            Some("max_prs_per_hour")
        } else {
            None
        }
    }
}

fn count<T>(all: impl Iterator<Item = T>) -> u32 {
    u32::try_from(all.count()).unwrap_or(u32::MAX)
}

fn scope<'b>(view: &View<'_>, branch: &'b str) -> Option<&'b str> {
    identity::scope_of_branch(branch, &prefixes(view))
}

pub(super) fn prefixes<'v>(view: &'v View<'_>) -> Vec<&'v str> {
    let old = view.rules.prefix_old.iter().map(String::as_str);
    let all = std::iter::once(view.rules.branch_prefix.as_str()).chain(old);
    all.filter(|p| !p.is_empty()).collect()
}

/// What the configuration says about a finding, whatever the forge holds.
pub(super) fn configured(view: &View<'_>, wanted: &Wanted) -> Option<Why> {
    let namespace = wanted.namespace.as_deref();
    let paused = |p: &String| namespace.is_some_and(|n| fits(p, n));
    if view.rules.paused_namespaces.iter().any(paused) {
        return Some(Why::Paused);
    }
    let ignored = view.rules.ignore.iter().any(|i| is_ignored(i, wanted));
    ignored.then_some(Why::IgnoredByRules)
}

/// An empty rule ignores nothing.
fn is_ignored(rule: &Ignore, wanted: &Wanted) -> bool {
    let object = wanted.object.as_ref();
    let class = wanted.class.map(|c| c.to_string());
    let checks = [
        (&rule.namespace, wanted.namespace.as_deref()),
        (&rule.kind, object.map(|o| o.kind.as_str())),
        (&rule.name, object.map(|o| o.name.as_str())),
        (&rule.class, class.as_deref()),
    ];
    let mut given = checks
        .iter()
        .filter_map(|(rule, value)| rule.as_deref().map(|r| (r, *value)))
        .peekable();
    given.peek().is_some() && given.all(|(rule, value)| value.is_some_and(|v| fits(rule, v)))
}

/// Whether a name fits to a pattern with `*`.
fn fits(pattern: &str, name: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = name.strip_prefix(first) else {
        return false;
    };
    let Some(last) = pattern.rsplit_once('*').map(|(_, last)| last) else {
        return rest.is_empty();
    };
    let middle: Vec<&str> = parts.collect();
    for part in middle.iter().take(middle.len().saturating_sub(1)) {
        match rest.find(part) {
            Some(at) => rest = rest.get(at + part.len()..).unwrap_or_default(),
            None => return false,
        }
    }
    rest.ends_with(last)
}

/// What holds back everything new: too young, quiet hours, nobody cares.
pub(super) fn timing(view: &View<'_>, wanted: &Wanted) -> Option<Why> {
    let age = wanted.failing_since.map(|t| view.now.duration_since(t));
    if age.is_some_and(|a| a < view.rules.min_failure_age) {
        return Some(Why::TooYoung);
    }
    if view.rules.quiet(view.now) {
        return Some(Why::QuietHours);
    }
    is_inactive(view).then_some(Why::Inactive)
}

/// Whether a human closed something about the same finding a short time ago.
pub(super) fn is_cooling_down(view: &View<'_>, wanted: &Wanted, same: &[&Known<'_>]) -> bool {
    let by_key = view
        .pulls
        .iter()
        .filter(|p| p.mine && p.marker.key == wanted.key);
    let mut all = by_key.chain(same.iter().copied());
    all.any(|p| {
        p.pull.state == PullState::Closed
            && p.closed_by_us(view.observed.me.id).is_none()
            && p.pull
                .closed_at
                .is_some_and(|at| view.now.duration_since(at) < view.rules.cooldown_after_close)
    })
}

/// Whether the last pull requests were all closed by people, one after the other.
fn is_inactive(view: &View<'_>) -> bool {
    let most = usize::try_from(view.rules.inactivity_pause).unwrap_or(usize::MAX);
    if most == 0 {
        return false;
    }
    let me = view.observed.me.id;
    let mut ended: Vec<&Known<'_>> = view
        .pulls
        .iter()
        .filter(|p| p.mine && !p.is_open() && p.closed_by_us(me).is_none())
        .collect();
    ended.sort_by_key(|p| std::cmp::Reverse((p.pull.closed_at, p.pull.number)));
    let last: Vec<_> = ended.iter().take(most).collect();
    last.len() == most && last.iter().all(|p| p.pull.state == PullState::Closed)
}

#[cfg(test)]
mod tests {
    use super::fits;

    #[test]
    fn a_star_stands_for_anything() {
        for (pattern, name, yes) in [
            ("shop", "shop", true),
            ("shop", "shop2", false),
            ("shop*", "shop2", true),
            ("*-canary", "cart-canary", true),
            ("a*b*c", "aXbYc", true),
            ("a*b*c", "aXcYb", false),
            ("a*a", "a", false),
            ("*", "", true),
            ("**", "x", true),
            ("", "x", false),
        ] {
            assert_eq!(fits(pattern, name), yes, "{pattern} {name}");
        }
    }
}
