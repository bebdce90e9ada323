//! What an Ingress or a Service waits for from outside: classes, certificates, load balancers.

use crate::case::Case;
use crate::code::Code;
use crate::detect::network::ingress::CERTIFICATE;
use crate::detect::scheduling::CAUSE;
use crate::finding::fact;
use crate::near::misspelled;
use crate::propose::Answer;
use crate::propose::playbook::build::{and, ask, by_hand, refuse};
use crate::report::Known;

pub(super) fn ingress(case: &Case<'_>) -> Option<Answer> {
    match case.finding.fact(CAUSE)? {
        "tls" => Some(tls(case)),
        "host" => Some(host(case)),
        _ => Some(class(case)),
    }
}

/// A class decides which controller, and so which network, serves the Ingress: rule E08.
fn class(case: &Case<'_>) -> Answer {
    let finding = case.finding;
    let name = &finding.object;
    let known = Known::new(case.snapshot, case.desired);
    let classes = known.everywhere("IngressClass");
    let names: Vec<String> = classes.iter().map(|c| c.name().to_owned()).collect();
    let missing = finding.fact(fact::MISSING_NAME);
    let near = missing.and_then(|m| misspelled(m, names.iter().map(String::as_str)));
    let mut options: Vec<_> = Vec::new();
    for class in names.iter().take(5) {
        let slip = if near == Some(class.as_str()) {
            ", the only name that is one slip away"
        } else {
            ""
        };
        options.push(by_hand(format!(
            "set ingressClassName of {name} to {class}{slip} (rule E08: a person makes the change)"
        )));
    }
    if let Some(missing) = missing {
        options.push(by_hand(format!(
            "install the controller of IngressClass {missing} (outside this repository, rule F09)"
        )));
    }
    let title = missing.map_or_else(
        || format!("{name} names no ingressClassName, and there is no default: which is meant?"),
        |m| format!("{name} has ingressClassName {m}, which does not exist: which is meant?"),
    );
    let diagnosis = vec![
        finding.summary.clone(),
        format!("the cluster has IngressClass {}", and(&names)),
    ];
    ask(Code::ForbiddenByRule, title, diagnosis, options)
}

/// Which host a site has is its owner's to say: rule E08.
fn host(case: &Case<'_>) -> Answer {
    let finding = case.finding;
    let name = &finding.object;
    let wanted = finding.fact("wantedHost").unwrap_or_default();
    let served = finding.fact("servedHost").unwrap_or_default();
    let options = vec![
        by_hand(format!(
            "change the host of {name} from {served} to {wanted}, in rules and tls (rule E08: a person makes the change)"
        )),
        by_hand(format!("keep {served}, and call that host")),
    ];
    let title = format!("{name} serves {served}, not {wanted}: which host is meant?");
    ask(
        Code::LockedField,
        title,
        vec![finding.summary.clone()],
        options,
    )
}

fn tls(case: &Case<'_>) -> Answer {
    let finding = case.finding;
    let secret = finding.fact(fact::MISSING_NAME).unwrap_or_default();
    let maker = finding.fact(CERTIFICATE).unwrap_or(
        "nothing in the dump makes it (no cert-manager Certificate, no issuer annotation)",
    );
    let namespace = finding.object.namespace.as_deref();
    let secrets = case.snapshot.in_namespace("Secret", namespace);
    let names: Vec<&str> = secrets
        .iter()
        .filter(|s| s.str("type") == Some("kubernetes.io/tls"))
        .map(|s| s.name())
        .take(5)
        .collect();
    let others = if names.is_empty() {
        "the namespace has no Secret of type kubernetes.io/tls".to_owned()
    } else {
        format!("the namespace has the TLS Secrets {}", names.join(", "))
    };
    refuse(
        Code::MissingSecretInput,
        format!(
            "{}; {maker}; {others}. Secret {secret} (type kubernetes.io/tls, keys tls.crt and tls.key) has to be supplied out of band, or spec.tls has to name another one (rule E08: a person makes the change)",
            finding.summary
        ),
    )
}

pub(super) fn load_balancer(case: &Case<'_>) -> Option<Answer> {
    let finding = case.finding;
    let said = if finding.message.is_empty() {
        "no event tells of a failure: look whether the cluster has a load balancer controller at all"
            .to_owned()
    } else {
        format!("the controller says: {}", finding.message)
    };
    Some(refuse(
        Code::InfrastructureFault,
        format!(
            "{}; {said}. The provider of load balancers (cloud account, quota, address pool) has to be mended; no manifest field is known to be wrong",
            finding.summary
        ),
    ))
}
