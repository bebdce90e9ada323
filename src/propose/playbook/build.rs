//! Small builders that keep plays short.

use serde_json::Value;

use crate::code::{Code, Refusal};
use crate::finding::Severity;
use crate::object::ObjectRef;
use crate::path::{FieldPath, Seg};
use crate::propose::{Answer, Choice, Claim, Op, Proposal, ProposedEdit, Question, Source, Unlock};

/// What a fix says beside its edits.
pub(super) struct Words {
    pub play: &'static str,
    pub title: String,
    pub diagnosis: Vec<String>,
    pub reason: String,
    pub after_merge: Vec<String>,
}

pub(super) fn proposal(words: Words, edits: Vec<ProposedEdit>) -> Proposal {
    Proposal {
        source: Source::Playbook(words.play),
        title: words.title,
        diagnosis: words.diagnosis.into_iter().map(Claim::fact).collect(),
        reason: words.reason.chars().take(500).collect(),
        risk: Severity::Medium,
        after_merge: words.after_merge,
        edits,
    }
}

pub(super) fn edit(
    object: &ObjectRef,
    path: FieldPath,
    op: Op,
    unlock: Unlock,
    basis: impl Into<String>,
) -> ProposedEdit {
    ProposedEdit {
        object: object.clone(),
        path,
        op,
        unlock,
        basis: basis.into(),
    }
}

/// `Set` where the manifest has a value, `Add` where it has none.
pub(super) fn put(manifest: &Value, path: &FieldPath, value: Value) -> Op {
    match path.get(manifest) {
        Some(old) if !old.is_null() => Op::Set(value),
        _ => Op::Add(value),
    }
}

/// An option that a person carries out by hand.
pub(super) fn by_hand(title: impl Into<String>) -> Choice {
    Choice {
        title: title.into(),
        proposal: None,
    }
}

/// An option with its change.
pub(super) fn change(proposal: Proposal) -> Choice {
    Choice {
        title: proposal.title.clone(),
        proposal: Some(proposal),
    }
}

pub(super) fn ask(
    code: Code,
    title: impl Into<String>,
    diagnosis: Vec<String>,
    options: Vec<Choice>,
) -> Answer {
    Answer::Ask(Question {
        code,
        title: title.into(),
        diagnosis: diagnosis.into_iter().map(Claim::fact).collect(),
        options,
    })
}

pub(super) fn refuse(code: Code, message: impl Into<String>) -> Answer {
    Answer::Refuse(Refusal::new(code, message))
}

/// `a, b and c`
pub(super) fn and(items: &[String]) -> String {
    match items {
        [] => String::new(),
        [only] => only.clone(),
        [head @ .., last] => format!("{} and {last}", head.join(", ")),
    }
}

/// An object with edits carried out, for trying a change before it is proposed.
pub(super) fn after(object: &Value, edits: &[ProposedEdit]) -> Value {
    let mut out = object.clone();
    for edit in edits {
        let path = edit.path.resolve(&out);
        let Some((parent, last)) = path.split_last() else {
            continue;
        };
        match &edit.op {
            Op::Set(value) | Op::Add(value) => {
                if let Some(at) = reach(&mut out, &parent, true) {
                    store(at, last, value.clone());
                }
            }
            Op::Remove => {
                if let Some(at) = reach(&mut out, &parent, false) {
                    drop_at(at, last);
                }
            }
        }
    }
    out
}

fn reach<'v>(value: &'v mut Value, path: &FieldPath, make: bool) -> Option<&'v mut Value> {
    let mut at = value;
    for seg in &path.0 {
        at = match seg {
            Seg::Key(key) => {
                if at.is_null() && make {
                    *at = Value::Object(serde_json::Map::new());
                }
                let map = at.as_object_mut()?;
                if make {
                    map.entry(key.clone()).or_insert(Value::Null)
                } else {
                    map.get_mut(key)?
                }
            }
            Seg::Index(index) => at.get_mut(*index)?,
            Seg::Named { .. } => return None,
        };
    }
    Some(at)
}

fn store(at: &mut Value, last: &Seg, value: Value) {
    match (last, at) {
        (Seg::Key(key), Value::Object(map)) => {
            map.insert(key.clone(), value);
        }
        (Seg::Key(key), at @ Value::Null) => *at = serde_json::json!({ key.clone(): value }),
        (Seg::Index(index), Value::Array(items)) => match items.get_mut(*index) {
            Some(item) => *item = value,
            None => items.push(value),
        },
        (Seg::Index(0), at @ Value::Null) => *at = Value::Array(vec![value]),
        _ => {}
    }
}

fn drop_at(at: &mut Value, last: &Seg) {
    match (last, at) {
        (Seg::Key(key), Value::Object(map)) => {
            map.shift_remove(key);
        }
        (Seg::Index(index), Value::Array(items)) if *index < items.len() => {
            items.remove(*index);
        }
        _ => {}
    }
}
