#![allow(clippy::unwrap_used)]

use super::*;
use crate::propose::Op;

fn files(all: &[(&str, &str)]) -> Files {
    let by_path = all
        .iter()
        .map(|(p, t)| ((*p).to_owned(), t.as_bytes().to_vec()))
        .collect();
    Files { by_path }
}

fn told(kind: &str, text: &str) -> Report {
    Report {
        kind: kind.to_owned(),
        namespace: Some("shop".to_owned()),
        text: text.to_owned(),
    }
}

const OLD: &str = "bases: [../base]\npatches:\n- replicas.yaml\n";
const PATCH: &str =
    "apiVersion: apps/v1beta2\nkind: Deployment\nmetadata: {name: till}\nspec: {replicas: 3}\n";
const BASE: &str = "apiVersion: apps/v1beta2\nkind: Deployment\nmetadata: {name: till}\nspec:\n  selector: {matchLabels: {app: till}}\n  template: {metadata: {labels: {app: till}}, spec: {containers: [{name: till, image: a}]}}\n";

fn legacy() -> Vec<(&'static str, &'static str)> {
    vec![
        ("prod/kustomization.yaml", OLD),
        ("prod/replicas.yaml", PATCH),
        ("base/kustomization.yaml", "resources: [till.yaml]\n"),
        ("base/till.yaml", BASE),
    ]
}

#[test]
fn a_legacy_kustomization_becomes_readable_with_all_that_it_reads() {
    let report = told(
        "render-error",
        "kustomize build prod: invalid Kustomization: json: cannot unmarshal string into Go struct field Kustomization.patches of type types.Patch",
    );
    let found = faults(&files(&legacy()), Some(&report), &[]);
    assert_eq!(found.len(), 1);
    let Answer::Fix(fix) = &found[0].answer else {
        panic!("{found:?}")
    };
    assert_eq!(fix.root, "prod");
    let own: Vec<String> = fix.edits["prod/kustomization.yaml"]
        .iter()
        .map(|e| e.path.to_string())
        .collect();
    assert_eq!(own, ["patches[0]", "bases", "resources"]);
    assert_eq!(fix.edits["prod/replicas.yaml"].len(), 1);
    assert_eq!(fix.edits["base/till.yaml"][0].op, Op::Set("apps/v1".into()));
    assert!(
        fix.after_merge
            .iter()
            .any(|a| a.contains("spec.replicas = 3"))
    );
}

#[test]
fn a_patch_file_that_does_not_exist_is_no_mechanical_fix() {
    let mut all = legacy();
    all.remove(1);
    let report = told(
        "render-error",
        "kustomize build prod: invalid Kustomization",
    );
    let found = faults(&files(&all), Some(&report), &[]);
    let Answer::Refuse(refusal) = &found[0].answer else {
        panic!("{found:?}")
    };
    assert!(refusal.message.contains("replicas.yaml"), "{refusal}");
}

#[test]
fn nothing_is_looked_for_unless_a_root_is_broken() {
    assert_eq!(faults(&files(&legacy()), None, &[]), []);
    assert_eq!(
        faults(&files(&legacy()), None, &["prod".to_owned()]).len(),
        1
    );
}

#[test]
fn a_slip_in_a_file_name_is_mended() {
    let all = [
        ("kustomization.yaml", "resources:\n- deploymnet.yaml\n"),
        ("deployment.yaml", BASE),
    ];
    let found = faults(&files(&all), None, &[String::new()]);
    let Answer::Fix(fix) = &found[0].answer else {
        panic!("{found:?}")
    };
    assert_eq!(
        fix.edits["kustomization.yaml"][0].op,
        Op::Set("deployment.yaml".into())
    );
}

const CHART: &[(&str, &str)] = &[
    ("Chart.yaml", "name: till\n"),
    (
        "templates/maps.yaml",
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: one}\n---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: Two_}\n",
    ),
    (
        "templates/svc.yaml",
        "metadata:\n  name: {{ .Release.Name }}\n  annotations:\n    helm.sh/hook: crd-install\n",
    ),
];

#[test]
fn an_invalid_name_in_a_template_is_a_question_with_its_place() {
    let report = told(
        "apply-error",
        "The ConfigMap \"Two_\" is invalid: metadata.name: Invalid value: \"Two_\": a lowercase RFC 1123 subdomain",
    );
    let found = faults(&files(CHART), Some(&report), &[]);
    let Answer::Ask(question) = &found[0].answer else {
        panic!("{found:?}")
    };
    assert_eq!(question.code, Code::BlockedIdentity);
    assert!(
        question
            .title
            .contains("templates/maps.yaml, second document")
    );
}

#[test]
fn removed_hooks_are_named_with_their_line() {
    let report = told(
        "render-error",
        "helm template: skipping unknown hooks, the output holds no Service",
    );
    let found = faults(&files(CHART), Some(&report), &[]);
    let Answer::Refuse(refusal) = &found[0].answer else {
        panic!("{found:?}")
    };
    assert_eq!(refusal.code, Code::BlockedTemplate);
    assert!(
        refusal.message.contains("templates/svc.yaml, line 4"),
        "{refusal}"
    );
}

#[test]
fn a_syntax_error_is_quoted() {
    let all = [("apps/till.yaml", "kind: Deployment\nspec:\n  a: b: c\n")];
    let report = told(
        "apply-error",
        "error: error parsing apps/till.yaml: error converting YAML to JSON: yaml: line 3: mapping values are not allowed in this context",
    );
    let found = faults(&files(&all), Some(&report), &[]);
    let Answer::Refuse(refusal) = &found[0].answer else {
        panic!("{found:?}")
    };
    assert_eq!(refusal.code, Code::NotYaml);
    assert!(
        refusal.message.contains("Line 3 is:   a: b: c"),
        "{refusal}"
    );
}

#[test]
fn a_template_is_no_broken_yaml() {
    let all = [(
        "web/templates/map.yaml",
        "data:\n  tag: {{ .Values.image.tag }}\n",
    )];
    let text = "Error: template: web/templates/map.yaml:2:10: executing \"web/templates/map.yaml\" at <.Values.image.tag>: nil pointer evaluating interface {}.tag";
    let found = faults(&files(&all), Some(&told("render-error", text)), &[]);
    assert!(
        found
            .iter()
            .all(|f| !matches!(&f.answer, Answer::Refuse(r) if r.code == Code::NotYaml)),
        "{found:?}"
    );
}
