//! Reading Git through the gateway: the same files, names and history as a clone has.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::time::Duration;

use kubemend::repo::gateway::{self, Gateway, Trouble, Upstream};
use kubemend::repo::mirror::{self, Bounds, Mirror, MirrorError};
use kubemend::repo::{Checkout, RepoError};
use libtest_mimic::Trial;
use secrecy::SecretString;

use crate::git_server::{self, Fault, GitServer, TOKEN, git};
use crate::trial;

pub(crate) fn trials() -> Vec<Trial> {
    let missing = git_server::missing();
    let all: [(&str, fn()); 11] = [
        ("a_copy_is_like_a_clone", a_copy_is_like_a_clone),
        ("a_copy_follows_its_branch", a_copy_follows_its_branch),
        ("a_shallow_copy_follows_too", a_shallow_copy_follows_too),
        ("a_broken_copy_is_made_again", a_broken_copy_is_made_again),
        ("a_grown_copy_is_made_again", a_grown_copy_is_made_again),
        (
            "a_branch_that_is_gone_is_no_branch",
            a_branch_that_is_gone_is_no_branch,
        ),
        (
            "an_outage_leaves_the_copy_alone",
            an_outage_leaves_the_copy_alone,
        ),
        ("a_wrong_token_ends_at_once", a_wrong_token_ends_at_once),
        (
            "a_repository_that_is_too_large_is_refused",
            a_repository_that_is_too_large_is_refused,
        ),
        (
            "the_gateway_lets_nothing_else_through",
            the_gateway_lets_nothing_else_through,
        ),
        (
            "a_cache_folder_belongs_to_one_process",
            a_cache_folder_belongs_to_one_process,
        ),
    ];
    all.into_iter()
        .map(|(name, test)| trial(name, missing, test))
        .collect()
}

/// A Git server with `acme/shop`, and an empty cache.
struct World {
    runtime: tokio::runtime::Runtime,
    server: GitServer,
    work: PathBuf,
    cache: tempfile::TempDir,
    token: &'static str,
    bounds: Bounds,
    answers: u64,
}

impl World {
    fn new(commits: usize) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        let server = runtime.block_on(GitServer::start());
        let work = server.repository(commits);
        Self {
            runtime,
            server,
            work,
            cache: tempfile::tempdir().unwrap(),
            token: TOKEN,
            bounds: Bounds::default(),
            answers: 1 << 30,
        }
    }

    fn origin(&self) -> String {
        format!("{}/acme/shop.git", self.server.url)
    }

    fn folder(&self) -> PathBuf {
        mirror::folder(self.cache.path(), &self.server.url, 9)
    }

    fn gateway(&self) -> Gateway {
        let upstream = Upstream {
            url: self.origin(),
            token: SecretString::from(self.token),
        };
        let bounds = gateway::Bounds {
            bytes: self.answers,
            time: Duration::from_secs(60),
            silence: Duration::from_secs(60),
        };
        self.runtime
            .block_on(Gateway::open(upstream, bounds))
            .unwrap()
    }

    fn update(&self, branch: &str) -> (Result<Checkout, MirrorError>, Option<Trouble>) {
        let gateway = self.gateway();
        let mirror = Mirror::new(self.folder(), &self.origin(), self.bounds);
        let updated = mirror.update(branch, gateway.url());
        (updated, gateway.trouble())
    }

    fn checkout(&self) -> Checkout {
        self.update("main").0.unwrap()
    }

    fn packs(&self) -> usize {
        let entries = std::fs::read_dir(self.folder().join("objects/pack")).unwrap();
        entries
            .filter(|e| {
                e.as_ref()
                    .unwrap()
                    .path()
                    .extension()
                    .is_some_and(|e| e == "pack")
            })
            .count()
    }
}

fn head_of(world: &World) -> Option<String> {
    Some(git(&world.work, &["rev-parse", "HEAD"]))
}

/// Fingerprints hang on these: they must be those of `kubemend fix --repo` in a clone.
fn a_copy_is_like_a_clone() {
    let world = World::new(5);
    let copy = world.checkout();
    let clone = world.cache.path().join("clone");
    let bare = world.server.root.path().join("acme/shop.git");
    git(
        world.cache.path(),
        &["clone", "-q", bare.to_str().unwrap(), "clone"],
    );
    git(&clone, &["remote", "set-url", "origin", &world.origin()]);
    let clone = Checkout::open(&clone).unwrap();
    assert_eq!(copy.head, clone.head);
    assert_eq!(copy.identity.base, "main");
    assert_eq!(copy.identity, clone.identity);
    assert_eq!(copy.files.by_path, clone.files.by_path);
    assert_eq!(copy.notes, clone.notes);
    let paths = BTreeSet::from(["apps/a.yaml".to_owned()]);
    let versions = |c: &Checkout| -> Vec<_> {
        let history = c.history(&paths, 10).unwrap();
        history
            .into_iter()
            .map(|v| (v.replaced_by.id, v.bytes))
            .collect()
    };
    assert_eq!(versions(&copy), versions(&clone));
    assert_eq!(versions(&copy).len(), 4);
    assert_eq!(world.server.state.unauthorized.load(Ordering::SeqCst), 0);
}

fn a_copy_follows_its_branch() {
    let world = World::new(2);
    let first = world.checkout();
    assert_eq!(world.checkout().head, first.head, "nothing new");
    assert_eq!(world.packs(), 1);
    world.server.commit(&world.work, 7);
    world.server.push(&world.work);
    let second = world.checkout();
    assert_eq!(second.head, head_of(&world));
    assert!(second.files.get("apps/7.yaml").is_some());
    assert_eq!(world.packs(), 2, "only what is new was fetched");
    // people rewrite history too
    git(&world.work, &["reset", "-q", "--hard", "HEAD~2"]);
    world.server.commit(&world.work, 8);
    world.server.push(&world.work);
    let third = world.checkout();
    assert_eq!(third.head, head_of(&world));
    assert!(third.files.get("apps/7.yaml").is_none());
}

/// Opened with `Repository::open`: a shallow copy has a boundary, and it is known.
fn a_shallow_copy_follows_too() {
    let mut world = World::new(6);
    world.bounds.depth = 2;
    let paths = BTreeSet::from(["apps/a.yaml".to_owned()]);
    let first = world.checkout();
    assert_eq!(first.head, head_of(&world));
    assert_eq!(
        first.history(&paths, 10).unwrap().len(),
        1,
        "up to the boundary"
    );
    for n in 10..15 {
        world.server.commit(&world.work, n);
        world.server.push(&world.work);
        let next = world.checkout();
        assert_eq!(next.head, head_of(&world));
        assert!(!next.history(&paths, 10).unwrap().is_empty());
    }
}

fn a_broken_copy_is_made_again() {
    let world = World::new(3);
    let whole = world.checkout();
    let pack = world.folder().join("objects/pack");
    let damages: [&dyn Fn(); 5] = [
        &|| {
            for entry in std::fs::read_dir(&pack).unwrap() {
                let path = entry.unwrap().path();
                std::fs::remove_file(&path).unwrap();
                std::fs::write(&path, b"rubbish").unwrap();
            }
        },
        &|| std::fs::remove_dir_all(&pack).unwrap(),
        &|| std::fs::write(world.folder().join("HEAD"), "rubbish").unwrap(),
        &|| std::fs::write(world.folder().join("config"), "[rubbish").unwrap(),
        // what a kill in the middle of writing a ref leaves behind
        &|| {
            world.server.commit(&world.work, 20);
            world.server.push(&world.work);
            std::fs::write(world.folder().join("refs/heads/main.lock"), "").unwrap();
        },
    ];
    for (n, damage) in damages.iter().enumerate() {
        damage();
        let (again, trouble) = world.update("main");
        let again = again.unwrap_or_else(|e| panic!("damage {n}: {e} {trouble:?}"));
        assert_eq!(again.head, head_of(&world), "damage {n}");
        assert_eq!(again.identity, whole.identity);
    }
}

/// Each fetch leaves a pack, and nothing joins them.
fn a_grown_copy_is_made_again() {
    let mut world = World::new(1);
    world.bounds.packs = 3;
    for n in 1..10 {
        world.server.commit(&world.work, n);
        world.server.push(&world.work);
        assert_eq!(world.checkout().head, head_of(&world));
        assert!(world.packs() <= 4, "{}", world.packs());
    }
}

/// A stale ref of the copy is not taken for the branch.
fn a_branch_that_is_gone_is_no_branch() {
    let world = World::new(1);
    world.checkout();
    let bare = world.server.root.path().join("acme/shop.git");
    git(&bare, &["branch", "-m", "main", "trunk"]);
    for branch in ["main", "no/such", "a..b", "-x", "a:b", ""] {
        let (updated, _) = world.update(branch);
        assert!(
            matches!(updated, Err(MirrorError::NoBranch(_))),
            "{branch}: {updated:?}"
        );
    }
    let (updated, _) = world.update("trunk");
    assert_eq!(updated.unwrap().identity.base, "trunk");
}

fn an_outage_leaves_the_copy_alone() {
    let world = World::new(2);
    world.checkout();
    let kept = std::fs::metadata(world.folder()).unwrap().created().ok();
    for (status, known) in [
        (500, Trouble::Status(500)),
        (404, Trouble::Status(404)),
        (301, Trouble::Status(301)),
    ] {
        world.server.fault(Fault::Status(status));
        let (updated, trouble) = world.update("main");
        assert!(
            matches!(updated, Err(MirrorError::Remote(_))),
            "{updated:?}"
        );
        assert_eq!(trouble, Some(known));
    }
    world.server.fault(Fault::Status(200));
    let (updated, trouble) = world.update("main");
    assert!(
        matches!(updated, Err(MirrorError::Remote(_))),
        "{updated:?}"
    );
    assert_eq!(trouble, Some(Trouble::NotGit));
    world.server.fault(Fault::None);
    world.server.commit(&world.work, 5);
    world.server.push(&world.work);
    world.server.fault(Fault::CutAt(100));
    let (updated, _) = world.update("main");
    assert!(updated.is_err());
    world.server.fault(Fault::None);
    assert_eq!(world.checkout().head, head_of(&world));
    assert_eq!(
        std::fs::metadata(world.folder()).unwrap().created().ok(),
        kept
    );
}

/// libgit2 would ask its callback for credentials again and again; it never sees a 401.
fn a_wrong_token_ends_at_once() {
    let mut world = World::new(1);
    world.token = "ghs_wrong";
    let (updated, trouble) = world.update("main");
    assert!(
        matches!(updated, Err(MirrorError::Remote(_))),
        "{updated:?}"
    );
    assert_eq!(trouble, Some(Trouble::Status(401)));
    assert_eq!(world.server.state.requests.load(Ordering::SeqCst), 1);
    let shown = format!("{updated:?} {trouble:?}");
    assert!(!shown.contains("ghs_"), "{shown}");
}

fn a_repository_that_is_too_large_is_refused() {
    let mut world = World::new(1);
    let noise: Vec<u8> = (0..400_000_u32)
        .flat_map(|n| (n.wrapping_mul(2_654_435_761)).to_le_bytes())
        .collect();
    std::fs::write(world.work.join("big.bin"), noise).unwrap();
    git(&world.work, &["add", "-A"]);
    git(&world.work, &["commit", "-q", "-m", "big"]);
    world.server.push(&world.work);
    world.bounds.bytes = 100_000;
    let (updated, _) = world.update("main");
    assert!(
        matches!(updated, Err(MirrorError::TooLarge(_))),
        "{updated:?}"
    );
    world.bounds = Bounds::default();
    world.answers = 100_000;
    let (updated, trouble) = world.update("main");
    assert!(updated.is_err());
    assert_eq!(trouble, Some(Trouble::Cut(100_000)));
    world.answers = 1 << 30;
    assert!(world.update("main").0.is_ok());
}

/// One repository, two requests, for whoever knows the address.
fn the_gateway_lets_nothing_else_through() {
    let world = World::new(1);
    let gateway = world.gateway();
    let address = gateway.url().trim_start_matches("http://").to_owned();
    let (host, path) = address.split_once('/').unwrap();
    let password = path.split('/').next().unwrap();
    assert_eq!(password.len(), 32);
    let other = "0".repeat(32);
    let asked = |method: &str, path: &str| {
        let mut client = crate::serve_stub::Client::new(host.parse().unwrap());
        client
            .send(
                &format!("{method} {path} HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n"),
                b"",
            )
            .unwrap()
            .0
    };
    for (method, path) in [
        (
            "GET",
            format!("/{other}/repository.git/info/refs?service=git-upload-pack"),
        ),
        ("POST", format!("/{other}/repository.git/git-upload-pack")),
        ("GET", format!("/{password}/repository.git/info/refs")),
        (
            "GET",
            format!("/{password}/repository.git/info/refs?service=git-receive-pack"),
        ),
        (
            "GET",
            format!("/{password}/repository.git/info/refs?service=git-upload-pack&x=1"),
        ),
        (
            "POST",
            format!("/{password}/repository.git/git-receive-pack"),
        ),
        (
            "POST",
            format!("/{password}/repository.git/info/refs?service=git-upload-pack"),
        ),
        (
            "GET",
            format!("/{password}/other.git/info/refs?service=git-upload-pack"),
        ),
        (
            "GET",
            format!("/{password}/repository.git/../other.git/info/refs?service=git-upload-pack"),
        ),
        ("GET", format!("/{password}/repository.git/HEAD")),
        ("GET", "/".to_owned()),
    ] {
        let status = asked(method, &path);
        assert!(status == 404 || status == 405, "{method} {path}: {status}");
    }
    assert_eq!(
        world.server.state.requests.load(Ordering::SeqCst),
        0,
        "nothing reached the forge"
    );
    let refs = format!("/{password}/repository.git/info/refs?service=git-upload-pack");
    assert!(!format!("{:?}", world.gateway()).contains(TOKEN));
    assert_eq!(world.server.state.requests.load(Ordering::SeqCst), 0);
    drop(gateway);
    let closed = std::net::TcpStream::connect(host).map(|_| refs);
    let mut tries = 0;
    while closed.is_ok() && tries < 1_000 && std::net::TcpStream::connect(host).is_ok() {
        tries += 1;
        std::thread::yield_now();
    }
    assert!(
        std::net::TcpStream::connect(host).is_err(),
        "closed when dropped"
    );
}

fn a_cache_folder_belongs_to_one_process() {
    let dir = tempfile::tempdir().unwrap();
    let cache = dir.path().join("cache");
    let lock = mirror::take(&cache).unwrap();
    let second = mirror::take(&cache);
    assert!(matches!(second, Err(RepoError::Unreadable { .. })));
    drop(lock);
    mirror::take(&cache).unwrap();
    let mode =
        std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&cache).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o700, "private repositories lie here");
    let folder = mirror::folder(&cache, "https://GitHub.example.com:8443", 7);
    assert_eq!(folder, cache.join("github_example_com_8443/7.git"));
}
