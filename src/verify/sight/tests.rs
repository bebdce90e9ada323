#![allow(clippy::unwrap_used)]
use serde_json::json;

use serde_json::Value;

use super::*;
use crate::verify::Wait;
use crate::verify::expect::Wished;

const OURS: &str = "cccccccccccccccccccccccccccccccccccccccc";
const LATER: &str = "dddddddddddddddddddddddddddddddddddddddd";

/// A shop with one pod, applied by Flux; each test bends what it is about.
struct Shop {
    objects: Vec<Value>,
    failing: Vec<(&'static str, ObjectRef, Class)>,
    unread: Option<&'static str>,
    changed: Vec<&'static str>,
    expects: Vec<Expected>,
    class: Class,
    is_revert: bool,
    before: Option<Baseline>,
    also: Vec<String>,
    object: ObjectRef,
    severity: Severity,
    since: Option<Timestamp>,
}

fn web() -> ObjectRef {
    ObjectRef::new("apps/v1", "Deployment", Some("shop"), "web")
}

fn pod(name: &str, kind: &str, owner: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": name, "namespace": "shop", "uid": name, "labels": {"pod-template-hash": "1"},
            "ownerReferences": [{"apiVersion": "apps/v1", "kind": kind, "name": owner, "uid": owner, "controller": true}]},
        "status": {
            "conditions": [{"type": "Ready", "status": "True"}],
            "containerStatuses": [{"name": "web", "ready": true, "restartCount": 1, "state": {"running": {"startedAt": "2026-01-02T11:00:00Z"}}}],
        },
    })
}

impl Shop {
    fn new() -> Self {
        let template = json!({"spec": {"containers": [{"name": "web", "image": "web:2"}]}});
        let inventory = json!({"entries": [
            {"id": "shop_web_apps_Deployment", "v": "v1"}, {"id": "shop_web__Service", "v": "v1"},
            {"id": "shop_settings__ConfigMap", "v": "v1"}, {"id": "shop_api_apps_Deployment", "v": "v1"}, {"id": "shop_report_batch_CronJob", "v": "v1"},
            {"id": "shop_api_autoscaling_HorizontalPodAutoscaler", "v": "v2"},
        ]});
        Self {
            objects: vec![
                json!({
                    "apiVersion": "kustomize.toolkit.fluxcd.io/v1", "kind": "Kustomization",
                    "metadata": {"name": "apps", "namespace": "flux-system", "generation": 1},
                    "spec": {"path": "./apps"},
                    "status": {
                        "observedGeneration": 1, "inventory": inventory,
                        "lastAppliedRevision": format!("main@sha1:{LATER}"), "lastAttemptedRevision": format!("main@sha1:{LATER}"),
                        "conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"}],
                    },
                }),
                json!({
                    "apiVersion": "apps/v1", "kind": "Deployment",
                    "metadata": {"name": "web", "namespace": "shop", "uid": "web", "generation": 2},
                    "spec": {"replicas": 1, "template": template},
                    "status": {"observedGeneration": 2, "replicas": 1, "updatedReplicas": 1, "availableReplicas": 1, "readyReplicas": 1},
                }),
                json!({
                    "apiVersion": "apps/v1", "kind": "ReplicaSet",
                    "metadata": {"name": "web-1", "namespace": "shop", "uid": "web-1", "labels": {"pod-template-hash": "1"},
                        "ownerReferences": [{"apiVersion": "apps/v1", "kind": "Deployment", "name": "web", "uid": "web", "controller": true}]},
                    "spec": {"template": template},
                }),
                pod("web-1-a", "ReplicaSet", "web-1"),
                json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings", "namespace": "shop"}, "data": {"A": "2"}}),
            ],
            failing: Vec::new(),
            unread: None,
            changed: Vec::new(),
            expects: vec![expects(
                "apps/v1",
                "Deployment",
                "web",
                "spec.template.spec.containers[name=web].image",
                "web:2",
            )],
            class: Class::ImagePullNotFound,
            is_revert: false,
            before: None,
            also: Vec::new(),
            object: web(),
            severity: Severity::High,
            since: None,
        }
    }

    fn set(&mut self, kind: &str, pointer: &str, value: Value) {
        let object = self.objects.iter_mut().find(|o| o["kind"] == kind).unwrap();
        *object.pointer_mut(pointer).unwrap() = value;
    }

    fn ask<T>(&self, ask: impl FnOnce(&Merged<'_>, &World<'_>) -> T) -> T {
        let objects = self.objects.iter().cloned().filter_map(Object::new);
        let snapshot = Snapshot::new(objects.collect(), BTreeMap::new());
        let failing: Vec<Failing<'_>> = self
            .failing
            .iter()
            .map(|(key, object, class)| Failing {
                key,
                object,
                class: *class,
                severity: self.severity,
                since: self.since,
                summary: "it fails",
            })
            .collect();
        let object = self.object.to_string();
        let merged = Merged {
            commit: OURS,
            at: "2026-01-02T12:00:00Z".parse().unwrap(),
            key: "key",
            object: &object,
            class: Some(self.class),
            expects: &self.expects,
            applied_at: None,
            before: self.before.as_ref(),
            is_revert: self.is_revert,
            is_anywhere: false,
            also: &self.also,
        };
        let changed =
            |_: &str, _: &str| Some(self.changed.iter().map(|f| (*f).to_owned()).collect());
        ask(
            &merged,
            &World {
                now: "2026-01-02T13:00:00Z".parse().unwrap(),
                snapshot: &snapshot,
                failing: &failing,
                unread: self.unread,
                desired: &[],
                feeds: &BTreeMap::new(),
                head: LATER,
                is_ancestor: &|a, b| Some(a == OURS || a == b),
                changed: &changed,
                is_ours: &|url| url.ends_with("acme/gitops"),
            },
        )
    }

    fn look(&self) -> Sight {
        self.ask(look)
    }
}

fn expects(api: &str, kind: &str, name: &str, path: &str, value: &str) -> Expected {
    Expected {
        object: ObjectRef::new(api, kind, Some("shop"), name),
        file: "apps/web.yaml".to_owned(),
        path: path.parse().unwrap(),
        to: Wished::Value(json!(value).to_string()),
    }
}

#[test]
fn all_links_of_the_chain_are_seen() {
    let sight = Shop::new().look();
    let facts = &sight.facts;
    assert!(
        matches!(facts.applied, Applied::Applied { .. }),
        "{facts:?}"
    );
    assert_eq!(facts.live, Live::Holds);
    assert_eq!(facts.rollout, Some(Rollout::Done));
    assert_eq!(facts.symptom, Symptom::Absent);
    assert_eq!((facts.restarts, facts.ready), (1, 1));
    assert!(facts.excuse.is_none() && facts.newly_broken.is_empty());
    let told: Vec<String> = sight
        .evidence
        .iter()
        .map(|(w, s)| format!("{w}: {s}"))
        .collect();
    insta::assert_snapshot!(told.join("\n"));
}

#[test]
fn the_failure_is_looked_for_by_key_and_by_object_and_class() {
    let mut shop = Shop::new();
    let present = |shop: &Shop| matches!(shop.look().facts.symptom, Symptom::Present(_));
    shop.failing = vec![("key", web(), Class::CrashLoopBackOff)];
    assert!(present(&shop));
    shop.failing = vec![("", web(), Class::ImagePullNotFound)];
    assert!(present(&shop));
    shop.failing = vec![("other", web(), Class::OOMKilled)];
    assert!(!present(&shop));
    shop.also = vec!["other".to_owned()];
    assert!(present(&shop), "another finding that it mends");
    shop.failing = vec![("key", web(), Class::ImagePullNotFound)];
    shop.is_revert = true;
    assert!(!present(&shop), "after a revert it may be back");
}

#[test]
fn an_object_that_fails_in_another_way_is_not_mended() {
    let service = || ObjectRef::new("v1", "Service", Some("shop"), "web");
    let mut shop = Shop::new();
    shop.object = service();
    shop.class = Class::ServiceNoEndpoints;
    assert_eq!(shop.look().facts.symptom, Symptom::Absent);
    shop.failing = vec![("other", service(), Class::ServicePortMismatch)];
    let another = Symptom::Another("it fails".to_owned());
    assert_eq!(shop.look().facts.symptom, another);
    assert!(shop.look().facts.newly_broken.is_empty(), "nor made worse");
    shop.before = Some(shop.ask(baseline));
    assert_eq!(
        shop.look().facts.symptom,
        Symptom::Absent,
        "it was so before"
    );
    shop.before = None;
    shop.severity = Severity::Low;
    assert_eq!(shop.look().facts.symptom, Symptom::Absent, "only a hint");
}

#[test]
fn what_failed_seldom_says_how_long_it_was_well_in_between() {
    let mut shop = Shop::new();
    assert_eq!(
        shop.ask(baseline).stays_well,
        0,
        "one restart is an accident"
    );
    let ended = json!({"terminated": {"startedAt": "2026-01-02T11:00:00Z", "finishedAt": "2026-01-02T11:20:00Z"}});
    let status = "/status/containerStatuses/0";
    shop.set("Pod", &format!("{status}/restartCount"), json!(9));
    let pod = shop
        .objects
        .iter_mut()
        .find(|o| o["kind"] == "Pod")
        .unwrap();
    pod["metadata"]["creationTimestamp"] = json!("2026-01-02T10:00:00Z");
    pod.pointer_mut(status).unwrap()["lastState"] = ended;
    assert_eq!(shop.ask(baseline).stays_well, 40 * 60);
    shop.objects[1]["spec"]["minReadySeconds"] = json!(3_600);
    assert_eq!(shop.ask(baseline).stays_well, 3_600);
    shop.objects[1]["spec"]["minReadySeconds"] = json!(0);
    let started = format!("{status}/lastState/terminated/startedAt");
    shop.set("Pod", &started, json!("1970-01-01T00:00:00Z"));
    assert_eq!(shop.ask(baseline).stays_well, 0, "it never started");
}

/// It is restarted at once, and runs for hours: only its last end tells.
#[test]
fn what_ended_once_counts_in_the_container_that_is_mended() {
    let ended = json!({"terminated": {"exitCode": 137, "startedAt": "2026-01-02T05:50:00Z", "finishedAt": "2026-01-02T11:50:00Z"}});
    let path = "spec.template.spec.containers[name=web].resources.limits.memory";
    let with = |class, path: &str| {
        let mut shop = Shop::new();
        shop.class = class;
        shop.expects = vec![expects("apps/v1", "Deployment", "web", path, "256Mi")];
        let pod = shop.objects.iter_mut().find(|o| o["kind"] == "Pod");
        let pod = pod.unwrap();
        pod["metadata"]["creationTimestamp"] = json!("2026-01-01T10:00:00Z");
        pod.pointer_mut("/status/containerStatuses/0").unwrap()["lastState"] = ended.clone();
        let containers = "/spec/template/spec/containers";
        let all = shop.objects[1].pointer_mut(containers).unwrap();
        all.as_array_mut().unwrap().push(json!({"name": "proxy"}));
        shop.ask(baseline).stays_well
    };
    assert_eq!(with(Class::OOMKilled, path), 12 * 60 * 60);
    let by_place = path.replace("[name=web]", "[0]");
    assert_eq!(with(Class::OOMKilled, &by_place), 12 * 60 * 60);
    let other = path.replace("web", "proxy");
    assert_eq!(with(Class::OOMKilled, &other), 0, "of another container");
    assert_eq!(with(Class::ImagePullNotFound, path), 0, "nothing ended");
}

#[test]
fn what_cannot_be_seen_is_not_gone() {
    let mut shop = Shop::new();
    let hidden = |shop: &Shop| matches!(shop.look().facts.symptom, Symptom::Unobservable(_));
    shop.unread = Some("pods: the API server answers 403 to list them");
    assert!(hidden(&shop));
    shop.unread = None;
    for class in [
        Class::ApplicationError,
        Class::Reported,
        Class::NetworkPolicyBlocking,
    ] {
        shop.class = class;
        assert!(hidden(&shop), "{class}");
    }
}

#[test]
fn others_of_the_app_count_when_they_did_not_fail_before() {
    let mut shop = Shop::new();
    let api = ObjectRef::new("apps/v1", "Deployment", Some("shop"), "api");
    let foreign = ObjectRef::new("apps/v1", "Deployment", Some("shop"), "of-somebody-else");
    let autoscaling = "autoscaling/v2";
    let scaler = ObjectRef::new(autoscaling, "HorizontalPodAutoscaler", Some("shop"), "api");
    shop.failing = vec![
        ("a", api, Class::CrashLoopBackOff),
        ("b", foreign, Class::CrashLoopBackOff),
        ("", web(), Class::CrashLoopBackOff),
        ("c", scaler, Class::HpaCannotScale),
    ];
    assert_eq!(shop.look().facts.newly_broken, ["Deployment shop/api"]);
    shop.before = Some(Baseline {
        failing: vec!["Deployment shop/api".to_owned()],
        ..Baseline::default()
    });
    assert!(shop.look().facts.newly_broken.is_empty());
    let baseline = shop.ask(baseline);
    assert_eq!((baseline.ready, baseline.rolled_out), (1, true));
    assert_eq!(baseline.last_attempt_succeeded, Some(true));
}

#[test]
fn another_commit_counts_where_the_app_reads_it() {
    for (file, touches) in [
        ("apps/other.yaml", true),
        ("apps/web.yaml", true),
        ("docs/readme.md", false),
        ("apps2/web.yaml", false),
    ] {
        let mut shop = Shop::new();
        shop.changed = vec![file];
        assert_eq!(shop.look().facts.excuse.is_some(), touches, "{file}");
    }
}

#[test]
fn what_is_no_failure_or_is_older_or_was_not_counted_is_not_blamed_on_the_change() {
    let mut shop = Shop::new();
    let api = ObjectRef::new("apps/v1", "Deployment", Some("shop"), "api");
    shop.failing = vec![("a", api, Class::CrashLoopBackOff)];
    let broken = |shop: &Shop| shop.look().facts.newly_broken.len();
    assert_eq!(broken(&shop), 1);
    shop.severity = Severity::Low;
    assert_eq!(
        broken(&shop),
        0,
        "a PodDisruptionBudget shows when all pods are well"
    );
    shop.severity = Severity::High;
    shop.since = "2026-01-02T11:59:00Z".parse().ok();
    assert_eq!(broken(&shop), 0, "before the merge");
    assert_eq!(shop.ask(baseline).failing.len(), 1);
    shop.since = None;
    shop.also = vec!["a".to_owned()];
    assert_eq!(broken(&shop), 0, "another finding that it mends");
    shop.also.clear();
    let failing = (0..MAX_LISTED).map(|n| format!("Deployment shop/w{n}"));
    shop.before = Some(Baseline {
        failing: failing.collect(),
        ..Baseline::default()
    });
    assert_eq!(broken(&shop), 0, "more failed than is remembered");
    assert_eq!(shop.look().facts.unclear, ["Deployment shop/api"]);
    shop.severity = Severity::Low;
    assert!(shop.look().facts.unclear.is_empty());
}

/// Without an engine everything that Git holds may be in the cluster: somebody else's commit, or
/// another repository's object, is no reason to take ours back.
#[test]
fn without_an_engine_any_other_commit_is_an_excuse() {
    let mut shop = Shop::new();
    shop.objects.retain(|o| o["kind"] != "Kustomization");
    let api = ObjectRef::new("apps/v1", "Deployment", Some("shop"), "api");
    shop.failing = vec![("a", api, Class::CrashLoopBackOff)];
    let facts = shop.look().facts;
    assert_eq!(facts.excuse, None);
    assert!(facts.newly_broken.is_empty(), "Git does not make it");
    shop.changed = vec!["docs/readme.md"];
    assert!(shop.look().facts.excuse.is_some());
    shop.changed.clear();
    shop.unread = Some("pods: the API server answers 403 to list them");
    assert!(shop.look().facts.excuse.is_some());
    shop.unread = None;
    shop.objects[0]["metadata"]["labels"] = json!({"kustomize.toolkit.fluxcd.io/name": "apps"});
    let excuse = shop.look().facts.excuse;
    assert_eq!(excuse, Some("what applies it is not seen from here"));
}

#[test]
fn an_application_of_several_sources_reads_all_of_them() {
    let ours = "https://git.example.com/acme/gitops";
    for (sources, file, touches) in [
        (
            json!([{"repoURL": ours, "path": "web"}, {"repoURL": ours, "path": "apps"}]),
            "apps/api.yaml",
            true,
        ),
        (
            json!([{"repoURL": ours, "path": "web"}]),
            "apps/api.yaml",
            false,
        ),
        (json!([]), "apps/api.yaml", true),
    ] {
        let mut shop = Shop::new();
        shop.objects[0] = json!({
            "apiVersion": "argoproj.io/v1alpha1", "kind": "Application",
            "metadata": {"name": "apps", "namespace": "argocd"},
            "spec": {"sources": sources},
            "status": {
                "sync": {"status": "Synced", "revision": LATER},
                "operationState": {"phase": "Succeeded", "finishedAt": "2026-01-02T12:05:00Z", "syncResult": {"revision": LATER}},
                "resources": [{"group": "apps", "kind": "Deployment", "namespace": "shop", "name": "web"}],
            },
        });
        shop.changed = vec![file];
        let excuse = shop.ask(|merged, world| {
            let applied = Applied::Applied {
                at: None,
                revision: LATER.to_owned(),
            };
            excuse(merged, world, &applied, carrier(merged, world.snapshot))
        });
        assert_eq!(excuse.is_some(), touches, "{sources}");
    }
}

#[test]
fn a_webhook_that_did_not_answer_is_not_our_failure() {
    let failed = |message: &str| Applied::Failed {
        message: format!("Deployment/shop/web dry-run failed: {message}"),
        resources: Vec::new(),
    };
    let ours = |message: &str| {
        Shop::new().ask(|merged, world| {
            is_ours(
                merged,
                world,
                &failed(message),
                carrier(merged, world.snapshot),
            )
        })
    };
    assert!(ours("spec.replicas: Invalid value: -1"));
    let webhook =
        "InternalError: failed calling webhook \"mutate.example.com\": connection refused";
    assert!(!ours(webhook));
}

#[test]
fn what_restarts_again_and_again_failed_before() {
    let mut shop = Shop::new();
    let mut api = shop.objects[1].clone();
    api["metadata"]["name"] = json!("api");
    api["metadata"]["uid"] = json!("api");
    let mut set = shop.objects[2].clone();
    set["metadata"]["name"] = json!("api-1");
    set["metadata"]["uid"] = json!("api-1");
    set["metadata"]["ownerReferences"][0]["name"] = json!("api");
    set["metadata"]["ownerReferences"][0]["uid"] = json!("api");
    let mut restarting = pod("api-1-a", "ReplicaSet", "api-1");
    restarting["status"]["containerStatuses"][0]["restartCount"] = json!(7);
    shop.objects.extend([api, set, restarting]);
    assert_eq!(shop.ask(baseline).failing, ["Deployment shop/api"]);
}

#[test]
fn pods_keep_the_content_of_a_configmap_until_they_restart() {
    let mut shop = Shop::new();
    shop.expects = vec![expects("v1", "ConfigMap", "settings", "data.A", "2")];
    let rollout = |shop: &Shop| shop.look().facts.rollout.unwrap();
    assert_eq!(rollout(&shop), Rollout::Waiting(Wait::Restart));
    let started = "/status/containerStatuses/0/state/running/startedAt";
    shop.set("Pod", started, json!("2026-01-02T12:30:00Z"));
    assert_eq!(rollout(&shop), Rollout::Done);
}

#[test]
fn a_cronjob_is_judged_on_its_next_run_and_a_job_on_a_new_one() {
    let cron = json!({"apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": "report", "namespace": "shop", "uid": "report"}, "spec": {"schedule": "x"}});
    let job = |made: &str, condition: &str| {
        json!({
            "apiVersion": "batch/v1", "kind": "Job",
            "metadata": {"name": format!("report-{made}"), "namespace": "shop", "uid": made, "creationTimestamp": made,
                "ownerReferences": [{"apiVersion": "batch/v1", "kind": "CronJob", "name": "report", "uid": "report", "controller": true}]},
            "status": {"conditions": [{"type": condition, "status": "True"}]},
        })
    };
    let with = |jobs: &[Value]| {
        let mut shop = Shop::new();
        shop.objects.retain(|o| o["kind"] != "Deployment");
        shop.expects = vec![expects(
            "batch/v1",
            "CronJob",
            "report",
            "spec.schedule",
            "x",
        )];
        shop.objects.push(cron.clone());
        shop.objects.extend(jobs.iter().cloned());
        shop.look().facts.rollout.unwrap()
    };
    let (old, new) = ("2026-01-02T11:00:00Z", "2026-01-02T12:30:00Z");
    assert_eq!(with(&[]), Rollout::Waiting(Wait::NextRun));
    assert_eq!(
        with(&[job(old, "Complete")]),
        Rollout::Waiting(Wait::NextRun)
    );
    assert_eq!(
        with(&[job(old, "Failed"), job(new, "Complete")]),
        Rollout::Done
    );
    assert!(matches!(with(&[job(new, "Failed")]), Rollout::Failing(_)));
    let newer = "2026-01-02T12:40:00Z";
    let recovered = [job(newer, "Complete"), job(new, "Failed")];
    assert_eq!(with(&recovered), Rollout::Done, "the newest one counts");
}

#[test]
fn a_failed_apply_is_ours_when_it_names_what_we_changed() {
    let failed = |message: &str, changed: &[&'static str]| {
        let mut shop = Shop::new();
        shop.changed = changed.to_vec();
        let old = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
        let object = &mut shop.objects[0];
        object["status"]["lastAppliedRevision"] = json!(format!("main@sha1:{old}"));
        object["status"]["lastAttemptedRevision"] = json!(format!("main@sha1:{OURS}"));
        let reason = message.split(':').next().unwrap();
        object["status"]["conditions"] =
            json!([{"type": "Ready", "status": "False", "reason": reason, "message": message}]);
        let facts = shop.look().facts;
        assert!(matches!(facts.applied, Applied::Failed { .. }), "{facts:?}");
        facts.failed_is_ours
    };
    let ours = "ReconciliationFailed: Deployment/shop/web dry-run failed: field is immutable";
    assert!(failed(ours, &["apps/other.yaml"]));
    let longer = "ReconciliationFailed: Deployment/shop/web-api dry-run failed";
    assert!(!failed(longer, &[]));
    assert!(
        failed("BuildFailed: no such file", &[]),
        "nobody else changed anything"
    );
    assert!(!failed("BuildFailed: no such file", &["apps/other.yaml"]));
}

#[test]
fn without_an_engine_the_fields_themselves_tell() {
    let mut shop = Shop::new();
    shop.objects.remove(0);
    assert!(matches!(shop.look().facts.applied, Applied::Applied { .. }));
    shop.set(
        "Deployment",
        "/spec/template/spec/containers/0/image",
        json!("web:1"),
    );
    assert!(matches!(shop.look().facts.applied, Applied::Unknown { .. }));
}

#[test]
fn a_workload_that_is_not_there_is_not_well() {
    let mut shop = Shop::new();
    shop.objects.retain(|o| o["kind"] != "Deployment");
    let facts = shop.look().facts;
    assert!(matches!(facts.rollout, Some(Rollout::Progressing(_))));
    assert_eq!(facts.live, Live::Unknown);
}

/// Row 2 of many clusters: what was proposed without one is looked at where it is applied.
#[test]
fn a_cluster_applies_what_its_engine_reads_from_this_repository() {
    let git = |url: &str| {
        json!({
            "apiVersion": "source.toolkit.fluxcd.io/v1", "kind": "GitRepository",
            "metadata": {"name": "apps", "namespace": "flux-system"}, "spec": {"url": url},
        })
    };
    let source = json!({"kind": "GitRepository", "name": "apps"});
    let by_flux = |url: &str, path: &str| {
        let mut shop = Shop::new();
        shop.objects[0]["spec"] = json!({"path": path, "sourceRef": source.clone()});
        shop.objects.push(git(url));
        shop
    };
    let ours = "https://git.example.com/acme/gitops";
    let yes = |shop: &Shop| shop.ask(applies);
    assert!(!yes(&Shop::new()), "no source");
    assert!(yes(&by_flux(ours, "./apps")));
    assert!(yes(&by_flux(ours, "./")), "everything");
    assert!(!yes(&by_flux(ours, "./app")), "another folder");
    assert!(!yes(&by_flux(
        "https://git.example.com/acme/other",
        "./apps"
    )));
    let mut away = by_flux(ours, "./apps");
    away.objects[0]["spec"]["kubeConfig"] = json!({"secretRef": {"name": "other"}});
    assert!(!yes(&away), "it writes to another cluster");
    let mut gone = by_flux(ours, "./apps");
    gone.objects.retain(|o| o["kind"] != "Deployment");
    assert!(!yes(&gone), "not there");
    let mut nothing = by_flux(ours, "./apps");
    nothing.expects.clear();
    assert!(!yes(&nothing));
    let mut foreign = by_flux(ours, "./apps");
    let other = expects("apps/v1", "Deployment", "other", "spec.replicas", "2");
    foreign.expects.push(other);
    assert!(!yes(&foreign), "only a part of it");

    let by_argo = |source: Value, server: &str| {
        let mut shop = Shop::new();
        shop.objects[0] = json!({
            "apiVersion": "argoproj.io/v1alpha1", "kind": "Application",
            "metadata": {"name": "apps", "namespace": "argocd"},
            "spec": {"sources": [{"repoURL": "https://charts.example.com", "chart": "x"}, source], "destination": {"server": server}},
            "status": {"resources": [{"group": "apps", "kind": "Deployment", "namespace": "shop", "name": "web"}]},
        });
        shop
    };
    let here = "https://kubernetes.default.svc";
    let source = |path: &str| json!({"repoURL": ours, "path": path});
    assert!(yes(&by_argo(source("apps"), here)));
    assert!(!yes(&by_argo(source("other"), here)));
    assert!(!yes(&by_argo(source("apps"), "https://10.0.0.1")), "a hub");
    let elsewhere = json!({"repoURL": "https://git.example.com/acme/other", "path": "apps"});
    assert!(!yes(&by_argo(elsewhere, here)));
    let mut two = by_argo(source("apps"), here);
    let mut second = two.objects[0].clone();
    second["metadata"]["name"] = json!("again");
    two.objects.push(second);
    assert!(!yes(&two), "two of them say it is theirs");
}

#[test]
fn a_service_must_have_an_endpoint_unless_its_fix_is_taken_back() {
    let mut shop = Shop::new();
    let meta = json!({"name": "web", "namespace": "shop"});
    shop.objects.push(json!({"apiVersion": "v1", "kind": "Service", "metadata": meta, "spec": {"selector": {"app": "web"}}}));
    shop.expects = vec![expects("v1", "Service", "web", "spec.selector.app", "web")];
    assert_eq!(
        shop.look().facts.lacks,
        None,
        "nothing is seen of endpoints"
    );
    let slice = |ready: bool| {
        let meta = json!({"name": "web-1", "namespace": "shop", "labels": {"kubernetes.io/service-name": "web"}});
        json!({"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "metadata": meta, "endpoints": [{"conditions": {"ready": ready}}]})
    };
    shop.objects.push(slice(false));
    assert!(shop.look().facts.lacks.is_some());
    shop.is_revert = true;
    assert_eq!(shop.look().facts.lacks, None);
    shop.is_revert = false;
    shop.objects.pop();
    shop.objects.push(slice(true));
    assert_eq!(shop.look().facts.lacks, None);
}
