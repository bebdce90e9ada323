//! kubemend against real clusters: etcd, API server, controllers and scheduler as built by
//! `tools/control-plane/build`, with simulated kubelets, on loopback. What is not built is reported
//! as skipped, by name; a run that must have it says so in `REQUIRE_ASSETS=cluster,flux,argo`.
//!
//! `cargo test --test cluster -- serve [flux] [argo] [--pods N]` starts a cluster for a look by hand;
//! `cargo test --test cluster -- plant [argo] [--seed N] [--plants N]` plants faults and prints what became of them;
//! `cargo test --test cluster -- soak [--minutes N] [--pods N]` lets kubemend work for so long and prints what it takes.
#![allow(
    unreachable_pub,
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test binary; what is missing is part of its result"
)]

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::{Arc, OnceLock};

use libtest_mimic::{Arguments, Failed, Trial};

mod argo;
#[path = "../github/assets.rs"]
mod assets;
#[path = "../github/child.rs"]
mod child;
mod delivered;
mod disks;
mod engines;
mod faults;
mod filler;
mod flux;
#[allow(dead_code, reason = "shared with the tests of the server")]
#[path = "../serve/git_server.rs"]
mod git_server;
mod helm;
#[allow(dead_code, reason = "shared with the tests of GitHub")]
#[path = "../github/hook.rs"]
mod hook;
mod kills;
mod kubectl;
mod kubelet;
mod outages;
mod plane;
mod plant;
mod presence;
mod process;
mod registry;
#[allow(dead_code, reason = "shared with the tests of the server")]
#[path = "../integration/serve_stub.rs"]
mod serve_stub;
#[path = "../github/server.rs"]
mod server;
#[allow(dead_code, reason = "shared with the tests of GitHub")]
#[path = "../github/shim.rs"]
mod shim;
mod shipped;
mod shop;
mod soak;
mod stage;
mod stages;
#[path = "../support/mod.rs"]
mod support;
#[path = "../github/truth.rs"]
mod truth;
mod two;
#[path = "../github/upstream.rs"]
mod upstream;
mod watch;
mod whole;

use plane::{Extras, Plane};

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match words.split_first() {
        Some((mode, rest)) if mode == "serve" => return serve(rest),
        Some((mode, rest)) if mode == "plant" => return plant(rest),
        Some((mode, rest)) if mode == "soak" => return soak(rest),
        _ => {}
    }
    let arguments = Arguments::from_args();
    let assets = Assets::find();
    if let Some(reason) = assets.lacks_what_is_required() {
        println!("REQUIRE_ASSETS asks for what is missing: {reason}");
        return ExitCode::FAILURE;
    }
    let cluster = Arc::new(Cluster {
        assets,
        plane: OnceLock::new(),
    });
    let assets = &cluster.assets;
    let mut trials = Vec::new();
    for (name, run) in faults::trials() {
        trials.push(trial(name, &cluster, assets.core(), shared(run)));
    }
    for (name, run) in presence::TRIALS.iter().chain(shipped::TRIALS) {
        trials.push(trial(name, &cluster, assets.core(), shared(run)));
    }
    for (name, run) in flux::TRIALS {
        trials.push(trial(name, &cluster, assets.flux(), shared(run)));
    }
    for (name, engine, run) in whole::TRIALS.iter().chain(helm::TRIALS) {
        let there = match engine {
            stage::Engine::Flux => assets.flux(),
            stage::Engine::Argo => assets.argo(),
        };
        let there = there.and_then(|()| stage::assets().map(drop));
        let run = |plane: &Plane| run(plane, *engine);
        trials.push(trial(name, &cluster, there, shared(run)));
    }
    for (name, run) in plant::TRIALS {
        let there = assets.flux().and_then(|()| stage::assets().map(drop));
        trials.push(trial(name, &cluster, there, shared(run)));
    }
    let both = |cluster: &Cluster| {
        let north = cluster.plane()?;
        let played = two::two_clusters_share_one_pull_request(&cluster.assets, north);
        played.map_err(|e| format!("{e}\n{}", north.tails()))
    };
    let there = assets.flux().and_then(|()| stage::assets().map(drop));
    let name = "two_clusters_share_one_pull_request";
    trials.push(trial(name, &cluster, there, both));
    for (name, run) in argo::TRIALS {
        trials.push(trial(name, &cluster, assets.argo(), shared(run)));
    }
    let outlives = |cluster: &Cluster| watch::outlives_the_api_server(&cluster.assets);
    let name = "the_watch_outlives_the_api_server";
    trials.push(trial(name, &cluster, assets.core(), outlives));
    let outlives = |cluster: &Cluster| outages::the_server_outlives_the_api_server(&cluster.assets);
    let name = "the_server_outlives_the_api_server";
    trials.push(trial(name, &cluster, assets.core(), outlives));
    // the cluster ends with its last holder, here
    libtest_mimic::run(&arguments, trials).exit_code()
}

/// One cluster for almost all trials; each has a namespace of its own.
struct Cluster {
    assets: Assets,
    plane: OnceLock<Result<(Plane, tempfile::TempDir), String>>,
}

impl Cluster {
    fn plane(&self) -> Result<&Plane, String> {
        let started = self.plane.get_or_init(|| {
            let folder = tempfile::tempdir().map_err(|e| e.to_string())?;
            let plane = self.assets.start(folder.path(), self.assets.extras())?;
            Ok((plane, folder))
        });
        started
            .as_ref()
            .map(|(plane, _)| plane)
            .map_err(Clone::clone)
    }
}

/// What runs on the one cluster.
fn shared(run: impl Fn(&Plane) -> Result<(), String>) -> impl Fn(&Cluster) -> Result<(), String> {
    move |cluster| {
        let plane = cluster.plane()?;
        run(plane).map_err(|e| format!("{e}\n{}", plane.tails()))
    }
}

fn trial(
    name: &str,
    cluster: &Arc<Cluster>,
    there: Result<(), String>,
    run: impl Fn(&Cluster) -> Result<(), String> + Send + 'static,
) -> Trial {
    let missing = there.err();
    let shown = match &missing {
        Some(reason) => format!("{name} [missing: {reason}]"),
        None => name.to_owned(),
    };
    let cluster = Arc::clone(cluster);
    let run = move || run(&cluster).map_err(Failed::from);
    Trial::test(shown, run).with_ignored_flag(missing.is_some())
}

/// What is built.
#[derive(Debug, Clone)]
struct Assets {
    bin: PathBuf,
    kubectl: Option<PathBuf>,
}

impl Assets {
    fn find() -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let own = root.join("target/tools/kubectl");
        let kubectl = match own.is_file() {
            true => Some(own),
            false => on_path("kubectl"),
        };
        let given = std::env::var_os("CONTROL_PLANE").map(PathBuf::from);
        Self {
            bin: given.unwrap_or_else(|| root.join("target/control-plane")),
            kubectl,
        }
    }

    fn need(&self, programs: &[&str], group: &str) -> Result<(), String> {
        match programs.iter().find(|p| !self.bin.join(p).is_file()) {
            Some(program) => Err(format!("{program}, run tools/control-plane/build {group}")),
            None => Ok(()),
        }
    }

    fn core(&self) -> Result<(), String> {
        if self.kubectl.is_none() {
            return Err("kubectl, run tools/install-kustomize".to_owned());
        }
        git_server::missing().map_or(Ok(()), |what| Err(what.to_owned()))?;
        let programs = [
            "etcd",
            "kube-apiserver",
            "kube-controller-manager",
            "kube-scheduler",
            "kwok",
        ];
        self.need(&programs, "core")
    }

    fn flux(&self) -> Result<(), String> {
        self.core()?;
        let programs = [
            "source-controller",
            "kustomize-controller",
            "helm-controller",
        ];
        self.need(&programs, "flux")
    }

    fn argo(&self) -> Result<(), String> {
        self.core()?;
        if engines::redis_server().is_none() {
            return Err("redis-server".to_owned());
        }
        self.need(&["argocd"], "argo")?;
        self.need(&["helm", "kustomize"], "tools")
    }

    fn extras(&self) -> Extras {
        Extras {
            flux: self.flux().is_ok(),
            argo: self.argo().is_ok(),
        }
    }

    fn lacks_what_is_required(&self) -> Option<String> {
        let wanted = std::env::var("REQUIRE_ASSETS").unwrap_or_default();
        wanted.split(',').find_map(|asset| match asset.trim() {
            "cluster" => self.core().err(),
            "flux" => self.flux().err(),
            "argo" => self.argo().err(),
            _ => None,
        })
    }

    fn start(&self, folder: &Path, extras: Extras) -> Result<Plane, String> {
        self.core()?;
        let kubectl = self.kubectl.as_deref().ok_or("no kubectl")?;
        Plane::start(&self.bin, kubectl, folder, extras)
    }
}

fn on_path(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|folder| folder.join(program))
        .find(|file| file.is_file())
}

/// Plants faults and prints what became of them.
fn plant(words: &[String]) -> ExitCode {
    ended(plant::Wish::parse(words).and_then(|wish| {
        let extras = Extras {
            flux: wish.engine == stage::Engine::Flux,
            argo: wish.engine == stage::Engine::Argo,
        };
        with_plane(extras, |plane| plant::command(plane, &wish))
    }))
}

/// Lets kubemend work for a long time and prints what it takes.
fn soak(words: &[String]) -> ExitCode {
    ended(soak::Wish::parse(words).and_then(|wish| {
        let extras = Extras {
            flux: true,
            argo: false,
        };
        with_plane(extras, |plane| soak::command(plane, &wish))
    }))
}

/// In a cluster of its own.
fn with_plane<T>(
    extras: Extras,
    run: impl FnOnce(&Plane) -> Result<T, String>,
) -> Result<T, String> {
    let folder = tempfile::tempdir().map_err(|e| e.to_string())?;
    let plane = Assets::find().start(folder.path(), extras)?;
    run(&plane)
}

fn ended(result: Result<bool, String>) -> ExitCode {
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(e) => {
            println!("{e}");
            ExitCode::FAILURE
        }
    }
}

/// A cluster for people: runs until Enter is pressed or input ends.
fn serve(words: &[String]) -> ExitCode {
    let mut extras = Extras::default();
    let mut pods = 0;
    let mut words = words.iter().map(String::as_str);
    while let Some(word) = words.next() {
        match word {
            "flux" => extras.flux = true,
            "argo" => extras.argo = true,
            "--pods" => match words.next().and_then(|n| n.parse().ok()) {
                Some(number) => pods = number,
                None => return ended(Err("--pods wants a number".to_owned())),
            },
            other => return ended(Err(format!("{other}: flux, argo, --pods N"))),
        }
    }
    ended(with_plane(extras, |plane| {
        println!("export KUBECONFIG={}", plane.kubectl.config.display());
        if pods > 0 {
            filler::fill(plane, pods)?;
        }
        let folder = plane.kubectl.config.parent().unwrap();
        println!("logs: {}/*.log; Enter ends it", folder.display());
        let _ = std::io::stdin().read_line(&mut String::new());
        Ok(true)
    }))
}
