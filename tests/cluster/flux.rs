//! The loop closed by Flux: a repository served over HTTP, applied by the real controllers.
//! What they write as status on the way is read by kubemend's own verification.

use jiff::Timestamp;
use kubemend::object::Object;
use kubemend::verify::Applied;
use kubemend::verify::flux::{Question, helm_release, kustomization};

use crate::delivered::{Delivered, expect_none, expect_told, is_applied, is_failed};
use crate::faults::{added, waits};
use crate::git_server::git;
use crate::plane::{Plane, write};
use crate::shop::{self, is_rolled_out};

type Run = fn(&Plane) -> Result<(), String>;

pub const TRIALS: &[(&str, Run)] = &[
    ("flux_applies_the_fix", flux_applies_the_fix),
    (
        "flux_tells_what_it_cannot_build",
        flux_tells_what_it_cannot_build,
    ),
    ("flux_releases_a_chart", flux_releases_a_chart),
    ("flux_follows_a_chart", crate::helm::flux_follows_a_chart),
];

/// What Flux reads, and what it does with it.
pub fn deliver<'p>(
    plane: &'p Plane,
    namespace: &str,
    waits: bool,
) -> Result<Delivered<'p>, String> {
    let delivered = Delivered::start(plane, namespace)?;
    let objects = format!(
        "apiVersion: source.toolkit.fluxcd.io/v1\nkind: GitRepository\nmetadata:\n  name: shop\n\
         spec:\n  interval: 2s\n  url: {}\n  ref: {{branch: main}}\n---\n\
         apiVersion: kustomize.toolkit.fluxcd.io/v1\nkind: Kustomization\nmetadata:\n  name: shop\n\
         spec:\n  interval: 5s\n  retryInterval: 2s\n  timeout: 30s\n  path: ./apps\n  prune: true\n  wait: {waits}\n\
         \x20 targetNamespace: {namespace}\n  sourceRef: {{kind: GitRepository, name: shop}}\n",
        delivered.url()
    );
    plane.kubectl.apply(Some(namespace), &objects)?;
    Ok(delivered)
}

/// What kubemend reads of the Kustomization.
fn read(delivered: &Delivered<'_>, object: &Object, commit: &str) -> Applied {
    let shop = &delivered.shop;
    let source = shop
        .plane
        .kubectl
        .get(&shop.namespace, "gitrepositories/shop");
    let source = source.ok().and_then(Object::new);
    let question = Question {
        commit,
        // the source is asked all the time
        merged_at: Timestamp::UNIX_EPOCH,
        now: Timestamp::now(),
        is_ancestor: &|a, b| delivered.is_ancestor(a, b),
    };
    kustomization(source.as_ref(), object, &question)
}

fn follow(
    delivered: &Delivered<'_>,
    commit: &str,
    is_end: impl Fn(&Applied) -> bool,
) -> Result<Vec<Applied>, String> {
    let kind = "kustomizations.kustomize.toolkit.fluxcd.io";
    let read = |object: &Object| read(delivered, object, commit);
    delivered.follow(&delivered.shop.namespace, kind, read, is_end)
}

fn flux_applies_the_fix(plane: &Plane) -> Result<(), String> {
    let delivered = deliver(plane, "flux-applies-the-fix", true)?;
    let shop = &delivered.shop;
    let first = git(&shop.repository(), &["rev-parse", "HEAD"]);
    let readings = follow(&delivered, &first, is_applied)?;
    expect_none(&readings, is_failed, "a healthy revision is no failure")?;

    shop.commit("update the shop", &shop::MANIFEST.replace("1.4.2", "1.4.O"))?;
    let bad = delivered.push()?;
    shop.wait("pods", "the fault shows", |p| waits(p, "ImagePullBackOff"))?;
    // it is applied, and it is the pods that tell that it is no good
    let readings = follow(&delivered, &bad, is_applied)?;
    expect_none(&readings, is_failed, "what is not healthy was applied")?;

    let results = shop.fix()?;
    let all = || serde_json::to_string_pretty(&results).unwrap_or_default();
    let fixed = results
        .iter()
        .filter_map(|r| r["patch"].as_str())
        .find(|p| added(p) == ["image: registry.example.com/shop/web:1.4.2"]);
    shop.merge(fixed.ok_or_else(|| format!("another end: {}", all()))?)?;
    let fix = delivered.push()?;
    let readings = follow(&delivered, &fix, is_applied)?;
    expect_none(&readings, is_failed, "an earlier failure is not the fix's")?;
    shop.wait("deployments", "the fix heals", is_rolled_out)?;
    Ok(())
}

fn flux_tells_what_it_cannot_build(plane: &Plane) -> Result<(), String> {
    let delivered = deliver(plane, "flux-cannot-build", true)?;
    let shop = &delivered.shop;
    let first = git(&shop.repository(), &["rev-parse", "HEAD"]);
    follow(&delivered, &first, is_applied)?;
    // the API server refuses it, so nothing of the commit is applied
    shop.commit(
        "break the shop",
        &shop::MANIFEST.replace("replicas: 1", "replicas: one"),
    )?;
    let bad = delivered.push()?;
    let readings = follow(&delivered, &bad, is_failed)?;
    expect_none(&readings, is_applied, "what is refused is not applied")?;
    expect_told(&readings, "replicas")
}

const RELEASE: &str = "\
apiVersion: helm.toolkit.fluxcd.io/v2
kind: HelmRelease
metadata:
  name: shop
spec:
  interval: 1h
  timeout: 30s
  chart:
    spec:
      chart: ./chart
      reconcileStrategy: Revision
      sourceRef: {kind: GitRepository, name: shop}
  upgrade:
    remediation: {retries: 1, remediateLastFailure: true}
  values:
    tag: 1.4.2
";

/// A chart in the repository, and a release of it that a Kustomization applies.
fn flux_releases_a_chart(plane: &Plane) -> Result<(), String> {
    let delivered = deliver(plane, "flux-releases-a-chart", false)?;
    let shop = &delivered.shop;
    let chart = shop.repository().join("chart");
    std::fs::create_dir_all(chart.join("templates")).map_err(|e| e.to_string())?;
    write(
        &chart.join("Chart.yaml"),
        "apiVersion: v2\nname: shop\nversion: 0.1.0\n",
    )?;
    let template = shop::MANIFEST.replace("1.4.2", "{{ .Values.tag }}");
    write(&chart.join("templates/web.yaml"), &template)?;
    shop.commit("release the shop", RELEASE)?;
    let install = delivered.push()?;
    let release = |commit: &str, is_end: fn(&Applied) -> bool| {
        let read = |_: &Object| {
            let get = |what| plane.kubectl.get(&shop.namespace, what).ok();
            // in this order: a release from before its carrier would look as if it were done
            let carrier = get("kustomizations/shop").and_then(Object::new);
            let release = get("helmreleases/shop").and_then(Object::new);
            match carrier.zip(release) {
                Some((carrier, release)) => {
                    helm_release(read(&delivered, &carrier, commit), &release)
                }
                None => Applied::NotSeen { at: None },
            }
        };
        let kind = "helmreleases.helm.toolkit.fluxcd.io";
        delivered.follow(&shop.namespace, kind, read, is_end)
    };
    let readings = release(&install, is_applied)?;
    expect_none(&readings, is_failed, "an installation is no failure")?;
    shop.expect_tag("1.4.2")?;

    shop.commit("update the shop", &RELEASE.replace("1.4.2", "1.4.1"))?;
    let readings = release(&delivered.push()?, is_applied)?;
    expect_none(&readings, is_failed, "an upgrade is no failure")?;
    shop.expect_tag("1.4.1")?;

    shop.commit("break the shop", &RELEASE.replace("1.4.2", "1.4.O"))?;
    let bad = delivered.push()?;
    let readings = release(&bad, is_failed)?;
    expect_none(&readings, is_applied, "what is rolled back is not applied")?;
    // the old release is back and well, which is no success of the commit
    shop.wait("deployments", "the shop is rolled back", |d| {
        is_rolled_out(d) && shop::tag_of(d) == "1.4.1"
    })?;
    let readings = release(&bad, is_failed)?;
    expect_none(&readings, is_applied, "what was rolled back is not applied")?;

    shop.commit("mend the shop", &RELEASE.replace("1.4.2", "1.4.3"))?;
    let readings = release(&delivered.push()?, is_applied)?;
    expect_none(&readings, is_failed, "an earlier failure is not the fix's")?;
    shop.expect_tag("1.4.3")
}
