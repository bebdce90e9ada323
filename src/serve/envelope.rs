//! What a delivery is about: the few facts of its payload that decide who is woken. Pure.
//!
//! The payload is only a hint. Nothing in it is acted upon: the worker reads the truth through the
//! API. So everything here is optional, and what has an unexpected form counts as absent.

use serde::de::IgnoredAny;
use serde::{Deserialize, Deserializer};

use crate::config::BRANCH_PREFIX;

/// The facts of a payload.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub struct Envelope {
    /// What happened.
    #[serde(deserialize_with = "lenient")]
    pub action: Option<String>,
    /// The App's installation.
    #[serde(deserialize_with = "lenient")]
    pub installation: Option<Id>,
    /// Where.
    #[serde(deserialize_with = "lenient")]
    pub repository: Option<Named>,
    /// Who.
    #[serde(deserialize_with = "lenient")]
    pub sender: Option<Sender>,
    /// The pull request's number, where the event has one.
    #[serde(deserialize_with = "lenient")]
    pub number: Option<u64>,
    /// The ref of a push.
    #[serde(rename = "ref", deserialize_with = "lenient")]
    pub git_ref: Option<String>,
    /// Whether a push deleted its ref.
    #[serde(deserialize_with = "lenient")]
    pub deleted: Option<bool>,
}

/// Something with a numeric id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub struct Id {
    /// The id.
    pub id: u64,
}

/// A repository.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Named {
    /// The stable numeric id.
    pub id: u64,
    /// `owner/name`, as of the event.
    pub full_name: String,
}

/// Who caused the event.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Sender {
    /// The stable numeric id.
    pub id: u64,
    /// `User` or `Bot`.
    #[serde(rename = "type", default, deserialize_with = "lenient")]
    pub kind: Option<String>,
}

/// What a delivery asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Interest {
    /// An answer, to see that the server is there.
    Ping,
    /// A look at one repository.
    Repository(Named),
    /// A look at which repositories there are.
    Installations,
    /// Nothing.
    Ignored,
}

/// A payload that is no JSON object.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a JSON object at line {line}, column {column}")]
pub struct Unreadable {
    /// From 1.
    pub line: usize,
    /// From 1.
    pub column: usize,
}

impl Envelope {
    /// Reads a payload. What is not needed is skipped without being kept.
    pub fn parse(bytes: &[u8]) -> Result<Self, Unreadable> {
        serde_json::from_slice(bytes).map_err(|e| Unreadable {
            line: e.line(),
            column: e.column(),
        })
    }

    /// What this delivery asks for. `me` is our own id: what we did ourselves as a machine wakes
    /// nobody. With the token of a person, that person still merges, closes and labels; but
    /// comments of our account are never heard.
    pub fn interest(&self, event: &str, me: Option<u64>) -> Interest {
        if event == "ping" {
            return Interest::Ping;
        }
        if matches!(event, "installation" | "installation_repositories") {
            return Interest::Installations;
        }
        match &self.repository {
            Some(repository) if self.matters(event) && !self.is_own(event, me) => {
                Interest::Repository(repository.clone())
            }
            _ => Interest::Ignored,
        }
    }

    fn matters(&self, event: &str) -> bool {
        let action = self.action.as_deref().unwrap_or_default();
        match event {
            "push" => self.is_somebodys_branch(),
            "issue_comment" | "pull_request_review_comment" => action == "created",
            "pull_request_review" => action == "submitted",
            "pull_request" => [
                "closed",
                "reopened",
                "labeled",
                "unlabeled",
                "edited",
                "synchronize",
                "ready_for_review",
            ]
            .contains(&action),
            "issues" => ["edited", "closed", "reopened", "labeled", "unlabeled"].contains(&action),
            "check_run" => action == "requested_action",
            "repository" => ["renamed", "transferred", "unarchived", "edited"].contains(&action),
            _ => false,
        }
    }

    /// Which branch is the base stands in the repository: better one look too many. What people push
    /// onto a branch of ours is told by its pull request.
    fn is_somebodys_branch(&self) -> bool {
        let pushed = self.git_ref.as_deref();
        let branch = pushed.and_then(|r| r.strip_prefix("refs/heads/"));
        branch.is_some_and(|b| !b.starts_with(BRANCH_PREFIX)) && self.deleted != Some(true)
    }

    fn is_own(&self, event: &str, me: Option<u64>) -> bool {
        let speaks = matches!(
            event,
            "issue_comment" | "pull_request_review_comment" | "pull_request_review"
        );
        let is_machine = |s: &Sender| s.kind.as_deref() == Some("Bot");
        let sender = self.sender.as_ref();
        sender.is_some_and(|s| Some(s.id) == me && (speaks || is_machine(s)))
    }
}

/// A value, or nothing where it has another form.
fn lenient<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Maybe<T> {
        Is(T),
        Other(IgnoredAny),
    }
    Ok(match Maybe::deserialize(deserializer)? {
        Maybe::Is(value) => Some(value),
        Maybe::Other(IgnoredAny) => None,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    fn payload(action: &str) -> Value {
        json!({
            "action": action,
            "number": 7,
            "installation": {"id": 5, "node_id": "x"},
            "repository": {"id": 9, "full_name": "acme/shop", "default_branch": "main", "private": true},
            "sender": {"id": 3, "login": "ann", "type": "User"},
            "comment": {"body": "/kubemend retry"},
        })
    }

    fn interest(event: &str, payload: &Value) -> Interest {
        let envelope = Envelope::parse(payload.to_string().as_bytes()).unwrap();
        envelope.interest(event, Some(1))
    }

    fn wakes(event: &str, payload: &Value) -> bool {
        matches!(interest(event, payload), Interest::Repository(r) if r.full_name == "acme/shop")
    }

    #[test]
    fn what_people_do_wakes_the_repository() {
        for (event, action, expected) in [
            ("issue_comment", "created", true),
            ("issue_comment", "edited", false),
            ("issue_comment", "deleted", false),
            ("pull_request_review_comment", "created", true),
            ("pull_request_review", "submitted", true),
            ("pull_request_review", "dismissed", false),
            ("pull_request", "closed", true),
            ("pull_request", "reopened", true),
            ("pull_request", "labeled", true),
            ("pull_request", "unlabeled", true),
            ("pull_request", "edited", true),
            ("pull_request", "synchronize", true),
            ("pull_request", "ready_for_review", true),
            ("pull_request", "assigned", false),
            ("issues", "edited", true),
            ("issues", "closed", true),
            ("issues", "labeled", true),
            ("issues", "pinned", false),
            ("check_run", "requested_action", true),
            ("check_run", "completed", false),
            ("repository", "renamed", true),
            ("repository", "deleted", false),
            ("star", "created", false),
            ("no_such_event", "created", false),
            ("", "", false),
        ] {
            assert_eq!(wakes(event, &payload(action)), expected, "{event} {action}");
        }
    }

    #[test]
    fn pings_and_installations_need_no_repository() {
        assert_eq!(interest("ping", &json!({"zen": "x"})), Interest::Ping);
        for event in ["installation", "installation_repositories"] {
            assert_eq!(interest(event, &json!({})), Interest::Installations);
        }
        assert_eq!(
            interest("push", &json!({"ref": "refs/heads/main"})),
            Interest::Ignored
        );
    }

    #[test]
    fn every_branch_matters_that_is_not_ours() {
        for (git_ref, deleted, expected) in [
            (json!("refs/heads/main"), json!(false), true),
            (json!("refs/heads/env/production"), json!(false), true),
            (json!("refs/heads/env/production"), Value::Null, true),
            (json!("refs/heads/env/production"), json!(true), false),
            (json!("refs/heads/kubemend/x-1"), json!(false), false),
            (json!("refs/heads/kubemender"), json!(false), true),
            (json!("refs/tags/main"), json!(false), false),
            (Value::Null, json!(false), false),
        ] {
            let mut push = payload("");
            push["ref"] = git_ref.clone();
            push["deleted"] = deleted.clone();
            assert_eq!(wakes("push", &push), expected, "{git_ref} {deleted}");
        }
    }

    #[test]
    fn our_own_acts_wake_nobody_unless_we_are_a_person() {
        let mut own = payload("created");
        own["sender"] = json!({"id": 1, "type": "Bot"});
        assert!(!wakes("issue_comment", &own));
        own["sender"] = json!({"id": 1, "type": "User"});
        assert!(!wakes("issue_comment", &own), "it would not be heard");
        let mut merged = own.clone();
        merged["action"] = json!("closed");
        assert!(
            wakes("pull_request", &merged),
            "a person's token: it merged"
        );
        own["sender"] = json!({"id": 2, "type": "Bot"});
        assert!(wakes("issue_comment", &own));
    }

    #[test]
    fn odd_forms_count_as_absent() {
        let odd = json!({
            "action": {"a": 1}, "installation": "5", "sender": "ann", "number": -1, "ref": 3,
            "repository": {"id": 9, "full_name": "acme/shop"}, "deleted": "yes",
        });
        let envelope = Envelope::parse(odd.to_string().as_bytes()).unwrap();
        let named = Named {
            id: 9,
            full_name: "acme/shop".to_owned(),
        };
        let expected = Envelope {
            repository: Some(named),
            ..Envelope::default()
        };
        assert_eq!(envelope, expected);
        let lost = json!({"action": "created", "repository": {"id": "9"}});
        assert_eq!(interest("issue_comment", &lost), Interest::Ignored);
    }

    #[test]
    fn what_is_no_object_is_told_by_its_place() {
        for text in ["", "[", "nul", "{\"action\": \"x\"", "{} {}", "\u{feff}{}"] {
            assert!(Envelope::parse(text.as_bytes()).is_err(), "{text}");
        }
        let deep = "[".repeat(1_000_000);
        assert!(Envelope::parse(format!("{{\"x\":{deep}").as_bytes()).is_err());
        let error = Envelope::parse(b"{\n  x").unwrap_err().to_string();
        assert_eq!(error, "not a JSON object at line 2, column 3");
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = Envelope::parse(&bytes);
        }

        /// T9: any byte of a payload may be wrong; at worst nobody is woken.
        #[test]
        fn no_changed_byte_panics(at in any::<usize>(), byte in any::<u8>(), event in "[a-z_]{0,20}") {
            let mut bytes = payload("created").to_string().into_bytes();
            let at = at % bytes.len();
            bytes[at] = byte;
            if let Ok(envelope) = Envelope::parse(&bytes) {
                let _ = envelope.interest(&event, Some(1));
            }
        }
    }
}
