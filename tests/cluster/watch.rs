//! kubemend's watch of a real API server that dies.

use jiff::SignedDuration;
use kubemend::cluster::{Access, Cluster, Watch};

use crate::Assets;
use crate::kubectl::PATIENCE;
use crate::plane::{Extras, Plane};
use crate::shop::{self, Shop};

/// In a cluster of its own: the others need theirs.
pub fn outlives_the_api_server(assets: &Assets) -> Result<(), String> {
    let folder = tempfile::tempdir().map_err(|e| e.to_string())?;
    let plane = assets.start(folder.path(), Extras::default())?;
    follow(&plane).map_err(|e| format!("{e}\n{}", plane.tails()))
}

fn follow(plane: &Plane) -> Result<(), String> {
    let shop = Shop::open(plane, "watched")?;
    let reader = plane.reader()?;
    let access = Access {
        kubeconfig: Some(&reader),
        ..Access::default()
    };
    let plant = |from: &str, to: &str| {
        shop.commit("change the shop", &shop::MANIFEST.replace(from, to))?;
        shop.apply()
    };
    let watch = plane.runtime().block_on(async {
        let cluster = Cluster::connect(&access).await?;
        let watch = cluster.watch(SignedDuration::from_millis(1))?;
        watch.ready().await.map(|()| watch)
    });
    let watch = watch.map_err(|e| e.to_string())?;
    let until = |is_so: &dyn Fn(&Watch) -> bool| {
        let seen = async {
            while !is_so(&watch) {
                watch.due().await;
            }
        };
        let waited = plane
            .runtime()
            .block_on(async { tokio::time::timeout(PATIENCE, seen).await });
        waited.map_err(|_| format!("not seen; the watch shows {:?}", watch.signs()))
    };
    let shows = |sign: &str| watch.signs().iter().any(|(s, _)| s == sign);

    plant("1.4.2", "1.4.13")?;
    until(&|_| shows("CrashLoopBackOff"))?;
    plane.restart_api_server()?;
    plant(
        "            name: web-settings",
        "            name: web-setings",
    )?;
    until(&|_| shows("CreateContainerConfigError") && !shows("CrashLoopBackOff"))?;
    plane.restart_api_server()?;
    plant("1.4.2", "1.4.2")?;
    until(&|w| w.signs().is_empty())
}
