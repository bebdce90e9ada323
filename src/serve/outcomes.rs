//! What became of each finding, told once: one log line for one outcome, not one for each pass. Pure.

use std::collections::{BTreeMap, BTreeSet};

use crate::remediation::{Outcome, Seen, Survey};

/// The most findings that are remembered; of more nothing is told.
const MOST: usize = 10_000;

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

/// What was told of each repository's findings.
#[derive(Debug, Default)]
pub struct Outcomes(BTreeMap<(u64, String), News>);

impl Outcomes {
    /// What a pass says that was not told yet. What is over and was never told of is old.
    pub fn news(&mut self, repository: u64, survey: &Survey) -> Vec<News> {
        let mut news: Vec<News> = Vec::new();
        for one in survey.seen.iter().filter_map(told) {
            let key = (repository, one.fingerprint.clone());
            let known = self.0.get(&key);
            let is_new = match known {
                Some(known) => *known != one,
                None => !is_over(one.outcome) && self.0.len() < MOST,
            };
            if is_new {
                self.0.insert(key, one.clone());
                news.push(one);
            }
        }
        if survey.complete {
            news.extend(self.gone(repository, survey));
        }
        news
    }

    /// What nobody reports any more.
    fn gone(&mut self, repository: u64, survey: &Survey) -> Vec<News> {
        let seen: BTreeSet<&str> = survey
            .seen
            .iter()
            .map(|s| s.spec.fingerprint.as_str())
            .collect();
        let is_gone = |(id, fingerprint): &(u64, String)| {
            *id == repository && !seen.contains(fingerprint.as_str())
        };
        let gone: Vec<(u64, String)> = self.0.keys().filter(|k| is_gone(k)).cloned().collect();
        let known = gone.iter().filter_map(|key| self.0.remove(key));
        let open = known.filter(|known| !is_over(known.outcome));
        open.map(|known| News {
            outcome: Outcome::Resolved,
            code: String::new(),
            ..known
        })
        .collect()
    }
}

fn told(seen: &Seen) -> Option<News> {
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

    #[test]
    fn each_outcome_is_told_once() {
        let mut outcomes = Outcomes::default();
        let refused = survey(vec![seen("a", Outcome::Refused, "NoSafeFix", None)]);
        let told = words(outcomes.news(1, &refused));
        assert_eq!(told, ["a Refused NoSafeFix None"]);
        assert_eq!(outcomes.news(1, &refused), []);
        let proposed = survey(vec![seen("a", Outcome::Proposed, "", Some(7))]);
        let told = words(outcomes.news(1, &proposed));
        assert_eq!(told, ["a Proposed  Some(7)"]);
        let merged = survey(vec![seen("a", Outcome::Merged, "", Some(7))]);
        assert_eq!(words(outcomes.news(1, &merged)), ["a Merged  Some(7)"]);
        assert_eq!(outcomes.news(1, &survey(Vec::new())), [], "it ended before");
    }

    #[test]
    fn what_nobody_reports_any_more_is_told_where_all_was_seen() {
        let mut outcomes = Outcomes::default();
        outcomes.news(1, &survey(vec![seen("a", Outcome::Held, "Cap", None)]));
        let partial = Survey::default();
        assert_eq!(outcomes.news(1, &partial), []);
        assert_eq!(outcomes.news(2, &survey(Vec::new())), [], "elsewhere");
        let told = words(outcomes.news(1, &survey(Vec::new())));
        assert_eq!(told, ["a Resolved  None"]);
        assert_eq!(outcomes.news(1, &survey(Vec::new())), []);
    }

    #[test]
    fn what_was_over_before_is_old() {
        let old = survey(vec![seen("a", Outcome::Closed, "", Some(3))]);
        assert_eq!(Outcomes::default().news(1, &old), []);
    }
}
