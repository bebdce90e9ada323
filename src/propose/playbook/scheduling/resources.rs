//! A request that no node can meet.

use std::sync::LazyLock;

use regex::Regex;
use serde_json::Value;

use super::Waiting;
use crate::case::Case;
use crate::code::Code;
use crate::detect::scheduling::RESOURCE;
use crate::object::{Container, Object};
use crate::path::FieldPath;
use crate::placement::{allocatable, container_requests, free, pod_requests};
use crate::propose::playbook::build::{Words, and, ask, by_hand, change, edit, proposal, refuse};
use crate::propose::{Answer, Choice, Op, Proposal, ProposedEdit, Unlock};
use crate::quantity::Quantity;

const PLAY: &str = "requests-that-fit";

static INSUFFICIENT: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"Insufficient ([^\s,.]+(?:\.[^\s,.]+)*)").expect("a constant pattern")
});

pub(super) fn run(case: &Case<'_>) -> Option<Answer> {
    let waiting = Waiting::of(case)?;
    let resource = case.finding.fact(RESOURCE)?;
    if is_extended(resource) {
        return Some(extended(&waiting, resource));
    }
    let short = Shortage::of(&waiting, resource);
    if let Some(answer) = short.lowered_in_git(resource) {
        return Some(answer);
    }
    let restored = short.restore_earlier_value();
    let answer = restored.or_else(|| short.lower_what_was_added());
    Some(answer.map_or_else(|| short.question(), Answer::Fix))
}

fn is_extended(resource: &str) -> bool {
    resource.contains('/') || resource.starts_with("hugepages-")
}

/// What is asked for, and what nodes offer.
struct Shortage<'c, 'w> {
    waiting: &'w Waiting<'c>,
    /// The resources that are short, the binding one first.
    resources: Vec<String>,
    /// Nodes that selector and taints admit.
    nodes: Vec<&'c Object>,
}

impl<'c, 'w> Shortage<'c, 'w> {
    fn of(waiting: &'w Waiting<'c>, resource: &str) -> Self {
        let mut resources = vec![resource.to_owned()];
        let head = waiting.case.finding.message.split("preemption:").next();
        for found in INSUFFICIENT.captures_iter(head.unwrap_or_default()) {
            let name = found.get(1).map_or("", |m| m.as_str()).to_owned();
            if !is_extended(&name) && !resources.contains(&name) {
                resources.push(name);
            }
        }
        Self {
            waiting,
            resources,
            nodes: waiting.admitted(waiting.spec),
        }
    }

    /// Git asks for less than the waiting pod: the change has only not arrived.
    fn lowered_in_git(&self, resource: &str) -> Option<Answer> {
        let case = self.waiting.case;
        let pod = case
            .finding
            .pods
            .iter()
            .find_map(|p| case.snapshot.get(p))?;
        let live = pod_requests(pod.pod_spec()?).get(resource).copied()?;
        let git = self.requested(resource);
        (git.is_positive() && git < live).then(|| {
            refuse(
                Code::PendingSync,
                format!(
                    "{}; the pod asks for {live} of {resource}, Git for {git}: sync it",
                    self.waiting.symptom()
                ),
            )
        })
    }

    fn containers(&self) -> Vec<Container<'c>> {
        self.waiting.manifest.object.containers()
    }

    fn requested(&self, resource: &str) -> Quantity {
        let all = pod_requests(self.waiting.spec);
        all.get(resource).copied().unwrap_or(Quantity::ZERO)
    }

    /// The most that one admitted node can offer; none without nodes in the dump.
    fn largest(&self, resource: &str) -> Option<Quantity> {
        self.nodes.iter().map(|n| allocatable(n, resource)).max()
    }

    fn is_too_large(&self, resource: &str) -> bool {
        self.largest(resource)
            .is_some_and(|most| self.requested(resource) > most)
    }

    /// The highest requests first: the container to lower.
    fn greatest(&self, resource: &str) -> Option<(Container<'c>, Quantity)> {
        let asks = |c: Container<'c>| {
            let amount = container_requests(c.value).get(resource).copied()?;
            Some((c, amount))
        };
        self.containers()
            .into_iter()
            .filter_map(asks)
            .max_by_key(|(_, q)| *q)
    }

    fn path(container: &Container<'_>, resource: &str) -> FieldPath {
        container
            .path
            .key("resources")
            .key("requests")
            .key(resource)
    }

    /// Lowers what an earlier revision asked less of, if that fits.
    fn restore_earlier_value(&self) -> Option<Proposal> {
        self.waiting.known_good().iter().find_map(|good| {
            let mut edits = Vec::new();
            for resource in &self.resources {
                for container in self.containers() {
                    edits.extend(self.earlier_request(&container, resource, good));
                }
            }
            (!edits.is_empty() && self.fits_after(&edits)).then(|| {
                let why = format!("{} asked for less, and a node can meet that", good.basis);
                self.lower(edits, why)
            })
        })
    }

    fn earlier_request(
        &self,
        container: &Container<'_>,
        resource: &str,
        good: &crate::lock::KnownGood,
    ) -> Option<ProposedEdit> {
        let path = Self::path(container, resource);
        let now = Quantity::of(path.get(&self.waiting.manifest.object.value)?)?;
        let old_value = path.get(&good.object)?;
        let old = Quantity::of(old_value)?;
        (old < now && old.is_positive()).then(|| {
            let op = Op::Set(old_value.clone());
            self.edit(path, op, good.basis.clone())
        })
    }

    fn edit(&self, path: FieldPath, op: Op, basis: String) -> ProposedEdit {
        let target = self.waiting.target();
        edit(&target, path, op, Unlock::UnschedulableResources, basis)
    }

    /// Whether the pod fits an admitted node with these requests (or nodes are unknown).
    fn fits_after(&self, edits: &[ProposedEdit]) -> bool {
        let spec = super::other::spec_after(self.waiting, edits);
        let after = spec.as_ref().map(pod_requests).unwrap_or_default();
        self.nodes.is_empty()
            || self.nodes.iter().any(|n| {
                let fits = |r: &String| after.get(r).is_none_or(|q| *q <= allocatable(n, r));
                self.resources.iter().all(fits)
            })
    }

    /// An earlier revision ran without that request: any request that fits asks for more than it had.
    fn lower_what_was_added(&self) -> Option<Proposal> {
        let (resource, container, value) = self.value_that_fits()?;
        let path = Self::path(&container, resource);
        let (list, _) = path.split_last()?;
        let goods = self.waiting.known_good();
        let good = goods.iter().find(|good| {
            let there = container.path.get(&good.object).is_some();
            there
                && list
                    .get(&good.object)
                    .and_then(|l| l.get(resource))
                    .is_none()
        })?;
        let why = format!(
            "{} ran without a {resource} request, so a request that a node can meet is no less than it had; kubemend does not remove a request (rule D06)",
            good.basis
        );
        let basis = format!("{}: no request; {value} fits a node", good.basis);
        let edits = vec![self.edit(path, Op::Set(value.clone().into()), basis)];
        self.fits_after(&edits).then(|| self.lower(edits, why))
    }

    /// A lower request for the greatest one that is too large: the same number in the next smaller
    /// unit (a slip), else a quarter of the largest node.
    fn value_that_fits(&self) -> Option<(&str, Container<'c>, String)> {
        let resource = self.resources.iter().find(|r| self.is_too_large(r))?;
        let (container, now) = self.greatest(resource)?;
        let path = Self::path(&container, resource);
        let written = path.get(&self.waiting.manifest.object.value)?;
        let rest = self.requested(resource) - now;
        let room = self.largest(resource)? - rest;
        let half = room.div_floor(2)?;
        let slip = smaller_unit(written).filter(|(_, q)| *q <= half && *q >= least(resource));
        let value = match slip {
            Some((text, _)) => text,
            None => share(resource, room)?,
        };
        Some((resource, container, value))
    }

    fn lower(&self, edits: Vec<ProposedEdit>, reason: String) -> Proposal {
        let what: Vec<String> = edits.iter().map(|e| describe(self.waiting, e)).collect();
        let words = Words {
            play: PLAY,
            title: format!("lower {} in {}", and(&what), self.waiting.name()),
            diagnosis: self.diagnosis(),
            reason,
            after_merge: self.waiting.after_merge(),
        };
        proposal(words, edits)
    }

    fn diagnosis(&self) -> Vec<String> {
        let mut out = vec![self.waiting.symptom()];
        for resource in &self.resources {
            out.push(self.needs(resource));
            out.extend(self.offers(resource));
        }
        out
    }

    fn needs(&self, resource: &str) -> String {
        let each: Vec<String> = self
            .containers()
            .iter()
            .filter_map(|c| {
                let amount = container_requests(c.value).get(resource).copied()?;
                Some(format!("container {}: {amount}", c.name))
            })
            .collect();
        let total = self.requested(resource);
        let replicas = self.waiting.replicas();
        format!(
            "each pod asks for {total} of {resource} ({}), and {replicas} replicas are wanted",
            each.join(", ")
        )
    }

    fn offers(&self, resource: &str) -> Option<String> {
        let node = self.nodes.iter().max_by_key(|n| allocatable(n, resource))?;
        let most = allocatable(node, resource);
        let snapshot = self.waiting.case.snapshot;
        let freest = self
            .nodes
            .iter()
            .map(|n| free(snapshot, n, resource))
            .max()?;
        let admitted = self.waiting.node_count(&self.nodes);
        Some(format!(
            "of {admitted}, {} offers the most {resource}: {most} allocatable; at most {freest} is free on one node",
            node.name()
        ))
    }

    fn question(&self) -> Answer {
        let resource = self.resources.first().map_or("cpu", String::as_str);
        let too_large = self.resources.iter().any(|r| self.is_too_large(r));
        let mut options: Vec<Choice> = Vec::new();
        options.extend(self.lowering_option());
        if options.is_empty() {
            options.push(by_hand(self.lower_by_hand(resource)));
        }
        if !too_large && self.waiting.replicas() > 1 {
            options.push(by_hand(format!(
                "run fewer than {} replicas of {} (changes capacity, needs approval, rule D01)",
                self.waiting.replicas(),
                self.waiting.name()
            )));
        }
        options.push(by_hand(format!(
            "add or enlarge nodes until one has {} of {resource} free (outside this repository)",
            self.requested(resource)
        )));
        let than = if too_large { "has" } else { "has free" };
        let title = format!(
            "{} asks for more {resource} than a node {than}: lower the request, or add capacity?",
            self.waiting.name()
        );
        ask(Code::OwnerDecision, title, self.diagnosis(), options)
    }

    fn lowering_option(&self) -> Option<Choice> {
        let (resource, container, value) = self.value_that_fits()?;
        let path = Self::path(&container, resource);
        let op = Op::Set(value.clone().into());
        let edits = vec![self.edit(
            path,
            op,
            format!("{value} fits a node; the right value is the owner's to say"),
        )];
        let fits = self.fits_after(&edits);
        let reason = "no node can meet the present request; the new one fits".to_owned();
        fits.then(|| change(self.lower(edits, reason)))
    }

    fn lower_by_hand(&self, resource: &str) -> String {
        let snapshot = self.waiting.case.snapshot;
        let freest = self.nodes.iter().map(|n| free(snapshot, n, resource)).max();
        let container = self.greatest(resource).map_or_else(String::new, |(c, q)| {
            format!(" of container {} (now {q})", c.name)
        });
        let bound = freest
            .filter(|f| f.is_positive())
            .map_or_else(String::new, |f| {
                format!(" to at most {f}, what one node has free")
            });
        format!("lower requests.{resource}{container}{bound}")
    }
}

fn describe(waiting: &Waiting<'_>, edit: &ProposedEdit) -> String {
    let (container, resource) = match edit.path.0.as_slice() {
        [
            ..,
            crate::path::Seg::Named { value, .. },
            _,
            _,
            crate::path::Seg::Key(resource),
        ] => (value.as_str(), resource.as_str()),
        _ => ("", ""),
    };
    let before = edit.path.get(&waiting.manifest.object.value);
    let now = before.map(plain).unwrap_or_default();
    let new = match &edit.op {
        Op::Set(v) | Op::Add(v) => plain(v),
        Op::Remove => String::new(),
    };
    format!("the {resource} request of container {container} from {now} to {new}")
}

fn plain(value: &Value) -> String {
    value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_owned)
}

/// `512Gi` → `512Mi`, `4T` → `4G`, `500` CPUs → `500m`.
fn smaller_unit(written: &Value) -> Option<(String, Quantity)> {
    let text = plain(written);
    let end = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let smaller = match unit {
        "Ei" => "Pi",
        "Pi" => "Ti",
        "Ti" => "Gi",
        "Gi" => "Mi",
        "E" => "P",
        "P" => "T",
        "T" => "G",
        "G" => "M",
        "" => "m",
        _ => return None,
    };
    let slip = format!("{number}{smaller}");
    let value = Quantity::parse(&slip)?;
    Some((value.display_like(&slip), value))
}

/// Less than this is no request that anybody means.
fn least(resource: &str) -> Quantity {
    match resource {
        "cpu" => Quantity::milli(10),
        _ => Quantity::mebi(16),
    }
}

/// A quarter of what is there, in round numbers.
fn share(resource: &str, room: Quantity) -> Option<String> {
    let quarter = room.div_floor(4)?;
    let step = if resource == "cpu" {
        Quantity::milli(50)
    } else {
        Quantity::mebi(64)
    };
    let value = quarter.floor_to(step);
    let like = if resource == "cpu" { "1" } else { "1Mi" };
    (value >= least(resource)).then(|| value.display_like(like))
}

/// A device or huge page that nodes lack: what the pod needs it for is not in any manifest.
fn extended(waiting: &Waiting<'_>, resource: &str) -> Answer {
    let name = waiting.name();
    let holders: Vec<String> = waiting
        .manifest
        .object
        .containers()
        .iter()
        .filter_map(|c| {
            let amount = container_requests(c.value).get(resource).copied()?;
            Some(format!(
                "container {} asks for {amount} of {resource}",
                c.name
            ))
        })
        .collect();
    let mut diagnosis = vec![waiting.symptom()];
    diagnosis.extend(holders);
    diagnosis.push(offered(waiting, resource));
    let nodes = "add nodes that offer it, with their device plugin (outside this repository)";
    let options = vec![
        by_hand(format!(
            "drop or lower {resource} in requests and limits of {name}, if the workload does not need it (extended resources are locked, rule D07: a person makes the change)"
        )),
        by_hand(format!("{resource}: {nodes}")),
    ];
    let title = format!(
        "{name} asks for {resource}, which no node can give: is it needed, or are nodes missing?"
    );
    ask(Code::OwnerDecision, title, diagnosis, options)
}

fn offered(waiting: &Waiting<'_>, resource: &str) -> String {
    let nodes = waiting.nodes();
    let offers: Vec<String> = nodes
        .iter()
        .filter(|n| allocatable(n, resource).is_positive())
        .map(|n| format!("{} offers {}", n.name(), allocatable(n, resource)))
        .collect();
    if nodes.is_empty() {
        return format!(
            "the scheduler says that no node has enough {resource}; the dump lists no nodes"
        );
    }
    if offers.is_empty() {
        return format!(
            "no node of the {} in the dump offers {resource}",
            nodes.len()
        );
    }
    and(&offers)
}
