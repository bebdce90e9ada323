//! What a command means where it was given. Pure: everything that has to be asked from the forge
//! is in [`Place`] and [`Scene`].

use jiff::Timestamp;

use crate::command::{Command, Who};
use crate::converse::effect::{Change, is_secret};
use crate::forge::marker::{Marker, Paused, What};

/// Where a command was given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// A pull request of ours.
    OpenPull,
    /// One that was closed without merge.
    ClosedPull,
    /// One that was merged.
    MergedPull,
    /// A question.
    OpenQuestion,
    /// A question that was closed.
    ClosedQuestion,
    /// The dashboard.
    Dashboard,
}

impl Place {
    /// Whether it is a pull request.
    pub fn is_pull(self) -> bool {
        matches!(self, Self::OpenPull | Self::ClosedPull | Self::MergedPull)
    }
}

/// What a command is judged by.
#[derive(Debug, Clone)]
pub struct Scene<'a> {
    /// Where it was given.
    pub place: Place,
    /// The hidden state there, where it can be read.
    pub marker: Option<&'a Marker>,
    /// Whether a person pushed after the command was written.
    pub moved: bool,
    /// Whether the repository is paused, and by whom.
    pub paused: Option<&'a Paused>,
    /// Whether there is a dashboard that remembers a pause.
    pub remembers_pause: bool,
    /// Whether its merge commit is known.
    pub merge_known: bool,
    /// Whether this run sees a cluster.
    pub sees_cluster: bool,
    /// Who gave it, for texts.
    pub by: &'a str,
    /// When it was given.
    pub at: Timestamp,
}

/// What becomes of a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It was heard; what came of it is told after the pass.
    Heard,
    /// It only wants to know.
    Asked,
    /// Its author may not give it: what it takes.
    NotPermitted(Who),
    /// It cannot be done.
    Refused(Refused),
    /// Nothing has changed by it: it is so already.
    Already,
}

impl Verdict {
    /// One word.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Heard => "heard",
            Self::Asked => "asked",
            Self::NotPermitted(_) => "not_permitted",
            Self::Refused(_) => "refused",
            Self::Already => "already",
        }
    }
}

/// Why a command is not carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// Somebody pushed after it was written.
    Moved,
    /// It means nothing at this place.
    NotHere,
    /// What it is about is closed.
    Closed,
    /// What it is about was merged.
    Merged,
    /// Only what was merged can be taken back.
    NotMerged,
    /// Only what was merged can be verified.
    NotMergedYet,
    /// The repository is paused.
    Paused,
    /// A credential must not be written into a comment.
    Secret,
    /// The hidden state cannot be read.
    NoState,
    /// There is no dashboard to remember it.
    NoDashboard,
    /// This run sees no cluster.
    NoCluster,
    /// The forge does not say what the merge made.
    NoMergeCommit,
    /// The options were others when it was written.
    OtherOptions,
    /// It stands in the text of a review, which can be changed without a trace.
    InReview,
}

/// What has to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// A change of the hidden state at the place itself.
    Here(Change),
    /// A change of the dashboard's hidden state.
    Dashboard(Change),
    /// Something for the life cycle.
    Ask(Wish),
}

/// What the life cycle is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wish {
    /// `Asked::rebase`.
    Rebase,
    /// `Asked::recreate`.
    Recreate,
    /// `Asked::retry`.
    Retry,
    /// `Asked::unignore`.
    Unignore,
    /// `Asked::revert`.
    Revert,
}

impl Wish {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::Rebase,
        Self::Recreate,
        Self::Retry,
        Self::Unignore,
        Self::Revert,
    ];

    /// Whether it is carried out with what a run proposes now.
    pub fn proposes_again(self) -> bool {
        matches!(self, Self::Rebase | Self::Recreate | Self::Retry)
    }

    /// As it stands in [`Marker::pending`].
    pub fn name(self) -> &'static str {
        match self {
            Self::Rebase => "rebase",
            Self::Recreate => "recreate",
            Self::Retry => "retry",
            Self::Unignore => "unignore",
            Self::Revert => "revert",
        }
    }
}

type Judged = (Verdict, Vec<Effect>);

/// Judges a command of somebody who may give it.
pub fn judge(command: &Command, scene: &Scene<'_>) -> Judged {
    match command {
        Command::Explain { code: None } if scene.place == Place::Dashboard => no(Refused::NotHere),
        Command::Help | Command::Status | Command::Explain { .. } => (Verdict::Asked, Vec::new()),
        Command::Verify => verify(scene),
        Command::Pause => pause(scene),
        Command::Resume => resume(scene),
        _ if scene.marker.is_some_and(|m| m.what == What::Revert) => no(Refused::NotHere),
        _ if scene.paused.is_some() => no(Refused::Paused),
        _ if command.changes_head() && scene.moved => no(Refused::Moved),
        Command::Retry { hint } => retry(hint.as_deref(), scene),
        Command::Choose { option } => choose(*option, scene),
        Command::Set { values } => set(values, scene),
        Command::Rebase => rebase(scene),
        Command::Recreate => recreate(scene),
        Command::Ignore { period } => {
            let until = period.and_then(|p| scene.at.checked_add(p).ok());
            ignore(until.unwrap_or(Timestamp::MAX), scene)
        }
        Command::Unignore => unignore(scene),
        Command::Revert => revert(scene),
    }
}

/// Judges a free review comment of somebody who may push.
pub fn hint(text: &str, scene: &Scene<'_>) -> Judged {
    if scene.paused.is_some() {
        return no(Refused::Paused);
    }
    if scene.moved {
        return no(Refused::Moved);
    }
    retry(Some(text), scene)
}

fn no(why: Refused) -> Judged {
    (Verdict::Refused(why), Vec::new())
}

fn heard(effects: Vec<Effect>) -> Judged {
    (Verdict::Heard, effects)
}

/// Effects that have to be remembered at the place.
fn stored(effects: Vec<Effect>, scene: &Scene<'_>) -> Judged {
    match scene.marker {
        Some(_) => heard(effects),
        None => no(Refused::NoState),
    }
}

fn retry(hint: Option<&str>, scene: &Scene<'_>) -> Judged {
    let mut effects = vec![Effect::Ask(Wish::Retry)];
    if let Some(hint) = hint {
        effects.push(Effect::Here(Change::Hint(hint.to_owned())));
    }
    match scene.place {
        Place::OpenPull | Place::OpenQuestion => {}
        Place::ClosedPull | Place::ClosedQuestion => effects.extend(comes_back(scene)),
        Place::MergedPull => return no(Refused::Merged),
        Place::Dashboard => return no(Refused::NotHere),
    }
    if hint.is_none() && scene.marker.is_none() {
        effects.retain(|e| matches!(e, Effect::Ask(_)));
        return heard(effects);
    }
    stored(effects, scene)
}

/// Not ignored any more.
pub fn comes_back(scene: &Scene<'_>) -> [Effect; 2] {
    let change = match scene.place {
        Place::ClosedPull => Change::Allow,
        _ => Change::Unignore,
    };
    [Effect::Ask(Wish::Unignore), Effect::Here(change)]
}

fn choose(option: usize, scene: &Scene<'_>) -> Judged {
    let offered = scene.marker.and_then(|m| m.offered);
    match scene.place {
        // heard again after a pass that offered something else and did not come to its answer
        Place::OpenQuestion if offered.is_some_and(|o| scene.at < o) => no(Refused::OtherOptions),
        Place::OpenQuestion => stored(vec![Effect::Here(Change::Chosen(option))], scene),
        Place::ClosedQuestion => no(Refused::Closed),
        _ => no(Refused::NotHere),
    }
}

fn set(values: &[(String, String)], scene: &Scene<'_>) -> Judged {
    if values.iter().any(|(k, v)| is_secret(k, v)) {
        return no(Refused::Secret);
    }
    let change = Effect::Here(Change::Set(values.to_vec()));
    match scene.place {
        Place::OpenQuestion => stored(vec![change], scene),
        Place::OpenPull => stored(vec![change, Effect::Ask(Wish::Retry)], scene),
        Place::ClosedPull | Place::ClosedQuestion => no(Refused::Closed),
        Place::MergedPull => no(Refused::Merged),
        Place::Dashboard => no(Refused::NotHere),
    }
}

fn rebase(scene: &Scene<'_>) -> Judged {
    match scene.place {
        Place::OpenPull => heard(vec![Effect::Ask(Wish::Rebase)]),
        Place::ClosedPull => no(Refused::Closed),
        Place::MergedPull => no(Refused::Merged),
        _ => no(Refused::NotHere),
    }
}

fn recreate(scene: &Scene<'_>) -> Judged {
    let wish = Effect::Ask(Wish::Recreate);
    match scene.place {
        Place::OpenPull => heard(vec![wish]),
        Place::ClosedPull => heard([vec![wish], comes_back(scene).to_vec()].concat()),
        Place::MergedPull => no(Refused::Merged),
        _ => no(Refused::NotHere),
    }
}

fn ignore(until: Timestamp, scene: &Scene<'_>) -> Judged {
    match scene.place {
        Place::Dashboard => no(Refused::NotHere),
        Place::MergedPull => no(Refused::Merged),
        // the label alone says: for ever
        _ if until == Timestamp::MAX => heard(vec![Effect::Here(Change::Ignore(until))]),
        _ => stored(vec![Effect::Here(Change::Ignore(until))], scene),
    }
}

fn unignore(scene: &Scene<'_>) -> Judged {
    match scene.place {
        Place::Dashboard => no(Refused::NotHere),
        Place::MergedPull => no(Refused::Merged),
        _ => heard(comes_back(scene).to_vec()),
    }
}

fn revert(scene: &Scene<'_>) -> Judged {
    match scene.place {
        Place::MergedPull if scene.merge_known => heard(vec![Effect::Ask(Wish::Revert)]),
        Place::MergedPull => no(Refused::NoMergeCommit),
        Place::OpenPull | Place::ClosedPull => no(Refused::NotMerged),
        _ => no(Refused::NotHere),
    }
}

/// A look costs nothing: the pass takes one in any case.
fn verify(scene: &Scene<'_>) -> Judged {
    match scene.place {
        _ if !scene.sees_cluster => no(Refused::NoCluster),
        Place::MergedPull => (Verdict::Asked, Vec::new()),
        Place::OpenPull | Place::ClosedPull => no(Refused::NotMergedYet),
        _ => no(Refused::NotHere),
    }
}

fn pause(scene: &Scene<'_>) -> Judged {
    if !scene.remembers_pause {
        return no(Refused::NoDashboard);
    }
    let wanted = Paused {
        by: scene.by.to_owned(),
        since: scene.at,
    };
    let other = scene.paused.is_some_and(|p| *p != wanted);
    let effects = vec![Effect::Dashboard(Change::Pause(wanted))];
    match other {
        true => (Verdict::Already, effects),
        false => heard(effects),
    }
}

fn resume(scene: &Scene<'_>) -> Judged {
    let effects = vec![Effect::Dashboard(Change::Resume)];
    match scene.paused {
        Some(_) => heard(effects),
        None => (Verdict::Already, effects),
    }
}
