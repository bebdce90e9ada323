//! Every scalar of every real YAML file, edited once: proven right or refused, never wrong.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use kubemend::edit::{self, FileEdit};
use kubemend::manifest::{Tree, read_value, split};
use kubemend::path::FieldPath;
use kubemend::propose::Op;
use libtest_mimic::{Failed, Trial};
use serde_json::Value;

use crate::shared;

const MOST_EDITS_A_FILE: usize = 40;

pub(crate) fn trials() -> Vec<Trial> {
    vec![shared::trial(
        "every_scalar_of_the_corpus_is_edited_rightly_or_refused",
        "corpus",
        |root| run(&root),
    )]
}

#[derive(Default)]
struct Tally {
    edits: usize,
    files: usize,
    unreadable: BTreeMap<String, usize>,
    refused: BTreeMap<String, usize>,
    unproven: Vec<String>,
    wrong: Vec<String>,
}

fn run(root: &Path) -> Result<(), Failed> {
    let mut files = Vec::new();
    yaml_files(root, &mut files);
    files.sort();
    let mut tally = Tally::default();
    let mut seed = 0x5eed_u64;
    for file in &files {
        one_file(file, &mut seed, &mut tally);
    }
    println!(
        "{} edits in {} files, {} wrong",
        tally.edits,
        tally.files,
        tally.wrong.len()
    );
    println!("refused by code: {:?}", tally.refused);
    println!("documents that are not read: {:?}", tally.unreadable);
    println!(
        "refused by the proof:\n{}",
        tally
            .unproven
            .iter()
            .take(25)
            .cloned()
            .collect::<Vec<_>>()
            .join("\n")
    );
    shared::none("edits are wrong", &tally.wrong)
}

fn yaml_files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap().flatten() {
        let path = entry.path();
        if path.is_dir() {
            yaml_files(&path, found);
        } else if path.extension().is_some_and(|e| e == "yaml" || e == "yml") {
            found.push(path);
        }
    }
}

fn one_file(file: &Path, seed: &mut u64, tally: &mut Tally) {
    let Ok(text) = std::fs::read_to_string(file) else {
        return;
    };
    tally.files += 1;
    let mut sites: Vec<(usize, FieldPath)> = Vec::new();
    for (document, slice) in split(&text).iter().enumerate() {
        match Tree::parse(slice.of(&text)) {
            Ok(tree) => sites.extend(tree.scalars().into_iter().map(|(p, _)| (document, p))),
            Err(refusal) => {
                *tally
                    .unreadable
                    .entry(refusal.code.to_string())
                    .or_default() += 1
            }
        }
    }
    while sites.len() > MOST_EDITS_A_FILE {
        let index = usize::try_from(next(seed)).unwrap() % sites.len();
        sites.swap_remove(index);
    }
    for (document, path) in sites {
        let edit = random_edit(document, path, seed);
        tally.edits += 1;
        let result = catch_unwind(AssertUnwindSafe(|| {
            edit::apply(text.as_bytes(), std::slice::from_ref(&edit))
        }));
        let name = || {
            format!(
                "{} document {document} {} {:?}",
                file.display(),
                edit.path,
                edit.op
            )
        };
        match result {
            Err(_) => tally.wrong.push(format!("panic: {}", name())),
            Ok(Err(refusal)) => {
                if refusal.code == kubemend::code::Code::NotVerifiable {
                    tally
                        .unproven
                        .push(format!("{}: {}", name(), refusal.message));
                }
                *tally.refused.entry(refusal.code.to_string()).or_default() += 1;
            }
            Ok(Ok(edited)) => {
                if !is_right(&text, &edit, &String::from_utf8(edited.bytes).unwrap()) {
                    tally.wrong.push(name());
                }
            }
        }
    }
}

/// A third reader sees the value at its place, and everything else as it was.
fn is_right(old: &str, edit: &FileEdit, new: &str) -> bool {
    let (before, after) = (split(old), split(new));
    if before.len() != after.len() {
        return false;
    }
    before
        .iter()
        .zip(&after)
        .enumerate()
        .all(|(index, (b, a))| {
            let (b, a) = (b.of(old), a.of(new));
            if index != edit.document {
                return b == a;
            }
            let (Ok(mut expected), Ok(found)) = (read_value(b), read_value(a)) else {
                return read_value(b).is_err();
            };
            place(&mut expected, edit).is_none_or(|()| expected == found)
        })
}

fn place(value: &mut Value, edit: &FileEdit) -> Option<()> {
    let pointer: String = edit
        .path
        .0
        .iter()
        .map(|seg| match seg {
            kubemend::path::Seg::Key(k) => format!("/{}", k.replace('~', "~0").replace('/', "~1")),
            kubemend::path::Seg::Index(i) => format!("/{i}"),
            kubemend::path::Seg::Named { .. } => String::new(),
        })
        .collect();
    match &edit.op {
        Op::Set(new) => *value.pointer_mut(&pointer)? = new.clone(),
        Op::Remove => {
            let (parent, last) = edit.path.split_last()?;
            let parent = pointer
                .strip_suffix(&pointer[pointer.rfind('/')?..])
                .map(|p| (p, parent))?
                .0;
            match (value.pointer_mut(parent)?, last) {
                (Value::Object(map), kubemend::path::Seg::Key(k)) => drop(map.shift_remove(k)?),
                (Value::Array(items), kubemend::path::Seg::Index(i)) => drop(items.remove(*i)),
                _ => return None,
            }
        }
        Op::Add(_) => return None,
    }
    Some(())
}

fn random_edit(document: usize, path: FieldPath, seed: &mut u64) -> FileEdit {
    let values = [
        "changed",
        "1.10",
        "yes",
        "a: b # c",
        "registry.example/app:2.0",
        "line one\nline two\n",
        "",
        "0755",
    ];
    let op = match next(seed) % 10 {
        0 => Op::Remove,
        1 => Op::Set(7.into()),
        2 => Op::Set(serde_json::json!({"key": "value", "list": ["a", {"b": true}]})),
        n => Op::Set(values[usize::try_from(n + next(seed)).unwrap() % values.len()].into()),
    };
    FileEdit {
        document,
        path,
        op,
        expected: None,
        inner: None,
    }
}

/// A small generator of pseudo-random numbers, the same on every machine.
fn next(seed: &mut u64) -> u64 {
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    *seed >> 11
}
