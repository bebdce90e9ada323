#![allow(clippy::unwrap_used)]

use super::*;
use crate::case::{Commit, Earlier};
use crate::finding::Finding;
use crate::object::ObjectRef;
use crate::snapshot::Snapshot;

fn desired(yaml: &str) -> Desired {
    Desired {
        object: Object::new(serde_saphyr::from_str(yaml).unwrap()).unwrap(),
        file: "apps/till.yaml".to_owned(),
        document: 1,
        root: None,
    }
}

/// What the plays answer when a tool names `field` of the first object.
fn answer_all(all: &[Desired], class: Class, field: &str) -> Option<Answer> {
    let mut finding = Finding::new(class, Severity::High, all[0].object.reference(), "refused");
    finding.message = "the tool refuses it".to_owned();
    let finding = finding.with_fact(fact::FIELD, field);
    let case = Case {
        finding: &finding,
        others: &[],
        snapshot: &Snapshot::default(),
        desired: all,
        earlier: &[],
        report: None,
        now: "2026-01-01T00:00:00Z".parse().unwrap(),
        said: &crate::case::NOTHING_SAID,
    };
    PLAYS
        .iter()
        .filter(|p| p.classes.contains(&class))
        .find_map(|p| (p.run)(&case))
}

#[test]
fn a_number_that_is_none_may_go_back_to_what_git_had() {
    let yaml = |replicas: &str| {
        format!(
            "{{apiVersion: apps/v1, kind: Deployment, metadata: {{name: till, namespace: shop}}, spec: {{replicas: {replicas}, selector: {{matchLabels: {{app: till}}}}, template: {{metadata: {{labels: {{app: till}}}}, spec: {{containers: [{{name: till, image: 'till:3'}}]}}}}}}}}"
        )
    };
    let (now, before) = (desired(&yaml("O2")), desired(&yaml("2")));
    let finding = Finding::new(
        Class::InvalidManifest,
        Severity::High,
        now.object.reference(),
        "refused",
    );
    let earlier = Earlier {
        replaced_by: Commit {
            id: "c0ffee0000".to_owned(),
            author: String::new(),
            time: None,
            subject: "scale the till".to_owned(),
        },
        object: before.object,
    };
    let case = Case {
        finding: &finding,
        others: &[],
        snapshot: &Snapshot::default(),
        desired: &[now],
        earlier: &[earlier],
        report: None,
        now: "2026-01-01T00:00:00Z".parse().unwrap(),
        said: &crate::case::NOTHING_SAID,
    };
    let question = question(run(&case).unwrap());
    assert_eq!(question.code, Code::MissingValue);
    let [option] = &question.options[..] else {
        panic!("{question:#?}");
    };
    assert!(
        option
            .title
            .contains("before commit c0ffee0000 (scale the till)")
    );
    let edits = fix(Answer::Fix(option.proposal.clone().unwrap()));
    assert_eq!(edits, ["spec.replicas = 2"]);
}

fn answer(yaml: &str) -> Answer {
    answer_all(&[desired(yaml)], Class::InvalidManifest, "").unwrap()
}

fn fix(answer: Answer) -> Vec<String> {
    let Answer::Fix(proposal) = answer else {
        panic!("no fix: {answer:?}")
    };
    proposal
        .edits
        .iter()
        .map(|e| match &e.op {
            Op::Set(v) => format!("{} = {v}", e.path),
            Op::Add(v) => format!("{} + {v}", e.path),
            Op::Remove => format!("{} -", e.path),
        })
        .collect()
}

fn question(answer: Answer) -> Question {
    let Answer::Ask(question) = answer else {
        panic!("no question: {answer:?}")
    };
    question
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
    spec:
      containers:
      - {name: till, image: 'till:3', ports: [{containerPort: 80}], env: [{name: A, value: x}], resources: {limits: {memory: 64Mi}}}
";

#[test]
fn certain_repairs() {
    let c = "spec.template.spec.containers[name=till]";
    for (old, new, wanted) in [
        (
            "replicas: 2",
            "Replicas: 2",
            vec!["spec.Replicas -".to_owned(), "spec.replicas + 2".to_owned()],
        ),
        (
            "replicas: 2",
            "replcias: '2'",
            vec!["spec.replcias -".to_owned(), "spec.replicas + 2".to_owned()],
        ),
        (
            "replicas: 2",
            "replicas: '2'",
            vec!["spec.replicas = 2".to_owned()],
        ),
        (
            "value: x",
            "value: 8080",
            vec![format!("{c}.env[name=A].value = \"8080\"")],
        ),
        (
            "value: x",
            "value: false",
            vec![format!("{c}.env[name=A].value = \"false\"")],
        ),
        (
            "memory: 64Mi",
            "memory: 64mi",
            vec![format!("{c}.resources.limits.memory = \"64Mi\"")],
        ),
        (
            "image: 'till:3'",
            "image: 'till:3', imagePullPolicy: ifnotpresent",
            vec![format!("{c}.imagePullPolicy = \"IfNotPresent\"")],
        ),
        (
            "image: 'till:3'",
            "image: 'till:3', command: sleep",
            vec![format!("{c}.command = [\"sleep\"]")],
        ),
        (
            "metadata: {labels: {app: till}}\n",
            "metadata: {}\n",
            vec!["spec.template.metadata.labels + {\"app\":\"till\"}".to_owned()],
        ),
        (
            "labels: {app: till}",
            "labels: {tier: web}",
            vec!["spec.template.metadata.labels.app + \"till\"".to_owned()],
        ),
        (
            "  selector: {matchLabels: {app: till}}\n",
            "",
            vec!["spec.selector + {\"matchLabels\":{\"app\":\"till\"}}".to_owned()],
        ),
        (
            "env: [{name: A, value: x}]",
            "env: {A: x}",
            vec![format!("{c}.env = [{{\"name\":\"A\",\"value\":\"x\"}}]")],
        ),
    ] {
        assert!(TILL.contains(old), "{old}");
        assert_eq!(fix(answer(&TILL.replace(old, new))), wanted, "{new}");
    }
}

#[test]
fn what_has_several_meanings_is_a_question() {
    for (old, new, path, proposals) in [
        ("replicas: 2", "colour: red", "spec.colour", 1),
        ("value: x", "value: 1.1", "value", 0),
        ("memory: 64Mi", "memory: 64MB", "memory", 2),
        (
            "name: till, namespace",
            "name: Till, namespace",
            "metadata.name",
            0,
        ),
        (
            "labels: {app: till}",
            "labels: {app: tall}",
            "spec.template.metadata.labels",
            1,
        ),
        (
            "      containers:",
            "      restartPolicy: Never\n      containers:",
            "restartPolicy",
            1,
        ),
        (
            "replicas: 2",
            "ports: [{containerPort: 1}]",
            "spec.ports",
            1,
        ),
    ] {
        assert!(TILL.contains(old), "{old}");
        let question = question(answer(&TILL.replace(old, new)));
        assert!(question.title.contains(path), "{}", question.title);
        assert!(
            question.title.contains("apps/till.yaml (second document)"),
            "{}",
            question.title
        );
        let given = question
            .options
            .iter()
            .filter(|o| o.proposal.is_some())
            .count();
        assert_eq!(given, proposals, "{new}: {:?}", question.options);
    }
}

#[test]
fn one_doubt_keeps_the_certain_repairs_for_its_options() {
    let bad = TILL
        .replace("replicas: 2", "replica: 2")
        .replace("64Mi", "64MB");
    let question = question(answer(&bad));
    let proposal = question.options[0].proposal.clone().unwrap();
    assert_eq!(proposal.edits.len(), 3);
}

#[test]
fn a_service_tells_which_label_is_right() {
    let bad = desired(&TILL.replace("labels: {app: till}", "labels: {app: tall}"));
    let service = |app: &str| {
        desired(&format!(
            "{{apiVersion: v1, kind: Service, metadata: {{name: s, namespace: shop}}, spec: {{ports: [{{port: 1}}], selector: {{app: {app}}}}}}}"
        ))
    };
    let told = answer_all(&[bad.clone(), service("till")], Class::InvalidManifest, "").unwrap();
    assert_eq!(fix(told), ["spec.template.metadata.labels.app = \"till\""]);
    let other = answer_all(&[bad, service("tall")], Class::InvalidManifest, "").unwrap();
    assert!(matches!(other, Answer::Ask(_)));
}

#[test]
fn a_daemon_set_loses_its_replicas_only_when_the_tool_names_them() {
    let set = "{apiVersion: apps/v1, kind: DaemonSet, metadata: {name: a}, spec: {replicas: 2, selector: {matchLabels: {a: b}}, template: {spec: {containers: [{name: a, image: b}]}}}}";
    let named = answer_all(&[desired(set)], Class::InvalidManifest, "spec.replicas").unwrap();
    assert_eq!(
        fix(named),
        [
            "spec.replicas -",
            "spec.template.metadata.labels + {\"a\":\"b\"}"
        ]
    );
    assert!(matches!(
        answer_all(&[desired(set)], Class::InvalidManifest, "").unwrap(),
        Answer::Ask(_)
    ));
}

#[test]
fn a_removed_version_is_converted_with_all_its_faults() {
    let old = TILL
        .replace("apps/v1", "apps/v1beta1")
        .replace(
            "  selector: {matchLabels: {app: till}}\n",
            "  rollbackTo: {revision: 0}\n",
        )
        .replace("value: x", "value: 1");
    let fixed = fix(answer_all(&[desired(&old)], Class::DeprecatedApi, "").unwrap());
    assert_eq!(
        fixed,
        [
            "apiVersion = \"apps/v1\"",
            "spec.rollbackTo -",
            "spec.selector + {\"matchLabels\":{\"app\":\"till\"}}",
            "spec.template.spec.containers[name=till].env[name=A].value = \"1\"",
        ]
    );
}

#[test]
fn a_version_without_replacement_is_refused() {
    let psp =
        "{apiVersion: policy/v1beta1, kind: PodSecurityPolicy, metadata: {name: a}, spec: {}}";
    let answer = answer_all(&[desired(psp)], Class::DeprecatedApi, "").unwrap();
    let Answer::Refuse(refusal) = answer else {
        panic!("{answer:?}")
    };
    assert!(refusal.message.contains("Pod Security admission"));
}

#[test]
fn another_group_is_asked_about() {
    let odd = desired(&TILL.replace("apps/v1", "extension/v1"));
    let question = question(answer_all(&[odd], Class::DeprecatedApi, "").unwrap());
    assert_eq!(question.code, Code::BlockedIdentity);
    assert!(question.title.contains("apps/v1"));
}

#[test]
fn a_valid_object_is_not_touched() {
    let answer = answer(TILL);
    assert!(
        matches!(answer, Answer::Refuse(ref r) if r.code == Code::NoSafeFix),
        "{answer:?}"
    );
}

#[test]
fn templates_are_refused_with_their_place() {
    let object = ObjectRef::new("", "File", None, "shop/templates/a.yaml");
    let mut finding = Finding::new(Class::RenderError, Severity::High, object, "refused");
    finding.message = "nil pointer evaluating interface {}.b".to_owned();
    let finding = finding
        .with_fact(fact::FILE, "shop/templates/a.yaml")
        .with_fact(fact::LINE, "12");
    let case = Case {
        finding: &finding,
        others: &[],
        snapshot: &Snapshot::default(),
        desired: &[],
        earlier: &[],
        report: None,
        now: "2026-01-01T00:00:00Z".parse().unwrap(),
        said: &crate::case::NOTHING_SAID,
    };
    let Some(Answer::Refuse(refusal)) = unlocated::run(&case) else {
        panic!()
    };
    assert_eq!(refusal.code, Code::BlockedTemplate);
    assert!(refusal.message.contains("templates/a.yaml, line 12"));
}

#[test]
fn an_immutable_field_is_a_refusal_of_its_own() {
    let mut finding = Finding::new(
        Class::InvalidManifest,
        Severity::High,
        desired(TILL).object.reference(),
        "refused",
    );
    finding.message =
        "The Deployment \"till\" is invalid: spec.selector: Invalid value: {}: field is immutable"
            .to_owned();
    let all = [desired(TILL)];
    let case = Case {
        finding: &finding,
        others: &[],
        snapshot: &Snapshot::default(),
        desired: &all,
        earlier: &[],
        report: None,
        now: "2026-01-01T00:00:00Z".parse().unwrap(),
        said: &crate::case::NOTHING_SAID,
    };
    let Some(Answer::Refuse(refusal)) = unlocated::run(&case) else {
        panic!()
    };
    assert_eq!(refusal.code, Code::BlockedImmutable);
    assert!(refusal.message.contains("apps/till.yaml"));
}

#[test]
fn text_without_quotes_in_a_moved_block_is_a_question() {
    let bad = TILL.replace("env: [{name: A, value: x}]", "envs: [{name: A, value: 1}]");
    let question = question(answer(&bad));
    assert!(
        question.title.contains("env[name=A].value"),
        "{}",
        question.title
    );
}

#[test]
fn kinds_that_are_not_served_say_who_has_to_act() {
    let refusal = |kind: &str, message: &str| {
        let text = TILL.replace("kind: Deployment", &format!("kind: {kind}"));
        let all = [desired(&text)];
        let object = all[0].object.reference();
        let mut finding = Finding::new(Class::DeprecatedApi, Severity::High, object, "refused");
        finding.message = message.to_owned();
        let case = Case {
            finding: &finding,
            others: &[],
            snapshot: &Snapshot::default(),
            desired: &all,
            earlier: &[],
            report: None,
            now: "2026-01-01T00:00:00Z".parse().unwrap(),
            said: &crate::case::NOTHING_SAID,
        };
        match unlocated::run(&case) {
            Some(Answer::Refuse(refusal)) => refusal,
            other => panic!("{other:?}"),
        }
    };
    let unserved = "no matches for kind";
    let custom = refusal("Gadget", unserved);
    assert_eq!(custom.code, Code::InfrastructureFault);
    assert!(custom.message.contains("CustomResourceDefinition"));
    let case = refusal("deployment", unserved);
    assert_eq!(case.code, Code::BlockedIdentity);
    assert!(case.message.contains("has Deployment"));
    let denied = refusal(
        "Gadget",
        "admission webhook \"a\" denied the request: no owner",
    );
    assert_eq!(denied.code, Code::NoSafeFix);
    assert!(denied.message.contains("A policy of the cluster"));
}
