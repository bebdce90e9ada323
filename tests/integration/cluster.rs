//! Reading and watching a cluster, against a loopback API server that answers what the test says.

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::SignedDuration;
use kubemend::cluster::{Access, Cluster, ClusterError, Reading, Watch};
use kubemend::snapshot::Existence;
use serde_json::{Value, json};
use wiremock::matchers::{method, path, query_param};
use wiremock::{Mock, MockServer, ResponseTemplate};

/// An API server that has nothing, and lists it.
struct Api {
    server: MockServer,
    kubeconfig: tempfile::NamedTempFile,
}

impl Api {
    async fn start() -> Self {
        let server = MockServer::start().await;
        let text = format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: a\nclusters:\n- name: a\n  cluster:\n    server: {}\nusers:\n- name: a\n  user: {{}}\ncontexts:\n- name: a\n  context: {{cluster: a, user: a}}\n",
            server.uri()
        );
        let kubeconfig = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(kubeconfig.path(), text).unwrap();
        let api = Self { server, kubeconfig };
        let version = json!({"major": "1", "minor": "33", "gitVersion": "v1.33.0", "gitCommit": "", "gitTreeState": "", "buildDate": "", "goVersion": "", "compiler": "", "platform": ""});
        api.on("/version", ok(&version)).await;
        api.list(
            "/api/v1/namespaces",
            json!([{"metadata": {"name": "shop"}}, {"metadata": {"name": "argocd"}}]),
        )
        .await;
        api
    }

    /// Later ones win over earlier ones of the same path.
    async fn on(&self, at: &str, answer: ResponseTemplate) {
        let mock = Mock::given(method("GET")).and(path(at));
        mock.respond_with(answer)
            .with_priority(5)
            .mount(&self.server)
            .await;
    }

    async fn list(&self, at: &str, items: Value) {
        let list = json!({"kind": "List", "apiVersion": "v1", "metadata": {"resourceVersion": "1"}, "items": items});
        self.on(at, ok(&list)).await;
    }

    /// What was not said: watches stay silent, lists are empty.
    async fn rest(&self) {
        let silent = ok(&json!({})).set_delay(Duration::from_secs(3_600));
        let watches = Mock::given(query_param("watch", "true"));
        watches
            .respond_with(silent)
            .with_priority(1)
            .mount(&self.server)
            .await;
        let empty = json!({"kind": "List", "apiVersion": "v1", "metadata": {"resourceVersion": "1"}, "items": []});
        let others = Mock::given(method("GET"));
        others
            .respond_with(ok(&empty))
            .with_priority(200)
            .mount(&self.server)
            .await;
    }

    async fn connect(&self) -> Cluster {
        let access = Access {
            kubeconfig: Some(self.kubeconfig.path()),
            ..Access::default()
        };
        Cluster::connect(&access).await.unwrap()
    }

    async fn read(&self) -> Result<Reading, ClusterError> {
        let cluster = self.connect().await;
        let watch = self.watch(&cluster).await;
        cluster.read(&watch, &BTreeSet::new()).await
    }

    async fn watch(&self, cluster: &Cluster) -> Watch {
        let watch = cluster.watch(SignedDuration::from_millis(1)).unwrap();
        watch.ready().await.unwrap();
        watch
    }

    async fn asked(&self) -> Vec<String> {
        let requests = self.server.received_requests().await.unwrap();
        requests.iter().map(|r| r.url.path().to_owned()).collect()
    }
}

fn ok(body: &Value) -> ResponseTemplate {
    ResponseTemplate::new(200).set_body_json(body)
}

fn refused(code: u16, reason: &str, message: &str) -> ResponseTemplate {
    let status = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "message": message, "reason": reason, "code": code});
    ResponseTemplate::new(code).set_body_json(status)
}

fn pod(name: &str) -> Value {
    json!({
        "metadata": {"name": name, "namespace": "shop", "uid": name, "resourceVersion": "1", "managedFields": [{"manager": "kubelet"}], "ownerReferences": [{"kind": "ReplicaSet", "name": "cart", "uid": "rs"}]},
        "spec": {"containers": [{"name": "cart", "image": "cart:1"}]},
        "status": {"phase": "Running", "containerStatuses": [{"name": "cart", "ready": false, "restartCount": 4, "state": {"waiting": {"reason": "CrashLoopBackOff"}}, "lastState": {"terminated": {"exitCode": 1, "reason": "Error"}}}]}
    })
}

#[tokio::test]
async fn what_looks_ill_is_read_with_its_events_and_logs_and_no_secret_is_asked_for() {
    let api = Api::start().await;
    api.list("/api/v1/pods", json!([pod("cart-1")])).await;
    api.list("/api/v1/namespaces/shop/pods", json!([pod("cart-1")]))
        .await;
    let event = json!({"metadata": {"name": "e", "namespace": "shop"}, "type": "Warning", "reason": "BackOff", "message": "Back-off restarting", "involvedObject": {"kind": "Pod", "namespace": "shop", "name": "cart-1", "uid": "cart-1"}});
    api.list("/api/v1/namespaces/shop/events", json!([event]))
        .await;
    api.on(
        "/api/v1/namespaces/shop/pods/cart-1/log",
        ResponseTemplate::new(200).set_body_bytes(b"cannot open \xff config".as_slice()),
    )
    .await;
    api.list(
        "/apis/apps/v1/deployments",
        json!([{"metadata": {"name": "cart", "namespace": "shop"}}]),
    )
    .await;
    api.rest().await;
    let reading = api.read().await.unwrap();
    assert_eq!(reading.problems, Vec::<String>::new());
    let snapshot = reading.snapshot;
    let pod = snapshot.find("Pod", Some("shop"), "cart-1").unwrap();
    assert_eq!(pod.api_version(), "v1");
    assert_eq!(pod.get("metadata.managedFields"), None);
    assert_eq!(
        snapshot
            .find("Deployment", Some("shop"), "cart")
            .unwrap()
            .api_version(),
        "apps/v1"
    );
    assert_eq!(snapshot.events().len(), 1);
    assert_eq!(
        snapshot.log("shop", "cart-1", "cart", true),
        Some("cannot open \u{fffd} config")
    );
    assert_eq!(
        snapshot.existence("ConfigMap", Some("shop"), "x"),
        Existence::Absent
    );
    assert_eq!(
        snapshot.existence("Secret", Some("shop"), "x"),
        Existence::Unknown
    );
    let asked = api.asked().await;
    assert!(asked.iter().all(|p| !p.contains("secret")), "{asked:#?}");
}

#[tokio::test]
async fn events_that_are_no_warnings_are_read_where_they_say_something() {
    let api = Api::start().await;
    api.list("/api/v1/pods", json!([pod("cart-1")])).await;
    api.list("/api/v1/namespaces/shop/pods", json!([pod("cart-1")]))
        .await;
    let event = |kind: &str, reason: &str| json!({"metadata": {"name": reason, "namespace": "shop"}, "type": kind, "reason": reason, "message": "m", "involvedObject": {"kind": "Pod", "namespace": "shop", "name": "cart-1", "uid": "cart-1"}});
    let events = [
        event("Warning", "Unhealthy"),
        event("Normal", "Killing"),
        event("Normal", "TriggeredScaleUp"),
        event("Normal", "LeaderElection"),
    ];
    api.list("/api/v1/namespaces/shop/events", json!(events))
        .await;
    api.rest().await;
    let reading = api.read().await.unwrap();
    let read = reading.snapshot.events().iter().map(|e| e.reason.clone());
    let mut read: Vec<String> = read.collect();
    read.sort();
    assert_eq!(read, ["Killing", "TriggeredScaleUp", "Unhealthy"]);
}

#[tokio::test]
async fn nothing_is_read_of_pods_where_nothing_looks_ill() {
    let api = Api::start().await;
    api.rest().await;
    api.read().await.unwrap();
    let asked = api.asked().await;
    let of_one = |p: &String| p.contains("/namespaces/") || p.contains("replicasets");
    assert!(!asked.iter().any(of_one), "{asked:#?}");
}

#[tokio::test]
async fn a_kind_that_may_not_be_read_is_unknown_and_told() {
    let api = Api::start().await;
    let secret = refused(
        403,
        "Forbidden",
        "user system:serviceaccount:x cannot list; token hunter2",
    );
    api.on("/api/v1/configmaps", secret).await;
    api.on(
        "/apis/argoproj.io/v1alpha1/applications",
        refused(
            404,
            "NotFound",
            "the server could not find the requested resource",
        ),
    )
    .await;
    api.rest().await;
    let reading = api.read().await.unwrap();
    assert_eq!(
        reading.problems,
        ["configmaps: the API server answers 403 to list them"]
    );
    assert_eq!(
        reading.snapshot.existence("ConfigMap", Some("shop"), "x"),
        Existence::Unknown
    );
    assert_eq!(
        reading
            .snapshot
            .existence("Application", Some("argocd"), "x"),
        Existence::Unknown
    );
    assert_eq!(
        reading.snapshot.existence("Service", Some("shop"), "x"),
        Existence::Absent
    );
}

#[tokio::test]
async fn a_server_in_trouble_ends_the_reading_and_its_text_goes_nowhere() {
    for (answer, expected) in [
        (
            refused(500, "InternalError", "etcd: password=hunter2"),
            "the API server answered 500 to services: InternalError",
        ),
        (
            ResponseTemplate::new(200).set_body_string("{\"items\": [hunter2"),
            "the API server: services: no JSON as expected at line 1, column 12",
        ),
        (
            refused(
                410,
                "Expired",
                "the provided continue parameter is too old: hunter2",
            ),
            "the API server answered 410 to services: Expired",
        ),
    ] {
        let api = Api::start().await;
        api.on("/api/v1/services", answer).await;
        api.rest().await;
        let error = api.read().await.unwrap_err().to_string();
        assert_eq!(error, expected);
    }
}

#[tokio::test]
async fn poisoned_objects_do_not_hide_the_others() {
    let api = Api::start().await;
    let poison = json!([
        7,
        null,
        {"metadata": "x"},
        {"metadata": {"name": ["a"], "namespace": "shop"}},
        {"metadata": {"name": "odd", "namespace": "shop", "resourceVersion": "1"}, "status": {"containerStatuses": {"a": 1}, "phase": {}}},
        pod("cart-1")
    ]);
    // a list that holds something else than objects is refused by kube itself
    let watched = json!(poison.as_array().unwrap()[2..]);
    api.list("/api/v1/pods", watched).await;
    api.list("/api/v1/namespaces/shop/pods", poison).await;
    api.rest().await;
    let reading = api.read().await.unwrap();
    assert!(
        reading
            .snapshot
            .find("Pod", Some("shop"), "cart-1")
            .is_some()
    );
}

#[tokio::test]
async fn pages_are_read_to_the_end() {
    let api = Api::start().await;
    let name = |n: usize| json!({"metadata": {"name": format!("s{n}"), "namespace": "shop"}});
    let page =
        |items: Value, next: &str| ok(&json!({"metadata": {"continue": next}, "items": items}));
    let second = Mock::given(path("/api/v1/services")).and(query_param("continue", "more"));
    second
        .respond_with(page(json!([name(2)]), ""))
        .with_priority(2)
        .mount(&api.server)
        .await;
    api.on("/api/v1/services", page(json!([name(1)]), "more"))
        .await;
    api.rest().await;
    let reading = api.read().await.unwrap();
    assert_eq!(reading.snapshot.of_kind("Service").count(), 2);
}

/// A change in the stream wakes whoever waits, with the namespace.
#[tokio::test]
async fn a_change_makes_its_namespace_due() {
    let api = Api::start().await;
    let events = format!("{}\n", json!({"type": "ADDED", "object": pod("cart-1")}));
    let watch = Mock::given(path("/api/v1/pods")).and(query_param("watch", "true"));
    watch
        .respond_with(ResponseTemplate::new(200).set_body_string(events))
        .up_to_n_times(1)
        .with_priority(1)
        .mount(&api.server)
        .await;
    api.rest().await;
    let cluster = api.connect().await;
    let watch = api.watch(&cluster).await;
    let due = watch.due().await;
    assert_eq!(due.into_iter().collect::<Vec<_>>(), ["shop"]);
    assert!(watch.is_ill("shop", "cart-1"));
    assert_eq!(watch.signs(), [("CrashLoopBackOff".to_owned(), 1)]);
}

#[tokio::test]
async fn a_cluster_that_cannot_be_reached_is_told_at_the_start() {
    let none = Access {
        kubeconfig: Some("no/such/file".as_ref()),
        ..Access::default()
    };
    let error = Cluster::connect(&none).await.err().unwrap().to_string();
    assert!(
        error.starts_with("cluster access: no/such/file: "),
        "{error}"
    );
    let api = Api::start().await;
    // a port on which nobody listens
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let text = std::fs::read_to_string(api.kubeconfig.path()).unwrap();
    let port = free.local_addr().unwrap().port();
    drop(free);
    let text = text.replace(&api.server.uri(), &format!("http://127.0.0.1:{port}"));
    std::fs::write(api.kubeconfig.path(), text).unwrap();
    let gone = Access {
        kubeconfig: Some(api.kubeconfig.path()),
        ..Access::default()
    };
    let error = Cluster::connect(&gone).await.err().unwrap().to_string();
    assert!(
        error.starts_with("the API server: its version: "),
        "{error}"
    );
}
