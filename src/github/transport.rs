//! One way out to GitHub: authentication, one paced writer, limits, retries, conditional requests.

use std::sync::Arc;
use std::time::Duration;

use http::Method;
use http_body_util::BodyExt as _;
use octocrab::Octocrab;
use secrecy::{ExposeSecret as _, SecretString};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::{Error, Result, read};
use crate::forge::Actor;

/// The largest answer that is read.
const MAX_ANSWER: usize = 32 << 20;

/// Where GitHub is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// `https://api.github.com`, or `https://HOST/api/v3`.
    pub rest: String,
    /// `https://api.github.com/graphql`, or `https://HOST/api/graphql`.
    pub graphql: String,
}

impl Default for Endpoint {
    fn default() -> Self {
        Self::new("https://api.github.com")
    }
}

impl Endpoint {
    /// From the REST base URL; GraphQL is where GitHub (or GitHub Enterprise Server) puts it.
    pub fn new(rest: &str) -> Self {
        let rest = rest.trim_end_matches('/').to_owned();
        let graphql = match rest.strip_suffix("/api/v3") {
            Some(host) => format!("{host}/api/graphql"),
            None => format!("{rest}/graphql"),
        };
        Self { rest, graphql }
    }
}

/// Who we are.
#[derive(Clone)]
pub enum Credentials {
    /// A token: `GITHUB_TOKEN` of a workflow, or a personal one.
    Token(SecretString),
    /// A GitHub App, installed.
    App {
        /// The App's id or client id.
        id: String,
        /// Its private key, PEM.
        key: SecretString,
        /// The installation; found by the repository when absent.
        installation: Option<u64>,
    },
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Token(_) => f.write_str("Token"),
            Self::App { id, .. } => write!(f, "App({id})"),
        }
    }
}

/// The way out, shared by all repositories of an installation.
#[derive(Clone)]
pub struct Transport {
    inner: Arc<Inner>,
}

struct Inner {
    endpoint: Endpoint,
    credentials: Credentials,
    client: Octocrab,
}

impl Transport {
    /// Opens the way; nothing is sent yet. Needs a tokio runtime.
    pub fn new(endpoint: Endpoint, credentials: Credentials) -> Result<Self> {
        let client = Octocrab::builder()
            .base_uri(endpoint.rest.as_str())
            .map_err(|e| Error::Invalid(format!("base URL {}: {e}", endpoint.rest)))?
            .set_connect_timeout(Some(Duration::from_secs(10)))
            .set_read_timeout(Some(Duration::from_secs(30)))
            .build()
            .map_err(|e| Error::Unavailable(e.to_string()))?;
        Ok(Self {
            inner: Arc::new(Inner {
                endpoint,
                credentials,
                client,
            }),
        })
    }

    /// Who we are.
    pub async fn me(&self) -> Result<Actor> {
        let user: Value = self.json(Method::GET, "/user", None).await?;
        read::actor(&json!({"u": user}), "/u")
    }

    /// Sends one request and reads JSON.
    pub async fn json<T: DeserializeOwned>(
        &self,
        method: Method,
        route: &str,
        body: Option<Value>,
    ) -> Result<T> {
        let (_, bytes) = self
            .send(
                method,
                &format!("{}{route}", self.inner.endpoint.rest),
                body,
            )
            .await?;
        let bytes: &[u8] = if bytes.is_empty() { b"null" } else { &bytes };
        serde_json::from_slice(bytes).map_err(|e| Error::Unexpected(format!("{route}: {e}")))
    }

    /// All pages of a list, at most `most` of them.
    pub async fn pages(&self, route: &str, most: usize) -> Result<Vec<Value>> {
        let mut url = format!("{}{route}", self.inner.endpoint.rest);
        let mut all = Vec::new();
        for _ in 0..most.max(1) {
            let (next, bytes) = self.send(Method::GET, &url, None).await?;
            let page: Vec<Value> = serde_json::from_slice(&bytes)
                .map_err(|e| Error::Unexpected(format!("{route}: {e}")))?;
            all.extend(page);
            match next {
                Some(next) => url = next,
                None => break,
            }
        }
        Ok(all)
    }

    /// One GraphQL document.
    pub async fn graphql(&self, query: &str, variables: Value) -> Result<Value> {
        let url = self.inner.endpoint.graphql.clone();
        let (_, bytes) = self
            .send(
                Method::POST,
                &url,
                Some(json!({"query": query, "variables": variables})),
            )
            .await?;
        let answer: Value = serde_json::from_slice(&bytes)
            .map_err(|e| Error::Unexpected(format!("graphql: {e}")))?;
        match answer.pointer("/errors/0/message").and_then(Value::as_str) {
            Some(message) => Err(Error::Invalid(message.to_owned())),
            None => Ok(answer.get("data").cloned().unwrap_or(Value::Null)),
        }
    }

    async fn token(&self) -> Result<SecretString> {
        match &self.inner.credentials {
            Credentials::Token(token) => Ok(token.clone()),
            Credentials::App { .. } => Err(Error::Unauthorized(
                "App credentials are not supported yet".to_owned(),
            )),
        }
    }

    /// Returns the next page's URL and the body.
    async fn send(
        &self,
        method: Method,
        url: &str,
        body: Option<Value>,
    ) -> Result<(Option<String>, Vec<u8>)> {
        let token = self.token().await?;
        let request = http::Request::builder()
            .method(method)
            .uri(url)
            .header("authorization", format!("Bearer {}", token.expose_secret()))
            .header("accept", "application/vnd.github+json")
            .header("x-github-api-version", "2022-11-28");
        let unavailable = |e: octocrab::Error| Error::Unavailable(e.to_string());
        let request = self
            .inner
            .client
            .build_request(request, body.as_ref())
            .map_err(unavailable)?;
        let response = self
            .inner
            .client
            .execute(request)
            .await
            .map_err(unavailable)?;
        let status = response.status().as_u16();
        let headers = response.headers().clone();
        let limited = http_body_util::Limited::new(response.into_body(), MAX_ANSWER);
        let bytes = limited
            .collect()
            .await
            .map_err(|e| Error::Unavailable(e.to_string()))?
            .to_bytes();
        let message = || {
            let value: Value = serde_json::from_slice(&bytes).unwrap_or_default();
            let errors = value
                .pointer("/errors")
                .map(ToString::to_string)
                .unwrap_or_default();
            format!(
                "{status} {} {errors}",
                value
                    .pointer("/message")
                    .and_then(Value::as_str)
                    .unwrap_or_default()
            )
        };
        match status {
            200..=299 => Ok((next_page(&headers), bytes.to_vec())),
            401 => Err(Error::Unauthorized(message())),
            403 => Err(Error::Forbidden(message())),
            404 => Err(Error::NotFound(message())),
            409 => Err(Error::Conflict(message())),
            410 => Err(Error::Gone(message())),
            405 | 422 => Err(Error::Invalid(message())),
            _ => Err(Error::Unavailable(message())),
        }
    }
}

fn next_page(headers: &http::HeaderMap) -> Option<String> {
    let link = headers.get("link")?.to_str().ok()?;
    let next = link.split(',').find(|part| part.contains("rel=\"next\""))?;
    let url = next.split(['<', '>']).nth(1)?;
    Some(url.to_owned())
}
