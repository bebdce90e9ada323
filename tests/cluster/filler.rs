//! Pods in great number, for a look at what a watch of them costs: one of ten crashes for ever.

use std::time::Duration;

use serde_json::{Value, json};

use crate::plane::Plane;
use crate::stages;

/// Where they are.
pub const NAMESPACE: &str = "filler";
/// As many pods as a node of the stages has room for, and some to spare.
const ON_A_NODE: usize = 100;
/// Workloads; every tenth is ill.
const WORKLOADS: usize = 20;
const ILL: usize = 10;
const LOOK: Duration = Duration::from_secs(5);
/// Looks until it is given up.
const LOOKS: usize = 360;

/// Fills the cluster, and says how far it is.
pub fn fill(plane: &Plane, pods: usize) -> Result<(), String> {
    let kubectl = &plane.kubectl;
    kubectl.apply(None, &stages::nodes(3 + pods.div_ceil(ON_A_NODE)))?;
    let namespace =
        json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}});
    kubectl.apply(None, &namespace.to_string())?;
    let items: Vec<Value> = (0..WORKLOADS)
        .map(|n| workload(n, share(n, pods)))
        .collect();
    let list = json!({"apiVersion": "v1", "kind": "List", "items": items});
    kubectl.apply(Some(NAMESPACE), &list.to_string())?;
    let well: usize = (0..WORKLOADS)
        .filter(|n| !is_ill(*n))
        .map(|n| share(n, pods))
        .sum();
    for _ in 0..LOOKS {
        let (made, ready) = counted(&kubectl.get(NAMESPACE, "deployments")?);
        println!("{made} of {pods} pods, {ready} of {well} ready");
        if (made, ready) == (pods, well) {
            return Ok(());
        }
        std::thread::sleep(LOOK);
    }
    Err(format!("the cluster did not take {pods} pods"))
}

fn is_ill(n: usize) -> bool {
    n.is_multiple_of(ILL)
}

/// How many of all pods a workload has.
fn share(n: usize, pods: usize) -> usize {
    pods / WORKLOADS + usize::from(n < pods % WORKLOADS)
}

fn workload(n: usize, replicas: usize) -> Value {
    let name = format!("filler-{n}");
    let labels = json!({"app": name});
    let tag = if is_ill(n) { "1.0.13" } else { "1.0.1" };
    let container = json!({
        "name": "app",
        "image": format!("registry.example.com/filler/app:{tag}"),
        "resources": {"requests": {"cpu": "10m", "memory": "16Mi"}},
    });
    json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": {"containers": [container]}},
        },
    })
}

/// How many pods there are, and how many are ready.
fn counted(list: &Value) -> (usize, usize) {
    let items = list["items"].as_array().map_or(&[][..], Vec::as_slice);
    let sum = |field: &str| {
        let of = |d: &Value| usize::try_from(d["status"][field].as_u64().unwrap_or(0)).unwrap_or(0);
        items.iter().map(of).sum()
    };
    (sum("replicas"), sum("readyReplicas"))
}
