//! How the world looks at the start.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::faults::Faults;
use super::git::Store;
use super::journal::Journal;
use super::server::Limits;
use super::state::{App, Holder, Repo, State, Token, User};
use super::{
    APP_ID, APP_KEY, APP_TOKEN, INSTALLATION, MACHINE_TOKEN, WORKFLOW_TOKEN, World, access,
};

/// One repository and its people: alice (admin), bob (write), carol (triage), dave (read), mallory
/// (nothing), and the machine user `kubemend-bot` (write).
#[derive(Debug, Clone)]
pub struct Seed {
    pub full_name: String,
    files: Vec<(String, Vec<u8>)>,
    roles: Vec<(String, String)>,
    now: Timestamp,
    private: bool,
    issues: bool,
    drafts: bool,
    thinking: u32,
    delete_merged: bool,
    actions_may_open: bool,
    default_branch: String,
}

impl Seed {
    /// `owner/name`. The clock starts now, in whole seconds.
    pub fn new(full_name: &str) -> Self {
        let roles = [
            ("alice", "admin"),
            ("bob", "write"),
            ("carol", "triage"),
            ("dave", "read"),
            ("kubemend-bot", "write"),
        ];
        let now = Timestamp::from_second(Timestamp::now().as_second()).unwrap();
        Self {
            full_name: full_name.to_owned(),
            files: vec![("README.md".to_owned(), b"# A repository\n".to_vec())],
            roles: roles
                .iter()
                .map(|(l, r)| ((*l).to_owned(), (*r).to_owned()))
                .collect(),
            now,
            private: true,
            issues: true,
            drafts: true,
            thinking: 1,
            delete_merged: false,
            actions_may_open: true,
            default_branch: "main".to_owned(),
        }
    }

    /// A file of the first commit.
    pub fn file(mut self, path: &str, content: impl AsRef<[u8]>) -> Self {
        self.files
            .push((path.to_owned(), content.as_ref().to_vec()));
        self
    }

    /// All files of a folder, below the repository's root.
    pub fn folder(mut self, folder: &std::path::Path) -> Self {
        let mut stack = vec![folder.to_owned()];
        while let Some(next) = stack.pop() {
            for entry in std::fs::read_dir(&next).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    stack.push(path);
                } else {
                    let name = path
                        .strip_prefix(folder)
                        .unwrap()
                        .to_string_lossy()
                        .into_owned();
                    self = self.file(&name, std::fs::read(&path).unwrap());
                }
            }
        }
        self
    }

    /// Somebody's role: `admin`, `maintain`, `write`, `triage`, `read`.
    pub fn person(mut self, login: &str, role: &str) -> Self {
        self.roles.push((login.to_owned(), role.to_owned()));
        self
    }

    /// The clock's start: `2026-11-24T10:00:00Z`.
    pub fn at(mut self, now: &str) -> Self {
        self.now = now.parse().unwrap();
        self
    }

    pub fn public(mut self) -> Self {
        self.private = false;
        self
    }

    pub fn without_issues(mut self) -> Self {
        self.issues = false;
        self
    }

    pub fn without_drafts(mut self) -> Self {
        self.drafts = false;
        self
    }

    /// How often `mergeable` is null before it is known.
    pub fn thinking(mut self, times: u32) -> Self {
        self.thinking = times;
        self
    }

    pub fn deletes_merged_branches(mut self) -> Self {
        self.delete_merged = true;
        self
    }

    /// "Allow GitHub Actions to create and approve pull requests" is off.
    pub fn actions_may_not_open(mut self) -> Self {
        self.actions_may_open = false;
        self
    }

    pub fn default_branch(mut self, name: &str) -> Self {
        self.default_branch = name.to_owned();
        self
    }

    pub fn build(self, url: &str) -> World {
        let mut state = State {
            now: self.now,
            moved: jiff::SignedDuration::ZERO,
            url: url.to_owned(),
            users: users(),
            tokens: BTreeMap::new(),
            apps: apps(),
            repos: BTreeMap::new(),
            ids: 10_000,
            deliveries: Vec::new(),
        };
        add_tokens(&mut state);
        self.add_to(&mut state);
        World {
            state,
            journal: Journal::default(),
            faults: Faults::default(),
            limits: Limits::default(),
            violations: Vec::new(),
        }
    }

    pub fn add_to(self, state: &mut State) {
        let (owner, name) = self.full_name.split_once('/').expect("owner/name");
        let owner_id = state.account(owner);
        state
            .users
            .iter_mut()
            .filter(|u| u.id == owner_id)
            .for_each(|u| u.kind = "Organization");
        let id = state.id();
        let mut roles = BTreeMap::new();
        for (login, role) in &self.roles {
            state.account(login);
            roles.insert(login.to_lowercase(), role.clone());
        }
        let key = self.full_name.to_lowercase();
        state.repos.insert(
            key,
            Repo {
                id,
                owner: owner.to_owned(),
                name: name.to_owned(),
                default_branch: self.default_branch.clone(),
                private: self.private,
                archived: false,
                has_issues: self.issues,
                delete_branch_on_merge: self.delete_merged,
                git: Store::default(),
                branches: BTreeMap::new(),
                activities: Vec::new(),
                items: BTreeMap::new(),
                labels: BTreeMap::new(),
                roles,
                check_runs: Vec::new(),
                statuses: Vec::new(),
                thinking: self.thinking,
                drafts: self.drafts,
                actions_may_open: self.actions_may_open,
            },
        );
        let files: Vec<(&str, Option<&[u8]>)> = self
            .files
            .iter()
            .map(|(p, b)| (p.as_str(), Some(b.as_slice())))
            .collect();
        let alice = state.account("alice");
        let sha = state
            .commit_files(&self.full_name, &[], &files, "Start\n", alice)
            .unwrap();
        state
            .set_branch(&self.full_name, &self.default_branch, Some(&sha), alice)
            .unwrap();
    }
}

fn user(id: u64, login: &str, kind: &'static str) -> User {
    User {
        id,
        login: login.to_owned(),
        kind,
    }
}

fn users() -> Vec<User> {
    vec![
        user(101, "alice", "User"),
        user(102, "bob", "User"),
        user(103, "carol", "User"),
        user(104, "dave", "User"),
        user(105, "mallory", "User"),
        user(9_000, "kubemend-bot", "User"),
        user(9_100, "kubemend[bot]", "Bot"),
        user(41_898_282, "github-actions[bot]", "Bot"),
        user(19_864_447, "web-flow", "User"),
    ]
}

fn granted() -> BTreeMap<String, String> {
    let all = ["contents", "pull_requests", "issues", "checks", "statuses"];
    let mut may: BTreeMap<String, String> = all
        .iter()
        .map(|p| ((*p).to_owned(), "write".to_owned()))
        .collect();
    may.insert("metadata".to_owned(), "read".to_owned());
    may
}

/// GitHub Actions' own App.
pub const ACTIONS: u64 = 15_368;

fn apps() -> Vec<App> {
    let app = |id, slug: &str, bot, installation| App {
        id,
        client_id: format!("Iv23li{slug}"),
        slug: slug.to_owned(),
        bot,
        public_key: access::public_key(APP_KEY),
        installation,
        may: granted(),
        suspended: false,
    };
    vec![
        app(APP_ID, "kubemend", 9_100, INSTALLATION),
        app(ACTIONS, "github-actions", 41_898_282, 101),
    ]
}

fn add_tokens(state: &mut State) {
    let mut add = |token: &str, holder| {
        state.tokens.insert(
            token.to_owned(),
            Token {
                holder,
                until: None,
            },
        );
    };
    let installed = |app| Holder::Installation {
        app,
        may: granted(),
        repositories: None,
    };
    add(MACHINE_TOKEN, Holder::User(9_000));
    add(APP_TOKEN, installed(APP_ID));
    add(WORKFLOW_TOKEN, installed(ACTIONS));
}
