//! A GitHub for tests: an HTTP server on loopback that keeps what it is told, behaves as GitHub does
//! where that matters to a pull-request bot, and remembers every request.
//!
//! ```ignore
//! let github = GitHub::start(Seed::new("acme/gitops").file("app.yaml", "a: 1\n")).await;
//! let client = github.client();                       // kubemend's own client, as a machine user
//! github.human("alice").comment(1, "/kubemend rebase");
//! assert_eq!(github.count("POST", "/repos/{owner}/{repo}/pulls"), 1);
//! ```
//!
//! What it does not do: merges look at whole files, not at lines; nobody's rules protect branches;
//! there are no teams, milestones or projects.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use kubemend::github::{Credentials, Endpoint, GitHub as Client, Transport};
use secrecy::SecretString;

pub mod access;
pub mod ask;
pub mod contract;
pub mod faults;
pub mod git;
pub mod human;
pub mod journal;
mod json;
pub mod routes;
pub mod seed;
mod server;
pub mod state;
pub mod wire;

pub use ask::Answered;
pub use faults::{Fault, Gate, Moment, On};
pub use human::Human;
pub use journal::Entry;
pub use seed::Seed;
pub use state::{Comment, Item, Kind, State};

use faults::Faults;
use journal::Journal;

/// The App's private key, for tests only.
pub const APP_KEY: &str = include_str!("app.pem");
/// The App's id.
pub const APP_ID: u64 = 12_345;
/// The App's installation.
pub const INSTALLATION: u64 = 100;
/// A machine user with write access: a personal access token.
pub const MACHINE_TOKEN: &str = "ghp_machine";
/// `GITHUB_TOKEN` of a workflow.
pub const WORKFLOW_TOKEN: &str = "ghs_workflow";
/// An installation token of the App, without the detour over a JWT.
pub const APP_TOKEN: &str = "ghs_installation";

/// State, journal and plans, behind one lock.
pub struct World {
    pub state: State,
    pub journal: Journal,
    pub faults: Faults,
    pub limits: server::Limits,
    pub violations: Vec<String>,
}

/// The running server. Dropping it stops it, and fails the test when a request broke the contract.
pub struct GitHub {
    shared: Arc<server::Shared>,
    task: tokio::task::JoinHandle<()>,
    repo: String,
}

impl GitHub {
    /// Starts on a free port of 127.0.0.1.
    pub async fn start(seed: Seed) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let repo = seed.full_name.clone();
        let shared = Arc::new(server::Shared::new(seed.build(&url)));
        let task = tokio::spawn(server::run(listener, Arc::clone(&shared)));
        Self { shared, task, repo }
    }

    /// The base of the REST API.
    pub fn url(&self) -> String {
        self.world().state.url.clone()
    }

    pub fn world(&self) -> MutexGuard<'_, World> {
        self.shared.world()
    }

    /// `owner/name` of the first repository.
    pub fn repo(&self) -> &str {
        &self.repo
    }

    /// One more repository.
    pub fn add(&self, seed: Seed) {
        seed.add_to(&mut self.world().state);
    }

    // ---- kubemend's side

    pub fn endpoint(&self) -> Endpoint {
        Endpoint::new(&self.url())
    }

    /// The client as a machine user.
    pub fn client(&self) -> Client {
        self.client_with(Credentials::Token(SecretString::from(MACHINE_TOKEN)))
    }

    /// The client as the App.
    pub fn app_client(&self) -> Client {
        self.client_with(self.app_credentials())
    }

    pub fn client_with(&self, credentials: Credentials) -> Client {
        let transport = Transport::new(self.endpoint(), credentials).unwrap();
        Client::new(transport, &self.repo).unwrap()
    }

    pub fn app_credentials(&self) -> Credentials {
        Credentials::App {
            id: APP_ID.to_string(),
            key: SecretString::from(APP_KEY),
            installation: None,
        }
    }

    // ---- people

    /// Acts as somebody; nothing of it is in the journal.
    pub fn human(&self, login: &str) -> Human<'_> {
        Human::new(self, login)
    }

    // ---- time

    pub fn now(&self) -> jiff::Timestamp {
        self.world().state.now
    }

    /// Lets time pass, for what is stored and for limits and tokens.
    pub fn advance(&self, by: Duration) {
        let by = jiff::SignedDuration::try_from(by).unwrap();
        let state = &mut self.world().state;
        state.now = state.now.checked_add(by).unwrap();
        state.moved += by;
    }

    /// Every installation token that was handed out is worth nothing from now on.
    pub fn expire_tokens(&self) {
        let state = &mut self.world().state;
        let now = state.wire_now();
        for token in state.tokens.values_mut().filter(|t| t.until.is_some()) {
            token.until = Some(now);
        }
    }

    /// No answer costs more than this many requests from now on; then limits are in force.
    pub fn leave_requests(&self, remaining: u32) {
        let limits = &mut self.world().limits;
        limits.used = limits.limit.saturating_sub(remaining);
    }

    // ---- what is there

    pub fn item(&self, number: u64) -> Item {
        self.world()
            .state
            .item(&self.repo, number)
            .expect("there is such an issue")
            .clone()
    }

    pub fn items(&self) -> Vec<Item> {
        self.world()
            .state
            .repo(&self.repo)
            .unwrap()
            .items
            .values()
            .cloned()
            .collect()
    }

    /// Pull requests, oldest first.
    pub fn pulls(&self) -> Vec<Item> {
        let mut items = self.items();
        items.retain(|i| i.pull.is_some());
        items
    }

    pub fn open_pulls(&self) -> Vec<Item> {
        let mut pulls = self.pulls();
        pulls.retain(|i| i.open);
        pulls
    }

    /// Issues that are not pull requests.
    pub fn issues(&self) -> Vec<Item> {
        let mut items = self.items();
        items.retain(|i| i.pull.is_none());
        items
    }

    /// Who wrote what, in order.
    pub fn comments(&self, number: u64) -> Vec<(String, String)> {
        let item = self.item(number);
        let world = self.world();
        item.comments
            .iter()
            .map(|c| (world.state.login(c.author), c.body.clone()))
            .collect()
    }

    /// Who reacted with what to a comment of the conversation.
    pub fn reactions(&self, kind: Kind, id: u64) -> Vec<(String, String)> {
        let mut world = self.world();
        let (_, comment) = world
            .state
            .find_comment(&self.repo, kind, id)
            .expect("there is such a comment");
        let all = comment.reactions.clone();
        all.into_iter()
            .map(|(_, who, what)| (world.state.login(who), what))
            .collect()
    }

    pub fn branches(&self) -> Vec<String> {
        self.world()
            .state
            .repo(&self.repo)
            .unwrap()
            .branches
            .keys()
            .cloned()
            .collect()
    }

    pub fn branch(&self, name: &str) -> Option<String> {
        self.world()
            .state
            .repo(&self.repo)
            .unwrap()
            .branches
            .get(name)
            .cloned()
    }

    /// A file on a branch, or at a commit.
    pub fn file(&self, at: &str, path: &str) -> Option<String> {
        let sha = self.branch(at).unwrap_or_else(|| at.to_owned());
        let world = self.world();
        let git = &world.state.repo(&self.repo).unwrap().git;
        let entry = git.files(&sha).remove(path)?;
        git.blob(&entry.sha)
            .map(|b| String::from_utf8_lossy(b).into_owned())
    }

    /// Writes a branch with all its history into a bare or ordinary Git folder, ids unchanged.
    pub fn export(&self, folder: &std::path::Path, branch: &str) {
        let repository = git2::Repository::init(folder).unwrap();
        let head = self.branch(branch).expect("there is such a branch");
        let world = self.world();
        let git = &world.state.repo(&self.repo).unwrap().git;
        let odb = repository.odb().unwrap();
        for (sha, object) in git.all() {
            let (kind, bytes) = git::encode(object);
            let kind = git2::ObjectType::from_str(kind).unwrap();
            assert_eq!(&odb.write(kind, &bytes).unwrap().to_string(), sha);
        }
        let id = git2::Oid::from_str(&head).unwrap();
        let name = format!("refs/heads/{branch}");
        repository.reference(&name, id, true, "export").unwrap();
        repository.set_head(&name).unwrap();
        if !repository.is_bare() {
            let mut checkout = git2::build::CheckoutBuilder::new();
            repository.checkout_head(Some(checkout.force())).unwrap();
        }
    }

    // ---- the journal

    /// All requests, oldest first.
    pub fn journal(&self) -> Vec<Entry> {
        self.world().journal.entries.clone()
    }

    /// Requests that changed something, whatever was answered.
    pub fn writes(&self) -> Vec<Entry> {
        let mut all = self.journal();
        all.retain(Entry::changed);
        all
    }

    /// How often an operation took effect (or, for a GET, was answered well).
    pub fn count(&self, method: &str, template: &str) -> usize {
        let all = self.journal();
        let ours = all
            .iter()
            .filter(|e| e.method == method && e.route == template);
        ours.map(|e| e.effects).sum()
    }

    /// Forgets the journal: what follows is counted anew.
    pub fn forget(&self) {
        self.world().journal.entries.clear();
    }

    /// Fails unless nothing was written since the last [`Self::forget`].
    pub fn assert_no_writes(&self) {
        let writes = self.writes();
        assert!(writes.is_empty(), "writes: {writes:#?}");
    }

    // ---- faults

    /// Plans something bad.
    pub fn fault(&self, on: On, fault: Fault) {
        self.world().faults.plan(on, fault);
    }

    /// Forgets all plans.
    pub fn heal(&self) {
        self.world().faults.clear();
    }

    /// Runs something of kubemend's, and kills it at its `n`th request (from 1), before or after that
    /// request took effect. `None`: it was killed. `Some`: it ended before.
    ///
    /// What is killed gets no answer any more, and whatever it left running reaches nobody.
    pub async fn kill_at<T>(
        &self,
        n: usize,
        moment: Moment,
        run: impl Future<Output = T>,
    ) -> Option<T> {
        let killed = self.world().faults.kill_at(n, moment);
        let result = tokio::select! {
            biased;
            () = killed.notified() => None,
            value = run => Some(value),
        };
        self.world().faults.revive();
        result
    }

    /// Requests that broke GitHub's description so far; taking them keeps the test alive.
    pub fn take_violations(&self) -> Vec<String> {
        std::mem::take(&mut self.world().violations)
    }
}

impl Drop for GitHub {
    fn drop(&mut self) {
        self.task.abort();
        let violations = self.take_violations();
        if !std::thread::panicking() {
            assert!(
                violations.is_empty(),
                "requests that GitHub's description does not allow: {violations:#?}"
            );
        }
    }
}

/// A test that failed while it held the lock must not hide why.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
