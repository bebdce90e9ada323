//! A shop that a GitOps engine applies from a Git server, and what kubemend reads of it on the way.

use std::path::Path;
use std::sync::Mutex;

use kubemend::object::Object;
use kubemend::verify::Applied;

use crate::git_server::{GitServer, git};
use crate::plane::Plane;
use crate::shop::{Shop, path};

/// A shop, and the server that serves its repository.
pub struct Delivered<'p> {
    pub shop: Shop<'p>,
    server: GitServer,
}

impl<'p> Delivered<'p> {
    /// Commits the shop and pushes it; nothing applies it yet.
    pub fn start(plane: &'p Plane, namespace: &str) -> Result<Self, String> {
        let shop = Shop::prepare(plane, namespace)?;
        let server = plane.runtime().block_on(GitServer::start());
        server
            .state
            .any_token
            .store(true, std::sync::atomic::Ordering::SeqCst);
        let bare = server.root.path().join("acme/shop.git");
        git(
            server.root.path(),
            &["init", "-q", "--bare", "-b", "main", path(&bare)?],
        );
        let delivered = Self { shop, server };
        delivered.push()?;
        Ok(delivered)
    }

    /// Where an engine finds the repository.
    pub fn url(&self) -> String {
        format!("{}/acme/shop.git", self.server.url)
    }

    /// Pushes what is committed; returns the commit.
    pub fn push(&self) -> Result<String, String> {
        let bare = self.server.root.path().join("acme/shop.git");
        git(
            &self.shop.repository(),
            &["push", "-q", path(&bare)?, "main"],
        );
        Ok(self.head())
    }

    /// The newest commit.
    pub fn head(&self) -> String {
        git(&self.shop.repository(), &["rev-parse", "HEAD"])
    }

    /// Follows an object of the engine until kubemend's reading of it is as wanted; returns all
    /// readings on the way, without repetitions.
    pub fn follow(
        &self,
        namespace: &str,
        object: &str,
        read: impl Fn(&Object) -> Applied,
        is_end: impl Fn(&Applied) -> bool,
    ) -> Result<Vec<Applied>, String> {
        let readings: Mutex<Vec<Applied>> = Mutex::default();
        let kubectl = &self.shop.plane.kubectl;
        let seen = kubectl.wait(namespace, object, "read so", |value| {
            let Some(object) = Object::new(value.clone()) else {
                return false;
            };
            let reading = read(&object);
            let end = is_end(&reading);
            let mut readings = readings.lock().unwrap();
            if readings.last() != Some(&reading) {
                readings.push(reading);
            }
            end
        });
        let readings = readings.into_inner().unwrap();
        seen.map_err(|e| format!("{e}\nreadings: {readings:#?}"))?;
        Ok(readings)
    }

    /// Whether one commit is an ancestor of another.
    pub fn is_ancestor(&self, a: &str, b: &str) -> Option<bool> {
        is_ancestor(&self.shop.repository(), a, b)
    }
}

fn is_ancestor(repository: &Path, a: &str, b: &str) -> Option<bool> {
    let status = std::process::Command::new("git")
        .current_dir(repository)
        .args(["merge-base", "--is-ancestor", a, b])
        .stderr(std::process::Stdio::null())
        .status();
    match status.ok()?.code() {
        Some(0) => Some(true),
        Some(1) => Some(false),
        _ => None,
    }
}

pub fn is_applied(reading: &Applied) -> bool {
    matches!(reading, Applied::Applied { .. })
}

pub fn is_failed(reading: &Applied) -> bool {
    matches!(reading, Applied::Failed { .. })
}

/// None of the readings may be so.
pub fn expect_none(
    readings: &[Applied],
    is_wrong: impl Fn(&Applied) -> bool,
    why: &str,
) -> Result<(), String> {
    match readings.iter().any(is_wrong) {
        true => Err(format!("{why}: {readings:#?}")),
        false => Ok(()),
    }
}

/// One of the readings is a failure that tells this.
pub fn expect_told(readings: &[Applied], what: &str) -> Result<(), String> {
    let tells = |r: &Applied| match r {
        Applied::Failed { message, resources } => {
            message.contains(what) || resources.iter().any(|r| r.contains(what))
        }
        _ => false,
    };
    match readings.iter().any(tells) {
        true => Ok(()),
        false => Err(format!("{what} is not told: {readings:#?}")),
    }
}
