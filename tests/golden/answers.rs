//! What locate says about origins, broken roots and fields.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use kubemend::code::Code;
use kubemend::locate::Repository;
use kubemend::object::{ObjectRef, pod_spec_path};
use kubemend::path::{FieldPath, Seg};
use serde_json::Value;

use crate::{opened, records, text_of};

/// The object of a record.
pub(crate) fn object(record: &Value) -> ObjectRef {
    let namespace = record.get("namespace").and_then(Value::as_str);
    ObjectRef::new(
        "",
        text_of(record, "kind"),
        namespace,
        text_of(record, "name"),
    )
}

/// The field of a record, in the object.
pub(crate) fn field(record: &Value) -> FieldPath {
    let list = match record.get("init").and_then(Value::as_bool) {
        Some(true) => "initContainers",
        _ => "containers",
    };
    let base = pod_spec_path(text_of(record, "kind")).expect("a workload");
    let container = base.key(list).named(text_of(record, "container"));
    let below = text_of(record, "field")
        .split('/')
        .map(|part| match part.parse() {
            Ok(index) => Seg::Index(index),
            Err(_) => Seg::Key(part.to_owned()),
        });
    below.fold(container, |path, seg| path.then(seg))
}

pub(crate) fn origins() -> Result<(), String> {
    let (mut right, mut wrong) = (0, Vec::new());
    for (name, records) in records("kustomize-origins.jsonl") {
        let repository = opened(&name);
        for record in records.iter().filter(|r| r.get("error").is_none()) {
            match file_of(&repository, record) {
                Some(file) if file == text_of(record, "origin") => right += 1,
                other => wrong.push(format!("{name} {record}: {other:?}")),
            }
        }
    }
    println!("origins: {right} right, {} wrong", wrong.len());
    none_wrong(&wrong)
}

fn file_of(repository: &Repository<'_>, record: &Value) -> Option<String> {
    let wanted = object(record);
    let hit = repository.desired.iter().find(|d| {
        d.root.as_deref() == Some(text_of(record, "root"))
            && d.object.reference().same_object(&wanted)
    })?;
    Some(hit.file.clone())
}

pub(crate) fn broken_roots() -> Result<(), String> {
    let mut wrong = Vec::new();
    let mut count = 0;
    for (name, records) in records("kustomize-origins.jsonl") {
        let repository = opened(&name);
        let mut expected: BTreeMap<&str, &Value> = BTreeMap::new();
        for record in records.iter().filter(|r| r.get("error").is_some()) {
            expected.insert(text_of(record, "root"), record);
        }
        count += expected.len();
        let wanted_roots: std::collections::BTreeSet<&str> =
            records.iter().map(|r| text_of(r, "root")).collect();
        for (root, refusal) in repository.roots() {
            let error = expected.remove(root).map(|r| text_of(r, "error"));
            let code = refusal.map(|r| r.code);
            let fits = match error {
                None => code.is_none() || !wanted_roots.contains(root),
                Some("remote-base") => code == Some(Code::RemoteBase),
                Some("helm-generator") => code == Some(Code::ChartUnavailable),
                // A root may lack a file and read something outside as well: either is true.
                Some(_) => matches!(
                    code,
                    Some(Code::RenderFailed | Code::RemoteBase | Code::ChartUnavailable)
                ),
            };
            if !fits {
                wrong.push(format!("{name} {root}: {error:?}, but {refusal:?}"));
            }
        }
        wrong.extend(
            expected
                .keys()
                .map(|root| format!("{name} {root} is no root")),
        );
    }
    println!("broken roots: {count}, {} wrong", wrong.len());
    none_wrong(&wrong)
}

#[derive(Default)]
struct Tally {
    right: usize,
    beyond: usize,
    attributed: usize,
    other_reach: usize,
    refused: BTreeMap<Code, usize>,
    wrong: Vec<String>,
}

pub(crate) fn fields() -> Result<(), String> {
    let mut tally = Tally::default();
    let mut total = 0;
    for (name, records) in records("kustomize-fields.jsonl") {
        let repository = opened(&name);
        for record in &records {
            total += 1;
            judge(&repository, &name, record, &mut tally);
        }
    }
    let mut out = format!(
        "fields: {} of {} attributed right ({:.1} %), {} beyond the golden answers, {} wrong, {} of {total} refused",
        tally.right,
        tally.attributed,
        100.0 * tally.right as f64 / tally.attributed.max(1) as f64,
        tally.beyond,
        tally.wrong.len(),
        tally.refused.values().sum::<usize>(),
    );
    for (code, count) in &tally.refused {
        let _ = write!(out, "; {code} {count}");
    }
    println!("{out}; {} with another reach", tally.other_reach);
    none_wrong(&tally.wrong)
}

fn judge(repository: &Repository<'_>, name: &str, record: &Value, tally: &mut Tally) {
    let root = text_of(record, "root");
    let indirect = record.get("indirect").and_then(Value::as_bool) == Some(true);
    let file = record.get("file").and_then(Value::as_str);
    let line = record.get("line").and_then(Value::as_u64).unwrap_or(0);
    if file.is_some() && !indirect {
        tally.attributed += 1;
    }
    let site = match repository.locate_in(root, &object(record), &field(record)) {
        Ok(site) => site,
        Err(refusal) => {
            *tally.refused.entry(refusal.code).or_default() += 1;
            if std::env::var("KUBEMEND_GOLDEN_VERBOSE").is_ok() && file.is_some() && !indirect {
                println!("refused {name} {root} {record}: {refusal}");
            }
            return;
        }
    };
    match file {
        None => tally.beyond += 1,
        Some(file) if !indirect && file == site.file && line == site.line as u64 => {
            tally.right += 1;
            let mut others: Vec<&str> = site.affects.iter().map(String::as_str).collect();
            others.retain(|r| *r != root);
            let golden = record.get("other_roots").and_then(Value::as_array);
            let golden: Vec<&str> = golden
                .into_iter()
                .flatten()
                .filter_map(Value::as_str)
                .collect();
            if golden.iter().any(|g| !others.contains(g)) {
                tally
                    .wrong
                    .push(format!("{name} {record}: reaches only {others:?}"));
            } else if golden.len() != others.len() {
                tally.other_reach += 1;
            }
        }
        Some(_) => tally
            .wrong
            .push(format!("{name} {record}: {}:{}", site.file, site.line)),
    }
}

fn none_wrong(wrong: &[String]) -> Result<(), String> {
    if wrong.is_empty() {
        return Ok(());
    }
    let shown: Vec<&str> = wrong.iter().take(20).map(String::as_str).collect();
    Err(format!("{} wrong:\n{}", wrong.len(), shown.join("\n")))
}
