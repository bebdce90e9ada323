//! NetworkPolicies: never edited (rule E01); the missing rule is said in words.

use crate::case::Case;
use crate::code::Code;
use crate::propose::Answer;
use crate::propose::playbook::build::{ask, by_hand};

pub(super) fn run(case: &Case<'_>) -> Option<Answer> {
    let finding = case.finding;
    let lines = |name: &str| -> Vec<String> {
        let text = finding.fact(name).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    };
    let mut diagnosis = lines("sentences");
    if let Some(evidence) = finding.fact("evidence") {
        let short: String = evidence.trim().chars().take(300).collect();
        diagnosis.push(format!("evidence: {short}"));
    }
    let rules = lines("rules");
    let mut options: Vec<_> = Vec::new();
    if !rules.is_empty() {
        options.push(by_hand(format!(
            "add to {} (or to a new policy beside it; needs approval, rule E01): {}",
            finding.object,
            rules
                .iter()
                .map(|r| format!("`{r}`"))
                .collect::<Vec<_>>()
                .join("; ")
        )));
    }
    options.push(by_hand(format!(
        "keep {} as it is, if this traffic is meant to be blocked",
        finding.object
    )));
    options.push(by_hand(format!(
        "remove {} (needs approval, rules E01 and G03), if it is not meant at all",
        finding.object
    )));
    Some(ask(
        Code::BlockedNetworkPolicy,
        format!(
            "Should {} allow the traffic that it blocks now? kubemend never edits network policies (rule E01)",
            finding.object
        ),
        diagnosis,
        options,
    ))
}
