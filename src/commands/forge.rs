//! Who we are on the forge, and where: from flags, the environment and files. Shared by `fix`,
//! `serve` and `action`.

use std::path::Path;

use secrecy::SecretString;

use crate::cli::ForgeArgs;
use crate::commands::Failure;
use crate::config::Rules;
use crate::forge::RepositoryFacts;
use crate::forge::marker::{self, Key};
use crate::github::{Credentials, Endpoint, Error, GitHub, Mode, Transport};
use crate::repo::{Checkout, Identity};

/// The largest file that holds a secret.
const MAX_SECRET: u64 = 64 << 10;
/// A key shorter than this protects nothing.
const MIN_KEY: usize = 16;

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        match error {
            Error::Invalid(message) => Self::Input(message),
            other => Self::Infrastructure(other.to_string()),
        }
    }
}

/// Where GitHub is.
pub(super) fn endpoint(args: &ForgeArgs) -> Endpoint {
    given(args.github_api_url.as_ref()).map_or_else(Endpoint::default, Endpoint::new)
}

/// Where the repositories are cloned from; without an address, what belongs to the API's.
pub(super) fn website(address: Option<&str>, endpoint: &Endpoint) -> String {
    let api = endpoint.rest.as_str();
    let of_api = || {
        // github.com, and GitHub Enterprise Cloud with a host of its own
        let host = api.strip_prefix("https://api.")?;
        (host == "github.com" || host.ends_with(".ghe.com")).then(|| format!("https://{host}"))
    };
    let given = address.map(str::trim).filter(|a| !a.is_empty());
    let url = given.map(str::to_owned).or_else(of_api);
    let url = url.unwrap_or_else(|| api.strip_suffix("/api/v3").unwrap_or(api).to_owned());
    url.trim_end_matches('/').to_owned()
}

/// The App where one is named, else the token; `None` where nothing is given.
pub(super) fn credentials(args: &ForgeArgs) -> Result<Option<Credentials>, Failure> {
    let key = secret("KUBEMEND_APP_KEY", args.app_key_file.as_ref())?;
    match (given(args.app_id.as_ref()), key) {
        (Some(id), Some(key)) => Ok(Some(Credentials::App {
            id: id.to_owned(),
            key,
            installation: installation(args)?,
        })),
        (Some(_), None) => Err(Failure::Input(
            "an App id without its key: set KUBEMEND_APP_KEY_FILE or KUBEMEND_APP_KEY".to_owned(),
        )),
        (None, _) => {
            Ok(secret("GITHUB_TOKEN", args.github_token_file.as_ref())?.map(Credentials::Token))
        }
    }
}

/// The same for a command that can do nothing without.
pub(super) fn needed_credentials(args: &ForgeArgs) -> Result<Credentials, Failure> {
    credentials(args)?.ok_or_else(|| {
        Failure::Input(
            "no credentials for GitHub: set GITHUB_TOKEN, or KUBEMEND_APP_ID and KUBEMEND_APP_KEY_FILE"
                .to_owned(),
        )
    })
}

/// GitHub, with what waits for it.
pub(super) struct Online {
    pub(super) runtime: tokio::runtime::Runtime,
    pub(super) github: GitHub,
}

/// The commit that is read, of a clone of the very repository that is written to.
pub(super) fn commit_of(checkout: &Checkout, full_name: &str) -> Result<String, Failure> {
    let folder = checkout.root.display();
    let Some(head) = checkout.head.clone() else {
        return Err(Failure::Input(format!(
            "{folder}: no Git repository whose HEAD could be on GitHub"
        )));
    };
    let place = checkout
        .identity
        .repository
        .split_once('/')
        .map(|(_, path)| path);
    if !place.is_some_and(|path| path.eq_ignore_ascii_case(full_name)) {
        return Err(Failure::Input(match place {
            Some(_) => format!(
                "{folder}: its remote `origin` is {}, and not {full_name} of --github-repo; nothing was written",
                checkout.identity.repository
            ),
            None => format!(
                "{folder}: it has no remote `origin`, so it may not be {full_name}; nothing was written"
            ),
        }));
    }
    Ok(head)
}

/// A runtime, and the one repository of a command, with no more rights than it needs where an App's
/// token can be narrowed; `None` where there are no credentials.
pub(super) fn online(args: &ForgeArgs, rights: Mode) -> Result<Option<Online>, Failure> {
    let Some(credentials) = credentials(args)? else {
        return Ok(None);
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|e| Failure::Infrastructure(e.to_string()))?;
    let entered = runtime.enter();
    let transport = Transport::new(endpoint(args), credentials)?.in_mode(rights);
    let github = repository(args, transport)?;
    drop(entered);
    Ok(Some(Online { runtime, github }))
}

/// The names that were given, each checked.
pub(super) fn repositories(args: &ForgeArgs) -> Result<Vec<String>, Failure> {
    let names = args.github_repo.iter().map(|n| n.trim());
    let mut names: Vec<String> = names.filter(|n| !n.is_empty()).map(str::to_owned).collect();
    names.dedup();
    match names.iter().find(|n| !is_full_name(n)) {
        Some(bad) => Err(Failure::Input(format!(
            "--github-repo {bad}: not OWNER/NAME"
        ))),
        None => Ok(names),
    }
}

/// The one repository of a command that works on one.
pub(super) fn repository(args: &ForgeArgs, transport: Transport) -> Result<GitHub, Failure> {
    match repositories(args)?.as_slice() {
        [one] => Ok(GitHub::new(transport, one)?),
        [] => Err(Failure::Input(
            "--github-repo OWNER/NAME is missing".to_owned(),
        )),
        _ => Err(Failure::Input(
            "--github-repo: this command works on one repository".to_owned(),
        )),
    }
}

/// The key that signs markers.
pub(super) fn marker_key(args: &ForgeArgs) -> Result<Option<Key>, Failure> {
    let Some(text) = secret("KUBEMEND_MARKER_KEY", args.marker_key_file.as_ref())? else {
        return Ok(None);
    };
    if marker::secrets(&text).any(|secret| secret.len() < MIN_KEY) {
        return Err(Failure::Input(format!(
            "KUBEMEND_MARKER_KEY: a key has at least {MIN_KEY} characters; make one with `openssl rand -hex 32`"
        )));
    }
    Ok(marker::key_from(&text))
}

/// A secret: from the named file, else from the variable. White space around it is dropped.
pub(super) fn secret(
    variable: &str,
    file: Option<&String>,
) -> Result<Option<SecretString>, Failure> {
    let text = match given(file) {
        Some(path) => Some(read(variable, Path::new(path))?),
        None => std::env::var(variable).ok(),
    };
    let text = text.map(|t| t.trim().to_owned()).filter(|t| !t.is_empty());
    Ok(text.map(SecretString::from))
}

fn read(variable: &str, path: &Path) -> Result<String, Failure> {
    let named =
        |e: &dyn std::fmt::Display| Failure::Input(format!("{variable}: {}: {e}", path.display()));
    let size = std::fs::metadata(path).map_err(|e| named(&e))?.len();
    if size > MAX_SECRET {
        return Err(named(&"too large for a secret"));
    }
    let text = std::fs::read_to_string(path).map_err(|e| named(&e))?;
    if text.trim().is_empty() {
        return Err(named(&"is empty"));
    }
    Ok(text)
}

/// What the repository is called on the forge, whatever a copy of it calls itself.
pub(super) async fn identity(github: &GitHub, rules: &Rules) -> Result<Identity, Error> {
    Ok(identity_of(&github.facts().await?, rules))
}

/// The same where the facts are known.
pub(super) fn identity_of(facts: &RepositoryFacts, rules: &Rules) -> Identity {
    let base = rules.base_branch.as_ref().unwrap_or(&facts.default_branch);
    Identity::on_forge(facts.id, base)
}

/// The installation that was given.
pub(super) fn installation(args: &ForgeArgs) -> Result<Option<u64>, Failure> {
    let text = given(args.installation_id.as_ref());
    let parsed = text.map(|t| {
        let wrong = |_| Failure::Input(format!("KUBEMEND_INSTALLATION_ID: {t} is not a number"));
        t.parse().map_err(wrong)
    });
    parsed.transpose()
}

/// A value that is there and not blank: a workflow passes absent inputs as empty variables.
fn given(value: Option<&String>) -> Option<&str> {
    value.map(|v| v.trim()).filter(|v| !v.is_empty())
}

fn is_full_name(name: &str) -> bool {
    let usable = |s: &str| {
        !s.is_empty()
            && s != "."
            && s != ".."
            && s.chars()
                .all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
    };
    name.split_once('/')
        .is_some_and(|(o, n)| usable(o) && usable(n))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use secrecy::ExposeSecret as _;

    use super::*;
    use clap::Parser as _;

    #[derive(Debug, clap::Parser)]
    struct Line {
        #[command(flatten)]
        forge: ForgeArgs,
    }

    fn args(words: &[&str]) -> ForgeArgs {
        Line::parse_from([&["x"], words].concat()).forge
    }

    #[test]
    fn names_of_repositories_are_checked() {
        let good = args(&["--github-repo", "a/b,c/d", "--github-repo", "e/f"]);
        assert_eq!(repositories(&good).unwrap(), ["a/b", "c/d", "e/f"]);
        for bad in ["a", "a/b/c", "../b", "a/..", "a b/c", "/b"] {
            assert!(
                repositories(&args(&["--github-repo", bad])).is_err(),
                "{bad}"
            );
        }
    }

    #[test]
    fn an_app_needs_its_key() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("key.pem");
        std::fs::write(&file, "PEM\n").unwrap();
        let key = file.to_str().unwrap();
        let app = [
            "--app-id",
            "7",
            "--app-key-file",
            key,
            "--installation-id",
            "9",
        ];
        let Some(Credentials::App {
            id,
            key,
            installation,
        }) = credentials(&args(&app)).unwrap()
        else {
            panic!("not an App");
        };
        assert_eq!(
            (id.as_str(), key.expose_secret(), installation),
            ("7", "PEM", Some(9))
        );
        let error = credentials(&args(&["--app-id", "7"])).unwrap_err();
        assert!(
            error.to_string().contains("KUBEMEND_APP_KEY_FILE"),
            "{error}"
        );
        let odd = [&app[..4], &["--installation-id", "x"]].concat();
        assert!(credentials(&args(&odd)).is_err());
    }

    #[test]
    fn the_website_belongs_to_the_api() {
        for (api, website) in [
            ("https://api.github.com", "https://github.com"),
            ("https://api.acme.ghe.com/", "https://acme.ghe.com"),
            ("https://ghe.acme.com/api/v3", "https://ghe.acme.com"),
            ("https://api.acme.com/api/v3", "https://api.acme.com"),
            ("http://127.0.0.1:3000", "http://127.0.0.1:3000"),
        ] {
            assert_eq!(super::website(None, &Endpoint::new(api)), website);
        }
        let given = super::website(Some(" https://mirror/ "), &Endpoint::default());
        assert_eq!(given, "https://mirror");
    }

    #[test]
    fn a_weak_marker_key_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("key");
        let words = ["--marker-key-file", file.to_str().unwrap()];
        assert!(marker_key(&args(&words)).is_err(), "no such file");
        std::fs::write(&file, "short\n").unwrap();
        assert!(marker_key(&args(&words)).is_err());
        std::fs::write(&file, "0123456789abcdef0123\n").unwrap();
        assert!(marker_key(&args(&words)).unwrap().is_some());
        std::fs::write(&file, "a long enough secret,short").unwrap();
        assert!(marker_key(&args(&words)).is_err(), "each is measured");
    }
}
