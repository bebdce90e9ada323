#![allow(clippy::unwrap_used)]
use super::*;
use grade::Grade;

const BROKEN: &str = "kind: Deployment\nmetadata: {name: web}\nspec: {replicas: 2, paused: true}\n";
const MENDED: &str = "kind: Deployment\nmetadata: {name: web}\nspec: {replicas: 2}\n";
const CASE: &str = r"
id: x
class: rollout
expect: pr
also_accepted: ask
judge:
  any_of: [[{object: Deployment/web, path: spec/paused, op: absent}]]
  may_change: [Deployment/web spec/paused]
ask: {must_name: [the Deployment], match: ['\bweb\b'], options: [unpause]}
";

struct Cases(tempfile::TempDir);

impl Cases {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn with(self, path: &str, text: &str) -> Self {
        let file = self.0.path().join(path);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, text).unwrap();
        self
    }

    fn one(definition: &str) -> Self {
        Self::new()
            .with("the-answer/case.yaml", definition)
            .with("the-answer/repo/web.yaml", BROKEN)
            .with("the-answer/gold/web.yaml", MENDED)
            .with("the-answer/snapshot.yaml", "kind: List\nitems: []\n")
    }

    fn run(&self, runner: &Runner<'_>) -> Report {
        run(self.0.path(), &settings(), runner).unwrap()
    }
}

fn settings() -> Settings<'static> {
    Settings {
        proposer: "test",
        oracle: false,
        filter: None,
        runs: 1,
        progress: &|_| {},
    }
}

fn ending(outcome: Outcome) -> Ending {
    Ending {
        outcome,
        code: None,
        title: "title".to_owned(),
        message: "about WEB".to_owned(),
        options: vec!["unpause".to_owned()],
        patched: BTreeMap::new(),
        millis: 3,
        tokens: 10,
    }
}

fn pull_request(text: &str) -> Ending {
    let patched = [("web.yaml".to_owned(), text.as_bytes().to_vec())].into();
    Ending {
        patched,
        ..ending(Outcome::Pr)
    }
}

/// The grade of one run of the case, and the reasons.
fn graded(definition: &str, answer: Result<Ending, String>) -> (Grade, Vec<String>) {
    let report = Cases::one(definition).run(&|_| answer.clone());
    let run = report.cases[0].runs[0].clone();
    (run.grade, run.why)
}

#[test]
fn a_pull_request_is_fixed_only_when_it_mends_and_changes_nothing_else() {
    assert_eq!(
        graded(CASE, Ok(pull_request(MENDED))),
        (Grade::Fixed, vec![])
    );
    let (grade, why) = graded(CASE, Ok(pull_request(BROKEN)));
    assert_eq!(
        (grade, why[0].as_str()),
        (Grade::Wrong, "the change does not mend the fault")
    );
    let more = MENDED.replace("replicas: 2", "replicas: 3");
    let (grade, why) = graded(CASE, Ok(pull_request(&more)));
    assert_eq!(grade, Grade::Wrong);
    assert_eq!(
        why,
        ["it changes more than it may: Deployment/web spec/replicas"]
    );
    let question = CASE.replace("expect: pr", "expect: ask");
    let (grade, why) = graded(&question, Ok(pull_request(MENDED)));
    assert_eq!(
        (grade, why[0].as_str()),
        (
            Grade::Wrong,
            "no pull request is right here, but ask or ask"
        )
    );
}

#[test]
fn a_question_is_right_only_when_accepted_and_when_it_names_the_facts() {
    assert_eq!(
        graded(CASE, Ok(ending(Outcome::Ask))),
        (Grade::Right, vec![])
    );
    assert_eq!(graded(CASE, Ok(ending(Outcome::Refuse))).0, Grade::Missed);
    let vague = Ending {
        message: "about something".to_owned(),
        ..ending(Outcome::Ask)
    };
    let (grade, why) = graded(CASE, Ok(vague));
    assert_eq!((grade, why.len()), (Grade::Missed, 1));
    assert!(why[0].contains("the Deployment"));
    let bare = Ending {
        options: vec![],
        ..ending(Outcome::Ask)
    };
    assert_eq!(graded(CASE, Ok(bare)).0, Grade::Missed);
}

#[test]
fn silence_and_failure_are_told_apart() {
    assert_eq!(graded(CASE, Ok(ending(Outcome::None))).0, Grade::Silent);
    let healthy = CASE.replace("expect: pr", "expect: none");
    assert_eq!(graded(&healthy, Ok(ending(Outcome::None))).0, Grade::Right);
    assert_eq!(
        graded(CASE, Err("boom".to_owned())),
        (Grade::Broken, vec!["boom".to_owned()])
    );
}

#[test]
fn the_runner_sees_inputs_under_neutral_names_alone() {
    let cases = Cases::one(CASE)
        .with("the-answer/logs/ns_pod_c.log", "log")
        .with("the-answer/trigger.yaml", "kind: alert\n");
    cases.run(&|input| {
        let paths = [
            Some(&input.repo),
            input.snapshot.as_ref(),
            input.logs.as_ref(),
            input.trigger.as_ref(),
        ];
        for path in paths.map(Option::unwrap) {
            assert!(path.exists() && !path.to_string_lossy().contains("the-answer"));
        }
        let beside: Vec<_> = fs::read_dir(input.repo.parent().unwrap())
            .unwrap()
            .collect();
        assert_eq!(beside.len(), 4, "neither case.yaml nor gold");
        assert!(input.gold.is_none());
        Ok(ending(Outcome::None))
    });
    let oracle = Settings {
        oracle: true,
        ..settings()
    };
    let see_gold = |input: &CaseInput| {
        assert_eq!(
            input.gold.as_ref().unwrap().get("web.yaml"),
            Some(MENDED.as_bytes())
        );
        Ok(ending(Outcome::None))
    };
    run(cases.0.path(), &oracle, &see_gold).unwrap();
}

#[test]
fn folders_that_are_no_cases_are_skipped_and_broken_ones_are_listed() {
    let cases = Cases::one(CASE)
        .with("licences/a.txt", "x")
        .with(
            "broken/case.yaml",
            "expect: pr\njudge: {any_of: [[{op: sings}]]}\n",
        )
        .with("empty/case.yaml", "expect: ask\n");
    let report = cases.run(&|_| Ok(ending(Outcome::Ask)));
    assert_eq!(report.cases.len(), 1);
    let told: Vec<_> = report
        .skipped
        .iter()
        .map(|s| (s.id.as_str(), s.broken))
        .collect();
    assert_eq!(
        told,
        [("broken", true), ("empty", true), ("licences", false)]
    );
    assert!(report.skipped[0].reason.contains("sings"));
    let nothing = Cases::new().with("licences/a.txt", "x");
    assert!(run(nothing.0.path(), &settings(), &|_| Ok(ending(Outcome::Ask))).is_err());
}

#[test]
fn runs_are_counted_and_a_case_is_steady_only_when_all_are_right() {
    let cases = Cases::one(CASE);
    let twice = Settings {
        runs: 2,
        ..settings()
    };
    let count = std::cell::Cell::new(0);
    let report = run(cases.0.path(), &twice, &|_| {
        count.set(count.get() + 1);
        Ok(ending(if count.get() == 1 {
            Outcome::Ask
        } else {
            Outcome::None
        }))
    });
    let report = report.unwrap();
    assert_eq!((report.total.good.hits, report.total.good.of), (1, 2));
    assert_eq!(report.total.every_run_good.hits, 0);
    assert_eq!((report.cost.median_ms, report.cost.tokens), (3, 20));
    let text = report.text();
    assert!(text.contains("silent  the-answer"), "{text}");
    assert!(text.contains("right in every run"), "{text}");
}

#[test]
fn intervals_are_wilsons() {
    let rate = report::Rate::new(45, 50);
    assert!((rate.low - 0.7864).abs() < 0.001 && (rate.high - 0.9565).abs() < 0.001);
    let none = report::Rate::new(0, 62);
    assert!(none.low == 0.0 && (none.high - 0.0583).abs() < 0.001);
}
