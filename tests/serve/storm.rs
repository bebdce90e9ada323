//! Five thousand pods that fail for one reason, between the tests' API server, GitHub, a Git server and
//! a model that counts what it is asked: one finding, one call, one pull request.

use std::sync::atomic::{AtomicUsize, Ordering};

use libtest_mimic::Trial;
use serde_json::{Value, json};
use wiremock::matchers::{method, path};
use wiremock::{Mock, MockServer, Request, Respond, ResponseTemplate};

use crate::api_server::ApiServer;
use crate::git_server;
use crate::program::Stage;

use crate::trial;

const PODS: &str = "/api/v1/pods";
/// Lists come as streams from Kubernetes 1.34 on.
const STREAMED: u32 = 34;
const STORM: usize = 5_000;

pub(crate) fn trials() -> Vec<Trial> {
    let name = "a_storm_is_one_call_and_one_pull_request";
    let missing = git_server::missing();
    vec![trial(
        name,
        missing,
        a_storm_is_one_call_and_one_pull_request,
    )]
}

const MANIFEST: &str = "\
apiVersion: apps/v1
kind: Deployment
metadata:
  name: cart
  namespace: shop
spec:
  replicas: 5000
  selector:
    matchLabels: {app: cart}
  template:
    metadata:
      labels: {app: cart}
    spec:
      containers:
      - name: cart
        image: registry.example.com/shop/cart:1.4.2
        resources:
          limits:
            memory: 128Mi
";

fn a_storm_is_one_call_and_one_pull_request() {
    let stage = Stage::with(|repository| {
        std::fs::remove_dir_all(repository).unwrap();
        std::fs::create_dir_all(repository.join(".github")).unwrap();
        std::fs::write(repository.join("cart.yaml"), MANIFEST).unwrap();
        let rules = "version: 1\ngrace_seconds: 1\npull_requests:\n  min_failure_age: 1s\n";
        std::fs::write(repository.join(".github/kubemend.yaml"), rules).unwrap();
    });
    let cluster = stage.runtime.block_on(ApiServer::start(STREAMED));
    fill(&cluster);
    let (model, asked) = stage.runtime.block_on(model());

    let mut command = stage.without_cluster();
    command.arg("--watch").args(["--failure-age", "1s"]);
    command.arg("--kubeconfig").arg(cluster.kubeconfig.path());
    command.args(["--proposer", "model", "--model", "stub"]);
    command.args(["--base-url", &format!("{}/v1", model.uri())]);
    command.env("OPENAI_API_KEY", "test-key-7f3c");
    let mut program = stage.start_with(command);
    let pass = program.until("pass");
    assert_eq!(pass["outcome"], "done", "{pass}");
    let pulls = stage.github.open_pulls();
    assert_eq!(pulls.len(), 1, "{pass}");
    assert_eq!(asked.load(Ordering::SeqCst), 1, "calls of the model");

    // it goes on, and is the same storm
    cluster.world.put(PODS, pod(STORM));
    cluster.world.delete(PODS, "shop", "cart-5d4-4000");
    let pass = program.until("pass");
    assert_eq!(pass["outcome"], "done", "{pass}");
    assert_eq!(stage.github.open_pulls().len(), 1, "{pass}");
    assert_eq!(asked.load(Ordering::SeqCst), 1, "calls of the model");
}

fn fill(cluster: &ApiServer) {
    let world = &cluster.world;
    world.put("/api/v1/namespaces", json!({"metadata": {"name": "shop"}}));
    let desired: Value = serde_saphyr::from_str(MANIFEST).unwrap();
    let mut deployment = desired.clone();
    deployment["metadata"]["uid"] = json!("deployment");
    deployment["metadata"]["generation"] = json!(1);
    deployment["status"] = json!({"observedGeneration": 1, "replicas": STORM, "updatedReplicas": STORM, "unavailableReplicas": STORM});
    let owner = json!([{"apiVersion": "apps/v1", "kind": "Deployment", "name": "cart", "uid": "deployment", "controller": true}]);
    let labels = json!({"app": "cart", "pod-template-hash": "5d4"});
    let mut template = desired["spec"]["template"].clone();
    template["metadata"]["labels"] = labels.clone();
    let set = json!({
        "metadata": {"name": "cart-5d4", "namespace": "shop", "uid": "set", "labels": labels, "ownerReferences": owner},
        "spec": {"replicas": STORM, "selector": {"matchLabels": labels}, "template": template}, "status": {"replicas": STORM},
    });
    world.put("/apis/apps/v1/deployments", deployment);
    world.put("/apis/apps/v1/replicasets", set);
    for n in 0..STORM {
        world.put(PODS, pod(n));
    }
}

fn pod(n: usize) -> Value {
    let owner = json!([{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "cart-5d4", "uid": "set", "controller": true}]);
    let desired: Value = serde_saphyr::from_str(MANIFEST).unwrap();
    let ended = json!({"terminated": {"reason": "OOMKilled", "exitCode": 137, "finishedAt": "2026-01-02T11:58:00Z"}});
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": format!("cart-5d4-{n:04}"), "namespace": "shop", "uid": format!("pod-{n}"),
            "creationTimestamp": "2026-01-02T11:00:00Z", "labels": {"app": "cart", "pod-template-hash": "5d4"}, "ownerReferences": owner},
        "spec": desired["spec"]["template"]["spec"],
        "status": {"phase": "Running",
            "conditions": [{"type": "Ready", "status": "False", "reason": "ContainersNotReady", "lastTransitionTime": "2026-01-02T11:01:00Z"}],
            "containerStatuses": [{"name": "cart", "image": "registry.example.com/shop/cart:1.4.2", "imageID": "", "ready": false, "restartCount": 9,
                "state": {"waiting": {"reason": "CrashLoopBackOff"}}, "lastState": ended}]},
    })
}

/// Raises the limit, and counts how often it is asked.
async fn model() -> (MockServer, std::sync::Arc<AtomicUsize>) {
    let asked = std::sync::Arc::new(AtomicUsize::new(0));
    let server = MockServer::start().await;
    Mock::given(method("POST"))
        .and(path("/v1/chat/completions"))
        .respond_with(Raises(std::sync::Arc::clone(&asked)))
        .mount(&server)
        .await;
    (server, asked)
}

struct Raises(std::sync::Arc<AtomicUsize>);

impl Respond for Raises {
    fn respond(&self, _: &Request) -> ResponseTemplate {
        self.0.fetch_add(1, Ordering::SeqCst);
        let answer = json!({
            "diagnosis": [{"text": "cart was killed at its limit", "cites": ["E1"]}],
            "summary": "raise the memory limit", "risk": "low",
            "reason": "The limit is too low for the load.",
            "edits": [{"object": "Deployment shop/cart",
                "path": "spec.template.spec.containers[name=cart].resources.limits.memory",
                "op": "set", "value": "192Mi", "unlock": "OOMKilled"}],
            "no_safe_fix": null, "question": null,
        });
        let message = json!({"role": "assistant", "content": answer.to_string()});
        ResponseTemplate::new(200).set_body_json(json!({
            "id": "c1", "object": "chat.completion", "created": 1, "model": "stub",
            "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 900, "completion_tokens": 80, "total_tokens": 980},
        }))
    }
}
