//! What simulated nodes do: kwok plays them by these stages. What pods do is in `kubelet.rs`.

use serde_json::{Value, json};

/// The stage that makes a node ready, with room for some pods; kwok itself renews the lease.
pub fn of_nodes() -> String {
    let status = "phase: Running\n\
        addresses:\n\
        - {type: InternalIP, address: {{ NodeIP | Quote }}}\n\
        - {type: Hostname, address: {{ NodeName | Quote }}}\n\
        daemonEndpoints: {kubeletEndpoint: {Port: {{ NodePort }}}}\n\
        nodeInfo: {architecture: amd64, operatingSystem: linux, kubeletVersion: v1.36.2}\n\
        allocatable: {cpu: \"8\", memory: 32Gi, ephemeral-storage: 200Gi, pods: \"110\"}\n\
        capacity: {cpu: \"8\", memory: 32Gi, ephemeral-storage: 200Gi, pods: \"110\"}\n\
        conditions:\n\
        {{ range NodeConditions }}\n\
        - {type: {{ .type | Quote }}, status: {{ .status | Quote }}, reason: {{ .reason | Quote }}, message: {{ .message | Quote }}, lastHeartbeatTime: {{ Now | Quote }}, lastTransitionTime: {{ Now | Quote }}}\n\
        {{ end }}\n";
    let selector = json!([{"key": ".status.phase", "operator": "NotIn", "values": ["Running"]}]);
    let stage = json!({
        "kind": "Stage",
        "apiVersion": "kwok.x-k8s.io/v1alpha1",
        "metadata": {"name": "node"},
        "spec": {
            "resourceRef": {"apiGroup": "v1", "kind": "Node"},
            "selector": {"matchExpressions": selector},
            "next": {"statusTemplate": status},
        },
    });
    stage.to_string()
}

/// Some nodes.
pub fn nodes(count: usize) -> String {
    let node = |n: usize| {
        let name = format!("node-{n}");
        json!({
            "apiVersion": "v1",
            "kind": "Node",
            "metadata": {
                "name": name,
                "annotations": {"kwok.x-k8s.io/node": "fake"},
                "labels": {
                    "kubernetes.io/hostname": name,
                    "kubernetes.io/os": "linux",
                    "kubernetes.io/arch": "amd64",
                    "disktype": "ssd",
                },
            },
        })
    };
    let items: Vec<Value> = (1..=count).map(node).collect();
    json!({"apiVersion": "v1", "kind": "List", "items": items}).to_string()
}
