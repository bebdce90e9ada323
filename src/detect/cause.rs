//! One finding for one root cause: symptoms give way to what explains them.

use std::collections::BTreeMap;

use crate::finding::{Class, Finding, MAX_PODS, Severity};
use crate::object::ObjectRef;

/// States that follow from something more specific, where that is known.
const SYMPTOMS: &[Class] = &[
    Class::FailedCreate,
    Class::ProgressDeadlineExceeded,
    Class::StatefulSetStuck,
    Class::JobBackoffLimit,
    Class::JobDeadline,
    Class::CronJobFailing,
    Class::CrashLoopBackOff,
    Class::ApplicationError,
];

/// States of an object that names the objects it is about in `related`.
const ABOUT_OTHERS: &[Class] = &[
    Class::ArgoDegraded,
    Class::ArgoSyncFailed,
    Class::FluxKustomizationNotReady,
    Class::FluxHelmReleaseNotReady,
    Class::PdbBlocking,
    Class::UnboundClaim,
    Class::CronJobFailing,
    Class::ServiceNoEndpoints,
];

/// Merges what is the same, and drops what something else explains.
pub(super) fn one_for_each(findings: Vec<Finding>) -> Vec<Finding> {
    let merged = merged(findings);
    let mut near: BTreeMap<Key, Vec<&Finding>> = BTreeMap::new();
    for finding in &merged {
        for object in std::iter::once(&finding.object).chain(&finding.related) {
            near.entry(key(object)).or_default().push(finding);
        }
    }
    // only findings that share an object can explain each other
    let explained = |f: &Finding| {
        let mut objects = std::iter::once(&f.object).chain(&f.related);
        objects.any(|o| {
            near.get(&key(o))
                .into_iter()
                .flatten()
                .any(|other| explains(other, f))
        })
    };
    merged.iter().filter(|f| !explained(f)).cloned().collect()
}

type Key = (String, Option<String>, String);

fn key(object: &ObjectRef) -> Key {
    (
        object.kind.clone(),
        object.namespace.clone(),
        object.name.clone(),
    )
}

/// The same class on the same container of the same object is one finding.
fn merged(findings: Vec<Finding>) -> Vec<Finding> {
    let mut kept: Vec<Finding> = Vec::new();
    let mut places: BTreeMap<(Class, Key, Option<String>), usize> = BTreeMap::new();
    for finding in findings {
        let place = (
            finding.class,
            key(&finding.object),
            finding.container.clone(),
        );
        match places.get(&place).and_then(|i| kept.get_mut(*i)) {
            Some(first) => {
                let fresh: Vec<_> = finding
                    .pods
                    .into_iter()
                    .filter(|p| !first.pods.contains(p))
                    .collect();
                first.pods.extend(fresh);
                first.pods.truncate(MAX_PODS);
                first.severity = first.severity.max(finding.severity);
            }
            None => {
                places.insert(place, kept.len());
                kept.push(finding);
            }
        }
    }
    kept
}

/// Whether `cause` is why `effect` is there.
fn explains(cause: &Finding, effect: &Finding) -> bool {
    if cause == effect {
        return false;
    }
    let same_object = cause.object.same_object(&effect.object);
    let symptom = SYMPTOMS.contains(&effect.class) && rank(cause.class) < rank(effect.class);
    let same_container = cause.container.is_none()
        || effect.container.is_none()
        || cause.container == effect.container;
    // a stray field of an object that runs is worth a look, and no reason to fail
    let lint = cause.class == Class::InvalidManifest && cause.severity == Severity::Low;
    if same_object && symptom && same_container && !lint {
        return true;
    }
    let names_effect = cause.related.iter().any(|r| r.same_object(&effect.object));
    // an engine tells of what it applied, and an autoscaler of its workload: neither makes it fail
    let only_tells = ABOUT_OTHERS.contains(&cause.class) || cause.class == Class::HpaCannotScale;
    let may_cause = rank(cause.class) == 0 && !only_tells;
    if SYMPTOMS.contains(&effect.class) && may_cause && names_effect {
        return true;
    }
    let names_it = effect.related.iter().any(|r| r.same_object(&cause.object));
    let waits = |f: &Finding| f.reason == "DependencyNotReady";
    let deeper = !ABOUT_OTHERS.contains(&cause.class) || (waits(effect) && !waits(cause));
    // what is only worth a look holds nothing up
    let deeper = deeper && cause.severity > Severity::Low;
    ABOUT_OTHERS.contains(&effect.class) && names_it && deeper
}

/// Specific classes come first, then symptoms in the order of the list.
fn rank(class: Class) -> usize {
    // the logs of a crashing container say more than the crash alone
    match class {
        Class::ApplicationError => 1,
        Class::CrashLoopBackOff => 2,
        _ => SYMPTOMS
            .iter()
            .position(|s| *s == class)
            .map_or(0, |p| p + 3),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finding(class: Class, name: &str, container: Option<&str>) -> Finding {
        let object = ObjectRef::new("apps/v1", "Deployment", Some("shop"), name);
        let mut finding = Finding::new(class, Severity::High, object, "broken");
        finding.container = container.map(str::to_owned);
        finding
    }

    fn classes(findings: Vec<Finding>) -> Vec<Class> {
        one_for_each(findings).iter().map(|f| f.class).collect()
    }

    #[test]
    fn a_symptom_gives_way_to_its_cause_on_the_same_object() {
        let cause = finding(Class::ImagePullNotFound, "web", Some("app"));
        let symptom = finding(Class::ProgressDeadlineExceeded, "web", None);
        assert_eq!(
            classes(vec![symptom.clone(), cause.clone()]),
            [Class::ImagePullNotFound]
        );
        assert_eq!(
            classes(vec![symptom.clone()]),
            [Class::ProgressDeadlineExceeded]
        );
        let elsewhere = finding(Class::ImagePullNotFound, "api", Some("app"));
        assert_eq!(classes(vec![symptom, elsewhere]).len(), 2);
    }

    #[test]
    fn refused_pods_say_more_than_a_stuck_rollout() {
        let refused = finding(Class::FailedCreate, "web", None);
        let stuck = finding(Class::ProgressDeadlineExceeded, "web", None);
        assert_eq!(classes(vec![stuck, refused]), [Class::FailedCreate]);
    }

    #[test]
    fn what_others_wait_for_comes_first() {
        let mut infra = finding(Class::FluxKustomizationNotReady, "infra", None);
        infra.reason = "BuildFailed".to_owned();
        let mut apps = finding(Class::FluxKustomizationNotReady, "apps", None);
        apps.reason = "DependencyNotReady".to_owned();
        apps.related = vec![infra.object.clone()];
        let kept = one_for_each(vec![apps.clone(), infra.clone()]);
        assert_eq!(kept, vec![infra.clone()]);
        infra.reason = "DependencyNotReady".to_owned();
        infra.related = vec![apps.object.clone()];
        assert_eq!(one_for_each(vec![apps, infra]).len(), 2, "a circle stays");
    }

    #[test]
    fn two_containers_are_two_causes() {
        let findings = vec![
            finding(Class::CrashLoopBackOff, "web", Some("a")),
            finding(Class::OOMKilled, "web", Some("b")),
        ];
        assert_eq!(classes(findings).len(), 2);
        let findings = vec![
            finding(Class::CrashLoopBackOff, "web", Some("a")),
            finding(Class::OOMKilled, "web", Some("a")),
        ];
        assert_eq!(classes(findings), [Class::OOMKilled]);
    }

    #[test]
    fn many_pods_are_one_finding() {
        let mut findings = Vec::new();
        for i in 0..20 {
            let mut f = finding(Class::OOMKilled, "web", Some("a"));
            f.pods.push(ObjectRef::new(
                "v1",
                "Pod",
                Some("shop"),
                &format!("web-{i}"),
            ));
            findings.push(f);
        }
        let kept = one_for_each(findings);
        assert_eq!(
            (kept.len(), kept.first().map(|f| f.pods.len())),
            (1, Some(MAX_PODS))
        );
    }

    #[test]
    fn a_claim_explains_the_workload_that_waits_for_it() {
        let symptom = finding(Class::ProgressDeadlineExceeded, "web", None);
        let mut claim = Finding::new(
            Class::PvcPending,
            Severity::High,
            ObjectRef::new("v1", "PersistentVolumeClaim", Some("shop"), "data"),
            "pending",
        );
        assert_eq!(classes(vec![symptom.clone(), claim.clone()]).len(), 2);
        claim.related.push(symptom.object.clone());
        assert_eq!(classes(vec![symptom, claim]), [Class::PvcPending]);
    }

    #[test]
    fn an_autoscaler_without_metrics_hides_no_crash() {
        let crash = finding(Class::CrashLoopBackOff, "web", Some("app"));
        let mut scaler = finding(Class::HpaCannotScale, "scaler", None);
        scaler.related = vec![crash.object.clone()];
        assert_eq!(classes(vec![crash, scaler]).len(), 2);
    }

    /// Each would explain the other, and nothing would be left.
    #[test]
    fn whoever_tells_of_a_crash_does_not_hide_it() {
        for class in ABOUT_OTHERS {
            let crash = finding(Class::CrashLoopBackOff, "web", Some("app"));
            let mut teller = finding(*class, "teller", None);
            teller.related = vec![crash.object.clone()];
            assert_eq!(classes(vec![teller, crash]), [Class::CrashLoopBackOff]);
        }
    }

    #[test]
    fn a_stray_field_of_what_runs_hides_no_crash() {
        let low = Finding {
            severity: Severity::Low,
            ..finding(Class::InvalidManifest, "web", None)
        };
        let crash = || finding(Class::CrashLoopBackOff, "web", Some("c"));
        let both = [Class::InvalidManifest, Class::CrashLoopBackOff];
        assert_eq!(classes(one_for_each(vec![low, crash()])), both);
        let high = finding(Class::InvalidManifest, "web", None);
        assert_eq!(
            classes(one_for_each(vec![high, crash()])),
            [Class::InvalidManifest]
        );
    }

    #[test]
    fn an_application_gives_way_to_what_it_names() {
        let cause = finding(Class::OOMKilled, "web", Some("a"));
        let mut app = Finding::new(
            Class::ArgoDegraded,
            Severity::High,
            ObjectRef::new(
                "argoproj.io/v1alpha1",
                "Application",
                Some("argocd"),
                "shop",
            ),
            "degraded",
        );
        assert_eq!(classes(vec![cause.clone(), app.clone()]).len(), 2);
        app.related.push(cause.object.clone());
        let mut hint = cause.clone();
        hint.severity = Severity::Low;
        assert_eq!(classes(vec![hint, app.clone()]).len(), 2, "a hint");
        assert_eq!(classes(vec![cause, app]), [Class::OOMKilled]);
    }
}
