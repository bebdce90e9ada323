//! Hand-made edits with the exact bytes or the refusal that is wanted.

use kubemend::edit::{self, FileEdit};
use kubemend::manifest::{Tree, split};
use kubemend::path::{FieldPath, Seg};
use kubemend::propose::Op;
use libtest_mimic::Trial;
use serde_json::Value;

use crate::shared;

pub(crate) fn trials() -> Vec<Trial> {
    vec![shared::trial(
        "nasty_edits_give_the_exact_bytes_or_the_refusal",
        "design/yaml-nasty.jsonl",
        |path| {
            let cases = shared::lines(&path);
            let failures: Vec<String> = cases.iter().filter_map(failure).collect();
            println!(
                "nasty edits: {} of {} as stated",
                cases.len() - failures.len(),
                cases.len()
            );
            shared::none("cases are not as stated", &failures)
        },
    )]
}

fn failure(case: &Value) -> Option<String> {
    let before = case["before"].as_str()?;
    let edits: Vec<FileEdit> = match &case["edit"] {
        Value::Array(list) => list.iter().map(|e| edit_of(before, e)).collect(),
        one => vec![edit_of(before, one)],
    };
    let also = case["also"].as_array().cloned().unwrap_or_default();
    let wanted: Vec<&str> = case["after"]
        .as_str()
        .into_iter()
        .chain(also.iter().filter_map(Value::as_str))
        .collect();
    let result = edit::apply(before.as_bytes(), &edits);
    let fine = match &result {
        Ok(edited) => wanted.iter().any(|w| w.as_bytes() == edited.bytes),
        Err(refusal) => case["refuse"].as_str() == Some(refusal.code.as_str()),
    };
    let shown = result
        .map(|e| String::from_utf8(e.bytes).unwrap())
        .map_err(|r| r.to_string());
    (!fine).then(|| {
        format!(
            "{} {}: {shown:?}, wanted {wanted:?} or {}",
            case["id"], case["name"], case["refuse"]
        )
    })
}

/// An edit of the case format; `text` is what its document index counts in.
fn edit_of(text: &str, edit: &Value) -> FileEdit {
    let document = usize::try_from(edit["doc"].as_u64().unwrap()).unwrap();
    let segs = edit["path"]
        .as_array()
        .unwrap()
        .iter()
        .map(|seg| match seg {
            Value::String(key) => Seg::Key(key.clone()),
            index => Seg::Index(usize::try_from(index.as_u64().unwrap()).unwrap()),
        });
    let mut path = FieldPath(segs.collect());
    let slice = split(text)[document].of(text);
    let tree = Tree::parse(slice).ok();
    let value = edit["value"].clone();
    let op = match edit["op"].as_str().unwrap() {
        "set" | "replace" => Op::Set(value),
        "remove" => Op::Remove,
        "add" => {
            path = path.key(edit["key"].as_str().unwrap());
            Op::Add(value)
        }
        "append" => {
            let length = tree
                .as_ref()
                .and_then(|t| t.at(&path).ok())
                .map_or(0, |n| n.items().len());
            path = path.index(length);
            Op::Add(value)
        }
        other => panic!("unknown op {other}"),
    };
    let inner = edit.get("inner").map(|inner| {
        let within = tree
            .as_ref()
            .and_then(|t| t.at(&path).ok())
            .and_then(|n| n.text())
            .unwrap_or_default();
        Box::new(edit_of(within, inner))
    });
    FileEdit {
        document,
        path,
        op,
        expected: None,
        inner,
    }
}
