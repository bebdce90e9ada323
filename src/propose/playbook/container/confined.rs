//! A program fails at what its security context forbids.

use serde_json::Value;

use super::subject::{Subject, diagnosis, whom};
use crate::case::Case;
use crate::code::Code;
use crate::finding::fact;
use crate::object::{Container, at};
use crate::propose::Answer;
use crate::propose::playbook::build::{and, ask, by_hand};

pub(super) fn forbidden(case: &Case<'_>) -> Option<Answer> {
    let subject = Subject::of(case)?;
    let log = case.finding.fact(fact::LOG_TAIL)?;
    let says = |words: &[&str]| {
        let hit = |l: &&str| words.iter().any(|w| l.to_ascii_lowercase().contains(w));
        log.lines().rev().find(hit)
    };
    if flag(&subject.container, "readOnlyRootFilesystem")
        && let Some(line) = says(&["read-only file system"])
    {
        return Some(read_only(case, line));
    }
    let line = says(&["permission denied", "operation not permitted"])?;
    let limits = limits(&subject);
    (!limits.is_empty()).then(|| not_permitted(case, line, &limits))
}

fn flag(container: &Container<'_>, field: &str) -> bool {
    let path = format!("securityContext.{field}");
    container.get(&path).and_then(Value::as_bool) == Some(true)
}

/// What the security contexts of pod and container set that can refuse a program something.
fn limits(subject: &Subject<'_>) -> Vec<String> {
    let pod = subject.manifest.object.pod_spec();
    let pod = pod.and_then(|s| s.get("securityContext"));
    let own = subject.container.get("securityContext");
    let mut out = Vec::new();
    for (whose, context) in [("the pod", pod), ("the container", own)] {
        for field in [
            "runAsUser",
            "runAsGroup",
            "runAsNonRoot",
            "fsGroup",
            "readOnlyRootFilesystem",
            "allowPrivilegeEscalation",
            "capabilities.drop",
        ] {
            if let Some(value) = context.and_then(|c| at(c, field)) {
                out.push(format!("{field} {} of {whose}", crate::lock::short(value)));
            }
        }
    }
    out
}

fn read_only(case: &Case<'_>, line: &str) -> Answer {
    let mut facts = diagnosis(case);
    facts.push(format!(
        "the program writes where it may not: {}",
        line.trim()
    ));
    facts.push("securityContext.readOnlyRootFilesystem of the container is true, and kubemend never changes it (rule A20)".to_owned());
    let title = format!("Where may {} write?", whom(case));
    let options = vec![
        by_hand(
            "mount an emptyDir at the directory that the program writes to (the root file system stays read-only)",
        ),
        by_hand("make the program write to a volume that it has"),
        by_hand("give up the read-only root file system (rule A20: a person decides)"),
    ];
    ask(Code::BlockedSecurity, title, facts, options)
}

fn not_permitted(case: &Case<'_>, line: &str, limits: &[String]) -> Answer {
    let mut facts = diagnosis(case);
    facts.push(format!("the program was refused: {}", line.trim()));
    facts.push(format!(
        "its security context sets {}; kubemend never changes one (rules A09 to A13)",
        and(limits)
    ));
    let title = format!(
        "{} may not do what it tries: should it do without, or be allowed to?",
        whom(case)
    );
    let options = vec![
        by_hand(
            "configure the program, or use an image, that works as this user (a port above 1024, files that the user owns)",
        ),
        by_hand("change the security context by hand to what the program needs"),
    ];
    ask(Code::BlockedSecurity, title, facts, options)
}
