//! Containers that exit, cannot be created, or wait for a volume.

use std::sync::LazyLock;

use regex::Regex;
use serde_json::Value;

use super::subject::{Subject, after_merge, diagnosis, goods, option, settle, whom};
use crate::case::Case;
use crate::code::Code;
use crate::detect::container::text::error_lines;
use crate::finding::{Class, fact};
use crate::object::{at, list};
use crate::propose::playbook::build::{Words, and, ask, by_hand, edit, proposal, refuse};
use crate::propose::playbook::last_good::remove_container;
use crate::propose::{Answer, Choice, Op, Unlock};
use crate::quantity::Quantity;
use crate::snapshot::Existence;

pub(super) fn creation(case: &Case<'_>) -> Option<Answer> {
    let message = case.finding.message.as_str();
    let facts = diagnosis(case);
    if message.contains("runAsNonRoot") || message.contains("run as root") {
        return Some(non_root(case, facts));
    }
    if case.finding.reason == "FailedCreatePodSandBox" {
        return Some(refuse(
            Code::InfrastructureFault,
            format!(
                "{}. The node's container runtime or network plugin fails before any container starts; check it on the node",
                facts.join("; ")
            ),
        ));
    }
    if let Some(target) = case.finding.fact("mountPath") {
        return Some(mount_clash(case, target, facts));
    }
    let title = format!("{} cannot be created: what should change?", whom(case));
    let options = vec![
        by_hand("change the field that the message names"),
        by_hand("mend what the message names outside this repository"),
    ];
    Some(ask(Code::NoSafeFix, title, facts, options))
}

/// A directory over a file of the image, or a mount inside of a read-only one.
fn mount_clash(case: &Case<'_>, target: &str, mut facts: Vec<String>) -> Answer {
    let mount = Subject::of(case).and_then(|s| {
        let mounts = s.container.list("volumeMounts").iter();
        let text = |m: &Value, key: &str| m.get(key).and_then(Value::as_str).map(str::to_owned);
        mounts
            .filter(|m| text(m, "mountPath").as_deref() == Some(target))
            .map(|m| (text(m, "name").unwrap_or_default(), text(m, "subPath")))
            .next()
    });
    if let Some((volume, sub_path)) = &mount {
        facts.push(match sub_path {
            Some(sub) => format!("volume {volume} is mounted at {target} with subPath {sub}"),
            None => format!("volume {volume} is mounted at {target} without a subPath, so a directory would cover what the image has there"),
        });
    }
    facts.push("kubemend does not change mounts (rule L02)".to_owned());
    let title = format!(
        "{}: how should the volume at {target} be mounted?",
        whom(case)
    );
    let options = vec![
        by_hand(format!(
            "if {target} is a file: name it in subPath, with the key of the volume that holds its content"
        )),
        by_hand("mount the volume at a directory that the image does not need"),
    ];
    ask(Code::NotUnlocked, title, facts, options)
}

fn non_root(case: &Case<'_>, mut facts: Vec<String>) -> Answer {
    facts.push("securityContext.runAsNonRoot is true, and the image would run as root or under a name instead of a number".to_owned());
    facts.push("kubemend never changes a security context (rule A12)".to_owned());
    let title = format!("As which user should {} run?", whom(case));
    let options = vec![
        by_hand(
            "set securityContext.runAsUser to the numeric, non-zero user that the image is made for",
        ),
        by_hand("use an image that runs as a numeric non-root user"),
    ];
    ask(Code::BlockedSecurity, title, facts, options)
}

pub(super) fn volume(case: &Case<'_>) -> Option<Answer> {
    let message = case.finding.message.as_str();
    let facts = diagnosis(case);
    let name = case.finding.fact("volume").unwrap_or_default();
    let host = [
        "hostPath type check failed",
        "not a directory",
        "not a file",
    ]
    .iter()
    .any(|w| message.contains(w));
    if host {
        let title = format!(
            "Volume {name} of {} cannot be mounted: what should it be?",
            case.finding.object
        );
        let options = vec![by_hand(
            "correct the path or its type, on the node or in the manifest (rule A07: host paths are never changed by kubemend)",
        )];
        return Some(ask(Code::BlockedSecurity, title, facts, options));
    }
    Some(refuse(
        Code::InfrastructureFault,
        format!(
            "{}. The storage behind volume {name} does not answer as it should; nothing says that the manifest is wrong. Check the driver and the volume on the node",
            facts.join("; ")
        ),
    ))
}

pub(super) fn init(case: &Case<'_>) -> Option<Answer> {
    let subject = Subject::of(case)?;
    let good = goods(case).into_iter().find(|g| {
        at(&g.object, "spec.template.spec.containers").is_some()
            && subject.container.path.get(&g.object).is_none()
    });
    let endless = case.finding.fact("endless").is_some();
    if good.is_none() && !endless {
        return None;
    }
    let name = subject.container.name;
    let mut facts = diagnosis(case);
    facts.push(format!(
        "init container {name} has the command {}",
        command(&subject)
    ));
    facts.extend(crate::propose::playbook::last_good::rollout_note(case));
    facts.extend(replicas(case));
    facts.extend(awaited(case, &subject));
    let mut options: Vec<Choice> = Vec::new();
    if let Some(good) = &good {
        facts.push(format!("{} has no container {name}", good.basis));
        options.push(option(case, remove_container(case, &subject, good)));
    }
    options.push(by_hand(format!(
        "mend init container {name} so that it ends with exit code 0"
    )));
    if endless {
        options.push(by_hand("provide what it waits for"));
    }
    let how = if endless { "does not end" } else { "fails" };
    let title = format!(
        "Init container {name} of {} {how}: should it be mended or go?",
        case.finding.object
    );
    Some(ask(Code::OwnerDecision, title, facts, options))
}

fn command(subject: &Subject<'_>) -> String {
    let words: Vec<&str> = ["command", "args"]
        .iter()
        .flat_map(|f| subject.container.list(f))
        .filter_map(Value::as_str)
        .collect();
    if words.is_empty() {
        "of its image".to_owned()
    } else {
        format!("`{}`", words.join(" "))
    }
}

/// The Services that a waiting command names and that do not exist, with the one that is near.
fn awaited(case: &Case<'_>, subject: &Subject<'_>) -> Vec<String> {
    let namespace = case.finding.object.namespace.as_deref();
    let services = case.snapshot.in_namespace("Service", namespace);
    let text = command(subject);
    let hosts = WAITS_FOR.captures_iter(&text).filter_map(|c| c.get(1));
    let names = hosts.map(|m| m.as_str().split('.').next().unwrap_or_default().to_owned());
    names
        .filter(|name| case.snapshot.existence("Service", namespace, name) == Existence::Absent)
        .map(|name| {
            let near = crate::near::misspelled(&name, services.iter().map(|s| s.name()));
            let near = near.map_or_else(String::new, |n| format!("; Service {n} exists"));
            format!(
                "it waits for {name}, and no Service of that name exists in the namespace{near}"
            )
        })
        .take(3)
        .collect()
}

static WAITS_FOR: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"\b(?:nslookup|getent hosts|nc(?: -[a-zA-Z0-9]+)*|ping(?: -c ?\d+)?|pg_isready -h|https?://)\s*([a-z][a-z0-9-]*(?:\.[a-z0-9.-]+)?)")
        .expect("a literal pattern compiles")
});

fn replicas(case: &Case<'_>) -> Option<String> {
    let live = case.snapshot.get(&case.finding.object)?;
    let wanted = live.int("spec.replicas")?;
    Some(format!(
        "{} of {wanted} replicas are ready",
        live.int("status.readyReplicas").unwrap_or(0)
    ))
}

pub(super) fn missing_variable(case: &Case<'_>) -> Option<Answer> {
    let subject = Subject::of(case)?;
    let log = case.finding.fact(fact::LOG_TAIL)?;
    let name = unset_variable(log)?;
    let present = list(subject.container.value, "env")
        .iter()
        .find(|e| e.get("name").and_then(Value::as_str) == Some(&name));
    let mut facts = diagnosis(case);
    facts.push(match present {
        Some(item) => format!(
            "the manifest sets environment variable {name} to {}",
            crate::lock::short(item.get("value").unwrap_or(item))
        ),
        None => format!(
            "the manifest sets no environment variable {name} for container {}",
            subject.container.name
        ),
    });
    facts.extend(elsewhere(case, &name));
    facts.extend(after_merge(&subject.object()));
    let title = format!(
        "Which value should environment variable {name} of {} have?",
        subject.name()
    );
    let options = vec![
        by_hand(format!(
            "add {name} to the env of container {} with the value that is meant",
            subject.container.name
        )),
        by_hand(format!("make the program work without {name}")),
    ];
    Some(ask(Code::MissingValue, title, facts, options))
}

/// Where the variable is set for other containers of the namespace.
fn elsewhere(case: &Case<'_>, name: &str) -> Option<String> {
    let mut hits: Vec<String> = Vec::new();
    for desired in case
        .desired
        .iter()
        .filter(|d| d.object.namespace() == case.finding.object.namespace.as_deref())
    {
        for container in desired.object.containers() {
            let item = container
                .list("env")
                .iter()
                .find(|e| e.get("name").and_then(Value::as_str) == Some(name));
            if let Some(value) = item.and_then(|i| i.get("value")) {
                hits.push(format!(
                    "{} sets it to {}",
                    desired.object.reference(),
                    crate::lock::short(value)
                ));
            }
        }
    }
    hits.truncate(3);
    (!hits.is_empty()).then(|| and(&hits))
}

/// The environment variable that a log names as missing.
pub(in crate::propose::playbook) fn unset_variable(log: &str) -> Option<String> {
    let lines: Vec<&str> = log.lines().collect();
    lines.iter().rev().find_map(|line| {
        UNSET
            .iter()
            .find_map(|r| r.captures(line))
            .and_then(|c| c.get(1))
            .map(|m| m.as_str().to_owned())
    })
}

static UNSET: LazyLock<Vec<Regex>> = LazyLock::new(|| {
    [
        r"(?i:environment variables?|env(?:ironment)? vars?|\benv)\W{1,4}([A-Z][A-Z0-9_]{2,})\b.*(?i:undefined|not set|unset|missing|required|empty|not found|not defined|must)",
        r"(?i:missing|required|undefined|unset|set)\b.*(?i:environment variables?|env(?:ironment)? vars?|\benv)\W{1,4}([A-Z][A-Z0-9_]{2,})\b",
        r"\b([A-Z][A-Z0-9]*_[A-Z0-9_]+)\b['\x22`]? (?i:environment variable )?(?i:is|was|must be|has)? ?(?i:not (?:been )?set|undefined|unset|required|missing|not defined|not provided|empty|set\b)",
        r"KeyError: '([A-Z][A-Z0-9_]{2,})'",
        r"(?i:missing|required)\W+(?:\w+\W+){0,3}([A-Z][A-Z0-9]*_[A-Z0-9_]+)\b",
        r"\b([A-Z][A-Z0-9_]{2,}): (?:unbound variable|parameter (?:not set|null or not set))",
    ]
    .iter()
    .map(|p| Regex::new(p).expect("a literal pattern compiles"))
    .collect()
});

/// The runtime gives 64 MiB of /dev/shm; a memory volume there is a change of the pod's volumes.
pub(super) fn shared_memory(case: &Case<'_>) -> Option<Answer> {
    let subject = Subject::of(case)?;
    let log = case.finding.fact(fact::LOG_TAIL)?;
    let full = log
        .lines()
        .find(|l| l.contains("/dev/shm") && l.to_ascii_lowercase().contains("no space left"))?;
    let mounted = subject
        .container
        .list("volumeMounts")
        .iter()
        .any(|m| m.get("mountPath").and_then(Value::as_str) == Some("/dev/shm"));
    let mut facts = diagnosis(case);
    facts.push(format!("/dev/shm is full: {}", full.trim()));
    facts.push(if mounted {
        "a volume is mounted at /dev/shm, and its size limit is reached".to_owned()
    } else {
        "no volume is mounted at /dev/shm, so it has the runtime's default size of 64 MiB"
            .to_owned()
    });
    facts.push(format!("the command is {}", command(&subject)));
    facts.push("adding a volume is outside what kubemend may change".to_owned());
    let title = format!(
        "How much shared memory (/dev/shm) does {} need?",
        subject.name()
    );
    let options = vec![
        by_hand(
            "mount an emptyDir with medium Memory at /dev/shm, with a sizeLimit that fits (it counts against the memory limit)",
        ),
        by_hand("make the program use less of /dev/shm"),
    ];
    Some(ask(Code::NotUnlocked, title, facts, options))
}

pub(super) fn application(case: &Case<'_>) -> Option<Answer> {
    let tail = case.finding.fact(fact::LOG_TAIL).unwrap_or_default();
    let errors = error_lines(tail, 5);
    let facts = diagnosis(case).join("; ");
    let running = case.finding.class == Class::ApplicationError;
    if errors.is_empty() && !running && tail.is_empty() {
        return Some(no_log(case));
    }
    if case.finding.fact(fact::EXIT_CODE) == Some("0") && !running {
        return Some(ends_by_itself(case));
    }
    let last = if errors.is_empty() {
        tail.lines().last().unwrap_or_default().to_owned()
    } else {
        errors.join(" … ")
    };
    Some(refuse(
        Code::ApplicationFault,
        format!(
            "{facts}. The program of {} fails by itself ({last}); no field of the manifest is known to be wrong{}. The error is for the owners of the application",
            whom(case),
            scripts(case)
        ),
    ))
}

/// The script that runs, where the command names one.
fn scripts(case: &Case<'_>) -> String {
    let Some(subject) = Subject::of(case) else {
        return String::new();
    };
    let words = ["command", "args"]
        .iter()
        .flat_map(|f| subject.container.list(f))
        .filter_map(Value::as_str);
    let script = words.flat_map(str::split_whitespace).find(|w| {
        [".py", ".sh", ".js", ".rb", ".pl", ".php"]
            .iter()
            .any(|e| w.ends_with(e))
    });
    script.map_or_else(String::new, |s| format!("; it runs {s}"))
}

fn no_log(case: &Case<'_>) -> Answer {
    let title = format!(
        "{} keeps exiting and no log is at hand: what does it say?",
        whom(case)
    );
    let options = vec![by_hand(
        "run again with the logs of the container, also of the previous run (kubectl logs --previous)",
    )];
    ask(Code::NoSafeFix, title, diagnosis(case), options)
}

/// Exit code 0 under a policy that starts it again and again.
fn ends_by_itself(case: &Case<'_>) -> Answer {
    let mut facts = diagnosis(case);
    facts.push(
        "the program ends without an error, and a container of this kind is meant to keep running"
            .to_owned(),
    );
    facts.extend(Subject::of(case).map(|s| format!("the command is {}", command(&s))));
    let title = format!(
        "{} ends by itself with exit code 0: what should it run?",
        whom(case)
    );
    let options = vec![
        by_hand("give it a command that keeps running"),
        by_hand("make it a Job, if it is meant to end"),
    ];
    ask(Code::MissingValue, title, facts, options)
}

pub(super) fn evicted(case: &Case<'_>) -> Option<Answer> {
    let facts = diagnosis(case);
    let text = case.finding.message.to_ascii_lowercase();
    let disk = text.contains("ephemeral") || text.contains("emptydir") || text.contains("disk");
    if text.contains("low on resource") && !text.contains("exceeds") {
        return Some(refuse(
            Code::InfrastructureFault,
            format!(
                "{}. The node ran low on it, so it evicted pods that used more than they requested; give the node more, or request what the pods use",
                facts.join("; ")
            ),
        ));
    }
    if let Some(fix) = more_disk(case) {
        return Some(fix);
    }
    let what = if disk {
        "ephemeral storage"
    } else {
        "the resource"
    };
    let title = format!("How much {what} may {} use?", whom(case));
    let options = vec![
        by_hand(format!(
            "raise the limit of {what} (resources.limits.ephemeral-storage or emptyDir.sizeLimit) to what is needed"
        )),
        by_hand(format!("make the program use less {what}")),
    ];
    Some(ask(Code::MissingValue, title, facts, options))
}

/// Twice the limit that the eviction message names, where Git has exactly that limit.
fn more_disk(case: &Case<'_>) -> Option<Answer> {
    let manifest = case.manifest()?;
    let message = case.finding.message.as_str();
    let (name, limit, volume) = EXCEEDED.iter().zip([true, false]).find_map(|(r, volume)| {
        let c = r.captures(message)?;
        Some((c.get(1)?.as_str(), c.get(2)?.as_str(), volume))
    })?;
    let base = manifest.object.pod_spec_path()?;
    let path = if volume {
        base.key("volumes")
            .named(name)
            .key("emptyDir")
            .key("sizeLimit")
    } else {
        let container = manifest.object.container(name)?;
        let limits = container.path.key("resources").key("limits");
        limits.key("ephemeral-storage")
    };
    let written = path.get(&manifest.object.value)?;
    let old = Quantity::of(written).filter(|q| Quantity::parse(limit) == Some(*q))?;
    let text = written.as_str()?;
    let new = old.times(2).display_like(text);
    let what = if volume {
        format!("the size limit of volume {name}")
    } else {
        format!("the ephemeral storage limit of container {name}")
    };
    let object = manifest.object.reference();
    let basis = format!("evicted at {text}, within the bounds of rules D07 and D21");
    let mut facts = diagnosis(case);
    facts.push(format!("{what} is {text}"));
    let words = Words {
        play: "evicted",
        title: format!("raise {what} of {object} from {text} to {new}"),
        diagnosis: facts,
        reason: format!(
            "the pods are evicted because they use more than {text}; {new} is within twice of it. If they fill that too, the program has to clean up"
        ),
        after_merge: after_merge(&object),
    };
    let op = Op::Set(Value::String(new));
    let edits = vec![edit(&object, path, op, Unlock::Evicted, basis)];
    Some(settle(case, proposal(words, edits), Vec::new()))
}

static EXCEEDED: LazyLock<[Regex; 2]> = LazyLock::new(|| {
    [
        r#"Usage of EmptyDir volume "([^"]+)" exceeds the limit "([^"]+)""#,
        r#"Container (\S+) exceeded its local ephemeral storage limit "([^"]+)""#,
    ]
    .map(|p| Regex::new(p).expect("a literal pattern compiles"))
});

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::unset_variable;

    #[test]
    fn unset_variables_are_named() {
        let cases = [
            (
                "Environment variable API_MODE is undefined",
                Some("API_MODE"),
            ),
            ("fatal: DATABASE_URL must be set", Some("DATABASE_URL")),
            ("KeyError: 'REGION'", Some("REGION")),
            (
                "sh: line 1: REDIS_HOST: unbound variable",
                Some("REDIS_HOST"),
            ),
            (
                "missing required environment variable: \"QUEUE\"",
                Some("QUEUE"),
            ),
            ("listening on 8080", None),
            ("ERROR: cannot open file", None),
        ];
        for (log, name) in cases {
            assert_eq!(unset_variable(log).as_deref(), name, "{log}");
        }
    }
}
