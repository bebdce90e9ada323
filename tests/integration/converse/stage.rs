//! One repository with an open, a closed and a merged pull request, a question and a dashboard; and
//! a pass that is as small as it can be: observe, hear, "analyse", carry out, answer.

#![allow(unreachable_pub)]

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;

use kubemend::case::{Answers, Said};
use kubemend::config::Rules;
use kubemend::converse::{self, Heard};
use kubemend::cycle::{self, Analysis, Report, Touched, Work};
use kubemend::finding::Severity;
use kubemend::forge::decide::{Action, Fix, Observed, OurPull, Query, Wanted, WantedEnding, Why};
use kubemend::forge::marker::{self, Key, Marker, What};
use kubemend::forge::{Pull, PullState, identity};
use kubemend::github::{Credentials, GitHub as Client, NewFiles, Result, Settings, Transport};

use crate::support::github::state::PullPart;
use crate::support::github::{GitHub, MACHINE_TOKEN, Seed};

pub const FILE: &str = "apps/web-open.yaml";

/// The file of a finding.
fn file(name: &str) -> String {
    format!("apps/web-{name}.yaml")
}

/// What Git holds.
pub const BROKEN: &str = "kind: Deployment\nmemory: 64Mi\nname: web\n";

/// A pull request or question of a test: its number, and what its finding is called.
pub struct Stage {
    pub github: GitHub,
    pub rules: Rules,
    pub key: Option<Key>,
    pub open: u64,
    pub closed: u64,
    pub merged: u64,
    pub question: u64,
    pub dashboard: u64,
    /// Whether the run gets no answer about the finding of the closed pull request.
    pub silent: bool,
    /// Nothing is sent twice, and no limit is waited for.
    pub impatient: bool,
    /// The client of a server that runs on; else each pass is a process of its own.
    pub lasting: Option<Client>,
    /// What people do while the next run computes.
    pub meanwhile: Mutex<Option<fn(&Self)>>,
}

/// Twelve digits; eight of them end the branch.
pub fn fingerprint(name: &str) -> String {
    match name {
        "open" => "aaaaaaaa1111",
        "closed" => "bbbbbbbb2222",
        "merged" => "cccccccc3333",
        _ => "dddddddd4444",
    }
    .to_owned()
}

pub fn key(name: &str) -> String {
    format!("key{}", &fingerprint(name)[3..])
}

fn branch(name: &str) -> String {
    format!("kubemend/shop/web-{name}-{}", &fingerprint(name)[..8])
}

/// What a run proposes: the answers of people are in it.
pub fn proposed(said: Option<&Said>) -> String {
    let mut memory = "128Mi".to_owned();
    let mut text = String::new();
    if let Some(said) = said {
        for (k, v) in &said.set {
            if k == "limit.memory" {
                v.clone_into(&mut memory);
            }
        }
        text = said
            .hints
            .iter()
            .map(|h| format!("# {}\n", h.replace('\n', " ")))
            .collect();
    }
    format!("kind: Deployment\nmemory: {memory}\nname: web\n{text}")
}

impl Stage {
    async fn start(change: impl FnOnce(Seed) -> Seed) -> Self {
        let seed = Seed::new("acme/gitops")
            .at("2026-11-24T10:00:00Z")
            .file(FILE, BROKEN)
            .file(&file("closed"), BROKEN)
            .file(&file("merged"), BROKEN)
            .file(&file("question"), BROKEN)
            .file(".github/CODEOWNERS", "apps/ @owen\n")
            .person("mia", "maintain")
            .person("owen", "write");
        Self {
            github: GitHub::start(change(seed)).await,
            rules: Rules::default(),
            key: marker::key_from(&secrecy::SecretString::from("a secret of the test")),
            open: 0,
            closed: 0,
            merged: 0,
            question: 0,
            dashboard: 0,
            silent: false,
            impatient: false,
            lasting: None,
            meanwhile: Mutex::default(),
        }
    }

    pub async fn new() -> Self {
        let mut stage = Self::start(|seed| seed).await;
        stage.open = stage.pull("open").await;
        stage.closed = stage.pull("closed").await;
        stage.merged = stage.pull("merged").await;
        stage.github.human("alice").close(stage.closed);
        stage.github.human("alice").merge(stage.merged, "squash");
        stage
            .github
            .human("alice")
            .push("main", &[(&file("merged"), BROKEN)]);
        stage.question = stage
            .issue("question", "kubemend/question", What::Question, boxes())
            .await;
        stage.dashboard = stage
            .issue("dashboard", "kubemend/dashboard", What::Dashboard, panel())
            .await;
        stage.github.forget();
        stage
    }

    async fn repo_id(&self) -> u64 {
        self.github.client().facts().await.unwrap().id
    }

    async fn pull(&self, name: &str) -> u64 {
        let client = self.github.client();
        let base = client.branch_head("main").await.unwrap().unwrap();
        let files = NewFiles::from([(file(name), proposed(None).into_bytes())]);
        let commit = client.make_commit(&base, &files, "Mend\n").await.unwrap();
        let branch = branch(name);
        client.create_branch(&branch, &commit.sha).await.unwrap();
        let marker = Marker {
            repo: self.repo_id().await,
            key: key(name),
            fingerprint: fingerprint(name),
            base,
            head: commit.sha,
            attempt: 1,
            ..Marker::default()
        };
        let body = format!(
            "Mend {name}\n\n- [ ] <!-- kubemend:rebase --> again\n- [ ] <!-- kubemend:recreate --> anew\n- [ ] <!-- kubemend:ignore --> no\n\n{}",
            marker::write(&marker, self.key.as_ref())
        );
        let title = format!("Mend {name}");
        client
            .open_pull(&branch, "main", &title, &body, false)
            .await
            .unwrap()
            .number
    }

    async fn issue(&self, name: &str, label: &str, what: What, boxes: String) -> u64 {
        let marker = Marker {
            what,
            repo: self.repo_id().await,
            key: if what == What::Question {
                key(name)
            } else {
                String::new()
            },
            options: "options of now".to_owned(),
            ..Marker::default()
        };
        let body = format!("{boxes}\n\n{}", marker::write(&marker, self.key.as_ref()));
        let labels = [label.to_owned()];
        self.github
            .client()
            .open_issue(name, &body, &labels)
            .await
            .unwrap()
            .number
    }

    pub fn numbers(&self) -> [u64; 5] {
        [
            self.open,
            self.closed,
            self.merged,
            self.question,
            self.dashboard,
        ]
    }

    pub fn marker(&self, number: u64) -> Marker {
        let body = self.github.item(number).body;
        marker::read(&body, self.key.as_ref())
            .marker()
            .cloned()
            .unwrap_or_else(|| panic!("no marker in {body}"))
    }

    /// Answers that kubemend wrote in a thread, without their markers.
    pub fn answers(&self, number: u64) -> Vec<String> {
        let all = self.github.comments(number).into_iter();
        all.filter(|(who, _)| who == "kubemend-bot")
            .map(|(_, body)| marker::strip(&body))
            .collect()
    }

    pub fn all_answers(&self) -> Vec<String> {
        self.numbers()
            .iter()
            .flat_map(|n| self.answers(*n))
            .collect()
    }

    /// Own reactions to a comment of the conversation.
    pub fn reactions(&self, comment: u64) -> Vec<String> {
        let all = self
            .github
            .reactions(crate::support::github::Kind::Issue, comment);
        all.into_iter()
            .filter(|(who, _)| who == "kubemend-bot")
            .map(|(_, what)| what)
            .collect()
    }

    pub fn branch_of(&self, number: u64) -> String {
        self.github.item(number).pull.unwrap().head_ref
    }

    pub fn labels(&self, number: u64) -> Vec<String> {
        self.github.item(number).labels.clone()
    }

    // ---- a pass

    pub async fn pass(&self) -> Done {
        self.try_pass().await.unwrap()
    }

    pub async fn try_pass(&self) -> Result<Done> {
        self.pass_around(|_| ()).await
    }

    /// Something happens between the observation and the hearing.
    pub async fn pass_with(&self, meanwhile: impl FnOnce(&Self)) -> Done {
        self.pass_around(meanwhile).await.unwrap()
    }

    async fn pass_around(&self, meanwhile: impl FnOnce(&Self)) -> Result<Done> {
        let lasting = self.lasting.clone();
        let client = lasting.unwrap_or_else(|| self.github.client());
        let reads = self.github.branch("main").unwrap();
        let analyse = |answers: &Answers| self.analyse(answers);
        let work = Work {
            github: &client,
            rules: &self.rules,
            scope: "manifests",
            key: self.key.as_ref(),
            now: self.github.now(),
            dry_run: false,
            workflow_token: false,
            reads: &reads,
            analyse: &analyse,
            verify: None,
            prove: None,
        };
        let mut observed = self.observe(&client).await?;
        meanwhile(self);
        let heard = converse::hear(&work, &mut observed).await?;
        let analysis = (work.analyse)(&heard.answers);
        let mut report = Report::default();
        if observed.paused.is_none() {
            self.carry_out(&client, &observed, &analysis, &mut report)
                .await?;
        }
        let answered = converse::answer(&work, &heard, &observed, &analysis, &report).await?;
        Ok(Done {
            heard,
            observed,
            answered,
        })
    }

    pub async fn dry_pass(&self) -> Done {
        let client = self.github.client();
        let reads = self.github.branch("main").unwrap();
        let analyse = |answers: &Answers| self.analyse(answers);
        let work = Work {
            github: &client,
            rules: &self.rules,
            scope: "manifests",
            key: self.key.as_ref(),
            now: self.github.now(),
            dry_run: true,
            workflow_token: false,
            reads: &reads,
            analyse: &analyse,
            verify: None,
            prove: None,
        };
        let mut observed = self.observe(&client).await.unwrap();
        let heard = converse::hear(&work, &mut observed).await.unwrap();
        let analysis = (work.analyse)(&heard.answers);
        let report = Report::default();
        let answered = converse::answer(&work, &heard, &observed, &analysis, &report)
            .await
            .unwrap();
        Done {
            heard,
            observed,
            answered,
        }
    }

    fn client(&self) -> Client {
        if !self.impatient {
            return self.github.client();
        }
        let endpoint = self.github.endpoint();
        let mut settings = Settings::for_endpoint(&endpoint);
        settings.pace.patience = Duration::ZERO;
        settings.pace.attempts = 1;
        let token = Credentials::Token(secrecy::SecretString::from(MACHINE_TOKEN));
        let transport = Transport::with(endpoint, token, settings).unwrap();
        Client::new(transport, self.github.repo()).unwrap()
    }

    /// The whole pass as it is.
    pub async fn run(&self) -> Report {
        let client = self.client();
        let reads = self.github.branch("main").unwrap();
        let analyse = |answers: &Answers| self.analyse(answers);
        let work = Work {
            github: &client,
            rules: &self.rules,
            scope: "manifests",
            key: self.key.as_ref(),
            now: self.github.now(),
            dry_run: false,
            workflow_token: false,
            reads: &reads,
            analyse: &analyse,
            verify: None,
            prove: None,
        };
        cycle::run(&work).await
    }

    /// A repository of which no pass knows yet.
    pub async fn bare() -> Self {
        let mut stage = Self::start(|seed| seed).await;
        stage.rules.max_open_prs = 50;
        stage.rules.hard_cap = 50;
        stage.rules.max_open_per_namespace = 50;
        stage.rules.max_prs_per_hour = 50;
        stage
    }

    /// A repository in which whole passes made everything: three pull requests and a question.
    pub async fn whole() -> Self {
        Self::bare().await.grown().await
    }

    /// After the passes that make everything.
    pub async fn grown(mut self) -> Self {
        let stage = &mut self;
        stage.run_well().await;
        let of = |name: &str| {
            let pulls = stage.github.pulls().into_iter();
            let is_ours = |p: &PullPart| p.head_ref == branch(name) && p.head_owner == "acme";
            let mut of = pulls.filter(|p| p.pull.as_ref().is_some_and(is_ours));
            of.next().unwrap().number
        };
        (stage.open, stage.closed, stage.merged) = (of("open"), of("closed"), of("merged"));
        let label = |label: &str| {
            let issues = stage.github.issues().into_iter();
            let mut of = issues.filter(|i| i.labels.iter().any(|l| l == label));
            of.next().unwrap().number
        };
        (stage.question, stage.dashboard) =
            (label("kubemend/question"), label("kubemend/dashboard"));
        stage.github.human("alice").close(stage.closed);
        stage.github.human("alice").merge(stage.merged, "squash");
        stage.run_well().await;
        stage.run_well().await;
        stage.github.forget();
        self
    }

    pub async fn run_well(&self) -> Report {
        let report = self.run().await;
        assert_eq!(report.frozen, None);
        report
    }

    fn analyse(&self, answers: &Answers) -> Analysis {
        let meanwhile = self.meanwhile.lock().unwrap().take();
        if let Some(act) = meanwhile {
            act(self);
        }
        let base = self.github.branch("main").unwrap();
        let fix = |name: &str| {
            let fix = Fix {
                base: base.clone(),
                ..fix(name, answers)
            };
            wanted(name, WantedEnding::Fix(Box::new(fix)))
        };
        let question = match answers.get(&key("question")).and_then(|s| s.chosen) {
            None => wanted("question", WantedEnding::Question(Box::new(query()))),
            Some(_) => fix("question"),
        };
        let closed = match self.silent {
            true => wanted("closed", WantedEnding::Unknown),
            false => fix("closed"),
        };
        let merged = self
            .github
            .file("main", &file("merged"))
            .is_some_and(|f| f.starts_with(BROKEN));
        let merged = merged.then(|| fix("merged"));
        Analysis {
            wanted: [fix("open"), closed, question]
                .into_iter()
                .chain(merged)
                .collect(),
            scope: "manifests".to_owned(),
            complete: true,
            ..Analysis::default()
        }
    }

    async fn observe(&self, client: &Client) -> Result<Observed> {
        let facts = client.facts().await?;
        let mut observed = Observed {
            me: client.me().await?,
            repo_id: facts.id,
            base_branch: facts.default_branch.clone(),
            base_sha: client.branch_head("main").await?.unwrap(),
            facts,
            complete: true,
            ..Observed::default()
        };
        for pull in client.pulls("all", 3).await? {
            let foreign = match pull.state {
                PullState::Open => Some(self.foreign(client, &pull, &observed).await?),
                _ => None,
            };
            observed.pulls.push(OurPull {
                pull,
                closed_by: None,
                foreign_commits: foreign,
                tree: None,
            });
        }
        observed.questions = client.issues("kubemend/question", "all").await?;
        observed.dashboard = client
            .issues("kubemend/dashboard", "all")
            .await?
            .into_iter()
            .next();
        let bodies: Vec<(u64, String)> = observed
            .pulls
            .iter()
            .map(|p| (p.pull.number, p.pull.body.clone()))
            .chain(
                observed
                    .questions
                    .iter()
                    .map(|q| (q.number, q.body.clone())),
            )
            .collect();
        for (number, body) in bodies {
            if let Some(marker) = marker::read(&body, self.key.as_ref()).marker() {
                observed.markers.insert(number, marker.clone());
            }
        }
        let panel = observed
            .dashboard
            .as_ref()
            .map(|d| marker::read(&d.body, self.key.as_ref()));
        observed.paused = panel.and_then(|m| m.marker()?.paused.clone());
        Ok(observed)
    }

    async fn foreign(&self, client: &Client, pull: &Pull, observed: &Observed) -> Result<usize> {
        let commits = client.commits_of(pull.number).await?;
        let theirs = |c: &&kubemend::github::CommitFacts| {
            c.author.as_ref().is_none_or(|a| a.id != observed.me.id)
        };
        Ok(commits.iter().filter(theirs).count())
    }

    /// Opens, makes again, closes: each once, whatever was done before.
    async fn carry_out(
        &self,
        client: &Client,
        observed: &Observed,
        analysis: &Analysis,
        report: &mut Report,
    ) -> Result<()> {
        for wanted in &analysis.wanted {
            let WantedEnding::Fix(fix) = &wanted.ending else {
                continue;
            };
            let mine = |p: &&OurPull| p.pull.head_ref == fix.branch;
            let pull = observed.pulls.iter().find(mine).map(|p| &p.pull);
            let (number, operation) = match pull {
                None => (self.open(client, fix, wanted, observed).await?, "created"),
                Some(pull) => {
                    let asked = &observed.asked;
                    let again = [&asked.retry, &asked.recreate, &asked.unignore];
                    let again = again.iter().any(|s| s.contains(&pull.number));
                    let closed = pull.state == PullState::Closed;
                    if closed && !again {
                        report.actions.push(Action::Leave {
                            fingerprint: wanted.fingerprint.clone(),
                            why: Why::ClosedByHuman(pull.number),
                        });
                        continue;
                    }
                    if closed {
                        self.github.human("kubemend-bot").reopen(pull.number);
                    }
                    (
                        pull.number,
                        self.refresh(client, fix, pull, observed).await?,
                    )
                }
            };
            report.pulls.push(Touched {
                number,
                operation,
                fingerprint: wanted.fingerprint.clone(),
                branch: fix.branch.clone(),
                head: client.branch_head(&fix.branch).await?.unwrap_or_default(),
            });
        }
        Ok(())
    }

    async fn open(
        &self,
        client: &Client,
        fix: &Fix,
        wanted: &Wanted,
        observed: &Observed,
    ) -> Result<u64> {
        if let Some(there) = client.pulls_of(&fix.branch).await?.first() {
            return Ok(there.number);
        }
        let commit = client
            .make_commit(&observed.base_sha, &fix.files, "Mend\n")
            .await?;
        client.create_branch(&fix.branch, &commit.sha).await?;
        let marker = Marker {
            repo: observed.repo_id,
            key: wanted.key.clone(),
            fingerprint: wanted.fingerprint.clone(),
            head: commit.sha,
            ..Marker::default()
        };
        let body = marker::write(&marker, self.key.as_ref());
        Ok(client
            .open_pull(&fix.branch, "main", "Mend", &body, false)
            .await?
            .number)
    }

    async fn refresh(
        &self,
        client: &Client,
        fix: &Fix,
        pull: &Pull,
        observed: &Observed,
    ) -> Result<&'static str> {
        let path = fix.files.keys().next().unwrap().as_str();
        let now = client.file(path, &pull.head_sha).await?;
        let recreate = observed.asked.recreate.contains(&pull.number);
        let foreign = observed.pulls.iter().find(|p| p.pull.number == pull.number);
        let foreign = foreign.and_then(|p| p.foreign_commits).unwrap_or(0) > 0;
        if (foreign && !recreate) || (!foreign && now.as_ref() == fix.files.get(path)) {
            return Ok("none");
        }
        let commit = client
            .make_commit(&observed.base_sha, &fix.files, "Mend\n")
            .await?;
        client
            .move_branch(&fix.branch, &pull.head_sha, &commit)
            .await?;
        let body = client.pull(pull.number).await?.body;
        let mut marker = marker::read(&body, self.key.as_ref())
            .marker()
            .cloned()
            .unwrap_or_default();
        marker.head = commit.sha;
        let body = format!(
            "{}\n\n{}",
            marker::strip(&body),
            marker::write(&marker, self.key.as_ref())
        );
        client.edit_pull(pull.number, &pull.title, &body).await?;
        Ok("updated")
    }
}

pub struct Done {
    pub heard: Heard,
    pub observed: Observed,
    pub answered: usize,
}

fn boxes() -> String {
    "- [ ] <!-- kubemend:choose=1 --> one\n- [ ] <!-- kubemend:choose=2 --> two\n- [ ] <!-- kubemend:ignore --> no".to_owned()
}

fn panel() -> String {
    let row = |name: &str, of: &str| format!("- [ ] <!-- kubemend:{name}={of} --> {name}\n");
    let mut out = row("unignore", &fingerprint("closed"));
    out += &row("approve", "eeeeeeee5555");
    out += &row("approve", "ffffffff6666");
    out + "- [ ] <!-- kubemend:pause --> stop\n- [ ] <!-- kubemend:resume --> go on"
}

fn wanted(name: &str, ending: WantedEnding) -> Wanted {
    Wanted {
        key: key(name),
        fingerprint: fingerprint(name),
        severity: Severity::High,
        namespace: Some("shop".to_owned()),
        object: None,
        class: None,
        summary: format!("Deployment shop/web is OOMKilled ({name})"),
        failing_since: None,
        unheard: None,
        ending,
    }
}

fn fix(name: &str, answers: &Answers) -> Fix {
    let content = proposed(answers.get(&key(name)));
    Fix {
        branch: branch(name),
        target: identity::digest(&["target", name]),
        change: identity::digest(&["change", name]),
        result: identity::digest(&["result", &content]),
        title: "Mend".to_owned(),
        body: "body".to_owned(),
        commit: "Mend\n".to_owned(),
        files: BTreeMap::from([(file(name), content.into_bytes())]),
        base: "main".to_owned(),
        draft: false,
        asked_for: answers
            .get(&key(name))
            .is_some_and(|said| *said != Said::default()),
        checks: kubemend::forge::decide::Checks::default(),
        proposer: "playbook memory".to_owned(),
        expects: Vec::new(),
        baseline: None,
    }
}

fn query() -> Query {
    Query {
        title: "Which?".to_owned(),
        body: "body".to_owned(),
        options: vec![("one".to_owned(), true), ("two".to_owned(), true)],
        keys: vec!["limit.memory".to_owned()],
    }
}
