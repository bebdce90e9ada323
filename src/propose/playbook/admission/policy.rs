//! Pod Security, service accounts, webhooks and classes that refuse pods.

use crate::case::Case;
use crate::code::Code;
use crate::detect::admission::LEVEL;
use crate::detect::scheduling::CAUSE;
use crate::finding::fact;
use crate::near::misspelled;
use crate::object::Object;
use crate::propose::Answer;
use crate::propose::playbook::build::{ask, by_hand, refuse};

pub(super) fn run(case: &Case<'_>) -> Option<Answer> {
    match case.finding.fact(CAUSE)? {
        "pod-security" => Some(pod_security(case)),
        "service-account" => Some(service_account(case)),
        "missing-class" => Some(missing_class(case)),
        "broken-webhook" => Some(refuse(
            Code::InfrastructureFault,
            format!(
                "{}; {}; the webhook's own workload has to answer again",
                case.finding.summary, case.finding.message
            ),
        )),
        "policy" => Some(policy(case)),
        _ => Some(refuse(
            Code::NoSafeFix,
            format!("{}; {}", case.finding.summary, case.finding.message),
        )),
    }
}

fn facts(case: &Case<'_>) -> Vec<String> {
    let finding = case.finding;
    let mut out = vec![finding.summary.clone()];
    if !finding.message.is_empty() && !finding.summary.contains(&finding.message) {
        out.push(finding.message.clone());
    }
    out
}

fn pod_security(case: &Case<'_>) -> Answer {
    let object = &case.finding.object;
    let level = case.finding.fact(LEVEL).unwrap_or_default();
    let namespace = object.namespace.as_deref().unwrap_or_default();
    let violations = violations(&case.finding.message);
    let mut diagnosis = vec![
        case.finding.summary.clone(),
        format!(
            "Namespace {namespace} enforces Pod Security level {level} (label pod-security.kubernetes.io/enforce)"
        ),
    ];
    diagnosis.extend(violations.iter().map(|v| format!("violation: {v}")));
    let name = level.split(':').next().unwrap_or(level);
    let options = vec![
        by_hand(format!(
            "make {object} compliant: {} (kubemend does not change security contexts, group A; check that the image runs that way)",
            remedy(&violations)
        )),
        by_hand(format!(
            "relax the label pod-security.kubernetes.io/enforce={name} of Namespace {namespace} (needs approval, rule F03)"
        )),
        by_hand(format!(
            "move {object} to a namespace whose policy allows it"
        )),
    ];
    let title = format!(
        "{object} violates Pod Security {level} of Namespace {namespace}: should its securityContext change, or the policy?"
    );
    ask(Code::OwnerDecision, title, diagnosis, options)
}

/// The violations of the message, one by one: commas inside parentheses and brackets do not part them.
fn violations(message: &str) -> Vec<String> {
    let body = message.split_once("\": ").map_or(message, |(_, b)| b);
    let (mut out, mut depth, mut current) = (Vec::new(), 0_u32, String::new());
    for c in body.chars().take(4000) {
        match c {
            '(' | '[' => depth += 1,
            ')' | ']' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if c == ',' && depth == 0 {
            out.push(std::mem::take(&mut current));
        } else {
            current.push(c);
        }
    }
    out.push(current);
    out.iter()
        .map(|v| v.trim().to_owned())
        .filter(|v| !v.is_empty())
        .collect()
}

/// What each violation takes to be gone.
fn remedy(violations: &[String]) -> String {
    const REMEDIES: &[(&str, &str)] = &[
        (
            "allowPrivilegeEscalation",
            "securityContext.allowPrivilegeEscalation: false",
        ),
        ("capabilities", "securityContext.capabilities.drop: [ALL]"),
        (
            "runAsNonRoot",
            "securityContext.runAsNonRoot: true with a runAsUser other than 0",
        ),
        ("runAsUser", "securityContext.runAsUser other than 0"),
        (
            "seccompProfile",
            "securityContext.seccompProfile.type: RuntimeDefault",
        ),
        ("privileged", "no securityContext.privileged"),
        ("host namespaces", "no hostNetwork, hostPID or hostIPC"),
        ("hostPath", "no hostPath volumes"),
        (
            "restricted volume types",
            "only volumes of type configMap, csi, downwardAPI, emptyDir, ephemeral, persistentVolumeClaim, projected, secret",
        ),
        ("hostPort", "no hostPort"),
        ("procMount", "no procMount"),
        ("seLinuxOptions", "no other seLinuxOptions"),
        ("sysctls", "only safe sysctls"),
        ("AppArmor", "the default AppArmor profile"),
    ];
    let mut out: Vec<&str> = Vec::new();
    for violation in violations {
        let hits = REMEDIES.iter().filter(|(sign, _)| violation.contains(sign));
        for (_, cure) in hits {
            if !out.contains(cure) {
                out.push(cure);
            }
        }
    }
    if out.is_empty() {
        return "see the violations".to_owned();
    }
    out.join(", ")
}

fn names_of(case: &Case<'_>, kind: &str, namespace: Option<&str>) -> Vec<String> {
    let live = case.snapshot.in_namespace(kind, namespace).into_iter();
    let git = case.desired.iter().map(|d| &d.object);
    let git = git.filter(|o| o.kind() == kind && o.namespace() == namespace);
    let mut names: Vec<String> = live.chain(git).map(|o| o.name().to_owned()).collect();
    names.sort_unstable();
    names.dedup();
    names
}

fn service_account(case: &Case<'_>) -> Answer {
    let object = &case.finding.object;
    let namespace = object.namespace.as_deref();
    let missing = case.finding.fact(fact::MISSING_NAME).unwrap_or_default();
    let defined = |o: &Object| o.kind() == "ServiceAccount" && o.name() == missing;
    if let Some(git) = case
        .desired
        .iter()
        .find(|d| defined(&d.object) && d.object.namespace() == namespace)
    {
        return refuse(
            Code::PendingSync,
            format!(
                "{}; Git defines that ServiceAccount in {}, so it has only not been applied: sync it",
                case.finding.summary, git.file
            ),
        );
    }
    let names = names_of(case, "ServiceAccount", namespace);
    let mut diagnosis = facts(case);
    diagnosis.push(format!("serviceAccountName of {object} is {missing}, and that ServiceAccount is not found in namespace {}", namespace.unwrap_or_default()));
    if !names.is_empty() {
        diagnosis.push(format!(
            "the namespace has ServiceAccount {}",
            names.join(", ")
        ));
    }
    let elsewhere = case.desired.iter().find(|d| defined(&d.object));
    if let Some(other) = elsewhere {
        diagnosis.push(format!(
            "Git defines {} in {}, for another namespace",
            other.object.reference(),
            other.file
        ));
    }
    let mut options = Vec::new();
    if let Some(near) = misspelled(missing, names.iter().map(String::as_str)) {
        options.push(by_hand(format!("use ServiceAccount {near}, the only name that is one slip away (rule B01: a person makes the change, it decides what the pods may do)")));
    }
    options.push(by_hand(format!(
        "create ServiceAccount {missing} (rule F04: a person makes the change)"
    )));
    options.push(by_hand(format!(
        "use an existing ServiceAccount in {object} (rule B01: a person makes the change)"
    )));
    let title = format!(
        "{object} runs as ServiceAccount {missing}, which does not exist: create it, or use another?"
    );
    ask(Code::ForbiddenByRule, title, diagnosis, options)
}

fn missing_class(case: &Case<'_>) -> Answer {
    let object = &case.finding.object;
    let kind = case.finding.fact(fact::MISSING_KIND).unwrap_or_default();
    let missing = case.finding.fact(fact::MISSING_NAME).unwrap_or_default();
    let field = if kind == "PriorityClass" {
        "priorityClassName"
    } else {
        "runtimeClassName"
    };
    let rule = if kind == "PriorityClass" {
        "D16"
    } else {
        "group A"
    };
    let names = names_of(case, kind, None);
    let mut diagnosis = facts(case);
    diagnosis.push(format!("{field} of {object} is {missing}"));
    if !names.is_empty() {
        diagnosis.push(format!("the cluster has {kind} {}", names.join(", ")));
    }
    let mut options = Vec::new();
    if let Some(near) = misspelled(missing, names.iter().map(String::as_str)) {
        options.push(by_hand(format!("set {field} to {near}, the only name that is one slip away ({rule}: a person makes the change)")));
    }
    options.push(by_hand(format!(
        "remove {field} from {object} ({rule}: a person makes the change)"
    )));
    options.push(by_hand(format!(
        "create {kind} {missing} (rule F09: a person makes the change)"
    )));
    let title =
        format!("{object} names {kind} {missing}, which does not exist: which one is meant?");
    ask(Code::ForbiddenByRule, title, diagnosis, options)
}

fn policy(case: &Case<'_>) -> Answer {
    let object = &case.finding.object;
    let options = vec![
        by_hand(format!(
            "change {object} so that it meets the policy that the message names"
        )),
        by_hand(
            "ask the owners of the policy for an exception (rules F06, F07: never by kubemend)"
                .to_owned(),
        ),
    ];
    let title = format!(
        "an admission policy refuses the pods of {object}: should the workload meet it, or is an exception due?"
    );
    ask(Code::OwnerDecision, title, facts(case), options)
}
