//! Row 65: who wrote what, and why.

use std::cell::RefCell;
use std::io::Write;
use std::sync::{Arc, Mutex, Once};

use serde_json::Value;

use super::*;

/// Log lines, as JSON.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

thread_local! {
    /// Where the lines of a test go: each runs on a thread of its own.
    static LINES: RefCell<Option<Lines>> = const { RefCell::new(None) };
}

/// Writes to the lines of the thread, if a test there reads them.
struct Here;

impl Write for Here {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        LINES.with_borrow(|lines| {
            if let Some(Lines(all)) = lines {
                all.lock().unwrap().extend_from_slice(bytes);
            }
        });
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Lines {
    /// The lines of this thread from now on. One subscriber for the whole process: with one for a
    /// thread, whichever thread comes first to a place that logs decides that nobody listens there.
    fn here() -> Self {
        static ONCE: Once = Once::new();
        ONCE.call_once(|| {
            let subscriber = tracing_subscriber::fmt()
                .json()
                .flatten_event(true)
                .with_env_filter("audit=info")
                .with_writer(|| Here)
                .finish();
            tracing::subscriber::set_global_default(subscriber).unwrap();
        });
        let lines = Self::default();
        LINES.set(Some(lines.clone()));
        // a thread that came to such a place while that was set up found nobody
        tracing::callsite::rebuild_interest_cache();
        lines
    }

    fn read(&self) -> Vec<Value> {
        let text = String::from_utf8(self.0.lock().unwrap().clone()).unwrap();
        let line = |l: &str| serde_json::from_str(l).unwrap();
        text.lines().map(line).collect()
    }
}

/// Each write has one line that says whose it is; nothing else has.
#[tokio::test]
async fn every_write_leaves_one_line() {
    let mut stage = stage(vec![app("cart"), app("pay")]).await;
    let lines = Lines::here();
    stage.rules.dashboard = true;
    stage.clean().await;
    let number = stage.open()[0];
    stage
        .github
        .human("alice")
        .comment(number, "/kubemend ignore");
    stage.apps[1].memory = "1Gi";
    stage.clean().await;
    let sent: Vec<String> = stage
        .github
        .journal()
        .iter()
        .filter(|e| e.write)
        .map(|e| format!("{} {}", e.method, e.path))
        .collect();
    let told = lines.read();
    let what: Vec<&str> = told.iter().map(|l| l["what"].as_str().unwrap()).collect();
    assert_eq!(what, sent);
    assert!(sent.len() > 10, "{sent:?}");
    let by = |line: &&Value, login: &str| line["by"] == login;
    let opened = told
        .iter()
        .find(|l| l["what"] == "POST /repos/acme/gitops/pulls");
    let opened = opened.unwrap();
    assert_eq!(opened["by"], "pass");
    assert_eq!(opened["repository"], "acme/gitops");
    let known = stage.apps.iter().map(fingerprint);
    assert!(known.into_iter().any(|f| opened["fingerprint"] == f));
    assert_eq!(opened["proposer"], "playbook memory");
    assert_eq!(opened["status"], 201);
    assert!(!opened["request_id"].as_str().unwrap().is_empty());
    let hers: Vec<&Value> = told.iter().filter(|l| by(l, "alice")).collect();
    assert!(hers.len() >= 3, "eyes, the marker, the answer: {hers:?}");
    assert!(hers.iter().all(|l| l["by_id"].as_u64() > Some(0)));
    assert!(hers.iter().any(|l| l["number"] == number));
}
