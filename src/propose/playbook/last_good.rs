//! Plays: back to the last template that worked.

use serde_json::Value;

use crate::case::Case;
use crate::code::Code;
use crate::finding::{Class, fact};
use crate::lock::{KnownGood, equivalent, short};
use crate::near::is_misspelling;
use crate::object::list;
use crate::path::FieldPath;
use crate::propose::playbook::Play;
use crate::propose::playbook::build::{Words, ask, by_hand, proposal, refuse};
use crate::propose::playbook::container::crash::unset_variable;
use crate::propose::playbook::container::image::{may_be_private, names_no_host, parts, registry};
use crate::propose::playbook::container::subject::{
    Subject, after_merge, diagnosis, goods, option, settle, worked_once,
};
use crate::propose::{Answer, Proposal, ProposedEdit, Unlock};
use crate::quantity::Quantity;

mod differ;

use differ::{Difference, differences};

/// The plays of this module.
pub const PLAYS: &[Play] = &[GIT_IS_AHEAD, LAST_HEALTHY];

const GIT_IS_AHEAD: Play = Play {
    name: "git-is-ahead",
    about: "says that Git differs already from what fails in the cluster",
    classes: LAST_HEALTHY.classes,
    run: git_is_ahead,
};

const LAST_HEALTHY: Play = Play {
    name: "last-healthy-template",
    about: "puts the implicated fields back to the last revision that worked",
    classes: &[
        Class::ImagePullNotFound,
        Class::ImagePullAuth,
        Class::ImagePullFailed,
        Class::ImagePlatform,
        Class::InvalidImageName,
        Class::OOMKilled,
        Class::RunContainerError,
        Class::CreateContainerError,
        Class::CrashLoopBackOff,
        Class::InitContainerFailing,
        Class::MissingConfig,
        Class::MissingSecret,
        Class::LivenessProbeFailing,
        Class::ReadinessProbeFailing,
        Class::StartupProbeFailing,
        Class::CronJobFailing,
    ],
    run: last_healthy,
};

/// The field that fails has another value in Git: somebody mended it, or changed the cluster by hand.
fn git_is_ahead(case: &Case<'_>) -> Option<Answer> {
    let subject = Subject::of(case)?;
    let live = case.snapshot.get(&case.finding.object)?;
    let live = live.container(subject.container.name)?;
    let fields: &[&str] = match case.finding.class {
        Class::OOMKilled => &["resources.limits.memory"],
        Class::LivenessProbeFailing => &["livenessProbe"],
        Class::ReadinessProbeFailing => &["readinessProbe"],
        Class::StartupProbeFailing => &["startupProbe"],
        Class::RunContainerError => &["image", "command", "args"],
        Class::MissingConfig | Class::MissingSecret => return None,
        _ => &["image"],
    };
    let differs = fields.iter().find(|f| {
        let (mine, theirs) = (subject.container.get(f), live.get(f));
        !matches!((mine, theirs), (Some(a), Some(b)) if equivalent(a, b))
            && (mine.is_some() || theirs.is_some())
    })?;
    let text = |v: Option<&Value>| v.map_or_else(|| "not set".to_owned(), short);
    if let Some(template) = subject.container.get(differs).filter(|v| is_template(v)) {
        let message = format!(
            "{}. {differs} of container {} is {} in {}: a variable that is filled in when it is applied",
            diagnosis(case).join("; "),
            subject.container.name,
            short(template),
            subject.manifest.file
        );
        return Some(refuse(Code::Templated, message));
    }
    Some(refuse(
        Code::PendingSync,
        format!(
            "{}. {} of container {} is {} in {}, and {} in the cluster: what fails is not what Git has",
            diagnosis(case).join("; "),
            differs,
            subject.container.name,
            text(subject.container.get(differs)),
            subject.manifest.file,
            text(live.get(differs))
        ),
    ))
}

/// Whether a value holds a variable that something else substitutes (`${TAG}`).
fn is_template(value: &Value) -> bool {
    match value {
        Value::String(text) => text.contains("${") || text.contains("{{"),
        Value::Array(items) => items.iter().any(is_template),
        Value::Object(map) => map.values().any(is_template),
        _ => false,
    }
}

fn last_healthy(case: &Case<'_>) -> Option<Answer> {
    let subject = Subject::of(case)?;
    if worked_once(case) && !is_slow(case.finding.class) {
        return None;
    }
    for good in goods(case) {
        if subject.container.path.get(&good.object).is_none() {
            match surplus_init(case, &subject, &good) {
                Some(answer) => return Some(answer),
                None => continue,
            }
        }
        let all = differences(&subject.manifest.object, &subject.container, &good.object);
        if all.is_empty() && serves(&good) {
            return None; // the same fields work there
        }
        match implicated(case, &subject, &all) {
            Choose::One(chosen) if is_doubtful(case, &subject, &good, &chosen) => {
                return Some(doubt(case, &subject, &good, &chosen));
            }
            Choose::One(chosen) => return Some(restore(case, &subject, &good, chosen)),
            Choose::Several => return Some(which(case, &subject, &good, &all)),
            Choose::None => {}
        }
    }
    None
}

/// Failures that a revision may show only after it has been ready once.
fn is_slow(class: Class) -> bool {
    matches!(
        class,
        Class::OOMKilled
            | Class::LivenessProbeFailing
            | Class::ReadinessProbeFailing
            | Class::StartupProbeFailing
    )
}

fn serves(good: &KnownGood) -> bool {
    good.object
        .pointer("/status/availableReplicas")
        .and_then(Value::as_i64)
        .unwrap_or(0)
        > 0
}

enum Choose<'d> {
    One(Vec<&'d Difference>),
    Several,
    None,
}

/// Which differences explain this failure.
fn implicated<'d>(case: &Case<'_>, subject: &Subject<'_>, all: &'d [Difference]) -> Choose<'d> {
    let of = |groups: &[&str]| -> Vec<&'d Difference> {
        all.iter().filter(|d| groups.contains(&d.group)).collect()
    };
    let some = |hits: Vec<&'d Difference>| match hits.is_empty() {
        true => Choose::None,
        false => Choose::One(hits),
    };
    match case.finding.class {
        Class::ImagePullNotFound
        | Class::ImagePullAuth
        | Class::ImagePullFailed
        | Class::ImagePlatform
        | Class::InvalidImageName => some(
            of(&["image"])
                .into_iter()
                .filter(|d| explains_pull(case, subject, d))
                .collect(),
        ),
        Class::OOMKilled => some(memory(subject, all)),
        Class::RunContainerError => some(of(&["program", "image"])),
        Class::MissingConfig | Class::MissingSecret | Class::CreateContainerError => {
            some(references(case, subject, all))
        }
        Class::LivenessProbeFailing => some(of(&["livenessProbe"])).or_else(|| only(all)),
        Class::ReadinessProbeFailing => some(of(&["readinessProbe"])).or_else(|| only(all)),
        Class::StartupProbeFailing => some(of(&["startupProbe"])).or_else(|| only(all)),
        _ => named_in_log(case, all).or_else(|| only(all)),
    }
}

/// Whether a changed image is why the pull fails: a registry that refuses credentials or does not
/// answer does so for every tag of the same repository.
fn explains_pull(case: &Case<'_>, subject: &Subject<'_>, change: &Difference) -> bool {
    let now = subject.container.str("image").unwrap_or_default();
    let before = change
        .good
        .as_ref()
        .and_then(Value::as_str)
        .unwrap_or_default();
    match case.finding.class {
        Class::ImagePullFailed => {
            names_no_host(&case.finding.message) && registry(now) != registry(before)
        }
        Class::ImagePullAuth => is_misspelling(parts(now).0, parts(before).0),
        Class::ImagePullNotFound if may_be_private(&case.finding.message) => {
            parts(now).0 != parts(before).0
        }
        _ => true,
    }
}

impl Choose<'_> {
    fn or_else(self, other: impl FnOnce() -> Self) -> Self {
        match self {
            Self::None => other(),
            chosen => chosen,
        }
    }
}

/// The only difference; probes and resources do not make a program exit.
fn only(all: &[Difference]) -> Choose<'_> {
    let telling: Vec<&Difference> = all
        .iter()
        .filter(|d| ["image", "program", "env"].contains(&d.group))
        .collect();
    match telling.len() {
        0 => Choose::None,
        1 => Choose::One(telling),
        _ => Choose::Several,
    }
}

/// Environment variables that the log names.
fn named_in_log<'d>(case: &Case<'_>, all: &'d [Difference]) -> Choose<'d> {
    let log = case.finding.fact(fact::LOG_TAIL).unwrap_or_default();
    let word = |name: &str| {
        log.split(|c: char| !c.is_ascii_alphanumeric() && c != '_')
            .any(|w| w == name)
    };
    let hits: Vec<&Difference> = all
        .iter()
        .filter(|d| d.env.as_deref().is_some_and(word))
        .collect();
    if hits.is_empty() {
        Choose::None
    } else {
        Choose::One(hits)
    }
}

/// The memory limit, where the earlier one was higher.
fn memory<'d>(subject: &Subject<'_>, all: &'d [Difference]) -> Vec<&'d Difference> {
    let now = subject
        .container
        .get("resources.limits.memory")
        .and_then(Quantity::of);
    let grows = |d: &&Difference| {
        let before = d.good.as_ref().and_then(Quantity::of);
        d.group == "memory limit"
            && matches!((now, before), (Some(now), Some(before)) if before > now)
    };
    let limit: Vec<&Difference> = all.iter().filter(grows).collect();
    limit
}

/// Environment entries that name the missing object now, and another one before.
fn references<'d>(
    case: &Case<'_>,
    subject: &Subject<'_>,
    all: &'d [Difference],
) -> Vec<&'d Difference> {
    let Some(missing) = case.finding.fact(fact::MISSING_NAME) else {
        return Vec::new();
    };
    let names_it = |d: &&Difference| {
        let now = d.env.as_ref().and_then(|name| {
            list(subject.container.value, "env")
                .iter()
                .find(|e| e.get("name").and_then(Value::as_str) == Some(name))
        });
        now.is_some_and(|v| v.to_string().contains(&format!("\"{missing}\"")))
    };
    all.iter()
        .filter(names_it)
        .filter(|d| d.good.is_some())
        .collect()
}

/// Whether a program's failure may have another reason than the changed image: what it connects to
/// fails it, or other containers of the pod changed as well.
fn is_doubtful(
    case: &Case<'_>,
    subject: &Subject<'_>,
    good: &KnownGood,
    chosen: &[&Difference],
) -> bool {
    let exits = matches!(
        case.finding.class,
        Class::CrashLoopBackOff | Class::InitContainerFailing | Class::CronJobFailing
    );
    let image = chosen.iter().any(|d| d.group == "image");
    exits
        && image
        && (blames_dependency(case)
            || wants_variable(case).is_some()
            || others_changed(subject, good))
}

/// The environment variable that the new image asks for.
fn wants_variable(case: &Case<'_>) -> Option<String> {
    case.finding.fact(fact::LOG_TAIL).and_then(unset_variable)
}

/// Whether the last error of the log is one of something that the program connects to.
fn blames_dependency(case: &Case<'_>) -> bool {
    const WORDS: &[&str] = &[
        "connection refused",
        "connection reset",
        "timed out",
        "timeout",
        "no such host",
        "could not resolve",
        "could not translate host",
        "unreachable",
        "authentication failed",
        "access denied for user",
        "too many connections",
        "service unavailable",
    ];
    let log = case.finding.fact(fact::LOG_TAIL).unwrap_or_default();
    let last = crate::detect::container::text::error_lines(log, 1).pop();
    last.is_some_and(|l| WORDS.iter().any(|w| l.to_ascii_lowercase().contains(w)))
}

/// Whether a container with another image than the failing one changed too.
fn others_changed(subject: &Subject<'_>, good: &KnownGood) -> bool {
    let image = subject.container.str("image");
    let object = &subject.manifest.object;
    let others = object.containers().into_iter();
    others
        .filter(|c| c.name != subject.container.name && c.str("image") != image)
        .any(|c| {
            differences(object, &c, &good.object)
                .iter()
                .any(|d| ["image", "program", "env"].contains(&d.group))
        })
}

fn doubt(
    case: &Case<'_>,
    subject: &Subject<'_>,
    good: &KnownGood,
    chosen: &[&Difference],
) -> Answer {
    let mut facts = diagnosis(case);
    facts.extend(
        chosen
            .iter()
            .map(|d| format!("{}: {}", good.basis, d.story)),
    );
    let variable = wants_variable(case);
    facts.push(if let Some(name) = &variable {
        format!("the log names environment variable {name} as missing, which the earlier image may not have needed")
    } else if blames_dependency(case) {
        "the log blames what the program connects to, which would fail the earlier image as well"
            .to_owned()
    } else {
        "other containers of the pod changed in the same revision".to_owned()
    });
    let title = format!(
        "{} fails since its image changed: is it the image, or what it depends on?",
        subject.name()
    );
    let options = vec![
        option(case, revert(case, subject, good, chosen)),
        by_hand(variable.map_or_else(
            || "keep the image, and mend what the log names".to_owned(),
            |name| {
                format!(
                    "keep the image, and set environment variable {name} to the value that is meant"
                )
            },
        )),
    ];
    ask(Code::OwnerDecision, title, facts, options)
}

/// The same image in other containers of the pod, which goes back together with this one.
fn same_image(
    subject: &Subject<'_>,
    good: &KnownGood,
    chosen: &[&Difference],
) -> Vec<ProposedEdit> {
    if !chosen.iter().any(|d| d.group == "image") {
        return Vec::new();
    }
    let image = subject.container.str("image");
    let object = &subject.manifest.object;
    let others = object.containers().into_iter();
    others
        .filter(|c| c.name != subject.container.name && c.str("image") == image)
        .flat_map(|c| {
            let all = differences(object, &c, &good.object);
            let mine = all.into_iter().filter(|d| d.group == "image");
            mine.flat_map(|d| d.edits(subject, good))
                .collect::<Vec<_>>()
        })
        .collect()
}

fn restore(
    case: &Case<'_>,
    subject: &Subject<'_>,
    good: &KnownGood,
    chosen: Vec<&Difference>,
) -> Answer {
    let proposal = revert(case, subject, good, &chosen);
    settle(case, proposal, Vec::new())
}

fn revert(
    case: &Case<'_>,
    subject: &Subject<'_>,
    good: &KnownGood,
    chosen: &[&Difference],
) -> Proposal {
    let what: Vec<&str> = chosen.iter().map(|d| d.what.as_str()).collect();
    let mut facts = diagnosis(case);
    facts.extend(
        chosen
            .iter()
            .map(|d| format!("{}: {}", good.basis, d.story)),
    );
    let mut edits: Vec<ProposedEdit> = chosen.iter().flat_map(|d| d.edits(subject, good)).collect();
    edits.extend(same_image(subject, good, chosen));
    let words = Words {
        play: "last-healthy-template",
        title: format!("restore {} of {}", what.join(", "), subject.name()),
        diagnosis: facts,
        reason: format!(
            "{} has the earlier value and worked with it; the change since then is what fails",
            good.basis
        ),
        after_merge: after_merge(&subject.object()),
    };
    proposal(words, edits)
}

/// Several fields changed at once, and nothing says which one broke it.
fn which(case: &Case<'_>, subject: &Subject<'_>, good: &KnownGood, all: &[Difference]) -> Answer {
    let telling: Vec<&Difference> = all
        .iter()
        .filter(|d| ["image", "program", "env"].contains(&d.group))
        .collect();
    let mut options: Vec<_> = Vec::new();
    if telling.len() <= 8 {
        options.push(option(case, revert(case, subject, good, &telling)));
    }
    options.extend(
        telling
            .iter()
            .take(4)
            .map(|d| option(case, revert(case, subject, good, &[d]))),
    );
    options.push(by_hand("keep the change, and mend what it needs"));
    let mut facts = diagnosis(case);
    facts.extend(
        telling
            .iter()
            .take(8)
            .map(|d| format!("{}: {}", good.basis, d.story)),
    );
    let title = format!(
        "{} fails since several fields changed: which of them should go back?",
        subject.name()
    );
    ask(Code::OwnerDecision, title, facts, options)
}

/// An init container that never ends and that the healthy revision lacks.
fn surplus_init(case: &Case<'_>, subject: &Subject<'_>, good: &KnownGood) -> Option<Answer> {
    let endless = case.finding.fact("endless").is_some();
    let template = crate::object::at(&good.object, "spec.template.spec.containers");
    if !subject.container.init || !endless || template.is_none() {
        return None;
    }
    let proposal = remove_container(case, subject, good);
    match rollout_note(case) {
        None => Some(settle(case, proposal, Vec::new())),
        // half a fix would look like the whole one
        Some(note) => Some(both_or_one(case, proposal, note)),
    }
}

/// The container can go by proof, the strategy only by a person.
fn both_or_one(case: &Case<'_>, removal: Proposal, note: String) -> Answer {
    let mut facts = diagnosis(case);
    facts.push(note);
    let title = format!(
        "{}: shall the container go, and the rollout strategy become safe?",
        removal.title
    );
    let options = vec![
        option(case, removal),
        by_hand(
            "the same, and spec.strategy.rollingUpdate.maxUnavailable to 25% (rule D08: a person changes it)",
        ),
    ];
    ask(Code::OwnerDecision, title, facts, options)
}

/// The removal of a container that the earlier revision lacks.
pub(super) fn remove_container(
    case: &Case<'_>,
    subject: &Subject<'_>,
    good: &KnownGood,
) -> Proposal {
    let mut facts = diagnosis(case);
    facts.push(format!(
        "{} has no container {} and worked without it",
        good.basis, subject.container.name
    ));
    let strategy = rollout_note(case);
    facts.extend(strategy.clone());
    let edit = ProposedEdit {
        object: subject.object(),
        path: without_empty_list(subject),
        op: crate::propose::Op::Remove,
        unlock: Unlock::LastHealthyTemplate,
        basis: good.basis.clone(),
    };
    let words = Words {
        play: "last-healthy-template",
        title: format!(
            "remove init container {} from {}",
            subject.container.name,
            subject.object()
        ),
        diagnosis: facts,
        reason: format!(
            "the init container blocks every pod, and {} worked without it",
            good.basis
        ),
        after_merge: after_merge(&subject.object())
            .into_iter()
            .chain(strategy)
            .collect(),
    };
    proposal(words, vec![edit])
}

/// The container, or the whole list where it is the only item: no empty list is left behind.
fn without_empty_list(subject: &Subject<'_>) -> FieldPath {
    let path = &subject.container.path;
    match path.split_last() {
        Some((items, _)) if subject.container.init && is_single(subject, &items) => items,
        _ => path.clone(),
    }
}

fn is_single(subject: &Subject<'_>, items: &FieldPath) -> bool {
    let items = items.get(&subject.manifest.object.value);
    items
        .and_then(Value::as_array)
        .is_some_and(|l| l.len() == 1)
}

/// Why no old pod was left: a rollout that may take all of them down at once.
pub(super) fn rollout_note(case: &Case<'_>) -> Option<String> {
    let manifest = case.manifest()?;
    let unavailable = manifest
        .object
        .get("spec.strategy.rollingUpdate.maxUnavailable")?;
    let all = unavailable.as_str() == Some("100%")
        || unavailable
            .as_i64()
            .is_some_and(|n| n >= manifest.object.int("spec.replicas").unwrap_or(1));
    all.then(|| {
        format!(
            "spec.strategy.rollingUpdate.maxUnavailable is {}, so the rollout took every old pod down at once; kubemend does not change rollout strategies by itself (rule D08): a person should set it to 25%",
            crate::lock::short(unavailable)
        )
    })
}
