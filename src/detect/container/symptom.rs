//! What is wrong with one container of one pod.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;

use crate::detect::View;
use crate::detect::container::status::{Ended, Status, seconds_between, time};
use crate::detect::container::text;
use crate::finding::{Class, fact};
use crate::object::{Container, Object, ObjectRef, at, list};
use crate::snapshot::Event;

/// The last line of a log that tells of an error.
fn last_words(log: &str) -> String {
    text::error_lines(log, 1)
        .pop()
        .map_or_else(String::new, |l| format!("; {}", text::one_line(&l, 160)))
}

/// What is wrong with one container of one pod.
#[derive(Debug, Clone)]
pub(super) struct Symptom {
    pub class: Class,
    pub container: Option<String>,
    pub reason: String,
    pub message: String,
    /// One clause for people: `was killed at its memory limit`.
    pub clause: String,
    /// What else must be equal for two symptoms to have the same cause.
    pub detail: String,
    pub related: Vec<ObjectRef>,
    pub facts: BTreeMap<String, String>,
    /// Something still works: the pod is ready, or restarts now and then.
    pub mild: bool,
}

/// A restart counts as recent for this long.
const RECENT: Duration = Duration::from_secs(3_600);

/// Everything wrong with the containers of a pod, init containers first.
pub(super) fn of_pod(view: &View<'_>, pod: &Object) -> Vec<Symptom> {
    let look = Look::new(view, pod);
    let mut out: Vec<Symptom> = Vec::new();
    for container in pod.containers() {
        if let Some(symptom) = look.container(&container) {
            let blocks = container.init;
            out.push(symptom);
            if blocks {
                return out;
            }
        }
    }
    if out.is_empty() {
        out.extend(look.mount().or_else(|| look.sandbox()));
    }
    out
}

/// One pod, with what every check needs.
struct Look<'a> {
    view: &'a View<'a>,
    pod: &'a Object,
    events: Vec<&'a Event>,
}

impl<'a> Look<'a> {
    fn new(view: &'a View<'a>, pod: &'a Object) -> Self {
        let events = view.snapshot.events_for(&pod.reference());
        Self { view, pod, events }
    }

    fn container(&self, container: &Container<'_>) -> Option<Symptom> {
        let status = Status::of(self.pod, container)?;
        let symptom = self
            .waiting(container, &status)
            .or_else(|| self.killed(container, &status))
            .or_else(|| self.crashing(container, &status))
            .or_else(|| self.unhealthy(container, &status))
            .or_else(|| self.endless_init(container, &status))?;
        Some(self.with_facts(symptom, container, &status))
    }

    /// The container waits for something that it does not get.
    fn waiting(&self, container: &Container<'_>, status: &Status<'_>) -> Option<Symptom> {
        let (reason, message) = status.waiting()?;
        match reason {
            "ImagePullBackOff"
            | "ErrImagePull"
            | "InvalidImageName"
            | "ErrImageNeverPull"
            | "ImageInspectError"
            | "RegistryUnavailable" => Some(self.image(container, reason, message)),
            "CreateContainerConfigError"
            | "CreateContainerError"
            | "RunContainerError"
            | "PostStartHookError"
            | "PreStartHookError"
            | "PreCreateHookError" => Some(self.creation(container, reason, message)),
            _ => None,
        }
    }

    fn image(&self, container: &Container<'_>, reason: &str, message: &str) -> Symptom {
        let image = container.str("image").unwrap_or_default();
        let told = self
            .events
            .iter()
            .rev()
            .filter(|e| e.message.contains(image) || is_about(e, container.name))
            .find(|e| {
                e.message.starts_with("Failed to pull image")
                    || e.message.starts_with("Failed to apply default image")
                    || e.reason == "InspectFailed"
            })
            .map_or(message, |e| e.message.as_str());
        let class = text::image_class(reason, &format!("{message} {told}"));
        let why = match class {
            Class::ImagePullNotFound => "does not exist in the registry",
            Class::ImagePullAuth => "may not be pulled (the registry refuses the credentials)",
            Class::ImagePlatform => "does not exist for the platform of the node",
            Class::InvalidImageName => "is not a valid image reference",
            _ => "cannot be pulled",
        };
        Symptom::new(class, container, reason, told)
            .clause(format!("image {image} {why}"))
            .detail(image)
            .fact("image", image)
    }

    fn creation(&self, container: &Container<'_>, reason: &str, message: &str) -> Symptom {
        if let Some(missing) = text::missing(message) {
            return self.missing(Some(container), reason, message, missing);
        }
        if let Some(symptom) = not_started(container, reason, message) {
            return symptom;
        }
        Symptom::new(Class::CreateContainerError, container, reason, message)
            .clause(format!(
                "cannot be created: {}",
                text::one_line(message, 200)
            ))
            .detail(reason)
    }

    fn missing(
        &self,
        container: Option<&Container<'_>>,
        reason: &str,
        message: &str,
        mut missing: text::Missing,
    ) -> Symptom {
        let volume = text::volume(message);
        if missing.name.is_empty()
            && let Some(volume) = &volume
        {
            missing.name = self.source_of(volume, &missing);
        }
        let class = match missing.kind {
            "Secret" => Class::MissingSecret,
            _ => Class::MissingConfig,
        };
        let what = match &missing.key {
            Some(key) => format!("key {key} of {} {}", missing.kind, missing.name),
            None => format!("{} {}", missing.kind, missing.name),
        };
        let place = volume
            .as_ref()
            .map_or_else(String::new, |v| format!(" (volume {v})"));
        let object = ObjectRef::new("v1", missing.kind, self.pod.namespace(), &missing.name);
        let mut symptom = Symptom::bare(class, reason, message)
            .clause(format!("{what}{place} does not exist"))
            .detail(&what)
            .fact(fact::MISSING_KIND, missing.kind)
            .fact(fact::MISSING_NAME, &missing.name);
        symptom.container = container.map(|c| c.name.to_owned());
        symptom.related.push(object);
        if let Some(key) = &missing.key {
            symptom = symptom.fact(fact::MISSING_KEY, key);
        }
        if let Some(volume) = &volume {
            symptom = symptom.fact("volume", volume);
        }
        symptom
    }

    /// The ConfigMap or Secret that a volume takes a key from.
    fn source_of(&self, volume: &str, missing: &text::Missing) -> String {
        let spec = self.pod.list("spec.volumes").iter();
        let volume = spec
            .filter(|v| v.get("name").and_then(Value::as_str) == Some(volume))
            .find_map(|v| {
                let direct = match missing.kind {
                    "Secret" => at(v, "secret.secretName"),
                    _ => at(v, "configMap.name"),
                };
                direct
                    .and_then(Value::as_str)
                    .map(str::to_owned)
                    .or_else(|| projected_source(v, missing))
            });
        volume.unwrap_or_default()
    }

    /// The last run was killed: memory, or a probe.
    fn killed(&self, container: &Container<'_>, status: &Status<'_>) -> Option<Symptom> {
        let ended = status.last_end()?;
        if !self.still_matters(status, &ended) {
            return None;
        }
        let low = text::is_memory_too_low(ended.message);
        if ended.reason == "OOMKilled" || low {
            let limit = container
                .str("resources.limits.memory")
                .unwrap_or("no limit");
            return Some(
                Symptom::new(Class::OOMKilled, container, "OOMKilled", ended.message)
                    .clause(format!("was OOMKilled at its memory limit ({limit})"))
                    .mild(status.ready())
                    .fact("limit", limit),
            );
        }
        // a start that failed and then worked, or one restart by a probe, is history
        if !status.is_down() && status.restarts() < 2 {
            return None;
        }
        if ended.reason == "StartError" || ended.reason == "ContainerCannotRun" {
            if !status.is_down() {
                return None;
            }
            return not_started(container, ended.reason, ended.message);
        }
        self.probe_kill(container, status, &ended)
    }

    fn probe_kill(
        &self,
        container: &Container<'_>,
        status: &Status<'_>,
        ended: &Ended<'_>,
    ) -> Option<Symptom> {
        let kill = self
            .events
            .iter()
            .rev()
            .filter(|e| e.reason == "Killing" && is_about(e, container.name))
            .find_map(|e| Some((text::killed_by(&e.message)?, e.last)))?;
        let (kind, when) = kill;
        // a kill long before the end has nothing to do with it
        if let (Some(when), Some(end)) = (when, ended.finished)
            && seconds_between(when, end).is_some_and(|s| s > 300)
        {
            return None;
        }
        Some(self.probe(container, status, kind))
    }

    /// The container exits again and again by itself.
    fn crashing(&self, container: &Container<'_>, status: &Status<'_>) -> Option<Symptom> {
        let in_loop = status
            .waiting()
            .is_some_and(|(r, _)| r == "CrashLoopBackOff");
        let ended = status.last_end()?;
        let once_more = status.restarts() > 0 && status.now_ended().is_some_and(|e| e.code != 0);
        let of_job = matches!(
            self.view.snapshot.top_owner(self.pod).kind.as_str(),
            "Job" | "CronJob"
        );
        let failed_pod = self.pod.str("status.phase") == Some("Failed")
            && status.now_ended().is_some_and(|e| e.code != 0);
        // the Job itself says when it gives up; only what is telling counts here
        if of_job && failed_pod && !matches!(ended.code, 126 | 127) {
            let log = self.log(container.name);
            if !text::is_foreign_binary(&log) {
                return None;
            }
        }
        if !(in_loop || once_more || failed_pod) {
            return None;
        }
        let log = self.log(container.name);
        if text::is_foreign_binary(&log) || text::is_foreign_binary(ended.message) {
            let image = container.str("image").unwrap_or_default();
            return Some(
                Symptom::new(
                    Class::ImagePlatform,
                    container,
                    "exec format error",
                    ended.message,
                )
                .clause(format!(
                    "image {image} is built for another platform (exec format error)"
                ))
                .detail(image)
                .fact("image", image),
            );
        }
        if matches!(ended.code, 126 | 127) {
            let line = text::error_lines(&log, 1).pop().unwrap_or_default();
            return Some(
                Symptom::new(Class::RunContainerError, container, ended.reason, &line)
                    .clause(format!(
                        "exits with code {} ({}): {line}",
                        ended.code,
                        exit_meaning(ended.code)
                    ))
                    .detail("command"),
            );
        }
        let class = if container.init {
            Class::InitContainerFailing
        } else {
            Class::CrashLoopBackOff
        };
        let how = match ended.code {
            0 => "ends at once with exit code 0".to_owned(),
            code => format!("exits with code {code}{}", meaning(code)),
        };
        let reason = if in_loop {
            "CrashLoopBackOff"
        } else {
            ended.reason
        };
        Some(
            Symptom::new(class, container, reason, ended.message)
                .clause(format!("{how}, again and again{}", last_words(&log)))
                .mild(status.ready()),
        )
    }

    /// A probe fails now.
    fn unhealthy(&self, container: &Container<'_>, status: &Status<'_>) -> Option<Symptom> {
        let started = status.running_since()?;
        if container.init && container.str("restartPolicy") != Some("Always") {
            return None;
        }
        let age = seconds_between(started, self.view.now).unwrap_or(0);
        let grace = self.view.grace.as_secs();
        for kind in ["Startup", "Liveness", "Readiness"] {
            let Some(probe) = container.get(probe_field(kind)) else {
                continue;
            };
            let blocks = match kind {
                "Startup" => !status.flag("started"),
                "Readiness" => !status.ready() && status.flag("started"),
                _ => false,
            };
            let fails = self.fails_now(container.name, kind, probe);
            if (blocks && age > grace) || (kind == "Liveness" && fails && age > grace) {
                return Some(self.probe(container, status, kind));
            }
        }
        None
    }

    /// Whether the newest `Unhealthy` event of a probe is no older than a few periods, and not a single slip.
    fn fails_now(&self, container: &str, kind: &str, probe: &Value) -> bool {
        let period = probe
            .get("periodSeconds")
            .and_then(Value::as_u64)
            .unwrap_or(10);
        let window = period.saturating_mul(4).clamp(60, 1_200);
        self.events
            .iter()
            .rev()
            .filter(|e| is_about(e, container) && e.count >= 3)
            .find(|e| text::probe(&e.message).is_some_and(|(k, _)| k == kind))
            .and_then(|e| seconds_between(e.last?, self.view.now))
            .is_some_and(|age| age <= window)
    }

    fn probe(&self, container: &Container<'_>, status: &Status<'_>, kind: &str) -> Symptom {
        let class = match kind {
            "Startup" => Class::StartupProbeFailing,
            "Liveness" => Class::LivenessProbeFailing,
            _ => Class::ReadinessProbeFailing,
        };
        let told = self
            .events
            .iter()
            .rev()
            .filter(|e| is_about(e, container.name))
            .find(|e| text::probe(&e.message).is_some_and(|(k, _)| k == kind));
        let seen = told
            .and_then(|e| text::probe(&e.message))
            .map_or("", |(_, seen)| seen);
        let count = told.map_or(0, |e| e.count);
        let what = if seen.is_empty() { "" } else { ": " };
        let field = probe_field(kind);
        let kills = if kind == "Readiness" || status.restarts() == 0 {
            ""
        } else {
            " and restarts the container"
        };
        Symptom::new(
            class,
            container,
            "Unhealthy",
            told.map_or("", |e| &e.message),
        )
        .clause(format!(
            "its {field} fails{kills}{what}{}",
            text::one_line(seen, 200)
        ))
        .detail(kind)
        .mild(kind == "Liveness" && status.ready() && status.restarts() == 0)
        .fact("probe", field)
        .fact("probeSaw", seen)
        .fact("probeFailures", count.to_string())
    }

    /// An init container that runs far longer than a start may take.
    fn endless_init(&self, container: &Container<'_>, status: &Status<'_>) -> Option<Symptom> {
        if !container.init || container.str("restartPolicy") == Some("Always") {
            return None;
        }
        let seconds = seconds_between(status.running_since()?, self.view.now)?;
        if seconds <= self.view.grace.as_secs().max(300) {
            return None;
        }
        Some(
            Symptom::new(Class::InitContainerFailing, container, "Running", "")
                .clause(format!(
                    "is an init container that does not end: it has run for {} minutes, and the containers behind it wait",
                    seconds / 60
                ))
                .detail("endless")
                .fact("endless", seconds.to_string()),
        )
    }

    /// A volume cannot be mounted, so no container starts.
    fn mount(&self) -> Option<Symptom> {
        if !self.waits_for_start() {
            return None;
        }
        let attaches = |e: &&Event| e.reason == "FailedAttachVolume" && self.is_of_this_wait(e);
        if self.events.iter().copied().any(|e| attaches(&e)) {
            return None; // the attachment itself is the finding
        }
        let mut mounts = self
            .events
            .iter()
            .rev()
            .filter(|e| e.reason == "FailedMount" && self.is_of_this_wait(e));
        let specific = mounts.clone().find(|e| e.message.contains("MountVolume"));
        let event = specific.or_else(|| mounts.next())?;
        if event.message.contains("persistentvolumeclaim") {
            return None; // the claim itself is the finding
        }
        match text::missing(&event.message) {
            Some(missing) => Some(self.missing(None, "FailedMount", &event.message, missing)),
            None => Some(volume_symptom(event)),
        }
    }

    /// The pod's sandbox (network, runtime) cannot be made.
    fn sandbox(&self) -> Option<Symptom> {
        if !self.waits_for_start() {
            return None;
        }
        let mut events = self.events.iter().rev();
        let event =
            events.find(|e| e.reason == "FailedCreatePodSandBox" && self.is_of_this_wait(e))?;
        Some(
            Symptom::bare(Class::CreateContainerError, &event.reason, &event.message)
                .clause(format!(
                    "its sandbox cannot be made: {}",
                    text::one_line(&event.message, 200)
                ))
                .detail("sandbox"),
        )
    }

    /// Scheduled, older than the grace period, and no container has started yet.
    fn waits_for_start(&self) -> bool {
        let statuses = ["status.initContainerStatuses", "status.containerStatuses"]
            .iter()
            .flat_map(|f| self.pod.list(f));
        let none_runs = statuses.into_iter().all(|s| {
            let waiting = at(s, "state.waiting.reason").and_then(Value::as_str);
            matches!(waiting, Some("ContainerCreating" | "PodInitializing"))
                || waiting.is_none() && at(s, "state").is_none()
        });
        let phase = self.pod.str("status.phase").unwrap_or("Pending");
        phase == "Pending" && none_runs && self.pod.str("spec.nodeName").is_some() && self.is_old()
    }

    fn is_old(&self) -> bool {
        let start = time(self.pod.get("status.startTime"))
            .or_else(|| time(self.pod.get("metadata.creationTimestamp")));
        start
            .and_then(|t| seconds_between(t, self.view.now))
            .is_none_or(|age| age > self.view.grace.as_secs())
    }

    fn is_of_this_wait(&self, event: &Event) -> bool {
        let age = event.last.and_then(|t| seconds_between(t, self.view.now));
        age.is_none_or(|age| age <= RECENT.as_secs())
    }

    /// Whether an ended run still tells of the present: the container is down, or it ended lately
    /// and not only once.
    fn still_matters(&self, status: &Status<'_>, ended: &Ended<'_>) -> bool {
        if status.is_down() {
            return true;
        }
        let age = ended
            .finished
            .and_then(|t| seconds_between(t, self.view.now))
            .unwrap_or(0);
        let often = status.restarts() >= 3 && age <= RECENT.as_secs().saturating_mul(24);
        age <= RECENT.as_secs() || often
    }

    fn log(&self, container: &str) -> String {
        logs(self.view, self.pod, container)
    }

    fn with_facts(&self, mut s: Symptom, c: &Container<'_>, status: &Status<'_>) -> Symptom {
        s = s.fact(fact::RESTARTS, status.restarts().to_string());
        s = s.fact("init", c.init.to_string());
        if let Some(ended) = status.last_end() {
            s = s.fact(fact::EXIT_CODE, ended.code.to_string());
            s = s.fact("terminationReason", ended.reason);
            if let Some(seconds) = ended.seconds() {
                s = s.fact(fact::RUN_SECONDS, seconds.to_string());
            }
        }
        let log = self.log(c.name);
        if !log.is_empty() {
            s = s.fact(fact::LOG_TAIL, text::tail(&log, 20));
        }
        s
    }
}

/// The log of the run that failed: the previous one where there is one, else the current one.
pub(super) fn logs(view: &View<'_>, pod: &Object, container: &str) -> String {
    let namespace = pod.namespace().unwrap_or_default();
    let log = |previous| {
        view.snapshot
            .log(namespace, pod.name(), container, previous)
    };
    let log = log(true)
        .filter(|l| !l.trim().is_empty())
        .or_else(|| log(false));
    log.unwrap_or_default().to_owned()
}

fn projected_source(volume: &Value, missing: &text::Missing) -> Option<String> {
    let field = if missing.kind == "Secret" {
        "secret"
    } else {
        "configMap"
    };
    list(volume, "projected.sources").iter().find_map(|s| {
        let source = s.get(field)?;
        let wants = list(source, "items")
            .iter()
            .any(|i| i.get("key").and_then(Value::as_str) == missing.key.as_deref());
        wants.then(|| {
            source
                .get("name")
                .and_then(Value::as_str)
                .map(str::to_owned)
        })?
    })
}

fn volume_symptom(event: &Event) -> Symptom {
    let volume = text::volume(&event.message).unwrap_or_default();
    let name = if volume.is_empty() {
        "a volume".to_owned()
    } else {
        format!("volume {volume}")
    };
    Symptom::bare(Class::FailedMount, &event.reason, &event.message)
        .clause(format!(
            "{name} cannot be mounted: {}",
            text::one_line(&event.message, 240)
        ))
        .detail(&volume)
        .fact("volume", &volume)
}

/// The command cannot be started, by the runtime's own words.
fn not_started(container: &Container<'_>, reason: &str, message: &str) -> Option<Symptom> {
    if text::is_foreign_binary(message) {
        let image = container.str("image").unwrap_or_default();
        return Some(
            Symptom::new(Class::ImagePlatform, container, reason, message)
                .clause(format!(
                    "image {image} is built for another platform (exec format error)"
                ))
                .detail(image)
                .fact("image", image),
        );
    }
    if text::is_memory_too_low(message) {
        let limit = container
            .str("resources.limits.memory")
            .unwrap_or("no limit");
        return Some(
            Symptom::new(Class::OOMKilled, container, reason, message)
                .clause(format!(
                    "was OOMKilled before it could start (limit {limit})"
                ))
                .fact("limit", limit),
        );
    }
    let command = text::bad_exec(message);
    if command.is_none()
        && !matches!(
            reason,
            "RunContainerError" | "StartError" | "ContainerCannotRun"
        )
    {
        return None;
    }
    let command = command.unwrap_or_default();
    let what = if command.is_empty() {
        String::new()
    } else {
        format!(" {command:?}")
    };
    Some(
        Symptom::new(Class::RunContainerError, container, reason, message)
            .clause(format!(
                "its command{what} cannot be started: {}",
                runtime_cause(message)
            ))
            .detail(&command)
            .fact("executable", &command),
    )
}

/// The end of a nested runtime message, where the cause is.
fn runtime_cause(message: &str) -> String {
    let message = message.trim_end_matches(": unknown");
    let from = message
        .rfind("exec: ")
        .or_else(|| message.rfind("unable to start container process"))
        .unwrap_or(0);
    text::one_line(message.get(from..).unwrap_or(message), 240)
}

fn exit_meaning(code: i64) -> &'static str {
    if code == 126 {
        "found but not executable"
    } else {
        "command not found"
    }
}

fn meaning(code: i64) -> &'static str {
    match code {
        137 => " (SIGKILL)",
        139 => " (segmentation fault)",
        143 => " (SIGTERM)",
        134 => " (abort)",
        _ => "",
    }
}

/// `livenessProbe` for `Liveness`.
pub(super) fn probe_field(kind: &str) -> &'static str {
    match kind {
        "Startup" => "startupProbe",
        "Liveness" => "livenessProbe",
        _ => "readinessProbe",
    }
}

/// An event about a container names it in its field path or in its text; one without a field path
/// is about all.
fn is_about(event: &Event, container: &str) -> bool {
    event
        .field_path
        .as_ref()
        .is_none_or(|p| p.ends_with(&format!("{{{container}}}")))
}

impl Symptom {
    fn new(class: Class, container: &Container<'_>, reason: &str, message: &str) -> Self {
        let mut symptom = Self::bare(class, reason, message);
        symptom.container = Some(container.name.to_owned());
        symptom
    }

    pub(super) fn bare(class: Class, reason: &str, message: &str) -> Self {
        Self {
            class,
            container: None,
            reason: reason.to_owned(),
            message: text::one_line(message, 1_000),
            clause: String::new(),
            detail: String::new(),
            related: Vec::new(),
            facts: BTreeMap::new(),
            mild: false,
        }
    }

    pub(super) fn clause(mut self, clause: impl Into<String>) -> Self {
        self.clause = clause.into();
        self
    }

    fn detail(mut self, detail: &str) -> Self {
        detail.clone_into(&mut self.detail);
        self
    }

    fn mild(mut self, mild: bool) -> Self {
        self.mild = mild;
        self
    }

    pub(super) fn fact(mut self, name: &str, value: impl Into<String>) -> Self {
        self.facts.insert(name.to_owned(), value.into());
        self
    }
}
