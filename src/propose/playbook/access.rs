//! Plays: permissions. Roles and bindings are never edited (rules F01, F02): the answer names the
//! object and the exact line that a person would add.

use serde_json::Value;

use crate::case::Case;
use crate::code::Code;
use crate::detect::access::rbac::{
    Denial, Grant, all_bindings, breadth, counts_in, denials, grants, has, has_resource, names_fit,
    role_allows, role_of, text,
};
use crate::finding::Class;
use crate::near;
use crate::object::{Object, list};
use crate::propose::Answer;
use crate::propose::playbook::Play;
use crate::propose::playbook::build::refuse;
use crate::report::Known;

/// The plays of this module.
pub const PLAYS: &[Play] = &[Play {
    name: "rbac-denied",
    about: "names the Role, RoleBinding and line that a denied request lacks; never edits them (F01, F02)",
    classes: &[Class::RbacDenied],
    run: denied,
}];

fn denied(case: &Case<'_>) -> Option<Answer> {
    let known = Known::new(case.snapshot, case.desired);
    let all: Vec<Denial> = case
        .finding
        .fact("denials")
        .unwrap_or_default()
        .lines()
        .flat_map(denials)
        .collect();
    let first = all.first()?;
    let mut sentences = vec![case.finding.summary.clone()];
    if let Some(answer) = pending(case, &all) {
        return Some(answer);
    }
    for denial in all.iter().take(5) {
        for sentence in explain(denial, &known) {
            if !sentences.contains(&sentence) {
                sentences.push(sentence);
            }
        }
    }
    sentences.extend(another_account(case, first, &known));
    sentences.push(format!(
        "kubemend never changes Roles and bindings (rules F01, F02): the owner of ServiceAccount {}/{} makes the change",
        first.account_namespace, first.account
    ));
    Some(refuse(Code::BlockedRbac, sentences.join(". ")))
}

/// The workload names no account, and another one of its namespace may do what is denied: then the
/// manifest most likely lacks `serviceAccountName`.
fn another_account(case: &Case<'_>, denial: &Denial, known: &Known<'_>) -> Option<String> {
    let object = &case.finding.object;
    let workload = known.find(&object.kind, object.namespace.as_deref(), &object.name)?;
    let spec = workload.pod_spec()?;
    let named = spec
        .get("serviceAccountName")
        .and_then(Value::as_str)
        .unwrap_or("default");
    if named != "default" || denial.account != "default" {
        return None;
    }
    let accounts = known.all("ServiceAccount", workload.namespace());
    let allowed: Vec<&str> = accounts
        .iter()
        .map(|a| a.name())
        .filter(|name| *name != "default")
        .filter(|name| {
            let mut asked = denial.clone();
            (*name).clone_into(&mut asked.account);
            crate::detect::access::rbac::is_allowed(&asked, known)
        })
        .take(3)
        .collect();
    (!allowed.is_empty()).then(|| {
        format!(
            "{object} sets no serviceAccountName, so its pods run as ServiceAccount default; ServiceAccount {} already may: setting serviceAccountName needs no new permission (rule B01: a person makes the change)",
            allowed.join(" or ")
        )
    })
}

/// Git already grants it.
fn pending(case: &Case<'_>, all: &[Denial]) -> Option<Answer> {
    let empty = crate::snapshot::Snapshot::default();
    let git = Known::new(&empty, case.desired);
    let granted = all
        .iter()
        .all(|d| crate::detect::access::rbac::is_allowed(d, &git));
    granted.then(|| {
        refuse(
            Code::PendingSync,
            format!(
                "{}; the Roles and bindings in Git already allow it, so the cluster does not run what Git says",
                case.finding.summary
            ),
        )
    })
}

/// Why a request is denied, and what would allow it.
fn explain(denial: &Denial, known: &Known<'_>) -> Vec<String> {
    let grants = grants(denial, known);
    if grants.is_empty() {
        return unbound(denial, known);
    }
    let mut out: Vec<String> = Vec::new();
    for grant in &grants {
        out.push(granted(grant, denial, known));
    }
    out
}

/// One binding of the account, and why it does not suffice.
fn granted(grant: &Grant<'_>, denial: &Denial, known: &Known<'_>) -> String {
    let binding = grant.binding.reference();
    let Some(role) = grant.role else {
        let kind = grant.binding.str("roleRef.kind").unwrap_or("Role");
        let name = grant.binding.str("roleRef.name").unwrap_or_default();
        let near = fitting_roles(denial, known)
            .into_iter()
            .find(|r| r.kind() == kind && near::is_misspelling(name, r.name()))
            .map(|r| {
                format!(
                    "; {} is one slip away and allows it: the binding has to be made again with that roleRef, which is immutable (rule G15)",
                    r.reference()
                )
            })
            .unwrap_or_default();
        return format!(
            "{binding} binds ServiceAccount {}/{} to {kind} {name}, which does not exist or is not in the dump{near}",
            denial.account_namespace, denial.account
        );
    };
    let place = format!("{binding} binds the account to {}", role.reference());
    match nearest_rule(role, denial) {
        Some((index, what)) => format!("{place}; in its `rules[{index}]` {what}"),
        None => format!(
            "{place}, which has no rule for {}; the rule to add is {}",
            denial.resource,
            rule_line(denial)
        ),
    }
}

/// The rule that comes nearest, and what it lacks.
fn nearest_rule(role: &Object, denial: &Denial) -> Option<(usize, String)> {
    let rules = role.list("rules");
    let misses = rules.iter().enumerate().filter_map(|(i, rule)| {
        let verb = has(rule, "verbs", &denial.verb);
        let group = has(rule, "apiGroups", &denial.group);
        let resource = has_resource(rule, &denial.resource);
        let what = match (verb, group, resource) {
            (false, true, true) => lacks_verb(rule, denial),
            (true, false, true) => format!(
                "the API group is {}, but {} is in group \"{}\": apiGroups has to hold \"{}\"",
                joined(rule, "apiGroups"),
                denial.resource,
                denial.group,
                denial.group
            ),
            (_, true, false) => wrong_resource(rule, denial)?,
            (true, true, true) if !names_fit(rule, denial) => format!(
                "resourceNames allows only {}, and the request is not for one of these (list, watch and create never are)",
                joined(rule, "resourceNames")
            ),
            _ => return None,
        };
        Some((usize::from(!(group && resource)), i, what))
    });
    misses
        .min_by_key(|(rank, i, _)| (*rank, *i))
        .map(|(_, i, what)| (i, what))
}

fn lacks_verb(rule: &Value, denial: &Denial) -> String {
    format!(
        "the resource {} has the verbs {} but not {}: add \"{}\" to verbs",
        denial.resource,
        joined(rule, "verbs"),
        denial.verb,
        denial.verb
    )
}

/// A resource name that RBAC does not know: singular, capitalised, misspelled, or without its
/// subresource.
fn wrong_resource(rule: &Value, denial: &Denial) -> Option<String> {
    let wanted = denial.resource.as_str();
    let found = list(rule, "resources")
        .iter()
        .filter_map(Value::as_str)
        .find(|r| {
            let lower = r.to_ascii_lowercase();
            let singular = wanted.strip_suffix('s') == Some(lower.as_str())
                || wanted.strip_suffix("es") == Some(lower.as_str())
                || wanted.strip_suffix("ies").map(|s| format!("{s}y")) == Some(lower.clone());
            let parent = wanted.split_once('/').is_some_and(|(p, _)| p == *r);
            let qualified = r.split_once('.').is_some_and(|(plain, _)| plain == wanted);
            singular || lower == wanted || parent || qualified || near::is_misspelling(r, wanted)
        })?;
    let verbs = if has(rule, "verbs", &denial.verb) {
        String::new()
    } else {
        format!(
            ", and its verbs {} lack {}",
            joined(rule, "verbs"),
            denial.verb
        )
    };
    Some(format!(
        "the resource is called \"{found}\", but RBAC knows it as \"{wanted}\" (plural, lower case, with its subresource): resources has to hold \"{wanted}\"{verbs}"
    ))
}

/// No binding names the account: near misses, and the Role that would fit.
fn unbound(denial: &Denial, known: &Known<'_>) -> Vec<String> {
    let scope = match &denial.namespace {
        Some(ns) => format!("RoleBinding in namespace {ns} (or ClusterRoleBinding)"),
        None => "ClusterRoleBinding".to_owned(),
    };
    let mut out = vec![format!(
        "no {scope} names ServiceAccount {}/{}: the binding is missing",
        denial.account_namespace, denial.account
    )];
    out.extend(wrong_subjects(denial, known));
    let roles = fitting_roles(denial, known);
    out.push(match roles.first() {
        Some(role) => format!(
            "the narrowest existing role that allows it is {}; a person would add {}",
            role.reference(),
            binding_line(denial, role)
        ),
        None => format!(
            "no existing role allows it; a person would add a {} with the rule {} and a binding of it to the account",
            if denial.namespace.is_some() { "Role" } else { "ClusterRole" },
            rule_line(denial)
        ),
    });
    out
}

/// Bindings that mean the account and miss it.
fn wrong_subjects(denial: &Denial, known: &Known<'_>) -> Vec<String> {
    let mut out = Vec::new();
    for binding in all_bindings(known) {
        for subject in list(&binding.value, "subjects") {
            let (kind, name, ns) = (
                text(subject, "kind"),
                text(subject, "name"),
                text(subject, "namespace"),
            );
            let same = name == denial.account;
            let slip = near::is_misspelling(name, &denial.account);
            let reference = binding.reference();
            let role = role_of(binding, known).is_some_and(|r| role_allows(r, denial));
            if !role || !(same || slip) {
                continue;
            }
            let counts = counts_in(binding, denial.namespace.as_deref());
            out.push(if !counts {
                format!(
                    "{reference} names the account, but a RoleBinding counts only in its own namespace, and the request is {}",
                    denial.namespace.as_ref().map_or("at cluster scope".to_owned(), |n| format!("in namespace {n}"))
                )
            } else if kind != "ServiceAccount" {
                format!("the subject of {reference} has kind {kind}, it has to be ServiceAccount")
            } else if slip {
                format!("the subject of {reference} is called {name}, it has to be {}", denial.account)
            } else {
                format!(
                    "the subject of {reference} is in namespace {}, it has to be {}",
                    if ns.is_empty() { "(none)" } else { ns },
                    denial.account_namespace
                )
            });
        }
    }
    out.truncate(5);
    out
}

fn fitting_roles<'a>(denial: &Denial, known: &Known<'a>) -> Vec<&'a Object> {
    let mut roles: Vec<&Object> = match &denial.namespace {
        Some(ns) => known.all("Role", Some(ns)),
        None => Vec::new(),
    };
    roles.extend(known.all("ClusterRole", None));
    roles.retain(|r| role_allows(r, denial));
    roles.sort_by_key(|r| (r.kind() == "ClusterRole", breadth(r)));
    roles
}

fn binding_line(denial: &Denial, role: &Object) -> String {
    let kind = if denial.namespace.is_some() {
        "RoleBinding"
    } else {
        "ClusterRoleBinding"
    };
    format!(
        "a {kind} `{{roleRef: {{apiGroup: rbac.authorization.k8s.io, kind: {}, name: {}}}, subjects: [{{kind: ServiceAccount, name: {}, namespace: {}}}]}}`",
        role.kind(),
        role.name(),
        denial.account,
        denial.account_namespace
    )
}

fn rule_line(denial: &Denial) -> String {
    format!(
        "`{{apiGroups: [\"{}\"], resources: [\"{}\"], verbs: [\"{}\"]}}`",
        denial.group, denial.resource, denial.verb
    )
}

fn joined(rule: &Value, key: &str) -> String {
    let items = list(rule, key).iter().filter_map(Value::as_str);
    format!("`[{}]`", items.collect::<Vec<_>>().join(", "))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::snapshot::Snapshot;
    use std::collections::BTreeMap;

    fn sentences(docs: &[&str]) -> String {
        let objects = docs
            .iter()
            .map(|d| Object::new(serde_saphyr::from_str(d).unwrap()).unwrap())
            .collect();
        let snapshot = Snapshot::new(objects, BTreeMap::new());
        let known = Known::new(&snapshot, &[]);
        let denial = denials(
            "User \"system:serviceaccount:ops:scout\" cannot list resource \"pods\" in API group \"\" in the namespace \"ops\"",
        );
        explain(denial.first().unwrap(), &known).join(". ")
    }

    const BINDING: &str = "{kind: RoleBinding, metadata: {name: b, namespace: ops}, roleRef: {kind: Role, name: r}, subjects: [{kind: ServiceAccount, name: scout}]}";

    fn role(groups: &str, resources: &str, verbs: &str) -> String {
        format!(
            "{{kind: Role, metadata: {{name: r, namespace: ops}}, rules: [{{apiGroups: [{groups}], resources: [{resources}], verbs: [{verbs}]}}]}}"
        )
    }

    #[test]
    fn the_missing_part_of_a_rule_is_named() {
        let with = |role: &str| sentences(&[BINDING, role]);
        assert!(with(&role("''", "pods", "get")).contains("add \"list\" to verbs"));
        assert!(with(&role("''", "pod", "list")).contains("resources has to hold \"pods\""));
        assert!(with(&role("apps", "pods", "list")).contains("apiGroups has to hold \"\""));
        assert!(with(&role("''", "secrets", "list")).contains("no rule for pods"));
        assert!(sentences(&[BINDING]).contains("does not exist"));
    }

    #[test]
    fn a_missing_binding_names_the_role_that_fits() {
        let fits = role("''", "pods", "list");
        let text = sentences(&[&fits]);
        assert!(text.contains("the binding is missing") && text.contains("Role ops/r"));
        let elsewhere = BINDING.replace("name: scout}", "name: scout, namespace: dev}");
        let text = sentences(&[&fits, &elsewhere]);
        assert!(text.contains("it has to be ops"), "{text}");
        let user = BINDING.replace("kind: ServiceAccount", "kind: User");
        assert!(sentences(&[&fits, &user]).contains("it has to be ServiceAccount"));
    }
}
