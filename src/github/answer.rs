//! What an answer of GitHub means. Pure.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use jiff::Timestamp;
use serde_json::Value;

use super::Error;
use super::pace::{Limit, Resource};

/// The most characters of GitHub's own words in an error.
const MAX_MESSAGE: usize = 800;

/// An answer as it came.
#[derive(Debug, Clone)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

impl Answer {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok().map(str::trim)
    }

    fn number(&self, name: &str) -> Option<u64> {
        self.header(name)?.parse().ok()
    }

    /// Requests that are left before the next reset.
    pub(super) fn remaining(&self) -> Option<u64> {
        self.number("x-ratelimit-remaining")
    }

    pub(super) fn request_id(&self) -> &str {
        self.header("x-github-request-id").unwrap_or_default()
    }

    /// GitHub's clock.
    pub(super) fn date(&self) -> Option<Timestamp> {
        http_date(self.header("date")?)
    }

    /// Whether GitHub itself failed: nothing is known about what was asked for.
    pub(super) fn is_failure(&self) -> bool {
        self.status.is_server_error() || self.status == StatusCode::REQUEST_TIMEOUT
    }

    pub(super) fn is_redirect(&self) -> bool {
        matches!(self.status.as_u16(), 301 | 302 | 307 | 308)
    }

    /// The limit that this answer reports: 403 and 429 with any of the signs that GitHub gives.
    pub(super) fn limit(&self, resource: Resource, now: Timestamp) -> Option<Limit> {
        let code = self.status.as_u16();
        let spent = self.remaining() == Some(0);
        let said = self.said();
        let signs = spent || self.header("retry-after").is_some() || speaks_of_a_limit(&said);
        if code != 429 && !(code == 403 && signs) {
            return None;
        }
        let wait = self.retry_after(now).or_else(|| {
            let reset = self.until_reset(now);
            reset.filter(|_| spent)
        });
        Some(Limit {
            wait,
            only: spent.then_some(resource),
            message: self.told(&said),
        })
    }

    /// An answer that was fine, but was the last one before the next reset.
    pub(super) fn last_before_reset(&self, resource: Resource, now: Timestamp) -> Option<Limit> {
        let wait = self.until_reset(now)?;
        (self.remaining() == Some(0)).then(|| Limit {
            wait: Some(wait),
            only: Some(resource),
            message: "all requests of this hour are used up".to_owned(),
        })
    }

    fn retry_after(&self, now: Timestamp) -> Option<Duration> {
        let text = self.header("retry-after")?;
        let seconds = text.parse().map(Duration::from_secs).ok();
        seconds.or_else(|| Some(between(self.date().unwrap_or(now), http_date(text)?)))
    }

    /// Until the reset, by GitHub's own clock where it tells it.
    fn until_reset(&self, now: Timestamp) -> Option<Duration> {
        let reset = i64::try_from(self.number("x-ratelimit-reset")?).ok()?;
        let reset = Timestamp::from_second(reset).ok()?;
        // the second of the reset is not over yet
        Some(between(self.date().unwrap_or(now), reset) + Duration::from_secs(1))
    }

    /// What went wrong, for every status that is no success and no limit.
    pub(super) fn error(&self, what: &str) -> Error {
        let said = format!("{what}: {}", self.told(&self.said()));
        match self.status.as_u16() {
            401 => Error::Unauthorized(said),
            403 => Error::Forbidden(format!("{said}{}", self.missing())),
            404 => Error::NotFound(said),
            409 => Error::Conflict(said),
            410 => Error::Gone(said),
            400 | 405 | 406 | 413 | 415 | 422 => Error::Invalid(said),
            451 => Error::Forbidden(said),
            _ if self.is_failure() => Error::Unavailable(said),
            _ => Error::Unexpected(said),
        }
    }

    /// The status, GitHub's words, and the number that its support asks for.
    fn told(&self, said: &str) -> String {
        let status = self.status.as_u16();
        let space = if said.is_empty() { "" } else { " " };
        match self.request_id() {
            "" => format!("{status}{space}{said}"),
            id => format!("{status}{space}{said} (request {})", clean(id)),
        }
    }

    /// GitHub's message with the errors of each field.
    fn said(&self) -> String {
        let value: Value = serde_json::from_slice(&self.body).unwrap_or_default();
        let message = value.get("message").and_then(Value::as_str);
        let errors = match value.get("errors") {
            Some(Value::Array(all)) => all.iter().take(10).map(field_error).collect(),
            Some(Value::String(one)) => vec![one.clone()],
            _ => Vec::new(),
        };
        let parts = message.into_iter().map(str::to_owned).chain(errors);
        let parts: Vec<String> = parts.filter(|part| !part.trim().is_empty()).collect();
        clean(&parts.join("; ")).trim_end_matches('.').to_owned()
    }

    /// What a 403 lacks, where the answer tells it.
    fn missing(&self) -> String {
        let said = self.said().to_lowercase();
        if said.contains("not permitted to create or approve pull requests") {
            return ". Switch on \"Allow GitHub Actions to create and approve pull requests\" \
                    (Settings, Actions, General; of the organisation too), or use a GitHub App"
                .to_owned();
        }
        if self.header("x-github-sso").is_some() {
            return ". The token is not authorised for the organisation's single sign-on"
                .to_owned();
        }
        let wanted = self.header("x-accepted-github-permissions").map(clean);
        let scopes = self.header("x-accepted-oauth-scopes").map(clean);
        match (
            wanted.filter(|w| !w.is_empty()),
            scopes.filter(|s| !s.is_empty()),
        ) {
            (Some(wanted), _) => {
                let ways = wanted
                    .split(';')
                    .map(|way| way.trim().replace(',', " and "));
                let ways: Vec<String> = ways.collect();
                format!(". It needs {}", ways.join(", or "))
            }
            (None, Some(scopes)) => format!(". The token needs one of the scopes {scopes}"),
            (None, None) => String::new(),
        }
    }
}

/// `Validation Failed` says nothing: the fields do.
fn field_error(error: &Value) -> String {
    let text = |name: &str| error.get(name).and_then(Value::as_str).unwrap_or_default();
    if let Some(plain) = error.as_str() {
        return plain.to_owned();
    }
    let message = text("message");
    let place = match (text("resource"), text("field")) {
        ("", field) => field.to_owned(),
        (resource, "") => resource.to_owned(),
        (resource, field) => format!("{resource}.{field}"),
    };
    match (place.is_empty(), message.is_empty()) {
        (_, true) => format!("{place} {}", text("code").replace('_', " ")),
        (true, false) => message.to_owned(),
        (false, false) => format!("{place}: {message}"),
    }
}

fn speaks_of_a_limit(said: &str) -> bool {
    let said = said.to_lowercase();
    let signs = [
        "rate limit",
        "abuse detection",
        "submitted too quickly",
        "too many requests",
    ];
    signs.iter().any(|sign| said.contains(sign))
}

/// One line of sane length: these words may come from anywhere.
pub(super) fn clean(text: &str) -> String {
    let line: String = text
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    match line.char_indices().nth(MAX_MESSAGE) {
        Some((at, _)) => format!("{}…", line.get(..at).unwrap_or_default()),
        None => line.trim().to_owned(),
    }
}

fn http_date(text: &str) -> Option<Timestamp> {
    jiff::fmt::rfc2822::parse(text)
        .ok()
        .map(|at| at.timestamp())
}

fn between(from: Timestamp, to: Timestamp) -> Duration {
    Duration::try_from(to.duration_since(from)).unwrap_or(Duration::ZERO)
}

/// The errors of a GraphQL answer, which comes with 200 whatever went wrong.
pub(super) fn graphql_error(value: &Value) -> Option<Error> {
    let first = value.pointer("/errors/0")?;
    let text = |name: &str| first.get(name).and_then(Value::as_str).unwrap_or_default();
    let message = clean(text("message"));
    let told = format!("GraphQL: {message}");
    Some(match text("type") {
        "NOT_FOUND" => Error::NotFound(told),
        "FORBIDDEN" | "INSUFFICIENT_SCOPES" => Error::Forbidden(told),
        _ if message.starts_with("Something went wrong while executing your query") => {
            Error::Unavailable(told)
        }
        _ => Error::Invalid(told),
    })
}

/// A limit that GraphQL reports with 200.
pub(super) fn graphql_limit(answer: &Answer, value: &Value, now: Timestamp) -> Option<Limit> {
    let errors = value.get("errors")?.as_array()?;
    let is_limit = |e: &Value| {
        let text = |name: &str| e.get(name).and_then(Value::as_str).unwrap_or_default();
        ["RATE_LIMITED", "RATE_LIMIT"].contains(&text("type")) || speaks_of_a_limit(text("message"))
    };
    let first = errors.iter().find(|e| is_limit(e))?;
    let message = first
        .get("message")
        .and_then(Value::as_str)
        .unwrap_or_default();
    Some(Limit {
        wait: answer.retry_after(now).or_else(|| answer.until_reset(now)),
        only: Some(Resource::GraphQl),
        message: clean(message),
    })
}

#[cfg(test)]
mod tests;
