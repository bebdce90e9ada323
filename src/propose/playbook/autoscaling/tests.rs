#![allow(clippy::unwrap_used)]
use crate::code::Code;
use crate::detect::autoscaling::findings;
use crate::propose::Answer;
use crate::propose::playbook::testing::{ask, asked, fixed, words};

fn live(metric: &str, condition: &str, more: &str) -> String {
    format!("
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {{name: web, namespace: shop}}
spec:
  scaleTargetRef: {{apiVersion: apps/v1, kind: Deployment, name: web}}
  metrics: [{{type: Resource, resource: {{name: {metric}, target: {{type: Utilization, averageUtilization: 50}}}}}}]
status:
  conditions: [{condition}]
---
apiVersion: apps/v1
kind: Deployment
metadata: {{name: web, namespace: shop}}
---
{more}")
}

fn missing(metric: &str) -> String {
    format!(
        "{{type: ScalingActive, status: 'False', reason: FailedGetResourceMetric, message: 'missing request for {metric} in container app of Pod web-1'}}"
    )
}

fn git(containers: &str) -> String {
    format!(
        "
apiVersion: apps/v1
kind: Deployment
metadata: {{name: web, namespace: shop}}
spec: {{template: {{spec: {{containers: {containers}}}}}}}
"
    )
}

const PATH: &str = "spec.template.spec.containers[name=app].resources.requests";

#[test]
fn a_cpu_request_comes_from_the_best_witness() {
    let run = |more: &str, git: &str, before: &str| {
        fixed(&ask(
            findings,
            &live("cpu", &missing("cpu"), more),
            git,
            before,
        ))
    };
    let bare = git("[{name: app, image: a}]");
    assert_eq!(run("", &bare, ""), [format!("{PATH}.cpu = 100m")], "usual");
    let before = git("[{name: app, image: a, resources: {requests: {cpu: 250m}}}]");
    assert_eq!(
        run("", &bare, &before),
        [format!("{PATH}.cpu = 250m")],
        "earlier"
    );
    let twin = before.replace("name: web", "name: other");
    assert_eq!(
        run("", &format!("{bare}---\n{twin}"), ""),
        [format!("{PATH}.cpu = 250m")],
        "same image"
    );
    let range = "kind: LimitRange\nmetadata: {name: r, namespace: shop}\nspec: {limits: [{type: Container, defaultRequest: {cpu: 70m}}]}";
    assert_eq!(
        run(range, &bare, ""),
        [format!("{PATH}.cpu = 70m")],
        "range"
    );
}

#[test]
fn every_container_that_counts_gets_one() {
    let two = git(
        "[{name: app, image: a}, {name: log, image: b}, {name: fine, image: c, resources: {limits: {cpu: '1'}}}]",
    );
    assert_eq!(
        fixed(&ask(findings, &live("cpu", &missing("cpu"), ""), &two, "")).len(),
        2
    );
}

#[test]
fn how_much_memory_is_needed_is_asked() {
    let answer = ask(
        findings,
        &live("memory", &missing("memory"), ""),
        &git("[{name: app, image: a}]"),
        "",
    );
    assert_eq!(asked(&answer).code, Code::MissingValue);
}

#[test]
fn a_request_that_git_has_is_only_not_applied() {
    let complete = git("[{name: app, image: a, resources: {requests: {cpu: 50m}}}]");
    let answer = ask(findings, &live("cpu", &missing("cpu"), ""), &complete, "");
    assert!(matches!(answer, Answer::Refuse(r) if r.code == Code::PendingSync));
}

#[test]
fn a_target_that_does_not_exist_is_locked_but_named() {
    let condition = "{type: AbleToScale, status: 'False', reason: FailedGetScale, message: 'deployments.apps \"webb\" not found'}";
    let live = live("cpu", condition, "").replace(
        "kind: Deployment, name: web}",
        "kind: Deployment, name: webb}",
    );
    let answer = ask(
        findings,
        &live,
        "apiVersion: v1\nkind: Namespace\nmetadata: {name: shop}",
        "",
    );
    let text = words(asked(&answer));
    assert!(
        text.contains("webb") && text.contains("Deployment shop/web"),
        "{text}"
    );
}

#[test]
fn a_metric_that_pods_do_not_report_is_corrected() {
    let condition = "{type: ScalingActive, status: 'False', reason: FailedGetResourceMetric, message: 'failed to get mem utilization: odd'}";
    let hpa = live("mem", condition, "");
    let git = hpa.split("\n---\n").next().unwrap().to_owned();
    assert_eq!(
        fixed(&ask(findings, &hpa, &git, "")),
        ["spec.metrics[0].resource.name = memory"]
    );
}

#[test]
fn a_cluster_without_metrics_is_no_fault_of_a_manifest() {
    let condition = "{type: ScalingActive, status: 'False', reason: FailedGetResourceMetric, message: 'unable to fetch metrics from resource metrics API: the server could not find the requested resource (get pods.metrics.k8s.io)'}";
    let answer = ask(findings, &live("cpu", condition, ""), &git("[]"), "");
    assert!(matches!(answer, Answer::Refuse(r) if r.code == Code::InfrastructureFault));
}
