#![allow(clippy::unwrap_used)]
use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::outcome::{Ended, Outputs, fails, plain};
use super::suggest::{Wish, made, shown, suggestions};
use super::*;
use crate::cycle::Touched;
use crate::finding::Severity;

const HEAD: &str = "1111111111111111111111111111111111111111";
const BASE: &str = "2222222222222222222222222222222222222222";

fn decide(name: &str, payload: &Value, reference: &str, mode: &str) -> Result<Task, Refused> {
    let inputs = inputs::read(&inputs::Raw {
        mode,
        ..inputs::Raw::default()
    });
    let prefixes = ["kubemend/".to_owned(), "old-".to_owned()];
    let around = Surroundings {
        name,
        payload,
        reference,
        prefixes: &prefixes,
        base_branch: None,
    };
    task(&around, &inputs.unwrap())
}

/// One word for what is done.
fn word(decided: &Result<Task, Refused>) -> &'static str {
    match decided {
        Ok(Task::Validate { pull: Some(p) }) if p.fork => "validate fork",
        Ok(Task::Validate { pull: Some(_) }) => "validate pull",
        Ok(Task::Validate { pull: None }) => "validate all",
        Ok(Task::Review { .. }) => "review",
        Ok(Task::Propose) => "propose",
        Ok(Task::Converse) => "converse",
        Ok(Task::Start { .. }) => "start",
        Ok(Task::Nothing(_)) => "nothing",
        Err(_) => "refused",
    }
}

fn pull(action: &str, branch: &str, head_repo: Option<u64>) -> Value {
    json!({
        "action": action,
        "sender": {"type": "User"},
        "repository": {"default_branch": "main"},
        "pull_request": {
            "number": 7,
            "body": "x",
            "head": {"ref": branch, "sha": HEAD, "repo": head_repo.map(|id| json!({"id": id}))},
            "base": {"ref": "main", "sha": BASE, "repo": {"id": 1}},
        },
    })
}

/// Scorecard row 64: which event does what, in which mode.
#[test]
fn each_event_has_its_task() {
    let repository = json!({"repository": {"default_branch": "main"}});
    let comment = |action: &str, kind: &str, body: &str| {
        json!({
            "action": action, "sender": {"type": kind}, "repository": {"default_branch": "main"},
            "comment": {"body": body},
        })
    };
    let review = |branch: &str, repo: u64, body: &str| {
        let mut value = pull("submitted", branch, Some(repo));
        value["review"] = json!({"body": body});
        value
    };
    let ticked = |body: &str, kind: &str| json!({"action": "edited", "sender": {"type": kind}, "issue": {"body": body}});
    let dispatch = json!({"action": "alert", "client_payload": {"text": "web is down"}});
    let main = "refs/heads/main";
    let mark = "- [x] retry\n<!-- kubemend:v1 e30.x -->";
    let table: Vec<(&str, Value, &str, &str, &str)> = vec![
        (
            "pull_request",
            pull("opened", "feat", Some(1)),
            "",
            "propose",
            "validate pull",
        ),
        (
            "pull_request",
            pull("synchronize", "feat", Some(1)),
            "",
            "validate",
            "validate pull",
        ),
        (
            "pull_request",
            pull("opened", "feat", Some(1)),
            "",
            "review",
            "review",
        ),
        (
            "pull_request",
            pull("opened", "feat", Some(9)),
            "",
            "review",
            "validate fork",
        ),
        (
            "pull_request",
            pull("opened", "feat", None),
            "",
            "propose",
            "validate fork",
        ),
        // a fork that calls its branch like ours is a fork
        (
            "pull_request",
            pull("opened", "kubemend/x", Some(9)),
            "",
            "review",
            "validate fork",
        ),
        (
            "pull_request",
            pull("opened", "kubemend/x", Some(1)),
            "",
            "propose",
            "nothing",
        ),
        (
            "pull_request",
            pull("opened", "old-x", Some(1)),
            "",
            "validate",
            "nothing",
        ),
        (
            "pull_request",
            pull("closed", "feat", Some(1)),
            "",
            "propose",
            "nothing",
        ),
        (
            "pull_request",
            pull("labeled", "feat", Some(1)),
            "",
            "validate",
            "nothing",
        ),
        (
            "pull_request",
            json!({"action": "opened"}),
            "",
            "validate",
            "refused",
        ),
        (
            "pull_request_target",
            pull("opened", "feat", Some(1)),
            "",
            "validate",
            "refused",
        ),
        (
            "pull_request_target",
            pull("opened", "feat", Some(9)),
            "",
            "propose",
            "refused",
        ),
        ("workflow_run", json!({}), "", "propose", "refused"),
        ("merge_group", json!({}), "", "propose", "validate all"),
        ("push", repository.clone(), main, "propose", "propose"),
        ("push", repository.clone(), main, "validate", "validate all"),
        (
            "push",
            repository.clone(),
            "refs/heads/feat",
            "propose",
            "nothing",
        ),
        (
            "push",
            repository.clone(),
            "refs/heads/feat",
            "validate",
            "validate all",
        ),
        (
            "push",
            repository.clone(),
            "refs/heads/kubemend/x",
            "validate",
            "nothing",
        ),
        (
            "push",
            repository.clone(),
            "refs/tags/v1",
            "propose",
            "nothing",
        ),
        (
            "push",
            json!({"deleted": true, "repository": {"default_branch": "main"}}),
            main,
            "propose",
            "nothing",
        ),
        ("schedule", json!({}), main, "propose", "propose"),
        (
            "workflow_dispatch",
            repository.clone(),
            main,
            "propose",
            "propose",
        ),
        (
            "workflow_dispatch",
            repository.clone(),
            "refs/heads/feat",
            "propose",
            "refused",
        ),
        (
            "workflow_dispatch",
            repository.clone(),
            "refs/heads/feat",
            "validate",
            "validate all",
        ),
        (
            "repository_dispatch",
            dispatch.clone(),
            main,
            "propose",
            "start",
        ),
        (
            "repository_dispatch",
            dispatch,
            main,
            "validate",
            "validate all",
        ),
        (
            "repository_dispatch",
            json!({"action": "x", "client_payload": {}}),
            main,
            "propose",
            "nothing",
        ),
        (
            "issue_comment",
            comment("created", "User", "hello\n  /Kubemend retry"),
            main,
            "propose",
            "converse",
        ),
        (
            "issue_comment",
            comment("created", "User", "see /kubemend retry"),
            main,
            "propose",
            "nothing",
        ),
        (
            "issue_comment",
            comment("edited", "User", "/kubemend retry"),
            main,
            "propose",
            "nothing",
        ),
        (
            "issue_comment",
            comment("deleted", "User", "/kubemend retry"),
            main,
            "propose",
            "nothing",
        ),
        (
            "issue_comment",
            comment("created", "Bot", "/kubemend retry"),
            main,
            "propose",
            "nothing",
        ),
        (
            "issue_comment",
            comment("created", "User", mark),
            main,
            "propose",
            "nothing",
        ),
        (
            "issue_comment",
            comment("created", "User", "/kubemend retry"),
            main,
            "validate",
            "nothing",
        ),
        (
            "pull_request_review",
            review("kubemend/x", 1, "please use 512Mi"),
            "",
            "propose",
            "converse",
        ),
        (
            "pull_request_review",
            review("feat", 1, "please use 512Mi"),
            "",
            "propose",
            "nothing",
        ),
        (
            "pull_request_review",
            review("kubemend/x", 9, "please"),
            "",
            "propose",
            "nothing",
        ),
        ("issues", ticked(mark, "User"), main, "propose", "converse"),
        ("issues", ticked(mark, "Bot"), main, "propose", "nothing"),
        (
            "issues",
            ticked("- [x] other", "User"),
            main,
            "propose",
            "nothing",
        ),
        ("star", json!({}), main, "propose", "nothing"),
        ("", Value::Null, "", "propose", "refused"),
    ];
    for (name, payload, reference, mode, wanted) in table {
        let decided = decide(name, &payload, reference, mode);
        assert_eq!(
            word(&decided),
            wanted,
            "{name} {reference} {mode} {payload} {decided:?}"
        );
    }
}

#[test]
fn the_configured_base_branch_counts() {
    let payload = json!({"repository": {"default_branch": "main"}});
    let inputs = Inputs::default();
    let around = Surroundings {
        name: "push",
        payload: &payload,
        reference: "refs/heads/prod",
        prefixes: &[],
        base_branch: Some("prod"),
    };
    assert_eq!(task(&around, &inputs), Ok(Task::Propose));
}

#[test]
fn a_wrong_input_names_itself() {
    let read = |raw: inputs::Raw<'_>| inputs::read(&raw).unwrap_err();
    let raw = inputs::Raw::default;
    let all = [
        read(inputs::Raw {
            mode: "reveiw",
            ..raw()
        }),
        read(inputs::Raw {
            draft: "yes",
            ..raw()
        }),
        read(inputs::Raw {
            fail_on: "warnings",
            ..raw()
        }),
        read(inputs::Raw {
            max_prs: "many",
            ..raw()
        }),
        read(inputs::Raw {
            dry_run: "1",
            ..raw()
        }),
        read(inputs::Raw {
            cluster: "a b",
            ..raw()
        }),
    ];
    insta::assert_snapshot!(all.join("\n"));
}

#[test]
fn inputs_that_are_left_out_are_the_defaults() {
    let empty = inputs::read(&inputs::Raw::default()).unwrap();
    let wanted = Inputs {
        cluster: "default".to_owned(),
        ..Inputs::default()
    };
    assert_eq!(empty, wanted);
    let given = inputs::read(&inputs::Raw {
        target_version: " v1.31",
        paths: "apps/**\n  infra/*.yaml, ,x",
        fail_on: " Error ",
        max_prs: "3",
        ..inputs::Raw::default()
    });
    let given = given.unwrap();
    assert_eq!(given.paths, ["apps/**", "infra/*.yaml", "x"]);
    assert_eq!(given.target, Some("1.31".parse().unwrap()));
    assert_eq!(given.fail_on, Some(Severity::High));
    assert_eq!(given.overrides.max_open_prs, Some(3));
}

// -- dispatch

fn flux(kind: &str, severity: &str, reason: &str, message: &str) -> Value {
    json!({
        "involvedObject": {"kind": kind, "namespace": "flux-system", "name": "apps"},
        "severity": severity, "timestamp": "2026-11-24T12:00:00Z", "message": message, "reason": reason,
        "metadata": {"kustomize.toolkit.fluxcd.io/revision": format!("main@sha1:{HEAD}")},
        "reportingController": "kustomize-controller",
    })
}

#[test]
fn flux_errors_become_reports() {
    let table = [
        (
            "Kustomization",
            "BuildFailed",
            "kustomize build failed: x",
            "render-error",
        ),
        (
            "Kustomization",
            "ReconciliationFailed",
            "kustomize build failed: x",
            "render-error",
        ),
        (
            "Kustomization",
            "ReconciliationFailed",
            "Deployment/shop/web dry-run failed",
            "apply-error",
        ),
        (
            "Kustomization",
            "HealthCheckFailed",
            "timeout waiting for: [Deployment/shop/web]",
            "alert",
        ),
        (
            "HelmRelease",
            "UpgradeFailed",
            "Helm upgrade failed",
            "apply-error",
        ),
        (
            "GitRepository",
            "GitOperationFailed",
            "cannot clone",
            "alert",
        ),
    ];
    for (kind, reason, message, wanted) in table {
        let told = dispatch::read(
            "Kustomization/apps.flux-system",
            &flux(kind, "error", reason, message),
        )
        .unwrap();
        assert_eq!(told.report.kind, wanted, "{kind} {reason}");
        assert_eq!(
            (told.report.text.as_str(), told.report.namespace),
            (message, None)
        );
        assert_eq!(told.revision.as_deref(), Some(HEAD));
    }
    for severity in ["info", "trace", ""] {
        assert!(
            dispatch::read(
                "x",
                &flux("Kustomization", severity, "ReconciliationSucceeded", "ok")
            )
            .is_err()
        );
    }
}

#[test]
fn argo_failures_become_reports() {
    let base = json!({
        "app": "shop", "namespace": "shop", "phase": "Succeeded", "message": "", "health": "Healthy",
        "conditions": [], "resources": [], "revision": HEAD,
    });
    let with = |changes: Value| {
        let mut value = base.clone();
        value
            .as_object_mut()
            .unwrap()
            .extend(changes.as_object().unwrap().clone());
        dispatch::read("argocd", &value)
    };
    assert!(with(json!({})).is_err());
    let failed = with(
        json!({"phase": "Failed", "message": "one or more objects failed", "resources": [
            {"kind": "Deployment", "namespace": "shop", "name": "web", "status": "SyncFailed", "message": "unknown field \"spec.replica\""},
            {"kind": "Service", "namespace": "shop", "name": "web", "status": "Synced", "message": "ok"},
        ]}),
    );
    let failed = failed.unwrap();
    assert_eq!(failed.report.kind, "apply-error");
    assert_eq!(failed.report.namespace.as_deref(), Some("shop"));
    assert_eq!(
        failed.report.text,
        "Deployment shop/web: unknown field \"spec.replica\""
    );
    assert_eq!(failed.revision.as_deref(), Some(HEAD));
    let unrendered = with(
        json!({"conditions": [{"type": "ComparisonError", "message": "kustomize build failed"}]}),
    );
    assert_eq!(unrendered.unwrap().report.kind, "render-error");
    let degraded = with(json!({"health": "Degraded"})).unwrap();
    assert_eq!(degraded.report.kind, "alert");
    assert_eq!(degraded.report.text, "Application shop is Degraded.");
}

#[test]
fn a_plain_report_is_bounded() {
    let hostile = format!("a\u{0}b\u{1b}[31m\r\n{}", "é".repeat(20_000));
    let payload =
        json!({"text": hostile, "kind": "command", "namespace": "Shop/../x", "revision": "main"});
    let told = dispatch::read("alert", &payload).unwrap();
    assert_eq!(
        (
            told.report.kind.as_str(),
            told.report.namespace,
            told.revision
        ),
        ("alert", None, None)
    );
    assert!(told.report.text.len() <= 16 * 1024 && told.report.text.starts_with("ab[31m\n"));
    for nothing in [
        json!(null),
        json!({}),
        json!([1]),
        json!({"text": ""}),
        json!({"text": 7}),
    ] {
        assert!(dispatch::read("x", &nothing).is_err(), "{nothing}");
    }
}

fn any_json() -> impl Strategy<Value = Value> {
    let keys = prop::sample::select(vec![
        "action",
        "pull_request",
        "number",
        "head",
        "base",
        "repo",
        "ref",
        "sha",
        "id",
        "body",
        "comment",
        "issue",
        "client_payload",
        "involvedObject",
        "app",
        "conditions",
        "resources",
        "metadata",
        "message",
        "severity",
        "text",
    ]);
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        "[a-z:/ \u{0}é]{0,12}".prop_map(Value::from),
        Just(json!("error")),
    ];
    leaf.prop_recursive(4, 64, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((keys.clone(), inner), 0..6).prop_map(|pairs| Value::Object(
                pairs.into_iter().map(|(k, v)| (k.to_owned(), v)).collect()
            )),
        ]
    })
}

proptest! {
    #[test]
    fn no_event_makes_it_panic(payload in any_json(), name in prop::sample::select(vec![
        "pull_request", "push", "workflow_dispatch", "repository_dispatch", "issue_comment",
        "pull_request_review", "issues", "merge_group", "x",
    ]), mode in prop::sample::select(vec!["propose", "validate", "review"])) {
        let _ = decide(name, &payload, "refs/heads/main", mode);
    }

    /// Whatever a value holds, the runner reads the same value back, and no other output.
    #[test]
    fn outputs_cannot_be_forged(branch in "(?s).{0,80}", sarif in "(?s).{0,40}") {
        let outputs = Outputs {
            pulls: vec![touched(3, "created", &branch)],
            sarif: Some(sarif.clone()),
            ..Outputs::default()
        };
        let read = runner(&outputs.file());
        prop_assert_eq!(read.len(), 8);
        prop_assert_eq!(&read["sarif-file"], &sarif);
        let all: Value = serde_json::from_str(&read["pull-requests"]).unwrap();
        prop_assert_eq!(all[0]["branch"].as_str().unwrap(), branch);
    }

    #[test]
    fn a_line_of_the_log_is_no_command(text in "(?s)[:#\\[a-z\n\r ]{0,40}") {
        for line in plain(&text).lines() {
            prop_assert!(!line.contains("::") && !line.contains("##["), "{:?}", line);
        }
    }

    #[test]
    fn hunk_headers_are_read_without_harm(diff in "(?s)(@@ -[0-9]{1,25}(,[0-9]{1,25})? \\+[0-9]{1,25}(,[0-9]{1,25})? @@\n|.){0,6}") {
        let _ = shown(&diff);
    }
}

/// How the runner reads its output file.
fn runner(text: &str) -> BTreeMap<String, String> {
    let mut out = BTreeMap::new();
    let mut rest = text;
    while let Some((first, after)) = rest.split_once('\n') {
        let (name, end) = first.split_once("<<").unwrap();
        let (value, behind) = after.split_once(&format!("\n{end}\n")).unwrap();
        out.insert(name.to_owned(), value.to_owned());
        rest = behind;
    }
    assert_eq!(rest, "");
    out
}

fn touched(number: u64, operation: &'static str, branch: &str) -> Touched {
    Touched {
        number,
        operation,
        fingerprint: "abc".to_owned(),
        branch: branch.to_owned(),
        head: HEAD.to_owned(),
    }
}

#[test]
fn outputs_name_the_pull_request_that_changed() {
    let outputs = Outputs {
        ended: Ended::Findings,
        findings: 3,
        pulls: vec![
            touched(4, "none", "kubemend/a"),
            touched(9, "created", "kubemend/b"),
        ],
        pulls_url: "https://github.com/o/n/pull/".to_owned(),
        head: Some(HEAD.to_owned()),
        ..Outputs::default()
    };
    let read = runner(&outputs.file());
    insta::assert_snapshot!(
        read.iter()
            .map(|(k, v)| format!("{k}={v}\n"))
            .collect::<String>()
    );
}

#[test]
fn the_bound_decides_the_exit_code() {
    assert!(!fails(None, [Severity::Critical]));
    assert!(fails(
        Some(Severity::Medium),
        [Severity::Low, Severity::High]
    ));
    assert!(!fails(Some(Severity::High), [Severity::Medium]));
    let codes = [
        Ended::Success,
        Ended::Findings,
        Ended::Unusable,
        Ended::Frozen,
        Ended::Skipped,
    ];
    assert_eq!(codes.map(Ended::exit_code), [0, 1, 2, 3, 0]);
}

// -- suggestions

const BEFORE: &str = "a: 1\nb: 2\nc: 3\nd: 4\n";

fn wish(after: &'static str) -> Wish<'static> {
    Wish {
        file: "x.yaml",
        before: BEFORE,
        after,
        title: "write 9",
        message: "wrong, @everyone ![x](http://evil)",
        fingerprint: "abc",
    }
}

fn on(lines: &str) -> BTreeMap<String, Vec<std::ops::RangeInclusive<usize>>> {
    BTreeMap::from([("x.yaml".to_owned(), shown(lines))])
}

/// Scorecard row 45.
#[test]
fn suggestions_stay_inside_the_diff() {
    let lines = |after, diff: &str| {
        let all = suggestions(&[wish(after)], &on(diff), &[]);
        all.first().map(|s| s.lines.clone())
    };
    let changed = "a: 1\nb: 9\nc: 3\nd: 4\n";
    assert_eq!(lines(changed, "@@ -1,2 +1,3 @@\n"), Some(2..=2));
    assert_eq!(
        lines(changed, "@@ -3,2 +3,2 @@\n"),
        None,
        "the line is not shown"
    );
    assert_eq!(
        lines(
            "a: 1\nb: 9\nc: 9\nd: 4\n",
            "@@ -1 +1,2 @@ x\n@@ -3 +3,2 @@\n"
        ),
        None,
        "over two hunks"
    );
    assert_eq!(
        lines("a: 1\nb: 2\nx: 0\nc: 3\nd: 4\n", "@@ -0,0 +1,4 @@\n"),
        Some(2..=2),
        "inserted behind line 2"
    );
    assert_eq!(
        lines("a: 9\nb: 2\nc: 3\nd: 9\n", "@@ -0,0 +1,4 @@\n"),
        None,
        "two places"
    );
    assert_eq!(
        lines("x: 0\na: 1\nb: 2\nc: 3\nd: 4\n", "@@ -0,0 +1,4 @@\n"),
        None,
        "nothing is above it"
    );
    assert!(suggestions(&[wish(changed)], &BTreeMap::new(), &[]).is_empty());
}

#[test]
fn a_suggestion_is_made_once() {
    let wishes = [
        wish("a: 1\nb: 9\nc: 3\nd: 4\n"),
        wish("a: 1\nb: 9\nc: 3\nd: 4\n"),
    ];
    let first = suggestions(&wishes, &on("@@ -1,4 +1,4 @@\n"), &[]);
    assert_eq!(first.len(), 1);
    insta::assert_snapshot!(first[0].body);
    let made = made([first[0].body.as_str(), "something else"]);
    assert_eq!(made, [first[0].id.clone()]);
    assert!(suggestions(&wishes, &on("@@ -1,4 +1,4 @@\n"), &made).is_empty());
}

#[test]
fn a_suggestion_cannot_leave_its_fence() {
    let hostile = Wish {
        before: "a: 1\n",
        after: "a: \"````\"\n",
        ..wish("")
    };
    let all = suggestions(&[hostile], &on("@@ -1 +1 @@\n"), &[]);
    assert!(
        all[0]
            .body
            .contains("\n`````suggestion\na: \"````\"\n`````\n"),
        "{}",
        all[0].body
    );
}
