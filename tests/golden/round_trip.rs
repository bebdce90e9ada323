//! Edit, render, compare: the whole way for golden fields, in place and in the overlay.

use std::collections::BTreeMap;

use kubemend::code::{Code, Refusal};
use kubemend::edit;
use kubemend::files::Files;
use kubemend::locate::{Located, Policy, Repository, SharedBase};
use kubemend::propose::{Op, ProposedEdit, Unlock};
use serde_json::Value;

use crate::answers::{field, object};
use crate::{open, opened, records, text_of};

type Changed = BTreeMap<String, Vec<u8>>;

#[derive(Default)]
struct Tally {
    in_place: usize,
    overlay: usize,
    refused: BTreeMap<Code, usize>,
    wrong: Vec<String>,
}

pub(crate) fn run(sample: Option<usize>) -> Result<(), String> {
    let mut tally = Tally::default();
    let by_tree = records("kustomize-fields.jsonl");
    let count: usize = by_tree.values().flatten().filter(|r| is_exact(r)).count();
    let stride = sample.map_or(1, |n| count.div_ceil(n));
    let mut number = 0;
    for (name, records) in &by_tree {
        let wanted: Vec<&Value> = records
            .iter()
            .filter(|r| is_exact(r))
            .filter(|_| {
                number += 1;
                (number + stride / 2).is_multiple_of(stride)
            })
            .collect();
        if wanted.is_empty() {
            continue;
        }
        let overlay = opened(name);
        let base = overlay.with_policy(Policy {
            shared_base: SharedBase::Base,
        });
        for record in wanted {
            let whole = one_in_place(&base, record)
                .and_then(|()| one_by_policy(&overlay, record, &mut tally));
            if let Err(message) = whole {
                tally.wrong.push(format!("{name} {record}: {message}"));
            } else {
                tally.in_place += 1;
            }
        }
    }
    println!(
        "round trips: {} in place as predicted, {} proven under the default policy, {:?} refused there, {} wrong",
        tally.in_place,
        tally.overlay,
        tally.refused,
        tally.wrong.len()
    );
    match tally.wrong.is_empty() {
        true => Ok(()),
        false => Err(tally
            .wrong
            .iter()
            .take(20)
            .cloned()
            .collect::<Vec<_>>()
            .join("\n")),
    }
}

fn is_exact(record: &Value) -> bool {
    record.get("effects").is_some_and(Value::is_u64)
}

/// The change of one line moves exactly the predicted leaves.
fn one_in_place(repository: &Repository<'_>, record: &Value) -> Result<(), String> {
    let root = text_of(record, "root");
    let edit = proposed(repository, record)?;
    let located = match repository.plan_in(root, &edit) {
        Err(refusal) if refusal.code == Code::ImageAutomation => return Ok(()),
        other => other.map_err(|r| r.to_string())?,
    };
    let changed = apply(repository.files, &located).map_err(|r| r.to_string())?;
    one_line_differs(repository.files, &changed)?;
    let effects = repository.effects(&changed).map_err(|r| r.to_string())?;
    let own = effects.get(root).copied().unwrap_or(0) as u64;
    let others: Vec<&str> = effects
        .keys()
        .map(String::as_str)
        .filter(|r| *r != root)
        .collect();
    let golden = record.get("other_roots").and_then(Value::as_array);
    let mut golden: Vec<&str> = golden
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    golden.sort_unstable();
    if Some(own) != record.get("effects").and_then(Value::as_u64) || others != golden {
        return Err(format!("{own} leaves in its root, others {others:?}"));
    }
    Ok(())
}

/// Under the default policy the change is proven to be the only one, or refused.
fn one_by_policy(
    repository: &Repository<'_>,
    record: &Value,
    tally: &mut Tally,
) -> Result<(), String> {
    let root = text_of(record, "root");
    let edit = proposed(repository, record)?;
    let outcome = repository.plan_in(root, &edit).and_then(|located| {
        let changed = apply(repository.files, &located)?;
        repository.prove_in(Some(root), &changed, std::slice::from_ref(&edit))?;
        Ok(changed)
    });
    match outcome {
        Ok(changed) => {
            let effects = repository.effects(&changed).map_err(|r| r.to_string())?;
            if effects != BTreeMap::from([(root.to_owned(), 1)]) {
                return Err(format!("proven, but the effects are {effects:?}"));
            }
            tally.overlay += 1;
            already_so(repository, root, &changed, &edit)
        }
        Err(refusal) => {
            if std::env::var("KUBEMEND_GOLDEN_VERBOSE").is_ok() {
                println!("{root} {}: {refusal}", text_of(record, "field"));
            }
            *tally.refused.entry(refusal.code).or_default() += 1;
            Ok(())
        }
    }
}

fn already_so(
    repository: &Repository<'_>,
    root: &str,
    changed: &Changed,
    edit: &ProposedEdit,
) -> Result<(), String> {
    let all = repository.files.with(changed);
    let of_root = repository.files_of_root(root);
    let files = Files {
        by_path: all
            .by_path
            .into_iter()
            .filter(|(p, _)| of_root.contains(p))
            .collect(),
    };
    let again = open(&files, Policy::default());
    match again.plan_in(root, edit) {
        Err(refusal) if refusal.code == Code::AlreadyFixed => Ok(()),
        other => Err(format!("a second run says {other:?}")),
    }
}

fn proposed(repository: &Repository<'_>, record: &Value) -> Result<ProposedEdit, String> {
    let (object, path) = (object(record), field(record));
    let desired = repository
        .desired
        .iter()
        .find(|d| {
            d.root.as_deref() == Some(text_of(record, "root"))
                && d.object.reference().same_object(&object)
        })
        .ok_or("not rendered")?;
    let old = path.get(&desired.object.value).ok_or("no such field")?;
    Ok(ProposedEdit {
        object: desired.object.reference(),
        op: Op::Set(another(old, text_of(record, "field"))),
        path,
        unlock: Unlock::LastHealthyTemplate,
        basis: "test".to_owned(),
    })
}

fn another(old: &Value, field: &str) -> Value {
    match old {
        Value::Number(n) => Value::from(n.as_i64().unwrap_or(0) + 1),
        Value::String(text) if field == "image" => {
            let name = text.split('@').next().unwrap_or_default();
            let slash = name.rfind('/').map_or(0, |i| i + 1);
            let colon = name[slash..].find(':').map_or(name.len(), |i| slash + i);
            Value::from(format!("{}:kubemend-test", &name[..colon]))
        }
        Value::String(text) => Value::from(format!("{text}x")),
        other => other.clone(),
    }
}

fn apply(files: &Files, located: &Located) -> Result<Changed, Refusal> {
    let one = |(file, edits): (&String, &Vec<_>)| {
        let edited = edit::apply(files.get(file).unwrap_or_default(), edits)?;
        Ok((file.clone(), edited.bytes))
    };
    located.edits.iter().map(one).collect()
}

fn one_line_differs(files: &Files, changed: &Changed) -> Result<(), String> {
    for (file, new) in changed {
        let old = String::from_utf8_lossy(files.get(file).unwrap_or_default());
        let new = String::from_utf8_lossy(new);
        let differ = old.lines().zip(new.lines()).filter(|(a, b)| a != b).count();
        if old.lines().count() != new.lines().count() || differ != 1 {
            return Err(format!("{file}: {differ} lines differ"));
        }
    }
    Ok(())
}
