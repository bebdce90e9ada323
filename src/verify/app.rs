//! Which object of a GitOps engine applies an object, and what that engine says of a commit. Pure.

use jiff::Timestamp;
use serde_json::Value;

use crate::object::{Object, ObjectRef};
use crate::snapshot::Snapshot;
use crate::verify::revision::{IsAncestor, Revision};
use crate::verify::{Applied, argo, flux};

/// The address of its own cluster, as Argo CD writes it.
const IN_CLUSTER: &str = "https://kubernetes.default.svc";

/// What applies an object.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Carrier<'s> {
    /// A Kustomization of Flux.
    Kustomization(&'s Object),
    /// A HelmRelease of Flux.
    Release(&'s Object),
    /// An Application of Argo CD.
    Application(&'s Object),
}

/// What is asked of an engine.
pub struct Question<'a> {
    /// The merge commit.
    pub commit: &'a str,
    /// Whether one commit is an ancestor of another.
    pub is_ancestor: &'a IsAncestor<'a>,
    /// The files that it changes.
    pub files: &'a [&'a str],
    /// When it was merged.
    pub merged_at: Timestamp,
    /// When it is asked.
    pub now: Timestamp,
    /// Whether an address is that of our repository.
    pub is_ours: &'a dyn Fn(&str) -> bool,
    /// What the commit changes.
    pub objects: &'a [&'a ObjectRef],
}

impl<'s> Carrier<'s> {
    /// What applies an object: by the marks that the engines leave on it, else by what they list as
    /// theirs. An Argo CD may list the same name for several clusters: then nobody knows.
    pub fn of(object: &ObjectRef, snapshot: &'s Snapshot) -> Option<Self> {
        let listed = || {
            let kustomizations = snapshot.of_kind("Kustomization").filter(is_flux);
            let by_flux = kustomizations.filter(|k| in_inventory(k, object));
            let by_argo = applications(snapshot).filter(|a| argo::resource(a, object).is_some());
            let mut all = by_flux
                .map(Self::Kustomization)
                .chain(by_argo.map(Self::Application));
            all.next().filter(|_| all.next().is_none())
        };
        let marked = || marked(snapshot.get(object)?, snapshot);
        // a release's objects are in no inventory of a Kustomization, but its own object may be
        release(object, snapshot).or_else(marked).or_else(listed)
    }

    /// The same by the marks on an object alone: no list is looked through.
    pub fn marked_on(object: &Object, snapshot: &'s Snapshot) -> Option<Self> {
        release(&object.reference(), snapshot).or_else(|| marked(object, snapshot))
    }

    /// The engine's object.
    pub fn object(self) -> &'s Object {
        match self {
            Self::Kustomization(o) | Self::Release(o) | Self::Application(o) => o,
        }
    }

    /// `Kustomization flux-system/apps`.
    pub fn name(self) -> String {
        self.object().reference().to_string()
    }

    /// How far a commit got in it.
    pub fn applied(self, snapshot: &'s Snapshot, question: &Question<'_>) -> Applied {
        match self {
            Self::Kustomization(object) => kustomization(object, snapshot, question),
            Self::Release(release) => self.released(release, snapshot, question),
            Self::Application(app) => application(app, snapshot, question),
        }
    }

    /// By the HelmRelease itself, by the chart, or by both: whatever the commit changes.
    fn released(
        self,
        release: &Object,
        snapshot: &'s Snapshot,
        question: &Question<'_>,
    ) -> Applied {
        let chart = chart(release, snapshot, question.is_ours);
        let is_of_chart = |file: &&&str| chart.is_some_and(|c| is_of_chart(c, file));
        let of_chart = question.files.iter().filter(is_of_chart).count();
        if of_chart == 0 || of_chart < question.files.len() {
            let carried = match Self::of(&release.reference(), snapshot) {
                Some(carrier @ (Self::Kustomization(_) | Self::Application(_))) => {
                    flux::helm_release(carrier.applied(snapshot, question), release)
                }
                _ => Applied::Unknown {
                    why: format!("nothing is known that applies {}", self.name()),
                },
            };
            if of_chart == 0 || !matches!(carried, Applied::Applied { .. }) {
                return carried;
            }
        }
        let Some(chart) = chart else {
            return Applied::Unknown {
                why: format!("the chart of {} is not known", self.name()),
            };
        };
        let source = source(chart, snapshot);
        flux::chart(source, chart, release, &of_flux(question))
    }

    /// Whether its last attempt ended well, as far as applying goes; `None` while it runs.
    pub fn last_attempt_succeeded(self) -> Option<bool> {
        match self {
            Self::Kustomization(object) | Self::Release(object) => {
                let mut all = object.list("status.conditions").iter();
                let ready = all.find(|c| text(c, "type") == "Ready")?;
                match (text(ready, "status"), text(ready, "reason")) {
                    ("True", _) | ("False", "HealthCheckFailed") => Some(true),
                    ("False", _) => Some(false),
                    _ => None,
                }
            }
            Self::Application(app) => match app.str("status.operationState.phase") {
                Some("Succeeded") | None => Some(true),
                Some("Running" | "Terminating") => None,
                Some(_) => Some(false),
            },
        }
    }

    /// The commit that it tried to apply last.
    pub fn attempted(self) -> Option<String> {
        let object = self.object();
        let paths = [
            "status.lastAttemptedRevision",
            "status.operationState.syncResult.revision",
            "status.operationState.operation.sync.revision",
        ];
        let many = object.list("status.operationState.syncResult.revisions");
        let many = many.iter().filter_map(Value::as_str);
        let texts = paths.iter().filter_map(|p| object.str(p)).chain(many);
        let mut commits = texts.filter_map(|t| Revision::read(t)?.commit().map(str::to_owned));
        commits.next()
    }

    /// The folder that it reads in the repository.
    fn path(self) -> Option<&'s str> {
        let path = match self {
            // an artifact is made of nobody knows which folder
            Self::Kustomization(object) if is_artifact(object) => Some(""),
            Self::Kustomization(object) => object.str("spec.path"),
            Self::Application(app) => app.str("spec.source.path"),
            Self::Release(_) => None,
        };
        path.map(folder)
    }

    /// The folders that it reads in our repository, whatever else it reads.
    pub fn folders(self, is_ours: &dyn Fn(&str) -> bool) -> Vec<&'s str> {
        let Self::Application(app) = self else {
            return self.path().into_iter().collect();
        };
        let one = ["spec.source", "spec.sourceHydrator.drySource"];
        let one = one.iter().filter_map(|p| app.get(p));
        let all = one.chain(app.list("spec.sources"));
        let ours = all.filter(|s| s.get("chart").is_none() && is_ours(text(s, "repoURL")));
        ours.map(|s| folder(text(s, "path"))).collect()
    }

    /// Whether it releases a chart that is built from our repository.
    pub fn is_of_our_chart(self, snapshot: &Snapshot, is_ours: &dyn Fn(&str) -> bool) -> bool {
        let Self::Release(release) = self else {
            return false;
        };
        chart(release, snapshot, is_ours).is_some()
    }

    /// Whether it applies our repository to this very cluster.
    pub fn is_of(self, snapshot: &Snapshot, is_ours: &dyn Fn(&str) -> bool) -> bool {
        match self {
            Self::Kustomization(object) => {
                let url = source(object, snapshot).and_then(flux::git_url);
                object.get("spec.kubeConfig").is_none() && url.is_some_and(is_ours)
            }
            // an Argo CD may stand in another cluster than the one that it writes to
            Self::Application(app) => {
                let server = app.str("spec.destination.server").unwrap_or_default();
                let name = app.str("spec.destination.name").unwrap_or_default();
                server == IN_CLUSTER || name == "in-cluster"
            }
            Self::Release(_) => false,
        }
    }
}

/// Whether an engine left its mark on an object, seen or not.
pub fn is_marked(object: &ObjectRef, snapshot: &Snapshot) -> bool {
    let labels = [
        "kustomize.toolkit.fluxcd.io/name",
        "helm.toolkit.fluxcd.io/name",
        "argocd.argoproj.io/instance",
    ];
    snapshot.get(object).is_some_and(|live| {
        let tracked = live.annotation("argocd.argoproj.io/tracking-id").is_some();
        tracked || labels.iter().any(|l| live.label(l).is_some())
    })
}

fn kustomization(object: &Object, snapshot: &Snapshot, question: &Question<'_>) -> Applied {
    let source = source(object, snapshot);
    let url = source.and_then(flux::git_url);
    let known = [
        "status.lastAppliedOriginRevision",
        "status.lastAppliedRevision",
        "status.lastAttemptedRevision",
    ];
    let mut revisions = known.iter().filter_map(|p| object.str(p));
    // a mirror has another address and the same commits
    let is_known = |r: &str| {
        let read = Revision::read(r);
        let commit = read.as_ref().and_then(Revision::commit);
        commit.is_some_and(|c| (question.is_ancestor)(c, c).is_some())
    };
    if url.is_some_and(|u| !(question.is_ours)(u)) && !revisions.any(is_known) {
        return Applied::Unknown {
            why: format!("Kustomization {} reads another repository", object.name()),
        };
    }
    flux::kustomization(source, object, &of_flux(question))
}

fn of_flux<'a>(question: &Question<'a>) -> flux::Question<'a> {
    flux::Question {
        commit: question.commit,
        merged_at: question.merged_at,
        now: question.now,
        is_ancestor: question.is_ancestor,
    }
}

/// Whether it applies an artifact that was made from a repository, and not the repository.
fn is_artifact(object: &Object) -> bool {
    object.str("spec.sourceRef.kind") == Some("OCIRepository")
}

/// The chart of a release, if it is built from our repository.
fn chart<'s>(
    release: &Object,
    snapshot: &'s Snapshot,
    is_ours: &dyn Fn(&str) -> bool,
) -> Option<&'s Object> {
    let (namespace, name) = release.str("status.helmChart")?.split_once('/')?;
    let chart = snapshot.find("HelmChart", Some(namespace), name)?;
    let url = source(chart, snapshot)?.str("spec.url")?;
    is_ours(url).then_some(chart)
}

/// Whether a chart is built from a file: one of its folder, or of the values beside it.
fn is_of_chart(chart: &Object, file: &str) -> bool {
    let root = folder(chart.str("spec.chart").unwrap_or_default());
    let values = chart.list("spec.valuesFiles").iter();
    let mut values = values.filter_map(Value::as_str);
    is_below(file, root) || values.any(|v| folder(v) == file)
}

fn source<'s>(object: &Object, snapshot: &'s Snapshot) -> Option<&'s Object> {
    let reference = object.get("spec.sourceRef")?;
    let namespace = Some(text(reference, "namespace")).filter(|n| !n.is_empty());
    snapshot.find(
        text(reference, "kind"),
        namespace.or(object.namespace()),
        text(reference, "name"),
    )
}

fn application(app: &Object, snapshot: &Snapshot, question: &Question<'_>) -> Applied {
    // Applications may stand in other namespaces than their projects
    let home = app.str("status.controllerNamespace").or(app.namespace());
    let project = app.str("spec.project").unwrap_or("default");
    let question = argo::Question {
        commit: question.commit,
        merged_at: question.merged_at,
        now: question.now,
        files: question.files,
        project: snapshot.find("AppProject", home, project),
        repo_url: "",
        is_ancestor: question.is_ancestor,
        same_repo: &|url, _| (question.is_ours)(url),
        objects: question.objects,
    };
    argo::applied(app, &question)
}

fn applications(snapshot: &Snapshot) -> impl Iterator<Item = &Object> {
    let all = snapshot.of_kind("Application");
    all.filter(|o| o.api_version().starts_with("argoproj.io/"))
}

fn is_flux(object: &&Object) -> bool {
    object
        .api_version()
        .starts_with("kustomize.toolkit.fluxcd.io/")
}

/// Entries are `namespace_name_group_Kind`.
fn in_inventory(kustomization: &Object, object: &ObjectRef) -> bool {
    let namespace = object.namespace.as_deref().unwrap_or_default();
    let group = object.group();
    let id = format!("{namespace}_{}_{group}_{}", object.name, object.kind);
    let entries = kustomization.list("status.inventory.entries");
    entries.iter().any(|e| text(e, "id") == id)
}

fn release<'s>(object: &ObjectRef, snapshot: &'s Snapshot) -> Option<Carrier<'s>> {
    let live = snapshot.get(object)?;
    let name = live.label("helm.toolkit.fluxcd.io/name")?;
    let namespace = live.label("helm.toolkit.fluxcd.io/namespace");
    snapshot
        .find("HelmRelease", namespace, name)
        .map(Carrier::Release)
}

/// By labels of Flux, or by the tracking of Argo CD: `app:group/Kind:namespace/name`, where `app`
/// may be `namespace_name`.
fn marked<'s>(object: &Object, snapshot: &'s Snapshot) -> Option<Carrier<'s>> {
    let flux = object.label("kustomize.toolkit.fluxcd.io/name");
    if let Some(name) = flux {
        let namespace = object.label("kustomize.toolkit.fluxcd.io/namespace");
        let found = snapshot.find("Kustomization", namespace, name);
        return found.filter(is_flux).map(Carrier::Kustomization);
    }
    let tracked = object.annotation("argocd.argoproj.io/tracking-id")?;
    let app = tracked.split(':').next().unwrap_or_default();
    let is = |a: &&Object| {
        let full = format!("{}_{}", a.namespace().unwrap_or_default(), a.name());
        a.name() == app || full == app
    };
    applications(snapshot).find(is).map(Carrier::Application)
}

/// Whether a file is in a folder, or below it.
pub(super) fn is_below(file: &str, folder: &str) -> bool {
    let rest = file.strip_prefix(folder);
    folder.is_empty() || rest.is_some_and(|r| r.starts_with('/'))
}

/// As files of a repository are named.
pub(super) fn folder(path: &str) -> &str {
    let path = path.trim_start_matches("./").trim_matches('/');
    if path == "." { "" } else { path }
}

fn text<'v>(value: &'v Value, key: &str) -> &'v str {
    value.get(key).and_then(Value::as_str).unwrap_or_default()
}

#[cfg(test)]
mod tests;
