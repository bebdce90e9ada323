//! The job summary: Markdown, at most 1 MiB.

use std::fmt::Write as _;

use crate::annotations::{Annotation, Level};
use crate::config::ConfigError;
use crate::cycle::{Analysis, Report as Pass, Touched};
use crate::forge::decide::WantedEnding;
use crate::message::{code, fenced, prose, row};
use crate::scan::report::{FindingEntry, Report as Scan};

/// GitHub takes 1 MiB of a step; some room is left for what other tools of the step write.
const MAX_SUMMARY: usize = 900 * 1024;
/// The most rows of a table.
const MAX_ROWS: usize = 200;
/// The longest diff of one fix.
const MAX_DIFF: usize = 20_000;

/// The summary of a validation.
pub fn of_scan(report: &Scan, about: &str) -> String {
    let mut out = String::new();
    let _ = writeln!(
        out,
        "## kubemend: {}\n",
        count(report.findings.len(), "finding")
    );
    let seen = &report.seen;
    let _ = writeln!(
        out,
        "{} Looked at {} files ({} objects, {} kustomize roots), for Kubernetes {}.\n",
        prose(about),
        seen.files,
        seen.objects,
        seen.roots,
        prose(&report.target_version)
    );
    if !report.findings.is_empty() {
        let _ = writeln!(out, "| | where | what | fix |\n|---|---|---|---|");
    }
    for entry in report.findings.iter().take(MAX_ROWS) {
        out += &finding(entry);
    }
    let more = report.findings.len().saturating_sub(MAX_ROWS) + report.cut;
    if more > 0 {
        let _ = writeln!(out, "\n{more} more are not listed.");
    }
    out += &fixes(report);
    if !report.unseen.is_empty() {
        let _ = writeln!(out, "\n### Not looked at\n");
        for text in report.unseen.iter().take(MAX_ROWS) {
            let _ = writeln!(out, "- {}", prose(text));
        }
    }
    bounded(out)
}

fn finding(entry: &FindingEntry) -> String {
    let place = format!("{}:{}", entry.location.file, entry.location.line);
    let fix = match (&entry.fix, &entry.open) {
        (Some(fix), _) => prose(&fix.title),
        (None, Some(open)) => format!("none: {}", code(&open.code)),
        (None, None) => String::new(),
    };
    row(&[
        entry.severity.as_str().to_owned(),
        code(&place),
        format!("{} {}", entry.rule, prose(&entry.message)),
        fix,
    ])
}

fn fixes(report: &Scan) -> String {
    let mut out = String::new();
    let mut told: Vec<&str> = Vec::new();
    let fixes = report.findings.iter().filter_map(|f| f.fix.as_ref());
    for fix in fixes.take(MAX_ROWS) {
        if told.contains(&fix.patch.as_str()) {
            continue;
        }
        told.push(&fix.patch);
        let diff = fenced("diff", &fix.patch, MAX_DIFF);
        let _ = writeln!(
            out,
            "\n<details><summary>{}</summary>\n\n{diff}\n\n</details>",
            prose(&fix.title)
        );
    }
    if out.is_empty() {
        return out;
    }
    format!("\n### Proven fixes\n{out}")
}

/// The summary of a pass over a repository.
pub fn of_pass(pass: &Pass, analysis: &Analysis, pulls_url: &str, about: &str) -> String {
    let mut out = String::new();
    let title = match (&pass.frozen, pass.pulls.len()) {
        (Some(_), _) => "the pass ended early".to_owned(),
        (None, n) => count(n, "pull request"),
    };
    let _ = writeln!(out, "## kubemend: {title}\n");
    if !about.is_empty() {
        let _ = writeln!(out, "{}\n", prose(about));
    }
    if let Some(error) = &pass.frozen {
        let _ = writeln!(
            out,
            "GitHub did not answer: {}. What was done before holds; nothing was closed or deleted. The next run goes on.\n",
            prose(&error.to_string())
        );
    }
    touched(&mut out, "Pull requests", &pass.pulls, pulls_url);
    let issues = pulls_url.replace("/pull/", "/issues/");
    touched(&mut out, "Questions", &pass.questions, &issues);
    if pass.answered > 0 {
        let _ = writeln!(out, "{} answered.\n", count(pass.answered, "command"));
    }
    not_proposed(&mut out, analysis);
    list(
        &mut out,
        "Listed, not touched",
        analysis.listed.iter().map(|f| f.summary.clone()),
    );
    list(
        &mut out,
        "Could not be read",
        analysis.problems.iter().cloned(),
    );
    list(&mut out, "Not answered", pass.silent.iter().cloned());
    list(&mut out, "Remarks", pass.notes.iter().cloned());
    bounded(out)
}

fn touched(out: &mut String, title: &str, all: &[Touched], url: &str) {
    if all.is_empty() {
        return;
    }
    let _ = writeln!(out, "### {title}\n");
    for t in all.iter().take(MAX_ROWS) {
        let branch = if t.branch.is_empty() {
            String::new()
        } else {
            format!(" on {}", code(&t.branch))
        };
        let operation = match t.operation {
            "none" => "unchanged",
            other => other,
        };
        let _ = writeln!(out, "- [#{0}]({url}{0}) {operation}{branch}", t.number);
    }
    out.push('\n');
}

fn not_proposed(out: &mut String, analysis: &Analysis) {
    let lines = analysis.wanted.iter().filter_map(|w| match &w.ending {
        WantedEnding::Refused { code: name, reason } => Some(format!(
            "- {} ({}): {}",
            prose(&w.summary),
            code(name),
            prose(reason)
        )),
        WantedEnding::Unknown => Some(format!("- {}: no answer", prose(&w.summary))),
        _ => None,
    });
    let lines: Vec<String> = lines.take(MAX_ROWS).collect();
    if !lines.is_empty() {
        let _ = writeln!(out, "### Found, and not proposed\n\n{}\n", lines.join("\n"));
    }
}

fn list(out: &mut String, title: &str, items: impl Iterator<Item = String>) {
    let lines: Vec<String> = items
        .take(MAX_ROWS)
        .map(|text| format!("- {}", prose(&text)))
        .collect();
    if !lines.is_empty() {
        let _ = writeln!(out, "### {title}\n\n{}\n", lines.join("\n"));
    }
}

/// A summary with one sentence.
pub fn of_nothing(why: &str) -> String {
    format!("## kubemend: nothing to do\n\n{}\n", prose(why))
}

/// A run that failed.
pub fn of_failure(message: &str) -> String {
    format!("## kubemend: the run failed\n\n{}\n", prose(message))
}

/// A configuration that cannot be used: the summary.
pub fn of_config(error: &ConfigError) -> String {
    let mut out = format!(
        "## kubemend: {} cannot be used\n\nNothing was looked at, and no pull request was written.\n\n",
        code(&error.file)
    );
    for problem in &error.problems {
        let place = problem.at.map_or_else(String::new, |(row, column)| {
            format!("line {row}, column {column}: ")
        });
        let _ = writeln!(out, "- {place}{}", prose(&problem.message));
    }
    bounded(out)
}

/// A configuration that cannot be used: annotations of its lines.
pub fn annotations_of_config(error: &ConfigError) -> String {
    let one = |problem: &crate::config::Problem| {
        let annotation = Annotation {
            level: Level::Error,
            place: problem.at.map(|(row, _)| (error.file.as_str(), row, row)),
            title: "kubemend configuration",
            message: &problem.message,
        };
        annotation.command() + "\n"
    };
    error.problems.iter().take(10).map(one).collect()
}

/// `no findings`, `1 finding`, `2 findings`.
fn count(n: usize, word: &str) -> String {
    match n {
        0 => format!("no {word}s"),
        1 => format!("1 {word}"),
        n => format!("{n} {word}s"),
    }
}

/// Cut at a line, with open blocks closed.
fn bounded(text: String) -> String {
    if text.len() <= MAX_SUMMARY {
        return text;
    }
    let mut end = MAX_SUMMARY;
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    // before a whole block, so that neither a fence nor a fold stays open
    let kept = text.get(..end).unwrap_or_default();
    let at = kept.rfind("\n<details>").or_else(|| kept.rfind('\n'));
    let kept = kept.get(..at.unwrap_or(0)).unwrap_or_default();
    format!("{kept}\n\n(cut: the rest does not fit into a job summary)\n")
}
