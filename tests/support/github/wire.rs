//! A request as the routes see it, and an answer before it becomes HTTP.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::state::Holder;

/// One request.
#[derive(Debug, Clone)]
pub struct Call {
    pub method: String,
    /// Decoded, without the query.
    pub path: String,
    pub query: BTreeMap<String, String>,
    pub headers: BTreeMap<String, String>,
    /// `null` when there is none.
    pub body: Value,
    /// What the template's `{name}`s stand for.
    pub params: BTreeMap<String, String>,
    pub holder: Holder,
    /// The account that writes.
    pub actor: u64,
}

impl Call {
    pub fn param(&self, name: &str) -> &str {
        self.params.get(name).map_or("", String::as_str)
    }

    /// `owner/name`.
    pub fn repo(&self) -> String {
        format!("{}/{}", self.param("owner"), self.param("repo"))
    }

    pub fn number(&self, name: &str) -> Result<u64, Reply> {
        self.param(name).parse().map_err(|_| Reply::not_found())
    }

    pub fn text(&self, field: &str) -> Option<&str> {
        self.body.get(field).and_then(Value::as_str)
    }

    pub fn required(&self, field: &str) -> Result<&str, Reply> {
        self.text(field).ok_or_else(|| {
            Reply::error(
                422,
                &format!("Invalid request.\n\n\"{field}\" wasn't supplied."),
            )
        })
    }

    pub fn asked(&self, name: &str) -> Option<&str> {
        self.query
            .get(name)
            .map(String::as_str)
            .filter(|v| !v.is_empty())
    }

    pub fn texts(&self, field: &str) -> Vec<String> {
        let list = self.body.get(field).and_then(Value::as_array);
        let name = |v: &Value| {
            v.as_str()
                .or_else(|| v.get("name")?.as_str())
                .map(str::to_owned)
        };
        list.into_iter().flatten().filter_map(name).collect()
    }

    pub fn is_app(&self) -> bool {
        matches!(self.holder, Holder::Installation { .. })
    }
}

/// An answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Reply {
    pub status: u16,
    pub body: Value,
    pub headers: Vec<(String, String)>,
    /// A list that is cut into pages.
    pub paged: bool,
}

impl Reply {
    pub fn ok(body: Value) -> Self {
        Self {
            status: 200,
            body,
            headers: Vec::new(),
            paged: false,
        }
    }

    pub fn created(body: Value) -> Self {
        Self {
            status: 201,
            ..Self::ok(body)
        }
    }

    pub fn no_content() -> Self {
        Self {
            status: 204,
            ..Self::ok(Value::Null)
        }
    }

    pub fn list(values: impl IntoIterator<Item = Value>) -> Self {
        let all: Vec<Value> = values.into_iter().collect();
        Self {
            paged: true,
            ..Self::ok(Value::Array(all))
        }
    }

    pub fn error(status: u16, message: &str) -> Self {
        let body = json!({
            "message": message,
            "documentation_url": "https://docs.github.com/rest",
            "status": status.to_string(),
        });
        Self {
            status,
            ..Self::ok(body)
        }
    }

    pub fn not_found() -> Self {
        Self::error(404, "Not Found")
    }

    pub fn with(mut self, field: &str, value: Value) -> Self {
        self.body[field] = value;
        self
    }

    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    pub fn succeeded(&self) -> bool {
        // GraphQL says 200 even when it refuses
        self.status < 300 && self.body.get("errors").is_none()
    }
}

/// What a route answers.
pub type Answer = Result<Reply, Reply>;

/// Decodes `%2F` and the like.
pub fn decode(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let hex = (*first == b'%').then(|| tail.get(..2)).flatten();
        let value = hex.and_then(|h| u8::from_str_radix(std::str::from_utf8(h).ok()?, 16).ok());
        match value {
            Some(byte) => {
                bytes.push(byte);
                rest = &tail[2..];
            }
            None => {
                bytes.push(*first);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The pairs of a query string.
pub fn query(text: &str) -> BTreeMap<String, String> {
    let pairs = text.split('&').filter(|p| !p.is_empty());
    let pair = |p: &str| {
        let (name, value) = p.split_once('=').unwrap_or((p, ""));
        (
            decode(&name.replace('+', " ")),
            decode(&value.replace('+', " ")),
        )
    };
    pairs.map(pair).collect()
}
