//! The text of a pull request: what a person needs for a decision, in the order of the questions
//! that they ask. Pure.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use super::after::{look_commands, roll_back};
use super::invariants::unchanged;
use super::markdown::{MAX_TEXT, row};
use super::voice::Voice;
use super::{Text, blocked_list, footer, redacted, section};
use crate::count;
use crate::culprit::Culprit;
use crate::evidence::{Evidence, Sign, yaml};
use crate::finding::{Finding, Severity};
use crate::locate::{ChangedObject, Check, Status};
use crate::message::forge::minute;
use crate::patch;
use crate::pipeline::Mended;
use crate::propose::{Claim, Proposal, Source};

/// Everything that a pull request's text is made of.
#[derive(Debug)]
pub struct PullRequestParts<'a> {
    /// What is wrong.
    pub finding: &'a Finding,
    /// The evidence.
    pub evidence: &'a Evidence,
    /// Title, diagnosis, reason.
    pub proposal: &'a Proposal,
    /// The locked and proven changes.
    pub mended: &'a Mended,
    /// What shows that it is broken.
    pub signs: &'a [Sign],
    /// Who wrote the value that is wrong now, where history shows it.
    pub culprit: Option<&'a Culprit>,
    /// The identity of the finding.
    pub fingerprint: &'a str,
    /// The commit that the change is based on.
    pub base: Option<&'a str>,
}

/// The most bytes of the diff of the sources.
const MAX_DIFF: usize = 12_000;
/// The most bytes of the diff of what is rendered.
const MAX_RENDERED: usize = 12_000;
/// The most objects of which it is shown.
const MAX_OBJECTS: usize = 20;
/// The most bytes of the evidence.
const MAX_EVIDENCE: usize = 18_000;
/// The most statements of a diagnosis.
const MAX_CLAIMS: usize = 12;

/// The text of a pull request.
pub fn pull_request(parts: &PullRequestParts<'_>) -> Text {
    let voice = Voice::of(parts.evidence);
    let mut told = Told::default();
    let mut top = verdict(parts, voice, &mut told);
    top.push_str(&confirmations(parts, voice));
    top.push_str(&broken(parts, voice, &mut told));
    top.push_str(&changes(parts, voice));
    let mut below = why(parts, voice, &mut told);
    below.push_str(&not_changed(parts, voice));
    section(&mut below, "What was checked");
    below.push_str(&check_table(&parts.mended.checks, |t, n| voice.brief(t, n)));
    below.push_str(&after_the_merge(parts, voice));
    // what is long and least needed takes the room that is left
    let room = MAX_TEXT.saturating_sub(top.len() + below.len() + 2_000);
    let rendered = rendered(parts, voice, MAX_RENDERED.min(room / 3));
    let room = room.saturating_sub(rendered.len());
    let evidence = evidence_block(parts, voice, MAX_EVIDENCE.min(room));
    let foot = made_by(parts, voice);
    let body = [top, rendered, below, evidence, foot].concat();
    redacted(parts.evidence, &parts.proposal.title, &body)
}

/// What was said already: nothing is said twice.
#[derive(Default)]
pub(super) struct Told(Vec<String>);

impl Told {
    /// Whether a sentence says something new; from now on it is told.
    pub(super) fn is_new(&mut self, sentence: &str) -> bool {
        let letters = |c: &char| c.is_alphanumeric();
        let words: String = sentence.chars().filter(letters).collect();
        let words = words.to_lowercase();
        // the same with two words of introduction is the same
        let repeats = |told: &String| {
            told.contains(&words) || (words.contains(told) && told.len() * 4 >= words.len() * 3)
        };
        let again = words.is_empty() || self.0.iter().any(repeats);
        self.0.push(words);
        !again
    }
}

/// The problem in one sentence, and four numbers.
fn verdict(parts: &PullRequestParts<'_>, voice: Voice<'_>, told: &mut Told) -> String {
    told.is_new(&parts.finding.summary);
    let mut out = format!("**{}**\n\n", voice.prose(&parts.finding.summary));
    out.push_str("| confidence | risk | changes | reaches |\n|---|---|---|---|\n");
    out.push_str(&row(&[
        confidence(parts),
        risk(parts.proposal.risk).to_owned(),
        extent(parts.mended),
        reach(parts.mended, voice),
    ]));
    out
}

fn confidence(parts: &PullRequestParts<'_>) -> String {
    let asks = !parts.mended.plan.confirmations().is_empty();
    match (&parts.proposal.source, asks) {
        (Source::Playbook(_), false) => "**high**: a fixed rule, from facts only",
        (Source::Playbook(_), true) => "**medium**: a fixed rule, but a person has to confirm",
        (Source::Model(_), false) => "**medium**: a model proposed it, fixed rules bounded it",
        (Source::Model(_), true) => "**low**: a model proposed it, and a person has to confirm",
        (Source::Person, _) => {
            "**as you decided**: a person gave the value, fixed rules bounded it"
        }
        (Source::Oracle, _) => "**known answer** of an evaluation",
    }
    .to_owned()
}

fn risk(risk: Severity) -> &'static str {
    match risk {
        Severity::Low => "low",
        Severity::Medium => "medium",
        Severity::High => "high",
        Severity::Critical => "very high",
    }
}

fn extent(mended: &Mended) -> String {
    let changes = mended.plan.changes();
    let objects: BTreeSet<_> = changes.iter().map(|c| &c.edit.object).collect();
    format!(
        "{} of {} in {}",
        count::of(changes.len(), "field"),
        count::of(objects.len(), "object"),
        count::of(mended.changed.len(), "file")
    )
}

/// The blast radius: in which roots what changes.
fn reach(mended: &Mended, voice: Voice<'_>) -> String {
    const MOST: usize = 5;
    let moved: Vec<_> = mended.roots.iter().filter(|r| r.fields > 0).collect();
    if mended.roots.is_empty() {
        return "these objects only: no kustomization reads the file".to_owned();
    }
    let shown = moved.iter().take(MOST).map(|r| {
        let objects = count::of(r.objects, "object");
        format!("{} ({objects})", voice.code(&r.root))
    });
    let mut text = format!("{}: ", count::of(moved.len(), "environment"));
    text.push_str(&shown.collect::<Vec<_>>().join(", "));
    if moved.len() > MOST {
        let _ = write!(text, " and {} more", moved.len() - MOST);
    }
    let still = mended.roots.len() - moved.len();
    if moved.is_empty() {
        text = "no environment that renders today".to_owned();
    }
    if still > 0 {
        let _ = write!(text, "; {still} that read the file stay as they are");
    }
    text
}

fn confirmations(parts: &PullRequestParts<'_>, voice: Voice<'_>) -> String {
    let reasons = parts.mended.plan.confirmations();
    if reasons.is_empty() {
        return String::new();
    }
    let mut out =
        "\n> [!IMPORTANT]\n> A person has to confirm this before it is merged:\n>\n".to_owned();
    for reason in reasons.iter().take(10) {
        let _ = writeln!(out, "> - {}", voice.brief(reason, 500));
    }
    out
}

/// The signs of the failure, and who wrote the value.
fn broken(parts: &PullRequestParts<'_>, voice: Voice<'_>, told: &mut Told) -> String {
    let mut out = String::new();
    section(&mut out, "What is broken");
    if parts.signs.is_empty() {
        out.push_str(&said(parts.finding, voice));
    } else {
        out.push_str(&sign_table(parts.signs, voice, told));
    }
    if let Some(culprit) = parts.culprit {
        let _ = writeln!(out, "\n{}", blamed(culprit, voice));
    }
    out
}

/// What Kubernetes says, where no object shows it.
fn said(finding: &Finding, voice: Voice<'_>) -> String {
    let mut out = format!("- {}\n", voice.code(&finding.class.to_string()));
    for text in [&finding.reason, &finding.message] {
        if !text.is_empty() {
            let _ = writeln!(out, "- {}", voice.brief(text, 500));
        }
    }
    out
}

pub(super) fn sign_table(signs: &[Sign], voice: Voice<'_>, told: &mut Told) -> String {
    let mut out = "| sign | detail | count | seen | evidence |\n|---|---|---|---|---|\n".to_owned();
    for sign in signs {
        told.is_new(&sign.detail);
        let on = format!("{} {}", sign.object.kind, sign.object.name);
        out.push_str(&row(&[
            format!("{} on {}", voice.code(&sign.reason), voice.code(&on)),
            voice.brief(&sign.detail, 240),
            sign.count.map_or_else(String::new, |n| format!("{n}×")),
            seen(sign),
            sign.cites.clone().unwrap_or_default(),
        ]));
    }
    out
}

fn seen(sign: &Sign) -> String {
    match (sign.first, sign.last) {
        (Some(first), Some(last)) => format!("{} to {}", minute(first), minute(last)),
        (Some(first), None) => format!("since {}", minute(first)),
        (None, Some(last)) => format!("last {}", minute(last)),
        (None, None) => String::new(),
    }
}

fn blamed(culprit: &Culprit, voice: Voice<'_>) -> String {
    let commit = &culprit.commit;
    let id: String = commit.id.chars().take(12).collect();
    let time = commit
        .time
        .map_or_else(String::new, |t| format!(", {}", minute(t)));
    format!(
        "**Since commit** {} ({}{time}), {}: {} from {} to {}.",
        voice.code(&id),
        voice.brief(&commit.author, 80),
        voice.code(&commit.subject),
        voice.code(&short_path(&culprit.path.to_string())),
        voice.value(culprit.before.as_ref()),
        voice.value(culprit.after.as_ref()),
    )
}

fn changes(parts: &PullRequestParts<'_>, voice: Voice<'_>) -> String {
    let mut out = String::new();
    section(&mut out, "What changes");
    let mended = parts.mended;
    let changes = mended.plan.changes();
    let objects: BTreeSet<_> = changes.iter().map(|c| &c.edit.object).collect();
    let one = objects.len() == 1;
    if let (true, Some(object)) = (one, objects.first()) {
        let _ = writeln!(out, "In {}:\n", voice.code(&object.to_string()));
    }
    out.push_str("| field | before | after |\n|---|---|---|\n");
    let mut origins = Vec::new();
    for (change, site) in changes.iter().zip(&mended.sites) {
        let object = voice.code(&change.edit.object.to_string());
        let field = voice.code(&short_path(&change.edit.path.to_string()));
        out.push_str(&row(&[
            if one {
                field
            } else {
                format!("{object} {field}")
            },
            voice.value(change.before.as_ref()),
            voice.value(change.after.as_ref()),
        ]));
        let place = voice.code(&format!("{}:{}", site.file, site.line));
        let basis = voice.brief(&change.edit.basis, 300);
        let origin = match basis.as_str() {
            "" => format!("- {place}"),
            basis => format!("- {place}: the value comes from {basis}"),
        };
        if !origins.contains(&origin) {
            origins.push(origin);
        }
    }
    let _ = writeln!(out, "\n{}", origins.join("\n"));
    let _ = writeln!(out, "\n{}", voice.block("diff", &mended.patch, MAX_DIFF));
    out
}

/// A path that fits into a table: everybody knows where a pod template is.
fn short_path(path: &str) -> String {
    match path.strip_prefix("spec.template.spec.") {
        Some(rest) => format!("…{rest}"),
        None => path.to_owned(),
    }
}

/// What the change does to what is applied, where a rendering stands between file and cluster.
fn rendered(parts: &PullRequestParts<'_>, voice: Voice<'_>, most: usize) -> String {
    let objects = &parts.mended.objects;
    if objects.is_empty() || most < 200 {
        return String::new();
    }
    let few = objects.iter().take(MAX_OBJECTS);
    let diffs = few.map(|o| rendered_diff(o, parts.evidence));
    let text: String = diffs.collect();
    format!(
        "\n<details><summary>What is applied then: the rendered difference</summary>\n\n{}\n\n</details>\n",
        voice.block("diff", &text, most)
    )
}

fn rendered_diff(changed: &ChangedObject, evidence: &Evidence) -> String {
    let shown = |value: &Option<serde_json::Value>| {
        value
            .as_ref()
            .map_or_else(String::new, |v| yaml(v, evidence.redactor()))
    };
    let diff = patch::difference(&shown(&changed.before), &shown(&changed.after));
    let diff = match diff.as_str() {
        "" => " (it differs in values that are not shown)\n",
        diff => diff,
    };
    format!("# {} in {}\n{diff}", changed.object, changed.root)
}

fn why(parts: &PullRequestParts<'_>, voice: Voice<'_>, told: &mut Told) -> String {
    let mut out = String::new();
    section(&mut out, "Why this fixes it");
    let reason = voice.brief(&parts.proposal.reason, 1_000);
    let _ = writeln!(out, "**In short**: {reason}");
    let claims = parts.proposal.diagnosis.iter().take(MAX_CLAIMS);
    let new: Vec<String> = claims
        .filter(|c| told.is_new(&c.text))
        .map(|c| format!("- {}{}", voice.brief(&c.text, 600), cites(c, voice)))
        .collect();
    if !new.is_empty() {
        let _ = writeln!(out, "\n{}", new.join("\n"));
    }
    out
}

pub(super) fn cites(claim: &Claim, voice: Voice<'_>) -> String {
    if claim.cites.is_empty() {
        return String::new();
    }
    format!(" ({})", voice.brief(&claim.cites.join(", "), 80))
}

fn not_changed(parts: &PullRequestParts<'_>, voice: Voice<'_>) -> String {
    let mut out = String::new();
    let kept = unchanged(parts.mended);
    if !kept.is_empty() {
        section(&mut out, "What does not change");
        let marks: Vec<String> = kept.iter().map(|k| format!("✅\u{a0}{k}")).collect();
        let _ = writeln!(out, "{}", marks.join(" · "));
    }
    blocked_list(&mut out, parts.mended.plan.blocked(), voice);
    out
}

/// What was checked, for a check on the commit: the same table under one line.
pub fn checks(parts: &PullRequestParts<'_>) -> Text {
    let checks = &parts.mended.checks;
    let count = |status| checks.iter().filter(|c| c.status == status).count();
    let (failed, passed) = (count(Status::Fail), count(Status::Pass));
    let title = match (failed, parts.mended.plan.confirmations().is_empty()) {
        (0, true) => format!("{} passed", count::of(passed, "check")),
        (0, false) => format!(
            "{} passed; a person has to confirm the change",
            count::of(passed, "check")
        ),
        _ => format!("{} failed", count::of(failed, "check")),
    };
    let voice = Voice::of(parts.evidence);
    redacted(
        parts.evidence,
        &title,
        &check_table(checks, |t, n| voice.brief(t, n)),
    )
}

pub(super) fn check_table(checks: &[Check], brief: impl Fn(&str, usize) -> String) -> String {
    let mut out = String::from("| check | result | detail |\n|---|---|---|\n");
    for check in checks.iter().take(20) {
        let status = match check.status {
            Status::Pass => "✅\u{a0}pass",
            Status::Fail => "❌\u{a0}FAIL",
            Status::Skipped => "➖\u{a0}skipped",
        };
        out.push_str(&row(&[
            brief(&check.name, 60),
            status.to_owned(),
            brief(&check.detail, 800),
        ]));
    }
    out
}

fn after_the_merge(parts: &PullRequestParts<'_>, voice: Voice<'_>) -> String {
    let mut out = String::new();
    section(&mut out, "After the merge");
    for step in parts.proposal.after_merge.iter().take(10) {
        let _ = writeln!(out, "- {}", voice.brief(step, 500));
    }
    if !parts.proposal.after_merge.is_empty() {
        out.push('\n');
    }
    let commands = look_commands(&parts.finding.object);
    if !commands.is_empty() {
        let _ = writeln!(
            out,
            "To see whether it works (these only read):\n\n{}",
            voice.block("sh", &commands.join("\n"), 2_000)
        );
    }
    let _ = writeln!(out, "\n{}", roll_back(parts.mended, voice));
    out
}

fn evidence_block(parts: &PullRequestParts<'_>, voice: Voice<'_>, most: usize) -> String {
    let text = parts.evidence.to_text();
    if text.is_empty() || most < 200 {
        return String::new();
    }
    format!(
        "\n<details><summary>Evidence (redacted)</summary>\n\n{}\n\n</details>\n",
        voice.block("text", &text, most)
    )
}

fn made_by(parts: &PullRequestParts<'_>, voice: Voice<'_>) -> String {
    let mut out = String::new();
    footer(
        &mut out,
        Some(&parts.proposal.source),
        parts.fingerprint,
        parts.base,
        voice,
    );
    out
}
