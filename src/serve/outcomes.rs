//! What became of each finding, told once: one log line for one outcome, not one for each pass. Pure.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use crate::remediation::{Outcome, Seen, Survey};

/// The most findings that are remembered; of more nothing is told while all of these are seen.
const MOST: usize = 10_000;
/// A finding is gone when so many passes in a row did not see it, over so long at least: a container that crashes
/// runs for a while between. A pull request is given the same patience.
const LOOKS: u32 = 3;
const LEAST: SignedDuration = SignedDuration::from_mins(30);
/// What no pass saw for so long is forgotten: its repository is not looked after any more, or never read as a whole.
const FORGOTTEN: SignedDuration = SignedDuration::from_hours(24);

/// A finding and how it ended, for the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct News {
    /// The finding.
    pub fingerprint: String,
    /// What failed.
    pub object: String,
    /// How.
    pub class: String,
    /// How the pass ended for it.
    pub outcome: Outcome,
    /// Why, in a word; empty where there is nothing to say.
    pub code: String,
    /// The pull request, or the issue of the question.
    pub number: Option<u64>,
}

/// What was told of a finding.
#[derive(Debug)]
struct Told {
    news: News,
    /// The last pass that saw it.
    seen: Timestamp,
    /// The passes since then that would have seen it.
    missed: Option<Missed>,
}

#[derive(Debug, Clone, Copy)]
struct Missed {
    since: Timestamp,
    looks: u32,
}

type Key = (u64, String);

/// What was told of each repository's findings.
#[derive(Debug, Default)]
pub struct Outcomes(BTreeMap<Key, Told>);

impl Outcomes {
    /// What a pass says that was not told yet. What is over and was never told of is old.
    pub fn news(&mut self, repository: u64, survey: &Survey, now: Timestamp) -> Vec<News> {
        self.forget(now);
        let mut news = Vec::new();
        for seen in &survey.seen {
            let key = (repository, seen.spec.fingerprint.clone());
            if let Some(known) = self.0.get_mut(&key) {
                (known.seen, known.missed) = (now, None);
            }
            let one = outcome(seen).filter(|one| self.is_news(&key, one, now));
            if let Some(one) = one {
                self.0.insert(key, Told::new(&one, now));
                news.push(one);
            }
        }
        news.extend(self.gone(repository, survey, now));
        news
    }

    fn is_news(&mut self, key: &Key, one: &News, now: Timestamp) -> bool {
        match self.0.get(key) {
            Some(known) => known.news != *one,
            None => !is_over(one.outcome) && self.has_room(now),
        }
    }

    /// Whether one more can be remembered. What is seen all the time stays: it would be told again in each pass.
    fn has_room(&mut self, now: Timestamp) -> bool {
        if self.0.len() < MOST {
            return true;
        }
        let oldest = self.0.iter().min_by_key(|(_, told)| told.seen);
        let oldest = oldest.filter(|(_, told)| now.duration_since(told.seen) >= LEAST);
        let oldest = oldest.map(|(key, _)| key.clone());
        oldest.is_some_and(|key| self.0.remove(&key).is_some())
    }

    fn forget(&mut self, now: Timestamp) {
        self.0
            .retain(|_, told| now.duration_since(told.seen) < FORGOTTEN);
    }

    /// What nobody reports any more.
    fn gone(&mut self, repository: u64, survey: &Survey, now: Timestamp) -> Vec<News> {
        let mut gone = Vec::new();
        for (key, told) in &mut self.0 {
            let is_told_of = key.0 == repository && survey.tells_of(&told.news.object);
            if is_told_of && told.is_gone(now) {
                gone.push(key.clone());
            }
        }
        let known = gone.iter().filter_map(|key| self.0.remove(key));
        let open = known.filter(|known| !is_over(known.news.outcome));
        open.map(|known| News {
            outcome: Outcome::Resolved,
            code: String::new(),
            ..known.news
        })
        .collect()
    }
}

impl Told {
    fn new(news: &News, now: Timestamp) -> Self {
        Self {
            news: news.clone(),
            seen: now,
            missed: None,
        }
    }

    /// After one more pass that would have seen it, unless it did.
    fn is_gone(&mut self, now: Timestamp) -> bool {
        if self.seen == now {
            return false;
        }
        let first = Missed {
            since: now,
            looks: 0,
        };
        let missed = self.missed.get_or_insert(first);
        missed.looks = missed.looks.saturating_add(1);
        missed.looks >= LOOKS && now.duration_since(missed.since) >= LEAST
    }
}

fn outcome(seen: &Seen) -> Option<News> {
    let pull = seen.pull.as_ref().map(|p| p.number);
    Some(News {
        fingerprint: seen.spec.fingerprint.clone(),
        object: seen.spec.object.clone(),
        class: seen.spec.class.clone(),
        outcome: seen.outcome?,
        code: seen.code.clone(),
        number: pull.or(seen.question),
    })
}

fn is_over(outcome: Outcome) -> bool {
    matches!(
        outcome,
        Outcome::Merged | Outcome::Closed | Outcome::Resolved
    )
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::remediation::{PullRequest, Spec};

    fn seen(fingerprint: &str, outcome: Outcome, code: &str, pull: Option<u64>) -> Seen {
        Seen {
            spec: Spec {
                fingerprint: fingerprint.to_owned(),
                object: "Deployment shop/web".to_owned(),
                ..Spec::default()
            },
            outcome: Some(outcome),
            code: code.to_owned(),
            pull: pull.map(|number| PullRequest {
                number,
                ..PullRequest::default()
            }),
            ..Seen::default()
        }
    }

    fn survey(seen: Vec<Seen>) -> Survey {
        Survey {
            complete: true,
            seen,
            ..Survey::default()
        }
    }

    fn words(news: Vec<News>) -> Vec<String> {
        news.iter()
            .map(|n| {
                format!(
                    "{} {:?} {} {:?}",
                    n.fingerprint, n.outcome, n.code, n.number
                )
            })
            .collect()
    }

    fn at(minute: i64) -> Timestamp {
        Timestamp::from_second(minute * 60).unwrap()
    }

    #[test]
    fn each_outcome_is_told_once() {
        let mut outcomes = Outcomes::default();
        let refused = survey(vec![seen("a", Outcome::Refused, "NoSafeFix", None)]);
        let told = words(outcomes.news(1, &refused, at(0)));
        assert_eq!(told, ["a Refused NoSafeFix None"]);
        assert_eq!(outcomes.news(1, &refused, at(5)), []);
        let proposed = survey(vec![seen("a", Outcome::Proposed, "", Some(7))]);
        let told = words(outcomes.news(1, &proposed, at(10)));
        assert_eq!(told, ["a Proposed  Some(7)"]);
        let merged = survey(vec![seen("a", Outcome::Merged, "", Some(7))]);
        let told = words(outcomes.news(1, &merged, at(15)));
        assert_eq!(told, ["a Merged  Some(7)"]);
        for minute in 20..80 {
            let told = outcomes.news(1, &survey(Vec::new()), at(minute));
            assert_eq!(told, [], "it ended before");
        }
    }

    #[test]
    fn what_nobody_reports_any_more_is_told_where_all_was_seen() {
        let mut outcomes = Outcomes::default();
        let held = survey(vec![seen("a", Outcome::Held, "Cap", None)]);
        outcomes.news(1, &held, at(0));
        let (partial, nothing) = (Survey::default(), survey(Vec::new()));
        let unsure = Survey {
            unsure: ["Deployment shop/web"].into_iter().collect(),
            ..survey(Vec::new())
        };
        let mut told = |repository, survey: &Survey, minute| {
            words(outcomes.news(repository, survey, at(minute)))
        };
        let none = Vec::<String>::new();
        for minute in [10, 30, 50] {
            assert_eq!(told(1, &partial, minute), none);
            assert_eq!(told(1, &unsure, minute), none);
            assert_eq!(told(2, &nothing, minute), none, "elsewhere");
        }
        for minute in [60, 70, 80] {
            assert_eq!(told(1, &nothing, minute), none, "for a moment");
        }
        assert_eq!(told(1, &nothing, 90), ["a Resolved  None"]);
        assert_eq!(told(1, &nothing, 100), none);
    }

    #[test]
    fn a_long_time_between_two_looks_says_nothing() {
        let mut outcomes = Outcomes::default();
        let asked = survey(vec![seen("a", Outcome::Asked, "", Some(3))]);
        outcomes.news(1, &asked, at(0));
        let nothing = survey(Vec::new());
        assert_eq!(outcomes.news(1, &nothing, at(60)), []);
        assert_eq!(outcomes.news(1, &nothing, at(120)), []);
        let told = words(outcomes.news(1, &nothing, at(180)));
        assert_eq!(told, ["a Resolved  Some(3)"]);
    }

    #[test]
    fn what_comes_and_goes_is_told_once() {
        let mut outcomes = Outcomes::default();
        let refused = survey(vec![seen("a", Outcome::Refused, "NoSafeFix", None)]);
        assert_eq!(outcomes.news(1, &refused, at(0)).len(), 1);
        for round in 1..9 {
            for minute in [0, 10, 20, 29] {
                let told = outcomes.news(1, &survey(Vec::new()), at(round * 40 + minute));
                assert_eq!(told, [], "{round}");
            }
            let told = outcomes.news(1, &refused, at(round * 40 + 30));
            assert_eq!(told, [], "{round}");
        }
    }

    #[test]
    fn a_repository_that_nobody_looks_after_is_forgotten() {
        let mut outcomes = Outcomes::default();
        let refused = survey(vec![seen("a", Outcome::Refused, "NoSafeFix", None)]);
        for repository in [1, 2] {
            assert_eq!(outcomes.news(repository, &refused, at(0)).len(), 1);
        }
        for hour in 1..24 {
            assert_eq!(outcomes.news(2, &refused, at(hour * 60)), []);
        }
        assert_eq!(outcomes.0.len(), 2);
        assert_eq!(outcomes.news(2, &refused, at(24 * 60)), []);
        assert_eq!(outcomes.0.len(), 1);
    }

    #[test]
    fn at_the_limit_what_was_not_seen_for_longest_makes_room() {
        let mut outcomes = Outcomes::default();
        let all = (0..MOST).map(|n| seen(&format!("{n:05}"), Outcome::Refused, "", None));
        let (first, rest): (Vec<Seen>, Vec<Seen>) =
            all.partition(|s| s.spec.fingerprint == "00000");
        outcomes.news(1, &survey(first), at(0));
        let rest = Survey {
            complete: false,
            ..survey(rest)
        };
        outcomes.news(1, &rest, at(20));
        let more = survey(vec![seen("a", Outcome::Refused, "", None)]);
        assert_eq!(outcomes.news(2, &more, at(25)), [], "all of them are seen");
        assert_eq!(outcomes.news(2, &more, at(35)).len(), 1);
        assert_eq!(outcomes.0.len(), MOST);
        assert!(!outcomes.0.contains_key(&(1, "00000".to_owned())));
    }

    #[test]
    fn what_was_over_before_is_old() {
        let old = survey(vec![seen("a", Outcome::Closed, "", Some(3))]);
        assert_eq!(Outcomes::default().news(1, &old, at(0)), []);
    }
}
