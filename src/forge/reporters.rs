//! Which runs report what a pull request mends: the clusters in which the same manifest fails. Pure.
//!
//! Each run changes its own entry and nobody else's. The run that opened the pull request writes its
//! text as long as it is listed, then the one that is listed longest: two runs never take turns.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::forge::marker::{Healthy, Marker};
use crate::verify::machine::Baseline;

/// The most entries.
pub const MOST: usize = 16;
/// How long one of several runs counts as reporting without a word of it.
pub const EXPIRY: SignedDuration = SignedDuration::from_hours(7 * 24);
/// How old its word may become before it is given again.
const REFRESH: SignedDuration = SignedDuration::from_hours(24);
/// The most characters of what it would change instead.
const MAX_INSTEAD: usize = 200;
/// The most characters of a scope: more are more than a name.
const MAX_SCOPE: usize = 200;
/// How the scope of a cluster begins; its name follows.
const CLUSTER: &str = "cluster ";

/// Instead of a code: a question of it is open.
pub const ASKS: &str = "Question";

/// A run that reports what a pull request mends.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Reporter {
    /// `manifests`, or `cluster` and its name.
    pub scope: String,
    /// How many objects show the failure there; 0 where that is not known.
    pub objects: u32,
    /// Since when it fails there.
    pub since: Option<Timestamp>,
    /// When it gave its word last.
    pub seen: Timestamp,
    /// How often it was seen healthy there, while others report it.
    pub healthy: Option<Healthy>,
    /// The title of what it would change instead; empty where it wants the same.
    pub instead: String,
    /// Why it has no change of its own for it: the code of a refusal, or [`ASKS`]; empty where it has.
    pub without: String,
    /// How this cluster was since the change was proposed; absent where none is seen.
    pub baseline: Option<Baseline>,
}

impl Reporter {
    /// The same with texts of sane lengths.
    #[must_use]
    pub fn bounded(mut self) -> Self {
        self.scope = self.scope.chars().take(MAX_SCOPE).collect();
        self.instead = self.instead.chars().take(MAX_INSTEAD).collect();
        self.without = self.without.chars().take(MAX_INSTEAD).collect();
        self
    }

    /// Whether it saw the cluster worse than is written down, or long after that.
    fn saw_worse(&self, known: &Self) -> bool {
        let both = self.baseline.as_ref().zip(known.baseline.as_ref());
        both.is_some_and(|(now, before)| now.is_news(before))
    }

    /// Whether it says nothing that is worth a write.
    fn says(&self, known: &Self, now: Timestamp) -> bool {
        self.instead == known.instead
            && self.without == known.without
            && now.duration_since(known.seen) < REFRESH
    }
}

/// The name of a cluster in a scope; `None` for runs that see none.
pub fn cluster(scope: &str) -> Option<&str> {
    scope.strip_prefix(CLUSTER)
}

impl Marker {
    /// The entry of a run.
    pub fn reporter(&self, scope: &str) -> Option<&Reporter> {
        self.reporters.iter().find(|r| r.scope == scope)
    }

    /// The same, to be changed.
    pub fn reporter_mut(&mut self, scope: &str) -> Option<&mut Reporter> {
        self.reporters.iter_mut().find(|r| r.scope == scope)
    }

    /// Entries that count: one of several only for a time; where none does any more, all of them.
    pub fn reporting(&self, now: Timestamp) -> impl Iterator<Item = &Reporter> {
        let is_fresh = move |r: &Reporter| now.duration_since(r.seen) < EXPIRY;
        let all = self.reporters.len() == 1 || !self.reporters.iter().any(is_fresh);
        let counts = move |r: &&Reporter| all || is_fresh(r);
        self.reporters.iter().filter(counts)
    }

    /// The runs that report it. Whoever opened it does where nobody is listed.
    pub fn scopes(&self, now: Timestamp) -> Vec<&str> {
        if self.reporters.is_empty() {
            return vec![self.scope.as_str()];
        }
        self.reporting(now).map(|r| r.scope.as_str()).collect()
    }

    /// Whether a run is among those.
    pub fn is_reported_by(&self, scope: &str, now: Timestamp) -> bool {
        self.scopes(now).contains(&scope)
    }

    /// Whether a run is on the list, even if it said nothing for long.
    pub fn lists(&self, scope: &str) -> bool {
        let is_opener = self.reporters.is_empty() && self.scope == scope;
        is_opener || self.reporter(scope).is_some()
    }

    /// Whether other runs report it.
    pub fn is_reported_beside(&self, scope: &str, now: Timestamp) -> bool {
        self.scopes(now).iter().any(|s| *s != scope)
    }

    /// The run that keeps the change and its text up to date.
    pub fn keeper(&self, now: Timestamp) -> &str {
        let scopes = self.scopes(now);
        let opener = scopes.contains(&self.scope.as_str());
        match scopes.first() {
            Some(first) if !opener => first,
            _ => &self.scope,
        }
    }

    /// Whether another run keeps it. Where nobody is known, nobody does.
    pub fn is_kept_by_another(&self, scope: &str, now: Timestamp) -> bool {
        let keeper = self.keeper(now);
        !keeper.is_empty() && keeper != scope
    }

    /// Whether the word of a run is worth a write: it is not listed, or saw the cluster worse than before, or
    /// says something new, or was silent for long while others are listed, too.
    pub fn lacks(&self, word: &Reporter, now: Timestamp) -> bool {
        let known = self.reporter(&word.scope);
        let listed = self.is_reported_by(&word.scope, now);
        let current = known.is_none_or(|k| word.says(k, now));
        let worse = known.is_some_and(|k| word.saw_worse(k));
        !listed || worse || (self.is_reported_beside(&word.scope, now) && !current)
    }

    /// Lists a run, or takes down its new word. `false`: the list is full.
    pub fn enlist(&mut self, word: Reporter, now: Timestamp) -> bool {
        if self.reporters.is_empty() && !self.scope.is_empty() && self.scope != word.scope {
            self.reporters.push(Reporter {
                scope: self.scope.clone(),
                ..Reporter::default()
            });
        }
        if let [first] = self.reporters.as_mut_slice()
            && first.scope != word.scope
        {
            // it had no reason to give its word as long as it was alone
            first.seen = first.seen.max(now);
        }
        self.reporters
            .retain(|r| r.scope == word.scope || now.duration_since(r.seen) < EXPIRY);
        let word = word.bounded();
        if let Some(known) = self.reporter_mut(&word.scope) {
            *known = word;
        } else if self.reporters.len() < MOST {
            self.reporters.push(word);
        } else {
            return false;
        }
        true
    }

    /// Takes a run off the list. The last one stays: what is reported by nobody is closed.
    pub fn part(&mut self, scope: &str, now: Timestamp) -> bool {
        let leaves = self.reporter(scope).is_some() && self.is_reported_beside(scope, now);
        if leaves {
            self.reporters.retain(|r| r.scope != scope);
        }
        leaves
    }

    /// Takes over what other runs wrote about themselves in the meantime.
    pub fn heed(&mut self, fresh: &Self, scope: &str) {
        for id in &fresh.also {
            if !self.also.contains(id) {
                self.also.push(id.clone());
            }
        }
        let mine = self.reporter(scope).cloned();
        let mut all = fresh.reporters.clone();
        match (all.iter_mut().find(|r| r.scope == scope), mine) {
            (Some(known), Some(mine)) => *known = mine,
            (None, Some(mine)) => all.push(mine),
            (_, None) => {}
        }
        self.reporters = all;
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn at(hours: i64) -> Timestamp {
        Timestamp::from_second(1_767_355_200 + hours * 3600).unwrap()
    }

    fn word(name: &str, hours: i64) -> Reporter {
        Reporter {
            scope: format!("cluster {name}"),
            objects: 2,
            seen: at(hours),
            ..Reporter::default()
        }
    }

    /// Opened by `a`, as far as `others` joined at these hours.
    fn listed(others: &[(&str, i64)]) -> Marker {
        let mut marker = Marker {
            scope: "cluster a".to_owned(),
            reporters: vec![word("a", 0)],
            ..Marker::default()
        };
        for (name, hours) in others {
            assert!(marker.enlist(word(name, *hours), at(*hours)));
        }
        marker
    }

    fn names(marker: &Marker, hours: i64) -> String {
        let names = marker.scopes(at(hours)).into_iter().filter_map(cluster);
        names.collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn one_that_is_alone_is_never_silent_for_too_long() {
        let marker = listed(&[]);
        assert_eq!(names(&marker, 10_000), "a");
        assert!(!marker.lacks(&word("a", 10_000), at(10_000)));
        assert!(marker.lacks(&word("b", 10_000), at(10_000)));
        let old = Marker {
            scope: "cluster a".to_owned(),
            ..Marker::default()
        };
        assert_eq!(names(&old, 0), "a", "from before there was a list");
        assert!(!old.lacks(&word("a", 0), at(0)));
    }

    #[test]
    fn who_was_alone_for_long_counts_from_when_another_one_joins() {
        let marker = listed(&[("b", 1_000)]);
        assert_eq!(names(&marker, 1_000), "a b");
        assert_eq!(names(&marker, 1_000 + 7 * 24 - 1), "a b");
        assert_eq!(
            names(&marker, 1_000 + 7 * 24),
            "a b",
            "where nobody says a word, all count"
        );
        assert_eq!(marker.keeper(at(1_000 + 7 * 24)), "cluster a");
        let mut old = Marker {
            scope: "cluster a".to_owned(),
            ..Marker::default()
        };
        assert!(old.enlist(word("b", 1_000), at(1_000)));
        assert_eq!(names(&old, 1_000), "a b", "from before there was a list");
    }

    #[test]
    fn a_word_is_given_again_once_a_day_and_when_it_is_another_one() {
        let marker = listed(&[("b", 0)]);
        assert!(!marker.lacks(&word("b", 23), at(23)));
        assert!(marker.lacks(&word("b", 24), at(24)));
        let more = Reporter {
            objects: 9,
            ..word("b", 1)
        };
        assert!(!marker.lacks(&more, at(1)), "a number is not worth a write");
        let other = Reporter {
            instead: "Raise it further".to_owned(),
            ..word("b", 1)
        };
        assert!(marker.lacks(&other, at(1)));
    }

    /// One that is alone has no other reason to give its word again.
    #[test]
    fn a_cluster_that_got_worse_before_the_merge_says_so() {
        let seen = |hours, failing: &[&str]| Reporter {
            baseline: Some(Baseline {
                at: Some(at(hours)),
                failing: failing.iter().map(|f| (*f).to_owned()).collect(),
                ..Baseline::default()
            }),
            ..word("a", hours)
        };
        let mut marker = listed(&[]);
        assert!(!marker.lacks(&seen(1, &[]), at(1)), "none was taken down");
        assert!(marker.enlist(seen(1, &[]), at(1)));
        assert!(!marker.lacks(&seen(2, &[]), at(2)));
        assert!(marker.lacks(&seen(2, &["Service shop/api"]), at(2)));
        assert!(marker.lacks(&seen(7, &[]), at(7)), "it grows old");
    }

    #[test]
    fn who_is_silent_for_a_week_does_not_count_and_may_come_back() {
        let mut marker = listed(&[("b", 0), ("c", 0)]);
        let week = 7 * 24;
        assert!(marker.enlist(word("b", week - 1), at(week - 1)));
        assert_eq!(names(&marker, week), "b");
        assert_eq!(marker.keeper(at(week)), "cluster b");
        assert!(!marker.is_reported_beside("cluster b", at(week)));
        assert!(marker.enlist(word("a", week), at(week)));
        assert_eq!(names(&marker, week), "a b");
        assert_eq!(marker.keeper(at(week)), "cluster a", "who opened it");
        assert_eq!(marker.reporters.len(), 2, "c is dropped");
    }

    #[test]
    fn all_but_the_last_one_leave() {
        let mut marker = listed(&[("b", 0)]);
        assert!(marker.part("cluster a", at(1)));
        assert!(!marker.part("cluster a", at(1)), "once");
        assert_eq!(marker.keeper(at(1)), "cluster b");
        assert!(!marker.part("cluster b", at(1)), "the last one");
        assert_eq!(names(&marker, 1), "b");
    }

    #[test]
    fn the_list_is_bounded() {
        let mut marker = listed(&[]);
        for n in 1..MOST {
            assert!(marker.enlist(word(&format!("x{n}"), 0), at(0)));
        }
        assert!(!marker.enlist(word("one more", 0), at(0)));
        assert!(marker.enlist(word("x3", 1), at(1)), "its own entry");
        assert_eq!(marker.reporters.len(), MOST);
        let long = Reporter {
            instead: "x".repeat(9_999),
            ..word("x3", 2)
        };
        assert!(marker.enlist(long, at(2)));
        let instead = &marker.reporter("cluster x3").unwrap().instead;
        assert_eq!(instead.len(), MAX_INSTEAD);
    }

    #[test]
    fn what_others_wrote_in_the_meantime_stays() {
        let mut ours = listed(&[("b", 0)]);
        ours.reporter_mut("cluster a").unwrap().objects = 7;
        let mut fresh = listed(&[("b", 0), ("c", 0)]);
        fresh.part("cluster b", at(0));
        ours.heed(&fresh, "cluster a");
        assert_eq!(names(&ours, 0), "a c");
        assert_eq!(ours.reporter("cluster a").unwrap().objects, 7);
        fresh.reporters.clear();
        ours.heed(&fresh, "cluster a");
        assert_eq!(names(&ours, 0), "a", "an entry that got lost");
    }
}
