//! The loop closed by Argo CD: what the real controller writes as status on the way is read by
//! kubemend's own verification, and compared with what the cluster has.

use jiff::Timestamp;
use kubemend::object::Object;
use kubemend::verify::argo::{Question, applied};
use kubemend::verify::{Applied, Wait};

use crate::delivered::{Delivered, expect_none, expect_told, is_applied, is_failed};
use crate::faults::{added, waits};
use crate::plane::Plane;
use crate::shop::{self, is_rolled_out};

type Run = fn(&Plane) -> Result<(), String>;

pub const TRIALS: &[(&str, Run)] = &[
    ("argo_applies_the_fix", argo_applies_the_fix),
    ("argo_waits_for_a_person", argo_waits_for_a_person),
    ("argo_tells_what_is_refused", argo_tells_what_is_refused),
    (
        "argo_keeps_trying_an_old_commit",
        argo_keeps_trying_an_old_commit,
    ),
    (
        "argo_knows_which_source_is_ours",
        argo_knows_which_source_is_ours,
    ),
    ("argo_waits_for_a_window", argo_waits_for_a_window),
    ("argo_follows_a_chart", crate::helm::argo_follows_a_chart),
];

/// An Application, and the shop that it applies.
pub struct Applying<'p> {
    pub delivered: Delivered<'p>,
    /// The Application is named after the shop's namespace.
    object: String,
}

impl<'p> Applying<'p> {
    fn start(plane: &'p Plane, namespace: &str, policy: &str) -> Result<Self, String> {
        let delivered = Delivered::start(plane, namespace)?;
        let source = format!("source: {}", source(&delivered));
        Self::with(delivered, &source, policy)
    }

    pub fn with(delivered: Delivered<'p>, sources: &str, policy: &str) -> Result<Self, String> {
        let (plane, namespace) = (delivered.shop.plane, &delivered.shop.namespace);
        let server = &plane.server;
        let application = format!(
            "apiVersion: argoproj.io/v1alpha1\nkind: Application\n\
             metadata: {{name: {namespace}, namespace: argocd}}\n\
             spec:\n  project: default\n  destination: {{server: '{server}', namespace: {namespace}}}\n\
             \x20 syncPolicy: {policy}\n  {sources}\n"
        );
        plane.kubectl.apply(None, &application)?;
        let object = format!("applications.argoproj.io/{namespace}");
        Ok(Self { delivered, object })
    }

    fn commit(&self, subject: &str, from: &str, to: &str) -> Result<(), String> {
        let changed = shop::MANIFEST.replace(from, to);
        self.delivered.shop.commit(subject, &changed)
    }

    /// Pushes what is committed, and lets Argo CD look at once.
    pub fn push(&self) -> Result<String, String> {
        let commit = self.delivered.push()?;
        self.annotate("argocd.argoproj.io/refresh=normal")?;
        Ok(commit)
    }

    fn annotate(&self, what: &str) -> Result<(), String> {
        let kubectl = &self.delivered.shop.plane.kubectl;
        kubectl
            .run(&[
                "annotate",
                "-n",
                "argocd",
                &self.object,
                "--overwrite",
                what,
            ])
            .map(drop)
    }

    /// Asks for a sync, as a person does.
    fn sync(&self) -> Result<(), String> {
        let kubectl = &self.delivered.shop.plane.kubectl;
        let patch =
            r#"{"operation":{"initiatedBy":{"username":"ann"},"sync":{"revision":"main"}}}"#;
        kubectl
            .run(&[
                "patch",
                "-n",
                "argocd",
                &self.object,
                "--type=merge",
                "-p",
                patch,
            ])
            .map(drop)
    }

    pub fn follow(
        &self,
        commit: &str,
        is_end: impl Fn(&Applied) -> bool,
    ) -> Result<Vec<Applied>, String> {
        self.follow_in(&self.delivered.url(), commit, is_end)
    }

    fn follow_in(
        &self,
        url: &str,
        commit: &str,
        is_end: impl Fn(&Applied) -> bool,
    ) -> Result<Vec<Applied>, String> {
        let kubectl = &self.delivered.shop.plane.kubectl;
        let read = |application: &Object| {
            let project = kubectl.get("argocd", PROJECT).ok().and_then(Object::new);
            let question = Question {
                commit,
                // whatever is there already was not merged
                merged_at: Timestamp::UNIX_EPOCH,
                now: Timestamp::now(),
                files: &[],
                project: project.as_ref(),
                repo_url: url,
                is_ancestor: &|a, b| self.delivered.is_ancestor(a, b),
                same_repo: &|a, b| a == b,
                objects: &[],
            };
            applied(application, &question)
        };
        self.delivered.follow("argocd", &self.object, read, is_end)
    }
}

impl Drop for Applying<'_> {
    fn drop(&mut self) {
        let kubectl = &self.delivered.shop.plane.kubectl;
        let _ = kubectl.run(&["delete", "-n", "argocd", &self.object, "--wait=false"]);
    }
}

/// All Applications are of one project.
const PROJECT: &str = "appprojects.argoproj.io/default";
pub const AUTOMATIC: &str = "{automated: {selfHeal: true}, retry: {limit: 0}}";

fn source(delivered: &Delivered<'_>) -> String {
    let url = delivered.url();
    format!("{{repoURL: '{url}', path: apps, targetRevision: main}}")
}

fn waits_for(why: Wait) -> impl Fn(&Applied) -> bool {
    move |reading| matches!(reading, Applied::Waiting { why: w } if *w == why)
}

fn argo_applies_the_fix(plane: &Plane) -> Result<(), String> {
    let applying = Applying::start(plane, "argo-applies-the-fix", AUTOMATIC)?;
    let shop = &applying.delivered.shop;
    let readings = applying.follow(&applying.delivered.head(), is_applied)?;
    expect_none(&readings, is_failed, "a healthy revision is no failure")?;
    shop.expect_tag("1.4.2")?;
    shop.wait("deployments", "the shop runs", is_rolled_out)?;

    applying.commit("update the shop", "1.4.2", "1.4.O")?;
    let bad = applying.push()?;
    // a sync does not wait for pods: applied it is, and the workload is read for the rest
    applying.follow(&bad, is_applied)?;
    shop.expect_tag("1.4.O")?;
    shop.wait("pods", "the fault shows", |p| waits(p, "ImagePullBackOff"))?;

    let results = shop.fix()?;
    let all = || serde_json::to_string_pretty(&results).unwrap_or_default();
    let fixed = results
        .iter()
        .filter_map(|r| r["patch"].as_str())
        .find(|p| added(p) == ["image: registry.example.com/shop/web:1.4.2"]);
    shop.merge(fixed.ok_or_else(|| format!("another end: {}", all()))?)?;
    let fix = applying.delivered.head();
    // what is merged after it holds it too
    applying.commit("say more", "GREETING: hello", "GREETING: good morning")?;
    let later = applying.push()?;
    let readings = applying.follow(&fix, is_applied)?;
    expect_none(&readings, is_failed, "nothing failed")?;
    let held = |r: &Applied| matches!(r, Applied::Applied { revision, .. } if *revision == later);
    if !readings.iter().any(held) {
        return Err(format!("another revision than {later}: {readings:#?}"));
    }
    shop.expect_tag("1.4.2")?;
    shop.wait("deployments", "the fix heals", is_rolled_out)?;
    Ok(())
}

fn argo_waits_for_a_person(plane: &Plane) -> Result<(), String> {
    let applying = Applying::start(plane, "argo-waits-for-a-person", "{}")?;
    let manual = waits_for(Wait::ManualSync);
    let first = applying.delivered.head();
    applying.follow(&first, &manual)?;
    applying.sync()?;
    applying.follow(&first, is_applied)?;
    applying.delivered.shop.expect_tag("1.4.2")?;

    applying.commit("update the shop", "1.4.2", "1.4.1")?;
    let second = applying.push()?;
    let readings = applying.follow(&second, &manual)?;
    expect_none(&readings, is_applied, "nobody applied it yet")?;
    applying.delivered.shop.expect_tag("1.4.2")?;
    applying.sync()?;
    let readings = applying.follow(&second, is_applied)?;
    expect_none(&readings, is_failed, "waiting is no failure")?;
    applying.delivered.shop.expect_tag("1.4.1")
}

fn argo_tells_what_is_refused(plane: &Plane) -> Result<(), String> {
    let applying = Applying::start(plane, "argo-tells-what-is-refused", AUTOMATIC)?;
    applying.follow(&applying.delivered.head(), is_applied)?;
    // the selector of a Deployment cannot change
    applying.commit("rename the shop", "app: web", "app: shop")?;
    let bad = applying.push()?;
    let readings = applying.follow(&bad, is_failed)?;
    expect_none(&readings, is_applied, "what is refused is not applied")?;
    expect_told(&readings, "field is immutable")?;
    expect_told(&readings, "Deployment/argo-tells-what-is-refused/web")?;

    applying.commit("take it back", "1.4.2", "1.4.1")?;
    let mended = applying.push()?;
    let readings = applying.follow(&mended, is_applied)?;
    expect_none(
        &readings,
        is_failed,
        "an earlier failure is not this commit's",
    )?;
    applying.delivered.shop.expect_tag("1.4.1")
}

/// While a window is closed Argo CD compares, and writes nothing of why it begins nothing.
fn argo_waits_for_a_window(plane: &Plane) -> Result<(), String> {
    let name = "argo-waits-for-a-window";
    let applying = Applying::start(plane, name, AUTOMATIC)?;
    applying.follow(&applying.delivered.head(), is_applied)?;
    let window = format!(
        r#"{{"kind":"deny","schedule":"* * * * *","duration":"24h","applications":["{name}"]}}"#
    );
    let windows = |all: &str| {
        let patch = format!(r#"{{"spec":{{"syncWindows":[{all}]}}}}"#);
        let patch = [
            "patch",
            "-n",
            "argocd",
            PROJECT,
            "--type=merge",
            "-p",
            &patch,
        ];
        plane.kubectl.run(&patch).map(drop)
    };
    windows(&window)?;
    applying.commit("update the shop", "1.4.2", "1.4.1")?;
    let update = applying.push()?;
    let closed = |r: &Applied| {
        let Applied::Waiting {
            why: Wait::NotStarted { windows },
        } = r
        else {
            return false;
        };
        windows.as_deref() == Some("deny `* * * * *` for 24h UTC")
    };
    let readings = applying.follow(&update, closed)?;
    expect_none(&readings, is_applied, "the window is closed")?;
    expect_none(&readings, is_failed, "a closed window is no failure")?;
    applying.delivered.shop.expect_tag("1.4.2")?;

    windows("")?;
    applying.annotate("argocd.argoproj.io/refresh=normal")?;
    let readings = applying.follow(&update, is_applied)?;
    expect_none(&readings, is_failed, "waiting is no failure")?;
    applying.delivered.shop.expect_tag("1.4.1")
}

/// Argo CD pins the commit that it retries, so what was merged later is not looked at.
fn argo_keeps_trying_an_old_commit(plane: &Plane) -> Result<(), String> {
    let policy =
        "{automated: {}, retry: {limit: 20, backoff: {duration: 5s, factor: 1, maxDuration: 10m}}}";
    let applying = Applying::start(plane, "argo-keeps-trying", policy)?;
    applying.follow(&applying.delivered.head(), is_applied)?;
    applying.commit("rename the shop", "app: web", "app: shop")?;
    let bad = applying.push()?;
    let retried =
        |r: &Applied| matches!(r, Applied::Applying { detail } if detail.contains("Retrying"));
    let readings = applying.follow(&bad, retried)?;
    expect_none(&readings, is_applied, "what is refused is not applied")?;

    applying.commit("take it back", "1.4.2", "1.4.1")?;
    let mended = applying.push()?;
    let readings = applying.follow(&mended, waits_for(Wait::OldOperation))?;
    expect_none(
        &readings,
        is_applied,
        "it is not applied while the old one is retried",
    )?;
    applying.delivered.shop.expect_tag("1.4.2")
}

fn argo_knows_which_source_is_ours(plane: &Plane) -> Result<(), String> {
    let delivered = Delivered::start(plane, "argo-which-source")?;
    let other = Delivered::start(plane, "argo-other-source")?;
    let settings = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: other\ndata: {step: one}\n";
    other.shop.commit("say something", settings)?;
    let others = other.push()?;
    let sources = format!("sources: [{}, {}]", source(&other), source(&delivered));
    let applying = Applying::with(delivered, &sources, AUTOMATIC)?;
    let ours = applying.delivered.head();
    let held = |commit: &str| {
        let commit = commit.to_owned();
        move |r: &Applied| matches!(r, Applied::Applied { revision, .. } if *revision == commit)
    };
    applying.follow(&ours, held(&ours))?;
    applying.follow_in(&other.url(), &others, held(&others))?;

    // the other source moves: nothing new of ours
    other
        .shop
        .commit("say more", &settings.replace("one", "two"))?;
    let others = other.push()?;
    applying.commit("update the shop", "1.4.2", "1.4.1")?;
    let unpushed = applying.delivered.head();
    applying.annotate("argocd.argoproj.io/refresh=normal")?;
    applying.follow_in(&other.url(), &others, held(&others))?;
    applying.follow(
        &unpushed,
        |r| matches!(r, Applied::NotSeen { at: Some(at) } if *at == ours),
    )?;

    let second = applying.push()?;
    applying.follow(&second, held(&second))?;
    applying.delivered.shop.expect_tag("1.4.1")?;
    // a repository that is none of the sources
    applying.follow_in("https://git.example.com/else.git", &second, |r| {
        matches!(r, Applied::Unknown { .. })
    })?;
    Ok(())
}
