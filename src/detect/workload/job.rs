//! Jobs that used up their retries or their time, and the CronJobs behind them.

use super::{
    Class, Finding, Object, Severity, View, at, fact, failure, is_complete, newest_job, text,
};
use serde_json::Value;

pub(super) fn findings(view: &View<'_>) -> Vec<Finding> {
    let alone = view
        .snapshot
        .of_kind("Job")
        .filter(|j| view.snapshot.owner(j).is_none() && !is_complete(j))
        .filter_map(|j| failed_job(view, j));
    let cron = view
        .snapshot
        .of_kind("CronJob")
        .filter_map(|c| failing_cron(view, c));
    alone.chain(cron).collect()
}

fn failed_job(view: &View<'_>, job: &Object) -> Option<Finding> {
    let (reason, message) = failure(job)?;
    let object = view.snapshot.top_owner(job);
    let class = match reason.as_str() {
        "DeadlineExceeded" => Class::JobDeadline,
        _ => Class::JobBackoffLimit,
    };
    let seen = witness(view, job);
    let why = seen
        .as_ref()
        .map_or_else(String::new, |w| format!(": {}", w.clause));
    let summary = format!("{object} failed ({reason}){why}");
    let mut finding = Finding::new(class, Severity::High, object, summary);
    finding.reason = reason;
    finding.message = message;
    if let Some(seen) = seen {
        seen.tell(&mut finding);
    }
    Some(finding)
}

fn failing_cron(view: &View<'_>, cron: &Object) -> Option<Finding> {
    let job = newest_job(view, cron)?;
    let (reason, message) = failure(job)?;
    let object = cron.reference();
    let seen = witness(view, job);
    let why = seen
        .as_ref()
        .map_or_else(String::new, |w| format!(": {}", w.clause));
    let summary = format!(
        "{object}: its last run, Job {}, failed ({reason}){why}",
        job.name()
    );
    let mut finding = Finding::new(Class::CronJobFailing, Severity::High, object, summary);
    finding.reason = reason;
    finding.message = message;
    finding.related = vec![job.reference()];
    if let Some(seen) = seen {
        seen.tell(&mut finding);
    }
    Some(finding)
}

/// What the last failed pod of a Job shows.
struct Witness {
    clause: String,
    container: String,
    exit: i64,
    log: String,
    pod: crate::object::ObjectRef,
}

impl Witness {
    fn tell(self, finding: &mut Finding) {
        finding.container = Some(self.container);
        finding.pods = vec![self.pod];
        finding
            .facts
            .insert(fact::EXIT_CODE.to_owned(), self.exit.to_string());
        if !self.log.is_empty() {
            finding
                .facts
                .insert(fact::LOG_TAIL.to_owned(), text::tail(&self.log, 20));
        }
    }
}

fn witness(view: &View<'_>, job: &Object) -> Option<Witness> {
    let mut pods = view.snapshot.children(job);
    pods.sort_by_key(|p| {
        p.str("metadata.creationTimestamp")
            .unwrap_or_default()
            .to_owned()
    });
    pods.iter()
        .rev()
        .find_map(|pod| failed_container(view, pod))
}

fn failed_container(view: &View<'_>, pod: &Object) -> Option<Witness> {
    let statuses = ["status.initContainerStatuses", "status.containerStatuses"];
    let mut all = statuses.iter().flat_map(|f| pod.list(f));
    all.find_map(|s| {
        let ended = at(s, "state.terminated").or_else(|| at(s, "lastState.terminated"))?;
        let exit = ended
            .get("exitCode")
            .and_then(Value::as_i64)
            .filter(|c| *c != 0)?;
        let container = s.get("name").and_then(Value::as_str)?.to_owned();
        let reason = ended
            .get("reason")
            .and_then(Value::as_str)
            .unwrap_or("Error");
        let namespace = pod.namespace().unwrap_or_default();
        let log = view
            .snapshot
            .log(namespace, pod.name(), &container, false)
            .unwrap_or_default();
        let line = text::error_lines(log, 1)
            .pop()
            .map_or_else(String::new, |l| format!(": {l}"));
        Some(Witness {
            clause: format!("container {container} ended with exit code {exit} ({reason}){line}"),
            container,
            exit,
            log: log.to_owned(),
            pod: pod.reference(),
        })
    })
}
