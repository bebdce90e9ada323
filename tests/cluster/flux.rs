//! The loop closed by Flux: a repository served over HTTP, applied by the real controllers.
//! What they write as status on the way is read by kubemend's own verification.

use std::path::Path;
use std::sync::Mutex;

use kubemend::object::Object;
use kubemend::verify::Applied;
use kubemend::verify::flux::{Question, kustomization};

use crate::faults::{added, waits};
use crate::git_server::{GitServer, git};
use crate::plane::Plane;
use crate::shop::{self, Shop, is_rolled_out, path};

type Run = fn(&Plane) -> Result<(), String>;

pub const TRIALS: &[(&str, Run)] = &[
    ("flux_applies_the_fix", flux_applies_the_fix),
    (
        "flux_tells_what_it_cannot_build",
        flux_tells_what_it_cannot_build,
    ),
];

/// A shop that Flux applies from a Git server.
struct Delivered<'p> {
    shop: Shop<'p>,
    server: GitServer,
}

impl<'p> Delivered<'p> {
    fn start(plane: &'p Plane, namespace: &str) -> Result<Self, String> {
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
        let objects = format!(
            "apiVersion: source.toolkit.fluxcd.io/v1\nkind: GitRepository\nmetadata:\n  name: shop\n\
             spec:\n  interval: 2s\n  url: {}/acme/shop.git\n  ref: {{branch: main}}\n---\n\
             apiVersion: kustomize.toolkit.fluxcd.io/v1\nkind: Kustomization\nmetadata:\n  name: shop\n\
             spec:\n  interval: 5s\n  retryInterval: 2s\n  timeout: 30s\n  path: ./apps\n  prune: true\n  wait: true\n\
             \x20 targetNamespace: {namespace}\n  sourceRef: {{kind: GitRepository, name: shop}}\n",
            delivered.server.url
        );
        plane.kubectl.apply(Some(namespace), &objects)?;
        Ok(delivered)
    }

    /// Pushes what is committed; returns the commit.
    fn push(&self) -> Result<String, String> {
        let bare = self.server.root.path().join("acme/shop.git");
        git(
            &self.shop.repository(),
            &["push", "-q", path(&bare)?, "main"],
        );
        Ok(git(&self.shop.repository(), &["rev-parse", "HEAD"]))
    }

    /// Follows the Kustomization until kubemend's reading of it is as wanted; returns all readings
    /// on the way, without repetitions.
    fn follow(
        &self,
        commit: &str,
        is_end: impl Fn(&Applied) -> bool,
    ) -> Result<Vec<Applied>, String> {
        let repository = self.shop.repository();
        let is_ancestor = |a: &str, b: &str| is_ancestor(&repository, a, b);
        let question = Question {
            commit,
            is_ancestor: &is_ancestor,
        };
        let readings: Mutex<Vec<Applied>> = Mutex::default();
        let kubectl = &self.shop.plane.kubectl;
        let seen = self.shop.wait(
            "kustomizations.kustomize.toolkit.fluxcd.io",
            "read so",
            |k| {
                let source = kubectl
                    .get(&self.shop.namespace, "gitrepositories/shop")
                    .ok();
                let source = source.and_then(Object::new);
                let Some(object) = Object::new(k.clone()) else {
                    return false;
                };
                let reading = kustomization(source.as_ref(), &object, &question);
                let end = is_end(&reading);
                let mut readings = readings.lock().unwrap();
                if readings.last() != Some(&reading) {
                    readings.push(reading);
                }
                end
            },
        );
        let readings = readings.into_inner().unwrap();
        seen.map_err(|e| format!("{e}\nreadings: {readings:#?}"))?;
        Ok(readings)
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

fn is_applied(reading: &Applied) -> bool {
    matches!(reading, Applied::Applied { .. })
}

fn is_failed(reading: &Applied) -> bool {
    matches!(reading, Applied::Failed { .. })
}

fn flux_applies_the_fix(plane: &Plane) -> Result<(), String> {
    let delivered = Delivered::start(plane, "flux-applies-the-fix")?;
    let shop = &delivered.shop;
    let first = git(&shop.repository(), &["rev-parse", "HEAD"]);
    let readings = delivered.follow(&first, is_applied)?;
    expect_none(&readings, is_failed, "a healthy revision is no failure")?;

    shop.commit("update the shop", &shop::MANIFEST.replace("1.4.2", "1.4.O"))?;
    let bad = delivered.push()?;
    shop.wait("pods", "the fault shows", |p| waits(p, "ImagePullBackOff"))?;
    // it is applied, and it is the pods that tell that it is no good
    let readings = delivered.follow(&bad, is_applied)?;
    expect_none(&readings, is_failed, "what is not healthy was applied")?;

    let results = shop.fix()?;
    let all = || serde_json::to_string_pretty(&results).unwrap_or_default();
    let fixed = results
        .iter()
        .filter_map(|r| r["patch"].as_str())
        .find(|p| added(p) == ["image: registry.example.com/shop/web:1.4.2"]);
    shop.merge(fixed.ok_or_else(|| format!("another end: {}", all()))?)?;
    let fix = delivered.push()?;
    let readings = delivered.follow(&fix, is_applied)?;
    expect_none(&readings, is_failed, "an earlier failure is not the fix's")?;
    shop.wait("deployments", "the fix heals", is_rolled_out)?;
    Ok(())
}

fn flux_tells_what_it_cannot_build(plane: &Plane) -> Result<(), String> {
    let delivered = Delivered::start(plane, "flux-cannot-build")?;
    let shop = &delivered.shop;
    let first = git(&shop.repository(), &["rev-parse", "HEAD"]);
    delivered.follow(&first, is_applied)?;
    // the API server refuses it, so nothing of the commit is applied
    shop.commit(
        "break the shop",
        &shop::MANIFEST.replace("replicas: 1", "replicas: one"),
    )?;
    let bad = delivered.push()?;
    let readings = delivered.follow(&bad, is_failed)?;
    expect_none(&readings, is_applied, "what is refused is not applied")?;
    let told = readings.iter().any(|r| match r {
        Applied::Failed { message, .. } => message.contains("replicas"),
        _ => false,
    });
    told.then_some(())
        .ok_or_else(|| format!("the reason is not told: {readings:#?}"))
}

fn expect_none(
    readings: &[Applied],
    is_wrong: impl Fn(&Applied) -> bool,
    why: &str,
) -> Result<(), String> {
    match readings.iter().any(is_wrong) {
        true => Err(format!("{why}: {readings:#?}")),
        false => Ok(()),
    }
}
