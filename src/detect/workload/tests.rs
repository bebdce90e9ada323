#![allow(clippy::unwrap_used)]
use std::collections::BTreeMap;
use std::time::Duration;

use super::*;
use crate::case::Report;
use crate::snapshot::{LogKey, Snapshot};

fn findings_of(dump: &[&str], report: Option<&str>, log: Option<&str>) -> Vec<Finding> {
    let objects = dump
        .iter()
        .map(|t| Object::new(serde_saphyr::from_str::<Value>(t).unwrap()).unwrap())
        .collect();
    let key = LogKey {
        namespace: "shop".to_owned(),
        pod: "p1".to_owned(),
        container: "app".to_owned(),
        previous: false,
    };
    let logs: BTreeMap<LogKey, String> = log.map(|l| (key, l.to_owned())).into_iter().collect();
    let snapshot = Snapshot::new(objects, logs);
    let report = report.map(|text| Report {
        kind: "user-report".to_owned(),
        namespace: Some("shop".to_owned()),
        text: text.to_owned(),
    });
    findings(&View {
        snapshot: &snapshot,
        desired: &[],
        report: report.as_ref(),
        now: "2026-01-05T11:00:00Z".parse().unwrap(),
        grace: Duration::from_secs(120),
    })
}

const JOB: &str = "apiVersion: batch/v1\nkind: Job\nmetadata: {name: load, namespace: shop, uid: j1, creationTimestamp: '2026-01-05T10:00:00Z'}\nspec: {template: {spec: {containers: [{name: app}]}}}\nstatus: {conditions: [{type: Failed, status: 'True', reason: BackoffLimitExceeded}]}\n";
const JOB_POD: &str = "apiVersion: v1\nkind: Pod\nmetadata: {name: p1, namespace: shop, ownerReferences: [{kind: Job, name: load, uid: j1, controller: true}]}\nspec: {containers: [{name: app}]}\nstatus: {phase: Failed, containerStatuses: [{name: app, state: {terminated: {exitCode: 3, reason: Error}}}]}\n";

#[test]
fn a_failed_job_tells_of_its_last_pod() {
    let found = findings_of(&[JOB, JOB_POD], None, Some("error: table missing"));
    let [finding] = found.as_slice() else {
        panic!("{found:#?}")
    };
    assert_eq!(finding.class, Class::JobBackoffLimit);
    assert_eq!(finding.fact(fact::EXIT_CODE), Some("3"));
    assert!(
        finding.summary.contains("table missing"),
        "{}",
        finding.summary
    );
    let done = JOB.replace(
        "type: Failed, status: 'True', reason: BackoffLimitExceeded",
        "type: Complete, status: 'True'",
    );
    assert_eq!(findings_of(&[&done, JOB_POD], None, None), []);
}

#[test]
fn only_the_newest_run_of_a_cron_job_counts() {
    let cron = "apiVersion: batch/v1\nkind: CronJob\nmetadata: {name: nightly, namespace: shop, uid: c1}\nspec: {}\n";
    let owned = |text: &str| {
        text.replace("uid: j1, creation", "uid: j1, ownerReferences: [{kind: CronJob, name: nightly, uid: c1, controller: true}], creation")
    };
    let failed = owned(JOB);
    let found = findings_of(&[cron, &failed, JOB_POD], None, None);
    assert_eq!(
        found.iter().map(|f| f.class).collect::<Vec<_>>(),
        [Class::CronJobFailing]
    );
    let newer = failed
        .replace("name: load", "name: load2")
        .replace("uid: j1", "uid: j2")
        .replace("10:00:00", "10:30:00")
        .replace(
            "type: Failed, status: 'True', reason: BackoffLimitExceeded",
            "type: Complete, status: 'True'",
        );
    assert_eq!(
        findings_of(&[cron, &failed, &newer, JOB_POD], None, None),
        []
    );
}

const ZERO: &str = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: checkout, namespace: shop, uid: d1}\nspec: {replicas: 0, template: {spec: {containers: [{name: app}]}}}\nstatus: {}\n";

#[test]
fn zero_replicas_matter_only_to_a_report_about_them() {
    let classes = |report| {
        findings_of(&[ZERO], report, None)
            .iter()
            .map(|f| f.class)
            .collect::<Vec<_>>()
    };
    assert_eq!(classes(None), []);
    assert_eq!(
        classes(Some("Why is there no pod of Deployment checkout in shop?")),
        [Class::ScaledToZero]
    );
    assert_eq!(classes(Some("Deployment cart in shop is slow")), []);
}

const HEALTHY: &str = "apiVersion: v1\nkind: Pod\nmetadata: {name: p1, namespace: shop}\nspec: {containers: [{name: app}]}\nstatus: {phase: Running, conditions: [{type: Ready, status: 'True'}]}\n";

#[test]
fn errors_in_the_log_of_a_healthy_pod_need_a_report() {
    let log = Some("item 7 failed with error: bad total");
    let classes = |report, log| {
        findings_of(&[HEALTHY], report, log)
            .iter()
            .map(|f| f.class)
            .collect::<Vec<_>>()
    };
    assert_eq!(
        classes(Some("what is wrong with pod p1?"), log),
        [Class::ApplicationError]
    );
    assert_eq!(classes(None, log), []);
    // the network is somebody else's
    assert_eq!(
        classes(
            Some("what is wrong with pod p1?"),
            Some("error: dial tcp 10.0.0.1: timeout")
        ),
        []
    );
}

#[test]
fn a_rollout_that_stands_still_is_found_after_the_grace_period() {
    let slow = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: checkout, namespace: shop, uid: d1, creationTimestamp: '2026-01-05T10:00:00Z'}\nspec: {replicas: 2}\nstatus: {readyReplicas: 1, conditions: [{type: Progressing, status: 'False', reason: ProgressDeadlineExceeded, lastTransitionTime: '2026-01-05T10:30:00Z'}]}\n";
    let classes = |text: &str| {
        findings_of(&[text], None, None)
            .iter()
            .map(|f| f.class)
            .collect::<Vec<_>>()
    };
    assert_eq!(classes(slow), [Class::ProgressDeadlineExceeded]);
    assert_eq!(
        classes(&slow.replace(
            "reason: ProgressDeadlineExceeded",
            "reason: ReplicaSetUpdated"
        )),
        []
    );
    assert_eq!(classes(&slow.replace("10:30:00", "10:59:30")), []);
}
