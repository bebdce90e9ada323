//! Commit messages. Pure.

use std::fmt::Write as _;

use super::markdown::one_line;
use super::plain::{inert, title, wrap};
use crate::evidence::Evidence;
use crate::finding::Finding;
use crate::propose::Proposal;

/// The commit message of a fix, with machine-readable trailers.
pub fn commit(
    title_text: &str,
    proposal: &Proposal,
    finding: &Finding,
    fingerprint: &str,
    evidence: &Evidence,
) -> String {
    let redact = |text: &str| evidence.redactor().text(text).into_string();
    let mut out = format!("fix(k8s): {}\n\n", redact(&title(title_text)));
    for line in wrap(&redact(&inert(&proposal.reason)), 72) {
        let _ = writeln!(out, "{line}");
    }
    let object = &finding.object;
    let namespace = object.namespace.as_deref().unwrap_or("-");
    let _ = writeln!(out, "\nKubemend-Fingerprint: {fingerprint}");
    let _ = writeln!(
        out,
        "Kubemend-Target: {}/{namespace}/{}",
        one_line(&object.kind),
        one_line(&object.name)
    );
    let _ = writeln!(out, "Kubemend-Evidence: sha256:{}", evidence.digest());
    out
}
