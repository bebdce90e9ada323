//! [`hear`]: from comments and boxes to what is stored, asked for, and waits for an answer.

use std::collections::{BTreeMap, BTreeSet};

use crate::audit::{Reason, because};
use crate::command::{Command, Permitted, permitted};
use crate::converse::effect::{Change, apply};
use crate::converse::judge::{self, Effect, Place, Refused, Scene, Verdict, Wish};
use crate::converse::people::{About, People};
use crate::converse::threads::{self, Thread, Unanswered};
use crate::converse::{Heard, Item, Request, What, hidden, said};
use crate::cycle::Work;
use crate::forge::decide::{IGNORED, Observed, PAUSED};
use crate::forge::marker::{self, Marker};
use crate::forge::reporters::EXPIRY;
use crate::forge::ticks::{Tick, ticked, unticked};
use crate::forge::{Comment, CommentKind, Permission, PullState};
use crate::github::Result;

/// Reads what people said, stores what must be remembered, and mirrors it into the observation.
pub async fn hear(work: &Work<'_>, observed: &mut Observed) -> Result<Heard> {
    let mut ear = Ear::new(work, observed);
    if work.rules.enabled {
        ear.recall();
        ear.take_ticks();
        let waiting = threads::unanswered(work, ear.observed, &ear.threads).await?;
        for one in waiting {
            ear.consider(one).await?;
        }
        ear.end_periods();
        ear.store().await?;
    }
    Ok(ear.finish())
}

struct Ear<'a, 'w> {
    work: &'a Work<'w>,
    observed: &'a mut Observed,
    threads: Vec<Thread>,
    people: People,
    todo: BTreeMap<usize, Todo>,
    /// Whether the head is still the observed one, and when it was pushed.
    heads: BTreeMap<usize, Head>,
    requests: Vec<Request>,
    paused_before: Option<crate::forge::marker::Paused>,
    /// Threads in which a command waited for too long for the run that keeps the pull request.
    overdue: BTreeSet<usize>,
}

/// What has to be written in one thread.
#[derive(Default)]
struct Todo {
    changes: Vec<Change>,
    /// Boxes of this body, and the threads that they are about.
    handled: Vec<(Tick, usize)>,
    /// Who asked for the last of it; nobody knows who ticked a box.
    why: Reason,
}

#[derive(Clone, Copy)]
enum Head {
    /// It is another one, or the state is another one: the next pass sees clearly.
    Blurred,
    /// All commits are ours.
    Ours,
    /// Somebody's, pushed at that time.
    Theirs(jiff::Timestamp),
    /// Somebody's, and nothing that can be believed says since when.
    Undated,
}

/// What has become of an `ignore`.
enum Ignored {
    /// Nothing new.
    AsItWas,
    /// Its time is over, or people took the label off.
    Over,
    /// What is left of one that is over.
    Stale,
}

impl<'a, 'w> Ear<'a, 'w> {
    fn new(work: &'a Work<'w>, observed: &'a mut Observed) -> Self {
        let threads = threads::threads(work, observed);
        Self {
            work,
            paused_before: observed.paused.clone(),
            observed,
            threads,
            people: People::default(),
            todo: BTreeMap::new(),
            heads: BTreeMap::new(),
            requests: Vec::new(),
            overdue: BTreeSet::new(),
        }
    }

    fn dashboard(&self) -> Option<usize> {
        self.threads
            .iter()
            .position(|t| t.place == Place::Dashboard)
    }

    // ---- what earlier passes did not finish

    fn recall(&mut self) {
        for at in 0..self.threads.len() {
            let Some(thread) = self.threads.get(at) else {
                continue;
            };
            let pending = thread.marker.iter().flat_map(|m| m.pending.clone());
            let pending: Vec<String> = pending.collect();
            let head = thread.head.clone();
            self.wish(at, &head, pending);
        }
    }

    fn wish(&mut self, at: usize, head: &str, pending: Vec<String>) {
        for what in pending {
            let (name, of) = what.split_once('@').unwrap_or((&what, ""));
            if let Some(fingerprint) = name.strip_prefix("approve=") {
                self.observed.asked.approve.insert(fingerprint.to_owned());
            } else if of == head
                && let Some(wish) = Wish::ALL.into_iter().find(|w| w.name() == name)
                && !(wish.proposes_again() && self.is_still_left(at))
            {
                self.ask(at, wish);
            }
        }
    }

    // ---- boxes

    fn take_ticks(&mut self) {
        for at in 0..self.threads.len() {
            let Some(thread) = self.threads.get(at).filter(|t| t.listens) else {
                continue;
            };
            for tick in ticked(&thread.body.clone()) {
                if self.take_tick(at, &tick) {
                    let about = self.target(at, &tick).unwrap_or(at);
                    let todo = self.todo.entry(at).or_default();
                    todo.handled.push((tick, about));
                }
            }
        }
    }

    /// Whether the tick is done with. One that a pause holds back stays.
    fn take_tick(&mut self, at: usize, tick: &Tick) -> bool {
        if tick.name == "approve" {
            return self.approve(at, &tick.of);
        }
        let Some(command) = command_of(tick) else {
            return false;
        };
        let Some(target) = self.target(at, tick) else {
            return true;
        };
        if command.changes_head() && self.is_still_left(target) {
            return false;
        }
        let Some(scene) = self.scene(target, false, "a tick", self.work.now) else {
            return true;
        };
        let (verdict, effects) = judge::judge(&command, &scene);
        if verdict == Verdict::Refused(Refused::Paused) {
            return false;
        }
        self.carry_out(target, effects);
        true
    }

    fn approve(&mut self, at: usize, fingerprint: &str) -> bool {
        if self.observed.paused.is_some() {
            return false;
        }
        self.observed.asked.approve.insert(fingerprint.to_owned());
        self.change(at, Change::Pending(format!("approve={fingerprint}@")));
        true
    }

    /// What a box is about: the dashboard's boxes name a pull request, an issue or a finding.
    fn target(&self, at: usize, tick: &Tick) -> Option<usize> {
        let here = self.threads.get(at)?;
        if here.place != Place::Dashboard || tick.of.is_empty() {
            return Some(at);
        }
        let number = tick.of.parse::<u64>().ok().filter(|_| tick.of.len() < 12);
        if let Some(number) = number {
            return self.threads.iter().position(|t| t.number == number);
        }
        let names = |t: &Thread| {
            let marker = t.marker.as_ref();
            marker.is_some_and(|m| {
                m.what != marker::What::Revert && (m.fingerprint == tick.of || m.key == tick.of)
            })
        };
        // the newest one that carries the finding
        let hits = self.threads.iter().enumerate().filter(|(_, t)| names(t));
        hits.max_by_key(|(_, t)| t.number).map(|(i, _)| i)
    }

    // ---- comments

    async fn consider(&mut self, one: Unanswered) -> Result<()> {
        let Some(thread) = self.threads.get(one.at) else {
            return Ok(());
        };
        let (number, place) = (thread.number, thread.place);
        if one.parsed.commands.is_empty() {
            return self.consider_hint(one).await;
        }
        let comment = &one.comment;
        let Some(permission) = self.people.permission(self.work, &comment.author).await? else {
            return Ok(());
        };
        let allowed = self.allowed(&one, permission).await?;
        let denied = allowed.iter().all(|p| *p != Permitted::Yes);
        // looked at with their list: a thousand comments of strangers cost no thousand requests
        if (denied && comment.marks > Some(0)) || self.has_reacted(comment).await? {
            return Ok(());
        }
        if denied {
            return self.deny(comment).await;
        }
        if comment.kind == CommentKind::Review {
            let refuse = |_: &Command| (Verdict::Refused(Refused::InReview), Vec::new());
            let items = items(&one, &allowed, refuse);
            self.request(number, place, vec![one.comment.clone()], items.0, one.at);
            return Ok(());
        }
        if binds(&one, &allowed) && self.waits_for_keeper(&one) {
            self.hold(&one, &allowed);
            return Ok(());
        }
        let Some(moved) = self.moved(&one, &allowed).await? else {
            return Ok(());
        };
        if self.waits_for_dashboard(&one, &allowed) {
            return Ok(());
        }
        self.react(comment, "eyes").await?;
        self.take(&one, &allowed, moved);
        Ok(())
    }

    /// Judges line by line: a pause holds for the lines after it.
    fn take(&mut self, one: &Unanswered, allowed: &[Permitted], moved: bool) {
        let mut all = Vec::new();
        for (said, may) in one.parsed.commands.iter().zip(allowed) {
            let single = std::slice::from_ref(said);
            let scene = self.scene(
                one.at,
                moved,
                &one.comment.author.login,
                one.comment.created_at,
            );
            let Some(scene) = scene else { return };
            let judged = |c: &Command| judge::judge(c, &scene);
            let (items, effects) = items_of(single, std::slice::from_ref(may), judged);
            all.extend(items);
            self.carry_out(one.at, effects);
            if let Some(todo) = self.todo.get_mut(&one.at) {
                todo.why = Reason::asked_by(&one.comment.author);
            }
        }
        if let Some((number, place)) = self.threads.get(one.at).map(|t| (t.number, t.place)) {
            self.request(number, place, vec![one.comment.clone()], all, one.at);
        }
    }

    /// A free comment of a review, by somebody who may push.
    async fn consider_hint(&mut self, one: Unanswered) -> Result<()> {
        if self.waits_for_keeper(&one) {
            return Ok(());
        }
        let retry = Command::Retry { hint: None };
        let author = &one.comment.author;
        let Some(permission) = self.people.permission(self.work, author).await? else {
            return Ok(());
        };
        if permitted(&retry, permission, false, self.work.rules, author) != Permitted::Yes {
            return Ok(());
        }
        let Some(moved) = self.moved(&one, &[Permitted::Yes]).await? else {
            return Ok(());
        };
        self.react(&one.comment, "eyes").await?;
        let Some(scene) = self.scene(one.at, moved, &author.login, one.comment.created_at) else {
            return Ok(());
        };
        let (verdict, effects) = judge::hint(&one.parsed.text, &scene);
        self.carry_out(one.at, effects);
        self.add_hint(one, verdict);
        Ok(())
    }

    /// Free comments of one pull request get one answer.
    fn add_hint(&mut self, one: Unanswered, verdict: Verdict) {
        let Some((number, place)) = self.threads.get(one.at).map(|t| (t.number, t.place)) else {
            return;
        };
        let item = Item {
            what: What::Hint,
            verdict,
        };
        let same = |r: &&mut Request| r.number == number && r.items == [item.clone()];
        match self.requests.iter_mut().find(same) {
            Some(request) => request.comments.push(one.comment),
            None => self.request(number, place, vec![one.comment], vec![item], one.at),
        }
    }

    async fn allowed(
        &mut self,
        one: &Unanswered,
        permission: Permission,
    ) -> Result<Vec<Permitted>> {
        let (number, is_pull) = match self.threads.get(one.at) {
            Some(thread) => (thread.number, thread.place.is_pull()),
            None => return Ok(Vec::new()),
        };
        let base_sha = self.observed.base_sha.clone();
        let about = About {
            number,
            is_pull,
            base_sha: &base_sha,
        };
        let mut out = Vec::new();
        for said in &one.parsed.commands {
            // who may ask for help may be told of a mistake
            let command = said.as_ref().unwrap_or(&Command::Help);
            let author = &one.comment.author;
            out.push(
                self.people
                    .may(self.work, command, author, permission, &about)
                    .await?,
            );
        }
        Ok(out)
    }

    /// Our 👎 is final, and our 🚀 comes after the answer.
    async fn has_reacted(&self, comment: &Comment) -> Result<bool> {
        if comment.marks == Some(0) {
            return Ok(false);
        }
        for content in ["-1", "rocket"] {
            match self
                .work
                .github
                .reacted(comment, content, &self.observed.me)
                .await
            {
                Ok(true) => return Ok(true),
                Ok(false) => {}
                Err(error) if error.is_outage() => return Err(error),
                Err(_) => {}
            }
        }
        Ok(false)
    }

    /// Nobody is answered who may not ask: a comment would be a way to make us talk.
    async fn deny(&self, comment: &Comment) -> Result<()> {
        self.react(comment, "-1").await
    }

    async fn react(&self, comment: &Comment, content: &str) -> Result<()> {
        if self.work.dry_run {
            return Ok(());
        }
        let why = Reason::asked_by(&comment.author);
        match because(why, self.work.github.react(comment, content)).await {
            Err(error) if error.is_outage() => Err(error),
            _ => Ok(()),
        }
    }

    /// Whether somebody pushed after the comment was written; `None` when this pass cannot tell,
    /// and the comment waits for the next one.
    async fn moved(&mut self, one: &Unanswered, allowed: &[Permitted]) -> Result<Option<bool>> {
        let open = self
            .threads
            .get(one.at)
            .is_some_and(|t| t.place == Place::OpenPull);
        if !binds(one, allowed) || !open {
            return Ok(Some(false));
        }
        Ok(match self.head(one.at).await? {
            Head::Blurred => None,
            Head::Ours => Some(false),
            Head::Theirs(pushed) => Some(pushed > one.comment.created_at),
            Head::Undated => Some(true),
        })
    }

    /// The head, read again right before something is done to it.
    async fn head(&mut self, at: usize) -> Result<Head> {
        if let Some(known) = self.heads.get(&at) {
            return Ok(*known);
        }
        let head = match self.threads.get(at) {
            Some(thread) => read_head(self.work, thread).await?,
            None => Head::Blurred,
        };
        self.heads.insert(at, head);
        Ok(head)
    }

    /// Whether another run keeps a pull request: what proposes again there is its to do, for it is its
    /// opinion that is proposed.
    fn is_left(&self, at: usize) -> bool {
        let listed = |t: &Thread| {
            let marker = t.marker.as_ref().filter(|m| m.what == marker::What::Fix);
            let kept = |m: &Marker| m.is_kept_by_another(self.work.scope, self.work.now);
            matches!(t.place, Place::OpenPull | Place::ClosedPull) && marker.is_some_and(kept)
        };
        self.threads.get(at).is_some_and(listed) && !self.overdue.contains(&at)
    }

    /// The same for what nobody dated, such as a box: the run that keeps it has given its word not long
    /// ago. What is taken over from one that was silent is done by a run that sees the failure.
    fn is_still_left(&self, at: usize) -> bool {
        let marker = self.threads.get(at).and_then(|t| t.marker.as_ref());
        self.is_left(at) && !marker.is_some_and(|m| is_silent(m, self.work.now))
    }

    /// Leaves a comment to the run that keeps the pull request, unless that was silent for too long.
    fn waits_for_keeper(&mut self, one: &Unanswered) -> bool {
        if self.work.now.duration_since(one.comment.created_at) >= EXPIRY {
            self.overdue.insert(one.at);
        }
        self.is_left(one.at)
    }

    /// A pause that nothing can remember yet holds for this pass, and is heard again in the next,
    /// until the dashboard is there.
    fn waits_for_dashboard(&mut self, one: &Unanswered, allowed: &[Permitted]) -> bool {
        let comes = self.work.rules.dashboard && self.observed.facts.has_issues;
        self.dashboard().is_none() && comes && self.hold(one, allowed)
    }

    /// Lets a pause, or its end, hold for this pass; the comment is heard again.
    fn hold(&mut self, one: &Unanswered, allowed: &[Permitted]) -> bool {
        let mut waits = false;
        for (said, may) in one.parsed.commands.iter().zip(allowed) {
            match said {
                Ok(Command::Pause) if *may == Permitted::Yes => {
                    self.observed.paused = Some(crate::forge::marker::Paused {
                        by: one.comment.author.login.clone(),
                        since: one.comment.created_at,
                    });
                    waits = true;
                }
                Ok(Command::Resume) if *may == Permitted::Yes && self.observed.paused.is_some() => {
                    self.observed.paused = None;
                    waits = true;
                }
                _ => {}
            }
        }
        waits
    }

    fn scene<'s>(
        &'s self,
        at: usize,
        moved: bool,
        by: &'s str,
        when: jiff::Timestamp,
    ) -> Option<Scene<'s>> {
        let thread = self.threads.get(at)?;
        Some(Scene {
            place: thread.place,
            marker: thread.marker.as_ref(),
            moved,
            paused: self.observed.paused.as_ref(),
            remembers_pause: self.dashboard().is_some(),
            merge_known: thread.merge_known,
            sees_cluster: self.work.verify.is_some(),
            by,
            at: when,
        })
    }

    fn request(
        &mut self,
        number: u64,
        place: Place,
        comments: Vec<Comment>,
        items: Vec<Item>,
        at: usize,
    ) {
        let marker = self.threads.get(at).and_then(|t| t.marker.as_ref());
        let again = ["retry@", "rebase@", "recreate@"];
        let pending = marker.iter().flat_map(|m| &m.pending);
        let head = pending
            .filter_map(|p| again.iter().find_map(|kind| p.strip_prefix(kind)))
            .next()
            .unwrap_or_default()
            .to_owned();
        self.requests.push(Request {
            number,
            place,
            comments,
            items,
            head,
        });
    }

    // ---- effects

    fn carry_out(&mut self, at: usize, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Here(change) => self.change(at, change),
                Effect::Dashboard(change) => self.pause(change),
                Effect::Ask(wish) => {
                    self.ask(at, wish);
                    let head = self.threads.get(at).map(|t| t.head.clone());
                    let head = head.unwrap_or_default();
                    self.change(at, Change::Pending(format!("{}@{head}", wish.name())));
                }
            }
        }
    }

    fn ask(&mut self, at: usize, wish: Wish) {
        let Some(number) = self.threads.get(at).map(|t| t.number) else {
            return;
        };
        let asked = &mut self.observed.asked;
        let set = match wish {
            Wish::Rebase => &mut asked.rebase,
            Wish::Recreate => &mut asked.recreate,
            Wish::Retry => &mut asked.retry,
            Wish::Unignore => &mut asked.unignore,
            Wish::Revert => &mut asked.revert,
        };
        set.insert(number);
    }

    fn pause(&mut self, change: Change) {
        match &change {
            Change::Pause(paused) => {
                self.observed.paused.get_or_insert_with(|| paused.clone());
            }
            _ => self.observed.paused = None,
        }
        if let Some(dashboard) = self.dashboard() {
            self.change(dashboard, change);
        }
    }

    /// Changes the hidden state (here at once, on the forge in [`Ear::store`]) and the labels.
    fn change(&mut self, at: usize, change: Change) {
        let Some(thread) = self.threads.get_mut(at) else {
            return;
        };
        let labels = thread.labels.clone();
        match change {
            Change::Ignore(_) if !has(&labels, IGNORED) => {
                thread.labels.push(IGNORED.to_owned());
            }
            Change::Unignore | Change::Allow => without(&mut thread.labels, IGNORED),
            Change::Resume => without(&mut thread.labels, PAUSED),
            _ => {}
        }
        let before = thread.marker.clone();
        if let Some(marker) = &mut thread.marker {
            apply(marker, &change);
        }
        if thread.marker != before || thread.labels != labels {
            self.todo.entry(at).or_default().changes.push(change);
        }
    }

    /// An `ignore 7d` whose days are over, and a label that people took off: both end it.
    fn end_periods(&mut self) {
        for at in 0..self.threads.len() {
            let Some(scene) = self.scene(at, false, "", self.work.now) else {
                continue;
            };
            let effects = match self.threads.get(at).map(|t| self.ignored(t)) {
                Some(Ignored::Over) => judge::comes_back(&scene).to_vec(),
                Some(Ignored::Stale) => vec![Effect::Here(Change::Unignore)],
                Some(Ignored::AsItWas) | None => continue,
            };
            self.carry_out(at, effects);
        }
    }

    fn ignored(&self, thread: &Thread) -> Ignored {
        let Some(marker) = &thread.marker else {
            return Ignored::AsItWas;
        };
        let taken_off = has(&marker.labels, IGNORED) && !has(&thread.labels, IGNORED);
        let ended = |until| until <= self.work.now || taken_off;
        if marker.ignored_until.is_some_and(ended) {
            return Ignored::Over;
        }
        // on what is open, the label that is gone has nothing more to say
        match taken_off && thread.place == Place::OpenPull {
            true => Ignored::Stale,
            false => Ignored::AsItWas,
        }
    }

    // ---- the forge

    async fn store(&mut self) -> Result<()> {
        let mut lost = BTreeSet::new();
        // the dashboard comes last: a box about what could not be stored stays ticked
        for (at, mut todo) in std::mem::take(&mut self.todo) {
            todo.handled.retain(|(_, about)| !lost.contains(about));
            let Some(thread) = self.threads.get(at).cloned() else {
                continue;
            };
            let (body, failed) = match self.work.dry_run {
                true => (changed(&thread.body, &thread, &todo, self.work), false),
                false => match because(todo.why.clone(), write(self.work, &thread, &todo)).await {
                    Ok(body) => (body, false),
                    Err(error) if error.is_outage() => return Err(error),
                    Err(_) => (String::new(), true),
                },
            };
            match failed {
                true => {
                    lost.insert(at);
                    self.unheard(at, &thread, &todo);
                }
                false => self.mirror(&thread, body),
            }
        }
        Ok(())
    }

    /// What could not be stored was not heard: this pass does nothing of it, and the answer says so.
    fn unheard(&mut self, at: usize, thread: &Thread, todo: &Todo) {
        let on_dashboard = thread.place == Place::Dashboard;
        for request in &mut self.requests {
            let here = request.number == thread.number;
            for item in &mut request.items {
                // a pause is stored in the dashboard, wherever it was said
                let concerned = match is_pause(item) {
                    true => on_dashboard,
                    false => here,
                };
                if concerned && item.verdict == Verdict::Heard {
                    item.verdict = Verdict::Refused(Refused::NoState);
                }
            }
        }
        if todo.changes.contains(&Change::Resume) {
            self.observed.paused.clone_from(&self.paused_before);
        }
        let before = self.observed.markers.get(&thread.number).cloned();
        let pending = before.iter().flat_map(|m| m.pending.clone()).collect();
        self.forget(thread.number, todo);
        if let Some(known) = self.threads.get_mut(at) {
            known.marker = before;
        }
        self.wish(at, &thread.head, pending);
    }

    fn forget(&mut self, number: u64, todo: &Todo) {
        let asked = &mut self.observed.asked;
        for set in [
            &mut asked.rebase,
            &mut asked.recreate,
            &mut asked.retry,
            &mut asked.unignore,
            &mut asked.revert,
        ] {
            set.remove(&number);
        }
        for change in &todo.changes {
            if let Change::Pending(what) = change
                && let Some((fingerprint, _)) = what
                    .strip_prefix("approve=")
                    .and_then(|p| p.split_once('@'))
            {
                asked.approve.remove(fingerprint);
            }
        }
    }

    fn mirror(&mut self, thread: &Thread, body: String) {
        let number = thread.number;
        if let Some(marker) = &thread.marker {
            self.observed.markers.insert(number, marker.clone());
        }
        if let Some(ours) = self
            .observed
            .pulls
            .iter_mut()
            .find(|p| p.pull.number == number)
        {
            ours.pull.labels.clone_from(&thread.labels);
            ours.pull.body = body;
            return;
        }
        let issues = self.observed.questions.iter_mut();
        let mut issues = issues.chain(self.observed.dashboard.iter_mut());
        if let Some(issue) = issues.find(|i| i.number == number) {
            issue.labels.clone_from(&thread.labels);
            issue.body = body;
        }
    }

    fn finish(self) -> Heard {
        let answers = said::answers(self.observed);
        self.observed.asked.said.clone_from(&answers);
        let has_pending = |t: &&Thread| t.marker.as_ref().is_some_and(|m| !m.pending.is_empty());
        let pending: BTreeSet<u64> = self
            .threads
            .iter()
            .filter(has_pending)
            .map(|t| t.number)
            .collect();
        let left = (0..self.threads.len()).filter(|at| self.is_still_left(*at));
        let left = left.filter_map(|at| self.threads.get(at).map(|t| t.number));
        Heard {
            answers,
            left: left.collect(),
            requests: self.requests,
            pending,
        }
    }
}

async fn read_head(work: &Work<'_>, thread: &Thread) -> Result<Head> {
    let fresh = match work.github.pull(thread.number).await {
        Ok(fresh) => fresh,
        Err(error) if error.is_outage() => return Err(error),
        Err(_) => return Ok(Head::Blurred),
    };
    if fresh.head_sha != thread.head || fresh.state != PullState::Open {
        return Ok(Head::Blurred);
    }
    if thread.ours {
        return Ok(Head::Ours);
    }
    let pushed = work.github.pushed_at(&fresh.head_ref, &fresh.head_sha);
    if let Some(at) = pushed.await? {
        return Ok(Head::Theirs(at));
    }
    match work.github.commit(&thread.head).await {
        // the pull request was opened with a commit of ours: theirs came later, whatever it claims
        Ok(commit) if commit.committed_at < fresh.created_at => Ok(Head::Undated),
        Ok(commit) => Ok(Head::Theirs(commit.committed_at)),
        Err(error) if error.is_outage() => Err(error),
        Err(_) => Ok(Head::Blurred),
    }
}

/// Whether the run that keeps a pull request gave no word for too long.
fn is_silent(marker: &Marker, now: jiff::Timestamp) -> bool {
    let word = marker.reporter(marker.keeper(now));
    word.is_none_or(|w| now.duration_since(w.seen) >= EXPIRY)
}

fn is_pause(item: &Item) -> bool {
    matches!(item.what, What::Command(Command::Pause | Command::Resume))
}

/// Whether anything that is said holds only for the head that its author saw.
fn binds(one: &Unanswered, allowed: &[Permitted]) -> bool {
    let changes = |(said, may): (&std::result::Result<Command, _>, &Permitted)| {
        *may == Permitted::Yes && said.as_ref().is_ok_and(Command::changes_head)
    };
    one.parsed.commands.is_empty() || one.parsed.commands.iter().zip(allowed).any(changes)
}

/// What a box does.
fn command_of(tick: &Tick) -> Option<Command> {
    Some(match tick.name.as_str() {
        "rebase" => Command::Rebase,
        "recreate" => Command::Recreate,
        "retry" => Command::Retry { hint: None },
        "ignore" => Command::Ignore { period: None },
        "unignore" => Command::Unignore,
        "pause" => Command::Pause,
        "resume" => Command::Resume,
        "choose" => Command::Choose {
            option: tick.of.parse().ok().filter(|n| (1..100).contains(n))?,
        },
        _ => return None,
    })
}

type Judged = (Verdict, Vec<Effect>);

fn items(
    one: &Unanswered,
    allowed: &[Permitted],
    judged: impl Fn(&Command) -> Judged,
) -> (Vec<Item>, Vec<Effect>) {
    items_of(&one.parsed.commands, allowed, judged)
}

fn items_of(
    said: &[std::result::Result<Command, crate::command::Mistake>],
    allowed: &[Permitted],
    judged: impl Fn(&Command) -> Judged,
) -> (Vec<Item>, Vec<Effect>) {
    let (mut items, mut effects) = (Vec::new(), Vec::new());
    for (said, may) in said.iter().zip(allowed) {
        let (what, verdict) = match (said, may) {
            (Err(mistake), _) => (What::Mistake(mistake.clone()), Verdict::Asked),
            (Ok(command), Permitted::No(who)) => {
                (What::Command(command.clone()), Verdict::NotPermitted(*who))
            }
            (Ok(command), Permitted::Yes) => {
                let (verdict, more) = judged(command);
                effects.extend(more);
                (What::Command(command.clone()), verdict)
            }
        };
        items.push(Item { what, verdict });
    }
    (items, effects)
}

/// The body with all changes made. Where its marker cannot be read, what is known of it counts.
fn changed(body: &str, thread: &Thread, todo: &Todo, work: &Work<'_>) -> String {
    let handled: Vec<Tick> = todo.handled.iter().map(|(tick, _)| tick.clone()).collect();
    let body = unticked(body, &handled);
    let known = hidden::read(&body, work.key).or_else(|| thread.marker.clone());
    let Some(mut marker) = known.filter(|_| !todo.changes.is_empty()) else {
        return body;
    };
    todo.changes.iter().for_each(|c| apply(&mut marker, c));
    hidden::with(&body, &marker, work.key)
}

/// Writes one thread's changes into its body as it is now. A label that says "ignored" comes before
/// the state that says until when, and goes after it: what is ignored never looks free in between.
async fn write(work: &Work<'_>, thread: &Thread, todo: &Todo) -> Result<String> {
    let github = work.github;
    let number = thread.number;
    let did = |wanted: fn(&Change) -> bool| todo.changes.iter().any(wanted);
    if did(|c| matches!(c, Change::Ignore(_))) && has(&thread.labels, IGNORED) {
        github.add_labels(number, &[IGNORED.to_owned()]).await?;
    }
    let body = edit(work, number, thread.place.is_pull(), |b| {
        changed(b, thread, todo, work)
    })
    .await?;
    if did(|c| matches!(c, Change::Unignore | Change::Allow)) && !has(&thread.labels, IGNORED) {
        github.remove_label(number, IGNORED).await?;
    }
    if did(|c| *c == Change::Resume) {
        github.remove_label(number, PAUSED).await?;
    }
    Ok(body)
}

fn has(labels: &[String], label: &str) -> bool {
    labels.iter().any(|l| l.eq_ignore_ascii_case(label))
}

fn without(labels: &mut Vec<String>, label: &str) {
    labels.retain(|l| !l.eq_ignore_ascii_case(label));
}

/// Changes a body as it is now; writes nothing where nothing differs.
pub(super) async fn edit(
    work: &Work<'_>,
    number: u64,
    is_pull: bool,
    change: impl Fn(&str) -> String,
) -> Result<String> {
    let github = work.github;
    let (title, body) = match is_pull {
        true => github.pull(number).await.map(|p| (p.title, p.body))?,
        false => github.issue(number).await.map(|i| (i.title, i.body))?,
    };
    let new = change(&body);
    if new != body {
        match is_pull {
            true => github.edit_pull(number, &title, &new).await?,
            false => github.edit_issue(number, &title, &new).await?,
        }
    }
    Ok(new)
}
