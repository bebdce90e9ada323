//! Where the reference material is, and trials that are visibly skipped without it.

use std::path::{Path, PathBuf};

use libtest_mimic::{Failed, Trial};

/// The shared folder.
pub(crate) fn root() -> PathBuf {
    let beside = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared");
    std::env::var_os("KUBEMEND_SHARED").map_or_else(beside, PathBuf::from)
}

/// A trial that needs one file or folder of the shared folder.
pub(crate) fn trial(
    name: &str,
    needs: &'static str,
    run: impl FnOnce(PathBuf) -> Result<(), Failed> + Send + 'static,
) -> Trial {
    let path = root().join(needs);
    if path.exists() {
        return Trial::test(name, move || run(path));
    }
    Trial::test(format!("{name} [missing: shared/{needs}]"), || Ok(())).with_ignored_flag(true)
}

/// The JSON objects of a `.jsonl` file.
pub(crate) fn lines(path: &Path) -> Vec<serde_json::Value> {
    let text = std::fs::read_to_string(path).unwrap();
    text.lines()
        .map(|l| serde_json::from_str(l).unwrap())
        .collect()
}

/// Fails with a list, if it is not empty.
pub(crate) fn none(what: &str, failures: &[String]) -> Result<(), Failed> {
    if failures.is_empty() {
        return Ok(());
    }
    let list = failures
        .iter()
        .take(40)
        .cloned()
        .collect::<Vec<_>>()
        .join("\n");
    Err(format!("{} {what}:\n{list}", failures.len()).into())
}
