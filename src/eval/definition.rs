//! `case.yaml`: what is known about a case. Tolerant of fields that the judge does not need.

use regex::{Regex, RegexBuilder};
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use super::judge::{Op, Rules, reading};

/// How something ended, or should end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// A pull request.
    Pr,
    /// A question.
    Ask,
    /// A refusal.
    Refuse,
    /// Nothing.
    None,
}

impl std::fmt::Display for Outcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Pr => "pr",
            Self::Ask => "ask",
            Self::Refuse => "refuse",
            Self::None => "none",
        })
    }
}

/// A case's known answer.
#[derive(Debug, Clone)]
pub struct Definition {
    /// The failure class in the words of the collection.
    pub class: String,
    /// The best ending.
    pub expect: Outcome,
    /// Other right endings.
    pub also_accepted: Vec<Outcome>,
    /// What a right repository looks like.
    pub rules: Rules,
    /// What a question or refusal has to name.
    pub must_name: Vec<MustName>,
    /// Whether a question has to offer options.
    pub wants_options: bool,
    /// Whether the case is ambiguous by its own account.
    pub weak: bool,
}

/// A fact that a text has to contain.
#[derive(Debug, Clone)]
pub struct MustName {
    /// For people.
    pub fact: String,
    /// Searched without case in title, message and options.
    pub pattern: Regex,
}

impl Definition {
    /// Reads `case.yaml`.
    pub fn read(text: &str) -> Result<Self, String> {
        let value = reading::read(text)?;
        let raw: Raw = serde_json::from_value(value).map_err(|e| e.to_string())?;
        raw.check()
    }

    /// Whether an ending is right.
    pub fn accepts(&self, outcome: Outcome) -> bool {
        outcome == self.expect || self.also_accepted.contains(&outcome)
    }
}

#[derive(Deserialize)]
struct Raw {
    #[serde(default)]
    class: Option<String>,
    expect: Outcome,
    #[serde(default, deserialize_with = "one_or_many")]
    also_accepted: Vec<Outcome>,
    #[serde(default)]
    judge: Option<Rules>,
    #[serde(default)]
    ask: Option<RawAsk>,
    #[serde(default)]
    weak: Value,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct RawAsk {
    must_name: Vec<String>,
    r#match: Vec<String>,
    options: Vec<Value>,
}

impl Raw {
    fn check(self) -> Result<Definition, String> {
        let ask = self.ask.unwrap_or_default();
        let rules = self.judge.unwrap_or_default();
        check_patterns(&rules)?;
        let facts = ask
            .must_name
            .iter()
            .map(Some)
            .chain(std::iter::repeat(None));
        let must_name: Result<Vec<MustName>, String> = ask
            .r#match
            .iter()
            .zip(facts)
            .map(|(pattern, fact)| MustName::new(pattern, fact))
            .collect();
        Ok(Definition {
            class: self.class.unwrap_or_else(|| "-".to_owned()),
            expect: self.expect,
            also_accepted: self.also_accepted,
            rules,
            must_name: must_name?,
            wants_options: !ask.options.is_empty(),
            weak: !matches!(self.weak, Value::Null | Value::Bool(false)),
        })
    }
}

impl MustName {
    fn new(pattern: &str, fact: Option<&String>) -> Result<Self, String> {
        let compiled = RegexBuilder::new(pattern).case_insensitive(true).build();
        Ok(Self {
            fact: fact.map_or(pattern, String::as_str).to_owned(),
            pattern: compiled.map_err(|e| format!("ask.match: {e}"))?,
        })
    }
}

fn check_patterns(rules: &Rules) -> Result<(), String> {
    for assertion in rules.any_of.iter().flatten() {
        if matches!(assertion.op, Op::Matches | Op::NotMatches) {
            let pattern = assertion.value.as_str().unwrap_or_default();
            Regex::new(pattern).map_err(|e| format!("judge: {e}"))?;
        }
    }
    Ok(())
}

fn one_or_many<'de, D: Deserializer<'de>>(d: D) -> Result<Vec<Outcome>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum OneOrMany {
        Nothing(()),
        One(Outcome),
        Many(Vec<Outcome>),
    }
    Ok(match OneOrMany::deserialize(d)? {
        OneOrMany::Nothing(()) => Vec::new(),
        OneOrMany::One(outcome) => vec![outcome],
        OneOrMany::Many(outcomes) => outcomes,
    })
}
