//! What GitHub tells a webhook: one signed delivery for each thing that happened.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::{Value, json};
use sha2::Sha256;

/// Shared with the program.
pub const SECRET: &str = "the webhook secret of a trial";

/// The webhook of the repository.
#[derive(Debug)]
pub struct Hook {
    pub address: SocketAddr,
    /// As deliveries name it.
    pub repository: Value,
    pub sent: AtomicUsize,
}

/// The event and action of an operation that succeeded.
pub fn event(method: &str, route: &str) -> Option<(&'static str, &'static str)> {
    let rest = route.strip_prefix("/repos/{owner}/{repo}/")?;
    Some(match (method, rest) {
        ("POST", "issues/{issue_number}/comments") => ("issue_comment", "created"),
        ("POST", "issues") => ("issues", "opened"),
        ("POST", "pulls") => ("pull_request", "opened"),
        ("PUT", "pulls/{pull_number}/merge") => ("pull_request", "closed"),
        ("PATCH", "pulls/{pull_number}") => ("pull_request", "edited"),
        ("POST" | "PATCH", "git/refs" | "git/refs/{ref}") => ("push", ""),
        _ => return None,
    })
}

impl Hook {
    /// Sends a delivery; anything but 202 is an error.
    pub fn deliver(&self, event: &str, action: &str, login: &str) -> Result<(), String> {
        let kind = if login.ends_with("bot") {
            "Bot"
        } else {
            "User"
        };
        let mut payload = json!({
            "repository": self.repository,
            "sender": {"id": 7, "login": login, "type": kind},
        });
        if !action.is_empty() {
            payload["action"] = json!(action);
        }
        let body = payload.to_string();
        let mut mac =
            Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).map_err(|e| e.to_string())?;
        mac.update(body.as_bytes());
        let digest: String = mac
            .finalize()
            .into_bytes()
            .iter()
            .map(|b| format!("{b:02x}"))
            .collect();
        let number = self.sent.fetch_add(1, Ordering::SeqCst);
        let head = format!(
            "POST /webhook/github HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-type: application/json\r\n\
             x-github-event: {event}\r\nx-github-delivery: d-{number}\r\nx-hub-signature-256: sha256={digest}\r\n\
             content-length: {}\r\n\r\n",
            body.len()
        );
        let answer = send(self.address, &(head + &body)).map_err(|e| e.to_string())?;
        match answer.contains(" 202 ") {
            true => Ok(()),
            false => Err(format!("{event} was answered with {answer}")),
        }
    }
}

/// The first line of the answer.
fn send(address: SocketAddr, request: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(30)))?;
    stream.write_all(request.as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer.lines().next().unwrap_or_default().to_owned())
}
