//! Required pod (anti-)affinity that rules out every node.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::Waiting;
use super::other::{revert, spec_after};
use crate::case::Case;
use crate::code::Code;
use crate::detect::scheduling::CAUSE;
use crate::near::is_misspelling;
use crate::object::{Object, at, list};
use crate::path::FieldPath;
use crate::placement::{anti_affinity_terms, pods_on, term_selects};
use crate::propose::playbook::build::{Words, and, ask, by_hand, change, edit, proposal};
use crate::propose::{Answer, Choice, Op, Proposal, ProposedEdit, Unlock};

const PLAY: &str = "pod-affinity";
const REQUIRED: &str = "requiredDuringSchedulingIgnoredDuringExecution";
const PREFERRED: &str = "preferredDuringSchedulingIgnoredDuringExecution";

pub(super) fn run(case: &Case<'_>) -> Option<Answer> {
    let waiting = Waiting::of(case)?;
    match case.finding.fact(CAUSE)? {
        "anti-affinity" => Some(anti_affinity(&waiting)),
        "pod-affinity" => Some(attraction(&waiting)),
        _ => None,
    }
}

fn anti_affinity(waiting: &Waiting<'_>) -> Answer {
    let conflict = Conflict::of(waiting);
    // how far replicas keep apart is the owner's wish, even where it is new
    let earlier = conflict.restore_earlier();
    match earlier {
        Some(fix) if !conflict.own => Answer::Fix(fix),
        earlier => conflict.question(earlier),
    }
}

/// What the required anti-affinity excludes, counted.
struct Conflict<'c, 'w> {
    waiting: &'w Waiting<'c>,
    nodes: Vec<&'c Object>,
    /// Whether the rule keeps the workload's own replicas apart.
    own: bool,
    /// Other workloads whose pods the rule avoids: name, and on how many admitted nodes.
    others: Vec<(String, usize)>,
}

impl<'c, 'w> Conflict<'c, 'w> {
    fn of(waiting: &'w Waiting<'c>) -> Self {
        let nodes = waiting.admitted(waiting.spec);
        let terms = anti_affinity_terms(waiting.spec);
        let namespace = waiting.manifest.object.namespace();
        let own_pod = waiting.pod(waiting.spec);
        let own = own_pod.is_some_and(|p| terms.iter().any(|t| term_selects(t, namespace, &p)));
        let mut others: Vec<(String, usize)> = Vec::new();
        for node in &nodes {
            for owner in excluded_owners(waiting, node) {
                match others.iter_mut().find(|(o, _)| *o == owner) {
                    Some((_, count)) => *count += 1,
                    None => others.push((owner, 1)),
                }
            }
        }
        Self {
            waiting,
            nodes,
            own,
            others,
        }
    }

    fn topology(&self) -> Vec<String> {
        let keys = anti_affinity_terms(self.waiting.spec).iter();
        let set: BTreeSet<&str> = keys
            .filter_map(|t| t.get("topologyKey")?.as_str())
            .collect();
        set.into_iter().map(str::to_owned).collect()
    }

    /// How many topology domains the admitted nodes form.
    fn domains(&self) -> usize {
        let keys = self.topology();
        let Some(key) = keys.first() else {
            return self.nodes.len();
        };
        let label = |n: &&&'c Object| n.label(key).map(str::to_owned);
        self.nodes
            .iter()
            .filter_map(|n| label(&n))
            .collect::<BTreeSet<_>>()
            .len()
    }

    /// Back to an earlier revision that had no such rule, or another one.
    fn restore_earlier(&self) -> Option<Proposal> {
        let goods = self.waiting.known_good();
        goods.iter().find_map(|good| {
            let earlier = self.waiting.spec_of(good)?;
            let edits = revert(self.waiting, earlier, &[], "podAntiAffinity", &good.basis);
            let spec = spec_after(self.waiting, &edits)?;
            let lifted = edits.is_empty()
                || anti_affinity_terms(&spec) == anti_affinity_terms(self.waiting.spec);
            let runs = self.waiting.nodes().is_empty() || self.waiting.would_run(&spec);
            (!lifted && runs).then(|| {
                let gone = anti_affinity_terms(&spec).is_empty();
                let verb = if gone { "remove" } else { "restore" };
                let what = if gone { "required" } else { "earlier" };
                let reason = format!(
                    "{} ran without this rule, and a node takes the pod without it",
                    good.basis
                );
                self.fix(
                    format!(
                        "{verb} the {what} podAntiAffinity of {}",
                        self.waiting.name()
                    ),
                    reason,
                    edits,
                )
            })
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
        let waiting = self.waiting;
        let name = waiting.name();
        let topology = and(&self.topology());
        let mut out = vec![waiting.symptom()];
        if self.own {
            out.push(format!(
                "the required podAntiAffinity keeps pods of {name} from sharing a node (topologyKey {topology})"
            ));
            out.push(format!("{name} wants {} replicas", waiting.replicas()));
        }
        for (owner, count) in &self.others {
            out.push(format!(
                "the required podAntiAffinity avoids pods of {owner}, which run on {count} of the {} nodes that would take the pod (topologyKey {topology})",
                self.nodes.len()
            ));
        }
        if !self.own && self.others.is_empty() {
            out.push(format!("the pod has a required podAntiAffinity with topologyKey {topology}, or a running pod has one against it"));
        }
        if !waiting.nodes().is_empty() {
            out.push(waiting.node_count(&self.nodes));
        }
        out
    }

    /// As many nodes as replicas: only the extra pod of a rolling update finds no place.
    fn only_surge_is_short(&self) -> bool {
        let domains = i64::try_from(self.domains()).unwrap_or(i64::MAX);
        self.own && self.waiting.replicas() <= domains
    }

    fn question(&self, earlier: Option<Proposal>) -> Answer {
        let waiting = self.waiting;
        let name = waiting.name();
        let mut options: Vec<Choice> = Vec::new();
        options.extend(self.preferred());
        options.extend(earlier.map(change));
        if self.only_surge_is_short() {
            options.push(by_hand(format!("replace pods one by one: maxSurge 0 and maxUnavailable 1 in the rolling update of {name} (rule D08: a person makes the change)")));
        }
        if self.own {
            let most = self.domains();
            options.push(by_hand(format!(
                "run at most {most} replicas of {name} instead of {} (changes capacity, needs approval, rule D01)",
                waiting.replicas()
            )));
            options.push(by_hand("use topologySpreadConstraints with whenUnsatisfiable: ScheduleAnyway instead of the podAntiAffinity".to_owned()));
            options.push(by_hand(format!(
                "add nodes until there are {} (outside this repository)",
                waiting.replicas()
            )));
        } else {
            options.extend(self.removal());
            options.push(by_hand(
                "add nodes without those pods (outside this repository)".to_owned(),
            ));
        }
        let title = self.title();
        ask(Code::OwnerDecision, title, self.diagnosis(), options)
    }

    fn title(&self) -> String {
        let name = self.waiting.name();
        if self.only_surge_is_short() {
            return format!(
                "{name}: {} replicas that must not share a node fill all {} nodes, so an update has no node for a new pod: which gives way?",
                self.waiting.replicas(),
                self.domains()
            );
        }
        match (self.own, self.others.first()) {
            (true, _) => format!(
                "{name}: {} replicas that must not share a node need {} nodes, and {} can be used: which gives way?",
                self.waiting.replicas(),
                self.waiting.replicas(),
                self.domains()
            ),
            (false, Some((owner, _))) => format!(
                "{name} must not share a node with {owner}, which runs on every usable node: is that rule meant?"
            ),
            (false, None) => format!(
                "{name}: a required podAntiAffinity rules out every node: is that rule meant?"
            ),
        }
    }

    fn anti_path(&self) -> FieldPath {
        self.waiting.base.key("affinity").key("podAntiAffinity")
    }

    /// The same terms as a preference.
    fn preferred(&self) -> Option<Choice> {
        let terms = anti_affinity_terms(self.waiting.spec);
        if terms.is_empty()
            || at(self.waiting.spec, "affinity.podAntiAffinity")?
                .get(PREFERRED)
                .is_some()
        {
            return None;
        }
        let soft: Vec<Value> = terms
            .iter()
            .map(|t| json!({"weight": 100, "podAffinityTerm": t}))
            .collect();
        let basis = "the same terms, as a preference".to_owned();
        let edits = vec![
            self.edit(self.anti_path().key(REQUIRED), Op::Remove, basis.clone()),
            self.edit(
                self.anti_path().key(PREFERRED),
                Op::Add(Value::Array(soft)),
                basis,
            ),
        ];
        let title = format!(
            "make the podAntiAffinity of {} preferred instead of required",
            self.waiting.name()
        );
        let reason =
            "pods still spread where they can, and share a node where they must".to_owned();
        Some(change(self.fix(title, reason, edits)))
    }

    fn removal(&self) -> Option<Choice> {
        let affinity = at(self.waiting.spec, "affinity")?.as_object()?;
        let path = if affinity.len() == 1 {
            self.waiting.base.key("affinity")
        } else {
            self.anti_path()
        };
        let edits = vec![self.edit(path, Op::Remove, "the owner's choice".to_owned())];
        let title = format!("remove the podAntiAffinity of {}", self.waiting.name());
        Some(change(self.fix(
            title,
            "without the rule a node takes the pod".to_owned(),
            edits,
        )))
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
}

/// Owners, other than the workload itself, of pods on a node that the rule avoids.
fn excluded_owners(waiting: &Waiting<'_>, node: &Object) -> BTreeSet<String> {
    let snapshot = waiting.case.snapshot;
    let terms = anti_affinity_terms(waiting.spec);
    let namespace = waiting.manifest.object.namespace();
    pods_on(snapshot, node)
        .filter(|pod| terms.iter().any(|t| term_selects(t, namespace, pod)))
        .map(|pod| snapshot.top_owner(pod))
        .filter(|owner| !owner.same_object(waiting.name()))
        .map(|owner| owner.to_string())
        .collect()
}

/// Required affinity to pods that run nowhere.
fn attraction(waiting: &Waiting<'_>) -> Answer {
    if let Some(fix) = restore_attraction(waiting) {
        return Answer::Fix(fix);
    }
    let name = waiting.name();
    let terms = list(waiting.spec, &format!("affinity.podAffinity.{REQUIRED}"));
    let slips: Vec<Slip> = terms.iter().flat_map(|t| slips(waiting, t)).collect();
    let mut options: Vec<Choice> = slips
        .iter()
        .take(4)
        .map(|s| {
            by_hand(format!(
                "correct the labelSelector of the podAffinity of {name} from {}={} to {}={}",
                s.key, s.wanted, s.key, s.carried
            ))
        })
        .collect();
    if options.is_empty() {
        options.push(by_hand(
            "correct the labelSelector of the podAffinity, so that it selects pods that run"
                .to_owned(),
        ));
    }
    options.push(by_hand(
        "make the podAffinity preferred instead of required".to_owned(),
    ));
    options.push(by_hand("start the pods that it names first".to_owned()));
    let title = format!("{name} must run beside pods that no usable node has: is that rule meant?");
    ask(
        Code::OwnerDecision,
        title,
        attraction_facts(waiting),
        options,
    )
}

/// A label value of a term that no pod carries, and one that is a slip away.
struct Slip {
    key: String,
    wanted: String,
    carried: String,
    owner: String,
}

impl Slip {
    fn sentence(&self) -> String {
        format!(
            "no pod carries {}={}; the pods of {} carry {}={}, one slip away",
            self.key, self.wanted, self.owner, self.key, self.carried
        )
    }
}

/// The running pods that a term misses by a slip of one label value.
fn slips(waiting: &Waiting<'_>, term: &Value) -> Vec<Slip> {
    let mut out: Vec<Slip> = Vec::new();
    let labels = at(term, "labelSelector.matchLabels").and_then(Value::as_object);
    let namespace = waiting.manifest.object.namespace();
    let snapshot = waiting.case.snapshot;
    for (key, wanted) in labels.into_iter().flatten() {
        let Some(wanted) = wanted.as_str() else {
            continue;
        };
        for pod in snapshot.in_namespace("Pod", namespace) {
            let Some(carried) = pod.label(key).filter(|l| is_misspelling(wanted, l)) else {
                continue;
            };
            if !out.iter().any(|s| s.key == *key && s.carried == carried) {
                out.push(Slip {
                    key: key.clone(),
                    wanted: wanted.to_owned(),
                    carried: carried.to_owned(),
                    owner: snapshot.top_owner(pod).to_string(),
                });
            }
        }
    }
    out
}

fn attraction_facts(waiting: &Waiting<'_>) -> Vec<String> {
    let mut out = vec![waiting.symptom()];
    let path = format!("affinity.podAffinity.{REQUIRED}");
    let namespace = waiting.manifest.object.namespace();
    for term in list(waiting.spec, &path) {
        let pods = waiting.case.snapshot.of_kind("Pod");
        let hits = pods.filter(|p| term_selects(term, namespace, p)).count();
        let selector = term
            .get("labelSelector")
            .map(Value::to_string)
            .unwrap_or_default();
        let topology = term
            .get("topologyKey")
            .and_then(Value::as_str)
            .unwrap_or_default();
        out.push(format!("the required podAffinity selects {selector} (topologyKey {topology}); {hits} pods of the dump match"));
        if hits == 0 {
            out.extend(slips(waiting, term).iter().map(|s| s.sentence()));
        }
    }
    out
}

fn restore_attraction(waiting: &Waiting<'_>) -> Option<Proposal> {
    waiting.known_good().iter().find_map(|good| {
        let edits = revert(
            waiting,
            waiting.spec_of(good)?,
            &[],
            "podAffinity",
            &good.basis,
        );
        (!edits.is_empty()).then(|| {
            let words = Words {
                play: PLAY,
                title: format!("restore the earlier podAffinity of {}", waiting.name()),
                diagnosis: attraction_facts(waiting),
                reason: format!("{} had another podAffinity", good.basis),
                after_merge: waiting.after_merge(),
            };
            proposal(words, edits)
        })
    })
}
