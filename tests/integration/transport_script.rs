//! A GitHub that answers by a script, without sockets: so that tests can stop the clock.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use kubemend::github::{Credentials, Endpoint, GitHub, Settings, Transport};
use octocrab::{AuthState, OctoBody, OctocrabBuilder};
use secrecy::SecretString;
use serde_json::{Value, json};

/// What is answered.
#[derive(Debug, Clone)]
pub(crate) enum Reply {
    Answer(u16, Vec<(String, String)>, Bytes),
    /// The connection ends without an answer.
    Cut,
    /// There is nobody to connect to.
    Refused,
    /// Nothing ever comes.
    Never,
}

pub(crate) fn reply(status: u16, body: Value) -> Reply {
    Reply::Answer(status, Vec::new(), body.to_string().into())
}

pub(crate) fn error(status: u16, message: &str) -> Reply {
    reply(status, json!({"message": message}))
}

impl Reply {
    pub(crate) fn with(self, name: &str, value: &str) -> Self {
        match self {
            Self::Answer(status, mut headers, body) => {
                headers.push((name.to_owned(), value.to_owned()));
                Self::Answer(status, headers, body)
            }
            other => other,
        }
    }
}

/// What was asked.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    pub(crate) method: String,
    pub(crate) url: String,
    pub(crate) headers: http::HeaderMap,
    pub(crate) body: Value,
}

impl Asked {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |v| v.to_str().unwrap())
    }
}

#[derive(Default)]
struct State {
    replies: VecDeque<Reply>,
    otherwise: Option<Reply>,
    asked: Vec<Asked>,
}

/// The script and its journal.
#[derive(Clone, Default)]
pub(crate) struct Script {
    state: Arc<Mutex<State>>,
}

impl Script {
    /// Answers in this order; more requests fail the test.
    pub(crate) fn new(replies: impl IntoIterator<Item = Reply>) -> Self {
        let script = Self::default();
        script.then(replies);
        script
    }

    /// Always the same answer.
    pub(crate) fn always(reply: Reply) -> Self {
        let script = Self::default();
        script.state.lock().unwrap().otherwise = Some(reply);
        script
    }

    pub(crate) fn then(&self, replies: impl IntoIterator<Item = Reply>) {
        self.state.lock().unwrap().replies.extend(replies);
    }

    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.state.lock().unwrap().asked.clone()
    }

    /// `METHOD path` of each request.
    pub(crate) fn journal(&self) -> Vec<String> {
        let line = |a: &Asked| {
            let path = a.url.split_once("://").map_or("", |(_, rest)| rest);
            format!(
                "{} {}",
                a.method,
                path.split_once('/').map_or("", |(_, p)| p)
            )
        };
        self.asked().iter().map(line).collect()
    }

    fn next(&self, asked: Asked) -> Reply {
        let mut state = self.state.lock().unwrap();
        let line = format!("{} {}", asked.method, asked.url);
        state.asked.push(asked);
        let next = state
            .replies
            .pop_front()
            .or_else(|| state.otherwise.clone());
        next.unwrap_or_else(|| panic!("not in the script: {line}"))
    }

    pub(crate) fn transport_with(&self, credentials: Credentials, settings: Settings) -> Transport {
        let script = self.clone();
        let service = tower::service_fn(move |request: http::Request<OctoBody>| {
            let script = script.clone();
            async move { script.serve(request).await }
        });
        let client = OctocrabBuilder::new_empty()
            .with_service(service)
            .with_auth(AuthState::None)
            .build()
            .unwrap();
        Transport::over(client, Endpoint::default(), credentials, settings).unwrap()
    }

    /// A token's transport at GitHub's own pace.
    pub(crate) fn transport(&self) -> Transport {
        self.transport_with(token(), Settings::default())
    }

    /// One repository, seen with a token.
    pub(crate) fn github(&self) -> GitHub {
        GitHub::new(self.transport(), "acme/gitops").unwrap()
    }

    async fn serve(
        &self,
        request: http::Request<OctoBody>,
    ) -> Result<http::Response<Full<Bytes>>, tower::BoxError> {
        let (parts, body) = request.into_parts();
        let body = body.collect().await?.to_bytes();
        let asked = Asked {
            method: parts.method.to_string(),
            url: parts.uri.to_string(),
            headers: parts.headers,
            body: serde_json::from_slice(&body).unwrap_or_default(),
        };
        match self.next(asked) {
            Reply::Answer(status, headers, body) => {
                let mut response = http::Response::builder().status(status);
                for (name, value) in headers {
                    response = response.header(name, value);
                }
                Ok(response.body(Full::new(body))?)
            }
            Reply::Cut => Err("connection closed before message completed".into()),
            Reply::Refused => {
                Err(std::io::Error::from(std::io::ErrorKind::ConnectionRefused).into())
            }
            Reply::Never => std::future::pending().await,
        }
    }
}

pub(crate) const TOKEN: &str = "ghp_verysecrettoken0123456789";

pub(crate) fn token() -> Credentials {
    Credentials::Token(SecretString::from(TOKEN))
}
