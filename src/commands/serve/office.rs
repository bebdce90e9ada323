//! What stands behind the server: the forge, Git, the cluster's dump, and the pass over one
//! repository.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::sync::watch;
use tracing::Instrument as _;

use crate::case::Answers;
use crate::cli::Serve;
use crate::commands::live::Live;
use crate::commands::pass::{MANIFESTS, Pass, Rendered};
use crate::commands::proposer::{self, Chosen};
use crate::commands::serve::presence::Presence;
use crate::commands::session::Session;
use crate::commands::{Failure, forge};
use crate::config::{Config, ConfigError, Loaded, Overrides, Rules};
use crate::cycle::{self, Analysis, Report, Work};
use crate::dump;
use crate::files::Files;
use crate::forge::RepositoryFacts;
use crate::forge::marker::Key;
use crate::github::{self, Credentials, GitHub, NewFiles, Observer, Transport};
use crate::metrics::Metrics;
use crate::phase::Phase;
use crate::remediation;
use crate::repo::gateway::{self, Gateway, Upstream};
use crate::repo::mirror::{self, Mirror, MirrorError};
use crate::repo::{Checkout, RepoError};
use crate::serve::missed::missed;
use crate::serve::seen::Seen;
use crate::serve::{Failed, Pending, Place, Runner};
use crate::snapshot::Snapshot;
use crate::verify::expect::Expected;
use crate::verify::sight::Merged;

/// How long the forge may be silent during a fetch.
const SILENCE: Duration = Duration::from_secs(30);
/// How far back failed deliveries are asked for again; older news are no news.
const NEWS: SignedDuration = SignedDuration::from_hours(2);

/// What a pass is made with, the same for all repositories.
pub(super) struct Office {
    args: Serve,
    metrics: Arc<Metrics>,
    transport: Transport,
    is_app: bool,
    /// The repositories that were named; all of the App's when none was.
    names: Vec<String>,
    /// The App's installations, each with limits of its own.
    installations: Mutex<BTreeMap<u64, Transport>>,
    asked_again: Mutex<Seen>,
    key: Option<Key>,
    cache: PathBuf,
    server: String,
    me: OnceLock<u64>,
    live: Option<Live>,
    /// Namespaces whose pods decide about merged fixes, by repository: only a hint what to read.
    on_trial: Mutex<BTreeMap<u64, BTreeSet<String>>>,
    presence: Presence,
    _lock: mirror::Lock,
}

/// What a pass knows of the cluster.
struct Situation {
    snapshot: Snapshot,
    now: Timestamp,
    scope: String,
    problems: Vec<String>,
    whole: Option<BTreeSet<String>>,
}

impl Office {
    /// Checks what the operator gave, and reaches for the cluster if there is one. The forge is not
    /// asked yet.
    pub(super) async fn open(args: Serve, metrics: Arc<Metrics>) -> Result<Self, Failure> {
        let endpoint = forge::endpoint(&args.forge);
        let credentials = forge::needed_credentials(&args.forge)?;
        let is_app = matches!(credentials, Credentials::App { .. });
        let names = forge::repositories(&args.forge)?;
        if names.is_empty() && !is_app {
            let message =
                "--github-repo OWNER/NAME is missing; only a GitHub App knows its repositories";
            return Err(Failure::Input(message.to_owned()));
        }
        if let Some(path) = &args.operator.config {
            Config::load(Some(path), &Files::default())?;
        }
        let cache = cache_folder(args.cache.as_deref())?;
        let settings = github::Settings {
            observer: Some(Arc::new(Counting(Arc::clone(&metrics)))),
            ..github::Settings::for_endpoint(&endpoint)
        };
        let mode = match args.dry_run {
            true => github::Mode::Read,
            false => github::Mode::Propose,
        };
        let lock = mirror::take(&cache)?;
        let live = match args.watch {
            true => Some(Live::open(&args.reach, args.failure_age).await?),
            false => None,
        };
        let server = forge::website(args.github_server_url.as_deref(), &endpoint);
        Ok(Self {
            key: forge::marker_key(&args.forge)?,
            presence: Presence::open(&args, live.as_ref().map(Live::cluster), &server)?,
            server,
            transport: Transport::with(endpoint, credentials, settings)?.in_mode(mode),
            _lock: lock,
            installations: Mutex::default(),
            asked_again: Mutex::new(Seen::new(10_000)),
            me: OnceLock::new(),
            on_trial: Mutex::default(),
            live,
            is_app,
            names,
            cache,
            metrics,
            args,
        })
    }

    async fn all(&self) -> github::Result<Vec<Place>> {
        if self.names.is_empty() {
            self.installed().await
        } else {
            self.named().await
        }
    }

    /// Learns our own id, once. Without it our own comments only wake us for nothing.
    async fn learn(&self, transport: &Transport) {
        if self.me.get().is_none()
            && let Ok(me) = transport.me().await
        {
            let _ = self.me.set(me.id);
        }
    }

    async fn named(&self) -> github::Result<Vec<Place>> {
        let mut places = Vec::new();
        for name in &self.names {
            match GitHub::new(self.transport.clone(), name)?.facts().await {
                Ok(facts) => {
                    self.learn(&self.transport.of(&facts.full_name)).await;
                    places.push(place(facts, None));
                }
                Err(error) if error.is_outage() => return Err(error),
                Err(error) => tracing::warn!(repository = name, %error, "repository left out"),
            }
        }
        Ok(places)
    }

    /// All repositories of the App, or of the one installation that was given.
    async fn installed(&self) -> github::Result<Vec<Place>> {
        let only = forge::installation(&self.args.forge).ok().flatten();
        let installations = self.transport.installations().await?;
        let mut places = Vec::new();
        for installation in installations {
            if installation.suspended || only.is_some_and(|id| id != installation.id) {
                continue;
            }
            let transport = self.transport_of(Some(installation.id));
            match transport.repositories().await {
                Ok(all) => {
                    self.learn(&transport).await;
                    let usable = all.into_iter().filter(|r| !r.archived);
                    places.extend(usable.map(|r| place(r, Some(installation.id))));
                }
                Err(error) if error.is_outage() => return Err(error),
                Err(error) => {
                    let account = installation.account;
                    tracing::warn!(account, %error, "installation left out");
                }
            }
        }
        Ok(places)
    }

    fn transport_of(&self, installation: Option<u64>) -> Transport {
        let Some(id) = installation else {
            return self.transport.clone();
        };
        let mut known = lock(&self.installations);
        let new = || self.transport.installation(id);
        known.entry(id).or_insert_with(new).clone()
    }

    async fn again(&self) -> github::Result<usize> {
        if !self.is_app || self.args.poll.is_some() || self.args.dry_run {
            return Ok(0);
        }
        let now = Timestamp::now();
        let all = self.transport.deliveries(now - NEWS).await?;
        let lost = missed(&all, &mut lock(&self.asked_again), now);
        for id in &lost {
            self.transport.redeliver(*id).await?;
        }
        Ok(lost.len())
    }

    async fn one(&self, place: &Place) -> Result<Report, Failed> {
        let transport = self.transport_of(place.installation);
        let github = GitHub::new(transport.clone(), &place.full_name)?;
        let facts = github.facts().await?;
        if facts.id != place.id {
            return Err(Failed::Renamed(place.full_name.clone()));
        }
        if facts.archived {
            return Ok(Report::default());
        }
        let begun = Timestamp::now();
        let bill = self.presence.bill(begun);
        let mut pass = match self
            .read(&transport.of(&facts.full_name), &facts, begun)
            .instrument(Phase::Read.span())
            .await
        {
            Err(Failed::Config(error)) => return Err(self.tell(&github, error).await),
            read => read?,
        };
        let rules = pass.session.config.pull_requests.clone();
        pass.session.checkout.identity = forge::identity_of(&facts, &rules);
        let asks = self.args.onboard || pass.session.config.onboarding;
        let is_new = !pass.session.configured;
        let reads = pass.session.checkout.head.clone().unwrap_or_default();
        let scope = pass.scope.clone();
        let pass = Mutex::new(pass); // a Git repository is for one thread at a time
        let is_live = lock(&pass).is_live();
        let base = rules.base_branch.as_ref().unwrap_or(&facts.default_branch);
        let analyse = |answers: &Answers| -> Analysis {
            let analysis = lock(&pass).analyse(answers);
            bill.add(remediation::spending(&analysis, &facts.full_name, base));
            analysis
        };
        let look = |merged: &Merged<'_>, analysis: &Analysis| lock(&pass).look(merged, analysis);
        let prove = |expects: &[Expected], files: &NewFiles| lock(&pass).prove(expects, files);
        let work = Work {
            github: &github,
            rules: &rules,
            scope: &scope,
            key: self.key.as_ref(),
            now: Timestamp::now(),
            dry_run: self.args.dry_run,
            workflow_token: false,
            reads: &reads,
            analyse: &analyse,
            verify: is_live.then_some(&look),
            prove: Some(&prove),
        };
        let report = match asks && is_new {
            true => cycle::onboard(&work).await,
            false => cycle::run(&work).await,
        };
        lock(&self.on_trial).insert(place.id, report.trials.blind.clone());
        bill.settle(&report.survey).await;
        let config = lock(&pass).session.config.clone();
        self.count_left(&config).await;
        Ok(report)
    }

    /// How often a model, where there is one, may still be asked.
    async fn count_left(&self, config: &Config) {
        if config.model.is_some() || self.args.proposer.model.is_some() {
            let ration = self.presence.ration(config, Timestamp::now()).await;
            self.metrics.model_left(ration.left());
        }
    }

    /// Lets another replica lead at once.
    pub(super) async fn resign(&self) {
        self.presence.resign().await;
    }

    /// Shows on the dashboard that the repository's configuration cannot be used; nothing else is
    /// written. Which branches and limits are ours is unknown then, so the defaults count.
    async fn tell(&self, github: &GitHub, error: ConfigError) -> Failed {
        let work = Work {
            github,
            rules: &Rules::default(),
            scope: "",
            key: self.key.as_ref(),
            now: Timestamp::now(),
            dry_run: self.args.dry_run,
            workflow_token: false,
            reads: "",
            analyse: &|_| Analysis::default(),
            verify: None,
            prove: None,
        };
        let problems = error.to_string().lines().map(str::to_owned).collect();
        match cycle::tell_problems(&work, problems).await {
            Err(outage) if outage.is_outage() => return Failed::Forge(outage),
            Err(refused) => tracing::warn!(%refused, "the dashboard does not show it"),
            Ok(()) => {}
        }
        Failed::Config(error)
    }

    /// Everything that the run works on: Git as of now, the settings in it, the cluster.
    async fn read(
        &self,
        transport: &Transport,
        facts: &RepositoryFacts,
        begun: Timestamp,
    ) -> Result<Pass, Failed> {
        let default = &facts.default_branch;
        let mut session = self.session(self.checkout(transport, facts, default).await?)?;
        let base = session.config.pull_requests.base_branch.clone();
        if let Some(base) = base.filter(|b| b != default) {
            // the settings are those of the default branch, the files those of the base
            session.checkout = self.checkout(transport, facts, &base).await?;
        }
        let situation = self.situation(facts.id).await?;
        let mut chosen = Chosen::from_fix(&self.args.proposer);
        chosen.ration = Some(self.presence.ration(&session.config, begun).await);
        Ok(Pass {
            proposer: proposer::choose(&chosen, &session.config).map_err(input)?,
            session,
            snapshot: situation.snapshot,
            report: None,
            now: situation.now,
            namespace: self.args.namespace.clone(),
            scope: situation.scope,
            unread: situation.problems,
            whole: situation.whole,
            rendered: Rendered::default(),
        })
    }

    fn session(&self, checkout: Checkout) -> Result<Session, Failed> {
        let operator = &self.args.operator;
        let files = &checkout.files;
        let loaded = Loaded::read(operator.config.as_deref(), files, &Overrides::default());
        let loaded = loaded.map_err(|error| match files.get(&error.file) {
            Some(_) => Failed::Config(error),
            None => Failed::Input(error.to_string()), // the operator's, whom the log tells
        })?;
        Session::with(checkout, loaded, operator.renderer.as_deref()).map_err(input)
    }

    /// The cluster: as it is now, as it was dumped last, or nothing.
    async fn situation(&self, repository: u64) -> Result<Situation, Failed> {
        let now = Timestamp::now();
        let scope = format!("cluster {}", self.args.cluster);
        if let Some(live) = &self.live {
            let whole = lock(&self.on_trial).get(&repository).cloned();
            let whole = whole.unwrap_or_default();
            let (reading, now) = live.read(&whole).await.map_err(unread)?;
            for note in &reading.notes {
                tracing::info!(note, "cluster");
            }
            return Ok(Situation {
                snapshot: reading.snapshot,
                now,
                scope,
                problems: reading.problems,
                whole: Some(whole),
            });
        }
        let (snapshot, now, scope) = match self.args.snapshot.clone() {
            None => (Snapshot::default(), now, MANIFESTS.to_owned()),
            Some(path) => {
                let logs = self.args.logs.clone();
                let dump = blocking(move || dump::read(&path, logs.as_deref())).await?;
                let dump = dump.map_err(|e| Failed::Input(e.to_string()))?;
                (dump.snapshot, dump.newest.unwrap_or(now), scope)
            }
        };
        Ok(Situation {
            snapshot,
            now,
            scope,
            problems: Vec::new(),
            whole: None,
        })
    }

    /// The files of a branch, as the forge has them now.
    async fn checkout(
        &self,
        transport: &Transport,
        facts: &RepositoryFacts,
        branch: &str,
    ) -> Result<Checkout, Failed> {
        let origin = format!("{}/{}.git", self.server, facts.full_name);
        let bounds = mirror::Bounds {
            depth: self.args.history,
            bytes: u64::from(self.args.max_repository) << 20,
            ..mirror::Bounds::default()
        };
        let upstream = Upstream {
            url: origin.clone(),
            token: transport.reading_token().await?,
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
            (None, MirrorError::Repository(e @ RepoError::SymlinkEscape { .. })) => {
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
        let is_named = |n: &String| n.eq_ignore_ascii_case(full_name);
        self.names.is_empty() || self.names.iter().any(is_named)
    }

    fn pass(&self, place: Place) -> Pending<'_, Result<Report, Failed>> {
        Box::pin(async move { self.one(&place).await })
    }

    fn redeliver(&self) -> Pending<'_, Result<usize, github::Error>> {
        Box::pin(self.again())
    }

    fn disturbed(&self) -> Pending<'_, ()> {
        let disturbed = async || match &self.live {
            Some(live) => live.disturbed().await,
            None => std::future::pending().await,
        };
        Box::pin(async move {
            tokio::select! {
                () = disturbed() => {}
                () = self.presence.called() => {}
            }
        })
    }

    fn leads(&self) -> watch::Receiver<bool> {
        self.presence.leads()
    }

    fn ring(&self) {
        self.presence.ring();
    }

    fn me(&self) -> Option<u64> {
        self.me.get().copied()
    }
}

/// Counts what is asked of the forge.
struct Counting(Arc<Metrics>);

impl Observer for Counting {
    fn request(&self, method: &str, status: Option<u16>, _took: Duration) {
        self.0.forge_request(method, status);
    }

    fn waited(&self, wait: Duration) {
        self.0.forge_waited(wait.as_secs_f64());
    }

    fn remaining(&self, resource: &str, remaining: u64) {
        self.0.forge_remaining(resource, remaining);
    }
}

fn place(facts: RepositoryFacts, installation: Option<u64>) -> Place {
    Place {
        id: facts.id,
        full_name: facts.full_name,
        installation,
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn unread(error: crate::cluster::ClusterError) -> Failed {
    Failed::Cluster(error.to_string())
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

fn cache_folder(given: Option<&Path>) -> Result<PathBuf, Failure> {
    let named = |variable: &str| std::env::var_os(variable).filter(|v| !v.is_empty());
    let usual = || named("XDG_CACHE_HOME").map(PathBuf::from);
    let home = || named("HOME").map(|home| Path::new(&home).join(".cache"));
    let folder = given.map(Path::to_owned);
    let folder = folder.or_else(|| usual().or_else(home).map(|cache| cache.join("kubemend")));
    folder.ok_or_else(|| Failure::Input("--cache DIR is missing".to_owned()))
}
