//! The only module that names git2: reads the files of a commit, their history, and writes a branch.
//!
//! Works on Git objects, never on the work tree: what is committed is what counts. A plain
//! directory without history can be read too; then there is nothing to commit to.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Component, Path, PathBuf};

use git2::build::TreeUpdateBuilder;
use git2::{
    DiffOptions, ErrorCode, FileMode, ObjectType, Repository, Signature, Sort, TreeWalkMode,
    TreeWalkResult,
};
use jiff::Timestamp;

use crate::case::Commit;
use crate::files::Files;
use crate::message::commit::LOCAL_AUTHOR;

pub mod gateway;
pub mod mirror;

/// The largest file that is read, in bytes; larger ones are noted and left out.
pub const MAX_FILE_BYTES: u64 = 16 << 20;
/// The most files of a repository.
pub const MAX_FILES: usize = 200_000;
/// The most bytes of a repository's files.
pub const MAX_TOTAL_BYTES: u64 = 1 << 30;
/// How many commits back history is searched.
const MAX_COMMITS: usize = 2_000;

/// Why a repository cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum RepoError {
    /// The directory cannot be read.
    #[error("{}: cannot be read: {message}", path.display())]
    Unreadable {
        /// The directory or file.
        path: PathBuf,
        /// The operating system's message.
        message: String,
    },
    /// A symlink points out of the tree.
    #[error(
        "{path}: symlink to {target:?} leaves the repository; nothing was read. Remove it, or point --repo at a folder without it"
    )]
    SymlinkEscape {
        /// The symlink.
        path: String,
        /// Where it points.
        target: String,
    },
    /// Too many or too large files.
    #[error("{path}: {message}")]
    TooLarge {
        /// The directory.
        path: String,
        /// The limit.
        message: String,
    },
    /// There is no Git history to commit to.
    #[error("{}: {message}", path.display())]
    NoHistory {
        /// The directory.
        path: PathBuf,
        /// Why not.
        message: String,
    },
    /// A branch of that name exists and is not kubemend's.
    #[error("branch {0} exists and was not made by kubemend for this finding; rename or delete it")]
    ForeignBranch(String),
    /// libgit2 failed.
    #[error("git: {0}")]
    Git(#[from] git2::Error),
}

/// A repository or a plain directory, read into memory.
pub struct Checkout {
    /// The directory that was given.
    pub root: PathBuf,
    /// The files of HEAD, or of the directory.
    pub files: Files,
    /// The commit that was read; none for a plain directory.
    pub head: Option<String>,
    /// What it is called, as far as it can tell by itself.
    pub identity: Identity,
    /// What was left out, one sentence each.
    pub notes: Vec<String>,
    git: Option<Repository>,
}

/// What a repository and the branch that fixes go to are called in fingerprints and write targets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// Its number on the forge, which outlives a new name; offline the remote's normalised URL, or
    /// `local`.
    pub repository: String,
    /// The branch; offline that of HEAD, or `-`.
    pub base: String,
}

impl Identity {
    /// The same for every copy of the repository, wherever it came from.
    pub fn on_forge(id: u64, base: &str) -> Self {
        Self {
            repository: id.to_string(),
            base: base.to_owned(),
        }
    }

    fn offline(repository: String, branch: Option<String>) -> Self {
        Self {
            repository,
            base: branch.unwrap_or_else(|| "-".to_owned()),
        }
    }
}

impl std::fmt::Debug for Checkout {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Checkout")
            .field("root", &self.root)
            .field("head", &self.head)
            .finish_non_exhaustive()
    }
}

/// An earlier content of a file.
#[derive(Debug, Clone)]
pub struct FileVersion {
    /// The file.
    pub path: String,
    /// The commit that replaced this content.
    pub replaced_by: Commit,
    /// The content before that commit.
    pub bytes: Vec<u8>,
}

/// What a merge brings in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Merge {
    /// The commit that it was merged into.
    pub base: String,
    /// The commit that was merged.
    pub brought: String,
    /// The files that differ from the base.
    pub changed: BTreeSet<String>,
}

const BELOW_ROOT: &str = "this folder is below the root of a Git repository; its files are read as they lie there, without history";
const NO_COMMIT: &str =
    "this Git repository has no commit yet; its files are read as they lie there, without history";

impl Checkout {
    /// Reads a repository's HEAD, or a plain directory.
    pub fn open(root: &Path) -> Result<Self, RepoError> {
        match Repository::open(root) {
            Ok(git) => match git.head().and_then(|h| h.peel_to_commit()).map(|c| c.id()) {
                Ok(head) => Self::at_commit(root, git, head),
                Err(_) => Self::plain(root, Some(NO_COMMIT)), // what lies in the folder counts
            },
            Err(e) if e.code() == ErrorCode::NotFound => {
                let below = Repository::discover(root).is_ok();
                Self::plain(root, below.then_some(BELOW_ROOT))
            }
            Err(e) if e.code() == ErrorCode::Owner => Err(RepoError::Unreadable {
                path: root.to_owned(),
                message: "it belongs to another user, so Git does not open it; allow it with `git config --global --add safe.directory DIR`".to_owned(),
            }),
            Err(e) => Err(e.into()),
        }
    }

    /// Reads a repository at a commit, wherever its HEAD is.
    pub fn open_at(root: &Path, commit: &str) -> Result<Self, RepoError> {
        Self::at_commit(root, Repository::open(root)?, git2::Oid::from_str(commit)?)
    }

    fn at_commit(root: &Path, git: Repository, head: git2::Oid) -> Result<Self, RepoError> {
        let mut notes = Vec::new();
        let files = read_tree(&git, head, &mut notes)?;
        if is_dirty(&git) {
            notes.push("the work tree has uncommitted changes; they are not looked at, HEAD is what counts".to_owned());
        }
        let branch = git
            .head()
            .ok()
            .filter(git2::Reference::is_branch)
            .and_then(|h| h.shorthand().ok().map(str::to_owned));
        let identity = Identity::offline(remote_id(&git), branch);
        Ok(Self {
            root: root.to_owned(),
            files,
            head: Some(head.to_string()),
            identity,
            notes,
            git: Some(git),
        })
    }

    fn plain(root: &Path, note: Option<&str>) -> Result<Self, RepoError> {
        let mut walk = Walk {
            root,
            files: Files::default(),
            bytes: 0,
            notes: Vec::new(),
        };
        walk.folder(root)?;
        walk.notes.extend(note.map(str::to_owned));
        Ok(Self {
            root: root.to_owned(),
            files: walk.files,
            head: None,
            identity: Identity::offline("local".to_owned(), None),
            notes: walk.notes,
            git: None,
        })
    }

    /// Earlier contents of the given files, newest first, at most `most` for each file.
    pub fn history(
        &self,
        paths: &BTreeSet<String>,
        most: usize,
    ) -> Result<Vec<FileVersion>, RepoError> {
        let (Some(git), Some(head), false) = (&self.git, &self.head, paths.is_empty()) else {
            return Ok(Vec::new());
        };
        let mut walk = git.revwalk()?;
        walk.push(git2::Oid::from_str(head)?)?;
        walk.set_sorting(Sort::TOPOLOGICAL | Sort::TIME)?;
        walk.simplify_first_parent()?;
        let mut out: Vec<FileVersion> = Vec::new();
        for id in walk.take(MAX_COMMITS) {
            let commit = git.find_commit(id?)?;
            let Ok(parent) = commit.parent(0) else { break };
            for (path, bytes) in changed_in(git, &parent, &commit, paths)? {
                if out.iter().filter(|v| v.path == path).count() < most {
                    out.push(FileVersion {
                        path,
                        replaced_by: describe(&commit),
                        bytes,
                    });
                }
            }
            if out.len() >= most * paths.len() {
                break;
            }
        }
        Ok(out)
    }

    /// The subjects of the newest commits, newest first; none for a plain directory.
    pub fn subjects(&self, most: usize) -> Vec<String> {
        let walk = || -> Result<Vec<String>, git2::Error> {
            let (Some(git), Some(head)) = (&self.git, &self.head) else {
                return Ok(Vec::new());
            };
            let mut walk = git.revwalk()?;
            walk.push(git2::Oid::from_str(head)?)?;
            walk.set_sorting(Sort::TOPOLOGICAL | Sort::TIME)?;
            walk.simplify_first_parent()?;
            let subject = |id| Ok(describe(&git.find_commit(id?)?).subject);
            walk.take(most).map(subject).collect()
        };
        walk().unwrap_or_default() // how a subject is written is no reason to fail
    }

    /// The files before a commit.
    pub fn files_before(&self, commit: &str) -> Result<Files, RepoError> {
        let Some(git) = &self.git else {
            return Ok(Files::default());
        };
        let commit = git.find_commit(git2::Oid::from_str(commit)?)?;
        read_tree(git, commit.parent_id(0)?, &mut Vec::new())
    }

    /// What HEAD brings in, when it is a merge: in a workflow on a pull request HEAD merges its head
    /// into its base. `None` for any other commit, and where history is too shallow to tell.
    pub fn merge(&self) -> Option<Merge> {
        let git = self.git.as_ref()?;
        let head = git.head().ok()?.peel_to_commit().ok()?;
        if head.parent_count() != 2 {
            return None;
        }
        let (base, brought) = (head.parent(0).ok()?, head.parent_id(1).ok()?);
        let (old, new) = (base.tree().ok()?, head.tree().ok()?);
        let diff = git.diff_tree_to_tree(Some(&old), Some(&new), None).ok()?;
        let path = |delta: git2::DiffDelta<'_>| {
            let path = delta.new_file().path()?.to_str()?;
            Some(path.to_owned())
        };
        Some(Merge {
            base: base.id().to_string(),
            brought: brought.to_string(),
            changed: diff.deltas().filter_map(path).collect(),
        })
    }

    /// Whether a commit is here: a shallow copy holds few.
    pub fn has(&self, commit: &str) -> bool {
        let id = git2::Oid::from_str(commit).ok();
        let git = self.git.as_ref();
        git.zip(id)
            .is_some_and(|(git, id)| git.find_commit(id).is_ok())
    }

    /// Whether HEAD has commits on top of this one.
    pub fn is_ahead_of(&self, commit: &str) -> bool {
        let ids = self.head.as_deref().map(git2::Oid::from_str);
        let (Some(Ok(head)), Ok(other)) = (ids, git2::Oid::from_str(commit)) else {
            return false;
        };
        let git = self.git.as_ref();
        git.is_some_and(|git| git.graph_descendant_of(head, other).unwrap_or(false))
    }

    /// Whether an address is that of this repository, whatever its scheme.
    pub fn is_at(&self, url: &str) -> bool {
        let ours = self.git.as_ref().map(remote_id);
        ours.is_some_and(|ours| ours == normalise_remote(url))
    }

    /// Whether one commit is another one, or an ancestor of it; `None` where one is not here.
    pub fn contains(&self, ancestor: &str, commit: &str) -> Option<bool> {
        let git = self.git.as_ref()?;
        let find = |id: &str| git.find_commit(git2::Oid::from_str(id).ok()?).ok();
        let (ancestor, commit) = (find(ancestor)?.id(), find(commit)?.id());
        match ancestor == commit {
            true => Some(true),
            false => git.graph_descendant_of(commit, ancestor).ok(),
        }
    }

    /// The files that differ between two commits; `None` where one is not here.
    pub fn changed_between(&self, one: &str, other: &str) -> Option<Vec<String>> {
        let git = self.git.as_ref()?;
        let tree = |id: &str| {
            git.find_commit(git2::Oid::from_str(id).ok()?)
                .ok()?
                .tree()
                .ok()
        };
        let diff = git.diff_tree_to_tree(Some(&tree(one)?), Some(&tree(other)?), None);
        let diff = diff.ok()?;
        let paths = diff
            .deltas()
            .flat_map(|d| [d.old_file().path(), d.new_file().path()]);
        let paths = paths.flatten().map(|p| p.to_string_lossy().into_owned());
        let paths: BTreeSet<String> = paths.collect();
        Some(paths.into_iter().collect())
    }

    /// A file at another commit of the repository; `None` where either is not there.
    pub fn file_at(&self, commit: &str, path: &str) -> Option<Vec<u8>> {
        let git = self.git.as_ref()?;
        let id = git2::Oid::from_str(commit).ok()?;
        let tree = git.find_commit(id).ok()?.tree().ok()?;
        let entry = tree.get_path(Path::new(path)).ok()?;
        let blob = git.find_blob(entry.id()).ok()?;
        (blob.size() as u64 <= MAX_FILE_BYTES).then(|| blob.content().to_vec())
    }

    /// Writes the changed files as one commit on a new branch, without touching HEAD, the index or
    /// the work tree. A branch that carries the same fingerprint is moved; any other is an error.
    pub fn commit(
        &self,
        branch: &str,
        changed: &BTreeMap<String, Vec<u8>>,
        message: &str,
        fingerprint: &str,
    ) -> Result<String, RepoError> {
        let (Some(git), Some(head)) = (&self.git, &self.head) else {
            let message = "not a Git repository with a commit, so there is nothing to commit to; run `git init` and commit first, or use --output patch";
            return Err(RepoError::NoHistory {
                path: self.root.clone(),
                message: message.to_owned(),
            });
        };
        let base = git.find_commit(git2::Oid::from_str(head)?)?;
        let base_tree = base.tree()?;
        let mut update = TreeUpdateBuilder::new();
        for (path, bytes) in changed {
            let mode = base_tree
                .get_path(Path::new(path))
                .map_or(FileMode::Blob, |e| file_mode(e.filemode()));
            update.upsert(path.as_str(), git.blob(bytes)?, mode);
        }
        let tree = git.find_tree(update.create_updated(git, &base_tree)?)?;
        if let Some(tip) = existing_tip(git, branch)? {
            let ours = tip
                .message()
                .is_ok_and(|m| m.contains(&format!("Kubemend-Fingerprint: {fingerprint}")));
            if !ours {
                return Err(RepoError::ForeignBranch(branch.to_owned()));
            }
            if tip.tree_id() == tree.id() && tip.parent_id(0).ok() == Some(base.id()) {
                return Ok(tip.id().to_string());
            }
        }
        let (name, address) = LOCAL_AUTHOR;
        let who = Signature::now(name, address)?;
        let id = git.commit(None, &who, &who, message, &tree, &[&base])?;
        git.reference(
            &format!("refs/heads/{branch}"),
            id,
            true,
            "kubemend: proven fix",
        )?;
        Ok(id.to_string())
    }
}

/// Makes a Git repository of these files, with one commit, and writes them into the folder too.
pub fn create(root: &Path, files: &[(&str, &str)], message: &str) -> Result<(), RepoError> {
    let unwritable = |path: &Path, e: &std::io::Error| RepoError::Unreadable {
        path: path.to_owned(),
        message: e.to_string(),
    };
    let mut options = git2::RepositoryInitOptions::new();
    options.no_reinit(true).initial_head("main");
    let git = Repository::init_opts(root, &options)?;
    let mut index = git.index()?;
    for (path, text) in files {
        let file = root.join(path);
        let folder = file.parent().unwrap_or(root);
        fs::create_dir_all(folder).map_err(|e| unwritable(folder, &e))?;
        fs::write(&file, text).map_err(|e| unwritable(&file, &e))?;
        index.add_path(Path::new(path))?;
    }
    index.write()?;
    let tree = git.find_tree(index.write_tree()?)?;
    let who = Signature::now("kubemend demo", "demo@localhost")?;
    git.commit(Some("HEAD"), &who, &who, message, &tree, &[])?;
    Ok(())
}

fn existing_tip<'g>(
    git: &'g Repository,
    branch: &str,
) -> Result<Option<git2::Commit<'g>>, RepoError> {
    match git.find_branch(branch, git2::BranchType::Local) {
        Ok(found) => Ok(Some(found.get().peel_to_commit()?)),
        Err(e) if e.code() == ErrorCode::NotFound => Ok(None),
        Err(e) => Err(e.into()),
    }
}

fn file_mode(mode: i32) -> FileMode {
    if mode == i32::from(FileMode::BlobExecutable) {
        FileMode::BlobExecutable
    } else {
        FileMode::Blob
    }
}

fn is_dirty(git: &Repository) -> bool {
    let mut options = git2::StatusOptions::new();
    options.include_untracked(false).exclude_submodules(true);
    git.statuses(Some(&mut options))
        .is_ok_and(|s| !s.is_empty())
}

/// The remote `origin` without scheme, user, port and `.git`, lower-cased; `local` without one.
fn remote_id(git: &Repository) -> String {
    let url = git
        .find_remote("origin")
        .ok()
        .and_then(|r| r.url().ok().map(str::to_owned));
    url.map_or_else(|| "local".to_owned(), |u| normalise_remote(&u))
}

/// An address of a repository without scheme, user, port and `.git`, lower-cased.
fn normalise_remote(url: &str) -> String {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let rest = rest.rsplit_once('@').map_or(rest, |(_, rest)| rest);
    let rest = rest.trim_end_matches('/').trim_end_matches(".git");
    let (host, path) = rest.split_once(['/', ':']).unwrap_or((rest, ""));
    let path = path
        .split_once('/')
        .filter(|(port, _)| port.bytes().all(|b| b.is_ascii_digit()) && !port.is_empty())
        .map_or(path, |(_, p)| p);
    format!("{host}/{path}").to_lowercase()
}

fn describe(commit: &git2::Commit<'_>) -> Commit {
    Commit {
        id: commit.id().to_string(),
        author: commit.author().name().unwrap_or("unknown").to_owned(),
        time: Timestamp::from_second(commit.author().when().seconds()).ok(),
        subject: commit
            .summary()
            .ok()
            .flatten()
            .unwrap_or_default()
            .to_owned(),
    }
}

fn changed_in(
    git: &Repository,
    parent: &git2::Commit<'_>,
    commit: &git2::Commit<'_>,
    paths: &BTreeSet<String>,
) -> Result<Vec<(String, Vec<u8>)>, RepoError> {
    let mut options = DiffOptions::new();
    options.disable_pathspec_match(true);
    for path in paths {
        options.pathspec(path);
    }
    let diff = git.diff_tree_to_tree(
        Some(&parent.tree()?),
        Some(&commit.tree()?),
        Some(&mut options),
    )?;
    let mut out = Vec::new();
    for delta in diff.deltas() {
        let old = delta.old_file();
        let (Some(path), false) = (old.path().and_then(Path::to_str), old.id().is_zero()) else {
            continue;
        };
        let blob = git.find_blob(old.id())?;
        if blob.size() as u64 <= MAX_FILE_BYTES {
            out.push((path.to_owned(), blob.content().to_vec()));
        }
    }
    Ok(out)
}

fn read_tree(
    git: &Repository,
    commit: git2::Oid,
    notes: &mut Vec<String>,
) -> Result<Files, RepoError> {
    let tree = git.find_commit(commit)?.tree()?;
    let mut blobs = Vec::new();
    let mut links = Vec::new();
    tree.walk(TreeWalkMode::PreOrder, |folder, entry| {
        if entry.kind() == Some(ObjectType::Blob)
            && let Ok(name) = entry.name()
        {
            let path = format!("{folder}{name}");
            if entry.filemode() == i32::from(FileMode::Link) {
                links.push((path, entry.id()));
            } else {
                blobs.push((path, entry.id()));
            }
        }
        TreeWalkResult::Ok
    })?;
    for (path, id) in links {
        let target = String::from_utf8_lossy(git.find_blob(id)?.content()).into_owned();
        check_link(&path, &target)?;
        notes.push(format!("{path}: symlink, not followed"));
    }
    if blobs.len() > MAX_FILES {
        return Err(RepoError::TooLarge {
            path: "repository".to_owned(),
            message: format!("more than {MAX_FILES} files"),
        });
    }
    let odb = git.odb()?;
    let mut files = Files::default();
    let mut total = 0;
    for (path, id) in blobs {
        let (size, _) = odb.read_header(id)?;
        total += size as u64;
        if size as u64 > MAX_FILE_BYTES {
            notes.push(format!(
                "{path}: over {} MiB, left out",
                MAX_FILE_BYTES >> 20
            ));
        } else if total > MAX_TOTAL_BYTES {
            return Err(RepoError::TooLarge {
                path,
                message: format!(
                    "the repository's files are over {} MiB",
                    MAX_TOTAL_BYTES >> 20
                ),
            });
        } else {
            files.by_path.insert(path, odb.read(id)?.data().to_vec());
        }
    }
    Ok(files)
}

/// Whether a symlink stays in the tree, judged by its text alone.
fn check_link(path: &str, target: &str) -> Result<(), RepoError> {
    let escape = || RepoError::SymlinkEscape {
        path: path.to_owned(),
        target: target.to_owned(),
    };
    let mut depth = Path::new(path).components().count() as isize - 1;
    for part in Path::new(target).components() {
        match part {
            Component::ParentDir => depth -= 1,
            Component::Normal(_) => depth += 1,
            Component::CurDir => {}
            Component::RootDir | Component::Prefix(_) => return Err(escape()),
        }
        if depth < 0 {
            return Err(escape());
        }
    }
    Ok(())
}

struct Walk<'r> {
    root: &'r Path,
    files: Files,
    bytes: u64,
    notes: Vec<String>,
}

impl Walk<'_> {
    fn folder(&mut self, folder: &Path) -> Result<(), RepoError> {
        let unreadable = |e: std::io::Error| RepoError::Unreadable {
            path: folder.to_owned(),
            message: e.to_string(),
        };
        let mut entries: Vec<PathBuf> = fs::read_dir(folder)
            .map_err(unreadable)?
            .filter_map(|e| e.ok().map(|e| e.path()))
            .collect();
        entries.sort();
        for entry in entries {
            let kind = entry.symlink_metadata().map_err(unreadable)?;
            let path = self.relative(&entry);
            if kind.is_symlink() {
                let target = fs::read_link(&entry).map_err(unreadable)?;
                check_link(&path, &target.to_string_lossy())?;
                self.notes.push(format!("{path}: symlink, not followed"));
            } else if kind.is_dir() {
                if path != ".git" && !path.ends_with("/.git") {
                    self.folder(&entry)?;
                }
            } else if kind.is_file() {
                self.file(&entry, path, kind.len())?;
            }
        }
        Ok(())
    }

    fn file(&mut self, entry: &Path, path: String, size: u64) -> Result<(), RepoError> {
        self.bytes += size;
        if size > MAX_FILE_BYTES {
            self.notes.push(format!(
                "{path}: over {} MiB, left out",
                MAX_FILE_BYTES >> 20
            ));
            return Ok(());
        }
        if self.files.by_path.len() >= MAX_FILES || self.bytes > MAX_TOTAL_BYTES {
            let message = format!(
                "more than {MAX_FILES} files or {} MiB; point --repo at a folder of manifests",
                MAX_TOTAL_BYTES >> 20
            );
            return Err(RepoError::TooLarge { path, message });
        }
        let bytes = fs::read(entry).map_err(|e| RepoError::Unreadable {
            path: entry.to_owned(),
            message: e.to_string(),
        })?;
        self.files.by_path.insert(path, bytes);
        Ok(())
    }

    fn relative(&self, entry: &Path) -> String {
        let relative = entry.strip_prefix(self.root).unwrap_or(entry);
        relative
            .components()
            .map(|c| c.as_os_str().to_string_lossy())
            .collect::<Vec<_>>()
            .join("/")
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn repository(versions: &[&[(&str, &str)]]) -> (tempfile::TempDir, Checkout) {
        let dir = tempfile::tempdir().unwrap();
        let git = Repository::init(dir.path()).unwrap();
        let who = Signature::now("Ann", "ann@example.com").unwrap();
        let mut parent: Option<git2::Oid> = None;
        for files in versions {
            let mut update = TreeUpdateBuilder::new();
            for (path, text) in *files {
                update.upsert(*path, git.blob(text.as_bytes()).unwrap(), FileMode::Blob);
            }
            let empty = git
                .find_tree(git.treebuilder(None).unwrap().write().unwrap())
                .unwrap();
            let base = parent.map_or(empty, |p| git.find_commit(p).unwrap().tree().unwrap());
            let tree = git
                .find_tree(update.create_updated(&git, &base).unwrap())
                .unwrap();
            let parents: Vec<_> = parent
                .iter()
                .map(|p| git.find_commit(*p).unwrap())
                .collect();
            let parents: Vec<&git2::Commit<'_>> = parents.iter().collect();
            parent = Some(
                git.commit(Some("HEAD"), &who, &who, "a change", &tree, &parents)
                    .unwrap(),
            );
        }
        let checkout = Checkout::open(dir.path()).unwrap();
        (dir, checkout)
    }

    #[test]
    fn history_gives_the_content_before_each_change() {
        let (_dir, checkout) = repository(&[
            &[("a.yaml", "v: 1\n"), ("b.yaml", "x")],
            &[("b.yaml", "y")],
            &[("a.yaml", "v: 2\n")],
        ]);
        let versions = checkout
            .history(&BTreeSet::from(["a.yaml".to_owned()]), 5)
            .unwrap();
        assert_eq!(versions.len(), 1);
        assert_eq!(versions[0].bytes, b"v: 1\n");
        assert_eq!(versions[0].replaced_by.author, "Ann");
    }

    #[test]
    fn a_commit_changes_the_named_files_on_its_own_branch_only() {
        let (dir, checkout) = repository(&[&[("d/a.yaml", "v: 1\n"), ("b.yaml", "x")]]);
        let changed = BTreeMap::from([("d/a.yaml".to_owned(), b"v: 2\n".to_vec())]);
        let message = "fix\n\nKubemend-Fingerprint: abc\n";
        let first = checkout
            .commit("kubemend/x", &changed, message, "abc")
            .unwrap();
        assert_eq!(
            checkout
                .commit("kubemend/x", &changed, message, "abc")
                .unwrap(),
            first,
            "the same work twice is one commit"
        );
        let git = Repository::open(dir.path()).unwrap();
        assert_eq!(
            git.head()
                .unwrap()
                .peel_to_commit()
                .unwrap()
                .id()
                .to_string(),
            checkout.head.clone().unwrap()
        );
        let files = read_tree(&git, git2::Oid::from_str(&first).unwrap(), &mut Vec::new()).unwrap();
        assert_eq!(files.get("d/a.yaml"), Some(&b"v: 2\n"[..]));
        assert_eq!(files.get("b.yaml"), Some(&b"x"[..]));
        let foreign = checkout
            .commit("kubemend/x", &changed, message, "other")
            .unwrap_err();
        assert!(matches!(foreign, RepoError::ForeignBranch(_)));
    }

    #[test]
    fn a_plain_folder_reads_but_does_not_commit() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("d")).unwrap();
        fs::write(dir.path().join("d/a.yaml"), "v: 1\n").unwrap();
        let checkout = Checkout::open(dir.path()).unwrap();
        assert_eq!(checkout.files.get("d/a.yaml"), Some(&b"v: 1\n"[..]));
        let error = checkout
            .commit("b", &BTreeMap::new(), "m", "f")
            .unwrap_err();
        assert!(matches!(error, RepoError::NoHistory { .. }));
    }

    #[test]
    fn a_symlink_out_of_the_tree_stops_the_run() {
        for (path, target, ok) in [
            ("a", "b", true),
            ("d/a", "../b", true),
            ("a", "../b", false),
            ("d/a", "/etc/passwd", false),
            ("a", "x/../../y", false),
        ] {
            assert_eq!(check_link(path, target).is_ok(), ok, "{path} -> {target}");
        }
        let dir = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink("/etc", dir.path().join("evil")).unwrap();
        assert!(matches!(
            Checkout::open(dir.path()).unwrap_err(),
            RepoError::SymlinkEscape { .. }
        ));
    }

    #[test]
    fn spellings_of_one_remote_are_one_repository() {
        for url in [
            "https://github.com/Acme/GitOps.git",
            "git@github.com:acme/gitops",
            "ssh://git@github.com:22/acme/gitops/",
        ] {
            assert_eq!(normalise_remote(url), "github.com/acme/gitops", "{url}");
        }
    }
}
