//! Plants one fault in a running shop, lets `kubemend fix` look at the cluster as a person would
//! dump it, applies what it proposes, and expects the real controllers to heal the shop.

use serde_json::Value;

use crate::plane::Plane;
use crate::shop::{self, Shop, has_endpoint, is_rolled_out};

type Look = fn(&Value) -> bool;

/// How kubemend has to end.
pub enum End {
    /// A pull request with this new line.
    Fix(&'static str),
    /// A question or refusal with this code.
    Stop(&'static str),
    /// A question with this code, whose first option has a change with this new line.
    Choice(&'static str, &'static str),
}

pub struct Fault {
    pub name: &'static str,
    /// What is changed: this text, to that.
    pub from: &'static str,
    pub to: &'static str,
    /// What is in the cluster besides what Git holds.
    pub also: &'static str,
    /// How the fault shows.
    symptom: (&'static str, Look),
    pub end: End,
    /// What the pull request tells a person to do, as arguments of kubectl.
    pub by_hand: &'static [&'static str],
    healed: (&'static str, Look),
}

impl Fault {
    /// Plays the person who follows the pull request.
    pub fn do_by_hand(&self, plane: &Plane, namespace: &str) -> Result<(), String> {
        if self.by_hand.is_empty() {
            return Ok(());
        }
        let args: Vec<&str> = self
            .by_hand
            .iter()
            .copied()
            .chain(["-n", namespace])
            .collect();
        plane.kubectl.run(&args).map(drop)
    }
}

const HEALED: (&str, Look) = ("deployments", is_rolled_out);

pub const FAULTS: &[Fault] = &[
    Fault {
        name: "a_tag_that_does_not_exist",
        from: "web:1.4.2",
        to: "web:1.4.O",
        also: "",
        symptom: ("pods", |p| waits(p, "ImagePullBackOff")),
        end: End::Fix("image: registry.example.com/shop/web:1.4.2"),
        by_hand: &[],
        healed: HEALED,
    },
    Fault {
        name: "a_release_that_crashes",
        from: "web:1.4.2",
        to: "web:1.4.13",
        also: "",
        symptom: ("pods", |p| waits(p, "CrashLoopBackOff")),
        end: End::Fix("image: registry.example.com/shop/web:1.4.2"),
        by_hand: &[],
        healed: HEALED,
    },
    Fault {
        name: "a_memory_limit_that_is_too_low",
        from: "memory: 256Mi",
        to: "memory: 160Mi",
        also: "",
        symptom: ("pods", |p| ended(p, "OOMKilled")),
        end: End::Fix("memory: 256Mi"),
        by_hand: &[],
        healed: HEALED,
    },
    Fault {
        name: "a_configmap_that_is_misspelled",
        from: "            name: web-settings",
        to: "            name: web-setings",
        also: "",
        symptom: ("pods", |p| waits(p, "CreateContainerConfigError")),
        end: End::Fix("name: web-settings"),
        by_hand: &[],
        healed: HEALED,
    },
    Fault {
        name: "a_command_that_does_not_exist",
        from: "[/app/web]",
        to: "[/ap/web]",
        also: "",
        symptom: ("pods", |p| ended(p, "StartError")),
        end: End::Fix("command: [/app/web]"),
        by_hand: &[],
        healed: HEALED,
    },
    Fault {
        name: "a_probe_of_a_port_that_nobody_listens_on",
        from: "            port: http\n",
        to: "            port: 8081\n",
        also: "",
        symptom: ("events", |e| e["reason"] == "Unhealthy"),
        end: End::Fix("port: http"),
        by_hand: &[],
        healed: HEALED,
    },
    Fault {
        name: "a_path_that_is_not_served_and_restarts_it",
        from: "/healthz\n            port: 8080\n",
        to: "/helthz\n            port: 8080\n",
        also: "",
        symptom: ("events", |e| e["reason"] == "Killing"),
        end: End::Fix("path: /healthz"),
        by_hand: &[],
        healed: HEALED,
    },
    Fault {
        name: "a_request_that_no_node_meets",
        from: "cpu: 100m",
        to: "cpu: 100",
        also: "",
        symptom: ("pods", is_unschedulable),
        end: End::Fix("cpu: 100m"),
        by_hand: &[],
        healed: HEALED,
    },
    Fault {
        name: "a_node_label_that_is_misspelled",
        from: "disktype: ssd",
        to: "disktype: sdd",
        also: "",
        symptom: ("pods", is_unschedulable),
        end: End::Fix("disktype: ssd"),
        by_hand: &[],
        healed: HEALED,
    },
    Fault {
        name: "a_service_that_selects_nothing",
        from: "  selector:\n    app: web\n  ports",
        to: "  selector:\n    app: wbe\n  ports",
        also: "",
        symptom: ("endpointslices", |s| !has_endpoint(s)),
        end: End::Fix("app: web"),
        by_hand: &[],
        healed: ("endpointslices", has_endpoint),
    },
    Fault {
        name: "a_service_port_that_is_misspelled",
        from: "targetPort: http",
        to: "targetPort: htpp",
        also: "",
        symptom: ("endpointslices", |s| !has_endpoint(s)),
        end: End::Fix("targetPort: http"),
        by_hand: &[],
        healed: ("endpointslices", has_endpoint),
    },
    Fault {
        name: "a_claim_of_a_class_that_does_not_exist",
        from: "            memory: 256Mi\n---\n",
        to: CLAIM,
        also: "apiVersion: storage.k8s.io/v1\nkind: StorageClass\nmetadata:\n  name: fast\nprovisioner: test.kubemend.dev/disks\n",
        symptom: ("pods", is_unschedulable),
        end: End::Fix("storageClassName: fast"),
        by_hand: &["delete", "persistentvolumeclaims", "data"],
        healed: HEALED,
    },
    Fault {
        name: "an_account_that_does_not_exist",
        from: "serviceAccountName: web",
        to: "serviceAccountName: wbe",
        also: "",
        symptom: ("replicasets", is_refused),
        end: End::Stop("ForbiddenByRule"),
        by_hand: &[],
        healed: HEALED,
    },
    Fault {
        name: "a_quota_that_is_full",
        from: "memory: 128Mi",
        to: "memory: 200Mi",
        also: "apiVersion: v1\nkind: ResourceQuota\nmetadata:\n  name: small\nspec:\n  hard:\n    requests.memory: 300Mi\n",
        symptom: ("replicasets", is_refused),
        end: End::Choice("OwnerDecision", "memory: 150Mi"),
        by_hand: &[],
        healed: HEALED,
    },
];

/// The shop keeps data from now on.
const CLAIM: &str = "            memory: 256Mi
      volumes:
      - name: data
        persistentVolumeClaim:
          claimName: data
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata:
  name: data
spec:
  storageClassName: fsat
  accessModes: [ReadWriteOnce]
  resources:
    requests:
      storage: 1Gi
---
";

pub fn trials() -> impl Iterator<Item = (&'static str, impl Fn(&Plane) -> Result<(), String>)> {
    FAULTS
        .iter()
        .map(|fault| (fault.name, move |plane: &Plane| run(plane, fault)))
}

fn run(plane: &Plane, fault: &Fault) -> Result<(), String> {
    let shop = Shop::open(plane, &fault.name.replace('_', "-"))?;
    if !fault.also.is_empty() {
        plane.kubectl.apply(Some(&shop.namespace), fault.also)?;
    }
    let broken = shop::MANIFEST.replace(fault.from, fault.to);
    if broken == shop::MANIFEST {
        return Err("nothing was planted".to_owned());
    }
    shop.commit("change the shop", &broken)?;
    shop.apply()?;
    shop.wait(fault.symptom.0, "the fault shows", fault.symptom.1)?;

    let results = shop.fix()?;
    let all = || serde_json::to_string_pretty(&results).unwrap_or_default();
    let [result] = &results[..] else {
        return Err(format!("one finding expected: {}", all()));
    };
    let text = |at: &str| {
        result
            .pointer(at)
            .and_then(Value::as_str)
            .unwrap_or_default()
    };
    let (patch, code) = (text("/patch"), text("/code"));
    let live = shop.fix_live()?;
    let ends = |all: &[Value]| -> Vec<[Value; 3]> {
        let of = |r: &Value, at: &str| r.pointer(at).cloned().unwrap_or_default();
        let ends = all.iter();
        ends.map(|r| ["/patch", "/code", "/fingerprint"].map(|at| of(r, at)))
            .collect()
    };
    if ends(&live) != ends(&results) {
        let live = serde_json::to_string_pretty(&live).unwrap_or_default();
        return Err(format!("read live: {live}\ndumped: {}", all()));
    }
    let change = match fault.end {
        End::Stop(expected) if code == expected && patch.is_empty() => return Ok(()),
        End::Fix(line) if added(patch) == [line] => patch,
        End::Choice(expected, line) => {
            let option = text("/options/0/patch");
            if code != expected || !patch.is_empty() || added(option) != [line] {
                return Err(format!("another question: {}", all()));
            }
            option
        }
        _ => return Err(format!("another end: {}", all())),
    };
    shop.merge(change)?;
    fault.do_by_hand(plane, &shop.namespace)?;
    shop.apply()?;
    shop.wait(fault.healed.0, "the fix heals", fault.healed.1)?;
    Ok(())
}

/// The lines that a patch adds.
pub fn added(patch: &str) -> Vec<&str> {
    let lines = patch.lines().filter(|l| !l.starts_with("+++"));
    lines
        .filter_map(|l| l.strip_prefix('+'))
        .map(str::trim)
        .collect()
}

/// Whether a container of a pod waits for this reason.
pub fn waits(pod: &Value, reason: &str) -> bool {
    containers(pod).any(|c| c["state"]["waiting"]["reason"] == reason)
}

/// Whether a container's last run ended for this reason.
fn ended(pod: &Value, reason: &str) -> bool {
    containers(pod).any(|c| c["lastState"]["terminated"]["reason"] == reason)
}

fn containers(pod: &Value) -> impl Iterator<Item = &Value> {
    let all = pod["status"]["containerStatuses"].as_array();
    all.into_iter().flatten()
}

/// Whether an object has a condition with this status.
pub fn has_condition(object: &Value, kind: &str, status: &str) -> bool {
    let all = object["status"]["conditions"].as_array();
    all.is_some_and(|all| {
        all.iter()
            .any(|c| c["type"] == kind && c["status"] == status)
    })
}

fn is_unschedulable(pod: &Value) -> bool {
    has_condition(pod, "PodScheduled", "False")
}

fn is_refused(set: &Value) -> bool {
    has_condition(set, "ReplicaFailure", "True")
}
