//! A plain way to the emulator, past the shim.

use axum::body::Body;
use axum::http::{HeaderMap, Request};
use bytes::Bytes;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;

/// What came back.
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub bytes: Bytes,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.bytes).unwrap_or(Value::Null)
    }
}

#[derive(Clone)]
pub struct Upstream {
    client: Client<HttpConnector, Body>,
    port: u16,
}

impl Upstream {
    pub fn new(port: u16) -> Self {
        Self {
            client: Client::builder(TokioExecutor::new()).build_http(),
            port,
        }
    }

    /// `headers` go as they are; `Host` should be the shim's.
    pub async fn send(
        &self,
        method: &str,
        target: &str,
        headers: &[(String, String)],
        body: Bytes,
    ) -> Result<Answer, String> {
        let mut request = Request::builder()
            .method(method)
            .uri(format!("http://127.0.0.1:{}{target}", self.port));
        for (name, value) in headers {
            request = request.header(name, value);
        }
        let request = request.body(Body::from(body)).map_err(|e| e.to_string())?;
        let response = self
            .client
            .request(request)
            .await
            .map_err(|e| e.to_string())?;
        let (parts, body) = response.into_parts();
        let bytes = axum::body::to_bytes(Body::new(body), usize::MAX)
            .await
            .map_err(|e| e.to_string())?;
        Ok(Answer {
            status: parts.status.as_u16(),
            headers: parts.headers,
            bytes,
        })
    }

    /// As somebody.
    pub async fn ask(
        &self,
        token: &str,
        method: &str,
        target: &str,
        body: Option<Value>,
    ) -> Result<Answer, String> {
        let headers = [
            ("authorization".to_owned(), format!("Bearer {token}")),
            ("user-agent".to_owned(), "tests".to_owned()),
            ("content-type".to_owned(), "application/json".to_owned()),
        ];
        let bytes = body.map(|b| b.to_string()).unwrap_or_default();
        self.send(method, target, &headers, Bytes::from(bytes))
            .await
    }

    /// What must be there.
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
}
