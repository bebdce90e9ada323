//! Proposers that are made of others, or of nothing. Pure.

use crate::case::Case;
use crate::evidence::Evidence;
use crate::propose::{Answer, ProposeError, Proposed, Proposer, Usage};

/// Asks one proposer after another; the first answer counts.
#[derive(Default)]
pub struct Chain(pub Vec<Box<dyn Proposer>>);

impl Proposer for Chain {
    fn propose(
        &self,
        case: &Case<'_>,
        evidence: &Evidence,
        feedback: &[String],
    ) -> Result<Proposed, ProposeError> {
        let mut usage = Usage::default();
        // a playbook does not read hints: whoever does is asked first
        let hinted = !case.said.hints.is_empty();
        let order = |i: usize| if hinted { self.0.len() - 1 - i } else { i };
        for proposer in (0..self.0.len()).filter_map(|i| self.0.get(order(i))) {
            let proposed = proposer.propose(case, evidence, feedback)?;
            usage += proposed.usage;
            let passes = hinted && matches!(proposed.answer, Some(Answer::Refuse(_)));
            if proposed.answer.is_some() && !passes {
                let answer = proposed.answer;
                return Ok(Proposed { answer, usage });
            }
        }
        Ok(Proposed {
            answer: None,
            usage,
        })
    }
}

/// Says what it was told to say, one answer a round; for tests and evaluations.
#[derive(Debug, Clone, Default)]
pub struct Scripted(pub Vec<Answer>);

impl Proposer for Scripted {
    fn propose(
        &self,
        _case: &Case<'_>,
        _evidence: &Evidence,
        feedback: &[String],
    ) -> Result<Proposed, ProposeError> {
        let answer = self.0.get(feedback.len()).cloned();
        let usage = Usage::default();
        Ok(Proposed { answer, usage })
    }
}
