//! Bindings that name a Role or a ServiceAccount that is not there. Report only (rules F01, F02).

use serde_json::Value;

use crate::code::Code;
use crate::finding::Severity;
use crate::near;
use crate::object::Object;
use crate::path::FieldPath;
use crate::scan::draft::{Draft, Look, is_literal};
use crate::scan::rules::{self, Rule};

const WHY: &str = "Roles and bindings are never changed by kubemend (rules F01, F02)";

pub(super) fn bindings(look: &Look<'_>) -> Vec<Draft> {
    let mut out = Vec::new();
    for object in look.members.iter().map(|d| &d.object) {
        if object.kind() == "RoleBinding" {
            out.extend(role(look, object));
        }
        if matches!(object.kind(), "RoleBinding" | "ClusterRoleBinding") {
            out.extend(subjects(look, object));
        }
    }
    out
}

/// ClusterRoles are often those of the cluster itself, so only Roles are looked for.
fn role(look: &Look<'_>, binding: &Object) -> Option<Draft> {
    let name = binding.str("roleRef.name")?;
    (binding.str("roleRef.kind") == Some("Role")).then_some(())?;
    let path = FieldPath::keys(["roleRef", "name"]);
    let ns = binding.namespace();
    missing(look, binding, &rules::ROLE_REF, path, ("Role", ns, name))
}

fn subjects(look: &Look<'_>, binding: &Object) -> Vec<Draft> {
    let all = binding.list("subjects").iter().enumerate();
    all.filter_map(|(i, subject)| {
        let text = |key: &str| subject.get(key).and_then(Value::as_str);
        let name = text("name").filter(|n| *n != "default")?;
        (text("kind") == Some("ServiceAccount")).then_some(())?;
        let ns = text("namespace").or(binding.namespace());
        let path = FieldPath::keys(["subjects"]).index(i).key("name");
        let wanted = ("ServiceAccount", ns, name);
        missing(look, binding, &rules::BINDING_SUBJECT, path, wanted)
    })
    .collect()
}

fn missing(
    look: &Look<'_>,
    binding: &Object,
    rule: &'static Rule,
    path: FieldPath,
    (kind, ns, name): (&str, Option<&str>, &str),
) -> Option<Draft> {
    let world = look.world;
    if world.defines(kind, ns, name) || world.mentions(name) || !is_literal(name) {
        return None;
    }
    let all = look.known.all(kind, ns);
    let near = near::misspelled(name, all.iter().map(|o| o.name()));
    let why = near.map_or_else(String::new, |right| format!("; {right} is one slip away"));
    let message = format!("{}: there is no {kind} {name}{why}", binding.reference());
    let draft = Draft::new(rule, binding, path, message).person(Code::BlockedRbac, WHY);
    match near {
        Some(_) => Some(draft),
        None => world.is_whole(ns).then(|| draft.severity(Severity::Low)),
    }
}
