//! The phases of the story, as spans of `tracing`. Whoever watches at the edge (`telemetry`) reads
//! the clock; what runs in a phase knows of none. The only maker of spans.

use tracing::{Span, info_span};

/// The target of the phases' spans.
pub const TARGET: &str = "phase";
/// The target of the spans around them.
pub const PASS: &str = "pass";

/// A phase of a pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Git and the cluster are read, and the repository is rendered.
    Read,
    /// Snapshot and manifests become findings.
    Detect,
    /// Evidence for one finding.
    Gather,
    /// A proposal for one finding.
    Propose,
    /// A proposal becomes a plan.
    Lock,
    /// A plan's places in Git.
    Locate,
    /// Places become bytes.
    Edit,
    /// The bytes are rendered, and compared with the plan.
    Prove,
    /// What is decided is written on the forge.
    Open,
    /// A merged fix is looked at in the cluster, and what is new is told.
    Verify,
    /// A merged fix is taken back: what it changed is undone, proven and opened.
    Revert,
}

impl Phase {
    /// Its span.
    pub fn span(self) -> Span {
        // the name of a span is a constant
        match self {
            Self::Read => info_span!(target: TARGET, "read"),
            Self::Detect => info_span!(target: TARGET, "detect"),
            Self::Gather => info_span!(target: TARGET, "gather"),
            Self::Propose => info_span!(target: TARGET, "propose"),
            Self::Lock => info_span!(target: TARGET, "lock"),
            Self::Locate => info_span!(target: TARGET, "locate"),
            Self::Edit => info_span!(target: TARGET, "edit"),
            Self::Prove => info_span!(target: TARGET, "prove"),
            Self::Open => info_span!(target: TARGET, "open"),
            Self::Verify => info_span!(target: TARGET, "verify"),
            Self::Revert => info_span!(target: TARGET, "revert"),
        }
    }

    /// Runs something in this phase.
    pub fn run<T>(self, what: impl FnOnce() -> T) -> T {
        self.span().in_scope(what)
    }
}

/// The span around all phases of one pass.
pub fn pass(repository: &str) -> Span {
    info_span!(target: PASS, "pass", repository, outcome = tracing::field::Empty)
}
