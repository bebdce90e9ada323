#![allow(clippy::unwrap_used)]
use super::{answers, exits_nonzero};
use crate::finding::Class;
use crate::propose::playbook::container::stage::{
    Stage, crashed, deployment, docs, event, rollout,
};

fn with_events(container: &str, status: &str, events: &[String]) -> Stage {
    let base = rollout(container, container, status);
    let mut all = vec![base.dump];
    all.extend(events.iter().cloned());
    Stage::new(&docs(&all), &deployment(container))
}

const RUNS: &str = "state: {running: {startedAt: '2026-01-05T10:00:10Z'}}";
const REFUSED: &str = "Readiness probe failed: Get \"http://10.0.0.9:9000/ok\": dial tcp 10.0.0.9:9000: connect: connection refused";
const P: &str = "spec.template.spec.containers[name=app]";

#[test]
fn a_probe_of_an_undeclared_port_becomes_a_check_of_the_only_declared_one() {
    let one = "image: i:1\nports: [{containerPort: 8080}]\nreadinessProbe: {httpGet: {path: /ok, port: 9000}}";
    let stage = with_events(one, RUNS, &[event("Unhealthy", 90, REFUSED)]);
    assert_eq!(stage.classes(), [Class::ReadinessProbeFailing]);
    assert_eq!(
        stage.fix(),
        [
            format!("{P}.readinessProbe.httpGet -"),
            format!("{P}.readinessProbe.tcpSocket = {{\"port\":8080}}")
        ]
    );
    let elsewhere = stage
        .log("web-x", "app", "INFO listening on 0.0.0.0:9090")
        .words();
    assert!(
        elsewhere.starts_with("ask MissingValue") && elsewhere.contains("listens on 9090"),
        "{elsewhere}"
    );
    let two = one.replace(
        "[{containerPort: 8080}]",
        "[{containerPort: 8080}, {containerPort: 8081}]",
    );
    let words = with_events(&two, RUNS, &[event("Unhealthy", 90, REFUSED)]).words();
    assert!(
        words.starts_with("ask MissingValue") && words.contains("8080, 8081"),
        "{words}"
    );
}

#[test]
fn an_http_check_keeps_its_path_where_the_port_is_known() {
    let stage = |ports: &str, liveness: &str| {
        let c = format!(
            "image: i:1\nports: {ports}\nlivenessProbe: {liveness}\nreadinessProbe: {{httpGet: {{path: /ok, port: 9000}}}}"
        );
        with_events(&c, RUNS, &[event("Unhealthy", 90, REFUSED)])
    };
    let fix = |ports: &str, liveness: &str| stage(ports, liveness).fix();
    let port = |shown: &str| [format!("{P}.readinessProbe.httpGet.port = {shown}")];
    let two = "[{containerPort: 8080}, {name: up, containerPort: 7000}]";
    // another probe asks the same path on a declared port
    assert_eq!(fix(two, "{httpGet: {path: /ok, port: 8080}}"), port("8080"));
    assert_eq!(fix(two, "{httpGet: {path: /ok, port: up}}"), port("\"up\""));
    // another path proves nothing about this one
    let weak = fix(
        "[{containerPort: 8080}]",
        "{httpGet: {path: /live, port: 8080}}",
    );
    assert!(weak.iter().any(|e| e.contains("tcpSocket")), "{weak:?}");
}

#[test]
fn a_status_proves_that_the_undeclared_port_is_served() {
    let c = "image: i:1\nreadinessProbe: {httpGet: {path: /okk, port: 9000}}";
    let saw = "Readiness probe failed: HTTP probe failed with statuscode: 404";
    let words = with_events(c, RUNS, &[event("Unhealthy", 90, saw)]).words();
    assert!(
        words.starts_with("ask MissingValue") && words.contains("Which path"),
        "{words}"
    );
}

#[test]
fn a_misspelled_port_name_is_corrected() {
    let c = "image: i:1\nports: [{containerPort: 8080, name: http-main}, {containerPort: 9, name: admin}]\nreadinessProbe: {httpGet: {path: /ok, port: http-mian}}";
    let stage = with_events(
        c,
        RUNS,
        &[event(
            "Unhealthy",
            90,
            "Readiness probe errored: couldn't find port: \"http-mian\"",
        )],
    );
    assert_eq!(
        stage.fix(),
        [format!("{P}.readinessProbe.httpGet.port = \"http-main\"")]
    );
}

#[test]
fn a_path_that_is_not_served_is_replaced_only_by_one_that_is() {
    let c = "image: i:1\nports: [{containerPort: 80}]\nlivenessProbe: {httpGet: {path: /up, port: 80}}\nreadinessProbe: {httpGet: {path: /, port: 80}}";
    let events = [
        event(
            "Unhealthy",
            9,
            "Liveness probe failed: HTTP probe failed with statuscode: 404",
        ),
        event(
            "Killing",
            3,
            "Container app failed liveness probe, will be restarted",
        ),
    ];
    let served = with_events(c, &crashed(0, "Completed"), &events).log(
        "web-x",
        "app",
        "10.0.0.1 - - [x] \"GET / HTTP/1.1\" 200 615 \"-\"",
    );
    assert_eq!(served.classes(), [Class::LivenessProbeFailing]);
    assert_eq!(
        served.fix(),
        [format!("{P}.livenessProbe.httpGet.path = \"/\"")]
    );
    let unknown = with_events(c, &crashed(0, "Completed"), &events);
    assert!(
        unknown.words().starts_with("ask MissingValue"),
        "{}",
        unknown.words()
    );
}

#[test]
fn a_probe_that_cannot_succeed_is_asked_about() {
    let c = "image: i:1\nreadinessProbe: {exec: {command: [sh, -c, exit 1]}}";
    let words = with_events(
        c,
        RUNS,
        &[event("Unhealthy", 90, "Readiness probe failed: ")],
    )
    .words();
    assert!(
        words.contains("can never succeed") && words.contains("exit 1"),
        "{words}"
    );
}

#[test]
fn a_slow_start_gets_more_time_when_the_log_says_how_much() {
    let c = "image: i:1\nports: [{containerPort: 80}]\nlivenessProbe: {tcpSocket: {port: 80}, periodSeconds: 5}";
    let events = [
        event(
            "Unhealthy",
            9,
            "Liveness probe failed: dial tcp 10.0.0.9:80: connect: connection refused",
        ),
        event(
            "Killing",
            3,
            "Container app failed liveness probe, will be restarted",
        ),
    ];
    let stage = || with_events(c, &crashed(137, "Error"), &events);
    assert_eq!(
        stage()
            .log("web-x", "app", "Started Main in 40.2 seconds")
            .fix(),
        [format!("{P}.livenessProbe.initialDelaySeconds = 60")]
    );
    assert!(stage().words().starts_with("ask OwnerDecision"));
}

#[test]
fn small_readers() {
    assert!(exits_nonzero("exit 1") && !exits_nonzero("exit 0") && !exits_nonzero("curl x"));
    assert!(answers("\"GET / HTTP/1.1\" 200 1", "/") && !answers("\"GET /x HTTP/1.1\" 200 1", "/"));
}
