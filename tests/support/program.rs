//! `kubemend serve` as a child process, and what it logs.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use serde_json::Value;

/// So long a test waits for something that must happen; nothing is concluded from the time.
const PATIENCE: Duration = Duration::from_secs(300);

/// The running program and its log.
pub struct Program {
    pub child: Child,
    lines: Receiver<String>,
    pub log: Vec<Value>,
}

impl Program {
    pub fn start(command: &mut Command) -> Self {
        let mut child = command
            .stderr(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let (send, lines) = channel();
        std::thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                if send.send(line).is_err() {
                    break;
                }
            }
        });
        Self {
            child,
            lines,
            log: Vec::new(),
        }
    }

    /// The next line with this message; every line is a JSON object.
    pub fn until(&mut self, message: &str) -> Value {
        loop {
            let line = self.lines.recv_timeout(PATIENCE);
            let line = line.unwrap_or_else(|e| panic!("no `{message}`: {e}; {:#?}", self.log));
            let line: Value = serde_json::from_str(&line).unwrap_or_else(|_| panic!("{line}"));
            self.log.push(line.clone());
            if line["message"] == message {
                return line;
            }
        }
    }

    /// What it logged so far, one line each.
    pub fn rest(&mut self) -> String {
        let read = |line: String| serde_json::from_str(&line).unwrap_or(Value::String(line));
        self.log.extend(self.lines.try_iter().map(read));
        let last = self.log.len().saturating_sub(60);
        let lines: Vec<String> = self.log[last..].iter().map(ToString::to_string).collect();
        lines.join("\n")
    }

    pub fn address(&mut self) -> std::net::SocketAddr {
        self.until("listening")["address"]
            .as_str()
            .unwrap()
            .parse()
            .unwrap()
    }

    pub fn signal(&self, signal: rustix::process::Signal) {
        rustix::process::kill_process(rustix::process::Pid::from_child(&self.child), signal)
            .unwrap();
    }

    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
