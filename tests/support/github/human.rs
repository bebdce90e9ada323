//! What people do, past the API: it is not in the journal, and no fault touches it.

use super::GitHub;
use super::git::Object;
use super::state::{Kind, State};
use super::wire::Reply;

/// Somebody.
pub struct Human<'g> {
    github: &'g GitHub,
    repo: String,
    id: u64,
}

fn must<T>(result: Result<T, Reply>) -> T {
    result.unwrap_or_else(|r| panic!("GitHub refused what a person did: {} {}", r.status, r.body))
}

/// In which of the three lists a comment is.
fn kind_of(state: &mut State, repo: &str, id: u64) -> Result<Kind, Reply> {
    let mut kinds = [Kind::Issue, Kind::Line, Kind::Review].into_iter();
    let kind = kinds.find(|kind| state.find_comment(repo, *kind, id).is_ok());
    kind.ok_or_else(Reply::not_found)
}

impl<'g> Human<'g> {
    pub(super) fn new(github: &'g GitHub, login: &str) -> Self {
        let id = github.world().state.account(login);
        Self {
            github,
            repo: github.repo().to_owned(),
            id,
        }
    }

    /// Acts in another repository.
    pub fn in_repo(mut self, full_name: &str) -> Self {
        full_name.clone_into(&mut self.repo);
        self
    }

    fn act<T>(&self, act: impl FnOnce(&mut State, &str, u64) -> Result<T, Reply>) -> T {
        must(act(&mut self.github.world().state, &self.repo, self.id))
    }

    /// The numeric id.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// Writes into the conversation; the comment's id.
    pub fn comment(&self, number: u64, text: &str) -> u64 {
        self.act(|s, repo, me| s.comment(repo, number, text, me))
    }

    /// Takes another login; what this account may do goes with it.
    pub fn rename(&self, login: &str) {
        let state = &mut self.github.world().state;
        let before = state.login(self.id).to_lowercase();
        for repo in state.repos.values_mut() {
            if let Some(role) = repo.roles.remove(&before) {
                repo.roles.insert(login.to_lowercase(), role);
            }
        }
        let mut users = state.users.iter_mut();
        let user = users.find(|u| u.id == self.id);
        login.clone_into(&mut user.expect("this account").login);
    }

    /// Changes a comment of any kind.
    pub fn edit_comment(&self, id: u64, text: &str) {
        self.act(|s, repo, _| {
            let kind = kind_of(s, repo, id)?;
            s.edit_comment(repo, kind, id, text)
        });
    }

    /// Deletes a comment of any kind.
    pub fn delete_comment(&self, id: u64) {
        self.act(|s, repo, _| {
            let kind = kind_of(s, repo, id)?;
            let (number, _) = s.find_comment(repo, kind, id)?;
            s.tick();
            let item = s.item_mut(repo, number)?;
            match (kind, item.pull.as_mut()) {
                (Kind::Line, Some(pull)) => pull.review_comments.retain(|c| c.id != id),
                (Kind::Review, Some(pull)) => pull.reviews.retain(|c| c.id != id),
                _ => item.comments.retain(|c| c.id != id),
            }
            Ok(())
        });
    }

    /// Changes the body of an issue or pull request.
    pub fn edit_body(&self, number: u64, body: &str) {
        self.act(|s, repo, _| {
            let at = s.tick();
            let item = s.item_mut(repo, number)?;
            body.clone_into(&mut item.body);
            item.updated_at = at;
            Ok(())
        });
    }

    pub fn edit_title(&self, number: u64, title: &str) {
        self.act(|s, repo, _| {
            let at = s.tick();
            let item = s.item_mut(repo, number)?;
            title.clone_into(&mut item.title);
            item.updated_at = at;
            Ok(())
        });
    }

    /// Ticks the box on the line of the body that holds a text.
    pub fn tick_box(&self, number: u64, needle: &str) {
        let body = self.github.item(number).body;
        let line = body
            .lines()
            .find(|l| l.contains(needle) && l.contains("[ ]"));
        let line = line.unwrap_or_else(|| panic!("no box with {needle} in:\n{body}"));
        self.edit_body(number, &body.replace(line, &line.replacen("[ ]", "[x]", 1)));
    }

    pub fn close(&self, number: u64) {
        self.act(|s, repo, me| s.close(repo, number, me, None));
    }

    /// `completed`, `not_planned`.
    pub fn close_as(&self, number: u64, reason: &str) {
        self.act(|s, repo, me| s.close(repo, number, me, Some(reason)));
    }

    pub fn reopen(&self, number: u64) {
        self.act(|s, repo, me| s.reopen(repo, number, me));
    }

    /// Like [`Self::reopen`], with GitHub's refusal.
    pub fn try_reopen(&self, number: u64) -> Result<(), Reply> {
        self.github
            .world()
            .state
            .reopen(&self.repo, number, self.id)
    }

    pub fn label(&self, number: u64, label: &str) {
        self.act(|s, repo, me| s.add_labels(repo, number, &[label.to_owned()], me));
    }

    pub fn unlabel(&self, number: u64, label: &str) {
        self.act(|s, repo, me| s.remove_label(repo, number, label, me));
    }

    /// Pushes a commit onto a branch (made from the default branch when it is new); its id.
    pub fn push(&self, branch: &str, files: &[(&str, &str)]) -> String {
        self.push_with(branch, files, "Change some files\n")
    }

    pub fn push_with(&self, branch: &str, files: &[(&str, &str)], message: &str) -> String {
        self.act(|s, repo, me| {
            let inner = s.repo(repo)?;
            let own = inner
                .branches
                .get(branch)
                .or_else(|| inner.branches.get(&inner.default_branch));
            let parent = own.cloned().ok_or_else(Reply::not_found)?;
            let files: Vec<(&str, Option<&[u8]>)> = files
                .iter()
                .map(|(p, t)| (*p, Some(t.as_bytes())))
                .collect();
            let sha = s.commit_files(repo, &[parent], &files, message, me)?;
            s.set_branch(repo, branch, Some(&sha), me)?;
            Ok(sha)
        })
    }

    /// Pushes a commit that claims to be of another time; its id.
    pub fn push_dated(
        &self,
        branch: &str,
        files: &[(&str, &str)],
        date: jiff::Timestamp,
    ) -> String {
        self.act(|s, repo, me| {
            let parent = s.repo(repo)?.branches.get(branch).cloned();
            let parent = parent.ok_or_else(Reply::not_found)?;
            let files: Vec<(&str, Option<&[u8]>)> = files
                .iter()
                .map(|(p, t)| (*p, Some(t.as_bytes())))
                .collect();
            let made = s.commit_files(repo, &[parent], &files, "Change some files\n", me)?;
            let git = &mut s.repo_mut(repo)?.git;
            let mut commit = git.commit(&made).cloned().ok_or_else(Reply::not_found)?;
            commit.committer.at = date;
            let sha = git.put(Object::Commit(commit));
            s.set_branch(repo, branch, Some(&sha), me)?;
            Ok(sha)
        })
    }

    /// Points a branch at a commit, forwards or not.
    pub fn force(&self, branch: &str, to: &str) {
        self.act(|s, repo, me| s.set_branch(repo, branch, Some(to), me));
    }

    pub fn delete_branch(&self, branch: &str) {
        self.act(|s, repo, me| s.set_branch(repo, branch, None, me));
    }

    /// Merges: `merge`, `squash` or `rebase`; the commit.
    pub fn merge(&self, number: u64, how: &str) -> String {
        self.act(|s, repo, me| s.merge(repo, number, how, None, me))
    }

    /// Like [`Self::merge`], with GitHub's refusal.
    pub fn try_merge(&self, number: u64, how: &str) -> Result<String, Reply> {
        self.github
            .world()
            .state
            .merge(&self.repo, number, how, None, self.id)
    }

    /// `APPROVED`, `CHANGES_REQUESTED` or `COMMENTED`; the review's id.
    pub fn review(&self, number: u64, verdict: &str, body: &str) -> u64 {
        self.act(|s, repo, me| s.review(repo, number, verdict, body, me))
    }

    /// A comment on a line; its id.
    pub fn line_comment(&self, number: u64, path: &str, line: u64, text: &str) -> u64 {
        self.act(|s, repo, me| s.line_comment(repo, number, path, line, text, None, me))
    }

    /// A review whose comment was drafted minutes before it was sent; the comment's id.
    pub fn drafted_comment(&self, number: u64, path: &str, line: u64, text: &str) -> u64 {
        let id = self.line_comment(number, path, line, text);
        self.act(|s, repo, _| {
            let (_, comment) = s.find_comment(repo, Kind::Line, id)?;
            comment.created_at -= jiff::SignedDuration::from_mins(7);
            Ok(id)
        })
    }

    pub fn react(&self, kind: Kind, id: u64, content: &str) {
        self.act(|s, repo, me| {
            let reaction = s.id();
            let (_, comment) = s.find_comment(repo, kind, id)?;
            comment.reactions.push((reaction, me, content.to_owned()));
            Ok(())
        });
    }

    /// Gives a pull request another base.
    pub fn retarget(&self, number: u64, base: &str) {
        self.act(|s, repo, _| s.retarget(repo, number, base));
    }

    /// Makes it ready, or a draft.
    pub fn set_draft(&self, number: u64, draft: bool) {
        self.act(|s, repo, me| {
            s.pull_mut(repo, number)?.draft = draft;
            s.event(
                repo,
                number,
                if draft {
                    "convert_to_draft"
                } else {
                    "ready_for_review"
                },
                me,
            )
        });
    }

    /// Opens a pull request; `head` may be `fork:branch`.
    pub fn open_pull(&self, head: &str, base: &str, title: &str, body: &str) -> u64 {
        self.act(|s, repo, me| s.open_pull(repo, head, base, title, body, false, me))
    }

    pub fn open_issue(&self, title: &str, body: &str) -> u64 {
        self.act(|s, repo, me| s.open_issue(repo, title, body, &[], me))
    }

    pub fn lock(&self, number: u64) {
        self.act(|s, repo, _| {
            s.item_mut(repo, number)?.locked = true;
            Ok(())
        });
    }

    /// Gives somebody another role.
    pub fn grant(&self, login: &str, role: &str) {
        self.act(|s, repo, _| {
            s.account(login);
            s.repo_mut(repo)?
                .roles
                .insert(login.to_lowercase(), role.to_owned());
            Ok(())
        });
    }

    pub fn archive(&self) {
        self.act(|s, repo, _| {
            s.repo_mut(repo)?.archived = true;
            Ok(())
        });
    }
}
