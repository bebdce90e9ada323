//! What a name in one of kubemend's texts means: a code, a row of the allow-list, the number of a
//! guardrail, a rule of `scan`. Pure.

use crate::code::Code;
use crate::lock::{RowInfo, guardrail, guardrails, row_infos};
use crate::message;
use crate::near;
use crate::scan::{RULES, rule};

/// A name and what it means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Meaning {
    /// The name as kubemend writes it.
    pub name: String,
    /// For people, some lines.
    pub text: String,
}

/// What a word means, in any case.
pub fn of(word: &str) -> Option<Meaning> {
    let code = word.parse::<Code>().ok().map(|code| Meaning {
        name: code.to_string(),
        text: message::explain(code),
    });
    let of_scan = || {
        let rule = rule(word)?;
        Some(Meaning {
            name: rule.id.to_owned(),
            text: rule.explain(),
        })
    };
    let row = || {
        let mut rows = row_infos();
        let row = rows.find(|r| name(r).eq_ignore_ascii_case(word))?;
        Some(Meaning {
            name: name(&row),
            text: row_explained(&row),
        })
    };
    let number = || {
        let rule = guardrail(word)?;
        Some(Meaning {
            name: rule.id.to_owned(),
            text: rule.explain(),
        })
    };
    code.or_else(of_scan).or_else(row).or_else(number)
}

/// Everything but the rows, which are documented with what they allow.
pub fn all() -> String {
    let codes = Code::ALL.iter().map(|c| message::explain(*c));
    let rules = RULES.iter().map(|r| r.explain());
    let numbers = guardrails().map(|r| r.explain());
    codes.chain(rules).chain(numbers).collect()
}

/// What a misspelled word probably is. Numbers of guardrails are too much alike to guess.
pub fn nearest(word: &str) -> Option<String> {
    let codes = Code::ALL.iter().map(ToString::to_string);
    let rules = RULES.iter().map(|r| r.name.to_owned());
    let all = codes.chain(row_infos().map(|r| name(&r))).chain(rules);
    let far = |name: &String| near::distance(&name.to_lowercase(), &word.to_lowercase());
    all.min_by_key(far).filter(|name| far(name) <= 2)
}

fn name(row: &RowInfo) -> String {
    format!("{:?}", row.unlock)
}

fn row_explained(row: &RowInfo) -> String {
    let classes: Vec<String> = row.classes.iter().map(ToString::to_string).collect();
    let who = match row.playbook_only {
        true => " Only a playbook may use it.",
        false => "",
    };
    format!(
        "{}\n  Allow-list row: {}.{who}\n  For findings of class {}.\n",
        name(row),
        row.about,
        classes.join(", ")
    )
}
