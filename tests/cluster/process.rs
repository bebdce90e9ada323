//! Programs that cannot outlive their test.

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};

use crate::plane::POLL;

/// Runs the program, and ends its whole group when the program ends or when stdin does. The pipe is
/// held by the test alone, so a test that is killed takes everything along.
const KEEPER: &str = r#"{ "$@" </dev/null; kill -KILL 0; } & cat >/dev/null; kill -KILL 0"#;
/// So much of a log is shown when something went wrong.
const TAIL: i64 = 4_000;

/// A running program.
pub struct Process {
    name: String,
    command: Command,
    child: Child,
    pipe: Option<ChildStdin>,
    log: PathBuf,
}

impl Process {
    /// Starts a program with its output in `folder/NAME.log`.
    pub fn start(name: &str, folder: &Path, program: &Command) -> Result<Self, String> {
        let log = folder.join(format!("{name}.log"));
        let output = File::create(&log).map_err(|e| format!("{}: {e}", log.display()))?;
        let errors = output.try_clone().map_err(|e| e.to_string())?;
        let mut command = Command::new("sh");
        command.args(["-c", KEEPER, "sh"]);
        command.arg(program.get_program()).args(program.get_args());
        for (key, value) in program.get_envs() {
            if let Some(value) = value {
                command.env(key, value);
            }
        }
        command
            .stdin(Stdio::piped())
            .stdout(output)
            .stderr(errors)
            .process_group(0);
        let mut child = command.spawn().map_err(|e| format!("{name}: {e}"))?;
        Ok(Self {
            name: name.to_owned(),
            command,
            pipe: child.stdin.take(),
            child,
            log,
        })
    }

    /// What it is called.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Kills it without a warning, and starts it again.
    pub fn restart(&mut self) -> Result<(), String> {
        let group = self.child.id().cast_signed();
        self.kill();
        // its ports are taken until the last of the group is gone
        let group = rustix::process::Pid::from_raw(group).ok_or("no group")?;
        while rustix::process::test_kill_process_group(group).is_ok() {
            std::thread::sleep(POLL);
        }
        let started = self.command.spawn();
        self.child = started.map_err(|e| format!("{}: {e}", self.name))?;
        self.pipe = self.child.stdin.take();
        Ok(())
    }

    fn kill(&mut self) {
        drop(self.pipe.take());
        let _ = self.child.wait();
    }

    /// Whether it still runs.
    pub fn is_alive(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// The end of what it said.
    pub fn tail(&self) -> String {
        let read = || -> std::io::Result<String> {
            let mut file = File::open(&self.log)?;
            let size = file.metadata()?.len();
            let start = size.saturating_sub(TAIL.unsigned_abs());
            file.seek(SeekFrom::Start(start))?;
            let mut bytes = Vec::new();
            file.read_to_end(&mut bytes)?;
            Ok(String::from_utf8_lossy(&bytes).into_owned())
        };
        let text = read().unwrap_or_else(|e| e.to_string());
        format!("--- {}\n{text}\n", self.name)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}
