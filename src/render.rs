//! Runs the user's own kustomize (or `kubectl kustomize`) in a locked-down child process.
//!
//! What is rendered is untrusted. The child gets a private directory that holds nothing but the
//! files that it needs, an empty home, an empty PATH (so no git, no plugins, no helm), a proxy that
//! answers nothing, and limits of time, output and memory.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io::{self, Read};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Resource, Rlimit, Signal, kill_process_group, prlimit};

/// A renderer that was found and asked for its version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Renderer {
    /// Program and leading arguments.
    pub command: Vec<String>,
    /// Its version, for the proof.
    pub version: String,
    /// What one run may use up.
    pub limits: Limits,
}

/// What one run of the renderer may use up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Wall-clock time.
    pub time: Duration,
    /// Bytes of output.
    pub output: usize,
    /// Bytes of input files.
    pub input: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            time: Duration::from_secs(30),
            output: 64 * 1024 * 1024,
            input: 64 * 1024 * 1024,
        }
    }
}

/// A renderer that cannot be used, or a rendering that failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct RenderError(pub String);

/// Address space of the child. Go reserves much more than it uses.
const MAX_MEMORY: u64 = 8 * 1024 * 1024 * 1024;
/// How much of an error message is kept.
const MAX_ERROR: usize = 16 * 1024;

impl Renderer {
    /// The given program, else the first of kustomize and kubectl on PATH; none where neither is.
    pub fn find(given: Option<&Path>) -> Result<Option<Self>, RenderError> {
        if let Some(program) = given {
            return Self::from_program(program).map(Some);
        }
        let path = std::env::var_os("PATH").unwrap_or_default();
        let usable = ["kustomize", "kubectl"]
            .iter()
            .filter_map(|name| on_path(&path, name))
            .find_map(|program| Self::from_program(&program).ok());
        Ok(usable)
    }

    /// A renderer from its program: kustomize, or a kubectl.
    pub fn from_program(program: &Path) -> Result<Self, RenderError> {
        let program = program
            .canonicalize()
            .map_err(|e| RenderError(format!("{}: {e}", program.display())))?
            .display()
            .to_string();
        let kubectl = ask(&program, &["version", "--client", "-o", "json"])?;
        if let Some(version) = kubectl.as_deref().and_then(kustomize_in_kubectl) {
            return Ok(Self::new(
                vec![program, "kustomize".to_owned()],
                format!("kubectl kustomize {version}"),
            ));
        }
        let version = ask(&program, &["version"])?.and_then(|text| plain_version(&text));
        let Some(version) = version else {
            let message = format!(
                "{program} is neither kustomize nor kubectl: it names no version of its own"
            );
            return Err(RenderError(message));
        };
        Ok(Self::new(
            vec![program, "build".to_owned()],
            format!("kustomize {version}"),
        ))
    }

    fn new(command: Vec<String>, version: String) -> Self {
        Self {
            command,
            version,
            limits: Limits::default(),
        }
    }

    /// Renders the kustomization in `dir`. Only `files` exist for it: paths with `/`, relative, and
    /// without `..`.
    pub fn render(&self, files: &BTreeMap<&str, &[u8]>, dir: &str) -> Result<String, RenderError> {
        let jail = tempfile::Builder::new()
            .prefix("kubemend-render-")
            .tempdir()
            .map_err(|e| RenderError(format!("no temporary directory: {e}")))?;
        let tree = jail.path().join("tree");
        write_tree(&tree, files, self.limits.input)?;
        let home = jail.path().join("home");
        std::fs::create_dir_all(&home).map_err(|e| RenderError(format!("no home: {e}")))?;
        let target = tree.join(relative(dir)?);
        let output = self.run(&target, &home)?;
        output.map_err(|message| RenderError(message.replace(&format!("{}/", tree.display()), "")))
    }

    /// The output, or what the tool said when it failed.
    fn run(&self, target: &Path, home: &Path) -> Result<Result<String, String>, RenderError> {
        let (program, arguments) = self
            .command
            .split_first()
            .ok_or_else(|| RenderError("no renderer".to_owned()))?;
        let mut command = jailed(program, home);
        command
            .args(arguments)
            .arg("--load-restrictor=LoadRestrictionsNone")
            .arg(target)
            .current_dir(home);
        let finished = supervise(command, self.limits)
            .map_err(|message| RenderError(format!("{program}: {message}")))?;
        if !finished.success {
            return Ok(Err(tail(&finished.stderr)));
        }
        String::from_utf8(finished.stdout)
            .map(Ok)
            .map_err(|_| RenderError("the renderer's output is not UTF-8".to_owned()))
    }
}

/// Whether the text names a place outside the repository: a URL, or a Git host.
pub fn is_remote(text: &str) -> bool {
    let lower = text.to_ascii_lowercase();
    lower.contains("://")
        || lower.contains("?ref=")
        || lower.contains("?version=")
        || ["git@", "git::", "github.com/", "github.com:", "gh:"]
            .iter()
            .any(|prefix| lower.starts_with(prefix))
}

fn on_path(path: &OsStr, name: &str) -> Option<PathBuf> {
    std::env::split_paths(path)
        .filter(|dir| dir.is_absolute())
        .map(|dir| dir.join(name))
        .find(|program| program.is_file())
}

/// The standard output of a short, harmless call; none where the program minds it.
fn ask(program: &str, arguments: &[&str]) -> Result<Option<String>, RenderError> {
    let fails = |e: &dyn std::fmt::Display| RenderError(format!("{program} cannot be run: {e}"));
    let home = tempfile::tempdir().map_err(|e| fails(&e))?;
    let mut command = jailed(program, home.path());
    command.args(arguments).current_dir(home.path());
    let limits = Limits {
        time: Duration::from_secs(10),
        output: 64 * 1024,
        input: 0,
    };
    let finished = supervise(command, limits).map_err(|e| fails(&e))?;
    let told = String::from_utf8(finished.stdout).ok();
    Ok(told.filter(|_| finished.success))
}

fn kustomize_in_kubectl(text: &str) -> Option<String> {
    let value: serde_json::Value = serde_json::from_str(text).ok()?;
    value.get("clientVersion")?;
    let version = value.get("kustomizeVersion")?.as_str()?;
    plain_version(version)
}

/// `v5.5.0` out of `v5.5.0` or `{kustomize/v4.5.7  2022-…}`.
fn plain_version(text: &str) -> Option<String> {
    let start = text
        .char_indices()
        .find(|(i, c)| *c == 'v' && text[i + 1..].starts_with(|d: char| d.is_ascii_digit()))?
        .0;
    let version: String = text[start..]
        .chars()
        .take_while(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '+'))
        .take(40)
        .collect();
    version.contains('.').then_some(version)
}

/// A command with nothing of our environment, in a process group of its own.
fn jailed(program: &str, home: &Path) -> Command {
    let mut command = Command::new(program);
    command
        .env_clear()
        .env("HOME", home)
        .env("XDG_CONFIG_HOME", home.join("config"))
        .env("XDG_CACHE_HOME", home.join("cache"))
        .env("XDG_DATA_HOME", home.join("data"))
        .env("TMPDIR", home)
        // No program can be found, so no git, no helm and no plugin can be started.
        .env("PATH", home.join("bin"))
        .env("GIT_TERMINAL_PROMPT", "0")
        // Not a wall: loopback goes around a proxy. Remote sources are refused before this runs.
        .env("HTTP_PROXY", "http://127.0.0.1:9")
        .env("HTTPS_PROXY", "http://127.0.0.1:9")
        .env("GOMAXPROCS", "2")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0);
    command
}

/// A path inside the jail, as it is used for writing.
fn relative(path: &str) -> Result<PathBuf, RenderError> {
    let bad = |part: &str| part == ".." || part.contains('\0');
    if path.starts_with('/') || path.split('/').any(bad) {
        let message = format!("{path:?} leads out of the repository");
        return Err(RenderError(message));
    }
    Ok(path
        .split('/')
        .filter(|p| !p.is_empty() && *p != ".")
        .collect())
}

fn write_tree(tree: &Path, files: &BTreeMap<&str, &[u8]>, limit: usize) -> Result<(), RenderError> {
    let size: usize = files.values().map(|bytes| bytes.len()).sum();
    if size > limit {
        let message = format!("the root reads {size} bytes, the limit is {limit}");
        return Err(RenderError(message));
    }
    for (path, bytes) in files {
        let file = tree.join(relative(path)?);
        let write = || -> io::Result<()> {
            if let Some(parent) = file.parent() {
                std::fs::create_dir_all(parent)?;
            }
            std::fs::write(&file, bytes)
        };
        write().map_err(|e| RenderError(format!("{path}: {e}")))?;
    }
    Ok(())
}

struct Finished {
    success: bool,
    stdout: Vec<u8>,
    stderr: Vec<u8>,
}

/// Kills the whole process group when dropped, whatever the reason.
struct Group(Child);

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(pid) = pid(&self.0) {
            // It may be gone already; then there is nothing to kill.
            let _ = kill_process_group(pid, Signal::KILL);
        }
        let _ = self.0.wait();
    }
}

fn pid(child: &Child) -> Option<Pid> {
    i32::try_from(child.id()).ok().and_then(Pid::from_raw)
}

/// Runs a child to its end, or to the end of its limits.
fn supervise(mut command: Command, limits: Limits) -> Result<Finished, String> {
    let deadline = Instant::now() + limits.time;
    let mut group = Group(command.spawn().map_err(|e| e.to_string())?);
    if let Some(pid) = pid(&group.0) {
        let limit = Rlimit {
            current: Some(MAX_MEMORY),
            maximum: Some(MAX_MEMORY),
        };
        // Where the system forbids it, the other limits still hold.
        let _ = prlimit(Some(pid), Resource::As, limit);
    }
    let (send, receive) = mpsc::channel();
    drain(group.0.stdout.take(), limits.output, false, &send);
    drain(group.0.stderr.take(), MAX_ERROR, true, &send);
    drop(send);
    let mut finished = Finished {
        success: false,
        stdout: Vec::new(),
        stderr: Vec::new(),
    };
    for _ in 0..2 {
        let left = deadline.saturating_duration_since(Instant::now());
        let (error, bytes) = receive
            .recv_timeout(left)
            .map_err(|_| format!("no answer within {} s", limits.time.as_secs_f32()))?;
        match (error, bytes) {
            (false, Some(bytes)) => finished.stdout = bytes,
            (false, None) => {
                return Err(format!("more than {} bytes of output", limits.output));
            }
            (true, bytes) => finished.stderr = bytes.unwrap_or_default(),
        }
    }
    finished.success = wait_until(&mut group.0, deadline)?;
    Ok(finished)
}

/// Both streams are closed, so the child is about to end; one that does not is not trusted.
fn wait_until(child: &mut Child, deadline: Instant) -> Result<bool, String> {
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return Ok(status.success()),
            Ok(None) if Instant::now() < deadline => std::thread::sleep(Duration::from_millis(1)),
            Ok(None) => return Err("it closed its output and did not end".to_owned()),
            Err(e) => return Err(e.to_string()),
        }
    }
}

/// Reads a stream to its end in a thread; none where it is over the limit. Error output is cut
/// instead.
fn drain(
    stream: Option<impl Read + Send + 'static>,
    limit: usize,
    error: bool,
    send: &mpsc::Sender<(bool, Option<Vec<u8>>)>,
) {
    let send = send.clone();
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(mut stream) = stream {
            let most = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
            let read = stream.by_ref().take(most).read_to_end(&mut bytes);
            if error {
                let _ = io::copy(&mut stream, &mut io::sink());
            } else if read.is_err() || bytes.len() > limit {
                let _ = send.send((false, None));
                return;
            }
        }
        let _ = send.send((error, Some(bytes)));
    });
}

/// The last lines of what a tool says, without its own decoration.
fn tail(stderr: &[u8]) -> String {
    let text = String::from_utf8_lossy(stderr);
    let lines: Vec<&str> = text
        .lines()
        .filter(|l| !l.trim().is_empty() && !l.starts_with('#'))
        .collect();
    let last = lines.len().saturating_sub(5);
    let joined = lines.get(last..).unwrap_or_default().join("\n");
    let message = joined
        .split_once("err=\"")
        .map_or(joined.as_str(), |(_, rest)| rest.trim_end_matches('"'));
    let message = message.strip_prefix("Error: ").unwrap_or(message);
    match message.char_indices().nth(1500) {
        Some((cut, _)) => format!("{}…", &message[..cut]),
        None if message.is_empty() => "it failed and said nothing".to_owned(),
        None => message.replace("\\\"", "\""),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    /// A stand-in for kustomize: answers `version`, else runs the given shell text.
    fn fake(dir: &Path, body: &str) -> Renderer {
        let program = dir.join("kustomize");
        let text =
            format!("#!/bin/sh\nif [ \"$1\" = version ]; then echo v9.9.9; exit; fi\n{body}\n");
        std::fs::write(&program, text).unwrap();
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
        Renderer::find(Some(&program)).unwrap().unwrap()
    }

    fn files<'f>(list: &[(&'f str, &'f str)]) -> BTreeMap<&'f str, &'f [u8]> {
        list.iter().map(|(p, t)| (*p, t.as_bytes())).collect()
    }

    #[test]
    fn the_output_is_returned_and_the_version_known() {
        let dir = tempfile::tempdir().unwrap();
        let renderer = fake(dir.path(), "echo a: 1");
        assert_eq!(renderer.version, "kustomize v9.9.9");
        let input = files(&[("app/kustomization.yaml", "")]);
        assert_eq!(renderer.render(&input, "app").unwrap(), "a: 1\n");
    }

    #[test]
    fn nothing_of_our_environment_reaches_the_child() {
        let dir = tempfile::tempdir().unwrap();
        let renderer = fake(dir.path(), "export -p; pwd");
        let seen = renderer.render(&files(&[("k", "")]), "").unwrap();
        assert!(!seen.contains("CARGO"), "{seen}");
        let home = std::env::var("HOME").unwrap_or_default();
        assert!(!seen.contains(&format!("HOME='{home}'")), "{seen}");
    }

    #[test]
    fn the_last_words_of_a_failure_are_kept() {
        let dir = tempfile::tempdir().unwrap();
        let renderer = fake(dir.path(), "echo 'Error: no such file x' >&2; exit 1");
        let error = renderer.render(&files(&[("k", "")]), "").unwrap_err();
        assert_eq!(error.to_string(), "no such file x");
    }

    #[test]
    fn a_run_without_end_and_output_without_end_are_stopped() {
        let dir = tempfile::tempdir().unwrap();
        let mut renderer = fake(dir.path(), "while :; do :; done");
        renderer.limits.time = Duration::from_millis(50);
        let error = renderer.render(&files(&[("k", "")]), "").unwrap_err();
        assert!(error.0.contains("no answer within"), "{error}");
        let mut renderer = fake(dir.path(), "while :; do echo aaaaaaaaaaaaaaaa; done");
        renderer.limits.output = 1000;
        let error = renderer.render(&files(&[("k", "")]), "").unwrap_err();
        assert!(error.0.contains("more than 1000 bytes"), "{error}");
    }

    #[test]
    fn paths_out_of_the_tree_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let renderer = fake(dir.path(), "echo a: 1");
        for path in ["../x", "/etc/x", "a/../../x"] {
            let error = renderer.render(&files(&[(path, "")]), "").unwrap_err();
            assert!(error.0.contains("out of the repository"), "{error}");
        }
        assert!(renderer.render(&files(&[("k", "")]), "..").is_err());
    }

    #[test]
    fn a_program_that_is_no_renderer_is_refused() {
        let error = Renderer::find(Some(Path::new("/bin/true"))).unwrap_err();
        assert!(error.0.contains("neither kustomize nor kubectl"), "{error}");
        assert!(Renderer::find(Some(Path::new("/nonexistent/kustomize"))).is_err());
    }

    #[test]
    fn versions_are_read_in_all_their_forms() {
        let read = |text: &str| plain_version(text).unwrap_or_default();
        assert_eq!(read("v5.8.1\n"), "v5.8.1");
        assert_eq!(read("{kustomize/v4.5.7  2022-08-02T16:35:54Z  }"), "v4.5.7");
        assert_eq!(read("version unknown"), "");
    }

    #[test]
    fn remote_places_are_known_by_their_form() {
        for remote in [
            "https://example.com/x.yaml",
            "github.com/acme/base?ref=v1",
            "git@example.com:acme/base.git",
            "ssh://git@example.com/x",
            "example.com/acme/base//k8s?ref=main",
        ] {
            assert!(is_remote(remote), "{remote}");
        }
        for local in [
            "../base",
            "deployment.yaml",
            "github.com.yaml",
            "a/b@c.yaml",
        ] {
            assert!(!is_remote(local), "{local}");
        }
    }
}
