//! ConfigMaps, Secrets, claims and ServiceAccounts that pods name.

use serde_json::Value;

use crate::code::Code;
use crate::finding::{Class, Severity, fact};
use crate::near;
use crate::object::{Object, at};
use crate::path::FieldPath;
use crate::propose::Unlock;
use crate::scan::draft::{Draft, Look};
use crate::scan::refs::{Reference, references as named_by};
use crate::scan::rules::{self, Rule};

/// Objects that every namespace has without anybody writing them.
pub(in crate::scan) const GIVEN: &[(&str, &str)] = &[
    ("ConfigMap", "kube-root-ca.crt"),
    ("ConfigMap", "openshift-service-ca.crt"),
    ("ConfigMap", "istio-ca-root-cert"),
    ("ServiceAccount", "default"),
];

pub(super) fn references(look: &Look<'_>) -> Vec<Draft> {
    let mut out: Vec<Draft> = Vec::new();
    for object in look.members.iter().map(|d| &d.object) {
        let mut told: Vec<(&str, &str)> = Vec::new();
        for reference in named_by(object) {
            let found = judge(look, object, &reference);
            // one name is one fault, however many variables come from it
            if found.rule_is_name() && told.contains(&(reference.kind, reference.name)) {
                continue;
            }
            if !found.drafts.is_empty() {
                told.push((reference.kind, reference.name));
            }
            out.extend(found.drafts);
        }
    }
    out
}

/// What is wrong with one reference.
struct Judged {
    drafts: Vec<Draft>,
    name: bool,
}

impl Judged {
    fn rule_is_name(&self) -> bool {
        self.name
    }
}

fn judge(look: &Look<'_>, object: &Object, reference: &Reference<'_>) -> Judged {
    match look
        .known
        .find(reference.kind, object.namespace(), reference.name)
    {
        Some(holder) => Judged {
            drafts: keys(object, reference, holder),
            name: false,
        },
        None => Judged {
            drafts: name(look, object, reference).into_iter().collect(),
            name: true,
        },
    }
}

fn rule_of(kind: &str) -> &'static Rule {
    match kind {
        "Secret" => &rules::MISSING_SECRET,
        "PersistentVolumeClaim" => &rules::MISSING_CLAIM,
        "ServiceAccount" => &rules::MISSING_ACCOUNT,
        _ => &rules::MISSING_CONFIGMAP,
    }
}

fn unlock_of(kind: &str) -> Option<(Unlock, Class)> {
    Some(match kind {
        "ConfigMap" => (Unlock::MissingConfig, Class::MissingConfig),
        "Secret" => (Unlock::MissingSecret, Class::MissingSecret),
        "PersistentVolumeClaim" => (Unlock::ClaimNotFound, Class::ClaimNotFound),
        _ => return None,
    })
}

fn name(look: &Look<'_>, object: &Object, reference: &Reference<'_>) -> Option<Draft> {
    let (kind, ns, wanted) = (reference.kind, object.namespace(), reference.name);
    let world = look.world;
    if world.defines(kind, ns, wanted) || GIVEN.contains(&(kind, wanted)) {
        return None;
    }
    let draft = |why: &str| {
        let message = format!(
            "{}: {} needs {kind} {wanted}, {why}",
            object.reference(),
            reference.place
        );
        Draft::new(rule_of(kind), object, reference.path.clone(), message)
            .container(reference.container)
    };
    let made_by_something = world.mentions(wanted);
    if let Some(right) = meant(look, object, reference).filter(|_| !made_by_something) {
        let near = draft(&format!(
            "which is not defined; {kind} {right} is, one slip away"
        ));
        let facts = [(fact::MISSING_KIND, kind), (fact::MISSING_NAME, wanted)];
        return Some(match unlock_of(kind) {
            Some(_) => near.play(&facts),
            None => near.person(
                Code::ForbiddenByRule,
                "the ServiceAccount of a pod is not changed by kubemend (rule B01)",
            ),
        });
    }
    // Secrets are not meant to be in Git, and others make what they like
    if kind == "Secret" || made_by_something {
        return None;
    }
    Some(match world.is_whole(ns) {
        true => draft("and nothing in the repository defines it"),
        false => draft("which the repository does not define; it may live elsewhere")
            .severity(Severity::Low),
    })
}

/// The only object of the namespace whose name is one slip away and that has every needed key.
fn meant<'a>(look: &Look<'a>, object: &Object, reference: &Reference<'_>) -> Option<&'a str> {
    let all = look.known.all(reference.kind, object.namespace());
    let fits = |o: &&Object| {
        let keys = keys_of(o);
        reference
            .keys
            .iter()
            .all(|(key, _)| keys.as_ref().is_none_or(|k| k.contains(key)))
    };
    let names: Vec<&str> = all.into_iter().filter(fits).map(Object::name).collect();
    near::misspelled(reference.name, names)
}

/// The keys of a ConfigMap or Secret; none where it says nothing of them.
fn keys_of(object: &Object) -> Option<Vec<&str>> {
    let maps = ["data", "stringData", "binaryData"];
    let found: Vec<&serde_json::Map<String, Value>> =
        maps.iter().filter_map(|m| object.map(m)).collect();
    (!found.is_empty()).then(|| {
        let keys = found.iter().flat_map(|m| m.keys());
        keys.map(String::as_str).collect()
    })
}

/// Keys that the holder lacks.
fn keys(object: &Object, reference: &Reference<'_>, holder: &Object) -> Vec<Draft> {
    let Some(there) = keys_of(holder) else {
        return Vec::new();
    };
    if there.is_empty() || at(&holder.value, "sops").is_some() {
        return Vec::new(); // something else fills it
    }
    let lacking = reference.keys.iter().filter(|(k, _)| !there.contains(k));
    lacking
        .map(|(key, path)| lacking_key(object, reference, key, path.clone(), &there))
        .collect()
}

fn lacking_key(
    object: &Object,
    reference: &Reference<'_>,
    key: &str,
    path: FieldPath,
    there: &[&str],
) -> Draft {
    let (kind, name) = (reference.kind, reference.name);
    let shown: Vec<&str> = there.iter().copied().take(8).collect();
    let message = format!(
        "{}: {} needs key {key} of {kind} {name}, which has {}",
        object.reference(),
        reference.place,
        shown.join(", ")
    );
    let facts = [
        (fact::MISSING_KIND, kind),
        (fact::MISSING_NAME, name),
        (fact::MISSING_KEY, key),
    ];
    let draft = Draft::new(&rules::MISSING_KEY, object, path, message)
        .container(reference.container)
        .play(&facts);
    match kind {
        "Secret" => draft.with_class(Class::MissingSecret),
        _ => draft,
    }
}
