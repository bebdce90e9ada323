//! The GitOps engines of a cluster, without their user interfaces.

use std::fs;
use std::path::{Path, PathBuf};

use base64::Engine as _;

use crate::plane::{Plane, TOKEN, ports};
use crate::shop::path;

pub fn start_flux(plane: &Plane) -> Result<(), String> {
    plane.definitions("flux-", &[])?;
    plane.kubectl.run(&["create", "namespace", "flux-system"])?;
    // source-controller ends when its folder is missing
    let artifacts = plane.file("artifacts");
    fs::create_dir_all(&artifacts).map_err(|e| e.to_string())?;
    let [files] = ports()?;
    let store = [
        format!("--storage-path={}", artifacts.display()),
        format!("--storage-addr=127.0.0.1:{files}"),
        format!("--storage-adv-addr=127.0.0.1:{files}"),
    ];
    // the default of half a minute is how long a missing artifact would be waited for
    let soon = ["--requeue-dependency=2s".to_owned()];
    let mut health = Vec::new();
    for (name, more) in [
        ("source-controller", &store[..]),
        ("kustomize-controller", &soon[..]),
        ("helm-controller", &soon[..]),
    ] {
        let [metrics, probe] = ports()?;
        let mut command = plane.program(name);
        command
            .env("KUBECONFIG", &plane.kubectl.config)
            .env("RUNTIME_NAMESPACE", "flux-system")
            .args([
                "--watch-all-namespaces",
                "--enable-leader-election=false",
                "--events-addr=",
                &format!("--metrics-addr=127.0.0.1:{metrics}"),
                &format!("--health-addr=127.0.0.1:{probe}"),
            ])
            .args(more);
        plane.spawn(name, &command)?;
        health.push(format!("http://127.0.0.1:{probe}/readyz"));
    }
    health.iter().try_for_each(|url| plane.ready(url))
}

/// Objects that Argo CD wants before it starts. It looks for changes every few seconds, and may
/// apply anything anywhere: here it is alone.
const ARGO: &str = "\
apiVersion: v1
kind: ConfigMap
metadata: {name: argocd-cm, namespace: argocd, labels: {app.kubernetes.io/part-of: argocd}}
data: {timeout.reconciliation: 10s, timeout.reconciliation.jitter: 0s}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: argocd-rbac-cm, namespace: argocd, labels: {app.kubernetes.io/part-of: argocd}}
---
apiVersion: v1
kind: Secret
metadata: {name: argocd-secret, namespace: argocd, labels: {app.kubernetes.io/part-of: argocd}}
stringData: {server.secretkey: of-a-test}
---
apiVersion: argoproj.io/v1alpha1
kind: AppProject
metadata: {name: default, namespace: argocd}
spec: {sourceRepos: ['*'], destinations: [{namespace: '*', server: '*'}], clusterResourceWhitelist: [{group: '*', kind: '*'}]}
";

/// Repository server and application controller, and the Redis between them.
pub fn start_argo(plane: &Plane) -> Result<(), String> {
    // a megabyte, and nobody needs it here
    plane.definitions("argocd", &["applicationset-crd.yaml"])?;
    plane.kubectl.run(&["create", "namespace", "argocd"])?;
    plane.kubectl.apply(None, ARGO)?;
    // outside of a cluster there is no https://kubernetes.default.svc
    let authority = fs::read(plane.file("api/apiserver.crt")).map_err(|e| e.to_string())?;
    let authority = base64::engine::general_purpose::STANDARD.encode(authority);
    let config =
        format!(r#"{{"bearerToken":"{TOKEN}","tlsClientConfig":{{"caData":"{authority}"}}}}"#);
    let cluster = format!(
        "apiVersion: v1\nkind: Secret\n\
         metadata: {{name: here, namespace: argocd, labels: {{argocd.argoproj.io/secret-type: cluster}}}}\n\
         stringData: {{name: here, server: '{}', config: '{config}'}}\n",
        plane.server
    );
    plane.kubectl.apply(None, &cluster)?;

    let [redis, repositories, repository_health, controller_health] = ports()?;
    let mut command = std::process::Command::new(redis_server().ok_or("no redis-server")?);
    command.args(["--bind", "127.0.0.1", "--port", &redis.to_string()]);
    command.args(["--save", "", "--appendonly", "no"]);
    plane.spawn("redis", &command)?;

    let keys = plane.file("argocd");
    for folder in ["tls", "ssh", "tmp"] {
        fs::create_dir_all(keys.join(folder)).map_err(|e| e.to_string())?;
    }
    let redis = format!("--redis=127.0.0.1:{redis}");
    let role = |name: &str| {
        let mut command = plane.program("argocd");
        command
            .env("ARGOCD_BINARY_NAME", name)
            .env("ARGOCD_TLS_DATA_PATH", keys.join("tls"))
            .arg(&redis);
        command
    };
    let mut command = role("argocd-repo-server");
    command
        // it has no flag for it
        .env("KUBECONFIG", &plane.kubectl.config)
        .env("ARGOCD_GPG_ENABLED", "false")
        .env("ARGOCD_SSH_DATA_PATH", keys.join("ssh"))
        .env("TMPDIR", keys.join("tmp"))
        .env("PATH", with_tools(plane.bin())?)
        .args([
            "--address=127.0.0.1",
            &format!("--port={repositories}"),
            "--metrics-address=127.0.0.1",
            &format!("--metrics-port={repository_health}"),
            "--disable-tls",
        ]);
    plane.spawn("argocd-repo-server", &command)?;
    plane.ready(&format!("http://127.0.0.1:{repository_health}/healthz"))?;
    let mut command = role("argocd-application-controller");
    command.args([
        &format!("--repo-server=127.0.0.1:{repositories}"),
        "--repo-server-plaintext",
        &format!("--metrics-port={controller_health}"),
        "--app-resync=10",
        "--app-resync-jitter=0",
        &format!("--kubeconfig={}", path(&plane.kubectl.config)?),
        "--namespace=argocd",
    ]);
    plane.spawn("argocd-application-controller", &command)?;
    plane.ready(&format!("http://127.0.0.1:{controller_health}/healthz"))
}

/// Redis is not a Go module: it comes from the system.
pub fn redis_server() -> Option<PathBuf> {
    crate::on_path("redis-server")
}

/// The repository server calls helm and kustomize.
fn with_tools(bin: &Path) -> Result<std::ffi::OsString, String> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let all = std::iter::once(bin.to_owned()).chain(std::env::split_paths(&path));
    std::env::join_paths(all).map_err(|e| e.to_string())
}
