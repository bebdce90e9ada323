//! A finding before it has a place in a file, and what may mend it.

use serde_json::Value;

use crate::case::Desired;
use crate::code::Code;
use crate::finding::{Class, Finding, Severity};
use crate::object::{Object, ObjectRef};
use crate::path::FieldPath;
use crate::propose::{Claim, Op, Proposal, ProposedEdit, Source, Unlock};
use crate::report::Known;
use crate::scan::rules::Rule;
use crate::scan::world::World;

/// What a check looks at.
pub(super) struct Look<'a> {
    /// The objects that are judged.
    pub members: &'a [Desired],
    /// These and what shares their namespaces.
    pub known: &'a Known<'a>,
    /// Everything in the repository.
    pub world: &'a World,
}

/// Whether a text is meant as it stands: no template, no variable, and no word in capitals that
/// somebody replaces before it is applied (`PROJECT_ID`).
pub(super) fn is_literal(text: &str) -> bool {
    let capitals = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_';
    let replaced = text
        .split(['-', '.', '/', ':'])
        .any(|word| word.contains('_') && word.len() > 2 && word.chars().all(capitals));
    // `shell-HOSTNAME`: a whole word in capitals beside others that are not
    let words = || text.split(['-', '.']);
    let shouted = words().any(|w| w.len() > 3 && w.chars().all(|c| c.is_ascii_uppercase()))
        && words().any(|w| w.chars().any(|c| c.is_ascii_lowercase()));
    let marked = text.len() > 1 && text.starts_with('%') && text.ends_with('%');
    !text.contains(['$', '{', '}', '<', '>']) && !marked && !replaced && !shouted
}

/// What is wrong with one field of one object.
#[derive(Debug, Clone)]
pub(super) struct Draft {
    pub rule: &'static Rule,
    pub severity: Severity,
    pub object: ObjectRef,
    pub container: Option<String>,
    /// The field, on the object as rendered.
    pub path: FieldPath,
    /// Whether the key itself is wrong, not its value.
    pub on_key: bool,
    pub message: String,
    pub remedy: Remedy,
    /// Objects that have to be valid themselves, or this is only a consequence.
    pub related: Vec<ObjectRef>,
    /// It is a fault only if the fix can be proven; else nobody knows.
    pub only_fixed: bool,
}

/// What may mend it.
#[derive(Debug, Clone)]
pub(super) enum Remedy {
    /// What the playbook says to this finding.
    Play(Box<Finding>),
    /// This very change.
    Edit(Box<Finding>, Box<Proposal>),
    /// A person.
    Person(Code, String),
}

impl Draft {
    pub(super) fn new(
        rule: &'static Rule,
        object: &Object,
        path: FieldPath,
        message: impl Into<String>,
    ) -> Self {
        Self {
            rule,
            severity: rule.severity,
            object: object.reference(),
            container: None,
            path,
            on_key: false,
            message: message.into(),
            remedy: Remedy::Person(Code::OwnerDecision, rule.help.to_owned()),
            related: Vec::new(),
            only_fixed: false,
        }
    }

    /// It follows from an object, and says nothing while that one is invalid.
    pub(super) fn because(mut self, object: &Object) -> Self {
        self.related.push(object.reference());
        self
    }

    pub(super) fn severity(mut self, severity: Severity) -> Self {
        self.severity = severity;
        self
    }

    pub(super) fn container(mut self, name: Option<&str>) -> Self {
        self.container = name.map(str::to_owned);
        self
    }

    /// The playbook is asked.
    pub(super) fn play(mut self, facts: &[(&str, &str)]) -> Self {
        let finding = self.finding(facts);
        self.remedy = Remedy::Play(Box::new(finding));
        self
    }

    /// The text at the path is one slip away from what is meant.
    pub(super) fn respell(mut self, right: Value, unlock: Unlock, basis: &str) -> Self {
        let edit = ProposedEdit {
            object: self.object.clone(),
            path: self.path.clone(),
            op: Op::Set(right.clone()),
            unlock,
            basis: basis.to_owned(),
        };
        let right = right
            .as_str()
            .map_or_else(|| right.to_string(), str::to_owned);
        let proposal = Proposal {
            source: Source::Playbook("scan"),
            title: format!("use {right} in {}", self.object),
            diagnosis: vec![Claim::fact(self.message.clone())],
            reason: format!("{basis}; nothing else that is defined has a name that near"),
            risk: Severity::Medium,
            after_merge: Vec::new(),
            edits: vec![edit],
        };
        let finding = self.finding(&[]);
        self.remedy = Remedy::Edit(Box::new(finding), Box::new(proposal));
        self
    }

    /// The class that decides which rows of the allow-list apply, where the rule has several.
    pub(super) fn with_class(mut self, class: Class) -> Self {
        match &mut self.remedy {
            Remedy::Play(finding) | Remedy::Edit(finding, _) => finding.class = class,
            Remedy::Person(..) => {}
        }
        self
    }

    pub(super) fn person(mut self, code: Code, why: impl Into<String>) -> Self {
        self.remedy = Remedy::Person(code, why.into());
        self
    }

    fn finding(&self, facts: &[(&str, &str)]) -> Finding {
        let mut finding = Finding::new(
            self.rule.class,
            self.severity,
            self.object.clone(),
            self.message.clone(),
        );
        finding.container.clone_from(&self.container);
        for (name, value) in facts {
            finding = finding.with_fact(name, *value);
        }
        finding
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_somebody_replaces_is_no_literal() {
        for text in ["web", "kube-root-ca.crt", "UPPER", "a_b", "v1.2", "A_b"] {
            assert!(is_literal(text), "{text}");
        }
        for text in [
            "$NAME",
            "${NAME:-x}",
            "{{ x }}",
            "<name>",
            "PVC_NAME",
            "app-KSA_NAME",
            "shell-HOSTNAME",
            "%NAME%",
        ] {
            assert!(!is_literal(text), "{text}");
        }
    }
}
