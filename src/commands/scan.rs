//! `kubemend scan`: findings in manifests alone.

use anstyle::AnsiColor;

use crate::annotations;
use crate::cli::{FailOn, Scan as Args, ScanFix, ScanOutput};
use crate::commands::Failure;
use crate::commands::session::Session;
use crate::finding::Severity;
use crate::locate::Repository;
use crate::sarif;
use crate::scan::report::{FindingEntry, Report, report, shown};
use crate::scan::{Input, Scan, scan};
use crate::terminal::{self, Progress, bold, paint};

pub(super) fn run(args: &Args, progress: Progress) -> Result<u8, Failure> {
    progress.say("reading the repository");
    let session = Session::open(
        &args.repo,
        args.operator.config.as_deref(),
        args.operator.renderer.as_deref(),
    )?;
    progress.say("rendering");
    let repository = Repository::open(
        &session.checkout.files,
        session.renderer.as_ref(),
        args.namespace.as_deref(),
        session.config.locate_policy(),
    );
    let policy = session.config.policy();
    let input = Input {
        checkout: &session.checkout,
        repository: &repository,
        policy: &policy,
        places: session.config.locate_policy(),
        target: args.target_version,
        ignore: &session.config.pull_requests.ignore,
        paths: &args.paths,
        now: jiff::Timestamp::now(),
        style: session.style(),
    };
    progress.say("looking");
    let scan = scan(&input);
    let branches = match args.fix {
        Some(ScanFix::Commit) => session.commit(&scan.fixes)?,
        _ => Vec::new(),
    };
    print(args, &input, &scan, &branches)?;
    Ok(u8::from(fails(args.fail_on, &scan)))
}

fn fails(fail_on: FailOn, scan: &Scan) -> bool {
    let least = match fail_on {
        FailOn::Never => return false,
        FailOn::Low => Severity::Low,
        FailOn::Medium => Severity::Medium,
        FailOn::High => Severity::High,
        FailOn::Critical => Severity::Critical,
    };
    scan.findings.iter().any(|f| f.severity >= least)
}

fn print(args: &Args, input: &Input<'_>, scan: &Scan, branches: &[String]) -> Result<(), Failure> {
    for note in &input.checkout.notes {
        terminal::note(note);
    }
    let report = report(scan, input);
    for problem in &input.repository.problems {
        let found = |f: &FindingEntry| f.location.file == problem.place;
        if !report.findings.iter().any(found) {
            terminal::note(&format!("{}: {}", problem.place, problem.message));
        }
    }
    let pretty = |value: serde_json::Result<String>| {
        value
            .map(|text| text + "\n")
            .map_err(|e| Failure::Input(e.to_string()))
    };
    if args.fix == Some(ScanFix::Patch) {
        terminal::out(&report.patch);
        return Ok(());
    }
    let text = match args.output {
        ScanOutput::Text => harmless(&text(&report, branches)),
        ScanOutput::Json => pretty(serde_json::to_string_pretty(&report))?,
        ScanOutput::Sarif => {
            let log = sarif::log(&report, scan, input.repository.files);
            pretty(serde_json::to_string_pretty(&log))?
        }
        ScanOutput::Github => annotations::commands(&report),
    };
    terminal::out(&text);
    Ok(())
}

/// A job's log is read by a runner: no line of a repository may be a command for it.
fn harmless(text: &str) -> String {
    let line = |line: &str| match line.trim_start().starts_with("::") {
        true => line.replacen("::", ": :", 1),
        false => line.replace("##[", "# #["),
    };
    text.split_inclusive('\n').map(line).collect()
}

/// How many roots that were not looked at are named.
const MOST_UNSEEN: usize = 5;

/// The report for people: by file, each finding with its line, its message and its fix.
fn text(report: &Report, branches: &[String]) -> String {
    let mut out = String::new();
    let mut file = "";
    let mut told: Vec<&str> = Vec::new();
    for entry in &report.findings {
        if entry.location.file != file {
            file = &entry.location.file;
            out += &format!("{}\n", bold(&shown(file)));
        }
        out += &finding(entry, &mut told);
    }
    if !report.findings.is_empty() {
        out.push('\n');
    }
    for branch in branches {
        out += &format!("branch {}\n", bold(branch));
    }
    for text in report.unseen.iter().take(MOST_UNSEEN) {
        out += &format!("not looked at: {text}\n");
    }
    let more = report.unseen.len().saturating_sub(MOST_UNSEEN);
    if more > 0 {
        out += &format!("not looked at: {more} more roots (--output json lists them)\n");
    }
    out + &summary(report)
}

fn finding<'r>(entry: &'r FindingEntry, told: &mut Vec<&'r str>) -> String {
    let color = match entry.severity {
        Severity::Critical | Severity::High => AnsiColor::Red,
        Severity::Medium => AnsiColor::Yellow,
        Severity::Low => AnsiColor::Blue,
    };
    let mut out = format!(
        "  {}:{}  {}  {} {}\n",
        entry.location.line,
        entry.location.column,
        paint(color, true, entry.severity.as_str()),
        entry.rule,
        entry.name,
    );
    out += &format!("    {}\n", entry.message);
    if entry.roots.len() > 1 {
        out += &format!(
            "    In {} roots: {}\n",
            entry.roots.len(),
            shown(&entry.roots.join(", "))
        );
    }
    if let Some(fix) = &entry.fix {
        out += &format!("    Proven fix: {}\n", fix.title);
        if told.contains(&fix.patch.as_str()) {
            out += "    (the same change as above)\n";
        } else {
            told.push(&fix.patch);
            let diff = terminal::diff(&fix.patch);
            out += &diff
                .lines()
                .map(|l| format!("      {l}\n"))
                .collect::<String>();
        }
    }
    if let Some(open) = &entry.open {
        out += &format!("    No fix ({}): {}\n", open.code, open.reason);
        for option in &open.options {
            out += &format!("      {}. {}\n", option.id, option.title);
        }
    }
    out
}

/// `3 findings (1 high, 2 low), 2 with a proven fix, in 41 files (120 objects, 12 roots).`
fn summary(report: &Report) -> String {
    let seen = &report.seen;
    if seen.objects == 0 && seen.roots == 0 && report.findings.is_empty() {
        return format!(
            "No Kubernetes manifests here ({} files looked at).\n",
            seen.files
        );
    }
    let place = format!(
        "{} files ({} objects, {} kustomize roots)",
        seen.files, seen.objects, seen.roots
    );
    let silenced = match report.silenced.len() {
        0 => String::new(),
        n => format!(" {n} silenced."),
    };
    if report.findings.is_empty() {
        return format!("Nothing found in {place}.{silenced}\n");
    }
    let count = |s: Severity| report.findings.iter().filter(|f| f.severity == s).count();
    let parts: Vec<String> = [
        (Severity::Critical, "critical"),
        (Severity::High, "high"),
        (Severity::Medium, "medium"),
        (Severity::Low, "low"),
    ]
    .iter()
    .filter(|(s, _)| count(*s) > 0)
    .map(|(s, word)| format!("{} {word}", count(*s)))
    .collect();
    let fixed = report.findings.iter().filter(|f| f.fix.is_some()).count();
    let findings = match report.findings.len() {
        1 => "1 finding".to_owned(),
        n => format!("{n} findings"),
    };
    let cut = match report.cut {
        0 => String::new(),
        n => format!(" {n} more are not listed."),
    };
    format!(
        "{findings} ({}), {fixed} with a proven fix, in {place}.{silenced}{cut}\n",
        parts.join(", ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_line_of_a_repository_is_a_command_for_a_runner() {
        assert_eq!(
            harmless("a\n   ::error::x::y\n b ::c\n##[add-matcher]z\n"),
            "a\n   : :error::x::y\n b ::c\n# #[add-matcher]z\n"
        );
    }
}
