//! The pull request that takes a merged fix back. Pure.

use std::fmt::Write as _;

use super::commit::{MAX_TITLE, cut, is_conventional};
use super::markdown::brief;
use super::plain::title as plain_title;
use super::pull_request::check_table;
use super::{code, prose};
use crate::revert::Proof;

/// The most files that are named.
const MAX_FILES: usize = 20;

/// The title.
pub fn title(fix: &str) -> String {
    let conventional = is_conventional(fix);
    let kind = if conventional { "revert" } else { "Revert" };
    let title = plain_title(&format!("{kind}: {fix}"));
    cut(title.trim_end_matches('.').to_owned(), MAX_TITLE)
}

/// The commit message.
pub fn commit(number: u64, fix: &str, fingerprint: &str, regressed: Option<&str>) -> String {
    let because = match regressed {
        None => "because a person asked for it",
        Some(_) => "because the cluster got worse with it",
    };
    format!(
        "{}\n\nTakes back pull request {number}, {because}.\n\nKubemend-Fingerprint: {fingerprint}\nKubemend-Reverts: {number}\n",
        title(fix)
    )
}

/// The body, without marker. `regressed` is what got worse.
pub fn body<'a>(
    number: u64,
    fix: &str,
    regressed: Option<&str>,
    files: impl Iterator<Item = &'a str>,
    proof: &Proof,
) -> String {
    let because = match regressed {
        None => format!("A person asked for it with {}.", code("/kubemend revert")),
        Some(what) => format!(
            "It was applied, and the cluster got worse: {}. The evidence is in the last comment of #{number}.",
            prose(what.trim_end_matches('.'))
        ),
    };
    let mut out = format!(
        "**Takes back #{number}: {}.**\n\n{because} Nothing but the change of that pull request is undone:\n\n",
        prose(fix).trim_end_matches('.'),
    );
    for file in files.take(MAX_FILES) {
        let _ = writeln!(out, "- {}", code(file));
    }
    if !proof.checks.is_empty() {
        let _ = write!(out, "\n{}", check_table(&proof.checks, brief));
    }
    if let Some(fault) = &proof.breaks {
        let _ = writeln!(
            out,
            "\n**With it, {}.** That was so before the fix, or is since: look before you merge.",
            prose(fault)
        );
    }
    out.push_str(
        "\nThe problem that it mended may come back when this is merged. While this is open or merged, kubemend does not propose the same \
         change again; its box on the dashboard allows it.\n",
    );
    out
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::locate::{Check, Status};

    #[test]
    fn the_texts_of_a_revert() {
        let fix = "raise the memory limit of Deployment shop/web, fixes #1 @alice";
        let files = || ["apps/web.yaml", "x`y.yaml"].into_iter();
        let why = "pod web-1, container web: CrashLoopBackOff @bob.";
        let unknown = Proof::default();
        let proof = Proof {
            checks: vec![Check {
                name: "documents".to_owned(),
                status: Status::Pass,
                detail: "apps/web.yaml: read again; nothing but 1 field differs".to_owned(),
            }],
            breaks: Some("Deployment shop/web names ConfigMap shop/old, which is gone".to_owned()),
        };
        let body = format!(
            "{}\n===\n{}\n===\n{}",
            body(12, fix, None, files(), &unknown),
            commit(12, fix, "aaaaaaaa1111", Some(why)),
            body(12, fix, Some(why), files(), &proof)
        );
        let all = format!(
            "{}\n===\n{}===\n{body}",
            title(fix),
            commit(12, fix, "aaaaaaaa1111", None)
        );
        insta::assert_snapshot!(all);
    }
}
