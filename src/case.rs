//! Everything that a proposer may look at, as plain values.

use jiff::Timestamp;

use crate::finding::Finding;
use crate::object::{Object, ObjectRef};
use crate::snapshot::Snapshot;

/// A person's or an alert's report: what starts a run when a snapshot alone shows nothing.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Report {
    /// `snapshot`, `user-report`, `alert`, `apply-error`, `render-error`.
    pub kind: String,
    /// Namespace of manifests that name none.
    pub namespace: Option<String>,
    /// The text: a question, an alert, or a tool's message.
    pub text: String,
}

/// An object as Git defines it: a document of a plain file, or an object that a kustomize root renders.
#[derive(Debug, Clone, PartialEq)]
pub struct Desired {
    /// The object; for kustomize as rendered. Its namespace is filled in with the destination.
    pub object: Object,
    /// The file that defines it, relative to the repository's root, with `/`.
    pub file: String,
    /// The document in that file, from 0.
    pub document: usize,
    /// The kustomize root that renders it; none for plain files.
    pub root: Option<String>,
}

/// Who changed something, and when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Commit {
    /// Full object id.
    pub id: String,
    /// Author's name.
    pub author: String,
    /// Author time.
    pub time: Option<Timestamp>,
    /// First line of the message.
    pub subject: String,
}

/// An object as an earlier commit defined it.
#[derive(Debug, Clone, PartialEq)]
pub struct Earlier {
    /// The commit that replaced this version (its diff goes from this version to the next).
    pub replaced_by: Commit,
    /// The object before that commit.
    pub object: Object,
}

/// What people said to one finding on the forge. Untrusted: it becomes a proposal that goes through
/// `lock` like any other.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Said {
    /// The option that was chosen, from 1.
    pub chosen: Option<usize>,
    /// Digest of the options that were offered then (see `forge::identity::options_key`); where it
    /// is known, the choice counts for these options only.
    pub chosen_of: Option<String>,
    /// Values, by key.
    pub set: Vec<(String, String)>,
    /// Hints for the model, oldest first.
    pub hints: Vec<String>,
    /// Somebody asks for another answer, now.
    pub again: bool,
}

/// What people said, by the finding's key (see `pipeline::Ended::key`).
pub type Answers = std::collections::BTreeMap<String, Said>;

/// Nobody said anything to one finding.
pub static NOTHING_SAID: Said = Said {
    chosen: None,
    chosen_of: None,
    set: Vec::new(),
    hints: Vec::new(),
    again: false,
};

/// Nobody said anything.
pub static NO_ANSWERS: Answers = Answers::new();

/// A finding with all that is known around it.
#[derive(Debug)]
pub struct Case<'a> {
    /// What is wrong.
    pub finding: &'a Finding,
    /// Other findings of the same run.
    pub others: &'a [Finding],
    /// The cluster.
    pub snapshot: &'a Snapshot,
    /// What Git defines.
    pub desired: &'a [Desired],
    /// Earlier versions of the objects that the finding names, newest first.
    pub earlier: &'a [Earlier],
    /// What started the run.
    pub report: Option<&'a Report>,
    /// The moment of the snapshot.
    pub now: Timestamp,
    /// What people said to this finding on the forge.
    pub said: &'a Said,
}

impl<'a> Case<'a> {
    /// The object as Git defines it; none if Git has it not, or several times.
    pub fn desired(&self, object: &ObjectRef) -> Option<&'a Desired> {
        let mut hits = self
            .desired
            .iter()
            .filter(|d| d.object.reference().same_object(object));
        let first = hits.next()?;
        hits.next().is_none().then_some(first)
    }

    /// The failing object as Git defines it.
    pub fn manifest(&self) -> Option<&'a Desired> {
        self.desired(&self.finding.object)
    }

    /// Earlier versions of one object, newest first.
    pub fn earlier_of(&self, object: &ObjectRef) -> Vec<&'a Earlier> {
        self.earlier
            .iter()
            .filter(|e| e.object.reference().same_object(object))
            .collect()
    }
}
