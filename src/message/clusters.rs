//! One change for several clusters: the list of them in its pull request. Pure.

use std::fmt::Write as _;

use jiff::Timestamp;

use super::forge::minute;
use super::markdown::{code, prose, shortened};
use crate::forge::marker::Marker;
use crate::forge::reporters::{ASKS, EXPIRY, MOST, Reporter, cluster};

/// Between these stands the list, so that it can be replaced without the text around it.
const BEGIN: &str = "<!-- kubemend:clusters -->";
const END: &str = "<!-- kubemend:clusters-end -->";
/// The longest title of another change that is shown.
const MAX_INSTEAD: usize = 150;

/// The list of the clusters that report what a pull request mends, between its marks; empty while there
/// is only one that wants what it holds.
pub fn list(marker: &Marker, now: Timestamp) -> String {
    let all: Vec<&Reporter> = marker.reporting(now).collect();
    let differs = |r: &&Reporter| !r.instead.is_empty() || !r.without.is_empty();
    let several = all.len() > 1 || all.iter().any(differs);
    let mut out = format!("{BEGIN}\n");
    if several {
        out.push_str("\n### Where it fails\n\n");
        for reporter in &all {
            let _ = writeln!(out, "- {}", one(reporter));
        }
        let days = EXPIRY.as_hours() / 24;
        let _ = writeln!(
            out,
            "\nThis is the one pull request for all of them. It is closed when none reports the failure any more; one that says nothing for {days} days does not count."
        );
        if all.len() >= MOST {
            out.push_str("The list is full: further clusters are not listed and not waited for.\n");
        }
        out.push('\n');
    }
    out.push_str(END);
    out.push('\n');
    out
}

fn one(reporter: &Reporter) -> String {
    let mut said = vec![match cluster(&reporter.scope) {
        Some(name) => format!("cluster {}", code(name)),
        None => "in the manifests alone".to_owned(),
    }];
    match reporter.objects {
        0 => {}
        1 => said.push("1 object".to_owned()),
        n => said.push(format!("{n} objects")),
    }
    if let Some(since) = reporter.since {
        said.push(format!("since {}", minute(since)));
    }
    let mut line = said.join(", ");
    if !reporter.instead.is_empty() {
        let instead = prose(&shortened(&reporter.instead, MAX_INSTEAD));
        let _ = write!(
            line,
            ". **It would be mended in another way there**: {instead}. There is one pull request for one place, so this is not proposed."
        );
    }
    match reporter.without.as_str() {
        "" => {}
        ASKS => line.push_str(". **No fix is proven there**: it would be asked about."),
        reason => {
            let reason = code(&shortened(reason, MAX_INSTEAD));
            let _ = write!(line, ". **No fix is found there**: {reason}.");
        }
    }
    line
}

/// The text with another list. Where somebody removed the marks, the list stands at the end.
pub fn replaced(text: &str, list: &str) -> String {
    let begin = text.find(BEGIN);
    let end = begin.and_then(|b| Some(b + text.get(b..)?.find(END)? + END.len()));
    match begin.zip(end) {
        Some((begin, end)) => {
            let before = text.get(..begin).unwrap_or_default();
            let after = text.get(end..).unwrap_or_default();
            format!("{before}{}{after}", list.trim_end())
        }
        None if list.contains("###") => format!("{}\n\n{}", text.trim_end(), list.trim_end()),
        None => text.to_owned(),
    }
}
