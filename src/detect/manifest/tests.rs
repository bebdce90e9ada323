#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::time::Duration;

use super::*;
use crate::case::Report;
use crate::object::Object;
use crate::snapshot::Snapshot;

fn desired(yaml: &str) -> Desired {
    Desired {
        object: Object::new(serde_saphyr::from_str(yaml).unwrap()).unwrap(),
        file: "apps/till.yaml".to_owned(),
        document: 0,
        root: None,
    }
}

fn found(desired: &[Desired], snapshot: &Snapshot, report: Option<(&str, &str)>) -> Vec<Finding> {
    let report = report.map(|(kind, text)| Report {
        kind: kind.to_owned(),
        namespace: Some("shop".to_owned()),
        text: text.to_owned(),
    });
    findings(&View {
        snapshot,
        desired,
        report: report.as_ref(),
        now: "2026-01-01T00:00:00Z".parse().unwrap(),
        grace: Duration::from_secs(300),
    })
}

const TILL: &str = "
apiVersion: apps/v1
kind: Deployment
metadata: {name: till, namespace: shop}
spec:
  replicas: 2
  selector: {matchLabels: {app: till}}
  template:
    metadata: {labels: {app: till}}
    spec: {containers: [{name: till, image: 'till:3', ports: [{containerPort: 80}]}]}
";

#[test]
fn every_message_names_kind_and_fault() {
    use Problem::*;
    for (text, problem, kind, name, field) in [
        (
            r#"Error from server (BadRequest): error when creating "till.yaml": Deployment in version "v1" cannot be handled as a Deployment: strict decoding error: unknown field "spec.replica""#,
            UnknownField,
            "Deployment",
            "",
            "spec.replica",
        ),
        (
            r#"error when creating "x/till.yaml": Deployment in version "v1" cannot be handled as a Deployment: json: cannot unmarshal string into Go struct field ContainerPort.spec.template.spec.containers.ports.hostPort of type int32"#,
            WrongType,
            "Deployment",
            "",
            "spec.template.spec.containers.ports.hostPort",
        ),
        (
            r#"The Deployment "till" is invalid: spec.template.metadata.labels: Invalid value: {"app":"x"}: `selector` does not match template `labels`"#,
            Invalid,
            "Deployment",
            "till",
            "spec.template.metadata.labels",
        ),
        (
            r#"one or more objects failed to apply, reason: Deployment.apps "till" is invalid: spec.template.spec.restartPolicy: Unsupported value: "Never": supported values: "Always""#,
            Unsupported,
            "Deployment",
            "till",
            "spec.template.spec.restartPolicy",
        ),
        (
            r#"error: resource mapping not found for name: "till" namespace: "shop" from "till.yaml": no matches for kind "Deployment" in version "apps/v1beta2""#,
            NoMatch,
            "Deployment",
            "till",
            "",
        ),
        (
            r#"The Kubernetes API could not find extensions/v1beta1/Ingress for requested resource shop/till. Make sure the "Ingress" CRD is installed on the destination cluster."#,
            NoMatch,
            "Ingress",
            "till",
            "",
        ),
        (
            "Deployment/shop/till dry-run failed: failed to create typed patch object (shop/till; apps/v1, Kind=Deployment): .spec.replica: field not declared in schema",
            UnknownField,
            "Deployment",
            "till",
            "spec.replica",
        ),
        (
            "Deployment/shop/till dry-run failed: failed to create typed patch object (shop/till; apps/v1, Kind=Deployment): .spec.replicas: expected numeric (int or float), got string",
            WrongType,
            "Deployment",
            "till",
            "spec.replicas",
        ),
        (
            r#"Deployment/shop/till dry-run failed: failed to create typed patch object (shop/till; apps/v1, Kind=Deployment): .spec.template.spec.containers[name="till"].ports[containerPort="8O",protocol="TCP"].containerPort: expected numeric (int or float), got string"#,
            WrongType,
            "Deployment",
            "till",
            r#"spec.template.spec.containers[name="till"].ports[containerPort="8O",protocol="TCP"].containerPort"#,
        ),
        (
            r#"error validating "till.yaml": error validating data: ValidationError(Deployment.spec.template): unknown field "specs" in io.k8s.api.core.v1.PodTemplateSpec"#,
            UnknownField,
            "Deployment",
            "",
            "spec.template.specs",
        ),
    ] {
        let read = complaint::read(text, true);
        assert_eq!(read.len(), 1, "{text}");
        let c = &read[0];
        assert_eq!(
            (c.problem, c.kind.as_deref().unwrap_or_default()),
            (problem, kind),
            "{text}"
        );
        assert_eq!(c.name.as_deref().unwrap_or_default(), name, "{text}");
        assert_eq!(c.field.as_deref().unwrap_or_default(), field, "{text}");
    }
}

#[test]
fn templates_are_named_with_their_line() {
    let read = complaint::read(
        "Error: template: shop/templates/till.yaml:12:20: executing \"shop/templates/till.yaml\" at <.Values.a.b>: nil pointer evaluating interface {}.b",
        true,
    );
    assert_eq!(read[0].problem, Problem::Render);
    assert_eq!(read[0].file.as_deref(), Some("shop/templates/till.yaml"));
    assert_eq!(read[0].line, Some(12));
}

#[test]
fn ordinary_reports_are_no_complaints() {
    for text in [
        "Requests to the shop end with 503 since noon.",
        "The till pods crash with exit code 1",
    ] {
        assert_eq!(complaint::read(text, false), []);
    }
}

#[test]
fn a_complaint_finds_all_faults_of_its_object() {
    let bad = TILL
        .replace("replicas: 2", "replica: 2")
        .replace("80", "'80'");
    let text = r#"error when creating "till.yaml": Deployment in version "v1" cannot be handled as a Deployment: strict decoding error: unknown field "spec.replica""#;
    let found = found(
        &[desired(&bad)],
        &Snapshot::default(),
        Some(("apply-error", text)),
    );
    assert_eq!(found.len(), 1);
    assert_eq!(
        (found[0].class, found[0].severity),
        (Class::InvalidManifest, Severity::High)
    );
    assert_eq!(found[0].fact(fact::ISSUES), Some("2"));
    assert_eq!(found[0].fact(fact::FIELD), Some("spec.replica"));
}

#[test]
fn what_runs_in_spite_of_a_fault_is_only_listed() {
    let live = Object::new(serde_saphyr::from_str(TILL).unwrap()).unwrap();
    let snapshot = Snapshot::new(vec![live], BTreeMap::new());
    let bad = [desired(&TILL.replace("replicas: 2", "replica: 2"))];
    assert_eq!(found(&bad, &snapshot, None)[0].severity, Severity::Low);
    assert_eq!(
        found(&bad, &Snapshot::default(), None)[0].severity,
        Severity::High
    );
    assert_eq!(found(&[desired(TILL)], &snapshot, None), []);
}

#[test]
fn a_removed_version_is_a_class_of_its_own() {
    let old = desired(&TILL.replace("apps/v1", "apps/v1beta2"));
    let text = r#"resource mapping not found for name: "till" namespace: "shop" from "till.yaml": no matches for kind "Deployment" in version "apps/v1beta2""#;
    let found = found(&[old], &Snapshot::default(), Some(("apply-error", text)));
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].class, Class::DeprecatedApi);
}

#[test]
fn a_complaint_about_nothing_in_git_is_still_a_finding() {
    let text = r#"The ConfigMap "Till" is invalid: metadata.name: Invalid value: "Till": a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters"#;
    let found = found(&[], &Snapshot::default(), Some(("apply-error", text)));
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].object.to_string(), "ConfigMap Till");
}

#[test]
fn a_field_alone_finds_its_object() {
    let bad = [desired(&TILL.replace("80", "'80'"))];
    let text = "json: cannot unmarshal string into Go struct field ContainerPort.spec.template.spec.containers.ports.containerPort of type int32";
    let found = found(&bad, &Snapshot::default(), Some(("apply-error", text)));
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].object.name, "till");
}

#[test]
fn a_message_that_is_not_understood_is_a_finding_with_its_file() {
    let text = "Error from server (NotFound): error when creating \"till.yaml\": namespaces \"shop\" not found";
    let found = found(&[], &Snapshot::default(), Some(("apply-error", text)));
    assert_eq!(found.len(), 1);
    assert_eq!(
        (found[0].class, found[0].fact(fact::FILE)),
        (Class::InvalidManifest, Some("till.yaml"))
    );
}

#[test]
fn a_message_that_names_nothing_belongs_to_the_only_object_with_a_fault() {
    let bad = [
        desired(&TILL.replace("replicas: 2", "replica: 2")),
        desired(&TILL.replace("name: till", "name: fine")),
    ];
    let text = "The request is invalid: patch: Invalid value: something";
    let found = found(&bad, &Snapshot::default(), Some(("apply-error", text)));
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].object.name, "till");
    assert_eq!(found[0].fact(fact::COMPLAINT), Some(text));
}

#[test]
fn a_file_with_one_object_tells_which_one_a_policy_denies() {
    let text = "Error from server: error when creating \"till.yaml\": admission webhook \"check.example.com\" denied the request: no owner label";
    let one = [desired(TILL)];
    let denied = found(&one, &Snapshot::default(), Some(("apply-error", text)));
    assert_eq!(denied.len(), 1);
    assert_eq!(denied[0].object, one[0].object.reference());
    let two = [
        desired(TILL),
        desired(&TILL.replace("name: till", "name: b")),
    ];
    let unclear = found(&two, &Snapshot::default(), Some(("apply-error", text)));
    assert_eq!(unclear[0].object.kind, "File");
}

#[test]
fn argo_names_a_version_that_is_not_served() {
    let read = |text: &str| complaint::read(text, true).remove(0);
    let c = read(
        "The Kubernetes API could not find version \"v1beta1\" of policy/PodDisruptionBudget for requested resource shop/till. Version \"v1\" of policy/PodDisruptionBudget is installed on the destination cluster.",
    );
    assert_eq!(c.api_version.as_deref(), Some("policy/v1beta1"));
    assert_eq!(
        (c.kind.as_deref(), c.name.as_deref()),
        (Some("PodDisruptionBudget"), Some("till"))
    );
    let c = read(
        "The Kubernetes API could not find extensions/Ingress for requested resource shop/till. Make sure the \"Ingress\" CRD is installed on the destination cluster.",
    );
    assert_eq!(
        (c.problem, c.api_version),
        (complaint::Problem::NoMatch, None)
    );
    let c = read(
        "error: no matches for Id Deployment.v1.apps/til.[noNs]; failed to find unique target for patch Deployment.v1.apps/til.[noNs]",
    );
    assert_eq!(c.problem, complaint::Problem::Render);
}

/// An Application whose last sync could not apply one object.
fn application(message: &str) -> Snapshot {
    let refused = serde_json::json!({
        "group": "apps", "version": "v1", "kind": "Deployment", "namespace": "shop", "name": "till",
        "status": "SyncFailed", "message": message,
    });
    let app = serde_json::json!({
        "apiVersion": "argoproj.io/v1alpha1", "kind": "Application",
        "metadata": {"name": "shop", "namespace": "argocd"},
        "status": {
            "conditions": [{"type": "SyncError", "message": format!("Failed last sync attempt: {message}")}],
            "operationState": {
                "phase": "Failed",
                "message": format!("one or more objects failed to apply, reason: {message}"),
                "syncResult": {"resources": [refused]},
            },
        },
    });
    let running = serde_json::json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "till", "namespace": "shop"},
    });
    let objects = [app, running].map(|o| Object::new(o).unwrap());
    Snapshot::new(objects.to_vec(), BTreeMap::new())
}

/// What the API server says when Argo CD patches a string over a number: neither object nor field.
const NO_NUMBER: &str = r#"error when patching "/dev/shm/2891": "" is invalid: patch: Invalid value: "map[spec:map[replicas:two]]": unrecognized type: int32"#;

#[test]
fn argo_cd_says_of_which_object_a_message_is_that_names_none() {
    let wrong = desired(&TILL.replace("replicas: 2", "replicas: two"));
    let told = found(&[wrong], &application(NO_NUMBER), None);
    assert_eq!(told.len(), 1, "{told:?}");
    let first = &told[0];
    assert_eq!(
        (first.class, first.severity),
        (Class::InvalidManifest, Severity::High)
    );
    assert!(first.summary.contains("spec.replicas"), "{}", first.summary);
    assert_eq!(first.message, NO_NUMBER);
}

#[test]
fn what_argo_cd_refuses_and_the_schema_does_not_is_told_in_its_words() {
    let told = found(&[desired(TILL)], &application(NO_NUMBER), None);
    assert_eq!(told.len(), 1, "{told:?}");
    assert_eq!(told[0].object.to_string(), "Deployment shop/till");
    assert!(
        told[0].summary.contains("is refused"),
        "{}",
        told[0].summary
    );
}

/// The same deployment in another namespace has the same stray field, and nobody complains of it.
#[test]
fn argo_cd_says_which_of_several_a_message_is_about_that_names_a_kind() {
    let stray = TILL.replace("replicas: 2", "replica: 2");
    let other = desired(&stray.replace(
        "name: till, namespace: shop",
        "name: other, namespace: shop",
    ));
    let strict = r#"Deployment in version "v1" cannot be handled as a Deployment: strict decoding error: unknown field "spec.replica""#;
    let told = found(&[other, desired(&stray)], &application(strict), None);
    let high: Vec<_> = told.iter().filter(|f| !f.message.is_empty()).collect();
    assert_eq!(high.len(), 1, "{told:?}");
    assert_eq!(high[0].object.name, "till");
}

/// A sync that failed earlier hides nothing that is wrong now.
#[test]
fn what_cannot_be_compared_is_told_beside_a_sync_that_failed() {
    let mut app = application(NO_NUMBER)
        .of_kind("Application")
        .next()
        .unwrap()
        .clone();
    let error = "Failed to load target state: kustomize build /tmp/x failed: accumulating resources: no such file apps/gone.yaml";
    let conditions = app.value.pointer_mut("/status/conditions").unwrap();
    conditions
        .as_array_mut()
        .unwrap()
        .push(serde_json::json!({"type": "ComparisonError", "message": error}));
    let told = found(&[], &Snapshot::new(vec![app], BTreeMap::new()), None);
    assert!(
        told.iter().any(|f| f.class == Class::RenderError),
        "{told:?}"
    );
}

#[test]
fn a_sync_that_fails_for_another_reason_makes_no_manifest_invalid() {
    let stray = desired(&TILL.replace("replicas: 2", "replica: 2"));
    let denied = "admission webhook \"policy\" denied the request: no";
    let told = found(&[stray], &application(denied), None);
    assert!(told.iter().all(|f| f.severity == Severity::Low), "{told:?}");
}
