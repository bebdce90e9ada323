//! `scan` where it needs something that may be absent: kustomize, the shared corpus, the SARIF
//! schema (`tools/install-sarif-schema`). What is absent is skipped by name.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::LazyLock;

use kubemend::files::Files;
use kubemend::finding::Severity;
use kubemend::locate::{self, Repository};
use kubemend::lock::Policy;
use kubemend::render::Renderer;
use kubemend::repo::Checkout;
use kubemend::sarif;
use kubemend::scan::report::{Report, report};
use kubemend::scan::{self, Input, Scan};
use libtest_mimic::{Arguments, Failed, Trial};
use serde_json::Value;

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let no_tool = RENDERER
        .is_none()
        .then_some("neither kustomize nor kubectl on PATH or in KUBEMEND_RENDERER");
    let no_corpus =
        no_tool.or((!shared().join("corpus/gitops").is_dir()).then_some("corpus not present"));
    let no_schema = (!schema().is_file()).then_some("run tools/install-sarif-schema");
    let trials = vec![
        trial(
            "shared_line_is_one_finding_mended_in_the_base",
            no_tool,
            shared_line,
        ),
        trial("a_patch_is_mended_where_it_is_written", no_tool, own_patch),
        trial(
            "a_missing_resource_is_named_at_its_line",
            no_tool,
            missing_resource,
        ),
        trial(
            "references_hold_in_what_a_root_renders",
            no_tool,
            rendered_references,
        ),
        trial("the_sarif_log_is_valid", no_schema, sarif_is_valid),
        trial("real_repositories_are_quiet", no_corpus, quiet),
        trial(
            "real_repositories_give_valid_sarif",
            no_corpus.or(no_schema),
            real_sarif,
        ),
    ];
    libtest_mimic::run(&arguments, trials).exit_code()
}

fn trial(name: &str, missing: Option<&str>, run: fn()) -> Trial {
    let shown = match missing {
        Some(reason) => format!("{name} [skipped: {reason}]"),
        None => name.to_owned(),
    };
    let run = move || std::panic::catch_unwind(run).map_err(|_| Failed::from("see above"));
    Trial::test(shown, run).with_ignored_flag(missing.is_some())
}

static RENDERER: LazyLock<Option<Renderer>> = LazyLock::new(|| {
    let given = std::env::var_os("KUBEMEND_RENDERER").map(PathBuf::from);
    Renderer::find(given.as_deref()).expect("KUBEMEND_RENDERER is no renderer")
});

fn shared() -> PathBuf {
    let beside = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared");
    std::env::var_os("KUBEMEND_SHARED").map_or_else(beside, PathBuf::from)
}

fn schema() -> PathBuf {
    let built = || Path::new(env!("CARGO_MANIFEST_DIR")).join("target/tools/sarif-2.1.0.json");
    std::env::var_os("KUBEMEND_SARIF_SCHEMA").map_or_else(built, PathBuf::from)
}

struct Seen {
    report: Report,
    scan: Scan,
    files: Files,
}

impl Seen {
    fn log(&self) -> Value {
        sarif::log(&self.report, &self.scan, &self.files)
    }

    fn told(&self) -> Vec<(&str, &str, usize)> {
        let one = |f: &'_ kubemend::scan::report::FindingEntry| -> (String, String, usize) {
            (f.name.clone(), f.location.file.clone(), f.location.line)
        };
        let _ = one;
        self.report
            .findings
            .iter()
            .map(|f| (f.name.as_str(), f.location.file.as_str(), f.location.line))
            .collect()
    }
}

fn look(root: &Path) -> Seen {
    let checkout = Checkout::open(root).unwrap();
    let places = locate::Policy::default();
    let repository = Repository::open(&checkout.files, RENDERER.as_ref(), None, places);
    let policy = Policy::default();
    let input = Input {
        checkout: &checkout,
        repository: &repository,
        policy: &policy,
        places,
        target: "1.37".parse().unwrap(),
        ignore: &[],
        paths: &[],
        now: jiff::Timestamp::UNIX_EPOCH,
        style: kubemend::message::commit::Style::Conventional,
    };
    let scan = scan::scan(&input);
    Seen {
        report: report(&scan, &input),
        files: checkout.files.clone(),
        scan,
    }
}

fn tree(files: &[(&str, &str)]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (path, text) in files {
        let file = dir.path().join(path);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, text).unwrap();
    }
    dir
}

const BASE: &str = "apiVersion: apps/v1
kind: Deployment
metadata:
  name: till
spec:
  selector:
    matchLabels: {app: till}
  template:
    metadata:
      labels: {app: till}
    spec:
      containers:
        - name: till
          image: registry.example.org/till:2
          ports:
            - name: web
              containerPort: 8080
          readinessProbe:
            httpGet: {path: /, port: web}
---
apiVersion: v1
kind: Service
metadata:
  name: till
spec:
  selector: {app: till}
  ports:
    - port: 80
      targetPort: web
";
const BASE_ROOT: &str = "resources: [till.yaml]\n";
const OVERLAY: &str = "namespace: @\nnamePrefix: @-\nresources: [../../base]\n";

fn shop(base: &str, more: &[(&str, &str)]) -> tempfile::TempDir {
    let (east, west) = (OVERLAY.replace('@', "east"), OVERLAY.replace('@', "west"));
    let mut files = vec![
        ("base/till.yaml", base),
        ("base/kustomization.yaml", BASE_ROOT),
        ("envs/east/kustomization.yaml", &east),
        ("envs/west/kustomization.yaml", &west),
    ];
    for (path, text) in more {
        files.retain(|(p, _)| p != path);
        files.push((path, text));
    }
    tree(&files)
}

fn shared_line() {
    let bad = BASE.replace("readinessProbe", "readynessProbe");
    let seen = look(shop(&bad, &[]).path());
    assert_eq!(seen.told(), [("unknown-field", "base/till.yaml", 18)]);
    let found = &seen.report.findings[0];
    assert_eq!(found.roots, ["envs/east", "envs/west"]);
    assert!(found.fix.is_some(), "{:?}", found.open);
    let mended = &seen.scan.union["base/till.yaml"];
    assert_eq!(String::from_utf8_lossy(mended), BASE);
    assert_eq!(look(shop(BASE, &[]).path()).told(), []);
}

fn own_patch() {
    let overlay = OVERLAY.replace('@', "west") + "patches:\n  - path: probe.yaml\n";
    let patch = "apiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: till\nspec:\n  template:\n    spec:\n      containers:\n        - name: till\n          readinessProbe:\n            httpGet: {path: /, port: wbe}\n";
    // two letters that are swapped in a word of three: no slip that is believed
    let seen = look(
        shop(
            BASE,
            &[
                ("envs/west/kustomization.yaml", &overlay),
                ("envs/west/probe.yaml", patch),
            ],
        )
        .path(),
    );
    assert_eq!(seen.told(), [("probe-port", "envs/west/probe.yaml", 11)]);
    assert_eq!(seen.report.findings[0].location.column, 38);
    assert!(seen.report.findings[0].fix.is_none());
    let base = BASE
        .replace("name: web", "name: front")
        .replace("port: web", "port: front")
        .replace("targetPort: web", "targetPort: front");
    let patch = patch.replace("wbe", "frnot");
    let seen = look(
        shop(
            &base,
            &[
                ("envs/west/kustomization.yaml", &overlay),
                ("envs/west/probe.yaml", &patch),
            ],
        )
        .path(),
    );
    assert_eq!(seen.told(), [("probe-port", "envs/west/probe.yaml", 11)]);
    assert!(
        seen.report.findings[0].fix.is_some(),
        "{:?}",
        seen.report.findings[0].open
    );
    let mended = String::from_utf8_lossy(&seen.scan.union["envs/west/probe.yaml"]).into_owned();
    assert_eq!(mended, patch.replace("frnot", "front"));
}

fn missing_resource() {
    let root = "resources:\n  - till.yaml\n  - cash.yaml\n";
    let seen = look(shop(BASE, &[("base/kustomization.yaml", root)]).path());
    let told = seen.told();
    assert!(!told.is_empty());
    for (name, file, line) in &told {
        assert_eq!(
            (*name, *file, *line),
            ("broken-kustomization", "base/kustomization.yaml", 3),
            "{told:?}"
        );
    }
    assert_eq!(told.len(), 1, "one entry, however many roots: {told:?}");
    assert!(seen.report.findings[0].message.contains("cash.yaml"));
}

fn rendered_references() {
    // the prefix moves names and references alike; only a wrong one is told
    let extra = "apiVersion: autoscaling/v2\nkind: HorizontalPodAutoscaler\nmetadata:\n  name: till\nspec:\n  scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: till}\n  maxReplicas: 3\n";
    let files = |text: &str| BASE.to_owned() + "---\n" + text;
    assert_eq!(look(shop(&files(extra), &[]).path()).told(), []);
    let bad = files(&extra.replace("name: till}", "name: tilll}"));
    let seen = look(shop(&bad, &[]).path());
    assert_eq!(
        seen.told().len(),
        0,
        "a name that the prefix does not reach is not near: {:?}",
        seen.told()
    );
}

fn valid(log: &Value) {
    let schema: Value = serde_json::from_slice(&std::fs::read(schema()).unwrap()).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    let errors: Vec<String> = validator
        .iter_errors(log)
        .take(10)
        .map(|e| format!("{} at {}", e, e.instance_path()))
        .collect();
    assert_eq!(errors, Vec::<String>::new());
}

/// Row 64: the log is valid SARIF 2.1.0, and its fixes are the proven ones.
fn sarif_is_valid() {
    let bad = BASE.replace("readinessProbe:", "readynessProbe: # kept");
    let dir = tree(&[("a b/till.yaml", &bad), ("odd.yaml", "kind: Pod\n  a: [\n")]);
    let seen = look(dir.path());
    let log = seen.log();
    valid(&log);
    let results = log.pointer("/runs/0/results").unwrap().as_array().unwrap();
    assert_eq!(results.len(), 2);
    let fixed = results.iter().find(|r| r.get("fixes").is_some()).unwrap();
    assert_eq!(fixed["ruleId"], "KM101");
    assert_eq!(
        fixed["partialFingerprints"][sarif::FINGERPRINT],
        seen.report.findings[0].fingerprint.as_str()
    );
    let change = &fixed["fixes"][0]["artifactChanges"][0];
    assert_eq!(change["artifactLocation"]["uri"], "a%20b/till.yaml");
    assert_eq!(
        applied(&bad, change),
        String::from_utf8_lossy(&seen.scan.union["a b/till.yaml"])
    );
    // the same finding on another line is the same finding
    let moved = tree(&[
        ("a b/till.yaml", &format!("# one more line\n{bad}")),
        ("odd.yaml", "kind: Pod\n  a: [\n"),
    ]);
    let again = look(moved.path());
    assert_eq!(
        again.report.findings[0].fingerprint,
        seen.report.findings[0].fingerprint
    );
    assert_ne!(
        again.report.findings[0].location.line,
        seen.report.findings[0].location.line
    );
}

/// What a viewer does with `artifactChanges`.
fn applied(text: &str, change: &Value) -> String {
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    let mut out = String::new();
    let mut at = 0;
    for one in change["replacements"].as_array().unwrap() {
        let number =
            |key: &str| usize::try_from(one["deletedRegion"][key].as_u64().unwrap()).unwrap();
        assert_eq!((number("startColumn"), number("endColumn")), (1, 1));
        out += &lines[at..number("startLine") - 1].concat();
        out += one["insertedContent"]["text"].as_str().unwrap();
        at = number("endLine") - 1;
    }
    out + &lines[at..].concat()
}

fn repositories() -> BTreeMap<String, PathBuf> {
    let folder = shared().join("corpus/gitops");
    let entries = std::fs::read_dir(folder)
        .unwrap()
        .map(|e| e.unwrap().path());
    entries
        .filter(|p| p.is_dir() && !p.ends_with("golden"))
        .map(|p| (p.file_name().unwrap().to_string_lossy().into_owned(), p))
        .collect()
}

/// Every finding of these was looked at by a person: kustomizations whose files the excerpts leave
/// out, objects that the API server refuses indeed, and notes. More is a false alarm, or a
/// rule that got better and has to be looked at again.
fn quiet() {
    let mut high = BTreeMap::new();
    let mut notes = 0;
    for (name, path) in repositories() {
        for found in look(&path).report.findings {
            if found.severity >= Severity::Medium {
                *high.entry((name.clone(), found.name)).or_insert(0) += 1;
            } else {
                notes += 1;
            }
        }
    }
    let known: BTreeMap<(String, String), i32> = [
        ("argocd-diff-preview-examples", "missing-field", 3),
        ("argocd-diff-preview-examples", "service-selector", 1), // my-app, and the pods say myapp
        ("gitops-reverser-layouts", "broken-kustomization", 5),
        ("home-ops-buroa", "broken-kustomization", 2),
        ("home-ops-onedr0p", "broken-kustomization", 1),
        ("konflux-infra-deployments", "broken-kustomization", 3),
    ]
    .map(|(repo, rule, n)| ((repo.to_owned(), rule.to_owned()), n))
    .into();
    assert_eq!(high, known);
    assert!(notes <= 10, "{notes} notes");
}

fn real_sarif() {
    for (_, path) in repositories() {
        valid(&look(&path).log());
    }
}
