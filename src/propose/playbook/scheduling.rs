//! Plays: pods that no node takes.

use serde_json::{Value, json};

use crate::case::{Case, Desired};
use crate::finding::Class;
use crate::lock::{KnownGood, known_good};
use crate::object::{Object, ObjectRef};
use crate::path::FieldPath;
use crate::placement::{candidates, is_up, obstacles};
use crate::propose::playbook::Play;

mod affinity;
mod other;
mod ports;
mod resources;
mod selector;
mod taints;

/// The plays of this module.
pub const PLAYS: &[Play] = &[
    Play {
        name: "requests-that-fit",
        about: "lowers a request that no node can meet to what an earlier revision asked for, or asks",
        classes: &[Class::UnschedulableResources],
        run: resources::run,
    },
    Play {
        name: "node-selector",
        about: "corrects a misspelled node label, goes back to an earlier selector, or asks",
        classes: &[Class::UnschedulablePlacement],
        run: selector::run,
    },
    Play {
        name: "pod-affinity",
        about: "goes back to an earlier (anti-)affinity, or asks with replicas and nodes counted",
        classes: &[Class::UnschedulablePlacement],
        run: affinity::run,
    },
    Play {
        name: "tolerations",
        about: "corrects a toleration that almost matches the taint, or asks",
        classes: &[Class::UnschedulableTaint],
        run: taints::run,
    },
    Play {
        name: "host-port",
        about: "removes a host port that is taken, where a Service reaches the port anyway",
        classes: &[Class::HostPortConflict],
        run: ports::run,
    },
    Play {
        name: "placement-elsewhere",
        about: "says what keeps pods from all nodes where no manifest field can be proven wrong",
        classes: &[Class::UnschedulablePlacement],
        run: other::run,
    },
];

/// The failing workload as Git defines it, with what the plays ask about it.
struct Waiting<'c> {
    case: &'c Case<'c>,
    manifest: &'c Desired,
    /// Path of the pod spec.
    base: FieldPath,
    /// The pod spec in Git.
    spec: &'c Value,
}

impl<'c> Waiting<'c> {
    fn of(case: &'c Case<'c>) -> Option<Self> {
        let manifest = case.manifest()?;
        Some(Self {
            case,
            manifest,
            base: manifest.object.pod_spec_path()?,
            spec: manifest.object.pod_spec()?,
        })
    }

    fn name(&self) -> &'c ObjectRef {
        &self.case.finding.object
    }

    fn target(&self) -> ObjectRef {
        self.manifest.object.reference()
    }

    fn nodes(&self) -> Vec<&'c Object> {
        self.case.snapshot.of_kind("Node").collect()
    }

    /// The pod that a spec would make, for trying out a change.
    fn pod(&self, spec: &Value) -> Option<Object> {
        let labels = self.manifest.object.pod_labels();
        let namespace = self.manifest.object.namespace();
        Object::new(json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": "", "namespace": namespace, "labels": labels},
            "spec": spec,
        }))
    }

    /// Whether some node of the dump would take the pod with this spec.
    fn would_run(&self, spec: &Value) -> bool {
        let Some(pod) = self.pod(spec) else {
            return false;
        };
        self.nodes()
            .iter()
            .any(|n| obstacles(self.case.snapshot, &pod, n).is_empty())
    }

    /// Nodes that are up and that selector and tolerations of a spec admit.
    fn admitted(&self, spec: &Value) -> Vec<&'c Object> {
        candidates(self.case.snapshot, spec)
    }

    /// Wanted replicas, as Git says.
    fn replicas(&self) -> i64 {
        let live = self.case.snapshot.get(self.name());
        let git = self.manifest.object.int("spec.replicas");
        git.or_else(|| live?.int("spec.replicas")).unwrap_or(1)
    }

    fn known_good(&self) -> Vec<KnownGood> {
        known_good(self.case, self.name())
    }

    /// The pod spec of an earlier revision.
    fn spec_of<'g>(&self, good: &'g KnownGood) -> Option<&'g Value> {
        self.base.get(&good.object)
    }

    /// What the scheduler says, as the first statement of a diagnosis.
    fn symptom(&self) -> String {
        let message = &self.case.finding.message;
        if message.is_empty() {
            return self.case.finding.summary.clone();
        }
        format!(
            "{} has pods that cannot be scheduled: {message}",
            self.name()
        )
    }

    /// What has to happen after the merge where the object cannot be changed in place.
    fn after_merge(&self) -> Vec<String> {
        let name = self.name();
        match name.kind.as_str() {
            "Pod" => vec![format!(
                "{name} must be deleted and created again: the spec of a Pod is immutable"
            )],
            "Job" => vec![format!(
                "{name} must be deleted and created again: the pod template of a Job is immutable"
            )],
            _ => Vec::new(),
        }
    }

    /// `3 schedulable nodes (worker-1, worker-2 and worker-3) of 4`
    fn node_count(&self, admitted: &[&Object]) -> String {
        let up = self.nodes().iter().filter(|n| is_up(n)).count();
        let total = self.nodes().len();
        let names: Vec<String> = admitted
            .iter()
            .take(5)
            .map(|n| n.name().to_owned())
            .collect();
        let named = super::build::and(&names);
        let count = admitted.len();
        let plural = if count == 1 { "node" } else { "nodes" };
        if names.is_empty() {
            return format!("0 schedulable nodes of {total} ({up} up)");
        }
        format!("{count} schedulable {plural} ({named}) of {total}")
    }
}

#[cfg(test)]
mod tests;
