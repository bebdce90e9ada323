//! A text, a choice of place, and a value: an accepted edit is what a third reader expects there.
#![no_main]

use kubemend::edit::{FileEdit, apply};
use kubemend::manifest::{Tree, split};
use kubemend::propose::Op;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (&str, usize, u8, &str)| {
    let (text, place, kind, value) = input;
    let slices = split(text);
    let document = place % slices.len();
    let Ok(tree) = Tree::parse(slices[document].of(text)) else { return };
    let scalars = tree.scalars();
    let Some((path, _)) = scalars.get(place % scalars.len().max(1)) else { return };
    let value = serde_json::from_str(value).unwrap_or_else(|_| value.into());
    let (path, op) = match kind % 3 {
        0 => (path.clone(), Op::Set(value)),
        1 => (path.key("fresh"), Op::Add(value)),
        _ => (path.clone(), Op::Remove),
    };
    let edit = FileEdit { document, path, op, expected: None, inner: None };
    if let Ok(edited) = apply(text.as_bytes(), std::slice::from_ref(&edit)) {
        if matches!(edit.op, Op::Set(_)) {
            assert_eq!(apply(&edited.bytes, &[edit]).map(|e| e.bytes), Ok(edited.bytes));
        }
    }
});
