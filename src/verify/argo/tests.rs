#![allow(clippy::unwrap_used)]
use super::*;

const OURS: &str = "cccccccccccccccccccccccccccccccccccccccc";
const OLD: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
const LATER: &str = "dddddddddddddddddddddddddddddddddddddddd";
const SIBLING: &str = "eeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeee";
const LOST: &str = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";
const URL: &str = "https://git.example/acme/gitops";

/// OLD ← OURS ← LATER; SIBLING branches off OLD; LOST is not in the repository.
fn is_ancestor(a: &str, b: &str) -> Option<bool> {
    let rank = |c: &str| [OLD, OURS, LATER].iter().position(|x| *x == c);
    match (rank(a), rank(b)) {
        _ if a == LOST || b == LOST => None,
        (Some(a), Some(b)) => Some(a <= b),
        _ => Some(false),
    }
}

fn ask(yaml: &str) -> Applied {
    let app = Object::new(serde_json::to_value(serde_yaml_value(yaml)).unwrap()).unwrap();
    applied(
        &app,
        &Question {
            commit: OURS,
            repo_url: URL,
            is_ancestor: &is_ancestor,
            same_repo: &|a, b| a.trim_end_matches(".git") == b,
            objects: &[&ObjectRef::new(
                "apps/v1",
                "Deployment",
                Some("shop"),
                "web",
            )],
        },
    )
}

fn serde_yaml_value(yaml: &str) -> Value {
    crate::manifest::read_stream(yaml).unwrap().remove(0)
}

/// An Application of one source; `status` in flow style.
fn app(spec: &str, status: &str) -> String {
    format!(
        "{{apiVersion: argoproj.io/v1alpha1, kind: Application, metadata: {{name: web}}, spec: {{source: {{repoURL: '{URL}.git', path: web}}{spec}}}, status: {status}}}"
    )
}

const AUTO: &str = ", syncPolicy: {automated: {}}";

fn synced(revision: &str, result: &str, reconciled: &str) -> String {
    format!(
        "{{sync: {{status: Synced, revision: {revision}}}, reconciledAt: '{reconciled}', operationState: {{phase: Succeeded, finishedAt: '2026-01-02T12:00:00Z', syncResult: {{revision: {result}}}}}}}"
    )
}

#[test]
fn equal_and_later_revisions_are_applied_and_siblings_are_not() {
    for revision in [OURS, LATER] {
        let got = ask(&app(
            AUTO,
            &synced(revision, revision, "2026-01-02T12:00:05Z"),
        ));
        let at = "2026-01-02T12:00:00Z".parse().ok();
        assert_eq!(
            got,
            Applied::Applied {
                at,
                revision: revision.to_owned()
            }
        );
    }
    for revision in [OLD, SIBLING] {
        let got = ask(&app(
            AUTO,
            &synced(revision, revision, "2026-01-02T12:00:05Z"),
        ));
        assert_eq!(
            got,
            Applied::NotSeen {
                at: Some(revision.to_owned())
            }
        );
    }
    let got = ask(&app(AUTO, &synced(LOST, LOST, "2026-01-02T12:00:05Z")));
    assert!(matches!(got, Applied::Unknown { .. }), "{got:?}");
}

#[test]
fn a_state_from_before_the_end_of_the_sync_does_not_count() {
    let got = ask(&app(AUTO, &synced(OURS, OURS, "2026-01-02T11:59:59Z")));
    assert!(matches!(got, Applied::Applying { .. }), "{got:?}");
}

#[test]
fn a_revision_that_moved_without_an_operation_counts_from_the_comparison() {
    let got = ask(&app(AUTO, &synced(OURS, OLD, "2026-01-02T12:00:05Z")));
    let at = "2026-01-02T12:00:05Z".parse().ok();
    assert_eq!(
        got,
        Applied::Applied {
            at,
            revision: OURS.to_owned()
        }
    );
}

#[test]
fn no_revision_shows_the_error_of_the_generation() {
    let status = "{sync: {status: Unknown, revision: null}, conditions: [{type: ComparisonError, message: kustomize build failed}]}";
    let got = ask(&app(AUTO, status));
    assert_eq!(
        got,
        Applied::Applying {
            detail: "ComparisonError: kustomize build failed".to_owned()
        }
    );
}

#[test]
fn out_of_sync_without_automation_waits_for_a_person() {
    let status = format!("{{sync: {{status: OutOfSync, revision: {OURS}}}}}");
    for spec in ["", ", syncPolicy: {automated: {enabled: false}}"] {
        assert_eq!(
            ask(&app(spec, &status)),
            Applied::Waiting {
                why: Wait::ManualSync
            },
            "{spec}"
        );
    }
    assert!(matches!(ask(&app(AUTO, &status)), Applied::Applying { .. }));
}

#[test]
fn an_operation_on_an_older_revision_blocks() {
    // as Argo CD has it: the request stays while it is tried again
    let running = |seen: &str| {
        format!(
            "{{sync: {{status: OutOfSync, revision: {seen}}}, operationState: {{phase: Running, message: Retrying, retryCount: 3, operation: {{sync: {{revision: {OLD}}}}}}}}}, operation: {{sync: {{revision: {OLD}}}}}"
        )
    };
    for seen in [OLD, OURS] {
        assert_eq!(
            ask(&app(AUTO, &running(seen))),
            Applied::Waiting {
                why: Wait::OldOperation
            }
        );
    }
    let ours = running(OURS).replace(
        &format!("{{sync: {{revision: {OLD}}}}}"),
        &format!("{{sync: {{revision: {OURS}}}}}"),
    );
    assert_eq!(
        ask(&app(AUTO, &ours)),
        Applied::Applying {
            detail: "Retrying".to_owned()
        }
    );
}

#[test]
fn a_failed_operation_with_our_commit_names_what_failed() {
    let status = |revision: &str| {
        format!(
            "{{sync: {{status: OutOfSync, revision: {OURS}}}, operationState: {{phase: Failed, message: one or more objects failed, syncResult: {{revision: {revision}, resources: [{{kind: Job, namespace: shop, name: seed, status: SyncFailed}}, {{kind: Service, namespace: shop, name: web, status: Synced}}]}}}}}}"
        )
    };
    let got = ask(&app(AUTO, &status(OURS)));
    let message = "one or more objects failed".to_owned();
    assert_eq!(
        got,
        Applied::Failed {
            message,
            resources: vec!["Job/shop/seed".to_owned()]
        }
    );
    // the failure of an older revision is not ours
    assert!(matches!(
        ask(&app(AUTO, &status(OLD))),
        Applied::Applying { .. }
    ));
}

#[test]
fn the_source_is_found_by_its_url_and_charts_are_not_sources() {
    let yaml = format!(
        "{{kind: Application, metadata: {{name: web}}, spec: {{sources: [{{repoURL: 'https://charts.example', chart: web}}, {{repoURL: '{URL}', ref: values}}]}}, status: {{sync: {{status: Synced, revisions: ['1.2.3', {OURS}]}}, reconciledAt: '2026-01-02T12:00:00Z'}}}}"
    );
    assert!(matches!(ask(&yaml), Applied::Applied { .. }));
    let elsewhere = yaml.replace(&format!("'{URL}'"), "'https://git.example/other/repo'");
    assert!(matches!(ask(&elsewhere), Applied::Unknown { .. }));
}

#[test]
fn with_a_hydrator_the_dry_commit_counts() {
    let yaml = |dry: &str, synced: &str| {
        format!(
            "{{kind: Application, metadata: {{name: web}}, spec: {{sourceHydrator: {{drySource: {{repoURL: '{URL}', path: web}}}}}}, status: {{sync: {{status: Synced, revision: {synced}}}, reconciledAt: '2026-01-02T12:00:00Z', sourceHydrator: {{lastSuccessfulOperation: {{drySHA: {dry}, hydratedSHA: {SIBLING}}}}}}}}}"
        )
    };
    assert!(matches!(ask(&yaml(OURS, SIBLING)), Applied::Applied { .. }));
    assert!(matches!(
        ask(&yaml(LATER, SIBLING)),
        Applied::Applied { .. }
    ));
    assert!(matches!(ask(&yaml(OLD, SIBLING)), Applied::NotSeen { .. }));
    assert!(matches!(ask(&yaml(OURS, OLD)), Applied::Applying { .. }));
}

#[test]
fn wrong_shapes_read_as_absent() {
    for status in [
        "7",
        "[]",
        "{sync: 7}",
        "{sync: {revision: [1]}}",
        "{operationState: []}",
        "null",
    ] {
        let got = ask(&app(AUTO, status));
        assert!(
            matches!(got, Applied::Applying { .. } | Applied::NotSeen { .. }),
            "{status}: {got:?}"
        );
    }
}

/// Some fields are never in sync; what counts is what the commit changes.
#[test]
fn an_application_that_is_out_of_sync_for_others_has_applied_ours() {
    let web = "kind: Deployment, group: apps, namespace: shop, name: web";
    let with = |ours: &str, phase: &str| {
        format!(
            "{{sync: {{status: OutOfSync, revision: {OURS}}}, reconciledAt: '2026-01-02T12:00:05Z', operationState: {{phase: {phase}, finishedAt: '2026-01-02T12:00:00Z', syncResult: {{revision: {OURS}}}}}, \
             resources: [{{kind: StatefulSet, group: apps, namespace: shop, name: db, status: OutOfSync}}, {ours}]}}"
        )
    };
    let synced = format!("{{{web}, status: Synced}}");
    for spec in [AUTO, ""] {
        let got = ask(&app(spec, &with(&synced, "Succeeded")));
        let at = "2026-01-02T12:00:00Z".parse().ok();
        assert_eq!(
            got,
            Applied::Applied {
                at,
                revision: OURS.to_owned()
            }
        );
    }
    let drifts = format!("{{{web}, status: OutOfSync}}");
    let other = synced.replace("name: web", "name: web-canary");
    for (ours, phase) in [
        (drifts.as_str(), "Succeeded"),
        (other.as_str(), "Succeeded"),
        (synced.as_str(), "Running"),
    ] {
        let got = ask(&app(AUTO, &with(ours, phase)));
        assert!(matches!(got, Applied::Applying { .. }), "{ours}: {got:?}");
    }
    let failed = ask(&app(AUTO, &with(&synced, "Failed")));
    assert!(matches!(failed, Applied::Failed { .. }), "{failed:?}");
}
