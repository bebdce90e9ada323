//! The life of pull requests and questions, end to end against the GitHub of the tests: every row
//! of the scorecard that does not need a cluster, as a story of passes and people.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use kubemend::case::Answers;
use kubemend::config::Rules;
use kubemend::cycle::{self, Analysis, Look, Report, RolledBack, Work};
use kubemend::finding::{Class, Finding, Severity};
use kubemend::forge::decide::{Fix, Query, Wanted, WantedEnding};
use kubemend::forge::marker::{self, Key, Marker};
use kubemend::forge::{identity, rollback};
use kubemend::github::{Credentials, GitHub as Client, Settings, Transport};
use kubemend::object::ObjectRef;
use kubemend::remediation::Course;
use kubemend::verify::expect::{Expected, Wished};
use kubemend::verify::machine::{Baseline, Facts};
use kubemend::verify::sight::{Merged, Sight};
use secrecy::SecretString;

use crate::support::github::{GitHub, MACHINE_TOKEN, Seed};

mod audit;
mod clusters;
mod noise;
mod onboarding;
mod people;
mod phases;
mod secrets;
mod story;
mod trials;

/// What is wanted for one app: a memory limit, as text.
#[derive(Debug, Clone)]
pub(crate) struct App {
    pub(crate) name: &'static str,
    pub(crate) namespace: &'static str,
    /// The file that holds it.
    pub(crate) file: String,
    pub(crate) memory: &'static str,
    pub(crate) class: Class,
    pub(crate) severity: Severity,
    pub(crate) draft: bool,
    pub(crate) evidence: &'static str,
    pub(crate) asks: bool,
    pub(crate) refuses: bool,
    pub(crate) failing_since: Option<jiff::Timestamp>,
}

pub(crate) fn app(name: &'static str) -> App {
    App {
        name,
        namespace: "shop",
        file: format!("apps/{name}.yaml"),
        memory: "512Mi",
        class: Class::OOMKilled,
        severity: Severity::High,
        draft: false,
        evidence: "killed 5 times",
        asks: false,
        refuses: false,
        failing_since: None,
    }
}

/// The tests' GitHub, the settings, and what a run would find.
pub(crate) struct Stage {
    pub(crate) github: Arc<GitHub>,
    pub(crate) rules: Rules,
    pub(crate) key: Option<Key>,
    /// How many objects show each failure.
    pub(crate) objects: u32,
    pub(crate) apps: Vec<App>,
    pub(crate) scope: &'static str,
    pub(crate) complete: bool,
    /// A run that reads an older commit than the newest.
    pub(crate) reads: Option<String>,
    pub(crate) token: Option<&'static str>,
    /// Nothing is sent twice, and no limit is waited for.
    pub(crate) impatient: bool,
    /// What the cluster says of merged fixes; none where no cluster is seen.
    pub(crate) facts: Option<Facts>,
    /// A run that sees no cluster records what it changes, too.
    pub(crate) records: bool,
    /// No engine of the cluster applies this repository.
    pub(crate) elsewhere: bool,
    /// What stands in every text that others wrote.
    pub(crate) foreign: String,
    /// How often the run asks a model.
    pub(crate) calls: u32,
}

pub(crate) const APPS: [&str; 6] = ["cart", "pay", "mail", "web", "auth", "search"];

pub(crate) fn seed() -> Seed {
    let text = |name: &str| format!("name: {name}\nlabel: a\nlabel2: b\nmemory: 256Mi\n");
    APPS.iter().fold(
        Seed::new("acme/gitops").at("2026-11-24T12:00:00Z"),
        |seed, name| seed.file(&format!("apps/{name}.yaml"), text(name)),
    )
}

pub(crate) async fn stage(apps: Vec<App>) -> Stage {
    stage_on(seed(), apps).await
}

pub(crate) async fn stage_on(seed: Seed, apps: Vec<App>) -> Stage {
    Stage {
        github: Arc::new(GitHub::start(seed).await),
        objects: 0,
        rules: Rules {
            dashboard: false,
            ..Rules::default()
        },
        key: key(),
        apps,
        scope: "manifests",
        complete: true,
        reads: None,
        token: None,
        impatient: false,
        facts: None,
        records: false,
        elsewhere: false,
        foreign: String::new(),
        calls: 0,
    }
}

fn key() -> Option<Key> {
    marker::key_from(&SecretString::from("s3cret"))
}

impl Stage {
    /// Another process on the same repository.
    pub(crate) fn beside(&self, scope: &'static str) -> Self {
        Self {
            github: Arc::clone(&self.github),
            rules: self.rules.clone(),
            key: self.key.as_ref().and_then(|_| key()),
            apps: self.apps.clone(),
            facts: self.facts.clone(),
            reads: self.reads.clone(),
            foreign: self.foreign.clone(),
            scope,
            ..*self
        }
    }

    pub(crate) fn client(&self) -> Client {
        let token = self.token.unwrap_or(MACHINE_TOKEN);
        let credentials = Credentials::Token(SecretString::from(token));
        let endpoint = self.github.endpoint();
        let mut settings = Settings::for_endpoint(&endpoint);
        if self.impatient {
            settings.pace.patience = Duration::ZERO;
            settings.pace.attempts = 1;
        }
        let transport = Transport::with(endpoint, credentials, settings).unwrap();
        Client::new(transport, self.github.repo()).unwrap()
    }

    /// One pass of a fresh process.
    pub(crate) async fn pass(&self) -> Report {
        self.pass_with(false).await
    }

    pub(crate) async fn pass_with(&self, dry_run: bool) -> Report {
        self.work_with(dry_run, false).await
    }

    /// A pass where the operator wants the people of a new repository to be asked.
    pub(crate) async fn onboarding(&self, dry_run: bool) -> Report {
        self.work_with(dry_run, true).await
    }

    async fn work_with(&self, dry_run: bool, onboards: bool) -> Report {
        let client = self.client();
        let reads = self.head_read();
        let analyse = |answers: &Answers| self.analyse(answers);
        let look = |merged: &Merged<'_>, _: &Analysis| self.look(merged);
        let work = Work {
            github: &client,
            rules: &self.rules,
            scope: self.scope,
            key: self.key.as_ref(),
            now: self.github.now(),
            dry_run,
            workflow_token: self.token.is_some(),
            reads: &reads,
            analyse: &analyse,
            verify: self.facts.is_some().then_some(&look),
            prove: None,
        };
        match onboards {
            true => cycle::onboard(&work).await,
            false => cycle::run(&work).await,
        }
    }

    /// `kubemend rollback`.
    pub(crate) async fn rolled_back(&self, wish: &rollback::Wish) -> RolledBack {
        let client = self.client();
        let work = Work {
            github: &client,
            rules: &self.rules,
            scope: self.scope,
            key: self.key.as_ref(),
            now: self.github.now(),
            dry_run: false,
            workflow_token: false,
            reads: "",
            analyse: &|_| Analysis::default(),
            verify: None,
            prove: None,
        };
        cycle::roll_back(&work, wish).await.unwrap()
    }

    /// A pass that must go well.
    pub(crate) async fn clean(&self) -> Report {
        let report = self.pass().await;
        assert_eq!(report.frozen, None, "{report:#?}");
        report
    }

    /// A pass that must go well and write nothing.
    pub(crate) async fn idle(&self) -> Report {
        self.github.forget();
        let report = self.clean().await;
        self.github.assert_no_writes();
        report
    }

    pub(crate) fn hours(&self, hours: u64) {
        self.github.advance(Duration::from_secs(hours * 3600));
    }

    pub(crate) fn minutes(&self, minutes: u64) {
        self.github.advance(Duration::from_secs(minutes * 60));
    }

    fn head_read(&self) -> String {
        let newest = self.github.branch("main").unwrap();
        self.reads.clone().unwrap_or(newest)
    }

    fn look(&self, merged: &Merged<'_>) -> Look {
        if merged.is_anywhere && self.elsewhere {
            return Look::Elsewhere;
        }
        Look::Seen(Box::new(Sight {
            facts: self.facts.clone().expect("a cluster"),
            evidence: vec![("Applied", format!("as the test says{}", self.foreign))],
        }))
    }

    fn analyse(&self, _: &Answers) -> Analysis {
        let base = self.head_read();
        let wanted: Vec<Wanted> = self.apps.iter().map(|a| self.wanted(a, &base)).collect();
        let course = Course {
            objects: self.objects,
            ..Course::default()
        };
        let courses = wanted
            .iter()
            .map(|w| (w.fingerprint.clone(), course.clone()));
        let files = self.apps.iter().map(|a| &a.file);
        let mut analysis = Analysis {
            courses: courses.collect(),
            wanted,
            listed: Vec::new(),
            reads: files.filter(|f| !f.is_empty()).cloned().collect(),
            scope: self.scope.to_owned(),
            complete: self.complete,
            ..Analysis::default()
        };
        analysis.tally.usage.calls = self.calls;
        if !self.foreign.is_empty() {
            self.told(&mut analysis);
        }
        analysis
    }

    /// Whatever is not proposed, in the words of others.
    fn told(&self, analysis: &mut Analysis) {
        let object = ObjectRef::new("apps/v1", "Deployment", Some("shop"), "other");
        let listed = Finding::new(
            Class::OOMKilled,
            Severity::Low,
            object.clone(),
            &self.foreign,
        );
        analysis.listed.push(listed);
        analysis
            .problems
            .push(format!("other.yaml: {}", self.foreign));
        let wanted = analysis.wanted.iter_mut();
        wanted.for_each(|w| w.summary.push_str(&self.foreign));
        analysis.wanted.push(Wanted {
            key: "bbbbbbbb2222".to_owned(),
            fingerprint: "bbbbbbbb2222".to_owned(),
            severity: Severity::High,
            namespace: Some("shop".to_owned()),
            object: Some(object),
            class: Some(Class::OOMKilled),
            summary: format!("other fails{}", self.foreign),
            failing_since: None,
            unheard: None,
            ending: WantedEnding::Refused {
                code: "NoSafeFix".to_owned(),
                reason: format!("no{}", self.foreign),
            },
        });
    }

    fn wanted(&self, app: &App, base: &str) -> Wanted {
        let key = identity::digest(&[app.namespace, app.name, &app.class.to_string()]);
        let ending = match (app.asks, app.refuses) {
            (true, _) => WantedEnding::Question(Box::new(question(app))),
            (_, true) => WantedEnding::Refused {
                code: "NoSafeFix".to_owned(),
                reason: app.evidence.to_owned(),
            },
            _ => self.fix(app, base),
        };
        Wanted {
            fingerprint: match app.asks || app.refuses {
                true => key.clone(),
                false => fingerprint(app),
            },
            key,
            severity: app.severity,
            namespace: Some(app.namespace.to_owned()),
            object: Some(ObjectRef::new(
                "apps/v1",
                "Deployment",
                Some(app.namespace),
                app.name,
            )),
            class: Some(app.class),
            summary: format!("{} needs memory", app.name),
            failing_since: app.failing_since,
            ending,
            unheard: None,
        }
    }

    fn fix(&self, app: &App, base: &str) -> WantedEnding {
        let Some(text) = self.github.file(base, &app.file) else {
            return WantedEnding::Unknown;
        };
        let before = text
            .lines()
            .find_map(|l| l.strip_prefix("memory: "))
            .unwrap_or_default()
            .to_owned();
        if before == app.memory {
            return WantedEnding::Settled;
        }
        let after = text.replace(
            &format!("memory: {before}"),
            &format!("memory: {}", app.memory),
        );
        let place = || (app.file.as_str(), "memory".to_owned());
        let value = |v: &str| (app.file.as_str(), "memory".to_owned(), v.to_owned());
        let fingerprint = fingerprint(app);
        WantedEnding::Fix(Box::new(Fix {
            branch: format!(
                "kubemend/{}/deployment-{}-{}",
                app.namespace,
                app.name,
                identity::short(&fingerprint)
            ),
            target: identity::target_key("r", "main", [place()]),
            change: identity::change_key([value(&before)]),
            result: identity::result_key([value(app.memory)]),
            title: format!("Raise the memory of {}", app.name),
            body: format!("{}: {}\n\nkubemend · base {base}\n", app.name, app.evidence),
            commit: format!(
                "fix(k8s): raise the memory of {0}\n\nKubemend-Fingerprint: {fingerprint}\nKubemend-Target: Deployment/{1}/{0}\n",
                app.name, app.namespace
            ),
            files: BTreeMap::from([(app.file.clone(), after.into_bytes())]),
            base: base.to_owned(),
            draft: app.draft,
            asked_for: false,
            checks: kubemend::forge::decide::Checks::default(),
            proposer: "playbook memory".to_owned(),
            expects: match self.facts.is_some() || self.records {
                true => vec![expectation(app)],
                false => Vec::new(),
            },
            baseline: self.facts.as_ref().map(|_| so_far(self.github.now())),
        }))
    }

    // ---- what is there

    /// The marker of a pull request or issue.
    pub(crate) fn marker(&self, number: u64) -> Marker {
        let body = self.github.item(number).body;
        let read = marker::read(&body, self.key.as_ref());
        read.marker().expect("a good marker").clone()
    }

    pub(crate) fn open(&self) -> Vec<u64> {
        self.github.open_pulls().iter().map(|p| p.number).collect()
    }

    pub(crate) fn all(&self) -> Vec<u64> {
        self.github.pulls().iter().map(|p| p.number).collect()
    }

    pub(crate) fn labels(&self, number: u64) -> Vec<String> {
        self.github.item(number).labels.to_vec()
    }

    pub(crate) fn branch_of(&self, number: u64) -> String {
        let item = self.github.item(number);
        item.pull.as_ref().unwrap().head_ref.clone()
    }

    pub(crate) fn commits_made(&self) -> usize {
        self.github
            .count("POST", "/repos/{owner}/{repo}/git/commits")
    }
}

fn expectation(app: &App) -> Expected {
    Expected {
        object: ObjectRef::new("apps/v1", "Deployment", Some(app.namespace), app.name),
        file: app.file.clone(),
        path: "spec.memory".parse().unwrap(),
        to: Wished::Value(format!("{:?}", app.memory)),
    }
}

/// It failed, and no more than that.
fn so_far(now: jiff::Timestamp) -> Baseline {
    Baseline {
        at: Some(now),
        last_attempt_succeeded: Some(true),
        ready: 2,
        rolled_out: true,
        ..Baseline::default()
    }
}

fn question(app: &App) -> Query {
    Query {
        title: format!("How much memory does {} need?", app.name),
        body: format!("{}: {}", app.name, app.evidence),
        options: vec![("512Mi".to_owned(), true), ("1Gi".to_owned(), true)],
        keys: vec!["limit.memory".to_owned()],
    }
}

fn fingerprint(app: &App) -> String {
    let class = app.class.to_string();
    identity::digest(&["main", &app.file, app.namespace, app.name, &class])
}
