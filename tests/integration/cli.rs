//! The program as a person runs it.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// Runs the built program in an empty environment.
pub(crate) fn kubemend(args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kubemend"));
    command
        .args(args)
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default());
    command.output().unwrap()
}

pub(crate) fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// Unusable input: exit code 2, the file's name, nothing on standard output.
fn unusable(args: &[&str], wanted: &[&str]) {
    let output = kubemend(args);
    let message = stderr(&output);
    assert_eq!(output.status.code(), Some(2), "{args:?}: {message}");
    assert_eq!(stdout(&output), "", "{args:?}");
    for part in wanted {
        assert!(
            message.contains(part),
            "{args:?}: {message:?} lacks {part:?}"
        );
    }
}

struct Folder(tempfile::TempDir);

impl Folder {
    fn new(files: &[(&str, &[u8])]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        for (name, bytes) in files {
            let path = dir.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, bytes).unwrap();
        }
        Self(dir)
    }

    fn path(&self, name: &str) -> String {
        self.0.path().join(name).to_string_lossy().into_owned()
    }
}

const POD: &[u8] = b"apiVersion: v1\nkind: Pod\nmetadata: {name: a, namespace: shop}\n";

#[test]
fn unusable_dumps_name_file_and_reason() {
    let bomb: String = (0..40).fold("a0: &a0 [x]\n".to_owned(), |text, i| {
        let row = vec![format!("*a{i}"); 9].join(", ");
        text + &format!("a{}: &a{} [{row}]\n", i + 1, i + 1)
    });
    let keys: String = (0..2_000_000).map(|i| format!("k{i}: v\n")).collect();
    let folder = Folder::new(&[
        ("repo/a.yaml", POD),
        ("latin1.yaml", b"kind: Pod\nmetadata: {name: caf\xe9}\n"),
        ("broken.yaml", b"kind: Pod\n  name: [\n"),
        ("broken.json", b"{\"kind\":\n nope}"),
        ("bomb.yaml", bomb.as_bytes()),
        ("keys.yaml", keys.as_bytes()),
        ("deep.yaml", "[".repeat(100_000).as_bytes()),
    ]);
    let repo = folder.path("repo");
    for (name, wanted) in [
        ("missing.yaml", "missing.yaml"),
        ("latin1.yaml", "line 2: not UTF-8"),
        ("broken.yaml", "broken.yaml"),
        ("broken.json", "line 2"),
        ("bomb.yaml", "bomb.yaml"),
        ("keys.yaml", "keys.yaml"),
        ("deep.yaml", "deep.yaml"),
    ] {
        unusable(
            &["fix", "--repo", &repo, "--snapshot", &folder.path(name)],
            &[wanted],
        );
    }
}

#[test]
fn an_unusable_repository_stops_before_anything_is_read() {
    let folder = Folder::new(&[("dump.yaml", POD), ("repo/a.yaml", POD)]);
    let dump = folder.path("dump.yaml");
    unusable(
        &["fix", "--repo", &folder.path("none"), "--snapshot", &dump],
        &["none"],
    );
    std::os::unix::fs::symlink(
        "/etc/hostname",
        Path::new(&folder.path("repo")).join("evil.yaml"),
    )
    .unwrap();
    unusable(
        &["fix", "--repo", &folder.path("repo"), "--snapshot", &dump],
        &["evil.yaml", "leaves the repository"],
    );
}

#[test]
fn wrong_usage_and_configuration_exit_with_2() {
    let folder = Folder::new(&[
        ("dump.yaml", POD),
        ("repo/a.yaml", POD),
        ("bad.yaml", b"raise_memroy: false\n"),
        ("evil/.kubemend.yaml", b"renderer: ./run-me\n"),
        ("trigger.yaml", b"time: yesterday\ntext: broken\n"),
    ]);
    let (dump, repo) = (folder.path("dump.yaml"), folder.path("repo"));
    unusable(
        &["config", "check", &folder.path("bad.yaml")],
        &["bad.yaml", "raise_memroy"],
    );
    unusable(
        &["fix", "--repo", &folder.path("evil"), "--snapshot", &dump],
        &[".kubemend.yaml", "--config"],
    );
    unusable(
        &[
            "fix",
            "--repo",
            &repo,
            "--snapshot",
            &dump,
            "--trigger",
            &folder.path("trigger.yaml"),
        ],
        &["trigger.yaml", "RFC 3339"],
    );
    unusable(
        &["fix", "--repo", &repo, "--snapshot", &dump, "--commit"],
        &["not a Git repository"],
    );
    unusable(&["explain", "NoSuchCode"], &["NoSuchCode"]);
    unusable(
        &["locate", "web", "--field", "spec", "--repo", &repo],
        &["KIND/NAME"],
    );
}

#[test]
fn a_healthy_cluster_is_none_with_exit_0() {
    let folder = Folder::new(&[("dump.yaml", POD), ("repo/a.yaml", POD)]);
    let output = kubemend(&[
        "fix",
        "--repo",
        &folder.path("repo"),
        "--snapshot",
        &folder.path("dump.yaml"),
        "--output",
        "json",
    ]);
    assert_eq!(output.status.code(), Some(0));
    let report: serde_json::Value = serde_json::from_str(&stdout(&output)).unwrap();
    assert_eq!(report["outcome"], "none");
    assert_eq!(report["results"], serde_json::json!([]));
}

#[test]
fn what_is_left_out_is_said() {
    let text: &[u8] =
        b"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: {a: \"\xff\"}\n";
    let folder = Folder::new(&[("repo/a.yaml", text)]);
    let output = kubemend(&["scan", "--repo", &folder.path("repo")]);
    assert_eq!(stderr(&output), "note: a.yaml: not UTF-8 text\n");
    git2::Repository::init(folder.path("repo")).unwrap();
    let output = kubemend(&["scan", "--repo", &folder.path("repo")]);
    assert!(stderr(&output).contains("has no commit yet"), "{output:?}");
}

/// Outside a workflow there is no event, and that is not success.
#[test]
fn the_action_outside_a_workflow_is_an_error() {
    let output = kubemend(&["action"]);
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    let told = stdout(&output) + &stderr(&output);
    assert!(told.contains("GITHUB_EVENT_NAME is not set"), "{told}");
}

#[test]
fn every_code_explains_itself() {
    let output = kubemend(&["explain"]);
    insta::assert_snapshot!("explain", stdout(&output));
    let one = kubemend(&["explain", "sharedbase"]);
    assert!(stdout(&one).starts_with("SharedBase\n"), "{}", stdout(&one));
    let row = kubemend(&["explain", "OOMKilled"]);
    assert!(stdout(&row).contains("1.25 to 2 times"), "{}", stdout(&row));
    for (number, told) in [("d07", "D07\n"), ("A13", "A01-A21\n"), ("km101", "KM101 ")] {
        let rule = kubemend(&["explain", number]);
        assert!(stdout(&rule).starts_with(told), "{}", stdout(&rule));
    }
}

/// Whatever rule a refusal, a notice or an option names, `explain` knows it.
#[test]
fn every_rule_that_a_text_names_explains_itself() {
    let number = "[A-L][0-9]{2}(?:-[A-L][0-9]{2})?";
    let quoted = regex::Regex::new(&format!("\"({number})\"")).unwrap();
    let named = regex::Regex::new(&format!("[Rr]ules? ((?:{number}(?:, | and )?)+)")).unwrap();
    let number = regex::Regex::new(number).unwrap();
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let files = walkdir(&src)
        .into_iter()
        .filter(|f| !f.ends_with("tests.rs"));
    let (mut seen, mut unknown) = (0, Vec::new());
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap();
        let quoted = quoted.captures_iter(&text).map(|c| c[1].to_owned());
        let named = named.captures_iter(&text).flat_map(|c| {
            let all = number.find_iter(c.get(1).unwrap().as_str());
            all.map(|m| m.as_str().to_owned()).collect::<Vec<_>>()
        });
        for id in quoted.chain(named) {
            seen += 1;
            if kubemend::meaning::of(&id).is_none() {
                unknown.push(format!("{id} in {}", file.display()));
            }
        }
    }
    assert!(seen > 150, "{seen}");
    assert_eq!(unknown, [""; 0]);
}

fn walkdir(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder)
        .unwrap()
        .map(|e| e.unwrap().path());
    entries
        .flat_map(|path| match path.is_dir() {
            true => walkdir(&path),
            false => vec![path],
        })
        .filter(|path| path.extension().is_some_and(|e| e == "rs"))
        .collect()
}

#[test]
fn completions_and_help_are_there() {
    assert!(stdout(&kubemend(&["completions", "bash"])).contains("kubemend"));
    insta::assert_snapshot!("help", stdout(&kubemend(&["--help"])));
    insta::assert_snapshot!("help_fix", stdout(&kubemend(&["fix", "--help"])));
}
