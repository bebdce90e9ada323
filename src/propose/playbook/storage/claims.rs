//! A pod that names a claim that is not there, or not bound.

use serde_json::Value;

use super::classes::Pending;
use crate::case::{Case, Desired};
use crate::code::Code;
use crate::detect::scheduling::{CAUSE, claims_of};
use crate::finding::fact;
use crate::lock::known_good;
use crate::near::{is_generic, misspelled, shares_a_word};
use crate::object::{Object, list};
use crate::path::FieldPath;
use crate::propose::playbook::build::{Words, ask, by_hand, change, edit, proposal, refuse};
use crate::propose::{Answer, Choice, Op, Proposal, Unlock};
use crate::snapshot::Existence;

const PLAY: &str = "claim-not-found";

pub(super) fn not_found(case: &Case<'_>) -> Option<Answer> {
    let missing = case.finding.fact(fact::MISSING_NAME)?;
    let lost = Lost::of(case, missing)?;
    if let Some(git) = lost.defined_in_git() {
        return Some(lost.not_applied(git));
    }
    if case
        .snapshot
        .existence("PersistentVolumeClaim", lost.namespace(), missing)
        == Existence::Exists
    {
        return Some(refuse(
            Code::NothingWrong,
            format!(
                "PersistentVolumeClaim {missing} exists by now; {}",
                case.finding.summary
            ),
        ));
    }
    Some(match lost.the_claim() {
        Some((name, why)) => Answer::Fix(lost.fix(&name, why)),
        None => lost.question(),
    })
}

/// The volume of a manifest that names the missing claim.
struct Lost<'c> {
    case: &'c Case<'c>,
    manifest: &'c Desired,
    missing: &'c str,
    volume: String,
    path: FieldPath,
}

impl<'c> Lost<'c> {
    fn of(case: &'c Case<'c>, missing: &'c str) -> Option<Self> {
        let manifest = case.manifest()?;
        let volumes = manifest.object.pod_spec_path()?.key("volumes");
        let names = |v: &&Value| {
            let claim = v
                .get("persistentVolumeClaim")
                .and_then(|c| c.get("claimName"));
            claim.and_then(Value::as_str) == Some(missing)
        };
        let volume = list(manifest.object.pod_spec()?, "volumes")
            .iter()
            .find(names)?;
        let volume = volume.get("name")?.as_str()?.to_owned();
        let path = volumes
            .named(&volume)
            .key("persistentVolumeClaim")
            .key("claimName");
        Some(Self {
            case,
            manifest,
            missing,
            volume,
            path,
        })
    }

    fn namespace(&self) -> Option<&'c str> {
        self.manifest.object.namespace()
    }

    fn defined_in_git(&self) -> Option<&'c Desired> {
        self.case.desired.iter().find(|d| {
            let o = &d.object;
            o.kind() == "PersistentVolumeClaim"
                && o.name() == self.missing
                && o.namespace() == self.namespace()
        })
    }

    fn not_applied(&self, git: &Desired) -> Answer {
        refuse(
            Code::PendingSync,
            format!(
                "{}; Git defines that claim in {}, so it has only not been applied: sync it, and look at its own error if it stays away",
                self.case.finding.summary, git.file
            ),
        )
    }

    /// Existing claims of the namespace, in cluster or Git.
    fn existing(&self) -> Vec<String> {
        let live = self
            .case
            .snapshot
            .in_namespace("PersistentVolumeClaim", self.namespace());
        let git = self.case.desired.iter().map(|d| &d.object);
        let git = git
            .filter(|o| o.kind() == "PersistentVolumeClaim" && o.namespace() == self.namespace());
        let mut names: Vec<String> = live
            .into_iter()
            .chain(git)
            .map(|o| o.name().to_owned())
            .collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    /// Whether another workload, of cluster or Git, uses the claim.
    fn is_used(&self, claim: &str) -> bool {
        let target = &self.case.finding.object;
        let mounts = |o: &Object| {
            let hit = |c: &crate::object::ObjectRef| {
                c.name == claim && c.namespace.as_deref() == self.namespace()
            };
            claims_of(o).iter().any(hit)
        };
        let pods = self.case.snapshot.of_kind("Pod");
        let in_use = pods
            .into_iter()
            .any(|p| mounts(p) && !self.case.snapshot.top_owner(p).same_object(target));
        let own = |o: &Object| o.reference().same_object(target);
        in_use
            || self
                .case
                .desired
                .iter()
                .any(|d| mounts(&d.object) && !own(&d.object))
    }

    /// Whether a claim may be this workload's: a name that says whose it is has to fit.
    fn may_mean(&self, claim: &str) -> bool {
        let own = [self.missing, self.manifest.object.name(), &self.volume];
        is_generic(claim) || own.iter().any(|name| shares_a_word(name, claim))
    }

    /// Earlier value, a slip, the only claim that shares a word and is free, the only claim at all.
    fn the_claim(&self) -> Option<(String, String)> {
        let existing = self.existing();
        let earlier = known_good(self.case, &self.case.finding.object)
            .iter()
            .find_map(|good| {
                let old = self.path.get(&good.object)?.as_str()?.to_owned();
                existing
                    .contains(&old)
                    .then(|| (old.clone(), format!("{} used claim {old}", good.basis)))
            });
        if earlier.is_some() {
            return earlier;
        }
        if let Some(near) = misspelled(self.missing, existing.iter().map(String::as_str)) {
            return Some((
                near.to_owned(),
                format!("{near} is the only claim of the namespace that is one slip away"),
            ));
        }
        let free: Vec<&String> = existing.iter().filter(|c| !self.is_used(c)).collect();
        match free.as_slice() {
            [only] if existing.len() == 1 && self.may_mean(only) => Some((
                (*only).clone(),
                format!("{only} is the only claim of the namespace, and no other workload uses it"),
            )),
            [only] if shares_a_word(self.missing, only) => Some((
                (*only).clone(),
                format!("{only} is the only claim of the namespace that no workload uses"),
            )),
            many => {
                let mut related = many.iter().filter(|c| shares_a_word(self.missing, c));
                let only = related.next()?;
                related.next().is_none().then(|| {
                    (
                        (*only).clone(),
                        format!(
                            "{only} is the only free claim of the namespace with a name like it"
                        ),
                    )
                })
            }
        }
    }

    fn fix(&self, name: &str, why: String) -> Proposal {
        let target = self.manifest.object.reference();
        let op = Op::Set(name.into());
        let edits = vec![edit(
            &target,
            self.path.clone(),
            op,
            Unlock::ClaimNotFound,
            why.clone(),
        )];
        let words = Words {
            play: PLAY,
            title: format!(
                "point volume {} of {} at claim {name}",
                self.volume, self.case.finding.object
            ),
            diagnosis: self.diagnosis(),
            reason: format!("{why}; claim {} does not exist", self.missing),
            after_merge: self.after_merge(),
        };
        proposal(words, edits)
    }

    fn after_merge(&self) -> Vec<String> {
        let object = &self.case.finding.object;
        matches!(object.kind.as_str(), "Pod" | "Job")
            .then(|| {
                format!("{object} must be deleted and created again: its pod spec is immutable")
            })
            .into_iter()
            .collect()
    }

    fn diagnosis(&self) -> Vec<String> {
        let mut out = vec![
            self.case.finding.summary.clone(),
            self.case.finding.message.clone(),
        ];
        out.retain(|t| !t.is_empty());
        out.push(format!(
            "volume {} names persistentVolumeClaim {}",
            self.volume, self.missing
        ));
        let existing = self.existing();
        let state = |c: &String| {
            let live = self
                .case
                .snapshot
                .find("PersistentVolumeClaim", self.namespace(), c);
            let phase = live
                .and_then(|o| o.str("status.phase"))
                .unwrap_or("not in the cluster");
            let used = if self.is_used(c) {
                "used by another workload"
            } else {
                "free"
            };
            format!("{c} ({phase}, {used})")
        };
        let listed: Vec<String> = existing.iter().take(10).map(state).collect();
        out.push(if listed.is_empty() {
            "the dump lists no claim in that namespace".to_owned()
        } else {
            format!("the namespace has the claims {}", listed.join(", "))
        });
        out
    }

    fn question(&self) -> Answer {
        let existing = self.existing();
        let pick = |c: &String| change(self.fix(c, "the owner's choice".to_owned()));
        let mut options: Vec<Choice> = existing.iter().take(6).map(pick).collect();
        options.push(by_hand(format!("create PersistentVolumeClaim {} (a new, empty volume; rule G02: a person makes the change)", self.missing)));
        let title = format!(
            "{} needs claim {}, which does not exist: which claim is meant?",
            self.case.finding.object, self.missing
        );
        let code = if existing.is_empty() {
            Code::MissingValue
        } else {
            Code::OwnerDecision
        };
        ask(code, title, self.diagnosis(), options)
    }
}

pub(super) fn unbound(case: &Case<'_>) -> Option<Answer> {
    let finding = case.finding;
    if finding.fact(CAUSE) == Some("class")
        && let Some(answer) = class_of_a_claim(case)
    {
        return Some(answer);
    }
    let mut facts = vec![finding.summary.clone(), finding.message.clone()];
    for claim in &finding.related {
        let live = case.snapshot.get(claim);
        let phase = live.and_then(|c| c.str("status.phase"));
        let class = live
            .and_then(|c| c.str("spec.storageClassName"))
            .unwrap_or("none");
        facts.push(match phase {
            Some(phase) => format!("{claim} is {phase}, StorageClass {class}"),
            None => format!("{claim} is not in the dump"),
        });
    }
    facts.retain(|f| !f.is_empty());
    Some(refuse(
        Code::UnknownExistence,
        format!(
            "{}; give a dump with persistentvolumeclaims, persistentvolumes, storageclasses and events",
            facts.join("; ")
        ),
    ))
}

/// The scheduler names a missing class: the claim of Git that asks for it.
fn class_of_a_claim(case: &Case<'_>) -> Option<Answer> {
    let missing = case.finding.fact(fact::MISSING_NAME)?;
    let object = &case.manifest()?.object;
    let mounted = claims_of(object);
    let asks = |d: &&Desired| {
        let o = &d.object;
        o.kind() == "PersistentVolumeClaim"
            && o.str("spec.storageClassName") == Some(missing)
            && mounted
                .iter()
                .any(|m| m.name == o.name() && m.namespace.as_deref() == o.namespace())
    };
    let mut claims = case.desired.iter().filter(asks);
    let claim = claims.next()?;
    Pending::of_claim(case, claim, missing).answer()
}
