//! `kubemend action` as a runner starts it: the built program, an event on disk, a checkout, and the
//! tests' own GitHub. Scorecard rows 59 to 61 and 64.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use crate::support::github::{GitHub, Seed, WORKFLOW_TOKEN};

const WEB: &str = "\
apiVersion: apps/v1
kind: Deployment
metadata:
  name: web
  namespace: shop
spec:
  selector:
    matchLabels: {app: web}
  template:
    metadata:
      labels: {app: web}
    spec:
      containers:
        - name: web
          image: registry.example.com/web:1.4.2
          imagePullPolcy: IfNotPresent
";
const GOOD: &str =
    "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: a\n  namespace: shop\ndata:\n  k: v\n";

/// A checkout, and what a runner sets.
struct Runner {
    dir: tempfile::TempDir,
    env: BTreeMap<String, String>,
}

/// What a run leaves behind.
#[derive(Debug)]
struct Ran {
    code: i32,
    log: String,
    outputs: BTreeMap<String, String>,
    summary: String,
}

impl Runner {
    fn new(name: &str, event: &Value) -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("checkout")).unwrap();
        let mut runner = Self {
            dir,
            env: BTreeMap::new(),
        };
        std::fs::write(runner.at("event.json"), event.to_string()).unwrap();
        let path = |name: &str| runner.at(name).to_string_lossy().into_owned();
        let all = [
            ("PATH", std::env::var("PATH").unwrap_or_default()),
            ("GITHUB_EVENT_NAME", name.to_owned()),
            ("GITHUB_EVENT_PATH", path("event.json")),
            ("GITHUB_WORKSPACE", path("checkout")),
            ("GITHUB_OUTPUT", path("output")),
            ("GITHUB_STEP_SUMMARY", path("summary")),
            ("GITHUB_SERVER_URL", "https://github.com".to_owned()),
            ("GITHUB_REPOSITORY", "acme/gitops".to_owned()),
            ("GITHUB_REF", "refs/heads/main".to_owned()),
            // composite actions pass every input, empty ones too
            ("KUBEMEND_CONFIG", String::new()),
            ("KUBEMEND_MODEL", String::new()),
            ("KUBEMEND_APP_ID", String::new()),
            ("KUBEMEND_APP_KEY", String::new()),
            ("KUBEMEND_MARKER_KEY", String::new()),
            ("KUBEMEND_INSTALLATION_ID", String::new()),
            ("KUBEMEND_RENDERER", String::new()),
            ("KUBEMEND_SNAPSHOT", String::new()),
            ("KUBEMEND_DRAFT", String::new()),
            ("OPENAI_BASE_URL", String::new()),
            ("OPENAI_API_KEY", String::new()),
        ];
        runner.env = all.map(|(k, v)| (k.to_owned(), v)).into();
        runner
    }

    fn at(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn checkout(&self) -> PathBuf {
        self.at("checkout")
    }

    fn set(mut self, name: &str, value: &str) -> Self {
        self.env.insert(name.to_owned(), value.to_owned());
        self
    }

    /// With GitHub and its base branch checked out.
    fn on(self, github: &GitHub) -> Self {
        github.export(&self.checkout(), "main");
        git(
            &self.checkout(),
            &[
                "remote",
                "add",
                "origin",
                "https://github.com/acme/gitops.git",
            ],
        );
        self.set("GITHUB_API_URL", &github.url())
            .set("GITHUB_TOKEN", WORKFLOW_TOKEN)
            .set("KUBEMEND_DEFAULT_TOKEN", "true")
    }

    async fn run(&self) -> Ran {
        for name in ["output", "summary"] {
            let _ = std::fs::remove_file(self.at(name));
        }
        let mut command = Command::new(env!("CARGO_BIN_EXE_kubemend"));
        command
            .args(["--color", "never", "action"])
            .env_clear()
            .envs(&self.env)
            .current_dir(self.dir.path());
        // the tests' GitHub runs on this runtime
        let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await;
        let output = output.unwrap();
        let read = |name: &str| std::fs::read_to_string(self.at(name)).unwrap_or_default();
        Ran {
            code: output.status.code().unwrap(),
            log: String::from_utf8(output.stdout).unwrap()
                + &String::from_utf8(output.stderr).unwrap(),
            outputs: outputs(&read("output")),
            summary: read("summary"),
        }
    }
}

fn outputs(text: &str) -> BTreeMap<String, String> {
    let mut out = BTreeMap::new();
    let mut rest = text;
    while let Some((first, after)) = rest.split_once('\n') {
        let (name, end) = first.split_once("<<").unwrap();
        let (value, behind) = after.split_once(&format!("\n{end}\n")).unwrap();
        out.insert(name.to_owned(), value.to_owned());
        rest = behind;
    }
    out
}

fn git(folder: &Path, args: &[&str]) -> String {
    let output = Command::new("git")
        .args([
            "-c",
            "user.name=t",
            "-c",
            "user.email=t@example.com",
            "-c",
            "commit.gpgsign=false",
        ])
        .args(args)
        .current_dir(folder)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .output()
        .unwrap();
    assert!(output.status.success(), "{args:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// The checkout of `actions/checkout` on a pull request: a merge of the head into the base.
fn merge(folder: &Path, base: &[(&str, &str)], head: &[(&str, &str)]) -> (String, String) {
    let write = |files: &[(&str, &str)]| {
        for (name, text) in files {
            let path = folder.join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        git(folder, &["add", "-A"]);
        git(folder, &["commit", "-q", "--allow-empty", "-m", "x"]);
        git(folder, &["rev-parse", "HEAD"])
    };
    git(folder, &["init", "-q", "-b", "main"]);
    let base = write(base);
    git(folder, &["checkout", "-q", "-b", "feat"]);
    let head = write(head);
    git(folder, &["checkout", "-q", "--detach", "main"]);
    git(folder, &["merge", "-q", "--no-ff", "-m", "merge", "feat"]);
    (base, head)
}

fn pull_event(base: &str, head: &str, head_repo: u64) -> Value {
    json!({
        "action": "opened",
        "sender": {"type": "User"},
        "repository": {"default_branch": "main"},
        "pull_request": {
            "number": 1, "body": "x",
            "head": {"ref": "feat", "sha": head, "repo": {"id": head_repo}},
            "base": {"ref": "main", "sha": base, "repo": {"id": 1}},
        },
    })
}

fn push_event() -> Value {
    json!({"ref": "refs/heads/main", "repository": {"default_branch": "main"}})
}

fn seed() -> Seed {
    Seed::new("acme/gitops")
        .file("apps/web.yaml", WEB)
        .file("apps/good.yaml", GOOD)
        .file(
            ".github/kubemend.yaml",
            "version: 1\npull_requests: {min_failure_age: 0s}\n",
        )
}

/// A push opens one pull request with the proven fix; the same push again writes nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_push_opens_one_pull_request() {
    let github = GitHub::start(seed()).await;
    let runner = Runner::new("push", &push_event()).on(&github);
    let first = runner.run().await;
    assert_eq!(first.code, 0, "{first:?}");
    let pulls = github.open_pulls();
    assert_eq!(pulls.len(), 1, "{first:?}");
    assert_eq!(first.outputs["result"], "success");
    assert_eq!(first.outputs["pull-request-operation"], "created");
    assert_eq!(
        first.outputs["pull-request-number"],
        pulls[0].number.to_string()
    );
    let all: Value = serde_json::from_str(&first.outputs["pull-requests"]).unwrap();
    let branch = all[0]["branch"].as_str().unwrap();
    assert!(
        github
            .file(branch, "apps/web.yaml")
            .unwrap()
            .contains("imagePullPolicy: IfNotPresent")
    );
    github.forget();
    let again = runner.run().await;
    assert_eq!(
        (again.code, again.outputs["pull-request-operation"].as_str()),
        (0, "none"),
        "{again:?}"
    );
    github.assert_no_writes();
}

/// With a prefix of one's own the branches are named by it, found again, and counted.
#[tokio::test(flavor = "multi_thread")]
async fn another_prefix_names_finds_and_counts_the_branches() {
    let settings = "pull_requests: {min_failure_age: 0s, branch_prefix: fixes/, max_open_prs: 1}\n";
    let other = WEB.replace("web", "api").replace("shop", "pay");
    let seed = seed()
        .file("apps/api.yaml", other)
        .file(".github/kubemend.yaml", settings);
    let github = GitHub::start(seed).await;
    let runner = Runner::new("push", &push_event()).on(&github);
    for _ in 0..2 {
        let ran = runner.run().await;
        assert_eq!(ran.code, 0, "{ran:?}");
        let branches = github.branches();
        let of_fixes = branches.iter().filter(|b| b.starts_with("fixes/")).count();
        assert_eq!((branches.len(), of_fixes), (2, 1), "{branches:?}");
        assert_eq!(github.open_pulls().len(), 1, "{ran:?}");
    }
    github.forget();
    let again = runner.run().await;
    assert_eq!(again.code, 0, "{again:?}");
    github.assert_no_writes();
}

/// What is on the forge is found again from any copy of it, whatever the copy calls it.
#[tokio::test(flavor = "multi_thread")]
async fn any_copy_of_the_repository_finds_the_same_pull_request() {
    let github = GitHub::start(seed()).await;
    let usual = Runner::new("push", &push_event()).on(&github);
    for _ in 0..2 {
        assert_eq!(usual.run().await.code, 0);
    }
    assert_eq!(github.open_pulls().len(), 1);
    let copies: [&[&str]; 4] = [
        &["remote", "set-url", "origin", "git@ssh.example.com:a/b.git"],
        &["remote", "remove", "origin"],
        &["checkout", "-q", "--detach"],
        &["checkout", "-q", "-b", "work"],
    ];
    for change in copies {
        let runner = Runner::new("push", &push_event()).on(&github);
        git(&runner.checkout(), change);
        github.forget();
        let ran = runner.run().await;
        assert_eq!(
            (ran.code, ran.outputs["pull-request-operation"].as_str()),
            (0, "none"),
            "{change:?}: {ran:?}"
        );
        github.assert_no_writes();
    }
}

/// Scorecard row 35: subjects and titles as the settings say, the sign-off last.
#[tokio::test(flavor = "multi_thread")]
async fn commits_are_written_as_the_settings_say() {
    for (rule, prefix) in [("always", "fix(k8s): "), ("never", "")] {
        let settings = format!("pull_requests: {{conventional_commits: {rule}, signoff: true}}\n");
        let github = GitHub::start(seed().file(".github/kubemend.yaml", settings)).await;
        let ran = Runner::new("push", &push_event()).on(&github).run().await;
        assert_eq!(ran.code, 0, "{ran:?}");
        let pull = &github.open_pulls()[0];
        let title = github.item(pull.number).title;
        assert!(title.starts_with(prefix), "{title}");
        assert_eq!(title.contains("fix(k8s)"), rule == "always", "{title}");
        let commits = github.client().commits_of(pull.number).await.unwrap();
        let message = &commits[0].message;
        let lines: Vec<&str> = message.trim_end().lines().collect();
        assert!(lines[0].starts_with(prefix) && lines[0].chars().count() <= 72);
        assert_eq!(lines[0].contains("fix(k8s)"), rule == "always", "{message}");
        assert_eq!(lines[1], "", "{message}");
        let me = "github-actions[bot] <41898282+github-actions[bot]@users.noreply.github.com>";
        assert_eq!(lines.last(), Some(&format!("Signed-off-by: {me}").as_str()));
        let block = lines.iter().rev().take_while(|l| !l.is_empty());
        let is_trailer = |l: &&str| {
            let named = l.split_once(": ").is_some_and(|(n, _)| !n.contains(' '));
            named || l.starts_with(' ')
        };
        assert!(block.clone().all(is_trailer), "{message}");
        assert!(block.count() >= 4, "{message}");
    }
}

/// A run that starts late: a fix of the old state would be proven on what nobody runs any more.
#[tokio::test(flavor = "multi_thread")]
async fn a_checkout_that_is_not_the_head_any_more_writes_nothing() {
    let github = GitHub::start(seed()).await;
    let runner = Runner::new("push", &push_event()).on(&github);
    let head = github
        .human("alice")
        .push("main", &[("apps/good.yaml", WEB)]);
    let ran = runner.run().await;
    assert_eq!((ran.code, ran.outputs["result"].as_str()), (0, "skipped"));
    let told = format!("main of acme/gitops is at {}", &head[..12]);
    assert!(ran.log.contains(&told) && ran.summary.contains("kubemend: nothing to do"));
    github.assert_no_writes();
}

/// On such an event the checkout merges the pull request into its base: there nothing is wrong any
/// more, but on the base all still is.
#[tokio::test(flavor = "multi_thread")]
async fn a_review_of_our_pull_request_is_answered_from_the_base() {
    let github = GitHub::start(seed()).await;
    let runner = Runner::new("push", &push_event()).on(&github);
    assert_eq!(runner.run().await.code, 0);
    let before = github.open_pulls();
    let number = before[0].number;
    let branch = github.branches().into_iter().find(|b| b != "main").unwrap();
    github.human("alice").comment(number, "/kubemend status");
    let event = json!({
        "action": "created",
        "comment": {"body": "/kubemend status"},
        "sender": {"type": "User"},
        "repository": {"default_branch": "main"},
        "pull_request": {
            "number": number,
            "head": {"ref": branch, "sha": github.branch(&branch), "repo": {"id": 1}},
            "base": {"ref": "main", "sha": github.branch("main"), "repo": {"id": 1}},
        },
    });
    let runner = Runner::new("pull_request_review_comment", &event).on(&github);
    github.export(&runner.checkout(), &branch);
    git(&runner.checkout(), &["checkout", "-q", "--detach", "main"]);
    git(
        &runner.checkout(),
        &["merge", "-q", "--no-ff", "-m", "merge", &branch],
    );
    let ran = runner.run().await;
    assert_eq!((ran.code, ran.outputs["result"].as_str()), (0, "success"));
    assert_eq!(ran.outputs["pull-request-operation"], "none", "{ran:?}");
    assert_eq!(ran.outputs["head-sha"], github.branch("main").unwrap());
    let after = github.open_pulls();
    assert_eq!(
        (after.len(), &after[0].title, &after[0].body),
        (1, &before[0].title, &before[0].body)
    );
    let answers = github.comments(number);
    assert_eq!(answers.len(), 2, "{answers:?}");
}

/// Scorecard row 61.
#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_writes_nothing() {
    let github = GitHub::start(seed()).await;
    let runner = Runner::new("push", &push_event())
        .on(&github)
        .set("KUBEMEND_DRY_RUN", "true");
    let ran = runner.run().await;
    assert_eq!(
        (ran.code, ran.outputs["findings-count"].as_str()),
        (0, "1"),
        "{ran:?}"
    );
    github.assert_no_writes();
}

/// Scorecard row 60: nothing is written but the dashboard.
#[tokio::test(flavor = "multi_thread")]
async fn a_broken_configuration_ends_the_pass() {
    let broken = seed().file(
        ".github/kubemend.yaml",
        "version: 1\npull_requests:\n  max_open_pr: 3\n",
    );
    let github = GitHub::start(broken).await;
    let ran = Runner::new("push", &push_event()).on(&github).run().await;
    assert_eq!(
        (ran.code, ran.outputs["result"].as_str()),
        (2, "unusable"),
        "{ran:?}"
    );
    assert!(ran.log.contains("::error file=.github/kubemend.yaml,line=3,endLine=3,title=kubemend configuration::there is no key `max_open_pr`; did you mean `max_open_prs`?"), "{}", ran.log);
    insta::assert_snapshot!(ran.summary);
    assert!(github.pulls().is_empty());
    let issues = github.issues();
    assert_eq!(issues.len(), 1, "{issues:?}");
    assert!(issues[0].body.contains("max_open_pr"), "{}", issues[0].body);
    assert_eq!(github.branches(), ["main"]);
}

/// Only files of the pull request are told of, and nothing is asked of GitHub.
#[tokio::test(flavor = "multi_thread")]
async fn a_pull_request_is_validated_without_a_request() {
    let runner = Runner::new("pull_request", &Value::Null);
    let (base, head) = merge(
        &runner.checkout(),
        &[
            ("apps/good.yaml", GOOD),
            ("apps/old.yaml", &WEB.replace("name: web", "name: old")),
        ],
        &[("apps/web.yaml", WEB)],
    );
    std::fs::write(
        runner.at("event.json"),
        pull_event(&base, &head, 9).to_string(),
    )
    .unwrap();
    let runner = runner
        .set("KUBEMEND_MODE", "validate")
        .set("KUBEMEND_FAIL_ON", "error")
        .set("KUBEMEND_SARIF", "out.sarif")
        .set("GITHUB_API_URL", "http://127.0.0.1:1");
    let ran = runner.run().await;
    assert_eq!(
        (ran.code, ran.outputs["result"].as_str()),
        (1, "findings"),
        "{ran:?}"
    );
    assert!(
        ran.log.contains("file=apps/web.yaml,line=16"),
        "{}",
        ran.log
    );
    assert!(!ran.log.contains("old.yaml"), "{}", ran.log);
    assert_eq!(ran.outputs["findings-count"], "1");
    insta::assert_snapshot!(ran.summary);
    let sarif = std::fs::read_to_string(runner.at("out.sarif")).unwrap();
    let sarif: Value = serde_json::from_str(&sarif).unwrap();
    assert_eq!(sarif["runs"][0]["results"].as_array().unwrap().len(), 1);
}

/// The version of the cluster decides whether an API version is deprecated or gone.
#[tokio::test(flavor = "multi_thread")]
async fn manifests_are_for_a_version_of_kubernetes() {
    for (version, rule) in [("1.24", "KM111"), ("v1.25.3", "KM110"), ("", "KM110")] {
        let runner = Runner::new("pull_request", &Value::Null);
        let budget = "apiVersion: policy/v1beta1\nkind: PodDisruptionBudget\nmetadata:\n  name: web\n  namespace: shop\nspec:\n  maxUnavailable: 1\n  selector:\n    matchLabels: {app: web}\n";
        let (base, head) = merge(
            &runner.checkout(),
            &[("apps/good.yaml", GOOD)],
            &[("apps/budget.yaml", budget)],
        );
        let event = pull_event(&base, &head, 9).to_string();
        std::fs::write(runner.at("event.json"), event).unwrap();
        let runner = runner
            .set("KUBEMEND_MODE", "validate")
            .set("KUBEMEND_TARGET_VERSION", version)
            .set("KUBEMEND_SARIF", "out.sarif")
            .set("GITHUB_API_URL", "http://127.0.0.1:1");
        let ran = runner.run().await;
        assert_eq!(ran.code, 0, "{ran:?}");
        let sarif = std::fs::read_to_string(runner.at("out.sarif")).unwrap();
        let sarif: Value = serde_json::from_str(&sarif).unwrap();
        let results = sarif["runs"][0]["results"].as_array().unwrap();
        let rules: Vec<&str> = results
            .iter()
            .filter_map(|r| r["ruleId"].as_str())
            .collect();
        assert!(rules.contains(&rule), "{version}: {rules:?}");
    }
    let runner = Runner::new("pull_request", &Value::Null).set("KUBEMEND_TARGET_VERSION", "new");
    let ran = runner.run().await;
    assert_eq!(ran.code, 2, "{ran:?}");
    assert!(ran.log.contains("target-version"), "{}", ran.log);
}

/// What a pull request writes into the configuration, or brings as the operator's, does not count.
#[tokio::test(flavor = "multi_thread")]
async fn a_pull_request_cannot_bring_its_own_settings() {
    let runner = Runner::new("pull_request", &Value::Null);
    let silence = "pull_requests: {ignore: [{namespace: shop}]}\n";
    let evil = "renderer: ./evil\n";
    let (base, head) = merge(
        &runner.checkout(),
        &[("apps/good.yaml", GOOD)],
        &[
            ("apps/web.yaml", WEB),
            (".github/kubemend.yaml", silence),
            ("op.yaml", evil),
        ],
    );
    std::fs::write(
        runner.at("event.json"),
        pull_event(&base, &head, 9).to_string(),
    )
    .unwrap();
    let runner = runner
        .set("KUBEMEND_CONFIG", "op.yaml")
        .set("KUBEMEND_MODE", "validate");
    let ran = runner.run().await;
    assert_eq!(
        (ran.code, ran.outputs["findings-count"].as_str()),
        (0, "1"),
        "{ran:?}"
    );
    assert!(
        ran.log.contains("is not read as the operator's"),
        "{}",
        ran.log
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pull_request_that_breaks_the_configuration_is_told() {
    let runner = Runner::new("pull_request", &Value::Null);
    let (base, head) = merge(
        &runner.checkout(),
        &[("apps/good.yaml", GOOD)],
        &[(".github/kubemend.yaml", "rules: 3\n")],
    );
    std::fs::write(
        runner.at("event.json"),
        pull_event(&base, &head, 1).to_string(),
    )
    .unwrap();
    let ran = runner.run().await;
    assert_eq!(ran.code, 2, "{ran:?}");
    assert!(
        ran.log
            .contains("::error file=.github/kubemend.yaml,line=1"),
        "{}",
        ran.log
    );
}

/// Mode review: one review with a suggestion on a line of the diff; the second run adds nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_review_suggests_on_the_lines_of_the_diff() {
    let github = GitHub::start(Seed::new("acme/gitops").file("apps/good.yaml", GOOD)).await;
    let alice = github.human("alice");
    let head = alice.push("feat", &[("apps/web.yaml", WEB)]);
    let number = alice.open_pull("feat", "main", "Add web", "please look");
    let base = github.branch("main").unwrap();
    let mut event = pull_event(&base, &head, 1);
    event["pull_request"]["number"] = json!(number);
    let runner = Runner::new("pull_request", &event);
    github.export(&runner.checkout(), "feat");
    let runner = runner
        .set("KUBEMEND_MODE", "review")
        .set("GITHUB_API_URL", &github.url())
        .set("GITHUB_TOKEN", WORKFLOW_TOKEN);
    let ran = runner.run().await;
    assert_eq!(ran.code, 0, "{ran:?}");
    let writes = github.writes();
    assert_eq!(writes.len(), 1, "{writes:?}");
    assert_eq!(
        github.count("POST", "/repos/{owner}/{repo}/pulls/{pull_number}/reviews"),
        1
    );
    github.forget();
    let again = runner.run().await;
    assert_eq!(again.code, 0, "{again:?}");
    github.assert_no_writes();
}

/// A Flux event of the `githubdispatch` provider starts a fix, with no cluster to look at.
#[tokio::test(flavor = "multi_thread")]
async fn an_event_of_flux_starts_a_fix() {
    let github = GitHub::start(seed()).await;
    let message = "Deployment/shop/web dry-run failed: failed to create typed patch object (shop/web; apps/v1, Kind=Deployment): .spec.template.spec.containers[name=\"web\"].imagePullPolcy: field not declared in schema";
    let event = json!({
        "action": "Kustomization/apps.flux-system",
        "repository": {"default_branch": "main"},
        "client_payload": {
            "involvedObject": {"kind": "Kustomization", "namespace": "flux-system", "name": "apps"},
            "severity": "error", "reason": "ReconciliationFailed", "message": message,
            "metadata": {"revision": format!("main@sha1:{}", "a".repeat(40))},
        },
    });
    let ran = Runner::new("repository_dispatch", &event)
        .on(&github)
        .run()
        .await;
    assert_eq!(ran.code, 0, "{ran:?}");
    let pulls = github.open_pulls();
    assert_eq!(pulls.len(), 1, "{ran:?}");
    assert!(
        ran.summary
            .contains("Started by a report about `aaaaaaaaaaaa`"),
        "{}",
        ran.summary
    );
}

/// Events that ask for nothing end without a request.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_asked_for_nothing() {
    let github = GitHub::start(seed()).await;
    let comment = |body: &str| {
        json!({"action": "created", "sender": {"type": "User"}, "comment": {"body": body},
               "repository": {"default_branch": "main"}})
    };
    for (name, event) in [
        ("issue_comment", comment("thanks!")),
        ("watch", json!({})),
        (
            "repository_dispatch",
            json!({"action": "x", "client_payload": {"app": "a", "health": "Healthy"}}),
        ),
    ] {
        let ran = Runner::new(name, &event).on(&github).run().await;
        assert_eq!(
            (ran.code, ran.outputs["result"].as_str()),
            (0, "skipped"),
            "{ran:?}"
        );
    }
    assert!(github.journal().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn unsafe_events_and_wrong_inputs_are_refused() {
    let (base, head) = ("a".repeat(40), "b".repeat(40));
    let target = Runner::new("pull_request_target", &pull_event(&base, &head, 1))
        .set("GITHUB_TOKEN", WORKFLOW_TOKEN);
    let wrong = Runner::new("push", &push_event()).set("KUBEMEND_MODE", "fix\n::set-env name=x::y");
    let missing = Runner::new("push", &push_event());
    for (runner, words) in [
        (target, "does not run on pull_request_target"),
        (wrong, "mode: "),
        (missing, "needs a token"),
    ] {
        let ran = runner.run().await;
        assert_eq!(
            (ran.code, ran.outputs["result"].as_str()),
            (2, "unusable"),
            "{ran:?}"
        );
        assert!(
            ran.log.contains("::error title=kubemend::") && ran.log.contains(words),
            "{words}: {ran:?}"
        );
        assert!(!ran.log.contains("\n::set-env"), "{ran:?}");
    }
}
