//! Plays: HorizontalPodAutoscalers.

use serde_json::Value;

use crate::case::{Case, Desired};
use crate::code::Code;
use crate::detect::autoscaling::{METRIC, target_of};
use crate::detect::scheduling::CAUSE;
use crate::finding::Class;
use crate::lock::known_good;
use crate::near::misspelled;
use crate::object::{Container, Object, ObjectRef, at};
use crate::path::FieldPath;
use crate::placement::{amounts, container_requests};
use crate::propose::playbook::Play;
use crate::propose::playbook::build::{Words, and, ask, by_hand, edit, proposal, put, refuse};
use crate::propose::{Answer, Op, Proposal, ProposedEdit, Unlock};
use crate::quantity::Quantity;

/// The plays of this module.
pub const PLAYS: &[Play] = &[Play {
    name: "autoscaler",
    about: "adds the CPU request that an autoscaler needs, or says what it lacks",
    classes: &[Class::HpaCannotScale],
    run,
}];

const PLAY: &str = "autoscaler";

/// What a container asks for where nothing at all says how much it needs.
const USUAL_CPU: Quantity = Quantity::milli(100);

fn run(case: &Case<'_>) -> Option<Answer> {
    match case.finding.fact(CAUSE)? {
        "missing-request" => Some(missing_request(case)),
        "target" => Some(target(case)),
        "metric-spec" | "other" | "ambiguous" => {
            Some(misspelled_metric(case).map_or_else(|| by_person(case), Answer::Fix))
        }
        "no-metrics" => Some(no_metrics(case)),
        "maximum" => Some(maximum(case)),
        _ => Some(refuse(
            Code::InfrastructureFault,
            format!(
                "{}; the metrics API has to serve that metric (metrics-server or an adapter), no manifest is at fault",
                case.finding.summary
            ),
        )),
    }
}

fn facts(case: &Case<'_>) -> Vec<String> {
    let mut out = vec![case.finding.summary.clone()];
    let live = case.snapshot.get(&case.finding.object);
    if let Some(hpa) = live {
        out.push(describe(hpa));
    }
    out
}

fn describe(hpa: &Object) -> String {
    let metrics: Vec<String> = hpa
        .list("spec.metrics")
        .iter()
        .map(Value::to_string)
        .collect();
    format!(
        "{} scales {} between {} and {} replicas by {}",
        hpa.reference(),
        target_of(hpa),
        hpa.int("spec.minReplicas").unwrap_or(1),
        hpa.int("spec.maxReplicas").unwrap_or(0),
        metrics.join(", ")
    )
}

// -- a request is missing

fn missing_request(case: &Case<'_>) -> Answer {
    let metric = case.finding.fact(METRIC).unwrap_or("cpu");
    let Some(target) = case.finding.related.first() else {
        return by_person(case);
    };
    let Some(manifest) = case.desired(target) else {
        return refuse(
            Code::NotManaged,
            format!(
                "{}; {target} is not defined exactly once in this repository",
                case.finding.summary
            ),
        );
    };
    let lacking = lacking(case, &manifest.object, metric);
    if lacking.is_empty() {
        return complete_in_git(case, target, metric);
    }
    let request = Request {
        case,
        manifest,
        metric,
        lacking,
    };
    match request.values() {
        Some(values) => Answer::Fix(request.fix(&values)),
        None => request.question(),
    }
}

/// Every container has a request in Git: not applied yet, or an injected container lacks it.
fn complete_in_git(case: &Case<'_>, target: &ObjectRef, metric: &str) -> Answer {
    let pods = case.snapshot.pods_of(target);
    let git = case
        .desired(target)
        .map(|d| d.object.containers())
        .unwrap_or_default();
    let injected = pods.iter().flat_map(|p| p.containers()).find(|c| {
        let known = git.iter().any(|g| g.name == c.name);
        !known && !container_requests(c.value).contains_key(metric)
    });
    let finding = &case.finding.summary;
    match injected {
        Some(container) => refuse(
            Code::InjectedContainer,
            format!(
                "{finding}; container {} is not in the manifest of {target}: its injector has to set a {metric} request",
                container.name
            ),
        ),
        None => refuse(
            Code::PendingSync,
            format!(
                "{finding}; in Git every container of {target} has a {metric} request: sync it"
            ),
        ),
    }
}

/// The containers that the metric counts and that have no request for it.
fn lacking<'o>(case: &Case<'_>, object: &'o Object, metric: &str) -> Vec<Container<'o>> {
    let only = counted_container(case, metric);
    let sidecar = |c: &Container<'_>| c.init && c.str("restartPolicy") == Some("Always");
    let counts = |c: &Container<'_>| {
        (!c.init || sidecar(c)) && only.as_deref().is_none_or(|name| name == c.name)
    };
    let all = object.containers().into_iter().filter(counts);
    all.filter(|c| !container_requests(c.value).contains_key(metric))
        .collect()
}

/// The container that a `ContainerResource` metric names; none where a metric counts the whole pod.
fn counted_container(case: &Case<'_>, metric: &str) -> Option<String> {
    let live = case.snapshot.get(&case.finding.object);
    let hpa = live.or_else(|| case.manifest().map(|m| &m.object))?;
    let metrics = hpa.list("spec.metrics");
    let of_pod = |m: &&Value| at(m, "resource.name").and_then(Value::as_str) == Some(metric);
    if metrics.iter().any(|m| of_pod(&m)) {
        return None;
    }
    let of_container = metrics.iter().filter_map(|m| m.get("containerResource"));
    let mut hits = of_container.filter(|m| m.get("name").and_then(Value::as_str) == Some(metric));
    let only = hits.next()?.get("container")?.as_str()?.to_owned();
    hits.next().is_none().then_some(only)
}

struct Request<'c> {
    case: &'c Case<'c>,
    manifest: &'c Desired,
    metric: &'c str,
    lacking: Vec<Container<'c>>,
}

impl<'c> Request<'c> {
    fn path(&self, container: &Container<'_>) -> FieldPath {
        container
            .path
            .key("resources")
            .key("requests")
            .key(self.metric)
    }

    /// A value for every container, each with its basis; none where one would be a guess.
    fn values(&self) -> Option<Vec<(String, String)>> {
        self.lacking.iter().map(|c| self.value(c)).collect()
    }

    fn value(&self, container: &Container<'_>) -> Option<(String, String)> {
        self.earlier(container)
            .or_else(|| self.same_image(container))
            .or_else(|| self.range_default())
            .or_else(|| self.usual())
    }

    fn earlier(&self, container: &Container<'_>) -> Option<(String, String)> {
        known_good(self.case, &self.manifest.object.reference())
            .iter()
            .find_map(|good| {
                let old = self.path(container).get(&good.object)?;
                let value = Quantity::of(old).filter(|q| q.is_positive())?;
                Some((value.to_string(), format!("{} had {value}", good.basis)))
            })
    }

    /// What Git asks for where the same image runs elsewhere, if all such places agree.
    fn same_image(&self, container: &Container<'_>) -> Option<(String, String)> {
        let image = container.str("image")?;
        let mut found: Option<(Quantity, String)> = None;
        for other in self.case.desired {
            for twin in other.object.containers() {
                if twin.str("image") != Some(image) {
                    continue;
                }
                let Some(value) = container_requests(twin.value).get(self.metric).copied() else {
                    continue;
                };
                if found.as_ref().is_some_and(|(v, _)| *v != value) {
                    return None;
                }
                let place = format!("container {} of {}", twin.name, other.object.reference());
                found.get_or_insert((value, place));
            }
        }
        let (value, place) = found?;
        Some((
            value.to_string(),
            format!("{place} runs the same image with {value}"),
        ))
    }

    fn range_default(&self) -> Option<(String, String)> {
        let namespace = self.manifest.object.namespace();
        let ranges = self.case.snapshot.in_namespace("LimitRange", namespace);
        ranges.iter().find_map(|range| {
            let container = range
                .list("spec.limits")
                .iter()
                .find(|l| l.get("type").and_then(Value::as_str) == Some("Container"))?;
            let value = amounts(container.get("defaultRequest"))
                .get(self.metric)
                .copied()?;
            Some((
                value.to_string(),
                format!("LimitRange {} has this default", range.name()),
            ))
        })
    }

    /// The usual 100m, for CPU only: a wrong memory request evicts pods, a wrong CPU request only
    /// shifts when the autoscaler acts.
    fn usual(&self) -> Option<(String, String)> {
        let basis = "no manifest, earlier revision or LimitRange says how much it needs: 100m is the usual starting value, and a person should adjust it to the measured use";
        (self.metric == "cpu").then(|| (USUAL_CPU.to_string(), basis.to_owned()))
    }

    fn fix(&self, values: &[(String, String)]) -> Proposal {
        let target = self.manifest.object.reference();
        let mut edits: Vec<ProposedEdit> = Vec::new();
        let mut words = Vec::new();
        for (container, (value, basis)) in self.lacking.iter().zip(values) {
            let path = self.path(container);
            let op = put(
                &self.manifest.object.value,
                &path,
                Value::String(value.clone()),
            );
            edits.push(edit(&target, path, op, Unlock::HpaMisconfig, basis.clone()));
            words.push(format!("{value} to container {}", container.name));
        }
        let bases: Vec<String> = values.iter().map(|(_, b)| b.clone()).collect();
        let hpa = &self.case.finding.object;
        let words = Words {
            play: PLAY,
            title: format!(
                "add a {} request of {} of {target}, which {hpa} needs",
                self.metric,
                and(&words)
            ),
            diagnosis: self.diagnosis(),
            reason: format!(
                "utilisation is computed against the request: without one {hpa} cannot scale. The value: {}",
                bases.first().map_or("", String::as_str)
            ),
            after_merge: Vec::new(),
        };
        proposal(words, edits)
    }

    fn diagnosis(&self) -> Vec<String> {
        let mut out = facts(self.case);
        let names: Vec<String> = self.lacking.iter().map(|c| c.name.to_owned()).collect();
        let target = self.manifest.object.reference();
        out.push(format!(
            "in Git container {} of {target} has no resources.requests.{}",
            and(&names),
            self.metric
        ));
        out
    }

    fn question(&self) -> Answer {
        let target = self.manifest.object.reference();
        let metric = self.metric;
        let names: Vec<String> = self.lacking.iter().map(|c| c.name.to_owned()).collect();
        let options = vec![
            by_hand(format!(
                "set resources.requests.{metric} of container {} of {target} (kubemend choose with a value)",
                and(&names)
            )),
            by_hand(format!(
                "scale {} by another metric",
                self.case.finding.object
            )),
        ];
        let title = format!(
            "how much {metric} should {target} request, so that {} can scale it?",
            self.case.finding.object
        );
        ask(Code::MissingValue, title, self.diagnosis(), options)
    }
}

// -- the target is missing

fn target(case: &Case<'_>) -> Answer {
    let hpa = &case.finding.object;
    let Some(target) = case.finding.related.first() else {
        return by_person(case);
    };
    if let Some(git) = case.desired(target) {
        return refuse(
            Code::PendingSync,
            format!(
                "{}; Git defines {target} in {}, so it has only not been applied: sync it",
                case.finding.summary, git.file
            ),
        );
    }
    let namespace = target.namespace.as_deref();
    let scalable = ["Deployment", "StatefulSet", "ReplicaSet", "Rollout"];
    let live = case.snapshot.objects().iter();
    let git = case.desired.iter().map(|d| &d.object);
    let mut names: Vec<ObjectRef> = live
        .chain(git)
        .filter(|o| {
            scalable.contains(&o.kind()) && o.namespace() == namespace && o.controller().is_none()
        })
        .map(Object::reference)
        .collect();
    names.sort_unstable();
    names.dedup_by(|a, b| a.same_object(b));
    let mut diagnosis = facts(case);
    diagnosis.push(format!(
        "scaleTargetRef names {} {}, which is not found",
        target.kind, target.name
    ));
    let listed: Vec<String> = names.iter().take(10).map(ToString::to_string).collect();
    if !listed.is_empty() {
        diagnosis.push(format!("the namespace has {}", listed.join(", ")));
    }
    let mut options = Vec::new();
    let same_kind = names
        .iter()
        .filter(|o| o.kind == target.kind)
        .map(|o| o.name.as_str());
    if let Some(near) = misspelled(&target.name, same_kind) {
        options.push(by_hand(format!("set scaleTargetRef.name of {hpa} to {near}, the only name that is one slip away (the target is locked, rule D02: a person makes the change)")));
    }
    if let Some(other) = names
        .iter()
        .find(|o| o.name == target.name && o.kind != target.kind)
    {
        options.push(by_hand(format!("set scaleTargetRef.kind of {hpa} to {} (apiVersion {}; rule D02: a person makes the change)", other.kind, other.api_version)));
    }
    options.push(by_hand(format!("set scaleTargetRef of {hpa} to the workload that is meant (rule D02: a person makes the change)")));
    options.push(by_hand(format!(
        "remove {hpa}, if its workload is gone for good (rule G03: a person makes the change)"
    )));
    let title = format!("{hpa} scales {target}, which does not exist: which workload is meant?");
    ask(Code::LockedField, title, diagnosis, options)
}

// -- the metric

/// A resource metric can only be about `cpu` or `memory`: the one of both that was misspelled.
fn misspelled_metric(case: &Case<'_>) -> Option<Proposal> {
    let manifest = case.manifest()?;
    let metrics = manifest.object.list("spec.metrics");
    let wrong: Vec<(usize, &str)> = metrics
        .iter()
        .enumerate()
        .filter_map(|(i, m)| Some((i, at(m, "resource.name")?.as_str()?)))
        .filter(|(_, name)| !matches!(*name, "cpu" | "memory" | "ephemeral-storage"))
        .collect();
    let [(index, name)] = wrong.as_slice() else {
        return None;
    };
    let low = name.to_lowercase();
    let right = match low.as_str() {
        "cpu" | "cpus" => "cpu",
        "mem" | "ram" => "memory",
        _ => misspelled(&low, ["memory"]).or((low == "memory").then_some("memory"))?,
    };
    let path = FieldPath::keys(["spec", "metrics"])
        .index(*index)
        .key("resource")
        .key("name");
    let target = manifest.object.reference();
    let basis = format!("{name} is no resource that pods report");
    let edits = vec![edit(
        &target,
        path,
        Op::Set(right.into()),
        Unlock::HpaMisconfig,
        basis,
    )];
    let words = Words {
        play: PLAY,
        title: format!(
            "correct the metric {name} of {} to {right}",
            case.finding.object
        ),
        diagnosis: facts(case),
        reason: format!(
            "pods report cpu and memory; {name} is neither, and {right} is what is nearest to it"
        ),
        after_merge: Vec::new(),
    };
    Some(proposal(words, edits))
}

fn no_metrics(case: &Case<'_>) -> Answer {
    let target = case.finding.related.first();
    let cause = target.and_then(|t| case.others.iter().find(|o| o.object.same_object(t)));
    let next = match cause {
        Some(other) => format!("its pods have a problem of their own: {}", other.summary),
        None => {
            "the pods report no metrics: look at metrics-server, and at whether the pods are ready"
                .to_owned()
        }
    };
    refuse(
        Code::InfrastructureFault,
        format!("{}; {next}", case.finding.summary),
    )
}

/// The autoscaler does what it is told: how far it may go is the owner's wish.
fn maximum(case: &Case<'_>) -> Answer {
    let hpa = &case.finding.object;
    let live = case.snapshot.get(hpa);
    let most = live.and_then(|o| o.int("spec.maxReplicas")).unwrap_or(0);
    let options = vec![
        by_hand(format!(
            "raise spec.maxReplicas of {hpa} above {most}, if nodes and quota have room (rule D02: a person makes the change)"
        )),
        by_hand("find out what makes the load, or what makes each request dear".to_owned()),
    ];
    let title = format!("{hpa} is at its maximum of {most} replicas: may it go further?");
    ask(Code::OwnerDecision, title, facts(case), options)
}

fn by_person(case: &Case<'_>) -> Answer {
    let hpa = &case.finding.object;
    let options = vec![
        by_hand(format!(
            "correct spec.metrics or spec.scaleTargetRef of {hpa} (rule D02: a person makes the change)"
        )),
        by_hand("let one autoscaler only control a workload".to_owned()),
    ];
    let title = format!("{hpa} cannot scale its target: what should it measure?");
    ask(Code::OwnerDecision, title, facts(case), options)
}

#[cfg(test)]
mod tests;
