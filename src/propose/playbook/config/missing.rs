//! A ConfigMap, a Secret, or a key of one does not exist.

use super::refs::{self, Reference};
use crate::case::Case;
use crate::code::Code;
use crate::finding::fact;
use crate::locate::stem;
use crate::near::{is_misspelling_of_core, misspelled};
use crate::object::Object;
use crate::propose::playbook::build::{Words, and, ask, by_hand, edit, proposal, refuse};
use crate::propose::playbook::container::subject::{after_merge, diagnosis, goods, settle, whom};
use crate::propose::{Answer, Choice, Op, ProposedEdit, Unlock};
use serde_json::Value;

struct Missing<'c> {
    kind: &'static str,
    name: &'c str,
    key: Option<&'c str>,
    manifest: &'c Object,
    references: Vec<Reference>,
}

pub(super) fn config(case: &Case<'_>) -> Option<Answer> {
    let missing = Missing::of(case, "ConfigMap")?;
    if let Some(answer) = not_applied(case, &missing) {
        return Some(answer);
    }
    Some(
        missing
            .respelled(case, Unlock::MissingConfig)
            .unwrap_or_else(|| missing.ask_for_config(case)),
    )
}

pub(super) fn secret(case: &Case<'_>) -> Option<Answer> {
    let missing = Missing::of(case, "Secret")?;
    Some(
        missing
            .respelled(case, Unlock::MissingSecret)
            .unwrap_or_else(|| missing.ask_for_secret(case)),
    )
}

impl<'c> Missing<'c> {
    fn of(case: &Case<'c>, kind: &'static str) -> Option<Self> {
        let name = case.finding.fact(fact::MISSING_NAME)?;
        let manifest = &case.manifest()?.object;
        Some(Self {
            kind,
            name,
            key: case.finding.fact(fact::MISSING_KEY),
            manifest,
            references: refs::to(manifest, kind, name),
        })
    }

    /// The only existing name or key that the reference misspells.
    fn respelled(&self, case: &Case<'c>, unlock: Unlock) -> Option<Answer> {
        let (edits, proof) = match self.key {
            Some(key) => self.other_key(case, key, unlock)?,
            None => self.other_name(case, unlock)?,
        };
        let to: Vec<String> = edits
            .iter()
            .filter_map(|e| match &e.op {
                Op::Set(Value::String(s)) => Some(s.clone()),
                _ => None,
            })
            .collect();
        let right = to.first()?.clone();
        let what = match self.key {
            Some(key) => format!(
                "key {right} of {} {} instead of {key}",
                self.kind, self.name
            ),
            None => format!("{} {right} instead of {}", self.kind, self.name),
        };
        let mut facts = diagnosis(case);
        facts.extend(self.places());
        facts.push(proof);
        let words = Words {
            play: if self.kind == "Secret" {
                "missing-secret"
            } else {
                "missing-config"
            },
            title: format!("use {what} in {}", self.manifest.reference()),
            diagnosis: facts,
            reason: format!(
                "the reference names something that does not exist; {right} exists and is the only one that it can mean"
            ),
            after_merge: after_merge(&self.manifest.reference()),
        };
        Some(settle(case, proposal(words, edits), self.hand_made(case)))
    }

    fn other_name(&self, case: &Case<'c>, unlock: Unlock) -> Option<(Vec<ProposedEdit>, String)> {
        let needed: Vec<&str> = self
            .references
            .iter()
            .flat_map(|r| r.keys.iter().map(String::as_str))
            .collect();
        let has_all = |o: &&Object| match refs::keys(o) {
            Some(keys) => needed.iter().all(|k| keys.contains(k)),
            None => needed.is_empty(),
        };
        let all = self.existing(case);
        let fitting: Vec<&str> = all
            .iter()
            .copied()
            .filter(has_all)
            .map(Object::name)
            .collect();
        let exists = |right: &str| {
            format!(
                "{} {right} exists in the same namespace, has every key that is needed, and",
                self.kind
            )
        };
        let (right, proof) = match misspelled(self.name, fitting.iter().copied()) {
            Some(right) => {
                let proof = format!("{} is the only one with a name that near", exists(right));
                (right, proof)
            }
            None => {
                let (right, basis) = self.earlier_name(case, &fitting)?;
                let proof = format!("{} {basis} names it in the same place", exists(right));
                (right, proof)
            }
        };
        let edits: Vec<ProposedEdit> = self
            .references
            .iter()
            .map(|r| self.set(&r.name_path, right, unlock))
            .collect();
        (!edits.is_empty()).then_some((edits, proof))
    }

    /// What a revision that worked names in all these places, where the reference is a slip of it but for
    /// what kustomize adds to names.
    fn earlier_name<'n>(&self, case: &Case<'c>, fitting: &[&'n str]) -> Option<(&'n str, String)> {
        goods(case).into_iter().find_map(|good| {
            let named = |r: &Reference| r.name_path.get(&good.object).and_then(Value::as_str);
            let first = named(self.references.first()?)?;
            let everywhere = self.references.iter().all(|r| named(r) == Some(first));
            let right = fitting.iter().find(|name| **name == first)?;
            let slip = is_misspelling_of_core(self.name, right);
            let may = everywhere && slip && !self.is_outdated(case, right);
            may.then(|| (*right, good.basis.clone()))
        })
    }

    /// A name that was generated for a content that Git no longer has: it is there until it is pruned.
    fn is_outdated(&self, case: &Case<'c>, name: &str) -> bool {
        let place = (self.kind, self.manifest.namespace(), name);
        let mut desired = case.desired.iter().map(|d| &d.object);
        let is_desired = desired.any(|o| (o.kind(), o.namespace(), o.name()) == place);
        stem(name).is_some() && !is_desired
    }

    fn other_key(
        &self,
        case: &Case<'c>,
        key: &str,
        unlock: Unlock,
    ) -> Option<(Vec<ProposedEdit>, String)> {
        let all = self.existing(case);
        let holder = all.iter().find(|o| o.name() == self.name)?;
        let keys = refs::keys(holder)?;
        let near = misspelled(key, keys.iter().copied());
        // of a Secret with a single key nothing else can be meant, if the names agree
        let only = || match keys.as_slice() {
            [only] if agrees(key, only) => Some(*only),
            _ => None,
        };
        let right = near.or_else(only)?;
        let of_items = |r: &'_ Reference| -> Vec<crate::path::FieldPath> {
            let hits = r.item_paths.iter().filter(|(_, k)| k == key);
            hits.map(|(path, _)| path.clone()).collect()
        };
        let edits: Vec<ProposedEdit> = self
            .references
            .iter()
            .filter(|r| r.keys.iter().any(|k| k == key))
            .flat_map(|r| r.key_path.clone().into_iter().chain(of_items(r)))
            .map(|path| self.set(&path, right, unlock))
            .collect();
        let proof = format!(
            "{} {} exists, and {right} is the key of it that fits",
            self.kind, self.name
        );
        (!edits.is_empty()).then_some((edits, proof))
    }

    fn set(&self, path: &crate::path::FieldPath, value: &str, unlock: Unlock) -> ProposedEdit {
        let basis = format!("{} in namespace {}", self.kind, self.namespace());
        edit(
            &self.manifest.reference(),
            path.clone(),
            Op::Set(Value::String(value.to_owned())),
            unlock,
            basis,
        )
    }

    /// Objects of the kind in the namespace, from the cluster and from Git.
    fn existing(&self, case: &Case<'c>) -> Vec<&'c Object> {
        let namespace = self.manifest.namespace();
        let mut out = case.snapshot.in_namespace(self.kind, namespace);
        for desired in case.desired {
            let o = &desired.object;
            let known = out.iter().any(|x| x.name() == o.name());
            if o.kind() == self.kind && o.namespace() == namespace && !known {
                out.push(o);
            }
        }
        out
    }

    fn namespace(&self) -> &str {
        self.manifest.namespace().unwrap_or("default")
    }

    fn places(&self) -> Option<String> {
        let places: Vec<String> = self.references.iter().map(|r| r.place.clone()).collect();
        (!places.is_empty()).then(|| format!("it is needed by {}", and(&places)))
    }

    /// `Secret token with key value in namespace shop`
    fn wanted(&self) -> String {
        let mut keys: Vec<String> = self
            .references
            .iter()
            .flat_map(|r| r.keys.clone())
            .collect();
        keys.extend(self.key.map(str::to_owned));
        keys.sort();
        keys.dedup();
        let keys = if keys.is_empty() {
            String::new()
        } else {
            format!(" with key {}", and(&keys))
        };
        format!(
            "{} {}{keys} in namespace {}",
            self.kind,
            self.name,
            self.namespace()
        )
    }

    fn facts(&self, case: &Case<'c>) -> Vec<String> {
        let mut facts = diagnosis(case);
        facts.push(match self.key {
            Some(key) => format!(
                "{} {} in namespace {} has no key {key}",
                self.kind,
                self.name,
                self.namespace()
            ),
            None => format!(
                "{} {} does not exist in namespace {}",
                self.kind,
                self.name,
                self.namespace()
            ),
        });
        if let (Some(_), Some(holder)) = (
            self.key,
            self.existing(case).iter().find(|o| o.name() == self.name),
        ) && let Some(keys) = refs::keys(holder)
        {
            let keys: Vec<String> = keys.into_iter().map(str::to_owned).collect();
            facts.push(format!("its keys are {}", and(&keys)));
        }
        facts.extend(self.places());
        facts.extend(self.elsewhere(case));
        facts
    }

    /// Other namespaces that have an object of this kind and name: a pod reaches only its own.
    fn elsewhere(&self, case: &Case<'c>) -> Option<String> {
        let mine = self.manifest.namespace();
        let all = case.snapshot.of_kind(self.kind);
        let mut there: Vec<String> = all
            .filter(|o| self.key.is_none() && o.name() == self.name && o.namespace() != mine)
            .filter_map(|o| o.namespace().map(str::to_owned))
            .collect();
        there.truncate(5);
        (!there.is_empty()).then(|| {
            format!(
                "{} {} exists in namespace {}, which pods of namespace {} cannot use",
                self.kind,
                self.name,
                and(&there),
                self.namespace()
            )
        })
    }

    fn hand_made(&self, _case: &Case<'c>) -> Vec<Choice> {
        let how = if self.kind == "Secret" {
            "supply it out of band (ExternalSecret, SealedSecret, or by hand)"
        } else {
            "add it to the repository"
        };
        vec![by_hand(format!("{how}: {}", self.wanted()))]
    }

    fn ask_for_secret(&self, case: &Case<'c>) -> Answer {
        let title = format!("Who supplies {} for {}?", self.wanted(), whom(case));
        let mut options = self.hand_made(case);
        options.push(by_hand(
            "if the reference itself is wrong, change it by hand to the Secret and key that are meant (rule B08: kubemend changes it only where the facts prove one)",
        ));
        let mut facts = self.facts(case);
        facts.push("kubemend never writes secrets, and a value in the manifest would be a leak (rules B06, B09)".to_owned());
        ask(Code::MissingSecretInput, title, facts, options)
    }

    fn ask_for_config(&self, case: &Case<'c>) -> Answer {
        let title = format!(
            "Where should {} for {} come from?",
            self.wanted(),
            whom(case)
        );
        let mut options = self.hand_made(case);
        let names: Vec<String> = match self.key {
            Some(_) => Vec::new(),
            None => self
                .existing(case)
                .iter()
                .map(|o| o.name().to_owned())
                .filter(|n| n != "kube-root-ca.crt")
                .take(8)
                .collect(),
        };
        let known = if names.is_empty() {
            String::new()
        } else {
            format!(" (there are: {})", and(&names))
        };
        options.push(by_hand(format!(
            "point the reference at the ConfigMap or key that is meant{known}"
        )));
        let mut facts = self.facts(case);
        facts.push(
            "its content is known to nobody but you, and kubemend never creates objects (rule G02)"
                .to_owned(),
        );
        ask(Code::MissingValue, title, facts, options)
    }
}

/// `DB_PASSWORD` and `password`: one name is the end of the other, case and separators aside.
fn agrees(wanted: &str, existing: &str) -> bool {
    let fold = |t: &str| -> String {
        t.chars()
            .filter(char::is_ascii_alphanumeric)
            .map(|c| c.to_ascii_lowercase())
            .collect()
    };
    let (a, b) = (fold(wanted), fold(existing));
    let (long, short) = if a.len() >= b.len() {
        (&a, &b)
    } else {
        (&b, &a)
    };
    short.len() >= 4 && long.ends_with(short.as_str())
}

/// Git defines the ConfigMap, and only the cluster has it not.
fn not_applied(case: &Case<'_>, missing: &Missing<'_>) -> Option<Answer> {
    let defined = case.desired.iter().find(|d| {
        let o = &d.object;
        o.kind() == "ConfigMap"
            && o.name() == missing.name
            && o.namespace() == missing.manifest.namespace()
    })?;
    let has_key = |key: &str| refs::keys(&defined.object).is_some_and(|k| k.contains(&key));
    if missing.key.is_some_and(|k| !has_key(k)) {
        return None;
    }
    Some(refuse(
        Code::PendingSync,
        format!(
            "{}: ConfigMap {}{} is defined in {}, but the cluster has it not: it has not been applied, or not to namespace {}",
            case.finding.summary,
            missing.name,
            missing
                .key
                .map_or_else(String::new, |k| format!(" with key {k}")),
            defined.file,
            missing.namespace()
        ),
    ))
}

#[cfg(test)]
mod tests;
