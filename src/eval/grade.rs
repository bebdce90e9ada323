//! Grades one ending against the known answer. Pure.

use serde::Serialize;

use super::definition::{Definition, Outcome};
use super::judge::judge;
use super::{Ending, Known};

/// What an ending is worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Grade {
    /// A pull request that mends the fault and changes nothing else.
    Fixed,
    /// An accepted question, refusal or silence, with its reason.
    Right,
    /// A pull request where none is right, or one that does not mend, or changes more.
    Wrong,
    /// A question or refusal where another ending is right, or one that does not say why.
    Missed,
    /// Nothing was said.
    Silent,
    /// The run failed.
    Broken,
}

impl Grade {
    /// All grades, best first.
    pub const ALL: [Self; 6] = [
        Self::Fixed,
        Self::Right,
        Self::Wrong,
        Self::Missed,
        Self::Silent,
        Self::Broken,
    ];

    /// Whether it is a right ending.
    pub fn is_good(self) -> bool {
        matches!(self, Self::Fixed | Self::Right)
    }

    /// The word for it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Fixed => "fixed",
            Self::Right => "right",
            Self::Wrong => "wrong",
            Self::Missed => "missed",
            Self::Silent => "silent",
            Self::Broken => "broken",
        }
    }
}

/// An ending with its grade.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Graded {
    /// The grade.
    pub grade: Grade,
    /// How it ended; none for a run that failed.
    pub outcome: Option<Outcome>,
    /// The code of a question or refusal.
    pub code: Option<String>,
    /// Its title.
    pub title: String,
    /// Why it is not better, one sentence each.
    pub why: Vec<String>,
    /// Of a pull request: whether it mends the fault.
    pub mended: Option<bool>,
    /// Of a pull request: what it changed although it must not.
    pub collateral: Vec<String>,
    /// How long it took.
    pub millis: u64,
    /// What a model used.
    pub tokens: u64,
}

/// Grades what a run said.
pub fn grade(definition: &Definition, known: &Known, run: &Result<Ending, String>) -> Graded {
    let ending = match run {
        Ok(ending) => ending,
        Err(message) => return broken(message),
    };
    let graded = Graded {
        grade: Grade::Broken,
        outcome: Some(ending.outcome),
        code: ending.code.clone(),
        title: ending.title.clone(),
        why: Vec::new(),
        mended: None,
        collateral: Vec::new(),
        millis: ending.millis,
        tokens: ending.tokens,
    };
    match ending.outcome {
        Outcome::Pr => pull_request(definition, known, ending, graded),
        Outcome::Ask | Outcome::Refuse => words(definition, ending, graded),
        Outcome::None => silence(definition, graded),
    }
}

fn broken(message: &str) -> Graded {
    Graded {
        grade: Grade::Broken,
        outcome: None,
        code: None,
        title: String::new(),
        why: vec![message.to_owned()],
        mended: None,
        collateral: Vec::new(),
        millis: 0,
        tokens: 0,
    }
}

fn pull_request(
    definition: &Definition,
    known: &Known,
    ending: &Ending,
    mut graded: Graded,
) -> Graded {
    let after = known.before.with(&ending.patched);
    let verdict = judge(&definition.rules, &known.before, &after, &known.gold);
    if !definition.accepts(Outcome::Pr) {
        let wanted = accepted(definition);
        graded
            .why
            .push(format!("no pull request is right here, but {wanted}"));
    } else if !verdict.fixed {
        graded
            .why
            .push("the change does not mend the fault".to_owned());
    }
    if !verdict.collateral.is_empty() {
        let places = verdict.collateral.join(", ");
        graded
            .why
            .push(format!("it changes more than it may: {places}"));
    }
    graded.mended = Some(verdict.fixed);
    graded.collateral = verdict.collateral;
    graded.grade = if graded.why.is_empty() {
        Grade::Fixed
    } else {
        Grade::Wrong
    };
    graded
}

fn words(definition: &Definition, ending: &Ending, mut graded: Graded) -> Graded {
    if !definition.accepts(ending.outcome) {
        let wanted = accepted(definition);
        graded.why.push(format!("{wanted} is right here"));
    }
    let text = [&ending.title, &ending.message]
        .into_iter()
        .chain(&ending.options);
    let text: Vec<&str> = text.map(String::as_str).collect();
    let text = text.join("\n");
    for item in &definition.must_name {
        if !item.pattern.is_match(&text) {
            let (fact, pattern) = (&item.fact, item.pattern.as_str());
            graded
                .why
                .push(format!("the text does not name {fact} ({pattern})"));
        }
    }
    if ending.outcome == Outcome::Ask && definition.wants_options && ending.options.is_empty() {
        graded.why.push("the question offers no option".to_owned());
    }
    graded.grade = if graded.why.is_empty() {
        Grade::Right
    } else {
        Grade::Missed
    };
    graded
}

fn silence(definition: &Definition, mut graded: Graded) -> Graded {
    graded.grade = if definition.accepts(Outcome::None) {
        Grade::Right
    } else {
        let wanted = accepted(definition);
        graded.why.push(format!("{wanted} is right here"));
        Grade::Silent
    };
    graded
}

fn accepted(definition: &Definition) -> String {
    let all = std::iter::once(&definition.expect).chain(&definition.also_accepted);
    let words: Vec<String> = all.map(ToString::to_string).collect();
    words.join(" or ")
}
