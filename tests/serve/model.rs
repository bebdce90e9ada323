//! A server between the tests' API server, GitHub, a Git server and a model that counts what it is asked: five
//! thousand pods that fail for one reason are one finding, one call, one pull request; and a model that is
//! away for a while is asked again.

use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

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
    let missing = git_server::missing();
    vec![
        trial(
            "a_storm_is_one_call_and_one_pull_request",
            missing,
            a_storm_is_one_call_and_one_pull_request,
        ),
        trial(
            "a_model_that_is_away_is_asked_again",
            missing,
            a_model_that_is_away_is_asked_again,
        ),
    ]
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
    let stage = shop(&["cart"]);
    let cluster = stage.runtime.block_on(ApiServer::start(STREAMED));
    fill(&cluster, "cart", STORM);
    let model = stage.runtime.block_on(Model::start());
    let command = watching(&stage, &cluster, &model);
    let mut program = stage.start_with(command);
    let pass = program.until("pass");
    assert_eq!(pass["outcome"], "done", "{pass}");
    let pulls = stage.github.open_pulls();
    assert_eq!(pulls.len(), 1, "{pass}");
    assert_eq!(model.asked(), 1, "calls of the model");

    // it goes on, and is the same storm
    cluster.world.put(PODS, pod("cart", STORM));
    cluster.world.delete(PODS, "shop", "cart-5d4-4000");
    let pass = program.until("pass");
    assert_eq!(pass["outcome"], "done", "{pass}");
    assert_eq!(stage.github.open_pulls().len(), 1, "{pass}");
    assert_eq!(model.asked(), 1, "calls of the model");
}

/// Calls of a run that gets no answer, three for each of two findings.
const IN_VAIN: usize = 6;

fn a_model_that_is_away_is_asked_again() {
    let stage = shop(&["cart", "till"]);
    let cluster = stage.runtime.block_on(ApiServer::start(STREAMED));
    for name in ["cart", "till"] {
        fill(&cluster, name, 1);
    }
    let model = stage.runtime.block_on(Model::start());
    model.away.store(true, Ordering::SeqCst);
    let mut program = stage.start_with(watching(&stage, &cluster, &model));
    for pass in 1..=2 {
        let told = program.until("pass");
        assert_eq!(told["outcome"], "incomplete", "{told}");
        let error = told["error"].as_str().unwrap();
        for name in ["cart", "till"] {
            let silent = format!("Deployment shop/{name}: the model does not answer: HTTP 503");
            assert!(error.contains(&silent), "{error}");
        }
        assert_eq!(model.asked(), pass * IN_VAIN, "calls of the model");
    }
    assert_eq!(stage.github.open_pulls().len(), 0);
    model.away.store(false, Ordering::SeqCst);
    while program.until("pass")["outcome"] != "done" {}
    assert_eq!(stage.github.open_pulls().len(), 2);
}

/// A repository with workloads, all of them like the one of the manifest.
fn shop(names: &[&str]) -> Stage {
    Stage::with(|repository| {
        std::fs::remove_dir_all(repository).unwrap();
        std::fs::create_dir_all(repository.join(".github")).unwrap();
        for name in names {
            let file = repository.join(format!("{name}.yaml"));
            std::fs::write(file, manifest(name)).unwrap();
        }
        let rules = "version: 1\ngrace_seconds: 1\npull_requests:\n  min_failure_age: 1s\n";
        std::fs::write(repository.join(".github/kubemend.yaml"), rules).unwrap();
    })
}

fn manifest(name: &str) -> String {
    MANIFEST.replace("cart", name)
}

fn watching(stage: &Stage, cluster: &ApiServer, model: &Model) -> Command {
    let mut command = stage.without_cluster();
    command.arg("--watch").args(["--failure-age", "1s"]);
    command.arg("--kubeconfig").arg(cluster.kubeconfig.path());
    command.args(["--proposer", "model", "--model", "stub"]);
    command.args(["--base-url", &format!("{}/v1", model.server.uri())]);
    command.env("OPENAI_API_KEY", "test-key-7f3c");
    command
}

fn fill(cluster: &ApiServer, name: &str, pods: usize) {
    let world = &cluster.world;
    world.put("/api/v1/namespaces", json!({"metadata": {"name": "shop"}}));
    let desired: Value = serde_saphyr::from_str(&manifest(name)).unwrap();
    let mut deployment = desired.clone();
    deployment["metadata"]["uid"] = json!(format!("deployment-{name}"));
    deployment["metadata"]["generation"] = json!(1);
    deployment["status"] = json!({"observedGeneration": 1, "replicas": pods, "updatedReplicas": pods, "unavailableReplicas": pods});
    let owner = json!([{"apiVersion": "apps/v1", "kind": "Deployment", "name": name, "uid": format!("deployment-{name}"), "controller": true}]);
    let labels = json!({"app": name, "pod-template-hash": "5d4"});
    let mut template = desired["spec"]["template"].clone();
    template["metadata"]["labels"] = labels.clone();
    let set = json!({
        "metadata": {"name": format!("{name}-5d4"), "namespace": "shop", "uid": format!("set-{name}"), "labels": labels, "ownerReferences": owner},
        "spec": {"replicas": pods, "selector": {"matchLabels": labels}, "template": template}, "status": {"replicas": pods},
    });
    world.put("/apis/apps/v1/deployments", deployment);
    world.put("/apis/apps/v1/replicasets", set);
    for n in 0..pods {
        world.put(PODS, pod(name, n));
    }
}

fn pod(name: &str, n: usize) -> Value {
    let owner = json!([{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": format!("{name}-5d4"), "uid": format!("set-{name}"), "controller": true}]);
    let desired: Value = serde_saphyr::from_str(&manifest(name)).unwrap();
    let ended = json!({"terminated": {"reason": "OOMKilled", "exitCode": 137, "finishedAt": "2026-01-02T11:58:00Z"}});
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": format!("{name}-5d4-{n:04}"), "namespace": "shop", "uid": format!("pod-{name}-{n}"),
            "creationTimestamp": "2026-01-02T11:00:00Z", "labels": {"app": name, "pod-template-hash": "5d4"}, "ownerReferences": owner},
        "spec": desired["spec"]["template"]["spec"],
        "status": {"phase": "Running",
            "conditions": [{"type": "Ready", "status": "False", "reason": "ContainersNotReady", "lastTransitionTime": "2026-01-02T11:01:00Z"}],
            "containerStatuses": [{"name": name, "image": format!("registry.example.com/shop/{name}:1.4.2"), "imageID": "", "ready": false, "restartCount": 9,
                "state": {"waiting": {"reason": "CrashLoopBackOff"}}, "lastState": ended}]},
    })
}

/// Raises the limit of whatever it is asked about, unless it is away, and counts how often it is asked.
struct Model {
    server: MockServer,
    asked: Arc<AtomicUsize>,
    away: Arc<AtomicBool>,
}

impl Model {
    async fn start() -> Self {
        let model = Self {
            server: MockServer::start().await,
            asked: Arc::default(),
            away: Arc::default(),
        };
        let answers = Raises {
            asked: Arc::clone(&model.asked),
            away: Arc::clone(&model.away),
        };
        Mock::given(method("POST"))
            .and(path("/v1/chat/completions"))
            .respond_with(answers)
            .mount(&model.server)
            .await;
        model
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

struct Raises {
    asked: Arc<AtomicUsize>,
    away: Arc<AtomicBool>,
}

/// Where the schema of the answer lists the objects that may change.
const OBJECTS: &str =
    "/response_format/json_schema/schema/$defs/ModelEdit/properties/object/enum/0";

impl Respond for Raises {
    fn respond(&self, request: &Request) -> ResponseTemplate {
        self.asked.fetch_add(1, Ordering::SeqCst);
        if self.away.load(Ordering::SeqCst) {
            return ResponseTemplate::new(503);
        }
        let request: Value = serde_json::from_slice(&request.body).unwrap();
        let object = request.pointer(OBJECTS).unwrap().as_str().unwrap();
        let name = object.rsplit('/').next().unwrap();
        let answer = json!({
            "diagnosis": [{"text": format!("{name} was killed at its limit"), "cites": ["E1"]}],
            "summary": "raise the memory limit", "risk": "low",
            "reason": "The limit is too low for the load.",
            "edits": [{"object": object,
                "path": format!("spec.template.spec.containers[name={name}].resources.limits.memory"),
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
