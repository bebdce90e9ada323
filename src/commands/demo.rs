//! `kubemend demo`: the main job on an embedded broken sample. No cluster, no forge, no key.

use std::fs;
use std::path::Path;

use crate::cli::Demo;
use crate::commands::session::Session;
use crate::commands::{Failure, fix};
use crate::config::Config;
use crate::dump;
use crate::locate::Repository;
use crate::pipeline::{self, Context};
use crate::propose::Playbook;
use crate::repo;
use crate::terminal;

macro_rules! sample {
    ($($path:literal),+ $(,)?) => { &[$(($path, include_str!(concat!("../demo/repo/", $path))),)+] };
}

/// The sample repository: plain manifests, and a kustomize base with two overlays.
const REPOSITORY: &[(&str, &str)] = sample![
    "api/base/deployment.yaml",
    "api/base/kustomization.yaml",
    "api/overlays/prod/api.yaml",
    "api/overlays/prod/kustomization.yaml",
    "api/overlays/prod/settings.yaml",
    "api/overlays/staging/kustomization.yaml",
    "api/overlays/staging/settings.yaml",
    "apps/cart/cart.yaml",
    "apps/reports/reports.yaml",
    "apps/web/deployment.yaml",
    "apps/worker/worker.yaml",
];

/// The sample cluster: what `kubectl get … -o yaml` would print, and two logs.
const DUMP: &[(&str, &str)] = &[
    ("snapshot.yaml", include_str!("../demo/snapshot.yaml")),
    (
        "logs/shop_worker-7b9d5f6c7d-r9c2m_worker_previous.log",
        include_str!("../demo/logs/shop_worker-7b9d5f6c7d-r9c2m_worker_previous.log"),
    ),
    (
        "logs/shop_cart-58c6d7b9f4-zt7wd_cart_previous.log",
        include_str!("../demo/logs/shop_cart-58c6d7b9f4-zt7wd_cart_previous.log"),
    ),
];

pub(super) fn run(args: &Demo) -> Result<u8, Failure> {
    let temporary =
        tempfile::tempdir().map_err(|e| Failure::Input(format!("no temporary folder: {e}")))?;
    let root = args.keep.as_deref().unwrap_or_else(|| temporary.path());
    let (repository, cluster) = (root.join("repo"), root.join("cluster"));
    if repository.exists() || cluster.exists() {
        return Err(Failure::Input(format!(
            "{} holds a sample already; name another folder",
            root.display()
        )));
    }
    repo::create(&repository, REPOSITORY, "Sample manifests of a small shop")?;
    write(&cluster, DUMP)?;
    let text = heal(&repository, &cluster, args)?;
    terminal::out(&text);
    terminal::out(&match &args.keep {
        Some(_) => format!(
            "\nLook at a branch with `git -C {0} show BRANCH`.\nSame again by hand: kubemend fix --repo {0} --snapshot {1}\n",
            repository.display(),
            cluster.display()
        ),
        None => {
            "\nThe sample was in a temporary folder; --keep DIR leaves it, with these branches.\n"
                .to_owned()
        }
    });
    Ok(0)
}

fn write(folder: &Path, files: &[(&str, &str)]) -> Result<(), Failure> {
    for (path, text) in files {
        let file = folder.join(path);
        let parent = file.parent().unwrap_or(folder);
        fs::create_dir_all(parent)
            .and_then(|()| fs::write(&file, text))
            .map_err(|e| Failure::Input(format!("{}: {e}", file.display())))?;
    }
    Ok(())
}

/// The whole flow, with a branch for each fix.
fn heal(repository: &Path, cluster: &Path, args: &Demo) -> Result<String, Failure> {
    let session = Session::open(repository, None, args.renderer.as_deref())?;
    let dump = dump::read(cluster, None)?;
    let config = Config::default();
    let opened = Repository::open(
        &session.checkout.files,
        session.renderer.as_ref(),
        None,
        config.locate_policy(),
    );
    let ctx = Context {
        checkout: &session.checkout,
        repository: &opened,
        snapshot: &dump.snapshot,
        report: None,
        now: dump.newest.unwrap_or_else(jiff::Timestamp::now),
        grace: std::time::Duration::from_secs(config.grace_seconds),
        policy: &config.policy(),
        proposer: &Playbook,
        answers: &crate::case::NO_ANSWERS,
        style: session.style(),
    };
    let run = pipeline::run(&ctx);
    let branches = session.commit(&run.results)?;
    let renderer = session.renderer.map_or_else(
        || "no kustomize or kubectl found: overlays end in RendererMissing".to_owned(),
        |r| format!("rendered with {}", r.version),
    );
    Ok(format!(
        "A sample shop: {} manifests, one cluster dump; {renderer}.\n\n{}",
        REPOSITORY.len(),
        fix::text(&run, &branches, args.full)
    ))
}
