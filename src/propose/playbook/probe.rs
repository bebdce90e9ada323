//! Plays: probes.

use std::sync::LazyLock;

use regex::Regex;
use serde_json::{Value, json};

use crate::case::Case;
use crate::code::Code;
use crate::finding::{Class, fact};
use crate::near::misspelled;
use crate::object::{at, list};
use crate::path::FieldPath;
use crate::propose::playbook::Play;
use crate::propose::playbook::build::{Words, ask, by_hand, edit, proposal};
use crate::propose::playbook::container::subject::{
    Subject, after_merge, diagnosis, option, settle,
};
use crate::propose::{Answer, Choice, Op, Proposal, ProposedEdit, Unlock};

/// The plays of this module.
pub const PLAYS: &[Play] = &[Play {
    name: "probe",
    about: "points a probe at a port or path that the container is known to serve, gives a slow start more time, or asks",
    classes: &[
        Class::LivenessProbeFailing,
        Class::ReadinessProbeFailing,
        Class::StartupProbeFailing,
    ],
    run: probe,
}];

/// The failing probe as Git defines it.
struct Failing<'c> {
    subject: Subject<'c>,
    field: &'static str,
    probe: &'c Value,
    saw: String,
}

fn probe(case: &Case<'_>) -> Option<Answer> {
    let failing = Failing::of(case)?;
    let answer = failing
        .never_true(case)
        .or_else(|| failing.undeclared_port(case))
        .or_else(|| failing.unserved_path(case))
        .or_else(|| failing.too_early(case));
    Some(answer.unwrap_or_else(|| failing.ask_what(case)))
}

impl<'c> Failing<'c> {
    fn of(case: &Case<'c>) -> Option<Self> {
        let subject = Subject::of(case)?;
        let field = match case.finding.class {
            Class::LivenessProbeFailing => "livenessProbe",
            Class::StartupProbeFailing => "startupProbe",
            _ => "readinessProbe",
        };
        let probe = subject.container.value.get(field)?;
        let saw = case.finding.fact("probeSaw").unwrap_or_default().to_owned();
        Some(Self {
            subject,
            field,
            probe,
            saw,
        })
    }

    fn path(&self) -> FieldPath {
        self.subject.container.path.key(self.field)
    }

    fn facts(&self, case: &Case<'_>) -> Vec<String> {
        let mut facts = diagnosis(case);
        facts.push(format!(
            "{} of container {} is {}",
            self.field,
            self.subject.container.name,
            self.shown()
        ));
        if let Some(count) = case.finding.fact("probeFailures").filter(|c| *c != "0") {
            facts.push(format!("it has failed {count} times"));
        }
        facts
    }

    /// The check in a few words: `exec sh -c exit 1`, `httpGet :8080/healthz`.
    fn shown(&self) -> String {
        if let Some(command) = self.command() {
            return format!("exec [{command}]");
        }
        for handler in ["httpGet", "tcpSocket", "grpc"] {
            if let Some(h) = self.probe.get(handler) {
                let port = h.get("port").map(crate::lock::short).unwrap_or_default();
                let path = h.get("path").and_then(Value::as_str).unwrap_or_default();
                return format!("{handler} :{port}{path}");
            }
        }
        "without a check".to_owned()
    }

    fn command(&self) -> Option<String> {
        let words = list(self.probe, "exec.command");
        (!words.is_empty()).then(|| {
            words
                .iter()
                .filter_map(Value::as_str)
                .collect::<Vec<_>>()
                .join(" ")
        })
    }

    /// An exec check: `exit 1`, `false`, a program that the image lacks. What it should check is
    /// unknown, and commands of probes are for people (rule C07).
    fn never_true(&self, case: &Case<'_>) -> Option<Answer> {
        let command = self.command()?;
        let mut facts = self.facts(case);
        let last = command
            .rsplit(['&', ';', '\n'])
            .next()
            .unwrap_or(&command)
            .trim();
        let fails = last == "false"
            || last.ends_with("/bin/false")
            || last.ends_with(" false")
            || exits_nonzero(last);
        facts.push(if fails {
            format!("the command `{command}` always fails, so the probe can never succeed; what it should check is unknown")
        } else if self.saw.is_empty() {
            format!("the command `{command}` fails and prints nothing")
        } else {
            format!("the command `{command}` fails with: {}", self.saw)
        });
        let what = self.field.trim_end_matches("Probe");
        let title = format!(
            "What should the {} of {} check?",
            self.field,
            self.subject.name()
        );
        let mut options = vec![by_hand(format!(
            "replace the command by a {what} check that reflects the health of the program (rule C07: a person writes it)"
        ))];
        options.extend(self.tcp_choice(case));
        options.push(by_hand(format!(
            "have no {}, if nothing needs to be checked (rule D04: a person removes it)",
            self.field
        )));
        Some(ask(Code::MissingValue, title, facts, options))
    }

    /// A check on a port that the container does not declare.
    fn undeclared_port(&self, case: &Case<'_>) -> Option<Answer> {
        let (handler, port) = self.port()?;
        // an HTTP status proves that something listens there, declared or not
        if self.declares(&port) || self.saw.contains("statuscode") {
            return None;
        }
        let names = self
            .ports()
            .filter_map(|p| p.get("name").and_then(Value::as_str));
        if let Some(right) = port.as_str().and_then(|wrong| misspelled(wrong, names)) {
            let value = Value::String(right.to_owned());
            let basis = format!("container port {right} is declared");
            let fix = self.fix(case, &format!("point the {} of {} at port {right}", self.field, self.subject.name()),
                &format!("the probe names port {}, which the container does not declare; {right} is the only declared name that near", crate::lock::short(&port)),
                vec![(self.path().key(handler).key("port"), Op::Set(value))], &basis);
            return Some(settle(case, fix, Vec::new()));
        }
        if !self.is_refused() || self.listens_elsewhere(case) {
            return Some(self.which_port(case, &port));
        }
        Some(if let Some(fix) = self.meant_port(case, &port) {
            settle(case, fix, self.tcp_choice(case).into_iter().collect())
        } else if let Some(fix) = self.tcp(case) {
            settle(case, fix, Vec::new())
        } else {
            self.which_port(case, &port)
        })
    }

    /// The same HTTP check on the declared port on which another probe of the container asks the
    /// same path. A check that is known is not weakened.
    fn meant_port(&self, case: &Case<'_>, wrong: &Value) -> Option<Proposal> {
        let path = http_path(self.probe)?;
        let (right, basis) = self.port_of_sibling(path)?;
        let shown = crate::lock::short(&right);
        Some(self.fix(
            case,
            &format!(
                "point the {} of {} at port {shown}",
                self.field,
                self.subject.name()
            ),
            &format!(
                "the probe asks port {}, on which nothing listens; {shown} is {basis}",
                crate::lock::short(wrong)
            ),
            vec![(self.path().key("httpGet").key("port"), Op::Set(right))],
            &basis,
        ))
    }

    /// The declared port on which another probe of the container asks a path.
    fn port_of_sibling(&self, path: &str) -> Option<(Value, String)> {
        let others = ["readinessProbe", "livenessProbe", "startupProbe"];
        others
            .iter()
            .filter(|other| **other != self.field)
            .find_map(|other| {
                let probe = self.subject.container.value.get(*other)?;
                let port = at(probe, "httpGet.port").filter(|p| self.declares(p))?;
                let same = http_path(probe) == Some(path);
                same.then(|| {
                    let basis = format!("the port on which the {other} asks the same path");
                    (port.clone(), basis)
                })
            })
    }

    /// Whether the log names a port on which the program listens, and it is not the declared one.
    fn listens_elsewhere(&self, case: &Case<'_>) -> bool {
        let log = case.finding.fact(fact::LOG_TAIL).unwrap_or_default();
        let ports = listening(log);
        let declared = self.only_port().and_then(|p| p.as_i64());
        !ports.is_empty() && declared.is_some_and(|d| !ports.contains(&d))
    }

    fn which_port(&self, case: &Case<'_>, port: &Value) -> Answer {
        let mut facts = self.facts(case);
        let declared: Vec<String> = self
            .ports()
            .filter_map(|p| p.get("containerPort"))
            .map(crate::lock::short)
            .collect();
        let declared = if declared.is_empty() {
            "none".to_owned()
        } else {
            declared.join(", ")
        };
        facts.push(format!(
            "the probe asks port {}, and the container declares: {declared}",
            crate::lock::short(port)
        ));
        let ports = listening(case.finding.fact(fact::LOG_TAIL).unwrap_or_default());
        if !ports.is_empty() {
            let ports: Vec<String> = ports.iter().map(ToString::to_string).collect();
            facts.push(format!(
                "its log says that it listens on {}",
                ports.join(", ")
            ));
        }
        let title = format!(
            "Which port should the {} of {} ask?",
            self.field,
            self.subject.name()
        );
        let mut options: Vec<Choice> = self.tcp_choice(case).into_iter().collect();
        options.push(by_hand(format!(
            "set the port (and path) of the {} to what the program serves",
            self.field
        )));
        options.push(by_hand("make the program serve that port, and declare it"));
        ask(Code::MissingValue, title, facts, options)
    }

    /// The path answers 404; another one is known to answer.
    fn unserved_path(&self, case: &Case<'_>) -> Option<Answer> {
        let path = at(self.probe, "httpGet.path")
            .and_then(Value::as_str)
            .unwrap_or("/");
        if !self.saw.contains("statuscode: 404") {
            return None;
        }
        let log = case.finding.fact(fact::LOG_TAIL).unwrap_or_default();
        let Some((right, basis)) = self.sibling_path(log, path) else {
            let mut facts = self.facts(case);
            facts.push(format!(
                "the program answers 404 for {path}, so it listens, but does not serve this path"
            ));
            let title = format!(
                "Which path should the {} of {} ask?",
                self.field,
                self.subject.name()
            );
            let mut options = vec![by_hand("set httpGet.path to one that the program serves")];
            options.extend(self.tcp_choice(case));
            options.push(by_hand(format!("make the program serve {path}")));
            return Some(ask(Code::MissingValue, title, facts, options));
        };
        let value = Value::String(right.clone());
        let fix = self.fix(
            case,
            &format!(
                "point the {} of {} at path {right}",
                self.field,
                self.subject.name()
            ),
            &format!("{path} is answered with 404; {basis}"),
            vec![(self.path().key("httpGet").key("path"), Op::Set(value))],
            &basis,
        );
        Some(settle(case, fix, Vec::new()))
    }

    /// A path of the same port that is known to be served: the other probes of a container that is
    /// or was ready, or a line of the access log that the kubelet's requests left.
    fn sibling_path(&self, log: &str, wrong: &str) -> Option<(String, String)> {
        let (_, port) = self.port()?;
        for other in ["readinessProbe", "livenessProbe", "startupProbe"]
            .iter()
            .filter(|f| **f != self.field)
        {
            let Some(get) = self
                .subject
                .container
                .value
                .get(*other)
                .and_then(|p| p.get("httpGet"))
            else {
                continue;
            };
            let path = get.get("path").and_then(Value::as_str).unwrap_or("/");
            let same = get.get("port").is_some_and(|p| self.same_port(p, &port));
            if same && path != wrong && answers(log, path) {
                return Some((
                    path.to_owned(),
                    format!(
                        "{other} asks {path} on the same port, and the access log shows 200 for it"
                    ),
                ));
            }
        }
        let served = answers(log, "/") && wrong != "/";
        served.then(|| ("/".to_owned(), "the access log shows 200 for /".to_owned()))
    }

    /// The kubelet gives up before the program is up.
    fn too_early(&self, case: &Case<'_>) -> Option<Answer> {
        if self.field == "readinessProbe" || !self.is_refused() {
            return None;
        }
        let number = |key: &str, default: i64| {
            self.probe
                .get(key)
                .and_then(Value::as_i64)
                .unwrap_or(default)
        };
        let patience = number("initialDelaySeconds", 0)
            + number("periodSeconds", 10) * number("failureThreshold", 3);
        let start = start_seconds(case)?;
        if start < patience {
            return None;
        }
        let delay = (start * 3 / 2).clamp(1, 300);
        let fix = self.fix(
            case,
            &format!("give {} {delay} s before its {}", self.subject.name(), self.field),
            &format!("the program needs about {start} s to listen, and the probe gives up after {patience} s"),
            vec![(self.path().key("initialDelaySeconds"), crate::propose::playbook::build::put(&self.subject.manifest.object.value, &self.path().key("initialDelaySeconds"), json!(delay)))],
            "start time in the log of the same container",
        );
        Some(settle(case, fix, Vec::new()))
    }

    fn ask_what(&self, case: &Case<'_>) -> Answer {
        let mut facts = self.facts(case);
        let log = case.finding.fact(fact::LOG_TAIL).is_some();
        facts.push(if self.is_refused() {
            "nothing listens on that port when the probe asks".to_owned()
        } else if self.saw.is_empty() {
            "no event says what the probe saw".to_owned()
        } else {
            format!("the probe saw: {}", self.saw)
        });
        if !log {
            facts.push("no log of the container is at hand".to_owned());
        }
        let title = format!(
            "Why does the {} of {} fail: is the probe wrong, or the program?",
            self.field,
            self.subject.name()
        );
        let mut options = vec![by_hand(format!(
            "the probe is wrong: set its port, path or timings to what the program does ({})",
            self.shown()
        ))];
        options.push(by_hand(
            "the program is wrong: mend it, the probe tells the truth",
        ));
        ask(Code::OwnerDecision, title, facts, options)
    }

    /// A TCP check of the only declared port, in place of an HTTP check of another one.
    fn tcp(&self, case: &Case<'_>) -> Option<Proposal> {
        let port = self.only_port()?;
        let mut changes = Vec::new();
        for handler in ["httpGet", "tcpSocket", "grpc"] {
            if self.probe.get(handler).is_some() && handler != "tcpSocket" {
                changes.push((self.path().key(handler), Op::Remove));
            }
        }
        let socket = self.path().key("tcpSocket");
        match at(self.probe, "tcpSocket.port") {
            Some(_) => changes.push((socket.key("port"), Op::Set(port.clone()))),
            None => changes.push((socket, Op::Add(json!({ "port": port })))),
        }
        let shown = crate::lock::short(&port);
        Some(self.fix(
            case,
            &format!("check TCP port {shown} in the {} of {}", self.field, self.subject.name()),
            &format!("the probe asks a port on which nothing listens; {shown} is the only port that the container declares, and which HTTP path it serves is unproven"),
            changes,
            "the only declared port of the container",
        ))
    }

    fn tcp_choice(&self, case: &Case<'_>) -> Option<Choice> {
        let exec = self.command().is_some();
        if exec {
            let port = self.only_port()?;
            return Some(by_hand(format!(
                "check TCP port {}, the only one that the container declares",
                crate::lock::short(&port)
            )));
        }
        self.tcp(case).map(|p| option(case, p))
    }

    fn fix(
        &self,
        case: &Case<'_>,
        title: &str,
        reason: &str,
        changes: Vec<(FieldPath, Op)>,
        basis: &str,
    ) -> Proposal {
        let object = self.subject.object();
        let mut facts = self.facts(case);
        facts.push(reason.to_owned());
        let edits: Vec<ProposedEdit> = changes
            .into_iter()
            .map(|(path, op)| edit(&object, path, op, Unlock::ProbeFailure, basis))
            .collect();
        let words = Words {
            play: "probe",
            title: title.to_owned(),
            diagnosis: facts,
            reason: reason.to_owned(),
            after_merge: after_merge(&object),
        };
        proposal(words, edits)
    }

    fn port(&self) -> Option<(&'static str, Value)> {
        ["httpGet", "tcpSocket", "grpc"]
            .into_iter()
            .find_map(|h| Some((h, self.probe.get(h)?.get("port")?.clone())))
    }

    fn ports(&self) -> impl Iterator<Item = &Value> {
        self.subject.container.list("ports").iter()
    }

    fn only_port(&self) -> Option<Value> {
        let tcp = |p: &&Value| {
            p.get("protocol")
                .and_then(Value::as_str)
                .is_none_or(|p| p == "TCP")
        };
        let mut all = self
            .ports()
            .filter(tcp)
            .filter_map(|p| p.get("containerPort"));
        let first = all.next()?;
        all.next().is_none().then(|| first.clone())
    }

    fn declares(&self, port: &Value) -> bool {
        self.ports()
            .any(|p| p.get("containerPort") == Some(port) || p.get("name") == Some(port))
    }

    fn same_port(&self, a: &Value, b: &Value) -> bool {
        let number = |v: &Value| -> Option<Value> {
            if v.is_number() {
                return Some(v.clone());
            }
            self.ports()
                .find(|p| p.get("name") == Some(v))?
                .get("containerPort")
                .cloned()
        };
        a == b || (number(a).is_some() && number(a) == number(b))
    }

    fn is_refused(&self) -> bool {
        self.saw.contains("connection refused")
    }
}

/// The path of an HTTP check.
fn http_path(probe: &Value) -> Option<&str> {
    let get = probe.get("httpGet")?;
    Some(get.get("path").and_then(Value::as_str).unwrap_or("/"))
}

/// The ports on which a program says that it listens.
fn listening(log: &str) -> Vec<i64> {
    let mut out: Vec<i64> = Vec::new();
    for line in log.lines().filter(|l| l.len() < 4_000) {
        let port = LISTENS
            .captures(line)
            .and_then(|c| c.get(1)?.as_str().parse().ok());
        out.extend(port.filter(|p| !out.contains(p)));
    }
    out
}

static LISTENS: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"(?i)\b(?:listen(?:ing|s)?|serving|started|running)\b[^\n]{0,80}?(?:\bport(?:\(s\))?[ =:]{1,3}|:)(\d{2,5})\b")
        .expect("a literal pattern compiles")
});

fn exits_nonzero(command: &str) -> bool {
    let mut words = command.rsplit(' ');
    let code = words
        .next()
        .and_then(|c| c.trim_matches(['"', '\'']).parse::<i64>().ok());
    code.is_some_and(|c| c != 0)
        && words
            .next()
            .is_some_and(|w| w.trim_matches(['"', '\'']) == "exit")
}

/// Whether an access log has a request for exactly this path that was answered with 200.
fn answers(log: &str, path: &str) -> bool {
    let request = format!("GET {path} ");
    log.lines().any(|l| {
        l.split_once(&request).is_some_and(|(_, rest)| {
            rest.split('"')
                .nth(1)
                .unwrap_or(rest)
                .split_whitespace()
                .any(|w| w == "200")
        })
    })
}

/// How long the program needs to listen, as its log says it: `started in 42.1 seconds`.
fn start_seconds(case: &Case<'_>) -> Option<i64> {
    let log = case.finding.fact(fact::LOG_TAIL)?;
    let line = log.lines().rev().find(|l| {
        let l = l.to_ascii_lowercase();
        l.contains("started") && l.contains(" in ") && l.contains("second")
    })?;
    let (_, rest) = line.rsplit_once(" in ")?;
    let number: String = rest
        .chars()
        .take_while(|c| c.is_ascii_digit() || *c == '.')
        .collect();
    let whole: i64 = number.split('.').next()?.parse().ok()?;
    (1..=300).contains(&whole).then_some(whole)
}

#[cfg(test)]
mod tests;
