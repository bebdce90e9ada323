//! Who we are, and how little of it a request may use.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use jiff::Timestamp;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::app::AppKey;
use super::{Error, Result, read};

/// A token is not used any more when it has less time left than a long wait may take.
const MARGIN: std::time::Duration = std::time::Duration::from_secs(300);
/// The most tokens that are kept.
const MAX_TOKENS: usize = 2_000;

/// Who we are.
#[derive(Clone)]
pub enum Credentials {
    /// A token: `GITHUB_TOKEN` of a workflow, or a personal one.
    Token(SecretString),
    /// A GitHub App, installed.
    App {
        /// The App's id or client id.
        id: String,
        /// Its private key, PEM.
        key: SecretString,
        /// The installation; found by the repository when absent.
        installation: Option<u64>,
    },
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Token(_) => f.write_str("Token"),
            Self::App { id, .. } => write!(f, "App({id})"),
        }
    }
}

/// What we are there for. An App's token gets no more rights than this, whatever the App has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Mode {
    /// Look only.
    Read,
    /// Comment on other people's pull requests, and report checks.
    Review,
    /// Everything that kubemend does: branches, pull requests, issues, checks.
    #[default]
    Propose,
}

impl Mode {
    /// Permissions by name, as GitHub calls them. `workflows` is never among them.
    fn wants(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::Read => &[
                ("metadata", "read"),
                ("contents", "read"),
                ("pull_requests", "read"),
                ("issues", "read"),
            ],
            Self::Review => &[
                ("metadata", "read"),
                ("contents", "read"),
                ("pull_requests", "write"),
                ("issues", "read"),
                ("checks", "write"),
                ("statuses", "write"),
            ],
            Self::Propose => &[
                ("metadata", "read"),
                ("contents", "write"),
                ("pull_requests", "write"),
                ("issues", "write"),
                ("checks", "write"),
                ("statuses", "write"),
            ],
        }
    }
}

/// What a token is good for.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub(super) struct Scope {
    /// `owner/name`; `None` for all repositories of the installation.
    pub(super) repository: Option<String>,
    pub(super) mode: Mode,
}

impl Scope {
    /// The body that asks for a token: one repository, and what is wanted as far as it is granted.
    /// Asking for more than the installation grants is refused as a whole.
    pub(super) fn request(&self, granted: &BTreeMap<String, String>) -> Value {
        let mut permissions = serde_json::Map::new();
        for (name, level) in self.mode.wants() {
            let level = match (granted.is_empty(), granted.get(*name).map(String::as_str)) {
                (true, _) => *level,
                (false, Some("read")) => "read",
                (false, Some("write" | "admin")) => *level,
                (false, _) => continue,
            };
            permissions.insert((*name).to_owned(), json!(level));
        }
        let mut body = json!({"permissions": permissions});
        let name = self
            .repository
            .as_deref()
            .and_then(|full| full.split_once('/'));
        if let (Some((_, name)), Some(body)) = (name, body.as_object_mut()) {
            body.insert("repositories".to_owned(), json!([name]));
        }
        body
    }
}

/// An installation of the App.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Installation {
    /// Its id.
    pub id: u64,
    /// The organisation or user.
    pub account: String,
    /// Whether somebody suspended it.
    pub suspended: bool,
    /// What it was granted: levels by name of the permission.
    pub permissions: BTreeMap<String, String>,
}

/// Credentials, ready to use.
#[derive(Clone)]
pub(super) enum Who {
    Token(SecretString),
    App {
        key: Arc<AppKey>,
        installation: Option<u64>,
    },
}

impl Who {
    pub(super) fn new(credentials: &Credentials) -> Result<Self> {
        Ok(match credentials {
            Credentials::Token(token) => Self::Token(token.clone()),
            Credentials::App {
                id,
                key,
                installation,
            } => Self::App {
                key: Arc::new(AppKey::new(id, key)?),
                installation: *installation,
            },
        })
    }

    pub(super) fn app(&self) -> Result<&AppKey> {
        match self {
            Self::App { key, .. } => Ok(key),
            Self::Token(_) => Err(Error::Forbidden(
                "only a GitHub App may ask this, and the credentials are a token".to_owned(),
            )),
        }
    }
}

/// Tokens of installations while they are good, and which installation a repository belongs to.
#[derive(Default)]
pub(super) struct Tokens {
    held: HashMap<Scope, Held>,
    pub(super) installations: HashMap<Option<String>, Installation>,
}

struct Held {
    token: SecretString,
    until: Instant,
}

impl Tokens {
    /// A token that will be good for a while.
    pub(super) fn get(&self, scope: &Scope) -> Option<SecretString> {
        let held = self.held.get(scope)?;
        (held.until > Instant::now()).then(|| held.token.clone())
    }

    /// Keeps a new token. `now` is GitHub's clock.
    pub(super) fn put(
        &mut self,
        scope: &Scope,
        answer: &Value,
        now: Timestamp,
    ) -> Result<SecretString> {
        let token = SecretString::from(read::string(answer, "/token")?);
        let expires: Timestamp = read::string(answer, "/expires_at")?
            .parse()
            .map_err(|_| Error::Unexpected("/expires_at of a token is no time".to_owned()))?;
        let left = std::time::Duration::try_from(expires.duration_since(now)).unwrap_or_default();
        self.held.retain(|_, h| h.until > Instant::now());
        if self.held.len() < MAX_TOKENS {
            let held = Held {
                token: token.clone(),
                until: Instant::now() + left.saturating_sub(MARGIN),
            };
            self.held.insert(scope.clone(), held);
        }
        Ok(token)
    }

    /// Drops a token that was refused, unless somebody renewed it meanwhile. What was known about
    /// the installation goes too: it may have been changed or made again.
    pub(super) fn refused(&mut self, scope: &Scope, token: &SecretString) {
        let is_it = |h: &Held| h.token.expose_secret() == token.expose_secret();
        if self.held.get(scope).is_some_and(is_it) {
            self.held.remove(scope);
            self.installations.remove(&scope.repository);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn granted(list: &[(&str, &str)]) -> BTreeMap<String, String> {
        list.iter()
            .map(|(n, l)| ((*n).to_owned(), (*l).to_owned()))
            .collect()
    }

    #[test]
    fn a_token_is_asked_for_one_repository_and_for_no_more_than_the_mode_needs() {
        let everything = granted(&[
            ("metadata", "read"),
            ("contents", "write"),
            ("pull_requests", "write"),
            ("issues", "write"),
            ("checks", "write"),
            ("statuses", "write"),
            ("workflows", "write"),
            ("administration", "write"),
            ("secrets", "read"),
        ]);
        let asked = |mode| {
            let scope = Scope {
                repository: Some("acme/gitops".to_owned()),
                mode,
            };
            scope.request(&everything).to_string()
        };
        insta::assert_snapshot!(
            [Mode::Read, Mode::Review, Mode::Propose].map(asked).join("\n"),
            @r#"
    {"permissions":{"metadata":"read","contents":"read","pull_requests":"read","issues":"read"},"repositories":["gitops"]}
    {"permissions":{"metadata":"read","contents":"read","pull_requests":"write","issues":"read","checks":"write","statuses":"write"},"repositories":["gitops"]}
    {"permissions":{"metadata":"read","contents":"write","pull_requests":"write","issues":"write","checks":"write","statuses":"write"},"repositories":["gitops"]}
    "#);
    }

    #[test]
    fn what_is_not_granted_is_not_asked_for() {
        let scope = Scope::default();
        let few = granted(&[
            ("metadata", "read"),
            ("contents", "read"),
            ("issues", "write"),
        ]);
        assert_eq!(
            scope.request(&few),
            json!({"permissions": {"metadata": "read", "contents": "read", "issues": "write"}})
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_token_is_kept_until_shortly_before_it_expires() {
        let now: Timestamp = "2026-08-01T10:00:00Z".parse().unwrap();
        let scope = Scope::default();
        let mut tokens = Tokens::default();
        let answer = json!({"token": "ghs_1", "expires_at": "2026-08-01T11:00:00Z"});
        tokens.put(&scope, &answer, now).unwrap();
        tokio::time::advance(std::time::Duration::from_secs(3_299)).await;
        assert!(tokens.get(&scope).is_some());
        tokio::time::advance(std::time::Duration::from_secs(2)).await;
        assert!(tokens.get(&scope).is_none());
        // another scope never gets it
        let other = Scope {
            mode: Mode::Read,
            ..Scope::default()
        };
        tokens.put(&scope, &answer, now).unwrap();
        assert!(tokens.get(&other).is_none());
        tokens.refused(&scope, &SecretString::from("ghs_0"));
        assert!(tokens.get(&scope).is_some(), "renewed meanwhile");
        tokens.refused(&scope, &SecretString::from("ghs_1"));
        assert!(tokens.get(&scope).is_none());
    }
}
