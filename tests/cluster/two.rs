//! One repository for two clusters, each with an engine and a kubemend of its own: one pull request for
//! both, one verdict for both, and one revert where only one of them got worse.

use std::collections::BTreeMap;

use crate::Assets;
use crate::plane::{Extras, Plane};
use crate::shop::is_rolled_out;
use crate::stage::{Delivery, Engine, Pull, Stage};
use crate::support::program::Program;
use crate::whole::{break_pods, manifest, plant};

const NORTH: &str = "north";
const SOUTH: &str = "south";
/// So long a rollout may take: one has to heal meanwhile, and the other to fail.
const PATIENT: &str = "90s";
/// Its tag does not exist: both clusters show it, and both heal.
const HEALS: &str = "two-heals";
/// Its Service selects nothing: both clusters show it, and after the merge one gets worse.
const WORSE: &str = "two-worse";

/// The one cluster of all trials is the north; the south is there for this trial alone.
pub fn two_clusters_share_one_pull_request(assets: &Assets, north: &Plane) -> Result<(), String> {
    let folder = tempfile::tempdir().map_err(|e| e.to_string())?;
    let flux = Extras {
        flux: true,
        argo: false,
    };
    let south = assets.start(folder.path(), flux)?;
    play(north, &south).map_err(|e| format!("{e}\n{}", south.tails()))
}

fn play(north: &Plane, south: &Plane) -> Result<(), String> {
    let files = |namespace: &str| {
        let text = manifest(namespace).into_bytes();
        BTreeMap::from([("web.yaml".to_owned(), text)])
    };
    let apps = [HEALS, WORSE].map(|namespace| Delivery {
        namespace,
        path: "",
        files: files(namespace),
    });
    let stage = Stage::open_with(north, Engine::Flux, "two", &apps, PATIENT)?;
    stage.deliver_to(south, &apps)?;
    for (plane, namespace) in both(north, south) {
        let kubectl = &plane.kubectl;
        kubectl.wait(namespace, "deployments", "the shop runs", is_rolled_out)?;
    }
    plant(&stage, HEALS, "web:1.4.2", "web:1.4.O")?;
    let selector = "  selector:\n    app: web\n  ports";
    plant(
        &stage,
        WORSE,
        selector,
        "  selector:\n    app: wbe\n  ports",
    )?;
    stage.push("change the shops")?;
    let mut one = stage.kubemend_of(north, NORTH)?;
    let mut other = stage.kubemend_of(south, SOUTH)?;

    let pulls = stage.until("pull requests that list both", &mut one, || {
        let open = stage.open_pulls()?;
        let is_listed = |p: &Pull| {
            [NORTH, SOUTH].map(|name| p.body.contains(&format!("- cluster `{name}`"))) == [true; 2]
        };
        Ok((open.len() == 2 && open.iter().all(is_listed)).then_some(open))
    });
    let pulls = pulls.map_err(|e| with_log(e, &mut other))?;
    let of = |namespace: &str| {
        let files = [format!("apps/{namespace}/web.yaml")];
        let pull = pulls.iter().find(|p| p.files == files);
        pull.ok_or_else(|| format!("{namespace}: {pulls:#?}"))
    };
    let (heals, worse) = (of(HEALS)?, of(WORSE)?);
    stage.merge(heals.number, "squash")?;
    stage.merge(worse.number, "merge")?;
    break_pods(south, WORSE)?;

    let verdict = stage.until("the verdict of both", &mut one, || {
        let told = stage.rollout(heals.number)?;
        Ok(told.into_iter().find(|c| c.contains("**Verified**")))
    });
    let verdict = verdict.map_err(|e| with_log(e, &mut other))?;
    for name in ["all 2 clusters", "| `north` |", "| `south` |"] {
        if !verdict.contains(name) {
            return Err(format!("{name} is not in:\n{verdict}"));
        }
    }
    let revert = stage.until("the revert", &mut other, || {
        let open = stage.open_pulls()?.into_iter();
        Ok(open.into_iter().find(|p| p.branch.contains("revert/")))
    });
    let revert = revert.map_err(|e| with_log(e, &mut one))?;
    if revert.files != worse.files || !revert.body.contains(SOUTH) {
        return Err(format!("{revert:#?}"));
    }
    stage.until("the verdict of the worse", &mut other, || {
        let told = stage.rollout(worse.number)?.join("\n");
        let link = format!("#{} takes it back", revert.number);
        Ok((told.contains("**Regression.**") && told.contains(&link)).then_some(()))
    })?;
    one.until("pass");
    other.until("pass");
    expect_counts(&stage, heals.number, worse.number)
}

/// Every namespace in every cluster.
fn both<'p>(north: &'p Plane, south: &'p Plane) -> Vec<(&'p Plane, &'static str)> {
    let in_plane = |plane: &'p Plane| [HEALS, WORSE].map(|namespace| (plane, namespace));
    [north, south].into_iter().flat_map(in_plane).collect()
}

/// Three pull requests, and one comment for each merge.
fn expect_counts(stage: &Stage<'_>, heals: u64, worse: u64) -> Result<(), String> {
    let all = stage.list("/pulls?state=all&per_page=100")?;
    if all.len() != 3 {
        return Err(format!("{} pull requests: {all:#?}", all.len()));
    }
    for number in [heals, worse] {
        let told = stage.comments(number)?;
        let rollout = told.iter().filter(|c| c.contains("Merged as")).count();
        if rollout != 1 {
            return Err(format!("#{number}: {told:#?}"));
        }
    }
    stage.is_clean()
}

fn with_log(error: String, program: &mut Program) -> String {
    format!("{error}\nthe other one:\n{}", program.rest())
}
