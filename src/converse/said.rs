//! What people said so far, by finding: from all markers on the forge. Pure.

use std::collections::BTreeSet;

use crate::case::{Answers, Said};
use crate::converse::effect::MAX_HINTS;
use crate::forge::PullState;
use crate::forge::decide::Observed;
use crate::forge::marker::{ClosedBecause, Marker};

/// The answers of open questions and pull requests; of closed ones only where they still speak: a
/// question whose pull request is open, and a pull request that a person asks for again.
pub fn answers(observed: &Observed) -> Answers {
    let mut out = Answers::new();
    let marker = |number: u64| observed.markers.get(&number);
    let asked = &observed.asked;
    let pulls: Vec<(bool, bool, &Marker)> = observed
        .pulls
        .iter()
        .filter(|p| p.pull.state != PullState::Merged)
        .filter_map(|p| {
            let n = p.pull.number;
            let again = [&asked.retry, &asked.recreate, &asked.unignore]
                .iter()
                .any(|set| set.contains(&n));
            let open = p.pull.state == PullState::Open;
            (open || again).then(|| marker(n).map(|m| (open, again, m)))?
        })
        .collect();
    let live: BTreeSet<&str> = pulls
        .iter()
        .filter(|(open, ..)| *open)
        .map(|(.., m)| m.key.as_str())
        .collect();
    for question in &observed.questions {
        let Some(marker) = marker(question.number) else {
            continue;
        };
        let answered = marker.closed == Some(ClosedBecause::Answered);
        let again = asked.retry.contains(&question.number);
        // what we closed and people opened again was carried out: it waits for another answer
        let waits = question.open && marker.closed.is_none();
        if waits || again || (answered && live.contains(marker.key.as_str())) {
            hear(&mut out, marker, again);
        }
    }
    for (_, again, marker) in &pulls {
        hear(&mut out, marker, *again);
    }
    out.retain(|key, said| !key.is_empty() && *said != Said::default());
    out
}

/// Adds what one marker says; what was said in a pull request counts more than in the question
/// before it.
fn hear(out: &mut Answers, marker: &Marker, again: bool) {
    let said = out.entry(marker.key.clone()).or_default();
    said.again |= again;
    let pairs = marker.set.iter().filter_map(|pair| pair.split_once('='));
    let pairs: Vec<(String, String)> = pairs.map(|(k, v)| (k.to_owned(), v.to_owned())).collect();
    if !pairs.is_empty() {
        said.chosen = None;
        said.set
            .retain(|(k, _)| pairs.iter().all(|(key, _)| key != k));
        said.set.extend(pairs);
    }
    if let Some(option) = marker.chosen {
        said.chosen = Some(option);
        said.chosen_of = Some(marker.chosen_of.clone()).filter(|of| !of.is_empty());
        said.set.clear();
    }
    for hint in &marker.hints {
        if !said.hints.contains(hint) {
            said.hints.push(hint.clone());
        }
    }
    let extra = said.hints.len().saturating_sub(MAX_HINTS);
    said.hints.drain(..extra);
}
