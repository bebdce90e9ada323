//! Selectors of Services.

use serde_json::{Map, Value};

use crate::case::Case;
use crate::code::Code;
use crate::detect::network::service::{
    Near, declared_ports, declared_text, distinguishing, is_served_elsewhere, labels_text,
    miss_text, near_workloads, own_and_foreign, renamed_key, selected,
};
use crate::near;
use crate::object::Object;
use crate::path::FieldPath;
use crate::propose::playbook::build::{Words, ask, by_hand, change, edit, proposal, refuse};
use crate::propose::{Answer, Op, Proposal, ProposedEdit, Unlock};
use crate::report::Known;
use crate::snapshot::map_selects;

use super::object_of;

pub(super) fn no_endpoints(case: &Case<'_>) -> Option<Answer> {
    let service = object_of(case)?;
    let known = Known::new(case.snapshot, case.desired);
    if let Some(answer) = already_right(case, service) {
        return Some(answer);
    }
    if let Some(fix) = from_history(case, service, &known) {
        return Some(Answer::Fix(fix));
    }
    let all = near_workloads(service, &known);
    let fits: Vec<&Near<'_>> = all
        .iter()
        .filter(|n| is_one_key_off(n) && !is_served_elsewhere(service, n, &known))
        .collect();
    let fixes: Vec<Proposal> = proven(&fits)
        .iter()
        .filter_map(|n| fix(service, n, &known))
        .collect();
    let asleep = proven(&fits)
        .into_iter()
        .find(|n| n.workload.int("spec.replicas") == Some(0));
    match (fixes.as_slice(), asleep) {
        ([only], Some(near)) => Some(awake_too(only.clone(), near.workload)),
        ([only], None) => Some(Answer::Fix(only.clone())),
        _ => Some(question(case, service, &all, &known)),
    }
}

/// The right selector still selects nothing while the workload has no pods.
fn awake_too(selector: Proposal, workload: &Object) -> Answer {
    let name = workload.reference();
    let title = format!(
        "{}: and shall {name} run again, which has 0 replicas?",
        selector.title
    );
    let mut facts: Vec<String> = selector.diagnosis.iter().map(|c| c.text.clone()).collect();
    facts.push(format!(
        "{name} has 0 replicas, so no selector can find a pod of it"
    ));
    let options = vec![
        change(selector),
        by_hand(format!(
            "the same, and more than 0 replicas for {name} (rule D01: a person changes it)"
        )),
    ];
    ask(Code::BlockedReplicas, title, facts, options)
}

/// The workload's labels in Git fit the selector in Git: the cluster lags behind.
fn already_right(case: &Case<'_>, service: &Object) -> Option<Answer> {
    let manifest = case.manifest()?;
    let fits = case.desired.iter().map(|d| &d.object).find(|o| {
        o.namespace() == service.namespace()
            && map_selects(manifest.object.map("spec.selector"), o.pod_labels())
    })?;
    let live = case.snapshot.get(&case.finding.object)?;
    let differs = live.get("spec.selector") != manifest.object.get("spec.selector")
        || case.snapshot.get(&fits.reference()).is_some();
    differs.then(|| {
        refuse(
            Code::PendingSync,
            format!(
                "{} has no endpoints in the cluster, but in Git its selector {} matches the pods of {}: the cluster does not run what Git says",
                service.reference(),
                labels_text(manifest.object.map("spec.selector")),
                fits.reference()
            ),
        )
    })
}

fn is_one_key_off(near: &Near<'_>) -> bool {
    if near.differing.len() != 1 || near.ports == Some(false) {
        return false;
    }
    let slip = near.slips();
    // labels like part-of or environment are shared by everything, so a shared key proves nothing
    match near.shared {
        0 => (near.alike && near.ports == Some(true)) || slip || renamed_key(near).is_some(),
        _ => near.alike || slip || (near.ports == Some(true) && near.shares_identity),
    }
}

/// The only candidate; or the only one whose name and ports agree as well.
fn proven<'n, 'a>(fits: &[&'n Near<'a>]) -> Vec<&'n Near<'a>> {
    if let [only] = fits {
        return vec![only];
    }
    let certain = |n: &&Near<'_>| n.alike && n.ports == Some(true);
    let hits: Vec<&Near<'_>> = fits.iter().copied().filter(certain).collect();
    match hits.as_slice() {
        [only] => vec![only],
        _ => fits.to_vec(),
    }
}

/// The change of one key that makes a Service select exactly one workload.
fn fix(service: &Object, near: &Near<'_>, known: &Known<'_>) -> Option<Proposal> {
    let [(key, want, have)] = near.differing.as_slice() else {
        return None;
    };
    let old = service.map("spec.selector")?;
    let mut new = old.clone();
    new.remove(key);
    let at = FieldPath::keys(["spec", "selector"]);
    let basis = format!(
        "the pods of {} carry {}",
        near.workload.reference(),
        labels_text(near.workload.pod_labels())
    );
    let one = |path: FieldPath, op: Op| {
        edit(
            &service.reference(),
            path,
            op,
            Unlock::PortMismatch,
            basis.clone(),
        )
    };
    let (edits, title): (Vec<ProposedEdit>, String) = match have {
        Some(have) => {
            new.insert(key.clone(), Value::from(have.as_str()));
            let set = one(at.key(key), Op::Set(Value::from(have.as_str())));
            (
                vec![set],
                format!("select {key}={have} instead of {key}={want}"),
            )
        }
        None if new.is_empty() => {
            let right = renamed_key(near)?;
            new.insert(right.clone(), Value::from(want.as_str()));
            let edits = vec![
                one(at.key(&right), Op::Add(Value::from(want.as_str()))),
                one(at.key(key), Op::Remove),
            ];
            (
                edits,
                format!("select by {right}={want} instead of {key}={want}"),
            )
        }
        None => (
            vec![one(at.key(key), Op::Remove)],
            format!("drop {key}={want}, which no pod carries, from the selector"),
        ),
    };
    selects_only(service, &new, near.workload, known).then(|| {
        proposal(
            Words {
                play: "service-selector",
                title: format!("{title} in {}", service.reference()),
                diagnosis: vec![
                    format!(
                        "{} has no endpoints: no pod matches its selector {}",
                        service.reference(),
                        labels_text(Some(old))
                    ),
                    miss_text(near),
                    ports_sentence(service, near.workload),
                ],
                reason: format!(
                    "With the selector {} the Service selects the pods of {} and of nothing else.",
                    labels_text(Some(&new)),
                    near.workload.reference()
                ),
                after_merge: Vec::new(),
            },
            edits,
        )
    })
}

fn ports_sentence(service: &Object, workload: &Object) -> String {
    let targets = service
        .list("spec.ports")
        .iter()
        .map(|p| crate::detect::network::shown(&crate::detect::network::service::target_of(p)));
    format!(
        "the Service sends to port {}; {} declares {}",
        targets.collect::<Vec<_>>().join(", "),
        workload.reference(),
        declared_text(&declared_ports(workload))
    )
}

fn selects_only(
    service: &Object,
    selector: &Map<String, Value>,
    workload: &Object,
    known: &Known<'_>,
) -> bool {
    let hits: Vec<&Object> = known
        .workloads(service.namespace())
        .into_iter()
        .filter(|w| map_selects(Some(selector), w.pod_labels()))
        .collect();
    matches!(hits.as_slice(), [only] if only.reference().same_object(&workload.reference()))
}

/// An earlier selector of the same Service that selects exactly one workload of today.
fn from_history(case: &Case<'_>, service: &Object, known: &Known<'_>) -> Option<Proposal> {
    case.manifest()?;
    let now = service.map("spec.selector")?;
    let earlier = case
        .earlier_of(&case.finding.object)
        .into_iter()
        .find(|e| {
            let old = e.object.map("spec.selector");
            let hits: Vec<&Object> = known
                .workloads(service.namespace())
                .into_iter()
                .filter(|w| map_selects(old, w.pod_labels()))
                .collect();
            old != Some(now) && hits.len() == 1
        })?;
    let old = earlier.object.map("spec.selector")?;
    let commit: String = earlier.replaced_by.id.chars().take(10).collect();
    let basis = format!("Git before {commit} ({})", earlier.replaced_by.subject);
    Some(proposal(
        Words {
            play: "service-selector",
            title: format!(
                "restore the selector {} of {}",
                labels_text(Some(old)),
                service.reference()
            ),
            diagnosis: vec![
                case.finding.summary.clone(),
                format!(
                    "commit {commit} by {} ({}) changed the selector from {} to {}",
                    earlier.replaced_by.author,
                    earlier.replaced_by.subject,
                    labels_text(Some(old)),
                    labels_text(Some(now))
                ),
            ],
            reason:
                "The selector that Git had before selects exactly one workload that exists now."
                    .to_owned(),
            after_merge: Vec::new(),
        },
        differences(service, old, now, &basis),
    ))
}

/// The edits that turn one selector into another.
fn differences(
    service: &Object,
    wanted: &Map<String, Value>,
    now: &Map<String, Value>,
    basis: &str,
) -> Vec<ProposedEdit> {
    let at = FieldPath::keys(["spec", "selector"]);
    let one = |key: &str, op: Op| {
        edit(
            &service.reference(),
            at.key(key),
            op,
            Unlock::PortMismatch,
            basis,
        )
    };
    let mut edits = Vec::new();
    for (key, value) in wanted {
        match now.get(key) {
            None => edits.push(one(key, Op::Add(value.clone()))),
            Some(have) if have != value => edits.push(one(key, Op::Set(value.clone()))),
            Some(_) => {}
        }
    }
    for key in now.keys().filter(|k| !wanted.contains_key(*k)) {
        edits.push(one(key, Op::Remove));
    }
    edits
}

fn question(case: &Case<'_>, service: &Object, near: &[Near<'_>], known: &Known<'_>) -> Answer {
    let reference = service.reference();
    let mut diagnosis = vec![case.finding.summary.clone()];
    let mut options = Vec::new();
    for candidate in near.iter().take(5) {
        diagnosis.push(format!(
            "{}: {}; its pods carry {}",
            candidate.workload.reference(),
            miss_text(candidate),
            labels_text(candidate.workload.pod_labels())
        ));
        options.push(match fix(service, candidate, known) {
            Some(proposal) => change(proposal),
            None => by_hand(format!(
                "make {reference} select the pods of {}",
                candidate.workload.reference()
            )),
        });
    }
    if near.is_empty() {
        let all: Vec<String> = known
            .workloads(service.namespace())
            .iter()
            .take(10)
            .map(|w| format!("{} ({})", w.reference(), labels_text(w.pod_labels())))
            .collect();
        diagnosis.push(format!(
            "the workloads of the namespace are {}",
            all.join(", ")
        ));
        options.extend(related_by_name(service, known));
    }
    for elsewhere in in_other_namespaces(service, known) {
        diagnosis.push(format!(
            "{} carries these labels in another namespace; a Service selects only pods of its own",
            elsewhere.reference()
        ));
        options.push(by_hand(format!(
            "move {reference} to namespace {0}, or call {1}.{0} instead (rule G01: a person makes the change)",
            elsewhere.namespace().unwrap_or("default"),
            service.name()
        )));
    }
    options.push(by_hand(format!(
        "deploy the workload that carries {}, or remove {reference} if it is not needed any more",
        labels_text(service.map("spec.selector"))
    )));
    ask(
        Code::OwnerDecision,
        format!("Which pods should {reference} select?"),
        diagnosis,
        options,
    )
}

/// Workloads that the selector would match if they were in the Service's namespace.
fn in_other_namespaces<'a>(service: &Object, known: &Known<'a>) -> Vec<&'a Object> {
    let selector = service.map("spec.selector");
    let kinds = ["Deployment", "StatefulSet", "DaemonSet", "Rollout"];
    kinds
        .into_iter()
        .flat_map(|kind| known.everywhere(kind))
        .filter(|w| w.namespace() != service.namespace())
        .filter(|w| map_selects(selector, w.pod_labels()))
        .take(3)
        .collect()
}

/// Workloads whose name shares a word with the Service or with what it selects.
fn related_by_name(service: &Object, known: &Known<'_>) -> Vec<crate::propose::Choice> {
    let selector = service.map("spec.selector");
    let wanted = || {
        selector
            .into_iter()
            .flatten()
            .filter_map(|(_, v)| v.as_str())
    };
    let reference = service.reference();
    let workloads = known.workloads(service.namespace());
    let related = workloads.iter().filter(|w| {
        near::shares_a_word(w.name(), service.name())
            || wanted().any(|v| near::shares_a_word(w.name(), v))
    });
    related
        .take(4)
        .map(|w| {
            by_hand(format!(
                "make {reference} select the pods of {} ({})",
                w.reference(),
                labels_text(w.pod_labels())
            ))
        })
        .collect()
}

pub(super) fn foreign_pods(case: &Case<'_>) -> Option<Answer> {
    let service = object_of(case)?;
    let known = Known::new(case.snapshot, case.desired);
    if let Some(fix) = from_history(case, service, &known) {
        return Some(Answer::Fix(fix));
    }
    let workloads = selected(service, &known);
    let (own, foreign) = own_and_foreign(service, &workloads)?;
    let narrowing = foreign
        .iter()
        .filter_map(|w| distinguishing(own, w))
        .next()
        .and_then(|label| narrow(case, service, own, &label, &known));
    let certain = foreign.iter().all(|w| !declares_target(service, w));
    match narrowing {
        Some(fix) if certain => Some(Answer::Fix(fix)),
        other => {
            let mut options: Vec<_> = other.into_iter().map(change).collect();
            for workload in &foreign {
                options.push(by_hand(format!(
                    "take the labels {} off the pods of {} (rule G05)",
                    labels_text(service.map("spec.selector")),
                    workload.reference()
                )));
            }
            Some(ask(
                Code::OwnerDecision,
                format!("Which pods should {} select?", service.reference()),
                vec![case.finding.summary.clone()],
                options,
            ))
        }
    }
}

fn declares_target(service: &Object, workload: &Object) -> bool {
    let declared = declared_ports(workload);
    declared.is_empty()
        || service.list("spec.ports").iter().any(|p| {
            let target = crate::detect::network::service::target_of(p);
            crate::detect::network::service::leads_to(&target, &declared)
        })
}

/// Adds the label that only the Service's own workload has.
fn narrow(
    case: &Case<'_>,
    service: &Object,
    own: &Object,
    (key, value): &(String, String),
    known: &Known<'_>,
) -> Option<Proposal> {
    let old = service.map("spec.selector")?;
    let mut new = old.clone();
    let before = new.insert(key.clone(), Value::from(value.as_str()));
    if !selects_only(service, &new, own, known) {
        return None;
    }
    let op = match before {
        Some(_) => Op::Set(Value::from(value.as_str())),
        None => Op::Add(Value::from(value.as_str())),
    };
    let path = FieldPath::keys(["spec", "selector"]).key(key);
    Some(proposal(
        Words {
            play: "service-foreign-pods",
            title: format!(
                "select only the pods of {} in {} ({key}={value})",
                own.reference(),
                service.reference()
            ),
            diagnosis: vec![
                case.finding.summary.clone(),
                format!(
                    "only the pods of {} carry {key}={value}, which is also part of its own selector",
                    own.reference()
                ),
                ports_sentence(service, own),
            ],
            reason: format!(
                "With {key}={value} the Service selects the pods of {} and of nothing else.",
                own.reference()
            ),
            after_merge: Vec::new(),
        },
        vec![edit(
            &service.reference(),
            path,
            op,
            Unlock::PortMismatch,
            format!("pod labels of {}", own.reference()),
        )],
    ))
}
