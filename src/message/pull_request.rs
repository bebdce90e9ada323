//! The text of a pull request. Pure.

use std::fmt::Write as _;

use super::markdown::{cell, fenced};
use super::{Text, blocked_list, claims, code, evidence_details, footer, prose, redacted, section};
use crate::evidence::Evidence;
use crate::finding::Finding;
use crate::locate::{Check, Site, Status};
use crate::lock::{Plan, short};
use crate::propose::Proposal;

/// Everything that a pull request's text is made of.
#[derive(Debug)]
pub struct PullRequestParts<'a> {
    /// What is wrong.
    pub finding: &'a Finding,
    /// The evidence.
    pub evidence: &'a Evidence,
    /// Title, diagnosis, reason.
    pub proposal: &'a Proposal,
    /// The locked changes.
    pub plan: &'a Plan,
    /// Where they are, one place a change.
    pub sites: &'a [Site],
    /// What was proven.
    pub checks: &'a [Check],
    /// The unified diff.
    pub patch: &'a str,
    /// The identity of the finding.
    pub fingerprint: &'a str,
    /// The commit that the change is based on.
    pub base: Option<&'a str>,
}

/// The text of a pull request.
pub fn pull_request(parts: &PullRequestParts<'_>) -> Text {
    let PullRequestParts {
        finding,
        evidence,
        proposal,
        plan,
        sites,
        checks,
        patch,
        fingerprint,
        base,
    } = parts;
    let mut body = String::new();
    let _ = writeln!(body, "**{}**", prose(&finding.summary));
    confirmations(&mut body, plan);
    section(&mut body, "What is broken");
    claims(&mut body, &proposal.diagnosis);
    section(&mut body, "What changes");
    changes(&mut body, plan, sites);
    let _ = writeln!(body, "\n{}", fenced("diff", patch, 20_000));
    section(&mut body, "Why this fixes it");
    let _ = writeln!(body, "{}", prose(&proposal.reason));
    after_merge(&mut body, proposal);
    section(&mut body, "What was checked");
    check_table(&mut body, checks);
    blocked_list(&mut body, plan.blocked());
    section(&mut body, "Roll back");
    let files: std::collections::BTreeSet<String> = sites.iter().map(|s| code(&s.file)).collect();
    let files: Vec<String> = files.into_iter().collect();
    let _ = writeln!(
        body,
        "Revert the merge commit; the change touches {} and nothing else.",
        files.join(", ")
    );
    evidence_details(&mut body, evidence);
    footer(&mut body, Some(&proposal.source), fingerprint, *base);
    redacted(evidence, &proposal.title, &body)
}

fn confirmations(body: &mut String, plan: &Plan) {
    if plan.confirmations().is_empty() {
        return;
    }
    let _ = writeln!(body, "\n> Needs a person's confirmation before merging:");
    for reason in plan.confirmations() {
        let _ = writeln!(body, "> - {}", prose(reason));
    }
}

fn changes(body: &mut String, plan: &Plan, sites: &[Site]) {
    let _ = writeln!(
        body,
        "| place | object | field | before | after | from |\n|---|---|---|---|---|---|"
    );
    for (change, site) in plan.changes().iter().zip(sites) {
        let value = |v: &Option<serde_json::Value>| {
            v.as_ref()
                .map_or_else(|| "(absent)".to_owned(), |v| code(&short(v)))
        };
        let cells = [
            code(&format!("{}:{}", site.file, site.line)),
            code(&change.edit.object.to_string()),
            code(&change.edit.path.to_string()),
            value(&change.before),
            value(&change.after),
            prose(&change.edit.basis),
        ];
        let cells: Vec<String> = cells.iter().map(|c| cell(c)).collect();
        let _ = writeln!(body, "| {} |", cells.join(" | "));
    }
}

fn after_merge(body: &mut String, proposal: &Proposal) {
    if proposal.after_merge.is_empty() {
        return;
    }
    section(body, "After the merge");
    for step in &proposal.after_merge {
        let _ = writeln!(body, "- {}", prose(step));
    }
}

fn check_table(body: &mut String, checks: &[Check]) {
    let _ = writeln!(body, "| check | result | detail |\n|---|---|---|");
    for check in checks {
        let status = match check.status {
            Status::Pass => "pass",
            Status::Fail => "FAIL",
            Status::Skipped => "skipped",
        };
        let _ = writeln!(
            body,
            "| {} | {status} | {} |",
            cell(&check.name),
            cell(&prose(&check.detail))
        );
    }
}
