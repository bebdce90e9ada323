//! What should change: an untrusted [`Proposal`], a [`Question`], or a refusal.
//!
//! Proposals come from playbooks (deterministic) and from a language model. Both are data that
//! only `lock` can turn into a plan.

use serde_json::Value;

use crate::case::Case;
use crate::code::{Code, Refusal};
use crate::evidence::Evidence;
use crate::finding::Severity;
use crate::object::ObjectRef;
use crate::path::FieldPath;

pub mod chain;
pub mod llm;
pub mod memory;
pub mod model;
pub mod person;
pub mod playbook;
pub mod prompt;
pub mod ration;
pub mod scope;
pub mod strict;
pub mod value;

/// A row of the allow-list: the incident class that unlocks a change (guardrails, section 7).
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    serde::Serialize,
    serde::Deserialize,
    schemars::JsonSchema,
)]
#[allow(
    missing_docs,
    reason = "the rows are documented in lock.rs, where their bounds are"
)]
pub enum Unlock {
    ImagePullNotFound,
    ImagePullAuth,
    OOMKilled,
    CpuThrottling,
    MissingConfig,
    MissingSecret,
    BadCommand,
    LastHealthyTemplate,
    CrashLoopAfterChange,
    ProbeFailure,
    PortMismatch,
    UnschedulableResources,
    UnschedulablePlacement,
    Evicted,
    PvcPending,
    ClaimNotFound,
    HostPortConflict,
    ConfigContent,
    QuotaRejected,
    HpaMisconfig,
    BackendMissing,
    InvalidManifest,
    DeprecatedApi,
}

/// What an edit does at its path.
#[derive(Debug, Clone, PartialEq)]
pub enum Op {
    /// Replaces an existing value.
    Set(Value),
    /// Adds a key that is not there (the path ends in the new key; missing parents are made), or
    /// appends an item (the path is the list's, with one more index: its length).
    Add(Value),
    /// Removes a key or a list item.
    Remove,
}

/// One wanted change of one field of one object.
#[derive(Debug, Clone, PartialEq)]
pub struct ProposedEdit {
    /// The object, as the manifests name it (as rendered, for kustomize).
    pub object: ObjectRef,
    /// The field, on the object as rendered.
    pub path: FieldPath,
    /// What to do there.
    pub op: Op,
    /// The allow-list row that the proposer claims for it.
    pub unlock: Unlock,
    /// Where the new value comes from, for people: `ReplicaSet web-5d8 (revision 3, was available)`.
    pub basis: String,
}

/// Who proposes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A playbook, by name.
    Playbook(&'static str),
    /// A language model, by name.
    Model(String),
    /// The known answer of an evaluation case.
    Oracle,
    /// A person's value, given on the forge.
    Person,
}

impl Source {
    /// For logs: who, and for a model which prompt.
    pub fn word(&self) -> String {
        match self {
            Self::Playbook(name) => format!("playbook {name}"),
            Self::Model(name) => format!("model {name}, prompt {}", prompt::version()),
            Self::Oracle => "oracle".to_owned(),
            Self::Person => "person".to_owned(),
        }
    }

    /// Whether its values come from words and not from facts: more rows are closed to it.
    pub fn is_words(&self) -> bool {
        matches!(self, Self::Model(_) | Self::Person)
    }
}

/// A statement of the diagnosis and the evidence that it rests on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// One sentence.
    pub text: String,
    /// Evidence ids (`E1`, `E2`, …); playbooks may leave it empty, a model must not.
    pub cites: Vec<String>,
}

/// A wanted change. Untrusted.
#[derive(Debug, Clone, PartialEq)]
pub struct Proposal {
    /// Who proposes it.
    pub source: Source,
    /// Imperative, a subject line: `raise the memory limit of shop/cart to 256Mi`.
    pub title: String,
    /// What is broken and why, statement by statement.
    pub diagnosis: Vec<Claim>,
    /// Why this change fixes it, 10–500 characters.
    pub reason: String,
    /// How risky the proposer thinks it is.
    pub risk: Severity,
    /// What a person must also do after the merge (re-create an immutable object, …).
    pub after_merge: Vec<String>,
    /// The edits, 1–10 of them.
    pub edits: Vec<ProposedEdit>,
}

/// One answer to a [`Question`].
#[derive(Debug, Clone, PartialEq)]
pub struct Choice {
    /// What choosing it means.
    pub title: String,
    /// The change that it would make, where one can be made.
    pub proposal: Option<Proposal>,
}

/// One question to the people who own the manifest.
#[derive(Debug, Clone, PartialEq)]
pub struct Question {
    /// Why kubemend asks.
    pub code: Code,
    /// The question, one sentence.
    pub title: String,
    /// What is broken and why, statement by statement, with every fact that a person needs.
    pub diagnosis: Vec<Claim>,
    /// The options, at least one.
    pub options: Vec<Choice>,
}

/// What a proposer says to a finding.
#[derive(Debug, Clone, PartialEq)]
pub enum Answer {
    /// One safe fix.
    Fix(Proposal),
    /// A person has to decide.
    Ask(Question),
    /// No manifest is at fault, or no safe fix exists.
    Refuse(Refusal),
}

impl Claim {
    /// A statement of a playbook, which cites nothing.
    pub fn fact(text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            cites: Vec::new(),
        }
    }
}

/// What a proposer used up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Usage {
    /// Calls of a model.
    pub calls: u32,
    /// Tokens sent.
    pub prompt_tokens: u64,
    /// Tokens received.
    pub completion_tokens: u64,
    /// What it cost, in millionths of a dollar; 0 where no price is known.
    pub cost: u64,
}

impl std::ops::AddAssign for Usage {
    fn add_assign(&mut self, more: Self) {
        self.calls = self.calls.saturating_add(more.calls);
        self.prompt_tokens = self.prompt_tokens.saturating_add(more.prompt_tokens);
        self.completion_tokens = self
            .completion_tokens
            .saturating_add(more.completion_tokens);
        self.cost = self.cost.saturating_add(more.cost);
    }
}

/// An answer, if there is one, and what it cost.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Proposed {
    /// The answer; none when this proposer has nothing to say to the case.
    pub answer: Option<Answer>,
    /// What it cost.
    pub usage: Usage,
}

/// A proposer that does not answer: an infrastructure failure, not an answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the model does not answer: {why}")]
pub struct ProposeError {
    /// What there was instead of an answer.
    pub why: String,
    /// Whether the same may be answered a while later.
    pub passes: bool,
}

/// Something that answers cases: the playbook, a model, a script in tests.
pub trait Proposer: Send + Sync {
    /// The answer to a case. `feedback` holds what lock said to the answers before, oldest first.
    fn propose(
        &self,
        case: &Case<'_>,
        evidence: &Evidence,
        feedback: &[String],
    ) -> Result<Proposed, ProposeError>;
}

/// The built-in playbook.
#[derive(Debug, Clone, Copy, Default)]
pub struct Playbook;

impl Proposer for Playbook {
    fn propose(
        &self,
        case: &Case<'_>,
        _evidence: &Evidence,
        feedback: &[String],
    ) -> Result<Proposed, ProposeError> {
        // a play follows from facts: it would say the same again
        let answer = if feedback.is_empty() {
            playbook::answer(case).map(|(_, answer)| answer)
        } else {
            None
        };
        Ok(Proposed {
            answer,
            usage: Usage::default(),
        })
    }
}
