//! A language model behind any OpenAI-compatible endpoint (Chat Completions).
//!
//! The only module that knows HTTP. Async inside, blocking outside. The request is async-openai's
//! own type; the transport is ours, because its client cannot bound the size of a response, hides
//! `Retry-After`, and panics on a key that is no header value.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_openai::types::chat::{
    ChatCompletionRequestSystemMessage, ChatCompletionRequestUserMessage,
    CreateChatCompletionRequest, ResponseFormat, ResponseFormatJsonSchema,
};
use serde_json::Value;

use crate::case::Case;
use crate::code::{Code, Refusal};
use crate::config::SchemaMode;
use crate::evidence::Evidence;
use crate::evidence::redact::{self, Secret};
use crate::propose::prompt::{self, Prompt};
use crate::propose::ration::Ration;
use crate::propose::scope::Scope;
use crate::propose::{Answer, ProposeError, Proposed, Proposer, Usage, memory, model};

mod http;
mod tape;

pub use tape::Tape;

/// Where the model is, and how much it may cost.
#[derive(Debug, Clone)]
pub struct Settings {
    /// `https://api.openai.com/v1` or any endpoint of that kind; empty for a tape alone.
    pub base_url: String,
    /// The key; empty for endpoints that need none.
    pub key: Secret,
    /// The model's name.
    pub model: String,
    /// How it is told the form of the answer.
    pub schema_mode: SchemaMode,
    /// From the start of a call to its last byte.
    pub timeout: Duration,
    /// The longest wait between two calls, whatever `Retry-After` says.
    pub max_wait: Duration,
    /// The most tokens of an answer.
    pub max_completion_tokens: u32,
    /// The most calls for one finding, retries and rounds together.
    pub max_calls: u32,
    /// Millionths of a dollar for a thousand tokens of prompt and of completion; 0 if not known.
    pub price: (u64, u64),
    /// The most millionths of a dollar for one finding.
    pub max_cost: u64,
    /// Makes the prompt's fence differ; must be the same for a record and its replay.
    pub seed: String,
    /// Records calls, or plays them back.
    pub tape: Tape,
    /// What may be asked over all findings; without it only the limits of one finding count.
    pub ration: Option<Ration>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            base_url: "https://api.openai.com/v1".to_owned(),
            key: Secret::default(),
            model: String::new(),
            schema_mode: SchemaMode::Strict,
            timeout: Duration::from_secs(60),
            max_wait: Duration::from_secs(20),
            max_completion_tokens: 1_000,
            max_calls: 3,
            price: (0, 0),
            max_cost: 100_000,
            seed: String::new(),
            tape: Tape::Off,
            ration: None,
        }
    }
}

impl Settings {
    /// The same settings with answers from a directory, without any network.
    #[must_use]
    pub fn replaying(self, directory: impl Into<PathBuf>) -> Self {
        let tape = Tape::Replay(directory.into());
        Self { tape, ..self }
    }
}

/// A language model as a proposer.
#[derive(Debug)]
pub struct Model {
    settings: Settings,
    /// What each finding has cost, by the digest of its evidence.
    spent: Mutex<BTreeMap<String, Usage>>,
    /// What became of the endpoint in this run.
    outage: Mutex<Outage>,
}

impl Model {
    /// A model. Nothing is sent before the first case.
    pub fn new(settings: Settings) -> Self {
        Self {
            settings,
            spent: Mutex::default(),
            outage: Mutex::default(),
        }
    }

    /// The request for a case, exactly as it would be sent (the key is not part of it).
    pub fn request(&self, case: &Case<'_>, evidence: &Evidence, feedback: &[String]) -> Value {
        let scope = Scope::of(case);
        let body = self.body(case, evidence, &scope, feedback);
        serde_json::to_value(body).unwrap_or_default()
    }

    fn body(
        &self,
        case: &Case<'_>,
        evidence: &Evidence,
        scope: &Scope,
        feedback: &[String],
    ) -> CreateChatCompletionRequest {
        let schema = model::schema(scope, evidence);
        let written = schema.to_string();
        let in_prompt = matches!(
            self.settings.schema_mode,
            SchemaMode::JsonObject | SchemaMode::Prompt
        );
        let settings = prompt::Settings {
            seed: &self.settings.seed,
            schema: in_prompt.then_some(written.as_str()),
            feedback,
        };
        let prompt = Prompt::of(case, evidence, scope, &settings);
        let system = ChatCompletionRequestSystemMessage::from(prompt.system.as_str());
        let user = ChatCompletionRequestUserMessage::from(prompt.user.as_str());
        CreateChatCompletionRequest {
            model: self.settings.model.clone(),
            messages: vec![system.into(), user.into()],
            max_completion_tokens: Some(self.settings.max_completion_tokens),
            response_format: self.response_format(schema),
            ..CreateChatCompletionRequest::default()
        }
    }

    fn response_format(&self, schema: Value) -> Option<ResponseFormat> {
        let json_schema = |strict| ResponseFormat::JsonSchema {
            json_schema: ResponseFormatJsonSchema {
                description: None,
                name: "answer".to_owned(),
                schema,
                strict,
            },
        };
        match self.settings.schema_mode {
            SchemaMode::Strict => Some(json_schema(Some(true))),
            SchemaMode::JsonSchema => Some(json_schema(None)),
            SchemaMode::JsonObject => Some(ResponseFormat::JsonObject),
            SchemaMode::Prompt => None,
        }
    }

    fn spent(&self, finding: &str) -> Usage {
        let spent = self.spent.lock().unwrap_or_else(PoisonError::into_inner);
        spent.get(finding).copied().unwrap_or_default()
    }

    fn outage(&self) -> MutexGuard<'_, Outage> {
        self.outage.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn book(&self, finding: &str, usage: Usage) {
        let mut spent = self.spent.lock().unwrap_or_else(PoisonError::into_inner);
        *spent.entry(finding.to_owned()).or_default() += usage;
    }

    /// Why no further call is made for a finding, if so.
    fn over_budget(&self, spent: Usage, prompt_tokens: usize) -> Option<Refusal> {
        let next = Usage {
            calls: 1,
            prompt_tokens: u64::try_from(prompt_tokens).unwrap_or(u64::MAX),
            completion_tokens: u64::from(self.settings.max_completion_tokens),
            cost: 0,
        };
        let cost = spent.cost.saturating_add(self.cost(next));
        let why = if spent.calls >= self.settings.max_calls {
            format!(
                "{} calls of the model were made for this finding",
                spent.calls
            )
        } else if cost > self.settings.max_cost {
            format!(
                "another call could cost {cost} millionths of a dollar, at most {} are allowed",
                self.settings.max_cost
            )
        } else {
            return None;
        };
        Some(Refusal::new(
            Code::NoSafeFix,
            format!("{why}, none led to a safe fix"),
        ))
    }

    fn cost(&self, usage: Usage) -> u64 {
        let (prompt, completion) = self.settings.price;
        let of = |tokens: u64, price: u64| tokens.saturating_mul(price).div_ceil(1_000);
        of(usage.prompt_tokens, prompt).saturating_add(of(usage.completion_tokens, completion))
    }

    /// The endpoint's or the tape's reply to a request.
    fn reply(
        &self,
        body: &CreateChatCompletionRequest,
        calls: u32,
        usage: &mut Usage,
    ) -> Result<Reply, Failure> {
        let request = serde_json::to_value(body).unwrap_or_default();
        if let Some(reply) = self.settings.tape.before(&request)? {
            usage.calls += 1;
            return Ok(reply);
        }
        let answer = http::post(&self.settings, &request, calls, &mut usage.calls);
        self.outage().note(answer.as_ref().err());
        let bytes = answer?;
        self.settings.tape.after(&request, &bytes)?;
        Reply::read(&bytes)
    }
}

impl Proposer for Model {
    fn propose(
        &self,
        case: &Case<'_>,
        evidence: &Evidence,
        feedback: &[String],
    ) -> Result<Proposed, ProposeError> {
        let scope = Scope::of(case);
        let body = self.body(case, evidence, &scope, feedback);
        let finding = evidence.digest();
        let ration = self.settings.ration.as_ref();
        let known = memory::key(case, &scope, evidence);
        if let Some(ration) = ration
            && let Some(answer) = said_before(ration, case, &finding, &known, feedback)
        {
            return Ok(Proposed {
                answer: Some(answer),
                usage: Usage::default(),
            });
        }
        if let Some(silence) = &self.outage().down {
            return Err(unanswered(evidence, silence));
        }
        let spent = self.spent(&finding);
        let size = prompt::tokens(&serde_json::to_string(&body).unwrap_or_default());
        if let Some(refusal) = self.over_budget(spent, size) {
            return Ok(refused(refusal, Usage::default()));
        }
        let mut usage = Usage::default();
        let most = self.settings.max_calls.saturating_sub(spent.calls);
        let calls = ration.map_or(most, |r| r.reserve(most));
        if calls == 0 {
            return Ok(refused(budget_spent(), usage));
        }
        let reply = self.reply(&body, calls, &mut usage);
        if let Some(ration) = ration {
            let used = match &reply {
                // nobody charges for an error: an outage of a night must not use up the day
                Err(Failure::Silence(silence)) if !silence.billed => 0,
                // what was sent before it may have been charged for
                Err(Failure::TooLarge(_)) => usage.calls.saturating_sub(1),
                _ => usage.calls,
            };
            ration.give_back(calls.saturating_sub(used));
        }
        if let Ok(reply) = &reply {
            usage.prompt_tokens = reply
                .prompt_tokens
                .unwrap_or(u64::try_from(size).unwrap_or(0));
            usage.completion_tokens = reply.completion_tokens();
        }
        usage.cost = self.cost(usage);
        self.book(&finding, usage);
        match reply.and_then(|r| r.content()) {
            Ok(content) => {
                let answer = model::read(&content, &scope, evidence, &self.settings.model);
                let answer = answer.unwrap_or_else(Answer::Refuse);
                if let Some(ration) = ration {
                    ration.keep(known, &answer);
                }
                Ok(Proposed {
                    answer: Some(answer),
                    usage,
                })
            }
            Err(Failure::Answer(refusal)) => Ok(refused(refusal, usage)),
            Err(Failure::TooLarge(why)) => {
                let refusal = too_large(evidence, &why);
                // a refusal that cost nothing is not recalled after a restart: the endpoint may be another one
                usage.calls = usage.calls.saturating_sub(1);
                if let Some(ration) = ration {
                    ration.keep(known, &Answer::Refuse(refusal.clone()));
                }
                Ok(refused(refusal, usage))
            }
            Err(Failure::Silence(silence)) => Err(unanswered(evidence, &silence)),
        }
    }
}

fn unanswered(evidence: &Evidence, silence: &Silence) -> ProposeError {
    ProposeError {
        why: evidence.redactor().text(&silence.why).into_string(),
        passes: silence.passes,
    }
}

/// Waiting does not make a prompt smaller: it is an ending, and holds nothing else up.
fn too_large(evidence: &Evidence, why: &str) -> Refusal {
    let why = evidence.redactor().text(why).into_string();
    let message = format!("the model's endpoint takes no prompt of this size: {why}");
    Refusal::new(Code::ModelRefused, message)
}

/// An endpoint that answers nobody is not asked about the next finding: an outage takes the time of one, and
/// stalls in a row that of two, since one prompt may stall, or be minded by a wall, where others are not.
#[derive(Debug, Default)]
struct Outage {
    stalled: bool,
    down: Option<Silence>,
}

impl Outage {
    fn note(&mut self, failure: Option<&Failure>) {
        let Some(Failure::Silence(silence)) = failure else {
            self.stalled = false;
            return;
        };
        match silence.of {
            Of::Request => {}
            Of::Either if !self.stalled => self.stalled = true,
            Of::Either | Of::Endpoint => self.down = Some(silence.clone()),
        }
    }
}

/// What earlier passes were told, unless somebody wants to know again or it led to no fix.
fn said_before(
    ration: &Ration,
    case: &Case<'_>,
    evidence: &str,
    known: &str,
    feedback: &[String],
) -> Option<Answer> {
    if case.said.again {
        ration.forget(known);
    }
    if case.said.again || !feedback.is_empty() {
        return None;
    }
    let refused = ration
        .refused(evidence)
        .filter(|_| case.said.hints.is_empty());
    let refused = refused.cloned().map(Answer::Refuse);
    refused.or_else(|| ration.recall(known))
}

fn budget_spent() -> Refusal {
    let why = "no call of the model is left in this hour or day; it is asked again when there is";
    Refusal::new(Code::BudgetSpent, why)
}

fn refused(refusal: Refusal, usage: Usage) -> Proposed {
    Proposed {
        answer: Some(Answer::Refuse(refusal)),
        usage,
    }
}

/// Why there is no content.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Failure {
    /// There is an answer, and it cannot be used.
    Answer(Refusal),
    /// The request is larger than the endpoint ever takes, in its words.
    TooLarge(String),
    /// There is none.
    Silence(Silence),
}

/// What there was instead of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Silence {
    why: String,
    of: Of,
    /// Whether it may be over after a while.
    passes: bool,
    /// Whether the work may have been done, and charged for.
    billed: bool,
}

/// Whose fault a silence is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Of {
    /// That of the request, or the disk.
    Request,
    /// That of the request or of the endpoint.
    Either,
    /// That of the network, the endpoint, or the key: nothing else is answered either.
    Endpoint,
}

impl Failure {
    fn unusable(why: impl std::fmt::Display) -> Self {
        Self::Answer(model::unusable(redact::text(&why.to_string())))
    }

    /// This request is not answered.
    fn silence(why: impl std::fmt::Display) -> Self {
        Self::silent(why, Of::Request, false)
    }

    /// No request is answered, for a while.
    fn down(why: impl std::fmt::Display) -> Self {
        Self::silent(why, Of::Endpoint, true)
    }

    /// No request is answered until somebody changes something.
    fn closed(why: impl std::fmt::Display) -> Self {
        Self::silent(why, Of::Endpoint, false)
    }

    /// This one is not answered, or none.
    fn stalled(why: impl std::fmt::Display) -> Self {
        Self::silent(why, Of::Either, true)
    }

    /// This one is not let through, or none, until somebody changes something.
    fn barred(why: impl std::fmt::Display) -> Self {
        Self::silent(why, Of::Either, false)
    }

    fn too_large(why: impl std::fmt::Display) -> Self {
        Self::TooLarge(short(why))
    }

    fn silent(why: impl std::fmt::Display, of: Of, passes: bool) -> Self {
        Self::Silence(Silence {
            why: short(why),
            of,
            passes,
            billed: false,
        })
    }

    fn is_billed(&self) -> bool {
        matches!(self, Self::Silence(silence) if silence.billed)
    }

    /// The same, where the work may have been charged for.
    fn billed(mut self, is_so: bool) -> Self {
        if let Self::Silence(silence) = &mut self {
            silence.billed |= is_so;
        }
        self
    }
}

fn short(why: impl std::fmt::Display) -> String {
    let why: String = why.to_string().chars().take(600).collect();
    redact::text(&why).into_string()
}

/// The parts of a chat completion that count. More lenient than OpenAI's own type, which many
/// compatible endpoints do not fill.
#[derive(Debug, Clone, PartialEq)]
struct Reply {
    finish_reason: String,
    content: Option<String>,
    refusal: Option<String>,
    prompt_tokens: Option<u64>,
    completion_tokens: Option<u64>,
}

impl Reply {
    fn read(bytes: &[u8]) -> Result<Self, Failure> {
        let body: Value = serde_json::from_slice(bytes)
            .map_err(|e| Failure::unusable(format!("the response is no JSON: {e}")))?;
        let choice = body.pointer("/choices/0").cloned().unwrap_or_default();
        let text = |at: &str| {
            let text = choice.pointer(at).and_then(Value::as_str);
            text.filter(|t| !t.is_empty()).map(str::to_owned)
        };
        Ok(Self {
            finish_reason: text("/finish_reason").unwrap_or_default(),
            content: text("/message/content"),
            refusal: text("/message/refusal"),
            prompt_tokens: body.pointer("/usage/prompt_tokens").and_then(Value::as_u64),
            completion_tokens: body
                .pointer("/usage/completion_tokens")
                .and_then(Value::as_u64),
        })
    }

    fn completion_tokens(&self) -> u64 {
        let estimate = prompt::tokens(self.content.as_deref().unwrap_or_default());
        let estimate = u64::try_from(estimate).unwrap_or(0);
        self.completion_tokens.unwrap_or(estimate)
    }

    /// The content, once refusal and the end of the answer are known to be fine.
    fn content(self) -> Result<String, Failure> {
        if let Some(refusal) = self.refusal {
            let said: String = redact::text(&refusal).chars().take(300).collect();
            let message = format!("the model refused: {said}");
            return Err(Failure::Answer(Refusal::new(Code::ModelRefused, message)));
        }
        match self.finish_reason.as_str() {
            "length" => Err(Failure::unusable("it is cut at the limit of tokens")),
            "content_filter" => Err(Failure::Answer(Refusal::new(
                Code::ModelRefused,
                "the provider's content filter withheld the answer",
            ))),
            "tool_calls" | "function_call" => {
                Err(Failure::unusable("it calls a tool, and there is none"))
            }
            _ => self.content.ok_or_else(|| Failure::unusable("it is empty")),
        }
    }
}
