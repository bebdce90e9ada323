//! What becomes of the work of two replicas while something that they need is away: the API server, the
//! forge, or the one that leads, in the middle of a revert.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::Assets;
use crate::kubectl::PATIENCE;
use crate::plane::{Extras, Plane};
use crate::presence::{Stage, define, election};
use crate::shop::is_rolled_out;
use crate::stage::{self, Delivery, Engine};
use crate::support::github::{Fault, On};
use crate::support::program::Program;
use crate::whole::{dies_of_traffic, manifest, plant};

/// Passes that fail before the forge comes back.
const IN_VAIN: usize = 3;
/// Between two looks for a branch: what follows it is some milliseconds later.
const AT_ONCE: Duration = Duration::from_millis(20);

/// In a cluster of its own. It dies before anything is proposed, and again afterwards.
pub fn the_server_outlives_the_api_server(assets: &Assets) -> Result<(), String> {
    let folder = tempfile::tempdir().map_err(|e| e.to_string())?;
    let plane = assets.start(folder.path(), Extras::default())?;
    let played = outlives(&plane);
    played.map_err(|e| format!("{e}\n{}", plane.tails()))
}

fn outlives(plane: &Plane) -> Result<(), String> {
    define(plane)?;
    let stage = Stage::open(plane, "outlived")?;
    let mut one = stage.replica("one")?;
    election(&mut one, true);
    let mut two = stage.replica("two")?;
    let address = two.address();
    plane.restart_api_server()?;
    until("a pull request", || stage.pulls() == 1)?;
    plane.restart_api_server()?;
    // whoever leads now has made a pass, and knows what is there
    for delivery in ["d-1", "d-2"] {
        stage.deliver(address, delivery)?;
        let leader = match stage.holder()?.starts_with("one-") {
            true => &mut one,
            false => &mut two,
        };
        leader.rest();
        is_done(leader);
    }
    stage.is_once("after two deaths of the API server")
}

/// GitHub does not answer when the server starts, and again later, each time for a while: nothing is lost, and
/// nothing is done twice.
pub fn the_forge_is_away_for_long(plane: &Plane) -> Result<(), String> {
    define(plane)?;
    let stage = Stage::open(plane, "away")?;
    let is_away = |away: bool| {
        let mut world = stage.github.world();
        world.faults.clear();
        if away {
            let error = Fault::status(503, "Service Unavailable");
            world.faults.plan(On::all(), error);
        }
    };
    is_away(true);
    let mut one = stage.replica("one")?;
    let address = one.address();
    for _ in 0..IN_VAIN {
        one.until("repositories not read");
    }
    is_away(false);
    until("a pull request", || stage.pulls() == 1)?;
    is_done(&mut one);
    is_away(true);
    stage.deliver(address, "d-1")?;
    // one that was on its way may still end well
    let mut in_vain = 0;
    while in_vain < IN_VAIN {
        in_vain += usize::from(one.until("pass")["outcome"] != "done");
    }
    is_away(false);
    is_done(&mut one);
    stage.is_once("after two outages of the forge")
}

/// The next pass that goes well.
fn is_done(program: &mut Program) {
    while program.until("pass")["outcome"] != "done" {}
}

/// The leader dies when it has made the branch of a revert and not yet its pull request.
pub fn the_leader_dies_in_a_revert(plane: &Plane, engine: Engine) -> Result<(), String> {
    let namespace = "dies-in-a-revert".to_owned();
    let app = Delivery {
        namespace: &namespace,
        path: "",
        files: BTreeMap::from([("web.yaml".to_owned(), manifest(&namespace).into_bytes())]),
    };
    let stage = stage::Stage::open_with(plane, engine, &namespace, &[app], stage::FAILS)?;
    let kubectl = &plane.kubectl;
    kubectl.wait(&namespace, "deployments", "the shop runs", is_rolled_out)?;
    let (good, bad) = (
        "  selector:\n    app: web\n  ports",
        "  selector:\n    app: wbe\n  ports",
    );
    plant(&stage, &namespace, good, bad)?;
    dies_of_traffic(&stage, &namespace)?;
    stage.push("change the shop")?;
    let mut leader = stage.replica("leader")?;
    election(&mut leader, true);
    let mut standby = stage.replica("standby")?;
    standby.address();
    let fix = stage.until("the fix", &mut leader, || Ok(stage.open_pulls()?.pop()))?;
    stage.merge(fix.number, "squash")?;
    until("the branch of the revert", || is_begun(&stage))?;
    leader.kill();
    until_told(&stage, fix.number, &mut standby)?;
    let open = stage.open_pulls()?;
    match &open[..] {
        [revert] if revert.adds == ["app: wbe".to_owned()] => {}
        other => return Err(format!("one revert: {other:#?}")),
    }
    standby.until("pass");
    match stage.list("/pulls?state=all&per_page=100")?.len() {
        2 => stage.is_clean(),
        n => Err(format!("{n} pull requests")),
    }
}

fn is_begun(stage: &stage::Stage<'_>) -> bool {
    let heads = stage.git(&["ls-remote", "--heads", "origin"]);
    heads.is_ok_and(|heads| heads.contains("revert/"))
}

/// The verdict on the fix, with the revert in it.
fn until_told(stage: &stage::Stage<'_>, fix: u64, standby: &mut Program) -> Result<(), String> {
    stage.until("the verdict", standby, || {
        let told = stage.rollout(fix)?.join("\n");
        Ok((told.contains("**Regression.**") && told.contains("takes it back")).then_some(()))
    })
}

/// Asks until it is so.
fn until(what: &str, is_so: impl Fn() -> bool) -> Result<(), String> {
    let end = Instant::now() + PATIENCE;
    while Instant::now() < end {
        if is_so() {
            return Ok(());
        }
        std::thread::sleep(AT_ONCE);
    }
    Err(format!("{what}: not in time"))
}
