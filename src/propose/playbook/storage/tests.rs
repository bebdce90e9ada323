#![allow(clippy::unwrap_used)]
use crate::detect::{scheduling, storage};
use crate::propose::Answer;
use crate::propose::playbook::testing::{ask, asked, edits, fixed, words};

const CLAIM: &str = "
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: cart, namespace: shop}
spec: {accessModes: [ReadWriteOnce], storageClassName: CLASS, resources: {requests: {storage: 1Gi}}}
";

fn class(name: &str, default: bool) -> String {
    format!("
kind: StorageClass
metadata: {{name: {name}, annotations: {{storageclass.kubernetes.io/is-default-class: '{default}'}}}}
---
")
}

fn pending(class: &str, classes: &[(&str, bool)], git_class: &str, before: &str) -> Answer {
    let live: String = classes.iter().map(|(n, d)| self::class(n, *d)).collect();
    let live = format!(
        "{live}{}status: {{phase: Pending}}\n",
        CLAIM.replace("CLASS", class)
    );
    ask(
        storage::findings,
        &live,
        &CLAIM.replace("CLASS", git_class),
        before,
    )
}

#[test]
fn the_class_follows_from_facts() {
    let fix = |wrong: &str, classes: &[(&str, bool)]| fixed(&pending(wrong, classes, wrong, ""));
    assert_eq!(
        fix("rapid", &[("standard", true), ("slow", false)]),
        ["spec.storageClassName = standard"],
        "default"
    );
    assert_eq!(
        fix("rapid", &[("slow", false)]),
        ["spec.storageClassName = slow"],
        "only one"
    );
    assert_eq!(
        fix(
            "standrad-ssd",
            &[("standard-ssd", false), ("standard", true)]
        ),
        ["spec.storageClassName = standard-ssd"],
        "slip"
    );
    let before = CLAIM.replace("CLASS", "slow");
    let answer = pending(
        "rapid",
        &[("standard", false), ("slow", false)],
        "rapid",
        &before,
    );
    assert_eq!(fixed(&answer), ["spec.storageClassName = slow"], "earlier");
}

#[test]
fn several_classes_without_a_default_are_a_question_with_changes() {
    let answer = pending(
        "rapid",
        &[("a-class", false), ("b-class", false)],
        "rapid",
        "",
    );
    let question = asked(&answer);
    let first = question.options[0].proposal.as_ref().unwrap();
    assert_eq!(edits(first), ["spec.storageClassName = a-class"]);
    assert!(words(question).contains("rapid"));
}

#[test]
fn a_claim_that_git_has_changed_already_is_only_recreated() {
    let answer = pending("rapid", &[("standard", true)], "standard", "");
    assert!(
        matches!(&answer, Answer::Refuse(r) if r.code == crate::code::Code::PendingSync),
        "{answer:?}"
    );
}

#[test]
fn the_fix_says_that_the_claim_is_made_again() {
    let Answer::Fix(proposal) = pending("rapid", &[("standard", true)], "rapid", "") else {
        panic!("no fix");
    };
    assert!(proposal.after_merge[0].contains("PersistentVolumeClaim shop/cart must be deleted"));
}

#[test]
fn a_template_is_changed_while_none_of_its_claims_is_bound() {
    let set = "
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: db, namespace: shop}
spec: {volumeClaimTemplates: [{metadata: {name: data}, spec: {storageClassName: rapid}}]}
";
    let run = |second: &str| {
        let claim = |name: &str, phase: &str| {
            CLAIM.replace("CLASS", "rapid").replace("cart", name)
                + &format!("status: {{phase: {phase}}}\n---\n")
        };
        let live = format!(
            "{}{}{}{set}",
            class("standard", true),
            claim("data-db-0", "Pending"),
            claim("data-db-1", second)
        );
        ask(storage::findings, &live, set, "")
    };
    assert_eq!(
        fixed(&run("Pending")),
        ["spec.volumeClaimTemplates[0].spec.storageClassName = standard"]
    );
    assert!(matches!(run("Bound"), Answer::Refuse(_)));
}

#[test]
fn volumes_made_by_hand_are_compared() {
    let live = format!(
        "{}status: {{phase: Pending}}
---
kind: PersistentVolume
metadata: {{name: disk}}
spec: {{storageClassName: manual, capacity: {{storage: 500Mi}}, accessModes: [ReadOnlyMany]}}
---
kind: StorageClass
metadata: {{name: standard}}
",
        CLAIM.replace("CLASS", "manual")
    );
    let answer = ask(
        storage::findings,
        &live,
        &CLAIM.replace("CLASS", "manual"),
        "",
    );
    let text = words(asked(&answer));
    assert!(
        text.contains("it holds 500Mi, less than 1Gi") && text.contains("ReadOnlyMany"),
        "{text}"
    );
}

/// A Deployment `web` that names claim `cart`, and these claims in its namespace.
fn lost(wrong: &str, claims: &[&str], more: &str) -> (String, String) {
    let volumes = format!(
        "{{volumes: [{{name: data, persistentVolumeClaim: {{claimName: {wrong}}}}}], containers: [{{name: app, image: a}}]}}"
    );
    let bound: String = claims
        .iter()
        .map(|c| {
            CLAIM.replace("CLASS", "standard").replace("cart", c) + "status: {phase: Bound}\n---\n"
        })
        .collect();
    let live = format!("{bound}{more}
apiVersion: v1
kind: Pod
metadata: {{name: web-a, namespace: shop, labels: {{pod-template-hash: a}}, ownerReferences: [{{kind: ReplicaSet, name: web-a, uid: r, controller: true}}]}}
spec: {volumes}
status: {{phase: Pending, conditions: [{{type: PodScheduled, status: 'False', reason: Unschedulable, message: '0/1 nodes are available: persistentvolumeclaim \"{wrong}\" not found.'}}]}}
");
    let git = format!(
        "
apiVersion: apps/v1
kind: Deployment
metadata: {{name: web, namespace: shop}}
spec: {{template: {{spec: {volumes}}}}}
"
    );
    (live, git)
}

fn find(wrong: &str, claims: &[&str], more: &str) -> Answer {
    let (live, git) = lost(wrong, claims, more);
    ask(scheduling::findings, &live, &git, "")
}

const PATH: &str = "spec.template.spec.volumes[name=data].persistentVolumeClaim.claimName";

#[test]
fn the_claim_that_is_meant_is_found() {
    assert_eq!(
        fixed(&find("orders-dtaa", &["orders-data", "users-data"], "")),
        [format!("{PATH} = orders-data")],
        "slip"
    );
    assert_eq!(
        fixed(&find("orders-volume", &["orders-pvc", "users-pvc"], "")),
        [format!("{PATH} = orders-pvc")],
        "name"
    );
    assert_eq!(
        fixed(&find("anything", &["web-pvc"], "")),
        [format!("{PATH} = web-pvc")],
        "only one, and called like the workload"
    );
    assert_eq!(
        fixed(&find("anything", &["data-pvc"], "")),
        [format!("{PATH} = data-pvc")],
        "only one, and nobody's by name"
    );
}

#[test]
fn a_claim_that_is_not_proven_is_asked_about() {
    asked(&find("data-0", &["data-1", "data-2"], ""));
    asked(&find("anything", &["orders-pvc", "users-pvc"], ""));
    // the only claim says by its name that it is another application's
    asked(&find("uploads", &["backup-archive"], ""));
    let used = "
apiVersion: v1
kind: Pod
metadata: {name: other, namespace: shop}
spec: {nodeName: n1, volumes: [{name: d, persistentVolumeClaim: {claimName: orders-pvc}}]}
status: {phase: Running}
---
";
    asked(&find("anything", &["orders-pvc"], used));
}

#[test]
fn a_claim_of_git_is_only_not_applied() {
    let (live, git) = lost("cart", &["orders-pvc"], "");
    let git = format!("{git}---\n{}", CLAIM.replace("CLASS", "standard"));
    let answer = ask(scheduling::findings, &live, &git, "");
    assert!(
        matches!(&answer, Answer::Refuse(r) if r.code == crate::code::Code::PendingSync),
        "{answer:?}"
    );
}

#[test]
fn a_shared_volume_is_a_question_with_its_numbers() {
    let pod = |name: &str, node: &str, phase: &str| {
        format!("
apiVersion: v1
kind: Pod
metadata: {{name: {name}, namespace: shop, labels: {{pod-template-hash: a}}, ownerReferences: [{{kind: ReplicaSet, name: web-a, uid: r, controller: true}}]}}
spec: {{nodeName: {node}, volumes: [{{name: d, persistentVolumeClaim: {{claimName: cart}}}}]}}
status: {{phase: {phase}}}
---
")
    };
    let live = format!(
        "{}{}{}status: {{phase: Bound}}
---
kind: Event
metadata: {{name: e}}
reason: FailedAttachVolume
involvedObject: {{kind: Pod, namespace: shop, name: web-2}}
message: 'Multi-Attach error for volume \"pv-7\" Volume is already used by pod(s) web-1'
",
        pod("web-1", "n1", "Running"),
        pod("web-2", "n2", "Pending"),
        CLAIM.replace("CLASS", "standard")
    );
    let git = "
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: shop}
spec: {replicas: 2, template: {spec: {volumes: [{name: d, persistentVolumeClaim: {claimName: cart}}], containers: []}}}
";
    let answer = ask(storage::findings, &live, git, "");
    let text = words(asked(&answer));
    for fact in [
        "PersistentVolumeClaim shop/cart",
        "ReadWriteOnce",
        "2 replicas",
        "node n2",
    ] {
        assert!(text.contains(fact), "{fact}: {text}");
    }
}
