//! What the counterparts of GitHub need.

use std::path::{Path, PathBuf};
use std::process::Command;

/// What has to be installed.
#[derive(Debug, Clone)]
pub struct Assets {
    pub node: PathBuf,
    pub backend: PathBuf,
}

impl Assets {
    /// All of it, or what is missing.
    pub fn find() -> Result<Self, String> {
        Ok(Self {
            node: node()?,
            backend: backend()?,
        })
    }
}

/// `GITHUB_EMULATOR_NODE`, or what `tools/install-github-emulator` left where it installs by itself.
fn node() -> Result<PathBuf, String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    if !root.join("tools/node_modules/emulate").is_dir() {
        return Err("emulate, run tools/install-github-emulator".to_owned());
    }
    let given = std::env::var_os("GITHUB_EMULATOR_NODE").map(PathBuf::from);
    let own = root.join("target/tools/node/bin/node");
    given
        .or_else(|| own.is_file().then_some(own))
        .ok_or_else(|| "GITHUB_EMULATOR_NODE, run tools/install-github-emulator".to_owned())
}

fn backend() -> Result<PathBuf, String> {
    let answer = Command::new("git").arg("--exec-path").output();
    let folder = answer.map_err(|_| "git".to_owned())?.stdout;
    let program = Path::new(String::from_utf8_lossy(&folder).trim()).join("git-http-backend");
    program
        .is_file()
        .then_some(program)
        .ok_or_else(|| "git http-backend".to_owned())
}
