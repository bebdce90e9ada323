//! What a model answers: its schema, and the way from a hostile text to an [`Answer`]. Pure.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::code::{Code, Refusal};
use crate::evidence::{Evidence, visible};
use crate::finding::Severity;
use crate::object::ObjectRef;
use crate::path::FieldPath;
use crate::propose::scope::Scope;
use crate::propose::{Answer, Choice, Claim, Op, Proposal, ProposedEdit, Question, Source, Unlock};
use crate::propose::{strict, value};

/// The most bytes of an answer.
pub const MAX_ANSWER: usize = 64 << 10;

/// The answer of a model, as its schema says. Everything in it is untrusted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ModelAnswer {
    /// What is broken and why, statement by statement.
    #[schemars(length(min = 1, max = 8))]
    pub diagnosis: Vec<ModelClaim>,
    /// Imperative subject line of the change, the question or the refusal.
    pub summary: String,
    /// How risky the change is.
    pub risk: ModelRisk,
    /// Why the change fixes the cause, 10 to 500 characters.
    pub reason: String,
    /// The change; empty if there is none.
    #[schemars(length(max = 10))]
    pub edits: Vec<ModelEdit>,
    /// Why no safe change exists; null if there is one.
    pub no_safe_fix: Option<String>,
    /// What a person has to decide; null if nothing.
    pub question: Option<ModelQuestion>,
}

/// One statement.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ModelClaim {
    /// One sentence.
    pub text: String,
    /// Evidence ids, at least one.
    #[schemars(length(min = 1, max = 6))]
    pub cites: Vec<String>,
}

/// How risky a change is.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs, reason = "the same words as Severity")]
pub enum ModelRisk {
    Low,
    Medium,
    High,
    Critical,
}

/// One change of one field.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ModelEdit {
    /// The object.
    pub object: String,
    /// The field.
    pub path: String,
    /// What to do there.
    pub op: ModelOp,
    /// The new value: a plain scalar, or JSON for a list or a mapping; null for a removal.
    pub value: Option<String>,
    /// The allow-list row that unlocks the field.
    pub unlock: String,
}

/// What to do at a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs, reason = "the same words as Op")]
pub enum ModelOp {
    Set,
    Add,
    Remove,
}

/// A decision for a person.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ModelQuestion {
    /// The question, one sentence.
    pub title: String,
    /// What could be done, one sentence each.
    #[schemars(length(min = 1, max = 5))]
    pub options: Vec<String>,
}

/// The schema of an answer to one finding: strict, and narrowed to its scope and evidence.
pub fn schema(scope: &Scope, evidence: &Evidence) -> Value {
    let mut schema = schemars::schema_for!(ModelAnswer).to_value();
    strict::normalise(&mut schema);
    let objects: Vec<String> = scope.objects.iter().map(ToString::to_string).collect();
    let mut paths: Vec<String> = scope.places.iter().map(|p| p.path.to_string()).collect();
    paths.sort_unstable();
    paths.dedup();
    let rows: Vec<String> = scope
        .rows
        .iter()
        .map(|r| format!("{:?}", r.unlock))
        .collect();
    let ids: Vec<&str> = evidence.items.iter().map(|i| i.id.as_str()).collect();
    narrow(
        &mut schema,
        "/$defs/ModelClaim/properties/cites/items",
        &json!(ids),
    );
    narrow(
        &mut schema,
        "/$defs/ModelEdit/properties/object",
        &json!(objects),
    );
    narrow(
        &mut schema,
        "/$defs/ModelEdit/properties/unlock",
        &json!(rows),
    );
    if !scope.open {
        narrow(
            &mut schema,
            "/$defs/ModelEdit/properties/path",
            &json!(paths),
        );
    }
    if scope.is_empty()
        && let Some(edits) = schema.pointer_mut("/properties/edits")
        && let Some(edits) = edits.as_object_mut()
    {
        edits.insert("maxItems".to_owned(), json!(0));
    }
    schema
}

/// Replaces a text by one of a few texts.
fn narrow(schema: &mut Value, at: &str, values: &Value) {
    let some = values.as_array().is_some_and(|v| !v.is_empty());
    if let (true, Some(place)) = (some, schema.pointer_mut(at)) {
        *place = json!({"type": "string", "enum": values});
    }
}

/// Reads an answer. Whatever does not hold to the contract refuses the whole answer.
pub fn read(
    text: &str,
    scope: &Scope,
    evidence: &Evidence,
    model: &str,
) -> Result<Answer, Refusal> {
    if text.len() > MAX_ANSWER {
        let bytes = text.len();
        return Err(unusable(format!(
            "it has {bytes} bytes, at most {MAX_ANSWER}"
        )));
    }
    let text = value::unfenced(text);
    // Typed first: this rejects unknown fields, repeated keys and deep nesting.
    let answer: ModelAnswer = serde_json::from_str(text).map_err(|e| unusable(e.to_string()))?;
    conform(text, &schema(scope, evidence))?;
    let reader = Reader {
        scope,
        evidence,
        model,
    };
    reader.answer(answer)
}

/// Checks an answer against the very schema that was sent.
fn conform(text: &str, schema: &Value) -> Result<(), Refusal> {
    let value: Value = serde_json::from_str(text).map_err(|e| unusable(e.to_string()))?;
    let validator = jsonschema::validator_for(schema)
        .map_err(|e| unusable(format!("the schema cannot be compiled: {e}")))?;
    validator.validate(&value).map_err(|e| {
        let what: String = e.to_string().chars().take(200).collect();
        unusable(format!("{}: {what}", e.instance_path()))
    })
}

/// The refusal of an answer that cannot be used.
pub fn unusable(why: impl std::fmt::Display) -> Refusal {
    let why: String = why.to_string().chars().take(400).collect();
    Refusal::new(
        Code::ModelUnusable,
        format!("the model's answer was not used: {why}"),
    )
}

struct Reader<'a> {
    scope: &'a Scope,
    evidence: &'a Evidence,
    model: &'a str,
}

impl Reader<'_> {
    fn answer(&self, answer: ModelAnswer) -> Result<Answer, Refusal> {
        let diagnosis = self.claims(&answer.diagnosis)?;
        let edits = !answer.edits.is_empty();
        match (edits, answer.no_safe_fix.as_deref(), &answer.question) {
            (true, None, None) => self.fix(&answer, diagnosis),
            (false, None, Some(question)) => self.ask(question, diagnosis),
            (false, Some(why), _) => Ok(Answer::Refuse(Refusal::new(
                Code::NoSafeFix,
                self.prose(why, 500),
            ))),
            (false, None, None) => Err(unusable("it has no edit, no question and no refusal")),
            _ => Err(unusable("it has edits and says that there is none to make")),
        }
    }

    /// The statements that cite evidence that there is; the others are dropped.
    fn claims(&self, claims: &[ModelClaim]) -> Result<Vec<Claim>, Refusal> {
        let kept: Vec<Claim> = claims
            .iter()
            .filter_map(|claim| {
                let mut cites = claim.cites.clone();
                cites.retain(|id| self.evidence.item(id).is_some());
                cites.dedup();
                let text = self.prose(&claim.text, 400);
                (!cites.is_empty() && !text.is_empty()).then_some(Claim { text, cites })
            })
            .collect();
        if kept.is_empty() {
            return Err(unusable("no statement of its diagnosis cites evidence"));
        }
        Ok(kept)
    }

    fn fix(&self, answer: &ModelAnswer, diagnosis: Vec<Claim>) -> Result<Answer, Refusal> {
        let reason = self.prose(&answer.reason, usize::MAX);
        let length = reason.chars().count();
        if !(10..=500).contains(&length) {
            return Err(unusable(format!(
                "its reason has {length} characters, not 10 to 500"
            )));
        }
        let edits: Result<Vec<ProposedEdit>, Refusal> =
            answer.edits.iter().map(|e| self.edit(e)).collect();
        let edits = edits?;
        if repeated(&edits) {
            return Err(unusable("two of its edits touch the same place"));
        }
        Ok(Answer::Fix(Proposal {
            source: Source::Model(self.model.to_owned()),
            title: self.prose(&answer.summary, 120),
            diagnosis,
            reason,
            risk: severity(answer.risk),
            after_merge: Vec::new(),
            edits,
        }))
    }

    fn ask(&self, question: &ModelQuestion, diagnosis: Vec<Claim>) -> Result<Answer, Refusal> {
        let options: Vec<Choice> = question
            .options
            .iter()
            .map(|o| self.prose(o, 300))
            .filter(|o| !o.is_empty())
            .map(|title| Choice {
                title,
                proposal: None,
            })
            .collect();
        let title = self.prose(&question.title, 300);
        if options.is_empty() || title.is_empty() {
            return Err(unusable("its question is empty"));
        }
        Ok(Answer::Ask(Question {
            code: Code::OwnerDecision,
            title,
            diagnosis,
            options,
        }))
    }

    fn edit(&self, edit: &ModelEdit) -> Result<ProposedEdit, Refusal> {
        let path: FieldPath = edit.path.parse().map_err(unusable)?;
        let object = self.object(&edit.object)?;
        let allowed = self.scope.unlocks(&object, &path);
        let unlock = self.unlock(&edit.unlock, &allowed).ok_or_else(|| {
            unusable(format!(
                "{} of {object} is not offered for this finding",
                edit.path
            ))
        })?;
        let op = self.op(edit, &object, &path)?;
        Ok(ProposedEdit {
            object,
            path,
            op,
            unlock,
            basis: format!("proposed by the model {}", self.model),
        })
    }

    fn object(&self, name: &str) -> Result<ObjectRef, Refusal> {
        let named = |o: &&ObjectRef| o.to_string() == name;
        let found = self.scope.objects.iter().find(named);
        found
            .cloned()
            .ok_or_else(|| unusable("it names an object that was not offered"))
    }

    /// The row that the model names, where it unlocks the field; else the only one that does.
    fn unlock(&self, name: &str, allowed: &[Unlock]) -> Option<Unlock> {
        let named = allowed.iter().find(|u| format!("{u:?}") == name);
        named.or(allowed.first()).copied()
    }

    /// Whether a field is set or added follows from Git, not from the model's word.
    fn op(&self, edit: &ModelEdit, object: &ObjectRef, path: &FieldPath) -> Result<Op, Refusal> {
        let current = self.scope.current(object, path);
        let text = match (edit.op, &edit.value) {
            (ModelOp::Remove, _) => return Ok(Op::Remove),
            (_, Some(text)) => text,
            (_, None) => return Err(unusable(format!("{} has no value", edit.path))),
        };
        let value = value::read(text, current, path).map_err(unusable)?;
        Ok(match current {
            Some(_) => Op::Set(value),
            None => Op::Add(value),
        })
    }

    /// One line of the model's own words, without anything invisible.
    fn prose(&self, text: &str, max: usize) -> String {
        let text = visible(text);
        let words: Vec<&str> = text.split_whitespace().collect();
        let line = self.evidence.redactor().text(&words.join(" "));
        line.chars().take(max).collect()
    }
}

/// Whether an edit touches what another one touches, or something inside of it.
fn repeated(edits: &[ProposedEdit]) -> bool {
    edits.iter().enumerate().any(|(i, edit)| {
        edits
            .iter()
            .skip(i + 1)
            .filter(|other| other.object == edit.object)
            .any(|other| other.path.starts_with(&edit.path) || edit.path.starts_with(&other.path))
    })
}

fn severity(risk: ModelRisk) -> Severity {
    match risk {
        ModelRisk::Low => Severity::Low,
        ModelRisk::Medium => Severity::Medium,
        ModelRisk::High => Severity::High,
        ModelRisk::Critical => Severity::Critical,
    }
}

#[cfg(test)]
mod tests;
