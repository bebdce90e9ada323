//! What the whole loop plays on: a repository on GitHub, apps in namespaces of their own, an engine that
//! applies them, and kubemend.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::assets::Assets;
use crate::faults::added;
use crate::plane::Plane;
use crate::presence;
use crate::shim::{ALICE, Hub, MACHINE, git_as_alice};
use crate::support::program::Program;

const PROGRAM: &str = env!("CARGO_BIN_EXE_kubemend");
/// So long something that must happen may take in all.
const PATIENCE: Duration = Duration::from_secs(400);
/// Pause between two questions to GitHub.
const POLL: Duration = Duration::from_millis(1_500);

/// What applies the repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Engine {
    Flux,
    Argo,
}

/// What GitHub needs.
pub fn assets() -> Result<Assets, String> {
    Assets::find()
}

/// So long a rollout may take where it ends well, on the slowest machine.
pub const HEALS: &str = "5m";
/// And where it has to fail: the test waits for it.
pub const FAILS: &str = "45s";

/// Nothing holds back, and clocks that a test can wait for.
const CONFIG: &str = "\
grace_seconds: 0
pull_requests:
  min_failure_age: 0s
  max_open_prs: 50
  hard_cap: 50
  max_open_per_namespace: 50
  max_prs_per_hour: 100
  verify: {apply: 10m, heal: HEAL, settle: 4s, samples: 2}
";

/// One app: where it runs, which folder of the repository is applied there, and the files below
/// `apps/NAMESPACE`.
pub struct Delivery<'d> {
    pub namespace: &'d str,
    /// Below `apps/NAMESPACE`; empty for that folder itself.
    pub path: &'d str,
    pub files: BTreeMap<String, Vec<u8>>,
}

/// A repository on GitHub with an app for each namespace, an engine that applies it, and kubemend.
pub struct Stage<'p> {
    pub plane: &'p Plane,
    pub engine: Engine,
    pub hub: Hub,
    clone: PathBuf,
    namespaces: Vec<String>,
    /// What is watched, too, and no app of the repository.
    pub beside: Vec<String>,
    /// The namespace of the source and of kubemend's records.
    pub home: String,
}

impl<'p> Stage<'p> {
    /// Everything is pushed, and the engine was told of it.
    pub fn open(
        plane: &'p Plane,
        engine: Engine,
        name: &str,
        apps: &[Delivery<'_>],
    ) -> Result<Self, String> {
        Self::open_with(plane, engine, name, apps, FAILS)
    }

    /// With another time to heal.
    pub fn open_with(
        plane: &'p Plane,
        engine: Engine,
        name: &str,
        apps: &[Delivery<'_>],
        heal: &str,
    ) -> Result<Self, String> {
        let hub = plane.runtime().block_on(Hub::start(&assets()?))?;
        let stage = Self {
            plane,
            engine,
            clone: hub.folder("clone"),
            hub,
            namespaces: apps.iter().map(|a| a.namespace.to_owned()).collect(),
            beside: Vec::new(),
            home: format!("{name}-home"),
        };
        std::fs::create_dir_all(&stage.clone).map_err(|e| e.to_string())?;
        stage.git(&["clone", "-q", &stage.url(), "."])?;
        let config = CONFIG.replace("HEAL", heal);
        stage.put(".github/kubemend.yaml", config.as_bytes())?;
        for app in apps {
            for (file, bytes) in &app.files {
                stage.put(&format!("apps/{}/{file}", app.namespace), bytes)?;
            }
        }
        stage.push("run the apps")?;
        stage.deliver_to(plane, apps)?;
        Ok(stage)
    }

    /// Lets the engine of a cluster apply the apps there.
    pub fn deliver_to(&self, plane: &Plane, apps: &[Delivery<'_>]) -> Result<(), String> {
        let create = |namespace: &str| {
            let created = plane.kubectl.run(&["create", "namespace", namespace]);
            created.map(drop)
        };
        create(&self.home)?;
        self.keep_records(plane)?;
        self.start_source(plane)?;
        for app in apps {
            create(app.namespace)?;
        }
        let objects = apps.iter().map(|a| self.engine_object(plane, a));
        plane.kubectl.apply(None, &objects.collect::<String>())
    }

    fn url(&self) -> String {
        format!("{}/acme/gitops.git", self.hub.shared.url)
    }

    /// How the engine gets in.
    fn start_source(&self, plane: &Plane) -> Result<(), String> {
        let (url, home) = (self.url(), &self.home);
        let source = match self.engine {
            Engine::Flux => format!(
                "apiVersion: v1\nkind: Secret\nmetadata: {{name: git, namespace: {home}}}\nstringData: {{username: git, password: {ALICE}}}\n---\n\
                 apiVersion: source.toolkit.fluxcd.io/v1\nkind: GitRepository\nmetadata: {{name: gitops, namespace: {home}}}\n\
                 spec:\n  interval: 5s\n  url: {url}\n  ref: {{branch: main}}\n  secretRef: {{name: git}}\n"
            ),
            Engine::Argo => format!(
                "apiVersion: v1\nkind: Secret\nmetadata:\n  name: {home}\n  namespace: argocd\n\
                 \x20 labels: {{argocd.argoproj.io/secret-type: repository}}\n\
                 stringData: {{type: git, url: '{url}', username: git, password: {ALICE}}}\n"
            ),
        };
        plane.kubectl.apply(None, &source)
    }

    /// The Kustomization or Application of one app.
    fn engine_object(&self, plane: &Plane, app: &Delivery<'_>) -> String {
        let Delivery {
            namespace, path, ..
        } = app;
        let path = format!("apps/{namespace}/{path}");
        let path = path.trim_end_matches('/');
        match self.engine {
            Engine::Flux => format!(
                "---\napiVersion: kustomize.toolkit.fluxcd.io/v1\nkind: Kustomization\nmetadata: {{name: app, namespace: {namespace}}}\n\
                 spec:\n  interval: 1m\n  retryInterval: 5s\n  timeout: 30s\n  path: ./{path}\n  prune: true\n\
                 \x20 sourceRef: {{kind: GitRepository, name: gitops, namespace: {home}}}\n",
                home = self.home
            ),
            Engine::Argo => format!(
                "---\napiVersion: argoproj.io/v1alpha1\nkind: Application\nmetadata: {{name: {namespace}, namespace: argocd}}\n\
                 spec:\n  project: default\n  destination: {{server: '{server}', namespace: {namespace}}}\n\
                 \x20 source: {{repoURL: '{url}', path: {path}, targetRevision: main}}\n\
                 \x20 syncPolicy: {{automated: {{}}}}\n",
                server = plane.server,
                url = self.url()
            ),
        }
    }

    /// Writes a file of the clone, not pushed yet.
    pub fn put(&self, file: &str, bytes: &[u8]) -> Result<(), String> {
        let path = self.clone.join(file);
        let folder = path.parent().ok_or("no folder")?;
        std::fs::create_dir_all(folder).map_err(|e| e.to_string())?;
        std::fs::write(&path, bytes).map_err(|e| format!("{file}: {e}"))
    }

    /// A file of the clone.
    pub fn file(&self, file: &str) -> Result<Vec<u8>, String> {
        std::fs::read(self.clone.join(file)).map_err(|e| format!("{file}: {e}"))
    }

    /// What a webhook does: the engine looks at once. Flux looks every few seconds anyway.
    pub fn wake(&self) -> Result<(), String> {
        if self.engine == Engine::Flux {
            return Ok(());
        }
        for namespace in &self.namespaces {
            let object = format!("applications.argoproj.io/{namespace}");
            let refresh = "argocd.argoproj.io/refresh=normal";
            let args = ["annotate", "-n", "argocd", &object, "--overwrite", refresh];
            self.plane.kubectl.run(&args)?;
        }
        Ok(())
    }

    /// The object of the engine that applies a namespace.
    fn applier(&self, namespace: &str) -> Result<Value, String> {
        let kubectl = &self.plane.kubectl;
        match self.engine {
            Engine::Flux => {
                kubectl.get(namespace, "kustomizations.kustomize.toolkit.fluxcd.io/app")
            }
            Engine::Argo => kubectl.get("argocd", &format!("applications.argoproj.io/{namespace}")),
        }
    }

    /// What the engine says of a namespace, for people.
    pub fn engine_says(&self, namespace: &str) -> Result<String, String> {
        let object = self.applier(namespace)?;
        let status = &object["status"];
        Ok(match self.engine {
            Engine::Flux => status["conditions"].to_string(),
            Engine::Argo => format!(
                "{} {} {} {} {}",
                status["sync"]["status"],
                status["health"],
                status["operationState"]["phase"],
                status["operationState"]["message"],
                status["conditions"]
            ),
        })
    }

    /// Whether the engine has applied the newest commit in a namespace.
    pub fn is_applied(&self, namespace: &str) -> Result<bool, String> {
        let head = self.git(&["rev-parse", "HEAD"])?;
        let object = self.applier(namespace)?;
        let at = match self.engine {
            Engine::Flux => "/status/lastAppliedRevision",
            Engine::Argo => "/status/operationState/syncResult/revision",
        };
        let revision = object.pointer(at).and_then(Value::as_str);
        Ok(revision.is_some_and(|r| r.ends_with(&head)))
    }

    /// Git as Alice.
    pub fn git(&self, args: &[&str]) -> Result<String, String> {
        let output = git_as_alice(&self.clone, args)
            .output()
            .map_err(|e| e.to_string())?;
        match output.status.success() {
            true => Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned()),
            false => Err(format!(
                "git {args:?}: {}",
                String::from_utf8_lossy(&output.stderr)
            )),
        }
    }

    pub fn push(&self, message: &str) -> Result<(), String> {
        self.git(&["add", "-A"])?;
        self.git(&["commit", "-q", "-m", message])?;
        self.git(&["push", "-q", "origin", "HEAD:main"])?;
        Ok(())
    }

    /// Lets kubemend keep its records in the home of the stage, with the rights that it has for them in
    /// its own namespace.
    fn keep_records(&self, plane: &Plane) -> Result<(), String> {
        plane.reader()?;
        presence::define(plane)?;
        let base = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/base/rbac.yaml");
        let rights = std::fs::read_to_string(base).map_err(|e| e.to_string())?;
        let own = rights
            .split("---\n")
            .filter(|d| d.contains("kind: Role\n") && !d.contains("ClusterRole"));
        let home = format!("namespace: {}", self.home);
        let moved = own.map(|d| d.replacen("namespace: kubemend", &home, 1));
        let moved: Vec<String> = moved.collect();
        plane.kubectl.apply(None, &moved.join("---\n"))
    }

    /// kubemend, with the rights of the shipped roles.
    pub fn kubemend(&self) -> Result<Program, String> {
        Ok(Program::start(&mut self.watcher(self.plane, "cache")?))
    }

    /// One of several, of which the holder of a Lease works.
    pub fn replica(&self, name: &str) -> Result<Program, String> {
        let mut command = self.watcher(self.plane, name)?;
        command.env("HOSTNAME", name).args(["--lease", "kubemend"]);
        Ok(Program::start(&mut command))
    }

    /// kubemend in a cluster that has a name.
    pub fn kubemend_of(&self, plane: &Plane, cluster: &str) -> Result<Program, String> {
        let mut command = self.watcher(plane, cluster)?;
        Ok(Program::start(command.args(["--cluster", cluster])))
    }

    /// It keeps what it fetched in a folder of that name.
    fn watcher(&self, plane: &Plane, cache: &str) -> Result<Command, String> {
        let mut command = Command::new(PROGRAM);
        command
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.hub.folder("home"))
            .env("GITHUB_API_URL", &self.hub.shared.url)
            .env("GITHUB_TOKEN", MACHINE)
            .env("KUBEMEND_MARKER_KEY", "a key for the markers of tests")
            .args(["serve", "--poll", "20s", "--listen", "127.0.0.1:0"])
            .args(["--log-format", "json", "--github-repo", "acme/gitops"])
            .args(["--watch", "--failure-age", "1s", "--kubeconfig"])
            .arg(plane.reader()?)
            .arg("--namespaces")
            .arg(format!(
                "{},{},argocd",
                [self.namespaces.as_slice(), &self.beside]
                    .concat()
                    .join(","),
                self.home
            ))
            .arg("--lease-namespace")
            .arg(&self.home)
            .arg("--cache")
            .arg(self.hub.folder(cache));
        Ok(command)
    }

    /// SIGKILL while it works, and another one.
    pub fn killed(&self, program: Program) -> Result<Program, String> {
        program.kill();
        self.kubemend()
    }

    // ---- GitHub, as Alice sees it

    pub fn ask(&self, method: &str, rest: &str, body: Option<Value>) -> Result<Value, String> {
        let path = format!("/repos/acme/gitops{rest}");
        let asked = self.hub.must(ALICE, method, &path, body);
        self.plane.runtime().block_on(asked)
    }

    pub fn list(&self, rest: &str) -> Result<Vec<Value>, String> {
        let all = self.ask("GET", rest, None)?;
        Ok(all.as_array().cloned().unwrap_or_default())
    }

    /// Open pull requests.
    pub fn open_pulls(&self) -> Result<Vec<Pull>, String> {
        let all = self.list("/pulls?state=open&per_page=100")?;
        all.iter().map(|p| self.read(p)).collect()
    }

    fn read(&self, pull: &Value) -> Result<Pull, String> {
        let number = pull["number"].as_u64().unwrap_or_default();
        let files = self.list(&format!("/pulls/{number}/files"))?;
        let text = |v: &Value| v.as_str().unwrap_or_default().to_owned();
        Ok(Pull {
            number,
            branch: text(&pull["head"]["ref"]),
            body: text(&pull["body"]),
            files: files.iter().map(|f| text(&f["filename"])).collect(),
            adds: files
                .iter()
                .flat_map(|f| {
                    let patch = text(&f["patch"]);
                    added(&patch)
                        .into_iter()
                        .map(str::to_owned)
                        .collect::<Vec<_>>()
                })
                .collect(),
        })
    }

    pub fn comments(&self, number: u64) -> Result<Vec<String>, String> {
        let all = self.list(&format!("/issues/{number}/comments?per_page=100"))?;
        let text = |c: &Value| c["body"].as_str().unwrap_or_default().to_owned();
        Ok(all.iter().map(text).collect())
    }

    /// Comments that follow a rollout.
    pub fn rollout(&self, number: u64) -> Result<Vec<String>, String> {
        let all = self.comments(number)?;
        Ok(all
            .into_iter()
            .filter(|c| c.contains("Merged as"))
            .collect())
    }

    pub fn merge(&self, number: u64, how: &str) -> Result<(), String> {
        let pull = self.ask("GET", &format!("/pulls/{number}"), None)?;
        if pull["draft"] == true {
            let id = pull["node_id"].as_str().unwrap_or_default();
            let query = "mutation($id: ID!) { markPullRequestReadyForReview(input: {pullRequestId: $id}) { pullRequest { id } } }";
            let body = json!({"query": query, "variables": {"id": id}});
            let asked = self.hub.must(ALICE, "POST", "/graphql", Some(body));
            self.plane.runtime().block_on(asked)?;
        }
        let order = json!({"merge_method": how});
        self.ask("PUT", &format!("/pulls/{number}/merge"), Some(order))?;
        self.git(&["pull", "-q", "origin", "main"])?;
        Ok(())
    }

    /// Asks until it is so.
    pub fn until<T>(
        &self,
        what: &str,
        program: &mut Program,
        look: impl Fn() -> Result<Option<T>, String>,
    ) -> Result<T, String> {
        let start = Instant::now();
        loop {
            if let Some(found) = look()? {
                return Ok(found);
            }
            if start.elapsed() > PATIENCE {
                let log = program.rest();
                return Err(format!("{what}: not within {PATIENCE:?}\n{log}"));
            }
            std::thread::sleep(POLL);
        }
    }

    /// How often kubemend, or everybody else, asked for something new, by operation. What is as it
    /// was (304) does not count against the limit of GitHub.
    pub fn asked(&self, by_kubemend: bool) -> BTreeMap<String, usize> {
        let memory = self.hub.shared.memory();
        let of = memory
            .journal
            .iter()
            .filter(|e| (e.actor == 1) == by_kubemend);
        let mut asked = BTreeMap::new();
        for entry in of.filter(|e| e.status != Some(304)) {
            let operation = format!("{} {}", entry.method, entry.route);
            *asked.entry(operation).or_default() += 1;
        }
        asked
    }

    pub fn is_clean(&self) -> Result<(), String> {
        match self.hub.problems() {
            problems if problems.is_empty() => Ok(()),
            problems => Err(format!("{problems:#?}")),
        }
    }
}

impl Drop for Stage<'_> {
    fn drop(&mut self) {
        for namespace in self.namespaces.iter().chain([&self.home]) {
            let delete = ["delete", "namespace", namespace, "--wait=false"];
            let _ = self.plane.kubectl.run(&delete);
            if self.engine == Engine::Argo {
                let app = [
                    "delete",
                    "-n",
                    "argocd",
                    "applications.argoproj.io",
                    namespace,
                ];
                let _ = self
                    .plane
                    .kubectl
                    .run(&[&app[..], &["--wait=false"]].concat());
            }
        }
    }
}

/// A pull request, as a person sees it.
#[derive(Debug, Clone)]
pub struct Pull {
    pub number: u64,
    pub branch: String,
    pub body: String,
    pub files: Vec<String>,
    pub adds: Vec<String>,
}
