//! A namespace with a small shop in it, and the Git repository that it comes from.

use std::path::{Path, PathBuf};
use std::process::Command;

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use crate::git_server::git;
use crate::plane::{Plane, write};

const PROGRAM: &str = env!("CARGO_BIN_EXE_kubemend");
/// What is well in every trial.
pub const MANIFEST: &str = "\
apiVersion: apps/v1
kind: Deployment
metadata:
  name: web
spec:
  replicas: 1
  selector:
    matchLabels:
      app: web
  template:
    metadata:
      labels:
        app: web
      annotations:
        test.kubemend.dev/uses-mebibytes: \"200\"
    spec:
      serviceAccountName: web
      nodeSelector:
        disktype: ssd
      containers:
      - name: web
        image: registry.example.com/shop/web:1.4.2
        command: [/app/web]
        envFrom:
        - configMapRef:
            name: web-settings
        ports:
        - name: http
          containerPort: 8080
        readinessProbe:
          httpGet:
            path: /healthz
            port: http
        livenessProbe:
          httpGet:
            path: /healthz
            port: 8080
        resources:
          requests:
            cpu: 100m
            memory: 128Mi
          limits:
            memory: 256Mi
---
apiVersion: v1
kind: Service
metadata:
  name: web
spec:
  selector:
    app: web
  ports:
  - port: 80
    targetPort: http
---
apiVersion: v1
kind: ServiceAccount
metadata:
  name: web
---
apiVersion: v1
kind: ConfigMap
metadata:
  name: web-settings
data:
  GREETING: hello
";
/// The file that holds it.
pub const FILE: &str = "apps/web.yaml";

/// One shop.
pub struct Shop<'p> {
    pub plane: &'p Plane,
    pub namespace: String,
    folder: tempfile::TempDir,
}

impl<'p> Shop<'p> {
    /// Commits the shop and waits until the cluster runs it.
    pub fn open(plane: &'p Plane, namespace: &str) -> Result<Self, String> {
        let shop = Self::prepare(plane, namespace)?;
        shop.apply()?;
        shop.wait("deployments", "the shop runs", is_rolled_out)?;
        shop.wait("endpointslices", "the shop serves", has_endpoint)?;
        Ok(shop)
    }

    /// Commits the shop; nothing of it is in the cluster yet.
    pub fn prepare(plane: &'p Plane, namespace: &str) -> Result<Self, String> {
        let folder = tempfile::tempdir().map_err(|e| e.to_string())?;
        let shop = Self {
            plane,
            namespace: namespace.to_owned(),
            folder,
        };
        std::fs::create_dir_all(shop.repository().join("apps")).map_err(|e| e.to_string())?;
        git(&shop.repository(), &["init", "-q", "-b", "main"]);
        plane.kubectl.run(&["create", "namespace", namespace])?;
        shop.commit("run the shop", MANIFEST)?;
        Ok(shop)
    }

    pub fn repository(&self) -> PathBuf {
        self.folder.path().join("repository")
    }

    /// What Git holds.
    pub fn manifest(&self) -> String {
        std::fs::read_to_string(self.repository().join(FILE)).unwrap_or_default()
    }

    pub fn commit(&self, subject: &str, manifest: &str) -> Result<(), String> {
        write(&self.repository().join(FILE), manifest)?;
        git(&self.repository(), &["add", "-A"]);
        git(&self.repository(), &["commit", "-q", "-m", subject]);
        Ok(())
    }

    /// Brings the cluster to what Git holds, as a GitOps engine would.
    pub fn apply(&self) -> Result<(), String> {
        let manifest = self.manifest();
        self.plane.kubectl.apply(Some(&self.namespace), &manifest)
    }

    pub fn wait(
        &self,
        kind: &str,
        what: &str,
        is_so: impl Fn(&Value) -> bool,
    ) -> Result<Value, String> {
        self.plane.kubectl.wait(&self.namespace, kind, what, is_so)
    }

    /// `kubemend fix` on a dump of the whole cluster, some minutes from now; what it says of this
    /// shop.
    pub fn fix(&self) -> Result<Vec<Value>, String> {
        let dump = self.folder.path().join("dump.yaml");
        write(&dump, &self.plane.kubectl.dump()?)?;
        self.fixed(&["--snapshot", path(&dump)?])
    }

    /// `kubemend fix --live`, with the rights of `deploy/base/rbac.yaml` and no more.
    pub fn fix_live(&self) -> Result<Vec<Value>, String> {
        let reader = self.plane.reader()?;
        self.fixed(&["--live", "--kubeconfig", path(&reader)?])
    }

    /// `kubemend fix` on a cluster; what it says of this shop.
    pub fn fixed(&self, cluster: &[&str]) -> Result<Vec<Value>, String> {
        let later = Timestamp::now() + SignedDuration::from_mins(5);
        let output = Command::new(PROGRAM)
            .args(["fix", "--output", "json", "--namespace", &self.namespace])
            .args(["--now", &later.to_string()])
            .arg("--repo")
            .arg(self.repository())
            .args(cluster)
            .output()
            .map_err(|e| e.to_string())?;
        let said = String::from_utf8_lossy(&output.stderr);
        let report: Value = serde_json::from_slice(&output.stdout)
            .map_err(|e| format!("kubemend fix: {e}: {said}"))?;
        if cluster.contains(&"--live") && said.contains("to list them") {
            return Err(format!("deploy/base/rbac.yaml is not enough: {said}"));
        }
        let results = report["results"].as_array().cloned().unwrap_or_default();
        let ours = |r: &Value| r["finding"]["object"]["namespace"] == self.namespace.as_str();
        Ok(results.into_iter().filter(ours).collect())
    }

    /// What was read as applied is what the cluster has, at once.
    pub fn expect_tag(&self, tag: &str) -> Result<(), String> {
        let kubectl = &self.plane.kubectl;
        let deployment = kubectl.get(&self.namespace, "deployments/web")?;
        match tag_of(&deployment) {
            live if live == tag => Ok(()),
            live => Err(format!(
                "read as applied, and the cluster has {live}, not {tag}"
            )),
        }
    }

    /// Merges a patch.
    pub fn merge(&self, patch: &str) -> Result<(), String> {
        let file = self.folder.path().join("fix.diff");
        write(&file, patch)?;
        git(&self.repository(), &["apply", path(&file)?]);
        git(&self.repository(), &["commit", "-q", "-a", "-m", "fix"]);
        Ok(())
    }
}

impl Drop for Shop<'_> {
    fn drop(&mut self) {
        let delete = ["delete", "namespace", &self.namespace, "--wait=false"];
        let _ = self.plane.kubectl.run(&delete);
    }
}

pub fn path(path: &Path) -> Result<&str, String> {
    path.to_str().ok_or_else(|| "a strange path".to_owned())
}

/// The tag of the image that a Deployment asks for.
pub fn tag_of(deployment: &Value) -> &str {
    let image = &deployment["spec"]["template"]["spec"]["containers"][0]["image"];
    let image = image.as_str().unwrap_or_default();
    image.rsplit_once(':').map_or("", |(_, tag)| tag)
}

/// Whether a Deployment runs what it says, everywhere.
pub fn is_rolled_out(deployment: &Value) -> bool {
    let status = &deployment["status"];
    let wanted = deployment["spec"]["replicas"].as_i64();
    status["observedGeneration"] == deployment["metadata"]["generation"]
        && ["replicas", "updatedReplicas", "availableReplicas"]
            .iter()
            .all(|f| status[f].as_i64() == wanted)
}

/// Whether an EndpointSlice has a place to send traffic to.
pub fn has_endpoint(slice: &Value) -> bool {
    let ready = |e: &Value| e["conditions"]["ready"] == true;
    let all = slice["endpoints"].as_array();
    all.is_some_and(|all| all.iter().any(ready))
        && slice["ports"].as_array().is_some_and(|p| !p.is_empty())
}
