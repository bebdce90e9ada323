//! HTTP: from bytes to a call, from an answer to bytes, and everything that can go wrong between.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use axum::body::Body;
use axum::extract::State as Extract;
use axum::http::{Request, Response};
use jiff::ToSpan as _;
use serde_json::Value;

use super::World;
use super::access;
use super::contract;
use super::faults::{Fault, Moment, Verdict};
use super::git;
use super::journal::Entry;
use super::routes;
use super::state::Holder;
use super::wire::{Answer, Call, Reply, decode, query};

/// Requests an hour.
#[derive(Debug, Clone)]
pub struct Limits {
    pub limit: u32,
    pub used: u32,
    /// When the next hour begins.
    pub reset: jiff::Timestamp,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            limit: 5_000,
            used: 0,
            reset: jiff::Timestamp::now() + 1.hour(),
        }
    }
}

impl Limits {
    fn renew(&mut self, now: jiff::Timestamp) {
        if now >= self.reset {
            self.used = 0;
            self.reset = now + 1.hour();
        }
    }
}

pub struct Shared {
    world: Mutex<World>,
}

impl Shared {
    pub fn new(world: World) -> Self {
        Self {
            world: Mutex::new(world),
        }
    }

    pub fn world(&self) -> MutexGuard<'_, World> {
        super::lock(&self.world)
    }
}

pub async fn run(listener: tokio::net::TcpListener, shared: Arc<Shared>) {
    let router = axum::Router::new().fallback(handle).with_state(shared);
    let _ = axum::serve(listener, router).await;
}

/// The connection ends without an answer: hyper's task unwinds, silently.
fn cut() -> ! {
    std::panic::resume_unwind(Box::new("cut"))
}

async fn handle(Extract(shared): Extract<Arc<Shared>>, request: Request<Body>) -> Response<Body> {
    let raw = read(request).await;
    let found = routes::find(&raw.call.method, &raw.path);
    let name = found
        .as_ref()
        .map_or_else(|| raw.call.path.clone(), |(r, _)| r.template.to_owned());
    let verdict = shared.world().faults.judge(&raw.call.method, &name);
    if let Some(Fault::Delay(time)) = &verdict.fault {
        tokio::time::sleep(*time).await;
    }
    if let Some(Fault::Hold(gate)) = &verdict.fault {
        gate.reached.notify_one();
        gate.open.notified().await;
    }
    match meet(&mut shared.world(), raw, found, name, &verdict) {
        Some(response) => return response,
        None if verdict.kill.is_none() => cut(),
        None => {}
    }
    // who is killed is told so, and waits for ever
    if let Some((_, told)) = &verdict.kill {
        told.notify_one();
    }
    std::future::pending().await
}

type Found = Option<(&'static routes::Route, Vec<(String, String)>)>;

/// Does what is asked, as far as the plans let it; `None` when there is no answer.
fn meet(
    world: &mut World,
    raw: Raw,
    found: Found,
    name: String,
    verdict: &Verdict,
) -> Option<Response<Body>> {
    if verdict.dead {
        return None;
    }
    let (route, params) = found.map_or_else(Default::default, |(r, p)| (Some(r), p));
    let mut call = raw.call;
    call.params = params.into_iter().collect();
    let mut entry = Entry {
        method: call.method.clone(),
        route: name,
        path: raw.target,
        body: call.body.clone(),
        status: None,
        effects: 0,
        write: is_write(&call),
        actor: 0,
    };
    let killed = verdict.kill.as_ref().map(|(moment, _)| *moment);
    let mut reply = match &verdict.fault {
        _ if killed == Some(Moment::Before) => None,
        Some(Fault::Cut(Moment::Before)) => None,
        Some(Fault::Answer(Moment::Before, reply)) => Some(reply.clone()),
        other => {
            let times = if matches!(other, Some(Fault::Twice)) {
                2
            } else {
                1
            };
            Some(carry_out(world, &mut call, route, &mut entry, times))
        }
    };
    match &verdict.fault {
        Some(Fault::Answer(Moment::After, other)) => reply = Some(other.clone()),
        Some(Fault::Cut(Moment::After)) => reply = None,
        _ => {}
    }
    let reply = reply.filter(|_| killed.is_none());
    entry.status = reply.as_ref().map(|r| r.status);
    world.journal.entries.push(entry);
    reply.map(|reply| respond(world, &call, &raw.path, reply))
}

fn carry_out(
    world: &mut World,
    call: &mut Call,
    route: Option<&routes::Route>,
    entry: &mut Entry,
    times: usize,
) -> Reply {
    let mut reply = Reply::not_found();
    for _ in 0..times {
        reply = settle(world.answer(call, route));
        entry.actor = call.actor;
        entry.effects += usize::from(reply.succeeded());
    }
    reply
}

fn settle(answer: Answer) -> Reply {
    answer.unwrap_or_else(|refused| refused)
}

/// Tokens are made, not written; a query of GraphQL reads.
fn is_write(call: &Call) -> bool {
    let query = call
        .text("query")
        .is_some_and(|q| q.trim_start().starts_with("query"));
    let asks = call.path == "/graphql" && query;
    let reads = call.method == "GET" || call.path.ends_with("/access_tokens");
    !reads && !asks
}

struct Raw {
    /// Still percent-encoded, without the query.
    path: String,
    /// With the query.
    target: String,
    call: Call,
}

async fn read(request: Request<Body>) -> Raw {
    let (parts, body) = request.into_parts();
    let bytes = axum::body::to_bytes(body, 32 << 20)
        .await
        .unwrap_or_default();
    let path = parts.uri.path();
    // GitHub Enterprise Server's prefix
    let path = path.strip_prefix("/api/v3").unwrap_or(path);
    let path = if path == "/api/graphql" {
        "/graphql"
    } else {
        path
    };
    let header = |(name, value): (&axum::http::HeaderName, &axum::http::HeaderValue)| {
        (
            name.as_str().to_owned(),
            String::from_utf8_lossy(value.as_bytes()).into_owned(),
        )
    };
    let body = match bytes.is_empty() {
        true => Value::Null,
        false => serde_json::from_slice(&bytes).unwrap_or(Value::String("not JSON".to_owned())),
    };
    let call = Call {
        method: parts.method.as_str().to_owned(),
        path: decode(path),
        query: query(parts.uri.query().unwrap_or_default()),
        headers: parts.headers.iter().map(header).collect(),
        body,
        params: BTreeMap::new(),
        holder: Holder::User(0),
        actor: 0,
    };
    let target = parts
        .uri
        .path_and_query()
        .map_or_else(String::new, ToString::to_string);
    Raw {
        path: path.to_owned(),
        target,
        call,
    }
}

impl World {
    /// Answers as GitHub would, and fails the test in the end.
    fn violation(&mut self, what: String, status: u16) -> Reply {
        eprintln!("contract: {what}");
        self.violations.push(what.clone());
        Reply::error(status, &what)
    }

    /// Everything between a request and its answer.
    fn answer(&mut self, call: &mut Call, route: Option<&routes::Route>) -> Answer {
        if !call.headers.contains_key("user-agent") {
            let message = "Request forbidden by administrative rules. Please make sure your request has a User-Agent header";
            return Err(Reply::error(403, message));
        }
        if call.body == Value::String("not JSON".to_owned()) {
            return Err(Reply::error(400, "Problems parsing JSON"));
        }
        call.holder = access::holder(&self.state, call.headers.get("authorization"))?;
        call.actor = self.state.writer(&call.holder);
        self.limits.renew(self.state.wire_now());
        if self.limits.used >= self.limits.limit {
            return Err(Reply::error(
                403,
                "API rate limit exceeded for installation ID 100.",
            ));
        }
        let Some(route) = route else {
            let what = format!(
                "{} {}: no operation that the tests' GitHub knows",
                call.method, call.path
            );
            return Err(self.violation(what, 404));
        };
        if let Some(what) = contract::check(route.template, call) {
            return Err(self.violation(what, 422));
        }
        access::check(&self.state, call, route)?;
        (route.handler)(&mut self.state, call)
    }
}

/// Pages, conditional requests, limits, headers.
fn respond(world: &mut World, call: &Call, path: &str, mut reply: Reply) -> Response<Body> {
    let link = if reply.paged {
        page(world, call, path, &mut reply)
    } else {
        None
    };
    let bytes = match reply.status {
        204 => Vec::new(),
        _ => serde_json::to_vec(&reply.body).unwrap(),
    };
    let tag = format!("W/\"{}\"", git::id("blob", &bytes));
    let conditional = call.method == "GET" && reply.status == 200;
    let same = conditional && call.headers.get("if-none-match") == Some(&tag);
    // an answer that is unchanged is free
    world.limits.used += u32::from(!same);
    let limits = &world.limits;
    let mut response = Response::builder()
        .status(if same { 304 } else { reply.status })
        .header("content-type", "application/json; charset=utf-8")
        .header(
            "x-github-request-id",
            format!("TEST:{}", world.journal.entries.len()),
        )
        .header("date", http_date(world.state.wire_now()));
    let given = |name: &str| reply.headers.iter().any(|(n, _)| n == name);
    for (name, value) in [
        ("x-ratelimit-limit", limits.limit.to_string()),
        (
            "x-ratelimit-remaining",
            limits.limit.saturating_sub(limits.used).to_string(),
        ),
        ("x-ratelimit-used", limits.used.to_string()),
        ("x-ratelimit-reset", limits.reset.as_second().to_string()),
        ("x-ratelimit-resource", "core".to_owned()),
    ] {
        if !given(name) {
            response = response.header(name, value);
        }
    }
    if conditional {
        response = response.header("etag", &tag);
    }
    if let Some(link) = link {
        response = response.header("link", link);
    }
    for (name, value) in &reply.headers {
        response = response.header(name, value);
    }
    let body = if same {
        Body::empty()
    } else {
        Body::from(bytes)
    };
    response.body(body).unwrap()
}

fn http_date(at: jiff::Timestamp) -> String {
    at.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string()
}

/// Cuts one page out of a list; the links to the others.
fn page(world: &World, call: &Call, path: &str, reply: &mut Reply) -> Option<String> {
    let all = std::mem::take(reply.body.as_array_mut()?);
    let number = |name: &str, default: usize| {
        call.asked(name)
            .and_then(|v| v.parse().ok())
            .filter(|n| *n > 0)
            .unwrap_or(default)
    };
    let (size, page) = (number("per_page", 30).min(100), number("page", 1));
    let last = all.len().div_ceil(size).max(1);
    let slice: Vec<Value> = all.into_iter().skip((page - 1) * size).take(size).collect();
    reply.body = Value::Array(slice);
    let link = |to: usize, rel: &str| {
        let mut query: Vec<String> = call
            .query
            .iter()
            .filter(|(name, _)| *name != "page")
            .map(|(n, v)| format!("{n}={}", encode(v)))
            .collect();
        query.push(format!("page={to}"));
        format!(
            "<{}{path}?{}>; rel=\"{rel}\"",
            world.state.url,
            query.join("&")
        )
    };
    let mut links = Vec::new();
    if page > 1 {
        links.extend([link(page - 1, "prev"), link(1, "first")]);
    }
    if page < last {
        links.extend([link(page + 1, "next"), link(last, "last")]);
    }
    Some(links.join(", ")).filter(|l| !l.is_empty())
}

fn encode(text: &str) -> String {
    let one = |b: u8| match b {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' => char::from(b).to_string(),
        _ => format!("%{b:02X}"),
    };
    text.bytes().map(one).collect()
}
