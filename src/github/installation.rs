//! The App and its installations: tokens, who we are, which repositories there are, and the
//! deliveries of its webhook.

use std::future::Future;
use std::pin::Pin;

use http::Method;
use jiff::Timestamp;
use secrecy::SecretString;
use serde_json::{Value, json};

use super::auth::{Installation, Mode, Who};
use super::pace::Load;
use super::transport::{Call, Identity, Transport};
use super::{Error, Result, encode, encode_path, read};
use crate::forge::{Actor, RepositoryFacts};

/// The most pages of a list of installations, repositories or deliveries.
const MAX_PAGES: usize = 100;
/// The account that `GITHUB_TOKEN` acts as.
const WORKFLOW_BOT: &str = "github-actions[bot]";

/// A delivery of the App's webhook, as GitHub remembers it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// GitHub's number, for [`Transport::redeliver`].
    pub id: u64,
    /// The `X-GitHub-Delivery`; the same for every repetition.
    pub guid: String,
    /// When it was sent.
    pub at: Timestamp,
    /// Whether it is a repetition.
    pub repeated: bool,
    /// What our server answered; 0 when it did not.
    pub status: u64,
    /// `pull_request`.
    pub event: String,
    /// `closed`.
    pub action: Option<String>,
    /// The installation.
    pub installation: Option<u64>,
    /// The numeric id of the repository.
    pub repository: Option<u64>,
}

impl Delivery {
    /// Whether our server took it.
    pub fn arrived(&self) -> bool {
        (200..300).contains(&self.status)
    }
}

impl Transport {
    /// Who we are: the App's bot, the token's user, or the bot of GitHub Actions.
    pub async fn me(&self) -> Result<Actor> {
        let asked = self.inner.me.get_or_try_init(|| async {
            match &self.inner.who {
                Who::App { .. } => self.app_bot().await,
                Who::Token(_) => self.token_user().await,
            }
        });
        asked.await.cloned()
    }

    async fn app_bot(&self) -> Result<Actor> {
        let mut call = Call::new(Method::GET, self.url("/app"), None);
        call.identity = Identity::App;
        let app: Value = self.call(call).await?;
        self.user(&format!("{}[bot]", read::string(&app, "/slug")?))
            .await
    }

    async fn user(&self, login: &str) -> Result<Actor> {
        let route = format!("/users/{}", encode(login));
        let user: Value = self.json(Method::GET, &route, None).await?;
        read::actor(&json!({"u": user}), "/u")
    }

    /// The token of an installation has no user, and REST does not say which App it is of; GraphQL
    /// does. Where there is no GraphQL, it is the token of a workflow.
    async fn token_user(&self) -> Result<Actor> {
        match self.json::<Value>(Method::GET, "/user", None).await {
            Ok(user) => return read::actor(&json!({"u": user}), "/u"),
            Err(Error::Forbidden(_)) => {}
            Err(error) => return Err(error),
        }
        let viewer = match self
            .graphql(None, "query { viewer { login } }", json!({}))
            .await
        {
            Err(error) if error.is_outage() => return Err(error),
            answer => answer.ok(),
        };
        let login = viewer
            .as_ref()
            .and_then(|v| v.pointer("/viewer/login"))
            .and_then(Value::as_str);
        self.user(login.unwrap_or(WORKFLOW_BOT)).await
    }

    /// What Git reads the repository with (see [`Transport::of`]): an App's token that may do
    /// nothing else, or the token that was given.
    pub async fn reading_token(&self) -> Result<SecretString> {
        self.in_mode(Mode::Read).token(Identity::Installed).await
    }

    /// The token that a request goes with.
    pub(super) async fn token(&self, identity: Identity) -> Result<SecretString> {
        match (&self.inner.who, identity) {
            (who, Identity::App) => who.app()?.token(Timestamp::now()),
            (Who::Token(token), Identity::Installed) => Ok(token.clone()),
            (Who::App { installation, .. }, Identity::Installed) => {
                self.installation_token(*installation).await
            }
        }
    }

    /// Kept, or made by whoever comes first; the others wait for it.
    fn installation_token(
        &self,
        id: Option<u64>,
    ) -> Pin<Box<dyn Future<Output = Result<SecretString>> + Send + '_>> {
        Box::pin(async move {
            let mut tokens = self.inner.tokens.lock().await;
            if let Some(token) = tokens.get(&self.scope) {
                return Ok(token);
            }
            let repository = self.scope.repository.clone();
            let installation = match tokens.installations.get(&repository) {
                Some(known) => known.clone(),
                None => self.find_installation(id).await?,
            };
            let route = format!("/app/installations/{}/access_tokens", installation.id);
            let body = self.scope.request(&installation.permissions);
            let mut call = Call::new(Method::POST, self.url(&route), Some(body));
            call.identity = Identity::App;
            call.load = Load::Light;
            // a token that nobody got expires by itself
            call.repeatable = true;
            let answer = self.send(&call).await.map_err(|e| self.explained(e))?;
            let value: Value = serde_json::from_slice(&answer.body)
                .map_err(|_| Error::Unexpected(format!("POST {route}: no JSON")))?;
            let now = answer.date().unwrap_or_else(Timestamp::now);
            let token = tokens.put(&self.scope, &value, now)?;
            tokens.installations.insert(repository, installation);
            Ok(token)
        })
    }

    async fn find_installation(&self, id: Option<u64>) -> Result<Installation> {
        let route = match (id, &self.scope.repository) {
            (Some(id), _) => format!("/app/installations/{id}"),
            (None, Some(repository)) => format!("/repos/{}/installation", encode_path(repository)),
            (None, None) => {
                return Err(Error::Invalid(
                    "neither an installation nor a repository is named".to_owned(),
                ));
            }
        };
        let mut call = Call::new(Method::GET, self.url(&route), None);
        call.identity = Identity::App;
        let value: Value = self.call(call).await.map_err(|e| self.explained(e))?;
        let installation = read::installation(&value)?;
        if installation.suspended {
            let account = installation.account;
            return Err(Error::Unauthorized(format!(
                "the App's installation on {account} is suspended"
            )));
        }
        Ok(installation)
    }

    /// What these errors mean to whoever runs the App. Without a token nothing can be concluded
    /// about anything, so neither is an absence or a refusal of what was asked for.
    fn explained(&self, error: Error) -> Error {
        let place = self.scope.repository.as_deref().unwrap_or("the account");
        match error {
            Error::NotFound(said) => Error::Unauthorized(format!(
                "the App is not installed on {place}, or there is no such repository ({said})"
            )),
            Error::Invalid(said) => Error::Unauthorized(format!(
                "the App's installation does not cover {place}, or the repository has another name now ({said})"
            )),
            Error::Forbidden(said) => {
                Error::Unauthorized(format!("the App gets no token for {place} ({said})"))
            }
            other => other,
        }
    }

    /// All installations of the App.
    pub async fn installations(&self) -> Result<Vec<Installation>> {
        let route = "/app/installations?per_page=100";
        let all = self
            .pages_as(Identity::App, route, MAX_PAGES, "", |_| true)
            .await?;
        read::list(&all, read::installation)
    }

    /// All repositories that the installation (see [`Transport::installation`]) can see.
    pub async fn repositories(&self) -> Result<Vec<RepositoryFacts>> {
        let route = "/installation/repositories?per_page=100";
        let all = self
            .pages_as(
                Identity::Installed,
                route,
                MAX_PAGES,
                "/repositories",
                |_| true,
            )
            .await?;
        read::list(&all, read::repository)
    }

    /// What GitHub delivered, or failed to, since a time; the newest first.
    pub async fn deliveries(&self, since: Timestamp) -> Result<Vec<Delivery>> {
        let route = "/app/hook/deliveries?per_page=100";
        let recent = |v: &Value| read::time(v, "/delivered_at").is_ok_and(|at| at >= since);
        let all = self
            .pages_as(Identity::App, route, MAX_PAGES, "", recent)
            .await?;
        read::list(&all, read::delivery)
    }

    /// Asks GitHub to deliver again.
    pub async fn redeliver(&self, id: u64) -> Result<()> {
        let route = format!("/app/hook/deliveries/{id}/attempts");
        let mut call = Call::new(Method::POST, self.url(&route), None);
        call.identity = Identity::App;
        call.load = Load::Write;
        self.send(&call).await.map(drop)
    }
}
