//! T10, the confused deputy: whoever speaks from a fork, under somebody else's login or in somebody
//! else's comment is not obeyed, in whatever way it is said.

use std::sync::Arc;

use kubemend::forge::marker::{self, Marker, What};
use serde_json::json;

use super::stage::{FILE, Stage};
use crate::support::github::wire::Reply;
use crate::support::github::{Fault, Gate, Kind, Moment, On};

const COMMAND: &str = "/kubemend pause";
const KINDS: [Kind; 3] = [Kind::Issue, Kind::Review, Kind::Line];
const PERMISSION: &str = "/repos/{owner}/{repo}/collaborators/{username}/permission";
/// Our own account, whatever it is called.
const OURS: u64 = 9_000;
/// The branch of the finding that has an open pull request.
const BRANCH: &str = "kubemend/shop/web-open-aaaaaaaa";
/// A branch that is called as ours are.
const ANOTHER: &str = "kubemend/shop/web-mine-eeeeeeee";

/// What happened to what was said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Event {
    Created,
    Edited,
    Deleted,
}

/// What kubemend makes of it.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Came {
    /// What was said was done.
    Obeyed,
    /// It was only told why not.
    Told,
    /// A 👎.
    Denied,
    /// Nothing was written at all.
    Ignored,
    /// Something else was written.
    Meddled(Vec<String>),
}

/// What somebody who speaks may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum May {
    Command,
    Nothing,
    /// Nobody listens to them, or where they speak.
    NotBeHeard,
}

/// Who speaks, and what is wrong with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Guise {
    /// Somebody with a role of their own, in our pull request.
    Plain(&'static str, May),
    /// An admin, in a pull request of a fork that somebody opened with our branch and our marker.
    Fork { of: &'static str, closed: bool },
    /// An admin, in a pull request that somebody opened here, on a branch with our prefix and with our
    /// marker.
    Branch { of: &'static str, closed: bool },
    /// The answer about an admin's permission is about another account.
    AnswerAboutAnother,
    /// An admin gave their login up, and a stranger took it.
    LoginOfAnAdmin,
    /// That admin, under the new login.
    RenamedAdmin,
    /// A reader, whose login becomes an admin's after the comment was read.
    LoginMovesMeanwhile,
    /// An admin, of whom a stranger with our former login says that we answered.
    AnsweredByLogin,
}

const GUISES: [Guise; 19] = [
    Guise::Plain("alice", May::Command),
    Guise::Plain("mia", May::Command),
    Guise::Plain("bob", May::Command),
    Guise::Plain("carol", May::Nothing),
    Guise::Plain("dave", May::Nothing),
    Guise::Plain("mallory", May::Nothing),
    Guise::Plain("evil[bot]", May::Nothing),
    Guise::Plain("kubemend-bot", May::NotBeHeard),
    Guise::Fork {
        of: "mallory",
        closed: false,
    },
    Guise::Fork {
        of: "mallory",
        closed: true,
    },
    Guise::Fork {
        of: "kubemend-bot",
        closed: false,
    },
    Guise::Fork {
        of: "kubemend-bot",
        closed: true,
    },
    Guise::Branch {
        of: "bob",
        closed: false,
    },
    Guise::Branch {
        of: "bob",
        closed: true,
    },
    Guise::AnswerAboutAnother,
    Guise::LoginOfAnAdmin,
    Guise::RenamedAdmin,
    Guise::LoginMovesMeanwhile,
    Guise::AnsweredByLogin,
];

impl Guise {
    fn may(self) -> May {
        match self {
            Self::Plain(_, may) => may,
            Self::Fork { .. } | Self::Branch { .. } => May::NotBeHeard,
            Self::RenamedAdmin | Self::AnsweredByLogin => May::Command,
            Self::AnswerAboutAnother | Self::LoginOfAnAdmin | Self::LoginMovesMeanwhile => {
                May::Nothing
            }
        }
    }

    fn expected(self, kind: Kind, event: Event) -> Came {
        match (self.may(), kind, event) {
            (_, _, Event::Deleted) | (May::NotBeHeard, _, _) => Came::Ignored,
            // nobody sees whether a review's text was edited: it is no place for commands
            (May::Command, Kind::Review, _) => Came::Told,
            (_, Kind::Issue | Kind::Line, Event::Edited) => Came::Ignored,
            (May::Command, Kind::Issue | Kind::Line, Event::Created) => Came::Obeyed,
            (May::Nothing, Kind::Issue | Kind::Line, Event::Created) => Came::Denied,
            // there are no thumbs for reviews
            (May::Nothing, Kind::Review, _) => Came::Ignored,
        }
    }

    /// Prepares the stage: who speaks, and where.
    fn put_on(self, stage: &Stage) -> (&'static str, u64) {
        let rename = |from: &str, to: &str| stage.github.human(from).rename(to);
        match self {
            Self::Plain(login, _) => (login, stage.open),
            Self::Fork { of, closed } => {
                let body = stage.github.item(stage.open).body;
                ("alice", opened(stage, of, &head(of), closed, &body))
            }
            Self::Branch { of, closed } => {
                let body = stage.github.item(stage.open).body;
                ("alice", opened(stage, of, ANOTHER, closed, &body))
            }
            Self::AnswerAboutAnother => {
                let another = json!({"id": 4_711, "login": "alice", "type": "User"});
                let said = json!({"permission": "admin", "role_name": "admin", "user": another});
                let answer = Fault::Answer(Moment::Before, Reply::ok(said));
                stage.github.fault(On::route("GET", PERMISSION), answer);
                ("alice", stage.open)
            }
            Self::LoginOfAnAdmin => {
                rename("alice", "alice-of-old");
                rename("mallory", "alice");
                ("alice", stage.open)
            }
            Self::RenamedAdmin => {
                rename("alice", "alice-of-old");
                rename("mallory", "alice");
                ("alice-of-old", stage.open)
            }
            Self::LoginMovesMeanwhile => ("dave", stage.open),
            Self::AnsweredByLogin => {
                rename("kubemend-bot", "kubemend-app");
                rename("mallory", "kubemend-bot");
                ("alice", stage.open)
            }
        }
    }
}

/// The branch of a fork that is called as ours is.
fn head(of: &str) -> String {
    format!("{of}:{BRANCH}")
}

/// A pull request of somebody.
fn opened(stage: &Stage, of: &str, head: &str, closed: bool, body: &str) -> u64 {
    let who = stage.github.human(of);
    who.push(head, &[(FILE, "memory: 64Gi\n")]);
    let number = who.open_pull(head, "main", "Mend open", body);
    if closed {
        who.close(number);
    }
    number
}

fn say(stage: &Stage, who: &str, number: u64, kind: Kind, text: &str) -> u64 {
    let who = stage.github.human(who);
    match kind {
        Kind::Issue => who.comment(number, text),
        Kind::Review => who.review(number, "COMMENTED", text),
        Kind::Line => who.line_comment(number, FILE, 2, text),
    }
}

/// Says the command in one of nine ways.
fn speak(stage: &Stage, who: &str, number: u64, kind: Kind, event: Event) -> u64 {
    let first = match event {
        Event::Edited => "nice",
        Event::Created | Event::Deleted => COMMAND,
    };
    let id = say(stage, who, number, kind, first);
    stage.github.advance(std::time::Duration::from_secs(60));
    match event {
        Event::Created => {}
        Event::Edited => stage.github.human("mallory").edit_comment(id, COMMAND),
        Event::Deleted => stage.github.human(who).delete_comment(id),
    }
    id
}

/// A stranger's claim that a comment was answered, with our marker.
fn claim(stage: &Stage, number: u64, kind: Kind, id: u64) {
    let kind = match kind {
        Kind::Issue => "issue",
        Kind::Review => "review",
        Kind::Line => "review_line",
    };
    let marker = Marker {
        what: What::Comment,
        repo: stage.marker(number).repo,
        answers: Some(format!("{kind}:{id}")),
        ..Marker::default()
    };
    let body = format!("Done.\n\n{}", marker::write(&marker, stage.key.as_ref()));
    stage.github.human("kubemend-bot").comment(number, &body);
}

/// A pass in the middle of which, between a comment and the question who wrote it, a reader's login
/// becomes an admin's.
async fn run_while_the_login_moves(stage: &Stage) {
    let gate = Arc::new(Gate::default());
    let hold = Fault::Hold(Arc::clone(&gate));
    stage
        .github
        .fault(On::route("GET", PERMISSION).once(), hold);
    let moves = async {
        gate.reached.notified().await;
        stage.github.human("dave").rename("dave-of-old");
        stage.github.human("alice").rename("dave");
        gate.open.notify_one();
        std::future::pending::<()>().await;
    };
    tokio::select! {
        _ = stage.run_well() => {}
        () = moves => {}
    }
}

fn came(stage: &Stage) -> Came {
    let writes = stage.github.writes();
    let is_thumb = |route: &str| route.ends_with("/reactions");
    let says = |route: &str| route.ends_with("/comments");
    if stage.marker(stage.dashboard).paused.is_some() {
        Came::Obeyed
    } else if writes.is_empty() {
        Came::Ignored
    } else if writes.iter().all(|w| is_thumb(&w.route)) {
        Came::Denied
    } else if writes.iter().all(|w| is_thumb(&w.route) || says(&w.route)) {
        Came::Told
    } else {
        let told = writes.iter().map(|w| format!("{} {}", w.method, w.path));
        Came::Meddled(told.collect())
    }
}

async fn one(guise: Guise, kind: Kind, event: Event) -> Came {
    let mut stage = Stage::bare().await;
    if guise == Guise::AnsweredByLogin {
        stage.key = None; // else a stranger could not sign the claim
    }
    let stage = stage.grown().await;
    let (who, number) = guise.put_on(&stage);
    stage.run_well().await; // the dashboard lists what others open
    let id = speak(&stage, who, number, kind, event);
    if guise == Guise::AnsweredByLogin && event != Event::Deleted {
        claim(&stage, number, kind, id);
    }
    stage.github.forget();
    match guise {
        Guise::LoginMovesMeanwhile if event == Event::Created => {
            run_while_the_login_moves(&stage).await;
        }
        _ => drop(stage.run_well().await),
    }
    came(&stage)
}

/// 19 guises × 3 kinds of comment × 3 things that happen to it.
#[tokio::test]
async fn who_speaks_in_disguise_is_not_obeyed() {
    let mut wrong = Vec::new();
    let mut cases = 0;
    for guise in GUISES {
        for kind in KINDS {
            for event in [Event::Created, Event::Edited, Event::Deleted] {
                let (came, expected) = (one(guise, kind, event).await, guise.expected(kind, event));
                cases += 1;
                if came != expected {
                    wrong.push(format!(
                        "{guise:?}, {kind:?}, {event:?}: {came:?}, not {expected:?}"
                    ));
                }
            }
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
    assert_eq!(cases, 19 * 9);
}

/// A pull request of a fork is nobody of ours, whatever it is called, whatever it carries and whoever
/// opened it: our own is opened beside it, and nothing is ever written there. That it was closed is no
/// word about ours.
#[tokio::test]
async fn a_fork_is_never_adopted() {
    let twin = Stage::whole().await;
    let copied = twin.github.item(twin.open).body;
    for of in ["mallory", "kubemend-bot"] {
        for closed in [false, true] {
            let stage = Stage::bare().await;
            let number = opened(&stage, of, &head(of), closed, &copied);
            let before = stage.github.item(number);
            let stage = stage.grown().await;
            assert_eq!(stage.marker(stage.open).repo, twin.marker(twin.open).repo);
            stage.run_well().await;
            assert_eq!(stage.github.item(number), before, "{of}, closed: {closed}");
            assert_ne!(stage.open, number);
            let ours = stage.github.item(stage.open);
            assert_eq!(
                (ours.author, ours.open),
                (OURS, true),
                "{of}, closed: {closed}"
            );
            let part = ours.pull.unwrap();
            assert_eq!(
                (part.head_owner.as_str(), part.head_ref.as_str()),
                ("acme", BRANCH)
            );
        }
    }
}
