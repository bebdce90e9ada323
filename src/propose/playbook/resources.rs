//! Plays: memory.

use std::sync::LazyLock;

use regex::Regex;
use serde_json::Value;

use crate::case::Case;
use crate::code::Code;
use crate::finding::{Class, fact};
use crate::object::{Container, Object, list};
use crate::propose::playbook::Play;
use crate::propose::playbook::build::{Words, ask, by_hand, edit, proposal, refuse};
use crate::propose::playbook::container::subject::{
    Subject, after_merge, diagnosis, option, settle, whom,
};
use crate::propose::{Answer, Op, Proposal, Unlock};
use crate::quantity::Quantity;

/// The plays of this module.
pub const PLAYS: &[Play] = &[Play {
    name: "memory-limit",
    about: "doubles a memory limit that is too small, or asks, or names a command that no limit can hold",
    classes: &[Class::OOMKilled],
    run: oom,
}];

fn oom(case: &Case<'_>) -> Option<Answer> {
    let subject = Subject::of(case)?;
    let command = command_line(&subject.container);
    if let Some(pattern) = runaway(&command) {
        return Some(no_limit_holds(case, &command, pattern));
    }
    let Some(text) = subject.container.str("resources.limits.memory") else {
        return Some(limit_elsewhere(case, &subject));
    };
    let limit = Quantity::parse(text).filter(|l| l.is_positive())?;
    if let Some(lower) = raised_before(case, &subject, limit) {
        return Some(leak(case, &subject, &lower, text));
    }
    let Some(new) = affordable(case, &subject, limit) else {
        return Some(no_room(case, &subject, text));
    };
    let written = new.display_like(text);
    let raise = raise(case, &subject, text, &written);
    match demand(&subject, limit) {
        Demand::Above(what) => Some(how_much(
            case,
            raise,
            &subject,
            text,
            &format!("{what}, which is more than twice the limit of {text}"),
        )),
        Demand::Within(_) => Some(settle(case, raise, Vec::new())),
        Demand::Unknown if dies_at_once(case) => {
            let runs = match case.finding.fact(fact::RUN_SECONDS) {
                Some(seconds) => format!("it is killed {seconds} s after every start"),
                None => "how long it runs before it is killed is not known".to_owned(),
            };
            let why = format!("{runs}, so nothing says that {written} is enough");
            Some(how_much(case, raise, &subject, text, &why))
        }
        Demand::Unknown => Some(settle(case, raise, Vec::new())),
    }
}

/// Command and arguments as one line.
fn command_line(container: &Container<'_>) -> String {
    ["command", "args"]
        .iter()
        .flat_map(|f| container.list(f))
        .filter_map(Value::as_str)
        .collect::<Vec<_>>()
        .join(" ")
}

/// The part of a command that takes memory without end.
fn runaway(command: &str) -> Option<&str> {
    RUNAWAY
        .iter()
        .find_map(|r| r.find(command))
        .map(|m| m.as_str().trim())
}

fn no_limit_holds(case: &Case<'_>, command: &str, pattern: &str) -> Answer {
    let facts = diagnosis(case).join("; ");
    refuse(
        Code::ApplicationFault,
        format!(
            "{facts}. Its command is `{command}`: `{pattern}` takes memory without end, so it is OOMKilled at any limit, and a higher one would only take longer. The command has to change; what it should do instead is for the owners of {} to say",
            whom(case)
        ),
    )
}

/// No limit in Git: a LimitRange, the node, or an injected value killed it.
fn limit_elsewhere(case: &Case<'_>, subject: &Subject<'_>) -> Answer {
    let namespace = case.finding.object.namespace.as_deref();
    let ranges: Vec<String> = case
        .snapshot
        .in_namespace("LimitRange", namespace)
        .iter()
        .map(|o| o.name().to_owned())
        .collect();
    let source = if ranges.is_empty() {
        "the node itself, or something that sets a limit at admission".to_owned()
    } else {
        format!("LimitRange {} of the namespace", ranges.join(", "))
    };
    let mut facts = diagnosis(case);
    facts.push(format!(
        "the manifest sets no memory limit for container {}; what killed it is {source}",
        subject.container.name
    ));
    let title = format!("How much memory may {} use?", subject.name());
    ask(
        Code::MissingValue,
        title,
        facts,
        vec![
            by_hand(
                "set resources.requests.memory and resources.limits.memory to what the program needs",
            ),
            by_hand("make the program use less"),
        ],
    )
}

/// A lower limit that Git had before: raised once already, and reached again.
fn raised_before(case: &Case<'_>, subject: &Subject<'_>, limit: Quantity) -> Option<String> {
    let path = subject
        .container
        .path
        .key("resources")
        .key("limits")
        .key("memory");
    case.earlier_of(&case.finding.object)
        .iter()
        .take(5)
        .find_map(|e| {
            let before = path.get(&e.object.value)?;
            (Quantity::of(before)? < limit).then(|| crate::lock::short(before))
        })
}

fn leak(case: &Case<'_>, subject: &Subject<'_>, lower: &str, limit: &str) -> Answer {
    let mut facts = diagnosis(case);
    facts.push(format!(
        "Git raised the memory limit from {lower} to {limit} already, and {limit} is reached again"
    ));
    let title = format!(
        "{} reaches every memory limit: raise it again, or find the leak?",
        subject.name()
    );
    let options = vec![
        by_hand("look for a leak in the program first"),
        by_hand(format!(
            "raise the limit above {limit} by hand, with a number that was measured"
        )),
    ];
    ask(Code::OwnerDecision, title, facts, options)
}

/// Twice the limit, or as much of it as quota, LimitRange and the largest node allow; at least 1.25 times.
fn affordable(case: &Case<'_>, subject: &Subject<'_>, limit: Quantity) -> Option<Quantity> {
    let mut new = limit.times(2);
    let namespace = case.finding.object.namespace.as_deref();
    for cap in caps(case, namespace, limit, replicas(&subject.manifest.object)) {
        if cap < new {
            new = cap;
        }
    }
    let new = if new < limit.times(2) {
        new.floor_to(Quantity::mebi(1))
    } else {
        new
    };
    (new.times(4) >= limit.times(5)).then_some(new)
}

fn replicas(object: &Object) -> i64 {
    object.int("spec.replicas").unwrap_or(1).max(1)
}

fn caps(case: &Case<'_>, namespace: Option<&str>, limit: Quantity, replicas: i64) -> Vec<Quantity> {
    let mut out: Vec<Quantity> = Vec::new();
    let node = case
        .snapshot
        .of_kind("Node")
        .filter_map(|n| {
            n.map("status.allocatable")?
                .get("memory")
                .and_then(Quantity::of)
        })
        .max();
    out.extend(node);
    for range in case.snapshot.in_namespace("LimitRange", namespace) {
        let rules = range
            .list("spec.limits")
            .iter()
            .filter(|l| l.get("type").and_then(Value::as_str) == Some("Container"));
        out.extend(rules.filter_map(|l| l.get("max")?.get("memory").and_then(Quantity::of)));
    }
    for quota in case.snapshot.in_namespace("ResourceQuota", namespace) {
        let amount = |field: &str| {
            quota
                .map(field)?
                .get("limits.memory")
                .and_then(Quantity::of)
        };
        if let (Some(hard), Some(used)) = (
            amount("status.hard").or_else(|| amount("spec.hard")),
            amount("status.used"),
        ) && let Some(each) = free(hard, used).div_floor(replicas)
        {
            out.push(limit + each);
        }
    }
    out
}

fn free(hard: Quantity, used: Quantity) -> Quantity {
    if hard > used {
        hard - used
    } else {
        Quantity::ZERO
    }
}

fn no_room(case: &Case<'_>, subject: &Subject<'_>, limit: &str) -> Answer {
    let mut facts = diagnosis(case);
    facts.push(format!("the limit of {limit} cannot grow by a quarter: a ResourceQuota, a LimitRange or the largest node stands in the way"));
    let title = format!(
        "{} needs more memory than its namespace or nodes allow: what should give way?",
        subject.name()
    );
    ask(
        Code::OwnerDecision,
        title,
        facts,
        vec![
            by_hand(
                "give the namespace or the nodes more memory (rule D22: quotas are changed by people)",
            ),
            by_hand("make the program use less memory"),
        ],
    )
}

fn raise(case: &Case<'_>, subject: &Subject<'_>, old: &str, new: &str) -> Proposal {
    let object = subject.object();
    let path = |list: &str| {
        subject
            .container
            .path
            .key("resources")
            .key(list)
            .key("memory")
    };
    let value = || Op::Set(Value::String(new.to_owned()));
    let basis = format!("OOMKilled at {old}, within the bounds of rule D07");
    let mut edits = vec![edit(
        &object,
        path("limits"),
        value(),
        Unlock::OOMKilled,
        basis.clone(),
    )];
    if is_guaranteed(&subject.manifest.object) {
        edits.push(edit(
            &object,
            path("requests"),
            value(),
            Unlock::OOMKilled,
            basis,
        ));
    }
    let mut facts = diagnosis(case);
    facts.push(format!(
        "the memory limit of container {} is {old}",
        subject.container.name
    ));
    let words = Words {
        play: "memory-limit",
        title: format!(
            "raise the memory limit of {} from {old} to {new}",
            subject.name()
        ),
        diagnosis: facts,
        reason: format!(
            "the container is OOMKilled at {old}; {new} is at most twice that, and no quota or node of the dump forbids it"
        ),
        after_merge: after_merge(&object),
    };
    proposal(words, edits)
}

/// Requests equal limits for cpu and memory in every container: raising a limit alone would change
/// the pod's quality of service.
fn is_guaranteed(object: &Object) -> bool {
    let containers = object.containers();
    !containers.is_empty()
        && containers.iter().all(|c| {
            ["cpu", "memory"].iter().all(|r| {
                let amount = |l: &str| c.get(&format!("resources.{l}.{r}")).and_then(Quantity::of);
                amount("limits").is_some() && amount("limits") == amount("requests")
            })
        })
}

fn dies_at_once(case: &Case<'_>) -> bool {
    let number = |name: &str| case.finding.fact(name).and_then(|v| v.parse::<i64>().ok());
    number(fact::RUN_SECONDS).is_none_or(|s| s < 10)
}

fn how_much(
    case: &Case<'_>,
    raise: Proposal,
    subject: &Subject<'_>,
    limit: &str,
    why: &str,
) -> Answer {
    let mut facts = diagnosis(case);
    facts.push(format!(
        "the memory limit of container {} is {limit}",
        subject.container.name
    ));
    facts.push(why.to_owned());
    facts.extend(earlier_without_limit(case, subject));
    facts.extend(after_merge(&subject.object()));
    let title = format!(
        "{} is OOMKilled at {limit}: how much memory does it need?",
        subject.name()
    );
    let options = vec![
        by_hand(
            "set resources.limits.memory to what the program is known to need (above twice the present limit a person decides, rule D07)",
        ),
        option(case, raise),
        by_hand("make the program use less memory"),
    ];
    ask(Code::MissingValue, title, facts, options)
}

fn earlier_without_limit(case: &Case<'_>, subject: &Subject<'_>) -> Option<String> {
    let path = subject
        .container
        .path
        .key("resources")
        .key("limits")
        .key("memory");
    let goods = crate::propose::playbook::container::subject::goods(case);
    let good = goods
        .iter()
        .find(|g| subject.container.path.get(&g.object).is_some())?;
    path.get(&good.object).is_none().then(|| {
        format!(
            "{} had no memory limit; kubemend never removes one (rule D06)",
            good.basis
        )
    })
}

/// What the container itself says that it will use.
#[derive(Debug, PartialEq)]
enum Demand {
    Unknown,
    /// The largest amount that is named, with room to spare below twice the limit.
    Within(String),
    /// More than twice the limit.
    Above(String),
}

fn demand(subject: &Subject<'_>, limit: Quantity) -> Demand {
    let container = &subject.container;
    let words: Vec<String> = ["command", "args"]
        .iter()
        .flat_map(|f| container.list(f))
        .filter_map(Value::as_str)
        .flat_map(|t| t.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
        .chain(list(container.value, "env").iter().filter_map(|e| {
            let name = e.get("name")?.as_str()?;
            let sized = ["MEM", "HEAP", "XMX", "JAVA", "NODE_OPTIONS", "SIZE"]
                .iter()
                .any(|w| name.to_ascii_uppercase().contains(w));
            sized.then(|| e.get("value")?.as_str().map(str::to_owned))?
        }))
        .collect();
    asked_for(&words, limit)
}

/// The largest amount of memory among words, against the limit. A bare number counts in the unit
/// that the other words use, where it would be more than the doubled limit.
fn asked_for(words: &[String], limit: Quantity) -> Demand {
    let sized: Vec<(Quantity, &str)> = words
        .iter()
        .flat_map(|w| w.split(['=', ',', ' ']))
        .filter_map(|w| Some((amount(w)?, w)))
        .collect();
    let Some((largest, word)) = sized.iter().max_by_key(|(q, _)| *q) else {
        return Demand::Unknown;
    };
    let bare = words
        .iter()
        .filter_map(|w| w.parse::<i64>().ok())
        .filter(|n| (1..1_000_000).contains(n))
        .max()
        .filter(|n| Quantity::mebi(*n) > limit.times(2));
    if *largest > limit.times(2) {
        return Demand::Above(format!("its command or environment asks for {word}"));
    }
    if let Some(bare) = bare {
        return Demand::Above(format!(
            "its arguments hold {bare} beside {word}, which may be an amount in Mi"
        ));
    }
    Demand::Within((*word).to_owned())
}

/// An amount of memory as programs write it: `512M`, `80Mi`, `-Xmx2g`, `1GiB`.
fn amount(word: &str) -> Option<Quantity> {
    let c = AMOUNT.captures(word)?;
    let count: i64 = c[1].parse().ok()?;
    let mebi = match c[2].to_ascii_lowercase().as_bytes().first()? {
        b'k' => return Some(Quantity::mebi(count / 1024)),
        b'm' => count,
        b'g' => count.checked_mul(1024)?,
        _ => count.checked_mul(1024 * 1024)?,
    };
    (mebi < 1 << 30).then(|| Quantity::mebi(mebi))
}

static AMOUNT: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"^(?:-X(?:mx|ms)|-)?(\d{1,9})([kKmMgGtT])(?:i?[bB]?)$")
        .expect("a literal pattern compiles")
});

/// Endless sources read into memory, and loops that keep what they make.
static RUNAWAY: LazyLock<Vec<Regex>> = LazyLock::new(|| {
    [
        r"\b(tail|sort|tac|shuf|xargs)\b[^|;&]*\s/dev/(zero|u?random)\b",
        r"\$\((cat|yes)( [^)]*/dev/(zero|u?random))?\s*\)",
        r"\b(cat\s+/dev/(zero|u?random)|yes)\b[^|;&]*\|\s*(tail|sort|tac)\b",
        r":\(\)\s*\{\s*:\|:&\s*\}",
        r"(?s)while\s*(\(?\s*(True|true|1|:)\s*\)?)\s*[:;{]?.*(\.append\(|\.push\(|\.extend\()",
        r"(?s)for\s*\(\s*;\s*;\s*\).*(\.push\(|malloc\()",
        r"(?s)while\s+(true|:|1)\s*;.*\b(\w+)=.?\$\w+\$\w+",
    ]
    .iter()
    .map(|p| Regex::new(p).expect("a literal pattern compiles"))
    .collect()
});

#[cfg(test)]
mod tests;
