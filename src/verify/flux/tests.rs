#![allow(clippy::unwrap_used)]
use super::*;

const OURS: &str = "cccccccccccccccccccccccccccccccccccccccc";
const OLD: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
const LATER: &str = "dddddddddddddddddddddddddddddddddddddddd";

fn is_ancestor(a: &str, b: &str) -> Option<bool> {
    let rank = |c: &str| [OLD, OURS, LATER].iter().position(|x| *x == c);
    Some(rank(a)? <= rank(b)?)
}

fn question() -> Question<'static> {
    Question {
        commit: OURS,
        merged_at: "2026-01-02T12:00:00Z".parse().unwrap(),
        now: "2026-01-02T12:09:59Z".parse().unwrap(),
        is_ancestor: &is_ancestor,
    }
}

fn object(yaml: &str) -> Object {
    Object::new(crate::manifest::read_stream(yaml).unwrap().remove(0)).unwrap()
}

fn source(revision: &str, more: &str) -> Object {
    object(&format!(
        "{{kind: GitRepository, metadata: {{name: g}}, spec: {{{more}}}, status: {{artifact: {{revision: 'main@sha1:{revision}'}}}}}}"
    ))
}

fn kustomization_of(attempted: &str, applied: &str, conditions: &str) -> Object {
    object(&format!(
        "{{kind: Kustomization, metadata: {{name: k, generation: 2}}, spec: {{}}, status: {{observedGeneration: 2, lastAttemptedRevision: 'main@sha1:{attempted}', lastAppliedRevision: 'main@sha1:{applied}', conditions: [{conditions}]}}}}"
    ))
}

const READY: &str = "{type: Ready, status: 'True', reason: ReconciliationSucceeded, lastTransitionTime: '2026-01-02T12:00:00Z'}";

fn ask(source: &Object, object: &Object) -> Applied {
    kustomization(Some(source), object, &question())
}

#[test]
fn applied_means_applied_and_ready_and_observed() {
    for revision in [OURS, LATER] {
        let got = ask(
            &source(revision, ""),
            &kustomization_of(revision, revision, READY),
        );
        assert!(
            matches!(&got, Applied::Applied { at: Some(_), revision: r } if r.ends_with(revision)),
            "{got:?}"
        );
    }
    let behind = object(&format!(
        "{{kind: Kustomization, metadata: {{name: k, generation: 3}}, status: {{observedGeneration: 2, lastAppliedRevision: 'main@sha1:{OURS}', conditions: [{READY}]}}}}"
    ));
    assert!(matches!(
        ask(&source(OURS, ""), &behind),
        Applied::Applying { .. }
    ));
}

#[test]
fn fetched_attempted_and_applied_are_three_things() {
    let old = kustomization_of(OLD, OLD, READY);
    assert_eq!(
        ask(&source(OLD, ""), &old),
        Applied::NotSeen {
            at: Some(format!("main@sha1:{OLD}"))
        }
    );
    assert!(matches!(
        ask(&source(OURS, ""), &old),
        Applied::Applying { .. }
    ));
    let progressing = "{type: Ready, status: Unknown, reason: Progressing, message: running health checks}, {type: Reconciling, status: 'True', reason: Progressing}";
    assert!(matches!(
        ask(&source(OURS, ""), &kustomization_of(OURS, OLD, progressing)),
        Applied::Applying { .. }
    ));
}

/// Everything was applied before the health checks began, so the workload tells.
#[test]
fn a_failed_health_check_comes_after_the_apply() {
    let ready = "{type: Ready, status: 'False', reason: HealthCheckFailed, message: timeout}";
    for applied in [OLD, OURS] {
        let got = ask(&source(OURS, ""), &kustomization_of(OURS, applied, ready));
        assert!(matches!(got, Applied::Applied { .. }), "{got:?}");
    }
    let old = ask(&source(OURS, ""), &kustomization_of(OLD, OLD, ready));
    assert!(matches!(old, Applied::Applying { .. }), "{old:?}");
}

#[test]
fn a_failed_attempt_with_our_commit_is_a_failure() {
    for reason in ["BuildFailed", "PruneFailed", "ReconciliationFailed"] {
        let ready = format!("{{type: Ready, status: 'False', reason: {reason}, message: denied}}");
        let got = ask(&source(OURS, ""), &kustomization_of(OURS, OLD, &ready));
        assert_eq!(
            got,
            Applied::Failed {
                message: format!("{reason}: denied"),
                resources: Vec::new()
            }
        );
        let retry =
            format!("{ready}, {{type: Reconciling, status: 'True', reason: ProgressingWithRetry}}");
        assert!(matches!(
            ask(&source(OURS, ""), &kustomization_of(OURS, OLD, &retry)),
            Applied::Failed { .. }
        ));
    }
    for awaited in ["DependencyNotReady", "ArtifactFailed"] {
        let ready = format!("{{type: Ready, status: 'False', reason: {awaited}, message: wait}}");
        assert!(matches!(
            ask(&source(OURS, ""), &kustomization_of(OURS, OLD, &ready)),
            Applied::Applying { .. }
        ));
    }
    // the failure of an attempt without our commit is not ours
    let ready = "{type: Ready, status: 'False', reason: BuildFailed, message: denied}";
    assert!(matches!(
        ask(&source(OLD, ""), &kustomization_of(OLD, OLD, ready)),
        Applied::NotSeen { .. }
    ));
}

#[test]
fn what_is_suspended_waits() {
    let k = kustomization_of(OLD, OLD, READY);
    assert_eq!(
        ask(&source(OURS, "suspend: true"), &k),
        Applied::Waiting {
            why: Wait::Suspended
        }
    );
    let k = object("{kind: Kustomization, metadata: {name: k}, spec: {suspend: true}}");
    assert_eq!(
        ask(&source(OURS, ""), &k),
        Applied::Waiting {
            why: Wait::Suspended
        }
    );
}

#[test]
fn a_rewritten_branch_is_unknown() {
    let lost = "b".repeat(40);
    assert!(matches!(
        ask(&source(&lost, ""), &kustomization_of(&lost, &lost, READY)),
        Applied::Unknown { .. }
    ));
}

fn release(status: &str) -> Applied {
    let carrier = Applied::Applied {
        at: None,
        revision: OURS.to_owned(),
    };
    let yaml = format!(
        "{{kind: HelmRelease, metadata: {{name: web, namespace: shop, generation: 4}}, spec: {{}}, status: {status}}}"
    );
    helm_release(carrier, &object(&yaml))
}

#[test]
fn a_release_is_applied_when_it_is_observed_deployed_and_ready() {
    let good = format!(
        "{{observedGeneration: 4, lastAttemptedRevision: 1.2.3, conditions: [{READY}], history: [{{status: deployed, lastDeployed: '2026-01-02T12:01:00Z'}}]}}"
    );
    assert!(matches!(
        release(&good),
        Applied::Applied { at: Some(_), .. }
    ));
    assert!(matches!(
        release(&good.replace("observedGeneration: 4", "observedGeneration: 3")),
        Applied::Applying { .. }
    ));
    assert!(matches!(
        release(&good.replace("status: deployed", "status: failed")),
        Applied::Applying { .. }
    ));
}

#[test]
fn a_suspended_release_waits() {
    let carrier = Applied::Applied {
        at: None,
        revision: OURS.to_owned(),
    };
    let held = object("{kind: HelmRelease, metadata: {name: web}, spec: {suspend: true}}");
    let why = Wait::Suspended;
    assert_eq!(helm_release(carrier, &held), Applied::Waiting { why });
}

#[test]
fn a_release_that_was_rolled_back_or_stalled_is_a_failure() {
    let back = "{observedGeneration: 4, conditions: [{type: Ready, status: 'False', reason: RollbackSucceeded, message: rolled}, {type: Remediated, status: 'True', message: to revision 3}], history: [{status: deployed}]}";
    assert!(
        matches!(release(back), Applied::Failed { message, .. } if message.contains("rolled back"))
    );
    let stalled = "{observedGeneration: 4, conditions: [{type: Ready, status: 'False', reason: UpgradeFailed, message: timed out}, {type: Stalled, status: 'True', reason: RetriesExceeded, message: no more retries}]}";
    assert!(
        matches!(release(stalled), Applied::Failed { message, .. } if message.contains("no more retries") && message.contains("timed out"))
    );
}

#[test]
fn a_release_waits_for_what_carries_it() {
    let carrier = Applied::NotSeen { at: None };
    let got = helm_release(
        carrier.clone(),
        &object("{kind: HelmRelease, metadata: {name: web}}"),
    );
    assert_eq!(got, carrier);
}

/// A chart and its release, from what the source controller and the Helm controller wrote.
fn charted(strategy: &str, chart: &str, release: &str) -> Applied {
    let chart = object(&format!(
        "{{kind: HelmChart, metadata: {{name: c}}, spec: {{reconcileStrategy: {strategy}}}, status: {chart}}}"
    ));
    let release = object(&format!(
        "{{kind: HelmRelease, metadata: {{name: web, generation: 4}}, spec: {{}}, status: {release}}}"
    ));
    super::chart(Some(&source(OURS, "")), &chart, &release, &question())
}

fn built_of(seen: &str, version: &str, at: &str) -> String {
    format!(
        "{{observedSourceArtifactRevision: 'main@sha1:{seen}', artifact: {{revision: '{version}', lastUpdateTime: '{at}'}}}}"
    )
}

fn release_of(version: &str) -> String {
    format!(
        "{{observedGeneration: 4, lastAttemptedRevision: '{version}', conditions: [{READY}], history: [{{status: deployed, chartVersion: '{version}', lastDeployed: '2026-01-02T12:01:00Z'}}]}}"
    )
}

const BEFORE: &str = "2026-01-02T11:00:00Z";
const AFTER: &str = "2026-01-02T12:00:30Z";

#[test]
fn a_chart_of_each_revision_is_applied_when_its_version_is_released() {
    let (old, new) = ("0.1.0+aaaaaaaaaaaa", "0.1.0+cccccccccccc");
    let done = charted("Revision", &built_of(OURS, new, AFTER), &release_of(new));
    assert!(matches!(done, Applied::Applied { at: Some(_), revision } if revision.ends_with(OURS)));
    // not built, not released, and rolled back
    let seen = charted("Revision", &built_of(OLD, old, BEFORE), &release_of(old));
    assert!(matches!(seen, Applied::Applying { .. }), "{seen:?}");
    let stale = charted("Revision", &built_of(OURS, old, BEFORE), &release_of(old));
    assert!(matches!(stale, Applied::Applying { .. }), "{stale:?}");
    let built = charted("Revision", &built_of(OURS, new, AFTER), &release_of(old));
    assert!(matches!(built, Applied::Applying { .. }), "{built:?}");
    let runs = release_of(new).replace("'True'", "Unknown");
    let runs = charted("Revision", &built_of(OURS, new, AFTER), &runs);
    assert!(matches!(runs, Applied::Applying { .. }), "{runs:?}");
    let back = format!(
        "{{observedGeneration: 4, lastAttemptedRevision: '{new}', conditions: [{{type: Ready, status: 'False'}}, {{type: Remediated, status: 'True', message: back}}]}}"
    );
    let back = charted("Revision", &built_of(OURS, new, AFTER), &back);
    assert!(matches!(back, Applied::Failed { .. }), "{back:?}");
}

#[test]
fn a_chart_of_the_same_version_is_never_applied() {
    let same = charted(
        "ChartVersion",
        &built_of(OURS, "0.1.0", BEFORE),
        &release_of("0.1.0"),
    );
    let why = Wait::ChartVersion;
    assert!(why.sentence().contains("version was not raised"));
    assert_eq!(same, Applied::Waiting { why });
    let raised = built_of(OURS, "0.1.1", AFTER);
    let waits = charted("ChartVersion", &raised, &release_of("0.1.0"));
    assert!(matches!(waits, Applied::Applying { .. }), "{waits:?}");
    let done = charted("ChartVersion", &raised, &release_of("0.1.1"));
    assert!(matches!(done, Applied::Applied { .. }), "{done:?}");
}

#[test]
fn a_chart_that_cannot_be_built_is_a_failure_of_the_revision_that_was_seen() {
    let status = |seen: &str| {
        format!(
            "{{observedSourceArtifactRevision: 'main@sha1:{seen}', conditions: [{{type: BuildFailed, status: 'True', message: no name}}]}}"
        )
    };
    let ours = charted("Revision", &status(OURS), "{}");
    assert!(matches!(ours, Applied::Failed { message, .. } if message == "BuildFailed: no name"));
    let before = charted("Revision", &status(OLD), "{}");
    assert!(matches!(before, Applied::Applying { .. }), "{before:?}");
}

#[test]
fn a_source_that_follows_no_branch_waits_for_a_person() {
    let k = || kustomization_of(OLD, OLD, READY);
    for (reference, to) in [
        ("tag: v1", "tag `v1`"),
        ("tag: v1, semver: 1.x", "the newest tag in `1.x`"),
        ("branch: main, commit: abc", "commit `abc`"),
        ("branch: main, name: refs/tags/v1", "`refs/tags/v1`"),
    ] {
        let spec = format!("ref: {{{reference}}}, interval: 10m");
        let why = Wait::Pinned { to: to.to_owned() };
        assert_eq!(ask(&source(OLD, &spec), &k()), Applied::Waiting { why });
        let held = kustomization_of(OURS, OURS, READY);
        assert!(matches!(
            ask(&source(OURS, &spec), &held),
            Applied::Applied { .. }
        ));
        let lost = ask(&source(&"b".repeat(40), &spec), &k());
        assert!(
            matches!(&lost, Applied::Unknown { why } if why.contains(to)),
            "{lost:?}"
        );
    }
    for branch in ["branch: main", "name: refs/heads/main", ""] {
        let got = ask(&source(OLD, &format!("ref: {{{branch}}}")), &k());
        assert!(matches!(got, Applied::NotSeen { .. }), "{branch}: {got:?}");
    }
}

#[test]
fn a_source_waits_until_it_is_asked_and_says_what_it_cannot_fetch() {
    let k = || kustomization_of(OLD, OLD, READY);
    let waits = ask(&source(OLD, "interval: 10m0s"), &k());
    assert!(
        matches!(&waits, Applied::Waiting { why: Wait::NotPolled { how } } if how.contains("every 10m,")
            && how.contains("flux reconcile source git g -n")),
        "{waits:?}"
    );
    for due in ["interval: 9m59s", "interval: 1m", "interval: soon", ""] {
        let got = ask(&source(OLD, due), &k());
        assert!(matches!(got, Applied::NotSeen { .. }), "{due}: {got:?}");
    }
    let failing = object(&format!(
        "{{kind: GitRepository, metadata: {{name: g}}, spec: {{interval: 10m}}, status: {{artifact: {{revision: 'main@sha1:{OLD}'}}, conditions: [{{type: FetchFailed, status: 'True', message: no access}}]}}}}"
    ));
    let detail = "the source cannot be fetched: no access".to_owned();
    assert_eq!(ask(&failing, &k()), Applied::Applying { detail });
}

const DIGEST: &str =
    "latest@sha256:0000000000000000000000000000000000000000000000000000000000000000";
const OTHER: &str =
    "latest@sha256:1111111111111111111111111111111111111111111111111111111111111111";

/// An artifact, and what the source controller read of the commit that it was made from.
fn artifact(revision: &str, origin: &str) -> Object {
    object(&format!(
        "{{kind: OCIRepository, metadata: {{name: g}}, spec: {{ref: {{tag: latest}}}}, status: {{artifact: {{revision: '{revision}', metadata: {{{origin}}}}}}}}}"
    ))
}

fn made_from(commit: &str) -> String {
    format!("org.opencontainers.image.revision: 'main@sha1:{commit}'")
}

fn of_artifact(status: &str) -> Object {
    object(&format!(
        "{{kind: Kustomization, metadata: {{name: k, generation: 2}}, spec: {{sourceRef: {{kind: OCIRepository, name: g}}}}, status: {{observedGeneration: 2, {status}}}}}"
    ))
}

#[test]
fn an_artifact_tells_the_commit_that_it_was_made_from() {
    let applied = |origin: &str| {
        of_artifact(&format!(
            "lastAttemptedRevision: '{DIGEST}', lastAppliedRevision: '{DIGEST}', lastAppliedOriginRevision: '{origin}', conditions: [{READY}]"
        ))
    };
    // without the source too: older permissions do not let it be read
    for source in [Some(artifact(DIGEST, &made_from(OURS))), None] {
        let got = kustomization(
            source.as_ref(),
            &applied(&format!("main@sha1:{OURS}")),
            &question(),
        );
        assert!(
            matches!(&got, Applied::Applied { revision, .. } if revision.ends_with(OURS)),
            "{got:?}"
        );
    }
    let old = applied(&format!("main/{OLD}"));
    let got = kustomization(None, &old, &question());
    assert!(matches!(got, Applied::NotSeen { .. }), "{got:?}");
    let fetched = ask(&artifact(OTHER, &made_from(OURS)), &old);
    assert!(matches!(fetched, Applied::Applying { .. }), "{fetched:?}");
}

#[test]
fn a_failed_attempt_of_an_artifact_is_one_of_its_commit() {
    let failed = "{type: Ready, status: 'False', reason: BuildFailed, message: denied}";
    let attempted = |history: &str| {
        of_artifact(&format!(
            "lastAttemptedRevision: '{OTHER}', lastAppliedRevision: '{DIGEST}', lastAppliedOriginRevision: 'main@sha1:{OLD}', conditions: [{failed}], history: [{history}]"
        ))
    };
    let by_source = ask(&artifact(OTHER, &made_from(OURS)), &attempted(""));
    assert!(matches!(by_source, Applied::Failed { .. }), "{by_source:?}");
    let of = |commit: &str| {
        format!(
            "{{lastReconciledStatus: BuildFailed, metadata: {{revision: '{OTHER}', originRevision: 'main@sha1:{commit}'}}}}"
        )
    };
    let by_history = kustomization(None, &attempted(&of(OURS)), &question());
    assert!(
        matches!(by_history, Applied::Failed { .. }),
        "{by_history:?}"
    );
    let before = kustomization(None, &attempted(&of(OLD)), &question());
    assert!(matches!(before, Applied::NotSeen { .. }), "{before:?}");
}

#[test]
fn an_artifact_that_tells_no_commit_is_unknown_and_says_why() {
    let k = of_artifact(&format!(
        "lastAttemptedRevision: '{DIGEST}', lastAppliedRevision: '{DIGEST}', conditions: [{READY}]"
    ));
    for source in [Some(artifact(DIGEST, "")), None] {
        let got = kustomization(source.as_ref(), &k, &question());
        assert!(
            matches!(&got, Applied::Unknown { why } if why.contains("does not tell the Git commit") && !why.contains("rewritten")),
            "{got:?}"
        );
    }
}

/// The chart before was built in the very second of the merge.
#[test]
fn a_chart_of_the_second_of_the_merge_is_ours_only_if_our_commit_was_there() {
    let built = built_of(OURS, "0.1.0", "2026-01-02T12:00:00Z");
    let with = |revision: &str, fetched: &str| {
        let source = object(&format!(
            "{{kind: GitRepository, metadata: {{name: g}}, spec: {{}}, status: {{artifact: {{revision: 'main@sha1:{revision}', lastUpdateTime: '{fetched}'}}}}}}"
        ));
        let chart = object(&format!(
            "{{kind: HelmChart, metadata: {{name: c}}, spec: {{reconcileStrategy: ChartVersion}}, status: {built}}}"
        ));
        let release = object(&format!(
            "{{kind: HelmRelease, metadata: {{name: web, generation: 4}}, spec: {{}}, status: {}}}",
            release_of("0.1.0")
        ));
        super::chart(Some(&source), &chart, &release, &question())
    };
    let why = Wait::ChartVersion;
    assert_eq!(with(OURS, "2026-01-02T12:00:01Z"), Applied::Waiting { why });
    for (revision, fetched) in [
        (OURS, "2026-01-02T12:00:00Z"),
        // when ours was fetched is not known any more
        (LATER, "2026-01-02T12:00:09Z"),
    ] {
        let got = with(revision, fetched);
        assert!(matches!(got, Applied::Applied { .. }), "{fetched}: {got:?}");
    }
}

/// What is written while the health of a revision is checked.
fn checking(revision: &str, since: &str) -> String {
    format!(
        "{{type: Ready, status: Unknown, reason: Progressing, message: Reconciliation in progress}}, \
         {{type: Reconciling, status: 'True', reason: Progressing, message: 'Running health checks for revision {revision} with a timeout of 59m30s', lastTransitionTime: '{since}'}}, \
         {{type: Healthy, status: Unknown, reason: Progressing}}"
    )
}

const STARTED: &str = "2026-01-02T11:30:00Z";

fn checked_old() -> Applied {
    let why = Wait::HealthCheck {
        of: "aaaaaaaaaaaa".to_owned(),
        until: "2026-01-02T12:29:30Z".parse().unwrap(),
    };
    Applied::Waiting { why }
}

/// Nothing else is begun while the health of an older revision is checked.
#[test]
fn a_health_check_of_an_older_revision_is_a_wait() {
    let of_old = checking(&format!("main@sha1:{OLD}"), STARTED);
    for fetched in [OURS, LATER] {
        let got = ask(&source(fetched, ""), &kustomization_of(OLD, OLD, &of_old));
        assert_eq!(got, checked_old(), "{fetched}");
    }
    let Applied::Waiting { why } = checked_old() else {
        panic!()
    };
    let told = why.sentence();
    assert!(
        told.contains("aaaaaaaaaaaa") && told.contains("2026-01-02 12:29 UTC"),
        "{told}"
    );
    let not_fetched = ask(&source(OLD, ""), &kustomization_of(OLD, OLD, &of_old));
    assert!(
        matches!(not_fetched, Applied::NotSeen { .. }),
        "{not_fetched:?}"
    );
}

#[test]
fn a_health_check_of_our_own_revision_is_no_wait() {
    for ours in [OURS, LATER] {
        let running = checking(&format!("main@sha1:{ours}"), STARTED);
        let got = ask(&source(ours, ""), &kustomization_of(ours, OLD, &running));
        assert!(matches!(got, Applied::Applying { .. }), "{got:?}");
    }
    // the attempt with ours began, and what is written is of another moment
    let running = checking(&format!("main@sha1:{OURS}"), STARTED);
    let got = ask(&source(OURS, ""), &kustomization_of(OLD, OLD, &running));
    assert!(matches!(got, Applied::Applying { .. }), "{got:?}");
    // what was attempted is not known, so it may have been ours
    let lost = "b".repeat(40);
    let running = checking(&format!("main@sha1:{lost}"), STARTED);
    let got = ask(&source(OURS, ""), &kustomization_of(&lost, OLD, &running));
    assert!(matches!(got, Applied::Applying { .. }), "{got:?}");
}

/// A wait must end: with the timeout, or with the check.
#[test]
fn a_health_check_that_is_over_is_no_wait() {
    let old = format!("main@sha1:{OLD}");
    let running = checking(&old, STARTED);
    let failed = running
        .replace("status: Unknown", "status: 'False'")
        .replace(
            "status: 'False', reason: Progressing",
            "status: 'False', reason: HealthCheckFailed",
        )
        .replace(
            "status: 'True', reason: Progressing",
            "status: 'True', reason: ProgressingWithRetry",
        );
    for over in [
        checking(&old, "2026-01-02T11:00:00Z"),
        checking(&old, "soon"),
        running.replace("59m30s", "long"),
        running.replace("Running health checks", "Building manifests"),
        failed.clone(),
        format!("{running}, {{type: Stalled, status: 'True'}}"),
    ] {
        let got = ask(&source(OURS, ""), &kustomization_of(OLD, OLD, &over));
        assert!(matches!(got, Applied::Applying { .. }), "{over}: {got:?}");
    }
    let ours = failed.replace(OLD, OURS);
    let got = ask(&source(OURS, ""), &kustomization_of(OURS, OLD, &ours));
    assert!(
        matches!(got, Applied::Applied { .. }),
        "the workload tells: {got:?}"
    );
}

#[test]
fn a_health_check_of_an_older_artifact_is_told_by_its_commit() {
    let k = of_artifact(&format!(
        "lastAttemptedRevision: '{DIGEST}', lastAppliedRevision: '{DIGEST}', lastAppliedOriginRevision: 'main@sha1:{OLD}', conditions: [{}]",
        checking(DIGEST, STARTED)
    ));
    assert_eq!(ask(&artifact(OTHER, &made_from(OURS)), &k), checked_old());
}

fn awaiting(message: &str) -> String {
    format!(
        "{{type: Ready, status: 'False', reason: DependencyNotReady, observedGeneration: 2, message: \"{message}\"}}"
    )
}

fn depends_on(name: &str) -> Applied {
    let on = name.to_owned();
    Applied::Waiting {
        why: Wait::Dependency { on },
    }
}

const INFRA: &str = "dependency 'flux-system/infra' is not ready";

#[test]
fn a_dependency_that_is_not_ready_is_a_wait_and_named() {
    for message in [
        INFRA,
        "dependency 'flux-system/infra' revision is not up to date",
        "dependency 'flux-system/infra' is not ready according to readyExpr eval",
        "unable to get 'flux-system/infra' dependency: not found",
    ] {
        let got = ask(
            &source(OURS, ""),
            &kustomization_of(OLD, OLD, &awaiting(message)),
        );
        assert_eq!(got, depends_on("flux-system/infra"), "{message}");
    }
    let never = object(&format!(
        "{{kind: Kustomization, metadata: {{name: k, generation: 2}}, spec: {{}}, status: {{conditions: [{}]}}}}",
        awaiting(INFRA)
    ));
    let got = ask(&source(OURS, ""), &never);
    assert_eq!(got, depends_on("flux-system/infra"));
    let on = "flux-system/infra".to_owned();
    let told = Wait::Dependency { on }.sentence();
    assert!(told.contains("`flux-system/infra`"), "{told}");
}

/// An attempt with our commit did not succeed before, so a wait may hide a failure of it.
#[test]
fn a_dependency_holds_up_only_what_was_not_tried() {
    let lost = "b".repeat(40);
    for tried in [OURS, LATER, lost.as_str()] {
        let k = kustomization_of(tried, OLD, &awaiting(INFRA));
        let got = ask(&source(LATER, ""), &k);
        assert!(matches!(got, Applied::Applying { .. }), "{tried}: {got:?}");
    }
    for other in [
        awaiting("failed to evaluate 'dep.status'"),
        awaiting("no such key"),
        awaiting(INFRA).replace("observedGeneration: 2", "observedGeneration: 1"),
        awaiting(INFRA).replace("DependencyNotReady", "ArtifactFailed"),
        format!("{}, {{type: Stalled, status: 'True'}}", awaiting(INFRA)),
    ] {
        let got = ask(&source(OURS, ""), &kustomization_of(OLD, OLD, &other));
        assert!(matches!(got, Applied::Applying { .. }), "{other}: {got:?}");
    }
    let k = kustomization_of(OLD, OLD, &awaiting(INFRA));
    let not_fetched = ask(&source(OLD, ""), &k);
    assert!(
        matches!(not_fetched, Applied::NotSeen { .. }),
        "{not_fetched:?}"
    );
}

/// The Helm controller does not write that it observed a release while that waits.
#[test]
fn a_release_waits_for_its_dependency_until_it_is_tried() {
    let awaits = "{type: Ready, status: 'False', reason: DependencyNotReady, observedGeneration: 4, message: \"dependency 'shop/db' is not ready\"}";
    let with = |generation: u8, condition: &str| {
        release(&format!(
            "{{observedGeneration: {generation}, lastAttemptedGeneration: {generation}, conditions: [{condition}], history: [{{status: deployed}}]}}"
        ))
    };
    assert_eq!(with(3, awaits), depends_on("shop/db"));
    let never = release(&format!("{{conditions: [{awaits}]}}"));
    assert_eq!(never, depends_on("shop/db"));
    let before = awaits.replace("observedGeneration: 4", "observedGeneration: 3");
    for (generation, condition) in [(4, awaits), (3, before.as_str())] {
        let got = with(generation, condition);
        assert!(matches!(got, Applied::Applying { .. }), "{got:?}");
    }
    let (old, new) = ("0.1.0+aaaaaaaaaaaa", "0.1.0+cccccccccccc");
    let of_chart = |version: &str| {
        let status = release_of(version).replace(READY, awaits);
        charted("Revision", &built_of(OURS, new, AFTER), &status)
    };
    assert_eq!(of_chart(old), depends_on("shop/db"));
    let tried = of_chart(new);
    assert!(matches!(tried, Applied::Applying { .. }), "{tried:?}");
}
