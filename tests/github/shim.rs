//! Between kubemend and the emulator: checks requests, completes answers, adds what the emulator lacks
//! and refuses what GitHub refuses; serves Git on the same address, and keeps both in step.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::body::Body;
use axum::extract::State;
use axum::http::{Request, Response};
use bytes::Bytes;
use serde_json::{Value, json};

use crate::assets::Assets;
use crate::child::Emulator;
use crate::hook::{self, Hook};
use crate::server;
use crate::support::github::state::Holder;
use crate::support::github::wire::{Call, decode, query};
use crate::support::github::{APP_ID, APP_KEY, Entry, INSTALLATION, contract, git, routes};
use crate::truth::{ADMIN, READER, Truth};
use crate::upstream::{Answer, Upstream};

#[path = "shim/lacking.rs"]
mod lacking;
#[path = "shim/pulls.rs"]
mod pulls;

/// The machine user's token.
pub const MACHINE: &str = "ghp_machine";
/// Alice's, who reviews.
pub const ALICE: &str = "ghp_alice";
/// Mallory's, who may read.
pub const MALLORY: &str = "ghp_mallory";

/// Git as Alice, in a clone, without anybody's own settings.
pub fn git_as_alice(clone: &std::path::Path, args: &[&str]) -> std::process::Command {
    let mut command = std::process::Command::new("git");
    command
        .current_dir(clone)
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("HOME", clone)
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_TERMINAL_PROMPT", "0")
        .args([
            "-c",
            "user.name=Alice",
            "-c",
            "user.email=alice@example.com",
            "-c",
        ])
        .arg(format!("http.extraHeader=Authorization: Bearer {ALICE}"))
        .args(args);
    command
}

/// What the shim itself remembers.
#[derive(Default)]
pub struct Memory {
    pub journal: Vec<Entry>,
    pub problems: Vec<String>,
    pub reactions: Vec<(String, Value)>,
    pub tokens: BTreeSet<String>,
    pub merged: BTreeMap<u64, pulls::Merged>,
    /// Where the branch of each pull request was when it was seen last.
    pub heads: BTreeMap<u64, String>,
    pub closed_by: BTreeMap<u64, Value>,
    /// Who is told of what happens.
    pub hook: Option<Arc<Hook>>,
}

pub struct Shared {
    pub upstream: Upstream,
    pub truth: Truth,
    pub url: String,
    backend: PathBuf,
    root: PathBuf,
    memory: Mutex<Memory>,
    /// Writes are mirrored one after the other.
    turn: tokio::sync::Mutex<()>,
}

impl Shared {
    /// Tells the webhook, after the fact and whatever becomes of it, as GitHub does.
    fn tell(&self, event: &'static str, action: &'static str, token: &str) {
        let Some(hook) = self.memory().hook.clone() else {
            return;
        };
        let login = if token == ALICE {
            "alice"
        } else {
            "kubemend-bot"
        };
        tokio::task::spawn_blocking(move || hook.deliver(event, action, login));
    }

    pub fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// GitHub and Git, running.
pub struct Hub {
    pub shared: Arc<Shared>,
    _emulator: Emulator,
    task: tokio::task::JoinHandle<()>,
    folder: tempfile::TempDir,
}

fn seed() -> Value {
    let user = |login: &str| json!({"login": login, "name": login, "email": format!("{login}@example.com")});
    let token = |login: &str| json!({"login": login, "scopes": ["repo", "workflow"]});
    json!({
        "tokens": {
            MACHINE: token("kubemend-bot"), ALICE: token("alice"), MALLORY: token("mallory"), ADMIN: token("root"), READER: token("root"),
        },
        "github": {
            "users": [user("kubemend-bot"), user("alice"), user("mallory"), user("root"), user("kubemend[bot]")],
            "orgs": [{"login": "acme", "name": "Acme", "members": [
                {"login": "root", "role": "admin"}, {"login": "alice", "role": "admin"},
                {"login": "kubemend-bot", "role": "admin"},
            ]}],
            "repos": [{"owner": "acme", "name": "gitops", "language": "YAML", "auto_init": true}],
            "apps": [{
                "app_id": APP_ID, "slug": "kubemend", "name": "kubemend", "private_key": APP_KEY,
                "permissions": {"contents": "write", "issues": "write", "pull_requests": "write", "checks": "write", "statuses": "write", "metadata": "read"},
                "events": ["push"],
                "installations": [{"installation_id": INSTALLATION, "account": "acme", "repository_selection": "all"}],
            }],
        },
    })
}

impl Hub {
    /// Everything on one free port of 127.0.0.1.
    pub async fn start(assets: &Assets) -> Result<Self, String> {
        let said = |e: std::io::Error| e.to_string();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
            .await
            .map_err(said)?;
        let url = format!("http://{}", listener.local_addr().map_err(said)?);
        let emulator = Emulator::start(&assets.node, &url, &seed())?;
        let folder = tempfile::tempdir().map_err(said)?;
        let bare = folder.path().join("acme/gitops.git");
        prepare(&bare)?;
        let upstream = Upstream::new(emulator.port);
        let truth = Truth {
            upstream: upstream.clone(),
            folder: bare,
            repo: "acme/gitops".to_owned(),
            told: Mutex::default(),
        };
        let tokens = [MACHINE, ALICE, ADMIN].map(str::to_owned);
        let shared = Arc::new(Shared {
            upstream,
            truth,
            url,
            backend: assets.backend.clone(),
            root: folder.path().to_owned(),
            memory: Mutex::new(Memory {
                tokens: BTreeSet::from(tokens),
                ..Memory::default()
            }),
            turn: tokio::sync::Mutex::new(()),
        });
        shared
            .truth
            .pull_from_api()
            .await
            .map_err(|e| format!("{e}\n{}", emulator.tail()))?;
        let router = axum::Router::new()
            .fallback(handle)
            .with_state(Arc::clone(&shared));
        let task = tokio::spawn(async move {
            let _ = axum::serve(listener, router).await;
        });
        Ok(Self {
            shared,
            _emulator: emulator,
            task,
            folder,
        })
    }

    /// From now on the webhook is told.
    pub fn hook(&self, address: std::net::SocketAddr, repository: Value) -> Arc<Hook> {
        let hook = Arc::new(Hook {
            address,
            repository,
            sent: AtomicUsize::new(0),
        });
        self.shared.memory().hook = Some(Arc::clone(&hook));
        hook
    }

    /// Where a test may write.
    pub fn folder(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// As somebody, through the shim.
    pub async fn ask(
        &self,
        token: &str,
        method: &str,
        target: &str,
        body: Option<Value>,
    ) -> Result<Answer, String> {
        let port = self
            .shared
            .url
            .rsplit(':')
            .next()
            .and_then(|p| p.parse().ok());
        Upstream::new(port.ok_or("no port")?)
            .ask(token, method, target, body)
            .await
    }

    /// As somebody; an error unless it succeeded.
    pub async fn must(
        &self,
        token: &str,
        method: &str,
        target: &str,
        body: Option<Value>,
    ) -> Result<Value, String> {
        let answer = self.ask(token, method, target, body).await?;
        match answer.status {
            200..=299 => Ok(answer.json()),
            status => Err(format!("{method} {target}: {status} {}", answer.json())),
        }
    }

    /// How often an operation succeeded.
    pub fn count(&self, method: &str, route: &str) -> usize {
        let memory = self.shared.memory();
        let ours = memory
            .journal
            .iter()
            .filter(|e| e.method == method && e.route == route);
        ours.map(|e| e.effects).sum()
    }

    /// What changed something, in order.
    pub fn writes(&self) -> Vec<String> {
        let memory = self.shared.memory();
        let writes = memory.journal.iter().filter(|e| e.changed());
        writes
            .map(|e| format!("{} {} {}", e.method, e.path, e.body))
            .collect()
    }

    /// Requests outside the contract, and stores that disagree.
    pub fn problems(&self) -> Vec<String> {
        self.shared.memory().problems.clone()
    }
}

impl Drop for Hub {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn prepare(bare: &std::path::Path) -> Result<(), String> {
    let said = |e: git2::Error| e.to_string();
    let repository = git2::Repository::init_bare(bare).map_err(said)?;
    repository.set_head("refs/heads/main").map_err(said)?;
    let mut config = repository.config().map_err(said)?;
    config.set_bool("http.receivepack", true).map_err(said)?;
    // emulate's trees may hold what a strict server would refuse to take on trust
    config.set_bool("receive.fsckObjects", true).map_err(said)
}

/// As on GitHub, what has begun is done, also where whoever asked is gone.
async fn handle(State(shared): State<Arc<Shared>>, request: Request<Body>) -> Response<Body> {
    let done = tokio::spawn(done(shared, request)).await;
    done.unwrap_or_else(|e| failed(e.to_string()))
}

fn failed(problem: String) -> Response<Body> {
    let response = Response::builder().status(500);
    response.body(Body::from(problem)).unwrap()
}

async fn done(shared: Arc<Shared>, request: Request<Body>) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let bytes = axum::body::to_bytes(body, 64 << 20)
        .await
        .unwrap_or_default();
    let path = parts.uri.path().to_owned();
    let answer = if path.contains(".git/") {
        let request = server::Request {
            method: parts.method.to_string(),
            path,
            query: parts.uri.query().unwrap_or_default().to_owned(),
            headers: parts.headers,
            body: bytes,
        };
        serve_git(&shared, request).await
    } else {
        let header = |(name, value): (&axum::http::HeaderName, &axum::http::HeaderValue)| {
            (
                name.as_str().to_owned(),
                String::from_utf8_lossy(value.as_bytes()).into_owned(),
            )
        };
        let headers = parts.headers.iter().map(header).collect();
        let target = parts
            .uri
            .path_and_query()
            .map_or_else(|| path.clone(), ToString::to_string);
        api(
            &shared,
            parts.method.as_str(),
            &path,
            &target,
            headers,
            bytes,
        )
        .await
    };
    answer.unwrap_or_else(|problem| {
        shared.memory().problems.push(problem.clone());
        failed(problem)
    })
}

async fn serve_git(
    shared: &Arc<Shared>,
    request: server::Request,
) -> Result<Response<Body>, String> {
    let token = request
        .token()
        .filter(|t| shared.memory().tokens.contains(t));
    let Some(token) = token else {
        return Ok(server::unauthorized());
    };
    let _turn = shared.turn.lock().await;
    let push = request.is_push();
    let (backend, root) = (shared.backend.clone(), shared.root.clone());
    let served = tokio::task::spawn_blocking(move || server::serve(&backend, &root, &request));
    let response = served.await.map_err(|e| e.to_string())??;
    if push {
        shared.truth.push_to_api(&token).await?;
        pulls::close_orphans(shared, &token).await?;
        shared.tell("push", "", &token);
    }
    Ok(response)
}

async fn api(
    shared: &Arc<Shared>,
    method: &str,
    path: &str,
    target: &str,
    headers: BTreeMap<String, String>,
    bytes: Bytes,
) -> Result<Response<Body>, String> {
    let found = routes::find(method, path);
    let route = found.as_ref().map_or(path, |(r, _)| r.template).to_owned();
    let call = Call {
        method: method.to_owned(),
        path: decode(path),
        query: query(target.split_once('?').map_or("", |(_, q)| q)),
        headers,
        body: serde_json::from_slice(&bytes).unwrap_or(Value::Null),
        params: found
            .map(|(_, p)| p.into_iter().collect())
            .unwrap_or_default(),
        holder: Holder::User(0),
        actor: 0,
    };
    if let Some(violation) = contract::check(&route, &call) {
        return Err(format!("contract: {violation}"));
    }
    // the emulator takes a token that it does not know for somebody's
    let is_nobody =
        |t: &str| t.starts_with("ghp_") && ![MACHINE, ALICE, MALLORY, ADMIN, READER].contains(&t);
    if is_nobody(lacking::token(&call)) {
        return Ok(finish(lacking::refused(401, "Bad credentials")));
    }
    let query = call
        .text("query")
        .is_some_and(|q| q.trim_start().starts_with("query"));
    let reads = method == "GET" || route.ends_with("/access_tokens") || query;
    let write = !reads;
    // what is put together from both stores would find them apart halfway through a write
    let of_both = route.ends_with("/files") || route.ends_with("{pull_number}/commits");
    let _turn = if write || of_both {
        Some(shared.turn.lock().await)
    } else {
        None
    };
    let token = lacking::token(&call).to_owned();
    let mut answer = match lacking::answer(shared, &route, &call).await? {
        Some(answer) => answer,
        None => forward(shared, &call, target, bytes).await?,
    };
    let moves = ["/git/refs", "/contents/", "update-branch"];
    if write && answer.status < 300 && moves.iter().any(|r| route.contains(r)) {
        shared.truth.pull_from_api().await?;
        pulls::close_orphans(shared, &token).await?;
    }
    lacking::correct(shared, &route, &call, &mut answer)?;
    let effects = usize::from(answer.status < 300 && answer.json().get("errors").is_none());
    if let (1, Some((event, action))) = (effects, hook::event(method, &route)) {
        shared.tell(event, action, &token);
    }
    shared.memory().journal.push(Entry {
        method: call.method,
        route: route.clone(),
        path: target.to_owned(),
        body: call.body,
        status: Some(answer.status),
        effects,
        write,
        actor: u64::from(token == MACHINE),
    });
    Ok(finish(answer))
}

/// The emulator's own answer.
async fn forward(
    shared: &Shared,
    call: &Call,
    target: &str,
    bytes: Bytes,
) -> Result<Answer, String> {
    let dropped = [
        "accept-encoding",
        "connection",
        "content-length",
        "transfer-encoding",
    ];
    let headers = call
        .headers
        .iter()
        .filter(|(name, _)| !dropped.contains(&name.as_str()));
    let headers: Vec<(String, String)> = headers.map(|(n, v)| (n.clone(), v.clone())).collect();
    shared
        .upstream
        .send(&call.method, target, &headers, bytes)
        .await
}

fn finish(answer: Answer) -> Response<Body> {
    let mut value = answer.json();
    complete(&mut value);
    let bytes = if value.is_null() {
        answer.bytes
    } else {
        Bytes::from(value.to_string())
    };
    let mut response = Response::builder().status(answer.status);
    for (name, value) in &answer.headers {
        let own = ["content-length", "transfer-encoding", "connection"].contains(&name.as_str());
        if !own {
            response = response.header(name, value);
        }
    }
    response.body(Body::from(bytes)).unwrap()
}

/// Accounts of the emulator lack fields that GitHub always sends.
fn complete(value: &mut Value) {
    match value {
        Value::Array(list) => list.iter_mut().for_each(complete),
        Value::Object(fields) => {
            if fields.contains_key("login") && fields.contains_key("id") {
                for name in [
                    "gravatar_id",
                    "followers_url",
                    "following_url",
                    "gists_url",
                    "starred_url",
                    "subscriptions_url",
                    "organizations_url",
                    "repos_url",
                    "events_url",
                    "received_events_url",
                    "html_url",
                    "url",
                ] {
                    fields.entry(name).or_insert_with(|| json!(""));
                }
                // the App's account is seeded: the emulator makes it with the first write only
                let bot = fields["login"]
                    .as_str()
                    .is_some_and(|l| l.ends_with("[bot]"));
                if bot {
                    fields.insert("type".to_owned(), json!("Bot"));
                }
                fields.entry("type").or_insert_with(|| json!("User"));
                fields.entry("site_admin").or_insert_with(|| json!(false));
            }
            fields.values_mut().for_each(complete);
        }
        _ => {}
    }
}

/// What Git calls a blob of this text.
pub fn blob_id(text: &str) -> String {
    git::id("blob", text.as_bytes())
}
