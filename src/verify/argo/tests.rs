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
    ask_of(yaml, "web/deployment.yaml", None)
}

fn object(yaml: &str) -> Object {
    Object::new(crate::manifest::read_stream(yaml).unwrap().remove(0)).unwrap()
}

fn ask_of(yaml: &str, file: &str, project: Option<&Object>) -> Applied {
    ask_at("2026-01-02T12:00:00Z", yaml, file, project)
}

fn ask_at(now: &str, yaml: &str, file: &str, project: Option<&Object>) -> Applied {
    applied(
        &object(yaml),
        &Question {
            commit: OURS,
            merged_at: "2026-01-02T11:59:00Z".parse().unwrap(),
            now: now.parse().unwrap(),
            files: &[file],
            project,
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
    assert_eq!(ask(&app(AUTO, &status(OLD))), not_started());
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
    // ours never is in sync either, or drifts: it was synced, and its fields tell
    let drifts = format!("{{{web}, status: OutOfSync}}");
    let got = ask(&app(AUTO, &with(&drifts, "Succeeded")));
    assert!(matches!(got, Applied::Applied { .. }), "{got:?}");
    let older = with(&drifts, "Succeeded").replace(
        &format!("syncResult: {{revision: {OURS}}}"),
        &format!("syncResult: {{revision: {OLD}}}"),
    );
    assert_eq!(ask(&app(AUTO, &older)), not_started());
    let running = ask(&app(AUTO, &with(&synced, "Running")));
    assert!(matches!(running, Applied::Applying { .. }), "{running:?}");
    let failed = ask(&app(AUTO, &with(&synced, "Failed")));
    assert!(matches!(failed, Applied::Failed { .. }), "{failed:?}");
}

fn not_started() -> Applied {
    Applied::Waiting {
        why: Wait::NotStarted { windows: None },
    }
}

/// What the last operation and the conditions say, of an Application that was compared with ours.
fn closed(last: &str, conditions: &str) -> String {
    format!(
        "{{sync: {{status: OutOfSync, revision: {OURS}}}, reconciledAt: '2026-01-02T12:00:05Z', operationState: {last}, conditions: [{conditions}]}}"
    )
}

fn ended(phase: &str, revision: &str) -> String {
    format!(
        "{{phase: {phase}, finishedAt: '2026-01-02T10:00:00Z', syncResult: {{revision: {revision}}}}}"
    )
}

/// As a closed window looks: nothing is written of it, and what failed before stays written.
#[test]
fn what_was_compared_and_is_not_begun_waits() {
    for last in [
        ended("Succeeded", OLD),
        ended("Failed", OLD),
        "null".to_owned(),
    ] {
        assert_eq!(ask(&app(AUTO, &closed(&last, ""))), not_started(), "{last}");
    }
    let old = "{type: SyncError, message: Failed last sync attempt, lastTransitionTime: '2026-01-02T10:00:00Z'}";
    assert_eq!(
        ask(&app(AUTO, &closed(&ended("Failed", OLD), old))),
        not_started()
    );
    let later = closed(&ended("Succeeded", OLD), "").replace(OURS, LATER);
    assert_eq!(
        ask(&app(AUTO, &later)),
        not_started(),
        "a later commit holds it"
    );
}

/// A wait must not hide that something is wrong.
#[test]
fn what_stands_in_the_way_is_no_wait() {
    let old = ended("Succeeded", OLD);
    for (kind, since) in [
        ("SyncError", "2026-01-02T12:00:05Z"),
        ("ComparisonError", "2026-01-02T10:00:00Z"),
        ("InvalidSpecError", "2026-01-02T12:00:05Z"),
    ] {
        let error = format!(
            "{{type: {kind}, message: it would remove everything, lastTransitionTime: '{since}'}}"
        );
        let detail = format!("{kind}: it would remove everything");
        assert_eq!(
            ask(&app(AUTO, &closed(&old, &error))),
            Applied::Applying { detail }
        );
    }
    let undated = closed(&old, "{type: SyncError, message: no}");
    assert!(matches!(
        ask(&app(AUTO, &undated)),
        Applied::Applying { .. }
    ));
    let state = closed(&ended("Succeeded", OURS), "")
        .replace("12:00:05Z', operationState", "09:59:00Z', operationState");
    let unread = ask(&app(AUTO, &state));
    assert!(matches!(unread, Applied::Applying { .. }), "{unread:?}");
    let failed = ask(&app(AUTO, &closed(&ended("Error", OURS), "")));
    assert!(matches!(failed, Applied::Failed { .. }), "{failed:?}");
    let requested = app(AUTO, &closed(&old, "")) + "";
    let requested = requested.replacen("spec:", "operation: {sync: {}}, spec:", 1);
    assert!(matches!(ask(&requested), Applied::Applying { .. }));
}

#[test]
fn an_operation_that_a_window_holds_back_waits_whatever_its_revision() {
    for pinned in [OLD, OURS] {
        let last = format!(
            "{{phase: Running, message: Sync operation blocked by sync window, operation: {{sync: {{revision: {pinned}}}}}}}"
        );
        let why = Wait::SyncWindow { windows: None };
        assert_eq!(
            ask(&app(AUTO, &closed(&last, ""))),
            Applied::Waiting { why },
            "{pinned}"
        );
    }
}

fn windows(all: &str) -> Option<String> {
    let destination = ", destination: {server: 'https://kubernetes.default.svc', namespace: shop}";
    let yaml = app(&format!("{AUTO}{destination}"), &closed("null", ""));
    let project = object(&format!(
        "{{kind: AppProject, metadata: {{name: default}}, spec: {{syncWindows: [{all}]}}}}"
    ));
    match ask_of(&yaml, "web/deployment.yaml", Some(&project)) {
        Applied::Waiting {
            why: Wait::NotStarted { windows },
        } => windows,
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_windows_of_a_project_that_concern_an_application_are_named() {
    let window =
        |more: &str| format!("{{kind: deny, schedule: '0 22 * * *', duration: 8h, {more}}}");
    let named = Some("deny `0 22 * * *` for 8h UTC".to_owned());
    for ours in [
        "applications: [we*]",
        "namespaces: [shop]",
        "clusters: ['*']",
        "applications: [other], namespaces: [shop]",
        "applications: ['*'], namespaces: [shop], andOperator: true",
    ] {
        assert_eq!(windows(&window(ours)), named, "{ours}");
    }
    for foreign in [
        "applications: [api]",
        "namespaces: [shop-2]",
        "applications: [other], namespaces: [shop], andOperator: true",
        "andOperator: true",
    ] {
        assert_eq!(windows(&window(foreign)), None, "{foreign}");
    }
    let zone = window("applications: ['*'], timeZone: Europe/Paris");
    let many = vec![zone; 5].join(", ");
    let told = windows(&many).unwrap();
    assert!(told.ends_with("8h Europe/Paris, 2 more"), "{told}");
    assert_eq!(windows("7, {applications: 7}"), None);
}

/// Nothing to do but what nobody prunes.
#[test]
fn what_git_has_no_more_and_nobody_prunes_is_no_difference() {
    let with = |policy: &str, api: &str| {
        let status = format!(
            "{{sync: {{status: OutOfSync, revision: {OURS}}}, reconciledAt: '2026-01-02T12:00:05Z', operationState: {}, resources: [{{kind: Service, namespace: shop, name: old, status: OutOfSync, requiresPruning: true}}, {{kind: Deployment, group: apps, namespace: shop, name: api, status: {api}}}]}}",
            ended("Succeeded", OLD)
        );
        ask(&app(policy, &status))
    };
    let left = with(AUTO, "Synced");
    assert!(matches!(left, Applied::Applied { .. }), "{left:?}");
    assert_eq!(with(AUTO, "OutOfSync"), not_started());
    let prunes = ", syncPolicy: {automated: {prune: true}}";
    assert_eq!(with(prunes, "Synced"), not_started());
}

fn targeting(target: &str, revision: &str) -> Applied {
    let yaml = app(AUTO, &synced(revision, revision, "2026-01-02T12:00:05Z"));
    ask(&yaml.replacen(
        "path: web",
        &format!("path: web, targetRevision: '{target}'"),
        1,
    ))
}

#[test]
fn a_source_that_follows_a_tag_or_a_commit_waits_for_a_person() {
    for (target, to) in [
        ("v1.2.3", "tag `v1.2.3`"),
        (OLD, &format!("commit `{OLD}`")),
        ("1.*", "the newest tag in `1.*`"),
    ] {
        let why = Wait::Pinned { to: to.to_owned() };
        assert_eq!(targeting(target, OLD), Applied::Waiting { why });
        assert!(matches!(targeting(target, OURS), Applied::Applied { .. }));
        let lost = targeting(target, LOST);
        assert!(
            matches!(&lost, Applied::Unknown { why } if why.contains(to) && !why.contains("rewritten")),
            "{lost:?}"
        );
    }
    for branch in ["main", "HEAD", "", "release-1.2"] {
        assert!(
            matches!(targeting(branch, OLD), Applied::NotSeen { .. }),
            "{branch}"
        );
    }
}

#[test]
fn a_source_that_was_not_asked_since_the_merge_waits() {
    let at = |reconciled: &str| ask(&app(AUTO, &synced(OLD, OLD, reconciled)));
    let before = at("2026-01-02T11:58:59Z");
    assert!(
        matches!(&before, Applied::Waiting { why: Wait::NotPolled { how } } if how.contains("--refresh")),
        "{before:?}"
    );
    assert!(matches!(
        at("2026-01-02T11:59:00Z"),
        Applied::NotSeen { .. }
    ));
    // whoever looks every few minutes and has not for an hour does not look
    let yaml = app(AUTO, &synced(OLD, OLD, "2026-01-02T11:58:59Z"));
    let late = ask_at("2026-01-02T12:59:00Z", &yaml, "web/deployment.yaml", None);
    assert!(matches!(late, Applied::NotSeen { .. }), "{late:?}");
}

/// A kustomization reads files outside of its folder, so nobody knows which source a file belongs to.
#[test]
fn what_is_pinned_beside_a_branch_holds_nothing_up() {
    let with = |target: &str| {
        let yaml = format!(
            "{{kind: Application, metadata: {{name: web}}, spec: {{sources: [{{repoURL: '{URL}', path: overlays/prod, targetRevision: main}}, {{repoURL: '{URL}', path: addons, targetRevision: {target}}}]}}, status: {{sync: {{status: Synced, revisions: [{OURS}, {OLD}]}}, reconciledAt: '2026-01-02T12:00:00Z'}}}}"
        );
        ask_of(&yaml, "base/deployment.yaml", None)
    };
    assert!(matches!(with("v1.2.3"), Applied::Applied { .. }));
    assert!(matches!(with("main"), Applied::NotSeen { .. }));
}

/// A person rolls back, or a sync takes an old revision: nothing waits then.
#[test]
fn a_revision_that_was_applied_and_is_not_any_more_is_told() {
    let history = |entries: &str| {
        format!(
            "{}, history: [{entries}]}}",
            closed(&ended("Succeeded", OLD), "").trim_end_matches('}')
        )
    };
    let ours = format!("{{id: 1, revision: {OURS}}}, {{id: 2, revision: {OLD}}}");
    let before = format!("{{id: 1, revision: {OLD}}}");
    for policy in [AUTO, ""] {
        let back = ask(&app(policy, &history(&ours)));
        assert!(
            matches!(&back, Applied::Unknown { why } if why.contains("went back to") && why.contains(OLD)),
            "{back:?}"
        );
        let never = ask(&app(policy, &history(&before)));
        assert!(matches!(never, Applied::Waiting { .. }), "{never:?}");
    }
}

/// The same repository twice, once for the values of a chart.
#[test]
fn the_source_that_reads_the_changed_file_decides() {
    let with = |first: &str, second: &str, file: &str| {
        let yaml = format!(
            "{{kind: Application, metadata: {{name: web}}, spec: {{sources: [{{repoURL: '{URL}', path: charts/web, helm: {{valueFiles: [$values/env/prod.yaml, ../shared.yaml]}}}}, {{repoURL: '{URL}', ref: values}}]}}, status: {{sync: {{status: Synced, revisions: [{first}, {second}]}}, reconciledAt: '2026-01-02T12:00:00Z'}}}}"
        );
        matches!(ask_of(&yaml, file, None), Applied::Applied { .. })
    };
    for (first, second, file, wanted) in [
        (OURS, OLD, "charts/web/values.yaml", true),
        (OLD, OURS, "charts/web/values.yaml", false),
        (OURS, OLD, "env/prod.yaml", false),
        (OLD, OURS, "env/prod.yaml", true),
        // nobody knows which of them reads it
        (OURS, OLD, "charts/shared.yaml", false),
        (OLD, OURS, "charts/shared.yaml", false),
        (OURS, OURS, "charts/shared.yaml", true),
    ] {
        assert_eq!(with(first, second, file), wanted, "{first} {second} {file}");
    }
}

fn dried(spec: &str, status: &str) -> Applied {
    ask(&format!(
        "{{kind: Application, metadata: {{name: web}}, spec: {{sourceHydrator: {{drySource: {{repoURL: '{URL}', path: web}}}}{spec}}}, status: {status}}}"
    ))
}

#[test]
fn a_hydrator_that_failed_says_so() {
    let with = |dry: &str, phase: &str| {
        let status = format!(
            "{{sync: {{status: Synced, revision: {SIBLING}}}, sourceHydrator: {{currentOperation: {{phase: {phase}, message: no such chart, drySHA: '{dry}'}}, lastSuccessfulOperation: {{drySHA: {OLD}, hydratedSHA: {SIBLING}}}}}}}"
        );
        dried(AUTO, &status)
    };
    let message = "the hydrator failed: no such chart".to_owned();
    for dry in [OURS, LATER] {
        let resources = Vec::new();
        let message = message.clone();
        assert_eq!(with(dry, "Failed"), Applied::Failed { message, resources });
    }
    assert_eq!(with("", "Failed"), Applied::Applying { detail: message });
    // an older one, and one that runs
    assert!(matches!(with(OLD, "Failed"), Applied::NotSeen { .. }));
    assert!(matches!(with(OURS, "Hydrating"), Applied::NotSeen { .. }));
}

#[test]
fn what_was_hydrated_is_synced_like_anything_else() {
    let with = |spec: &str, sync: &str, last: &str| {
        let status = format!(
            "{{sync: {{status: {sync}, revision: {SIBLING}}}, reconciledAt: '2026-01-02T12:00:05Z', operationState: {last}, sourceHydrator: {{lastSuccessfulOperation: {{drySHA: {LATER}, hydratedSHA: {SIBLING}}}}}}}"
        );
        dried(spec, &status)
    };
    let manual = Applied::Waiting {
        why: Wait::ManualSync,
    };
    assert_eq!(with("", "OutOfSync", &ended("Succeeded", OLD)), manual);
    assert_eq!(
        with(AUTO, "OutOfSync", &ended("Succeeded", OLD)),
        not_started()
    );
    let failed = with(AUTO, "OutOfSync", &ended("Failed", SIBLING));
    assert!(matches!(failed, Applied::Failed { .. }), "{failed:?}");
    let done = with(AUTO, "Synced", &ended("Succeeded", SIBLING));
    assert!(
        matches!(&done, Applied::Applied { revision, .. } if revision == LATER),
        "the dry commit: {done:?}"
    );
}

/// The commit that mends a workload cannot come while a sync waits for that workload.
#[test]
fn a_sync_that_waits_for_health_is_told_apart_by_its_revision() {
    for phase in ["Running", "Terminating"] {
        let with = |revision: &str| {
            let last = format!(
                "{{phase: {phase}, message: waiting for healthy state of apps/Deployment/web, operation: {{sync: {{revision: {revision}}}}}}}"
            );
            ask(&app(AUTO, &closed(&last, "")))
        };
        let why = Wait::OldOperation;
        assert_eq!(with(OLD), Applied::Waiting { why });
        let detail = "waiting for healthy state of apps/Deployment/web".to_owned();
        assert_eq!(with(OURS), Applied::Applying { detail });
    }
}

#[test]
fn a_hook_that_fails_is_named() {
    let last = format!(
        "{{phase: Failed, message: one or more synchronization tasks completed unsuccessfully, syncResult: {{revision: {OURS}, resources: [{{kind: Job, namespace: shop, name: migrate, hookPhase: Failed, syncPhase: PreSync}}]}}}}"
    );
    let got = ask(&app(AUTO, &closed(&last, "")));
    assert!(
        matches!(&got, Applied::Failed { resources, .. } if resources[..] == ["Job/shop/migrate"]),
        "{got:?}"
    );
}

/// It can be stuck so, and a rollout can pass through it: the workload tells.
#[test]
fn the_health_of_an_application_decides_nothing() {
    for health in ["Degraded", "Progressing", "Suspended", "Missing", "Unknown"] {
        let status = synced(OURS, OURS, "2026-01-02T12:00:05Z");
        let ill = status.replacen('{', &format!("{{health: {{status: {health}}}, "), 1);
        let got = ask(&app(AUTO, &ill));
        assert!(matches!(got, Applied::Applied { .. }), "{health}: {got:?}");
    }
}

/// What an operation says that was asked to sync something, and what is written as its result.
fn operating(phase: &str, asked: &str, result: &str, message: &str) -> Applied {
    let last = format!(
        "{{phase: {phase}, message: '{message}', operation: {{sync: {{{asked}}}}}, syncResult: {{{result}}}}}"
    );
    ask(&app(AUTO, &closed(&last, "")))
}

const AWAITS_HEALTH: &str = "waiting for healthy state of apps/Deployment/web";

/// A branch is resolved once, and a sync that waits keeps what it was then.
#[test]
fn a_running_sync_of_a_branch_is_told_by_what_it_resolved() {
    let of = |commit: &str| format!("revision: {commit}");
    for asked in [
        "revision: main",
        "revision: ''",
        "revision: HEAD",
        "prune: true",
    ] {
        for phase in ["Running", "Terminating"] {
            let why = Wait::OldOperation;
            let old = operating(phase, asked, &of(OLD), AWAITS_HEALTH);
            assert_eq!(old, Applied::Waiting { why }, "{phase} {asked}");
        }
        // ours, a later one, and what is not known to be older
        for commit in [OURS, LATER, SIBLING, LOST] {
            let detail = AWAITS_HEALTH.to_owned();
            let got = operating("Running", asked, &of(commit), AWAITS_HEALTH);
            assert_eq!(got, Applied::Applying { detail }, "{asked} {commit}");
        }
    }
    let hook = "waiting for completion of hook batch/Job/migrate and 1 more hooks";
    let why = Wait::OldOperation;
    let old = operating("Running", "revision: main", &of(OLD), hook);
    assert_eq!(old, Applied::Waiting { why });
}

/// Argo CD merges a new operation into what is written of the one before.
#[test]
fn the_result_of_an_earlier_operation_says_nothing_of_the_one_that_runs() {
    let old = format!("revision: {OLD}");
    for message in [
        "successfully synced (all tasks run)",
        "one or more objects failed to apply. Retrying attempt #1 at 12:00PM.",
        "Operation terminated",
        "",
    ] {
        let got = operating("Running", "revision: main", &old, message);
        assert!(
            matches!(got, Applied::Applying { .. }),
            "{message}: {got:?}"
        );
    }
    // what was asked for is more than a result
    let asked = format!("revision: {OURS}");
    let got = operating("Running", &asked, &old, AWAITS_HEALTH);
    assert!(matches!(got, Applied::Applying { .. }), "{got:?}");
    let ended = operating("Failed", "revision: main", &asked, "no such field");
    assert!(matches!(ended, Applied::Failed { .. }), "{ended:?}");
}

#[test]
fn a_running_sync_of_several_sources_is_told_by_its_own_source() {
    let with = |result: &str| {
        ask(&format!(
            "{{kind: Application, metadata: {{name: web}}, spec: {{sources: [{{repoURL: 'https://charts.example', chart: web}}, {{repoURL: '{URL}', path: web, targetRevision: main}}]}}, status: {{sync: {{status: OutOfSync, revisions: ['1.2.3', {OURS}]}}, reconciledAt: '2026-01-02T12:00:05Z', operationState: {{phase: Running, message: {AWAITS_HEALTH}, operation: {{sync: {{revisions: ['1.2.3', main]}}}}, syncResult: {{revisions: ['1.2.3', {result}]}}}}}}}}"
        ))
    };
    let why = Wait::OldOperation;
    assert_eq!(with(OLD), Applied::Waiting { why });
    let ours = with(OURS);
    assert!(matches!(ours, Applied::Applying { .. }), "{ours:?}");
}
