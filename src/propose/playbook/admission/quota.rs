//! A ResourceQuota that refuses pods.

use serde_json::Value;

use crate::case::{Case, Desired};
use crate::code::Code;
use crate::detect::admission::{CONTAINERS, QUOTA, REQUESTED, RESOURCES};
use crate::detect::scheduling::CAUSE;
use crate::lock::known_good;
use crate::object::{Container, Object, at};
use crate::path::FieldPath;
use crate::placement::{container_requests, pod_requests};
use crate::propose::playbook::build::{
    Words, and, ask, by_hand, change, edit, proposal, put, refuse,
};
use crate::propose::{Answer, Choice, Proposal, ProposedEdit, Unlock};
use crate::quantity::Quantity;

const PLAY: &str = "quota";

pub(super) fn run(case: &Case<'_>) -> Option<Answer> {
    let refused = Refused::of(case)?;
    match case.finding.fact(CAUSE)? {
        "must-specify" => Some(refused.must_specify()),
        "exceeded" => Some(refused.exceeded()),
        _ => None,
    }
}

/// A resource as a quota names it: `limits.cpu`, `requests.memory`, `memory`.
#[derive(Debug, Clone)]
struct Item {
    /// As the quota names it.
    name: String,
    /// `limits` or `requests`.
    side: &'static str,
    /// `cpu`, `memory`, …
    resource: String,
}

impl Item {
    fn of(name: &str) -> Option<Self> {
        let (side, resource) = match name.split_once('.') {
            Some(("limits", rest)) => ("limits", rest),
            Some(("requests", rest)) => ("requests", rest),
            _ => ("requests", name),
        };
        let known = matches!(resource, "cpu" | "memory" | "ephemeral-storage");
        known.then(|| Self {
            name: name.to_owned(),
            side,
            resource: resource.to_owned(),
        })
    }

    /// What a container counts towards it.
    fn amount(&self, container: &Value) -> Option<Quantity> {
        match self.side {
            "limits" => at(container, "resources.limits")?
                .get(&self.resource)
                .and_then(Quantity::of),
            _ => container_requests(container).get(&self.resource).copied(),
        }
    }

    fn path(&self, container: &Container<'_>) -> FieldPath {
        container
            .path
            .key("resources")
            .key(self.side)
            .key(&self.resource)
    }

    fn step(&self) -> Quantity {
        if self.resource == "cpu" {
            Quantity::milli(1)
        } else {
            Quantity::mebi(1)
        }
    }

    fn like(&self) -> &'static str {
        if self.resource == "cpu" { "1" } else { "1Mi" }
    }
}

struct Refused<'c> {
    case: &'c Case<'c>,
    manifest: Option<&'c Desired>,
    quota_name: &'c str,
    quota: Option<&'c Object>,
}

impl<'c> Refused<'c> {
    fn of(case: &'c Case<'c>) -> Option<Self> {
        let quota_name = case.finding.fact(QUOTA)?;
        let namespace = case.finding.object.namespace.as_deref();
        Some(Self {
            case,
            manifest: case.manifest(),
            quota_name,
            quota: case.snapshot.find("ResourceQuota", namespace, quota_name),
        })
    }

    fn object(&self) -> Option<&'c Object> {
        match self.manifest {
            Some(m) => Some(&m.object),
            None => self.case.snapshot.get(&self.case.finding.object),
        }
    }

    fn items(&self) -> Vec<Item> {
        let names = self.case.finding.fact(RESOURCES).unwrap_or_default();
        names.split(',').filter_map(Item::of).collect()
    }

    fn number(&self, list: &str, resource: &str) -> Option<Quantity> {
        let quota = self.quota?;
        quota.map(list)?.get(resource).and_then(Quantity::of)
    }

    fn hard(&self, resource: &str) -> Option<Quantity> {
        self.number("status.hard", resource)
            .or_else(|| self.number("spec.hard", resource))
    }

    fn used(&self, resource: &str) -> Option<Quantity> {
        self.number("status.used", resource)
    }

    /// What the quota leaves for this workload: all that others do not use.
    fn room(&self, item: &Item) -> Option<Quantity> {
        let own: Quantity = self
            .case
            .snapshot
            .pods_of(&self.case.finding.object)
            .iter()
            .filter(|p| !matches!(p.str("status.phase"), Some("Succeeded" | "Failed")))
            .flat_map(|p| p.containers())
            .filter(|c| !c.init)
            .filter_map(|c| item.amount(c.value))
            .sum();
        let others = self.used(&item.name)? - own;
        let room = self.hard(&item.name)? - others;
        room.is_positive().then_some(room)
    }

    /// How many pods the workload wants, and how many more during an update.
    fn pods(&self) -> (i64, i64) {
        let Some(object) = self.object() else {
            return (1, 0);
        };
        let live = self.case.snapshot.get(&self.case.finding.object);
        match object.kind() {
            "DaemonSet" => {
                let wanted = live.and_then(|o| o.int("status.desiredNumberScheduled"));
                (wanted.unwrap_or(1).max(1), 0)
            }
            "Job" => (object.int("spec.parallelism").unwrap_or(1).max(1), 0),
            "Deployment" => {
                let replicas = replicas(object, live);
                (replicas, surge(object, replicas))
            }
            "StatefulSet" | "ReplicaSet" => (replicas(object, live), 0),
            _ => (1, 0),
        }
    }

    /// How many pods have to fit at once: where the replicas do, it is those of an update that do not.
    fn must_fit(&self, item: &Item) -> i64 {
        let (pods, surge) = self.pods();
        let replicas_fit = self
            .total(item)
            .zip(self.room(item))
            .is_some_and(|(total, room)| total <= room);
        if replicas_fit { pods + surge } else { pods }
    }

    // -- a declaration is missing

    fn must_specify(&self) -> Answer {
        let fix = self
            .declaration()
            .filter(|_| self.others_undeclared().is_empty());
        fix.map_or_else(|| self.ask_for_declaration(), Answer::Fix)
    }

    /// The containers of the manifest that lack the resource.
    fn lacking(&self, item: &Item) -> Vec<Container<'c>> {
        let object = self.object();
        let all = object.map(Object::containers).unwrap_or_default();
        all.into_iter()
            .filter(|c| item.amount(c.value).is_none())
            .collect()
    }

    /// Exactly one resource of one container, with a value that follows from facts.
    fn declaration(&self) -> Option<Proposal> {
        let manifest = self.manifest?;
        let names = self.case.finding.fact(RESOURCES)?;
        let items = self.items();
        let [item] = items.as_slice() else {
            return None;
        };
        if names.contains(',') {
            return None;
        }
        let lacking = self.lacking(item);
        let [container] = lacking.as_slice() else {
            return None;
        };
        let (value, why) = self
            .earlier(item, container)
            .or_else(|| self.above_request(item, container))?;
        let path = item.path(container);
        let op = put(&manifest.object.value, &path, Value::String(value.clone()));
        let target = manifest.object.reference();
        let edits = vec![edit(&target, path, op, Unlock::QuotaRejected, why.clone())];
        let words = Words {
            play: PLAY,
            title: format!(
                "set {}.{} of container {} of {} to {value}",
                item.side, item.resource, container.name, self.case.finding.object
            ),
            diagnosis: self.diagnosis(),
            reason: why,
            after_merge: Vec::new(),
        };
        Some(proposal(words, edits))
    }

    /// What an earlier revision declared, if the quota has room for it.
    fn earlier(&self, item: &Item, container: &Container<'_>) -> Option<(String, String)> {
        let most = self.most_per_container(item, container)?.0;
        known_good(self.case, &self.case.finding.object)
            .iter()
            .find_map(|good| {
                let old = item.path(container).get(&good.object)?;
                let value = Quantity::of(old).filter(|v| *v <= most)?;
                Some((
                    value.to_string(),
                    format!("{} declared {value}", good.basis),
                ))
            })
    }

    /// A limit between the declared request and what the quota leaves each pod: twice the request,
    /// or what fits.
    fn above_request(&self, item: &Item, container: &Container<'_>) -> Option<(String, String)> {
        if item.side != "limits" {
            return None;
        }
        let request = at(container.value, "resources.requests")?.get(&item.resource)?;
        let least = Quantity::of(request).filter(|q| q.is_positive())?;
        let (most, share) = self.most_per_container(item, container)?;
        let value = least.times(2).min(most).floor_to(item.step());
        let value = value.max(least);
        if value > most {
            return None;
        }
        let like = request.as_str().unwrap_or(item.like());
        let text = value.display_like(like);
        let why = format!(
            "the request is {least}, and {share}: the limit may be {least} to {most}; {text} is at most twice the request and fits"
        );
        Some((text, why))
    }

    /// The most that one container may declare so that all pods fit, and how that was computed.
    fn most_per_container(
        &self,
        item: &Item,
        container: &Container<'_>,
    ) -> Option<(Quantity, String)> {
        let room = self.room(item)?;
        let (pods, surge) = self.pods();
        let siblings: Quantity = self
            .object()?
            .containers()
            .iter()
            .filter(|c| c.name != container.name && !c.init)
            .filter_map(|c| item.amount(c.value))
            .sum();
        let each = |count: i64| Some((room.div_floor(count)? - siblings).floor_to(item.step()));
        let request = at(container.value, "resources.requests").and_then(|r| r.get(&item.resource));
        let least = request.and_then(Quantity::of).unwrap_or(Quantity::ZERO);
        // an update needs room for its surge pods too, unless the quota is too small for that
        let with_surge = each(pods + surge).filter(|m| *m >= least && m.is_positive());
        let (most, count) = match with_surge {
            Some(most) => (most, pods + surge),
            None => (each(pods)?, pods),
        };
        let words = format!(
            "ResourceQuota {} leaves {room} of {} for {count} pods",
            self.quota_name, item.name
        );
        most.is_positive().then_some((most, words))
    }

    /// Other workloads of the namespace that declare it neither: they fail at their next restart.
    fn others_undeclared(&self) -> Vec<String> {
        let target = &self.case.finding.object;
        let items = self.items();
        let git = self.case.desired.iter().map(|d| &d.object);
        let live = self.case.snapshot.objects().iter();
        let workloads = git.chain(live.filter(|o| o.controller().is_none()));
        let mut names: Vec<String> = workloads
            .filter(|o| o.namespace() == target.namespace.as_deref() && o.pod_spec_path().is_some())
            .filter(|o| !o.reference().same_object(target))
            .filter(|o| {
                let lacks = |c: &Container<'_>| items.iter().any(|i| i.amount(c.value).is_none());
                o.containers().iter().any(lacks)
            })
            .map(|o| o.reference().to_string())
            .collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    fn ask_for_declaration(&self) -> Answer {
        let object = &self.case.finding.object;
        let names = self.case.finding.fact(RESOURCES).unwrap_or_default();
        let mut diagnosis = self.diagnosis();
        diagnosis.push(format!(
            "every container of the namespace must declare {names}"
        ));
        let others = self.others_undeclared();
        if others.is_empty() {
            diagnosis.push("workloads that are not in the dump may lack it as well, and would fail at their next restart".to_owned());
        } else {
            let listed: Vec<String> = others.iter().take(8).cloned().collect();
            diagnosis.push(format!(
                "{} declare it neither, and fail at their next restart",
                and(&listed)
            ));
        }
        let mut options = vec![by_hand(self.declare_by_hand(names))];
        options.extend(self.declaration().map(change));
        options.push(by_hand(format!(
            "change or remove ResourceQuota {} (needs approval, rule D22)",
            self.quota_name
        )));
        let title = format!(
            "{object} must declare {names} under ResourceQuota {}: how much does it need?",
            self.quota_name
        );
        let only_values = others.is_empty();
        let code = if only_values {
            Code::MissingValue
        } else {
            Code::OwnerDecision
        };
        ask(code, title, diagnosis, options)
    }

    fn declare_by_hand(&self, names: &str) -> String {
        let object = &self.case.finding.object;
        let mut bounds = Vec::new();
        for item in self.items() {
            for container in self.lacking(&item) {
                let most = self.most_per_container(&item, &container);
                let bound =
                    most.map_or_else(String::new, |(m, share)| format!(", at most {m} ({share})"));
                bounds.push(format!(
                    "resources.{}.{} of container {}{bound}",
                    item.side, item.resource, container.name
                ));
            }
        }
        if bounds.is_empty() {
            return format!("declare {names} on {object}");
        }
        format!(
            "declare {} of {object} (and the same on the other workloads of the namespace)",
            and(&bounds)
        )
    }

    // -- the quota is used up

    fn exceeded(&self) -> Answer {
        let finding = self.case.finding;
        let object = &finding.object;
        let resources = finding.fact(RESOURCES).unwrap_or_default();
        if self.manifest.is_none() && self.quota.is_none() {
            return refuse(Code::NotManaged, finding.summary.clone());
        }
        let mut options: Vec<Choice> = Vec::new();
        options.extend(self.lower().map(change));
        if options.is_empty() {
            options.push(by_hand(self.lower_by_hand()));
        }
        options.push(by_hand(self.raise_by_hand()));
        let (pods, _) = self.pods();
        if pods > 1 {
            options.push(by_hand(format!("run fewer than {pods} replicas of {object} (changes capacity, needs approval, rule D01)")));
        }
        let title = format!(
            "{object} does not fit ResourceQuota {} ({resources}): which side gives way?",
            self.quota_name
        );
        ask(Code::OwnerDecision, title, self.diagnosis(), options)
    }

    /// Requests (or limits) that fit for all replicas, where one container carries them.
    fn lower(&self) -> Option<Proposal> {
        let manifest = self.manifest?;
        let items = self.items();
        if items.len() != self.case.finding.fact(RESOURCES)?.split(',').count() {
            return None; // a count of objects is exceeded as well: lowering would not help
        }
        let mut edits: Vec<ProposedEdit> = Vec::new();
        let mut words = Vec::new();
        for item in &items {
            let (edit, text) = self.lowered(item, manifest)?;
            edits.push(edit);
            words.push(text);
        }
        let words = Words {
            play: PLAY,
            title: format!("lower {} in {}", and(&words), self.case.finding.object),
            diagnosis: self.diagnosis(),
            reason: format!("then all pods fit ResourceQuota {}", self.quota_name),
            after_merge: Vec::new(),
        };
        (!edits.is_empty()).then(|| proposal(words, edits))
    }

    fn lowered(&self, item: &Item, manifest: &Desired) -> Option<(ProposedEdit, String)> {
        let room = self.room(item)?;
        let pods = self.must_fit(item);
        let containers = manifest.object.containers();
        let carriers: Vec<&Container<'_>> = containers
            .iter()
            .filter(|c| item.amount(c.value).is_some())
            .collect();
        let [container] = carriers.as_slice() else {
            return None;
        };
        let path = item.path(container);
        let old = path.get(&manifest.object.value)?;
        let now = Quantity::of(old)?;
        let most = room.div_floor(pods)?.floor_to(item.step());
        let least = match item.side {
            "limits" => container_requests(container.value)
                .get(&item.resource)
                .copied()
                .unwrap_or(Quantity::ZERO),
            _ => Quantity::ZERO,
        };
        if most >= now || !most.is_positive() || most < least {
            return None;
        }
        let value = most.display_like(old.as_str().unwrap_or(item.like()));
        let text = format!(
            "{}.{} of container {} from {now} to {value}",
            item.side, item.resource, container.name
        );
        let basis = format!(
            "{room} of ResourceQuota {} for {pods} pods",
            self.quota_name
        );
        let op = put(&manifest.object.value, &path, Value::String(value));
        let target = manifest.object.reference();
        Some((edit(&target, path, op, Unlock::QuotaRejected, basis), text))
    }

    fn lower_by_hand(&self) -> String {
        let object = &self.case.finding.object;
        let resources = self.case.finding.fact(RESOURCES).unwrap_or_default();
        let bounds: Vec<String> = self
            .items()
            .iter()
            .filter_map(|item| {
                let each = self.room(item)?.div_floor(self.must_fit(item))?;
                let most = each.floor_to(item.step());
                Some(format!("{} at most {most} per pod", item.name))
            })
            .collect();
        if bounds.is_empty() {
            return format!(
                "use less of {resources} in the namespace (other workloads hold it, see the numbers)"
            );
        }
        format!("lower the resources of {object}: {}", and(&bounds))
    }

    fn raise_by_hand(&self) -> String {
        let mut raised = Vec::new();
        for item in self.items() {
            if let (Some(hard), Some(room), Some(each)) =
                (self.hard(&item.name), self.room(&item), self.each(&item))
            {
                let needed = each.times(self.must_fit(&item)) - room + hard;
                raised.push(format!("{} from {hard} to at least {needed}", item.name));
            }
        }
        let what = if raised.is_empty() {
            String::new()
        } else {
            format!(": {}", and(&raised))
        };
        format!(
            "raise ResourceQuota {}{what} (needs approval, rule D22)",
            self.quota_name
        )
    }

    /// What one pod counts towards the item.
    fn each(&self, item: &Item) -> Option<Quantity> {
        let spec = self.object()?.pod_spec()?;
        if item.side == "requests" {
            return pod_requests(spec).get(&item.resource).copied();
        }
        let containers = self.object()?.containers();
        let amounts = containers
            .iter()
            .filter(|c| !c.init)
            .filter_map(|c| item.amount(c.value));
        Some(amounts.sum::<Quantity>()).filter(|q| q.is_positive())
    }

    fn total(&self, item: &Item) -> Option<Quantity> {
        Some(self.each(item)?.times(self.pods().0))
    }

    fn diagnosis(&self) -> Vec<String> {
        let finding = self.case.finding;
        let mut out = vec![finding.summary.clone(), finding.message.clone()];
        for name in finding.fact(RESOURCES).unwrap_or_default().split(',') {
            out.push(self.numbers(name));
        }
        let (pods, surge) = self.pods();
        for item in self.items() {
            if let (Some(each), Some(total)) = (self.each(&item), self.total(&item)) {
                out.push(format!(
                    "{pods} replicas x {each} = {total} of {} needed by {}",
                    item.name, finding.object
                ));
            }
        }
        if surge > 0 {
            out.push(format!(
                "{} wants {pods} replicas, and up to {surge} more during an update",
                finding.object
            ));
        }
        let containers = finding.fact(CONTAINERS).unwrap_or_default();
        if !containers.is_empty() {
            out.push(format!("containers without the declaration: {containers}"));
        }
        out
    }

    fn numbers(&self, name: &str) -> String {
        let text = |q: Option<Quantity>| q.map_or_else(|| "unknown".to_owned(), |q| q.to_string());
        let (hard, used) = (self.hard(name), self.used(name));
        if hard.is_none() && used.is_none() {
            let said = self.case.finding.fact(REQUESTED).unwrap_or_default();
            return format!(
                "ResourceQuota {} limits {name}; the dump does not hold it; one pod asks for {said}",
                self.quota_name
            );
        }
        format!(
            "ResourceQuota {}: {name} hard {}, used {}",
            self.quota_name,
            text(hard),
            text(used)
        )
    }
}

fn replicas(object: &Object, live: Option<&Object>) -> i64 {
    let git = object.int("spec.replicas");
    git.or_else(|| live?.int("spec.replicas"))
        .unwrap_or(1)
        .max(1)
}

/// Pods over `replicas` that a rolling update may start (25 % where nothing is said).
fn surge(object: &Object, replicas: i64) -> i64 {
    if object.str("spec.strategy.type") == Some("Recreate") {
        return 0;
    }
    let percent = |p: i64| (replicas.saturating_mul(p)).saturating_add(99) / 100;
    match object.get("spec.strategy.rollingUpdate.maxSurge") {
        Some(Value::Number(n)) => n.as_i64().unwrap_or(0).clamp(0, 1000),
        Some(Value::String(s)) => {
            let number = s
                .trim_end_matches('%')
                .parse::<i64>()
                .unwrap_or(25)
                .clamp(0, 1000);
            if s.ends_with('%') {
                percent(number)
            } else {
                number
            }
        }
        _ => percent(25),
    }
}
