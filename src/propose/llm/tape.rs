//! Records calls into a directory, and answers from one without any network.
//!
//! A call is two files, named after the SHA-256 of the request: `<key>.request.json`, the body as
//! it is sent (redacted; no key is in it), and `<key>.answer.json`: a chat completion, or the
//! answer's own JSON as a person or another program wrote it.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::{Failure, Reply};

/// Whether calls are recorded or played back.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Tape {
    /// Neither.
    #[default]
    Off,
    /// Calls are made and written to a directory.
    Record(PathBuf),
    /// Nothing is sent; answers come from a directory.
    Replay(PathBuf),
}

impl Tape {
    /// Writes the request, or finds its recorded answer.
    pub(super) fn before(&self, request: &Value) -> Result<Option<Reply>, Failure> {
        match self {
            Self::Off => Ok(None),
            Self::Record(directory) => {
                std::fs::create_dir_all(directory).map_err(Failure::silence)?;
                write(&file(directory, request, "request"), request)?;
                Ok(None)
            }
            Self::Replay(directory) => replay(directory, request).map(Some),
        }
    }

    /// Writes the answer.
    pub(super) fn after(&self, request: &Value, answer: &[u8]) -> Result<(), Failure> {
        let (Self::Record(directory), Ok(answer)) = (self, serde_json::from_slice(answer)) else {
            return Ok(());
        };
        write(&file(directory, request, "answer"), &kept(&answer))
    }
}

/// The parts of a completion that a replay needs; the rest may name accounts.
fn kept(answer: &Value) -> Value {
    let choice = answer.pointer("/choices/0").cloned().unwrap_or_default();
    let usage = answer.get("usage").cloned().unwrap_or_default();
    json!({"choices": [choice], "usage": usage})
}

/// The name of a request.
pub(super) fn key(request: &Value) -> String {
    let hash = Sha256::digest(request.to_string().as_bytes());
    hash.iter().take(16).map(|b| format!("{b:02x}")).collect()
}

fn file(directory: &Path, request: &Value, what: &str) -> PathBuf {
    directory.join(format!("{}.{what}.json", key(request)))
}

fn write(path: &Path, value: &Value) -> Result<(), Failure> {
    let text = serde_json::to_string_pretty(value).map_err(Failure::silence)?;
    std::fs::write(path, text + "\n").map_err(Failure::silence)
}

fn replay(directory: &Path, request: &Value) -> Result<Reply, Failure> {
    let path = file(directory, request, "answer");
    let bytes = std::fs::read(&path)
        .map_err(|e| Failure::silence(format!("no recorded answer at {}: {e}", path.display())))?;
    let value: Value = serde_json::from_slice(&bytes)
        .map_err(|e| Failure::unusable(format!("the recorded answer is no JSON: {e}")))?;
    if value.get("choices").is_some() {
        return Reply::read(&bytes);
    }
    Ok(Reply {
        finish_reason: "stop".to_owned(),
        content: Some(String::from_utf8_lossy(&bytes).into_owned()),
        refusal: None,
        prompt_tokens: None,
        completion_tokens: None,
    })
}
