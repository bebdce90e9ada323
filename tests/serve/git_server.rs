//! `git http-backend` as CGI behind axum, on loopback, for repositories in a temporary folder.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::{IntoResponse as _, Response};
use base64::Engine as _;
use std::io::Write as _;

pub(crate) const TOKEN: &str = "ghs_token_of_the_test";

/// What is wrong with the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    None,
    /// Answers every request with this status.
    Status(u16),
    /// Cuts every pack after so many bytes.
    CutAt(usize),
}

/// A server for bare repositories.
pub(crate) struct GitServer {
    pub(crate) url: String,
    pub(crate) root: tempfile::TempDir,
    pub(crate) state: Arc<Served>,
}

pub(crate) struct Served {
    root: PathBuf,
    pub(crate) fault: std::sync::Mutex<Fault>,
    pub(crate) requests: AtomicUsize,
    pub(crate) unauthorized: AtomicUsize,
    /// Whether it is not this server's business which token is good.
    pub(crate) any_token: AtomicBool,
}

/// Whether `git` and its CGI program are there.
pub(crate) fn missing() -> Option<&'static str> {
    let found = Command::new("git").arg("--exec-path").output().ok()?;
    let path = String::from_utf8_lossy(&found.stdout).trim().to_owned();
    let there = found.status.success() && Path::new(&path).join("git-http-backend").exists();
    (!there).then_some("git http-backend")
}

/// `git` without the developer's settings.
pub(crate) fn git(folder: &Path, args: &[&str]) -> String {
    let output = clean("git")
        .current_dir(folder)
        .args(args)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "git {args:?}: {said}");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

fn clean(program: &str) -> Command {
    let mut command = Command::new(program);
    command.env_clear();
    command.env("PATH", std::env::var_os("PATH").unwrap());
    for name in ["AUTHOR", "COMMITTER"] {
        command.env(format!("GIT_{name}_NAME"), "Ann");
        command.env(format!("GIT_{name}_EMAIL"), "ann@example.com");
        command.env(format!("GIT_{name}_DATE"), "2026-01-02T03:04:05Z");
    }
    command
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("HOME", "/nonexistent");
    command
}

impl GitServer {
    pub(crate) async fn start() -> Self {
        let root = tempfile::tempdir().unwrap();
        let state = Arc::new(Served {
            root: root.path().to_owned(),
            fault: std::sync::Mutex::new(Fault::None),
            requests: AtomicUsize::new(0),
            unauthorized: AtomicUsize::new(0),
            any_token: AtomicBool::new(false),
        });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let routes = Router::new().fallback(serve).with_state(Arc::clone(&state));
        tokio::spawn(async move { axum::serve(listener, routes).await });
        Self { url, root, state }
    }

    /// A bare repository `acme/shop.git` with commits, each a list of files; returns a work tree.
    pub(crate) fn repository(&self, commits: usize) -> PathBuf {
        let work = self.root.path().join("work");
        std::fs::create_dir_all(&work).unwrap();
        git(&work, &["init", "-q", "-b", "main"]);
        for n in 0..commits {
            self.commit(&work, n);
        }
        let bare = self.root.path().join("acme/shop.git");
        git(
            self.root.path(),
            &["init", "-q", "--bare", "-b", "main", bare.to_str().unwrap()],
        );
        git(&work, &["push", "-q", bare.to_str().unwrap(), "main"]);
        work
    }

    pub(crate) fn commit(&self, work: &Path, n: usize) {
        std::fs::create_dir_all(work.join("apps")).unwrap();
        std::fs::write(work.join("apps/a.yaml"), format!("version: {n}\n")).unwrap();
        std::fs::write(work.join(format!("apps/{n}.yaml")), "kind: X\n").unwrap();
        git(work, &["add", "-A"]);
        git(work, &["commit", "-q", "-m", &format!("change {n}")]);
    }

    pub(crate) fn push(&self, work: &Path) {
        let bare = self.root.path().join("acme/shop.git");
        git(work, &["push", "-q", "-f", bare.to_str().unwrap(), "main"]);
    }

    pub(crate) fn fault(&self, fault: Fault) {
        *self.state.fault.lock().unwrap() = fault;
    }
}

async fn serve(State(served): State<Arc<Served>>, request: Request) -> Response {
    served.requests.fetch_add(1, Ordering::SeqCst);
    let (parts, body) = request.into_parts();
    let any = served.any_token.load(Ordering::SeqCst);
    if !any && !is_authorized(&parts.headers) {
        served.unauthorized.fetch_add(1, Ordering::SeqCst);
        let challenge = [("www-authenticate", "Basic realm=\"git\"")];
        return (StatusCode::UNAUTHORIZED, challenge).into_response();
    }
    let body = axum::body::to_bytes(body, 64 << 20).await.unwrap();
    let fault = *served.fault.lock().unwrap();
    if let Fault::Status(status) = fault {
        return StatusCode::from_u16(status).unwrap().into_response();
    }
    let root = served.root.clone();
    let run = move || cgi(&root, &parts.method, &parts.uri, &parts.headers, &body);
    let output = tokio::task::spawn_blocking(run).await.unwrap();
    respond(&output, fault)
}

fn is_authorized(headers: &HeaderMap) -> bool {
    let pair = format!("x-access-token:{TOKEN}");
    let pair = base64::engine::general_purpose::STANDARD.encode(pair);
    headers
        .get("authorization")
        .is_some_and(|h| h.as_bytes() == format!("Basic {pair}").as_bytes())
}

fn cgi(root: &Path, method: &Method, uri: &Uri, headers: &HeaderMap, body: &Bytes) -> Vec<u8> {
    let header = |name: &str| {
        let value = headers.get(name).and_then(|v| v.to_str().ok());
        value.unwrap_or_default().to_owned()
    };
    let mut child = clean("git")
        .arg("http-backend")
        .env("GIT_PROJECT_ROOT", root)
        .env("GIT_HTTP_EXPORT_ALL", "1")
        .env("PATH_INFO", uri.path())
        .env("QUERY_STRING", uri.query().unwrap_or_default())
        .env("REQUEST_METHOD", method.as_str())
        .env("CONTENT_TYPE", header("content-type"))
        .env("CONTENT_LENGTH", body.len().to_string())
        .env("REMOTE_ADDR", "127.0.0.1")
        .env("GIT_PROTOCOL", header("git-protocol"))
        .env("HTTP_CONTENT_ENCODING", header("content-encoding"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let body = body.clone();
    let writer = std::thread::spawn(move || stdin.write_all(&body).ok());
    let output = child.wait_with_output().unwrap().stdout;
    writer.join().unwrap();
    output
}

/// The CGI's headers end with an empty line; `Status:` sets the status.
fn respond(output: &[u8], fault: Fault) -> Response {
    let end = output
        .windows(4)
        .position(|w| w == b"\r\n\r\n")
        .unwrap_or(output.len());
    let head = String::from_utf8_lossy(output.get(..end).unwrap_or_default()).into_owned();
    let mut body = output.get(end + 4..).unwrap_or_default().to_vec();
    let mut response = Response::builder();
    for (name, value) in head.lines().filter_map(|l| l.split_once(": ")) {
        if name.eq_ignore_ascii_case("status") {
            let code: u16 = value
                .split(' ')
                .next()
                .and_then(|s| s.parse().ok())
                .unwrap_or(500);
            response = response.status(code);
        } else {
            response = response.header(name, value);
        }
    }
    if let Fault::CutAt(at) = fault {
        body.truncate(at);
    }
    response.body(Body::from(body)).unwrap()
}
