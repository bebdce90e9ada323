//! What a person answered on the forge, as a proposal. Pure, and untrusted like any other:
//! `lock` decides.

use crate::case::{Case, Said};
use crate::code::{Code, Refusal};
use crate::evidence::redact;
use crate::finding::{Severity, fact};
use crate::forge::identity::options_key;
use crate::near;
use crate::object::ObjectRef;
use crate::path::{FieldPath, Seg};
use crate::propose::scope::{Place, Scope};
use crate::propose::{Claim, Op, Proposal, ProposedEdit, Question, Source, Unlock, value};

/// The most keys that a text names.
const MAX_KEYS: usize = 12;

/// The proposal that an answer makes; none where nothing was answered.
pub fn proposal(
    said: &Said,
    case: &Case<'_>,
    question: Option<&Question>,
) -> Option<Result<Proposal, Refusal>> {
    if !said.set.is_empty() {
        return Some(with_values(said, case, question));
    }
    Some(chosen(said.chosen?, said.chosen_of.as_deref(), question))
}

/// Keys that `set` takes for this finding, short names first.
pub fn keys(case: &Case<'_>) -> Vec<String> {
    let scope = Scope::of(case);
    let mut keys: Vec<String> = missing_key(case).into_iter().map(|(k, ..)| k).collect();
    keys.extend(
        scope
            .places
            .iter()
            .filter(|p| is_scalar(p))
            .map(|p| short(&p.path)),
    );
    let mut seen = std::collections::BTreeSet::new();
    keys.retain(|k| seen.insert(k.clone()));
    keys.truncate(MAX_KEYS);
    keys
}

fn chosen(
    option: usize,
    of: Option<&str>,
    question: Option<&Question>,
) -> Result<Proposal, Refusal> {
    let Some(question) = question else {
        let message = "there is no question to choose for any more";
        return Err(Refusal::new(Code::NoSuchOption, message));
    };
    let offered = options_key(question.options.iter().map(|o| o.title.as_str()));
    if of.is_some_and(|of| of != offered) {
        let message = "the options have changed since one was chosen; choose again";
        return Err(Refusal::new(Code::NoSuchOption, message));
    }
    let options = question.options.len();
    let Some(choice) = option.checked_sub(1).and_then(|i| question.options.get(i)) else {
        let message = format!("option {option} was chosen, the question has 1 to {options}");
        return Err(Refusal::new(Code::NoSuchOption, message));
    };
    choice.proposal.clone().ok_or_else(|| {
        let message = format!("option {option} is made by hand: {}", choice.title);
        Refusal::new(Code::OptionByHand, message)
    })
}

fn with_values(
    said: &Said,
    case: &Case<'_>,
    question: Option<&Question>,
) -> Result<Proposal, Refusal> {
    let scope = Scope::of(case);
    let mut edits = Vec::new();
    for (key, text) in &said.set {
        edits.push(edit(key, text, case, &scope)?);
    }
    let names: Vec<&str> = said.set.iter().map(|(key, _)| key.as_str()).collect();
    let diagnosis = match question {
        Some(question) => question.diagnosis.clone(),
        None => vec![Claim::fact(case.finding.summary.clone())],
    };
    Ok(Proposal {
        source: Source::Person,
        title: format!("set {} of {}", names.join(", "), case.finding.object),
        diagnosis,
        reason: "The value was given by a person who may write to this repository.".to_owned(),
        risk: Severity::Medium,
        after_merge: Vec::new(),
        edits,
    })
}

fn edit(key: &str, text: &str, case: &Case<'_>, scope: &Scope) -> Result<ProposedEdit, Refusal> {
    let clean: &str = &redact::text(text);
    if clean != text {
        let message = format!("the value of {key} looks like a credential");
        return Err(Refusal::new(Code::MissingSecretInput, message));
    }
    let (object, path, unlock, current) = match missing_key(case) {
        Some((name, object, path)) if name == key => (object, path, Unlock::MissingConfig, None),
        _ => {
            let place = place(key, scope)?;
            let unlock = place.unlocks.first().copied();
            let unlock = unlock.ok_or_else(|| unknown(key, scope))?;
            let current = place.current.as_ref();
            (place.object.clone(), place.path.clone(), unlock, current)
        }
    };
    let value = value::read(text, current, &path)
        .map_err(|why| Refusal::new(Code::AmbiguousScalar, why))?;
    Ok(ProposedEdit {
        object,
        path,
        op: match current {
            Some(_) => Op::Set(value),
            None => Op::Add(value),
        },
        unlock,
        basis: "a person's answer".to_owned(),
    })
}

/// A key that a ConfigMap lacks: it may be added with a person's value.
fn missing_key(case: &Case<'_>) -> Option<(String, ObjectRef, FieldPath)> {
    let finding = case.finding;
    let key = finding.fact(fact::MISSING_KEY)?;
    let name = finding.fact(fact::MISSING_NAME)?;
    if finding.fact(fact::MISSING_KIND)? != "ConfigMap" {
        return None;
    }
    let namespace = finding.object.namespace.as_deref();
    let object = ObjectRef::new("v1", "ConfigMap", namespace, name);
    case.desired(&object)?;
    let path = FieldPath::default().key("data").key(key);
    Some((key.to_owned(), object, path))
}

/// The one place that a key means: its path, its short name, or the end of exactly one path.
fn place<'s>(key: &str, scope: &'s Scope) -> Result<&'s Place, Refusal> {
    let same = |p: &&Place| p.path.to_string() == key;
    let named = |p: &&Place| short(&p.path).eq_ignore_ascii_case(key);
    let ends = |p: &&Place| {
        p.path
            .to_string()
            .strip_suffix(key)
            .is_some_and(|rest| rest.ends_with(['.', ']']))
    };
    let tests: [&dyn Fn(&&Place) -> bool; 3] = [&same, &named, &ends];
    for test in tests {
        let hits: Vec<&Place> = scope
            .places
            .iter()
            .filter(|p| is_scalar(p) && test(p))
            .collect();
        match hits.as_slice() {
            [] => {}
            [one] => return Ok(one),
            several => {
                let paths: Vec<String> =
                    several.iter().take(5).map(|p| p.path.to_string()).collect();
                let message = format!("{key} could be {}", paths.join(" or "));
                return Err(Refusal::new(Code::Ambiguous, message));
            }
        }
    }
    Err(unknown(key, scope))
}

fn unknown(key: &str, scope: &Scope) -> Refusal {
    let known: Vec<String> = scope
        .places
        .iter()
        .filter(|p| is_scalar(p))
        .map(|p| short(&p.path))
        .collect();
    let known: Vec<&str> = known.iter().map(String::as_str).collect();
    let message = match (
        near::misspelled(key, known.iter().copied()),
        known.as_slice(),
    ) {
        (Some(one), _) => format!("{key} is nothing that may be set here; did you mean {one}?"),
        (None, []) => format!("{key} cannot be set: nothing may be set for this finding"),
        (None, some) => {
            let some = &some[..some.len().min(MAX_KEYS)];
            format!(
                "{key} is nothing that may be set here; {} may",
                some.join(", ")
            )
        }
    };
    Refusal::new(Code::NotUnlocked, message)
}

fn is_scalar(place: &Place) -> bool {
    let current = place.current.as_ref();
    !current.is_some_and(|v| v.is_object() || v.is_array())
}

/// `limit.memory`, `request.cpu`, `image`, or what comes after the container.
fn short(path: &FieldPath) -> String {
    let after_container = path
        .0
        .iter()
        .rposition(|s| matches!(s, Seg::Named { .. } | Seg::Index(_)));
    let tail = match path.0.as_slice() {
        [Seg::Key(data), Seg::Key(key)] if data == "data" => return key.clone(),
        all => FieldPath(
            all.get(after_container.map_or(0, |i| i + 1)..)
                .unwrap_or_default()
                .to_vec(),
        ),
    };
    let tail = tail.to_string();
    let tail = tail.strip_prefix("resources.").unwrap_or(&tail);
    match tail.split_once('.') {
        Some(("limits", what)) => format!("limit.{what}"),
        Some(("requests", what)) => format!("request.{what}"),
        _ if tail.is_empty() => path.to_string(),
        _ => tail.to_owned(),
    }
}
