#![allow(clippy::unwrap_used)]

use crate::code::Code;
use crate::detect::container::findings;
use crate::propose::Answer;
use crate::propose::playbook::testing::{ask, fixed};

const TEMPLATE: &str = "
  template:
    metadata: {labels: {app: db}}
    spec:
      containers:
      - name: db
        image: registry.example.com/db:1.0.0
        ports: [{containerPort: 7000}]
        readinessProbe: {grpc: {port: PORT}}
";

fn template(port: &str) -> String {
    TEMPLATE.replace("PORT", port)
}

fn git(port: &str) -> String {
    format!(
        "apiVersion: apps/v1\nkind: StatefulSet\nmetadata: {{name: db, namespace: shop, generation: 3}}\nspec:\n  serviceName: db\n  selector: {{matchLabels: {{app: db}}}}{}",
        template(port)
    )
}

/// The StatefulSet at a revision, both revisions that there were, and a pod of the one that fails.
fn live(port: &str, current: &str) -> String {
    let owner = |kind: &str| {
        format!(
            "ownerReferences: [{{apiVersion: apps/v1, kind: {kind}, name: db, uid: u, controller: true}}]"
        )
    };
    let revision = |name: &str, number: u8, port: &str| {
        format!(
            "apiVersion: apps/v1\nkind: ControllerRevision\nmetadata: {{name: {name}, namespace: shop, {}}}\nrevision: {number}\ndata:\n spec:{}\n",
            owner("StatefulSet"),
            template(port).replace('\n', "\n ")
        )
    };
    let (good, bad) = if current == "db-good" { (3, 2) } else { (1, 2) };
    [
        git(port).replace("generation: 3", "generation: 3, uid: u")
            + &format!("status: {{observedGeneration: 3, updateRevision: {current}, currentRevision: db-good}}\n"),
        revision("db-good", good, "7000"),
        revision("db-bad", bad, "7040"),
        format!(
            "apiVersion: v1\nkind: Pod\nmetadata: {{name: db-0, namespace: shop, uid: p, creationTimestamp: '2026-05-01T11:00:00Z', labels: {{app: db, controller-revision-hash: db-bad}}, {}}}\nspec:{}\nstatus:\n  phase: Running\n  conditions: [{{type: Ready, status: 'False'}}]\n  containerStatuses: [{{name: db, image: x, imageID: '', ready: false, started: true, restartCount: 0, state: {{running: {{startedAt: '2026-05-01T11:00:00Z'}}}}}}]\n",
            owner("StatefulSet"),
            template("7040").split_once("    spec:").unwrap().1.replace("\n    ", "\n")
        ),
        "apiVersion: v1\nkind: Event\nmetadata: {name: e, namespace: shop}\ninvolvedObject: {apiVersion: v1, kind: Pod, namespace: shop, name: db-0, uid: p}\ntype: Warning\nreason: Unhealthy\nmessage: 'Readiness probe failed: dial tcp 10.1.0.9:7040: connect: connection refused'\ncount: 9\nlastTimestamp: '2026-05-01T11:59:00Z'\n".to_owned(),
    ]
    .join("\n---\n")
}

#[test]
fn a_pod_of_the_newest_revision_gets_its_fix_and_people_are_told_to_delete_it() {
    let answer = ask(
        findings,
        &live("7040", "db-bad"),
        &git("7040"),
        &git("7000"),
    );
    assert_eq!(
        fixed(&answer),
        ["spec.template.spec.containers[name=db].readinessProbe.grpc.port = 7000"]
    );
    let Answer::Fix(proposal) = answer else {
        panic!("no fix");
    };
    let told = proposal.after_merge.join("\n");
    assert!(
        told.contains("delete the pod db-0 of namespace shop by hand"),
        "{told}"
    );
}

#[test]
fn a_pod_that_the_merged_fix_does_not_reach_is_no_reason_to_take_it_back() {
    let answer = ask(
        findings,
        &live("7000", "db-good"),
        &git("7000"),
        &git("7040"),
    );
    let Answer::Refuse(refusal) = answer else {
        panic!("{answer:#?}");
    };
    assert_eq!(refusal.code, Code::PendingSync);
    assert!(
        refusal
            .message
            .contains("db-0 is left from an earlier revision"),
        "{refusal}"
    );
    assert!(refusal.message.contains("delete the pod db-0"), "{refusal}");
}

/// The StatefulSet of before, with another update strategy.
fn held_by(strategy: &str, port: &str, current: &str) -> String {
    let live = live(port, current);
    let set = "spec:\n  serviceName: db\n";
    assert!(live.contains(set));
    let held = format!("{set}  updateStrategy: {strategy}\n");
    live.replacen(set, &held, 1)
}

const ON_DELETE: &str = "{type: OnDelete}";

fn partition(n: u8) -> String {
    format!("{{type: RollingUpdate, rollingUpdate: {{partition: {n}}}}}")
}

/// Nothing replaces these pods by itself: to wait is no advice.
#[test]
fn what_the_update_strategy_holds_is_said_and_never_waited_for() {
    let lower = "lower partition 1 of its update strategy, which keeps db-0 on the earlier template even when deleted";
    let table = [
        (
            ON_DELETE.to_owned(),
            Code::RolloutHeld,
            "delete the pod db-0 of namespace shop by hand: pods get a new template only when they are deleted (OnDelete)",
        ),
        (partition(1), Code::RolloutHeld, lower),
        (
            partition(0),
            Code::PendingSync,
            "an ordered StatefulSet does not replace",
        ),
    ];
    for (strategy, code, said) in table {
        let live = held_by(&strategy, "7000", "db-good");
        let answer = ask(findings, &live, &git("7000"), &git("7040"));
        let Answer::Refuse(refusal) = answer else {
            panic!("{strategy}: {answer:#?}");
        };
        assert_eq!(refusal.code, code, "{strategy}");
        assert!(refusal.message.contains(said), "{strategy}: {refusal}");
        let deletes = refusal.message.contains("delete the pod");
        assert_eq!(deletes, strategy != partition(1), "{refusal}");
    }
}

/// Pods count from where the set begins.
#[test]
fn a_partition_counts_from_the_first_ordinal() {
    let strategy = format!("{}\n  ordinals: {{start: 4}}", partition(1));
    let live = held_by(&strategy, "7000", "db-good").replace("db-0", "db-5");
    let answer = ask(findings, &live, &git("7000"), &git("7040"));
    assert!(matches!(answer, Answer::Refuse(r) if r.code == Code::PendingSync));
    let live = live.replace("db-5", "db-4");
    let answer = ask(findings, &live, &git("7000"), &git("7040"));
    assert!(matches!(answer, Answer::Refuse(r) if r.code == Code::RolloutHeld));
}

#[test]
fn what_a_fix_needs_by_hand_depends_on_the_update_strategy() {
    for (strategy, said) in [
        (ON_DELETE.to_owned(), "delete the pod db-0"),
        (partition(1), "lower partition 1"),
    ] {
        let live = held_by(&strategy, "7040", "db-bad");
        let answer = ask(findings, &live, &git("7040"), &git("7000"));
        let Answer::Fix(proposal) = answer else {
            panic!("{strategy}: {answer:#?}");
        };
        let told = proposal.after_merge.join("\n");
        assert!(told.contains(said), "{strategy}: {told}");
    }
}

/// A DaemonSet that replaces its pods when somebody deletes them.
#[test]
fn a_daemon_set_may_hold_its_pods_too() {
    let live = held_by(ON_DELETE, "7000", "db-good").replace("StatefulSet", "DaemonSet");
    // their revisions carry the label of their pods
    let labelled = "metadata: {name: db-good, labels: {controller-revision-hash: db-good},";
    let live = live.replace("metadata: {name: db-good,", labelled);
    let git = |port| git(port).replace("StatefulSet", "DaemonSet");
    let answer = ask(findings, &live, &git("7000"), &git("7040"));
    let Answer::Refuse(refusal) = answer else {
        panic!("{answer:#?}");
    };
    assert_eq!(refusal.code, Code::RolloutHeld);
    assert!(refusal.message.contains("(OnDelete)"), "{refusal}");
}
