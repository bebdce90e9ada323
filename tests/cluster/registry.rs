//! What the simulated world can run: which images there are, and how the programs in them behave.
//!
//! Images of `registry.example.com` follow rules:
//!
//! | what | holds when |
//! |---|---|
//! | an image can be pulled | its tag has three numbers |
//! | a program starts | its command lies in `/app/` |
//! | a program ends by itself | the last number of its tag is 13 |
//! | it uses so much memory | [`USES`] says so |
//! | it crashes as long as a Service selects its pod | [`DIES_OF_TRAFFIC`] is there |
//! | it answers a probe | on a declared port, at `/healthz` |
//!
//! All others are known from workloads that are well ([`Registry::learn`]): the image exists, and its
//! program has the commands, answers the probes, wants the environment variables and lives with the
//! memory that it has there. Of each there is one more release, with the last number of its tag raised
//! by one: it ends by itself.

use std::collections::{BTreeMap, BTreeSet};

use kubemend::object::{Container, Object, list};
use kubemend::quantity::Quantity;
use serde_json::Value;

/// The annotation with the MiB of memory that a program uses.
pub const USES: &str = "test.kubemend.dev/uses-mebibytes";
/// The annotation of a program that crashes as long as a Service sends it requests.
pub const DIES_OF_TRAFFIC: &str = "test.kubemend.dev/dies-of-traffic";
const RULED: &str = "registry.example.com/";
/// What a probe may be.
const PROBES: [&str; 3] = ["startupProbe", "livenessProbe", "readinessProbe"];

/// All images that are known from workloads.
#[derive(Debug, Clone, Default)]
pub struct Registry {
    images: BTreeMap<String, Program>,
}

/// A program and what it needs.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Program {
    /// What it can be started with; it always has a way to start without.
    commands: BTreeSet<String>,
    /// Where it listens, and the paths that it serves there.
    answers: BTreeSet<(i64, Option<String>)>,
    /// Checks inside of the container that succeed.
    checks: BTreeSet<String>,
    /// Environment variables that it cannot do without.
    needs: BTreeSet<String>,
    /// Memory: four fifths of the least limit that it lives with.
    uses: Option<Quantity>,
    /// Whether pulling it takes credentials.
    pub is_private: bool,
    /// Whether it ends by itself.
    breaks: bool,
}

impl Registry {
    /// Takes over all that another one knows.
    pub fn add(&mut self, other: &Self) {
        self.images.extend(other.images.clone());
    }

    /// Takes over what a workload says that is well, and what it says is right.
    pub fn learn(&mut self, workload: &Object) {
        let Some(spec) = workload.pod_spec() else {
            return;
        };
        let is_private = !list(spec, "imagePullSecrets").is_empty();
        for container in workload.containers() {
            let Some(image) = container.str("image").filter(|i| !i.starts_with(RULED)) else {
                continue;
            };
            let names = env_names(container.value);
            let program = self.images.entry(image.to_owned());
            let program = program.or_insert_with(|| Program {
                needs: names.clone(),
                is_private,
                ..Program::default()
            });
            program.needs.retain(|n| names.contains(n));
            program.is_private &= is_private;
            program.commands.extend(command(&container));
            for port in list(container.value, "ports") {
                let number = port.get("containerPort").and_then(Value::as_i64);
                program.answers.extend(number.map(|n| (n, None)));
            }
            for probe in PROBES.iter().filter_map(|p| container.get(p)) {
                match Check::of(probe, container.value) {
                    Check::Network(Some(port), path) => {
                        program.answers.extend([(port, None), (port, path)]);
                    }
                    Check::Inside(words) => {
                        program.checks.insert(words);
                    }
                    Check::Network(None, _) => {}
                }
            }
            let most = limit(&container).and_then(|l| l.times(4).div_floor(5));
            let uses = [program.uses, most];
            program.uses = uses.into_iter().flatten().min();
        }
    }

    /// The program in an image; none where there is no such image.
    fn program(&self, image: &str) -> Option<Program> {
        if let Some(program) = self.images.get(image) {
            return Some(program.clone());
        }
        let earlier = self
            .images
            .iter()
            .find(|(known, _)| next(known).as_deref() == Some(image));
        earlier.map(|(_, program)| Program {
            breaks: true,
            ..program.clone()
        })
    }

    /// The release after this one, which there is, and which ends by itself.
    pub fn next(&self, image: &str) -> Option<String> {
        let next = next(image)?;
        let is_broken = self.program(&next)?.breaks;
        is_broken.then_some(next)
    }

    /// The memory that the program of an image uses.
    pub fn uses(&self, image: &str) -> Option<Quantity> {
        self.images.get(image)?.uses
    }

    /// Whether the program of an image cannot do without an environment variable.
    pub fn needs(&self, image: &str, variable: &str) -> bool {
        let program = self.images.get(image);
        program.is_some_and(|p| p.needs.contains(variable))
    }

    /// Whether there is such an image.
    pub fn has(&self, image: &str) -> bool {
        self.pull(image).is_some()
    }

    /// How an image behaves in a pod.
    pub fn pull(&self, image: &str) -> Option<Running> {
        match image.starts_with(RULED) {
            true => Running::by_rules(image),
            false => self.program(image).map(Running::Known),
        }
    }
}

/// A program that can be started.
pub enum Running {
    /// By the rules of the registry.
    Ruled { breaks: bool },
    /// As it is known.
    Known(Program),
}

impl Running {
    fn by_rules(image: &str) -> Option<Self> {
        let (_, tag) = image.rsplit_once(':')?;
        let numbers: Vec<&str> = tag.split('.').collect();
        let is_number = |n: &str| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit());
        let exists = numbers.len() == 3 && numbers.iter().all(|n| is_number(n));
        exists.then(|| Self::Ruled {
            breaks: numbers.last() == Some(&"13"),
        })
    }

    pub fn is_private(&self) -> bool {
        matches!(self, Self::Known(program) if program.is_private)
    }

    /// Whether the command of a container can be started.
    pub fn starts(&self, container: &Container<'_>) -> bool {
        let Some(command) = command(container) else {
            return true;
        };
        match self {
            Self::Ruled { .. } => command.starts_with("/app/"),
            Self::Known(program) => program.commands.contains(&command),
        }
    }

    /// Whether it ends by itself in a container.
    pub fn ends(&self, container: &Container<'_>) -> bool {
        match self {
            Self::Ruled { breaks } => *breaks,
            Self::Known(program) => {
                let names = env_names(container.value);
                program.breaks || program.needs.iter().any(|n| !names.contains(n))
            }
        }
    }

    /// Whether it uses more memory than it may.
    pub fn is_too_big(&self, container: &Container<'_>, pod: &Object) -> bool {
        let limit = limit(container);
        let uses = match self {
            Self::Ruled { .. } => {
                let mebi = pod.annotation(USES).and_then(|u| u.parse().ok());
                mebi.map(Quantity::mebi)
            }
            Self::Known(program) => program.uses,
        };
        limit.zip(uses).is_some_and(|(limit, uses)| uses > limit)
    }

    /// What a probe sees; none if it succeeds.
    pub fn refuses(&self, probe: &Value, container: &Container<'_>) -> Option<String> {
        let check = Check::of(probe, container.value);
        let (port, path) = match check {
            Check::Inside(words) => {
                let fails = matches!(self, Self::Known(p) if !p.checks.contains(&words));
                return fails.then(|| "command failed".to_owned());
            }
            Check::Network(None, _) => return Some("no such port".to_owned()),
            Check::Network(Some(port), path) => (port, path),
        };
        let ports = list(container.value, "ports").iter();
        let declared = ports.filter_map(|p| p.get("containerPort")?.as_i64());
        let (listens, serves) = match self {
            Self::Ruled { .. } => {
                let path = path.as_deref();
                (
                    declared.into_iter().any(|d| d == port),
                    path.is_none_or(|p| p == "/healthz"),
                )
            }
            Self::Known(program) => (
                program.answers.contains(&(port, None)),
                program.answers.contains(&(port, path)),
            ),
        };
        match (listens, serves) {
            (true, true) => None,
            (true, false) => Some("HTTP probe failed with statuscode: 404".to_owned()),
            (false, _) => Some(format!(
                "dial tcp 10.1.0.9:{port}: connect: connection refused"
            )),
        }
    }
}

/// What a probe does.
enum Check {
    /// Asks a port (none where its name means nothing) for a path.
    Network(Option<i64>, Option<String>),
    /// Runs a command.
    Inside(String),
}

impl Check {
    fn of(probe: &Value, container: &Value) -> Self {
        let words = list(probe, "exec.command");
        if !words.is_empty() {
            let words: Vec<&str> = words.iter().filter_map(Value::as_str).collect();
            return Self::Inside(words.join(" "));
        }
        let handlers = ["httpGet", "tcpSocket", "grpc"];
        let handler = handlers.iter().find_map(|h| probe.get(*h));
        let handler = handler.unwrap_or(&Value::Null);
        let port = handler.get("port").and_then(|p| number_of(p, container));
        let path = probe.get("httpGet").map(|h| {
            let path = h.get("path").and_then(Value::as_str);
            path.unwrap_or("/").to_owned()
        });
        Self::Network(port, path)
    }
}

fn number_of(port: &Value, container: &Value) -> Option<i64> {
    let name = match port {
        Value::String(name) => name,
        number => return number.as_i64(),
    };
    let mut ports = list(container, "ports").iter();
    let named = ports.find(|p| p.get("name").and_then(Value::as_str) == Some(name));
    let declared = named.and_then(|p| p.get("containerPort")?.as_i64());
    declared.or_else(|| name.parse().ok())
}

/// The first word that starts a container, where the manifest says one.
fn command(container: &Container<'_>) -> Option<String> {
    let first = container.list("command").first()?;
    first.as_str().map(str::to_owned)
}

fn env_names(container: &Value) -> BTreeSet<String> {
    let all = list(container, "env").iter();
    all.filter_map(|e| Some(e.get("name")?.as_str()?.to_owned()))
        .collect()
}

/// The memory limit of a container.
fn limit(container: &Container<'_>) -> Option<Quantity> {
    container
        .get("resources.limits.memory")
        .and_then(Quantity::of)
}

/// The tag with its last number raised by one.
fn next(image: &str) -> Option<String> {
    let at = image.rfind(':').filter(|_| !image.contains('@'))?;
    let (name, tag) = image.split_at(at + 1);
    if tag.contains('/') {
        return None;
    }
    let end = tag.rfind(|c: char| c.is_ascii_digit())? + 1;
    let start = tag[..end]
        .rfind(|c: char| !c.is_ascii_digit())
        .map_or(0, |i| i + 1);
    let number: u64 = tag[start..end].parse().ok()?;
    Some(format!(
        "{name}{}{}{}",
        &tag[..start],
        number + 1,
        &tag[end..]
    ))
}
