//! A stage for tests: a cluster and a repository as text, detected and answered like a real run.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::case::{Case, Commit, Desired, Earlier, Report};
use crate::detect::{View, detect};
use crate::finding::{Class, Finding};
use crate::object::Object;
use crate::propose::{Answer, Op, Proposal};
use crate::snapshot::{LogKey, Snapshot};

/// The moment of every snapshot: pods of the tests start at 10:00 and are looked at an hour later.
pub(in crate::propose::playbook) const NOW: &str = "2026-01-05T11:00:00Z";

#[derive(Default)]
pub(in crate::propose::playbook) struct Stage {
    pub dump: String,
    pub git: String,
    pub logs: Vec<(&'static str, &'static str, &'static str)>,
    pub earlier: Vec<String>,
    pub report: Option<&'static str>,
}

fn objects(text: &str) -> Vec<Object> {
    text.split("\n---\n")
        .filter(|t| !t.trim().is_empty())
        .map(|t| {
            serde_saphyr::from_str::<serde_json::Value>(t).unwrap_or_else(|e| panic!("{e}\n{t}"))
        })
        .map(|v| Object::new(v).expect("an object"))
        .collect()
}

impl Stage {
    pub(in crate::propose::playbook) fn new(dump: &str, git: &str) -> Self {
        Self {
            dump: dump.to_owned(),
            git: git.to_owned(),
            ..Self::default()
        }
    }

    pub(in crate::propose::playbook) fn log(
        mut self,
        pod: &'static str,
        container: &'static str,
        text: &'static str,
    ) -> Self {
        self.logs.push((pod, container, text));
        self
    }

    pub(in crate::propose::playbook) fn earlier(mut self, object: &str) -> Self {
        self.earlier.push(object.to_owned());
        self
    }

    fn snapshot(&self) -> Snapshot {
        let logs: BTreeMap<LogKey, String> = self
            .logs
            .iter()
            .map(|(pod, container, text)| {
                let key = LogKey {
                    namespace: "shop".to_owned(),
                    pod: (*pod).to_owned(),
                    container: (*container).to_owned(),
                    previous: false,
                };
                (key, (*text).to_owned())
            })
            .collect();
        Snapshot::new(objects(&self.dump), logs)
    }

    fn desired(&self) -> Vec<Desired> {
        let of = |object: Object| Desired {
            object,
            file: "app.yaml".to_owned(),
            document: 0,
            root: None,
        };
        objects(&self.git).into_iter().map(of).collect()
    }

    fn history(&self) -> Vec<Earlier> {
        let of = |object: Object| Earlier {
            replaced_by: Commit {
                id: "c0ffee0123456789".to_owned(),
                author: "someone".to_owned(),
                time: None,
                subject: "a change".to_owned(),
            },
            object,
        };
        self.earlier
            .iter()
            .flat_map(|t| objects(t))
            .map(of)
            .collect()
    }

    /// What is found, worst first.
    pub(in crate::propose::playbook) fn findings(&self) -> Vec<Finding> {
        let (snapshot, desired) = (self.snapshot(), self.desired());
        let report = self.report.map(|text| Report {
            kind: "user-report".to_owned(),
            namespace: Some("shop".to_owned()),
            text: text.to_owned(),
        });
        detect(&View {
            snapshot: &snapshot,
            desired: &desired,
            report: report.as_ref(),
            now: NOW.parse().expect("a time"),
            grace: Duration::from_secs(120),
        })
    }

    pub(in crate::propose::playbook) fn classes(&self) -> Vec<Class> {
        self.findings().iter().map(|f| f.class).collect()
    }

    /// The playbook's answer to the only finding.
    pub(in crate::propose::playbook) fn answer(&self) -> Answer {
        let findings = self.findings();
        let [finding] = findings.as_slice() else {
            panic!("one finding expected: {findings:#?}");
        };
        let (snapshot, desired, earlier) = (self.snapshot(), self.desired(), self.history());
        let case = Case {
            finding,
            others: &findings,
            snapshot: &snapshot,
            desired: &desired,
            earlier: &earlier,
            report: None,
            now: NOW.parse().expect("a time"),
            said: &crate::case::NOTHING_SAID,
        };
        crate::propose::playbook::answer(&case)
            .unwrap_or_else(|| panic!("no answer to {finding:#?}"))
            .1
    }

    /// The edits of the fix, as `path = value` (`-` for a removal).
    pub(in crate::propose::playbook) fn fix(&self) -> Vec<String> {
        match self.answer() {
            Answer::Fix(proposal) => edits(&proposal),
            other => panic!("a fix expected: {other:#?}"),
        }
    }

    /// The text of a question or refusal: code, title, diagnosis and options.
    pub(in crate::propose::playbook) fn words(&self) -> String {
        match self.answer() {
            Answer::Fix(proposal) => panic!("no fix expected: {proposal:#?}"),
            Answer::Refuse(refusal) => format!("refuse {refusal}"),
            Answer::Ask(q) => {
                let claims: Vec<String> = q.diagnosis.into_iter().map(|c| c.text).collect();
                let options: Vec<String> = q.options.into_iter().map(|o| o.title).collect();
                format!(
                    "ask {}: {}\n{}\n{}",
                    q.code,
                    q.title,
                    claims.join("\n"),
                    options.join("\n")
                )
            }
        }
    }
}

pub(in crate::propose::playbook) fn edits(proposal: &Proposal) -> Vec<String> {
    let show = |e: &crate::propose::ProposedEdit| match &e.op {
        Op::Set(v) | Op::Add(v) => format!("{} = {v}", e.path),
        Op::Remove => format!("{} -", e.path),
    };
    proposal.edits.iter().map(show).collect()
}

/// A Deployment `web` of namespace `shop` with these lines as its one container `app` (indented by 0).
pub(in crate::propose::playbook) fn deployment(container: &str) -> String {
    format!(
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: web, namespace: shop, uid: d1, creationTimestamp: '2026-01-05T09:00:00Z'}}\nspec:\n  replicas: 1\n  selector: {{matchLabels: {{app: web}}}}\n{}",
        template(container)
    )
}

fn template(container: &str) -> String {
    let body: String = container
        .lines()
        .map(|l| format!("        {l}\n"))
        .collect();
    format!(
        "  template:\n    metadata: {{labels: {{app: web}}}}\n    spec:\n      containers:\n      - name: app\n{body}"
    )
}

/// A ReplicaSet of that Deployment.
pub(in crate::propose::playbook) fn replica_set(
    revision: i64,
    available: i64,
    container: &str,
) -> String {
    format!(
        "apiVersion: apps/v1\nkind: ReplicaSet\nmetadata:\n  name: web-r{revision}\n  namespace: shop\n  uid: r{revision}\n  annotations: {{deployment.kubernetes.io/revision: '{revision}'}}\n  ownerReferences: [{{apiVersion: apps/v1, kind: Deployment, name: web, uid: d1, controller: true}}]\nspec:\n  replicas: 1\n{}status: {{replicas: 1, readyReplicas: {available}, availableReplicas: {available}}}\n",
        template(container)
    )
}

/// The pod `web-x` of ReplicaSet 2, with this container and this status (flow style) of it.
pub(in crate::propose::playbook) fn pod(container: &str, status: &str) -> String {
    let body: String = container.lines().map(|l| format!("    {l}\n")).collect();
    format!(
        "apiVersion: v1\nkind: Pod\nmetadata:\n  name: web-x\n  namespace: shop\n  labels: {{app: web}}\n  ownerReferences: [{{apiVersion: apps/v1, kind: ReplicaSet, name: web-r2, uid: r2, controller: true}}]\nspec:\n  nodeName: n1\n  containers:\n  - name: app\n{body}status:\n  phase: Running\n  startTime: '2026-01-05T10:00:00Z'\n  containerStatuses:\n  - {{name: app, ready: false, started: true, restartCount: 5, {status}}}\n"
    )
}

/// An event about container `app` of that pod.
pub(in crate::propose::playbook) fn event(reason: &str, count: i64, message: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Event\nmetadata: {{name: e-{reason}, namespace: shop}}\ntype: Warning\nreason: {reason}\ncount: {count}\nlastTimestamp: '2026-01-05T10:59:50Z'\nmessage: {}\ninvolvedObject: {{apiVersion: v1, kind: Pod, namespace: shop, name: web-x, fieldPath: 'spec.containers{{app}}'}}\n",
        serde_json::Value::String(message.to_owned())
    )
}

/// Waits in a crash loop after a run that ended so.
pub(in crate::propose::playbook) fn crashed(code: i64, reason: &str) -> String {
    format!(
        "state: {{waiting: {{reason: CrashLoopBackOff}}}}, lastState: {{terminated: {{exitCode: {code}, reason: {reason}, startedAt: '2026-01-05T10:57:00Z', finishedAt: '2026-01-05T10:58:00Z'}}}}"
    )
}

/// Waits for this reason.
pub(in crate::propose::playbook) fn waiting(reason: &str, message: &str) -> String {
    format!(
        "state: {{waiting: {{reason: {reason}, message: {}}}}}",
        serde_json::Value::String(message.to_owned())
    )
}

/// Joins documents.
pub(in crate::propose::playbook) fn docs(all: &[String]) -> String {
    all.join("\n---\n")
}

/// A rollout in trouble: Deployment, old ReplicaSet 1 (available), new ReplicaSet 2, its pod.
pub(in crate::propose::playbook) fn rollout(old: &str, new: &str, status: &str) -> Stage {
    let dump = docs(&[
        deployment(new),
        replica_set(1, 1, old),
        replica_set(2, 0, new),
        pod(new, status),
    ]);
    Stage::new(&dump, &deployment(new))
}
