#![allow(clippy::unwrap_used)]
use super::stage::{Stage, crashed, deployment, docs, event, pod, replica_set, rollout, waiting};
use crate::finding::Class;

const GOOD: &str = "image: registry.test/web:1.4.0";
const NOT_FOUND: &str =
    "failed to resolve reference \"registry.test/web:1.4.l\": registry.test/web:1.4.l: not found";

fn pull(old: &str, new: &str, message: &str) -> Stage {
    rollout(old, new, &waiting("ImagePullBackOff", message))
}

#[test]
fn an_image_that_does_not_exist_goes_back_to_the_revision_that_serves() {
    let stage = pull(GOOD, "image: registry.test/web:1.4.l", NOT_FOUND);
    assert_eq!(stage.classes(), [Class::ImagePullNotFound]);
    assert_eq!(
        stage.fix(),
        ["spec.template.spec.containers[name=app].image = \"registry.test/web:1.4.0\""]
    );
}

#[test]
fn a_registry_that_refuses_or_does_not_answer_does_so_for_every_tag() {
    let new = "image: registry.test/web:1.5.0";
    for (message, code) in [
        (
            "429 Too Many Requests - toomanyrequests: rate limit",
            "refuse InfrastructureFault",
        ),
        ("401 Unauthorized", "ask MissingSecretInput"),
        (
            "pull access denied, repository does not exist or may require authorization",
            "ask MissingValue",
        ),
    ] {
        let words = pull(GOOD, new, message).words();
        assert!(words.starts_with(code), "{message}: {words}");
    }
    let moved = "image: registry.test/wbe:1.4.0";
    assert_eq!(
        pull(GOOD, moved, "403 Forbidden").fix(),
        ["spec.template.spec.containers[name=app].image = \"registry.test/web:1.4.0\""]
    );
}

#[test]
fn an_image_that_may_not_be_pulled_is_asked_for() {
    let words = rollout(
        GOOD,
        GOOD,
        &waiting("ErrImageNeverPull", "not present with pull policy of Never"),
    )
    .words();
    assert!(
        words.starts_with("ask OwnerDecision") && words.contains("imagePullPolicy"),
        "{words}"
    );
}

#[test]
fn what_a_security_context_forbids_is_named() {
    let new = "image: registry.test/web:1.4.0\nsecurityContext: {readOnlyRootFilesystem: true, runAsUser: 101}";
    for (log, fact) in [
        (
            "open /var/cache/x: Read-only file system",
            "readOnlyRootFilesystem",
        ),
        ("bind 0.0.0.0:80: Permission denied", "runAsUser 101"),
    ] {
        let words = rollout(new, new, &crashed(1, "Error"))
            .log("web-x", "app", log)
            .words();
        assert!(
            words.starts_with("ask BlockedSecurity") && words.contains(fact),
            "{words}"
        );
    }
    let free = rollout(GOOD, GOOD, &crashed(1, "Error")).log(
        "web-x",
        "app",
        "bind 0.0.0.0:80: Permission denied",
    );
    assert!(
        free.words().starts_with("refuse ApplicationFault"),
        "{}",
        free.words()
    );
}

#[test]
fn a_directory_mounted_over_a_file_is_no_bad_command() {
    let new =
        "image: registry.test/web:1.4.0\nvolumeMounts: [{name: conf, mountPath: /etc/web.conf}]";
    let message = "error during container init: error mounting \"/var/lib/x\" to rootfs at \"/etc/web.conf\": not a directory: unknown";
    let mut stage = rollout(new, new, &waiting("RunContainerError", message));
    let volume = "      volumes: [{name: conf, emptyDir: {}}]\n      containers:\n";
    stage.git = deployment(new).replace("      containers:\n", volume);
    let words = stage.words();
    assert!(
        words.starts_with("ask NotUnlocked") && words.contains("without a subPath"),
        "{words}"
    );
}

#[test]
fn a_misspelled_item_of_a_mounted_config_map_is_corrected() {
    let new = "image: registry.test/web:1.4.0";
    let mount = |text: String| {
        text.replace("      containers:\n", "      volumes: [{name: conf, configMap: {name: settings, items: [{key: defualt.conf, path: x}]}}]\n      containers:\n")
    };
    let config = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: settings, namespace: shop}\ndata: {default.conf: a}\n".to_owned();
    let message = "MountVolume.SetUp failed for volume \"conf\" : configmap references non-existent config key: defualt.conf";
    let pod = pod(new, "state: {waiting: {reason: ContainerCreating}}")
        .replace("phase: Running", "phase: Pending")
        .replace(
            "  containers:\n",
            "  volumes: [{name: conf, configMap: {name: settings}}]\n  containers:\n",
        );
    let dump = docs(&[
        mount(deployment(new)),
        mount(replica_set(2, 0, new)),
        pod,
        event("FailedMount", 9, message),
        config,
    ]);
    assert_eq!(
        Stage::new(&dump, &mount(deployment(new))).fix(),
        ["spec.template.spec.volumes[name=conf].configMap.items[0].key = \"default.conf\""]
    );
    let other = dump.replace("default.conf: a", "nginx.conf: a");
    let words = Stage::new(&other, &mount(deployment(new))).words();
    assert!(words.starts_with("ask MissingValue"), "{words}");
}

#[test]
fn sets_go_back_to_their_earlier_controller_revision() {
    for kind in ["DaemonSet", "StatefulSet"] {
        set_goes_back(kind);
    }
}

fn set_goes_back(kind: &str) {
    let (old, new) = (
        "image: registry.test/web:1.4.0",
        "image: registry.test/web:1.4.l",
    );
    let set = |container: &str| {
        deployment(container)
            .replace("kind: Deployment", &format!("kind: {kind}"))
            .replace("  replicas: 1\n", "")
    };
    let revision = |number: u8, container: &str| {
        let template = serde_json::to_string(
            &serde_saphyr::from_str::<serde_json::Value>(&set(container)).unwrap()["spec"]["template"],
        )
        .unwrap();
        format!(
            "apiVersion: apps/v1\nkind: ControllerRevision\nmetadata: {{name: web-c{number}, namespace: shop, ownerReferences: [{{apiVersion: apps/v1, kind: {kind}, name: web, uid: d1, controller: true}}]}}\nrevision: {number}\ndata: {{spec: {{template: {template}}}}}\n"
        )
    };
    let pod = pod(new, &waiting("ImagePullBackOff", NOT_FOUND)).replace(
        "kind: ReplicaSet, name: web-r2, uid: r2",
        &format!("kind: {kind}, name: web, uid: d1"),
    );
    let with = |revisions: &[String]| {
        let mut all = vec![set(new), pod.clone()];
        all.extend(revisions.iter().cloned());
        Stage::new(&docs(&all), &set(new))
    };
    assert_eq!(
        with(&[revision(1, old), revision(2, new)]).fix(),
        ["spec.template.spec.containers[name=app].image = \"registry.test/web:1.4.0\""]
    );
    let words = with(&[revision(2, new)]).words();
    assert!(words.starts_with("ask MissingValue"), "{words}");
}

#[test]
fn a_new_image_that_cannot_reach_its_dependency_is_a_question() {
    let new = "image: registry.test/web:2.0.0";
    let stage = |log| rollout(GOOD, new, &crashed(1, "Error")).log("web-x", "app", log);
    let words = stage("dial tcp 10.0.0.1:5432: connection refused").words();
    assert!(words.starts_with("ask OwnerDecision"), "{words}");
    assert_eq!(
        stage("panic: index out of range").fix(),
        ["spec.template.spec.containers[name=app].image = \"registry.test/web:1.4.0\""]
    );
}

#[test]
fn containers_of_one_image_go_back_together() {
    let twin = |text: String, image: &str| {
        text.replace(
            "      containers:\n",
            &format!(
                "      initContainers: [{{name: prepare, image: '{image}'}}]\n      containers:\n"
            ),
        )
    };
    let (old, new) = ("registry.test/web:1.4.0", "registry.test/web:1.4.l");
    let (old_yaml, new_yaml) = (format!("image: {old}"), format!("image: {new}"));
    let git = twin(deployment(&new_yaml), new);
    let dump = docs(&[
        git.clone(),
        twin(replica_set(1, 1, &old_yaml), old),
        twin(replica_set(2, 0, &new_yaml), new),
        pod(&new_yaml, &waiting("ImagePullBackOff", NOT_FOUND)),
    ]);
    assert_eq!(
        Stage::new(&dump, &git).fix(),
        [
            "spec.template.spec.containers[name=app].image = \"registry.test/web:1.4.0\"",
            "spec.template.spec.initContainers[name=prepare].image = \"registry.test/web:1.4.0\""
        ]
    );
}

#[test]
fn a_new_image_that_wants_a_variable_is_a_question() {
    let new = "image: registry.test/web:2.0.0";
    let stage = rollout(GOOD, new, &crashed(1, "Error")).log(
        "web-x",
        "app",
        "environment variable FLAGS_URL is required",
    );
    let words = stage.words();
    assert!(
        words.starts_with("ask OwnerDecision")
            && words.contains("set environment variable FLAGS_URL"),
        "{words}"
    );
}

#[test]
fn two_containers_with_one_missing_image_are_one_finding() {
    let new = "image: registry.test/web:1.4.l";
    let second = |text: String| {
        text.replace(
            "      containers:\n",
            "      containers:\n      - {name: twin, image: 'registry.test/web:1.4.l'}\n",
        )
    };
    let pod = pod(new, &waiting("ImagePullBackOff", NOT_FOUND))
        .replace("  containers:\n", "  containers:\n  - {name: twin, image: 'registry.test/web:1.4.l'}\n")
        .replace("  containerStatuses:\n", "  containerStatuses:\n  - {name: twin, ready: false, restartCount: 0, state: {waiting: {reason: ImagePullBackOff, message: 'registry.test/web:1.4.l: not found'}}}\n");
    let git = second(deployment(new));
    let stage = Stage::new(
        &docs(&[git.clone(), second(replica_set(2, 0, new)), pod]),
        &git,
    );
    assert_eq!(stage.classes(), [Class::ImagePullNotFound]);
    let words = stage.words();
    assert!(words.contains("containers twin, app"), "{words}");
}

#[test]
fn a_host_that_is_no_service_is_asked_for() {
    let new = "image: registry.test/web:1.4.0\nenv: [{name: CACHE, value: 'cahce:6379'}]";
    let service = |name: &str| {
        format!(
            "apiVersion: v1\nkind: Service\nmetadata: {{name: {name}, namespace: shop}}\nspec: {{}}\n"
        )
    };
    let stage = |name: &str| {
        let stage = rollout(new, new, &crashed(1, "Error"));
        Stage::new(&docs(&[stage.dump, service(name)]), &deployment(new)).log(
            "web-x",
            "app",
            "dial tcp: lookup cahce on 10.0.0.10:53: no such host",
        )
    };
    let words = stage("cache").words();
    assert!(
        words.starts_with("ask MissingValue") && words.contains("name cache instead of cahce"),
        "{words}"
    );
    let words = stage("cahce").words();
    assert!(words.starts_with("refuse ApplicationFault"), "{words}");
}

#[test]
fn a_host_in_a_config_map_becomes_the_only_near_service() {
    let new = "image: registry.test/web:1.4.0\nenvFrom: [{configMapRef: {name: settings}}]";
    let config = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: settings, namespace: shop}\ndata: {CACHE: 'cahce:6379'}\n".to_owned();
    let service =
        "apiVersion: v1\nkind: Service\nmetadata: {name: cache, namespace: shop}\nspec: {}\n"
            .to_owned();
    let dump = docs(&[
        rollout(new, new, &crashed(1, "Error")).dump,
        service,
        config.clone(),
    ]);
    let stage = Stage::new(&dump, &docs(&[deployment(new), config])).log(
        "web-x",
        "app",
        "lookup cahce: no such host",
    );
    assert_eq!(stage.fix(), ["data.CACHE = \"cache:6379\""]);
}

#[test]
fn a_pod_evicted_at_its_own_limit_gets_twice_of_it() {
    let new = "image: registry.test/web:1.4.0\nresources: {limits: {ephemeral-storage: 1Gi}}";
    let evicted = |message: &str| {
        let pod = pod(new, "state: {terminated: {exitCode: 137, reason: Error}}").replace(
            "phase: Running",
            &format!("phase: Failed\n  reason: Evicted\n  message: '{message}'"),
        );
        Stage::new(
            &docs(&[deployment(new), replica_set(2, 0, new), pod]),
            &deployment(new),
        )
    };
    assert_eq!(
        evicted("Container app exceeded its local ephemeral storage limit \"1Gi\". ").fix(),
        ["spec.template.spec.containers[name=app].resources.limits.ephemeral-storage = \"2Gi\""]
    );
    let other = evicted("Container app exceeded its local ephemeral storage limit \"3Gi\". ");
    assert!(other.words().starts_with("ask"), "{}", other.words());
    let node =
        evicted("The node was low on resource: ephemeral-storage. Container app was using 1Gi");
    assert!(
        node.words().starts_with("refuse InfrastructureFault"),
        "{}",
        node.words()
    );
}

#[test]
fn without_an_earlier_revision_the_tag_is_asked_for() {
    let new = "image: registry.test/web:1.4.l";
    let dump = docs(&[
        deployment(new),
        replica_set(2, 0, new),
        pod(new, &waiting("ErrImagePull", NOT_FOUND)),
    ]);
    let words = Stage::new(&dump, &deployment(new)).words();
    assert!(words.starts_with("ask MissingValue"), "{words}");
    assert!(words.contains("registry.test/web:1.4.l"), "{words}");
}

#[test]
fn a_revision_that_worked_once_is_not_rolled_back() {
    let new = "image: registry.test/web:1.4.l";
    let live = format!(
        "{}status: {{conditions: [{{type: Progressing, status: 'True', reason: NewReplicaSetAvailable}}]}}\n",
        deployment(new)
    );
    let dump = docs(&[
        live,
        replica_set(1, 0, GOOD),
        replica_set(2, 0, new),
        pod(new, &waiting("ImagePullBackOff", NOT_FOUND)),
    ]);
    let words = Stage::new(&dump, &deployment(new)).words();
    assert!(words.contains("rolled out completely before"), "{words}");
}

#[test]
fn a_registry_that_does_not_answer_is_no_fault_of_the_manifest() {
    let same = "image: registry.test/web:1.4.0";
    let words = pull(same, same, "dial tcp: lookup registry.test: no such host").words();
    assert!(words.starts_with("refuse InfrastructureFault"), "{words}");
}

#[test]
fn a_refused_pull_asks_for_a_pull_secret_and_takes_a_proven_one() {
    let new = GOOD;
    let status = waiting("ImagePullBackOff", "unexpected status: 401 Unauthorized");
    let stage = rollout(GOOD, new, &status);
    let words = stage.words();
    assert!(words.starts_with("ask MissingSecretInput"), "{words}");
    let sibling = "apiVersion: v1\nkind: Pod\nmetadata: {name: api-1, namespace: shop}\nspec:\n  imagePullSecrets: [{name: pull}]\n  containers: [{name: api, image: 'registry.test/api:2'}]\nstatus: {phase: Running}\n".to_owned();
    let secret =
        "apiVersion: v1\nkind: Secret\nmetadata: {name: pull, namespace: shop}\n".to_owned();
    let dump = docs(&[stage.dump.clone(), sibling.clone(), secret]);
    assert_eq!(
        Stage::new(&dump, &deployment(new)).fix(),
        ["spec.template.spec.imagePullSecrets = [{\"name\":\"pull\"}]"]
    );
    let without_secret = docs(&[stage.dump, sibling]);
    assert!(
        Stage::new(&without_secret, &deployment(new))
            .words()
            .starts_with("ask")
    );
}

#[test]
fn an_image_for_another_platform_is_told_from_a_crash() {
    let old = "image: registry.test/web:1.4.0";
    let new = "image: registry.test/web-arm:1.4.0";
    let stage = rollout(old, new, &crashed(255, "Error")).log(
        "web-x",
        "app",
        "exec /web: exec format error",
    );
    assert_eq!(stage.classes(), [Class::ImagePlatform]);
    assert_eq!(
        stage.fix(),
        ["spec.template.spec.containers[name=app].image = \"registry.test/web:1.4.0\""]
    );
}

const NO_EXEC: &str =
    "OCI runtime create failed: exec: \"srever\": executable file not found in $PATH: unknown";

#[test]
fn a_command_that_cannot_start_goes_back_or_is_asked_for() {
    let new = "image: registry.test/web:1.4.0\ncommand: [srever]";
    let status = waiting("RunContainerError", NO_EXEC);
    assert_eq!(
        rollout(GOOD, new, &status).fix(),
        ["spec.template.spec.containers[name=app].command -"]
    );
    let words = rollout(new, new, &status).words();
    assert!(
        words.starts_with("ask MissingValue") && words.contains("srever"),
        "{words}"
    );
}

#[test]
fn a_misspelled_command_is_corrected_only_where_a_sibling_runs_it() {
    let new = "image: registry.test/web:1.4.0\ncommand: [srever]";
    let stage = rollout(new, new, &waiting("RunContainerError", NO_EXEC));
    let sibling = |image: &str| {
        format!(
            "apiVersion: v1\nkind: Pod\nmetadata: {{name: api-1, namespace: shop}}\nspec:\n  containers: [{{name: api, image: '{image}', command: [server]}}]\nstatus: {{phase: Running, conditions: [{{type: Ready, status: 'True'}}]}}\n"
        )
    };
    let with = |image: &str| {
        Stage::new(
            &docs(&[stage.dump.clone(), sibling(image)]),
            &deployment(new),
        )
    };
    assert_eq!(
        with("registry.test/web:1.4.0").fix(),
        ["spec.template.spec.containers[name=app].command[0] = \"server\""]
    );
    assert!(with("registry.test/other:1").words().starts_with("ask"));
}

#[test]
fn a_crash_after_one_change_goes_back_and_after_several_asks() {
    let old = "image: registry.test/web:1.4.0\nenv: [{name: MODE, value: fast}]";
    let one = "image: registry.test/web:2.0.0\nenv: [{name: MODE, value: fast}]";
    let two = "image: registry.test/web:2.0.0\nenv: [{name: MODE, value: slow}]";
    let status = crashed(1, "Error");
    assert_eq!(
        rollout(old, one, &status).fix(),
        ["spec.template.spec.containers[name=app].image = \"registry.test/web:1.4.0\""]
    );
    let words = rollout(old, two, &status).words();
    assert!(words.starts_with("ask OwnerDecision"), "{words}");
    let named = rollout(old, two, &status).log("web-x", "app", "error: MODE slow is not supported");
    assert_eq!(
        named.fix(),
        ["spec.template.spec.containers[name=app].env[name=MODE].value = \"fast\""]
    );
}

#[test]
fn an_added_variable_comes_back() {
    let old = "image: registry.test/web:1.4.0\nenv: [{name: A, value: a}, {name: API_URL, value: 'http://api'}]";
    let new = "image: registry.test/web:1.4.0\nenv: [{name: A, value: a}]";
    let stage = rollout(old, new, &crashed(1, "Error")).log("web-x", "app", "API_URL is not set");
    assert_eq!(
        stage.fix(),
        [
            "spec.template.spec.containers[name=app].env[1] = {\"name\":\"API_URL\",\"value\":\"http://api\"}"
        ]
    );
    let words = rollout(new, new, &crashed(1, "Error"))
        .log("web-x", "app", "API_URL is not set")
        .words();
    assert!(
        words.contains("Which value should environment variable API_URL"),
        "{words}"
    );
}

#[test]
fn a_program_that_fails_by_itself_is_for_its_owners() {
    let stage = rollout(GOOD, GOOD, &crashed(1, "Error")).log(
        "web-x",
        "app",
        "Traceback\nValueError: bad row 7",
    );
    let words = stage.words();
    assert!(
        words.starts_with("refuse ApplicationFault") && words.contains("bad row 7"),
        "{words}"
    );
}

#[test]
fn old_events_of_a_healthy_pod_are_no_finding() {
    let running = "state: {running: {startedAt: '2026-01-05T10:00:00Z'}}".to_owned();
    let healthy = pod(GOOD, &running)
        .replace("ready: false", "ready: true")
        .replace("restartCount: 5", "restartCount: 0");
    let live = format!(
        "{}status: {{replicas: 1, readyReplicas: 1, availableReplicas: 1}}\n",
        deployment(GOOD)
    );
    let mut old = event("Unhealthy", 9, "Readiness probe failed: connection refused");
    old = old.replace("10:59:50", "10:01:00");
    let back_off = event(
        "BackOff",
        3,
        "Back-off restarting failed container app in pod web-x",
    );
    let dump = docs(&[live, replica_set(2, 1, GOOD), healthy, old, back_off]);
    assert_eq!(Stage::new(&dump, &deployment(GOOD)).classes(), []);
}

#[test]
fn a_pod_that_must_not_run_as_root_is_blocked_by_name() {
    let message = "container has runAsNonRoot and image will run as root (pod: \"web-x_shop(1)\", container: app)";
    let words = rollout(GOOD, GOOD, &waiting("CreateContainerConfigError", message)).words();
    assert!(words.starts_with("ask BlockedSecurity"), "{words}");
}

#[test]
fn a_full_dev_shm_is_named() {
    let stage = rollout(GOOD, GOOD, &crashed(1, "Error")).log(
        "web-x",
        "app",
        "write /dev/shm/x: No space left on device",
    );
    let words = stage.words();
    assert!(words.contains("emptyDir with medium Memory"), "{words}");
}

#[test]
fn a_field_that_git_has_changed_already_waits_for_the_sync() {
    let live = "image: registry.test/web:1.4.l";
    let mut stage = pull(GOOD, live, NOT_FOUND);
    stage.git = deployment(GOOD);
    let words = stage.words();
    assert!(words.starts_with("refuse PendingSync"), "{words}");
}

#[test]
fn an_endless_init_container_that_is_new_goes() {
    let new = "image: registry.test/web:1.4.0";
    let with_init = |text: String| {
        text.replace(
            "      containers:\n",
            "      initContainers:\n      - {name: wait, image: busybox, command: [sleep, infinity]}\n      containers:\n",
        )
    };
    let init_pod = pod(new, "state: {waiting: {reason: PodInitializing}}")
        .replace("phase: Running", "phase: Pending")
        .replace("  containers:\n", "  initContainers:\n  - {name: wait, image: busybox, command: [sleep, infinity]}\n  containers:\n")
        .replace(
            "  containerStatuses:",
            "  initContainerStatuses:\n  - {name: wait, ready: false, started: true, restartCount: 0, state: {running: {startedAt: '2026-01-05T10:00:10Z'}}}\n  containerStatuses:",
        );
    let git = with_init(deployment(new));
    let dump = docs(&[
        git.clone(),
        replica_set(1, 0, new),
        with_init(replica_set(2, 0, new)),
        init_pod,
    ]);
    let stage = Stage::new(&dump, &git);
    assert_eq!(stage.classes(), [Class::InitContainerFailing]);
    assert_eq!(stage.fix(), ["spec.template.spec.initContainers -"]);
    let without = Stage::new(&dump.replace("name: web-r1", "name: other-r1").replace("name: web, uid: d1, controller: true}]\nspec:\n  replicas: 1\n  template:\n    metadata: {labels: {app: web}}\n    spec:\n      containers", "name: x, uid: nobody, controller: true}]\nspec:\n  replicas: 1\n  template:\n    metadata: {labels: {app: web}}\n    spec:\n      containers"), &git);
    assert!(without.words().starts_with("ask OwnerDecision"));
}
