//! Git over HTTPS without OpenSSL: a door on loopback, for one repository, for reading only.
//!
//! libgit2 is built without TLS. It fetches from this door, and the door fetches from the forge:
//! with rustls, with the token (which libgit2 never sees), within limits of size and time. The
//! door's address holds 128 random bits, it forwards the two requests of a fetch and nothing else,
//! and it is closed when it is dropped.

use std::fmt::Write as _;
use std::sync::{Arc, Mutex, Once, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{DefaultBodyLimit, Path, RawQuery, State};
use axum::http::{HeaderMap, HeaderName, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use base64::Engine as _;
use http_body_util::{BodyExt as _, Limited};
use reqwest::header::HeaderValue;
use reqwest::{Client, RequestBuilder};
use secrecy::{ExposeSecret as _, SecretString};
use sha2::{Digest as _, Sha256};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// The largest request of a fetch: what is wanted, and what is there already.
const MAX_REQUEST: usize = 8 << 20;
/// What a fetch may ask for.
const SERVICE: &str = "service=git-upload-pack";

/// The repository behind the door.
#[derive(Debug, Clone)]
pub struct Upstream {
    /// `https://github.com/owner/name.git`.
    pub url: String,
    /// The token; sent to this URL only.
    pub token: SecretString,
}

/// Bounds of one fetch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// The largest answer, in bytes.
    pub bytes: u64,
    /// How long one request may take.
    pub time: Duration,
    /// How long the forge may be silent.
    pub silence: Duration,
}

/// What went wrong behind the door; libgit2 only sees that something did.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Trouble {
    /// No answer.
    #[error("{0}")]
    Unreachable(String),
    /// An answer that is no success.
    #[error("HTTP {0} for the repository")]
    Status(u16),
    /// An answer that is not Git's.
    #[error("the answer is not Git's")]
    NotGit,
    /// More than the bound, or cut.
    #[error("the fetch ended early: over {0} bytes, too slow, or cut")]
    Cut(u64),
}

/// An open door.
#[derive(Debug)]
pub struct Gateway {
    url: String,
    trouble: Arc<Mutex<Option<Trouble>>>,
    task: JoinHandle<()>,
}

impl Gateway {
    /// Opens the door.
    pub async fn open(upstream: Upstream, bounds: Bounds) -> Result<Self, Trouble> {
        let failed = |e: &dyn std::fmt::Display| Trouble::Unreachable(e.to_string());
        let password = password().map_err(|e| failed(&e))?;
        let trouble = Arc::default();
        let door = Door {
            client: client(&upstream.url, bounds).map_err(|e| failed(&e))?,
            authorization: basic(&upstream.token).map_err(|e| failed(&e))?,
            upstream: upstream.url,
            password: Sha256::digest(&password).into(),
            most: bounds.bytes,
            trouble: Arc::clone(&trouble),
        };
        let listener = TcpListener::bind(("127.0.0.1", 0)).await;
        let listener = listener.map_err(|e| failed(&e))?;
        let address = listener.local_addr().map_err(|e| failed(&e))?;
        let routes = Router::new()
            .route("/{password}/repository.git/info/refs", get(refs))
            .route("/{password}/repository.git/git-upload-pack", post(pack))
            .layer(DefaultBodyLimit::max(MAX_REQUEST))
            .with_state(Arc::new(door));
        let task = tokio::spawn(async move {
            // it ends when the door is dropped
            let _ = axum::serve(listener, routes).await;
        });
        Ok(Self {
            url: format!("http://{address}/{password}/repository.git"),
            trouble,
            task,
        })
    }

    /// Where libgit2 fetches from.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// What went wrong first.
    pub fn trouble(&self) -> Option<Trouble> {
        self.trouble
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.task.abort();
    }
}

struct Door {
    client: Client,
    upstream: String,
    authorization: HeaderValue,
    /// Its hash: comparing hashes tells nothing by its time.
    password: [u8; 32],
    most: u64,
    trouble: Arc<Mutex<Option<Trouble>>>,
}

async fn refs(
    State(door): State<Arc<Door>>,
    Path(password): Path<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response {
    if !door.opens_with(&password) || query.as_deref() != Some(SERVICE) {
        return StatusCode::NOT_FOUND.into_response();
    }
    let url = format!("{}/info/refs?{SERVICE}", door.upstream);
    let request = door.client.get(url);
    door.forward(
        request,
        &headers,
        "application/x-git-upload-pack-advertisement",
    )
    .await
}

async fn pack(
    State(door): State<Arc<Door>>,
    Path(password): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    if !door.opens_with(&password) {
        return StatusCode::NOT_FOUND.into_response();
    }
    let url = format!("{}/git-upload-pack", door.upstream);
    let request = door.client.post(url).body(body);
    door.forward(request, &headers, "application/x-git-upload-pack-result")
        .await
}

impl Door {
    fn opens_with(&self, password: &str) -> bool {
        self.password == <[u8; 32]>::from(Sha256::digest(password))
    }

    async fn forward(
        self: Arc<Self>,
        mut request: RequestBuilder,
        headers: &HeaderMap,
        expected: &str,
    ) -> Response {
        let git_protocol = HeaderName::from_static("git-protocol");
        for name in [
            header::ACCEPT,
            header::CONTENT_TYPE,
            header::CONTENT_ENCODING,
            git_protocol,
        ] {
            if let Some(value) = headers.get(&name) {
                request = request.header(name, value);
            }
        }
        let request = request.header(header::AUTHORIZATION, self.authorization.clone());
        match request.send().await {
            Ok(response) => self.answer(response, expected),
            Err(error) => self.fail(Trouble::Unreachable(causes(&error.without_url()))),
        }
    }

    /// Passes a good answer on, piece by piece. Of a bad one only the status is told, and never as
    /// 401: libgit2 would ask for credentials again and again.
    fn answer(self: Arc<Self>, response: reqwest::Response, expected: &str) -> Response {
        let status = response.status();
        if status != reqwest::StatusCode::OK {
            return self.fail(Trouble::Status(status.as_u16()));
        }
        let kind = response.headers().get(header::CONTENT_TYPE).cloned();
        let Some(kind) = kind.filter(|k| k.as_bytes() == expected.as_bytes()) else {
            return self.fail(Trouble::NotGit);
        };
        let most = usize::try_from(self.most).unwrap_or(usize::MAX);
        let body = Limited::new(reqwest::Body::from(response), most);
        let body = body.map_err(move |error| {
            self.note(Trouble::Cut(self.most));
            error
        });
        ([(header::CONTENT_TYPE, kind)], Body::new(body)).into_response()
    }

    fn fail(&self, trouble: Trouble) -> Response {
        let text = trouble.to_string();
        self.note(trouble);
        (StatusCode::BAD_GATEWAY, text).into_response()
    }

    fn note(&self, trouble: Trouble) {
        let mut first = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        first.get_or_insert(trouble);
    }
}

/// 128 random bits as text.
fn password() -> Result<String, ring::error::Unspecified> {
    let random: [u8; 16] = ring::rand::generate(&ring::rand::SystemRandom::new())?.expose();
    Ok(random.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    }))
}

fn basic(token: &SecretString) -> Result<HeaderValue, header::InvalidHeaderValue> {
    let pair = format!("x-access-token:{}", token.expose_secret());
    let pair = base64::engine::general_purpose::STANDARD.encode(pair);
    let mut value = HeaderValue::from_str(&format!("Basic {pair}"))?;
    value.set_sensitive(true);
    Ok(value)
}

/// A client that follows no redirect: the token is for one URL.
fn client(url: &str, bounds: Bounds) -> reqwest::Result<Client> {
    install_provider();
    let mut builder = Client::builder()
        .connect_timeout(Duration::from_secs(10))
        .read_timeout(bounds.silence)
        .timeout(bounds.time)
        .redirect(reqwest::redirect::Policy::none())
        .user_agent(concat!("git/2 (kubemend/", env!("CARGO_PKG_VERSION"), ")"));
    if url.starts_with("http://") {
        builder = builder.tls_certs_only([]); // plain HTTP needs no certificates
    }
    if url.starts_with("http://127.0.0.1:") {
        builder = builder.no_proxy(); // a proxy is for other hosts
    }
    builder.build()
}

/// TLS with ring, once a process; another one that is there already is as good.
fn install_provider() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let _ = rustls::crypto::ring::default_provider().install_default();
    });
}

fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let _ = write!(text, ": {inner}");
        cause = inner.source();
    }
    text
}
