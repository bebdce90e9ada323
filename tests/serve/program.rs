//! `kubemend serve` as a process, between the tests' GitHub and a Git server: the whole way from a
//! broken repository to pull requests and answers, with SIGTERM and SIGKILL in between.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::Ordering;

use jiff::{SignedDuration, Timestamp};
use libtest_mimic::Trial;
use opentelemetry_proto::tonic::trace::v1::Span;
use serde_json::{Value, json};

use crate::collector::{Collector, spans};
use crate::git_server::{self, GitServer, git};
use crate::serve_stub::{Client, SECRET, head, sign};
use crate::support::github::{APP_ID, APP_KEY, GitHub, INSTALLATION, MACHINE_TOKEN, Moment, Seed};
use crate::support::program::Program;
use crate::trial;

const PROGRAM: &str = env!("CARGO_BIN_EXE_kubemend");

pub(crate) fn trials() -> Vec<Trial> {
    let missing = git_server::missing();
    let all: [(&str, fn()); 9] = [
        (
            "a_hundred_fixes_take_one_clone",
            a_hundred_fixes_take_one_clone,
        ),
        (
            "it_opens_pull_requests_and_answers",
            it_opens_pull_requests_and_answers,
        ),
        (
            "a_trace_holds_the_phases_of_a_pass",
            a_trace_holds_the_phases_of_a_pass,
        ),
        (
            "killed_at_any_request_it_converges",
            killed_at_any_request_it_converges,
        ),
        (
            "killed_in_the_pass_of_a_delivery_it_answers_once",
            killed_in_the_pass_of_a_delivery_it_answers_once,
        ),
        (
            "an_app_finds_its_repositories",
            an_app_finds_its_repositories,
        ),
        (
            "a_lost_delivery_is_asked_for_once",
            a_lost_delivery_is_asked_for_once,
        ),
        (
            "a_broken_configuration_is_shown_once",
            a_broken_configuration_is_shown_once,
        ),
        (
            "what_is_missing_is_told_at_once",
            what_is_missing_is_told_at_once,
        ),
    ];
    all.into_iter()
        .map(|(name, test)| trial(name, missing, test))
        .collect()
}

/// The sample of `kubemend demo` on GitHub, and its cluster's dump.
pub(crate) struct Stage {
    pub(crate) runtime: tokio::runtime::Runtime,
    pub(crate) github: GitHub,
    git: GitServer,
    folder: tempfile::TempDir,
}

impl Stage {
    fn new() -> Self {
        Self::with(|_| {})
    }

    /// With other files in the repository.
    pub(crate) fn with(change: impl FnOnce(&std::path::Path)) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        let folder = tempfile::tempdir().unwrap();
        let demo = folder.path().join("demo");
        let made = Command::new(PROGRAM)
            .args(["demo", "--keep"])
            .arg(&demo)
            .output()
            .unwrap();
        assert!(made.status.success());
        std::fs::remove_dir_all(demo.join("repo/.git")).unwrap();
        change(&demo.join("repo"));
        let seed = Seed::new("acme/shop").folder(&demo.join("repo"));
        let github = runtime.block_on(GitHub::start(seed));
        let git_server = runtime.block_on(GitServer::start());
        let bare = git_server.root.path().join("acme/shop.git");
        git(
            git_server.root.path(),
            &["init", "-q", "--bare", "-b", "main", bare.to_str().unwrap()],
        );
        github.export(&bare, "main");
        git_server.state.any_token.store(true, Ordering::SeqCst);
        Self {
            runtime,
            github,
            git: git_server,
            folder,
        }
    }

    /// With the dump of the sample's cluster.
    fn command(&self) -> Command {
        let mut command = self.without_cluster();
        command
            .arg("--snapshot")
            .arg(self.folder.path().join("demo/cluster"));
        command
    }

    pub(crate) fn without_cluster(&self) -> Command {
        self.sweeping("24h")
    }

    pub(crate) fn sweeping(&self, every: &str) -> Command {
        let mut command = Command::new(PROGRAM);
        command.env_clear();
        command.env("PATH", std::env::var_os("PATH").unwrap());
        command.env("GITHUB_API_URL", self.github.url());
        command.env("GITHUB_SERVER_URL", &self.git.url);
        command.env("KUBEMEND_CACHE", self.folder.path().join("cache"));
        command.env("KUBEMEND_MARKER_KEY", "a key for the markers of tests");
        command.args([
            "serve",
            "--listen",
            "127.0.0.1:0",
            "--log-format",
            "json",
            "--sweep",
            every,
        ]);
        command
    }

    /// As the App instead of the machine user.
    fn as_app(&self, command: &mut Command) {
        let key = self.folder.path().join("app.pem");
        std::fs::write(&key, APP_KEY).unwrap();
        command.env("KUBEMEND_APP_ID", APP_ID.to_string());
        command.env("KUBEMEND_APP_KEY_FILE", &key);
    }

    fn start(&self) -> Program {
        self.start_with(self.command())
    }

    pub(crate) fn start_with(&self, mut command: Command) -> Program {
        command.env("GITHUB_TOKEN", MACHINE_TOKEN);
        command.env("KUBEMEND_WEBHOOK_SECRET", SECRET);
        command.args(["--github-repo", "acme/shop"]);
        Program::start(&mut command)
    }

    /// GitHub tells about a comment.
    fn deliver(&self, address: SocketAddr, id: &str) {
        let facts = async { self.github.client().facts().await };
        let repository = self.runtime.block_on(facts).unwrap().id;
        let repository =
            json!({"id": repository, "full_name": "acme/shop", "default_branch": "main"});
        let sender = json!({"id": 7, "type": "User"});
        let body = json!({"action": "created", "repository": repository, "sender": sender});
        let body = body.to_string();
        let signature = sign(SECRET, body.as_bytes());
        let head = head("issue_comment", id, &signature, body.len());
        // queued, or merged into the job whose pass was just logged
        let (status, _) = Client::new(address).send(&head, body.as_bytes()).unwrap();
        assert_eq!(status, 202);
    }

    /// What kubemend said in a conversation.
    fn answers(&self, number: u64) -> Vec<String> {
        let all = self.github.comments(number).into_iter();
        all.filter(|(who, _)| who == "kubemend-bot")
            .map(|(_, text)| text)
            .collect()
    }

    /// Branches of open pull requests; none twice.
    fn branches(&self) -> BTreeSet<String> {
        let pulls = self.github.open_pulls();
        let branches: Vec<String> = pulls
            .into_iter()
            .map(|p| p.pull.unwrap().head_ref)
            .collect();
        let once: BTreeSet<String> = branches.iter().cloned().collect();
        assert_eq!(
            once.len(),
            branches.len(),
            "one pull request for a finding: {branches:?}"
        );
        once
    }
}

/// Rows 57, 65, 66.
fn it_opens_pull_requests_and_answers() {
    let stage = Stage::new();
    let mut program = stage.start();
    let address = program.address();
    let pass = program.until("pass");
    assert_eq!(pass["outcome"], "done", "{pass}");
    let branches = stage.branches();
    assert!(!branches.is_empty());
    assert_eq!(pass["pulls"], branches.len(), "{pass}");
    let beside = beside(&stage);
    assert!(!beside.contains("open a pull request"), "{beside}");
    for pull in stage.github.open_pulls() {
        assert!(beside.contains(&format!("#{}", pull.number)), "{beside}");
    }

    let number = stage.github.open_pulls()[0].number;
    stage
        .github
        .human("alice")
        .comment(number, "/kubemend status");
    stage.deliver(address, "e-1");
    program.until("delivery");
    let pass = program.until("pass");
    assert_eq!(
        (&pass["outcome"], &pass["answered"]),
        (&json!("done"), &json!(1)),
        "{pass}"
    );
    assert_eq!(stage.branches(), branches);
    let answers = stage.answers(number);
    assert_eq!(answers.len(), 1, "{answers:?}");

    let (_, metrics) = Client::new(address)
        .send("GET /metrics HTTP/1.1\r\nhost: x\r\n\r\n", b"")
        .unwrap();
    let metrics = String::from_utf8(metrics).unwrap();
    let opened = format!(
        "kubemend_pull_requests_total{{operation=\"created\"}} {}\n",
        branches.len()
    );
    for expected in [
        &opened,
        "kubemend_commands_answered_total 1\n",
        "kubemend_passes_total{outcome=\"done\"} 2\n",
    ] {
        assert!(metrics.contains(expected), "{expected}\n{metrics}");
    }

    program.signal(rustix::process::Signal::TERM);
    program.until("stopped");
    assert!(program.child.wait().unwrap().success());
    let log = format!("{:?}", program.log);
    for secret in [SECRET, MACHINE_TOKEN, "a key for the markers"] {
        assert!(!log.contains(secret), "{log}");
    }
}

/// Row 65: a pass that opens pull requests, as a collector sees it: every phase once or more, each in
/// the pass, and none that this pass did not come to.
fn a_trace_holds_the_phases_of_a_pass() {
    let (stage, collector) = (Stage::new(), Collector::start());
    let mut command = stage.command();
    command.args(["--otlp-endpoint", &collector.endpoint()]);
    let mut program = stage.start_with(command);
    assert_eq!(program.until("pass")["outcome"], "done");
    assert!(!stage.branches().is_empty());
    program.signal(rustix::process::Signal::TERM);
    program.until("stopped");
    assert!(program.child.wait().unwrap().success());

    let requests = collector.requests();
    let spans = spans(&requests);
    let passes: Vec<&&Span> = spans.iter().filter(|s| s.name == "pass").collect();
    let [pass] = passes[..] else {
        panic!("{spans:#?}");
    };
    let known: BTreeSet<&[u8]> = spans.iter().map(|s| s.span_id.as_slice()).collect();
    for span in spans.iter().filter(|s| s.name != "pass") {
        assert_eq!(span.trace_id, pass.trace_id, "{span:#?}");
        assert!(known.contains(span.parent_span_id.as_slice()), "{span:#?}");
    }
    let names: BTreeSet<&str> = spans.iter().map(|s| s.name.as_str()).collect();
    let expected = [
        "detect", "edit", "gather", "locate", "lock", "open", "pass", "propose", "prove", "read",
    ];
    assert_eq!(names, BTreeSet::from(expected));
}

/// What `kubemend fix --open` would do beside it, in a clone from elsewhere.
fn beside(stage: &Stage) -> String {
    let clone: PathBuf = stage.folder.path().join("clone");
    let bare = stage.git.root.path().join("acme/shop.git");
    git(
        stage.folder.path(),
        &["clone", "-q", bare.to_str().unwrap(), "clone"],
    );
    let elsewhere = "ssh://git@ssh.example:2222/Acme/Shop.git";
    git(&clone, &["remote", "set-url", "origin", elsewhere]);
    let fixed = Command::new(PROGRAM)
        .args(["fix", "--open", "--dry-run", "--github-repo", "acme/shop"])
        .args(["--github-api-url", &stage.github.url(), "--repo"])
        .arg(&clone)
        .arg("--snapshot")
        .arg(stage.folder.path().join("demo/cluster"))
        .env("GITHUB_TOKEN", MACHINE_TOKEN)
        .env("KUBEMEND_MARKER_KEY", "a key for the markers of tests")
        .output()
        .unwrap();
    String::from_utf8(fixed.stdout).unwrap() + &String::from_utf8(fixed.stderr).unwrap()
}

/// Rows 57 and 66: SIGKILL while a request is under way; the next start ends as if nothing had been.
fn killed_at_any_request_it_converges() {
    kills(7);
}

/// So many kills of a process in its first pass, spread over its requests, in turn before and after they
/// take effect. `cargo test --test serve -- kills N` makes as many as one likes.
pub(crate) fn kills(number: usize) {
    let whole = Stage::new();
    let mut program = whole.start();
    program.until("pass");
    let expected = whole.branches();
    let requests = whole.github.journal().len();
    program.kill();
    for n in 0..number {
        let at = 1 + n * (requests - 1) / number;
        let moment = [Moment::Before, Moment::After][n % 2];
        let what = format!("killed {moment:?} request {at} of {requests}");
        let stage = Stage::new();
        let told = stage.github.world().faults.kill_at(at, moment);
        let program = stage.start();
        stage.runtime.block_on(told.notified());
        program.kill();
        stage.github.world().faults.revive();
        let mut again = stage.start();
        let pass = again.until("pass");
        assert_eq!(pass["outcome"], "done", "{what}: {pass}");
        assert_eq!(stage.branches(), expected, "{what}");
        assert_eq!(stage.github.pulls().len(), expected.len(), "{what}");
    }
    println!(
        "{number} kills at {requests} requests: each time the next start came to the same end"
    );
}

/// Row 57: SIGKILL in the pass that a delivery started. The delivery is lost, the command is not.
fn killed_in_the_pass_of_a_delivery_it_answers_once() {
    let asked = |stage: &Stage, program: &mut Program| {
        let address = program.address();
        assert_eq!(program.until("pass")["outcome"], "done");
        let number = stage.github.open_pulls()[0].number;
        let alice = stage.github.human("alice");
        alice.comment(number, "/kubemend explain");
        (address, number)
    };
    let whole = Stage::new();
    let mut program = whole.start();
    let (address, number) = asked(&whole, &mut program);
    let before = whole.github.journal().len();
    whole.deliver(address, "e-1");
    assert_eq!(program.until("pass")["answered"], 1);
    let requests = whole.github.journal().len() - before;
    let (expected, branches) = (whole.answers(number), whole.branches());
    assert_eq!(expected.len(), 1, "{expected:?}");
    program.kill();

    // the answer is among the last requests
    for (back, moment) in [
        (0, Moment::After),
        (1, Moment::Before),
        (1, Moment::After),
        (2, Moment::After),
    ] {
        let at = requests - back;
        let what = format!("killed {moment:?} request {at} of {requests}");
        let stage = Stage::new();
        let mut program = stage.start();
        let (address, number) = asked(&stage, &mut program);
        let told = stage.github.world().faults.kill_at(at, moment);
        stage.deliver(address, "e-1");
        stage.runtime.block_on(told.notified());
        program.kill();
        stage.github.world().faults.revive();
        let mut again = stage.start();
        assert_eq!(again.until("pass")["outcome"], "done", "{what}");
        assert_eq!(stage.answers(number).len(), 1, "{what}");
        assert_eq!(stage.branches(), branches, "{what}");
        assert_eq!(stage.github.pulls().len(), branches.len(), "{what}");
    }
}

fn an_app_finds_its_repositories() {
    let stage = Stage::new();
    stage.github.world().state.deliveries = vec![delivery(1, "e-lost", 5, 502)];
    let mut command = stage.command();
    stage.as_app(&mut command);
    command.args(["--poll", "1h", "--dry-run"]);
    let mut program = Program::start(&mut command);
    let address = program.address();
    assert_eq!(program.until("repositories read")["repositories"], 1);
    let pass = program.until("pass");
    assert_eq!(
        (&pass["outcome"], &pass["repository"]),
        (&json!("done"), &json!("acme/shop")),
        "{pass}"
    );
    // it looks only, with tokens that could do nothing else
    stage.github.assert_no_writes();
    let mut tokens = stage.github.journal();
    tokens.retain(|e| e.route.contains("access_tokens"));
    assert!(!tokens.is_empty());
    for asked in &tokens {
        let levels = asked.body["permissions"].as_object().unwrap();
        assert!(levels.contains_key("contents"), "{asked:?}");
        assert!(levels.values().all(|level| level == "read"), "{asked:?}");
    }
    let head = head("push", "e-1", &sign(SECRET, b"{}"), 2);
    assert_eq!(
        Client::new(address).send(&head, b"{}").unwrap().0,
        404,
        "no webhook"
    );
}

/// A delivery of an App, as GitHub lists it.
fn delivery(id: u64, guid: &str, minutes_ago: i64, status: u16) -> Value {
    let at = Timestamp::now() - SignedDuration::from_mins(minutes_ago);
    json!({
        "id": id, "guid": guid, "delivered_at": at, "redelivery": false, "duration": 0.1,
        "status": "", "status_code": status, "event": "issue_comment", "action": "created",
        "installation_id": INSTALLATION, "repository_id": 1, "throttled_at": null,
    })
}

/// Row 57: what did not arrive is asked for when the server comes back, and not again by the next
/// sweeps; neither what arrived at another try, nor what is no news any more.
fn a_lost_delivery_is_asked_for_once() {
    let stage = Stage::new();
    stage.github.world().state.deliveries = vec![
        delivery(5, "e-lost", 5, 502),
        delivery(4, "e-late", 6, 202),
        delivery(3, "e-late", 7, 502),
        delivery(2, "e-well", 8, 202),
        delivery(1, "e-old", 180, 502),
    ];
    let mut command = stage.sweeping("1s");
    stage.as_app(&mut command);
    command.env("KUBEMEND_WEBHOOK_SECRET", SECRET);
    let mut program = Program::start(&mut command);
    let address = program.address();
    let asked = program.until("failed deliveries asked for again");
    assert_eq!(asked["deliveries"], 1, "{asked}");
    stage.deliver(address, "e-lost");
    assert_eq!(program.until("delivery")["delivery"], "e-lost");
    let looked = || stage.github.count("GET", "/app/hook/deliveries");
    while looked() < 4 {
        program.until("repositories read");
    }
    let mut attempts = stage.github.journal();
    attempts.retain(|e| e.route.ends_with("/attempts"));
    let attempts: Vec<(&str, Option<u16>)> = attempts
        .iter()
        .map(|e| (e.path.as_str(), e.status))
        .collect();
    assert_eq!(attempts, [("/app/hook/deliveries/5/attempts", Some(202))]);
}

/// Row 36: a pass reads the repository once, however much it finds; and not again when it finds the
/// same.
fn a_hundred_fixes_take_one_clone() {
    let stage = Stage::with(|repo| {
        let config = "pull_requests:\n  max_open_prs: 100\n  hard_cap: 100\n  \
            max_open_per_namespace: 100\n  max_prs_per_hour: 100\n";
        std::fs::remove_dir_all(repo).unwrap();
        for folder in ["apps", ".github"] {
            std::fs::create_dir_all(repo.join(folder)).unwrap();
        }
        std::fs::write(repo.join(".github/kubemend.yaml"), config).unwrap();
        for n in 0..100 {
            let job = format!(
                "apiVersion: batch/v1beta1\nkind: CronJob\nmetadata:\n  name: job-{n}\n  namespace: shop\n\
                spec:\n  schedule: \"0 3 * * *\"\n  jobTemplate:\n    spec:\n      template:\n        spec:\n          \
                restartPolicy: Never\n          containers:\n            - name: job\n              image: registry.example/job:1.0.0\n"
            );
            std::fs::write(repo.join(format!("apps/job-{n}.yaml")), job).unwrap();
        }
    });
    let mut program = stage.start_with(stage.without_cluster());
    let address = program.address();
    let pass = program.until("pass");
    assert_eq!(
        (&pass["outcome"], &pass["pulls"]),
        (&json!("done"), &json!(100)),
        "{pass}"
    );
    let branches = stage.branches();
    assert_eq!(branches.len(), 100);
    let read = |stage: &Stage| stage.git.state.requests.load(Ordering::SeqCst);
    let few = Stage::new();
    few.start().until("pass");
    assert!(few.branches().len() < 10);
    let clone = read(&few);
    assert_eq!(read(&stage), clone, "one clone");
    let writes = stage.github.writes().len();
    stage.deliver(address, "e-1");
    let pass = program.until("pass");
    assert_eq!(pass["outcome"], "done", "{pass}");
    assert_eq!(
        (stage.branches(), stage.github.writes().len()),
        (branches, writes)
    );
    assert!(read(&stage) - clone < clone, "no second one");
}

/// People read the dashboard, not the log; and a pass that finds the same writes nothing.
fn a_broken_configuration_is_shown_once() {
    let stage = Stage::with(|repo| {
        std::fs::create_dir_all(repo.join(".github")).unwrap();
        let broken = "pull_requests:\n  max_open_pr: 3\n";
        std::fs::write(repo.join(".github/kubemend.yaml"), broken).unwrap();
    });
    let mut program = stage.start();
    let address = program.address();
    let pass = program.until("pass");
    assert_eq!(pass["outcome"], "failed", "{pass}");
    let issues = stage.github.issues();
    assert_eq!(issues.len(), 1, "{issues:?}");
    assert!(issues[0].body.contains("max_open_pr"), "{issues:?}");
    assert!(stage.branches().is_empty());
    stage.github.forget();
    stage.deliver(address, "e-1");
    program.until("pass");
    stage.github.assert_no_writes();
}

fn what_is_missing_is_told_at_once() {
    let stage = Stage::new();
    let table: [(&[(&str, &str)], &[&str], &str); 5] = [
        (
            &[("GITHUB_TOKEN", "x")],
            &["--github-repo", "acme/shop"],
            "KUBEMEND_WEBHOOK_SECRET",
        ),
        (
            &[("GITHUB_TOKEN", "x"), ("KUBEMEND_WEBHOOK_SECRET", "short")],
            &["--github-repo", "acme/shop"],
            "fewer than 16",
        ),
        (
            &[("KUBEMEND_WEBHOOK_SECRET", SECRET)],
            &["--github-repo", "acme/shop"],
            "GITHUB_TOKEN",
        ),
        (
            &[("KUBEMEND_WEBHOOK_SECRET", SECRET), ("GITHUB_TOKEN", "x")],
            &[],
            "--github-repo",
        ),
        (
            &[("GITHUB_TOKEN", "x")],
            &["--poll", "1h", "--github-repo", "acme"],
            "OWNER/NAME",
        ),
    ];
    for (environment, flags, expected) in table {
        let mut command = stage.command();
        command.envs(environment.iter().copied()).args(flags);
        let output = command.output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains(expected), "{said}");
    }
}
