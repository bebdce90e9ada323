//! A claim that stays Pending.

use serde_json::Value;

use crate::case::{Case, Desired};
use crate::code::Code;
use crate::detect::scheduling::CAUSE;
use crate::detect::storage::{CLAIM, TEMPLATE, is_default};
use crate::finding::fact;
use crate::near::misspelled;
use crate::object::{Object, ObjectRef, at};
use crate::path::FieldPath;
use crate::propose::playbook::build::{
    Words, and, ask, by_hand, change, edit, proposal, put, refuse,
};
use crate::propose::{Answer, Choice, Op, Proposal, Unlock};
use crate::quantity::Quantity;

const PLAY: &str = "storage-class";

pub(super) fn run(case: &Case<'_>) -> Option<Answer> {
    let finding = case.finding;
    match finding.fact(CAUSE)? {
        "no-class" | "no-class-set" => Pending::of(case)?.answer(),
        "no-volume-fits" | "static-only" => Some(no_volume_fits(case)),
        "no-volume" | "lost" => Some(volume_gone(case)),
        "provisioning" if refuses_the_claim(&finding.message) => Some(unsupported(case)),
        _ => {
            let next = if is_used_up(&finding.message) {
                "the quota or capacity that the message names has to be raised or freed outside this repository, or the claim asks for less"
            } else {
                "the storage provisioner has to be mended, no manifest is at fault"
            };
            let users = users(case);
            let text = format!("{}; used by {users}; {next}", finding.summary);
            Some(refuse(Code::InfrastructureFault, text))
        }
    }
}

/// The provisioner works, and cannot make a volume of the kind that the claim asks for.
fn refuses_the_claim(message: &str) -> bool {
    let low = message.to_ascii_lowercase();
    let capability = [
        "accessmode",
        "access mode",
        "multi_node",
        "volume capabilit",
        "volumemode",
    ];
    (low.contains("not support") || low.contains("unsupported") || low.contains("invalid"))
        && capability.iter().any(|w| low.contains(w))
}

fn is_used_up(message: &str) -> bool {
    let low = message.to_ascii_lowercase();
    [
        "quota",
        "exceed",
        "exhausted",
        "insufficient",
        "out of space",
        "no space",
    ]
    .iter()
    .any(|w| low.contains(w))
}

fn unsupported(case: &Case<'_>) -> Answer {
    let finding = case.finding;
    let namespace = finding.object.namespace.as_deref();
    let name = finding.fact(CLAIM).unwrap_or(&finding.object.name);
    let claim = case.snapshot.find("PersistentVolumeClaim", namespace, name);
    let mut diagnosis = vec![finding.summary.clone()];
    diagnosis.extend(claim.map(wish));
    let classes = case.snapshot.of_kind("StorageClass").take(8).map(|c| {
        format!(
            "{} ({})",
            c.name(),
            c.str("provisioner").unwrap_or("unknown provisioner")
        )
    });
    diagnosis.push(format!(
        "the cluster has StorageClass {}",
        and(&classes.collect::<Vec<_>>())
    ));
    diagnosis.push(format!("it is used by {}", users(case)));
    let modes = claim.map(modes).unwrap_or_default();
    let options = vec![
        by_hand(format!(
            "ask for an access mode that the class supports instead of {modes} in claim {name}, and create the claim again: its spec is immutable (rule G12: a person makes the change)"
        )),
        by_hand(format!(
            "use a StorageClass that supports {modes} for claim {name}, and create the claim again (rule G12: a person makes the change)"
        )),
    ];
    let class = claim
        .and_then(|c| c.str("spec.storageClassName"))
        .unwrap_or("the default one");
    let title = format!(
        "PersistentVolumeClaim {name} asks for {modes}, which StorageClass {class} cannot give: which of the two changes?"
    );
    ask(Code::OwnerDecision, title, diagnosis, options)
}

fn users(case: &Case<'_>) -> String {
    let names = case
        .finding
        .related
        .iter()
        .filter(|r| r.kind != "PersistentVolumeClaim");
    let names: Vec<String> = names.take(5).map(ToString::to_string).collect();
    if names.is_empty() {
        "no pod of the dump".to_owned()
    } else {
        and(&names)
    }
}

/// A claim without a usable class, and where Git writes it.
pub(super) struct Pending<'c> {
    case: &'c Case<'c>,
    manifest: &'c Desired,
    /// `spec.storageClassName`, of the claim or of the template.
    path: FieldPath,
    /// The claim (or template), for people.
    name: String,
    /// The claims that have to be made again.
    claims: Vec<ObjectRef>,
    missing: Option<String>,
}

impl<'c> Pending<'c> {
    pub(super) fn of(case: &'c Case<'c>) -> Option<Self> {
        let finding = case.finding;
        let manifest = case.manifest()?;
        let template = finding.fact(TEMPLATE);
        let path = match template {
            Some(template) => template_path(&manifest.object, template)?,
            None => FieldPath::keys(["spec", "storageClassName"]),
        };
        let name = match template {
            Some(template) => format!("claim template {template} of {}", finding.object),
            None => finding.object.to_string(),
        };
        let claims = claims(case, template);
        let missing = finding.fact(fact::MISSING_NAME).map(str::to_owned);
        Some(Self {
            case,
            manifest,
            path,
            name,
            claims,
            missing,
        })
    }

    /// A claim that a pod waits for, where the finding is about the pod's owner.
    pub(super) fn of_claim(case: &'c Case<'c>, manifest: &'c Desired, missing: &str) -> Self {
        Self {
            case,
            manifest,
            path: FieldPath::keys(["spec", "storageClassName"]),
            name: manifest.object.reference().to_string(),
            claims: vec![manifest.object.reference()],
            missing: Some(missing.to_owned()),
        }
    }

    fn git_value(&self) -> Option<&'c str> {
        self.path.get(&self.manifest.object.value)?.as_str()
    }

    fn classes(&self) -> Vec<&'c Object> {
        self.case.snapshot.of_kind("StorageClass").collect()
    }

    pub(super) fn answer(&self) -> Option<Answer> {
        if self.git_value() != self.missing.as_deref() {
            return Some(self.already_changed());
        }
        if self.some_bound() {
            return Some(refuse(
                Code::BlockedImmutable,
                format!(
                    "{}: a claim of it is bound, so its storage class cannot change (rule G12); {}",
                    self.name, self.case.finding.summary
                ),
            ));
        }
        let answer = match self.the_class() {
            Some((class, why)) => Answer::Fix(self.fix(class, why)),
            None => self.question(),
        };
        Some(answer)
    }

    fn already_changed(&self) -> Answer {
        let live = self.missing.as_deref().unwrap_or("none");
        let git = self.git_value().unwrap_or("none");
        refuse(
            Code::PendingSync,
            format!(
                "{}: Git says storageClassName {git}, the cluster's claim has {live}; storageClassName is immutable, so the claim must be deleted before the sync can create it again",
                self.name
            ),
        )
    }

    fn some_bound(&self) -> bool {
        self.claims.iter().any(|claim| {
            let live = self.case.snapshot.get(claim);
            live.is_some_and(|c| {
                c.str("status.phase") == Some("Bound")
                    || c.str("spec.volumeName").is_some_and(|v| !v.is_empty())
            })
        })
    }

    /// The class that follows from facts: the one that was misspelled, an earlier value of Git, the
    /// default one, the only one.
    fn the_class(&self) -> Option<(&'c str, String)> {
        let classes = self.classes();
        let names: Vec<&'c str> = classes.iter().map(|c| c.name()).collect();
        if let Some(near) = self
            .missing
            .as_deref()
            .and_then(|m| misspelled(m, names.iter().copied()))
        {
            return Some((
                near,
                format!("{near} is the only StorageClass that is one slip away"),
            ));
        }
        if let Some(earlier) = self.earlier(&names) {
            return Some(earlier);
        }
        let defaults: Vec<&&Object> = classes.iter().filter(|c| is_default(c)).collect();
        match (defaults.as_slice(), names.as_slice()) {
            ([only], _) => Some((
                only.name(),
                format!("{} is the cluster's default StorageClass", only.name()),
            )),
            (_, [only]) => Some((
                only,
                format!("{only} is the only StorageClass of the cluster"),
            )),
            _ => None,
        }
    }

    fn earlier(&self, names: &[&'c str]) -> Option<(&'c str, String)> {
        let versions = self.case.earlier_of(&self.manifest.object.reference());
        versions.iter().find_map(|e| {
            let old = self.path.get(&e.object.value)?.as_str()?;
            let name = names.iter().find(|n| **n == old)?;
            Some((
                *name,
                format!(
                    "Git had {old} before commit {}",
                    e.replaced_by.id.get(..10).unwrap_or_default()
                ),
            ))
        })
    }

    fn fix(&self, class: &str, why: String) -> Proposal {
        let op = put(
            &self.manifest.object.value,
            &self.path,
            Value::String(class.to_owned()),
        );
        let verb = if matches!(op, Op::Add(_)) {
            "set"
        } else {
            "change"
        };
        let target = self.manifest.object.reference();
        let edits = vec![edit(
            &target,
            self.path.clone(),
            op,
            Unlock::PvcPending,
            why.clone(),
        )];
        let was = self
            .missing
            .as_deref()
            .map_or_else(String::new, |m| format!("; {m} does not exist"));
        let words = Words {
            play: PLAY,
            title: format!("{verb} storageClassName of {} to {class}", self.name),
            diagnosis: self.diagnosis(),
            reason: format!("{why}{was}"),
            after_merge: self.after_merge(),
        };
        proposal(words, edits)
    }

    fn after_merge(&self) -> Vec<String> {
        let names: Vec<String> = self.claims.iter().map(ToString::to_string).collect();
        let mut out = vec![format!(
            "{} must be deleted and created again: storageClassName is immutable; never bound, so no data is lost",
            and(&names)
        )];
        if self.manifest.object.kind() == "StatefulSet" {
            out.push(format!(
                "{} must be deleted with --cascade=orphan and created again: volumeClaimTemplates are immutable",
                self.manifest.object.reference()
            ));
        }
        out
    }

    fn diagnosis(&self) -> Vec<String> {
        let finding = self.case.finding;
        let mut out = vec![finding.summary.clone()];
        if !finding.message.is_empty() {
            out.push(finding.message.clone());
        }
        let classes = self.classes();
        if classes.is_empty() {
            out.push("the dump lists no StorageClass".to_owned());
        } else {
            let named = |c: &&Object| {
                let mark = if is_default(c) { " (default)" } else { "" };
                format!("{}{mark}", c.name())
            };
            let names: Vec<String> = classes.iter().map(named).collect();
            out.push(format!("the cluster has StorageClass {}", and(&names)));
        }
        out.push(format!("it is used by {}", users(self.case)));
        out
    }

    fn question(&self) -> Answer {
        let classes = self.classes();
        let mut options: Vec<Choice> = classes
            .iter()
            .take(6)
            .map(|c| change(self.fix(c.name(), "the owner's choice".to_owned())))
            .collect();
        options.push(by_hand(self.missing.as_deref().map_or_else(
            || {
                "mark one StorageClass as the default (outside this repository, rule F09)"
                    .to_owned()
            },
            |wanted| format!("create StorageClass {wanted} (outside this repository, rule F09)"),
        )));
        let code = if classes.is_empty() {
            Code::UnknownExistence
        } else {
            Code::OwnerDecision
        };
        let title = format!("{} needs a StorageClass that exists: which one?", self.name);
        ask(code, title, self.diagnosis(), options)
    }
}

fn template_path(set: &Object, template: &str) -> Option<FieldPath> {
    let named = |t: &Value| at(t, "metadata.name").and_then(Value::as_str) == Some(template);
    let index = set
        .list("spec.volumeClaimTemplates")
        .iter()
        .position(named)?;
    let list = FieldPath::keys(["spec", "volumeClaimTemplates"]);
    Some(list.index(index).key("spec").key("storageClassName"))
}

/// The claims of the finding: the claim itself, or all that were made from the template.
fn claims(case: &Case<'_>, template: Option<&str>) -> Vec<ObjectRef> {
    let finding = case.finding;
    let Some(template) = template else {
        return vec![finding.object.clone()];
    };
    let prefix = format!("{template}-{}-", finding.object.name);
    let namespace = finding.object.namespace.as_deref();
    let all = case
        .snapshot
        .in_namespace("PersistentVolumeClaim", namespace);
    let of_template = |c: &&&Object| {
        let ordinal = c.name().strip_prefix(&prefix);
        ordinal.is_some_and(|o| o.parse::<u32>().is_ok())
    };
    all.iter()
        .filter(of_template)
        .map(|c| c.reference())
        .collect()
}

/// Volumes made by hand that do not fit: which of them differs in what.
fn no_volume_fits(case: &Case<'_>) -> Answer {
    let finding = case.finding;
    let namespace = finding.object.namespace.as_deref();
    let name = finding.fact(CLAIM).unwrap_or(&finding.object.name);
    let claim = case.snapshot.find("PersistentVolumeClaim", namespace, name);
    let mut diagnosis = vec![finding.summary.clone()];
    if !finding.message.is_empty() {
        diagnosis.push(finding.message.clone());
    }
    if let Some(claim) = claim {
        diagnosis.push(wish(claim));
        let volumes = case.snapshot.of_kind("PersistentVolume");
        diagnosis.extend(volumes.take(8).map(|v| mismatch(claim, v)));
    }
    diagnosis.push(format!("it is used by {}", users(case)));
    let options = vec![
        by_hand(format!(
            "change the claim {name} to what a volume offers (class, access modes, size), and create it again: its spec is immutable (rule G12: a person makes the change)"
        )),
        by_hand(format!(
            "create a PersistentVolume that fits the claim {name} (rule G02: a person makes the change)"
        )),
        by_hand(format!(
            "let a StorageClass provision it: remove the static class from claim {name}"
        )),
    ];
    let title = format!(
        "PersistentVolumeClaim {name} fits no free PersistentVolume: which of the two is wrong?"
    );
    ask(Code::OwnerDecision, title, diagnosis, options)
}

fn modes(object: &Object) -> String {
    let modes: Vec<&str> = object
        .list("spec.accessModes")
        .iter()
        .filter_map(Value::as_str)
        .collect();
    modes.join(",")
}

fn storage(value: Option<&Value>) -> Option<Quantity> {
    value.and_then(Quantity::of)
}

fn wish(claim: &Object) -> String {
    let size = storage(claim.get("spec.resources.requests.storage"));
    let size = size.map_or_else(|| "no size".to_owned(), |s| s.to_string());
    let class = claim.str("spec.storageClassName").unwrap_or("none");
    format!(
        "{} asks for {size}, access modes {}, StorageClass {class}",
        claim.reference(),
        modes(claim)
    )
}

/// What keeps a claim from a volume.
fn mismatch(claim: &Object, volume: &Object) -> String {
    let mut wrong = Vec::new();
    let (wanted, has) = (
        storage(claim.get("spec.resources.requests.storage")),
        storage(volume.get("spec.capacity.storage")),
    );
    if let (Some(wanted), Some(has)) = (wanted, has)
        && wanted > has
    {
        wrong.push(format!("it holds {has}, less than {wanted}"));
    }
    let class = |o: &Object| {
        o.str("spec.storageClassName")
            .unwrap_or_default()
            .to_owned()
    };
    if class(claim) != class(volume) {
        wrong.push(format!("its class is {:?}", class(volume)));
    }
    let offered = volume.list("spec.accessModes");
    if !claim
        .list("spec.accessModes")
        .iter()
        .all(|m| offered.contains(m))
    {
        wrong.push(format!("its access modes are {}", modes(volume)));
    }
    if let Some(holder) = volume.str("spec.claimRef.name")
        && holder != claim.name()
    {
        wrong.push(format!("it belongs to claim {holder}"));
    }
    let labels = volume.map("metadata.labels");
    if !crate::snapshot::selector_matches(claim.get("spec.selector"), labels) {
        wrong.push("its labels do not meet the claim's selector".to_owned());
    }
    if wrong.is_empty() {
        return format!("PersistentVolume {} seems to fit", volume.name());
    }
    format!(
        "PersistentVolume {} does not fit: {}",
        volume.name(),
        wrong.join("; ")
    )
}

fn volume_gone(case: &Case<'_>) -> Answer {
    let finding = case.finding;
    let volume = finding.fact(fact::MISSING_NAME).unwrap_or_default();
    let volumes = case.snapshot.of_kind("PersistentVolume");
    let names: Vec<&str> = volumes.map(Object::name).collect();
    let mut diagnosis = vec![
        finding.summary.clone(),
        format!("the cluster has PersistentVolume {}", names.join(", ")),
        format!("it is used by {}", users(case)),
    ];
    if let Some(near) = misspelled(volume, names.iter().copied()) {
        diagnosis.push(format!("{near} is the nearest name"));
    }
    let options = vec![
        by_hand(format!("restore PersistentVolume {volume} (data may be lost: look before anything is deleted)")),
        by_hand("name another volume in spec.volumeName and create the claim again: its spec is immutable (rule G12: a person makes the change)".to_owned()),
    ];
    let title = format!(
        "PersistentVolume {volume}, which a claim names, does not exist: restore it, or use another?"
    );
    ask(Code::OwnerDecision, title, diagnosis, options)
}
