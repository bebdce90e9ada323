//! Proposers that are made of others, or of nothing. Pure.

use crate::case::Case;
use crate::code::{Code, Refusal};
use crate::config::Config;
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

/// Answers what the configuration says must never be proposed, and asks nobody else about it.
pub struct Obeying {
    /// Who proposes otherwise.
    pub inner: Box<dyn Proposer>,
    /// The configuration.
    pub config: Config,
}

impl Proposer for Obeying {
    fn propose(
        &self,
        case: &Case<'_>,
        evidence: &Evidence,
        feedback: &[String],
    ) -> Result<Proposed, ProposeError> {
        let file = case.manifest().map(|m| m.file.as_str());
        let files: Vec<&str> = file.into_iter().collect();
        let Some(why) = self.config.ignored(case.finding, &files) else {
            return self.inner.propose(case, evidence, feedback);
        };
        let refusal = Refusal::new(Code::IgnoredByConfig, why);
        Ok(Proposed {
            answer: Some(Answer::Refuse(refusal)),
            usage: Usage::default(),
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
