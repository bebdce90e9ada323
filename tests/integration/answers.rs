//! What people answer on the forge becomes a proposal like any other: lock decides.

use std::time::Duration;

use kubemend::case::{Answers, NO_ANSWERS, Said};
use kubemend::code::Code;
use kubemend::config::Config;
use kubemend::dump;
use kubemend::evidence::Evidence;
use kubemend::locate::Repository;
use kubemend::pipeline::{self, Context, Ended, Ending};
use kubemend::propose::Playbook;
use kubemend::propose::chain::Chain;
use kubemend::propose::{Answer, Choice, ProposeError, Proposed, Proposer, Question};
use kubemend::repo::Checkout;

const REPORTS: &str = "apiVersion: apps/v1
kind: Deployment
metadata:
  name: reports
  namespace: shop
spec:
  selector:
    matchLabels: {app: reports}
  template:
    metadata:
      labels: {app: reports}
    spec:
      containers:
        - name: reports
          image: registry.example/reports:2.1
          resources:
            limits:
              memory: 128Mi
";

const DUMP: &str = "apiVersion: v1
kind: List
items:
- apiVersion: apps/v1
  kind: Deployment
  metadata: {name: reports, namespace: shop, uid: d1}
  spec:
    selector: {matchLabels: {app: reports}}
    template:
      metadata: {labels: {app: reports}}
      spec:
        containers:
        - {name: reports, image: 'registry.example/reports:2.1', resources: {limits: {memory: 128Mi}}}
- apiVersion: apps/v1
  kind: ReplicaSet
  metadata:
    name: reports-5d
    namespace: shop
    uid: r1
    ownerReferences: [{apiVersion: apps/v1, kind: Deployment, name: reports, uid: d1, controller: true}]
  spec:
    selector: {matchLabels: {app: reports}}
    template: {metadata: {labels: {app: reports}}, spec: {containers: [{name: reports, image: 'registry.example/reports:2.1'}]}}
- apiVersion: v1
  kind: Pod
  metadata:
    name: reports-5d-x
    namespace: shop
    labels: {app: reports}
    ownerReferences: [{apiVersion: apps/v1, kind: ReplicaSet, name: reports-5d, uid: r1, controller: true}]
  spec:
    containers: [{name: reports, image: 'registry.example/reports:2.1', resources: {limits: {memory: 128Mi}}}]
  status:
    phase: Running
    containerStatuses:
    - name: reports
      ready: false
      restartCount: 7
      image: registry.example/reports:2.1
      imageID: ''
      state: {waiting: {reason: CrashLoopBackOff, message: back-off}}
      lastState: {terminated: {exitCode: 137, reason: OOMKilled, startedAt: '2026-01-02T08:00:00Z', finishedAt: '2026-01-02T11:59:00Z'}}
";

/// Asks whether the playbook's fix is wanted, as a proposer that leaves it to people would.
struct Cautious;

impl Proposer for Cautious {
    fn propose(
        &self,
        case: &kubemend::case::Case<'_>,
        evidence: &Evidence,
        feedback: &[String],
    ) -> Result<Proposed, ProposeError> {
        let proposed = Playbook.propose(case, evidence, feedback)?;
        let answer = proposed.answer.map(|answer| match answer {
            Answer::Fix(proposal) => Answer::Ask(Question {
                code: Code::OwnerDecision,
                title: "More memory, or less load?".to_owned(),
                diagnosis: proposal.diagnosis.clone(),
                options: vec![
                    Choice {
                        title: "more memory".to_owned(),
                        proposal: Some(proposal),
                    },
                    Choice {
                        title: "less load".to_owned(),
                        proposal: None,
                    },
                ],
            }),
            other => other,
        });
        Ok(Proposed { answer, ..proposed })
    }
}

fn run(proposer: &dyn Proposer, answers: &Answers) -> Vec<Ended> {
    run_on(("reports.yaml", REPORTS), DUMP, proposer, answers)
}

/// One pass over a repository of one file.
pub(crate) fn run_on(
    (file, text): (&str, &str),
    cluster: &str,
    proposer: &dyn Proposer,
    answers: &Answers,
) -> Vec<Ended> {
    let dir = tempfile::tempdir().unwrap();
    let repo = dir.path().join("repo");
    std::fs::create_dir(&repo).unwrap();
    std::fs::write(repo.join(file), text).unwrap();
    std::fs::write(dir.path().join("dump.yaml"), cluster).unwrap();
    let dump = dump::read(&dir.path().join("dump.yaml"), None).unwrap();
    let checkout = Checkout::open(&repo).unwrap();
    let config = Config::default();
    let repository = Repository::open(&checkout.files, None, None, config.locate_policy());
    pipeline::run(&Context {
        checkout: &checkout,
        repository: &repository,
        snapshot: &dump.snapshot,
        report: None,
        now: "2026-01-02T12:00:00Z".parse().unwrap(),
        grace: Duration::from_secs(60),
        policy: &config.policy(),
        proposer,
        answers,
        style: kubemend::message::commit::Style::Conventional,
    })
    .results
}

fn one(proposer: &dyn Proposer, said: Said) -> Ended {
    let key = run(proposer, &NO_ANSWERS).remove(0).key;
    let mut results = run(proposer, &Answers::from([(key, said)]));
    assert_eq!(results.len(), 1);
    results.remove(0)
}

fn set(values: &[(&str, &str)]) -> Said {
    let own = |(k, v): &(&str, &str)| ((*k).to_owned(), (*v).to_owned());
    Said {
        set: values.iter().map(own).collect(),
        ..Said::default()
    }
}

fn new_memory(ended: &Ended) -> String {
    let Ending::PullRequest(pull) = &ended.ending else {
        panic!("{:#?}", ended.ending)
    };
    assert!(pull.answered);
    let text = String::from_utf8(pull.mended.changed["reports.yaml"].clone()).unwrap();
    text.lines()
        .find(|l| l.contains("memory:"))
        .unwrap()
        .trim()
        .to_owned()
}

#[test]
fn a_value_within_the_bounds_becomes_the_fix() {
    for key in ["limit.memory", "resources.limits.memory", "LIMIT.MEMORY"] {
        assert_eq!(
            new_memory(&one(&Cautious, set(&[(key, "200Mi")]))),
            "memory: 200Mi"
        );
        assert_eq!(
            new_memory(&one(&Playbook, set(&[(key, "200Mi")]))),
            "memory: 200Mi"
        );
    }
}

#[test]
fn a_chosen_option_becomes_the_fix() {
    let choose = |n| Said {
        chosen: Some(n),
        ..Said::default()
    };
    let chosen = one(&Cautious, choose(1));
    assert_ne!(new_memory(&chosen), "memory: 128Mi");
    for (n, code) in [
        (2, Code::OptionByHand),
        (3, Code::NoSuchOption),
        (0, Code::NoSuchOption),
    ] {
        let ended = one(&Cautious, choose(n));
        assert!(matches!(ended.ending, Ending::Question(_)), "{n}");
        assert_eq!(ended.unheard.unwrap().code, code, "{n}");
    }
}

#[test]
fn an_answer_that_lock_blocks_changes_nothing_and_says_why() {
    let cases = [
        (("limit.memory", "64Gi"), Code::OutOfBounds),
        (("limit.memory", "lots"), Code::OutOfBounds),
        (("replicas", "0"), Code::NotUnlocked),
        (("limit.memroy", "200Mi"), Code::NotUnlocked),
        (
            ("limit.memory", "ghp_0123456789abcdefghijABCDEFGHIJ012345"),
            Code::MissingSecretInput,
        ),
    ];
    for ((key, value), code) in cases {
        let ended = one(&Cautious, set(&[(key, value)]));
        assert!(matches!(ended.ending, Ending::Question(_)), "{key}={value}");
        let unheard = ended.unheard.unwrap();
        assert_eq!(unheard.code, code, "{key}={value}: {unheard}");
        // where there is a fix already, it stays, and the reason is told all the same
        let ended = one(&Playbook, set(&[(key, value)]));
        assert!(matches!(ended.ending, Ending::PullRequest(p) if !p.answered));
        assert_eq!(ended.unheard.unwrap().code, code);
    }
}

#[test]
fn the_question_names_the_keys() {
    let ended = run(&Cautious, &NO_ANSWERS).remove(0);
    let Ending::Question(asked) = ended.ending else {
        panic!()
    };
    assert!(
        asked.keys.contains(&"limit.memory".to_owned()),
        "{:?}",
        asked.keys
    );
}

#[test]
fn a_hint_is_read_by_whoever_reads_hints_first() {
    let hinted = Said {
        hints: vec!["less is more".to_owned()],
        ..Said::default()
    };
    let chain = || Chain(vec![Box::new(Playbook), Box::new(Cautious)]);
    assert!(matches!(
        run(&chain(), &NO_ANSWERS).remove(0).ending,
        Ending::PullRequest(_)
    ));
    assert!(matches!(one(&chain(), hinted).ending, Ending::Question(_)));
}
