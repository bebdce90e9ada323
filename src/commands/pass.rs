//! What one run works on, read once: repository, settings, dump, report, proposer. `fix`, `serve`
//! and `action` build one and run the pipeline on it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::Timestamp;

use crate::case::{Answers, Desired, Report};
use crate::code::Refusal;
use crate::commands::session::Session;
use crate::cycle::{Analysis, Look};
use crate::destination;
use crate::forge::decide::{Wanted, WantedEnding};
use crate::forge::wanted;
use crate::locate::Repository;
use crate::lock::Policy;
use crate::phase::Phase;
use crate::pipeline::{self, Context, Ending, Run};
use crate::propose::Proposer;
use crate::revert::{self, Proof};
use crate::scan::{Input, scan};
use crate::snapshot::Snapshot;
use crate::unsure::{self, Unsure};
use crate::verify::expect::Expected;
use crate::verify::machine::Baseline;
use crate::verify::sight::{self, Failing, Merged, World};

/// The scope of runs that see no cluster.
pub(super) const MANIFESTS: &str = "manifests";

/// Everything that a run works on.
pub(super) struct Pass {
    /// Repository, settings, renderer.
    pub(super) session: Session,
    /// The cluster; empty for manifests alone.
    pub(super) snapshot: Snapshot,
    /// What a person or an alert reports.
    pub(super) report: Option<Report>,
    /// The moment of the snapshot.
    pub(super) now: Timestamp,
    /// Namespace of manifests that name none.
    pub(super) namespace: Option<String>,
    /// Who proposes.
    pub(super) proposer: Box<dyn Proposer>,
    /// `manifests`, or `cluster` and its name.
    pub(super) scope: String,
    /// What of the cluster could not be read; while there is any, nothing counts as healthy.
    pub(super) unread: Vec<String>,
    /// Namespaces of the live cluster in which all pods were read, ill or not; none for a dump, which
    /// shows one moment for ever.
    pub(super) whole: Option<BTreeSet<String>>,
    /// What the last run rendered.
    pub(super) rendered: Rendered,
}

/// What Git says, as a run rendered it.
#[derive(Debug, Default)]
pub(super) struct Rendered {
    desired: Vec<Desired>,
    /// The files that each root reads.
    feeds: BTreeMap<String, Vec<String>>,
}

impl Rendered {
    fn of(repository: &Repository<'_>) -> Self {
        let roots = repository.roots().map(|(root, _)| root);
        Self {
            desired: repository.desired.clone(),
            feeds: roots
                .map(|r| (r.to_owned(), repository.files_of_root(r)))
                .collect(),
        }
    }

    /// The files, and folders of roots, that all of it comes from.
    fn reads(&self) -> BTreeSet<String> {
        let roots: BTreeSet<&String> = self
            .desired
            .iter()
            .filter_map(|d| d.root.as_ref())
            .collect();
        let fed = roots.iter().filter_map(|root| self.feeds.get(*root));
        let plain = self.desired.iter().filter(|d| d.root.is_none());
        let files = fed.flatten().chain(plain.map(|d| &d.file));
        files.chain(roots.iter().copied()).cloned().collect()
    }
}

/// A pass with its repository indexed and rendered.
pub(super) struct Prepared<'p> {
    pass: &'p Pass,
    pub(super) repository: Repository<'p>,
    policy: Policy,
    /// What people should know about how it was read.
    pub(super) notes: Vec<String>,
}

impl Pass {
    /// Indexes and renders the repository, as it is applied to the cluster of the dump.
    pub(super) fn prepare(&self) -> Prepared<'_> {
        let session = &self.session;
        let open = |namespace: Option<&str>| {
            let (files, renderer) = (&session.checkout.files, session.renderer.as_ref());
            Repository::open(files, renderer, namespace, session.config.locate_policy())
        };
        let mut notes = Vec::new();
        let mut repository = open(self.namespace.as_deref());
        if self.namespace.is_none()
            && let Some((found, count)) = destination::infer(&repository.desired, &self.snapshot)
        {
            notes.push(format!("manifests that name no namespace are taken for namespace {found}, where {count} of their objects are; --namespace overrides"));
            repository = open(Some(&found));
        }
        repository.keep_applied(&self.snapshot);
        Prepared {
            pass: self,
            repository,
            policy: session.config.policy(),
            notes,
        }
    }

    /// The run as the forge sees it: from what people said to what is wanted.
    pub(super) fn analyse(&mut self, answers: &Answers) -> Analysis {
        let run = self.run(answers);
        self.wanted(&run)
    }

    /// A run for the forge, on what is the head of its base branch. Without a report, faults that
    /// manifests alone show are added.
    pub(super) fn run(&mut self, answers: &Answers) -> Run {
        // names hang on the branch: they are the same for a detached HEAD at the same commit
        let prepared = Phase::Read.run(|| self.prepare());
        let mut run = pipeline::run(&prepared.context(answers));
        if self.report.is_none() {
            add_scan(self, &prepared.repository, &mut run);
        }
        let rendered = Rendered::of(&prepared.repository);
        self.rendered = rendered;
        run
    }

    /// A look at a merged fix, after a run.
    pub(super) fn look(&self, merged: &Merged<'_>, analysis: &Analysis) -> Look {
        let applies = || self.with_world(analysis, |world| sight::applies(merged, world));
        if merged.is_anywhere && !applies() {
            return Look::Elsewhere;
        }
        let wanted = sight::namespaces(merged);
        let read = self.whole.as_ref();
        if read.is_some_and(|read| wanted.is_subset(read)) {
            let look = self.with_world(analysis, |world| sight::look(merged, world));
            return Look::Seen(Box::new(look));
        }
        Look::Blind(wanted)
    }

    /// The proof of what takes a fix back.
    pub(super) fn prove(
        &self,
        expects: &[Expected],
        files: &BTreeMap<String, Vec<u8>>,
    ) -> Result<Proof, Refusal> {
        let prepared = self.prepare();
        revert::prove(&prepared.repository, &self.snapshot, expects, files)
    }

    /// Whether the cluster is seen as it is, again and again.
    pub(super) fn is_live(&self) -> bool {
        self.whole.is_some()
    }

    /// How the cluster is before each fix is merged.
    fn baselines(&self, analysis: &mut Analysis) {
        if self.scope == MANIFESTS {
            return;
        }
        let before = |wanted: &Wanted| {
            let WantedEnding::Fix(fix) = &wanted.ending else {
                return None;
            };
            let object = wanted.object.as_ref().map(ToString::to_string);
            let merged = Merged {
                commit: "",
                at: self.now,
                key: &wanted.key,
                also: &[],
                object: object.as_deref().unwrap_or_default(),
                class: wanted.class,
                expects: &fix.expects,
                applied_at: None,
                before: None,
                is_revert: false,
                is_anywhere: false,
            };
            Some(self.with_world(analysis, |world| sight::baseline(&merged, world)))
        };
        let all: Vec<Option<Baseline>> = analysis.wanted.iter().map(before).collect();
        for (wanted, baseline) in analysis.wanted.iter_mut().zip(all) {
            if let WantedEnding::Fix(fix) = &mut wanted.ending {
                fix.baseline = baseline;
            }
        }
    }

    /// What an engine is just about to say again.
    fn unsure(&self) -> Unsure {
        let checkout = &self.session.checkout;
        Unsure::of(&unsure::World {
            snapshot: &self.snapshot,
            desired: &self.rendered.desired,
            is_ours: &|url| checkout.is_at(url),
            now: self.now,
        })
    }

    fn with_world<T>(&self, analysis: &Analysis, ask: impl FnOnce(&World<'_>) -> T) -> T {
        let checkout = &self.session.checkout;
        let handled = analysis.wanted.iter().filter_map(|w| {
            Some(Failing {
                key: &w.key,
                object: w.object.as_ref()?,
                class: w.class?,
                severity: w.severity,
                since: w.failing_since,
                summary: &w.summary,
            })
        });
        let listed = analysis.listed.iter().map(|f| Failing {
            key: "",
            object: &f.object,
            class: f.class,
            severity: f.severity,
            since: None,
            summary: &f.summary,
        });
        let failing: Vec<Failing<'_>> = handled.chain(listed).collect();
        let unread = self.unread.iter().find(|p| !is_elsewhere(p));
        ask(&World {
            now: self.now,
            snapshot: &self.snapshot,
            failing: &failing,
            unread: unread.map(String::as_str),
            desired: &self.rendered.desired,
            feeds: &self.rendered.feeds,
            head: checkout.head.as_deref().unwrap_or_default(),
            is_ancestor: &|a, b| checkout.contains(a, b),
            changed: &|a, b| checkout.changed_between(a, b),
            is_ours: &|url| checkout.is_at(url),
        })
    }

    /// What a run wants, as the configuration wants it.
    pub(super) fn wanted(&self, run: &Run) -> Analysis {
        let session = &self.session;
        let mut analysis = wanted::analysis(run, &session.checkout, &self.snapshot, &self.scope);
        wanted::drafts(run, &session.config, &mut analysis);
        self.baselines(&mut analysis);
        analysis.reads = self.rendered.reads();
        // a report narrows the run: what it does not mention is not healthy because of that
        analysis.complete &= self.report.is_none() && self.unread.is_empty();
        analysis.unsure = self.unsure();
        analysis.problems.extend(self.unread.iter().cloned());
        analysis
    }
}

impl Prepared<'_> {
    /// What the pipeline runs on.
    pub(super) fn context<'c>(&'c self, answers: &'c Answers) -> Context<'c> {
        Context {
            checkout: &self.pass.session.checkout,
            repository: &self.repository,
            snapshot: &self.pass.snapshot,
            report: self.pass.report.as_ref(),
            now: self.pass.now,
            grace: Duration::from_secs(self.pass.session.config.grace_seconds),
            policy: &self.policy,
            proposer: self.pass.proposer.as_ref(),
            answers,
            style: self.pass.session.style(),
        }
    }
}

/// Kinds without a namespace: an operator of some namespaces cannot read them, and no pod's health
/// hangs on that. Nor does any on what only explains why an engine waits.
fn is_elsewhere(problem: &str) -> bool {
    let kinds = [
        "nodes",
        "persistentvolumes",
        "storageclasses",
        "clusterroles",
        "clusterrolebindings",
        "namespaces",
        "appprojects",
        "ocirepositories",
    ];
    let kind = problem.split([':', ' ']).next().unwrap_or_default();
    kinds.contains(&kind)
}

fn add_scan(pass: &Pass, repository: &Repository<'_>, run: &mut Run) {
    let config = &pass.session.config;
    let Ok(target) = crate::schema::VERSION.parse() else {
        return;
    };
    let input = Input {
        checkout: &pass.session.checkout,
        repository,
        policy: &config.policy(),
        places: config.locate_policy(),
        target,
        ignore: &config.pull_requests.ignore,
        paths: &[],
        now: pass.now,
        style: pass.session.style(),
    };
    let scan = scan(&input);
    for ended in scan.fixes {
        let Ending::PullRequest(pull) = &ended.ending else {
            continue;
        };
        let changed = &pull.mended.changed;
        // the run may have found the same fault by another way
        let known = run.results.iter().any(|r| match &r.ending {
            Ending::PullRequest(other) => other.mended.changed == *changed,
            _ => r.fingerprint == ended.fingerprint,
        });
        let files: Vec<&str> = changed.keys().map(String::as_str).collect();
        if !known && config.ignored(&ended.finding, &files).is_none() {
            run.results.push(ended);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::object::Object;

    /// What another overlay reads is not among it.
    #[test]
    fn a_run_reads_the_files_of_its_roots_and_plain_files() {
        let desired = |file: &str, root: Option<&str>| Desired {
            object: Object::new(serde_json::json!({"kind": "Service", "metadata": {"name": "x"}}))
                .unwrap(),
            file: file.to_owned(),
            document: 0,
            root: root.map(str::to_owned),
        };
        let fed = |root: &str, files: &[&str]| {
            let files = files.iter().map(|f| (*f).to_owned());
            (root.to_owned(), files.collect())
        };
        let rendered = Rendered {
            desired: vec![
                desired("base/a.yaml", Some("overlays/staging")),
                desired("plain/b.yaml", None),
            ],
            feeds: BTreeMap::from([
                fed(
                    "overlays/staging",
                    &["base/a.yaml", "overlays/staging/p.yaml"],
                ),
                fed("overlays/prod", &["base/a.yaml", "overlays/prod/p.yaml"]),
            ]),
        };
        let reads: Vec<String> = rendered.reads().into_iter().collect();
        let expected = [
            "base/a.yaml",
            "overlays/staging",
            "overlays/staging/p.yaml",
            "plain/b.yaml",
        ];
        assert_eq!(reads, expected);
    }
}
