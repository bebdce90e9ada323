#![allow(clippy::unwrap_used)]
use super::*;
use serde_json::json;

const SERVER: &str = "
apiVersion: apps/v1
kind: Deployment
metadata: {name: server}
spec:
  replicas: 2
  template:
    spec:
      containers:
        - name: main
          image: server:1
          resources: {limits: {memory: 64Mi}}
        - name: side
          image: side:1
";

fn files(entries: &[(&str, &str)]) -> Files {
    let entries = entries.iter();
    Files {
        by_path: entries
            .map(|(path, text)| ((*path).to_owned(), text.as_bytes().to_vec()))
            .collect(),
    }
}

fn rules(value: Value) -> Rules {
    serde_json::from_value(value).unwrap()
}

fn assertion(value: Value) -> Rules {
    rules(json!({"any_of": [[value]]}))
}

fn fixed(rules: &Rules, text: &str) -> bool {
    let none = Files::default();
    judge(rules, &none, &files(&[("a.yaml", text)]), &none).fixed
}

fn collateral(may: Value, before: &[(&str, &str)], after: &[(&str, &str)]) -> Vec<String> {
    judge(
        &rules(may),
        &files(before),
        &files(after),
        &Files::default(),
    )
    .collateral
}

/// An assertion about the deployment above, and whether it holds.
fn about(path: &str, op: &str, value: Value) -> bool {
    let rule = json!({"object": "Deployment/server", "path": path, "op": op, "value": value});
    fixed(&assertion(rule), SERVER)
}

#[test]
fn each_assertion_can_hold_and_can_fail() {
    let main = "spec/template/spec/containers/name=main";
    let memory = format!("{main}/resources/limits/memory");
    let image = format!("{main}/image");
    let table = [
        (
            image.as_str(),
            "equals",
            json!("server:1"),
            json!("server:2"),
        ),
        (&image, "not_equals", json!("server:2"), json!("server:1")),
        ("spec/replicas", "gte", json!(2), json!(3)),
        ("spec/replicas", "lte", json!(2), json!(1)),
        (&memory, "qty_gte", json!("65536Ki"), json!("65Mi")),
        (&memory, "qty_lte", json!("0.1Gi"), json!("63Mi")),
        (
            "spec/template/spec/containers/*/image",
            "equals",
            json!("server:1"),
            json!("side:1"),
        ),
        (
            "spec/template/spec/containers/1/image",
            "equals",
            json!("side:1"),
            json!("server:1"),
        ),
    ];
    for (path, op, holds, fails) in table {
        assert!(about(path, op, holds.clone()), "{path} {op} {holds}");
        assert!(!about(path, op, fails.clone()), "{path} {op} {fails}");
    }
    assert!(about("spec/paused", "absent", Value::Null));
    assert!(!about("spec/replicas", "absent", Value::Null));
    assert!(about("spec/replicas", "present", Value::Null));
    assert!(!about("spec/paused", "present", Value::Null));
    assert!(
        !about("spec/paused", "qty_gte", json!("1m")),
        "absent is not enough"
    );
}

#[test]
fn an_object_that_is_not_there_satisfies_nothing() {
    let rule = json!({"object": "Deployment/other", "path": "spec", "op": "absent"});
    assert!(!fixed(&assertion(rule), SERVER));
}

#[test]
fn every_assertion_of_one_alternative_must_hold() {
    let holds =
        json!({"object": "Deployment/server", "path": "spec/replicas", "op": "equals", "value": 2});
    let fails =
        json!({"object": "Deployment/server", "path": "spec/replicas", "op": "equals", "value": 3});
    assert!(!fixed(&rules(json!({"any_of": [[holds, fails]]})), SERVER));
    assert!(fixed(&rules(json!({"any_of": [[fails], [holds]]})), SERVER));
    assert!(
        !fixed(&rules(json!({})), SERVER),
        "a case without an answer is never mended"
    );
}

#[test]
fn texts_are_matched_and_golden_json_is_compared_by_meaning() {
    let text = |op| assertion(json!({"file": "a.yaml", "op": op, "value": "image: +server:1"}));
    assert!(fixed(&text("matches"), SERVER) && !fixed(&text("not_matches"), SERVER));
    let config =
        |json: &str| format!("kind: ConfigMap\nmetadata: {{name: c}}\ndata:\n  f: '{json}'\n");
    let rule = json!({"object": "ConfigMap/c", "path": "data/f", "op": "json_equals_gold"});
    let verdict = |mine: &str| {
        let gold = files(&[("c.yaml", &config(r#"{"a": 1, "b": 2}"#))]);
        let after = files(&[("c.yaml", &config(mine))]);
        judge(&assertion(rule.clone()), &Files::default(), &after, &gold).fixed
    };
    assert!(verdict(r#"{ "b":2,"a":1 }"#));
    assert!(!verdict(r#"{"a": 1}"#));
    assert!(!verdict("{"));
}

#[test]
fn meaning_counts_and_form_is_free() {
    let before = "# a\na: 1\nkind: X\nmetadata: {name: x}\nb: [1, 2]\n";
    let after = "kind: 'X'\nmetadata:\n  name: \"x\"\nb:\n- 1\n- 2 # b\na: 0x1\n";
    let none: [String; 0] = [];
    assert_eq!(
        collateral(json!({}), &[("a.yaml", before)], &[("a.yaml", after)]),
        none
    );
}

#[test]
fn a_change_must_lie_below_a_free_path() {
    let before = [("a.yaml", SERVER)];
    let changed = SERVER
        .replace("server:1", "server:2")
        .replace("side:1", "side:2");
    let after = [("a.yaml", changed.as_str())];
    let free = |path: &str| json!({"may_change": [format!("Deployment/server {path}")]});
    let containers = "spec/template/spec/containers";
    let side = format!("Deployment/server {containers}/name=side/image");
    let one = free(&format!("{containers}/name=main/image"));
    assert_eq!(collateral(one, &before, &after), [side]);
    assert!(collateral(free("spec/template"), &before, &after).is_empty());
    assert_eq!(collateral(free("spec/temp"), &before, &after).len(), 2);
    let file = json!({"may_change": ["file:a.yaml spec"]});
    assert!(collateral(file, &before, &after).is_empty());
}

#[test]
fn new_and_lost_objects_are_named() {
    let one = "kind: A\nmetadata: {name: a}\n";
    let two = "kind: A\nmetadata: {name: a}\n---\nkind: B\nmetadata: {name: b}\n";
    let (short, long) = ([("x.yaml", one)], [("x.yaml", two)]);
    assert_eq!(collateral(json!({}), &short, &long), ["added B/b"]);
    assert_eq!(collateral(json!({}), &long, &short), ["deleted B/b"]);
    assert!(collateral(json!({"may_add": ["B/*"]}), &short, &long).is_empty());
    assert!(collateral(json!({"may_delete": ["B/b"]}), &long, &short).is_empty());
    let moved = [("y.yaml", one)];
    assert!(
        collateral(json!({}), &short, &moved).is_empty(),
        "moving is no change"
    );
}

#[test]
fn what_is_no_plain_yaml_is_compared_as_text() {
    let before = [("t.yaml", "a: {{ .b }}\n"), ("n.txt", "x\r\n")];
    let same = [("t.yaml", "a: {{ .b }}\n"), ("n.txt", "x\n")];
    assert!(collateral(json!({}), &before, &same).is_empty());
    let after = [("t.yaml", "a: {{ .c }}\n"), ("n.txt", "x\n")];
    assert_eq!(collateral(json!({}), &before, &after), ["file t.yaml"]);
    assert!(collateral(json!({"may_change": ["file:t.yaml"]}), &before, &after).is_empty());
}

#[test]
fn a_broken_file_loses_its_objects() {
    let before = [("a.yaml", SERVER)];
    let after = [("a.yaml", "kind: [\n")];
    let wanted = ["deleted Deployment/server", "added unparseable"];
    assert_eq!(collateral(json!({}), &before, &after), wanted);
}

#[test]
fn scalars_are_read_as_yaml_1_1() {
    let read = |text: &str| reading::read(text).unwrap();
    let same = [
        ("yes", json!(true)),
        ("Off", json!(false)),
        ("y", json!("y")),
        ("010", json!(8)),
        ("0x1F", json!(31)),
        ("0o10", json!("0o10")),
        ("1_000", json!(1000)),
        ("1:30", json!(90)),
        ("1e3", json!("1e3")),
        ("1.5e+3", json!(1500.0)),
        ("~", Value::Null),
        ("'yes'", json!("yes")),
        ("!!str 5", json!("5")),
    ];
    for (text, value) in same {
        assert_eq!(read(text), value, "{text}");
    }
    assert_ne!(read("2026-01-02"), read("'2026-01-02'"));
    assert_eq!(read("a: 1\na: 2\n"), json!({"a": 2}));
    let merged = "x: &x {a: 1, b: 1}\ny: {<<: *x, b: 2}\n";
    assert_eq!(read(merged)["y"], json!({"a": 1, "b": 2}));
    assert!(reading::read("!mine 5").is_err());
    let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x]\n".to_owned();
    for i in 1..12 {
        let before = format!("*a{}, ", i - 1).repeat(8);
        bomb += &format!("a{i}: &a{i} [{before}]\n");
    }
    assert!(reading::read(&bomb).is_err(), "aliases are bounded");
}

fn policy(spec: &str) -> String {
    format!("kind: NetworkPolicy\nmetadata: {{name: p}}\nspec: {spec}\n")
}

#[test]
fn network_policies_are_judged_by_what_they_let_through() {
    let dns = assertion(
        json!({"object": "NetworkPolicy/*", "path": "", "op": "egress_allows", "value": {"to": "dns", "ports": ["UDP/53"]}}),
    );
    let open = assertion(json!({"object": "NetworkPolicy/*", "path": "", "op": "egress_not_open"}));
    let denied = policy("{podSelector: {}, policyTypes: [Egress]}");
    let to_dns = policy(
        "{podSelector: {}, policyTypes: [Egress], egress: [{to: [{namespaceSelector: {}}], ports: [{protocol: UDP, port: 53}]}]}",
    );
    let all = policy("{podSelector: {}, policyTypes: [Egress], egress: [{}]}");
    assert!(!fixed(&dns, &denied) && fixed(&dns, &to_dns) && fixed(&dns, &all));
    assert!(fixed(&open, &denied) && fixed(&open, &to_dns) && !fixed(&open, &all));
    let into = assertion(
        json!({"object": "NetworkPolicy/*", "path": "", "op": "ingress_allows",
        "value": {"to": {"app": "b"}, "pod": {"app": "a"}, "ports": ["TCP/80"]}}),
    );
    let from = |app: &str| {
        policy(&format!(
            "{{podSelector: {{matchLabels: {{app: b}}}}, ingress: [{{from: [{{podSelector: {{matchLabels: {{app: {app}}}}}}}], ports: [{{port: 80}}]}}]}}"
        ))
    };
    assert!(fixed(&into, &from("a")) && !fixed(&into, &from("c")));
    let other = policy("{podSelector: {matchLabels: {app: z}}}");
    assert!(
        fixed(&into, &other),
        "a policy for other pods blocks nothing"
    );
}

#[test]
fn bindings_bind_exactly_one_subject() {
    let rule = assertion(json!({"object": "RoleBinding/*", "path": "", "op": "binds",
        "value": {"role": "Role/reader", "subject": "ServiceAccount/team/bot"}}));
    let binding = |subjects: &str| {
        format!(
            "kind: RoleBinding\nmetadata: {{name: b, namespace: team}}\nroleRef: {{kind: Role, name: reader}}\nsubjects: [{subjects}]\n"
        )
    };
    assert!(fixed(&rule, &binding("{kind: ServiceAccount, name: bot}")));
    assert!(!fixed(
        &rule,
        &binding("{kind: ServiceAccount, name: bot, namespace: x}")
    ));
    assert!(!fixed(
        &rule,
        &binding("{kind: ServiceAccount, name: bot}, {kind: User, name: u}")
    ));
}

#[test]
fn pod_specs_are_judged_by_security_and_memory_volumes() {
    let at = "spec";
    let restricted = assertion(json!({"object": "Pod/p", "path": at, "op": "psa_restricted"}));
    let pod = |spec: &str| format!("kind: Pod\nmetadata: {{name: p}}\nspec: {spec}\n");
    let safe = "{runAsNonRoot: true, allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}, seccompProfile: {type: RuntimeDefault}}";
    let good = pod(&format!(
        "{{containers: [{{name: c, securityContext: {safe}}}]}}"
    ));
    assert!(fixed(&restricted, &good));
    for broken in [
        "drop: [ALL]",
        "RuntimeDefault",
        "runAsNonRoot: true",
        "allowPrivilegeEscalation: false",
    ] {
        assert!(
            !fixed(
                &restricted,
                &good.replace(broken, &broken.replace(['A', 'R', 't', 'f'], "x"))
            ),
            "{broken}"
        );
    }
    let shm = assertion(
        json!({"object": "Pod/p", "path": at, "op": "memory_emptydir_at",
        "value": {"container": "c", "path": "/dev/shm", "min": "64Mi"}}),
    );
    let mounted = |volume: &str| {
        pod(&format!(
            "{{containers: [{{name: c, volumeMounts: [{{name: s, mountPath: /dev/shm/}}]}}], volumes: [{{name: s, emptyDir: {volume}}}]}}"
        ))
    };
    assert!(fixed(&shm, &mounted("{medium: Memory}")));
    assert!(fixed(&shm, &mounted("{medium: Memory, sizeLimit: 64Mi}")));
    assert!(!fixed(&shm, &mounted("{medium: Memory, sizeLimit: 32Mi}")));
    assert!(!fixed(&shm, &mounted("{}")));
}
