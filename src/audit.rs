//! Who wrote what on the forge, and why: one log line for each write, with the target `audit`.
//!
//! What is known of the reason travels with the task ([`because`]); the way out to the forge adds
//! what it sent and what was answered ([`written`]). So no write can go without its line.

use crate::forge::Actor;

/// Why something is written.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Reason {
    /// Who asked for it, by name; empty: nobody, the pass itself decided.
    pub login: String,
    /// The same by numeric id.
    pub id: u64,
    /// The finding; empty where it is about none.
    pub fingerprint: String,
    /// Who proposed it, and with which prompt; empty where nothing was proposed.
    pub proposer: String,
}

impl Reason {
    /// What a person asked for.
    pub fn asked_by(actor: &Actor) -> Self {
        Self {
            login: actor.login.clone(),
            id: actor.id,
            ..Self::default()
        }
    }
}

/// One write, as it was sent.
#[derive(Debug, Clone, Copy)]
pub struct Write<'a> {
    /// Method and path.
    pub request: &'a str,
    /// `owner/name`, where the path does not tell it.
    pub repository: Option<&'a str>,
    /// What was answered, if anything.
    pub status: Option<u16>,
    /// The forge's own name of the request.
    pub request_id: &'a str,
}

tokio::task_local! {
    static REASON: Reason;
}

/// Carries something out for a reason.
pub async fn because<F: Future>(reason: Reason, what: F) -> F::Output {
    REASON.scope(reason, what).await
}

/// Tells of a write.
pub fn written(write: &Write<'_>) {
    let reason = REASON.try_with(Reason::clone).unwrap_or_default();
    let place = Place::of(write.request);
    tracing::info!(
        target: "audit",
        by = if reason.login.is_empty() { "pass" } else { reason.login.as_str() },
        by_id = reason.id,
        what = write.request,
        repository = write.repository.unwrap_or(place.repository),
        number = place.number,
        fingerprint = reason.fingerprint.as_str(),
        proposer = reason.proposer.as_str(),
        status = write.status,
        request_id = write.request_id,
        "written"
    );
}

/// What a path is about.
#[derive(Debug, Default, PartialEq, Eq)]
struct Place<'r> {
    repository: &'r str,
    /// Pull request or issue; absent where the path names none.
    number: Option<u64>,
}

impl<'r> Place<'r> {
    fn of(request: &'r str) -> Self {
        let Some((_, rest)) = request.split_once("/repos/") else {
            return Self::default();
        };
        let mut slashes = rest.match_indices('/').map(|(at, _)| at).skip(1);
        let end = slashes.next().unwrap_or(rest.len());
        let (repository, path) = rest.split_at_checked(end).unwrap_or((rest, ""));
        let mut parts = path.split('/').skip(1);
        let number = match parts.next() {
            Some("issues" | "pulls") => parts.next().and_then(|n| n.parse().ok()),
            _ => None,
        };
        Self { repository, number }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_says_what_it_is_about() {
        for (request, repository, number) in [
            ("PATCH /repos/acme/gitops/pulls/12", "acme/gitops", Some(12)),
            (
                "POST /api/v3/repos/acme/gitops/issues/7/labels",
                "acme/gitops",
                Some(7),
            ),
            ("POST /repos/acme/gitops/git/blobs", "acme/gitops", None),
            (
                "PATCH /repos/acme/gitops/issues/comments/9",
                "acme/gitops",
                None,
            ),
            ("POST /graphql", "", None),
        ] {
            assert_eq!(Place::of(request), Place { repository, number });
        }
    }
}
