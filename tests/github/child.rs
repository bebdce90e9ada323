//! The emulator as a child process that cannot outlive its test.

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::Duration;

use serde_json::Value;

/// A running emulator. It ends when its stdin does, so also when this process dies.
pub struct Emulator {
    child: Child,
    stdin: Option<ChildStdin>,
    pub port: u16,
    log: tempfile::NamedTempFile,
}

impl Emulator {
    pub fn start(node: &Path, base_url: &str, seed: &Value) -> Result<Self, String> {
        let tools = Path::new(env!("CARGO_MANIFEST_DIR")).join("tools");
        let log = tempfile::NamedTempFile::new().map_err(|e| e.to_string())?;
        let output = log.reopen().map_err(|e| e.to_string())?;
        let mut child = Command::new(node)
            .arg(tools.join("github-emulator.mjs"))
            .current_dir(&tools)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(output)
            .process_group(0)
            .spawn()
            .map_err(|e| format!("{}: {e}", node.display()))?;
        let mut stdin = child.stdin.take().ok_or("no stdin")?;
        let stdout = child.stdout.take().ok_or("no stdout")?;
        let order = serde_json::json!({"baseUrl": base_url, "seed": seed});
        let sent = writeln!(stdin, "{order}");
        let mut running = Self {
            child,
            stdin: Some(stdin),
            port: 0,
            log,
        };
        sent.map_err(|e| running.said(&e.to_string()))?;
        running.port = first_line(stdout).map_err(|e| running.said(&e))?;
        Ok(running)
    }

    /// What went wrong, with the tail of what the emulator said.
    fn said(&self, what: &str) -> String {
        let log = std::fs::read_to_string(self.log.path()).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        format!(
            "{what}\n{}",
            lines[lines.len().saturating_sub(20)..].join("\n")
        )
    }

    pub fn tail(&self) -> String {
        self.said("emulator:")
    }
}

/// The port, within a bounded time.
fn first_line(stdout: std::process::ChildStdout) -> Result<u16, String> {
    let (send, receive) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let mut line = String::new();
        let read = BufReader::new(stdout).read_line(&mut line);
        let _ = send.send(read.map(|_| line));
    });
    let line = receive.recv_timeout(Duration::from_secs(60));
    let line = line
        .map_err(|_| "not ready in 60 s")?
        .map_err(|e| e.to_string())?;
    line.trim()
        .parse()
        .map_err(|_| format!("no port: {line:?}"))
}

impl Drop for Emulator {
    fn drop(&mut self) {
        drop(self.stdin.take());
        for _ in 0..50 {
            if matches!(self.child.try_wait(), Ok(Some(_))) {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        // its own group, by its own id
        if let Some(group) = rustix::process::Pid::from_raw(self.child.id() as i32) {
            let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
        }
        let _ = self.child.wait();
    }
}
