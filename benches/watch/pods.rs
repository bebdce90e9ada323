//! Pods as a cluster has them: 7 to 8 kB each, a third of it managed fields.

use serde_json::{Value, json};

/// One of a hundred is crash-looping.
pub(crate) const ILL: usize = 100;
/// Pods of a namespace.
const NAMESPACE: usize = 200;

/// The pod with this number, as of a change.
pub(crate) fn pod(n: usize, change: usize) -> Value {
    let (name, app) = (format!("checkout-{:x}-{n:06x}", n / 10 * 7_919), n / 10);
    let namespace = format!("team-{:03}", n / NAMESPACE);
    let node = format!(
        "ip-10-{}-{}-{}.eu-central-1.compute.internal",
        n % 4,
        n % 16,
        n % 200
    );
    let ill = n.is_multiple_of(ILL);
    json!({
        "kind": "Pod", "apiVersion": "v1",
        "metadata": {
            "name": name, "generateName": format!("checkout-{:x}-", app * 79_190), "namespace": namespace,
            "uid": format!("{n:08x}-7a3f-4c1e-9b2d-{n:012x}"), "generation": 1, "creationTimestamp": "2026-11-20T08:14:07Z",
            "labels": {
                "app.kubernetes.io/name": "checkout", "app.kubernetes.io/instance": format!("checkout-{app}"),
                "app.kubernetes.io/version": "4.17.2", "app.kubernetes.io/part-of": "webshop",
                "app.kubernetes.io/managed-by": "Helm", "helm.sh/chart": "checkout-4.17.2",
                "pod-template-hash": format!("{:x}", app * 79_190), "topology.example.com/tier": "backend"
            },
            "annotations": {
                "checksum/config": format!("{:064x}", app * 104_729), "prometheus.io/port": "9090",
                "prometheus.io/scrape": "true", "prometheus.io/path": "/metrics",
                "kubectl.kubernetes.io/restartedAt": "2026-11-20T08:14:05Z"
            },
            "ownerReferences": [{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": format!("checkout-{:x}", app * 79_190),
                "uid": format!("{app:08x}-11d2-4b7a-8f10-{app:012x}"), "controller": true, "blockOwnerDeletion": true}],
            "managedFields": managed()
        },
        "spec": spec(&node),
        "status": status(ill, change, n)
    })
}

fn managed() -> Value {
    let container = |name: &str| {
        json!({(format!("k:{{\"name\":\"{name}\"}}")): {".": {}, "f:env": {".": {}, "k:{\"name\":\"LOG_LEVEL\"}": {".": {}, "f:name": {}, "f:value": {}},
            "k:{\"name\":\"POD_IP\"}": {".": {}, "f:name": {}, "f:valueFrom": {".": {}, "f:fieldRef": {}}}},
            "f:envFrom": {}, "f:image": {}, "f:imagePullPolicy": {},
            "f:livenessProbe": {".": {}, "f:failureThreshold": {}, "f:httpGet": {".": {}, "f:path": {}, "f:port": {}, "f:scheme": {}}, "f:periodSeconds": {}, "f:successThreshold": {}, "f:timeoutSeconds": {}},
            "f:name": {}, "f:ports": {".": {}, "k:{\"containerPort\":8080,\"protocol\":\"TCP\"}": {".": {}, "f:containerPort": {}, "f:name": {}, "f:protocol": {}}},
            "f:readinessProbe": {".": {}, "f:failureThreshold": {}, "f:httpGet": {".": {}, "f:path": {}, "f:port": {}, "f:scheme": {}}, "f:periodSeconds": {}, "f:successThreshold": {}, "f:timeoutSeconds": {}},
            "f:resources": {".": {}, "f:limits": {".": {}, "f:memory": {}}, "f:requests": {".": {}, "f:cpu": {}, "f:memory": {}}},
            "f:securityContext": {".": {}, "f:allowPrivilegeEscalation": {}, "f:readOnlyRootFilesystem": {}},
            "f:terminationMessagePath": {}, "f:terminationMessagePolicy": {}, "f:volumeMounts": {".": {}, "k:{\"mountPath\":\"/etc/checkout\"}": {".": {}, "f:mountPath": {}, "f:name": {}}}}})
    };
    let condition = |name: &str| json!({(format!("k:{{\"type\":\"{name}\"}}")): {".": {}, "f:lastProbeTime": {}, "f:lastTransitionTime": {}, "f:status": {}, "f:type": {}}});
    let merged = |all: Vec<Value>| {
        let maps = all.into_iter().filter_map(|v| v.as_object().cloned());
        Value::Object(maps.flatten().collect())
    };
    json!([
        {"manager": "kube-controller-manager", "operation": "Update", "apiVersion": "v1", "time": "2026-11-20T08:14:07Z", "fieldsType": "FieldsV1",
            "fieldsV1": {"f:metadata": {"f:annotations": {".": {}, "f:checksum/config": {}, "f:prometheus.io/port": {}, "f:prometheus.io/scrape": {}},
                "f:generateName": {}, "f:labels": {".": {}, "f:app.kubernetes.io/name": {}, "f:app.kubernetes.io/instance": {}, "f:pod-template-hash": {}},
                "f:ownerReferences": {".": {}, "k:{\"uid\":\"0000-11d2-4b7a-8f10\"}": {}}},
                "f:spec": {"f:containers": merged(vec![container("checkout"), container("proxy")]), "f:dnsPolicy": {}, "f:enableServiceLinks": {}, "f:restartPolicy": {},
                    "f:schedulerName": {}, "f:securityContext": {}, "f:serviceAccount": {}, "f:serviceAccountName": {}, "f:terminationGracePeriodSeconds": {}, "f:volumes": {}}}},
        {"manager": "kubelet", "operation": "Update", "apiVersion": "v1", "time": "2026-11-20T08:14:31Z", "subresource": "status", "fieldsType": "FieldsV1",
            "fieldsV1": {"f:status": {"f:conditions": merged(["ContainersReady", "Initialized", "PodReadyToStartContainers", "Ready"].into_iter().map(condition).collect()),
                "f:containerStatuses": {}, "f:hostIP": {}, "f:hostIPs": {}, "f:phase": {}, "f:podIP": {}, "f:podIPs": {}, "f:startTime": {}}}}
    ])
}

fn spec(node: &str) -> Value {
    let probe = |path: &str| json!({"httpGet": {"path": path, "port": 8080, "scheme": "HTTP"}, "timeoutSeconds": 1, "periodSeconds": 10, "successThreshold": 1, "failureThreshold": 3});
    let container = |name: &str, image: &str| {
        json!({"name": name, "image": image, "imagePullPolicy": "IfNotPresent",
            "ports": [{"name": "http", "containerPort": 8080, "protocol": "TCP"}, {"name": "metrics", "containerPort": 9090, "protocol": "TCP"}],
            "envFrom": [{"configMapRef": {"name": "checkout-settings"}}],
            "env": [{"name": "LOG_LEVEL", "value": "info"}, {"name": "JAVA_OPTS", "value": "-XX:MaxRAMPercentage=75 -XX:+ExitOnOutOfMemoryError"},
                {"name": "POD_IP", "valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": "status.podIP"}}},
                {"name": "DATABASE_HOST", "value": "checkout-db.databases.svc.cluster.local"}],
            "resources": {"limits": {"memory": "512Mi"}, "requests": {"cpu": "100m", "memory": "256Mi"}},
            "volumeMounts": [{"name": "settings", "mountPath": "/etc/checkout"},
                {"name": "kube-api-access-x7k2p", "readOnly": true, "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount"}],
            "livenessProbe": probe("/livez"), "readinessProbe": probe("/readyz"),
            "terminationMessagePath": "/dev/termination-log", "terminationMessagePolicy": "File",
            "securityContext": {"capabilities": {"drop": ["ALL"]}, "readOnlyRootFilesystem": true, "allowPrivilegeEscalation": false}})
    };
    json!({
        "volumes": [{"name": "settings", "configMap": {"name": "checkout-settings", "defaultMode": 420}},
            {"name": "kube-api-access-x7k2p", "projected": {"defaultMode": 420, "sources": [{"serviceAccountToken": {"expirationSeconds": 3607, "path": "token"}},
                {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
                {"downwardAPI": {"items": [{"path": "namespace", "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"}}]}}]}}],
        "containers": [container("checkout", "registry.example.com/webshop/checkout:4.17.2"), container("proxy", "registry.example.com/mesh/proxy:1.29.0")],
        "restartPolicy": "Always", "terminationGracePeriodSeconds": 30, "dnsPolicy": "ClusterFirst", "serviceAccountName": "checkout", "serviceAccount": "checkout",
        "nodeName": node, "securityContext": {"runAsNonRoot": true, "seccompProfile": {"type": "RuntimeDefault"}}, "schedulerName": "default-scheduler",
        "tolerations": [{"key": "node.kubernetes.io/not-ready", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300},
            {"key": "node.kubernetes.io/unreachable", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300}],
        "priority": 0, "enableServiceLinks": true, "preemptionPolicy": "PreemptLowerPriority"
    })
}

fn status(ill: bool, change: usize, n: usize) -> Value {
    let ready = if ill { "False" } else { "True" };
    let condition = |kind: &str, status: &str| json!({"type": kind, "status": status, "observedGeneration": 1, "lastProbeTime": null, "lastTransitionTime": "2026-11-20T08:14:31Z"});
    let container = |name: &str, image: &str, ill: bool| {
        let state = match ill {
            true => {
                json!({"waiting": {"reason": "CrashLoopBackOff", "message": format!("back-off 5m0s restarting failed container={name}")}})
            }
            false => json!({"running": {"startedAt": "2026-11-20T08:14:30Z"}}),
        };
        let last = match ill {
            true => {
                json!({"terminated": {"exitCode": 1, "reason": "Error", "startedAt": "2026-11-20T08:19:30Z", "finishedAt": "2026-11-20T08:19:31Z", "containerID": format!("containerd://{n:064x}")}})
            }
            false => json!({}),
        };
        json!({"name": name, "state": state, "lastState": last, "ready": !ill, "started": !ill, "restartCount": if ill { change } else { 0 },
            "image": image, "imageID": format!("{image}@sha256:{:064x}", 424_242), "containerID": format!("containerd://{n:064x}")})
    };
    json!({
        "phase": "Running", "observedGeneration": 1,
        "conditions": [condition("PodReadyToStartContainers", "True"), condition("Initialized", "True"), condition("Ready", ready), condition("ContainersReady", ready), condition("PodScheduled", "True")],
        "hostIP": "10.0.17.4", "hostIPs": [{"ip": "10.0.17.4"}], "podIP": "10.1.4.17", "podIPs": [{"ip": "10.1.4.17"}], "startTime": "2026-11-20T08:14:07Z", "qosClass": "Burstable",
        "containerStatuses": [container("checkout", "registry.example.com/webshop/checkout:4.17.2", ill), container("proxy", "registry.example.com/mesh/proxy:1.29.0", false)]
    })
}
