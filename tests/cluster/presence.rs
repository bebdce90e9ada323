//! What kubemend writes of its own, on a real API server and with the rights of `deploy/base/rbac.yaml`
//! alone: records that the shipped definition takes and kubectl shows, Events, and a Lease.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::Ordering;

use jiff::Timestamp;
use kubemend::cluster::{Access, Cluster, Keeper};
use kubemend::propose::Usage;
use kubemend::remediation::{Location, Outcome, PullRequest, Seen, Spec, Survey, Verdict};
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::faults::waits;
use crate::git_server::{GitServer, git};
use crate::plane::{Plane, write};
use crate::serve_stub::{Client, SECRET, head, sign};
use crate::shop::{self, Shop, path};
use crate::support::github::{GitHub, MACHINE_TOKEN, Seed};
use crate::support::program::Program;

const PROGRAM: &str = env!("CARGO_BIN_EXE_kubemend");

type Run = fn(&Plane) -> Result<(), String>;

pub const TRIALS: &[(&str, Run)] = &[
    (
        "records_and_events_are_shown_by_kubectl",
        records_and_events_are_shown_by_kubectl,
    ),
    (
        "the_shipped_rights_write_nothing_else",
        the_shipped_rights_write_nothing_else,
    ),
    (
        "two_replicas_open_one_pull_request",
        two_replicas_open_one_pull_request,
    ),
    (
        "the_leader_dies_at_every_phase",
        crate::kills::the_leader_dies_at_every_phase,
    ),
    (
        "the_forge_is_away_for_long",
        crate::outages::the_forge_is_away_for_long,
    ),
];

/// The definition as it is shipped, and as the server took it.
pub fn define(plane: &Plane) -> Result<(), String> {
    let file =
        PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("deploy/chart/crds/remediations.yaml");
    let text = std::fs::read_to_string(file).map_err(|e| e.to_string())?;
    plane.kubectl.apply(None, &text)?;
    let name = "crd/remediations.kubemend.dev";
    let wait = ["wait", "--for=condition=Established", "--timeout=60s", name];
    plane.kubectl.run(&wait).map(drop)
}

pub fn expect(is_so: bool, what: &str, text: &str) -> Result<(), String> {
    match is_so {
        true => Ok(()),
        false => Err(format!("{what}: {text}")),
    }
}

fn records_and_events_are_shown_by_kubectl(plane: &Plane) -> Result<(), String> {
    define(plane)?;
    let namespace = "kept";
    let shop = Shop::open(plane, namespace)?;
    let reader = plane.reader()?;
    let uid = plane.kubectl.get(namespace, "deployment/web")?["metadata"]["uid"].clone();
    let mut survey = survey(namespace, uid.as_str().map(str::to_owned));
    plane.runtime().block_on(async {
        let access = Access {
            kubeconfig: Some(&reader),
            ..Access::default()
        };
        let cluster = Cluster::connect(&access).await.map_err(|e| e.to_string())?;
        let leads = watch::Sender::new(true).subscribe();
        let (records, events) = (
            cluster.remediations("kubemend"),
            cluster.events("kubemend-0"),
        );
        let keeper = Keeper::new(
            Some(records),
            Some(events),
            leads,
            "https://github.example.com",
        );
        keeper.keep(&survey, 0, Timestamp::now()).await;
        survey.seen[0].spent = Usage::default();
        survey.seen[0].verdict = Some(Verdict {
            state: "Verified".to_owned(),
            message: "well for five minutes".to_owned(),
            since: Timestamp::now(),
        });
        keeper.keep(&survey, 0, Timestamp::now()).await;
        Ok::<(), String>(())
    })?;
    let record = plane
        .kubectl
        .get("kubemend", "remediation/finding-0123456789ab")?;
    let status = &record["status"];
    let all = record.to_string();
    expect(
        status["verdict"]["state"] == "Verified",
        "the verdict",
        &all,
    )?;
    expect(status["spend"]["calls"] == 2, "what was spent", &all)?;
    expect(
        status["observedGeneration"] == record["metadata"]["generation"],
        "the generation",
        &all,
    )?;
    let is_verified = |c: &Value| c["type"] == "Verified" && c["status"] == "True";
    let conditions = status["conditions"].as_array().cloned().unwrap_or_default();
    expect(
        conditions.len() == 4 && conditions.iter().any(is_verified),
        "the conditions",
        &all,
    )?;

    let table = plane
        .kubectl
        .run(&["get", "remediations", "-n", "kubemend"])?;
    let words = |line: &str| {
        line.split_whitespace()
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    let header = table.lines().next().map(words).unwrap_or_default();
    let expected = ["NAME", "OBJECT", "CLASS", "OUTCOME", "PR", "VERDICT", "AGE"];
    expect(header == expected, "the header", &table)?;
    let row = table
        .lines()
        .find(|l| l.starts_with("finding-0123456789ab"))
        .map(words);
    let row = row.unwrap_or_default();
    let expected = [
        "Deployment",
        "kept/web",
        "OOMKilled",
        "Proposed",
        "12",
        "Verified",
    ];
    expect(
        row.get(1..7) == Some(&expected.map(str::to_owned)),
        "the row",
        &table,
    )?;

    let events = ["events", "-n", namespace, "--for", "deployment/web"];
    let events = plane.kubectl.run(&events)?;
    let count = |reason: &str| events.lines().filter(|l| l.contains(reason)).count();
    expect(
        count("KubemendProposed") == 1 && count("KubemendVerified") == 1,
        "the Events",
        &events,
    )?;
    expect(
        events.contains("https://github.example.com/acme/shop/pull/12"),
        "the address",
        &events,
    )?;
    // what kubemend said itself is no evidence for it
    let dump = plane.kubectl.dump()?;
    let file = plane.file("kept-dump.yaml");
    write(&file, &dump)?;
    let dump = kubemend::dump::read(&file, None).map_err(|e| e.to_string())?;
    let mut own = dump
        .snapshot
        .events()
        .iter()
        .filter(|e| e.reason.starts_with("Kubemend"));
    expect(own.next().is_none(), "an own Event was read", &events)?;
    let strange = "apiVersion: kubemend.dev/v1alpha1\nkind: Remediation\nmetadata: {name: strange}\nspec: {severity: enormous}\n";
    let taken = plane.kubectl.apply(Some("kubemend"), strange);
    expect(taken.is_err(), "the definition takes anything", strange)?;
    drop(shop);
    Ok(())
}

fn survey(namespace: &str, uid: Option<String>) -> Survey {
    let seen = Seen {
        spec: Spec {
            fingerprint: "0123456789ab".to_owned(),
            key: "ba9876543210".to_owned(),
            class: "OOMKilled".to_owned(),
            severity: Some(kubemend::finding::Severity::High),
            api_version: "apps/v1".to_owned(),
            object: format!("Deployment {namespace}/web"),
            summary: "web is killed for its memory".to_owned(),
            scope: "cluster test".to_owned(),
            repository: "acme/shop".to_owned(),
            branch: "main".to_owned(),
        },
        uid,
        outcome: Some(Outcome::Proposed),
        location: Some(Location {
            file: shop::FILE.to_owned(),
            line: 38,
        }),
        evidence: "digest".to_owned(),
        spent: Usage {
            calls: 2,
            prompt_tokens: 900,
            completion_tokens: 100,
            cost: 40,
        },
        pull: Some(PullRequest {
            number: 12,
            state: "open".to_owned(),
            branch: "kubemend/kept/web".to_owned(),
            ..PullRequest::default()
        }),
        attempt: 1,
        question: Some(3),
        merge_commit: Some("c0ffee".to_owned()),
        reported: true,
        ..Seen::default()
    };
    Survey {
        repository: "acme/shop".to_owned(),
        scope: "cluster test".to_owned(),
        complete: true,
        seen: vec![seen],
        ..Survey::default()
    }
}

fn the_shipped_rights_write_nothing_else(plane: &Plane) -> Result<(), String> {
    define(plane)?;
    plane.reader()?;
    let account = "--as=system:serviceaccount:kubemend:kubemend";
    let may = |verb: &str, what: &str, namespace: &str| {
        let (what, part) = what.split_once('/').unwrap_or((what, ""));
        let part = format!("--subresource={part}");
        // the rights on the Lease are for the one that the chart names
        let named = format!("{what}/{LEASE}");
        let what = match what.starts_with("leases.") && verb != "create" {
            true => named.as_str(),
            false => what,
        };
        let asked = ["auth", "can-i", verb, what, &part, "-n", namespace, account];
        // "no" ends with an error
        plane
            .kubectl
            .run(&asked)
            .is_ok_and(|said| said.trim() == "yes")
    };
    for (verb, what, namespace) in [
        ("update", "leases.coordination.k8s.io", "kubemend"),
        ("create", "remediations.kubemend.dev", "kubemend"),
        ("delete", "remediations.kubemend.dev", "kubemend"),
        ("patch", "remediations.kubemend.dev/status", "kubemend"),
        ("create", "events.events.k8s.io", "default"),
        ("patch", "events.events.k8s.io", "default"),
    ] {
        expect(
            may(verb, what, namespace),
            "a right is missing",
            &format!("{verb} {what}"),
        )?;
    }
    for verb in ["create", "update", "patch", "delete", "deletecollection"] {
        for what in [
            "deployments.apps",
            "pods",
            "pods/exec",
            "configmaps",
            "secrets",
            "namespaces",
            "nodes",
            "serviceaccounts/token",
            "clusterroles.rbac.authorization.k8s.io",
            "customresourcedefinitions.apiextensions.k8s.io",
            "leases.coordination.k8s.io",
            "remediations.kubemend.dev",
        ] {
            expect(
                !may(verb, what, "default"),
                "a right too many",
                &format!("{verb} {what}"),
            )?;
        }
    }
    for verb in ["get", "list", "watch"] {
        for namespace in ["default", "kubemend"] {
            expect(
                !may(verb, "secrets", namespace),
                "Secrets can be read",
                verb,
            )?;
        }
    }
    for verb in ["update", "patch"] {
        let what = "remediations.kubemend.dev";
        expect(!may(verb, what, "kubemend"), "a right too many", verb)?;
    }
    expect(
        !may("delete", "leases.coordination.k8s.io", "kubemend"),
        "a right too many",
        "leases",
    )
}

/// Two replicas, a forge, and a workload that fails.
pub struct Stage<'p> {
    shop: Shop<'p>,
    pub github: GitHub,
    /// Of the repository.
    id: u64,
    git: GitServer,
    folder: tempfile::TempDir,
}

const LEASE: &str = "kubemend";

impl<'p> Stage<'p> {
    pub fn open(plane: &'p Plane, namespace: &str) -> Result<Self, String> {
        let shop = Shop::open(plane, namespace)?;
        let broken = shop::MANIFEST.replace("web:1.4.2", "web:1.4.O");
        shop.commit("change the shop", &broken)?;
        shop.apply()?;
        shop.wait("pods", "the fault shows", |p| waits(p, "ImagePullBackOff"))?;
        let rules = "version: 1\ngrace_seconds: 1\npull_requests:\n  min_failure_age: 1s\n";
        let seed = Seed::new("acme/shop")
            .file(shop::FILE, broken.as_bytes())
            .file(".github/kubemend.yaml", rules.as_bytes());
        let github = plane.runtime().block_on(GitHub::start(seed));
        let facts = async { github.client().facts().await };
        let facts = plane.runtime().block_on(facts).map_err(|e| e.to_string())?;
        let server = plane.runtime().block_on(GitServer::start());
        let bare = server.root.path().join("acme/shop.git");
        let init = ["init", "-q", "--bare", "-b", "main", path(&bare)?];
        git(server.root.path(), &init);
        github.export(&bare, "main");
        server.state.any_token.store(true, Ordering::SeqCst);
        Ok(Self {
            shop,
            id: facts.id,
            github,
            git: server,
            folder: tempfile::tempdir().map_err(|e| e.to_string())?,
        })
    }

    pub fn replica(&self, name: &str) -> Result<Program, String> {
        let plane = self.shop.plane;
        let mut command = Command::new(PROGRAM);
        command.env_clear();
        command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.env("HOSTNAME", name);
        command.env("GITHUB_API_URL", self.github.url());
        command.env("GITHUB_SERVER_URL", &self.git.url);
        command.env("GITHUB_TOKEN", MACHINE_TOKEN);
        command.env("KUBEMEND_WEBHOOK_SECRET", SECRET);
        command.env("KUBEMEND_MARKER_KEY", "a key for the markers of tests");
        command.env("KUBEMEND_CACHE", self.folder.path().join(name));
        let namespace = &self.shop.namespace;
        command.args(["serve", "--listen", "127.0.0.1:0", "--log-format", "json"]);
        command.args(["--sweep", "24h", "--github-repo", "acme/shop", "--watch"]);
        command.args(["--failure-age", "1s", "--cluster", "test"]);
        command.args(["--namespaces", namespace, "--namespace", namespace]);
        command.args(["--lease", LEASE, "--lease-namespace", "kubemend"]);
        command.arg("--kubeconfig").arg(plane.reader()?);
        Ok(Program::start(&mut command))
    }

    /// GitHub tells a replica that somebody commented.
    pub fn deliver(&self, address: SocketAddr, id: &str) -> Result<String, String> {
        let repository = json!({"id": self.id, "full_name": "acme/shop", "default_branch": "main"});
        let sender = json!({"id": 7, "type": "User"});
        let body = json!({"action": "created", "repository": repository, "sender": sender});
        let body = body.to_string();
        let signature = sign(SECRET, body.as_bytes());
        let head = head("issue_comment", id, &signature, body.len());
        let answer = Client::new(address).send(&head, body.as_bytes());
        let (status, word) = answer.map_err(|e| e.to_string())?;
        Ok(format!("{status} {}", String::from_utf8_lossy(&word)))
    }

    pub fn holder(&self) -> Result<String, String> {
        let lease = self
            .shop
            .plane
            .kubectl
            .get("kubemend", &format!("lease/{LEASE}"))?;
        Ok(lease["spec"]["holderIdentity"]
            .as_str()
            .unwrap_or_default()
            .to_owned())
    }

    pub fn pulls(&self) -> usize {
        self.github.open_pulls().len()
    }

    /// However many passes there were: one pull request, one record, and one Event.
    pub fn is_once(&self, what: &str) -> Result<(), String> {
        let kubectl = &self.shop.plane.kubectl;
        let pulls = self.github.pulls().len();
        expect(pulls == 1, "one pull request", &format!("{pulls}; {what}"))?;
        let namespace = &self.shop.namespace;
        let table = kubectl.run(&["get", "remediations", "-n", "kubemend"])?;
        let about = format!("{namespace}/web");
        let rows: Vec<&str> = table.lines().filter(|l| l.contains(&about)).collect();
        let one = rows.len() == 1 && rows[0].contains("Proposed");
        expect(one, "one record", &format!("{table}\n{what}"))?;
        let events = kubectl.run(&["events", "-n", namespace, "--for", "deployment/web"])?;
        let is_told = |l: &&str| l.contains("KubemendProposed");
        let once = events.lines().filter(is_told).count() == 1;
        expect(once, "one Event", &format!("{events}\n{what}"))
    }
}

/// The next time that this replica begins or stops to lead.
pub fn election(replica: &mut Program, leads: bool) {
    while replica.until("election")["leads"] != leads {}
}

fn two_replicas_open_one_pull_request(plane: &Plane) -> Result<(), String> {
    define(plane)?;
    let stage = Stage::open(plane, "two-replicas")?;
    let mut one = stage.replica("one")?;
    election(&mut one, true);
    while stage.pulls() == 0 {
        let pass = one.until("pass");
        expect(pass["outcome"] == "done", "a pass", &pass.to_string())?;
    }
    let mut two = stage.replica("two")?;
    let address = two.address();
    let answer = stage.deliver(address, "d-1")?;
    expect(
        answer == "202 passed on",
        "what the standby answers",
        &answer,
    )?;
    let pass = one.until("pass");
    expect(
        pass["outcome"] == "done",
        "the leader looks because the other rang",
        &pass.to_string(),
    )?;
    expect(
        stage.holder()?.starts_with("one-"),
        "who leads",
        &stage.holder()?,
    )?;

    one.kill();
    election(&mut two, true);
    let pass = two.until("pass");
    expect(
        pass["outcome"] == "done",
        "the pass of the new leader",
        &pass.to_string(),
    )?;
    expect(
        stage.holder()?.starts_with("two-"),
        "who leads",
        &stage.holder()?,
    )?;
    stage.is_once("after the new leader's pass")?;

    // a third one waits, and has it as soon as the second one gives it back
    let mut three = stage.replica("three")?;
    three.address();
    two.signal(rustix::process::Signal::TERM);
    two.until("the lease is given back");
    election(&mut three, true);
    let pass = three.until("pass");
    expect(
        pass["outcome"] == "done",
        "the pass of the third",
        &pass.to_string(),
    )?;
    expect(
        stage.pulls() == 1,
        "one pull request",
        &format!("{:?}", stage.pulls()),
    )?;
    expect(
        stage.holder()?.starts_with("three-"),
        "who leads",
        &stage.holder()?,
    )
}
