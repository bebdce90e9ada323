//! One POST with its retries, bounded in time, size and number.

use std::sync::Once;
use std::time::Duration;

use reqwest::header::{AUTHORIZATION, HeaderValue, RETRY_AFTER};
use reqwest::{Client, Response, StatusCode};
use serde_json::Value;

use super::{Failure, Settings};
use crate::propose::model::MAX_ANSWER;

/// The most bytes of a response: an answer, every character escaped, and its envelope.
const MAX_RESPONSE: usize = 2 * MAX_ANSWER;

/// Sends a request, at most `calls` times, and returns the body of a success.
pub(super) fn post(
    settings: &Settings,
    request: &Value,
    calls: u32,
    made: &mut u32,
) -> Result<Vec<u8>, Failure> {
    if settings.base_url.is_empty() {
        return Err(Failure::closed("no base URL is configured"));
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(Failure::silence)?;
    runtime.block_on(attempts(settings, request, calls, made))
}

async fn attempts(
    settings: &Settings,
    request: &Value,
    calls: u32,
    made: &mut u32,
) -> Result<Vec<u8>, Failure> {
    let client = client(settings)?;
    let mut wait = Duration::from_millis(500);
    let mut billed = false;
    loop {
        *made += 1;
        let end = match once(&client, settings, request).await {
            Ok(body) => return Ok(body),
            Err(end) => end,
        };
        match end {
            End::Final(failure) => return Err(failure.billed(billed)),
            End::Retry(failure, _) if *made >= calls => return Err(failure.billed(billed)),
            End::Retry(failure, after) => {
                billed |= failure.is_billed();
                tokio::time::sleep(after.unwrap_or(wait).min(settings.max_wait)).await;
                wait *= 2;
            }
        }
    }
}

/// How one call ended without a body.
enum End {
    Final(Failure),
    Retry(Failure, Option<Duration>),
}

async fn once(client: &Client, settings: &Settings, request: &Value) -> Result<Vec<u8>, End> {
    let url = format!(
        "{}/chat/completions",
        settings.base_url.trim_end_matches('/')
    );
    let mut call = client
        .post(url)
        .header("content-type", "application/json")
        .body(request.to_string());
    if !settings.key.is_empty() {
        let header = HeaderValue::from_str(&format!("Bearer {}", settings.key.expose()));
        let mut header = header.map_err(|_| {
            End::Final(Failure::silence(
                "the API key holds a character that no key has",
            ))
        })?;
        header.set_sensitive(true);
        call = call.header(AUTHORIZATION, header);
    }
    let response = call.send().await.map_err(transport)?;
    let status = response.status();
    if status.is_success() {
        return body(response).await;
    }
    Err(refused(status, response).await)
}

/// The body, if it is whole and not too long.
async fn body(mut response: Response) -> Result<Vec<u8>, End> {
    let mut bytes = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(transport)? {
        if bytes.len() + chunk.len() > MAX_RESPONSE {
            let why = format!("the response has more than {MAX_RESPONSE} bytes");
            return Err(End::Final(Failure::unusable(why)));
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}

/// A call that a network error or the clock ended. A stall is not repeated: the time is spent.
fn transport(error: reqwest::Error) -> End {
    let (timeout, refused) = (error.is_timeout(), error.is_connect());
    let mut why = error.without_url().to_string();
    if timeout {
        why = "no answer within the time limit".to_owned();
    }
    let failure = match refused {
        true => Failure::down(why),
        false => Failure::stalled(why).billed(true),
    };
    if timeout {
        End::Final(failure)
    } else {
        End::Retry(failure, None)
    }
}

/// A status that is no success.
async fn refused(status: StatusCode, response: Response) -> End {
    let after = response
        .headers()
        .get(RETRY_AFTER)
        .and_then(|h| h.to_str().ok())
        .and_then(|h| h.trim().parse().ok())
        .map(Duration::from_secs);
    let bytes = body(response).await.unwrap_or_default();
    let error: Value = serde_json::from_slice(&bytes).unwrap_or_default();
    let why = format!("HTTP {status}: {}", said(&error).unwrap_or("no message"));
    if status == StatusCode::PAYLOAD_TOO_LARGE || status.is_client_error() && is_too_large(&error) {
        return End::Final(Failure::too_large(why));
    }
    let quota = kinds(&error).any(|kind| kind == "insufficient_quota");
    let temporary = status == StatusCode::TOO_MANY_REQUESTS
        || status == StatusCode::REQUEST_TIMEOUT
        || status.is_server_error();
    let failure = match status {
        _ if quota => Failure::closed(why),
        // what is wrong with one request (too long, a schema that is not known) is not wrong with the next
        StatusCode::BAD_REQUEST | StatusCode::UNPROCESSABLE_ENTITY => Failure::silence(why),
        // a key that lacks a right, or a wall that minds the words of one prompt
        StatusCode::FORBIDDEN => Failure::barred(why),
        // one prompt may be too slow for a proxy, or too much for what is left of a minute
        _ if temporary => Failure::stalled(why),
        _ => Failure::closed(why),
    };
    if temporary && !quota {
        End::Retry(failure, after)
    } else {
        End::Final(failure)
    }
}

/// What a request that is too large is called, in a code or a type.
const TOO_LARGE: [&str; 3] = [
    "context_length_exceeded",
    "request_too_large",
    "exceed_context_size_error",
];

/// How endpoints say it in words, where they have no code for it.
const SAID_TOO_LARGE: [&str; 5] = [
    "request too large",
    "maximum context length",
    "exceeds the available context size",
    "prompt is too long",
    "exceeds the maximum number of tokens",
];

/// Whether no wait helps: OpenAI says "429, rate limit" to a request that is larger than the limit itself, too.
fn is_too_large(error: &Value) -> bool {
    let said = said(error).unwrap_or_default();
    let counts_tokens = kinds(error).any(|kind| kind.contains("token"));
    let limit = number_after(said, "Limit");
    let is_over = limit.is_some() && number_after(said, "Requested") > limit;
    let words = said.to_lowercase();
    kinds(error).any(|kind| TOO_LARGE.contains(&kind))
        || SAID_TOO_LARGE.iter().any(|w| words.contains(w))
        || (counts_tokens && is_over)
}

fn said(error: &Value) -> Option<&str> {
    // some endpoints have no object around it
    let places = ["/error/message", "/message"];
    places.iter().find_map(|at| error.pointer(at)?.as_str())
}

/// An error's code and its type: which of them says what differs from endpoint to endpoint.
fn kinds(error: &Value) -> impl Iterator<Item = &str> {
    let at = |at: &str| error.pointer(at).and_then(Value::as_str);
    at("/error/code").into_iter().chain(at("/error/type"))
}

fn number_after(text: &str, word: &str) -> Option<u64> {
    let (_, rest) = text.split_once(word)?;
    let rest = rest.trim_start_matches([' ', ':']);
    rest.split(|c: char| !c.is_ascii_digit())
        .next()?
        .parse()
        .ok()
}

/// A client without redirects. Plain HTTP needs no certificates, and a proxy is for other hosts.
fn client(settings: &Settings) -> Result<Client, Failure> {
    install_provider();
    let mut builder = Client::builder()
        .timeout(settings.timeout)
        .redirect(reqwest::redirect::Policy::none())
        .user_agent(concat!("kubemend/", env!("CARGO_PKG_VERSION")));
    if settings.base_url.starts_with("http://") {
        builder = builder.tls_certs_only([]);
    }
    if is_loopback(&settings.base_url) {
        builder = builder.no_proxy();
    }
    builder
        .build()
        .map_err(|e| Failure::silence(format!("no HTTP client: {}", chain(&e))))
}

fn is_loopback(base_url: &str) -> bool {
    let host = reqwest::Url::parse(base_url)
        .ok()
        .and_then(|u| u.host_str().map(str::to_owned))
        .unwrap_or_default();
    ["127.0.0.1", "localhost", "[::1]"].contains(&host.as_str())
}

/// An error with its causes.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text.push_str(&format!(": {inner}"));
        cause = inner.source();
    }
    text
}

/// TLS with ring, once a process; another one that is there already is as good.
fn install_provider() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let _ = rustls::crypto::ring::default_provider().install_default();
    });
}
