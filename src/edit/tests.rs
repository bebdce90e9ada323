//! Families of edits, each with the exact bytes or the refusal.

#![allow(clippy::unwrap_used)]

use serde_json::{Value, json};

use super::{FileEdit, apply, proof, unproven};
use crate::code::Code;
use crate::propose::Op;

pub(super) fn edit(path: &str, op: Op) -> FileEdit {
    FileEdit {
        document: 0,
        path: path.parse().unwrap(),
        op,
        expected: None,
        inner: None,
    }
}

fn set(path: &str, value: Value) -> FileEdit {
    edit(path, Op::Set(value))
}

fn add(path: &str, value: Value) -> FileEdit {
    edit(path, Op::Add(value))
}

fn remove(path: &str) -> FileEdit {
    edit(path, Op::Remove)
}

fn run(before: &str, edits: &[FileEdit]) -> Result<String, Code> {
    let edited = apply(before.as_bytes(), edits).map_err(|r| r.code)?;
    Ok(String::from_utf8(edited.bytes).unwrap())
}

#[track_caller]
fn gives(before: &str, edits: &[FileEdit], after: &str) {
    let result = apply(before.as_bytes(), edits).map(|e| String::from_utf8(e.bytes).unwrap());
    assert_eq!(result.as_deref().map_err(ToString::to_string), Ok(after));
}

#[track_caller]
fn refuses(before: &str, edits: &[FileEdit], code: Code) {
    assert_eq!(run(before, edits), Err(code));
}

#[test]
fn scalars_keep_their_quotes_and_everything_around_them() {
    gives(
        "tag: '1.0'   # pin\n",
        &[set("tag", "2.0".into())],
        "tag: '2.0'   # pin\n",
    );
    gives(
        "tag: \"a\"\n",
        &[set("tag", "b\"c".into())],
        "tag: \"b\\\"c\"\n",
    );
    gives("tag: a\n", &[set("tag", "1.10".into())], "tag: \"1.10\"\n");
    gives("num: 3 # c\n", &[set("num", 4.into())], "num: 4 # c\n");
    gives("num: \"3\"\n", &[set("num", 4.into())], "num: 4\n");
    gives("num: x", &[set("num", true.into())], "num: true");
    gives(
        "a: {b: [x, y]}\n",
        &[set("a.b[1]", "z,".into())],
        "a: {b: [x, \"z,\"]}\n",
    );
    gives(
        "a: one\n  two # c\nb: 1\n",
        &[set("a", "three".into())],
        "a: three # c\nb: 1\n",
    );
}

#[test]
fn setting_the_value_that_is_there_changes_nothing() {
    for source in ["a: 'x' # c\n", "a: \"x\"\n", "a: x", "a: |-\n  x\n"] {
        gives(source, &[set("a", "x".into())], source);
        assert_eq!(
            apply(source.as_bytes(), &[set("a", "x".into())])
                .unwrap()
                .changed,
            []
        );
    }
}

#[test]
fn additions_go_behind_the_last_entry_and_before_trailing_comments() {
    gives(
        "m:\n  a: 1\n  # note\n\nx: 1\n",
        &[add("m.b", 2.into())],
        "m:\n  a: 1\n  b: 2\n  # note\n\nx: 1\n",
    );
    gives(
        "l:\n- a\n# note\n",
        &[add("l[1]", "b".into())],
        "l:\n- a\n- b\n# note\n",
    );
    gives(
        "l:\n  -   k: a\n      v: 1\n",
        &[add("l[1]", json!({"k": "b", "v": 2}))],
        "l:\n  -   k: a\n      v: 1\n  -   k: b\n      v: 2\n",
    );
    gives(
        "m: {a: 1} # c\n",
        &[add("m.b", "x".into())],
        "m: {a: 1, b: x} # c\n",
    );
    gives(
        "m: {}\nx: 1\n",
        &[add("m.b", "x".into())],
        "m: {b: x}\nx: 1\n",
    );
    gives(
        "m:\n  a: 1",
        &[add("m.b", json!({"c": ["d"]}))],
        "m:\n  a: 1\n  b:\n    c:\n    - d",
    );
    gives(
        "m:\r\n  a: 1\r\n",
        &[add("m.b", json!(["x"]))],
        "m:\r\n  a: 1\r\n  b:\r\n  - x\r\n",
    );
    gives(
        "m:\n  a: 1\n",
        &[add("m.yes", 1.into())],
        "m:\n  a: 1\n  \"yes\": 1\n",
    );
}

#[test]
fn missing_parents_are_made() {
    gives(
        "spec:\n  a: 1\n",
        &[add("spec.x.w", json!({"z": 1}))],
        "spec:\n  a: 1\n  x:\n    w:\n      z: 1\n",
    );
    gives(
        "spec:\n  x: # c\n  b: 1\n",
        &[add("spec.x.w", 1.into())],
        "spec:\n  x: # c\n    w: 1\n  b: 1\n",
    );
    gives(
        "spec:\n  x: ~\n",
        &[add("spec.x[0].w", 1.into())],
        "spec:\n  x:\n  - w: 1\n",
    );
    gives(
        "l:\n-\n- b\n",
        &[add("l[0].k", 1.into())],
        "l:\n- k: 1\n- b\n",
    );
    refuses(
        "spec:\n  x: 1\n",
        &[add("spec.x.y", 1.into())],
        Code::PathNotFound,
    );
    refuses(
        "l:\n- name: a\n",
        &[add("l[name=b].image", "x".into())],
        Code::PathNotFound,
    );
    refuses("l:\n- a\n", &[add("l[3]", "x".into())], Code::PathNotFound);
    refuses("a: 1\n", &[add("a", 2.into())], Code::KeyExists);
}

#[test]
fn removals_take_exactly_their_lines() {
    gives(
        "a: 1\n# about b\nb:\n  c: 1\n\nd: 1\n",
        &[remove("b")],
        "a: 1\n# about b\n\nd: 1\n",
    );
    gives(
        "l:\n- name: a # x\n  image: b\n",
        &[remove("l[0].name")],
        "l:\n- image: b\n",
    );
    gives("l:\n- a\n- b", &[remove("l[1]")], "l:\n- a");
    gives("l:\n- a\n- b\n", &[remove("l[0]")], "l:\n- b\n");
    gives("l:\n  - a\n", &[remove("l[0]")], "l: []\n");
    gives("m: # c\n  a: 1\n", &[remove("m.a")], "m: {} # c\n");
    gives("l:\n- a: 1\n", &[remove("l[0].a")], "l:\n- {}\n");
    gives("- - a\n  - b\n", &[remove("[0][0]")], "- - b\n");
    gives("m: {a: 1, b: 2}\n", &[remove("m.a")], "m: {b: 2}\n");
    gives("m: [a,\n  b]\n", &[remove("m[1]")], "m: [a]\n");
    gives("m: {a: 1}\n", &[remove("m.a")], "m: {}\n");
    refuses(
        "l:\n- name: a\n  # about\n  image: b\n",
        &[remove("l[0].name")],
        Code::CommentLoss,
    );
    refuses(
        "a: 1\nb:\n  # inner\n  c: 1\n",
        &[remove("b")],
        Code::CommentLoss,
    );
    refuses("a: 1\n", &[remove("b")], Code::PathNotFound);
}

#[test]
fn collections_are_changed_entry_by_entry() {
    let before = "env:\n- name: A # keep\n  value: \"1\"\n- name: B\n";
    gives(
        before,
        &[set("env[0]", json!({"name": "A", "value": "2"}))],
        "env:\n- name: A # keep\n  value: \"2\"\n- name: B\n",
    );
    gives(
        "args: [a, b, c]\n",
        &[set("args", json!(["a", "c"]))],
        "args: [a, c]\n",
    );
    gives(
        "args:\n- a # 1\n- b # 2\n- c # 3\n",
        &[set("args", json!(["b", "c"]))],
        "args:\n- b # 2\n- c # 3\n",
    );
    gives(
        "m:\n  a: 1\n  b: 2\n",
        &[set("m", json!({"b": 3, "c": 4}))],
        "m:\n  b: 3\n  c: 4\n",
    );
    gives(
        "a:\n  b: 1 # c\n",
        &[set("a.b", json!({"x": 1}))],
        "a:\n  b: # c\n    x: 1\n",
    );
    gives(
        "a:\n  b: # c\n    x: 1\nd: 1\n",
        &[set("a.b", "w".into())],
        "a:\n  b: w # c\nd: 1\n",
    );
    gives(
        "a:\n- b: 1\n  c: 2\n",
        &[set("a[0]", "w".into())],
        "a:\n- w\n",
    );
    gives(
        "a:\n- b\n",
        &[set("a", json!({"x": ["w"]}))],
        "a:\n  x:\n  - w\n",
    );
}

#[test]
fn literals_change_line_by_line() {
    let before = "d:\n  k: | # note\n    one\n     \n    two  \n\n  j: 1\n";
    gives(
        before,
        &[set("d.k", "one\n \nTWO\nthree\n".into())],
        "d:\n  k: | # note\n    one\n     \n    TWO\n    three\n\n  j: 1\n",
    );
    gives(
        "k: |-\n  a\n",
        &[set("k", "a\nb\n".into())],
        "k: |\n  a\n  b\n",
    );
    gives(
        "k: |\n  a\nj: 1\n",
        &[set("k", "a\n\n\n".into())],
        "k: |+\n  a\n\n\nj: 1\n",
    );
    gives(
        "k: |+\n  a\n\nj: 1\n",
        &[set("k", "b\n\n".into())],
        "k: |+\n  b\n\nj: 1\n",
    );
    gives("k: >-\n  a\n  b\n", &[set("k", "x".into())], "k: x\n");
    gives(
        "k: x\nj: 1\n",
        &[set("k", "a\nb\n".into())],
        "k: |\n  a\n  b\nj: 1\n",
    );
    gives(
        "k: x # c\n",
        &[set("k", "a\nb\n".into())],
        "k: \"a\\nb\\n\" # c\n",
    );
    gives(
        "k: |\r\n  a\r\n  b\r\n",
        &[set("k", "a\nc\n".into())],
        "k: |\r\n  a\r\n  c\r\n",
    );
    refuses(
        "k: |\n  a\n",
        &[set("k", "  a\n".into())],
        Code::UnsupportedShape,
    );
    refuses("k: |\n  a", &[set("k", "a\n".into())], Code::NotVerifiable);
}

#[test]
fn json_stays_json() {
    gives(
        "{\"a\":1,\"b\":[1]}",
        &[add("b[1]", "x".into())],
        "{\"a\":1,\"b\":[1, \"x\"]}",
    );
    gives(
        "{\"a\": {}}\n",
        &[add("a.b", json!({"c": null}))],
        "{\"a\": {\"b\": {\"c\": null}}}\n",
    );
    gives(
        "{\n  \"a\": true\n}\n",
        &[add("b", "x".into())],
        "{\n  \"a\": true,\n  \"b\": \"x\"\n}\n",
    );
    gives(
        "{\"a\": true}\n",
        &[set("a", "maybe".into())],
        "{\"a\": \"maybe\"}\n",
    );
}

#[test]
fn shared_nodes_are_refused() {
    let source = "a: &x {n: 1}\nb: *x\nc:\n  <<: *x\n  m: 1\nd: 1\n";
    for edit in [
        set("a.n", 2.into()),
        set("b", 2.into()),
        set("c.n", 2.into()),
        add("c.n", 2.into()),
        remove("a"),
    ] {
        refuses(source, &[edit], Code::AnchoredYaml);
    }
    gives(
        source,
        &[set("c.m", 2.into()), remove("d")],
        "a: &x {n: 1}\nb: *x\nc:\n  <<: *x\n  m: 2\n",
    );
    refuses("m:\n  a: &x 1\nb: *x\n", &[remove("m")], Code::AnchoredYaml);
    refuses(
        "a: &x 1\nm:\n  a: &x 2\nb: *x\n",
        &[set("m", "gone".into())],
        Code::AnchoredYaml,
    );
    gives(
        "m: &unused\n  a: 1\n",
        &[set("m.a", 2.into())],
        "m: &unused\n  a: 2\n",
    );
}

#[test]
fn lines_of_others_are_refused() {
    refuses("a: {{ .x }}\n", &[set("a", "b".into())], Code::Templated);
    refuses("a: ${X}\n", &[set("a", "b".into())], Code::Templated);
    refuses(
        "a: b # {\"$imagepolicy\": \"x:y\"}\n",
        &[set("a", "c".into())],
        Code::ImageAutomation,
    );
    gives(
        "a: b # {\"$imagepolicy\": \"x:y\"}\nc: d\n",
        &[set("c", "e".into())],
        "a: b # {\"$imagepolicy\": \"x:y\"}\nc: e\n",
    );
    refuses(
        "a: b\nsops: {mac: x}\n",
        &[set("a", "c".into())],
        Code::SopsEncrypted,
    );
    refuses("a: ENC[x]\n", &[set("a", "c".into())], Code::SopsEncrypted);
    refuses(
        "# Code generated by x. DO NOT EDIT.\na: b\n",
        &[set("a", "c".into())],
        Code::GeneratedFile,
    );
    refuses("a: b\na: c\n", &[set("a", "d".into())], Code::DuplicateKeys);
    refuses("a: !x b\n", &[set("a", "d".into())], Code::UnsupportedShape);
}

#[test]
fn bytes_that_readers_see_differently_are_refused() {
    let code = |bytes: &[u8]| apply(bytes, &[set("a", 1.into())]).unwrap_err().code;
    assert_eq!(code(b"\xff\xfea\x00"), Code::NotUtf8);
    assert_eq!(code(b"a: \x00"), Code::NotUtf8);
    assert_eq!(code(b"a: \xff"), Code::NotUtf8);
    assert_eq!(code(b"a: x\rb: y\n"), Code::MixedLineEndings);
    assert_eq!(code("a: x\u{85}\n".as_bytes()), Code::ReadersDisagree);
    assert_eq!(
        code(&vec![b' '; crate::manifest::MAX_BYTES + 1]),
        Code::InputTooLarge
    );
    refuses(
        "a: x\nb: y\r\nc: z\n",
        &[set("b", "w".into())],
        Code::MixedLineEndings,
    );
    refuses(
        "a: {b: yes, c: x}\n",
        &[set("a.c", "y".into())],
        Code::AmbiguousScalar,
    );
    refuses(
        "a:\n  503: x\n",
        &[set("a.503", "y".into())],
        Code::AmbiguousScalar,
    );
    refuses(
        "a: x\n",
        &[set("a", json!(u64::MAX))],
        Code::AmbiguousScalar,
    );
}

#[test]
fn a_value_that_is_not_the_expected_one_is_stale() {
    let expecting = |value: Value| FileEdit {
        expected: Some(value),
        ..set("a", "new".into())
    };
    gives("a: old\n", &[expecting("old".into())], "a: new\n");
    refuses("a: old\n", &[expecting("other".into())], Code::StaleTarget);
    gives(
        "a: 0644\n",
        &[FileEdit {
            expected: Some(420.into()),
            ..set("a", 384.into())
        }],
        "a: 384\n",
    );
    gives("a: new\n", &[expecting("old".into())], "a: new\n");
}

#[test]
fn texts_that_hold_yaml_are_edited_within() {
    let source = "p:\n- patch: |-\n    - op: replace # r\n      value: 2\ni: 1\n";
    let inner = |path: &str, op: Op| FileEdit {
        inner: Some(Box::new(edit(path, op))),
        ..set("p[0].patch", Value::Null)
    };
    gives(
        source,
        &[inner("[0].value", Op::Set(3.into()))],
        "p:\n- patch: |-\n    - op: replace # r\n      value: 3\ni: 1\n",
    );
    let edits = [
        inner("[0].value", Op::Set(3.into())),
        inner("[0].path", Op::Add("/x".into())),
    ];
    gives(
        source,
        &edits,
        "p:\n- patch: |-\n    - op: replace # r\n      value: 3\n      path: /x\ni: 1\n",
    );
    let changed = apply(source.as_bytes(), &edits).unwrap().changed;
    assert_eq!(changed[0].path.to_string(), "p[0].patch[0].value");
    assert_eq!(
        (changed[0].line, changed[0].old.clone()),
        (4, Some(json!(2)))
    );
    refuses(
        source,
        &[inner("[0].none", Op::Set(3.into()))],
        Code::PathNotFound,
    );
    refuses(
        "p:\n- patch: \"value: 2\"\n",
        &[inner("value", Op::Set(3.into()))],
        Code::UnsupportedShape,
    );
}

#[test]
fn batches_are_all_or_nothing_and_mean_the_file_before_them() {
    let source = "l:\n- a\n- b\n- c\nm: {x: 1}\n---\nnum: 1\n";
    let second = FileEdit {
        document: 1,
        ..set("num", 2.into())
    };
    gives(
        source,
        &[
            remove("l[0]"),
            set("l[2]", "C".into()),
            remove("l[1]"),
            add("m.w", 2.into()),
            second,
        ],
        "l:\n- C\nm: {x: 1, w: 2}\n---\nnum: 2\n",
    );
    gives(
        "l:\n- a\n",
        &[add("l[1]", "b".into()), add("l[1]", "c".into())],
        "l:\n- a\n- b\n- c\n",
    );
    gives(
        "a: 1\n",
        &[add("r.x", 1.into()), add("r.w", 2.into())],
        "a: 1\nr:\n  x: 1\n  w: 2\n",
    );
    refuses(
        source,
        &[set("m.x", 2.into()), set("m.none", 2.into())],
        Code::PathNotFound,
    );
    refuses(
        source,
        &[set("m", json!({})), set("m.x", 2.into())],
        Code::UnsupportedShape,
    );
    refuses(
        source,
        &[FileEdit {
            document: 2,
            ..set("num", 2.into())
        }],
        Code::PathNotFound,
    );
}

#[test]
fn what_changed_is_told_with_old_values_and_lines() {
    let source = "# head\n---\nspec:\n  a: old\n  b: 1\n";
    let edits = [
        set("spec.a", "new".into()),
        add("spec.c", 1.into()),
        remove("spec.b"),
    ];
    let changed = apply(source.as_bytes(), &edits).unwrap().changed;
    let told: Vec<_> = changed
        .iter()
        .map(|c| (c.path.to_string(), c.old.clone(), c.line))
        .collect();
    assert_eq!(
        told,
        [
            ("spec.a".to_owned(), Some(json!("old")), 4),
            ("spec.c".to_owned(), None, 5),
            ("spec.b".to_owned(), Some(json!(1)), 5),
        ]
    );
}

#[test]
fn the_proof_refuses_every_other_change() {
    let old = "# c\na: &x 1 # one\nb: *x\nl:\n- p: |\n    t\n- q: {r: s}\n---\nz: 1\n";
    let edits = [set("l[1].q.r", "S".into())];
    let new = String::from_utf8(unproven(old.as_bytes(), &edits).unwrap().bytes).unwrap();
    let check = |mutant: &str| proof::check(old.as_bytes(), &edits, mutant.as_bytes());
    assert_eq!(check(&new), Ok(()));
    for (from, to) in [
        ("# c\n", ""),
        ("# one", "# two"),
        ("&x 1", "&x 2"),
        ("*x", "1"),
        ("&x", "&y"),
        ("|", "|-"),
        ("{r: S}", "{r: 'T'}"),
        ("{r: S}", "{r: S, t: 1}"),
        ("q: {r: S}", "q: {\"r\": S}\n- u"),
        ("z: 1", "z: 2"),
        ("---\n", ""),
        ("\nz: 1\n", "\nz: 1"),
        ("a: ", "a:  "),
        ("    t\n", "    t \n"),
        ("b: *x\n", "b: *x\r\n"),
        ("# c", "\u{feff}# c"),
        ("{r: S}", "{r: S} # new"),
        ("{r: S}", "{r: s}"),
    ] {
        let mutant = new.replacen(from, to, 1);
        assert_ne!(mutant, new, "{from:?} is not in the text");
        assert!(check(&mutant).is_err(), "{from:?} -> {to:?} passed");
    }
}

#[test]
fn hostile_texts_are_refused_in_time() {
    let refusal = |text: &str| {
        apply(text.as_bytes(), &[set("a", 1.into())])
            .unwrap_err()
            .code
    };
    assert_eq!(refusal(&"[".repeat(100_000)), Code::InputTooLarge);
    assert_eq!(refusal(&"- ".repeat(50_000)), Code::InputTooLarge);
    assert_eq!(
        refusal(&format!("a: \"{}", "x".repeat(1_000_000))),
        Code::NotYaml
    );
    let mut bomb = "a: 0\nb0: &b0 [x]\n".to_owned();
    for i in 1..40 {
        bomb += &format!(
            "b{i}: &b{i} [{}]\n",
            vec![format!("*b{}", i - 1); 9].join(", ")
        );
    }
    assert_eq!(refusal(&bomb), Code::InputTooLarge);
}

#[test]
fn a_key_with_another_name_stays_in_its_place_with_its_comments() {
    let before =
        "spec:\n  # why\n  imagePullPolcy: Always # never\n  ports:\n    - containerPort: 80\n";
    let rename = |value: &str| {
        [
            edit("spec.imagePullPolicy", Op::Add(json!(value))),
            edit("spec.imagePullPolcy", Op::Remove),
        ]
    };
    let after = apply(before.as_bytes(), &rename("Always")).unwrap();
    assert_eq!(
        String::from_utf8(after.bytes).unwrap(),
        before.replace("imagePullPolcy", "imagePullPolicy")
    );
    assert_eq!(after.changed.len(), 2);
    // with another value it is a removal and an addition
    let moved = apply(before.as_bytes(), &rename("Never")).unwrap();
    assert!(
        String::from_utf8(moved.bytes)
            .unwrap()
            .ends_with("  imagePullPolicy: Never\n")
    );
    // a name that a reader takes for a boolean is never written bare
    let odd = [
        edit("spec.yes", Op::Add(json!("Always"))),
        edit("spec.imagePullPolcy", Op::Remove),
    ];
    let odd = apply(before.as_bytes(), &odd);
    assert!(
        odd.is_err()
            || !String::from_utf8(odd.unwrap().bytes)
                .unwrap()
                .contains("  yes: ")
    );
}

#[test]
fn a_whole_block_keeps_its_place_under_another_key() {
    let before =
        "a:\n  readynessProbe: # odd\n    httpGet: {path: /, port: 80}\n    # inner\n  b: 1\n";
    let probe = json!({"httpGet": {"path": "/", "port": 80}});
    let edits = [
        FileEdit {
            document: 0,
            path: "a.readinessProbe".parse().unwrap(),
            op: Op::Add(probe.clone()),
            expected: None,
            inner: None,
        },
        FileEdit {
            document: 0,
            path: "a.readynessProbe".parse().unwrap(),
            op: Op::Remove,
            expected: Some(probe),
            inner: None,
        },
    ];
    let after = apply(before.as_bytes(), &edits).unwrap();
    assert_eq!(
        String::from_utf8(after.bytes).unwrap(),
        before.replace("readynessProbe", "readinessProbe")
    );
}
