//! What a run wants, against what the forge holds: which pull requests are opened, changed, left
//! alone or closed. Pure; `open` carries it out.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use self::gates::Tally;
use self::view::View;
use crate::case::Answers;
use crate::config::Rules;
use crate::cycle::Analysis;
use crate::finding::{Class, Severity};
use crate::forge::marker::{ClosedBecause, Marker, Paused};
use crate::forge::{Actor, Issue, Pull, RepositoryFacts, identity};
use crate::object::ObjectRef;
use crate::verify::expect::Expected;
use crate::verify::machine::Baseline;

pub(crate) use clusters::{speaks, word};
pub(crate) use fixes::labels_missing;
pub(crate) use view::has_label;

mod clusters;
mod fixes;
mod gates;
mod healthy;
mod questions;
#[cfg(test)]
mod tests;
mod view;

/// On every pull request of ours.
pub const LABEL: &str = "kubemend";
/// A pull request that policy wants as a draft.
pub const NEEDS_CONFIRMATION: &str = "kubemend/needs-confirmation";
/// Nothing is proposed for its finding while it is there.
pub const IGNORED: &str = "kubemend/ignored";
/// Nothing is changed while it is there.
pub const STOP_UPDATING: &str = "kubemend/stop-updating";
/// On a pull request that takes a fix back.
pub const REVERT: &str = "kubemend/revert";
/// On questions.
pub const QUESTION: &str = "kubemend/question";
/// On the dashboard.
pub const DASHBOARD: &str = "kubemend/dashboard";
/// On the dashboard issue: nothing is written while it is there.
pub const PAUSED: &str = "kubemend/paused";

/// In a marker: owners were assigned, or there was nobody to assign.
pub(crate) const ASSIGNED: &str = "assigned";
/// In a marker: it was made a draft because it looks resolved.
pub(crate) const DRAFTED: &str = "drafted";

/// Compares what a run wants with what the forge holds. The order of the result is the order in
/// which it is carried out: what is new first, worst first; what is closed or deleted last.
pub fn decide(
    analysis: &Analysis,
    observed: &Observed,
    rules: &Rules,
    now: Timestamp,
) -> Vec<Action> {
    let view = View::new(analysis, observed, rules, now);
    let wanted = in_order(&analysis.wanted);
    if !rules.enabled || observed.paused.is_some() || observed.facts.archived {
        let paused = |w: &&Wanted| fixes::leave(w, Why::Paused);
        return wanted.iter().map(paused).collect();
    }
    let mut tally = Tally::new(&view);
    let mut actions = Vec::new();
    for one in &wanted {
        actions.extend(judge(&view, &mut tally, one));
    }
    actions.extend(questions::doubled(&view));
    actions.extend(questions::answered(&view, &actions));
    actions.extend(healthy::pulls(&view));
    actions.extend(questions::gone(&view));
    let (ends, mut rest): (Vec<Action>, Vec<Action>) = actions
        .into_iter()
        .partition(|a| matches!(a, Action::Close { .. }));
    let ends = once_each(ends);
    rest.retain(|a| !is_moot(a, &ends));
    rest.extend(ends);
    let branches = healthy::branches(&view, &rest);
    rest.extend(branches);
    rest
}

fn judge(view: &View<'_>, tally: &mut Tally, wanted: &Wanted) -> Vec<Action> {
    match &wanted.ending {
        WantedEnding::Fix(fix) => fixes::judge(view, tally, wanted, fix),
        WantedEnding::Question(query) => questions::judge(view, tally, wanted, query),
        WantedEnding::Refused { code, .. } => {
            vec![fixes::leave(wanted, Why::Refused(code.clone()))]
        }
        WantedEnding::Settled => vec![fixes::leave(wanted, Why::Settled)],
        WantedEnding::Unknown => vec![fixes::leave(wanted, Why::Unreadable)],
    }
}

/// What people asked for first, then the worst, then what fails longest. Two findings with one
/// fingerprint are one.
fn in_order(wanted: &[Wanted]) -> Vec<&Wanted> {
    let mut all: Vec<&Wanted> = wanted.iter().collect();
    let asked = |w: &Wanted| matches!(&w.ending, WantedEnding::Fix(f) if f.asked_for);
    all.sort_by(|a, b| {
        asked(b)
            .cmp(&asked(a))
            .then(b.severity.cmp(&a.severity))
            .then(oldest(a).cmp(&oldest(b)))
            .then(a.fingerprint.cmp(&b.fingerprint))
    });
    let mut seen = BTreeSet::new();
    all.retain(|w| seen.insert(w.fingerprint.as_str()));
    all
}

fn oldest(wanted: &Wanted) -> Timestamp {
    wanted.failing_since.unwrap_or(Timestamp::MAX)
}

/// What is closed anyway is not counted or retired before.
fn is_moot(action: &Action, ends: &[Action]) -> bool {
    let (Action::Observe { number: n, .. } | Action::Retire { number: n }) = action else {
        return false;
    };
    ends.iter()
        .any(|e| matches!(e, Action::Close { number, .. } if number == n))
}

fn once_each(closes: Vec<Action>) -> Vec<Action> {
    let mut seen = BTreeSet::new();
    let first = |a: &Action| matches!(a, Action::Close { number, .. } if seen.insert(*number));
    closes.into_iter().filter(first).collect()
}

/// What one run wants for one finding.
#[derive(Debug, Clone, PartialEq)]
pub struct Wanted {
    /// The finding's key: its identity before it is located. Answers and questions hang on it, and
    /// a pull request whose key no complete run of the same scope reports any more looks healthy.
    pub key: String,
    /// The identity of the finding where it is mended; a pull request hangs on it.
    pub fingerprint: String,
    /// How bad it is; decides the order.
    pub severity: Severity,
    /// The namespace of the object, for caps.
    pub namespace: Option<String>,
    /// The object that fails; `None` where nobody knows.
    pub object: Option<ObjectRef>,
    /// How it fails; `None` where nobody knows.
    pub class: Option<Class>,
    /// The object and class in a few words, for lists.
    pub summary: String,
    /// Since when it fails, where that is known.
    pub failing_since: Option<Timestamp>,
    /// How it ended.
    pub ending: WantedEnding,
    /// Why what a person chose, or gave a value for, did not become a fix.
    pub unheard: Option<String>,
}

/// How a finding ended in this run.
#[derive(Debug, Clone, PartialEq)]
pub enum WantedEnding {
    /// A proven fix.
    Fix(Box<Fix>),
    /// A question.
    Question(Box<Query>),
    /// No change, with a code.
    Refused {
        /// The code.
        code: String,
        /// In one line.
        reason: String,
    },
    /// Nothing to do: Git is right already.
    Settled,
    /// No answer: infrastructure did not give one. Nothing that belongs to it may change.
    Unknown,
}

/// A proven fix as it goes to the forge.
#[derive(Debug, Clone, PartialEq)]
pub struct Fix {
    /// The branch.
    pub branch: String,
    /// What it writes (see `identity::target_key`).
    pub target: String,
    /// What a close would say no to (see `identity::change_key`).
    pub change: String,
    /// What it makes of these places (see `identity::result_key`): with `target` and `change` it
    /// tells whether a pull request holds this very fix already.
    pub result: String,
    /// Title.
    pub title: String,
    /// Body without controls and marker.
    pub body: String,
    /// Commit message.
    pub commit: String,
    /// New content by file.
    pub files: BTreeMap<String, Vec<u8>>,
    /// The commit that the files were read from.
    pub base: String,
    /// Whether policy wants a human's confirmation before it may be merged.
    pub draft: bool,
    /// Whether it was made from a hint, an answer or a value of a person: limits do not apply.
    pub asked_for: bool,
    /// What was checked, for a check on its head.
    pub checks: Checks,
    /// Who proposed it, and with which prompt, for the audit log.
    pub proposer: String,
    /// What the cluster shall hold when it is applied.
    pub expects: Vec<Expected>,
    /// How the cluster is now; absent where none is seen.
    pub baseline: Option<Baseline>,
}

/// What was checked of a fix.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Checks {
    /// Whether one of them failed.
    pub failed: bool,
    /// One line.
    pub title: String,
    /// Markdown.
    pub summary: String,
}

impl Checks {
    /// `neutral` where a person has to decide, for then green would say too much.
    pub fn conclusion(&self, is_draft: bool) -> &'static str {
        match (self.failed, is_draft) {
            (true, _) => "failure",
            (false, true) => "neutral",
            (false, false) => "success",
        }
    }

    /// Tells one report from another.
    pub fn mark(&self, head: &str, is_draft: bool) -> String {
        let title = format!("{head} {} {}", self.conclusion(is_draft), self.title);
        identity::text_hash(&title, &self.summary)
    }
}

impl Fix {
    /// Whether its pull request is a draft.
    pub fn is_draft(&self, rules: &Rules) -> bool {
        rules.draft.of(self.draft)
    }
}

/// A question as it goes to the forge.
#[derive(Debug, Clone, PartialEq)]
pub struct Query {
    /// Title.
    pub title: String,
    /// Body without controls and marker.
    pub body: String,
    /// For each option, its title and whether it has a proven change.
    pub options: Vec<(String, bool)>,
    /// Keys that `/kubemend set` takes here.
    pub keys: Vec<String>,
}

/// What the forge holds of ours.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Observed {
    /// Who we are there.
    pub me: Actor,
    /// The repository's numeric id.
    pub repo_id: u64,
    /// The repository.
    pub facts: RepositoryFacts,
    /// The branch that pull requests go to.
    pub base_branch: String,
    /// The head of the base branch now.
    pub base_sha: String,
    /// Our pull requests, whatever their state: those whose branch carries our prefix (old ones included).
    pub pulls: Vec<OurPull>,
    /// Whether more were closed than are listed: `open::recall` looks for those that matter.
    pub older_closed: bool,
    /// Our questions, open or closed.
    pub questions: Vec<Issue>,
    /// The issue that lists everything, open or closed.
    pub dashboard: Option<Issue>,
    /// Heads of branches with our prefix, by name.
    pub branches: BTreeMap<String, String>,
    /// What pull requests and questions say about themselves, by number: the marker where it can be
    /// believed, otherwise what could be rebuilt from branch and commits. After a body changed (also
    /// by ourselves), `open::reread` brings this up to date.
    pub markers: BTreeMap<u64, Marker>,
    /// Those whose marker is missing or cannot be believed: their body is written again.
    pub unsound: BTreeSet<u64>,
    /// What people asked for in this pass.
    pub asked: Asked,
    /// Merged pull requests that are being verified: nothing else is proposed for their findings.
    pub on_trial: BTreeSet<u64>,
    /// Merged pull requests that made it worse, and how: they are taken back.
    pub regressed: BTreeMap<u64, String>,
    /// Set: nothing is written until somebody resumes.
    pub paused: Option<Paused>,
    /// Whether everything could be read. If not, nothing is closed and nothing is deleted.
    pub complete: bool,
}

/// What people asked for in this pass, by the number of a pull request or issue.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Asked {
    /// Make the commit again on the current base.
    pub rebase: BTreeSet<u64>,
    /// Throw away what people pushed, and make it again.
    pub recreate: BTreeSet<u64>,
    /// Propose again; a closed one may come back.
    pub retry: BTreeSet<u64>,
    /// Propose it again although it was ignored or closed.
    pub unignore: BTreeSet<u64>,
    /// Open a pull request that takes a merged one back.
    pub revert: BTreeSet<u64>,
    /// Fingerprints that a person let through: limits do not apply to them.
    pub approve: BTreeSet<String>,
    /// What people said so far, by the finding's key: whatever is opened or brought up to date for
    /// a key keeps it in its marker.
    pub said: Answers,
}

/// One of our pull requests, with what is needed to judge it.
#[derive(Debug, Clone, PartialEq)]
pub struct OurPull {
    /// The pull request.
    pub pull: Pull,
    /// Who closed it, for a closed one.
    pub closed_by: Option<Actor>,
    /// How many commits that are on its head and not on its base were not made by us; only read
    /// for open ones. `None` when not read.
    pub foreign_commits: Option<usize>,
    /// The tree at its head; only read for open ones.
    pub tree: Option<String>,
}

/// What is done for one finding or one pull request.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// Make the branch and open a pull request.
    Open {
        /// For which finding.
        fingerprint: String,
    },
    /// Bring an open pull request up to date: a new commit where the tree differs, a new body
    /// where it differs. Nothing is written where nothing differs.
    Refresh {
        /// For which finding.
        fingerprint: String,
        /// Which pull request.
        number: u64,
        /// Whether a new commit is wanted (the fix changed, or the branch conflicts with its base).
        commit: bool,
    },
    /// Another finding's pull request writes the same paths: tell it there.
    Join {
        /// For which finding.
        fingerprint: String,
        /// Whose pull request; `None`: the one that this pass opens for the same target.
        number: Option<u64>,
    },
    /// List this run among those that report what a pull request mends, or give its word again.
    Enlist {
        /// For which finding.
        fingerprint: String,
        /// Which pull request.
        number: u64,
    },
    /// Leave that list: this run sees the cause no more, and others do.
    Part {
        /// Which pull request.
        number: u64,
    },
    /// Open or bring up to date the issue of a question.
    Ask {
        /// For which finding.
        fingerprint: String,
        /// The issue, where there is one.
        number: Option<u64>,
    },
    /// Tell once that we do not touch it any more, and why.
    Notice {
        /// Which pull request.
        number: u64,
        /// The topic: one comment for each.
        topic: Topic,
    },
    /// Convert to a draft: it looks resolved; closed after the grace period.
    Retire {
        /// Which pull request.
        number: u64,
    },
    /// Count one more healthy observation, or start again.
    Observe {
        /// Which pull request.
        number: u64,
        /// Healthy now.
        healthy: bool,
    },
    /// Close it ourselves.
    Close {
        /// Which pull request or issue.
        number: u64,
        /// Why.
        because: ClosedBecause,
        /// What replaces it.
        replaced_by: Option<String>,
    },
    /// Delete a branch that nobody needs any more.
    DeleteBranch {
        /// Its name.
        branch: String,
        /// Its head as seen: not deleted when it moved.
        sha: String,
    },
    /// Do nothing, and list why.
    Leave {
        /// For which finding.
        fingerprint: String,
        /// Why.
        why: Why,
    },
}

/// What a notice is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Topic {
    /// A human closed it: what is suppressed, and the ways back.
    Closed,
    /// A human pushed to the branch.
    HandsOff,
    /// A human chose another base.
    Retargeted,
    /// The same tree was proposed before.
    Loop,
    /// It looks resolved.
    Resolved,
    /// Another pull request replaces it.
    Superseded,
    /// How far a merged change got in the cluster.
    Rollout,
}

/// Why a finding gets no pull request now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Why {
    /// A human closed it; the pull request or issue.
    ClosedByHuman(u64),
    /// Ignored by label or command.
    Ignored,
    /// Ignored by configuration: only a change of it brings the finding back.
    IgnoredByRules,
    /// It is there already, and current.
    Current(u64),
    /// A human works on it.
    HandsOff(u64),
    /// `kubemend/stop-updating`.
    Frozen(u64),
    /// A merged pull request is waiting to be applied, or is being verified.
    Merged(u64),
    /// People take it back, or took it back, with this pull request.
    Reverted(u64),
    /// Over a cap: which one.
    Limited(&'static str),
    /// Not in quiet hours.
    QuietHours,
    /// It fails for too short a time.
    TooYoung,
    /// Closed a short time ago.
    CoolingDown,
    /// Paused: by the configuration, the dashboard, a label, or for the namespace.
    Paused,
    /// It would be the same tree as before.
    Loop(u64),
    /// Not everything could be read.
    Unreadable,
    /// Three pull requests in a row were ignored: only the dashboard tells.
    Inactive,
    /// Refused, with its code.
    Refused(String),
    /// Git is right already.
    Settled,
}

impl Topic {
    /// The name that markers use.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::HandsOff => "hands_off",
            Self::Retargeted => "retargeted",
            Self::Loop => "loop",
            Self::Resolved => "resolved",
            Self::Superseded => "superseded",
            Self::Rollout => "rollout",
        }
    }
}
