//! SIGKILL of one leader after the other, each a little further on its way than the one before:
//! the next one takes the Lease over and goes on from what is there.

use std::time::Duration;

use crate::plane::Plane;
use crate::presence::{Stage, define, election, expect};
use crate::support::github::{Moment, On};

/// What each leader is at when it dies: it has read the cluster and reads what is open; it makes the
/// commit, the branch, the pull request; it has told all of it.
const DEATHS: [(&str, &str, Moment); 6] = [
    ("GET", "/repos/{owner}/{repo}/pulls", Moment::Before),
    ("POST", "/repos/{owner}/{repo}/git/commits", Moment::After),
    ("POST", "/repos/{owner}/{repo}/git/refs", Moment::After),
    ("POST", "/repos/{owner}/{repo}/pulls", Moment::Before),
    ("POST", "/repos/{owner}/{repo}/pulls", Moment::After),
    (
        "POST",
        "/repos/{owner}/{repo}/statuses/{sha}",
        Moment::After,
    ),
];

/// Whatever the leader was at, there is one pull request, one record, and one Event in the end.
pub fn the_leader_dies_at_every_phase(plane: &Plane) -> Result<(), String> {
    define(plane)?;
    let stage = Stage::open(plane, "kills")?;
    for (n, (method, route, moment)) in DEATHS.into_iter().enumerate() {
        let at = On::route(method, route);
        let told = stage.github.world().faults.kill_on(at, moment);
        let mut leader = stage.replica(&format!("leader-{n}"))?;
        loop {
            let dies = async { tokio::time::timeout(LOOK, told.notified()).await.is_ok() };
            if plane.runtime().block_on(dies) {
                break;
            }
            let log = leader.rest();
            expect(
                !log.contains(PASS),
                "a pass without it",
                &format!("{method} {route}\n{log}"),
            )?;
        }
        leader.kill();
        stage.github.world().faults.revive();
    }
    let mut last = stage.replica("last")?;
    election(&mut last, true);
    let pass = last.until("pass");
    expect(
        pass["outcome"] == "done",
        "the last pass",
        &pass.to_string(),
    )?;
    stage.is_once("after six deaths")
}

/// Between two looks at its log.
const LOOK: Duration = Duration::from_millis(200);
/// A pass that ended, in the log.
const PASS: &str = r#""message":"pass""#;
