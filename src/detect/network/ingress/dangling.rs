//! Ingresses that name a class or a TLS Secret that does not exist.

use serde_json::Value;

use crate::detect::View;
use crate::detect::scheduling::CAUSE;
use crate::finding::{Class, Finding, Severity, fact};
use crate::near::misspelled;
use crate::object::{Object, list};
use crate::report::Known;
use crate::snapshot::Existence;

/// What makes the missing TLS Secret, where something does: a Certificate or an issuer.
pub(crate) const CERTIFICATE: &str = "certificate";

pub(super) fn finding(view: &View<'_>, known: &Known<'_>, ingress: &Object) -> Option<Finding> {
    class(known, ingress)
        .or_else(|| host(view, known, ingress))
        .or_else(|| tls(view, known, ingress))
}

/// The report asks for a host that no Ingress serves, and this one serves a host one slip away.
fn host(view: &View<'_>, known: &Known<'_>, ingress: &Object) -> Option<Finding> {
    let report = view.report?;
    let all: Vec<&str> = known
        .everywhere("Ingress")
        .into_iter()
        .flat_map(hosts)
        .collect();
    let asked = report
        .text
        .split(|c: char| !(c.is_ascii_alphanumeric() || c == '-' || c == '.'))
        .map(|w| w.trim_matches('.'))
        .filter(|w| w.contains('.') && !all.contains(w));
    let (wanted, served) = asked.take(50).find_map(|wanted| {
        let near = misspelled(wanted, all.iter().copied())?;
        hosts(ingress).contains(&near).then_some((wanted, near))
    })?;
    let summary = format!(
        "{} serves host {served}, and the report asks for {wanted}, which no Ingress serves",
        ingress.reference()
    );
    Some(
        missing(ingress, Severity::High, summary)
            .with_fact(CAUSE, "host")
            .with_fact("wantedHost", wanted)
            .with_fact("servedHost", served),
    )
}

fn hosts(ingress: &Object) -> Vec<&str> {
    let rules = ingress.list("spec.rules").iter();
    rules.filter_map(|r| r.get("host")?.as_str()).collect()
}

/// No controller takes an Ingress whose class does not exist; where one serves it, it has an address.
fn class(known: &Known<'_>, ingress: &Object) -> Option<Finding> {
    if !ingress.list("status.loadBalancer.ingress").is_empty() {
        return None;
    }
    let reference = ingress.reference();
    let Some(class) = ingress
        .str("spec.ingressClassName")
        .filter(|c| !c.is_empty())
    else {
        return no_class(known, ingress);
    };
    if known.existence("IngressClass", None, class) != Existence::Absent {
        return None;
    }
    let summary = format!(
        "{reference} has no address: its ingressClassName {class} is no IngressClass of the cluster"
    );
    Some(
        missing(ingress, Severity::High, summary)
            .with_fact(CAUSE, "class")
            .with_fact(fact::MISSING_KIND, "IngressClass")
            .with_fact(fact::MISSING_NAME, class),
    )
}

/// It names no class, and none of the cluster's classes is the default.
fn no_class(known: &Known<'_>, ingress: &Object) -> Option<Finding> {
    let classes = known.everywhere("IngressClass");
    let default =
        |c: &&Object| c.annotation("ingressclass.kubernetes.io/is-default-class") == Some("true");
    if classes.is_empty()
        || classes.iter().any(default)
        || ingress.annotation("kubernetes.io/ingress.class").is_some()
        || ingress.get("status").is_none()
    {
        return None;
    }
    let summary = format!(
        "{} has no address: it names no ingressClassName, and no IngressClass of the cluster is the default",
        ingress.reference()
    );
    // a controller may be told to take Ingresses without a class
    Some(missing(ingress, Severity::Low, summary).with_fact(CAUSE, "no-class"))
}

fn missing(ingress: &Object, severity: Severity, summary: String) -> Finding {
    Finding::new(
        Class::IngressReferenceMissing,
        severity,
        ingress.reference(),
        summary,
    )
}

/// The TLS Secrets of an Ingress that do not exist, with the hosts that want them.
fn dangling_secrets(known: &Known<'_>, ingress: &Object) -> Vec<(String, String)> {
    let ns = ingress.namespace();
    let entries = ingress.list("spec.tls").iter().filter_map(|entry| {
        let name = entry.get("secretName")?.as_str()?;
        let hosts: Vec<&str> = list(entry, "hosts")
            .iter()
            .filter_map(Value::as_str)
            .collect();
        let gone = known.existence("Secret", ns, name) == Existence::Absent;
        gone.then(|| (name.to_owned(), hosts.join(", ")))
    });
    entries.collect()
}

/// A dump may leave Secrets out, so a missing one counts only where somebody complains of it.
fn tls(view: &View<'_>, known: &Known<'_>, ingress: &Object) -> Option<Finding> {
    let text = view.report?.text.to_ascii_lowercase();
    let speaks = ["tls", "ssl", "cert", "https", "secret"]
        .iter()
        .any(|w| text.contains(w));
    let secrets = dangling_secrets(known, ingress);
    let (name, hosts) = secrets.first().filter(|_| speaks)?;
    let reference = ingress.reference();
    let summary = format!(
        "{reference} serves {hosts} with Secret {name}, which does not exist: clients get the controller's own certificate"
    );
    let mut finding = missing(ingress, Severity::Medium, summary)
        .with_fact(CAUSE, "tls")
        .with_fact(fact::MISSING_KIND, "Secret")
        .with_fact(fact::MISSING_NAME, name);
    if let Some(maker) = maker_of(known, ingress, name) {
        finding = finding.with_fact(CERTIFICATE, maker);
    }
    Some(finding)
}

/// The Certificate that should make a Secret and what it says, else the issuer annotation.
fn maker_of(known: &Known<'_>, ingress: &Object, secret: &str) -> Option<String> {
    let certificates = known.all("Certificate", ingress.namespace());
    let maker = certificates
        .iter()
        .find(|c| c.str("spec.secretName") == Some(secret));
    if let Some(certificate) = maker {
        let ready = certificate
            .list("status.conditions")
            .iter()
            .find(|c| c.get("type").and_then(Value::as_str) == Some("Ready"))
            .and_then(|c| c.get("message")?.as_str())
            .unwrap_or("no condition Ready");
        return Some(format!("{} makes it: {ready}", certificate.reference()));
    }
    ["cert-manager.io/cluster-issuer", "cert-manager.io/issuer"]
        .iter()
        .find_map(|key| {
            let issuer = ingress.annotation(key)?;
            Some(format!(
                "annotation {key}: {issuer} asks cert-manager to make it"
            ))
        })
}
