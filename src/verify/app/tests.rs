#![allow(clippy::unwrap_used)]
use serde_json::json;

use super::*;

const OURS: &str = "cccccccccccccccccccccccccccccccccccccccc";
const OLD: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";

fn snapshot(objects: &[Value]) -> Snapshot {
    let objects = objects.iter().cloned().filter_map(Object::new).collect();
    Snapshot::new(objects, std::collections::BTreeMap::new())
}

fn kustomization(name: &str, inventory: &[&str]) -> Value {
    let entries: Vec<Value> = inventory
        .iter()
        .map(|id| json!({"id": id, "v": "v1"}))
        .collect();
    json!({
        "apiVersion": "kustomize.toolkit.fluxcd.io/v1", "kind": "Kustomization",
        "metadata": {"name": name, "namespace": "flux-system", "generation": 1},
        "spec": {"path": "./apps", "sourceRef": {"kind": "GitRepository", "name": "gitops"}},
        "status": {
            "observedGeneration": 1, "inventory": {"entries": entries},
            "lastAppliedRevision": format!("main@sha1:{OURS}"), "lastAttemptedRevision": format!("main@sha1:{OURS}"),
            "conditions": [{"type": "Ready", "status": "True", "reason": "ReconciliationSucceeded", "message": ""}],
        },
    })
}

fn source(url: &str) -> Value {
    json!({
        "apiVersion": "source.toolkit.fluxcd.io/v1", "kind": "GitRepository",
        "metadata": {"name": "gitops", "namespace": "flux-system"},
        "spec": {"url": url}, "status": {"artifact": {"revision": format!("main@sha1:{OURS}")}},
    })
}

fn application(name: &str, resources: &[Value]) -> Value {
    json!({
        "apiVersion": "argoproj.io/v1alpha1", "kind": "Application",
        "metadata": {"name": name, "namespace": "argocd"}, "status": {"resources": resources},
    })
}

fn web(labels: Value, annotations: Value) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": "web", "namespace": "shop", "labels": labels, "annotations": annotations},
    })
}

fn reference() -> ObjectRef {
    ObjectRef::new("apps/v1", "Deployment", Some("shop"), "web")
}

fn carrier(objects: &[Value]) -> Option<String> {
    Carrier::of(&reference(), &snapshot(objects)).map(Carrier::name)
}

#[test]
fn what_lists_an_object_applies_it() {
    let none = || web(json!({}), json!({}));
    let flux = kustomization("apps", &["shop_web_apps_Deployment"]);
    let flux_name = Some("Kustomization flux-system/apps".to_owned());
    assert_eq!(carrier(&[none(), flux.clone()]), flux_name);
    let alike = kustomization(
        "apps",
        &["shop_web_batch_Deployment", "shop_web2_apps_Deployment"],
    );
    assert_eq!(carrier(&[none(), alike]), None);
    let resource = json!({"group": "apps", "version": "v1", "kind": "Deployment", "namespace": "shop", "name": "web"});
    let argo = application("shop", &[resource]);
    assert_eq!(
        carrier(&[none(), argo]),
        Some("Application argocd/shop".to_owned())
    );
    assert_eq!(carrier(&[none()]), None);
}

#[test]
fn marks_on_the_object_count_where_no_list_names_it() {
    let by = |labels: Value, annotations: Value, other: Value| {
        carrier(&[web(labels, annotations), other])
    };
    let marked = json!({"kustomize.toolkit.fluxcd.io/name": "apps", "kustomize.toolkit.fluxcd.io/namespace": "flux-system"});
    assert_eq!(
        by(marked, json!({}), kustomization("apps", &[])),
        Some("Kustomization flux-system/apps".to_owned())
    );
    for tracked in [
        "shop:apps/Deployment:shop/web",
        "argocd_shop:apps/Deployment:shop/web",
    ] {
        let annotations = json!({"argocd.argoproj.io/tracking-id": tracked});
        assert_eq!(
            by(json!({}), annotations, application("shop", &[])),
            Some("Application argocd/shop".to_owned()),
            "{tracked}"
        );
    }
    let release = json!({"apiVersion": "helm.toolkit.fluxcd.io/v2", "kind": "HelmRelease", "metadata": {"name": "web", "namespace": "shop"}});
    let labels =
        json!({"helm.toolkit.fluxcd.io/name": "web", "helm.toolkit.fluxcd.io/namespace": "shop"});
    assert_eq!(
        by(labels, json!({}), release),
        Some("HelmRelease shop/web".to_owned())
    );
}

fn applied(url: &str, knows: bool) -> Applied {
    let all = snapshot(&[
        web(json!({}), json!({})),
        kustomization("apps", &["shop_web_apps_Deployment"]),
        source(url),
    ]);
    let is_ancestor = |a: &str, b: &str| (knows || a != b).then(|| a == OLD || a == b);
    let question = Question {
        commit: OURS,
        files: &["apps/web.yaml"],
        merged_at: Timestamp::UNIX_EPOCH,
        now: Timestamp::UNIX_EPOCH,
        is_ancestor: &is_ancestor,
        is_ours: &|url| url == "https://git.example/acme/gitops",
        objects: &[],
    };
    let carrier = Carrier::of(&reference(), &all).unwrap();
    carrier.applied(&all, &question)
}

#[test]
fn a_mirror_is_our_repository_and_a_foreign_one_is_not() {
    let is_applied = |a: &Applied| matches!(a, Applied::Applied { .. });
    assert!(is_applied(&applied(
        "https://git.example/acme/gitops",
        true
    )));
    assert!(is_applied(&applied("https://mirror.example/gitops", true)));
    let foreign = applied("https://git.example/acme/other", false);
    assert!(matches!(foreign, Applied::Unknown { .. }), "{foreign:?}");
}

#[test]
fn the_last_attempt_counts_as_far_as_it_applied() {
    let with = |status: &str, reason: &str| {
        let mut object = kustomization("apps", &["shop_web_apps_Deployment"]);
        object["status"]["conditions"][0]["status"] = json!(status);
        object["status"]["conditions"][0]["reason"] = json!(reason);
        let all = snapshot(&[object]);
        Carrier::of(&reference(), &all)
            .unwrap()
            .last_attempt_succeeded()
    };
    assert_eq!(with("True", "ReconciliationSucceeded"), Some(true));
    assert_eq!(with("False", "HealthCheckFailed"), Some(true));
    assert_eq!(with("False", "BuildFailed"), Some(false));
    assert_eq!(with("Unknown", "Progressing"), None, "it runs");
}

fn ask(carrier: &ObjectRef, objects: &[Value]) -> Applied {
    let all = snapshot(objects);
    let question = Question {
        commit: OURS,
        files: &["apps/web.yaml"],
        merged_at: Timestamp::UNIX_EPOCH,
        now: Timestamp::UNIX_EPOCH,
        is_ancestor: &|a, b| Some(a == OLD || a == b),
        is_ours: &|url| url == "https://git.example/acme/gitops",
        objects: &[],
    };
    Carrier::of(carrier, &all).unwrap().applied(&all, &question)
}

/// Applications may stand in namespaces of teams, and projects where Argo CD runs.
#[test]
fn the_windows_are_those_of_the_project_of_an_application() {
    let resource = json!({"group": "apps", "version": "v1", "kind": "Deployment", "namespace": "shop", "name": "web"});
    let mut app = application("shop", &[resource]);
    app["metadata"]["namespace"] = json!("team");
    app["spec"] = json!({
        "project": "shops", "syncPolicy": {"automated": {}},
        "source": {"repoURL": "https://git.example/acme/gitops", "path": "apps"},
    });
    app["status"]["controllerNamespace"] = json!("argocd");
    app["status"]["sync"] = json!({"status": "OutOfSync", "revision": OURS});
    let project = |namespace: &str, name: &str, schedule: &str| {
        json!({
            "apiVersion": "argoproj.io/v1alpha1", "kind": "AppProject",
            "metadata": {"name": name, "namespace": namespace},
            "spec": {"syncWindows": [{"kind": "deny", "schedule": schedule, "duration": "8h", "applications": ["*"]}]},
        })
    };
    let others = [
        project("team", "shops", "1 1 * * *"),
        project("argocd", "default", "2 2 * * *"),
    ];
    let told = |projects: &[Value]| match ask(&reference(), &[&[app.clone()], projects].concat()) {
        Applied::Waiting { why } => why.sentence(),
        other => panic!("{other:?}"),
    };
    assert!(!told(&others).contains("deny"), "{}", told(&others));
    let ours = [&others[..], &[project("argocd", "shops", "0 22 * * *")]].concat();
    assert!(
        told(&ours).contains("(deny `0 22 * * *` for 8h UTC)"),
        "{}",
        told(&ours)
    );
}

#[test]
fn an_artifact_is_of_the_repository_that_it_names() {
    let mut apps = kustomization("apps", &["shop_web_apps_Deployment"]);
    apps["spec"]["sourceRef"]["kind"] = json!("OCIRepository");
    apps["status"]["lastAppliedRevision"] = json!(format!("latest@sha256:{}", "0".repeat(64)));
    apps["status"]["lastAppliedOriginRevision"] = json!(format!("main@sha1:{OURS}"));
    let source = |url: &str| {
        json!({
            "apiVersion": "source.toolkit.fluxcd.io/v1", "kind": "OCIRepository",
            "metadata": {"name": "gitops", "namespace": "flux-system"},
            "spec": {"url": "oci://registry.example/acme/gitops"},
            "status": {"artifact": {"revision": "latest@sha256:1", "metadata": {"org.opencontainers.image.source": url}}},
        })
    };
    let ours = source("https://git.example/acme/gitops");
    let done = ask(&reference(), &[apps.clone(), ours.clone()]);
    assert!(matches!(done, Applied::Applied { .. }), "{done:?}");

    let is_of = |source: &Value| {
        let all = snapshot(&[apps.clone(), source.clone()]);
        let carrier = Carrier::of(&reference(), &all).unwrap();
        // nobody knows from which of its folders it was made
        assert_eq!(carrier.folders(&|_| true), [""]);
        carrier.is_of(&all, &|url| url == "https://git.example/acme/gitops")
    };
    assert!(is_of(&ours) && !is_of(&source("https://git.example/acme/other")));
}
