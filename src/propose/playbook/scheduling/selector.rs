//! A node selector or node affinity that no node meets.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::Waiting;
use crate::case::Case;
use crate::code::Code;
use crate::detect::scheduling::CAUSE;
use crate::near::misspelled;
use crate::object::list;
use crate::path::FieldPath;
use crate::placement::{blocking_taint, is_up, node_terms};
use crate::propose::playbook::build::{Words, ask, by_hand, change, edit, proposal};
use crate::propose::{Answer, Choice, Op, Proposal, ProposedEdit, Unlock};

const PLAY: &str = "node-selector";
const TERMS: &str =
    "affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms";

pub(super) fn run(case: &Case<'_>) -> Option<Answer> {
    if case.finding.fact(CAUSE) != Some("selector") {
        return None;
    }
    let waiting = Waiting::of(case)?;
    let wish = Wish::of(&waiting);
    if waiting.nodes().is_empty() {
        return Some(wish.question());
    }
    let fix = wish.correct_spelling().or_else(|| wish.restore_earlier());
    Some(fix.map_or_else(|| wish.question(), Answer::Fix))
}

/// One demand on node labels, and where it is written.
#[derive(Debug, Clone)]
struct Demand {
    key: String,
    /// Accepted values.
    values: Vec<String>,
    /// The path below the pod spec of the value (or of the only value).
    at: FieldPath,
    /// Where the key is written; none where the key is a mapping's key (node selector).
    key_at: Option<FieldPath>,
}

struct Wish<'c, 'w> {
    waiting: &'w Waiting<'c>,
    demands: Vec<Demand>,
    /// Labels of the nodes that are up and tolerated.
    labels: Vec<&'c Map<String, Value>>,
}

impl<'c, 'w> Wish<'c, 'w> {
    fn of(waiting: &'w Waiting<'c>) -> Self {
        let usable =
            |n: &&&crate::object::Object| is_up(n) && blocking_taint(waiting.spec, n).is_none();
        let nodes = waiting.nodes();
        let labels = nodes
            .iter()
            .filter(usable)
            .filter_map(|n| n.map("metadata.labels"));
        Self {
            waiting,
            demands: demands(waiting.spec),
            labels: labels.collect(),
        }
    }

    fn is_met(&self, demand: &Demand) -> bool {
        self.values_of(&demand.key)
            .iter()
            .any(|v| demand.values.iter().any(|w| w == v))
    }

    fn values_of(&self, key: &str) -> BTreeSet<&'c str> {
        let values = self.labels.iter().filter_map(|l| l.get(key)?.as_str());
        values.collect()
    }

    fn unmet(&self) -> Vec<&Demand> {
        self.demands.iter().filter(|d| !self.is_met(d)).collect()
    }

    /// One slip in a value or in a key, after which a node would take the pod.
    fn correct_spelling(&self) -> Option<Proposal> {
        let unmet = self.unmet();
        let [demand] = unmet.as_slice() else {
            return None;
        };
        let [value] = demand.values.as_slice() else {
            return None;
        };
        let right = misspelled(value, self.values_of(&demand.key));
        let (edits, what) = match right {
            Some(right) => (
                self.set_value(demand, right),
                format!("{}={right}", demand.key),
            ),
            None => {
                let keys = self
                    .labels
                    .iter()
                    .flat_map(|l| l.keys().map(String::as_str));
                let key = misspelled(&demand.key, keys)?;
                if !self.values_of(key).contains(value.as_str()) {
                    return None;
                }
                (
                    self.rename_key(demand, key, value),
                    format!("{key}={value}"),
                )
            }
        };
        let reason = format!(
            "no node has the label {}={value}; {what} is the only label of a node that is one slip away, and a node with it would take the pod",
            demand.key
        );
        let title = format!(
            "correct the node label that {} asks for to {what}",
            self.waiting.name()
        );
        self.runs_after(&edits)
            .then(|| self.fix(title, reason, edits))
    }

    fn set_value(&self, demand: &Demand, value: &str) -> Vec<ProposedEdit> {
        let path = self.waiting.base.join(&demand.at);
        vec![self.edit(
            path,
            Op::Set(value.into()),
            format!("node label {}={value}", demand.key),
        )]
    }

    fn rename_key(&self, demand: &Demand, key: &str, value: &str) -> Vec<ProposedEdit> {
        let basis = format!("node label {key}={value}");
        if let Some(at) = &demand.key_at {
            return vec![self.edit(self.waiting.base.join(at), Op::Set(key.into()), basis)];
        }
        let old = self.waiting.base.join(&demand.at);
        let new = self.waiting.base.key("nodeSelector").key(key);
        vec![
            self.edit(old, Op::Remove, basis.clone()),
            self.edit(new, Op::Add(value.into()), basis),
        ]
    }

    fn edit(&self, path: FieldPath, op: Op, basis: String) -> ProposedEdit {
        edit(
            &self.waiting.target(),
            path,
            op,
            Unlock::UnschedulablePlacement,
            basis,
        )
    }

    fn runs_after(&self, edits: &[ProposedEdit]) -> bool {
        let spec = super::other::spec_after(self.waiting, edits);
        spec.is_some_and(|s| self.waiting.would_run(&s))
    }

    /// Back to the selector of an earlier revision that a node meets.
    fn restore_earlier(&self) -> Option<Proposal> {
        self.waiting.known_good().iter().find_map(|good| {
            let earlier = self.waiting.spec_of(good)?;
            let edits = super::other::revert(
                self.waiting,
                earlier,
                &["nodeSelector"],
                "nodeAffinity",
                &good.basis,
            );
            if edits.is_empty() || !self.runs_after(&edits) {
                return None;
            }
            let reason = format!(
                "{} had another node selector or affinity, which a node meets",
                good.basis
            );
            let title = format!(
                "restore the earlier node selection of {}",
                self.waiting.name()
            );
            Some(self.fix(title, reason, edits))
        })
    }

    fn fix(&self, title: String, reason: String, edits: Vec<ProposedEdit>) -> Proposal {
        let words = Words {
            play: PLAY,
            title,
            diagnosis: self.diagnosis(),
            reason,
            after_merge: self.waiting.after_merge(),
        };
        proposal(words, edits)
    }

    fn diagnosis(&self) -> Vec<String> {
        let mut out = vec![self.waiting.symptom()];
        out.extend(self.demands.iter().map(|d| {
            let wanted = d.values.join(" or ");
            let place = if d.key_at.is_some() {
                "nodeAffinity"
            } else {
                "nodeSelector"
            };
            if self.waiting.nodes().is_empty() {
                return format!(
                    "{place} asks for {}={wanted}; the dump lists no nodes",
                    d.key
                );
            }
            let have: Vec<&str> = self.values_of(&d.key).into_iter().take(5).collect();
            if have.is_empty() {
                format!(
                    "{place} asks for {}={wanted}; no schedulable node has a label {}",
                    d.key, d.key
                )
            } else {
                format!(
                    "{place} asks for {}={wanted}; schedulable nodes have {}={}",
                    d.key,
                    d.key,
                    have.join(", ")
                )
            }
        }));
        if !self.waiting.nodes().is_empty() {
            out.push(format!("the dump lists {} nodes, {} of them up and free of taints that the pod does not tolerate", self.waiting.nodes().len(), self.labels.len()));
        }
        out
    }

    fn question(&self) -> Answer {
        let unmet = self.unmet();
        let asked: Vec<&Demand> = if unmet.is_empty() {
            self.demands.iter().collect()
        } else {
            unmet
        };
        let mut options: Vec<Choice> = asked.iter().flat_map(|d| self.options(d)).collect();
        options.truncate(8);
        if options.is_empty() {
            options.push(by_hand(format!(
                "change the node selector or node affinity of {}",
                self.waiting.name()
            )));
        }
        let wanted: Vec<String> = asked
            .iter()
            .map(|d| format!("{}={}", d.key, d.values.join("|")))
            .collect();
        let title = format!(
            "{} waits for a node with {}: should a node get that label, or is the selector wrong?",
            self.waiting.name(),
            wanted.join(", ")
        );
        let code = if self.waiting.nodes().is_empty() {
            Code::UnknownExistence
        } else {
            Code::OwnerDecision
        };
        ask(code, title, self.diagnosis(), options)
    }

    /// Label a node, take a value that nodes have, or drop the demand.
    fn options(&self, demand: &Demand) -> Vec<Choice> {
        let value = demand.values.first().map_or("", String::as_str);
        let mut out = vec![by_hand(format!(
            "label a node: kubectl label node <name> {}={value} (outside this repository)",
            demand.key
        ))];
        for have in self.values_of(&demand.key).into_iter().take(3) {
            let edits = self.set_value(demand, have);
            if demand.values.len() == 1 && self.runs_after(&edits) {
                let title = format!("ask for {}={have} instead", demand.key);
                out.push(change(self.fix(
                    title,
                    "a node has that label".to_owned(),
                    edits,
                )));
            }
        }
        out.extend(self.removal(demand));
        out
    }

    fn removal(&self, demand: &Demand) -> Option<Choice> {
        let title = format!("drop the wish for a node with {}", demand.key);
        if demand.key_at.is_some() {
            return Some(by_hand(title));
        }
        let selector = self.waiting.spec.get("nodeSelector")?.as_object()?;
        let base = self.waiting.base.key("nodeSelector");
        let path = if selector.len() == 1 {
            base
        } else {
            base.key(&demand.key)
        };
        let edits = vec![self.edit(path, Op::Remove, "the owner's choice".to_owned())];
        let reason = "without that demand a node takes the pod".to_owned();
        self.runs_after(&edits)
            .then(|| change(self.fix(title, reason, edits)))
    }
}

fn demands(spec: &Value) -> Vec<Demand> {
    let mut out: Vec<Demand> = Vec::new();
    let selector = spec.get("nodeSelector").and_then(Value::as_object);
    for (key, value) in selector.into_iter().flatten() {
        let Some(value) = value.as_str() else {
            continue;
        };
        out.push(Demand {
            key: key.clone(),
            values: vec![value.to_owned()],
            at: FieldPath::keys(["nodeSelector"]).key(key),
            key_at: None,
        });
    }
    if let [term] = node_terms(spec) {
        out.extend(term_demands(term));
    }
    out
}

/// Only a single term: with several, none of them is wrong by itself.
fn term_demands(term: &Value) -> Vec<Demand> {
    let terms = TERMS.split('.').fold(FieldPath::default(), |p, k| p.key(k));
    let base = terms.index(0).key("matchExpressions");
    let mut out = Vec::new();
    for (index, expression) in list(term, "matchExpressions").iter().enumerate() {
        let key = expression.get("key").and_then(Value::as_str);
        let values: Vec<String> = list(expression, "values")
            .iter()
            .filter_map(|v| Some(v.as_str()?.to_owned()))
            .collect();
        if let (Some(key), Some("In")) = (key, expression.get("operator").and_then(Value::as_str)) {
            out.push(Demand {
                key: key.to_owned(),
                values,
                at: base.index(index).key("values").index(0),
                key_at: Some(base.index(index).key("key")),
            });
        }
    }
    out
}
