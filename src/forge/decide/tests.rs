#![allow(clippy::unwrap_used, clippy::cloned_ref_to_slice_refs)]

use jiff::ToSpan;

use super::*;
use crate::forge::PullState;
use crate::forge::marker::{Healthy, What};

mod closed;
mod clusters;
mod noise;
mod open;
mod resolved;

pub(super) const ME: u64 = 41;
pub(super) const HUMAN: u64 = 7;

pub(super) fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

pub(super) fn now() -> Timestamp {
    at("2026-11-24T12:00:00Z")
}

pub(super) fn ago(hours: i64) -> Timestamp {
    now().checked_sub(hours.hours()).unwrap()
}

pub(super) fn actor(id: u64) -> Actor {
    Actor {
        id,
        login: format!("user{id}"),
        bot: id == ME,
    }
}

/// Twelve digits that begin with the number, so that eight of them differ too.
pub(super) fn fp(n: u32) -> String {
    format!("{n:08x}0000")
}

pub(super) fn branch(n: u32, namespace: &str) -> String {
    format!(
        "kubemend/{namespace}/deployment-app-{}",
        identity::short(&fp(n))
    )
}

pub(super) fn fix(n: u32) -> Fix {
    Fix {
        branch: branch(n, "shop"),
        target: format!("target{n}"),
        change: format!("change{n}"),
        result: format!("result{n}"),
        title: format!("Fix {n}"),
        body: format!("Body {n}"),
        commit: "fix".to_owned(),
        files: BTreeMap::from([("a.yaml".to_owned(), b"x".to_vec())]),
        base: "base0".to_owned(),
        draft: false,
        asked_for: false,
        checks: Checks::default(),
        proposer: "playbook memory".to_owned(),
        expects: Vec::new(),
        baseline: None,
    }
}

pub(super) fn wanted(n: u32, ending: WantedEnding) -> Wanted {
    Wanted {
        unheard: None,
        key: format!("key{n}"),
        fingerprint: fp(n),
        severity: Severity::High,
        namespace: Some("shop".to_owned()),
        object: Some(ObjectRef::new(
            "apps/v1",
            "Deployment",
            Some("shop"),
            &format!("app{n}"),
        )),
        class: Some(Class::OOMKilled),
        summary: format!("app{n} fails"),
        failing_since: None,
        ending,
    }
}

pub(super) fn wants(n: u32) -> Wanted {
    wanted(n, WantedEnding::Fix(Box::new(fix(n))))
}

/// Wants a fix that differs from the usual one.
pub(super) fn wants_with(n: u32, change: impl Fn(&mut Fix)) -> Wanted {
    let mut fix = fix(n);
    change(&mut fix);
    wanted(n, WantedEnding::Fix(Box::new(fix)))
}

pub(super) fn analysis(wanted: Vec<Wanted>) -> Analysis {
    Analysis {
        wanted,
        scope: "manifests".to_owned(),
        complete: true,
        ..Analysis::default()
    }
}

/// The marker of a pull request that holds the usual fix.
pub(super) fn marker(n: u32) -> Marker {
    let fix = fix(n);
    Marker {
        what: What::Fix,
        checked: fix.checks.mark(&format!("head{n}"), fix.draft),
        key: format!("key{n}"),
        fingerprint: fp(n),
        scope: "manifests".to_owned(),
        body: identity::text_hash(&fix.title, &fix.body),
        trees: vec![identity::fix_id(&fix.target, &fix.change, &fix.result)],
        target: fix.target,
        change: fix.change,
        result: fix.result,
        object: format!("Deployment shop/app{n}"),
        base: "base0".to_owned(),
        head: format!("head{n}"),
        labels: vec![LABEL.to_owned()],
        attempt: 1,
        ..Marker::default()
    }
}

pub(super) fn pull(n: u32, number: u64) -> OurPull {
    OurPull {
        pull: Pull {
            number,
            node_id: format!("node{number}"),
            title: format!("Fix {n}"),
            body: format!("Body {n}"),
            state: PullState::Open,
            draft: false,
            head_ref: branch(n, "shop"),
            head_sha: format!("head{n}"),
            head_repo_id: Some(1),
            base_ref: "main".to_owned(),
            labels: vec![LABEL.to_owned()],
            author: actor(ME),
            merge_commit: None,
            mergeable: Some(true),
            created_at: ago(240),
            updated_at: ago(240),
            closed_at: None,
        },
        closed_by: None,
        foreign_commits: Some(0),
        tree: Some(format!("tree{n}")),
    }
}

/// A forge for the tests: pull requests with their markers.
pub(super) struct Forge {
    pub(super) observed: Observed,
    pub(super) rules: Rules,
    pub(super) now: Timestamp,
}

impl Forge {
    pub(super) fn new() -> Self {
        let facts = RepositoryFacts {
            id: 1,
            full_name: "acme/gitops".to_owned(),
            default_branch: "main".to_owned(),
            has_issues: true,
            ..RepositoryFacts::default()
        };
        Self {
            observed: Observed {
                me: actor(ME),
                repo_id: 1,
                facts,
                base_branch: "main".to_owned(),
                base_sha: "base0".to_owned(),
                complete: true,
                ..Observed::default()
            },
            rules: Rules::default(),
            now: now(),
        }
    }

    /// An open pull request that holds the usual fix, changed.
    pub(super) fn with(
        mut self,
        n: u32,
        number: u64,
        change: impl Fn(&mut OurPull, &mut Marker),
    ) -> Self {
        let (mut pull, mut marker) = (pull(n, number), marker(n));
        change(&mut pull, &mut marker);
        self.observed.pulls.push(pull);
        self.observed.markers.insert(number, marker);
        self
    }

    pub(super) fn open(self, n: u32, number: u64) -> Self {
        self.with(n, number, |_, _| {})
    }

    /// A closed pull request: by whom, and how many hours ago.
    pub(super) fn closed(
        self,
        n: u32,
        number: u64,
        by: u64,
        hours: i64,
        change: impl Fn(&mut OurPull, &mut Marker),
    ) -> Self {
        self.with(n, number, |p, m| {
            p.pull.state = PullState::Closed;
            p.pull.closed_at = Some(ago(hours));
            p.closed_by = Some(actor(by));
            p.foreign_commits = None;
            change(p, m);
        })
    }

    pub(super) fn merged(self, n: u32, number: u64, hours: i64) -> Self {
        self.with(n, number, |p, _| {
            p.pull.state = PullState::Merged;
            p.pull.closed_at = Some(ago(hours));
            p.pull.merge_commit = Some("merge".to_owned());
            p.foreign_commits = None;
        })
    }

    pub(super) fn question(
        mut self,
        n: u32,
        number: u64,
        change: impl Fn(&mut Issue, &mut Marker),
    ) -> Self {
        let mut issue = Issue {
            number,
            title: "Q".to_owned(),
            body: "q".to_owned(),
            open: true,
            labels: vec![QUESTION.to_owned()],
            author: actor(ME),
            closed_by: None,
            created_at: ago(48),
            updated_at: ago(48),
            closed_at: None,
        };
        let mut marker = Marker {
            what: What::Question,
            key: format!("key{n}"),
            scope: "manifests".to_owned(),
            body: identity::text_hash("Q", "q"),
            object: format!("Deployment shop/app{n}"),
            ..Marker::default()
        };
        change(&mut issue, &mut marker);
        self.observed.questions.push(issue);
        self.observed.markers.insert(number, marker);
        self
    }

    pub(super) fn set(mut self, change: impl Fn(&mut Self)) -> Self {
        change(&mut self);
        self
    }

    pub(super) fn decide(&self, analysis: &Analysis) -> Vec<Action> {
        decide(analysis, &self.observed, &self.rules, self.now)
    }

    pub(super) fn for_wanted(&self, wanted: Vec<Wanted>) -> Vec<Action> {
        self.decide(&analysis(wanted))
    }
}

pub(super) fn query() -> Query {
    Query {
        title: "Q".to_owned(),
        body: "q".to_owned(),
        options: vec![("one".to_owned(), true)],
        keys: Vec::new(),
    }
}

pub(super) fn asks(n: u32) -> Wanted {
    wanted(n, WantedEnding::Question(Box::new(query())))
}

pub(super) fn opens(n: u32) -> Action {
    Action::Open { fingerprint: fp(n) }
}

pub(super) fn leaves(n: u32, why: Why) -> Action {
    Action::Leave {
        fingerprint: fp(n),
        why,
    }
}

pub(super) fn refreshes(n: u32, number: u64, commit: bool) -> Action {
    Action::Refresh {
        fingerprint: fp(n),
        number,
        commit,
    }
}

pub(super) fn notice(number: u64, topic: Topic) -> Action {
    Action::Notice { number, topic }
}

pub(super) fn closes(number: u64, because: ClosedBecause, by: Option<u32>) -> Action {
    Action::Close {
        number,
        because,
        replaced_by: by.map(fp),
    }
}

pub(super) fn healthy(count: u32, since: Timestamp) -> Option<Healthy> {
    Some(Healthy { since, count })
}
