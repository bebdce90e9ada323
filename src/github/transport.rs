//! One way out to GitHub: authentication, one paced writer, limits, retries, conditional requests.
//!
//! Nothing is repeated blindly: reads, and writes that say the same twice, are sent again after a
//! failure; what creates something only when it surely did not arrive. octocrab carries single
//! requests and nothing else: its own retries, redirects and caches are not compiled in.

use std::sync::{Arc, Mutex as StdMutex};
use std::time::Duration;

use http::{HeaderValue, Method, StatusCode, header};
use http_body_util::BodyExt as _;
use jiff::Timestamp;
use octocrab::{AuthState, OctoBody, Octocrab, OctocrabBuilder};
use secrecy::{ExposeSecret as _, SecretString};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::sync::{Mutex, OnceCell};
use tokio::time::Instant;

use super::answer::{self, Answer, clean};
use super::auth::{Credentials, Mode, Scope, Tokens, Who};
use super::etag::Cache;
use super::origin::{self, Endpoint};
use super::pace::{Governor, Load, Pace, Resource, backoff};
use super::silence::Silence;
use super::{Error, Result, app};
use crate::audit;
use crate::forge::Actor;

/// The largest answer that is read.
const MAX_ANSWER: usize = 32 << 20;
/// How often a call meets a limit before it gives up.
const MAX_LIMITS: u32 = 3;
/// A renamed repository points to its new place; longer chains are none.
const MAX_REDIRECTS: usize = 3;

const USER_AGENT: &str = concat!("kubemend/", env!("CARGO_PKG_VERSION"));
const ACCEPT: &str = "application/vnd.github+json";
const API_VERSION: &str = "2022-11-28";

/// Is told about every request: for metrics.
pub trait Observer: Send + Sync {
    /// A request ended, with a status, or without an answer.
    fn request(&self, method: &str, status: Option<u16>, took: Duration);
    /// How long a request waited for its turn.
    fn waited(&self, wait: Duration);
    /// How many requests are left before the next reset, for `core`, `graphql`, ….
    fn remaining(&self, resource: &str, remaining: u64);
}

/// How the way out behaves.
#[derive(Clone, Default)]
pub struct Settings {
    /// How fast.
    pub pace: Pace,
    /// What an App's tokens may do.
    pub mode: Mode,
    /// Who is told about requests.
    pub observer: Option<Arc<dyn Observer>>,
}

impl Settings {
    /// What fits an endpoint: GitHub's own pace, and no pauses for a server on this very machine.
    pub fn for_endpoint(endpoint: &Endpoint) -> Self {
        let pace = match endpoint.is_local() {
            true => Pace::unhurried(),
            false => Pace::default(),
        };
        Self {
            pace,
            ..Self::default()
        }
    }
}

impl std::fmt::Debug for Settings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Settings({:?}, {:?})", self.mode, self.pace)
    }
}

/// The way out, shared by all repositories of an installation.
#[derive(Clone)]
pub struct Transport {
    pub(super) inner: Arc<Inner>,
    pub(super) scope: Scope,
}

impl std::fmt::Debug for Transport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let rest = origin::redacted(&self.inner.endpoint.rest);
        write!(f, "Transport({rest}, {:?})", self.scope)
    }
}

pub(super) struct Inner {
    pub(super) endpoint: Endpoint,
    origin: String,
    pub(super) who: Who,
    client: Octocrab,
    settings: Settings,
    governor: Governor,
    cache: StdMutex<Cache>,
    silence: Silence,
    pub(super) tokens: Mutex<Tokens>,
    pub(super) me: OnceCell<Actor>,
}

/// Whose token goes with a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Identity {
    /// The App itself: only for what is below `/app`, and for finding an installation.
    App,
    /// The installation, or the token that was given.
    Installed,
}

/// One request.
pub(super) struct Call {
    pub(super) method: Method,
    pub(super) url: String,
    pub(super) body: Option<Value>,
    pub(super) identity: Identity,
    pub(super) load: Load,
    /// Whether sending it twice is the same as sending it once.
    pub(super) repeatable: bool,
    pub(super) resource: Resource,
    pub(super) etag: Option<String>,
    /// What it is about, where the path does not tell it.
    pub(super) repository: Option<String>,
}

impl Call {
    /// What is usual for a method.
    pub(super) fn new(method: Method, url: String, body: Option<Value>) -> Self {
        let load = match method {
            Method::GET | Method::HEAD => Load::Light,
            Method::POST => Load::Create,
            _ => Load::Write,
        };
        Self {
            repeatable: method != Method::POST,
            method,
            url,
            body,
            identity: Identity::Installed,
            load,
            resource: Resource::Rest,
            etag: None,
            repository: None,
        }
    }

    /// Whether it may change something; who makes a token changes nothing.
    fn writes(&self) -> bool {
        let makes_token = self.url.ends_with("/access_tokens");
        self.load != Load::Light && !makes_token
    }

    /// For logs and errors.
    fn named(&self) -> String {
        let url = origin::redacted(&self.url);
        let path = url
            .split_once("://")
            .and_then(|(_, rest)| rest.find('/').map(|at| rest.split_at(at).1.to_owned()));
        format!("{} {}", self.method, path.unwrap_or(url))
    }
}

/// How one attempt ended without an answer.
enum Cut {
    /// It never left: nothing was connected.
    NotSent(String),
    /// It may have arrived.
    Lost(String),
    /// An answer that is not read to its end.
    TooLarge,
}

/// How often a call was tried so far.
#[derive(Default)]
struct Tries {
    sent: u32,
    limits: u32,
    refreshed: bool,
}

/// What follows from an attempt.
enum Next {
    Done(Answer),
    Again(Duration),
    /// With a new token.
    Renewed,
    Fail(Error),
}

impl Transport {
    /// Opens the way; nothing is sent yet. Needs a tokio runtime.
    pub fn new(endpoint: Endpoint, credentials: Credentials) -> Result<Self> {
        let settings = Settings::for_endpoint(&endpoint);
        Self::with(endpoint, credentials, settings)
    }

    /// Opens the way with settings of one's own.
    pub fn with(endpoint: Endpoint, credentials: Credentials, settings: Settings) -> Result<Self> {
        let client = client(&endpoint, settings.pace.timeout)?;
        Self::over(client, endpoint, credentials, settings)
    }

    /// Over a client of one's own, which must neither retry nor follow.
    pub fn over(
        client: Octocrab,
        endpoint: Endpoint,
        credentials: Credentials,
        settings: Settings,
    ) -> Result<Self> {
        let scope = Scope {
            repository: None,
            mode: settings.mode,
        };
        let inner = Inner {
            origin: endpoint.origin()?,
            who: Who::new(&credentials)?,
            client,
            governor: Governor::new(settings.pace.clone()),
            settings,
            cache: StdMutex::default(),
            silence: Silence::default(),
            tokens: Mutex::default(),
            me: OnceCell::new(),
            endpoint,
        };
        Ok(Self {
            inner: Arc::new(inner),
            scope,
        })
    }

    /// The same way with eyes for one repository only.
    pub fn of(&self, full_name: &str) -> Self {
        self.scoped(Some(full_name.to_lowercase()), self.scope.mode)
    }

    /// The same way with other rights.
    pub fn in_mode(&self, mode: Mode) -> Self {
        self.scoped(self.scope.repository.clone(), mode)
    }

    fn scoped(&self, repository: Option<String>, mode: Mode) -> Self {
        Self {
            inner: self.inner.clone(),
            scope: Scope { repository, mode },
        }
    }

    /// The same App in another installation: limits, pace and caches of its own.
    pub fn installation(&self, id: u64) -> Self {
        let who = match &self.inner.who {
            Who::App { key, .. } => Who::App {
                key: key.clone(),
                installation: Some(id),
            },
            token @ Who::Token(_) => token.clone(),
        };
        let inner = Inner {
            endpoint: self.inner.endpoint.clone(),
            origin: self.inner.origin.clone(),
            who,
            client: self.inner.client.clone(),
            governor: Governor::new(self.inner.settings.pace.clone()),
            settings: self.inner.settings.clone(),
            cache: StdMutex::default(),
            silence: Silence::default(),
            tokens: Mutex::default(),
            me: OnceCell::new(),
        };
        Self {
            inner: Arc::new(inner),
            scope: self.scope.clone(),
        }
    }

    // ---- what the API client asks for

    /// Sends one request and reads JSON.
    pub async fn json<T: DeserializeOwned>(
        &self,
        method: Method,
        route: &str,
        body: Option<Value>,
    ) -> Result<T> {
        self.call(Call::new(method, self.url(route), body)).await
    }

    /// Like [`Self::json`], but never sent twice whatever the method: what must be looked at again
    /// before it is repeated.
    pub async fn json_once<T: DeserializeOwned>(
        &self,
        method: Method,
        route: &str,
        body: Option<Value>,
    ) -> Result<T> {
        let mut call = Call::new(method, self.url(route), body);
        call.repeatable = false;
        self.call(call).await
    }

    pub(super) async fn call<T: DeserializeOwned>(&self, call: Call) -> Result<T> {
        let name = call.named();
        let answer = match call.method {
            Method::GET => self.read(call).await?,
            _ => self.send(&call).await?,
        };
        parsed(&name, &answer)
    }

    /// All pages of a list, at most `most` of them.
    pub async fn pages(&self, route: &str, most: usize) -> Result<Vec<Value>> {
        self.pages_as(Identity::Installed, route, most, "", |_| true)
            .await
    }

    /// Pages until one holds nothing that is wanted. `list` points to the list in each.
    pub(super) async fn pages_as(
        &self,
        identity: Identity,
        route: &str,
        most: usize,
        list: &str,
        wanted: impl Fn(&Value) -> bool,
    ) -> Result<Vec<Value>> {
        let mut url = self.url(route);
        let mut all = Vec::new();
        for _ in 0..most.max(1) {
            let mut call = Call::new(Method::GET, url, None);
            call.identity = identity;
            let name = call.named();
            let answer = self.read(call).await?;
            let page: Value = parsed(&name, &answer)?;
            let page = page.pointer(list).and_then(Value::as_array).cloned();
            let page = page.ok_or_else(|| Error::Unexpected(format!("{name}: not a list")))?;
            let stop = !page.iter().all(&wanted);
            all.extend(page.into_iter().filter(&wanted));
            match answer.header("link").and_then(origin::next_page) {
                Some(next) if !stop => url = origin::stay(&self.inner.origin, next)?,
                _ => return Ok(all),
            }
        }
        tracing::warn!(
            route = origin::redacted(route),
            pages = most,
            "a list is longer than what is read of it"
        );
        Ok(all)
    }

    /// One GraphQL document, about a repository where one is named. A query is a read; a mutation is
    /// sent once.
    pub async fn graphql(
        &self,
        repository: Option<&str>,
        query: &str,
        variables: Value,
    ) -> Result<Value> {
        let body = json!({"query": query, "variables": variables});
        let mut call = Call::new(
            Method::POST,
            self.inner.endpoint.graphql.clone(),
            Some(body),
        );
        let changes = query.trim_start().starts_with("mutation");
        call.load = if changes { Load::Write } else { Load::Light };
        call.repeatable = !changes;
        call.resource = Resource::GraphQl;
        call.repository = repository.map(str::to_owned);
        let mut limits = 0;
        loop {
            let answer = self.send(&call).await?;
            let value: Value = parsed("GraphQL", &answer)?;
            if let Some(limit) = answer::graphql_limit(&answer, &value, Timestamp::now()) {
                let error = self.inner.governor.met(&limit);
                limits += 1;
                if limits >= MAX_LIMITS {
                    return Err(error);
                }
                continue;
            }
            return match answer::graphql_error(&value) {
                Some(error) => Err(error),
                None => data(value),
            };
        }
    }

    pub(super) fn url(&self, route: &str) -> String {
        format!("{}{route}", self.inner.endpoint.rest)
    }

    // ---- reads

    /// A GET that costs nothing when nothing changed.
    async fn read(&self, mut call: Call) -> Result<Answer> {
        if call.identity == Identity::App {
            return self.follow(call).await;
        }
        let key = format!("{ACCEPT} {}", call.url);
        let known = self.cache().get(&key);
        call.etag = known.as_ref().map(|(etag, _)| etag.clone());
        let answer = self.follow(call).await?;
        match known {
            Some((_, mut known)) if answer.status == StatusCode::NOT_MODIFIED => {
                // the page is the same, and another one may follow it now
                if let Some(link) = answer.headers.get(header::LINK) {
                    known.headers.insert(header::LINK, link.clone());
                }
                Ok(known)
            }
            _ => {
                self.cache().put(&key, &answer);
                Ok(answer)
            }
        }
    }

    /// A GET that goes where a renamed repository went, but never to another host.
    async fn follow(&self, mut call: Call) -> Result<Answer> {
        for _ in 0..MAX_REDIRECTS {
            let answer = self.send(&call).await?;
            if !answer.is_redirect() {
                return Ok(answer);
            }
            let to = answer.header("location").unwrap_or_default();
            call.url = origin::stay(&self.inner.origin, to)?;
            call.etag = None;
        }
        Err(Error::Unexpected(format!(
            "{}: too many redirects",
            call.named()
        )))
    }

    /// Threads in which nothing waits.
    pub(super) fn silence(&self) -> &Silence {
        &self.inner.silence
    }

    fn cache(&self) -> std::sync::MutexGuard<'_, Cache> {
        self.inner
            .cache
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    // ---- one request and what follows

    /// Sends until there is an answer, or until another try would not be safe.
    pub(super) async fn send(&self, call: &Call) -> Result<Answer> {
        let mut tries = Tries::default();
        loop {
            let token = self.token(call.identity).await?;
            let asked = Instant::now();
            let pass = self.inner.governor.enter(call.load, call.resource).await?;
            if let Some(observer) = &self.inner.settings.observer {
                observer.waited(asked.elapsed());
            }
            let outcome = self.once(call, &token).await;
            drop(pass);
            tries.sent += 1;
            match self.judge(call, outcome, &mut tries) {
                Next::Done(answer) => return Ok(answer),
                Next::Again(wait) => tokio::time::sleep(wait).await,
                // who makes a token holds the lock: it must not wait for itself here
                Next::Renewed if call.identity == Identity::App => {}
                Next::Renewed => self.inner.tokens.lock().await.refused(&self.scope, &token),
                Next::Fail(error) => return Err(error),
            }
        }
    }

    /// A pause before something is asked again.
    pub(super) async fn breathe(&self, tries: u32) {
        let pace = self.inner.governor.pace();
        tokio::time::sleep(backoff(pace.backoff, tries)).await;
    }

    fn judge(
        &self,
        call: &Call,
        outcome: std::result::Result<Answer, Cut>,
        tries: &mut Tries,
    ) -> Next {
        let answer = match outcome {
            Ok(answer) => answer,
            Err(Cut::TooLarge) => {
                let what = format!("{}: more than {MAX_ANSWER} bytes", call.named());
                return Next::Fail(Error::Unexpected(what));
            }
            Err(Cut::NotSent(why)) => return self.again(true, unavailable(call, &why), tries),
            Err(Cut::Lost(why)) => {
                return self.again(call.repeatable, unavailable(call, &why), tries);
            }
        };
        let now = Timestamp::now();
        if let Some(limit) = answer.limit(call.resource, now) {
            tries.limits += 1;
            let error = self.inner.governor.met(&limit);
            return match tries.limits < MAX_LIMITS {
                true => Next::Again(Duration::ZERO),
                false => Next::Fail(error),
            };
        }
        if answer.is_failure() {
            return self.again(call.repeatable, unavailable_answer(call, &answer), tries);
        }
        self.inner.governor.passed();
        if let Some(limit) = answer.last_before_reset(call.resource, now) {
            self.inner.governor.met(&limit);
        }
        self.settle(call, answer, tries)
    }

    /// Once more, where that is safe and was not done too often.
    fn again(&self, safe: bool, error: Error, tries: &Tries) -> Next {
        let pace = self.inner.governor.pace();
        match safe && tries.sent < pace.attempts {
            true => Next::Again(backoff(pace.backoff, tries.sent - 1)),
            false => Next::Fail(error),
        }
    }

    /// An answer that GitHub meant.
    fn settle(&self, call: &Call, answer: Answer, tries: &mut Tries) -> Next {
        let fine = answer.status.is_success() || answer.status == StatusCode::NOT_MODIFIED;
        if fine || (answer.is_redirect() && call.method == Method::GET) {
            return Next::Done(answer);
        }
        if answer.status == StatusCode::UNAUTHORIZED
            && !std::mem::replace(&mut tries.refreshed, true)
            && self.can_renew(call.identity, &answer)
        {
            return Next::Renewed;
        }
        if answer.is_redirect() {
            let to = origin::redacted(answer.header("location").unwrap_or_default());
            let what = call.named();
            return Next::Fail(Error::Unexpected(format!(
                "{what}: moved to {to}; a write is not sent elsewhere: use the repository's new name"
            )));
        }
        Next::Fail(answer.error(&call.named()))
    }

    /// Whether another token may be better than the one that was refused.
    fn can_renew(&self, identity: Identity, answer: &Answer) -> bool {
        match (&self.inner.who, identity) {
            (Who::Token(_), _) => false,
            (Who::App { .. }, Identity::Installed) => true,
            (Who::App { key, .. }, Identity::App) => {
                let now = Timestamp::now();
                answer
                    .date()
                    .is_some_and(|theirs| key.learn_clock(theirs, now))
            }
        }
    }

    /// Sends one request once.
    async fn once(&self, call: &Call, token: &SecretString) -> std::result::Result<Answer, Cut> {
        let started = Instant::now();
        let limit = self.inner.governor.pace().timeout;
        let mut outcome = match request(call, token) {
            Ok(request) => tokio::time::timeout(limit, self.exchange(request))
                .await
                .unwrap_or_else(|_| Err(Cut::Lost(format!("no answer within {limit:?}")))),
            Err(why) => Err(Cut::NotSent(why)),
        };
        if let Ok(answer) = &mut outcome {
            hide(answer, token);
        }
        self.tell(call, &outcome, started.elapsed());
        outcome
    }

    async fn exchange(&self, request: http::Request<String>) -> std::result::Result<Answer, Cut> {
        let response = self
            .inner
            .client
            .execute(request)
            .await
            .map_err(|e| cut(&e))?;
        let (parts, body) = response.into_parts();
        let body = http_body_util::Limited::new(body, MAX_ANSWER)
            .collect()
            .await;
        let body = body.map_err(|e| match e.is::<http_body_util::LengthLimitError>() {
            true => Cut::TooLarge,
            false => Cut::Lost(causes(e.as_ref())),
        })?;
        Ok(Answer {
            status: parts.status,
            headers: parts.headers,
            body: body.to_bytes(),
        })
    }

    fn tell(&self, call: &Call, outcome: &std::result::Result<Answer, Cut>, took: Duration) {
        let answer = outcome.as_ref().ok();
        let status = answer.map(|a| a.status.as_u16());
        let remaining = answer.and_then(Answer::remaining);
        tracing::debug!(
            request = call.named(),
            status,
            remaining,
            request_id = answer.map(Answer::request_id),
            milliseconds = u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
            "GitHub"
        );
        if call.writes() {
            audit::written(&audit::Write {
                request: &call.named(),
                repository: call.repository.as_deref(),
                status,
                request_id: answer.map(Answer::request_id).unwrap_or_default(),
            });
        }
        if let Some(observer) = &self.inner.settings.observer {
            observer.request(call.method.as_str(), status, took);
            if let (Some(answer), Some(remaining)) = (answer, remaining) {
                let resource = answer.header("x-ratelimit-resource").unwrap_or("core");
                observer.remaining(resource, remaining);
            }
        }
    }
}

fn parsed<T: DeserializeOwned>(name: &str, answer: &Answer) -> Result<T> {
    let body: &[u8] = if answer.body.is_empty() {
        b"null"
    } else {
        &answer.body
    };
    serde_json::from_slice(body).map_err(|e| Error::Unexpected(format!("{name}: {e}")))
}

/// A document without errors has data; anything else did not come from GitHub.
fn data(mut answer: Value) -> Result<Value> {
    match answer.get_mut("data").map(Value::take) {
        Some(data) if data.is_object() => Ok(data),
        _ => Err(Error::Unexpected("GraphQL: no data".to_owned())),
    }
}

fn unavailable(call: &Call, why: &str) -> Error {
    Error::Unavailable(format!("{}: {}{}", call.named(), clean(why), doubt(call)))
}

fn unavailable_answer(call: &Call, answer: &Answer) -> Error {
    match answer.error(&call.named()) {
        Error::Unavailable(said) => Error::Unavailable(said + doubt(call)),
        other => other,
    }
}

fn doubt(call: &Call) -> &'static str {
    match call.repeatable {
        true => "",
        false => "; it is not known whether it took effect",
    }
}

/// A proxy or a server may echo what it was sent.
fn hide(answer: &mut Answer, token: &SecretString) {
    let token = token.expose_secret();
    let failed = !answer.status.is_success();
    if failed && !token.is_empty() {
        let text = String::from_utf8_lossy(&answer.body);
        if text.contains(token) {
            answer.body = text.replace(token, "***").into();
        }
    }
}

fn request(
    call: &Call,
    token: &SecretString,
) -> std::result::Result<http::Request<String>, String> {
    let bearer = HeaderValue::from_str(&format!("Bearer {}", token.expose_secret()));
    let mut bearer = bearer.map_err(|_| "the token holds a character that no token has")?;
    bearer.set_sensitive(true);
    let mut builder = http::Request::builder()
        .method(call.method.clone())
        .uri(&call.url)
        .header(header::AUTHORIZATION, bearer)
        .header(header::ACCEPT, ACCEPT)
        .header("x-github-api-version", API_VERSION);
    if let Some(etag) = &call.etag {
        builder = builder.header(header::IF_NONE_MATCH, etag);
    }
    let body = match &call.body {
        Some(body) => {
            builder = builder.header(header::CONTENT_TYPE, "application/json");
            body.to_string()
        }
        None => String::new(),
    };
    builder.body(body).map_err(|e| e.to_string())
}

/// octocrab over a plain HTTP client: its own one names itself as the user agent, and knows no
/// proxies. Redirects are followed by us or not at all; a local server needs neither proxy nor TLS.
fn client(endpoint: &Endpoint, timeout: Duration) -> Result<Octocrab> {
    if tokio::runtime::Handle::try_current().is_err() {
        return Err(Error::Invalid("no tokio runtime is running".to_owned()));
    }
    app::install_tls();
    let mut builder = reqwest::Client::builder()
        .user_agent(USER_AGENT)
        .redirect(reqwest::redirect::Policy::none())
        .connect_timeout(timeout.min(Duration::from_secs(10)))
        .read_timeout(timeout);
    if endpoint.rest.starts_with("http://") {
        builder = builder.tls_certs_only([]);
    }
    if endpoint.is_local() {
        builder = builder.no_proxy();
    }
    let http = builder
        .build()
        .map_err(|e| Error::Unavailable(format!("no HTTP client: {}", causes(&e))))?;
    let service = tower::service_fn(move |request| carry(http.clone(), request));
    let built = OctocrabBuilder::new_empty()
        .with_service(service)
        .with_auth(AuthState::None)
        .build();
    built.map_err(|never| match never {})
}

async fn carry(
    http: reqwest::Client,
    request: http::Request<OctoBody>,
) -> std::result::Result<http::Response<reqwest::Body>, tower::BoxError> {
    let (parts, body) = request.into_parts();
    let body = body.collect().await?.to_bytes();
    let request = reqwest::Request::try_from(http::Request::from_parts(parts, body))?;
    // no address in the error: it is told by the call, without its query
    let response = http
        .execute(request)
        .await
        .map_err(reqwest::Error::without_url)?;
    Ok(response.into())
}

/// Whether a request surely did not arrive: only a refused connection says so.
fn cut(error: &octocrab::Error) -> Cut {
    let mut cause: Option<&dyn std::error::Error> = Some(error);
    while let Some(inner) = cause {
        let io = inner.downcast_ref::<std::io::Error>();
        if io.is_some_and(|io| io.kind() == std::io::ErrorKind::ConnectionRefused) {
            return Cut::NotSent("connection refused".to_owned());
        }
        cause = inner.source();
    }
    Cut::Lost(causes(error))
}

/// An error with its causes, one line each.
fn causes(error: &dyn std::error::Error) -> String {
    let mut all: Vec<String> = Vec::new();
    let mut cause = Some(error);
    while let Some(inner) = cause {
        let text = inner.to_string();
        let line = text.lines().next().unwrap_or_default().to_owned();
        if all.last() != Some(&line) {
            all.push(line);
        }
        cause = inner.source();
    }
    all.join(": ")
}
