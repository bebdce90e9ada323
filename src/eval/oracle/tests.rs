#![allow(clippy::unwrap_used)]
use super::*;
use crate::files::Files;
use serde_json::json;

fn files(entries: &[(&str, &str)]) -> Files {
    let entries = entries.iter();
    Files {
        by_path: entries
            .map(|(path, text)| ((*path).to_owned(), text.as_bytes().to_vec()))
            .collect(),
    }
}

fn edits(before: Value, after: Value) -> Vec<(String, Op)> {
    differences(&before, &after)
        .into_iter()
        .map(|(path, op)| (path.to_string(), op))
        .collect()
}

/// Applying the edits one after the other gives the wanted value.
fn reproduces(before: Value, after: Value) {
    let mut value = before.clone();
    for (path, op) in differences(&before, &after) {
        crate::lock::apply_op(&mut value, &path, &op);
    }
    assert_eq!(value, after, "from {before}");
}

#[test]
fn differences_are_as_small_as_they_can_be() {
    let before = json!({"c": [{"name": "a", "image": "x:1", "env": [{"name": "K"}]}, {"name": "b"}], "r": 1});
    let after = json!({"c": [{"name": "a", "image": "x:2", "env": [{"name": "K"}, {"name": "L"}]}, {"name": "b"}], "s": 2});
    let wanted = [
        ("c[name=a].image".to_owned(), Op::Set(json!("x:2"))),
        ("c[name=a].env[1]".to_owned(), Op::Add(json!({"name": "L"}))),
        ("r".to_owned(), Op::Remove),
        ("s".to_owned(), Op::Add(json!(2))),
    ];
    assert_eq!(edits(before, after), wanted);
}

#[test]
fn lists_that_cannot_be_matched_are_set_as_a_whole() {
    let whole = |before: Value, after: Value| {
        let wanted = [("l".to_owned(), Op::Set(after.clone()))];
        assert_eq!(edits(json!({"l": before}), json!({"l": after})), wanted);
    };
    whole(json!(["a", "b"]), json!(["a", "c"]));
    whole(
        json!([{"name": "a"}]),
        json!([{"name": "b"}, {"name": "c"}]),
    );
    whole(
        json!([{"name": "a"}, {"name": "b"}]),
        json!([{"name": "b"}, {"name": "a"}, {"name": "c"}]),
    );
    let by_place = edits(
        json!({"p": [{"port": 1, "host": 2}]}),
        json!({"p": [{"port": 1}]}),
    );
    assert_eq!(by_place, [("p[0].host".to_owned(), Op::Remove)]);
}

#[test]
fn the_edits_make_the_second_of_the_first() {
    let list =
        |names: &[&str]| json!({"l": names.iter().map(|n| json!({"name": n})).collect::<Vec<_>>()});
    for (before, after) in [
        (list(&["a", "b", "c"]), list(&["b"])),
        (list(&["a"]), list(&["a", "b", "c"])),
        (list(&["a", "b"]), list(&["b", "c"])),
        (list(&["a", "b"]), list(&[])),
        (json!({"m": {"a": 1}}), json!({"m": {}})),
        (json!({"m": null}), json!({"m": {"a": {"b": 1}}})),
    ] {
        reproduces(before, after);
    }
}

#[test]
fn what_is_no_edit_of_an_object_is_refused_with_its_code() {
    let object = "kind: A\nmetadata: {name: a}\n";
    let two = format!("{object}---\nkind: B\nmetadata: {{name: b}}\n");
    let code = |before: &[(&str, &str)], after: &[(&str, &str)]| {
        let oracle = Oracle::new(&files(before), &files(after));
        assert!(oracle.edits.is_empty());
        oracle.inexpressible.first().map(|r| r.code)
    };
    let cases = [
        (
            ("a.yaml", object),
            ("a.yaml", two.as_str()),
            Code::BlockedNewObject,
        ),
        (
            ("a.yaml", two.as_str()),
            ("a.yaml", object),
            Code::BlockedNewObject,
        ),
        (
            ("t.yaml", "a: {{ .b }}"),
            ("t.yaml", "a: {{ .c }}"),
            Code::BlockedTemplate,
        ),
        (
            ("k.yaml", "resources: [a]"),
            ("k.yaml", "resources: [b]"),
            Code::UnsupportedShape,
        ),
        (("main.py", "a"), ("main.py", "b"), Code::PathNotAllowed),
    ];
    for (before, after, wanted) in cases {
        assert_eq!(code(&[before], &[after]), Some(wanted), "{after:?}");
    }
}

#[test]
fn the_row_fits_the_path_and_then_the_class() {
    let row = |class, kind, path: &str| unlock(class, kind, &path.parse().unwrap(), 0);
    let container = "spec.template.spec.containers[name=a]";
    let memory = format!("{container}.resources.limits.memory");
    let image = format!("{container}.image");
    assert_eq!(
        row(Class::OOMKilled, "Deployment", &memory),
        Unlock::OOMKilled
    );
    assert_eq!(
        row(Class::UnschedulableResources, "Deployment", &memory),
        Unlock::UnschedulableResources
    );
    assert_eq!(
        row(Class::ImagePullNotFound, "Deployment", &image),
        Unlock::ImagePullNotFound
    );
    assert_eq!(
        row(Class::CrashLoopBackOff, "Deployment", &image),
        Unlock::LastHealthyTemplate
    );
    assert_eq!(
        row(Class::ServiceNoEndpoints, "Service", "spec.selector.app"),
        Unlock::PortMismatch
    );
    assert_eq!(
        row(Class::DeprecatedApi, "Deployment", "apiVersion"),
        Unlock::DeprecatedApi
    );
    let command = format!("{container}.command").parse().unwrap();
    let second = unlock(Class::RunContainerError, "Deployment", &command, 1);
    assert_eq!(second, Unlock::LastHealthyTemplate);
    let none = Oracle::new(&files(&[("a.yaml", "kind: A")]), &Files::default());
    assert_eq!(
        none,
        Oracle::default(),
        "no known answer is no deletion of everything"
    );
}
