//! The pull requests and issues in which kubemend listens, and what was said there.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};

use crate::command::{Parsed, parse};
use crate::converse::judge::Place;
use crate::converse::{answers, hidden};
use crate::cycle::Work;
use crate::forge::decide::{Observed, OurPull};
use crate::forge::marker::{Marker, What, fits};
use crate::forge::{Comment, CommentKind, Issue, PullState};
use crate::github::Result;

/// Seconds. GitHub touches the comments of a review a little after it was sent; nobody edits that fast.
const TOUCHED: i64 = 5;

/// How long kubemend listens in what is closed.
const LISTENS: SignedDuration = SignedDuration::from_hours(30 * 24);

/// A pull request or issue of ours.
#[derive(Debug, Clone)]
pub(super) struct Thread {
    pub(super) number: u64,
    pub(super) place: Place,
    pub(super) body: String,
    pub(super) labels: Vec<String>,
    /// The hidden state, with every change of this pass.
    pub(super) marker: Option<Marker>,
    /// The head of a pull request.
    pub(super) head: String,
    /// Whether all commits on the head are ours.
    pub(super) ours: bool,
    /// Whether its commits were not read in this pass.
    unread: bool,
    pub(super) merge_known: bool,
    /// Whether anybody could have said something new.
    pub(super) listens: bool,
    /// When anything about it changed last.
    updated: Timestamp,
}

/// A comment that was not answered yet.
#[derive(Debug, Clone)]
pub(super) struct Unanswered {
    /// Which thread.
    pub(super) at: usize,
    pub(super) comment: Comment,
    pub(super) parsed: Parsed,
}

/// Everything of ours: pull requests, questions, the dashboard.
pub(super) fn threads(work: &Work<'_>, observed: &Observed) -> Vec<Thread> {
    let since = work.now.checked_sub(LISTENS).unwrap_or(work.now);
    // somebody else may open a pull request on a branch with our prefix
    let ours = |p: &&OurPull| p.pull.author.id == observed.me.id;
    let pulls: Vec<&OurPull> = observed.pulls.iter().filter(ours).collect();
    let mut all: Vec<Thread> = pulls.iter().map(|p| of_pull(p)).collect();
    all.extend(
        observed
            .questions
            .iter()
            .map(|q| of_issue(q, question_place(q))),
    );
    all.extend(
        observed
            .dashboard
            .iter()
            .map(|d| of_issue(d, Place::Dashboard)),
    );
    let times = pulls.iter().map(|p| p.pull.updated_at);
    let times = times.chain(observed.questions.iter().map(|q| q.updated_at));
    let times = times.chain(observed.dashboard.iter().map(|d| d.updated_at));
    for (thread, updated) in all.iter_mut().zip(times) {
        let known = observed.markers.get(&thread.number).cloned();
        let known = known.or_else(|| hidden::read(&thread.body, work.key));
        // a lost marker names no finding: what is stored there would be lost too
        let lost = |m: &Marker| m.key.is_empty() && observed.unsound.contains(&thread.number);
        thread.marker = known.filter(|m| thread.place == Place::Dashboard || !lost(m));
        thread.ours |= thread.unread && is_written(thread);
        let open = matches!(
            thread.place,
            Place::OpenPull | Place::OpenQuestion | Place::Dashboard
        );
        thread.listens = open || updated >= since;
        thread.updated = updated;
    }
    all
}

/// Whether the head is the commit that we wrote.
fn is_written(thread: &Thread) -> bool {
    let marker = thread.marker.as_ref();
    marker.is_some_and(|m| !m.head.is_empty() && m.head == thread.head)
}

fn question_place(issue: &Issue) -> Place {
    match issue.open {
        true => Place::OpenQuestion,
        false => Place::ClosedQuestion,
    }
}

fn of_pull(ours: &OurPull) -> Thread {
    let pull = &ours.pull;
    Thread {
        number: pull.number,
        place: match pull.state {
            PullState::Open => Place::OpenPull,
            PullState::Closed => Place::ClosedPull,
            PullState::Merged => Place::MergedPull,
        },
        body: pull.body.clone(),
        labels: pull.labels.clone(),
        head: pull.head_sha.clone(),
        ours: ours.foreign_commits == Some(0),
        unread: ours.foreign_commits.is_none(),
        merge_known: pull.merge_commit.is_some(),
        marker: None,
        listens: true,
        updated: Timestamp::UNIX_EPOCH,
    }
}

fn of_issue(issue: &Issue, place: Place) -> Thread {
    Thread {
        number: issue.number,
        place,
        body: issue.body.clone(),
        labels: issue.labels.clone(),
        marker: None,
        head: String::new(),
        ours: true,
        unread: false,
        merge_known: false,
        listens: true,
        updated: Timestamp::UNIX_EPOCH,
    }
}

/// What nobody answered yet, oldest first.
pub(super) async fn unanswered(
    work: &Work<'_>,
    observed: &Observed,
    threads: &[Thread],
) -> Result<Vec<Unanswered>> {
    let mut out = Vec::new();
    let is_silent = |t: &Thread| work.github.is_silent(t.number, t.updated, work.now);
    let heard = |(_, t): &(usize, &Thread)| t.listens && !is_silent(t);
    for (at, thread) in threads.iter().enumerate().filter(heard) {
        let said = match said_in(work, thread).await {
            Ok(said) => said,
            Err(error) if error.is_outage() => return Err(error),
            // gone, moved, or not to be seen: nobody can be answered there either
            Err(_) => continue,
        };
        let answered = answered(work, observed, &said);
        let waits = |c: &Comment| is_heard(c, observed) && !answered.contains(&answers(c));
        let before = out.len();
        out.extend(said.into_iter().filter(waits).filter_map(|comment| {
            let parsed = parse(&comment.body);
            matters(thread, &comment, &parsed).then_some(Unanswered {
                at,
                comment,
                parsed,
            })
        }));
        let waits = out.len() > before;
        work.github
            .heard(thread.number, thread.updated, work.now, waits);
    }
    out.sort_by_key(|u| (u.comment.created_at, u.comment.kind, u.comment.id));
    Ok(out)
}

/// Everything that was said in a thread, our own answers included.
async fn said_in(work: &Work<'_>, thread: &Thread) -> Result<Vec<Comment>> {
    let mut said = work.github.comments(thread.number).await?;
    if thread.place.is_pull() {
        said.extend(work.github.review_comments(thread.number).await?);
    }
    Ok(said)
}

/// What comments of ours say that they answer.
pub(super) fn answered(
    work: &Work<'_>,
    observed: &Observed,
    comments: &[Comment],
) -> BTreeSet<String> {
    let ours = comments.iter().filter(|c| c.author.id == observed.me.id);
    let here = |m: &Marker| fits(m, observed.repo_id, "");
    let markers = ours.filter_map(|c| hidden::read(&c.body, work.key).filter(here)?.answers);
    markers
        .flat_map(|keys| keys.split(',').map(str::to_owned).collect::<Vec<_>>())
        .collect()
}

/// Whether a comment may say something at all: of a known other account, and as it was written.
/// What this account writes is never heard, even if a person wrote it: texts of kubemend show
/// commands, and one that it obeyed could make it talk to itself.
fn is_heard(comment: &Comment, observed: &Observed) -> bool {
    comment.author.id != 0 && comment.author.id != observed.me.id && !is_edited(comment)
}

/// Somebody else may edit a comment; what it says then is not what its author said.
fn is_edited(comment: &Comment) -> bool {
    let slack = match comment.kind {
        CommentKind::ReviewLine => TOUCHED,
        CommentKind::Issue | CommentKind::Review => 0,
    };
    // whole seconds, as GitHub counts; a server with a finer clock may need two steps to write one comment
    let later = comment.updated_at.duration_since(comment.said_at);
    later.as_secs() > slack
}

/// Commands everywhere; free text only in reviews of open pull requests.
fn matters(thread: &Thread, comment: &Comment, parsed: &Parsed) -> bool {
    let review = comment.kind != CommentKind::Issue;
    let is_fix = thread.marker.as_ref().is_none_or(|m| m.what == What::Fix);
    let hint = review && is_fix && thread.place == Place::OpenPull && !parsed.text.is_empty();
    !parsed.commands.is_empty() || hint
}
