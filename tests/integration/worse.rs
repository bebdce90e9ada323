//! A change that lock lets through, and that would break a reference elsewhere, is no pull request.

use kubemend::case::NO_ANSWERS;
use kubemend::code::Code;
use kubemend::finding::Severity;
use kubemend::object::ObjectRef;
use kubemend::pipeline::Ending;
use kubemend::propose::chain::Scripted;
use kubemend::propose::{Answer, Claim, Op, Proposal, ProposedEdit, Source, Unlock};

use crate::answers::run_on;

const TEMPLATE: &str = "{metadata: {labels: {app: web}}, spec: {containers: [{name: web, image: 'registry.example/web:2', env: [{name: MODE, valueFrom: {configMapKeyRef: {name: settings, key: KEY}}}]}]}}";

fn manifests(keys: &str) -> String {
    let template = TEMPLATE.replace("KEY", "mode");
    format!(
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: web, namespace: shop}}\nspec:\n  selector: {{matchLabels: {{app: web}}}}\n  template: {template}\n---\napiVersion: v1\nkind: ConfigMap\nmetadata: {{name: settings, namespace: shop}}\ndata: {keys}\n"
    )
}

/// The second revision crashes; the first one worked, and asked for another key.
fn cluster() -> String {
    let (old, new) = (
        TEMPLATE.replace("KEY", "old-mode"),
        TEMPLATE.replace("KEY", "mode"),
    );
    let owned = |kind: &str, name: &str, uid: &str| {
        format!(
            "[{{apiVersion: apps/v1, kind: {kind}, name: {name}, uid: {uid}, controller: true}}]"
        )
    };
    let by_web = owned("Deployment", "web", "d");
    let set = |name: &str, uid: &str, revision: u8, template: &str, available: u8| {
        format!(
            "- apiVersion: apps/v1\n  kind: ReplicaSet\n  metadata: {{name: {name}, namespace: shop, uid: {uid}, annotations: {{deployment.kubernetes.io/revision: '{revision}'}}, ownerReferences: {by_web}}}\n  spec: {{replicas: 1, selector: {{matchLabels: {{app: web}}}}, template: {template}}}\n  status: {{replicas: 1, availableReplicas: {available}}}\n"
        )
    };
    let (first, second) = (
        set("web-1", "r1", 1, &old, 1),
        set("web-2", "r2", 2, &new, 0),
    );
    let by_second = owned("ReplicaSet", "web-2", "r2");
    format!(
        "apiVersion: v1\nkind: List\nitems:\n- apiVersion: apps/v1\n  kind: Deployment\n  metadata: {{name: web, namespace: shop, uid: d, annotations: {{deployment.kubernetes.io/revision: '2'}}}}\n  spec: {{selector: {{matchLabels: {{app: web}}}}, template: {new}}}\n{first}{second}- apiVersion: v1\n  kind: Pod\n  metadata: {{name: web-2-x, namespace: shop, labels: {{app: web}}, ownerReferences: {by_second}}}\n  spec: {{containers: [{{name: web, image: 'registry.example/web:2'}}]}}\n  status:\n    phase: Running\n    containerStatuses:\n    - {{name: web, ready: false, restartCount: 7, image: 'registry.example/web:2', imageID: '', state: {{waiting: {{reason: CrashLoopBackOff, message: back-off}}}}, lastState: {{terminated: {{exitCode: 1, reason: Error, startedAt: '2026-01-02T11:58:00Z', finishedAt: '2026-01-02T11:59:00Z'}}}}}}\n"
    )
}

/// Back to the key that worked.
fn back() -> Proposal {
    let object = ObjectRef {
        api_version: "apps/v1".to_owned(),
        kind: "Deployment".to_owned(),
        namespace: Some("shop".to_owned()),
        name: "web".to_owned(),
    };
    let path =
        "spec.template.spec.containers[name=web].env[name=MODE].valueFrom.configMapKeyRef.key";
    Proposal {
        source: Source::Oracle,
        title: "read the key that worked".to_owned(),
        diagnosis: vec![Claim::fact("revision 1 worked".to_owned())],
        reason: "revision 1 read another key".to_owned(),
        risk: Severity::Medium,
        after_merge: Vec::new(),
        edits: vec![ProposedEdit {
            object,
            path: path.parse().unwrap(),
            op: Op::Set("old-mode".into()),
            unlock: Unlock::CrashLoopAfterChange,
            basis: "ReplicaSet web-1".to_owned(),
        }],
    }
}

fn ending(keys: &str) -> Ending {
    let proposer = Scripted(vec![Answer::Fix(back())]);
    let web = manifests(keys);
    let mut results = run_on(("web.yaml", &web), &cluster(), &proposer, &NO_ANSWERS);
    assert_eq!(results.len(), 1, "{results:#?}");
    results.remove(0).ending
}

#[test]
fn a_change_that_takes_a_key_away_from_a_pod_is_refused() {
    match ending("{mode: fast, old-mode: fast}") {
        Ending::PullRequest(_) => {}
        other => panic!("{other:#?}"),
    }
    match ending("{mode: fast}") {
        Ending::Refused { refusal, .. } => {
            assert_eq!(refusal.code, Code::NotVerifiable);
            insta::assert_snapshot!(refusal.message);
        }
        other => panic!("{other:#?}"),
    }
}
