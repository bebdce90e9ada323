//! Which findings a run handles, and which it only lists. Pure.
//!
//! Without a report everything is handled. A report that names objects narrows the run to them and
//! to what they depend on; what else is wrong is listed, not touched.

use crate::detect::View;
use crate::detect::network::service::UNDECLARED;
use crate::finding::{Class, Finding, Severity};
use crate::object::ObjectRef;
use crate::report::{Mentions, mentions, related};

/// Findings to handle, and findings to list.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Narrowed {
    /// Handled in this run.
    pub chosen: Vec<Finding>,
    /// Listed only.
    pub listed: Vec<Finding>,
}

/// Splits findings by what the report names.
pub fn narrow(findings: Vec<Finding>, view: &View<'_>) -> Narrowed {
    let Some(report) = view.report else {
        let (listed, chosen) = findings
            .into_iter()
            .partition(|f| f.severity == Severity::Low);
        return Narrowed { chosen, listed };
    };
    let named = mentions(
        &report.text,
        report.namespace.as_deref(),
        view.snapshot,
        view.desired,
    );
    let chosen = choose(&findings, report.kind.as_str(), &named, view);
    if chosen.is_empty() {
        let chosen = nothing_found(&named).into_iter().collect();
        return Narrowed {
            chosen,
            listed: findings,
        };
    }
    let listed = findings
        .into_iter()
        .filter(|f| !chosen.contains(f))
        .collect();
    Narrowed { chosen, listed }
}

/// The first of these circles that holds a finding: the tool's own error, the named objects, what
/// they depend on, loosely named objects, the named namespaces.
///
/// A named application that logs errors may only suffer from what it depends on, so its own error
/// counts behind those.
fn choose(findings: &[Finding], kind: &str, named: &Mentions, view: &View<'_>) -> Vec<Finding> {
    let neighbours = |objects: &[ObjectRef]| -> Vec<ObjectRef> {
        objects
            .iter()
            .flat_map(|o| related(o, view.snapshot, view.desired))
            .collect()
    };
    let (near, near_weak) = (neighbours(&named.strong), neighbours(&named.weak));
    let broken_source =
        |f: &Finding| matches!(kind, "apply-error" | "render-error") && is_of_source(f.class);
    let strained = |f: &Finding| f.class == Class::HpaCannotScale && f.severity == Severity::Low;
    let firm = |f: &Finding| f.class != Class::ApplicationError && !strained(f);
    // a port that is only not declared may well be right while something else plainly fails
    let hint = |f: &Finding| f.fact(UNDECLARED).is_some();
    let plain = findings.iter().any(|f| {
        !hint(f)
            && firm(f)
            && f.severity >= Severity::High
            && (is_about(f, &named.strong) || is_about(f, &near))
    });
    let firm = |f: &Finding| firm(f) && !(plain && hint(f));
    let complained = |f: &Finding| broken_source(f) && f.fact("complaint").is_some();
    let dns_fails = view.report.is_some_and(|r| speaks_of_dns(&r.text))
        || findings
            .iter()
            .any(|f| is_about(f, &named.strong) && speaks_of_dns(&f.message));
    let circles: [&dyn Fn(&Finding) -> bool; 9] = [
        &complained,
        &broken_source,
        &|f| dns_fails && serves_dns(f, view),
        &|f| firm(f) && is_about(f, &named.strong),
        &|f| firm(f) && is_about(f, &near),
        &|f| is_about(f, &named.strong) || is_about(f, &near),
        &|f| is_about(f, &named.weak),
        &|f| is_about(f, &near_weak),
        &|f| is_in(f, &named.namespaces),
    ];
    for circle in circles {
        let hits: Vec<Finding> = findings.iter().filter(|f| circle(f)).cloned().collect();
        if !hits.is_empty() {
            return at_home(hits, view);
        }
    }
    let nothing_named =
        named.strong.is_empty() && named.weak.is_empty() && named.namespaces.is_empty();
    if nothing_named {
        findings.to_vec()
    } else {
        Vec::new()
    }
}

/// Whether a finding is about the cluster's DNS, which every application needs.
fn serves_dns(finding: &Finding, view: &View<'_>) -> bool {
    let object = &finding.object;
    let labelled = view.snapshot.get(object).is_some_and(|o| {
        o.pod_labels()
            .is_some_and(|l| l.get("k8s-app") == Some(&"kube-dns".into()))
    });
    let by_name = object.namespace.as_deref() == Some("kube-system")
        && ["coredns", "kube-dns"].contains(&object.name.as_str());
    finding.severity > Severity::Low && (labelled || by_name)
}

fn speaks_of_dns(text: &str) -> bool {
    let text = text.to_ascii_lowercase();
    [
        "eai_again",
        "getaddrinfo",
        "name resolution",
        "resolve",
        "no such host",
        "unknown host",
        "unknownhost",
        "bad address",
        "server misbehaving",
        "dns",
        "lookup ",
    ]
    .iter()
    .any(|w| text.contains(w))
}

/// Of objects that differ in their namespace only, the ones where the report belongs.
fn at_home(hits: Vec<Finding>, view: &View<'_>) -> Vec<Finding> {
    let home = view.report.and_then(|r| r.namespace.clone());
    let is_home = |f: &Finding| home.is_some() && f.object.namespace == home;
    let has_twin_at_home = |f: &Finding| {
        let twin = |t: &&Finding| t.object.kind == f.object.kind && t.object.name == f.object.name;
        hits.iter().filter(twin).any(is_home)
    };
    let stays = |f: &&Finding| is_home(f) || !has_twin_at_home(f);
    hits.iter().filter(stays).cloned().collect()
}

fn is_of_source(class: Class) -> bool {
    matches!(
        class,
        Class::InvalidManifest | Class::DeprecatedApi | Class::RenderError
    )
}

fn is_about(finding: &Finding, objects: &[ObjectRef]) -> bool {
    // a node is reported by the workloads that it takes down
    let carried = match finding.class {
        Class::NodeNotReady => finding.related.as_slice(),
        _ => &[],
    };
    let mine = || finding.pods.iter().chain(carried);
    objects
        .iter()
        .any(|o| finding.object.same_object(o) || mine().any(|p| p.same_object(o)))
}

/// Whether a finding is of these namespaces; one of the whole cluster is of those of its pods.
fn is_in(finding: &Finding, namespaces: &[String]) -> bool {
    let own = |o: &ObjectRef| o.namespace.as_ref().is_some_and(|n| namespaces.contains(n));
    match finding.object.namespace {
        Some(_) => own(&finding.object),
        None => finding.pods.iter().chain(&finding.related).any(own),
    }
}

/// The report names an object and nothing is wrong with it: that is worth an answer too.
fn nothing_found(named: &Mentions) -> Option<Finding> {
    let object = named.strong.first()?;
    Some(Finding::new(
        Class::Reported,
        Severity::Low,
        object.clone(),
        format!("{object} is reported, and nothing wrong was found with it"),
    ))
}
