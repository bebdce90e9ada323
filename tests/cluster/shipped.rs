//! `deploy/` as it is shipped, taken by a real API server: its pods are admitted where Pod Security is
//! enforced, and rights in one namespace are enough to find and mend a fault there.

use serde_json::Value;

use crate::faults::{added, has_condition, waits};
use crate::plane::{Plane, write};
use crate::shop::{self, Shop, path};

type Run = fn(&Plane) -> Result<(), String>;

pub const TRIALS: &[(&str, Run)] = &[
    (
        "the_base_is_admitted_under_enforced_pod_security",
        the_base_is_admitted_under_enforced_pod_security,
    ),
    (
        "rights_in_one_namespace_are_enough",
        rights_in_one_namespace_are_enough,
    ),
];

/// A folder of `deploy/`, as text.
fn deploy(folder: &str) -> String {
    format!("{}/deploy/{folder}", env!("CARGO_MANIFEST_DIR"))
}

/// The base of `deploy/` and its namespace, which the API server enforces to be Restricted.
fn the_base_is_admitted_under_enforced_pod_security(plane: &Plane) -> Result<(), String> {
    let kubectl = &plane.kubectl;
    kubectl.run(&["apply", "-k", &deploy("base")])?;
    let placed = kubectl.wait("kubemend", "pods", "a pod has its node", |pod| {
        pod["metadata"]["labels"]["app.kubernetes.io/name"] == "kubemend"
            && has_condition(pod, "PodScheduled", "True")
    });
    let loose = [
        "run",
        "loose",
        "-n",
        "kubemend",
        "--image=registry.example.com/loose:1",
        "--dry-run=server",
    ];
    let loose = kubectl.run(&loose);
    // the rights stay: other trials use them
    kubectl.run(&[
        "delete",
        "-n",
        "kubemend",
        "deployment/kubemend",
        "poddisruptionbudget/kubemend",
        "networkpolicy/kubemend",
    ])?;
    placed?;
    match loose {
        Err(refused) if refused.contains("violates PodSecurity \"restricted") => Ok(()),
        other => Err(format!("any pod is admitted: {other:?}")),
    }
}

/// `deploy/overlays/namespaced`, under another name and for one namespace.
fn rights_in_one_namespace_are_enough(plane: &Plane) -> Result<(), String> {
    let kubectl = &plane.kubectl;
    let shop = Shop::open(plane, "narrow")?;
    let folder = plane.file("narrow");
    std::fs::create_dir_all(&folder).map_err(|e| e.to_string())?;
    // a path from the root: kustomize takes no absolute one
    let up = "../".repeat(folder.components().count() - 1);
    let overlay = deploy("overlays/namespaced");
    let text = format!(
        "namespace: narrow\nnameSuffix: -narrow\nresources: ['{up}{}']\n",
        overlay.trim_start_matches('/')
    );
    write(&folder.join("kustomization.yaml"), &text)?;
    let all = kubectl.run(&["kustomize", path(&folder)?])?;
    let rights = all.split("\n---\n").filter(|o| {
        [
            "kind: ServiceAccount\n",
            "kind: ClusterRole\n",
            "kind: ClusterRoleBinding\n",
            "kind: RoleBinding\n",
        ]
        .iter()
        .any(|k| o.starts_with(k) || o.contains(&format!("\n{k}")))
    });
    kubectl.apply(None, &rights.collect::<Vec<_>>().join("\n---\n"))?;
    let reader = plane.reader_as("narrow", "kubemend-narrow")?;

    let broken = shop::MANIFEST.replace("web:1.4.2", "web:1.4.O");
    shop.commit("change the shop", &broken)?;
    shop.apply()?;
    shop.wait("pods", "the fault shows", |p| waits(p, "ImagePullBackOff"))?;
    let cluster = [
        "--live",
        "--kubeconfig",
        path(&reader)?,
        "--namespaces",
        "narrow",
    ];
    let results = shop.fixed(&cluster)?;
    let patches: Vec<&str> = results
        .iter()
        .filter_map(|r: &Value| r["patch"].as_str())
        .collect();
    match patches[..] {
        [patch] if added(patch) == ["image: registry.example.com/shop/web:1.4.2"] => {}
        _ => return Err(format!("another end: {results:#?}")),
    }
    // and elsewhere it sees nothing
    let elsewhere = [
        "auth",
        "can-i",
        "list",
        "pods",
        "-n",
        "default",
        "--as=system:serviceaccount:narrow:kubemend-narrow",
    ];
    match kubectl.run(&elsewhere) {
        Err(no) if !no.contains("yes") => Ok(()),
        other => Err(format!("it reads other namespaces: {other:?}")),
    }
}
