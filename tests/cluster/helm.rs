//! What Helm renders, delivered by Flux and by Argo CD: kubemend watches and diagnoses it, and asks for
//! no change, as it cannot locate Helm values. A person mends them. And what the controllers say of a
//! commit that changes only files of a chart.

use std::collections::BTreeMap;

use jiff::Timestamp;
use kubemend::object::{Object, ObjectRef};
use kubemend::snapshot::Snapshot;
use kubemend::verify::app::{Carrier, Question};
use kubemend::verify::{Applied, Wait};
use serde_json::Value;

use crate::argo::{AUTOMATIC, Applying};
use crate::delivered::{Delivered, expect_none, is_applied, is_failed};
use crate::faults::waits;
use crate::plane::{Plane, write};
use crate::shop::{self, is_rolled_out};
use crate::stage::{Delivery, Engine, Stage};

type Run = fn(&Plane, Engine) -> Result<(), String>;

pub const TRIALS: &[(&str, Engine, Run)] = &[
    ("helm_values_are_refused_with_flux", Engine::Flux, refused),
    ("helm_values_are_refused_with_argo", Engine::Argo, refused),
];

const CHART: &str = "apiVersion: v2\nname: web\nversion: 0.1.0\n";
const VALUES: &str = "tag: 1.4.2\n";

/// A chart, and below `release/` what applies it with Flux.
fn files(home: &str) -> BTreeMap<String, Vec<u8>> {
    let template = shop::MANIFEST.replace("1.4.2", "{{ .Values.tag }}");
    let release = format!(
        "apiVersion: helm.toolkit.fluxcd.io/v2\nkind: HelmRelease\nmetadata: {{name: web, namespace: flux-helm}}\n\
         spec:\n  interval: 1h\n  install: {{disableWait: true}}\n  upgrade: {{disableWait: true}}\n\
         \x20 chart:\n    spec:\n      chart: ./apps/flux-helm/chart\n      interval: 5s\n      reconcileStrategy: Revision\n\
         \x20     sourceRef: {{kind: GitRepository, name: gitops, namespace: {home}}}\n"
    );
    [
        ("chart/Chart.yaml", CHART.to_owned()),
        ("chart/values.yaml", VALUES.to_owned()),
        ("chart/templates/web.yaml", template),
        ("release/release.yaml", release),
    ]
    .map(|(file, text)| (file.to_owned(), text.into_bytes()))
    .into()
}

fn refused(plane: &Plane, engine: Engine) -> Result<(), String> {
    let namespace = format!("{engine:?}-helm").to_lowercase();
    let mut files = files(&format!("{namespace}-home"));
    let path = match engine {
        Engine::Flux => "release",
        Engine::Argo => "chart",
    };
    if engine == Engine::Argo {
        files.remove("release/release.yaml");
    }
    let app = Delivery {
        namespace: &namespace,
        path,
        files,
    };
    let stage = Stage::open(plane, engine, &namespace, &[app])?;
    let kubectl = &plane.kubectl;
    kubectl.wait(&namespace, "deployments", "the shop runs", is_rolled_out)?;

    let values = format!("apps/{namespace}/chart/values.yaml");
    stage.put(&values, VALUES.replace("1.4.2", "1.4.O").as_bytes())?;
    stage.push("update the shop")?;
    stage.wake()?;
    let mut program = stage.kubemend()?;
    let named = format!("Deployment {namespace}/web");
    let told = stage.until("the refusal", &mut program, || {
        let told = dashboard(&stage)?;
        Ok((told.contains(&named) && told.contains("1.4.O")).then_some(told))
    })?;
    for what in ["`NotYetSupported`", "Helm"] {
        if !told.contains(what) {
            return Err(format!("{what} is not told: {told}"));
        }
    }
    let by_flux = format!("HelmRelease {namespace}/web");
    if engine == Engine::Flux && !told.contains(&by_flux) {
        return Err(format!("{by_flux} is not named: {told}"));
    }

    stage.put(&values, VALUES.replace("1.4.2", "1.4.3").as_bytes())?;
    stage.push("mend the shop")?;
    stage.wake()?;
    kubectl.wait(&namespace, "deployments", "the shop is well", |d| {
        is_rolled_out(d) && shop::tag_of(d) == "1.4.3"
    })?;
    stage.until("nothing is left", &mut program, || {
        let told = dashboard(&stage)?;
        Ok((!told.contains(&named)).then_some(()))
    })?;
    let pulls = stage.list("/pulls?state=all&per_page=100")?;
    match pulls.is_empty() {
        true => stage.is_clean(),
        false => Err(format!("it changes what it cannot locate: {pulls:#?}")),
    }
}

/// What a person reads.
fn dashboard(stage: &Stage<'_>) -> Result<String, String> {
    let all = stage.list("/issues?state=all&per_page=100")?;
    let text = |i: &Value| i["body"].as_str().unwrap_or_default().to_owned();
    Ok(all.iter().map(text).collect::<Vec<_>>().join("\n"))
}

const RELEASE: &str = "\
apiVersion: helm.toolkit.fluxcd.io/v2
kind: HelmRelease
metadata: {name: shop}
spec:
  interval: 1h
  timeout: 30s
  chart:
    spec:
      chart: ./chart
      interval: 2s
      reconcileStrategy: Revision
      sourceRef: {kind: GitRepository, name: shop}
";

/// A commit that changes only files of the chart is followed through the chart.
pub fn flux_follows_a_chart(plane: &Plane) -> Result<(), String> {
    let delivered = crate::flux::deliver(plane, "flux-follows-a-chart", false)?;
    let shop = &delivered.shop;
    let chart = shop.repository().join("chart");
    std::fs::create_dir_all(chart.join("templates")).map_err(|e| e.to_string())?;
    let template = shop::MANIFEST.replace("1.4.2", "{{ .Values.tag }}");
    write(&chart.join("Chart.yaml"), CHART)?;
    write(&chart.join("values.yaml"), VALUES)?;
    write(&chart.join("templates/web.yaml"), &template)?;
    shop.commit("release the shop", RELEASE)?;
    delivered.push()?;
    shop.wait("deployments", "the shop is released", is_rolled_out)?;

    let follow = |change: &dyn Fn() -> Result<(), String>, is_end: &dyn Fn(&Applied) -> bool| {
        // Kubernetes counts in whole seconds: what was built before is of an earlier one
        std::thread::sleep(std::time::Duration::from_millis(1_100));
        let merged_at = Timestamp::now();
        change()?;
        let commit = delivered.push()?;
        let read = |_: &Object| read(&delivered, &commit, merged_at);
        // a chart that is not built again changes no release
        let kinds = "helmreleases.helm.toolkit.fluxcd.io,helmcharts,gitrepositories";
        delivered.follow(&shop.namespace, kinds, read, is_end)
    };
    let values = |tag: &str| {
        write(&chart.join("values.yaml"), &VALUES.replace("1.4.2", tag))?;
        shop.commit("update the chart", &shop.manifest())
    };
    let readings = follow(&|| values("1.4.1"), &is_applied)?;
    expect_none(&readings, is_failed, "an upgrade is no failure")?;
    shop.expect_tag("1.4.1")?;
    let readings = follow(&|| values("1.4.O"), &is_failed)?;
    expect_none(&readings, is_applied, "what fails is not applied")?;
    let readings = follow(&|| values("1.4.3"), &is_applied)?;
    expect_none(&readings, is_failed, "an earlier failure is not the fix's")?;
    shop.expect_tag("1.4.3")?;

    // the same version is built once and for all, until it is raised
    shop.commit(
        "build by version",
        &RELEASE.replace(
            "reconcileStrategy: Revision",
            "reconcileStrategy: ChartVersion",
        ),
    )?;
    delivered.push()?;
    shop.wait(
        "helmreleases.helm.toolkit.fluxcd.io",
        "it is built by version",
        |r| {
            r["status"]["lastAttemptedRevision"] == "0.1.0"
                && r["status"]["history"][0]["status"] == "deployed"
        },
    )?;
    let waits = |r: &Applied| {
        let why = Wait::ChartVersion;
        *r == Applied::Waiting { why }
    };
    let readings = follow(&|| values("1.4.1"), &waits)?;
    expect_none(&readings, is_applied, "what is not built is not applied")?;
    shop.expect_tag("1.4.3")?;
    write(&chart.join("Chart.yaml"), &CHART.replace("0.1.0", "0.1.1"))?;
    let readings = follow(&|| values("1.4.2"), &is_applied)?;
    expect_none(&readings, is_failed, "an upgrade is no failure")?;
    shop.expect_tag("1.4.2")
}

/// Argo CD renders a chart itself, so a commit is followed by the Application alone.
pub fn argo_follows_a_chart(plane: &Plane) -> Result<(), String> {
    let delivered = Delivered::start(plane, "argo-follows-a-chart")?;
    let chart = delivered.shop.repository().join("chart");
    std::fs::create_dir_all(chart.join("templates")).map_err(|e| e.to_string())?;
    let template = shop::MANIFEST.replace("1.4.2", "{{ required \"a tag\" .Values.tag }}");
    write(&chart.join("Chart.yaml"), CHART)?;
    write(&chart.join("templates/web.yaml"), &template)?;
    let values = |delivered: &Delivered<'_>, text: &str| {
        write(&chart.join("values.yaml"), text)?;
        let shop = &delivered.shop;
        shop.commit("update the chart", &shop.manifest())
    };
    values(&delivered, VALUES)?;
    delivered.push()?;
    let source = format!(
        "source: {{repoURL: '{}', path: chart, targetRevision: main}}",
        delivered.url()
    );
    let applying = Applying::with(delivered, &source, AUTOMATIC)?;
    let shop = &applying.delivered.shop;
    applying.follow(&applying.delivered.head(), is_applied)?;
    shop.wait("deployments", "the shop runs", is_rolled_out)?;
    let update = |text: &str| {
        values(&applying.delivered, text)?;
        applying.push()
    };

    let readings = applying.follow(&update("tag: 1.4.1\n")?, is_applied)?;
    expect_none(&readings, is_failed, "an upgrade is no failure")?;
    shop.expect_tag("1.4.1")?;
    // what can be rendered is applied, and the pods tell
    applying.follow(&update("tag: 1.4.O\n")?, is_applied)?;
    shop.wait("pods", "the fault shows", |p| waits(p, "ImagePullBackOff"))?;
    let cannot = |r: &Applied| matches!(r, Applied::Applying { detail } if detail.starts_with("ComparisonError") && detail.contains("a tag"));
    let readings = applying.follow(&update("tag: ''\n")?, cannot)?;
    expect_none(&readings, is_applied, "what is not rendered is not applied")?;
    shop.expect_tag("1.4.O")?;
    let readings = applying.follow(&update("tag: 1.4.3\n")?, is_applied)?;
    expect_none(&readings, is_failed, "an earlier failure is not the fix's")?;
    shop.expect_tag("1.4.3")?;
    shop.wait("deployments", "the fix heals", is_rolled_out)?;
    Ok(())
}

/// What kubemend reads of a release, in the order in which it reads.
fn read(delivered: &Delivered<'_>, commit: &str, merged_at: Timestamp) -> Applied {
    let shop = &delivered.shop;
    let get = |what| {
        let all = shop.plane.kubectl.get(&shop.namespace, what).ok();
        let items = all.and_then(|all| all["items"].as_array().cloned());
        items
            .unwrap_or_default()
            .into_iter()
            .filter_map(Object::new)
    };
    let kinds = [
        "deployments",
        "kustomizations.kustomize.toolkit.fluxcd.io",
        "helmreleases.helm.toolkit.fluxcd.io",
        "gitrepositories",
        "helmcharts",
    ];
    let objects = kinds.into_iter().flat_map(get).collect();
    let snapshot = Snapshot::new(objects, BTreeMap::new());
    let question = Question {
        commit,
        is_ancestor: &|a, b| delivered.is_ancestor(a, b),
        files: &["chart/values.yaml"],
        merged_at,
        now: Timestamp::now(),
        is_ours: &|url| url == delivered.url(),
        objects: &[],
    };
    let web = ObjectRef::new("apps/v1", "Deployment", Some(&shop.namespace), "web");
    match Carrier::of(&web, &snapshot) {
        Some(carrier) => carrier.applied(&snapshot, &question),
        None => Applied::NotSeen { at: None },
    }
}
