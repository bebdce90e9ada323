//! What `deploy/` holds: the chart with several values, and the kustomize base that is made from it.
//! Helm and kustomize render, kubemend looks at the result as it looks at anybody's manifests. What
//! is missing is skipped by name; a run that must have it says so in `REQUIRE_ASSETS=helm`. And what an
//! operator watches it with: numbers, the dashboard, traces.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Output};
use std::sync::LazyLock;

use clap::Parser as _;
use kubemend::cli::Cli;
use kubemend::eval::judge::{self, Assertion, Rules};
use kubemend::files::Files;
use libtest_mimic::{Arguments, Failed, Trial};
use serde_json::{Value, json};

#[path = "../support/collector.rs"]
mod collector;
mod operator;
mod policy;

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let no_helm = HELM
        .is_none()
        .then_some("helm, run tools/control-plane/build tools");
    let required = std::env::var("REQUIRE_ASSETS").unwrap_or_default();
    if required.split(',').any(|a| a == "helm") && no_helm.is_some() {
        return ExitCode::FAILURE;
    }
    let no_kustomize = KUBECTL
        .is_none()
        .then_some("kubectl, run tools/install-kustomize");
    let mut trials = vec![
        trial("the_chart_is_linted", no_helm, lint),
        trial("the_base_is_what_the_chart_says", no_helm, no_drift),
        trial("wrong_values_are_refused", no_helm, wrong_values),
        trial("one_key_may_fill_several_files", no_helm, shared_key),
        trial("replicas_wait_for_one_lease", no_helm, one_lease),
        trial("rights_can_be_for_some_namespaces", no_helm, namespaced),
        trial("the_base_is_sound", no_kustomize, || {
            sound(&kustomize("deploy/base"));
        }),
        trial("the_overlay_is_sound", no_kustomize, overlay),
        trial(
            "traces_reach_a_collector",
            None,
            operator::traces_reach_a_collector,
        ),
        trial("the_dashboard_shows_what_is_counted", None, dashboard),
        trial("the_documentation_lists_what_is_counted", None, documented),
    ];
    for set in SETS {
        let name = format!("the_chart_with_{set}_is_sound");
        trials.push(trial(&name, no_helm, move || sound(&template(set, &[]))));
    }
    libtest_mimic::run(&arguments, trials).exit_code()
}

fn trial(name: &str, missing: Option<&str>, run: impl Fn() + Send + 'static) -> Trial {
    let shown = match missing {
        Some(reason) => format!("{name} [missing: {reason}]"),
        None => name.to_owned(),
    };
    let run = std::panic::AssertUnwindSafe(run);
    let run = move || std::panic::catch_unwind(run).map_err(|_| Failed::from("see above"));
    Trial::test(shown, run).with_ignored_flag(missing.is_some())
}

/// Files in `values`.
const SETS: [&str; 4] = ["defaults", "token", "manifests", "everything"];

static HELM: LazyLock<Option<PathBuf>> = LazyLock::new(|| {
    let given = std::env::var_os("CONTROL_PLANE").map(PathBuf::from);
    let built = given.unwrap_or_else(|| root().join("target/control-plane"));
    tool(&built.join("helm"), "helm")
});
static KUBECTL: LazyLock<Option<PathBuf>> =
    LazyLock::new(|| tool(&root().join("target/tools/kubectl"), "kubectl"));

fn tool(own: &Path, name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let others = std::env::split_paths(&path).map(|folder| folder.join(name));
    std::iter::once(own.to_owned())
        .chain(others)
        .find(|program| program.is_file())
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn run(program: &Path, args: &[&str]) -> Output {
    let mut command = Command::new(program);
    command.args(args).current_dir(root()).output().unwrap()
}

fn succeeded(output: &Output) -> String {
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn helm(args: &[&str]) -> Output {
    run(HELM.as_deref().unwrap(), args)
}

fn values(set: &str) -> String {
    format!("tests/deploy/values/{set}.yaml")
}

fn template(set: &str, more: &[&str]) -> String {
    let values = values(set);
    let args = [
        "template",
        "kubemend",
        "deploy/chart",
        "--namespace=kubemend",
        "--include-crds",
        "--values",
        &values,
    ];
    succeeded(&helm(&[&args, more].concat()))
}

fn kustomize(folder: &str) -> String {
    succeeded(&run(KUBECTL.as_deref().unwrap(), &["kustomize", folder]))
}

fn lint() {
    for set in SETS {
        let values = values(set);
        let output = helm(&["lint", "--strict", "deploy/chart", "--values", &values]);
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{set}: {said}");
    }
}

fn no_drift() {
    let script = root().join("tools/render-base");
    let mut command = Command::new(script);
    command.arg("--check").env("HELM", HELM.as_ref().unwrap());
    succeeded(&command.output().unwrap());
}

fn wrong_values() {
    for (wrong, why) in [
        ("leaderElection=false", "leaderElection"),
        ("watch.enabled=false", "watch.enabled"),
        ("replica=2", "replica"),
        ("github.auth=password", "auth"),
        ("github.repositories={gitops}", "repositories"),
        ("image.digest=latest", "digest"),
        ("watch.failureAge=soon", "failureAge"),
        ("rbac.namespaces={Shop}", "namespaces"),
        ("ingress.enabled=true", "ingress.host"),
        ("credentials.keys.appKey=", "appKey"),
    ] {
        let output = helm(&["template", "x", "deploy/chart", "--set", wrong]);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success(), "{wrong}");
        assert!(said.contains(why), "{wrong}: {said}");
    }
}

/// One secret may sign deliveries and markers.
fn shared_key() {
    let same = "credentials.keys.markerKey=webhook-secret";
    let all = policy::objects(&template("defaults", &["--set", same]));
    let volumes = &policy::one(&all, "Deployment")["spec"]["template"]["spec"]["volumes"];
    let items = &volumes[0]["secret"]["items"];
    let pairs = items.as_array().unwrap().iter();
    let pairs: BTreeSet<(&str, &str)> = pairs
        .map(|i| (i["path"].as_str().unwrap(), i["key"].as_str().unwrap()))
        .collect();
    let wanted = [
        ("app-key.pem", "app-key.pem"),
        ("marker-key", "webhook-secret"),
        ("webhook-secret", "webhook-secret"),
    ];
    assert_eq!(pairs, wanted.into());
}

fn one_lease() {
    let set = ["--set=replicas=2", "--set=leaderElection=true"];
    let objects = policy::objects(&template("defaults", &set));
    let deployment = policy::one(&objects, "Deployment");
    assert_eq!(deployment["spec"]["replicas"], 2);
    let args = policy::args(deployment);
    assert!(args.contains(&"--lease=kubemend".to_owned()), "{args:?}");
    let role = policy::one(&objects, "Role");
    let leases = |rule: &&Value| rule["resources"] == json!(["leases"]);
    let rules = role["rules"].as_array().unwrap();
    assert_eq!(rules.iter().filter(leases).count(), 2, "{role}");
}

fn namespaced() {
    let set = ["--set=rbac.namespaces={shop,pay}"];
    let objects = policy::objects(&template("defaults", &set));
    let bound = |kind: &str| -> Vec<(String, String)> {
        let of = objects.iter().filter(|o| o["kind"] == kind);
        let text = |v: &Value| v.as_str().unwrap_or_default().to_owned();
        of.map(|o| {
            (
                text(&o["metadata"]["namespace"]),
                text(&o["roleRef"]["name"]),
            )
        })
        .collect()
    };
    let pair = |a: &str, b: &str| (a.to_owned(), b.to_owned());
    assert_eq!(
        bound("RoleBinding"),
        [
            pair("shop", "kubemend"),
            pair("pay", "kubemend"),
            pair("kubemend", "kubemend")
        ]
    );
    assert_eq!(bound("ClusterRoleBinding"), [pair("", "kubemend-cluster")]);
    let settings = policy::named(&objects, "ConfigMap", "kubemend");
    assert_eq!(settings["data"]["KUBEMEND_NAMESPACES"], "shop,pay");
}

fn overlay() {
    let text = kustomize("deploy/overlays/namespaced");
    sound(&text);
    let objects = policy::objects(&text);
    let everywhere = |o: &&Value| {
        o["kind"] == "ClusterRoleBinding" && o["metadata"]["name"] != "kubemend-cluster"
    };
    assert_eq!(objects.iter().find(everywhere), None);
    let bindings = objects.iter().filter(|o| o["kind"] == "RoleBinding");
    let own = |o: &&Value| o["metadata"]["name"] == "kubemend-own";
    let (own, chosen): (Vec<&Value>, Vec<&Value>) = bindings.partition(own);
    assert_eq!((own.len(), chosen.len()), (1, 1));
}

/// What is rendered: valid, restricted, without a Secret and without rights on one, and started with
/// flags that there are.
fn sound(text: &str) {
    let objects = policy::objects(text);
    quiet(text);
    let deployment = policy::one(&objects, "Deployment");
    restricted(deployment);
    let mut line = vec!["kubemend".to_owned()];
    line.extend(policy::args(deployment));
    Cli::try_parse_from(&line).unwrap_or_else(|e| panic!("{line:?}: {e}"));
    policy::holds(&objects);
    readable_config(&objects);
}

/// `kubemend scan` finds nothing in it.
fn quiet(text: &str) {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("all.yaml"), text).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_kubemend"))
        .args(["scan", "--output", "json", "--repo"])
        .arg(folder.path())
        .output()
        .unwrap();
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["findings"], json!([]));
    assert!(report["seen"]["objects"].as_u64().unwrap() >= 5);
}

/// The pods meet Pod Security `restricted`.
fn restricted(deployment: &Value) {
    let file = ("all.yaml".to_owned(), deployment.to_string().into_bytes());
    let files = Files::default().with(&[file].into());
    let assertion =
        json!({"object": "Deployment/*", "path": "spec/template/spec", "op": "psa_restricted"});
    let assertion: Assertion = serde_json::from_value(assertion).unwrap();
    let rules = Rules {
        any_of: vec![vec![assertion]],
        ..Rules::default()
    };
    assert!(judge::judge(&rules, &files, &files, &files).fixed);
}

/// The operator's file is one that the program takes.
fn readable_config(objects: &[Value]) {
    let configs = objects
        .iter()
        .filter_map(|o| o["data"]["config.yaml"].as_str());
    let configs: Vec<&str> = configs.collect();
    assert_eq!(configs.len(), 1);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("config.yaml");
    std::fs::write(&file, configs[0]).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_kubemend"))
        .args(["config", "check", "--strict", "--config"])
        .arg(&file)
        .arg("--repo")
        .arg(folder.path())
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
}

/// The names of all numbers, as a query spells them.
fn counted() -> BTreeSet<String> {
    let text = operator::everything_counted().text();
    let types = text.lines().filter_map(|l| l.strip_prefix("# TYPE "));
    types
        .flat_map(|line| {
            let (name, kind) = line.split_once(' ').unwrap();
            match kind {
                "counter" => vec![format!("{name}_total")],
                "histogram" => vec![format!("{name}_bucket")],
                _ => vec![name.to_owned()],
            }
        })
        .collect()
}

fn named_in(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| !(c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_'));
    let ours = words.filter(|w| w.starts_with("kubemend_") && w.len() > "kubemend_".len());
    ours.map(str::to_owned).collect()
}

fn dashboard() {
    let file = root().join("deploy/chart/files/dashboard.json");
    let shown: Value = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
    let names = named_in(&shown.to_string());
    let counted = counted();
    assert!(names.len() > 15);
    let unknown: Vec<_> = names.difference(&counted).collect();
    assert!(unknown.is_empty(), "{unknown:?}");
}

fn documented() {
    let text = std::fs::read_to_string(root().join("docs/serve.md")).unwrap();
    let table = text.split("## Health and metrics").nth(1).unwrap();
    let table = table.split("\n## ").next().unwrap();
    let rows = table.lines().filter(|l| l.starts_with("| `kubemend_"));
    let rows: BTreeSet<String> = rows
        .map(|l| l.split('`').nth(1).unwrap().to_owned())
        .collect();
    let all: BTreeSet<String> = counted()
        .iter()
        .map(|n| n.strip_suffix("_bucket").unwrap_or(n).to_owned())
        .collect();
    assert_eq!(rows, all);
    let phases = text.lines().find(|l| l.contains("_phase_duration_seconds"));
    let source = std::fs::read_to_string(root().join("src/phase.rs")).unwrap();
    let names = source.split("target: TARGET, \"").skip(1);
    for name in names.map(|n| n.split('"').next().unwrap()) {
        assert!(phases.unwrap().contains(name), "{name}");
    }
}
