//! Taints that the pod does not tolerate.

use serde_json::{Value, json};

use super::Waiting;
use super::other::spec_after;
use crate::case::Case;
use crate::code::Code;
use crate::near::is_misspelling;
use crate::object::list;
use crate::placement::{blocking_taint, is_up, node_matches, taint_text};
use crate::propose::playbook::build::{Words, and, ask, by_hand, change, edit, proposal, refuse};
use crate::propose::{Answer, Choice, Op, Proposal, ProposedEdit, Unlock};

const PLAY: &str = "tolerations";

pub(super) fn run(case: &Case<'_>) -> Option<Answer> {
    let waiting = Waiting::of(case)?;
    let taints = Taints::of(&waiting);
    if waiting.nodes().is_empty() {
        return Some(taints.question());
    }
    // nobody means the control plane when the workers are down
    let ordinary = || taints.blocking.iter().filter(|t| !is_control_plane(t));
    let any_is_down = ordinary().next().is_some() || taints.blocking.is_empty();
    if any_is_down && ordinary().all(|t| is_health(t)) {
        return Some(taints.unhealthy());
    }
    let fix = taints
        .correct_toleration()
        .or_else(|| taints.restore_earlier())
        .or_else(|| taints.follow_the_selector());
    Some(fix.map_or_else(|| taints.question(), Answer::Fix))
}

fn text<'v>(value: &'v Value, key: &str) -> &'v str {
    value.get(key).and_then(Value::as_str).unwrap_or_default()
}

/// Taints that Kubernetes itself sets on nodes that are not well.
fn is_health(taint: &Value) -> bool {
    text(taint, "key").starts_with("node.kubernetes.io/")
}

fn is_control_plane(taint: &Value) -> bool {
    text(taint, "key").starts_with("node-role.kubernetes.io/")
}

struct Taints<'c, 'w> {
    waiting: &'w Waiting<'c>,
    /// The first taint that blocks, of each node that the selector admits, without repeats.
    blocking: Vec<&'c Value>,
}

impl<'c, 'w> Taints<'c, 'w> {
    fn of(waiting: &'w Waiting<'c>) -> Self {
        let nodes = waiting.nodes().into_iter();
        let mut blocking: Vec<&'c Value> = Vec::new();
        for node in nodes.filter(|n| node_matches(waiting.spec, n)) {
            let taint: Option<&'c Value> = blocking_taint(waiting.spec, node);
            blocking.extend(taint.filter(|t| !blocking.iter().any(|b| same(b, t))));
        }
        Self { waiting, blocking }
    }

    /// A toleration that is one slip away from exactly one taint.
    fn correct_toleration(&self) -> Option<Proposal> {
        let mut fixes: Vec<(usize, &Value, Vec<ProposedEdit>)> = Vec::new();
        for (index, toleration) in list(self.waiting.spec, "tolerations").iter().enumerate() {
            for taint in self
                .blocking
                .iter()
                .filter(|t| !is_health(t) && !is_control_plane(t))
            {
                let edits = self.corrections(index, toleration, taint);
                if !edits.is_empty() && self.runs_after(&edits) {
                    fixes.push((index, taint, edits));
                }
            }
        }
        let [(_, taint, edits)] = fixes.as_slice() else {
            return None;
        };
        let taint = taint_text(taint);
        let reason = format!(
            "the toleration differs from the taint {taint} by one slip, and with it a node takes the pod"
        );
        let title = format!(
            "correct a toleration of {} to match the taint {taint}",
            self.waiting.name()
        );
        Some(self.fix(title, reason, edits.clone()))
    }

    /// What differs between toleration and taint, if it is one field that is nearly right.
    fn corrections(&self, index: usize, toleration: &Value, taint: &Value) -> Vec<ProposedEdit> {
        let exists = text(toleration, "operator") == "Exists";
        let effect_fits = text(toleration, "effect").is_empty()
            || text(toleration, "effect") == text(taint, "effect");
        let key_fits = text(toleration, "key") == text(taint, "key");
        let value_fits = exists || text(toleration, "value") == text(taint, "value");
        let wrong = match (key_fits, value_fits, effect_fits) {
            (true, true, false) => "effect",
            (true, false, true)
                if is_misspelling(text(toleration, "value"), text(taint, "value")) =>
            {
                "value"
            }
            (false, true, true) if is_misspelling(text(toleration, "key"), text(taint, "key")) => {
                "key"
            }
            _ => return Vec::new(),
        };
        let path = self.waiting.base.key("tolerations").index(index).key(wrong);
        let op = Op::Set(text(taint, wrong).into());
        vec![self.edit(path, op, format!("taint {}", taint_text(taint)))]
    }

    fn edit(&self, path: crate::path::FieldPath, op: Op, basis: String) -> ProposedEdit {
        edit(
            &self.waiting.target(),
            path,
            op,
            Unlock::UnschedulablePlacement,
            basis,
        )
    }

    fn runs_after(&self, edits: &[ProposedEdit]) -> bool {
        spec_after(self.waiting, edits).is_some_and(|s| self.waiting.would_run(&s))
    }

    /// A toleration that an earlier revision had and this one lacks.
    fn restore_earlier(&self) -> Option<Proposal> {
        self.waiting.known_good().iter().find_map(|good| {
            let earlier = list(self.waiting.spec_of(good)?, "tolerations");
            let lost = earlier.iter().find(|t| {
                !list(self.waiting.spec, "tolerations").contains(t)
                    && self.runs_after(&[self.addition((*t).clone(), String::new())])
            })?;
            let edits = vec![self.addition(lost.clone(), good.basis.clone())];
            let reason = format!(
                "{} had this toleration, and with it a node takes the pod",
                good.basis
            );
            let title = format!(
                "restore the toleration of {} in {}",
                text(lost, "key"),
                self.waiting.name()
            );
            Some(self.fix(title, reason, edits))
        })
    }

    /// The pod selects nodes by the very label that is also their taint: it is meant to run there.
    fn follow_the_selector(&self) -> Option<Proposal> {
        let selector = self.waiting.spec.get("nodeSelector")?.as_object()?;
        let [taint] = self.blocking.as_slice() else {
            return None;
        };
        let (key, value) = (text(taint, "key"), text(taint, "value"));
        let meant = !is_control_plane(taint)
            && !value.is_empty()
            && selector.get(key).and_then(Value::as_str) == Some(value);
        let edits = vec![self.addition(
            toleration_for(taint),
            format!("taint {}", taint_text(taint)),
        )];
        (meant && self.runs_after(&edits)).then(|| {
            let reason = format!("the node selector asks for {key}={value}, and exactly those nodes have the taint {}", taint_text(taint));
            let title = format!("tolerate the taint {} in {}", taint_text(taint), self.waiting.name());
            self.fix(title, reason, edits)
        })
    }

    fn addition(&self, toleration: Value, basis: String) -> ProposedEdit {
        let path = self.waiting.base.key("tolerations");
        match list(self.waiting.spec, "tolerations").len() {
            0 => self.edit(path, Op::Add(json!([toleration])), basis),
            count => self.edit(path.index(count), Op::Add(toleration), basis),
        }
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
        for node in self.waiting.nodes().iter().take(20) {
            let spec = self.waiting.spec;
            if let Some(taint) = blocking_taint(spec, node) {
                let selected = if node_matches(spec, node) {
                    ""
                } else {
                    ", and does not meet the node selector"
                };
                out.push(format!(
                    "node {} has the taint {}{selected}",
                    node.name(),
                    taint_text(taint)
                ));
            }
        }
        let tolerations: Vec<String> = list(self.waiting.spec, "tolerations")
            .iter()
            .map(Value::to_string)
            .collect();
        if tolerations.is_empty() {
            out.push(format!("{} has no tolerations", self.waiting.name()));
        } else {
            out.push(format!(
                "{} tolerates {}",
                self.waiting.name(),
                and(&tolerations)
            ));
        }
        out
    }

    fn unhealthy(&self) -> Answer {
        let down: Vec<String> = self
            .waiting
            .nodes()
            .iter()
            .filter(|n| !is_up(n))
            .map(|n| n.name().to_owned())
            .collect();
        let down = if down.is_empty() {
            String::new()
        } else {
            format!("; not ready or cordoned: {}", and(&down))
        };
        refuse(
            Code::InfrastructureFault,
            format!(
                "{}{down}: the nodes have to recover, no manifest is at fault",
                self.diagnosis().join("; ")
            ),
        )
    }

    fn question(&self) -> Answer {
        let name = self.waiting.name();
        let mut options: Vec<Choice> = Vec::new();
        for taint in self.blocking.iter().filter(|t| !is_health(t)).take(4) {
            options.push(self.tolerate(taint));
        }
        if options.is_empty() {
            options.push(by_hand(format!("add a toleration of the taint to {name}")));
        }
        options.push(by_hand(
            "remove the taint: kubectl taint node <name> <key>- (outside this repository)"
                .to_owned(),
        ));
        options.push(by_hand(
            "add nodes without that taint (outside this repository)".to_owned(),
        ));
        let taints: Vec<String> = self.blocking.iter().map(|t| taint_text(t)).collect();
        let named = if taints.is_empty() {
            self.waiting
                .case
                .finding
                .fact(crate::detect::scheduling::TAINT)
                .unwrap_or("a taint")
                .to_owned()
        } else {
            and(&taints)
        };
        let title = format!("{name} does not tolerate {named}: may it run on those nodes?");
        ask(Code::OwnerDecision, title, self.diagnosis(), options)
    }

    fn tolerate(&self, taint: &Value) -> Choice {
        let name = self.waiting.name();
        let words = taint_text(taint);
        if is_control_plane(taint) || text(taint, "effect") == "NoExecute" {
            return by_hand(format!(
                "tolerate {words} in {name} (rule D14: a person makes the change)"
            ));
        }
        let edits = vec![self.addition(toleration_for(taint), "the owner's choice".to_owned())];
        if !self.runs_after(&edits) {
            return by_hand(format!("tolerate {words} in {name}"));
        }
        let title = format!("tolerate the taint {words} in {name}");
        change(self.fix(
            title,
            "with this toleration a node takes the pod".to_owned(),
            edits,
        ))
    }
}

fn same(a: &Value, b: &Value) -> bool {
    ["key", "value", "effect"]
        .iter()
        .all(|k| text(a, k) == text(b, k))
}

fn toleration_for(taint: &Value) -> Value {
    let (key, value, effect) = (
        text(taint, "key"),
        text(taint, "value"),
        text(taint, "effect"),
    );
    if value.is_empty() {
        return json!({"key": key, "operator": "Exists", "effect": effect});
    }
    json!({"key": key, "operator": "Equal", "value": value, "effect": effect})
}
