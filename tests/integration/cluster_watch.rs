//! The watch when the API server is in trouble, or holds what nobody expects. Every wait is for an
//! event; the time-outs only end a test that would hang.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use kubemend::cluster::{Access, Cluster, Reading, Watch};
use kubemend::detect::{View, detect};
use serde_json::{Value, json};

use crate::api_server::{ApiServer, Fault};

const PODS: &str = "/api/v1/pods";
/// A minor version with lists in pages, and one that streams them.
const PAGED: u32 = 33;
const STREAMED: u32 = 36;
/// So long a test waits before it fails.
const HANGS: Duration = Duration::from_secs(120);

async fn connect(server: &ApiServer) -> Cluster {
    let access = Access {
        kubeconfig: Some(server.kubeconfig.path()),
        ..Access::default()
    };
    Cluster::connect(&access).await.unwrap()
}

async fn watch(server: &ApiServer) -> (Cluster, Watch) {
    let cluster = connect(server).await;
    let watch = cluster.watch(SignedDuration::from_millis(1)).unwrap();
    watch.ready().await.unwrap();
    (cluster, watch)
}

/// Waits until the watch shows it.
async fn until(watch: &Watch, is_so: impl Fn(&Watch) -> bool) {
    until_within(HANGS, watch, is_so).await;
}

/// The same while the clock jumps to the next timer whenever nothing else is to be done.
async fn until_much_later(watch: &Watch, is_so: impl Fn(&Watch) -> bool) {
    tokio::time::pause();
    until_within(HANGS * 10, watch, is_so).await;
    tokio::time::resume();
}

/// Waits until all other kinds were listed: nothing tells that but the watch itself.
async fn until_only_missing(watch: &Watch, kind: &str) {
    let listed = async {
        while watch.missing() != [kind] {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let listed = tokio::time::timeout(HANGS, listed).await;
    assert!(listed.is_ok(), "missing: {:?}", watch.missing());
}

async fn until_within(limit: Duration, watch: &Watch, is_so: impl Fn(&Watch) -> bool) {
    let seen = async {
        while !is_so(watch) {
            watch.due().await;
        }
    };
    let seen = tokio::time::timeout(limit, seen).await;
    assert!(seen.is_ok(), "not seen; it shows {:?}", watch.signs());
}

/// Waits until the server is silent in the middle of a list.
async fn until_stalled(server: &ApiServer, kind: &str) {
    let stalled = tokio::time::timeout(HANGS, server.world.stalled(kind)).await;
    assert!(stalled.is_ok(), "{:#?}", server.world.requests());
}

fn pod(name: &str, waiting: Option<&str>) -> Value {
    let state = match waiting {
        Some(reason) => json!({"waiting": {"reason": reason}}),
        None => json!({"running": {}}),
    };
    json!({
        "metadata": {"name": name, "namespace": "shop", "uid": name, "labels": {"app": "cart", "pod-template-hash": "5d4"}, "creationTimestamp": "2026-01-01T00:00:00Z",
            "ownerReferences": [{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "cart-5d4", "uid": "set", "controller": true}]},
        "spec": {"containers": [{"name": "cart", "image": "registry.example.com/shop/cart:1.4.2"}]},
        "status": {"phase": "Running", "startTime": "2026-01-01T00:00:00Z", "containerStatuses": [{"name": "cart", "ready": waiting.is_none(), "restartCount": 7, "state": state,
            "image": "registry.example.com/shop/cart:1.4.2", "lastState": {"terminated": {"exitCode": i32::from(waiting.is_some()), "reason": "Error", "finishedAt": "2026-01-01T00:05:00Z"}}}]}
    })
}

fn ill(name: &str) -> Value {
    pod(name, Some("CrashLoopBackOff"))
}

#[tokio::test]
async fn a_watch_that_is_too_old_starts_again_and_forgets_what_is_gone() {
    for minor in [PAGED, STREAMED] {
        let server = ApiServer::start(minor).await;
        let world = &server.world;
        world.put(PODS, ill("stays"));
        world.put(PODS, ill("goes"));
        world.put(PODS, ill("heals"));
        let (_cluster, watch) = watch(&server).await;
        until(&watch, |w| w.is_ill("shop", "goes")).await;

        world.fault(PODS, Fault::Gone);
        world.delete(PODS, "shop", "goes");
        world.put(PODS, pod("heals", None));
        world.put(PODS, ill("comes"));
        until(&watch, |w| {
            w.is_ill("shop", "comes") && !w.is_ill("shop", "goes") && !w.is_ill("shop", "heals")
        })
        .await;
        assert!(watch.is_ill("shop", "stays"));
        // and it goes on
        world.put(PODS, ill("last"));
        until(&watch, |w| w.is_ill("shop", "last")).await;
    }
}

#[tokio::test]
async fn a_list_whose_next_page_is_no_more_starts_again() {
    let server = ApiServer::start(PAGED).await;
    for n in 0..1_200 {
        server.world.put(PODS, pod(&format!("well-{n:04}"), None));
    }
    server.world.put(PODS, ill("z-on-the-last-page"));
    server.world.fault(PODS, Fault::Expired);
    let (_cluster, watch) = watch(&server).await;
    assert!(watch.is_ill("shop", "z-on-the-last-page"));
    let requests = server.world.requests();
    let first =
        |r: &&String| r.starts_with(PODS) && r.contains("limit=") && !r.contains("continue=");
    assert_eq!(requests.iter().filter(first).count(), 2, "{requests:#?}");
}

/// The feature gate is off, although lists are streamed by default in this version.
#[tokio::test]
async fn where_streams_are_refused_lists_come_in_pages_from_then_on() {
    for (code, reason) in [(422, "Invalid"), (403, "Forbidden")] {
        let server = ApiServer::start(STREAMED).await;
        let world = &server.world;
        world.refuse_streams(code, reason);
        world.put(PODS, ill("stays"));
        world.put(PODS, ill("goes"));
        let (_cluster, watch) = watch(&server).await;
        until(&watch, |w| w.is_ill("shop", "goes")).await;

        world.fault(PODS, Fault::Gone);
        world.delete(PODS, "shop", "goes");
        world.put(PODS, ill("comes"));
        until(&watch, |w| {
            w.is_ill("shop", "comes") && !w.is_ill("shop", "goes")
        })
        .await;
        assert!(watch.is_ill("shop", "stays"));
        let requests = world.requests();
        let of_pods = |what: &str| {
            let asks = |r: &&String| r.starts_with(PODS) && r.contains(what);
            requests.iter().filter(asks).count()
        };
        // once for the first list, and not again for the second one
        assert_eq!(of_pods("sendInitialEvents"), 1, "{requests:#?}");
        assert_eq!(of_pods("limit="), 2, "{requests:#?}");
    }
}

/// The connection is half-open: nothing comes any more, and nobody says so.
#[tokio::test]
async fn a_list_that_stalls_half_way_is_given_up_and_begun_again() {
    for minor in [PAGED, STREAMED] {
        let server = ApiServer::start(minor).await;
        let world = &server.world;
        world.put(PODS, ill("first"));
        world.fault(PODS, Fault::Stall);
        let (watch, driver) = connect(&server)
            .await
            .watching(SignedDuration::from_millis(1));
        // where the clock is ours
        tokio::spawn(driver);
        until_stalled(&server, PODS).await;
        assert!(watch.missing().contains(&"pods"));
        until_much_later(&watch, |w| w.is_ill("shop", "first")).await;
        watch.ready().await.unwrap();

        // and a later list
        world.fault(PODS, Fault::Gone);
        world.fault(PODS, Fault::Stall);
        world.put(PODS, ill("second"));
        until_stalled(&server, PODS).await;
        assert!(watch.is_ill("shop", "first"));
        until_much_later(&watch, |w| w.is_ill("shop", "second")).await;
        assert!(watch.is_ill("shop", "first"));
    }
}

#[tokio::test]
async fn a_reading_whose_list_stalls_half_way_ends() {
    const CONFIG_MAPS: &str = "/api/v1/configmaps";
    let server = ApiServer::start(STREAMED).await;
    let (cluster, watch) = watch(&server).await;
    server.world.fault(CONFIG_MAPS, Fault::Stall);
    let whole = std::collections::BTreeSet::new();
    let stalled = async {
        until_stalled(&server, CONFIG_MAPS).await;
        // nothing else is to be done: the clock jumps
        tokio::time::pause();
    };
    let (reading, ()) = tokio::join!(cluster.read(&watch, &whole), stalled);
    assert_eq!(
        reading.unwrap_err().to_string(),
        "the API server: configmaps: no answer in time"
    );
}

#[tokio::test]
async fn a_connection_that_ends_in_the_middle_of_a_line_goes_on_where_it_was() {
    for minor in [PAGED, STREAMED] {
        let server = ApiServer::start(minor).await;
        server.world.put(PODS, ill("first"));
        let (_cluster, watch) = watch(&server).await;
        until(&watch, |w| w.is_ill("shop", "first")).await;
        let lists = |server: &ApiServer| {
            let requests = server.world.requests();
            let lists = |r: &&String| {
                r.starts_with(PODS) && (r.contains("limit=") || r.contains("sendInitialEvents"))
            };
            requests.iter().filter(lists).count()
        };
        let before = lists(&server);
        server.world.fault(PODS, Fault::Cut);
        server.world.put(PODS, ill("second"));
        until(&watch, |w| w.is_ill("shop", "second")).await;
        assert!(watch.is_ill("shop", "first"));
        assert_eq!(lists(&server), before, "it was listed again");
    }
}

#[tokio::test]
async fn lines_that_are_no_events_do_not_end_the_watch() {
    for minor in [PAGED, STREAMED] {
        let server = ApiServer::start(minor).await;
        let (_cluster, watch) = watch(&server).await;
        for line in [
            "\n",
            "{}\n",
            "<html>\n",
            "[1, 2]\n",
            "{\"type\": \"ODD\", \"object\": {}}\n",
        ] {
            server.world.fault(PODS, Fault::Line(line.into()));
            server
                .world
                .put(PODS, ill(&format!("after-{}", line.len())));
            until(&watch, |w| {
                w.is_ill("shop", &format!("after-{}", line.len()))
            })
            .await;
        }
    }
}

/// An API server never sends such text: Go replaces it. If it is there, it is told and waited out.
#[tokio::test]
async fn text_that_is_not_utf_8_is_waited_out() {
    let strange =
        b"{\"metadata\":{\"name\":\"odd\",\"namespace\":\"shop\",\"labels\":{\"a\":\"\xff\"}}}";
    for minor in [PAGED, STREAMED] {
        let server = ApiServer::start(minor).await;
        let world = &server.world;
        world.put_raw(PODS, "shop/odd", strange);
        world.put(PODS, ill("first"));
        let cluster = connect(&server).await;
        let watch = cluster.watch(SignedDuration::from_millis(1)).unwrap();
        let deployment =
            json!({"metadata": {"name": "cart", "namespace": "shop"}, "spec": {"replicas": 1}});
        world.put("/apis/apps/v1/deployments", deployment);
        until(&watch, |w| !w.ill_namespaces().is_empty()).await;
        until_only_missing(&watch, "pods").await;
        let error = cluster
            .read(&watch, &std::collections::BTreeSet::new())
            .await
            .unwrap_err()
            .to_string();
        assert_eq!(error, "the API server: pods: not UTF-8");

        world.delete_raw(PODS, "shop/odd");
        watch.ready().await.unwrap();
        until(&watch, |w| w.is_ill("shop", "first")).await;
    }
}

/// A small generator: the same mutants in every run.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % sides
    }
}

/// Every place of a value.
fn places(value: &Value) -> Vec<String> {
    let below = |key: &str, value: &Value| {
        let key = key.replace('~', "~0").replace('/', "~1");
        places(value)
            .into_iter()
            .map(move |p| format!("/{key}{p}"))
            .collect::<Vec<_>>()
    };
    let mut all = vec![String::new()];
    match value {
        Value::Object(map) => all.extend(map.iter().flat_map(|(k, v)| below(k, v))),
        Value::Array(list) => {
            all.extend(
                list.iter()
                    .enumerate()
                    .flat_map(|(n, v)| below(&n.to_string(), v)),
            );
        }
        _ => {}
    }
    all
}

/// An object with one to three of its values replaced by something else; its name and version mostly
/// stay, or the server could not have stored it.
fn mutant(seed: &Value, dice: &mut Dice) -> String {
    const HOLE: &str = "a hole";
    let mut object = seed.clone();
    for _ in 0..=dice.roll(3) {
        let places = places(&object);
        let place = &places[1 + dice.roll(places.len() - 1)];
        if place.starts_with("/metadata/name")
            || place == "/metadata/resourceVersion"
            || place == "/metadata"
        {
            continue;
        }
        *object.pointer_mut(place).unwrap() = HOLE.into();
    }
    let strange = [
        "null".to_owned(),
        "-1".to_owned(),
        "1e300".to_owned(),
        "18446744073709551615".to_owned(),
        "true".to_owned(),
        "\"\"".to_owned(),
        format!("\"{}\"", "\\ud83d\\ude00\\u0000".repeat(5_000)),
        format!("\"{}\"", "x".repeat(200_000)),
        "[[], {}, null]".to_owned(),
        "{\"a\": {\"\": []}}".to_owned(),
        format!("{}0{}", "[".repeat(5_000), "]".repeat(5_000)),
        format!("{}0{}", "{\"a\":".repeat(5_000), "}".repeat(5_000)),
    ];
    let mut text = object.to_string();
    let hole = format!("\"{HOLE}\"");
    while text.contains(&hole) {
        text = text.replacen(&hole, &strange[dice.roll(strange.len())], 1);
    }
    text
}

fn seeds() -> Vec<(&'static str, Value)> {
    let event = json!({"metadata": {"name": "e", "namespace": "shop"}, "type": "Warning", "reason": "BackOff", "message": "Back-off restarting failed container", "count": 3,
        "lastTimestamp": "2026-01-01T00:05:00Z", "involvedObject": {"kind": "Pod", "namespace": "shop", "name": "real", "uid": "real", "fieldPath": "spec.containers{cart}"}});
    let template = json!({"metadata": {"labels": {"app": "cart"}}, "spec": {"containers": [{"name": "cart", "image": "cart:1", "resources": {"limits": {"memory": "64Mi"}},
        "readinessProbe": {"httpGet": {"port": 80}}, "env": [{"name": "A", "valueFrom": {"configMapKeyRef": {"name": "a", "key": "b"}}}]}]}});
    let deployment = json!({"metadata": {"name": "d", "namespace": "shop", "generation": 2}, "spec": {"replicas": 1, "selector": {"matchLabels": {"app": "cart"}}, "template": template},
        "status": {"observedGeneration": 2, "replicas": 1, "unavailableReplicas": 1, "conditions": [{"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded", "message": "x"}]}});
    let service = json!({"metadata": {"name": "s", "namespace": "shop"}, "spec": {"selector": {"app": "cart"}, "ports": [{"port": 80, "targetPort": "http"}]}});
    vec![
        (PODS, ill("p")),
        (PODS, ill("q")),
        ("/api/v1/events", event),
        ("/apis/apps/v1/deployments", deployment),
        ("/api/v1/services", service),
    ]
}

#[tokio::test]
async fn two_thousand_mutants_do_not_hide_what_is_real() {
    for minor in [PAGED, STREAMED] {
        let server = ApiServer::start(minor).await;
        let world = &server.world;
        let mut dice = Dice(u64::from(minor));
        let mut breed = |from: usize, to: usize| {
            for n in from..to {
                let seeds = seeds();
                let (kind, mut seed) = seeds[n % seeds.len()].clone();
                let name = format!("mutant-{n}");
                seed["metadata"]["name"] = name.clone().into();
                seed["metadata"]["resourceVersion"] = "1".into();
                // of many pods of one owner only some are kept
                seed["metadata"]["ownerReferences"] = json!([{"uid": name}]);
                world.put_raw(
                    kind,
                    &format!("shop/{name}"),
                    mutant(&seed, &mut dice).as_bytes(),
                );
            }
        };
        world.put("/api/v1/namespaces", json!({"metadata": {"name": "shop"}}));
        breed(0, 1_000);
        world.put(PODS, ill("real"));
        let (cluster, watch) = watch(&server).await;
        assert!(watch.is_ill("shop", "real"));
        breed(1_000, 2_000);
        world.put(PODS, ill("z-later"));
        until(&watch, |w| w.is_ill("shop", "z-later")).await;

        let reading = cluster
            .read(&watch, &std::collections::BTreeSet::new())
            .await
            .unwrap();
        let pods = |name: &str| reading.snapshot.find("Pod", Some("shop"), name).is_some();
        assert!(pods("real") && pods("z-later"), "{:?}", reading.notes);
        // no mutant brings a detector down
        assert!(!findings(&reading).is_empty());
    }
}

fn findings(reading: &Reading) -> Vec<kubemend::finding::Finding> {
    detect(&View {
        snapshot: &reading.snapshot,
        desired: &[],
        report: None,
        now: Timestamp::now(),
        grace: Duration::from_secs(60),
    })
}

#[tokio::test]
async fn a_storm_with_one_cause_is_one_finding() {
    let server = ApiServer::start(STREAMED).await;
    let world = &server.world;
    world.put("/api/v1/namespaces", json!({"metadata": {"name": "shop"}}));
    let labels = json!({"app": "cart", "pod-template-hash": "5d4"});
    let template = json!({"metadata": {"labels": labels}, "spec": {"containers": [{"name": "cart", "image": "registry.example.com/shop/cart:1.4.2"}]}});
    world.put(
        "/apis/apps/v1/deployments",
        json!({"metadata": {"name": "cart", "namespace": "shop", "uid": "deployment", "generation": 1}, "spec": {"replicas": 5_000, "selector": {"matchLabels": {"app": "cart"}}, "template": template},
            "status": {"observedGeneration": 1, "replicas": 5_000, "updatedReplicas": 5_000, "unavailableReplicas": 5_000}}),
    );
    world.put(
        "/apis/apps/v1/replicasets",
        json!({"metadata": {"name": "cart-5d4", "namespace": "shop", "uid": "set", "labels": labels, "ownerReferences": [{"apiVersion": "apps/v1", "kind": "Deployment", "name": "cart", "uid": "deployment", "controller": true}]},
            "spec": {"replicas": 5_000, "selector": {"matchLabels": labels}, "template": template}, "status": {"replicas": 5_000}}),
    );
    for n in 0..5_000 {
        world.put(PODS, ill(&format!("cart-5d4-{n:04}")));
    }
    let (cluster, watch) = watch(&server).await;
    until(&watch, |w| {
        w.signs()
            == [
                ("CrashLoopBackOff".to_owned(), 5_000),
                ("Unavailable".to_owned(), 1),
            ]
    })
    .await;
    let before = world.requests().len();
    let reading = cluster
        .read(&watch, &std::collections::BTreeSet::new())
        .await
        .unwrap();
    let found = findings(&reading);
    let subjects: Vec<_> = found
        .iter()
        .map(|f| (f.class, f.object.to_string()))
        .collect();
    assert_eq!(found.len(), 1, "{subjects:#?}");
    // what is kept of them, and what was asked for: pages of pods, not a request for each
    assert_eq!(reading.snapshot.of_kind("Pod").count(), 20);
    assert!(
        reading
            .notes
            .iter()
            .any(|n| n.contains("4980 pods like the ones read were left out"))
    );
    let asked = world.requests().len() - before;
    assert!(asked < 60, "{asked} requests");
}
