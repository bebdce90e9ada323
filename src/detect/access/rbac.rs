//! Denials as the API server words them, and which rules would have allowed them.

use std::fmt;

use serde_json::Value;

use crate::object::{Object, list};
use crate::report::Known;

/// One denied request of a ServiceAccount.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Denial {
    pub account_namespace: String,
    pub account: String,
    pub verb: String,
    /// With its subresource, `pods/log`.
    pub resource: String,
    /// Empty for the core group.
    pub group: String,
    /// None at cluster scope.
    pub namespace: Option<String>,
    /// The one object, where the request named one.
    pub name: Option<String>,
}

impl fmt::Display for Denial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.verb, self.resource)?;
        match self.group.as_str() {
            "" => write!(f, " (core API group)")?,
            group => write!(f, " (API group {group})")?,
        }
        match &self.namespace {
            Some(ns) => write!(f, " in namespace {ns}"),
            None => write!(f, " at cluster scope"),
        }
    }
}

impl Denial {
    /// The API server's own words, which [`denials`] reads back.
    pub(crate) fn as_message(&self) -> String {
        let scope = match &self.namespace {
            Some(ns) => format!("in the namespace \"{ns}\""),
            None => "at the cluster scope".to_owned(),
        };
        let name = self
            .name
            .as_ref()
            .map(|n| format!("\"{n}\" is forbidden: "))
            .unwrap_or_default();
        format!(
            "{name}User \"system:serviceaccount:{}:{}\" cannot {} resource \"{}\" in API group \"{}\" {scope}",
            self.account_namespace, self.account, self.verb, self.resource, self.group
        )
    }
}

/// Every denial that a text tells of, at most 20.
pub(crate) fn denials(text: &str) -> Vec<Denial> {
    // logs in JSON escape the quotes
    let text = text.replace("\\\"", "\"");
    let mut out = Vec::new();
    let mut rest = text.as_str();
    while let Some((before, tail)) = rest.split_once("system:serviceaccount:") {
        if out.len() >= 20 {
            break;
        }
        out.extend(denial(before, tail));
        rest = tail;
    }
    out
}

fn denial(before: &str, tail: &str) -> Option<Denial> {
    let (account, tail) = tail.split_once('"')?;
    let (account_namespace, account) = account.split_once(':')?;
    let (verb, tail) = tail
        .trim_start()
        .strip_prefix("cannot ")?
        .split_once(" resource ")?;
    let (resource, tail) = quoted(tail)?;
    let (group, tail) = quoted(tail.trim_start().strip_prefix("in API group ")?)?;
    let tail = tail.trim_start();
    let namespace = match tail.strip_prefix("in the namespace ") {
        Some(tail) => Some(quoted(tail)?.0.to_owned()),
        None if tail.starts_with("at the cluster scope") => None,
        None => return None,
    };
    Some(Denial {
        account_namespace: account_namespace.to_owned(),
        account: account.to_owned(),
        verb: verb.trim().to_owned(),
        resource: resource.to_owned(),
        group: group.to_owned(),
        namespace,
        name: named(before),
    })
}

/// `… "settings" is forbidden: User "`: the object of the request.
fn named(before: &str) -> Option<String> {
    let head = before
        .trim_end_matches(['"', ' '])
        .strip_suffix("User")?
        .trim_end()
        .strip_suffix("is forbidden:")?
        .trim_end()
        .strip_suffix('"')?;
    head.rsplit_once('"').map(|(_, name)| name.to_owned())
}

fn quoted(text: &str) -> Option<(&str, &str)> {
    text.trim_start().strip_prefix('"')?.split_once('"')
}

/// A binding and how it names the account.
#[derive(Debug)]
pub(crate) struct Grant<'a> {
    pub binding: &'a Object,
    /// Where the binding counts: its namespace, or none for everywhere.
    pub role: Option<&'a Object>,
}

/// The bindings that give an account something.
pub(crate) fn grants<'a>(denial: &Denial, known: &Known<'a>) -> Vec<Grant<'a>> {
    let is_subject = |s: &Value, home: Option<&str>| {
        let ns = text(s, "namespace");
        let place = if ns.is_empty() { home } else { Some(ns) };
        let account = text(s, "kind") == "ServiceAccount"
            && text(s, "name") == denial.account
            && place == Some(denial.account_namespace.as_str());
        let user = text(s, "kind") == "User"
            && text(s, "name")
                == format!(
                    "system:serviceaccount:{}:{}",
                    denial.account_namespace, denial.account
                );
        let group = text(s, "kind") == "Group"
            && [
                "system:serviceaccounts".to_owned(),
                format!("system:serviceaccounts:{}", denial.account_namespace),
                "system:authenticated".to_owned(),
            ]
            .contains(&text(s, "name").to_owned());
        account || user || group
    };
    all_bindings(known)
        .into_iter()
        .filter(|b| counts_in(b, denial.namespace.as_deref()))
        .filter(|b| {
            b.list("subjects")
                .iter()
                .any(|s| is_subject(s, b.namespace()))
        })
        .map(|binding| Grant {
            binding,
            role: role_of(binding, known),
        })
        .collect()
}

pub(crate) fn all_bindings<'a>(known: &Known<'a>) -> Vec<&'a Object> {
    let mut all = known.everywhere("RoleBinding");
    all.extend(known.everywhere("ClusterRoleBinding"));
    all
}

/// A RoleBinding counts in its own namespace only.
pub(crate) fn counts_in(binding: &Object, namespace: Option<&str>) -> bool {
    binding.kind() == "ClusterRoleBinding"
        || (binding.namespace() == namespace && namespace.is_some())
}

pub(crate) fn role_of<'a>(binding: &Object, known: &Known<'a>) -> Option<&'a Object> {
    let kind = binding.str("roleRef.kind")?;
    let ns = if kind == "Role" {
        binding.namespace()
    } else {
        None
    };
    known.find(kind, ns, binding.str("roleRef.name")?)
}

/// Whether the rules that are known allow the request.
pub(crate) fn is_allowed(denial: &Denial, known: &Known<'_>) -> bool {
    grants(denial, known)
        .iter()
        .filter_map(|g| g.role)
        .any(|role| role_allows(role, denial))
}

pub(crate) fn role_allows(role: &Object, denial: &Denial) -> bool {
    role.list("rules").iter().any(|r| {
        has(r, "verbs", &denial.verb)
            && has(r, "apiGroups", &denial.group)
            && has_resource(r, &denial.resource)
            && names_fit(r, denial)
    })
}

/// Whether a list of a rule holds a value or `*`.
pub(crate) fn has(rule: &Value, key: &str, wanted: &str) -> bool {
    list(rule, key)
        .iter()
        .filter_map(Value::as_str)
        .any(|v| v == wanted || v == "*")
}

pub(crate) fn has_resource(rule: &Value, wanted: &str) -> bool {
    let subresource = wanted.split_once('/').map(|(_, sub)| format!("*/{sub}"));
    has(rule, "resources", wanted) || subresource.is_some_and(|s| has(rule, "resources", &s))
}

pub(crate) fn names_fit(rule: &Value, denial: &Denial) -> bool {
    let names = list(rule, "resourceNames");
    names.is_empty()
        || denial
            .name
            .as_deref()
            .is_some_and(|n| names.iter().any(|v| v.as_str() == Some(n)))
}

/// How many things beyond the request a role allows: the smaller, the better it fits.
pub(crate) fn breadth(role: &Object) -> usize {
    let count = |r: &Value, key: &str| {
        let items = list(r, key);
        let wild = items.iter().any(|v| v.as_str() == Some("*"));
        if wild { 1000 } else { items.len().max(1) }
    };
    role.list("rules")
        .iter()
        .map(|r| count(r, "verbs").saturating_mul(count(r, "resources")))
        .fold(0, usize::saturating_add)
}

pub(crate) fn text<'v>(value: &'v Value, key: &str) -> &'v str {
    value.get(key).and_then(Value::as_str).unwrap_or_default()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn denials_are_read_in_every_wording() {
        let namespaced = "secrets \"token\" is forbidden: User \"system:serviceaccount:a:b\" cannot get resource \"secrets\" in API group \"\" in the namespace \"c\"";
        let found = denials(namespaced);
        let denial = found.first().unwrap();
        assert_eq!(denial.name.as_deref(), Some("token"));
        assert_eq!(denial.namespace.as_deref(), Some("c"));
        assert_eq!(denials(&denial.as_message()), found);
        let cluster = "msg=\"User \\\"system:serviceaccount:a:b\\\" cannot watch resource \\\"nodes\\\" in API group \\\"\\\" at the cluster scope\"";
        assert_eq!(denials(cluster).first().unwrap().namespace, None);
        let group = "User \"system:serviceaccount:a:b\" cannot patch resource \"deployments/scale\" in API group \"apps\" in the namespace \"c\"";
        assert_eq!(
            denials(group).first().unwrap().resource,
            "deployments/scale"
        );
        assert!(denials("User \"jane\" cannot get resource \"pods\"").is_empty());
        assert!(denials("system:serviceaccount:").is_empty());
    }
}
