//! A bare copy of a repository's base branch, kept in a cache folder and brought up to date before
//! each pass. It is only a cache: what cannot be read is deleted and fetched again.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use git2::{
    AutotagOption, ErrorClass, FetchOptions, RemoteCallbacks, RemoteRedirect, Repository,
    RepositoryInitOptions,
};

use super::{Checkout, RepoError};

/// Bounds of a copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// How many commits back history is fetched; 0 for all of it.
    pub depth: u32,
    /// The most bytes of a copy, on disk and on its way.
    pub bytes: u64,
    /// How long a fetch may take.
    pub time: Duration,
    /// How many fetches a copy holds before it is made anew: each leaves a file, and libgit2 never
    /// joins them.
    pub packs: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            depth: 2_000,
            bytes: 1 << 30,
            time: Duration::from_secs(300),
            packs: 100,
        }
    }
}

/// Why there is no copy that is up to date.
#[derive(Debug, thiserror::Error)]
pub enum MirrorError {
    /// The forge did not give what was asked for.
    #[error("the fetch failed: {0}")]
    Remote(String),
    /// There is no such branch.
    #[error("there is no branch {0}")]
    NoBranch(String),
    /// Over a bound.
    #[error("the repository is over {0} MiB")]
    TooLarge(u64),
    /// Too slow.
    #[error("the fetch took more than {0} seconds")]
    TooSlow(u64),
    /// What is in the repository, or in the cache folder, cannot be used.
    #[error(transparent)]
    Repository(#[from] RepoError),
}

impl MirrorError {
    /// Whether the copy itself may be at fault, so that a new one may help.
    fn is_local(&self) -> bool {
        matches!(
            self,
            Self::Repository(RepoError::Git(_) | RepoError::Unreadable { .. })
        )
    }
}

/// A copy of one repository.
#[derive(Debug, Clone)]
pub struct Mirror {
    folder: PathBuf,
    origin: String,
    bounds: Bounds,
}

impl Mirror {
    /// `folder` is this copy's own; `origin` is the address under which people clone the
    /// repository: fingerprints hang on it.
    pub fn new(folder: PathBuf, origin: &str, bounds: Bounds) -> Self {
        Self {
            folder,
            origin: origin.to_owned(),
            bounds,
        }
    }

    /// Fetches the branch through an address that needs no credentials, and reads its files.
    pub fn update(&self, branch: &str, through: &str) -> Result<Checkout, MirrorError> {
        if self.is_grown() {
            self.delete()?;
        }
        let is_new = !self.folder.exists();
        match self.attempt(branch, through) {
            Err(error) if error.is_local() && !is_new => {
                self.delete()?;
                self.attempt(branch, through)
            }
            done => done,
        }
    }

    fn attempt(&self, branch: &str, through: &str) -> Result<Checkout, MirrorError> {
        let name = format!("refs/heads/{branch}");
        if !git2::Reference::is_valid_name(&name) {
            return Err(MirrorError::NoBranch(branch.to_owned()));
        }
        let git = self.open()?;
        let head = self.fetch(&git, &name, through)?;
        let Some(head) = head else {
            return Err(MirrorError::NoBranch(branch.to_owned()));
        };
        // what was fetched is what is read, also if another process shares the folder
        git.reference(&name, head, true, "kubemend: fetched")
            .and_then(|_| git.set_head(&name))
            .map_err(RepoError::from)?;
        Ok(Checkout::open(&self.folder)?)
    }

    /// The copy, made where there is none.
    fn open(&self) -> Result<Repository, MirrorError> {
        private_folder(&self.folder)?;
        let mut options = RepositoryInitOptions::new();
        options.bare(true).external_template(false);
        // `init` also opens; `open_bare` would not load the boundary of a shallow copy
        Repository::init_opts(&self.folder, &options).map_err(RepoError::from)?;
        let git = Repository::open(&self.folder).map_err(RepoError::from)?;
        let url = git
            .find_remote("origin")
            .ok()
            .and_then(|r| r.url().ok().map(str::to_owned));
        match url {
            Some(url) if url == self.origin => Ok(()),
            Some(_) => git.remote_set_url("origin", &self.origin),
            None => git.remote("origin", &self.origin).map(drop),
        }
        .map_err(RepoError::from)?;
        Ok(git)
    }

    /// The commit that the branch points to at the forge, fetched; none when there is no such branch.
    fn fetch(
        &self,
        git: &Repository,
        name: &str,
        through: &str,
    ) -> Result<Option<git2::Oid>, MirrorError> {
        let begun = Instant::now();
        let mut stopped = None;
        let mut remote = git.remote_anonymous(through).map_err(RepoError::from)?;
        // with a depth, each fetch leaves a pack, also when there is nothing new
        let Some(head) = advertised(&mut remote, name)? else {
            return Ok(None);
        };
        if tip(git, name) == Some(head) {
            return Ok(Some(head));
        }
        let fetched = {
            let mut options = self.options(begun, &mut stopped);
            let refspec = format!("+{name}:{name}");
            remote.fetch(&[&refspec], Some(&mut options), None)
        };
        if let Some(stopped) = stopped {
            return Err(stopped);
        }
        fetched.map_err(remote_or_local)?;
        let heads = remote.list().map_err(remote_or_local)?;
        let head = heads.iter().find(|h| h.name() == name);
        Ok(head.map(git2::RemoteHead::oid))
    }

    fn options<'a>(
        &self,
        begun: Instant,
        stopped: &'a mut Option<MirrorError>,
    ) -> FetchOptions<'a> {
        let bounds = self.bounds;
        let mut callbacks = RemoteCallbacks::new();
        callbacks.transfer_progress(move |progress| {
            if progress.received_bytes() as u64 > bounds.bytes {
                *stopped = Some(MirrorError::TooLarge(bounds.bytes >> 20));
            } else if begun.elapsed() > bounds.time {
                *stopped = Some(MirrorError::TooSlow(bounds.time.as_secs()));
            }
            stopped.is_none()
        });
        // the address needs none; without this answer libgit2 might look for some
        callbacks.credentials(|_, _, _| Err(git2::Error::from_str("no credentials here")));
        let mut options = FetchOptions::new();
        options
            .remote_callbacks(callbacks)
            .download_tags(AutotagOption::None)
            .follow_redirects(RemoteRedirect::None)
            .depth(i32::try_from(self.bounds.depth).unwrap_or(0));
        options
    }

    /// Whether it is time for a new copy.
    fn is_grown(&self) -> bool {
        let Ok(entries) = fs::read_dir(self.folder.join("objects/pack")) else {
            return false;
        };
        let sizes = entries.filter_map(|e| Some(e.ok()?.metadata().ok()?.len()));
        let (files, bytes) = sizes.fold((0, 0), |(n, sum), size| (n + 1, sum + size));
        // a pack and its index; what a killed fetch left behind counts too
        files > 2 * self.bounds.packs || bytes > 2 * self.bounds.bytes
    }

    fn delete(&self) -> Result<(), MirrorError> {
        match fs::remove_dir_all(&self.folder) {
            Ok(()) => Ok(()),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(()),
            Err(e) => Err(unreadable(&self.folder, &e).into()),
        }
    }
}

/// The commit that the branch points to at the forge.
fn advertised(remote: &mut git2::Remote<'_>, name: &str) -> Result<Option<git2::Oid>, MirrorError> {
    let connection = remote.connect_auth(git2::Direction::Fetch, None, None);
    let connection = connection.map_err(remote_or_local)?;
    let heads = connection.list().map_err(remote_or_local)?;
    let head = heads.iter().find(|h| h.name() == name);
    Ok(head.map(git2::RemoteHead::oid))
}

/// The commit that the branch points to in the copy, if it is there.
fn tip(git: &Repository, name: &str) -> Option<git2::Oid> {
    let commit = git.find_reference(name).ok()?.peel_to_commit().ok()?;
    commit.tree().ok()?;
    Some(commit.id())
}

/// Where the copy of a repository lives: `<cache>/<host>/<id>.git`.
pub fn folder(cache: &Path, server: &str, id: u64) -> PathBuf {
    let host = server.split_once("://").map_or(server, |(_, host)| host);
    let plain = |c: char| {
        if c.is_ascii_alphanumeric() || c == '-' {
            c
        } else {
            '_'
        }
    };
    let host: String = host.to_ascii_lowercase().chars().map(plain).collect();
    cache.join(host).join(format!("{id}.git"))
}

/// The right to use a cache folder, held until it is dropped.
#[derive(Debug)]
pub struct Lock(#[allow(dead_code, reason = "the lock lives as long as the file")] fs::File);

/// Takes a cache folder for this process alone: two that fetch into one copy would break it.
pub fn take(cache: &Path) -> Result<Lock, RepoError> {
    private_folder(cache)?;
    let path = cache.join("lock");
    let file = fs::OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .map_err(|e| unreadable(&path, &e))?;
    match file.try_lock() {
        Ok(()) => Ok(Lock(file)),
        Err(fs::TryLockError::WouldBlock) => {
            let used = std::io::Error::other("another kubemend uses this folder");
            Err(unreadable(cache, &used))
        }
        Err(fs::TryLockError::Error(e)) => Err(unreadable(&path, &e)),
    }
}

/// A folder that only its owner can read: it holds what private repositories hold.
fn private_folder(folder: &Path) -> Result<(), RepoError> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder).map_err(|e| unreadable(folder, &e))
}

fn unreadable(path: &Path, error: &std::io::Error) -> RepoError {
    RepoError::Unreadable {
        path: path.to_owned(),
        message: error.to_string(),
    }
}

fn remote_or_local(error: git2::Error) -> MirrorError {
    let is_remote = matches!(
        error.class(),
        ErrorClass::Net | ErrorClass::Http | ErrorClass::Ssl | ErrorClass::Callback
    );
    if is_remote {
        MirrorError::Remote(error.message().to_owned())
    } else {
        RepoError::from(error).into()
    }
}
