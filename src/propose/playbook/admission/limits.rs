//! A LimitRange that refuses pods.

use std::sync::LazyLock;

use regex::Regex;
use serde_json::Value;

use crate::case::{Case, Desired};
use crate::code::Code;
use crate::object::{Container, Object, at};
use crate::propose::playbook::build::{Words, and, ask, by_hand, change, edit, proposal, put};
use crate::propose::{Answer, Op, Proposal, ProposedEdit, Unlock};
use crate::quantity::Quantity;

const PLAY: &str = "limit-range";

static BREACH: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"(minimum|maximum) (\S+) usage per (Container|Pod) is ([^,\s\]]+), but (limit|request) is ([^,\s\].]+)")
        .expect("a constant pattern")
});

/// One thing that the LimitRange says.
struct Breach {
    minimum: bool,
    resource: String,
    per_container: bool,
    bound: Quantity,
    /// `limits` or `requests`.
    side: &'static str,
    is: Quantity,
}

pub(super) fn run(case: &Case<'_>) -> Option<Answer> {
    let breaches = breaches(&case.finding.message);
    if let Some(answer) = above_default(case) {
        return Some(answer);
    }
    let fix = case
        .manifest()
        .and_then(|manifest| fix(case, manifest, &breaches));
    Some(fix.map_or_else(|| question(case), Answer::Fix))
}

fn breaches(message: &str) -> Vec<Breach> {
    let read = |found: regex::Captures<'_>| {
        let part = |i: usize| found.get(i).map_or("", |m| m.as_str());
        Some(Breach {
            minimum: part(1) == "minimum",
            resource: part(2).to_owned(),
            per_container: part(3) == "Container",
            bound: Quantity::parse(part(4))?,
            side: if part(5) == "limit" {
                "limits"
            } else {
                "requests"
            },
            is: Quantity::parse(part(6))?,
        })
    };
    BREACH.captures_iter(message).filter_map(read).collect()
}

/// The bound itself, for every container that is over or under it; only where Git writes the value.
fn fix(case: &Case<'_>, manifest: &Desired, breaches: &[Breach]) -> Option<Proposal> {
    let said = case.finding.message.matches(" per Container").count()
        + case.finding.message.matches(" per Pod").count();
    if breaches.is_empty() || said != breaches.len() || !breaches.iter().all(|b| b.per_container) {
        return None;
    }
    let mut edits: Vec<ProposedEdit> = Vec::new();
    let mut words = Vec::new();
    for breach in breaches {
        let hits: Vec<Container<'_>> = manifest
            .object
            .containers()
            .into_iter()
            .filter(|c| breach.is_by(c))
            .collect();
        if hits.is_empty() {
            return None; // the value comes from a default, not from Git
        }
        for container in &hits {
            for edit in breach.edits(manifest, container) {
                if !edits.iter().any(|e| e.path == edit.path) {
                    words.push(format!(
                        "{} of container {}",
                        edit.path
                            .0
                            .iter()
                            .rev()
                            .take(2)
                            .map(seg)
                            .collect::<Vec<_>>()
                            .join(" "),
                        container.name
                    ));
                    edits.push(edit);
                }
            }
        }
    }
    if edits.len() > 6 {
        return None;
    }
    let words = Words {
        play: PLAY,
        title: format!(
            "bring the {} of {} within the LimitRange",
            and(&words),
            case.finding.object
        ),
        diagnosis: diagnosis(case),
        reason:
            "the LimitRange refuses the present value; the new one is the nearest that it allows"
                .to_owned(),
        after_merge: Vec::new(),
    };
    Some(proposal(words, edits))
}

fn seg(seg: &crate::path::Seg) -> String {
    match seg {
        crate::path::Seg::Key(key) => key.trim_end_matches('s').to_owned(),
        crate::path::Seg::Index(i) => i.to_string(),
        crate::path::Seg::Named { value, .. } => value.clone(),
    }
}

impl Breach {
    fn amount(&self, container: &Container<'_>, side: &str) -> Option<Quantity> {
        at(container.value, "resources")?
            .get(side)?
            .get(&self.resource)
            .and_then(Quantity::of)
    }

    fn is_by(&self, container: &Container<'_>) -> bool {
        self.amount(container, self.side) == Some(self.is)
    }

    /// The breached value, and the other side where it would no longer agree.
    fn edits(&self, manifest: &Desired, container: &Container<'_>) -> Vec<ProposedEdit> {
        let mut sides = vec![self.side];
        let other = if self.side == "limits" {
            "requests"
        } else {
            "limits"
        };
        let disagrees =
            self.amount(container, other)
                .is_some_and(|q| match (self.minimum, self.side) {
                    (false, "limits") => q > self.bound,
                    (true, "requests") => q < self.bound,
                    _ => false,
                });
        if disagrees {
            sides.push(other);
        }
        let make = |side: &str| {
            let path = container
                .path
                .key("resources")
                .key(side)
                .key(&self.resource);
            let old = path.get(&manifest.object.value)?;
            let text = self.bound.display_like(old.as_str().unwrap_or("1"));
            let op = put(&manifest.object.value, &path, Value::String(text));
            let edge = if self.minimum { "minimum" } else { "maximum" };
            let basis = format!("LimitRange: {edge} {} of {}", self.bound, self.resource);
            Some(edit(
                &manifest.object.reference(),
                path,
                op,
                Unlock::QuotaRejected,
                basis,
            ))
        };
        sides.into_iter().filter_map(make).collect()
    }
}

static ABOVE: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(
        r#"Invalid value: "([^"]+)": must be less than or equal to (\S+) limit(?: of (\S+))?"#,
    )
    .expect("a constant pattern")
});

/// A container with a request and no limit gets the LimitRange's default limit, which may be less.
fn above_default(case: &Case<'_>) -> Option<Answer> {
    let found = ABOVE.captures(&case.finding.message)?;
    let part = |i: usize| found.get(i).map_or("", |m| m.as_str());
    let (request, resource, limit) = (Quantity::parse(part(1))?, part(2), part(3));
    let limit = if limit.is_empty() { "default" } else { limit };
    let object = &case.finding.object;
    let mut options = Vec::new();
    let mut facts = diagnosis(case);
    if let Some(manifest) = case.manifest() {
        let all = manifest.object.containers();
        let hits = all.iter().filter(|c| {
            let amount = |side: &str| at(c.value, "resources")?.get(side)?.get(resource);
            amount("requests").and_then(Quantity::of) == Some(request) && amount("limits").is_none()
        });
        for container in hits.take(4) {
            facts.push(format!(
                "in Git container {} requests {request} of {resource} and declares no limit, so the LimitRange's default of {limit} becomes its limit",
                container.name
            ));
            options.push(change(limit_option(
                manifest, container, resource, request, object,
            )));
        }
    }
    options.push(by_hand(format!(
        "lower requests.{resource} of {object} from {request} to at most {limit}"
    )));
    options.push(by_hand(
        "raise the default limit in the LimitRange (needs approval, rule D22)".to_owned(),
    ));
    let title = format!(
        "{object} requests {request} of {resource}, more than the LimitRange's default limit of {limit}: declare a limit, or request less?"
    );
    Some(ask(Code::OwnerDecision, title, facts, options))
}

/// The limit that equals the request.
fn limit_option(
    manifest: &Desired,
    container: &Container<'_>,
    resource: &str,
    request: Quantity,
    object: &crate::object::ObjectRef,
) -> Proposal {
    let resources = container.path.key("resources");
    let path = resources.key("limits").key(resource);
    let written = resources.key("requests").key(resource);
    let text = written
        .get(&manifest.object.value)
        .and_then(Value::as_str)
        .map_or_else(|| request.to_string(), str::to_owned);
    let limits = resources.key("limits");
    let missing = limits
        .get(&manifest.object.value)
        .is_none_or(Value::is_null);
    let (path, op) = if missing {
        (limits, Op::Add(serde_json::json!({ resource: text })))
    } else {
        (path, Op::Add(Value::String(text.clone())))
    };
    let target = manifest.object.reference();
    let basis = format!("the request {request} of container {}", container.name);
    let words = Words {
        play: PLAY,
        title: format!(
            "declare limits.{resource} {request} for container {} of {object}",
            container.name
        ),
        diagnosis: Vec::new(),
        reason: "with a limit of its own the container does not get the default, and the request is not above it".to_owned(),
        after_merge: Vec::new(),
    };
    proposal(
        words,
        vec![edit(&target, path, op, Unlock::QuotaRejected, basis)],
    )
}

fn diagnosis(case: &Case<'_>) -> Vec<String> {
    let finding = case.finding;
    let mut out = vec![finding.summary.clone()];
    if !finding.summary.contains(&finding.message) {
        out.push(finding.message.clone());
    }
    let ranges = case
        .snapshot
        .in_namespace("LimitRange", finding.object.namespace.as_deref());
    out.extend(ranges.iter().map(|r| describe(r)));
    out
}

fn describe(range: &Object) -> String {
    let limits: Vec<String> = range
        .list("spec.limits")
        .iter()
        .map(Value::to_string)
        .collect();
    format!("LimitRange {} says {}", range.name(), limits.join(", "))
}

fn question(case: &Case<'_>) -> Answer {
    let object = &case.finding.object;
    let options = vec![
        by_hand(format!(
            "change requests or limits of {object} so that the LimitRange allows them"
        )),
        by_hand("change the LimitRange (needs approval, rule D22)".to_owned()),
    ];
    let title =
        format!("{object} asks for what the LimitRange does not allow: which side gives way?");
    ask(Code::OwnerDecision, title, diagnosis(case), options)
}
