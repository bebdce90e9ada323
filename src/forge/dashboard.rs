//! The one issue that lists everything and takes ticks: control panel and heartbeat. Pure.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use jiff::{SignedDuration, Timestamp};

use crate::config::Rules;
use crate::config::rules::QuietHours;
use crate::finding::{Finding, Severity};
use crate::forge::decide::{Action, Fix, Observed, Wanted, WantedEnding, Why};
use crate::forge::reporters::cluster;
use crate::forge::{Pull, PullState};
use crate::message::forge::minute;
use crate::message::{code, prose};

/// The title of the issue.
pub const TITLE: &str = "kubemend dashboard";
/// Stands on the one line that changes when nothing else does.
const HEARTBEAT_MARK: &str = "<!-- kubemend:heartbeat -->";
/// The most rows of one section.
const MAX_ROWS: usize = 50;
/// The most bytes of one section.
const MAX_SECTION: usize = 5_500;

/// Everything that the dashboard shows.
#[derive(Debug, Clone, Copy)]
pub struct Dashboard<'a> {
    /// Which run looked (see `cycle::Analysis::scope`).
    pub scope: &'a str,
    /// What the run wants.
    pub wanted: &'a [Wanted],
    /// What was decided.
    pub actions: &'a [Action],
    /// What the forge held when it was decided.
    pub observed: &'a Observed,
    /// Numbers of what this pass opened, by fingerprint (pull requests) or key (questions).
    pub opened: &'a BTreeMap<String, u64>,
    /// How to behave there.
    pub rules: &'a Rules,
    /// What else is wrong and was not touched.
    pub listed: &'a [Finding],
    /// What could not be read: configuration, sources.
    pub problems: &'a [String],
    /// Now: the heartbeat.
    pub now: Timestamp,
}

/// The body without its marker.
pub fn render(dashboard: &Dashboard<'_>) -> String {
    let mut out = lists(dashboard);
    controls(&mut out, dashboard.observed.paused.is_some());
    out
}

fn lists(dashboard: &Dashboard<'_>) -> String {
    let mut out = String::new();
    head(&mut out, dashboard);
    let mut sections = sections(dashboard);
    for heading in HEADINGS {
        let rows = sections.remove(heading).unwrap_or_default();
        section(&mut out, heading, &rows);
    }
    listed(&mut out, dashboard.listed);
    out
}

/// The body without what changes when nothing happened: for the question whether to write it.
pub fn without_heartbeat(body: &str) -> String {
    let lines = body.lines().filter(|l| !l.contains(HEARTBEAT_MARK));
    lines.map(|l| format!("{}\n", l.trim_end())).collect()
}

const OPEN: &str = "Open pull requests";
const QUESTIONS: &str = "Open questions";
const WAITING: &str = "Waiting";
const MERGED: &str = "Merged, not seen working yet";
const PAUSED: &str = "Paused";
const CLOSED: &str = "Ignored, or closed by people";
const FAILED: &str = "No change, with the reason";
const PROBLEMS: &str = "Problems in this repository";
/// The sections in their order; empty ones are left out.
const HEADINGS: [&str; 8] = [
    PROBLEMS, OPEN, QUESTIONS, WAITING, MERGED, PAUSED, CLOSED, FAILED,
];

/// What stands under some headings.
fn hint(heading: &str) -> &'static str {
    match heading {
        WAITING => "Tick a box to open the pull request now, whatever the limits say.",
        CLOSED => "Tick a box to have it proposed again.",
        FAILED => "Every run tries again. `kubemend explain CODE` says more about a code.",
        PROBLEMS => "What cannot be read is not mended.",
        _ => "",
    }
}

fn head(out: &mut String, dashboard: &Dashboard<'_>) {
    let _ = writeln!(
        out,
        "kubemend {} looked at this repository last at **{}**. {HEARTBEAT_MARK}\n",
        env!("CARGO_PKG_VERSION"),
        minute(dashboard.now)
    );
    if let Some(name) = cluster(dashboard.scope) {
        let name = code(name);
        let _ = writeln!(out, "Findings are those of cluster {name}.\n");
    }
    if let Some(paused) = &dashboard.observed.paused {
        let _ = writeln!(
            out,
            "> [!WARNING]\n> Paused by {} since {}: nothing is written here until somebody resumes it.\n",
            code(&paused.by),
            minute(paused.since)
        );
    }
    if !dashboard.observed.complete {
        let _ = writeln!(
            out,
            "> [!WARNING]\n> Not everything could be read in the last run, so nothing was closed or deleted.\n"
        );
    }
    let _ = writeln!(out, "{}", caps(dashboard.rules, open_count(dashboard)));
    let quiet = quiet_hours(dashboard.rules);
    if !quiet.is_empty() {
        let _ = writeln!(out, "\nQuiet hours: {}.", quiet.join("; "));
    }
}

fn caps(rules: &Rules, open: usize) -> String {
    format!(
        "Limits: {} open pull requests ({open} open now), {} for one namespace, {} new in an hour; \
         critical findings up to {} open. What is over a limit waits here; nothing is dropped. \
         kubemend never merges.",
        rules.max_open_prs, rules.max_open_per_namespace, rules.max_prs_per_hour, rules.hard_cap
    )
}

fn quiet_hours(rules: &Rules) -> Vec<String> {
    let shown = |q: &QuietHours| {
        let days = match q.days.as_slice() {
            [] => "every day".to_owned(),
            days => days.join(", "),
        };
        let offset = q.offset.as_deref().unwrap_or("UTC");
        prose(&format!("{} to {} ({offset}), {days}", q.from, q.to))
    };
    rules.quiet_hours.iter().take(10).map(shown).collect()
}

fn is_open(pull: &Pull) -> bool {
    pull.state == PullState::Open
}

fn closed_now(dashboard: &Dashboard<'_>) -> BTreeSet<u64> {
    let numbers = dashboard.actions.iter().filter_map(|a| match a {
        Action::Close { number, .. } => Some(*number),
        _ => None,
    });
    numbers.collect()
}

fn open_count(dashboard: &Dashboard<'_>) -> usize {
    let closed = closed_now(dashboard);
    let pulls = dashboard.observed.pulls.iter().map(|p| &p.pull);
    let open = pulls.filter(|p| is_open(p) && !closed.contains(&p.number));
    open.count() + opened_now(dashboard).len()
}

/// The pull requests of this pass, the newest first.
fn opened_now<'d>(dashboard: &'d Dashboard<'_>) -> Vec<(&'d Fix, u64)> {
    let opened = dashboard.actions.iter().filter_map(|action| match action {
        Action::Open { fingerprint } => match &found(dashboard, fingerprint)?.ending {
            WantedEnding::Fix(fix) => Some((&**fix, *dashboard.opened.get(fingerprint)?)),
            _ => None,
        },
        _ => None,
    });
    let mut opened: Vec<_> = opened.collect();
    opened.sort_by_key(|(_, number)| Reverse(*number));
    opened
}

fn found<'d>(dashboard: &Dashboard<'d>, fingerprint: &str) -> Option<&'d Wanted> {
    let mut all = dashboard.wanted.iter();
    all.find(|w| w.fingerprint == fingerprint)
}

/// The number under which this pass opened something for a finding.
fn number_of(dashboard: &Dashboard<'_>, fingerprint: &str) -> Option<u64> {
    let wanted = found(dashboard, fingerprint)?;
    let keys = [&wanted.fingerprint, &wanted.key];
    keys.into_iter()
        .find_map(|k| dashboard.opened.get(k))
        .copied()
}

/// One line of a section.
struct Row {
    severity: Severity,
    text: String,
}

type Sections = BTreeMap<&'static str, Vec<Row>>;

fn sections(dashboard: &Dashboard<'_>) -> Sections {
    let mut all = Sections::new();
    pulls(dashboard, &mut all);
    questions(dashboard, &mut all);
    let by_fingerprint: BTreeMap<&str, &Wanted> = dashboard
        .wanted
        .iter()
        .map(|w| (w.fingerprint.as_str(), w))
        .collect();
    let mut told = BTreeSet::new();
    for action in dashboard.actions {
        if let Action::Ask {
            fingerprint,
            number,
        } = action
            && (number.is_some() || number_of(dashboard, fingerprint).is_some())
        {
            told.insert(fingerprint.as_str());
        }
        if let Action::Leave { fingerprint, why } = action
            && let Some(wanted) = by_fingerprint.get(fingerprint.as_str())
        {
            told.insert(fingerprint.as_str());
            left(dashboard, wanted, why, &mut all);
        }
    }
    for wanted in dashboard.wanted {
        if !told.contains(wanted.fingerprint.as_str()) {
            without_action(wanted, &mut all);
        }
    }
    for problem in dashboard.problems {
        let text = format!("- {}", prose(problem));
        add(&mut all, PROBLEMS, Severity::High, text);
    }
    for rows in all.values_mut() {
        rows.sort_by_key(|r| Reverse(r.severity));
    }
    all
}

fn add(all: &mut Sections, heading: &'static str, severity: Severity, text: String) {
    all.entry(heading).or_default().push(Row { severity, text });
}

fn pulls(dashboard: &Dashboard<'_>, all: &mut Sections) {
    let closed = closed_now(dashboard);
    // what is new reads like what is there already, so that the next pass writes nothing
    for (fix, number) in opened_now(dashboard) {
        let draft = match dashboard.rules.draft.of(fix.draft) {
            true => " (draft)",
            false => "",
        };
        let text = format!("- #{number} {}{draft}", prose(&fix.title));
        add(all, OPEN, Severity::High, text);
    }
    for ours in &dashboard.observed.pulls {
        let pull = &ours.pull;
        if !is_open(pull) || closed.contains(&pull.number) {
            continue;
        }
        let notes = notes_of(dashboard, pull);
        let notes = match notes.as_slice() {
            [] => String::new(),
            notes => format!(" ({})", notes.join("; ")),
        };
        let text = format!("- #{} {}{notes}", pull.number, prose(&pull.title));
        add(all, OPEN, Severity::High, text);
    }
}

/// What is special about an open pull request.
fn notes_of(dashboard: &Dashboard<'_>, pull: &Pull) -> Vec<&'static str> {
    let mut notes = Vec::new();
    if pull.draft {
        notes.push("draft");
    }
    for action in dashboard.actions {
        notes.extend(match action {
            Action::Leave { why, .. } => note_of(why, pull.number),
            Action::Retire { number } if *number == pull.number => {
                Some("looks resolved, closed soon")
            }
            Action::Join { number, .. } if *number == Some(pull.number) => {
                Some("mends another finding too")
            }
            Action::Observe {
                number,
                healthy: true,
            } if *number == pull.number => Some("was seen healthy"),
            _ => None,
        });
    }
    notes.dedup();
    notes
}

fn note_of(why: &Why, pull: u64) -> Option<&'static str> {
    match why {
        Why::HandsOff(n) if *n == pull => Some("a person works on it: hands off"),
        Why::Frozen(n) if *n == pull => Some("frozen by label"),
        Why::Loop(n) if *n == pull => Some("stopped: goes round in circles"),
        _ => None,
    }
}

fn questions(dashboard: &Dashboard<'_>, all: &mut Sections) {
    let closed = closed_now(dashboard);
    for (number, title) in asked_now(dashboard) {
        add(
            all,
            QUESTIONS,
            Severity::High,
            format!("- #{number} {}", prose(title)),
        );
    }
    for issue in &dashboard.observed.questions {
        if issue.open && !closed.contains(&issue.number) {
            let text = format!("- #{} {}", issue.number, prose(&issue.title));
            add(all, QUESTIONS, Severity::High, text);
        }
    }
}

/// The questions of this pass, the newest first.
fn asked_now<'d>(dashboard: &Dashboard<'d>) -> Vec<(u64, &'d str)> {
    let asked = dashboard.actions.iter().filter_map(|action| match action {
        Action::Ask {
            fingerprint,
            number: None,
        } => {
            let number = number_of(dashboard, fingerprint)?;
            match &found(dashboard, fingerprint)?.ending {
                WantedEnding::Question(query) => Some((number, query.title.as_str())),
                _ => None,
            }
        }
        _ => None,
    });
    let mut asked: Vec<_> = asked.collect();
    asked.sort_by_key(|(number, _)| Reverse(*number));
    asked
}

/// A finding that was left as it is, under the heading of its reason.
fn left(dashboard: &Dashboard<'_>, wanted: &Wanted, why: &Why, all: &mut Sections) {
    let what = summary(wanted);
    let fp = &wanted.fingerprint;
    let mut put = |heading, text: String| add(all, heading, wanted.severity, text);
    match why {
        Why::Current(_) | Why::HandsOff(_) | Why::Frozen(_) | Why::Settled => {}
        Why::Merged(n) => put(MERGED, format!("- #{n} {what}")),
        Why::Limited(cap) => put(
            WAITING,
            ticket("approve", fp, &what, &format!("over the limit `{cap}`")),
        ),
        Why::QuietHours => put(WAITING, ticket("approve", fp, &what, "quiet hours")),
        Why::TooYoung => put(WAITING, ticket("approve", fp, &what, &too_young(wanted))),
        Why::CoolingDown => put(
            WAITING,
            ticket(
                "approve",
                fp,
                &what,
                "another one was closed a short time ago",
            ),
        ),
        Why::Inactive => put(
            WAITING,
            ticket(
                "approve",
                fp,
                &what,
                "the last pull requests were all closed, so none is opened unasked",
            ),
        ),
        Why::Unreadable => put(
            WAITING,
            ticket("approve", fp, &what, "not everything could be read"),
        ),
        Why::Paused => put(PAUSED, format!("- {what}")),
        Why::Reverted(n) => put(
            CLOSED,
            ticket("approve", fp, &what, &format!("taken back: #{n}")),
        ),
        Why::ClosedByHuman(n) => put(
            CLOSED,
            ticket(
                "unignore",
                &n.to_string(),
                &what,
                &format!("closed by a person: #{n}"),
            ),
        ),
        Why::Ignored => put(
            CLOSED,
            ticket("unignore", fp, &what, "ignored by label or command"),
        ),
        Why::IgnoredByRules => put(CLOSED, format!("- {what} (ignored by configuration)")),
        Why::Loop(n) => {
            // one that is merged or closed is not made again: it takes a new one
            let mut pulls = dashboard.observed.pulls.iter().map(|p| &p.pull);
            let name = match pulls.any(|p| p.number == *n && is_open(p)) {
                true => "retry",
                false => "approve",
            };
            let why = format!("the same change came back: #{n}; tick the box to propose it again");
            put(FAILED, ticket(name, fp, &what, &why));
        }
        Why::Refused(code) => put(FAILED, format!("- {what} ({})", refused(wanted, code))),
    }
}

fn too_young(wanted: &Wanted) -> String {
    wanted.failing_since.map_or_else(
        || "fails for too short a time".to_owned(),
        |since| format!("fails only since {}", minute(since)),
    )
}

fn refused(wanted: &Wanted, found: &str) -> String {
    match &wanted.ending {
        WantedEnding::Refused { reason, .. } => format!("{}: {}", code(found), prose(reason)),
        _ => code(found),
    }
}

/// Endings that need no decision.
fn without_action(wanted: &Wanted, all: &mut Sections) {
    let why = match &wanted.ending {
        WantedEnding::Refused { code, .. } => refused(wanted, code),
        WantedEnding::Unknown => "no answer in the last run; it is tried again".to_owned(),
        WantedEnding::Question(query) => {
            let text = format!("- {} ({})", prose(&query.title), summary(wanted));
            return add(all, QUESTIONS, wanted.severity, text);
        }
        WantedEnding::Fix(_) | WantedEnding::Settled => return,
    };
    let text = format!("- {} ({why})", summary(wanted));
    add(all, FAILED, wanted.severity, text);
}

/// A box: what it does, and to which finding or number.
fn ticket(name: &str, of: &str, what: &str, why: &str) -> String {
    // it goes into a comment: nothing may end it
    let id: String = of.chars().filter(char::is_ascii_alphanumeric).collect();
    format!("- [ ] <!-- kubemend:{name}={id} -->{what} ({why})")
}

fn summary(wanted: &Wanted) -> String {
    let bad = match wanted.severity {
        Severity::Critical => "**critical** ",
        _ => "",
    };
    format!("{bad}{}", prose(&wanted.summary))
}

fn section(out: &mut String, heading: &str, rows: &[Row]) {
    if rows.is_empty() {
        return;
    }
    let _ = writeln!(out, "\n### {heading} ({})\n", rows.len());
    let hint = hint(heading);
    if !hint.is_empty() {
        let _ = writeln!(out, "{hint}\n");
    }
    let texts = rows.iter().map(|r| r.text.as_str());
    list(out, texts);
}

/// As many lines as fit, and how many more there are.
fn list<'t>(out: &mut String, rows: impl ExactSizeIterator<Item = &'t str>) {
    let (all, mut shown, mut used) = (rows.len(), 0, 0);
    for row in rows {
        used += row.len() + 1;
        if shown == MAX_ROWS || used > MAX_SECTION {
            break;
        }
        let _ = writeln!(out, "{row}");
        shown += 1;
    }
    crate::message::forge::more(out, all, shown);
}

fn listed(out: &mut String, listed: &[Finding]) {
    if listed.is_empty() {
        return;
    }
    let _ = writeln!(
        out,
        "\n<details><summary>Also seen, and not touched ({})</summary>\n",
        listed.len()
    );
    let rows: Vec<String> = listed
        .iter()
        .map(|f| format!("- {}: {}", f.class, prose(&f.summary)))
        .collect();
    list(out, rows.iter().map(String::as_str));
    out.push_str("\n</details>\n");
}

fn controls(out: &mut String, paused: bool) {
    out.push_str("\n---\n\n");
    out.push_str(if paused {
        "- [ ] <!-- kubemend:resume -->go on writing in this repository\n"
    } else {
        "- [ ] <!-- kubemend:pause -->stop writing in this repository\n"
    });
}

/// How old the heartbeat may become before an otherwise unchanged dashboard is written again.
pub const HEARTBEAT: SignedDuration = SignedDuration::from_hours(6);

#[cfg(test)]
mod tests;
