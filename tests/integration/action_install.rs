//! The first step of action.yml, as bash runs it: the right file is taken, every other one refused,
//! and nothing that an input holds is run. Scorecard row 64.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use sha2::{Digest as _, Sha256};

const ARCHIVE: &str = "kubemend-v1.2.3-x86_64-unknown-linux-musl.tar.gz";

/// The script of a step of action.yml, which must interpolate nothing.
fn script(step: usize) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("action.yml");
    let text = std::fs::read_to_string(path).unwrap();
    let action = kubemend::manifest::read_value(&text).unwrap();
    let step = &action["runs"]["steps"][step];
    assert_eq!(step["shell"], "bash");
    let script = step["run"].as_str().unwrap().to_owned();
    assert!(!script.contains("${{"), "{script}");
    script
}

/// A runner with an action repository and a release on disk.
struct Runner {
    dir: tempfile::TempDir,
    env: Vec<(String, String)>,
}

impl Runner {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name).to_string_lossy().into_owned();
        for folder in ["temp", "action", "work", "releases/v1.2.3", "bin"] {
            std::fs::create_dir_all(dir.path().join(folder)).unwrap();
        }
        let env = [
            ("RUNNER_TEMP", path("temp")),
            ("RUNNER_OS", "Linux".to_owned()),
            ("RUNNER_ARCH", "X64".to_owned()),
            ("KUBEMEND_ACTION_PATH", path("action")),
            ("KUBEMEND_ACTION_REF", "v1".to_owned()),
            ("KUBEMEND_ACTION_REPOSITORY", "kubemend/kubemend".to_owned()),
            (
                "KUBEMEND_RELEASES_URL",
                format!("file://{}", path("releases")),
            ),
            ("KUBEMEND_BINARY", String::new()),
            ("KUBEMEND_VERSION", String::new()),
            ("KUBEMEND_ATTESTATION", "true".to_owned()),
            ("GH_TOKEN", String::new()),
        ];
        let env = env.map(|(k, v)| (k.to_owned(), v)).to_vec();
        Self { dir, env }
    }

    /// With a release whose binary says what it is, and its checksum.
    fn released() -> Self {
        let runner = Self::new();
        let archive = runner.pack("#!/bin/sh\necho released\n");
        let sum = hex(&std::fs::read(archive).unwrap());
        runner.checksums(&format!("{sum}  {ARCHIVE}\n"));
        runner
    }

    fn at(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn pack(&self, program: &str) -> PathBuf {
        executable(&self.at("bin/kubemend"), program);
        let archive = self.at("releases/v1.2.3").join(ARCHIVE);
        let tar = Command::new("tar")
            .arg("-czf")
            .arg(&archive)
            .arg("-C")
            .arg(self.at("bin"))
            .arg("kubemend")
            .status();
        assert!(tar.unwrap().success());
        archive
    }

    fn checksums(&self, text: &str) {
        std::fs::write(self.at("action/checksums.txt"), text).unwrap();
    }

    fn set(&mut self, name: &str, value: &str) -> &mut Self {
        self.env.retain(|(k, _)| k != name);
        self.env.push((name.to_owned(), value.to_owned()));
        self
    }

    fn step(&self, step: usize) -> Output {
        let path = std::env::var("PATH").unwrap();
        Command::new("bash")
            .args(["--noprofile", "--norc", "-c", &script(step)])
            .current_dir(self.at("work"))
            .env_clear()
            .env("PATH", format!("{}:{path}", self.at("path").display()))
            .envs(self.env.iter().cloned())
            .output()
            .unwrap()
    }

    /// The install step fails with this exit code and words, and leaves nothing to run.
    fn refuses(&self, code: i32, words: &str) {
        let output = self.step(0);
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert_eq!(output.status.code(), Some(code), "{output:?}");
        assert!(
            text.contains("::error title=kubemend::") && text.contains(words),
            "{output:?}"
        );
        assert!(
            !self.at("temp/kubemend-action/kubemend").exists(),
            "{words}"
        );
    }
}

fn executable(path: &Path, text: &str) {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, text).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
}

fn hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes)
        .iter()
        .map(|b| format!("{b:02x}"))
        .collect()
}

#[test]
fn a_release_with_its_checksum_is_installed_and_run() {
    let mut runner = Runner::released();
    for reference in [
        "v1",
        "v1.2.3",
        "0123456789012345678901234567890123456789",
        "",
    ] {
        let output = runner.set("KUBEMEND_ACTION_REF", reference).step(0);
        assert!(output.status.success(), "{reference}: {output:?}");
    }
    let run = runner.step(1);
    assert_eq!(
        String::from_utf8_lossy(&run.stdout),
        "released\n",
        "{run:?}"
    );
}

#[test]
fn another_file_is_refused() {
    let runner = Runner::released();
    runner.pack("#!/bin/sh\necho evil\n");
    runner.refuses(2, "does not have the checksum");
}

#[test]
fn a_missing_file_is_infrastructure() {
    let runner = Runner::released();
    std::fs::remove_file(runner.at("releases/v1.2.3").join(ARCHIVE)).unwrap();
    runner.refuses(3, "could not be downloaded");
}

#[test]
fn a_checkout_without_a_release_says_so() {
    let runner = Runner::released();
    for text in [
        "# no release yet\n",
        "",
        "abc  kubemend-v1.2.3-x86_64-unknown-linux-musl.tar.gz\n",
        &format!(
            "{}  ../kubemend-v1.2.3-x86_64-unknown-linux-musl.tar.gz\n",
            "a".repeat(64)
        ),
        &format!(
            "{}  kubemend-v1.2.3-aarch64-unknown-linux-musl.tar.gz\n",
            "a".repeat(64)
        ),
    ] {
        runner.checksums(text);
        runner.refuses(2, "there is no release of this ref");
    }
    std::fs::remove_file(runner.at("action/checksums.txt")).unwrap();
    runner.refuses(2, "there is no release of this ref");
    let line = format!("{}  {ARCHIVE}\n", "a".repeat(64));
    runner.checksums(&line.repeat(2));
    runner.refuses(2, "several releases");
}

#[test]
fn other_releases_and_runners_are_refused() {
    let mut runner = Runner::released();
    runner
        .set("KUBEMEND_VERSION", "v1.2.4")
        .refuses(2, "not the release");
    runner.set("KUBEMEND_VERSION", "v1.2.3");
    assert!(runner.step(0).status.success());
    runner
        .set("KUBEMEND_ACTION_REF", "v1.2.4")
        .refuses(2, "different releases");
    runner
        .set("RUNNER_OS", "Windows")
        .refuses(2, "no release for this runner");
    runner
        .set("RUNNER_OS", "Linux")
        .set("RUNNER_ARCH", "ARM")
        .refuses(2, "no release for this runner");
}

#[test]
fn the_provenance_is_verified_where_gh_is_there() {
    let mut runner = Runner::released();
    executable(
        &runner.at("path/gh"),
        "#!/bin/sh\necho \"$@\" >> gh.log\nexit \"$(cat gh.code)\"\n",
    );
    let log = || std::fs::read_to_string(runner.at("work/gh.log")).unwrap_or_default();
    std::fs::write(runner.at("work/gh.code"), "0").unwrap();
    assert!(runner.step(0).status.success());
    assert_eq!(log(), "", "without a token gh cannot ask");
    runner.set("GH_TOKEN", "x");
    assert!(runner.step(0).status.success());
    let called = std::fs::read_to_string(runner.at("work/gh.log")).unwrap();
    assert!(
        called.starts_with("attestation verify ") && called.ends_with("--repo kubemend/kubemend\n"),
        "{called}"
    );
    std::fs::write(runner.at("work/gh.code"), "1").unwrap();
    let refused = runner.step(0);
    assert_eq!(refused.status.code(), Some(2), "{refused:?}");
    runner.set("KUBEMEND_ATTESTATION", "false");
    assert!(runner.step(0).status.success());
}

#[test]
fn a_local_binary_is_used_as_it_is() {
    let mut runner = Runner::new();
    let odd = runner.at("work/my $(touch pwned) 'build'\n");
    executable(&odd, "#!/bin/sh\necho \"local $*\"\n");
    runner.set("KUBEMEND_BINARY", odd.to_str().unwrap());
    assert!(runner.step(0).status.success());
    let run = runner.step(1);
    assert_eq!(
        String::from_utf8_lossy(&run.stdout),
        "local --color never action\n"
    );
    assert!(!runner.at("work/pwned").exists());
    runner
        .set("KUBEMEND_BINARY", "none")
        .refuses(2, "names no file that can be run");
}

/// What people (or whoever they paste from) can put into an input is never run and forges no
/// workflow command.
#[test]
fn hostile_inputs_are_only_text() {
    let hostile = [
        "$(touch pwned)",
        "`touch pwned`",
        "'; touch pwned; '",
        "\"; touch pwned; \"",
        "a\ntouch pwned\n",
        "x\n::set-output name=y::z",
        "--help",
        "../../../etc",
        "v1.2.3 || touch pwned",
        "[[ $(touch pwned) ]]",
        "a[$(touch pwned)]",
    ];
    let inputs = [
        "KUBEMEND_BINARY",
        "KUBEMEND_VERSION",
        "KUBEMEND_ATTESTATION",
        "KUBEMEND_ACTION_REF",
        "KUBEMEND_ACTION_REPOSITORY",
        "GH_TOKEN",
        "RUNNER_ARCH",
        "KUBEMEND_MODE",
        "KUBEMEND_PATHS",
        "KUBEMEND_REPORT",
        "KUBEMEND_FAIL_ON",
        "OPENAI_API_KEY",
    ];
    for input in inputs {
        for text in hostile {
            let mut runner = Runner::released();
            runner.set(input, text);
            for step in [0, 1] {
                let output = runner.step(step);
                let log = String::from_utf8_lossy(&output.stdout).into_owned();
                assert!(!log.contains("::set-output"), "{input}: {log}");
            }
            let inside: Vec<_> = std::fs::read_dir(runner.at("work")).unwrap().collect();
            assert!(inside.is_empty(), "{input}={text:?}: {inside:?}");
        }
    }
}
