//! lock: the only way from an untrusted [`Proposal`] to a [`Plan`]. Pure; denies by default.
//!
//! Two gates, and the worst verdict wins. [`forbidden`] holds what no incident class can lift.
//! [`rows`] holds the positive allow-list: which fields a class of incident unlocks, with the
//! bounds of the value. Whatever is not unlocked is blocked with a stable code.
//! The full rule set replaces [`forbidden`]'s short list when it lands; the seam stays.

use serde_json::Value;

use crate::case::{Case, Desired};
use crate::code::Code;
use crate::environment;
use crate::object::Object;
use crate::path::{FieldPath, Seg};
use crate::propose::{Op, Proposal, ProposedEdit, Source};

mod facts;
mod forbidden;
mod hygiene;
mod place;
mod rows;
mod rule;
mod sensitive;
#[cfg(test)]
mod tests;

pub use facts::{KnownGood, equivalent, known_good};
pub use rows::{RowInfo, row_infos};
pub use rule::{Guardrail, guardrail, guardrails};

use place::Place;

/// What the operator may tighten or loosen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// Namespaces in which nothing is ever changed; `kube-*` is always among them.
    pub protected_namespaces: Vec<String>,
    /// Whether a memory limit may be raised after an OOM kill.
    pub raise_memory: bool,
    /// What names of branches start with.
    pub branch_prefix: String,
}

impl Default for Policy {
    fn default() -> Self {
        let names = [
            "argocd",
            "flux-system",
            "kyverno",
            "gatekeeper-system",
            "cert-manager",
            "istio-system",
            "monitoring",
            "kubemend",
        ];
        Self {
            protected_namespaces: names.map(str::to_owned).to_vec(),
            raise_memory: true,
            branch_prefix: crate::config::Rules::default().branch_prefix,
        }
    }
}

/// A change that was not let through.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Blocked {
    /// Why, as a stable code.
    pub code: Code,
    /// The object and the path.
    pub path: String,
    /// The value that was wanted, or `removal`.
    pub wanted: String,
    /// The rule and the reason, for people.
    pub reason: String,
}

/// One locked edit with its values before and after.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    /// What to do, where.
    pub edit: ProposedEdit,
    /// The value in Git before; none for an addition.
    pub before: Option<Value>,
    /// The value after; none for a removal.
    pub after: Option<Value>,
}

/// What may be carried out. Only [`lock`] makes one.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    changes: Vec<Change>,
    confirmations: Vec<String>,
    blocked: Vec<Blocked>,
}

impl Plan {
    /// The locked changes, at least one.
    pub fn changes(&self) -> &[Change] {
        &self.changes
    }
    /// Why a person has to confirm (a draft pull request); empty when nobody has to.
    pub fn confirmations(&self) -> &[String] {
        &self.confirmations
    }
    /// What the proposal wanted beside it, and did not get.
    pub fn blocked(&self) -> &[Blocked] {
        &self.blocked
    }
}

/// Whether a change needs a person's confirmation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Verdict {
    /// Inside the bounds.
    Allow,
    /// Inside the bounds, but a person confirms (rule id).
    Human(&'static str),
}

type Judged = Result<Verdict, (Code, String)>;

/// One edit with everything that a rule may look at.
struct Attempt<'a> {
    edit: &'a ProposedEdit,
    manifest: &'a Desired,
    place: Place,
    before: Option<&'a Value>,
    after: Option<&'a Value>,
    /// The object with all edits of the proposal applied.
    result: &'a Object,
    case: &'a Case<'a>,
    source: &'a Source,
    policy: &'a Policy,
    /// All edits of the proposal.
    siblings: &'a [ProposedEdit],
}

/// Locks a proposal: every edit passes both gates, or is blocked.
///
/// A playbook's proposal is all or nothing. Of a model's, blocked edits are dropped and reported;
/// if nothing remains there is no plan.
pub fn lock(proposal: &Proposal, case: &Case<'_>, policy: &Policy) -> Result<Plan, Vec<Blocked>> {
    let (mut changes, mut confirmations);
    let mut blocked = Vec::new();
    if proposal.edits.is_empty() || proposal.edits.len() > MAX_EDITS {
        let n = proposal.edits.len();
        return Err(vec![whole(
            Code::OutOfBounds,
            format!("a proposal has 1 to {MAX_EDITS} edits, this one has {n}"),
        )]);
    }
    let mut named = with_names(proposal, case);
    // a blocked edit is dropped, and the rest is judged again without it, until nothing more falls
    loop {
        let before = blocked.len();
        (changes, confirmations) = judge_all(&mut named, case, policy, &mut blocked);
        if blocked.len() == before || !matches!(proposal.source, Source::Model(_)) {
            break;
        }
    }
    let partial = !blocked.is_empty() && !matches!(proposal.source, Source::Model(_));
    if changes.is_empty() || partial {
        return Err(blocked);
    }
    confirmations.dedup();
    Ok(Plan {
        changes,
        confirmations,
        blocked,
    })
}

/// Judges every edit; blocked ones leave the proposal.
fn judge_all(
    proposal: &mut Proposal,
    case: &Case<'_>,
    policy: &Policy,
    blocked: &mut Vec<Blocked>,
) -> (Vec<Change>, Vec<String>) {
    let (mut changes, mut confirmations, mut kept) = (Vec::new(), Vec::new(), Vec::new());
    for edit in &proposal.edits {
        match judge(edit, proposal, case, policy) {
            Ok((change, verdict)) => {
                if let Verdict::Human(rule) = verdict {
                    let about = rows::about(edit.unlock);
                    confirmations.push(format!("{about}, at {} (rule {rule})", edit.path));
                }
                changes.push(change);
                kept.push(edit.clone());
            }
            Err(block) => blocked.push(block),
        }
    }
    proposal.edits = kept;
    (changes, confirmations)
}

/// The same proposal with list items addressed by name, so that rules see what a path means.
fn with_names(proposal: &Proposal, case: &Case<'_>) -> Proposal {
    let mut named = proposal.clone();
    for edit in &mut named.edits {
        if let Some(manifest) = case.desired(&edit.object) {
            edit.path = edit.path.by_name(&manifest.object.value);
        }
    }
    named
}

/// The most edits of one proposal.
pub const MAX_EDITS: usize = 10;

fn whole(code: Code, reason: String) -> Blocked {
    Blocked {
        code,
        path: String::new(),
        wanted: String::new(),
        reason,
    }
}

fn judge(
    edit: &ProposedEdit,
    proposal: &Proposal,
    case: &Case<'_>,
    policy: &Policy,
) -> Result<(Change, Verdict), Blocked> {
    let block = |code: Code, reason: String| Blocked {
        code,
        path: format!("{} {}", edit.object, edit.path),
        wanted: match &edit.op {
            Op::Set(v) | Op::Add(v) => short(v),
            Op::Remove => "removal".to_owned(),
        },
        reason,
    };
    let Some(manifest) = case.desired(&edit.object) else {
        return Err(match environment::places_of(case.desired, &edit.object) {
            Some(places) => block(
                Code::Ambiguous,
                format!("{} is defined several times: {places}", edit.object),
            ),
            None => block(
                Code::NotManaged,
                format!("{} is in no manifest of this repository", edit.object),
            ),
        });
    };
    let before = edit.path.get(&manifest.object.value);
    let after = match &edit.op {
        Op::Set(v) | Op::Add(v) => Some(v),
        Op::Remove => None,
    };
    shape(edit, before).map_err(|reason| block(Code::PathNotFound, reason))?;
    let result = applied(&manifest.object, &edit.object, &proposal.edits);
    let place = Place::of(manifest.object.kind(), &edit.path);
    let attempt = Attempt {
        edit,
        manifest,
        place,
        before,
        after,
        result: &result,
        case,
        source: &proposal.source,
        policy,
        siblings: &proposal.edits,
    };
    forbidden::check(&attempt).map_err(|(code, reason)| block(code, reason))?;
    sensitive::check(&attempt).map_err(|(code, reason)| block(code, reason))?;
    hygiene::check(&attempt).map_err(|(code, reason)| block(code, reason))?;
    let verdict = rows::check(&attempt).map_err(|(code, reason)| block(code, reason))?;
    let change = Change {
        edit: edit.clone(),
        before: before.cloned(),
        after: after.cloned(),
    };
    Ok((change, verdict))
}

/// Whether the operation fits what is at the path.
fn shape(edit: &ProposedEdit, before: Option<&Value>) -> Result<(), String> {
    match (&edit.op, before) {
        (Op::Set(_) | Op::Remove, None) => {
            Err(format!("there is no {} in the manifest", edit.path))
        }
        (Op::Add(_), Some(v)) if !v.is_null() => Err(format!("{} exists already", edit.path)),
        (Op::Set(new), Some(old)) if new == old => {
            Err(format!("{} has this value already", edit.path))
        }
        _ => Ok(()),
    }
}

/// The object after all edits of a proposal that target it.
fn applied(object: &Object, target: &crate::object::ObjectRef, edits: &[ProposedEdit]) -> Object {
    let mut result = object.clone();
    for edit in edits.iter().filter(|e| e.object.same_object(target)) {
        apply_op(&mut result.value, &edit.path, &edit.op);
    }
    result
}

/// Applies one operation to a value; an operation that does not fit changes nothing.
pub fn apply_op(value: &mut Value, path: &FieldPath, op: &Op) {
    let path = path.resolve(value);
    let Some((parent, last)) = path.split_last() else {
        return;
    };
    match op {
        Op::Remove => {
            let Some(parent) = get_mut(value, &parent) else {
                return;
            };
            match (parent, last) {
                (Value::Object(map), Seg::Key(key)) => {
                    map.shift_remove(key);
                }
                (Value::Array(items), Seg::Index(i)) if *i < items.len() => {
                    items.remove(*i);
                }
                _ => {}
            }
        }
        Op::Set(new) | Op::Add(new) => put(value, &path.0, new),
    }
}

fn get_mut<'v>(value: &'v mut Value, path: &FieldPath) -> Option<&'v mut Value> {
    path.0.iter().try_fold(value, |v, seg| match seg {
        Seg::Key(key) => v.get_mut(key),
        Seg::Index(i) => v.get_mut(*i),
        Seg::Named { .. } => None,
    })
}

/// Writes a value at a path, making missing mappings and lists on the way.
fn put(value: &mut Value, path: &[Seg], new: &Value) {
    let Some((first, rest)) = path.split_first() else {
        *value = new.clone();
        return;
    };
    match first {
        Seg::Key(key) => {
            if !value.is_object() {
                *value = Value::Object(serde_json::Map::new());
            }
            if let Some(map) = value.as_object_mut() {
                put(map.entry(key.clone()).or_insert(Value::Null), rest, new);
            }
        }
        Seg::Index(i) => {
            if !value.is_array() {
                *value = Value::Array(Vec::new());
            }
            if let Some(items) = value.as_array_mut() {
                if *i == items.len() {
                    items.push(Value::Null);
                }
                if let Some(item) = items.get_mut(*i) {
                    put(item, rest, new);
                }
            }
        }
        Seg::Named { .. } => {} // resolved before; an unresolved selector names nothing
    }
}

/// A value for people, cut to a readable length.
pub fn short(value: &Value) -> String {
    let text = match value {
        Value::String(s) => s.clone(),
        other => other.to_string(),
    };
    if text.chars().count() <= 120 {
        text
    } else {
        text.chars().take(117).chain("...".chars()).collect()
    }
}
