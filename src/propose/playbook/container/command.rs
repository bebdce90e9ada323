//! A command cannot be started, or starts another workload's program.

use serde_json::{Value, json};

use super::subject::{Subject, after_merge, diagnosis, option, settle};
use crate::case::Case;
use crate::code::Code;
use crate::finding::{Class, fact};
use crate::near::misspelled;
use crate::object::Object;
use crate::path::FieldPath;
use crate::propose::playbook::build::{Words, ask, by_hand, edit, proposal};
use crate::propose::{Answer, Choice, Op, Proposal, Unlock};

pub(super) fn bad_command(case: &Case<'_>) -> Option<Answer> {
    let subject = Subject::of(case)?;
    let executable = case.finding.fact("executable").unwrap_or_default();
    if let Some((path, right)) = respelled(case, &subject, executable) {
        let basis = format!("{right} is what the same image runs elsewhere");
        let fix = set(
            case,
            &subject,
            path,
            json!(right),
            &basis,
            &format!("run {right} instead of {executable} in {}", subject.name()),
        );
        return Some(settle(case, fix, Vec::new()));
    }
    let mut facts = diagnosis(case);
    facts.push(written(&subject));
    facts.push(why(executable, case));
    facts.extend(after_merge(&subject.object()));
    if case.finding.object.kind == "Job" {
        facts.push("more retries (backoffLimit) would not help".to_owned());
    }
    let title = format!("Which command should {} run?", subject.name());
    let mut options = vec![by_hand(
        "set the command to a program that is in the image (rule C05: a person writes it)",
    )];
    let has_command = subject.container.value.get("command").is_some();
    if has_command {
        options.push(by_hand(
            "remove the command, so that the image's own entry point runs",
        ));
    }
    let several = subject.manifest.object.containers().len() > 1;
    if several {
        options.push(by_hand(format!(
            "drop the container {}, if it is not needed (rule C09: a person removes it)",
            subject.container.name
        )));
    }
    Some(ask(Code::MissingValue, title, facts, options))
}

/// The command as the manifest has it.
fn written(subject: &Subject<'_>) -> String {
    let show = |field: &str| {
        subject
            .container
            .value
            .get(field)
            .map(|v| format!("{field} {v}"))
    };
    let parts: Vec<String> = ["command", "args", "workingDir"]
        .iter()
        .filter_map(|f| show(f))
        .collect();
    if parts.is_empty() {
        "the manifest sets no command, so the image's own entry point runs".to_owned()
    } else {
        format!("the manifest sets {}", parts.join(", "))
    }
}

fn why(executable: &str, case: &Case<'_>) -> String {
    const BUILTINS: &[&str] = &[
        "exit", "cd", "export", "source", "set", "alias", "eval", "exec", ".", ":", "trap",
        "ulimit", "umask", "unset", "wait", "read",
    ];
    if BUILTINS.contains(&executable) {
        return format!(
            "`{executable}` is a builtin of the shell, not a program, so the executable file is not found; what the container should run is unknown"
        );
    }
    if executable.contains(' ') {
        return format!(
            "`{executable}` is looked up as one program with spaces in its name: each word has to be an item of its own"
        );
    }
    match case.finding.fact(fact::EXIT_CODE) {
        _ if executable.is_empty() => "which program was meant is unknown".to_owned(),
        Some("126") => format!("`{executable}` is there, but is not executable"),
        _ => format!(
            "`{executable}` is not found in the image as an executable file; which program was meant is unknown"
        ),
    }
}

/// The word of the command that is misspelled, and the only program that siblings with the same
/// repository run, whose name it misspells.
fn respelled(
    case: &Case<'_>,
    subject: &Subject<'_>,
    executable: &str,
) -> Option<(FieldPath, String)> {
    if executable.is_empty() {
        return None;
    }
    let (field, index) = position(subject, executable)?;
    let known = programs(case, subject);
    let right = misspelled(executable, known.iter().map(String::as_str))?;
    Some((
        subject.container.path.key(field).index(index),
        right.to_owned(),
    ))
}

fn position(subject: &Subject<'_>, executable: &str) -> Option<(&'static str, usize)> {
    ["command", "args"].into_iter().find_map(|field| {
        let words = subject.container.list(field);
        words
            .iter()
            .position(|w| w.as_str() == Some(executable))
            .map(|i| (field, i))
    })
}

/// First words of the commands of other containers that run the same image and are up.
fn programs(case: &Case<'_>, subject: &Subject<'_>) -> Vec<String> {
    let image = subject.container.str("image");
    let mut out: Vec<String> = Vec::new();
    for pod in case.snapshot.of_kind("Pod").filter(|p| is_ready(p)) {
        for container in pod.containers().iter().filter(|c| c.str("image") == image) {
            out.extend(
                container
                    .list("command")
                    .first()
                    .and_then(Value::as_str)
                    .map(str::to_owned),
            );
        }
    }
    for earlier in case.earlier_of(&case.finding.object) {
        let words = subject.container.path.key("command").index(0);
        out.extend(
            words
                .get(&earlier.object.value)
                .and_then(Value::as_str)
                .map(str::to_owned),
        );
    }
    out
}

fn is_ready(pod: &Object) -> bool {
    pod.list("status.conditions").iter().any(|c| {
        c.get("type").and_then(Value::as_str) == Some("Ready")
            && c.get("status").and_then(Value::as_str) == Some("True")
    })
}

fn set(
    case: &Case<'_>,
    subject: &Subject<'_>,
    path: FieldPath,
    value: Value,
    basis: &str,
    title: &str,
) -> Proposal {
    let object = subject.object();
    let mut facts = diagnosis(case);
    facts.push(written(subject));
    facts.push(basis.to_owned());
    let words = Words {
        play: "bad-command",
        title: title.to_owned(),
        diagnosis: facts,
        reason: basis.to_owned(),
        after_merge: after_merge(&object),
    };
    proposal(
        words,
        vec![edit(
            &object,
            path,
            Op::Set(value),
            Unlock::BadCommand,
            basis,
        )],
    )
}

/// A container that runs the program of another workload.
pub(super) fn foreign_program(case: &Case<'_>) -> Option<Answer> {
    let subject = Subject::of(case)?;
    let program = case.finding.fact("program")?;
    let sibling = case.finding.fact("programOf")?;
    let own = case.finding.object.name.clone();
    let mut facts = diagnosis(case);
    facts.push(written(&subject));
    facts.push(format!("{sibling} runs the same image with its own name as the command, so {own} would run {own:?}; that the image holds such a program is not proven"));
    let title = format!(
        "Should {} run its own program instead of {program}, which is that of {sibling}?",
        subject.name()
    );
    let options: Vec<Choice> = own_program(case, &subject, program, &own)
        .into_iter()
        .map(|p| option_or_text(case, p))
        .collect();
    let rest = [
        by_hand("set the command by hand to the program that is meant"),
        by_hand(format!("keep it: {own} is meant to run {program}")),
    ];
    Some(ask(
        Code::OwnerDecision,
        title,
        facts,
        options.into_iter().chain(rest).collect(),
    ))
}

fn own_program(
    case: &Case<'_>,
    subject: &Subject<'_>,
    program: &str,
    own: &str,
) -> Option<Proposal> {
    let directory = program
        .rsplit_once('/')
        .map_or_else(String::new, |(d, _)| format!("{d}/"));
    let wanted = format!("{directory}{own}");
    let path = subject.container.path.key("command").index(0);
    path.get(&subject.manifest.object.value)?;
    let basis = "every other workload of this image runs the program of its own name";
    Some(set(
        case,
        subject,
        path,
        json!(wanted),
        basis,
        &format!("run {wanted} instead of {program} in {}", subject.name()),
    ))
}

fn option_or_text(case: &Case<'_>, proposal: Proposal) -> Choice {
    // a class that no row serves with this change leaves the words
    debug_assert!(case.finding.class == Class::ApplicationError);
    option(case, proposal)
}
