#![allow(clippy::unwrap_used)]
use super::*;

fn object(yaml: &str) -> Object {
    Object::new(crate::manifest::read_stream(yaml).unwrap().remove(0)).unwrap()
}

fn pod(name: &str, label: &str, hash: &str, ready: bool, waiting: &str) -> Object {
    let state = match waiting {
        "" => "{running: {}}".to_owned(),
        reason => format!("{{waiting: {{reason: {reason}}}}}"),
    };
    object(&format!(
        "{{kind: Pod, metadata: {{name: {name}, creationTimestamp: '2026-01-02T12:01:00Z', labels: {{{label}: {hash}}}}}, status: {{conditions: [{{type: Ready, status: '{}'}}], containerStatuses: [{{name: web, state: {state}}}]}}}}",
        if ready { "True" } else { "False" }
    ))
}

struct World {
    workload: Object,
    sets: Vec<Object>,
    pods: Vec<Object>,
}

impl World {
    fn assess(&self) -> Rollout {
        let sets: Vec<&Object> = self.sets.iter().collect();
        let pods: Vec<&Object> = self.pods.iter().collect();
        assess(&Observed {
            workload: &self.workload,
            children: &sets,
            pods: &pods,
            applied_at: "2026-01-02T12:00:00Z".parse().ok(),
            reads_anew: false,
        })
    }
}

/// A finished rollout of image `v2`; parts are replaced in the tests.
fn deployment(status: &str) -> World {
    let set = |name: &str, hash: &str, image: &str, revision: u8| {
        object(&format!(
            "{{kind: ReplicaSet, metadata: {{name: {name}, labels: {{pod-template-hash: {hash}}}, annotations: {{deployment.kubernetes.io/revision: '{revision}'}}}}, spec: {{template: {{spec: {{containers: [{{name: web, image: {image}}}]}}}}}}}}"
        ))
    };
    World {
        workload: object(&format!(
            "{{kind: Deployment, metadata: {{name: web, generation: 2, annotations: {{deployment.kubernetes.io/revision: '2'}}}}, spec: {{replicas: 1, template: {{spec: {{containers: [{{name: web, image: v2}}]}}}}}}, status: {status}}}"
        )),
        sets: vec![
            set("web-old", "old", "v1", 1),
            set("web-new", "new", "v2", 2),
        ],
        pods: vec![pod("web-new-x", "pod-template-hash", "new", true, "")],
    }
}

const FINISHED: &str =
    "{observedGeneration: 2, replicas: 1, updatedReplicas: 1, availableReplicas: 1}";

#[test]
fn a_finished_deployment_is_done() {
    assert_eq!(deployment(FINISHED).assess(), Rollout::Done);
}

#[test]
fn the_old_rollout_does_not_count() {
    // complete, but one generation behind
    let old = "{observedGeneration: 1, replicas: 1, updatedReplicas: 1, availableReplicas: 1, conditions: [{type: Progressing, status: 'True', reason: NewReplicaSetAvailable}]}";
    assert!(matches!(deployment(old).assess(), Rollout::Progressing(_)));
    let mut world = deployment(FINISHED);
    world.sets.pop();
    assert!(matches!(world.assess(), Rollout::Progressing(why) if why.contains("no ReplicaSet")));
    let mut world = deployment(FINISHED);
    world.pods.clear();
    assert!(matches!(world.assess(), Rollout::Progressing(why) if why.contains("0 of 1 new pods")));
}

#[test]
fn counts_that_are_behind_are_progress() {
    for (status, word) in [
        (
            "{observedGeneration: 2, replicas: 1, updatedReplicas: 0}",
            "updated",
        ),
        (
            "{observedGeneration: 2, replicas: 2, updatedReplicas: 1, availableReplicas: 1}",
            "old pods",
        ),
        (
            "{observedGeneration: 2, replicas: 1, updatedReplicas: 1, availableReplicas: 0}",
            "available",
        ),
    ] {
        assert!(
            matches!(deployment(status).assess(), Rollout::Progressing(why) if why.contains(word)),
            "{status}"
        );
    }
}

fn exceeded(set: &str, updated: &str) -> String {
    format!(
        "{{observedGeneration: 2, replicas: 1, updatedReplicas: 1, availableReplicas: 0, conditions: [{{type: Progressing, status: 'False', reason: ProgressDeadlineExceeded, lastUpdateTime: '{updated}', message: 'ReplicaSet \"{set}\" has timed out progressing.'}}]}}"
    )
}

#[test]
fn a_stale_deadline_is_no_failure_and_a_fresh_one_is() {
    let stale = deployment(&exceeded("web-old", "2026-01-02T11:00:00Z"));
    assert!(matches!(stale.assess(), Rollout::Progressing(_)));
    // refreshed after the change, but about the old ReplicaSet
    let about_old = deployment(&exceeded("web-old", "2026-01-02T12:05:00Z"));
    assert!(matches!(about_old.assess(), Rollout::Progressing(_)));
    let fresh = deployment(&exceeded("web-new", "2026-01-02T12:10:00Z"));
    assert!(matches!(fresh.assess(), Rollout::Failing(why) if why.contains("web-new")));
}

#[test]
fn new_pods_that_fail_are_a_failure_whatever_the_conditions_say() {
    for reason in BROKEN {
        let mut world = deployment(FINISHED);
        world.pods = vec![pod("web-new-x", "pod-template-hash", "new", false, reason)];
        assert!(
            matches!(world.assess(), Rollout::Failing(why) if why.contains(reason)),
            "{reason}"
        );
        // an old pod that fails is what is being replaced
        world.pods = vec![
            pod("web-old-x", "pod-template-hash", "old", false, reason),
            pod("web-new-x", "pod-template-hash", "new", true, ""),
        ];
        assert_eq!(world.assess(), Rollout::Done, "{reason}");
    }
}

#[test]
fn a_paused_deployment_waits() {
    let mut world = deployment(FINISHED);
    let spec = world.workload.value.pointer_mut("/spec").unwrap();
    spec["paused"] = true.into();
    assert_eq!(world.assess(), Rollout::Waiting(Wait::Paused));
}

fn stateful(spec: &str, status: &str, pods: Vec<Object>) -> Rollout {
    World {
        workload: object(&format!("{{kind: StatefulSet, metadata: {{name: db, generation: 2}}, spec: {{replicas: 2{spec}}}, status: {{observedGeneration: 2, updateRevision: new, {status}}}}}")),
        sets: Vec::new(),
        pods,
    }
    .assess()
}

fn revision(name: &str, hash: &str, ready: bool, waiting: &str) -> Object {
    pod(name, "controller-revision-hash", hash, ready, waiting)
}

#[test]
fn an_ordered_stateful_set_is_blocked_by_its_broken_pod() {
    let pods = || {
        vec![
            revision("db-0", "old", true, ""),
            revision("db-1", "old", false, "CrashLoopBackOff"),
        ]
    };
    let status = "currentRevision: old, readyReplicas: 1, updatedReplicas: 0";
    assert_eq!(
        stateful("", status, pods()),
        Rollout::Waiting(Wait::BrokenPodBlocks)
    );
    assert!(matches!(
        stateful(", podManagementPolicy: Parallel", status, pods()),
        Rollout::Progressing(_)
    ));
    let fine = vec![
        revision("db-0", "old", true, ""),
        revision("db-1", "old", true, ""),
    ];
    assert!(matches!(
        stateful("", status, fine),
        Rollout::Progressing(_)
    ));
}

#[test]
fn a_broken_pod_blocks_the_way_back_to_the_revision_before_it() {
    let pods = vec![
        revision("db-0", "new", true, ""),
        revision("db-1", "broken", false, ""),
    ];
    // the revision before is the current one again, so nothing seems to be left to update
    let status = "currentRevision: new, readyReplicas: 1";
    assert_eq!(
        stateful("", status, pods),
        Rollout::Waiting(Wait::BrokenPodBlocks)
    );
}

#[test]
fn a_stateful_set_is_done_with_or_without_the_count() {
    let pods = || {
        vec![
            revision("db-0", "new", true, ""),
            revision("db-1", "new", true, ""),
        ]
    };
    for count in ["", ", updatedReplicas: 2"] {
        let status = format!("currentRevision: new, readyReplicas: 2{count}");
        assert_eq!(stateful("", &status, pods()), Rollout::Done);
    }
    let behind = "currentRevision: old, readyReplicas: 2, updatedReplicas: 2";
    assert!(matches!(
        stateful("", behind, pods()),
        Rollout::Progressing(_)
    ));
}

#[test]
fn a_partition_and_on_delete_wait() {
    let pods = || {
        vec![
            revision("db-0", "old", true, ""),
            revision("db-1", "new", true, ""),
        ]
    };
    let status = "currentRevision: old, readyReplicas: 2, updatedReplicas: 1";
    let partition = ", updateStrategy: {type: RollingUpdate, rollingUpdate: {partition: 1}}";
    assert_eq!(
        stateful(partition, status, pods()),
        Rollout::Waiting(Wait::Partition)
    );
    let on_delete = ", updateStrategy: {type: OnDelete}";
    assert_eq!(
        stateful(on_delete, status, pods()),
        Rollout::Waiting(Wait::OnDelete)
    );
}

#[test]
fn a_daemon_set_counts_nodes() {
    let with = |spec: &str, status: &str| {
        World {
        workload: object(&format!("{{kind: DaemonSet, metadata: {{name: agent, generation: 2}}, spec: {{{spec}}}, status: {{observedGeneration: 2, desiredNumberScheduled: 2, {status}}}}}")),
        sets: Vec::new(),
        pods: vec![revision("a", "new", true, ""), revision("b", "old", true, "")],
    }
    .assess()
    };
    assert_eq!(
        with("", "updatedNumberScheduled: 2, numberAvailable: 2"),
        Rollout::Done
    );
    assert!(matches!(
        with("", "updatedNumberScheduled: 1, numberAvailable: 2"),
        Rollout::Progressing(_)
    ));
    assert!(matches!(
        with("", "updatedNumberScheduled: 2, numberAvailable: 1"),
        Rollout::Progressing(_)
    ));
    assert_eq!(
        with("updateStrategy: {type: OnDelete}", "numberAvailable: 2"),
        Rollout::Waiting(Wait::OnDelete)
    );
}

#[test]
fn wrong_shapes_are_progress_and_never_a_panic() {
    for yaml in [
        "{kind: Deployment}",
        "{kind: Deployment, metadata: [], spec: 7, status: []}",
        "{kind: StatefulSet, status: {observedGeneration: 9, updatedReplicas: x}}",
        "{kind: DaemonSet, status: {observedGeneration: 1, desiredNumberScheduled: []}}",
        "{kind: Job}",
    ] {
        let world = World {
            workload: object(yaml),
            sets: Vec::new(),
            pods: Vec::new(),
        };
        assert!(!matches!(world.assess(), Rollout::Failing(_)), "{yaml}");
    }
}
