//! `git http-backend` as a CGI program: smart HTTP on the same address as the API.

use std::io::{Read as _, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};

use axum::body::Body;
use axum::http::{HeaderMap, Response};
use base64::Engine as _;
use bytes::Bytes;

/// One request to a repository.
pub struct Request {
    pub method: String,
    /// `/acme/gitops.git/info/refs`.
    pub path: String,
    pub query: String,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Request {
    fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .and_then(|v| v.to_str().ok())
            .unwrap_or_default()
    }

    /// The token: of Basic the password, of Bearer all of it.
    pub fn token(&self) -> Option<String> {
        let (scheme, value) = self.header("authorization").split_once(' ')?;
        if scheme.eq_ignore_ascii_case("bearer") {
            return Some(value.to_owned());
        }
        let plain = base64::engine::general_purpose::STANDARD
            .decode(value)
            .ok()?;
        let plain = String::from_utf8(plain).ok()?;
        plain
            .split_once(':')
            .map(|(_, password)| password.to_owned())
    }

    pub fn is_push(&self) -> bool {
        self.path.ends_with("/git-receive-pack") && self.method == "POST"
    }
}

/// Says who may come in, as Git's clients expect it.
pub fn unauthorized() -> Response<Body> {
    let answer = Response::builder()
        .status(401)
        .header("www-authenticate", "Basic realm=\"git\"");
    answer.body(Body::empty()).unwrap()
}

/// Runs the program; blocks until it ends.
pub fn serve(backend: &Path, root: &Path, request: &Request) -> Result<Response<Body>, String> {
    let mut child = Command::new(backend)
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("GIT_PROJECT_ROOT", root)
        .env("GIT_HTTP_EXPORT_ALL", "1")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("HOME", root)
        .env("PATH_INFO", &request.path)
        .env("QUERY_STRING", &request.query)
        .env("REQUEST_METHOD", &request.method)
        .env("CONTENT_TYPE", request.header("content-type"))
        .env("CONTENT_LENGTH", request.body.len().to_string())
        .env("HTTP_CONTENT_ENCODING", request.header("content-encoding"))
        .env("GIT_PROTOCOL", request.header("git-protocol"))
        .env("REMOTE_USER", "kubemend")
        .env("REMOTE_ADDR", "127.0.0.1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|e| e.to_string())?;
    let mut stdin = child.stdin.take().ok_or("no stdin")?;
    let body = request.body.clone();
    let writer = std::thread::spawn(move || stdin.write_all(&body));
    let mut output = Vec::new();
    let mut stdout = child.stdout.take().ok_or("no stdout")?;
    stdout.read_to_end(&mut output).map_err(|e| e.to_string())?;
    // a program that does not want all of the body closes it
    let _ = writer.join();
    child.wait().map_err(|e| e.to_string())?;
    parse(&output)
}

/// CGI headers, an empty line, the body.
fn parse(output: &[u8]) -> Result<Response<Body>, String> {
    let end = output
        .windows(4)
        .position(|w| w == b"\r\n\r\n")
        .ok_or("no headers from git http-backend")?;
    let (head, body) = (&output[..end], &output[end + 4..]);
    let mut response = Response::builder();
    for line in String::from_utf8_lossy(head).lines() {
        let Some((name, value)) = line.split_once(':') else {
            continue;
        };
        response = match name.eq_ignore_ascii_case("status") {
            true => response.status(
                value
                    .trim()
                    .split(' ')
                    .next()
                    .and_then(|s| s.parse().ok())
                    .unwrap_or(500),
            ),
            false => response.header(name.trim(), value.trim()),
        };
    }
    response
        .body(Body::from(body.to_vec()))
        .map_err(|e| e.to_string())
}
