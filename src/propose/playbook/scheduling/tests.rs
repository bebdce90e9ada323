#![allow(clippy::unwrap_used)]
use crate::detect::scheduling::findings;
use crate::propose::Answer;
use crate::propose::playbook::testing::{ask, asked, edits, fixed, objects, words};

const NODES: &str = "
kind: Node
metadata: {name: n1, labels: {disk: solid, kubernetes.io/hostname: n1}}
status: {allocatable: {cpu: '4', memory: 8Gi}}
---
kind: Node
metadata: {name: n2, labels: {disk: solid, kubernetes.io/hostname: n2}}
status: {allocatable: {cpu: '4', memory: 8Gi}}
---
";

/// A Deployment with one pending pod; `pod` is the pod spec as one flow mapping.
fn live(message: &str, pod: &str, old: &str) -> String {
    let old = if old.is_empty() {
        String::new()
    } else {
        format!(
            "
apiVersion: apps/v1
kind: ReplicaSet
metadata:
  {{name: web-1, namespace: shop, uid: r1, annotations: {{deployment.kubernetes.io/revision: '1'}},
   ownerReferences: [{{kind: Deployment, name: web, uid: d, controller: true}}]}}
spec: {{replicas: 0, template: {{spec: {old}}}}}
---
"
        )
    };
    format!("{NODES}{old}
apiVersion: apps/v1
kind: Deployment
metadata: {{name: web, namespace: shop, uid: d}}
---
apiVersion: apps/v1
kind: ReplicaSet
metadata:
  {{name: web-2, namespace: shop, uid: r2, annotations: {{deployment.kubernetes.io/revision: '2'}},
   ownerReferences: [{{kind: Deployment, name: web, uid: d, controller: true}}]}}
spec: {{replicas: 1, template: {{spec: {pod}}}}}
---
apiVersion: v1
kind: Pod
metadata:
  {{name: web-2-a, namespace: shop, labels: {{app: web}}, ownerReferences: [{{kind: ReplicaSet, name: web-2, uid: r2, controller: true}}]}}
spec: {pod}
status:
  phase: Pending
  conditions:
  - {{type: PodScheduled, status: 'False', reason: Unschedulable, message: \"0/2 nodes are available: {message}\"}}
")
}

fn git(pod: &str) -> String {
    format!(
        "
apiVersion: apps/v1
kind: Deployment
metadata: {{name: web, namespace: shop}}
spec:
  replicas: 3
  template: {{metadata: {{labels: {{app: web}}}}, spec: {pod}}}
"
    )
}

fn run(message: &str, pod: &str, old: &str) -> Answer {
    ask(findings, &live(message, pod, old), &git(pod), "")
}

fn memory(amount: &str) -> String {
    format!(
        "{{containers: [{{name: app, image: a, resources: {{requests: {{memory: {amount}}}}}}}]}}"
    )
}

const FULL: &str = "2 Insufficient memory.";
const NO_REQUEST: &str = "{containers: [{name: app, image: a}]}";
const PATH: &str = "spec.template.spec.containers[name=app].resources.requests.memory";

#[test]
fn a_request_goes_back_to_what_an_earlier_revision_asked_for() {
    let answer = run(FULL, &memory("64Gi"), &memory("2Gi"));
    assert_eq!(fixed(&answer), [format!("{PATH} = 2Gi")]);
    // the earlier request is no less
    asked(&run(FULL, &memory("64Gi"), &memory("64Gi")));
    // the earlier request would not fit either
    asked(&run(FULL, &memory("64Gi"), &memory("32Gi")));
}

#[test]
fn a_request_that_was_added_is_lowered_to_what_fits() {
    assert_eq!(
        fixed(&run(FULL, &memory("64Gi"), NO_REQUEST)),
        [format!("{PATH} = 64Mi")]
    );
    assert_eq!(
        fixed(&run(FULL, &memory("20000Mi"), NO_REQUEST)),
        [format!("{PATH} = 2Gi")]
    );
    // another container ran there: nothing is known about this one
    asked(&run(
        FULL,
        &memory("64Gi"),
        "{containers: [{name: other, image: a}]}",
    ));
}

#[test]
fn git_history_is_a_witness_too() {
    let pod = memory("64Gi");
    let answer = ask(
        findings,
        &live(FULL, &pod, ""),
        &git(&pod),
        &git(&memory("1Gi")),
    );
    assert_eq!(fixed(&answer), [format!("{PATH} = 1Gi")]);
}

#[test]
fn without_a_witness_the_numbers_are_asked_about() {
    let answer = run(FULL, &memory("64Gi"), "");
    let question = asked(&answer);
    let text = words(question);
    assert!(
        text.contains("64Gi") && text.contains("8Gi") && text.contains("Deployment shop/web"),
        "{text}"
    );
    let option = question.options[0].proposal.as_ref().unwrap();
    assert_eq!(edits(option), [format!("{PATH} = 64Mi")]);
}

#[test]
fn a_full_cluster_is_no_reason_to_guess_a_request() {
    let answer = run(FULL, &memory("2Gi"), "");
    let question = asked(&answer);
    assert!(question.options.iter().all(|o| o.proposal.is_none()));
    assert!(words(question).contains("fewer than 3 replicas"));
}

#[test]
fn devices_are_never_changed() {
    let pod = "{containers: [{name: app, image: a, resources: {limits: {example.com/fpga: 2}}}]}";
    let answer = run("2 Insufficient example.com/fpga.", pod, NO_REQUEST);
    let question = asked(&answer);
    assert!(question.options.iter().all(|o| o.proposal.is_none()));
    assert!(words(question).contains("no node of the 2 in the dump offers example.com/fpga"));
}

const UNMATCHED: &str = "2 node(s) didn't match Pod's node affinity/selector.";

fn selector(labels: &str) -> String {
    format!("{{nodeSelector: {labels}, containers: [{{name: app, image: a}}]}}")
}

#[test]
fn a_misspelled_label_is_corrected() {
    let path = "spec.template.spec.nodeSelector";
    assert_eq!(
        fixed(&run(UNMATCHED, &selector("{disk: soild}"), "")).len(),
        1,
        "value"
    );
    assert_eq!(
        fixed(&run(UNMATCHED, &selector("{dsik: solid}"), "")),
        [format!("{path}.dsik gone"), format!("{path}.disk = solid")]
    );
    asked(&run(UNMATCHED, &selector("{disk: nvme}"), ""));
    asked(&run(UNMATCHED, &selector("{disk: soild, dsik: solid}"), ""));
}

#[test]
fn an_expression_of_node_affinity_is_corrected_in_place() {
    let pod = "{affinity: {nodeAffinity: {requiredDuringSchedulingIgnoredDuringExecution: {nodeSelectorTerms: [{matchExpressions: [{key: kubernetes.io/hostnam, operator: In, values: [n1]}]}]}}}, containers: [{name: app, image: a}]}";
    let found = fixed(&run(UNMATCHED, pod, ""));
    assert_eq!(found.len(), 1);
    assert!(
        found[0].ends_with("matchExpressions[0].key = kubernetes.io/hostname"),
        "{found:?}"
    );
}

#[test]
fn a_selector_goes_back_to_an_earlier_revision() {
    assert_eq!(
        fixed(&run(UNMATCHED, &selector("{pool: gone}"), NO_REQUEST)),
        ["spec.template.spec.nodeSelector gone"]
    );
    assert_eq!(
        fixed(&run(
            UNMATCHED,
            &selector("{disk: nvme}"),
            &selector("{disk: solid}")
        )),
        ["spec.template.spec.nodeSelector.disk = solid"]
    );
    asked(&run(
        UNMATCHED,
        &selector("{disk: nvme}"),
        &selector("{disk: tape}"),
    ));
}

const APART: &str = "2 node(s) didn't match pod anti-affinity rules.";

fn apart(app: &str) -> String {
    format!(
        "{{affinity: {{podAntiAffinity: {{requiredDuringSchedulingIgnoredDuringExecution: [{{labelSelector: {{matchLabels: {{app: {app}}}}}, topologyKey: kubernetes.io/hostname}}]}}}}, containers: [{{name: app, image: a}}]}}"
    )
}

#[test]
fn replicas_that_keep_apart_are_counted() {
    let answer = run(APART, &apart("web"), "");
    let text = words(asked(&answer));
    assert!(
        text.contains("3 replicas")
            && text.contains("2 schedulable nodes")
            && text.contains("kubernetes.io/hostname"),
        "{text}"
    );
    let soft = asked(&answer).options[0].proposal.as_ref().unwrap();
    assert_eq!(soft.edits.len(), 2);
}

#[test]
fn own_replicas_are_the_owners_wish_even_where_the_rule_is_new() {
    let answer = run(APART, &apart("web"), NO_REQUEST);
    assert!(
        asked(&answer)
            .options
            .iter()
            .any(|o| o.title.starts_with("remove"))
    );
}

#[test]
fn a_request_that_git_has_lowered_is_only_not_applied() {
    let answer = ask(
        findings,
        &live(FULL, &memory("64Gi"), ""),
        &git(&memory("1Gi")),
        "",
    );
    assert!(
        matches!(&answer, Answer::Refuse(r) if r.code == crate::code::Code::PendingSync),
        "{answer:?}"
    );
}

#[test]
fn an_anti_affinity_that_is_new_goes() {
    assert_eq!(
        fixed(&run(APART, &apart("agent"), NO_REQUEST)),
        ["spec.template.spec.affinity gone"]
    );
    asked(&run(APART, &apart("agent"), &apart("agent")));
}

fn tainted(pod: &str, old: &str) -> Answer {
    let text = live("2 node(s) had untolerated taint {team: blue}.", pod, old);
    let text = text.replace(
        "status: {allocatable",
        "spec: {taints: [{key: team, value: blue, effect: NoSchedule}]}\nstatus: {allocatable",
    );
    ask(findings, &text, &git(pod), "")
}

fn tolerates(toleration: &str) -> String {
    format!("{{tolerations: [{toleration}], containers: [{{name: app, image: a}}]}}")
}

#[test]
fn a_toleration_one_slip_away_is_corrected() {
    let path = "spec.template.spec.tolerations[0]";
    let slip = |t: &str| fixed(&tainted(&tolerates(t), ""));
    assert_eq!(
        slip("{key: team, value: bleu, effect: NoSchedule}"),
        [format!("{path}.value = blue")]
    );
    assert_eq!(
        slip("{key: team, value: blue, effect: NoExecute, tolerationSeconds: 60}"),
        [format!("{path}.effect = NoSchedule")]
    );
    asked(&tainted(
        &tolerates("{key: team, value: red, effect: NoSchedule}"),
        "",
    ));
    asked(&tainted(NO_REQUEST, ""));
}

#[test]
fn a_toleration_that_was_lost_comes_back() {
    let old = tolerates("{key: team, operator: Exists, effect: NoSchedule}");
    assert_eq!(fixed(&tainted(NO_REQUEST, &old)).len(), 1);
}

#[test]
fn sick_nodes_are_no_fault_of_a_manifest() {
    let text = live(
        "2 node(s) had untolerated taint {node.kubernetes.io/not-ready: }.",
        NO_REQUEST,
        "",
    );
    let text = text.replace("status: {allocatable", "spec: {taints: [{key: node.kubernetes.io/not-ready, effect: NoSchedule}]}\nstatus: {allocatable");
    let answer = ask(findings, &text, &git(NO_REQUEST), "");
    assert!(matches!(answer, Answer::Refuse(_)), "{answer:?}");
}

const PORTS: &str = "2 node(s) didn't have free ports for the requested pod ports.";
const HOST_PORT: &str =
    "{containers: [{name: app, image: a, ports: [{containerPort: 8080, hostPort: 9000}]}]}";

fn service(target: &str) -> String {
    format!(
        "{}---
apiVersion: v1
kind: Service
metadata: {{name: web, namespace: shop}}
spec: {{selector: {{app: web}}, ports: [{{port: 80, targetPort: {target}}}]}}
",
        git(HOST_PORT)
    )
}

#[test]
fn a_host_port_goes_only_where_a_service_reaches_the_port() {
    let run = |git: &str| ask(findings, &live(PORTS, HOST_PORT, ""), git, "");
    assert_eq!(
        fixed(&run(&service("8080"))),
        ["spec.template.spec.containers[name=app].ports[0].hostPort gone"]
    );
    asked(&run(&service("8081")));
    asked(&run(&git(HOST_PORT)));
    // pods of the workload itself hold the port: it is in use
    let holder = "---
apiVersion: v1
kind: Pod
metadata:
  {name: web-2-b, namespace: shop, labels: {app: web}, ownerReferences: [{kind: ReplicaSet, name: web-2, uid: r2, controller: true}]}
spec: {nodeName: n1, containers: [{name: app, image: a, ports: [{containerPort: 8080, hostPort: 9000}]}]}
status: {phase: Running}
";
    let crowded = live(PORTS, HOST_PORT, "") + holder;
    asked(&ask(findings, &crowded, &service("8080"), ""));
}

#[test]
fn a_missing_scheduler_is_named() {
    let pod = "{schedulerName: fancy, containers: [{name: app, image: a}]}";
    let text = live("", pod, "").replace("  - {type: PodScheduled, status: 'False', reason: Unschedulable, message: \"0/2 nodes are available: \"}\n", "").replace("  conditions:\n", "");
    let answer = ask(findings, &text, &git(pod), "");
    assert!(words(asked(&answer)).contains("fancy"));
    assert_eq!(objects(NODES).len(), 2);
}
