//! [`answer`]: one comment for each request, after the pass did what it could.

use std::collections::{BTreeMap, BTreeSet};

use crate::audit::{Reason, because};
use crate::command::Command;
use crate::converse::effect::{Change, apply};
use crate::converse::judge::{Place, Verdict, Wish};
use crate::converse::{Heard, Item, Request, What, answers, ear, hidden, threads};
use crate::cycle::{Analysis, Report, Touched, Work};
use crate::evidence::redact;
use crate::files::Files;
use crate::forge::decide::{Action, Fix, Observed, Wanted, WantedEnding, Why};
use crate::forge::marker::{self, Marker};
use crate::forge::{Comment, PullState, identity};
use crate::github::{Error, Result};
use crate::message::answer::{self as words, Outcome, Part, Status};
use crate::open::verdict_of;
use crate::{meaning, message, patch};

/// The most files of a pull request whose two versions are compared.
const MAX_FILES: usize = 10;

/// Answers everything that was heard; returns how many answers were written. What was answered
/// meanwhile (by another pass) is not answered again.
pub async fn answer(
    work: &Work<'_>,
    heard: &Heard,
    observed: &Observed,
    analysis: &Analysis,
    report: &Report,
) -> Result<usize> {
    if work.dry_run {
        return Ok(0);
    }
    let voice = Voice {
        work,
        observed,
        analysis,
        report,
    };
    let mut written = 0;
    let (mut told, mut waiting) = (BTreeSet::new(), BTreeSet::new());
    for request in &heard.requests {
        let author = request
            .comments
            .first()
            .map(|c| Reason::asked_by(&c.author));
        let answered = because(author.unwrap_or_default(), voice.answer(request));
        let reply = answered.await?;
        written += usize::from(reply == Reply::Written);
        if reply == Reply::Waits {
            waiting.insert(request.number);
        } else if request.items.iter().any(|i| i.verdict == Verdict::Heard) {
            told.insert(request.number);
        }
    }
    for number in heard.pending.difference(&waiting) {
        let left = heard.left.contains(number);
        voice.settle(*number, told.contains(number), left).await?;
    }
    Ok(written)
}

/// What has become of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reply {
    /// It is there now.
    Written,
    /// It was there already, or nobody may write one.
    Needless,
    /// The next pass hears it again.
    Waits,
}

struct Voice<'a, 'w> {
    work: &'a Work<'w>,
    observed: &'a Observed,
    analysis: &'a Analysis,
    report: &'a Report,
}

/// An outage ends the pass; anything else ends this step only.
fn unless_outage<T>(result: Result<T>) -> Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.is_outage() => Err(error),
        Err(_) => Ok(None),
    }
}

impl Voice<'_, '_> {
    async fn answer(&self, request: &Request) -> Result<Reply> {
        let github = self.work.github;
        if self.is_put_off(request.number) || self.is_for_others(request) {
            return Ok(Reply::Waits);
        }
        // who cannot see what was answered would answer twice: the next pass tries again
        let Some(said) = unless_outage(github.comments(request.number).await)? else {
            return Ok(Reply::Waits);
        };
        let done = threads::answered(self.work, self.observed, &said);
        let open = |c: &&Comment| !done.contains(&answers(c));
        let comments: Vec<Comment> = request.comments.iter().filter(open).cloned().collect();
        if comments.is_empty() {
            return Ok(Reply::Needless);
        }
        let request = Request {
            comments,
            ..request.clone()
        };
        let body = self.body(&request).await?;
        let reply = match github.add_comment(request.number, &body).await {
            Ok(_) => Reply::Written,
            // where nobody may comment, the reaction alone says that it was handled
            Err(Error::Forbidden(_) | Error::Gone(_)) => Reply::Needless,
            // it stays unanswered, and is heard again
            Err(error) => return unless_outage(Err(error)).map(|_: Option<()>| Reply::Waits),
        };
        if reply == Reply::Written {
            self.only_once(&request).await?;
        }
        let content = if is_done(&request) { "rocket" } else { "-1" };
        for comment in &request.comments {
            unless_outage(github.react(comment, content).await)?;
        }
        Ok(reply)
    }

    /// A proxy may have sent it twice, or another pass was as fast: the first answer stays.
    async fn only_once(&self, request: &Request) -> Result<()> {
        let github = self.work.github;
        let said = unless_outage(github.comments(request.number).await)?.unwrap_or_default();
        let answers = request.answers();
        let same = |c: &&Comment| {
            let read = hidden::read(&c.body, self.work.key);
            c.author.id == self.observed.me.id
                && read.is_some_and(|m| m.answers.as_ref() == Some(&answers))
        };
        for double in said.iter().filter(same).skip(1) {
            unless_outage(github.minimize(&double.node_id).await)?;
        }
        Ok(())
    }

    async fn body(&self, request: &Request) -> Result<String> {
        let mut text = words::answer(&self.parts(request));
        if let Some(difference) = self.difference(request).await? {
            text.push_str(&words::difference(&difference));
        }
        let marker = Marker {
            what: marker::What::Comment,
            repo: self.observed.repo_id,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            answers: Some(request.answers()),
            ..Marker::default()
        };
        let text = redact::text(&text).into_string();
        Ok(hidden::with(&text, &marker, self.work.key))
    }

    /// What is pending was done by this pass, or cannot be. The rest stays: nobody is told what
    /// became of a box.
    async fn settle(&self, number: u64, told: bool, left: bool) -> Result<()> {
        if self.observed.paused.is_some() || self.is_put_off(number) {
            return Ok(());
        }
        let is_pull = self.observed.pulls.iter().any(|p| p.pull.number == number);
        let left = left || (!told && self.is_anothers(number));
        let key = self.work.key;
        let settled = |body: &str| {
            let Some(mut marker) = hidden::read(body, key) else {
                return body.to_owned();
            };
            let mut done = marker.pending.clone();
            done.retain(|what| {
                !(left && proposes_again_later(what)) && self.is_settled(number, what, told)
            });
            if done.is_empty() {
                return body.to_owned();
            }
            let changes = done.into_iter().map(Change::Settled);
            changes.for_each(|change| apply(&mut marker, &change));
            hidden::with(body, &marker, key)
        };
        unless_outage(ear::edit(self.work, number, is_pull, settled).await).map(drop)
    }

    fn is_settled(&self, number: u64, what: &str, told: bool) -> bool {
        let (name, head) = what.split_once('@').unwrap_or((what, ""));
        let mut pulls = self.observed.pulls.iter();
        let moved = pulls.any(|p| p.pull.number == number && p.pull.head_sha != head);
        if moved || name == "revert" {
            return true;
        }
        let wanted = match name.strip_prefix("approve=") {
            Some(of) => self.analysis.wanted.iter().find(|w| w.fingerprint == of),
            None => self.wanted(number),
        };
        let Some(wanted) = wanted else {
            return self.tells_of(number);
        };
        let unread =
            wanted.ending == WantedEnding::Unknown || self.why(wanted) == Some(Why::Unreadable);
        !unread && (told || !self.has_failed(wanted))
    }

    /// Whether it was tried, and is not there.
    fn has_failed(&self, wanted: &Wanted) -> bool {
        let tried = self.report.actions.iter().any(|action| match action {
            Action::Open { fingerprint }
            | Action::Refresh { fingerprint, .. }
            | Action::Ask { fingerprint, .. } => *fingerprint == wanted.fingerprint,
            _ => false,
        });
        let mut touched = self.report.pulls.iter().chain(&self.report.questions);
        tried && !touched.any(|t| t.fingerprint == wanted.fingerprint)
    }

    // ---- what to say

    fn parts(&self, request: &Request) -> Vec<Part> {
        let outcome = self.outcome(request);
        let one = |item: &Item| self.part(request, item, &outcome);
        request.items.iter().map(one).collect()
    }

    fn part(&self, request: &Request, item: &Item, outcome: &Outcome) -> Part {
        let (said, text) = match &item.what {
            What::Mistake(mistake) => (message::code("/kubemend"), words::mistake(mistake)),
            What::Hint => ("kubemend".to_owned(), self.hint(request, item, outcome)),
            What::Command(command) => (
                words::said(command),
                self.command(request, command, item.verdict.clone(), outcome),
            ),
        };
        Part { said, text }
    }

    fn hint(&self, request: &Request, item: &Item, outcome: &Outcome) -> String {
        match &item.verdict {
            Verdict::Refused(why) => words::refused(*why).to_owned(),
            _ => words::hints(request.comments.len(), outcome),
        }
    }

    fn command(
        &self,
        request: &Request,
        command: &Command,
        verdict: Verdict,
        outcome: &Outcome,
    ) -> String {
        let written = request.comments.first().map(|c| c.created_at);
        match verdict {
            Verdict::NotPermitted(who) => words::not_permitted(who),
            Verdict::Refused(why) => words::refused(why).to_owned(),
            Verdict::Already => words::already(command).to_owned(),
            Verdict::Heard if *command == Command::Revert => {
                words::heard(command, &self.reverted(request), self.work.now)
            }
            Verdict::Heard => words::heard(command, outcome, written.unwrap_or(self.work.now)),
            Verdict::Asked => self.told(request, command, outcome),
        }
    }

    fn told(&self, request: &Request, command: &Command, outcome: &Outcome) -> String {
        match command {
            Command::Status => words::status(&self.status(request, outcome)),
            Command::Explain { code: Some(code) } => match meaning::of(code) {
                Some(known) => words::code_explained(&known.text),
                None => words::help(self.work.rules),
            },
            Command::Explain { code: None } => {
                let known = match outcome {
                    Outcome::Refused { code, .. } => meaning::of(code),
                    _ => None,
                };
                let wanted = self.wanted(request.number);
                let summary = wanted.map(|w| w.summary.as_str()).unwrap_or_default();
                words::explained(summary, outcome, known.map(|k| k.text).as_deref())
            }
            Command::Verify => self.verified(request.number),
            _ => words::help(self.work.rules),
        }
    }

    /// What the look of this pass found.
    fn verified(&self, number: u64) -> String {
        let trials = &self.report.trials;
        let seen = trials.seen.iter().find(|t| t.number == number);
        let given = self.observed.markers.get(&number).and_then(verdict_of);
        let given = given.or(trials.through.get(&number).copied());
        words::verified(
            seen.map(|t| crate::message::rollout::title(&t.state)),
            given,
            self.observed.on_trial.contains(&number),
        )
    }

    fn body_of(&self, number: u64) -> &str {
        let pulls = self
            .observed
            .pulls
            .iter()
            .map(|p| (p.pull.number, &p.pull.body));
        let issues = self
            .observed
            .questions
            .iter()
            .chain(&self.observed.dashboard);
        let mut all = pulls.chain(issues.map(|i| (i.number, &i.body)));
        all.find(|(n, _)| *n == number).map_or("", |(_, body)| body)
    }

    fn marker(&self, number: u64) -> Option<Marker> {
        let known = self.observed.markers.get(&number).cloned();
        known.or_else(|| hidden::read(self.body_of(number), self.work.key))
    }

    /// Whether the finding of a pull request or question is gone where the run has nothing for it.
    fn tells_of(&self, number: u64) -> bool {
        let marker = self.marker(number);
        let object = marker.as_ref().map(|m| m.object.as_str());
        self.analysis.tells_of(object.unwrap_or_default())
    }

    /// What the run wants for the finding of a pull request or question.
    fn wanted(&self, number: u64) -> Option<&Wanted> {
        let marker = self.marker(number)?;
        let all = || self.analysis.wanted.iter();
        let same = all().find(|w| !w.fingerprint.is_empty() && w.fingerprint == marker.fingerprint);
        same.or_else(|| all().find(|w| !w.key.is_empty() && w.key == marker.key))
    }

    fn outcome(&self, request: &Request) -> Outcome {
        if request.place == Place::Dashboard {
            return Outcome::Settled;
        }
        let Some(wanted) = self.wanted(request.number) else {
            return match self.tells_of(request.number) {
                true => Outcome::Gone,
                false => Outcome::Unknown,
            };
        };
        if let Some(reason) = &wanted.unheard {
            return Outcome::Unheard(reason.clone());
        }
        match &wanted.ending {
            WantedEnding::Fix(fix) => self.fixed(request, wanted, fix),
            WantedEnding::Question(_) => {
                let mut questions = self.report.questions.iter();
                let number = questions.find(|q| q.fingerprint == wanted.fingerprint);
                Outcome::Question(number.map(|q| q.number).filter(|n| *n != request.number))
            }
            WantedEnding::Refused { code, reason } => Outcome::Refused {
                code: code.clone(),
                reason: reason.clone(),
            },
            WantedEnding::Settled => Outcome::Settled,
            WantedEnding::Unknown => Outcome::Unknown,
        }
    }

    fn fixed(&self, request: &Request, wanted: &Wanted, fix: &Fix) -> Outcome {
        let mine = |t: &&Touched| t.fingerprint == wanted.fingerprint && !is_revert(t);
        if let Some(touched) = self.report.pulls.iter().find(mine) {
            let before = Some(request.head.clone());
            let before = before.filter(|b| !b.is_empty() && *b != touched.head);
            let same = touched.number == request.number;
            match self.why(wanted) {
                Some(why) if same && !matches!(why, Why::Current(_)) => return Outcome::Left(why),
                _ if same && before.is_none() => {
                    return Outcome::Left(Why::Current(touched.number));
                }
                _ => {}
            }
            return Outcome::Pull {
                number: touched.number,
                head: touched.head.clone(),
                before: before.filter(|_| same),
            };
        }
        match self.why(wanted) {
            Some(why) => Outcome::Left(why),
            None => Outcome::Failed(self.failure(request, wanted, fix)),
        }
    }

    /// What this pass noted about a fix that is not there.
    fn failure(&self, request: &Request, wanted: &Wanted, fix: &Fix) -> String {
        let number = format!("#{}", request.number);
        let names = [&number, &wanted.fingerprint, &fix.branch];
        let is_about = |note: &&String| {
            let mut words = note.split(|c: char| c.is_whitespace() || ":;,".contains(c));
            words.any(|word| names.iter().any(|name| *name == word))
        };
        let all = || self.report.notes.iter();
        let mut notes: Vec<&str> = all().filter(is_about).map(String::as_str).collect();
        if notes.is_empty() {
            notes.extend(all().map(String::as_str));
        }
        match notes.is_empty() {
            true => "this run did not get to it".to_owned(),
            false => notes.join("; "),
        }
    }

    /// Whether the pull request changed under this pass, which left it to the next one: that one
    /// hears what was said again.
    fn is_put_off(&self, number: u64) -> bool {
        let is_due = |action: &Action| match action {
            Action::Refresh {
                number: n, commit, ..
            } => *n == number && *commit,
            _ => false,
        };
        let mut touched = self.report.pulls.iter();
        self.report.actions.iter().any(is_due)
            && touched.any(|t| t.number == number && t.operation == "none")
    }

    /// Whether this run keeps a pull request and sees its failure no more, while others do: whoever
    /// keeps it next has something to propose.
    fn is_for_others(&self, request: &Request) -> bool {
        let again = |i: &Item| i.verdict == Verdict::Heard && proposes_again(&i.what);
        let marker = || {
            self.marker(request.number)
                .filter(|m| m.what == marker::What::Fix)
        };
        let (scope, now) = (self.work.scope, self.work.now);
        request.place == Place::OpenPull
            && request.items.iter().any(again)
            && self.wanted(request.number).is_none()
            && marker()
                .is_some_and(|m| m.is_reported_by(scope, now) && m.is_reported_beside(scope, now))
    }

    /// Whether another run keeps a pull request, and this one does not see its failure: it has nothing
    /// to propose, however long the other one was silent.
    fn is_anothers(&self, number: u64) -> bool {
        let marker = self.marker(number);
        let marker = marker.filter(|m| m.what == marker::What::Fix);
        marker
            .is_some_and(|m| !self.sees(&m) && m.is_kept_by_another(self.work.scope, self.work.now))
    }

    /// Whether this run sees what a pull request mends. The key alone says too little: an object of the same
    /// name may come from another overlay.
    fn sees(&self, marker: &Marker) -> bool {
        let mends = |w: &Wanted| match &w.ending {
            WantedEnding::Fix(fix) => !fix.target.is_empty() && fix.target == marker.target,
            _ => false,
        };
        self.analysis.wanted.iter().any(|w| {
            w.fingerprint == marker.fingerprint || marker.also.contains(&w.fingerprint) || mends(w)
        })
    }

    fn why(&self, wanted: &Wanted) -> Option<Why> {
        self.report.actions.iter().find_map(|a| match a {
            Action::Leave { fingerprint, why } if *fingerprint == wanted.fingerprint => {
                Some(why.clone())
            }
            _ => None,
        })
    }

    fn reverted(&self, request: &Request) -> Outcome {
        let marker = self.marker(request.number).unwrap_or_default();
        let mine = |t: &&Touched| is_revert(t) && t.fingerprint == marker.fingerprint;
        if let Some(touched) = self.report.pulls.iter().find(mine) {
            return Outcome::Pull {
                number: touched.number,
                head: touched.head.clone(),
                before: None,
            };
        }
        let prefix = format!("revert of #{}: ", request.number);
        let notes = self.report.notes.iter();
        let why = notes.filter_map(|n| n.strip_prefix(&prefix)).next();
        Outcome::Failed(why.unwrap_or("this run did not get to it").to_owned())
    }

    fn status(&self, request: &Request, outcome: &Outcome) -> Status {
        let marker = self.marker(request.number).unwrap_or_default();
        let ours = self
            .observed
            .pulls
            .iter()
            .find(|p| p.pull.number == request.number);
        let wanted = self.wanted(request.number);
        let dashboard = request.place == Place::Dashboard;
        let keys = marker
            .set
            .iter()
            .filter_map(|s| s.split_once('='))
            .map(|(k, _)| k.to_owned());
        Status {
            summary: wanted.map(|w| w.summary.clone()).unwrap_or_default(),
            fingerprint: marker.fingerprint.clone(),
            now: match dashboard {
                true => format!("{} findings", self.analysis.wanted.len()),
                false => words::sentence(outcome),
            },
            commits: ours.map(|p| (p.pull.head_sha.clone(), marker.base.clone())),
            attempt: marker.attempt,
            foreign: ours.is_some_and(|p| p.foreign_commits.unwrap_or(0) > 0),
            hints: marker.hints.len(),
            keys: keys.collect(),
            chosen: marker.chosen,
            ignored_until: marker.ignored_until,
            healthy: marker.healthy.as_ref().map(|h| (h.since, h.count)),
            paused: self
                .observed
                .paused
                .as_ref()
                .map(|p| (p.by.clone(), p.since)),
            open: dashboard.then(|| self.open()),
        }
    }

    fn open(&self) -> (usize, usize) {
        let pulls = self
            .observed
            .pulls
            .iter()
            .filter(|p| p.pull.state == PullState::Open);
        let questions = self.observed.questions.iter().filter(|q| q.open);
        (pulls.count(), questions.count())
    }

    // ---- the difference of the two diffs

    /// What a new commit proposes differently; `None` where nothing was made again.
    async fn difference(&self, request: &Request) -> Result<Option<String>> {
        let again = |i: &Item| i.verdict == Verdict::Heard && proposes_again(&i.what);
        if !request.items.iter().any(again) {
            return Ok(None);
        }
        let Outcome::Pull {
            before: Some(before),
            ..
        } = self.outcome(request)
        else {
            return Ok(None);
        };
        let Some(fix) = self.wanted(request.number).and_then(|w| match &w.ending {
            WantedEnding::Fix(fix) => Some(fix),
            _ => None,
        }) else {
            return Ok(None);
        };
        unless_outage(self.compare(&before, fix).await)
    }

    async fn compare(&self, before: &str, fix: &Fix) -> Result<String> {
        let github = self.work.github;
        let commit = github.commit(before).await?;
        let parent = commit.parents.first().cloned();
        let parent = parent.ok_or_else(|| Error::NotFound("no parent".to_owned()))?;
        let paths: Vec<&str> = fix
            .files
            .keys()
            .take(MAX_FILES)
            .map(String::as_str)
            .collect();
        let old_base = self.files(&paths, &parent).await?;
        let old = self.files(&paths, before).await?;
        let new_base = self.files(&paths, &fix.base).await?;
        let new: BTreeMap<String, Vec<u8>> = paths
            .iter()
            .filter_map(|p| fix.files.get(*p).map(|b| ((*p).to_owned(), b.clone())))
            .collect();
        let old = patch::unified(&Files { by_path: old_base }, &old);
        let new = patch::unified(&Files { by_path: new_base }, &new);
        Ok(patch::between(&old, &new))
    }

    async fn files(&self, paths: &[&str], at: &str) -> Result<BTreeMap<String, Vec<u8>>> {
        let mut out = BTreeMap::new();
        for path in paths {
            if let Some(bytes) = self.work.github.file(path, at).await? {
                out.insert((*path).to_owned(), bytes);
            }
        }
        Ok(out)
    }
}

fn is_revert(touched: &Touched) -> bool {
    identity::reverted_of_branch(&touched.branch).is_some()
}

/// Whether what is pending waits for the run that keeps the pull request.
fn proposes_again_later(pending: &str) -> bool {
    let name = pending.split('@').next().unwrap_or_default();
    let wish = Wish::ALL.into_iter().find(|w| w.name() == name);
    wish.is_some_and(Wish::proposes_again)
}

fn proposes_again(what: &What) -> bool {
    match what {
        What::Hint => true,
        What::Command(command) => command.changes_head(),
        What::Mistake(_) => false,
    }
}

/// Whether anything of it was carried out or told.
fn is_done(request: &Request) -> bool {
    request.items.iter().any(|i| {
        !matches!(i.what, What::Mistake(_))
            && matches!(
                i.verdict,
                Verdict::Heard | Verdict::Asked | Verdict::Already
            )
    })
}
