//! The table of a run.

use std::fmt::Write as _;

use super::judge::{End, Judged};
use super::kinds::KINDS;

/// By kind of fault, in Markdown.
pub fn of(judged: &[Judged]) -> String {
    let mut out = String::from(
        "| planted | count | healed: put back | healed: another true fix | asked | refused rightly | other code | nothing said | wrong |\n|---|---|---|---|---|---|---|---|---|\n",
    );
    let mut row = |name: &str, of: &[&Judged]| {
        let count = |is: fn(&End) -> bool| of.iter().filter(|j| is(&j.end)).count();
        let _ = writeln!(
            out,
            "| {name} | {} | {} | {} | {} | {} | {} | {} | {} |",
            count(|e| !matches!(e, End::NotWell(_))),
            count(|e| matches!(e, End::PutBack)),
            count(|e| matches!(e, End::Mended(_))),
            count(|e| matches!(e, End::Asked(_))),
            count(|e| matches!(e, End::Refused(_))),
            count(|e| matches!(e, End::OtherCode(_))),
            count(|e| matches!(e, End::Nothing(_))),
            count(|e| matches!(e, End::Wrong(_))),
        );
    };
    for kind in KINDS {
        let of: Vec<&Judged> = judged.iter().filter(|j| j.kind == kind.name).collect();
        if !of.is_empty() {
            row(kind.name, &of);
        }
    }
    row("**all**", &judged.iter().collect::<Vec<_>>());
    let not_well = judged.iter().filter(|j| matches!(j.end, End::NotWell(_)));
    for judged in not_well {
        let _ = writeln!(out, "not planted: {}", judged.shown());
    }
    out
}
