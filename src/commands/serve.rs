//! `kubemend serve`: webhooks and sweeps, for as long as it runs.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use secrecy::SecretString;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

use crate::case::Answers;
use crate::cli::Serve;
use crate::commands::Failure;
use crate::commands::forge;
use crate::commands::pass::{MANIFESTS, Pass};
use crate::commands::proposer::{self, Chosen};
use crate::commands::session::Session;
use crate::config::Config;
use crate::cycle::{Analysis, Report, Work};
use crate::dump;
use crate::forge::RepositoryFacts;
use crate::forge::marker::Key;
use crate::github::{self, Credentials, Endpoint, GitHub, Transport};
use crate::metrics::Metrics;
use crate::repo::gateway::{self, Gateway, Upstream};
use crate::repo::mirror::{self, Mirror};
use crate::repo::{Checkout, RepoError};
use crate::serve::{self, Failed, Pending, Place, Runner, Secrets, Settings, worker};
use crate::snapshot::Snapshot;
use crate::terminal;

/// How long the forge may be silent during a fetch.
const SILENCE: Duration = Duration::from_secs(30);

pub(super) fn run(args: Box<Serve>) -> Result<u8, Failure> {
    terminal::logs(args.log_format);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|e| Failure::Infrastructure(format!("no runtime: {e}")))?;
    let served = runtime.block_on(listen(*args));
    // what is left (a pass that computes) ends with the process
    runtime.shutdown_background();
    served.map(|()| 0)
}

async fn listen(args: Serve) -> Result<(), Failure> {
    let settings = settings(&args)?;
    let address = args.listen;
    let metrics = Arc::new(Metrics::default());
    let (office, _lock) = Office::open(args, Arc::clone(&metrics))?;
    let stop = stopped()?;
    let listener = TcpListener::bind(address).await;
    let listener = listener.map_err(|e| Failure::Input(format!("--listen {address}: {e}")))?;
    let address = listener.local_addr().unwrap_or(address);
    tracing::info!(%address, webhook = settings.secrets.is_some(), "listening");
    serve::run(listener, settings, Arc::new(office), metrics, stop).await;
    Ok(())
}

fn settings(args: &Serve) -> Result<Settings, Failure> {
    let text = forge::secret("KUBEMEND_WEBHOOK_SECRET", args.webhook_secret_file.as_ref())?;
    let secrets = match (args.poll, text) {
        (Some(_), _) => None,
        (None, Some(text)) => {
            let parsed = Secrets::parse(&text);
            Some(parsed.map_err(|e| Failure::Input(format!("KUBEMEND_WEBHOOK_SECRET: {e}")))?)
        }
        (None, None) => {
            let message = "no webhook secret: set KUBEMEND_WEBHOOK_SECRET or --webhook-secret-file, or use --poll";
            return Err(Failure::Input(message.to_owned()));
        }
    };
    Ok(Settings {
        secrets,
        sweep: args.poll.unwrap_or(args.sweep),
        work: worker::Limits {
            workers: usize::from(args.workers),
            drain: args.drain,
            ..worker::Limits::default()
        },
        ..Settings::default()
    })
}

/// Waits for SIGTERM or SIGINT.
fn stopped() -> Result<impl Future<Output = ()>, Failure> {
    let on = |kind| signal(kind).map_err(|e| Failure::Infrastructure(format!("signals: {e}")));
    let (mut term, mut int) = (on(SignalKind::terminate())?, on(SignalKind::interrupt())?);
    Ok(async move {
        tokio::select! {
            _ = term.recv() => {}
            _ = int.recv() => {}
        }
    })
}

/// What a pass is made with, the same for all repositories.
struct Office {
    args: Serve,
    metrics: Arc<Metrics>,
    transport: Transport,
    /// The repositories that were named; all of the App's when none was.
    names: Vec<String>,
    key: Option<Key>,
    cache: PathBuf,
    server: String,
    me: OnceLock<u64>,
}

impl Office {
    fn open(args: Serve, metrics: Arc<Metrics>) -> Result<(Self, mirror::Lock), Failure> {
        let transport = forge::transport(&args.forge)?;
        let names = forge::repositories(&args.forge)?;
        let cache = cache_folder(args.cache.as_deref())?;
        let lock = mirror::take(&cache)?;
        // what is wrong with the operator's own files is told at once
        if let Some(path) = &args.operator.config {
            Config::load(Some(path), &crate::files::Files::default())?;
        }
        let office = Self {
            key: forge::marker_key(&args.forge)?,
            server: server(&args, &forge::endpoint(&args.forge)),
            transport,
            names,
            cache,
            metrics,
            me: OnceLock::new(),
            args,
        };
        Ok((office, lock))
    }

    async fn all(&self) -> github::Result<Vec<Place>> {
        let me = self.transport.me().await?;
        let _ = self.me.set(me.id);
        let mut places = Vec::new();
        for name in &self.names {
            match GitHub::new(self.transport.clone(), name)?.facts().await {
                Ok(facts) => places.push(place(facts)),
                Err(error) if error.is_outage() => return Err(error),
                Err(error) => tracing::warn!(repository = name, %error, "repository left out"),
            }
        }
        Ok(places)
    }

    async fn one(&self, place: &Place) -> Result<Report, Failed> {
        let github = GitHub::new(self.transport.clone(), &place.full_name)?;
        let facts = github.facts().await?;
        if facts.id != place.id {
            return Err(Failed::Renamed(place.full_name.clone()));
        }
        if facts.archived {
            return Ok(Report::default());
        }
        let pass = self.read(&facts).await?;
        let rules = pass.session.config.pull_requests.clone();
        let now = pass.now;
        let pass = Mutex::new(pass); // a Git repository is for one thread at a time
        let analyse = |answers: &Answers| -> Analysis {
            let pass = pass.lock().unwrap_or_else(PoisonError::into_inner);
            pass.analyse(answers)
        };
        let work = Work {
            github: &github,
            rules: &rules,
            key: self.key.as_ref(),
            now,
            dry_run: self.args.dry_run,
            workflow_token: false,
            analyse: &analyse,
        };
        Ok(pass_over(&work).await)
    }

    /// What the copy of the repository is fetched with.
    async fn token(&self) -> Result<SecretString, Failed> {
        match forge::credentials(&self.args.forge).map_err(input)? {
            Some(Credentials::Token(token)) => Ok(token),
            _ => Err(Failed::Input("no token".to_owned())),
        }
    }

    /// Everything that the run works on: Git as of now, the settings in it, the cluster.
    async fn read(&self, facts: &RepositoryFacts) -> Result<Pass, Failed> {
        let default = &facts.default_branch;
        let mut session = self.session(self.checkout(facts, default).await?)?;
        let base = session.config.pull_requests.base_branch.clone();
        if let Some(base) = base.filter(|b| b != default) {
            // the settings are those of the default branch, the files those of the base
            session.checkout = self.checkout(facts, &base).await?;
        }
        let (snapshot, scope) = self.cluster().await?;
        let chosen = Chosen::from_fix(&self.args.proposer);
        Ok(Pass {
            proposer: proposer::choose(&chosen, &session.config).map_err(input)?,
            session,
            snapshot,
            report: None,
            now: Timestamp::now(),
            namespace: self.args.namespace.clone(),
            scope,
        })
    }

    fn session(&self, checkout: Checkout) -> Result<Session, Failed> {
        let operator = &self.args.operator;
        let (config, renderer) = (operator.config.as_deref(), operator.renderer.as_deref());
        Session::of(checkout, config, renderer).map_err(input)
    }

    async fn cluster(&self) -> Result<(Snapshot, String), Failed> {
        let Some(path) = self.args.snapshot.clone() else {
            return Ok((Snapshot::default(), MANIFESTS.to_owned()));
        };
        let logs = self.args.logs.clone();
        let dump = blocking(move || dump::read(&path, logs.as_deref())).await?;
        let dump = dump.map_err(|e| Failed::Input(e.to_string()))?;
        Ok((dump.snapshot, format!("cluster {}", self.args.cluster)))
    }

    /// The files of a branch, as the forge has them now.
    async fn checkout(&self, facts: &RepositoryFacts, branch: &str) -> Result<Checkout, Failed> {
        let origin = format!("{}/{}.git", self.server, facts.full_name);
        let bounds = mirror::Bounds {
            depth: self.args.history,
            bytes: u64::from(self.args.max_repository) << 20,
            ..mirror::Bounds::default()
        };
        let upstream = Upstream {
            url: origin.clone(),
            token: self.token().await?,
        };
        let door = gateway::Bounds {
            bytes: bounds.bytes,
            time: bounds.time,
            silence: SILENCE,
        };
        let gateway = Gateway::open(upstream, door).await;
        let gateway = gateway.map_err(|e| Failed::Git(e.to_string()))?;
        let folder = mirror::folder(&self.cache, &self.server, facts.id);
        let copy = Mirror::new(folder, &origin, bounds);
        let (branch, url) = (branch.to_owned(), gateway.url().to_owned());
        let updated = blocking(move || copy.update(&branch, &url)).await?;
        self.metrics
            .fetch(if updated.is_ok() { "done" } else { "failed" });
        updated.map_err(|error| match (gateway.trouble(), error) {
            (Some(trouble), _) => Failed::Git(trouble.to_string()),
            (None, mirror::MirrorError::Repository(e @ RepoError::SymlinkEscape { .. })) => {
                Failed::Input(e.to_string())
            }
            (None, error) => Failed::Git(error.to_string()),
        })
    }
}

impl Runner for Office {
    fn repositories(&self) -> Pending<'_, Result<Vec<Place>, github::Error>> {
        Box::pin(self.all())
    }

    fn serves(&self, full_name: &str) -> bool {
        self.names.is_empty() || self.names.iter().any(|n| n.eq_ignore_ascii_case(full_name))
    }

    fn pass(&self, place: Place) -> Pending<'_, Result<Report, Failed>> {
        Box::pin(async move { self.one(&place).await })
    }

    fn redeliver(&self) -> Pending<'_, Result<usize, github::Error>> {
        Box::pin(async { Ok(0) })
    }

    fn me(&self) -> Option<u64> {
        self.me.get().copied()
    }
}

fn place(facts: RepositoryFacts) -> Place {
    Place {
        id: facts.id,
        full_name: facts.full_name,
        installation: None,
    }
}

fn input(failure: Failure) -> Failed {
    Failed::Input(failure.to_string())
}

/// Work that computes or waits for the disk, away from those who answer requests.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Failed> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|e| Failed::Input(format!("internal: {e}")))
}

/// Where repositories are cloned from: the API's host, without what belongs to the API.
fn server(args: &Serve, endpoint: &Endpoint) -> String {
    let given = args.github_server_url.as_deref().map(str::trim);
    let url = match given.filter(|u| !u.is_empty()) {
        Some(url) => url,
        None if endpoint.rest == "https://api.github.com" => "https://github.com",
        None => endpoint
            .rest
            .strip_suffix("/api/v3")
            .unwrap_or(&endpoint.rest),
    };
    url.trim_end_matches('/').to_owned()
}

fn cache_folder(given: Option<&Path>) -> Result<PathBuf, Failure> {
    let named = |variable: &str| std::env::var_os(variable).filter(|v| !v.is_empty());
    let usual = || named("XDG_CACHE_HOME").map(PathBuf::from);
    let home = || named("HOME").map(|home| Path::new(&home).join(".cache"));
    let folder = given.map(Path::to_owned);
    let folder = folder.or_else(|| usual().or_else(home).map(|cache| cache.join("kubemend")));
    folder.ok_or_else(|| Failure::Input("--cache DIR is missing".to_owned()))
}

async fn pass_over(work: &Work<'_>) -> Report {
    let analysis = tokio::task::block_in_place(|| (work.analyse)(&Answers::new()));
    Report {
        notes: analysis.problems,
        ..Report::default()
    }
}
