#![allow(clippy::unwrap_used)]
use super::{Demand, asked_for, runaway};
use crate::propose::playbook::container::stage::{
    Stage, crashed, deployment, docs, pod, replica_set, rollout,
};
use crate::quantity::Quantity;

fn container(limit: &str) -> String {
    format!(
        "image: registry.test/web:1\nresources: {{limits: {{memory: {limit}}}, requests: {{memory: 8Mi}}}}"
    )
}

fn oom(container: &str) -> Stage {
    rollout(container, container, &crashed(137, "OOMKilled"))
}

#[test]
fn a_limit_that_is_too_small_is_doubled() {
    let c = container("100Mi");
    assert_eq!(
        oom(&c).fix(),
        ["spec.template.spec.containers[name=app].resources.limits.memory = \"200Mi\""]
    );
}

#[test]
fn an_earlier_higher_limit_comes_back() {
    let stage = rollout(
        &container("512Mi"),
        &container("100Mi"),
        &crashed(137, "OOMKilled"),
    );
    assert_eq!(
        stage.fix(),
        ["spec.template.spec.containers[name=app].resources.limits.memory = \"512Mi\""]
    );
}

#[test]
fn a_container_killed_within_seconds_is_asked_about() {
    let c = container("10Mi");
    let status = crashed(137, "OOMKilled").replace("10:57:00", "10:57:58");
    let words = rollout(&c, &c, &status).words();
    assert!(
        words.starts_with("ask MissingValue") && words.contains("2 s after every start"),
        "{words}"
    );
}

#[test]
fn a_limit_never_leaves_quota_or_node() {
    let c = container("100Mi");
    let with = |more: &str| Stage::new(&docs(&[oom(&c).dump, more.to_owned()]), &deployment(&c));
    let node = "apiVersion: v1\nkind: Node\nmetadata: {name: n1}\nstatus: {allocatable: {memory: 160Mi}}\n";
    assert_eq!(
        with(node).fix(),
        ["spec.template.spec.containers[name=app].resources.limits.memory = \"160Mi\""]
    );
    let quota = "apiVersion: v1\nkind: ResourceQuota\nmetadata: {name: q, namespace: shop}\nstatus: {hard: {limits.memory: 210Mi}, used: {limits.memory: 200Mi}}\n";
    assert!(with(quota).words().starts_with("ask OwnerDecision"));
}

#[test]
fn a_command_without_end_is_refused() {
    let c = format!("{}\ncommand: [sh, -c, tail /dev/zero]", container("100Mi"));
    let words = oom(&c).words();
    assert!(
        words.starts_with("refuse ApplicationFault") && words.contains("/dev/zero"),
        "{words}"
    );
}

#[test]
fn runaway_commands_are_told_from_bounded_ones() {
    for command in [
        "sh -c tail /dev/zero",
        "sh -c x=$(cat /dev/urandom)",
        "python -c l=[]\nwhile True: l.append('x'*1000)",
    ] {
        assert!(runaway(command).is_some(), "{command}");
    }
    for command in [
        "dd if=/dev/zero of=/data/f bs=1M count=10",
        "tail -f /var/log/x",
        "python app.py",
        "sh -c while true; do sleep 1; done",
    ] {
        assert_eq!(runaway(command), None, "{command}");
    }
}

#[test]
fn the_amount_that_a_command_asks_for_decides() {
    let limit = Quantity::mebi(100);
    let demand = |words: &[&str]| {
        asked_for(
            &words.iter().map(|w| (*w).to_owned()).collect::<Vec<_>>(),
            limit,
        )
    };
    assert!(matches!(demand(&["--vm-bytes", "512M"]), Demand::Above(_)));
    assert!(matches!(demand(&["-Xmx2g"]), Demand::Above(_)));
    assert!(matches!(demand(&["--size=150Mi"]), Demand::Within(_)));
    assert!(matches!(demand(&["40Mi", "400"]), Demand::Above(_)));
    assert_eq!(demand(&["--port", "8080"]), Demand::Unknown);
}

#[test]
fn a_limit_that_git_raised_already_is_a_leak() {
    let c = container("200Mi");
    let dump = docs(&[
        deployment(&c),
        replica_set(2, 0, &c),
        pod(&c, &crashed(137, "OOMKilled")),
    ]);
    let stage = Stage::new(&dump, &deployment(&c)).earlier(&deployment(&container("100Mi")));
    let words = stage.words();
    assert!(
        words.contains("raised the memory limit from 100Mi to 200Mi"),
        "{words}"
    );
}
