//! A merged fix, taken back by a pull request of its own: a person asked for it, or the cluster
//! proves that it made things worse.
//!
//! Only what the merge changed is undone. Where the files are still what the merge made of them,
//! they get their bytes from before back; where somebody changed them since, only the lines of the
//! fix are undone, if they are still there and nothing else touches them; otherwise it is refused
//! with the reason. What people took back already is left alone.

use std::collections::BTreeMap;

use tracing::Instrument as _;

use super::{Outcome, trailers};
use crate::audit::{Reason, because};
use crate::code::{Code, Refusal};
use crate::cycle::{Touched, Work, computing};
use crate::evidence::redact;
use crate::forge::decide::{LABEL, Observed, OurPull, REVERT, STOP_UPDATING, has_label};
use crate::forge::marker::{self, Marker, What};
use crate::forge::reporters::Reporter;
use crate::forge::{Pull, PullState, identity};
use crate::github::{CommitFacts, Error, NewFiles, Result};
use crate::message::forge::with_marker;
use crate::message::revert as words;
use crate::patch;
use crate::phase::Phase;
use crate::revert::Proof;
use crate::verify::expect::Expected;

/// The most files of a pull request that is taken back.
const MAX_FILES: usize = 50;
const LABELS: [&str; 2] = [LABEL, REVERT];

/// Opens the pull requests that people asked for; what cannot be taken back is a note. An outage
/// ends it.
pub async fn revert(work: &Work<'_>, observed: &Observed, outcome: &mut Outcome) -> Result<()> {
    if work.dry_run || observed.paused.is_some() || !work.rules.enabled {
        return Ok(());
    }
    for (pull, marker) in unlabelled(observed) {
        let labelled = label(work, pull, marker.clone());
        let labelled = because(about(Some(marker)), labelled).await;
        noted(pull, labelled, &mut outcome.notes)?;
    }
    for number in &observed.asked.revert {
        let Some(fix) = observed.pulls.iter().find(|p| p.pull.number == *number) else {
            continue;
        };
        let revert = Revert {
            work,
            observed,
            fix,
        };
        let why = about(observed.markers.get(number));
        let taken_back = revert.run().instrument(Phase::Revert.span());
        match because(why.clone(), taken_back).await {
            Ok((touched, new)) => {
                outcome.pulls.push(touched);
                if let Some((pull, marker)) = new {
                    let labelled = because(why, label(work, &pull, marker)).await;
                    noted(&pull, labelled, &mut outcome.notes)?;
                }
            }
            Err(Stop::Outage(error)) => return Err(error),
            Err(Stop::Failed(error)) => {
                outcome.unreverted.insert(*number);
                // a regression is taken back by the next pass; a person has to ask again
                let again = match observed.regressed.contains_key(number) {
                    true => "",
                    false => "; say it again to try once more",
                };
                let note = format!("{}{error}{again}", refused(*number));
                outcome.notes.push(note);
            }
            Err(Stop::Refused(why)) => outcome.notes.push(format!("{}{why}", refused(*number))),
        }
    }
    Ok(())
}

/// What is written about, for the audit log.
fn about(marker: Option<&Marker>) -> Reason {
    Reason {
        fingerprint: marker.map(|m| m.fingerprint.clone()).unwrap_or_default(),
        ..Reason::default()
    }
}

/// Open ones that people have not taken over, and their labels were never all set by us. What was
/// set once stays with people.
fn unlabelled(observed: &Observed) -> impl Iterator<Item = (&Pull, &Marker)> {
    let mine = |p: &&OurPull| {
        p.pull.author.id == observed.me.id
            && p.pull.state == PullState::Open
            && p.foreign_commits == Some(0)
            && !has_label(&p.pull.labels, STOP_UPDATING)
    };
    let known = |p: &'_ OurPull| observed.markers.get(&p.pull.number);
    let all = observed.pulls.iter().filter(mine);
    all.filter_map(move |p| Some((&p.pull, known(p)?)))
        .filter(|(_, m)| m.what == What::Revert && !missing(m).is_empty())
}

fn missing(marker: &Marker) -> Vec<String> {
    let missing = LABELS.into_iter().filter(|l| !has_label(&marker.labels, l));
    missing.map(str::to_owned).collect()
}

/// Sets what is missing, and remembers that it was set.
async fn label(work: &Work<'_>, pull: &Pull, mut marker: Marker) -> Result<()> {
    let missing = missing(&marker);
    work.github.add_labels(pull.number, &missing).await?;
    marker.labels.extend(missing);
    let now = work.github.pull(pull.number).await?;
    let hidden = marker::write(&marker, work.key);
    let body = with_marker(&marker::strip(&now.body), &hidden);
    work.github.edit_pull(now.number, &now.title, &body).await
}

/// Labels never fail a pass; the next one sets what could not be set.
fn noted(pull: &Pull, labelled: Result<()>, notes: &mut Vec<String>) -> Result<()> {
    match labelled {
        Err(error) if error.is_outage() => return Err(error),
        Err(error) => notes.push(format!("labels of #{}: {error}", pull.number)),
        Ok(()) => {}
    }
    Ok(())
}

fn refused(number: u64) -> String {
    format!("revert of #{number}: ")
}

/// Why a pull request could not be taken back, among the notes of a pass.
pub(super) fn refusal(notes: &[String], number: u64) -> Option<&str> {
    let refused = refused(number);
    notes.iter().find_map(|n| n.strip_prefix(&refused))
}

/// Reason it goes no further.
enum Stop {
    Outage(Error),
    /// Worth another try.
    Failed(String),
    Refused(String),
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        match error.is_outage() {
            true => Self::Outage(error),
            false => Self::Failed(error.to_string()),
        }
    }
}

fn refuse<T>(why: impl Into<String>) -> std::result::Result<T, Stop> {
    Err(Stop::Refused(why.into()))
}

type Step<T> = std::result::Result<T, Stop>;

struct Revert<'a, 'w> {
    work: &'a Work<'w>,
    observed: &'a Observed,
    fix: &'a OurPull,
}

impl Revert<'_, '_> {
    /// The pull request that takes it back; and, where it is new, what its labels need.
    async fn run(&self) -> Step<(Touched, Option<(Pull, Marker)>)> {
        let marker = self.marker()?;
        let branch = identity::revert_branch(&self.work.rules.branch_prefix, &marker.fingerprint);
        let there = self.work.github.pulls_of(&branch).await?;
        let open = there.iter().find(|p| p.state == PullState::Open);
        if let Some(open) = open {
            if open.author.id != self.observed.me.id {
                return refuse(format!("#{} of somebody else uses {branch}", open.number));
            }
            let head = &open.head_sha;
            let touched = touched(open.number, "none", &marker, &branch, head);
            return Ok((touched, None));
        }
        let since = self.fix.pull.closed_at;
        let mut all = there.iter();
        let no = all.find(|p| p.state == PullState::Closed && p.closed_at > since);
        if let (Some(_), Some(no)) = (self.why(), no) {
            return refuse(format!("#{} would have, and was closed", no.number));
        }
        let commits = self.work.github.commits_of(self.fix.pull.number).await?;
        let files = self.files(&commits).await?;
        let proof = self.proof(&marker, &files)?;
        self.only_ours(&commits, &proof)?;
        let pull = &self.fix.pull;
        let fingerprint = &marker.fingerprint;
        let message = words::commit(pull.number, &pull.title, fingerprint, self.why());
        let signer = self.work.rules.signoff.then_some(&self.observed.me);
        let message = trailers::complete(&message, &marker, signer);
        let head = self.branch(&branch, &files, &message).await?;
        let new = self
            .open(&branch, &head, marker.clone(), &files, &proof)
            .await?;
        let touched = touched(new.0.number, "created", &marker, &branch, &head);
        Ok((touched, Some(new)))
    }

    fn why(&self) -> Option<&str> {
        let regressed = self.observed.regressed.get(&self.fix.pull.number);
        regressed.map(String::as_str)
    }

    /// What the fix said about itself. Only our own, merged ones can be taken back.
    fn marker(&self) -> Step<Marker> {
        let pull = &self.fix.pull;
        if pull.state != PullState::Merged || pull.author.id != self.observed.me.id {
            return refuse("only a merged pull request of kubemend is taken back");
        }
        if pull.base_ref != self.observed.base_branch {
            return refuse(format!("it was merged into {}", pull.base_ref));
        }
        let marker = self.observed.markers.get(&pull.number);
        let marker = marker.filter(|m| m.what == What::Fix && m.fingerprint.len() >= 8);
        match marker {
            Some(marker) => Ok(marker.clone()),
            None => refuse("it does not say what it mended"),
        }
    }

    // ---- what is written

    /// New content of every file that has to change.
    async fn files(&self, commits: &[CommitFacts]) -> Step<NewFiles> {
        let github = self.work.github;
        let merge = self.fix.pull.merge_commit.clone();
        let Some(merge) = merge else {
            return refuse("GitHub does not say which commit the merge made");
        };
        let before = self.before(&merge, commits).await?;
        let paths = github.files_of(self.fix.pull.number).await?;
        if paths.is_empty() || paths.len() > MAX_FILES {
            return refuse(format!("it changed {} files", paths.len()));
        }
        let mut files = NewFiles::new();
        for path in &paths {
            if path.starts_with(".github/") {
                return refuse(format!("it changed {path}, which kubemend never writes"));
            }
            let old = github.file(path, &before).await?;
            let merged = github.file(path, &merge).await?;
            let now = github.file(path, &self.observed.base_sha).await?;
            if let Some(bytes) = undone(path, old, merged, now)? {
                files.insert(path.clone(), bytes);
            }
        }
        match files.is_empty() {
            true => refuse("its content is back already; nothing is left to take back"),
            false => Ok(files),
        }
    }

    /// It changes what the fix changed, and nothing else.
    fn proof(&self, fix: &Marker, files: &NewFiles) -> Step<Proof> {
        let Some(prove) = self.work.prove else {
            return Ok(Proof::default());
        };
        computing(|| prove(&fix.expects, files)).map_err(|refusal| unproven(&refusal))
    }

    /// A verdict takes back only what kubemend did. Where the fields are proven, a merge of the base into the
    /// branch changes nothing about that.
    fn only_ours(&self, commits: &[CommitFacts], proof: &Proof) -> Step<()> {
        let is_ours = |c: &CommitFacts| {
            let merges = c.parents.len() > 1 && proof.is_proven();
            merges || trailers::is_ours(c, &self.observed.me)
        };
        match self.why().is_none() || commits.iter().all(is_ours) {
            true => Ok(()),
            false => refuse(
                "people pushed to it before the merge, and that would be taken back, too; `/kubemend revert` does that",
            ),
        }
    }

    /// The commit before the merge: the parent of a merge or squash, or the one before as many
    /// commits as a rebase put on top of it.
    async fn before(&self, merge: &str, commits: &[CommitFacts]) -> Step<String> {
        let github = self.work.github;
        let mut at = github.commit(merge).await?;
        let rebased = at.parents.len() == 1 && commits.len() > 1 && commits.len() <= MAX_FILES;
        for commit in commits.iter().rev().skip(1) {
            let on = parent(&at)?;
            if !rebased || commit.message.trim() != github.commit(&on).await?.message.trim() {
                break;
            }
            at = github.commit(&on).await?;
        }
        parent(&at)
    }

    /// The branch with one commit on the base. A left-over of ours is written over, nothing else.
    async fn branch(&self, branch: &str, files: &NewFiles, message: &str) -> Step<String> {
        let github = self.work.github;
        let base = &self.observed.base_sha;
        let made = github.make_commit(base, files, message).await?;
        let done = match github.branch_head(branch).await? {
            None => github.create_branch(branch, &made.sha).await?,
            Some(head) => {
                let old = github.commit(&head).await?;
                if !trailers::is_ours(&old, &self.observed.me) {
                    return refuse(format!("{branch} holds commits of others"));
                }
                github.move_branch(branch, &head, &made).await?
            }
        };
        match done {
            true => Ok(made.sha),
            false => Err(Stop::Failed(format!("{branch} moved during this pass"))),
        }
    }

    async fn open(
        &self,
        branch: &str,
        head: &str,
        fix: Marker,
        files: &NewFiles,
        proof: &Proof,
    ) -> Step<(Pull, Marker)> {
        let github = self.work.github;
        // those who look at the fix look at this one, too, and nobody who was silent at its merge
        let merged = self.fix.pull.closed_at.unwrap_or(self.work.now);
        let again = |r: &Reporter| Reporter {
            seen: self.work.now,
            ..r.clone()
        };
        let reporters = fix.reporting(merged).map(again).collect();
        let marker = Marker {
            what: What::Revert,
            repo: self.observed.repo_id,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            base: self.observed.base_sha.clone(),
            head: head.to_owned(),
            attempt: 1,
            key: fix.key,
            fingerprint: fix.fingerprint,
            scope: fix.scope,
            reporters,
            also: fix.also,
            change: fix.change,
            object: fix.object,
            class: fix.class,
            expects: fix.expects.iter().map(Expected::as_in_git).collect(),
            ..Marker::default()
        };
        let pull = &self.fix.pull;
        let files = files.keys().map(String::as_str);
        let text = words::body(pull.number, &pull.title, self.why(), files, proof);
        let body = with_marker(&text, &marker::write(&marker, self.work.key));
        let title = words::title(&pull.title);
        let base = &self.observed.base_branch;
        let pull = match github.open_pull(branch, base, &title, &body, false).await {
            Ok(pull) => pull,
            Err(error) => self.found(branch, error).await?,
        };
        Ok((pull, marker))
    }

    /// It may be there all the same: the answer got lost, or somebody was faster.
    async fn found(&self, branch: &str, error: Error) -> Step<Pull> {
        let there = self.work.github.pulls_of(branch).await?;
        let open = there.into_iter().find(|p| p.state == PullState::Open);
        match open.filter(|p| p.author.id == self.observed.me.id) {
            Some(open) => Ok(open),
            None => Err(error.into()),
        }
    }
}

/// What says no will say so again; a renderer that gave up, or files that cannot be read now, may not.
fn unproven(refusal: &Refusal) -> Stop {
    let why = redact::text(&refusal.message);
    match refusal.code {
        Code::NotVerifiable => Stop::Refused(format!(
            "the way back cannot be proven: {why}; take it back by hand"
        )),
        _ => Stop::Failed(format!("the way back is not proven: {why}")),
    }
}

fn parent(commit: &CommitFacts) -> Step<String> {
    match commit.parents.first() {
        Some(parent) => Ok(parent.clone()),
        None => refuse("nothing was there before it"),
    }
}

/// What a file becomes; `None` where it is as before already.
fn undone(
    path: &str,
    old: Option<Vec<u8>>,
    merged: Option<Vec<u8>>,
    now: Option<Vec<u8>>,
) -> Step<Option<Vec<u8>>> {
    if now == old || merged == old {
        return Ok(None);
    }
    let (Some(old), Some(merged)) = (old, merged) else {
        return refuse(format!(
            "it added or deleted {path}, and kubemend does neither"
        ));
    };
    let Some(now) = now else {
        return refuse(format!("{path} is gone"));
    };
    if now == merged {
        return Ok(Some(old));
    }
    let texts = (
        String::from_utf8(merged),
        String::from_utf8(now),
        String::from_utf8(old),
    );
    let (Ok(merged), Ok(now), Ok(old)) = texts else {
        return refuse(format!("{path} changed since, and is no text"));
    };
    let undone = patch::rebased(&merged, &old, &now);
    match undone.filter(|new| same_difference(&merged, &old, &now, new)) {
        Some(new) if new == now => Ok(None),
        Some(new) => Ok(Some(new.into_bytes())),
        None => refuse(format!(
            "{path} changed since at the same place; take it back by hand"
        )),
    }
}

/// Whether from `now` to `new` exactly the same values change as from `merged` to `old`.
fn same_difference(merged: &str, old: &str, now: &str, new: &str) -> bool {
    let wanted = values(merged)
        .zip(values(old))
        .map(|(a, b)| difference(&a, &b));
    let made = values(now)
        .zip(values(new))
        .map(|(a, b)| difference(&a, &b));
    wanted.is_some() && wanted == made
}

type Values = BTreeMap<String, String>;

/// Every scalar of a YAML text by its place; places in lists are counted.
fn values(text: &str) -> Option<Values> {
    let documents = crate::manifest::read_stream(text).ok()?;
    let mut out = Values::new();
    for (i, document) in documents.iter().enumerate() {
        collect(&format!("{i}"), document, &mut out, 0);
    }
    Some(out)
}

fn collect(at: &str, value: &serde_json::Value, out: &mut Values, depth: usize) {
    match value {
        _ if depth > 64 => {}
        serde_json::Value::Object(map) if !map.is_empty() => {
            for (key, inner) in map {
                collect(&format!("{at}\u{0}{key}"), inner, out, depth + 1);
            }
        }
        serde_json::Value::Array(items) if !items.is_empty() => {
            for (i, inner) in items.iter().enumerate() {
                collect(&format!("{at}\u{0}[{i}]"), inner, out, depth + 1);
            }
        }
        scalar => {
            out.insert(at.to_owned(), scalar.to_string());
        }
    }
}

/// What is different: by place, before and after.
fn difference(a: &Values, b: &Values) -> BTreeMap<String, (Option<String>, Option<String>)> {
    let places = a.keys().chain(b.keys());
    places
        .filter(|p| a.get(*p) != b.get(*p))
        .map(|p| (p.clone(), (a.get(p).cloned(), b.get(p).cloned())))
        .collect()
}

fn touched(
    number: u64,
    operation: &'static str,
    marker: &Marker,
    branch: &str,
    head: &str,
) -> Touched {
    Touched {
        number,
        operation,
        fingerprint: marker.fingerprint.clone(),
        branch: branch.to_owned(),
        head: head.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn undo(old: &str, merged: &str, now: &str) -> std::result::Result<Option<String>, String> {
        let bytes = |t: &str| Some(t.as_bytes().to_vec());
        match undone("a.yaml", bytes(old), bytes(merged), bytes(now)) {
            Ok(new) => Ok(new.map(|b| String::from_utf8(b).unwrap())),
            Err(Stop::Refused(why)) => Err(why),
            Err(Stop::Failed(error)) => panic!("{error}"),
            Err(Stop::Outage(error)) => panic!("{error}"),
        }
    }

    const OLD: &str = "kind: A\nmemory: 64Mi # why\ncpu: 1\nx: 1\n";
    const MERGED: &str = "kind: A\nmemory: 128Mi # why\ncpu: 1\nx: 1\n";

    /// Scorecard row 54, by hand.
    #[test]
    fn only_what_the_fix_changed_is_undone() {
        assert_eq!(undo(OLD, MERGED, MERGED), Ok(Some(OLD.into())), "bytes");
        assert_eq!(undo(OLD, MERGED, OLD), Ok(None), "a person was faster");
        let elsewhere = MERGED.replace("x: 1", "x: 2\ny: 3");
        let back = OLD.replace("x: 1", "x: 2\ny: 3");
        assert_eq!(
            undo(OLD, MERGED, &elsewhere),
            Ok(Some(back)),
            "others keep theirs"
        );
        let same = MERGED.replace("128Mi", "256Mi");
        assert!(
            undo(OLD, MERGED, &same)
                .unwrap_err()
                .contains("at the same place")
        );
        let broken = elsewhere.replace("kind: A", "kind: [");
        assert!(undo(OLD, MERGED, &broken).is_err(), "not to be proven");
    }

    #[test]
    fn only_what_may_pass_is_tried_again() {
        let stop = |code| unproven(&Refusal::new(code, "with it, root apps does not build"));
        let Stop::Refused(why) = stop(Code::NotVerifiable) else {
            panic!("it is final")
        };
        assert!(why.contains("root apps does not build; take it back by hand"));
        assert!(matches!(stop(Code::RenderFailed), Stop::Failed(_)));
    }

    #[test]
    fn files_that_came_or_went_are_refused() {
        let bytes = |t: &str| Some(t.as_bytes().to_vec());
        assert!(undone("a", None, bytes("x"), bytes("x")).is_err());
        assert!(undone("a", bytes("x"), bytes("y"), None).is_err());
        assert!(matches!(undone("a", None, bytes("x"), None), Ok(None)));
    }
}
