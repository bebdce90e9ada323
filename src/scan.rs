//! scan: findings in manifests alone, without a cluster. Pure but for the renderer.
//!
//! What is applied together is looked at together: what one kustomize root renders, or what one
//! directory of plain files holds. A name counts as missing only where nothing in the whole
//! repository may define it. Each finding that can be mended goes through the same way as those of
//! `fix`: a proposal that `lock` lets through, an edit of bytes, and a proof by rendering.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use sha2::{Digest, Sha256};

use crate::case::Desired;
use crate::code::Refusal;
use crate::config::rules::Ignore;
use crate::edit;
use crate::finding::Severity;
use crate::locate::{self, Repository};
use crate::lock::Policy;
use crate::message::commit::Style;
use crate::object::ObjectRef;
use crate::patch;
use crate::pipeline::{Ended, Ending, FileEdits, PullRequest};
use crate::repo::Checkout;
use crate::report::Known;
use crate::snapshot::Snapshot;

mod checks;
mod draft;
mod duplicates;
mod ignore;
mod mend;
mod place;
mod refs;
pub mod report;
pub mod rules;
mod sources;
#[cfg(test)]
mod tests;
mod world;
pub(crate) mod worse;

pub use ignore::path_matches;
pub use place::Place;
pub use rules::{RULES, Rule, rule};

use checks::schema::Form;
use draft::{Draft, Look, Remedy};
use world::{Scope, World, scopes};

/// The most findings that one scan tells; the worst come first.
pub const MAX_FINDINGS: usize = 2_000;

/// A minor version of Kubernetes: `1.37`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version(pub u32, pub u32);

impl FromStr for Version {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bad = || format!("{text:?} is no Kubernetes version; write it like 1.37");
        let plain = text.trim().trim_start_matches('v');
        let mut parts = plain.split('.');
        let mut number = || parts.next().and_then(|p| p.parse().ok()).ok_or_else(bad);
        let (major, minor) = (number()?, number()?);
        if parts.count() > 1 || major != 1 {
            return Err(bad());
        }
        Ok(Self(major, minor))
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.0, self.1)
    }
}

/// What a scan works with.
#[derive(Clone, Copy)]
pub struct Input<'a> {
    /// The repository, as read from Git.
    pub checkout: &'a Checkout,
    /// The repository, indexed and rendered.
    pub repository: &'a Repository<'a>,
    /// What the operator allows.
    pub policy: &'a Policy,
    /// What the operator decides about places.
    pub places: locate::Policy,
    /// The version of Kubernetes that the manifests are for.
    pub target: Version,
    /// What is never told.
    pub ignore: &'a [Ignore],
    /// Only findings in these files; all when empty.
    pub paths: &'a [String],
    /// Now, for the texts of fixes.
    pub now: Timestamp,
    /// How subjects and titles of fixes are written.
    pub style: Style,
}

/// One finding at its place.
#[derive(Debug, Clone)]
pub struct Found {
    /// The rule.
    pub rule: &'static Rule,
    /// How bad it is here.
    pub severity: Severity,
    /// The object.
    pub object: ObjectRef,
    /// The container.
    pub container: Option<String>,
    /// The field, on the object as rendered.
    pub path: String,
    /// One sentence.
    pub message: String,
    /// Where it is written.
    pub place: Place,
    /// The kustomize roots that show it; empty for plain files.
    pub roots: Vec<String>,
    /// The same finding has the same one in every run.
    pub fingerprint: String,
    /// What is to be done.
    pub outcome: Outcome,
}

/// What is to be done about a finding.
#[derive(Debug, Clone)]
pub enum Outcome {
    /// A proven fix, by its position in [`Scan::fixes`].
    Fixed(usize),
    /// A person decides or does it.
    Open {
        /// Why kubemend does not, and the next step.
        refusal: Refusal,
        /// The options, each with its proven diff where there is one.
        options: Vec<(String, Option<String>)>,
    },
}

/// A finding that somebody silenced.
#[derive(Debug, Clone)]
pub struct Silenced {
    /// The rule.
    pub rule: &'static Rule,
    /// The object.
    pub object: ObjectRef,
    /// Where.
    pub place: Place,
    /// Who says so, and why.
    pub reason: String,
}

/// What was looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Stats {
    /// Files of the repository.
    pub files: usize,
    /// Objects, as rendered or as plain files hold them.
    pub objects: usize,
    /// Kustomize roots.
    pub roots: usize,
}

/// The result of a scan.
#[derive(Debug, Clone, Default)]
pub struct Scan {
    /// By file and line.
    pub findings: Vec<Found>,
    /// What somebody silenced.
    pub silenced: Vec<Silenced>,
    /// The fixes; several findings of one object may share one.
    pub fixes: Vec<Ended>,
    /// Questions and refusals, for whoever tells them on a forge.
    pub open: Vec<Ended>,
    /// What was not looked at and is no fault: remote bases, charts, a missing renderer.
    pub unseen: Vec<String>,
    /// What was looked at.
    pub stats: Stats,
    /// New content by file, with all fixes that go together.
    pub union: BTreeMap<String, Vec<u8>>,
    /// Findings over the limit.
    pub cut: usize,
}

impl Scan {
    /// The pull request of a finding, where its fix is proven.
    pub fn fix(&self, found: &Found) -> Option<&PullRequest> {
        let Outcome::Fixed(i) = found.outcome else {
            return None;
        };
        match &self.fixes.get(i)?.ending {
            Ending::PullRequest(pull_request) => Some(pull_request),
            _ => None,
        }
    }

    /// All proven fixes together as one diff.
    pub fn patch(&self, input: &Input<'_>) -> String {
        patch::unified(input.repository.files, &self.union)
    }
}

/// A draft with its object and place.
struct Placed {
    draft: Draft,
    place: Place,
    scope: Option<usize>,
    roots: Vec<String>,
    options: Option<crate::source::Fault>,
}

/// Scans a repository.
pub fn scan(input: &Input<'_>) -> Scan {
    let world = World::new(input.repository);
    let scopes = scopes(input.repository);
    let mut placed: Vec<Placed> = sources::check(input.repository)
        .into_iter()
        .map(|s| Placed {
            draft: s.draft,
            place: s.place,
            scope: None,
            roots: Vec::new(),
            options: s.fault,
        })
        .collect();
    placed.extend(duplicates::check(input.repository, &scopes));
    for (i, scope) in scopes.iter().enumerate() {
        placed.extend(of_scope(input, scope, i, &world));
    }
    placed.extend(unrendered(input, &world));
    let mut scan = Scan {
        stats: stats(input),
        unseen: unseen(input),
        ..Scan::default()
    };
    let told = told(input, merged(placed), &mut scan);
    settle(input, &scopes, told, &mut scan);
    scan.union = union(input, &scan.fixes);
    scan
}

fn stats(input: &Input<'_>) -> Stats {
    Stats {
        files: input.repository.files.by_path.len(),
        objects: input.repository.desired.len(),
        roots: input.repository.roots().count(),
    }
}

/// What was not rendered for reasons that are no fault of a manifest.
fn unseen(input: &Input<'_>) -> Vec<String> {
    let roots = input.repository.roots().filter_map(|(_, why)| why);
    let mut out: Vec<String> = roots
        .filter(|why| why.code != crate::code::Code::RenderFailed)
        .map(ToString::to_string)
        .collect();
    out.dedup();
    out
}

/// All drafts of one scope, at their places.
fn of_scope(input: &Input<'_>, scope: &Scope, i: usize, world: &World) -> Vec<Placed> {
    let desired = scope.objects(&input.repository.desired);
    let members = desired.get(..scope.members.len()).unwrap_or(&desired);
    let (nothing, plain) = (Snapshot::default(), scope.root.is_none());
    let known = Known::new(&nothing, &desired);
    let form = match plain {
        true => Form::Plain,
        false => Form::Rendered,
    };
    let mut drafts: Vec<(Draft, &Desired)> = members
        .iter()
        .flat_map(|d| {
            let drafts = checks::schema::check(d, form, input.target, world);
            drafts.into_iter().map(move |draft| (draft, d))
        })
        .collect();
    let look = Look {
        members,
        known: &known,
        world,
    };
    let invalid: Vec<Draft> = drafts.iter().map(|(draft, _)| draft.clone()).collect();
    // what does not arrive in the cluster has no other faults there
    let more = checks::references(&look)
        .into_iter()
        .filter(|d| !explained(d, &invalid));
    drafts.extend(more.filter_map(|draft| {
        let of = |d: &&Desired| d.object.reference() == draft.object;
        let desired = members.iter().find(of)?;
        Some((draft, desired))
    }));
    if drafts.is_empty() {
        return Vec::new();
    }
    let narrow = mend::narrowed(input, scope, input.places);
    let at = |(draft, desired): (Draft, &Desired)| Placed {
        place: place::place(&narrow, desired, &draft.path, draft.on_key),
        draft,
        scope: Some(i),
        roots: scope.root.iter().cloned().collect(),
        options: None,
    };
    drafts.into_iter().map(at).collect()
}

/// Whether a fault of the object itself at the same field, or of what it looks at, is told already.
fn explained(draft: &Draft, invalid: &[Draft]) -> bool {
    let meets = |d: &Draft| d.path.starts_with(&draft.path) || draft.path.starts_with(&d.path);
    invalid.iter().any(|d| {
        let itself = d.object == draft.object && meets(d);
        itself || (d.severity >= Severity::Medium && draft.related.contains(&d.object))
    })
}

/// Sources of roots that were not rendered: only what no patch can mend.
fn unrendered(input: &Input<'_>, world: &World) -> Vec<Placed> {
    let repository = input.repository;
    let roots = repository.roots().filter(|(_, why)| why.is_some());
    let mut out = Vec::new();
    for (root, _) in roots {
        for desired in repository.sources_of_root(root) {
            let drafts = checks::schema::check(&desired, Form::Unrendered, input.target, world);
            for mut draft in drafts {
                draft.remedy = Remedy::Person(
                    crate::code::Code::NotRendered,
                    "the root that reads it was not rendered, so nothing can be proven".to_owned(),
                );
                out.extend(written(repository, &desired, draft, root));
            }
        }
    }
    out
}

fn written(
    repository: &Repository<'_>,
    desired: &Desired,
    draft: Draft,
    root: &str,
) -> Option<Placed> {
    let path = draft.path.resolve(&desired.object.value);
    let (file, document) = (&desired.file, desired.document);
    let (_, place) = place::in_document(repository.files, file, document, &path, draft.on_key)?;
    Some(Placed {
        draft,
        place,
        scope: None,
        roots: vec![root.to_owned()],
        options: None,
    })
}

/// One finding for one line, however many roots render it.
fn merged(placed: Vec<Placed>) -> Vec<Placed> {
    let mut out: Vec<Placed> = Vec::new();
    let mut seen: BTreeMap<(Place, &'static str, String), usize> = BTreeMap::new();
    for one in placed {
        let field = one.draft.path.to_string();
        let key = (one.place.clone(), one.draft.rule.id, field);
        match seen.get(&key) {
            Some(i) => {
                let first = &mut out[*i];
                first.roots.extend(one.roots);
                first.draft.severity = first.draft.severity.max(one.draft.severity);
            }
            None => {
                seen.insert(key, out.len());
                out.push(one);
            }
        }
    }
    for one in &mut out {
        one.roots.sort();
        one.roots.dedup();
    }
    out
}

/// Without what is in other files, and without what somebody silenced.
fn told(input: &Input<'_>, placed: Vec<Placed>, scan: &mut Scan) -> Vec<Placed> {
    let mut out = Vec::new();
    for one in placed {
        let file = &one.place.file;
        let wanted = input.paths.is_empty() || input.paths.iter().any(|g| path_matches(g, file));
        if !wanted {
            continue;
        }
        let (rule, object) = (one.draft.rule, &one.draft.object);
        match ignore::reason(
            input.repository.files,
            input.ignore,
            rule,
            object,
            &one.place,
        ) {
            Some(reason) => scan.silenced.push(Silenced {
                rule,
                object: object.clone(),
                place: one.place,
                reason,
            }),
            None => out.push(one),
        }
    }
    out.sort_by_key(|p| std::cmp::Reverse(p.draft.severity));
    scan.cut = out.len().saturating_sub(MAX_FINDINGS);
    out.truncate(MAX_FINDINGS);
    out
}

/// Looks for a proven fix of each finding.
fn settle(input: &Input<'_>, scopes: &[Scope], placed: Vec<Placed>, scan: &mut Scan) {
    let mut mender = mend::Mender::new(input);
    for one in placed {
        let scope = one.scope.and_then(|i| scopes.get(i));
        let outcome = match &one.options {
            Some(fault) => mender.source(&one.draft, fault),
            None => mender.outcome(&one.draft, one.scope.zip(scope), &one.roots, &one.place),
        };
        if one.draft.only_fixed && !matches!(outcome, Outcome::Fixed(_)) {
            continue;
        }
        let fingerprint = fingerprint(input, &one);
        scan.findings.push(Found {
            rule: one.draft.rule,
            severity: one.draft.severity,
            path: one.draft.path.to_string(),
            object: one.draft.object,
            container: one.draft.container,
            message: one.draft.message,
            place: one.place,
            roots: one.roots,
            fingerprint,
            outcome,
        });
    }
    (scan.fixes, scan.open) = (mender.fixes, mender.open);
    scan.findings
        .sort_by(|a, b| (&a.place, a.rule.id).cmp(&(&b.place, b.rule.id)));
}

/// The identity of a finding: repository, file, object, field and rule; never the line.
fn fingerprint(input: &Input<'_>, one: &Placed) -> String {
    let object = &one.draft.object;
    let path = one.draft.path.to_string();
    let parts = [
        input.checkout.identity.repository.as_str(),
        one.place.file.as_str(),
        &object.api_version,
        &object.kind,
        object.namespace.as_deref().unwrap_or("-"),
        &object.name,
        &path,
        one.draft.rule.id,
    ];
    let hash = Sha256::digest(parts.join("|").as_bytes());
    hash.iter().take(6).map(|b| format!("{b:02x}")).collect()
}

/// The edits of all fixes in one state of the files; where one does not fit, it stands alone.
fn union(input: &Input<'_>, fixes: &[Ended]) -> BTreeMap<String, Vec<u8>> {
    let (mut all, mut out) = (FileEdits::new(), BTreeMap::new());
    for fix in fixes {
        let Ending::PullRequest(pull_request) = &fix.ending else {
            continue;
        };
        let mut more = all.clone();
        for (file, edits) in &pull_request.mended.edits {
            let list: &mut Vec<edit::FileEdit> = more.entry(file.clone()).or_default();
            for edit in edits {
                if !list.contains(edit) {
                    list.push(edit.clone());
                }
            }
        }
        if let Some(changed) = applied(input, &more) {
            (all, out) = (more, changed);
        }
    }
    out
}

fn applied(input: &Input<'_>, edits: &FileEdits) -> Option<BTreeMap<String, Vec<u8>>> {
    let one = |(file, edits): (&String, &Vec<edit::FileEdit>)| {
        let source = input.repository.files.get(file).unwrap_or_default();
        Some((file.clone(), edit::apply(source, edits).ok()?.bytes))
    };
    edits.iter().map(one).collect()
}
