//! The whole loop, with nothing in it made up but kubelets and GitHub itself: a fault in Git, applied
//! by Flux or Argo CD; found by `kubemend serve --watch` with its own rights; a pull request; the merge; the
//! engine again; and the verdict. And the same with a fix that makes it worse, up to the merged revert.

use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::assets::Assets;
use crate::faults::{End, FAULTS, Fault, added};
use crate::plane::{Plane, write};
use crate::shim::{ALICE, Hub, MACHINE};
use crate::shop::{self, is_rolled_out};
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

type Run = fn(&Plane, Engine) -> Result<(), String>;

pub const TRIALS: &[(&str, Engine, Run)] = &[
    ("the_loop_closes_with_flux", Engine::Flux, the_loop_closes),
    ("the_loop_closes_with_argo", Engine::Argo, the_loop_closes),
    (
        "a_regression_is_taken_back",
        Engine::Flux,
        a_regression_is_taken_back,
    ),
    (
        "a_regression_is_taken_back_with_argo",
        Engine::Argo,
        a_regression_is_taken_back,
    ),
];

/// What GitHub needs.
pub fn assets() -> Result<Assets, String> {
    Assets::find()
}

/// So long a rollout may take where it ends well, on the slowest machine.
const HEALS: &str = "5m";
/// And where it has to fail: the test waits for it.
const FAILS: &str = "45s";

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

/// A repository on GitHub with an app for each namespace, an engine that applies it, and kubemend.
struct Stage<'p> {
    plane: &'p Plane,
    engine: Engine,
    hub: Hub,
    clone: PathBuf,
    namespaces: Vec<String>,
}

impl<'p> Stage<'p> {
    /// Everything runs well.
    fn open(
        plane: &'p Plane,
        engine: Engine,
        namespaces: &[String],
        heal: &str,
    ) -> Result<Self, String> {
        let hub = plane.runtime().block_on(Hub::start(&assets()?))?;
        let stage = Self {
            plane,
            engine,
            clone: hub.folder("clone"),
            hub,
            namespaces: namespaces.to_vec(),
        };
        std::fs::create_dir_all(&stage.clone).map_err(|e| e.to_string())?;
        stage.git(&["clone", "-q", &stage.url(), "."])?;
        std::fs::create_dir_all(stage.clone.join(".github")).map_err(|e| e.to_string())?;
        let config = CONFIG.replace("HEAL", heal);
        write(&stage.clone.join(".github/kubemend.yaml"), &config)?;
        for namespace in namespaces {
            let app = stage.clone.join("apps").join(namespace);
            std::fs::create_dir_all(&app).map_err(|e| e.to_string())?;
            write(&app.join("web.yaml"), &manifest(namespace))?;
        }
        stage.push("run the shops")?;
        for namespace in namespaces {
            plane.kubectl.run(&["create", "namespace", namespace])?;
            match engine {
                Engine::Flux => plane
                    .kubectl
                    .apply(Some(namespace), &stage.flux(namespace))?,
                Engine::Argo => plane.kubectl.apply(None, &stage.argo(namespace))?,
            }
        }
        for namespace in namespaces {
            let kubectl = &plane.kubectl;
            kubectl.wait(namespace, "deployments", "the shop runs", is_rolled_out)?;
        }
        Ok(stage)
    }

    fn url(&self) -> String {
        format!("{}/acme/gitops.git", self.hub.shared.url)
    }

    /// Flux's objects for one app.
    fn flux(&self, namespace: &str) -> String {
        format!(
            "apiVersion: v1\nkind: Secret\nmetadata: {{name: git}}\nstringData: {{username: git, password: {ALICE}}}\n---\n\
             apiVersion: source.toolkit.fluxcd.io/v1\nkind: GitRepository\nmetadata:\n  name: shop\n\
             spec:\n  interval: 5s\n  url: {}\n  ref: {{branch: main}}\n  secretRef: {{name: git}}\n---\n\
             apiVersion: kustomize.toolkit.fluxcd.io/v1\nkind: Kustomization\nmetadata:\n  name: shop\n\
             spec:\n  interval: 10s\n  retryInterval: 5s\n  timeout: 30s\n  path: ./apps/{namespace}\n  prune: true\n\
             \x20 sourceRef: {{kind: GitRepository, name: shop}}\n",
            self.url()
        )
    }

    /// The Application of one app, and how Argo CD gets in.
    fn argo(&self, namespace: &str) -> String {
        let (url, server) = (self.url(), &self.plane.server);
        format!(
            "apiVersion: v1\nkind: Secret\nmetadata:\n  name: git-{namespace}\n  namespace: argocd\n\
             \x20 labels: {{argocd.argoproj.io/secret-type: repository}}\n\
             stringData: {{type: git, url: '{url}', username: git, password: {ALICE}}}\n---\n\
             apiVersion: argoproj.io/v1alpha1\nkind: Application\nmetadata: {{name: {namespace}, namespace: argocd}}\n\
             spec:\n  project: default\n  destination: {{server: '{server}', namespace: {namespace}}}\n\
             \x20 source: {{repoURL: '{url}', path: apps/{namespace}, targetRevision: main}}\n\
             \x20 syncPolicy: {{automated: {{}}}}\n"
        )
    }

    /// What a webhook does: the engine looks at once. Flux looks every few seconds anyway.
    fn wake(&self) -> Result<(), String> {
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

    /// Git as Alice.
    fn git(&self, args: &[&str]) -> Result<String, String> {
        let output = Command::new("git")
            .current_dir(&self.clone)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", &self.clone)
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_TERMINAL_PROMPT", "0")
            .args([
                "-c",
                "user.name=Alice",
                "-c",
                "user.email=alice@example.com",
            ])
            .arg("-c")
            .arg(format!("http.extraHeader=Authorization: Bearer {ALICE}"))
            .args(args)
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

    fn push(&self, message: &str) -> Result<(), String> {
        self.git(&["add", "-A"])?;
        self.git(&["commit", "-q", "-m", message])?;
        self.git(&["push", "-q", "origin", "HEAD:main"])?;
        Ok(())
    }

    /// Changes what one shop says in Git, not pushed yet.
    fn plant(&self, namespace: &str, from: &str, to: &str) -> Result<(), String> {
        let file = self.clone.join("apps").join(namespace).join("web.yaml");
        let text = std::fs::read_to_string(&file).map_err(|e| e.to_string())?;
        let broken = text.replace(from, to);
        if broken == text {
            return Err(format!("{namespace}: nothing was planted"));
        }
        write(&file, &broken)
    }

    /// kubemend, with the rights of the shipped roles.
    fn kubemend(&self) -> Result<Program, String> {
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
            .arg(self.plane.reader()?)
            .arg("--namespaces")
            .arg(self.namespaces.join(",") + ",argocd")
            .arg("--cache")
            .arg(self.hub.folder("cache"));
        Ok(Program::start(&mut command))
    }

    /// SIGKILL while it works, and another one.
    fn killed(&self, program: Program) -> Result<Program, String> {
        program.kill();
        self.kubemend()
    }

    // ---- GitHub, as Alice sees it

    fn ask(&self, method: &str, rest: &str, body: Option<Value>) -> Result<Value, String> {
        let path = format!("/repos/acme/gitops{rest}");
        let asked = self.hub.must(ALICE, method, &path, body);
        self.plane.runtime().block_on(asked)
    }

    fn list(&self, rest: &str) -> Result<Vec<Value>, String> {
        let all = self.ask("GET", rest, None)?;
        Ok(all.as_array().cloned().unwrap_or_default())
    }

    /// Open pull requests.
    fn open_pulls(&self) -> Result<Vec<Pull>, String> {
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

    fn comments(&self, number: u64) -> Result<Vec<String>, String> {
        let all = self.list(&format!("/issues/{number}/comments?per_page=100"))?;
        let text = |c: &Value| c["body"].as_str().unwrap_or_default().to_owned();
        Ok(all.iter().map(text).collect())
    }

    /// Comments that follow a rollout.
    fn rollout(&self, number: u64) -> Result<Vec<String>, String> {
        let all = self.comments(number)?;
        Ok(all
            .into_iter()
            .filter(|c| c.contains("| Merged as |"))
            .collect())
    }

    fn merge(&self, number: u64, how: &str) -> Result<(), String> {
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
    fn until<T>(
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

    fn is_clean(&self) -> Result<(), String> {
        match self.hub.problems() {
            problems if problems.is_empty() => Ok(()),
            problems => Err(format!("{problems:#?}")),
        }
    }
}

impl Drop for Stage<'_> {
    fn drop(&mut self) {
        for namespace in &self.namespaces {
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
struct Pull {
    number: u64,
    branch: String,
    body: String,
    files: Vec<String>,
    adds: Vec<String>,
}

/// The shop of one namespace; the objects name it, as one repository holds several.
fn manifest(namespace: &str) -> String {
    let named = format!("metadata:\n  namespace: {namespace}\n  name:");
    shop::MANIFEST.replace("metadata:\n  name:", &named)
}

fn the_loop_closes(plane: &Plane, engine: Engine) -> Result<(), String> {
    let kind = format!("{engine:?}").to_lowercase();
    let namespace_of = |fault: &Fault| format!("{kind}-{}", fault.name.replace('_', "-"));
    let namespaces: Vec<String> = FAULTS.iter().map(namespace_of).collect();
    let stage = Stage::open(plane, engine, &namespaces, HEALS)?;
    for fault in FAULTS {
        let namespace = namespace_of(fault);
        if !fault.also.is_empty() {
            plane.kubectl.apply(Some(&namespace), fault.also)?;
        }
        stage.plant(&namespace, fault.from, fault.to)?;
    }
    stage.push("change the shops")?;
    stage.wake()?;
    let mut program = stage.kubemend()?;

    // every fault that has one fix gets its pull request, the others a question or nothing
    let wanted: Vec<(String, &str)> = FAULTS
        .iter()
        .filter_map(|f| match f.end {
            End::Fix(line) => Some((namespace_of(f), line)),
            _ => None,
        })
        .collect();
    stage.until("three pull requests", &mut program, || {
        let open = stage.list("/pulls?state=open&per_page=100")?;
        Ok((open.len() >= 3).then_some(()))
    })?;
    program = stage.killed(program)?;
    stage.until("pull requests", &mut program, || {
        let open = stage.list("/pulls?state=open&per_page=100")?;
        Ok((open.len() >= wanted.len()).then_some(()))
    })?;
    let question = stage.until("the question", &mut program, || {
        let all = stage.list("/issues?state=open&labels=kubemend/question")?;
        let is_quota = |q: &&Value| q["title"].to_string().contains("-a-quota-that");
        let quota = all.iter().find(is_quota);
        Ok(quota.and_then(|q| q["number"].as_u64()))
    })?;
    let choose = json!({"body": "/kubemend choose 1"});
    stage.ask(
        "POST",
        &format!("/issues/{question}/comments"),
        Some(choose),
    )?;
    let answered = stage.until("the answer", &mut program, || {
        let open = stage.list("/pulls?state=open&per_page=100")?;
        Ok((open.len() > wanted.len()).then_some(()))
    });
    let told = || stage.comments(question).unwrap_or_default().join("\n");
    answered.map_err(|e| format!("{}\n{e}", told()))?;
    let pulls = stage.open_pulls()?;
    for (namespace, line) in &wanted {
        let of = |p: &&Pull| p.files == [format!("apps/{namespace}/web.yaml")];
        match pulls.iter().filter(of).collect::<Vec<_>>()[..] {
            [pull] if pull.adds == [*line] => {}
            ref other => return Err(format!("{namespace}: {line}: {other:#?}")),
        }
    }

    let ways = ["squash", "merge", "rebase"].iter().cycle();
    for (pull, how) in pulls.iter().zip(ways) {
        stage.merge(pull.number, how)?;
    }
    stage.wake()?;
    for (n, pull) in pulls.iter().enumerate() {
        if n == 1 {
            program = stage.killed(program)?;
        }
        let what = format!("the verdict on #{} ({})", pull.number, pull.branch);
        stage.until(&what, &mut program, || {
            let told = stage.rollout(pull.number)?;
            match told.as_slice() {
                [] => Ok(None),
                [one] if one.contains("**Verified.**") => Ok(Some(())),
                [one] if one.contains("**Regression") || one.contains("**Inconclusive") => {
                    Err(format!("{what}: {one}\n{}", pull.body))
                }
                [_] => Ok(None),
                several => Err(format!("{what}: {several:#?}")),
            }
        })?;
    }
    for (namespace, _) in &wanted {
        let deployment = plane.kubectl.get(namespace, "deployments/web")?;
        if !is_rolled_out(&deployment) {
            return Err(format!("{namespace} was called well: {deployment:#}"));
        }
    }
    let left = stage.open_pulls()?;
    if !left.is_empty() {
        return Err(format!("opened after the merge: {left:#?}"));
    }
    stage.is_clean()
}

/// A Service gets its selector back, and at that moment the pods behind it begin to crash: the
/// facts speak against the change. What they say of the revert is looked at, too.
fn a_regression_is_taken_back(plane: &Plane, engine: Engine) -> Result<(), String> {
    let namespace = format!("{engine:?}-regression").to_lowercase();
    let stage = Stage::open(plane, engine, std::slice::from_ref(&namespace), FAILS)?;
    let bad = "  selector:\n    app: wbe\n  ports";
    stage.plant(&namespace, "  selector:\n    app: web\n  ports", bad)?;
    stage.push("change the shop")?;
    stage.wake()?;
    let mut program = stage.kubemend()?;
    let fix = stage.until("the fix", &mut program, || Ok(stage.open_pulls()?.pop()))?;
    stage.merge(fix.number, "merge")?;
    stage.wake()?;
    break_pods(plane, &namespace)?;

    let revert = stage.until("the revert", &mut program, || {
        Ok(stage
            .open_pulls()?
            .into_iter()
            .find(|p| p.branch.contains("revert/")))
    })?;
    let lines = ["app: wbe".to_owned()];
    if revert.adds != lines || !revert.body.contains("the cluster got worse") {
        return Err(format!("{revert:#?}"));
    }
    stage.until("the verdict", &mut program, || {
        let told = stage.rollout(fix.number)?.join("\n");
        let link = format!("#{} takes it back", revert.number);
        Ok((told.contains("**Regression.**") && told.contains(&link)).then_some(()))
    })?;
    stage.merge(revert.number, "rebase")?;
    stage.wake()?;
    let pod = ["delete", "pods", "--all", "-n", &namespace, "--wait=false"];
    plane.kubectl.run(&pod)?;
    stage.until("the verdict on the revert", &mut program, || {
        let told = stage.rollout(revert.number)?.join("\n");
        if told.contains("**Regression") || told.contains("**Inconclusive") {
            return Err(told);
        }
        Ok(told.contains("**Verified.**").then_some(()))
    })?;
    // what was taken back is not proposed again
    program.until("pass");
    program.until("pass");
    let open = stage.open_pulls()?;
    match open.is_empty() {
        true => stage.is_clean(),
        false => Err(format!("proposed again: {open:#?}")),
    }
}

/// What a kubelet would say of a program that begins to crash.
fn break_pods(plane: &Plane, namespace: &str) -> Result<(), String> {
    let all = plane.kubectl.get(namespace, "pods")?;
    let status = json!({"status": {
        "conditions": [
            {"type": "Ready", "status": "False", "reason": "ContainersNotReady", "lastTransitionTime": jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string()},
        ],
        "containerStatuses": [{
            "name": "web", "image": "registry.example.com/shop/web:1.4.2", "imageID": "", "ready": false, "started": false,
            "restartCount": 4, "state": {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 40s restarting failed container"}},
        }],
    }});
    for pod in all["items"].as_array().into_iter().flatten() {
        let name = pod["metadata"]["name"].as_str().unwrap_or_default();
        let patch = status.to_string();
        let args = [
            "patch",
            "pod",
            name,
            "-n",
            namespace,
            "--subresource=status",
            "-p",
            &patch,
        ];
        plane.kubectl.run(&args)?;
    }
    Ok(())
}
