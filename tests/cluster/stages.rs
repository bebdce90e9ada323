//! What simulated nodes and pods do. kwok plays the kubelets by these stages.
//!
//! Every fault is keyed on the field that its fix changes, so a fix that arrives heals the workload
//! by itself. In this world
//!
//! | what | holds when |
//! |---|---|
//! | an image can be pulled | its tag has three numbers |
//! | a program starts | its command lies in `/app/` |
//! | a ConfigMap exists | its name ends with `-settings` |
//! | a program ends by itself | the last number of its tag is 13 |
//! | it is OOMKilled | it uses more than its limit, by [`USES`] |
//! | it answers a probe | on a declared port, at `/healthz` |
//!
//! Scheduling, quotas, accounts, claims, endpoints and rollouts need no stage: the real controllers
//! judge them.

use serde_json::{Value, json};

/// The annotation with the MiB of memory that a program uses.
pub const USES: &str = "test.kubemend.dev/uses-mebibytes";

/// A fault: what tells it, what the container's status says, and what the kubelet's event says.
struct Fault {
    name: &'static str,
    /// A jq condition on the pod.
    when: String,
    phase: &'static str,
    /// The container's status, a template over the container.
    status: &'static str,
    event: Option<(&'static str, &'static str)>,
}

fn faults() -> Vec<Fault> {
    let mebibytes = "(if . == null then 1e9 elif test(\"Gi$\") then (rtrimstr(\"Gi\") | tonumber * 1024) else (rtrimstr(\"Mi\") | tonumber) end)";
    let references = "(.envFrom[]?.configMapRef.name, .env[]?.valueFrom.configMapKeyRef.name)";
    let probe_fails = |probe: &str| {
        format!(
            "any(.spec.containers[]; . as $c | .{probe}.httpGet | select(. != null) | .path != \"/healthz\" or (.port as $p | [$c.ports[]? | .containerPort, .name] | index($p) == null))"
        )
    };
    vec![
        Fault {
            name: "pull",
            when: r#"any(.spec.containers[]; .image | test(":[0-9]+[.][0-9]+[.][0-9]+$") | not)"#
                .to_owned(),
            phase: "Pending",
            status: r#"ready: false, started: false, restartCount: 0, state: {waiting: {reason: ImagePullBackOff, message: {{ printf "Back-off pulling image %q: ErrImagePull: rpc error: code = NotFound desc = failed to pull and unpack image %q: %s: not found" .image .image .image | Quote }}}}"#,
            event: Some(("Failed", "Error: ImagePullBackOff")),
        },
        Fault {
            name: "config",
            when: format!(
                "any(.spec.containers[] | {references} | select(. != null); test(\"-settings$\") | not)"
            ),
            phase: "Pending",
            status: r#"ready: false, started: false, restartCount: 0, state: {waiting: {reason: CreateContainerConfigError, message: {{ $name := "" }}{{ range .envFrom }}{{ with .configMapRef }}{{ $name = .name }}{{ end }}{{ end }}{{ range .env }}{{ with .valueFrom }}{{ with .configMapKeyRef }}{{ $name = .name }}{{ end }}{{ end }}{{ end }}{{ printf "configmap %q not found" $name | Quote }}}}"#,
            event: None,
        },
        Fault {
            name: "command",
            when: r#"any(.spec.containers[]; .command[0]? // "/app/" | startswith("/app/") | not)"#
                .to_owned(),
            phase: "Running",
            status: r#"ready: false, started: false, restartCount: 4, state: {waiting: {reason: CrashLoopBackOff, message: {{ printf "back-off 1m20s restarting failed container=%s" .name | Quote }}}}, lastState: {terminated: {exitCode: 128, reason: StartError, startedAt: "1970-01-01T00:00:00Z", finishedAt: {{ Now | Quote }}, message: {{ printf "failed to create containerd task: failed to create shim task: OCI runtime create failed: runc create failed: unable to start container process: error during container init: exec: %q: stat %s: no such file or directory" (index .command 0) (index .command 0) | Quote }}}}"#,
            event: Some(("BackOff", "Back-off restarting failed container")),
        },
        Fault {
            name: "crash",
            when: r#"any(.spec.containers[]; .image | test("[.]13$"))"#.to_owned(),
            phase: "Running",
            status: r#"ready: false, started: false, restartCount: 5, state: {waiting: {reason: CrashLoopBackOff, message: {{ printf "back-off 2m40s restarting failed container=%s" .name | Quote }}}}, lastState: {terminated: {exitCode: 1, reason: Error, startedAt: {{ Now | Quote }}, finishedAt: {{ Now | Quote }}}}"#,
            event: Some(("BackOff", "Back-off restarting failed container")),
        },
        Fault {
            name: "memory",
            when: format!(
                "(.metadata.annotations[\"{USES}\"] // \"0\" | tonumber) > ([.spec.containers[].resources.limits.memory | {mebibytes}] | min)"
            ),
            phase: "Running",
            status: r#"ready: false, started: false, restartCount: 3, state: {waiting: {reason: CrashLoopBackOff, message: {{ printf "back-off 40s restarting failed container=%s" .name | Quote }}}}, lastState: {terminated: {exitCode: 137, reason: OOMKilled, startedAt: {{ Now | Quote }}, finishedAt: {{ Now | Quote }}}}"#,
            event: Some(("BackOff", "Back-off restarting failed container")),
        },
        Fault {
            name: "unready",
            when: probe_fails("readinessProbe"),
            phase: "Running",
            status: "ready: false, started: true, restartCount: 0, state: {running: {startedAt: {{ Now | Quote }}}}",
            event: Some((
                "Unhealthy",
                "Readiness probe failed: dial tcp: connect: connection refused",
            )),
        },
    ]
}

/// The name of the first fault that a pod has, as one jq expression: stages that compare with it
/// exclude each other, and kwok picks at random among those that do not.
fn diagnosis(faults: &[Fault]) -> String {
    let cases: Vec<String> = faults
        .iter()
        .map(|f| format!("if {} then \"{}\"", f.when, f.name))
        .collect();
    format!("{} else \"none\" end", cases.join(" el"))
}

/// The stages of pods.
pub fn of_pods() -> String {
    let faults = faults();
    let diagnosis = diagnosis(&faults);
    let mut stages: Vec<Value> = faults
        .iter()
        .map(|f| {
            let mut stage = new_pod(f.name, &diagnosis, f.phase, f.status);
            if let Some((reason, message)) = f.event {
                stage["spec"]["next"]["event"] =
                    json!({"type": "Warning", "reason": reason, "message": message});
            }
            stage
        })
        .collect();
    let well = "ready: true, started: true, restartCount: 0, state: {running: {startedAt: {{ Now | Quote }}}}";
    stages.push(new_pod("none", &diagnosis, "Running", well));
    stages.push(stage(
        "pod-gone",
        "Pod",
        &json!([{"key": ".metadata.deletionTimestamp", "operator": "Exists"}]),
        &json!({"finalizers": {"empty": true}, "delete": true}),
    ));
    documents(&stages)
}

/// What happens to a pod that a node has just taken.
fn new_pod(fault: &str, diagnosis: &str, phase: &str, container: &str) -> Value {
    let is_well = if fault == "none" { "True" } else { "False" };
    let condition = |kind: &str, status: &str| {
        let reason = if status == "True" {
            ""
        } else {
            ", reason: ContainersNotReady"
        };
        format!(
            "- {{type: {kind}, status: \"{status}\"{reason}, lastTransitionTime: {{{{ Now | Quote }}}}}}\n"
        )
    };
    let conditions: String = [
        ("PodScheduled", "True"),
        ("Initialized", "True"),
        ("ContainersReady", is_well),
        ("Ready", is_well),
    ]
    .iter()
    .map(|(kind, status)| condition(kind, status))
    .collect();
    let status = format!(
        "phase: {phase}\n\
         hostIP: {{{{ NodeIPWith .spec.nodeName | Quote }}}}\n\
         podIP: {{{{ PodIPWith .spec.nodeName ( or .spec.hostNetwork false ) ( or .metadata.uid \"\" ) ( or .metadata.name \"\" ) ( or .metadata.namespace \"\" ) | Quote }}}}\n\
         startTime: {{{{ Now | Quote }}}}\n\
         conditions:\n{conditions}\
         containerStatuses:\n\
         {{{{ range .spec.containers }}}}\n\
         - {{name: {{{{ .name | Quote }}}}, image: {{{{ .image | Quote }}}}, imageID: \"\", {container}}}\n\
         {{{{ end }}}}\n"
    );
    stage(
        &format!("pod-{fault}"),
        "Pod",
        &json!([
            {"key": ".metadata.deletionTimestamp", "operator": "DoesNotExist"},
            {"key": ".spec.nodeName", "operator": "Exists"},
            {"key": ".status.containerStatuses", "operator": "DoesNotExist"},
            {"key": diagnosis, "operator": "In", "values": [fault]},
        ]),
        &json!({"statusTemplate": status}),
    )
}

/// The stage that makes a node ready, with room for some pods; kwok itself renews the lease.
pub fn of_nodes() -> String {
    let status = "phase: Running\n\
        addresses:\n\
        - {type: InternalIP, address: {{ NodeIP | Quote }}}\n\
        - {type: Hostname, address: {{ NodeName | Quote }}}\n\
        daemonEndpoints: {kubeletEndpoint: {Port: {{ NodePort }}}}\n\
        nodeInfo: {architecture: amd64, operatingSystem: linux, kubeletVersion: v1.36.2}\n\
        allocatable: {cpu: \"8\", memory: 32Gi, pods: \"110\"}\n\
        capacity: {cpu: \"8\", memory: 32Gi, pods: \"110\"}\n\
        conditions:\n\
        {{ range NodeConditions }}\n\
        - {type: {{ .type | Quote }}, status: {{ .status | Quote }}, reason: {{ .reason | Quote }}, message: {{ .message | Quote }}, lastHeartbeatTime: {{ Now | Quote }}, lastTransitionTime: {{ Now | Quote }}}\n\
        {{ end }}\n";
    let selector = json!([{"key": ".status.phase", "operator": "NotIn", "values": ["Running"]}]);
    documents(&[stage(
        "node",
        "Node",
        &selector,
        &json!({"statusTemplate": status}),
    )])
}

fn stage(name: &str, kind: &str, selector: &Value, next: &Value) -> Value {
    json!({
        "kind": "Stage",
        "apiVersion": "kwok.x-k8s.io/v1alpha1",
        "metadata": {"name": name},
        "spec": {
            "resourceRef": {"apiGroup": "v1", "kind": kind},
            "selector": {"matchExpressions": selector},
            "next": next,
        },
    })
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

fn documents(values: &[Value]) -> String {
    values.iter().map(|v| format!("---\n{v}\n")).collect()
}
