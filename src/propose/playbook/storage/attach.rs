//! One ReadWriteOnce volume, pods on two nodes.

use serde_json::Value;

use crate::case::Case;
use crate::code::Code;
use crate::detect::scheduling::{CAUSE, claims_of};
use crate::detect::storage::{CLAIM, VOLUME};
use crate::object::Object;
use crate::placement::{anti_affinity_terms, term_selects};
use crate::propose::playbook::build::{and, ask, by_hand, refuse};
use crate::propose::{Answer, Choice};

pub(super) fn run(case: &Case<'_>) -> Option<Answer> {
    // the container detector may have seen it first, without the facts
    let multi = case.finding.fact(CAUSE) == Some("multi-attach")
        || case.finding.message.contains("Multi-Attach error");
    if !multi {
        return None;
    }
    let share = Share::of(case)?;
    if share.holders().is_empty() {
        return Some(refuse(Code::InfrastructureFault, share.nobody()));
    }
    Some(share.question())
}

/// A volume that more than one pod mounts.
struct Share<'c> {
    case: &'c Case<'c>,
    object: &'c Object,
    claim: Option<&'c Object>,
}

impl<'c> Share<'c> {
    fn of(case: &'c Case<'c>) -> Option<Self> {
        let object = match case.manifest() {
            Some(manifest) => &manifest.object,
            None => case.snapshot.get(&case.finding.object)?,
        };
        let claim = shared_claim(case);
        Some(Self {
            case,
            object,
            claim,
        })
    }

    /// Pods that mount the claim and have a node.
    fn holders(&self) -> Vec<&'c Object> {
        let Some(claim) = self.claim else {
            return Vec::new();
        };
        let name = claim.reference();
        let mounts = |p: &&Object| claims_of(p).iter().any(|c| c.same_object(&name));
        let pods = self.case.snapshot.of_kind("Pod").filter(mounts);
        pods.filter(|p| p.str("spec.nodeName").is_some()).collect()
    }

    fn nobody(&self) -> String {
        let finding = self.case.finding;
        let volume = finding.fact(VOLUME).unwrap_or_default();
        format!(
            "{}; {}; the dump shows no pod that holds volume {volume}: the attachment of a lost node has to be released",
            finding.summary, finding.message
        )
    }

    fn replicas(&self) -> i64 {
        self.object.int("spec.replicas").unwrap_or(1)
    }

    /// Whether the required anti-affinity keeps the workload's own pods apart.
    fn apart(&self) -> bool {
        let Some(spec) = self.object.pod_spec() else {
            return false;
        };
        let own = Object::new(serde_json::json!({"kind": "Pod", "metadata": {
            "namespace": self.object.namespace(), "labels": self.object.pod_labels()}}));
        own.is_some_and(|pod| {
            anti_affinity_terms(spec)
                .iter()
                .any(|t| term_selects(t, self.object.namespace(), &pod))
        })
    }

    fn other_workloads(&self) -> Vec<String> {
        let owners = self
            .holders()
            .into_iter()
            .map(|p| self.case.snapshot.top_owner(p));
        let mut names: Vec<String> = owners
            .filter(|o| !o.same_object(&self.case.finding.object))
            .map(|o| o.to_string())
            .collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    fn question(&self) -> Answer {
        let finding = self.case.finding;
        let name = &finding.object;
        let claim = self
            .claim
            .map_or_else(|| "the volume".to_owned(), |c| c.reference().to_string());
        let replicas = self.replicas();
        let mut diagnosis = vec![finding.summary.clone(), finding.message.clone()];
        diagnosis.push(self.claim_facts(&claim));
        diagnosis.push(format!(
            "{name} wants {replicas} replicas, which all mount {claim}"
        ));
        if self.apart() {
            diagnosis.push("its required podAntiAffinity keeps the pods on different nodes, and a ReadWriteOnce volume can be used on one node only".to_owned());
        }
        for pod in self.holders() {
            diagnosis.push(format!(
                "{} runs on node {}",
                pod.reference(),
                pod.str("spec.nodeName").unwrap_or_default()
            ));
        }
        let title = if replicas > 1 {
            format!(
                "{name}: {replicas} replicas on different nodes cannot share the ReadWriteOnce claim {claim}: which gives way?"
            )
        } else {
            format!(
                "{name}: pods on two nodes want the ReadWriteOnce claim {claim}: which gives way?"
            )
        };
        ask(Code::OwnerDecision, title, diagnosis, self.options(&claim))
    }

    fn claim_facts(&self, name: &str) -> String {
        let Some(claim) = self.claim else {
            return format!("{name} is not in the dump");
        };
        let modes: Vec<&str> = claim
            .list("spec.accessModes")
            .iter()
            .filter_map(Value::as_str)
            .collect();
        let volume = claim.str("spec.volumeName").unwrap_or_default();
        format!(
            "{name} has access modes {} and volume {volume}",
            modes.join(", ")
        )
    }

    fn options(&self, claim: &str) -> Vec<Choice> {
        let name = &self.case.finding.object;
        let mut out = Vec::new();
        if self.replicas() > 1 {
            out.push(by_hand(format!(
                "run one replica of {name} (changes capacity, needs approval, rule D01)"
            )));
            out.push(by_hand(format!("drop the shared volume {claim} from {name}, if the pods need no common data (rule L01: a person makes the change)")));
            out.push(by_hand(
                "give each replica a claim of its own (a StatefulSet with volumeClaimTemplates)"
                    .to_owned(),
            ));
        } else if self.other_workloads().is_empty() {
            out.push(by_hand(format!("use strategy Recreate in {name}, so that the old pod lets go of the volume first (rule D08: a person makes the change)")));
        } else {
            out.push(by_hand(format!(
                "let only one of {name} and {} use {claim}",
                and(&self.other_workloads())
            )));
        }
        out.push(by_hand(format!("use ReadWriteMany storage for {claim} (a new claim: access modes are immutable, and data has to be moved)")));
        if self.apart() {
            out.push(by_hand(format!("drop the required podAntiAffinity of {name}, so that the pods may share a node (rule D13: a person makes the change)")));
        }
        out
    }
}

/// The claim of the finding, else the claim of its first pod that is bound to the volume (or is the
/// only one that the pod mounts).
fn shared_claim<'c>(case: &'c Case<'c>) -> Option<&'c Object> {
    let namespace = case.finding.object.namespace.as_deref();
    if let Some(name) = case.finding.fact(CLAIM) {
        return case.snapshot.find("PersistentVolumeClaim", namespace, name);
    }
    let pod = case
        .finding
        .pods
        .iter()
        .find_map(|p| case.snapshot.get(p))?;
    let claims = claims_of(pod);
    let live: Vec<&Object> = claims.iter().filter_map(|c| case.snapshot.get(c)).collect();
    let named = |c: &&&Object| {
        c.str("spec.volumeName")
            .is_some_and(|v| !v.is_empty() && case.finding.message.contains(v))
    };
    match (live.iter().find(named), live.as_slice()) {
        (Some(claim), _) | (None, [claim]) => Some(claim),
        _ => None,
    }
}
