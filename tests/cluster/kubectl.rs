//! The cluster as a person with kubectl sees it.

use std::io::{BufReader, Write as _};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::Value;

/// So long anything that must happen may take.
pub const PATIENCE: Duration = Duration::from_secs(240);
/// What the README tells a person to dump.
const DUMP: &str = "all,events,configmaps,secrets,persistentvolumeclaims,persistentvolumes,storageclasses,\
nodes,namespaces,serviceaccounts,roles,rolebindings,clusterroles,clusterrolebindings,\
networkpolicies,ingresses,endpointslices,resourcequotas,limitranges,\
horizontalpodautoscalers,poddisruptionbudgets,controllerrevisions";

/// kubectl with credentials.
#[derive(Debug, Clone)]
pub struct Kubectl {
    pub program: PathBuf,
    pub config: PathBuf,
}

impl Kubectl {
    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command
            .args(args)
            .env("KUBECONFIG", &self.config)
            .stdin(Stdio::null());
        command
    }

    /// Runs it; what it printed, or what went wrong.
    pub fn run(&self, args: &[&str]) -> Result<String, String> {
        let output = self.command(args).output().map_err(|e| e.to_string())?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        Err(format!("kubectl {}: {said}", args.join(" ")))
    }

    /// Applies manifests.
    pub fn apply(&self, namespace: Option<&str>, manifests: &str) -> Result<(), String> {
        let mut args = vec!["apply", "--server-side", "--force-conflicts", "-f", "-"];
        args.extend(namespace.iter().flat_map(|n| ["-n", n]));
        let mut command = self.command(&args);
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        let mut child = command.spawn().map_err(|e| e.to_string())?;
        let mut stdin = child.stdin.take().ok_or("no stdin")?;
        let sent = stdin.write_all(manifests.as_bytes());
        drop(stdin);
        let output = child.wait_with_output().map_err(|e| e.to_string())?;
        sent.map_err(|e| e.to_string())?;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        match output.status.success() {
            true => Ok(()),
            false => Err(format!("kubectl apply: {said}\n{manifests}")),
        }
    }

    /// The dump of the README.
    pub fn dump(&self) -> Result<String, String> {
        self.run(&["get", DUMP, "-A", "-o", "yaml"])
    }

    /// One object as it is now.
    pub fn get(&self, namespace: &str, what: &str) -> Result<Value, String> {
        let text = self.run(&["get", "-n", namespace, what, "-o", "json"])?;
        serde_json::from_str(&text).map_err(|e| e.to_string())
    }

    /// Waits for an object of a kind, or of several with commas between, that is as wanted; sees every change
    /// that the server tells.
    pub fn wait(
        &self,
        namespace: &str,
        kind: &str,
        what: &str,
        is_so: impl Fn(&Value) -> bool,
    ) -> Result<Value, String> {
        let mut last = Value::Null;
        let found = self.watch(namespace, kind, |object| {
            let so = is_so(object);
            last = object.clone();
            so
        });
        found.map_err(|e| {
            let last = serde_json::to_string_pretty(&last).unwrap_or_default();
            format!("{namespace}: {what}: {e}; the last {kind} seen:\n{last}")
        })
    }

    fn watch(
        &self,
        namespace: &str,
        kinds: &str,
        mut is_last: impl FnMut(&Value) -> bool,
    ) -> Result<Value, String> {
        let (send, objects) = channel();
        let watches: Result<Vec<_>, String> = kinds
            .split(',')
            .map(|kind| self.watch_kind(namespace, kind, send.clone()))
            .collect();
        let watches = watches?;
        drop(send);
        let end = Instant::now() + PATIENCE;
        let found = loop {
            match objects.recv_timeout(end.saturating_duration_since(Instant::now())) {
                Ok(object) if is_last(&object) => break Ok(object),
                Ok(_) => {}
                Err(RecvTimeoutError::Timeout) => break Err("not in time".to_owned()),
                Err(RecvTimeoutError::Disconnected) => break Err("the watch ended".to_owned()),
            }
        };
        drop(objects);
        for (mut child, reader) in watches {
            let _ = child.kill();
            let _ = child.wait();
            let _ = reader.join();
        }
        found
    }

    /// kubectl only watches one kind at a time.
    fn watch_kind(
        &self,
        namespace: &str,
        kind: &str,
        send: Sender<Value>,
    ) -> Result<(Child, JoinHandle<()>), String> {
        let args = ["get", "-n", namespace, kind, "--watch", "-o", "json"];
        let mut child = self
            .command(&args)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|e| e.to_string())?;
        let output = BufReader::new(child.stdout.take().ok_or("no stdout")?);
        let reader = std::thread::spawn(move || {
            let stream = serde_json::Deserializer::from_reader(output).into_iter::<Value>();
            for object in stream.map_while(Result::ok) {
                if send.send(object).is_err() {
                    return;
                }
            }
        });
        Ok((child, reader))
    }
}
