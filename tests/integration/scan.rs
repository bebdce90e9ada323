//! `kubemend scan` over generated manifests: one planted fault, one finding, and the exact reverse
//! as its fix. What needs kustomize, the shared corpus or the SARIF schema is in `tests/scan.rs`.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use kubemend::config::rules::Ignore;
use kubemend::finding::Severity;
use kubemend::locate::{self, Repository};
use kubemend::lock::Policy;
use kubemend::repo::Checkout;
use kubemend::scan::report::{Report, report};
use kubemend::scan::{self, Input, RULES, Scan};

use crate::cli::{kubemend, stdout};

type Tree = BTreeMap<String, String>;

fn write(tree: &Tree) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (path, text) in tree {
        let file = dir.path().join(path);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, text).unwrap();
    }
    dir
}

/// A scan without a renderer, for the newest version, with nothing ignored.
fn look(tree: &Tree) -> (Report, Scan) {
    look_as(tree, "1.37", &[], &[])
}

fn look_as(tree: &Tree, target: &str, ignore: &[Ignore], paths: &[String]) -> (Report, Scan) {
    let dir = write(tree);
    let checkout = Checkout::open(dir.path()).unwrap();
    let repository = Repository::open(&checkout.files, None, None, locate::Policy::default());
    let policy = Policy::default();
    let input = Input {
        checkout: &checkout,
        repository: &repository,
        policy: &policy,
        places: locate::Policy::default(),
        target: target.parse().unwrap(),
        ignore,
        paths,
        now: jiff::Timestamp::UNIX_EPOCH,
        style: kubemend::message::commit::Style::Conventional,
    };
    let scan = scan::scan(&input);
    (report(&scan, &input), scan)
}

/// Numbers that are the same in every run.
struct Seed(u64);

impl Seed {
    fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 33).unwrap() % n
    }
}

const NAMES: [&str; 8] = [
    "basket",
    "invoice",
    "catalogue",
    "shipping",
    "ledger",
    "profile",
    "recommender",
    "gateway",
];

/// A healthy namespace with some applications. `@` stands for the name of one of them.
fn healthy(seed: &mut Seed) -> (Tree, String) {
    let mut names: Vec<&str> = NAMES.to_vec();
    let count = 2 + seed.below(4);
    while names.len() > count {
        names.remove(seed.below(names.len()));
    }
    let mut tree = Tree::new();
    tree.insert("namespace.yaml".to_owned(), NAMESPACE.to_owned());
    for name in &names {
        for (file, text) in APP {
            tree.insert(format!("{name}/{file}"), text.replace('@', name));
        }
    }
    let chosen = names[seed.below(names.len())];
    (tree, chosen.to_owned())
}

const NAMESPACE: &str = "apiVersion: v1\nkind: Namespace\nmetadata:\n  name: market\n";

const APP: &[(&str, &str)] = &[
    (
        "workload.yaml",
        "# The program itself.
apiVersion: apps/v1
kind: Deployment
metadata:
  name: @
  namespace: market
spec:
  selector:
    matchLabels:
      app: @
  template:
    metadata:
      labels:
        app: @
    spec:
      serviceAccountName: @-account
      containers:
        - name: main
          image: registry.example.org/@:1.4.2
          imagePullPolicy: IfNotPresent # never latest
          ports:
            - name: web
              containerPort: 8080
            - name: metrics
              containerPort: 9102
          envFrom:
            - configMapRef:
                name: @-settings
          env:
            - name: MODE
              valueFrom:
                configMapKeyRef:
                  name: @-settings
                  key: operating-mode
          readinessProbe:
            httpGet:
              path: /ready
              port: metrics
          resources:
            requests: {cpu: 100m, memory: 64Mi}
            limits:
              memory: 128Mi
          volumeMounts:
            - name: scratchpad
              mountPath: /var/scratch
            - name: archive
              mountPath: /var/archive
      volumes:
        - name: scratchpad
          emptyDir: {}
        - name: archive
          persistentVolumeClaim:
            claimName: @-archive
",
    ),
    (
        "parts.yaml",
        "apiVersion: v1
kind: ConfigMap
metadata:
  name: @-settings
  namespace: market
data:
  operating-mode: normal
  greeting: hello
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata:
  name: @-archive
  namespace: market
spec:
  accessModes: [ReadWriteOnce]
  resources:
    requests:
      storage: 1Gi
---
apiVersion: v1
kind: ServiceAccount
metadata:
  name: @-account
  namespace: market
",
    ),
    (
        "network.yaml",
        "apiVersion: v1
kind: Service
metadata:
  name: @
  namespace: market
spec:
  type: ClusterIP
  selector:
    app: @
  ports:
    - name: http
      port: 80
      targetPort: web
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata:
  name: @
  namespace: market
spec:
  rules:
    - host: @.example.org
      http:
        paths:
          - path: /
            pathType: Prefix
            backend:
              service:
                name: @
                port:
                  number: 80
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  name: @
  namespace: market
spec:
  podSelector:
    matchLabels:
      app: @
  policyTypes: [Ingress]
",
    ),
    (
        "scaling.yaml",
        "apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata:
  name: @
  namespace: market
spec:
  scaleTargetRef:
    apiVersion: apps/v1
    kind: Deployment
    name: @
  minReplicas: 2
  maxReplicas: 5
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata:
  name: @
  namespace: market
spec:
  maxUnavailable: 1
  selector:
    matchLabels:
      app: @
",
    ),
    (
        "access.yaml",
        "apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata:
  name: @-reader
  namespace: market
rules:
  - apiGroups: ['']
    resources: [pods]
    verbs: [get]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata:
  name: @-reader
  namespace: market
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: Role
  name: @-reader
subjects:
  - kind: ServiceAccount
    name: @-account
    namespace: market
",
    ),
];

/// What is planted: file, right text, wrong text, rule, and whether the fix is the exact reverse.
struct Fault(&'static str, &'static str, &'static str, &'static str, bool);

#[rustfmt::skip]
const FAULTS: &[Fault] = &[
    Fault("workload.yaml", "imagePullPolicy:", "imagePullPolcy:", "unknown-field", true),
    Fault("workload.yaml", "readinessProbe:", "readynessProbe:", "unknown-field", true),
    Fault("workload.yaml", "containerPort: 8080", "containerPort: \"8080\"", "wrong-type", true),
    Fault("workload.yaml", "IfNotPresent", "IfNotPresnt", "bad-value", false),
    Fault("workload.yaml", "memory: 128Mi", "memory: 32Mi", "bad-value", false),
    Fault("workload.yaml", "memory: 128Mi", "memory: 128 MB", "bad-value", false),
    Fault("workload.yaml", "          image: registry.example.org/@:1.4.2\n", "", "missing-field", false),
    Fault("workload.yaml", "- name: scratchpad\n              mountPath", "- name: scratchpda\n              mountPath", "unresolved-name", false),
    Fault("workload.yaml", "      labels:\n        app: @", "      labels:\n        app: @x", "selector-mismatch", true),
    Fault("workload.yaml", "port: metrics", "port: metrcis", "probe-port", true),
    Fault("workload.yaml", "configMapRef:\n                name: @-settings", "configMapRef:\n                name: @-setings", "missing-configmap", true),
    Fault("workload.yaml", "key: operating-mode", "key: opperating-mode", "missing-key", true),
    Fault("workload.yaml", "claimName: @-archive", "claimName: @-archvie", "missing-claim", true),
    Fault("workload.yaml", "serviceAccountName: @-account", "serviceAccountName: @-acount", "missing-service-account", false),
    Fault("workload.yaml", "apiVersion: apps/v1\n", "apiVersion: apps/v1beta2\n", "removed-api", true),
    Fault("workload.yaml", "spec:\n  selector:", "spec:\n  replicas: 2\n  selector:", "fixed-replicas", false),
    Fault("parts.yaml", "  greeting: hello\n", "  greeting: hello\n  - broken\n", "invalid-yaml", false),
    Fault("parts.yaml", "kind: ServiceAccount\nmetadata:\n  name: @-account\n  namespace: market\n", "kind: ServiceAccount\nmetadata:\n  name: @-account\n  namespace: market\n---\napiVersion: v1\nkind: ServiceAccount\nmetadata:\n  name: @-account\n  namespace: market\n", "duplicate-object", false),
    Fault("network.yaml", "type: ClusterIP", "type: ClusterIp", "bad-value", true),
    Fault("network.yaml", "  selector:\n    app: @", "  selector:\n    app: @e", "service-selector", true),
    Fault("network.yaml", "targetPort: web", "targetPort: wbe0", "service-port", false),
    Fault("network.yaml", "                name: @\n", "                name: @e\n", "route-backend", true),
    Fault("network.yaml", "number: 80", "number: 8081", "route-backend", true),
    Fault("network.yaml", "    matchLabels:\n      app: @", "    matchLabels:\n      app: @e", "network-policy-selector", false),
    Fault("scaling.yaml", "kind: Deployment\n    name: @", "kind: Deployment\n    name: @e", "scale-target", false),
    Fault("scaling.yaml", "apiVersion: policy/v1\n", "apiVersion: policy/v1beta1\n", "removed-api", true),
    Fault("scaling.yaml", "    matchLabels:\n      app: @", "    matchLabels:\n      app: @e", "budget-selector", false),
    Fault("scaling.yaml", "maxUnavailable: 1", "maxUnavailable: 0", "budget-blocks", false),
    Fault("access.yaml", "kind: Role\n  name: @-reader", "kind: Role\n  name: @-raeder", "role-ref", false),
    Fault("access.yaml", "kind: ServiceAccount\n    name: @-account", "kind: ServiceAccount\n    name: @-acount", "binding-subject", false),
];

/// Row 28, 29, 30: one fault is one finding with its own rule at its own line; its fix is the
/// reverse, byte for byte, or there is none.
#[test]
fn one_planted_fault_is_one_finding_and_its_fix_the_exact_reverse() {
    for seed in 1..=6_u64 {
        for fault in FAULTS {
            let mut random = Seed(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15));
            let (good, app) = healthy(&mut random);
            check(fault, &good, &app);
        }
    }
}

fn check(Fault(file, right, wrong, rule, fixable): &Fault, good: &Tree, app: &str) {
    let path = format!("{app}/{file}");
    let (right, wrong) = (right.replace('@', app), wrong.replace('@', app));
    let text = &good[&path];
    assert!(text.contains(&right), "{path}: {right:?}");
    let mut bad = good.clone();
    bad.insert(path.clone(), text.replacen(&right, &wrong, 1));
    let (report, scan) = look(&bad);
    let told: Vec<String> = report
        .findings
        .iter()
        .map(|f| {
            format!(
                "{} {}:{} {}",
                f.name, f.location.file, f.location.line, f.message
            )
        })
        .collect();
    assert_eq!(report.findings.len(), 1, "{wrong:?}: {told:#?}");
    let found = &report.findings[0];
    assert_eq!(found.name, *rule, "{told:?}");
    assert_eq!(found.location.file, path, "{told:?}");
    assert_eq!(found.fix.is_some(), *fixable, "{wrong:?}: {:?}", found.open);
    if *fixable {
        let mended = String::from_utf8(scan.union[&path].clone()).unwrap();
        assert_eq!(&mended, text, "{wrong:?}");
    }
}

#[test]
fn a_healthy_repository_has_no_finding() {
    for seed in 1..=20_u64 {
        let (good, _) = healthy(&mut Seed(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15)));
        let (report, _) = look(&good);
        assert_eq!(report.findings, [], "seed {seed}");
        assert!(report.seen.objects > 20);
    }
}

#[test]
fn every_rule_but_three_is_planted() {
    let planted: Vec<&str> = FAULTS.iter().map(|f| f.3).collect();
    let missing: Vec<&str> = RULES
        .iter()
        .map(|r| r.name)
        .filter(|n| !planted.contains(n))
        .collect();
    // a target version, a renderer, and Secrets are needed for these; they have tests of their own
    assert_eq!(
        missing,
        ["deprecated-api", "broken-kustomization", "missing-secret"]
    );
}

/// One application, with changes.
fn app(changes: &[(&str, &str, &str)]) -> Tree {
    let mut tree = Tree::new();
    tree.insert("namespace.yaml".to_owned(), NAMESPACE.to_owned());
    for (file, text) in APP {
        tree.insert(format!("basket/{file}"), text.replace('@', "basket"));
    }
    for (file, right, wrong) in changes {
        let path = format!("basket/{file}");
        assert!(tree[&path].contains(right), "{right}");
        let text = tree[&path].replacen(right, wrong, 1);
        tree.insert(path, text);
    }
    tree
}

const TYPO: (&str, &str, &str) = ("workload.yaml", "imagePullPolicy:", "imagePullPolcy:");

#[test]
fn a_comment_on_the_line_above_it_or_at_the_top_silences_a_rule() {
    for wrong in [
        "imagePullPolcy: # kubemend:ignore unknown-field the image knows\n           ",
        "# kubemend:ignore KM101 the image knows\n          imagePullPolcy:",
        "# kubemend:ignore InvalidManifest the image knows\n          # more words\n          imagePullPolcy:",
    ] {
        let (report, _) = look(&app(&[("workload.yaml", "imagePullPolicy:", wrong)]));
        assert_eq!(report.findings, [], "{wrong}");
        assert_eq!(report.silenced.len(), 1, "{wrong}");
        assert_eq!(report.silenced[0].reason, "comment: the image knows");
    }
    let top = (
        "workload.yaml",
        "# The program",
        "# kubemend:ignore unknown-field old\n# The program",
    );
    assert_eq!(look(&app(&[TYPO, top])).0.findings, []);
    let other = (
        "workload.yaml",
        "# The program",
        "# kubemend:ignore probe-port old\n# The program",
    );
    assert_eq!(look(&app(&[TYPO, other])).0.findings.len(), 1);
}

#[test]
fn the_configuration_silences_by_namespace_kind_name_and_class() {
    let ignore = |namespace: &str, kind: &str, name: &str, class: &str| Ignore {
        namespace: Some(namespace.to_owned()),
        kind: Some(kind.to_owned()),
        name: Some(name.to_owned()),
        class: Some(class.to_owned()),
        reason: Some("known".to_owned()),
    };
    let told = |ignore: Ignore| {
        look_as(&app(&[TYPO]), "1.37", &[ignore], &[])
            .0
            .findings
            .len()
    };
    assert_eq!(told(ignore("mar*", "Deployment", "*", "unknown-field")), 0);
    assert_eq!(
        told(ignore("market", "Deployment", "b*t", "InvalidManifest")),
        0
    );
    assert_eq!(
        told(ignore("market", "Service", "basket", "unknown-field")),
        1
    );
    assert_eq!(
        told(ignore("market", "Deployment", "basket", "probe-port")),
        1
    );
    assert_eq!(told(Ignore::default()), 1);
}

#[test]
fn paths_choose_files_and_references_still_see_all() {
    let tree = app(&[
        TYPO,
        ("network.yaml", "targetPort: web", "targetPort: wbe0"),
    ]);
    let count = |glob: &str| {
        look_as(&tree, "1.37", &[], &[glob.to_owned()])
            .0
            .findings
            .len()
    };
    assert_eq!(count("basket/workload.yaml"), 1);
    assert_eq!(
        count("**/network.yaml"),
        0,
        "the workload itself is invalid, so its ports are not judged"
    );
    assert_eq!(count("elsewhere"), 0);
}

#[test]
fn an_api_version_is_removed_or_deprecated_by_the_target() {
    let tree = app(&[("scaling.yaml", "policy/v1\n", "policy/v1beta1\n")]);
    let told = |target: &str| {
        let found = &look_as(&tree, target, &[], &[]).0.findings[0];
        (found.name.clone(), found.severity, found.fix.is_some())
    };
    assert_eq!(
        told("1.37"),
        ("removed-api".to_owned(), Severity::High, true)
    );
    assert_eq!(
        told("1.25"),
        ("removed-api".to_owned(), Severity::High, true)
    );
    assert_eq!(
        told("1.24"),
        ("deprecated-api".to_owned(), Severity::Low, true)
    );
}

#[test]
fn a_secret_is_missed_only_where_one_is_nearly_called_so() {
    let with = |name: &str| {
        let from = format!("envFrom:\n            - secretRef:\n                name: {name}\n");
        let mut tree = app(&[("workload.yaml", "envFrom:\n", &from)]);
        let secret = "apiVersion: v1\nkind: Secret\nmetadata:\n  name: basket-credentials\n  namespace: market\nstringData:\n  token: x\n";
        tree.insert("basket/secret.yaml".to_owned(), secret.to_owned());
        look(&tree).0.findings
    };
    assert_eq!(with("basket-credentials"), []);
    assert_eq!(with("from-the-vault"), []);
    let near = with("basket-credentails");
    assert_eq!((near.len(), near[0].name.as_str()), (1, "missing-secret"));
    assert!(near[0].fix.is_none(), "Secrets are for people");
}

#[test]
fn what_is_no_fault_in_other_hands_is_not_told() {
    let mut tree = app(&[]);
    let others = [
        // sops takes its mapping away before the Secret is applied
        (
            "sealed.yaml",
            "apiVersion: v1\nkind: Secret\nmetadata:\n  name: sealed\n  namespace: market\nstringData:\n  token: ENC[AES256_GCM,data:eA==]\nsops:\n  lastmodified: \"2026-01-01T00:00:00Z\"\n  mac: ENC[AES256_GCM,data:eA==]\n",
        ),
        // the Go reader takes a quoted text at any indentation
        (
            "note.yaml",
            "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: note\n  namespace: market\ndata:\n  list: '[\n  1\n  ]\n'\n",
        ),
        // settings of an editor, with comments
        (
            "tools/launch.json",
            "{\n  // how to start\n  \"a\": 1 \"kind\": \"bin\"\n}\n",
        ),
        // a blank of an example
        (
            "tools/svc.yaml",
            "apiVersion: v1\nkind: Service\nmetadata:\n  name: sctp\nspec:\n  ports:\n    - port: PORT\n      targetPort: PORT\n",
        ),
        // a script replaces the word in capitals
        (
            "tools/shell.yaml",
            "apiVersion: v1\nkind: Pod\nmetadata:\n  name: shell-HOSTNAME\nspec:\n  containers:\n    - name: shell\n      image: busybox:1.36\n",
        ),
    ];
    for (file, text) in others {
        tree.insert(file.to_owned(), text.to_owned());
    }
    assert_eq!(look(&tree).0.findings, []);
    let plain = "apiVersion: v1\nkind: Secret\nmetadata:\n  name: sealed\nsops: 1\n";
    let mut tree = app(&[]);
    tree.insert("sealed.yaml".to_owned(), plain.to_owned());
    assert_eq!(look(&tree).0.findings.len(), 1);
}

#[test]
fn a_route_of_the_gateway_api_is_told_and_left_to_people() {
    let route = "apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata:\n  name: basket\n  namespace: market\nspec:\n  rules:\n    - backendRefs:\n        - name: basket\n          port: 80\n";
    let told = |route: &str| {
        let mut tree = app(&[]);
        tree.insert("basket/route.yaml".to_owned(), route.to_owned());
        let found = look(&tree).0.findings;
        found
            .iter()
            .map(|f| (f.name.clone(), f.location.line, f.fix.is_some()))
            .collect::<Vec<_>>()
    };
    assert_eq!(told(route), []);
    let wrong = route.replace("port: 80", "port: 8080");
    assert_eq!(told(&wrong), [("route-backend".to_owned(), 10, false)]);
    let wrong = route.replace("- name: basket", "- name: basktet");
    // the route is a custom resource: whatever it names may be made by something
    assert_eq!(told(&wrong), []);
}

#[test]
fn what_something_else_may_make_is_not_missing() {
    let typo = (
        "workload.yaml",
        "configMapRef:\n                name: basket-settings",
        "configMapRef:\n                name: basket-setings",
    );
    assert_eq!(look(&app(&[typo])).0.findings.len(), 1);
    let made = "apiVersion: example.org/v1\nkind: SettingsSource\nmetadata:\n  name: x\n  namespace: market\nspec:\n  target: basket-setings\n";
    let mut tree = app(&[typo]);
    tree.insert("source.yaml".to_owned(), made.to_owned());
    assert_eq!(look(&tree).0.findings, []);
    let mut tree = app(&[typo]);
    tree.insert(
        "chart/Chart.yaml".to_owned(),
        "name: x\nversion: 1.0.0\n".to_owned(),
    );
    tree.insert(
        "chart/templates/a.yaml".to_owned(),
        "metadata:\n  name: basket-setings\n".to_owned(),
    );
    assert_eq!(look(&tree).0.findings, []);
}

#[test]
fn hostile_manifests_are_survived() {
    let mut tree = Tree::new();
    let odd = [
        "apiVersion: v1\nkind: Service\nmetadata: []\nspec: 7\n",
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: a}\nspec: {template: {spec: {containers: [7, null, {name: 3}], volumes: x}}}\n",
        "apiVersion: v1\nkind: Service\nmetadata: {name: \"::error::x\\n::y\"}\nspec: {selector: {a: 1}, ports: [{port: -1, targetPort: []}]}\n",
        "apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {name: b}\nspec: {rules: [{http: {paths: 3}}, 4], defaultBackend: []}\n",
        "apiVersion: autoscaling/v2\nkind: HorizontalPodAutoscaler\nmetadata: {name: c}\nspec: {scaleTargetRef: []}\n",
        "apiVersion: policy/v1\nkind: PodDisruptionBudget\nmetadata: {name: d}\nspec: {selector: 9, minAvailable: 99999999999999999999%}\n",
        "apiVersion: rbac.authorization.k8s.io/v1\nkind: RoleBinding\nmetadata: {name: e}\nroleRef: 1\nsubjects: {a: b}\n",
    ];
    for (i, text) in odd.iter().enumerate() {
        tree.insert(format!("odd\n::{i}.yaml"), (*text).to_owned());
    }
    let (report, scan) = look(&tree);
    assert!(report.findings.len() > 5);
    let commands = kubemend::annotations::commands(&report);
    assert!(
        commands
            .lines()
            .all(|l| l.starts_with("::error file=odd%0A%3A%3A")
                || l.starts_with("::warning ")
                || l.starts_with("::notice ")),
        "{commands}"
    );
    let files = kubemend::files::Files::default();
    let log = kubemend::sarif::log(&report, &scan, &files).to_string();
    assert!(log.contains("odd%0A%3A%3A1.yaml"));
}

/// Row 64: ten of a level, and a last line that says how many more.
#[test]
fn annotations_are_ten_of_a_level_and_a_count() {
    let mut tree = Tree::new();
    for i in 0..13 {
        let text =
            format!("apiVersion: v1\nkind: Service\nmetadata:\n  name: s{i}\nspec:\n  prots: []\n");
        tree.insert(format!("s{i:02}.yaml"), text);
    }
    let (report, _) = look(&tree);
    let commands = kubemend::annotations::commands(&report);
    let count = |start: &str| commands.lines().filter(|l| l.starts_with(start)).count();
    assert_eq!((count("::error "), count("::warning ")), (10, 0));
    let last = commands.lines().last().unwrap();
    assert_eq!(
        last,
        "::notice title=kubemend scan::3 more findings are not annotated; they are in the report of kubemend scan"
    );
}

fn scanned(dir: &Path, args: &[&str]) -> (i32, String) {
    let repo = dir.to_string_lossy().into_owned();
    let all: Vec<&str> = ["scan", "--repo", &repo]
        .iter()
        .chain(args)
        .copied()
        .collect();
    let output = kubemend(&all);
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    (output.status.code().unwrap(), stdout(&output) + &error)
}

#[test]
fn the_text_for_people() {
    let tree = app(&[
        TYPO,
        (
            "access.yaml",
            "kind: Role\n  name: basket-reader",
            "kind: Role\n  name: basket-raeder",
        ),
        ("network.yaml", "number: 80", "number: 8081"),
    ]);
    let dir = write(&tree);
    let (code, text) = scanned(dir.path(), &[]);
    assert_eq!(code, 0);
    insta::assert_snapshot!(text);
    let (_, github) = scanned(dir.path(), &["-o", "github"]);
    insta::assert_snapshot!(github);
}

#[test]
fn exit_codes_say_what_was_found() {
    let bad = write(&app(&[TYPO]));
    let low = write(&app(&[(
        "scaling.yaml",
        "maxUnavailable: 1",
        "maxUnavailable: 0",
    )]));
    let codes = |dir: &Path| {
        ["never", "low", "medium", "high", "critical"].map(|s| scanned(dir, &["--fail-on", s]).0)
    };
    assert_eq!(codes(bad.path()), [0, 1, 1, 1, 0]);
    assert_eq!(codes(low.path()), [0, 1, 0, 0, 0]);
    let (code, text) = scanned(bad.path(), &["--target-version", "latest"]);
    assert_eq!(code, 2, "{text}");
    assert_eq!(scanned(Path::new("/nowhere/at/all"), &[]).0, 2);
}

#[test]
fn a_folder_without_manifests_says_so() {
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(
        scanned(dir.path(), &[]),
        (
            0,
            "No Kubernetes manifests here (0 files looked at).\n".to_owned()
        )
    );
    std::fs::write(dir.path().join("package.json"), "{\"name\": \"x\"}\n").unwrap();
    std::fs::write(dir.path().join("settings.yaml"), "a: [1\n").unwrap();
    assert_eq!(
        scanned(dir.path(), &[]),
        (
            0,
            "No Kubernetes manifests here (2 files looked at).\n".to_owned()
        )
    );
}

fn git(dir: &Path, args: &[&str]) -> String {
    let output = Command::new("git")
        .arg("-C")
        .arg(dir)
        .args(args)
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{args:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn fixes_are_a_patch_that_git_takes_or_branches() {
    let port = ("network.yaml", "number: 80", "number: 8081");
    let dir = write(&app(&[TYPO, port]));
    git(dir.path(), &["init", "-q", "-b", "main"]);
    git(dir.path(), &["add", "-A"]);
    git(
        dir.path(),
        &[
            "-c",
            "user.name=a",
            "-c",
            "user.email=a@b",
            "commit",
            "-qm",
            "one",
        ],
    );
    let head = git(dir.path(), &["rev-parse", "HEAD"]);
    let (code, patch) = scanned(dir.path(), &["--fix", "patch"]);
    assert_eq!(code, 0);
    std::fs::write(dir.path().join(".git/p.diff"), patch).unwrap();
    git(dir.path(), &["apply", ".git/p.diff"]);
    for (path, text) in app(&[]) {
        assert_eq!(
            std::fs::read_to_string(dir.path().join(&path)).unwrap(),
            text,
            "{path}"
        );
    }
    git(dir.path(), &["checkout", "-q", "--", "."]);
    let (code, text) = scanned(dir.path(), &["--fix", "commit"]);
    assert_eq!(code, 0, "{text}");
    let branches = git(
        dir.path(),
        &[
            "for-each-ref",
            "--format=%(refname:short)",
            "refs/heads/kubemend",
        ],
    );
    assert_eq!(branches.lines().count(), 2, "{branches}");
    assert_eq!(git(dir.path(), &["rev-parse", "HEAD"]), head);
    assert_eq!(git(dir.path(), &["status", "--porcelain"]), "");
    assert_eq!(
        scanned(dir.path(), &["--fix", "commit"]).0,
        0,
        "the same branches again"
    );
}

#[test]
fn explain_knows_every_rule() {
    for rule in RULES {
        for word in [rule.id, rule.name] {
            let text = stdout(&kubemend(&["explain", word]));
            assert!(
                text.contains(rule.about) && text.contains(rule.name),
                "{word}: {text}"
            );
        }
    }
    let output = kubemend(&["explain", "unknown-feild"]);
    assert!(String::from_utf8_lossy(&output.stderr).contains("unknown-field"));
}

/// The table of rules in the documentation is generated; KUBEMEND_BLESS=1 writes it.
#[test]
fn the_table_of_rules_is_current() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/rules.md");
    let text = format!(
        "# Rules of kubemend scan\n\nGenerated from `src/scan/rules.rs`; `kubemend explain RULE` prints the same.\n\n{}",
        kubemend::scan::rules::table()
    );
    if std::env::var_os("KUBEMEND_BLESS").is_some() {
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(&file, &text).unwrap();
    }
    let committed = std::fs::read_to_string(&file).unwrap_or_default();
    assert_eq!(
        committed, text,
        "docs/rules.md is out of date: run KUBEMEND_BLESS=1 cargo test table_of_rules"
    );
}
